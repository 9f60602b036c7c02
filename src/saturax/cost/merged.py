"""Products that XLA computes once: of the same values in memory, whatever shapes those are seen in.

A product of 1×32×768 numbers and one of 32×768 are the same to the compiler, which leaves out
dimensions of one element before it looks for what is there twice.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from weakref import WeakKeyDictionary

from saturax.cost.kernel import BITCASTS, kernel_at
from saturax.graph.ir import Graph, Node
from saturax.graph.types import TensorType

_FOUND: WeakKeyDictionary[Graph, Graph] = WeakKeyDictionary()


def merged(graph: Graph) -> Graph:
    """The graph with every product that is there already as a view of the first of its kind.

    Nodes keep their numbers. The same object comes back where nothing is there twice.
    """
    found = _FOUND.get(graph)
    if found is None:
        found = _merged(graph)
        if found is not graph:  # an entry that holds its key would live for ever
            _FOUND[graph] = found
    return found


def _merged(graph: Graph) -> Graph:
    nodes, places = list(graph.nodes), list(range(len(graph.nodes)))
    first: dict[Hashable, int] = {}
    for index, node in enumerate(nodes):
        if node.op in BITCASTS and kernel_at(graph, node).is_bitcast:
            places[index] = places[node.operands[0]]
        if node.op != "dot_general" or not isinstance(node.type, TensorType):
            continue
        key = kernel_at(graph, node).key, *(places[i] for i in node.operands)
        known = first.setdefault(key, index)
        if known != index:
            places[index] = places[known]
            nodes[index] = Node("reshape", (node.type.shape,), (known,), node.type)
    return graph if nodes == list(graph.nodes) else replace(graph, nodes=tuple(nodes))
