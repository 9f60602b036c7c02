"""Inputs on which programs are compared and timed: several distributions, none of them trivial."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np

from saturax.errors import OptionsError
from saturax.graph.types import TensorType, is_complex, is_float, numpy_dtype

Array = np.ndarray[Any, Any]

DISTRIBUTIONS = ("given", "perturbed", "normal", "wide", "non-negative", "special", "close")
"""Names of the distributions of `draw`, in the order of use; "close" is for lack of time."""

_SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0])
_NOTHING: Mapping[int, Array] = MappingProxyType({})
_MANY = 1 << 16
_VARIED_BYTES = 32 << 20
_ALIGNMENT = 64  # bytes: what XLA asks of its buffers
_CLOSE, _PERTURBED = 1e-3, 0.1  # relative changes
# So many factors are drawn for an example and used again for what it has beyond: a prime number, so
# that no two of its rows get the same ones in the same places.
_FACTORS = 1_000_003
_BLOCK = 1 << 20
_INDEX_LIMIT = 8  # integers without an example stay below this: they may be used as indices


def draw(
    distribution: str,
    types: Sequence[TensorType],
    examples: Sequence[Array | None] | None,
    gain: float,
    seed: int,
    shared: Mapping[int, Array] = _NOTHING,
    keeps_integers: bool = False,
) -> list[Array]:
    """One input for each type, those in `shared` (by their numbers) as they are.

    With `examples`, every distribution stays near them: "given" returns them, "close" changes each
    float by about a thousandth and nothing else, "perturbed" changes each by about a tenth,
    "normal" shuffles their elements (or draws from them, where there are many: shuffling takes
    several times as long), "wide" scales each by up to 3, "non-negative" sets a tenth to zero (not
    where all are positive, as variances are); from "perturbed" on, integers and
    booleans are shuffled, unless `keeps_integers`. Without examples, or where one is None, floats
    have variance gain² / fan-in, so that deep programs do not overflow; "wide" spreads magnitudes
    over five decades, "non-negative" contains exact zeros. "special" puts in NaN, infinities and
    zeros of both signs (one of each, where there is room).
    """
    generator = np.random.default_rng((seed, DISTRIBUTIONS.index(distribution)))
    factors = _Factors(generator, distribution)
    arrays = []
    for index, type in enumerate(types):
        given = None if examples is None else examples[index]
        example = None if given is None else np.asarray(given)
        if index in shared:
            arrays.append(shared[index])
        elif example is not None and _is_kept(distribution, type, keeps_integers):
            arrays.append(example.astype(numpy_dtype(type.dtype), copy=False))
        elif is_float(type.dtype) or is_complex(type.dtype):
            arrays.append(_floats(generator, distribution, type, example, gain, factors))
        else:
            arrays.append(_integers(generator, type, example))
    return arrays


def nudged(inputs: Sequence[Array], seed: int) -> list[Array]:
    """Inputs that differ from the given ones by about a rounding, where they are not too large.

    Zeros, infinities, integers and booleans are the same.
    """
    generator = np.random.default_rng((seed, len(DISTRIBUTIONS)))
    kept = too_large_to_vary(inputs)
    arrays = []
    for index, array in enumerate(inputs):
        if index in kept or not jnp.issubdtype(array.dtype, np.inexact):
            arrays.append(array)
            continue
        signs = 2 * np.asarray(generator.integers(0, 2, array.shape, np.int8)) - 1
        change = signs.astype(array.dtype) * array.dtype.type(jnp.finfo(array.dtype).eps)
        with np.errstate(over="ignore", invalid="ignore"):  # what lies near the largest numbers
            arrays.append(_aligned(np.asarray(array + change * array), array.dtype))
    return arrays


def _is_kept(distribution: str, type: TensorType, keeps_integers: bool) -> bool:
    """Whether an example is an input as it is."""
    is_varied = is_float(type.dtype) or is_complex(type.dtype)
    is_as_given = keeps_integers or distribution == "close"
    return distribution == "given" or (is_as_given and not is_varied)


def too_large_to_vary(inputs: Sequence[Array]) -> dict[int, Array]:
    """The inputs that further draws should take over, by their numbers: the largest of many.

    Each draw of all the weights of a model would cost as much memory as the model. What is small
    (what a model is applied to, say) varies in any case, and at least one input does.
    """
    ascending = sorted(range(len(inputs)), key=lambda index: inputs[index].nbytes)
    sizes = itertools.accumulate(inputs[index].nbytes for index in ascending)
    varied = max(1, sum(size <= _VARIED_BYTES for size in sizes))
    return {index: inputs[index] for index in ascending[varied:]}


def check_examples(examples: Sequence[Array], types: Sequence[TensorType]) -> list[Array]:
    """Examples as arrays of the types, if there is one of the right shape for each.

    A number may become one of fewer bits, as in JAX, but not one of a smaller kind.

    Raises:
        OptionsError: one is missing, superfluous, or has another shape or a greater kind.
    """
    arrays = [np.asarray(example) for example in examples]
    if len(arrays) != len(types):
        raise OptionsError(
            f"examples: expected one array for each of the program's {len(types)} inputs, "
            f"got {len(arrays)}"
        )
    for index, (array, type) in enumerate(zip(arrays, types, strict=True)):
        if array.shape != type.shape:
            raise OptionsError(
                f"examples: expected shape {type.shape} for input {index}, got {array.shape}"
            )
        if _kind(array.dtype) > _kind(numpy_dtype(type.dtype)):
            raise OptionsError(
                f"examples: expected {type.dtype} for input {index}, got {array.dtype}"
            )
    return [a.astype(numpy_dtype(t.dtype)) for a, t in zip(arrays, types, strict=True)]


def _kind(dtype: np.dtype[Any]) -> int:
    """The place of an element type's kind in the order of kinds: each holds those before it."""
    kinds = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)
    return next((n for n, kind in enumerate(kinds) if jnp.issubdtype(dtype, kind)), len(kinds))


