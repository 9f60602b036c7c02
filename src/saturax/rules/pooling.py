"""Windowed reductions: as reductions, as narrower windows, as shifted slices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import product
from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.operation import infer
from saturax.graph.ops import (
    ReduceWindow,
    binary,
    broadcast_in_dim,
    constant,
    full,
    full_like,
    identity_value,
    multiply,
    negate,
    pad,
    reduce_,
    reduce_window,
    reshape,
    slice_,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import INCREASING, REALS, exactly, is_exact
from saturax.rules.rule import BITWISE, ROUNDING, need, rule

WINDOW = "StableHLO spec, `reduce_window`"
MONOTONE = "monotone functions preserve order"

SHIFT_LIMIT = 16
"""Most elements of a window that is written as shifted slices: 3×3 and 4×4 ones gain on XLA:CPU."""


def _is_exact(**arguments: Any) -> bool:
    return is_exact(arguments["f"], arguments["x"].dtype)


def _is_idle(w: ReduceWindow, i: int) -> bool:
    """Whether the window leaves dimension i as it is."""
    return w.size[i] == w.strides[i] == w.base_dilation[i] == 1 and tuple(w.padding[i]) == (0, 0)


def _is_plain(w: ReduceWindow, i: int) -> bool:
    """Whether nothing is padded or dilated in dimension i."""
    dilation = w.base_dilation[i], w.window_dilation[i] if w.size[i] > 1 else 1
    return dilation == (1, 1) and tuple(w.padding[i]) == (0, 0)


def _only(w: ReduceWindow, dimensions: Sequence[int]) -> ReduceWindow:
    """The window that moves in these dimensions only."""

    def chosen(field: Sequence[Any], idle: Any) -> tuple[Any, ...]:
        return tuple(entry if i in dimensions else idle for i, entry in enumerate(field))

    return ReduceWindow(
        chosen(w.size, 1),
        chosen(w.strides, 1),
        chosen(w.base_dilation, 1),
        chosen(w.window_dilation, 1),
        chosen(w.padding, (0, 0)),
    )


@rule(lambda f, x, w: reduce_window(f, x, w), numerics=ROUNDING, source=WINDOW)
def window_as_reduction(f: Any, x: Value, w: Any) -> Value | None:
    """A window over whole dimensions is a reduction along them"""
    w = ReduceWindow(*w)
    whole = [i for i, n in enumerate(x.shape) if w.size[i] == n and _is_plain(w, i)]
    need(whole and all(i in whole or _is_idle(w, i) for i in range(x.rank)))
    shape = [1 if i in whole else n for i, n in enumerate(x.shape)]
    return reshape(reduce_(f, x, whole), shape)


window_as_reduction_exactly = exactly(window_as_reduction, _is_exact)


def _tiles(rng: np.random.Generator) -> dict[str, Any]:
    rank = int(rng.integers(1, 4))
    size = rng.integers(1, 4, rank)
    sizes, ones = tuple(size.tolist()), (1,) * rank
    window = ReduceWindow(sizes, sizes, ones, ones, ((0, 0),) * rank)
    dtype = str(rng.choice(["f32", "f64", "i32"]))
    type = TensorType(tuple((size * rng.integers(1, 4, rank)).tolist()), dtype)
    return {"f": str(rng.choice(["add", "maximum", "minimum"])), "x": type, "w": window}


@rule(lambda f, x, w: reduce_window(f, x, w), numerics=ROUNDING, source=WINDOW, examples=_tiles)
def tiles_as_reduction(f: Any, x: Value, w: Any) -> Value | None:
    """Windows side by side are a reduction of x, reshaped into tiles"""
    w = ReduceWindow(*w)
    tiled = [i for i in range(x.rank) if not _is_idle(w, i)]
    need(tiled and x.size > 0 and prod(w.size) > 1)
    need(all(_is_plain(w, i) and w.strides[i] == w.size[i] for i in tiled))
    need(all(x.shape[i] % w.size[i] == 0 for i in tiled))
    shape: list[int] = []
    inner: list[int] = []
    for i, n in enumerate(x.shape):
        shape.append(n // w.size[i])
        if i in tiled:
            inner.append(len(shape))
            shape.append(w.size[i])
    return reduce_(f, reshape(x, shape), inner)


tiles_as_reduction_exactly = exactly(tiles_as_reduction, _is_exact, examples=_tiles)


@rule(lambda f, x, w: reduce_window(f, x, w), numerics=ROUNDING, source=WINDOW)
def separate_window(f: Any, x: Value, w: Any) -> Value | None:
    """A window is one along its first dimension that moves, then one along the others"""
    w = ReduceWindow(*w)
    moving = [i for i in range(x.rank) if not _is_idle(w, i)]
    need(len(moving) > 1)
    first = reduce_window(f, x, _only(w, moving[:1]))
    return reduce_window(f, first, _only(w, moving[1:]))


separate_window_exactly = exactly(separate_window, _is_exact)


@rule(lambda f, x, w: reduce_window(f, x, w), numerics=ROUNDING, source=WINDOW)
def window_as_shifts(f: Any, x: Value, w: Any) -> Value | None:
    """A window of at most 16 elements is f of as many shifted slices of the padded x"""
    w = ReduceWindow(*w)
    neutral = identity_value(f, x.dtype)
    result: Any = infer("reduce_window", (f, w), [x.type])
    need(0 < prod(w.size) <= SHIFT_LIMIT and neutral is not None and result.size > 0 and x.size > 0)
    padded = pad(
        x,
        full(neutral, TensorType((), x.dtype)),
        [low for low, _ in w.padding],
        [high for _, high in w.padding],
        [n - 1 for n in w.base_dilation],
    )
    shifts = []
    for offset in product(*map(range, w.size)):
        start = [o * n for o, n in zip(offset, w.window_dilation, strict=True)]
        bounds = zip(start, result.shape, w.strides, strict=True)
        limit = [first + (n - 1) * stride + 1 for first, n, stride in bounds]
        shifts.append(slice_(padded, start, limit, w.strides))
    return reduce(lambda total, shift: binary(f, total, shift), shifts)


window_as_shifts_exactly = exactly(window_as_shifts, _is_exact)


def _always_meets_data(w: ReduceWindow, shape: Sequence[int]) -> bool:
    """Whether each position of the window covers an element: padding is narrower than it."""
    return all(
        w.base_dilation[i] == w.window_dilation[i] == 1
        and 0 < size <= n
        and max(w.padding[i]) < size
        and min(w.padding[i]) >= 0
        for i, (size, n) in enumerate(zip(w.size, shape, strict=True))
    )


@rule(lambda f, g, x, w: reduce_window(f, unary(g, x), w), numerics=ROUNDING, source=MONOTONE)
def window_before_increasing(f: Any, g: Any, x: Value, w: Any) -> Value | None:
    """Greatest g(x) in each window = g(greatest x) for increasing g; the least too; real"""
    need(f in ("maximum", "minimum") and g in INCREASING and x.dtype in REALS)
    need(_always_meets_data(ReduceWindow(*w), x.shape))
    return unary(g, reduce_window(f, x, w))


@rule(lambda f, x, w: reduce_window(f, negate(x), w), numerics=BITWISE, source=MONOTONE)
def window_before_negate(f: Any, x: Value, w: Any) -> Value | None:
    """Greatest -x in each window = -(least x), and the reverse; real"""
    need(f in ("maximum", "minimum") and x.dtype in REALS)
    return negate(reduce_window("minimum" if f == "maximum" else "maximum", x, w))


@rule(
    lambda f, x, c, w: reduce_window(f, binary(f, x, constant(c)), w),
    numerics=BITWISE,
    source="lattice axioms",
)
def window_before_bound(f: Any, x: Value, c: Literal, w: Any) -> Value | None:
    """Greatest max(x, c) in each window = max(greatest x, c) for a splat c; the least too"""
    need(f in ("maximum", "minimum") and is_exact(f, x.dtype) and c.is_splat)
    need(_always_meets_data(ReduceWindow(*w), x.shape))
    result = reduce_window(f, x, w)
    return binary(f, result, constant(Literal(c.data, result.shape)))


@rule(
    lambda x, c, w: reduce_window("add", multiply(x, constant(c)), w),
    numerics=ROUNDING,
    source="ring axioms",
)
def window_before_scale(x: Value, c: Literal, w: Any) -> Value | None:
    """Sums of x · c in each window = sums of x, times c, for a splat c"""
    need(c.is_splat and x.dtype in REALS and bool(np.isfinite(c.value)))
    result = reduce_window("add", x, w)
    return multiply(result, constant(Literal(c.data, result.shape)))


def _windows_of_windows(rng: np.random.Generator) -> dict[str, Any]:
    """Two windows over a vector; of a sum, the first one without overlap."""
    size, other = (int(n) for n in rng.integers(1, 4, 2))
    f = str(rng.choice(["add", "maximum"]))
    step = size if f == "add" else int(rng.integers(1, size + 1))
    x = TensorType((int(rng.integers(8, 13)),), str(rng.choice(["f32", "i32"])))
    one, none = (1,), ((0, 0),)
    w = ReduceWindow((size,), (step,), one, one, none)
    v = ReduceWindow((other,), (int(rng.integers(1, 4)),), one, one, none)
    return {"f": f, "x": x, "w": w, "v": v}


@rule(
    lambda f, x, w, v: reduce_window(f, reduce_window(f, x, w), v),
    numerics=ROUNDING,
    source="windows of windows",
    examples=_windows_of_windows,
)
def merge_windows(f: Any, x: Value, w: Any, v: Any) -> Value | None:
    """A window over windows is a larger one, if those do not overlap (extrema: leave no gap)"""
    inner, outer = ReduceWindow(*w), ReduceWindow(*v)
    need(all(_is_plain(inner, i) and _is_plain(outer, i) for i in range(x.rank)))
    for k, s, m in zip(inner.size, inner.strides, outer.size, strict=True):
        need(m == 1 or s == k or (s < k and f in ("maximum", "minimum", "and", "or")))
    pairs = list(zip(inner.size, inner.strides, outer.size, outer.strides, strict=True))
    ones = (1,) * x.rank
    merged = ReduceWindow(
        tuple((m - 1) * s + k for k, s, m, _ in pairs),
        tuple(s * t for _, s, _, t in pairs),
        ones,
        ones,
        ((0, 0),) * x.rank,
    )
    return reduce_window(f, x, merged)


merge_windows_exactly = exactly(
    merge_windows, _is_exact, lambda rng: {**_windows_of_windows(rng), "f": "maximum"}
)


# ------------------------------------------------------------------ beside what repeats


def _kept(x: Value, y: Value, d: Any, w: Any, result: Value) -> Any:
    """y, which x is combined with and which is the same all over each window, beside the result."""
    w = ReduceWindow(*w)
    need(all(_is_idle(w, i) for i, n in zip(d, y.shape, strict=True) if n > 1) and x.size > 0)
    return broadcast_in_dim(y, result.shape, d)


def _beside_channels(rng: np.random.Generator, *, is_padded: bool = True) -> dict[str, Any]:
    """Windows along the first dimensions, and a number for each of the last."""
    spatial = int(rng.integers(1, 3))
    size, padded = rng.integers(1, 4, spatial), rng.integers(2) * is_padded
    n, ones = int(rng.integers(1, 4)), (1,) * (spatial + 1)
    w = ReduceWindow(
        (*map(int, size), 1),
        (*map(int, rng.integers(1, 3, spatial)), 1),
        ones,
        ones,
        (*((0, int(k - 1) * int(padded)) for k in size), (0, 0)),
    )
    shape = (*map(int, rng.integers(3, 6, spatial)), n)
    dtype = str(rng.choice(["f32", "f64"]))
    x, y = TensorType(shape, dtype), TensorType((n,), dtype)
    return {"x": x, "y": y, "s": shape, "d": (spatial,), "w": w}


@rule(
    lambda f, g, x, y, s, d, w: reduce_window(f, binary(g, x, broadcast_in_dim(y, s, d)), w),
    numerics=ROUNDING,
    source=MONOTONE,
    examples=lambda rng: {
        **_beside_channels(rng),
        "f": str(rng.choice(["maximum", "minimum"])),
        "g": str(rng.choice(["add", "subtract"])),
    },
)
def window_before_bias(f: Any, g: Any, x: Value, y: Value, s: Any, d: Any, w: Any) -> Value | None:
    """Greatest x ± bcast(y) in each window = greatest x, ± bcast(y), y repeated there; real"""
    need(f in ("maximum", "minimum") and g in ("add", "subtract") and x.dtype in REALS)
    need(_always_meets_data(ReduceWindow(*w), x.shape))
    result = reduce_window(f, x, w)
    return binary(g, result, _kept(x, y, d, w, result))


@rule(
    lambda g, x, y, s, d, w: reduce_window("add", binary(g, x, broadcast_in_dim(y, s, d)), w),
    numerics=ROUNDING,
    source="ring axioms",
    examples=lambda rng: {
        **_beside_channels(rng), "g": str(rng.choice(["multiply", "divide"]))
    },
)  # fmt: skip
def window_before_scales(g: Any, x: Value, y: Value, s: Any, d: Any, w: Any) -> Value | None:
    """Sums of x · bcast(y) in each window = sums of x, times bcast(y), y repeated there; real"""
    need(g in ("multiply", "divide") and x.dtype in REALS)
    need(_always_meets_data(ReduceWindow(*w), x.shape))  # or 0 becomes 0 · inf
    result = reduce_window("add", x, w)
    return binary(g, result, _kept(x, y, d, w, result))


@rule(
    lambda f, g, x, c, w: reduce_window(f, binary(g, x, constant(c)), w),
    numerics=ROUNDING,
    source=MONOTONE,
)
def window_before_affine(f: Any, g: Any, x: Value, c: Literal, w: Any) -> Value | None:
    """Greatest x · c in each window = greatest x, times c, for a splat c > 0; x ± c too; real"""
    need(f in ("maximum", "minimum") and x.dtype in REALS and c.is_splat)
    need(g in ("add", "subtract") or (g in ("multiply", "divide") and c.value > 0))
    need(bool(np.isfinite(c.value)) and _always_meets_data(ReduceWindow(*w), x.shape))
    result = reduce_window(f, x, w)
    return binary(g, result, constant(Literal(c.data, result.shape)))


@rule(
    lambda g, x, y, s, d, w: reduce_window("add", binary(g, x, broadcast_in_dim(y, s, d)), w),
    numerics=ROUNDING,
    source="ring axioms",
    examples=lambda rng: {
        **_beside_channels(rng, is_padded=False), "g": str(rng.choice(["add", "subtract"]))
    },
)  # fmt: skip
def window_sum_before_bias(g: Any, x: Value, y: Value, s: Any, d: Any, w: Any) -> Value | None:
    """Sums of x ± bcast(y) in windows of n = sums of x, ± n · bcast(y), y repeated there; real"""
    need(g in ("add", "subtract") and x.dtype in REALS)
    need(all(_is_plain(ReduceWindow(*w), i) for i in range(x.rank)))
    result = reduce_window("add", x, w)
    total = multiply(y, full_like(y, prod(ReduceWindow(*w).size)))
    return binary(g, result, _kept(x, total, d, w, result))
