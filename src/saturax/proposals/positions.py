"""Choices by the place of a condition among others, as `select` and `piecewise` of JAX are lowered.

    by the first i with pᵢ: x₀, x₁, …   =   x₀ where p₀, else x₁ where p₁, else …

The conditions are stacked and the place of the first true one is an argmax (of the last one: an
argmax of their cumulative sum), with which choices compare 1, 2, …. Here the choices ask the
conditions themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from saturax.graph.build import Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import Cumulation, ReduceWindow, cumulation_of, reshape, select
from saturax.graph.types import is_integer
from saturax.proposals.equality import Equalities
from saturax.proposals.masks import splat_of_node
from saturax.rules.comparisons import OUTCOMES

_MOST_CONDITIONS = 32


class _Place(NamedTuple):
    """The place of the first true condition, or of the last one; 0 if there is none."""

    conditions: tuple[int, ...]
    is_last: bool


def ask_conditions(found: Equalities) -> None:
    """State what choices by the place of a condition are as choices by the conditions."""
    graph = found.graph
    inner: set[int] = set()
    for root in range(len(graph.nodes) - 1, -1, -1):
        index = _compared(graph, root)
        place = None if index is None or root in inner else _place(graph, index)
        if place is None:
            continue
        inner.update(_choices(graph, root, index))
        leaves = [_chosen(graph, root, index, i) for i in range(len(place.conditions))]
        with building(found.builder):
            found.equate(root, _chain(found, place, leaves))


def _chain(found: Equalities, place: _Place, leaves: list[int]) -> Value:
    """The leaf of the first (or last) true condition, the first leaf if there is none."""
    order = range(1, len(leaves)) if place.is_last else range(len(leaves) - 1, -1, -1)
    result = found.value(leaves[0])
    for i in order:
        literal = splat_of_node(found.graph, place.conditions[i])
        if literal is None or literal.value:
            mask = reshape(found.value(place.conditions[i]), result.shape)
            result = select(mask, found.value(leaves[i]), result)
    return result


# ------------------------------------------------------------------ choices


def _compared(graph: Graph, root: int) -> int | None:
    """The node that a choice compares with a constant."""
    node = graph.nodes[root]
    if node.op != "ternary" or node.attributes[0] != "select":
        return None
    predicate = graph.nodes[node.operands[0]]
    is_comparison = predicate.op == "binary" and isinstance(predicate.attributes[0], tuple)
    if not is_comparison or splat_of_node(graph, predicate.operands[1]) is None:
        return None
    same_shape = graph.nodes[node.operands[1]].type.shape == predicate.type.shape  # type: ignore[union-attr]
    return predicate.operands[0] if same_shape else None


def _choices(graph: Graph, root: int, index: int | None) -> Iterator[int]:
    """The choices below a choice that compare the same node."""
    for operand in graph.nodes[root].operands[1:]:
        if _compared(graph, operand) == index:
            yield operand
            yield from _choices(graph, operand, index)


def _chosen(graph: Graph, root: int, index: int | None, value: int) -> int:
    """The node that the choices come to where node `index` has this value."""
    while _compared(graph, root) == index:
        predicate, first, second = graph.nodes[root].operands
        comparison: Any = graph.nodes[predicate].attributes[0]
        bound: Any = splat_of_node(graph, graph.nodes[predicate].operands[1])
        relation = "=" if value == bound.value else "<" if value < bound.value else ">"
        root = first if relation in OUTCOMES[comparison[1]] else second
    return root


# ------------------------------------------------------------------ places


def _place(graph: Graph, index: int) -> _Place | None:
    """What the place is that node `index` holds."""
    node = graph.nodes[index]
    if node.op == "ternary" and node.attributes[0] == "clamp":
        place = _place(graph, node.operands[1])
        bounds = (splat_of_node(graph, node.operands[0]), splat_of_node(graph, node.operands[2]))
        return place if place and _admits(bounds, len(place.conditions)) else None
    if node.op != "get_result" or node.attributes[0] != 1:
        return None
    found = graph.nodes[node.operands[0]]
    if found.op != "arg_reduce" or found.attributes[0] != "maximum":
        return None
    dimension: int = found.attributes[1]  # type: ignore[assignment]
    stacked = found.operands[0]
    counted = _counted(graph, graph.nodes[stacked], dimension)
    conditions = _stacked(graph, stacked if counted is None else counted, dimension)
    if conditions is None or not 1 < len(conditions) <= _MOST_CONDITIONS:
        return None
    return _Place(tuple(conditions), counted is not None)


def _admits(bounds: tuple[Any, Any], count: int) -> bool:
    """Whether clamping to these bounds changes no place."""
    low, high = bounds
    return low is not None and high is not None and low.value <= 0 and high.value >= count - 1


def _counted(graph: Graph, node: Node, dimension: int) -> int | None:
    """The conditions whose cumulative number a node is."""
    if node.op != "reduce_window" or node.attributes[0] != "add":
        return None
    operand = graph.nodes[node.operands[0]]
    type: Any = operand.type
    window = ReduceWindow(*node.attributes[1])  # type: ignore[misc]
    if cumulation_of(type.shape, window) != Cumulation(dimension, False):
        return None
    is_count = is_integer(type.dtype) and type.shape[dimension] <= _MOST_CONDITIONS
    is_indicator = operand.op == "unary" and operand.attributes[0] == ("convert", type.dtype)
    return operand.operands[0] if is_count and is_indicator else None


def _stacked(graph: Graph, index: int, dimension: int) -> list[int] | None:
    """The slices of size 1 along a dimension that are concatenated; None if some are larger."""
    node = graph.nodes[index]
    type: Any = node.type
    if node.op == "concatenate" and node.attributes[0] == dimension:
        parts = [_stacked(graph, operand, dimension) for operand in node.operands]
        return None if None in parts else [i for part in parts if part is not None for i in part]
    return [index] if type.dtype == "i1" and type.shape[dimension] == 1 else None
