"""The order of dimensions in which products read their operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saturax.cost.kernel import Kernel
from saturax.graph.ir import Node

PRODUCTS = frozenset({"dot_general", "convolution"})
"""Operations that read their first two operands in an order of their own."""


def is_in_loops(attributes: Sequence[Any]) -> bool:
    """Whether a convolution is no library's but loops of XLA's own, as reversed windows are."""
    return any(attributes[0].reversal)


def order_wanted(
    product: Node | Kernel, position: int, shape: Sequence[int], given: Sequence[int]
) -> tuple[int, ...]:
    """The dimensions of a value in the order that suits a product, whose operand `position` it is.

    `shape` is that of the value, and `given` the order in which the product is given its dimensions
    (0, 1, … if the value itself is the operand). The value can be read where it is if the outcome
    is 0, 1, …: XLA:CPU reads matrices by rows or by columns, behind the dimensions of a batch.
    """
    d: Any = product.attributes[1 if product.op == "convolution" else 0]
    if product.op == "convolution" and is_in_loops(product.attributes):
        return tuple(given)
    if product.op == "convolution":
        of_kernel = (*d.kernel_spatial, d.kernel_input_feature, d.kernel_output_feature)
        of_input = (d.input_batch, *d.input_spatial, d.input_feature)
        return tuple(given[i] for i in (of_kernel if position else of_input))
    batch = [given[i] for i in (d.rhs_batch if position else d.lhs_batch)]
    contract = [given[i] for i in (d.rhs_contract if position else d.lhs_contract)]
    free = [i for i in range(len(shape)) if i not in batch and i not in contract]
    for rest in (free + contract, contract + free):
        found = [i for i in (*batch, *rest) if shape[i] != 1]
        if found == sorted(found):
            return tuple(range(len(shape)))
    return (*batch, *free, *contract)
