"""Convolution is bilinear: sums, scales and concatenations move through it.

Letters as in `convolution`: window w, dimension numbers d, groups g, precision p, result type t.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    ConvDimensions,
    Groups,
    Precision,
    Window,
    binary,
    broadcast_in_dim,
    concatenate,
    constant,
    convolution,
    full,
    multiply,
    negate,
    pad,
    reduce_,
    reshape,
    slice_dimension,
)
from saturax.graph.types import TensorType
from saturax.rules.arithmetic import is_finite, is_real, is_uniform
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.windows import channels_last, window_shape

BILINEAR = "convolution is bilinear"
LINEAR_FUNCTIONS = ("add", "subtract")

Dimensions = tuple[int, ...]


@rule(
    lambda f, x, k, y, w, d, g, p, t: binary(
        f, convolution(x, k, w, d, g, p, t), convolution(x, y, w, d, g, p, t)
    ),
    numerics=ROUNDING,
    source=BILINEAR,
)
def factor_convolution_input(
    f: str, x: Value, k: Value, y: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision,
    t: str,
) -> Any:  # fmt: skip
    """(x ∗ k) ± (x ∗ y) = x ∗ (k ± y)"""
    need(f in LINEAR_FUNCTIONS and is_uniform(t, x, k, y) and k.shape == y.shape)
    return convolution(x, binary(f, k, y), w, d, g, p, t)


@rule(
    lambda f, x, k, y, w, d, g, p, t: binary(
        f, convolution(x, k, w, d, g, p, t), convolution(y, k, w, d, g, p, t)
    ),
    numerics=ROUNDING,
    source=BILINEAR,
)
def factor_convolution_kernel(
    f: str, x: Value, k: Value, y: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision,
    t: str,
) -> Any:  # fmt: skip
    """(x ∗ k) ± (y ∗ k) = (x ± y) ∗ k"""
    need(f in LINEAR_FUNCTIONS and is_uniform(t, x, k, y) and x.shape == y.shape)
    return convolution(binary(f, x, y), k, w, d, g, p, t)


@rule(
    lambda f, x, k, y, w, v, d, g, p, t: binary(
        f, convolution(x, k, w, d, g, p, t), convolution(x, y, v, d, g, p, t)
    ),
    numerics=ROUNDING,
    source="structural re-parameterisation; Ding et al., RepVGG (2021)",
)
def merge_convolutions_of_nested_windows(
    f: str, x: Value, k: Value, y: Value, w: Window, v: Window, d: ConvDimensions, g: Groups,
    p: Precision, t: str,
) -> Any:  # fmt: skip
    """(x ∗ k) ± (x ∗ y) = x ∗ (k ± pad(y)) if the window of y lies inside the window of k"""
    need(f in LINEAR_FUNCTIONS and is_uniform(t, x, k, y) and k.shape != y.shape)
    need(w.strides == v.strides and w.lhs_dilation == v.lhs_dilation)
    need(not any(w.reversal + v.reversal) and 0 not in y.shape)
    low, high, interior = [0] * y.rank, [0] * y.rank, [0] * y.rank
    for i, dimension in enumerate(d.kernel_spatial):
        spread = w.rhs_dilation[i]
        before = w.padding[i][0] - v.padding[i][0]
        need(v.rhs_dilation[i] == spread or y.shape[dimension] == 1)
        need(before >= 0 and before % spread == 0)
        low[dimension] = before // spread
        high[dimension] = k.shape[dimension] - y.shape[dimension] - low[dimension]
        need(high[dimension] >= 0)
        need(w.padding[i][1] - v.padding[i][1] == high[dimension] * spread)
    zero = full(0, TensorType((), y.dtype))
    return convolution(x, binary(f, k, pad(y, zero, low, high, interior)), w, d, g, p, t)


@rule(
    lambda x, k, w, d, g, p, t, s, u, e: multiply(
        convolution(x, k, w, d, g, p, t), broadcast_in_dim(s, u, e)
    ),
    numerics=ROUNDING,
    source=BILINEAR,
)
def scale_kernel_instead_of_output(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
    s: Value, u: Dimensions, e: Dimensions,
) -> Any:  # fmt: skip
    """(x ∗ k)·s = x ∗ (k·s) if s varies with output features only"""
    need(is_uniform(t, x, k, s))
    need(all(i == d.output_feature or n == 1 for i, n in zip(e, s.shape, strict=True)))
    scaled = multiply(k, _along(s, e, d.output_feature, k, d.kernel_output_feature))
    return convolution(x, scaled, w, d, g, p, t)


def _along(s: Value, e: Dimensions, old: int, x: Value, new: int) -> Any:
    """s, whose dimensions were broadcast along e, with `old` now running along `new` of x."""
    dimensions = [i for i, place in enumerate(e) if place == old]
    shape = tuple(s.shape[i] for i in dimensions)
    if len(dimensions) != s.rank:
        s = reshape(s, shape)
    return broadcast_in_dim(s, x.shape, [new] * len(dimensions))


@rule(
    lambda x, k, s, u, e, w, d, g, p, t: convolution(
        x, multiply(k, broadcast_in_dim(s, u, e)), w, d, g, p, t
    ),
    numerics=ROUNDING,
    source=BILINEAR,
)
def scale_output_instead_of_kernel(
    x: Value, k: Value, s: Value, u: Dimensions, e: Dimensions, w: Window, d: ConvDimensions,
    g: Groups, p: Precision, t: str,
) -> Any:  # fmt: skip
    """x ∗ (k·s) = (x ∗ k)·s if s varies with output features only"""
    need(is_uniform(t, x, k, s))
    need(all(i == d.kernel_output_feature or n == 1 for i, n in zip(e, s.shape, strict=True)))
    result = convolution(x, k, w, d, g, p, t)
    return multiply(result, _along(s, e, d.kernel_output_feature, result, d.output_feature))


@rule(
    lambda x, s, u, e, k, w, d, g, p, t: convolution(
        multiply(x, broadcast_in_dim(s, u, e)), k, w, d, g, p, t
    ),
    numerics=ROUNDING,
    source=BILINEAR,
)
def scale_kernel_instead_of_input(
    x: Value, s: Value, u: Dimensions, e: Dimensions, k: Value, w: Window, d: ConvDimensions,
    g: Groups, p: Precision, t: str,
) -> Any:  # fmt: skip
    """(x·s) ∗ k = x ∗ (k·s) if s varies with input features only, in one group"""
    need(is_uniform(t, x, k, s) and g == (1, 1))
    need(all(i == d.input_feature or n == 1 for i, n in zip(e, s.shape, strict=True)))
    scaled = multiply(k, _along(s, e, d.input_feature, k, d.kernel_input_feature))
    return convolution(x, scaled, w, d, g, p, t)


@rule(
    lambda f, x, k, w, d, g, p, t, c: binary(f, convolution(x, k, w, d, g, p, t), constant(c)),
    numerics=ROUNDING,
    source=BILINEAR,
)
def scale_kernel_by_constant(
    f: str, x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
    c: Literal,
) -> Any:  # fmt: skip
    """(x ∗ k)·c = x ∗ (k·c), and (x ∗ k)/c = x ∗ (k/c) if c ≠ 0, if all elements of c are equal"""
    need(c.is_splat and is_finite(c) and is_uniform(t, x, k))
    need(f == "multiply" or (f == "divide" and is_real(t) and c.value != 0))
    return convolution(x, binary(f, k, full(c.value, k.tensor)), w, d, g, p, t)


@rule(
    lambda x, c, k, w, d, g, p, t: convolution(multiply(x, constant(c)), k, w, d, g, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
)
def scale_kernel_instead_of_input_by_constant(
    x: Value, c: Literal, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """(x·c) ∗ k = x ∗ (k·c) if all elements of c are equal"""
    need(c.is_splat and is_finite(c) and is_uniform(t, x, k))
    return convolution(x, multiply(k, full(c.value, k.tensor)), w, d, g, p, t)


@rule(
    lambda x, k, w, d, g, p, t: convolution(negate(x), k, w, d, g, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
)
def negate_kernel_instead_of_input(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """(-x) ∗ k = x ∗ (-k)"""
    need(is_uniform(t, x, k))
    return convolution(x, negate(k), w, d, g, p, t)


@rule(
    lambda x, k, w, d, g, p, t: negate(convolution(x, k, w, d, g, p, t)),
    numerics=ROUNDING,
    source=BILINEAR,
)
def negate_kernel_instead_of_output(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """-(x ∗ k) = x ∗ (-k)"""
    need(is_uniform(t, x, k))
    return convolution(x, negate(k), w, d, g, p, t)


@rule(
    lambda x, k, y, w, d, g, p, t, i: concatenate(
        convolution(x, k, w, d, g, p, t), convolution(x, y, w, d, g, p, t), i
    ),
    numerics=ROUNDING,
    source=BILINEAR,
)
def merge_convolutions_of_one_input(
    x: Value, k: Value, y: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
    i: int,
) -> Any:  # fmt: skip
    """concatenate(x ∗ k, x ∗ y) = x ∗ concatenate(k, y) along output features, in one group"""
    need(i == d.output_feature and g == (1, 1) and k.dtype == y.dtype)
    need(window_shape(k, d) == window_shape(y, d))
    return convolution(x, concatenate(k, y, d.kernel_output_feature), w, d, g, p, t)


@rule(
    lambda x, k, y, i, w, d, g, p, t: convolution(x, concatenate(k, y, i), w, d, g, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
)
def split_convolution_of_concatenated_kernels(
    x: Value, k: Value, y: Value, i: int, w: Window, d: ConvDimensions, g: Groups, p: Precision,
    t: str,
) -> Any:  # fmt: skip
    """x ∗ concatenate(k, y) = concatenate(x ∗ k, x ∗ y) along output features, in one group"""
    need(i == d.kernel_output_feature and g == (1, 1))
    first, second = (convolution(x, part, w, d, g, p, t) for part in (k, y))
    return concatenate(first, second, d.output_feature)


@rule(
    lambda x, y, k, w, d, g, p, t, i: concatenate(
        convolution(x, k, w, d, g, p, t), convolution(y, k, w, d, g, p, t), i
    ),
    numerics=ROUNDING,
    source=BILINEAR,
)
def merge_convolutions_of_one_kernel(
    x: Value, y: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
    i: int,
) -> Any:  # fmt: skip
    """concatenate(x ∗ k, y ∗ k) = concatenate(x, y) ∗ k along the batch"""
    need(i == d.output_batch and g.batch == 1 and x.dtype == y.dtype)
    need(all(x.shape[j] == y.shape[j] for j in d.input_spatial))
    return convolution(concatenate(x, y, d.input_batch), k, w, d, g, p, t)


@rule(
    lambda x, y, i, k, w, d, g, p, t: convolution(concatenate(x, y, i), k, w, d, g, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
)
def split_convolution_of_concatenated_features(
    x: Value, y: Value, i: int, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision,
    t: str,
) -> Any:  # fmt: skip
    """concatenate(x, y) ∗ k = x ∗ k[:n] + y ∗ k[n:] along input features, in one group"""
    need(i == d.input_feature and g == (1, 1) and 0 not in (x.shape[i], y.shape[i]))
    at, size = d.kernel_input_feature, x.shape[i]
    left = slice_dimension(k, at, 0, size)
    right = slice_dimension(k, at, size, k.shape[at])
    return binary("add", convolution(x, left, w, d, g, p, t), convolution(y, right, w, d, g, p, t))


@rule(
    lambda x, k, w, d, g, p, t, e: reduce_("add", convolution(x, k, w, d, g, p, t), e),
    numerics=ROUNDING,
    source=BILINEAR,
    examples=lambda rng: _summed_outputs(rng),
)
def sum_output_features_in_kernel(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
    e: Dimensions,
) -> Any:  # fmt: skip
    """Σ (x ∗ k) over output features (and others) = Σ x ∗ (Σ k) over others, in one group"""
    o = d.kernel_output_feature
    need(g == (1, 1) and d.output_feature in e and k.shape[o] > 1 and is_uniform(t, x, k))
    kernel = reshape(reduce_("add", k, (o,)), (*k.shape[:o], 1, *k.shape[o + 1 :]))
    return reduce_("add", convolution(x, kernel, w, d, g, p, t), e)


def _summed_outputs(rng: np.random.Generator) -> dict[str, Any]:
    """A convolution of a line, summed over its output features."""
    n, m, o = (int(i) for i in rng.integers(2, 5, 3))
    x, k = TensorType((2, n + 2, m), "f32"), TensorType((2, m, o), "f32")
    w = Window((1,), ((1, 0),), (1,), (1,), (False,))
    e = (2,) if rng.random() < 0.5 else (1, 2)
    return {"x": x, "k": k, "w": w, "d": channels_last(1), "g": Groups(1, 1), "t": "f32", "e": e}
