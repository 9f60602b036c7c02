"""Cumulative sums of differences, and differences of cumulative sums, with a first term.

`diff(x, prepend=z)` subtracts from x itself what comes before each element: x, moved by one place,
with z (or zeros, which are a padding) where nothing comes before. Of floats only where they are
finite (∞ - ∞ is NaN), of integers in every bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    broadcast_in_dim,
    concatenate,
    constant,
    pad,
    reduce_window,
    reshape,
    slice_,
    subtract,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import for_integers, where_proved
from saturax.rules.cumulative import cumulation, cumulative_examples, of_integers
from saturax.rules.facts import is_finite
from saturax.rules.rule import FINITE, need, rule
from saturax.rules.telescoping import TELESCOPE, edge, of_numbers


def _moves_later(k: Literal, a: Any, b: Any, c: Any, axis: int) -> bool:
    """Whether padding x so gives 0, x[0], x[1], …; if not, it gives x[1], x[2], …, 0."""
    amounts = [0] * len(a)
    amounts[axis] = 1 if a[axis] > 0 else -1
    need(k.is_splat and k.value == 0 and not any(c))
    need(tuple(a) == tuple(amounts) and tuple(b) == tuple(-n for n in amounts))
    return amounts[axis] > 0


def padded_examples(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    """A window that accumulates along an axis of x, and a padding that moves x along it."""
    drawn = cumulative_examples(*(dtypes or ("f32", "f64")), least=1)(rng)
    axis = max(range(drawn["x"].rank), key=lambda d: drawn["w"].size[d])
    by = 1 if rng.random() < 0.5 else -1
    a = tuple(by if d == axis else 0 for d in range(drawn["x"].rank))
    none = (0,) * drawn["x"].rank
    zero = splat(0, TensorType((), drawn["x"].dtype))
    return drawn | {"k": zero, "a": a, "b": tuple(-n for n in a), "c": none}


@rule(
    lambda x, k, a, b, c, w: reduce_window("add", subtract(x, pad(x, constant(k), a, b, c)), w),
    numerics=FINITE,
    source=TELESCOPE,
    examples=padded_examples,
)
def cumsum_of_padded_differences(
    x: Value, k: Literal, a: Any, b: Any, c: Any, w: Any
) -> Value | None:
    """cumsum(diff(x, prepend=0)) = x, and from the other end the last x less what comes before"""
    found = cumulation(x.shape, w)
    is_later = _moves_later(k, a, b, c, found.axis)
    if is_later != found.is_reversed:
        return x
    return subtract(edge(x, found.axis, is_later), pad(x, constant(k), a, b, c))


cumsum_of_padded_differences_exactly = replace(
    for_integers(cumsum_of_padded_differences), examples=of_integers(padded_examples)
)
cumsum_of_padded_differences_where_proved = where_proved(
    cumsum_of_padded_differences,
    lambda x, **_: is_finite(x),
    __name__,
    examples=of_numbers(padded_examples),
)


@rule(
    lambda x, k, a, b, c, w: subtract(
        reduce_window("add", x, w), pad(reduce_window("add", x, w), constant(k), a, b, c)
    ),
    numerics=FINITE,
    source=TELESCOPE,
    examples=padded_examples,
)
def padded_differences_of_cumsum(
    x: Value, k: Literal, a: Any, b: Any, c: Any, w: Any
) -> Value | None:
    """diff(cumsum x, prepend=0) = x, and so from the other end"""
    found = cumulation(x.shape, w)
    need(_moves_later(k, a, b, c, found.axis) != found.is_reversed)
    return x


padded_differences_of_cumsum_exactly = replace(
    for_integers(padded_differences_of_cumsum), examples=of_integers(padded_examples)
)
padded_differences_of_cumsum_where_proved = where_proved(
    padded_differences_of_cumsum,
    lambda x, **_: is_finite(x),
    __name__,
    examples=of_numbers(padded_examples),
)


def _joined(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    """All of x but one element of an axis, and a place beside it for another one."""
    drawn = cumulative_examples(*(dtypes or ("f32", "f64")))(rng)
    shape = drawn["x"].shape
    found = cumulation(shape, drawn["w"])
    axis, n = found.axis, shape[found.axis]
    ends = (1, n) if found.is_reversed else (0, n - 1)
    return drawn | {
        "z": drawn["x"].with_shape(tuple(1 if d == axis else m for d, m in enumerate(shape))),
        "a": tuple(ends[0] if d == axis else 0 for d in range(len(shape))),
        "b": tuple(ends[1] if d == axis else m for d, m in enumerate(shape)),
        "s": (1,) * len(shape),
        "i": axis,
    }


def _joined_last(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    drawn = _joined(rng, *dtypes)
    while not cumulation(drawn["x"].shape, drawn["w"]).is_reversed:
        drawn = _joined(rng, *dtypes)
    return drawn


def _joined_first(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    drawn = _joined(rng, *dtypes)
    while cumulation(drawn["x"].shape, drawn["w"]).is_reversed:
        drawn = _joined(rng, *dtypes)
    return drawn


def _less_edge(x: Value, z: Value, a: Any, b: Any, s: Any, i: int, w: Any, at_end: bool) -> Any:
    """x - z, where the slice (a, b, s) is x without its last element along i (or its first)."""
    found, n = cumulation(x.shape, w), x.shape[i]
    low, high = [0] * x.rank, list(x.shape)
    low[i], high[i] = (1, n) if at_end else (0, n - 1)
    need(found.axis == i and found.is_reversed == at_end and z.shape[i] == 1)
    need(tuple(a) == tuple(low) and tuple(b) == tuple(high) and set(s) == {1})
    kept = [d for d in range(x.rank) if d != i]
    row = reshape(z, [x.shape[d] for d in kept])
    return subtract(x, broadcast_in_dim(row, x.shape, kept))


@rule(
    lambda x, z, a, b, s, i, w: reduce_window(
        "add", subtract(x, concatenate(z, slice_(x, a, b, s), i)), w
    ),
    numerics=FINITE,
    source=TELESCOPE,
    examples=_joined_first,
)
def cumsum_of_differences_from(
    x: Value, z: Value, a: Any, b: Any, s: Any, i: int, w: Any
) -> Value | None:
    """cumsum(diff(x, prepend=z)) = x - z"""
    return _less_edge(x, z, a, b, s, i, w, False)


cumsum_of_differences_from_exactly = replace(
    for_integers(cumsum_of_differences_from), examples=of_integers(_joined_first)
)


@rule(
    lambda x, z, a, b, s, i, w: reduce_window(
        "add", subtract(x, concatenate(slice_(x, a, b, s), z, i)), w
    ),
    numerics=FINITE,
    source=TELESCOPE,
    examples=_joined_last,
)
def cumsum_of_differences_to(
    x: Value, z: Value, a: Any, b: Any, s: Any, i: int, w: Any
) -> Value | None:
    """reversed cumsum(x - [x[1:], z]) = x - z"""
    return _less_edge(x, z, a, b, s, i, w, True)


cumsum_of_differences_to_exactly = replace(
    for_integers(cumsum_of_differences_to), examples=of_integers(_joined_last)
)
