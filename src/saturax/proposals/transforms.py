"""Products with matrices of the discrete Fourier transform that the program computes itself.

exp(-2πi·j·k/n) of two counts is too large to be folded into a constant that a rule could see.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import building
from saturax.graph.ir import Node
from saturax.graph.ops import DotDimensions, Precision
from saturax.graph.types import is_complex
from saturax.proposals.equality import Equalities
from saturax.proposals.masks import constant_value
from saturax.rules.einsum import Einsum, einsum_of
from saturax.rules.fourier_matrices import LEAST_POINTS, transform_of, transformed


def use_transforms(equalities: Equalities) -> None:
    """Propose Fourier transforms for products with computed matrices of them."""
    for index, node in enumerate(equalities.graph.nodes):
        if node.op != "dot_general" or not is_complex(node.type.dtype):  # type: ignore[union-attr]
            continue
        if not equalities.may_round(node.type.dtype):  # type: ignore[union-attr]
            continue
        for side in (0, 1):
            kind, scale = _transform(equalities, node, side)
            if kind:
                with building(equalities.builder):
                    operand = equalities.value(node.operands[1 - side])
                    labels = _labels(equalities, node, side)
                    equalities.equate(index, transformed(kind, scale, operand, labels))


def _transform(equalities: Equalities, node: Node, side: int) -> tuple[str, complex]:
    """The transform that an operand of a product is the matrix of, with its factor; "" if none."""
    nodes = equalities.graph.nodes
    d, precision, dtype = node.attributes
    types: list[Any] = [nodes[operand].type for operand in node.operands]
    d = DotDimensions(*d)  # type: ignore[misc]
    shape = types[side].shape
    is_plain = len(shape) == 2 and len(d.lhs_contract) == 1 and not d.lhs_batch
    if (
        not is_plain
        or shape[0] != shape[1]
        or shape[0] < LEAST_POINTS
        or 0 in types[1 - side].shape
    ):
        return "", 0
    if any(type.dtype != dtype for type in types) or Precision(*precision).algorithm:  # type: ignore[misc]
        return "", 0
    is_computed = nodes[node.operands[side]].op != "constant"
    # A transform spreads NaN and infinities to other places than the product does.
    if not is_computed or not equalities.facts[node.operands[1 - side]].assumed_finite:
        return "", 0
    matrix = constant_value(nodes, node.operands[side])
    # Angles up to 2πn that were not reduced have rounding errors of their own size.
    return ("", 0) if matrix is None else transform_of(matrix, 2 * np.pi * shape[0])


def _labels(equalities: Equalities, node: Node, side: int) -> Einsum:
    """The labels of the product, those of the matrix first."""
    ranks = [equalities.graph.nodes[operand].type.rank for operand in node.operands]  # type: ignore[union-attr]
    labels = einsum_of(DotDimensions(*node.attributes[0]), *ranks)  # type: ignore[misc]
    return labels if side == 0 else Einsum(labels.y, labels.x, labels.result)
