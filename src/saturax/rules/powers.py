"""Roots, powers and reciprocals of one another.

What is false at 0 alone, as x / x = 1, is of the class APPROXIMATE: 0 is finite. `known_domains`
has twins for operands that are proved not to be 0.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    concatenate,
    constant,
    divide,
    full_like,
    multiply,
    power,
    reshape,
    slice_dimension,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.arithmetic import accumulation_dtype
from saturax.rules.conditions import REALS, is_all
from saturax.rules.rule import APPROXIMATE, BITWISE, FINITE, ROUNDING, need, rule
from saturax.rules.transcendental import MAX_POWER, natural_power

DEFINITION = "definition over the reals"
FIELD = "field axioms"


def _sqrt(x: Any) -> Any:
    return unary("sqrt", x)


def _rsqrt(x: Any) -> Any:
    return unary("rsqrt", x)


@rule(lambda x: unary("chlo.square", x), numerics=BITWISE, source="CHLO, `square`")
def expand_square(x: Value) -> Value | None:
    """square x = x · x, real"""
    need(x.dtype in REALS)
    return multiply(x, x)


@rule(lambda x: unary("chlo.square", x), numerics=ROUNDING, source="CHLO, `square`")
def expand_complex_square(x: Value) -> Value | None:
    """square z = z · z, complex"""
    need(is_complex(x.dtype))
    return multiply(x, x)


@rule(lambda x, c: power(constant(c), x), numerics=BITWISE, source="IEEE 754-2019, pow")
def power_of_one(x: Value, c: Literal) -> Value | None:
    """1ˣ = 1 (also for NaN), real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return full_like(x, 1)


@rule(lambda x, c: _sqrt(divide(constant(c), x)), numerics=ROUNDING, source=DEFINITION)
def root_of_reciprocal(x: Value, c: Literal) -> Value | None:
    """√(1/x) = rsqrt x, x real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return _rsqrt(x)


@rule(lambda x, c: _rsqrt(divide(constant(c), x)), numerics=ROUNDING, source=DEFINITION)
def reciprocal_root_of_reciprocal(x: Value, c: Literal) -> Value | None:
    """rsqrt(1/x) = √x, x real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return _sqrt(x)


@rule(lambda x: divide(x, _sqrt(x)), numerics=APPROXIMATE, source=DEFINITION)
def divide_by_own_root(x: Value) -> Value | None:
    """x / √x = √x, where x is not 0; x real"""
    need(x.dtype in REALS)
    return _sqrt(x)


@rule(lambda x: multiply(x, _rsqrt(x)), numerics=APPROXIMATE, source=DEFINITION)
def multiply_by_own_reciprocal_root(x: Value) -> Value | None:
    """x · rsqrt x = √x, where x is not 0; x real"""
    need(x.dtype in REALS)
    return _sqrt(x)


@rule(lambda x: divide(_sqrt(x), x), numerics=ROUNDING, source=DEFINITION)
def divide_root_by_radicand(x: Value) -> Value | None:
    """√x / x = rsqrt x, x real"""
    need(x.dtype in REALS)
    return _rsqrt(x)


@rule(lambda x: multiply(_rsqrt(x), _rsqrt(x)), numerics=FINITE, source=DEFINITION)
def square_of_reciprocal_root(x: Value) -> Value | None:
    """rsqrt x · rsqrt x = 1/x, where rsqrt x is defined; x real"""
    need(x.dtype in REALS)
    return divide(full_like(x, 1), x)


@rule(lambda x: multiply(_sqrt(x), _rsqrt(x)), numerics=APPROXIMATE, source=DEFINITION)
def root_times_reciprocal_root(x: Value) -> Value | None:
    """√x · rsqrt x = 1, where rsqrt x is defined; x real"""
    need(x.dtype in REALS)
    return full_like(x, 1)


