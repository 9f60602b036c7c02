"""Reductions that start elsewhere than at the identity of their function.

    reduce(f, x, from c) = f(c, reduce(f, x))

TensorFlow starts sums at -0, which is not where the table's `reduce` starts: the sum of zeros that
are all negative would differ in its sign.
"""

from __future__ import annotations

import re

from saturax.graph.build import building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import binary, broadcast_scalar, generic_of, identity_value, reduce_
from saturax.graph.ops.reduction import REDUCERS
from saturax.graph.types import TensorType
from saturax.proposals.equality import Equalities

_DIMENSIONS = re.compile(r"array<i64(?:: ([-\d, ]+))?>")


def start_at_identity(found: Equalities) -> None:
    """State what reductions from other values are by those that start at the identity."""
    with building(found.builder):
        for index, node in enumerate(found.graph.nodes):
            if node.op != "stablehlo.reduce" or not isinstance(node.type, TensorType):
                continue
            form = _form(node)
            if form is None or not found.may_round(node.type.dtype):
                continue
            f, dimensions = form
            if identity_value(f, node.type.dtype) is None:
                continue
            x, start = (found.value(operand) for operand in node.operands)
            whole = reduce_(f, x, dimensions)
            if whole.type == node.type and start.dtype == node.type.dtype:
                found.equate(index, binary(f, whole, broadcast_scalar(start, whole.shape)))


def _form(node: Node) -> tuple[str, tuple[int, ...]] | None:
    """The function and the dimensions of a reduction of one operand by a function of the table."""
    generic = generic_of(node)
    if generic is None or len(generic.regions) != 1 or len(node.operands) != 2:
        return None
    f = _function(generic.regions[0])
    names = [name for name, _ in generic.attributes]
    if f is None or generic.captures or names != ["dimensions"]:
        return None
    match = _DIMENSIONS.fullmatch(generic.attributes[0][1])
    if match is None:
        return None
    return f, tuple(int(d) for d in (match[1] or "").split(",") if d.strip())


def _function(body: Graph) -> str | None:
    """The function of the table that a body applies to its two arguments, which all commute."""
    if len(body.outputs) != 1 or body.effects:
        return None
    root = body.nodes[body.outputs[0]]
    f = root.attributes[0] if root.op == "binary" else None
    arguments = [body.nodes[operand] for operand in root.operands]
    given = sorted(a.attributes for a in arguments if a.op == "parameter")
    return str(f) if f in REDUCERS and given == [(0,), (1,)] else None
