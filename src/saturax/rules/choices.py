"""Choices that are arithmetic, and arithmetic that is a choice: absolute values, masks, extrema."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    add,
    binary,
    compare,
    constant,
    convert,
    full_like,
    identity_value,
    maximum,
    minimum,
    multiply,
    negate,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_complex, is_unsigned
from saturax.rules.conditions import INTEGERS, REALS, exactly, is_all, where_proved
from saturax.rules.facts import constant_of, is_nonnegative, is_zero, never_nan
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

LATTICE = "{max(x, y), min(x, y)} = {x, y}"
SELECT = "StableHLO spec, `select`"
ABSOLUTE = "definition of |x|"

# ------------------------------------------------------------------ absolute values


def _is_signed(dtype: str) -> bool:
    return dtype in REALS or (dtype in INTEGERS and not is_unsigned(dtype))


@rule(
    lambda x, c, d, k: select(compare(x, constant(c), d, k), negate(x), x),
    numerics=ROUNDING,
    source=ABSOLUTE,
)
def select_negative(x: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """-x where x < 0, else x = |x|; for ≤ too; x where …, else -x = -|x| for > and ≥"""
    need(_is_signed(x.dtype) and is_all(c, 0.0) and k != "TOTALORDER")
    need(d in ("LT", "LE", "GT", "GE"))
    return unary("abs", x) if d in ("LT", "LE") else negate(unary("abs", x))


select_negative_exactly = exactly(select_negative, lambda x, c, d, k: x.dtype in INTEGERS)


@rule(
    lambda x, c, d, k: select(compare(x, constant(c), d, k), x, negate(x)),
    numerics=ROUNDING,
    source=ABSOLUTE,
)
def select_nonnegative(x: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """x where x > 0, else -x = |x|; for ≥ too; -|x| for < and ≤"""
    need(_is_signed(x.dtype) and is_all(c, 0.0) and k != "TOTALORDER")
    need(d in ("LT", "LE", "GT", "GE"))
    return unary("abs", x) if d in ("GT", "GE") else negate(unary("abs", x))


select_nonnegative_exactly = exactly(select_nonnegative, lambda x, c, d, k: x.dtype in INTEGERS)


# What JAX makes of a function of |x|: its derivative with one sign or the other.


@rule(
    lambda x, c, d, k: select(
        compare(x, constant(c), d, k), unary("abs", x), negate(unary("abs", x))
    ),
    numerics=ROUNDING,
    source=ABSOLUTE,
)
def absolute_with_own_sign(x: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """|x| where x > 0, else -|x| = x; for ≥ too"""
    need(_is_signed(x.dtype) and is_all(c, 0.0) and k != "TOTALORDER" and d in ("GT", "GE"))
    return x


@rule(
    lambda x, y, c, d, k: select(
        compare(x, constant(c), d, k),
        multiply(unary("abs", x), y),
        negate(multiply(unary("abs", x), y)),
    ),
    numerics=ROUNDING,
    source=ABSOLUTE,
)
def scaled_absolute_with_own_sign(x: Value, y: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """|x|·y where x > 0, else -|x|·y = x·y; for ≥ too"""
    need(_is_signed(x.dtype) and is_all(c, 0.0) and k != "TOTALORDER" and d in ("GT", "GE"))
    return multiply(x, y)


@rule(
    lambda g, x, c, d: binary(g, maximum(x, constant(c)), maximum(negate(x), constant(d))),
    numerics=ROUNDING,
    source=ABSOLUTE,
)
def combine_positive_and_negative_part(g: Any, x: Value, c: Literal, d: Literal) -> Value | None:
    """max(x, 0) + max(-x, 0) = |x| and max(x, 0) - max(-x, 0) = x, real"""
    need(g in ("add", "subtract") and x.dtype in REALS and is_all(c, 0.0) and is_all(d, 0.0))
    return unary("abs", x) if g == "add" else x


@rule(
    lambda x, y, d, k: select(compare(x, y, d, k), subtract(x, y), subtract(y, x)),
    numerics=ROUNDING,
    source=ABSOLUTE,
)
def select_positive_difference(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """x - y where x > y, else y - x = |x - y|; for ≥ too; -|x - y| for < and ≤; real"""
    need(x.dtype in REALS and k != "TOTALORDER" and d in ("LT", "LE", "GT", "GE"))
    distance = unary("abs", subtract(x, y))
    return distance if d in ("GT", "GE") else negate(distance)


@rule(lambda g, x: binary(g, x, unary("abs", x)), numerics=ROUNDING, source=ABSOLUTE)
def combine_with_absolute(g: Any, x: Value) -> Value | None:
    """x + |x| = 2 max(x, 0) and x - |x| = 2 min(x, 0), real"""
    need(g in ("add", "subtract") and x.dtype in REALS)
    part = maximum if g == "add" else minimum
    return multiply(part(x, full_like(x, 0)), full_like(x, 2))


@rule(
    lambda g, x, y: binary(g, add(x, y), unary("abs", subtract(x, y))),
    numerics=ROUNDING,
    source=LATTICE,
)
def combine_with_distance(g: Any, x: Value, y: Value) -> Value | None:
    """(x + y) + |x - y| = 2 max(x, y) and (x + y) - |x - y| = 2 min(x, y), real"""
    need(g in ("add", "subtract") and x.dtype in REALS)
    extremum = maximum if g == "add" else minimum
    return multiply(extremum(x, y), full_like(x, 2))


@rule(lambda g, x, y: binary(g, maximum(x, y), minimum(x, y)), numerics=BITWISE, source=LATTICE)
def combine_extrema(g: Any, x: Value, y: Value) -> Value | None:
    """max(x, y) + min(x, y) = x + y and max(x, y) · min(x, y) = x · y, not complex"""
    need(g in ("add", "multiply", "xor", "and", "or") and not is_complex(x.dtype))
    need(x.dtype in REALS or x.dtype in INTEGERS)
    return binary(g, x, y)


@rule(lambda x, y: subtract(maximum(x, y), minimum(x, y)), numerics=BITWISE, source=LATTICE)
def difference_of_extrema(x: Value, y: Value) -> Value | None:
    """max(x, y) - min(x, y) = |x - y|, real"""
    need(x.dtype in REALS)
    return unary("abs", subtract(x, y))


def _greater_or_less(d: str, x: Value, y: Value) -> Value | None:
    """max(x, y) for > and ≥, min(x, y) for < and ≤."""
    need(x.dtype in REALS or x.dtype in INTEGERS)
    need(d in ("GT", "GE", "LT", "LE"))
    return maximum(x, y) if d in ("GT", "GE") else minimum(x, y)


@rule(lambda x, y, d, k: select(compare(x, y, d, k), x, y), numerics=FINITE, source=LATTICE)
def select_extremum(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """x where x > y, else y = max(x, y); the minimum for <; ≥ and ≤ too; x not NaN"""
    need(k != "TOTALORDER")
    return _greater_or_less(d, x, y)


@rule(lambda x, y, d, k: select(compare(x, y, d, k), y, x), numerics=FINITE, source=LATTICE)
def select_other_extremum(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """y where x > y, else x = min(x, y); the maximum for <; ≥ and ≤ too; y not NaN"""
    need(k != "TOTALORDER")
    return _greater_or_less({"GT": "LT", "GE": "LE", "LT": "GT", "LE": "GE"}.get(d, d), x, y)


# `where(x > c, x, c)` is how programs get rid of a NaN, which a maximum would keep.
select_extremum_where_proved = where_proved(
    select_extremum, lambda x, y, d, k: never_nan(x), __name__
)
select_other_extremum_where_proved = where_proved(
    select_other_extremum, lambda x, y, d, k: never_nan(y), __name__
)
select_extremum_exactly = exactly(select_extremum, lambda x, y, d, k: x.dtype in INTEGERS)
select_other_extremum_exactly = exactly(
    select_other_extremum, lambda x, y, d, k: x.dtype in INTEGERS
)


def _bounds(rng: np.random.Generator) -> dict[str, Any]:
    f, d = (("minimum", "LT"), ("maximum", "GT"))[rng.integers(2)]
    type = TensorType((2, 3), str(rng.choice(["f32", "i32"])))
    low, high = sorted(rng.integers(-3, 3, 2).tolist())
    return {
        "f": f,
        "d": d,
        "x": type,
        "c": splat(low if f == "minimum" else high, type),
        "e": splat(high if f == "minimum" else low, type),
    }


@rule(
    lambda f, x, c, e, d, k: select(
        compare(x, constant(c), d, k), constant(c), binary(f, x, constant(e))
    ),
    numerics=ROUNDING,
    source=LATTICE,
    examples=_bounds,
)
def select_bound(f: Any, x: Value, c: Literal, e: Literal, d: Any, k: Any) -> Value | None:
    """c where x < c, else min(x, e) = max(min(x, e), c) for c ≤ e; bounds from above alike"""
    need(f in ("maximum", "minimum"))
    need((x.dtype in REALS or x.dtype in INTEGERS) and c.is_splat and e.is_splat)
    need(k != "TOTALORDER")
    if f == "minimum":
        need(d in ("LT", "LE") and bool(c.value <= e.value))
        return maximum(binary(f, x, constant(e)), constant(c))
    need(d in ("GT", "GE") and bool(c.value >= e.value))
    return minimum(binary(f, x, constant(e)), constant(c))


select_bound_exactly = exactly(
    select_bound, lambda f, x, c, e, d, k: x.dtype in INTEGERS, examples=_bounds
)


@rule(
    lambda x, c, e, d, k: select(compare(x, constant(e), d, k), x, multiply(x, constant(c))),
    numerics=ROUNDING,
    source="leaky rectifier",
)
def select_scaled(x: Value, c: Literal, e: Literal, d: Any, k: Any) -> Value | None:
    """x where x > 0, else c · x = max(x, c · x) for a splat 0 < c ≤ 1; ≥ too; real"""
    need(x.dtype in REALS and d in ("GT", "GE") and k == "FLOAT" and is_all(e, 0.0))
    need(c.is_splat and 0 < float(c.value) <= 1)
    return maximum(x, multiply(x, constant(c)))


@rule(
    lambda x, c, z: maximum(maximum(x, multiply(x, constant(c))), z),
    numerics=BITWISE,
    source="leaky rectifier",
    uses_facts=True,
)
def rectify_leaky(x: Value, c: Literal, z: Value) -> Value | None:
    """max(x, c · x, z) = max(x, z) for a splat 0 < c ≤ 1 and z ≥ 0; real"""
    need(x.dtype in REALS and c.is_splat and 0 < float(c.value) <= 1 and is_nonnegative(z))
    return maximum(x, z)


@rule(lambda x, y, d, k: select(compare(x, y, d, k), x, y), numerics=ROUNDING, source=SELECT)
def select_equal(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """x where x = y, else y = y; x where x ≠ y, else y = x (0 = -0)"""
    need(d in ("EQ", "NE"))
    return y if d == "EQ" else x


@rule(lambda x, y, d, k: select(compare(x, y, d, k), y, x), numerics=ROUNDING, source=SELECT)
def select_other_equal(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """y where x = y, else x = x; y where x ≠ y, else x = y (0 = -0)"""
    need(d in ("EQ", "NE"))
    return x if d == "EQ" else y


select_equal_exactly = exactly(select_equal, lambda x, y, d, k: x.dtype in (*INTEGERS, "i1"))
select_other_equal_exactly = exactly(
    select_other_equal, lambda x, y, d, k: x.dtype in (*INTEGERS, "i1")
)


def _either_sign(p: Any, x: Any) -> Any:
    return select(p, x, negate(x))


@rule(
    lambda p, x: multiply(_either_sign(p, x), _either_sign(p, x)),
    numerics=BITWISE,
    source="(-x)² = x²",
)
def square_of_either_sign(p: Value, x: Value) -> Value | None:
    """(x where p, else -x)² = x², not complex"""
    need(x.dtype in REALS or x.dtype in INTEGERS)
    return multiply(x, x)


@rule(lambda f, p, x: unary(f, _either_sign(p, x)), numerics=BITWISE, source="even functions")
def even_of_either_sign(f: Any, p: Value, x: Value) -> Value | None:
    """f(x where p, else -x) = f(x) for even f: absolute value, cos, cosh; x real"""
    need(f in ("abs", "cosine", "chlo.cosh") and x.dtype in REALS)
    return unary(f, x)


@rule(
    lambda p, q, x, y: select(p, select(q, x, y), select(q, y, x)),
    numerics=BITWISE,
    source=SELECT,
)
def select_by_difference(p: Value, q: Value, x: Value, y: Value) -> Value | None:
    """(x where q, else y) where p, else (y where q, else x) = y where p ⊕ q, else x"""
    need(p.type == q.type)
    return select(binary("xor", p, q), y, x)


# ------------------------------------------------------------------ masks


def _is_free(f: Any, x: Value, y: Value) -> bool:
    """Whether f(x, y) costs nothing: both are constant, or one is f's identity."""
    c, d = constant_of(x), constant_of(y)
    if c is not None and d is not None:
        return True
    neutral = identity_value(f, x.dtype) if isinstance(f, str) else None
    literals = (c, d) if f in ("add", "multiply", "maximum", "minimum", "and", "or") else (d,)
    if f == "subtract":
        neutral = 0
    return neutral is not None and any(
        literal is not None and is_all(literal, neutral) for literal in literals
    )


