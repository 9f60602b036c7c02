"""Branches that are all alike, or so cheap that all of them are computed.

if p: f(x) else: g(x)    =    select(p, f(x), g(x))
"""

from __future__ import annotations

from collections.abc import Sequence

from saturax.graph.build import Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import PURE, broadcast_scalar, compare, full_like, generic_of, select
from saturax.graph.types import TensorType, TupleType
from saturax.proposals.equality import Equalities

_BRANCHES = frozenset({"stablehlo.if", "stablehlo.case"})
_CHEAP = frozenset(
    {"unary", "binary", "ternary", "broadcast_in_dim", "reshape", "slice", "pad", "reverse"}
    | {"constant", "iota", "parameter"}
)
# Branches with more operations in all are not computed together.
_MOST_OPERATIONS = 64


def resolve_branches(equalities: Equalities) -> None:
    """Propose what a branch is without branching: alike in all cases, or cheap."""
    for index, node in enumerate(equalities.graph.nodes):
        if node.op not in _BRANCHES:
            continue
        generic = generic_of(node)
        assert generic is not None
        regions = generic.regions
        if generic.sequence != PURE or any(region.effects for region in regions):
            continue
        with building(equalities.builder):
            results = _resolved(equalities, node, regions)
        for k, place in _results(equalities.graph, index) if results else ():
            equalities.equate(place, results[k])


def _resolved(equalities: Equalities, node: Node, regions: Sequence[Graph]) -> list[Value]:
    """The results of a branch without branching; none if it has to stay."""
    predicate, *captured = (equalities.value(i) for i in node.operands)
    if len(set(regions)) == 1:
        return equalities.builder.inline(regions[0], captured)
    nodes = [inner for region in regions for inner in region.nodes]
    is_cheap = len(nodes) <= _MOST_OPERATIONS and all(inner.op in _CHEAP for inner in nodes)
    return _selected(equalities, predicate, regions, captured) if is_cheap else []


def _selected(
    equalities: Equalities, predicate: Value, regions: Sequence[Graph], captured: list[Value]
) -> list[Value]:
    """All regions computed, and the right results selected."""
    results = [equalities.builder.inline(region, captured) for region in regions]
    chosen = results[-1]
    for number in reversed(range(len(regions) - 1)):
        is_this = predicate
        if predicate.dtype != "i1":
            is_this = compare(predicate, full_like(predicate, number), "EQ", "SIGNED")
        chosen = [
            select(broadcast_scalar(is_this, this.shape), this, other)
            for this, other in zip(results[number], chosen, strict=True)
        ]
    return chosen


def _results(graph: Graph, index: int) -> list[tuple[int, int]]:
    """The single results of a node, by number, and the nodes that stand for them."""
    type = graph.nodes[index].type
    if isinstance(type, TensorType):
        return [(0, index)]
    assert isinstance(type, TupleType)
    return [
        (node.attributes[0], place)  # type: ignore[misc]
        for place, node in enumerate(graph.nodes)
        if node.op == "get_result" and node.operands == (index,)
    ]
