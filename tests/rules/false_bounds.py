"""False rules on integers that may wrap around, and on thresholds of what may be NaN."""

from __future__ import annotations

from saturax.graph.literal import splat
from saturax.graph.ops import (
    add,
    binary,
    compare,
    constant,
    divide,
    maximum,
    minimum,
    multiply,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules import thresholds
from saturax.rules.conditions import INTEGERS, REALS
from saturax.rules.rule import BITWISE, ROUNDING, need

from .declare import false_rule

BYTES = TensorType((4, 5), "i8")


@false_rule(
    lambda x, c, e, d, k: compare(add(x, constant(c)), constant(e), d, k),
    BITWISE,
    "integers",
    examples=lambda rng: {"x": BYTES, "c": splat(100, BYTES), "e": splat(0, BYTES)},
)
def compare_any_sum(x, c, e, d, k):
    """(x + c < e) = (x < e - c), also where x + c wraps around"""
    need(x.dtype == "i8" and c.is_splat and e.is_splat)
    return compare(x, subtract(constant(e), constant(c)), d, k)


@false_rule(
    lambda f, x, c, e, d, k: compare(binary(f, x, constant(c)), constant(e), d, k),
    BITWISE,
    "integers",
    examples=lambda rng: {
        "f": "divide",
        "x": TensorType((4, 5), "i32"),
        "c": splat(4, TensorType((4, 5), "i32")),
        "e": splat(0, TensorType((4, 5), "i32")),
    },
)
def compare_quotient_of_negative(f, x, c, e, d, k):
    """(x / n < e) = (x < e · n), also of negative x, whose quotients round up"""
    need(f == "divide" and d in ("LT", "GE") and x.dtype in INTEGERS)
    return compare(x, multiply(constant(e), constant(c)), d, k)


@false_rule(
    lambda x, c, d: divide(multiply(x, constant(c)), constant(d)),
    BITWISE,
    "integers",
    examples=lambda rng: {"x": BYTES, "c": splat(100, BYTES), "d": splat(100, BYTES)},
)
def divide_any_product(x, c, d):
    """x · c / c = x, also where x · c wraps around"""
    need(c == d and x.dtype == "i8" and int(c.value) > 1)
    return x


@false_rule(
    lambda f, x, y, z, d, k: binary(f, compare(x, z, d, k), compare(y, z, d, k)),
    BITWISE,
    "bits",
)
def join_any_values_below(f, x, y, z, d, k):
    """x < z ∨ y < z is min(x, y) < z, also where x is NaN"""
    need(f == "or" and d in ("LT", "LE") and x.dtype in REALS and k == "FLOAT")
    return compare(minimum(x, y), z, d, k)


@false_rule(
    lambda x, y, c, d, k: compare(multiply(x, constant(c)), multiply(y, constant(c)), d, k),
    ROUNDING,
    "values",
    "integers",
    examples=thresholds.compare_before_doubling.examples,
)
def compare_before_negative_factor(x, y, c, d, k):
    """(x · c < y · c) = (x < y), also for c < 0"""
    need(x.dtype in REALS and k == "FLOAT" and c.is_splat and float(c.value) < 0)
    need(d in ("LT", "GT"))
    return compare(x, y, d, k)


@false_rule(
    lambda f, x, c: unary(f, add(x, constant(c))),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {
        "f": "floor",
        "x": TensorType((4, 5), "f64"),
        "c": splat(0.5, TensorType((4, 5), "f64")),
    },
)
def round_before_any_addend(f, x, c):
    """⌊x + c⌋ = ⌊x⌋ + c, also for fractions c"""
    need(f == "floor" and x.dtype in REALS)
    return add(unary(f, x), constant(c))


@false_rule(
    lambda p, q, x, y: select(p, select(q, x, y), select(q, y, x)),
    BITWISE,
    "bits",
    "integers",
)
def select_by_equality(p, q, x, y):
    """(x where q, else y) where p, else (y where q, else x) = x where p ⊕ q, else y"""
    need(p.type == q.type)
    return select(binary("xor", p, q), x, y)


@false_rule(
    lambda f, x, y, z, d, k: binary(f, compare(z, x, d, k), compare(z, y, d, k)),
    BITWISE,
    "bits",
    "integers",
)
def join_values_above_by_maximum(f, x, y, z, d, k):
    """z < x ∧ z < y is z < max(x, y)"""
    need(f == "and" and d in ("LT", "LE") and x.dtype in REALS and k == "FLOAT")
    return compare(z, maximum(x, y), d, k)
