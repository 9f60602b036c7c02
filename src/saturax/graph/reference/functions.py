"""Reference meaning of elementwise functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from saturax.graph.reference import special
from saturax.graph.reference.numbers import (
    Array,
    UnsupportedError,
    bit_width,
    is_real,
    widen,
    widest,
)
from saturax.graph.types import mlir_dtype


def unary(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `unary`."""
    (f,), (x,) = attributes, operands
    if isinstance(f, tuple):
        return _PARAMETRIC[f[0]](x, result, *f[1:])
    if f in _DOUBLE or (f in _UNARY and x.dtype.kind == "c"):
        return np.asarray((_DOUBLE.get(f) or _UNARY[f])(widest(x))).astype(result)
    if f not in _UNARY:
        raise UnsupportedError(f"no reference meaning for the function {f}")
    return np.asarray(_UNARY[f](x if f in _ON_BITS else widen(x))).astype(result)


def binary(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `binary`."""
    (f,), (x, y) = attributes, operands
    if isinstance(f, tuple):
        return _compare(x, y, f[1], f[2])
    if x.dtype.kind == "c" and f not in _DOUBLE_BINARY:
        x, y = np.ascontiguousarray(x).reshape(x.shape), np.ascontiguousarray(y).reshape(y.shape)
    if f in _DOUBLE_BINARY and (is_real(x.dtype) or x.dtype.kind == "c"):
        return _DOUBLE_BINARY[f](widest(x), widest(y)).astype(result)
    if f in _SHIFTS:
        return _shift(f, x, y).astype(result)
    if f not in _BINARY:
        raise UnsupportedError(f"no reference meaning for the function {f}")
    return np.asarray(_BINARY[f](widen(x), widen(y))).astype(result)


def ternary(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `ternary`."""
    (f,), (x, y, z) = attributes, operands
    if f == "select":
        return np.where(x, y, z).astype(result, copy=False)
    if f == "clamp":
        return minimum(maximum(widen(x), widen(y)), widen(z)).astype(result)
    raise UnsupportedError(f"no reference meaning for the function {f}")


# ------------------------------------------------------------------ real and complex


def maximum(x: Array, y: Array) -> Array:
    """The greater operand, NaN if either is; +0 is greater than -0 (IEEE 754-2019, maximum)."""
    if x.dtype.kind == "c":
        return np.where((x.real > y.real) | ((x.real == y.real) & (x.imag >= y.imag)), x, y)
    greater = np.maximum(x, y)
    # Numpy leaves the order of zeros open; their sum is -0 only if both are.
    return np.where((x == 0) & (y == 0), x + y, greater) if is_real(x.dtype) else greater


def minimum(x: Array, y: Array) -> Array:
    """The lesser operand, NaN if either is; -0 is less than +0 (IEEE 754-2019, minimum)."""
    if x.dtype.kind == "c":
        return np.where((x.real < y.real) | ((x.real == y.real) & (x.imag <= y.imag)), x, y)
    lesser = np.minimum(x, y)
    return np.where((x == 0) & (y == 0), -(-x - y), lesser) if is_real(x.dtype) else lesser


def _sign(x: Array) -> Array:
    if x.dtype.kind == "c":
        return np.where(x == 0, 0, x / np.abs(x))
    return np.where(x == 0, x, np.sign(x))


def _round_away(x: Array) -> Array:
    whole = np.trunc(x)
    return np.copysign(np.where(np.abs(x - whole) >= 0.5, whole + np.sign(x), whole), x)


def _is_inf(sign: int) -> Callable[[Array], Array]:
    return lambda x: np.isinf(x) if sign == 0 else x == sign * np.inf


def _logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _real_power(x: Array, y: Array) -> Array:
    """Numpy takes the square root for an exponent of 0.5 that stands alone, which differs at -∞;
    with one element more none does.
    """
    bases, exponents = np.append(x, 1.0), np.append(y, 2.0)
    powers: Array = np.power(bases, exponents)[:-1]
    return powers.reshape(x.shape)


def _complex(x: Array, y: Array) -> Array:
    result = np.empty(x.shape, np.result_type(x, np.complex64))
    result.real, result.imag = x, y
    return result


def _cbrt(x: Array) -> Array:
    return np.cbrt(x) if x.dtype.kind == "f" else np.power(x, 1 / 3)


# ------------------------------------------------------------------ integers


def _divide(x: Array, y: Array) -> Array:
    if is_real(x.dtype) or x.dtype.kind == "c":
        return np.divide(x, y)
    # Rounds towards zero; x / 0 = -1 (all bits one); the minimum / -1 wraps around.
    safe = np.where(y == 0, np.ones_like(y), y)
    quotient = np.floor_divide(x, safe)
    inexact = (quotient * safe != x) & ((x < 0) != (safe < 0))
    quotient = quotient + inexact.astype(x.dtype)
    if x.dtype.kind == "i":
        quotient = np.where(safe == -1, np.negative(x), quotient)
    return np.where(y == 0, np.invert(np.zeros_like(x)), quotient)


def _remainder(x: Array, y: Array) -> Array:
    if is_real(x.dtype):
        return np.fmod(x, y)
    quotient = _divide(x, y)
    return np.where(y == 0, x, x - quotient * y)


def _integer_power(x: Array, y: Array) -> Array:
    """Exponentiation by squaring, with wrap-around; a negative power of n is the truncated 1/nᵏ.

    XLA looks at the lowest six bits of the exponent only, so this does, too.
    """
    result, base = np.ones_like(x), x
    for bit in range(6):
        result = np.where((y >> bit) & 1, result * base, result)
        base = base * base
    if y.dtype.kind == "u":
        return result
    odd = np.where(y & 1, x, np.ones_like(x))
    inverse = np.where(np.abs(x) == 1, odd, np.zeros_like(x))
    return np.where(y < 0, inverse, result)


def _shift(f: str, x: Array, y: Array) -> Array:
    """Shift counts are unsigned; from the width on, all bits are shifted out."""
    width = bit_width(x.dtype)
    wide = x.astype(np.int64 if x.dtype.kind != "u" and not _is_unsigned(x) else np.uint64)
    mask = np.uint64((1 << width) - 1)
    count = y.astype(np.uint64) & mask if width < 64 else y.astype(np.uint64)
    beyond = count >= width
    count = np.where(beyond, 0, count).astype(np.uint64)
    bits = wide.astype(np.uint64) & mask
    if f == "shift_left":
        shifted = np.where(beyond, 0, bits << count)
    elif f == "shift_right_logical":
        shifted = np.where(beyond, 0, bits >> count)
    else:
        # The sign is spread over 64 bits first.
        spread = np.uint64(64 - width)
        signed = (bits << spread).astype(np.int64) >> np.int64(64 - width)
        filled = np.where(signed < 0, -1, 0)
        shifted = np.where(beyond, filled, signed >> count.astype(np.int64)).astype(np.uint64)
    return _from_bits(shifted.astype(np.uint64) & mask, x.dtype)


def _is_unsigned(x: Array) -> bool:
    return mlir_dtype(x.dtype).startswith("ui")


def _from_bits(bits: Array, dtype: np.dtype) -> Array:
    """The integers of `dtype` whose lowest bits are given."""
    if dtype == np.bool_:
        return np.asarray(bits != 0)
    width = bit_width(dtype)
    if mlir_dtype(dtype).startswith("ui"):
        return bits.astype(dtype)
    spread = np.uint64(64 - width)
    return ((bits << spread).astype(np.int64) >> np.int64(64 - width)).astype(dtype)


def _bits(x: Array) -> Array:
    width = bit_width(x.dtype)
    wide = x.astype(np.uint64) if _is_unsigned(x) else x.astype(np.int64).astype(np.uint64)
    return wide & np.uint64((1 << width) - 1)


def _count_leading_zeros(x: Array) -> Array:
    width = bit_width(x.dtype)
    bits = _bits(x)
    for shift in (1, 2, 4, 8, 16, 32):
        bits = bits | (bits >> np.uint64(shift))
    return width - np.bitwise_count(bits).astype(np.int64)


def _popcnt(x: Array) -> Array:
    return np.bitwise_count(_bits(x)).astype(np.int64)


# ------------------------------------------------------------------ conversions


def _convert(x: Array, result: np.dtype, dtype: str) -> Array:
    if x.dtype.kind == "c" and result.kind != "c":
        x = x.real
    if result == np.bool_:
        return np.asarray(x != 0)
    if is_real(x.dtype) and not is_real(result) and result.kind != "c":
        return _float_to_integer(x, result)
    # ml_dtypes has no direct conversions between its own types.
    return widen(x).astype(result)


def _float_to_integer(x: Array, result: np.dtype) -> Array:
    """Towards zero; out of range, the nearest integer; NaN is 0 (as XLA's CPU backend does)."""
    width = bit_width(result)
    unsigned = mlir_dtype(result).startswith("ui")
    low, high = (0, 2**width - 1) if unsigned else (-(2 ** (width - 1)), 2 ** (width - 1) - 1)
    wide = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
    inside = (wide > low - 1) & (wide < high + 1)
    safe = np.where(inside, wide, 0).astype(np.uint64 if unsigned else np.int64)
    clamped = np.where(wide > 0, np.array(high, safe.dtype), np.array(low, safe.dtype))
    return np.where(inside, safe, clamped).astype(result)


def _bitcast(x: Array, result: np.dtype, dtype: str) -> Array:
    return np.ascontiguousarray(x).reshape(x.shape).view(result)


_FORMATS = {"f16": (5, 10), "bf16": (8, 7), "f32": (8, 23), "f64": (11, 52)}


def _reduce_precision(x: Array, result: np.dtype, exponent: int, mantissa: int) -> Array:
    """Round to fewer mantissa bits, then overflow to ∞ and underflow to 0 in fewer exponents."""
    name = mlir_dtype(x.dtype)
    if name not in _FORMATS:
        raise UnsupportedError(f"no reference meaning for reduce_precision of {name}")
    exponents, mantissas = _FORMATS[name]
    width = x.dtype.itemsize * 8
    bits = np.ascontiguousarray(x).reshape(x.shape).view(f"u{x.dtype.itemsize}").astype(np.uint64)
    sign = bits & np.uint64(1 << (width - 1))
    dropped = max(mantissas - mantissa, 0)
    if dropped:
        last = (bits >> np.uint64(dropped)) & np.uint64(1)
        bits = bits + np.uint64((1 << (dropped - 1)) - 1) + last
        bits = bits & np.uint64((1 << 64) - (1 << dropped))
    magnitude = bits & np.uint64((1 << (width - 1)) - 1)
    if exponent < exponents:
        field = magnitude >> np.uint64(mantissas)
        bias, reduced = (1 << (exponents - 1)) - 1, (1 << (exponent - 1)) - 1
        infinite = np.uint64(((1 << exponents) - 1) << mantissas)
        magnitude = np.where(field > bias + reduced, infinite, magnitude)
        magnitude = np.where(field <= bias - reduced, np.uint64(0), magnitude)
    rounded = (sign | magnitude).astype(f"u{x.dtype.itemsize}").view(x.dtype)
    return np.where(np.isnan(x), x, rounded).astype(result)


# ------------------------------------------------------------------ comparison


def total_order(x: Array) -> Array:
    """Integers in the total order of floats: -NaN < -∞ < … < -0 < 0 < … < ∞ < NaN."""
    size = x.dtype.itemsize
    bits = np.ascontiguousarray(x).reshape(x.shape).view(f"i{size}")
    largest = np.array((1 << (8 * size - 1)) - 1, bits.dtype)
    return np.where(bits < 0, bits ^ largest, bits)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "EQ": np.equal,
    "NE": np.not_equal,
    "LT": np.less,
    "LE": np.less_equal,
    "GT": np.greater,
    "GE": np.greater_equal,
}


