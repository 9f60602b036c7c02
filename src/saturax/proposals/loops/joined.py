"""Products of what a loop's steps join, some of which is known before the loop: [xₜ, h] · W.

    [xₜ, h] · W  =  xₜ · W₁ + h · W₂

By itself the second is one kernel more in every step. It is worth that where the first of its
products is computed for all steps at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce as fold
from itertools import accumulate, groupby
from typing import Any

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import DotDimensions, add, concatenate_all, dot_general, slice_dimension
from saturax.proposals.loops.roles import Roles, needing
from saturax.proposals.loops.structure import Loop


def with_split_products(roles: Roles) -> Loop | None:
    """The loop with its products of joined operands split by what is known before it, if any."""
    loop = roles.loop
    late = needing(roles.depends, roles.core)
    builder = GraphBuilder(exact=True)
    builder.inputs.extend(loop.body.inputs)
    new: list[Value] = []
    is_split = False
    with building(builder):
        for node in loop.body.nodes:
            operands = [new[i] for i in node.operands]
            split = (
                _split(loop.body, node, operands, new, late) if node.op == "dot_general" else None
            )
            is_split |= split is not None
            kept = node._replace(operands=tuple(value.index for value in operands))
            new.append(builder.append(kept) if split is None else split)
    if not is_split:
        return None
    outputs = tuple(new[output].index for output in loop.body.outputs)
    return loop.with_body(Graph(loop.body.inputs, tuple(builder.nodes), outputs))


def _split(
    body: Graph, node: Node, operands: Sequence[Value], new: Sequence[Value], late: frozenset[int]
) -> Value | None:
    """A product as the sum of those of its joined operand's early and late parts."""
    fields, precision, dtype = node.attributes
    d = DotDimensions(*fields)  # type: ignore[misc]
    own, others = d.lhs_contract, d.rhs_contract
    for side in (0, 1):
        joined: Any = body.nodes[node.operands[side]]
        if joined.op == "concatenate" and joined.attributes[0] in own:
            runs = [list(run) for _, run in groupby(joined.operands, lambda i: i in late)]
            if len(runs) > 1:
                dimension = joined.attributes[0]
                parts = [concatenate_all([new[i] for i in run], dimension) for run in runs]
                ends = [*accumulate(part.shape[dimension] for part in parts)]
                at, whole = others[own.index(dimension)], operands[1 - side]
                pieces = [
                    slice_dimension(whole, at, end - part.shape[dimension], end)
                    for part, end in zip(parts, ends, strict=True)
                ]
                pairs = zip(*((parts, pieces) if side == 0 else (pieces, parts)), strict=True)
                result: Value = fold(
                    add, (dot_general(x, y, d, precision, dtype) for x, y in pairs)
                )
                return result
        own, others = others, own
    return None
