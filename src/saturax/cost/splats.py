"""Repeated numbers that lie in memory: the library takes in only those that nothing else reads.

XLA:CPU (jaxlib 0.10.2) has one broadcast of a number for all that read it in one shape. A loop
repeats it for itself; a kernel of the library (`library`) does so where it is the only reader, and
else reads what a loop has written before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saturax.cost.clusters import Cluster
from saturax.cost.library import LEAST_ELEMENTS, scaled_instead, starts_kernel
from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.types import TensorType

_VIEWS = frozenset({"broadcast_in_dim", "reshape", "transpose"})
# What the compiler writes without the number: products with ±1, sums with 0.
_SIMPLER = frozenset({(("multiply",), 1), (("multiply",), -1), (("add",), 0), (("subtract",), 0)})


@dataclass(frozen=True)
class Splat:
    """A number in all elements of a type."""

    number: Any
    type: TensorType


def splats_read(
    graph: Graph, clusters: Sequence[Cluster], users: Sequence[Sequence[int]]
) -> Mapping[int, tuple[Splat, ...]]:
    """What kernels of the library read of such, by the kernels' roots."""
    found = {cluster.root: set(_splats(graph, cluster, users)) for cluster in clusters}
    readers: dict[Splat, int] = {}
    for splats in found.values():
        for splat in splats:
            readers[splat] = readers.get(splat, 0) + 1
    return {
        cluster.root: tuple(
            sorted((s for s in found[cluster.root] if readers[s] > 1), key=lambda s: str(s.type))
        )
        for cluster in clusters
        if any(starts_kernel(graph.nodes, index) for index in cluster.nodes)
    }


def _splats(graph: Graph, cluster: Cluster, users: Sequence[Sequence[int]]) -> Iterator[Splat]:
    nodes = graph.nodes
    for index in cluster.nodes:
        for operand in nodes[index].operands:
            number, type = _number(nodes, operand), nodes[operand].type
            if number is None or not isinstance(type, TensorType):
                continue
            if nodes[index].op in _VIEWS or (nodes[index].attributes, number) in _SIMPLER:
                continue  # on the way to where it is read, or to be read as no number
            repeated = scaled_instead(nodes, users, index)
            if repeated is not None:
                type = nodes[nodes[repeated].operands[0]].type
            assert isinstance(type, TensorType)
            if type.size >= LEAST_ELEMENTS:
                yield Splat(number, type)


def _number(nodes: Sequence[Node], index: int) -> object | None:
    """The number that is in all elements of a node; None if it is not that plain."""
    while nodes[index].op in _VIEWS:
        (index,) = nodes[index].operands
    literal = nodes[index].attributes[0] if nodes[index].op == "constant" else None
    return literal.value if isinstance(literal, Literal) and literal.is_splat else None
