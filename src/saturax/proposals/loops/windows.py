"""Windows at indices that vary from iteration to iteration, read or written all at once.

Where the indices are known and proceed in equal steps along one dimension, that is a slice with a
reshape; otherwise a `gather` or a `scatter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ir import Node
from saturax.graph.ops import (
    GatherDimensions,
    concatenate_all,
    dynamic_update_slice,
    gather,
    reshape,
    reverse,
    slice_,
    ternary,
)
from saturax.graph.ops.scatter import SET, ScatterDimensions, scatter
from saturax.graph.types import numpy_dtype
from saturax.proposals.loops.batched import (
    Batched,
    constant_of,
    known,
    merge_front_into,
    repeat,
    split_to_front,
    stacked,
)


class Progression(NamedTuple):
    """Windows that start at `start` and move by `step` along `dimension` in every iteration.

    `dimension` is None where they do not move.
    """

    start: tuple[int, ...]
    dimension: int | None
    step: int


def progression(
    indices: Sequence[np.ndarray[Any, Any] | None], sizes: Sequence[int], shape: Sequence[int]
) -> Progression | None:
    """How windows at known indices proceed; None if indices are unknown or move irregularly.

    An index is one number, or one for each iteration.
    """
    starts: list[int] = []
    moving: list[tuple[int, int]] = []
    for d, (array, size, extent) in enumerate(zip(indices, sizes, shape, strict=True)):
        if size == extent:  # wherever it is asked to start, it is clamped to the whole
            starts.append(0)
            continue
        if array is None:
            return None
        values = np.clip(array.astype(np.int64).reshape(-1), 0, extent - size)
        steps = set(np.diff(values).tolist())
        if len(steps) > 1:
            return None
        starts.append(int(values[0]))
        step = steps.pop() if steps else 0
        moving += [(d, step)] if step else []
    if len(moving) > 1:
        return None
    dimension, step = moving[0] if moving else (None, 0)
    return Progression(tuple(starts), dimension, step)


def read_windows(
    x: Batched, indices: Sequence[Batched], sizes: Sequence[int], count: int
) -> Value | Batched:
    """Windows of x at varying indices, stacked; not varying if they turn out to stand still."""
    shape = x.value.shape[1:] if x.varies else x.value.shape
    path = progression([known(index.value) for index in indices], sizes, shape)
    if path is not None and path.dimension is None:
        return _standing(x, path.start, sizes)
    size = 1 if path is None or path.dimension is None else sizes[path.dimension]
    if path is None or x.varies or (size != 1 and size != abs(path.step)):
        return _gathered(x, indices, sizes, count)
    return _moving(x.value, path, sizes, count)


def _standing(x: Batched, start: Sequence[int], sizes: Sequence[int]) -> Batched:
    lead = (0,) if x.varies else ()
    limit = [a + n for a, n in zip(start, sizes, strict=True)]
    whole = (x.value.shape[0],) if x.varies else ()
    ones = [1] * x.value.rank
    return Batched(slice_(x.value, (*lead, *start), (*whole, *limit), ones), x.varies)


def _moving(x: Value, path: Progression, sizes: Sequence[int], count: int) -> Value:
    d, size, step = path.dimension, 0, path.step
    assert d is not None
    size = sizes[d]
    first = path.start[d] if step > 0 else path.start[d] + (count - 1) * step
    start = [first if k == d else a for k, a in enumerate(path.start)]
    limit = [a + n for a, n in zip(start, sizes, strict=True)]
    limit[d] = first + (count - 1) * abs(step) + size
    stride = [abs(step) if k == d and size == 1 else 1 for k in range(x.rank)]
    windows = split_to_front(slice_(x, start, limit, stride), d, count)
    result: Value = reverse(windows, (0,)) if step < 0 else windows
    return result


def _gathered(x: Batched, indices: Sequence[Batched], sizes: Sequence[int], count: int) -> Value:
    rank = len(sizes)
    starts = _index_table(indices, count)
    if x.varies:
        dimensions = GatherDimensions(
            tuple(range(1, rank + 1)), (), (0,), (0,), tuple(range(1, rank + 1)), 1
        )
        result: Value = gather(x.value, starts, dimensions, (1, *sizes))
        return result
    dimensions = GatherDimensions(tuple(range(1, rank + 1)), (), (), (), tuple(range(rank)), 1)
    result = gather(x.value, starts, dimensions, tuple(sizes))
    return result


def _index_table(indices: Sequence[Batched], count: int) -> Value:
    """Start indices as a tensor (iterations, rank)."""
    columns = [stacked(index, count) for index in indices]
    arrays = [known(index.value) for index in indices]
    if all(array is not None for array in arrays):
        table = [np.broadcast_to(array, (count,)) for array in arrays]  # type: ignore[arg-type]
        return constant_of(np.stack(table, 1))
    result: Value = concatenate_all([reshape(column, (count, 1)) for column in columns], 1)
    return result


def write_windows_apart(
    x: Batched, update: Batched, indices: Sequence[Batched], count: int
) -> Value:
    """The n results of a `dynamic_update_slice`, each of x alone, stacked."""
    target, updates = stacked(x, count), stacked(update, count)
    rank = target.rank - 1
    dimensions = ScatterDimensions(
        tuple(range(1, rank + 1)), (), (0,), (0,), tuple(range(1, rank + 1)), 1
    )
    starts = _clamped(_index_table(indices, count), target.shape[1:], updates.shape[1:])
    result: Value = scatter(SET, target, starts, updates, dimensions)
    return result


def _clamped(starts: Value, shape: Sequence[int], sizes: Sequence[int]) -> Value:
    """Start indices such that windows are in bounds, as `dynamic_update_slice` clamps them."""
    dtype = numpy_dtype(starts.dtype)
    last = np.asarray([n - size for n, size in zip(shape, sizes, strict=True)], dtype)
    largest = np.broadcast_to(last, starts.shape)
    array = known(starts)
    if array is not None:
        return constant_of(np.clip(array, np.zeros((), dtype), largest))
    zeros = np.zeros(starts.shape, dtype)
    result: Value = ternary("clamp", constant_of(zeros), starts, constant_of(largest))
    return result


def write_moving_windows(
    x: Value, updates: Batched, path: Progression, sizes: Sequence[int], count: int
) -> Value | None:
    """x with the windows of all iterations written, one after the other; None if they overlap.

    `updates` are the values of the windows.
    """
    start = list(path.start)
    if path.dimension is None:
        last = updates.value if not updates.varies else _last(updates.value)
        return _update(x, last, start)
    d = path.dimension
    if abs(path.step) != sizes[d]:
        return None
    values = updates.value if updates.varies else repeat(updates.value, count)
    if path.step < 0:
        values = reverse(values, (0,))
        start[d] += (count - 1) * path.step
    return _update(x, merge_front_into(values, d), start)


def _last(values: Value) -> Value:
    n = values.shape[0]
    last = slice_(values, (n - 1, *[0] * (values.rank - 1)), values.shape, [1] * values.rank)
    result: Value = reshape(last, values.shape[1:])
    return result


def _update(x: Value, window: Value, start: Sequence[int]) -> Value:
    """x with `window` at known indices that are in bounds."""
    if window.shape == x.shape:
        return window
    result: Value = dynamic_update_slice(
        x, window, [constant_of(np.asarray(a, np.int32)) for a in start]
    )
    return result


def gather_of_all(node: Node, operands: Sequence[Batched], count: int) -> Value:
    """A `gather` in all iterations."""
    fields, sizes, is_sorted = node.attributes
    d: Any = GatherDimensions(*fields)  # type: ignore[misc]
    x, indices = operands
    up: Any = GatherDimensions(*_shifted(d[:5], d.index_vector_dim))
    if not indices.varies:  # whole columns of x
        every = up._replace(
            offset_dims=(0, *up.offset_dims),
            start_indices_batching_dims=d.start_indices_batching_dims,
        )
        result: Value = gather(x.value, indices.value, every, (count, *sizes), is_sorted)  # type: ignore[misc]
        return result
    if not x.varies:
        every = d._replace(
            offset_dims=up.offset_dims,
            start_indices_batching_dims=up.start_indices_batching_dims,
            index_vector_dim=d.index_vector_dim + 1,
        )
        result = gather(x.value, indices.value, every, sizes)
        return result
    every = up._replace(
        operand_batching_dims=(0, *up.operand_batching_dims),
        start_indices_batching_dims=(0, *up.start_indices_batching_dims),
        index_vector_dim=d.index_vector_dim + 1,
    )
    result = gather(x.value, indices.value, every, (1, *sizes))  # type: ignore[misc]
    return result


def scatter_of_all(node: Node, operands: Sequence[Batched], count: int) -> Value:
    """A `scatter` in all iterations, each into an operand of its own."""
    f, fields, _, is_unique = node.attributes
    d: Any = ScatterDimensions(*fields)  # type: ignore[misc]
    up: Any = ScatterDimensions(*_shifted(d[:5], d.index_vector_dim + 1))
    every = up._replace(
        input_batching_dims=(0, *up.input_batching_dims),
        scatter_indices_batching_dims=(0, *up.scatter_indices_batching_dims),
    )
    into, where, updates = (stacked(operand, count) for operand in operands)
    result: Value = scatter(f, into, where, updates, every, False, is_unique)
    return result


def _shifted(fields: Any, last: int) -> list[Any]:
    """Dimension numbers behind a new dimension 0; `last` is the last of them, as it is to be."""
    return [*(tuple(i + 1 for i in field) for field in fields), last]
