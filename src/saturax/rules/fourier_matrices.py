"""Products with the matrix of the discrete Fourier transform, where a constant is one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    constant,
    dot_general,
    fft,
    full,
    multiply,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.einsum import Einsum, einsum_of
from saturax.rules.facts import has_numbers
from saturax.rules.fourier import SOURCE
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to, without
from saturax.rules.rule import ROUNDING, Examples, Rule, need, rule

Array = np.ndarray[Any, Any]

LEAST_POINTS = 8
"""Shorter transforms are no faster than the product."""
_ROUNDINGS = 8
"""An element of the matrix may be this many units in the last place off: angles are rounded."""


def transform_of(matrix: Array, roundings: float) -> tuple[str, complex]:
    """The kind of transform that a square matrix does, and the factor beside it, or "".

    Its elements may be so many units in the last place off.
    """
    n, scale = matrix.shape[0], complex(matrix[0, 0])
    if scale == 0 or not np.isfinite(scale):
        return "", 0
    turns = np.outer(np.arange(n), np.arange(n)) % n
    forward = np.exp(-2j * np.pi / n * turns)
    allowed = roundings * float(np.finfo(matrix.dtype).eps)
    for kind, exact in (("FFT", forward), ("IFFT", forward.conj())):
        if np.max(np.abs(matrix.astype(np.complex128) / scale - exact)) <= allowed:
            return kind, scale if kind == "FFT" else scale * n
    return "", 0


@lru_cache(maxsize=64)
def _transform_by(c: Literal) -> tuple[str, complex]:
    return transform_of(c.array, _ROUNDINGS * np.sqrt(c.type.shape[0]))


def _example(is_left: bool) -> Examples:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        n, m = LEAST_POINTS + int(rng.integers(0, 3)), int(rng.integers(1, 4))
        turns = np.outer(np.arange(n), np.arange(n)) % n
        matrix = np.exp(rng.choice([-2j, 2j]) * np.pi / n * turns) * rng.choice([1.0, 0.5])
        own, place = (int(k) for k in rng.integers(0, 2, 2))
        x = TensorType((n, m) if place == 0 else (m, n), "complex<f64>")
        pair = ((own,), (place,)) if is_left else ((place,), (own,))
        d = DotDimensions((), (), *pair)
        return {"c": Literal(matrix), "x": x, "d": d, "t": "complex<f64>"}

    return draw


def _transformed(c: Literal, x: Value, labels: Einsum, t: str) -> Any:
    """The product of the matrix, whose dimensions `labels.x` names, with x."""
    need(is_complex(c.type.dtype) and c.type.dtype == x.dtype == t and has_numbers(x))
    need(c.type.rank == 2 and c.type.shape[0] == c.type.shape[1] >= LEAST_POINTS and x.size > 0)
    contracted = [label for label in labels.x if label in labels.y and label not in labels.result]
    need(len(contracted) == 1 and not c.is_splat)
    kind, scale = _transform_by(c)
    need(kind)
    return transformed(kind, scale, x, labels)


def transformed(kind: str, scale: complex, x: Value, labels: Einsum) -> Any:
    """The scaled transform of x along what it shares with the matrix, for a product's labels."""
    contracted = [label for label in labels.x if label in labels.y and label not in labels.result]
    axis = labels.y.index(contracted[0])
    (free,) = (label for label in labels.x if label != contracted[0])
    need(free not in labels.y)
    others = without(range(x.rank), (axis,))
    found = fft(transposed(x, (*others, axis)), kind, (x.shape[axis],))
    if scale != 1:
        found = multiply(found, full(scale, found.tensor))
    own = (*(labels.y[k] for k in others), free)
    return transposed(found, permutation_to(own, labels.result))


def _rule(*, is_left: bool) -> Rule:
    def left(c, x, d, p, t):
        return dot_general(*((constant(c), x) if is_left else (x, constant(c))), d, p, t)

    def right(c: Literal, x: Value, d: Any, p: Precision, t: str) -> Any:
        d = DotDimensions(*d)
        if is_left:
            return _transformed(c, x, einsum_of(d, c.type.rank, x.rank), t)
        labels = einsum_of(d, x.rank, c.type.rank)
        return _transformed(c, x, Einsum(labels.y, labels.x, labels.result), t)

    right.__name__ = "dot_with_fourier_matrix_" + ("left" if is_left else "right")
    product = "F · x" if is_left else "x · F"
    right.__doc__ = f"{product} = the Fourier transform of x, for the constant matrix of one"
    return rule(
        left, numerics=ROUNDING, source=SOURCE, uses_facts=True, examples=_example(is_left)
    )(right)


dot_with_fourier_matrix_left = _rule(is_left=True)
dot_with_fourier_matrix_right = _rule(is_left=False)
