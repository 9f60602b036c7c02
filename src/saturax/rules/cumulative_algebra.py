"""Cumulative operations: applied twice, reduced, added up, mapped, and in another order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    Cumulation,
    add,
    binary,
    broadcast_in_dim,
    concatenate,
    multiply,
    reduce_,
    reduce_window,
    reshape,
    reverse,
    slice_,
    slice_dimension,
    unary,
)
from saturax.rules.conditions import exactly, for_integers, is_exact, need_variable
from saturax.rules.cumulative import (
    EXAMPLES,
    LATTICE,
    OF_INTEGERS,
    SCAN,
    count_to,
    cumulation,
    cumulative,
    cumulative_examples,
    is_exact_cumulation,
    of_integers,
)
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

PAIRS_FROM = 64
"""Elements along the axis from which pairing pays: below, the windows are short."""


# ------------------------------------------------------------------ added up


def _of_two(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    drawn = cumulative_examples(*dtypes)(rng)
    return drawn | {"y": drawn["x"]}


@rule(
    lambda f, x, y, w: binary(f, reduce_window(f, x, w), reduce_window(f, y, w)),
    numerics=ROUNDING,
    source=SCAN,
    uses_facts=True,
    examples=_of_two,
)
def merge_cumulatives(f: Any, x: Value, y: Value, w: Any) -> Value | None:
    """cumsum(x) + cumsum(y) = cumsum(x + y); other cumulative operations too"""
    cumulation(x.shape, w)
    need_variable(x, y)
    return reduce_window(f, binary(f, x, y), w)


merge_cumulatives_exactly = exactly(merge_cumulatives, is_exact_cumulation, of_integers(_of_two))


@rule(
    lambda x, w, v: add(reduce_window("add", x, w), reduce_window("add", x, v)),
    numerics=ROUNDING,
    source=SCAN,
    examples=lambda rng: _both_ways(rng, "f32", "f64", "i32"),
)
def cumsum_both_ways(x: Value, w: Any, v: Any) -> Value | None:
    """cumsum(x) + reversed cumsum(x) = x + Σx"""
    c, other = cumulation(x.shape, w), cumulation(x.shape, v)
    need(c.axis == other.axis and c.is_reversed != other.is_reversed)
    kept = [i for i in range(x.rank) if i != c.axis]
    return add(x, broadcast_in_dim(reduce_("add", x, (c.axis,)), x.shape, kept))


def _both_ways(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    drawn = cumulative_examples(*dtypes)(rng)
    w = drawn["w"]
    flipped = tuple((high, low) for low, high in w.padding)
    return drawn | {"v": w._replace(padding=flipped)}


cumsum_both_ways_exactly = replace(for_integers(cumsum_both_ways), examples=of_integers(_both_ways))


# ------------------------------------------------------------------ twice, and reduced


@rule(
    lambda f, x, w: reduce_window(f, reduce_window(f, x, w), w),
    numerics=BITWISE,
    source="x ≤ max(x, y)",
    examples=EXAMPLES,
)
def cumulative_extremum_twice(f: Any, x: Value, w: Any) -> Value | None:
    """cummax(cummax x) = cummax x; minima, ∧ and ∨ too"""
    need(f in LATTICE and is_exact(f, x.dtype))
    cumulation(x.shape, w)
    return reduce_window(f, x, w)


@rule(
    lambda f, x, w, v: reduce_window(f, reduce_window(f, x, w), v),
    numerics=BITWISE,
    source="x ≤ max(x, y)",
    examples=lambda rng: _both_ways(rng),
)
def cumulative_extremum_both_ways(f: Any, x: Value, w: Any, v: Any) -> Value | None:
    """reversed cummax(cummax x) = max x everywhere; minima, ∧ and ∨ too"""
    need(f in LATTICE and is_exact(f, x.dtype))
    c, other = cumulation(x.shape, w), cumulation(x.shape, v)
    need(c.axis == other.axis and c.is_reversed != other.is_reversed)
    kept = [i for i in range(x.rank) if i != c.axis]
    return broadcast_in_dim(reduce_(f, x, (c.axis,)), x.shape, kept)


@rule(
    lambda f, x, w, d: reduce_(f, reduce_window(f, x, w), d),
    numerics=BITWISE,
    source="x ≤ max(x, y)",
    examples=EXAMPLES,
)
def reduce_cumulative_extremum(f: Any, x: Value, w: Any, d: Any) -> Value | None:
    """max(cummax x) = max x along its axis; minima, ∧ and ∨ too"""
    need(f in LATTICE and is_exact(f, x.dtype) and cumulation(x.shape, w).axis in d)
    return reduce_(f, x, d)


@rule(
    lambda x, w, d: reduce_("add", reduce_window("add", x, w), d),
    numerics=ROUNDING,
    source=SCAN,
    examples=EXAMPLES,
)
def sum_of_cumsum(x: Value, w: Any, d: Any) -> Value | None:
    """Σ cumsum(x) = Σ x · (n, n - 1, …, 1)"""
    c = cumulation(x.shape, w)
    need(c.axis in d)
    return reduce_("add", multiply(x, count_to(x.tensor, Cumulation(c.axis, not c.is_reversed))), d)


sum_of_cumsum_exactly = replace(for_integers(sum_of_cumsum), examples=OF_INTEGERS)


@rule(
    lambda x, w: reduce_window("multiply", unary("exponential", x), w),
    numerics=ROUNDING,
    source="exp is a homomorphism from (ℝ, +) to (ℝ⁺, ·)",
    examples=cumulative_examples("f32", "f64"),
)
def cumprod_of_exponentials(x: Value, w: Any) -> Value | None:
    """cumprod(exp x) = exp(cumsum x)"""
    cumulation(x.shape, w)
    return unary("exponential", reduce_window("add", x, w))


# ------------------------------------------------------------------ in pairs


@rule(
    lambda f, x, w: reduce_window(f, x, w),
    numerics=ROUNDING,
    source="Brent and Kung, A Regular Layout for Parallel Adders",
    examples=cumulative_examples("f32", "f64", least=PAIRS_FROM, most=2 * PAIRS_FROM + 8),
)
def cumulative_in_pairs(f: Any, x: Value, w: Any) -> Value | None:
    """Odd places: the cumulative operation of pairs; even places: f(the odd place before, x)"""
    c = cumulation(x.shape, w)
    n = x.shape[c.axis]
    need(n >= PAIRS_FROM and n % 2 == 0)
    forward = reverse(x, (c.axis,)) if c.is_reversed else x
    even, odd = (_every_second(forward, c.axis, k) for k in (0, 1))
    seen = cumulative(f, binary(f, even, odd), Cumulation(c.axis, False))
    before = slice_dimension(seen, c.axis, 0, n // 2 - 1)
    later = binary(f, before, slice_dimension(even, c.axis, 1, n // 2))
    first = concatenate(slice_dimension(even, c.axis, 0, 1), later, c.axis)
    result = _interleaved(first, seen, c.axis)
    return reverse(result, (c.axis,)) if c.is_reversed else result


cumulative_in_pairs_exactly = exactly(
    cumulative_in_pairs, is_exact_cumulation, cumulative_examples("i32", "ui8", least=64, most=136)
)


def _every_second(x: Value, axis: int, first: int) -> Any:
    start, stride = [0] * x.rank, [1] * x.rank
    start[axis], stride[axis] = first, 2
    return slice_(x, start, x.shape, stride)


def _interleaved(x: Value, y: Value, axis: int) -> Any:
    """x[0], y[0], x[1], y[1], … along an axis."""
    shape = (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])
    both = concatenate(reshape(x, shape), reshape(y, shape), axis + 1)
    return reshape(both, (*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :]))
