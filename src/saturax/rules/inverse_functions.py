"""Trigonometric and hyperbolic functions of inverse ones: roots instead of transcendentals.

    cos(arcsin x) = √(1 - x²)        sin(arctan x) = x / √(1 + x²)        cos(atan2(y, x)) = x / r

1 - x² is written (1 - x)·(1 + x), which does not cancel where x is close to ±1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import add, binary, compare, full_like, multiply, select, subtract, unary
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS
from saturax.rules.facts import is_finite, is_nonzero
from saturax.rules.rule import APPROXIMATE, ROUNDING, need, rule

TRIANGLE = "a right triangle with the sides x and 1"
POLAR = "polar coordinates"


def _complement(x: Value) -> Value:
    """1 - x²."""
    one = full_like(x, 1)
    return multiply(subtract(one, x), add(one, x))


def _increment(x: Value) -> Value:
    """1 + x²."""
    return add(multiply(x, x), full_like(x, 1))


def _root(x: Value) -> Value:
    return unary("sqrt", x)


def _reciprocal_root(x: Value) -> Value:
    return unary("rsqrt", x)


_COMPOSED: dict[tuple[str, str], Callable[[Value], Value]] = {
    ("sine", "chlo.acos"): lambda x: _root(_complement(x)),
    ("cosine", "chlo.asin"): lambda x: _root(_complement(x)),
    ("sine", "chlo.atan"): lambda x: multiply(x, _reciprocal_root(_increment(x))),
    ("cosine", "chlo.atan"): lambda x: _reciprocal_root(_increment(x)),
    ("tan", "chlo.asin"): lambda x: multiply(x, _reciprocal_root(_complement(x))),
    ("chlo.cosh", "chlo.asinh"): lambda x: _root(_increment(x)),
    ("tanh", "chlo.asinh"): lambda x: multiply(x, _reciprocal_root(_increment(x))),
    ("chlo.cosh", "chlo.atanh"): lambda x: _reciprocal_root(_complement(x)),
    ("chlo.sinh", "chlo.atanh"): lambda x: multiply(x, _reciprocal_root(_complement(x))),
}
"""f(g(x)) by f and g; both sides are NaN outside of [-1, 1] where g is."""


def _composed(rng: np.random.Generator) -> dict[str, Any]:
    f, g = list(_COMPOSED)[rng.integers(len(_COMPOSED))]
    return {"f": f, "g": g, "x": TensorType((2, 3), str(rng.choice(["f32", "f64"])))}


@rule(lambda f, g, x: unary(f, unary(g, x)), numerics=ROUNDING, source=TRIANGLE, examples=_composed)
def compose_with_inverse(f: Any, g: Any, x: Value) -> Value | None:
    """cos(arcsin x) = √(1 - x²), sin(arctan x) = x/√(1 + x²), …; real"""
    need(x.dtype in REALS and (f, g) in _COMPOSED)
    return _COMPOSED[f, g](x)


def _over_radius(f: str, y: Value, x: Value) -> tuple[Value, Value]:
    """x / r for a cosine, y / r for a sine, and r²."""
    need(f in ("sine", "cosine") and x.dtype in REALS)
    square = add(multiply(x, x), multiply(y, y))
    return multiply(x if f == "cosine" else y, _reciprocal_root(square)), square


@rule(
    lambda f, y, x: unary(f, binary("atan2", y, x)),
    numerics=ROUNDING,
    source=POLAR,
    uses_facts=True,
)
def function_of_known_angle(f: Any, y: Value, x: Value) -> Value | None:
    """cos(atan2(y, x)) = x / √(x² + y²), sin(atan2(y, x)) = y / √(x² + y²), not both 0; finite"""
    need(is_finite(x) and is_finite(y) and (is_nonzero(x) or is_nonzero(y)))
    return _over_radius(f, y, x)[0]


# In this class because of atan2(0, -0) = π, and of squares that underflow.
@rule(
    lambda f, y, x: unary(f, binary("atan2", y, x)),
    numerics=APPROXIMATE,
    source=POLAR,
)
def function_of_angle(f: Any, y: Value, x: Value) -> Value | None:
    """cos(atan2(y, x)) = x / √(x² + y²), sin(atan2(y, x)) = y / √(x² + y²); real"""
    value, square = _over_radius(f, y, x)
    origin = full_like(x, 1 if f == "cosine" else 0)
    return select(compare(square, full_like(square, 0), "EQ"), origin, value)
