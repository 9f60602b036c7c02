"""Gathers: at constant indices as slices, at one index as dynamic slices, before other work."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    GatherDimensions,
    binary,
    broadcast_in_dim,
    constant,
    dynamic_slice,
    full,
    gather,
    reshape,
    reverse,
    slice_,
    slice_dimension,
    transpose,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.rule import BITWISE, need, rule

GATHER = "StableHLO spec, `gather`"


def _component(indices: np.ndarray[Any, Any], d: GatherDimensions, k: int) -> Any:
    """Start index number k at each position of the batch."""
    if d.index_vector_dim == indices.ndim:
        return indices
    return indices.take(k, d.index_vector_dim)


def _affine(values: np.ndarray[Any, Any]) -> tuple[int, int] | None:
    """Start and step of the values, read row by row, if they are an arithmetic progression."""
    flat = values.reshape(-1).astype(np.int64)
    steps = np.diff(flat)
    if steps.size and (steps != steps[0]).any():
        return None
    return int(flat[0]), int(steps[0]) if steps.size else 0


def _read(
    x: Value, starts: Sequence[Any], d: GatherDimensions, sizes: Any, batch: tuple[int, ...]
) -> Value:
    """The gather whose start index number k is starts[k] = (start, step), row by row of the batch.

    At most one step is not 0, and its slices have size 1: a strided slice, reversed if the step is
    negative, with its dimension moved to where the batch is.
    """
    count = prod(batch)
    moving = [k for k, (_, step) in enumerate(starts) if step != 0]
    need(len(moving) <= 1 and count > 0 and 0 not in sizes)
    begin, stride, limit = [0] * x.rank, [1] * x.rank, list(sizes)
    backwards: list[int] = []
    for k, (start, step) in enumerate(starts):
        i = d.start_index_map[k]
        last = start + step * (count - 1)
        need(min(start, last) >= 0 and max(start, last) + sizes[i] <= x.shape[i])
        need(step == 0 or sizes[i] == 1)
        begin[i], limit[i] = min(start, last), max(start, last) + sizes[i]
        stride[i] = max(1, abs(step))
        backwards += [i] if step < 0 else []
    taken = reverse(slice_(x, begin, limit, stride), backwards)
    axis = d.start_index_map[moving[0]] if moving else None
    return arranged(taken, axis, d, batch)


def arranged(x: Value, axis: int | None, d: GatherDimensions, batch: tuple[int, ...]) -> Value:
    """The slices in x as the result of a gather: as many as there are along `axis`, or one."""
    dropped = d.collapsed_slice_dims + d.operand_batching_dims
    offsets = [i for i in range(x.rank) if i not in dropped]
    sizes = [1 if i == axis else x.shape[i] for i in offsets]
    rank = len(batch) + len(offsets)
    rest = [i for i in range(rank) if i not in d.offset_dims]
    order = [i for i in range(x.rank) if i != axis]
    if axis is None:
        line = reshape(x, sizes)
        shape = [0] * rank
        for place, n in zip((*rest, *d.offset_dims), (*batch, *sizes), strict=True):
            shape[place] = n
        return broadcast_in_dim(line, shape, d.offset_dims)
    first = reshape(transpose(x, [axis, *order]), [*batch, *sizes])
    places = [*rest, *d.offset_dims]
    return transpose(first, [places.index(i) for i in range(rank)])


@rule(lambda x, c, d, n, b: gather(x, constant(c), d, n, b), numerics=BITWISE, source=GATHER)
def gather_at_constants(x: Value, c: Literal, d: Any, n: Any, b: Any) -> Value | None:
    """x at constant indices in equal steps = a slice of x, rearranged; where none is clamped"""
    d = GatherDimensions(*d)
    need(not d.operand_batching_dims and c.type.size > 0)
    starts = [_affine(_component(c.array, d, k)) for k in range(len(d.start_index_map))]
    need(None not in starts)
    batch = tuple(m for i, m in enumerate(c.type.shape) if i != d.index_vector_dim)
    return _read(x, starts, d, n, batch)


@rule(lambda x, i, d, n, b: gather(x, i, d, n, b), numerics=BITWISE, source=GATHER)
def gather_one_slice(x: Value, i: Value, d: Any, n: Any, b: Any) -> Value | None:
    """x at one index vector = a dynamic slice of x, rearranged"""
    d = GatherDimensions(*d)
    need(not d.operand_batching_dims and i.size == len(d.start_index_map) and i.size > 0)
    vector = reshape(i, (i.size,))
    zero = full(0, TensorType((), i.dtype))
    indices = [zero] * x.rank
    for k, dimension in enumerate(d.start_index_map):
        indices[dimension] = reshape(slice_dimension(vector, 0, k, k + 1), ())
    batch = tuple(m for j, m in enumerate(i.shape) if j != d.index_vector_dim)
    return arranged(dynamic_slice(x, indices, n), None, d, batch)


@rule(lambda f, x, i, d, n, b: gather(unary(f, x), i, d, n, b), numerics=BITWISE, source=GATHER)
def gather_before_unary(f: Any, x: Value, i: Value, d: Any, n: Any, b: Any) -> Value | None:
    """f(x)[i] = f(x[i]), if fewer elements are read than x has"""
    result = gather(x, i, d, n, b)
    need(result.size < x.size)
    return unary(f, result)


@rule(
    lambda f, x, y, i, d, n, b: gather(binary(f, x, y), i, d, n, b),
    numerics=BITWISE,
    source=GATHER,
)
def gather_before_binary(
    f: Any, x: Value, y: Value, i: Value, d: Any, n: Any, b: Any
) -> Value | None:
    """f(x, y)[i] = f(x[i], y[i]), if fewer elements are read than x has"""
    first = gather(x, i, d, n, b)
    need(first.size < x.size)
    return binary(f, first, gather(y, i, d, n, b))
