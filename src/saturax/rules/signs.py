"""Signs, absolute values, and positive and negative parts, of products, quotients and extrema."""

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
    convert,
    divide,
    full_like,
    maximum,
    minimum,
    multiply,
    negate,
    reduce_,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import (
    INTEGERS,
    REALS,
    double_constants,
    folded,
    for_integers,
    is_all,
    where_proved,
)
from saturax.rules.facts import is_nonzero, never_nan
from saturax.rules.rule import APPROXIMATE, BITWISE, FINITE, ROUNDING, need, rule
from saturax.rules.selection import DUAL, MONOTONE

SIGN = "x = |x| · sign x"
PARTS = "one of max(x, 0) and min(x, 0) is 0, the other is x"


def _abs(x: Any) -> Any:
    return unary("abs", x)


def _sign(x: Any) -> Any:
    return unary("sign", x)


# ------------------------------------------------------------------ signs and absolute values


@rule(lambda x, y: divide(_abs(x), _abs(y)), numerics=BITWISE, source="IEEE 754-2019")
def quotient_of_absolutes(x: Value, y: Value) -> Value | None:
    """|x| / |y| = |x / y|, real"""
    need(x.dtype in REALS and y.dtype == x.dtype)
    return _abs(divide(x, y))


@rule(lambda f, x, c: _abs(binary(f, x, constant(c))), numerics=BITWISE, source="IEEE 754-2019")
def absolute_of_scaled(f: Any, x: Value, c: Literal) -> Value | None:
    """|x · c| = |x| · |c| and |x / c| = |x| / |c| for a splat c, real"""
    need(f in ("multiply", "divide") and x.dtype in REALS and c.is_splat)
    return binary(f, _abs(x), constant(folded("abs", c)))


@rule(lambda x, y: multiply(_sign(x), _sign(y)), numerics=ROUNDING, source=SIGN)
def product_of_signs(x: Value, y: Value) -> Value | None:
    """sign x · sign y = sign(x · y), real"""
    need(x.dtype in REALS)
    return _sign(multiply(x, y))


@rule(lambda x: divide(x, _abs(x)), numerics=APPROXIMATE, source=SIGN)
def divide_by_own_absolute(x: Value) -> Value | None:
    """x / |x| = sign x, real, except at 0"""
    need(x.dtype in REALS)
    return _sign(x)


divide_by_own_absolute_where_proved = where_proved(
    divide_by_own_absolute,
    lambda x: is_nonzero(x),
    __name__,
    examples=double_constants("x"),
)


@rule(
    lambda x, c, d, k: select(compare(x, constant(c), d, k), _abs(x), negate(_abs(x))),
    numerics=ROUNDING,
    source=SIGN,
)
def restore_sign_by_choice(x: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """|x| where x > 0, else -|x| = x; for ≥ too; -x for < and ≤; real"""
    need(x.dtype in REALS and is_all(c, 0.0) and k == "FLOAT")
    need(d in ("GT", "GE", "LT", "LE"))
    return x if d in ("GT", "GE") else negate(x)


@rule(
    lambda x, c, d, k: select(compare(x, constant(c), d, k), negate(_abs(x)), _abs(x)),
    numerics=ROUNDING,
    source=SIGN,
)
def change_sign_by_choice(x: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """-|x| where x > 0, else |x| = -x; for ≥ too; x for < and ≤; real"""
    need(x.dtype in REALS and is_all(c, 0.0) and k == "FLOAT")
    need(d in ("GT", "GE", "LT", "LE"))
    return negate(x) if d in ("GT", "GE") else x


# ------------------------------------------------------------------ positive and negative parts


@rule(
    lambda f, x, c: binary(f, negate(x), constant(c)),
    numerics=BITWISE,
    source=MONOTONE,
)
def extremum_of_negated_and_constant(f: Any, x: Value, c: Literal) -> Value | None:
    """max(-x, c) = -min(x, -c) and min(-x, c) = -max(x, -c) for a constant c, real"""
    need(f in ("maximum", "minimum") and x.dtype in REALS)
    return negate(binary(DUAL[f], x, constant(folded("negate", c))))


@rule(
    lambda x, c, d: multiply(maximum(x, constant(c)), minimum(x, constant(d))),
    numerics=FINITE,
    source=PARTS,
)
def multiply_parts(x: Value, c: Literal, d: Literal) -> Value | None:
    """max(x, 0) · min(x, 0) = 0, not complex"""
    need((x.dtype in REALS or x.dtype in INTEGERS) and is_all(c, 0.0) and is_all(d, 0.0))
    return full_like(x, 0)


multiply_parts_exactly = for_integers(multiply_parts)


@rule(
    lambda x, c, d: add(
        multiply(maximum(x, constant(c)), maximum(x, constant(c))),
        multiply(minimum(x, constant(d)), minimum(x, constant(d))),
    ),
    numerics=BITWISE,
    source=PARTS,
)
def add_squares_of_parts(x: Value, c: Literal, d: Literal) -> Value | None:
    """max(x, 0)² + min(x, 0)² = x², not complex"""
    need((x.dtype in REALS or x.dtype in INTEGERS) and is_all(c, 0.0) and is_all(d, 0.0))
    return multiply(x, x)


@rule(
    lambda x, d: maximum(reduce_("maximum", x, d), negate(reduce_("minimum", x, d))),
    numerics=ROUNDING,
    source="|x| = max(x, -x)",
)
def greatest_absolute(x: Value, d: Any) -> Value | None:
    """max(max x, -min x) = max |x| along the same dimensions; real"""
    need(x.dtype in REALS)
    return reduce_("maximum", unary("abs", x), d)


def _numbers(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((3,), "f64")
    return {"x": Literal(rng.integers(-1, 2, 3).astype(float)), "z": splat(0, type), "t": "f64"}


@rule(
    lambda x, t, z, k: subtract(
        convert(compare(x, constant(z), "GT", k), t), convert(compare(x, constant(z), "LT", k), t)
    ),
    numerics=FINITE,
    source="definition of sign",
    examples=lambda rng: _numbers(rng) | {"x": TensorType((3,), "f64")},
)
def difference_of_indicators(x: Value, t: Any, z: Literal, k: Any) -> Value | None:
    """1 where x > 0 less 1 where x < 0 = sign x, x not NaN"""
    need(x.dtype in REALS and t == x.dtype and is_all(z, 0.0) and k != "TOTALORDER")
    return unary("sign", x)


difference_of_indicators_where_proved = where_proved(
    difference_of_indicators, lambda x, **_: never_nan(x), __name__, examples=_numbers
)
