"""Powers in loops of what is an exponential outside of them.

u = eˢ; for t: … uʸ …    =    for t: … e^(s·y) …

A rule says that of u and its power in one graph (`power_of_exponential`), but all that a body knows
is that u is a parameter. The steps u = e^(σ√Δt) of a binomial tree are an example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from saturax.graph.build import GraphBuilder, Value, building, make
from saturax.graph.ir import Graph
from saturax.graph.ops import multiply, unary
from saturax.graph.types import TensorType, Type, is_float
from saturax.proposals.equality import Equalities
from saturax.proposals.loops.emit import emit_while
from saturax.proposals.loops.structure import Loop, loops_of

_MOVES = frozenset({"broadcast_in_dim", "reshape", "transpose", "slice"})
"""Operations of one operand that only place its elements."""

Leaf = Callable[[int], Value | None]
"""The exponent of a node that is no placement of another one; None if it has none."""


def expose_exponentials(equalities: Equalities) -> None:
    """Propose exponentials for powers in loops of what the graph around knows as exponentials."""
    for loop in loops_of(equalities.graph):
        exponents = _exponents(equalities, loop)
        if exponents:
            _rewrite(equalities, loop, exponents)


def _exponents(equalities: Equalities, loop: Loop) -> dict[int, Value]:
    """Logarithms of invariant parameters of the body whose powers are taken, in the graph around.

    By the number of the parameter; only of those that are exponentials of real numbers there.
    """
    graph = equalities.graph

    def leaf(place: int) -> Value | None:
        node = graph.nodes[place]
        is_exponential = node.op == "unary" and node.attributes[0] == "exponential"
        return equalities.value(node.operands[0]) if is_exponential else None

    outside = (*loop.initial, *loop.captured)
    found: dict[int, Value] = {}
    with building(equalities.builder):
        for k in sorted(_bases(loop)):
            type = loop.body.inputs[k]
            if not isinstance(type, TensorType) or not is_float(type.dtype):
                continue
            if equalities.may_round(type.dtype):
                exponent = _exponent(graph, outside[k], leaf)
                if exponent is not None:
                    found[k] = exponent
    return found


def _bases(loop: Loop) -> set[int]:
    """The invariant parameters of the body of which a power is taken."""
    found: set[int] = set()
    for node in loop.body.nodes:
        if node.op == "binary" and node.attributes[0] == "power":
            base = node.operands[0]
            while loop.body.nodes[base].op in _MOVES:
                (base,) = loop.body.nodes[base].operands
            k = loop.parameter(base)
            if k in loop.invariant:
                found.add(k)
    return found


def _exponent(graph: Graph, place: int, leaf: Leaf) -> Value | None:
    """s for a node that is eˢ, moved about as it is; into the current builder."""
    node = graph.nodes[place]
    if node.op not in _MOVES:
        return leaf(place)
    inner = _exponent(graph, node.operands[0], leaf)
    return None if inner is None else make(node.op, inner, attributes=node.attributes)


def _rewrite(equalities: Equalities, loop: Loop, exponents: Mapping[int, Value]) -> None:
    types: tuple[Type, ...] = tuple(value.type for value in exponents.values())
    inputs = (*loop.body.inputs, *types)
    body = _with_exponentials(loop, inputs, tuple(exponents))
    condition = Graph(inputs, loop.condition.nodes, loop.condition.outputs)
    starts = [equalities.value(place) for place in loop.initial]
    captured = [equalities.value(place) for place in loop.captured]
    with building(equalities.builder):
        captured += exponents.values()
        ends = emit_while(equalities.builder, condition, body, starts, captured)
    for carry, places in loop.results.items():
        for place in places:
            equalities.equate(place, ends[carry])


def _with_exponentials(loop: Loop, inputs: tuple[Type, ...], bases: tuple[int, ...]) -> Graph:
    """The body with further parameters at its end: the logarithms of the parameters `bases`."""
    builder = GraphBuilder(inputs, exact=True)
    logarithms = dict(zip(bases, builder.parameters[len(loop.body.inputs) :], strict=True))

    def leaf(place: int) -> Value | None:
        number = loop.parameter(place)
        return None if number is None else logarithms.get(number)

    new: list[Value] = []
    with building(builder):
        for node in loop.body.nodes:
            operands = [new[operand] for operand in node.operands]
            exponent = None
            if node.op == "binary" and node.attributes[0] == "power":
                exponent = _exponent(loop.body, node.operands[0], leaf)
            if exponent is not None:
                new.append(unary("exponential", multiply(exponent, operands[1])))
            else:
                moved = node._replace(operands=tuple(value.index for value in operands))
                new.append(builder.append(moved))
        return builder.finish([new[output] for output in loop.body.outputs])