def _compare(x: Array, y: Array, direction: str, kind: str) -> Array:
    if kind == "TOTALORDER" and is_real(x.dtype):
        x, y = total_order(x), total_order(y)
    return np.asarray(_COMPARISONS[direction](widen(x), widen(y)))


def _add(x: Array, y: Array) -> Array:
    return np.logical_or(x, y) if x.dtype == np.bool_ else np.add(x, y)


_ON_BITS = frozenset({"count_leading_zeros", "popcnt"})
_UNARY: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "chlo.conj": np.conj,
    "chlo.is_inf": _is_inf(0),
    "chlo.is_neg_inf": _is_inf(-1),
    "chlo.is_pos_inf": _is_inf(1),
    "chlo.square": lambda x: x * x,
    "count_leading_zeros": _count_leading_zeros,
    "floor": np.floor,
    "imag": np.imag,
    "is_finite": np.isfinite,
    "negate": np.negative,
    "not": np.invert,
    "popcnt": _popcnt,
    "real": np.real,
    "round_nearest_afz": _round_away,
    "round_nearest_even": np.rint,
    "sign": _sign,
    "sqrt": np.sqrt,
}
# Computed in double precision and rounded once, so that no vector width or stride shows.
_DOUBLE: dict[str, Callable[[Array], Array]] = {
    "cbrt": _cbrt,
    "chlo.acos": np.arccos,
    "chlo.acosh": np.arccosh,
    "chlo.asin": np.arcsin,
    "chlo.asinh": np.arcsinh,
    "chlo.atan": np.arctan,
    "chlo.atanh": np.arctanh,
    "chlo.cosh": np.cosh,
    "chlo.digamma": special.digamma,
    "chlo.erf": special.erf,
    "chlo.erf_inv": special.erf_inv,
    "chlo.erfc": special.erfc,
    "chlo.lgamma": special.lgamma,
    "chlo.sinh": np.sinh,
    "chlo.tan": np.tan,
    "cosine": np.cos,
    "exponential": np.exp,
    "exponential_minus_one": np.expm1,
    "log": np.log,
    "log_plus_one": np.log1p,
    "logistic": _logistic,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sine": np.sin,
    "tan": np.tan,
    "tanh": np.tanh,
}
_PARAMETRIC: dict[str, Callable[..., Array]] = {
    "bitcast_convert": _bitcast,
    "convert": _convert,
    "reduce_precision": _reduce_precision,
}
_SHIFTS = frozenset({"shift_left", "shift_right_arithmetic", "shift_right_logical"})
_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": _add,
    "and": np.bitwise_and,
    "chlo.next_after": np.nextafter,
    "complex": _complex,
    "divide": _divide,
    "maximum": maximum,
    "minimum": minimum,
    "multiply": np.multiply,
    "or": np.bitwise_or,
    "power": _integer_power,
    "remainder": _remainder,
    "subtract": np.subtract,
    "xor": np.bitwise_xor,
}
_DOUBLE_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "atan2": np.arctan2,
    "power": _real_power,
}
