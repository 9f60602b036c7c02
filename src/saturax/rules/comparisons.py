"""Comparisons: several of one pair, of one value with constants, of sums and of NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    compare,
    constant,
    full,
    full_like,
    maximum,
    minimum,
    multiply,
    negate,
    reduce_,
    unary,
)
from saturax.graph.types import TensorType, is_complex, is_integer, is_unsigned
from saturax.rules.conditions import (
    INCREASING,
    INTEGERS,
    REALS,
    folded,
    for_integers,
    is_all,
    is_small,
)
from saturax.rules.logic import SWAPPED
from saturax.rules.rule import APPROXIMATE, BITWISE, FINITE, ROUNDING, need, rule

ORDER = "IEEE 754-2019, comparisons"
BITS = "arithmetic modulo powers of two"
MONOTONE = "strictly monotone functions preserve order"

OUTCOMES = {"LT": "<", "LE": "<=", "EQ": "=", "GE": ">=", "GT": ">", "NE": "<>?"}
"""For which relations of x and y each comparison holds; "?" is that of NaN to anything."""

KEEPS_NAN = frozenset(
    {"negate", "abs", "sign", "floor", "ceil", "round_nearest_even", "round_nearest_afz"}
    | {"exponential", "tanh", "logistic", "cbrt"}
)
"""Functions that are NaN just where their operand is."""

KEEPS_FINITE = frozenset({"abs", "floor", "ceil", "round_nearest_even", "round_nearest_afz"})
"""Functions that are finite just where their operand is (besides the even ones)."""


def _join(f: Any, a: set[str], b: set[str]) -> set[str]:
    return {"and": a & b, "or": a | b, "xor": a ^ b}[f]


@rule(
    lambda f, x, y, d, e, k: binary(f, compare(x, y, d, k), compare(x, y, e, k)),
    numerics=BITWISE,
    source=ORDER,
)
def join_comparisons(f: Any, x: Value, y: Value, d: Any, e: Any, k: Any) -> Value | None:
    """x < y ∨ x = y is x ≤ y, x ≤ y ∧ x ≥ y is x = y, x < y ∧ x > y is false, and so on"""
    need(d != e)
    return _joined(f, x, y, d, e, k)


@rule(
    lambda f, x, y, d, e, k: binary(f, compare(x, y, d, k), compare(y, x, e, k)),
    numerics=BITWISE,
    source=ORDER,
)
def join_mirrored_comparisons(f: Any, x: Value, y: Value, d: Any, e: Any, k: Any) -> Value | None:
    """x ≤ y ∧ y ≤ x is x = y, x < y ∨ y < x is x ≠ y on integers, and so on"""
    return _joined(f, x, y, d, SWAPPED[e], k)


def _joined(f: Any, x: Value, y: Value, d: Any, e: Any, k: Any) -> Value | None:
    """Two comparisons of x with y as one."""
    need(f in ("and", "or", "xor"))
    possible = set("<=>?" if k == "FLOAT" else "<=>")
    holds = _join(f, set(OUTCOMES[d]) & possible, set(OUTCOMES[e]) & possible)
    if not holds or holds == possible:
        return full_like(compare(x, y, d, k), bool(holds))
    found = [name for name, outcomes in OUTCOMES.items() if set(outcomes) & possible == holds]
    need(found)
    return compare(x, y, found[0], k)


@rule(
    lambda f, x, c, e, d, k: binary(
        f, compare(x, constant(c), d, k), compare(x, constant(e), d, k)
    ),
    numerics=BITWISE,
    source=ORDER,
)
def join_bounds(f: Any, x: Value, c: Literal, e: Literal, d: Any, k: Any) -> Value | None:
    """x < c ∧ x < e is x < min(c, e), x < c ∨ x < e is x < max(c, e); >, ≤, ≥ alike; constants"""
    need(f in ("and", "or") and d in ("LT", "LE", "GT", "GE") and k != "TOTALORDER")
    need(is_small(c, e) and not is_complex(x.dtype) and x.dtype != "i1")
    need(not np.isnan(np.asarray(c.data, np.float64)).any())
    need(not np.isnan(np.asarray(e.data, np.float64)).any())
    takes_least = (f == "and") == (d in ("LT", "LE"))
    bound = folded("minimum" if takes_least else "maximum", c, e)
    return compare(x, constant(bound), d, k)


@rule(lambda x, y, d, k: compare(x, maximum(x, y), d, k), numerics=FINITE, source=ORDER)
def compare_with_own_maximum(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """(x ≤ max(x, y)) = true and (x > max(x, y)) = false, not complex"""
    need(d in ("LE", "GT") and not is_complex(x.dtype) and k != "TOTALORDER")
    return full_like(compare(x, y, d, k), d == "LE")


@rule(lambda x, y, d, k: compare(minimum(x, y), x, d, k), numerics=FINITE, source=ORDER)
def compare_own_minimum(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """(min(x, y) ≤ x) = true and (min(x, y) > x) = false, not complex"""
    need(d in ("LE", "GT") and not is_complex(x.dtype) and k != "TOTALORDER")
    return full_like(compare(x, y, d, k), d == "LE")


@rule(
    lambda f, x, r, s, m, d, k: compare(x, broadcast_in_dim(reduce_(f, x, r), s, m), d, k),
    numerics=BITWISE,
    source=ORDER,
    examples=lambda rng: (
        {"x": TensorType((3, 4), str(rng.choice(["f32", "i32"]))), "s": (3, 4), "r": (1,)}
        | {"m": (0,)}
        | dict(zip("fd", [("maximum", "GT"), ("minimum", "LT")][rng.integers(2)], strict=True))
    ),
)
def compare_with_greatest(f: Any, x: Value, r: Any, s: Any, m: Any, d: Any, k: Any) -> Value | None:
    """(x > max x) = false and (x < min x) = false, along any dimensions; not complex"""
    need((f, d) in (("maximum", "GT"), ("minimum", "LT")) and k != "TOTALORDER")
    need(not is_complex(x.dtype) and tuple(s) == x.shape)
    need(tuple(m) == tuple(i for i in range(x.rank) if i not in r))
    return full(False, TensorType(x.shape, "i1"))


compare_with_own_maximum_exactly = for_integers(compare_with_own_maximum)
compare_own_minimum_exactly = for_integers(compare_own_minimum)


# ------------------------------------------------------------------ NaN and infinities


@rule(lambda f, x, d, k: compare(unary(f, x), unary(f, x), d, k), numerics=BITWISE, source=ORDER)
def is_nan_before_function(f: Any, x: Value, d: Any, k: Any) -> Value | None:
    """f(x) is NaN just where x is: -x, |x|, ⌊x⌋, exp, tanh, …; x real"""
    need(f in KEEPS_NAN and d in ("EQ", "NE") and k == "FLOAT" and x.dtype in REALS)
    return compare(x, x, d, k)


@rule(
    lambda f, x, c, d, k: compare(binary(f, x, constant(c)), binary(f, x, constant(c)), d, k),
    numerics=BITWISE,
    source=ORDER,
)
def is_nan_before_constant(f: Any, x: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """x + c is NaN just where x is, x · c too, for a finite c, not 0; x real"""
    need(f in ("add", "subtract", "multiply") and d in ("EQ", "NE") and k == "FLOAT")
    need(x.dtype in REALS and bool(np.all(np.isfinite(c.data) & (c.data != 0))))
    return compare(x, x, d, k)


@rule(lambda f, x: unary("is_finite", unary(f, x)), numerics=BITWISE, source="IEEE 754-2019")
def is_finite_before_function(f: Any, x: Value) -> Value | None:
    """|x| is finite just where x is; ⌊x⌋, ⌈x⌉ and rounded x too; x real"""
    need(f in KEEPS_FINITE and x.dtype in REALS)
    return unary("is_finite", x)


@rule(
    lambda x, k: binary("and", unary("is_finite", x), compare(x, x, "EQ", k)),
    numerics=BITWISE,
    source="IEEE 754-2019",
)
def drop_implied_number(x: Value, k: Any) -> Value | None:
    """x is finite ∧ x is not NaN = x is finite"""
    need(k == "FLOAT")
    return unary("is_finite", x)


def _opposite_bounds(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    number = rng.choice([1.0, 2.5, np.inf])
    f, d = (("or", "EQ"), ("and", "NE"))[rng.integers(2)]
    return {"f": f, "d": d, "k": "FLOAT", "c": splat(number, type), "e": splat(-number, type)}


@rule(
    lambda f, x, c, e, d, k: binary(
        f, compare(x, constant(c), d, k), compare(x, constant(e), d, k)
    ),
    numerics=BITWISE,
    source="|x| = c just where x = c or x = -c, c ≥ 0",
    examples=_opposite_bounds,
    special=("c", "e"),
)
def join_opposite_equalities(
    f: Any, x: Value, c: Literal, e: Literal, d: Any, k: Any
) -> Value | None:
    """x = c ∨ x = -c is |x| = |c| and x ≠ c ∧ x ≠ -c is |x| ≠ |c|; splats, also ∞; real"""
    need((f, d) in (("or", "EQ"), ("and", "NE")) and k == "FLOAT" and x.dtype in REALS)
    need(c.is_splat and e.is_splat and bool(c.value == -e.value))
    return compare(unary("abs", x), constant(c if c.value > 0 else e), d, k)


def _infinity(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    f, d, e = (("or", "NE", "EQ"), ("and", "EQ", "NE"))[rng.integers(2)]
    return {"f": f, "d": d, "e": e, "k": "FLOAT", "c": splat(np.inf, type)}


@rule(
    lambda f, x, c, d, e, k: binary(
        f, compare(x, x, d, k), compare(unary("abs", x), constant(c), e, k)
    ),
    numerics=BITWISE,
    source="IEEE 754-2019",
    examples=_infinity,
    special=("c",),
)
def recognize_finite(f: Any, x: Value, c: Literal, d: Any, e: Any, k: Any) -> Value | None:
    """x = x ∧ |x| ≠ ∞ is: x is finite; x ≠ x ∨ |x| = ∞ is: x is not; real"""
    need((f, d, e) in (("and", "EQ", "NE"), ("or", "NE", "EQ")) and k == "FLOAT")
    need(x.dtype in REALS and is_all(c, float("inf")))
    found = unary("is_finite", x)
    return found if f == "and" else unary("not", found)


def _integers_as_floats(rng: np.random.Generator) -> dict[str, Any]:
    return {"x": TensorType((2, 3), str(rng.choice(["i8", "i16", "i32", "i1"]))), "t": "f32"}


@rule(
    lambda x, t: unary("is_finite", unary(("convert", t), x)),
    numerics=BITWISE,
    source="IEEE 754-2019",
    examples=_integers_as_floats,
)
def is_finite_of_integer(x: Value, t: Any) -> Value | None:
    """An integer converted to f32 or f64 is finite"""
    need((is_integer(x.dtype) or x.dtype == "i1") and t in ("f32", "f64"))
    return full_like(unary("is_finite", unary(("convert", t), x)), True)


# ------------------------------------------------------------------ comparisons of integers


@rule(
    lambda f, x, y, z, d, k: compare(binary(f, x, z), binary(f, y, z), d, k),
    numerics=BITWISE,
    source=BITS,
)
def compare_before_common_operand(
    f: Any, x: Value, y: Value, z: Value, d: Any, k: Any
) -> Value | None:
    """(x + z = y + z) = (x = y) on integers; ≠, - and ⊕ too"""
    need(f in ("add", "subtract", "xor") and d in ("EQ", "NE"))
    need(x.dtype in INTEGERS or (x.dtype == "i1" and f == "xor"))
    return compare(x, y, d, k)


@rule(
    lambda f, x, y, c, d, k: compare(binary(f, x, y), constant(c), d, k),
    numerics=BITWISE,
    source=BITS,
)
def compare_difference_of_integers(
    f: Any, x: Value, y: Value, c: Literal, d: Any, k: Any
) -> Value | None:
    """(x - y = 0) = (x ⊕ y = 0) = (x = y) on integers; ≠ too"""
    need(f in ("subtract", "xor") and d in ("EQ", "NE") and x.dtype in INTEGERS and is_all(c, 0))
    return compare(x, y, d, k)


@rule(
    lambda f, x, c, e, d, k: compare(binary(f, x, constant(c)), constant(e), d, k),
    numerics=BITWISE,
    source=BITS,
)
def compare_shifted_integer(
    f: Any, x: Value, c: Literal, e: Literal, d: Any, k: Any
) -> Value | None:
    """(x + c = e) = (x = e - c) on integers, (x ⊕ c = e) = (x = e ⊕ c); ≠ too"""
    need(f in ("add", "xor") and d in ("EQ", "NE") and x.dtype in INTEGERS)
    moved = folded("subtract" if f == "add" else "xor", e, c)
    return compare(x, constant(moved), d, k)


@rule(lambda f, x, y, d, k: compare(unary(f, x), unary(f, y), d, k), numerics=BITWISE, source=BITS)
def compare_before_bijection(f: Any, x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """(-x = -y) = (x = y) and (¬x = ¬y) = (x = y); ≠ too; ¬x < ¬y = y < x; integers"""
    need(f in ("negate", "not") and x.dtype in INTEGERS)
    if d in ("EQ", "NE"):
        return compare(x, y, d, k)
    need(f == "not")
    return compare(y, x, d, k)


@rule(lambda x, c, d, k: compare(x, constant(c), d, k), numerics=BITWISE, source=BITS)
def compare_unsigned_with_zero(x: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """(x < 0) = false and (x ≥ 0) = true, unsigned"""
    need(is_unsigned(x.dtype) and is_all(c, 0) and d in ("LT", "GE"))
    return full_like(compare(x, constant(c), d, k), d == "GE")


# ------------------------------------------------------------------ signs and monotone functions


@rule(lambda x, c: unary("sign", multiply(x, constant(c))), numerics=ROUNDING, source="sign rule")
def sign_before_scale(x: Value, c: Literal) -> Value | None:
    """sign(x · c) = sign x for a splat c > 0, -sign x for c < 0; x real"""
    need(x.dtype in REALS and c.is_splat and 0 < abs(float(c.value)) < float("inf"))
    result = unary("sign", x)
    return result if c.value > 0 else negate(result)


@rule(
    lambda f, x, y, d, k: compare(unary(f, x), unary(f, y), d, k),
    numerics=APPROXIMATE,
    source=MONOTONE,
)
def compare_before_increasing(f: Any, x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """(f(x) < f(y)) = (x < y) for increasing f: exp, tanh, logistic, …; real"""
    need(f in INCREASING - {"floor", "ceil"} and x.dtype in REALS and k == "FLOAT")
    return compare(x, y, d, k)


@rule(lambda x, c, d, k: compare(negate(x), constant(c), d, k), numerics=BITWISE, source=ORDER)
def compare_negated_with_constant(x: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """(-x < c) = (-c < x) and so on, x real"""
    need(x.dtype in REALS and k == "FLOAT" and is_small(c))
    return compare(constant(folded("negate", c)), x, d, k)
