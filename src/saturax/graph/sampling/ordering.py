"""Completing operations of order, and scatters."""

from __future__ import annotations

from typing import Any

from saturax.graph.ops.indexing import GatherDimensions
from saturax.graph.ops.ordering import Order, default_order
from saturax.graph.ops.reduction import REDUCERS, identity_value
from saturax.graph.ops.scatter import SET, ScatterDimensions, window_sizes
from saturax.graph.sampling import contraction
from saturax.graph.sampling.goal import FREE, Goal, Proposal, fits
from saturax.graph.sampling.windows import reduces
from saturax.graph.types import TensorType, is_complex

_PAYLOADS = ("i32", "f32", "i64", "bf16")


def _shape(goal: Goal, dimension: Any) -> tuple[int, ...] | None:
    """The shape that all operands and results share; None if it has no such dimension."""
    known = [goal.result, *goal.operands]
    shapes = [type.shape for type in known if type is not None]
    least = 1 if dimension is FREE else dimension + 1
    shape = shapes[0] if shapes else goal.draw.shape(goal.draw.integer(least, max(3, least)))
    return shape if len(shape) >= least else None


def _order(goal: Goal, dtype: str, partial: Any) -> Order | None:
    if is_complex(dtype):
        return None
    draw = goal.draw
    drawn = default_order(dtype, draw.pick(("LT", "LT", "LT", "GT")))
    if partial is FREE or fits(partial, drawn):
        return drawn
    reverse = Order("GT" if drawn.direction == "LT" else "LT", drawn.kind)
    return reverse if fits(partial, reverse) else None


def sort(goal: Goal) -> Proposal | None:
    """Complete a `sort`."""
    return _sorted(goal, [goal.dtype()])


def sort_pair(goal: Goal) -> Proposal | None:
    """Complete a `sort_pair`, of which result number `goal.element` may be known."""
    keys, payload = goal.operands
    types = [keys, payload]
    if types[goal.element] is None:
        types[goal.element] = goal.result
    other = goal.draw.pick(_PAYLOADS)
    first = types[0].dtype if types[0] else goal.draw.dtype
    return _sorted(goal, [first, types[1].dtype if types[1] else other])


def _sorted(goal: Goal, dtypes: list[str]) -> Proposal | None:
    dimension, order, is_stable = goal.attributes
    shape = _shape(goal, dimension)
    chosen = None if shape is None else _order(goal, dtypes[0], order)
    if shape is None or chosen is None:
        return None
    if dimension is FREE:
        dimension = goal.draw.integer(0, len(shape) - 1)
    stable = True if is_stable is FREE else is_stable
    return (dimension, chosen, stable), [TensorType(shape, dtype) for dtype in dtypes]


def top_k(goal: Goal) -> Proposal | None:
    """Complete a `top_k`, of which result number `goal.element` may be known."""
    (k,), draw = goal.attributes, goal.draw
    x, result = goal.operand_shape(), goal.result_shape()
    if x is None:
        x = draw.shape(draw.integer(1, 3)) if result is None else result
        if result is not None and x:
            x = (*x[:-1], x[-1] + draw.pick((0, 0, 1, 2)))
        elif k is not FREE and x:
            x = (*x[:-1], max(x[-1], k))
    if not x:
        return None
    if k is FREE:
        k = draw.pick((x[-1], draw.integer(0, x[-1]))) if result is None else result[-1]
    given = goal.operands[0]
    wanted = goal.result if goal.element == 0 else None
    dtype = given.dtype if given else wanted.dtype if wanted else draw.dtype
    return None if is_complex(dtype) else ((k,), [TensorType(x, dtype)])


def arg_reduce(goal: Goal) -> Proposal | None:
    """Complete an `arg_reduce`, of which result number `goal.element` may be known."""
    (f, dimension, index), draw = goal.attributes, goal.draw
    x, result = goal.operand_shape(), goal.result_shape()
    wanted: list[TensorType | None] = [None, None]
    wanted[goal.element] = goal.result
    if x is None:
        kept = result or draw.shape(draw.integer(0 if dimension is FREE else dimension, 3))
        at = draw.integer(0, len(kept)) if dimension is FREE else dimension
        x, dimension = (*kept[:at], draw.size(), *kept[at:]), at
    if dimension is FREE and x:
        fitting = [d for d in range(len(x)) if result in (None, (*x[:d], *x[d + 1 :]))]
        dimension = draw.pick(fitting or (0,))
    if f is FREE:
        f = draw.pick(("maximum", "minimum"))
    if index is FREE:
        index = wanted[1].dtype if wanted[1] else draw.pick(("i32", "i32", "i64", "ui8"))
    given = goal.operands[0] or wanted[0]
    dtype = given.dtype if given else draw.dtype
    if is_complex(dtype) or identity_value(f, dtype) is None or dimension is FREE:
        return None
    return (f, dimension, index), [TensorType(x, dtype)]


def scatter(goal: Goal) -> Proposal | None:
    """Complete a `scatter`: the gather that reads what it writes is completed."""
    f, dimensions, is_sorted, is_unique = goal.attributes
    given, indices, updates = goal.operands
    x = given or goal.result
    d = FREE if dimensions is FREE else GatherDimensions(*dimensions)
    sizes: Any = FREE
    if x is not None and updates is not None and d is not FREE:
        sizes = window_sizes(ScatterDimensions(*d), x, updates)
    reading = contraction.gather(Goal(goal.draw, updates, [x, indices], (d, sizes, False)))
    if reading is None:
        return None
    (read, sizes, _), (x, indices) = reading
    if f is FREE:
        f = goal.draw.pick([SET, *(g for g in REDUCERS if reduces(g, x.dtype))])
    if f != SET and not reduces(f, x.dtype):
        return None
    flags = tuple(False if flag is FREE else flag for flag in (is_sorted, is_unique))
    shape = _window_shape(read, sizes, indices.shape)
    written = ScatterDimensions(*read)
    return (f, written, *flags), [x, indices, TensorType(shape, x.dtype)]


def _window_shape(
    d: GatherDimensions, sizes: tuple[int, ...], indices: tuple[int, ...]
) -> tuple[int, ...]:
    """The shape of what a gather reads."""
    dropped = d.collapsed_slice_dims + d.operand_batching_dims
    windows = [n for i, n in enumerate(sizes) if i not in dropped]
    rest = iter([n for i, n in enumerate(indices) if i != d.index_vector_dim])
    rank = len(windows) + len(indices) - (d.index_vector_dim < len(indices))
    return tuple(
        windows[d.offset_dims.index(i)] if i in d.offset_dims else next(rest) for i in range(rank)
    )
