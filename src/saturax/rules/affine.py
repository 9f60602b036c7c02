"""Scales and shifts by broadcast tensors, merged where they are still small.

A chain such as normalisation, (x - m) / s · g + b with m, s, g, b per channel, becomes x · a + c
with two small tensors. In all rules the coefficients are broadcast in the same way, and are at
least `SMALLER` times smaller than x: each application replaces work on x by work on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    add,
    binary,
    broadcast_in_dim,
    constant,
    divide,
    full_like,
    multiply,
    subtract,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import (
    REALS,
    exactly,
    folded,
    is_exact,
    is_ordinary,
    need_variable,
)
from saturax.rules.rule import ROUNDING, need, rule

RING = "ring axioms"
FIELD = "field axioms"

SMALLER = 4
"""How many times smaller than a tensor its coefficients must be."""

FUNCTIONS = ("add", "multiply", "maximum", "minimum", "and", "or", "xor")


def _need_small(x: Value, *coefficients: Value) -> None:
    """Go on if the coefficients have one type and are small beside x."""
    first = coefficients[0]
    need(all(y.type == first.type for y in coefficients) and SMALLER * first.size <= x.size)


@rule(
    lambda f, x, y, z, s, d: binary(
        f, binary(f, x, broadcast_in_dim(y, s, d)), broadcast_in_dim(z, s, d)
    ),
    numerics=ROUNDING,
    source="associativity",
)
def merge_coefficients(f: Any, x: Value, y: Value, z: Value, s: Any, d: Any) -> Value | None:
    """f(f(x, bcast y), bcast z) = f(x, bcast f(y, z)) for associative f"""
    need(f in FUNCTIONS)
    _need_small(x, y, z)
    return binary(f, x, broadcast_in_dim(binary(f, y, z), s, d))


merge_coefficients_exactly = exactly(
    merge_coefficients, lambda f, x, **_: f in FUNCTIONS and is_exact(f, x.dtype)
)


@rule(
    lambda f, x, y, z, s, d: binary(
        f, binary(f, x, broadcast_in_dim(y, s, d)), binary(f, z, broadcast_in_dim(y, s, d))
    ),
    numerics=ROUNDING,
    source="associativity",
)
def merge_equal_coefficients(f: Any, x: Value, y: Value, z: Value, s: Any, d: Any) -> Value | None:
    """(x · bcast y) · (z · bcast y) = (x · z) · bcast y²; sums alike; not x + x = 2x"""
    need(f in ("add", "multiply") and x.dtype in REALS)
    _need_small(x, y)
    return binary(f, binary(f, x, z), broadcast_in_dim(binary(f, y, y), s, d))


@rule(
    lambda x, y, z, s, d: divide(multiply(x, broadcast_in_dim(y, s, d)), broadcast_in_dim(z, s, d)),
    numerics=ROUNDING,
    source=FIELD,
)
def merge_factor_and_divisor(x: Value, y: Value, z: Value, s: Any, d: Any) -> Value | None:
    """x · bcast y / bcast z = x · bcast(y / z), real"""
    need(x.dtype in REALS)
    _need_small(x, y, z)
    return multiply(x, broadcast_in_dim(divide(y, z), s, d))


@rule(
    lambda x, y, z, s, d: multiply(divide(x, broadcast_in_dim(y, s, d)), broadcast_in_dim(z, s, d)),
    numerics=ROUNDING,
    source=FIELD,
)
def merge_divisor_and_factor(x: Value, y: Value, z: Value, s: Any, d: Any) -> Value | None:
    """x / bcast y · bcast z = x · bcast(z / y), real"""
    need(x.dtype in REALS)
    _need_small(x, y, z)
    return multiply(x, broadcast_in_dim(divide(z, y), s, d))


@rule(
    lambda x, y, z, s, d: divide(divide(x, broadcast_in_dim(y, s, d)), broadcast_in_dim(z, s, d)),
    numerics=ROUNDING,
    source=FIELD,
)
def merge_divisors(x: Value, y: Value, z: Value, s: Any, d: Any) -> Value | None:
    """x / bcast y / bcast z = x / bcast(y · z), real"""
    need(x.dtype in REALS)
    _need_small(x, y, z)
    return divide(x, broadcast_in_dim(multiply(y, z), s, d))


@rule(
    lambda g, h, x, y, z, s, d: binary(
        g, binary(h, x, broadcast_in_dim(y, s, d)), broadcast_in_dim(z, s, d)
    ),
    numerics=ROUNDING,
    source=RING,
)
def merge_shifts_of_broadcast(
    g: Any, h: Any, x: Value, y: Value, z: Value, s: Any, d: Any
) -> Value | None:
    """(x - bcast y) ± bcast z = x - bcast(y ∓ z) and (x + bcast y) - bcast z = x + bcast(y - z)"""
    need(h in ("add", "subtract") and g in ("add", "subtract") and "subtract" in (g, h))
    need(x.dtype in REALS)
    _need_small(x, y, z)
    if h == "add":
        return add(x, broadcast_in_dim(subtract(y, z), s, d))
    if g == "add":
        return add(x, broadcast_in_dim(subtract(z, y), s, d))
    return subtract(x, broadcast_in_dim(add(y, z), s, d))


@rule(
    lambda g, x, y, z, s, d: multiply(
        binary(g, x, broadcast_in_dim(y, s, d)), broadcast_in_dim(z, s, d)
    ),
    numerics=ROUNDING,
    source=RING,
)
def distribute_coefficient(g: Any, x: Value, y: Value, z: Value, s: Any, d: Any) -> Value | None:
    """(x ± bcast y) · bcast z = x · bcast z ± bcast(y · z)"""
    need(g in ("add", "subtract") and x.dtype in REALS)
    _need_small(x, y, z)
    return binary(g, multiply(x, broadcast_in_dim(z, s, d)), broadcast_in_dim(multiply(y, z), s, d))


@rule(
    lambda g, h, x, y, z, s, d: binary(
        g, binary(h, x, broadcast_in_dim(z, s, d)), broadcast_in_dim(binary(h, y, z), s, d)
    ),
    numerics=ROUNDING,
    source=RING,
)
def factor_coefficient(
    g: Any, h: Any, x: Value, y: Value, z: Value, s: Any, d: Any
) -> Value | None:
    """x · bcast z ± bcast(y · z) = (x ± bcast y) · bcast z; x / bcast z alike"""
    need(g in ("add", "subtract") and h in ("multiply", "divide") and x.dtype in REALS)
    _need_small(x, y, z)
    return binary(h, binary(g, x, broadcast_in_dim(y, s, d)), broadcast_in_dim(z, s, d))


def _scaled_by_splats(rng: np.random.Generator) -> dict[str, Any]:
    values = rng.choice([-4.0, -0.5, 3.0, 0.25], 2)
    return {"c": Literal(values[0], (4, 3)), "e": Literal(values[1], (3,))} | {
        "x": TensorType((4, 3), "f64"),
        "y": TensorType((3,), "f64"),
        "s": (4, 3),
        "d": (1,),
    }


@rule(
    lambda g, x, y, c, e, s, d: binary(
        g, multiply(x, constant(c)), broadcast_in_dim(multiply(y, constant(e)), s, d)
    ),
    numerics=ROUNDING,
    source=RING,
    uses_facts=True,
    examples=_scaled_by_splats,
)
def factor_splat(
    g: Any, x: Value, y: Value, c: Literal, e: Literal, s: Any, d: Any
) -> Value | None:
    """x · c ± bcast(y · e) = (x ± bcast(y · (e / c))) · c for splats c and e, c not 0"""
    need(g in ("add", "subtract") and x.dtype in REALS and c.is_splat and e.is_splat)
    need_variable(y)  # or ever new constants would be factored out of each other
    need(SMALLER * y.size <= x.size and is_ordinary(c.data) and c.value != 0)
    quotient = folded("divide", e, splat(c.value, e.type))
    need(is_ordinary(quotient.data))
    inner = binary(g, x, broadcast_in_dim(multiply(y, constant(quotient)), s, d))
    return multiply(inner, constant(c))


@rule(
    lambda g, x, y, c, s, d: binary(g, binary(g, x, constant(c)), broadcast_in_dim(y, s, d)),
    numerics=ROUNDING,
    source="associativity",
)
def merge_splat_into_coefficient(
    g: Any, x: Value, y: Value, c: Literal, s: Any, d: Any
) -> Value | None:
    """f(f(x, c), bcast y) = f(x, bcast f(y, c)) for a splat c and associative f"""
    need(g in FUNCTIONS and c.is_splat)
    _need_small(x, y)
    return binary(g, x, broadcast_in_dim(binary(g, y, full_like(y, c.value)), s, d))


merge_splat_into_coefficient_exactly = exactly(
    merge_splat_into_coefficient, lambda g, x, **_: g in FUNCTIONS and is_exact(g, x.dtype)
)
