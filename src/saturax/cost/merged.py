"""What XLA leaves out before it forms kernels.

Products are computed once of the same values in memory, whatever shapes those are seen in: one of
1×32×768 numbers and one of 32×768 are the same to the compiler, which leaves out dimensions of one
element before it looks for what is there twice. Slices of everything and joined nothing, as in
`jnp.roll` by 0, are gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from saturax.cost.kernel import BITCASTS, kernel_at
from saturax.graph.ir import Graph, Node
from saturax.graph.types import TensorType

# None for the graph itself: an entry that holds its key would live for ever.
_FOUND: WeakKeyDictionary[Graph, Graph | None] = WeakKeyDictionary()


def merged(graph: Graph) -> Graph:
    """The graph with every product that is there already as a view of the first of its kind.

    What equals its operand is a view, too. Nodes keep their numbers. The same object comes back
    where nothing is left out.
    """
    with contextlib.suppress(KeyError):
        return _FOUND[graph] or graph
    found = _merged(graph)
    _FOUND[graph] = None if found is graph else found
    return found


def _merged(graph: Graph) -> Graph:
    nodes, places = list(graph.nodes), list(range(len(graph.nodes)))
    first: dict[Hashable, int] = {}
    for index, node in enumerate(nodes):
        if node.op in BITCASTS and kernel_at(graph, node).is_bitcast:
            places[index] = places[node.operands[0]]
        same = _same_operand(nodes, node)
        if same is not None:
            places[index] = places[same]
            nodes[index] = _view(same, node)
        if node.op != "dot_general" or not isinstance(node.type, TensorType):
            continue
        key = kernel_at(graph, node).key, *(places[i] for i in node.operands)
        known = first.setdefault(key, index)
        if known != index:
            places[index] = places[known]
            nodes[index] = _view(known, node)
    return graph if nodes == list(graph.nodes) else replace(graph, nodes=tuple(nodes))


def _same_operand(nodes: Sequence[Node], node: Node) -> int | None:
    """The operand that a slice of everything, or a concatenation with nothing, is."""
    if node.op not in ("slice", "concatenate"):
        return None
    same = [operand for operand in node.operands if nodes[operand].type == node.type]
    return same[0] if same else None


def _view(of: int, node: Node) -> Node:
    assert isinstance(node.type, TensorType)
    return Node("reshape", (node.type.shape,), (of,), node.type)
