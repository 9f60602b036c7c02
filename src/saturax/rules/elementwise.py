"""Arithmetic, element by element: neutral and absorbing elements, cancellation, signs.

Other elementwise families: `distribution`, `transcendental`, `selection`, `logic`, `conversion`.
Binary functions that commute are matched in both operand orders, so no rule has a mirror image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    add,
    binary,
    constant,
    convert,
    divide,
    full_like,
    identity_value,
    multiply,
    negate,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_complex, is_float, is_unsigned
from saturax.rules.conditions import (
    INTEGERS,
    REALS,
    folded,
    for_integers,
    is_all,
    need_variable,
)
from saturax.rules.facts import is_splat
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

RING = "ring axioms"
IEEE = "IEEE 754-2019"

# ------------------------------------------------------------------ neutral and absorbing elements


@rule(lambda f, x, c: binary(f, x, constant(c)), numerics=BITWISE, source=IEEE)
def drop_identity(f: Any, x: Value, c: Literal) -> Value | None:
    """f(x, e) = x for f's neutral e: -0.0 of sums, 1 of products, -∞ of maxima, …; not complex"""
    need(f in ("add", "multiply", "maximum", "minimum", "and", "or") and not is_complex(x.dtype))
    need(x.dtype in REALS or not is_float(x.dtype))
    neutral = -0.0 if f == "add" and x.dtype in REALS else identity_value(f, x.dtype)
    need(is_splat(c, neutral))
    return x


@rule(lambda x, c: add(x, constant(c)), numerics=ROUNDING, source=RING)
def drop_zero_addend(x: Value, c: Literal) -> Value | None:
    """x + 0 = x (in bits, -0.0 + 0.0 = 0.0)"""
    need(is_all(c, 0.0))
    return x


@rule(lambda x, c: divide(x, constant(c)), numerics=BITWISE, source=IEEE)
def drop_unit_divisor(x: Value, c: Literal) -> Value | None:
    """x / 1 = x"""
    need(is_all(c, 1.0))
    return x


@rule(lambda x, c: multiply(x, constant(c)), numerics=FINITE, source=RING)
def multiply_by_zero(x: Value, c: Literal) -> Value | None:
    """x · 0 = 0"""
    need(is_all(c, 0.0))
    return full_like(x, 0)


multiply_by_zero_exactly = for_integers(multiply_by_zero)


@rule(lambda x, c: multiply(x, constant(c)), numerics=BITWISE, source=IEEE)
def multiply_by_minus_one(x: Value, c: Literal) -> Value | None:
    """x · (-1) = -x"""
    need(x.dtype in REALS or (x.dtype in INTEGERS and not is_unsigned(x.dtype)))
    need(is_splat(c, -1))
    return negate(x)


@rule(lambda x: add(x, x), numerics=BITWISE, source=IEEE, uses_facts=True)
def double(x: Value) -> Value | None:
    """x + x = 2x"""
    need_variable(x)
    need(x.dtype in REALS or x.dtype in INTEGERS)
    return multiply(x, full_like(x, 2))


@rule(lambda x: subtract(x, x), numerics=FINITE, source=RING)
def subtract_self(x: Value) -> Value | None:
    """x - x = 0"""
    return full_like(x, 0)


subtract_self_exactly = for_integers(subtract_self)


@rule(lambda x, y: subtract(add(x, y), y), numerics=FINITE, source=RING)
def cancel_addend(x: Value, y: Value) -> Value | None:
    """(x + y) - y = x"""
    return x


cancel_addend_exactly = for_integers(cancel_addend)


@rule(lambda x, y: add(subtract(x, y), y), numerics=FINITE, source=RING)
def cancel_subtrahend(x: Value, y: Value) -> Value | None:
    """(x - y) + y = x"""
    return x


cancel_subtrahend_exactly = for_integers(cancel_subtrahend)


@rule(lambda x, y: subtract(x, subtract(x, y)), numerics=FINITE, source=RING)
def subtract_difference_from_minuend(x: Value, y: Value) -> Value | None:
    """x - (x - y) = y"""
    return y


subtract_difference_from_minuend_exactly = for_integers(subtract_difference_from_minuend)

