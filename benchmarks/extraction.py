"""Compare extraction methods on random tensor-like e-graphs or on egraph-serialize JSON files.

python benchmarks/extraction.py                         # random e-graphs of several sizes
python benchmarks/extraction.py --time-limit 8 a.json   # files of the egraph-serialize format
python benchmarks/extraction.py --output result.json    # with versions, machine and command
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from saturax.extract import (
    Problem,
    Selection,
    dag_cost,
    dag_greedy,
    extract,
    reduce_problem,
    restrict,
    sharing_greedy,
    tree_greedy,
)
from saturax.extract.ilp import solve_exact
from saturax.extract.landmarks import find_landmarks
from saturax.extract.search import neighbourhood_search
from saturax.extract.solver import SolverProcess
from saturax.extract.switches import switch_search


class Outcome(NamedTuple):
    """What a method found: cost in microseconds, lower bound if it has one, and a remark."""

    cost_us: float
    bound_us: float | None = None
    remark: str = ""


class Value(NamedTuple):
    """A tensor of the random program: its class, its transpose's class, and its size."""

    plain: int
    turned: int
    size: float


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

    def build(self, layers: int) -> Problem:
        draw = self.draw
        values = [self.parameter() for _ in range(4)]
        operands: dict[int, tuple[Value, Value]] = {}
        while len(values) < layers:
            recent = values[-12:]
            if draw.random() < 0.4:
                values += self.dots(draw.choice(recent), draw.choice([1, 1, 2, 3, 4]))
                continue
            left, right = draw.choice(recent), draw.choice(recent)
            made = self.elementwise(left, right)
            for first, second in ((left, right), (right, left)):
                if first.plain in operands and draw.random() < 0.7:
                    self.reassociate(made, operands[first.plain], second, operands)
            operands[made.plain] = (left, right)
            values.append(made)
        outputs = [value.plain for value in values[-draw.choice([1, 2, 3]) :]]
        return Problem.build(self.class_count, self.nodes, outputs, self.kinds)

    def add(self, owner: int, kind: str, cost_us: float, *children: int) -> None:
        self.nodes.append((owner, cost_us, list(children)))
        self.kinds.append((kind, cost_us))

    def value(self, size: float) -> Value:
        value = Value(self.class_count, self.class_count + 1, size)
        self.class_count += 2
        self.add(value.plain, "transpose", 4 * size, value.turned)
        self.add(value.turned, "transpose", 4 * size, value.plain)
        return value

    def parameter(self) -> Value:
        value = self.value(self.draw.choice([1.0, 2.0, 4.0]))
        self.add(value.plain, "parameter", 0.0)
        return value

    def both_layouts(self, made: Value, kind: str, cost_us: float, *operands: Value) -> None:
        self.add(made.plain, kind, cost_us, *(value.plain for value in operands))
        self.add(made.turned, kind, cost_us, *(value.turned for value in operands))

    def elementwise(self, left: Value, right: Value) -> Value:
        made = self.value(max(left.size, right.size))
        self.both_layouts(made, "elementwise", 1.5 * made.size, left, right)
        return made

    def reassociate(
        self,
        made: Value,
        inner: tuple[Value, Value],
        second: Value,
        operands: dict[int, tuple[Value, Value]],
    ) -> None:
        """(a·b)·c = a·(b·c), and both as one fused kernel."""
        a, b = inner
        other = self.elementwise(b, second)
        operands[other.plain] = (b, second)
        self.both_layouts(made, "elementwise", 1.5 * made.size, a, other)
        self.both_layouts(made, "fused", 2.0 * made.size, a, b, second)

    def dots(self, shared: Value, count: int) -> list[Value]:
        """Dots with one operand in common, and every run of them merged by concatenation."""
        draw = self.draw
        weights = [self.parameter() for _ in range(count)]
        made = [self.value(draw.choice([1.0, 2.0, 4.0])) for _ in range(count)]
        for result, weight in zip(made, weights, strict=True):
            self.dot(result, shared, weight, 20.0 * result.size)
        for first in range(count):
            for last in range(first + 2, count + 1):
                parts = made[first:last]
                size = sum(part.size for part in parts)
                joined, merged = self.value(size), self.value(size)
                self.both_layouts(joined, "concatenate", 2 * size, *weights[first:last])
                self.dot(merged, shared, joined, 20.0 * size * draw.choice([0.6, 0.8, 1.0]))
                for part in parts:
                    self.both_layouts(part, "slice", part.size, merged)
        return made

    def dot(self, result: Value, left: Value, right: Value, cost_us: float) -> None:
        """One node per layout of result and operands, at slightly different prices."""
        for owner in result[:2]:
            for a in left[:2]:
                for b in right[:2]:
                    factor = self.draw.choice([0.8, 1.0, 1.0, 1.3])
                    self.add(owner, "dot", cost_us * factor, a, b)


