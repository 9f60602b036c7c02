"""Fourier transforms: pairs cancel, sums and factors move out, single frequencies are sums.

Letters: k is the kind of a transform ("FFT", …), n its lengths (it runs over the last `len(n)`
dimensions; those before are its batch), t a type.
"""

from __future__ import annotations

from math import prod
from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    concatenate,
    convert,
    fft,
    full,
    full_like,
    multiply,
    pad,
    reduce_,
    reshape,
    slice_,
    slice_dimension,
    transpose,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.facts import splat_of
from saturax.rules.rule import FINITE, ROUNDING, need, rule

SOURCE = "definition of the discrete Fourier transform"
Lengths = tuple[int, ...]


def _batch(x: Value, n: Lengths) -> int:
    """How many dimensions of x come before those that are transformed."""
    return x.rank - len(n)


# Pairs.


@rule(lambda x, n: fft(fft(x, "FFT", n), "IFFT", n), numerics=ROUNDING, source=SOURCE)
def cancel_transform_and_inverse(x: Value, n: Lengths) -> Value:
    """F⁻¹(F(x)) = x"""
    need(0 not in n)
    return x


@rule(lambda x, n: fft(fft(x, "IFFT", n), "FFT", n), numerics=ROUNDING, source=SOURCE)
def cancel_inverse_and_transform(x: Value, n: Lengths) -> Value:
    """F(F⁻¹(x)) = x"""
    need(0 not in n)
    return x


@rule(lambda x, n: fft(fft(x, "RFFT", n), "IRFFT", n), numerics=ROUNDING, source=SOURCE)
def cancel_real_transform_and_inverse(x: Value, n: Lengths) -> Value:
    """F⁻¹(F(x)) = x for real x, at the same lengths"""
    need(0 not in n)
    return x


@rule(
    lambda x, k, m, p, n, q: transpose(fft(transpose(fft(x, k, m), p), k, n), q),
    numerics=ROUNDING,
    source="a transform over two dimensions is one over each",
    examples=lambda rng: _two_dimensions(rng),
)
def transform_two_dimensions(
    x: Value, k: str, m: Lengths, p: Lengths, n: Lengths, q: Lengths
) -> Value:
    """Transforms over the last and then the second last dimension = one over both"""
    last = x.rank - 1
    swap = (*range(last - 1), last, last - 1)
    need(k in ("FFT", "IFFT") and len(m) == len(n) == 1 and p == q == swap)
    return fft(x, k, n + m)


@rule(
    lambda x, p, k, m, q, n: fft(transpose(fft(transpose(x, p), k, m), q), k, n),
    numerics=ROUNDING,
    source="a transform over two dimensions is one over each",
    examples=lambda rng: _two_dimensions(rng),
)
def transform_two_dimensions_in_turn(
    x: Value, p: Lengths, k: str, m: Lengths, q: Lengths, n: Lengths
) -> Value:
    """Transforms over the second last and then the last dimension = one over both"""
    last = x.rank - 1
    swap = (*range(last - 1), last, last - 1)
    need(k in ("FFT", "IFFT") and len(m) == len(n) == 1 and p == q == swap)
    return fft(x, k, m + n)


def _two_dimensions(rng: Any) -> dict[str, Any]:
    batch, n, m = (int(rng.integers(1, 5)) for _ in range(3))
    swap = (0, 2, 1)
    x = TensorType((batch, n, m), "complex<f32>")
    kind = str(rng.choice(["FFT", "IFFT"]))
    return {"x": x, "k": kind, "m": (m,), "n": (n,), "p": swap, "q": swap}


@rule(lambda x, k, n: fft(x, k, n), numerics=ROUNDING, source=SOURCE)
def drop_transform_of_one_point(x: Value, k: str, n: Lengths) -> Value:
    """F(x) = x if each transformed dimension has one element"""
    need(prod(n) == 1)
    if k == "RFFT":
        return convert(x, fft(x, k, n).dtype)
    return unary("real", x) if k == "IRFFT" else x


# Linearity.


