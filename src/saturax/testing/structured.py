"""Operands with facts: constants of a structure that rules ask for, and small computations.

What a rule with `uses_facts` may know of an operand must come from somewhere: from a constant that
is an identity matrix, say, or from a square, which is not negative.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    add,
    broadcast_in_dim,
    convert,
    full_like,
    iota,
    maximum,
    minimum,
    multiply,
    transpose,
    unary,
)
from saturax.graph.sampling import Draw, admits
from saturax.graph.types import TensorType, is_complex, is_float, is_unsigned, numpy_dtype

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def structured_literal(draw: Draw, type: TensorType) -> Literal:
    """A constant whose last two dimensions form a matrix of a structure, or that counts."""
    if type.rank < 2 or type.dtype == "i1" or draw.chance(0.2):
        return _counting(draw, type)
    n, m = type.shape[-2:]
    values = draw.rng.integers(0 if is_unsigned(type.dtype) else -3, 4, (n, m)).astype(float)
    matrix = draw.pick(_MATRICES)(draw, values)
    full = np.broadcast_to(matrix, type.shape)
    return Literal(np.ascontiguousarray(full).astype(numpy_dtype(type.dtype)).reshape(type.shape))


def _counting(draw: Draw, type: TensorType) -> Literal:
    """0, 1, 2, … along a dimension, perhaps shifted or stretched; one-hot rows of Booleans."""
    if type.rank == 0:
        return draw.literal(type)
    dimension = draw.integer(0, type.rank - 1)
    n = type.shape[dimension]
    line = np.arange(n) * draw.pick((1, 1, 2)) + draw.pick((0, 0, 1))
    if type.dtype == "i1" or draw.chance(0.2):
        line = (np.arange(n) == draw.integer(0, max(n - 1, 0))).astype(np.int64)
    shape = [1] * type.rank
    shape[dimension] = n
    full = np.broadcast_to(line.reshape(shape), type.shape)
    return Literal(np.ascontiguousarray(full).astype(numpy_dtype(type.dtype)).reshape(type.shape))


def _block(draw: Draw, x: Matrix) -> Matrix:
    n, m = x.shape
    kept = np.zeros_like(x)
    i, j = draw.integer(0, n), draw.integer(0, m)
    kept[:i, :j], kept[i:, j:] = x[:i, :j], x[i:, j:]
    return kept


def _permutation(draw: Draw, x: Matrix) -> Matrix:
    return np.eye(*x.shape)[draw.shuffled(range(x.shape[0]))]


def _one_hot_rows(draw: Draw, x: Matrix) -> Matrix:
    rows = np.zeros_like(x)
    for row in rows[:, : x.shape[1]]:
        row[draw.integer(0, max(x.shape[1] - 1, 0)) : x.shape[1]][:1] = 1
    return rows


def _symmetric(draw: Draw, x: Matrix) -> Matrix:
    return x + x.T if x.shape[0] == x.shape[1] else x


_MATRICES: tuple[Callable[[Draw, Matrix], Matrix], ...] = (
    lambda draw, x: np.eye(*x.shape),
    lambda draw, x: np.eye(*x.shape) * x,
    lambda draw, x: np.triu(x),
    lambda draw, x: np.tril(x),
    lambda draw, x: np.outer(x[:, :1].sum(1), x[:1].sum(0)),
    _block,
    _permutation,
    _one_hot_rows,
    _symmetric,
)


def computed_operand(draw: Draw, type: TensorType) -> Graph | None:
    """A small computation with a result of `type` of which something is known; None: no luck."""
    options = [f for f in _COMPUTATIONS if draw.chance(0.5)]
    builder = GraphBuilder((type,), exact=True)
    (x,) = builder.parameters
    with building(builder):
        for computation in draw.shuffled(options):
            value = computation(draw, x)
            if value is not None and value.type == type:
                return builder.finish([value])
    return None


def _function(name: str) -> Callable[[Draw, Value], Value | None]:
    """A function of one operand, where the element type has it."""
    return lambda draw, x: unary(name, x) if admits(name, x.dtype) else None


def _square(draw: Draw, x: Value) -> Value | None:
    return multiply(x, x) if x.dtype != "i1" else None


def _bounded(draw: Draw, x: Value) -> Value | None:
    """Min and max with constants, one of them or both."""
    if is_complex(x.dtype) or x.dtype == "i1":
        return None
    low = draw.pick((0, 0, 1))
    bounded = maximum(x, full_like(x, low)) if draw.chance(0.7) else x
    return minimum(bounded, full_like(x, low + 2)) if draw.chance(0.5) else bounded


def _shifted_exponential(draw: Draw, x: Value) -> Value | None:
    if not is_float(x.dtype):
        return None
    value: Value = add(unary("exponential", x), full_like(x, 1))
    return value


def _count(draw: Draw, x: Value) -> Value | None:
    return iota(draw.integer(0, x.rank - 1), x.tensor) if x.rank and x.dtype != "i1" else None


def _as_indicator(draw: Draw, x: Value) -> Value | None:
    """A tensor of zeros and ones."""
    if x.dtype == "i1":
        return None
    value: Value = convert(convert(x, "i1"), x.dtype)
    return value


def _symmetric_sum(draw: Draw, x: Value) -> Value | None:
    if x.rank < 2 or x.shape[-1] != x.shape[-2]:
        return None
    order = (*range(x.rank - 2), x.rank - 1, x.rank - 2)
    value: Value = add(x, transpose(x, order))
    return value


def _repeated(draw: Draw, x: Value) -> Value | None:
    """One row, repeated: a splat along the first dimension."""
    if x.rank == 0:
        return None
    first = x.builder.make(
        "slice", ((0,) * x.rank, (min(1, x.shape[0]), *x.shape[1:]), (1,) * x.rank), (x,)
    )
    if x.shape[0] == 0:
        return None
    value: Value = broadcast_in_dim(first, x.shape, tuple(range(x.rank)))
    return value


_COMPUTATIONS: tuple[Callable[[Draw, Value], Value | None], ...] = (
    _function("abs"),
    _function("exponential"),
    _function("logistic"),
    _function("tanh"),
    _function("sign"),
    _square,
    _bounded,
    _shifted_exponential,
    _count,
    _as_indicator,
    _symmetric_sum,
    _repeated,
)
