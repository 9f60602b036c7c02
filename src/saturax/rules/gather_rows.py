"""Gathers of rows: of all of every dimension of an operand but one, the axis, at one index each.

Of gathered and of moved tensors, and at constant places in runs. Indices are clamped into bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    GatherDimensions,
    broadcast_in_dim,
    concatenate,
    concatenate_all,
    constant,
    convert,
    full,
    gather,
    iota,
    maximum,
    minimum,
    reduce_,
    reshape,
    slice_dimension,
    ternary,
    transpose,
)
from saturax.graph.types import TensorType
from saturax.rules.indexing import GATHER, arranged
from saturax.rules.indices import holds_indices
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

RUNS = 8
"""Most slices that a gather at constant indices is written as."""


# ------------------------------------------------------------------ gathers of rows


def row_axis(x: Value, d: GatherDimensions, sizes: Any) -> int:
    """The axis of a gather of rows of x; the rule does not apply to other gathers."""
    need(not d.operand_batching_dims and len(d.start_index_map) == 1)
    (axis,) = d.start_index_map
    need(all(m == (1 if k == axis else x.shape[k]) for k, m in enumerate(sizes)))
    return axis


def take(x: Value, i: Value, axis: int) -> Any:
    """The rows of x along an axis at the indices i, a vector."""
    others = tuple(k for k in range(x.rank) if k != axis)
    sizes = [1 if k == axis else n for k, n in enumerate(x.shape)]
    dimensions = GatherDimensions(others, (axis,), (), (), (axis,), 1)
    return gather(x, reshape(i, (i.size, 1)), dimensions, sizes)


def _batch(i: Value, d: GatherDimensions) -> tuple[int, ...]:
    return tuple(m for j, m in enumerate(i.shape) if j != d.index_vector_dim)


def _rows_examples(rng: np.random.Generator) -> dict[str, Any]:
    """Gathers of rows of a matrix or a tensor of rank 3."""
    rank = int(rng.integers(1, 4))
    axis = int(rng.integers(0, rank))
    batch = int(rng.integers(0, rank))
    offsets = tuple(k for k in range(rank) if k != batch)
    return {
        "d": GatherDimensions(offsets, (axis,), (), (), (axis,), 1),
        "i": TensorType((int(rng.integers(1, 4)), 1), "i32"),
        "rank": rank,
        "axis": axis,
    }


def _of_moved(name: str) -> Callable[[np.random.Generator], dict[str, Any]]:
    """Examples of a gather of rows of a tensor that is `name`d by what happened to it."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        drawn = _rows_examples(rng)
        rank, axis = drawn.pop("rank"), drawn.pop("axis")
        shape = tuple(int(m) for m in rng.integers(2, 5, rank))
        sizes = tuple(1 if k == axis else m for k, m in enumerate(shape))
        drawn["n"] = sizes
        if name == "transpose":
            p = tuple(int(k) for k in rng.permutation(rank))
            source = [0] * rank
            for k, j in enumerate(p):
                source[j] = shape[k]
            return drawn | {"p": p, "x": TensorType(tuple(source), "f32")}
        if name == "broadcast":
            e = tuple(k for k in range(rank) if rng.random() < 0.5)
            return drawn | {"s": shape, "e": e, "x": TensorType(tuple(shape[k] for k in e), "f32")}
        if name == "reduce":
            at = int(rng.integers(0, rank + 1))
            type = TensorType((*shape[:at], 3, *shape[at:]), str(rng.choice(["f32", "f64"])))
            return drawn | {"e": (at,), "x": type}
        if name == "iota":
            return drawn | {"e": int(rng.integers(0, rank)), "t": TensorType(shape, "i32")}
        return drawn | {"x": TensorType(shape, "f32")}

    return draw


