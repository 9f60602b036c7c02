"""What a proposal returns: the graph, extended by new nodes, and which nodes are equal."""

from __future__ import annotations

from saturax.graph.build import GraphBuilder, Value
from saturax.graph.ir import Graph, Node


class Equalities:
    """A graph being extended: new nodes go into `builder`; `equate` says what they are equal to.

    The nodes of `graph` keep their indices, so `value(i)` is node i as an operand.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.builder = GraphBuilder(exact=False)
        self.builder.inputs.extend(graph.inputs)
        for node in graph.nodes:
            self.builder.append(node)
        self.pairs: list[tuple[int, int, str]] = []
        self.reason = ""

    @property
    def nodes(self) -> list[Node]:
        """The original nodes, then the new ones."""
        return self.builder.nodes

    def value(self, index: int) -> Value:
        """Node `index` as an operand of new nodes."""
        return Value(self.builder, index, self.builder.nodes[index].type)

    def equate(self, index: int, value: Value) -> None:
        """State that node `index` of the graph equals the new `value`."""
        if self.builder.nodes[index].type != value.type:
            raise TypeError(
                f"proposal {self.reason}: node {index} has type {self.builder.nodes[index].type}, "
                f"what is proposed for it has {value.type}"
            )
        self.pairs.append((index, value.index, self.reason))
