"""Calls of libraries and what JAX puts around them, found in a graph: patterns on its nodes.

What does not fit gives None (or False): nothing is assumed about the rest of a program.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import prune
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import GatherDimensions, Routine
from saturax.graph.reference import UnsupportedError, evaluate
from saturax.graph.types import TensorType

# Constant indices that are looked at: their elements, and operations that make them.
_MOST_ELEMENTS, _MOST_NODES = 1 << 16, 40


class Factors(NamedTuple):
    """The packed factors that `lu` made of node `matrix`; `call` is the node of the call."""

    call: int
    matrix: int
    routine: Routine


class Calls:
    """The calls of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.nodes = graph.nodes

    def factors(self, index: int) -> Factors | None:
        """The factors of a square matrix that a node is, with NaN where `lu` failed."""
        call = self.checked(index, "lu", "GE", 2)
        if call is None:
            return None
        node = self.nodes[call]
        shape: Any = shape_of(self.nodes[node.operands[0]].type)
        routine: Any = node.attributes[0]
        return Factors(call, node.operands[0], routine) if shape[-1] == shape[-2] else None

    def cholesky(self, index: int) -> int | None:
        """The call whose Cholesky factor a node has in its lower triangle, NaN where it failed."""
        masked = self.lower_part(self.nodes[index])
        return self.checked(index if masked is None else masked, "cholesky_call", "EQ", 1)

    def lower_part(self, node: Node) -> int | None:
        """What a node is the lower triangle of, with zeros above."""
        if node.op != "ternary" or node.attributes[0] != "select":
            return None
        mask, masked, zeros = node.operands
        return masked if self.is_mask(mask, "GE") and self.is_splat(zeros, 0) else None

    def checked(self, index: int, op: str, direction: str, info: int) -> int | None:
        """The call `op` whose first result a node is where result `info` fits 0, and else NaN."""
        node = self.nodes[index]
        if node.op != "ternary" or node.attributes[0] != "select":
            return None
        mask, result, other = node.operands
        call = self.call(result, op, 0)
        if call is None or not self.is_splat(other, np.nan):
            return None
        test = self.nodes[self.source(mask)]
        f = test.attributes[0] if test.op == "binary" else None
        if not isinstance(f, tuple) or f[:2] != ("compare", direction):
            return None
        if self.call(test.operands[0], op, info) != call or not self.is_splat(test.operands[1], 0):
            return None
        return call if self._repeats_batch(mask) else None

    def call(self, index: int, op: str, result: int) -> int | None:
        """The operation `op` of which a node is result number `result`."""
        node = self.nodes[index]
        if node.op != "get_result" or node.attributes != (result,):
            return None
        call = node.operands[0]
        return call if self.nodes[call].op == op else None

    def source(self, index: int) -> int:
        """What a node repeats."""
        while self.nodes[index].op in ("broadcast_in_dim", "reshape"):
            (index,) = self.nodes[index].operands
        return index

    def _repeats_batch(self, index: int) -> bool:
        """Whether each dimension of a repeated value's source is the same batch dimension here."""
        labels: tuple[int, ...] = tuple(range(rank_of(self.nodes[index].type)))
        while self.nodes[index].op == "broadcast_in_dim":
            node = self.nodes[index]
            dimensions: Any = node.attributes[1]
            labels = tuple(labels[d] for d in dimensions)
            (index,) = node.operands
        sizes = shape_of(self.nodes[index].type)
        kept = [(i, n) for i, n in zip(labels, sizes, strict=True) if n != 1]
        return self.nodes[index].op != "reshape" and kept == [
            (i, n) for i, n in enumerate(sizes) if n != 1
        ]

    def is_splat(self, index: int, value: float) -> bool:
        """Whether a node repeats one constant that equals `value`."""
        node = self.nodes[self.source(index)]
        literal: Any = node.attributes[0] if node.op == "constant" else None
        if literal is None or not literal.is_splat:
            return False
        return bool(np.array_equal(np.asarray(literal.value).astype(np.complex128), value, True))

    def is_mask(self, index: int, direction: str) -> bool:
        """Whether a node compares the number of the row with that of the column."""
        node = self.nodes[self.source(index)]
        f = node.attributes[0] if node.op == "binary" else None
        if not isinstance(f, tuple) or f[:2] != ("compare", direction):
            return False
        outer = self.nodes[index]
        if outer.op == "broadcast_in_dim":
            rank = rank_of(outer.type)
            if outer.attributes[1] != (rank - 2, rank - 1) or self.nodes[outer.operands[0]] != node:
                return False
        elif outer != node:
            return False
        rank = rank_of(node.type)
        return [self.counted_dimension(i) for i in node.operands] == [rank - 2, rank - 1]

    def counted_dimension(self, index: int) -> int | None:
        """The dimension along which a node counts from 0."""
        node = self.nodes[index]
        if node.op == "binary" and node.attributes[0] == "add":
            kept = [i for i in node.operands if not self.is_splat(i, 0)]
            return self.counted_dimension(kept[0]) if len(kept) == 1 else None
        if node.op == "broadcast_in_dim":
            inner, dimensions = self.counted_dimension(node.operands[0]), node.attributes[1]
            return None if inner is None else int(dimensions[inner])  # type: ignore[index]
        if node.op != "iota":
            return None
        dimension: Any = node.attributes[0]
        return int(dimension)

    def is_permutation(self, index: int, factors: Factors) -> bool:
        """Whether a node is the permutation of the factors' rows, perhaps with one more dimension.

        JAX adds the number of rows to negative indices; there are none.
        """
        found = self._indices(index)
        return found is not None and self._permutes(found, factors)

    def is_inverse_permutation(self, index: int, factors: Factors) -> bool:
        """Whether a node is the inverse of that permutation: numbers of rows, sorted by it."""
        found = self._indices(index)
        result = self.nodes[found] if found is not None else None
        if result is None or result.op != "get_result" or result.attributes != (1,):
            return False
        sort = self.nodes[result.operands[0]]
        if sort.op != "sort_pair" or not self._permutes(sort.operands[0], factors):
            return False
        dimension, order, _ = sort.attributes
        last = rank_of(result.type) - 1
        ascends = order[:1] == ("LT",) and dimension == last  # type: ignore[index]
        return ascends and self.counted_dimension(sort.operands[1]) == last

    def _indices(self, index: int) -> int | None:
        """The numbers of rows that a node gives a gather, one more dimension and wrapping apart."""
        numbers = shape_of(self.nodes[index].type)[:-1]
        while self.nodes[index].op in ("broadcast_in_dim", "reshape"):
            node = self.nodes[index]
            (index,) = node.operands
            shape = shape_of(self.nodes[index].type)
            dimensions = node.attributes[1] if node.op == "broadcast_in_dim" else None
            if shape not in (numbers, (*numbers, 1)):
                return None
            if dimensions not in (None, tuple(range(len(shape)))):
                return None
        node = self.nodes[index]
        if node.op == "ternary" and node.attributes[0] == "select":
            index = node.operands[2]
            test = self.nodes[node.operands[0]]
            f = test.attributes[0] if test.op == "binary" else None
            is_wrap = isinstance(f, tuple) and f[:2] == ("compare", "LT")
            if not is_wrap or test.operands[0] != index or not self.is_splat(test.operands[1], 0):
                return None
        return index if shape_of(self.nodes[index].type) == numbers else None

    def _permutes(self, index: int, factors: Factors) -> bool:
        node = self.nodes[index]
        return node.op == "lu_permutation" and self.are_swaps(node.operands[0], factors)

    def are_swaps(self, index: int, factors: Factors) -> bool:
        """Whether a node is the factors' row swaps, counted from 0."""
        swaps = self.nodes[index]
        if swaps.op != "binary" or swaps.attributes[0] not in ("subtract", "add"):
            return False
        step = 1 if swaps.attributes[0] == "subtract" else -1
        return self.call(swaps.operands[0], "lu", 1) == factors.call and self.is_splat(
            swaps.operands[1], step
        )

    def diagonal_source(self, index: int) -> int | None:
        """The matrix whose diagonal a node is, by a masked sum or by a gather."""
        node = self.nodes[index]
        if node.op == "gather":
            return self._gathered_diagonal(node)
        if node.op != "reduce" or node.attributes[0] != "add":
            return None
        masked = self.nodes[node.operands[0]]
        rank = rank_of(masked.type)
        if masked.op != "ternary" or masked.attributes[0] != "select" or rank < 2:
            return None
        mask, matrix, zeros = masked.operands
        if node.attributes[1] not in ((rank - 1,), (rank - 2,)) or not self.is_mask(mask, "EQ"):
            return None
        return matrix if self.is_splat(zeros, 0) else None

    def _gathered_diagonal(self, node: Node) -> int | None:
        d, sizes = GatherDimensions(*node.attributes[0]), node.attributes[1]  # type: ignore[misc]
        matrix, indices = node.operands
        shape = shape_of(self.nodes[matrix].type)
        rank = len(shape)
        expected = GatherDimensions(
            tuple(range(rank - 2)), (rank - 2, rank - 1), (), (), (rank - 2, rank - 1), 1
        )
        if rank < 2 or shape[-1] != shape[-2] or d != expected or sizes != (*shape[:-2], 1, 1):
            return None
        values = self.constant(indices)
        rows = np.arange(shape[-1])
        wanted = np.stack([rows, rows], 1)
        return matrix if values is not None and np.array_equal(values, wanted) else None

    def constant(self, index: int) -> Any:
        """The value of a node that depends on constants only, if it is small."""
        needed = {index}
        for i in range(index, -1, -1):
            if i in needed:
                node = self.nodes[i]
                is_large = getattr(node.type, "size", _MOST_ELEMENTS) >= _MOST_ELEMENTS
                if node.op == "parameter" or len(needed) > _MOST_NODES or is_large:
                    return None
                needed.update(node.operands)
        try:
            return evaluate(prune(Graph((), self.nodes[: index + 1], (index,))), [])[0]
        except UnsupportedError:
            return None


def shape_of(type: Any) -> tuple[int, ...]:
    """The shape of a tensor type; none of other types."""
    return type.shape if isinstance(type, TensorType) else ()


def rank_of(type: Any) -> int:
    """The rank of a tensor type; 0 for other types."""
    return len(shape_of(type))
