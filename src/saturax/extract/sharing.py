"""Greedy extraction that sees sharing: shared kernels are opened one at a time, like facilities.

A merged kernel pays off only if all its users switch to it together, which no single switch shows.
So a class that several others could use is declared paid for, everything is extracted anew as if
it were free, and the true DAG cost of the outcome tells whether opening it was right. (The greedy
heuristic for facility location; Cornuejols, Fisher and Nemhauser 1977.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from saturax.extract.greedy import derive, tree_choices
from saturax.extract.problem import Problem, Selection, dag_cost

# Sharing a kernel below this share of the total cost is left to local search.
_WORTHWHILE_SHARE = 0.002


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
    base = tree_choices(problem)
    best = derive(problem, {}, base) if initial is None else initial
    best_cost = dag_cost(problem, best)
    opened: set[int] = set()
    for owner in _promising(problem, base, _WORTHWHILE_SHARE * best_cost):
        if clock() >= until:
            break
        wish = tree_choices(problem, paid={c: base[c] for c in (*opened, owner)})
        selection = derive(problem, wish, base)
        cost = dag_cost(problem, selection)
        if cost < best_cost:
            best, best_cost = selection, cost
            opened.add(owner)
    return best


def _promising(problem: Problem, choice: Selection, least_us: float) -> list[int]:
    """Classes whose users would save more than the class costs, were they all to use it.

    Only classes whose own kernel costs at least `least_us` are worth a try.
    """
    best = _tree_costs(problem, choice)
    promise: list[tuple[float, int]] = []
    for owner, users in enumerate(problem.parents):
        if len(users) < 2 or best[owner] == math.inf:
            continue
        if problem.cost_us[choice[owner]] < least_us:
            continue
        saving: dict[int, float] = {}
        for user in users:
            others = sum(best[child] for child in problem.children[user] if child != owner)
            above = problem.node_class[user]
            saved = best[above] - problem.cost_us[user] - others
            if saved > 0 and saved < math.inf:
                saving[above] = max(saving.get(above, 0.0), saved)
        gain = sum(saving.values()) - best[owner]
        if len(saving) > 1 and gain > 0:
            promise.append((-gain, owner))
    return [owner for _, owner in sorted(promise)]


def _tree_costs(problem: Problem, choice: Selection) -> list[float]:
    """Tree cost of every class under `choice`, whose keys have children before their users."""
    best = [math.inf] * problem.class_count
    for owner, node in choice.items():
        best[owner] = problem.cost_us[node] + sum(best[c] for c in problem.children[node])
    return best
