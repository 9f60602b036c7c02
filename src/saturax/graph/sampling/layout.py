"""Completing operations that move elements, and leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saturax.graph.literal import Literal
from saturax.graph.sampling.draw import Draw
from saturax.graph.sampling.goal import FREE, Goal, Proposal
from saturax.graph.types import TensorType, is_integer


def constant(goal: Goal) -> Proposal | None:
    """Complete a `constant`."""
    (literal,) = goal.attributes
    if literal is FREE:
        type = goal.result or TensorType(goal.draw.shape(), goal.draw.dtype)
        literal = goal.draw.literal(type)
    return ((literal,), []) if isinstance(literal, Literal) else None


def iota(goal: Goal) -> Proposal | None:
    """Complete an `iota`."""
    dimension, type = goal.attributes
    if type is FREE:
        shape = goal.draw.shape(goal.draw.integer(1, 3))
        type = goal.result or TensorType(shape, goal.draw.dtype)
    if type.rank == 0 or type.dtype == "i1":
        return None
    if dimension is FREE:
        dimension = goal.draw.integer(0, type.rank - 1)
    return (dimension, type), []


def transpose(goal: Goal) -> Proposal | None:
    """Complete a `transpose`."""
    (p,), x, result = goal.attributes, goal.operand_shape(), goal.result_shape()
    draw = goal.draw
    if p is FREE and x is not None and result is not None:
        p = _matching_permutation(draw, x, result)
    elif p is FREE:
        shape = x if x is not None else result
        p = draw.permutation(len(shape) if shape is not None else draw.pick((1, 2, 2, 3, 3, 4, 5)))
    if p is None:
        return None
    if x is None:
        wanted = result if result is not None else draw.shape(len(p))
        if len(wanted) != len(p):
            return None
        x = tuple(wanted[list(p).index(i)] for i in range(len(p)))
    return (p,), [TensorType(x, goal.dtype())]


def _matching_permutation(
    draw: Draw, x: tuple[int, ...], result: tuple[int, ...]
) -> tuple[int, ...] | None:
    """A random p with result[i] = x[p[i]]."""
    left = draw.shuffled(range(len(x))) if draw.chance(0.7) else list(range(len(x)))
    chosen = []
    for size in result:
        position = next((i for i in left if x[i] == size), None)
        if position is None:
            return None
        left.remove(position)
        chosen.append(position)
    return tuple(chosen)


def reshape(goal: Goal) -> Proposal | None:
    """Complete a `reshape`."""
    (s,), x, draw = goal.attributes, goal.operand_shape(), goal.draw
    if s is FREE:
        s = goal.result_shape()
        if s is None:
            s = draw.reshaped(x if x is not None else draw.shape())
    return (s,), [TensorType(x if x is not None else draw.reshaped(s), goal.dtype())]


def broadcast_in_dim(goal: Goal) -> Proposal | None:
    """Complete a `broadcast_in_dim`."""
    (s, dimensions), x, draw = goal.attributes, goal.operand_shape(), goal.draw
    if s is FREE:
        s = goal.result_shape()
    if s is None:
        s, dimensions = _drawn_broadcast(draw, x, dimensions)
    rank = len(s)
    if dimensions is FREE:
        count = len(x) if x is not None else draw.integer(0, rank)
        dimensions = _injection(draw, count, rank, x, s)
    if dimensions is None or any(d is FREE or d >= rank for d in dimensions):
        return None
    if x is None:
        x = tuple(1 if draw.chance(0.15) else s[d] for d in dimensions)
    return (s, dimensions), [TensorType(x, goal.dtype())]


def _drawn_broadcast(draw: Draw, x: tuple[int, ...] | None, dimensions: Any) -> tuple[Any, Any]:
    """A result shape for what may be known of operand and dimensions."""
    if x is None:
        rank = None if dimensions is FREE else max((*dimensions, -1)) + 1 + draw.integer(0, 2)
        return draw.shape(rank), dimensions
    rank = max(len(x), 0 if dimensions is FREE else max((*dimensions, -1)) + 1)
    shape = list(draw.shape(rank + draw.integer(0, 2)))
    if dimensions is FREE:
        dimensions = _injection(draw, len(x), len(shape), None, ())
    for d, size in zip(dimensions, x, strict=False):
        if size != 1 or draw.chance(0.5):
            shape[d] = size
    return tuple(shape), dimensions


def _injection(
    draw: Draw, count: int, rank: int, x: tuple[int, ...] | None, s: Sequence[int]
) -> tuple[int, ...] | None:
    """Distinct dimensions of the result, mostly ascending, where the operand's sizes fit."""
    if count > rank:
        return None
    for _ in range(4):
        chosen = draw.shuffled(range(rank))[:count]
        if draw.chance(0.8):
            chosen.sort()
        if x is None or all(n in (1, s[d]) for d, n in zip(chosen, x, strict=True)):
            return tuple(chosen)
    return None


