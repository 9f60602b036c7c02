"""Stage `precompute`: values that depend on constants only are computed before the program runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from saturax.checking.inputs import Array
from saturax.graph.build import prune
from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal

Evaluate = Callable[[Graph, Sequence[Array]], list[Array]]
"""Runs a graph on inputs."""


def precompute(graph: Graph, frozen: Sequence[int], evaluate: Evaluate) -> Graph:
    """Replace the nodes `frozen`, which depend on constants only, by their values.

    Large constants are handed to `evaluate` as inputs, so that a compiler does not fold them.
    """
    if not frozen:
        return graph
    program, inputs = _with_constants_as_inputs(graph, frozen)
    values = evaluate(program, inputs)
    nodes = list(graph.nodes)
    for index, value in zip(frozen, values, strict=True):
        nodes[index] = Node("constant", (Literal(value),), (), nodes[index].type)
    return prune(Graph(graph.inputs, tuple(nodes), graph.outputs, graph.effects))


def _with_constants_as_inputs(graph: Graph, outputs: Sequence[int]) -> tuple[Graph, list[Array]]:
    """The part of `graph` below `outputs`, its tensors of distinct elements made parameters."""
    part = prune(Graph((), graph.nodes, tuple(outputs)))
    inputs: list[Array] = []
    nodes: list[Node] = []
    for node in part.nodes:
        literal = node.attributes[0] if node.op == "constant" else None
        if isinstance(literal, Literal) and not literal.is_splat:
            node = Node("parameter", (len(inputs),), (), node.type)
            inputs.append(literal.data)
        nodes.append(node)
    types = tuple(node.type for node in nodes if node.op == "parameter")
    return Graph(types, tuple(nodes), part.outputs), inputs
