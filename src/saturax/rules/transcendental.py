"""Exponentials, logarithms, powers, roots and their relatives: fewer or cheaper of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    add,
    compare,
    constant,
    divide,
    full_like,
    multiply,
    negate,
    power,
    select,
    subtract,
    unary,
)
from saturax.rules.conditions import REALS, for_integers, is_all
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

EXPONENTIAL = "exp is a homomorphism from (ℝ, +) to (ℝ⁺, ·)"
DEFINITION = "definition over the reals"
MAX_POWER = 8.0
"""Largest exponent that is expanded: at most 4 products, each rounding once."""

ODD = frozenset(
    {"tanh", "sine", "tan", "cbrt", "sign", "chlo.erf", "chlo.erf_inv", "chlo.sinh", "chlo.asin"}
    | {"chlo.atan", "chlo.asinh", "chlo.atanh"}
)
"""Functions with f(-x) = -f(x)."""

EVEN = frozenset({"cosine", "chlo.cosh", "is_finite"})
"""Functions with f(-x) = f(x)."""


def _exp(x: Any) -> Any:
    return unary("exponential", x)


def _log(x: Any) -> Any:
    return unary("log", x)


def _sqrt(x: Any) -> Any:
    return unary("sqrt", x)


def _rsqrt(x: Any) -> Any:
    return unary("rsqrt", x)


def _where_nonnegative(x: Value, value: Value) -> Value:
    """The value where x ≥ 0, else NaN: keeps the domain of a root or logarithm that went away."""
    return select(compare(x, full_like(x, 0), "GE"), value, full_like(x, np.nan))


# ------------------------------------------------------------------ exponentials and logarithms


@rule(lambda x: _exp(_log(x)), numerics=FINITE, source=DEFINITION)
def exponential_of_log_where_defined(x: Value) -> Value | None:
    """exp(log x) = x, where log x is defined"""
    return x


@rule(lambda x, y: multiply(_exp(x), _exp(y)), numerics=ROUNDING, source=EXPONENTIAL)
def multiply_exponentials(x: Value, y: Value) -> Value | None:
    """exp x · exp y = exp(x + y)"""
    return _exp(add(x, y))


@rule(lambda x, y: divide(_exp(x), _exp(y)), numerics=ROUNDING, source=EXPONENTIAL)
def divide_exponentials(x: Value, y: Value) -> Value | None:
    """exp x / exp y = exp(x - y)"""
    return _exp(subtract(x, y))


@rule(lambda x, y: divide(x, _exp(y)), numerics=ROUNDING, source=EXPONENTIAL)
def divide_by_exponential(x: Value, y: Value) -> Value | None:
    """x / exp y = x · exp(-y)"""
    return multiply(x, _exp(negate(y)))


@rule(lambda x: _log(_exp(x)), numerics=ROUNDING, source=DEFINITION)
def log_of_exponential(x: Value) -> Value | None:
    """log(exp x) = x, x real"""
    need(x.dtype in REALS)
    return x


@rule(lambda x: _exp(_log(x)), numerics=ROUNDING, source=DEFINITION)
def exponential_of_log(x: Value) -> Value | None:
    """exp(log x) = x where x ≥ 0, else NaN; x real"""
    need(x.dtype in REALS)
    return _where_nonnegative(x, x)


@rule(lambda x, y: _log(divide(_exp(x), y)), numerics=ROUNDING, source=EXPONENTIAL)
def log_of_divided_exponential(x: Value, y: Value) -> Value | None:
    """log(exp x / y) = x - log y, real (y < 0 gives NaN on both sides)"""
    need(x.dtype in REALS)
    return subtract(x, _log(y))


@rule(lambda x, y: _log(multiply(_exp(x), y)), numerics=ROUNDING, source=EXPONENTIAL)
def log_of_multiplied_exponential(x: Value, y: Value) -> Value | None:
    """log(exp x · y) = x + log y, real (y < 0 gives NaN on both sides)"""
    need(x.dtype in REALS)
    return add(x, _log(y))


@rule(lambda x: _log(_sqrt(x)), numerics=ROUNDING, source=DEFINITION)
def log_of_root(x: Value) -> Value | None:
    """log √x = ½ log x, x real"""
    need(x.dtype in REALS)
    return multiply(_log(x), full_like(x, 0.5))


@rule(lambda x: _log(_rsqrt(x)), numerics=ROUNDING, source=DEFINITION)
def log_of_reciprocal_root(x: Value) -> Value | None:
    """log(1/√x) = -½ log x, x real"""
    need(x.dtype in REALS)
    return multiply(_log(x), full_like(x, -0.5))


@rule(lambda x, c: _log(add(x, constant(c))), numerics=ROUNDING, source=DEFINITION)
def recognize_log_plus_one(x: Value, c: Literal) -> Value | None:
    """log(x + 1) = log1p x"""
    need(is_all(c, 1.0))
    return unary("log_plus_one", x)


@rule(lambda x, c: add(_exp(x), constant(c)), numerics=ROUNDING, source=DEFINITION)
def recognize_exponential_minus_one(x: Value, c: Literal) -> Value | None:
    """exp x + (-1) = expm1 x"""
    need(is_all(c, -1.0))
    return unary("exponential_minus_one", x)


@rule(
    lambda x, c: add(unary("exponential_minus_one", x), constant(c)),
    numerics=ROUNDING,
    source=DEFINITION,
)
def complete_exponential_minus_one(x: Value, c: Literal) -> Value | None:
    """expm1 x + 1 = exp x"""
    need(is_all(c, 1.0))
    return _exp(x)


@rule(
    lambda x: unary("log_plus_one", unary("exponential_minus_one", x)),
    numerics=ROUNDING,
    source=DEFINITION,
)
def log_plus_one_of_exponential_minus_one(x: Value) -> Value | None:
    """log1p(expm1 x) = x, x real"""
    need(x.dtype in REALS)
    return x


# ------------------------------------------------------------------ roots


@rule(lambda x, y: divide(x, _sqrt(y)), numerics=ROUNDING, source=DEFINITION)
def divide_by_root(x: Value, y: Value) -> Value | None:
    """x / √y = x · rsqrt y"""
    return multiply(x, _rsqrt(y))


@rule(lambda x, y: multiply(x, _rsqrt(y)), numerics=ROUNDING, source=DEFINITION)
def multiply_by_reciprocal_root(x: Value, y: Value) -> Value | None:
    """x · rsqrt y = x / √y"""
    return divide(x, _sqrt(y))


@rule(lambda x: _rsqrt(x), numerics=ROUNDING, source=DEFINITION)
def expand_reciprocal_root(x: Value) -> Value | None:
    """rsqrt x = 1 / √x"""
    return divide(full_like(x, 1), _sqrt(x))


@rule(lambda x, y: divide(x, _rsqrt(y)), numerics=ROUNDING, source=DEFINITION)
def divide_by_reciprocal_root(x: Value, y: Value) -> Value | None:
    """x / rsqrt y = x · √y"""
    return multiply(x, _sqrt(y))


@rule(lambda x: multiply(_sqrt(x), _sqrt(x)), numerics=ROUNDING, source=DEFINITION)
def square_of_root(x: Value) -> Value | None:
    """√x · √x = x where x ≥ 0, else NaN; x real"""
    need(x.dtype in REALS)
    return _where_nonnegative(x, x)


@rule(lambda x: multiply(_sqrt(x), _sqrt(x)), numerics=FINITE, source=DEFINITION)
def square_of_root_where_defined(x: Value) -> Value | None:
    """√x · √x = x, where √x is defined"""
    return x


@rule(lambda x: _sqrt(multiply(x, x)), numerics=ROUNDING, source=DEFINITION)
def root_of_square(x: Value) -> Value | None:
    """√(x · x) = |x|, x real"""
    need(x.dtype in REALS)
    return unary("abs", x)


@rule(lambda x: _sqrt(_exp(x)), numerics=ROUNDING, source=EXPONENTIAL)
def root_of_exponential(x: Value) -> Value | None:
    """√(exp x) = exp(x / 2), x real"""
    need(x.dtype in REALS)
    return _exp(multiply(x, full_like(x, 0.5)))


# ------------------------------------------------------------------ powers


def natural_power(x: Value, n: int) -> Value:
    """xⁿ by repeated squaring, n ≥ 0."""
    if n == 0:
        return full_like(x, 1)
    if n == 1:
        return x
    half = natural_power(x, n // 2)
    square = multiply(half, half)
    return multiply(square, x) if n % 2 else square


@rule(lambda x, c: power(x, constant(c)), numerics=BITWISE, source="IEEE 754-2019, pow")
def power_zero(x: Value, c: Literal) -> Value | None:
    """x⁰ = 1 (also of NaN), not complex"""
    need(is_all(c, 0.0))
    return full_like(x, 1)


@rule(lambda x, c: power(x, constant(c)), numerics=BITWISE, source="IEEE 754-2019, pow")
def power_one(x: Value, c: Literal) -> Value | None:
    """x¹ = x, not complex"""
    need(is_all(c, 1.0))
    return x


@rule(lambda x, c: power(x, constant(c)), numerics=ROUNDING, source=DEFINITION)
def expand_natural_power(x: Value, c: Literal) -> Value | None:
    """xⁿ = x · x · … by squaring, n = 2 … 8"""
    need(c.is_splat and not c.type.dtype.startswith("complex"))
    n = float(c.value)
    need(2 <= n <= MAX_POWER and n == int(n))
    return natural_power(x, int(n))


expand_natural_power_exactly = for_integers(expand_natural_power)


@rule(lambda x, c: power(x, constant(c)), numerics=ROUNDING, source=DEFINITION)
def expand_negative_power(x: Value, c: Literal) -> Value | None:
    """x⁻ⁿ = 1 / xⁿ, n = 1 … 8, x real"""
    need(x.dtype in REALS and c.is_splat)
    n = -float(c.value)
    need(1 <= n <= MAX_POWER and n == int(n))
    return divide(full_like(x, 1), natural_power(x, int(n)))


@rule(lambda x, c: power(x, constant(c)), numerics=ROUNDING, source=DEFINITION)
def expand_half_power(x: Value, c: Literal) -> Value | None:
    """xⁿ⁺½ = xⁿ · √x, n = 0 … 8; x⁻½ = rsqrt x; x real (-∞ aside, whose power is ∞, root NaN)"""
    need(x.dtype in REALS and c.is_splat)
    if c.value == -0.5:
        return _rsqrt(x)
    n = float(c.value) - 0.5
    need(0 <= n <= MAX_POWER and n == int(n))
    root = _sqrt(x)
    return multiply(natural_power(x, int(n)), root) if n else root


@rule(lambda x, y: power(_exp(x), y), numerics=ROUNDING, source=EXPONENTIAL)
def power_of_exponential(x: Value, y: Value) -> Value | None:
    """(exp x)ʸ = exp(x · y), real"""
    need(x.dtype in REALS)
    return _exp(multiply(x, y))


# ------------------------------------------------------------------ logistic, tanh, erf, symmetry


@rule(
    lambda x, y, c: divide(x, add(_exp(y), constant(c))),
    numerics=ROUNDING,
    source="logistic y = 1 / (1 + exp(-y))",
)
def recognize_logistic(x: Value, y: Value, c: Literal) -> Value | None:
    """x / (exp y + 1) = x · logistic(-y), real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return multiply(x, unary("logistic", negate(y)))