# ------------------------------------------------------------------ signs


@rule(lambda x: negate(negate(x)), numerics=BITWISE, source=IEEE)
def negate_twice(x: Value) -> Value | None:
    """-(-x) = x"""
    return x


@rule(lambda x, c: subtract(x, constant(c)), numerics=BITWISE, source=IEEE)
def subtract_constant(x: Value, c: Literal) -> Value | None:
    """x - c = x + (-c)"""
    need(x.dtype in REALS or x.dtype in INTEGERS)
    return add(x, constant(folded("negate", c)))


@rule(lambda x, c: subtract(constant(c), x), numerics=BITWISE, source=IEEE)
def subtract_from_negative_zero(x: Value, c: Literal) -> Value | None:
    """-0.0 - x = -x; on integers 0 - x = -x"""
    need(x.dtype in REALS or x.dtype in INTEGERS)
    need(is_splat(c, -0.0 if x.dtype in REALS else 0))
    return negate(x)


@rule(lambda x, c: subtract(constant(c), x), numerics=ROUNDING, source=RING)
def subtract_from_zero(x: Value, c: Literal) -> Value | None:
    """0 - x = -x (in bits, 0.0 - 0.0 = 0.0)"""
    need(is_all(c, 0.0))
    return negate(x)


@rule(lambda x, y: add(x, negate(y)), numerics=BITWISE, source=IEEE)
def add_negated(x: Value, y: Value) -> Value | None:
    """x + (-y) = x - y"""
    return subtract(x, y)


@rule(lambda x, y: subtract(x, negate(y)), numerics=BITWISE, source=IEEE)
def subtract_negated(x: Value, y: Value) -> Value | None:
    """x - (-y) = x + y"""
    return add(x, y)


@rule(lambda x, y: subtract(negate(x), y), numerics=ROUNDING, source=RING)
def subtract_from_negated(x: Value, y: Value) -> Value | None:
    """-x - y = -(x + y)"""
    return negate(add(x, y))


subtract_from_negated_exactly = for_integers(subtract_from_negated)


@rule(lambda x, y: negate(subtract(x, y)), numerics=ROUNDING, source=RING)
def negate_difference(x: Value, y: Value) -> Value | None:
    """-(x - y) = y - x"""
    return subtract(y, x)


negate_difference_exactly = for_integers(negate_difference)


@rule(lambda x, y: multiply(negate(x), y), numerics=BITWISE, source=IEEE)
def multiply_negated(x: Value, y: Value) -> Value | None:
    """(-x) · y = -(x · y), not complex"""
    need(not is_complex(x.dtype))
    return negate(multiply(x, y))


@rule(lambda x, y: divide(negate(x), y), numerics=BITWISE, source=IEEE)
def divide_negated(x: Value, y: Value) -> Value | None:
    """(-x) / y = -(x / y), x real"""
    need(x.dtype in REALS)
    return negate(divide(x, y))


@rule(lambda x, y: divide(x, negate(y)), numerics=BITWISE, source=IEEE)
def divide_by_negated(x: Value, y: Value) -> Value | None:
    """x / (-y) = -(x / y), x real"""
    need(x.dtype in REALS)
    return negate(divide(x, y))


@rule(lambda x, c: negate(multiply(x, constant(c))), numerics=BITWISE, source=IEEE)
def negate_factor(x: Value, c: Literal) -> Value | None:
    """-(x · c) = x · (-c), c not 0; not complex"""
    need(not is_all(c, 0))
    need(x.dtype in REALS or x.dtype in INTEGERS)
    return multiply(x, constant(folded("negate", c)))


@rule(lambda x, c: negate(add(x, constant(c))), numerics=ROUNDING, source=RING)
def negate_addend(x: Value, c: Literal) -> Value | None:
    """-(x + c) = (-c) - x"""
    need(x.dtype in REALS or x.dtype in INTEGERS)
    return subtract(constant(folded("negate", c)), x)


negate_addend_exactly = for_integers(negate_addend)


@rule(lambda x, c: negate(divide(constant(c), x)), numerics=BITWISE, source=IEEE)
def negate_dividend(x: Value, c: Literal) -> Value | None:
    """-(c / x) = (-c) / x, x real"""
    need(x.dtype in REALS)
    return divide(constant(folded("negate", c)), x)


