"""Distributivity and quotients: common factors, common divisors, products with reciprocals."""

from __future__ import annotations

from math import prod
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
    negate,
    reduce_,
    subtract,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.conditions import (
    INTEGERS,
    REALS,
    double_constants,
    exactly,
    folded,
    for_integers,
    is_exact,
    is_ordinary,
    need_variable,
)
from saturax.rules.facts import constant_of
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

RING = "ring axioms"
FIELD = "field axioms"
IEEE = "IEEE 754-2019"

# ------------------------------------------------------------------ distributivity


def _need_no_cancellation(g: Any, y: Value, z: Value) -> None:
    """Go on unless y ± z is the constant 0: x · 0 is not folded (x may be infinite), and a class
    that equals multiples of itself would feed other rules without end.
    """
    c, d = constant_of(y), constant_of(z)
    need(c is None or d is None or np.any(folded(g, c, d).data != 0))


@rule(
    lambda g, x, y, z: binary(g, multiply(x, y), multiply(x, z)),
    numerics=ROUNDING,
    source=RING,
    uses_facts=True,
)
def factor_sum(g: Any, x: Value, y: Value, z: Value) -> Value | None:
    """x · y ± x · z = x · (y ± z)"""
    need(g in ("add", "subtract"))
    if constant_of(x) is not None:
        need_variable(y, z)
    _need_no_cancellation(g, y, z)
    return multiply(x, binary(g, y, z))


factor_sum_exactly = exactly(factor_sum, lambda g, x, y, z: x.dtype in INTEGERS)


@rule(lambda x, y: add(multiply(x, y), x), numerics=ROUNDING, source=RING, uses_facts=True)
def factor_sum_with_itself(x: Value, y: Value) -> Value | None:
    """x · y + x = x · (y + 1)"""
    need_variable(x)
    need(x.dtype in REALS or x.dtype in INTEGERS)
    one = full_like(y, 1)
    _need_no_cancellation("add", y, one)
    return multiply(x, add(y, one))


@rule(lambda x, y: subtract(multiply(x, y), x), numerics=ROUNDING, source=RING, uses_facts=True)
def factor_minuend(x: Value, y: Value) -> Value | None:
    """x · y - x = x · (y - 1)"""
    need_variable(x)
    need(x.dtype in REALS or x.dtype in INTEGERS)
    one = full_like(y, 1)
    _need_no_cancellation("subtract", y, one)
    return multiply(x, subtract(y, one))


@rule(lambda x, y: subtract(x, multiply(x, y)), numerics=ROUNDING, source=RING, uses_facts=True)
def factor_subtrahend(x: Value, y: Value) -> Value | None:
    """x - x · y = x · (1 - y)"""
    need_variable(x)
    need(x.dtype in REALS or x.dtype in INTEGERS)
    one = full_like(y, 1)
    _need_no_cancellation("subtract", one, y)
    return multiply(x, subtract(one, y))


@rule(
    lambda x, y, z, w: add(add(multiply(x, y), w), multiply(x, z)),
    numerics=ROUNDING,
    source=RING,
    uses_facts=True,
)
def factor_sum_around(x: Value, y: Value, z: Value, w: Value) -> Value | None:
    """(x · y + w) + x · z = x · (y + z) + w"""
    need_variable(x)
    _need_no_cancellation("add", y, z)
    return add(multiply(x, add(y, z)), w)


@rule(
    lambda x, c, d: multiply(add(x, constant(c)), constant(d)),
    numerics=ROUNDING,
    source=RING,
    examples=double_constants("c", "d"),
)
def distribute_constants(x: Value, c: Literal, d: Literal) -> Value | None:
    """(x + c) · d = x · d + c·d"""
    product = folded("multiply", c, d)
    need(is_ordinary(product.data))
    return add(multiply(x, constant(d)), constant(product))


distribute_constants_exactly = for_integers(distribute_constants)


def _outer_sum(rng: np.random.Generator) -> dict[str, Any]:
    n, m = (int(k) for k in rng.integers(2, 5, 2))
    g, f = str(rng.choice(["add", "subtract"])), str(rng.choice(["multiply", "divide"]))
    c = splat(float(rng.uniform(0.5, 2.0)), TensorType((n, m), "f64"))
    operands = {"x": TensorType((n,), "f64"), "y": TensorType((m,), "f64")}
    return {"f": f, "g": g, "c": c, "s": (n, m), "d": (0,), "e": (1,)} | operands


def _need_outer(x: Value, y: Value, s: Any) -> None:
    """Go on where x and y are smaller than what they are repeated to, both taken together."""
    need(x.size + y.size < prod(s))


@rule(
    lambda g, x, y, s, d, e: negate(
        binary(g, broadcast_in_dim(x, s, d), broadcast_in_dim(y, s, e))
    ),
    numerics=ROUNDING,
    source=RING,
    examples=_outer_sum,
)
def negate_before_outer_sum(g: Any, x: Value, y: Value, s: Any, d: Any, e: Any) -> Value | None:
    """-(bcast x + bcast y) = bcast(-x) + bcast(-y), and bcast y - bcast x for a difference"""
    need(g in ("add", "subtract"))
    _need_outer(x, y, s)
    if g == "subtract":
        return subtract(broadcast_in_dim(y, s, e), broadcast_in_dim(x, s, d))
    return add(broadcast_in_dim(negate(x), s, d), broadcast_in_dim(negate(y), s, e))