@rule(
    lambda x, c: divide(_exp(x), add(_exp(x), constant(c))),
    numerics=ROUNDING,
    source="logistic x = 1 / (1 + exp(-x))",
)
def recognize_logistic_quotient(x: Value, c: Literal) -> Value | None:
    """exp x / (exp x + 1) = logistic x, real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return unary("logistic", x)


@rule(lambda x: unary("logistic", x), numerics=ROUNDING, source="definition of logistic")
def expand_logistic(x: Value) -> Value | None:
    """logistic x = 1 / (1 + exp(-x)), x real"""
    need(x.dtype in REALS)
    one = full_like(x, 1)
    return divide(one, add(_exp(negate(x)), one))


@rule(
    lambda x: unary("logistic", x),
    numerics=ROUNDING,
    source="tanh(x/2) = 2 logistic x - 1",
)
def logistic_as_tanh(x: Value) -> Value | None:
    """logistic x = ½ tanh(½ x) + ½, x real"""
    need(x.dtype in REALS)
    half = full_like(x, 0.5)
    return add(multiply(unary("tanh", multiply(x, half)), half), half)


@rule(
    lambda x, c: subtract(constant(c), unary("logistic", x)),
    numerics=ROUNDING,
    source="logistic(-x) = 1 - logistic x",
)
def complement_logistic(x: Value, c: Literal) -> Value | None:
    """1 - logistic x = logistic(-x)"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return unary("logistic", negate(x))


