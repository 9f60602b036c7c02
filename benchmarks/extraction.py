"""Compare extraction methods on random tensor-like e-graphs or egraph-serialize JSON files.

python benchmarks/extraction.py                         # random e-graphs of several sizes
python benchmarks/extraction.py --time-limit 8 a.json   # files of the egraph-serialize format
python benchmarks/extraction.py --output result.json    # with versions, machine and command
"""

from __future__ import annotations
import argparse
import json
import random
from saturax.extract.problem import Problem


def tensor_like(layers: int, seed: int) -> Problem:
    """E-graph of a random tensor program as layout, merging and associativity rules leave it.

    Every value has a class and a transposed class (cycles: each is the other's transpose), dots
    that share an operand have merged forms, chains of elementwise operations fused and
    reassociated ones.
    """
    return _Builder(seed).build(layers)


class _Builder:
    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.nodes: list[tuple[int, float, list[int]]] = []
        self.kinds: list[tuple[str, float]] = []
        self.class_count = 0

    def fresh(self) -> int:
        self.class_count += 1
        return self.class_count - 1

    def add(self, owner: int, kind: str, cost_us: float, *children: int) -> None:
        self.nodes.append((owner, cost_us, list(children)))
        self.kinds.append((kind, cost_us))

    def value(self, size: float) -> tuple[int, int, float]:
        """A class, its transposed class, and the bytes of the value."""
        plain, turned = self.fresh(), self.fresh()
        self.add(plain, "transpose", 4 * size, turned)
        self.add(turned, "transpose", 4 * size, plain)
        return plain, turned, size

    def build(self, layers: int) -> Problem:
        draw = self.draw
        values = []
        for _ in range(4):
            value = self.value(draw.choice([1.0, 2.0, 4.0]))
            self.add(value[0], "parameter", 0.0)
            values.append(value)
        shapes: dict[int, tuple[tuple[int, int, float], tuple[int, int, float]]] = {}
        while len(values) < layers:
            recent = values[-12:]
            kind = draw.choice(["dots", "dots", "elementwise", "elementwise", "elementwise"])
            if kind == "dots":
                values += self.dots(draw.choice(recent), draw.choice([1, 1, 2, 3, 4]))
                continue
            left, right = draw.choice(recent), draw.choice(recent)
            made = self.elementwise(left, right)
            for first, second in ((left, right), (right, left)):
                if first[0] in shapes and draw.random() < 0.7:
                    a, b = shapes[first[0]]
                    inner = self.elementwise(b, second)
                    self.combine(made, a, inner)
                    self.add(made[0], "fused", 2.0 * made[2], a[0], b[0], second[0])
                    self.add(made[1], "fused", 2.0 * made[2], a[1], b[1], second[1])
                    shapes[inner[0]] = (b, second)
            shapes[made[0]] = (left, right)
            values.append(made)
        outputs = [value[0] for value in values[-draw.choice([1, 2, 3]) :]]
        return Problem.build(self.class_count, self.nodes, outputs, self.kinds)

    def combine(self, made, left, right) -> None:  # type: ignore[no-untyped-def]
        self.add(made[0], "elementwise", 1.5 * made[2], left[0], right[0])
        self.add(made[1], "elementwise", 1.5 * made[2], left[1], right[1])

    def elementwise(self, left, right):  # type: ignore[no-untyped-def]
        made = self.value(max(left[2], right[2]))
        self.combine(made, left, right)
        return made

    def dots(self, shared, count):  # type: ignore[no-untyped-def]
        draw = self.draw
        made, weights = [], []
        for _ in range(count):
            weight = self.value(draw.choice([1.0, 2.0, 4.0]))
            self.add(weight[0], "parameter", 0.0)
            result = self.value(draw.choice([1.0, 2.0, 4.0]))
            price = 20.0 * result[2]
            self.dot(result, shared, weight, price)
            made.append(result)
            weights.append(weight)
        for first in range(count):
            for last in range(first + 2, count + 1):
                group = range(first, last)
                size = sum(made[i][2] for i in group)
                joined, merged = self.value(size), self.value(size)
                self.add(joined[0], "concatenate", 2 * size, *(weights[i][0] for i in group))
                self.add(joined[1], "concatenate", 2 * size, *(weights[i][1] for i in group))
                self.dot(merged, shared, joined, 20.0 * size * draw.choice([0.6, 0.8, 1.0]))
                for i in group:
                    self.add(made[i][0], "slice", made[i][2], merged[0])
                    self.add(made[i][1], "slice", made[i][2], merged[1])
        return made

    def dot(self, result, left, right, price) -> None:  # type: ignore[no-untyped-def]
        for owner, flip in ((result[0], 0), (result[1], 1)):
            for a in (0, 1):
                for b in (0, 1):
                    factor = self.draw.choice([0.8, 1.0, 1.0, 1.3])
                    self.add(owner, "dot", price * factor, left[a], right[b])
