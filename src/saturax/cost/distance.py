"""How far an operand is from the processor when it is read, by what was read since the last time.

A weight that is read again only when everything else has been read in between is no longer in the
nearest cache, however often a program runs. Distances are told apart by powers of four between a
core's own cache and main memory.
"""

from __future__ import annotations

from collections import defaultdict

from saturax.cost.kernel import byte_size
from saturax.graph.ir import Graph

REUSE_BYTES = (0, 4 << 20, 16 << 20, 64 << 20)
"""At level i an input is measured in turns with others of so many bytes in all."""

# Smaller inputs are not worth telling hot from cold.
_SMALLEST_COLD_BYTES = 1 << 15
_LIMITS_BYTES = (1 << 20, 8 << 20, 32 << 20)
MOST_KEPT_BYTES = 32 << 20
"""Larger blocks of memory the C library gives back to the system, which clears them when they are
asked for again: as XLA:CPU does in each run of a program for all its temporary values together."""
# They read a part of their operand as large as their result.
_WINDOWS = ("gather", "slice", "dynamic_slice")


def level_of(distance_bytes: int, size_bytes: int) -> int:
    """The level of an input of this size that is read again after so many bytes of others."""
    if size_bytes < _SMALLEST_COLD_BYTES:
        return 0
    return sum(distance_bytes > limit for limit in _LIMITS_BYTES)


class Touched:
    """What was read and written since a value was touched last, each other value counted once."""

    def __init__(self, most_touches: int) -> None:
        # A Fenwick tree over the moments of touching: each value's bytes stand at its last one.
        self._tree = [0] * (most_touches + 1)
        self._last: dict[int, tuple[int, int]] = {}
        self._now = self._total = 0

    def bytes_since(self, value: int) -> int:
        """Bytes of other values since `value` was touched; 0 if it never was.

        >>> touched = Touched(4)
        >>> for value in (0, 1, 1, 2):
        ...     touched.touch(value, 8)
        >>> touched.bytes_since(0)
        16
        """
        if value not in self._last:
            return 0
        moment, before = self._last[value][0], 0
        while moment:
            before += self._tree[moment]
            moment -= moment & -moment
        return self._total - before

    def touch(self, value: int, size: int) -> None:
        """So many bytes of a value are read or written now."""
        if value in self._last:
            moment, old = self._last[value]
            self._add(moment, -old)
        self._now += 1
        self._last[value] = self._now, size
        self._add(self._now, size)

    def _add(self, moment: int, size: int) -> None:
        self._total += size
        while moment < len(self._tree):
            self._tree[moment] += size
            moment += moment & -moment


def held_bytes(graph: Graph) -> int:
    """What a program reads of all that it holds from run to run: weights, say, and other inputs.

    Between two reads of one of them it reads the others: also where it reads some several times,
    as a recurrence does.
    """
    return sum(bytes_read(graph).values())


def bytes_read(graph: Graph) -> dict[int, int]:
    """What is read of each parameter and constant of a graph, by its node: a part, or all of it."""
    held = [node.op in ("parameter", "constant") for node in graph.nodes]
    read: dict[int, int] = defaultdict(int)
    for node in graph.nodes:
        for operand in node.operands:
            if held[operand]:
                part = node if node.op in _WINDOWS else graph.nodes[operand]
                read[operand] += byte_size(part.type)
    return {index: min(byte_size(graph.nodes[index].type), n) for index, n in read.items()}