@rule(lambda x: _rsqrt(multiply(x, x)), numerics=ROUNDING, source=DEFINITION)
def reciprocal_root_of_square(x: Value) -> Value | None:
    """rsqrt(x · x) = 1 / |x|, x real"""
    need(x.dtype in REALS)
    return divide(full_like(x, 1), unary("abs", x))


@rule(lambda x: _rsqrt(unary("exponential", x)), numerics=ROUNDING, source=DEFINITION)
def reciprocal_root_of_exponential(x: Value) -> Value | None:
    """rsqrt(exp x) = exp(-x / 2), x real"""
    need(x.dtype in REALS)
    return unary("exponential", multiply(x, full_like(x, -0.5)))


def _exponents(rng: np.random.Generator) -> dict[str, Any]:
    """Small exponents c that differ along one dimension, repeated along the others."""
    rank, n = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    axis = int(rng.integers(rank))
    own = tuple(n if d == axis else 1 for d in range(rank))
    s = tuple(n if d == axis else int(rng.integers(1, 3)) for d in range(rank))
    c = Literal(rng.integers(0, 5, n).astype(np.float64).reshape(own))
    return {"c": c, "s": s, "e": tuple(range(rank)), "x": TensorType(s, "f64")}


@rule(
    lambda x, c, s, e: power(x, broadcast_in_dim(constant(c), s, e)),
    numerics=ROUNDING,
    source=DEFINITION,
    examples=_exponents,
)
def powers_side_by_side(x: Value, c: Literal, s: Any, e: Any) -> Value | None:
    """xᵇᶜᵃˢᵗ ⁽ᶜ⁾ = [x₀^c₀, x₁^c₁, …] along the one dimension of 2 to 8 natural exponents c"""
    need(x.dtype in REALS and not c.is_splat and c.data.size == max(c.type.shape) <= MAX_POWER)
    exponents = c.data.astype(np.float64).ravel()
    need(bool(np.all((exponents >= 0) & (exponents <= MAX_POWER) & (exponents % 1 == 0))))
    axis = e[c.type.shape.index(exponents.size)]
    parts = [
        natural_power(slice_dimension(x, axis, i, i + 1), int(n)) for i, n in enumerate(exponents)
    ]
    return reduce(lambda a, b: concatenate(a, b, axis), parts)


@rule(
    lambda x, c: power(constant(c), x),
    numerics=ROUNDING,
    source="cˣ = exp(x · log c)",
    examples=lambda rng: {"c": Literal(np.asarray(rng.uniform(0.5, 4.0)), (3,))},
)
def power_of_constant(x: Value, c: Literal) -> Value | None:
    """cˣ = exp(x · log c) for a splat c > 0, real"""
    need(x.dtype in REALS and c.is_splat and 0 < float(c.value) < float("inf"))
    need(accumulation_dtype(x.dtype) == x.dtype)  # a rounded x · log c is a wrong power
    exponent = np.log(c.data.astype(np.float64))
    need(exponent != 0)
    return unary("exponential", multiply(x, full_like(x, float(exponent))))


# ------------------------------------------------------------------ of positive operands

_JOINED = {
    ("log", "add"): "multiply",
    ("log", "subtract"): "divide",
    ("sqrt", "multiply"): "multiply",
    ("sqrt", "divide"): "divide",
}
"""h with g(f(x), f(y)) = f(h(x, y)), by f and g."""


def _joined_functions(rng: np.random.Generator) -> dict[str, Any]:
    f, g = list(_JOINED)[rng.integers(len(_JOINED))]
    x = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    return {"f": f, "g": g, "x": x, "y": x}


@rule(
    lambda f, g, x, y: binary(g, unary(f, x), unary(f, y)),
    numerics=APPROXIMATE,
    source="logarithms and roots of products",
    examples=_joined_functions,
)
def join_positive(f: Any, g: Any, x: Value, y: Value) -> Value | None:
    """log x ± log y = log(x · y), log(x / y); √x · √y = √(x · y), √x / √y = √(x / y); x, y > 0"""
    need(x.dtype in REALS and (f, g) in _JOINED)
    return unary(f, binary(_JOINED[f, g], x, y))