def _integers(generator: np.random.Generator, type: TensorType, example: Array | None) -> Array:
    if type.dtype == "i1":
        return np.asarray(generator.random(type.shape)) < 0.5
    if example is not None and example.size:
        return np.asarray(generator.permutation(example.reshape(-1)).reshape(type.shape))
    # Their least and greatest values vary, too: a program may ask for nothing else.
    least, greatest = sorted(generator.integers(0, _INDEX_LIMIT, 2))
    values = generator.integers(least, greatest, type.shape, endpoint=True)
    return values.astype(numpy_dtype(type.dtype))


def _floats(
    generator: np.random.Generator,
    distribution: str,
    type: TensorType,
    example: Array | None,
    gain: float,
    factors: _Factors,
) -> Array:
    shape, kind = type.shape, numpy_dtype(type.dtype)
    if example is not None and example.size:
        with np.errstate(over="ignore", invalid="ignore"):  # what lies near the largest numbers
            values = _near(generator, distribution, example, kind, factors)
    else:
        values = _free(generator, distribution, shape, gain)
        if is_complex(type.dtype):
            values = values + 1j * _free(generator, distribution, shape, gain)
        values = values.astype(kind)
    values = _aligned(values, kind)
    if distribution == "special" and values.size:
        special = generator.permutation(_SPECIAL)[: max(1, min(5, values.size // 10))]
        places = generator.choice(values.size, len(special), replace=False)
        values.reshape(-1)[places] = special.astype(kind)
    return values


class _Factors:
    """Numbers that examples are multiplied by; the many for large ones are drawn once a draw.

    Those of single precision are drawn in half the time, and as good for any type. For the weights
    of a model it takes longer to draw them than to multiply by them.
    """

    def __init__(self, generator: np.random.Generator, distribution: str) -> None:
        self._generator, self._distribution = generator, distribution

    def of(self, example: Array) -> Array:
        """Factors for an example or, if it is large, for its first elements, to be repeated."""
        if example.size < _MANY:
            return self._draw(example.size)
        start = int(self._generator.integers(_FACTORS))  # others than another example's
        return self._many[start : start + min(example.size, _FACTORS)]

    @cached_property
    def _many(self) -> Array:
        """Twice the same, so that they can be begun anywhere."""
        return np.tile(self._draw(_FACTORS), 2)

    def _draw(self, count: int) -> Array:
        if self._distribution == "wide":
            exponents = 2 * np.asarray(self._generator.random(count, np.float32)) - 1
            return np.asarray(np.exp(np.float32(np.log(3)) * exponents))
        spread = np.float32(_CLOSE if self._distribution == "close" else _PERTURBED)
        return 1 + spread * np.asarray(self._generator.standard_normal(count, np.float32))


def _near(
    generator: np.random.Generator,
    distribution: str,
    example: Array,
    kind: np.dtype[Any],
    factors: _Factors,
) -> Array:
    """Floats like those of an example."""
    shape = example.shape
    if distribution in ("normal", "special"):
        elements = example.reshape(-1)
        if elements.size < _MANY:
            return np.asarray(generator.permutation(elements).reshape(shape))
        return _redrawn(generator, elements).reshape(shape)
    if distribution == "non-negative":
        is_positive = not np.iscomplexobj(example) and bool((example > 0).all())
        keep = np.asarray(generator.random(shape, np.float32)) >= (0.0 if is_positive else 0.1)
        return np.where(keep, example, kind.type(0))
    return _scaled(example, factors.of(example).astype(kind, copy=False))


def _redrawn(generator: np.random.Generator, elements: Array) -> Array:
    """Elements drawn from those of one block after another: blocks stay in the caches."""
    places = generator.integers(0, _BLOCK, min(elements.size, _BLOCK), np.uint32)
    redrawn = _room(elements.shape, elements.dtype)
    for start in range(0, elements.size, _BLOCK):
        # The last block is a whole one, too, and overlaps the one before.
        first = max(0, min(start, elements.size - _BLOCK))
        part = elements[first : first + _BLOCK]
        # Each block in another order than the one before, without drawing again.
        turned = (places + generator.integers(part.size, dtype=np.uint32)) % np.uint32(part.size)
        np.take(part, turned, out=redrawn[first : first + part.size])
    return redrawn


def _scaled(example: Array, factors: Array) -> Array:
    """An example times factors that repeat themselves along its elements, aligned for JAX."""
    elements = np.ascontiguousarray(example).reshape(-1)
    scaled = _room((elements.size,), np.result_type(example, factors))
    for start in range(0, elements.size, max(1, factors.size)):
        part = elements[start : start + factors.size]
        np.multiply(part, factors[: part.size], out=scaled[start : start + part.size])
    return scaled.reshape(example.shape)


def _aligned(values: Array, kind: np.dtype[Any]) -> Array:
    """Values that nobody else holds, at an address at which JAX on a CPU takes them uncopied."""
    is_in_place = values.dtype == kind and values.flags.c_contiguous and values.flags.writeable
    if is_in_place and values.ctypes.data % _ALIGNMENT == 0:
        return values
    copy = _room(values.shape, kind)
    copy[...] = values
    return copy


def _room(shape: tuple[int, ...], kind: np.dtype[Any]) -> Array:
    """An array to fill, at such an address."""
    size = math.prod(shape) * kind.itemsize
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size].view(kind).reshape(shape)


def _free(
    generator: np.random.Generator, distribution: str, shape: tuple[int, ...], gain: float
) -> Array:
    """Floats of a well-scaled program."""
    spread = gain / np.sqrt(max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 1)
    normal: Array = np.asarray(generator.standard_normal(shape))
    if distribution == "wide":
        normal = np.sign(normal) * 10.0 ** np.asarray(generator.uniform(-4, 1, shape))
    if distribution == "non-negative":
        normal = np.where(np.asarray(generator.random(shape)) < 0.1, 0.0, np.abs(normal))
    return np.asarray(spread * normal)
