"""Remainders of floats by quotients: a library's loop of exact subtractions vectorises badly."""

from __future__ import annotations

from saturax.graph.build import Value
from saturax.graph.ops import (
    add,
    binary,
    compare,
    convert,
    divide,
    full_like,
    maximum,
    multiply,
    negate,
    select,
    subtract,
    unary,
)
from saturax.rules.rule import APPROXIMATE, need, rule


@rule(
    lambda x, y: binary("remainder", x, y),
    numerics=APPROXIMATE,
    source="x rem y = x - y·trunc(x / y); XLA:CPU calls fmod for each element, 5 times slower",
)
def remainder_by_quotient(x: Value, y: Value) -> Value | None:
    """x rem y = ±(a - b·⌊a / b⌋) with a = |x|, b = |y| and x's sign; moved into [0, b)"""
    # The quotient may round up to an integer, or below one: the remainder is then off by b, and
    # moved back. What remains is an error as of x rounded once more, which for quotients above
    # 2²⁴ (2⁵³) is larger than b: not a matter of rounding.
    need(x.dtype in ("f32", "f64"))
    a, b, zero = unary("abs", x), unary("abs", y), full_like(x, 0)
    r = subtract(a, multiply(b, unary("floor", divide(a, b))))
    r = select(compare(r, zero, "LT"), add(r, b), r)
    r = select(compare(r, b, "GE"), subtract(r, b), r)
    return select(compare(x, zero, "LT"), negate(r), r)


@rule(
    lambda x, y: binary("remainder", x, y),
    numerics=APPROXIMATE,
    source="x rem y = x - y·trunc(x / y), exactly in twice the precision",
)
def remainder_in_double_precision(x: Value, y: Value) -> Value | None:
    """x rem y = ±(a - b·round(a / b)) with a = |x|, b = |y|, plus b below 0, in f64; x, y f32"""
    # For a / b < 2²⁸ every step but the division is exact: b has 24 bits, the quotient 28, and
    # the difference is a multiple of the last place of b (or a), of at most b. The quotient may
    # be off by one at a half, however it is computed: at an integer it is right. Beyond 2²⁸ the
    # error is that of rounding x in its 53rd bit, and in the end larger than b, which is not a
    # matter of rounding; the remainder stays in [0, b). The first choice is for infinite y.
    need(x.dtype == "f32")
    a, b = (convert(unary("abs", z), "f64") for z in (x, y))
    zero = full_like(a, 0)
    r = subtract(a, multiply(b, unary("round_nearest_even", divide(a, b))))
    r = select(compare(r, zero, "LT"), add(r, b), r)
    r = select(compare(r, b, "GE"), zero, maximum(r, zero))
    r = select(compare(a, b, "LT"), a, r)
    return multiply(unary("sign", x), convert(r, "f32"))
