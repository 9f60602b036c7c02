"""Remainders of floats by quotients: a library's loop of exact subtractions vectorises badly."""

from __future__ import annotations

from saturax.graph.build import Value
from saturax.graph.ops import (
    add,
    binary,
    compare,
    divide,
    full_like,
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
