"""Inputs on which programs are compared and timed: several distributions, none of them trivial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saturax.graph.types import TensorType, is_complex, is_float, numpy_dtype

Array = np.ndarray[Any, Any]

DISTRIBUTIONS = ("given", "perturbed", "normal", "wide", "non-negative", "special")
"""Names of the distributions of `draw`, in the order in which they are used."""

_INDEX_LIMIT = 8  # integers without an example stay below this: they may be used as indices


def draw(
    distribution: str,
    types: Sequence[TensorType],
    examples: Sequence[Array] | None,
    gain: float,
    seed: int,
) -> list[Array]:
    """One input for each type.

    With `examples`, "given" returns them, "perturbed" changes each float by about a tenth, and
    integers and booleans are always taken from the example's own values. Without examples floats
    are drawn with variance 1/fan-in times `gain`², so that deep programs do not overflow.
    "wide" spreads magnitudes over six decades, "non-negative" contains exact zeros, "special"
    sprinkles NaN and infinities.
    """
    generator = np.random.default_rng((seed, DISTRIBUTIONS.index(distribution)))
    arrays = []
    for index, type in enumerate(types):
        example = None if examples is None else np.asarray(examples[index])
        if distribution == "given" and example is not None:
            arrays.append(example)
        elif is_float(type.dtype) or is_complex(type.dtype):
            arrays.append(_floats(generator, distribution, type, example, gain))
        else:
            arrays.append(_integers(generator, type, example))
    return arrays


def _integers(generator: np.random.Generator, type: TensorType, example: Array | None) -> Array:
    if type.dtype == "i1":
        return generator.random(type.shape) < 0.5
    if example is not None and example.size:
        return np.asarray(generator.permutation(example.reshape(-1)).reshape(type.shape))
    return generator.integers(0, _INDEX_LIMIT, type.shape).astype(numpy_dtype(type.dtype))


def _floats(
    generator: np.random.Generator,
    distribution: str,
    type: TensorType,
    example: Array | None,
    gain: float,
) -> Array:
    shape, kind = type.shape, numpy_dtype(type.dtype)
    normal = generator.standard_normal(shape)
    if example is not None and distribution in ("perturbed", "given"):
        return np.asarray(example * (1 + 0.1 * normal).astype(kind), kind)
    spread = _spread(example) if example is not None else gain / np.sqrt(_fan_in(shape))
    if distribution == "wide":
        normal = np.sign(normal) * 10.0 ** generator.uniform(-4, 1, shape)
    if distribution == "non-negative" or (example is not None and _is_non_negative(example)):
        normal = np.where(generator.random(shape) < 0.1, 0.0, np.abs(normal))
    values = (spread * normal).astype(kind)
    if distribution == "special" and values.size:
        special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0]).astype(kind)
        places = generator.random(shape) < min(0.05, 2 / values.size)
        values = np.where(places, generator.choice(special, shape), values)
    return np.asarray(values, kind)


def _spread(example: Array) -> float:
    """Root mean square of the finite part of an example; 1 if there is none."""
    wide = np.abs(example[np.isfinite(example)].astype(np.complex128))
    return float(np.sqrt(np.mean(wide**2))) if wide.size and wide.any() else 1.0


def _is_non_negative(example: Array) -> bool:
    """Whether an example suggests that its argument is never negative (variances, masses)."""
    return not np.iscomplexobj(example) and example.size > 1 and bool((example >= 0).all())


def _fan_in(shape: tuple[int, ...]) -> int:
    return max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 1
