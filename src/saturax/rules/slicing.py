"""Slices and concatenations: they merge, cancel, and slices come before other work.

A slice moves towards the inputs, so that less is computed; it moves back out of elementwise work
only where it keeps a good part of the tensor, so that parts computed apart can be computed at once.
"""

from __future__ import annotations

from math import prod
from typing import Any

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    add,
    binary,
    broadcast_in_dim,
    broadcast_scalar,
    concatenate,
    constant,
    full,
    iota,
    multiply,
    pad,
    reduce_,
    reshape,
    reverse,
    slice_,
    ternary,
    unary,
)
from saturax.graph.types import TensorType, is_integer, numpy_dtype
from saturax.rules.arithmetic import accumulation_dtype
from saturax.rules.permutations import replaced
from saturax.rules.rule import BITWISE, ROUNDING, need, rule
from saturax.rules.shapes import Shape, blocks, picked

SPEC = "StableHLO spec, `slice`"
CONCATENATE_SPEC = "StableHLO spec, `concatenate`"

LARGE_PART = 8
"""A slice moves out of elementwise work if it keeps at least one part in this many: with the four
gates of a recurrent cell in one tensor, a quarter is what each function sees."""

Dimensions = tuple[int, ...]


def _count(start: int, limit: int, stride: int) -> int:
    """Number of elements in start:limit:stride."""
    return max(-(-(limit - start) // stride), 0)


@rule(lambda x, a, b, c: slice_(x, a, b, c), numerics=BITWISE, source=SPEC)
def drop_full_slice(x: Value, a: Dimensions, b: Dimensions, c: Dimensions) -> Any:
    """x[0:n:c] = x if nothing is left out"""
    sizes = tuple(map(_count, a, b, c))
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
    """f(x)[s] = f(x[s])"""
    return unary(f, slice_(x, a, b, c))


@rule(lambda f, x, y, a, b, c: slice_(binary(f, x, y), a, b, c), numerics=BITWISE, source=SPEC)
def slice_before_binary(
    f: Any, x: Value, y: Value, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """f(x, y)[s] = f(x[s], y[s])"""
    return binary(f, slice_(x, a, b, c), slice_(y, a, b, c))


@rule(
    lambda f, x, y, z, a, b, c: slice_(ternary(f, x, y, z), a, b, c), numerics=BITWISE, source=SPEC
)
def slice_before_ternary(
    f: str, x: Value, y: Value, z: Value, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """f(x, y, z)[s] = f(x[s], y[s], z[s])"""
    return ternary(f, *(slice_(operand, a, b, c) for operand in (x, y, z)))


@rule(lambda f, x, a, b, c: unary(f, slice_(x, a, b, c)), numerics=BITWISE, source=SPEC)
def unary_before_slice(f: Any, x: Value, a: Dimensions, b: Dimensions, c: Dimensions) -> Any:
    """f(x[s]) = f(x)[s] if s keeps an eighth of x or more"""
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
    """f(x[s], y[s]) = f(x, y)[s] if x and y have one shape and s keeps an eighth of it or more"""
    need(x.shape == y.shape and _keeps_much(x, a, b, c))
    return slice_(binary(f, x, y), a, b, c)


def _keeps_much(x: Value, a: Dimensions, b: Dimensions, c: Dimensions) -> bool:
    return prod(map(_count, a, b, c)) * LARGE_PART >= x.size > 0


# Slices before operations that move elements.


@rule(
    lambda x, y, i, a, b, c: slice_(concatenate(x, y, i), a, b, c), numerics=BITWISE, source=SPEC
)
def slice_of_concatenate(
    x: Value, y: Value, i: int, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """[x, y][s] = x[s], y[s - n] or [x[s], y[s']], as s lies in x, in y or across"""
    size, step = x.shape[i], c[i]
    first_of_y = a[i] if a[i] >= size else a[i] + _count(a[i], size, step) * step
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
    small = slice_(x, *zip(*cuts, strict=True)) if cuts else x
    return broadcast_in_dim(small, tuple(map(_count, a, b, c)), d)


@rule(lambda x, d, a, b, c: slice_(reverse(x, d), a, b, c), numerics=BITWISE, source=SPEC)
def slice_before_reverse(
    x: Value, d: Dimensions, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """reverse(x)[s] = reverse(x[s']), where s' counts from the other end"""
    start, limit = list(a), list(b)
    for i in d:
        size, count = x.shape[i], _count(a[i], b[i], c[i])
        start[i] = size - 1 - (a[i] + (count - 1) * c[i]) if count else 0
        limit[i] = size - a[i] if count else 0
    return reverse(slice_(x, start, limit, c), d)


@rule(lambda x, s, a, b, c: slice_(reshape(x, s), a, b, c), numerics=BITWISE, source=SPEC)
def slice_before_reshape(
    x: Value, s: Shape, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
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
    return reshape(slice_(x, start, limit, stride), tuple(map(_count, a, b, c)))


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
    lambda x, v, l, h, i, a, b, c: slice_(pad(x, v, l, h, i), a, b, c),
    numerics=BITWISE,
    source=SPEC,
)
def merge_slice_into_pad(
    x: Value, v: Value, l: Dimensions, h: Dimensions, i: Dimensions,  # noqa: E741
    a: Dimensions, b: Dimensions, c: Dimensions,
) -> Any:  # fmt: skip
    """pad(x, v, l, h, i)[a:b] = pad(x, v, l-a, h-(n-b), i) if some of x is left"""
    need(set(c) <= {1})
    low, high = [], []
    for n, below, above, inner, first, last in zip(x.shape, l, h, i, a, b, strict=True):
        extent = max(n - 1, 0) * (inner + 1) + min(n, 1)
        low.append(below - first)
        high.append(last - extent - below)
        need(low[-1] > -extent and high[-1] > -extent)
        need(below + extent + above > 0)
    need((tuple(low), tuple(high)) != (l, h))
    return pad(x, v, low, high, i)


@rule(
    lambda x, v, l, h, i, a, b, c: slice_(pad(x, v, l, h, i), a, b, c),
    numerics=BITWISE,
    source=SPEC,
)
def slice_of_padding(
    x: Value, v: Value, l: Dimensions, h: Dimensions, i: Dimensions,  # noqa: E741
    a: Dimensions, b: Dimensions, c: Dimensions,
) -> Any:  # fmt: skip
    """pad(x, v, l, h)[s] = broadcast(v) if s lies in the padding"""
    for n, below, inner, first, last in zip(x.shape, l, i, a, b, strict=True):
        end = below + max(n - 1, 0) * (inner + 1) + min(n, 1)
        if first >= end or last <= below or n == 0:
            return broadcast_scalar(v, tuple(map(_count, a, b, c)))
    return None


@rule(lambda i, t, a, b, c: slice_(iota(i, t), a, b, c), numerics=BITWISE, source=SPEC)
def slice_of_iota(
    i: int, t: TensorType, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """iota(i)[a:b:c] = c·iota(i) + a, if all numbers are exact in its type"""
    need(t.shape[i] <= _largest_exact(t.dtype))
    counted = iota(i, TensorType(tuple(map(_count, a, b, c)), t.dtype))
    if c[i] != 1:
        counted = multiply(counted, full(c[i], counted.tensor))
    return add(counted, full(a[i], counted.tensor)) if a[i] else counted


def _largest_exact(dtype: str) -> int:
    """All integers from 0 to this one are exact in `dtype`; 0 where unknown."""
    if dtype in ("f32", "f64"):
        return 1 << 24
    return 1 << (8 * numpy_dtype(dtype).itemsize - 1) if is_integer(dtype) and dtype[-1] != "4" else 0


@rule(lambda f, x, d, a, b, c: slice_(reduce_(f, x, d), a, b, c), numerics=ROUNDING, source=SPEC)
def slice_before_reduce(
    f: str, x: Value, d: Dimensions, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """reduce(x, d)[s] = reduce(x[s], d)"""
    bounds = iter(zip(a, b, c, strict=True))
    cuts = [(0, n, 1) if i in d else next(bounds) for i, n in enumerate(x.shape)]
    return reduce_(f, slice_(x, *zip(*cuts, strict=True)), d)


# Concatenation.


@rule(lambda x, y, i: concatenate(x, y, i), numerics=BITWISE, source=CONCATENATE_SPEC)
def drop_empty_part(x: Value, y: Value, i: int) -> Any:
    """[x, y] = x if y is empty along the dimension, and y if x is"""
    need(0 in (x.shape[i], y.shape[i]))
    return x if y.shape[i] == 0 else y


@rule(
    lambda x, a, b, c, d, e, f, i: concatenate(slice_(x, a, b, c), slice_(x, d, e, f), i),
    numerics=BITWISE,
    source=CONCATENATE_SPEC,
)
def merge_adjoining_slices(
    x: Value, a: Dimensions, b: Dimensions, c: Dimensions,
    d: Dimensions, e: Dimensions, f: Dimensions, i: int,
) -> Any:  # fmt: skip
    """[x[a:b], x[b:e]] = x[a:e]"""
    return _joined(x, a, b, c, d, e, f, i)


@rule(
    lambda w, x, a, b, c, d, e, f, i: concatenate(
        concatenate(w, slice_(x, a, b, c), i), slice_(x, d, e, f), i
    ),
    numerics=BITWISE,
    source=CONCATENATE_SPEC,
)
def merge_adjoining_slices_at_the_end(
    w: Value, x: Value, a: Dimensions, b: Dimensions, c: Dimensions,
    d: Dimensions, e: Dimensions, f: Dimensions, i: int,
) -> Any:  # fmt: skip
    """[[w, x[a:b]], x[b:e]] = [w, x[a:e]]"""
    return concatenate(w, _joined(x, a, b, c, d, e, f, i), i)


def _joined(
    x: Value, a: Dimensions, b: Dimensions, c: Dimensions,
    d: Dimensions, e: Dimensions, f: Dimensions, i: int,
) -> Any:  # fmt: skip
    """The slice of x that two slices make up along dimension i."""
    first, second = _count(a[i], b[i], c[i]), _count(d[i], e[i], f[i])
    need(first > 0 and second > 0)
    for k in range(x.rank):
        same = _count(a[k], b[k], c[k]) <= 1 or c[k] == f[k]
        need(k == i or (a[k] == d[k] and same))
    step = c[i] if first > 1 else f[i] if second > 1 else d[i] - a[i]
    need(step > 0 and d[i] == a[i] + first * step and (second == 1 or f[i] == step))
    last = d[i] + (second - 1) * step + 1
    return slice_(x, a, replaced(b, i, last), replaced(c, i, step))


@rule(
    lambda x, a, b, c, d, e, f, i: concatenate(slice_(x, a, b, c), slice_(x, d, e, f), i),
    numerics=ROUNDING,
    source="XLA:CPU rolls 1.6 times faster by padding and adding",
)
def roll_as_sum_of_pads(
    x: Value, a: Dimensions, b: Dimensions, c: Dimensions,
    d: Dimensions, e: Dimensions, f: Dimensions, i: int,
) -> Any:  # fmt: skip
    """[x[n:], x[:n]] = pad(x[n:], 0) + pad(x[:n], 0)"""
    need(set(c + f) <= {1} and a[i] == e[i] and d[i] == 0 and b[i] == x.shape[i])
    need(is_integer(x.dtype) or accumulation_dtype(x.dtype) == x.dtype)
    need(x.dtype != "i1")
    first, second = slice_(x, a, b, c), slice_(x, d, e, f)
    zero, none = full(0, TensorType((), x.dtype)), (0,) * x.rank
    left = pad(first, zero, none, replaced(none, i, second.shape[i]), none)
    return add(left, pad(second, zero, replaced(none, i, first.shape[i]), none, none))


@rule(
    lambda f, x, y, i: unary(f, concatenate(x, y, i)), numerics=BITWISE, source=CONCATENATE_SPEC
)
def unary_before_concatenate(f: Any, x: Value, y: Value, i: int) -> Any:
    """f([x, y]) = [f(x), f(y)]"""
    return concatenate(unary(f, x), unary(f, y), i)


@rule(
    lambda f, x, y, i: concatenate(unary(f, x), unary(f, y), i),
    numerics=BITWISE,
    source=CONCATENATE_SPEC,
)
def concatenate_before_unary(f: Any, x: Value, y: Value, i: int) -> Any:
    """[f(x), f(y)] = f([x, y])"""
    need(x.dtype == y.dtype)
    return unary(f, concatenate(x, y, i))


@rule(
    lambda f, x, y, z, w, i: binary(f, concatenate(x, y, i), concatenate(z, w, i)),
    numerics=BITWISE,
    source=CONCATENATE_SPEC,
)
def binary_before_concatenate(f: Any, x: Value, y: Value, z: Value, w: Value, i: int) -> Any:
    """f([x, y], [z, w]) = [f(x, z), f(y, w)] if the parts have the same sizes"""
    need(x.shape == z.shape)
    return concatenate(binary(f, x, z), binary(f, y, w), i)


@rule(
    lambda f, x, y, z, w, i: concatenate(binary(f, x, z), binary(f, y, w), i),
    numerics=BITWISE,
    source=CONCATENATE_SPEC,
)
def concatenate_before_binary(f: Any, x: Value, y: Value, z: Value, w: Value, i: int) -> Any:
    """[f(x, z), f(y, w)] = f([x, y], [z, w])"""
    need(x.dtype == y.dtype)
    return binary(f, concatenate(x, y, i), concatenate(z, w, i))


@rule(
    lambda f, x, y, i, c: binary(f, concatenate(x, y, i), constant(c)),
    numerics=BITWISE,
    source=CONCATENATE_SPEC,
)
def binary_with_constant_before_concatenate(
    f: Any, x: Value, y: Value, i: int, c: Literal
) -> Any:
    """f([x, y], c) = [f(x, c), f(y, c)] if all elements of c are equal"""
    need(c.is_splat)
    return concatenate(*(binary(f, part, _equal(c, part)) for part in (x, y)), i)


@rule(
    lambda f, x, y, i, c: binary(f, constant(c), concatenate(x, y, i)),
    numerics=BITWISE,
    source=CONCATENATE_SPEC,
)
def constant_with_binary_before_concatenate(
    f: Any, x: Value, y: Value, i: int, c: Literal
) -> Any:
    """f(c, [x, y]) = [f(c, x), f(c, y)] if all elements of c are equal"""
    need(c.is_splat)
    return concatenate(*(binary(f, _equal(c, part), part) for part in (x, y)), i)


def _equal(c: Literal, x: Value) -> Any:
    """The constant whose elements are those of the splat c, in the shape of x."""
    return full(c.value, TensorType(x.shape, c.type.dtype))


@rule(
    lambda f, x, y, i, d: reduce_(f, concatenate(x, y, i), d),
    numerics=ROUNDING,
    source=CONCATENATE_SPEC,
)
def reduce_before_concatenate(f: str, x: Value, y: Value, i: int, d: Dimensions) -> Any:
    """reduce([x, y]) = f(reduce(x), reduce(y)) along the dimension, else [reduce(x), reduce(y)]"""
    need(d and accumulation_dtype(x.dtype) == x.dtype)
    left, right = reduce_(f, x, d), reduce_(f, y, d)
    if i in d:
        return binary(f, left, right)
    return concatenate(left, right, i - sum(k < i for k in d))


@rule(
    lambda x, c, i: concatenate(x, constant(c), i), numerics=BITWISE, source=CONCATENATE_SPEC
)
def concatenated_constant_as_pad(x: Value, c: Literal, i: int) -> Any:
    """[x, c] = pad(x, c) if all elements of c are equal"""
    need(c.is_splat)
    none = (0,) * x.rank
    amounts = replaced(none, i, c.type.shape[i])
    return pad(x, full(c.value, TensorType((), x.dtype)), none, amounts, none)


@rule(
    lambda x, c, i: concatenate(constant(c), x, i), numerics=BITWISE, source=CONCATENATE_SPEC
)
def leading_constant_as_pad(x: Value, c: Literal, i: int) -> Any:
    """[c, x] = pad(x, c) if all elements of c are equal"""
    need(c.is_splat)
    none = (0,) * x.rank
    amounts = replaced(none, i, c.type.shape[i])
    return pad(x, full(c.value, TensorType((), x.dtype)), amounts, none, none)


@rule(lambda x, i: concatenate(x, x, i), numerics=BITWISE, source=CONCATENATE_SPEC)
def concatenated_twins_as_broadcast(x: Value, i: int) -> Any:
    """[x, x] = reshape(broadcast(x))"""
    shape = (*x.shape[:i], 2, *x.shape[i:])
    repeated = broadcast_in_dim(x, shape, [k + (k >= i) for k in range(x.rank)])
    return reshape(repeated, replaced(x.shape, i, 2 * x.shape[i]))
