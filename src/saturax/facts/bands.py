"""Bands of matrices: diagonals j - i, in the last two dimensions, outside which all is 0.

A lower triangular matrix has the band (-∞, 0], a diagonal one [0, 0]. Sums, products, transposes
and slices of banded matrices are banded again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saturax.facts.model import Band, Facts, tensor_type

EMPTY = Band(0, -1)
"""No diagonal at all."""

Flags = np.ndarray[Any, np.dtype[np.bool_]]


def whole_band(shape: Sequence[int]) -> Band:
    """The band of all diagonals; EMPTY if the shape has no matrices."""
    return Band(1 - shape[-2], shape[-1] - 1) if len(shape) >= 2 else EMPTY


def fitting_band(band: Band | None, shape: Sequence[int]) -> Band | None:
    """A band cut to the diagonals that there are; None if it has all of them."""
    if band is None or len(shape) < 2 or 0 in shape[-2:]:
        return None
    cut = common(band, whole_band(shape))
    return None if cut == whole_band(shape) else cut


def band_of(facts: Facts) -> Band:
    """The diagonals of a value outside which it is known to be 0."""
    if facts.known.range == (0, 0, False):
        return EMPTY
    found = facts.known.band
    return whole_band(tensor_type(facts).shape) if found is None else found


def common(a: Band, b: Band) -> Band:
    """The diagonals in both bands."""
    both = Band(max(a.low, b.low), min(a.high, b.high))
    return both if both.low <= both.high else EMPTY


def hull(a: Band, b: Band) -> Band:
    """The least band that holds two."""
    if EMPTY in (a, b):
        return b if a == EMPTY else a
    return Band(min(a.low, b.low), max(a.high, b.high))


def contains_band(outer: Band, inner: Band) -> bool:
    """Whether one band lies in another."""
    return inner == EMPTY or (outer.low <= inner.low and inner.high <= outer.high)


def product_band(a: Band, b: Band) -> Band:
    """The band of a product of matrices: Σ xᵢₖyₖⱼ has terms at j - i = (k - i) + (j - k)."""
    return EMPTY if EMPTY in (a, b) else Band(a.low + b.low, a.high + b.high)


def flipped(band: Band | None) -> Band | None:
    """The band of the transposed matrix."""
    return band if band in (None, EMPTY) else Band(-band.high, -band.low)


def thinned(band: Band | None, offset: int, step: int) -> Band | None:
    """The diagonals d with `offset` + `step` · d in the band."""
    if band is None or band == EMPTY:
        return band
    return common(Band(-((offset - band.low) // step), (band.high - offset) // step), _ANY)


def spread(band: Band | None, offset: int, step: int) -> Band | None:
    """The diagonals `offset` + `step` · d for d in the band."""
    if band is None or band == EMPTY:
        return band
    return Band(offset + step * band.low, offset + step * band.high)


_ANY = Band(-(1 << 62), 1 << 62)


def outside(band: Band | None, shape: Sequence[int]) -> Band:
    """The least band with all diagonals that are not in `band`."""
    every = whole_band(shape)
    if band is None or band == EMPTY:
        return every
    if band.low <= every.low:
        return common(Band(band.high + 1, every.high), every)
    return common(Band(every.low, band.low - 1), every) if band.high >= every.high else every


def inside_outside(band: Band | None, shape: Sequence[int]) -> Band | None:
    """The larger band of diagonals that are all outside `band`; None if there are none."""
    if band is None or len(shape) < 2:
        return None
    every = whole_band(shape)
    if band == EMPTY:
        return every
    sides = Band(every.low, band.low - 1), Band(band.high + 1, every.high)
    found = max(sides, key=width)
    return found if width(found) > 0 else None


def width(band: Band) -> int:
    """Number of diagonals."""
    return band.high - band.low + 1


def held_band(flags: Flags, shape: Sequence[int]) -> Band:
    """The least band with all flagged diagonals; flags begin at the lowest one."""
    held = np.flatnonzero(flags)
    first = 1 - shape[-2]
    return Band(first + int(held[0]), first + int(held[-1])) if held.size else EMPTY


def full_band(flags: Flags, shape: Sequence[int]) -> Band | None:
    """The widest band of flagged diagonals; None if no diagonal is flagged."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    runs = [(int(b - a), int(a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    if not runs:
        return None
    length, start = max(runs)
    return Band(1 - shape[-2] + start, start - shape[-2] + length)
