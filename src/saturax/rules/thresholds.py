"""Comparisons of several values with one bound, of scaled values, and of bits with signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import add, binary, compare, constant, full_like, multiply, unary
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.rules.comparisons import ORDER
from saturax.rules.conditions import (
    INTEGERS,
    REALS,
    exactly,
    is_all,
    need_variable,
    where_proved,
)
from saturax.rules.conversion import holds_every_value
from saturax.rules.facts import bounds_of, never_nan
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

LATTICE = "max(x, y) < z where both x and y are"


def _joined_extremum(f: Any, d: Any, *, is_first: bool) -> str:
    """The extremum that is compared in place of two values on this side of a comparison."""
    need(f in ("and", "or") and d in ("LT", "LE", "GT", "GE"))
    is_below = (d in ("LT", "LE")) == is_first
    return "maximum" if is_below == (f == "and") else "minimum"


@rule(
    lambda f, x, y, z, d, k: binary(f, compare(x, z, d, k), compare(y, z, d, k)),
    numerics=FINITE,
    source=LATTICE,
    uses_facts=True,
)
def join_values_below(f: Any, x: Value, y: Value, z: Value, d: Any, k: Any) -> Value | None:
    """x < z ∧ y < z is max(x, y) < z, x < z ∨ y < z is min(x, y) < z; >, ≤, ≥ alike"""
    need_variable(x, y)
    need((x.dtype in REALS or x.dtype in INTEGERS) and k != "TOTALORDER")
    return compare(binary(_joined_extremum(f, d, is_first=True), x, y), z, d, k)


# A comparison with NaN is false, as a conjunction with it is; a disjunction need not be.
join_values_below_exactly = exactly(
    join_values_below, lambda f, x, y, **_: f == "and" or x.dtype in INTEGERS
)
join_values_below_where_proved = where_proved(
    join_values_below, lambda f, x, y, **_: never_nan(x) and never_nan(y), __name__
)


@rule(
    lambda f, x, y, z, d, k: binary(f, compare(z, x, d, k), compare(z, y, d, k)),
    numerics=FINITE,
    source=LATTICE,
    uses_facts=True,
)
def join_values_above(f: Any, x: Value, y: Value, z: Value, d: Any, k: Any) -> Value | None:
    """z < x ∧ z < y is z < min(x, y), z < x ∨ z < y is z < max(x, y); >, ≤, ≥ alike"""
    need_variable(x, y)
    need((x.dtype in REALS or x.dtype in INTEGERS) and k != "TOTALORDER")
    return compare(z, binary(_joined_extremum(f, d, is_first=False), x, y), d, k)


join_values_above_exactly = exactly(
    join_values_above, lambda f, x, y, **_: f == "and" or x.dtype in INTEGERS
)
join_values_above_where_proved = where_proved(
    join_values_above, lambda f, x, y, **_: never_nan(x) and never_nan(y), __name__
)


def _opposite_bounds(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    bound = int(rng.integers(-2, 3))
    c, e = splat(bound, type), splat(-bound, type)
    f = str(rng.choice(["and", "or"]))
    return {"f": f, "x": type, "c": c if f == "and" else e, "e": e if f == "and" else c}


@rule(
    lambda f, x, c, e, d, k: binary(
        f, compare(x, constant(c), d, k), compare(constant(e), x, d, k)
    ),
    numerics=BITWISE,
    source="|x| < c is -c < x < c",
    examples=_opposite_bounds,
)
def join_opposite_bounds(f: Any, x: Value, c: Literal, e: Literal, d: Any, k: Any) -> Value | None:
    """x < c ∧ -c < x is |x| < c and x < -c ∨ c < x is c < |x|; ≤ too; real"""
    need(f in ("and", "or") and x.dtype in REALS and d in ("LT", "LE") and k == "FLOAT")
    need(c.is_splat and e.is_splat and bool(c.value == -e.value))
    absolute = unary("abs", x)
    if f == "and":
        return compare(absolute, constant(c), d, k)
    return compare(constant(e), absolute, d, k)


def _powers(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    factor = float(rng.choice([-1, 1])) * 2.0 ** int(rng.integers(-4, 5))
    return {"x": type, "y": type, "c": splat(factor, type)}


@rule(
    lambda x, y, c, d, k: compare(multiply(x, constant(c)), multiply(y, constant(c)), d, k),
    numerics=ROUNDING,
    source=ORDER,
    uses_facts=True,
    examples=_powers,
)
def compare_before_doubling(x: Value, y: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """(x · c < y · c) = (x < y) for c = 2ᵏ, (y < x) for c = -2ᵏ, which round nothing; real"""
    need_variable(x, y)
    need(x.dtype in REALS and k == "FLOAT" and c.is_splat)
    mantissa, _ = np.frexp(float(c.value))
    need(abs(mantissa) == 0.5)
    return compare(x, y, d, k) if mantissa > 0 else compare(y, x, d, k)


def _shifted_bits(rng: np.random.Generator) -> dict[str, Any]:
    dtype = str(rng.choice(["ui8", "i32", "ui32"]))
    x, k = TensorType((2, 3), dtype), int(rng.integers(0, 4))
    mask = int(rng.choice([1, 3, 5]))
    return {
        "f": str(rng.choice(["shift_right_logical", "shift_right_arithmetic"])),
        "x": x,
        "s": splat(k, x),
        "c": splat(mask, x),
        "e": splat(int(rng.choice([0, 1, mask])), x),
        "d": str(rng.choice(["EQ", "NE"])),
        "k": "UNSIGNED" if is_unsigned(dtype) else "SIGNED",
    }


@rule(
    lambda f, x, s, c, e, d, k: compare(
        binary("and", binary(f, x, constant(s)), constant(c)), constant(e), d, k
    ),
    numerics=BITWISE,
    source="two's complement arithmetic",
    examples=_shifted_bits,
)
def compare_bits_in_place(
    f: Any, x: Value, s: Literal, c: Literal, e: Literal, d: Any, k: Any
) -> Value | None:
    """((x » k) ∧ c = e) = (x ∧ (c « k) = e « k), splats, where no bit of c « k and e « k is lost"""
    need(f in ("shift_right_logical", "shift_right_arithmetic") and d in ("EQ", "NE"))
    need(x.dtype in INTEGERS and s.is_splat and c.is_splat and e.is_splat)
    width = 8 * numpy_dtype(x.dtype).itemsize
    shift, mask, wanted = int(s.value), int(c.value), int(e.value)
    need(0 <= shift < width and mask > 0 and wanted >= 0 and wanted & ~mask == 0)
    need(mask << shift <= np.iinfo(numpy_dtype(x.dtype)).max)
    return compare(
        binary("and", x, full_like(x, mask << shift)), full_like(x, wanted << shift), d, k
    )


# ------------------------------------------------------------------ numbers or not


@rule(lambda x: unary("is_finite", x), numerics=BITWISE, source=ORDER, uses_facts=True)
def is_finite_of_bounded(x: Value) -> Value | None:
    """x is finite where x = x, if x is between finite bounds or NaN; real"""
    need(x.dtype in REALS and max(map(abs, bounds_of(x))) < float("inf") and not never_nan(x))
    return compare(x, x, "EQ", "FLOAT")


@rule(
    lambda x, c, k: binary(
        "or", compare(unary("abs", x), constant(c), "EQ", k), unary("is_finite", x)
    ),
    numerics=BITWISE,
    source=ORDER,
    examples=lambda rng: {
        "x": TensorType((2, 3), "f32"),
        "c": splat(np.inf, TensorType((2, 3), "f32")),
    },
    special=("c",),
)
def infinite_or_finite(x: Value, c: Literal, k: Any) -> Value | None:
    """|x| = ∞ ∨ x is finite is x = x: all but NaN; real"""
    need(x.dtype in REALS and is_all(c, float("inf")) and k == "FLOAT")
    return compare(x, x, "EQ", k)


# ------------------------------------------------------------------ signs


def _sign_bits(f: Any, c: Literal, dtype: str) -> None:
    """Go on where f with c changes the bit of the sign only."""
    need(dtype in REALS and c.is_splat and c.type.dtype in INTEGERS)
    width = 8 * numpy_dtype(dtype).itemsize
    wanted = (1 << (width - 1)) - 1 if f == "and" else 1 << (width - 1)
    need(f in ("and", "xor") and int(c.value) % (1 << width) == wanted)


def _float_bits(rng: np.random.Generator) -> dict[str, Any]:
    bits, x = (("i32", "f32"), ("ui32", "f32"), ("i64", "f64"), ("ui16", "f16"))[rng.integers(4)]
    width = 8 * numpy_dtype(bits).itemsize
    f = str(rng.choice(["and", "xor"]))
    top = 1 << (width - 1)
    number = top - 1 if f == "and" else top if is_unsigned(bits) else -top
    type = TensorType((2, 3), bits)
    c = Literal(np.asarray(number, numpy_dtype(bits)), type.shape)
    return {"f": f, "x": TensorType((2, 3), x), "s": bits, "t": x, "c": c}


@rule(
    lambda f, x, s, t, c: unary(
        ("bitcast_convert", t), binary(f, unary(("bitcast_convert", s), x), constant(c))
    ),
    numerics=BITWISE,
    source="IEEE 754-2019, binary formats",
    examples=_float_bits,
)
def change_sign_by_bits(f: Any, x: Value, s: Any, t: Any, c: Literal) -> Value | None:
    """The float whose bits are x's without the sign is |x|, with the other sign -x"""
    _sign_bits(f, c, x.dtype)
    need(x.dtype == t)
    return unary("abs" if f == "and" else "negate", x)


