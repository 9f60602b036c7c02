"""Choices between constants, and pairs of choices by one condition or by one comparison."""

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
    maximum,
    minimum,
    multiply,
    negate,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.conditions import INTEGERS, REALS, exactly, folded, is_all
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

SELECT = "StableHLO spec, `select`"
ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "maximum", "minimum"})
"""Functions whose results are rounded correctly, wherever they are computed."""

COMMUTATIVE = frozenset({"add", "multiply", "maximum", "minimum", "and", "or", "xor"})


def _is_number(x: Value) -> bool:
    return x.dtype in REALS or x.dtype in INTEGERS


def _type(rng: np.random.Generator) -> TensorType:
    return TensorType((2, 3), str(rng.choice(["f32", "f64", "i32"])))


def _number(rng: np.random.Generator, type: TensorType) -> Literal:
    return splat(int(rng.integers(1, 4)), type)


# ------------------------------------------------------------------ choices between constants


def _constants(rng: np.random.Generator) -> dict[str, Any]:
    x = _type(rng)
    drawn = {name: _number(rng, x) for name in "cde"}
    f = str(rng.choice(["add", "subtract", "multiply", "maximum"]))
    return {"f": f, "p": TensorType(x.shape, "i1"), **drawn}


def _need_splats(*literals: Literal) -> None:
    need(all(c.is_splat and c.type.dtype in REALS | INTEGERS for c in literals))


@rule(
    lambda f, p, c, d, e: binary(f, select(p, constant(c), constant(d)), constant(e)),
    numerics=BITWISE,
    source=SELECT,
    examples=_constants,
)
def fold_choice_of_constants(f: Any, p: Value, c: Literal, d: Literal, e: Literal) -> Value | None:
    """f(c where p, else d, e) = f(c, e) where p, else f(d, e), for splats and f = +, -, ·, …"""
    need(f in ARITHMETIC and not (f == "divide" and c.type.dtype in INTEGERS))
    _need_splats(c, d, e)
    return select(p, constant(folded(f, c, e)), constant(folded(f, d, e)))


@rule(
    lambda f, p, c, d, e: binary(f, constant(e), select(p, constant(c), constant(d))),
    numerics=BITWISE,
    source=SELECT,
    examples=_constants,
)
def fold_second_choice_of_constants(
    f: Any, p: Value, c: Literal, d: Literal, e: Literal
) -> Value | None:
    """f(e, c where p, else d) = f(e, c) where p, else f(e, d), for splats and f = -, /"""
    need(f in ("subtract", "divide") and not (f == "divide" and c.type.dtype in INTEGERS))
    _need_splats(c, d, e)
    return select(p, constant(folded(f, e, c)), constant(folded(f, e, d)))


def _complement(rng: np.random.Generator) -> dict[str, Any]:
    x = _type(rng)
    return {"c": splat(1, x), "p": TensorType(x.shape, "i1"), "t": x.dtype}


@rule(
    lambda c, p, t: subtract(constant(c), convert(p, t)),
    numerics=BITWISE,
    source="Boolean algebra",
    examples=_complement,
)
def complement_of_mask(c: Literal, p: Value, t: Any) -> Value | None:
    """1 - 1ₚ = 1 where ¬p, else 0"""
    need(p.dtype == "i1" and is_all(c, 1.0) and (t in REALS or t in INTEGERS))
    return convert(unary("not", p), t)


# ------------------------------------------------------------------ pairs by one condition


@rule(
    lambda f, p, x, y: binary(f, select(p, x, y), select(p, y, x)),
    numerics=BITWISE,
    source=SELECT,
)
def combine_swapped_choices(f: Any, p: Value, x: Value, y: Value) -> Value | None:
    """f(x where p, else y, y where p, else x) = f(x, y) for commutative f"""
    need(f in COMMUTATIVE)
    return binary(f, x, y)


def _excluded(rng: np.random.Generator) -> dict[str, Any]:
    x = _type(rng)
    p = TensorType(x.shape, "i1")
    return {"p": p, "q": p, "x": x, "w": x, "y": x, "c": splat(0, x)}


