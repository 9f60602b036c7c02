"""Local search by switches: another node for one class at a time, with exact DAG costs.

Reference counts make a switch cost only what it changes. When an arbiter is given (`evaluate`:
the true objective, which need not be a sum over nodes), it decides and the prices only propose.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from saturax.extract.greedy import tree_choices
from saturax.extract.problem import Problem, Selection, restrict, selected_us

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
) -> SearchResult:
    """Switch one class at a time to another node while that helps; deterministic if not cut off."""
    state = Switches(problem, incumbent)
    judge = None
    if evaluate is not None:
        judge = _Judge(state, evaluate(dict(incumbent)), evaluate, pool)
    state.descend(problem.cost_us, list(state.chosen), deadline, judge)
    best = state.selection()
    best_us = selected_us(problem, best) if judge is None else judge.best_us
    reason = "time limit" if time.monotonic() > deadline else "no switch helps"
    return SearchResult(best, best_us, state.tried, reason)


@dataclass(eq=False)
class _Judge:
    """Asks the arbiter about switches that the prices think worth asking about."""

    state: Switches
    best_us: float
    evaluate: Evaluate
    pool: Pool | None

    def __call__(self, change_us: float) -> bool:
        """Whether the switch just made, of this change of price, is an improvement."""
        if change_us > _WORTH_ASKING * self.best_us:
            return False
        candidate = self.state.selection()
        cost_us = self.evaluate(candidate)
        if self.pool is not None:
            self.pool.add(candidate, cost_us)
        if not cost_us < self.best_us * (1 - IMPROVEMENT):
            return False
        self.best_us = cost_us
        return True


@dataclass(frozen=True)
class Change:
    """A switch of a class from node `old` to `new`, and the choices that came and went with it."""

    owner: int
    old: int
    new: int
    added: Selection
    released: Selection

    def cost_us(self, cost: Sequence[float]) -> float:
        """Change of the DAG cost at these prices per node."""
        change = cost[self.new] - cost[self.old]
        for node in self.added.values():
            change += cost[node]
        for node in self.released.values():
            change -= cost[node]
        return change


class Switches:
    """A selection with reference counts, so that a switch costs only what it changes.

    Classes that become needed take their tree-cheapest node: those choices are acyclic together,
    so that a new cycle could only run through the switched class.
    """

    def __init__(
        self,
        problem: Problem,
        incumbent: Mapping[int, int],
    ) -> None:
        self.problem = problem
        self.fallback = tree_choices(problem)
        self.chosen = restrict(problem, incumbent)
        self.count: dict[int, int] = {}
        self.tried = 0
        self.rounding_us = IMPROVEMENT * sum(problem.cost_us[n] for n in self.chosen.values())
        wish = dict(self.chosen)
        for root in problem.roots:
            self._require(root, wish, {})

    def selection(self) -> Selection:
        """The choices of the needed classes."""
        return {owner: self.chosen[owner] for owner, count in self.count.items() if count}

    def descend(
        self,
        cost: Sequence[float],
        among: Iterable[int],
        deadline: float = math.inf,
        judge: Callable[[float], bool] | None = None,
    ) -> list[Change]:
        """Switch classes of `among`, and neighbours of what changed, while that helps.

        A switch helps if it lowers the DAG cost at `cost` per node, or if `judge` says so.
        """
        done: list[Change] = []
        queue = deque(dict.fromkeys(among))
        queued = set(queue)
        while queue and time.monotonic() <= deadline:
            owner = queue.popleft()
            queued.discard(owner)
            if not self.count.get(owner) or len(self.problem.members[owner]) == 1:
                continue
            most_us = math.inf if judge is not None else self._most_saved_us(owner, cost)
            for node in self.problem.members[owner]:
                if node == self.chosen[owner] or self._least_us(node, cost) >= most_us:
                    continue
                if not self.admits(owner, node):
                    continue
                self.tried += 1
                change = self.apply(owner, node)
                change_us = change.cost_us(cost)
                if not (change_us < -self.rounding_us if judge is None else judge(change_us)):
                    self.undo(change)
                    continue
                done.append(change)
                most_us = math.inf if judge is not None else self._most_saved_us(owner, cost)
                near = [n for n in self._neighbours(change) if n not in queued]
                queued.update(near)
                queue.extend(near)
        return done

    def _most_saved_us(self, owner: int, cost: Sequence[float]) -> float:
        """What a class's node and all that only it needs cost: no switch saves more.

        Less half the rounding: a switch that just helps must not be lost in the summing up. Summed
        up no further than to more than any other node of the class costs at least: near the result
        of a program, what only one value needs is all of the program.
        """
        rivals = (n for n in self.problem.members[owner] if n != self.chosen[owner])
        least_us = (self._least_us(node, cost) for node in rivals)
        enough_us = max((us for us in least_us if us < math.inf), default=0.0) + self.rounding_us
        left: dict[int, int] = {}
        total_us = cost[self.chosen[owner]]
        stack = list(self.problem.children[self.chosen[owner]])
        while stack and total_us <= enough_us:
            child = stack.pop()
            uses = left[child] = left.get(child, self.count[child]) - 1
            if not uses:
                total_us += cost[self.chosen[child]]
                stack += self.problem.children[self.chosen[child]]
        return total_us - 0.5 * self.rounding_us

    def _least_us(self, node: int, cost: Sequence[float]) -> float:
        """What choosing a node costs at least: itself, and its children that are not needed yet."""
        total_us = cost[node]
        for child in self.problem.children[node]:
            if not self.count.get(child):
                fallback = self.fallback.get(child)
                total_us += math.inf if fallback is None else cost[fallback]
        return total_us

    def _neighbours(self, change: Change) -> list[int]:
        """Needed classes next to a switched one: its users, its old and new children, itself."""
        problem = self.problem
        near = [change.owner, *problem.children[change.new], *problem.children[change.old]]
        near += [problem.node_class[parent] for parent in problem.parents[change.owner]]
        return [owner for owner in dict.fromkeys(near) if self.count.get(owner)]

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

    def apply(self, owner: int, node: int) -> Change:
        """Choose another node for a needed class."""
        return self._switch(owner, node, self.fallback)

    def undo(self, change: Change) -> None:
        """Take back the last change that is not yet taken back."""
        self._switch(change.owner, change.old, change.released)

    def _switch(self, owner: int, node: int, wish: Mapping[int, int]) -> Change:
        old = self.chosen[owner]
        self.chosen[owner] = node
        added: Selection = {}
        released: Selection = {}
        for child in self.problem.children[node]:
            self._require(child, wish, added)
        for child in self.problem.children[old]:
            self._release(child, released)
        return Change(owner, old, node, added, released)

    def _require(self, owner: int, wish: Mapping[int, int], added: Selection) -> None:
        count = self.count
        stack = [owner]
        while stack:
            current = stack.pop()
            uses = count.get(current, 0)
            count[current] = uses + 1
            if not uses:
                node = self.chosen[current] = added[current] = wish[current]
                stack += self.problem.children[node]

    def _release(self, owner: int, released: Selection) -> None:
        count = self.count
        stack = [owner]
        while stack:
            current = stack.pop()
            count[current] -= 1
            if not count[current]:
                node = released[current] = self.chosen[current]
                stack += self.problem.children[node]
