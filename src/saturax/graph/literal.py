"""Constants as hashable attributes: compared bit by bit, so NaN = NaN and 0.0 ≠ -0.0."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from saturax.graph.types import TensorType, is_complex, is_float, mlir_dtype, numpy_dtype


class Literal:
    """An immutable constant tensor. A splat (all elements bitwise equal) stores one element.

    Equality and hash are by type and bits.
    """

    __slots__ = ("_digest", "_hash", "_is_finite", "data", "is_splat", "type")

    type: TensorType
    data: np.ndarray[Any, Any]
    is_splat: bool

    def __init__(self, array: np.ndarray[Any, Any], shape: tuple[int, ...] | None = None) -> None:
        """Wrap `array`; with `shape`, a rank-0 `array` is the value of a splat of that shape."""
        array = np.asarray(array)
        full_shape = array.shape if shape is None else shape
        dtype = mlir_dtype(array.dtype)
        splat = array if shape is not None and array.ndim == 0 else _splat_value(array)
        self.type = TensorType(full_shape, dtype)
        self.is_splat = splat is not None
        self.data = array if splat is None else splat
        self.data.setflags(write=False)
        stored = np.ascontiguousarray(self.data)
        if stored.nbytes <= 64:
            self._digest = stored.tobytes()
        else:
            self._digest = hashlib.blake2b(
                stored.reshape(-1).view(np.uint8).data, digest_size=16
            ).digest()
        self._hash = hash((self.type, self._digest))
        self._is_finite: bool | None = None

    @property
    def is_finite(self) -> bool:
        """Whether no element is infinite or NaN."""
        if self._is_finite is None:
            dtype = self.type.dtype
            may_not_be = self.type.size > 0 and (is_float(dtype) or is_complex(dtype))
            self._is_finite = not may_not_be or bool(
                np.isfinite(self.data.astype(np.complex128)).all()
            )
        return self._is_finite

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The full tensor (a read-only view where it is a splat)."""
        return np.broadcast_to(self.data, self.type.shape)

    @property
    def value(self) -> Any:
        """The value of a splat as a numpy scalar.

        Raises `ValueError` if the constant is not a splat: test `is_splat` first.
        """
        if not self.is_splat:
            raise ValueError(f"expected a splat constant, got distinct elements in {self.type}")
        return self.data[()]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Literal)
            and self._hash == other._hash
            and self.type == other.type
            and self.is_splat == other.is_splat
            and self._digest == other._digest
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        if self.is_splat:
            return f"{self.data[()]!s}:{self.type}"
        return f"literal({self._digest.hex()[:8]}):{self.type}"

    @property
    def key(self) -> str:
        """A text that identifies the constant across processes."""
        return f"{self.type}:{self.is_splat:d}:{bytes(self._digest).hex()}"


def splat(value: Any, type: TensorType) -> Literal:
    """A constant of `type` with every element equal to `value` (converted to its dtype)."""
    return Literal(np.asarray(value).astype(numpy_dtype(type.dtype)).reshape(()), type.shape)


def _splat_value(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """The element that all of `array` equals bitwise, rank 0; None if there is none."""
    if array.size == 0:
        return np.zeros((), array.dtype)
    first = array.reshape(-1)[:1]
    if array.size > 1:
        flat = np.ascontiguousarray(array).reshape(-1)
        width = array.dtype.itemsize
        raw = flat.view(np.uint8).reshape(-1, width)
        if not np.array_equal(raw[-1], raw[0]) or not (raw == raw[0]).all():
            return None
    return first[0:1].reshape(()).copy()
