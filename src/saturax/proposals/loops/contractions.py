"""Convolutions in all iterations, and sums over all iterations of products and what is linear.

Σₜ xₜᵀ yₜ  =  one product that contracts the iterations as well
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from saturax.graph.build import Value, make
from saturax.graph.ir import Node
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    ConvDimensions,
    DotDimensions,
    Groups,
    Precision,
    add,
    broadcast_in_dim,
    broadcast_scalar,
    constant,
    convolution,
    dot_general,
    multiply,
    reduce_,
    subtract,
)
from saturax.graph.types import TensorType, numpy_dtype
from saturax.proposals.loops.batched import (
    Batched,
    merge_front_into,
    repeat,
    split_to_front,
    stacked,
)

_LINEAR_MOVES = frozenset({"transpose", "reshape", "broadcast_in_dim", "reverse", "slice"})
_DEEPEST = 40


def is_negation(node: Node) -> bool:
    """Whether a node is -x."""
    return node.op == "unary" and node.attributes[0] == "negate"


def is_linear(node: Node) -> bool:
    """Whether the sum of a node over all iterations is the node of its operands' sums."""
    if node.op == "binary":
        return node.attributes[0] in ("add", "subtract")
    return node.op in _LINEAR_MOVES or node.op == "concatenate" or is_negation(node)


def can_apply_convolution(node: Node) -> bool:
    """Whether a convolution can be applied to all iterations at once."""
    return Groups(*node.attributes[2]).batch == 1  # type: ignore[misc]


def convolution_of_all(node: Node, operands: Sequence[Batched], count: int) -> Value:
    """A convolution in all iterations: as more images, more kernels, or more groups."""
    window, fields, groups, precision, dtype = node.attributes
    d, g = ConvDimensions(*fields), Groups(*groups)  # type: ignore[misc]
    x, k = operands
    if not k.varies:
        images = merge_front_into(x.value, d.input_batch)
        result = convolution(images, k.value, window, d, g, precision, dtype)
        return split_to_front(result, d.output_batch, count)
    kernels = merge_front_into(k.value, d.kernel_output_feature)
    if not x.varies and g.feature == 1:
        result = convolution(x.value, kernels, window, d, g, precision, dtype)
        return split_to_front(result, d.output_feature, count)
    features = merge_front_into(stacked(x, count), d.input_feature)
    more = Groups(g.feature * count, g.batch)
    result = convolution(features, kernels, window, d, more, precision, dtype)
    return split_to_front(result, d.output_feature, count)


class Totals:
    """Sums of a loop body's values over all iterations.

    `nodes` are the body's; `item_of(i)` gives node i in all iterations; the `opaque` ones are taken
    as they are.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        item_of: Callable[[int], Batched],
        opaque: frozenset[int],
        count: int,
    ) -> None:
        self._nodes = nodes
        self._item_of = item_of
        self._opaque = opaque
        self._count = count

    def of(self, index: int, depth: int = 0) -> Value:
        """Σₜ of node `index`, pushed through what is linear down to products."""
        node = self._nodes[index]
        if depth < _DEEPEST and index not in self._opaque:
            pushed = self._pushed(node, depth + 1)
            if pushed is not None:
                return pushed
        item = self._item_of(index)
        if item.varies:
            result: Value = reduce_("add", item.value, (0,))
            return result
        return self.multiple(item.value)

    def multiple(self, x: Value) -> Value:
        """x added to itself once for each iteration."""
        kind = numpy_dtype(x.dtype)
        factor = np.asarray(self._count).astype(kind)
        is_integer = np.issubdtype(kind, np.integer)
        if not is_integer and complex(factor) != self._count:  # not a number of this type
            result: Value = reduce_("add", repeat(x, self._count), (0,))
            return result
        result = multiply(x, _full(splat(factor, TensorType((), x.dtype)), x))
        return result

    def _pushed(self, node: Node, depth: int) -> Value | None:
        if node.op == "dot_general":
            return self._dot(node, depth)
        if node.op in _LINEAR_MOVES or is_negation(node):
            moved: Value = make(
                node.op, self.of(node.operands[0], depth), attributes=node.attributes
            )
            return moved
        if node.op == "binary" and node.attributes[0] in ("add", "subtract"):
            x, y = (self.of(operand, depth) for operand in node.operands)
            summed: Value = (add if node.attributes[0] == "add" else subtract)(x, y)
            return summed
        if node.op == "concatenate":
            parts = [self.of(operand, depth) for operand in node.operands]
            joined: Value = make(node.op, *parts, attributes=node.attributes)
            return joined
        if node.op == "binary" and node.attributes[0] == "multiply":
            for this, other in (node.operands, node.operands[::-1]):
                factor = self._item_of(other)
                if not factor.varies and _is_ring(factor.value.dtype):
                    scaled: Value = multiply(self.of(this, depth), factor.value)
                    return scaled
        return None

    def _dot(self, node: Node, depth: int) -> Value | None:
        """Σₜ xₜ·yₜ contracts the iterations; a factor that does not vary is taken out."""
        dimensions, precision, dtype = node.attributes
        d = DotDimensions(*dimensions)  # type: ignore[misc]
        x, y = (self._item_of(operand) for operand in node.operands)
        if x.varies and y.varies:
            left = DotDimensions(*(tuple(i + 1 for i in field) for field in d))
            every = left._replace(
                lhs_contract=(0, *left.lhs_contract), rhs_contract=(0, *left.rhs_contract)
            )
            result: Value = dot_general(x.value, y.value, every, precision, dtype)
            return result
        if not x.varies and not y.varies:
            return None
        operand_type = self._nodes[node.operands[0]].type
        assert isinstance(operand_type, TensorType)
        if operand_type.dtype != dtype:  # the sum of narrow operands would be rounded
            return None
        first = self.of(node.operands[0], depth) if x.varies else x.value
        second = self.of(node.operands[1], depth) if y.varies else y.value
        result = dot_general(first, second, d, precision, dtype)
        return result


def weighted_sum(weights: np.ndarray[Any, Any], x: Value) -> Value:
    """Σₜ weights[…, t]·x[t], stacked along the weights' other dimension if they have one."""
    literal = Literal(weights.astype(numpy_dtype(x.dtype)))
    d = DotDimensions((), (), (weights.ndim - 1,), (0,))
    # Not the default, which rounds the factors on some devices: no loop did.
    precision = Precision(("HIGHEST", "HIGHEST")) if x.dtype == "f32" else Precision()
    result: Value = dot_general(constant(literal), x, d, precision, x.dtype)
    return result


def multiples(numbers: np.ndarray[Any, Any], x: Value) -> Value:
    """x times a number, or times several, which are stacked."""
    shape = (*numbers.shape, *x.shape)
    factor = constant(Literal(numbers.astype(numpy_dtype(x.dtype))))
    factors = broadcast_in_dim(factor, shape, range(numbers.ndim))
    result: Value = multiply(factors, broadcast_in_dim(x, shape, range(numbers.ndim, len(shape))))
    return result


def _is_ring(dtype: str) -> bool:
    return dtype != "i1"


def _full(literal: Literal, x: Value) -> Value:
    result: Value = broadcast_scalar(constant(literal), x.shape)
    return result