@rule(
    lambda p, q, x, w, y, c: add(
        select(p, x, w), select(binary("and", unary("not", p), q), y, constant(c))
    ),
    numerics=ROUNDING,
    source="masks that exclude each other",
    examples=_excluded,
)
def join_exclusive_masks(
    p: Value, q: Value, x: Value, w: Value, y: Value, c: Literal
) -> Value | None:
    """(x where p, else w) + (y where ¬p ∧ q, else 0) = x where p, else w + (y where q, else 0)"""
    need(_is_number(x) and is_all(c, 0.0))
    return select(p, x, add(w, select(q, y, constant(c))))


join_exclusive_masks_exactly = exactly(
    join_exclusive_masks, lambda p, q, x, w, y, c: x.dtype in INTEGERS, examples=_excluded
)


def _blend(rng: np.random.Generator) -> dict[str, Any]:
    x = _type(rng)
    return {"p": TensorType(x.shape, "i1"), "x": x, "y": x, "c": splat(0, x)}


@rule(
    lambda p, x, y, c: add(y, select(p, subtract(x, y), constant(c))),
    numerics=FINITE,
    source=SELECT,
    examples=_blend,
)
def add_chosen_difference(p: Value, x: Value, y: Value, c: Literal) -> Value | None:
    """y + (x - y where p, else 0) = x where p, else y"""
    need(_is_number(x) and is_all(c, 0.0))
    return select(p, x, y)


add_chosen_difference_exactly = exactly(
    add_chosen_difference, lambda p, x, y, c: x.dtype in INTEGERS, examples=_blend
)


# ------------------------------------------------------------------ pairs of indicators


def _indicators(rng: np.random.Generator) -> dict[str, Any]:
    p = TensorType((2, 3), "i1")
    return {"f": str(rng.choice(["maximum", "minimum"])), "p": p, "q": p, "t": _type(rng).dtype}


@rule(
    lambda f, p, q, t: binary(f, convert(p, t), convert(q, t)),
    numerics=BITWISE,
    source="Boolean algebra",
    examples=_indicators,
)
def extremum_of_indicators(f: Any, p: Value, q: Value, t: Any) -> Value | None:
    """max(1ₚ, 1ᵩ) = 1 where p ∨ q, else 0, and min(1ₚ, 1ᵩ) = 1 where p ∧ q, else 0"""
    need(f in ("maximum", "minimum") and p.dtype == q.dtype == "i1")
    need(t in REALS or t in INTEGERS)
    return convert(binary("or" if f == "maximum" else "and", p, q), t)


@rule(lambda p, q, d, k: compare(p, q, d, k), numerics=BITWISE, source="Boolean algebra")
def compare_booleans(p: Value, q: Value, d: Any, k: Any) -> Value | None:
    """(p ≠ q) = p ⊕ q and (p = q) = ¬(p ⊕ q), Boolean"""
    need(p.dtype == "i1" and d in ("EQ", "NE"))
    different = binary("xor", p, q)
    return different if d == "NE" else unary("not", different)


# ------------------------------------------------------------------ pairs by one comparison


def _ties(rng: np.random.Generator) -> dict[str, Any]:
    x = TensorType((2, 3), "f32")
    return {
        "f": "divide",
        "x": x,
        "y": x,
        "a": splat(1, x),
        "b": splat(0, x),
        "c": splat(2, x),
        "e": splat(1, x),
        "d": str(rng.choice(["GE", "LE"])),
        "k": "FLOAT",
    }


