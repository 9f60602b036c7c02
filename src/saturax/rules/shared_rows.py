"""Rows that a gather repeats or a scatter adds up: work is done where there are fewer of them.

A graph network computes a message for each edge; what depends on one end of the edge alone needs
computing once a node. Rows are as in `gather_rows`: all of every dimension but one, the axis.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    DotDimensions,
    GatherDimensions,
    Precision,
    ScatterDimensions,
    add,
    binary,
    broadcast_in_dim,
    compare,
    dot_general,
    full,
    full_like,
    gather,
    multiply,
    reshape,
    scatter,
    select,
    unary,
)
from saturax.graph.ops.scatter import window_sizes
from saturax.graph.types import TensorType
from saturax.rules.arithmetic import COUNTED_EXACTLY
from saturax.rules.einsum import Einsum, Labels, contract, einsum_of, is_swappable, swapped
from saturax.rules.gather_rows import row_axis, take
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

_NODES = "message passing: what depends on one node alone is computed once a node"
_LINEAR = "a sum of products with one matrix is the product of the sum"


# ------------------------------------------------------------------ rows that a gather repeats


@rule(
    lambda f, x, i, d, n, b: unary(f, gather(x, i, d, n, b)),
    numerics=BITWISE,
    source=_NODES,
    examples=lambda rng: _repeating(rng),
)
def unary_before_gather(f: Any, x: Value, i: Value, d: Any, n: Any, b: Any) -> Value | None:
    """f(x[i]) = f(x)[i], if more elements are read than x has"""
    need(gather(x, i, d, n, b).size > x.size)
    return gather(unary(f, x), i, d, n, b)


@rule(
    lambda f, x, y, i, d, n, b: binary(f, gather(x, i, d, n, b), gather(y, i, d, n, b)),
    numerics=BITWISE,
    source=_NODES,
    examples=lambda rng: (drawn := _repeating(rng)) | {"y": drawn["x"]},
)
def binary_before_gather(
    f: Any, x: Value, y: Value, i: Value, d: Any, n: Any, b: Any
) -> Value | None:
    """f(x[i], y[i]) = f(x, y)[i], if more elements are read than x has"""
    need(x.type == y.type and gather(x, i, d, n, b).size > x.size)
    return gather(binary(f, x, y), i, d, n, b)


@rule(
    lambda f, x, i, d, n, b, y, s, e: binary(f, gather(x, i, d, n, b), broadcast_in_dim(y, s, e)),
    numerics=BITWISE,
    source=_NODES,
    examples=lambda rng: _with_bias(rng),
)
def binary_with_broadcast_before_gather(
    f: Any, x: Value, i: Value, d: Any, n: Any, b: Any, y: Value, s: Any, e: Any
) -> Value | None:
    """f(x[i], bcast y) = f(x, bcast y)[i] of rows, if y is the same for all of more than x has"""
    d = GatherDimensions(*d)
    axis = row_axis(x, d, n)
    need(axis in d.collapsed_slice_dims and set(e) <= set(d.offset_dims))
    need(gather(x, i, d, n, b).size > x.size)
    places = [k for k in range(x.rank) if k != axis]
    own = [places[d.offset_dims.index(k)] for k in e]
    return gather(binary(f, x, broadcast_in_dim(y, x.shape, own)), i, d, n, b)


@rule(
    lambda x, i, g, n, b, y, d, p, t: dot_general(gather(x, i, g, n, b), y, d, p, t),
    numerics=ROUNDING,
    source=_NODES,
    examples=lambda rng: _repeated_times_matrix(rng, "left"),
)
def dot_before_gather_of_left_operand(
    x: Value, i: Value, g: Any, n: Any, b: Any, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x[i] · y = (x · y)[i] of rows that are not summed over, if more are read than x has"""
    labels = einsum_of(d, gather(x, i, g, n, b).rank, y.rank)
    return _dot_before_gather(x, (i, GatherDimensions(*g), n), y, labels, p, t)


@rule(
    lambda y, x, i, g, n, b, d, p, t: dot_general(y, gather(x, i, g, n, b), d, p, t),
    numerics=ROUNDING,
    source=_NODES,
    examples=lambda rng: _repeated_times_matrix(rng, "right"),
)
def dot_before_gather_of_right_operand(
    y: Value, x: Value, i: Value, g: Any, n: Any, b: Any, d: DotDimensions, p: Precision, t: str
) -> Any:
    """y · x[i] = (y · x)[i] of rows that are not summed over, if more are read than x has"""
    need(is_swappable(p))
    labels = einsum_of(d, y.rank, gather(x, i, g, n, b).rank)
    flipped = Einsum(labels.y, labels.x, labels.result)
    return _dot_before_gather(x, (i, GatherDimensions(*g), n), y, flipped, swapped(p), t)


