"""Choices and indicators worked out case by case: what depends on a few conditions.

    (x where p ∨ q, else y) where p, else z   =   x where p, else z
    (z where x > 3, else x) where x > 2, else y   has one case less where x > 3 is impossible
    1ₚ + 1ᵩ = 2   is   p ∧ q

In each consistent case conditions are constants, a choice is one of its operands, and functions of
constants are constants. The results are chosen between again, by as few conditions as can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from saturax.graph.build import Value, building
from saturax.graph.ir import Node
from saturax.graph.ops import binary, select, unary
from saturax.graph.types import TensorType
from saturax.proposals.case_conditions import Conditions, Truth
from saturax.proposals.case_terms import Term, Terms, new_nodes
from saturax.proposals.equality import Equalities
from saturax.proposals.masks import splat_of_node

_MOST_CONDITIONS, _MOST_CASES, _MOST_NODES = 6, 64, 24


def work_out_cases(equalities: Equalities) -> None:
    """State what is simpler, case by case, than as it is written."""
    cones = _Cones(equalities)
    for root in cones.candidates():
        table = _table(equalities, cones, root)
        if table is None:
            continue
        tree = _Decisions(table).best()
        if tree is not None and _cost(tree) < len(cones.interior[root]):
            with building(equalities.builder):
                equalities.equate(root, _build(tree, cones, root))


class _Cones:
    """For each node the conditions that it depends on, and the nodes in between."""

    def __init__(self, equalities: Equalities) -> None:
        self.graph = equalities.graph
        self.conditions = Conditions(equalities)
        self.terms = Terms(equalities)
        self.atoms: list[frozenset[int]] = []
        self.interior: list[frozenset[int]] = []
        self.is_pure: list[bool] = []
        self.counts: list[bool] = []
        for index in range(len(self.graph.nodes)):
            self._visit(index)

    def candidates(self) -> Iterator[int]:
        """Nodes that ask about one thing twice, count with conditions, or choose by equality."""
        for index, node in enumerate(self.graph.nodes):
            if not self.interior[index]:
                continue
            about = [
                {self.conditions.subject(atom) for atom in self.atoms[operand]}
                for operand in dict.fromkeys(node.operands)
            ]
            is_repeated = len(set().union(*about)) < sum(map(len, about))
            equalities = any(map(self.conditions.is_equality, self.atoms[index]))
            if is_repeated or self.is_pure[index] or self.counts[index] or equalities:
                yield index

    def _visit(self, index: int) -> None:
        node = self.graph.nodes[index]
        self.atoms.append(frozenset())
        self.interior.append(frozenset())
        self.is_pure.append(splat_of_node(self.graph, index) is not None)
        self.counts.append(False)
        if self.is_pure[index] or not isinstance(node.type, TensorType):
            return
        if node.op in ("unary", "binary", "ternary"):
            self._enter(index, node)
        if node.type.dtype == "i1" and not self.atoms[index]:
            self.atoms[index] = frozenset({index})
            self.interior[index] = frozenset()
            self.is_pure[index] = True

    def _enter(self, index: int, node: Node) -> None:
        """See a function's operands through, unless too much is behind them."""
        is_pure = all(self.is_pure[operand] for operand in node.operands)
        type: TensorType = node.type  # type: ignore[assignment]
        if type.dtype == "i1" and not is_pure:
            return
        atoms = frozenset[int]().union(*(self.atoms[operand] for operand in node.operands))
        interior = frozenset({index}).union(*(self.interior[o] for o in node.operands))
        if 0 < len(atoms) <= _MOST_CONDITIONS and len(interior) <= _MOST_NODES:
            self.atoms[index], self.interior[index] = atoms, interior
            self.is_pure[index] = is_pure
            is_indicator = type.dtype != "i1" and self._is_boolean(node.operands[0])
            is_indicator &= node.op == "unary"
            self.counts[index] = is_indicator or any(self.counts[o] for o in node.operands)

    def _is_boolean(self, index: int) -> bool:
        return self.graph.nodes[index].type.dtype == "i1"  # type: ignore[union-attr]


@dataclass
class _Case:
    """Truth values of the conditions, and the terms that the result may be taken from."""

    truths: tuple[bool, ...]
    results: frozenset[Term]


@dataclass
class _Table:
    atoms: tuple[int, ...]
    cases: list[_Case]