@rule(
    lambda f, x, y, a, b, c, e, d, k: binary(
        f,
        select(compare(x, y, d, k), constant(a), constant(b)),
        select(compare(y, x, d, k), constant(c), constant(e)),
    ),
    numerics=BITWISE,
    source="IEEE 754-2019, comparisons",
    examples=_ties,
)
def combine_choices_by_one_comparison(
    f: Any, x: Value, y: Value, a: Literal, b: Literal, c: Literal, e: Literal, d: Any, k: Any
) -> Value | None:
    """1ₓ≥ᵧ / (2 where y ≥ x, else 1) = 1 where x > y, else ½ where x = y, else 0; splats alike"""
    need(f in ARITHMETIC and a.type.dtype in REALS and d in ("GE", "LE") and k != "TOTALORDER")
    _need_splats(a, b, c, e)
    rest = folded(f, b, c)
    need(rest == folded(f, b, e))
    tie = select(compare(x, y, "EQ", k), constant(folded(f, a, c)), constant(rest))
    return select(compare(x, y, "GT" if d == "GE" else "LT", k), constant(folded(f, a, e)), tie)


@rule(
    lambda f, x, y, k: compare(x, binary(f, x, y), "EQ", k),
    numerics=BITWISE,
    source="IEEE 754-2019, maximum",
)
def compare_with_own_extremum(f: Any, x: Value, y: Value, k: Any) -> Value | None:
    """(x = max(x, y)) = (x ≥ y) and (x = min(x, y)) = (x ≤ y), not complex"""
    need(f in ("maximum", "minimum") and _is_number(x) and k != "TOTALORDER")
    return compare(x, y, "GE" if f == "maximum" else "LE", k)


def _bounded(rng: np.random.Generator) -> dict[str, Any]:
    x = _type(rng)
    drawn = {"c": _number(rng, x), "e": _number(rng, x)}
    kind = "SIGNED" if x.dtype == "i32" else "FLOAT"
    d = str(rng.choice(["LT", "LE", "GT", "GE", "EQ", "NE"]))
    return {"f": str(rng.choice(["maximum", "minimum"])), "x": x, **drawn, "d": d, "k": kind}


@rule(
    lambda f, x, c, e, d, k: compare(binary(f, x, constant(c)), constant(e), d, k),
    numerics=BITWISE,
    source="IEEE 754-2019, maximum",
    examples=_bounded,
)
def compare_before_bound(f: Any, x: Value, c: Literal, e: Literal, d: Any, k: Any) -> Value | None:
    """(max(x, c) < e) = (x < e) for splats c < e, any comparison; ≤ and > for c = e; min alike"""
    need(f in ("maximum", "minimum") and _is_number(x) and k != "TOTALORDER")
    _need_splats(c, e)
    is_below = bool(c.value < e.value) if f == "maximum" else bool(c.value > e.value)
    at_bound = ("LE", "GT") if f == "maximum" else ("GE", "LT")
    need(is_below or (bool(c.value == e.value) and d in at_bound))
    return compare(x, constant(e), d, k)


def _signs(rng: np.random.Generator) -> dict[str, Any]:
    x = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    is_first = bool(rng.random() < 0.5)
    return {
        "x": x,
        "c": splat(0, x),
        "a": splat(1 if is_first else -1, x),
        "b": splat(-1 if is_first else 1, x),
        "d": "GT" if is_first else "LT",
        "e": "LT" if is_first else "GT",
        "k": "FLOAT",
    }


@rule(
    lambda x, c, a, b, d, e, k: select(
        compare(x, constant(c), d, k),
        constant(a),
        select(compare(x, constant(c), e, k), constant(b), constant(c)),
    ),
    numerics=FINITE,
    source="definition of the sign",
    examples=_signs,
)
def recognize_sign(
    x: Value, c: Literal, a: Literal, b: Literal, d: Any, e: Any, k: Any
) -> Value | None:
    """1 where x > 0, else -1 where x < 0, else 0 = sign x, the negative part first too; real"""
    need(x.dtype in REALS and a.type.dtype == x.dtype and k == "FLOAT" and is_all(c, 0.0))
    is_first = (d, e) == ("GT", "LT") and is_all(a, 1.0) and is_all(b, -1.0)
    need(is_first or ((d, e) == ("LT", "GT") and is_all(a, -1.0) and is_all(b, 1.0)))
    return unary("sign", x)