def read_egraph(path: Path) -> Problem:
    """Problem from a file of the egraph-serialize format (nodes without a cost cost 1)."""
    content = json.loads(path.read_text())
    nodes: dict[str, dict[str, Any]] = content["nodes"]
    names = dict.fromkeys(node["eclass"] for node in nodes.values())
    number = {name: index for index, name in enumerate(names)}
    rows = (
        (
            number[node["eclass"]],
            node.get("cost", 1.0),
            [number[nodes[child]["eclass"]] for child in node.get("children", ())],
        )
        for node in nodes.values()
    )
    roots = [number[name] for name in content["root_eclasses"]]
    return Problem.build(len(number), rows, roots, [node["op"] for node in nodes.values()])


def methods(problem: Problem, time_limit_s: float) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    """Name and run of every method. Those after `reduce` work on the reduced problem."""
    yield "tree greedy", lambda: Outcome(dag_cost(problem, tree_greedy(problem)))
    yield "DAG greedy", lambda: Outcome(dag_cost(problem, dag_greedy(problem)))
    yield (
        "sharing greedy",
        lambda: Outcome(dag_cost(problem, sharing_greedy(problem, time_limit_s=time_limit_s))),
    )
    reduced = reduce_problem(problem)
    small = reduced.problem

    def started() -> Selection:
        return restrict(small, switch_search(small, dag_greedy(small)).selection)

    def reduction() -> Outcome:
        again = reduce_problem(problem).problem
        greedy = dag_cost(again, dag_greedy(again)) + reduced.offset_us
        sizes = f"{problem.node_count} → {again.node_count} nodes"
        return Outcome(greedy, None, f"{sizes}, {len(again.cyclic_classes)} cyclic classes")

    yield "reduce + DAG greedy", reduction
    yield (
        "reduce + switches",
        lambda: Outcome(dag_cost(small, started()) + reduced.offset_us),
    )

    def bounded() -> Outcome:
        landmarks = find_landmarks(small)
        bound_us = landmarks.bound_us + reduced.offset_us
        cost_us = dag_cost(small, started()) + reduced.offset_us
        return Outcome(cost_us, bound_us, f"{len(landmarks.sets)} landmarks")

    yield "switches, landmarks", bounded

    def exact(order_variables: bool, with_landmarks: bool = True) -> Outcome:
        with SolverProcess() as solver:
            deadline = time.monotonic() + time_limit_s
            found = solve_exact(
                small,
                started(),
                solver=solver,
                deadline=deadline,
                order_variables=order_variables,
                landmarks=find_landmarks(small, deadline).sets if with_landmarks else (),
            )
        bound_us = found.lower_bound_us + reduced.offset_us
        return Outcome(found.cost_us + reduced.offset_us, bound_us, found.status)

    yield "ILP, cycle cuts", lambda: exact(False)
    yield "ILP, no landmarks", lambda: exact(False, with_landmarks=False)
    yield "ILP, order variables", lambda: exact(True)

    def neighbourhoods(use_solver: bool) -> Outcome:
        with SolverProcess(failures=1 if use_solver else 0) as solver:
            deadline = time.monotonic() + time_limit_s
            found = neighbourhood_search(small, started(), solver=solver, deadline=deadline)
        return Outcome(found.cost_us + reduced.offset_us, None, f"{found.iterations} rounds")

    yield "kicks", lambda: neighbourhoods(False)
    yield "kicks + neighbourhoods", lambda: neighbourhoods(True)

    def whole() -> Outcome:
        found = extract(problem, time_limit_s=time_limit_s)
        return Outcome(found.cost_us, found.lower_bound_us, found.stop_reason)

    yield "extract", whole


def compare(name: str, problem: Problem, time_limit_s: float) -> list[dict[str, Any]]:
    """Run all methods on one problem; print and return a row for each."""
    print(f"{name}: {problem.node_count} nodes, {problem.class_count} classes", flush=True)
    rows = []
    for method, run in methods(problem, time_limit_s):
        begin = time.perf_counter()
        outcome = run()
        seconds = time.perf_counter() - begin
        bound = "" if outcome.bound_us is None else f"{outcome.bound_us:12.2f}"
        line = f"  {method:24}{outcome.cost_us:12.2f}{bound:12}{seconds:9.2f} s  {outcome.remark}"
        print(line.rstrip(), flush=True)
        rows.append({"problem": name, "method": method, "seconds": seconds, **outcome._asdict()})
    return rows


def provenance() -> dict[str, Any]:
    """Versions, machine and command."""
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **{name: version(name) for name in ("highspy", "numpy", "scipy")},
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="egraph-serialize JSON files")
    parser.add_argument("--layers", type=int, nargs="*", default=[20, 60, 200, 600])
    parser.add_argument("--seeds", type=int, default=2, help="random e-graphs per size")
    parser.add_argument("--time-limit", type=float, default=8.0, help="seconds per method")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for path in options.files:
        rows += compare(path.name, read_egraph(path), options.time_limit)
    if not options.files:
        for layers in options.layers:
            for seed in range(options.seeds):
                name = f"tensor-like, {layers} layers, seed {seed}"
                rows += compare(name, tensor_like(layers, seed), options.time_limit)
    if options.output is not None:
        content = {"provenance": provenance(), "results": rows}
        options.output.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
