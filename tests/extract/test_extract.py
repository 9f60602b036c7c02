"""The stage as a whole: anytime, never worse, and unharmed by whatever the solver does."""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from tests.extract.random_problems import best_by_enumeration, random_problem, random_selection

from extraction import tensor_like
from saturax.extract import (
    InfeasibleProblemError,
    InvalidSelectionError,
    Problem,
    anytime,
    dag_cost,
    extract,
    is_valid,
    solver,
    tree_greedy,
)
from saturax.extract.formulation import formulate
from saturax.extract.ilp import solve_exact
from saturax.extract.search import neighbourhood_search
from saturax.extract.solver import Program, SolverProcess

SCRIPT = Path(solver.__file__).with_name("_solver.py")
WITHOUT_HIGHSPY = (
    "import sys, runpy; sys.modules['highspy'] = None; "
    f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
)
BROKEN_SOLVERS = {
    "dies": ((sys.executable, "-c", "raise SystemExit(3)"), "the solver process died"),
    "lacks highspy": ((sys.executable, "-P", "-c", WITHOUT_HIGHSPY), "the solver failed.*highspy"),
    "does not exist": (("/nonexistent/python",), "could not be started"),
    "hangs": ((sys.executable, "-c", "import time; time.sleep(60)"), "time limit"),
}


@pytest.fixture(scope="module")
def problem() -> Problem:
    return tensor_like(layers=80, seed=1)


@pytest.fixture(params=BROKEN_SOLVERS)
def broken(request):
    command, reason = BROKEN_SOLVERS[request.param]
    with SolverProcess(command) as process:
        yield process, reason


def test_what_was_found_before_is_among_the_results():
    nodes = [(0, cost, [1]) for cost in (4.0, 3.0, 5.0)] + [(1, 1.0, [])]
    problem = Problem.build(2, nodes, [0])
    others = [{0: node, 1: 3} for node in range(3)]
    found = extract(problem, time_limit_s=0, initial=others[2], others=others[:2], count=3)
    assert found.selections == (others[1], others[0], others[2])
    assert found.costs_us == (4.0, 5.0, 6.0)


def test_small_problems_are_solved_to_optimality():
    solved = 0
    for seed in range(8000, 8040):
        small = random_problem(seed)
        best_us = best_by_enumeration(small)
        if best_us == math.inf:
            continue
        initial = random_selection(small, seed)
        found = extract(small, time_limit_s=20, initial=initial, count=3, seed=seed)
        assert found.cost_us == pytest.approx(best_us)
        assert found.stop_reason == "optimal"
        assert found.gap == pytest.approx(0, abs=1e-4)
        assert list(found.costs_us) == sorted(found.costs_us)
        assert all(is_valid(small, selection) for selection in found.selections)
        solved += 1
    assert solved > 20


def test_without_time_the_initial_selection_returns(problem):
    initial = tree_greedy(problem)
    found = extract(problem, time_limit_s=0, initial=initial)
    assert found.selections == (initial,)
    assert found.cost_us == dag_cost(problem, initial)
    assert found.lower_bound_us is None
    assert extract(problem, time_limit_s=0).selections == (initial,)


@pytest.mark.parametrize("time_limit_s", [0.01, 0.3, 1.5])
def test_time_limits_hold_and_the_result_is_never_worse(problem, time_limit_s):
    initial = tree_greedy(problem)
    started = time.monotonic()
    found = extract(problem, time_limit_s=time_limit_s, initial=initial, count=4)
    assert time.monotonic() - started < time_limit_s + 1.5
    assert found.cost_us <= dag_cost(problem, initial)
    assert found.cost_us == dag_cost(problem, found.selections[0])


def test_selections_differ_and_come_best_first(problem):
    found = extract(problem, time_limit_s=2, count=6)
    kernels = {
        frozenset(node for node in selection.values() if problem.cost_us[node] > 0)
        for selection in found.selections
    }
    assert len(kernels) == len(found.selections) == 6
    assert list(found.costs_us) == sorted(found.costs_us)
    assert found.costs_us == tuple(dag_cost(problem, one) for one in found.selections)


def test_the_same_seed_gives_the_same_selections(problem):
    run = partial(extract, problem, time_limit_s=60, iterations=2, count=4, seed=7)
    assert run().selections == run().selections


def test_stages_are_reported(problem):
    seen = []
    found = extract(problem, time_limit_s=1, on_progress=seen.append)
    assert tuple(seen) == found.stages
    assert [stage.name for stage in seen][:3] == ["reduce", "greedy", "switches"]
    costs = [stage.cost_us for stage in seen[1:]]
    assert costs == sorted(costs, reverse=True)


