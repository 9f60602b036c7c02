"""Convolutions that absorb transposes, padding, slices and reversals around them.

Letters as in `convolution`: window w, dimension numbers d, groups g, precision p, result type t.
Transposes are absorbed where that brings features last: every convolution has that form, and each
layout more would multiply the forms of its neighbours.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    ConvDimensions,
    Groups,
    Precision,
    Window,
    constant,
    convolution,
    pad,
    reshape,
    reverse,
    slice_,
    slice_dimension,
    transpose,
)
from saturax.graph.types import TensorType
from saturax.rules.convolution import SPEC
from saturax.rules.moves import transposed
from saturax.rules.permutations import Permutation, invert
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.windows import (
    channels_last,
    layout_permutations,
    normalised,
    output_sizes,
    padded_input,
    unreversed,
    window_shape,
    with_input,
    with_kernel,
    with_output,
    without_spatial,
)


@rule(
    lambda x, q, k, w, d, g, p, t: convolution(transpose(x, q), k, w, d, g, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_transpose_into_convolution_input(
    x: Value, q: Permutation, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision,
    t: str,
) -> Any:  # fmt: skip
    """xᑫ ∗ k = x ∗ k with the input's dimension numbers permuted by q, if x has features last"""
    new = with_input(d, q)
    need(new.input_feature == x.rank - 1 and new.input_batch == 0)
    return convolution(x, k, w, new, g, p, t)


