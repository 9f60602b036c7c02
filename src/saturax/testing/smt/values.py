"""Elements as terms of z3: Booleans, bit-vectors and half-precision floats have their meaning.

Elements of other types, and functions that z3 does not know, are uninterpreted: what is proved of
them holds whatever they mean.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import z3

from saturax.graph.types import is_integer, is_unsigned, numpy_dtype
from saturax.testing.smt.paths import Z3

_FORMATS = {"f16": (5, 11), "bf16": (8, 8)}
_NEAREST = z3.RNE()


def width(dtype: str) -> int:
    """Bits of an integer type."""
    return int(dtype.lstrip("ui"))


def sort(dtype: str) -> Z3:
    """The sort of elements of a type."""
    if dtype == "i1":
        return z3.BoolSort()
    if is_integer(dtype):
        return z3.BitVecSort(width(dtype))
    if dtype in _FORMATS:
        return z3.FPSort(*_FORMATS[dtype])
    return z3.DeclareSort(dtype)


def constant(value: Any, dtype: str) -> Z3:
    """A numpy scalar as an element."""
    if dtype == "i1":
        return z3.BoolVal(bool(value))
    if is_integer(dtype):
        return z3.BitVecVal(int(value), width(dtype))
    if dtype in _FORMATS:
        wide = float(value)
        if np.isnan(wide):
            return z3.fpNaN(sort(dtype))
        bits = int(np.asarray(value).astype(numpy_dtype(dtype)).view(np.uint16))
        return z3.simplify(z3.fpBVToFP(z3.BitVecVal(bits, 16), sort(dtype)))
    return z3.Const(f"{dtype} {np.asarray(value).tobytes().hex()}", sort(dtype))


def iota(index: Z3, dtype: str) -> Z3:
    """An index as an element."""
    if is_integer(dtype):
        return z3.Int2BV(index, width(dtype))
    return z3.Function(f"iota {dtype}", z3.IntSort(), sort(dtype))(index)


def as_index(value: Z3, dtype: str) -> Z3:
    """An element as an index: the integer that it is."""
    if z3.is_bv_value(value):
        is_negative = not is_unsigned(dtype)
        return z3.IntVal(value.as_signed_long() if is_negative else value.as_long())
    return z3.Function(f"index {dtype}", sort(dtype), z3.IntSort())(value)


def apply(f: Any, values: list[Z3], dtype: str, result: str) -> Z3:
    """An elementwise function of elements of `dtype` (that of the last operand)."""
    meaning = _meaning(f, dtype, result)
    if meaning is not None:
        return meaning(*values)
    sorts = [value.sort() for value in values]
    return z3.Function(f"{f} {dtype} {result}", *sorts, sort(result))(*values)


def _meaning(f: Any, dtype: str, result: str) -> Callable[..., Z3] | None:
    if f == "select":
        return _select
    if isinstance(f, tuple):
        if f[0] == "convert":
            return _conversion(dtype, result)
        return _comparison(f[1], f[2], dtype) if f[0] == "compare" else None
    if dtype == "i1":
        return _BOOLEAN.get(f)
    if is_integer(dtype):
        return (_UNSIGNED if is_unsigned(dtype) else _SIGNED).get(f) or _INTEGER.get(f)
    return _FLOAT.get(f) if dtype in _FORMATS else None


def _select(p: Z3, x: Z3, y: Z3) -> Z3:
    return z3.If(p, x, y)


# ------------------------------------------------------------------ Booleans and integers

_BOOLEAN: dict[str, Callable[..., Z3]] = {
    "and": z3.And,
    "multiply": z3.And,
    "minimum": z3.And,
    "or": z3.Or,
    "add": z3.Or,
    "maximum": z3.Or,
    "xor": z3.Xor,
    "not": z3.Not,
    "clamp": lambda low, x, high: z3.And(z3.Or(low, x), high),
}


def _of_width(x: Z3, value: int) -> Z3:
    return z3.BitVecVal(value, x.size())


def _bits(x: Z3) -> list[Z3]:
    return [z3.Extract(i, i, x) for i in range(x.size())]


def _popcnt(x: Z3) -> Z3:
    n = x.size()
    return reduce(lambda total, bit: total + z3.ZeroExt(n - 1, bit), _bits(x), _of_width(x, 0))


def _leading_zeros(x: Z3) -> Z3:
    """From the lowest bit up: the highest one that is set decides."""
    n = x.size()
    counts = enumerate(_bits(x))
    return reduce(
        lambda found, item: z3.If(item[1] == 1, _of_width(x, n - 1 - item[0]), found),
        counts,
        _of_width(x, n),
    )


_INTEGER: dict[str, Callable[..., Z3]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "negate": lambda x: -x,
    "chlo.square": lambda x: x * x,
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "xor": lambda x, y: x ^ y,
    "not": lambda x: ~x,
    "shift_left": lambda x, y: x << y,
    "shift_right_arithmetic": lambda x, y: x >> y,
    "shift_right_logical": z3.LShR,
    "popcnt": _popcnt,
    "count_leading_zeros": _leading_zeros,
}


def _guarded(quotient: Callable[[Z3, Z3], Z3], by_zero: Callable[[Z3], Z3]) -> Callable[..., Z3]:
    return lambda x, y: z3.If(y == 0, by_zero(x), quotient(x, y))


def _ones(x: Z3) -> Z3:
    return _of_width(x, -1)


_SIGNED: dict[str, Callable[..., Z3]] = {
    "maximum": lambda x, y: z3.If(x >= y, x, y),
    "minimum": lambda x, y: z3.If(x <= y, x, y),
    "clamp": lambda low, x, high: _SIGNED["minimum"](_SIGNED["maximum"](low, x), high),
    "abs": lambda x: z3.If(x < 0, -x, x),
    "sign": lambda x: z3.If(x == 0, x, z3.If(x < 0, _ones(x), _of_width(x, 1))),
    "divide": _guarded(lambda x, y: x / y, _ones),
    "remainder": _guarded(z3.SRem, lambda x: x),
}
_UNSIGNED: dict[str, Callable[..., Z3]] = {
    "maximum": lambda x, y: z3.If(z3.UGE(x, y), x, y),
    "minimum": lambda x, y: z3.If(z3.ULE(x, y), x, y),
    "clamp": lambda low, x, high: _UNSIGNED["minimum"](_UNSIGNED["maximum"](low, x), high),
    "divide": _guarded(z3.UDiv, _ones),
    "remainder": _guarded(z3.URem, lambda x: x),
}

# ------------------------------------------------------------------ floats


def _extreme(
    better: Callable[[Z3, Z3], Z3], wins_zero: Callable[[Z3], Z3]
) -> Callable[[Z3, Z3], Z3]:
    """Maximum or minimum as IEEE 754-2019 has them: NaN wins, and zeros are ordered."""

    def extreme(x: Z3, y: Z3) -> Z3:
        of_zeros = z3.If(wins_zero(x), x, y)
        ordered = z3.If(better(x, y), x, y)
        chosen = z3.If(z3.And(z3.fpIsZero(x), z3.fpIsZero(y)), of_zeros, ordered)
        return z3.If(z3.fpIsNaN(x), x, z3.If(z3.fpIsNaN(y), y, chosen))

    return extreme


_MAXIMUM = _extreme(z3.fpGT, z3.fpIsPositive)
_MINIMUM = _extreme(z3.fpLT, z3.fpIsNegative)


def _sign(x: Z3) -> Z3:
    one = z3.FPVal(1.0, x.sort())
    signed = z3.If(z3.fpIsNegative(x), z3.fpNeg(one), one)
    return z3.If(z3.Or(z3.fpIsZero(x), z3.fpIsNaN(x)), x, signed)


_FLOAT: dict[str, Callable[..., Z3]] = {
    "add": lambda x, y: z3.fpAdd(_NEAREST, x, y),
    "subtract": lambda x, y: z3.fpSub(_NEAREST, x, y),
    "multiply": lambda x, y: z3.fpMul(_NEAREST, x, y),
    "divide": lambda x, y: z3.fpDiv(_NEAREST, x, y),
    "chlo.square": lambda x: z3.fpMul(_NEAREST, x, x),
    "sqrt": lambda x: z3.fpSqrt(_NEAREST, x),
    "negate": z3.fpNeg,
    "abs": z3.fpAbs,
    "sign": _sign,
    "floor": lambda x: z3.fpRoundToIntegral(z3.RTN(), x),
    "ceil": lambda x: z3.fpRoundToIntegral(z3.RTP(), x),
    "round_nearest_even": lambda x: z3.fpRoundToIntegral(_NEAREST, x),
    "round_nearest_afz": lambda x: z3.fpRoundToIntegral(z3.RNA(), x),
    "maximum": _MAXIMUM,
    "minimum": _MINIMUM,
    "clamp": lambda low, x, high: _MINIMUM(_MAXIMUM(low, x), high),
    "is_finite": lambda x: z3.Not(z3.Or(z3.fpIsNaN(x), z3.fpIsInf(x))),
}

# ------------------------------------------------------------------ comparison, conversion

_ORDERS: dict[str, tuple[Callable[..., Z3], Callable[..., Z3], Callable[..., Z3]]] = {
    "EQ": (lambda x, y: x == y, lambda x, y: x == y, z3.fpEQ),
    "NE": (lambda x, y: x != y, lambda x, y: x != y, lambda x, y: z3.Not(z3.fpEQ(x, y))),
    "LT": (lambda x, y: x < y, z3.ULT, z3.fpLT),
    "LE": (lambda x, y: x <= y, z3.ULE, z3.fpLEQ),
    "GT": (lambda x, y: x > y, z3.UGT, z3.fpGT),
    "GE": (lambda x, y: x >= y, z3.UGE, z3.fpGEQ),
}


def _comparison(direction: str, kind: str, dtype: str) -> Callable[..., Z3] | None:
    signed, unsigned, floats = _ORDERS[direction]
    if dtype == "i1":
        return lambda x, y: unsigned(_as_bit(x), _as_bit(y))
    if is_integer(dtype):
        return unsigned if is_unsigned(dtype) else signed
    return floats if dtype in _FORMATS and kind == "FLOAT" else None


def _as_bit(x: Z3, size: int = 1) -> Z3:
    return z3.If(x, z3.BitVecVal(1, size), z3.BitVecVal(0, size))


def _conversion(source: str, target: str) -> Callable[..., Z3] | None:
    """A conversion between integers, or between float formats."""
    if source == target:
        return lambda x: x
    if target == "i1" and is_integer(source):
        return lambda x: x != 0
    if is_integer(target) and source == "i1":
        return lambda x: _as_bit(x, width(target))
    if is_integer(source) and is_integer(target):
        more = width(target) - width(source)
        if more <= 0:
            return lambda x: z3.Extract(width(target) - 1, 0, x)
        return lambda x: (z3.ZeroExt if is_unsigned(source) else z3.SignExt)(more, x)
    if source in _FORMATS and target in _FORMATS:
        return lambda x: z3.fpFPToFP(_NEAREST, x, sort(target))
    return None
