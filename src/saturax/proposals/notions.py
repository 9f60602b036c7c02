"""Calls of libraries that together are one notion: a solve by LU, a Cholesky factor, log|det|.

JAX writes a solve as a factorisation, a permutation and two triangular solves, with NaN where the
library reports a failure. What is found here is that very construction; rules then reason about
the notion (`saturax.rules.linear_algebra`). Where the matrix is positive definite by construction,
a solve and a determinant are stated by Cholesky, too: half the work, and no permutation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value, building
from saturax.graph.ir import Node
from saturax.graph.ops import (
    Triangle,
    add,
    cholesky,
    determinant_sign,
    full,
    log_abs_determinant,
    reduce_,
    solve,
    unary,
)
from saturax.proposals.determinant_signs import DeterminantSigns
from saturax.proposals.equality import Equalities
from saturax.proposals.library_calls import Calls, Factors
from saturax.proposals.positive_definite import is_positive_definite
from saturax.proposals.row_permutations import RowPermutations
from saturax.rules.factors import cholesky_factor, cholesky_solution, diagonal_of
from saturax.rules.rule import ROUNDING
from saturax.rules.solving import swapped

_UNIT_LOWER, _UPPER = Triangle(True, True, True), Triangle(True, False, False)
_TRANSPOSED = "TRANSPOSE"


def recognize_notions(found: Equalities) -> None:
    """State what notions the calls of the graph are."""
    if found.numerics < ROUNDING:
        return
    notions = _Notions(found)
    with building(found.builder):
        for index, node in enumerate(found.graph.nodes):
            for value in notions.of(node):
                found.equate(index, value)


class _Notions:
    """What nodes of a graph stand for."""

    def __init__(self, found: Equalities) -> None:
        self._found = found
        self._nodes = found.graph.nodes
        self._calls = Calls(found.graph)
        self._rows = RowPermutations(found)
        self._signs = DeterminantSigns(found.graph, self._calls)

    def of(self, node: Node) -> list[Value]:
        """Notions that equal a node, and better ways to compute them."""
        if node.op == "triangular_solve":
            return self._solution(node)
        if node.op == "gather":
            return self._transposed_solution(node)
        if node.op == "ternary" and node.attributes[0] == "select":
            return (
                self._cholesky_factor(node)
                or self._checked_determinant(node)
                or self._determinant_sign(node)
            )
        if node.op == "reduce" and node.attributes[0] == "add":
            return self._log_determinant(node)
        return []

    def _solution(self, node: Node) -> list[Value]:
        """A solve by LU, whose last step a triangular solve is."""
        packed, right = node.operands
        factors = self._calls.factors(packed)
        half = self._nodes[self._rows.same_shape(right)]
        if factors is None or not _is_step(node, _UPPER, packed):
            return []
        if not _is_step(half, _UNIT_LOWER, packed):
            return []
        value = self._rows.permuted(half.operands[1], factors)
        return [] if value is None else self._solved(factors, value)

    def _solved(self, factors: Factors, b: Value) -> list[Value]:
        a, routine = self._found.value(factors.matrix), factors.routine
        solutions = [solve(a, b, routine)]
        if is_positive_definite(a):
            solutions.append(cholesky_solution(a, b, routine))
        return solutions

    def _transposed_solution(self, node: Node) -> list[Value]:
        """A solve with the transpose of the matrix that was factored; its rows come last."""
        source = self._rows.moved_from(node.operands[0])
        last = self._nodes[source]
        if last.op != "triangular_solve":
            return []
        packed = last.operands[0]
        factors = self._calls.factors(packed)
        first = self._nodes[self._rows.same_shape(last.operands[1])]
        if factors is None or not _is_step(last, _UNIT_LOWER, packed, _TRANSPOSED):
            return []
        if not _is_step(first, _UPPER, packed, _TRANSPOSED):
            return []
        b = self._found.value(self._rows.same_shape(first.operands[1]))
        solution = solve(swapped(self._found.value(factors.matrix)), b, factors.routine)
        value = self._rows.unpermuted(node, source, solution, factors)
        return [] if value is None else [value]

    def _cholesky_factor(self, node: Node) -> list[Value]:
        """A Cholesky factor whose upper triangle is masked."""
        mask, masked, zeros = node.operands
        if not self._calls.is_mask(mask, "GE") or not self._calls.is_splat(zeros, 0):
            return []
        call = self._calls.checked(masked, "cholesky_call", "EQ", 1)
        if call is None:
            return []
        (matrix,) = self._nodes[call].operands
        routine: Any = self._nodes[call].attributes[0]
        return [cholesky(self._found.value(matrix), routine)]

    def _log_determinant(self, node: Node) -> list[Value]:
        """log|det| as the sum of the logarithms of the diagonal of LU."""
        return self._determinant(node)[1]

    def _checked_determinant(self, node: Node) -> list[Value]:
        """-∞ where some element of the diagonal of LU is 0, else log|det|, which is -∞ there."""
        predicate, singular, total = node.operands
        some = self._nodes[predicate]
        if not self._calls.is_splat(singular, -np.inf) or self._nodes[total].op != "reduce":
            return []
        if some.op != "reduce" or some.attributes != ("or", self._nodes[total].attributes[1]):
            return []
        compared = self._nodes[some.operands[0]]
        if compared.attributes[:1] != (("compare", "EQ", "FLOAT"),):
            return []
        diagonal, zeros = compared.operands
        found, values = self._determinant(self._nodes[total])
        return values if found == diagonal and self._calls.is_splat(zeros, 0) else []

    def _determinant_sign(self, node: Node) -> list[Value]:
        """The sign of a determinant: 1 where the matrix is positive definite."""
        factors = self._signs.factors(node)
        if factors is None:
            return []
        a = self._found.value(factors.matrix)
        signs = [determinant_sign(a, factors.routine)]
        if is_positive_definite(a):
            signs.append(full(1, signs[0].tensor))
        return signs

    def _determinant(self, node: Node) -> tuple[int | None, list[Value]]:
        """The diagonal of LU the logarithms of whose elements a node adds up, and log|det|."""
        if node.attributes[0] != "add":
            return None, []
        (source,) = node.operands
        for f in ("log", "abs"):
            inner = self._nodes[source]
            if inner.op != "unary" or inner.attributes[0] != f:
                return None, []
            (source,) = inner.operands
        diagonal, packed = source, self._calls.diagonal_source(source)
        factors = None if packed is None else self._calls.factors(packed)
        if factors is None:
            return None, []
        a, routine = self._found.value(factors.matrix), factors.routine
        if node.attributes[1] != (a.rank - 2,):
            return None, []
        values = [log_abs_determinant(a, routine)]
        if is_positive_definite(a):
            logarithms = unary("log", diagonal_of(cholesky_factor(a, routine)))
            half = reduce_("add", logarithms, (a.rank - 2,))
            values.append(add(half, half))
        return diagonal, values


def _is_step(node: Node, triangle: Triangle, packed: int, transpose: str = "NO_TRANSPOSE") -> bool:
    """Whether a node solves with a triangle of packed factors."""
    if node.op != "triangular_solve" or node.operands[0] != packed:
        return False
    return node.attributes[0] == triangle._replace(transpose=transpose)
