"""Attribute arithmetic of convolutions: layouts, windows, and the input as the window sees it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import product
from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import ConvDimensions, Window, full, pad, reshape, reverse, slice_
from saturax.graph.ops.contraction import window_size
from saturax.graph.types import TensorType
from saturax.rules.permutations import Permutation

OUTPUT_FEATURE = "output feature"
"""Label of the dimension that input and output do not share; see `output_labels`."""


def window_shape(k: Value, d: ConvDimensions) -> tuple[int, ...]:
    """Sizes of the kernel's spatial dimensions."""
    return tuple(k.shape[i] for i in d.kernel_spatial)


def output_sizes(x: Value, k: Value, w: Window, d: ConvDimensions) -> tuple[int, ...]:
    """Number of window positions in each spatial dimension."""
    return tuple(
        window_size(
            x.shape[d.input_spatial[i]],
            size,
            w.strides[i],
            *w.padding[i],
            (w.lhs_dilation[i], w.rhs_dilation[i]),
        )
        for i, size in enumerate(window_shape(k, d))
    )


def output_labels(d: ConvDimensions) -> tuple[Hashable, ...]:
    """For each output dimension, the input dimension that it runs along, or OUTPUT_FEATURE."""
    labels: list[Hashable] = [OUTPUT_FEATURE] * (len(d.output_spatial) + 2)
    labels[d.output_batch] = d.input_batch
    for source, target in zip(d.input_spatial, d.output_spatial, strict=True):
        labels[target] = source
    return tuple(labels)


def kernel_labels(d: ConvDimensions) -> tuple[Hashable, ...]:
    """For each kernel dimension, the input dimension that it is multiplied along."""
    labels: list[Hashable] = [OUTPUT_FEATURE] * (len(d.kernel_spatial) + 2)
    labels[d.kernel_input_feature] = d.input_feature
    for source, target in zip(d.input_spatial, d.kernel_spatial, strict=True):
        labels[target] = source
    return tuple(labels)


def output_permutation(d: ConvDimensions) -> Permutation:
    """Brings a tensor in the input's layout (with output features) into the output's layout."""
    labels = output_labels(d)
    return tuple(d.input_feature if i == OUTPUT_FEATURE else i for i in labels)  # type: ignore[misc]


def with_input(d: ConvDimensions, p: Sequence[int]) -> ConvDimensions:
    """Dimension numbers after input dimension i has become p[i]."""
    return d._replace(
        input_batch=p[d.input_batch],
        input_feature=p[d.input_feature],
        input_spatial=tuple(p[i] for i in d.input_spatial),
    )


def with_kernel(d: ConvDimensions, p: Sequence[int]) -> ConvDimensions:
    """Dimension numbers after kernel dimension i has become p[i]."""
    return d._replace(
        kernel_input_feature=p[d.kernel_input_feature],
        kernel_output_feature=p[d.kernel_output_feature],
        kernel_spatial=tuple(p[i] for i in d.kernel_spatial),
    )


def with_output(d: ConvDimensions, p: Sequence[int]) -> ConvDimensions:
    """Dimension numbers after output dimension i has become p[i]."""
    return d._replace(
        output_batch=p[d.output_batch],
        output_feature=p[d.output_feature],
        output_spatial=tuple(p[i] for i in d.output_spatial),
    )


def channels_last(spatial: int) -> ConvDimensions:
    """Batch first and features last; the kernel has its window first (NHWC, HWIO, NHWC)."""
    inner = tuple(range(1, spatial + 1))
    kernel = tuple(range(spatial))
    return ConvDimensions(
        0, spatial + 1, inner, spatial, spatial + 1, kernel, 0, spatial + 1, inner
    )


def channels_first(spatial: int) -> ConvDimensions:
    """Batch, features, spatial dimensions; the kernel has output features first (NCHW, OIHW)."""
    inner = tuple(range(2, spatial + 2))
    return ConvDimensions(0, 1, inner, 1, 0, inner, 0, 1, inner)


def layout_permutations(
    d: ConvDimensions, new: ConvDimensions
) -> tuple[Permutation, Permutation, Permutation]:
    """Transposes of input and kernel into layout `new`, and of its output back into layout d."""

    def moved(old_places: Sequence[int], new_places: Sequence[int]) -> Permutation:
        source = dict(zip(new_places, old_places, strict=True))
        return tuple(source[i] for i in range(len(source)))

    return (
        moved(_input_places(d), _input_places(new)),
        moved(_kernel_places(d), _kernel_places(new)),
        moved(_output_places(new), _output_places(d)),
    )


def _input_places(d: ConvDimensions) -> tuple[int, ...]:
    return (d.input_batch, d.input_feature, *d.input_spatial)