def _table(equalities: Equalities, cones: _Cones, root: int) -> _Table | None:
    """What the root is in each case; None if there are too many."""
    atoms = tuple(sorted(cones.atoms[root]))
    groups = cones.conditions.groups(atoms)
    count = 1
    for group in groups:
        count *= len(group)
    if not 0 < count <= _MOST_CASES:
        return None
    results: dict[tuple[bool, ...], frozenset[Term]] = {}
    for parts in product(*groups):
        truths = {atom: value for part in parts for atom, value in part.values.items()}
        key = tuple(truths[atom] for atom in atoms)
        term = cones.terms.evaluate(root, truths, cones.interior[root])
        allowed = frozenset({term}) | _equal_terms(equalities, cones, term, parts)
        results[key] = results[key] & allowed if key in results else allowed
    return _Table(atoms, [_Case(key, allowed) for key, allowed in results.items()])


def _equal_terms(
    equalities: Equalities, cones: _Cones, term: Term, parts: Sequence[Truth]
) -> frozenset[Term]:
    """The other side, where a case says that a term equals it: up to the signs of zeros."""
    found = set()
    for part in parts:
        for left, right in part.equal:
            sides = [cones.terms.leaf(left), cones.terms.leaf(right)]
            type: Any = equalities.graph.nodes[left].type
            if term in sides and equalities.may_round(type.dtype):
                found.update(sides)
    return frozenset(found)


# ------------------------------------------------------------------ decisions

Tree = Term | tuple[int, Any, Any]
"""A result, or a condition (a node) with what holds where it is true, and where not."""


@dataclass
class _Decisions:
    """The cheapest tree of conditions that tells the cases apart."""

    table: _Table
    known: dict[frozenset[int], Tree] = field(default_factory=dict)

    def best(self) -> Tree | None:
        """The tree for all cases; None if there is none."""
        return self._for(frozenset(range(len(self.table.cases)))) if self.table.cases else None

    def _for(self, cases: frozenset[int]) -> Tree:
        if cases not in self.known:
            self.known[cases] = self._search(cases)
        return self.known[cases]

    def _search(self, cases: frozenset[int]) -> Tree:
        common = frozenset.intersection(*(self.table.cases[i].results for i in cases))
        if common:
            return min(common, key=lambda term: (new_nodes(term), term.order))
        best: tuple[int, Tree] | None = None
        for place, atom in enumerate(self.table.atoms):
            holds = frozenset(i for i in cases if self.table.cases[i].truths[place])
            if not holds or holds == cases:
                continue
            tree = (atom, self._for(holds), self._for(cases - holds))
            cost = _cost(tree)
            if best is None or cost < best[0]:
                best = cost, tree
        assert best is not None  # cases differ in a condition
        return best[1]


def _cost(tree: Tree) -> int:
    """Operations of a tree, each new term counted once."""
    return _choices_of(tree) + new_nodes(*_leaves(tree))


def _choices_of(tree: Tree) -> int:
    if isinstance(tree, Term):
        return 0
    _, first, second = tree
    if isinstance(first, Term) and isinstance(second, Term):
        truths = first.truth, second.truth
        if None not in truths:
            return int(truths != (True, False))
    if _complement(first) == second:
        return 1 + _choices_of(second)
    return 1 + _choices_of(first) + _choices_of(second)


def _complement(tree: Tree) -> Tree | None:
    """The tree with true and false swapped, if it has only these."""
    if isinstance(tree, Term):
        return None if tree.truth is None else tree.negated()
    atom, first, second = tree
    first, second = _complement(first), _complement(second)
    return None if first is None or second is None else (atom, first, second)


def _leaves(tree: Tree) -> list[Term]:
    return [tree] if isinstance(tree, Term) else _leaves(tree[1]) + _leaves(tree[2])


def _build(tree: Tree, cones: _Cones, root: int) -> Value:
    """Add a tree to the graph."""
    type: Any = cones.graph.nodes[root].type
    if isinstance(tree, Term):
        return cones.terms.build(tree, type.shape)
    atom, first, second = tree
    condition = cones.terms.value(atom)
    if isinstance(first, Term) and isinstance(second, Term) and first.truth is not None:
        if second.truth is not None and first.truth != second.truth:
            return condition if first.truth else unary("not", condition)
    if _complement(first) == second:
        differs: Value = binary("xor", condition, _build(second, cones, root))
        return differs
    chosen: Value = select(condition, _build(first, cones, root), _build(second, cones, root))
    return chosen
