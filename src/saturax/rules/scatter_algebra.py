"""Scatters of nothing, merged with each other, and dense where each row of a batch has one."""

from __future__ import annotations

from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import (
    SET,
    ScatterDimensions,
    broadcast_in_dim,
    compare,
    concatenate,
    identity_value,
    iota,
    reshape,
    scatter,
    select,
)
from saturax.graph.ops.ordering import default_order
from saturax.graph.ops.scatter import window_sizes
from saturax.graph.types import TensorType
from saturax.rules.conditions import exactly, is_exact
from saturax.rules.facts import splat_of
from saturax.rules.indices import holds_indices
from saturax.rules.rule import BITWISE, ROUNDING, need, rule
from saturax.rules.scatter import SCATTER, is_exact_scatter, is_one_window, written

# ------------------------------------------------------------------ nothing, twice


@rule(
    lambda f, x, i, u, d, b, q: scatter(f, x, i, u, d, b, q),
    numerics=ROUNDING,
    source=SCATTER,
    uses_facts=True,
)
def scatter_identity(f: Any, x: Value, i: Value, u: Value, d: Any, b: Any, q: Any) -> Value | None:
    """x, combined with f's identity (0 for a sum) or with nothing, is x"""
    value = splat_of(u)
    neutral = None if f == SET else identity_value(f, x.dtype)
    need(u.size == 0 or (value is not None and neutral is not None and value == neutral))
    return x


scatter_identity_exactly = exactly(
    scatter_identity, lambda f, x, u, **_: u.size == 0 or is_exact(f, x.dtype)
)


@rule(
    lambda f, x, i, u, v, d, b, q: scatter(f, scatter(f, x, i, u, d, b, q), i, v, d, b, q),
    numerics=ROUNDING,
    source=SCATTER,
)
def scatter_twice(
    f: Any, x: Value, i: Value, u: Value, v: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """x + u at i, + v at i = x + (u + v) at i; other combinations too; writing: v alone"""
    need(u.type == v.type and (f != SET or q or u.size == 0 or is_one_window(u, d)))
    return scatter(f, x, i, written(f, u, v), d, b, q)


scatter_twice_exactly = exactly(scatter_twice, lambda f, x, **_: f == SET or is_exact(f, x.dtype))


@rule(
    lambda f, x, i, u, j, v, d, b, p, c, q: scatter(f, scatter(f, x, i, u, d, b, p), j, v, d, c, q),
    numerics=ROUNDING,
    source=SCATTER,
)
def merge_scatters(
    f: Any,
    x: Value,
    i: Value,
    u: Value,
    j: Value,
    v: Value,
    d: Any,
    b: Any,
    p: Any,
    c: Any,
    q: Any,
) -> Value | None:
    """x + u at i, + v at j = x + [u, v] at [i, j], for one list of places; other sums too"""
    d = ScatterDimensions(*d)
    need(f != SET and not d.input_batching_dims and i.rank == 2 and d.index_vector_dim == 1)
    need(i.dtype == j.dtype and j.rank == 2 and u.size > 0 and v.size > 0)
    (along,) = [k for k in range(u.rank) if k not in d.update_window_dims]
    need(all(m == n for k, (m, n) in enumerate(zip(u.shape, v.shape, strict=True)) if k != along))
    both = concatenate(i, j, 0)
    return scatter(f, x, both, concatenate(u, v, along), d, False, False)


merge_scatters_exactly = exactly(merge_scatters, is_exact_scatter)

# ------------------------------------------------------------------ one window for each row


@rule(lambda f, x, i, u, d, b, q: scatter(f, x, i, u, d, b, q), numerics=BITWISE, source=SCATTER)
def scatter_by_comparison(
    f: Any, x: Value, i: Value, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """One place written in every row of a batch = where(iota = place, u, x)"""
    d = ScatterDimensions(*d)
    need(d.input_batching_dims and len(d.scatter_dims_to_operand_dims) == 1 and x.size > 0)
    (axis,) = d.scatter_dims_to_operand_dims
    sizes = window_sizes(d, x.tensor, u.tensor)
    batch = d.input_batching_dims
    need(all(n == x.shape[k] or k in (axis, *batch) for k, n in enumerate(sizes)))
    need(sizes[axis] == 1 and holds_indices(i.dtype, x.shape[axis]))
    need(len(d.scatter_indices_batching_dims) == i.rank - (d.index_vector_dim < i.rank))
    own = [k for k in range(i.rank) if k != d.index_vector_dim]
    placed = [batch[d.scatter_indices_batching_dims.index(k)] for k in own]
    index = broadcast_in_dim(reshape(i, [i.shape[k] for k in own]), x.shape, placed)
    kind = default_order(i.dtype).kind
    is_place = compare(iota(axis, TensorType(x.shape, i.dtype)), index, "EQ", kind)
    kept = iter([k for k in range(x.rank) if k not in (*d.inserted_window_dims, *batch)])
    rest = iter(placed)
    new_dims = [next(kept) if k in d.update_window_dims else next(rest) for k in range(u.rank)]
    new = broadcast_in_dim(u, x.shape, new_dims)
    return select(is_place, written(f, x, new), x)
