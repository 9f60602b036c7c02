"""Local search by switches: another node for one class at a time, with exact DAG costs.

Reference counts make a switch cost only what it changes. When an arbiter is given (`evaluate`:
the true objective, which need not be a sum over nodes), it decides and the prices only propose.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from saturax.extract.greedy import tree_choices
from saturax.extract.problem import Problem, Selection, dag_cost, restrict

Evaluate = Callable[[Selection], float]

# A change smaller than this share of the cost is rounding, not an improvement.
IMPROVEMENT = 1e-9
# With an arbiter, a switch is worth its opinion if the prices see at most this loss.
_WORTH_ASKING = 0.02
_POOL_SIZE = 16


@dataclass(eq=False)
class Pool:
    """The best distinct selections seen, best first."""

    size: int = _POOL_SIZE
    entries: list[tuple[float, int, Selection]] = field(default_factory=list)
    _seen: set[frozenset[tuple[int, int]]] = field(default_factory=set)
    _count: int = 0

    def add(self, selection: Selection, cost_us: float) -> None:
        """Keep the selection if it is new and among the best."""
        key = frozenset(selection.items())
        if key in self._seen:
            return
        self._seen.add(key)
        self._count += 1
        self.entries.append((cost_us, self._count, selection))
        self.entries.sort(key=lambda entry: entry[:2])
        del self.entries[self.size :]

    def __iter__(self) -> Iterator[tuple[Selection, float]]:
        return ((selection, cost_us) for cost_us, _, selection in self.entries)

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The best selection, its cost by the arbiter (or the prices), and what was done."""

    selection: Selection
    cost_us: float
    iterations: int
    stop_reason: str


def draw_prices(problem: Problem, draw: random.Random, spread: float) -> list[float]:
    """Prices times one random log-normal factor per node signature (per node without them)."""
    if problem.signatures is None:
        return [cost * math.exp(spread * draw.gauss(0, 1)) for cost in problem.cost_us]
    factor = {
        kind: math.exp(spread * draw.gauss(0, 1)) for kind in dict.fromkeys(problem.signatures)
    }
    kinds = problem.signatures
    return [cost * factor[kind] for cost, kind in zip(problem.cost_us, kinds, strict=True)]


def switch_search(
    problem: Problem,
    incumbent: Selection,
    *,
    deadline: float = math.inf,
    evaluate: Evaluate | None = None,
    pool: Pool | None = None,
    fallback: Mapping[int, int] | None = None,
    among: Iterable[int] | None = None,
) -> SearchResult:
    """Switch one class at a time to another node while that helps; deterministic if not cut off.

    Classes that become needed take their node of `fallback`, an acyclic choice for all feasible
    classes (default: `tree_choices`). With `among`, only these classes are tried at first; a
    switch then adds its neighbours.
    """
    state = _Switches(problem, incumbent, tree_choices(problem) if fallback is None else fallback)
    best_us = dag_cost(problem, incumbent) if evaluate is None else evaluate(dict(incumbent))
    queue = deque(state.chosen if among is None else among)
    queued = set(queue)
    tried = 0
    while queue:
        if time.monotonic() > deadline:
            break
        owner = queue.popleft()
        queued.discard(owner)
        if not state.count.get(owner):
            continue
        for node in problem.members[owner]:
            old = state.chosen[owner]
            if node == old or not state.admits(owner, node):
                continue
            tried += 1
            change_us, undo = state.switch(owner, node)
            if evaluate is not None:
                change_us = _ask(state, change_us, best_us, evaluate, pool)
            if change_us >= -IMPROVEMENT * best_us:
                state.switch(owner, old, undo)
                continue
            best_us += change_us
            for neighbour in state.neighbours(owner, (node, old)):
                if neighbour not in queued:
                    queued.add(neighbour)
                    queue.append(neighbour)
    best = state.selection()
    best_us = dag_cost(problem, best) if evaluate is None else evaluate(best)
    return SearchResult(best, best_us, tried, "time limit" if queue else "no switch helps")


def _ask(
    state: _Switches, change_us: float, best_us: float, evaluate: Evaluate, pool: Pool | None
) -> float:
    """Change of the true cost by the switch just made, if the prices think it worth asking."""
    if change_us > _WORTH_ASKING * best_us:
        return math.inf
    candidate = state.selection()
    cost_us = evaluate(candidate)
    if pool is not None:
        pool.add(candidate, cost_us)
    return cost_us - best_us


class _Switches:
    """A selection with reference counts, so that a switch costs only what it changes."""

    def __init__(
        self, problem: Problem, incumbent: Mapping[int, int], fallback: Mapping[int, int]
    ) -> None:
        self.problem = problem
        needed = restrict(problem, incumbent)
        self.fallback = fallback
        self.chosen: Selection = dict(needed)
        self.count: dict[int, int] = {}
        for root in problem.roots:
            self._require(root, needed)

    def selection(self) -> Selection:
        return {owner: self.chosen[owner] for owner, count in self.count.items() if count}

    def neighbours(self, owner: int, nodes: Iterable[int]) -> list[int]:
        """Needed classes next to the class: its users, and the children of these nodes."""
        problem = self.problem
        near = [child for node in nodes for child in problem.children[node]]
        near += [problem.node_class[parent] for parent in problem.parents[owner]]
        return [neighbour for neighbour in (*near, owner) if self.count.get(neighbour)]

    def admits(self, owner: int, node: int) -> bool:
        """Whether the node is usable and does not need its own class under current choices."""
        problem = self.problem
        if problem.cost_us[node] == math.inf:
            return False
        label = problem.component[owner]
        stack = list(problem.children[node])
        seen = set(stack)
        while stack:
            child = stack.pop()
            if child == owner:
                return False
            chosen = self.chosen[child] if self.count.get(child) else self.fallback.get(child)
            if chosen is None:
                return False
            if problem.component[child] == label:
                fresh = [below for below in problem.children[chosen] if below not in seen]
                seen.update(fresh)
                stack += fresh
        return True

    def switch(
        self, owner: int, node: int, wish: Mapping[int, int] | None = None
    ) -> tuple[float, Selection]:
        """Choose the node for a needed class; classes that become needed follow `wish`.

        Returns the change of cost in microseconds, and the choices of classes no longer needed,
        which is the wish that takes the switch back.
        """
        old = self.chosen[owner]
        self.chosen[owner] = node
        change_us = self.problem.cost_us[node] - self.problem.cost_us[old]
        for child in self.problem.children[node]:
            change_us += self._require(child, wish or {})
        released: Selection = {}
        for child in self.problem.children[old]:
            self._release(child, released)
        change_us -= sum(self.problem.cost_us[gone] for gone in released.values())
        return change_us, released

    def _require(self, owner: int, wish: Mapping[int, int]) -> float:
        added_us = 0.0
        stack = [owner]
        while stack:
            current = stack.pop()
            count = self.count.get(current, 0)
            self.count[current] = count + 1
            if not count:
                node = wish[current] if current in wish else self.fallback[current]
                self.chosen[current] = node
                added_us += self.problem.cost_us[node]
                stack.extend(self.problem.children[node])
        return added_us

    def _release(self, owner: int, released: Selection) -> None:
        stack = [owner]
        while stack:
            current = stack.pop()
            self.count[current] -= 1
            if not self.count[current]:
                released[current] = self.chosen[current]
                stack.extend(self.problem.children[self.chosen[current]])
