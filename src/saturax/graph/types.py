"""Types of values: what a StableHLO value can be, as MLIR spells it and as numpy stores it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

_NUMPY: dict[str, DTypeLike] = {
    "i1": np.bool_,
    "i2": ml_dtypes.int2,
    "i4": ml_dtypes.int4,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "ui2": ml_dtypes.uint2,
    "ui4": ml_dtypes.uint4,
    "ui8": np.uint8,
    "ui16": np.uint16,
    "ui32": np.uint32,
    "ui64": np.uint64,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    "f64": np.float64,
    "complex<f32>": np.complex64,
    "complex<f64>": np.complex128,
    "f4E2M1FN": ml_dtypes.float4_e2m1fn,
    "f8E3M4": ml_dtypes.float8_e3m4,
    "f8E4M3": ml_dtypes.float8_e4m3,
    "f8E4M3FN": ml_dtypes.float8_e4m3fn,
    "f8E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "f8E4M3B11FNUZ": ml_dtypes.float8_e4m3b11fnuz,
    "f8E5M2": ml_dtypes.float8_e5m2,
    "f8E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    "f8E8M0FNU": ml_dtypes.float8_e8m0fnu,
}
_BITS = {"i1": 8, "i2": 2, "ui2": 2, "i4": 4, "ui4": 4, "f4E2M1FN": 4}


@cache
def numpy_dtype(dtype: str) -> np.dtype:
    """Return the numpy (or ml_dtypes) type that stores elements of MLIR type `dtype`.

    Raises `KeyError` for an element type that has no numpy counterpart.
    """
    return np.dtype(_NUMPY[dtype])


@cache
def mlir_dtype(dtype: np.dtype) -> str:
    """Return the MLIR spelling of a numpy element type; the inverse of `numpy_dtype`."""
    return next(name for name in _NUMPY if numpy_dtype(name) == dtype)


def is_float(dtype: str) -> bool:
    """Whether `dtype` is a real floating-point type."""
    return dtype.startswith(("f", "bf"))


def is_complex(dtype: str) -> bool:
    """Whether `dtype` is a complex type."""
    return dtype.startswith("complex")


def is_integer(dtype: str) -> bool:
    """Whether `dtype` is a signed or unsigned integer type (booleans, `i1`, are not)."""
    return dtype.startswith(("i", "ui")) and dtype != "i1"


def is_unsigned(dtype: str) -> bool:
    """Whether `dtype` is an unsigned integer type."""
    return dtype.startswith("ui")


def accumulation_dtype(dtype: str) -> str:
    """The type in which XLA sums products for results of `dtype`: f32 for narrow floats."""
    narrow = is_float(dtype) and numpy_dtype(dtype).itemsize < 4
    return "f32" if narrow else dtype


@dataclass(frozen=True, slots=True)
class TensorType:
    """A dense tensor: static `shape` and MLIR element type `dtype`."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes that a dense copy takes in memory."""
        if self.dtype in _BITS:
            return -(-self.size * _BITS[self.dtype] // 8)
        return self.size * int(numpy_dtype(self.dtype).itemsize)

    def with_shape(self, shape: tuple[int, ...]) -> TensorType:
        """The same element type with another shape."""
        return TensorType(shape, self.dtype)

    def with_dtype(self, dtype: str) -> TensorType:
        """The same shape with another element type."""
        return TensorType(self.shape, dtype)

    def __str__(self) -> str:
        return "x".join([*map(str, self.shape), self.dtype])


@dataclass(frozen=True, slots=True)
class TupleType:
    """The results of an operation with several (or no) results, or a StableHLO tuple."""

    elements: tuple[Type, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.elements))})"


@dataclass(frozen=True, slots=True)
class OpaqueType:
    """Any other type (token, buffer, quantised element, …), carried as its MLIR text."""

    text: str

    def __str__(self) -> str:
        return self.text


Type = TensorType | TupleType | OpaqueType
