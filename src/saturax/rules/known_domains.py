"""Equations for operands that are proved to be finite, positive or never NaN.

Most are twins of rules that hold of such operands only, and are of class FINITE in general.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from saturax.facts.ranges import INF
from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import DotDimensions, add, multiply, power, unary
from saturax.rules import (
    elementwise,
    known_structure,
    logic,
    powers,
    reduction,
    selection,
    transcendental,
)
from saturax.rules.conditions import REALS, where_proved
from saturax.rules.facts import (
    bounds_of,
    constant_of,
    is_finite,
    is_nonnegative,
    is_nonzero,
    is_positive,
    never_nan,
)
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, Rule, need, rule

POWERS = "laws of powers of positive numbers"

# ------------------------------------------------------------------ never NaN

absorb_never_nan = where_proved(
    selection.absorb, lambda f, g, x, y: never_nan(y), __name__, BITWISE
)
select_greater_never_nan = where_proved(
    selection.select_greater, lambda x, y, d, k: never_nan(x) and never_nan(y), __name__
)
select_lesser_never_nan = where_proved(
    selection.select_lesser, lambda x, y, d, k: never_nan(x) and never_nan(y), __name__
)
complement_comparison_never_nan = where_proved(
    logic.complement_comparison,
    lambda x, y, d, k: never_nan(x) and never_nan(y),
    __name__,
    BITWISE,
)
compare_with_itself_never_nan = where_proved(
    logic.compare_with_itself, lambda x, d, k: never_nan(x), __name__, BITWISE
)

# ------------------------------------------------------------------ what needs finite operands


def _product_of_zeros(rng: np.random.Generator) -> dict[str, Any]:
    """Zeros, and a matrix of numbers that the program writes down."""
    n, m = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    numbers = Literal(rng.integers(-3, 4, (n, m)).astype(np.float64))
    d = DotDimensions((), (), (0,), (0,))
    return {"x": Literal(np.zeros(n)), "y": numbers, "d": d, "t": "f64"}


multiply_by_zero_of_finite = where_proved(
    elementwise.multiply_by_zero, lambda x, c: is_finite(x), __name__
)
dot_with_zero_of_finite = where_proved(
    known_structure.dot_with_zero,
    lambda x, y, d, p, t: is_finite(x) and is_finite(y),
    __name__,
    examples=_product_of_zeros,
)
subtract_self_of_finite = where_proved(
    elementwise.subtract_self, lambda x: is_finite(x), __name__, BITWISE
)
select_as_product_of_finite = where_proved(
    selection.select_as_product, lambda p, x, c: is_finite(x), __name__
)
product_as_select_of_finite = where_proved(
    selection.product_as_select, lambda x, p, t: is_finite(x), __name__
)


def _may_divide(y: Value) -> bool:
    return is_finite(y) and is_nonzero(y)


divide_by_itself_of_finite = where_proved(
    powers.divide_by_itself, lambda x: _may_divide(x), __name__, BITWISE
)
multiply_by_divisor_of_finite = where_proved(
    powers.multiply_by_divisor, lambda x, y: _may_divide(y), __name__
)
divide_by_factor_of_finite = where_proved(
    powers.divide_by_factor, lambda x, y: _may_divide(y), __name__
)
divide_by_multiple_of_finite = where_proved(
    powers.divide_by_multiple, lambda x, y: _may_divide(x), __name__
)
cancel_factor_of_finite = where_proved(
    powers.cancel_factor, lambda x, y, z: _may_divide(x), __name__
)
cancel_divisor_of_finite = where_proved(
    powers.cancel_divisor, lambda x, y, z: _may_divide(z), __name__
)


def _of_positive(general: Rule, divisor: str) -> Rule:
    """The FINITE twin of a quotient that cancels a positive number: no exponential is 0."""
    twin = where_proved(
        general, lambda **operands: is_positive(operands[divisor]), __name__, FINITE
    )
    return replace(twin, name=f"{general.name}_of_positive")


multiply_by_positive_divisor = _of_positive(powers.multiply_by_divisor, "y")
divide_by_positive_factor = _of_positive(powers.divide_by_factor, "y")
divide_by_positive_multiple = _of_positive(powers.divide_by_multiple, "x")
cancel_positive_factor = _of_positive(powers.cancel_factor, "x")
cancel_positive_divisor = _of_positive(powers.cancel_divisor, "z")
cancel_positive_divisor_of_reshaped = _of_positive(powers.cancel_divisor_of_reshaped, "z")
divide_by_own_root_of_positive = where_proved(
    powers.divide_by_own_root, lambda x: is_positive(x), __name__
)
multiply_by_own_reciprocal_root_of_positive = where_proved(
    powers.multiply_by_own_reciprocal_root, lambda x: is_positive(x), __name__
)
square_of_root_of_nonnegative = where_proved(
    transcendental.square_of_root_where_defined, lambda x: is_nonnegative(x), __name__
)
exponential_of_log_of_nonnegative = where_proved(
    transcendental.exponential_of_log_where_defined, lambda x: is_nonnegative(x), __name__
)

reduce_before_increasing_of_nonnegative = where_proved(
    reduction.reduce_before_increasing_where_defined,
    lambda f, g, x, d: is_nonnegative(x),
    __name__,
    examples=reduction.reduce_before_increasing_where_defined.examples,
)

# ------------------------------------------------------------------ powers of positive numbers


def _is_real(x: Value) -> bool:
    """Whether x is a number if it is constant: these laws are false of NaN and infinities."""
    return constant_of(x) is None or is_finite(x)


def _is_safe(x: Value) -> bool:
    """Whether a result neither overflows nor underflows, wherever it is computed."""
    low, high = bounds_of(x)
    return low > 0 and high < INF


@rule(
    lambda x, y: add(unary("log", x), unary("log", y)),
    numerics=ROUNDING,
    source="logarithm of a product",
    uses_facts=True,
)
def add_logarithms(x: Value, y: Value) -> Value | None:
    """log x + log y = log(x · y), where x, y > 0 and the product stays in range"""
    need(x.dtype in REALS and is_positive(x) and is_positive(y) and _is_safe(multiply(x, y)))
    return unary("log", multiply(x, y))


@rule(
    lambda x, y: multiply(unary("sqrt", x), unary("sqrt", y)),
    numerics=ROUNDING,
    source="root of a product",
    uses_facts=True,
)
def multiply_roots(x: Value, y: Value) -> Value | None:
    """√x · √y = √(x · y), where x, y > 0 and the product stays in range"""
    need(x.dtype in REALS and is_positive(x) and is_positive(y) and _is_safe(multiply(x, y)))
    return unary("sqrt", multiply(x, y))


@rule(lambda x, y: unary("log", power(x, y)), numerics=ROUNDING, source=POWERS, uses_facts=True)
def log_of_power(x: Value, y: Value) -> Value | None:
    """log xʸ = y · log x where x > 0, real"""
    need(x.dtype in REALS and is_positive(x) and _is_real(x) and _is_real(y))
    return multiply(y, unary("log", x))


@rule(
    lambda x, y, z: multiply(power(x, y), power(x, z)),
    numerics=ROUNDING,
    source=POWERS,
    uses_facts=True,
)
def multiply_powers(x: Value, y: Value, z: Value) -> Value | None:
    """xʸ · xᶻ = x^(y+z) where x > 0, real"""
    need(x.dtype in REALS and is_positive(x) and _is_real(x) and _is_real(y) and _is_real(z))
    return power(x, add(y, z))


@rule(lambda x, y, z: power(power(x, y), z), numerics=ROUNDING, source=POWERS, uses_facts=True)
def power_of_power(x: Value, y: Value, z: Value) -> Value | None:
    """(xʸ)ᶻ = x^(y·z) where x > 0, real"""
    need(x.dtype in REALS and is_positive(x) and _is_real(x) and _is_real(y) and _is_real(z))
    return power(x, multiply(y, z))
