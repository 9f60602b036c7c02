"""Values that are affine in their index: what an element type can hold, and bounds."""

from __future__ import annotations

from collections.abc import Sequence

from saturax.facts.model import Affine
from saturax.facts.ranges import limits
from saturax.graph.types import TensorType

_PRECISION = {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}


def fitting(affine: Affine | None, type: TensorType) -> Affine | None:
    """An affine value, if all its numbers are exact in the type; strides that matter only."""
    if affine is None or 0 in type.shape:
        return None
    strides = tuple(s if n > 1 else 0 for s, n in zip(affine.strides, type.shape, strict=True))
    low, high = affine_bounds(Affine(affine.offset, strides), type.shape)
    if type.dtype in _PRECISION:
        exact = max(abs(low), abs(high)) <= 1 << _PRECISION[type.dtype]
    else:
        full = limits(type.dtype)
        exact = full is not None and full.low <= low and high <= full.high
    return Affine(affine.offset, strides) if exact else None


def affine_bounds(affine: Affine, shape: Sequence[int]) -> tuple[int, int]:
    """The least and the greatest element of an affine value."""
    ends = [s * (n - 1) for s, n in zip(affine.strides, shape, strict=True)]
    return affine.offset + sum(min(e, 0) for e in ends), affine.offset + sum(
        max(e, 0) for e in ends
    )
