"""Elementwise functions decided or simplified by what is known of their operands' ranges.

Nothing here grows: every right side is an operand, a constant, or as large as the left side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from saturax.facts.ranges import single_of
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import splat
from saturax.graph.ops import (
    add,
    binary,
    compare,
    constant,
    convert,
    divide,
    full,
    full_like,
    maximum,
    minimum,
    multiply,
    negate,
    reduce_,
    select,
    ternary,
    unary,
)
from saturax.graph.types import TensorType, is_integer, is_unsigned, numpy_dtype
from saturax.rules.conditions import INTEGERS, REALS, exactly, need_variable
from saturax.rules.facts import (
    bounds_of,
    constant_of,
    facts_of,
    is_nonnegative,
    is_nonpositive,
    is_nonzero,
    is_positive,
    never_nan,
    splat_of,
)
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, Rule, need, rule

BOUNDS = "bounds of the operands decide"
POWERS = "laws of powers of positive numbers"
BITS = "two's complement arithmetic"


def _is_discrete(dtype: str) -> bool:
    return dtype in INTEGERS or dtype == "i1"


# ------------------------------------------------------------------ only one value is possible


def bounded(type: TensorType, low: int, high: int) -> Graph:
    """An operand between two bounds."""
    builder = GraphBuilder((type,))
    with building(builder):
        value = minimum(maximum(builder.parameters[0], full(low, type)), full(high, type))
        return builder.finish([value])


def _decided(result: Value) -> Value:
    """The constant that a result is known to be: integers and Booleans."""
    value = single_of(facts_of(result))
    need(value is not None and _is_discrete(result.dtype))
    return full_like(result, np.array(value).astype(numpy_dtype(result.dtype)))


@rule(lambda x: unary("is_finite", x), numerics=BITWISE, source=BOUNDS, uses_facts=True)
def decide_finiteness(x: Value) -> Value | None:
    """is_finite x = true where x is known to be finite"""
    need_variable(x)
    return _decided(unary("is_finite", x))


@rule(lambda x, y, d, k: compare(x, y, d, k), numerics=BITWISE, source=BOUNDS, uses_facts=True)
def decide_comparison(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """x < y is true or false if the ranges of x and y do not overlap; other comparisons too"""
    need(constant_of(x) is None or constant_of(y) is None)
    return _decided(compare(x, y, d, k))


def _quotient_example(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["i8", "i32", "i64"])))
    divisor = int(rng.integers(5, 9)) * (1 if rng.random() < 0.5 else -1)
    return {"x": bounded(type, -int(rng.integers(0, 5)), 4), "y": splat(divisor, type)}


@rule(
    lambda x, y: divide(x, y),
    numerics=BITWISE,
    source=BOUNDS,
    uses_facts=True,
    examples=_quotient_example,
)
def decide_quotient(x: Value, y: Value) -> Value | None:
    """x / y is constant if the ranges admit one value only, such as 0 where |x| < |y|; integers"""
    need(constant_of(x) is None or constant_of(y) is None)
    return _decided(divide(x, y))


def _single_example(rng: np.random.Generator) -> dict[str, Any]:
    """A maximum or minimum of integers between equal bounds."""
    type = TensorType(tuple(map(int, rng.integers(1, 4, 2))), str(rng.choice(["i8", "i32"])))
    f = str(rng.choice(["add", "maximum", "minimum"]))
    return {"f": f, "x": bounded(type, 3, 3), "d": (int(rng.integers(0, 2)),)}


@rule(
    lambda f, x, d: reduce_(f, x, d),
    numerics=BITWISE,
    source=BOUNDS,
    uses_facts=True,
    examples=_single_example,
)
def decide_reduction(f: Any, x: Value, d: Any) -> Value | None:
    """A reduced value is constant if x's range admits one value only: integers"""
    need_variable(x)
    return _decided(reduce_(f, x, d))


@rule(lambda p, x, y: select(p, x, y), numerics=BITWISE, source=BOUNDS, uses_facts=True)
def select_decided(p: Value, x: Value, y: Value) -> Value | None:
    """x where p, else y is x or y if p is known"""
    low, high = bounds_of(p)
    need(low == high)
    return x if low else y


# ------------------------------------------------------------------ order


def _winner(f: str, x: Value, y: Value, *, in_bits: bool) -> Value:
    """The one of x and y that f always chooses, `in_bits` also if both are zeros."""
    for winner, other in ((x, y), (y, x)):
        lesser, greater = (other, winner) if f == "maximum" else (winner, other)
        top, bottom = bounds_of(lesser)[1], bounds_of(greater)[0]
        zeros_matter = in_bits and top == 0 and not _is_discrete(x.dtype)
        if never_nan(other) and (top < bottom or (top == bottom and not zeros_matter)):
            return winner
    need(False)
    raise AssertionError


