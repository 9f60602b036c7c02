"""Shrink an extraction problem while keeping at least one optimum, and map selections back.

Everything follows from R(c), the classes that every selection of class c contains (`required`):

* a node of c with c ∈ R(d) for a child d can only be part of a cycle;
* a child d of a node is redundant if another of its children has d in its R;
* node n makes node m of its class superfluous if it costs no more and all its children are in
  R(m's children), because whoever selects m has them already and they lie below the class;
* classes in R(roots) are always paid: their cheapest price is a constant.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from weakref import WeakKeyDictionary

from saturax.extract.problem import InfeasibleProblemError, Problem, Selection, restrict
from saturax.extract.required import RequiredSets, find_required
from saturax.graph.components import strong_components

# Comparing all pairs of a class is quadratic; in huge classes only the cheapest ones compete.
_RIVALS = 60
# A round that leaves nine tenths of nodes and edges is the last: the next ones would find less.
_ROUNDS, _LEFT_IN_VAIN = 6, 0.9
# Without the original, which would live for ever in an entry of its own.
_FOUND: WeakKeyDictionary[Problem, dict[str, Any]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Reduced:
    """A smaller problem and the way back.

    The cost of a selection of `original` is `offset_us` plus that of its image in `problem`.
    """

    original: Problem
    problem: Problem
    offset_us: float
    class_ids: tuple[int, ...]
    """Original class of every reduced class."""
    node_ids: tuple[int, ...]
    """Original node of every reduced node."""
    forced: Mapping[int, int]
    """Original class → its only sensible node, for classes that were folded away."""
    replaced: Mapping[int, int]
    """Superfluous original node → the node that does its work for no more."""

    def expand(self, selection: Mapping[int, int]) -> Selection:
        """Selection of the original problem for a valid one of the reduced problem."""
        wish = dict(self.forced)
        for owner, node in selection.items():
            wish[self.class_ids[owner]] = self.node_ids[node]
        return restrict(self.original, wish)

    def project(self, selection: Mapping[int, int]) -> Selection | None:
        """Image of a valid original selection, of no higher cost; None if it has none.

        There is none only when the selection uses a node of infinite cost.
        """
        new_class = {owner: index for index, owner in enumerate(self.class_ids)}
        new_node = {node: index for index, node in enumerate(self.node_ids)}
        image: Selection = {}
        for owner, node in selection.items():
            while node in self.replaced:
                node = self.replaced[node]
            if owner in new_class and node in new_node:
                image[new_class[owner]] = new_node[node]
        try:
            return restrict(self.problem, image)
        except ValueError:
            return None


def reduce_problem(
    problem: Problem, *, keep_alternatives: bool = False, deadline: float = math.inf
) -> Reduced:
    """Reduce until nothing changes, or until `deadline` (`time.monotonic`) stops it early.

    What nothing stopped is found once a problem: rounds and the last extraction share it.
    With `keep_alternatives`, only nodes that no finite selection can use are removed: the right
    choice when the true objective is not the sum of these prices.

    Raises:
        InfeasibleProblemError: a root has no finite, acyclic choice of nodes.
    """
    if not keep_alternatives and (known := _FOUND.get(problem)) is not None:
        return Reduced(problem, **known)
    work, is_complete = _Work(problem), not keep_alternatives
    for _ in range(_ROUNDS):
        before = work.size()
        work.drop_unusable()
        required = work.required(deadline)
        if required is None:
            is_complete &= time.monotonic() <= deadline
            break
        work.drop_cyclic(required)
        if not keep_alternatives:
            work.drop_redundant_children(required)
            work.drop_dominated(required, deadline)
            work.pay_required(required)
            work.push_costs_up()
            work.fold_single_nodes()
        is_late = time.monotonic() > deadline
        is_done = sum(work.size()) > _LEFT_IN_VAIN * sum(before) or work.size() == before
        if is_done or is_late:
            is_complete &= not is_late
            break
    work.drop_unusable()
    found = work.compact()
    if is_complete:
        parts = {each.name: getattr(found, each.name) for each in fields(found)}
        _FOUND[problem] = {name: part for name, part in parts.items() if name != "original"}
    return found


class _Work:
    """A problem under reduction: live nodes per class, their prices and children."""

    def __init__(self, problem: Problem) -> None:
        self.original = problem
        self.members: dict[int, list[int]] = {
            owner: list(nodes) for owner, nodes in enumerate(problem.members)
        }
        self.cost = list(problem.cost_us)
        self.children: list[tuple[int, ...]] = list(problem.children)
        self.roots = list(problem.roots)
        self.offset_us = 0.0
        self.forced: dict[int, int] = {}
        self.replaced: dict[int, int] = {}
        self.order: list[int] = []  # feasible classes, each after the children of some node

    def size(self) -> tuple[int, int, int, int]:
        """Classes, nodes, edges and roots; unchanged means that a round did nothing."""
        nodes = [node for some in self.members.values() for node in some]
        edges = sum(len(self.children[node]) for node in nodes)
        return len(self.members), len(nodes), edges, len(self.roots)

    def parents(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {owner: [] for owner in self.members}
        for nodes in self.members.values():
            for node in nodes:
                for child in self.children[node]:
                    if child in found:
                        found[child].append(node)
        return found

    def drop_unusable(self) -> None:
        """Remove nodes without a finite derivation, and what the roots cannot reach."""
        parents = self.parents()
        owner_of = self.original.node_class
        missing: dict[int, int] = {}
        ready: deque[int] = deque()
        for owner, nodes in self.members.items():
            for node in nodes:
                if self.cost[node] < math.inf and owner not in self.children[node]:
                    missing[node] = len(self.children[node])
                    if not missing[node]:
                        ready.append(node)
        feasible: dict[int, None] = {}
        while ready:
            owner = owner_of[ready.popleft()]
            if owner in feasible:
                continue
            feasible[owner] = None
            for parent in parents[owner]:
                if parent in missing:
                    missing[parent] -= 1
                    if not missing[parent]:
                        ready.append(parent)
        for root in self.roots:
            if root not in feasible:
                raise InfeasibleProblemError(
                    f"expected a finite, acyclic choice of nodes for root class {root}, but none "
                    "exists; give at least one of the programs in it a finite price"
                )
        usable = {
            owner: [node for node in nodes if missing.get(node, 1) == 0]
            for owner, nodes in self.members.items()
            if owner in feasible
        }
        reached = self._reachable(usable)
        self.members = {owner: nodes for owner, nodes in usable.items() if owner in reached}
        self.order = [owner for owner in feasible if owner in reached]

    def _reachable(self, members: Mapping[int, list[int]]) -> set[int]:
        reached = set(self.roots)
        stack = list(self.roots)
        while stack:
            for node in members[stack.pop()]:
                for child in self.children[node]:
                    if child not in reached:
                        reached.add(child)
                        stack.append(child)
        return reached

    def required(self, deadline: float) -> RequiredSets | None:
        """R of every class; None if that is too large or too late."""
        return find_required(self.order, self.members, self.children, deadline)

    def drop_cyclic(self, required: RequiredSets) -> None:
        """Remove nodes whose children need the node's own class."""
        for owner, nodes in self.members.items():
            own = required.bit[owner]
            self.members[owner] = [n for n in nodes if not required.union(self.children[n]) & own]

    def drop_redundant_children(self, required: RequiredSets) -> None:
        """Remove children (and roots) that another child (root) brings along anyway."""
        for nodes in self.members.values():
            for node in nodes:
                if len(self.children[node]) > 1:
                    self.children[node] = required.without_implied(self.children[node])

    def drop_dominated(self, required: RequiredSets, deadline: float) -> None:
        """Remove nodes for which a rival of the class does the same with less."""
        for owner, nodes in self.members.items():
            if len(nodes) < 2:
                continue
            if time.monotonic() > deadline:
                return
            own = {n: required.mask(self.children[n]) for n in nodes}
            ranked = sorted(nodes, key=lambda n: (self.cost[n], own[n].bit_count(), n))
            kept: list[int] = []
            for node in ranked:
                need = ~required.union(self.children[node])
                rival = next((k for k in kept[:_RIVALS] if not own[k] & need), None)
                if rival is None:
                    kept.append(node)
                else:
                    self.replaced[node] = rival
            self.members[owner] = kept

    def pay_required(self, required: RequiredSets) -> None:
        """Make every class of R(roots) a root, and take its cheapest price as paid.

        As a root it needs no edge to be selected; edges inside a component stay, because they
        may close a cycle.
        """
        mask = required.union(self.roots)
        self.roots = [owner for owner in self.order if mask & required.bit[owner]]
        component = self._components()
        always = set(self.roots)
        for owner, nodes in self.members.items():
            label = component[owner]
            for node in nodes:
                children = self.children[node]
                if any(child in always for child in children):
                    self.children[node] = tuple(
                        d for d in children if d not in always or component[d] == label
                    )
        for owner in self.roots:
            cheapest = min(self.cost[node] for node in self.members[owner])
            self.offset_us += cheapest
            for node in self.members[owner]:
                self.cost[node] -= cheapest

    def _components(self) -> list[int]:
        successors: list[set[int]] = [set() for _ in range(self.original.class_count)]
        for owner, nodes in self.members.items():
            successors[owner].update(*[self.children[node] for node in nodes])
        return strong_components(successors)

    def push_costs_up(self) -> None:
        """Move a class's cheapest price to its parents when they all sit in one class.

        At most one of them is selected then, and it pays exactly once.
        """
        parents = self.parents()
        roots = set(self.roots)
        owner_of = self.original.node_class
        for owner in reversed(self.order):
            above = {owner_of[parent] for parent in parents[owner]}
            if owner in roots or len(above) != 1 or owner in above:
                continue
            cheapest = min(self.cost[node] for node in self.members[owner])
            if cheapest > 0:
                for node in self.members[owner]:
                    self.cost[node] -= cheapest
                for parent in parents[owner]:
                    self.cost[parent] += cheapest

    def fold_single_nodes(self) -> None:
        """Replace a class whose only node is free by that node's children, if it stays small."""
        parents = {owner: set(nodes) for owner, nodes in self.parents().items()}
        roots = set(self.roots)
        for owner in self.order:
            nodes = self.members[owner]
            if len(nodes) != 1 or self.cost[nodes[0]] > 0:
                continue
            children = self.children[nodes[0]]
            users = parents[owner]
            if owner in children or (len(users) > 1 and len(children) > 2):
                continue
            self.forced[owner] = nodes[0]
            del self.members[owner]
            if owner in roots:
                self.roots += [child for child in children if child not in roots]
                roots.update(children)
                self.roots.remove(owner)
            for child in children:
                parents[child].discard(nodes[0])
                parents[child].update(users)
            for user in users:
                rest = [child for child in self.children[user] if child != owner]
                self.children[user] = tuple(dict.fromkeys([*rest, *children]))

    def compact(self) -> Reduced:
        """Number the remaining classes and nodes from 0."""
        class_ids = tuple(self.order)
        new_class = {owner: index for index, owner in enumerate(class_ids)}
        node_ids = tuple(node for owner in class_ids for node in self.members[owner])
        owner_of = self.original.node_class
        kinds = self.original.signatures
        problem = Problem.build(
            len(class_ids),
            (
                (new_class[owner_of[n]], self.cost[n], [new_class[d] for d in self.children[n]])
                for n in node_ids
            ),
            [new_class[root] for root in self.roots],
            tuple(node_ids) if kinds is None else [kinds[n] for n in node_ids],
        )
        return Reduced(
            self.original, problem, self.offset_us, class_ids, node_ids, self.forced, self.replaced
        )
