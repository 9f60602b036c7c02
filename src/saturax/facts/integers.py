"""Floats that are integers: what rounds to itself.

Sums and products of integers are integers in floats, too, also where they are rounded: a float that
is too large to have a fraction is an integer. Infinities and NaN are let through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saturax.facts.model import Facts
from saturax.facts.ranges import REALS
from saturax.graph.types import TensorType, Type, is_integer

_ROUNDING = frozenset({"floor", "ceil", "round_nearest_even", "round_nearest_afz", "sign"})
_UNARY = frozenset({"negate", "abs"})
_BINARY = frozenset({"add", "subtract", "multiply", "maximum", "minimum", "remainder"})
_REDUCED = frozenset({"add", "multiply", "maximum", "minimum"})

_ALL_OPERANDS = frozenset(
    {"broadcast_in_dim", "reshape", "transpose", "reverse", "slice", "pad", "concatenate", "sort"}
    | {"dot_general", "convolution"}
)
"""Operations whose elements are among those of their operands, or sums of products of them."""

_SOME_OPERANDS = {"dynamic_slice": (0,), "gather": (0,), "dynamic_update_slice": (0, 1)}
"""Operations whose other operands are indices."""


def is_integral(facts: Facts) -> bool:
    """Whether every element is an integer, an infinity or NaN."""
    return facts.known.is_integral or facts.known.affine is not None


def stays_integral(
    op: str, attributes: tuple[Any, ...], children: Sequence[Facts], type: Type
) -> bool:
    """Whether all elements of a node of some real type are integers, infinite or NaN."""
    if not isinstance(type, TensorType) or type.dtype not in REALS:
        return False
    if op == "unary":
        return _of_unary(attributes[0], children[0])
    if op == "binary":
        return attributes[0] in _BINARY and all(map(is_integral, children))
    if op == "ternary":
        chosen = children[1:] if attributes[0] == "select" else children
        return all(map(is_integral, chosen))
    if op in ("reduce", "reduce_window"):
        return attributes[0] in _REDUCED and is_integral(children[0])
    if op in _SOME_OPERANDS:
        return all(is_integral(children[i]) for i in _SOME_OPERANDS[op])
    return op in _ALL_OPERANDS and all(map(is_integral, children))


def _of_unary(f: Any, x: Facts) -> bool:
    if isinstance(f, tuple):
        source: Any = x.type
        is_whole = is_integer(source.dtype) or source.dtype == "i1"
        return f[0] == "convert" and (is_whole or (source.dtype in REALS and is_integral(x)))
    return f in _ROUNDING or (f in _UNARY and is_integral(x))
