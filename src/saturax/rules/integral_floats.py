"""Floats that are integers: rounding, fractions, and conversions to integers and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    binary,
    constant,
    convert,
    full_like,
    maximum,
    minimum,
    multiply,
    unary,
)
from saturax.graph.types import TensorType, is_integer, numpy_dtype
from saturax.rules.conditions import REALS, is_all, where_proved
from saturax.rules.facts import bounds_of, is_finite, is_integral, never_nan
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

ROUNDING_FUNCTIONS = ("floor", "ceil", "round_nearest_even", "round_nearest_afz")
IEEE = "IEEE 754-2019, rounding to an integer"


def _sum_of_integers(rng: np.random.Generator) -> dict[str, Any]:
    """Floats that are sums of integers, computed of any integers or floats."""
    shape = tuple(int(n) for n in rng.integers(1, 4, int(rng.integers(0, 3))))
    dtype = str(rng.choice(["f32", "f64", "bf16"]))
    sources = [str(rng.choice(["i32", "i8", dtype])) for _ in range(2)]
    builder = GraphBuilder(tuple(TensorType(shape, source) for source in sources))
    with building(builder):
        whole = [
            convert(x, dtype) if is_integer(x.dtype) else unary("floor", x)
            for x in builder.parameters
        ]
        x = builder.finish([binary(str(rng.choice(["add", "multiply", "maximum"])), *whole)])
    return {"x": x, "f": str(rng.choice(ROUNDING_FUNCTIONS))}


@rule(
    lambda f, x: unary(f, x),
    numerics=BITWISE,
    source=IEEE,
    uses_facts=True,
    examples=_sum_of_integers,
)
def round_integer(f: Any, x: Value) -> Value | None:
    """⌊x⌋ = x of floats x that are integers: ⌈x⌉ and rounded x, too"""
    need(f in ROUNDING_FUNCTIONS and x.dtype in REALS and is_integral(x))
    return x


def _bounded(rng: np.random.Generator) -> dict[str, Any]:
    """Numbers, rounded and kept between bounds that an integer type holds."""
    shape = tuple(int(n) for n in rng.integers(1, 4, int(rng.integers(0, 3))))
    dtype, t = str(rng.choice(["f32", "f64"])), str(rng.choice(["i8", "i32", "ui8"]))
    low = 0 if t == "ui8" else -100
    builder = GraphBuilder((TensorType(shape, "i32"),))
    with building(builder):
        whole = convert(builder.parameters[0], dtype)
        x = minimum(maximum(whole, full_like(whole, low)), full_like(whole, 100))
        found = builder.finish([x])
    return {"x": found, "t": t, "u": dtype}


@rule(
    lambda x, t, u: convert(convert(x, t), u),
    numerics=FINITE,
    source=IEEE,
    uses_facts=True,
    examples=_bounded,
)
def restore_integer(x: Value, t: Any, u: Any) -> Value | None:
    """u(t(x)) = x for integers x that integer type t holds, u being the type of x"""
    need(x.dtype == u and u in REALS and is_integer(t) and is_integral(x))
    (low, high), limits = bounds_of(x), np.iinfo(numpy_dtype(t))
    need(limits.min <= low and high <= limits.max)
    return x


restore_integer_where_proved = where_proved(
    restore_integer, lambda x, **_: never_nan(x), __name__, examples=_bounded
)


@rule(
    lambda x, c: binary("remainder", x, constant(c)),
    numerics=FINITE,
    source=IEEE,
    uses_facts=True,
    examples=lambda rng: _with_one(rng),
)
def fraction_of_integer(x: Value, c: Literal) -> Value | None:
    """x rem 1 = 0 of floats x that are integers"""
    need(x.dtype in REALS and is_integral(x) and is_all(c, 1.0))
    return full_like(x, 0)


def _with_one(rng: np.random.Generator) -> dict[str, Any]:
    """Bounded integers, and ones of the same type."""
    x = _bounded(rng)["x"]
    return {"x": x, "c": splat(1, x.nodes[x.outputs[0]].type)}


fraction_of_integer_where_proved = where_proved(
    fraction_of_integer, lambda x, **_: is_finite(x), __name__, examples=_with_one
)


def _halvings(rng: np.random.Generator) -> dict[str, Any]:
    power = 2.0 ** -int(rng.integers(0, 5))
    return {"f": str(rng.choice(["floor", "ceil"])), "c": Literal(np.asarray(power), (3, 2))}


@rule(
    lambda f, x, c: unary(f, multiply(unary(f, x), constant(c))),
    numerics=ROUNDING,
    source="⌊⌊x⌋ / n⌋ = ⌊x / n⌋",
    examples=_halvings,
)
def round_halved_once(f: Any, x: Value, c: Literal) -> Value | None:
    """⌊⌊x⌋ / 2ᵏ⌋ = ⌊x / 2ᵏ⌋, k ≥ 0; ⌈x⌉ too (other divisors round x / n up to integers)"""
    need(f in ("floor", "ceil") and x.dtype in REALS and c.is_splat)
    need(0 < float(c.value) <= 1 and float(np.frexp(np.float64(c.value))[0]) == 0.5)
    return unary(f, multiply(x, constant(c)))
