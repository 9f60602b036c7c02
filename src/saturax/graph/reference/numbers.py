"""How the reference stores and widens numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from saturax.errors import SaturaxError
from saturax.graph.types import is_complex, is_float, mlir_dtype, numpy_dtype

Array = np.ndarray[Any, Any]


class UnsupportedError(SaturaxError):
    """An operation has no reference meaning."""


@cache
def storage(dtype: str, reals: bool = False) -> np.dtype:
    """The numpy type of elements of `dtype`; over the reals, float64 or complex128 for floats."""
    if reals and is_float(dtype):
        return np.dtype(np.float64)
    return np.dtype(np.complex128) if reals and is_complex(dtype) else numpy_dtype(dtype)


@cache
def is_real(dtype: np.dtype) -> bool:
    """Whether a numpy type is a real floating-point one."""
    return is_float(mlir_dtype(dtype))


@cache
def arithmetic_dtype(dtype: np.dtype) -> np.dtype:
    """The type in which numpy computes with elements of `dtype`: at least 32 bits for floats.

    Rounding twice is harmless for +, -, ·, / and √: 24 ≥ 2·11 + 2 bits of significand.
    """
    if is_real(dtype) and dtype.itemsize < 4:
        return np.dtype(np.float32)
    name = mlir_dtype(dtype)
    if name in ("i2", "i4", "ui2", "ui4"):
        return np.dtype(np.int8 if name[0] == "i" else np.uint8)
    return dtype


def widen(x: Array) -> Array:
    """X in its arithmetic type."""
    return x.astype(arithmetic_dtype(x.dtype), copy=False)


def widest(x: Array) -> Array:
    """X in double precision, contiguous, so that equal elements have equal function values."""
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    return np.ascontiguousarray(x, dtype=wide).reshape(x.shape)


@cache
def bit_width(dtype: np.dtype) -> int:
    """Number of bits of an element of an integer type."""
    name = mlir_dtype(dtype)
    return 1 if name == "i1" else int(name.lstrip("ui"))
