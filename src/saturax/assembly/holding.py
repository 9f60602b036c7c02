"""Stage `emit`, before it: products whose result is transposed run as the search has chosen them.

XLA:CPU makes b · a of (a · b)ᵀ, whatever that costs. With a frozen matrix on the left, which the
library reads as it lies, a layer of a perceptron is 1.2 to 1.5 times as fast for 8 to 64 rows; once
XLA has swapped the operands it takes two to three times as long as with the matrix on the right
(`python -m benchmarks.holding`). Extraction has priced both forms, so that a product and a
transpose stand in its result because they cost less: a barrier keeps them.
"""

from __future__ import annotations

from typing import Any

from saturax.graph.ir import Graph, Node
from saturax.graph.ops import BARRIER, Generic, generic_of


def hold_products(graph: Graph) -> Graph:
    """The graph with barriers between products of matrices and transposes that alone read them."""
    uses = graph.uses()
    places: list[int] = []
    nodes: list[Node] = []
    for node in graph.nodes:
        operands = tuple(places[i] for i in node.operands)
        if _is_undone(graph, node, uses):
            nodes.append(Node(BARRIER, (Generic(),), operands, nodes[operands[0]].type))
            operands = (len(nodes) - 1,)
        nodes.append(_with_held_regions(node)._replace(operands=operands))
        places.append(len(nodes) - 1)
    return Graph(
        graph.inputs,
        tuple(nodes),
        tuple(places[i] for i in graph.outputs),
        tuple(places[i] for i in graph.effects),
    )


def _is_undone(graph: Graph, node: Node, uses: list[int]) -> bool:
    """Whether XLA would put the operands of a product in the other order to spare a transpose."""
    if node.op != "transpose" or node.attributes != ((1, 0),):
        return False
    (operand,) = node.operands
    return graph.nodes[operand].op == "dot_general" and uses[operand] == 1


def _with_held_regions(node: Node) -> Node:
    generic: Any = generic_of(node)
    if generic is None or not generic.regions:
        return node
    regions = tuple(hold_products(region) for region in generic.regions)
    return node._replace(attributes=(generic._replace(regions=regions),))
