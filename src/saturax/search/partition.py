"""Stage `partition`: a large graph is cut where little crosses, into equal parts if it repeats.

Layers of a network follow one another in program order, and between two of them little is alive
but what is needed much later. Cuts are therefore positions in program order; those whose
surroundings look the same are taken together, so that repeated layers become equal segments, which
are optimised once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from saturax.graph.build import GraphBuilder, Value
from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.ops import generic_of
from saturax.graph.types import TensorType

SMALLEST, LARGEST = 40, 400
"""Operations of a segment: fewer are not worth a cut, more are cut if that is possible."""

# Larger constants are inputs of a segment: layers differ in their weights only.
_LARGEST_INNER_CONSTANT = 64
# More operations than these on small constants are not copied: they are inputs.
_LARGEST_COPY = 16
# Positions are alike if so many operations before and after them are.
_SURROUNDINGS = 12
# What lives for longer than so many operations crosses cuts wherever they are.
_LONG_LIFE = 2 * LARGEST


@dataclass(frozen=True)
class Segment:
    """A part of a graph as a graph of its own.

    `nodes` are the indices of its operations in the whole. Parameter i of `graph` stands for node
    `inputs[i]` of the whole; its output i is node `outputs[i]`.
    """

    nodes: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    graph: Graph


@dataclass(frozen=True)
class Replacement:
    """A graph to take instead of a segment's, and nodes of it to be found again in the whole."""

    graph: Graph
    marked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Partition:
    """A graph and its segments, in program order."""

    whole: Graph
    segments: tuple[Segment, ...]

    def distinct(self) -> dict[Graph, list[Segment]]:
        """Segments by their graphs: those in one list are equal but for the values they take."""
        found: dict[Graph, list[Segment]] = defaultdict(list)
        for segment in self.segments:
            found[segment.graph].append(segment)
        return dict(found)

    def assemble(self, replacements: Mapping[Graph, Replacement]) -> Replacement:
        """The whole with some segments' graphs replaced by equal ones, and the nodes they mark."""
        builder = GraphBuilder(exact=True)
        builder.inputs.extend(self.whole.inputs)
        values: dict[int, Value] = {}
        marked: list[Value] = []
        for index in _leaves(self.whole):
            node = self.whole.nodes[index]
            operands = tuple(values[operand].index for operand in node.operands)
            values[index] = builder.append(node._replace(operands=operands))
        for segment in self.segments:
            replacement = replacements.get(segment.graph, Replacement(segment.graph))
            inner = replacement.graph
            outputs = (*inner.outputs, *replacement.marked)
            arguments = [values[i] for i in segment.inputs]
            results = builder.inline(replace(inner, outputs=outputs), arguments)
            values.update(zip(segment.outputs, results, strict=False))
            marked += results[len(inner.outputs) :]
        found = builder.finish([values[i] for i in self.whole.outputs] + marked)
        count = len(self.whole.outputs)
        return Replacement(replace(found, outputs=found.outputs[:count]), found.outputs[count:])


def partition(graph: Graph, smallest: int = SMALLEST, largest: int = LARGEST) -> Partition:
    """Cut a graph without effects into segments of about `smallest` to `largest` operations."""
    leaves = _leaves(graph)
    order = [i for i in range(len(graph.nodes)) if i not in leaves]
    cuts = _cuts(graph, order, smallest, largest)
    bounds = [0, *cuts, len(order)]
    parts = [order[a:b] for a, b in pairwise(bounds) if a < b]
    return Partition(graph, tuple(_segments(graph, parts, leaves)))


def _leaves(graph: Graph) -> dict[int, bool]:
    """What belongs to no segment, and of each whether it is copied into the segments that use it.

    Copied is what follows from small constants alone, such as masks. Parameters, large constants
    and their slices are not: layers that take their weights out of one array differ in no more.
    """
    found: dict[int, bool] = {}
    size: dict[int, int] = {}
    for index, node in enumerate(graph.nodes):
        size[index] = 1 + sum(size.get(operand, 1) for operand in node.operands)
        if not node.operands:
            if node.op in ("parameter", "constant", "iota"):
                found[index] = _is_small(node)
        elif all(found.get(operand, False) for operand in node.operands):
            if generic_of(node) is None and size[index] <= _LARGEST_COPY:
                found[index] = True
        elif node.op in ("slice", "reshape") and node.operands[0] in found:
            found[index] = False
    return found


def _is_small(node: Node) -> bool:
    """Whether a node without operands is worth nothing in memory."""
    literal = node.attributes[0]
    if isinstance(literal, Literal):
        return literal.is_splat or literal.type.size <= _LARGEST_INNER_CONSTANT
    return node.op == "iota"


