"""What a class costs when every class below it is paid once: fixpoint of class cost sets.

The heart of `dag_greedy`. For each class the set of classes that its cheapest known program needs
is kept, and its total; where a class becomes cheaper, its users are looked at again.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping

import numpy as np

from saturax.extract.problem import Problem, Selection

# A class may improve many times before the sets settle; more visits than this never paid off.
_VISITS_PER_CLASS = 30
# Above this many new bits, listing them one by one costs more than unpacking the whole set.
_FEW_BITS = 24
# Differences below this share of a total are rounding.
_SAME = 1e-12


def settle_cost_sets(problem: Problem, start: Mapping[int, int]) -> Selection:
    """The node of every class of `start` that is cheapest when what is below is paid once.

    `start` is an acyclic choice for all feasible classes, each after the children of its node.
    The outcome may have cycles among its wishes: `derive` settles them.
    """
    return _CostSets(problem, start).settle()


class _CostSets:
    """Classes by their place in `start`, so that users mostly come after what they use.

    A set of classes is an integer with one bit per place: sets of classes near the leaves are
    short. The total of a union is that of its dearest part plus the bits that the others add.
    """

    def __init__(self, problem: Problem, start: Mapping[int, int]) -> None:
        self.order = list(start)
        place = {owner: index for index, owner in enumerate(self.order)}
        count = len(self.order)
        self.nodes: list[list[tuple[float, int, tuple[int, ...]]]] = []
        users: list[set[int]] = [set() for _ in range(count)]
        for index, owner in enumerate(self.order):
            alternatives = []
            for node in problem.members[owner]:
                places = [place.get(child, -1) for child in problem.children[node]]
                if problem.cost_us[node] == math.inf or -1 in places or index in places:
                    continue
                alternatives.append((problem.cost_us[node], node, tuple(places)))
                for child in places:
                    users[child].add(index)
            self.nodes.append(sorted(alternatives))
        self.users = users
        self.below = [0] * count
        self.total = [math.inf] * count
        self.price = np.zeros(count)
        self.choice = [-1] * count

    def settle(self) -> Selection:
        """Look at every class, children before users, until nothing becomes cheaper."""
        count = len(self.order)
        waiting = list(range(count))  # ascending, so a heap
        is_waiting = bytearray(b"\1" * count)
        visits = [0] * count
        while waiting:
            place = heapq.heappop(waiting)
            is_waiting[place] = 0
            if not self._improve(place):
                continue
            visits[place] += 1
            if visits[place] > _VISITS_PER_CLASS:
                continue
            for user in self.users[place]:
                if not is_waiting[user]:
                    is_waiting[user] = 1
                    heapq.heappush(waiting, user)
        return {self.order[p]: node for p, node in enumerate(self.choice) if node >= 0}

    def _improve(self, place: int) -> bool:
        """Take the cheapest node of a class if it is cheaper than what was known."""
        total, below = self.total, self.below
        limit = total[place] * (1 - _SAME)
        found = False
        for cost, node, children in self.nodes[place]:
            if cost >= limit:
                break  # nodes come in the order of their own prices
            united, sum_us = 0, 0.0
            if children:
                dearest = max(children, key=total.__getitem__)
                sum_us = total[dearest]
                if sum_us + cost >= limit:
                    continue  # the others can only add to it
                united = below[dearest]
                for child in children:
                    extra = below[child] & ~united
                    if extra:
                        united |= extra
                        sum_us += self._sum_of(extra)
                if united.bit_length() > place and united >> place & 1:
                    continue  # the children need this class
            if sum_us + cost < limit:
                limit, found = sum_us + cost, True
                self.choice[place], self.price[place] = node, cost
                below[place] = united | 1 << place
        if found:
            total[place] = limit
        return found

    def _sum_of(self, bits: int) -> float:
        """Sum of the prices of a set."""
        if bits.bit_count() > _FEW_BITS:
            packed = np.frombuffer(bits.to_bytes((bits.bit_length() + 7) // 8, "little"), np.uint8)
            chosen = np.unpackbits(packed, bitorder="little").nonzero()[0]
            return float(self.price[chosen].sum())
        result = 0.0
        while bits:
            low = bits & -bits
            result += float(self.price[low.bit_length() - 1])
            bits ^= low
        return result
