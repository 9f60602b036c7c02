"""Convolutions in groups, as smaller convolutions and as products.

In every rule w is the window, d the dimension numbers, g the groups, p the precision and t the
element type of the result; x ∗ k is the convolution of input x with kernel k. Batch groups are what
the gradient of a grouped convolution's kernel is made of. XLA:CPU computes such a convolution
without its groups, and keeps one part in g of the result.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import product
from math import prod
from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import (
    ConvDimensions,
    Groups,
    Precision,
    Window,
    concatenate_all,
    convert,
    convolution,
    multiply,
    reduce_,
    reshape,
    slice_,
    slice_dimension,
)
from saturax.rules.arithmetic import accumulation_dtype, converts_exactly
from saturax.rules.einsum import Einsum, contract
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to, replaced
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.windows import (
    OUTPUT_FEATURE,
    kernel_labels,
    output_sizes,
    padded_input,
    unreversed,
    window_shape,
)

SPEC = "StableHLO spec, `convolution`"

MAX_SPLIT_GROUPS = 8
"""Groups that are written as separate convolutions: 4 gained 2.3×, 32 only 1.07×."""
MAX_PRODUCTS = 128
"""Positions of the output that are computed one by one: 3×3 and 7×7 were measured to gain 3-5×."""


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def split_feature_groups(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = concatenation of xᵢ ∗ kᵢ over 2 to 8 feature groups i"""
    need(2 <= g.feature <= MAX_SPLIT_GROUPS and g.batch == 1)
    return _split(x, d.input_feature, g.feature, (k, w, d, p, t))


@rule(lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), numerics=ROUNDING, source=SPEC)
def split_batch_groups(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = concatenation of xᵢ ∗ kᵢ over 2 to 8 batch groups i (gradients of grouped layers)"""
    need(2 <= g.batch <= MAX_SPLIT_GROUPS and g.feature == 1)
    return _split(x, d.input_batch, g.batch, (k, w, d, p, t))


def _split(
    x: Value,
    dimension: int,
    groups: int,
    rest: tuple[Value, Window, ConvDimensions, Precision, str],
) -> Any:
    """A convolution for each group of a dimension of the input and of the kernel's features."""
    k, w, d, p, t = rest
    width, out = x.shape[dimension] // groups, k.shape[d.kernel_output_feature] // groups
    parts = []
    for i in range(groups):
        seen = slice_dimension(x, dimension, i * width, (i + 1) * width)
        kernel = slice_dimension(k, d.kernel_output_feature, i * out, (i + 1) * out)
        parts.append(convolution(seen, kernel, w, d, Groups(), p, t))
    return concatenate_all(parts, d.output_feature)


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="XLA:CPU runs 32 batch groups of a 3×3 kernel's gradient 100 times slower than this",
)
def batch_groups_as_feature_groups(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k in g > 1 batch groups = x′ ∗ k in g feature groups, x′ with groups among features"""
    need(g.batch > 1 and g.feature == 1 and 0 not in x.shape)
    grouped, labels = _with_groups(x, d, g)
    order: list[Hashable] = list(range(x.rank))
    order.insert(order.index(d.input_feature), _GROUP)
    features = g.batch * x.shape[d.input_feature]
    shape = replaced(x.shape, d.input_batch, x.shape[d.input_batch] // g.batch)
    moved = transposed(grouped, permutation_to(labels, tuple(order)))
    seen = reshape(moved, replaced(shape, d.input_feature, features))
    return convolution(seen, k, w, d, Groups(g.batch, 1), p, t)


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="XLA:CPU runs the gradients of depthwise kernels 1.5-5 times slower than these sums",
)
def batch_groups_as_products(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = [Σᵢ x[i + o]·k[i]]ₒ in each of g > 1 batch groups, if o takes at most 128 values"""
    sizes = output_sizes(x, k, w, d)
    need(g.batch > 1 and g.feature == 1)
    need(0 < prod(sizes) <= MAX_PRODUCTS and 0 not in x.shape + k.shape)
    wide = accumulation_dtype(t)
    need(converts_exactly(x.dtype, wide) and converts_exactly(k.dtype, wide))
    padded = padded_input(convert(x, wide), w, d)
    kernel = unreversed(convert(k, wide), w, d)
    batch = x.shape[d.input_batch] // g.batch
    features = k.shape[d.kernel_output_feature]
    products = []
    for position in product(*map(range, sizes)):
        seen = _seen_at(padded, k, w, d, position)
        sums = _sums(seen, kernel, d, g, p, wide)
        products.append(reshape(sums, (1, g.batch, batch, features // g.batch)))
    # The order of the result's dimensions: positions, groups of features, batch, features.
    whole = reshape(concatenate_all(products, 0), (*sizes, g.batch, batch, features // g.batch))
    space = len(sizes)
    joined = transposed(whole, (*range(space), space + 1, space, space + 2))
    result = reshape(joined, (*sizes, batch, features))
    order = (*d.output_spatial, d.output_batch, d.output_feature)
    return convert(transposed(result, permutation_to(order, tuple(range(x.rank)))), t)


_GROUP = "group"


def _with_groups(x: Value, d: ConvDimensions, g: Groups) -> tuple[Any, tuple[Any, ...]]:
    """x with its batch as (groups, batch), and what each dimension was in x, or _GROUP."""
    at, batch = d.input_batch, x.shape[d.input_batch] // g.batch
    grouped = reshape(x, (*x.shape[:at], g.batch, batch, *x.shape[at + 1 :]))
    return grouped, (*range(at), _GROUP, *range(at, x.rank))


def _seen_at(
    padded: Value, k: Value, w: Window, d: ConvDimensions, position: tuple[int, ...]
) -> Any:
    """The part of the input under the window at one position of the output."""
    start, limit, stride = [0] * padded.rank, list(padded.shape), [1] * padded.rank
    for i, dimension in enumerate(d.input_spatial):
        start[dimension] = position[i] * w.strides[i]
        stride[dimension] = w.rhs_dilation[i]
        extent = (window_shape(k, d)[i] - 1) * w.rhs_dilation[i] + 1
        limit[dimension] = start[dimension] + extent
    return slice_(padded, start, limit, stride)


def _sums(seen: Value, k: Value, d: ConvDimensions, g: Groups, p: Precision, t: str) -> Any:
    """Per group, the products of an input that fills the window: (groups, batch, features)."""
    labels = kernel_labels(d)
    is_single = seen.shape[d.input_batch] == k.shape[d.kernel_output_feature] == g.batch
    if is_single:  # each element is used once: no product of matrices
        moved = permutation_to(
            (*range(seen.rank),), tuple(d.input_batch if i == OUTPUT_FEATURE else i for i in labels)
        )
        summed = tuple(i for i in range(k.rank) if i != d.kernel_output_feature)
        return reduce_("add", multiply(transposed(seen, moved), k), summed)
    grouped, seen_labels = _with_groups(seen, d, g)
    at, features = d.kernel_output_feature, k.shape[d.kernel_output_feature]
    kernel = reshape(k, (*k.shape[:at], g.batch, features // g.batch, *k.shape[at + 1 :]))
    kernel_order = (*labels[:at], _GROUP, *labels[at:])
    result = (_GROUP, d.input_batch, OUTPUT_FEATURE)
    return contract(grouped, kernel, Einsum(seen_labels, kernel_order, result), p, t)
