"""Calls of libraries and what JAX puts around them, found in a graph: patterns on its nodes.

What does not fit gives None (or False): nothing is assumed about the rest of a program.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saturax.graph.ir import Graph, Node
from saturax.graph.ops import Routine
from saturax.graph.types import TensorType


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
        call = self.checked(index, "lu", "GE", 2)
        if call is None:
            return None
        node = self.nodes[call]
        shape = getattr(self.nodes[node.operands[0]].type, "shape", ())
        routine: Any = node.attributes[0]
        return Factors(call, node.operands[0], routine) if shape[-1] == shape[-2] else None

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
        if self.call(test.operands[0], op, info) != call or not self.is_splat(
            test.operands[1], 0
        ):
            return None
        return call if self._repeats_batch(mask) else None

    def call(self, index: int, op: str, result: int) -> int | None:
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
        node = self.nodes[self.source(index)]
        literal: Any = node.attributes[0] if node.op == "constant" else None
        if literal is None or not literal.is_splat:
            return False
        return bool(np.array_equal(np.asarray(literal.value).astype(np.complex128), value, True))

    def is_lower_mask(self, index: int) -> bool:
        return self.is_mask(index, "GE")

    def is_mask(self, index: int, direction: str) -> bool:
        """Whether a node compares the number of the row with that of the column."""
        node = self.nodes[self.source(index)]
        f = node.attributes[0] if node.op == "binary" else None
        if not isinstance(f, tuple) or f[:2] != ("compare", direction):
            return False
        outer = self.nodes[index]
        if outer.op == "broadcast_in_dim":
            rank = rank_of(outer.type)
            if (
                outer.attributes[1] != (rank - 2, rank - 1)
                or self.nodes[outer.operands[0]] != node
            ):
                return False
        elif outer != node:
            return False
        rank = rank_of(node.type)
        return [self._counted(i) for i in node.operands] == [rank - 2, rank - 1]

    def _counted(self, index: int) -> int | None:
        """The dimension along which a node counts from 0."""
        node = self.nodes[index]
        if node.op == "binary" and node.attributes[0] == "add":
            kept = [i for i in node.operands if not self.is_splat(i, 0)]
            return self._counted(kept[0]) if len(kept) == 1 else None
        dimension: Any = node.attributes[0]
        return int(dimension) if node.op == "iota" else None

    def is_permutation(self, index: int, factors: Factors) -> bool:
        """Whether a node is the permutation of the factors' rows, perhaps with one more dimension.

        JAX adds the number of rows to negative indices; there are none.
        """
        pivots = shape_of(self.nodes[index].type)[:-1]
        while self.nodes[index].op in ("broadcast_in_dim", "reshape"):
            node = self.nodes[index]
            (index,) = node.operands
            shape = shape_of(self.nodes[index].type)
            if shape not in (pivots, (*pivots, 1)):
                return False
            dimensions = node.attributes[1] if node.op == "broadcast_in_dim" else None
            if dimensions not in (None, tuple(range(len(shape)))):
                return False
        node = self.nodes[index]
        if node.op == "ternary" and node.attributes[0] == "select":
            index = node.operands[2]
            test, added = self.nodes[node.operands[0]], self.nodes[node.operands[1]]
            wraps = test.op == "binary" and test.attributes[0][:2] == ("compare", "LT")  # type: ignore[index]
            wraps = wraps and test.operands[0] == index and self.is_splat(test.operands[1], 0)
            if not wraps or added.op != "binary":
                return False
            node = self.nodes[index]
        if node.op != "lu_permutation" or shape_of(node.type) != pivots:
            return False
        swaps = self.nodes[node.operands[0]]
        if swaps.op != "binary" or swaps.attributes[0] not in ("subtract", "add"):
            return False
        step = 1 if swaps.attributes[0] == "subtract" else -1
        return self.call(swaps.operands[0], "lu", 1) == factors.call and self.is_splat(
            swaps.operands[1], step
        )


def shape_of(type: Any) -> tuple[int, ...]:
    return type.shape if isinstance(type, TensorType) else ()


def rank_of(type: Any) -> int:
    return len(shape_of(type))