@rule(
    lambda g, x, y, z: binary(g, power(x, y), power(x, z)),
    numerics=APPROXIMATE,
    source="laws of powers",
)
def join_powers_of_positive(g: Any, x: Value, y: Value, z: Value) -> Value | None:
    """xʸ · xᶻ = x^(y + z) and xʸ / xᶻ = x^(y - z), where x > 0; real"""
    need(x.dtype in REALS and g in ("multiply", "divide"))
    return power(x, binary("add" if g == "multiply" else "subtract", y, z))


# ------------------------------------------------------------------ quotients that cancel


@rule(lambda x: divide(x, x), numerics=APPROXIMATE, source=FIELD)
def divide_by_itself(x: Value) -> Value | None:
    """x / x = 1, where x is not 0; not integers"""
    need(x.dtype in REALS)
    return full_like(x, 1)


@rule(lambda x, y: multiply(divide(x, y), y), numerics=APPROXIMATE, source=FIELD)
def multiply_by_divisor(x: Value, y: Value) -> Value | None:
    """x / y · y = x, where y is not 0; real"""
    need(x.dtype in REALS)
    return x


@rule(lambda x, y: divide(multiply(x, y), y), numerics=APPROXIMATE, source=FIELD)
def divide_by_factor(x: Value, y: Value) -> Value | None:
    """x · y / y = x, where y is not 0; real"""
    need(x.dtype in REALS)
    return x


@rule(lambda x, y: divide(x, multiply(x, y)), numerics=APPROXIMATE, source=FIELD)
def divide_by_multiple(x: Value, y: Value) -> Value | None:
    """x / (x · y) = 1 / y, where x is not 0; real"""
    need(x.dtype in REALS)
    return divide(full_like(y, 1), y)


@rule(lambda x, y, z: divide(multiply(x, y), multiply(x, z)), numerics=APPROXIMATE, source=FIELD)
def cancel_factor(x: Value, y: Value, z: Value) -> Value | None:
    """x · y / (x · z) = y / z, where x is not 0; real"""
    need(x.dtype in REALS)
    return divide(y, z)


@rule(lambda x, y, z: divide(divide(x, z), divide(y, z)), numerics=APPROXIMATE, source=FIELD)
def cancel_divisor(x: Value, y: Value, z: Value) -> Value | None:
    """(x / z) / (y / z) = x / y, where z is not 0; real"""
    need(x.dtype in REALS)
    return divide(x, y)


@rule(
    lambda x, y, z, s: divide(reshape(divide(x, z), s), reshape(divide(y, z), s)),
    numerics=APPROXIMATE,
    source=FIELD,
)
def cancel_divisor_of_reshaped(x: Value, y: Value, z: Value, s: Any) -> Value | None:
    """reshape(x / z) / reshape(y / z) = reshape(x / y), where z is not 0; real"""
    need(x.dtype in REALS)
    return reshape(divide(x, y), s)


@rule(lambda x, c, d: divide(constant(c), divide(constant(d), x)), numerics=ROUNDING, source=FIELD)
def reciprocal_of_reciprocal(x: Value, c: Literal, d: Literal) -> Value | None:
    """1 / (1 / x) = x, x real"""
    need(x.dtype in REALS and is_all(c, 1.0) and is_all(d, 1.0))
    return x


@rule(
    lambda f, x, y: unary("sqrt", binary(f, multiply(x, x), multiply(y, y))),
    numerics=ROUNDING,
    source="√(x²) = |x|",
)
def root_of_squares(f: Any, x: Value, y: Value) -> Value | None:
    """√(x² / y²) = |x / y| and √(x² · y²) = |x · y|, real"""
    need(f in ("multiply", "divide") and x.dtype in REALS)
    return unary("abs", binary(f, x, y))
