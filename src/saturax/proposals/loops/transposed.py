"""Carries of short rows with their last dimension first, so that rows are long.

    for t: h ← f(h, aₜ)    =    for t: hᵀ ← f(hᵀᵀ, aₜᵀᵀ)ᵀ

for h of shape (128, 16) say, which steps compute row by row: sixteen elements are hardly a loop,
and what is broadcast along them is read once a row. So are positions (n, 3) of particles, and
grids with a few values a cell. What the steps read of one shape with such a carry, or of several of
that shape stacked, comes in the same order, and the body is written for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from saturax.graph.build import Value, building
from saturax.graph.ops import transpose
from saturax.graph.types import TensorType, is_float
from saturax.proposals.equality import Equalities
from saturax.proposals.loops.emit import emit_while
from saturax.proposals.loops.reordered import Order, inverse, reordered
from saturax.proposals.loops.structure import Loop, loops_of

# With the rows' dimension first, h ← exp(-d·a)·h + d·b of 256 rows took 0.53 times as long with 16
# elements a row, 0.86 with 32, 0.91 with 64, and of 512 rows 1.14 with 128 (Xeon 6/106, one run).
_LONGEST_ROW = 32
_WRITES = frozenset({"dynamic_update_slice", "scatter"})


def transpose_carries(equalities: Equalities) -> None:
    """Propose each loop whose carries have short rows with the rows' dimension first."""
    for loop in loops_of(equalities.graph):
        if loop.trip_count in (0, 1) or not loop.results:
            continue
        moved = _moved(equalities, loop)
        if moved:
            with building(equalities.builder):
                _propose(equalities, loop, moved)


def _moved(equalities: Equalities, loop: Loop) -> dict[int, Order]:
    """How the parameters of the body are to be permuted, by number."""
    shapes = {
        loop.body.inputs[k].shape  # type: ignore[union-attr]
        for k in range(loop.carries)
        if k not in loop.invariant and _has_short_rows(equalities, loop, k)
    }
    found: dict[int, Order] = {}
    for k, type in enumerate(loop.body.inputs):
        if isinstance(type, TensorType) and shapes & {type.shape, type.shape[1:]}:
            stacked = 0 if type.shape in shapes else 1
            last = type.rank - 1
            found[k] = (*range(stacked), last, *range(stacked, last))
    return found


def _has_short_rows(equalities: Equalities, loop: Loop, carry: int) -> bool:
    """Whether a carry is computed anew in each step, and its rows are few elements each of many."""
    type = loop.body.inputs[carry]
    if not isinstance(type, TensorType) or not is_float(type.dtype) or type.rank < 2:
        return False
    if not equalities.may_round(type.dtype):  # sums along rows have another order
        return False
    row = type.shape[-1]
    is_new = loop.body.nodes[loop.body.outputs[carry]].op not in _WRITES
    return is_new and 1 < row <= _LONGEST_ROW and type.size > row * row


def _propose(equalities: Equalities, loop: Loop, moved: Mapping[int, Order]) -> None:
    outside = [equalities.value(i) for i in (*loop.initial, *loop.captured)]
    outside = _permuted(outside, moved)
    inputs = tuple([value.type for value in outside])
    ends = emit_while(
        equalities.builder,
        reordered(loop.condition, inputs, moved, {}),
        reordered(loop.body, inputs, moved, moved),
        outside[: loop.carries],
        outside[loop.carries :],
    )
    first = ends[0].node
    equalities.promising.append(first.operands[0] if first.op == "get_result" else ends[0].index)
    ends = _permuted(ends, {k: inverse(p) for k, p in moved.items()})
    for carry, places in loop.results.items():
        for place in places:
            equalities.equate(place, ends[carry])


def _permuted(values: Sequence[Value], moved: Mapping[int, Order]) -> list[Value]:
    return [transpose(v, moved[k]) if k in moved else v for k, v in enumerate(values)]
