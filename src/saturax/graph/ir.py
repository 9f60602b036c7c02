"""Graphs: plain, hash-consed SSA with StableHLO's operations and attribute meanings.

A node has one type; an operation with several results has a `TupleType`, and `get_result` nodes
select from it. Regions are attributes that are themselves graphs. Everything is immutable.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from saturax.graph.types import Type

Attributes = tuple[Hashable, ...]


class Node(NamedTuple):
    """One operation: `operands` are the indices of earlier nodes of the same graph.

    `attributes` are positional, in the order that the operation table declares.
    """

    op: str
    attributes: Attributes
    operands: tuple[int, ...]
    type: Type


@dataclass(frozen=True, eq=False)
class Graph:
    """A function body: `nodes` in topological order, the indices of its `outputs`.

    `inputs` are the parameters' types, in order; each has one `parameter` node at most.
    `effects` are nodes with side effects, in program order: they are kept, once each.
    """

    inputs: tuple[Type, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    effects: tuple[int, ...] = ()

    @cached_property
    def _hash(self) -> int:
        return hash((self.inputs, self.nodes, self.outputs, self.effects))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Graph)
            and self._hash == other._hash
            and self.outputs == other.outputs
            and self.inputs == other.inputs
            and self.effects == other.effects
            and self.nodes == other.nodes
        )

    @property
    def output_types(self) -> tuple[Type, ...]:
        """Types of the outputs, in order."""
        return tuple(self.nodes[i].type for i in self.outputs)

    def uses(self) -> list[int]:
        """How often each node is used as an operand or output."""
        counts = [0] * len(self.nodes)
        for node in self.nodes:
            for operand in node.operands:
                counts[operand] += 1
        for output in self.outputs:
            counts[output] += 1
        return counts

    def joined_concatenations(self) -> frozenset[int]:
        """Those that only another one along the same dimension uses: it takes their place."""
        if not any(node.op == "concatenate" for node in self.nodes):
            return frozenset()
        uses = self.uses()
        return frozenset(
            operand
            for node in self.nodes
            if node.op == "concatenate"
            for operand in node.operands
            if uses[operand] == 1
            and self.nodes[operand].op == "concatenate"
            and self.nodes[operand].attributes == node.attributes
        )

    def regions(self) -> Iterator[tuple[int, Graph]]:
        """Each region of each node, with the node's index."""
        for index, node in enumerate(self.nodes):
            for region in node_regions(node):
                yield index, region

    def size(self) -> int:
        """Number of operations, regions included."""
        return len(self.nodes) + sum(region.size() for _, region in self.regions())

    def __str__(self) -> str:
        lines = [f"%{i} = {_show(node)} : {node.type}" for i, node in enumerate(self.nodes)]
        outputs = ", ".join(f"%{i}" for i in self.outputs)
        return "\n".join([*lines, f"return {outputs}"])


def node_regions(node: Node) -> tuple[Graph, ...]:
    """The regions of a node, found in its attributes and in the tuples that these are made of."""
    return tuple(_graphs_in(node.attributes))


def _graphs_in(attributes: tuple[Any, ...]) -> Iterator[Graph]:
    for attribute in attributes:
        if isinstance(attribute, Graph):
            yield attribute
        elif isinstance(attribute, tuple):
            yield from _graphs_in(attribute)


def _show(node: Node) -> str:
    attributes = ", ".join("{…}" if isinstance(a, Graph) else str(a) for a in node.attributes)
    operands = ", ".join(f"%{i}" for i in node.operands)
    return f"{node.op}[{attributes}]({operands})"


@dataclass(frozen=True)
class Program:
    """A graph with what surrounds it in its module: names, attributes and other symbols.

    Attribute dictionaries are tuples of (name, MLIR text). `symbols` are functions that
    operations refer to by name (called computations, composite decompositions), as MLIR text.
    """

    graph: Graph
    name: str = "main"
    module_name: str = "module"
    module_attributes: tuple[tuple[str, str], ...] = ()
    function_attributes: tuple[tuple[str, str], ...] = ()
    argument_attributes: tuple[tuple[tuple[str, str], ...], ...] = ()
    result_attributes: tuple[tuple[tuple[str, str], ...], ...] = ()
    symbols: tuple[str, ...] = ()

    @property
    def partitions(self) -> int:
        """The number of devices that the program is to be partitioned for."""
        text = dict(self.module_attributes).get("mhlo.num_partitions", "1 : i32")
        return int(text.split(":")[0])

    def with_graph(self, graph: Graph) -> Program:
        """The same surroundings around another graph of the same signature."""
        return replace(self, graph=graph)


def freeze(value: Any) -> Any:
    """Turn nested lists into tuples (named tuples stay so), so that it can be an attribute."""
    if not isinstance(value, list | tuple):
        return value
    items = [freeze(item) if isinstance(item, list | tuple) else item for item in value]
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
