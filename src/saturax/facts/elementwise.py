"""What is known of the results of elementwise functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saturax.facts.affine import fitting
from saturax.facts.bands import (
    EMPTY,
    band_of,
    common,
    fitting_band,
    hull,
    inside_outside,
    outside,
    whole_band,
)
from saturax.facts.blocks import all_zero_boxes, shared
from saturax.facts.masks import mask_of
from saturax.facts.model import (
    NOTHING,
    SYMMETRIC,
    UNIT,
    Affine,
    Band,
    Box,
    Facts,
    Known,
    Range,
    distinct,
    tensor_type,
)
from saturax.facts.ranges import (
    FALSE,
    INF,
    TRUE,
    binary_range,
    is_finite_range,
    limits,
    range_of,
    square,
    unary_range,
    union,
)
from saturax.graph.ops.elementwise import function_name
from saturax.graph.types import TensorType, is_complex

KEEPS_ZERO = frozenset(
    "negate abs sign floor ceil round_nearest_even round_nearest_afz sqrt cbrt tanh sine tan real "
    "imag convert exponential_minus_one log_plus_one popcnt chlo.square chlo.sinh chlo.asin "
    "chlo.atan chlo.asinh chlo.atanh chlo.erf chlo.erf_inv chlo.conj chlo.tan".split()
)
"""Functions with f(0) = 0."""

KEEPS_ONE = frozenset(
    "abs sign floor ceil round_nearest_even round_nearest_afz sqrt real convert chlo.square "
    "chlo.conj".split()
)
"""Functions with f(1) = 1, exactly."""


def unary(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of f(x)."""
    (f,), (x,) = attributes, children
    name, source = function_name(f), tensor_type(x).dtype
    known, own = x.known, range_of(x)
    found = _NOT_NEGATIVE if name == "abs" and is_complex(source) else None
    if own is not None and limits(type.dtype) is not None:
        found = unary_range(f, own, source)
    found = None if found == limits(type.dtype) else found
    if known is NOTHING:
        return NOTHING if found is None else Known(found)
    keeps_zero = name in KEEPS_ZERO and not is_complex(type.dtype)
    keeps_one = name in KEEPS_ONE
    kept = SYMMETRIC | (UNIT if keeps_one else 0)
    band, full = known.band if keeps_zero else None, known.full if keeps_one else None
    if name == "not" and source == "i1" and type.rank >= 2:
        band = fitting_band(outside(known.full, type.shape), type.shape)
        full = inside_outside(known.band, type.shape)
    return Known(
        found,
        known.matrix & kept,
        _affine_unary(name, known.affine, type),
        known.one_hot if keeps_one and keeps_zero else (),
        known.zeros if keeps_zero else (),
        band,
        full,
    )


def _affine_unary(name: str, affine: Affine | None, type: TensorType) -> Affine | None:
    if affine is not None and name == "negate":
        affine = Affine(-affine.offset, tuple(-s for s in affine.strides))
    return fitting(affine, type) if name in ("convert", "negate") else None


def binary(
    attributes: Any,
    children: Sequence[Facts],
    type: TensorType,
    is_same: bool = False,
    zeros_absorb: bool = False,
) -> Known:
    """What is known of f(x, y). `is_same`: both are one value. `zeros_absorb`: 0 times what may be
    taken to be finite is 0.
    """
    (f,), (x, y) = attributes, children
    source = tensor_type(x)
    left, right = range_of(x), range_of(y)
    found = None
    if left is not None and right is not None:
        squares, dtype = is_same and f == "multiply", source.dtype
        found = square(left, dtype) if squares else binary_range(f, left, right, dtype)
        found = None if found == limits(type.dtype) else found
    if x.known is NOTHING and y.known is NOTHING:
        return NOTHING if found is None else Known(found)
    if isinstance(f, tuple):
        return mask_of(f[1], x.known, y.known, source, found)
    symmetric = x.known.matrix & y.known.matrix & SYMMETRIC
    return Known(
        found,
        symmetric | _units(f, x, y),
        fitting(_affine_binary(f, x.known.affine, y.known.affine), type),
        (),
        _zeros(f, x, y, zeros_absorb),
        fitting_band(_band(f, x, y, zeros_absorb), type.shape),
        _full(f, x.known.full, y.known.full, type.dtype == "i1"),
    )