@rule(
    lambda f, g, x, y, s, d, e, c: binary(
        f, binary(g, broadcast_in_dim(x, s, d), broadcast_in_dim(y, s, e)), constant(c)
    ),
    numerics=ROUNDING,
    source=RING,
    examples=_outer_sum,
)
def scale_before_outer_sum(
    f: Any, g: Any, x: Value, y: Value, s: Any, d: Any, e: Any, c: Literal
) -> Value | None:
    """c · (bcast x ± bcast y) = bcast(c · x) ± bcast(c · y) for a splat c; / c too, not integers"""
    need(f in ("multiply", "divide") and g in ("add", "subtract") and c.is_splat)
    _need_outer(x, y, s)
    need(x.dtype in REALS or is_complex(x.dtype) or f == "multiply")
    need(is_ordinary(c.data) and bool(np.all(c.data != 0)))
    scaled = [binary(f, value, constant(Literal(c.data, value.shape))) for value in (x, y)]
    return binary(g, *(broadcast_in_dim(v, s, k) for v, k in zip(scaled, (d, e), strict=True)))


@rule(lambda g, x, y, z: binary(g, divide(x, z), divide(y, z)), numerics=ROUNDING, source=FIELD)
def factor_divisor(g: Any, x: Value, y: Value, z: Value) -> Value | None:
    """x/z ± y/z = (x ± y) / z, not integers"""
    need(g in ("add", "subtract") and (x.dtype in REALS or is_complex(x.dtype)))
    return divide(binary(g, x, y), z)


@rule(
    lambda f, x, y, d: binary(f, reduce_(f, x, d), reduce_(f, y, d)),
    numerics=BITWISE,
    source="f is associative, commutative and idempotent",
)
def merge_reduction_operands(f: Any, x: Value, y: Value, d: Any) -> Value | None:
    """max(max x, max y) = max over max(x, y), x and y of one shape; min, and, or alike"""
    need(f in ("maximum", "minimum", "and", "or") and is_exact(f, x.dtype) and x.type == y.type)
    return reduce_(f, binary(f, x, y), d)


# ------------------------------------------------------------------ quotients


def reciprocal(c: Literal) -> Literal:
    """1 / c for a real constant without zeros; the rule needs it to be finite and not subnormal."""
    need(c.type.dtype in REALS)
    inverse = folded("divide", splat(1, c.type), c)
    need(is_ordinary(inverse.data) and is_ordinary(c.data))
    return inverse


@rule(lambda x, c: divide(x, constant(c)), numerics=BITWISE, source=IEEE)
def divide_by_power_of_two(x: Value, c: Literal) -> Value | None:
    """x / c = x · (1/c), every element of c a power of two"""
    need(x.dtype in REALS)
    inverse = reciprocal(c)
    need(bool(np.all(np.abs(np.frexp(c.data.astype(np.float64))[0]) == 0.5)))
    return multiply(x, constant(inverse))


@rule(
    lambda x, c: divide(x, constant(c)),
    numerics=ROUNDING,
    source=FIELD,
    examples=double_constants("c"),
)
def divide_by_constant(x: Value, c: Literal) -> Value | None:
    """x / c = x · (1/c), x real"""
    return multiply(x, constant(reciprocal(c)))


@rule(lambda x, y, s, d: divide(x, broadcast_in_dim(y, s, d)), numerics=ROUNDING, source=FIELD)
def divide_by_broadcast(x: Value, y: Value, s: Any, d: Any) -> Value | None:
    """x / bcast(y) = x · bcast(1/y), y smaller than x and real"""
    need(x.dtype in REALS and y.size < x.size)
    return multiply(x, broadcast_in_dim(divide(full_like(y, 1), y), s, d))


@rule(lambda x, y, z: multiply(x, divide(y, z)), numerics=ROUNDING, source=FIELD, uses_facts=True)
def multiply_quotient(x: Value, y: Value, z: Value) -> Value | None:
    """x · (y / z) = (x · y) / z, not integers; z not constant"""
    need_variable(z)
    need(x.dtype in REALS or is_complex(x.dtype))
    return divide(multiply(x, y), z)


@rule(lambda x, y, z: divide(divide(x, y), z), numerics=ROUNDING, source=FIELD, uses_facts=True)
def divide_quotient(x: Value, y: Value, z: Value) -> Value | None:
    """(x / y) / z = x / (y · z), not integers; y and z not constant"""
    need_variable(y, z)
    need(x.dtype in REALS or is_complex(x.dtype))
    return divide(x, multiply(y, z))


@rule(lambda x, y, z: divide(x, divide(y, z)), numerics=ROUNDING, source=FIELD, uses_facts=True)
def divide_by_quotient(x: Value, y: Value, z: Value) -> Value | None:
    """x / (y / z) = (x · z) / y, not integers; y not constant"""
    need_variable(y)
    need(x.dtype in REALS or is_complex(x.dtype))
    return divide(multiply(x, z), y)
