"""Interval arithmetic: ranges of elementwise functions, as computed in an element type.

Bounds of floats are widened by what rounding may add, also where XLA keeps more digits or
reassociates, and positive numbers may underflow to 0; integers wrap around. Infinities are numbers
here, so a bound is infinite where overflow is possible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from saturax.facts.model import Facts, Range, tensor_type
from saturax.graph.types import is_integer, is_unsigned, numpy_dtype

REALS = frozenset({"f16", "bf16", "f32", "f64"})
INF = math.inf
TRUE, FALSE, UNSURE = Range(1, 1), Range(0, 0), Range(0, 1)

_ULPS = 8
"""Units in the last place by which a function of XLA may be wrong."""


@cache
def limits(dtype: str) -> Range | None:
    """What an element type can hold; None for the types that ranges are not known of."""
    if dtype in REALS:
        return Range(-INF, INF, True)
    if dtype == "i1":
        return UNSURE
    if is_integer(dtype):
        info = ml_dtypes.iinfo(numpy_dtype(dtype))
        return Range(int(info.min), int(info.max))
    return None


def range_of(facts: Facts) -> Range | None:
    """The range of a value: what is known, or what its type can hold; None for other types."""
    found = facts.known.range
    return found if found is not None else limits(tensor_type(facts).dtype)


def single_of(facts: Facts) -> Any:
    """The number that every element is known to equal (0 of either sign), or None."""
    found = facts.known.range
    is_single = found is not None and found.low == found.high and not found.may_be_nan
    return found.low if is_single and found is not None else None


@cache
def _precision(dtype: str) -> tuple[float, float, float]:
    """Relative distance of neighbours, least normal and greatest number of a float type."""
    info: Any = ml_dtypes.finfo(numpy_dtype(dtype))
    return float(info.eps), float(info.tiny), float(info.max)


def rounded(
    low: float, high: float, may_be_nan: bool, dtype: str, scale: float = 0.0, steps: int = 1
) -> Range:
    """A range over the reals as computed in `dtype`: with one rounding of the result, or with
    `steps` roundings of numbers of magnitude up to `scale`.
    """
    if math.isnan(low) or math.isnan(high):
        return Range(-INF, INF, True)
    eps, tiny, most = _precision(dtype)
    unit = _ULPS * eps * steps
    if scale * unit == INF:
        return Range(-INF, INF, may_be_nan)
    low -= unit * max(abs(low), scale) if math.isfinite(low) else 0
    high += unit * max(abs(high), scale) if math.isfinite(high) else 0
    low = 0.0 if 0 < low < tiny else -INF if low < -most else min(low, most)
    high = 0.0 if -tiny < high < 0 else INF if high > most else max(high, -most)
    return Range(low, high, may_be_nan)


def wrapped(low: int, high: int, dtype: str) -> Range | None:
    """A range of integers, unless it leaves the type: then nothing is known."""
    full = limits(dtype)
    return Range(low, high) if full and full.low <= low and high <= full.high else None


def union(a: Range, b: Range) -> Range:
    """The least range that holds both."""
    return Range(min(a.low, b.low), max(a.high, b.high), a.may_be_nan or b.may_be_nan)


def is_finite_range(r: Range) -> bool:
    """Whether no element is infinite or NaN."""
    return not r.may_be_nan and r.low > -INF and r.high < INF


# ------------------------------------------------------------------ functions of one operand


def _at(f: Callable[[Any], Any], x: float) -> float:
    with np.errstate(all="ignore"):
        return float(f(np.float64(x)))


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


# Increasing functions: f, least and greatest argument, least and greatest value.
_INCREASING: dict[str, tuple[Callable[[Any], Any], float, float, float, float]] = {
    "exponential": (np.exp, -INF, INF, 0, INF),
    "exponential_minus_one": (np.expm1, -INF, INF, -1, INF),
    "log": (np.log, 0, INF, -INF, INF),
    "log_plus_one": (np.log1p, -1, INF, -INF, INF),
    "sqrt": (np.sqrt, 0, INF, 0, INF),
    "cbrt": (np.cbrt, -INF, INF, -INF, INF),
    "logistic": (_logistic, -INF, INF, 0, 1),
    "tanh": (np.tanh, -INF, INF, -1, 1),
    "chlo.erf": (math.erf, -INF, INF, -1, 1),
    "chlo.atan": (np.arctan, -INF, INF, -2, 2),
    "chlo.sinh": (np.sinh, -INF, INF, -INF, INF),
    "chlo.asinh": (np.arcsinh, -INF, INF, -INF, INF),
}
# XLA ends these with a clamp, or with a quotient that cannot round past its limit.
_CLAMPED = frozenset({"logistic", "tanh"})
_EXACT: dict[str, Callable[[Any], Any]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_nearest_even": np.rint,
    "round_nearest_afz": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
    "sign": np.sign,
}


def _increasing_range(f: str, x: Range, dtype: str) -> Range | None:
    function, first, last, least, greatest = _INCREASING[f]
    if x.high < first:
        return None
    may_be_nan = x.may_be_nan or x.low < first
    low = _at(function, max(x.low, first)) if x.low > -INF or first > -INF else least
    high = _at(function, min(x.high, last)) if x.high < INF else greatest
    result = rounded(max(low, least), min(high, greatest), may_be_nan, dtype)
    if f in _CLAMPED:
        result = result._replace(low=max(result.low, least), high=min(result.high, greatest))
    # Nothing rounds to the other side of 0.
    return result._replace(low=max(result.low, 0.0)) if low >= 0 else result


def _absolute(x: Range) -> tuple[Any, Any]:
    low = 0 if x.low <= 0 <= x.high else min(abs(x.low), abs(x.high))
    return low, max(abs(x.low), abs(x.high))


def _float_unary(f: str, x: Range, dtype: str) -> Range | None:
    if f in _INCREASING:
        return _increasing_range(f, x, dtype)
    if f in _EXACT:
        return Range(_at(_EXACT[f], x.low), _at(_EXACT[f], x.high), x.may_be_nan)
    if f == "negate":
        return Range(-x.high, -x.low, x.may_be_nan)
    if f == "abs":
        return Range(*_absolute(x), x.may_be_nan)
    if f in ("sine", "cosine"):
        return rounded(-1, 1, not is_finite_range(x), dtype)
    if f == "chlo.cosh":
        return rounded(1, INF, x.may_be_nan, dtype)
    if f == "rsqrt":
        # 1/√-0 = -∞, and -0 ≥ 0.
        low = 1 / math.sqrt(x.high) if 0 < x.high < INF else 0.0
        if x.low <= 0:
            return Range(-INF, INF, x.may_be_nan or x.low < 0)
        return rounded(low, _at(lambda v: 1 / np.sqrt(v), x.low), x.may_be_nan, dtype)
    if f == "is_finite":
        return TRUE if is_finite_range(x) else UNSURE
    return square(x, dtype) if f == "chlo.square" else None


def _integer_unary(f: str, x: Range, dtype: str) -> Range | None:
    if f == "not":
        return Range(1 - x.high, 1 - x.low) if dtype == "i1" else _complement(x, dtype)
    if f == "negate":
        return wrapped(-x.high, -x.low, dtype)
    if f == "abs":
        return wrapped(*_absolute(x), dtype)
    if f == "sign":
        return Range(int(x.low > 0) - int(x.low < 0), int(x.high > 0) - int(x.high < 0))
    if f in ("popcnt", "count_leading_zeros"):
        full = limits(dtype)
        return full and Range(0, (full.high - full.low + 1).bit_length() - 1)
    return square(x, dtype) if f == "chlo.square" else None


def _complement(x: Range, dtype: str) -> Range | None:
    full = limits(dtype)
    top = full.high if full and is_unsigned(dtype) else -1
    return Range(top - x.high, top - x.low)


@lru_cache(maxsize=1 << 14)
def unary_range(f: Any, x: Range, dtype: str) -> Range | None:
    """The range of f(x), for x of `dtype`; None if nothing is known."""
    if isinstance(f, tuple):
        return convert_range(x, dtype, f[1]) if f[0] == "convert" else None
    return _float_unary(f, x, dtype) if dtype in REALS else _integer_unary(f, x, dtype)


def convert_range(x: Range, source: str, target: str) -> Range | None:
    """The range of x of type `source` converted to `target`."""
    if limits(target) is None:
        return None
    if target == "i1":
        holds_zero = x.low <= 0 <= x.high
        is_zero = x.low == x.high == 0 and not x.may_be_nan
        return FALSE if is_zero else UNSURE if holds_zero else TRUE
    if target in REALS:
        is_short = source not in REALS and max(abs(x.low), abs(x.high)) <= 256
        low, high = float(x.low), float(x.high)
        return Range(low, high) if is_short else rounded(low, high, x.may_be_nan, target)
    if source in REALS:
        return wrapped(int(x.low), int(x.high), target) if is_finite_range(x) else None
    return wrapped(x.low, x.high, target)


# ------------------------------------------------------------------ functions of two operands


def _product(a: Any, b: Any) -> Any:
    return 0 if a == 0 or b == 0 else a * b


def _corners(x: Range, y: Range, f: Callable[[Any, Any], Any]) -> list[Any]:
    return [f(a, b) for a in (x.low, x.high) for b in (y.low, y.high)]


def _holds(r: Range, value: float) -> bool:
    return bool(r.low <= value <= r.high)


def _may_be_infinite(r: Range) -> bool:
    return bool(r.low == -INF or r.high == INF)


def square(x: Range, dtype: str) -> Range | None:
    """The range of x · x."""
    low, high = (v * v for v in _absolute(x))
    if dtype not in REALS:
        return wrapped(low, high, dtype)
    return rounded(low, high, x.may_be_nan, dtype)


def _sum(x: Range, y: Range, nan: bool, dtype: str) -> Range:
    opposite = (x.high == INF and y.low == -INF) or (x.low == -INF and y.high == INF)
    # ∞ - ∞ is NaN, and no number.
    low = -INF if -INF in (x.low, y.low) else x.low + y.low
    high = INF if INF in (x.high, y.high) else x.high + y.high
    return rounded(low, high, nan or opposite, dtype)


def _quotient(x: Range, y: Range, nan: bool, dtype: str) -> Range | None:
    if _holds(y, 0):
        # x / ±0 = ±∞, so that not even the sign is known.
        return None
    undefined = _may_be_infinite(x) and _may_be_infinite(y)
    quotients = _corners(x, y, lambda a, b: 0 if abs(b) == INF else a / b)
    return rounded(min(quotients), max(quotients), nan or undefined, dtype)


def _power(x: Range, y: Range, nan: bool) -> Range | None:
    even = y.low == y.high and not y.may_be_nan and y.low % 2 == 0 and y.low > 0
    # (-0)ʸ can be -∞ for negative y.
    if even or (is_finite_range(y) and (x.low > 0 or (x.low == 0 and y.low >= 0))):
        return Range(0.0, INF, nan)
    return None


def _float_binary(f: str, x: Range, y: Range, dtype: str) -> Range | None:
    nan = x.may_be_nan or y.may_be_nan
    if f == "add":
        return _sum(x, y, nan, dtype)
    if f == "subtract":
        return _sum(x, Range(-y.high, -y.low), nan, dtype)
    if f == "multiply":
        undefined = (_holds(x, 0) and _may_be_infinite(y)) or (_holds(y, 0) and _may_be_infinite(x))
        products = _corners(x, y, _product)
        return rounded(min(products), max(products), nan or undefined, dtype)
    if f == "divide":
        return _quotient(x, y, nan, dtype)
    if f == "maximum":
        return Range(max(x.low, y.low), max(x.high, y.high), nan)
    if f == "minimum":
        return Range(min(x.low, y.low), min(x.high, y.high), nan)
    if f == "remainder":
        return _float_remainder(x, y, nan, dtype)
    return _power(x, y, nan) if f == "power" else None


def _float_remainder(x: Range, y: Range, nan: bool, dtype: str) -> Range:
    """It has x's sign, and is less than y, both without their signs."""
    most = max(abs(y.low), abs(y.high))
    low, high = max(min(x.low, 0.0), -most), min(max(x.high, 0.0), most)
    return rounded(low, high, nan or _may_be_infinite(x) or _holds(y, 0), dtype)


