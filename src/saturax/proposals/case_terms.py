"""Elementwise functions evaluated in one case: terms of constants, nodes and new functions."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ir import Node
from saturax.graph.literal import Literal
from saturax.graph.operation import infer
from saturax.graph.ops import constant
from saturax.graph.reference import UnsupportedError, evaluate_operation
from saturax.graph.types import is_integer, numpy_dtype
from saturax.proposals.equality import Equalities
from saturax.proposals.masks import splat_of_node
from saturax.rules.constants import EXACT_BINARY, EXACT_UNARY, holds_numbers

_FOLDED = EXACT_UNARY | EXACT_BINARY | {"select", "clamp"}


@dataclass(frozen=True)
class Term:
    """A constant (`literal`, rank 0), a node of the graph, or a new node of `operands`."""

    dtype: str
    literal: Literal | None = None
    index: int | None = None
    node: Node | None = None
    operands: tuple[Term, ...] = ()

    @property
    def truth(self) -> bool | None:
        """Of a Boolean constant, its value."""
        return bool(self.literal.value) if self.literal and self.dtype == "i1" else None

    @property
    def order(self) -> tuple[int, int]:
        """Constants first, then nodes as they are listed, then new ones."""
        place = 0 if self.literal else 1 if self.index is not None else 2
        return place, self.index or 0

    def negated(self) -> Term:
        """The other Boolean constant."""
        return _boolean(not self.truth)

    def is_number(self, value: int) -> bool:
        """Whether it is this constant (of either sign, for 0)."""
        return self.literal is not None and bool(self.literal.value == value)


def _boolean(value: bool) -> Term:
    return Term("i1", Literal(np.asarray(value)))


class Terms:
    """Evaluates nodes of one graph, and adds what they come to."""

    def __init__(self, equalities: Equalities) -> None:
        self.equalities = equalities
        self.graph = equalities.graph

    def leaf(self, index: int) -> Term:
        """A node as it is."""
        type: Any = self.graph.nodes[index].type
        literal = splat_of_node(self.graph, index)
        if literal is not None:
            return Term(type.dtype, Literal(literal.data))
        return Term(type.dtype, None, index)

    def evaluate(self, root: int, truths: Mapping[int, bool], interior: Set[int]) -> Term:
        """What node `root` is where conditions have these truth values."""
        known = {atom: _boolean(value) for atom, value in truths.items()}
        for index in sorted(interior):
            node = self.graph.nodes[index]
            for operand in node.operands:
                if operand not in known:
                    known[operand] = self.leaf(operand)
            operands = tuple(known[operand] for operand in node.operands)
            known[index] = self._applied(index, node, operands)
        return known[root] if root in known else self.leaf(root)

    def _applied(self, index: int, node: Node, operands: tuple[Term, ...]) -> Term:
        f: Any = node.attributes[0]
        if f == "select":
            condition, first, second = operands
            if condition.truth is not None:
                return first if condition.truth else second
            if first == second:
                return first
        if all(term.literal is not None for term in operands):
            folded = self._folded(node, operands)
            if folded is not None:
                return folded
        if node.op == "binary":
            x, y = operands
            simple = self._simple(f, x, y)
            if simple is None and f in _COMMUTATIVE:
                simple = self._simple(f, y, x)
            if simple is not None:
                return simple
        type: Any = node.type
        if operands == tuple(map(self.leaf, node.operands)):
            return Term(type.dtype, None, index)
        return Term(type.dtype, None, None, node._replace(operands=()), operands)

    def _folded(self, node: Node, operands: tuple[Term, ...]) -> Term | None:
        """A function of constants where every bit of it is specified."""
        f: Any = node.attributes[0]
        literals = [term.literal for term in operands if term.literal is not None]
        name = f if isinstance(f, str) else f[0]
        if name not in ("convert", "compare") and f not in _FOLDED:
            return None
        type: Any = infer(node.op, node.attributes, [literal.type for literal in literals])
        try:
            arrays = [literal.data for literal in literals]
            value = Literal(evaluate_operation(node.op, node.attributes, arrays, type))
        except UnsupportedError:
            return None
        if name == "convert" and not holds_numbers(literals[0], value):
            return None
        return Term(type.dtype, value)

    def _simple(self, f: Any, x: Term, y: Term) -> Term | None:
        """f(x, y) for a constant y that makes it x or y."""
        if y.literal is None:
            return None
        if is_integer(x.dtype):
            return _simple_integer(f, x, y)
        if f == "multiply" and y.is_number(1):
            return x
        if f == "subtract" and y.is_number(0) and not np.signbit(y.literal.value):
            return x
        if f == "add" and y.is_number(0) and self.equalities.may_round(x.dtype):
            return x
        is_absorbed = x.index is not None and f == "multiply" and y.is_number(0)
        return y if is_absorbed and self.equalities.cancels(x.index) else None  # type: ignore[arg-type]

    # -------------------------------------------------------------- adding terms

    def value(self, index: int) -> Value:
        """A node of the graph as an operand."""
        return self.equalities.value(index)

    def build(self, term: Term, shape: tuple[int, ...]) -> Value:
        """Add a term to the graph."""
        if term.literal is not None:
            return constant(Literal(term.literal.data, shape))  # type: ignore[no-any-return]
        if term.index is not None:
            return self.value(term.index)
        assert term.node is not None
        operands = tuple(self.build(operand, shape) for operand in term.operands)
        return self.equalities.builder.make(term.node.op, term.node.attributes, operands)


def new_nodes(*terms: Term) -> int:
    """How many nodes terms add to a graph."""
    found: set[Term] = set()
    pending = list(terms)
    while pending:
        term = pending.pop()
        if term.node is not None and term not in found:
            found.add(term)
            pending += term.operands
    return len(found)


_COMMUTATIVE = frozenset({"add", "multiply", "and", "or", "xor"})
_SHIFTS = frozenset({"shift_left", "shift_right_logical", "shift_right_arithmetic"})


def _simple_integer(f: Any, x: Term, y: Term) -> Term | None:
    """f(x, y) for integers, y a constant, where it is x or y in every bit."""
    all_bits = ~numpy_dtype(x.dtype).type(0)
    is_zero = y.is_number(0)
    has_all = y.literal is not None and bool(y.literal.value == all_bits)
    if is_zero and (f in ("add", "subtract", "or", "xor") or f in _SHIFTS):
        return x
    if (has_all and f == "and") or (y.is_number(1) and f == "multiply"):
        return x
    if (is_zero and f in ("and", "multiply")) or (has_all and f == "or"):
        return y
    return None
