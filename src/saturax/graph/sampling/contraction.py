"""Completing `dot_general`, `blocked_dot` and `gather`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from saturax.graph.operation import infer
from saturax.graph.ops.contraction import Blocks, DotDimensions, Precision
from saturax.graph.ops.indexing import GatherDimensions
from saturax.graph.sampling.draw import Draw, divisors
from saturax.graph.sampling.goal import FREE, Goal, Proposal, is_fixed, part
from saturax.graph.sampling.layout import INDEX_DTYPES
from saturax.graph.sampling.windows import drawn_precision, product_types
from saturax.graph.types import TensorType, is_integer

Shape = tuple[int, ...]


def dot_general(goal: Goal) -> Proposal | None:
    """Complete a `dot_general`."""
    dimensions, precision, dtype = goal.attributes
    x, y, result = goal.operand_shape(0), goal.operand_shape(1), goal.result_shape()
    ranks = _dot_ranks(goal.draw, dimensions, x, y, result)
    if ranks is None:
        return None
    batch, contracted, rank_x, rank_y = ranks
    d = _dot_dimensions(goal.draw, dimensions, (batch, contracted), (rank_x, x), (rank_y, y))
    if d is None:
        return None
    shapes = _dot_shapes(goal.draw, d, (rank_x, x), (rank_y, y), result)
    if shapes is None:
        return None
    x_type, y_type, dtype = product_types(goal, *shapes, dtype)
    return (d, drawn_precision(goal.draw, precision), dtype), [x_type, y_type]


def blocked_dot(goal: Goal) -> Proposal | None:
    """Complete a `blocked_dot`: a `dot_general`, and a divisor of each dimension of its result."""
    dimensions, blocks, dtype = goal.attributes
    found = dot_general(replace(goal, attributes=(dimensions, Precision(), dtype)))
    if found is None:
        return None
    (d, precision, dtype), types = found
    result = infer("dot_general", (d, precision, dtype), types)
    assert isinstance(result, TensorType)
    if blocks is FREE or not is_fixed(blocks):
        counts = tuple(goal.draw.pick(divisors(n)) if n else 1 for n in result.shape)
        blocks = Blocks(counts, goal.draw.chance(0.5))
    return (d, blocks, dtype), types


def _count(dimensions: Any, fields: tuple[int, int]) -> int | None:
    for field in fields:
        if part(dimensions, field) is not FREE:
            return len(dimensions[field])
    return None


def _least_rank(dimensions: Any, fields: tuple[int, int]) -> int:
    """The rank that an operand must have for the dimensions that are fixed."""
    fixed = [i for f in fields if part(dimensions, f) is not FREE for i in dimensions[f]]
    return max([i for i in fixed if i is not FREE], default=-1) + 1


def _dot_ranks(
    draw: Draw, dimensions: Any, x: Shape | None, y: Shape | None, result: Shape | None
) -> tuple[int, int, int, int] | None:
    """Numbers of batch and contracted dimensions, and the operands' ranks."""
    batch, contracted = _count(dimensions, (0, 1)), _count(dimensions, (2, 3))
    limit = min(len(s) for s in (x, y, (0,) * 9) if s is not None)
    if contracted is None:
        contracted = min(draw.pick((1, 1, 1, 1, 2, 2, 0, 3)), limit)
        if x is not None and y is not None and result is not None and batch is not None:
            contracted = (len(x) + len(y) - batch - len(result)) // 2
    if batch is None:
        most = min(limit - contracted, 9 if result is None else len(result))
        batch = min(draw.pick((0, 0, 0, 1, 1, 2)), most)
        if x is not None and y is not None and result is not None:
            batch = len(x) + len(y) - 2 * contracted - len(result)
    shared = batch + contracted
    free_x = None if x is None else len(x) - shared
    free_y = None if y is None else len(y) - shared
    if free_x is None:
        least = max(_least_rank(dimensions, (0, 2)) - shared, 0)
        if result is None:
            free_x = draw.integer(least, max(least, 2))
        else:
            left = len(result) - batch - (free_y or 0)
            free_x = left if free_y is not None else draw.integer(least, max(left, least))
    if free_y is None:
        least = max(_least_rank(dimensions, (1, 3)) - shared, 0)
        free_y = draw.integer(least, max(least, 2))
        if result is not None:
            free_y = len(result) - batch - free_x
    if min(batch, contracted, free_x, free_y) < 0:
        return None
    return batch, contracted, shared + free_x, shared + free_y


def _dot_dimensions(
    draw: Draw,
    partial: Any,
    counts: tuple[int, int],
    x: tuple[int, Shape | None],
    y: tuple[int, Shape | None],
) -> DotDimensions | None:
    """Positions of the batch and contracted dimensions."""
    if partial is not FREE and is_fixed(partial):
        return DotDimensions(*partial)
    fields = [part(partial, i) for i in range(4)]
    left = _positions(draw, fields[0], fields[2], counts, x[0])
    if left is None:
        return None
    wanted = None
    if x[1] is not None and y[1] is not None:
        wanted = [[x[1][i] for i in group] for group in left]
    right = _positions(draw, fields[1], fields[3], counts, y[0], wanted, y[1])
    if right is None:
        return None
    return DotDimensions(left[0], right[0], left[1], right[1])


