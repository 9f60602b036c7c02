"""Random inputs: what rules of each numerics class are tested on."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

from saturax.graph.reference import storage
from saturax.graph.sampling import Draw
from saturax.graph.types import TensorType, is_complex, is_float, is_unsigned, numpy_dtype

Array = np.ndarray[Any, Any]


class Inputs(Enum):
    """Kinds of floating-point inputs. Integers are small or of full range in all of them."""

    ADVERSARIAL = "NaN, ±0, ±∞, subnormal, huge and tiny numbers among ordinary ones"
    REALS = "numbers of either sign around 1, zeros among them"
    POSITIVE = "numbers from 0.1 to 3"
    INTEGERS = "integers from -3 to 3"


_ADVERSARIAL = np.array(
    [np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 3e38, -3e38, 1e-38, 6e-8, 6e4, 1, -1, 0.5]
)


def draw_inputs(types: tuple[Any, ...], kind: Inputs, draw: Draw) -> list[Array]:
    """One array for each type; floats are float64 unless they are ADVERSARIAL."""
    return [_drawn(type, kind, draw) for type in types]


def _drawn(type: TensorType, kind: Inputs, draw: Draw) -> Array:
    if is_complex(type.dtype):
        parts = np.empty(type.shape, np.complex128)
        parts.real = _floats(type.shape, kind, draw.rng)
        parts.imag = _floats(type.shape, kind, draw.rng)
        return _stored(parts, type.dtype, kind)
    if is_float(type.dtype):
        return _stored(_floats(type.shape, kind, draw.rng), type.dtype, kind)
    return _integers(type, draw)


def _stored(values: Array, dtype: str, kind: Inputs) -> Array:
    with np.errstate(all="ignore"):
        return values.astype(storage(dtype, reals=kind is not Inputs.ADVERSARIAL))


def _floats(shape: tuple[int, ...], kind: Inputs, rng: np.random.Generator) -> Array:
    if kind is Inputs.INTEGERS:
        return rng.integers(-3, 4, shape).astype(np.float64)
    if kind is Inputs.POSITIVE:
        return rng.uniform(0.1, 3.0, shape)
    ordinary = rng.normal(0.0, 1.5, shape)
    if kind is Inputs.REALS:
        return np.where(rng.random(shape) < 0.1, 0.0, ordinary)
    special = rng.choice(_ADVERSARIAL, shape)
    return np.where(rng.random(shape) < 0.6, special, ordinary)


def _integers(type: TensorType, draw: Draw) -> Array:
    """Small integers (also as indices), or integers whose sums and products wrap around."""
    if type.dtype == "i1":
        return draw.rng.random(type.shape) < 0.5
    kind = numpy_dtype(type.dtype)
    width = 8 * kind.itemsize if type.dtype[-1] not in "24" or kind.itemsize > 1 else 2
    if draw.chance(0.6):
        low = 0 if is_unsigned(type.dtype) else -3
        return draw.rng.integers(low, 8 if width >= 8 else 2, type.shape).astype(kind)
    low = 0 if is_unsigned(type.dtype) else -(1 << (width - 1))
    values = draw.rng.integers(
        low, low + (1 << width) - 1, type.shape, np.int64 if low else np.uint64, True
    )
    extreme = draw.rng.random(type.shape) < 0.2
    return np.where(extreme, low, values).astype(kind)