def _dot_before_gather(
    x: Value,
    reading: tuple[Value, GatherDimensions, Any],
    y: Value,
    labels: Einsum,
    p: Precision,
    t: str,
) -> Any:
    """The contraction of all rows of x with y, gathered; `labels` are those of gathered x and y."""
    i, g, sizes = reading
    axis = row_axis(x, g, sizes)
    need(axis in g.collapsed_slice_dims and i.size > x.shape[axis] > 0)
    batch = tuple(label for k, label in enumerate(labels.x) if k not in g.offset_dims)
    need(not any(label in labels.y for label in batch))
    row: Hashable = ("row", axis)
    offsets = iter([labels.x[k] for k in g.offset_dims])
    own = tuple(row if k == axis else next(offsets) for k in range(x.rank))
    rest = tuple(label for label in labels.result if label not in batch)
    rows = take(contract(x, y, Einsum(own, labels.y, (row, *rest)), p, t), i, 0)
    read = [m for k, m in enumerate(i.shape) if k != g.index_vector_dim]
    return transposed(
        reshape(rows, (*read, *rows.shape[1:])), permutation_to((*batch, *rest), labels.result)
    )


# ------------------------------------------------------------------ rows that a scatter adds up


@rule(
    lambda x, i, u, y, d, p, t, g, b, q: scatter("add", x, i, dot_general(u, y, d, p, t), g, b, q),
    numerics=ROUNDING,
    source=_LINEAR,
    examples=lambda rng: _summed_products(rng),
)
def dot_after_scatter_of_sums(
    x: Value, i: Value, u: Value, y: Value, d: DotDimensions, p: Precision, t: str, g: Any, b: Any,
    q: Any,
) -> Any:  # fmt: skip
    """x + Σ u·y at i = x + (Σ u at i)·y of rows, if more are added than x has"""
    labels = einsum_of(d, u.rank, y.rank)
    axis, added = _added_rows(x, i, dot_general(u, y, d, p, t), ScatterDimensions(*g))
    need(u.dtype == t)
    place = labels.x.index(labels.result[added]) if labels.result[added] in labels.x else -1
    need(place >= 0 and labels.result[added] not in labels.y)
    sums = _sums_of_rows(u, place, i, x.shape[axis], b, q)
    names: Labels = labels.result
    order = [k for k in range(len(names)) if k != added]
    order.insert(axis, added)
    total = contract(sums, y, Einsum(labels.x, labels.y, tuple(names[k] for k in order)), p, t)
    return add(x, total)


@rule(
    lambda x, i, u, c, s, e, g, b, q: scatter(
        "add", x, i, add(u, broadcast_in_dim(c, s, e)), g, b, q
    ),
    numerics=ROUNDING,
    source="a sum of k equal rows is k times the row",
    examples=lambda rng: _summed_with_bias(rng),
)
def count_equal_rows_of_scatter(
    x: Value, i: Value, u: Value, c: Value, s: Any, e: Any, g: Any, b: Any, q: Any
) -> Any:
    """x + Σ (u + bcast c) at i = x + Σ u at i + k·c, k the number of rows, 0 where there is none"""
    axis, added = _added_rows(x, i, u, ScatterDimensions(*g))
    need(added not in e and u.shape[added] <= COUNTED_EXACTLY.get(x.dtype, 0))
    rows = x.shape[axis]
    ones = full(1, TensorType((u.shape[added],), x.dtype))
    count = _sums_of_rows(ones, 0, i, rows, b, q)
    # Dimensions of the updates other than the added one are those of x other than the axis.
    places = [k for k in range(x.rank) if k != axis]
    own = [places[k - (k > added)] for k in e]
    count = broadcast_in_dim(count, x.shape, (axis,))
    product = multiply(count, broadcast_in_dim(c, x.shape, own))
    zero = full_like(x, 0)
    equal = select(compare(count, zero, "GT", "FLOAT"), product, zero)
    return add(scatter("add", x, i, u, g, b, q), equal)


def _added_rows(x: Value, i: Value, u: Value, d: ScatterDimensions) -> tuple[int, int]:
    """The axis of x along which whole rows are added, and the dimension of u that counts them."""
    need(len(d.scatter_dims_to_operand_dims) == 1 and not d.input_batching_dims)
    (axis,) = d.scatter_dims_to_operand_dims
    need(
        d.inserted_window_dims == (axis,)
        and u.size > 0
        and i.rank - (d.index_vector_dim < i.rank) == 1
    )
    sizes = window_sizes(d, x.tensor, u.tensor)
    need(all(m == x.shape[k] for k, m in enumerate(sizes) if k != axis))
    (added,) = [k for k in range(u.rank) if k not in d.update_window_dims]
    need(u.shape[added] > x.shape[axis])
    return axis, added


