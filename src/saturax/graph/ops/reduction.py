"""Reductions with a known associative body, whose initial value is that body's identity.

Reductions with other bodies or initial values are generic operations with a region.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import make
from saturax.graph.operation import expect, register
from saturax.graph.ops.contraction import window_size
from saturax.graph.types import TensorType, Type, is_complex, is_float, numpy_dtype

REDUCERS = ("add", "multiply", "maximum", "minimum", "and", "or")
"""Binary functions that `reduce` and `reduce_window` know by name."""


class ReduceWindow(NamedTuple):
    """Window of a `reduce_window`; one entry a dimension of the operand."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    base_dilation: tuple[int, ...]
    window_dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]


class Cumulation(NamedTuple):
    """A window over all that comes before an element along an axis, or after if reversed."""

    axis: int
    is_reversed: bool


def cumulation_of(shape: Sequence[int], window: ReduceWindow) -> Cumulation | None:
    """What a window over a tensor of this shape accumulates; None if it is no such window."""
    moving = [i for i, n in enumerate(window.size) if n != 1]
    steps = set(window.strides + window.base_dilation + window.window_dilation)
    if len(moving) != 1 or not steps <= {1} or 0 in shape:
        return None
    (axis,) = moving
    n, padding = shape[axis], [tuple(p) for p in window.padding]
    if any(p != (0, 0) for i, p in enumerate(padding) if i != axis):
        return None
    if window.size[axis] != n or padding[axis] not in ((n - 1, 0), (0, n - 1)):
        return None
    return Cumulation(axis, padding[axis] == (0, n - 1))


def identity_value(f: str, dtype: str) -> Any:
    """The numpy scalar e of `dtype` with f(e, x) = x for every x; None where there is none."""
    kind = numpy_dtype(dtype)
    if f in ("add", "or"):
        return kind.type(0)
    if f == "multiply":
        return kind.type(1)
    if f == "and":
        return (
            kind.type(1) if dtype == "i1" else kind.type(-1) if dtype[0] == "i" else ~kind.type(0)
        )
    if is_complex(dtype):
        return None
    if dtype == "i1":
        return kind.type(f == "minimum")
    if is_float(dtype):
        value = kind.type(-np.inf if f == "maximum" else np.inf)
        return value if np.isinf(value.astype(np.float64)) else None
    import ml_dtypes

    info = ml_dtypes.iinfo(kind)
    return kind.type(info.min if f == "maximum" else info.max)


def _infer_reduce(attributes: Any, operands: Sequence[Any]) -> Type:
    (_, dimensions), (x,) = attributes, operands
    valid = all(0 <= d < x.rank for d in dimensions) and len(set(dimensions)) == len(dimensions)
    expect(valid, "reduce", "{} along {}", x, dimensions)
    return TensorType(tuple(n for d, n in enumerate(x.shape) if d not in dimensions), x.dtype)


# XLA computes a window as long as its dimension (a cumulative sum) in blocks of this size, and what
# the blocks add to each other likewise (its pass ReduceWindowRewriter).
_BLOCK = 16


def _infer_reduce_window(attributes: Any, operands: Sequence[Any]) -> Type:
    (_, window), (x,) = attributes, operands
    w = ReduceWindow(*window)
    expect(all(len(field) == x.rank for field in w), "reduce_window", "{} with {}", x, w)
    shape = tuple(
        window_size(
            x.shape[d],
            w.size[d],
            w.strides[d],
            *w.padding[d],
            (w.base_dilation[d], w.window_dilation[d]),
        )
        for d in range(x.rank)
    )
    return TensorType(shape, x.dtype)


def _reduce_flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    size: int = operands[0].size
    return size


def _reduce_window_flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    window = ReduceWindow(*attributes[1])
    work = (
        min(size, _BLOCK + 2) if size == operands[0].shape[d] and sum(window.padding[d]) else size
        for d, size in enumerate(window.size)
    )
    return int(result.size) * prod(work)


def _reduces_nothing(attributes: Any, operands: Sequence[Any]) -> bool:
    return not attributes[1]


register(
    "reduce",
    ("f", "dimensions"),
    _infer_reduce,
    "heavy",
    _reduce_flops,
    _reduces_nothing,
)
register("reduce_window", ("f", "window"), _infer_reduce_window, "heavy", _reduce_window_flops)


def reduce_(f: Any, x: Any, dimensions: Any) -> Any:
    """Combine the elements of x along `dimensions` with f ("add", "maximum", …)."""
    return make("reduce", x, attributes=(f, dimensions))


def reduce_window(f: Any, x: Any, window: Any) -> Any:
    """Combine with f the elements of x in each position of a `ReduceWindow`."""
    return make("reduce_window", x, attributes=(f, window))
