"""Separable kernels: a window of n·m places as one of n places and then one of m.

Blurs, their derivatives and binomial filters are of this kind. Letters as in `convolution`.
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
    broadcast_in_dim,
    constant,
    convolution,
    multiply,
)
from saturax.graph.types import TensorType, numpy_dtype
from saturax.rules.facts import constant_of
from saturax.rules.permutations import replaced
from saturax.rules.rule import ROUNDING, need, rule

SOURCE = "convolutions compose: x ∗ (u ⊗ v) = (x ∗ u) ∗ v"

_ROUNDINGS = 4
"""How far an element may be from the product that it is said to be, in units of its last place."""

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source=SOURCE,
    uses_facts=True,
    examples=lambda rng: _separable(rng, is_constant=True),
)
def split_separable_kernel(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ (u ⊗ v) = (x ∗ u) ∗ v if the kernel is a constant of rank 1 and g = features of x"""
    need(_is_depthwise(x, d, g) and t == x.dtype == k.dtype and t in ("f32", "f64"))
    found = separation(k, d)
    if found is None:
        return None
    dimension, *factors = found
    along, across = (constant(Literal(f.astype(numpy_dtype(t)))) for f in factors)
    return _one_after_the_other(x, along, across, dimension, w, d, g, p, t)


@rule(
    lambda x, u, r, e, v, s, f, w, d, g, p, t: convolution(
        x, multiply(broadcast_in_dim(u, r, e), broadcast_in_dim(v, s, f)), w, d, g, p, t
    ),
    numerics=ROUNDING,
    source=SOURCE,
    examples=lambda rng: _separable(rng, is_constant=False),
)
def split_product_kernel(
    x: Value, u: Value, r: Shape, e: Shape, v: Value, s: Shape, f: Shape,
    w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
) -> Any:  # fmt: skip
    """x ∗ (u ⊗ v) = (x ∗ u) ∗ v if u varies with one spatial dimension, v not, g = features of x"""
    need(_is_depthwise(x, d, g) and t == x.dtype == u.dtype and t in ("f32", "f64"))
    moving = [i for i, n in zip(e, u.shape, strict=True) if n > 1 and i in d.kernel_spatial]
    need(len(moving) == 1 and r == s)
    (dimension,) = moving
    still = [i for i, n in zip(f, v.shape, strict=True) if n > 1]
    need(dimension not in still and any(i in d.kernel_spatial for i in still))
    spatial = {i: 1 for i in d.kernel_spatial if i != dimension}
    thin = tuple(spatial.get(i, n) for i, n in enumerate(r))
    along = broadcast_in_dim(u, thin, e)
    across = broadcast_in_dim(v, replaced(s, dimension, 1), f)
    return _one_after_the_other(x, along, across, dimension, w, d, g, p, t)


def _is_depthwise(x: Value, d: ConvDimensions, g: Groups) -> bool:
    """Whether each output feature depends on one input feature."""
    return g.batch == 1 and g.feature == x.shape[d.input_feature] > 0


def separation(k: Value, d: ConvDimensions) -> tuple[int, Array, Array] | None:
    """A spatial dimension of a depthwise kernel and its factors along and across that.

    None if the kernel is no constant of floats, or not a product in any dimension.
    """
    known = constant_of(k)
    if known is None or k.size == 0 or k.dtype not in ("f32", "f64"):
        return None
    for dimension in d.kernel_spatial:
        factors = _factors(known.array, dimension, d)
        if factors is not None:
            return dimension, *factors
    return None