def _sums_of_rows(u: Value, place: int, i: Value, rows: int, is_sorted: Any, unique: Any) -> Value:
    """Sums of the rows of u along dimension `place` by their index, as many as `rows`."""
    shape = [rows if k == place else m for k, m in enumerate(u.shape)]
    windows = tuple(k for k in range(u.rank) if k != place)
    dimensions = ScatterDimensions(windows, (place,), (), (), (place,), 1)
    zeros = full(0, TensorType(tuple(shape), u.dtype))
    return scatter("add", zeros, reshape(i, (i.size, 1)), u, dimensions, is_sorted, unique)


# ------------------------------------------------------------------ examples


def _repeating(rng: np.random.Generator) -> dict[str, Any]:
    """Rows of a tensor, more of them than it has."""
    shape = tuple(int(m) for m in rng.integers(1, 4, int(rng.integers(1, 4))))
    axis, place = (int(k) for k in rng.integers(0, len(shape), 2))
    count = shape[axis] + int(rng.integers(1, 4))
    offsets = tuple(k for k in range(len(shape)) if k != place)
    return {
        "x": TensorType(shape, "f32"),
        "i": TensorType((count, 1), "i32"),
        "d": GatherDimensions(offsets, (axis,), (), (), (axis,), 1),
        "n": tuple(1 if k == axis else m for k, m in enumerate(shape)),
    }


def _read_shape(drawn: dict[str, Any]) -> tuple[int, ...]:
    """The shape of what `_repeating` reads."""
    (axis,) = drawn["d"].start_index_map
    sizes = iter([m for k, m in enumerate(drawn["x"].shape) if k != axis])
    offsets = drawn["d"].offset_dims
    return tuple(
        next(sizes) if k in offsets else drawn["i"].shape[0] for k in range(len(offsets) + 1)
    )


def _with_bias(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _repeating(rng)
    shape = _read_shape(drawn)
    e = tuple(k for k in drawn["d"].offset_dims if rng.random() < 0.7)
    bias = TensorType(tuple(shape[k] for k in e), "f32")
    return drawn | {"y": bias, "s": shape, "e": e}


def _repeated_times_matrix(rng: np.random.Generator, side: str) -> dict[str, Any]:
    drawn = _repeating(rng)
    shape = _read_shape(drawn)
    kept = list(drawn["d"].offset_dims)
    contracted = [k for k in kept if rng.random() < 0.6]
    batch = [k for k in kept if k not in contracted and rng.random() < 0.3]
    y = (*(shape[k] for k in (*batch, *contracted)), int(rng.integers(1, 4)))
    mine, theirs = tuple(batch), tuple(range(len(batch)))
    summed, of_y = tuple(contracted), tuple(range(len(batch), len(batch) + len(contracted)))
    d = (
        DotDimensions(mine, theirs, summed, of_y)
        if side == "left"
        else DotDimensions(theirs, mine, of_y, summed)
    )
    dtype = str(rng.choice(["f32", "f64", "i32"]))
    return {
        "x": TensorType(drawn["x"].shape, dtype),
        "i": drawn["i"],
        "g": drawn["d"],
        "n": drawn["n"],
        "y": TensorType(y, dtype),
        "d": d,
        "t": dtype,
    }


def _rows_added(rng: np.random.Generator) -> dict[str, Any]:
    """A tensor, and more rows to add to it than it has."""
    shape = tuple(int(m) for m in rng.integers(1, 4, int(rng.integers(1, 4))))
    axis, added = (int(k) for k in rng.integers(0, len(shape), 2))
    count = shape[axis] + int(rng.integers(1, 4))
    windows = tuple(k for k in range(len(shape)) if k != added)
    update = [m for k, m in enumerate(shape) if k != axis]
    update.insert(added, count)
    return {
        "x": TensorType(shape, "f32"),
        "i": TensorType((count, 1), "i32"),
        "g": ScatterDimensions(windows, (axis,), (), (), (axis,), 1),
        "update": tuple(update),
        "added": added,
    }


def _summed_products(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _rows_added(rng)
    update, added = drawn.pop("update"), drawn.pop("added")
    # The updates' dimensions from `cut` on come from the right operand.
    cut = int(rng.integers(added + 1, len(update) + 1))
    summed = int(rng.integers(1, 4))
    u = (*update[:cut], summed)
    dtype = str(rng.choice(["f32", "f64", "i32"]))
    return drawn | {
        "x": TensorType(drawn["x"].shape, dtype),
        "u": TensorType(u, dtype),
        "y": TensorType((summed, *update[cut:]), dtype),
        "d": DotDimensions((), (), (cut,), (0,)),
        "t": dtype,
    }


def _summed_with_bias(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _rows_added(rng)
    update, added = drawn.pop("update"), drawn.pop("added")
    dtype = str(rng.choice(["f32", "f64"]))
    e = tuple(k for k in range(len(update)) if k != added and rng.random() < 0.7)
    return drawn | {
        "x": TensorType(drawn["x"].shape, dtype),
        "u": TensorType(update, dtype),
        "c": TensorType(tuple(update[k] for k in e), dtype),
        "s": update,
        "e": e,
    }