def test_the_incumbent_is_improved_before_the_problem_is_reduced(problem, monkeypatch):
    def reduce_problem(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(anytime, "reduce_problem", reduce_problem)
    initial = tree_greedy(problem)
    found = extract(problem, time_limit_s=30, initial=initial)
    assert found.stop_reason == "interrupted"
    assert [stage.name for stage in found.stages] == ["incumbent"]
    assert found.cost_us < dag_cost(problem, initial)


def test_an_arbiter_decides(problem):
    forbidden = set(extract(problem, time_limit_s=1).selections[0].values())

    def evaluate(selection):
        # The true objective dislikes what the prices like.
        return dag_cost(problem, selection) + 50 * len(forbidden.intersection(selection.values()))

    initial = tree_greedy(problem)
    found = extract(problem, time_limit_s=2, initial=initial, evaluate=evaluate)
    assert found.cost_us == evaluate(found.selections[0])
    assert found.cost_us < evaluate(initial)
    assert found.lower_bound_us is None
    assert found.gap is None


def test_an_initial_selection_of_infinite_price_is_kept_if_it_is_all_there_is():
    problem = Problem.build(1, [(0, math.inf, [])], [0])
    found = extract(problem, time_limit_s=1, initial={0: 0})
    assert found.selections == ({0: 0},)
    assert found.stop_reason == "no selection of finite cost exists"
    with pytest.raises(InfeasibleProblemError, match="root class 0"):
        extract(problem, time_limit_s=1)


def test_an_invalid_initial_selection_is_refused(problem):
    with pytest.raises(InvalidSelectionError, match="expected a node for class"):
        extract(problem, time_limit_s=1, initial={})


def test_problems_without_roots_cost_nothing():
    found = extract(Problem.build(0, [], []), time_limit_s=1)
    assert (found.selections, found.cost_us, found.gap) == (({},), 0.0, 0.0)


def test_ctrl_c_returns_the_best_so_far(problem):
    initial = tree_greedy(problem)
    found = extract(
        problem,
        time_limit_s=30,
        initial=initial,
        on_progress=lambda note: signal.raise_signal(signal.SIGINT),
    )
    assert found.stop_reason == "interrupted"
    assert found.cost_us <= dag_cost(problem, initial)


def test_a_broken_solver_loses_nothing(problem, broken):
    process, reason = broken
    incumbent = tree_greedy(problem)
    exact = solve_exact(problem, incumbent, solver=process, deadline=time.monotonic() + 2)
    assert exact.selection == incumbent
    assert exact.lower_bound_us == 0
    assert re.search(reason, exact.status)
    found = neighbourhood_search(
        problem, incumbent, solver=process, deadline=time.monotonic() + 0.5
    )
    assert found.cost_us <= dag_cost(problem, incumbent)


def test_the_stage_survives_a_broken_solver(problem, monkeypatch):
    command, _ = BROKEN_SOLVERS["dies"]
    monkeypatch.setattr(anytime, "SolverProcess", lambda: SolverProcess(command))
    initial = tree_greedy(problem)
    found = extract(problem, time_limit_s=2, initial=initial)
    assert found.cost_us < dag_cost(problem, initial)
    assert "died" in next(stage.note for stage in found.stages if stage.name == "exact")


def test_an_infeasible_program_is_told():
    problem = Problem.build(2, [(0, 1.0, [1]), (1, 1.0, [0])], [0])
    program = formulate(problem, order_variables=True).program
    with SolverProcess() as process:
        answer = process.solve(program, deadline=time.monotonic() + 10)
        assert (answer.status, answer.values) == ("infeasible", None)


def test_a_killed_solver_is_replaced(problem):
    program: Program = formulate(problem, cycles=[]).program
    with SolverProcess() as process:
        process.start()
        assert process._process is not None
        process._process.kill()
        assert "died" in process.solve(program, deadline=time.monotonic() + 0.5).status
        answer = process.solve(program, deadline=time.monotonic() + 20, node_limit=0)
        assert answer.status in ("optimal", "node limit", "time limit")


def test_the_solver_process_imports_neither_jax_nor_saturax():
    code = (
        f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); import highspy; "
        "print([name for name in sys.modules if name.split('.')[0] in ('jax', 'saturax')])"
    )
    output = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    assert output.stdout.strip() == b"[]"


def test_no_process_is_left_behind(problem):
    with SolverProcess() as process:
        process.start()
        child = process._process
    assert child is not None
    assert child.poll() is not None
