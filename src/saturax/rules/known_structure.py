"""Products with matrices of a known structure: zero, identity, diagonal, permutation, zero blocks.

Letters as in `contraction`: dimension numbers d, precision p, result type t. What the structure
leaves out are terms with a factor that is known to be 0: the sum over the reals does not have them.
Where all terms of the result have one, no order of adding would give a number where an operand has
a NaN: 0 · y = 0 holds of finite operands only, as it does element by element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from saturax.facts.bands import band_of, width
from saturax.facts.model import Band
from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    DotDimensions,
    GatherDimensions,
    Precision,
    binary,
    concatenate_all,
    constant,
    dot_general,
    full,
    gather,
    multiply,
    pad,
    reduce_,
)
from saturax.graph.types import TensorType, is_integer
from saturax.rules.arithmetic import is_uniform
from saturax.rules.conditions import exactly
from saturax.rules.einsum import Einsum, Labels, along, contract, einsum_of, is_swappable, sizes
from saturax.rules.einsum import swapped as swapped_precision
from saturax.rules.facts import (
    constant_of,
    facts_of,
    has_numbers,
    is_diagonal,
    is_identity,
    is_zero,
    one_hot_of,
    zero_blocks_of,
)
from saturax.rules.moves import cut, transposed
from saturax.rules.permutations import permutation_to
from saturax.rules.rule import FINITE, ROUNDING, Examples, Numerics, Rule, need, rule

ZERO = "0·y = 0"

_MOST_DIAGONALS = 4
"""A sum of matrices is taken apart in a product if they have this many diagonals at most."""
_MOST_PARTS = 4
_WORTHWHILE = 0.8
"""A product is taken apart into so many parts at most, if that leaves this share of the work."""


class Side(NamedTuple):
    """A contraction seen from one operand: `own` labels those of `s`, `other` those of `o`."""

    s: Value
    o: Value
    own: Labels
    other: Labels
    result: Labels
    precision: Precision
    dtype: str

    @property
    def size(self) -> dict[Any, int]:
        """The size of each labelled dimension."""
        return sizes(self.own, self.s.shape) | sizes(self.other, self.o.shape)

    def matrix(self) -> tuple[Any, Any]:
        """The contracted and the other label of the matrices that s holds, if one is contracted
        and all before them are batched.
        """
        need(self.s.rank >= 2)
        need(all(label in self.other and label in self.result for label in self.own[:-2]))
        contracted = [label for label in self.own[-2:] if label in self.other]
        need(len(contracted) == 1 and contracted[0] not in self.result)
        (free,) = (label for label in self.own[-2:] if label != contracted[0])
        return contracted[0], free


def _sides(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Iterator[Side]:
    """The contraction seen from x, and from y."""
    labels = einsum_of(d, x.rank, y.rank)
    yield Side(x, y, labels.x, labels.y, labels.result, p, t)
    if is_swappable(p):
        yield Side(y, x, labels.y, labels.x, labels.result, swapped_precision(p), t)


Matrix = Callable[[np.random.Generator, int], np.ndarray[Any, Any]]
"""Draws a square matrix of a size."""


def _structured(
    test: Callable[[Side], bool], source: str, matrix: Matrix, numerics: Numerics = ROUNDING
) -> Callable[[Callable[[Side], Any]], Rule]:
    """Make a rule of an equation for products of which one side passes `test`, and the other one
    is made of numbers. `matrix` draws examples.
    """

    def decorate(equation: Callable[[Side], Any]) -> Rule:
        def right(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
            for side in _sides(x, y, d, p, t):
                if test(side) and has_numbers(side.o):
                    return equation(side)
            return None

        right.__name__, right.__doc__ = equation.__name__, equation.__doc__
        right.__module__ = equation.__module__
        return rule(
            lambda x, y, d, p, t: dot_general(x, y, d, p, t),
            numerics=numerics,
            source=source,
            uses_facts=True,
            examples=_example(matrix),
        )(right)

    return decorate


# ------------------------------------------------------------------ examples


def _example(matrix: Matrix) -> Examples:
    """Examples of products of a constant square matrix, on either side, with another one."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        n, m = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        literal = Literal(matrix(rng, n).astype(np.float64))
        first, second = int(rng.integers(0, 2)), int(rng.integers(0, 2))
        other = TensorType((n, m) if second == 0 else (m, n), "f64")
        if rng.random() < 0.5:
            d = DotDimensions((), (), (first,), (second,))
            return {"x": literal, "y": other, "d": d, "t": "f64"}
        d = DotDimensions((), (), (second,), (first,))
        return {"x": other, "y": literal, "d": d, "t": "f64"}

    return draw


