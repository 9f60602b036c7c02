"""Convolutions with windows of 3 by minimal filtering: 4 products for 2 outputs, instead of 6.

Two neighbouring outputs of a window of 3 are polynomial products, which Toom and Cook compute from
values at the points 0, 1, -1 and ∞. With g the kernel, d four neighbouring inputs and a feature
sum in each product (Winograd 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", 2016, section 4):

    m₀ = (d₀ - d₂)·g₀              m₁ = (d₁ + d₂)·(g₀ + g₁ + g₂)/2
    m₃ = (d₁ - d₃)·g₂              m₂ = (d₂ - d₁)·(g₀ - g₁ + g₂)/2
    y₀ = m₀ + m₁ + m₂              y₁ = m₁ - m₂ - m₃

Done in two dimensions that is 16 products for 36. Its errors are the direct sum's (0.3 to 1.8
times the largest one, measured over 20 shapes); four outputs at a time would need fewer products
yet, but lose a digit (7 to 39 times). Letters as in `convolution`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    ConvDimensions,
    Groups,
    Precision,
    Window,
    add,
    concatenate,
    convolution,
    full,
    multiply,
    reshape,
    slice_dimension,
    subtract,
)
from saturax.graph.types import TensorType
from saturax.rules.arithmetic import is_uniform
from saturax.rules.einsum import Einsum, contract
from saturax.rules.moves import transposed
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.windows import (
    channels_last,
    is_undilated,
    kernel_slice,
    output_permutation,
    output_sizes,
    padded_input,
    positions,
    shifted_input,
    window_shape,
)

TAPS, OUTPUTS, POINTS = 3, 2, 4
LEAST_FEATURES = 40
"""Least harmonic mean of the numbers of features. The transforms take time in proportion to the
features of input and output, what they save to their product: on XLA:CPU 64 and 32 features were
1.3-1.5 times as fast, 32 and 32 as well as 64 and 16 were slower (0.6-0.8)."""

Parts = dict[tuple[int, ...], Any]


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="Winograd, Arithmetic Complexity of Computations (1980)",
    examples=lambda rng: _three_taps(rng),
)
def convolution_by_minimal_filtering(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = Aᵀ((Gk)·(Bᵀx)) in windows of 3 with stride 1, for many features in one group"""
    # Convolutions in other layouts have been given this one.
    need(d.input_feature == x.rank - 1)
    need(g == (1, 1) and is_undilated(w) and is_uniform(t, x, k) and t in ("f32", "f64"))
    taps, sizes = window_shape(k, d), output_sizes(x, k, w, d)
    need(TAPS in taps and set(taps) <= {1, TAPS} and min(sizes) > 0)
    need(all(stride == 1 for n, stride in zip(taps, w.strides, strict=True) if n == TAPS))
    need(all(size > 1 for n, size in zip(taps, sizes, strict=True) if n == TAPS))
    ins, outs = k.shape[d.kernel_input_feature], k.shape[d.kernel_output_feature]
    need(2 * ins * outs >= LEAST_FEATURES * (ins + outs))
    labels = Einsum(
        tuple(range(x.rank)),
        ("out", d.input_feature)
        if d.kernel_output_feature < d.kernel_input_feature
        else (d.input_feature, "out"),
        tuple("out" if i == d.input_feature else i for i in range(x.rank)),
    )
    seen, filters = _seen(x, w, d, taps, sizes), _filters(k, w, d)
    products = {i: contract(seen[i], filters[i], labels, p, t) for i in seen}
    return transposed(_interleaved(products, d, taps, sizes), output_permutation(d))


