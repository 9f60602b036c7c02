"""Moving constants together in sums, products and quotients, so that they can be folded."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import add, binary, constant, divide, multiply, subtract
from saturax.graph.types import is_complex
from saturax.rules.conditions import (
    REALS,
    double_constants,
    exactly,
    folded,
    for_integers,
    is_all,
    is_exact,
    is_ordinary,
    need_variable,
)
from saturax.rules.rule import ROUNDING, need, rule

ASSOCIATIVITY = "associativity and commutativity"

FUNCTIONS = ("add", "multiply", "maximum", "minimum", "and", "or", "xor")


def _ordinary(f: Any, c: Literal, d: Literal) -> Value:
    """The constant f(c, d), which must not over- or underflow; factors are not 0.

    Without folding x · 0, which may be NaN, merging its factors would go on without end.
    """
    result = folded(f, c, d)
    need(is_ordinary(result.data))
    if f in ("multiply", "divide"):
        need(all(np.all(literal.data != 0) for literal in (c, d, result)))
    return constant(result)


@rule(
    lambda f, x, c, d: binary(f, binary(f, x, constant(c)), constant(d)),
    numerics=ROUNDING,
    source=ASSOCIATIVITY,
    uses_facts=True,
    examples=double_constants("c", "d"),
)
def merge_constants(f: Any, x: Value, c: Literal, d: Literal) -> Value | None:
    """f(f(x, c), d) = f(x, f(c, d)) for associative f"""
    need(f in FUNCTIONS and not is_complex(x.dtype))
    need_variable(x)
    if is_exact(f, x.dtype) and not (f == "multiply" and (is_all(c, 0) or is_all(d, 0))):
        return binary(f, x, constant(folded(f, c, d)))
    need(x.dtype in REALS)
    return binary(f, x, _ordinary(f, c, d))


merge_constants_exactly = exactly(
    merge_constants, lambda f, x, c, d: f in FUNCTIONS and is_exact(f, x.dtype)
)


@rule(
    lambda f, x, y, c, d: binary(f, binary(f, x, constant(c)), binary(f, y, constant(d))),
    numerics=ROUNDING,
    source=ASSOCIATIVITY,
    uses_facts=True,
    examples=double_constants("c", "d"),
)
def merge_constants_of_operands(f: Any, x: Value, y: Value, c: Literal, d: Literal) -> Value | None:
    """f(f(x, c), f(y, d)) = f(f(x, y), f(c, d)) for f = + and ·, real"""
    need(f in ("add", "multiply") and x.dtype in REALS)
    need_variable(x, y)
    return binary(f, binary(f, x, y), _ordinary(f, c, d))


@rule(
    lambda f, x, y, c, d: binary(f, binary(f, binary(f, x, constant(c)), y), constant(d)),
    numerics=ROUNDING,
    source=ASSOCIATIVITY,
    uses_facts=True,
    examples=double_constants("c", "d"),
)
def merge_constants_around(f: Any, x: Value, y: Value, c: Literal, d: Literal) -> Value | None:
    """f(f(f(x, c), y), d) = f(f(x, y), f(c, d)) for f = + and ·, real"""
    need(f in ("add", "multiply") and x.dtype in REALS)
    need_variable(x, y)
    return binary(f, binary(f, x, y), _ordinary(f, c, d))


@rule(
    lambda x, c, d: add(subtract(constant(c), x), constant(d)),
    numerics=ROUNDING,
    source=ASSOCIATIVITY,
    examples=double_constants("c", "d"),
)
def merge_minuend(x: Value, c: Literal, d: Literal) -> Value | None:
    """(c - x) + d = (c + d) - x"""
    return subtract(_ordinary("add", c, d), x)


merge_minuend_exactly = for_integers(merge_minuend)


@rule(
    lambda x, c, d: subtract(constant(d), add(x, constant(c))),
    numerics=ROUNDING,
    source=ASSOCIATIVITY,
    examples=double_constants("c", "d"),
)
def merge_subtrahend(x: Value, c: Literal, d: Literal) -> Value | None:
    """d - (x + c) = (d - c) - x"""
    return subtract(_ordinary("subtract", d, c), x)


merge_subtrahend_exactly = for_integers(merge_subtrahend)


@rule(
    lambda x, c, d: subtract(constant(d), subtract(constant(c), x)),
    numerics=ROUNDING,
    source=ASSOCIATIVITY,
    examples=double_constants("c", "d"),
)
def merge_minuends(x: Value, c: Literal, d: Literal) -> Value | None:
    """d - (c - x) = x + (d - c)"""
    return add(x, _ordinary("subtract", d, c))


merge_minuends_exactly = for_integers(merge_minuends)


@rule(
    lambda x, c, d: multiply(subtract(constant(c), x), constant(d)),
    numerics=ROUNDING,
    source="distributivity",
    examples=double_constants("c", "d"),
)
def distribute_over_minuend(x: Value, c: Literal, d: Literal) -> Value | None:
    """(c - x) · d = c·d - x · d"""
    return subtract(_ordinary("multiply", c, d), multiply(x, constant(d)))


distribute_over_minuend_exactly = for_integers(distribute_over_minuend)


@rule(
    lambda x, c, d: divide(constant(c), multiply(x, constant(d))),
    numerics=ROUNDING,
    source="field axioms",
    examples=double_constants("c", "d"),
)
def merge_dividend(x: Value, c: Literal, d: Literal) -> Value | None:
    """c / (x · d) = (c / d) / x, x real"""
    need(x.dtype in REALS and bool(np.all(d.data != 0)))
    return divide(_ordinary("divide", c, d), x)
