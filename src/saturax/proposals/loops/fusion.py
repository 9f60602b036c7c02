"""Two loops that take equally many steps, as one.

    for t: yₜ ← f(…);  for t: zₜ ← g(yₜ, …)    =    for t: y ← f(…), z ← g(y, …)

The second loop reads of the first one's results only what the first writes in the same step, or
nothing at all: filters in cascade, stacked recurrences, a recurrence in both directions. A step
costs something beside its arithmetic, and what passes from loop to loop need not be stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from saturax.graph.build import GraphBuilder, building, prune
from saturax.graph.ir import Graph, Node
from saturax.graph.types import Type
from saturax.proposals.equality import Equalities
from saturax.proposals.loops.emit import emit_while
from saturax.proposals.loops.roles import Update, find_roles
from saturax.proposals.loops.structure import Loop, loops_of, parameters_of
from saturax.proposals.loops.windows import progression
from saturax.proposals.usage import ancestors_among

_MOST_LOOPS = 16


@dataclass(frozen=True)
class _Pair:
    """Loops to run as one: nodes of the second's body that read windows of the first's body."""

    first: Loop
    second: Loop
    windows: Mapping[int, int]
    linked: frozenset[int]

    @property
    def carries(self) -> int:
        """How many carries both loops have."""
        return self.first.carries + self.second.carries

    def outside(self) -> tuple[int, ...]:
        """The nodes around the loops that the parameters of the joined body begin with."""
        captured = (*self.first.captured, *self.second.captured)
        return (*self.first.initial, *self.second.initial, *captured)

    def results(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Carries of both loops, numbered one after the other, with the nodes for their values."""
        yield from self.first.results.items()
        for carry, places in self.second.results.items():
            yield self.first.carries + carry, places


def fuse_loops(equalities: Equalities) -> None:
    """Propose each two loops of one trip count as one, where nothing else is between them."""
    loops = [each for each in loops_of(equalities.graph) if (each.trip_count or 0) > 1]
    if len(loops) > _MOST_LOOPS:
        return
    for first in loops:
        pairs = [
            _pair(equalities.graph, first, second)
            for second in loops
            if second.index > first.index and second.trip_count == first.trip_count
        ]
        found = [pair for pair in pairs if pair is not None]
        if found:
            with building(equalities.builder):
                _propose(equalities, max(found, key=lambda pair: len(pair.windows)))


def _pair(graph: Graph, first: Loop, second: Loop) -> _Pair | None:
    """How the second loop may join the first; None if it needs more of it than the same step."""
    written = _written(first)
    windows: dict[int, int] = {}
    linked: set[int] = set()
    needed: set[int] = set()
    for number, place in enumerate((*second.initial, *second.captured)):
        carry = written.get(place)
        reads = None if carry is None else _reads(first, carry, second, number)
        if reads is None:
            needed.add(place)
        else:
            windows.update(reads)
            linked.add(number)
    above = ancestors_among(graph, {first.index, *needed})
    bit = 1 << sorted(above).index(first.index)
    if first.index in needed or any(above[place] & bit for place in needed):
        return None
    return _Pair(first, second, windows, frozenset(linked))


def _written(loop: Loop) -> dict[int, int]:
    """Which carry, written window by window, each node around the loop is."""
    roles = find_roles(loop, is_bitwise=True)
    return {
        place: carry
        for carry, places in loop.results.items()
        if isinstance(roles.of.get(carry), Update)
        for place in places
    }


def _reads(first: Loop, carry: int, second: Loop, number: int) -> dict[int, int] | None:
    """Which nodes read, of parameter `number`, the window of a carry of the same step, if all do.

    Each is mapped to the window in the first body.
    """
    update = first.body.nodes[first.body.outputs[carry]]
    body = second.body
    places = {i for i in range(len(body.nodes)) if second.parameter(i) == number}
    readers = [i for i, node in enumerate(body.nodes) if not places.isdisjoint(node.operands)]
    is_invariant = number in second.invariant and number not in second.results
    others = [out for k, out in enumerate(body.outputs) if k != number]
    if not is_invariant or not places.isdisjoint(others):
        return None
    sizes = first.body.nodes[update.operands[1]].type.shape  # type: ignore[union-attr]
    shape = first.body.inputs[carry].shape  # type: ignore[union-attr]
    path = progression([first.tables.get(i) for i in update.operands[2:]], sizes, shape)
    if path is None or path.dimension is None:
        return None
    for index in readers:
        node = body.nodes[index]
        if node.op != "dynamic_slice" or tuple(node.attributes[0]) != tuple(sizes):  # type: ignore[arg-type]
            return None
        if progression([second.tables.get(i) for i in node.operands[1:]], sizes, shape) != path:
            return None
    return dict.fromkeys(readers, update.operands[1])


