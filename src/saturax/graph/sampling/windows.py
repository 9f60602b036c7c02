"""Completing convolutions and reductions, with and without windows."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from saturax.graph.ops.contraction import (
    ConvDimensions,
    Groups,
    Precision,
    Window,
    window_size,
)
from saturax.graph.ops.reduction import REDUCERS, ReduceWindow, identity_value
from saturax.graph.sampling.draw import Draw, divisors
from saturax.graph.sampling.goal import FREE, Goal, Proposal, fits, is_fixed, known, part
from saturax.graph.types import TensorType, is_integer

# Of one dimension: operand, window, stride, low and high padding, base and window dilation.
_N, _K, _S, _LOW, _HIGH, _BASE, _SPREAD = range(7)
_REPAIRS: dict[int, Sequence[int]] = {
    _HIGH: range(-3, 10),
    _LOW: range(-3, 10),
    _N: range(10),
    _K: range(1, 6),
    _S: range(1, 4),
}

Row = list[int]


def _size(row: Sequence[int]) -> int:
    n, k, stride, low, high, base, spread = row
    return window_size(n, k, stride, low, high, (base, spread))


def window_dimension(
    draw: Draw, fixed: Sequence[int | None], size: int | None, is_plain: bool
) -> Row | None:
    """Complete one dimension of a window so that it has `size` positions (any, if None)."""
    given = fixed[_K]
    k = given if given is not None else draw.pick((1, 1, 1, 2, 2, 3, 3, 4))
    padding = _padding(draw, k, is_plain)
    drawn = (
        draw.size() if size is None else size + k - 1,
        k,
        1 if is_plain else draw.pick((1, 1, 1, 2, 3)),
        padding[0],
        padding[1],
        1 if is_plain else draw.pick((1, 1, 1, 2)),
        1 if is_plain else draw.pick((1, 1, 1, 2)),
    )
    row = [d if f is None else f for f, d in zip(fixed, drawn, strict=True)]
    if size is None or _size(row) == size:
        return row
    for index in draw.shuffled([i for i in _REPAIRS if fixed[i] is None]):
        for value in _REPAIRS[index]:
            repaired = [*row[:index], value, *row[index + 1 :]]
            if _size(repaired) == size:
                return repaired
    return None


def _padding(draw: Draw, k: int, is_plain: bool) -> tuple[int, int]:
    if draw.chance(0.45):
        return 0, 0
    if draw.chance(0.5):
        return (k - 1) // 2, k // 2
    low = 0 if is_plain else -1
    return draw.integer(low, 2), draw.integer(low, 2)


def _pair(partial: Any, dimension: int, side: int) -> int | None:
    """One amount of a partly free padding attribute."""
    row = part(partial, dimension)
    return None if row is FREE else known(row, side)


# ------------------------------------------------------------------ reductions


def reduces(f: str, dtype: str) -> bool:
    """Whether reductions by f take elements of `dtype`."""
    if f not in REDUCERS:
        return False
    if f in ("and", "or"):
        return is_integer(dtype) or dtype == "i1"
    return identity_value(f, dtype) is not None


def _drawn_reducer(goal: Goal) -> str | None:
    """The reducer wanted, or one that the element type has."""
    f, dtype = goal.attributes[0], goal.dtype()
    if f is not FREE:
        return f if reduces(f, dtype) else None
    admitted = [g for g in ("add", "add", *REDUCERS) if reduces(g, dtype)]
    return goal.draw.pick(admitted) if admitted else None


def reduce_(goal: Goal) -> Proposal | None:
    """Complete a `reduce`."""
    dimensions, draw = goal.attributes[1], goal.draw
    x, result = goal.operand_shape(), goal.result_shape()
    f = _drawn_reducer(goal)
    if f is None:
        return None
    if x is None:
        if dimensions is not FREE and result is not None:
            if max(dimensions, default=-1) >= len(result) + len(dimensions):
                return None
        x, dimensions = _reduced_operand(draw, result, dimensions)
    if dimensions is FREE:
        count = len(x) - len(result) if result is not None else None
        if count is not None and count < 0:
            return None
        chosen = draw.shuffled(range(len(x)))[:count] if count is not None else []
        dimensions = tuple(sorted(chosen or draw.subset(range(len(x)))))
    return (f, dimensions), [TensorType(x, goal.dtype())]


def _reduced_operand(
    draw: Draw, result: tuple[int, ...] | None, dimensions: Any
) -> tuple[tuple[int, ...], Any]:
    """An operand for a reduction to `result`."""
    if result is None:
        needed = 1 if dimensions is FREE else max((*dimensions, 0)) + 1
        return draw.shape(draw.integer(needed, max(4, needed))), dimensions
    if dimensions is FREE:
        rank = len(result) + draw.pick((1, 1, 1, 2))
        dimensions = tuple(sorted(draw.shuffled(range(rank))[: rank - len(result)]))
    kept = iter(result)
    rank = len(result) + len(dimensions)
    return tuple(draw.size() if d in dimensions else next(kept) for d in range(rank)), dimensions


def reduce_window(goal: Goal) -> Proposal | None:
    """Complete a `reduce_window`."""
    window, draw = goal.attributes[1], goal.draw
    x, result = goal.operand_shape(), goal.result_shape()
    f = _drawn_reducer(goal)
    rank = _window_rank(goal, window)
    fixed_parts = [] if window is FREE else [field for field in window if field is not FREE]
    if f is None or any(s is not None and len(s) != rank for s in (x, result, *fixed_parts)):
        return None
    is_plain = draw.chance(0.5)
    rows: list[Row] = []
    for d in range(rank):
        fields = [part(window, i) for i in range(5)]
        fixed = (
            None if x is None else x[d],
            known(fields[0], d),
            known(fields[1], d),
            _pair(fields[4], d, 0),
            _pair(fields[4], d, 1),
            known(fields[2], d),
            known(fields[3], d),
        )
        row = window_dimension(draw, fixed, None if result is None else result[d], is_plain)
        if row is None:
            return None
        rows.append(row)
    drawn = ReduceWindow(
        _column(rows, _K),
        _column(rows, _S),
        _column(rows, _BASE),
        _column(rows, _SPREAD),
        tuple((row[_LOW], row[_HIGH]) for row in rows),
    )
    return (f, drawn), [TensorType(_column(rows, _N), goal.dtype())]


def _column(rows: list[Row], index: int) -> tuple[int, ...]:
    return tuple(row[index] for row in rows)


def _window_rank(goal: Goal, window: Any) -> int:
    fields = [] if window is FREE else [field for field in window if field is not FREE]
    for value in (goal.operand_shape(), goal.result_shape(), *fields):
        if value is not None:
            return len(value)
    return goal.draw.pick((1, 1, 2, 2, 3, 4))


# ------------------------------------------------------------------ convolution

Layout = tuple[int, int, tuple[int, ...]]


def _layout(draw: Draw, spatial: int) -> Layout:
    """Two special dimensions and the spatial ones: leading, spread around the others, or random."""
    rank = spatial + 2
    order = draw.pick((range(rank), (0, rank - 1, *range(1, rank - 1)), draw.shuffled(range(rank))))
    return order[0], order[1], tuple(order[2:])


def _conv_dimensions(draw: Draw, spatial: int, partial: Any) -> ConvDimensions | None:
    if is_fixed(partial):
        return ConvDimensions(*partial)
    for _ in range(20):
        source = _layout(draw, spatial)
        kernel = _layout(draw, spatial)
        target = source if draw.chance(0.7) else _layout(draw, spatial)
        drawn = ConvDimensions(*source, *kernel, *target)
        if fits(partial, drawn):
            return drawn
    return None


def convolution(goal: Goal) -> Proposal | None:
    """Complete a `convolution`."""
    window, dimensions, groups, precision, dtype = goal.attributes
    draw = goal.draw
    x, k, result = goal.operand_shape(0), goal.operand_shape(1), goal.result_shape()
    spatial = _spatial_rank(goal)
    ranks_fit = all(s is None or len(s) == spatial + 2 for s in (x, k, result))
    d = _conv_dimensions(draw, spatial, dimensions) if ranks_fit and spatial >= 0 else None
    if d is None or len(d.input_spatial) != spatial:
        return None
    counts = _feature_counts(
        draw,
        groups,
        None if x is None else (x[d.input_batch], x[d.input_feature]),
        None if k is None else (k[d.kernel_input_feature], k[d.kernel_output_feature]),
        None if result is None else (result[d.output_batch], result[d.output_feature]),
    )
    rows = _conv_rows(goal, window, d)
    if rows is None or counts is None:
        return None
    drawn_groups, batch, features, inputs, outputs = counts
    drawn = Window(
        _column(rows, _S),
        tuple((row[_LOW], row[_HIGH]) for row in rows),
        _column(rows, _BASE),
        _column(rows, _SPREAD),
        _reversal(draw, window, spatial),
    )
    x = _placed(d.input_batch, batch, d.input_feature, features, d.input_spatial, _column(rows, _N))
    k = _placed(
        d.kernel_input_feature,
        inputs,
        d.kernel_output_feature,
        outputs,
        d.kernel_spatial,
        _column(rows, _K),
    )
    x_type, k_type, dtype = product_types(goal, x, k, dtype)
    return (drawn, d, drawn_groups, drawn_precision(draw, precision), dtype), [x_type, k_type]


def _spatial_rank(goal: Goal) -> int:
    for shape in (goal.operand_shape(0), goal.operand_shape(1), goal.result_shape()):
        if shape is not None:
            return len(shape) - 2
    window, dimensions = goal.attributes[:2]
    for partial, fields in ((window, range(5)), (dimensions, (2, 5, 8))):
        for i in fields:
            if part(partial, i) is not FREE:
                return len(partial[i])
    return goal.draw.pick((1, 1, 2, 2, 2, 0, 3))


def _reversal(draw: Draw, window: Any, spatial: int) -> tuple[bool, ...]:
    flags = part(window, 4)
    if flags is not FREE and is_fixed(flags):
        fixed: tuple[bool, ...] = flags
        return fixed
    odd = draw.chance(0.25)
    return tuple(odd and draw.chance(0.5) for _ in range(spatial))


def _conv_rows(goal: Goal, window: Any, d: ConvDimensions) -> list[Row] | None:
    x, k, result = goal.operand_shape(0), goal.operand_shape(1), goal.result_shape()
    is_plain = goal.draw.chance(0.5)
    fields = [part(window, i) for i in range(5)]
    rows = []
    for i in range(len(d.input_spatial)):
        fixed = (
            None if x is None else x[d.input_spatial[i]],
            None if k is None else k[d.kernel_spatial[i]],
            known(fields[0], i),
            _pair(fields[1], i, 0),
            _pair(fields[1], i, 1),
            known(fields[2], i),
            known(fields[3], i),
        )
        size = None if result is None else result[d.output_spatial[i]]
        row = window_dimension(goal.draw, fixed, size, is_plain)
        if row is None:
            return None
        rows.append(row)
    return rows


Pair = tuple[int, int]


def _feature_counts(
    draw: Draw, groups: Any, x: Pair | None, k: Pair | None, result: Pair | None
) -> tuple[Groups, int, int, int, int] | None:
    """(groups, batch, input features, kernel's input features, output features)."""
    feature_groups, batch_groups = known(groups, 0), known(groups, 1)
    outputs = k[1] if k is not None else result[1] if result is not None else None
    if feature_groups is None:
        feature_groups = 1
        if x is not None and k is not None and k[0]:
            feature_groups = x[1] // k[0]
        elif draw.chance(0.35):
            source = x[1] if x is not None else outputs if outputs else draw.pick((2, 3, 4))
            feature_groups = draw.pick((source or 1, draw.pick(divisors(source))))
    if batch_groups is None:
        is_grouped = feature_groups == 1 and draw.chance(0.12)
        batch_groups = draw.pick((2, 3)) if is_grouped else 1
        if x is not None and result is not None and result[0]:
            batch_groups = x[0] // result[0]
    batch_size = draw.pick((1, 1, 2, 3)) if result is None else result[0]
    batch = x[0] if x is not None else batch_size * batch_groups
    inputs = k[0] if k is not None else draw.pick((1, 1, 2, 3))
    if k is None and x is not None:
        inputs = x[1] // max(feature_groups, 1)
    features = x[1] if x is not None else inputs * feature_groups
    if outputs is None:
        outputs = draw.pick((1, 1, 2, 3)) * feature_groups * batch_groups
    if feature_groups < 1 or batch_groups < 1:
        return None
    return Groups(feature_groups, batch_groups), batch, features, inputs, outputs


def _placed(
    a: int, size_a: int, b: int, size_b: int, rest: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[int, ...]:
    shape = [0] * (len(rest) + 2)
    shape[a], shape[b] = size_a, size_b
    for position, size in zip(rest, sizes, strict=True):
        shape[position] = size
    return tuple(shape)


# ------------------------------------------------------------------ products


def drawn_precision(draw: Draw, partial: Any) -> Any:
    """A precision, the default one mostly."""
    if partial is not FREE and is_fixed(partial):
        return partial
    choices = [Precision()] * 4 + [Precision(("HIGHEST", "HIGHEST")), Precision(("DEFAULT",) * 2)]
    return draw.pick([p for p in choices if fits(partial, p)] or [Precision()])


_NARROWER = {"f32": ("bf16", "f16"), "f64": ("f32",), "i32": ("i8",), "bf16": ("f8E4M3FN",)}


def product_types(
    goal: Goal, x: tuple[int, ...], y: tuple[int, ...], dtype: Any
) -> tuple[TensorType, TensorType, str]:
    """Operand types and element type of a product; operands may be narrower than the result."""
    given = goal.operands[0] or goal.operands[1]
    draw = goal.draw
    result: str = goal.dtype() if dtype is FREE else dtype
    if dtype is FREE and goal.result is None and given is not None and draw.chance(0.15):
        wider = [wide for wide, narrow in _NARROWER.items() if given.dtype in narrow]
        result = wider[0] if wider else result
    operand = given.dtype if given is not None else result
    if given is None and draw.chance(0.1):
        operand = draw.pick(_NARROWER.get(result, (result,)))
    return TensorType(x, operand), TensorType(y, operand), result


def is_small(types: Sequence[TensorType], limit: int) -> bool:
    """Whether no tensor has more than `limit` elements."""
    return all(prod(type.shape) <= limit for type in types)
