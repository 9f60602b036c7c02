"""Programs that reach outside themselves, as programs that do not, so that they can be run.

A call into Python, an outfeed or any other effect must happen once a call of the user's and never
while saturax checks and times. Each is therefore replaced by its boundary: what it would be given
becomes an output of the program, and what it would return becomes an input. Tokens, which only
order effects, go. Collectives stay: they are part of the computation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from saturax.errors import SaturaxError
from saturax.graph.build import prune, result_types
from saturax.graph.ir import Graph, Node, Program
from saturax.graph.ops import PURE, generic_of
from saturax.graph.types import TupleType, Type

_COLLECTIVES = frozenset(
    f"stablehlo.{name}"
    for name in "all_gather all_reduce all_to_all reduce_scatter collective_broadcast "
    "collective_permute cross-replica-sum".split()
)

_TOKEN = "!stablehlo.token"
_NOWHERE = -1


def reaches_outside(node: Node) -> bool:
    """Whether running an operation does more than compute its results."""
    generic = generic_of(node)
    if generic is None or generic.sequence == PURE or node.op in _COLLECTIVES:
        return False
    effects = [region.nodes[i] for region in generic.regions for i in region.effects]
    return not generic.regions or any(map(reaches_outside, effects))


def outside_calls(graph: Graph) -> tuple[int, ...]:
    """The effects of a graph that reach outside, in program order."""
    return tuple(index for index in graph.effects if reaches_outside(graph.nodes[index]))


def isolate(program: Program) -> Program:
    """The program without its effects, whose boundaries are its last inputs and outputs.

    Two programs with the same effects in the same order get the same inputs and outputs.
    """
    graph = program.graph
    calls = outside_calls(graph)
    if not calls and all(map(_is_kept, (*graph.inputs, *graph.output_types))):
        return program
    isolated = _isolated_graph(graph, calls)
    added_inputs = len(isolated.inputs) - sum(map(_is_kept, graph.inputs))
    added_outputs = len(isolated.outputs) - sum(map(_is_kept, graph.output_types))
    return replace(
        program,
        graph=isolated,
        argument_attributes=_kept(program.argument_attributes, graph.inputs, added_inputs),
        result_attributes=_kept(program.result_attributes, graph.output_types, added_outputs),
    )


def _isolated_graph(graph: Graph, calls: Sequence[int]) -> Graph:
    inputs = [type for type in graph.inputs if _is_kept(type)]
    places: dict[int, int] = {}
    for number, type in enumerate(graph.inputs):
        if _is_kept(type):
            places[number] = len(places)
    returned: dict[tuple[int, int], int] = {}
    for call in calls:
        for result, type in enumerate(result_types(graph.nodes[call].type)):
            if _is_kept(type):
                returned[call, result] = len(inputs)
                inputs.append(type)
    nodes = list(graph.nodes)
    for index, node in enumerate(graph.nodes):
        if node.op == "parameter":
            number = places.get(node.attributes[0], _NOWHERE)  # type: ignore[call-overload]
            nodes[index] = node._replace(attributes=(number,))
        elif (index, 0) in returned and not isinstance(node.type, TupleType):
            nodes[index] = _parameter(returned[index, 0], node.type)
        elif node.op == "get_result":
            number = returned.get((node.operands[0], node.attributes[0]), _NOWHERE)  # type: ignore[arg-type]
            if number != _NOWHERE:
                nodes[index] = _parameter(number, node.type)
    given = [operand for call in calls for operand in graph.nodes[call].operands]
    outputs = [i for i in (*graph.outputs, *given) if _is_kept(graph.nodes[i].type)]
    effects = tuple(index for index in graph.effects if index not in set(calls))
    isolated = prune(Graph(tuple(inputs), tuple(nodes), tuple(outputs), effects))
    if any(node.op == "parameter" and node.attributes == (_NOWHERE,) for node in isolated.nodes):
        raise SaturaxError(
            "expected tokens that only order effects, but something else takes one, so the "
            "program cannot be run without its effects"
        )
    return isolated


def _parameter(number: int, type: Type) -> Node:
    return Node("parameter", (number,), (), type)


def _is_kept(type: Type) -> bool:
    return str(type) != _TOKEN


def _kept(
    attributes: Sequence[tuple[tuple[str, str], ...]], types: Sequence[Type], added: int
) -> tuple[tuple[tuple[str, str], ...], ...]:
    """The attributes of the values that are kept, and none for those that are added."""
    if not attributes:
        return ()
    pairs = zip(attributes, types, strict=True)
    return (*(each for each, type in pairs if _is_kept(type)), *((),) * added)
