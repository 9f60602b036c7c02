"""Calls of libraries that together are one notion: a solve by LU, a Cholesky factor, log|det|.

JAX writes a solve as a factorisation, a permutation and two triangular solves, with NaN where the
library reports a failure. What is found here is that very construction; rules then reason about
the notion (`saturax.rules.linear_algebra`). Where the matrix is positive definite by construction,
a solve and a determinant are stated by Cholesky, too: half the work, and no permutation. Solves by
Cholesky are solves: of a diagonal, a product of triangles, an identity plus few columns, too.
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
    multiply,
    reduce_,
    solve,
    unary,
)
from saturax.graph.types import is_complex
from saturax.proposals.determinant_signs import DeterminantSigns
from saturax.proposals.equality import Equalities
from saturax.proposals.library_calls import Calls, Factors, rank_of
from saturax.proposals.positive_definite import is_positive_definite, is_semidefinite
from saturax.proposals.row_permutations import RowPermutations
from saturax.rules.factors import cholesky_factor, cholesky_solution, diagonal_of
from saturax.rules.facts import is_symmetric
from saturax.rules.rule import FINITE, ROUNDING
from saturax.rules.solving import swap, swapped

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
        if factors is None:
            return self._definite_solution(node, half)
        if not _is_step(node, _UPPER, packed):
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

    def _definite_solution(self, node: Node, half: Node) -> list[Value]:
        """A solve by Cholesky, whose second step a triangular solve is."""
        if half.op != "triangular_solve":
            return []
        call, is_forward = self._cholesky_step(half)
        if call is None or not is_forward or self._cholesky_step(node) != (call, False):
            return []
        a = self._definite(self._nodes[call].operands[0])
        routine: Any = self._nodes[call].attributes[0]
        b = self._found.value(half.operands[1])
        return [] if a is None else [solve(a, b, routine)]

    def _cholesky_step(self, node: Node) -> tuple[int | None, bool]:
        """The call that made the factor L of a triangular solve, and whether it is L, not Lᵀ."""
        triangle, factor = Triangle(*node.attributes[0]), node.operands[0]  # type: ignore[misc]
        is_lower, is_forward = triangle.is_lower, triangle.transpose == "NO_TRANSPOSE"
        while self._nodes[factor].op == "transpose":
            if self._nodes[factor].attributes[0] != swap(rank_of(self._nodes[factor].type)):
                return None, False
            (factor,) = self._nodes[factor].operands
            is_lower, is_forward = not is_lower, not is_forward
        if not triangle.is_left or triangle.is_unit or not is_lower:
            return None, False
        return self._calls.cholesky(factor), is_forward

    def _definite(self, index: int) -> Value | None:
        """The real matrix that a node is, or is the transpose of, if a Cholesky factor of it that
        is a number proves it positive definite: if it is so, or symmetric, by construction.
        """
        while self._nodes[index].op == "transpose":
            if self._nodes[index].attributes[0] != swap(rank_of(self._nodes[index].type)):
                return None
            (index,) = self._nodes[index].operands
        a = self._found.value(index)
        if is_positive_definite(a):
            return a
        is_taken = self._found.numerics >= FINITE and not is_complex(a.dtype)
        return a if is_taken and (is_semidefinite(a) or is_symmetric(a)) else None

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
        masked = self._calls.lower_part(node)
        call = None if masked is None else self._calls.checked(masked, "cholesky_call", "EQ", 1)
        if call is None:
            return []
        (matrix,) = self._nodes[call].operands
        routine: Any = self._nodes[call].attributes[0]
        return [cholesky(self._found.value(matrix), routine)]

    def _log_determinant(self, node: Node) -> list[Value]:
        """log|det| as the sum of the logarithms of the diagonal of LU."""
        return self._determinant(node)[1] or self._half_log_determinant(node)

    def _half_log_determinant(self, node: Node) -> list[Value]:
        """½·log|det a| as the sum of the logarithms of the diagonal of a Cholesky factor."""
        (source,) = node.operands
        inner = self._nodes[source]
        if inner.op != "unary" or inner.attributes[0] != "log":
            return []
        factor = self._calls.diagonal_source(inner.operands[0])
        call = None if factor is None else self._calls.cholesky(factor)
        a = None if call is None else self._definite(self._nodes[call].operands[0])
        if a is None or call is None or node.attributes[1] != (a.rank - 2,):
            return []
        routine: Any = self._nodes[call].attributes[0]
        whole = log_abs_determinant(a, routine)
        return [multiply(whole, full(0.5, whole.tensor))]

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
