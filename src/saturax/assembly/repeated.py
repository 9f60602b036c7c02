"""Stage `emit`, before it: what XLA would compute again and again is written once.

XLA:CPU takes a cheap value into every kernel that reads it, and computes it there at each place
that is asked for. Of chains of stencils each kernel computes all those before it: a cycle of a
multigrid method on 128×128 points takes 8.9 ms, and 0.52 with each pass written; fifty steps of
Runge and Kutta's method for Lorenz' equations 4.6 ms, and 0.47 (2 cores, jaxlib 0.10.2). Barriers
do not help: they are gone before fusion. What stays is a call that must not be inlined. One that
returns its operand does nothing, and no kernel reaches across it.

Which values are held is a guess by counted operations. Programs with and without them are priced
as wholes, and race.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from saturax.cost.clusters import Fusion, times_computed
from saturax.cost.formulate import Extracted, with_frozen_given, without_frozen
from saturax.cost.fusible import is_expensive
from saturax.cost.kernel import CONTROL_FLOW, kernel_at
from saturax.cost.merged import merged
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import BARRIER, HELD, generic_of
from saturax.graph.types import TensorType

# In operations on one element, as addition is one: what asks where an element is branches.
_COSTS = {
    "pad": 4.0, "concatenate": 4.0, "gather": 4.0, "dynamic_update_slice": 4.0,
    "slice": 0.0, "dynamic_slice": 0.0, "broadcast_in_dim": 0.0, "reshape": 0.0, "iota": 0.0,
}  # fmt: skip
_EXPENSIVE = 10.0
# Writing an element and reading it again; and a further kernel, whatever its size.
_WRITTEN, _KERNEL = 4.0, 5_000.0
# They are written where their operand is.
_IN_PLACE = ("dynamic_update_slice", "scatter")
# Larger graphs take long, and are searched in parts.
_MOST_OPERATIONS = 4_000
# Of products a processor does so many operations in the time of one on an element.
_PRODUCTS, _FLOPS = ("dot_general", "convolution", "blocked_dot"), 8.0


@dataclass(frozen=True)
class Held:
    """A graph in which `count` values are held; node i of the one before is node `places[i]` now.

    `before` and `after` count the operations on elements that the kernels of both run (what loops
    do, once), or are their prices.
    """

    graph: Graph
    places: tuple[int, ...]
    count: int
    before: float
    after: float

    @property
    def gain(self) -> float:
        """How many times as much the program without them computes, or takes."""
        return self.before / self.after if self.after else 1.0


def hold_repeated(graph: Graph, given: Graph | None = None) -> Held:
    """The graph with a barrier after each value that it is cheaper to write than to compute again.

    `given` is the graph with what is computed ahead of time as inputs, if anything is, each node at
    its place.
    """
    if len(graph.nodes) > _MOST_OPERATIONS:
        return Held(graph, tuple(range(len(graph.nodes))), 0, 0.0, 0.0)
    fused = merged(graph if given is None else given)
    holding = _Holding(fused)
    held = frozenset(holding.held)
    nodes: list[Node] = []
    written: list[int] = []
    places: list[int] = []
    count = len(held)
    before, after = _work(fused, times_computed(fused)), _work(fused, holding.times_computed())
    for index, node in enumerate(graph.nodes):
        node, inside = _with_held_regions(node)
        count += sum(each.count for each in inside)
        before += sum(each.before for each in inside)
        after += sum(each.after for each in inside)
        nodes.append(node._replace(operands=tuple([places[i] for i in node.operands])))
        written.append(len(nodes) - 1)
        if index in held:
            nodes.append(Node(BARRIER, (HELD,), (len(nodes) - 1,), node.type))
        places.append(len(nodes) - 1)
    if not count:
        return Held(graph, tuple(range(len(graph.nodes))), 0, before, after)
    outputs, effects = ([places[i] for i in some] for some in (graph.outputs, graph.effects))
    changed = Graph(graph.inputs, tuple(nodes), tuple(outputs), tuple(effects))
    return Held(changed, tuple(written), count, before, after)


def with_values_written(
    extracted: Extracted, price: Callable[[Graph], float | None]
) -> tuple[Extracted, Held] | None:
    """A program in which values are written; None if there are none that are worth it.

    `price` says what a program takes; where it does not know, its gain is that of the counts.
    """
    held = hold_repeated(extracted.graph, with_frozen_given(extracted))
    if not held.count:
        return None
    frozen = tuple([held.places[i] for i in extracted.frozen])
    written = Extracted(held.graph, (), frozen)
    before, after = price(without_frozen(extracted)), price(without_frozen(written))
    if before is not None and after is not None:
        held = replace(held, before=before, after=after)
    return written, held


def _with_held_regions(node: Node) -> tuple[Node, list[Held]]:
    generic: Any = generic_of(node)
    if generic is None or node.op not in CONTROL_FLOW:
        return node, []
    found = [hold_repeated(region) for region in generic.regions]
    regions = tuple([each.graph for each in found])
    return node._replace(attributes=(generic._replace(regions=regions),)), found


class _Holding(Fusion):
    """Fusion that writes values which it would compute too often; `held` are those."""

    def __init__(self, graph: Graph) -> None:
        self.held: list[int] = []
        super().__init__(graph)

    def times_computed(self) -> list[float]:
        """How often each node is computed where values are held."""
        return [self.computed.times_computed(index) for index in range(len(self.nodes))]

    def _decide(self, index: int) -> None:
        """Also whether a value is held, of those that fuse."""
        super()._decide(index)
        is_copied = self.is_copied[index]
        if (self.is_root[index] and not is_copied) or not self._may_be_held(index):
            return
        times = self.computed.times_if_taken_in(index)
        written = 0.0 if is_copied else _KERNEL  # what is copied is in memory, too
        written += _WRITTEN * _size(self.nodes[index])
        if times > 1 and (times - 1) * self._cost(index) > written:
            self.is_root[index], self.is_copied[index] = True, False
            self.held.append(index)

    def _may_be_held(self, index: int) -> bool:
        node = self.nodes[index]
        return (
            bool(node.operands)
            and isinstance(node.type, TensorType)
            and self.is_loop[index]
            and node.op not in _IN_PLACE
            and not self.is_constant[index]
            and not self.is_view[index]
            and index not in self.joined
            and index not in self.library
            and not self.is_padding[index]
            and not self._is_output(index)
        )

    def _cost(self, index: int) -> float:
        """Operations for all elements of a value, with those of what is computed for it alone."""
        cost, seen, stack = 0.0, {index}, [index]
        while stack:
            place = stack.pop()
            node = self.nodes[place]
            cost += _cost_of(node) * _size(node)
            for operand in node.operands:
                is_shared = len(self.users[operand]) > 1 and not set(self.users[operand]) <= seen
                if operand in seen or is_shared or not self.is_loop[operand]:
                    continue
                if not self.is_constant[operand] and self.nodes[operand].operands:
                    seen.add(operand)
                    stack.append(operand)
        return cost


def _work(graph: Graph, times: Sequence[float]) -> float:
    """Operations that the kernels of a graph run, those of products and the like included."""
    work = 0.0
    for node, count in zip(graph.nodes, times, strict=True):
        if not node.operands or node.op in CONTROL_FLOW:
            continue
        if isinstance(node.type, TensorType):
            flops = kernel_at(graph, node).flops if node.op in _PRODUCTS else 0
            work += flops / _FLOPS + max(1.0, count) * _cost_of(node) * _size(node)
    return work


def _cost_of(node: Node) -> float:
    return _EXPENSIVE if is_expensive(node) else _COSTS.get(node.op, 1.0)


def _size(node: Node) -> int:
    return prod(getattr(node.type, "shape", ()))
