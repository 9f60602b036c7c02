"""A `while` with its regions as a node of the graph around it, and the condition of a counter."""

from __future__ import annotations

from collections.abc import Sequence

from saturax.graph.build import GraphBuilder, Value, building, make
from saturax.graph.ir import Graph
from saturax.graph.ops import Generic, compare, full
from saturax.graph.types import TensorType, TupleType, Type
from saturax.proposals.loops.structure import WHILE

INDEX = TensorType((), "i32")
"""The type of the counters of loops that are written here."""


def emit_while(
    around: GraphBuilder,
    condition: Graph,
    body: Graph,
    starts: Sequence[Value],
    captured: Sequence[Value],
) -> list[Value]:
    """The final values of the carries that begin with `starts`; `around` must be the current one.

    Parameters of both regions are the carries, then the `captured` values.
    """
    generic = Generic((), (condition, body), len(captured))
    types: tuple[Type, ...] = tuple(value.type for value in starts)
    result_type = types[0] if len(types) == 1 else TupleType(types)
    node = around.generic(WHILE, (generic,), [*starts, *captured], result_type)
    if len(types) == 1:
        return [node]
    return [make("get_result", node, attributes=(i,)) for i in range(len(types))]


def count_below(inputs: Sequence[Type], count: int) -> Graph:
    """The condition that the first carry, a counter, is less than `count`."""
    builder = GraphBuilder(tuple(inputs))
    with building(builder):
        counter = builder.parameters[0]
        return builder.finish([compare(counter, full(count, INDEX), "LT", "SIGNED")])