def _drop_dominated(f: str, *, in_bits: bool) -> Rule:
    """The rule for f = maximum or minimum, where `in_bits` or up to the signs of zeros."""

    def right(x: Value, y: Value) -> Value | None:
        return _winner(f, x, y, in_bits=in_bits)

    sign = (">" if f == "maximum" else "<") if in_bits else ("≥" if f == "maximum" else "≤")
    right.__name__ = f"drop_dominated_in_{f}" + ("_exactly" if in_bits else "")
    right.__doc__ = f"{f[:3]}(x, y) = x where x {sign} y, if y is never NaN"
    return rule(
        lambda x, y: binary(f, x, y),
        numerics=BITWISE if in_bits else ROUNDING,
        source=BOUNDS,
        uses_facts=True,
    )(right)


drop_dominated_in_maximum = _drop_dominated("maximum", in_bits=False)
drop_dominated_in_maximum_exactly = _drop_dominated("maximum", in_bits=True)
drop_dominated_in_minimum = _drop_dominated("minimum", in_bits=False)
drop_dominated_in_minimum_exactly = _drop_dominated("minimum", in_bits=True)


@rule(lambda x, y, z: ternary("clamp", x, y, z), numerics=BITWISE, source=BOUNDS, uses_facts=True)
def drop_clamp(x: Value, y: Value, z: Value) -> Value | None:
    """clamp(x, y, z) = y where x ≤ y ≤ z; integers"""
    need(y.dtype in INTEGERS)
    need(bounds_of(x)[1] <= bounds_of(y)[0] and bounds_of(y)[1] <= bounds_of(z)[0])
    return y


# ------------------------------------------------------------------ signs


@rule(lambda x: unary("abs", x), numerics=ROUNDING, source=BOUNDS, uses_facts=True)
def drop_absolute(x: Value) -> Value | None:
    """|x| = x where x ≥ 0, and -x where x ≤ 0; not complex"""
    need(x.dtype in REALS or x.dtype in INTEGERS)
    if is_nonnegative(x):
        return x
    need(is_nonpositive(x))
    return negate(x)


drop_absolute_exactly = exactly(drop_absolute, lambda x: is_integer(x.dtype))


@rule(lambda x: unary("sign", x), numerics=BITWISE, source=BOUNDS, uses_facts=True)
def decide_sign(x: Value) -> Value | None:
    """sign x = 1 where x > 0, and -1 where x < 0; real, never NaN"""
    need(x.dtype in REALS and never_nan(x) and is_nonzero(x))
    return full_like(x, 1 if is_positive(x) else -1)


def _square_plus_one(rng: np.random.Generator) -> dict[str, Graph]:
    """x² + 1, or what is less than 0 by it: NaN if x is."""
    builder = GraphBuilder((TensorType((3,), "f32"),))
    with building(builder):
        (x,) = builder.parameters
        value = binary("add", binary("multiply", x, x), full_like(x, 1))
        return {"x": builder.finish([value if rng.random() < 0.5 else negate(value)])}


@rule(
    lambda x: unary("sign", x),
    numerics=FINITE,
    source=BOUNDS,
    uses_facts=True,
    examples=_square_plus_one,
)
def decide_sign_of_numbers(x: Value) -> Value | None:
    """sign x = 1 where x > 0 or NaN, and -1 where x < 0 or NaN; real"""
    need(x.dtype in REALS and is_nonzero(x) and not never_nan(x))
    return full_like(x, 1 if is_positive(x) else -1)


# ------------------------------------------------------------------ integers


@rule(lambda x, y: binary("remainder", x, y), numerics=BITWISE, source=BOUNDS, uses_facts=True)
def drop_remainder(x: Value, y: Value) -> Value | None:
    """x mod y = x where |x| < |y|, integers"""
    need(x.dtype in INTEGERS and is_nonzero(y))
    least = min(map(abs, bounds_of(y)))
    need(max(map(abs, bounds_of(x))) < least)
    return x


def _power_of_two(x: Value) -> int:
    """k where x is known to be 2ᵏ, k > 0."""
    value = splat_of(x)
    need(value is not None and x.dtype in INTEGERS and int(value) > 1)
    need(int(value) & (int(value) - 1) == 0)
    return int(value).bit_length() - 1


def _division_example(rng: np.random.Generator) -> dict[str, Any]:
    """A number that is not negative, and a power of two."""
    type = TensorType((2, 3), str(rng.choice(["i8", "i32", "i64"])))
    return {"x": bounded(type, 0, 100), "y": splat(1 << int(rng.integers(1, 6)), type)}


