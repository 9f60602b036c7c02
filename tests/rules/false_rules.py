"""Deliberately false rules, one for each family and kind of mistake: all must be caught.

This module has those that are not wrong in value; the others are next to it, by family.
"""

from __future__ import annotations

from itertools import cycle

from saturax.graph.ops import (
    DotDimensions,
    Precision,
    add,
    binary,
    compare,
    convert,
    dot_general,
    negate,
    reduce_,
    subtract,
)
from saturax.graph.types import is_float
from saturax.rules.rule import BITWISE, ROUNDING, need

from . import (
    false_arithmetic,
    false_bands,
    false_bounds,
    false_choices,
    false_digits,
    false_evidence,
    false_facts,
    false_forms,
    false_identities,
    false_linear_algebra,
    false_movement,
    false_ordering,
    false_products,
    false_sums,
    false_transforms,
    false_words,
)
from .declare import FALSE_RULES, false_rule

__all__ = [
    "FALSE_RULES",
    "false_arithmetic",
    "false_bands",
    "false_bounds",
    "false_choices",
    "false_digits",
    "false_evidence",
    "false_facts",
    "false_forms",
    "false_identities",
    "false_linear_algebra",
    "false_movement",
    "false_ordering",
    "false_products",
    "false_sums",
    "false_transforms",
    "false_words",
]


# ------------------------------------------------------------------ not about values


@false_rule(lambda x, y: add(x, y), BITWISE, "vacuous")
def never_apply(x, y):
    """x + y = x + y if false"""
    need(False)


@false_rule(lambda x, y: add(x, y), ROUNDING, "explosive")
def explode(x, y):
    """x + y = ((x + x) + y) - x"""
    return subtract(add(add(x, x), y), x)


_turns = cycle((True, False))


@false_rule(lambda x: negate(negate(x)), BITWISE, "engine")
def apply_every_other_time(x):
    """-(-x) = x, on odd calls"""
    need(next(_turns))
    return x


@false_rule(lambda x, y: compare(x, y, "NE", "FLOAT"), BITWISE, "types")
def comparison_as_difference(x, y):
    """(x ≠ y) = x - y"""
    return subtract(x, y)


@false_rule(lambda x, d: reduce_("add", x, d), ROUNDING, "raised")
def assume_a_rank(x, d):
    """Σ x = ones·x: raises for rank 0 and 1"""
    n = x.shape[1]
    need(n < 0)


@false_rule(
    lambda x, y: dot_general(x, y, DotDimensions((), (), (1,), (0,)), Precision(), "f32"),
    ROUNDING,
    "types",
    "values",
    "integers",
)
def swap_matrices(x, y):
    """x·y = y·x"""
    need(x.rank == y.rank == 2 and y.shape[1] == x.shape[0])
    return dot_general(y, x, DotDimensions((), (), (1,), (0,)), Precision(), "f32")


@false_rule(lambda x, y: add(x, y), ROUNDING, "precision")
def add_in_a_narrow_type(x, y):
    """x + y = f32(bf16(x) + bf16(y))"""
    need(x.dtype == "f32")
    return convert(add(convert(x, "bf16"), convert(y, "bf16")), "f32")


@false_rule(lambda x, y: add(x, y), ROUNDING, "raised")
def build_what_cannot_be_run(x, y):
    """x + y = x or y, bit by bit: no meaning for floats"""
    need(is_float(x.dtype))
    return binary("or", x, y)