def _cuts(graph: Graph, order: Sequence[int], smallest: int, largest: int) -> list[int]:
    """Positions in `order` to cut before, ascending."""
    cost = _crossing_bytes(graph, order)
    signatures = [hash(_signature(graph, index)) for index in order]
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for position in range(smallest, len(order) - smallest + 1):
        alike[tuple(signatures[position - _SURROUNDINGS : position + _SURROUNDINGS])].append(
            position
        )
    # What repeats most, then what is narrowest: the first of each kind decides for all of it.
    groups = sorted(
        alike.values(), key=lambda g: (-min(len(g), 3), max(cost[p] for p in g), -len(g), g[0])
    )
    chosen: list[int] = []
    for group in groups:
        if _longest_gap(chosen, len(order)) <= largest:
            break
        fitting = _fitting(chosen, group, len(order), smallest)
        if fitting:
            chosen = sorted([*chosen, *fitting])
    return _continued(chosen, signatures, smallest)


def _fitting(chosen: Sequence[int], group: Sequence[int], end: int, smallest: int) -> list[int]:
    """The positions of a group that keep every segment at `smallest` operations or more.

    Of a short period every second, third, … position: greedily from the first one is as regular
    as the period itself.
    """
    bounds = [0, *chosen, end]
    fitting: list[int] = []
    for position in group:
        if all(abs(position - other) >= smallest for other in (*bounds, *fitting[-1:])):
            fitting.append(position)
    return fitting


def _continued(chosen: Sequence[int], signatures: Sequence[int], smallest: int) -> list[int]:
    """The positions, and those that continue a period: beside the first layer is something else."""
    bounds = {0, *chosen, len(signatures)}
    for first, second in pairwise(sorted(chosen)):
        period = signatures[first:second]
        for at, begin in (
            (first - len(period), first - len(period)),
            (second + len(period), second),
        ):
            is_equal = begin >= 0 and signatures[begin : begin + len(period)] == period
            if is_equal and all(abs(at - other) >= smallest for other in bounds):
                bounds.add(at)
    return sorted(bounds - {0, len(signatures)})


def _longest_gap(chosen: Sequence[int], end: int) -> int:
    bounds = [0, *chosen, end]
    return max(b - a for a, b in pairwise(bounds))


def _crossing_bytes(graph: Graph, order: Sequence[int]) -> list[int]:
    """For each position, the bytes alive there that are soon used up."""
    place = {index: position for position, index in enumerate(order)}
    last = dict(place)
    for index in order:
        for operand in graph.nodes[index].operands:
            if operand in last:
                last[operand] = max(last[operand], place[index])
    change = [0] * (len(order) + 2)
    for index, position in place.items():
        if 0 < last[index] - position <= _LONG_LIFE:
            size = _bytes(graph.nodes[index])
            change[position + 1] += size
            change[last[index] + 1] -= size
    total, found = 0, []
    for step in change[: len(order) + 1]:
        total += step
        found.append(total)
    return found


def _bytes(node: Node) -> int:
    elements = getattr(node.type, "elements", (node.type,))
    return sum(t.bytes for t in elements if isinstance(t, TensorType))


def _signature(graph: Graph, index: int) -> Hashable:
    node = graph.nodes[index]
    return (node.op, node.attributes, node.type, *(graph.nodes[o].type for o in node.operands))


def _segments(
    graph: Graph, parts: Sequence[Sequence[int]], leaves: Mapping[int, bool]
) -> list[Segment]:
    """Each part as a graph whose parameters are numbered in the order of their first use."""
    owner = {index: number for number, part in enumerate(parts) for index in part}
    needed = set(graph.outputs)
    for index, node in enumerate(graph.nodes):
        for operand in node.operands:
            if operand in owner and owner[operand] != owner.get(index):
                needed.add(operand)
    return [_segment(graph, part, needed, leaves) for part in parts]


def _segment(
    graph: Graph, part: Sequence[int], needed: set[int], leaves: Mapping[int, bool]
) -> Segment:
    builder = GraphBuilder(exact=True)
    values: dict[int, Value] = {}
    inputs: list[int] = []

    def value(index: int) -> Value:
        if index not in values:
            node = graph.nodes[index]
            if leaves.get(index, False):
                values[index] = copied(node)
            else:
                inputs.append(index)
                values[index] = builder.add_parameter(node.type)
        return values[index]

    def copied(node: Node) -> Value:
        operands = tuple(value(operand).index for operand in node.operands)
        return builder.append(node._replace(operands=operands))

    for index in part:
        values[index] = copied(graph.nodes[index])
    outputs = tuple(index for index in part if index in needed)
    inner = builder.finish([values[index] for index in outputs])
    return Segment(tuple(part), tuple(inputs), outputs, inner)
