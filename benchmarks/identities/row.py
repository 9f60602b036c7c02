"""The form of a row: a program as written, its ideal form, and the inputs of both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

N = 256
"""Size of matrices and vectors unless a row says otherwise."""

# Why what is faster on XLA:CPU needs more by count, measured with the rows' own sizes on 2 cores.
BY_PRODUCT = (
    "a product with ones, which doubles the flops, sums 3 to 5 times faster (23 µs, not 80)"
)
BY_COMPARISON = (
    "the first place that equals the maximum is found 2.7 times faster (131 µs, not 349)"
)
BY_KEYS = "floats are sorted 5 times faster as integers (1.8 ms, not 9.2)"
BY_FILTERING = (
    "minimal filtering takes half the products and moves more bytes: 0.92 ms, not 1.06, for the "
    "convolution with a scale and a shift"
)

_WIDE = ("float64", "int64", "uint64", "complex128")


@dataclass(frozen=True)
class Input:
    """An argument: `draw(rng)` gives a numpy array of `shape` and `dtype`."""

    shape: tuple[int, ...]
    dtype: str
    draw: Callable[[np.random.Generator], Any]


@dataclass(frozen=True)
class Identity:
    """One row. `given` and `ideal` take the same inputs and are equal over the reals.

    `numerics` is the setting under which saturax may use the equality; `is_listed` says whether the
    row belongs to the list that the project began with, or is a relative of one that does.
    `note` says what the ideal rests on where that is not plain.
    """

    name: str
    given: Callable[..., Any]
    ideal: Callable[..., Any]
    inputs: tuple[Input, ...]
    is_listed: bool = False
    numerics: str = "rounding"
    note: str = ""

    @property
    def family(self) -> str:
        """The module that the row is in."""
        return self.given.__module__.rpartition(".")[2]

    def arguments(self, seed: int = 0) -> tuple[jax.Array, ...]:
        """Arguments on the device, drawn from a seed."""
        rng = np.random.default_rng(seed)
        return tuple(jax.device_put(np.asarray(i.draw(rng), i.dtype)) for i in self.inputs)

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        """JAX's settings for the row: 64-bit types exist where an input has one."""
        with jax.enable_x64(any(i.dtype in _WIDE for i in self.inputs)):
            yield


def normal(*shape: int, dtype: str = "float32") -> Input:
    """Normally distributed numbers (real and imaginary parts, for a complex type)."""

    def draw(rng: np.random.Generator) -> Any:
        values: Any = rng.standard_normal(shape)
        if dtype.startswith("complex"):
            values = values + 1j * rng.standard_normal(shape)
        return values

    return Input(shape, dtype, draw)


def positive(*shape: int, dtype: str = "float32") -> Input:
    """Numbers between 0.5 and 2."""
    return Input(shape, dtype, lambda rng: rng.uniform(0.5, 2.0, shape))


def integers(*shape: int, low: int = -1000, below: int = 1000, dtype: str = "int32") -> Input:
    """Integers from `low` to `below` - 1."""
    return Input(shape, dtype, lambda rng: rng.integers(low, below, shape))


def booleans(*shape: int) -> Input:
    """True or false with equal chances."""
    return Input(shape, "bool", lambda rng: rng.random(shape) < 0.5)


def weights(*shape: int) -> Input:
    """Normally distributed numbers scaled by one over the root of the first dimension."""
    return Input(shape, "float32", lambda rng: rng.standard_normal(shape) / np.sqrt(shape[0]))


def definite(n: int, dtype: str = "float32") -> Input:
    """A well-conditioned symmetric positive definite matrix."""

    def draw(rng: np.random.Generator) -> Any:
        factor = rng.standard_normal((n, n)) / np.sqrt(n)
        return factor @ factor.T + np.eye(n)

    return Input((n, n), dtype, draw)


def regular(n: int, dtype: str = "float32") -> Input:
    """A well-conditioned matrix."""
    return Input(
        (n, n), dtype, lambda rng: rng.standard_normal((n, n)) / np.sqrt(n) + 2 * np.eye(n)
    )
