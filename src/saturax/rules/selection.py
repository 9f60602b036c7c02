"""Minimum, maximum, clamp and select: lattice laws, monotone functions, nested choices."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    add,
    binary,
    compare,
    constant,
    convert,
    full_like,
    maximum,
    minimum,
    multiply,
    negate,
    select,
    ternary,
    unary,
)
from saturax.graph.types import is_complex, is_integer
from saturax.rules.conditions import (
    INCREASING,
    INCREASING_WHERE_DEFINED,
    REALS,
    exactly,
    is_all,
    is_small,
)
from saturax.rules.facts import constant_of
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

LATTICE = "lattice axioms"
SELECT = "StableHLO spec, `select`"
CLAMP = "StableHLO spec, `clamp`"
MONOTONE = "monotone functions preserve order"

DUAL = {"maximum": "minimum", "minimum": "maximum", "and": "or", "or": "and"}
"""Each operation of a distributive lattice, and the other one of the same lattice."""


def _clamp(low: Any, x: Any, high: Any) -> Any:
    return ternary("clamp", low, x, high)


# ------------------------------------------------------------------ lattices


@rule(lambda f, x: binary(f, x, x), numerics=BITWISE, source=LATTICE)
def combine_with_itself(f: Any, x: Value) -> Value | None:
    """f(x, x) = x for f = max, min, and, or"""
    need(f in DUAL)
    return x


@rule(lambda f, x, y: binary(f, x, binary(f, x, y)), numerics=BITWISE, source=LATTICE)
def combine_twice(f: Any, x: Value, y: Value) -> Value | None:
    """f(x, f(x, y)) = f(x, y) for f = max, min, and, or; not complex"""
    need(f in DUAL and not is_complex(x.dtype))
    return binary(f, x, y)


@rule(
    lambda f, x, y, z: binary(f, binary(f, x, y), binary(f, x, z)), numerics=BITWISE, source=LATTICE
)
def combine_shared(f: Any, x: Value, y: Value, z: Value) -> Value | None:
    """f(f(x, y), f(x, z)) = f(f(x, y), z) for f = max, min, and, or; not complex"""
    need(f in DUAL and not is_complex(x.dtype))
    return binary(f, binary(f, x, y), z)


@rule(lambda f, g, x, y: binary(f, x, binary(g, x, y)), numerics=FINITE, source=LATTICE)
def absorb(f: Any, g: Any, x: Value, y: Value) -> Value | None:
    """max(x, min(x, y)) = x and the other lattice operations; not complex"""
    need(DUAL.get(f) == g and not is_complex(x.dtype))
    return x


absorb_exactly = exactly(absorb, lambda f, g, x, y: is_integer(x.dtype) or x.dtype == "i1")


@rule(
    lambda f, g, x, y, z: binary(f, binary(g, x, y), binary(g, x, z)),
    numerics=BITWISE,
    source=LATTICE,
)
def factor_lattice(f: Any, g: Any, x: Value, y: Value, z: Value) -> Value | None:
    """max(min(x, y), min(x, z)) = min(x, max(y, z)), other lattice operations too; not complex"""
    need(DUAL.get(f) == g and not is_complex(x.dtype))
    return binary(g, x, binary(f, y, z))


# ------------------------------------------------------------------ monotone functions


@rule(lambda f, g, x, y: binary(f, unary(g, x), unary(g, y)), numerics=ROUNDING, source=MONOTONE)
def extremum_of_increasing(f: Any, g: Any, x: Value, y: Value) -> Value | None:
    """max(g x, g y) = g(max(x, y)) for increasing g; the minimum too; real"""
    need(f in ("maximum", "minimum"))
    need(g in INCREASING or (g in INCREASING_WHERE_DEFINED and f == "minimum"))
    need(x.dtype in REALS)
    return unary(g, binary(f, x, y))


@rule(lambda f, x, y: binary(f, negate(x), negate(y)), numerics=BITWISE, source=MONOTONE)
def extremum_of_negated(f: Any, x: Value, y: Value) -> Value | None:
    """max(-x, -y) = -min(x, y) and min(-x, -y) = -max(x, y), real"""
    need(f in ("maximum", "minimum") and x.dtype in REALS)
    return negate(binary(DUAL[f], x, y))


@rule(lambda f, x, y, z: binary(f, add(x, y), add(x, z)), numerics=ROUNDING, source=MONOTONE)
def extremum_of_sums(f: Any, x: Value, y: Value, z: Value) -> Value | None:
    """max(x + y, x + z) = x + max(y, z); the minimum too; real"""
    need(f in ("maximum", "minimum") and x.dtype in REALS)
    return add(x, binary(f, y, z))


@rule(
    lambda f, x, y, c: binary(f, multiply(x, constant(c)), multiply(y, constant(c))),
    numerics=ROUNDING,
    source=MONOTONE,
)
def extremum_of_scaled(f: Any, x: Value, y: Value, c: Literal) -> Value | None:
    """max(c · x, c · y) = c · max(x, y) for c > 0, c · min(x, y) for c < 0; real"""
    need(f in ("maximum", "minimum") and x.dtype in REALS and is_small(c))
    need(bool(np.all(np.isfinite(c.data))))
    if np.all(c.data > 0):
        return multiply(binary(f, x, y), constant(c))
    need(bool(np.all(c.data < 0)))
    return multiply(binary(DUAL[f], x, y), constant(c))


@rule(lambda x: maximum(x, negate(x)), numerics=BITWISE, source="IEEE 754-2019, maximum")
def recognize_absolute(x: Value) -> Value | None:
    """max(x, -x) = |x|, real or signed"""
    need(x.dtype in REALS or (is_integer(x.dtype) and x.dtype[0] == "i"))
    return unary("abs", x)


# ------------------------------------------------------------------ clamp


@rule(lambda x, y, z: _clamp(x, y, z), numerics=BITWISE, source=CLAMP)
def expand_clamp(x: Value, y: Value, z: Value) -> Value | None:
    """clamp(x, y, z) = min(max(y, x), z)"""
    return minimum(maximum(y, x), z)


@rule(lambda x, y, z: minimum(maximum(y, x), z), numerics=BITWISE, source=CLAMP)
def recognize_clamp(x: Value, y: Value, z: Value) -> Value | None:
    """min(max(y, x), z) = clamp(x, y, z), not complex"""
    need(not is_complex(y.dtype))
    return _clamp(x, y, z)


@rule(lambda x, c, d: maximum(minimum(x, constant(c)), constant(d)), numerics=BITWISE, source=CLAMP)
def swap_bounds(x: Value, c: Literal, d: Literal) -> Value | None:
    """max(min(x, c), d) = min(max(x, d), c) where d ≤ c, not complex"""
    need(is_small(c) and is_small(d) and not is_complex(x.dtype))
    with np.errstate(invalid="ignore"):
        need(bool(np.all(d.array <= c.array)) and not _is_zero_twice(c, d))
    return minimum(maximum(x, constant(d)), constant(c))


def _is_zero_twice(c: Literal, d: Literal) -> bool:
    """Whether some bounds are zeros of possibly different signs, which ≤ does not tell apart."""
    return bool(np.any((c.array == 0) & (d.array == 0)))


# ------------------------------------------------------------------ select


@rule(lambda p, x: select(p, x, x), numerics=BITWISE, source=SELECT)
def select_same(p: Value, x: Value) -> Value | None:
    """x where p, else x = x"""
    return x


@rule(lambda c, x, y: select(constant(c), x, y), numerics=BITWISE, source=SELECT)
def select_by_constant(c: Literal, x: Value, y: Value) -> Value | None:
    """x where true, else y = x; x where false, else y = y"""
    need(c.is_splat)
    return x if c.value else y


@rule(lambda p, x, y: select(unary("not", p), x, y), numerics=BITWISE, source=SELECT)
def select_by_negation(p: Value, x: Value, y: Value) -> Value | None:
    """x where ¬p, else y = y where p, else x"""
    return select(p, y, x)


@rule(lambda p, x, y, z: select(p, select(p, x, y), z), numerics=BITWISE, source=SELECT)
def select_nested_first(p: Value, x: Value, y: Value, z: Value) -> Value | None:
    """(x where p, else y) where p, else z = x where p, else z"""
    return select(p, x, z)


@rule(lambda p, x, y, z: select(p, x, select(p, y, z)), numerics=BITWISE, source=SELECT)
def select_nested_second(p: Value, x: Value, y: Value, z: Value) -> Value | None:
    """x where p, else (y where p, else z) = x where p, else z"""
    return select(p, x, z)


@rule(lambda p, q, x, y: select(p, select(q, x, y), y), numerics=BITWISE, source=SELECT)
def select_both(p: Value, q: Value, x: Value, y: Value) -> Value | None:
    """(x where q, else y) where p, else y = x where p ∧ q, else y"""
    return select(binary("and", p, q), x, y)


@rule(lambda p, q, x, y: select(p, x, select(q, x, y)), numerics=BITWISE, source=SELECT)
def select_either(p: Value, q: Value, x: Value, y: Value) -> Value | None:
    """x where p, else (x where q, else y) = x where p ∨ q, else y"""
    return select(binary("or", p, q), x, y)


@rule(lambda p, c, y: select(p, constant(c), y), numerics=BITWISE, source="Boolean algebra")
def select_boolean_first(p: Value, c: Literal, y: Value) -> Value | None:
    """true where p, else y = p ∨ y; false where p, else y = ¬p ∧ y; y Boolean"""
    need(y.dtype == "i1" and c.is_splat)
    if c.value:
        return binary("or", p, y)
    return binary("and", unary("not", p), y)


@rule(lambda p, x, c: select(p, x, constant(c)), numerics=BITWISE, source="Boolean algebra")
def select_boolean_second(p: Value, x: Value, c: Literal) -> Value | None:
    """x where p, else false = p ∧ x; x where p, else true = ¬p ∨ x; x Boolean"""
    need(x.dtype == "i1" and c.is_splat)
    if c.value:
        return binary("or", unary("not", p), x)
    return binary("and", p, x)


@rule(lambda p, c, d: select(p, constant(c), constant(d)), numerics=BITWISE, source=SELECT)
def select_one_or_zero(p: Value, c: Literal, d: Literal) -> Value | None:
    """1 where p, else 0 = convert p, to a number; 0 where p, else 1 = convert ¬p"""
    dtype = c.type.dtype
    need(dtype in REALS or is_integer(dtype))
    if _is_plain_zero(c) and is_all(d, 1.0):
        return convert(unary("not", p), dtype)
    need(is_all(c, 1.0) and _is_plain_zero(d))
    return convert(p, dtype)


def _is_plain_zero(c: Literal) -> bool:
    return is_all(c, 0.0) and not np.signbit(np.float64(c.value))


def _need_choice(x: Value, y: Value) -> None:
    """Go on unless both are constant: functions of constants are folded, not moved out."""
    need(constant_of(x) is None or constant_of(y) is None)


@rule(
    lambda p, f, x, y: select(p, unary(f, x), unary(f, y)),
    numerics=BITWISE,
    source=SELECT,
    uses_facts=True,
)
def select_before_unary(p: Value, f: Any, x: Value, y: Value) -> Value | None:
    """f x where p, else f y = f(x where p, else y)"""
    need(x.type == y.type)
    _need_choice(x, y)
    return unary(f, select(p, x, y))


@rule(
    lambda p, f, x, y, z: select(p, binary(f, x, z), binary(f, y, z)),
    numerics=BITWISE,
    source=SELECT,
    uses_facts=True,
)
def select_before_binary(p: Value, f: Any, x: Value, y: Value, z: Value) -> Value | None:
    """f(x, z) where p, else f(y, z) = f((x where p, else y), z)"""
    need(x.type == y.type)
    _need_choice(x, y)
    return binary(f, select(p, x, y), z)


@rule(
    lambda p, f, x, y, z: select(p, binary(f, z, x), binary(f, z, y)),
    numerics=BITWISE,
    source=SELECT,
    uses_facts=True,
)
def select_second_before_binary(p: Value, f: Any, x: Value, y: Value, z: Value) -> Value | None:
    """f(z, x) where p, else f(z, y) = f(z, (x where p, else y))"""
    need(x.type == y.type)
    _need_choice(x, y)
    return binary(f, z, select(p, x, y))


@rule(lambda p, x, c: select(p, x, constant(c)), numerics=FINITE, source="x · 0 = 0")
def select_as_product(p: Value, x: Value, c: Literal) -> Value | None:
    """x where p, else 0 = x · convert p"""
    need((x.dtype in REALS or is_integer(x.dtype)) and is_all(c, 0.0))
    return multiply(x, convert(p, x.dtype))


select_as_product_exactly = exactly(select_as_product, lambda p, x, c: is_integer(x.dtype))


@rule(lambda x, p, t: multiply(x, convert(p, t)), numerics=FINITE, source="x · 0 = 0")
def product_as_select(x: Value, p: Value, t: Any) -> Value | None:
    """x · convert p = x where p, else 0; p Boolean"""
    need(p.dtype == "i1")
    return select(p, x, full_like(x, 0))


product_as_select_exactly = exactly(product_as_select, lambda x, p, t: is_integer(x.dtype))


@rule(
    lambda x, y, d, k: select(compare(x, y, d, k), x, y),
    numerics=FINITE,
    source="definition of max",
)
def select_greater(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """x where x ≥ y, else y = max(x, y); x where x ≤ y, else y = min(x, y); not complex"""
    need(d in ("GT", "GE", "LT", "LE") and k != "TOTALORDER" and not is_complex(x.dtype))
    return maximum(x, y) if d in ("GT", "GE") else minimum(x, y)


select_greater_exactly = exactly(
    select_greater, lambda x, y, d, k: is_integer(x.dtype) or x.dtype == "i1"
)


@rule(
    lambda x, y, d, k: select(compare(x, y, d, k), y, x),
    numerics=FINITE,
    source="definition of max",
)
def select_lesser(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """y where x ≥ y, else x = min(x, y); y where x ≤ y, else x = max(x, y); not complex"""
    need(d in ("GT", "GE", "LT", "LE") and k != "TOTALORDER" and not is_complex(x.dtype))
    return minimum(x, y) if d in ("GT", "GE") else maximum(x, y)


select_lesser_exactly = exactly(
    select_lesser, lambda x, y, d, k: is_integer(x.dtype) or x.dtype == "i1"
)