def _block_diagonal(rng: np.random.Generator, n: int) -> np.ndarray[Any, Any]:
    x = np.zeros((n, n))
    cut = int(rng.integers(0, n + 1))
    x[:cut, :cut], x[cut:, cut + 1 :] = 2, 3
    return x[::-1] if rng.random() < 0.5 else x


# ------------------------------------------------------------------ products


@_structured(lambda side: is_zero(side.s), ZERO, (lambda rng, n: np.zeros((n, n))), FINITE)
def dot_with_zero(side: Side) -> Any:
    """0 · y = 0"""
    size = side.size
    return full(0, TensorType(tuple(size[label] for label in side.result), side.dtype))


def _draw_integers(rng: np.random.Generator) -> dict[str, Any]:
    """A product of a vector of zeros with a matrix of integers."""
    n, m, t = int(rng.integers(1, 6)), int(rng.integers(1, 5)), str(rng.choice(["i8", "i32"]))
    zero = splat(0, TensorType((n,), t))
    return {"x": zero, "y": TensorType((n, m), t), "d": DotDimensions((), (), (0,), (0,)), "t": t}


dot_with_zero_exactly = exactly(
    dot_with_zero,
    lambda x, y, **others: is_integer(x.dtype) and is_integer(y.dtype) and is_integer(others["t"]),
    _draw_integers,
)


@_structured(lambda side: is_identity(side.s), "1·Y = Y", (lambda rng, n: np.eye(n)))
def dot_with_identity(side: Side) -> Any:
    """1 · y = y, transposed as the dimension numbers say"""
    need(side.o.dtype == side.dtype)
    contracted, free = side.matrix()
    renamed = tuple(free if label == contracted else label for label in side.other)
    return transposed(side.o, permutation_to(renamed, side.result))


@_structured(
    lambda side: is_diagonal(side.s) and not is_zero(side.s) and not is_identity(side.s),
    "diag(v)·Y scales the rows of Y",
    (lambda rng, n: np.diag(rng.integers(-3, 4, n))),
)
def dot_with_diagonal(side: Side) -> Any:
    """diag(v) · y = v · y, element by element"""
    need(side.s.shape[-1] == side.s.shape[-2] and is_uniform(side.dtype, side.s, side.o))
    contracted, free = side.matrix()
    # All but the diagonal is 0.
    diagonal = reduce_("add", side.s, (side.own.index(contracted),))
    own = tuple(label for label in side.own if label != contracted)
    renamed = tuple(free if label == contracted else label for label in side.other)
    size = side.size
    scaled = multiply(along(diagonal, own, renamed, size), side.o)
    return transposed(scaled, permutation_to(renamed, side.result))


def _single_diagonal(s: Value) -> int | None:
    """k if all elements of s but those at j - i = k are 0, other than the main diagonal; or None"""
    if s.rank < 2 or 0 in s.shape:
        return None
    band = band_of(facts_of(s))
    return band.low if band.low == band.high != 0 else None


def _shifted_diagonal(rng: np.random.Generator, n: int) -> np.ndarray[Any, Any]:
    shift = int(rng.choice([-2, -1, 1, 2])) if n > 2 else int(rng.choice([-1, 1]))
    x = np.eye(n, k=shift)
    return x if rng.random() < 0.5 else x * rng.integers(-3, 4, (n, n))


