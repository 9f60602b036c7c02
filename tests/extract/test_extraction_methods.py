"""Every method against enumeration on thousands of random small problems, cyclic ones included."""

from __future__ import annotations

import math
import random
import time

import numpy as np
import pytest
from tests.extract.random_problems import best_by_enumeration, random_problem, random_selection

from saturax.extract.formulation import formulate
from saturax.extract.greedy import dag_greedy, derive, tree_greedy
from saturax.extract.ilp import find_cycles, solve_exact
from saturax.extract.landmarks import find_landmarks
from saturax.extract.problem import (
    InfeasibleProblemError,
    InvalidSelectionError,
    Problem,
    dag_cost,
    is_valid,
    needed_classes,
    restrict,
)
from saturax.extract.reduce import reduce_problem
from saturax.extract.search import neighbourhood_search
from saturax.extract.sharing import _Trees, sharing_greedy
from saturax.extract.solver import SolverProcess
from saturax.extract.switches import Pool, Switches, draw_prices, switch_search

TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def solver():
    with SolverProcess() as process:
        yield process


def feasible(seeds):
    """(problem, optimum) for the seeds whose problem has a selection of finite cost."""
    for seed in seeds:
        problem = random_problem(seed)
        best_us = best_by_enumeration(problem)
        if best_us < math.inf:
            yield problem, best_us


def test_infeasible_problems_are_recognised():
    found = 0
    for seed in range(1500):
        problem = random_problem(seed)
        if best_by_enumeration(problem) < math.inf:
            continue
        found += 1
        for method in (tree_greedy, dag_greedy, reduce_problem):
            with pytest.raises(InfeasibleProblemError, match="finite, acyclic choice"):
                method(problem)
    assert found > 100


def test_greedy_is_valid_and_no_dearer_than_the_tree():
    for problem, best_us in feasible(range(2500)):
        tree, dag = tree_greedy(problem), dag_greedy(problem)
        assert set(dag) == set(needed_classes(problem, dag))
        assert best_us - TOLERANCE <= dag_cost(problem, dag) <= dag_cost(problem, tree)


def test_sharing_is_valid_and_no_dearer_than_what_it_begins_with():
    better = 0
    for seed, (problem, best_us) in enumerate(feasible(range(2500))):
        start = random_selection(problem, seed) or tree_greedy(problem)
        for initial in (None, start):
            begin_us = dag_cost(problem, tree_greedy(problem) if initial is None else initial)
            found = sharing_greedy(problem, time_limit_s=math.inf, initial=initial)
            assert set(found) == set(needed_classes(problem, found))
            cost_us = dag_cost(problem, found)
            assert best_us - TOLERANCE <= cost_us <= begin_us + TOLERANCE
            better += cost_us < begin_us - TOLERANCE
    assert better > 50  # it does something


def test_trees_with_a_paid_class_are_the_cheapest_ones():
    for seed, (problem, _) in enumerate(feasible(range(800))):
        trees = _Trees(problem)
        owner = random.Random(seed).choice(list(trees.base))
        changed = trees.if_paid(owner)
        free = [
            (c, cost if c != owner else 0.0, children if c != owner else ())
            for c, cost, children in zip(
                problem.node_class, problem.cost_us, problem.children, strict=True
            )
        ]
        expected = _Trees(Problem.build(problem.class_count, free, problem.roots)).total
        trees.accept(changed)
        assert trees.total == expected


def test_trees_tell_kernels_apart_however_deep_the_program_is():
    """Each layer reads the one below four times, so that a tree of it costs 10⁶⁰ µs."""
    layers = 100
    nodes = [(0, 1.0, ()), *[(n, 1.0, (n - 1,) * 4) for n in range(1, layers)]]
    last = layers - 1
    problem = Problem.build(
        layers + 1, [*nodes, (layers, 9.0, (last,)), (layers, 5.0, (last,))], (layers,)
    )
    for selection in (tree_greedy(problem), sharing_greedy(problem, time_limit_s=math.inf)):
        assert problem.cost_us[selection[layers]] == 5.0


def test_derive_makes_any_wish_acyclic():
    for seed, (problem, _) in enumerate(feasible(range(800))):
        draw = random.Random(seed)
        finite = [
            [n for n in members if problem.cost_us[n] < math.inf] for members in problem.members
        ]
        wish = {owner: draw.choice(nodes) for owner, nodes in enumerate(finite) if nodes}
        derived = derive(problem, wish)
        assert dag_cost(problem, derived) < math.inf
        if is_valid(problem, wish) and dag_cost(problem, wish) < math.inf:
            assert derived == restrict(problem, wish)


