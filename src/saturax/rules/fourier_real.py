"""Fourier transforms of real tensors take half the work of complex ones.

Letters as in `fourier`: n are the lengths of a transform, t is a type; R is the real transform.
"""

from __future__ import annotations

from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    concatenate,
    convert,
    fft,
    multiply,
    reverse,
    slice_,
    slice_dimension,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.rule import ROUNDING, need, rule

Lengths = tuple[int, ...]


def _half(n: int) -> int:
    """Frequencies that a real transform of n points keeps."""
    return n // 2 + 1


@rule(
    lambda x, t, n, a, b, c: slice_(fft(convert(x, t), "FFT", n), a, b, c),
    numerics=ROUNDING,
    source="F(x)₋ₖ = conj F(x)ₖ for real x",
)
def transform_half_of_real(
    x: Value, t: str, n: Lengths, a: Lengths, b: Lengths, c: Lengths
) -> Value:
    """F(x)[a:b:c] = R(x)[a:b:c], R the transform of real x, if at most n/2 + 1 of n are kept"""
    need(x.dtype in ("f32", "f64") and b[-1] <= _half(n[-1]))
    half = fft(x, "RFFT", n)
    need(half.dtype == t)
    return slice_(half, a, b, c)


@rule(
    lambda x, t, n: fft(convert(x, t), "FFT", n),
    numerics=ROUNDING,
    source="F(x)₋ₖ = conj F(x)ₖ for real x",
)
def transform_real_by_half(x: Value, t: str, n: Lengths) -> Value:
    """F(x) = [R, conj(reverse(R)), without the first and the middle], R the transform of real x"""
    need(x.dtype in ("f32", "f64") and len(n) == 1 and n[0] > 2)
    half, last = fft(x, "RFFT", n), x.rank - 1
    need(half.dtype == t)
    mirrored = reverse(slice_dimension(half, last, 1, (n[0] + 1) // 2), (last,))
    parts = unary("real", mirrored), unary("negate", unary("imag", mirrored))
    return concatenate(half, binary("complex", *parts), last)


@rule(
    lambda x, y, t, n: fft(
        multiply(fft(convert(x, t), "FFT", n), fft(convert(y, t), "FFT", n)), "IFFT", n
    ),
    numerics=ROUNDING,
    source="the convolution of real tensors is real",
    examples=lambda rng: _two_reals(rng),
)
def convolve_reals(x: Value, y: Value, t: str, n: Lengths) -> Value:
    """F⁻¹(F(x)·F(y)) = R⁻¹(R(x)·R(y)) for real x and y, R being the transform of real tensors"""
    need(x.type == y.type and x.dtype in ("f32", "f64") and 0 not in n)
    halves = fft(x, "RFFT", n), fft(y, "RFFT", n)
    need(halves[0].dtype == t)
    return convert(fft(multiply(*halves), "IRFFT", n), t)


def _two_reals(rng: Any) -> dict[str, Any]:
    shape = tuple(int(rng.integers(1, 6)) for _ in range(rng.integers(1, 4)))
    count = int(rng.integers(1, len(shape) + 1))
    x = TensorType(shape, "f32")
    return {"x": x, "y": x, "t": "complex<f32>", "n": shape[len(shape) - count :]}


@rule(
    lambda x, y, t, n, m, s, d: fft(
        multiply(
            fft(convert(x, t), "FFT", n),
            broadcast_in_dim(fft(convert(y, t), "FFT", m), s, d),
        ),
        "IFFT",
        n,
    ),
    numerics=ROUNDING,
    source="the convolution of real tensors is real",
    examples=lambda rng: _real_and_kernel(rng),
)
def convolve_reals_with_one(
    x: Value, y: Value, t: str, n: Lengths, m: Lengths, s: Lengths, d: Lengths
) -> Value:
    """F⁻¹(F(x)·F(y)) = R⁻¹(R(x)·R(y)) for real x and one real y for all of the batch"""
    need(x.dtype == y.dtype and x.dtype in ("f32", "f64") and 0 not in n and n == m)
    count = len(n)
    need(d[len(d) - count :] == tuple(range(x.rank - count, x.rank)))
    half = fft(x, "RFFT", n)
    need(half.dtype == t)
    kernel = broadcast_in_dim(fft(y, "RFFT", n), (*s[:-1], half.shape[-1]), d)
    return convert(fft(multiply(half, kernel), "IRFFT", n), t)


def _real_and_kernel(rng: Any) -> dict[str, Any]:
    batch, n = int(rng.integers(1, 4)), int(rng.integers(1, 6))
    common = {"t": "complex<f32>", "n": (n,), "m": (n,), "s": (batch, n), "d": (1,)}
    return common | {"x": TensorType((batch, n), "f32"), "y": TensorType((n,), "f32")}
