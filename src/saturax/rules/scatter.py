"""Scatters: at known places as slices, pads and gathers; merged; dense where each row has one.

A window that is not entirely in bounds is left out. Where windows overlap, the order in which they
are written is not specified: rules about that ask for places that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    SET,
    GatherDimensions,
    ScatterDimensions,
    binary,
    broadcast_in_dim,
    constant,
    dynamic_slice,
    dynamic_update_slice,
    full,
    gather,
    iota,
    pad,
    reduce_,
    reshape,
    reverse,
    scatter,
    select,
    slice_dimension,
    transpose,
)
from saturax.graph.ops.scatter import window_sizes
from saturax.graph.types import TensorType
from saturax.rules.conditions import FOLD_LIMIT, exactly, is_exact
from saturax.rules.facts import bounds_of
from saturax.rules.indices import holds_indices
from saturax.rules.rule import BITWISE, ROUNDING, Examples, need, rule

SCATTER = "StableHLO spec, `scatter`"


def written(f: Any, old: Value, new: Value) -> Any:
    """What a scatter by f leaves where it writes `new` over `old`."""
    return new if f == SET else binary(f, old, new)


class Rows(NamedTuple):
    """A scatter of whole rows of the operand: all of every dimension but `axis`, one index each.

    `order` brings the updates into the operand's layout, with `number` rows along `axis`.
    """

    axis: int
    number: int
    order: tuple[int, ...]


def _rows(x: Value, updates: Value, indices: Any, d: ScatterDimensions) -> Rows:
    """The form of a scatter of rows; the rule does not apply to other scatters."""
    need(not d.input_batching_dims and len(d.scatter_dims_to_operand_dims) == 1)
    (axis,) = d.scatter_dims_to_operand_dims
    sizes = window_sizes(d, x.tensor, updates.tensor)
    need(all(n == 1 if i == axis else n == x.shape[i] for i, n in enumerate(sizes)))
    outer = [i for i in range(updates.rank) if i not in d.update_window_dims]
    # Window dimensions of the updates, by the operand's dimension; the axis itself has size 1.
    kept = [i for i in range(x.rank) if i not in d.inserted_window_dims]
    place = dict(zip(kept, d.update_window_dims, strict=True))
    need(axis not in place or updates.shape[place[axis]] == 1)
    count = prod(updates.shape[i] for i in outer)
    order = [*outer, *(place[i] for i in kept if i != axis)]
    order += [place[axis]] if axis in place else []
    return Rows(axis, count, tuple(order))


def _as_rows(x: Value, updates: Value, rows: Rows) -> Any:
    """The updates as rows of the operand, along its axis."""
    others = [n for i, n in enumerate(x.shape) if i != rows.axis]
    stacked = reshape(transpose(updates, rows.order), (rows.number, *others))
    order = [i + 1 for i in range(len(others))]
    order.insert(rows.axis, 0)
    return transpose(stacked, order)


def _places(c: Literal, x: Value, rows: Rows) -> np.ndarray[Any, Any]:
    """Where each row goes: constants, all in bounds."""
    need(c.type.size == rows.number > 0)
    places = c.array.reshape(-1).astype(np.int64)
    need(places.min() >= 0 and places.max() < x.shape[rows.axis])
    return places


def _spread(x: Value, axis: int, values: np.ndarray[Any, Any]) -> Any:
    """A constant vector along one axis of x, repeated along the others."""
    return broadcast_in_dim(constant(Literal(values)), x.shape, (axis,))


# ------------------------------------------------------------------ at constant places


def _examples_at(places: Callable[[np.random.Generator, int], Sequence[int]]) -> Examples:
    """Scatters of rows at constant places of n."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        rank, n = int(rng.integers(1, 4)), int(rng.integers(3, 7))
        axis = int(rng.integers(0, rank))
        shape = rng.integers(1, 4, rank).tolist()
        shape[axis] = n
        at = np.asarray(places(rng, n), np.int32)
        batch = int(rng.integers(0, rank))
        windows = tuple(i for i in range(rank) if i != batch)
        others = [m for i, m in enumerate(shape) if i != axis]
        others.insert(batch, len(at))
        dtype = str(rng.choice(["f32", "f32", "i32", "f64", "ui8"]))
        return {
            "f": str(rng.choice([SET, "add", "maximum"])),
            "x": TensorType(tuple(shape), dtype),
            "c": Literal(at[:, None]),
            "u": TensorType(tuple(others), dtype),
            "d": ScatterDimensions(windows, (axis,), (), (), (axis,), 1),
        }

    return draw


