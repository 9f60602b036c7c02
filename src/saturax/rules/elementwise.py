"""Arithmetic, element by element: neutral elements, signs, distributivity, quotients.

The other elementwise families are `transcendental`, `selection`, `logic` and `conversion`.
Binary functions that commute are matched in both operand orders, so no rule has a mirror image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    add,
    binary,
    broadcast_in_dim,
    constant,
    divide,
    full_like,
    identity_value,
    multiply,
    negate,
    reduce_,
    subtract,
    unary,
)
from saturax.graph.types import is_complex, is_integer
from saturax.rules.conditions import (
    INTEGERS,
    REALS,
    computed,
    exactly,
    for_integers,
    is_all,
    is_exact,
    is_ordinary,
    is_small,
)
from saturax.rules.facts import is_splat
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

RING = "ring axioms"
FIELD = "field axioms"
IEEE = "IEEE 754-2019"

# ------------------------------------------------------------------ neutral and absorbing elements


@rule(lambda f, x, c: binary(f, x, constant(c)), numerics=BITWISE, source=IEEE)
def drop_identity(f: Any, x: Value, c: Any) -> Value | None:
    """f(x, e) = x for e neutral: -0.0 in sums, 1 in products, -∞ in maxima, …; not complex"""
    need(f in ("add", "multiply", "maximum", "minimum", "and", "or") and not is_complex(x.dtype))
    if f == "add" and x.dtype in REALS:
        need(is_splat(c, -0.0))
        return x
    neutral = identity_value(f, x.dtype)
    need(neutral is not None and c.is_splat and c.data.tobytes() == neutral.tobytes())
    return x


@rule(lambda x, c: add(x, constant(c)), numerics=ROUNDING, source=RING)
def drop_zero_addend(x: Value, c: Any) -> Value | None:
    """x + 0 = x (rounding: -0.0 + 0.0 = 0.0)"""
    need(is_all(c, 0.0))
    return x


@rule(lambda x, c: divide(x, constant(c)), numerics=BITWISE, source=IEEE)
def drop_unit_divisor(x: Value, c: Any) -> Value | None:
    """x / 1 = x"""
    need(is_all(c, 1.0))
    return x


@rule(lambda x, c: multiply(x, constant(c)), numerics=FINITE, source=RING)
def multiply_by_zero(x: Value, c: Any) -> Value | None:
    """x · 0 = 0"""
    need(is_all(c, 0.0))
    return full_like(x, 0)


multiply_by_zero_exactly = for_integers(multiply_by_zero)


@rule(lambda x, c: divide(constant(c), x), numerics=BITWISE, source="integer arithmetic")
def divide_zero_by_constant(x: Value, c: Any) -> Value | None:
    """0 / x is left alone: x may be 0"""
    return None


@rule(lambda x, c: multiply(x, constant(c)), numerics=BITWISE, source=IEEE)
def multiply_by_minus_one(x: Value, c: Any) -> Value | None:
    """x · (-1) = -x"""
    need(x.dtype in REALS or x.dtype in INTEGERS)
    need(is_splat(c, -1) if x.dtype in REALS or x.dtype[0] == "i" else c.is_splat and c.value == ~c.value.dtype.type(0))
    return negate(x)
