"""Weighted sums of moved copies, taken along one dimension before another.

    Σ_ij w_i·v_j·x[r + i, c + j]  =  Σ_j v_j·h[r, c + j]    with h = Σ_i w_i·x[r + i, c]

A slice, padding with zeros or a roll is linear and moves along each dimension for itself. The
copies that move alike along one dimension are summed before they do; where such sums are alike
up to a factor, or one is part of another, they are taken once. Stencils, blurs and games of life
that are written as shifted copies have 4 additions an element then instead of 8.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence, Set
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import Value, building
from saturax.graph.ir import Graph
from saturax.graph.ops import concatenate, full, pad, slice_dimension
from saturax.graph.types import TensorType, is_integer
from saturax.proposals.contraction_order import ELEMENT, NEGLIGIBLE, given_cost
from saturax.proposals.equality import Equalities
from saturax.proposals.expressions import Arithmetic, Expression, signed
from saturax.proposals.masks import is_zero
from saturax.proposals.polynomials import Factor, Polynomial, Term, polynomials

_LEAST_TERMS, _LONGEST = 4, 16
# Sums in units of their usual weight may be that much larger than in units of the largest.
_MOST_UNITS = 16
# Weights that were multiplied before they were rounded are products up to this.
_SAME_WEIGHT = {"f64": 2.0**-51}
_SAME_WEIGHT_OF_OTHERS = 2.0**-22

Step = tuple[Any, ...]
"""A slice (start, limit, stride), padding (low, high, interior) or turn (by, of), by its name."""
Moves = tuple[Step, ...]
"""What happens along one dimension, first to last."""


class Copy(NamedTuple):
    """The product of `factors`, from starts to limits, and how it is moved along each dimension."""

    factors: tuple[Factor, ...]
    cuts: tuple[tuple[int, int], ...]
    moves: tuple[Moves, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape before all moves."""
        return tuple(limit - start for start, limit in self.cuts)

    def without(self, dimension: int) -> Copy:
        """The copy before it is moved along a dimension."""
        return self._replace(
            moves=tuple(() if d == dimension else m for d, m in enumerate(self.moves))
        )

    @property
    def moved_shape(self) -> tuple[int, ...]:
        """The shape after all moves."""
        return tuple(_moved_size(n, m) for n, m in zip(self.shape, self.moves, strict=True))


Weighted = dict[Copy, complex]


class _Terms(NamedTuple):
    """Terms that differ in more than their weights, and the others."""

    copies: Weighted
    again: list[Term]


def sum_along_dimensions(equalities: Equalities) -> None:
    """Propose sums of moved copies that add fewer elements: at most one for each sum."""
    graph = equalities.graph
    least_gain = NEGLIGIBLE * given_cost(graph, range(len(graph.nodes))) / ELEMENT
    for polynomial in polynomials(graph, graph.uses()):
        type: TensorType = graph.nodes[polynomial.root].type  # type: ignore[assignment]
        if len(polynomial.terms) < _LEAST_TERMS or not equalities.may_round(type.dtype):
            continue
        terms = _copies(graph, polynomial, type)
        if terms is None:
            continue
        given = len(terms.copies) - 1 + sum(map(_is_scaled, terms.copies.values()))
        found = _Separation(equalities, type).total(terms.copies)
        if given - found.cost >= max(least_gain / type.size, 0.5):
            arithmetic = Arithmetic(equalities, type, frozenset())
            total = arithmetic.sum([(1, found), *map(arithmetic.term, terms.again)])
            with building(equalities.builder):
                equalities.equate(polynomial.root, total.build())


def _copies(graph: Graph, polynomial: Polynomial, type: TensorType) -> _Terms | None:
    """The terms of a sum as moved copies; None if they are not moved along two dimensions."""
    found: Weighted = {}
    again: list[Term] = []
    ends = _ends(graph, polynomial.terms)
    for term in polynomial.terms:
        copy = _copy_of(graph, term, type, ends)
        if copy in found:
            again.append(term)  # another multiple, perhaps one that cancels, which is not for here
        found.setdefault(copy, term.coefficient)
    moved = [d for d in range(type.rank) if len({copy.moves[d] for copy in found}) > 1]
    return _Terms(_cut(found), again) if len(moved) > 1 else None


def _cut(terms: Weighted) -> Weighted:
    """The terms, with what none of them sees cut off first."""
    alike: dict[Hashable, list[Copy]] = defaultdict(list)
    for copy in terms:
        alike[copy[:2]].append(copy)
    found = {}
    for copy, weight in terms.items():
        cuts, moves = list(copy.cuts), list(copy.moves)
        for d in range(len(cuts)):
            firsts = [(other.moves[d] or (("whole",),))[0] for other in alike[copy[:2]]]
            if all(kind == "slice" for kind, *_ in firsts):
                start, limit = min(s[1] for s in firsts), max(s[2] for s in firsts)
                cuts[d] = (cuts[d][0] + start, cuts[d][0] + limit)
                (_, low, high, stride), *after = moves[d]
                is_whole = (low, high, stride) == (start, limit, 1)
                own = () if is_whole else (("slice", low - start, high - start, stride),)
                moves[d] = (*own, *after)
        found[Copy(copy.factors, tuple(cuts), tuple(moves))] = weight
    return found


