"""Iota: tensors of their own indices, as constants, moved, converted and compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.operation import infer
from saturax.graph.ops import (
    add,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    full,
    iota,
    multiply,
    reshape,
    slice_,
    transpose,
)
from saturax.graph.reference import evaluate_operation
from saturax.graph.types import TensorType, numpy_dtype
from saturax.rules.conditions import FOLD_LIMIT, INTEGERS, REALS
from saturax.rules.conversion import PRECISION
from saturax.rules.rule import BITWISE, need, rule

SPEC = "StableHLO spec, `iota`"


def holds_indices(dtype: str, size: int) -> bool:
    """Whether elements of `dtype` are exact for every index of a dimension of this size."""
    if dtype in INTEGERS:
        return size - 1 <= np.iinfo(numpy_dtype(dtype)).max
    return dtype in REALS and size <= 1 << PRECISION[dtype]


@rule(lambda d, t: iota(d, t), numerics=BITWISE, source=SPEC)
def fold_iota(d: Any, t: TensorType) -> Value | None:
    """iota is constant: 0 along a dimension of size 1; small ones are written out"""
    need(holds_indices(t.dtype, t.shape[d]))
    if t.shape[d] <= 1:
        return full(0, t)
    need(t.size <= FOLD_LIMIT)
    return constant(Literal(evaluate_operation("iota", (d, t), [], t)))


@rule(lambda d, t, s, e: broadcast_in_dim(iota(d, t), s, e), numerics=BITWISE, source=SPEC)
def broadcast_iota(d: Any, t: TensorType, s: Any, e: Any) -> Value | None:
    """A broadcast iota is an iota, unless its own dimension of size 1 is repeated"""
    need(t.shape[d] == s[e[d]])
    return iota(e[d], t.with_shape(s))


@rule(lambda d, t, p: transpose(iota(d, t), p), numerics=BITWISE, source=SPEC)
def transpose_iota(d: Any, t: TensorType, p: Any) -> Value | None:
    """A transposed iota is an iota"""
    return iota(p.index(d), t.with_shape(tuple(t.shape[i] for i in p)))


@rule(lambda d, t, s: reshape(iota(d, t), s), numerics=BITWISE, source=SPEC)
def reshape_iota(d: Any, t: TensorType, s: Any) -> Value | None:
    """An iota with dimensions of size 1 added or removed is an iota"""
    long = [i for i, n in enumerate(t.shape) if n != 1]
    kept = [i for i, n in enumerate(s) if n != 1]
    need(d in long and [t.shape[i] for i in long] == [s[i] for i in kept])
    return iota(kept[long.index(d)], t.with_shape(s))


@rule(lambda d, t, a, b, s: slice_(iota(d, t), a, b, s), numerics=BITWISE, source=SPEC)
def slice_iota(d: Any, t: TensorType, a: Any, b: Any, s: Any) -> Value | None:
    """iota[start::stride] = iota · stride + start, where no index is rounded"""
    type: Any = infer("slice", (a, b, s), [t])
    need(holds_indices(t.dtype, t.shape[d]) and type.size > 0)
    result = iota(d, type)
    if s[d] != 1 and type.shape[d] > 1:
        result = multiply(result, full(s[d], type))
    return add(result, full(a[d], type)) if a[d] else result


@rule(lambda d, t, u: convert(iota(d, t), u), numerics=BITWISE, source=SPEC)
def convert_iota(d: Any, t: TensorType, u: Any) -> Value | None:
    """A converted iota is an iota, where both types hold all its indices"""
    need(holds_indices(t.dtype, t.shape[d]) and holds_indices(u, t.shape[d]))
    return iota(d, t.with_dtype(u))


_ORDERS = {
    "EQ": np.equal,
    "NE": np.not_equal,
    "LT": np.less,
    "LE": np.less_equal,
    "GT": np.greater,
    "GE": np.greater_equal,
}


@rule(lambda d, t, c, o, k: compare(iota(d, t), constant(c), o, k), numerics=BITWISE, source=SPEC)
def compare_iota(d: Any, t: TensorType, c: Literal, o: Any, k: Any) -> Value | None:
    """iota < c is constant where c is no index strictly inside; other comparisons too"""
    need(c.is_splat and k != "TOTALORDER" and t.size > 0 and holds_indices(t.dtype, t.shape[d]))
    # Each comparison of 0 … n-1 with one number changes its outcome at that number only.
    value, last = float(c.value), t.shape[d] - 1
    near = [0, last, *(i for i in (np.floor(value), np.ceil(value)) if 0 <= i <= last)]
    outcomes = {bool(_ORDERS[o](i, value)) for i in near if np.isfinite(i)}
    need(len(outcomes) == 1)
    return full(outcomes.pop(), TensorType(t.shape, "i1"))