# ------------------------------------------------------------------ positive and negative parts


def _parts(rng: np.random.Generator) -> dict[str, Any]:
    x = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    return {"x": x, "y": x, "c": splat(0, x)}


def _bent(x: Value, y: Value, c: Literal) -> Value:
    """x where x > 0, else y·x."""
    need(x.dtype in REALS and is_all(c, 0.0))
    return select(compare(x, full_like(x, 0), "GT"), x, multiply(x, y))


@rule(
    lambda x, y, c: add(maximum(x, constant(c)), multiply(y, minimum(x, constant(c)))),
    numerics=ROUNDING,
    source="leaky rectifier",
    examples=_parts,
)
def add_scaled_negative_part(x: Value, y: Value, c: Literal) -> Value | None:
    """max(x, 0) + y · min(x, 0) = x where x > 0, else y · x; real"""
    return _bent(x, y, c)


@rule(
    lambda x, y, c: subtract(maximum(x, constant(c)), multiply(y, maximum(negate(x), constant(c)))),
    numerics=ROUNDING,
    source="leaky rectifier",
    examples=_parts,
)
def subtract_scaled_negative_part(x: Value, y: Value, c: Literal) -> Value | None:
    """max(x, 0) - y · max(-x, 0) = x where x > 0, else y · x; real"""
    return _bent(x, y, c)


# ------------------------------------------------------------------ bounds that are moved


def _moved(rng: np.random.Generator) -> dict[str, Any]:
    x = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    low, high = sorted(rng.choice([-2.0, -1.0, 0.0, 1.0, 4.0], 2, replace=False))
    return {
        "f": str(rng.choice(["add", "multiply"])),
        "g": str(rng.choice(["maximum", "minimum"])),
        "x": x,
        "a": splat(low, x),
        "b": splat(high, x),
        "c": splat(rng.choice([-2.0, 2.0]), x),
        "d": splat(rng.choice([0.5, 2.0]), x),
    }


def _need_order_kept(f: Any, d: Literal) -> None:
    """Go on if adding d, or multiplying by it, keeps the order of numbers."""
    need(f in ("add", "multiply") and d.type.dtype in REALS and d.is_splat)
    need(not is_complex(d.type.dtype) and np.isfinite(np.asarray(d.value, np.float64)))
    need(f == "add" or bool(d.value > 0))


def _inner(f: Any, x: Value, c: Literal, d: Literal) -> Value:
    """f(f(x, c), d)."""
    both = folded(f, c, d)
    return x if is_all(both, 0.0 if f == "add" else 1.0) else binary(f, x, constant(both))


@rule(
    lambda f, x, a, b, c, d: binary(
        f,
        minimum(maximum(binary(f, x, constant(c)), constant(a)), constant(b)),
        constant(d),
    ),
    numerics=ROUNDING,
    source="increasing functions keep order",
    examples=_moved,
)
def move_bounds(f: Any, x: Value, a: Literal, b: Literal, c: Literal, d: Literal) -> Value | None:
    """min(max(x + c, a), b) + d = min(max(x + (c + d), a + d), b + d); · by d > 0 too; splats"""
    _need_order_kept(f, d)
    _need_splats(a, b, c, d)
    low, high = constant(folded(f, a, d)), constant(folded(f, b, d))
    return minimum(maximum(_inner(f, x, c, d), low), high)


@rule(
    lambda f, g, x, a, c, d: binary(
        f, binary(g, binary(f, x, constant(c)), constant(a)), constant(d)
    ),
    numerics=ROUNDING,
    source="increasing functions keep order",
    examples=_moved,
)
def move_bound(f: Any, g: Any, x: Value, a: Literal, c: Literal, d: Literal) -> Value | None:
    """max(x + c, a) + d = max(x + (c + d), a + d); min too, · by d > 0 too; splats"""
    need(g in ("maximum", "minimum"))
    _need_order_kept(f, d)
    _need_splats(a, c, d)
    return binary(g, _inner(f, x, c, d), constant(folded(f, a, d)))
