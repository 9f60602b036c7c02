"""Sines, cosines and tangents: fewer of them, by the addition theorems and their relatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    add,
    binary,
    constant,
    divide,
    full_like,
    multiply,
    negate,
    subtract,
    unary,
)
from saturax.rules.conditions import REALS, double_constants, folded, is_all, is_ordinary
from saturax.rules.rule import ROUNDING, need, rule

ADDITION = "addition theorems"
PYTHAGORAS = "Pythagoras"
DEFINITION = "tan x = sin x / cos x"


def _sin(x: Any) -> Any:
    return unary("sine", x)


def _cos(x: Any) -> Any:
    return unary("cosine", x)


def _double(x: Value) -> Value:
    return multiply(x, full_like(x, 2))


@rule(lambda x: divide(_sin(x), _cos(x)), numerics=ROUNDING, source=DEFINITION)
def recognize_tangent(x: Value) -> Value | None:
    """sin x / cos x = tan x, x real"""
    need(x.dtype in REALS)
    return unary("tan", x)


@rule(lambda x: divide(_cos(x), _sin(x)), numerics=ROUNDING, source=DEFINITION)
def recognize_cotangent(x: Value) -> Value | None:
    """cos x / sin x = 1 / tan x, x real"""
    need(x.dtype in REALS)
    return divide(full_like(x, 1), unary("tan", x))


@rule(lambda x: multiply(unary("tan", x), _cos(x)), numerics=ROUNDING, source=DEFINITION)
def multiply_tangent_by_cosine(x: Value) -> Value | None:
    """tan x · cos x = sin x, x real"""
    need(x.dtype in REALS)
    return _sin(x)


@rule(lambda x: multiply(_sin(x), _cos(x)), numerics=ROUNDING, source=ADDITION)
def halve_double_sine(x: Value) -> Value | None:
    """sin x · cos x = ½ sin 2x, x real"""
    need(x.dtype in REALS)
    return multiply(_sin(_double(x)), full_like(x, 0.5))


def _scaled(rng: np.random.Generator) -> dict[str, Any]:
    f, g = rng.permutation(["sine", "cosine"]).tolist()
    return {**double_constants("c")(rng), "f": f, "g": g}


@rule(
    lambda f, g, x, c: multiply(multiply(unary(f, x), constant(c)), unary(g, x)),
    numerics=ROUNDING,
    source=ADDITION,
    examples=_scaled,
)
def halve_scaled_double_sine(f: Any, g: Any, x: Value, c: Literal) -> Value | None:
    """(c · sin x) · cos x = c/2 · sin 2x, the factor on either of them; x real"""
    need(f in ("sine", "cosine") and g in ("sine", "cosine") and f != g and x.dtype in REALS)
    half = folded("multiply", c, Literal(c.data.dtype.type(0.5), c.type.shape))
    need(is_ordinary(half.data))
    return multiply(_sin(_double(x)), constant(half))


@rule(
    lambda x: subtract(multiply(_cos(x), _cos(x)), multiply(_sin(x), _sin(x))),
    numerics=ROUNDING,
    source=ADDITION,
)
def recognize_double_cosine(x: Value) -> Value | None:
    """cos²x - sin²x = cos 2x, x real"""
    need(x.dtype in REALS)
    return _cos(_double(x))


def _halved(rng: np.random.Generator) -> dict[str, Any]:
    """A factor c of a square, and minus or plus half of it: e."""
    c, g = float(rng.uniform(0.5, 4.0)), str(rng.choice(["add", "subtract"]))
    e = c / 2 if g == "subtract" else -c / 2
    drawn = {name: Literal(np.asarray(value), (3,)) for name, value in (("c", c), ("e", e))}
    return {**drawn, "g": g, "f": str(rng.choice(["sine", "cosine"]))}


def _minuend(rng: np.random.Generator) -> dict[str, Any]:
    c = float(rng.uniform(0.5, 4.0))
    drawn = {name: Literal(np.asarray(value), (3,)) for name, value in (("c", c), ("e", c / 2))}
    return {**drawn, "f": str(rng.choice(["sine", "cosine"]))}


def _double_angle(f: str, x: Value, c: Literal, e: float, sign: int) -> Any:
    """± c/2 · cos 2x for cosine and sine, if e is c/2."""
    need(c.is_splat)
    half = float(c.value) / 2
    need(half == e and is_ordinary(np.asarray(half, c.data.dtype)))
    doubled = _cos(_double(x))
    return multiply(doubled, full_like(x, sign * half if f == "cosine" else -sign * half))


@rule(
    lambda f, g, x, c, e: binary(
        g, multiply(multiply(unary(f, x), unary(f, x)), constant(c)), constant(e)
    ),
    numerics=ROUNDING,
    source=ADDITION,
    examples=_halved,
)
def double_angle_of_square(f: Any, g: Any, x: Value, c: Literal, e: Literal) -> Value | None:
    """c · cos²x - c/2 = c/2 · cos 2x and c · sin²x - c/2 = -c/2 · cos 2x, x real"""
    need(f in ("sine", "cosine") and g in ("add", "subtract"))
    need(x.dtype in REALS and e.is_splat)
    return _double_angle(f, x, c, float(e.value) if g == "subtract" else -float(e.value), 1)


@rule(
    lambda f, x, c, e: subtract(
        constant(e), multiply(multiply(unary(f, x), unary(f, x)), constant(c))
    ),
    numerics=ROUNDING,
    source=ADDITION,
    examples=_minuend,
)
def double_angle_of_complement(f: Any, x: Value, c: Literal, e: Literal) -> Value | None:
    """c/2 - c · sin²x = c/2 · cos 2x and c/2 - c · cos²x = -c/2 · cos 2x, x real"""
    need(f in ("sine", "cosine") and x.dtype in REALS and e.is_splat)
    return _double_angle(f, x, c, float(e.value), -1)


@rule(
    lambda x, y, c: divide(y, add(multiply(unary("tan", x), unary("tan", x)), constant(c))),
    numerics=ROUNDING,
    source=PYTHAGORAS,
    examples=lambda rng: {"c": Literal(np.asarray(1.0), (3,))},
)
def divide_by_square_of_secant(x: Value, y: Value, c: Literal) -> Value | None:
    """y / (1 + tan²x) = y · cos²x, real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return multiply(y, multiply(_cos(x), _cos(x)))