def reverse(goal: Goal) -> Proposal | None:
    """Complete a `reverse`."""
    (dimensions,), draw = goal.attributes, goal.draw
    shape = goal.operand_shape() if goal.operands[0] is not None else goal.result_shape()
    if shape is None:
        needed = 1 if dimensions is FREE else max((*dimensions, 0)) + 1
        shape = draw.shape(draw.integer(needed, max(needed, 4)))
    if dimensions is FREE:
        dimensions = tuple(draw.subset(range(len(shape))))
        if not dimensions and shape:
            dimensions = (draw.integer(0, len(shape) - 1),)
    return (dimensions,), [TensorType(shape, goal.dtype())]


# ------------------------------------------------------------------ concatenate, dynamic slices


def concatenate(goal: Goal) -> Proposal | None:
    """Complete a `concatenate`."""
    (dimension,), draw = goal.attributes, goal.draw
    x, y, result = goal.operand_shape(0), goal.operand_shape(1), goal.result_shape()
    shape = next((s for s in (x, y, result) if s is not None), None)
    if shape is None:
        needed = 1 if dimension is FREE else dimension + 1
        shape = draw.shape(draw.integer(needed, max(needed, 4)))
    if not shape:
        return None
    if dimension is FREE:
        dimension = draw.integer(0, len(shape) - 1)
        if x is not None and y is not None:
            differing = [d for d, (a, b) in enumerate(zip(x, y, strict=False)) if a != b]
            dimension = differing[0] if differing else dimension
    if dimension >= len(shape):
        return None
    sizes = _parts(
        draw, *[None if s is None or len(s) <= dimension else s[dimension] for s in (x, y, result)]
    )

    def with_size(size: int) -> TensorType:
        return TensorType((*shape[:dimension], size, *shape[dimension + 1 :]), goal.dtype())

    return (dimension,), [with_size(sizes[0]), with_size(sizes[1])]


def _parts(draw: Draw, a: int | None, b: int | None, total: int | None) -> tuple[int, int]:
    """Sizes of two parts, of which some may be known; a negative one is refused later."""
    if a is None and b is None:
        a = draw.size() if total is None else draw.pick((total // 2, draw.integer(0, total)))
    if a is None:
        assert b is not None
        a = total - b if total is not None else draw.pick((b, draw.size()))
    if b is None:
        b = total - a if total is not None else draw.pick((a, draw.size()))
    return a, b


INDEX_DTYPES = ("i32", "i32", "i32", "i32", "i64", "ui32", "ui8", "i8")


def _index_types(goal: Goal, first: int) -> list[TensorType] | None:
    """Types of the start indices from operand `first` on: integers, all of one type."""
    given = [operand.dtype for operand in goal.operands[first:] if operand is not None]
    dtype = given[0] if given else goal.draw.pick(INDEX_DTYPES)
    if not is_integer(dtype) or any(other != dtype for other in given):
        return None
    return [operand or TensorType((), dtype) for operand in goal.operands[first:]]


def dynamic_slice(goal: Goal) -> Proposal | None:
    """Complete a `dynamic_slice`."""
    (sizes,), x, draw = goal.attributes, goal.operand_shape(), goal.draw
    rank = len(goal.operands) - 1
    if sizes is FREE:
        sizes = goal.result_shape()
    if sizes is None:
        base = x if x is not None else draw.shape(rank)
        sizes = tuple(draw.pick((n, min(n, 1), draw.integer(0, n))) for n in base)
    if len(sizes) != rank or any(n is FREE for n in sizes):
        return None
    if x is None:
        x = tuple(n + draw.pick((0, 0, 1, 2, 3)) for n in sizes)
    indices = _index_types(goal, 1)
    return None if indices is None else ((sizes,), [TensorType(x, goal.dtype(0)), *indices])


def dynamic_update_slice(goal: Goal) -> Proposal | None:
    """Complete a `dynamic_update_slice`."""
    x, update, draw = goal.operand_shape(0), goal.operand_shape(1), goal.draw
    rank = len(goal.operands) - 2
    if x is None:
        x = goal.result_shape()
    if x is None:
        inner = update if update is not None else draw.shape(rank)
        x = tuple(n + draw.pick((0, 0, 1, 2, 3)) for n in inner)
    if update is None:
        update = tuple(draw.pick((n, min(n, 1), draw.integer(0, n))) for n in x)
    dtype = goal.dtype(0, 1)
    types = [TensorType(x, dtype), TensorType(update, dtype)]
    indices = _index_types(goal, 2)
    return None if indices is None else ((), [*types, *indices])