def _positions(
    draw: Draw,
    batch: Any,
    contract: Any,
    counts: tuple[int, int],
    rank: int,
    wanted: list[list[int]] | None = None,
    shape: Shape | None = None,
) -> tuple[Shape, Shape] | None:
    """Batch and contracted positions in an operand, where sizes are as `wanted`."""
    groups = [
        [FREE] * counts[0] if batch is FREE else list(batch),
        [FREE] * counts[1] if contract is FREE else list(contract),
    ]
    taken = {i for group in groups for i in group if i is not FREE}
    rest = [i for i in range(rank) if i not in taken]
    is_canonical = draw.chance(0.5)
    if not is_canonical:
        rest = draw.shuffled(rest)
    for g, group in enumerate(groups):
        for j, position in enumerate(group):
            if position is not FREE:
                continue
            # Canonically, batch dimensions lead and contracted ones trail or come next.
            candidates = rest[::-1] if is_canonical and g == 1 and len(group) == 1 else rest
            if wanted is not None and shape is not None:
                candidates = [i for i in candidates if shape[i] == wanted[g][j]]
            if not candidates:
                return None
            group[j] = candidates[0]
            rest.remove(candidates[0])
    return tuple(groups[0]), tuple(groups[1])


def _dot_shapes(
    draw: Draw,
    d: DotDimensions,
    x: tuple[int, Shape | None],
    y: tuple[int, Shape | None],
    result: Shape | None,
) -> tuple[Shape, Shape] | None:
    """Operand shapes that agree with each other and with the result."""
    (rank_x, x_shape), (rank_y, y_shape) = x, y
    used = (*d.lhs_batch, *d.lhs_contract, -1), (*d.rhs_batch, *d.rhs_contract, -1)
    if max(used[0]) >= rank_x or max(used[1]) >= rank_y:
        return None
    x_sizes: list[int | None] = list(x_shape) if x_shape is not None else [None] * rank_x
    y_sizes: list[int | None] = list(y_shape) if y_shape is not None else [None] * rank_y
    x_free, y_free = d.lhs_free(rank_x), d.rhs_free(rank_y)
    if result is not None:
        if len(result) != len(d.lhs_batch) + len(x_free) + len(y_free):
            return None
        split = len(d.lhs_batch), len(d.lhs_batch) + len(x_free)
        _fill(x_sizes, (*d.lhs_batch, *x_free), result[: split[1]])
        _fill(y_sizes, (*d.rhs_batch, *y_free), (*result[: split[0]], *result[split[1] :]))
    for i, j in zip(d.lhs_batch + d.lhs_contract, d.rhs_batch + d.rhs_contract, strict=True):
        size = x_sizes[i] if x_sizes[i] is not None else y_sizes[j]
        size = draw.size() if size is None else size
        _fill(x_sizes, (i,), (size,))
        _fill(y_sizes, (j,), (size,))
    return (
        tuple(draw.size() if n is None else n for n in x_sizes),
        tuple(draw.size() if n is None else n for n in y_sizes),
    )


def _fill(sizes: list[int | None], positions: Sequence[int], values: Sequence[int]) -> None:
    for position, value in zip(positions, values, strict=True):
        if sizes[position] is None:
            sizes[position] = value


# ------------------------------------------------------------------ gather


def gather(goal: Goal) -> Proposal | None:
    """Complete a `gather`."""
    dimensions, sizes, is_sorted = goal.attributes
    draw = goal.draw
    x, indices, result = goal.operand_shape(0), goal.operand_shape(1), goal.result_shape()
    if dimensions is FREE:
        d = _gather_dimensions(draw, x, indices, result)
    elif is_fixed(dimensions):
        d = GatherDimensions(*dimensions)
    else:
        return None
    if d is None or (result is not None and max((*d.offset_dims, -1)) >= len(result)):
        return None
    rank = len(d.offset_dims) + len(d.collapsed_slice_dims) + len(d.operand_batching_dims)
    dropped = d.collapsed_slice_dims + d.operand_batching_dims
    batch = _gather_batch(draw, d, indices, result)
    if batch is None:
        return None
    x = x if x is not None else _gathered_operand(draw, d, rank, batch, result, sizes)
    if x is None or len(x) != rank:
        return None
    if sizes is FREE:
        sizes = _slice_sizes(draw, d, x, result, dropped)
    if indices is None:
        vector = d.index_vector_dim
        indices = (*batch[:vector], len(d.start_index_map), *batch[vector:])
        if vector == len(batch) and len(d.start_index_map) == 1 and draw.chance(0.2):
            indices = batch
    type = goal.operands[1] or TensorType(indices, draw.pick(INDEX_DTYPES))
    if not is_integer(type.dtype) or not _is_valid_gather(d, x, indices, sizes):
        return None
    flag = False if is_sorted is FREE else is_sorted
    return (d, sizes, flag), [TensorType(x, goal.dtype(0)), type]