@rule(
    lambda c, f, x: subtract(constant(c), multiply(unary(f, x), unary(f, x))),
    numerics=ROUNDING,
    source=PYTHAGORAS,
    examples=lambda rng: {"c": Literal(np.asarray(1.0), (3,))},
)
def complement_square(c: Literal, f: Any, x: Value) -> Value | None:
    """1 - sin²x = cos²x and 1 - cos²x = sin²x, x real"""
    need(f in ("sine", "cosine") and x.dtype in REALS and is_all(c, 1.0))
    other = unary("cosine" if f == "sine" else "sine", x)
    return multiply(other, other)


@rule(
    lambda g, x, y: binary(g, multiply(_sin(x), _cos(y)), multiply(_cos(x), _sin(y))),
    numerics=ROUNDING,
    source=ADDITION,
)
def add_angles_of_sine(g: Any, x: Value, y: Value) -> Value | None:
    """sin x · cos y ± cos x · sin y = sin(x ± y), real"""
    need(g in ("add", "subtract") and x.dtype in REALS)
    return _sin(binary(g, x, y))


@rule(
    lambda g, x, y: binary(g, multiply(_cos(x), _cos(y)), multiply(_sin(x), _sin(y))),
    numerics=ROUNDING,
    source=ADDITION,
)
def add_angles_of_cosine(g: Any, x: Value, y: Value) -> Value | None:
    """cos x · cos y ∓ sin x · sin y = cos(x ± y), real"""
    need(g in ("add", "subtract") and x.dtype in REALS)
    return _cos(subtract(x, y) if g == "add" else add(x, y))


@rule(
    lambda x, y, c, e: binary("atan2", multiply(x, constant(c)), multiply(y, constant(e))),
    numerics=ROUNDING,
    source="an angle does not depend on the radius",
    examples=lambda rng: dict.fromkeys("ce", Literal(np.asarray(rng.uniform(0.5, 3.0)), (2,))),
)
def scale_of_angle(x: Value, y: Value, c: Literal, e: Literal) -> Value | None:
    """atan2(c·x, c·y) = atan2(x, y) for a splat c > 0"""
    need(x.dtype in REALS and c.is_splat and e.is_splat and c.value == e.value)
    need(0 < float(c.value) < float("inf"))
    return binary("atan2", x, y)


@rule(
    lambda x, y: binary("atan2", negate(x), y),
    numerics=ROUNDING,
    source="an angle below the axis is negative",
)
def angle_of_mirrored(x: Value, y: Value) -> Value | None:
    """atan2(-x, y) = -atan2(x, y), real"""
    need(x.dtype in REALS)
    return negate(binary("atan2", x, y))
