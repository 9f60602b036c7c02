"""Logarithms of products, powers and sums; exponentials of logarithms."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    add,
    broadcast_in_dim,
    compare,
    constant,
    divide,
    full_like,
    maximum,
    multiply,
    negate,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS, is_all, where_proved
from saturax.rules.facts import bounds_of, is_nonnegative
from saturax.rules.rule import FINITE, ROUNDING, need, rule

LOGARITHM = "log(xy) = log x + log y"
EXPONENTIAL = "exp is a homomorphism from (ℝ, +) to (ℝ⁺, ·)"


def _exp(x: Any) -> Any:
    return unary("exponential", x)


def _log(x: Any) -> Any:
    return unary("log", x)


def _where_nonnegative(x: Value, value: Value) -> Value:
    """The value where x ≥ 0, else NaN: keeps the domain of a logarithm that went away."""
    return select(compare(x, full_like(x, 0), "GE"), value, full_like(x, np.nan))


def _with_exponential(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    return {"x": type, "y": Literal(rng.uniform(0.1, 3.0, (2, 3)))} if type.dtype == "f64" else {}


@rule(
    lambda x, c: _exp(
        add(maximum(x, constant(c)), unary("log_plus_one", _exp(negate(unary("abs", x)))))
    ),
    numerics=ROUNDING,
    source="softplus x = log(1 + eˣ)",
    examples=lambda rng: {"c": splat(0, TensorType((2, 3), "f64"))},
)
def exponential_of_softplus(x: Value, c: Literal) -> Value | None:
    """exp(max(x, 0) + log1p(exp(-|x|))) = 1 + eˣ, x real"""
    need(x.dtype in REALS and is_all(c, 0.0))
    return add(_exp(x), full_like(x, 1))


@rule(
    lambda x, c: _exp(
        negate(add(maximum(x, constant(c)), unary("log_plus_one", _exp(negate(unary("abs", x))))))
    ),
    numerics=ROUNDING,
    source="log(logistic x) = -softplus(-x)",
    examples=lambda rng: {"c": splat(0, TensorType((2, 3), "f64"))},
)
def exponential_of_log_of_logistic(x: Value, c: Literal) -> Value | None:
    """exp(-(max(x, 0) + log1p(exp(-|x|)))) = logistic(-x), x real"""
    need(x.dtype in REALS and is_all(c, 0.0))
    return unary("logistic", negate(x))


def _with_row(rng: np.random.Generator) -> dict[str, Any]:
    row = Literal(rng.uniform(0.1, 3.0, 3))
    return {"x": TensorType((2, 3), "f64"), "y": row, "s": (2, 3), "d": (1,)}


@rule(lambda x: _log(multiply(x, multiply(x, x))), numerics=ROUNDING, source=LOGARITHM)
def log_of_cube(x: Value) -> Value | None:
    """log(x³) = 3 log x, x real"""
    need(x.dtype in REALS)
    return multiply(_log(x), full_like(x, 3))


@rule(
    lambda x, c: unary("log_plus_one", add(x, constant(c))),
    numerics=ROUNDING,
    source="definition of log1p",
)
def log_plus_one_of_decrement(x: Value, c: Literal) -> Value | None:
    """log1p(x - 1) = log x, x real"""
    need(x.dtype in REALS and is_all(c, -1.0))
    return _log(x)


@rule(lambda x: _exp(unary("log_plus_one", x)), numerics=FINITE, source=EXPONENTIAL)
def exponential_of_log_plus_one(x: Value) -> Value | None:
    """exp(log1p x) = x + 1, where log1p x is defined; real"""
    need(x.dtype in REALS)
    return add(x, full_like(x, 1))


exponential_of_log_plus_one_where_proved = where_proved(
    exponential_of_log_plus_one,
    lambda x: bounds_of(x)[0] >= -1,
    __name__,
    examples=lambda rng: {"x": Literal(rng.uniform(-0.9, 3.0, (2, 3)))},
)


@rule(lambda x, c: _log(divide(constant(c), x)), numerics=ROUNDING, source=LOGARITHM)
def log_of_reciprocal(x: Value, c: Literal) -> Value | None:
    """log(1 / x) = -log x, x real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return negate(_log(x))


@rule(lambda x: _log(unary("logistic", x)), numerics=ROUNDING, source="logistic x = 1 / (1 + e⁻ˣ)")
def log_of_logistic(x: Value) -> Value | None:
    """log(logistic x) = -log1p(e⁻ˣ), x real"""
    need(x.dtype in REALS)
    return negate(unary("log_plus_one", _exp(negate(x))))


@rule(
    lambda x, y: _log(add(_exp(x), _exp(y))),
    numerics=ROUNDING,
    source="log(eˣ + eʸ) = max(x, y) + log(1 + e^-|x - y|)",
)
def log_of_sum_of_exponentials(x: Value, y: Value) -> Value | None:
    """log(eˣ + eʸ) = max(x, y) + log1p(e^-|x - y|), real: one exponential less, no overflow"""
    need(x.dtype in REALS)
    distance = unary("abs", subtract(x, y))
    return add(maximum(x, y), unary("log_plus_one", _exp(negate(distance))))