def _kernel_places(d: ConvDimensions) -> tuple[int, ...]:
    return (d.kernel_input_feature, d.kernel_output_feature, *d.kernel_spatial)


def _output_places(d: ConvDimensions) -> tuple[int, ...]:
    return (d.output_batch, d.output_feature, *d.output_spatial)


def without_spatial(w: Window, d: ConvDimensions, i: int) -> tuple[Window, ConvDimensions]:
    """Window and dimension numbers after dropping spatial dimension number i everywhere."""

    def drop(items: Sequence[Any]) -> tuple[Any, ...]:
        return (*items[:i], *items[i + 1 :])

    def shifted(places: tuple[int, ...], dropped: int) -> Permutation:
        return tuple(place - (place > dropped) for place in range(len(places)))

    smaller = d._replace(
        input_spatial=drop(d.input_spatial),
        kernel_spatial=drop(d.kernel_spatial),
        output_spatial=drop(d.output_spatial),
    )
    smaller = with_input(smaller, shifted(_input_places(d), d.input_spatial[i]))
    smaller = with_kernel(smaller, shifted(_kernel_places(d), d.kernel_spatial[i]))
    smaller = with_output(smaller, shifted(_output_places(d), d.output_spatial[i]))
    return Window(*map(drop, w)), smaller


def normalised(x: Value, k: Value, w: Window, d: ConvDimensions) -> Window:
    """The window with every attribute that cannot matter at these sizes set to its default."""
    kernel, inputs = window_shape(k, d), tuple(x.shape[i] for i in d.input_spatial)
    # A stride does not matter where the window has one position even with stride 1.
    slow = w._replace(strides=tuple(1 for _ in w.strides))
    output = output_sizes(x, k, slow, d)

    def keep(values: Sequence[Any], extents: Sequence[int], default: Any) -> tuple[Any, ...]:
        return tuple(v if n > 1 else default for v, n in zip(values, extents, strict=True))

    return Window(
        keep(w.strides, output, 1),
        w.padding,
        keep(w.lhs_dilation, inputs, 1),
        keep(w.rhs_dilation, kernel, 1),
        keep(w.reversal, kernel, False),
    )


def is_undilated(w: Window) -> bool:
    """Whether neither input nor kernel is dilated."""
    return all(n == 1 for n in w.lhs_dilation + w.rhs_dilation)


def positions(k: Value, d: ConvDimensions) -> Iterator[tuple[int, ...]]:
    """Index tuples of the places in the window, in row-major order."""
    return product(*map(range, window_shape(k, d)))


def padded_input(x: Value, w: Window, d: ConvDimensions) -> Any:
    """The input dilated and padded with zeros as the window demands."""
    low, high, interior = ([0] * x.rank for _ in range(3))
    for i, dimension in enumerate(d.input_spatial):
        low[dimension], high[dimension] = w.padding[i]
        interior[dimension] = w.lhs_dilation[i] - 1
    return pad(x, full(0, TensorType((), x.dtype)), low, high, interior)


def shifted_input(
    padded: Value, w: Window, d: ConvDimensions, position: Sequence[int], output: Sequence[int]
) -> Any:
    """What place `position` of the window sees: one element per (non-empty) output position."""
    start, limit, stride = [0] * padded.rank, list(padded.shape), [1] * padded.rank
    for i, dimension in enumerate(d.input_spatial):
        start[dimension] = position[i] * w.rhs_dilation[i]
        stride[dimension] = w.strides[i]
        limit[dimension] = start[dimension] + (output[i] - 1) * w.strides[i] + 1
    return slice_(padded, start, limit, stride)


def kernel_slice(k: Value, w: Window, d: ConvDimensions, position: Sequence[int]) -> Any:
    """The kernel's features (rank 2, in their order) at one place of the window."""
    start, limit = [0] * k.rank, list(k.shape)
    for i, dimension in enumerate(d.kernel_spatial):
        size = k.shape[dimension]
        start[dimension] = size - 1 - position[i] if w.reversal[i] else position[i]
        limit[dimension] = start[dimension] + 1
    return kernel_matrix(slice_(k, start, limit, [1] * k.rank), d)


def unreversed(k: Value, w: Window, d: ConvDimensions) -> Any:
    """The kernel as a window that is not reversed applies it."""
    pairs = zip(d.kernel_spatial, w.reversal, strict=True)
    return reverse(k, [dimension for dimension, is_reversed in pairs if is_reversed])


def kernel_matrix(k: Value, d: ConvDimensions) -> Any:
    """A kernel whose window has size 1, as a matrix of its two feature dimensions."""
    features = sorted((d.kernel_input_feature, d.kernel_output_feature))
    return reshape(k, [k.shape[i] for i in features])
