"""Random inputs: what rules of each numerics class are tested on."""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any

import ml_dtypes
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
    REGULAR = "well-conditioned matrices, where they are square"
    DOMINANT = "symmetric matrices with a dominant diagonal, where they are square"


_ADVERSARIAL = (np.nan, 0.0, -0.0, np.inf, -np.inf, 6e-8, 6e4, 1.0, -1.0, 0.5, 3.0)


@cache
def _adversarial(dtype: str) -> Array:
    """Special values of an element type: limits, subnormal numbers, neighbours of 1."""
    info: Any = ml_dtypes.finfo(numpy_dtype(dtype))
    limits = [float(info.max), float(info.tiny), float(info.smallest_subnormal)]
    ulp = float(info.eps)
    return np.array([*_ADVERSARIAL, *limits, *[-x for x in limits], 1 + ulp, 1 - ulp / 2])


def draw_inputs(types: tuple[Any, ...], kind: Inputs, draw: Draw) -> list[Array]:
    """One array for each type; floats are float64 unless they are ADVERSARIAL."""
    return [draw_tensor(type, kind, draw) for type in types]


def draw_tensor(type: Any, kind: Inputs, draw: Draw) -> Array:
    """One array; see `draw_inputs`."""
    if is_complex(type.dtype):
        part = type.with_dtype(type.dtype[8:-1])
        parts = np.empty(type.shape, np.complex128)
        parts.real, parts.imag = (_floats(part, kind, draw.rng) for _ in range(2))
        if kind is Inputs.DOMINANT and type.rank >= 2:
            # Hermitian: the diagonal is real.
            parts.imag = np.triu(parts.imag, 1) - np.tril(parts.imag, -1)
        return _stored(parts, type.dtype, kind)
    if is_float(type.dtype):
        return _stored(_floats(type, kind, draw.rng), type.dtype, kind)
    return _integers(type, draw)


def _stored(values: Array, dtype: str, kind: Inputs) -> Array:
    with np.errstate(all="ignore"):
        return values.astype(storage(dtype, reals=kind is not Inputs.ADVERSARIAL))


def _floats(type: TensorType, kind: Inputs, rng: np.random.Generator) -> Array:
    shape = type.shape
    if kind is Inputs.INTEGERS:
        return rng.integers(-3, 4, shape).astype(np.float64)
    if kind is Inputs.POSITIVE:
        return rng.uniform(0.1, 3.0, shape)
    ordinary = rng.normal(0.0, 1.5, shape)
    if kind is Inputs.REGULAR:
        return _regular(ordinary, rng)
    if kind is Inputs.DOMINANT:
        return _dominant(ordinary)
    if kind is Inputs.REALS:
        return np.where(rng.random(shape) < 0.1, 0.0, ordinary)
    special = rng.choice(_adversarial(type.dtype), shape)
    return np.where(rng.random(shape) < 0.6, special, ordinary)


def _regular(x: Array, rng: np.random.Generator) -> Array:
    """X, or of square matrices x/4 + 3n·P with a permutation P of rows, whose signs vary."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        return x
    n = x.shape[-1]
    permuted = np.eye(n)[rng.permutation(n)] * rng.choice([-1.0, 1.0], (n, 1))
    return np.asarray(x / 4 + 3 * n * permuted)


def _dominant(x: Array) -> Array:
    """X, or (x + xᵀ)/4 + 3n·1 of square matrices: well-conditioned and positive definite."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        return x
    n = x.shape[-1]
    return np.asarray((x + x.swapaxes(-1, -2)) / 4 + 3 * n * np.eye(n))


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
