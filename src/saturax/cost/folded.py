"""Transposes that XLA makes part of products before it forms kernels.

A program as it is written has transposes that the compiler never runs: of operands of products,
of products, and of other transposes (half of a training step of GPT-2, by single prices). What it
makes of such a product is known to whoever measures the product in its other order of dimensions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from saturax.graph.ir import Graph, Node
from saturax.graph.types import TensorType


def folded(graph: Graph) -> Graph:
    """The graph with transposes folded into what they are next to; nodes keep their numbers.

    Transposes that nothing uses any more are left behind. Raises nothing.
    """
    nodes = list(graph.nodes)
    uses = Counter(operand for node in nodes for operand in node.operands)
    uses.update((*graph.outputs, *graph.effects))
    for index, node in enumerate(nodes):
        if node.op == "transpose":
            nodes[index] = _merged_transpose(nodes, node, uses)
        elif node.op in ("dot_general", "convolution"):
            for position in (0, 1):
                nodes[index] = _reading_through(nodes, nodes[index], position)
    return graph if nodes == list(graph.nodes) else replace(graph, nodes=tuple(nodes))


def _merged_transpose(nodes: Sequence[Node], node: Node, uses: Counter[int]) -> Node:
    """One transpose for two; a product of the operands the other way round for its transpose."""
    order: Any = node.attributes[0]
    of = nodes[node.operands[0]]
    if of.op == "transpose":
        inner: Any = of.attributes[0]
        return Node(node.op, (tuple(inner[i] for i in order),), of.operands, node.type)
    if of.op != "dot_general" or uses[node.operands[0]] > 1:
        return node
    d: Any = of.attributes[0]
    left, right = (_rank(nodes[i]) for i in of.operands)
    batch = len(d.lhs_batch)
    rows = left - batch - len(d.lhs_contract)
    columns = right - batch - len(d.rhs_contract)
    swapped = (
        *range(batch), *range(batch + rows, batch + rows + columns), *range(batch, batch + rows)
    )  # fmt: skip
    if order != swapped:
        return node
    precision: Any = of.attributes[1]
    turned = d._replace(
        lhs_batch=d.rhs_batch, rhs_batch=d.lhs_batch,
        lhs_contract=d.rhs_contract, rhs_contract=d.lhs_contract,
    )  # fmt: skip
    precision = precision._replace(operands=precision.operands[::-1])
    attributes = (turned, precision, *of.attributes[2:])
    return Node(of.op, attributes, of.operands[::-1], node.type)


def _reading_through(nodes: Sequence[Node], node: Node, position: int) -> Node:
    """A product that reads what is before the transpose that is its operand, if it can."""
    operand = nodes[node.operands[position]]
    if operand.op != "transpose":
        return node
    order: Any = operand.attributes[0]
    if node.op == "convolution":
        place, dimensions = 1, _convolution_dimensions(node, position, order)
    else:
        place, dimensions = 0, _dot_dimensions(node, position, order)
    if dimensions is None:
        return node
    attributes = (*node.attributes[:place], dimensions, *node.attributes[place + 1 :])
    operands = list(node.operands)
    operands[position] = operand.operands[0]
    return Node(node.op, attributes, tuple(operands), node.type)


def _dot_dimensions(dot: Node, position: int, order: Sequence[int]) -> Any:
    """None where free dimensions would come in another order."""
    d: Any = dot.attributes[0]
    side = "rhs" if position else "lhs"
    batch, contract = getattr(d, f"{side}_batch"), getattr(d, f"{side}_contract")
    free = [place for i, place in enumerate(order) if i not in batch and i not in contract]
    if free != sorted(free):
        return None
    return d._replace(
        **{
            f"{side}_batch": tuple(order[i] for i in batch),
            f"{side}_contract": tuple(order[i] for i in contract),
        }
    )


def _convolution_dimensions(convolution: Node, position: int, order: Sequence[int]) -> Any:
    d: Any = convolution.attributes[1]
    if position:
        return d._replace(
            kernel_input_feature=order[d.kernel_input_feature],
            kernel_output_feature=order[d.kernel_output_feature],
            kernel_spatial=tuple(order[i] for i in d.kernel_spatial),
        )
    return d._replace(
        input_batch=order[d.input_batch],
        input_feature=order[d.input_feature],
        input_spatial=tuple(order[i] for i in d.input_spatial),
    )


def _rank(node: Node) -> int:
    assert isinstance(node.type, TensorType)
    return len(node.type.shape)
