"""Booleans, bits and comparisons: Boolean algebra, negated comparisons, shifts, remainders."""

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
    full_like,
    negate,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_complex, is_float, is_unsigned, numpy_dtype
from saturax.rules.conditions import INTEGERS, REALS, exactly, is_all, need_variable
from saturax.rules.rule import BITWISE, FINITE, need, rule

BOOLEAN = "Boolean algebra"
ORDER = "IEEE 754-2019, comparisons"
BITS = "two's complement arithmetic"

DUAL = {"and": "or", "or": "and"}
SWAPPED = {"GT": "LT", "GE": "LE", "LT": "GT", "LE": "GE", "EQ": "EQ", "NE": "NE"}
"""The comparison that says the same of swapped operands."""
OPPOSITE = {"GT": "LE", "GE": "LT", "LT": "GE", "LE": "GT", "EQ": "NE", "NE": "EQ"}
"""The comparison that holds where this one does not, on a total order."""


def _not(x: Any) -> Any:
    return unary("not", x)


# ------------------------------------------------------------------ Boolean algebra


@rule(lambda x: _not(_not(x)), numerics=BITWISE, source=BOOLEAN)
def complement_twice(x: Value) -> Value | None:
    """¬¬x = x"""
    return x


@rule(lambda f, x, y: _not(binary(f, x, y)), numerics=BITWISE, source="De Morgan")
def complement_junction(f: Any, x: Value, y: Value) -> Value | None:
    """¬(x ∧ y) = ¬x ∨ ¬y and ¬(x ∨ y) = ¬x ∧ ¬y"""
    need(f in DUAL)
    return binary(DUAL[f], _not(x), _not(y))


@rule(lambda f, x, y: binary(f, _not(x), _not(y)), numerics=BITWISE, source="De Morgan")
def merge_complements(f: Any, x: Value, y: Value) -> Value | None:
    """¬x ∧ ¬y = ¬(x ∨ y) and ¬x ∨ ¬y = ¬(x ∧ y)"""
    need(f in DUAL)
    return _not(binary(DUAL[f], x, y))


@rule(lambda f, x: binary(f, x, _not(x)), numerics=BITWISE, source=BOOLEAN)
def combine_with_complement(f: Any, x: Value) -> Value | None:
    """x ∧ ¬x = 0; x ∨ ¬x = x ⊕ ¬x = ¬0"""
    need(f in ("and", "or", "xor"))
    zero = full_like(x, 0)
    return zero if f == "and" else _not(zero)


@rule(lambda f, x, c: binary(f, x, constant(c)), numerics=BITWISE, source=BOOLEAN)
def combine_with_absorbing(f: Any, x: Value, c: Literal) -> Value | None:
    """x ∧ 0 = 0; x ∨ ¬0 = ¬0; of integers, max(x, greatest) = greatest, min(x, least) = least"""
    need(f in _ABSORBING and (x.dtype in INTEGERS or x.dtype == "i1"))
    need(c.is_splat and c.value == _ABSORBING[f](x.dtype))
    return constant(c)


def _all_bits(dtype: str) -> Any:
    return ~numpy_dtype(dtype).type(0) if dtype != "i1" else np.True_


def _bound(dtype: str, greatest: bool) -> Any:
    if dtype == "i1":
        return np.bool_(greatest)
    limits = np.iinfo(numpy_dtype(dtype))
    return limits.max if greatest else limits.min


_ABSORBING = {
    "and": lambda dtype: numpy_dtype(dtype).type(0),
    "or": _all_bits,
    "maximum": lambda dtype: _bound(dtype, greatest=True),
    "minimum": lambda dtype: _bound(dtype, greatest=False),
}


@rule(lambda x: binary("xor", x, x), numerics=BITWISE, source=BOOLEAN)
def differ_from_itself(x: Value) -> Value | None:
    """x ⊕ x = 0"""
    return full_like(x, 0)


@rule(lambda x, y: binary("xor", binary("xor", x, y), y), numerics=BITWISE, source=BOOLEAN)
def differ_twice(x: Value, y: Value) -> Value | None:
    """(x ⊕ y) ⊕ y = x"""
    return x


@rule(lambda x, y: binary("xor", _not(x), y), numerics=BITWISE, source=BOOLEAN)
def differ_from_complement(x: Value, y: Value) -> Value | None:
    """¬x ⊕ y = ¬(x ⊕ y)"""
    return _not(binary("xor", x, y))


