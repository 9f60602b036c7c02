"""Products of what is gathered and added up row by row, as rows of a smaller product.

    (Σ rows of x at s, at t) · W   =   Σ rows of (x · W) at s, at t

What a graph network sends along its edges: gathers of rows, scatters that add them up, sums and
multiples of rows are linear and do the same in every column. Where W has fewer columns than rows,
fewer are gathered and scattered after the product than before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saturax.graph.build import Value, building
from saturax.graph.ir import Node
from saturax.graph.ops import (
    DotDimensions,
    GatherDimensions,
    ScatterDimensions,
    add,
    broadcast_in_dim,
    dot_general,
    full,
    gather,
    multiply,
    negate,
    scatter,
    subtract,
)
from saturax.graph.types import TensorType, is_float
from saturax.proposals.equality import Equalities
from saturax.proposals.masks import is_zero

_PRODUCT = DotDimensions((), (), (1,), (0,))
_GATHER = GatherDimensions((1,), (0,), (), (), (0,), 1)
_SCATTER = ScatterDimensions((1,), (0,), (), (), (0,), 1)
_MOST_LEAVES = 4


def multiply_before_rows(found: Equalities) -> None:
    """Propose products of matrices with fewer columns before their rows are gathered and added."""
    nodes = found.graph.nodes
    for index, node in enumerate(nodes):
        if node.op != "dot_general" or node.attributes[0] != _PRODUCT:
            continue
        left, right = node.operands
        types: Any = nodes[left].type, nodes[right].type, node.type
        dtype = types[2].dtype
        is_plain = is_float(dtype) and all(t.dtype == dtype and len(t.shape) == 2 for t in types)
        if not is_plain or types[1].shape[0] <= types[1].shape[1]:
            continue
        if found.may_round(dtype) and found.facts[right].assumed_finite:
            rows = _Rows(found, node)
            if rows.can_multiply(left):
                with building(found.builder):
                    found.equate(index, rows.product(left))


class _Rows:
    """The product of a tree of operations on rows with the right operand of `node`."""

    def __init__(self, found: Equalities, node: Node) -> None:
        self._found = found
        self._nodes = found.graph.nodes
        self._node = node
        self._columns: int = node.type.shape[1]  # type: ignore[union-attr]
        self._products: dict[int, Value] = {}

    def can_multiply(self, index: int) -> bool:
        """Whether rows are gathered or scattered, of few matrices."""
        leaves: set[int] = set()
        seen: set[int] = set()
        todo = [index]
        while todo:
            place = todo.pop()
            if place in seen:
                continue
            seen.add(place)
            inner = self._linear(place)
            if not inner and not is_zero(self._found.graph, place):
                leaves.add(place)
            todo += inner
        moves = [place for place in seen if self._nodes[place].op in ("gather", "scatter")]
        return len(leaves) <= _MOST_LEAVES and any(self._linear(place) for place in moves)

    def _linear(self, index: int) -> Sequence[int]:
        """The matrices that a node is linear in, row by row; none of another node."""
        node = self._nodes[index]
        operands = node.operands
        f = node.attributes[0] if node.attributes else None
        if node.op == "binary" and f in ("add", "subtract"):
            return operands
        if node.op == "unary" and f == "negate":
            return operands
        if node.op == "binary" and f == "multiply":
            for factor, matrix in (operands, operands[::-1]):
                if self._of_row(factor) is not None:
                    return (matrix,)
        if node.op == "gather" and node.attributes[0] == _GATHER:
            sizes: Any = node.attributes[1]
            return operands[:1] if sizes == (1, self._width(operands[0])) else ()
        if node.op == "scatter" and node.attributes[:2] == ("add", _SCATTER):
            whole = self._width(operands[0]) == self._width(operands[2])
            return (operands[0], operands[2]) if whole else ()
        return ()

    def _width(self, index: int) -> int:
        type: Any = self._nodes[index].type
        return type.shape[-1] if type.shape else 0

    def _of_row(self, index: int) -> tuple[int, tuple[int, ...]] | None:
        """What a factor with one number for each row, or one for all, is broadcast from.

        A node, and the dimensions of the matrix that its dimensions are.
        """
        node = self._nodes[index]
        if node.op != "broadcast_in_dim":
            return None
        dimensions: Any = node.attributes[1]
        type: Any = self._nodes[node.operands[0]].type
        columns = [n for n, d in zip(type.shape, dimensions, strict=True) if d == 1]
        return (node.operands[0], dimensions) if columns in ([], [1]) else None

    def product(self, index: int) -> Value:
        """Node `index` times the right operand."""
        known = self._products.get(index)
        if known is None:
            known = self._products[index] = self._product(index)
        return known

    def _product(self, index: int) -> Any:
        node = self._nodes[index]
        type: Any = node.type
        result = TensorType((type.shape[0], self._columns), type.dtype)
        if is_zero(self._found.graph, index):
            return full(0, result)
        inner = [self.product(place) for place in self._linear(index)]
        if not inner:
            right = self._found.value(self._node.operands[1])
            _, precision, dtype = self._node.attributes
            return dot_general(self._found.value(index), right, _PRODUCT, precision, dtype)
        if node.op == "gather":
            _, _, is_sorted = node.attributes
            indices = self._found.value(node.operands[1])
            return gather(inner[0], indices, _GATHER, (1, self._columns), is_sorted)
        if node.op == "scatter":
            indices = self._found.value(node.operands[1])
            return scatter("add", inner[0], indices, inner[1], _SCATTER, *node.attributes[2:])
        if node.op == "unary":
            return negate(inner[0])
        if node.attributes[0] == "multiply":
            factors = (self._of_row(place) for place in node.operands)
            place, dimensions = next(factor for factor in factors if factor is not None)
            scale = broadcast_in_dim(self._found.value(place), result.shape, dimensions)
            return multiply(inner[0], scale)
        return (add if node.attributes[0] == "add" else subtract)(*inner)
