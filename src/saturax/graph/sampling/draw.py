"""Biased random draws: small sizes, coincidences, values at which functions have special cases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np

from saturax.graph.literal import Literal
from saturax.graph.types import TensorType, is_complex, is_float, is_unsigned, numpy_dtype

T = TypeVar("T")

SIZES = (0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 6, 7)
RANKS = (0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5)
SPECIAL = (0.0, 1.0, -1.0, 2.0, 0.5, -0.0, np.inf, -np.inf, np.nan, 3.0, -2.0)
ORDINARY = (0.0, 0.0, 1.0, 1.0, -1.0, 2.0, 0.5, 3.0, -2.0, 0.25, 1.5)
WHOLE = (0, 0, 1, 1, -1, 2, 3, -2)


class Draw:
    """Draws from a generator; `dtype` is the element type to prefer where one is free."""

    def __init__(self, rng: np.random.Generator, dtype: str = "f32") -> None:
        self.rng = rng
        self.dtype = dtype
        # (start, limit, stride) of each dimension of the slice drawn last: the next may adjoin it.
        self.recent_slice: tuple[tuple[int, int, int], ...] | None = None
        # Uniform numbers are taken from a block: single calls of the generator are slow.
        self._block: list[float] = []

    def uniform(self) -> float:
        """A number in [0, 1)."""
        if not self._block:
            self._block = self.rng.random(256).tolist()
        return self._block.pop()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.uniform() * len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        rest = list(items)
        return [rest.pop(int(self.uniform() * len(rest))) for _ in range(len(rest))]

    def subset(self, items: Sequence[T], probability: float = 0.5) -> list[T]:
        """A random subset, in order."""
        return [item for item in items if self.chance(probability)]

    def size(self) -> int:
        """Size of a dimension, mostly small."""
        return self.pick(SIZES)

    def shape(self, rank: int | None = None) -> tuple[int, ...]:
        """A shape; often several dimensions have the same size."""
        count = self.pick(RANKS) if rank is None else rank
        if count > 1 and self.chance(0.25):
            return (self.size(),) * count
        shape = [self.size() for _ in range(count)]
        # At most one size of 0: otherwise too many instances would have no elements.
        empty = [i for i, n in enumerate(shape) if n == 0]
        if empty and self.chance(0.5):
            empty.pop()
        for i in empty:
            shape[i] = self.pick((1, 2, 3))
        return tuple(shape)

    def permutation(self, rank: int) -> tuple[int, ...]:
        """A permutation: sometimes the identity, often an involution."""
        order = list(range(rank))
        if rank < 2 or self.chance(0.05):
            return tuple(order)
        if self.chance(0.4):
            i, j = self.shuffled(order)[:2]
            order[i], order[j] = order[j], order[i]
            return tuple(order)
        return tuple(self.shuffled(order))

    def literal(self, type: TensorType) -> Literal:
        """A constant: mostly a splat of a special value."""
        kind = numpy_dtype(type.dtype)
        if self.chance(0.7):
            value = np.asarray(self._special(type.dtype), np.float64)
            return Literal(value.astype(kind), type.shape)
        if self.chance(0.5):
            values = [self._special(type.dtype) for _ in range(type.size)]
            return Literal(np.array(values, np.float64).reshape(type.shape).astype(kind))
        integers = self.rng.integers(0 if is_unsigned(type.dtype) else -4, 5, type.shape)
        return Literal(integers.astype(kind))

    def _special(self, dtype: str) -> float:
        if is_float(dtype) or is_complex(dtype):
            return self.pick(SPECIAL if self.chance(0.4) else ORDINARY)
        value = self.pick(WHOLE)
        return abs(value) if is_unsigned(dtype) or dtype == "i1" else value

    def reshaped(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Another shape of the same size: dimensions merged, split, with ones added and removed."""
        new = list(shape)
        for _ in range(self.integer(1, 3)):
            kind = self.integer(0, 3)
            if kind == 0 and len(new) > 1:
                i = self.integer(0, len(new) - 2)
                new[i : i + 2] = [new[i] * new[i + 1]]
            elif kind == 1 and new and len(new) < 6:
                i = self.integer(0, len(new) - 1)
                divisor = self.pick(divisors(new[i]))
                new[i : i + 1] = [divisor, new[i] // divisor]
            elif kind == 2 and len(new) < 6:
                new.insert(self.integer(0, len(new)), 1)
            elif kind == 3 and 1 in new:
                new.remove(1)
        return tuple(self.shuffled(new)) if self.chance(0.1) else tuple(new)


@cache
def divisors(n: int) -> tuple[int, ...]:
    """The divisors of n; those of 0 are taken to be 1, 2 and 3."""
    return (1, 2, 3) if n == 0 else tuple(d for d in range(1, n + 1) if n % d == 0)
