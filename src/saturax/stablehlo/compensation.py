"""Arithmetic on rounding errors: what it computes is exactly zero, and no rule may say so.

    s = a + b;  z = s - a;  e = b - z              e is what s lost
    hi = float32(bfloat16(x));  lo = x - hi        lo is what hi lost

Sums that are compensated so, and numbers in two parts, would lose by algebra what they were written
for; a comparison with wider floats cannot see that, as there is nothing to lose there. Such sums
and conversions become nodes without rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from saturax.graph.ir import Graph, Node
from saturax.graph.ops import Generic
from saturax.graph.types import TensorType, is_complex, is_float

_SUMS = ("add", "subtract")
_AS_IT_IS = Generic()


def with_roundings_kept(graph: Graph) -> Graph:
    """The graph with sums that look for their own rounding errors as nodes without rules."""
    kept = {i for pair in _narrowed(graph) for i in pair}
    pending = [*kept, *_errors_of_sums(graph)]
    neighbours = _neighbouring_sums(graph) if pending else {}
    while pending:
        index = pending.pop()
        kept.add(index)
        pending += [i for i in neighbours.get(index, ()) if i not in kept]
    if not kept:
        return graph
    nodes = [_opaque(node) if i in kept else node for i, node in enumerate(graph.nodes)]
    return replace(graph, nodes=tuple(nodes))


def _is_sum(node: Node, *functions: str) -> bool:
    type = node.type
    if node.op != "binary" or node.attributes[0] not in (functions or _SUMS):
        return False
    return isinstance(type, TensorType) and (is_float(type.dtype) or is_complex(type.dtype))


def _errors_of_sums(graph: Graph) -> Iterator[int]:
    """Differences of a sum and one of its terms that are added to something else."""
    nodes = graph.nodes
    added = {i for node in nodes if _is_sum(node) for i in node.operands}
    for index, node in enumerate(nodes):
        if index in added and _is_sum(node, "subtract"):
            x, y = node.operands
            if _has_term(nodes[x], y) or _has_term(nodes[y], x):
                yield index


def _has_term(node: Node, term: int) -> bool:
    """Whether a sum has a term that cancels in their difference; x - y has x."""
    terms = node.operands if _is_sum(node, "add") else node.operands[:1]
    return _is_sum(node) and term in terms


def _narrowed(graph: Graph) -> Iterator[tuple[int, int]]:
    """Differences of a value and itself in a narrower type, with that conversion."""
    nodes = graph.nodes
    for index, node in enumerate(nodes):
        if _is_sum(node, "subtract"):
            for whole, part in (node.operands, node.operands[::-1]):
                widened = nodes[part]
                if _is_conversion(widened) and _is_conversion(nodes[widened.operands[0]]):
                    narrow = widened.operands[0]
                    if nodes[narrow].operands == (whole,):
                        yield index, narrow


def _is_conversion(node: Node) -> bool:
    return node.op == "unary" and node.attributes[0][:1] == ("convert",)  # type: ignore[index]


def _neighbouring_sums(graph: Graph) -> dict[int, set[int]]:
    """For each sum of floats the sums that it is a term of, and those that are its terms."""
    found: dict[int, set[int]] = {i: set() for i, node in enumerate(graph.nodes) if _is_sum(node)}
    for index in found:
        for operand in graph.nodes[index].operands:
            if operand in found:
                found[index].add(operand)
                found[operand].add(index)
    return found


def _opaque(node: Node) -> Node:
    name = "convert" if node.op == "unary" else node.attributes[0]
    return node._replace(op=f"stablehlo.{name}", attributes=(_AS_IT_IS,))
