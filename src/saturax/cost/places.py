"""Where the values of an e-graph are when a program reads them, and what is new memory.

Values that are in memory before a program runs are read from as far away as all of them are large.
XLA:CPU runs what is ready first: what is made of such values alone is made before all else, and has
been far away ever since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from saturax.cost.distance import MOST_KEPT_BYTES, level_of
from saturax.cost.kernel import BITCASTS, Kernel, byte_size
from saturax.egraph import EGraph
from saturax.graph.operation import TABLE

_MOVEMENT = frozenset({"broadcast_in_dim", "slice", "dynamic_slice", "pad", "reverse"})


@dataclass(frozen=True)
class Places:
    """Sets of e-classes by where they are; `bytes_held` is what a program reads of all `held` ones.

    `held` are inputs, and what depends on frozen ones alone. `parts` are slices of those, which are
    copied before a product reads them. `prepared` are what loops make of `held` ones alone, as
    weights that are scaled beforehand, where they are more than is kept from run to run: all of
    them lie in memory at the same time.
    """

    held: frozenset[int]
    parts: frozenset[int]
    prepared: frozenset[int]
    bytes_held: int

    @staticmethod
    def of(egraph: EGraph, classes: Sequence[int], bytes_held: int) -> Places:
        """The places of these classes of an e-graph."""
        held = {c for c in classes if egraph.data(c).is_frozen}
        held |= {c for c in classes if any(n.op == "parameter" for n in egraph.nodes(c))}
        # The same elements in another shape are the same memory.
        views = list(_views(egraph, classes))
        held = _closed(held, views)
        parts = _closed({part for part, of in _slices(egraph, classes) if of in held}, views)
        is_much = bytes_held > MOST_KEPT_BYTES
        prepared = _prepared(egraph, classes, held) if is_much else set()
        return Places(frozenset(held), frozenset(parts - held), frozenset(prepared), bytes_held)

    def levels(self, egraph: EGraph, enode: Any, kernel: Kernel) -> tuple[int, ...]:
        """How far the operands of a kernel are."""
        pairs = zip(map(egraph.find, enode.children), map(byte_size, kernel.operands), strict=True)
        return tuple(self._level(n) if self._is_distant(child) else 0 for child, n in pairs)

    def level(self, class_id: int, size: int) -> int:
        """How far a value of so many bytes is when a loop reads it."""
        return self._level(size) if class_id in self.held else 0

    def _is_distant(self, class_id: int) -> bool:
        return class_id in self.held or class_id in self.parts

    def _level(self, size: int) -> int:
        """All that is held is read between two reads of one that is."""
        return level_of(self.bytes_held - size, size)


def kernel_of(egraph: EGraph, class_id: int, enode: Any) -> Kernel:
    """The kernel that an e-node stands for."""
    operands = tuple(egraph.type_of(child) for child in enode.children)
    return Kernel(enode.op, enode.attributes, operands, egraph.type_of(class_id))


def is_fused(op: str) -> bool:
    """Whether an operation is computed inside the kernels that use it."""
    return op in _MOVEMENT or (op in TABLE and TABLE[op].kind == "elementwise")


def _views(egraph: EGraph, classes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Classes with those that they are views of."""
    for class_id in classes:
        for enode in egraph.nodes(class_id):
            if enode.op in BITCASTS and kernel_of(egraph, class_id, enode).is_bitcast:
                yield class_id, egraph.find(enode.children[0])


def _slices(egraph: EGraph, classes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Classes with those that they are slices of."""
    for class_id in classes:
        for enode in egraph.nodes(class_id):
            if enode.op in ("slice", "dynamic_slice"):
                yield class_id, egraph.find(enode.children[0])


def _closed(found: set[int], views: Sequence[tuple[int, int]]) -> set[int]:
    """Classes, and all that are views of them."""
    while more := {view for view, of in views if of in found} - found:
        found = found | more
    return found


def _prepared(egraph: EGraph, classes: Sequence[int], held: set[int]) -> set[int]:
    """Classes that loops make of what is held alone."""
    made = [
        (class_id, tuple(map(egraph.find, enode.children)))
        for class_id in classes
        if class_id not in held
        for enode in egraph.nodes(class_id)
        if enode.children and (enode.op == "reshape" or is_fused(enode.op))
    ]
    found: set[int] = set()
    while more := {c for c, of in made if all(i in held or i in found for i in of)} - found:
        found |= more
    return found