@rule(lambda f, x, y, k, n: binary(f, fft(x, k, n), fft(y, k, n)), numerics=ROUNDING, source=SOURCE)
def transform_sum_once(f: str, x: Value, y: Value, k: str, n: Lengths) -> Value:
    """F(x) ± F(y) = F(x ± y)"""
    need(f in ("add", "subtract") and x.type == y.type)
    return fft(binary(f, x, y), k, n)


@rule(lambda x, k, n: fft(unary("negate", x), k, n), numerics=ROUNDING, source=SOURCE)
def negate_after_transform(x: Value, k: str, n: Lengths) -> Value:
    """F(-x) = -F(x)"""
    return unary("negate", fft(x, k, n))


@rule(
    lambda f, x, c, k, n: fft(binary(f, x, c), k, n),
    numerics=ROUNDING,
    source=SOURCE,
    uses_facts=True,
)
def scale_after_transform(f: str, x: Value, c: Value, k: str, n: Lengths) -> Value:
    """F(c·x) = c·F(x) and F(x/c) = F(x)/c if all elements of c are one real number"""
    value = splat_of(c)
    need(f in ("multiply", "divide") and value is not None and complex(value).imag == 0)
    result = fft(x, k, n)
    return binary(f, result, full(complex(value).real, result.type))


@rule(
    lambda f, x, s, t, d, k, n: fft(binary(f, x, broadcast_in_dim(s, t, d)), k, n),
    numerics=ROUNDING,
    source=SOURCE,
)
def scale_batch_after_transform(
    f: str, x: Value, s: Value, t: Lengths, d: Lengths, k: str, n: Lengths
) -> Value:
    """F(s·x) = s·F(x) and F(x/s) = F(x)/s if s does not vary along transformed dimensions"""
    need(f in ("multiply", "divide") and k in ("FFT", "IFFT", "RFFT"))
    varying = [i for i, size in zip(d, s.shape, strict=True) if size > 1]
    need(all(i < _batch(x, n) for i in varying) and s.size > 0)
    kept = [j for j, i in enumerate(d) if i in varying]
    line = reshape(s, tuple(s.shape[j] for j in kept))
    result = fft(x, k, n)
    factor = broadcast_in_dim(convert(line, result.dtype), result.shape, varying)
    return binary(f, result, factor)


# What does not touch the transformed dimensions.


@rule(lambda x, p, k, n: fft(transpose(x, p), k, n), numerics=ROUNDING, source=SOURCE)
def transpose_after_transform(x: Value, p: Lengths, k: str, n: Lengths) -> Value:
    """F(xᵖ) = F(x)ᵖ if p moves batch dimensions only"""
    batch = _batch(x, n)
    need(p[batch:] == tuple(range(batch, x.rank)))
    return transpose(fft(x, k, n), p)


@rule(lambda x, s, k, n: fft(reshape(x, s), k, n), numerics=ROUNDING, source=SOURCE)
def reshape_after_transform(x: Value, s: Lengths, k: str, n: Lengths) -> Value:
    """F(reshape(x)) = reshape(F(x)) if only batch dimensions change"""
    count = len(n)
    need(x.rank >= count and x.shape[x.rank - count :] == s[len(s) - count :])
    need(x.size > 0)
    result = fft(x, k, n)
    return reshape(result, (*s[: len(s) - count], *result.shape[x.rank - count :]))


@rule(lambda x, s, d, k, n: fft(broadcast_in_dim(x, s, d), k, n), numerics=ROUNDING, source=SOURCE)
def repeat_after_transform(x: Value, s: Lengths, d: Lengths, k: str, n: Lengths) -> Value:
    """F(broadcast(x)) = broadcast(F(x)) if only batch dimensions are repeated"""
    rank, count = len(s), len(n)
    last = tuple(range(rank - count, rank))
    need(len(d) >= count and d[len(d) - count :] == last)
    need(x.shape[x.rank - count :] == s[rank - count :])
    result = fft(x, k, n)
    shape = (*s[: rank - count], *result.shape[x.rank - count :])
    return broadcast_in_dim(result, shape, d)


