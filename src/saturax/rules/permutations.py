"""Arithmetic on permutations and on tuples of dimensions: host functions of rules."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

Permutation = tuple[int, ...]


def compose(p: Sequence[int], q: Sequence[int]) -> Permutation:
    """The permutation of transpose(transpose(x, p), q), seen from x."""
    return tuple(p[i] for i in q)


def invert(p: Sequence[int]) -> Permutation:
    """The permutation that undoes p: compose(p, invert(p)) is the identity."""
    inverse = [0] * len(p)
    for position, dimension in enumerate(p):
        inverse[dimension] = position
    return tuple(inverse)


def is_identity(p: Sequence[int]) -> bool:
    """Whether p moves nothing."""
    return all(position == dimension for position, dimension in enumerate(p))


def rank_order(dimensions: Sequence[int]) -> Permutation:
    """Replace each of some distinct numbers by its rank among them: (5, 2, 9) → (1, 0, 2)."""
    order = sorted(dimensions)
    return tuple(order.index(d) for d in dimensions)


def permutation_to(old: Sequence[Hashable], new: Sequence[Hashable]) -> Permutation:
    """The permutation which brings dimensions labelled `old` into the order `new`."""
    return tuple(old.index(label) for label in new)


def without(items: Sequence[int], dropped: Sequence[int]) -> tuple[int, ...]:
    """The entries of `items` whose position is not in `dropped`."""
    return tuple(item for position, item in enumerate(items) if position not in dropped)


def replaced(items: Sequence[int], position: int, item: int) -> tuple[int, ...]:
    """A copy of `items` with another entry at `position`."""
    return (*items[:position], item, *items[position + 1 :])


def moves_only_units(shape: Sequence[int], p: Sequence[int]) -> bool:
    """Whether transposing `shape` by p keeps the order of elements in memory."""
    large = [d for d in p if shape[d] != 1]
    return large == sorted(large) or 0 in shape