def _affine_binary(f: str, x: Affine | None, y: Affine | None) -> Affine | None:
    if x is None or y is None:
        return None
    if f in ("add", "subtract"):
        sign = 1 if f == "add" else -1
        strides = tuple(a + sign * b for a, b in zip(x.strides, y.strides, strict=True))
        return Affine(x.offset + sign * y.offset, strides)
    if f == "multiply" and (not any(x.strides) or not any(y.strides)):
        factor, other = (x, y) if not any(x.strides) else (y, x)
        strides = tuple(factor.offset * s for s in other.strides)
        return Affine(factor.offset * other.offset, strides)
    return None


_NOT_NEGATIVE = Range(0.0, INF, True)
_BOTH = frozenset({"add", "subtract", "maximum", "minimum", "or", "xor"})
"""Functions with f(0, 0) = 0."""


def is_absorbed(other: Facts, is_assumed: bool) -> bool:
    """Whether 0 times any element of `other` is 0."""
    found = range_of(other)
    return (is_assumed and other.assumed_finite) or (found is not None and is_finite_range(found))


def _units(f: str, x: Facts, y: Facts) -> int:
    """UNIT, if both have it and f(1, 1) = 1."""
    keeps_one = f in ("maximum", "minimum", "or", "and", "multiply")
    return x.known.matrix & y.known.matrix & UNIT if keeps_one else 0


def _band(f: str, x: Facts, y: Facts, zeros_absorb: bool) -> Band | None:
    """The diagonals outside which f(x, y) is 0."""
    if tensor_type(x).rank < 2:
        return None
    left, right = band_of(x), band_of(y)
    if f in _BOTH:
        return hull(left, right)
    if f == "and":
        return common(left, right)
    if f == "multiply":
        either = hull(left, right)
        found = left if is_absorbed(y, zeros_absorb) else either
        return common(found, right if is_absorbed(x, zeros_absorb) else either)
    return None


def _full(f: str, x: Band | None, y: Band | None, is_predicate: bool) -> Band | None:
    """Diagonals on which f(x, y) is 1."""
    if x is not None and y is not None and f in ("and", "multiply", "minimum", "maximum", "or"):
        both = common(x, y)
        return both if both != EMPTY else None
    return (x or y) if f == "or" and is_predicate else None


def _zeros(f: str, x: Facts, y: Facts, zeros_absorb: bool) -> tuple[Box, ...]:
    left, right = all_zero_boxes(x), all_zero_boxes(y)
    if f in _BOTH:
        return shared(left, right)
    if f == "and":
        return distinct((*left, *right))
    if f == "multiply":
        kept = left if is_absorbed(y, zeros_absorb) else ()
        more = right if is_absorbed(x, zeros_absorb) else ()
        return distinct((*kept, *more, *shared(left, right)))
    return ()


def ternary(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a choice, or of a clamped value."""
    x, y, z = children
    if attributes[0] == "clamp":
        return _clamped(x, y, z, type)
    if x.known.range in (TRUE, FALSE):
        return y.known if x.known.range == TRUE else z.known
    left, right = range_of(y), range_of(z)
    found = union(left, right) if left is not None and right is not None else None
    boxes = shared((*x.known.zeros, *all_zero_boxes(y)), all_zero_boxes(z))
    structure = x.known.matrix & y.known.matrix & z.known.matrix & SYMMETRIC
    band = fitting_band(_chosen_band(x, y, z), type.shape)
    found = found if found != limits(type.dtype) else None
    return Known(found, structure, None, (), boxes, band)


def _chosen_band(p: Facts, x: Facts, y: Facts) -> Band | None:
    """The diagonals outside which x where p, else y is 0."""
    shape = tensor_type(x).shape
    if len(shape) < 2:
        return None
    is_mask = tensor_type(p).shape == shape
    may_hold = band_of(p) if is_mask else whole_band(shape)
    may_fail = outside(p.known.full, shape) if is_mask else whole_band(shape)
    return hull(common(may_hold, band_of(x)), common(may_fail, band_of(y)))


def _clamped(low: Facts, x: Facts, high: Facts, type: TensorType) -> Known:
    own = [range_of(v) for v in (low, x, high)]
    if own[0] is None or own[1] is None or own[2] is None:
        return NOTHING
    least = binary_range("maximum", own[0], own[1], type.dtype)
    return Known(binary_range("minimum", least or own[1], own[2], type.dtype))
