"""Greedy extraction: a good valid selection in milliseconds.

`tree_greedy` minimises the tree cost (shared classes paid per use); `dag_greedy` keeps for every
class the *set* of classes below it, so that sharing counts; `derive` turns any wish into an
acyclic selection. All return a selection of the needed classes only unless they say otherwise.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping, Sequence

from saturax.extract.problem import (
    InfeasibleProblemError,
    InvalidSelectionError,
    Problem,
    Selection,
    dag_cost,
    restrict,
)

# A class may improve many times before the sets settle; more visits than this never paid off.
_VISITS_PER_CLASS = 30
# Above this many new bits, listing them one by one costs more than unpacking the whole set.
_FEW_BITS = 24


def tree_greedy(problem: Problem, costs: Sequence[float] | None = None) -> Selection:
    """Cheapest tree per class (Knuth's generalisation of Dijkstra), at `costs` if given.

    Raises:
        InfeasibleProblemError: a root has no finite, acyclic choice of nodes.
    """
    choice = tree_choices(problem, costs)
    _require_roots(problem, choice)
    return restrict(problem, choice)


def tree_choices(
    problem: Problem,
    costs: Sequence[float] | None = None,
    paid: Mapping[int, int] | None = None,
) -> Selection:
    """The tree-cheapest node of *every* feasible class; acyclic as a whole without `paid`.

    `paid` are classes that cost nothing, with their nodes; `derive` then settles any cycle.

    The order of the result's keys has every class after the children of its node.
    """
    costs = problem.cost_us if costs is None else costs
    missing = [len(some) for some in problem.children]
    best = [math.inf] * problem.class_count
    choice: Selection = {}
    heap = [(0.0, node, owner) for owner, node in (paid or {}).items()]
    for node, count in enumerate(missing):
        if not count and problem.cost_us[node] < math.inf:
            heap.append((costs[node], node, problem.node_class[node]))
    heapq.heapify(heap)
    while heap:
        total, node, owner = heapq.heappop(heap)
        if owner in choice:
            continue
        choice[owner] = node
        best[owner] = total
        for parent in problem.parents[owner]:
            missing[parent] -= 1
            above = problem.node_class[parent]
            if missing[parent] or above in choice or problem.cost_us[parent] == math.inf:
                continue
            price = costs[parent] + sum(best[child] for child in problem.children[parent])
            heapq.heappush(heap, (price, parent, above))
    return choice


def dag_greedy(problem: Problem, costs: Sequence[float] | None = None) -> Selection:
    """Fixpoint of class cost sets: a class's cost counts every class below it once.

    Never dearer than `tree_greedy` at the same prices: the better of the two is returned.

    Raises:
        InfeasibleProblemError: a root has no finite, acyclic choice of nodes.
    """
    priced = problem if costs is None else problem.with_costs(costs)
    start = tree_choices(priced)
    _require_roots(priced, start)
    tree = restrict(priced, start)
    shared = derive(priced, _settle_cost_sets(priced, start), start)
    return min(tree, shared, key=lambda selection: dag_cost(priced, selection))


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


def _settle_cost_sets(problem: Problem, start: Mapping[int, int]) -> Selection:
    """Node per class that is cheapest when the classes below it are paid once.

    A set of classes is an integer with one bit per class, numbered in the order of `start`, so
    that classes near the leaves have short sets. The total of a union is that of its largest
    part plus the bits that the others add.
    """
    order = list(start)
    bit = {owner: 1 << index for index, owner in enumerate(order)}
    price = [0.0] * len(order)
    below: dict[int, int] = {}
    total: dict[int, float] = {}
    choice: Selection = {}
    visits = dict.fromkeys(order, 0)
    queue = deque(order)
    queued = set(order)
    while queue:
        owner = queue.popleft()
        queued.discard(owner)
        found = _cheapest_set(problem, owner, bit[owner], below, total, price)
        if found is None or found[0] >= total.get(owner, math.inf) * (1 - 1e-12):
            continue
        total[owner], choice[owner], below[owner] = found
        price[bit[owner].bit_length() - 1] = problem.cost_us[choice[owner]]
        visits[owner] += 1
        if visits[owner] > _VISITS_PER_CLASS:
            continue
        for parent in problem.parents[owner]:
            above = problem.node_class[parent]
            if above in bit and above not in queued:
                queued.add(above)
                queue.append(above)
    return choice


def _cheapest_set(
    problem: Problem,
    owner: int,
    own_bit: int,
    below: Mapping[int, int],
    total: Mapping[int, float],
    price: Sequence[float],
) -> tuple[float, int, int] | None:
    best: tuple[float, int, int] | None = None
    for node in problem.members[owner]:
        cost = problem.cost_us[node]
        children = problem.children[node]
        if cost == math.inf or any(child not in below for child in children):
            continue
        if best is not None and cost >= best[0]:
            continue
        united, sum_us = 0, 0.0
        if children:
            largest = max(children, key=total.__getitem__)
            united, sum_us = below[largest], total[largest]
            for child in children:
                extra = below[child] & ~united
                if extra:
                    united |= extra
                    sum_us += _sum_of(extra, price)
        if united & own_bit:
            continue  # the children need this class
        sum_us += cost
        if best is None or sum_us < best[0]:
            best = sum_us, node, united | own_bit
    return best


def _sum_of(bits: int, price: Sequence[float]) -> float:
    """Sum of `price` over the set bits."""
    result = 0.0
    if bits.bit_count() <= _FEW_BITS:
        while bits:
            low = bits & -bits
            result += price[low.bit_length() - 1]
            bits ^= low
        return result
    text = bin(bits)
    top, found = len(text) - 1, text.find("1", 2)
    while found >= 0:
        result += price[top - found]
        found = text.find("1", found + 1)
    return result


def _require_roots(problem: Problem, choice: Mapping[int, int]) -> None:
    for root in problem.roots:
        if root not in choice:
            raise InfeasibleProblemError(
                f"expected a finite, acyclic choice of nodes for root class {root}, but none "
                "exists; give at least one of the programs in it a finite price"
            )