def _need_nonnegative(x: Value) -> None:
    need(x.dtype in INTEGERS and not is_unsigned(x.dtype))
    need(constant_of(x) is None and is_nonnegative(x))


@rule(
    lambda x, y: divide(x, y),
    numerics=BITWISE,
    source=BITS,
    uses_facts=True,
    examples=_division_example,
)
def divide_nonnegative_by_shift(x: Value, y: Value) -> Value | None:
    """x / 2ᵏ = x » k where x ≥ 0, signed integers"""
    _need_nonnegative(x)
    return binary("shift_right_logical", x, full_like(x, _power_of_two(y)))


@rule(
    lambda x, y: binary("remainder", x, y),
    numerics=BITWISE,
    source=BITS,
    uses_facts=True,
    examples=_division_example,
)
def nonnegative_remainder_by_mask(x: Value, y: Value) -> Value | None:
    """x mod 2ᵏ = x ∧ (2ᵏ - 1) where x ≥ 0, signed integers"""
    _need_nonnegative(x)
    return binary("and", x, full_like(x, (1 << _power_of_two(y)) - 1))


@rule(lambda x, y: binary("and", x, y), numerics=BITWISE, source=BITS, uses_facts=True)
def drop_mask(x: Value, y: Value) -> Value | None:
    """x ∧ (2ᵏ - 1) = x where 0 ≤ x < 2ᵏ, integers"""
    mask, (low, high) = splat_of(y), bounds_of(x)
    need(mask is not None and x.dtype in INTEGERS and int(mask) & (int(mask) + 1) == 0)
    need(low >= 0 and high <= int(mask))
    return x


@rule(lambda x, s, t: convert(convert(x, s), t), numerics=BITWISE, source=BITS, uses_facts=True)
def convert_there_and_on(x: Value, s: Any, t: Any) -> Value | None:
    """t(s(x)) = t(x) where integer type s holds all that the integers x can be"""
    need(x.dtype in INTEGERS and s in INTEGERS and (t in INTEGERS or t in REALS))
    limits, (low, high) = np.iinfo(numpy_dtype(s)), bounds_of(x)
    need(limits.min <= low and high <= limits.max)
    return convert(x, t)


@rule(
    lambda x, y, s, d, k: compare(convert(x, s), convert(y, s), d, k),
    numerics=BITWISE,
    source=BITS,
    uses_facts=True,
)
def compare_before_convert(x: Value, y: Value, s: Any, d: Any, k: Any) -> Value | None:
    """(s(x) < s(y)) = (x < y) and so on where integer type s holds all that the integers can be"""
    need(x.dtype in INTEGERS and s in INTEGERS and x.dtype == y.dtype)
    limits = np.iinfo(numpy_dtype(s))
    need(all(limits.min <= low and high <= limits.max for low, high in map(bounds_of, (x, y))))
    return compare(x, y, d, "UNSIGNED" if is_unsigned(x.dtype) else "SIGNED")


_DECIDED: dict[str, Callable[[float, float, float, float], bool | None]] = {
    "LT": lambda a, b, c, e: True if b < c else False if a >= e else None,
    "LE": lambda a, b, c, e: True if b <= c else False if a > e else None,
    "EQ": lambda a, b, c, e: False if b < c or a > e else None,
}
"""What a comparison of a number from [a, b] with one from [c, e] gives, if that is certain."""

_OPPOSITE = {"GE": "LT", "GT": "LE", "NE": "EQ"}


def _computed(rng: np.random.Generator) -> dict[str, Any]:
    """A number of at least 1 that may be NaN by its bounds, and a constant below it."""
    type = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    builder = GraphBuilder((type,))
    with building(builder):
        x = builder.parameters[0]
        y = add(multiply(x, x), full_like(x, 1))
        found = builder.finish([unary("sqrt", y)])
    bound, d = splat(int(rng.integers(-2, 1)), type), str(rng.choice(["LT", "GE", "EQ", "NE"]))
    builder = GraphBuilder(())
    with building(builder):
        below = builder.finish([constant(bound)])
    return {"x": found, "y": below, "d": d, "k": "FLOAT"}


@rule(
    lambda x, y, d, k: compare(x, y, d, k),
    numerics=FINITE,
    source=BOUNDS,
    uses_facts=True,
    examples=_computed,
)
def compare_numbers_by_bounds(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """x < y is true or false if the bounds of x and y decide it, for floats that are numbers"""
    need(x.dtype in REALS and k == "FLOAT" and x.size > 0)
    found = _DECIDED[_OPPOSITE.get(d, d)](*bounds_of(x), *bounds_of(y))
    need(found is not None)
    return full(found != (d in _OPPOSITE), x.tensor.with_dtype("i1"))
