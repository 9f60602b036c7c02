"""Writing at run-time indices: `scatter` of one tensor, with a known body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from saturax.graph.build import make
from saturax.graph.operation import expect, infer, register
from saturax.graph.ops.indexing import GatherDimensions
from saturax.graph.types import TensorType, Type

SET = "set"
"""The function of a scatter that writes the update over what was there."""


class ScatterDimensions(NamedTuple):
    """StableHLO's `scatter` dimension numbers, in the order of those of the inverse `gather`."""

    update_window_dims: tuple[int, ...]
    inserted_window_dims: tuple[int, ...]
    input_batching_dims: tuple[int, ...]
    scatter_indices_batching_dims: tuple[int, ...]
    scatter_dims_to_operand_dims: tuple[int, ...]
    index_vector_dim: int


def window_sizes(
    dimensions: ScatterDimensions, x: TensorType, updates: TensorType
) -> tuple[int, ...]:
    """Size of a window of updates along every dimension of the operand x."""
    dropped = dimensions.inserted_window_dims + dimensions.input_batching_dims
    sizes = iter(updates.shape[d] for d in dimensions.update_window_dims)
    return tuple(1 if d in dropped else next(sizes) for d in range(x.rank))


def _infer_scatter(attributes: Any, operands: Sequence[Any]) -> Type:
    (_, dimensions, _, _), (x, indices, updates) = attributes, operands
    d = ScatterDimensions(*dimensions)
    windows = x.rank - len(d.inserted_window_dims) - len(d.input_batching_dims)
    fits = len(d.update_window_dims) == windows and max(d.update_window_dims, default=-1) < (
        updates.rank
    )
    expect(fits and x.dtype == updates.dtype, "scatter", "{} into {} along {}", updates, x, d)
    read = infer("gather", (GatherDimensions(*d), window_sizes(d, x, updates), False), [x, indices])
    expect(read == updates, "scatter", "expected updates of type {}, got {}", read, updates)
    return TensorType(x.shape, x.dtype)


def _flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    size: int = operands[2].size
    return size


register(
    "scatter",
    ("f", "dimensions", "indices_are_sorted", "unique_indices"),
    _infer_scatter,
    "heavy",
    _flops,
)


def scatter(
    f: Any,
    x: Any,
    indices: Any,
    updates: Any,
    dimensions: Any,
    is_sorted: Any = False,
    is_unique: Any = False,
) -> Any:
    """x, combined by f (`SET`, "add", "maximum", …) with windows of updates at run-time indices.

    Windows that are not entirely in bounds are left out, as XLA does.
    """
    attributes = (f, dimensions, is_sorted, is_unique)
    return make("scatter", x, indices, updates, attributes=attributes)
