"""Reference meaning of operations that move elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.ops.indexing import GatherDimensions
from saturax.graph.reference.numbers import Array


def iota(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `iota`."""
    dimension, type = attributes
    line = np.arange(type.shape[dimension]).astype(result)
    shape = [1] * len(type.shape)
    shape[dimension] = -1
    return np.broadcast_to(line.reshape(shape), type.shape)


def transpose(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `transpose`."""
    return operands[0].transpose(attributes[0])


def reshape(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `reshape`."""
    return operands[0].reshape(attributes[0])


def broadcast_in_dim(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `broadcast_in_dim`."""
    (shape, dimensions), (x,) = attributes, operands
    order = sorted(range(x.ndim), key=lambda i: dimensions[i])
    unit = [1] * len(shape)
    for i in order:
        unit[dimensions[i]] = x.shape[i]
    return np.broadcast_to(x.transpose(order).reshape(unit), shape)


def reverse(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `reverse`."""
    return np.flip(operands[0], attributes[0])


def slice_(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `slice`."""
    return operands[0][tuple(slice(*bounds) for bounds in zip(*attributes, strict=True))]


def pad(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `pad`."""
    (low, high, interior), (x, value) = attributes, operands
    spread = tuple(n + max(n - 1, 0) * i for n, i in zip(x.shape, interior, strict=True))
    shape = tuple(a + n + b for a, n, b in zip(low, spread, high, strict=True))
    # Dimension by dimension: the elements of x at `low + i · (interior + 1)` that are in bounds.
    source, target = [], []
    for a, i, n, size in zip(low, interior, x.shape, shape, strict=True):
        position = a + np.arange(n) * (i + 1)
        inside = np.flatnonzero((position >= 0) & (position < size))
        source.append(slice(inside[0], inside[-1] + 1) if inside.size else slice(0, 0))
        first = int(position[inside[0]]) if inside.size else 0
        last = int(position[inside[-1]]) + 1 if inside.size else 0
        target.append(slice(first, last, i + 1))
    padded = np.full(shape, value, dtype=result)
    padded[tuple(target)] = x[tuple(source)]
    return padded


def concatenate(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `concatenate`."""
    return np.concatenate(operands, attributes[0])


def _clamped(indices: list[Array], sizes: Any, shape: tuple[int, ...]) -> tuple[slice, ...]:
    starts = [
        min(max(int(index), 0), n - size)
        for index, size, n in zip(indices, sizes, shape, strict=True)
    ]
    return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))


def dynamic_slice(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `dynamic_slice`."""
    (sizes,), (x, *indices) = attributes, operands
    return x[_clamped(indices, sizes, x.shape)]


def dynamic_update_slice(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `dynamic_update_slice`."""
    x, update, *indices = operands
    updated = np.array(x)
    updated[_clamped(indices, update.shape, x.shape)] = update
    return updated


def gather(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `gather`."""
    (dimensions, sizes, _), (x, indices) = attributes, operands
    d = GatherDimensions(*dimensions)
    if d.index_vector_dim == indices.ndim:
        indices = indices[..., None]
    vectors = np.moveaxis(indices, d.index_vector_dim, -1)
    batch_shape = vectors.shape[:-1]
    kept = [
        i
        for i in range(x.ndim)
        if i not in d.collapsed_slice_dims and i not in d.operand_batching_dims
    ]
    positions = []
    for i in range(x.ndim):
        start = _gather_start(d, i, vectors, x.shape[i] - sizes[i])
        start = start.reshape(start.shape + (1,) * len(kept))
        offset_shape = [1] * len(kept)
        if i in kept:
            offset_shape[kept.index(i)] = sizes[i]
        positions.append(start + np.arange(sizes[i] if i in kept else 1).reshape(offset_shape))
    full = np.broadcast_shapes(
        (*batch_shape, *[sizes[i] for i in kept]), *[p.shape for p in positions]
    )
    found = x[tuple(np.broadcast_to(p, full) for p in positions)] if x.ndim else np.full(full, x)
    # The result's order: offset dimensions where `offset_dims` says, batch dimensions elsewhere.
    batches = iter(range(len(batch_shape)))
    order = [
        len(batch_shape) + d.offset_dims.index(i) if i in d.offset_dims else next(batches)
        for i in range(len(full))
    ]
    return found.transpose(order)


def _gather_start(d: GatherDimensions, i: int, vectors: Array, last: int) -> Array:
    """Start index of every slice along dimension i of the operand, clamped to 0 … `last`."""
    batch_shape = vectors.shape[:-1]
    if i in d.operand_batching_dims:
        along = d.start_indices_batching_dims[d.operand_batching_dims.index(i)]
        along -= along > d.index_vector_dim
        shape = [1] * len(batch_shape)
        shape[along] = -1
        return np.broadcast_to(np.arange(batch_shape[along]).reshape(shape), batch_shape)
    if i in d.start_index_map:
        start = vectors[..., d.start_index_map.index(i)]
        # Unsigned 64-bit indices do not fit into int64 until they are clamped.
        wide = start.astype(start.dtype if start.dtype == np.uint64 else np.int64)
        return np.asarray(np.clip(wide, 0, last).astype(np.int64))
    return np.zeros(batch_shape, dtype=np.int64)
