"""Anytime large-neighbourhood search: an incumbent in, a better one out, by kicks and exact solves.

A kick changes the prices of a neighbourhood at random, follows them by switches, and returns to
the true prices. An exact solve fixes most classes: under a random class order that keeps the
incumbent feasible, a node is admitted only if its children (inside its strongly connected
component) come earlier, so that every solution is acyclic by construction.
"""

from __future__ import annotations

import heapq
import math
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saturax.extract.formulation import formulate
from saturax.extract.greedy import tree_choices
from saturax.extract.landmarks import find_landmarks
from saturax.extract.problem import Problem, Selection, dag_cost
from saturax.extract.reduce import reduce_problem
from saturax.extract.solver import Answer, SolverProcess
from saturax.extract.switches import (
    IMPROVEMENT,
    Evaluate,
    Pool,
    SearchResult,
    Switches,
    draw_prices,
)

# Free nodes of a neighbourhood: at first, and its growth while the solver finds them easy (few
# simplex iterations) or hard. The thresholds keep most solves between 10 and 300 ms.
_FIRST_SIZE = 150
_EASY_WORK, _HARD_WORK = 300, 2_000
_GROW, _SHRINK = 1.25, 0.7
_LEAST_SIZE = 20.0
_NODE_LIMIT = 40
_SOLVE_LIMIT_S = 0.5
# Spread of the random price factors (standard deviation of their logarithm).
_PRICE_SPREAD = 0.3
# Gains below this share of the cost are no reason to go on: prices are far less accurate.
_PROGRESS = 1e-4
# As in `switches`: kicks that the prices see lose more are not shown to the arbiter.
_WORTH_ASKING = 0.02
# What costs no more than so many times the lower bound is the best there is.
_OPTIMAL = 1 + 1e-6
# Kicks per exact solve; nodes whose prices change, and how much (as _PRICE_SPREAD).
_KICKS = 200
_OPEN_SHARE = 0.3
_KICK_SIZES = (10, 30, 100)
_KICK_SPREAD = 2.0


@dataclass(frozen=True, eq=False)
class _Order:
    """A class order under which the incumbent is feasible, and what it admits.

    `admitted` marks nodes whose children in their own component come earlier; `choice` has one
    admitted node per feasible class, the incumbent's where it has one.
    """

    admitted: NDArray[np.bool_]
    choice: Selection


