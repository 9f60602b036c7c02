"""Arithmetic on shapes: how the dimensions of a reshape correspond."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import NamedTuple

Shape = tuple[int, ...]


class Block(NamedTuple):
    """Consecutive dimensions before and after a reshape that hold the same elements."""

    source: tuple[int, ...]
    target: tuple[int, ...]


def blocks(s: Sequence[int], t: Sequence[int]) -> tuple[Block, ...] | None:
    """The smallest blocks of a reshape from s to t, in order; None for empty tensors.

    Dimensions of size 1 are blocks of their own (paired where both sides have one), except inside
    a block: (2, 1, 6) → (2, 3, 2, 1) is 0→0, 1→, 2→12, →3.
    """
    if 0 in s or 0 in t or prod(s) != prod(t):
        return None
    found: list[Block] = []
    i = j = 0
    while i < len(s) or j < len(t):
        unit_source, unit_target = i < len(s) and s[i] == 1, j < len(t) and t[j] == 1
        if unit_source or unit_target:
            found.append(Block((i,) if unit_source else (), (j,) if unit_target else ()))
            i, j = i + unit_source, j + unit_target
            continue
        first_i, first_j = i, j
        size, target_size = s[i], t[j]
        while size != target_size:
            if size < target_size:
                i += 1
                size *= s[i]
            else:
                j += 1
                target_size *= t[j]
        i, j = i + 1, j + 1
        found.append(Block(tuple(range(first_i, i)), tuple(range(first_j, j))))
    return tuple(found)


def is_run(dimensions: Sequence[int]) -> bool:
    """Whether the numbers are consecutive and ascending."""
    return all(b == a + 1 for a, b in pairwise(dimensions))


def squeezed(shape: Sequence[int]) -> Shape:
    """The shape without its dimensions of size 1."""
    return tuple(n for n in shape if n != 1)


def large_dimensions(shape: Sequence[int]) -> tuple[int, ...]:
    """The dimensions whose size is not 1."""
    return tuple(i for i, n in enumerate(shape) if n != 1)


def picked(items: Sequence[int], dimensions: Sequence[int]) -> tuple[int, ...]:
    """The entries of `items` at `dimensions`."""
    return tuple(items[i] for i in dimensions)


def symmetric_difference(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """What is in exactly one of a and b, ascending."""
    return tuple(sorted(set(a) ^ set(b)))