def _masks(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["f32", "f64", "i32"])))
    return {
        "f": str(rng.choice(["add", "subtract", "maximum"])),
        "x": type,
        "y": splat(0, type),
        "z": type,
        "w": splat(0, type),
    }


@rule(
    lambda f, p, x, y, z, w: binary(f, select(p, x, y), select(p, z, w)),
    numerics=BITWISE,
    source=SELECT,
    uses_facts=True,
    examples=_masks,
)
def merge_choices(f: Any, p: Value, x: Value, y: Value, z: Value, w: Value) -> Value | None:
    """f(x where p else y, z where p else w) = f(x, z) where p, else f(y, w), one of them free"""
    need(x.type == z.type and (_is_free(f, x, z) or _is_free(f, y, w)))
    return select(p, binary(f, x, z), binary(f, y, w))


@rule(
    lambda p, x, z, t: multiply(select(p, x, z), convert(p, t)),
    numerics=BITWISE,
    source=SELECT,
    uses_facts=True,
    examples=lambda rng: _second_mask(rng),
)
def drop_second_mask(p: Value, x: Value, z: Value, t: str) -> Value | None:
    """(x where p, else 0)·1ₚ = x where p, else 0; real or integer"""
    need(p.dtype == "i1" and x.dtype == t and (t in REALS or t in INTEGERS) and is_zero(z))
    return select(p, x, z)


def _second_mask(rng: np.random.Generator) -> dict[str, Any]:
    x = TensorType((3,), str(rng.choice(["f32", "f64", "i32"])))
    return {"p": TensorType((3,), "i1"), "x": x, "z": splat(0, x), "t": x.dtype}
