"""Gathers and scatters at indices that count: slices, diagonals, clamps that change nothing.

`iota_of` says of which indices are offset + Σ stride·position, whatever they were computed by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saturax.facts import Affine
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import splat
from saturax.graph.ops import (
    SET,
    GatherDimensions,
    ScatterDimensions,
    add,
    broadcast_in_dim,
    concatenate,
    full,
    gather,
    iota,
    multiply,
    reshape,
    reverse,
    scatter,
    slice_,
    subtract,
    ternary,
    transpose,
)
from saturax.graph.types import TensorType
from saturax.rules.factors import diagonal_matrix
from saturax.rules.facts import bounds_of, iota_of, is_zero
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

GATHER = "StableHLO spec, `gather`"


def _components(indices: Affine, shape: Sequence[int], vector: int) -> list[Affine]:
    """Each component of affine index vectors, over the dimensions of the batch."""
    if vector == len(shape):
        return [indices]
    strides = (*indices.strides[:vector], *indices.strides[vector + 1 :])
    step = indices.strides[vector]
    return [Affine(indices.offset + k * step, strides) for k in range(shape[vector])]


def _batch(shape: Sequence[int], vector: int) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(shape) if i != vector)


def _read(
    x: Value, starts: Sequence[Affine], d: GatherDimensions, n: Any, batch: Sequence[int]
) -> Value:
    """The gather whose index component k is starts[k], over the dimensions of the batch.

    Each component moves along one dimension of the batch at most, and no two along the same one:
    then what is read is a slice of x, reversed where the stride is negative.
    """
    need(not d.operand_batching_dims and 0 not in batch and 0 not in n)
    moves: dict[int, int] = {}
    begin, limit, stride = [0] * x.rank, list(n), [1] * x.rank
    backwards: list[int] = []
    for k, start in enumerate(starts):
        i = d.start_index_map[k]
        moving = [b for b, s in enumerate(start.strides) if s and batch[b] > 1]
        need(len(moving) <= 1 and (not moving or (n[i] == 1 and moving[0] not in moves.values())))
        step = start.strides[moving[0]] if moving else 0
        last = start.offset + step * (batch[moving[0]] - 1 if moving else 0)
        begin[i], limit[i] = min(start.offset, last), max(start.offset, last) + n[i]
        need(begin[i] >= 0 and limit[i] <= x.shape[i])
        stride[i] = max(abs(step), 1)
        backwards += [i] if step < 0 else []
        moves |= {i: moving[0]} if moving else {}
    return _arranged(reverse(slice_(x, begin, limit, stride), backwards), moves, d, n, batch)


def _arranged(
    taken: Value, moves: dict[int, int], d: GatherDimensions, n: Any, batch: Sequence[int]
) -> Value:
    """What was read, as the gather returns it; dimension i became that of the batch, `moves[i]`."""
    offsets = [i for i in range(taken.rank) if i not in d.collapsed_slice_dims]
    rank = len(batch) + len(offsets)
    rest = [place for place in range(rank) if place not in d.offset_dims]
    size = dict(zip([*rest, *d.offset_dims], [*batch, *(n[i] for i in offsets)], strict=True))
    # Where each dimension that is left goes; one that moved leaves a dimension of size 1 behind.
    place = {i: d.offset_dims[offsets.index(i)] for i in offsets if i not in moves}
    place |= {i: rest[b] for i, b in moves.items()}
    order = sorted(place, key=place.__getitem__)
    dropped = [i for i in range(taken.rank) if i not in place]
    line = reshape(transpose(taken, [*order, *dropped]), tuple(taken.shape[i] for i in order))
    shape = tuple(size[p] for p in range(rank))
    return broadcast_in_dim(line, shape, tuple(place[i] for i in order))


def _counting(
    builder: GraphBuilder, n: int, size: int, dtype: str, is_descending: bool = False
) -> Value:
    """Indices first, first + step, … that stay in a dimension of `size`."""
    type = TensorType((n,), dtype)
    with building(builder):
        step = (size - 1) // max(n - 1, 1)
        counted = add(
            multiply(iota(0, type), full(step, type)), full(size - 1 - step * (n - 1), type)
        )
        return subtract(full(size - 1, type), counted) if is_descending else counted


def _line_example(rng: np.random.Generator) -> dict[str, Any]:
    """x[first + step · i] along one dimension."""
    shape = tuple(map(int, rng.integers(1, 6, rng.integers(1, 4))))
    k = int(rng.integers(0, len(shape)))
    builder = GraphBuilder()
    count = int(rng.integers(1, shape[k] + 1))
    dtype = str(rng.choice(["i32", "i64"]))
    indices = _counting(builder, count, shape[k], dtype, rng.random() < 0.5)
    others = tuple(i for i in range(len(shape)) if i != k)
    d = GatherDimensions(tuple(i + (i >= k) for i in range(len(others))), (k,), (), (), (k,), 1)
    d = d._replace(offset_dims=tuple(range(1, len(shape))))
    n = tuple(1 if i == k else m for i, m in enumerate(shape))
    return {"x": TensorType(shape, "f32"), "i": builder.finish([indices]), "d": d, "n": n}


@rule(
    lambda x, i, d, n, b: gather(x, i, d, n, b),
    numerics=BITWISE,
    source=GATHER,
    uses_facts=True,
    examples=_line_example,
)
def gather_at_counting(x: Value, i: Value, d: Any, n: Any, b: Any) -> Value | None:
    """x[first + step·k] = a slice of x, reversed if step < 0; where no index is clamped"""
    d, counted = GatherDimensions(*d), iota_of(i)
    need(counted is not None)
    assert counted is not None
    starts = _components(counted, i.shape, d.index_vector_dim)
    return _read(x, starts, d, n, _batch(i.shape, d.index_vector_dim))


def _plane_example(rng: np.random.Generator) -> dict[str, Any]:
    """x[first + step · i, second + step · j] for all i and j."""
    shape = tuple(map(int, rng.integers(1, 6, 2)))
    batch = tuple(int(rng.integers(1, m + 1)) for m in shape)
    dtype = str(rng.choice(["i32", "i64"]))
    places = (0, 1) if rng.random() < 0.5 else (1, 0)
    found: dict[str, Any] = {"x": TensorType(shape, "f32"), "e": 2, "n": (1, 1)}
    for name, place, axis in zip("ij", places, (0, 1), strict=True):
        builder = GraphBuilder()
        line = _counting(builder, batch[place], shape[axis], dtype)
        if batch[place] > shape[axis]:
            line = _counting(builder, 1, shape[axis], dtype)
        with building(builder):
            grid = broadcast_in_dim(line, (*batch, 1), (place,))
        found[name] = builder.finish([grid])
    return found | {"d": GatherDimensions((), (0, 1), (), (), (0, 1), 2)}


@rule(
    lambda x, i, j, e, d, n, b: gather(x, concatenate(i, j, e), d, n, b),
    numerics=BITWISE,
    source=GATHER,
    uses_facts=True,
    examples=_plane_example,
)
def gather_at_counting_pairs(
    x: Value, i: Value, j: Value, e: Any, d: Any, n: Any, b: Any
) -> Value | None:
    """x[first + step·k, second + step·m] = a slice of x, transposed; where no index is clamped"""
    d, pair = GatherDimensions(*d), (iota_of(i), iota_of(j))
    need(None not in pair and e == d.index_vector_dim)
    starts = [
        start
        for counted, own in zip(pair, (i, j), strict=True)
        if counted is not None
        for start in _components(counted, own.shape, e)
    ]
    return _read(x, starts, d, n, _batch(i.shape, e))


def _clamped_example(rng: np.random.Generator) -> dict[str, Any]:
    """Indices clamped to where a row is."""
    shape = tuple(map(int, rng.integers(1, 6, 2)))
    type = TensorType((3, 1), "i32")
    d = GatherDimensions((1,), (0,), (), (), (0,), 1)
    low, high = -int(rng.integers(0, 2)), shape[0] - 1 + int(rng.integers(0, 2))
    bounds = {"a": splat(low, type), "c": splat(high, type)}
    return {"x": TensorType(shape, "f32"), "i": type, "d": d, "n": (1, shape[1])} | bounds


@rule(
    lambda x, a, i, c, d, n, b: gather(x, ternary("clamp", a, i, c), d, n, b),
    numerics=BITWISE,
    source=GATHER,
    uses_facts=True,
    examples=_clamped_example,
)
def gather_clamped(x: Value, a: Value, i: Value, c: Value, d: Any, n: Any, b: Any) -> Value | None:
    """x[clamp(a, i, c)] = x[i] for a ≤ 0 and c ≥ the last place: a gather clamps by itself"""
    d = GatherDimensions(*d)
    last = max((x.shape[k] - n[k] for k in d.start_index_map), default=0)
    need(bounds_of(a)[1] <= 0 and bounds_of(c)[0] >= last)
    return gather(x, i, d, n, False)


# ------------------------------------------------------------------ diagonals


def _on_diagonal(rng: np.random.Generator) -> dict[str, Any]:
    n = int(rng.integers(2, 6))
    builder = GraphBuilder()
    with building(builder):
        indices = builder.finish([iota(0, TensorType((n, 2), "i32"))])
    return {
        "f": str(rng.choice(["add", SET])),
        "x": splat(0, TensorType((n, n), "f32")),
        "i": indices,
        "u": TensorType((n,), "f32"),
        "d": ScatterDimensions((), (0, 1), (), (), (0, 1), 1),
    }


@rule(
    lambda f, x, i, u, d, b, q: scatter(f, x, i, u, d, b, q),
    numerics=ROUNDING,
    source="StableHLO spec, `scatter`",
    uses_facts=True,
    examples=_on_diagonal,
)
def scatter_on_diagonal(
    f: Any, x: Value, i: Value, u: Value, d: Any, b: Any, q: Any
) -> Value | None:
    """0, written at (0, 0), (1, 1), … = the diagonal matrix of u: gradients of traces"""
    d = ScatterDimensions(*d)
    need(f in ("add", SET) and x.rank == 2 and is_zero(x) and d.inserted_window_dims == (0, 1))
    need(sorted(d.scatter_dims_to_operand_dims) == [0, 1] and d.index_vector_dim == 1)
    need(u.shape == (x.shape[0],) == (x.shape[1],) and iota_of(i) == (0, (1, 0)) and u.size > 1)
    return diagonal_matrix(u)