def _in_steps(rng: np.random.Generator, n: int) -> Sequence[int]:
    places = range(int(rng.integers(0, 2)), n, int(rng.integers(1, 3)))
    return places if rng.random() < 0.7 else places[::-1]


def _permuted(rng: np.random.Generator, n: int) -> Sequence[int]:
    return rng.permutation(n)[: int(rng.integers(n // 2 + 1, n + 1))].tolist()


def _in_runs(rng: np.random.Generator, n: int) -> Sequence[int]:
    distinct = np.sort(rng.permutation(n)[: int(rng.integers(1, n))])
    return np.repeat(distinct, int(rng.integers(2, 4))).tolist()


@rule(
    lambda f, x, c, u, d, b, q: scatter(f, x, constant(c), u, d, b, q),
    numerics=BITWISE,
    source=SCATTER,
    examples=_examples_at(_in_steps),
)
def scatter_rows_in_steps(
    f: Any, x: Value, c: Literal, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """x, written in equal steps = x with a padded u where it is written; in one step, a slice"""
    rows = _rows(x, u, c, ScatterDimensions(*d))
    places = _places(c, x, rows)
    steps = np.diff(places)
    step = int(steps[0]) if steps.size else 1
    need(step != 0 and bool((steps == step).all()))
    new = _as_rows(x, u, rows)
    if step < 0:
        new, places = reverse(new, (rows.axis,)), places[::-1]
    first, last = int(places[0]), int(places[-1])
    if abs(step) == 1:
        zero = full(0, TensorType((), "i32"))
        start = [zero] * x.rank
        start[rows.axis] = full(first, TensorType((), "i32"))
        return dynamic_update_slice(x, written(f, dynamic_slice(x, start, new.shape), new), start)
    low, high, interior = ([0] * x.rank for _ in range(3))
    low[rows.axis], high[rows.axis] = first, x.shape[rows.axis] - 1 - last
    interior[rows.axis] = abs(step) - 1
    padded = pad(new, full(0, TensorType((), x.dtype)), low, high, interior)
    mask = np.zeros(x.shape[rows.axis], np.bool_)
    mask[places] = True
    return select(_spread(x, rows.axis, mask), written(f, x, padded), x)


@rule(
    lambda f, x, c, u, d, b, q: scatter(f, x, constant(c), u, d, b, q),
    numerics=BITWISE,
    source=SCATTER,
    examples=_examples_at(_permuted),
)
def scatter_rows_as_gather(
    f: Any, x: Value, c: Literal, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """x, written at different constant places = u gathered from where they come, or x elsewhere"""
    rows = _rows(x, u, c, ScatterDimensions(*d))
    places = _places(c, x, rows)
    n = x.shape[rows.axis]
    need(len(np.unique(places)) == rows.number and 2 * rows.number >= n and n <= FOLD_LIMIT)
    source, mask = np.zeros((n, 1), np.int32), np.zeros(n, np.bool_)
    source[places, 0] = np.arange(rows.number)
    mask[places] = True
    sizes = [1 if i == rows.axis else m for i, m in enumerate(x.shape)]
    others = tuple(i for i in range(x.rank) if i != rows.axis)
    read = GatherDimensions(others, (rows.axis,), (), (), (rows.axis,), 1)
    new = gather(_as_rows(x, u, rows), constant(Literal(source)), read, sizes)
    if mask.all():
        return written(f, x, new)
    return select(_spread(x, rows.axis, mask), written(f, x, new), x)


@rule(
    lambda f, x, c, u, d, b, q: scatter(f, x, constant(c), u, d, b, q),
    numerics=ROUNDING,
    source=SCATTER,
    examples=_examples_at(_in_runs),
)
def scatter_equal_runs(
    f: Any, x: Value, c: Literal, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """x + u at constant places, k times each in a row = x + Σu over every k rows; max alike"""
    need(f != SET)
    rows = _rows(x, u, c, ScatterDimensions(*d))
    places = _places(c, x, rows)
    distinct = np.unique(places)
    k = rows.number // len(distinct)
    need(k > 1 and k * len(distinct) == rows.number)
    need(bool((np.repeat(distinct, k) == places).all()))
    axis = rows.axis
    split = (*x.shape[:axis], len(distinct), k, *x.shape[axis + 1 :])
    summed = reduce_(f, reshape(_as_rows(x, u, rows), split), (axis + 1,))
    once = constant(Literal(distinct.astype(np.int32)[:, None]))
    others = tuple(i for i in range(x.rank) if i != axis)
    return scatter(f, x, once, summed, ScatterDimensions(others, (axis,), (), (), (axis,), 1))


def is_one_window(u: Value, d: Any) -> bool:
    """Whether a scatter of updates u writes one window."""
    windows = ScatterDimensions(*d).update_window_dims
    return prod(n for i, n in enumerate(u.shape) if i not in windows) == 1


def is_exact_scatter(f: Any, x: Value, **_: Any) -> bool:
    """Whether f is associative in every bit on x."""
    return is_exact(f, x.dtype)


scatter_equal_runs_exactly = exactly(scatter_equal_runs, is_exact_scatter, _examples_at(_in_runs))


@rule(
    lambda f, x, e, t, u, d, b, q: scatter(f, x, iota(e, t), u, d, b, q),
    numerics=BITWISE,
    source=SCATTER,
)
def scatter_rows_at_iota(
    f: Any, x: Value, e: Any, t: TensorType, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """x, written at 0, 1, 2, … = its first rows replaced"""
    rows = _rows(x, u, t, ScatterDimensions(*d))
    need(t.size == t.shape[e] == rows.number > 0 and rows.number <= x.shape[rows.axis])
    need(holds_indices(t.dtype, t.shape[e]))
    new = _as_rows(x, u, rows)
    start = [full(0, TensorType((), "i32"))] * x.rank
    return dynamic_update_slice(x, written(f, dynamic_slice(x, start, new.shape), new), start)


@rule(
    lambda f, x, c, u, d, b, q: scatter(f, x, constant(c), u, d, b, q),
    numerics=BITWISE,
    source=SCATTER,
)
def scatter_one_window(
    f: Any, x: Value, c: Literal, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """x, written in one window at a constant place in bounds = an update of that slice"""
    d = ScatterDimensions(*d)
    need(not d.input_batching_dims and c.type.size == len(d.scatter_dims_to_operand_dims))
    need(prod(n for i, n in enumerate(u.shape) if i not in d.update_window_dims) == 1)
    sizes = window_sizes(d, x.tensor, u.tensor)
    start = [0] * x.rank
    for i, place in zip(d.scatter_dims_to_operand_dims, c.array.reshape(-1), strict=True):
        start[i] = int(place)
        need(0 <= start[i] <= x.shape[i] - sizes[i])
    need(max(start, default=0) < 1 << 31)
    places = [full(a, TensorType((), "i32")) for a in start]
    kept = [i for i in range(u.rank) if i not in d.update_window_dims]
    new = reshape(transpose(u, (*kept, *d.update_window_dims)), sizes)
    return dynamic_update_slice(x, written(f, dynamic_slice(x, places, sizes), new), places)


# ------------------------------------------------------------------ at one place


def _at_one_place(rng: np.random.Generator) -> dict[str, Any]:
    """A window at one constant place in bounds, the same in every row of a batch."""
    rows, n, m = int(rng.integers(1, 4)), int(rng.integers(2, 6)), int(rng.integers(1, 3))
    place = np.asarray([rng.integers(0, n - m + 1)], np.int32)
    dtype = str(rng.choice(["f32", "i32", "f64"]))
    return {
        "f": str(rng.choice([SET, "add", "maximum"])),
        "x": TensorType((rows, n), dtype),
        "i": Literal(place),
        "s": (rows, 1),
        "e": (1,),
        "u": TensorType((rows, m), dtype),
        "d": ScatterDimensions((1,), (), (0,), (0,), (1,), 1),
    }


def _at_one_vector(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _at_one_place(rng)
    n, m = drawn["x"].shape[1], drawn["u"].shape[1]
    return drawn | {
        "x": drawn["x"].with_shape((n,)),
        "u": drawn["u"].with_shape((1, m)),
        "i": Literal(drawn["i"].array[None]),
        "d": ScatterDimensions((1,), (), (), (), (0,), 1),
    }


def _updated(f: Any, x: Value, i: Value, u: Value, d: ScatterDimensions, own: Sequence[int]) -> Any:
    """x, updated in one window at the vector i, which is in bounds.

    `own` are the dimensions of the scatter's indices other than that of the vector.
    """
    sizes = list(window_sizes(d, x.tensor, u.tensor))
    low, high = bounds_of(i)
    start = [full(0, TensorType((), i.dtype))] * x.rank
    for k, dimension in enumerate(d.scatter_dims_to_operand_dims):
        need(low >= 0 and high <= x.shape[dimension] - sizes[dimension])
        start[dimension] = reshape(slice_dimension(i, 0, k, k + 1), ())
    outer = [k for k in range(u.rank) if k not in d.update_window_dims]
    along = dict(zip(d.scatter_indices_batching_dims, d.input_batching_dims, strict=True))
    kept = [k for k in range(x.rank) if k not in (*d.inserted_window_dims, *along.values())]
    source = dict(zip(kept, d.update_window_dims, strict=True))
    source |= {along[j]: k for j, k in zip(own, outer, strict=True) if j in along}
    rest = [k for j, k in zip(own, outer, strict=True) if j not in along]
    for dimension in along.values():
        sizes[dimension] = x.shape[dimension]
    order = [*rest, *(source[k] for k in range(x.rank) if k in source)]
    new = reshape(transpose(u, order), sizes)
    return dynamic_update_slice(x, written(f, dynamic_slice(x, start, sizes), new), start)


@rule(
    lambda f, x, i, u, d, b, q: scatter(f, x, i, u, d, b, q),
    numerics=BITWISE,
    source=SCATTER,
    uses_facts=True,
    examples=_at_one_vector,
)
def scatter_at_one_place(
    f: Any, x: Value, i: Value, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """x, written in one window at a place that is known to be in bounds = an update of a slice"""
    d = ScatterDimensions(*d)
    own = [k for k in range(i.rank) if k != d.index_vector_dim]
    need(u.size > 0 and not d.input_batching_dims and all(i.shape[k] == 1 for k in own))
    return _updated(f, x, reshape(i, (i.size,)), u, d, own)


@rule(
    lambda f, x, i, s, e, u, d, b, q: scatter(f, x, broadcast_in_dim(i, s, e), u, d, b, q),
    numerics=BITWISE,
    source=SCATTER,
    uses_facts=True,
    examples=_at_one_place,
)
def scatter_at_one_place_of_each_row(
    f: Any, x: Value, i: Value, s: Any, e: Any, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """A batch, written in each row at one place in bounds = an update of a slice of all rows"""
    d = ScatterDimensions(*d)
    own = [k for k in range(len(s)) if k != d.index_vector_dim]
    need(u.size > 0 and set(own) == set(d.scatter_indices_batching_dims))
    need(i.size == len(d.scatter_dims_to_operand_dims))
    return _updated(f, x, reshape(i, (i.size,)), u, d, own)
