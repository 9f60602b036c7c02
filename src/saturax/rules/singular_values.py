"""Singular values and vectors: multiplied back they are the matrix, sums of squares are its own.

Letters as in `linear_algebra`: a is the matrix, j the job and r the routine, d and p dimension
numbers and precision of a product, e its element type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    DotDimensions,
    Routine,
    broadcast_in_dim,
    compare,
    constant,
    dot_general,
    full,
    get_result,
    multiply,
    reduce_,
    svd,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS, is_all
from saturax.rules.factors import identity_matrices
from saturax.rules.rule import FINITE, ROUNDING, need, rule

LAPACK = Routine("lapack", True)
SVD = "singular value decomposition"


def _batched(rank: int, lhs: int, rhs: int) -> DotDimensions:
    """Products of matrices along these dimensions, counted from the last two."""
    batch = tuple(range(rank - 2))
    return DotDimensions(batch, batch, (rank - 2 + lhs,), (rank - 2 + rhs,))


def _has_vectors(a: Value, j: Any) -> bool:
    """Whether the vectors are computed, as many of them as there are singular values."""
    return bool(j == "S" or (j == "A" and a.shape[-1] == a.shape[-2]))


def _matrix(rng: np.random.Generator) -> dict[str, Any]:
    shape = tuple(int(n) for n in rng.integers(1, 5, 2))
    return {"a": TensorType(shape, "f64"), "j": "S", "r": LAPACK, "e": "f64"}


@rule(
    lambda a, j, r, z: compare(get_result(svd(a, j, r), 4), constant(z), "EQ", "SIGNED"),
    numerics=FINITE,
    source="LAPACK, gesdd: it fails on what is not finite",
    examples=lambda rng: _matrix(rng) | {"z": splat(0, TensorType((), "i32"))},
)
def singular_values_are_found(a: Value, j: Any, r: Any, z: Literal) -> Value | None:
    """The singular values of a finite matrix are found"""
    need(is_all(z, 0.0) and a.size > 0)
    return full(True, TensorType(a.shape[:-2], "i1"))


def _scaled_vectors(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _matrix(rng)
    shape = drawn["a"].shape
    return drawn | {"u": (shape[0], min(shape)), "v": (1,), "d": _batched(2, 1, 0)}


@rule(
    lambda a, j, r, u, v, d, p, e: dot_general(
        multiply(get_result(svd(a, j, r), 2), broadcast_in_dim(get_result(svd(a, j, r), 1), u, v)),
        get_result(svd(a, j, r), 3),
        d,
        p,
        e,
    ),
    numerics=ROUNDING,
    source=SVD,
    examples=_scaled_vectors,
)
def multiply_singular_factors(
    a: Value, j: Any, r: Any, u: Any, v: Any, d: Any, p: Any, e: str
) -> Value | None:
    """U·Σ·Vᵀ = a, real"""
    need(a.dtype in REALS and a.dtype == e and a.size > 0 and _has_vectors(a, j))
    need(tuple(v) == (*range(a.rank - 2), a.rank - 1))
    need(DotDimensions(*d) == _batched(a.rank, 1, 0))
    return a


@rule(
    lambda a, j, r, d, p, e: dot_general(
        get_result(svd(a, j, r), 2), get_result(svd(a, j, r), 2), d, p, e
    ),
    numerics=ROUNDING,
    source=SVD,
    examples=lambda rng: _matrix(rng) | {"d": _batched(2, 0, 0)},
)
def left_vectors_are_orthonormal(a: Value, j: Any, r: Any, d: Any, p: Any, e: str) -> Value | None:
    """UᵀU = 1 for the left singular vectors of a real matrix"""
    return _product_of_vectors(a, j, d, e, side=0)


@rule(
    lambda a, j, r, d, p, e: dot_general(
        get_result(svd(a, j, r), 3), get_result(svd(a, j, r), 3), d, p, e
    ),
    numerics=ROUNDING,
    source=SVD,
    examples=lambda rng: _matrix(rng) | {"d": _batched(2, 1, 1)},
)
def right_vectors_are_orthonormal(a: Value, j: Any, r: Any, d: Any, p: Any, e: str) -> Value | None:
    """VᵀV = 1 for the right singular vectors of a real matrix"""
    return _product_of_vectors(a, j, d, e, side=1)


def _product_of_vectors(a: Value, j: Any, d: Any, e: str, side: int) -> Value:
    """The product of the singular vectors of one side (0: U, 1: Vᵀ) with one another."""
    need(a.dtype in REALS and a.dtype == e and a.size > 0 and j in ("S", "A"))
    need(DotDimensions(*d) == _batched(a.rank, side, side))
    *batch, rows, columns = a.shape
    count = (rows, columns)[side] if j == "A" else min(rows, columns)
    return identity_matrices(a.tensor.with_shape((*batch, count, count)))


@rule(
    lambda a, j, r, d: reduce_(
        "add", multiply(get_result(svd(a, j, r), 1), get_result(svd(a, j, r), 1)), d
    ),
    numerics=ROUNDING,
    source="the trace of aᵀa is the sum of its eigenvalues",
    examples=lambda rng: _matrix(rng) | {"d": (0,)},
)
def sum_of_squared_singular_values(a: Value, j: Any, r: Any, d: Any) -> Value | None:
    """Σ σᵢ² = Σ aᵢⱼ², real"""
    need(a.dtype in REALS and tuple(d) == (a.rank - 2,))
    return reduce_("add", multiply(a, a), (a.rank - 2, a.rank - 1))