def _is_valid_gather(d: GatherDimensions, x: Shape, indices: Shape, sizes: Shape) -> bool:
    """The conditions on a `gather` that its type inference leaves to MLIR's verifier."""
    vector = d.index_vector_dim
    if vector > len(indices) or len(sizes) != len(x):
        return False
    length = 1 if vector == len(indices) else indices[vector]
    dropped = d.collapsed_slice_dims + d.operand_batching_dims
    pairs = zip(d.operand_batching_dims, d.start_indices_batching_dims, strict=True)
    return (
        length == len(d.start_index_map)
        and max((*dropped, *d.start_index_map, -1)) < len(x)
        and max((*d.start_indices_batching_dims, -1)) < len(indices)
        and not set(d.start_index_map) & set(d.operand_batching_dims)
        and vector not in d.start_indices_batching_dims
        and all(sizes[i] == 1 <= x[i] for i in dropped)
        and all(x[i] == indices[j] for i, j in pairs)
    )


def _gather_dimensions(
    draw: Draw, x: Shape | None, indices: Shape | None, result: Shape | None
) -> GatherDimensions | None:
    rank = len(x) if x is not None else draw.pick((1, 2, 2, 3, 3))
    batch_rank = draw.pick((0, 1, 1, 2))
    if indices is not None:
        batch_rank = len(indices) - 1
        if batch_rank < 0:
            return None
    roles = [draw.pick(("collapsed", "collapsed", "kept", "kept", "kept")) for _ in range(rank)]
    batching: list[int] = []
    if batch_rank and rank and draw.chance(0.2):
        batching = [draw.integer(0, rank - 1)]
    collapsed = [i for i in range(rank) if roles[i] == "collapsed" and i not in batching]
    kept = rank - len(collapsed) - len(batching)
    if result is not None and x is None:
        kept = min(kept, len(result))
        batch_rank = len(result) - kept
        batching = []
        rank = kept + len(collapsed)
        collapsed = sorted(draw.shuffled(range(rank))[: len(collapsed)])
    elif result is not None and len(result) != kept + batch_rank:
        return None
    offsets = sorted(draw.shuffled(range(kept + batch_rank))[:kept])
    vector = batch_rank if draw.chance(0.7) else draw.integer(0, batch_rank)
    along = draw.integer(0, batch_rank - 1) if batching else 0
    along += int(bool(batching) and along >= vector)
    mapped = [i for i in range(rank) if i not in batching and (i in collapsed or draw.chance(0.4))]
    if indices is not None and len(mapped) != indices[vector]:
        mapped = draw.shuffled([i for i in range(rank) if i not in batching])[: indices[vector]]
    return GatherDimensions(
        tuple(offsets),
        tuple(collapsed),
        tuple(batching),
        (along,) if batching else (),
        tuple(draw.shuffled(mapped)) if draw.chance(0.2) else tuple(mapped),
        vector,
    )


def _gather_batch(
    draw: Draw, d: GatherDimensions, indices: Shape | None, result: Shape | None
) -> Shape | None:
    """Sizes of the batch dimensions of a gather."""
    if indices is not None:
        return tuple(n for i, n in enumerate(indices) if i != d.index_vector_dim)
    if result is not None:
        return tuple(n for i, n in enumerate(result) if i not in d.offset_dims)
    offsets = len(d.offset_dims)
    least = max((i + 1 - offsets for i in d.offset_dims), default=0)
    least = max(least, d.index_vector_dim, *d.start_indices_batching_dims, 0)
    shape = draw.shape(least + (draw.integer(0, 1) if d.index_vector_dim < least else 0))
    return tuple(max(n, 1) for n in shape)


def _gathered_operand(
    draw: Draw, d: GatherDimensions, rank: int, batch: Shape, result: Shape | None, sizes: Any
) -> Shape | None:
    offsets = iter(d.offset_dims)
    shape = []
    for i in range(rank):
        if i in d.operand_batching_dims:
            along = d.start_indices_batching_dims[d.operand_batching_dims.index(i)]
            position = along - (along > d.index_vector_dim)
            if position >= len(batch):
                return None
            shape.append(batch[position])
        elif i in d.collapsed_slice_dims:
            shape.append(draw.pick((1, 2, 3, 4, 5)))
        else:
            position = next(offsets)
            size = draw.pick((1, 2, 3)) if sizes is FREE else sizes[i]
            if result is not None:
                size = result[position]
            shape.append(size + draw.pick((0, 0, 1, 2)))
    return tuple(shape)


def _slice_sizes(
    draw: Draw, d: GatherDimensions, x: Shape, result: Shape | None, dropped: Shape
) -> Shape:
    offsets = iter(d.offset_dims)
    sizes = []
    for i, n in enumerate(x):
        if i in dropped:
            sizes.append(1)
        else:
            position = next(offsets)
            drawn = draw.pick((n, min(n, 1), draw.integer(0, n)))
            sizes.append(drawn if result is None else result[position])
    return tuple(sizes)