def _seen(
    x: Value, w: Window, d: ConvDimensions, taps: Sequence[int], sizes: Sequence[int]
) -> Parts:
    """Bᵀx: what each product sees of the input, one element for a pair of outputs."""
    is_tiled = [n == TAPS for n in taps]
    tiles = [-(-n // OUTPUTS) if tiled else n for n, tiled in zip(sizes, is_tiled, strict=True)]
    even = w._replace(
        padding=tuple(
            (low, high + (OUTPUTS * count - size if tiled else 0))
            for (low, high), count, size, tiled in zip(
                w.padding, tiles, sizes, is_tiled, strict=True
            )
        ),
    )
    steps = w._replace(
        strides=tuple(OUTPUTS if tiled else s for s, tiled in zip(w.strides, is_tiled, strict=True))
    )
    padded = padded_input(x, even, d)
    places = product(*(range(POINTS if tiled else 1) for tiled in is_tiled))
    parts = {place: shifted_input(padded, steps, d, place, tiles) for place in places}
    return _along_each(parts, is_tiled, _input_at_points)


def _filters(k: Value, w: Window, d: ConvDimensions) -> Parts:
    """Gk: the kernel's matrices of features at the points."""
    parts = {place: kernel_slice(k, w, d, place) for place in positions(k, d)}
    return _along_each(parts, [n == TAPS for n in window_shape(k, d)], _kernel_at_points)


def _interleaved(
    products: Parts, d: ConvDimensions, taps: Sequence[int], sizes: Sequence[int]
) -> Any:
    """Aᵀm: the outputs, those of each tile put next to each other."""
    is_tiled = [n == TAPS for n in taps]
    parts = _along_each(products, is_tiled, _outputs)
    for number in reversed(range(len(taps))):
        if is_tiled[number]:
            dimension, size = d.input_spatial[number], sizes[number]
            parts = {
                place[:number]: _alternating(
                    parts[place], parts[*place[:number], 1], dimension, size
                )
                for place in parts
                if place[number] == 0
            }
        else:
            parts = {place[:number]: part for place, part in parts.items()}
    return parts[()]


def _alternating(even: Value, odd: Value, dimension: int, size: int) -> Any:
    """The first `size` of even[0], odd[0], even[1], … along a dimension."""
    shape = even.shape
    column = (*shape[: dimension + 1], 1, *shape[dimension + 1 :])
    pairs = concatenate(reshape(even, column), reshape(odd, column), dimension + 1)
    line = (*shape[:dimension], OUTPUTS * shape[dimension], *shape[dimension + 1 :])
    return slice_dimension(reshape(pairs, line), dimension, 0, size)


def _along_each(
    parts: Parts, is_tiled: Sequence[bool], transform: Callable[..., Sequence[Any]]
) -> Parts:
    """A transform of the parts along one position of their index after the other."""
    for number, tiled in enumerate(is_tiled):
        if not tiled:
            continue
        lines: dict[tuple[int, ...], list[Any]] = {}
        for place, part in sorted(parts.items(), key=lambda item: item[0]):
            lines.setdefault((*place[:number], *place[number + 1 :]), []).append(part)
        parts = {
            (*rest[:number], i, *rest[number:]): value
            for rest, line in lines.items()
            for i, value in enumerate(transform(*line))
        }
    return parts


def _input_at_points(d0: Value, d1: Value, d2: Value, d3: Value) -> Sequence[Any]:
    return subtract(d0, d2), add(d1, d2), subtract(d2, d1), subtract(d1, d3)


def _kernel_at_points(g0: Value, g1: Value, g2: Value) -> Sequence[Any]:
    half = full(0.5, TensorType(g0.shape, g0.dtype))
    even, odd = multiply(add(g0, g2), half), multiply(g1, half)
    return g0, add(even, odd), subtract(even, odd), g2


def _outputs(m0: Value, m1: Value, m2: Value, m3: Value) -> Sequence[Any]:
    return add(m0, add(m1, m2)), subtract(subtract(m1, m2), m3)


def _three_taps(rng: np.random.Generator) -> dict[str, Any]:
    """A convolution of many features with windows of 3, and perhaps of 1 in some dimensions."""
    rank = int(rng.integers(1, 3))
    taps = [int(rng.choice([1, TAPS])) for _ in range(rank)]
    taps[int(rng.integers(0, rank))] = TAPS
    points = tuple(int(rng.integers(n + 1, n + 5)) for n in taps)
    ins, outs = (int(n) for n in rng.integers(LEAST_FEATURES, LEAST_FEATURES + 5, 2))
    d = channels_last(rank)
    kernel = [0] * (rank + 2)
    for i, n in zip(d.kernel_spatial, taps, strict=True):
        kernel[i] = n
    kernel[d.kernel_input_feature], kernel[d.kernel_output_feature] = ins, outs
    ones = (1,) * rank
    return {
        "x": TensorType((int(rng.integers(1, 3)), *points, ins), "f64"),
        "k": TensorType(tuple(kernel), "f64"),
        "w": Window(
            tuple(1 if n == TAPS else int(rng.integers(1, 3)) for n in taps),
            tuple((int(rng.integers(0, n)), int(rng.integers(0, n))) for n in taps),
            ones,
            ones,
            tuple(bool(b) for b in rng.integers(0, 2, rank)),
        ),
        "d": d,
        "g": Groups(1, 1),
        "p": Precision(),
        "t": "f64",
    }
