"""Which element types let a rule do arithmetic on operands instead of on a wider product."""

from __future__ import annotations

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.types import accumulation_dtype as accumulation_dtype
from saturax.graph.types import is_complex, is_float, is_integer, is_unsigned, numpy_dtype


def is_uniform(dtype: str, *values: Value) -> bool:
    """Whether all values have elements of `dtype`: then no rule step can overflow sooner."""
    return all(value.dtype == dtype for value in values)


def is_real(dtype: str) -> bool:
    """Whether `dtype` has a division that inverts multiplication (up to rounding)."""
    return is_float(dtype) or is_complex(dtype)


COUNTED_EXACTLY = {"f32": 1 << 24, "f64": 1 << 53}
"""Floats that hold every count up to this one exactly; a sum of ones in others sticks early."""


def converts_exactly(source: str, target: str) -> bool:
    """Whether every value of `source` is a value of `target` (false where that is unknown)."""
    if source == target:
        return True
    narrower = numpy_dtype(source).itemsize < numpy_dtype(target).itemsize
    if is_float(source) and is_float(target):
        return narrower and target in ("f32", "f64")
    integers = is_integer(source) and is_integer(target)
    return integers and narrower and is_unsigned(source) == is_unsigned(target)


def is_finite(c: Literal) -> bool:
    """Whether a constant has elements, and none of them is infinite or NaN."""
    return c.type.size > 0 and bool(np.all(np.isfinite(c.data.astype(np.complex128))))
