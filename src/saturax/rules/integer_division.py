"""Quotients and remainders of integers: together, nested, rounded down, by powers of two."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    add,
    binary,
    compare,
    constant,
    divide,
    full_like,
    multiply,
    negate,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.rules.conditions import INTEGERS, is_all, need_variable
from saturax.rules.rule import BITWISE, Examples, need, rule

DIVISION = "division with remainder"
BITS = "two's complement arithmetic"
NESTED = "⌊⌊x⌋ / n⌋ = ⌊x / n⌋"


def _remainder(x: Any, y: Any) -> Any:
    return binary("remainder", x, y)


def _shifted(x: Any, n: Any) -> Any:
    return binary("shift_right_arithmetic", x, n)


def _exponent_of_two(c: Literal) -> int:
    """k where every element of the integer c is 2ᵏ; otherwise the rule does not apply."""
    need(c.type.dtype in INTEGERS and c.is_splat)
    value = int(c.value)
    need(value > 0 and value & (value - 1) == 0)
    return value.bit_length() - 1


@rule(
    lambda x, y: add(multiply(divide(x, y), y), _remainder(x, y)), numerics=BITWISE, source=DIVISION
)
def join_quotient_and_remainder(x: Value, y: Value) -> Value | None:
    """(x / y) · y + x rem y = x, integers"""
    need(x.dtype in INTEGERS)
    return x


@rule(lambda x, y: subtract(x, multiply(divide(x, y), y)), numerics=BITWISE, source=DIVISION)
def recognize_remainder(x: Value, y: Value) -> Value | None:
    """x - (x / y) · y = x rem y, integers"""
    need(x.dtype in INTEGERS)
    return _remainder(x, y)


@rule(lambda x, y: subtract(x, _remainder(x, y)), numerics=BITWISE, source=DIVISION)
def recognize_multiple(x: Value, y: Value) -> Value | None:
    """x - x rem y = (x / y) · y, integers"""
    need(x.dtype in INTEGERS)
    return multiply(divide(x, y), y)


@rule(lambda x, y: _remainder(_remainder(x, y), y), numerics=BITWISE, source=DIVISION)
def remainder_twice(x: Value, y: Value) -> Value | None:
    """(x rem y) rem y = x rem y, integers"""
    need(x.dtype in INTEGERS)
    return _remainder(x, y)


@rule(lambda x, c: _remainder(x, constant(c)), numerics=BITWISE, source=DIVISION)
def remainder_by_one(x: Value, c: Literal) -> Value | None:
    """x rem 1 = 0, integers"""
    need(x.dtype in INTEGERS and is_all(c, 1))
    return full_like(x, 0)


def _nested(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["i8", "ui8", "i32", "ui32"])))
    small = int(rng.integers(1, 8))
    return {"x": type, "c": splat(small * int(rng.integers(1, 8)), type), "d": splat(small, type)}


@rule(
    lambda x, c, d: divide(divide(x, constant(c)), constant(d)),
    numerics=BITWISE,
    source=DIVISION,
    uses_facts=True,
    examples=_nested,
)
def divide_twice(x: Value, c: Literal, d: Literal) -> Value | None:
    """(x / c) / d = x / (c · d) for positive constants whose product does not overflow; integers"""
    need_variable(x)
    need(x.dtype in INTEGERS and c.is_splat and d.is_splat)
    product = int(c.value) * int(d.value)
    need(int(c.value) > 0 and int(d.value) > 0 and product <= np.iinfo(c.data.dtype).max)
    return divide(x, full_like(x, product))


@rule(
    lambda x, c, d: _remainder(_remainder(x, constant(c)), constant(d)),
    numerics=BITWISE,
    source=DIVISION,
    uses_facts=True,
    examples=_nested,
)
def remainder_by_divisor(x: Value, c: Literal, d: Literal) -> Value | None:
    """(x rem c) rem d = x rem d where d divides c, constants, not 0; integers"""
    need_variable(x)
    need(x.dtype in INTEGERS and c.is_splat and d.is_splat and int(c.value) and int(d.value))
    need(int(c.value) % int(d.value) == 0 and int(c.value) > 0 and int(d.value) > 0)
    return _remainder(x, full_like(x, int(d.value)))


@rule(lambda x, c: divide(x, constant(c)), numerics=BITWISE, source=BITS)
def divide_by_minus_one(x: Value, c: Literal) -> Value | None:
    """x / (-1) = -x, signed"""
    need(x.dtype in INTEGERS and not is_unsigned(x.dtype) and is_all(c, -1))
    return negate(x)


# ------------------------------------------------------------------ rounding down


@rule(
    lambda p, x, y, o: add(
        multiply(select(p, subtract(divide(x, y), constant(o)), divide(x, y)), y),
        select(p, add(_remainder(x, y), y), _remainder(x, y)),
    ),
    numerics=BITWISE,
    source=DIVISION,
    examples=lambda rng: {"o": Literal(np.asarray(1, np.int32), (2, 3))},
)
def join_floored_quotient_and_remainder(p: Value, x: Value, y: Value, o: Literal) -> Value | None:
    """⌊x / y⌋ · y + x mod y = x, integers"""
    need(x.dtype in INTEGERS and is_all(o, 1))
    return x


def _floored(divisor_is_power: bool) -> Examples:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        type = TensorType((2, 3), str(rng.choice(["i8", "i32", "i64"])))
        divisor = 1 << int(rng.integers(0, 7)) if divisor_is_power else int(rng.integers(1, 100))
        constants = {"c": divisor, "e": 1, "z": 0, "o": 1}
        return {name: splat(value, type) for name, value in constants.items()} | {"x": type}

    return draw


@rule(
    lambda x, c, e, z, o, k: select(
        binary(
            "and",
            compare(unary("sign", x), constant(e), "NE", k),
            compare(_remainder(x, constant(c)), constant(z), "NE", k),
        ),
        subtract(divide(x, constant(c)), constant(o)),
        divide(x, constant(c)),
    ),
    numerics=BITWISE,
    source=BITS,
    examples=_floored(True),
)
def floored_quotient_by_shift(
    x: Value, c: Literal, e: Literal, z: Literal, o: Literal, k: Any
) -> Value | None:
    """⌊x / 2ᵏ⌋ = x » k, as (q - 1 where x < 0 and the remainder is not 0, else q); signed"""
    need(x.dtype in INTEGERS and not is_unsigned(x.dtype))
    need(is_all(e, 1) and is_all(z, 0) and is_all(o, 1))
    return _shifted(x, full_like(x, _exponent_of_two(c)))


def _inexact(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["i8", "i32", "i64"])))
    sign = int(rng.choice([-1, 1]))
    constants = {"c": sign * int(rng.integers(1, 100)), "e": sign, "z": 0}
    return {name: splat(value, type) for name, value in constants.items()} | {"x": type}


@rule(
    lambda x, c, e, z, k: binary(
        "and",
        compare(unary("sign", x), constant(e), "NE", k),
        compare(_remainder(x, constant(c)), constant(z), "NE", k),
    ),
    numerics=BITWISE,
    source="a remainder has the sign of the dividend",
    examples=_inexact,
)
def sign_of_remainder(x: Value, c: Literal, e: Literal, z: Literal, k: Any) -> Value | None:
    """sign x ≠ sign c ∧ x rem c ≠ 0 = x rem c < 0 for a splat c > 0, and > 0 for c < 0; signed"""
    need(x.dtype in INTEGERS and not is_unsigned(x.dtype) and is_all(z, 0))
    need(c.is_splat and c.value != 0 and is_all(e, 1 if c.value > 0 else -1))
    remainder = _remainder(x, constant(c))
    return compare(remainder, constant(z), "LT" if c.value > 0 else "GT", k)


# ------------------------------------------------------------------ rounding down, nested


def _floored_quotient(x: Any, c: Any, z: Any, o: Any, k: Any) -> Any:
    """⌊x / c⌋ for c > 0: one less where the remainder is negative."""
    quotient = divide(x, c)
    is_between = compare(_remainder(x, c), z, "LT", k)
    return select(is_between, subtract(quotient, o), quotient)


def _floored_by(x: Value, divisor: int) -> Any:
    """⌊x / divisor⌋, if the divisor fits the type."""
    need(0 < divisor <= np.iinfo(numpy_dtype(x.dtype)).max)
    z, o = full_like(x, 0), full_like(x, 1)
    return _floored_quotient(x, full_like(x, divisor), z, o, "SIGNED")


def _nested_floors(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["i8", "i32", "i64"])))
    c, d = (int(n) for n in rng.integers(1, 11, 2))
    constants = {"c": c, "d": d, "z": 0, "o": 1, "n": int(rng.integers(0, 4))}
    drawn = {name: splat(value, type) for name, value in constants.items()}
    return drawn | {"x": type, "k": "SIGNED"}


def _without(*names: str) -> Examples:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        return {k: v for k, v in _nested_floors(rng).items() if k not in names}

    return draw


def _need_floors(x: Value, z: Literal, o: Literal, *splats: Literal) -> None:
    need(x.dtype in INTEGERS and not is_unsigned(x.dtype))
    need(is_all(z, 0) and is_all(o, 1))
    need(all(c.is_splat and c.value > 0 for c in splats))


@rule(
    lambda x, c, d, z, o, k: _floored_quotient(
        _floored_quotient(x, constant(c), constant(z), constant(o), k),
        constant(d), constant(z), constant(o), k,
    ),
    numerics=BITWISE,
    source=NESTED,
    examples=_without("n"),
)  # fmt: skip
def floored_quotient_twice(
    x: Value, c: Literal, d: Literal, z: Literal, o: Literal, k: Any
) -> Value | None:
    """⌊⌊x / c⌋ / d⌋ = ⌊x / (c · d)⌋ for c, d > 0 whose product does not overflow; signed"""
    _need_floors(x, z, o, c, d)
    return _floored_by(x, int(c.value) * int(d.value))


@rule(
    lambda x, c, z, o, k, n: _shifted(
        _floored_quotient(x, constant(c), constant(z), constant(o), k), constant(n)
    ),
    numerics=BITWISE,
    source=NESTED,
    examples=_without("d"),
)
def shift_floored_quotient(
    x: Value, c: Literal, z: Literal, o: Literal, k: Any, n: Literal
) -> Value | None:
    """⌊x / c⌋ » n = ⌊x / (c · 2ⁿ)⌋ for c > 0 where that does not overflow; signed"""
    _need_floors(x, z, o, c)
    need(n.is_splat and 0 <= n.value < 64)
    return _floored_by(x, int(c.value) << int(n.value))


@rule(
    lambda x, n, c, z, o, k: _floored_quotient(
        _shifted(x, constant(n)), constant(c), constant(z), constant(o), k
    ),
    numerics=BITWISE,
    source=NESTED,
    examples=_without("d"),
)
def floored_quotient_of_shifted(
    x: Value, n: Literal, c: Literal, z: Literal, o: Literal, k: Any
) -> Value | None:
    """⌊(x » n) / c⌋ = ⌊x / (c · 2ⁿ)⌋ for c > 0 where that does not overflow; signed"""
    _need_floors(x, z, o, c)
    need(n.is_splat and 0 <= n.value < 64)
    return _floored_by(x, int(c.value) << int(n.value))
