"""Which truth values conditions can have together: x > 3 implies x > 2, and NaN neither.

Conditions about one value, or about one pair of values, are tried at samples of all that the
value can be: each bound, what lies between bounds, infinities, NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from saturax.facts.ranges import range_of
from saturax.graph.types import is_integer, numpy_dtype
from saturax.proposals.equality import Equalities
from saturax.proposals.masks import number_of, splat_of_node
from saturax.rules.comparisons import OUTCOMES
from saturax.rules.conditions import REALS
from saturax.rules.logic import SWAPPED

INF, NAN = float("inf"), float("nan")


class Truth(NamedTuple):
    """Truth values that conditions can have together; which nodes are equal (in numbers) then."""

    values: dict[int, bool]
    equal: frozenset[tuple[int, int]] = frozenset()


class Conditions:
    """Reads the conditions of one graph; a condition is the index of a Boolean node."""

    def __init__(self, equalities: Equalities) -> None:
        self.equalities = equalities
        self.nodes = equalities.graph.nodes

    def subject(self, atom: int) -> tuple[int, ...]:
        """What a condition is about: a value, a pair of values, or itself."""
        node = self.nodes[atom]
        f: Any = node.attributes[0] if node.attributes else None
        if f == "is_finite" and self._dtype(node.operands[0]) in REALS:
            return (node.operands[0],)
        is_comparison = node.op == "binary" and f[0] == "compare" and f[2] != "TOTALORDER"
        if not is_comparison or not self._is_ordered(node.operands[0]):
            return (atom, -1)
        x, y = node.operands
        if self._constant(y) is not None or x == y:
            return (x,)
        if self._constant(x) is not None:
            return (y,)
        return (min(x, y), max(x, y))

    def is_equality(self, atom: int) -> bool:
        """Whether a condition says that two nodes are equal, or that they are not."""
        f: Any = self.nodes[atom].attributes[0] if self.nodes[atom].attributes else None
        return isinstance(f, tuple) and f[:2] in (("compare", "EQ"), ("compare", "NE"))

    def groups(self, atoms: Sequence[int]) -> list[list[Truth]]:
        """For each subject, the truth values that its conditions can have together."""
        about: dict[tuple[int, ...], list[int]] = {}
        for atom in atoms:
            about.setdefault(self.subject(atom), []).append(atom)
        return [self._possible(subject, group) for subject, group in about.items()]

    def _possible(self, subject: tuple[int, ...], atoms: list[int]) -> list[Truth]:
        if subject == (atoms[0], -1):
            return [Truth({atoms[0]: True}), Truth({atoms[0]: False})]
        found: dict[tuple[bool, ...], frozenset[tuple[int, int]]] = {}
        tried = self._of_value(subject[0], atoms) if len(subject) == 1 else self._of_pair(*subject)
        for sample, equal in tried:
            truths = tuple(self._holds(atom, subject, sample) for atom in atoms)
            found[truths] = found[truths] & equal if truths in found else equal
        return [Truth(dict(zip(atoms, t, strict=True)), equal) for t, equal in found.items()]

    # -------------------------------------------------------------- samples

    def _of_value(self, x: int, atoms: list[int]) -> list[tuple[Any, frozenset[tuple[int, int]]]]:
        """Samples of what node x can be, with the constants that it equals then."""
        constants: dict[Any, int] = {}
        for atom in atoms:
            for operand in self.nodes[atom].operands:
                number = self._constant(operand)
                if operand != x and number is not None and not np.isnan(number):
                    constants[number] = operand
        return [
            (sample, frozenset({(x, constants[sample])} if sample in constants else ()))
            for sample in self._samples(x, sorted(constants))
        ]

    def _samples(self, x: int, bounds: list[Any]) -> list[Any]:
        facts = self.equalities.facts[x]
        known = range_of(facts)
        if known is None:
            return []
        if is_integer(self._dtype(x)):
            near = {number + step for number in bounds for step in (-1, 0, 1)}
            return sorted(n for n in near | {known.low, known.high} if known.low <= n <= known.high)
        finite = sorted({n for n in (*bounds, known.low, known.high) if abs(n) < INF})
        between = [(a + b) / 2 for a, b in pairwise(finite)]
        ends = [finite[0] - abs(finite[0]) - 1, finite[-1] + abs(finite[-1]) + 1] if finite else [0]
        every = {*finite, *between, *ends, -INF, INF}
        samples = sorted(n for n in every if known.low <= n <= known.high)
        if self._is_number(x):
            return [n for n in samples if abs(n) < INF]
        return [*samples, NAN] if known.may_be_nan else samples

    def _of_pair(self, x: int, y: int) -> list[tuple[Any, frozenset[tuple[int, int]]]]:
        """How two nodes can compare."""
        ranges = [range_of(self.equalities.facts[i]) for i in (x, y)]
        may_be_nan = any(r is None or r.may_be_nan for r in ranges)
        is_number = self._is_number(x) and self._is_number(y)
        nothing: frozenset[tuple[int, int]] = frozenset()
        tried: list[tuple[Any, frozenset[tuple[int, int]]]] = [("<", nothing), (">", nothing)]
        tried.append(("=", frozenset({(x, y)})))
        return [*tried, ("?", nothing)] if may_be_nan and not is_number else tried

    def _is_number(self, x: int) -> bool:
        """Whether node x may be taken to be finite."""
        return self.equalities.cancels(x)

    # -------------------------------------------------------------- evaluation

    def _holds(self, atom: int, subject: tuple[int, ...], sample: Any) -> bool:
        node = self.nodes[atom]
        f: Any = node.attributes[0]
        if f == "is_finite":
            return bool(np.isfinite(sample))
        x, y = node.operands
        if len(subject) == 2:
            direction = f[1] if (x, y) == subject else SWAPPED[f[1]]
            return sample in OUTCOMES[direction]
        left = sample if x == subject[0] else self._constant(x)
        right = sample if y == subject[0] else self._constant(y)
        return _relation(left, right) in OUTCOMES[f[1]]

    def _constant(self, index: int) -> Any:
        """The number that a node is; None if it is not one."""
        literal = splat_of_node(self.equalities.graph, index)
        return None if literal is None else number_of(literal)

    def _dtype(self, index: int) -> str:
        type: Any = self.nodes[index].type
        return type.dtype  # type: ignore[no-any-return]

    def _is_ordered(self, index: int) -> bool:
        dtype = self._dtype(index)
        return dtype in REALS or (is_integer(dtype) and numpy_dtype(dtype).kind in "iu")


def _relation(a: Any, b: Any) -> str:
    if np.isnan(a) or np.isnan(b):
        return "?"
    return "<" if a < b else ">" if a > b else "="
