"""Right sides of solves whose rows JAX permutes: what they are before, or after, the permutation.

JAX permutes by a gather, between transposes and reshapes that keep the rows apart. Those are
followed by moving the numbers of rows (and of each batch dimension) through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ir import Node
from saturax.graph.ops import GatherDimensions, reshape, transpose
from saturax.proposals.equality import Equalities
from saturax.proposals.library_calls import Calls, Factors, rank_of, shape_of

_MOVES = ("reshape", "transpose")
# Elements of a right side that is followed through reshapes and transposes one by one.
_MOST_LABELS = 1 << 22


class RowPermutations:
    """The permutations of rows in a graph."""

    def __init__(self, found: Equalities) -> None:
        self._found = found
        self._nodes = found.graph.nodes
        self._calls = Calls(found.graph)

    def same_shape(self, index: int) -> int:
        """The first node that a node is a reshape of, through any shapes, and that has its own."""
        type, at = self._nodes[index].type, index
        while self._nodes[at].op == "reshape":
            (at,) = self._nodes[at].operands
            if self._nodes[at].type == type:
                index = at
        return index

    def moved_from(self, index: int) -> int:
        """The node that reshapes and transposes lead from to a node."""
        while self._nodes[index].op in _MOVES:
            (index,) = self._nodes[index].operands
        return index

    def permuted(self, index: int, factors: Factors) -> Value | None:
        """The value whose rows, permuted as those of the factored matrix were, node `index` is."""
        taken = self._nodes[self.moved_from(index)]
        moves = self._moves(index)
        if taken.op != "gather" or not self._calls.is_permutation(taken.operands[1], factors):
            return None
        order = self._order(taken)
        operand = shape_of(self._nodes[taken.operands[0]].type)
        if order is None or tuple(operand[i] for i in order) != shape_of(taken.type):
            return None
        dimensions = _labelled(taken)
        target = shape_of(self._nodes[index].type)
        if not _keeps(shape_of(taken.type), dimensions, moves, target, range(len(target) - 1)):
            return None
        return _moved(transpose(self._found.value(taken.operands[0]), order), moves)

    def unpermuted(self, node: Node, source: int, value: Any, factors: Factors) -> Value | None:
        """A gather from moved rows of node `source`, as moves of `value`, in which they are sorted.

        `value` has the rows of `source` where the inverse of the factors' permutation takes them.
        """
        if not self._calls.is_inverse_permutation(node.operands[1], factors):
            return None
        order = self._order(node)
        d = GatherDimensions(*node.attributes[0])  # type: ignore[misc]
        shape, moves = shape_of(self._nodes[source].type), self._moves(node.operands[0])
        target = shape_of(self._nodes[node.operands[0]].type)
        picked = (*d.operand_batching_dims, *d.start_index_map)
        if order is None or tuple(target[i] for i in order) != shape_of(node.type):
            return None
        if len(picked) != len(shape) - 1:
            return None
        if not _keeps(shape, range(len(shape) - 1), moves, target, picked):
            return None
        result: Value = transpose(_moved(value, moves), order)
        return result

    def _moves(self, index: int) -> list[Node]:
        """The reshapes and transposes that lead to a node, first one first."""
        moves: list[Node] = []
        while self._nodes[index].op in _MOVES:
            moves.append(self._nodes[index])
            (index,) = self._nodes[index].operands
        return moves[::-1]

    def _order(self, node: Node) -> tuple[int, ...] | None:
        """The operand's dimensions in the order in which a gather of whole rows returns them."""
        d, sizes = GatherDimensions(*node.attributes[0]), node.attributes[1]  # type: ignore[misc]
        operand = shape_of(self._nodes[node.operands[0]].type)
        indices = shape_of(self._nodes[node.operands[1]].type)
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


def _labelled(taken: Node) -> tuple[int, ...]:
    """The dimensions of a gather's result that its indices have: a batch, then the rows."""
    d = GatherDimensions(*taken.attributes[0])  # type: ignore[misc]
    return tuple(i for i in range(rank_of(taken.type)) if i not in d.offset_dims)


def _moved(value: Any, moves: Sequence[Node]) -> Value:
    for move in moves:
        argument = move.attributes[0]
        value = reshape(value, argument) if move.op == "reshape" else transpose(value, argument)
    result: Value = value
    return result


def _keeps(
    shape: tuple[int, ...],
    dimensions: Sequence[int],
    moves: Sequence[Node],
    target: tuple[int, ...],
    places: Sequence[int],
) -> bool:
    """Whether moves bring each of the `dimensions` of `shape` to its place in `target`."""
    if len(dimensions) != len(places) or prod(shape) > _MOST_LABELS:
        return False
    for dimension, place in zip(dimensions, places, strict=True):
        labels = _counting(shape, dimension)
        for move in moves:
            to: Any = move.attributes[0]
            labels = labels.reshape(to) if move.op == "reshape" else labels.transpose(to)
        if not np.array_equal(labels, _counting(target, place)):
            return False
    return True


def _counting(shape: tuple[int, ...], dimension: int) -> Any:
    """The number of each element along a dimension."""
    line = [1] * len(shape)
    line[dimension] = shape[dimension]
    return np.broadcast_to(np.arange(shape[dimension], dtype=np.int32).reshape(line), shape)
