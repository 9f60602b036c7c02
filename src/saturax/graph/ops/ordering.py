"""Order: sorting, the k largest elements, and extrema with their places.

Comparators and bodies with other meanings make generic operations with a region.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Any, NamedTuple

from saturax.graph.build import make
from saturax.graph.operation import expect, register
from saturax.graph.ops.reduction import identity_value
from saturax.graph.types import TensorType, TupleType, Type, is_float, is_integer, is_unsigned

REALS_ORDER = "REALS"
"""The order of reals that `jax.lax.sort` uses: -0 = 0, and NaN, all equal, after everything."""


class Order(NamedTuple):
    """How a sort compares: `direction` "LT" (ascending) or "GT", and the `kind` of comparison.

    The kind is `REALS_ORDER` or one of StableHLO's: "TOTALORDER", "SIGNED", "UNSIGNED".
    """

    direction: str
    kind: str


def default_order(dtype: str, direction: str = "LT") -> Order:
    """The order in which JAX sorts elements of `dtype`; not for complex numbers."""
    if is_float(dtype):
        return Order(direction, REALS_ORDER)
    return Order(direction, "UNSIGNED" if is_unsigned(dtype) or dtype == "i1" else "SIGNED")


def _infer_sort(attributes: Any, operands: Sequence[Any]) -> Type:
    (dimension, _, _), (x,) = attributes, operands
    expect(0 <= dimension < x.rank, "sort", "{} along dimension {}", x, dimension)
    return TensorType(x.shape, x.dtype)


def _infer_sort_pair(attributes: Any, operands: Sequence[Any]) -> Type:
    (dimension, _, _), (x, y) = attributes, operands
    fits = 0 <= dimension < x.rank and x.shape == y.shape
    expect(fits, "sort_pair", "{} and {} along dimension {}", x, y, dimension)
    return TupleType((x, y))


def _infer_top_k(attributes: Any, operands: Sequence[Any]) -> Type:
    (k,), (x,) = attributes, operands
    expect(x.rank > 0 and 0 <= k <= x.shape[-1], "top_k", "{} elements of {}", k, x)
    values = x.with_shape((*x.shape[:-1], k))
    return TupleType((values, values.with_dtype("i32")))


def _infer_arg_reduce(attributes: Any, operands: Sequence[Any]) -> Type:
    (f, dimension, index), (x,) = attributes, operands
    known = f in ("maximum", "minimum") and identity_value(f, x.dtype) is not None
    expect(known and 0 <= dimension < x.rank, "arg_reduce", "{} of {} along {}", f, x, dimension)
    expect(is_integer(index), "arg_reduce", "indices of type {}", index)
    values = x.with_shape((*x.shape[:dimension], *x.shape[dimension + 1 :]))
    return TupleType((values, values.with_dtype(index)))


def _sort_flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    x = operands[0]
    return int(x.size * max(1.0, log2(max(1, x.shape[attributes[0]]))))


def _size(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    size: int = operands[0].size
    return size


def _sorts_nothing(attributes: Any, operands: Sequence[Any]) -> bool:
    return bool(operands[0].shape[attributes[0]] <= 1)


_SORT = ("dimension", "order", "is_stable")
register("sort", _SORT, _infer_sort, "heavy", _sort_flops, _sorts_nothing)
register("sort_pair", _SORT, _infer_sort_pair, "heavy", _sort_flops)
register("top_k", ("k",), _infer_top_k, "heavy", _size)
register("arg_reduce", ("f", "dimension", "index_dtype"), _infer_arg_reduce, "heavy", _size)


def sort(x: Any, dimension: Any, order: Any, is_stable: Any = True) -> Any:
    """x sorted along a dimension in an `Order`."""
    return make("sort", x, attributes=(dimension, order, is_stable))


def sort_pair(x: Any, y: Any, dimension: Any, order: Any, is_stable: Any = True) -> Any:
    """Two results: x sorted, and y in the places to which the elements of x moved."""
    return make("sort_pair", x, y, attributes=(dimension, order, is_stable))


def top_k(x: Any, k: Any) -> Any:
    """Two results: the k largest elements along the last dimension, and their indices (i32).

    In StableHLO's total order, from the largest down; of equal elements, the first comes first.
    """
    return make("top_k", x, attributes=(k,))


def arg_reduce(f: Any, x: Any, dimension: Any, index_dtype: Any = "i32") -> Any:
    """Two results: the "maximum" or "minimum" of x along a dimension, and where it is first.

    NaN is beyond everything. Of nothing, the results are f's identity and 0.
    """
    return make("arg_reduce", x, attributes=(f, dimension, index_dtype))


def get_result(values: Any, index: Any) -> Any:
    """One of the results of an operation with several."""
    return make("get_result", values, attributes=(index,))