@rule(lambda x, k, n, a, b, c: slice_(fft(x, k, n), a, b, c), numerics=ROUNDING, source=SOURCE)
def transform_slice_of_batch(
    x: Value, k: str, n: Lengths, a: Lengths, b: Lengths, c: Lengths
) -> Value:
    """F(x)[a:b:c] = F(x[a:b:c]) along batch dimensions"""
    batch = _batch(x, n)
    need(any(a[i] or b[i] < x.shape[i] or c[i] > 1 for i in range(batch)))
    rest = range(batch, x.rank)
    bounds = (
        tuple(a[:batch]) + (0,) * len(rest),
        tuple(b[:batch]) + x.shape[batch:],
        tuple(c[:batch]) + (1,) * len(rest),
    )
    inner = fft(slice_(x, *bounds), k, n)
    return slice_(
        inner,
        (0,) * batch + tuple(a[batch:]),
        inner.shape[:batch] + tuple(b[batch:]),
        (1,) * batch + tuple(c[batch:]),
    )


@rule(
    lambda x, y, k, n, d: concatenate(fft(x, k, n), fft(y, k, n), d),
    numerics=ROUNDING,
    source=SOURCE,
)
def transform_batches_together(x: Value, y: Value, k: str, n: Lengths, d: int) -> Value:
    """[F(x), F(y)] = F([x, y]) along a batch dimension"""
    need(d < _batch(x, n) and x.rank == y.rank)
    return fft(concatenate(x, y, d), k, n)


# Single frequencies and sums of all.


@rule(
    lambda x, k, n, a, b, c: slice_(fft(x, k, n), a, b, c),
    numerics=ROUNDING,
    source="F(x)₀ = Σ x",
)
def first_frequency_as_sum(
    x: Value, k: str, n: Lengths, a: Lengths, b: Lengths, c: Lengths
) -> Value:
    """F(x)[0] = Σ x, over all transformed dimensions; R(x)[0] for real x"""
    batch, result = _batch(x, n), fft(x, k, n)
    need(k in ("FFT", "RFFT") and 0 not in n)
    need(all(low == 0 and high == 1 for low, high in zip(a[batch:], b[batch:], strict=True)))
    total = convert(reduce_("add", x, range(batch, x.rank)), result.dtype)
    ones = (1,) * len(n)
    kept = slice_(total, a[:batch], b[:batch], c[:batch])
    return reshape(kept, kept.shape + ones)


@rule(
    lambda x, n, e: reduce_(
        "add", multiply(unary("abs", fft(x, "FFT", n)), unary("abs", fft(x, "FFT", n))), e
    ),
    numerics=ROUNDING,
    source="Parseval's theorem",
    examples=lambda rng: _parseval(rng),
)
def energy_before_transform(x: Value, n: Lengths, e: Lengths) -> Value:
    """Σ|F(x)|² = n·Σ|x|² over all transformed dimensions (and others)"""
    need(set(range(_batch(x, n), x.rank)) <= set(e))
    size = unary("abs", x)
    total = reduce_("add", multiply(size, size), e)
    return multiply(total, full_like(total, prod(n)))


def _parseval(rng: Any) -> dict[str, Any]:
    shape = tuple(int(rng.integers(1, 5)) for _ in range(rng.integers(1, 4)))
    count = int(rng.integers(1, len(shape) + 1))
    first = int(rng.integers(0, len(shape) - count + 1))
    return {
        "x": TensorType(shape, "complex<f64>"),
        "n": shape[len(shape) - count :],
        "e": tuple(range(first, len(shape))),
    }


# What a transform has at frequency 0, and its conjugate.


