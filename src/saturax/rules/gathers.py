"""Gathers at indices that grow in equal steps, as slices; slices of gathers, and before them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    GatherDimensions,
    broadcast_in_dim,
    concatenate,
    constant,
    gather,
    reshape,
    reverse,
    slice_,
    transpose,
)
from saturax.graph.types import TensorType
from saturax.rules.facts import iota_of
from saturax.rules.indexing import GATHER
from saturax.rules.rule import BITWISE, need, rule


class Step(NamedTuple):
    """Where a gather reads along one dimension of its operand.

    From `first`, `size` elements, `stride` further with each step along dimension `batch` of the
    indices; there is none if that is None.
    """

    first: int
    size: int
    stride: int = 0
    batch: int | None = None


# ------------------------------------------------------------------ in equal steps


def _steps(x: Value, i: Value, d: GatherDimensions, sizes: Any) -> list[Step]:
    """Where the gather reads along every dimension; the rule does not apply where it is not so."""
    affine = iota_of(i)
    need(affine is not None)
    offset, strides = affine or (0, ())
    own = [j for j in range(i.rank) if j != d.index_vector_dim]
    jump = strides[d.index_vector_dim] if d.index_vector_dim < i.rank else 0
    steps = [Step(0, size) for size in sizes]
    for dimension, along in zip(
        d.operand_batching_dims, d.start_indices_batching_dims, strict=True
    ):
        steps[dimension] = Step(0, 1, 1, own.index(along))
    moving = [k for k, j in enumerate(own) if strides[j] != 0]
    need(len(moving) <= 1)
    for k, dimension in enumerate(d.start_index_map):
        first, size = offset + k * jump, sizes[dimension]
        last = first
        steps[dimension] = Step(first, size)
        if moving:
            stride = strides[own[moving[0]]]
            last = first + stride * (i.shape[own[moving[0]]] - 1)
            steps[dimension] = Step(first, size, stride, moving[0])
            need(size == 1)
        need(min(first, last) >= 0 and max(first, last) + size <= x.shape[dimension])
    return steps


def _of_diagonal(x: Value, steps: list[Step]) -> tuple[Any, list[Step], int | None]:
    """Two neighbouring dimensions that are read in step are one dimension, read in longer steps."""
    moving = [k for k, step in enumerate(steps) if step.batch is not None]
    shared = [k for k in moving if sum(steps[j].batch == steps[k].batch for j in moving) > 1]
    if not shared:
        return x, steps, None
    need(len(shared) == 2 and shared[1] == shared[0] + 1)
    k, n = shared[0], x.shape[shared[1]]
    a, b = steps[k], steps[k + 1]
    merged = Step(a.first * n + b.first, 1, a.stride * n + b.stride, a.batch)
    flat = reshape(x, (*x.shape[:k], x.shape[k] * n, *x.shape[k + 2 :]))
    return flat, [*steps[:k], merged, *steps[k + 2 :]], k


@rule(lambda x, i, d, n, b: gather(x, i, d, n, b), numerics=BITWISE, source=GATHER, uses_facts=True)
def gather_in_steps(x: Value, i: Value, d: Any, n: Any, b: Any) -> Value | None:
    """x at indices in equal steps = a strided slice of x, rearranged; of its diagonal likewise"""
    d = GatherDimensions(*d)
    need(i.size > 0 and 0 not in n and x.size > 0)
    batch = [m for j, m in enumerate(i.shape) if j != d.index_vector_dim]
    y, steps, merged = _of_diagonal(x, _steps(x, i, d, n))
    start, limit, stride, backwards = [], [], [], []
    for k, step in enumerate(steps):
        count = 1 if step.batch is None else batch[step.batch]
        last = step.first + step.stride * (count - 1)
        start.append(min(step.first, last))
        limit.append(max(step.first, last) + step.size)
        stride.append(max(1, abs(step.stride)))
        backwards += [k] if step.stride < 0 else []
    taken = reverse(slice_(y, start, limit, stride), backwards)
    return _placed(taken, steps, merged, d, n, batch)


def _placed(
    taken: Value, steps: list[Step], merged: int | None, d: Any, sizes: Any, batch: list[int]
) -> Any:
    """The slice, in the layout of the gather's result."""
    dropped = d.collapsed_slice_dims + d.operand_batching_dims
    offsets = [k for k in range(len(sizes)) if k not in dropped]
    rank = len(offsets) + len(batch)
    rest = [k for k in range(rank) if k not in d.offset_dims]
    shape = [0] * rank
    for place, m in zip(
        (*rest, *d.offset_dims), (*batch, *(sizes[k] for k in offsets)), strict=True
    ):
        shape[place] = m
    kept, places = [], []
    for k, step in enumerate(steps):
        original = k if merged is None or k <= merged else k + 1
        if step.batch is not None:
            kept.append(k)
            places.append(rest[step.batch])
        elif original in offsets:
            kept.append(k)
            places.append(d.offset_dims[offsets.index(original)])
    squeezed = reshape(taken, [taken.shape[k] for k in kept])
    order = sorted(range(len(kept)), key=places.__getitem__)
    return broadcast_in_dim(transpose(squeezed, order), shape, sorted(places))


