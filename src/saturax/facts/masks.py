"""Comparisons of affine values: triangular, diagonal and one-hot masks, and masks of a part."""

from __future__ import annotations

from collections.abc import Sequence

from saturax.facts.blocks import whole
from saturax.facts.model import (
    FULL_LOWER,
    FULL_UPPER,
    LOWER,
    SYMMETRIC,
    UNIT,
    UPPER,
    Affine,
    Box,
    Known,
    Range,
)
from saturax.graph.types import TensorType


def mask_of(direction: str, x: Known, y: Known, type: TensorType, found: Range | None) -> Known:
    """What is known of x < y (or another comparison) for operands of `type`."""
    if x.affine is None or y.affine is None or 0 in type.shape:
        return Known(found)
    strides = tuple(a - b for a, b in zip(x.affine.strides, y.affine.strides, strict=True))
    if direction in ("GT", "GE"):
        strides = tuple(-s for s in strides)
    sign = -1 if direction in ("GT", "GE") else 1
    difference = Affine(sign * (x.affine.offset - y.affine.offset), strides)
    direction = {"GT": "LT", "GE": "LE"}.get(direction, direction)
    shape = type.shape
    return Known(
        found,
        _structure(direction, difference, shape),
        None,
        _hot_dimensions(difference, shape) if direction == "EQ" else (),
        _false_slabs(direction, difference, shape),
    )


def _holds(direction: str, low: int, high: int) -> tuple[bool, bool]:
    """Whether the comparison of a difference in [low, high] with 0 may hold, and may fail."""
    if direction == "LT":
        return low < 0, high >= 0
    if direction == "LE":
        return low <= 0, high > 0
    may_be_zero, may_differ = low <= 0 <= high, low != 0 or high != 0
    return (may_be_zero, may_differ) if direction == "EQ" else (may_differ, may_be_zero)


def _structure(direction: str, difference: Affine, shape: Sequence[int]) -> int:
    """Bits of the masks in the last two dimensions."""
    if len(shape) < 2 or any(difference.strides[:-2]):
        return 0
    (n, m), (down, right) = shape[-2:], difference.strides[-2:]

    def outcomes(corners: list[tuple[int, int]]) -> tuple[bool, bool]:
        """Whether the comparison may hold, and may fail, in a triangle: it is a linear one."""
        values = [difference.offset + down * i + right * j for i, j in corners]
        return _holds(direction, min(values), max(values))

    bits = SYMMETRIC if n == m and _mirrors(direction, difference) else 0
    last = min(n, m) - 1
    above, below = min(n, m - 1) - 1, min(m, n - 1) - 1
    lower = outcomes([(0, 0), (n - 1, 0), (last, last), (n - 1, last)])
    upper = outcomes([(0, 0), (0, m - 1), (last, last), (last, m - 1)])
    bits |= 0 if lower[1] else FULL_LOWER
    bits |= 0 if upper[1] else FULL_UPPER
    if above < 0 or not outcomes([(0, 1), (0, m - 1), (above, above + 1), (above, m - 1)])[0]:
        bits |= LOWER
    if below < 0 or not outcomes([(1, 0), (n - 1, 0), (below + 1, below), (n - 1, below)])[0]:
        bits |= UPPER
    if n == m and not outcomes([(0, 0), (n - 1, n - 1)])[1]:
        bits |= UNIT
    return bits


def _mirrors(direction: str, difference: Affine) -> bool:
    """Whether a square mask equals its transpose."""
    down, right = difference.strides[-2:]
    return down == right or (
        direction in ("EQ", "NE") and down == -right and difference.offset == 0
    )


def _hot_dimensions(difference: Affine, shape: Sequence[int]) -> tuple[int, ...]:
    """Dimensions along which the difference is 0 at exactly one index, whatever the others are."""
    found = []
    for d, stride in enumerate(difference.strides):
        if abs(stride) != 1:
            continue
        sizes = enumerate(zip(difference.strides, shape, strict=True))
        ends = [s * (n - 1) for i, (s, n) in sizes if i != d]
        low = difference.offset + sum(min(e, 0) for e in ends)
        high = difference.offset + sum(max(e, 0) for e in ends)
        # The index is -rest / stride.
        indices = (-low * stride, -high * stride)
        if min(indices) >= 0 and max(indices) < shape[d]:
            found.append(d)
    return tuple(found)


def _false_slabs(direction: str, difference: Affine, shape: Sequence[int]) -> tuple[Box, ...]:
    """The part of a mask that varies along one dimension only in which it is false."""
    moving = [d for d, s in enumerate(difference.strides) if s]
    if len(moving) != 1 or direction not in ("LT", "LE"):
        return ()
    (d,) = moving
    least, stride, n = int(direction == "LE"), difference.strides[d], shape[d]
    # False where offset + stride · i ≥ least.
    quotient = (difference.offset - least) // abs(stride)
    first, last = (max(-quotient, 0), n) if stride > 0 else (0, min(quotient + 1, n))
    begin, end = whole(shape)
    slab = (*begin[:d], first, *begin[d + 1 :]), (*end[:d], last, *end[d + 1 :])
    return (slab,) if first < last else ()