@_structured(
    lambda side: _single_diagonal(side.s) is not None and not is_zero(side.s),
    "a matrix with one diagonal shifts rows",
    _shifted_diagonal,
)
def dot_with_shifted_diagonal(side: Side) -> Any:
    """S · y = rows of y shifted by k, scaled, for S with elements at j - i = k ≠ 0 only"""
    need(is_uniform(side.dtype, side.s, side.o))
    contracted, free = side.matrix()
    axis, k = side.own.index(contracted), _single_diagonal(side.s)
    assert k is not None
    # Row i of the result is s[i] · y[i + shift]; what is outside y is 0.
    shift = k if axis == side.s.rank - 1 else -k
    size = side.size
    low, high = max(0, -shift), min(size[free], size[contracted] - shift)
    renamed = tuple(free if label == contracted else label for label in side.other)
    whole = {label: (0, size[label], 1) for label in renamed}
    rows = whole | {free: (low + shift, high + shift, 1)}
    shifted = cut(side.o, [rows[label] for label in renamed])
    if facts_of(side.s).known.full != Band(k, k):
        own = tuple(label for label in side.own if label != contracted)
        scales = reduce_("add", side.s, (axis,))
        scales = cut(scales, [(low, high, 1) if label == free else whole[label] for label in own])
        shifted = multiply(along(scales, own, renamed, size | {free: high - low}), shifted)
    edges = [(low, size[free] - high, 0) if label == free else (0, 0, 0) for label in renamed]
    padded = pad(shifted, full(0, TensorType((), side.dtype)), *zip(*edges, strict=True))
    return transposed(padded, permutation_to(renamed, side.result))


def _narrow_bands(rng: np.random.Generator) -> dict[str, Any]:
    """The sum or difference of two matrices with few diagonals, times another one."""
    n, m = int(rng.integers(5, 8)), int(rng.integers(1, 5))
    low, high = (int(k) for k in rng.choice([-1, 0, 1], 2, replace=False))
    d = DotDimensions((), (), (int(rng.integers(0, 2)),), (0,))
    x, y = Literal(np.eye(n, k=low)), Literal(np.eye(n, k=high))
    f = str(rng.choice(["add", "subtract"]))
    return {"f": f, "x": x, "y": y, "z": TensorType((n, m), "f64"), "d": d, "t": "f64"}


