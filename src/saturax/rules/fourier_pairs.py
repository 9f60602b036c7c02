"""Fourier transforms of transforms, of rolled tensors, of products and of weighted sums.

Letters as in `fourier`: k is the kind of a transform, n its lengths, which are those of the last
dimensions.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    concatenate,
    constant,
    convert,
    divide,
    fft,
    full_like,
    multiply,
    reshape,
    reverse,
    slice_,
    slice_dimension,
    transpose,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.rule import ROUNDING, need, rule

SOURCE = "definition of the discrete Fourier transform"
Lengths = tuple[int, ...]
COMPLEX = ("FFT", "IFFT")


def _conjugate(z: Any) -> Any:
    return binary("complex", unary("real", z), unary("negate", unary("imag", z)))


def _mirrored(x: Value, n: Lengths) -> Any:
    """x at index -i modulo n, for each index i of the last len(n) dimensions."""
    for d in range(x.rank - len(n), x.rank):
        if x.shape[d] > 2:
            rest = reverse(slice_dimension(x, d, 1, x.shape[d]), (d,))
            x = concatenate(slice_dimension(x, d, 0, 1), rest, d)
    return x


def _scaled(x: Value, k: str, n: Lengths) -> Any:
    """What two transforms of kind k multiply x by: n, or 1/n for inverse ones."""
    size = full_like(x, prod(n))
    return multiply(x, size) if k == "FFT" else divide(x, size)


def _of_two(rng: np.random.Generator) -> dict[str, Any]:
    """A transform of some last dimensions, with its kind and the other kind."""
    shape = tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 4)))
    count = int(rng.integers(1, len(shape) + 1))
    k, m = rng.permutation(COMPLEX).tolist()
    n = shape[len(shape) - count :]
    return {"x": TensorType(shape, "complex<f64>"), "k": k, "m": m, "n": n}


# Transforms of transforms.


@rule(
    lambda x, k, n: fft(fft(x, k, n), k, n),
    numerics=ROUNDING,
    source="F(F(x))ᵢ = n·x₋ᵢ",
    examples=lambda rng: {i: v for i, v in _of_two(rng).items() if i != "m"},
)
def transform_twice(x: Value, k: str, n: Lengths) -> Value:
    """F(F(x))[i] = n·x[-i mod n] and F⁻¹(F⁻¹(x))[i] = x[-i mod n] / n"""
    need(k in COMPLEX and 0 not in n)
    return _scaled(_mirrored(x, n), k, n)


@rule(
    lambda x, k, m, n: fft(_conjugate(fft(x, k, n)), m, n),
    numerics=ROUNDING,
    source="conj F(x) = n·F⁻¹(conj x)",
    examples=_of_two,
)
def transform_conjugate_of_transform(x: Value, k: str, m: str, n: Lengths) -> Value:
    """F(conj F(x)) = n·conj x and F⁻¹(conj F(x))[i] = conj x[-i mod n]; F⁻¹ inside alike"""
    need(k in COMPLEX and m in COMPLEX and 0 not in n)
    if k == m:
        return _scaled(_conjugate(x), k, n)
    return _conjugate(_mirrored(x, n))


@rule(
    lambda x, k, n, m, q: fft(fft(x, k, n), m, q),
    numerics=ROUNDING,
    source="a transform over two dimensions is one over each",
    examples=lambda rng: _plane(rng),
)
def undo_one_dimension_of_transform(x: Value, k: str, n: Lengths, m: str, q: Lengths) -> Value:
    """F⁻¹(F(x)) over the last of two dimensions = F(x) over the other alone"""
    need(k in COMPLEX and m in COMPLEX and k != m and 0 not in n)
    need(len(n) == 2 and len(q) == 1)
    last = x.rank - 1
    swap = (*range(last - 1), last, last - 1)
    return transpose(fft(transpose(x, swap), k, n[:1]), swap)


@rule(
    lambda x, k, n, p, m, q: fft(transpose(fft(x, k, n), p), m, q),
    numerics=ROUNDING,
    source="a transform over two dimensions is one over each",
    examples=lambda rng: _plane(rng) | {"p": (0, 2, 1)},
)
def undo_other_dimension_of_transform(
    x: Value, k: str, n: Lengths, p: Lengths, m: str, q: Lengths
) -> Value:
    """F⁻¹(F(x)) over the first of two dimensions = F(x) over the last alone, as transposed"""
    last = x.rank - 1
    need(k in COMPLEX and m in COMPLEX and k != m and 0 not in n)
    need(len(n) == 2 and len(q) == 1 and p == (*range(last - 1), last, last - 1))
    return transpose(fft(x, k, n[1:]), p)


def _plane(rng: np.random.Generator) -> dict[str, Any]:
    shape = tuple(int(n) for n in rng.integers(1, 5, 3))
    k, m = rng.permutation(COMPLEX).tolist()
    x = TensorType(shape, "complex<f64>")
    return {"x": x, "k": k, "m": m, "n": shape[1:], "q": shape[int(rng.integers(1, 3)) :][:1]}


# What shifts do not change.


@rule(
    lambda x, a, b, s, c, e, t, d, k, n: unary(
        "abs", fft(concatenate(slice_(x, a, b, s), slice_(x, c, e, t), d), k, n)
    ),
    numerics=ROUNDING,
    source="shift theorem",
    examples=lambda rng: _rolled(rng),
)
def modulus_of_transform_of_rolled(
    x: Value, a: Any, b: Any, s: Any, c: Any, e: Any, t: Any, d: int, k: str, n: Lengths
) -> Value:
    """|F([x[m:], x[:m]])| = |F(x)| along a transformed dimension"""
    need(k != "IRFFT" and d >= x.rank - len(n))
    whole = [i for i in range(x.rank) if i != d]
    need(all(a[i] == c[i] == 0 and b[i] == e[i] == x.shape[i] for i in whole))
    need(set(s) | set(t) == {1} and (a[d], b[d]) == (e[d], x.shape[d]) and c[d] == 0)
    return unary("abs", fft(x, k, n))


def _rolled(rng: np.random.Generator) -> dict[str, Any]:
    k = str(rng.choice(["FFT", "IFFT", "RFFT"]))
    shape = tuple(int(n) for n in rng.integers(2, 6, 2))
    n = shape[int(rng.integers(0, 2)) :]
    d = int(rng.integers(2 - len(n), 2))
    m, one, zeros = int(rng.integers(1, shape[d])), (1, 1), [0, 0]
    start, end = list(zeros), list(shape)
    start[d] = end[d] = m
    x = TensorType(shape, "f64" if k == "RFFT" else "complex<f64>")
    later = {"a": tuple(start), "b": shape, "s": one}
    return {"x": x, "d": d, "k": k, "n": n, "c": (0, 0), "e": tuple(end), "t": one, **later}


# Products and weighted sums.


@rule(
    lambda x, y, s, d, e, k, n: fft(
        multiply(broadcast_in_dim(x, s, d), broadcast_in_dim(y, s, e)), k, n
    ),
    numerics=ROUNDING,
    source="a transform over two dimensions is one over each",
    examples=lambda rng: _outer(rng),
)
def transform_of_outer_product(
    x: Value, y: Value, s: Lengths, d: Lengths, e: Lengths, k: str, n: Lengths
) -> Value:
    """F(x ⊗ y) = F(x) ⊗ F(y) over two dimensions, of which each factor has one"""
    rank = len(s)
    need(len(n) == 2 and k in ("FFT", "IFFT", "RFFT") and 0 not in n)
    first, second = rank - 2, rank - 1
    need(_varies(x, s, d) <= {*range(first), first})
    need(_varies(y, s, e) <= {*range(first), second})
    rows = _line(x, s, d, first)
    columns = _line(y, s, e, second)
    inner = fft(columns, k, n[1:])
    outer = fft(convert(rows, inner.dtype), "IFFT" if k == "IFFT" else "FFT", n[:1])
    shape = (*s[:second], inner.shape[-1])
    kept = [i for i in d if i < first], [i for i in e if i < first]
    return multiply(
        broadcast_in_dim(outer, shape, (*kept[0], first)),
        broadcast_in_dim(inner, shape, (*kept[1], second)),
    )


def _varies(x: Value, s: Lengths, d: Lengths) -> set[int]:
    """The dimensions of the broadcast along which x is not repeated."""
    return {i for i, size in zip(d, x.shape, strict=True) if size > 1 or s[i] == 1}


def _line(x: Value, s: Lengths, d: Lengths, along: int) -> Value:
    """x with its batch dimensions and the transformed one, `along`, last; others have size 1."""
    need(along in d and list(d) == sorted(d))
    kept = [j for j, i in enumerate(d) if i < len(s) - 2 or i == along]
    need(x.shape[d.index(along)] == s[along])
    return reshape(x, tuple(x.shape[j] for j in kept))


def _outer(rng: np.random.Generator) -> dict[str, Any]:
    k = str(rng.choice(["FFT", "IFFT", "RFFT"]))
    s = tuple(int(n) for n in rng.integers(2, 5, 3))
    dtype = "f64" if k == "RFFT" else "complex<f64>"
    d, e = ((0, 1), (0, 2)) if rng.random() < 0.5 else ((1,), (0, 2))
    x, y = (TensorType(tuple(s[i] for i in dims), dtype) for dims in (d, e))
    return {"x": x, "y": y, "s": s, "d": d, "e": e, "k": k, "n": s[1:]}


@rule(
    lambda f, x, c, y, k, n: binary(f, multiply(fft(x, k, n), constant(c)), fft(y, k, n)),
    numerics=ROUNDING,
    source="the transform is linear",
    examples=lambda rng: _weighted(rng),
)
def add_to_scaled_before_transform(
    f: str, x: Value, c: Literal, y: Value, k: str, n: Lengths
) -> Value:
    """c·F(x) ± F(y) = F(c·x ± y) for a real number c"""
    need(f in ("add", "subtract") and x.type == y.type)
    return fft(binary(f, _weigh(x, c), y), k, n)


@rule(
    lambda f, x, c, y, e, k, n: binary(
        f, multiply(fft(x, k, n), constant(c)), multiply(fft(y, k, n), constant(e))
    ),
    numerics=ROUNDING,
    source="the transform is linear",
    examples=lambda rng: _weighted(rng),
)
def add_scaled_before_transform(
    f: str, x: Value, c: Literal, y: Value, e: Literal, k: str, n: Lengths
) -> Value:
    """c·F(x) ± e·F(y) = F(c·x ± e·y) for real numbers c and e"""
    need(f in ("add", "subtract") and x.type == y.type)
    return fft(binary(f, _weigh(x, c), _weigh(y, e)), k, n)


def _weigh(x: Value, c: Literal) -> Any:
    """x times the real number that all elements of c are."""
    need(c.is_splat and complex(c.value).imag == 0)
    return multiply(x, full_like(x, complex(c.value).real))


def _weighted(rng: np.random.Generator) -> dict[str, Any]:
    k = str(rng.choice(["FFT", "IFFT", "RFFT", "IRFFT"]))
    n = int(rng.integers(2, 6))
    half = n // 2 + 1
    x = TensorType((2, half if k == "IRFFT" else n), "f64" if k == "RFFT" else "complex<f64>")
    result = (2, half if k == "RFFT" else n)
    dtype = np.float64 if k == "IRFFT" else np.complex128
    c, e = (Literal(np.asarray(v, dtype), result) for v in rng.normal(2.0, 1.0, 2))
    return {"x": x, "y": x, "c": c, "e": e, "k": k, "n": (n,), "f": "add"}
