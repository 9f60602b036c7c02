"""Population counts of two words taken together: sets as bits, and the sizes of their unions.

popcnt x + popcnt y = popcnt(x ∨ y) + popcnt(x ∧ y) = popcnt(x ⊕ y) + 2 popcnt(x ∧ y)
"""

from __future__ import annotations

from typing import Any

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import add, binary, constant, multiply, subtract, unary
from saturax.graph.types import TensorType
from saturax.rules.conditions import INTEGERS, is_all
from saturax.rules.rule import BITWISE, need, rule

SETS = "|x| + |y| = |x ∪ y| + |x ∩ y|"


def _count(f: str, x: Any, y: Any) -> Any:
    return unary("popcnt", binary(f, x, y))


def _sum_of_counts(x: Value, y: Value) -> Value:
    counts: Value = add(unary("popcnt", x), unary("popcnt", y))
    return counts


@rule(lambda x, y: add(_count("or", x, y), _count("and", x, y)), numerics=BITWISE, source=SETS)
def add_counts_of_union_and_intersection(x: Value, y: Value) -> Value | None:
    """popcnt(x ∨ y) + popcnt(x ∧ y) = popcnt x + popcnt y"""
    need(x.dtype in INTEGERS)
    return _sum_of_counts(x, y)


@rule(
    lambda x, y, c: add(_count("xor", x, y), multiply(_count("and", x, y), constant(c))),
    numerics=BITWISE,
    source=SETS,
)
def add_counts_of_difference_and_intersection(x: Value, y: Value, c: Literal) -> Value | None:
    """popcnt(x ⊕ y) + 2 popcnt(x ∧ y) = popcnt x + popcnt y"""
    need(x.dtype in INTEGERS and is_all(c, 2))
    return _sum_of_counts(x, y)


@rule(lambda x, y: add(_count("xor", x, y), _count("and", x, y)), numerics=BITWISE, source=SETS)
def add_counts_of_disjoint_parts(x: Value, y: Value) -> Value | None:
    """popcnt(x ⊕ y) + popcnt(x ∧ y) = popcnt(x ∨ y)"""
    need(x.dtype in INTEGERS)
    union: Value = _count("or", x, y)
    return union


@rule(
    lambda f, x, y: subtract(
        add(unary("popcnt", x), unary("popcnt", y)), unary("popcnt", binary(f, x, y))
    ),
    numerics=BITWISE,
    source=SETS,
)
def count_by_inclusion_and_exclusion(f: Any, x: Value, y: Value) -> Value | None:
    """popcnt x + popcnt y - popcnt(x ∧ y) = popcnt(x ∨ y), and with ∧ and ∨ exchanged"""
    other = {"and": "or", "or": "and"}.get(f)
    need(other is not None and x.dtype in INTEGERS)
    counted: Value = unary("popcnt", binary(other, x, y))
    return counted


@rule(
    lambda x, y, c: subtract(
        add(unary("popcnt", x), unary("popcnt", y)), multiply(_count("and", x, y), constant(c))
    ),
    numerics=BITWISE,
    source=SETS,
)
def distance_by_inclusion_and_exclusion(x: Value, y: Value, c: Literal) -> Value | None:
    """popcnt x + popcnt y - 2 popcnt(x ∧ y) = popcnt(x ⊕ y), the Hamming distance"""
    need(x.dtype in INTEGERS and is_all(c, 2))
    distance: Value = _count("xor", x, y)
    return distance


@rule(
    lambda x, y, c: binary(
        "xor",
        binary("and", unary("popcnt", x), constant(c)),
        binary("and", unary("popcnt", y), constant(c)),
    ),
    numerics=BITWISE,
    source="the parity of bits is linear over ℤ/2",
    examples=lambda rng: {"c": splat(1, TensorType((2, 3), "i32"))},
)
def add_parities(x: Value, y: Value, c: Literal) -> Value | None:
    """(popcnt x ∧ 1) ⊕ (popcnt y ∧ 1) = popcnt(x ⊕ y) ∧ 1"""
    need(x.dtype in INTEGERS and is_all(c, 1))
    parity: Value = binary("and", _count("xor", x, y), constant(c))
    return parity
