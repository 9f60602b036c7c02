"""Numbers of ones among bits: of rotated words, of words in parts, of two words together."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import add, binary, constant, multiply, subtract, unary
from saturax.graph.types import TensorType, numpy_dtype
from saturax.rules.conditions import INTEGERS, is_all
from saturax.rules.rule import BITWISE, need, rule

WORD = "each bit is in one place of a word"
TOGETHER = "of two bits, one or both are 1"


def _ones(x: Any) -> Any:
    return unary("popcnt", x)


def _and(x: Any, y: Any) -> Any:
    return binary("and", x, y)


def _xor(x: Any, y: Any) -> Any:
    return binary("xor", x, y)


def _width(x: Value) -> int:
    return numpy_dtype(x.dtype).itemsize * 8


def _shifted(x: Any, c: Any, e: Any) -> tuple[Any, Any]:
    left = binary("shift_left", x, constant(c))
    return left, binary("shift_right_logical", x, constant(e))


def _rotated(rng: np.random.Generator) -> dict[str, Any]:
    """How far the two parts of a rotated word move."""
    dtype = str(rng.choice(["ui32", "i32", "ui8", "i64"]))
    type, width = TensorType((3,), dtype), numpy_dtype(dtype).itemsize * 8
    k = int(rng.integers(1, width))
    return {"x": type, "c": splat(k, type), "e": splat(width - k, type), "f": "or"}


@rule(
    lambda f, x, c, e: _ones(binary(f, *_shifted(x, c, e))),
    numerics=BITWISE,
    source=WORD,
    examples=_rotated,
)
def ones_of_rotated(f: Any, x: Value, c: Literal, e: Literal) -> Value | None:
    """popcnt((x « k) ∨ (x » width - k)) = popcnt x; +, ⊕ too"""
    need(f in ("or", "xor", "add") and x.dtype in INTEGERS and c.is_splat and e.is_splat)
    need(int(c.value) > 0 and int(e.value) > 0 and int(c.value) + int(e.value) == _width(x))
    return _ones(x)


def _masks(rng: np.random.Generator) -> dict[str, Any]:
    """Masks that share no bit."""
    type = TensorType((3,), str(rng.choice(["ui32", "i32", "ui8"])))
    c = int(rng.integers(1, 128))
    return {"x": type, "c": splat(c, type), "e": splat(127 & ~c, type)}


@rule(
    lambda x, c, e: add(_ones(_and(x, constant(c))), _ones(_and(x, constant(e)))),
    numerics=BITWISE,
    source=WORD,
    examples=_masks,
)
def ones_under_two_masks(x: Value, c: Literal, e: Literal) -> Value | None:
    """popcnt(x ∧ c) + popcnt(x ∧ e) = popcnt(x ∧ (c ∨ e)) where c ∧ e = 0"""
    need(x.dtype in INTEGERS and c.is_splat and e.is_splat and int(c.value) & int(e.value) == 0)
    return _ones(_and(x, constant(Literal(c.data | e.data, x.shape))))


def _halves(rng: np.random.Generator) -> dict[str, Any]:
    """A mask of the low bits, and a shift that leaves the others."""
    type = TensorType((3,), str(rng.choice(["ui32", "i32", "ui8"])))
    k = int(rng.integers(1, 7))
    return {"x": type, "c": splat((1 << k) - 1, type), "e": splat(k, type)}


@rule(
    lambda x, c, e: add(
        _ones(_and(x, constant(c))), _ones(binary("shift_right_logical", x, constant(e)))
    ),
    numerics=BITWISE,
    source=WORD,
    examples=_halves,
)
def ones_of_halves(x: Value, c: Literal, e: Literal) -> Value | None:
    """popcnt(x ∧ (2ᵏ - 1)) + popcnt(x » k) = popcnt x"""
    need(x.dtype in INTEGERS and c.is_splat and e.is_splat and 0 < int(e.value) < _width(x))
    lowest = (1 << int(e.value)) - 1
    need(int(c.value) % (1 << _width(x)) == lowest)
    return _ones(x)


@rule(
    lambda x, y, c: subtract(add(_ones(x), _ones(y)), multiply(_ones(_and(x, y)), constant(c))),
    numerics=BITWISE,
    source=TOGETHER,
    examples=lambda rng: {"c": splat(2, TensorType((3,), str(rng.choice(["ui32", "i32", "ui8"]))))},
)
def ones_of_either(x: Value, y: Value, c: Literal) -> Value | None:
    """popcnt x + popcnt y - 2 popcnt(x ∧ y) = popcnt(x ⊕ y)"""
    need(x.dtype in INTEGERS and is_all(c, 2))
    return _ones(_xor(x, y))


@rule(
    lambda x, y: subtract(add(_ones(x), _ones(y)), _ones(_and(x, y))),
    numerics=BITWISE,
    source=TOGETHER,
)
def ones_of_one_or_both(x: Value, y: Value) -> Value | None:
    """popcnt x + popcnt y - popcnt(x ∧ y) = popcnt(x ∨ y)"""
    need(x.dtype in INTEGERS)
    return _ones(binary("or", x, y))


@rule(
    lambda f, x, y: add(_ones(_and(x, y)), _ones(binary(f, x, y))),
    numerics=BITWISE,
    source=TOGETHER,
)
def add_ones_of_common(f: Any, x: Value, y: Value) -> Value | None:
    """popcnt(x ∧ y) + popcnt(x ⊕ y) = popcnt(x ∨ y)"""
    need(f == "xor" and x.dtype in INTEGERS)
    return _ones(binary("or", x, y))


@rule(
    lambda x, y: subtract(_ones(binary("or", x, y)), _ones(_and(x, y))),
    numerics=BITWISE,
    source=TOGETHER,
)
def subtract_ones_of_common(x: Value, y: Value) -> Value | None:
    """popcnt(x ∨ y) - popcnt(x ∧ y) = popcnt(x ⊕ y)"""
    need(x.dtype in INTEGERS)
    return _ones(_xor(x, y))
