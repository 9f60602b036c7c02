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

    With `examples`, every distribution stays near them: "given" returns them, "perturbed" changes
    each float by about a tenth, "normal" shuffles their elements, "wide" scales each by up to 3,
    "non-negative" sets a tenth to zero (not where all are positive, as variances are); integers and
    booleans are shuffled. Without examples floats have variance gain² / fan-in, so that deep
    programs do not overflow; "wide" spreads magnitudes over five decades, "non-negative" contains
    exact zeros. "special" sprinkles NaN and infinities.
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
    if example is not None:
        values = _near(generator, distribution, example, kind)
    else:
        values = _free(generator, distribution, shape, gain).astype(kind)
    if distribution == "special" and values.size:
        special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0]).astype(kind)
        places = generator.random(shape) < min(0.05, 2 / values.size)
        values = np.where(places, generator.choice(special, shape), values)
    return np.asarray(values, kind)


def _near(
    generator: np.random.Generator, distribution: str, example: Array, kind: np.dtype[Any]
) -> Array:
    """Floats like those of an example."""
    shape = example.shape
    if distribution in ("normal", "special"):
        return np.asarray(generator.permutation(example.reshape(-1)).reshape(shape))
    if distribution == "wide":
        return np.asarray(example * 3.0 ** generator.uniform(-1, 1, shape).astype(kind))
    if distribution == "non-negative":
        is_positive = not np.iscomplexobj(example) and bool((example > 0).all())
        keep = (generator.random(shape) >= (0.0 if is_positive else 0.1)).astype(kind)
        return np.asarray(example * keep)
    return np.asarray(example * (1 + 0.1 * generator.standard_normal(shape)).astype(kind))


def _free(
    generator: np.random.Generator, distribution: str, shape: tuple[int, ...], gain: float
) -> Array:
    """Floats of a well-scaled program."""
    spread = gain / np.sqrt(max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 1)
    normal = generator.standard_normal(shape)
    if distribution == "wide":
        normal = np.sign(normal) * 10.0 ** generator.uniform(-4, 1, shape)
    if distribution == "non-negative":
        normal = np.where(generator.random(shape) < 0.1, 0.0, np.abs(normal))
    return np.asarray(spread * normal)
