"""Convolutions as other kernels: dots, shifted products, smaller convolutions.

In every rule w is the window, d the dimension numbers, g the groups, p the precision and t the
element type of the result; x ∗ k is the convolution of input x with kernel k.
"""

from __future__ import annotations

from functools import reduce
from math import prod
from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import (
    ConvDimensions,
    Groups,
    Precision,
    Window,
    add,
    broadcast_in_dim,
    concatenate_all,
    convert,
    convolution,
    multiply,
    reshape,
    slice_dimension,
)
from saturax.rules.arithmetic import accumulation_dtype, converts_exactly, is_uniform
from saturax.rules.convolution_separable import separation
from saturax.rules.einsum import Einsum, contract
from saturax.rules.moves import transposed
from saturax.rules.permutations import is_identity, replaced
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.windows import (
    OUTPUT_FEATURE,
    channels_last,
    is_undilated,
    kernel_labels,
    kernel_matrix,
    kernel_slice,
    layout_permutations,
    output_labels,
    output_permutation,
    output_sizes,
    padded_input,
    positions,
    shifted_input,
    unreversed,
    window_shape,
    without_spatial,
)

SPEC = "StableHLO spec, `convolution`"

MAX_DEPTHWISE_WINDOW = 128
"""Places in a window that is unrolled into products: 9×9 and 11×11 were measured to gain 9×."""
MAX_SEPARABLE_WINDOW = 49
"""The same where the kernel may be split first: larger ones would fill an e-graph for nothing."""
MAX_DENSE_WINDOW = 9
"""Places in a window that im2col copies out; 3×3 was measured to gain, larger only cost memory."""
MAX_IM2COL_POSITIONS = 1024
"""Output positions up to which im2col was measured to gain on CPU (1.5× at 49, 0.76× at 784)."""
MAX_UNROLLED_DEPTH = 5
"""Depth of a window that is written as a sum of convolutions of one dimension less."""


def _is_strided_copy(x: Value, k: Value, w: Window, d: ConvDimensions) -> bool:
    """Whether the window has one place and reads no padding."""
    crops = all(low <= 0 and high <= 0 for low, high in w.padding)
    return set(window_shape(k, d)) <= {1} and crops and is_undilated(w)


