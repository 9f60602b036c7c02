"""Where the values of an e-graph are when a program reads them, and what is new memory.

Values that are in memory before a program runs are read from as far away as all of them are large.
XLA:CPU runs what is ready first: what is made of such values alone is made before all else, and has
been far away ever since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from saturax.cost.distance import level_of
from saturax.cost.kernel import BITCASTS, Kernel, byte_size
from saturax.egraph import EGraph
from saturax.graph.literal import Literal
from saturax.graph.operation import TABLE

_MOVEMENT = frozenset({"broadcast_in_dim", "slice", "dynamic_slice", "pad", "reverse"})


class Kernels:
    """The kernels that the e-nodes of an e-graph stand for, equal ones as one object."""

    def __init__(self, egraph: EGraph) -> None:
        self.egraph = egraph
        self._known: dict[tuple[Any, ...], Kernel] = {}

    @cached_property
    def nodes(self) -> dict[int, list[Any]]:
        """All e-classes, ascending, with their e-nodes."""
        return {class_id: self.egraph.nodes(class_id) for class_id in self.egraph.classes()}

    def constant(self, class_id: int) -> Literal | None:
        """The constant that a class is, or repeats; None if it is not known."""
        data, find = self.egraph.data, self.egraph.find
        repeated = [
            data(enode.children[0]).constant
            for enode in self.nodes[find(class_id)]
            if enode.op == "broadcast_in_dim"
        ]
        found = [data(class_id).constant, *repeated]
        return next((literal for literal in found if literal is not None), None)

    def of(self, class_id: int, enode: Any, levels: tuple[int, ...] = ()) -> Kernel:
        """The kernel of an e-node whose operands are as far away as `levels` say."""
        egraph = self.egraph
        types = map(egraph.type_id.__getitem__, enode.children)
        key = (egraph.keys[enode.id][0], levels, *types)
        kernel = self._known.get(key)
        if kernel is None:
            operands = tuple(map(egraph.type_of, enode.children))
            type = egraph.type_of(class_id)
            kernel = Kernel(enode.op, enode.attributes, operands, type, levels)
            self._known[key] = kernel
        return kernel


@dataclass(frozen=True)
class Places:
    """Sets of e-classes by where they are; `bytes_held` is what a program reads of all `held` ones.

    `held` are inputs, and what depends on frozen ones alone. `parts` are slices of those, which are
    copied before a product reads them. `prepared` are what loops make of `held` ones alone, as
    weights that are scaled beforehand: all of them lie in memory at the same time. `known` are the
    levels of inputs, and of views of them, that are given.
    """

    held: frozenset[int]
    parts: frozenset[int]
    prepared: frozenset[int]
    bytes_held: int
    known: Mapping[int, int]

    @staticmethod
    def of(kernels: Kernels, bytes_held: int, levels: Sequence[int] | None = None) -> Places:
        """The places of the classes of an e-graph; `levels` are those of its inputs, if known."""
        nodes, data = kernels.nodes, kernels.egraph.data
        held = {c for c in nodes if data(c).is_frozen}
        held |= {c for c, some in nodes.items() if any(n.op == "parameter" for n in some)}
        # The same elements in another shape are the same memory.
        views = list(_views(kernels))
        held = _closed(held, views)
        parts = _closed({part for part, of in _slices(kernels) if of in held}, views)
        prepared = frozenset(_prepared(kernels, held))
        known = {} if levels is None else _given(kernels, levels, views)
        return Places(frozenset(held), frozenset(parts - held), prepared, bytes_held, known)

    def levels(self, enode: Any, kernel: Kernel) -> tuple[int, ...]:
        """How far the operands of a kernel are."""
        pairs = zip(enode.children, map(byte_size, kernel.operands), strict=True)
        return tuple(self._level(child, n) if self._is_distant(child) else 0 for child, n in pairs)

    def level(self, class_id: int, size: int) -> int:
        """How far a value of so many bytes is when a loop reads it."""
        return self._level(class_id, size) if class_id in self.held else 0

    def _is_distant(self, class_id: int) -> bool:
        return class_id in self.held or class_id in self.parts

    def _level(self, class_id: int, size: int) -> int:
        """All that is held is read between two reads of one that is."""
        known = self.known.get(class_id)
        return level_of(self.bytes_held - size, size) if known is None else known


def is_fused(op: str) -> bool:
    """Whether an operation is computed inside the kernels that use it."""
    return op in _MOVEMENT or (op in TABLE and TABLE[op].kind == "elementwise")


def _given(
    kernels: Kernels, levels: Sequence[int], views: Sequence[tuple[int, int]]
) -> dict[int, int]:
    """The levels of the classes that inputs are in, and of views of them."""
    found: dict[int, int] = {}
    for class_id, nodes in kernels.nodes.items():
        for enode in nodes:
            if enode.op == "parameter" and enode.attributes[0] < len(levels):
                found[class_id] = levels[enode.attributes[0]]
    while more := {view: found[of] for view, of in views if of in found and view not in found}:
        found |= more
    return found


def _views(kernels: Kernels) -> Iterator[tuple[int, int]]:
    """Classes with those that they are views of."""
    for class_id, nodes in kernels.nodes.items():
        for enode in nodes:
            if enode.op in BITCASTS and kernels.of(class_id, enode).is_bitcast:
                yield class_id, enode.children[0]


def _slices(kernels: Kernels) -> Iterator[tuple[int, int]]:
    """Classes with those that they are slices of."""
    for class_id, nodes in kernels.nodes.items():
        for enode in nodes:
            if enode.op in ("slice", "dynamic_slice"):
                yield class_id, enode.children[0]


def _closed(found: set[int], views: Sequence[tuple[int, int]]) -> set[int]:
    """Classes, and all that are views of them."""
    while more := {view for view, of in views if of in found} - found:
        found = found | more
    return found


def _prepared(kernels: Kernels, held: set[int]) -> set[int]:
    """Classes that loops make of what is held alone."""
    waiting: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
    found: set[int] = set()
    ready: list[int] = []

    def look(class_id: int, operands: tuple[int, ...]) -> None:
        """Find the class, or wait for the first of its operands that is not there yet."""
        missing = next((i for i in operands if i not in held and i not in found), None)
        if missing is not None:
            waiting.setdefault(missing, []).append((class_id, operands))
        elif class_id not in found:
            found.add(class_id)
            ready.append(class_id)

    for class_id, nodes in kernels.nodes.items():
        for enode in nodes if class_id not in held else ():
            if enode.children and (enode.op == "reshape" or is_fused(enode.op)):
                look(class_id, enode.children)
    while ready:
        for class_id, operands in waiting.pop(ready.pop(), ()):
            look(class_id, operands)
    return found
