"""Completing slices and pads, dimension by dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saturax.graph.sampling.draw import Draw
from saturax.graph.sampling.goal import FREE, Goal, Proposal, known
from saturax.graph.types import TensorType


def slice_(goal: Goal) -> Proposal | None:
    """Complete a `slice`."""
    starts, limits, strides = goal.attributes
    rank = _common_rank(goal, goal.attributes)
    x, result, draw = goal.operand_shape(), goal.result_shape(), goal.draw
    fixed = [each for each in goal.attributes if each is not FREE]
    if any(each is not None and len(each) != rank for each in (x, result, *fixed)):
        return None
    recent, draw.recent_slice = draw.recent_slice, None
    if recent is not None and x is not None and rank == len(recent) > 0 and draw.chance(0.4):
        return _adjoining(goal, recent, x), [TensorType(x, goal.dtype())]
    rows = [
        _slice_dimension(
            draw,
            None if x is None else x[d],
            None if result is None else result[d],
            (known(starts, d), known(limits, d), known(strides, d)),
            is_idle,
        )
        for d, is_idle in enumerate(_idle(draw, rank))
    ]
    n, a, b, s = _columns(rows, 4)
    draw.recent_slice = tuple(zip(a, b, s, strict=True))
    return (a, b, s), [TensorType(n, goal.dtype())]


def _adjoining(
    goal: Goal, recent: tuple[tuple[int, int, int], ...], x: tuple[int, ...]
) -> tuple[Any, ...]:
    """The slice before or after the one drawn last, along one dimension."""
    rows, result = list(recent), goal.result_shape()
    partial = [i for i, (a, b, _) in enumerate(recent) if i < len(x) and b - a < x[i]]
    d = goal.draw.pick(partial or range(len(x)))
    start, limit, stride = rows[d]
    if goal.draw.chance(0.6):
        end = x[d] if result is None else limit + (result[d] - 1) * stride + 1
        rows[d] = (limit, end, stride)
    else:
        first = 0 if result is None else start - (result[d] - 1) * stride - 1
        rows[d] = (first, start, stride)
    return tuple(_columns(rows, 3))


def _common_rank(goal: Goal, attributes: Sequence[Any]) -> int:
    for value in (goal.operand_shape(), goal.result_shape(), *attributes):
        if value is not None and value is not FREE:
            return len(value)
    return goal.draw.pick((1, 1, 2, 2, 2, 3, 3, 4, 5, 0))


def _idle(draw: Draw, rank: int) -> list[bool]:
    """Which dimensions to leave alone: none, or most of them."""
    share = draw.pick((0.0, 0.75))
    return [draw.chance(share) for _ in range(rank)]


def _untouched(x: tuple[int, ...] | None, result: tuple[int, ...] | None, d: int) -> int | None:
    """The size of a dimension that may stay as it is; None if both sizes are known, or none is."""
    if x is not None:
        return x[d] if result is None or result[d] == x[d] else None
    return None if result is None else result[d]


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[tuple[Any, ...]]:
    return [tuple(row[i] for row in rows) for i in range(count)]


def _slice_dimension(
    draw: Draw,
    n: int | None,
    size: int | None,
    fixed: tuple[int | None, int | None, int | None],
    is_idle: bool,
) -> tuple[int, int, int, int]:
    """(operand size, start, limit, stride) of one dimension of a slice."""
    if is_idle and fixed == (None, None, None) and (n is None or size is None):
        whole = n if n is not None else size if size is not None else draw.size()
        return whole, 0, whole, 1
    start, limit, stride = fixed
    if n is None and size is None and (start is None or limit is None):
        n = max(draw.size(), start or 0, limit or 0)
    if stride is None:
        is_whole = size == n and size is not None and size > 1
        stride = 1 if is_whole or draw.chance(0.75) else draw.pick((2, 3))
    span = None if size is None else 0 if size == 0 else (size - 1) * stride + 1
    if n is None:
        first, last = _bounds_of_any(draw, start, limit, span, stride)
        return last + draw.pick((0, 0, 0, 1, 2, 3)), first, last, stride
    first, last = _bounds_within(draw, n, start, limit, span)
    return n, first, last, stride


def _bounds_of_any(
    draw: Draw, start: int | None, limit: int | None, span: int | None, stride: int
) -> tuple[int, int]:
    """Start and limit of a slice of an operand whose size is free."""
    first = start if start is not None else draw.pick((0, 0, 0, 1, 2, 3))
    if limit is None:
        return first, first + (span or 0) + draw.integer(0, stride - 1 if span else 0)
    return (max(limit - span, 0) if start is None and span is not None else first), limit


def _bounds_within(
    draw: Draw, n: int, start: int | None, limit: int | None, span: int | None
) -> tuple[int, int]:
    """Start and limit of a slice of n elements."""
    if start is None:
        highest = max((limit if limit is not None else n) - (span or 0), 0)
        is_determined = limit is not None and span is not None
        start = highest if is_determined else draw.pick((0, draw.integer(0, highest)))
    if limit is not None:
        return start, limit
    if span is not None:
        return start, start + span
    return start, draw.pick((n, draw.integer(min(start, n), n)))


def pad(goal: Goal) -> Proposal | None:
    """Complete a `pad`."""
    low, high, interior = goal.attributes
    rank = _common_rank(goal, goal.attributes)
    x, result, draw = goal.operand_shape(), goal.result_shape(), goal.draw
    known_lengths = {len(given) for given in (x, result) if given is not None}
    known_lengths |= {len(amounts) for amounts in goal.attributes if amounts is not FREE}
    if known_lengths - {rank}:
        return None
    # Whole pads without negative or interior amounts are the common case.
    is_plain = draw.chance(0.5)
    is_free = low is FREE and high is FREE and interior is FREE
    rows = [
        (untouched, 0, 0, 0)
        if is_idle and is_free and (untouched := _untouched(x, result, d)) is not None
        else _pad_dimension(
            draw,
            None if x is None else x[d],
            None if result is None else result[d],
            (known(low, d), known(high, d), known(interior, d)),
            is_plain,
        )
        for d, is_idle in enumerate(_idle(draw, rank))
    ]
    n, a, b, i = _columns(rows, 4)
    dtype = goal.dtype()
    return (a, b, i), [TensorType(n, dtype), TensorType((), dtype)]


def _pad_dimension(
    draw: Draw,
    n: int | None,
    size: int | None,
    fixed: tuple[int | None, int | None, int | None],
    is_plain: bool,
) -> tuple[int, int, int, int]:
    """(operand size, low, high, interior) of one dimension of a pad."""
    low, high, interior = fixed
    amounts = (0, 0, 1, 2) if is_plain else (0, 0, 1, 2, 3, -1, -2)
    if interior is None:
        interior = 0 if is_plain else draw.pick((0, 0, 0, 1, 2))
    if n is None:
        n = draw.size() if size is None or not is_plain else draw.integer(0, size)
        if size is not None and low is not None and high is not None:
            n = max((size - low - high + interior) // (interior + 1), 0)
    spread = n + max(n - 1, 0) * interior
    if low is None:
        low = draw.pick(amounts)
        if size is not None and high is not None:
            low = size - spread - high
        elif size is not None and is_plain:
            low = draw.pick((0, size - spread, (size - spread) // 2))
    if high is None:
        high = draw.pick(amounts) if size is None else size - spread - low
    return n, low, high, interior
