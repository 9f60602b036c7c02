"""Values of all iterations at once: the handle, and moving its leading dimension about.

A *batched* value holds the values of n iterations along a new dimension 0; a value that is the same
in every iteration stays as it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import broadcast_in_dim, constant, reshape, slice_dimension, transpose
from saturax.graph.types import TensorType, TupleType, Type


class Batched(NamedTuple):
    """A value in all iterations: stacked along dimension 0, or, not `varies`, one for all."""

    value: Value
    varies: bool


def byte_count(type: Type) -> int:
    """Bytes of a value; 0 where it is no tensor."""
    if isinstance(type, TupleType):
        return sum(map(byte_count, type.elements))
    return type.bytes if isinstance(type, TensorType) else 0


def stacked(x: Batched, count: int) -> Value:
    """The values of all `count` iterations, stacked along dimension 0."""
    return x.value if x.varies else repeat(x.value, count)


def repeat(x: Value, count: int) -> Value:
    """x, `count` times, along a new dimension 0."""
    array = known(x)
    if array is not None and array.dtype.kind in "iub":  # indices stay known
        return constant_of(np.broadcast_to(array, (count, *array.shape)))
    result: Value = broadcast_in_dim(x, (count, *x.shape), tuple(range(1, x.rank + 1)))
    return result


def row(x: Value, position: int) -> Value:
    """x[position], without that dimension; negative positions count from the end."""
    start = position % x.shape[0]
    result: Value = reshape(slice_dimension(x, 0, start, start + 1), x.shape[1:])
    return result


def move_to_front(x: Value, dimension: int) -> Value:
    """x with one dimension first and the others in their order."""
    others = tuple(d for d in range(x.rank) if d != dimension)
    result: Value = transpose(x, (dimension, *others))
    return result


def move_from_front(x: Value, dimension: int) -> Value:
    """x with its first dimension at place `dimension`: the inverse of `move_to_front`."""
    others = list(range(1, x.rank))
    result: Value = transpose(x, (*others[:dimension], 0, *others[dimension:]))
    return result


def merge_front_into(x: Value, dimension: int) -> Value:
    """x with its first dimension merged, as the outer one, into dimension `dimension` of x[0]."""
    moved = move_from_front(x, dimension)
    shape = moved.shape
    joined = shape[dimension] * shape[dimension + 1]
    result: Value = reshape(moved, (*shape[:dimension], joined, *shape[dimension + 2 :]))
    return result


def split_to_front(x: Value, dimension: int, count: int) -> Value:
    """x with one dimension cut into `count` parts, which become dimension 0."""
    shape = x.shape
    parts = (*shape[:dimension], count, shape[dimension] // count, *shape[dimension + 1 :])
    return move_to_front(reshape(x, parts), dimension)


def known(x: Value) -> np.ndarray[Any, Any] | None:
    """The elements of a constant; None for anything else."""
    node = x.node
    literal = node.attributes[0] if node.op == "constant" else None
    return literal.array if isinstance(literal, Literal) else None


def constant_of(array: np.ndarray[Any, Any]) -> Value:
    """A constant with these elements."""
    result: Value = constant(Literal(np.asarray(array)))
    return result