@rule(lambda x: unary("abs", negate(x)), numerics=BITWISE, source=IEEE)
def absolute_of_negated(x: Value) -> Value | None:
    """|-x| = |x|"""
    return unary("abs", x)


@rule(lambda f, x: unary("abs", unary(f, x)), numerics=BITWISE, source=IEEE)
def absolute_of_nonnegative(f: Any, x: Value) -> Value | None:
    """|f(x)| = f(x) where f ≥ 0: exp, logistic, |·|"""
    need(f in ("abs", "exponential", "logistic") and (f == "abs" or not is_complex(x.dtype)))
    return unary(f, x)


@rule(lambda x: multiply(unary("abs", x), unary("abs", x)), numerics=BITWISE, source=IEEE)
def square_of_absolute(x: Value) -> Value | None:
    """|x| · |x| = x · x, not complex"""
    need(not is_complex(x.dtype))
    return multiply(x, x)


@rule(lambda x: unary("abs", multiply(x, x)), numerics=BITWISE, source=IEEE)
def absolute_of_square(x: Value) -> Value | None:
    """|x · x| = x · x, x real"""
    need(x.dtype in REALS)
    return multiply(x, x)


@rule(lambda x, y: multiply(unary("abs", x), unary("abs", y)), numerics=BITWISE, source=IEEE)
def product_of_absolutes(x: Value, y: Value) -> Value | None:
    """|x| · |y| = |x · y|, x and y real"""
    need(x.dtype in REALS and y.dtype == x.dtype)
    return unary("abs", multiply(x, y))


@rule(lambda x: multiply(x, unary("sign", x)), numerics=BITWISE, source=IEEE)
def multiply_by_own_sign(x: Value) -> Value | None:
    """x · sign x = |x|, not complex"""
    need(x.dtype in REALS or (x.dtype in INTEGERS and not is_unsigned(x.dtype)))
    return unary("abs", x)


@rule(lambda x: multiply(unary("abs", x), unary("sign", x)), numerics=BITWISE, source=IEEE)
def restore_sign(x: Value) -> Value | None:
    """|x| · sign x = x, not complex"""
    need(x.dtype in REALS or (x.dtype in INTEGERS and not is_unsigned(x.dtype)))
    return x


@rule(lambda f, x: unary(f, negate(x)), numerics=BITWISE, source="IEEE 754-2019, roundToIntegral")
def round_negated(f: Any, x: Value) -> Value | None:
    """⌊-x⌋ = -⌈x⌉, ⌈-x⌉ = -⌊x⌋, and round(-x) = -round(x) to the nearest"""
    need(f in _MIRRORED)
    return negate(unary(_MIRRORED[f], x))


_MIRRORED = {
    "floor": "ceil",
    "ceil": "floor",
    "round_nearest_even": "round_nearest_even",
    "round_nearest_afz": "round_nearest_afz",
}


def _rounded_integers(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["i8", "i32", "ui16", "i1"])))
    return {"f": str(rng.choice(sorted(_MIRRORED))), "x": type, "t": "f32"}


@rule(
    lambda f, x, t: unary(f, convert(x, t)),
    numerics=BITWISE,
    source="IEEE 754-2019, roundToIntegral",
    examples=_rounded_integers,
)
def round_converted_integer(f: Any, x: Value, t: Any) -> Value | None:
    """An integer converted to a float is rounded already"""
    need(f in _MIRRORED and t in REALS and (x.dtype in INTEGERS or x.dtype == "i1"))
    return convert(x, t)


@rule(
    lambda f, g, x: unary(f, unary(g, x)),
    numerics=BITWISE,
    source="IEEE 754-2019, roundToIntegral",
)
def round_twice(f: Any, g: Any, x: Value) -> Value | None:
    """f(g(x)) = g(x) for f and g of floor, ceil, rounding; sign(sign x) = sign x"""
    need(f == g == "sign" if f not in _MIRRORED else g in _MIRRORED)
    need(not is_complex(x.dtype))
    return unary(g, x)