@rule(
    lambda x: unary("logistic", negate(x)),
    numerics=ROUNDING,
    source="logistic(-x) = 1 - logistic x",
)
def logistic_of_negated(x: Value) -> Value | None:
    """logistic(-x) = 1 - logistic x"""
    need(x.dtype in REALS)
    return subtract(full_like(x, 1), unary("logistic", x))


@rule(lambda f, x: unary(f, negate(x)), numerics=ROUNDING, source="odd functions")
def odd_of_negated(f: Any, x: Value) -> Value | None:
    """f(-x) = -f(x) for odd f: tanh, sin, tan, ∛, sign, erf, …; x real"""
    need(f in ODD and x.dtype in REALS)
    return negate(unary(f, x))


@rule(lambda f, x: unary(f, negate(x)), numerics=ROUNDING, source="even functions")
def even_of_negated(f: Any, x: Value) -> Value | None:
    """f(-x) = f(x) for even f: cos, cosh, is_finite"""
    need(f in EVEN)
    return unary(f, x)


@rule(
    lambda x: add(
        multiply(unary("sine", x), unary("sine", x)),
        multiply(unary("cosine", x), unary("cosine", x)),
    ),
    numerics=FINITE,
    source="Pythagoras",
)
def sine_squared_plus_cosine_squared(x: Value) -> Value | None:
    """sin²x + cos²x = 1, x real"""
    need(x.dtype in REALS)
    return full_like(x, 1)