@pytest.mark.parametrize("keep_alternatives", [False, True])
def test_reduction_keeps_an_optimum_and_maps_back_and_forth(keep_alternatives):
    for seed, (problem, best_us) in enumerate(feasible(range(2500))):
        reduced = reduce_problem(problem, keep_alternatives=keep_alternatives)
        small = reduced.problem
        assert best_by_enumeration(small) + reduced.offset_us == pytest.approx(best_us)
        selection = dag_greedy(small)
        expanded = reduced.expand(selection)
        cost_us = dag_cost(small, selection) + reduced.offset_us
        assert dag_cost(problem, expanded) == pytest.approx(cost_us)
        other = random_selection(problem, seed)
        if other is not None:
            image = reduced.project(other)
            assert image is not None
            cost_us = dag_cost(small, image) + reduced.offset_us
            assert cost_us <= dag_cost(problem, other) + TOLERANCE


def test_reduction_keeps_all_alternatives_when_told():
    problem = Problem.build(2, [(0, 1.0, [1]), (0, 2.0, [1]), (1, 1.0, [])], [0])
    assert reduce_problem(problem).problem.node_count == 0
    assert reduce_problem(problem, keep_alternatives=True).problem.node_count == 3


def test_switches_are_valid_and_never_worse():
    for seed, (problem, best_us) in enumerate(feasible(range(1200))):
        start = random_selection(problem, seed) or tree_greedy(problem)
        found = switch_search(problem, start)
        assert found.cost_us == dag_cost(problem, found.selection)
        assert best_us - TOLERANCE <= found.cost_us <= dag_cost(problem, start) + TOLERANCE


def test_switches_can_be_taken_back():
    for seed, (problem, _) in enumerate(feasible(range(600))):
        draw = random.Random(seed)
        state = Switches(problem, tree_greedy(problem))
        start, changes = state.selection(), []
        for _ in range(6):
            owner = draw.choice(list(state.selection()))
            node = draw.choice(problem.members[owner])
            if node == state.chosen[owner] or not state.admits(owner, node):
                continue
            before_us = dag_cost(problem, state.selection())
            changes.append(state.apply(owner, node))
            after_us = dag_cost(problem, state.selection())
            assert after_us - before_us == pytest.approx(changes[-1].cost_us(problem.cost_us))
        for change in reversed(changes):
            state.undo(change)
        assert state.selection() == start


def test_no_switch_that_helps_is_ruled_out_by_its_bound():
    """A bound that rules nothing out (below 0) may be summed up in part only."""
    tight = 0
    for seed, (problem, _) in enumerate(feasible(range(600))):
        state = Switches(problem, random_selection(problem, seed) or tree_greedy(problem))
        cost = problem.cost_us
        for owner, chosen in state.selection().items():
            most_us = state._most_saved_us(owner, cost)
            for node in problem.members[owner]:
                if node == chosen or not state.admits(owner, node):
                    continue
                bound_us = state._least_us(node, cost) - most_us
                change = state.apply(owner, node)
                assert bound_us < 0 or bound_us <= change.cost_us(cost) + state.rounding_us
                tight += bound_us > 0
                state.undo(change)
    assert tight > 100  # it does rule some out


@pytest.mark.parametrize("order_variables", [False, True])
def test_the_exact_solve_is_optimal_and_its_bounds_hold(solver, order_variables):
    for problem, best_us in feasible(range(5000, 5250)):
        exact = solve_exact(
            problem,
            tree_greedy(problem),
            solver=solver,
            deadline=time.monotonic() + 20,
            order_variables=order_variables,
            landmarks=find_landmarks(problem).sets,
        )
        assert exact.status == "optimal"
        assert exact.cost_us == pytest.approx(best_us)
        assert exact.lower_bound_us == pytest.approx(best_us, rel=1e-5)
        assert exact.lower_bound_us <= best_us + TOLERANCE


def test_landmarks_bound_from_below_and_meet_every_selection():
    tight = count = 0
    for seed, (problem, best_us) in enumerate(feasible(range(6000, 7500))):
        landmarks = find_landmarks(problem)
        assert landmarks.bound_us <= best_us + TOLERANCE
        assert max(landmarks.least_us) >= landmarks.bound_us - TOLERANCE
        for selection in (tree_greedy(problem), random_selection(problem, seed)):
            if selection is None:
                continue
            chosen = set(restrict(problem, selection).values())
            cost_us = dag_cost(problem, selection)
            assert all(chosen.intersection(nodes) for nodes in landmarks.sets)
            assert all(landmarks.least_us[node] <= cost_us + TOLERANCE for node in chosen)
        count += 1
        tight += landmarks.bound_us >= best_us * (1 - 1e-4)
    assert tight > 0.8 * count


