"""Convolutions by kernels with zeros in known places, and of reversed inputs.

Zeros are known from constants, padding and masks; sums leave their terms out. Letters as in
`convolution`: window w, dimension numbers d, groups g, precision p, result type t.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    ConvDimensions,
    Groups,
    Precision,
    Window,
    constant,
    convolution,
    full,
    pad,
    reverse,
    slice_,
)
from saturax.graph.types import TensorType
from saturax.rules.convolution import SPEC
from saturax.rules.facts import has_numbers, zero_blocks_of
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.windows import channels_last, output_sizes

Bounds = tuple[int, int]


def _support(x: Value, dimension: int) -> Bounds:
    """The first index along a dimension that may not be 0, and that past the last one."""
    n = x.shape[dimension]
    first, last = 0, n
    blocks = [tuple((a, b) for a, b in zip(*box, strict=True)) for box in zero_blocks_of(x)]
    for block in blocks:
        if any(
            bounds != (0, size)
            for i, (bounds, size) in enumerate(zip(block, x.shape, strict=True))
            if i != dimension
        ):
            continue
        a, b = block[dimension]
        first = b if a == 0 else first
        last = a if b == n else last
    return (first, last) if first < last else (0, n)


def _cropped(x: Value, bounds: dict[int, Bounds]) -> Any:
    """x between bounds, by dimension."""
    kept = [bounds.get(i, (0, n)) for i, n in enumerate(x.shape)]
    return slice_(x, tuple(a for a, _ in kept), tuple(b for _, b in kept), (1,) * x.rank)


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source=SPEC,
    uses_facts=True,
    examples=lambda rng: _padded_kernel(rng),
)
def drop_zero_taps(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = x ∗ k[a:b] with less padding, if k is 0 outside [a:b] of the window"""
    need(0 not in x.shape and 0 not in k.shape and has_numbers(x))
    bounds = {i: _support(k, i) for i in d.kernel_spatial}
    need(any(bound != (0, k.shape[i]) for i, bound in bounds.items()))
    padding = []
    for i, dimension in enumerate(d.kernel_spatial):
        first, last = bounds[dimension]
        ends = first, k.shape[dimension] - last
        before, after = reversed(ends) if w.reversal[i] else ends
        low, high = w.padding[i]
        spread = w.rhs_dilation[i]
        padding.append((low - before * spread, high - after * spread))
    narrowed = w._replace(padding=tuple(padding))
    kernel = _cropped(k, bounds)
    need(output_sizes(x, kernel, narrowed, d) == output_sizes(x, k, w, d))
    return convolution(x, kernel, narrowed, d, g, p, t)


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source=SPEC,
    uses_facts=True,
    examples=lambda rng: _padded_features(rng),
)
def drop_zero_features(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = x[a:b] ∗ k[a:b] in input features if x or k is 0 in the others, in one group"""
    need(g == (1, 1) and 0 not in x.shape and 0 not in k.shape)
    of_input, of_kernel = d.input_feature, d.kernel_input_feature
    first, last = _support(x, of_input) if has_numbers(k) else (0, x.shape[of_input])
    start, end = _support(k, of_kernel) if has_numbers(x) else (0, x.shape[of_input])
    kept = max(first, start), min(last, end)
    need(kept[0] < kept[1] and kept != (0, x.shape[of_input]))
    return convolution(_cropped(x, {of_input: kept}), _cropped(k, {of_kernel: kept}), w, d, g, p, t)


@rule(
    lambda x, k, c, low, high, interior, w, d, g, p, t: convolution(
        x, pad(k, constant(c), low, high, interior), w, d, g, p, t
    ),
    numerics=ROUNDING,
    source=SPEC,
    uses_facts=True,
    examples=lambda rng: _spread_kernel(rng),
)
def absorb_spread_of_kernel(
    x: Value, k: Value, c: Literal, low: tuple[int, ...], high: tuple[int, ...],
    interior: tuple[int, ...], w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
) -> Any:  # fmt: skip
    """x ∗ k with n zeros between the taps of k = x ∗ k with a window n + 1 times as dilated"""
    need(c.value == 0 and 0 not in k.shape and has_numbers(x))
    need(not any(low) and not any(high) and any(interior))
    need(not any(interior[i] for i in (d.kernel_input_feature, d.kernel_output_feature)))
    spread = [n * (interior[i] + 1) for n, i in zip(w.rhs_dilation, d.kernel_spatial, strict=True)]
    return convolution(x, k, w._replace(rhs_dilation=tuple(spread)), d, g, p, t)


@rule(
    lambda x, q, k, w, d, g, p, t: convolution(reverse(x, q), k, w, d, g, p, t),
    numerics=ROUNDING,
    source=SPEC,
    examples=lambda rng: _reversed_input(rng),
)
def reverse_after_convolution(
    x: Value, q: tuple[int, ...], k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision,
    t: str,
) -> Any:  # fmt: skip
    """reverse(x) ∗ k = reverse(x ∗ reverse(k)), with the ends of the padding exchanged"""
    need(0 not in x.shape and 0 not in k.shape and all(i in d.input_spatial for i in q))
    padding, reversal, turned = list(w.padding), list(w.reversal), []
    for i, dimension in enumerate(d.input_spatial):
        if dimension not in q:
            continue
        low, high = w.padding[i]
        length = (x.shape[dimension] - 1) * w.lhs_dilation[i] + 1 + low + high
        extent = (k.shape[d.kernel_spatial[i]] - 1) * w.rhs_dilation[i] + 1
        # The last position of the window has to reach the very end of the input.
        need(length >= extent and (length - extent) % w.strides[i] == 0)
        padding[i], reversal[i] = (high, low), not w.reversal[i]
        turned.append(d.output_spatial[i])
    window = w._replace(padding=tuple(padding), reversal=tuple(reversal))
    return reverse(convolution(x, k, window, d, g, p, t), tuple(turned))


# Examples.


def _window(rng: np.random.Generator, stride: int = 1) -> dict[str, Any]:
    """A two-dimensional convolution with some window."""
    window = Window(
        (stride, int(rng.integers(1, 3))),
        tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (2, 2))),
        (1, int(rng.integers(1, 3))),
        (int(rng.integers(1, 3)), 1),
        tuple(bool(flag) for flag in rng.integers(0, 2, 2)),
    )
    size = tuple(int(n) for n in rng.integers(6, 9, 2))
    x = TensorType((2, *size, 3), "f64")
    return {"x": x, "w": window, "d": channels_last(2), "g": Groups(1, 1), "t": "f64"}


def _padded(type: TensorType, low: tuple[int, ...], high: tuple[int, ...]) -> Any:
    """A program that pads its parameter with zeros."""
    builder = GraphBuilder((type,))
    with building(builder):
        zeros = (0,) * len(type.shape)
        padding = full(0, TensorType((), type.dtype))
        result = pad(builder.parameters[0], padding, low, high, zeros)
    return builder.finish([result])


def _padded_kernel(rng: np.random.Generator) -> dict[str, Any]:
    taps = tuple(int(n) for n in rng.integers(1, 3, 2))
    low, high = (tuple(int(n) for n in rng.integers(0, 2, 2)) for _ in range(2))
    if not any(low + high):
        high = (1, 0)
    if rng.random() < 0.5:
        kernel = np.pad(
            rng.standard_normal((*taps, 3, 2)), (*zip(low, high, strict=True), (0, 0), (0, 0))
        )
        return _window(rng) | {"k": Literal(kernel)}
    kernel_type = TensorType((*taps, 3, 2), "f64")
    return _window(rng) | {"k": _padded(kernel_type, (*low, 0, 0), (*high, 0, 0))}


def _padded_features(rng: np.random.Generator) -> dict[str, Any]:
    common = _window(rng)
    low, high = (int(n) for n in rng.permutation([0, 1]))
    if rng.random() < 0.5:
        x = common["x"].with_shape((*common["x"].shape[:3], 2))
        padded = _padded(x, (0, 0, 0, low), (0, 0, 0, high))
        return common | {"x": padded, "k": TensorType((2, 3, 3, 2), "f64")}
    kernel = _padded(TensorType((2, 3, 2, 2), "f64"), (0, 0, low, 0), (0, 0, high, 0))
    return common | {"k": kernel}


def _spread_kernel(rng: np.random.Generator) -> dict[str, Any]:
    zeros, interior = (0,) * 4, (int(rng.integers(0, 3)), 1, 0, 0)
    c = Literal(np.zeros((), np.float64))
    k = TensorType((2, 3, 3, 2), "f64")
    return _window(rng) | {"k": k, "c": c, "low": zeros, "high": zeros, "interior": interior}


def _reversed_input(rng: np.random.Generator) -> dict[str, Any]:
    q = ((1,), (2,), (1, 2))[int(rng.integers(0, 3))]
    return _window(rng, int(rng.integers(1, 3))) | {"q": q, "k": TensorType((2, 3, 3, 2), "f64")}
