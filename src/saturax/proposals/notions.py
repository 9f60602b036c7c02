"""Calls of libraries that together are one notion: a solve by LU, a Cholesky factor, log|det|.

JAX writes a solve as a factorisation, a permutation and two triangular solves, with NaN where the
library reports a failure. What is found here is that very construction, up to transposes and
reshapes of the right side; rules then reason about the notion (`saturax.rules.linear_algebra`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import Value, building
from saturax.graph.ir import Node
from saturax.graph.ops import (
    GatherDimensions,
    Routine,
    Triangle,
    cholesky,
    log_abs_determinant,
    reshape,
    solve,
    transpose,
)
from saturax.graph.types import TensorType
from saturax.proposals.equality import Equalities
from saturax.rules.rule import ROUNDING

_UNIT_LOWER, _UPPER = Triangle(True, True, True), Triangle(True, False, False)
_MOVES = ("reshape", "transpose")
# Elements of a right side that is followed through reshapes and transposes one by one.
_MOST_LABELS = 1 << 22


def recognize_notions(found: Equalities) -> None:
    """State what notions the calls of the graph are."""
    if found.numerics < ROUNDING:
        return
    graph = _View(found)
    with building(found.builder):
        for index, node in enumerate(found.graph.nodes):
            value: Any = None
            if node.op == "triangular_solve":
                value = graph.solution(node)
            elif node.op == "ternary" and node.attributes[0] == "select":
                value = graph.factor(node)
            elif node.op == "reduce" and node.attributes[0] == "add":
                value = graph.log_determinant(node)
            if value is not None:
                found.equate(index, value)


class _View:
    """Patterns on the nodes of the graph; what does not fit gives None."""

    def __init__(self, found: Equalities) -> None:
        self._found = found
        self.nodes = found.graph.nodes

    def solution(self, node: Node) -> Value | None:
        """The solve by LU whose last step a triangular solve is."""
        if Triangle(*node.attributes[0]) != _UPPER:  # type: ignore[misc]
            return None
        factors = self._calls.factors(node.operands[0])
        half = self.nodes[self._sameshape_of(node.operands[1])]
        if factors is None or half.op != "triangular_solve":
            return None
        if Triangle(*half.attributes[0]) != _UNIT_LOWER or half.operands[0] != node.operands[0]:  # type: ignore[misc]
            return None
        right = self._permuted(half.operands[1], factors)
        if right is None:
            return None
        return solve(self._found.value(factors.matrix), right, factors.routine)

    def factor(self, node: Node) -> Value | None:
        """The Cholesky factor that is left when the upper triangle is masked."""
        mask, masked, zeros = node.operands
        if not self._calls.is_lower_mask(mask) or not self._calls.is_splat(zeros, 0):
            return None
        call = self._calls.checked(masked, "cholesky_call", "EQ", 1)
        if call is None:
            return None
        (matrix,) = self.nodes[call].operands
        routine: Any = self.nodes[call].attributes[0]
        return cholesky(self._found.value(matrix), routine)

    def log_determinant(self, node: Node) -> Value | None:
        """log|det| as the sum of the logarithms of the diagonal of LU."""
        (source,) = node.operands
        for f in ("log", "abs"):
            found = self.nodes[source]
            if found.op != "unary" or found.attributes[0] != f:
                return None
            (source,) = found.operands
        diagonal = self.nodes[source]
        if diagonal.op != "reduce" or diagonal.attributes[0] != "add":
            return None
        masked = self.nodes[diagonal.operands[0]]
        rank = rank_of(masked.type)
        if masked.op != "ternary" or masked.attributes[0] != "select" or rank < 2:
            return None
        if diagonal.attributes[1] not in ((rank - 1,), (rank - 2,)):
            return None
        if node.attributes[1] != (rank - 2,):
            return None
        mask, matrix, zeros = masked.operands
        factors = self._calls.factors(matrix)
        if factors is None or not self._calls.is_splat(zeros, 0) or not self._calls.is_mask(mask, "EQ"):
            return None
        return log_abs_determinant(self._found.value(factors.matrix), factors.routine)

    def _sameshape_of(self, index: int) -> int:
        """What a node is a reshape of, as long as that has the node's own shape."""
        type, at = self.nodes[index].type, index
        while self.nodes[at].op == "reshape":
            (at,) = self.nodes[at].operands
            if self.nodes[at].type == type:
                index = at
        return index

    def _permuted(self, index: int, factors: Factors) -> Value | None:
        """The right side whose rows, permuted as the factors' are, node `index` is."""
        moves: list[Node] = []
        at = index
        while self.nodes[at].op in _MOVES:
            moves.append(self.nodes[at])
            (at,) = self.nodes[at].operands
        taken = self.nodes[at]
        if taken.op != "gather" or not self._calls.is_permutation(taken.operands[1], factors):
            return None
        order = self._taken_order(taken)
        if order is None or not _keeps_rows(taken, moves[::-1], self.nodes[index].type):
            return None
        value: Any = transpose(self._found.value(taken.operands[0]), order)
        for move in reversed(moves):
            argument = move.attributes[0]
            value = reshape(value, argument) if move.op == "reshape" else transpose(value, argument)
        result: Value = value
        return result

    def _taken_order(self, node: Node) -> tuple[int, ...] | None:
        """The operand's dimensions in the order in which a gather of whole rows returns them."""
        d, sizes = GatherDimensions(*node.attributes[0]), node.attributes[1]  # type: ignore[misc]
        operand = shape_of(self.nodes[node.operands[0]].type)
        indices = shape_of(self.nodes[node.operands[1]].type)
        picked = (*d.operand_batching_dims, *d.start_index_map)
        whole = tuple(1 if i in picked else n for i, n in enumerate(operand))
        last = len(indices) - 1
        if len(d.start_index_map) != 1 or d.collapsed_slice_dims != d.start_index_map:
            return None
        if sizes != whole or d.index_vector_dim != last or indices[last:] != (1,):
            return None
        if d.start_indices_batching_dims != tuple(range(last - 1)):
            return None
        kept = iter(i for i in range(len(operand)) if i not in picked)
        batch = iter(picked)
        rank = rank_of(node.type)
        return tuple(next(kept) if i in d.offset_dims else next(batch) for i in range(rank))

def _keeps_rows(taken: Node, moves: list[Node], result: Any) -> bool:
    """Whether moves bring a gather's batch to the front and its rows to the second last place."""
    d = GatherDimensions(*taken.attributes[0])  # type: ignore[misc]
    shape, rank = shape_of(taken.type), rank_of(result)
    labelled = [i for i in range(len(shape)) if i not in d.offset_dims]
    if len(labelled) != rank - 1 or np.prod(shape, dtype=np.int64) > _MOST_LABELS:
        return False
    for place, dimension in enumerate(labelled):
        labels = _counting(shape, dimension)
        for move in moves:
            argument: Any = move.attributes[0]
            labels = (
                labels.reshape(argument) if move.op == "reshape" else labels.transpose(argument)
            )
        if not np.array_equal(labels, _counting(shape_of(result), place)):
            return False
    return True


def _counting(shape: tuple[int, ...], dimension: int) -> Any:
    """The number of each element along a dimension."""
    line = [1] * len(shape)
    line[dimension] = shape[dimension]
    return np.broadcast_to(np.arange(shape[dimension], dtype=np.int32).reshape(line), shape)
