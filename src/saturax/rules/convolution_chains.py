"""Convolutions one after the other, one of which mixes features only, as one convolution.

Letters as in `convolution`: window w, dimension numbers d, groups g, precision p, result type t;
the second convolution has k, v, e, b, q and u in their places.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import ConvDimensions, Groups, Precision, Window, convolution
from saturax.graph.types import TensorType
from saturax.rules.arithmetic import is_uniform
from saturax.rules.einsum import Einsum, contract
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.windows import channels_last, is_undilated, kernel_matrix, window_shape

ASSOCIATIVE = "convolution is associative"
_MIXED = "features between both convolutions"


def _need_mixing(k: Value, w: Window, d: ConvDimensions, g: Groups) -> None:
    """Go on if x ∗ k combines the features of each place, in one group."""
    need(g == (1, 1) and set(window_shape(k, d)) == {1} and set(w.strides) == {1})
    need(is_undilated(w) and not any(map(any, w.padding)) and 0 not in k.shape)


def _matrix_labels(d: ConvDimensions, inputs: Any, outputs: Any) -> tuple[Any, ...]:
    """The labels of a `kernel_matrix`."""
    input_first = d.kernel_input_feature < d.kernel_output_feature
    return (inputs, outputs) if input_first else (outputs, inputs)


def _mixed(k: Value, at: int, matrix: Value, labels: tuple[Any, ...], p: Precision, t: str) -> Any:
    """k, its features at dimension `at` combined by a matrix with these labels."""
    own: list[Any] = list(range(k.rank))
    own[at] = _MIXED
    return contract(k, matrix, Einsum(tuple(own), labels, tuple(range(k.rank))), p, t)


def _joined(d: ConvDimensions, e: ConvDimensions) -> ConvDimensions:
    """The input's dimensions of d and the output's of e; d's output is the input of e."""
    need((d.output_batch, d.output_feature) == (e.input_batch, e.input_feature))
    need(d.output_spatial == e.input_spatial)
    return d._replace(
        output_batch=e.output_batch,
        output_feature=e.output_feature,
        output_spatial=e.output_spatial,
    )


def _chain(rng: np.random.Generator, *, mixes_first: bool) -> dict[str, Any]:
    """Two convolutions of a line or of an image, one of them of size 1."""
    spatial = int(rng.integers(1, 3))
    n, m, o = (int(i) for i in rng.integers(1, 4, 3))
    size = tuple(int(i) for i in rng.integers(1, 4, spatial))
    ones = (1,) * spatial
    padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 2, (spatial, 2)))
    strides = tuple(int(i) for i in rng.integers(1, 3, spatial))
    wide = Window(strides, padding, ones, ones, (False,) * spatial)
    plain = Window(ones, ((0, 0),) * spatial, ones, ones, (False,) * spatial)
    dtype = str(rng.choice(["f32", "f64"]))
    x = TensorType((2, *(int(i) for i in rng.integers(3, 6, spatial)), n), dtype)
    sizes, windows = ((ones, size), (plain, wide)) if mixes_first else ((size, ones), (wide, plain))
    return {
        "x": x,
        "k": TensorType((*sizes[0], n, m), dtype),
        "v": TensorType((*sizes[1], m, o), dtype),
        **dict(zip("wy", windows, strict=True)),
        **dict.fromkeys("de", channels_last(spatial)),
        **dict.fromkeys("gb", Groups(1, 1)),
        "t": dtype,
    }


@rule(
    lambda x, k, w, d, g, p, t, v, y, e, b: convolution(
        convolution(x, k, w, d, g, p, t), v, y, e, b, p, t
    ),
    numerics=ROUNDING,
    source=ASSOCIATIVE,
    examples=lambda rng: _chain(rng, mixes_first=False),
)
def mix_features_in_kernel(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str, v: Value,
    y: Window, e: ConvDimensions, b: Groups,
) -> Any:  # fmt: skip
    """(x ∗ k) ∗ v = x ∗ (k·v) if v has size 1, in one group"""
    need(is_uniform(t, x, k, v) and g == (1, 1) and 0 not in k.shape)
    _need_mixing(v, y, e, b)
    joined = _joined(d, e)
    labels = _matrix_labels(e, _MIXED, d.kernel_output_feature)
    kernel = _mixed(k, d.kernel_output_feature, kernel_matrix(v, e), labels, p, t)
    return convolution(x, kernel, w, joined, g, p, t)


@rule(
    lambda x, k, w, d, g, p, t, v, y, e, b: convolution(
        convolution(x, k, w, d, g, p, t), v, y, e, b, p, t
    ),
    numerics=ROUNDING,
    source=ASSOCIATIVE,
    examples=lambda rng: _chain(rng, mixes_first=True),
)
def mix_features_in_following_kernel(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str, v: Value,
    y: Window, e: ConvDimensions, b: Groups,
) -> Any:  # fmt: skip
    """(x ∗ k) ∗ v = x ∗ (k·v) if k has size 1, in one group"""
    need(is_uniform(t, x, k, v) and b == (1, 1) and 0 not in v.shape)
    _need_mixing(k, w, d, g)
    joined = _joined(d, e)
    labels = _matrix_labels(d, e.kernel_input_feature, _MIXED)
    kernel = _mixed(v, e.kernel_input_feature, kernel_matrix(k, d), labels, p, t)
    joined = joined._replace(
        kernel_input_feature=e.kernel_input_feature,
        kernel_output_feature=e.kernel_output_feature,
        kernel_spatial=e.kernel_spatial,
    )
    return convolution(x, kernel, y, joined, b, p, t)
