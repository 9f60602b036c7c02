"""Squares among the terms of a polynomial that go together.

3x² - 6x·y + 3y² = 3·(x - y)²        r·sin²x + r·cos²x = r        r·cosh²x - r·sinh²x = r
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, permutations
from typing import Any, NamedTuple

from saturax.graph.ir import Graph
from saturax.proposals.polynomials import Factor, Term

_MOST_SQUARES = 8
_ROUNDING = 1e-12
"""Relative error of products of coefficients, which are rounded in double precision."""


class PerfectSquare(NamedTuple):
    """The sum of `terms`, as `coefficient` times the square of the sum of `base`."""

    terms: tuple[Term, Term, Term]
    coefficient: float
    base: tuple[Term, Term]


def perfect_square(terms: Sequence[Term]) -> PerfectSquare | None:
    """The first three terms that are c·x² ± 2c·r·x·y + c·r²·y² with real c and r; y may be 1."""
    by_factors = {term.factors: term for term in terms}
    if len(by_factors) != len(terms) or any(t.coefficient.imag for t in terms):
        return None
    squares = [(term, root) for term in terms if (root := _root(term.factors)) is not None]
    for (first, x), (second, y) in combinations(squares[:_MOST_SQUARES], 2):
        mixed = by_factors.get(tuple(sorted(x + y)))
        if mixed is None or mixed in (first, second):
            continue
        c, e, k = (term.coefficient.real for term in (first, second, mixed))
        if abs(k * k - 4 * c * e) <= _ROUNDING * k * k:
            # Rather c·(x + r·y)² with an integer r, so that integers stay such.
            if not (k / (2 * c)).is_integer():
                (first, x, c), (second, y) = (second, y, e), (first, x)
            base = (Term(1, x), Term(k / (2 * c), y))
            return PerfectSquare((first, mixed, second), c, base)
    return None


def _root(factors: tuple[Factor, ...]) -> tuple[Factor, ...] | None:
    """The factors of the square root of a product; None if it is no square."""
    counts = Counter(factors)
    if any(count % 2 for count in counts.values()):
        return None
    return tuple(sorted(factor for factor, count in counts.items() for _ in range(count // 2)))


_CIRCLES = {("sine", "cosine"): 1, ("chlo.cosh", "chlo.sinh"): -1}
"""c with f²(x) + c·g²(x) = 1, by f and g."""

_ON_CIRCLES = frozenset(name for pair in _CIRCLES for name in pair)


def without_circles(graph: Graph, terms: Sequence[Term]) -> list[Term]:
    """The terms, where c·t·sin²x and c·t·cos²x became c·t, and hyperbolic ones likewise.

    That leaves sin x out, which has to be a number.
    """
    found = list(terms)
    while (pair := _circle(graph, found)) is not None:
        first, second, rest = pair
        found = [term for term in found if term not in (first, second)]
        found.append(Term(first.coefficient, rest))
    return found


def _circle(graph: Graph, terms: Sequence[Term]) -> tuple[Term, Term, tuple[Factor, ...]] | None:
    """Two terms that are a circle's, and the factors that they share."""
    squares = [
        (term, factor, _function(graph, factor), _divided(term.factors, factor))
        for term in terms
        for factor in dict.fromkeys(term.factors)
        if term.factors.count(factor) > 1 and factor.exponent == 1
        if _function(graph, factor)[0] in _ON_CIRCLES
    ]
    for (first, _, (f, x), rest), (second, _, (g, y), other) in permutations(squares, 2):
        sign = _CIRCLES.get((f, g))
        if sign is None or x != y or rest != other:
            continue
        if second.coefficient == sign * first.coefficient:
            return first, second, rest
    return None


def _function(graph: Graph, factor: Factor) -> tuple[str, int]:
    """The function whose result a factor is, and its operand."""
    node: Any = graph.nodes[factor.node]
    return (node.attributes[0], node.operands[0]) if node.op == "unary" else ("", factor.node)


def _divided(factors: tuple[Factor, ...], factor: Factor) -> tuple[Factor, ...]:
    """The factors without the square of one of them."""
    rest = list(factors)
    rest.remove(factor)
    rest.remove(factor)
    return tuple(rest)
