"""What is known of a constant: read off its elements."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from saturax.facts.bands import Flags, fitting_band, full_band, held_band
from saturax.facts.blocks import whole
from saturax.facts.model import (
    NOTHING,
    SYMMETRIC,
    UNIT,
    Affine,
    Band,
    Box,
    Known,
    Range,
    distinct,
)
from saturax.facts.ranges import REALS, limits
from saturax.graph.literal import Literal

_LARGEST, _LARGEST_STRUCTURED = 1 << 16, 1 << 12
"""Elements up to which a constant is looked at, and up to which its structure is."""


def literal_known(literal: Literal) -> Known:
    """What is known of a constant; nothing of large ones."""
    if limits(literal.type.dtype) is None:
        return NOTHING
    small = literal.is_splat or literal.type.size <= _LARGEST
    return _known(literal) if small and literal.type.size > 0 else NOTHING


@lru_cache(maxsize=512)
def _known(literal: Literal) -> Known:
    found = _range(literal)
    if literal.is_splat:
        affine = None
        if found is not None and found.low == found.low // 1:
            affine = Affine(int(found.low), (0,) * literal.type.rank)
        return Known(found, _splat_bits(literal), affine)
    if literal.type.size > _LARGEST_STRUCTURED:
        return Known(found)
    array = literal.array
    return Known(
        found,
        _matrix_bits(array),
        _affine(array, found),
        _hot(array),
        _zero_slabs(array),
        _band(array),
        _full(array),
        is_integral=_is_integral(array),
    )


def _is_integral(array: np.ndarray[Any, Any]) -> bool:
    """Whether floats are integers, infinite or NaN."""
    if array.dtype.kind in "biuc":
        return False
    wide = array.astype(np.float64)
    return bool(np.all((wide == np.floor(wide)) | np.isnan(wide)))


def _range(literal: Literal) -> Range | None:
    values = literal.data.reshape(-1)
    if literal.type.dtype not in REALS:
        wide = values.astype(np.int64 if values.dtype != np.uint64 else np.uint64)
        return Range(int(wide.min()), int(wide.max()))
    wide = values.astype(np.float64)
    numbers = wide[~np.isnan(wide)]
    if not numbers.size:
        return None
    return Range(float(numbers.min()), float(numbers.max()), numbers.size < wide.size)


def _splat_bits(literal: Literal) -> int:
    shape = literal.type.shape
    return SYMMETRIC if len(shape) >= 2 and shape[-1] == shape[-2] else 0


def _matrix_bits(x: np.ndarray[Any, Any]) -> int:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        return 0
    diagonal = np.arange(x.shape[-1])
    bits = UNIT if (x[..., diagonal, diagonal] == 1).all() else 0
    # The inverses of 0 and -0 differ.
    mirrored = np.ascontiguousarray(np.swapaxes(x, -1, -2))
    same = mirrored.tobytes() == np.ascontiguousarray(x).tobytes()
    return bits | (SYMMETRIC if same else 0)


def _diagonals(flags: Flags) -> list[Flags]:
    """The diagonals of matrices, the lowest one first."""
    n, m = flags.shape[-2:]
    return [np.diagonal(flags, d, -2, -1) for d in range(1 - n, m)]


def _band(x: np.ndarray[Any, Any]) -> Band | None:
    if x.ndim < 2:
        return None
    held = np.array([line.any() for line in _diagonals(x != 0)])
    return fitting_band(held_band(held, x.shape), x.shape)


def _full(x: np.ndarray[Any, Any]) -> Band | None:
    if x.ndim < 2:
        return None
    return full_band(np.array([line.all() for line in _diagonals(x == 1)]), x.shape)


def _affine(x: np.ndarray[Any, Any], found: Range | None) -> Affine | None:
    if found is None or found.may_be_nan or not max(abs(found.low), abs(found.high)) < 2**53:
        return None
    corner = x[(0,) * x.ndim]
    if corner != corner // 1 or x.dtype == np.bool_:
        return None
    strides = []
    for d, n in enumerate(x.shape):
        unit = tuple(int(i == d) for i in range(x.ndim))
        strides.append(int(x[unit]) - int(corner) if n > 1 and x[unit] == x[unit] // 1 else 0)
    grid = np.full(x.shape, int(corner), np.int64)
    for d, stride in enumerate(strides):
        line = np.arange(x.shape[d], dtype=np.int64) * stride
        grid += line.reshape([-1 if i == d else 1 for i in range(x.ndim)])
    return Affine(int(corner), tuple(strides)) if (grid == x).all() else None


def _hot(x: np.ndarray[Any, Any]) -> tuple[int, ...]:
    ones, zeros = x == 1, x == 0
    if not (ones | zeros).all():
        return ()
    return tuple(d for d in range(x.ndim) if (ones.sum(d) == 1).all())


def _zero_slabs(x: np.ndarray[Any, Any]) -> tuple[Box, ...]:
    """The blocks of zeros at the ends of each dimension."""
    begin, end = whole(x.shape)
    found: list[Box] = []
    for d, n in enumerate(x.shape):
        others = tuple(i for i in range(x.ndim) if i != d)
        held = np.flatnonzero((x != 0).any(axis=others))
        first, last = (int(held[0]), int(held[-1]) + 1) if held.size else (n, n)
        found.append((begin, (*end[:d], first, *end[d + 1 :])))
        found.append(((*begin[:d], last, *begin[d + 1 :]), end))
    return distinct(tuple(found))
