"""Constants: folding what is computed from them, and moving them together so that it can be.

A constant with distinct elements is folded up to `FOLD_LIMIT` elements, a splat always.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.operation import infer
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    concatenate,
    constant,
    convert,
    gather,
    pad,
    reduce_,
    reshape,
    reverse,
    select,
    slice_,
    ternary,
    transpose,
    unary,
)
from saturax.graph.reference import evaluate_operation
from saturax.graph.types import is_complex
from saturax.rules.conditions import (
    FOLD_LIMIT,
    INTEGERS,
    REALS,
    double_constants,
    folded,
    is_exact,
    is_ordinary,
    is_small,
)
from saturax.rules.conversion import holds_every_value
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

SPEC = "StableHLO spec, reference meaning"
IEEE = "IEEE 754-2019, correctly rounded operations"

EXACT_UNARY = frozenset(
    {"negate", "abs", "sign", "floor", "ceil", "round_nearest_even", "round_nearest_afz"}
    | {"not", "popcnt", "count_leading_zeros", "is_finite", "real", "imag"}
)
"""Functions whose every bit is specified."""

EXACT_BINARY = frozenset(
    {"add", "subtract", "multiply", "maximum", "minimum", "and", "or", "xor", "complex"}
)
"""Binary functions whose every bit is specified, on reals and integers."""

# ------------------------------------------------------------------ movement of constants


def _moved(op: str, attributes: tuple[Any, ...], *operands: Literal) -> Value:
    """The constant that a movement operation makes of constants, where that is small."""
    type: Any = infer(op, attributes, [c.type for c in operands])
    first = operands[0]
    if all(c.is_splat and c.data.tobytes() == first.data.tobytes() for c in operands):
        return constant(Literal(first.data, type.shape))
    need(max(type.size, *(c.type.size for c in operands)) <= FOLD_LIMIT)
    return constant(Literal(evaluate_operation(op, attributes, [c.array for c in operands], type)))


@rule(lambda c, s, d: broadcast_in_dim(constant(c), s, d), numerics=BITWISE, source=SPEC)
def fold_broadcast(c: Literal, s: Any, d: Any) -> Value | None:
    """A broadcast constant is a constant"""
    return _moved("broadcast_in_dim", (s, d), c)


@rule(lambda c, s: reshape(constant(c), s), numerics=BITWISE, source=SPEC)
def fold_reshape(c: Literal, s: Any) -> Value | None:
    """A reshaped constant is a constant"""
    return _moved("reshape", (s,), c)


@rule(lambda c, p: transpose(constant(c), p), numerics=BITWISE, source=SPEC)
def fold_transpose(c: Literal, p: Any) -> Value | None:
    """A transposed constant is a constant"""
    return _moved("transpose", (p,), c)


@rule(lambda c, d: reverse(constant(c), d), numerics=BITWISE, source=SPEC)
def fold_reverse(c: Literal, d: Any) -> Value | None:
    """A reversed constant is a constant"""
    return _moved("reverse", (d,), c)


@rule(lambda c, a, b, s: slice_(constant(c), a, b, s), numerics=BITWISE, source=SPEC)
def fold_slice(c: Literal, a: Any, b: Any, s: Any) -> Value | None:
    """A slice of a constant is a constant"""
    return _moved("slice", (a, b, s), c)


@rule(lambda c, e, d: concatenate(constant(c), constant(e), d), numerics=BITWISE, source=SPEC)
def fold_concatenate(c: Literal, e: Literal, d: Any) -> Value | None:
    """Concatenated constants are a constant"""
    return _moved("concatenate", (d,), c, e)


@rule(
    lambda c, e, low, high, inside: pad(constant(c), constant(e), low, high, inside),
    numerics=BITWISE,
    source=SPEC,
)
def fold_pad(c: Literal, e: Literal, low: Any, high: Any, inside: Any) -> Value | None:
    """A constant padded with a constant is a constant"""
    return _moved("pad", (low, high, inside), c, e)


@rule(lambda c, x, d, n, b: gather(constant(c), x, d, n, b), numerics=BITWISE, source=SPEC)
def fold_gather_of_splat(c: Literal, x: Value, d: Any, n: Any, b: Any) -> Value | None:
    """Whatever is gathered from equal elements is that element"""
    need(c.is_splat and c.type.size > 0)
    type: Any = infer("gather", (d, n, b), [c.type, x.type])
    return constant(Literal(c.data, type.shape))


@rule(
    lambda c, e, d, n, b: gather(constant(c), constant(e), d, n, b), numerics=BITWISE, source=SPEC
)
def fold_gather(c: Literal, e: Literal, d: Any, n: Any, b: Any) -> Value | None:
    """Constants gathered at constant indices are a constant"""
    return _moved("gather", (d, n, b), c, e)


def _repeating(rng: np.random.Generator) -> dict[str, Any]:
    line = rng.integers(-3, 4, 3).astype(np.float32)
    return {"c": Literal(np.broadcast_to(line[:, None] if rng.random() < 0.5 else line, (3, 3)))}


@rule(lambda c: constant(c), numerics=BITWISE, source=SPEC, examples=_repeating)
def shrink_constant(c: Literal) -> Value | None:
    """A constant that repeats itself along dimensions is a broadcast of a smaller one"""
    need(not c.is_splat and c.type.size <= FOLD_LIMIT)
    raw = np.ascontiguousarray(c.array)
    bits = raw.view(np.uint8).reshape(*c.type.shape, -1)
    kept = [d for d in range(c.type.rank) if c.type.shape[d] > 1 and not _repeats(bits, d)]
    need(prod(c.type.shape[d] for d in kept) < c.type.size)
    small = raw[tuple(slice(None) if d in kept else 0 for d in range(c.type.rank))]
    return broadcast_in_dim(constant(Literal(small)), c.type.shape, kept)


def _repeats(bits: np.ndarray[Any, Any], dimension: int) -> bool:
    return bool((bits == bits.take([0], dimension)).all())


# ------------------------------------------------------------------ functions of constants


@rule(lambda c, f: unary(f, constant(c)), numerics=BITWISE, source=IEEE)
def fold_unary(c: Literal, f: Any) -> Value | None:
    """f(c) is a constant, where every bit of it is specified"""
    need(f in EXACT_UNARY)
    return constant(folded(f, c))


@rule(
    lambda c, f: unary(f, constant(c)),
    numerics=ROUNDING,
    source=SPEC,
    examples=double_constants("c"),
)
def fold_rounded_unary(c: Literal, f: Any) -> Value | None:
    """f(c) is a constant, finite if c is"""
    need(isinstance(f, str) and f not in EXACT_UNARY)
    result = folded(f, c)
    need(is_ordinary(result.data))
    return constant(result)


@rule(lambda c, t: convert(constant(c), t), numerics=BITWISE, source="StableHLO spec, `convert`")
def fold_convert(c: Literal, t: Any) -> Value | None:
    """A converted constant is a constant, where the conversion changes no value"""
    need(is_small(c) and not is_complex(c.type.dtype) and not is_complex(t))
    result = folded(("convert", t), c)
    need(holds_numbers(c, result))
    return constant(result)


def holds_numbers(c: Literal, result: Literal) -> bool:
    """Whether the conversion of c to the type of `result` changes no value; not complex."""
    source = c.type.dtype
    back = folded(("convert", source), result)
    return holds_every_value(source, result.type.dtype) or _same_numbers(back.data, c.data)


def _same_numbers(a: Any, b: Any) -> bool:
    """Whether two arrays hold the same finite numbers, signs of zeros included."""
    same = (a == b) & (np.signbit(a.astype(np.float64)) == np.signbit(b.astype(np.float64)))
    return bool(np.all(same & np.isfinite(b.astype(np.float64))))


@rule(lambda c, t: convert(constant(c), t), numerics=ROUNDING, source="StableHLO spec, `convert`")
def fold_rounding_convert(c: Literal, t: Any) -> Value | None:
    """A constant converted to a float is a constant"""
    need(is_small(c) and not is_complex(c.type.dtype) and t in REALS)
    result = folded(("convert", t), c)
    need(is_ordinary(result.data))
    return constant(result)


@rule(lambda c, e, f: binary(f, constant(c), constant(e)), numerics=BITWISE, source=IEEE)
def fold_binary(c: Literal, e: Literal, f: Any) -> Value | None:
    """f(c, d) is a constant, where every bit of it is specified"""
    dtype = c.type.dtype
    is_comparison = not isinstance(f, str) and f[0] == "compare"
    need(dtype in REALS or dtype in INTEGERS or dtype == "i1")
    divides = f == "divide" and dtype in REALS
    need(f in EXACT_BINARY or is_comparison or divides or _divides_integers(f, c, e))
    return constant(folded(f, c, e))


def _divides_integers(f: Any, c: Literal, e: Literal) -> bool:
    """Whether f divides integers without overflow or a zero divisor, whose results are not said."""
    if f not in ("divide", "remainder") or c.type.dtype not in INTEGERS or not is_small(c, e):
        return False
    least = np.iinfo(c.data.dtype).min
    overflows = (c.array == least) & (e.array == -1) if least < 0 else False
    return not bool(np.any((e.array == 0) | overflows))


@rule(
    lambda c, e, f: binary(f, constant(c), constant(e)),
    numerics=ROUNDING,
    source=SPEC,
    examples=double_constants("c", "e"),
)
def fold_rounded_binary(c: Literal, e: Literal, f: Any) -> Value | None:
    """f(c, d) is a constant for power, atan2 and remainder, real, where it is finite"""
    need(f in ("power", "atan2", "remainder") and c.type.dtype in REALS)
    result = folded(f, c, e)
    need(is_ordinary(result.data))
    return constant(result)


@rule(lambda p, c, e: select(constant(p), constant(c), constant(e)), numerics=BITWISE, source=SPEC)
def fold_select(p: Literal, c: Literal, e: Literal) -> Value | None:
    """A choice between constants by a constant is a constant"""
    return constant(folded("select", p, c, e))


@rule(
    lambda c, e, h: ternary("clamp", constant(c), constant(e), constant(h)),
    numerics=BITWISE,
    source=SPEC,
)
def fold_clamp(c: Literal, e: Literal, h: Literal) -> Value | None:
    """A clamped constant is a constant"""
    need(c.type.dtype in REALS or c.type.dtype in INTEGERS)
    return constant(folded("clamp", c, e, h))


# ------------------------------------------------------------------ reductions of constants


@rule(lambda f, c, d: reduce_(f, constant(c), d), numerics=BITWISE, source=SPEC)
def fold_reduce(f: Any, c: Literal, d: Any) -> Value | None:
    """A reduced constant is a constant: extrema, integers"""
    need(is_exact(f, c.type.dtype))
    return _reduced(f, c, d)


@rule(
    lambda c, d: reduce_("add", constant(c), d),
    numerics=ROUNDING,
    source=SPEC,
    examples=double_constants("c"),
)
def fold_sum(c: Literal, d: Any) -> Value | None:
    """The sum of a constant is a constant"""
    need(c.type.dtype in REALS)
    return _reduced("add", c, d)


def _reduced(f: Any, c: Literal, d: Any) -> Value:
    type: Any = infer("reduce", (f, d), [c.type])
    count = prod(c.type.shape[i] for i in d)
    if c.is_splat and count > 0 and f in ("maximum", "minimum", "and", "or"):
        return constant(Literal(c.data, type.shape))
    if c.is_splat and count > 0 and f == "add" and c.type.dtype in REALS:
        with np.errstate(all="ignore"):
            total = (c.data.astype(np.float64) * count).astype(c.data.dtype)
        return constant(Literal(total, type.shape))
    need(c.type.size <= FOLD_LIMIT)
    return constant(Literal(evaluate_operation("reduce", (f, d), [c.array], type)))
