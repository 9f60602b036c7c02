"""Conversions between element types, and complex numbers as pairs of real ones."""

from __future__ import annotations

import operator
from collections.abc import Callable
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
    multiply,
    negate,
    subtract,
    unary,
)
from saturax.graph.types import (
    TensorType,
    is_complex,
    is_float,
    is_integer,
    is_unsigned,
    numpy_dtype,
)
from saturax.rules.conditions import INTEGERS, REALS, is_all
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

CONVERT = "StableHLO spec, `convert`"
COMPLEX = "StableHLO spec, `complex`, `real` and `imag`"
BOOLEAN = "Boolean algebra"
MODULAR = "arithmetic modulo powers of two"

PRECISION = {"bf16": 8, "f16": 11, "f32": 24, "f64": 53}
"""Significant bits of the types of floats."""


def _bits(dtype: str) -> int:
    """Bits of magnitude of an integer type."""
    return 1 if dtype == "i1" else numpy_dtype(dtype).itemsize * 8 - (not is_unsigned(dtype))


def holds_every_value(source: str, target: str) -> bool:
    """Whether converting from `source` to `target` changes no value."""
    if source == "i1" or is_integer(source):
        if target in PRECISION:
            return _bits(source) <= PRECISION[target] and target != "f16"
        keeps_sign = source == "i1" or is_unsigned(source) or not is_unsigned(target)
        return is_integer(target) and keeps_sign and _bits(source) <= _bits(target)
    return (source, target) in (
        ("f16", "f32"),
        ("f16", "f64"),
        ("bf16", "f32"),
        ("bf16", "f64"),
        ("f32", "f64"),
    )


# ------------------------------------------------------------------ convert


@rule(
    lambda x, t: convert(x, t),
    numerics=BITWISE,
    source=CONVERT,
    examples=lambda rng: {"t": str(rng.choice(["f32", "bf16", "i32", "i1", "complex<f32>"]))},
)
def drop_conversion_to_own_type(x: Value, t: Any) -> Value | None:
    """t(x) = x if x is of type t: `jnp.where` converts an infinity like that"""
    need(x.dtype == t)
    return x


@rule(lambda x, s, t: convert(convert(x, s), t), numerics=BITWISE, source=CONVERT)
def convert_twice(x: Value, s: Any, t: Any) -> Value | None:
    """t(s(x)) = t(x) where type s holds every value of x's, and no float overflows an integer"""
    need(holds_every_value(x.dtype, s) and not is_complex(t))
    # What a float out of an integer type's range becomes is not said, nor whether it is one thing.
    need(not (is_float(s) and is_integer(t)) or holds_every_value(x.dtype, t))
    return convert(x, t)


@rule(
    lambda x, s, t: convert(convert(x, s), t),
    numerics=BITWISE,
    source=MODULAR,
)
def truncate_twice(x: Value, s: Any, t: Any) -> Value | None:
    """t(s(x)) = t(x) for integers where t is not wider than s"""
    need(all(is_integer(dtype) for dtype in (x.dtype, s, t)))
    need(numpy_dtype(t).itemsize <= numpy_dtype(s).itemsize)
    return convert(x, t)


NARROWED = ("add", "subtract", "multiply", "and", "or", "xor")
"""Functions of integers whose lower bits depend on lower bits only."""


def _narrowing(rng: np.random.Generator) -> dict[str, Any]:
    wide = TensorType((2, 3), str(rng.choice(["i32", "ui32", "i64"])))
    x, y = (wide.with_dtype(str(t)) for t in rng.choice(["i8", "ui8", "i16"], 2))
    own = {"x": x, "y": y, "u": wide.dtype, "t": str(rng.choice(["i8", "ui8", "i16"]))}
    return own | {"f": str(rng.choice(NARROWED)), "c": splat(int(rng.integers(0, 100)), wide)}


@rule(
    lambda f, x, y, u, t: convert(binary(f, convert(x, u), convert(y, u)), t),
    numerics=BITWISE,
    source=MODULAR,
    examples=lambda rng: {k: v for k, v in _narrowing(rng).items() if k != "c"},
)
def narrow_function_of_widened(f: Any, x: Value, y: Value, u: Any, t: Any) -> Value | None:
    """t(u(x) + u(y)) = t(x) + t(y) where t is narrower than u; products and masks too; integers"""
    need(f in NARROWED and {x.dtype, y.dtype, u, t} <= INTEGERS and _is_narrower(t, u))
    return binary(f, convert(x, t), convert(y, t))


