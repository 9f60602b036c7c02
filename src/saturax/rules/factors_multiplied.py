"""Factors of a matrix multiplied back: Q·R, V·Λ·Vᵀ and L·Lᵀ are the matrix that was factored.

Sums of eigenvalues are sums of elements of the matrix.

Letters as in `linear_algebra`: a is the matrix, r the routine, d and p dimension numbers and
precision of a product, e its element type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.facts.bands import fitting_band
from saturax.facts.model import Band
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    DotDimensions,
    Routine,
    broadcast_in_dim,
    cholesky,
    compare,
    constant,
    determinant_sign,
    dot_general,
    eigh,
    full,
    get_result,
    householder_product,
    iota,
    log_abs_determinant,
    multiply,
    qr,
    reduce_,
    select,
    slice_dimension,
    transpose,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS, is_all
from saturax.rules.factors import diagonal_of, identity_matrices
from saturax.rules.facts import facts_of
from saturax.rules.rule import FINITE, ROUNDING, need, rule
from saturax.rules.solving import swap

LAPACK = Routine("lapack", True)


def _matrix_product(rank: int, of_right: int) -> DotDimensions:
    """Rows of the left operand times what runs along the dimension `of_right` of the right one."""
    batch = tuple(range(rank - 2))
    return DotDimensions(batch, batch, (rank - 1,), (of_right,))


def _is_below_diagonal(mask: Value) -> bool:
    """Whether a mask holds just where the row's number is greater than the column's."""
    known, below = facts_of(mask).known, fitting_band(Band(-mask.shape[-2], -1), mask.shape)
    return known.band == below and known.full == below


def _mirrored(a: Value, read: str) -> Any:
    """One triangle of a and its mirror image; `read` is how rows compare with columns there."""
    counts = a.tensor.with_dtype("i32")
    is_read = compare(iota(a.rank - 2, counts), iota(a.rank - 1, counts), read, "SIGNED")
    return select(is_read, a, transpose(a, swap(a.rank)))


def _triangle(n: int) -> Any:
    """A program that compares numbers of rows with those of columns."""
    builder = GraphBuilder(())
    with building(builder):
        counts = TensorType((n, n), "i32")
        mask = compare(iota(0, counts), iota(1, counts), "GT", "SIGNED")
    return builder.finish([mask])


def _square(rng: np.random.Generator) -> dict[str, Any]:
    n = int(rng.integers(2, 5))
    a = TensorType((n, n), "f64")
    own = {"a": a, "m": _triangle(n), "c": splat(0, a), "d": _matrix_product(2, 0), "e": "f64"}
    return own | dict.fromkeys(("r", "s"), LAPACK)


@rule(
    lambda a, r, s, m, c, d, p, e: dot_general(
        householder_product(get_result(qr(a, r), 0), get_result(qr(a, r), 1), s),
        select(m, constant(c), get_result(qr(a, r), 0)),
        d,
        p,
        e,
    ),
    numerics=ROUNDING,
    source="definition of the QR factors",
    uses_facts=True,
    examples=_square,
)
def multiply_orthogonal_and_triangle(
    a: Value, r: Any, s: Any, m: Value, c: Literal, d: Any, p: Any, e: str
) -> Value | None:
    """Q·R = a for the factors of a square matrix"""
    need(a.dtype in REALS and a.dtype == e and a.shape[-1] == a.shape[-2] and a.size > 0)
    need(DotDimensions(*d) == _matrix_product(a.rank, a.rank - 2))
    need(is_all(c, 0.0) and _is_below_diagonal(m))
    return a


@rule(
    lambda a, r, s, d, p, e: dot_general(
        householder_product(get_result(qr(a, r), 0), get_result(qr(a, r), 1), s), a, d, p, e
    ),
    numerics=ROUNDING,
    source="QᵀA = QᵀQR = R",
    examples=lambda rng: (
        {"a": TensorType((int(rng.integers(3, 5)), 3), "f64"), "e": "f64"}
        | {"d": DotDimensions((), (), (0,), (0,))}
        | dict.fromkeys(("r", "s"), LAPACK)
    ),
)
def project_on_orthogonal_factor(a: Value, r: Any, s: Any, d: Any, p: Any, e: str) -> Any:
    """Qᵀa = R, real, for the factors of a matrix with no more columns than rows"""
    batch, rows = tuple(range(a.rank - 2)), (a.rank - 2,)
    need(a.dtype in REALS and a.dtype == e and a.size > 0 and a.shape[-2] >= a.shape[-1])
    need(DotDimensions(*d) == DotDimensions(batch, batch, rows, rows))
    n = a.shape[-1]
    above = slice_dimension(get_result(qr(a, r), 0), a.rank - 2, 0, n)
    counts = above.tensor.with_dtype("i32")
    is_below = compare(iota(a.rank - 2, counts), iota(a.rank - 1, counts), "GT", "SIGNED")
    return select(is_below, full(0, above.tensor), above)


@rule(
    lambda a, r, m, c, d, p, e: dot_general(
        select(m, constant(c), get_result(qr(a, r), 0)),
        select(m, constant(c), get_result(qr(a, r), 0)),
        d,
        p,
        e,
    ),
    numerics=ROUNDING,
    source="AᵀA = RᵀQᵀQR",
    uses_facts=True,
    examples=lambda rng: (
        {n: v for n, v in _square(rng).items() if n != "s"}
        | {"d": DotDimensions((), (), (0,), (0,))}
    ),
)
def square_triangle_of_orthogonal(
    a: Value, r: Any, m: Value, c: Literal, d: Any, p: Any, e: str
) -> Value | None:
    """RᵀR = aᵀa, real, for R of a matrix with no more rows than columns"""
    batch, rows = tuple(range(a.rank - 2)), (a.rank - 2,)
    need(a.dtype in REALS and a.dtype == e and a.size > 0)
    need(DotDimensions(*d) == DotDimensions(batch, batch, rows, rows))
    need(is_all(c, 0.0) and _is_below_diagonal(m))
    return dot_general(a, a, d, p, e)


def _symmetric(rng: np.random.Generator) -> dict[str, Any]:
    n = int(rng.integers(2, 5))
    a, places = TensorType((n, n), "f64"), {"u": (n, n), "v": (1,)}
    own = {"a": a, "z": splat(0, TensorType((), "i32")), "low": bool(rng.integers(2)), "r": LAPACK}
    return own | places | {"d": _matrix_product(2, 1), "e": "f64"}


@rule(
    lambda a, low, r, z: compare(get_result(eigh(a, low, r), 2), constant(z), "EQ", "SIGNED"),
    numerics=FINITE,
    source="LAPACK, syevd: it fails on what is not finite",
    examples=lambda rng: {k: v for k, v in _symmetric(rng).items() if k in ("a", "low", "r", "z")},
)
def eigenvalues_are_found(a: Value, low: Any, r: Any, z: Literal) -> Value | None:
    """The eigenvalues of a finite matrix are found"""
    need(is_all(z, 0.0) and a.size > 0)
    return full(True, TensorType(a.shape[:-2], "i1"))


@rule(
    lambda a, low, r, u, v, d, p, e: dot_general(
        multiply(
            get_result(eigh(a, low, r), 0),
            broadcast_in_dim(get_result(eigh(a, low, r), 1), u, v),
        ),
        get_result(eigh(a, low, r), 0),
        d,
        p,
        e,
    ),
    numerics=ROUNDING,
    source="spectral theorem",
    examples=_symmetric,
)
def multiply_eigenvectors(
    a: Value, low: Any, r: Any, u: Any, v: Any, d: Any, p: Any, e: str
) -> Value | None:
    """V·Λ·Vᵀ = a, real, with one triangle of a and its mirror image"""
    batch = tuple(range(a.rank - 2))
    need(a.dtype in REALS and a.dtype == e and a.size > 0 and tuple(v) == (*batch, a.rank - 1))
    need(DotDimensions(*d) == _matrix_product(a.rank, a.rank - 1))
    return _mirrored(a, "GE" if low else "LE")


def _orthonormal(rng: np.random.Generator) -> dict[str, Any]:
    drawn = {k: v for k, v in _symmetric(rng).items() if k in ("a", "low", "r", "e")}
    return drawn | {"d": DotDimensions((), (), (0,), (0,))}


@rule(
    lambda a, low, r, d, p, e: dot_general(
        get_result(eigh(a, low, r), 0), get_result(eigh(a, low, r), 0), d, p, e
    ),
    numerics=ROUNDING,
    source="spectral theorem",
    examples=_orthonormal,
)
def eigenvectors_are_orthonormal(
    a: Value, low: Any, r: Any, d: Any, p: Any, e: str
) -> Value | None:
    """VᵀV = V·Vᵀ = 1 for the eigenvectors of a real symmetric matrix"""
    need(a.dtype in REALS and a.dtype == e and a.size > 0)
    d, batch = DotDimensions(*d), tuple(range(a.rank - 2))
    along = d.lhs_contract
    need(along in ((a.rank - 1,), (a.rank - 2,)) and d == DotDimensions(batch, batch, along, along))
    return identity_matrices(a.tensor)


def _eigenvalues(rng: np.random.Generator) -> dict[str, Any]:
    return {k: v for k, v in _symmetric(rng).items() if k in ("a", "low", "r")} | {"d": (0,)}


@rule(
    lambda a, low, r, d: reduce_("add", get_result(eigh(a, low, r), 1), d),
    numerics=ROUNDING,
    source="the trace is the sum of the eigenvalues",
    examples=_eigenvalues,
)
def sum_of_eigenvalues(a: Value, low: Any, r: Any, d: Any) -> Value | None:
    """Σ λᵢ = Σ aᵢᵢ, real"""
    need(a.dtype in REALS and tuple(d) == (a.rank - 2,))
    return reduce_("add", diagonal_of(a), d)


@rule(
    lambda a, low, r, d: reduce_(
        "add", multiply(get_result(eigh(a, low, r), 1), get_result(eigh(a, low, r), 1)), d
    ),
    numerics=ROUNDING,
    source="the trace of a² is the sum of the eigenvalues of a²",
    examples=_eigenvalues,
)
def sum_of_squared_eigenvalues(a: Value, low: Any, r: Any, d: Any) -> Value | None:
    """Σ λᵢ² = Σ aᵢⱼ², real, with one triangle of a and its mirror image"""
    need(a.dtype in REALS and tuple(d) == (a.rank - 2,))
    whole = _mirrored(a, "GE" if low else "LE")
    return reduce_("add", multiply(whole, whole), (a.rank - 2, a.rank - 1))


@rule(
    lambda a, low, r, d: reduce_("multiply", get_result(eigh(a, low, r), 1), d),
    numerics=ROUNDING,
    source="the determinant is the product of the eigenvalues",
    examples=_eigenvalues,
)
def product_of_eigenvalues(a: Value, low: Any, r: Any, d: Any) -> Value | None:
    """Π λᵢ = det a, real, with one triangle of a and its mirror image"""
    need(a.dtype in REALS and tuple(d) == (a.rank - 2,) and a.size > 0)
    whole = _mirrored(a, "GE" if low else "LE")
    size = unary("exponential", log_abs_determinant(whole, r))
    return multiply(determinant_sign(whole, r), size)


def _definite(rng: np.random.Generator) -> dict[str, Any]:
    """The lower triangle of a positive definite matrix, and whatever is above it."""
    n = int(rng.integers(1, 5))
    x = rng.normal(size=(n, n))
    a = np.tril(x @ x.T + np.eye(n)) + np.triu(x, 1)
    return {"a": Literal(a), "d": _matrix_product(2, 1), "e": "f64"}


@rule(
    lambda a, r, s, d, p, e: dot_general(cholesky(a, r), cholesky(a, s), d, p, e),
    numerics=FINITE,
    source="definition of the Cholesky factor",
    uses_facts=True,
    examples=_definite,
)
def multiply_cholesky_factors(a: Value, r: Any, s: Any, d: Any, p: Any, e: str) -> Value | None:
    """L·Lᵀ = a, real, with its lower triangle and the mirror image; if a is positive definite"""
    need(a.dtype in REALS and a.dtype == e and a.size > 0)
    need(DotDimensions(*d) == _matrix_product(a.rank, a.rank - 1))
    return _mirrored(a, "GE")
