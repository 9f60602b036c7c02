"""Building graphs: operation constructors append to the *current builder*.

The same constructors serve rules (patterns and right-hand sides), proposals and tests: only the
builder differs. `GraphBuilder` makes graphs; the pattern builder lives with the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

from saturax.graph.ir import Attributes, Graph, Node, freeze
from saturax.graph.operation import TABLE
from saturax.graph.types import TensorType, TupleType, Type


class Builder(Protocol):
    """What an operation constructor needs: somewhere to put the operation."""

    def make(self, op: str, attributes: Attributes, operands: tuple[Any, ...]) -> Any:
        """Add the operation and return a handle for its result."""


class Value:
    """A handle on a node under construction, with its type at hand."""

    __slots__ = ("builder", "index", "type")

    def __init__(self, builder: GraphBuilder, index: int, type: Type) -> None:
        self.builder = builder
        self.index = index
        self.type = type

    @property
    def facts(self) -> Any | None:
        """What somebody has told of the value; None where nobody has. To read it is to ask all."""
        self.builder.asks_all = True
        return self.builder.facts.get(self.index)

    @facts.setter
    def facts(self, facts: Any) -> None:
        self.builder.facts[self.index] = facts

    @property
    def tensor(self) -> TensorType:
        """The type, known to be a tensor."""
        assert isinstance(self.type, TensorType), f"expected a tensor, got {self.type}"
        return self.type

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""
        return self.tensor.shape

    @property
    def dtype(self) -> str:
        """Element type, as MLIR spells it."""
        return self.tensor.dtype

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.tensor.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.tensor.size

    @property
    def node(self) -> Node:
        """The node that this handle stands for."""
        return self.builder.nodes[self.index]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Value) and self.builder is other.builder and self.index == other.index
        )

    def __hash__(self) -> int:
        return hash(self.index)

    def __repr__(self) -> str:
        return f"%{self.index}:{self.type}"


class GraphBuilder:
    """Appends hash-consed nodes; operations that return their operand are not added.

    With `exact=True` (imports, tests) every operation is added as given.
    """

    def __init__(self, inputs: Sequence[Type] = (), *, exact: bool = False) -> None:
        nodes, index = _parameters(tuple(inputs))
        self.inputs: list[Type] = [*inputs]
        self.nodes: list[Node] = [*nodes]
        self.effects: list[int] = []
        # What is known of nodes, where somebody has told or asked (`saturax.rules.facts`).
        self.facts: dict[int, Any] = {}
        # Whether somebody has asked for more than their outline.
        self.asks_all = False
        self._index: dict[Node, int] = index.copy()
        self._exact = exact
        self.parameters = [Value(self, number, type) for number, type in enumerate(inputs)]

    def add_parameter(self, type: Type) -> Value:
        """Declare the next input."""
        self.inputs.append(type)
        return self.append(Node("parameter", (len(self.inputs) - 1,), (), type))

    def append(self, node: Node) -> Value:
        """Add a node as it is, or find the equal one."""
        index = self._index.get(node)
        if index is None:
            index = self._index[node] = len(self.nodes)
            self.nodes.append(node)
        return Value(self, index, node.type)

    def make(self, op: str, attributes: Attributes, operands: tuple[Any, ...]) -> Value:
        """Add an operation of the table; its type is inferred."""
        row = TABLE[op]
        types = [operand.type for operand in operands]
        if not self._exact and operands and row.is_no_op(attributes, types):
            first: Value = operands[0]
            return first
        inferred = row.infer(attributes, types)
        return self.append(Node(op, attributes, tuple(v.index for v in operands), inferred))

    def generic(self, op: str, attributes: Attributes, operands: list[Value], type: Type) -> Value:
        """Add an operation that the table does not know, with its type."""
        return self.append(Node(op, attributes, tuple(v.index for v in operands), type))

    def inline(self, graph: Graph, arguments: list[Value]) -> list[Value]:
        """Copy the nodes of an effect-free `graph`, applied to `arguments`; return its outputs."""
        values: list[Value] = []
        for node in graph.nodes:
            if node.op == "parameter":
                values.append(arguments[node.attributes[0]])  # type: ignore[call-overload]
            else:
                operands = tuple(values[i].index for i in node.operands)
                values.append(self.append(Node(node.op, node.attributes, operands, node.type)))
        return [values[i] for i in graph.outputs]

    def finish(self, outputs: list[Value] | tuple[Value, ...]) -> Graph:
        """The graph with these outputs. Nodes that nothing needs are left out."""
        return prune(
            Graph(
                tuple(self.inputs),
                tuple(self.nodes),
                tuple(v.index for v in outputs),
                tuple(self.effects),
            )
        )


@lru_cache(maxsize=1 << 12)
def _parameters(inputs: tuple[Type, ...]) -> tuple[list[Node], dict[Node, int]]:
    """What a builder with these inputs begins with: most are those of a rule's right side."""
    nodes = [Node("parameter", (number,), (), type) for number, type in enumerate(inputs)]
    return nodes, {node: number for number, node in enumerate(nodes)}


def prune(graph: Graph) -> Graph:
    """Drop what neither an output nor an effect needs; parameters stay declared in `inputs`."""
    needed = set(graph.outputs) | set(graph.effects)
    for index in range(len(graph.nodes) - 1, -1, -1):
        if index in needed:
            needed.update(graph.nodes[index].operands)
    if len(needed) == len(graph.nodes):
        return graph
    new: dict[int, int] = {}
    nodes: list[Node] = []
    for index, node in enumerate(graph.nodes):
        if index in needed:
            new[index] = len(nodes)
            nodes.append(node._replace(operands=tuple(new[i] for i in node.operands)))
    return Graph(
        graph.inputs,
        tuple(nodes),
        tuple(new[i] for i in graph.outputs),
        tuple(new[i] for i in graph.effects),
    )


_builders: list[Builder] = []


class building:  # noqa: N801 (used like a function)
    """Makes `builder` the current one inside the `with` block."""

    __slots__ = ("_builder",)

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    def __enter__(self) -> None:
        _builders.append(self._builder)

    def __exit__(self, *_: object) -> None:
        _builders.pop()


def make(op: str, *operands: Any, attributes: tuple[Any, ...] = ()) -> Any:
    """Add an operation to the current builder; lists in `attributes` become tuples."""
    return _builders[-1].make(op, freeze(attributes), operands)


def result_types(type: Type) -> tuple[Type, ...]:
    """The types of an operation's results, whether it has one or several."""
    return type.elements if isinstance(type, TupleType) else (type,)
