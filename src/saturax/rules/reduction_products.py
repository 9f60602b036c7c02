"""Products along dimensions: signs, factors and squares of all elements at once."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    constant,
    divide,
    full_like,
    multiply,
    negate,
    reduce_,
    unary,
)
from saturax.graph.types import is_complex
from saturax.rules.conditions import REALS, double_constants, is_ordinary
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

RING = "ring axioms"
FIELD = "field axioms"


def _product(x: Any, d: Any) -> Any:
    return reduce_("multiply", x, d)


def _count(x: Value, d: Any) -> int:
    """Number of elements that are multiplied with each other."""
    return prod(x.shape[i] for i in d)


@rule(lambda x, d: _product(negate(x), d), numerics=BITWISE, source=RING)
def product_of_negated(x: Value, d: Any) -> Value | None:
    """Π(-x) = (-1)ⁿ Πx for n elements, not complex"""
    need(not is_complex(x.dtype))
    result = _product(x, d)
    return negate(result) if _count(x, d) % 2 else result


@rule(lambda x, d: _product(unary("abs", x), d), numerics=ROUNDING, source="|x|·|y| = |x·y|")
def product_of_absolute_values(x: Value, d: Any) -> Value | None:
    """Π|x| = |Πx|, real"""
    need(x.dtype in REALS)
    return unary("abs", _product(x, d))


@rule(lambda x, d: _product(multiply(x, x), d), numerics=ROUNDING, source=RING)
def product_of_squares(x: Value, d: Any) -> Value | None:
    """Πx² = (Πx)², real"""
    need(x.dtype in REALS and x.size > 0)
    result = _product(x, d)
    return multiply(result, result)


@rule(
    lambda x, c, d: _product(multiply(x, constant(c)), d),
    numerics=ROUNDING,
    source=RING,
    examples=double_constants("c"),
)
def product_of_scaled(x: Value, c: Literal, d: Any) -> Value | None:
    """Π(x · c) = Πx · cⁿ for n elements and a splat c, where cⁿ is an ordinary number; real"""
    need(x.dtype in REALS and c.is_splat and c.value != 0 and x.size > 0)
    result = _product(x, d)
    with np.errstate(over="ignore", under="ignore"):
        power = np.asarray(float(c.value) ** min(_count(x, d), 1 << 12)).astype(c.data.dtype)
    need(_count(x, d) <= 1 << 12 and is_ordinary(power) and power != 0)
    return multiply(result, full_like(result, power))


@rule(
    lambda x, c, d: _product(divide(constant(c), x), d),
    numerics=ROUNDING,
    source=FIELD,
    examples=lambda rng: {"c": Literal(np.asarray(1.0), (3, 2)), "d": (int(rng.integers(2)),)},
)
def product_of_reciprocals(x: Value, c: Literal, d: Any) -> Value | None:
    """Π 1/x = 1 / Πx, real"""
    need(x.dtype in REALS and c.is_splat and c.value == 1 and x.size > 0)
    result = _product(x, d)
    return divide(full_like(result, 1), result)