def _seen_by_unit_window(x: Value, w: Window, d: ConvDimensions) -> Any:
    """The input positions that a window of one place reads."""
    for i, dimension in enumerate(d.input_spatial):
        low, high = w.padding[i]
        x = slice_dimension(x, dimension, -low, x.shape[dimension] + high, w.strides[i])
    return x


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def pointwise_convolution_as_dot(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = Σᵢ x[…, i, …]·k[i, o] if the window has one place, unpadded, and g = 1"""
    need(g == (1, 1) and _is_strided_copy(x, k, w, d))
    need(output_sizes(x, k, w, d) and prod(output_sizes(x, k, w, d)) > 0)
    matrix = tuple(label for label in kernel_labels(d) if label not in d.input_spatial)
    labels = Einsum(tuple(range(x.rank)), matrix, output_labels(d))
    return contract(_seen_by_unit_window(x, w, d), kernel_matrix(k, d), labels, p, t)


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def pointwise_convolution_as_batched_dot(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = a batch of g dots if the window has one place, unpadded, in g > 1 feature groups"""
    need(g.feature > 1 and g.batch == 1 and _is_strided_copy(x, k, w, d))
    sizes = output_sizes(x, k, w, d)
    need(prod(sizes) > 0)
    seen, matrix = _seen_by_unit_window(x, w, d), kernel_matrix(k, d)
    feature = d.input_feature
    output_first = d.kernel_output_feature < d.kernel_input_feature
    x_labels = (*range(feature), "group", *range(feature, x.rank))
    grouped_x = reshape(seen, _grouped(seen.shape, feature, g.feature))
    grouped_k = reshape(matrix, _grouped(matrix.shape, 0 if output_first else 1, g.feature))
    k_labels = (
        ("group", OUTPUT_FEATURE, feature) if output_first else (feature, "group", OUTPUT_FEATURE)
    )
    at = d.output_feature
    result = output_labels(d)
    labels = Einsum(x_labels, k_labels, (*result[:at], "group", *result[at:]))
    product = contract(grouped_x, grouped_k, labels, p, t)
    return reshape(
        product, replaced(_output_shape(x, k, w, d), at, k.shape[d.kernel_output_feature])
    )


def _grouped(shape: tuple[int, ...], dimension: int, groups: int) -> tuple[int, ...]:
    """`shape` with one dimension split into (groups, rest)."""
    rest = shape[dimension] // groups
    return (*shape[:dimension], groups, rest, *shape[dimension + 1 :])


def _output_shape(x: Value, k: Value, w: Window, d: ConvDimensions) -> tuple[int, ...]:
    """The result's shape, without batch groups."""
    shape = [0] * x.rank
    shape[d.output_batch] = x.shape[d.input_batch]
    shape[d.output_feature] = k.shape[d.kernel_output_feature]
    for dimension, size in zip(d.output_spatial, output_sizes(x, k, w, d), strict=True):
        shape[dimension] = size
    return tuple(shape)


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def whole_window_convolution_as_dot(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = x·k over features and space if the window is the whole, unpadded input, and g = 1"""
    need(g == (1, 1) and is_undilated(w) and not any(map(any, w.padding)))
    need(window_shape(k, d) == tuple(x.shape[i] for i in d.input_spatial))
    need(0 not in window_shape(k, d))
    result = tuple(i for i in output_labels(d) if i not in d.input_spatial)
    labels = Einsum(tuple(range(x.rank)), kernel_labels(d), result)
    product = contract(x, unreversed(k, w, d), labels, p, t)
    return reshape(product, _output_shape(x, k, w, d))


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="XLA:CPU runs depthwise convolutions 5-30 times slower than this sum",
    uses_facts=True,
)
def depthwise_convolution_as_products(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = Σᵢ shift(x, i)·k[i] over a window of at most 128 places if g = features of x"""
    sizes, places = output_sizes(x, k, w, d), prod(window_shape(k, d))
    need(g.batch == 1 and g.feature == x.shape[d.input_feature])
    need(prod(sizes) > 0 and 0 < places <= MAX_DEPTHWISE_WINDOW)
    need(places <= MAX_SEPARABLE_WINDOW or separation(k, d) is None)
    wide = accumulation_dtype(t)
    need(converts_exactly(x.dtype, wide) and converts_exactly(k.dtype, wide))
    padded = _repeated(padded_input(convert(x, wide), w, d), d, k)
    kernel = convert(k, wide)
    rows: dict[tuple[int, ...], Any] = {}
    for position in positions(k, d):
        seen = shifted_input(padded, w, d, position, sizes)
        taps = reshape(kernel_slice(kernel, w, d, position), (k.shape[d.kernel_output_feature],))
        product = multiply(seen, broadcast_in_dim(taps, seen.shape, (d.input_feature,)))
        row = position[:-1]
        rows[row] = add(rows[row], product) if row in rows else product
    # Row by row it is as fast as place by place, with 0.6 of the error for 5×5 and 7×7 places.
    return transposed(convert(reduce(add, rows.values()), t), output_permutation(d))


def _repeated(x: Value, d: ConvDimensions, k: Value) -> Any:
    """x with each feature repeated as often as a depthwise kernel has outputs for it."""
    feature = d.input_feature
    times = k.shape[d.kernel_output_feature] // max(x.shape[feature], 1)
    if times == 1:
        return x
    shape = (*x.shape[: feature + 1], times, *x.shape[feature + 1 :])
    repeated = broadcast_in_dim(x, shape, [i + (i > feature) for i in range(x.rank)])
    return reshape(repeated, replaced(x.shape, feature, x.shape[feature] * times))


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="im2col; Chellapilla et al., High Performance Convolutional Neural Networks (2006)",
)
def small_convolution_as_dot(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = [shift(x, i)]ᵢ·[k[i]]ᵢ if 1 < window ≤ 9 places, output ≤ 1024 positions and g = 1"""
    # Convolutions in other layouts have been given this one.
    need(d.input_feature == x.rank - 1)
    sizes, places = output_sizes(x, k, w, d), prod(window_shape(k, d))
    need(g == (1, 1) and 1 < places <= MAX_DENSE_WINDOW)
    need(0 < prod(sizes) <= MAX_IM2COL_POSITIONS)
    padded = padded_input(x, w, d)
    patches = concatenate_all(
        [shifted_input(padded, w, d, position, sizes) for position in positions(k, d)],
        d.input_feature,
    )
    order = (*d.kernel_spatial, d.kernel_input_feature, d.kernel_output_feature)
    rows = places * k.shape[d.kernel_input_feature]
    matrix = reshape(
        transposed(unreversed(k, w, d), order), (rows, k.shape[d.kernel_output_feature])
    )
    labels = Einsum(tuple(range(x.rank)), (d.input_feature, OUTPUT_FEATURE), output_labels(d))
    return contract(patches, matrix, labels, p, t)


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="im2col in the kernel's order: XLA:CPU writes a kernel [o, i, …] anew in each run",
)
def small_convolution_as_dot_with_kernel(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = k·[shift(x, i)]ᵢ with k[o, i, …] as it is, if 1 < window ≤ 9 places, g = 1"""
    order = (d.kernel_output_feature, d.kernel_input_feature, *d.kernel_spatial)
    need(order == tuple(range(k.rank)) and d.input_feature < x.rank - 1)
    sizes, places = output_sizes(x, k, w, d), prod(window_shape(k, d))
    need(g == (1, 1) and 1 < places <= MAX_DENSE_WINDOW)
    need(0 < prod(sizes) <= MAX_IM2COL_POSITIONS)
    padded, feature = padded_input(x, w, d), d.input_feature
    seen = [shifted_input(padded, w, d, position, sizes) for position in positions(k, d)]
    shape = seen[0].shape
    stack = (*shape[: feature + 1], 1, *shape[feature + 1 :])
    patches = concatenate_all([reshape(part, stack) for part in seen], feature + 1)
    rows = places * shape[feature]
    matrix = reshape(unreversed(k, w, d), (k.shape[0], rows))
    labels = Einsum(tuple(range(x.rank)), (OUTPUT_FEATURE, feature), output_labels(d))
    return contract(reshape(patches, replaced(shape, feature, rows)), matrix, labels, p, t)


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="XLA:CPU runs 3×3×3 convolutions 3.4 times slower than three 3×3 ones",
)
def convolution_as_sum_over_depth(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = Σⱼ x[j:] ∗ k[j] over the first of three window dimensions, at most 5 deep"""
    need(len(d.input_spatial) == 3 and g.batch == 1 and is_uniform(t, x, k))
    sizes, depth = output_sizes(x, k, w, d), window_shape(k, d)[0]
    need(prod(sizes) > 0 and 1 <= depth <= MAX_UNROLLED_DEPTH)
    flat_window, flat = without_spatial(w, d, 0)
    padded = padded_input(x, _only_first(w), d)
    terms = [
        convolution(
            _depth_as_batch(padded, w, d, j, sizes[0]),
            _kernel_at_depth(k, w, d, j),
            flat_window,
            _batch_first(flat),
            g, p, t,
        )
        for j in range(depth)
    ]  # fmt: skip
    total = reduce(add, terms)
    rest = [i for i in range(x.rank) if i not in (d.output_batch, d.output_spatial[0])]
    shape = _output_shape(x, k, w, d)
    order = (d.output_batch, d.output_spatial[0], *rest)
    unmerged = reshape(total, [shape[i] for i in order])
    return transposed(unmerged, [order.index(i) for i in range(x.rank)])


def _only_first(w: Window) -> Window:
    """The window's padding and input dilation in its first dimension alone."""
    return w._replace(
        padding=(w.padding[0], *((0, 0) for _ in w.padding[1:])),
        lhs_dilation=(w.lhs_dilation[0], *(1 for _ in w.lhs_dilation[1:])),
    )


def _batch_first(d: ConvDimensions) -> ConvDimensions:
    """Dimension numbers d with batch moved to the front of input and output."""

    def move(batch: int, place: int) -> int:
        return 0 if place == batch else place + (place < batch)

    return d._replace(
        input_batch=0,
        input_feature=move(d.input_batch, d.input_feature),
        input_spatial=tuple(move(d.input_batch, i) for i in d.input_spatial),
        output_batch=0,
        output_feature=move(d.output_batch, d.output_feature),
        output_spatial=tuple(move(d.output_batch, i) for i in d.output_spatial),
    )


def _depth_as_batch(padded: Value, w: Window, d: ConvDimensions, j: int, depth: int) -> Any:
    """The input planes that place j of the window's depth sees, merged into the batch."""
    dimension, start = d.input_spatial[0], j * w.rhs_dilation[0]
    limit = start + (depth - 1) * w.strides[0] + 1
    planes = slice_dimension(padded, dimension, start, limit, w.strides[0])
    rest = [i for i in range(padded.rank) if i not in (d.input_batch, dimension)]
    ordered = transposed(planes, (d.input_batch, dimension, *rest))
    return reshape(ordered, (ordered.shape[0] * depth, *ordered.shape[2:]))


def _kernel_at_depth(k: Value, w: Window, d: ConvDimensions, j: int) -> Any:
    """The kernel at place j of the window's depth, without that dimension."""
    dimension = d.kernel_spatial[0]
    index = k.shape[dimension] - 1 - j if w.reversal[0] else j
    plane = slice_dimension(k, dimension, index, index + 1)
    return reshape(plane, [n for i, n in enumerate(k.shape) if i != dimension])


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def convolution_in_channels_last(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = (xᵖ ∗ kᑫ)ʳ with features last (NHWC, HWIO)"""
    return _in_layout(x, k, w, d, channels_last(len(d.input_spatial)), g, p, t)


def _in_layout(
    x: Value,
    k: Value,
    w: Window,
    d: ConvDimensions,
    layout: ConvDimensions,
    g: Groups,
    p: Precision,
    t: str,
) -> Any:
    input_order, kernel_order, output_order = layout_permutations(d, layout)
    need(not all(map(is_identity, (input_order, kernel_order, output_order))))
    moved = convolution(transposed(x, input_order), transposed(k, kernel_order), w, layout, g, p, t)
    return transposed(moved, output_order)
