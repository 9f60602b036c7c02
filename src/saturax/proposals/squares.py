"""Perfect squares among the terms of a polynomial: 3x² - 6x·y + 3y² = 3·(x - y)²."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

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