def _ends(graph: Graph, terms: Iterable[Term]) -> set[int]:
    """What all copies of a value are copies of: itself, or what it was padded to before."""
    paths: dict[int, list[list[int]]] = defaultdict(list)
    for term in terms:
        for factor in term.factors[:1]:
            path = [factor.node]
            while len(path) <= _LONGEST and (found := _moves_of(graph, path[-1])) is not None:
                path.append(found[0])
            paths[path[-1]].append(path)
    return {
        next(index for index in alike[0] if all(index in path for path in alike))
        for alike in paths.values()
    }


def _copy_of(graph: Graph, term: Term, type: TensorType, ends: Set[int]) -> Copy:
    """What a term is a copy of; a product is not looked into."""
    moves: list[Moves] = [()] * type.rank
    if len(term.factors) != 1 or term.factors[0].exponent != 1:
        return Copy(term.factors, tuple((0, n) for n in type.shape), tuple(moves))
    index = term.factors[0].node
    while index not in ends:
        found = _moves_of(graph, index)
        assert found is not None
        index, steps = found
        for d, step in steps.items():
            moves[d] = _joined(step, moves[d])
    shape: tuple[int, ...] = graph.nodes[index].type.shape  # type: ignore[union-attr]
    return Copy((Factor(index),), tuple((0, n) for n in shape), tuple(moves))


def _moves_of(graph: Graph, index: int) -> tuple[int, dict[int, Step]] | None:
    """What a node moves, and how along which dimensions; None if it does something else."""
    node: Any = graph.nodes[index]
    if node.op == "slice":
        shape = graph.nodes[node.operands[0]].type.shape
        cuts = enumerate(zip(*node.attributes, strict=True))
        steps = {d: ("slice", *cut) for d, cut in cuts if cut != (0, shape[d], 1)}
        return node.operands[0], steps
    if node.op == "pad" and is_zero(graph, node.operands[1]):
        amounts = enumerate(zip(*node.attributes, strict=True))
        return node.operands[0], {d: ("pad", *each) for d, each in amounts if any(each)}
    return _turn_of(graph, node) if node.op == "concatenate" else None


def _turn_of(graph: Graph, node: Any) -> tuple[int, dict[int, Step]] | None:
    """[x[k:], x[:k]] along one dimension."""
    first, second = (graph.nodes[operand] for operand in node.operands)
    if first.op != "slice" or second.op != "slice" or first.operands != second.operands:
        return None
    d: int = node.attributes[0]
    shape: tuple[int, ...] = node.type.shape
    by: int = first.attributes[0][d]
    for end, cut in ((first, (by, shape[d], 1)), (second, (0, by, 1))):
        expected = [cut if e == d else (0, n, 1) for e, n in enumerate(shape)]
        if list(zip(*end.attributes, strict=True)) != expected:
            return None
    return first.operands[0], {d: ("turn", by, shape[d])} if by else {}


def _joined(step: Step, after: Moves) -> Moves:
    """A step before others: slices of slices are slices, turns of turns are turns."""
    if after and after[0][0] == step[0] == "slice":
        (_, start, _, stride), (_, low, high, by) = step, after[0]
        limit = start + (high - 1) * stride + 1
        return (("slice", start + low * stride, limit, stride * by), *after[1:])
    if after and after[0][0] == step[0] == "turn":
        by = (step[1] + after[0][1]) % step[2]
        return ((("turn", by, step[2]),) if by else ()) + after[1:]
    return (step, *after)


def _moved_size(size: int, moves: Moves) -> int:
    for kind, *amounts in moves:
        if kind == "slice":
            size = len(range(*amounts))
        elif kind == "pad":
            low, high, interior = amounts
            size += low + high + interior * max(size - 1, 0)
    return size


def _moved(x: Value, dimension: int, moves: Moves) -> Value:
    """A value moved along one dimension."""
    for kind, *amounts in moves:
        if kind == "slice":
            x = slice_dimension(x, dimension, *amounts)
        elif kind == "pad":
            place = [[n if d == dimension else 0 for d in range(x.rank)] for n in amounts]
            x = pad(x, full(0, TensorType((), x.dtype)), *place)
        else:
            by, size = amounts
            ends = ((by, size), (0, by))
            first, second = (slice_dimension(x, dimension, *end) for end in ends)
            x = concatenate(first, second, dimension)
    return x


def _unit(weights: Iterable[complex]) -> float:
    """The magnitude that most weights have, unless a sum in that unit were far larger."""
    counts = Counter(map(abs, weights))
    usual = max(counts, key=lambda magnitude: (counts[magnitude], magnitude))
    largest = max(counts)
    return usual if largest <= _MOST_UNITS * usual else largest


def _is_scaled(weight: complex) -> bool:
    return signed(weight)[1] != 1


@dataclass(frozen=True)
class _Sum:
    """A sum that is taken once: its terms, and how."""

    terms: Weighted
    value: Expression


