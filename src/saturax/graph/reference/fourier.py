"""Reference meaning of Fourier transforms, by numpy in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.reference.numbers import Array, widest

_TRANSFORMS: dict[str, Any] = {
    "FFT": np.fft.fftn,
    "IFFT": np.fft.ifftn,
    "RFFT": np.fft.rfftn,
    "IRFFT": np.fft.irfftn,
}


def fft(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `fft`."""
    kind, length = attributes
    (x,) = operands
    axes = tuple(range(x.ndim - len(length), x.ndim))
    if 0 in x.shape or 0 in length:
        shape = list(x.shape)
        half = length[-1] // 2 + 1 if length[-1] else 0
        shape[-1] = {"RFFT": half, "IRFFT": length[-1]}.get(kind, shape[-1])
        return np.zeros(shape, result)
    transformed = _TRANSFORMS[kind](widest(x), s=length, axes=axes)
    return np.asarray(transformed).astype(result)
