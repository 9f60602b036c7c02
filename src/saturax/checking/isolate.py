"""Programs that reach outside themselves, as programs that do not, so that they can be run.

A call into Python, an outfeed or any other effect must happen once a call of the user's and never
while saturax checks and times. Each is therefore replaced by its boundary: what it would be given
becomes an output of the program, and what it would return becomes an input. Tokens, which only
order effects, go. Collectives stay: they are part of the computation.

A branch or a counting loop with effects inside is isolated itself: what its effects return is
captured, and what they were given last is among its results, zeros if they did not happen. Any
other operation with effects inside is one effect: a loop that asks one when to stop might not end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from saturax.cost.kernel import BRANCHES
from saturax.cost.loops import WHILE, counter_of
from saturax.errors import SaturaxError
from saturax.graph.build import prune, result_types
from saturax.graph.ir import Graph, Node, Program
from saturax.graph.literal import splat
from saturax.graph.ops import PURE, Generic, generic_of
from saturax.graph.types import TensorType, TupleType, Type

_COLLECTIVES = frozenset(
    f"stablehlo.{name}"
    for name in "all_gather all_reduce all_to_all reduce_scatter collective_broadcast "
    "collective_permute cross-replica-sum".split()
)
_TOKEN = "!stablehlo.token"


def reaches_outside(node: Node) -> bool:
    """Whether running an operation does more than compute its results."""
    generic = generic_of(node)
    if generic is None or generic.sequence == PURE or node.op in _COLLECTIVES:
        return False
    return not generic.regions or any(outside_calls(region) for region in generic.regions)


def outside_calls(graph: Graph) -> tuple[int, ...]:
    """The effects of a graph that reach outside, in program order."""
    return tuple(index for index in graph.effects if reaches_outside(graph.nodes[index]))


def isolate(program: Program) -> Program:
    """The program without its effects, whose boundaries are its last inputs and outputs.

    Two programs with the same effects in the same order get the same inputs and outputs.

    Raises:
        SaturaxError: something that is computed depends on a token.
    """
    graph = program.graph
    if not outside_calls(graph) and all(map(_is_kept, (*graph.inputs, *graph.output_types))):
        return program
    isolated = _Isolated(graph)
    arguments, results = program.argument_attributes, program.result_attributes
    return replace(
        program,
        graph=isolated.graph,
        argument_attributes=_kept(arguments, graph.inputs, len(isolated.returned)),
        result_attributes=_kept(results, graph.output_types, len(isolated.given)),
    )


class _Boundary:
    """What one effect returns and is given; `parts` are its regions, where they are isolated."""

    returned: tuple[Type, ...]
    given: tuple[Type, ...]

    def __init__(self, graph: Graph, node: Node) -> None:
        self.parts: tuple[_Isolated, ...] = ()
        generic = generic_of(node)
        if generic is not None and _can_be_entered(node, generic):
            self.parts = tuple(_Isolated(region) for region in generic.regions)
            self.returned = tuple(type for part in self.parts for type in part.returned)
            self.given = tuple(type for part in self.parts for type in part.given)
        else:
            self.returned = tuple(filter(_is_kept, result_types(node.type)))
            self.given = tuple(filter(_is_kept, (graph.nodes[i].type for i in node.operands)))


class _Isolated:
    """A graph without its effects: its last inputs are `returned`, its last outputs `given`."""

    returned: tuple[Type, ...]
    given: tuple[Type, ...]

    def __init__(self, original: Graph) -> None:
        nodes = original.nodes
        self._original = original
        self._calls = {i: _Boundary(original, nodes[i]) for i in outside_calls(original)}
        self.returned = tuple(type for each in self._calls.values() for type in each.returned)
        self.given = tuple(type for each in self._calls.values() for type in each.given)
        self._nodes: list[Node] = []
        # Where nodes of the original are now; those that depend on tokens are nowhere.
        self._new: dict[int, int] = {}
        self._given: dict[int, list[int]] = {}
        self._entered: dict[int, int] = {}
        self.graph = self._build()

    def _build(self) -> Graph:
        original = self._original
        numbers = {n: i for i, n in enumerate(_kept_places(original.inputs))}
        first = {index: len(numbers) for index in self._calls}
        for before, index in pairwise(self._calls):
            first[index] = first[before] + len(self._calls[before].returned)
        for index, node in enumerate(original.nodes):
            if index in self._calls:
                self._cross(index, node, first[index])
            elif node.op == "parameter":
                number: Any = node.attributes[0]
                if number in numbers:
                    self._new[index] = self._parameter(numbers[number], node.type)
            elif index not in self._new and all(operand in self._new for operand in node.operands):
                operands = tuple(self._new[operand] for operand in node.operands)
                self._new[index] = self._append(node._replace(operands=operands))
        outputs = [i for i in original.outputs if _is_kept(original.nodes[i].type)]
        effects = [i for i in original.effects if i not in self._calls or i in self._entered]
        places = self._new | self._entered
        if any(index not in self._new for index in outputs) or any(
            i not in places for i in effects
        ):
            raise SaturaxError(
                "expected tokens that only order effects, but a result depends on one, so the "
                "program cannot be run without its effects"
            )
        given = [node for index in self._calls for node in self._given[index]]
        kept = (original.inputs[number] for number in numbers)
        return prune(
            Graph(
                (*kept, *self.returned),
                tuple(self._nodes),
                (*(self._new[index] for index in outputs), *given),
                tuple(places[index] for index in effects),
            )
        )

    def _cross(self, index: int, node: Node, first: int) -> None:
        """Replace an effect by its boundary, whose first input is number `first`."""
        boundary = self._calls[index]
        kept = [i for i in node.operands if _is_kept(self._original.nodes[i].type)]
        operands = [self._new[operand] for operand in kept]
        results = [self._parameter(first + i, type) for i, type in enumerate(boundary.returned)]
        if boundary.parts:
            results, given = self._enter(index, node, boundary, operands, results)
        else:
            given = operands
        self._given[index] = given
        by_number = dict(zip(_kept_places(result_types(node.type)), results, strict=True))
        if not isinstance(node.type, TupleType) and by_number:
            self._new[index] = by_number[0]
        for user, other in enumerate(self._original.nodes):
            if other.op == "get_result" and other.operands == (index,):
                number: Any = other.attributes[0]
                if number in by_number:
                    self._new[user] = by_number[number]

    def _enter(
        self,
        index: int,
        node: Node,
        boundary: _Boundary,
        operands: list[int],
        returned: list[int],
    ) -> tuple[list[int], list[int]]:
        """A loop or branch around its isolated regions: its own results, and what was given."""
        generic = generic_of(node)
        assert generic is not None
        given, parts = boundary.given, boundary.parts
        own = node.operands[: len(node.operands) - generic.captures]
        carried = len([i for i in own if _is_kept(self._original.nodes[i].type)])
        captured = [self._nodes[i].type for i in operands[carried:]] + list(boundary.returned)
        if node.op == WHILE:
            types = [self._nodes[i].type for i in operands[:carried]]
            inputs = (*types, *given, *captured)
            regions = tuple(_with_inputs(part.graph, inputs, carried, len(given)) for part in parts)
            operands[carried:carried] = [self._append(_zeros(type)) for type in given]
        else:
            regions = tuple(
                _branch(part, place, parts, tuple(captured)) for place, part in enumerate(parts)
            )
        kept = tuple(filter(_is_kept, result_types(node.type)))
        types_now = (*kept, *given)
        sequence = generic.sequence if any(region.effects for region in regions) else PURE
        entered = Generic(generic.attributes, regions, len(captured), sequence)
        type = types_now[0] if len(types_now) == 1 else TupleType(types_now)
        operation = self._append(Node(node.op, (entered,), (*operands, *returned), type))
        if sequence != PURE:
            self._entered[index] = operation
        results = [
            self._append(Node("get_result", (number,), (operation,), each))
            if isinstance(type, TupleType)
            else operation
            for number, each in enumerate(types_now)
        ]
        return results[: len(kept)], results[len(kept) :]

    def _parameter(self, number: int, type: Type) -> int:
        return self._append(Node("parameter", (number,), (), type))

    def _append(self, node: Node) -> int:
        self._nodes.append(node)
        return len(self._nodes) - 1


def _can_be_entered(node: Node, generic: Generic) -> bool:
    """Whether an operation with effects inside is sure to end whatever they return."""
    if node.op == WHILE:
        return counter_of(generic) is not None and not outside_calls(generic.regions[0])
    return node.op in BRANCHES


def _branch(
    part: _Isolated, place: int, parts: Sequence[_Isolated], captured: tuple[Type, ...]
) -> Graph:
    """One of several branches, with the captures and the results of all."""
    own = len(part.graph.inputs) - len(part.returned)
    before = sum(len(other.returned) for other in parts[:place])
    graph = _with_inputs(part.graph, captured, own, before)
    nodes = list(graph.nodes)
    results = list(graph.outputs[: len(graph.outputs) - len(part.given)])
    for other in parts:
        if other is part:
            results += graph.outputs[len(graph.outputs) - len(part.given) :]
            continue
        for type in other.given:
            results.append(len(nodes))
            nodes.append(_zeros(type))
    return Graph(graph.inputs, tuple(nodes), tuple(results), graph.effects)


def _with_inputs(graph: Graph, inputs: tuple[Type, ...], first: int, shift: int) -> Graph:
    """A graph of more inputs: those from number `first` on are `shift` places further."""
    nodes = list(graph.nodes)
    for index, node in enumerate(nodes):
        number: Any = node.attributes[0] if node.op == "parameter" else -1
        if number >= first:
            nodes[index] = node._replace(attributes=(number + shift,))
    return Graph(inputs, tuple(nodes), graph.outputs, graph.effects)


def _zeros(type: Type) -> Node:
    if not isinstance(type, TensorType):
        raise SaturaxError(f"expected effects that are given tensors, got one of type {type}")
    return Node("constant", (splat(0, type),), (), type)


def _is_kept(type: Type) -> bool:
    return str(type) != _TOKEN


def _kept_places(types: Sequence[Type]) -> list[int]:
    return [place for place, type in enumerate(types) if _is_kept(type)]


def _kept(
    attributes: Sequence[tuple[tuple[str, str], ...]], types: Sequence[Type], added: int
) -> tuple[tuple[tuple[str, str], ...], ...]:
    """The attributes of the values that are kept, and none for those that are added."""
    if not attributes:
        return ()
    pairs = zip(attributes, types, strict=True)
    return (*(each for each, type in pairs if _is_kept(type)), *((),) * added)