@rule(
    lambda f, x, y, z, d, p, t: dot_general(binary(f, x, y), z, d, p, t),
    numerics=ROUNDING,
    source="distributivity",
    uses_facts=True,
    examples=_narrow_bands,
)
def dot_with_sum_of_diagonals(
    f: str, x: Value, y: Value, z: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """(S ± T) · z = S · z ± T · z for matrices S and T with few diagonals, in large products"""
    need(f in ("add", "subtract") and x.type == y.type and x.dtype == t and has_numbers(z))
    bands = [band_of(facts_of(value)) for value in (x, y)] if x.rank >= 2 else []
    few = [band for band in bands if 0 < width(band) <= _MOST_DIAGONALS]
    need(len(few) == 2 and min(map(width, few)) == 1)
    need(min(x.shape[-2:]) > 2 * sum(map(width, few)))
    return binary(f, dot_general(x, z, d, p, t), dot_general(y, z, d, p, t))


def _is_choosing(side: Side) -> bool:
    """Whether s is a constant matrix that chooses one element along what is contracted."""
    if side.s.rank != 2 or constant_of(side.s) is None or is_identity(side.s):
        return False
    return any(side.own[d] in side.other for d in one_hot_of(side.s))


def _choice(rng: np.random.Generator, n: int) -> np.ndarray[Any, Any]:
    return np.eye(n)[rng.permutation(n)] if rng.random() < 0.7 else np.eye(n)[[0] * n]


@_structured(_is_choosing, "a one-hot row chooses a row", (_choice))
def dot_with_choice(side: Side) -> Any:
    """x · y = the rows of y that constant one-hot rows of x choose, y[argmax x]"""
    need(side.o.dtype == side.dtype)
    contracted, free = side.matrix()
    axis = side.own.index(contracted)
    need(axis in one_hot_of(side.s))
    literal = constant_of(side.s)
    assert literal is not None
    rows = np.argmax(np.asarray(literal.array).astype(np.float64), axis).astype(np.int32)
    place = side.other.index(contracted)
    offsets = tuple(i for i in range(side.o.rank) if i != place)
    d = GatherDimensions(offsets, (place,), (), (), (place,), 1)
    n = tuple(1 if i == place else m for i, m in enumerate(side.o.shape))
    renamed = tuple(free if label == contracted else label for label in side.other)
    picked = gather(side.o, constant(Literal(rows)), d, n)
    return transposed(picked, permutation_to(renamed, side.result))


# ------------------------------------------------------------------ zero blocks


class _Part(NamedTuple):
    """A part of a product: from `begin` to `end` along one dimension of the result, and what is to
    be contracted for it.
    """

    begin: int
    end: int
    low: int
    high: int


def _parts(side: Side, along_: Any, contracted: Any) -> list[_Part]:
    """The parts of a product between the ends of zero blocks along one dimension."""
    place, at = side.own.index(along_), side.own.index(contracted)
    n, m = side.s.shape[place], side.s.shape[at]
    blocks = [
        (begin[place], end[place], begin[at], end[at])
        for begin, end in zero_blocks_of(side.s)
        if all(
            i in (place, at) or (begin[i] == 0 and end[i] == size)
            for i, size in enumerate(side.s.shape)
        )
    ]
    cuts = sorted({0, n, *(c for block in blocks for c in block[:2])})
    parts: list[_Part] = []
    for a, b in pairwise(cuts):
        low, high = _nonzero([block[2:] for block in blocks if block[0] <= a and b <= block[1]], m)
        last = parts[-1] if parts else None
        if last is not None and (last.low, last.high) == (low, high):
            parts[-1] = last._replace(end=b)
        else:
            parts.append(_Part(a, b, low, high))
    return parts


def _nonzero(zeros: list[tuple[int, int]], size: int) -> tuple[int, int]:
    """The interval that is left of 0 … size without zeros at its ends."""
    low, high = 0, size
    for _ in zeros:
        low = max([low, *(b for a, b in zeros if a <= low)])
        high = min([high, *(a for a, b in zeros if b >= high)])
    return (low, high) if low < high else (0, 0)


def _best_parts(side: Side) -> tuple[Any, Any, list[_Part]]:
    """The parts that leave the least work, with the label that is cut and the contracted one."""
    found: list[tuple[float, int, Any, Any, list[_Part]]] = []
    size = side.size
    kept = [label for label in side.own if label in side.result]
    contracted = [label for label in side.own if label in side.other and label not in side.result]
    for label in kept:
        for inner in contracted:
            parts = _parts(side, label, inner)
            work = sum((part.end - part.begin) * (part.high - part.low) for part in parts)
            share = work / max(size[label] * size[inner], 1)
            if share <= _WORTHWHILE and len(parts) <= _MOST_PARTS:
                found.append((share, len(found), label, inner, parts))
    need(found)
    _, _, label, inner, parts = min(found)
    return label, inner, parts


@_structured(
    lambda side: not is_zero(side.s) and bool(zero_blocks_of(side.s)) and side.s.rank > 1,
    ZERO,
    (_block_diagonal),
)
def dot_with_zero_blocks(side: Side) -> Any:
    """x · y in parts that leave out blocks of zeros of x, at least a fifth of the work"""
    label, inner, parts = _best_parts(side)
    size, place = side.size, side.result.index(label)
    results = []
    for part in parts:
        bounds = {label: (part.begin, part.end, 1), inner: (part.low, part.high, 1)}
        shape = [size[name] for name in side.result]
        shape[place] = part.end - part.begin
        if part.low == part.high:
            results.append(full(0, TensorType(tuple(shape), side.dtype)))
            continue
        s, o = (
            cut(value, [bounds.get(name, (0, size[name], 1)) for name in labels])
            for value, labels in ((side.s, side.own), (side.o, side.other))
        )
        labels = Einsum(side.own, side.other, side.result)
        results.append(contract(s, o, labels, side.precision, side.dtype))
    return concatenate_all(results, place)
