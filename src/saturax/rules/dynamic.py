"""Dynamic slices and updates: at constant indices, undone, overwritten, before elementwise work.

Start indices are operands, one for each dimension, so each equation makes a rule for each rank.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    concatenate_all,
    constant,
    dynamic_slice,
    dynamic_update_slice,
    full,
    pad,
    reduce_,
    slice_,
    slice_dimension,
    ternary,
    transpose,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.facts import constant_of
from saturax.rules.rule import BITWISE, ROUNDING, Numerics, Rule, need, rule

SLICE = "StableHLO spec, `dynamic_slice`"
UPDATE = "StableHLO spec, `dynamic_update_slice`"

RANKS = (1, 2, 3, 4)
"""Ranks that rules are made for; images have rank 4."""


def _of_ranks(
    left: Callable[..., Any],
    names: str,
    source: str,
    numerics: Numerics = BITWISE,
    uses_facts: bool = False,
) -> Callable[[Callable[..., Value | None]], tuple[Rule, ...]]:
    """Make one rule for each of `RANKS` of an equation with a start index for each dimension.

    `left` and the right side take a list of start indices first, then the operands and attributes
    called `names`.
    """
    others = names.split()

    def decorate(right: Callable[..., Value | None]) -> tuple[Rule, ...]:
        every = [[f"i{k}" for k in range(rank)] for rank in RANKS]
        return tuple(
            _of_rank(left, right, indices, others, source, numerics, uses_facts)
            for indices in every
        )

    return decorate


def _of_rank(
    left: Callable[..., Any],
    right: Callable[..., Value | None],
    indices: list[str],
    others: list[str],
    source: str,
    numerics: Numerics,
    uses_facts: bool,
) -> Rule:
    names = [*indices, *others]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])

    def pattern(*arguments: Any) -> Any:
        return left(arguments[: len(indices)], *arguments[len(indices) :])

    def apply(*arguments: Any, **named: Any) -> Value | None:
        given = [*arguments, *(named[name] for name in names[len(arguments) :])]
        return right(given[: len(indices)], *given[len(indices) :])

    pattern.__signature__ = apply.__signature__ = signature  # type: ignore[attr-defined]
    apply.__name__ = f"{right.__name__.lstrip('_')}_{len(indices)}d"
    apply.__doc__ = right.__doc__
    apply.__module__ = right.__module__
    return rule(pattern, numerics=numerics, source=source, uses_facts=uses_facts)(apply)


def _constants(indices: Sequence[Any]) -> list[Any]:
    return [constant(i) for i in indices]


def _clamped(indices: Sequence[Literal], sizes: Sequence[int], x: TensorType) -> list[int]:
    """Where a window of these sizes starts: indices are clamped so that it fits into x."""
    return [
        max(0, min(int(c.value), n - size))
        for c, size, n in zip(indices, sizes, x.shape, strict=True)
    ]


# ------------------------------------------------------------------ at constant indices


@_of_ranks(lambda i, x, n: dynamic_slice(x, _constants(i), n), "x n", SLICE)
def _slice_at_constants(i: list[Literal], x: Value, n: Any) -> Value | None:
    """A dynamic slice at constant indices is a slice"""
    start = _clamped(i, n, x.tensor)
    limit = [a + size for a, size in zip(start, n, strict=True)]
    return slice_(x, start, limit, [1] * x.rank)


@_of_ranks(lambda i, x, n: dynamic_slice(x, i, n), "x n", SLICE, uses_facts=True)
def _slice_constant_dimensions_first(i: list[Value], x: Value, n: Any) -> Value | None:
    """x[i, 3:5] = x[:, 3:5][i, 0:2]: dimensions that are read at constant indices come first"""
    start, limit = [0] * x.rank, list(x.shape)
    for d, known in enumerate(map(constant_of, i)):
        if known is not None:
            start[d] = max(0, min(int(known.value), x.shape[d] - n[d]))
            limit[d] = start[d] + n[d]
    smaller = [limit[d] - start[d] < x.shape[d] for d in range(x.rank)]
    need(any(smaller) and any(constant_of(index) is None for index in i))
    return dynamic_slice(slice_(x, start, limit, [1] * x.rank), i, n)


@_of_ranks(lambda i, x, u: dynamic_update_slice(x, u, _constants(i)), "x u", UPDATE)
def _update_at_constants(i: list[Literal], x: Value, u: Value) -> Value | None:
    """An update at constant indices = x before, u, x after, concatenated dimension by dimension"""
    need(u.size > 0)
    return _replaced(x, u, _clamped(i, u.shape, x.tensor))


def _replaced(x: Value, u: Value, start: Sequence[int]) -> Value:
    """x with u at `start`; the first dimension in which u is smaller is cut into three parts."""
    smaller = [d for d in range(x.rank) if u.shape[d] < x.shape[d]]
    if not smaller:
        return u
    d = smaller[0]
    first, last = start[d], start[d] + u.shape[d]
    middle = slice_dimension(x, d, first, last)
    inner = _replaced(middle, u, [0 if k == d else a for k, a in enumerate(start)])
    parts = [slice_dimension(x, d, 0, first), inner, slice_dimension(x, d, last, x.shape[d])]
    return concatenate_all([part for part in parts if part.shape[d] > 0], d)


@_of_ranks(lambda i, u, c: dynamic_update_slice(constant(c), u, _constants(i)), "u c", UPDATE)
def _update_of_splat(i: list[Literal], u: Value, c: Literal) -> Value | None:
    """A constant of equal elements, updated at constant indices, is a padded u"""
    need(c.is_splat)
    low = _clamped(i, u.shape, c.type)
    high = [n - a - m for n, a, m in zip(c.type.shape, low, u.shape, strict=True)]
    return pad(u, full(c.value, TensorType((), u.dtype)), low, high, [0] * u.rank)


@_of_ranks(
    lambda i, f, x, u, a, b, c: dynamic_update_slice(
        x, binary(f, slice_(x, a, b, c), u), _constants(i)
    ),
    "f x u a b c",
    "XLA:CPU copies x, and computes u in kernels of its own",
    ROUNDING,
)
def _update_of_own_window(
    i: list[Literal], f: Any, x: Value, u: Value, a: Any, b: Any, c: Any
) -> Value | None:
    """x, updated with x[a:b] ∘ u at a = x ∘ pad(u, e) for x ∘ e = x: sums, differences, factors"""
    need(f in _RIGHT_IDENTITIES and set(c) <= {1} and u.size > 0)
    need(f in ("add", "subtract") or not is_complex(x.dtype))  # ∞ · 1 has a NaN in it
    need(_clamped(i, u.shape, x.tensor) == list(a))
    identity = full(_RIGHT_IDENTITIES[f], TensorType((), x.dtype))
    high = [n - last for n, last in zip(x.shape, b, strict=True)]
    return binary(f, x, pad(u, identity, a, high, [0] * x.rank))


_RIGHT_IDENTITIES = {"add": 0, "subtract": 0, "multiply": 1, "divide": 1}


# ------------------------------------------------------------------ at any indices


@_of_ranks(lambda i, x, n: dynamic_slice(x, i, n), "x n", SLICE)
def _drop_clamped_indices(i: list[Value], x: Value, n: Any) -> Value | None:
    """An index of a dimension that is read whole does not matter"""
    need(any(size == m for size, m in zip(n, x.shape, strict=True)))
    return _window(x, i, n)


@_of_ranks(lambda i, x, u: dynamic_update_slice(x, u, i), "x u", UPDATE)
def _update_everything(i: list[Value], x: Value, u: Value) -> Value | None:
    """An update of all of x is u"""
    need(u.type == x.type)
    return u


@_of_ranks(lambda i, x, u, n: dynamic_slice(dynamic_update_slice(x, u, i), i, n), "x u n", SLICE)
def _slice_of_update(i: list[Value], x: Value, u: Value, n: Any) -> Value | None:
    """What is read where u was written is u"""
    need(tuple(n) == u.shape)
    return u


@_of_ranks(
    lambda i, x, u, v: dynamic_update_slice(dynamic_update_slice(x, u, i), v, i),
    "x u v",
    UPDATE,
)
def _update_twice(i: list[Value], x: Value, u: Value, v: Value) -> Value | None:
    """An update by u, then by v of the same shape at the same indices, is the update by v"""
    need(u.type == v.type)
    return dynamic_update_slice(x, v, i)


@_of_ranks(lambda i, x, n: dynamic_update_slice(x, dynamic_slice(x, i, n), i), "x n", UPDATE)
def _update_with_own_slice(i: list[Value], x: Value, n: Any) -> Value | None:
    """x, updated with its own slice at the same indices, is x"""
    return x


@_of_ranks(lambda i, f, x, n: dynamic_slice(unary(f, x), i, n), "f x n", SLICE)
def _slice_dynamically_before_unary(i: list[Value], f: Any, x: Value, n: Any) -> Value | None:
    """f(x)[i] = f(x[i]), if fewer elements are read than x has"""
    need(prod(n) < x.size)
    return unary(f, dynamic_slice(x, i, n))


@_of_ranks(lambda i, f, x, y, n: dynamic_slice(binary(f, x, y), i, n), "f x y n", SLICE)
def _slice_dynamically_before_binary(
    i: list[Value], f: Any, x: Value, y: Value, n: Any
) -> Value | None:
    """f(x, y)[i] = f(x[i], y[i]), if fewer elements are read than x has"""
    need(prod(n) < x.size)
    return binary(f, dynamic_slice(x, i, n), dynamic_slice(y, i, n))


@_of_ranks(lambda i, f, x, y, z, n: dynamic_slice(ternary(f, x, y, z), i, n), "f x y z n", SLICE)
def _slice_dynamically_before_ternary(
    i: list[Value], f: Any, x: Value, y: Value, z: Value, n: Any
) -> Value | None:
    """f(x, y, z)[i] = f(x[i], y[i], z[i]), if fewer elements are read than x has"""
    need(prod(n) < x.size)
    return ternary(f, *(dynamic_slice(operand, i, n) for operand in (x, y, z)))


@_of_ranks(lambda i, x, s, d, n: dynamic_slice(broadcast_in_dim(x, s, d), i, n), "x s d n", SLICE)
def _slice_dynamically_before_broadcast(
    i: list[Value], x: Value, s: Any, d: Any, n: Any
) -> Value | None:
    """broadcast(x)[i] = broadcast(x[i'])"""
    need(tuple(n) != tuple(s))
    sizes = [min(n[place], size) for place, size in zip(d, x.shape, strict=True)]
    return broadcast_in_dim(_window(x, [i[place] for place in d], sizes), n, d)


@_of_ranks(lambda i, x, p, n: dynamic_slice(transpose(x, p), i, n), "x p n", SLICE)
def _slice_dynamically_before_transpose(i: list[Value], x: Value, p: Any, n: Any) -> Value | None:
    """xᵖ[i] = (x[i'])ᵖ, if fewer elements are read than x has"""
    need(prod(n) < x.size)
    order = np.argsort(p).tolist()
    return transpose(dynamic_slice(x, [i[k] for k in order], tuple(n[k] for k in order)), p)


@_of_ranks(lambda i, f, x, d, n: dynamic_slice(reduce_(f, x, d), i, n), "f x d n", SLICE, ROUNDING)
def _slice_dynamically_before_reduce(
    i: list[Value], f: Any, x: Value, d: Any, n: Any
) -> Value | None:
    """reduce(x, d)[i] = reduce(x[i'], d)"""
    need(prod(n) < prod(size for k, size in enumerate(x.shape) if k not in d))
    kept, zero = iter(zip(i, n, strict=True)), full(0, i[0].tensor)
    places = [(zero, m) if k in d else next(kept) for k, m in enumerate(x.shape)]
    return reduce_(f, dynamic_slice(x, [k for k, _ in places], tuple(m for _, m in places)), d)


def _window(x: Value, i: Sequence[Value], sizes: Sequence[int]) -> Value:
    """x[i], an index of a dimension that is read whole being 0; x itself if that is all of it."""
    if tuple(sizes) == x.shape:
        return x
    whole = [size == m for size, m in zip(sizes, x.shape, strict=True)]
    indices = [full(0, k.tensor) if w else k for k, w in zip(i, whole, strict=True)]
    return dynamic_slice(x, indices, tuple(sizes))


# A rule is found by its name in this module.
(
    slice_at_constants_1d,
    slice_at_constants_2d,
    slice_at_constants_3d,
    slice_at_constants_4d,
) = _slice_at_constants
(
    update_at_constants_1d,
    update_at_constants_2d,
    update_at_constants_3d,
    update_at_constants_4d,
) = _update_at_constants
update_of_splat_1d, update_of_splat_2d, update_of_splat_3d, update_of_splat_4d = _update_of_splat
(
    update_of_own_window_1d,
    update_of_own_window_2d,
    update_of_own_window_3d,
    update_of_own_window_4d,
) = _update_of_own_window
(
    drop_clamped_indices_1d,
    drop_clamped_indices_2d,
    drop_clamped_indices_3d,
    drop_clamped_indices_4d,
) = _drop_clamped_indices
(
    update_everything_1d,
    update_everything_2d,
    update_everything_3d,
    update_everything_4d,
) = _update_everything
slice_of_update_1d, slice_of_update_2d, slice_of_update_3d, slice_of_update_4d = _slice_of_update
update_twice_1d, update_twice_2d, update_twice_3d, update_twice_4d = _update_twice
(
    update_with_own_slice_1d,
    update_with_own_slice_2d,
    update_with_own_slice_3d,
    update_with_own_slice_4d,
) = _update_with_own_slice
(
    slice_dynamically_before_unary_1d,
    slice_dynamically_before_unary_2d,
    slice_dynamically_before_unary_3d,
    slice_dynamically_before_unary_4d,
) = _slice_dynamically_before_unary
(
    slice_dynamically_before_binary_1d,
    slice_dynamically_before_binary_2d,
    slice_dynamically_before_binary_3d,
    slice_dynamically_before_binary_4d,
) = _slice_dynamically_before_binary
(
    slice_dynamically_before_ternary_1d,
    slice_dynamically_before_ternary_2d,
    slice_dynamically_before_ternary_3d,
    slice_dynamically_before_ternary_4d,
) = _slice_dynamically_before_ternary
(
    slice_dynamically_before_broadcast_1d,
    slice_dynamically_before_broadcast_2d,
    slice_dynamically_before_broadcast_3d,
    slice_dynamically_before_broadcast_4d,
) = _slice_dynamically_before_broadcast
(
    slice_dynamically_before_transpose_1d,
    slice_dynamically_before_transpose_2d,
    slice_dynamically_before_transpose_3d,
    slice_dynamically_before_transpose_4d,
) = _slice_dynamically_before_transpose
(
    slice_dynamically_before_reduce_1d,
    slice_dynamically_before_reduce_2d,
    slice_dynamically_before_reduce_3d,
    slice_dynamically_before_reduce_4d,
) = _slice_dynamically_before_reduce
# With one dimension there is none beside the constant one.
(
    slice_constant_dimensions_first_2d,
    slice_constant_dimensions_first_3d,
    slice_constant_dimensions_first_4d,
) = _slice_constant_dimensions_first[1:]
