"""How often XLA:CPU computes a value inside a kernel, which decides whether it is in it at all.

A loop asks for an element of a value at an index. Operations that keep their operands' shapes ask
at the index that they were asked at; others make an index of their own, and what they ask for is
computed for each of them anew. Of jaxlib 0.10.2's `FusionNodeIndexingEvaluation`.

What is asked for at several indices is a function of the index, which reads where a dynamic slice
begins anew at each call: a loop with such a call does one element at a time. Two steps of
Floyd and Warshall's algorithm in one kernel take 75 µs, and one takes 8 (256×256, AMD EPYC 26/2).

So does a loop that asks where an element is, if the compiler has too much before it to see what
the answers have in common: `roll` of a chain of 120 operations takes 2.4 ns an element, of 240
(counted in both branches) 30. Less is in the way of vectors elsewhere: two rolls along the rows in
one kernel take 0.11 ns an operation instead of 0.04, zeros around what has zeros around it inside
0.1 to 0.17, and around what is seen in another shape 0.13 (65,536 floats, one core, AMD EPYC 26/2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from saturax.graph.ir import Node
from saturax.graph.types import Type

# A value that would be computed more often in one loop is written to memory.
_MOST_EMITTED = 15
# They branch for each element, and what is computed in a branch is at hand in no other.
_BRANCHING = frozenset({"pad", "concatenate", "dynamic_update_slice", "reduce"})
# They ask for no more elements of their operand than they have.
_PICKING = frozenset({"slice", "dynamic_slice", "gather"})
# One element at a time takes so many times as long: 75 µs for 14 where two such steps are at places
# that the compiler knows, 53 for 12 where a sum of shifted copies is (less 6 µs for the call).
_ONE_BY_ONE = 8.0
# A loop with branches and more operations than this, counted in each, does one element at a time,
# too: with 120 to 162 of them 0.04 ns an operation, with 190 to 800 of them 0.15 to 0.5.
_MOST_IN_BRANCHES = 170
# With each of these a loop takes so many times as long, one element at a time at most.
_IN_THE_WAY, _FEW_VIEWS = 3.0, 2
_ELEMENTWISE = frozenset({"unary", "binary", "ternary"})
_IN_ROWS, _AGAIN = "concatenate in rows", "arithmetic at several indices"
_ROOT = -1


class Emissions:
    """Of every value and every kernel that it is in, the operations that ask for it.

    Values are told from the last to the first: what is in a kernel, and what each of them is.
    `users[i]` are the operations that read node i; what `is_constant` follows from constants alone.
    """

    def __init__(
        self, nodes: Sequence[Node], users: Sequence[Sequence[int]], is_constant: Sequence[bool]
    ) -> None:
        self._nodes, self._users, self._is_constant = nodes, users, is_constant
        # By node: the root of each kernel that it is in, with those that ask it, and how often.
        self._asking: list[dict[int, frozenset[int]]] = [{} for _ in nodes]
        self._times: list[dict[int, int]] = [{} for _ in nodes]
        self._computed: list[dict[int, float]] = [{} for _ in nodes]
        self._members: Counter[int] = Counter()
        self._one_by_one: set[int] = set()  # kernels
        self._operations: Counter[int] = Counter()  # of a kernel, as often as they are emitted
        self._branches: Counter[int] = Counter()
        self._kinds: Counter[tuple[int, str]] = Counter()  # operations of each kind, too

    def write(self, index: int) -> None:
        """A kernel writes the value."""
        self._asking[index], self._times[index] = {index: frozenset({_ROOT})}, {index: 1}
        self._computed[index] = {index: 1.0}
        self._members[index] += 1
        self._note(index, index)

    def take_in(self, index: int) -> None:
        """The kernels of all its users compute the value."""
        self._take_in(index, self._asked_by(index))

    def copy(self, index: int, is_loop: Callable[[int], bool]) -> None:
        """A kernel writes the value, and those of its users' kernels that are loops compute it."""
        self.write(index)
        asked = self._asked_by(index)
        self._take_in(index, {kernel: asked[kernel] for kernel in asked if is_loop(kernel)})

    def _take_in(self, index: int, asked: Mapping[int, frozenset[int]]) -> None:
        self._asking[index] |= asked
        for kernel, asking in asked.items():
            self._times[index][kernel] = self._emitted(asking, kernel)
            self._computed[index][kernel] = sum(
                1.0 if user == _ROOT else self._computed[user][kernel] * self._share(user, index)
                for user in asking
            )
            self._members[kernel] += 1
            if self._times[index][kernel] > 1 and self._is_somewhere(index):
                self._one_by_one.add(kernel)
            self._note(index, kernel)

    def _note(self, index: int, kernel: int) -> None:
        """Count what decides how fast a kernel is with an operation in it."""
        node, times = self._nodes[index], self._times[index][kernel]
        if node.op in _ELEMENTWISE:
            self._operations[kernel] += times
            self._kinds[kernel, _AGAIN] += times > 1
        elif node.op != "concatenate":
            self._kinds[kernel, node.op] += times
        else:
            is_in_rows = node.attributes[0] == len(_shape(node.type) or ()) - 1
            self._kinds[kernel, _IN_ROWS if is_in_rows else node.op] += times

    def _slowness(self, kernel: int) -> float:
        """How many times as long an operation takes in a kernel as in a vectorised loop."""
        pads, in_rows = self._kinds[kernel, "pad"], self._kinds[kernel, _IN_ROWS]
        has_branches = pads or in_rows or self._kinds[kernel, "concatenate"]
        has_much = self._operations[kernel] > _MOST_IN_BRANCHES and has_branches
        if kernel in self._one_by_one or has_much:
            return _ONE_BY_ONE
        views = self._kinds[kernel, "reshape"] if pads else 0
        joins_computed = in_rows > 1 and self._kinds[kernel, _AGAIN] > 0
        in_the_way = joins_computed + (pads > 1) + (views > 0) + (views > _FEW_VIEWS)
        return min(_IN_THE_WAY**in_the_way, _ONE_BY_ONE)

    def reads(self, index: int) -> tuple[float, float]:
        """How often kernels read a value from memory, a part of it as a part, and what is more.

        That is how many further reads of all of it take as long, in times of a vectorised loop.
        """
        often = more = 0.0
        for kernel, asking in self._asked_by(index).items():
            asked = sum(self._share(user, index) for user in asking)
            often += min(1.0, asked)
            more += self._slowness(kernel) * asked - min(1.0, asked)
        return often, more

    def _is_somewhere(self, index: int) -> bool:
        """Whether a value is a part that begins where other values say."""
        node = self._nodes[index]
        starts = node.operands[1:] if node.op == "dynamic_slice" else ()
        return not all(self._is_constant[start] for start in starts)

    def are_too_many(self, index: int) -> bool:
        """Whether the kernels of its users would compute the value too often.

        The first that a kernel takes in is not counted.
        """
        op = self._nodes[index].op
        if op == "broadcast_in_dim":
            return False
        uses = sum(len(self._times[user]) for user in self._users[index])
        for kernel, asking in self._asked_by(index).items():
            emitted = self._emitted(asking, kernel)
            is_repeated = op in _BRANCHING and max(emitted, uses) > 1
            if self._members[kernel] > 1 and (emitted > _MOST_EMITTED or is_repeated):
                return True
        return False

    def times_computed(self, index: int) -> float:
        """How often all kernels together compute the value; a third of it counts as a third.

        Kernels that do one element at a time count as those that would take as long.
        """
        return sum(self._times_in(kernel, index) for kernel in self._computed[index])

    def _times_in(self, kernel: int, index: int) -> float:
        times = self._computed[index][kernel]
        if self._is_read(kernel, index):  # which is near when a loop comes to it again
            times = min(times, len(self._asking[index][kernel]))
        return times * self._slowness(kernel)

    def _is_read(self, kernel: int, index: int) -> bool:
        """Whether a part is taken out of what lies in memory."""
        if self._nodes[index].op not in _PICKING:
            return False
        place = self._nodes[index].operands[0]
        while self._nodes[place].op == "reshape":
            place = self._nodes[place].operands[0]
        return kernel not in self._asking[place]

    def times_if_taken_in(self, index: int) -> float:
        """How often the kernels of its users would compute a value together."""
        return sum(
            1.0 if user == _ROOT else self._computed[user][kernel] * self._share(user, index)
            for kernel, asking in self._asked_by(index).items()
            for user in asking
        )

    def are_several(self, index: int) -> bool:
        """Whether more than one kernel would compute the value."""
        return len(self._asked_by(index)) > 1

    def _asked_by(self, index: int) -> dict[int, frozenset[int]]:
        """Those that ask for a value, by kernel."""
        found: dict[int, frozenset[int]] = {}
        for user in self._users[index]:
            node = self._nodes[user]
            keeps_index = node.op == "transpose" or _shape(node.type) == _shape(
                self._nodes[index].type
            )
            for kernel, asking in self._asking[user].items():
                more = asking if keeps_index else frozenset({user})
                found[kernel] = found.get(kernel, frozenset()) | more
        return found

    def _share(self, user: int, index: int) -> float:
        """Of the elements of a value, how many (or how often all) what asks for it needs."""
        if self._nodes[user].op == "broadcast_in_dim":
            if self._is_merged(user):
                return _size(self._nodes[user].type) / max(1, _size(self._nodes[index].type))
            return _rounds(self._nodes[user], self._nodes[index].type)
        if self._nodes[user].op not in _PICKING:
            return 1.0
        return min(1.0, _size(self._nodes[user].type) / max(1, _size(self._nodes[index].type)))

    def _is_merged(self, index: int) -> bool:
        """Whether what reads a value goes through several of its dimensions in one loop."""
        own = [n for n in _shape(self._nodes[index].type) or () if n != 1]
        return any(
            self._nodes[user].op == "reshape"
            and [n for n in _shape(self._nodes[user].type) or () if n != 1] != own
            for user in self._users[index]
        )

    def _emitted(self, asking: frozenset[int], kernel: int) -> int:
        return sum(1 if user == _ROOT else self._times[user][kernel] for user in asking)


def _rounds(broadcast: Node, of: Type) -> int:
    """How often a loop over a repeated value goes through what it repeats.

    What does not change in the inner dimensions is computed before those.
    """
    shape: Any = broadcast.attributes[0]
    places: Any = broadcast.attributes[1]
    own = [d for d, n in zip(places, _shape(of) or (), strict=True) if n != 1]
    return prod(n for d, n in enumerate(shape[: max(own, default=0)]) if d not in own)


def _size(type: Type) -> int:
    return prod(_shape(type) or ())


def _shape(type: Type) -> tuple[int, ...] | None:
    return getattr(type, "shape", None)
