"""Discrete Fourier transforms over the last dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, prod
from typing import Any

from saturax.graph.build import make
from saturax.graph.operation import expect, register
from saturax.graph.types import TensorType, Type, is_complex

KINDS = ("FFT", "IFFT", "RFFT", "IRFFT")
"""StableHLO's types of transforms."""

_COMPLEX = {"f32": "complex<f32>", "f64": "complex<f64>"}
_REAL = {complex_: real for real, complex_ in _COMPLEX.items()}


def _infer_fft(attributes: Any, operands: Sequence[Any]) -> Type:
    (kind, length), (x,) = attributes, operands
    count = len(length)
    fits = isinstance(x, TensorType) and kind in KINDS and 1 <= count <= min(x.rank, 3)
    expect(fits, "fft", "{} of {} with lengths {}", kind, x, length)
    fits = x.dtype in _COMPLEX if kind == "RFFT" else is_complex(x.dtype)
    wanted = list(length)
    if kind == "IRFFT" and length[-1] != 0:
        wanted[-1] = length[-1] // 2 + 1
    expect(fits and x.shape[-count:] == tuple(wanted), "fft", "{} of {} with {}", kind, x, length)
    if kind == "IRFFT":
        return TensorType((*x.shape[:-1], length[-1]), _REAL[x.dtype])
    if kind == "RFFT":
        half = length[-1] // 2 + 1 if length[-1] else 0
        return TensorType((*x.shape[:-1], half), _COMPLEX[x.dtype])
    same: Type = x
    return same


def _fft_flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    """5·n·log₂ n a complex transform, as benchmarks of them count; half for a real one."""
    kind, length = attributes
    points = max(int(operands[0].size), int(result.size))
    whole = 2.5 if kind in ("RFFT", "IRFFT") else 5.0
    return int(whole * points * log2(max(2, prod(length))))


register("fft", ("kind", "length"), _infer_fft, "heavy", _fft_flops)


def fft(x: Any, kind: Any, length: Any) -> Any:
    """The transform of x over its last `len(length)` dimensions, StableHLO's `fft`.

    `kind` is "FFT", "IFFT" (divided by the number of points), "RFFT" (of real numbers; the last
    dimension keeps n/2 + 1 of n frequencies) or "IRFFT" (its inverse).
    """
    return make("fft", x, attributes=(kind, length))
