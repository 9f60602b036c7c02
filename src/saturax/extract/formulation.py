"""Extraction as a linear program in 0/1 variables.

With x_n per node and y_c per class: minimise Σ cost_n·x_n subject to
  y_c = Σ_{n∈c} x_n ≤ 1,  y_root = 1,
  y_d ≥ Σ_{n∈c, d∈children(n)} x_n          for every pair (c, d): the nodes of one class exclude
                                             each other, so their sum bounds tighter than each one.
Cycles are possible only inside strongly connected components. They are excluded either by order
variables, t_c − t_d ≥ 1 − k·(1 − Σ x_n) with k the size of the component, or by cuts for the cycles
that solutions turn out to have:  Σ_i a_i ≤ Σ_{i≠j} y_{c_i}, with a_i the nodes of c_i that have
child c_{i+1}. It holds for every j because a_i ≤ y_{c_i} and a_i ≤ y_{c_{i+1}}.

Without more, the relaxation is nearly worthless: it takes half of each of two layouts of a value,
derives one half from the other, and halves again below. So classes are grouped (two that can need
each other directly belong together), with u_V for "some class of group V is needed". The lowest
class needed in a group uses a node with no child in it (a *bottom* node); let R(V) be the groups
that everything below V's bottom nodes needs, R(n) those below node n. Then
  y_c ≤ u_V ≤ Σ_{bottom nodes of V} x_n     for c ∈ V,
  u_V ≤ u_W                                 for W ∈ R(V), the nearest ones,
  Σ_{n∈c, W∈R(n)} x_n ≤ u_W                 for W that some node of c has a child in.
These hold for any grouping. On tensor-like e-graphs they lift the bound from a tenth of the best
known cost to four fifths (`benchmarks/extraction.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saturax.extract.problem import InfeasibleProblemError, Problem, Selection, needed_classes
from saturax.extract.reduce import required_sets
from saturax.extract.required import RequiredSets
from saturax.extract.solver import Program
from saturax.graph.components import linked_components

# Cuts of a cycle are added for all its classes if it is short, for one of them otherwise.
_SHORT_CYCLE = 4

Cycle = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Formulation:
    """A program with a column per node, then per class, per class again for orders, per group."""

    problem: Problem
    program: Program
    has_order: bool
    group_column: Mapping[int, int]
    """Column of u_V by group label; for a group of one class, that of the class."""
    groups: Sequence[int]

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
            if self.groups[owner] in self.group_column:
                values[self.group_column[self.groups[owner]]] = 1.0
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
    groups: Sequence[int] | None = None,
) -> Formulation:
    """The program of a problem; cyclic solutions are possible unless `order_variables` or cuts
    for `cycles` forbid them. `groups` labels the classes (default: `mutual_groups`).
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
    labels = mutual_groups(problem) if groups is None else groups
    group_column = _add_group_rows(rows, problem, labels, nodes + classes + len(latest))

    group_count = sum(column >= nodes + classes for column in group_column.values())
    ones = np.ones(classes + group_count)
    cost = np.zeros(nodes + classes + len(latest) + group_count)
    usable = np.isfinite(arrays.cost_us)
    cost[:nodes] = np.where(usable, arrays.cost_us, 0.0)
    lower = np.zeros(len(cost))
    lower[[nodes + root for root in problem.roots]] = 1.0
    row_start, column, value = rows.matrix(len(cost))
    program = Program(
        cost=cost,
        lower=lower,
        upper=np.concatenate([usable, ones[:classes], latest, ones[classes:]]).astype(np.float64),
        integer=np.arange(len(cost)) < nodes,
        row_lower=np.concatenate(rows.lower),
        row_upper=np.concatenate(rows.upper),
        row_start=row_start,
        column=column,
        value=value,
    )
    return Formulation(problem, program, order_variables, group_column, labels)


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


def mutual_groups(problem: Problem) -> list[int]:
    """Labels of classes: linked by mutual direct need means the same group."""
    return linked_components(problem.class_count, short_cycles(problem))


def _add_group_rows(
    rows: _Rows, problem: Problem, labels: Sequence[int], next_column: int
) -> dict[int, int]:
    """The rows on groups; the column of u_V by label. None if the problem is infeasible or huge."""
    found = _required_groups(problem, labels)
    if found is None:
        return {}
    members: dict[int, list[int]] = {label: [] for label in found.order}
    for owner, label in enumerate(labels):
        if label in members:
            members[label].append(owner)
    column: dict[int, int] = {}
    for label, owners in members.items():
        column[label] = problem.node_count + owners[0]
        if len(owners) > 1:
            column[label] = next_column
            next_column += 1
            inside = set(owners)
            nodes = [node for owner in owners for node in problem.members[owner]]
            bottom = [node for node in nodes if inside.isdisjoint(problem.children[node])]
            rows.at_most([column[label]], bottom)
            for owner in owners:
                rows.at_most([problem.node_count + owner], [column[label]])
    for label in found.order:
        for nearest in found.nearest(label):
            rows.at_most([column[label]], [column[nearest]])
    for label, owners in members.items():
        for owner in owners:
            _add_lifted_rows(rows, problem, labels, found, column, label, problem.members[owner])
    return column


def _add_lifted_rows(
    rows: _Rows,
    problem: Problem,
    labels: Sequence[int],
    found: RequiredSets,
    column: Mapping[int, int],
    label: int,
    nodes: Sequence[int],
) -> None:
    """Σ x_n ≤ u_W over the nodes of one class that need group W, for the groups of children."""
    needs: dict[int, int] = {}
    targets: set[int] = set()
    for node in nodes:
        outside = {labels[child] for child in problem.children[node]} - {label}
        if outside <= column.keys():
            needs[node] = found.union(outside)
            targets |= outside
    for target in sorted(targets):
        using = [node for node, mask in needs.items() if mask & found.bit[target]]
        rows.at_most(using, [column[target]])


def _required_groups(problem: Problem, labels: Sequence[int]) -> RequiredSets | None:
    """R of every group: the required classes of the problem whose classes are the groups."""
    rows = []
    for node, some in enumerate(problem.children):
        own = labels[problem.node_class[node]]
        groups = {labels[child] for child in some}
        if own not in groups and problem.cost_us[node] < math.inf:
            rows.append((own, 0.0, sorted(groups)))
    contracted = Problem.build(
        max(labels, default=-1) + 1, rows, [labels[root] for root in problem.roots]
    )
    try:
        return required_sets(contracted)
    except InfeasibleProblemError:
        return None
