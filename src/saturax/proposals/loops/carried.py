"""What one step computes last and the next one first, carried from step to step.

    for t: h′ ← f(h, a(h), a(h′))    =    A ← a(h);  for t: h′ ← f(h, A, a(h′)), A ← a(h′)

Leapfrog and Verlet steps ask for the forces where they begin and where they end; conditions of
loops ask for residuals that the body has at hand, or computes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.types import TensorType
from saturax.proposals.equality import Equalities
from saturax.proposals.loops.emit import emit_while
from saturax.proposals.loops.structure import WHILE, Loop, loops_of

_MOST_CARRIED = 8
# Elements of all that is computed for a value: less is not worth a place of its own.
_LEAST_WORK = 64
_FREE = ("parameter", "constant", "iota", "broadcast_in_dim", "reshape")


def carry_values(equalities: Equalities) -> None:
    """Propose each loop with what it would compute twice for one state as further carries."""
    for loop in loops_of(equalities.graph):
        if loop.trip_count in (0, 1) or not loop.results:
            continue
        step = _Step(loop)
        carried = step.repeated()
        if 0 < len(carried) <= _MOST_CARRIED:
            with building(equalities.builder):
                _propose(equalities, loop, step, carried)


@dataclass
class _Step:
    """One step of a loop: body and condition, of one state, in one graph without equal nodes.

    `nodes` come first from the body, of which there are `count`, then from the condition; what the
    state after the step would make of them is added behind them as it is asked for.
    """

    loop: Loop

    def __post_init__(self) -> None:
        loop = self.loop
        self.builder = GraphBuilder(loop.body.inputs, exact=True)
        state = self.builder.parameters
        self.outputs = self.builder.inline(loop.body, state)
        self.count = len(self.builder.nodes)
        (self.condition,) = self.builder.inline(loop.condition, state)
        self.nodes = tuple(self.builder.nodes)
        self._in_condition = _needed(self.nodes, [self.condition.index])
        self._in_body = _needed(self.nodes, [output.index for output in self.outputs])
        self._next: dict[int, int] = {}

    def next(self, index: int) -> int:
        """The node that is, of the state after the step, what node `index` is of the one before."""
        stack = [index]
        while stack:
            node = self.nodes[stack[-1]]
            missing = [i for i in node.operands if i not in self._next]
            if missing:
                stack += missing
                continue
            self._next[stack.pop()] = self._made_next(node)
        return self._next[index]

    def _made_next(self, node: Node) -> int:
        if node.op == "parameter":
            number: int = node.attributes[0]  # type: ignore[assignment]
            is_carry = number < self.loop.carries
            return (self.outputs[number] if is_carry else self.builder.parameters[number]).index
        operands = tuple([self._next[i] for i in node.operands])
        return self.builder.append(node._replace(operands=operands)).index

    def repeated(self) -> list[int]:
        """The largest values of the state before the step that are computed twice for it."""
        found = {i for i in self._in_condition | self._in_body if self._is_repeated(i)}
        tops = {self.condition.index, *(output.index for output in self.outputs)}
        for index in self._in_condition | self._in_body:
            if index not in found:
                tops.update(self.nodes[index].operands)
        largest = sorted(found & tops)
        return [i for i in largest if self._work(i) >= _LEAST_WORK and self._may_come_first(i)]

    def _is_repeated(self, index: int) -> bool:
        node = self.nodes[index]
        if not node.operands or not isinstance(node.type, TensorType):
            return False
        after = self.next(index)
        is_asked_twice = index in self._in_body and index in self._in_condition
        return after != index and (after in self._in_body or is_asked_twice)

    def _may_come_first(self, index: int) -> bool:
        """Whether a value may be computed of a state of which the loop might not ask for it.

        A loop inside that ends for all states the body meets might not end for that one.
        """
        if self.loop.trip_count is not None or index in self._in_condition:
            return True
        return not any(self.nodes[i].op == WHILE for i in _needed(self.nodes, [index]))

    def _work(self, index: int) -> int:
        """Elements of the operands and results of what is computed for a value."""
        return sum(
            max(_size(self.nodes[i]), *(_size(self.nodes[j]) for j in self.nodes[i].operands))
            for i in _needed(self.nodes, [index])
            if self.nodes[i].op not in _FREE
        )

    def region(self, outputs: Sequence[int], carried: Sequence[int]) -> Graph:
        """Nodes as a function of the carries, the `carried` values, and what the loop captures."""
        count, types = self.loop.carries, self.loop.body.inputs
        builder = GraphBuilder((*types[:count], *(self.nodes[i].type for i in carried)))
        values = {node: builder.parameters[count + k] for k, node in enumerate(carried)}
        captured = [builder.add_parameter(type) for type in types[count:]]
        state = [*builder.parameters[:count], *captured]
        for i in sorted(_needed(self.builder.nodes, outputs, values)):
            node = self.builder.nodes[i]
            if i in values:
                continue
            if node.op == "parameter":
                values[i] = state[node.attributes[0]]  # type: ignore[call-overload]
            else:
                operands = tuple([values[j].index for j in node.operands])
                values[i] = builder.append(node._replace(operands=operands))
        return builder.finish([values[i] for i in outputs])


def _needed(nodes: Sequence[Node], outputs: Sequence[int], known: object = ()) -> set[int]:
    """The nodes that outputs depend on, looking no further than at `known` ones."""
    found: set[int] = set()
    stack = list(outputs)
    while stack:
        index = stack.pop()
        if index not in found:
            found.add(index)
            if index not in known:  # type: ignore[operator]
                stack += nodes[index].operands
    return found


def _size(node: Node) -> int:
    return node.type.size if isinstance(node.type, TensorType) else 0


def _propose(equalities: Equalities, loop: Loop, step: _Step, carried: Sequence[int]) -> None:
    starts = [equalities.value(i) for i in loop.initial]
    captured = [equalities.value(i) for i in loop.captured]
    first: list[Value] = equalities.builder.inline(
        Graph(loop.body.inputs, step.nodes, tuple(carried)), [*starts, *captured]
    )
    after = [step.next(i) for i in carried]
    results = emit_while(
        equalities.builder,
        step.region([step.condition.index], carried),
        step.region([*(output.index for output in step.outputs), *after], carried),
        [*starts, *first],
        captured,
    )
    equalities.promising.append(results[0].node.operands[0])
    for carry, places in loop.results.items():
        for place in places:
            equalities.equate(place, results[carry])
