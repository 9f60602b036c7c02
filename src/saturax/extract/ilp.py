"""Extraction as an integer linear program, solved exactly or relaxed for a lower bound.

With x_n ∈ {0,1} per node and y_c per class:  minimise Σ cost_n·x_n  subject to
  y_c = Σ_{n∈c} x_n ≤ 1,  y_root = 1,
  y_d ≥ Σ_{n∈c, d∈children(n)} x_n          for every pair (c, d): the nodes of one class exclude
                                             each other, so their sum bounds tighter than each one.
Cycles are possible only inside strongly connected components. They are excluded either by order
variables, t_c − t_d ≥ 1 − k·(1 − Σ x_n) with k the size of the component, or by cuts for the cycles
that solutions turn out to have:  Σ_i a_i ≤ Σ_{i≠j} y_{c_i}, with a_i the nodes of c_i that have
child c_{i+1}. It holds for every j because a_i ≤ y_{c_i} and a_i ≤ y_{c_{i+1}}.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from saturax.extract.greedy import derive
from saturax.extract.problem import (
    Problem,
    Selection,
    dag_cost,
    needed_classes,
)
from saturax.extract.solver import Program, SolverProcess

# Bounds are lowered by this share: the solver works with tolerances of 1e-7.
_BOUND_SLACK = 1e-6
# Cuts of a cycle are added for all its classes if it is short, for one of them otherwise.
_SHORT_CYCLE = 4

Cycle = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Formulation:
    """A program whose columns are `nodes`, then `classes`, then maybe order variables."""

    problem: Problem
    program: Program
    nodes: NDArray[np.int64]
    classes: NDArray[np.int64]

    def selection(self, values: NDArray[np.float64]) -> Selection:
        """The nodes that a solution chooses (needed or not; maybe cyclic if that is allowed)."""
        chosen = self.nodes[np.flatnonzero(values[: len(self.nodes)] > 0.5)].tolist()
        return {self.problem.node_class[node]: node for node in chosen}

    def point(self, selection: Mapping[int, int]) -> NDArray[np.float64]:
        """The solution that a valid selection corresponds to."""
        order = needed_classes(self.problem, selection)
        values = np.zeros(len(self.program.cost))
        rank = {owner: index for index, owner in enumerate(self.classes.tolist())}
        chosen = np.asarray([selection[owner] for owner in order], dtype=np.int64)
        ranks = np.asarray([rank[owner] for owner in order], dtype=np.int64)
        values[np.searchsorted(self.nodes, chosen)] = 1.0
        values[len(self.nodes) + ranks] = 1.0
        first = len(self.nodes) + len(self.classes)
        if len(values) > first:
            seen: dict[int, int] = {}  # component → classes of it so far, bottom-up
            for owner, index in zip(order, ranks.tolist(), strict=True):
                label = self.problem.component[owner]
                values[first + index] = seen[label] = seen.get(label, -1) + 1
        return values


class _Rows:
    """Rows under construction, as coordinates."""

    def __init__(self) -> None:
        self.count = 0
        self.row: list[NDArray[np.int64]] = []
        self.column: list[NDArray[np.int64]] = []
        self.value: list[NDArray[np.float64]] = []
        self.lower: list[NDArray[np.float64]] = []
        self.upper: list[NDArray[np.float64]] = []

    def add(self, count: int, lower: float, upper: float) -> int:
        """Append rows with these limits; the index of the first."""
        first = self.count
        self.count += count
        self.lower.append(np.full(count, lower))
        self.upper.append(np.full(count, upper))
        return first

    def put(self, row: NDArray[np.int64], column: NDArray[np.int64], value: float) -> None:
        self.row.append(row)
        self.column.append(column)
        self.value.append(np.full(len(row), value))


def formulate(
    problem: Problem,
    nodes: NDArray[np.int64] | None = None,
    *,
    order_variables: bool = False,
    cycles: Iterable[Cycle] = (),
) -> Formulation:
    """The program over `nodes` (ascending; default: all of finite cost), cyclic ones allowed unless
    `order_variables` or cuts for `cycles` forbid them. Nodes with a child outside are left out.
    """
    arrays = problem.arrays
    if nodes is None:
        nodes = np.flatnonzero(np.isfinite(arrays.cost_us))
    column_of = np.full(problem.node_count, -1)
    column_of[nodes] = np.arange(len(nodes))
    owner = arrays.node_class[nodes]
    classes = np.unique(np.concatenate([owner, np.asarray(problem.roots, dtype=np.int64)]))
    rank = np.full(problem.class_count, -1)
    rank[classes] = np.arange(len(classes))
    edges = np.flatnonzero(column_of[arrays.edge_node] >= 0)
    column = column_of[arrays.edge_node[edges]]
    child = rank[arrays.edge_child[edges]]
    upper = np.ones(len(nodes))
    upper[column[child < 0]] = 0.0
    column, child = column[child >= 0], child[child >= 0]

    rows = _Rows()
    every_node, every_class = np.arange(len(nodes)), np.arange(len(classes))
    first = rows.add(len(classes), 0.0, 0.0)
    rows.put(first + rank[owner], every_node, 1.0)
    rows.put(first + every_class, len(nodes) + every_class, -1.0)

    pairs, pair = np.unique(rank[owner[column]] * len(classes) + child, return_inverse=True)
    above, below = np.divmod(pairs, max(len(classes), 1))
    first = rows.add(len(pairs), -np.inf, 0.0)
    rows.put(first + pair, column, 1.0)
    rows.put(first + np.arange(len(pairs)), len(nodes) + below, -1.0)

    sizes = np.zeros(0)
    if order_variables:
        labels = np.asarray(problem.component, dtype=np.int64)[classes]
        sizes = np.bincount(labels, minlength=1)[labels].astype(np.float64)
        _add_order_rows(rows, len(nodes), (above, below), (column, pair), labels, sizes)
    _add_cycle_cuts(rows, problem, column_of, rank, len(nodes), cycles)

    column_count = len(nodes) + len(classes) + len(sizes)
    matrix = csr_array(
        (
            np.concatenate(rows.value),
            (np.concatenate(rows.row), np.concatenate(rows.column)),
        ),
        shape=(rows.count, column_count),
    )
    lower = np.zeros(column_count)
    lower[len(nodes) + rank[np.asarray(problem.roots, dtype=np.int64)]] = 1.0
    program = Program(
        cost=np.concatenate([arrays.cost_us[nodes], np.zeros(column_count - len(nodes))]),
        lower=lower,
        upper=np.concatenate([upper, np.ones(len(classes)), np.maximum(sizes - 1, 0)]),
        integer=np.arange(column_count) < len(nodes),
        row_lower=np.concatenate(rows.lower),
        row_upper=np.concatenate(rows.upper),
        row_start=matrix.indptr.astype(np.int32),
        column=matrix.indices.astype(np.int32),
        value=matrix.data,
    )
    return Formulation(problem, program, nodes, classes)


def _add_order_rows(
    rows: _Rows,
    node_count: int,
    ends: tuple[NDArray[np.int64], NDArray[np.int64]],
    uses: tuple[NDArray[np.int64], NDArray[np.int64]],
    labels: NDArray[np.int64],
    sizes: NDArray[np.float64],
) -> None:
    """t_c − t_d − k·Σx ≥ 1 − k for the pairs (c, d) of one component of size k."""
    above, below = ends
    column, pair = uses
    inside = np.flatnonzero(labels[above] == labels[below])
    row_of = np.full(len(above), -1)
    for size in np.unique(sizes[above[inside]]).tolist():
        some = inside[sizes[above[inside]] == size]
        first = rows.add(len(some), 1.0 - size, np.inf)
        row = first + np.arange(len(some))
        row_of[some] = row
        time_column = node_count + len(labels)
        rows.put(row, time_column + above[some], 1.0)
        rows.put(row, time_column + below[some], -1.0)
        used = np.isin(pair, some)
        rows.put(row_of[pair[used]], column[used], -size)


def _add_cycle_cuts(
    rows: _Rows,
    problem: Problem,
    column_of: NDArray[np.int64],
    rank: NDArray[np.int64],
    node_count: int,
    cycles: Iterable[Cycle],
) -> None:
    for cycle in cycles:
        using = [
            int(column_of[node])
            for owner, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True)
            for node in problem.members[owner]
            if column_of[node] >= 0 and after in problem.children[node]
        ]
        skips = cycle if len(cycle) <= _SHORT_CYCLE else cycle[:1]
        for skip in skips:
            paid = [node_count + int(rank[c]) for c in cycle if c != skip and rank[c] >= 0]
            first = np.asarray([rows.add(1, -np.inf, 0.0)])
            rows.put(np.repeat(first, len(using)), np.asarray(using, dtype=np.int64), 1.0)
            rows.put(np.repeat(first, len(paid)), np.asarray(paid, dtype=np.int64), -1.0)


def short_cycles(problem: Problem) -> list[Cycle]:
    """All pairs of classes that can need each other directly."""
    owner_of = problem.node_class
    pairs = {
        (owner_of[node], child) for node, some in enumerate(problem.children) for child in some
    }
    return sorted((c, d) for c, d in pairs if c < d and (d, c) in pairs)


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
    on_improvement: Callable[[Selection, float], None] | None = None,
) -> ExactResult:
    """Optimal selection, or the best found by `deadline` (`time.monotonic`), and a bound.

    Never raises on account of the solver, and never returns worse than the incumbent.
    """
    best, cost_us = dict(incumbent), dag_cost(problem, incumbent)
    bound_us, rounds = 0.0, 0
    cycles = dict.fromkeys(short_cycles(problem))
    status = "time limit"
    while time.monotonic() < deadline:
        rounds += 1
        form = formulate(problem, order_variables=order_variables, cycles=cycles)
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


def relaxation_bound(
    problem: Problem, *, solver: SolverProcess, deadline: float
) -> tuple[float, str]:
    """Lower bound in microseconds from the linear relaxation (cycles cut only between pairs).

    Returns 0 and the reason when the solver gives none.
    """
    program = formulate(problem, cycles=short_cycles(problem)).program
    relaxed = replace(program, integer=np.zeros(len(program.cost), dtype=np.bool_))
    answer = solver.solve(relaxed, deadline=deadline)
    bound_us = 0.0 if answer.bound_us is None else answer.bound_us * (1 - _BOUND_SLACK)
    return max(bound_us, 0.0), answer.status
