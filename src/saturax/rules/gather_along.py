"""Gathers with batching dimensions (`take_along_axis`) of what is known along the gathered axis.

Element b of the result is x[b, i[b]]. Where x counts along the axis that is i[b], clamped into
bounds; where x is the same along it, x[b].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    GatherDimensions,
    broadcast_in_dim,
    convert,
    full,
    gather,
    iota,
    maximum,
    minimum,
    reshape,
)
from saturax.graph.types import TensorType
from saturax.rules.indexing import GATHER
from saturax.rules.indices import holds_indices
from saturax.rules.permutations import without
from saturax.rules.rule import BITWISE, need, rule


def _axis(x: Any, d: GatherDimensions, sizes: Any) -> int:
    """The axis of x along which a gather takes one element for each batch index and offset."""
    need(d.operand_batching_dims and len(d.start_index_map) == 1)
    (axis,) = d.start_index_map
    need(d.collapsed_slice_dims == (axis,))
    read = (axis, *d.operand_batching_dims)
    need(all(m == (1 if k in read else x.shape[k]) for k, m in enumerate(sizes)))
    return axis


def _batch_places(result: Value, d: GatherDimensions) -> list[int]:
    """The dimensions of the result that are batch dimensions of the indices, in order."""
    return [k for k in range(result.rank) if k not in d.offset_dims]


def _places(result: Value, i: Value, d: GatherDimensions, axis: int, rank: int) -> list[int]:
    """Where the result has the dimensions of the operand, without the axis."""
    batch = without(range(i.rank), (d.index_vector_dim,))
    at = dict(zip(batch, _batch_places(result, d), strict=True))
    pairs = zip(d.operand_batching_dims, d.start_indices_batching_dims, strict=True)
    found = {k: at[j] for k, j in pairs}
    offsets = [k for k in range(rank) if k != axis and k not in found]
    found |= dict(zip(offsets, d.offset_dims, strict=True))
    return [found[k] for k in range(rank) if k != axis]


def _along(rng: np.random.Generator) -> dict[str, Any]:
    """A gather along an axis, with one to two batching dimensions and at most one that is whole."""
    rank = int(rng.integers(2, 4))
    axis = int(rng.integers(0, rank))
    shape = tuple(int(m) for m in rng.integers(1, 5, rank))
    others = [k for k in range(rank) if k != axis]
    whole = others[-1:] if rank == 3 and rng.random() < 0.5 else []
    batching = tuple(k for k in others if k not in whole)
    count = int(rng.integers(1, 4))
    batch = (*(shape[k] for k in batching), count)
    rest = len(batch)
    d = GatherDimensions(
        tuple(rest + k for k in range(len(whole))),
        (axis,),
        batching,
        tuple(range(len(batching))),
        (axis,),
        rest,
    )
    sizes = tuple(shape[k] if k in whole else 1 for k in range(rank))
    index = TensorType((*batch, 1), "i32")
    return {"i": index, "d": d, "n": sizes, "t": TensorType(shape, "i32"), "s": shape, "b": False}


def _of_iota(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _along(rng)
    del drawn["s"]
    return drawn | {"e": int(rng.integers(0, drawn["t"].rank))}


def _of_repeated(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _along(rng)
    shape = drawn.pop("t").shape
    (axis,) = drawn["d"].start_index_map
    e = tuple(k for k in range(len(shape)) if k != axis and rng.random() < 0.8)
    return drawn | {"e": e, "x": TensorType(tuple(shape[k] for k in e), "f32")}


@rule(
    lambda e, t, i, d, n, b: gather(iota(e, t), i, d, n, b),
    numerics=BITWISE,
    source=GATHER,
    examples=_of_iota,
)
def gather_along_iota(e: Any, t: TensorType, i: Value, d: Any, n: Any, b: Any) -> Value | None:
    """take_along_axis(iota, i) = i, clamped into bounds; or iota along another dimension"""
    d = GatherDimensions(*d)
    counted = iota(e, t)
    axis, last = _axis(counted, d, n), t.shape[d.start_index_map[0]] - 1
    need(i.size > 0 and t.size > 0 and holds_indices(t.dtype, last + 1))
    need(holds_indices(i.dtype, last + 1))
    result = gather(counted, i, d, n, b)
    if e != axis:
        places = _places(result, i, d, axis, t.rank)
        return iota(places[e - (e > axis)], result.tensor)
    index = i
    if d.index_vector_dim < i.rank:
        index = reshape(i, without(i.shape, (d.index_vector_dim,)))
    inside = minimum(maximum(index, full(0, index.tensor)), full(last, index.tensor))
    return broadcast_in_dim(convert(inside, t.dtype), result.shape, _batch_places(result, d))


@rule(
    lambda x, s, e, i, d, n, b: gather(broadcast_in_dim(x, s, e), i, d, n, b),
    numerics=BITWISE,
    source=GATHER,
    examples=_of_repeated,
)
def gather_along_repeated(
    x: Value, s: Any, e: Any, i: Value, d: Any, n: Any, b: Any
) -> Value | None:
    """take_along_axis(bcast x, i) = bcast x, where x is repeated along the axis"""
    d = GatherDimensions(*d)
    spread = broadcast_in_dim(x, s, e)
    axis = _axis(spread, d, n)
    need(axis not in e and spread.size > 0 and i.size > 0)
    result = gather(spread, i, d, n, b)
    places = _places(result, i, d, axis, spread.rank)
    moved = [places[k - (k > axis)] for k in e]
    need(moved == sorted(moved))
    return broadcast_in_dim(x, result.shape, moved)
