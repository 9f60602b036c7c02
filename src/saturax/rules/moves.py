"""Slices and transposes in the simplest form that says the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import reshape, slice_, transpose
from saturax.rules.permutations import moves_only_units

Bounds = tuple[int, int, int]


def cut(x: Value, bounds: Iterable[Bounds]) -> Any:
    """x[start:limit:stride] in every dimension; x itself if it has none."""
    listed = list(bounds)
    return slice_(x, *zip(*listed, strict=True)) if listed else x


def count(start: int, limit: int, stride: int) -> int:
    """Number of elements in start:limit:stride."""
    return max(-(-(limit - start) // stride), 0)


def transposed(x: Value, p: Sequence[int]) -> Any:
    """xᵖ, as a reshape if p moves dimensions of size 1 only: that costs nothing, and permutations
    of dimensions of size 1 would multiply the forms of every tensor.
    """
    if moves_only_units(x.shape, p):
        return reshape(x, [x.shape[i] for i in p])
    return transpose(x, p)