class _Separation:
    """Takes sums of copies apart by dimensions. Costs are per element of the result."""

    def __init__(self, equalities: Equalities, type: TensorType) -> None:
        self._equalities = equalities
        self._type = type
        self._tolerance = _SAME_WEIGHT.get(type.dtype, _SAME_WEIGHT_OF_OTHERS)

    def total(self, terms: Weighted) -> Expression:
        """The sum of the terms, in the way that adds the fewest elements."""
        options = [self._weighted_sum([(w, self._copy(copy)) for copy, w in terms.items()], terms)]
        for d in reversed(range(self._type.rank)):  # what moves along rows is best moved last
            moves = {(copy.moves[d], copy.shape[d]) for copy in terms}
            if 1 < len(moves) < len(terms):
                options.append(self._along(d, terms))
        return min(options, key=lambda option: option.cost)

    def _along(self, dimension: int, terms: Weighted) -> Expression:
        """The sum of sums that move alike along a dimension."""
        groups: dict[tuple[Moves, int], Weighted] = defaultdict(dict)
        for copy, weight in terms.items():
            key = (copy.moves[dimension], copy.shape[dimension])
            groups[key][copy.without(dimension)] = weight
        taken: list[_Sum] = []
        parts: list[tuple[complex, Expression]] = []
        for (moves, _), group in sorted(groups.items(), key=lambda item: len(item[1])):
            known = next((s for s in taken if self._ratio(s.terms, group) is not None), None)
            if known is None:
                known = self._taken(group, taken)
                taken.append(known)
            ratio = self._ratio(known.terms, group)
            assert ratio is not None
            parts.append((ratio, self._then_moved(known.value, dimension, moves)))
        outer = self._weighted_sum(parts, terms)
        return Expression(outer.cost + sum(s.value.cost for s in taken), outer.build)

    def _taken(self, group: Weighted, taken: Iterable[_Sum]) -> _Sum:
        """A group up to a factor, as a sum of its own, or of another and the rest."""
        is_divided = not is_integer(self._type.dtype) and len(group) > 1
        unit = _unit(group.values()) if is_divided else 1
        terms = {copy: weight / unit for copy, weight in group.items()} if is_divided else group
        options = [self.total(terms)]
        for part in taken:
            inside = {copy: terms[copy] for copy in part.terms if copy in terms}
            ratio = self._ratio(part.terms, inside)
            if ratio is None or len(part.terms) < 2:
                continue
            rest = [(w, self._copy(copy)) for copy, w in terms.items() if copy not in inside]
            known = Expression(0.0, part.value.build)
            options.append(self._weighted_sum([(ratio, known), *rest], terms))
        return _Sum(terms, _once(min(options, key=lambda option: option.cost)))

    def _ratio(self, known: Weighted, wanted: Weighted) -> complex | None:
        """c such that the second sum is c times the first; None if there is none."""
        if known.keys() != wanted.keys() or not known:
            return None
        copy = next(iter(known))
        if is_integer(self._type.dtype):
            signs = (c for c in (1, -1) if all(known[k] * c == wanted[k] for k in known))
            return next(signs, None)
        ratio = wanted[copy] / known[copy]
        expected = np.array([known[key] * ratio for key in known])
        actual = np.array([wanted[key] for key in known])
        is_same = bool(np.all(abs(expected - actual) <= self._tolerance * abs(actual)))
        return ratio if is_same else None

    def _copy(self, copy: Copy) -> Expression:
        """A copy as it is."""

        def build() -> Value:
            value = self._whole(copy)
            for d, cut in enumerate(copy.cuts):
                value = slice_dimension(value, d, *cut)
            for d, moves in enumerate(copy.moves):
                value = _moved(value, d, moves)
            return value

        return Expression(0.0, build)

    def _whole(self, copy: Copy) -> Value:
        """What a copy is of; a product, and a number, have the type of the result."""
        if len(copy.factors) == 1 and copy.factors[0].exponent == 1:
            return self._equalities.value(copy.factors[0].node)
        arithmetic = Arithmetic(self._equalities, self._type, frozenset())
        return arithmetic.product(copy.factors).build()

    def _then_moved(self, value: Expression, dimension: int, moves: Moves) -> Expression:
        return Expression(0.0, lambda: _moved(value.build(), dimension, moves))

    def _weighted_sum(
        self, parts: Sequence[tuple[complex, Expression]], terms: Weighted
    ) -> Expression:
        """The sum of weighted parts, which has the shape of any of the terms."""
        shape = next(iter(terms)).moved_shape
        arithmetic = Arithmetic(self._equalities, self._type.with_shape(shape), frozenset())
        signs = [(*signed(weight), part) for weight, part in parts]
        total = arithmetic.sum([(s, arithmetic.scaled(part, m)) for s, m, part in signs])
        return Expression(total.cost * prod(shape) / self._type.size, total.build)


def _once(expression: Expression) -> Expression:
    """An expression that is built once, however often it is asked for."""
    built: list[Value] = []

    def build() -> Value:
        if not built:
            built.append(expression.build())
        return built[0]

    return Expression(expression.cost, build)