def _gather_examples(rng: np.random.Generator) -> dict[str, Any]:
    """Rows of rows."""
    inner = _rows_examples(rng)
    rank, axis = inner["rank"], inner["axis"]
    shape = tuple(int(m) for m in rng.integers(2, 5, rank))
    sizes = tuple(1 if k == axis else m for k, m in enumerate(shape))
    (place,) = set(range(rank)) - set(inner["d"].offset_dims)
    read = [m for k, m in enumerate(shape) if k != axis]
    read.insert(place, inner["i"].shape[0])
    outer = tuple(1 if k == place else m for k, m in enumerate(read))
    batch = int(rng.integers(0, rank))
    offsets = tuple(k for k in range(rank) if k != batch)
    return {
        "x": TensorType(shape, "f32"),
        "i": inner["i"],
        "d": inner["d"],
        "n": sizes,
        "j": TensorType((int(rng.integers(1, 4)), 1), "i32"),
        "e": GatherDimensions(offsets, (place,), (), (), (place,), 1),
        "m": outer,
    }


@rule(
    lambda x, i, d, n, b, j, e, m, c: gather(gather(x, i, d, n, b), j, e, m, c),
    numerics=BITWISE,
    source=GATHER,
    examples=_gather_examples,
)
def gather_of_gather(
    x: Value, i: Value, d: Any, n: Any, b: Any, j: Value, e: Any, m: Any, c: Any
) -> Value | None:
    """x[i][j] = x[i[j]], of rows"""
    d, e = GatherDimensions(*d), GatherDimensions(*e)
    first = row_axis(x, d, n)
    inner = gather(x, i, d, n, b)
    axis = row_axis(inner, e, m)
    need(first in d.collapsed_slice_dims and len(_batch(i, d)) == 1)
    need(axis not in d.offset_dims and i.size > 0)
    index = take(reshape(i, (i.size,)), reshape(j, (j.size,)), 0)
    rows = take(x, index, first)
    labels = [k for k in range(x.rank) if k != first]
    labels.insert(axis, first)
    return arranged(transpose(rows, labels), axis, e, _batch(j, e))


@rule(
    lambda x, p, i, d, n, b: gather(transpose(x, p), i, d, n, b),
    numerics=BITWISE,
    source=GATHER,
    examples=_of_moved("transpose"),
)
def gather_before_transpose(x: Value, p: Any, i: Value, d: Any, n: Any, b: Any) -> Value | None:
    """xᵖ[i] = x[i]ᵖ, of rows"""
    d = GatherDimensions(*d)
    axis = row_axis(transpose(x, p), d, n)
    rows = transpose(take(x, reshape(i, (i.size,)), p[axis]), p)
    return arranged(rows, axis, d, _batch(i, d))


@rule(
    lambda x, s, e, i, d, n, b: gather(broadcast_in_dim(x, s, e), i, d, n, b),
    numerics=BITWISE,
    source=GATHER,
    examples=_of_moved("broadcast"),
)
def gather_of_broadcast(x: Value, s: Any, e: Any, i: Value, d: Any, n: Any, b: Any) -> Value | None:
    """bcast(x)[i] = bcast(x[i]), or bcast(x) without the repetition that is gathered; of rows"""
    d = GatherDimensions(*d)
    spread = broadcast_in_dim(x, s, e)
    axis = row_axis(spread, d, n)
    need(spread.size > 0 and i.size > 0)
    batch = _batch(i, d)
    if axis in e and x.shape[e.index(axis)] == s[axis]:
        rows = take(x, reshape(i, (i.size,)), e.index(axis))
        shape = [i.size if k == axis else m for k, m in enumerate(s)]
        return arranged(broadcast_in_dim(rows, shape, e), axis, d, batch)
    once = broadcast_in_dim(x, [1 if k == axis else m for k, m in enumerate(s)], e)
    return arranged(once, None, d, batch)


@rule(
    lambda f, x, e, i, d, n, b: gather(reduce_(f, x, e), i, d, n, b),
    numerics=ROUNDING,
    source=GATHER,
    examples=_of_moved("reduce"),
)
def gather_before_reduce(
    f: Any, x: Value, e: Any, i: Value, d: Any, n: Any, b: Any
) -> Value | None:
    """(Σx)[i] = Σ x[i], of fewer rows than there are"""
    d = GatherDimensions(*d)
    reduced = reduce_(f, x, e)
    axis = row_axis(reduced, d, n)
    need(0 < i.size < reduced.shape[axis])
    own = [k for k in range(x.rank) if k not in e][axis]
    rows = reduce_(f, take(x, reshape(i, (i.size,)), own), e)
    return arranged(rows, axis, d, _batch(i, d))


