"""Special functions in double precision that numpy does not have."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from saturax.graph.reference.numbers import Array


def _vectorised(f: Callable[[float], float]) -> Callable[[Array], Array]:
    function = np.frompyfunc(f, 1, 1)
    return lambda x: np.asarray(function(x)).astype(np.float64)


def _lgamma(x: float) -> float:
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    try:
        return math.lgamma(x)
    except OverflowError:
        return math.inf


erf = _vectorised(math.erf)
erfc = _vectorised(math.erfc)
lgamma = _vectorised(_lgamma)


def erf_inv(x: Array) -> Array:
    """The inverse of erf: NaN outside [-1, 1], ±∞ at ±1."""
    inside = np.abs(x) < 1
    target = np.where(inside, x, 0.0)
    # Winitzki's approximation (relative error 2e-3), then Halley's method: cubic convergence.
    a = 0.147
    log = np.log1p(-target * target)
    half = 2 / (math.pi * a) + log / 2
    y = np.copysign(np.sqrt(np.sqrt(half * half - log / a) - half), target)
    for _ in range(3):
        # Near ±1 the residual is taken from erfc, where erf has no digits left.
        tail = np.sign(target) * (1 - np.abs(target) - erfc(np.abs(y)))
        residual = np.where(np.abs(target) < 0.5, erf(y) - target, tail)
        step = residual * (math.sqrt(math.pi) / 2) * np.exp(y * y)
        y = y - step / (1 + y * step)
    outside = np.where(np.abs(x) == 1, np.copysign(np.inf, x), np.nan)
    return np.where(inside, np.where(target == 0, target, y), outside)


def digamma(x: Array) -> Array:
    """The derivative of log Γ; NaN at the poles."""
    # Reflection: ψ(1 - x) - ψ(x) = π / tan(πx).
    reflected = x < 0.5
    y = np.where(reflected, 1 - x, x)
    result = np.zeros_like(y)
    for _ in range(8):
        # Recurrence: ψ(y) = ψ(y + 1) - 1/y, up to where the asymptotic series converges.
        small = y < 8
        result = np.where(small, result - 1 / y, result)
        y = np.where(small, y + 1, y)
    inverse = 1 / (y * y)
    series = np.zeros_like(y)
    # B₂ₖ / 2k for k = 7 … 1.
    for coefficient in (1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12):
        series = inverse * (coefficient + series)
    result = result + np.log(y) - 0.5 / y - series
    reflection = math.pi / np.tan(math.pi * (x - np.floor(x)))
    result = np.where(reflected, result - reflection, result)
    pole = (x <= 0) & (x == np.floor(x))
    return np.where(pole, np.nan, np.where(x == np.inf, np.inf, result))