def _truncated(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _bits(high: int) -> int:
    return (1 << int(high).bit_length()) - 1


def _integer_binary(f: str, x: Range, y: Range, dtype: str) -> Range | None:
    if f == "add":
        if dtype == "i1":
            return Range(max(x.low, y.low), max(x.high, y.high))
        return wrapped(x.low + y.low, x.high + y.high, dtype)
    if f == "subtract":
        return wrapped(x.low - y.high, x.high - y.low, dtype)
    if f in ("maximum", "minimum"):
        choose = max if f == "maximum" else min
        return Range(choose(x.low, y.low), choose(x.high, y.high))
    if f == "multiply":
        products = _corners(x, y, _product)
        return wrapped(min(products), max(products), dtype)
    if f == "divide" and not _holds(y, 0):
        quotients = _corners(x, y, _truncated)
        # x / y is extreme where y is: at its ends, which have one sign.
        return wrapped(min(quotients), max(quotients), dtype)
    if f == "remainder" and not _holds(y, 0):
        most = max(abs(y.low), abs(y.high)) - 1
        return Range(max(min(x.low, 0), -most), min(max(x.high, 0), most))
    # An arithmetic shift takes the highest bit of unsigned integers for a sign, too.
    return None if f == "shift_right_arithmetic" and is_unsigned(dtype) else _bitwise(f, x, y)


def _bitwise(f: str, x: Range, y: Range) -> Range | None:
    if f == "and" and max(x.low, y.low) >= 0:
        return Range(0, min(r.high for r in (x, y) if r.low >= 0))
    if min(x.low, y.low) < 0:
        return None
    if f in ("or", "xor"):
        low = max(x.low, y.low) if f == "or" else 0
        return Range(low, max(_bits(x.high), _bits(y.high)))
    if f in ("shift_right_logical", "shift_right_arithmetic"):
        return Range(x.low >> min(y.high, 64), x.high >> min(y.low, 64))
    return None


@lru_cache(maxsize=1 << 14)
def binary_range(f: Any, x: Range, y: Range, dtype: str) -> Range | None:
    """The range of f(x, y), for operands of `dtype`; None if nothing is known."""
    if isinstance(f, tuple):
        if f[0] != "compare" or f[2] == "TOTALORDER":
            return None
        may_hold, may_fail = outcomes(f[1], x, y)
        return Range(int(not may_fail), int(may_hold))
    return (_float_binary if dtype in REALS else _integer_binary)(f, x, y, dtype)


def outcomes(direction: str, x: Range, y: Range) -> tuple[bool, bool]:
    """Whether a comparison of elements may hold, and whether it may fail (as it does of NaN)."""
    nan = x.may_be_nan or y.may_be_nan
    if direction in ("GT", "GE"):
        direction, x, y = {"GT": "LT", "GE": "LE"}[direction], y, x
    if direction == "LT":
        return x.low < y.high, x.high >= y.low or nan
    if direction == "LE":
        return x.low <= y.high, x.high > y.low or nan
    may_be_equal = x.low <= y.high and y.low <= x.high
    may_differ = not x.low == x.high == y.low == y.high or nan
    return (may_be_equal, may_differ) if direction == "EQ" else (may_differ, may_be_equal)
