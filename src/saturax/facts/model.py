"""Facts as data: constant, frozen, range, matrix structure, affine in the indices, zero blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from saturax.graph.literal import Literal
from saturax.graph.types import TensorType, Type

# What the matrices in the last two dimensions are.
UNIT, SYMMETRIC = 1, 2

MOST_ZEROS = 6
"""Zero blocks that are kept of one value."""

_MOST_REFINEMENTS = 8
"""How often merging classes may narrow the facts of one: an e-class that contains its own operand
could go on narrowing for ever."""

Box = tuple[tuple[int, ...], tuple[int, ...]]
"""Where a block begins, and before which index it ends, in each dimension."""


class Range(NamedTuple):
    """Every element is in [low, high], or NaN where that may be; infinities are numbers here."""

    low: Any
    high: Any
    may_be_nan: bool = False


class Affine(NamedTuple):
    """The element at index i is the integer offset + Σ strides[d] · i[d], exactly."""

    offset: int
    strides: tuple[int, ...]


class Band(NamedTuple):
    """Diagonals of matrices: the elements with low ≤ j - i ≤ high."""

    low: int
    high: int


class Known(NamedTuple):
    """What is known of a tensor besides its value.

    `matrix` has bits: UNIT (square, with ones on the diagonal of the last two dimensions) and
    SYMMETRIC (also the signs of zeros). Along the dimensions `one_hot` each line has one element 1,
    and else 0. `zeros` are blocks of zeros (of either sign). Outside the diagonals of `band` all
    elements are 0, inside those of `full` they are 1. `results` says the same of each result of an
    operation that has several. `is_integral`: each element is an integer, infinite or NaN.
    """

    range: Range | None = None
    matrix: int = 0
    affine: Affine | None = None
    one_hot: tuple[int, ...] = ()
    zeros: tuple[Box, ...] = ()
    band: Band | None = None
    full: Band | None = None
    results: tuple[Known, ...] = ()
    is_integral: bool = False


NOTHING = Known()


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about one value of `type`. `constant`: its value, if known. `is_frozen`: it depends on
    constants and frozen parameters only, so it can be computed before the program runs. `known` is
    what else is known of a tensor. `assumed_finite`: equations over the reals may take every
    element to be a number (`saturax.facts.finiteness`); never true where every bit counts.
    `refinements` tells facts apart, since equal data are one to an e-graph: the count must not be
    lost, or narrowing might not end.
    """

    type: Type
    constant: Literal | None = None
    is_frozen: bool = False
    known: Known = NOTHING
    assumed_finite: bool = False
    refinements: int = field(default=0, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        parts = (self.type, self.constant, self.is_frozen, self.known, self.assumed_finite)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash

    @property
    def outline(self) -> tuple[Any, ...]:
        """All but what else is known: `known` tells far more values apart than rules ask for it."""
        return self.type, self.constant, self.is_frozen, self.assumed_finite


@lru_cache(maxsize=1 << 14)
def unknown(type: Type) -> Facts:
    """Facts about a value of which nothing is known but its type."""
    return Facts(type)


@lru_cache(maxsize=1 << 14)
def frozen(type: Type) -> Facts:
    """Facts about a value that is computed before the program runs."""
    return Facts(type, None, True)


def tensor_type(facts: Facts) -> TensorType:
    """The type of a value, known to be a tensor."""
    assert isinstance(facts.type, TensorType), f"expected a tensor, got {facts.type}"
    return facts.type


def join(a: Facts, b: Facts) -> Facts:
    """What is known of a value of which both a and b are true."""
    if a is b or a == b:
        return a
    known, count = a.known, max(a.refinements, b.refinements)
    if known != b.known and count < _MOST_REFINEMENTS:
        known = _join_known(known, b.known)
        count += known != a.known
    constant, is_frozen = a.constant or b.constant, a.is_frozen or b.is_frozen
    finite = a.assumed_finite or b.assumed_finite
    if constant is not None:  # it tells whether it is finite, whatever was assumed before
        finite = (b if a.constant is None else a).assumed_finite
    if (constant, is_frozen, finite) == (a.constant, a.is_frozen, a.assumed_finite):
        if known == a.known:
            return a
    return Facts(a.type, constant, is_frozen, known, finite, count)


def _join_known(a: Known, b: Known) -> Known:
    if a is NOTHING or b is NOTHING:
        return b if a is NOTHING else a
    return Known(
        _intersection(a.range, b.range),
        a.matrix | b.matrix,
        a.affine if a.affine is not None else b.affine,
        a.one_hot if a.one_hot == b.one_hot else tuple(sorted({*a.one_hot, *b.one_hot})),
        a.zeros if a.zeros == b.zeros or not b.zeros else distinct((*a.zeros, *b.zeros)),
        _narrower(a.band, b.band),
        a.full or b.full,
        tuple(map(_join_known, a.results, b.results)),
        a.is_integral or b.is_integral,
    )


def _narrower(a: Band | None, b: Band | None) -> Band | None:
    """The diagonals in both bands."""
    if a is None or b is None or a == b:
        return b if a is None else a
    both = Band(max(a.low, b.low), min(a.high, b.high))
    return both if both.low <= both.high else Band(0, -1)


def _intersection(a: Range | None, b: Range | None) -> Range | None:
    if a is None or b is None:
        return b if a is None else a
    both = Range(max(a.low, b.low), min(a.high, b.high), a.may_be_nan and b.may_be_nan)
    # Of a value that is always NaN, or has no elements, anything may be said.
    return both if both.low <= both.high else a


def distinct(boxes: tuple[Box, ...]) -> tuple[Box, ...]:
    """The largest of the boxes that lie in no other one; none that is empty."""
    kept: list[Box] = []
    for box in sorted(set(boxes), key=lambda box: (-volume(box), box)):
        if volume(box) > 0 and not any(contains(other, box) for other in kept):
            kept.append(box)
    return tuple(kept[:MOST_ZEROS])


def volume(box: Box) -> int:
    """Number of elements of a box."""
    return math.prod(max(b - a, 0) for a, b in zip(*box, strict=True))


def contains(outer: Box, inner: Box) -> bool:
    """Whether one box lies in another."""
    begins = all(a <= b for a, b in zip(outer[0], inner[0], strict=True))
    return begins and all(a >= b for a, b in zip(outer[1], inner[1], strict=True))


def intersect(a: Box, b: Box) -> Box:
    """What two boxes share; it may be empty."""
    return tuple(map(max, a[0], b[0])), tuple(map(min, a[1], b[1]))