@rule(
    lambda f, p, x, y: binary(f, binary("and", p, x), binary("and", _not(p), y)),
    numerics=BITWISE,
    source=BOOLEAN,
)
def recognize_boolean_choice(f: Any, p: Value, x: Value, y: Value) -> Value | None:
    """(p ∧ x) ∨ (¬p ∧ y) = x where p, else y; ⊕ for ∨ too; all Boolean"""
    need(f in ("or", "xor") and p.dtype == "i1")
    return select(p, x, y)


@rule(
    lambda p, x, y: binary("and", binary("or", _not(p), x), binary("or", p, y)),
    numerics=BITWISE,
    source=BOOLEAN,
)
def recognize_boolean_choice_of_junctions(p: Value, x: Value, y: Value) -> Value | None:
    """(¬p ∨ x) ∧ (p ∨ y) = x where p, else y; all Boolean"""
    need(p.dtype == "i1")
    return select(p, x, y)


@rule(lambda p, x: select(p, x, _not(x)), numerics=BITWISE, source=BOOLEAN)
def select_or_complement(p: Value, x: Value) -> Value | None:
    """x where p, else ¬x = (p = x); all Boolean"""
    need(x.dtype == "i1" and p.type == x.type)
    return compare(p, x, "EQ", "UNSIGNED")


@rule(lambda p, x: select(p, _not(x), x), numerics=BITWISE, source=BOOLEAN)
def select_complement(p: Value, x: Value) -> Value | None:
    """¬x where p, else x = p ⊕ x; all Boolean"""
    need(x.dtype == "i1" and p.type == x.type)
    return binary("xor", p, x)


@rule(lambda x, c: binary("xor", x, constant(c)), numerics=BITWISE, source=BOOLEAN)
def differ_from_all_bits(x: Value, c: Literal) -> Value | None:
    """x ⊕ ¬0 = ¬x; x ⊕ 0 = x"""
    need((x.dtype in INTEGERS or x.dtype == "i1") and c.is_splat)
    if c.value == 0:
        return x
    need(c.value == _all_bits(x.dtype))
    return _not(x)


# ------------------------------------------------------------------ comparisons


def _is_total(dtype: str) -> bool:
    """Whether any two elements of the type are ordered: no NaN, and not complex."""
    return not (is_float(dtype) or is_complex(dtype))


