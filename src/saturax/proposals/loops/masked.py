"""Accumulators that some iterations leave as they are: the mask moves from the sum to its terms.

c ← select(p, f(c, x), c)    =    c ← f(c, select(p, x, e))    where f(c, e) = c
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import broadcast_in_dim, full, identity_value, select
from saturax.graph.ops.reduction import REDUCERS
from saturax.graph.types import TensorType, is_complex, is_float, numpy_dtype


def with_masked_terms(body: Graph, carries: int) -> Graph:
    """The body of a loop with masks on the terms of its accumulators, equal in every bit."""
    found: dict[int, tuple[int, ...]] = {}
    for carry, output in enumerate(body.outputs[:carries]):
        operands = _masked_update(body, carry, output)
        if operands is not None:
            found[output] = operands
    return _rewritten(body, found) if found else body


def _masked_update(body: Graph, carry: int, output: int) -> tuple[int, ...] | None:
    """Which nodes are the predicate, the term, and the accumulation of a masked accumulator."""
    node: Any = body.nodes[output]
    if node.op != "ternary" or node.attributes[0] != "select":
        return None
    predicate, kept, other = node.operands
    is_inverted = _is_carry(body.nodes[kept], carry)
    updated, unchanged = (other, kept) if is_inverted else (kept, other)
    new: Any = body.nodes[updated]
    if not _is_carry(body.nodes[unchanged], carry) or new.op != "binary":
        return None
    f, type = new.attributes[0], new.type
    is_term_right = new.operands[0] == unchanged
    term = new.operands[1 if is_term_right else 0]
    is_carried = unchanged in new.operands and (
        f in REDUCERS or (f == "subtract" and is_term_right)
    )
    if not is_carried or _neutral(f, type) is None:
        return None
    if unchanged in _needed(body, predicate) | _needed(body, term):
        return None
    return (predicate, term, updated)


def _is_carry(node: Node, carry: int) -> bool:
    return node.op == "parameter" and node.attributes[0] == carry


def _needed(body: Graph, index: int) -> set[int]:
    """A node and all that it depends on."""
    found: set[int] = set()
    pending = [index]
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(body.nodes[node].operands)
    return found


def _neutral(f: str, type: TensorType) -> Any:
    """The e with f(c, e) = c in every bit; None where there is none."""
    if f in ("add", "subtract") and is_float(type.dtype):
        return numpy_dtype(type.dtype).type(-0.0 if f == "add" else 0.0)
    if f in ("add", "subtract", "multiply") and is_complex(type.dtype):
        return None
    return identity_value("add" if f == "subtract" else f, type.dtype)


def _rewritten(body: Graph, found: dict[int, tuple[int, ...]]) -> Graph:
    """The body with masked accumulators as accumulators of masked terms."""
    builder = GraphBuilder(exact=True)
    builder.inputs.extend(body.inputs)
    new: list[Value] = []
    with building(builder):
        for index, node in enumerate(body.nodes):
            if index in found:
                new.append(_accumulated(builder, body, new, node, *found[index]))
            else:
                operands = tuple(new[i].index for i in node.operands)
                new.append(builder.append(node._replace(operands=operands)))
    outputs = tuple(new[output].index for output in body.outputs)
    return Graph(body.inputs, tuple(builder.nodes), outputs)


def _accumulated(
    builder: GraphBuilder,
    body: Graph,
    new: list[Value],
    node: Node,
    predicate: int,
    term: int,
    updated: int,
) -> Value:
    update: Any = body.nodes[updated]
    x, p = new[term], new[predicate]
    neutral = full(np.asarray(_neutral(update.attributes[0], update.type)), update.type)
    if p.rank != x.rank:
        p = broadcast_in_dim(p, x.shape, ())
    is_kept = node.operands[1] == updated
    masked = select(p, x, neutral) if is_kept else select(p, neutral, x)
    operands = tuple(masked.index if i == term else new[i].index for i in update.operands)
    return builder.append(update._replace(operands=operands))
