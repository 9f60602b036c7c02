"""Extraction as a linear program in 0/1 variables.

With x_n per node and y_c per class: minimise Σ cost_n·x_n subject to
  y_c = Σ_{n∈c} x_n ≤ 1,  y_root = 1,
  y_d ≥ Σ_{n∈c, d∈children(n)} x_n          for every pair (c, d): the nodes of one class exclude
                                             each other, so their sum bounds tighter than each one.
Cycles are possible only inside strongly connected components. They are excluded either by order
variables, t_c − t_d ≥ 1 − k·(1 − Σ x_n) with k the size of the component, or by cuts for the cycles
that solutions turn out to have:  Σ_i a_i ≤ Σ_{i≠j} y_{c_i}, with a_i the nodes of c_i that have
child c_{i+1}. It holds for every j because a_i ≤ y_{c_i} and a_i ≤ y_{c_{i+1}}.

Without more, the relaxation is nearly worthless: it takes half of each of two forms of a value,
derives one half from the other, and halves again below. Landmarks, sets of nodes of which every
selection has one, mend that: Σ x_n ≥ 1 over each (`landmarks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saturax.extract.problem import Problem, Selection, needed_classes
from saturax.extract.solver import Program

# Cuts of a cycle are added for all its classes if it is short, for one of them otherwise.
_SHORT_CYCLE = 4

Cycle = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Formulation:
    """A program with a column per node, then per class, and per class again for orders."""

    problem: Problem
    program: Program
    has_order: bool

    def selection(self, values: NDArray[np.float64]) -> Selection:
        """The nodes that a solution chooses (needed or not; maybe cyclic if that is allowed)."""
        chosen = np.flatnonzero(values[: self.problem.node_count] > 0.5).tolist()
        return {self.problem.node_class[node]: node for node in chosen}

    def point(self, selection: Mapping[int, int]) -> NDArray[np.float64]:
        """The solution that a valid selection corresponds to."""
        problem = self.problem
        nodes, classes = problem.node_count, problem.class_count
        values = np.zeros(len(self.program.cost))
        seen: dict[int, int] = {}  # component → classes of it so far, bottom-up
        for owner in needed_classes(problem, selection):
            values[selection[owner]] = values[nodes + owner] = 1.0
            if self.has_order:
                label = problem.component[owner]
                values[nodes + classes + owner] = seen[label] = seen.get(label, -1) + 1
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
        """Entries of one value."""
        self.row.append(row)
        self.column.append(column)
        self.value.append(np.full(len(row), value))

    def at_most(self, smaller: Sequence[int], larger: Sequence[int]) -> None:
        """One row: the sum of some columns is at most that of others."""
        first = self.add(1, -np.inf, 0.0)
        for columns, value in ((smaller, 1.0), (larger, -1.0)):
            self.put(np.full(len(columns), first), np.asarray(columns, dtype=np.int64), value)

    def at_least_one(self, columns: Sequence[int]) -> None:
        """One row: the sum of some columns is at least one."""
        first = self.add(1, 1.0, np.inf)
        self.put(np.full(len(columns), first), np.asarray(columns, dtype=np.int64), 1.0)

    def matrix(
        self, column_count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
        """Where each row starts, the columns and the values: entries that meet are added."""
        row, column = np.concatenate(self.row), np.concatenate(self.column)
        places, entry = np.unique(row * column_count + column, return_inverse=True)
        value = np.zeros(len(places))
        np.add.at(value, entry, np.concatenate(self.value))
        rows, columns = np.divmod(places, column_count)
        start: NDArray[np.int32] = np.searchsorted(rows, np.arange(self.count + 1)).astype(np.int32)
        return start, columns.astype(np.int32), value


def formulate(
    problem: Problem,
    *,
    order_variables: bool = False,
    cycles: Iterable[Cycle] = (),
    landmarks: Iterable[Sequence[int]] = (),
) -> Formulation:
    """The program of a problem; cyclic solutions are possible unless `order_variables` or cuts
    for `cycles` forbid them.
    """
    arrays = problem.arrays
    nodes, classes = problem.node_count, problem.class_count
    rows = _Rows()
    every_class = np.arange(classes)
    first = rows.add(classes, 0.0, 0.0)
    rows.put(first + arrays.node_class, np.arange(nodes), 1.0)
    rows.put(first + every_class, nodes + every_class, -1.0)

    owner = arrays.node_class[arrays.edge_node]
    pairs, pair = np.unique(owner * classes + arrays.edge_child, return_inverse=True)
    above, below = np.divmod(pairs, max(classes, 1))
    first = rows.add(len(pairs), -np.inf, 0.0)
    rows.put(first + pair, arrays.edge_node, 1.0)
    rows.put(first + np.arange(len(pairs)), nodes + below, -1.0)

    latest = np.zeros(0)
    if order_variables:
        latest = _add_order_rows(rows, problem, above, below, pair)
    for cycle in cycles:
        _add_cycle_cuts(rows, problem, cycle)
    for landmark in landmarks:
        rows.at_least_one(landmark)
    cost = np.zeros(nodes + classes + len(latest))
    usable = np.isfinite(arrays.cost_us)
    cost[:nodes] = np.where(usable, arrays.cost_us, 0.0)
    lower = np.zeros(len(cost))
    lower[[nodes + root for root in problem.roots]] = 1.0
    row_start, column, value = rows.matrix(len(cost))
    program = Program(
        cost=cost,
        lower=lower,
        upper=np.concatenate([usable, np.ones(classes), latest]).astype(np.float64),
        integer=np.arange(len(cost)) < nodes,
        row_lower=np.concatenate(rows.lower),
        row_upper=np.concatenate(rows.upper),
        row_start=row_start,
        column=column,
        value=value,
    )
    return Formulation(problem, program, order_variables)


def _add_order_rows(
    rows: _Rows,
    problem: Problem,
    above: NDArray[np.int64],
    below: NDArray[np.int64],
    pair: NDArray[np.int64],
) -> NDArray[np.float64]:
    """t_c − t_d − k·Σx ≥ 1 − k for the pairs (c, d) of one component; the upper limits of t."""
    labels = np.asarray(problem.component, dtype=np.int64)
    sizes = np.bincount(labels, minlength=1)[labels].astype(np.float64)
    first_column = problem.node_count + problem.class_count
    inside = np.flatnonzero(labels[above] == labels[below])
    row_of = np.full(len(above), -1)
    for size in np.unique(sizes[above[inside]]).tolist():
        some = inside[sizes[above[inside]] == size]
        row = rows.add(len(some), 1.0 - size, np.inf) + np.arange(len(some))
        row_of[some] = row
        rows.put(row, first_column + above[some], 1.0)
        rows.put(row, first_column + below[some], -1.0)
        used = np.isin(pair, some)
        rows.put(row_of[pair[used]], problem.arrays.edge_node[used], -size)
    return sizes - 1


def _add_cycle_cuts(rows: _Rows, problem: Problem, cycle: Cycle) -> None:
    using = [
        node
        for owner, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True)
        for node in problem.members[owner]
        if after in problem.children[node]
    ]
    for skip in cycle if len(cycle) <= _SHORT_CYCLE else cycle[:1]:
        rows.at_most(using, [problem.node_count + c for c in cycle if c != skip])


def short_cycles(problem: Problem) -> list[Cycle]:
    """All pairs of classes that can need each other directly."""
    owner_of = problem.node_class
    pairs = {
        (owner_of[node], child) for node, some in enumerate(problem.children) for child in some
    }
    return sorted((c, d) for c, d in pairs if c < d and (d, c) in pairs)
