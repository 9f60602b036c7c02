"""Branches whose choice is known: the chosen one takes the place of all.

case(1, f, g)(x) = g(x)        if(true, f, g)(x) = f(x)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saturax.graph.build import GraphBuilder, Value
from saturax.graph.ir import Graph
from saturax.graph.ops import PURE, generic_of
from saturax.graph.types import TupleType

IF = "stablehlo.if"
CASE = "stablehlo.case"


@dataclass(frozen=True)
class Straight:
    """A graph without the branches that are known.

    `places[i]` is the node of `graph` that stands for node i of the original, for those in
    `chosen` in place of the branch (or of one of its results).
    """

    graph: Graph
    places: dict[int, int]
    chosen: tuple[int, ...]


def without_known_branches(graph: Graph) -> Straight | None:
    """The graph with known branches inlined; None if there are none, or it has effects."""
    if graph.effects or not any(node.op in (IF, CASE) for node in graph.nodes):
        return None
    builder = GraphBuilder(exact=True)
    builder.inputs.extend(graph.inputs)
    values: dict[int, Value] = {}
    results: dict[int, list[Value]] = {}
    chosen: list[int] = []
    for index, node in enumerate(graph.nodes):
        if node.op == "get_result" and node.operands[0] in results:
            values[index] = results[node.operands[0]][node.attributes[0]]  # type: ignore[call-overload]
            chosen.append(index)
            continue
        arguments = [values[operand] for operand in node.operands]
        region = _chosen_region(node, arguments)
        if region is None:
            operands = tuple(argument.index for argument in arguments)
            values[index] = builder.append(node._replace(operands=operands))
            continue
        results[index] = builder.inline(region, arguments[1:])
        if not isinstance(node.type, TupleType):
            values[index] = results[index][0]
            chosen.append(index)
    if not results:
        return None
    places = {index: value.index for index, value in values.items()}
    outputs = tuple(places[output] for output in graph.outputs)
    return Straight(Graph(graph.inputs, tuple(builder.nodes), outputs), places, tuple(chosen))


def _chosen_region(node: Any, arguments: list[Value]) -> Graph | None:
    """The region that runs for these operands; None if that is not known."""
    generic = generic_of(node)
    if node.op not in (IF, CASE) or generic is None or generic.sequence != PURE:
        return None
    selector: Any = arguments[0].node
    if selector.op != "constant":
        return None
    number, regions = int(selector.attributes[0].value), generic.regions
    if node.op == IF:
        region = regions[0 if number else 1]
    else:  # an index out of range takes the last branch (StableHLO, `case`)
        region = regions[number if 0 <= number < len(regions) else -1]
    return None if region.effects else region