@rule(lambda x: unary("logistic", _log(x)), numerics=FINITE, source="logistic x = eˣ / (eˣ + 1)")
def logistic_of_log_where_defined(x: Value) -> Value | None:
    """logistic(log x) = x / (x + 1), where log x is defined"""
    need(x.dtype in REALS)
    return divide(x, add(x, full_like(x, 1)))


@rule(lambda x, y: _exp(add(_log(x), y)), numerics=FINITE, source=EXPONENTIAL)
def exponential_of_log_plus_where_defined(x: Value, y: Value) -> Value | None:
    """exp(log x + y) = x · exp y, where log x is defined"""
    return multiply(x, _exp(y))


@rule(lambda x, y: _exp(add(_log(x), y)), numerics=ROUNDING, source=EXPONENTIAL)
def exponential_of_log_plus(x: Value, y: Value) -> Value | None:
    """exp(log x + y) = x · exp y where x ≥ 0, else NaN; real"""
    need(x.dtype in REALS)
    return _where_nonnegative(x, multiply(x, _exp(y)))


@rule(lambda x, y: _exp(subtract(_log(x), y)), numerics=FINITE, source=EXPONENTIAL)
def exponential_of_log_minus_where_defined(x: Value, y: Value) -> Value | None:
    """exp(log x - y) = x / exp y, where log x is defined"""
    return divide(x, _exp(y))


@rule(lambda x, y: _exp(subtract(y, _log(x))), numerics=FINITE, source=EXPONENTIAL)
def exponential_of_minus_log_where_defined(x: Value, y: Value) -> Value | None:
    """exp(y - log x) = exp y / x, where log x is defined and x is not 0"""
    return divide(_exp(y), x)


@rule(lambda x: _exp(negate(_log(x))), numerics=FINITE, source=EXPONENTIAL)
def exponential_of_negated_log_where_defined(x: Value) -> Value | None:
    """exp(-log x) = 1 / x, where log x is defined"""
    return divide(full_like(x, 1), x)


@rule(
    lambda x, y: _exp(subtract(x, _log(y))),
    numerics=ROUNDING,
    source=EXPONENTIAL,
    uses_facts=True,
    examples=_with_exponential,
)
def exponential_of_minus_log(x: Value, y: Value) -> Value | None:
    """exp(x - log y) = exp x / y, y ≥ 0"""
    need(x.dtype in REALS and is_nonnegative(y))
    return divide(_exp(x), y)


@rule(
    lambda x, y, s, d: _exp(subtract(x, broadcast_in_dim(_log(y), s, d))),
    numerics=ROUNDING,
    source=EXPONENTIAL,
    uses_facts=True,
    examples=_with_row,
)
def exponential_of_minus_broadcast_log(x: Value, y: Value, s: Any, d: Any) -> Value | None:
    """exp(x - bcast(log y)) = exp x / bcast y, y ≥ 0: the exponential of log_softmax"""
    need(x.dtype in REALS and is_nonnegative(y))
    return divide(_exp(x), broadcast_in_dim(y, s, d))


@rule(
    lambda x, y, z, s, d: _exp(subtract(x, broadcast_in_dim(add(_log(y), z), s, d))),
    numerics=ROUNDING,
    source=EXPONENTIAL,
    uses_facts=True,
    examples=_with_row,
)
def exponential_of_minus_log_sum(x: Value, y: Value, z: Value, s: Any, d: Any) -> Value | None:
    """exp(x - bcast(log y + z)) = exp(x - bcast z) / bcast y, y ≥ 0: that of x - logsumexp x"""
    need(x.dtype in REALS and is_nonnegative(y))
    return divide(_exp(subtract(x, broadcast_in_dim(z, s, d))), broadcast_in_dim(y, s, d))


@rule(lambda x, c: _exp(multiply(_log(x), constant(c))), numerics=ROUNDING, source=EXPONENTIAL)
def exponential_of_half_log(x: Value, c: Literal) -> Value | None:
    """exp(½ log x) = √x and exp(-½ log x) = rsqrt x, real"""
    need(x.dtype in REALS and c.is_splat and abs(float(c.value)) == 0.5)
    return unary("sqrt" if c.value > 0 else "rsqrt", x)


@rule(lambda x, c: _exp(multiply(_log(x), constant(c))), numerics=FINITE, source=EXPONENTIAL)
def exponential_of_scaled_log_where_defined(x: Value, c: Literal) -> Value | None:
    """exp(n log x) = xⁿ for n = 2, 3, -1, where log x is defined"""
    need(x.dtype in REALS and c.is_splat and float(c.value) in (2, 3, -1))
    if c.value < 0:
        return divide(full_like(x, 1), x)
    square = multiply(x, x)
    return square if c.value == 2 else multiply(square, x)


@rule(
    lambda x, s, d, y, t, e: _exp(add(broadcast_in_dim(x, s, d), broadcast_in_dim(y, t, e))),
    numerics=ROUNDING,
    source=EXPONENTIAL,
)
def exponential_of_outer_sum(x: Value, s: Any, d: Any, y: Value, t: Any, e: Any) -> Value | None:
    """exp(bcast x + bcast y) = bcast(exp x) · bcast(exp y), both much smaller than their sum"""
    size = int(np.prod(s))
    need(4 * (x.size + y.size) <= size)
    return multiply(broadcast_in_dim(_exp(x), s, d), broadcast_in_dim(_exp(y), t, e))
