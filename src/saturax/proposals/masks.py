"""Constants, diagonal masks and diagonals in a graph that no rule has simplified yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import GatherDimensions
from saturax.graph.reference import UnsupportedError, evaluate
from saturax.graph.types import TensorType, is_complex, is_float
from saturax.rules.constants import holds_numbers

_LARGEST, _MOST_NODES = 1 << 17, 120  # `jax.image.resize` makes a matrix in 55


def splat_of_node(graph: Graph, index: int) -> Literal | None:
    """The constant with equal elements that node `index` is, perhaps by broadcasting or by a
    conversion that changes no value; or None.
    """
    node = graph.nodes[index]
    while node.op in ("broadcast_in_dim", "reshape", "transpose"):
        node = graph.nodes[node.operands[0]]
    type = graph.nodes[index].type
    if not isinstance(type, TensorType):
        return None
    if node.op == "unary" and node.attributes[0][0] == "convert":  # type: ignore[index]
        inner = splat_of_node(graph, node.operands[0])
        if inner is None or any(is_complex(t) for t in (inner.type.dtype, type.dtype)):
            return None
        result = splat(inner.value, type)
        return result if holds_numbers(inner, result) else None
    if node.op != "constant":
        return None
    literal: Literal = node.attributes[0]  # type: ignore[assignment]
    return splat(literal.value, type) if literal.is_splat else None


def number_of(literal: Literal) -> complex:
    """The value of a splat as a Python number: an integer stays one."""
    dtype = literal.type.dtype
    if is_complex(dtype):
        return complex(literal.value)
    return float(literal.value) if is_float(dtype) else int(literal.value)


def is_zero(graph: Graph, index: int) -> bool:
    """Whether node `index` is a constant whose every element is 0."""
    literal = splat_of_node(graph, index)
    return literal is not None and bool(literal.value == 0)


def diagonal_of_mask(graph: Graph, index: int) -> tuple[int, int] | None:
    """The two dimensions of node `index` at whose equal indices it is true, and only there."""
    node = graph.nodes[index]
    if node.op == "broadcast_in_dim":
        inner = diagonal_of_mask(graph, node.operands[0])
        return inner and _moved(graph, node, inner)
    if node.op == "transpose":
        inner = diagonal_of_mask(graph, node.operands[0])
        permutation: tuple[int, ...] = node.attributes[0]  # type: ignore[assignment]
        return inner and (permutation.index(inner[0]), permutation.index(inner[1]))
    if node.op != "binary" or node.attributes[0][:2] != ("compare", "EQ"):  # type: ignore[index]
        return None
    places = [_place_of_index(graph, operand) for operand in node.operands]
    if places[0] is None or places[1] is None or places[0] == places[1]:
        return None
    shape: tuple[int, ...] = node.type.shape  # type: ignore[union-attr]
    return (places[0], places[1]) if shape[places[0]] == shape[places[1]] else None


def _moved(graph: Graph, node: Node, places: tuple[int, int]) -> tuple[int, int] | None:
    """Dimensions of a broadcast's operand as dimensions of its result, unless they are repeated."""
    shape, dimensions = node.attributes
    source: tuple[int, ...] = graph.nodes[node.operands[0]].type.shape  # type: ignore[union-attr]
    if any(source[d] != shape[dimensions[d]] for d in places):  # type: ignore[index]
        return None
    return dimensions[places[0]], dimensions[places[1]]  # type: ignore[index]


def _place_of_index(graph: Graph, index: int) -> int | None:
    """The dimension along which each element of node `index` is its own index; None if none is."""
    node = graph.nodes[index]
    if node.op == "iota":
        return node.attributes[0]  # type: ignore[return-value]
    if node.op == "broadcast_in_dim":
        place = _place_of_index(graph, node.operands[0])
        if place is None:
            return None
        moved = _moved(graph, node, (place, place))
        return moved and moved[0]
    if node.op == "binary" and node.attributes[0] == "add":
        for operand, other in (node.operands, node.operands[::-1]):
            if is_zero(graph, other):
                return _place_of_index(graph, operand)
    return None


def gathered_diagonal(graph: Graph, node: Any) -> tuple[int, ...] | None:
    """The dimensions whose equal indices a gather selects, all of them in order; or None.

    Its result has one dimension for them, and all others whole.
    """
    if node.op != "gather" or not node.type.size:
        return None
    d = GatherDimensions(*node.attributes[0])
    sizes: tuple[int, ...] = node.attributes[1]
    source: Any = graph.nodes[node.operands[0]].type
    places = tuple(sorted(d.start_index_map))
    indices: Any = graph.nodes[node.operands[1]].type
    is_plain = d.collapsed_slice_dims == places and not d.operand_batching_dims
    if not is_plain or indices.rank != 2 or d.index_vector_dim != 1:
        return None
    length = indices.shape[0]
    if any(source.shape[place] != length for place in places):
        return None
    if any(size != source.shape[i] for i, size in enumerate(sizes) if i not in places):
        return None
    values = constant_value(graph.nodes, node.operands[1])
    is_diagonal = values is not None and np.array_equal(
        values, np.broadcast_to(np.arange(length)[:, None], indices.shape)
    )
    return places if is_diagonal else None


def constant_value(nodes: Sequence[Node], index: int) -> np.ndarray[Any, Any] | None:
    """The value of a small node that depends on constants only; None for others."""
    needed: set[int] = set()
    pending = [index]
    while pending:
        current = pending.pop()
        node = nodes[current]
        type = node.type
        if node.op == "parameter" or not isinstance(type, TensorType) or type.size > _LARGEST:
            return None
        if current not in needed:
            needed.add(current)
            pending += node.operands
        if len(needed) > _MOST_NODES:
            return None
    order = sorted(needed)
    place = {node: position for position, node in enumerate(order)}
    alone = tuple(
        nodes[i]._replace(operands=tuple(place[o] for o in nodes[i].operands)) for i in order
    )
    try:
        return evaluate(Graph((), alone, (place[index],)), [])[0]
    except UnsupportedError:
        return None
