"""Independent convolutions that share their input, or their kernel, as one convolution.

    x ∗ kᵢ  =  slices of  x ∗ concat(k₁, …, kₙ)        along output features
    xᵢ ∗ k  =  slices of  concat(x₁, …, xₙ) ∗ k        along the batch

Kernels with smaller windows are padded to the common window where that does not double the work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

from saturax.graph.build import Value, building
from saturax.graph.ir import Graph
from saturax.graph.ops import (
    ConvDimensions,
    Groups,
    Window,
    concatenate_all,
    convolution,
    full,
    pad,
    reshape,
    slice_dimension,
)
from saturax.graph.types import TensorType
from saturax.proposals.equality import Equalities
from saturax.proposals.usage import ancestors_among, independent_groups

_LARGEST_EXPANSION = 2.0


class _Padding(NamedTuple):
    """Zeros before and after a kernel in each of its spatial dimensions."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def merge_convolutions(equalities: Equalities) -> None:
    """Propose one convolution for those that share their input or their kernel.

    A convolution takes part in at most three: one for equal windows, one for nested ones, and one
    for its kernel.
    """
    graph = equalities.graph
    nodes: list[Any] = list(graph.nodes)
    found = [
        index
        for index, node in enumerate(nodes)
        if node.op == "convolution" and equalities.may_round(node.type.dtype)
    ]
    ancestors = ancestors_among(graph, found)
    families: dict[tuple[str, Hashable], list[int]] = defaultdict(list)
    for index in found:
        for key in _families(graph, graph.nodes[index]):
            families[key].append(index)
    for (kind, _), family in families.items():
        for group in independent_groups(family, ancestors):
            with building(equalities.builder):
                _merge(equalities, group, kind)


def _families(graph: Graph, node: Any) -> Iterator[tuple[str, Hashable]]:
    """What a convolution must have in common with others to be merged with them, in each way."""
    window, dimensions, groups, precision, dtype = node.attributes
    if Groups(*groups).batch != 1 or not node.type.size:
        return
    x: Any
    x, kernel = (graph.nodes[operand].type for operand in node.operands)
    d, w = ConvDimensions(*dimensions), Window(*window)
    common = (dimensions, groups, precision, dtype, x.dtype, kernel.dtype)
    steps = (w.strides, w.lhs_dilation, w.rhs_dilation, w.reversal)
    yield "kernel", (node.operands[1], window, _without(x, d.input_batch), common)
    yield "input", (node.operands[0], window, _window(kernel, d), common)
    yield "nested", (node.operands[0], steps, _without(node.type, d.output_feature), common)


def _merge(equalities: Equalities, group: list[int], kind: str) -> None:
    graph = equalities.graph
    shared = 1 if kind == "kernel" else 0
    varying = [graph.nodes[index].operands[1 - shared] for index in group]
    if len(set(varying)) < len(varying):
        return
    if kind == "kernel":
        _merge_inputs(equalities, group)
        return
    windows = {graph.nodes[index].attributes[0] for index in group}
    sizes = {_window(graph.nodes[k].type, graph.nodes[group[0]].attributes[1]) for k in varying}
    if (kind == "nested") == (len(windows) > 1 or len(sizes) > 1):
        _merge_kernels(equalities, group)


def _without(type: Any, dimension: int) -> tuple[int, ...]:
    """A shape without one dimension."""
    return (*type.shape[:dimension], *type.shape[dimension + 1 :])


def _window(kernel: Any, dimensions: Any) -> tuple[int, ...]:
    """The spatial sizes of a kernel."""
    return tuple(kernel.shape[d] for d in ConvDimensions(*dimensions).kernel_spatial)


def _merge_inputs(equalities: Equalities, group: Sequence[int]) -> None:
    """One convolution of the inputs, one after the other along the batch."""
    nodes: list[Any] = [equalities.graph.nodes[index] for index in group]
    d = ConvDimensions(*nodes[0].attributes[1])
    inputs = [equalities.value(node.operands[0]) for node in nodes]
    kernel = equalities.value(nodes[0].operands[1])
    joined = convolution(concatenate_all(inputs, d.input_batch), kernel, *nodes[0].attributes)
    start = 0
    for index, x in zip(group, inputs, strict=True):
        size = x.shape[d.input_batch]
        part = slice_dimension(joined, d.output_batch, start, start + size)
        equalities.equate(index, part)
        start += size


