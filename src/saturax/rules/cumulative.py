"""Cumulative sums, products and extrema: their parts, differences and sums, and another order.

They are windowed reductions whose window covers all that comes before (or, reversed, after) an
element. Sums of floats are reordered (rounding); extrema, Booleans and integers have exact twins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    Cumulation,
    ReduceWindow,
    add,
    broadcast_in_dim,
    constant,
    cumulation_of,
    full,
    iota,
    multiply,
    reduce_,
    reduce_window,
    reshape,
    reverse,
    slice_,
    subtract,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import INTEGERS, REALS, exactly, for_integers, is_exact
from saturax.rules.indices import holds_indices
from saturax.rules.rule import FINITE, ROUNDING, Examples, need, rule
from saturax.rules.shapes import blocks

SCAN = "definition of the cumulative operation"
LATTICE = frozenset({"maximum", "minimum", "and", "or"})
"""Functions f with f(x, x) = x."""


def cumulation(shape: Sequence[int], window: Any) -> Cumulation:
    """What a window over a tensor of this shape accumulates; the rule does not apply to others."""
    found = cumulation_of(shape, ReduceWindow(*window))
    need(found is not None)
    assert found is not None
    return found


def cumulative(f: Any, x: Value, c: Cumulation) -> Any:
    """f of all that comes before each element along the axis."""
    n, ones = x.shape[c.axis], (1,) * x.rank
    size = tuple(n if i == c.axis else 1 for i in range(x.rank))
    own = (0, n - 1) if c.is_reversed else (n - 1, 0)
    padding = tuple(own if i == c.axis else (0, 0) for i in range(x.rank))
    return reduce_window(f, x, ReduceWindow(size, ones, ones, ones, padding))


def cumulative_examples(
    *dtypes: str, least: int = 2, most: int = 6
) -> Callable[[np.random.Generator], dict[str, Any]]:
    """Examples of an operand x (or a shape s) and a window w that accumulates along an axis."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        rank = int(rng.integers(1, 4))
        shape = rng.integers(1, 4, rank).tolist()
        axis = int(rng.integers(0, rank))
        n = shape[axis] = int(rng.integers(least, most))
        size = tuple(n if i == axis else 1 for i in range(rank))
        own = (n - 1, 0) if rng.random() < 0.6 else (0, n - 1)
        padding = tuple(own if i == axis else (0, 0) for i in range(rank))
        ones = (1,) * rank
        dtype = str(rng.choice(dtypes or ("f32", "f64", "i32", "bf16")))
        return {
            "x": TensorType(tuple(shape), dtype),
            "w": ReduceWindow(size, ones, ones, ones, padding),
        }

    return draw


