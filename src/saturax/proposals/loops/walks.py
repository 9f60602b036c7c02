"""Cumulative operations as loops that walk along the axis, the opposite of `distribute_loops`.

yᵢ = f(x₀, …, xᵢ)    =    for i: c ← f(c, xᵢ), yᵢ ← c

A windowed reduction looks at the whole window for each element, or at a tree of partial results; a
loop passes over the tensor once, and XLA:CPU compiles one this plain without overhead.
"""

from __future__ import annotations

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import (
    Cumulation,
    ReduceWindow,
    add,
    binary,
    cumulation_of,
    dynamic_slice,
    dynamic_update_slice,
    full,
    identity_value,
    subtract,
)
from saturax.graph.ops.reduction import REDUCERS
from saturax.graph.types import TensorType
from saturax.proposals.equality import Equalities
from saturax.proposals.loops.batched import move_from_front, move_to_front
from saturax.proposals.loops.emit import INDEX, count_below, emit_while
from saturax.rules.arithmetic import accumulation_dtype


def walk_cumulations(equalities: Equalities) -> None:
    """Propose each cumulative operation as a loop along its axis, in place and with it first."""
    for index, node in enumerate(equalities.graph.nodes):
        if node.op != "reduce_window":
            continue
        found = _cumulation(equalities, node)
        if found is None:
            continue
        f, x = node.attributes[0], equalities.value(node.operands[0])
        assert isinstance(f, str)
        with building(equalities.builder):
            equalities.equate(index, _walk(equalities.builder, f, x, found))
            if found.axis:
                moved = move_to_front(x, found.axis)
                walked = _walk(equalities.builder, f, moved, found._replace(axis=0))
                equalities.equate(index, move_from_front(walked, found.axis))


def _cumulation(equalities: Equalities, node: Node) -> Cumulation | None:
    """What a windowed reduction accumulates, if it may be done one element after the other."""
    f, window = node.attributes
    type = node.type
    if f not in REDUCERS or not isinstance(type, TensorType):
        return None
    assert isinstance(f, str)
    if identity_value(f, type.dtype) is None:
        return None
    rounds = not equalities.may_round(type.dtype) or accumulation_dtype(type.dtype) != type.dtype
    if f in ("add", "multiply") and rounds:
        return None
    shape = equalities.value(node.operands[0]).shape
    return cumulation_of(shape, ReduceWindow(*window))  # type: ignore[misc]


def _walk(around: GraphBuilder, f: str, x: Value, c: Cumulation) -> Value:
    """f of all that comes before each element, computed from one end of the axis to the other."""
    row = x.tensor.with_shape(tuple(1 if d == c.axis else n for d, n in enumerate(x.shape)))
    first = full(identity_value(f, x.dtype), row)
    starts = [full(0, INDEX), first, full(0, x.tensor)]
    body = _step(f, row, x.tensor, c)
    condition = count_below(body.inputs, x.shape[c.axis])
    return emit_while(around, condition, body, starts, [x])[2]


def _step(f: str, row: TensorType, whole: TensorType, c: Cumulation) -> Graph:
    """One step: the counter, what is accumulated so far, and the rows that are written."""
    builder = GraphBuilder((INDEX, row, whole, whole))
    with building(builder):
        counter, total, written, x = builder.parameters
        last = full(whole.shape[c.axis] - 1, INDEX)
        place = subtract(last, counter) if c.is_reversed else counter
        at = [place if d == c.axis else full(0, INDEX) for d in range(whole.rank)]
        total = binary(f, total, dynamic_slice(x, at, row.shape))
        written = dynamic_update_slice(written, total, at)
        return builder.finish([add(counter, full(1, INDEX)), total, written])