# ------------------------------------------------------------------ slices of what is gathered


@rule(
    lambda x, i, d, n, b, s, e, c: slice_(gather(x, i, d, n, b), s, e, c),
    numerics=BITWISE,
    source=GATHER,
)
def slice_before_gather(
    x: Value, i: Value, d: Any, n: Any, b: Any, s: Any, e: Any, c: Any
) -> Value | None:
    """x[i][slice] = x[slice][i[slice]]: of the places, and of dimensions that are read whole"""
    d = GatherDimensions(*d)
    result = gather(x, i, d, n, b)
    dropped = d.collapsed_slice_dims + d.operand_batching_dims
    offsets = [k for k in range(x.rank) if k not in dropped]
    own = [j for j in range(i.rank) if j != d.index_vector_dim]
    need(not d.operand_batching_dims and 0 not in (*result.shape, *n))
    of_x = [(0, m, 1) for m in x.shape]
    of_i = [(0, m, 1) for m in i.shape]
    rest = iter(own)
    for place, cut in enumerate(zip(s, e, c, strict=True)):
        whole = cut == (0, result.shape[place], 1)
        if place in d.offset_dims:
            k = offsets[d.offset_dims.index(place)]
            need(whole or (n[k] == x.shape[k] and cut[1] > cut[0]))
            of_x[k] = (0, x.shape[k], 1) if whole else cut
        else:
            of_i[next(rest)] = cut
    y, index = _cut(x, of_x), _cut(i, of_i)
    sizes = [m if n[k] != x.shape[k] else y.shape[k] for k, m in enumerate(n)]
    return gather(y, index, d, sizes, b)


def _cut(x: Value, bounds: list[tuple[int, int, int]]) -> Any:
    start, limit, stride = zip(*bounds, strict=True) if bounds else ((), (), ())
    return slice_(x, start, limit, stride)


def _beside_constants(rng: np.random.Generator) -> dict[str, Any]:
    """Rows of a matrix, of which each time the same columns are read."""
    n, m = (int(k) for k in rng.integers(2, 6, 2))
    size, count = int(rng.integers(1, m + 1)), int(rng.integers(1, 4))
    c = splat(int(rng.integers(-1, m + 1)), TensorType((count, 1), "i32"))
    return {
        "x": TensorType((n, m), str(rng.choice(["f32", "i32"]))),
        "i": TensorType((count, 1), "i32"),
        "c": c,
        "k": 1,
        "d": GatherDimensions((1,), (0,), (), (), (0, 1), 1),
        "n": (1, size),
    }


@rule(
    lambda x, i, c, k, d, n, b: gather(x, concatenate(i, constant(c), k), d, n, b),
    numerics=BITWISE,
    source=GATHER,
    examples=_beside_constants,
)
def slice_columns_before_gather(
    x: Value, i: Value, c: Literal, k: Any, d: Any, n: Any, b: Any
) -> Value | None:
    """x[i, a:b] = x[:, a:b][i]: what is read at constant places comes first"""
    d = GatherDimensions(*d)
    need(k == d.index_vector_dim and c.is_splat and x.size > 0)
    kept = i.shape[k]
    starts, size = [0] * x.rank, list(x.shape)
    for j in d.start_index_map[kept:]:
        starts[j] = min(max(int(c.value), 0), x.shape[j] - n[j])
        size[j] = n[j]
    part = slice_(x, starts, [a + s for a, s in zip(starts, size, strict=True)], (1,) * x.rank)
    return gather(part, i, d._replace(start_index_map=d.start_index_map[:kept]), n, b)
