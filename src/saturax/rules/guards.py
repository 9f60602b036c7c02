"""Guards against NaN and infinities, and the derivatives that JAX writes with them.

The derivative of log(eˣ + eʸ) replaces an infinite x, and an infinite logarithm, by 0, so that
their difference is a number. Behind the two guards nothing shows that it is logistic(x - y).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    add,
    compare,
    constant,
    divide,
    full_like,
    maximum,
    negate,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, numpy_dtype
from saturax.rules.conditions import INTEGERS, REALS, folded, is_all, is_ordinary
from saturax.rules.facts import is_nonnegative
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

NUMBERS = "no number is infinite or NaN"
DERIVATIVE = "d log(eˣ + eʸ) / dx = eˣ / (eˣ + eʸ)"


def _real(rng: np.random.Generator) -> TensorType:
    return TensorType((2, 3), str(rng.choice(["f32", "f64"])))


def _beside_infinity(rng: np.random.Generator) -> dict[str, Any]:
    x = _real(rng)
    return {"x": x, "c": splat(rng.choice([-np.inf, np.inf]), x), "k": "FLOAT"}


@rule(
    lambda x, c, d, k: compare(x, constant(c), d, k),
    numerics=FINITE,
    source=NUMBERS,
    special=("c",),
    examples=_beside_infinity,
)
def compare_with_infinity(x: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """(x = ∞) = (x ≥ ∞) = false and (x < ∞) = (x ≠ ∞) = true; -∞ alike; real"""
    need(x.dtype in REALS and c.is_splat and k == "FLOAT" and np.isinf(c.data.astype(np.float64)))
    true_if = ("NE", "LT", "LE") if c.value > 0 else ("NE", "GT", "GE")
    return full_like(compare(x, constant(c), d, k), d in true_if)


@rule(lambda x: unary("is_finite", x), numerics=FINITE, source=NUMBERS)
def assume_finite(x: Value) -> Value | None:
    """is_finite x = true"""
    return full_like(unary("is_finite", x), True)


@rule(
    lambda x, y, z, k: select(compare(x, x, "NE", k), x, add(maximum(x, y), z)),
    numerics=BITWISE,
    source="IEEE 754-2019, maximum",
)
def drop_guard_against_nan(x: Value, y: Value, z: Value, k: Any) -> Value | None:
    """x where x is NaN, else max(x, y) + z = max(x, y) + z, which is NaN where x is; real"""
    need(x.dtype in REALS and k == "FLOAT")
    return add(maximum(x, y), z)


def _guarded_sum(rng: np.random.Generator) -> dict[str, Any]:
    x = TensorType((2, 3), "f64")
    return {"x": x, "c": splat(rng.normal(), x), "z": splat(rng.choice([0.0, 1.0]), x)}


@rule(
    lambda x, c, z: select(
        unary("is_finite", add(x, constant(c))), add(x, constant(c)), constant(z)
    ),
    numerics=ROUNDING,
    source="x + c is finite where x is",
    examples=_guarded_sum,
)
def shift_guarded_by_finiteness(x: Value, c: Literal, z: Literal) -> Value | None:
    """x + c where that is finite, else z = (x where finite, else z - c) + c, for splats"""
    need(x.dtype in REALS and c.is_splat and z.is_splat)
    other = folded("subtract", z, c)
    need(is_ordinary(c.data) and is_ordinary(other.data))
    return add(select(unary("is_finite", x), x, constant(other)), constant(c))


def _never_negative(rng: np.random.Generator) -> dict[str, Any]:
    """Numbers that are never below 0, among them 0, infinity and NaN."""
    x = _real(rng)
    numbers = rng.choice([0.0, 0.5, 2.0, np.inf, np.nan], x.shape).astype(numpy_dtype(x.dtype))
    return {"x": Literal(numbers), "y": x, "c": splat(0, x), "k": "FLOAT"}


@rule(
    lambda x, y, c, k: select(compare(x, constant(c), "GE", k), divide(y, x), negate(divide(y, x))),
    numerics=BITWISE,
    source="IEEE 754: y / NaN is NaN",
    uses_facts=True,
    special=("x",),
    examples=_never_negative,
)
def drop_sign_of_divisor(x: Value, y: Value, c: Literal, k: Any) -> Value | None:
    """y / x where x ≥ 0, else -(y / x) = y / x for x that is never below 0: gradients of log |x|"""
    need(x.dtype in REALS and k == "FLOAT" and is_all(c, 0.0) and is_nonnegative(x))
    return divide(y, x)


# ------------------------------------------------------------------ values that were replaced


def _replaced(rng: np.random.Generator) -> dict[str, Any]:
    """What is replaced by what, and what the result is compared with: equal ones in each third."""
    x = TensorType((2, 3), str(rng.choice(["f32", "f64", "i32"])))
    values = [np.inf, -np.inf, 1.0, 2.0] if x.dtype != "i32" else [0, 1, 2, 3]
    c, b, e = (values[int(i)] for i in rng.integers(0, len(values), 3))
    e = c if rng.random() < 0.3 else e
    kind = "SIGNED" if x.dtype == "i32" else "FLOAT"
    literals = {name: splat(value, x) for name, value in (("c", c), ("b", b), ("e", e))}
    return literals | {"x": x, "k": kind}


def _need_other(b: Literal, e: Literal) -> None:
    """The rule applies to splats of ordinary types that differ, neither of them NaN."""
    need(b.type.dtype in REALS or b.type.dtype in INTEGERS)
    need(b.is_splat and e.is_splat and bool(b.value < e.value or b.value > e.value))


@rule(
    lambda x, c, b, e, k: compare(
        select(compare(x, constant(c), "EQ", k), constant(b), x), constant(e), "EQ", k
    ),
    numerics=BITWISE,
    source="IEEE 754, comparison",
    examples=_replaced,
)
def compare_replaced(x: Value, c: Literal, b: Literal, e: Literal, k: Any) -> Value | None:
    """((b where x = c, else x) = e) = (x = e) for b ≠ e; false if c = e"""
    _need_other(b, e)
    need(c.is_splat and k != "TOTALORDER")
    found = compare(x, constant(e), "EQ", k)
    return full_like(found, False) if c.value == e.value else found


@rule(
    lambda x, b, e, k: compare(
        select(compare(x, x, "NE", k), constant(b), x), constant(e), "EQ", k
    ),
    numerics=BITWISE,
    source="IEEE 754, comparison",
    examples=lambda rng: {n: v for n, v in _replaced(rng).items() if n != "c"},
)
def compare_replaced_nan(x: Value, b: Literal, e: Literal, k: Any) -> Value | None:
    """((b where x is NaN, else x) = e) = (x = e) for b ≠ e"""
    _need_other(b, e)
    need(k != "TOTALORDER")
    return compare(x, constant(e), "EQ", k)


# ------------------------------------------------------------------ derivatives of log(eˣ + eʸ)


def log_sum(x: Any, y: Any, distance: Any) -> Any:
    """log(eˣ + eʸ) for the distance |x - y|, as `logaddexp` computes it."""
    return add(maximum(x, y), unary("log_plus_one", unary("exponential", negate(distance))))


def _checked_log_sum(x: Any, y: Any) -> Any:
    """log(eˣ + eʸ) as `logaddexp` computes it: x + y where x - y is NaN, as for two infinities."""
    difference = subtract(x, y)
    found = log_sum(x, y, unary("abs", difference))
    return select(compare(difference, difference, "NE", "FLOAT"), add(x, y), found)


def _guarded(x: Any, c: Any, z: Any, k: Any) -> Any:
    return select(compare(x, constant(c), "EQ", k), constant(z), x)


def derivative(x: Any, logarithm: Any, c: Any, z: Any, k: Any) -> Any:
    """exp(x - logarithm), 0 (`z`) for what is ∞ (`c`), as JAX writes the derivative."""
    return unary("exponential", subtract(_guarded(x, c, z, k), _guarded(logarithm, c, z, k)))


def _guards(rng: np.random.Generator) -> dict[str, Any]:
    x = _real(rng)
    return {"x": x, "y": x, "c": splat(np.inf, x), "z": splat(0, x), "k": "FLOAT"}


def _need_guards(x: Value, c: Literal, z: Literal) -> None:
    need(x.dtype in REALS and c.is_splat and c.value == np.inf and is_all(z, 0.0))


@rule(
    lambda x, y, c, z, k: derivative(x, _checked_log_sum(x, y), c, z, k),
    numerics=ROUNDING,
    source=DERIVATIVE,
    special=("c",),
    examples=_guards,
)
def derivative_of_log_sum(x: Value, y: Value, c: Literal, z: Literal, k: Any) -> Value | None:
    """exp(x - log(eˣ + eʸ)) = logistic(x - y), each guarded against ∞; real"""
    _need_guards(x, c, z)
    return unary("logistic", subtract(x, y))


@rule(
    lambda x, c, z, k: derivative(x, log_sum(x, constant(z), unary("abs", x)), c, z, k),
    numerics=ROUNDING,
    source=DERIVATIVE,
    special=("c",),
    examples=_guards,
)
def derivative_of_softplus(x: Value, c: Literal, z: Literal, k: Any) -> Value | None:
    """exp(x - log(eˣ + 1)) = logistic x, each guarded against ∞; real"""
    _need_guards(x, c, z)
    return unary("logistic", x)
