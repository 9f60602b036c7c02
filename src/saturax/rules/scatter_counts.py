"""Sums of equal rows by index: how many there are, times what they have in common.

Segment sums of repeated values, gradients of sums of gathered rows, and degrees of graphs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    ScatterDimensions,
    add,
    broadcast_in_dim,
    compare,
    constant,
    full,
    gather,
    multiply,
    reshape,
    scatter,
    select,
)
from saturax.graph.ops.scatter import window_sizes
from saturax.graph.types import TensorType
from saturax.rules.conditions import INTEGERS, is_all
from saturax.rules.facts import has_numbers, is_zero
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

SOURCE = "a sum of n equal terms is n times one"


def _rows(rng: np.random.Generator) -> dict[str, Any]:
    """Rows that are added to zeros, at an index each."""
    n, m, count = (int(k) for k in rng.integers(2, 5, 3))
    x = TensorType((n, m), str(rng.choice(["f64", "i32"])))
    return {
        "f": "add",
        "x": splat(0, x),
        "i": TensorType((count, 1), "i32"),
        "u": TensorType((count, m), x.dtype),
        "d": ScatterDimensions((1,), (0,), (), (), (0,), 1),
    }


def _counted(f: Any, x: Value, i: Value, u: TensorType, d: ScatterDimensions) -> Value:
    """How many updates each row of x has, repeated along the rows.

    The rule does not apply unless whole rows of several elements are added to zeros.
    """
    need(f == "add" and is_zero(x) and (x.dtype in ("f32", "f64") or x.dtype in INTEGERS))
    need(not d.input_batching_dims and d.inserted_window_dims == d.scatter_dims_to_operand_dims)
    need(len(d.inserted_window_dims) == 1 and 0 not in (x.size, u.size))
    (axis,) = d.inserted_window_dims
    sizes = window_sizes(d, x.tensor, u)
    need(all(k == axis or n == x.shape[k] for k, n in enumerate(sizes)) and x.shape[axis] < x.size)
    outer = tuple(n for k, n in enumerate(u.shape) if k not in d.update_window_dims)
    each = ScatterDimensions((), (0,), (), (), (0,), d.index_vector_dim)
    zeros, ones = (TensorType(s, x.dtype) for s in ((x.shape[axis],), outer))
    counts = scatter("add", full(0, zeros), i, full(1, ones), each, False, False)
    return broadcast_in_dim(counts, x.shape, (axis,))


def _kept(x: Value, d: ScatterDimensions) -> list[int]:
    """The dimension of x that each window dimension of the updates is, in their order.

    There must be no batch dimensions, as where `_counted` applies.
    """
    return [k for k in range(x.rank) if k not in d.inserted_window_dims]


@rule(
    lambda f, x, i, c, d, b, q: scatter(f, x, i, constant(c), d, b, q),
    numerics=ROUNDING,
    source=SOURCE,
    uses_facts=True,
    examples=lambda rng: (drawn := _rows(rng)) | {"c": splat(2, drawn.pop("u"))},
)
def count_equal_updates(
    f: Any, x: Value, i: Value, c: Literal, d: Any, b: Any, q: Any
) -> Value | None:
    """0 + c at i = n · c, n the number of updates of each row, c equal everywhere"""
    need(c.is_splat and bool(np.isfinite(c.value)) and c.type.dtype == x.dtype)
    counted = _counted(f, x, i, c.type, ScatterDimensions(*d))
    return counted if c.value == 1 else multiply(counted, full(c.value, counted.tensor))


def _repeated(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _rows(rng)
    u = drawn.pop("u")
    return drawn | {"y": TensorType(u.shape[1:], u.dtype), "s": u.shape, "e": (1,)}


@rule(
    lambda f, x, i, y, s, e, d, b, q: scatter(f, x, i, broadcast_in_dim(y, s, e), d, b, q),
    numerics=ROUNDING,
    source=SOURCE,
    uses_facts=True,
    examples=_repeated,
)
def count_repeated_rows(
    f: Any, x: Value, i: Value, y: Value, s: Any, e: Any, d: Any, b: Any, q: Any
) -> Value | None:
    """0 + bcast y at i = n · bcast y, n the number of updates of each row, y the same in all"""
    d = ScatterDimensions(*d)
    need(set(e) <= set(d.update_window_dims) and has_numbers(y))
    counted = _counted(f, x, i, TensorType(tuple(s), y.dtype), d)
    places = dict(zip(d.update_window_dims, _kept(x, d), strict=True))
    return multiply(counted, broadcast_in_dim(y, x.shape, [places[k] for k in e]))


def _own(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _rows(rng)
    u, d = drawn.pop("u"), drawn["d"]
    x = drawn["x"].type
    return drawn | {"y": x, "g": tuple(d), "n": (1, u.shape[1]), "s": False}


@rule(
    lambda f, x, i, y, g, n, s, d, b, q: scatter(f, x, i, gather(y, i, g, n, s), d, b, q),
    numerics=ROUNDING,
    source=SOURCE,
    uses_facts=True,
    examples=_own,
)
def count_own_rows(
    f: Any, x: Value, i: Value, y: Value, g: Any, n: Any, s: Any, d: Any, b: Any, q: Any
) -> Value | None:
    """0 + y[i] at i = n · y, n the number of updates of each row"""
    # What a gather reads elsewhere, because it lies out of bounds, a scatter does not write.
    need(tuple(g) == tuple(d) and y.type == x.type and has_numbers(y))
    return multiply(_counted(f, x, i, gather(y, i, g, n, s).tensor, ScatterDimensions(*d)), y)


def _wrapped(rng: np.random.Generator) -> dict[str, Any]:
    """Rows at indices that count from the end where they are negative, as JAX reads them."""
    drawn = _own(rng)
    i = TensorType(drawn["i"].shape[:1], "i32")
    n = drawn["x"].type.shape[0]
    wrap = {"z": splat(0, i), "c": splat(n, i), "k": "SIGNED", "r": drawn["i"].shape}
    return drawn | wrap | {"i": i, "f": str(rng.choice(["add", "set", "maximum"]))}


@rule(
    lambda f, x, i, r, y, z, k, c, g, n, s, d, b, q: scatter(
        f,
        x,
        reshape(i, r),
        gather(
            y,
            reshape(select(compare(i, constant(z), "LT", k), add(i, constant(c)), i), r),
            g,
            n,
            s,
        ),
        d,
        b,
        q,
    ),
    numerics=BITWISE,
    source="StableHLO spec, `scatter`: what is out of bounds is not written",
    examples=_wrapped,
)
def read_where_written(
    f: Any, x: Value, i: Value, r: Any, y: Value, z: Literal, k: Any, c: Literal, g: Any, n: Any,
    s: Any, d: Any, b: Any, q: Any,
) -> Value | None:  # fmt: skip
    """x, written at i with y[i + n where i < 0, else i] = x, written at i with y[i]; of rows"""
    d = ScatterDimensions(*d)
    need(is_all(z, 0.0) and i.dtype in INTEGERS and k == "SIGNED" and i.rank == 1)
    need(tuple(r) == (i.size, 1) and d.index_vector_dim == 1)
    need(not d.input_batching_dims and len(d.scatter_dims_to_operand_dims) == 1)
    return scatter(f, x, reshape(i, r), gather(y, reshape(i, r), g, n, s), d, b, q)