@rule(
    lambda x, y, k, i, d, n, b: gather(concatenate(x, y, k), i, d, n, b),
    numerics=BITWISE,
    source=GATHER,
)
def gather_of_concatenate(
    x: Value, y: Value, k: Any, i: Value, d: Any, n: Any, b: Any
) -> Value | None:
    """[x, y][i] = [x[i], y[i]], of fewer rows than there are, along another dimension"""
    d = GatherDimensions(*d)
    both = concatenate(x, y, k)
    axis = row_axis(both, d, n)
    need(axis != k and 0 < i.size < both.shape[axis])
    first, second = (take(part, reshape(i, (i.size,)), axis) for part in (x, y))
    return arranged(concatenate(first, second, k), axis, d, _batch(i, d))


@rule(
    lambda f, x, y, z, i, d, n, b: gather(ternary(f, x, y, z), i, d, n, b),
    numerics=BITWISE,
    source=GATHER,
)
def gather_before_ternary(
    f: Any, x: Value, y: Value, z: Value, i: Value, d: Any, n: Any, b: Any
) -> Value | None:
    """f(x, y, z)[i] = f(x[i], y[i], z[i]), if fewer elements are read than there are"""
    need(x.shape == y.shape == z.shape)
    first = gather(x, i, d, n, b)
    need(first.size < x.size)
    return ternary(f, first, gather(y, i, d, n, b), gather(z, i, d, n, b))


@rule(
    lambda e, t, i, d, n, b: gather(iota(e, t), i, d, n, b),
    numerics=BITWISE,
    source=GATHER,
    examples=_of_moved("iota"),
)
def gather_of_iota(e: Any, t: TensorType, i: Value, d: Any, n: Any, b: Any) -> Value | None:
    """iota[i] = i, clamped into bounds; or iota along another dimension; of rows"""
    d = GatherDimensions(*d)
    axis = row_axis(iota(e, t), d, n)
    last = t.shape[axis] - 1
    need(i.size > 0 and t.size > 0 and holds_indices(t.dtype, last + 1))
    if e != axis:
        return arranged(iota(e, t.with_shape(tuple(n))), None, d, _batch(i, d))
    need(holds_indices(i.dtype, last + 1))
    line = reshape(i, (i.size,))
    places = minimum(maximum(line, full(0, line.type)), full(last, line.type))
    shape = tuple(i.size if k == axis else m for k, m in enumerate(t.shape))
    rows = broadcast_in_dim(convert(places, t.dtype), shape, (axis,))
    return arranged(rows, axis, d, _batch(i, d))


@rule(
    lambda x, c, d, n, b: gather(x, constant(c), d, n, b),
    numerics=BITWISE,
    source=GATHER,
    examples=lambda rng: _in_runs(rng),
)
def gather_runs(x: Value, c: Literal, d: Any, n: Any, b: Any) -> Value | None:
    """Rows of x at constant indices in a few runs = slices of x, concatenated"""
    d = GatherDimensions(*d)
    axis = row_axis(x, d, n)
    places = np.clip(c.array.reshape(-1).astype(np.int64), 0, max(x.shape[axis] - 1, 0))
    need(places.size >= 2 and x.size > 0)
    ends = np.flatnonzero(np.diff(places) != 1) + 1
    need(2 <= len(ends) + 1 <= min(RUNS, places.size // 2))
    runs = np.split(places, ends)
    parts = [slice_dimension(x, axis, int(run[0]), int(run[-1]) + 1) for run in runs]
    batch = tuple(m for j, m in enumerate(c.type.shape) if j != d.index_vector_dim)
    return arranged(concatenate_all(parts, axis), axis, d, batch)


def _in_runs(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _of_moved("")(rng)
    (axis,) = drawn["d"].start_index_map
    shape = list(drawn["x"].shape)
    shape[axis] = 6
    starts = rng.permutation([0, 2, 4])[: int(rng.integers(2, 4))]
    places = np.concatenate([np.arange(a, a + 2) for a in starts]).astype(np.int32)
    return drawn | {"x": TensorType(tuple(shape), "f32"), "c": Literal(places[:, None])}
