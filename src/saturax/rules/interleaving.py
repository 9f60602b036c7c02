"""Strided slices as columns of a reshaped tensor, and slices that undo interior padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import pad, reshape, slice_
from saturax.graph.types import TensorType
from saturax.rules.moves import count
from saturax.rules.rule import BITWISE, need, rule

SPEC = "StableHLO spec, `slice`"
Dimensions = tuple[int, ...]


def _strided(rng: np.random.Generator) -> dict[str, Any]:
    stride, length, other = (int(n) for n in rng.integers(2, 5, 3))
    shape = (other, stride * length)
    first = int(rng.integers(0, stride))
    x = TensorType(shape, str(rng.choice(["f32", "i32"])))
    return {"x": x, "a": (0, first), "b": shape, "c": (1, stride)}


@rule(lambda x, a, b, c: slice_(x, a, b, c), numerics=BITWISE, source=SPEC, examples=_strided)
def strided_slice_as_column(x: Value, a: Any, b: Any, c: Any) -> Value | None:
    """x[i::k] = reshape(x, (n/k, k))[:, i] if k divides n"""
    moving = [d for d, stride in enumerate(c) if stride > 1]
    need(len(moving) == 1)
    (axis,) = moving
    n, stride = x.shape[axis], c[axis]
    need(n % stride == 0 and a[axis] < stride and count(a[axis], b[axis], stride) == n // stride)
    need(n > stride)
    columns = reshape(x, (*x.shape[:axis], n // stride, stride, *x.shape[axis + 1 :]))
    low = (*a[:axis], 0, a[axis], *a[axis + 1 :])
    high = (*b[:axis], n // stride, a[axis] + 1, *b[axis + 1 :])
    column = slice_(columns, low, high, (1,) * columns.rank)
    shape = list(column.shape)
    del shape[axis + 1]
    return reshape(column, shape)


def _padded_inside(rng: np.random.Generator) -> dict[str, Any]:
    n, inside, low = int(rng.integers(1, 5)), int(rng.integers(1, 4)), int(rng.integers(0, 4))
    last = low + (n - 1) * (inside + 1) + 1
    start = low + (inside + 1) * int(rng.integers(0, n))
    x = TensorType((n,), "f32")
    padding = {"u": (low,), "w": (0,), "i": (inside,)}
    return {"x": x, **padding, "a": (start,), "b": (last,), "c": (inside + 1,)}


@rule(
    lambda x, v, u, w, i, a, b, c: slice_(pad(x, v, u, w, i), a, b, c),
    numerics=BITWISE,
    source="StableHLO spec, `pad`",
    examples=_padded_inside,
)
def slice_between_padding(
    x: Value,
    v: Value,
    u: Any,
    w: Any,
    i: Any,
    a: Any,
    b: Any,
    c: Any,
) -> Value | None:
    """pad(x, v, interior k - 1)[i::k] = x[j:] where only elements of x are taken"""
    need(any(inside > 0 for inside in i))
    starts, limits, strides = [], [], []
    for d, n in enumerate(x.shape):
        step, taken = i[d] + 1, count(a[d], b[d], c[d])
        offset = a[d] - u[d]
        need(taken > 0 and offset >= 0 and offset % step == 0)
        need(taken == 1 or c[d] % step == 0)
        stride = max(1, c[d] // step)
        starts.append(offset // step)
        limits.append(offset // step + (taken - 1) * stride + 1)
        strides.append(stride)
        need(limits[-1] <= n)
    return slice_(x, starts, limits, strides)
