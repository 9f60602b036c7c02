"""Intermediate results in bf16 and f16 computed in f32 instead: fewer roundings, never more.

Both types are chosen for speed. A processor without arithmetic in them widens operands, computes
in f32 and rounds each result; where the next operation widens it again, neither needs to happen.
Each operation on narrow floats is the wide one between conversions (`widen_…`), conversions move
like any elementwise function, and a rounding between two wide values is dropped.

Roundings that are a value's meaning stay: `reduce_precision`, conversions to integers, to floats of
8 bits and to f32, bit casts. So do the inputs' and results' types, and roundings at all under
`numerics="bitwise"`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    ConvDimensions,
    DotDimensions,
    Groups,
    Precision,
    Window,
    binary,
    convert,
    convolution,
    dot_general,
    reduce_,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.rule import ROUNDING, need, rule

EXCESS = "XLA's default of excess precision (`xla_allow_excess_precision`)"

FOR_SPEED = ("bf16", "f16")
"""Floats whose roundings say nothing about the value that is meant."""

_ON_PARTS = ("complex", "chlo.next_after")
_BOOLEAN = ("is_finite", "chlo.is_inf", "chlo.is_pos_inf", "chlo.is_neg_inf")


@rule(lambda x, s, t: convert(convert(x, s), t), numerics=ROUNDING, source=EXCESS)
def keep_excess_precision(x: Value, s: Any, t: Any) -> Value | None:
    """x's type of s(x) = x for s = bf16, f16, which round"""
    need(x.dtype == t and t in ("f32", "f64") and s in FOR_SPEED)
    return x


@rule(lambda f, x: unary(f, x), numerics=ROUNDING, source=EXCESS)
def widen_unary(f: Any, x: Value) -> Value | None:
    """f(x) = f(x as f32) rounded, for f16 and bf16"""
    need(isinstance(f, str) and f not in _BOOLEAN and x.dtype in FOR_SPEED)
    return convert(unary(f, convert(x, "f32")), x.dtype)


@rule(lambda f, x, y: binary(f, x, y), numerics=ROUNDING, source=EXCESS)
def widen_binary(f: Any, x: Value, y: Value) -> Value | None:
    """f(x, y) = f(x as f32, y as f32) rounded, for f16 and bf16"""
    need(isinstance(f, str) and f not in _ON_PARTS and x.dtype in FOR_SPEED)
    return convert(binary(f, convert(x, "f32"), convert(y, "f32")), x.dtype)


# ------------------------------------------------------------------ sums of products


def _need_narrow_contraction(x: Value, y: Value, p: Precision, t: str) -> None:
    """Go on for operands of 16 bits whose sums are rounded to f32 or less, by no algorithm named.

    An f32 product at XLA's default precision may round its operands on an accelerator, but to no
    less than theirs had.
    """
    need(x.dtype in FOR_SPEED and y.dtype in FOR_SPEED)
    need(t in (*FOR_SPEED, "f32") and not p.algorithm)


def _narrow_dot(rng: np.random.Generator) -> dict[str, Any]:
    narrow = str(rng.choice(FOR_SPEED))
    return {
        "x": TensorType((2, 3, 4), narrow),
        "y": TensorType((2, 4, 3), narrow),
        "d": DotDimensions((0,), (0,), (2,), (1,)),
        "t": str(rng.choice((narrow, "f32"))),
    }


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source=EXCESS,
    examples=_narrow_dot,
)
def widen_dot(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Value | None:
    """x · y = (x as f32) · (y as f32) rounded, for f16 and bf16"""
    _need_narrow_contraction(x, y, p, t)
    return convert(dot_general(convert(x, "f32"), convert(y, "f32"), d, p, "f32"), t)


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source="measured with XLA:CPU",
    examples=_narrow_dot,
)
def sum_narrow_products_in_f32(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str
) -> Value | None:
    """x · y = (x · y in f32) rounded, for f16 and bf16"""
    # XLA:CPU writes both operands anew in f32 where the result is narrow. Where it is f32, its
    # library takes them as they are, and a processor that multiplies pairs of bf16 does so.
    _need_narrow_contraction(x, y, p, t)
    need(t in FOR_SPEED)
    return convert(dot_general(x, y, d, p, "f32"), t)


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source=EXCESS,
)
def widen_convolution(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Value | None:
    """x ∗ k = (x as f32) ∗ (k as f32) rounded, for f16 and bf16"""
    _need_narrow_contraction(x, k, p, t)
    return convert(convolution(convert(x, "f32"), convert(k, "f32"), w, d, g, p, "f32"), t)


@rule(lambda f, x, d: reduce_(f, x, d), numerics=ROUNDING, source=EXCESS)
def widen_reduction(f: Any, x: Value, d: Any) -> Value | None:
    """Σx = Σ(x as f32) rounded, for f16 and bf16; products too"""
    need(x.dtype in FOR_SPEED and f in ("add", "multiply"))
    return convert(reduce_(f, convert(x, "f32"), d), x.dtype)
