"""Remainders of floats by quotients: a library's loop of exact subtractions vectorises badly."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from saturax.facts.ranges import REALS
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import splat
from saturax.graph.ops import (
    add,
    binary,
    compare,
    convert,
    divide,
    full,
    full_like,
    maximum,
    minimum,
    multiply,
    negate,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, numpy_dtype
from saturax.rules.facts import bounds_of
from saturax.rules.rule import APPROXIMATE, BITWISE, need, rule

_MOST_STEPS = 3
"""Subtractions in place of a remainder: each costs a comparison and a choice, too."""


def _few_multiples(rng: np.random.Generator) -> dict[str, Any]:
    """A number within a few multiples of another."""
    shape = tuple(map(int, rng.integers(1, 4, 2)))
    type = TensorType(shape, str(rng.choice(["f16", "bf16", "f32", "f64"])))
    divisor = float(rng.choice([-1, 1]) * (1 + rng.integers(0, 64) / 64))
    most = abs(divisor) * (2.0 ** int(rng.integers(1, _MOST_STEPS + 1)) - 0.5)
    builder = GraphBuilder((type,))
    with building(builder):
        (x,) = builder.parameters
        bounded = minimum(
            maximum(multiply(x, full(divisor, type)), full(-most, type)), full(most, type)
        )
        return {"x": builder.finish([bounded]), "y": splat(divisor, type)}


def _steps(x: Value, y: Value) -> int:
    """The least k with |x| < 2ᵏ·|y|, by what is known of both; more than a few if none is known."""
    (low, high), (least, greatest) = bounds_of(x), bounds_of(y)
    most, divisor = max(abs(low), abs(high)), max(least, -greatest)
    info: Any = ml_dtypes.finfo(numpy_dtype(x.dtype))
    # Differences are multiples of the divisor's last place: smaller ones than the least normal
    # number are 0 where a processor flushes them.
    if not (math.isfinite(most) and divisor >= 2 * float(info.tiny) / float(info.eps)):
        return _MOST_STEPS + 1
    return next((k for k in range(_MOST_STEPS + 1) if most < 2**k * divisor), _MOST_STEPS + 1)


@rule(
    lambda x, y: binary("remainder", x, y),
    numerics=BITWISE,
    source="long division; each difference is exact (Sterbenz, Floating-Point Computation, 1974)",
    uses_facts=True,
    examples=_few_multiples,
)
def remainder_of_few_multiples(x: Value, y: Value) -> Value | None:
    """x rem y = x where |x| < |y|, else ±r with r = |x| less 2ʲ·|y| where r ≥ that, j = k-1 … 0,
    for |x| < 2ᵏ·|y|, k ≤ 3
    """
    need(x.dtype in REALS)
    steps = _steps(x, y)
    need(1 <= steps <= _MOST_STEPS)
    a, b = unary("abs", x), unary("abs", y)
    r = a
    for step in reversed(range(steps)):
        multiple = multiply(b, full_like(b, 2**step)) if step else b
        r = select(compare(r, multiple, "GE"), subtract(r, multiple), r)
    signed = select(compare(x, full_like(x, 0), "LT"), negate(r), r)
    return select(compare(a, b, "LT"), x, signed)


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