@rule(
    lambda f, x, c, t: convert(binary(f, x, constant(c)), t),
    numerics=BITWISE,
    source=MODULAR,
    examples=lambda rng: (
        {k: v for k, v in _narrowing(rng).items() if k in "fct"}
        | {"x": _narrowing(rng)["x"].with_dtype("i64"), "c": splat(7, TensorType((2, 3), "i64"))}
    ),
)
def narrow_function_of_constant(f: Any, x: Value, c: Literal, t: Any) -> Value | None:
    """t(x + c) = t(x) + t(c) where t is narrower; products and masks too; integers"""
    need(f in NARROWED and {x.dtype, t} <= INTEGERS and _is_narrower(t, x.dtype))
    need(c.is_splat)
    return binary(f, convert(x, t), convert(constant(c), t))


def _is_narrower(t: str, u: str) -> bool:
    return numpy_dtype(t).itemsize < numpy_dtype(u).itemsize


def _widening(rng: np.random.Generator) -> dict[str, Any]:
    source, target = rng.choice([("bf16", "f32"), ("f16", "f64"), ("f32", "f64")])
    type = TensorType((2, 3), str(source))
    return {"f": str(rng.choice(["negate", "abs"])), "x": type, "t": str(target)}


@rule(lambda f, x, t: convert(unary(f, x), t), numerics=BITWISE, source=CONVERT, examples=_widening)
def convert_before_sign_change(f: Any, x: Value, t: Any) -> Value | None:
    """t(-x) = -t(x) and t(|x|) = |t(x)| for floats that t holds"""
    need(f in ("negate", "abs") and is_float(x.dtype) and holds_every_value(x.dtype, t))
    return unary(f, convert(x, t))


@rule(lambda f, x, y, t: convert(binary(f, x, y), t), numerics=BITWISE, source=CONVERT)
def convert_before_extremum(f: Any, x: Value, y: Value, t: Any) -> Value | None:
    """t(max(x, y)) = max(t(x), t(y)) where t holds every value; the minimum too"""
    need(f in ("maximum", "minimum") and holds_every_value(x.dtype, t))
    return binary(f, convert(x, t), convert(y, t))


@rule(lambda p, q, t: multiply(convert(p, t), convert(q, t)), numerics=BITWISE, source=BOOLEAN)
def multiply_indicators(p: Value, q: Value, t: Any) -> Value | None:
    """t(p) · t(q) = t(p ∧ q), p and q Boolean, t not complex"""
    need(p.dtype == q.dtype == "i1" and not is_complex(t))
    return convert(binary("and", p, q), t)


@rule(lambda c, p, t: subtract(constant(c), convert(p, t)), numerics=BITWISE, source=BOOLEAN)
def complement_indicator(c: Literal, p: Value, t: Any) -> Value | None:
    """1 - t(p) = t(¬p), p Boolean, t not complex"""
    need(p.dtype == "i1" and (t in REALS or is_integer(t)) and is_all(c, 1.0))
    return convert(unary("not", p), t)


@rule(
    lambda p, t, c, d, k: compare(convert(p, t), constant(c), d, k),
    numerics=BITWISE,
    source=BOOLEAN,
)
def compare_indicator(p: Value, t: Any, c: Literal, d: Any, k: Any) -> Value | None:
    """(t(p) ≠ 0) = (t(p) > ½) = p, (t(p) = 0) = ¬p; true or false for other numbers; p Boolean"""
    need(p.dtype == "i1" and (t in REALS or is_integer(t)) and k != "TOTALORDER" and c.is_splat)
    if_false, if_true = (bool(_COMPARE[d](number, c.value)) for number in (0, 1))
    if if_false == if_true:
        return full_like(p, if_true)
    return p if if_true else unary("not", p)


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "EQ": operator.eq,
    "NE": operator.ne,
    "LT": operator.lt,
    "LE": operator.le,
    "GT": operator.gt,
    "GE": operator.ge,
}


