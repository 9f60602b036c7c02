"""What equations over the reals may take to be finite.

They hold of numbers. Inputs, and what is computed of finite values, are taken to be numbers, but
not what a NaN or an infinity may have gone into that the program itself writes down: were x ≠ x
false for the constant NaN, the e-graph would prove false = true.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf
from typing import Any

from saturax.facts.model import Facts, Known, tensor_type
from saturax.facts.ranges import FALSE, REALS, TRUE, is_finite_range
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.ops.reduction import ReduceWindow
from saturax.graph.types import TensorType, Type, is_complex, is_float

_EXTREMA = ("maximum", "minimum")
_NEUTRAL = {"maximum": -inf, "minimum": inf}
"""What an extremum leaves out, as JAX's softmax has it: max(-∞, max x)."""


def stays_finite(
    op: str, attributes: tuple[Any, ...], children: Sequence[Facts], type: Type, known: Known
) -> bool:
    """Whether a node with operands may be taken to be finite; `known` is what is known of it."""
    if isinstance(type, TensorType) and _is_proved(type, known):
        return True
    if op == "ternary" and attributes[0] == "select" and children[0].known.range in (TRUE, FALSE):
        chosen = children[1] if children[0].known.range == TRUE else children[2]
        return chosen.assumed_finite
    if op == "binary" and attributes[0] in _NEUTRAL:
        children = [child for child in children if not _is_all(child, _NEUTRAL[attributes[0]])]
    if not all(child.assumed_finite for child in children):
        return False
    if op in _OF_NOTHING and _takes_nothing(op, attributes, children):
        return False
    # What is computed of constants alone is proved to be finite, or nothing is assumed: log 0 = -∞.
    # Whether these are folded yet does not matter; frozen inputs count as constants here.
    if op not in _MOVES and all(child.is_frozen for child in children):
        return False
    if op == "binary" and attributes[0] == "divide" and _is_zero(children[1]):
        return False
    return not any(map(_has_special_constant, attributes))


def _is_all(facts: Facts, value: float) -> bool:
    """Whether each element is this number."""
    known = facts.known.range
    return known is not None and known.low == known.high == value and not known.may_be_nan


def _is_proved(type: TensorType, known: Known) -> bool:
    if not (is_float(type.dtype) or is_complex(type.dtype)):
        return True
    return type.dtype in REALS and known.range is not None and is_finite_range(known.range)


_MOVES = frozenset(
    {"broadcast_in_dim", "reshape", "transpose", "reverse", "slice", "pad", "concatenate"}
    | {"dynamic_slice", "dynamic_update_slice", "gather", "get_result"}
)
"""Operations whose elements are those of their operands."""


def _is_zero(facts: Facts) -> bool:
    """Whether some element of a constant is 0."""
    return facts.constant is not None and not facts.constant.data.all()


_OF_NOTHING = frozenset({"reduce", "reduce_window", "arg_reduce"})
"""Operations that give the identity of their function where they combine no elements."""


def _takes_nothing(op: str, attributes: tuple[Any, ...], children: Sequence[Facts]) -> bool:
    """Whether an extremum may be of no elements: it is infinite."""
    if attributes[0] not in _EXTREMA:
        return False
    shape = tensor_type(children[0]).shape
    if op == "reduce":
        return any(shape[d] == 0 for d in attributes[1])
    if op == "arg_reduce":
        return bool(shape[attributes[1]] == 0)
    window = ReduceWindow(*attributes[1])
    sides = zip(window.padding, window.size, shape, strict=True)
    meets_some = all(max(low, high) < size and n > 0 for (low, high), size, n in sides)
    is_dense = {*window.base_dilation, *window.window_dilation} <= {1}
    return not (meets_some and is_dense)


def _has_special_constant(attribute: Any) -> bool:
    """Whether a NaN or an infinity is written down in a region."""
    return isinstance(attribute, Graph) and _writes_special(attribute)


@lru_cache(maxsize=256)
def _writes_special(graph: Graph) -> bool:
    return any(
        (isinstance(attribute, Literal) and not attribute.is_finite)
        or _has_special_constant(attribute)
        for node in graph.nodes
        for attribute in node.attributes
    )
