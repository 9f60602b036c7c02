"""Slices: they merge, cancel, and come before other work.

A slice moves towards the inputs, so that less is computed; it moves back out of elementwise work
only where it keeps a good part of the tensor, so that parts computed apart can be computed at once.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    broadcast_scalar,
    concatenate,
    pad,
    reduce_,
    reshape,
    reverse,
    slice_,
    ternary,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.moves import count, cut
from saturax.rules.permutations import replaced
from saturax.rules.rule import BITWISE, ROUNDING, need, rule
from saturax.rules.shapes import Shape, blocks, picked

SPEC = "StableHLO spec, `slice`"

LARGE_PART = 4
"""A slice moves out of elementwise work if it keeps at least one part in this many: with the four
gates of a recurrent cell in one tensor, a quarter is what each function sees."""
SMALL_PART = 2
"""A slice moves into elementwise work if it keeps less than one part in this many: the overlapping
windows of an unrolled convolution, which keep almost all or (strided) belong together, would copy
all that went before."""

Dimensions = tuple[int, ...]


@rule(lambda x, a, b, c: slice_(x, a, b, c), numerics=BITWISE, source=SPEC)
def drop_full_slice(x: Value, a: Dimensions, b: Dimensions, c: Dimensions) -> Any:
    """x[0:n:c] = x if nothing is left out"""
    sizes = tuple(map(count, a, b, c))
    need(sizes == x.shape)
    return x


@rule(
    lambda x, a, b, c, d, e, f: slice_(slice_(x, a, b, c), d, e, f), numerics=BITWISE, source=SPEC
)
def merge_slices(
    x: Value, a: Dimensions, b: Dimensions, c: Dimensions,
    d: Dimensions, e: Dimensions, f: Dimensions,
) -> Any:  # fmt: skip
    """x[a:b:c][d:e:f] = x[a+d·c : a+e·c : c·f]"""
    start = [low + n * step for low, n, step in zip(a, d, c, strict=True)]
    limit = [
        max(min(low + n * step, high), first)
        for low, n, step, high, first in zip(a, e, c, b, start, strict=True)
    ]
    need(all(s <= n for s, n in zip(start, b, strict=True)))
    return slice_(x, start, limit, [m * n for m, n in zip(c, f, strict=True)])


# Slices before elementwise work, and after it.


@rule(lambda f, x, a, b, c: slice_(unary(f, x), a, b, c), numerics=BITWISE, source=SPEC)
def slice_before_unary(f: Any, x: Value, a: Dimensions, b: Dimensions, c: Dimensions) -> Any:
    """f(x)[s] = f(x[s]) if s keeps one run, less than half"""
    need(_keeps_little(x, a, b, c))
    return unary(f, slice_(x, a, b, c))


@rule(lambda f, x, y, a, b, c: slice_(binary(f, x, y), a, b, c), numerics=BITWISE, source=SPEC)
def slice_before_binary(
    f: Any, x: Value, y: Value, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """f(x, y)[s] = f(x[s], y[s]) if s keeps one run, less than half"""
    need(_keeps_little(x, a, b, c))
    return binary(f, slice_(x, a, b, c), slice_(y, a, b, c))


@rule(
    lambda f, x, y, z, a, b, c: slice_(ternary(f, x, y, z), a, b, c), numerics=BITWISE, source=SPEC
)
def slice_before_ternary(
    f: str, x: Value, y: Value, z: Value, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """f(x, y, z)[s] = f(x[s], y[s], z[s]) if s keeps one run, less than half"""
    need(_keeps_little(x, a, b, c))
    return ternary(f, *(slice_(operand, a, b, c) for operand in (x, y, z)))


@rule(
    lambda f, x, y, s, a, b, c: slice_(reshape(binary(f, x, y), s), a, b, c),
    numerics=BITWISE,
    source=SPEC,
    examples=lambda rng: _strided_run(rng),
)
def strided_slice_before_reshaped_binary(
    f: Any, x: Value, y: Value, s: Shape, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """reshape(f(x, y))[s] = f(reshape(x)[s], reshape(y)[s]) if s skips elements and keeps few"""
    need(set(c) != {1} and 0 < prod(map(count, a, b, c)) * SMALL_PART < x.size)
    return binary(f, *(slice_(reshape(operand, s), a, b, c) for operand in (x, y)))


def _strided_run(rng: np.random.Generator) -> dict[str, Any]:
    """Every (n + 1)-th element of an n × n matrix."""
    n = int(rng.integers(3, 6))
    x = TensorType((n, n), str(rng.choice(["f32", "i32"])))
    return {"x": x, "y": x, "s": (n * n,), "a": (0,), "b": (n * n,), "c": (n + 1,)}


@rule(lambda f, x, a, b, c: unary(f, slice_(x, a, b, c)), numerics=BITWISE, source=SPEC)
def unary_before_slice(f: Any, x: Value, a: Dimensions, b: Dimensions, c: Dimensions) -> Any:
    """f(x[s]) = f(x)[s] if s keeps a quarter of x or more"""
    need(_keeps_much(x, a, b, c))
    return slice_(unary(f, x), a, b, c)


@rule(
    lambda f, x, y, a, b, c: binary(f, slice_(x, a, b, c), slice_(y, a, b, c)),
    numerics=BITWISE,
    source=SPEC,
)
def binary_before_slice(
    f: Any, x: Value, y: Value, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """f(x[s], y[s]) = f(x, y)[s] if x and y have one shape and s keeps a quarter of it or more"""
    need(x.shape == y.shape and _keeps_much(x, a, b, c))
    return slice_(binary(f, x, y), a, b, c)


def _keeps_little(x: Value, a: Dimensions, b: Dimensions, c: Dimensions) -> bool:
    return set(c) <= {1} and prod(map(count, a, b, c)) * SMALL_PART < x.size


def _keeps_much(x: Value, a: Dimensions, b: Dimensions, c: Dimensions) -> bool:
    return set(c) <= {1} and prod(map(count, a, b, c)) * LARGE_PART >= x.size > 0


# Slices before operations that move elements.


@rule(lambda x, y, i, a, b, c: slice_(concatenate(x, y, i), a, b, c), numerics=BITWISE, source=SPEC)
def slice_of_concatenate(
    x: Value, y: Value, i: int, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """[x, y][s] = x[s], y[s - n] or [x[s], y[s']], as s lies in x, in y or across"""
    size, step = x.shape[i], c[i]
    first_of_y = a[i] if a[i] >= size else a[i] + count(a[i], size, step) * step
    part_x = slice_(x, replaced(a, i, min(a[i], size)), replaced(b, i, min(b[i], size)), c)
    part_y = slice_(
        y,
        replaced(a, i, min(first_of_y, max(b[i], size)) - size),
        replaced(b, i, max(b[i] - size, 0)),
        c,
    )
    if part_y.shape[i] == 0:
        return part_x
    return part_y if part_x.shape[i] == 0 else concatenate(part_x, part_y, i)


@rule(
    lambda x, s, d, a, b, c: slice_(broadcast_in_dim(x, s, d), a, b, c),
    numerics=BITWISE,
    source=SPEC,
)
def slice_before_broadcast(
    x: Value, s: Shape, d: Dimensions, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """broadcast(x)[s] = broadcast(x[s'])"""
    cuts = [
        (0, 1, 1) if n == 1 else (a[place], b[place], c[place])
        for n, place in zip(x.shape, d, strict=True)
    ]
    return broadcast_in_dim(cut(x, cuts), tuple(map(count, a, b, c)), d)


@rule(lambda x, d, a, b, c: slice_(reverse(x, d), a, b, c), numerics=BITWISE, source=SPEC)
def slice_before_reverse(
    x: Value, d: Dimensions, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """reverse(x)[s] = reverse(x[s']), where s' counts from the other end"""
    start, limit = list(a), list(b)
    for i in d:
        size, kept = x.shape[i], count(a[i], b[i], c[i])
        start[i] = size - 1 - (a[i] + (kept - 1) * c[i]) if kept else 0
        limit[i] = size - a[i] if kept else 0
    return reverse(slice_(x, start, limit, c), d)


@rule(lambda x, s, a, b, c: slice_(reshape(x, s), a, b, c), numerics=BITWISE, source=SPEC)
def slice_before_reshape(x: Value, s: Shape, a: Dimensions, b: Dimensions, c: Dimensions) -> Any:
    """reshape(x)[s] = reshape(x[s']) if s takes one run from each block of dimensions that mix"""
    pairs = blocks(x.shape, s)
    need(pairs is not None)
    assert pairs is not None
    start, limit, stride = [0] * x.rank, list(x.shape), [1] * x.rank
    for block in pairs:
        need(block.source or all((a[i], b[i]) == (0, 1) for i in block.target))
        if len(block.source) == len(block.target) == 1:
            (i,), (j,) = block
            start[i], limit[i], stride[i] = a[j], b[j], c[j]
        elif block.source:
            run = _run(picked(s, block.target), *(picked(n, block.target) for n in (a, b, c)))
            need(run is not None)
            assert run is not None
            # The run must consist of whole entries of the first dimension larger than 1.
            i = next((i for i in block.source if x.shape[i] != 1), block.source[0])
            inner = prod(n for k, n in enumerate(x.shape) if k in block.source and k > i)
            need(run[0] % inner == 0 and run[1] % inner == 0)
            start[i], limit[i] = run[0] // inner, run[1] // inner
    return reshape(slice_(x, start, limit, stride), tuple(map(count, a, b, c)))


def _run(s: Shape, a: Dimensions, b: Dimensions, c: Dimensions) -> tuple[int, int] | None:
    """Bounds of a slice of shape s in row-major order, if it is not empty and one run there."""
    place = next((i for i, n in enumerate(s) if b[i] - a[i] > 1), len(s) - 1)
    if set(c) != {1} or any(n <= m for m, n in zip(a, b, strict=True)):
        return None
    if any((a[i], b[i]) != (0, s[i]) for i in range(place + 1, len(s))):
        return None
    first = 0
    for n, low in zip(s, a, strict=True):
        first = first * n + low
    return first, first + (b[place] - a[place]) * prod(s[place + 1 :])


@rule(
    lambda x, v, low, high, inner, a, b, c: slice_(pad(x, v, low, high, inner), a, b, c),
    numerics=BITWISE,
    source=SPEC,
)
def merge_slice_into_pad(
    x: Value, v: Value, low: Dimensions, high: Dimensions, inner: Dimensions,
    a: Dimensions, b: Dimensions, c: Dimensions,
) -> Any:  # fmt: skip
    """pad(x, v, low, high)[a:b] = pad(x, v, low-a, high-(n-b)), if it crops x only or halves it"""
    need(set(c) <= {1})
    below, above = [], []
    for i, n in enumerate(x.shape):
        extent = _spread(n, inner[i])
        below.append(low[i] - a[i])
        above.append(b[i] - extent - low[i])
        need(below[i] > -extent and above[i] > -extent and low[i] + extent + high[i] > 0)
    kept, whole = prod(map(count, a, b, c)), prod(map(_padded, x.shape, low, high, inner))
    need(max(below + above, default=0) <= 0 or kept * SMALL_PART <= whole)
    need((tuple(below), tuple(above)) != (low, high))
    return pad(x, v, below, above, inner)


@rule(
    lambda x, v, low, high, inner, a, b, c: slice_(pad(x, v, low, high, inner), a, b, c),
    numerics=BITWISE,
    source=SPEC,
)
def slice_of_padding(
    x: Value, v: Value, low: Dimensions, high: Dimensions, inner: Dimensions,
    a: Dimensions, b: Dimensions, c: Dimensions,
) -> Any:  # fmt: skip
    """pad(x, v, low, high)[s] = broadcast(v) if s lies in the padding"""
    need(any(
        n == 0 or a[i] >= low[i] + _spread(n, inner[i]) or b[i] <= low[i]
        for i, n in enumerate(x.shape)
    ))  # fmt: skip
    return broadcast_scalar(v, tuple(map(count, a, b, c)))


def _padded(size: int, low: int, high: int, inner: int) -> int:
    """Length of `size` elements after padding."""
    return low + _spread(size, inner) + high


def _spread(size: int, inner: int) -> int:
    """Length of `size` elements with `inner` others between any two."""
    return max(size - 1, 0) * (inner + 1) + min(size, 1)


@rule(lambda f, x, d, a, b, c: slice_(reduce_(f, x, d), a, b, c), numerics=ROUNDING, source=SPEC)
def slice_before_reduce(
    f: str, x: Value, d: Dimensions, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """reduce(x, d)[s] = reduce(x[s], d)"""
    bounds = iter(zip(a, b, c, strict=True))
    cuts = [(0, n, 1) if i in d else next(bounds) for i, n in enumerate(x.shape)]
    return reduce_(f, cut(x, cuts), d)
