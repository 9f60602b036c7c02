"""Peak memory of a program: which values lie in memory at the same time, as XLA plans it.

Values that a kernel hands to another have a buffer each, from the kernel that writes them to the
last one that reads them; those that are not needed at the same time share their place. Results
that are not yet written lend their places to others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saturax.cost.kernel import BRANCHES, byte_size
from saturax.cost.loops import WHILE
from saturax.cost.schedule import Schedule, Step, Value
from saturax.graph.ir import Graph, Node, Program, node_regions
from saturax.jaxlib_compat import MemoryUse
from saturax.mlir_modules import DONATION_ATTRIBUTES

# Buffers begin at multiples of so many bytes.
_ALIGNMENT = 64
# Longer windows are reduced in blocks.
_LONGEST_WINDOW = 32


def memory_of(program: Program) -> MemoryUse:
    """Predicted bytes of a program while it runs on one device."""
    graph = program.graph
    outputs = [byte_size(type) for type in graph.output_types]
    aliases = _aliases(program, outputs)
    buffers = _Plan(graph).buffers(aliases)
    return MemoryUse(
        argument_bytes=sum(map(byte_size, graph.inputs)),
        output_bytes=sum(outputs),
        temporary_bytes=_peak(_lent(buffers)),
        aliased_bytes=sum(outputs[number] for number in aliases),
    )


def aliased_bytes(program: Program) -> int:
    """Bytes of the results that come in the places of donated arguments."""
    outputs = [byte_size(type) for type in program.graph.output_types]
    return sum(outputs[number] for number in _aliases(program, outputs))


def _aliases(program: Program, output_bytes: Sequence[int]) -> set[int]:
    """Numbers of the results that come in the places of donated arguments."""
    found: set[int] = set()
    for type, attributes in zip(program.graph.inputs, program.argument_attributes, strict=False):
        named = dict(attributes)
        if "tf.aliasing_output" in named:
            found.add(int(named["tf.aliasing_output"].partition(":")[0]))
        elif any(name in named for name in DONATION_ATTRIBUTES):
            size = byte_size(type)
            fitting = (i for i, n in enumerate(output_bytes) if n == size and i not in found)
            found.update([next(fitting, -1)])
    return found - {-1}


@dataclass
class _Buffer:
    """Bytes that are needed from one step to another, both included."""

    size: int
    start: int
    end: int
    is_output: bool = False
    over: tuple[_Buffer, ...] = ()

    @property
    def all_steps(self) -> int:
        """The steps at which it is needed, as a bit mask."""
        return (2 << self.end) - (1 << self.start)

    @property
    def inner_steps(self) -> int:
        """Those between the first and the last one."""
        return (1 << max(self.end, self.start + 1)) - (2 << self.start)

    def follows(self, other: _Buffer) -> bool:
        """Whether it can have the place of another that was needed before."""
        is_next = other.end == self.start and any(other is each for each in self.over)
        return other.end < self.start or is_next


@dataclass
class _Plan:
    """The buffers of a graph; if it `carries`, results take the places of its parameters."""

    graph: Graph
    carries: bool = False
    at: dict[Value, _Buffer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        schedule = Schedule(self.graph)
        self.steps, self.places = schedule.steps, schedule.places
        self.last: dict[Value, int] = {}
        for number, step in enumerate(self.steps):
            self.last.update(dict.fromkeys(step.reads, number))
        self.outputs = {self.places[i]: number for number, i in enumerate(self.graph.outputs)}

    def buffers(self, aliases: Collection[int] = ()) -> list[_Buffer]:
        """All buffers but those of the parameters; results `aliases` have places from the start."""
        found: list[_Buffer] = []
        for number, step in enumerate(self.steps):
            inner = _inner_bytes(self.graph, self.graph.nodes[step.root])
            if inner:
                found.append(_Buffer(inner, number, number))
            for position, (value, size) in enumerate(step.writes):
                found += self._written(number, step, position, value, size)
        for value, number in self.outputs.items():
            if number in aliases and value in self.at:
                self.at[value].start = 0
        return found

    def _written(
        self, number: int, step: Step, position: int, value: Value, size: int
    ) -> Iterator[_Buffer]:
        """The buffer of a value, if it needs one of its own."""
        until = self.last.get(value, number)
        is_output = value in self.outputs
        if is_output and self.carries:
            if self._replaces_parameter(number, step, value):
                return
            until, is_output = len(self.steps), False
        over = step.over
        node = self.graph.nodes[step.root]
        if node.op == WHILE:
            over = (self.places[node.operands[position]],)
            if _passes(node, position) and over[0] not in self.at:
                return  # read where it is, in a parameter
        elif position:
            over = ()
        for other in over if not is_output else ():
            taken = self.at.get(other)
            if (
                taken is not None
                and not taken.is_output
                and taken.size == size
                and taken.end == self.last.get(other) == number
            ):
                taken.end, self.at[value] = until, taken
                return
        inherited = tuple(self.at[other] for other in over if other in self.at)
        end = len(self.steps) if is_output else until
        buffer = _Buffer(size, number, end, is_output, inherited)
        self.at[value] = buffer
        yield buffer

    def _replaces_parameter(self, number: int, step: Step, value: Value) -> bool:
        """Whether the next value of a carry can be written where the last one was."""
        carry = self.outputs[value]
        parameter = next(
            (
                index
                for index, node in enumerate(self.graph.nodes)
                if node.op == "parameter" and node.attributes[0] == carry
            ),
            None,
        )
        if parameter is None:
            return True
        last = self.last.get(parameter, -1)
        return last < number or (last == number and parameter in step.over)


def _passes(loop: Node, position: int) -> bool:
    """Whether a loop hands a carry on as it is."""
    body = node_regions(loop)[1]
    output = body.nodes[body.outputs[position]]
    return output.op == "parameter" and output.attributes[0] == position


def _inner_bytes(graph: Graph, node: Node) -> int:
    """What a kernel, loop or branch needs besides its operands and results."""
    regions = node_regions(node)
    if node.op == WHILE:
        return _peak(_Plan(regions[1], carries=True).buffers())
    if node.op in BRANCHES:
        return max(_peak(_lent(_Plan(region).buffers())) for region in regions)
    if node.op == "blocked_dot":  # the blocks, before they are put together
        return byte_size(node.type)
    window: Any = node.attributes[1] if node.op == "reduce_window" else None
    if window is not None and max(window.size) > _LONGEST_WINDOW:
        # Cumulative: padded to whole blocks, then reduced block by block.
        return byte_size(graph.nodes[node.operands[0]].type) + byte_size(node.type)
    return 0


def _lent(buffers: Sequence[_Buffer]) -> list[_Buffer]:
    """The temporary buffers that find no place in that of a result that is written later.

    Two of them share the place at most at the step where one ends and the other begins.
    """
    places = sorted((b for b in buffers if b.is_output), key=lambda b: b.size)
    taken: Mapping[int, list[_Buffer]] = {id(place): [place] for place in places}
    steps = {id(place): place.all_steps for place in places}
    left = []
    for buffer in sorted((b for b in buffers if not b.is_output), key=lambda b: -b.size):
        inner_steps, all_steps = buffer.inner_steps, buffer.all_steps
        for place in places:
            if place.size < buffer.size or steps[id(place)] & inner_steps:
                continue
            if not steps[id(place)] & all_steps or all(
                buffer.follows(b) or b.follows(buffer) for b in taken[id(place)]
            ):
                taken[id(place)].append(buffer)
                steps[id(place)] |= all_steps
                break
        else:
            left.append(buffer)
    return left


def _peak(buffers: Sequence[_Buffer]) -> int:
    """The most bytes that are in use at a time."""
    change = [0] * (2 + max((buffer.end for buffer in buffers), default=0))
    for buffer in buffers:
        size = -(-buffer.size // _ALIGNMENT) * _ALIGNMENT
        change[buffer.start] += size
        change[buffer.end + 1] -= size
    most = now = 0
    for delta in change:
        now += delta
        most = max(most, now)
    return most