@rule(lambda x, y, d, k: _not(compare(x, y, d, k)), numerics=FINITE, source=ORDER)
def complement_comparison(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """¬(x < y) = x ≥ y and so on (false of NaN)"""
    need(not is_complex(x.dtype))
    return compare(x, y, OPPOSITE[d], k)


complement_comparison_exactly = exactly(
    complement_comparison,
    lambda x, y, d, k: _is_total(x.dtype) or d in ("EQ", "NE"),
)


@rule(lambda x, y, d, k: compare(x, y, d, k), numerics=BITWISE, source=ORDER)
def swap_comparison(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """(x > y) = (y < x) and (x ≥ y) = (y ≤ x)"""
    need(d in ("GT", "GE"))
    return compare(y, x, SWAPPED[d], k)


@rule(lambda x, d, k: compare(x, x, d, k), numerics=FINITE, source=ORDER)
def compare_with_itself(x: Value, d: Any, k: Any) -> Value | None:
    """(x = x) = (x ≤ x) = true and (x ≠ x) = (x < x) = false (NaN ≠ NaN)"""
    return full_like(compare(x, x, d, k), d in ("EQ", "LE", "GE"))


compare_with_itself_exactly = exactly(
    compare_with_itself,
    lambda x, d, k: _is_total(x.dtype) or d in ("LT", "GT") or k == "TOTALORDER",
)


@rule(lambda x, y, d, k: compare(negate(x), negate(y), d, k), numerics=BITWISE, source=ORDER)
def compare_negated(x: Value, y: Value, d: Any, k: Any) -> Value | None:
    """(-x < -y) = (y < x) and so on, real"""
    need(x.dtype in REALS and k == "FLOAT")
    return compare(y, x, d, k)


@rule(
    lambda x, y, c, d, k: compare(subtract(x, y), constant(c), d, k),
    numerics=FINITE,
    source="ordered field",
)
def compare_difference_with_zero(x: Value, y: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """(x - y < 0) = (x < y) and so on, real"""
    need(x.dtype in REALS and k == "FLOAT" and is_all(c, 0.0))
    return compare(x, y, d, k)


@rule(lambda p, c, d, k: compare(p, constant(c), d, k), numerics=BITWISE, source=BOOLEAN)
def compare_boolean(p: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """(p = true) = (p ≠ false) = p and (p = false) = (p ≠ true) = ¬p"""
    need(p.dtype == "i1" and c.is_splat and d in ("EQ", "NE"))
    return p if bool(c.value) == (d == "EQ") else _not(p)


@rule(
    lambda x, c, k: binary(
        "and", compare(x, constant(c), "LT", k), compare(x, constant(c), "NE", k)
    ),
    numerics=BITWISE,
    source=ORDER,
)
def drop_implied_difference(x: Value, c: Literal, k: Any) -> Value | None:
    """x < c ∧ x ≠ c = x < c"""
    return compare(x, constant(c), "LT", k)


# ------------------------------------------------------------------ integers as bits


def _exponent_of_two(c: Literal) -> int:
    """k where every element of the integer c is 2ᵏ; otherwise the rule does not apply."""
    need(c.type.dtype in INTEGERS and c.is_splat)
    value = int(c.value)
    need(value > 0 and value & (value - 1) == 0)
    return value.bit_length() - 1


@rule(
    lambda x, c: binary("multiply", x, constant(c)), numerics=BITWISE, source=BITS, uses_facts=True
)
def multiply_by_shift(x: Value, c: Literal) -> Value | None:
    """x · 2ᵏ = x « k, integers, k > 0"""
    need_variable(x)
    shift = _exponent_of_two(c)
    need(shift > 0)
    return binary("shift_left", x, full_like(x, shift))


@rule(
    lambda x, c: binary("shift_left", x, constant(c)),
    numerics=BITWISE,
    source=BITS,
    uses_facts=True,
)
def shift_by_multiply(x: Value, c: Literal) -> Value | None:
    """x « k = x · 2ᵏ, integers, 0 ≤ k < width"""
    need_variable(x)
    need(x.dtype in INTEGERS and c.is_splat)
    width = numpy_dtype(x.dtype).itemsize * 8
    need(0 <= int(c.value) < width)
    factor = np.array(1 << int(c.value), np.uint64).astype(numpy_dtype(x.dtype))
    return binary("multiply", x, full_like(x, factor))


@rule(lambda x, c: binary("divide", x, constant(c)), numerics=BITWISE, source=BITS)
def divide_by_shift(x: Value, c: Literal) -> Value | None:
    """x / 2ᵏ = x » k, unsigned"""
    need(is_unsigned(x.dtype))
    return binary("shift_right_logical", x, full_like(x, _exponent_of_two(c)))


@rule(lambda x, c: binary("remainder", x, constant(c)), numerics=BITWISE, source=BITS)
def remainder_by_mask(x: Value, c: Literal) -> Value | None:
    """x mod 2ᵏ = x ∧ (2ᵏ - 1), unsigned"""
    need(is_unsigned(x.dtype))
    return binary("and", x, full_like(x, (1 << _exponent_of_two(c)) - 1))


def _powers_of_two(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["i8", "i32", "i64"])))
    return {"x": type, "c": splat(1 << rng.integers(0, 7), type), "d": splat(0, type)}


@rule(
    lambda x, c, d, k: select(
        compare(binary("remainder", x, constant(c)), constant(d), "LT", k),
        add(binary("remainder", x, constant(c)), constant(c)),
        binary("remainder", x, constant(c)),
    ),
    numerics=BITWISE,
    source=BITS,
    examples=_powers_of_two,
)
def floored_remainder_by_mask(x: Value, c: Literal, d: Literal, k: Any) -> Value | None:
    """(r + 2ᵏ where r < 0, else r) = x ∧ (2ᵏ - 1) with r = x rem 2ᵏ, signed integers"""
    need(is_all(d, 0.0) and not is_unsigned(x.dtype))
    return binary("and", x, full_like(x, (1 << _exponent_of_two(c)) - 1))


def _shifts(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["i8", "ui8", "i32", "ui32"])))
    f = str(rng.choice(["shift_left", "shift_right_logical"]))
    return {"f": f, "c": splat(rng.integers(0, 9), type), "d": splat(rng.integers(0, 9), type)}


@rule(
    lambda f, x, c, d: binary(f, binary(f, x, constant(c)), constant(d)),
    numerics=BITWISE,
    source=BITS,
    uses_facts=True,
    examples=_shifts,
)
def merge_shifts(f: Any, x: Value, c: Literal, d: Literal) -> Value | None:
    """(x « k) « m = x « (k + m), logical right shifts too, integers, 0 ≤ k, m"""
    need(f in ("shift_left", "shift_right_logical") and x.dtype in INTEGERS)
    need_variable(x)
    need(c.is_splat and d.is_splat and min(int(c.value), int(d.value)) >= 0)
    shift, width = int(c.value) + int(d.value), numpy_dtype(x.dtype).itemsize * 8
    return binary(f, x, full_like(x, shift)) if shift < width else full_like(x, 0)