def _reshaped(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    """Examples of a reshape that adds a dimension of size 1, to shape s."""
    drawn = cumulative_examples(*dtypes)(rng)
    shape = drawn["x"].shape
    dropped = [i for i, n in enumerate(shape) if n != 1 or rng.random() < 0.3]
    return drawn | {"x": drawn["x"].with_shape(tuple(shape[i] for i in dropped)), "s": shape}


def _repeated(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    """Examples of a broadcast to shape s, along dimensions e."""
    drawn = cumulative_examples(*dtypes)(rng)
    shape = drawn["x"].shape
    e = tuple(i for i in range(len(shape)) if rng.random() < 0.5)
    own = tuple(shape[i] for i in e)
    return drawn | {"x": drawn["x"].with_shape(own), "s": shape, "e": e}


def of_integers(examples: Callable[..., dict[str, Any]]) -> Examples:
    """The same examples, of integers."""
    return lambda rng: examples(rng, "i32", "ui8", "i64")


def is_exact_cumulation(f: Any, x: Value, **_: Any) -> bool:
    """Whether f is associative in every bit on x."""
    return is_exact(f, x.dtype)


EXAMPLES = cumulative_examples()
OF_INTEGERS = cumulative_examples("i32", "ui8", "i64")

# ------------------------------------------------------------------ parts


@rule(
    lambda f, x, w, a, b, s: slice_(reduce_window(f, x, w), a, b, s),
    numerics=ROUNDING,
    source=SCAN,
    examples=EXAMPLES,
)
def element_of_cumulative(f: Any, x: Value, w: Any, a: Any, b: Any, s: Any) -> Value | None:
    """cumsum(x)[i] = Σ x[: i + 1]; other cumulative operations too"""
    c = cumulation(x.shape, w)
    need(b[c.axis] - a[c.axis] == 1)
    start, limit, stride = list(a), list(b), list(s)
    start[c.axis], limit[c.axis] = (a[c.axis], x.shape[c.axis]) if c.is_reversed else (0, b[c.axis])
    stride[c.axis] = 1
    part = slice_(x, start, limit, stride)
    shape = (*part.shape[: c.axis], 1, *part.shape[c.axis + 1 :])
    return reshape(reduce_(f, part, (c.axis,)), shape)


element_of_cumulative_exactly = exactly(element_of_cumulative, is_exact_cumulation, OF_INTEGERS)


@rule(
    lambda f, x, w, a, b, s: slice_(reduce_window(f, x, w), a, b, s),
    numerics=ROUNDING,
    source=SCAN,
    examples=EXAMPLES,
)
def slice_before_cumulative(f: Any, x: Value, w: Any, a: Any, b: Any, s: Any) -> Value | None:
    """cumsum(x)[:k] = cumsum(x[:k]), and slices along other dimensions come first"""
    c = cumulation(x.shape, w)
    keeps_end = b[c.axis] == x.shape[c.axis] if c.is_reversed else a[c.axis] == 0
    need(keeps_end and s[c.axis] == 1 and b[c.axis] - a[c.axis] > 1)
    part = slice_(x, a, b, s)
    need(part.size > 0)
    return cumulative(f, part, c)


slice_before_cumulative_exactly = exactly(slice_before_cumulative, is_exact_cumulation, OF_INTEGERS)


def _neighbours(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    """Two slices of a cumulative sum, one element apart."""
    drawn = cumulative_examples(*(dtypes or ("f32", "f64")))(rng)
    shape = drawn["x"].shape
    c = cumulation(shape, drawn["w"])
    low, high, one = [0] * len(shape), list(shape), (1,) * len(shape)
    later, sooner = list(low), list(high)
    later[c.axis], sooner[c.axis] = 1, shape[c.axis] - 1
    ends = [(tuple(later), shape), (tuple(low), tuple(sooner))]
    (a, b), (g, h) = reversed(ends) if c.is_reversed else ends
    return drawn | {"a": a, "b": b, "s": one, "g": g, "h": h, "t": one}


@rule(
    lambda x, w, a, b, s, g, h, t: subtract(
        slice_(reduce_window("add", x, w), a, b, s), slice_(reduce_window("add", x, w), g, h, t)
    ),
    numerics=FINITE,
    source=SCAN,
    examples=_neighbours,
)
def difference_of_cumsum(
    x: Value, w: Any, a: Any, b: Any, s: Any, g: Any, h: Any, t: Any
) -> Value | None:
    """cumsum(x)[i] - cumsum(x)[i - 1] = x[i]; finite"""
    c = cumulation(x.shape, w)
    step = [0] * x.rank
    step[c.axis] = 1 if c.is_reversed else -1
    need(tuple(i + k for i, k in zip(a, step, strict=True)) == tuple(g) and tuple(s) == tuple(t))
    need(x.dtype in REALS or x.dtype in INTEGERS)
    return slice_(x, a, b, s)


difference_of_cumsum_exactly = replace(
    for_integers(difference_of_cumsum), examples=of_integers(_neighbours)
)

# ------------------------------------------------------------------ the operand


@rule(
    lambda f, x, e, w: reduce_window(f, reverse(x, e), w),
    numerics=ROUNDING,
    source=SCAN,
    examples=EXAMPLES,
)
def cumulative_before_reverse(f: Any, x: Value, e: Any, w: Any) -> Value | None:
    """cumsum(reverse x) = reverse(reversed cumsum of x)"""
    c = cumulation(x.shape, w)
    return reverse(cumulative(f, x, Cumulation(c.axis, c.is_reversed != (c.axis in e))), e)


cumulative_before_reverse_exactly = exactly(
    cumulative_before_reverse, is_exact_cumulation, OF_INTEGERS
)


@rule(
    lambda f, x, s, w: reduce_window(f, reshape(x, s), w),
    numerics=ROUNDING,
    source=SCAN,
    examples=_reshaped,
)
def cumulative_before_reshape(f: Any, x: Value, s: Any, w: Any) -> Value | None:
    """cumsum(reshape x) = reshape(cumsum x), where the axis stays one"""
    c = cumulation(s, w)
    for source, target in blocks(x.shape, s) or ():
        if c.axis in target:
            own = [i for i in source if x.shape[i] != 1]
            need(len(own) == 1 and x.shape[own[0]] == s[c.axis])
            return reshape(cumulative(f, x, Cumulation(own[0], c.is_reversed)), s)
    return None


cumulative_before_reshape_exactly = exactly(
    cumulative_before_reshape, is_exact_cumulation, of_integers(_reshaped)
)


def count_to(x: TensorType, c: Cumulation) -> Any:
    """How many elements the window has seen at each place of a tensor of type x."""
    n = x.shape[c.axis]
    need((x.dtype in REALS or x.dtype in INTEGERS) and holds_indices(x.dtype, n + 1))
    places = iota(c.axis, x)
    if c.is_reversed:
        return subtract(full(n, x), places)
    return add(places, full(1, x))


@rule(
    lambda f, x, s, e, w: reduce_window(f, broadcast_in_dim(x, s, e), w),
    numerics=ROUNDING,
    source=SCAN,
    examples=_repeated,
)
def cumulative_of_repeated(f: Any, x: Value, s: Any, e: Any, w: Any) -> Value | None:
    """cumsum(bcast x) = bcast(cumsum x), or x · (1, 2, 3, …) along what is repeated"""
    c = cumulation(s, w)
    if c.axis in e and x.shape[e.index(c.axis)] == s[c.axis]:
        own = Cumulation(e.index(c.axis), c.is_reversed)
        return broadcast_in_dim(cumulative(f, x, own), s, e)
    spread = broadcast_in_dim(x, s, e)
    if f in LATTICE:
        return spread
    need(f == "add")
    return multiply(spread, count_to(TensorType(tuple(s), x.dtype), c))


cumulative_of_repeated_exactly = exactly(
    cumulative_of_repeated, is_exact_cumulation, of_integers(_repeated)
)


@rule(
    lambda k, w: reduce_window("add", constant(k), w),
    numerics=ROUNDING,
    source=SCAN,
    examples=lambda rng: {"w": (drawn := EXAMPLES(rng))["w"], "k": _splat(rng, drawn["x"])},
)
def cumsum_of_splat(k: Literal, w: Any) -> Value | None:
    """cumsum of a splat c is c · (1, 2, 3, …)"""
    c = cumulation(k.type.shape, w)
    need(k.is_splat)
    return multiply(constant(k), count_to(k.type, c))


def _splat(rng: np.random.Generator, type: TensorType) -> Literal:
    return Literal(np.asarray(rng.integers(-3, 4), np.float64), type.shape)
