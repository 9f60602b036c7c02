"""Bits that are masked and shifted: masks of bits that shifts drop, signs that masks drop; words
whose bits are taken apart and packed."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import binary, broadcast_in_dim, constant, full_like, reduce_
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.rules.conditions import FOLD_LIMIT, INTEGERS, need_variable
from saturax.rules.facts import bounds_of, constant_of, iota_of
from saturax.rules.rule import BITWISE, need, rule

BITS = "two's complement arithmetic"
Dimensions = tuple[int, ...]
SHIFTS_RIGHT = ("shift_right_logical", "shift_right_arithmetic")


def _and(x: Any, y: Any) -> Any:
    return binary("and", x, y)


def _width(x: Value) -> int:
    return 8 * numpy_dtype(x.dtype).itemsize


def _unsigned(c: Literal, width: int) -> int:
    """The bits of an integer splat."""
    return int(c.value) & ((1 << width) - 1)


def _places(x: Value, c: Literal) -> int:
    """By how many places a splat shifts; not by all, and not by none."""
    need(x.dtype in INTEGERS and c.is_splat and 0 < int(c.value) < _width(x))
    return int(c.value)


def _typed(mask: int, type: TensorType) -> Literal:
    """The splat of these bits."""
    kind = numpy_dtype(type.dtype)
    return splat(np.asarray(mask, np.uint64).astype(kind), type)


def _shifted_mask(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["i8", "ui8", "i32", "i64"])))
    width = 8 * numpy_dtype(type.dtype).itemsize
    places = int(rng.integers(1, width))
    low = int(rng.integers(0, 1 << min(places, 31)))
    mask = ((1 << width) - 1) ^ low
    f = str(rng.choice(SHIFTS_RIGHT))
    return {"f": f, "x": type, "m": _typed(mask, type), "c": splat(places, type)}


@rule(
    lambda f, x, m, c: binary(f, _and(x, constant(m)), constant(c)),
    numerics=BITWISE,
    source=BITS,
    uses_facts=True,
    examples=_shifted_mask,
)
def shift_masked_bits(f: Any, x: Value, m: Literal, c: Literal) -> Value | None:
    """(x ∧ m) » k = x » k where m has all bits that are kept, splats; logical shifts too"""
    need_variable(x)
    need(f in SHIFTS_RIGHT and m.is_splat)
    places, width = _places(x, c), _width(x)
    need(_unsigned(m, width) >> places == (1 << width - places) - 1)
    return binary(f, x, constant(c))


def _masked_sign(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["i8", "i32", "i64"])))
    width = 8 * numpy_dtype(type.dtype).itemsize
    places = int(rng.integers(1, width))
    whole = (1 << width - places) - 1
    mask = whole if rng.random() < 0.5 else int(rng.integers(0, min(whole, 1 << 31) + 1))
    return {"f": "shift_right_arithmetic", "x": type, "m": _typed(mask, type)} | {
        "c": splat(places, type)
    }


@rule(
    lambda f, x, c, m: _and(binary(f, x, constant(c)), constant(m)),
    numerics=BITWISE,
    source=BITS,
    uses_facts=True,
    examples=_masked_sign,
)
def mask_shifted_sign(f: Any, x: Value, c: Literal, m: Literal) -> Value | None:
    """(x » k) ∧ m = x »ₗ k where m has the bits below width - k, or ∧ m of some of these; signed"""
    need_variable(x)
    need(f == "shift_right_arithmetic" and m.is_splat and not is_unsigned(x.dtype))
    places, width = _places(x, c), _width(x)
    whole, mask = (1 << width - places) - 1, _unsigned(m, width)
    need(mask & ~whole == 0)
    shifted = binary("shift_right_logical", x, full_like(x, places))
    return shifted if mask == whole else _and(shifted, constant(m))


def _masked_shift(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _masked_sign(rng)
    width = 8 * numpy_dtype(drawn["x"].dtype).itemsize
    mask = _typed((1 << width - int(drawn["c"].value)) - 1, drawn["x"])
    return drawn | {"f": "shift_right_logical", "m": mask}


@rule(
    lambda f, x, c, m: _and(binary(f, x, constant(c)), constant(m)),
    numerics=BITWISE,
    source=BITS,
    uses_facts=True,
    examples=_masked_shift,
)
def mask_all_shifted_bits(f: Any, x: Value, c: Literal, m: Literal) -> Value | None:
    """(x »ₗ k) ∧ m = x »ₗ k where m has all bits below width - k, splats"""
    need_variable(x)
    need(f == "shift_right_logical" and m.is_splat)
    places, width = _places(x, c), _width(x)
    whole = (1 << width - places) - 1
    need(_unsigned(m, width) & whole == whole)
    return binary(f, x, constant(c))


# ------------------------------------------------------------------ bits of words, apart and packed


def _is_shift(x: Value, y: Value) -> bool:
    """Whether all of y are numbers of places by which a word can be shifted."""
    least, most = bounds_of(y)
    return x.dtype in INTEGERS and bool(least >= 0 and most < _width(x))


def _bits_apart(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _shifted_mask(rng)
    return {"f": drawn["f"], "x": drawn["x"], "y": drawn["c"]}


@rule(
    lambda f, x, y, m: binary("shift_left", _and(binary(f, x, y), m), y),
    numerics=BITWISE,
    source=BITS,
    uses_facts=True,
    examples=_bits_apart,
)
def move_masked_bits_back(f: Any, x: Value, y: Value, m: Value) -> Value | None:
    """((x » k) ∧ m) « k = x ∧ (m « k), k less than the width"""
    need(f in SHIFTS_RIGHT and _is_shift(x, y))
    return _and(x, binary("shift_left", m, y))


def _repeated(x: Any, s: Any, m: Any) -> Any:
    return broadcast_in_dim(x, s, m)


def _need_dropped(x: Value, s: Dimensions, m: Dimensions, d: Dimensions) -> None:
    """x is repeated along the dimensions d, and has all others of the shape s, in their order."""
    kept = tuple(i for i in range(len(s)) if i not in d)
    need(tuple(m) == kept and x.shape == tuple(s[i] for i in kept))


def _disjoint(rng: np.random.Generator) -> dict[str, Any]:
    kind = str(rng.choice(["i8", "ui8", "i32", "ui64"]))
    n, width = int(rng.integers(1, 4)), 8 * numpy_dtype(kind).itemsize
    lines = [1 << int(i) for i in rng.permutation(width - 1)[:n]]
    values = np.asarray([lines] * 2, np.uint64).astype(numpy_dtype(kind))
    f = str(rng.choice(["add", "or", "xor"]))
    return {"f": f, "x": TensorType((2,), kind), "s": (2, n), "m": (0,), "d": (1,)} | {
        "c": Literal(values)
    }


@rule(
    lambda f, x, s, m, c, d: reduce_(f, _and(_repeated(x, s, m), c), d),
    numerics=BITWISE,
    source="x ∧ ¬x = 0: what has no bit in common is added without a carry",
    uses_facts=True,
    examples=_disjoint,
)
def join_masked_bits(
    f: Any, x: Value, s: Dimensions, m: Dimensions, c: Value, d: Dimensions
) -> Value | None:
    """Σ (x ∧ mₖ) = x ∧ Σ mₖ for constants mₖ that have no bit in common; ∨ and ⊕ too"""
    known = constant_of(c)
    if known is None or known.type.size > FOLD_LIMIT:
        return None
    need(f in ("add", "or", "xor") and x.dtype in INTEGERS and bool(d) and all(s[i] > 0 for i in d))
    _need_dropped(x, s, m, d)
    masks = known.array.astype(object) & ((1 << _width(x)) - 1)
    joined = np.bitwise_or.reduce(masks, axis=tuple(d)) if masks.size else masks.sum(tuple(d))
    need(f == "or" or bool(np.all(masks.sum(tuple(d)) == joined)))
    kept = tuple(n for i, n in enumerate(s) if i not in d)
    values = np.asarray(joined, object).reshape(kept).astype(np.uint64)
    return _and(x, constant(Literal(values.astype(numpy_dtype(x.dtype)))))


def _packed(rng: np.random.Generator) -> dict[str, Any]:
    kind = str(rng.choice(["ui8", "i32", "ui64"]))
    n, width = int(rng.integers(1, 5)), 8 * numpy_dtype(kind).itemsize
    places = rng.permutation(width)[:n].astype(numpy_dtype(kind))
    bits = rng.integers(0, 2, (3, n)).astype(numpy_dtype(kind))
    f = str(rng.choice(["add", "or", "xor"]))
    own = {"x": Literal(bits), "y": Literal(np.stack([places] * 3)), "d": (1,), "s": (3, n)}
    one = splat(1, TensorType((3, n), kind))
    return own | {"f": f, "g": "shift_right_logical", "m": (0,), "c": one}


@rule(
    lambda f, g, x, y, d, s, m, c: _and(
        binary(g, _repeated(reduce_(f, binary("shift_left", x, y), d), s, m), y), constant(c)
    ),
    numerics=BITWISE,
    source=BITS,
    uses_facts=True,
    examples=_packed,
)
def unpack_packed_bits(
    f: Any, g: Any, x: Value, y: Value, d: Dimensions, s: Dimensions, m: Dimensions, c: Literal
) -> Value | None:
    """((Σ xₖ « k) » k) ∧ 1 = xₖ for numbers k that differ, and x that are 0 or 1"""
    need(f in ("add", "or", "xor") and g in SHIFTS_RIGHT and x.size > 0)
    need(c.is_splat and int(c.value) == 1 and tuple(s) == x.shape and _is_shift(x, y))
    least, most = bounds_of(x)
    need(bool(least >= 0 and most <= 1) and len(d) == 1)
    kept = tuple(i for i in range(x.rank) if i not in d)
    need(tuple(m) == kept and _differ(y, d[0]))
    return x


def _differ(y: Value, axis: int) -> bool:
    """Whether all of y along an axis are known to be different numbers."""
    progression, known = iota_of(y), constant_of(y)
    if progression is not None:
        return progression.strides[axis] != 0 or y.shape[axis] == 1
    if known is None or known.type.size > FOLD_LIMIT:
        return False
    values = np.sort(np.broadcast_to(known.array, y.shape), axis=axis)
    return bool(np.all(np.diff(values, axis=axis) != 0))
