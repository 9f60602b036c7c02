"""Exact solution of an extraction problem by HiGHS (see `formulation`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from saturax.extract.formulation import Cycle, formulate, short_cycles
from saturax.extract.greedy import derive
from saturax.extract.problem import Problem, Selection, dag_cost
from saturax.extract.solver import SolverProcess

# Bounds are lowered by this share: the solver works with tolerances of 1e-7.
_BOUND_SLACK = 1e-6


def find_cycles(problem: Problem, selection: Mapping[int, int]) -> list[Cycle]:
    """Disjoint cycles among the classes that the selection makes reachable from the roots."""
    cycles: list[Cycle] = []
    done: set[int] = set()
    for root in problem.roots:
        path: list[int] = []
        position: dict[int, int] = {}
        stack = [(root, iter((root,)))]
        while stack:
            owner = next(stack[-1][1], None)
            if owner is None:
                stack.pop()
                if path and stack:
                    done.add(path[-1])
                    del position[path.pop()]
                continue
            if owner in position:
                cycles.append(tuple(path[position[owner] :]))
            elif owner not in done and owner in selection:
                position[owner] = len(path)
                path.append(owner)
                stack.append((owner, iter(problem.children[selection[owner]])))
    return cycles


@dataclass(frozen=True, eq=False)
class ExactResult:
    """Best selection, its cost, a proven lower bound, and how the solver ended.

    `status` is "optimal" when the bound closes; otherwise the reason for stopping. The selection
    is the incumbent if nothing better was found.
    """

    selection: Selection
    cost_us: float
    lower_bound_us: float
    status: str
    rounds: int


def solve_exact(
    problem: Problem,
    incumbent: Selection,
    *,
    solver: SolverProcess,
    deadline: float,
    order_variables: bool = False,
    landmarks: Sequence[Sequence[int]] = (),
    on_improvement: Callable[[Selection, float], None] | None = None,
) -> ExactResult:
    """Optimal selection, or the best found by `deadline` (`time.monotonic`), and a bound.

    `landmarks` are sets of nodes of which every selection has one: the more, the faster it is.
    Never raises on account of the solver, and never returns worse than the incumbent.
    """
    best, cost_us = dict(incumbent), dag_cost(problem, incumbent)
    if not problem.node_count:
        return ExactResult(best, cost_us, cost_us, "optimal", 0)
    bound_us, rounds = 0.0, 0
    cycles = dict.fromkeys(short_cycles(problem))
    status = "time limit"
    while time.monotonic() < deadline:
        rounds += 1
        form = formulate(
            problem, order_variables=order_variables, cycles=cycles, landmarks=landmarks
        )
        answer = solver.solve(form.program, deadline=deadline, start=form.point(best))
        status = answer.status
        if answer.bound_us is not None:
            bound_us = max(bound_us, answer.bound_us * (1 - _BOUND_SLACK))
        if answer.values is None:
            break
        wish = form.selection(answer.values)
        found = derive(problem, wish, best)
        found_us = dag_cost(problem, found)
        if found_us < cost_us:
            best, cost_us = found, found_us
            if on_improvement is not None:
                on_improvement(best, cost_us)
        new = [cycle for cycle in find_cycles(problem, wish) if cycle not in cycles]
        if status != "optimal" or not new:
            break
        status = "time limit"
        cycles.update(dict.fromkeys(new))
    bound_us = min(bound_us, cost_us)
    return ExactResult(best, cost_us, bound_us, status, rounds)
