"""Reference meaning of factorisations and solves: textbook loops over columns, batches at once.

Values are computed in double precision and rounded once. Signs and row swaps are LAPACK's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saturax.graph.ops.linear_algebra import Triangle
from saturax.graph.reference.numbers import Array, widest


def _swapped(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)


def _substitute(a: Array, b: Array, is_lower: bool, is_unit: bool) -> Array:
    """The x with a·x = b for triangular a."""
    x = np.zeros_like(b)
    size = a.shape[-1]
    for i in range(size) if is_lower else range(size - 1, -1, -1):
        known = slice(0, i) if is_lower else slice(i + 1, size)
        rest = b[..., i, :] - (a[..., i, None, known] @ x[..., known, :])[..., 0, :]
        x[..., i, :] = rest if is_unit else rest / a[..., i, i, None]
    return x


def triangular_solve(attributes: Any, operands: Sequence[Array], result: np.dtype) -> Array:
    """Meaning of `triangular_solve`."""
    triangle = Triangle(*attributes[0])
    a, b = map(widest, operands)
    is_lower = triangle.is_lower
    if triangle.transpose != "NO_TRANSPOSE":
        a, is_lower = _swapped(a), not is_lower
    if triangle.transpose == "ADJOINT":
        a = a.conj()
    if triangle.is_left:
        return _substitute(a, b, is_lower, triangle.is_unit).astype(result)
    x = _substitute(_swapped(a), _swapped(b), not is_lower, triangle.is_unit)
    return _swapped(x).astype(result)


def _cholesky(x: Array) -> tuple[Array, Array]:
    """The lower factor of the Hermitian matrix in the lower triangle of x; 0, or where it fails."""
    factor, info = np.zeros_like(x), np.zeros(x.shape[:-2], np.int32)
    for j in range(x.shape[-1]):
        row = factor[..., j, None, :j]
        pivot = x[..., j, j].real - np.sum(np.abs(row[..., 0, :]) ** 2, -1)
        info = np.where((info == 0) & ~(pivot > 0), j + 1, info).astype(np.int32)
        root = np.sqrt(pivot)
        below = x[..., j + 1 :, j] - (factor[..., j + 1 :, :j] @ _swapped(row.conj()))[..., 0]
        factor[..., j, j] = root
        factor[..., j + 1 :, j] = below / root[..., None]
    return factor, info


def cholesky_call(attributes: Any, operands: Sequence[Array], results: Any) -> tuple[Array, Array]:
    """Meaning of `cholesky_call`."""
    x = widest(operands[0])
    factor, info = _cholesky(x)
    return (factor + np.triu(x, 1)).astype(results[0]), info


def cholesky(attributes: Any, operands: Sequence[Array], result: np.dtype) -> Array:
    """Meaning of `cholesky`."""
    factor, info = _cholesky(widest(operands[0]))
    return np.tril(np.where((info == 0)[..., None, None], factor, np.nan)).astype(result)


def _lu(x: Array) -> tuple[Array, Array, Array]:
    """LU in one matrix, row swaps from 0, and 0 or the number of the first pivot that is 0."""
    x = x.copy()
    count = min(x.shape[-2:])
    pivots = np.zeros((*x.shape[:-2], count), np.int32)
    info = np.zeros(x.shape[:-2], np.int32)
    for j in range(count):
        sizes = np.abs(x[..., j:, j].real) + np.abs(x[..., j:, j].imag)
        best = j + np.argmax(np.where(np.isnan(sizes), -1.0, sizes), -1)
        pivots[..., j] = best
        chosen = np.take_along_axis(x, best[..., None, None], -2)
        np.put_along_axis(x, best[..., None, None], x[..., j : j + 1, :].copy(), -2)
        x[..., j : j + 1, :] = chosen
        pivot = x[..., j, j, None]
        info = np.where((info == 0) & (pivot[..., 0] == 0), j + 1, info).astype(np.int32)
        x[..., j + 1 :, j] = np.where(pivot == 0, x[..., j + 1 :, j], x[..., j + 1 :, j] / pivot)
        x[..., j + 1 :, j + 1 :] -= x[..., j + 1 :, j, None] * x[..., j, None, j + 1 :]
    return x, pivots, info


def lu(attributes: Any, operands: Sequence[Array], results: Any) -> tuple[Array, Array, Array]:
    """Meaning of `lu`."""
    packed, pivots, info = _lu(widest(operands[0]))
    return packed.astype(results[0]), pivots + np.int32(1), info


def _permutation(pivots: Array, size: int) -> Array:
    rows = np.broadcast_to(np.arange(size, dtype=np.int32), (*pivots.shape[:-1], size)).copy()
    for j in range(pivots.shape[-1]):
        at = np.clip(pivots[..., j, None], 0, max(size - 1, 0))
        swapped = np.take_along_axis(rows, at, -1)
        np.put_along_axis(rows, at, rows[..., j, None].copy(), -1)
        rows[..., j, None] = swapped
    return rows


def lu_permutation(attributes: Any, operands: Sequence[Array], result: np.dtype) -> Array:
    """Meaning of `lu_permutation`."""
    return _permutation(operands[0], attributes[0])


def solve(attributes: Any, operands: Sequence[Array], result: np.dtype) -> Array:
    """Meaning of `solve`."""
    a, b = map(widest, operands)
    packed, pivots, _ = _lu(a)
    rows = np.take_along_axis(b, _permutation(pivots, a.shape[-1])[..., None], -2)
    half = _substitute(packed, rows, is_lower=True, is_unit=True)
    return _substitute(packed, half, is_lower=False, is_unit=False).astype(result)


def log_abs_determinant(attributes: Any, operands: Sequence[Array], result: np.dtype) -> Array:
    """Meaning of `log_abs_determinant`."""
    packed, _, _ = _lu(widest(operands[0]))
    diagonal = np.abs(np.diagonal(packed, axis1=-2, axis2=-1))
    total = np.log(diagonal).sum(-1)
    return np.where((diagonal == 0).any(-1), -np.inf, total).astype(result)


def determinant_sign(attributes: Any, operands: Sequence[Array], result: np.dtype) -> Array:
    """Meaning of `determinant_sign`."""
    packed, pivots, _ = _lu(widest(operands[0]))
    swaps = np.count_nonzero(pivots != np.arange(pivots.shape[-1]), -1)
    signs = np.sign(np.diagonal(packed, axis1=-2, axis2=-1)).prod(-1)
    turned: Array = (signs * (1 - 2 * (swaps % 2))).astype(result)
    return turned


def qr(attributes: Any, operands: Sequence[Array], results: Any) -> tuple[Array, Array]:
    """Meaning of `qr`: reflectors H = 1 - τ·v·vᴴ with v = (1, …), as LAPACK's geqrf has them."""
    x = widest(operands[0]).copy()
    count = min(x.shape[-2:])
    taus = np.zeros((*x.shape[:-2], count), x.dtype)
    for j in range(count):
        first, rest = x[..., j, j].copy(), x[..., j + 1 :, j].copy()
        tail = np.sum(np.abs(rest) ** 2, -1)
        norm = np.sqrt(np.abs(first) ** 2 + tail)
        beta = np.where(first.real > 0, -norm, norm)
        idle = (tail == 0) & (first.imag == 0)
        taus[..., j] = np.where(idle, 0, (beta - first) / np.where(idle, 1, beta))
        scale = np.where(idle, 1, first - beta)
        v = np.concatenate([np.ones_like(first)[..., None], rest / scale[..., None]], -1)
        block = x[..., j:, j:]
        block -= np.conj(taus[..., j, None, None]) * (
            v[..., :, None] * (v.conj()[..., None, :] @ block)
        )
        x[..., j + 1 :, j] = v[..., 1:]
    return x.astype(results[0]), taus.astype(results[1])


