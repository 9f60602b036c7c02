"""Reference meaning of operations of order."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.ops.ordering import REALS_ORDER, Order
from saturax.graph.ops.reduction import identity_value
from saturax.graph.reference.functions import total_order
from saturax.graph.reference.numbers import Array, is_real
from saturax.graph.types import mlir_dtype


def _keys(x: Array, order: Order) -> Array:
    """Numbers in the order of the elements of x: equal ones where a sort sees no difference."""
    if not is_real(x.dtype):
        keys = x if x.dtype.kind in "iub" else x.astype(np.int64)
    elif order.kind == REALS_ORDER:
        wide = x.astype(np.float64)
        keys = np.where(np.isnan(wide), np.nan, wide + 0.0)  # numpy sorts NaN last, too
    else:
        keys = total_order(x)
    _, ranks = np.unique(keys, return_inverse=True)
    ranks = ranks.reshape(x.shape)
    return ranks if order.direction == "LT" else -ranks


def _permutation(x: Array, attributes: Any) -> Array:
    dimension, order, _ = attributes
    return np.argsort(_keys(x, Order(*order)), axis=dimension, kind="stable")


def sort(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `sort`."""
    (x,) = operands
    return np.take_along_axis(x, _permutation(x, attributes), attributes[0])


def sort_pair(attributes: Any, operands: list[Array], results: Any) -> tuple[Array, Array]:
    """Meaning of `sort_pair`."""
    x, y = operands
    moved = _permutation(x, attributes)
    dimension = attributes[0]
    return np.take_along_axis(x, moved, dimension), np.take_along_axis(y, moved, dimension)


def top_k(attributes: Any, operands: list[Array], results: Any) -> tuple[Array, Array]:
    """Meaning of `top_k`."""
    (k,), (x,) = attributes, operands
    moved = _permutation(x, (x.ndim - 1, Order("GT", "TOTALORDER"), True))[..., :k]
    return np.take_along_axis(x, moved, -1), moved.astype(np.int32)


def arg_reduce(attributes: Any, operands: list[Array], results: Any) -> tuple[Array, Array]:
    """Meaning of `arg_reduce`: from the left, beginning with f's identity and 0."""
    (f, dimension, _), (x,) = attributes, operands
    first: Any = identity_value(f, mlir_dtype(results[0]))
    shape = (*x.shape[:dimension], *x.shape[dimension + 1 :])
    best, place = np.full(shape, first, x.dtype), np.zeros(shape, np.int64)
    for k in range(x.shape[dimension]):
        value = x.take(k, dimension)
        beyond = best > value if f == "maximum" else best < value
        stays = beyond | (best != best) | (best == value)
        best, place = np.where(stays, best, value), np.where(stays, place, k)
    return best.astype(x.dtype), place.astype(results[1])
