"""Which classes does every selection of a class contain? (The dominators of an e-graph.)

R(c) = {c} ∪ ⋂_{n∈c} ⋃_{d∈children(n)} R(d), the greatest solution. By induction over the height of
a selection, every acyclic selection of c contains all of R(c), and below c all of it but c. R is
transitive: d ∈ R(c) implies R(d) ⊆ R(c).
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# Sets of classes are bit masks; past this many classes they would take hundreds of megabytes.
_CLASS_LIMIT = 30_000


@dataclass(frozen=True, eq=False)
class RequiredSets:
    """R of classes, as bit masks.

    Bits are numbered in `order`, where every class comes after the children of one of its nodes,
    so that R(c) has bits of c and of earlier classes only.
    """

    order: Sequence[int]
    bit: Mapping[int, int]
    below: Mapping[int, int]

    def mask(self, classes: Iterable[int]) -> int:
        """Mask of just these classes."""
        mask = 0
        for owner in classes:
            mask |= self.bit[owner]
        return mask

    def union(self, classes: Iterable[int]) -> int:
        """Mask of all that these classes need."""
        mask = 0
        for owner in classes:
            mask |= self.below[owner]
        return mask

    def without_implied(self, classes: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the classes that no other of them brings along."""
        below, bit = self.below, self.bit
        return tuple(
            one
            for one in classes
            if not any(below[other] & bit[one] for other in classes if other != one)
        )


def find_required(
    order: Sequence[int],
    members: Mapping[int, Sequence[int]],
    children: Sequence[Sequence[int]],
    deadline: float = math.inf,
) -> RequiredSets | None:
    """R of the classes of `order`, which must hold all children of their `members` (nodes).

    Found from above (a class not yet visited counts as "everything"), so that only the finished
    fixpoint is a true statement. None if there are too many classes or `deadline` passes.
    """
    if len(order) > _CLASS_LIMIT:
        return None
    place = {owner: index for index, owner in enumerate(order)}
    users: list[set[int]] = [set() for _ in order]
    for owner in order:
        for node in members[owner]:
            for child in children[node]:
                users[place[child]].add(place[owner])
    bit = {owner: 1 << index for index, owner in enumerate(order)}
    below: dict[int, int] = {}
    # Children before users: a class is seldom looked at before its children have settled.
    waiting = list(range(len(order)))  # ascending, so a heap
    is_waiting = bytearray(b"\1" * len(order))
    steps = 0
    while waiting:
        steps += 1
        if steps % 256 == 0 and time.monotonic() > deadline:
            return None
        here = heapq.heappop(waiting)
        is_waiting[here] = 0
        owner = order[here]
        mask = bit[owner] | _required_by_all(members[owner], children, below)
        if below.get(owner) != mask:
            below[owner] = mask
            for user in users[here]:
                if not is_waiting[user]:
                    is_waiting[user] = 1
                    heapq.heappush(waiting, user)
    return RequiredSets(order, bit, below)


def _required_by_all(
    nodes: Sequence[int], children: Sequence[Sequence[int]], below: Mapping[int, int]
) -> int:
    shared = -1
    for node in nodes:
        mask = 0
        for child in children[node]:
            if child not in below:
                break
            mask |= below[child]
        else:
            shared &= mask
    return shared
