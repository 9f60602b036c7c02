"""The extraction problem: classes of alternative nodes with prices, and selections of one each.

Independent of e-graphs and tensors. A selection's cost is its *DAG cost*: every needed class is
paid once, however many nodes use it. A selection must be complete and acyclic.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from saturax.graph.components import strong_components

Selection: TypeAlias = dict[int, int]
"""Class id → index of the node chosen for it."""


class InvalidSelectionError(ValueError):
    """A selection is not a program: a class lacks a node, has a foreign one, or needs itself."""


class InfeasibleProblemError(ValueError):
    """No selection exists: some root has no finite, acyclic choice of nodes."""


@dataclass(frozen=True, eq=False)
class ProblemArrays:
    """The nodes of a problem and their edges (node, child class) as numpy arrays."""

    node_class: NDArray[np.int64]
    cost_us: NDArray[np.float64]
    edge_node: NDArray[np.int64]
    edge_child: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Problem:
    """Nodes by index: `node_class[i]`, `cost_us[i]` and `children[i]` describe node i.

    `children` hold distinct class ids. `signatures[i]`, if given, names the kind of kernel that
    node i stands for; nodes of one signature share the random factor when diverse selections are
    drawn. An infinite cost forbids the node. Use `Problem.build`, which checks its arguments.
    """

    class_count: int
    node_class: tuple[int, ...]
    cost_us: tuple[float, ...]
    children: tuple[tuple[int, ...], ...]
    roots: tuple[int, ...]
    signatures: tuple[Hashable, ...] | None = None

    @staticmethod
    def build(
        class_count: int,
        nodes: Iterable[tuple[int, float, Sequence[int]]],
        roots: Iterable[int],
        signatures: Sequence[Hashable] | None = None,
    ) -> Problem:
        """Problem from (class id, cost in microseconds, child class ids) per node.

        >>> problem = Problem.build(2, [(0, 1.0, [1, 1]), (1, 2.0, []), (1, 5.0, [])], [0])
        >>> dag_cost(problem, {0: 0, 1: 1})
        3.0

        Raises:
            ValueError: a class id outside 0 … class_count − 1, a negative or NaN cost, or a
                number of signatures other than the number of nodes.
        """
        rows = list(nodes)
        node_class = tuple([int(row[0]) for row in rows])
        cost_us = tuple([float(row[1]) for row in rows])
        children = tuple([_distinct(row[2]) for row in rows])
        roots = tuple(dict.fromkeys(roots))
        _require_ids("a node's class", node_class, class_count)
        _require_ids("a root", roots, class_count)
        _require_ids("a child", list(chain.from_iterable(children)), class_count)
        if not all(map((0.0).__le__, cost_us)):
            for index, cost in enumerate(cost_us):
                if cost >= 0:
                    continue
                raise ValueError(
                    f"node {index}: expected a cost >= 0 (infinite forbids the node), got {cost}; "
                    "price it in microseconds"
                )
        if signatures is not None and len(signatures) != len(rows):
            raise ValueError(
                f"expected one signature per node ({len(rows)}), got {len(signatures)}; "
                "leave signatures out to treat every node as its own kind"
            )
        kinds = None if signatures is None else tuple(signatures)
        return Problem(class_count, node_class, cost_us, children, roots, kinds)

    @property
    def node_count(self) -> int:
        """Number of nodes."""
        return len(self.node_class)

    @cached_property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """Node indices of every class, ascending."""
        found: list[list[int]] = [[] for _ in range(self.class_count)]
        for node, owner in enumerate(self.node_class):
            found[owner].append(node)
        return tuple(map(tuple, found))

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """For every class, the nodes that have it as a child."""
        found: list[list[int]] = [[] for _ in range(self.class_count)]
        for node, some in enumerate(self.children):
            for child in some:
                found[child].append(node)
        return tuple(map(tuple, found))

    @cached_property
    def arrays(self) -> ProblemArrays:
        """The same data as arrays."""
        count = [len(some) for some in self.children]
        return ProblemArrays(
            np.asarray(self.node_class, dtype=np.int64),
            np.asarray(self.cost_us, dtype=np.float64),
            np.repeat(np.arange(self.node_count), count),
            np.fromiter((c for some in self.children for c in some), np.int64, sum(count)),
        )

    @cached_property
    def component(self) -> tuple[int, ...]:
        """Label of the strongly connected component of every class (cycles stay inside one)."""
        successors: list[set[int]] = [set() for _ in range(self.class_count)]
        for owner, some in zip(self.node_class, self.children, strict=True):
            successors[owner].update(some)
        return tuple(strong_components(successors))

    @cached_property
    def cyclic_classes(self) -> frozenset[int]:
        """Classes whose component has more than one class, or that have a node needing itself."""
        size = [0] * self.class_count
        for label in self.component:
            size[label] += 1
        loops = {c for c, some in zip(self.node_class, self.children, strict=True) if c in some}
        return frozenset(c for c, k in enumerate(self.component) if size[k] > 1) | loops

    def with_costs(self, cost_us: Sequence[float]) -> Problem:
        """The same problem at other prices (shares all structure).

        Members and parents are made now if they were not: every extraction needs them.
        """
        _ = self.members, self.parents
        other = Problem(
            self.class_count,
            self.node_class,
            tuple(cost_us),
            self.children,
            self.roots,
            self.signatures,
        )
        for name in ("members", "parents", "component", "cyclic_classes"):
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name]
        return other


def needed_classes(problem: Problem, selection: Mapping[int, int]) -> list[int]:
    """Classes that the roots need under the selection, every class after its children.

    Raises:
        InvalidSelectionError: the selection is incomplete, cyclic, or names a foreign node.
    """
    node_class, children = problem.node_class, problem.children
    count, chosen = len(node_class), selection.get
    order: list[int] = []
    state = bytearray(problem.class_count)  # 0: not seen; 1: on the path to here; 2: finished
    stack = list(reversed(problem.roots))
    while stack:
        owner = stack.pop()
        if owner < 0:  # what it needs is done
            state[~owner] = 2
            order.append(~owner)
            continue
        if state[owner]:
            if state[owner] == 1:
                raise _cycle_error(problem, selection, owner)
            continue
        node = chosen(owner, -1)
        if not 0 <= node < count or node_class[node] != owner:
            raise _choice_error(problem, owner, selection.get(owner))
        if children[node]:
            state[owner] = 1
            stack.append(~owner)
            stack += children[node][::-1]
        else:
            state[owner] = 2
            order.append(owner)
    return order


def restrict(problem: Problem, selection: Mapping[int, int]) -> Selection:
    """The part of a valid selection that the roots need (raises as `needed_classes`)."""
    return {owner: selection[owner] for owner in needed_classes(problem, selection)}


def is_valid(problem: Problem, selection: Mapping[int, int]) -> bool:
    """Whether the selection is complete and acyclic."""
    try:
        needed_classes(problem, selection)
    except InvalidSelectionError:
        return False
    return True


def dag_cost(problem: Problem, selection: Mapping[int, int]) -> float:
    """Cost in microseconds, every needed class paid once (raises as `needed_classes`)."""
    cost = problem.cost_us
    return math.fsum(cost[selection[owner]] for owner in needed_classes(problem, selection))


def selected_us(problem: Problem, selection: Mapping[int, int]) -> float:
    """`dag_cost` of a valid selection of needed classes only, as `restrict` returns it."""
    return math.fsum(map(problem.cost_us.__getitem__, selection.values()))


def _choice_error(problem: Problem, owner: int, node: int | None) -> InvalidSelectionError:
    if node is None:
        return InvalidSelectionError(
            f"expected a node for class {owner}, which is needed, but the selection has none; "
            "select one node for every class reachable from the roots"
        )
    return InvalidSelectionError(
        f"expected a node of class {owner}, got node {node}, which is not one of its members "
        f"{problem.members[owner]}"
    )


def _cycle_error(
    problem: Problem, selection: Mapping[int, int], owner: int
) -> InvalidSelectionError:
    """The shortest way from a class to itself, as an error."""
    before: dict[int, int] = {}
    queue = deque([owner])
    while owner not in before:
        here = queue.popleft()
        for child in problem.children[selection[here]] if here in selection else ():
            if child not in before:
                before[child] = here
                queue.append(child)
    cycle = [owner, before[owner]]
    while cycle[-1] != owner:
        cycle.append(before[cycle[-1]])
    return InvalidSelectionError(
        "expected an acyclic selection, but these classes need each other: "
        + " → ".join(map(str, reversed(cycle)))
        + "; choose another node for one of them"
    )


def _distinct(ids: Sequence[int]) -> tuple[int, ...]:
    """The distinct ones, in order; mostly there are few, and all are."""
    return tuple(ids) if len(ids) < 2 or len(set(ids)) == len(ids) else tuple(dict.fromkeys(ids))


def _require_ids(what: str, ids: Sequence[int], class_count: int) -> None:
    if ids and not (min(ids) >= 0 and max(ids) < class_count):
        wrong = next(c for c in ids if not 0 <= c < class_count)
        raise ValueError(
            f"expected {what} to be a class id in 0 … {class_count - 1}, got {wrong}; "
            "number the classes consecutively from 0"
        )
