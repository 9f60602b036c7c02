"""False rules on elementwise functions."""

from __future__ import annotations

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
    power,
    select,
    subtract,
    unary,
)
from saturax.graph.types import is_float, is_integer
from saturax.rules import integer_division
from saturax.rules.facts import is_splat, splat_of
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need

from .declare import false_rule

# ------------------------------------------------------------------ elementwise


@false_rule(lambda x, c: add(x, constant(c)), BITWISE, "bits")
def drop_positive_zero(x, c):
    """x + 0 = x"""
    need(is_float(x.dtype) and is_splat(c, 0.0))
    return x


@false_rule(lambda x, y: multiply(x, y), BITWISE, "bits", uses_facts=True)
def multiply_by_zero_bitwise(x, y):
    """x · 0 = 0"""
    zero = splat_of(y)
    need(zero is not None and is_float(y.dtype) and zero == 0)
    return y


@false_rule(lambda x, y: binary("remainder", x, y), ROUNDING, "values")
def remainder_by_nearest_quotient(x, y):
    """x rem y = x - y·round(x / y): wrong where the quotient is rounded up"""
    need(x.dtype in ("f32", "f64"))
    return subtract(x, multiply(y, unary("round_nearest_even", divide(x, y))))


@false_rule(lambda x: subtract(x, x), BITWISE, "bits")
def subtract_self_bitwise(x):
    """x - x = 0"""
    return full_like(x, 0)


@false_rule(lambda x: divide(x, x), ROUNDING, "integers")
def divide_self(x):
    """x / x = 1"""
    return full_like(x, 1)


@false_rule(lambda x, y, z: add(add(x, y), z), BITWISE, "bits")
def associate_add_bitwise(x, y, z):
    """(x + y) + z = x + (y + z)"""
    return add(x, add(y, z))


@false_rule(lambda x, y, z: multiply(x, add(y, z)), BITWISE, "bits")
def distribute_bitwise(x, y, z):
    """x · (y + z) = x·y + x·z"""
    return add(multiply(x, y), multiply(x, z))


@false_rule(lambda x, y, z: subtract(x, subtract(y, z)), ROUNDING, "values", "integers")
def subtract_difference_with_wrong_sign(x, y, z):
    """x - (y - z) = (x - y) - z"""
    return subtract(subtract(x, y), z)


@false_rule(lambda x, y, z: multiply(divide(x, y), z), ROUNDING, "integers")
def multiply_before_integer_division(x, y, z):
    """(x / y) · z = (x · z) / y for integers"""
    need(is_integer(x.dtype))
    return divide(multiply(x, z), y)


@false_rule(lambda x, y: divide(multiply(x, y), y), ROUNDING, "integers")
def cancel_integer_factor(x, y):
    """(x · y) / y = x: wrong where the product wraps around"""
    need(is_integer(x.dtype))
    return x


@false_rule(lambda x, y: maximum(negate(x), negate(y)), ROUNDING, "values", "integers")
def maximum_of_negated(x, y):
    """max(-x, -y) = -max(x, y)"""
    return negate(maximum(x, y))


@false_rule(lambda x, y: unary("log", multiply(x, y)), ROUNDING, "values")
def log_of_product(x, y):
    """log(x · y) = log x + log y: wrong where both are negative"""
    return add(unary("log", x), unary("log", y))


@false_rule(lambda x: unary("sqrt", multiply(x, x)), ROUNDING, "values")
def root_of_square(x):
    """√(x²) = x: wrong where x is negative"""
    return x


@false_rule(lambda p, x, y: select(p, x, y), BITWISE, "bits", "integers")
def swap_branches(p, x, y):
    """select(p, x, y) = select(p, y, x)"""
    return select(p, y, x)


@false_rule(lambda x, y: unary("not", compare(x, y, "LT", "FLOAT")), BITWISE, "bits")
def negate_comparison_of_nan(x, y):
    """¬(x < y) = (x ≥ y): wrong for NaN"""
    return compare(x, y, "GE", "FLOAT")


@false_rule(lambda x, y: select(compare(x, y, "LT", "FLOAT"), x, y), BITWISE, "bits")
def select_as_minimum(x, y):
    """(x if x < y else y) = min(x, y): wrong where x is NaN"""
    return minimum(x, y)


@false_rule(lambda x, c, d: maximum(minimum(x, c), d), BITWISE, "bits", "integers")
def swap_bounds_in_any_order(x, c, d):
    """max(min(x, c), d) = min(max(x, d), c): wrong where c < d"""
    return minimum(maximum(x, d), c)


@false_rule(lambda x, s, t: convert(convert(x, s), t), BITWISE, "bits")
def drop_lossy_round_trip(x, s, t):
    """t(s(x)) = x for floats"""
    need(t == x.dtype and is_float(s) and is_float(t))
    return x


@false_rule(
    lambda x, y: multiply(unary("exponential", x), unary("exponential", y)), ROUNDING, "values"
)
def product_of_exponentials(x, y):
    """eˣ · eʸ = e^(x·y)"""
    return unary("exponential", multiply(x, y))


@false_rule(lambda x, y, z: multiply(power(x, y), power(x, z)), ROUNDING, "values", "integers")
def product_of_powers(x, y, z):
    """xʸ · xᶻ = x^(y·z)"""
    return power(x, multiply(y, z))


@false_rule(lambda x, y: binary("subtract", x, y), ROUNDING, "integers", "values")
def commute_subtract(x, y):
    """x - y = y - x"""
    return binary("subtract", y, x)


@false_rule(lambda x, y: multiply(x, y), FINITE, "values", "integers", uses_facts=True)
def drop_any_constant_factor(x, y):
    """x · c = x"""
    need(splat_of(y) is not None)
    return x


@false_rule(
    lambda x, c, e, z, k: binary(
        "and",
        compare(unary("sign", x), constant(e), "NE", k),
        compare(binary("remainder", x, constant(c)), constant(z), "NE", k),
    ),
    BITWISE,
    "integers",
    examples=integer_division.sign_of_remainder.examples,
)
def negative_remainder_by_any_divisor(x, c, e, z, k):
    """sign x ≠ sign c ∧ x rem c ≠ 0 = x rem c < 0, for negative c too"""
    return compare(binary("remainder", x, constant(c)), constant(z), "LT", k)
