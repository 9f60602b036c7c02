"""Reading at run-time indices: `gather`. (`scatter` has a region and is generic.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from saturax.graph.build import make
from saturax.graph.operation import expect, register
from saturax.graph.types import TensorType, Type


class GatherDimensions(NamedTuple):
    """StableHLO's `gather` dimension numbers."""

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    operand_batching_dims: tuple[int, ...]
    start_indices_batching_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    index_vector_dim: int


def _infer_gather(attributes: Any, operands: Sequence[Any]) -> Type:
    (dimensions, sizes, _), (x, indices) = attributes, operands
    d = GatherDimensions(*dimensions)
    valid = len(sizes) == x.rank and all(0 <= s <= n for s, n in zip(sizes, x.shape, strict=True))
    expect(valid, "gather", "slices of {} from {}", sizes, x)
    batch = [n for i, n in enumerate(indices.shape) if i != d.index_vector_dim]
    dropped = d.collapsed_slice_dims + d.operand_batching_dims
    offsets = [s for i, s in enumerate(sizes) if i not in dropped]
    fits = len(offsets) == len(d.offset_dims)
    expect(fits, "gather", "slices of {} from {} along {}", sizes, x, d)
    rank = len(batch) + len(offsets)
    shape = [0] * rank
    rest = iter(batch)
    for position in range(rank):
        if position in d.offset_dims:
            shape[position] = offsets[d.offset_dims.index(position)]
        else:
            shape[position] = next(rest)
    return TensorType(tuple(shape), x.dtype)


register("gather", ("dimensions", "slice_sizes", "indices_are_sorted"), _infer_gather, "heavy")


def gather(x: Any, indices: Any, dimensions: Any, slice_sizes: Any, is_sorted: Any = False) -> Any:
    """Slices of x at run-time start indices (clamped into bounds), as StableHLO's `gather`."""
    return make("gather", x, indices, attributes=(dimensions, slice_sizes, is_sorted))