def householder_product(attributes: Any, operands: Sequence[Array], result: np.dtype) -> Array:
    """Meaning of `householder_product`: the first columns of H₁·H₂·…"""
    x, taus = map(widest, operands)
    rows, columns = x.shape[-2:]
    q = np.broadcast_to(np.eye(rows, columns, dtype=x.dtype), x.shape).copy()
    for j in range(taus.shape[-1] - 1, -1, -1):
        v = np.concatenate([np.ones_like(x[..., :1, j]), x[..., j + 1 :, j]], -1)
        block = q[..., j:, :]
        block -= taus[..., j, None, None] * (v[..., :, None] * (v.conj()[..., None, :] @ block))
    return q.astype(result)


def svd(attributes: Any, operands: Sequence[Array], results: Any) -> tuple[Array, ...]:
    """Meaning of `svd`; NaN where there is no answer, and for vectors that are not asked for."""
    job, x = attributes[0], widest(operands[0])
    good = np.asarray(np.isfinite(x).all((-1, -2)))
    safe = np.where(good[..., None, None], x, 0)
    left, values, right = np.linalg.svd(safe, full_matrices=job != "S")
    has_vectors = good[..., None, None] & (job != "N")
    found = (
        x,
        np.where(good[..., None], values, np.nan),
        np.where(has_vectors, left, np.nan),
        np.where(has_vectors, right, np.nan),
        np.where(good, 0, 1),
    )
    return tuple(value.astype(dtype) for value, dtype in zip(found, results, strict=True))


def eigh(attributes: Any, operands: Sequence[Array], results: Any) -> tuple[Array, Array, Array]:
    """Meaning of `eigh`; NaN where there is no answer."""
    is_lower, x = attributes[0], widest(operands[0])
    good = np.asarray(np.isfinite(x).all((-1, -2)))
    safe = np.where(good[..., None, None], x, 0)
    values, vectors = np.linalg.eigh(safe, "L" if is_lower else "U")
    vectors = np.where(good[..., None, None], vectors, np.nan).astype(results[0])
    info = np.where(good, 0, 1).astype(np.int32)
    return vectors, np.where(good[..., None], values, np.nan).astype(results[1]), info
