"""Sums of differences, and differences of sums: what cancels between neighbours.

Of floats only where they are finite (∞ - ∞ is NaN), of integers in every bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    ReduceWindow,
    broadcast_in_dim,
    negate,
    reduce_,
    reduce_window,
    reshape,
    slice_,
    slice_dimension,
    subtract,
)
from saturax.rules.conditions import for_integers, where_proved
from saturax.rules.cumulative import cumulation, cumulative_examples, of_integers
from saturax.rules.facts import is_finite
from saturax.rules.rule import FINITE, Examples, need, rule

TELESCOPE = "telescoping sum"


class Shift(NamedTuple):
    """Two slices of one tensor, the first `distance` elements later along `axis`."""

    axis: int
    distance: int


def _moved_axes(a: Sequence[int], c: Sequence[int]) -> list[int]:
    """The axes along which two slices begin in different places."""
    return [d for d, (i, j) in enumerate(zip(a, c, strict=True)) if i != j]


def _shift(a: Any, b: Any, s: Any, c: Any, e: Any, t: Any) -> Shift:
    """How x[a:b:s] lies to x[c:e:t]; the rule does not apply where more than that is different."""
    moved = _moved_axes(a, c)
    is_even = all(b[d] - a[d] == e[d] - c[d] for d in range(len(a)))
    need(len(moved) == 1 and s == t and is_even)
    return Shift(moved[0], a[moved[0]] - c[moved[0]])


def edge(x: Value, axis: int, at_end: bool) -> Any:
    """The first or the last of x along an axis, repeated to its shape."""
    start = x.shape[axis] - 1 if at_end else 0
    kept = [d for d in range(x.rank) if d != axis]
    edge = slice_dimension(x, axis, start, start + 1)
    return broadcast_in_dim(reshape(edge, [x.shape[d] for d in kept]), x.shape, kept)


def _two_slices(shape: tuple[int, ...], axis: int, distance: int, stride: int) -> dict[str, Any]:
    """Slices x[a:b:s] and x[c:e:t] so far apart along an axis, whole along the others."""
    steps = tuple(stride if d == axis else 1 for d in range(len(shape)))
    length = (shape[axis] - abs(distance) - 1) // stride * stride + 1
    firsts = max(distance, 0), max(-distance, 0)
    starts = [tuple(n if d == axis else 0 for d in range(len(shape))) for n in firsts]
    limits = [
        tuple(n + length if d == axis else shape[d] for d in range(len(shape))) for n in firsts
    ]
    (a, c), (b, e) = starts, limits
    return {"a": a, "b": b, "s": steps, "c": c, "e": e, "t": steps}


def _of_cumsum(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    """Two slices of a cumulative sum of x."""
    drawn = cumulative_examples(*dtypes, least=5, most=9)(rng)
    axis = max(range(len(drawn["w"].size)), key=lambda d: drawn["w"].size[d])
    distance, stride = int(rng.choice([-2, -1, 1, 2])), int(rng.integers(1, 3))
    return drawn | _two_slices(drawn["x"].shape, axis, distance, stride)


def _reduced(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    """Two slices of x, and the dimensions d along which their difference is added up."""
    drawn = _of_cumsum(rng, *dtypes)
    del drawn["w"]
    stride = max(drawn["s"])
    axis = _moved_axes(drawn["a"], drawn["c"])[0]
    distance = int(rng.choice([-1, 1])) * stride
    others = [d for d in range(len(drawn["a"])) if d != axis and rng.random() < 0.5]
    slices = _two_slices(drawn["x"].shape, axis, distance, stride)
    return drawn | slices | {"d": tuple(sorted([axis, *others]))}


def _accumulated(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    """Two neighbouring slices of x, and a window that accumulates their difference."""
    drawn = _reduced(rng, *dtypes)
    del drawn["d"]
    axis = _moved_axes(drawn["a"], drawn["c"])[0]
    n = -(-(drawn["b"][axis] - drawn["a"][axis]) // drawn["s"][axis])
    rank = len(drawn["a"])
    own = (n - 1, 0) if rng.random() < 0.6 else (0, n - 1)
    size = tuple(n if d == axis else 1 for d in range(rank))
    ones = (1,) * rank
    padding = tuple(own if d == axis else (0, 0) for d in range(rank))
    return drawn | {"w": ReduceWindow(size, ones, ones, ones, padding)}


def of_numbers(examples: Callable[..., dict[str, Any]]) -> Examples:
    """The same examples, of constants, which are finite."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        drawn = examples(rng, "f64")
        return drawn | {"x": Literal(rng.standard_normal(drawn["x"].shape))}

    return draw