def _merge_kernels(equalities: Equalities, group: Sequence[int]) -> None:
    """One convolution with the kernels side by side, those of each feature group together."""
    nodes: list[Any] = [equalities.graph.nodes[index] for index in group]
    common = _common_window(equalities, nodes)
    if common is None:
        return
    window, paddings = common
    _, dimensions, groups, precision, dtype = nodes[0].attributes
    d, count = ConvDimensions(*dimensions), Groups(*groups).feature
    at = d.kernel_output_feature
    kernels = [
        _split(_padded(equalities.value(node.operands[1]), padding, d), at, count)
        for node, padding in zip(nodes, paddings, strict=True)
    ]
    joined_kernel = _joined(concatenate_all(kernels, at + 1), at)
    x = equalities.value(nodes[0].operands[0])
    joined = convolution(x, joined_kernel, window, dimensions, groups, precision, dtype)
    split = _split(joined, d.output_feature, count)
    start = 0
    for index, kernel in zip(group, kernels, strict=True):
        size = kernel.shape[at + 1]
        part = slice_dimension(split, d.output_feature + 1, start, start + size)
        equalities.equate(index, _joined(part, d.output_feature))
        start += size


def _common_window(
    equalities: Equalities, nodes: Sequence[Any]
) -> tuple[Window, list[_Padding]] | None:
    """The smallest window that holds all windows, and how kernels are padded to it.

    None if the windows do not lie on one grid, or the padding would double the work.
    """
    windows = [Window(*node.attributes[0]) for node in nodes]
    kernels: list[Any] = [equalities.graph.nodes[node.operands[1]].type for node in nodes]
    sizes = [_window(k, node.attributes[1]) for k, node in zip(kernels, nodes, strict=True)]
    ends = [
        [max(window.padding[i][side] for window in windows) for side in (0, 1)]
        for i in range(len(sizes[0]))
    ]
    spread = windows[0].rhs_dilation
    paddings: list[_Padding] = []
    for window in windows:
        missing = [
            [ends[i][side] - window.padding[i][side] for side in (0, 1)] for i in range(len(ends))
        ]
        if any(n % spread[i] for i, both in enumerate(missing) for n in both):
            return None
        before, after = (
            tuple(both[side] // spread[i] for i, both in enumerate(missing)) for side in (0, 1)
        )
        paddings.append(_Padding(before, after))
    full_sizes = {
        tuple(a + n + b for a, n, b in zip(p.before, size, p.after, strict=True))
        for p, size in zip(paddings, sizes, strict=True)
    }
    is_padded = any(any(p.before + p.after) for p in paddings)
    if len(full_sizes) > 1 or (is_padded and any(windows[0].reversal)):
        return None
    (full_size,) = full_sizes
    features = [k.size // max(prod(size), 1) for k, size in zip(kernels, sizes, strict=True)]
    work = sum(n * prod(size) for n, size in zip(features, sizes, strict=True))
    if sum(features) * prod(full_size) > _LARGEST_EXPANSION * work:
        return None
    return windows[0]._replace(padding=tuple((a, b) for a, b in ends)), paddings


def _padded(kernel: Value, padding: _Padding, d: ConvDimensions) -> Value:
    """A kernel with zeros around it."""
    low, high = [0] * kernel.rank, [0] * kernel.rank
    for i, dimension in enumerate(d.kernel_spatial):
        low[dimension], high[dimension] = padding.before[i], padding.after[i]
    zero = full(0, TensorType((), kernel.dtype))
    result: Value = pad(kernel, zero, low, high, [0] * kernel.rank)
    return result


def _split(x: Value, dimension: int, count: int) -> Value:
    """x with a dimension divided into `count` parts of equal size, a dimension before it."""
    rest = x.shape[dimension] // count
    shape = (*x.shape[:dimension], count, rest, *x.shape[dimension + 1 :])
    result: Value = reshape(x, shape)
    return result


def _joined(x: Value, dimension: int) -> Value:
    """The inverse of `_split`."""
    size = x.shape[dimension] * x.shape[dimension + 1]
    result: Value = reshape(x, (*x.shape[:dimension], size, *x.shape[dimension + 2 :]))
    return result