def _converted_integer(rng: np.random.Generator) -> dict[str, Any]:
    x = TensorType((2, 3), str(rng.choice(["i8", "ui8", "i32", "ui32", "i64"])))
    t = str(rng.choice(["f16", "bf16", "f32", "f64"]))
    return {"x": x, "t": t, "c": splat(rng.choice([0, 0, 1, -3, 100]), TensorType((2, 3), t))}


@rule(
    lambda x, t, c, d, k: compare(convert(x, t), constant(c), d, k),
    numerics=BITWISE,
    source=CONVERT,
    examples=_converted_integer,
)
def compare_converted_integer(x: Value, t: Any, c: Literal, d: Any, k: Any) -> Value | None:
    """(t(i) < c) = (i < c) for integers i and c and a float t that holds i; c = 0 for any float"""
    need(x.dtype in INTEGERS and t in REALS and k == "FLOAT" and c.is_splat)
    number = float(c.value)
    need(number == 0 or (number.is_integer() and holds_every_value(x.dtype, t)))
    limits = np.iinfo(numpy_dtype(x.dtype))
    need(limits.min <= number <= limits.max)
    kind = "UNSIGNED" if is_unsigned(x.dtype) else "SIGNED"
    return compare(x, full_like(x, int(number)), d, kind)


# ------------------------------------------------------------------ complex numbers


def _complex_part(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["complex<f32>", "complex<f64>"])))
    return {"f": str(rng.choice(["real", "imag"])), "z": type}


@rule(lambda x, y: unary("real", binary("complex", x, y)), numerics=BITWISE, source=COMPLEX)
def real_of_complex(x: Value, y: Value) -> Value | None:
    """re(x + iy) = x"""
    return x


@rule(lambda x, y: unary("imag", binary("complex", x, y)), numerics=BITWISE, source=COMPLEX)
def imaginary_of_complex(x: Value, y: Value) -> Value | None:
    """im(x + iy) = y"""
    return y


@rule(
    lambda z: binary("complex", unary("real", z), unary("imag", z)),
    numerics=BITWISE,
    source=COMPLEX,
)
def complex_of_parts(z: Value) -> Value | None:
    """re z + i im z = z"""
    need(is_complex(z.dtype))
    return z


@rule(lambda f, z: unary(f, negate(z)), numerics=BITWISE, source=COMPLEX, examples=_complex_part)
def part_of_negated(f: Any, z: Value) -> Value | None:
    """re(-z) = -re z and im(-z) = -im z, z complex"""
    need(f in ("real", "imag") and is_complex(z.dtype))
    return negate(unary(f, z))


def _complex_sum(rng: np.random.Generator) -> dict[str, Any]:
    part = _complex_part(rng)
    return {**part, "g": str(rng.choice(["add", "subtract"])), "w": part["z"]}


@rule(
    lambda f, g, z, w: unary(f, binary(g, z, w)),
    numerics=BITWISE,
    source=COMPLEX,
    examples=_complex_sum,
)
def part_of_sum(f: Any, g: Any, z: Value, w: Value) -> Value | None:
    """re(z ± w) = re z ± re w; imaginary parts too; z and w complex"""
    need(f in ("real", "imag") and g in ("add", "subtract") and is_complex(z.dtype))
    return binary(g, unary(f, z), unary(f, w))


@rule(lambda z: multiply(unary("abs", z), unary("abs", z)), numerics=ROUNDING, source="|z|² = zz̅")
def square_of_modulus(z: Value) -> Value | None:
    """|z|² = (re z)² + (im z)², z complex"""
    need(is_complex(z.dtype))
    real, imaginary = unary("real", z), unary("imag", z)
    return add(multiply(real, real), multiply(imaginary, imaginary))


@rule(lambda x, t: unary("real", convert(x, t)), numerics=BITWISE, source=CONVERT)
def real_of_converted(x: Value, t: Any) -> Value | None:
    """re(x as complex) = x as its part's type, x not complex"""
    need(is_complex(t) and not is_complex(x.dtype))
    return convert(x, t[8:-1])


@rule(lambda x, t: unary("imag", convert(x, t)), numerics=BITWISE, source=CONVERT)
def imaginary_of_converted(x: Value, t: Any) -> Value | None:
    """im(x as complex) = 0, x not complex"""
    need(is_complex(t) and not is_complex(x.dtype))
    return full_like(convert(x, t[8:-1]), 0)