@rule(
    lambda x, a, b, s, c, e, t, w: reduce_window(
        "add", subtract(slice_(x, a, b, s), slice_(x, c, e, t)), w
    ),
    numerics=FINITE,
    source=TELESCOPE,
    examples=_accumulated,
)
def cumsum_of_differences(
    x: Value, a: Any, b: Any, s: Any, c: Any, e: Any, t: Any, w: Any
) -> Value | None:
    """cumsum(x[1:] - x[:-1]) = x[1:] - x[0], and from the other end"""
    axis, distance = _shift(a, b, s, c, e, t)
    first, second = slice_(x, a, b, s), slice_(x, c, e, t)
    found = cumulation(first.shape, w)
    need(found.axis == axis and abs(distance) == s[axis])
    if found.is_reversed == (distance > 0):
        return subtract(edge(first, axis, found.is_reversed), second)
    return subtract(first, edge(second, axis, found.is_reversed))


cumsum_of_differences_exactly = replace(
    for_integers(cumsum_of_differences), examples=of_integers(_accumulated)
)
cumsum_of_differences_where_proved = where_proved(
    cumsum_of_differences,
    lambda x, **_: is_finite(x),
    __name__,
    examples=of_numbers(_accumulated),
)


@rule(
    lambda x, a, b, s, c, e, t, d: reduce_(
        "add", subtract(slice_(x, a, b, s), slice_(x, c, e, t)), d
    ),
    numerics=FINITE,
    source=TELESCOPE,
    examples=_reduced,
)
def sum_of_differences(
    x: Value, a: Any, b: Any, s: Any, c: Any, e: Any, t: Any, d: Any
) -> Value | None:
    """Σ(x[k:] - x[:-k]) = Σ x[-k:] - Σ x[:k] for k up to half the length"""
    axis, distance = _shift(a, b, s, c, e, t)
    need(axis in d and distance % s[axis] == 0)
    k = abs(distance) // s[axis]
    first, second = slice_(x, a, b, s), slice_(x, c, e, t)
    n = first.shape[axis]
    need(2 * k <= n)
    ends = (n - k, n), (0, k)
    (i, j), (p, q) = ends if distance > 0 else ends[::-1]
    added = slice_dimension(first, axis, i, j)
    taken = slice_dimension(second, axis, p, q)
    return subtract(reduce_("add", added, d), reduce_("add", taken, d))


sum_of_differences_exactly = replace(
    for_integers(sum_of_differences), examples=of_integers(_reduced)
)
sum_of_differences_where_proved = where_proved(
    sum_of_differences,
    lambda x, **_: is_finite(x),
    __name__,
    examples=of_numbers(_reduced),
)


@rule(
    lambda x, w, a, b, s, c, e, t: subtract(
        slice_(reduce_window("add", x, w), a, b, s), slice_(reduce_window("add", x, w), c, e, t)
    ),
    numerics=FINITE,
    source=TELESCOPE,
    examples=_of_cumsum,
)
def difference_of_cumsums(
    x: Value, w: Any, a: Any, b: Any, s: Any, c: Any, e: Any, t: Any
) -> Value | None:
    """cumsum(x)[k:] - cumsum(x)[:-k] = sums of k neighbours of x; for k = 1 of x itself"""
    axis, distance = _shift(a, b, s, c, e, t)
    found = cumulation(x.shape, w)
    need(found.axis == axis)
    low, high = list(min(a, c)), list(min(b, e))
    if not found.is_reversed:
        low[axis], high[axis] = low[axis] + 1, high[axis] + 1
    if abs(distance) == 1:
        sums = slice_(x, low, high, s)
    else:
        high[axis] += abs(distance) - 1
        ones = (1,) * x.rank
        own = [i == axis for i in range(x.rank)]
        part = slice_(x, low, high, [1 if o else i for o, i in zip(own, s, strict=True)])
        size = tuple(abs(distance) if o else 1 for o in own)
        stride = tuple(i if o else 1 for o, i in zip(own, s, strict=True))
        window = ReduceWindow(size, stride, ones, ones, ((0, 0),) * x.rank)
        sums = reduce_window("add", part, window)
    return sums if (distance > 0) != found.is_reversed else negate(sums)


difference_of_cumsums_exactly = replace(
    for_integers(difference_of_cumsums), examples=of_integers(_of_cumsum)
)
difference_of_cumsums_where_proved = where_proved(
    difference_of_cumsums,
    lambda x, **_: is_finite(x),
    __name__,
    examples=of_numbers(_of_cumsum),
)