def _propose(equalities: Equalities, pair: _Pair) -> None:
    condition, places = pair.first.condition, _places(pair)[0]
    read = {places[k] for k in parameters_of(condition)}
    wanted = _wanted(equalities.graph, pair)
    wanted |= {k for k in read if k < pair.carries}
    carries, body = _kept(_joined(pair), wanted, pair.carries)
    needed = parameters_of(body) | read
    kept = [*sorted(carries), *sorted(k for k in needed if k >= pair.carries)]
    place = {k: position for position, k in enumerate(kept)}
    inputs = tuple(body.inputs[k] for k in kept)
    outside = [equalities.value(pair.outside()[k]) for k in kept]
    results = emit_while(
        equalities.builder,
        _renumbered(condition, inputs, {k: place[places[k]] for k in parameters_of(condition)}),
        _renumbered(body, inputs, place),
        outside[: len(carries)],
        outside[len(carries) :],
    )
    for carry, nodes in pair.results():
        for node in nodes if carry in carries else ():
            equalities.equate(node, results[place[carry]])


def _kept(joined: Graph, wanted: set[int], count: int) -> tuple[set[int], Graph]:
    """The carries, of `count`, on which wanted ones depend, and the body with no others."""
    while True:
        outputs = tuple(joined.outputs[k] for k in sorted(wanted))
        body = prune(Graph(joined.inputs, joined.nodes, outputs))
        needed = {k for k in parameters_of(body) if k < count}
        if needed <= wanted:
            return wanted, body
        wanted = wanted | needed


def _places(pair: _Pair) -> tuple[list[int], list[int]]:
    """Where the parameters of each body are among those of the joined one."""
    first = pair.first
    captured = range(pair.carries, len(pair.outside()))
    own = len(first.captured)
    return (
        [*range(first.carries), *captured[:own]],
        [*range(first.carries, pair.carries), *captured[own:]],
    )


def _joined(pair: _Pair) -> Graph:
    """Both bodies as one, its parameters the carries of both, then what both capture.

    Counters of the second that are counters of the first are read from there.
    """
    first, second = pair.first.body, pair.second.body
    mine, others = _places(pair)
    types = dict(zip((*mine, *others), (*first.inputs, *second.inputs), strict=True))
    builder = GraphBuilder(tuple(types[k] for k in range(len(types))))
    parameters = builder.parameters
    windows = tuple(pair.windows.values())
    results = builder.inline(
        Graph(first.inputs, first.nodes, (*first.outputs, *windows)),
        [parameters[k] for k in mine],
    )
    arguments = [parameters[k] for k in others]
    for k, counter in pair.second.counters.items():
        for other, values in pair.first.counters.items():
            if first.inputs[other] == second.inputs[k] and (values == counter).all():
                arguments[k] = parameters[other]
    nodes = list(second.nodes)
    for extra, reader in enumerate(pair.windows):
        number = len(second.inputs) + extra
        nodes[reader] = Node("parameter", (number,), (), second.nodes[reader].type)
    with_windows = Graph(
        (*second.inputs, *(second.nodes[reader].type for reader in pair.windows)),
        tuple(nodes),
        second.outputs,
    )
    own = len(first.outputs)
    return builder.finish(
        [*results[:own], *builder.inline(with_windows, [*arguments, *results[own:]])]
    )


def _wanted(graph: Graph, pair: _Pair) -> set[int]:
    """The carries whose last values something besides the second loop needs."""
    uses = graph.uses()
    for number, place in enumerate((*pair.second.initial, *pair.second.captured)):
        if number in pair.linked:
            uses[place] -= 1
    return {carry for carry, places in pair.results() if any(uses[place] for place in places)}


def _renumbered(region: Graph, inputs: tuple[Type, ...], places: Mapping[int, int]) -> Graph:
    """A region of these inputs that reads input `places[k]` where it read parameter k."""
    nodes = tuple(
        node._replace(attributes=(places[node.attributes[0]],))  # type: ignore[index]
        if node.op == "parameter"
        else node
        for node in region.nodes
    )
    return Graph(inputs, nodes, region.outputs)
