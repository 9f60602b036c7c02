"""Integers as strings of bits: sums by carries, masks, shifts, complements.

All of them hold in every bit, with wrap-around, for every integer type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import add, binary, constant, full_like, multiply, negate, subtract, unary
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.rules.conditions import INTEGERS, folded, is_all, need_variable
from saturax.rules.rule import BITWISE, need, rule

CARRY = "x + y = (x ⊕ y) + 2 (x ∧ y)"
COMPLEMENT = "two's complement: -x = ¬x + 1"
BOOLEAN = "Boolean algebra"


def _not(x: Any) -> Any:
    return unary("not", x)


def _and(x: Any, y: Any) -> Any:
    return binary("and", x, y)


def _or(x: Any, y: Any) -> Any:
    return binary("or", x, y)


def _xor(x: Any, y: Any) -> Any:
    return binary("xor", x, y)


def _is_integer(x: Value) -> bool:
    return x.dtype in INTEGERS


def _is_bits(x: Value) -> bool:
    return x.dtype in INTEGERS or x.dtype == "i1"


# ------------------------------------------------------------------ signs


def _sign_mask(x: Any, c: Any) -> Any:
    return binary("shift_right_arithmetic", x, constant(c))


def _absolute(x: Value, c: Literal) -> Value:
    """|x|, if x » c is -1 where x is negative, else 0."""
    need(x.dtype in INTEGERS and not is_unsigned(x.dtype))
    need(is_all(c, 8 * numpy_dtype(x.dtype).itemsize - 1))
    absolute: Value = unary("abs", x)
    return absolute


def _sign_shifts(rng: np.random.Generator) -> dict[str, Any]:
    dtype, shift = (("i8", 7), ("i16", 15), ("i32", 31))[rng.integers(3)]
    type = TensorType((2, 3), dtype)
    return {"x": type, "c": splat(shift, type)}


@rule(
    lambda x, c: subtract(_xor(x, _sign_mask(x, c)), _sign_mask(x, c)),
    numerics=BITWISE,
    source=COMPLEMENT,
    examples=_sign_shifts,
)
def absolute_by_complement(x: Value, c: Literal) -> Value | None:
    """(x ⊕ s) - s = |x| with s = x » (width - 1), the sign of x in all bits"""
    return _absolute(x, c)


@rule(
    lambda x, c: _xor(add(x, _sign_mask(x, c)), _sign_mask(x, c)),
    numerics=BITWISE,
    source=COMPLEMENT,
    examples=_sign_shifts,
)
def absolute_by_decrement(x: Value, c: Literal) -> Value | None:
    """(x + s) ⊕ s = |x| with s = x » (width - 1), the sign of x in all bits"""
    return _absolute(x, c)


# ------------------------------------------------------------------ complements


@rule(lambda x, c: add(_not(x), constant(c)), numerics=BITWISE, source=COMPLEMENT)
def complement_plus_one(x: Value, c: Literal) -> Value | None:
    """¬x + 1 = -x"""
    need(_is_integer(x) and is_all(c, 1))
    return negate(x)


@rule(lambda x, c: _not(add(x, constant(c))), numerics=BITWISE, source=COMPLEMENT)
def complement_of_shifted(x: Value, c: Literal) -> Value | None:
    """¬(x + c) = (-1 - c) - x"""
    need(_is_integer(x))
    result = folded("not", c)
    return negate(x) if is_all(result, 0) else subtract(constant(result), x)


@rule(lambda x: _not(negate(x)), numerics=BITWISE, source=COMPLEMENT)
def complement_of_negated(x: Value) -> Value | None:
    """¬(-x) = x - 1"""
    need(_is_integer(x))
    return subtract(x, full_like(x, 1))


@rule(lambda x: negate(_not(x)), numerics=BITWISE, source=COMPLEMENT)
def negate_complement(x: Value) -> Value | None:
    """-(¬x) = x + 1"""
    need(_is_integer(x))
    return add(x, full_like(x, 1))


@rule(lambda x, y, c: add(add(x, _not(y)), constant(c)), numerics=BITWISE, source=COMPLEMENT)
def add_complement_plus_one(x: Value, y: Value, c: Literal) -> Value | None:
    """(x + ¬y) + 1 = x - y"""
    need(_is_integer(x) and is_all(c, 1))
    return subtract(x, y)


@rule(lambda x: add(x, _not(x)), numerics=BITWISE, source=COMPLEMENT)
def add_own_complement(x: Value) -> Value | None:
    """x + ¬x = -1"""
    need(_is_integer(x))
    return _not(full_like(x, 0))


@rule(lambda x: unary("popcnt", _not(x)), numerics=BITWISE, source="the bits of x and ¬x")
def count_ones_of_complement(x: Value) -> Value | None:
    """popcnt(¬x) = width - popcnt x"""
    need(_is_integer(x))
    return subtract(full_like(x, numpy_dtype(x.dtype).itemsize * 8), unary("popcnt", x))


# ------------------------------------------------------------------ sums by carries


@rule(lambda x, y: add(_and(x, y), _or(x, y)), numerics=BITWISE, source=CARRY)
def add_and_or(x: Value, y: Value) -> Value | None:
    """(x ∧ y) + (x ∨ y) = x + y"""
    need(_is_integer(x))
    return add(x, y)


@rule(
    lambda x, y, c: add(_xor(x, y), multiply(_and(x, y), constant(c))),
    numerics=BITWISE,
    source=CARRY,
)
def add_by_carry(x: Value, y: Value, c: Literal) -> Value | None:
    """(x ⊕ y) + 2 (x ∧ y) = x + y"""
    need(_is_integer(x) and is_all(c, 2))
    return add(x, y)


@rule(lambda x, y: add(_xor(x, y), _and(x, y)), numerics=BITWISE, source=CARRY)
def add_xor_and(x: Value, y: Value) -> Value | None:
    """(x ⊕ y) + (x ∧ y) = x ∨ y"""
    need(_is_integer(x))
    return _or(x, y)


@rule(lambda x, y: subtract(_or(x, y), _and(x, y)), numerics=BITWISE, source=CARRY)
def subtract_and_from_or(x: Value, y: Value) -> Value | None:
    """(x ∨ y) - (x ∧ y) = x ⊕ y"""
    need(_is_integer(x))
    return _xor(x, y)


@rule(lambda x, y: subtract(_or(x, y), _xor(x, y)), numerics=BITWISE, source=CARRY)
def subtract_xor_from_or(x: Value, y: Value) -> Value | None:
    """(x ∨ y) - (x ⊕ y) = x ∧ y"""
    need(_is_integer(x))
    return _and(x, y)


@rule(lambda x, y: subtract(_or(x, y), y), numerics=BITWISE, source=CARRY)
def subtract_part_of_or(x: Value, y: Value) -> Value | None:
    """(x ∨ y) - y = x ∧ ¬y"""
    need(_is_integer(x))
    return _and(x, _not(y))


@rule(lambda x, y: subtract(x, _and(x, y)), numerics=BITWISE, source=CARRY)
def subtract_common_bits(x: Value, y: Value) -> Value | None:
    """x - (x ∧ y) = x ∧ ¬y"""
    need(_is_integer(x))
    return _and(x, _not(y))


@rule(lambda f, x, y: subtract(add(x, y), binary(f, x, y)), numerics=BITWISE, source=CARRY)
def subtract_from_sum(f: Any, x: Value, y: Value) -> Value | None:
    """(x + y) - (x ∨ y) = x ∧ y and (x + y) - (x ∧ y) = x ∨ y; max and min alike"""
    dual = {"or": "and", "and": "or"}
    if f in ("maximum", "minimum"):
        need(_is_integer(x))
        return binary("minimum" if f == "maximum" else "maximum", x, y)
    need(f in dual and _is_integer(x))
    return binary(dual[f], x, y)


# ------------------------------------------------------------------ Boolean algebra of bits


@rule(lambda x, y: _or(_and(x, _not(y)), _and(_not(x), y)), numerics=BITWISE, source=BOOLEAN)
def recognize_xor(x: Value, y: Value) -> Value | None:
    """(x ∧ ¬y) ∨ (¬x ∧ y) = x ⊕ y"""
    return _xor(x, y)


@rule(lambda x, y: _and(_or(x, y), _not(_and(x, y))), numerics=BITWISE, source=BOOLEAN)
def recognize_xor_of_junctions(x: Value, y: Value) -> Value | None:
    """(x ∨ y) ∧ ¬(x ∧ y) = x ⊕ y"""
    return _xor(x, y)


@rule(lambda x, y: _or(_and(x, y), _not(_or(x, y))), numerics=BITWISE, source=BOOLEAN)
def recognize_equivalence(x: Value, y: Value) -> Value | None:
    """(x ∧ y) ∨ ¬(x ∨ y) = ¬(x ⊕ y)"""
    return _not(_xor(x, y))


@rule(lambda x, y: _xor(_not(x), _not(y)), numerics=BITWISE, source=BOOLEAN)
def differ_of_complements(x: Value, y: Value) -> Value | None:
    """¬x ⊕ ¬y = x ⊕ y"""
    return _xor(x, y)


@rule(lambda x, y: _xor(_or(x, y), _and(x, y)), numerics=BITWISE, source=BOOLEAN)
def differ_of_junctions(x: Value, y: Value) -> Value | None:
    """(x ∨ y) ⊕ (x ∧ y) = x ⊕ y"""
    return _xor(x, y)


@rule(lambda f, x, y: _xor(binary(f, x, y), y), numerics=BITWISE, source=BOOLEAN)
def differ_from_part(f: Any, x: Value, y: Value) -> Value | None:
    """(x ∨ y) ⊕ y = x ∧ ¬y and (x ∧ y) ⊕ y = ¬x ∧ y"""
    need(f in ("and", "or"))
    return _and(x, _not(y)) if f == "or" else _and(_not(x), y)


@rule(lambda f, x, y: binary(f, _xor(x, y), _and(x, y)), numerics=BITWISE, source=BOOLEAN)
def join_xor_and_and(f: Any, x: Value, y: Value) -> Value | None:
    """(x ⊕ y) ∨ (x ∧ y) = x ∨ y, with ⊕ too; (x ⊕ y) ∧ (x ∧ y) = 0"""
    need(f in ("or", "xor", "and"))
    return full_like(x, 0) if f == "and" else _or(x, y)


@rule(lambda f, x, y: binary(f, _xor(x, y), _or(x, y)), numerics=BITWISE, source=BOOLEAN)
def join_xor_and_or(f: Any, x: Value, y: Value) -> Value | None:
    """(x ⊕ y) ∨ (x ∨ y) = x ∨ y; (x ⊕ y) ∧ (x ∨ y) = x ⊕ y"""
    need(f in ("or", "and"))
    return _or(x, y) if f == "or" else _xor(x, y)


@rule(lambda f, x, y: binary(f, _xor(x, y), y), numerics=BITWISE, source=BOOLEAN)
def join_xor_and_part(f: Any, x: Value, y: Value) -> Value | None:
    """(x ⊕ y) ∨ y = x ∨ y and (x ⊕ y) ∧ y = ¬x ∧ y"""
    need(f in ("or", "and"))
    return _or(x, y) if f == "or" else _and(_not(x), y)


@rule(lambda f, g, x, y: binary(f, binary(g, x, _not(y)), y), numerics=BITWISE, source=BOOLEAN)
def absorb_complement(f: Any, g: Any, x: Value, y: Value) -> Value | None:
    """(x ∧ ¬y) ∨ y = x ∨ y and (x ∨ ¬y) ∧ y = x ∧ y"""
    need((f, g) in (("or", "and"), ("and", "or")))
    return binary(f, x, y)


# ------------------------------------------------------------------ masks and shifts


def _two_masks(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["i8", "ui8", "i32", "ui32"])))
    mask = int(rng.integers(0, 128))
    other = int(rng.integers(0, 128)) & ~mask
    return {
        "f": str(rng.choice(["add", "or", "xor"])),
        "c": splat(mask, type),
        "d": splat(other, type),
    }


@rule(
    lambda f, x, c, d: binary(f, _and(x, constant(c)), _and(x, constant(d))),
    numerics=BITWISE,
    source=BOOLEAN,
    uses_facts=True,
    examples=_two_masks,
)
def join_disjoint_masks(f: Any, x: Value, c: Literal, d: Literal) -> Value | None:
    """(x ∧ c) + (x ∧ d) = x ∧ (c ∨ d) where c ∧ d = 0; ∨ and ⊕ too"""
    need_variable(x)
    need(f in ("add", "or", "xor") and _is_bits(x))
    need(is_all(folded("and", c, d), 0))
    union = folded("or", c, d)
    return x if is_all(folded("not", union), 0) else _and(x, constant(union))


def _shift(c: Literal, dtype: str) -> int:
    """The number of bits of a constant shift within the width; else the rule does not apply."""
    need(dtype in INTEGERS and c.is_splat)
    width = numpy_dtype(dtype).itemsize * 8
    need(0 <= int(c.value) < width)
    return int(c.value)


def _one_shift(*functions: str) -> Any:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        type = TensorType((2, 3), str(rng.choice(["i8", "ui8", "i32", "ui32"])))
        shift = splat(rng.integers(0, 8), type)
        factor = splat(1 << int(rng.integers(0, 6)), type)
        return {"f": str(rng.choice(functions)), "c": shift, "x": type, "d": factor}

    return draw


def _mask(type: TensorType, bits: int) -> Literal:
    """The constant whose `bits` lowest bits are set."""
    dtype = numpy_dtype(type.dtype)
    return splat(np.array((1 << bits) - 1, np.uint64).astype(dtype), type)


@rule(
    lambda f, x, c: binary("shift_left", binary(f, x, constant(c)), constant(c)),
    numerics=BITWISE,
    source=BOOLEAN,
    uses_facts=True,
    examples=_one_shift("shift_right_logical", "shift_right_arithmetic"),
)
def clear_low_bits(f: Any, x: Value, c: Literal) -> Value | None:
    """(x » k) « k = x ∧ ¬(2ᵏ - 1)"""
    need(f in ("shift_right_logical", "shift_right_arithmetic"))
    need_variable(x)
    return _and(x, constant(folded("not", _mask(TensorType(x.shape, x.dtype), _shift(c, x.dtype)))))


@rule(
    lambda f, x, c, d: multiply(binary(f, x, constant(c)), constant(d)),
    numerics=BITWISE,
    source=BOOLEAN,
    uses_facts=True,
    examples=_one_shift("shift_right_logical", "shift_right_arithmetic"),
)
def clear_low_bits_by_product(f: Any, x: Value, c: Literal, d: Literal) -> Value | None:
    """(x » k) · 2ᵏ = x ∧ ¬(2ᵏ - 1)"""
    need(f in ("shift_right_logical", "shift_right_arithmetic"))
    need_variable(x)
    bits = _shift(c, x.dtype)
    need(d.is_splat and int(d.value) == 1 << bits)
    return _and(x, constant(folded("not", _mask(TensorType(x.shape, x.dtype), bits))))


@rule(
    lambda f, x, c: binary(f, binary("shift_left", x, constant(c)), constant(c)),
    numerics=BITWISE,
    source=BOOLEAN,
    uses_facts=True,
    examples=_one_shift("shift_right_logical"),
)
def clear_high_bits(f: Any, x: Value, c: Literal) -> Value | None:
    """(x « k) » k = x ∧ (2^(width - k) - 1), logical shifts"""
    need_variable(x)
    need(f == "shift_right_logical")
    width = numpy_dtype(x.dtype).itemsize * 8 if x.dtype in INTEGERS else 0
    return _and(x, constant(_mask(TensorType(x.shape, x.dtype), width - _shift(c, x.dtype))))


@rule(
    lambda f, x, c, d: binary(f, binary(f, x, constant(c)), constant(d)),
    numerics=BITWISE,
    source="arithmetic shifts",
    uses_facts=True,
    examples=lambda rng: {
        "f": "shift_right_arithmetic",
        "x": TensorType((2, 3), "i32"),
        "c": splat(rng.integers(0, 32), TensorType((2, 3), "i32")),
        "d": splat(rng.integers(0, 32), TensorType((2, 3), "i32")),
    },
)
def merge_arithmetic_shifts(f: Any, x: Value, c: Literal, d: Literal) -> Value | None:
    """(x » k) » m = x » min(k + m, width - 1), arithmetic shifts"""
    need(f == "shift_right_arithmetic")
    need_variable(x)
    total = _shift(c, x.dtype) + _shift(d, x.dtype)
    return binary(f, x, full_like(x, min(total, numpy_dtype(x.dtype).itemsize * 8 - 1)))
