"""Reference meaning of `scatter`."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.ops.scatter import SET, ScatterDimensions
from saturax.graph.reference.functions import binary
from saturax.graph.reference.numbers import Array


def scatter(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `scatter`: windows in row-major order, those not entirely in bounds left out."""
    (f, dimensions, _, _), (x, indices, updates) = attributes, operands
    d = ScatterDimensions(*dimensions)
    dropped = d.inserted_window_dims + d.input_batching_dims
    sizes = iter(updates.shape[i] for i in d.update_window_dims)
    window = [1 if i in dropped else next(sizes) for i in range(x.ndim)]
    starts = _starts(d, indices, x.ndim)
    outer = [i for i in range(updates.ndim) if i not in d.update_window_dims]
    values = updates.transpose([*outer, *d.update_window_dims])
    written = np.array(x)
    for place in np.ndindex(*starts.shape[:-1]):
        start = [int(a) for a in starts[place]]
        end = [a + n for a, n in zip(start, window, strict=True)]
        if any(a < 0 or b > n for a, b, n in zip(start, end, x.shape, strict=True)):
            continue
        at = tuple(slice(a, b) for a, b in zip(start, end, strict=True))
        new = values[place].reshape(window)
        written[at] = new if f == SET else binary((f,), [written[at], new], result)
    return written


def _starts(d: ScatterDimensions, indices: Array, rank: int) -> Array:
    """Where each window begins: the last dimension lists the operand's dimensions."""
    if d.index_vector_dim == indices.ndim:
        indices = indices[..., None]
    vectors = np.moveaxis(indices, d.index_vector_dim, -1)
    batch = vectors.shape[:-1]
    starts = np.zeros((*batch, rank), np.object_)
    for k, i in enumerate(d.scatter_dims_to_operand_dims):
        starts[..., i] = vectors[..., k]
    for i, j in zip(d.input_batching_dims, d.scatter_indices_batching_dims, strict=True):
        along = j - (j > d.index_vector_dim)
        shape = [1] * len(batch)
        shape[along] = -1
        starts[..., i] = np.broadcast_to(np.arange(batch[along]).reshape(shape), batch)
    return starts
