"""Comparisons and quotients of integers whose sums and products are known not to wrap around."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import add, binary, compare, constant, convert, divide, full_like, multiply
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.rules.conditions import INTEGERS, need_variable
from saturax.rules.facts import bounds_of, is_nonnegative
from saturax.rules.known_ranges import bounded
from saturax.rules.rule import BITWISE, need, rule

INTEGER_ORDER = "integers without overflow are ordered like ℤ"
DIVISION = "division with remainder"


def _limits(dtype: str) -> tuple[int, int]:
    limits = np.iinfo(numpy_dtype(dtype))
    return int(limits.min), int(limits.max)


def _number(c: Literal, dtype: str) -> int:
    """The integer that all elements of c are; otherwise the rule does not apply."""
    need(dtype in INTEGERS and c.is_splat)
    return int(c.value)


def _need_within(dtype: str, *numbers: int) -> None:
    """Go on where the type holds the numbers."""
    low, high = _limits(dtype)
    need(all(low <= number <= high for number in numbers))


def _scaled_bounds(x: Value, factor: int) -> tuple[int, int]:
    low, high = bounds_of(x)
    return int(low) * factor, int(high) * factor


def _small(rng: np.random.Generator) -> dict[str, Any]:
    """A number from 0 to 10, and small constants."""
    type = TensorType((2, 3), str(rng.choice(["i8", "ui8", "i32", "i64"])))
    c = 1 << int(rng.integers(0, 3)) if rng.random() < 0.5 else int(rng.integers(1, 6))
    d = c * int(rng.integers(1, 3)) if rng.random() < 0.5 else int(rng.integers(1, 6))
    constants = {"c": splat(c, type), "d": splat(d, type), "e": splat(rng.integers(0, 50), type)}
    return {"x": bounded(type, 0, 10), "y": bounded(type, 0, 10), **constants}


# ------------------------------------------------------------------ comparisons


@rule(
    lambda x, c, e, d, k: compare(add(x, constant(c)), constant(e), d, k),
    numerics=BITWISE,
    source=INTEGER_ORDER,
    uses_facts=True,
    examples=lambda rng: {n: v for n, v in _small(rng).items() if n in "xce"},
)
def compare_bounded_sum(x: Value, c: Literal, e: Literal, d: Any, k: Any) -> Value | None:
    """(x + c < e) = (x < e - c) and so on, integers, where x + c does not wrap around"""
    need_variable(x)
    added, bound = _number(c, x.dtype), _number(e, x.dtype)
    _need_within(x.dtype, *(int(n) + added for n in bounds_of(x)), bound - added)
    return compare(x, full_like(x, bound - added), d, k)


@rule(
    lambda x, y, c, d, k: compare(add(x, constant(c)), add(y, constant(c)), d, k),
    numerics=BITWISE,
    source=INTEGER_ORDER,
    uses_facts=True,
    examples=lambda rng: {n: v for n, v in _small(rng).items() if n in "xyc"},
)
def compare_bounded_sums(x: Value, y: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """(x + c < y + c) = (x < y) and so on, integers, where neither sum wraps around"""
    need_variable(x, y)
    added = _number(c, x.dtype)
    _need_within(x.dtype, *(int(n) + added for n in (*bounds_of(x), *bounds_of(y))))
    return compare(x, y, d, k)


@rule(
    lambda x, y, c, d, k: compare(multiply(x, constant(c)), multiply(y, constant(c)), d, k),
    numerics=BITWISE,
    source=INTEGER_ORDER,
    uses_facts=True,
    examples=lambda rng: {n: v for n, v in _small(rng).items() if n in "xyc"},
)
def compare_bounded_products(x: Value, y: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """(x · c < y · c) = (x < y) and so on for c > 0, integers, where neither product wraps"""
    need_variable(x, y)
    factor = _number(c, x.dtype)
    need(factor > 0)
    _need_within(x.dtype, *_scaled_bounds(x, factor), *_scaled_bounds(y, factor))
    return compare(x, y, d, k)


def _quotient_compared(x: Value, bound: int, factor: int, d: str, k: str) -> Value:
    """x · factor compared with a bound, over ℤ, for a positive factor."""
    lower, upper = bound // factor, -(-bound // factor)
    if lower != upper and d in ("EQ", "NE"):
        return full_like(compare(x, x, d, k), d == "NE")
    limit = upper if d in ("LT", "GE") else lower
    _need_within(x.dtype, limit)
    compared: Value = compare(x, full_like(x, limit), d, k)
    return compared


@rule(
    lambda x, c, e, d, k: compare(multiply(x, constant(c)), constant(e), d, k),
    numerics=BITWISE,
    source=INTEGER_ORDER,
    uses_facts=True,
    examples=lambda rng: {n: v for n, v in _small(rng).items() if n in "xce"},
)
def compare_bounded_product(x: Value, c: Literal, e: Literal, d: Any, k: Any) -> Value | None:
    """(x · c < e) = (x < ⌈e / c⌉) and so on for c > 0, integers, where x · c does not wrap"""
    need_variable(x)
    factor, bound = _number(c, x.dtype), _number(e, x.dtype)
    need(factor > 1)
    _need_within(x.dtype, *_scaled_bounds(x, factor))
    return _quotient_compared(x, bound, factor, d, k)


def _floored(f: Any, x: Value, c: Literal) -> int:
    """n where f(x, c) = ⌊x / n⌋; otherwise the rule does not apply."""
    number = _number(c, x.dtype)
    if f == "divide":
        need(number > 1 and is_nonnegative(x))
        return number
    need(f in ("shift_right_logical", "shift_right_arithmetic"))
    need(0 < number < 8 * numpy_dtype(x.dtype).itemsize)
    need(is_nonnegative(x) or (f == "shift_right_arithmetic" and not is_unsigned(x.dtype)))
    return 1 << number


def _quotients(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _small(rng)
    type = drawn["c"].type
    is_shift = rng.random() < 0.6
    f = str(rng.choice(["shift_right_arithmetic", "shift_right_logical"])) if is_shift else "divide"
    if f == "shift_right_arithmetic" and not is_unsigned(type.dtype):
        width = 8 * numpy_dtype(type.dtype).itemsize
        sign = splat(width - 1, type), splat(-int(rng.integers(0, 2)), type)
        return {"f": f, "x": type, "c": sign[0], "e": sign[1]}
    return {"f": f, "x": drawn["x"], "c": splat(rng.integers(2, 4), type), "e": drawn["e"]}


@rule(
    lambda f, x, c, e, d, k: compare(binary(f, x, constant(c)), constant(e), d, k),
    numerics=BITWISE,
    source=DIVISION,
    uses_facts=True,
    examples=_quotients,
)
def compare_quotient(f: Any, x: Value, c: Literal, e: Literal, d: Any, k: Any) -> Value | None:
    """(⌊x / n⌋ < e) = (x < e · n) and so on for n > 0, integers; = 0 and = -1 by the sign of x"""
    need(f in ("divide", "shift_right_logical", "shift_right_arithmetic"))
    need_variable(x)
    divisor, bound = _floored(f, x, c), _number(e, x.dtype)
    low, high = bounds_of(x)
    first, last = bound * divisor, bound * divisor + divisor - 1
    if d in ("EQ", "NE"):
        # ⌊x / n⌋ = e is first ≤ x ≤ last, of which one bound holds anyway.
        need(first <= low or high <= last)
        opposite = d == "NE"
        if first <= low:
            d, first = ("GT", last) if opposite else ("LE", last)
        else:
            d = "LT" if opposite else "GE"
        _need_within(x.dtype, first)
        return compare(x, full_like(x, first), d, k)
    limit = first if d in ("LT", "GE") else last
    _need_within(x.dtype, limit)
    return compare(x, full_like(x, limit), d, k)


@rule(
    lambda x, s, e, d, k: compare(convert(x, s), constant(e), d, k),
    numerics=BITWISE,
    source=INTEGER_ORDER,
    uses_facts=True,
    examples=lambda rng: {
        "x": TensorType((2, 3), str(rng.choice(["i8", "ui8"]))),
        "s": "i32",
        "e": splat(rng.integers(0, 127), TensorType((2, 3), "i32")),
    },
)
def compare_converted_with_constant(x: Value, s: Any, e: Literal, d: Any, k: Any) -> Value | None:
    """(s(x) < e) = (x < e) and so on where integer types hold all of x, and e"""
    need(x.dtype in INTEGERS and s in INTEGERS)
    bound = _number(e, s)
    _need_within(s, *map(int, bounds_of(x)))
    _need_within(x.dtype, bound)
    kind = "UNSIGNED" if is_unsigned(x.dtype) else "SIGNED"
    return compare(x, full_like(x, bound), d, kind)


_EXACT = {"f16": 1 << 11, "bf16": 1 << 8, "f32": 1 << 24, "f64": 1 << 53}
"""Up to which magnitude each type of floats has all integers."""


def _holds(s: str, least: int, most: int) -> bool:
    """Whether each integer from `least` to `most` is a number of its own in the type s."""
    if s in _EXACT:
        return max(-least, most) <= _EXACT[s]
    low, high = _limits(s) if s in INTEGERS else (0, -1)
    return low <= least and most <= high


@rule(
    lambda x, y, s, d, k: compare(convert(x, s), convert(y, s), d, k),
    numerics=BITWISE,
    source="conversions that are exact preserve order",
    uses_facts=True,
    examples=lambda rng: (
        dict.fromkeys("xy", TensorType((2, 3), str(rng.choice(["i8", "ui8"]))))
        | {"s": str(rng.choice(["i32", "f32", "f64"]))}
    ),
)
def compare_converted(x: Value, y: Value, s: Any, d: Any, k: Any) -> Value | None:
    """(s(x) < s(y)) = (x < y) and so on for integers x and y of one type that s holds"""
    need(x.dtype in INTEGERS and x.dtype == y.dtype and k != "TOTALORDER")
    need(all(_holds(s, *map(int, bounds_of(z))) for z in (x, y)))
    return compare(x, y, d, "UNSIGNED" if is_unsigned(x.dtype) else "SIGNED")


# ------------------------------------------------------------------ quotients and remainders


@rule(
    lambda x, c, d: divide(multiply(x, constant(c)), constant(d)),
    numerics=BITWISE,
    source=DIVISION,
    uses_facts=True,
    examples=lambda rng: {n: v for n, v in _small(rng).items() if n in "xcd"},
)
def divide_bounded_product(x: Value, c: Literal, d: Literal) -> Value | None:
    """x · c / d = x · (c / d) or x / (d / c), as one divides the other; x · c does not wrap"""
    need_variable(x)
    factor, divisor = _number(c, x.dtype), _number(d, x.dtype)
    need(factor > 0 and divisor > 0)
    _need_within(x.dtype, *_scaled_bounds(x, factor))
    if factor % divisor == 0:
        return multiply(x, full_like(x, factor // divisor)) if factor != divisor else x
    need(divisor % factor == 0)
    return divide(x, full_like(x, divisor // factor))


def _packed(rng: np.random.Generator) -> dict[str, Any]:
    f = str(rng.choice(["divide", "remainder"]))
    type = TensorType((2, 3), str(rng.choice(["i8", "ui8", "i32", "i64"])))
    divisor = int(rng.integers(2, 6))
    factor = divisor * int(rng.integers(1, 3))
    constants = {"c": splat(factor, type), "d": splat(divisor, type)}
    return {"f": f, "x": bounded(type, 0, 10), "y": bounded(type, 0, 7), **constants}


@rule(
    lambda f, x, y, c, d: binary(f, add(multiply(x, constant(c)), y), constant(d)),
    numerics=BITWISE,
    source=DIVISION,
    uses_facts=True,
    examples=_packed,
)
def divide_bounded_sum(f: Any, x: Value, y: Value, c: Literal, d: Literal) -> Value | None:
    """(x·c + y) / d = x · (c / d) + y / d and (x·c + y) rem d = y rem d, d dividing c; all ≥ 0"""
    need(f in ("divide", "remainder"))
    need_variable(x, y)
    factor, divisor = _number(c, x.dtype), _number(d, x.dtype)
    need(factor > 0 and divisor > 0 and factor % divisor == 0)
    need(is_nonnegative(x) and is_nonnegative(y))
    _need_within(x.dtype, int(bounds_of(x)[1]) * factor + int(bounds_of(y)[1]))
    rest = binary(f, y, full_like(y, divisor))
    if f == "remainder":
        return rest
    whole = multiply(x, full_like(x, factor // divisor)) if factor != divisor else x
    return add(whole, rest)
