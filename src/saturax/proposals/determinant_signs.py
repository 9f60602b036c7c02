"""The sign of a determinant, as JAX computes it from LU.

    0 where a pivot is 0, else (-1)^(rows exchanged + negative pivots)

The power of -1 is some arithmetic on the remainder of the sum by 2. What arithmetic does not
matter: it is evaluated for both remainders.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.ir import Graph, Node
from saturax.graph.reference import evaluate_operation
from saturax.graph.types import numpy_dtype
from saturax.proposals.library_calls import Calls, Factors, rank_of

_ARITHMETIC = frozenset({"constant", "broadcast_in_dim", "reshape", "unary", "binary", "ternary"})
_TO_COUNTS = ((("convert", "i32"),), (("convert", "i64"),))
# Operations between the remainder and the sign; JAX writes about twenty.
_MOST_NODES = 60


class DeterminantSigns:
    """The signs of determinants in a graph."""

    def __init__(self, graph: Graph, calls: Calls) -> None:
        self._nodes = graph.nodes
        self._calls = calls

    def factors(self, node: Node) -> Factors | None:
        """The factors of the matrix of whose determinant a node is the sign."""
        singular, zero, power = node.operands
        diagonal = self._zero_pivot_tested(singular)
        counts = self._counts(power)
        if diagonal is None or counts is None or not self._calls.is_splat(zero, 0):
            return None
        packed = self._calls.diagonal_source(diagonal)
        factors = None if packed is None else self._calls.factors(packed)
        if factors is None:
            return None
        for swaps, negative in (counts, counts[::-1]):
            if self._counts_negative(negative, diagonal) and self._counts_swaps(swaps, factors):
                return factors
        return None

    def _zero_pivot_tested(self, index: int) -> int | None:
        """The node some element of which, along its last dimension, a node says is 0."""
        some = self._nodes[index]
        if some.op != "reduce" or some.attributes[0] != "or":
            return None
        test = self._comparison(some, ("compare", "EQ", "FLOAT"))
        return test.operands[0] if test and self._calls.is_splat(test.operands[1], 0) else None

    def _counts_negative(self, index: int, diagonal: int) -> bool:
        test = self._counted(index, ("compare", "LT", "FLOAT"))
        if test is None or test.operands[0] != diagonal:
            return False
        return self._calls.is_splat(test.operands[1], 0)

    def _counts_swaps(self, index: int, factors: Factors) -> bool:
        test = self._counted(index, ("compare", "NE", "SIGNED"))
        if test is None or not self._calls.are_swaps(test.operands[0], factors):
            return False
        return self._calls.counted_dimension(test.operands[1]) == rank_of(test.type) - 1

    def _counted(self, index: int, f: tuple[str, ...]) -> Node | None:
        """The comparison f of which a node counts how often it is true."""
        total = self._nodes[index]
        if total.op != "reduce" or total.attributes[0] != "add":
            return None
        (source,) = total.operands
        while self._nodes[source].attributes in _TO_COUNTS:
            (source,) = self._nodes[source].operands
        return self._comparison(total._replace(operands=(source,)), f)

    def _comparison(self, reduction: Node, f: tuple[str, ...]) -> Node | None:
        """The comparison f that is reduced along its last dimension, also if tested to be true."""
        node = self._nodes[reduction.operands[0]]
        if node.attributes == (("compare", "NE", "UNSIGNED"),):
            truth, false = node.operands
            node = self._nodes[truth] if self._calls.is_splat(false, 0) else node
        fits = node.attributes == (f,) and reduction.attributes[1] == (rank_of(node.type) - 1,)
        return node if fits else None

    def _counts(self, power: int) -> tuple[int, int] | None:
        """The two numbers of whose sum a node is the power of -1."""
        between = self._between(power)
        remainders = [i for i in between or () if _is(self._nodes[i], "remainder")]
        if between is None or len(remainders) != 1:
            return None
        dividend, divisor = self._nodes[remainders[0]].operands
        total, two = self._nodes[dividend], self._calls.constant(divisor)
        if not _is(total, "add") or two is None or not np.all(two == 2):
            return None
        for remainder, sign in ((0, 1), (1, -1)):
            if not np.all(self._evaluated(between, remainders[0], remainder) == sign):
                return None
        first, second = total.operands
        return first, second

    def _between(self, index: int) -> list[int] | None:
        """The nodes that lead to a node from constants and remainders, in order."""
        found, queue = set[int](), [index]
        while queue:
            at = queue.pop()
            node = self._nodes[at]
            if node.op not in _ARITHMETIC or len(found) > _MOST_NODES:
                return None
            if at not in found:
                found.add(at)
                queue += () if _is(node, "remainder") else node.operands
        return sorted(found)

    def _evaluated(self, between: list[int], remainder: int, value: int) -> Any:
        """The last of some nodes, for a value of the remainder."""
        type: Any = self._nodes[remainder].type
        values: dict[int, Any] = {
            remainder: np.full(type.shape, value, numpy_dtype(type.dtype)),
        }
        for index in between:
            if index not in values:
                node: Any = self._nodes[index]
                known = [values[i] for i in node.operands]
                values[index] = evaluate_operation(node.op, node.attributes, known, node.type)
        return values[between[-1]]


def _is(node: Node, f: str) -> bool:
    """Whether a node is the binary function f."""
    return node.op == "binary" and node.attributes[0] == f