@rule(
    lambda x, k, n, a, b, c: slice_(fft(x, k, n), a, b, c),
    numerics=ROUNDING,
    source="F(x)₀ = Σx",
    examples=lambda rng: _first_frequency(rng),
)
def transform_at_zero(x: Value, k: str, n: Lengths, a: Any, b: Any, c: Any) -> Value | None:
    """F(x)[0] = Σx and F⁻¹(x)[0] = Σx / n, along one dimension"""
    last = x.rank - 1
    need(k in ("FFT", "IFFT", "RFFT") and len(n) == 1 and n[0] > 1 and b[last] == 1)
    need(a[last] == 0)
    part = slice_(x, a, (*b[:last], x.shape[last]), (*c[:last], 1))
    total = reduce_("add", part, (last,))
    if k == "IFFT":
        total = multiply(total, full_like(total, 1 / n[0]))
    if k == "RFFT":
        total = binary("complex", total, full_like(total, 0))
    return reshape(total, (*total.shape, 1))


def _first_frequency(rng: Any) -> dict[str, Any]:
    m, n = int(rng.integers(1, 4)), int(rng.integers(2, 6))
    k = str(rng.choice(["FFT", "IFFT", "RFFT"]))
    x = TensorType((m, n), "f64" if k == "RFFT" else "complex<f64>")
    return {"x": x, "k": k, "n": (n,), "a": (0, 0), "b": (m, 1), "c": (1, 1)}


@rule(
    lambda x, s, m, k, n: fft(broadcast_in_dim(x, s, m), k, n),
    numerics=FINITE,  # nothing of x is left at the other frequencies
    source="F(1) = (n, 0, 0, …)",
    examples=lambda rng: (
        {"x": TensorType((2,), "complex<f64>"), "s": (2, 3), "m": (0,), "n": (3,)}
        | {"k": str(rng.choice(["FFT", "IFFT"]))}
    ),
)
def transform_of_repeated(x: Value, s: Lengths, m: Lengths, k: str, n: Lengths) -> Value | None:
    """F(bcast x) = n·x at frequency 0, else 0, and F⁻¹(bcast x) = x there, along one dimension"""
    last = len(s) - 1
    need(k in ("FFT", "IFFT") and len(n) == 1 and n[0] > 1)
    need(last not in m and x.size > 0)
    line = broadcast_in_dim(x, (*s[:last], 1), m)
    if k == "FFT":
        line = multiply(line, full_like(line, n[0]))
    none = (0,) * len(s)
    return pad(line, full(0, TensorType((), line.dtype)), none, (*none[:last], n[0] - 1), none)


@rule(
    lambda x, k, n, d: reduce_("add", fft(x, k, n), d),
    numerics=ROUNDING,
    source="the sum of all frequencies is the first point",
    examples=lambda rng: {
        "x": TensorType((2, 3), "complex<f64>"),
        "k": str(rng.choice(["FFT", "IFFT"])),
        "n": (3,),
        "d": (1,),
    },
)
def sum_of_transform(x: Value, k: str, n: Lengths, d: Any) -> Value | None:
    """ΣF(x) = n·x[0] and ΣF⁻¹(x) = x[0], along one dimension"""
    last = x.rank - 1
    need(k in ("FFT", "IFFT") and len(n) == 1 and n[0] > 0 and last in d)
    first = reshape(slice_dimension(x, last, 0, 1), x.shape[:last])
    if k == "FFT":
        first = multiply(first, full_like(first, n[0]))
    return reduce_("add", first, [i for i in d if i != last])


def _conjugate(z: Any) -> Any:
    return binary("complex", unary("real", z), unary("negate", unary("imag", z)))


@rule(
    lambda x, k, n: _conjugate(fft(_conjugate(x), k, n)),
    numerics=ROUNDING,
    source="conjugation exchanges the transforms",
    examples=lambda rng: {
        "x": TensorType((2, 3), "complex<f64>"),
        "k": str(rng.choice(["FFT", "IFFT"])),
        "n": (3,),
    },
)
def transform_of_conjugate(x: Value, k: str, n: Lengths) -> Value | None:
    """conj F(conj x) = n·F⁻¹(x), and F(x) / n the other way round"""
    need(k in ("FFT", "IFFT") and prod(n) > 0)
    result = fft(x, "IFFT" if k == "FFT" else "FFT", n)
    return multiply(result, full_like(result, prod(n) if k == "FFT" else 1 / prod(n)))
