"""Comparisons of affine values: triangular, diagonal and one-hot masks, and masks of a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saturax.facts.bands import Flags, fitting_band, full_band, held_band
from saturax.facts.blocks import whole
from saturax.facts.model import (
    SYMMETRIC,
    UNIT,
    Affine,
    Band,
    Box,
    Known,
    Range,
)
from saturax.graph.types import TensorType

Numbers = np.ndarray[Any, np.dtype[np.int64]]
_LARGEST = 1 << 62
"""Differences below are exact in 64 bits."""


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
    bits, band, full = _structure(direction, difference, shape)
    return Known(
        found,
        bits,
        None,
        _hot_dimensions(difference, shape) if direction == "EQ" else (),
        _false_slabs(direction, difference, shape),
        band,
        full,
    )


def _outcomes(direction: str, low: Numbers, high: Numbers) -> tuple[Flags, Flags]:
    """Whether the comparison of differences in [low, high] with 0 may hold, and may fail."""
    if direction == "LT":
        return low < 0, high >= 0
    if direction == "LE":
        return low <= 0, high > 0
    may_be_zero, may_differ = (low <= 0) & (high >= 0), (low != 0) | (high != 0)
    return (may_be_zero, may_differ) if direction == "EQ" else (may_differ, may_be_zero)


def _structure(
    direction: str, difference: Affine, shape: Sequence[int]
) -> tuple[int, Band | None, Band | None]:
    """Of the masks in the last two dimensions: bits, where they may be true, where they are."""
    if len(shape) < 2 or any(difference.strides[:-2]):
        return 0, None, None
    (n, m), (down, right) = shape[-2:], difference.strides[-2:]
    bits = SYMMETRIC if n == m and _mirrors(direction, difference) else 0
    if abs(difference.offset) + abs(down) * n + abs(right) * m >= _LARGEST:
        return bits, None, None
    # Along a diagonal the difference changes evenly, from one end to the other.
    diagonals = np.arange(1 - n, m)
    ends = np.maximum(0, -diagonals), np.minimum(n, m - diagonals) - 1
    first, last = (difference.offset + down * i + right * (i + diagonals) for i in ends)
    may_hold, may_fail = _outcomes(direction, np.minimum(first, last), np.maximum(first, last))
    full = full_band(~may_fail, shape)
    bits |= UNIT if n == m and not may_fail[n - 1] else 0
    return bits, fitting_band(held_band(may_hold, shape), shape), full


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
