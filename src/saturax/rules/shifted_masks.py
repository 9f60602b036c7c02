"""Bits that are masked and shifted: masks of bits that shifts drop, and signs that masks drop."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import binary, constant, full_like
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.rules.conditions import INTEGERS, need_variable
from saturax.rules.rule import BITWISE, need, rule

BITS = "two's complement arithmetic"
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
