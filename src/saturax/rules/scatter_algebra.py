"""Scatters of nothing and of own values, merged, scaled, and dense where each row has one."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    SET,
    GatherDimensions,
    ScatterDimensions,
    binary,
    broadcast_in_dim,
    compare,
    concatenate,
    constant,
    gather,
    identity_value,
    iota,
    negate,
    reshape,
    scatter,
    select,
)
from saturax.graph.ops.ordering import default_order
from saturax.graph.ops.scatter import window_sizes
from saturax.graph.types import TensorType, is_complex
from saturax.rules.conditions import INTEGERS, REALS, exactly, is_exact, is_ordinary
from saturax.rules.cumulative import LATTICE
from saturax.rules.facts import is_zero, splat_of
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


def _scaled_updates(rng: np.random.Generator) -> dict[str, Any]:
    n, m, count = (int(k) for k in rng.integers(1, 5, 3))
    updates = TensorType((count, m), "f64")
    return {
        "f": "add",
        "x": splat(0, TensorType((n, m), "f64")),
        "i": TensorType((count, 1), "i32"),
        "u": updates,
        "g": str(rng.choice(["multiply", "divide"])),
        "c": splat(float(rng.uniform(0.5, 2.0)), updates),
        "d": ScatterDimensions((1,), (0,), (), (), (0,), 1),
    }


@rule(
    lambda f, x, i, g, u, c, d, b, q: scatter(f, x, i, binary(g, u, constant(c)), d, b, q),
    numerics=ROUNDING,
    source="linearity",
    uses_facts=True,
    examples=_scaled_updates,
)
def scale_after_scatter(
    f: Any, x: Value, i: Value, g: Any, u: Value, c: Literal, d: Any, b: Any, q: Any
) -> Value | None:
    """0 + (c · u) at i = c · (0 + u at i) for a splat c, where that is smaller; u / c too"""
    need(f == "add" and is_zero(x) and g in ("multiply", "divide") and c.is_splat)
    need(x.dtype in REALS and x.size < u.size and is_ordinary(c.data) and c.value != 0)
    return binary(g, scatter(f, x, i, u, d, b, q), constant(Literal(c.data, x.shape)))


def _few_updates(rng: np.random.Generator, *, splats: bool = False) -> dict[str, Any]:
    """Rows that are added to zeros, and what is done to all of it."""
    n, m, count = (int(k) for k in rng.integers(2, 5, 3))
    dtype = "f64" if splats else str(rng.choice(["f64", "i32"]))
    whole, updates = TensorType((n * count, m), dtype), TensorType((count, m), dtype)
    term: dict[str, Any] = {"g": str(rng.choice(["add", "subtract"])), "y": whole}
    if splats:
        term = {"g": "multiply", "c": splat(float(rng.uniform(0.5, 2.0)), whole)}
    return term | {
        "f": "add",
        "x": splat(0, whole),
        "i": TensorType((count, 1), "i32"),
        "u": updates,
        "d": ScatterDimensions((1,), (0,), (), (), (0,), 1),
    }


@rule(
    lambda g, c, f, x, i, u, d, b, q: binary(g, constant(c), scatter(f, x, i, u, d, b, q)),
    numerics=ROUNDING,
    source="linearity",
    uses_facts=True,
    examples=lambda rng: _few_updates(rng, splats=True),
)
def scale_before_scatter(
    g: Any, c: Literal, f: Any, x: Value, i: Value, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """c · (0 + u at i) = 0 + (c · u) at i for a splat c, where u is smaller"""
    need(f == "add" and is_zero(x) and g == "multiply" and c.is_splat)
    need(x.dtype in REALS and u.size < x.size and is_ordinary(c.data))
    return scatter(f, x, i, binary(g, u, constant(Literal(c.data, u.shape))), d, b, q)


@rule(
    lambda g, y, f, x, i, u, d, b, q: binary(g, y, scatter(f, x, i, u, d, b, q)),
    numerics=ROUNDING,
    source="a sum of sums; steps of embeddings are sums of few rows",
    uses_facts=True,
    examples=_few_updates,
)
def add_to_what_is_summed_into(
    g: Any, y: Value, f: Any, x: Value, i: Value, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """y + (0 + u at i) = y + u at i; y - (0 + u at i) = y + (-u) at i"""
    need(f == "add" and is_zero(x) and g in ("add", "subtract"))
    need(x.dtype in ("f32", "f64", *INTEGERS))  # in 16-bit floats y would swallow single terms
    return scatter(f, y, i, negate(u) if g == "subtract" else u, d, b, q)


add_to_what_is_summed_into_exactly = exactly(
    add_to_what_is_summed_into, is_exact_scatter, _few_updates
)


# ------------------------------------------------------------------ one window for each row


def _one_in_each_row(rng: np.random.Generator) -> dict[str, Any]:
    """One place in each row of a batch, with dimensions of size 1 in between."""
    n, m = (int(k) for k in rng.integers(1, 5, 2))
    x = TensorType((n, m), str(rng.choice(["f32", "i32"])))
    d = ScatterDimensions((), (1,), (0,), (0,), (1,), 2)
    f = str(rng.choice(["add", "maximum", SET]))
    return {
        "f": f,
        "x": x,
        "i": TensorType((n, 1, 1), "i32"),
        "u": TensorType((n, 1), x.dtype),
        "d": d,
    }


@rule(
    lambda f, x, i, u, d, b, q: scatter(f, x, i, u, d, b, q),
    numerics=BITWISE,
    source=SCATTER,
    examples=_one_in_each_row,
)
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
    rows = [k for k in range(i.rank) if k != d.index_vector_dim]
    own = [k for k in rows if k in d.scatter_indices_batching_dims]
    need(all(i.shape[k] == 1 for k in rows if k not in own))
    placed = [batch[d.scatter_indices_batching_dims.index(k)] for k in own]
    index = broadcast_in_dim(reshape(i, [i.shape[k] for k in own]), x.shape, placed)
    kind = default_order(i.dtype).kind
    is_place = compare(iota(axis, TensorType(x.shape, i.dtype)), index, "EQ", kind)
    windows = iter([k for k in range(x.rank) if k not in (*d.inserted_window_dims, *batch)])
    row = iter(dict(zip(own, placed, strict=True)).get(k) for k in rows)
    goes = [next(windows) if k in d.update_window_dims else next(row) for k in range(u.rank)]
    kept = [(n, place) for n, place in zip(u.shape, goes, strict=True) if place is not None]
    new = broadcast_in_dim(reshape(u, [n for n, _ in kept]), x.shape, [place for _, place in kept])
    return select(is_place, written(f, x, new), x)


def _own_values(rng: np.random.Generator) -> dict[str, Any]:
    """Rows of x, or elements of each row of a batch, read and written at the same indices."""
    n, m, count = (int(k) for k in rng.integers(1, 5, 3))
    x = TensorType((n, m), str(rng.choice(["f32", "i32", "bf16"])))
    if rng.random() < 0.5:
        d: tuple[Any, ...] = ((1,), (0,), (), (), (0,), 1)
        own = {"i": TensorType((count, 1), "i32"), "n": (1, m)}
    else:
        d = ((), (1,), (0,), (0,), (1,), 2)
        own = {"i": TensorType((n, count, 1), "i32"), "n": (1, 1)}
    f = str(rng.choice(["maximum", "minimum"])) if rng.random() < 0.5 else SET
    return {"x": x, "f": f, "g": GatherDimensions(*d), "d": ScatterDimensions(*d), **own}


@rule(
    lambda f, x, i, g, n, s, d, b, q: scatter(f, x, i, gather(x, i, g, n, s), d, b, q),
    numerics=BITWISE,
    source=SCATTER,
    examples=_own_values,
)
def scatter_own_values(
    f: Any, x: Value, i: Value, g: Any, n: Any, s: Any, d: Any, b: Any, q: Any
) -> Value | None:
    """x, written at i with x[i] = x; combined by max, min, ∧ or ∨ too"""
    need(f == SET or f in LATTICE)
    # What a gather reads elsewhere, because it lies out of bounds, a scatter does not write.
    need(tuple(g) == tuple(d) and not is_complex(x.dtype))
    return x