def _factors(taps: Array, dimension: int, d: ConvDimensions) -> tuple[Array, Array] | None:
    """A kernel as the product of one that is long in one spatial dimension and one that is not.

    The first has the kernel's own elements, at the place of each feature's largest one. None if
    there is nothing to gain, or some element is not the product up to a few roundings.
    """
    others = [i for i in d.kernel_spatial if i != dimension]
    if taps.shape[dimension] == 1 or all(taps.shape[i] == 1 for i in others):
        return None
    shape = [taps.shape[dimension], -1, taps.shape[d.kernel_output_feature]]
    order = (dimension, *others, d.kernel_input_feature, d.kernel_output_feature)
    matrices = np.transpose(taps, order).reshape(shape).astype(np.float64)
    features = np.arange(shape[2])
    largest = np.abs(matrices).reshape(-1, shape[2]).argmax(0)
    row, column = np.unravel_index(largest, matrices.shape[:2])
    u = matrices[:, column, features]
    pivot = matrices[row, column, features]
    with np.errstate(invalid="ignore", divide="ignore"):
        v = np.where(pivot == 0, 0, matrices[row, :, features].T / pivot)
    allowed = _ROUNDINGS * np.finfo(taps.dtype).eps * np.abs(matrices)
    if not (np.abs(u[:, None] * v - matrices) <= allowed).all():
        return None
    along = [taps.shape[i] if i in (dimension, d.kernel_output_feature) else 1 for i in order]
    across = [1 if i == dimension else taps.shape[i] for i in order]
    back = tuple(order.index(i) for i in range(taps.ndim))
    return (
        np.transpose(u.reshape(along), back),
        np.transpose(v.reshape(across), back),
    )


def _one_after_the_other(
    x: Value, along: Value, across: Value, dimension: int,
    w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str,
) -> Any:  # fmt: skip
    """(x ∗ along) ∗ across, the first being long in one dimension of the kernel only."""
    place = d.kernel_spatial.index(dimension)
    between = d._replace(
        output_batch=d.input_batch, output_feature=d.input_feature, output_spatial=d.input_spatial
    )
    first = convolution(x, along, _only(w, place), between, g, p, t)
    features = along.shape[d.kernel_output_feature]
    return convolution(first, across, _without(w, place), d, Groups(features, 1), p, t)


def _only(w: Window, place: int) -> Window:
    """The window along one spatial dimension, and of one place in the others."""
    for other in range(len(w.strides)):
        w = w if other == place else _without(w, other)
    return w


def _without(w: Window, place: int) -> Window:
    """The window along all spatial dimensions but one."""
    return Window(
        replaced(w.strides, place, 1),
        (*w.padding[:place], (0, 0), *w.padding[place + 1 :]),
        replaced(w.lhs_dilation, place, 1),
        replaced(w.rhs_dilation, place, 1),
        (*w.reversal[:place], False, *w.reversal[place + 1 :]),
    )


def _separable(rng: np.random.Generator, *, is_constant: bool) -> dict[str, Any]:
    """A depthwise convolution by a product of two kernels."""
    rank = int(rng.integers(2, 4))
    features, times = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    taps = tuple(int(n) for n in rng.integers(2, 4, rank))
    spatial = tuple(range(2, rank + 2))
    points = tuple(int(rng.integers(n, n + 4)) for n in taps)

    def numbers(low: int, high: int) -> tuple[int, ...]:
        return tuple(int(n) for n in rng.integers(low, high, rank))

    window = Window(
        numbers(1, 3),
        tuple(zip(numbers(0, 3), numbers(-1, 3), strict=True)),
        numbers(1, 3),
        numbers(1, 3),
        tuple(bool(n) for n in numbers(0, 2)),
    )
    drawn = {
        "x": TensorType((2, features, *points), "f64"),
        "w": window,
        "d": ConvDimensions(0, 1, spatial, 1, 0, spatial, 0, 1, spatial),
        "g": Groups(features, 1),
        "p": Precision(),
        "t": "f64",
    }
    whole = (features * times, 1, *taps)
    if is_constant:
        u = rng.integers(-3, 4, (whole[0], 1, taps[0], *(1,) * (rank - 1)))
        v = rng.integers(-3, 4, (whole[0], 1, 1, *taps[1:]))
        return drawn | {"k": Literal((u * v).astype(np.float64))}
    thin = TensorType((whole[0], taps[0]), "f64"), TensorType((whole[0], *taps[1:]), "f64")
    return drawn | {
        "u": thin[0], "r": whole, "e": (0, 2), "v": thin[1], "s": whole, "f": (0, *spatial[1:])
    }  # fmt: skip
