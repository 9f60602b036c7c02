"""Sorting some values by others, and argsort: inverted, sorted, and gathered at."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    SET,
    DotDimensions,
    GatherDimensions,
    ScatterDimensions,
    broadcast_in_dim,
    constant,
    default_order,
    dot_general,
    full,
    gather,
    get_result,
    iota,
    reduce_,
    reshape,
    scatter,
    sort,
    sort_pair,
    transpose,
)
from saturax.graph.ops.scatter import window_sizes
from saturax.graph.types import TensorType, is_integer
from saturax.rules.conditions import INTEGERS, exactly, is_exact
from saturax.rules.extrema import takes_along
from saturax.rules.gather_rows import row_axis
from saturax.rules.indices import holds_indices
from saturax.rules.ordering import SORT
from saturax.rules.rule import BITWISE, ROUNDING, need, rule
from saturax.rules.scatter import written

# ------------------------------------------------------------------ sorting along


@rule(lambda x, y, d, o, s: get_result(sort_pair(x, y, d, o, s), 0), numerics=BITWISE, source=SORT)
def keys_of_sorted_pair(x: Value, y: Value, d: Any, o: Any, s: Any) -> Value | None:
    """The keys of a sort that takes other values along are sorted"""
    return sort(x, d, o, s)


@rule(lambda x, d, o, s: get_result(sort_pair(x, x, d, o, s), 1), numerics=BITWISE, source=SORT)
def sort_along_itself(x: Value, d: Any, o: Any, s: Any) -> Value | None:
    """x, taken along by the sort of x, is sorted"""
    return sort(x, d, o, s)


@rule(
    lambda x, y, t, e, d, o, s: get_result(sort_pair(x, broadcast_in_dim(y, t, e), d, o, s), 1),
    numerics=BITWISE,
    source=SORT,
)
def sort_repeated_along(x: Value, y: Value, t: Any, e: Any, d: Any, o: Any, s: Any) -> Value | None:
    """What is repeated along the sorted dimension stays as it is"""
    need(d not in e or (y.shape[e.index(d)] == 1))
    return broadcast_in_dim(y, t, e)


def _take_sorted(rng: np.random.Generator) -> dict[str, Any]:
    """Examples of `take_along_axis(y, argsort x)`."""
    rank = int(rng.integers(1, 4))
    shape = tuple(rng.integers(1, 5, rank).tolist())
    d = int(rng.integers(0, rank))
    others = tuple(i for i in range(rank) if i != d)
    type = TensorType(shape, str(rng.choice(["f32", "i32", "bf16"])))
    return {
        "x": type,
        "y": type.with_dtype("f32"),
        "t": type.with_dtype("i32"),
        "d": d,
        "e": d,
        "r": (*shape, 1),
        "g": GatherDimensions((), (d,), others, others, (d,), rank),
        "n": (1,) * rank,
    }


def _argsort(x: Any, e: Any, t: Any, d: Any, o: Any) -> Any:
    """The pattern of an argsort."""
    return get_result(sort_pair(x, iota(e, t), d, o, True), 1)


@rule(
    lambda x, e, t, d, o, p: sort(_argsort(x, e, t, d, o), d, p, True),
    numerics=BITWISE,
    source=SORT,
)
def sort_argsort(x: Value, e: Any, t: TensorType, d: Any, o: Any, p: Any) -> Value | None:
    """sort(argsort x) = iota: it is a permutation of the indices"""
    need(e == d and p == default_order(t.dtype) and is_integer(t.dtype))
    need(holds_indices(t.dtype, t.shape[d]))
    return iota(d, t)


@rule(
    lambda x, e, t, d, o, p: _argsort(_argsort(x, e, t, d, o), e, t, d, p),
    numerics=BITWISE,
    source="the argsort of a permutation is its inverse",
)
def argsort_argsort(x: Value, e: Any, t: TensorType, d: Any, o: Any, p: Any) -> Value | None:
    """argsort(argsort x) = ranks of x: the indices, written to the places that argsort names"""
    _need_permutation(e, d, t, p)
    places = reshape(get_result(sort_pair(x, iota(e, t), d, o, True), 1), (*t.shape, 1))
    others = tuple(i for i in range(t.rank) if i != d)
    dimensions = ScatterDimensions((), (d,), others, others, (d,), t.rank)
    return scatter(SET, full(0, t), places, iota(d, t), dimensions, False, True)


@rule(
    lambda x, e, t, d, o, p: _argsort(_argsort(_argsort(x, e, t, d, o), e, t, d, p), e, t, d, p),
    numerics=BITWISE,
    source="the argsort of a permutation is its inverse",
)
def argsort_three_times(x: Value, e: Any, t: TensorType, d: Any, o: Any, p: Any) -> Value | None:
    """argsort(argsort(argsort x)) = argsort x"""
    _need_permutation(e, d, t, p)
    return get_result(sort_pair(x, iota(e, t), d, o, True), 1)


def _need_permutation(e: Any, d: Any, t: TensorType, order: Any) -> None:
    """The argsort with indices iota(e, t) is a permutation, and `order` sorts it upwards."""
    need(t.size > 0)
    need(e == d and t.dtype in INTEGERS and order == default_order(t.dtype))
    need(holds_indices(t.dtype, t.shape[d]))


@rule(
    lambda y, x, e, t, d, o, r, g, n, b: gather(y, reshape(_argsort(x, e, t, d, o), r), g, n, b),
    numerics=BITWISE,
    source="definition of the argsort",
    examples=_take_sorted,
)
def gather_argsorted(
    y: Value, x: Value, e: Any, t: TensorType, d: Any, o: Any, r: Any, g: Any, n: Any, b: Any
) -> Value | None:
    """take_along_axis(y, argsort x) = y, taken along by the sort of x"""
    need(e == d and y.shape == t.shape and tuple(r) == (*t.shape, 1))
    need(takes_along(g, n, d, t.rank) and is_integer(t.dtype))
    need(holds_indices(t.dtype, t.shape[d]))
    return get_result(sort_pair(x, y, d, o, True), 1)


# ------------------------------------------------------------------ rows in the order of a sort


def _permuted_rows(rng: np.random.Generator) -> dict[str, Any]:
    """Rows of x in the order of a sort of as many numbers, reduced along them."""
    shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 4)))
    axis, batch = (int(k) for k in rng.integers(0, len(shape), 2))
    offsets = tuple(k for k in range(len(shape)) if k != batch)
    count = TensorType((shape[axis],), "i32")
    others = [k for k in range(len(shape)) if k != batch and rng.random() < 0.5]
    return {
        "x": TensorType(shape, str(rng.choice(["f32", "f64", "i32"]))),
        "y": count.with_dtype("f32"),
        "t": count,
        "e": 0,
        "d": 0,
        "r": (shape[axis], 1),
        "g": GatherDimensions(offsets, (axis,), (), (), (axis,), 1),
        "n": tuple(1 if k == axis else m for k, m in enumerate(shape)),
        "f": str(rng.choice(["add", "maximum"])),
        "k": tuple(sorted((batch, *others))),
    }


def _rows_in_order(x: Value, t: TensorType, e: Any, d: Any, r: Any, g: Any, n: Any) -> list[int]:
    """The dimension of x that each dimension of the permuted rows is.

    The rule does not apply unless each row is read once.
    """
    need(e == d == 0 and t.rank == 1 and tuple(r) == (*t.shape, 1))
    need(is_integer(t.dtype) and holds_indices(t.dtype, t.shape[0]))
    return _rows_at(x, t.shape[0], g, n)


def _rows_at(x: Value, count: int, g: Any, n: Any) -> list[int]:
    """The dimension of x that each dimension of its rows at `count` places is; all rows of x."""
    g = GatherDimensions(*g)
    axis = row_axis(x, g, n)
    need(axis in g.collapsed_slice_dims and count == x.shape[axis])
    need(g.index_vector_dim == 1 and x.size > 0)
    kept = iter(k for k in range(x.rank) if k != axis)
    return [next(kept) if k in g.offset_dims else axis for k in range(x.rank)]


@rule(
    lambda f, x, y, e, t, d, o, r, g, n, b, k: reduce_(
        f, gather(x, reshape(_argsort(y, e, t, d, o), r), g, n, b), k
    ),
    numerics=ROUNDING,
    source="the argsort is a permutation",
    examples=_permuted_rows,
)
def reduce_permuted_rows(
    f: Any, x: Value, y: Value, e: Any, t: TensorType, d: Any, o: Any, r: Any, g: Any, n: Any,
    b: Any, k: Any,
) -> Value | None:  # fmt: skip
    """Σ x[argsort y] = Σx along the permuted rows; other reductions too"""
    own = _rows_in_order(x, t, e, d, r, g, n)
    axis = GatherDimensions(*g).start_index_map[0]
    dimensions = [own[j] for j in k]
    need(axis in dimensions)
    kept = [own[j] for j in range(x.rank) if j not in k]
    found = reduce_(f, x, tuple(sorted(dimensions)))
    return transpose(found, [sorted(kept).index(j) for j in kept])


reduce_permuted_rows_exactly = exactly(
    reduce_permuted_rows, lambda f, x, **_: is_exact(f, x.dtype), examples=_permuted_rows
)


@rule(
    lambda x, y, e, t, d, o, r, g, n, b, k, p, s: sort(
        gather(x, reshape(_argsort(y, e, t, d, o), r), g, n, b), k, p, s
    ),
    numerics=ROUNDING,
    source="the argsort is a permutation",
    examples=lambda rng: _sorted_again(rng),
)
def sort_permuted_rows(
    x: Value, y: Value, e: Any, t: TensorType, d: Any, o: Any, r: Any, g: Any, n: Any, b: Any,
    k: Any, p: Any, s: Any,
) -> Value | None:  # fmt: skip
    """sort(x[argsort y]) = sort x along the permuted rows"""
    own = _rows_in_order(x, t, e, d, r, g, n)
    need(own == list(range(x.rank)) and own[k] == GatherDimensions(*g).start_index_map[0])
    return sort(x, k, p, s)


sort_permuted_rows_exactly = exactly(
    sort_permuted_rows, lambda x, **_: x.dtype in INTEGERS, examples=lambda rng: _sorted_again(rng)
)


# ------------------------------------------------------------------ products along such rows


def _dot_along(
    x: Value, own: list[int], g: Any, y: Value, other: list[int], h: Any, d: Any, p: Any, e: Any
) -> Any:
    """The product of x and y instead of their rows in one order, along which it sums."""
    d = DotDimensions(*d)
    axes = GatherDimensions(*g).start_index_map[0], GatherDimensions(*h).start_index_map[0]
    left = tuple(own[k] for k in d.lhs_contract)
    right = tuple(other[k] for k in d.rhs_contract)
    need(axes in zip(left, right, strict=True))
    batches = tuple(own[k] for k in d.lhs_batch), tuple(other[k] for k in d.rhs_batch)
    return dot_general(x, y, DotDimensions(*batches, left, right), p, e)


def _dot_examples(rng: np.random.Generator) -> dict[str, Any]:
    """A matrix and a vector or matrix, their rows or columns in one order."""
    n, dtype = int(rng.integers(1, 6)), str(rng.choice(["f32", "f64", "i32"]))
    shapes, gathers, axes = [], [], []
    for _ in range(2):
        rank = int(rng.integers(1, 3))
        axis = int(rng.integers(0, rank))
        others = tuple(k for k in range(rank) if k != axis)
        shapes.append(tuple(n if k == axis else int(rng.integers(1, 4)) for k in range(rank)))
        gathers.append(GatherDimensions(others, (axis,), (), (), (axis,), 1))
        axes.append(axis)
    sizes = [
        tuple(1 if k == axis else m for k, m in enumerate(shape))
        for shape, axis in zip(shapes, axes, strict=True)
    ]
    return {
        "x": TensorType(shapes[0], dtype),
        "y": TensorType(shapes[1], dtype),
        "g": gathers[0],
        "h": gathers[1],
        "n": sizes[0],
        "m": sizes[1],
        "d": DotDimensions((), (), (axes[0],), (axes[1],)),
        "e": dtype,
    }


def _dot_of_sorted(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _dot_examples(rng)
    count = TensorType((drawn["x"].shape[drawn["d"].lhs_contract[0]],), "i32")
    own = {"z": count.with_dtype("f32"), "t": count, "i": 0, "a": 0, "r": (*count.shape, 1)}
    return drawn | own


@rule(
    lambda x, y, z, i, t, a, o, r, g, n, b, h, m, c, d, p, e: dot_general(
        gather(x, reshape(_argsort(z, i, t, a, o), r), g, n, b),
        gather(y, reshape(_argsort(z, i, t, a, o), r), h, m, c),
        d,
        p,
        e,
    ),
    numerics=ROUNDING,
    source="the argsort is a permutation",
    examples=_dot_of_sorted,
)
def dot_of_permuted_rows(
    x: Value, y: Value, z: Value, i: Any, t: TensorType, a: Any, o: Any, r: Any, g: Any, n: Any,
    b: Any, h: Any, m: Any, c: Any, d: Any, p: Any, e: Any,
) -> Value | None:  # fmt: skip
    """x[:, argsort z] · y[argsort z] = x · y, summed along the permuted rows"""
    own, other = _rows_in_order(x, t, i, a, r, g, n), _rows_in_order(y, t, i, a, r, h, m)
    return _dot_along(x, own, g, y, other, h, d, p, e)


def _dot_at_places(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _dot_examples(rng)
    count = drawn["x"].shape[drawn["d"].lhs_contract[0]]
    places = rng.permutation(count).astype(np.int32).reshape(count, 1)
    return drawn | {"i": Literal(places)}


@rule(
    lambda x, y, i, g, n, b, h, m, c, d, p, e: dot_general(
        gather(x, constant(i), g, n, b), gather(y, constant(i), h, m, c), d, p, e
    ),
    numerics=ROUNDING,
    source="a sum in another order",
    examples=_dot_at_places,
)
def dot_of_rows_at_places(
    x: Value, y: Value, i: Literal, g: Any, n: Any, b: Any, h: Any, m: Any, c: Any, d: Any, p: Any,
    e: Any,
) -> Value | None:  # fmt: skip
    """x[:, i] · y[i] = x · y for a constant permutation i, summed along the permuted rows"""
    count = i.type.size
    need(i.type.shape == (count, 1) and is_integer(i.type.dtype) and count > 0)
    own, other = _rows_at(x, count, g, n), _rows_at(y, count, h, m)
    need(np.array_equal(np.sort(i.array.ravel()), np.arange(count)))
    return _dot_along(x, own, g, y, other, h, d, p, e)


def _sorted_again(rng: np.random.Generator) -> dict[str, Any]:
    """Rows in the order of one sort, sorted by another."""
    shape = tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 4)))
    axis, rank = int(rng.integers(0, len(shape))), len(shape)
    x = TensorType(shape, str(rng.choice(["f32", "i32", "ui8"])))
    count = TensorType((shape[axis],), "i32")
    others = tuple(k for k in range(rank) if k != axis)
    return {
        "x": x,
        "y": count.with_dtype("f32"),
        "t": count,
        "e": 0,
        "d": 0,
        "r": (shape[axis], 1),
        "g": GatherDimensions(others, (axis,), (), (), (axis,), 1),
        "n": tuple(1 if k == axis else m for k, m in enumerate(shape)),
        "k": axis,
        "p": default_order(x.dtype),
    }


def _written_once(rng: np.random.Generator) -> dict[str, Any]:
    """A number that is combined into each row, in the order of a sort."""
    drawn = _sorted_again(rng)
    x, axis = drawn["x"], drawn["k"]
    others = tuple(k for k in range(x.rank) if k != axis)
    shape = (*(x.shape[k] for k in others), x.shape[axis])
    windows = tuple(range(x.rank - 1))
    d = ScatterDimensions(windows, (axis,), (), (), (axis,), 1)
    own = {name: drawn[name] for name in ("x", "y", "t", "e", "r")}
    f = str(rng.choice([SET, "add", "maximum"]))
    return own | {"f": f, "c": splat(2, TensorType(shape, x.dtype)), "a": 0, "d": d}


@rule(
    lambda f, x, y, e, t, a, o, r, c, d, b, q: scatter(
        f, x, reshape(_argsort(y, e, t, a, o), r), constant(c), d, b, q
    ),
    numerics=BITWISE,
    source="the argsort is a permutation",
    examples=_written_once,
)
def write_everywhere_once(
    f: Any, x: Value, y: Value, e: Any, t: TensorType, a: Any, o: Any, r: Any, c: Literal, d: Any,
    b: Any, q: Any,
) -> Value | None:  # fmt: skip
    """c, written or combined into each row of x in the order of a sort = f(x, c), c a splat"""
    d = ScatterDimensions(*d)
    need(not d.input_batching_dims and d.inserted_window_dims == d.scatter_dims_to_operand_dims)
    need(len(d.inserted_window_dims) == 1 and c.is_splat and c.type.dtype == x.dtype)
    (axis,) = d.inserted_window_dims
    need(t.shape == (x.shape[axis],) and e == a == 0 and tuple(r) == (*t.shape, 1))
    need(d.index_vector_dim == 1 and is_integer(t.dtype) and holds_indices(t.dtype, t.shape[0]))
    sizes = window_sizes(d, x.tensor, c.type)
    need(all(k == axis or n == x.shape[k] for k, n in enumerate(sizes)))
    return written(f, x, full(c.value, x.tensor))