@rule(lambda f, x: unary(f, unary("abs", x)), numerics=BITWISE, source="even functions")
def even_of_absolute(f: Any, x: Value) -> Value | None:
    """f(|x|) = f(x) for even f: cos, cosh; x real"""
    need(f in ("cosine", "chlo.cosh") and x.dtype in REALS)
    return unary(f, x)


def _fractions(rng: np.random.Generator) -> dict[str, Any]:
    x, t = (("i8", "f32"), ("ui8", "f32"), ("i16", "f32"), ("i32", "f64"))[rng.integers(4)]
    c = splat(float(rng.integers(-3, 4)) + 0.5, TensorType((2, 3), t))
    return {"x": TensorType((2, 3), x), "t": t, "c": c}


@rule(
    lambda x, t, c, d, k: compare(unary(("convert", t), x), constant(c), d, k),
    numerics=BITWISE,
    source=ORDER,
    examples=_fractions,
)
def compare_integer_with_fraction(x: Value, t: Any, c: Literal, d: Any, k: Any) -> Value | None:
    """(t(i) < c) = (i < ⌈c⌉), (t(i) > c) = (i > ⌊c⌋) and so on for integers i that float t holds"""
    need(x.dtype in INTEGERS and t in REALS and k == "FLOAT" and c.is_splat)
    need(holds_every_value(x.dtype, t) and bool(np.isfinite(c.value)))
    number = float(c.value)
    need(not number.is_integer())
    if d in ("EQ", "NE"):
        return full_like(compare(x, x, d, "SIGNED"), d == "NE")
    bound = int(np.ceil(number)) if d in ("LT", "GE") else int(np.floor(number))
    limits = np.iinfo(numpy_dtype(x.dtype))
    need(limits.min <= bound <= limits.max)
    kind = "UNSIGNED" if is_unsigned(x.dtype) else "SIGNED"
    return compare(x, full_like(x, bound), d, kind)


# ------------------------------------------------------------------ rounding down


def _shifted(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), "f64")
    return {"f": str(rng.choice(["floor", "ceil"])), "c": splat(rng.integers(-5, 6), type)}


@rule(
    lambda f, x, c: unary(f, add(x, constant(c))),
    numerics=ROUNDING,
    source="⌊x + n⌋ = ⌊x⌋ + n",
    uses_facts=True,
    examples=_shifted,
)
def round_before_integer_addend(f: Any, x: Value, c: Literal) -> Value | None:
    """⌊x + n⌋ = ⌊x⌋ + n and ⌈x + n⌉ = ⌈x⌉ + n for an integer constant n, real"""
    need_variable(x)
    need(f in ("floor", "ceil") and x.dtype in REALS and c.is_splat)
    need(float(c.value).is_integer())
    return add(unary(f, x), constant(c))