class _Neighbourhoods:
    """Draws orders and neighbourhoods of one problem."""

    def __init__(self, problem: Problem, draw: random.Random) -> None:
        self.problem = problem
        self.draw = draw
        self.fallback = tree_choices(problem)
        label = problem.component
        cyclic = problem.cyclic_classes
        self.usable = np.asarray(
            [
                cost < math.inf and all(child in self.fallback for child in children)
                for cost, children in zip(problem.cost_us, problem.children, strict=True)
            ]
        )
        self.shareable = [
            owner
            for owner, parents in enumerate(problem.parents)
            if owner in self.fallback
            and len({problem.node_class[parent] for parent in parents}) > 1
        ]
        self.inner: dict[int, list[int]] = {}  # node of a cyclic class → children in its component
        self.inner_parents: dict[int, list[int]] = {owner: [] for owner in cyclic}
        for owner in sorted(cyclic):
            for node in problem.members[owner]:
                if not self.usable[node]:
                    continue
                inner = [child for child in problem.children[node] if label[child] == label[owner]]
                self.inner[node] = inner
                for child in inner:
                    self.inner_parents[child].append(node)
        edges = [(node, child) for node, inner in self.inner.items() for child in inner]
        self.edge_node = np.asarray([node for node, _ in edges], dtype=np.int64)
        self.edge_child = np.asarray([child for _, child in edges], dtype=np.int64)
        self.edge_owner = problem.arrays.node_class[self.edge_node]

    def draw_order(self, incumbent: Mapping[int, int]) -> _Order:
        """Settle the cyclic classes one by one in random order, needed ones by the incumbent."""
        problem, draw = self.problem, self.draw
        # Unneeded classes first lets needed ones use them; otherwise they may use needed ones.
        head_start = draw.choice([0.0, 0.5, 1.0])
        missing = {node: len(inner) for node, inner in self.inner.items()}
        choice: Selection = {**self.fallback, **incumbent}
        position: dict[int, int] = {}
        heap: list[tuple[float, int]] = []

        def offer(node: int) -> None:
            wanted = incumbent.get(problem.node_class[node])
            if wanted is None:
                heapq.heappush(heap, (draw.random() - head_start, node))
            elif wanted == node:
                heapq.heappush(heap, (draw.random(), node))

        for node, count in missing.items():
            if not count:
                offer(node)
        while heap:
            node = heapq.heappop(heap)[1]
            owner = problem.node_class[node]
            if owner in position:
                continue
            position[owner] = len(position)
            if owner not in incumbent and missing.get(self.fallback[owner]) != 0:
                choice[owner] = node
            for parent in self.inner_parents[owner]:
                missing[parent] -= 1
                if not missing[parent]:
                    offer(parent)
        place = np.full(problem.class_count, problem.class_count)
        place[list(position)] = list(position.values())
        late = place[self.edge_child] >= place[self.edge_owner]
        admitted = self.usable.copy()
        admitted[self.edge_node[late]] = False
        return _Order(admitted, choice)

    def ball(self, seeds: Sequence[int], size: int) -> list[int]:
        """Classes around the seeds, breadth first both ways, until they have `size` nodes."""
        problem = self.problem
        free = set(seeds)
        room = size
        queue = deque(seeds)
        while queue and room > 0:
            owner = queue.popleft()
            room -= len(problem.members[owner])
            near = [child for node in problem.members[owner] for child in problem.children[node]]
            near += [problem.node_class[parent] for parent in problem.parents[owner]]
            near = [neighbour for neighbour in dict.fromkeys(near) if neighbour not in free]
            self.draw.shuffle(near)
            free.update(near)
            queue.extend(near)
        return sorted(free.difference(queue))

    def kick(self, state: Switches, deadline: float, judge: Callable[[float], bool]) -> None:
        """Change prices somewhere, follow them, return to the true ones; undo if in vain."""
        costs = list(self.problem.cost_us)
        if self.shareable and self.draw.random() < _OPEN_SHARE:
            around = self._open(state, self.draw.choice(self.shareable), costs)
        else:
            around = self._shake(state, costs)
        changes = state.descend(costs, around, deadline)
        touched = [owner for change in changes for owner in (change.owner, *change.added)]
        true_costs = self.problem.cost_us
        changes += state.descend(true_costs, touched, deadline)
        if changes and not judge(math.fsum(change.cost_us(true_costs) for change in changes)):
            for change in reversed(changes):
                state.undo(change)

    def _shake(self, state: Switches, costs: list[float]) -> list[int]:
        """Random price factors around a class; the classes concerned."""
        draw = self.draw
        around = self.ball([draw.choice(list(state.chosen))], draw.choice(_KICK_SIZES))
        for owner in around:
            for node in self.problem.members[owner]:
                costs[node] *= math.exp(_KICK_SPREAD * draw.gauss(0, 1))
        return around

    def _open(self, state: Switches, owner: int, costs: list[float]) -> list[int]:
        """Make a class free, with what only it would need; the classes that could share it.

        A merged kernel pays off only if several classes switch to it: here they all may, and what
        it really costs is told afterwards.
        """
        problem = self.problem
        stack, seen = [owner], {owner}
        while stack:
            node = self.fallback[stack.pop()]
            costs[node] = 0.0
            for child in problem.children[node]:
                if child not in seen and not state.count.get(child):
                    seen.add(child)
                    stack.append(child)
        return list(dict.fromkeys(problem.node_class[parent] for parent in problem.parents[owner]))

    def draw_free(self, incumbent: Selection, pool: Pool, size: int) -> set[int]:
        """Classes to set free: around a needed class, or where another solution differs."""
        if size >= self.problem.node_count:
            return set(range(self.problem.class_count))
        others = [selection for selection, _ in pool if selection != incumbent]
        if others and self.draw.random() < 0.4:
            other = self.draw.choice(others)
            differ = [c for c in incumbent if other.get(c) != incumbent[c]]
            differ += [c for c in other if c not in incumbent]
            if differ:
                return set(
                    self.ball(self.draw.sample(differ, min(len(differ), 1 + size // 8)), size)
                )
        return set(self.ball([self.draw.choice(list(incumbent))], size))

    def subproblem(
        self, costs: Sequence[float], order: _Order, free: set[int]
    ) -> tuple[Problem, list[int]]:
        """Admitted nodes of free classes and one of every other, as far as the roots reach.

        Returns the problem (same class ids, nodes at `costs`) and the index of each of its nodes.
        """
        problem = self.problem
        nodes: list[int] = []
        reached = set(problem.roots)
        stack = list(problem.roots)
        while stack:
            owner = stack.pop()
            if owner in free:
                some = [node for node in problem.members[owner] if order.admitted[node]]
            else:
                some = [order.choice[owner]]
            nodes += some
            for node in some:
                for child in problem.children[node]:
                    if child not in reached:
                        reached.add(child)
                        stack.append(child)
        rows = ((problem.node_class[n], costs[n], problem.children[n]) for n in nodes)
        return Problem.build(problem.class_count, rows, problem.roots), nodes


def neighbourhood_search(
    problem: Problem,
    incumbent: Selection,
    *,
    solver: SolverProcess,
    deadline: float = math.inf,
    iterations: int | None = None,
    patience: int | None = None,
    seed: int = 0,
    evaluate: Evaluate | None = None,
    pool: Pool | None = None,
    on_improvement: Callable[[Selection, float], None] | None = None,
) -> SearchResult:
    """Improve the incumbent until time or `iterations` run out, or `patience` rounds bring nothing.

    An iteration is a round of kicks and one exact solve; without a working solver only kicks are
    left. Deterministic for a seed when `deadline` does not cut it off.
    """
    search = _Search(problem, incumbent, seed, evaluate, pool, on_improvement)
    done = 0
    while True:
        if time.monotonic() >= deadline:
            reason = "time limit"
        elif not search.best:
            reason = "nothing to choose"
        elif iterations is not None and done >= iterations:
            reason = "iteration limit"
        elif patience is not None and search.idle >= patience:
            reason = f"no progress in {patience} rounds"
        else:
            done += 1
            search.idle += 1
            search.kick(deadline)
            if solver.is_usable:
                search.solve(solver, deadline, is_timed=iterations is None)
            continue
        return SearchResult(search.best, search.best_us, done, reason)


class _Search:
    """The incumbent of a search, and the two ways to improve it."""

    def __init__(
        self,
        problem: Problem,
        incumbent: Selection,
        seed: int,
        evaluate: Evaluate | None,
        pool: Pool | None,
        on_improvement: Callable[[Selection, float], None] | None,
    ) -> None:
        self.problem = problem
        self.draw = random.Random(seed)
        self.neighbourhoods = _Neighbourhoods(problem, self.draw)
        self.pool = Pool() if pool is None else pool
        self.evaluate = evaluate
        self.on_improvement = on_improvement
        self.best = dict(incumbent)
        self.best_us = self.objective(self.best)
        self.pool.add(self.best, self.best_us)
        self.size = float(_FIRST_SIZE)
        self.idle = 0
        self.noted_us = self.best_us  # when there was progress last
        self.solves = 0

    def objective(self, selection: Selection) -> float:
        """Cost by the arbiter, or by the prices."""
        return (
            dag_cost(self.problem, selection) if self.evaluate is None else self.evaluate(selection)
        )

    def offer(self, selection: Selection) -> None:
        """Take a selection as incumbent unless it is worse."""
        cost_us = self.objective(selection)
        self.pool.add(selection, cost_us)
        is_better = cost_us < self.best_us * (1 - IMPROVEMENT)
        if cost_us <= self.best_us:
            self.best, self.best_us = selection, cost_us
        if cost_us < self.noted_us * (1 - _PROGRESS):
            self.idle, self.noted_us = 0, cost_us
        if is_better and self.on_improvement is not None:
            self.on_improvement(selection, cost_us)

    def kick(self, deadline: float) -> None:
        """A round of kicks, each kept if it is no loss."""
        state = Switches(self.problem, self.best)

        def judge(change_us: float) -> bool:
            if self.evaluate is None and abs(change_us) <= state.rounding_us:
                return True  # sideways: another optimum of the same height to start from
            if change_us > (0.0 if self.evaluate is None else _WORTH_ASKING * self.best_us):
                return False
            candidate = state.selection()
            self.offer(candidate)
            return self.best is candidate

        for _ in range(_KICKS):
            if time.monotonic() > deadline:
                break
            self.neighbourhoods.kick(state, deadline, judge)
        self.offer(state.selection())

    def solve(self, solver: SolverProcess, deadline: float, is_timed: bool) -> None:
        """Solve a neighbourhood exactly; its size adapts to the solver's effort."""
        self.solves += 1
        # Prices that merely repeat themselves would propose the same selection forever; an
        # arbiter that disagrees with them needs varied proposals.
        costs: Sequence[float] = self.problem.cost_us
        if self.evaluate is not None and self.solves % 2 == 0:
            costs = draw_prices(self.problem, self.draw, _PRICE_SPREAD)
        free = self.neighbourhoods.draw_free(self.best, self.pool, int(self.size))
        order = self.neighbourhoods.draw_order(self.best)
        sub, nodes = self.neighbourhoods.subproblem(costs, order, free)
        found, answer = _solve_subproblem(sub, nodes, self.best, solver, deadline, is_timed)
        is_easy = answer.status == "optimal" and answer.work < _EASY_WORK
        is_hard = answer.status != "optimal" or answer.work > _HARD_WORK
        self.size *= _GROW if is_easy else _SHRINK if is_hard else 1.0
        self.size = min(max(self.size, _LEAST_SIZE), 2.0 * self.problem.node_count)
        if found is not None and found != self.best:
            self.offer(found)


def _solve_subproblem(
    sub: Problem,
    nodes: list[int],
    incumbent: Selection,
    solver: SolverProcess,
    deadline: float,
    is_timed: bool,
) -> tuple[Selection | None, Answer]:
    """Selection (node indices of the full problem) that solves `sub`, if any was found."""
    reduced = reduce_problem(sub)
    position = {node: index for index, node in enumerate(nodes)}
    start = reduced.project({c: position[n] for c, n in incumbent.items() if n in position})
    landmarks = find_landmarks(reduced.problem)
    if not reduced.problem.node_count:
        answer = Answer("optimal")
        chosen: Selection = {}
    elif start is not None and dag_cost(reduced.problem, start) <= landmarks.bound_us * _OPTIMAL:
        return None, Answer("optimal")
    else:
        form = formulate(reduced.problem, landmarks=landmarks.sets)
        answer = solver.solve(
            form.program,
            deadline=min(deadline, time.monotonic() + _SOLVE_LIMIT_S) if is_timed else deadline,
            start=None if start is None else form.point(start),
            node_limit=_NODE_LIMIT,
            use_heuristics=False,
        )
        if answer.values is None:
            return None, answer
        chosen = form.selection(answer.values)
    found = reduced.expand(chosen)
    return {owner: nodes[index] for owner, index in found.items()}, answer
