"""Greedy extraction: a good valid selection in milliseconds.

`tree_greedy` minimises the tree cost (shared classes paid per use); `dag_greedy` keeps for every
class the *set* of classes below it, so that sharing counts; `derive` turns any wish into an
acyclic selection. All return a selection of the needed classes only unless they say otherwise.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from saturax.extract.cost_sets import settle_cost_sets
from saturax.extract.problem import (
    InfeasibleProblemError,
    InvalidSelectionError,
    Problem,
    Selection,
    restrict,
    selected_us,
)

_UNITS = 1 << 20  # of costs in sums over trees, a microsecond
# Found once a problem: rounds, the last extraction and refinement all begin with these.
_TREES: WeakKeyDictionary[Problem, Selection] = WeakKeyDictionary()
_SHARED: WeakKeyDictionary[Problem, Selection] = WeakKeyDictionary()


def tree_greedy(problem: Problem) -> Selection:
    """Cheapest tree per class (Knuth's generalisation of Dijkstra).

    Raises:
        InfeasibleProblemError: a root has no finite, acyclic choice of nodes.
    """
    choice = tree_choices(problem)
    _require_roots(problem, choice)
    return restrict(problem, choice)


def tree_choices(problem: Problem) -> Mapping[int, int]:
    """The tree-cheapest node of *every* feasible class; acyclic as a whole. Found once a problem.

    The order of the result's keys has every class after the children of its node.
    """
    known = _TREES.get(problem)
    if known is None:
        known = _TREES[problem] = _find_trees(problem)
    return known


def in_units(cost_us: float) -> int:
    """A cost as an integer, for sums over trees: 2**-20 µs are one.

    What is used k times counts k times in a tree, and so in every layer above: near the result of
    GPT-2 a tree costs 10**30 times what a kernel does. Of floats of that size nothing is left of
    the difference between two kernels.
    """
    return round(cost_us * _UNITS)


def _find_trees(problem: Problem) -> Selection:
    node_class = problem.node_class
    children, parents = problem.children, problem.parents
    costs = [-1 if us == math.inf else in_units(us) for us in problem.cost_us]
    missing = list(map(len, children))
    best = [-1] * problem.class_count
    choice: Selection = {}
    heap = [
        (costs[node], node, node_class[node])
        for node, count in enumerate(missing)
        if not count and costs[node] >= 0
    ]
    heapq.heapify(heap)
    while heap:
        total, node, owner = heapq.heappop(heap)
        if best[owner] >= 0:
            continue
        choice[owner] = node
        best[owner] = total
        for parent in parents[owner]:
            missing[parent] -= 1
            if missing[parent] or costs[parent] < 0:
                continue
            above = node_class[parent]
            if best[above] < 0:
                price = costs[parent] + sum(map(best.__getitem__, children[parent]))
                heapq.heappush(heap, (price, parent, above))
    return choice


def dag_greedy(problem: Problem) -> Selection:
    """Fixpoint of class cost sets: a class's cost counts every class below it once. Found once.

    Never dearer than `tree_greedy`: the better of the two is returned.

    Raises:
        InfeasibleProblemError: a root has no finite, acyclic choice of nodes.
    """
    known = _SHARED.get(problem)
    if known is None:
        start = tree_choices(problem)
        _require_roots(problem, start)
        tree = restrict(problem, start)
        shared = derive(problem, settle_cost_sets(problem, start), start)
        known = min(tree, shared, key=lambda selection: selected_us(problem, selection))
        _SHARED[problem] = known
    return dict(known)


def derive(
    problem: Problem, wish: Mapping[int, int], fallback: Mapping[int, int] | None = None
) -> Selection:
    """An acyclic selection that follows `wish` wherever it can.

    Classes are settled bottom-up, each by its wished node once all children are settled; when a
    cycle of wishes blocks everything, a blocked class takes the cheapest node that is ready.
    `fallback` (by default `tree_choices`) serves classes without a wish and must be acyclic.

    Raises:
        InfeasibleProblemError: a root has no finite, acyclic choice of nodes.
    """
    fallback = tree_choices(problem) if fallback is None else fallback
    merged: Selection = {**fallback, **wish}
    _require_roots(problem, merged)
    try:
        return restrict(problem, merged)
    except InvalidSelectionError:
        return restrict(problem, _settle(problem, merged))


def _settle(problem: Problem, wish: Mapping[int, int]) -> Selection:
    """Choices of all feasible classes, bottom-up, as `derive` describes."""
    missing = [len(some) for some in problem.children]
    settled: Selection = {}
    ready = deque(node for node, count in enumerate(missing) if not count)
    waiting: list[tuple[float, int]] = []  # ready nodes that nobody wished for
    while ready or waiting:
        if ready:
            node = ready.popleft()
            owner = problem.node_class[node]
            if owner in settled or problem.cost_us[node] == math.inf:
                continue
            if wish.get(owner, node) != node:
                heapq.heappush(waiting, (problem.cost_us[node], node))
                continue
        else:
            node = heapq.heappop(waiting)[1]
            owner = problem.node_class[node]
            if owner in settled:
                continue
        settled[owner] = node
        for parent in problem.parents[owner]:
            missing[parent] -= 1
            if not missing[parent]:
                ready.append(parent)
    return settled


def _require_roots(problem: Problem, choice: Mapping[int, int]) -> None:
    for root in problem.roots:
        if root not in choice:
            raise InfeasibleProblemError(
                f"expected a finite, acyclic choice of nodes for root class {root}, but none "
                "exists; give at least one of the programs in it a finite price"
            )