@rule(
    lambda x, k, q, w, d, g, p, t: convolution(x, transpose(k, q), w, d, g, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_transpose_into_convolution_kernel(
    x: Value, k: Value, q: Permutation, w: Window, d: ConvDimensions, g: Groups, p: Precision,
    t: str,
) -> Any:  # fmt: skip
    """x ∗ kᑫ = x ∗ k with the kernel's dimension numbers permuted by q, if k has features last"""
    new = with_kernel(d, q)
    need((new.kernel_input_feature, new.kernel_output_feature) == (k.rank - 2, k.rank - 1))
    return convolution(x, k, w, new, g, p, t)


@rule(
    lambda x, k, w, d, g, p, t, q: transpose(convolution(x, k, w, d, g, p, t), q),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_transpose_into_convolution_output(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
    q: Permutation,
) -> Any:  # fmt: skip
    """(x ∗ k)ᑫ = x ∗ k with the output's dimension numbers permuted by q⁻¹, if features get last"""
    new = with_output(d, invert(q))
    need(new.output_feature == x.rank - 1 and new.output_batch == 0)
    return convolution(x, k, w, new, g, p, t)


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def normalise_convolution_window(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k does not depend on strides to one position, or on dilating or reversing one element"""
    need(0 not in output_sizes(x, k, w, d) and 0 not in x.shape and 0 not in k.shape)
    plain = normalised(x, k, w, d)
    need(plain != w)
    return convolution(x, k, plain, d, g, p, t)


@rule(
    lambda x, c, low, high, interior, k, w, d, g, p, t: convolution(
        pad(x, constant(c), low, high, interior), k, w, d, g, p, t
    ),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_pad_into_convolution(
    x: Value, c: Literal, low: tuple[int, ...], high: tuple[int, ...], interior: tuple[int, ...],
    k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
) -> Any:  # fmt: skip
    """pad(x, 0) ∗ k = x ∗ k with more padding, if only spatial dimensions are padded"""
    need(c.value == 0 and 0 not in x.shape)
    for i in (d.input_batch, d.input_feature):
        need(not (low[i] or high[i] or interior[i]))
    padding, dilation = [], []
    for i, dimension in enumerate(d.input_spatial):
        a, b, spread = low[dimension], high[dimension], w.lhs_dilation[i]
        inner = (x.shape[dimension] - 1) * (interior[dimension] + 1) + 1
        need(a + b + inner > 0)
        padding.append((a * spread + w.padding[i][0], b * spread + w.padding[i][1]))
        dilation.append((interior[dimension] + 1) * spread)
        # Cropped elements must not come back as padding of the merged window.
        need(a >= 0 or w.padding[i][0] <= 0)
        need(b >= 0 or w.padding[i][1] <= 0)
    merged = w._replace(padding=tuple(padding), lhs_dilation=tuple(dilation))
    return convolution(x, k, merged, d, g, p, t)


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def convolution_dilation_as_pad(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k with x dilated = pad(x, 0) ∗ k without padding and dilation"""
    need(any(spread > 1 for spread in w.lhs_dilation))
    plain = w._replace(
        padding=tuple((0, 0) for _ in w.padding), lhs_dilation=tuple(1 for _ in w.lhs_dilation)
    )
    need(plain != w and 0 not in x.shape)
    for i, dimension in enumerate(d.input_spatial):
        need(sum(w.padding[i]) + (x.shape[dimension] - 1) * w.lhs_dilation[i] + 1 > 0)
    return convolution(padded_input(x, w, d), k, plain, d, g, p, t)


@rule(
    lambda x, start, limit, stride, k, w, d, g, p, t: convolution(
        slice_(x, start, limit, stride), k, w, d, g, p, t
    ),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_slice_into_unit_window(
    x: Value, start: tuple[int, ...], limit: tuple[int, ...], stride: tuple[int, ...],
    k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
) -> Any:  # fmt: skip
    """x[a:b:s] ∗ k = x ∗ k with stride s and padding -a, b-n where the window has size 1"""
    strides, padding = list(w.strides), list(w.padding)
    whole = (list(start), list(limit), list(stride))
    for i, dimension in enumerate(d.input_spatial):
        size = x.shape[dimension]
        a, b, s = start[dimension], limit[dimension], stride[dimension]
        is_plain = padding[i] == (0, 0) and w.lhs_dilation[i] == 1 and b > a
        if (a, b, s) != (0, size, 1) and is_plain and k.shape[d.kernel_spatial[i]] == 1:
            strides[i], padding[i] = strides[i] * s, (-a, b - size)
            for bounds, value in zip(whole, (0, size, 1), strict=True):
                bounds[dimension] = value
    need(tuple(whole[1]) != limit or tuple(whole[0]) != start or tuple(whole[2]) != stride)
    merged = w._replace(strides=tuple(strides), padding=tuple(padding))
    return convolution(slice_(x, *whole), k, merged, d, g, p, t)


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def slice_before_unit_window(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k with stride s = x[::s] ∗ k with stride 1 where the window has size 1, unpadded"""
    strides, padding = list(w.strides), list(w.padding)
    seen: Any = x
    for i, dimension in enumerate(d.input_spatial):
        low, high = padding[i]
        size = x.shape[dimension]
        is_cropped = low <= 0 and high <= 0 and low + high + size > 0 and w.lhs_dilation[i] == 1
        if is_cropped and k.shape[d.kernel_spatial[i]] == 1:
            seen = slice_dimension(seen, dimension, -low, size + high, strides[i])
            strides[i], padding[i] = 1, (0, 0)
    plain = w._replace(strides=tuple(strides), padding=tuple(padding))
    need(plain != w)
    return convolution(seen, k, plain, d, g, p, t)


@rule(
    lambda x, k, w, d, g, p, t, start, limit, stride: slice_(
        convolution(x, k, w, d, g, p, t), start, limit, stride
    ),
    numerics=ROUNDING,
    source=SPEC,
)
def slice_before_convolution(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
    start: tuple[int, ...], limit: tuple[int, ...], stride: tuple[int, ...],
) -> Any:  # fmt: skip
    """(x ∗ k)[n, o, s] = x[n] ∗ k[o] with stride and padding that leave positions s"""
    need(g == (1, 1))
    n, o = d.output_batch, d.output_feature
    seen = slice_dimension(x, d.input_batch, start[n], limit[n], stride[n])
    kernel = slice_dimension(k, d.kernel_output_feature, start[o], limit[o], stride[o])
    strides, padding = list(w.strides), list(w.padding)
    for i, dimension in enumerate(d.output_spatial):
        count = -(-(limit[dimension] - start[dimension]) // stride[dimension])
        size, spread = x.shape[d.input_spatial[i]], w.lhs_dilation[i]
        need(count > 0 and size > 0)
        if (start[dimension], stride[dimension]) == (0, 1) and count == output_sizes(x, k, w, d)[i]:
            continue
        extent = (k.shape[d.kernel_spatial[i]] - 1) * w.rhs_dilation[i] + 1
        strides[i] = w.strides[i] * stride[dimension]
        low = w.padding[i][0] - start[dimension] * w.strides[i]
        high = (count - 1) * strides[i] + extent - low - ((size - 1) * spread + 1)
        padding[i] = (low, high)
    narrowed = w._replace(strides=tuple(strides), padding=tuple(padding))
    return convolution(seen, kernel, narrowed, d, g, p, t)


@rule(
    lambda x, k, q, w, d, g, p, t: convolution(x, reverse(k, q), w, d, g, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_reverse_into_convolution(
    x: Value, k: Value, q: tuple[int, ...], w: Window, d: ConvDimensions, g: Groups, p: Precision,
    t: str,
) -> Any:  # fmt: skip
    """x ∗ reverse(k) = x ∗ k with the window's reversal flipped"""
    need(all(i in d.kernel_spatial for i in q))
    flips = tuple(flag != (i in q) for flag, i in zip(w.reversal, d.kernel_spatial, strict=True))
    return convolution(x, k, w._replace(reversal=flips), d, g, p, t)


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="XLA:CPU's library does not know reversed windows: its own loops are 20-60 times faster "
    "where an output reads one feature",
)
def reverse_window_of_thin_convolution(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = x ∗ reverse(k) with a reversed window, if each output reads one feature"""
    need(k.shape[d.kernel_input_feature] == 1 and g.batch == 1 and not any(w.reversal))
    sizes = window_shape(k, d)
    need(prod(sizes) > 1 and 0 not in x.shape and prod(output_sizes(x, k, w, d)) > 0)
    reversal = tuple(n > 1 for n in sizes)
    kernel = unreversed(k, w._replace(reversal=reversal), d)
    return convolution(x, kernel, w._replace(reversal=reversal), d, g, p, t)


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def window_reversal_as_reverse(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k with a reversed window = x ∗ reverse(k)"""
    need(any(w.reversal))
    flipped = [i for i, flag in zip(d.kernel_spatial, w.reversal, strict=True) if flag]
    plain = w._replace(reversal=tuple(False for _ in w.reversal))
    return convolution(x, reverse(k, flipped), plain, d, g, p, t)


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def drop_unit_spatial_dimension(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = the convolution without a spatial dimension of size 1, if 2 or more are left over"""
    need(len(d.input_spatial) >= 2 and g.batch == 1)
    sizes = output_sizes(x, k, w, d)
    for i, dimension in enumerate(d.input_spatial):
        is_unit = x.shape[dimension] == 1 == k.shape[d.kernel_spatial[i]]
        if not (is_unit and sizes[i] == 1 and w.padding[i] == (0, 0)):
            continue
        window, smaller = without_spatial(w, d, i)
        result = convolution(
            reshape(x, _dropped(x.shape, dimension)),
            reshape(k, _dropped(k.shape, d.kernel_spatial[i])),
            window, smaller, g, p, t,
        )  # fmt: skip
        at = d.output_spatial[i]
        return reshape(result, (*result.shape[:at], 1, *result.shape[at:]))
    return None


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def convolution_1d_as_2d(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k in one dimension = x ∗ k in two, the first of size 1"""
    need(len(d.input_spatial) == 1 and window_shape(k, d)[0] > 1)
    i, o, s = d.input_spatial[0], d.output_spatial[0], d.kernel_spatial[0]
    wide = ConvDimensions(
        _pushed(d.input_batch, i), _pushed(d.input_feature, i), (i, i + 1),
        _pushed(d.kernel_input_feature, s), _pushed(d.kernel_output_feature, s), (s, s + 1),
        _pushed(d.output_batch, o), _pushed(d.output_feature, o), (o, o + 1),
    )  # fmt: skip
    window = Window((1, *w.strides), ((0, 0), *w.padding), (1, *w.lhs_dilation),
                    (1, *w.rhs_dilation), (False, *w.reversal))  # fmt: skip
    result = convolution(
        reshape(x, _inserted(x.shape, i)), reshape(k, _inserted(k.shape, s)), window, wide, g, p, t
    )
    return reshape(result, _dropped(result.shape, o))


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="with what transposes it on either side, a filter along columns is one along rows",
)
def batch_of_thin_convolution_as_dimension(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k in one dimension = x ∗ k in batch and that, if each output reads one feature"""
    need(len(d.input_spatial) == 1 and k.shape[d.kernel_input_feature] == 1 and g.batch == 1)
    need(x.shape[d.input_batch] > 1 and window_shape(k, d)[0] > 1)
    need(0 not in x.shape and 0 not in k.shape and output_sizes(x, k, w, d)[0] > 0)
    layout = channels_last(1)
    input_order, kernel_order, output_order = layout_permutations(d, layout)
    plane, taps = transposed(x, input_order), transposed(k, kernel_order)
    window = Window((1, *w.strides), ((0, 0), *w.padding), (1, *w.lhs_dilation),
                    (1, *w.rhs_dilation), (False, *w.reversal))  # fmt: skip
    result = convolution(
        reshape(plane, (1, *plane.shape)), reshape(taps, (1, *taps.shape)),
        window, channels_last(2), g, p, t,
    )  # fmt: skip
    return transposed(reshape(result, result.shape[1:]), output_order)


@rule(
    lambda x, q, s, k, w, d, g, p, t: convolution(reshape(transpose(x, q), s), k, w, d, g, p, t),
    numerics=ROUNDING,
    source=SPEC,
    examples=lambda rng: _plane(rng),
)
def transpose_after_convolution_of_plane(
    x: Value, q: Permutation, s: tuple[int, ...], k: Value, w: Window, d: ConvDimensions,
    g: Groups, p: Precision, t: str,
) -> Any:  # fmt: skip
    """xᵀ ∗ k = (x ∗ kᵀ)ᵀ in two dimensions, for one feature each"""
    need(x.rank == 2 and q == (1, 0) and d == channels_last(2) and 0 not in x.shape)
    rows, columns = x.shape
    need(s == (1, columns, rows, 1) and k.shape[2:] == (1, 1))
    # d names the dimensions of the plane: those of x are the other way round.
    sizes = output_sizes(x, k, w, d._replace(input_spatial=(1, 0)))
    need(prod(sizes) > 0)
    turned = Window(w.strides[::-1], w.padding[::-1], w.lhs_dilation[::-1],
                    w.rhs_dilation[::-1], w.reversal[::-1])  # fmt: skip
    result = convolution(
        reshape(x, (1, rows, columns, 1)), transpose(k, (1, 0, 2, 3)), turned, d, g, p, t
    )
    return reshape(transpose(reshape(result, sizes[::-1]), (1, 0)), (1, *sizes, 1))


def _plane(rng: np.random.Generator) -> dict[str, Any]:
    """A plane of one feature, transposed, and a kernel for it."""
    rows, columns, height, width = (int(n) for n in rng.integers((3, 3, 1, 1), (7, 7, 4, 4)))
    low, high = rng.integers(0, 3, 2), rng.integers(0, 3, 2)
    window = Window(
        (1, int(rng.integers(1, 3))),
        tuple((int(a), int(b)) for a, b in zip(low, high, strict=True)),
        (1, 1),
        (int(rng.integers(1, 3)), 1),
        tuple(bool(flag) for flag in rng.integers(0, 2, 2)),
    )
    return {
        "x": TensorType((rows, columns), "f64"),
        "q": (1, 0),
        "s": (1, columns, rows, 1),
        "k": TensorType((height, width, 1, 1), "f64"),
        "w": window,
        "d": channels_last(2),
        "g": Groups(1, 1),
        "t": "f64",
    }


def _pushed(place: int, inserted: int) -> int:
    return place + (place >= inserted)


def _inserted(shape: tuple[int, ...], at: int) -> tuple[int, ...]:
    return (*shape[:at], 1, *shape[at:])


def _dropped(shape: tuple[int, ...], at: int) -> tuple[int, ...]:
    return (*shape[:at], *shape[at + 1 :])
