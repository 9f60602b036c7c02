"""Greedy extraction that sees sharing: shared kernels are opened one at a time, like facilities.

A merged kernel pays off only if all its users switch to it together, which no single switch shows.
So a class that several others could use is declared paid for, everything is extracted anew as if
it were free, and the true DAG cost of the outcome tells whether opening it was right. (The greedy
heuristic for facility location; Cornuejols, Fisher and Nemhauser 1977.)
"""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import chain

from saturax.extract.greedy import derive, in_units, tree_choices
from saturax.extract.problem import Problem, Selection, restrict, selected_us

# Sharing a kernel below this share of the total cost is left to local search.
_WORTHWHILE_SHARE = 0.002
# After so many tries in a row in vain, less promising ones are left to local search, too. In 41
# problems of 13 workloads twice as many took twice the time, and made one result better by 0.3 %.
_PATIENCE = 50


def sharing_greedy(
    problem: Problem,
    *,
    time_limit_s: float,
    initial: Selection | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Selection:
    """The best selection found by opening shared classes, most promising first.

    Never dearer than `initial` (by default the tree-cheapest selection). Raises
    `InfeasibleProblemError` if a root has no finite, acyclic choice of nodes.
    """
    until = clock() + time_limit_s
    trees = _Trees(problem)
    present = _Present(problem, derive(problem, {}, trees.choice))  # what trees alone would select
    best = present.selection if initial is None else restrict(problem, initial)
    best_us = selected_us(problem, best)
    in_vain = 0
    for owner in _promising(problem, trees, _WORTHWHILE_SHARE * best_us):
        if clock() >= until or in_vain >= _PATIENCE:
            break
        in_vain += 1
        changed = trees.if_paid(owner)
        switched = {c: node for c, (_, node) in changed.items() if node != trees.choice[c]}
        if present.us_after(switched, trees.choice) >= best_us:
            continue
        selection = derive(problem, trees.choice | switched, {})
        cost_us = selected_us(problem, selection)
        if cost_us < best_us:
            best, best_us, present = selection, cost_us, _Present(problem, selection)
            trees.accept(changed)
            in_vain = 0
    return best


class _Present:
    """A selection with the number of users of each class, so that few switches are quickly priced.

    `users` counts the roots, too.
    """

    def __init__(self, problem: Problem, selection: Selection) -> None:
        self.problem, self.selection = problem, selection
        self.us = selected_us(problem, selection)
        used = chain.from_iterable(problem.children[node] for node in selection.values())
        self.users = Counter(chain(problem.roots, used))

    def us_after(self, switched: Mapping[int, int], others: Mapping[int, int]) -> float:
        """The cost if some classes took other nodes, and `others` said what else is needed then.

        Were that cyclic, it would be what all classes cost that are needed then.
        """
        problem, selection = self.problem, self.selection
        cost, children, users = problem.cost_us, problem.children, self.users
        places = [owner for owner in switched if owner in selection]
        change_us = 0.0
        more: dict[int, int] = {}
        stack: list[int] = []
        for owner in places:
            change_us += cost[switched[owner]] - cost[selection[owner]]
            stack += children[switched[owner]]
        while stack:
            owner = stack.pop()
            more[owner] = more.get(owner, 0) + 1
            if more[owner] == 1 and owner not in selection:
                node = switched[owner] if owner in switched else others[owner]
                change_us += cost[node]
                stack += children[node]
        for owner in places:
            stack += children[selection[owner]]
        while stack:
            owner = stack.pop()
            left = more[owner] = more.get(owner, 0) - 1
            if users[owner] + left == 0:
                node = switched[owner] if owner in switched else selection.get(owner, -1)
                if node < 0:
                    node = others[owner]
                change_us -= cost[node]
                stack += children[node]
        return self.us + change_us


class _Trees:
    """The cheapest tree of every feasible class, some classes being paid for.

    `base` are the choices with nothing paid, `choice` those at present; `total` their costs, and
    `cost` those of nodes, in the integers of `in_units`; -1 where there is none.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.base = tree_choices(problem)
        self.choice = dict(self.base)
        self.total = [-1] * problem.class_count
        self.cost = [-1] * len(problem.cost_us)
        for node, us in enumerate(problem.cost_us):
            if us < math.inf and all(child in self.base for child in problem.children[node]):
                self.cost[node] = in_units(us)
        for owner, node in self.base.items():  # children come before their users
            below = sum(self.total[child] for child in problem.children[node])
            self.total[owner] = self.cost[node] + below

    def if_paid(self, owner: int) -> dict[int, tuple[int, int]]:
        """The trees that become cheaper if a class costs nothing: class → cost and node.

        Dijkstra's algorithm from that class upwards: it visits what changes, and its users.
        """
        node_class, parents = self.problem.node_class, self.problem.parents
        own, children = self.cost, self.problem.children
        changed: dict[int, tuple[int, int]] = {}
        now = list(self.total)
        heap = [(0, self.base[owner], owner)]
        while heap:
            cost, node, here = heapq.heappop(heap)
            if here in changed:
                continue
            changed[here] = (cost, node)
            now[here] = cost
            for user in parents[here]:
                above = node_class[user]
                cost = own[user]
                if above in changed or cost < 0:
                    continue
                for child in children[user]:
                    cost += now[child]
                if cost < now[above]:
                    heapq.heappush(heap, (cost, user, above))
        return changed

    def accept(self, changed: dict[int, tuple[int, int]]) -> None:
        """Make a change of `if_paid` the state."""
        for owner, (cost, node) in changed.items():
            self.total[owner], self.choice[owner] = cost, node


def _promising(problem: Problem, trees: _Trees, least_us: float) -> list[int]:
    """Classes whose users would save more than the class costs, were they all to use it.

    Only classes whose own kernel costs at least `least_us` are worth a try.
    """
    best = trees.total
    promise: list[tuple[int, int]] = []
    for owner, node in trees.choice.items():
        users = problem.parents[owner]
        if len(users) < 2 or problem.cost_us[node] < least_us:
            continue
        saving: dict[int, int] = {}
        for user in users:
            if trees.cost[user] < 0:
                continue
            others = sum(best[child] for child in problem.children[user] if child != owner)
            above = problem.node_class[user]
            saved = best[above] - trees.cost[user] - others
            if saved > 0:
                saving[above] = max(saving.get(above, 0), saved)
        gain = sum(saving.values()) - best[owner]
        if len(saving) > 1 and gain > 0:
            promise.append((-gain, owner))
    return [owner for _, owner in sorted(promise)]
