"""Sorting by integers: XLA:CPU compares integers 4-20 times as fast as floats (NaN, ±0) or pairs.

The bits of a float, those of its magnitude flipped if it is negative, are an integer of its place
in the total order -NaN < -∞ < … < -0 < 0 < … < ∞ < NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    REALS_ORDER,
    GatherDimensions,
    Order,
    arg_reduce,
    binary,
    compare,
    convert,
    full,
    full_like,
    gather,
    get_result,
    identity_value,
    iota,
    reshape,
    select,
    slice_dimension,
    sort,
    sort_pair,
    top_k,
    unary,
)
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.rules.conditions import INTEGERS
from saturax.rules.extrema import kept_reduction
from saturax.rules.indices import holds_indices
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

IEEE = "IEEE 754-2019, totalOrder of binary interchange formats"

# What `sorting_networks` sorts; XLA:CPU calls a partial sort of its own for each row.
_FEW = 16

KEYS = {"f16": "i16", "bf16": "i16", "f32": "i32", "f64": "i64"}
"""The integers as wide as each type of reals."""


def _bits(x: Value, dtype: str) -> Any:
    return unary(("bitcast_convert", dtype), x)


def _flipped(bits: Value) -> Any:
    """Integers in the order of the floats that have these bits, and back again."""
    info = np.iinfo(numpy_dtype(bits.dtype))
    sign = binary("shift_right_arithmetic", bits, full_like(bits, info.bits - 1))
    return binary("xor", bits, binary("and", sign, full_like(bits, info.max)))


def _with_one_nan(x: Value) -> Any:
    return select(compare(x, x, "NE", "FLOAT"), full_like(x, np.nan), x)


def _with_one_zero(x: Value) -> Any:
    zero = full_like(x, 0)
    return select(compare(x, zero, "EQ", "FLOAT"), zero, x)


def _doubles(rng: np.random.Generator) -> dict[str, Any]:
    """Over the reals, bits are known of float64 only."""
    rank = int(rng.integers(1, 4))
    shape = tuple(rng.integers(1, 6, rank).tolist())
    order = Order(str(rng.choice(["LT", "GT"])), REALS_ORDER)
    return {"x": TensorType(shape, "f64"), "d": int(rng.integers(0, rank)), "o": order}


@rule(lambda x, d, o, s: sort(x, d, o, s), numerics=ROUNDING, source=IEEE, examples=_doubles)
def sort_by_integers(x: Value, d: Any, o: Any, s: Any) -> Value | None:
    """sort x = the floats of the sorted integers of x; -0 comes before 0"""
    need(x.dtype in KEYS and o[1] == REALS_ORDER and x.size > 0)
    keys = _flipped(_bits(_with_one_nan(x), KEYS[x.dtype]))
    return _bits(_flipped(sort(keys, d, Order(o[0], "SIGNED"), s)), x.dtype)


@rule(
    lambda x, e, t, d, o: get_result(sort_pair(x, iota(e, t), d, o, True), 1),
    numerics=BITWISE,
    source=IEEE,
)
def argsort_by_packing(x: Value, e: Any, t: TensorType, d: Any, o: Any) -> Value | None:
    """argsort x = the low words of sort(2³² · x + iota), x as integers of at most 32 bits"""
    n = x.shape[d]
    need(e == d and t.dtype in INTEGERS and holds_indices(t.dtype, n) and 0 < n < 1 << 31)
    key = x
    if x.dtype in KEYS:
        need(o[1] == REALS_ORDER)
        key = _flipped(_bits(_with_one_nan(_with_one_zero(x)), KEYS[x.dtype]))
    return convert(_sorted_places(key, d, o[0]), t.dtype)


def _sorted_places(key: Value, d: int, direction: str) -> Any:
    """Where the sorted keys come from, as wide integers: their low words sort along, stably."""
    need(key.dtype in INTEGERS and numpy_dtype(key.dtype).itemsize <= 4)
    if direction == "GT":
        key = unary("not", key)
    wide = "ui64" if is_unsigned(key.dtype) else "i64"
    type = TensorType(key.shape, wide)
    high = binary("shift_left", convert(key, wide), full(32, type))
    kind = "UNSIGNED" if wide == "ui64" else "SIGNED"
    packed = sort(binary("or", high, iota(d, type)), d, Order("LT", kind), True)
    return binary("and", packed, full((1 << 32) - 1, type))


@rule(
    lambda x, y, d, o: get_result(sort_pair(x, y, d, o, True), 1),
    numerics=BITWISE,
    source="definition of the argsort",
)
def sort_along_by_argsort(x: Value, y: Value, d: Any, o: Any) -> Value | None:
    """y, taken along by the sort of x = y gathered at argsort x"""
    need(1 < x.shape[d] < 1 << 31 and x.size > 0 and x.dtype != "i1")
    type = TensorType(x.shape, "i32")
    places = get_result(sort_pair(x, iota(d, type), d, o, True), 1)
    others = tuple(i for i in range(y.rank) if i != d)
    along = GatherDimensions((), (d,), others, others, (d,), y.rank)
    return gather(y, reshape(places, (*x.shape, 1)), along, (1,) * y.rank)


@rule(lambda x, k: get_result(top_k(x, k), 0), numerics=BITWISE, source=IEEE)
def top_value_by_integers(x: Value, k: Any) -> Value | None:
    """The value of top_k(x, 1) = the float of the greatest integer of x"""
    need(k == 1 and x.dtype in KEYS)
    keys = _flipped(_bits(x, KEYS[x.dtype]))
    return _bits(_flipped(kept_reduction("maximum", keys, x.rank - 1)), x.dtype)


@rule(lambda x, k: get_result(top_k(x, k), 1), numerics=BITWISE, source=IEEE)
def top_index_by_integers(x: Value, k: Any) -> Value | None:
    """The index of top_k(x, 1) = argmax of the integers of x"""
    need(k == 1 and x.dtype in KEYS)
    keys = _flipped(_bits(x, KEYS[x.dtype]))
    place = get_result(arg_reduce("maximum", keys, x.rank - 1, "i32"), 1)
    return reshape(place, (*x.shape[:-1], 1))


@rule(lambda f, x, d, t: get_result(arg_reduce(f, x, d, t), 1), numerics=BITWISE, source=IEEE)
def arg_reduce_by_integers(f: Any, x: Value, d: Any, t: Any) -> Value | None:
    """argmax x = argmax of the integers of x, where 0 = -0 and NaN is beyond everything"""
    need(x.dtype in KEYS and x.shape[d] > 1)
    keys = _flipped(_bits(_with_one_zero(x), KEYS[x.dtype]))
    beyond = identity_value("minimum" if f == "maximum" else "maximum", keys.dtype)
    keys = select(compare(x, x, "NE", "FLOAT"), full_like(keys, beyond), keys)
    return get_result(arg_reduce(f, keys, d, t), 1)


@rule(lambda x, k: get_result(top_k(x, k), 0), numerics=BITWISE, source=IEEE)
def top_values_of_few(x: Value, k: Any) -> Value | None:
    """The values of top_k of up to 16 floats = the floats of the first k sorted integers"""
    last = x.rank - 1
    need(1 < k <= x.shape[last] <= _FEW and x.dtype in KEYS)
    keys = sort(_flipped(_bits(x, KEYS[x.dtype])), last, Order("GT", "SIGNED"), True)
    return _bits(_flipped(slice_dimension(keys, last, 0, k)), x.dtype)


@rule(lambda x, k: get_result(top_k(x, k), 1), numerics=BITWISE, source=IEEE)
def top_places_of_few(x: Value, k: Any) -> Value | None:
    """The indices of top_k of up to 16 floats = the first k places of their integers, sorted"""
    last = x.rank - 1
    need(1 < k <= x.shape[last] <= _FEW and x.dtype in KEYS)
    places = _sorted_places(_flipped(_bits(x, KEYS[x.dtype])), last, "GT")
    return convert(slice_dimension(places, last, 0, k), "i32")
