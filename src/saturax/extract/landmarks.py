"""Lower bounds by landmarks: sets of nodes of which every selection has at least one.

To derive classes from nothing by nodes, each paid once however often its class is used, is what
planners call a delete relaxation (classes are facts, nodes are actions), and a cut between nothing
and the roots in a graph that keeps one child of every node is a landmark, cycles or not. Taking
cuts until the dearest way to the roots is free, and what each costs at least off the prices, bounds
any selection from below; the landmarks themselves are rows that lift a linear relaxation.
(LM-cut; Helmert and Domshlak 2009. Cuts and sharing: Bonet and Helmert 2010.)
"""

from __future__ import annotations

import heapq
import math
import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from saturax.extract.problem import Problem

# What is left of the prices is nothing once the dearest way costs this share of the bound.
_NOTHING = 1e-5
_FOUND: WeakKeyDictionary[Problem, Landmarks] = WeakKeyDictionary()


@dataclass(frozen=True)
class Landmarks:
    """A lower bound of any selection's cost, and the sets of nodes that it was found by.

    `least_us[n]` bounds the cost of the selections that have node n.
    """

    bound_us: float
    sets: tuple[tuple[int, ...], ...]
    least_us: tuple[float, ...]


def find_landmarks(problem: Problem, deadline: float = math.inf) -> Landmarks:
    """Landmarks until the dearest way to the roots is free, or until `deadline` (`time.monotonic`).

    All of them are found once a problem.

    >>> problem = Problem.build(2, [(0, 1.0, [1]), (0, 9.0, []), (1, 2.0, [])], [0])
    >>> find_landmarks(problem).bound_us
    3.0
    """
    known = _FOUND.get(problem)
    if known is None:
        known = _Cuts(problem).all(deadline)
        if time.monotonic() <= deadline:
            _FOUND[problem] = known
    return known


class _Cuts:
    """The prices that are left, and for every class what its dearest way costs.

    `way_us[c]` is the least over its nodes of their prices and the dearest of their children.
    Class `goal` stands for all roots: its only node needs them.
    """

    def __init__(self, problem: Problem) -> None:
        self.goal = problem.class_count
        self.cost = [*problem.cost_us, 0.0]
        self.owner = [*problem.node_class, self.goal]
        self.children = [*problem.children, problem.roots]
        self.members = [*problem.members, (len(problem.node_class),)]
        self.users = [list(nodes) for nodes in problem.parents]
        for root in problem.roots:
            self.users[root].append(len(problem.node_class))
        self.users.append([])
        self.leaves = [n for n, some in enumerate(self.children) if not some]
        self.way_us = [math.inf] * (self.goal + 1)
        # The dearest child of each node; of a leaf the nothing that all begins with.
        self.nothing = self.goal + 1
        self.dearest = [self.nothing] * len(self.cost)
        self._settle()

    def all(self, deadline: float) -> Landmarks:
        bound_us = 0.0
        found: list[tuple[int, ...]] = []
        while _NOTHING * bound_us < self.way_us[self.goal] < math.inf:
            if time.monotonic() > deadline:
                break
            cut = self._cut()
            least_us = min(self.cost[node] for node in cut)
            if least_us <= 0:
                break
            bound_us += least_us
            found.append(tuple(cut))
            for node in cut:
                self.cost[node] -= least_us
            self._lower(cut)
        # Besides the landmarks, a selection pays what is left of the ways to its nodes.
        left_us = map(self._way_us, range(self.owner.index(self.goal)))
        return Landmarks(bound_us, tuple(found), tuple(bound_us + us for us in left_us))

    def _way_us(self, node: int) -> float:
        """The price of a node, and the dearest way to a child."""
        return self.cost[node] + max(map(self.way_us.__getitem__, self.children[node]), default=0.0)

    def _settle(self) -> None:
        """The ways to all classes, cheapest first (Knuth's generalisation of Dijkstra)."""
        missing = [len(some) for some in self.children]
        heap = [(self.cost[n], n) for n in self.leaves if self.cost[n] < math.inf]
        heapq.heapify(heap)
        while heap:
            way_us, node = heapq.heappop(heap)
            owner = self.owner[node]
            if self.way_us[owner] < math.inf:
                continue
            self.way_us[owner] = way_us
            for user in self.users[owner]:
                missing[user] -= 1
                if not missing[user]:
                    self.dearest[user] = owner  # the last one to be settled
                    if self.cost[user] < math.inf:
                        heapq.heappush(heap, (way_us + self.cost[user], user))
        self.is_usable = [
            not missing[node] and cost < math.inf for node, cost in enumerate(self.cost)
        ]

    def _cut(self) -> list[int]:
        """The nodes by which classes with a free way to the goal are reached from elsewhere."""
        zone = {self.goal}
        stack = [self.goal]
        entries: list[int] = []
        while stack:
            for node in self.members[stack.pop()]:
                child = self.dearest[node]
                if not self.is_usable[node] or child in zone:
                    continue
                if self.cost[node] > 0:
                    entries.append(node)
                else:
                    zone.add(child)
                    stack.append(child)
        known = {self.nothing: True}
        return [node for node in entries if self._is_reached(self.dearest[node], zone, known)]

    def _is_reached(self, owner: int, zone: set[int], known: dict[int, bool]) -> bool:
        """Whether a class is reached from nothing without a class of the zone.

        Without those that are not, the cut is smaller, and less comes off the prices in vain.
        """
        if owner in zone or owner in known:
            return known.get(owner, False)
        seen = {owner}
        stack = [owner]
        while stack:
            for node in self.members[stack.pop()]:
                child = self.dearest[node]
                if not self.is_usable[node] or child in zone or child in seen:
                    continue
                if known.get(child, False):
                    known[owner] = True
                    return True
                if child not in known:
                    seen.add(child)
                    stack.append(child)
        known.update(dict.fromkeys(seen, False))
        return False

    def _lower(self, cheaper: list[int]) -> None:
        """The ways after some nodes have become cheaper."""
        way_us = self.way_us
        heap = []
        for node in cheaper:
            if self._way_us(node) < way_us[self.owner[node]]:
                heap.append((self._way_us(node), self.owner[node]))
        heapq.heapify(heap)
        while heap:
            now_us, owner = heapq.heappop(heap)
            if now_us >= way_us[owner]:
                continue
            way_us[owner] = now_us
            for user in self.users[owner]:
                if self.dearest[user] != owner or not self.is_usable[user]:
                    continue
                child = max(self.children[user], key=way_us.__getitem__)
                self.dearest[user] = child
                total_us = way_us[child] + self.cost[user]
                if total_us < way_us[self.owner[user]]:
                    heapq.heappush(heap, (total_us, self.owner[user]))
