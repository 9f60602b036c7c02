"""Stage `outline`: of a program that repeats itself, each distinct part is searched once.

A network of ninety-six equal layers has one layer to search. Its distinct parts lie side by side in
one graph, the outline, with the values that they take as inputs; whatever is found for it stands
for a program of the whole, in which each part has taken the place of all that are equal to it.
Such programs are ranked, compiled, checked and raced; the search alone does not see across parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from saturax.assembly.split import fixed_nodes
from saturax.cost.distance import held_bytes
from saturax.cost.formulate import Extracted
from saturax.cost.repetition import ITSELF, Repetition
from saturax.facts import facts_of_nodes
from saturax.graph.build import GraphBuilder
from saturax.graph.ir import Graph, Node
from saturax.numerics import BITWISE, Numerics
from saturax.search.partition import LARGEST, Partition, Replacement, Segment, partition

# A graph is repetitive if its distinct segments have at most this share of its operations.
_REPETITIVE = 0.6
# Smaller graphs are better off as a whole.
_LEAST_OPERATIONS = LARGEST * 3 // 2
# And so are others in which equal parts use the same weights: their products may become one. Larger
# ones take too long.
_LARGEST_WHOLE = 2_500
_PRODUCTS = ("dot_general", "convolution")
_MOVES = ("transpose", "reshape", "convert", "broadcast_in_dim", "slice", "reverse")

OUTSIDE = -1
"""In place of the e-node behind a node of the whole that belongs to no part."""


@dataclass(frozen=True)
class Outline:
    """The `graph` that is searched in place of a program, and its inputs of fixed values.

    `parts` are those of the program, if it repeats itself; else the graph is the program.
    """

    graph: Graph
    frozen: frozenset[int]
    repetition: Repetition = ITSELF
    parts: Partition | None = None
    _wholes: dict[Extracted, Extracted] = field(default_factory=dict, repr=False, compare=False)

    def whole(self, extracted: Extracted) -> Extracted:
        """The program that one found for the outline stands for.

        The e-node behind a node is that of the part's; `OUTSIDE` behind what belongs to no part.
        """
        if self.parts is None:
            return extracted
        if extracted not in self._wholes:
            self._wholes[extracted] = _assembled(self.parts, extracted)
        return self._wholes[extracted]


def outline_of(graph: Graph, frozen: Sequence[int], numerics: Numerics = BITWISE) -> Outline:
    """What is searched in place of a graph; `frozen` are inputs whose values are fixed.

    An input of a part may be assumed finite where, in the sense of `numerics`, all values are that
    it stands for: an attention mask of 0 and -∞ is not.
    """
    parts = repetitive_partition(graph)
    if parts is None:
        return Outline(graph, frozenset(frozen))
    fixed = fixed_nodes(graph, frozen)
    is_finite = [each.assumed_finite for each in facts_of_nodes(graph.nodes, numerics)]
    builder = GraphBuilder(exact=True)
    outputs, times, owners, given, inner_inputs = [], [], [], set(), set()
    for part, (inner, segments) in enumerate(parts.distinct().items()):
        for number in range(len(inner.inputs)):
            if all(fixed[segment.inputs[number]] for segment in segments):
                given.add(len(builder.inputs) + number)
            if not all(is_finite[segment.inputs[number]] for segment in segments):
                inner_inputs.add(len(builder.inputs) + number)
        results = builder.inline(inner, [builder.add_parameter(type) for type in inner.inputs])
        outputs += results
        times += [len(segments)] * len(results)
        owners += [part] * len(inner.inputs)
    found = builder.finish(outputs)
    elsewhere = max(0, held_bytes(graph) - held_bytes(found))
    repetition = Repetition(tuple(times), tuple(owners), frozenset(inner_inputs), elsewhere)
    return Outline(found, frozenset(given), repetition, parts)


def repetitive_partition(graph: Graph) -> Partition | None:
    """The segments of a graph if it repeats itself and is better searched in parts, else None."""
    if graph.effects or len(graph.nodes) < _LEAST_OPERATIONS:
        return None
    found = partition(graph)
    distinct = found.distinct()
    if sum(len(inner.nodes) for inner in distinct) > _REPETITIVE * len(graph.nodes):
        return None
    is_large = len(graph.nodes) > _LARGEST_WHOLE
    return found if is_large or not any(map(_share_weights, distinct.values())) else None


def _share_weights(segments: Sequence[Segment]) -> bool:
    """Whether equal segments multiply by the same value: steps of a recurrence, say."""
    first = segments[0]
    common = [
        number
        for number, index in enumerate(first.inputs)
        if len(segments) > 1 and all(each.inputs[number] == index for each in segments)
    ]
    return bool(_multiplied(first.graph, common))


def _multiplied(graph: Graph, inputs: Sequence[int]) -> list[int]:
    """The products of a graph that take some of its inputs as they are, or moved."""
    moved: set[int] = set()
    products = []
    for index, node in enumerate(graph.nodes):
        if node.op == "parameter":
            if node.attributes[0] in inputs:
                moved.add(index)
        elif moved.intersection(node.operands):
            if node.op in _MOVES:
                moved.add(index)
            elif node.op in _PRODUCTS:
                products.append(index)
    return products


def _assembled(parts: Partition, extracted: Extracted) -> Extracted:
    """The whole in which the parts of a program found for its outline replace its segments."""
    found = dict(zip(parts.distinct(), _parts_of(parts, extracted), strict=True))
    assembled = parts.assemble(
        {
            inner: Replacement(part.graph, tuple(range(len(part.graph.nodes))))
            for inner, part in found.items()
        }
    )
    enodes = [OUTSIDE] * len(assembled.graph.nodes)
    frozen: dict[int, None] = {}
    places = iter(assembled.marked)
    for segment in parts.segments:
        part = found[segment.graph]
        ahead = set(part.frozen)
        for node, enode in enumerate(part.enodes):
            place = next(places)
            if part.graph.nodes[node].op != "parameter":
                enodes[place] = enode
            if node in ahead:
                frozen[place] = None
    return Extracted(assembled.graph, tuple(enodes), tuple(frozen))


def _parts_of(parts: Partition, extracted: Extracted) -> Iterator[Extracted]:
    """What was found for each distinct segment, in order: as it was, if it needs other inputs.

    (Equal values of different segments are such: x - x = y - y.)
    """
    first_input = first_output = 0
    for inner in parts.distinct():
        inputs = range(first_input, first_input + len(inner.inputs))
        last_output = first_output + len(inner.outputs)
        yield _part(inner, inputs, extracted, slice(first_output, last_output))
        first_input, first_output = inputs.stop, last_output


def _part(inner: Graph, inputs: range, extracted: Extracted, outputs: slice) -> Extracted:
    graph = extracted.graph
    wanted = graph.outputs[outputs]
    needed = sorted(_needed(graph, wanted))
    place = {index: number for number, index in enumerate(needed)}
    nodes: list[Node] = []
    for index in needed:
        node = graph.nodes[index]
        if node.op == "parameter":
            number: Any = node.attributes[0]
            if number not in inputs:
                return Extracted(inner, (OUTSIDE,) * len(inner.nodes), ())
            node = node._replace(attributes=(number - inputs.start,))
        nodes.append(node._replace(operands=tuple(place[operand] for operand in node.operands)))
    found = Graph(inner.inputs, tuple(nodes), tuple(place[index] for index in wanted))
    enodes = tuple(extracted.enodes[index] for index in needed)
    return Extracted(found, enodes, tuple(place[i] for i in extracted.frozen if i in place))


def _needed(graph: Graph, outputs: Sequence[int]) -> set[int]:
    found = set(outputs)
    for index in reversed(range(len(graph.nodes))):
        if index in found:
            found.update(graph.nodes[index].operands)
    return found