def test_landmarks_are_found_where_ways_meet_in_no_class():
    """Both nodes of the root lead to a product of their own; one half of each bounds by half."""
    nodes = [(0, 0.0, [1]), (0, 0.0, [2]), (1, 8.0, []), (1, 1.0, [2]), (2, 8.0, []), (2, 1.0, [1])]
    landmarks = find_landmarks(Problem.build(3, nodes, [0]))
    assert landmarks.bound_us == 8.0
    assert [set(nodes) for nodes in landmarks.sets] == [{2, 4}]
    assert landmarks.least_us == (8.0, 8.0, 8.0, 9.0, 8.0, 9.0)


def test_no_landmarks_are_found_of_what_cannot_be_had():
    assert find_landmarks(Problem.build(1, [(0, 1.0, [0])], [0])).sets == ()
    assert find_landmarks(Problem.build(0, [], [])).bound_us == 0.0


def test_the_point_of_a_selection_is_feasible():
    for seed, (problem, _) in enumerate(feasible(range(300))):
        selection = random_selection(problem, seed)
        if selection is None:
            continue
        form = formulate(problem, order_variables=True, cycles=[])
        program, values = form.program, form.point(selection)
        rows = np.repeat(np.arange(len(program.row_lower)), np.diff(program.row_start))
        sums = np.bincount(
            rows, program.value * values[program.column], minlength=len(program.row_lower)
        )
        assert (sums >= program.row_lower - TOLERANCE).all()
        assert (sums <= program.row_upper + TOLERANCE).all()
        assert (values >= program.lower).all()
        assert (values <= program.upper).all()
        assert form.selection(values) == selection
        assert program.cost @ values == pytest.approx(dag_cost(problem, selection))


def test_cycles_are_found():
    problem = Problem.build(4, [(0, 1, [1, 3]), (1, 1, [2]), (2, 1, [1]), (3, 1, [])], [0])
    assert find_cycles(problem, {0: 0, 1: 1, 2: 2, 3: 3}) == [(1, 2)]
    assert find_cycles(problem, {0: 0, 3: 3}) == []


def test_neighbourhood_search_finds_small_optima(solver):
    missed = 0
    for problem, best_us in feasible(range(7000, 7030)):
        found = neighbourhood_search(problem, tree_greedy(problem), solver=solver, iterations=3)
        assert dag_cost(problem, found.selection) == pytest.approx(found.cost_us)
        missed += found.cost_us > best_us + TOLERANCE
    assert missed == 0


def test_pool_keeps_the_best_distinct():
    pool = Pool(size=2)
    for selection, cost_us in (({0: 1}, 3.0), ({0: 2}, 1.0), ({0: 2}, 1.0), ({0: 3}, 2.0)):
        pool.add(selection, cost_us)
    assert list(pool) == [({0: 2}, 1.0), ({0: 3}, 2.0)]


def test_prices_are_drawn_per_signature():
    nodes = [(0, 1.0, []), (0, 1.0, []), (0, 1.0, [])]
    problem = Problem.build(1, nodes, [0], ["dot", "dot", "add"])
    first, second, third = draw_prices(problem, random.Random(0), 0.5)
    assert first == second != third


def test_dag_cost_counts_a_shared_class_once():
    problem = Problem.build(3, [(0, 1.0, [1, 2]), (1, 1.0, [2]), (2, 4.0, [])], [0, 2])
    assert dag_cost(problem, {0: 0, 1: 1, 2: 2}) == 6.0


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({0: 0}, "expected a node for class 1"),
        ({0: 0, 1: 0}, "expected a node of class 1, got node 0"),
        ({0: 0, 1: 1}, "acyclic selection, but these classes need each other: 0 → 1 → 0"),
    ],
)
def test_invalid_selections_are_explained(selection, message):
    problem = Problem.build(2, [(0, 1.0, [1]), (1, 1.0, [0]), (1, 1.0, [])], [0])
    with pytest.raises(InvalidSelectionError, match=message):
        dag_cost(problem, selection)


@pytest.mark.parametrize(
    ("nodes", "roots", "signatures", "message"),
    [
        ([(0, 1.0, [2])], [0], None, "a child to be a class id in 0 … 1, got 2"),
        ([(0, -1.0, [])], [0], None, "node 0: expected a cost >= 0"),
        ([(0, math.nan, [])], [0], None, "node 0: expected a cost >= 0"),
        ([(0, 1.0, [])], [-1], None, "a root to be a class id"),
        ([(5, 1.0, [])], [0], None, "a node's class to be a class id"),
        ([(0, 1.0, [])], [0], ["a", "b"], "one signature per node"),
    ],
)
def test_ill_formed_problems_are_refused(nodes, roots, signatures, message):
    with pytest.raises(ValueError, match=message):
        Problem.build(2, nodes, roots, signatures)
