"""What solves, determinants and Cholesky factors stand for; structure, and what cancels.

Letters: a is the matrix, b the right side, r the routine, d and p dimension numbers and precision
of a product, e its element type. a⁻¹ is `solve` of the identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    Routine,
    Triangle,
    add,
    broadcast_in_dim,
    cholesky,
    divide,
    dot_general,
    full,
    get_result,
    householder_product,
    iota,
    log_abs_determinant,
    lu,
    qr,
    reduce_,
    reshape,
    solve,
    transpose,
    triangular_solve,
    unary,
)
from saturax.graph.types import TensorType, is_complex, numpy_dtype
from saturax.rules.arithmetic import is_uniform
from saturax.rules.factors import (
    cholesky_factor,
    diagonal_matrix,
    diagonal_of,
    identity_matrices,
    lower_part,
    lu_factors,
    lu_solution,
    lu_transposed_solution,
)
from saturax.rules.facts import (
    is_diagonal,
    is_identity,
    is_lower_triangular,
    is_upper_triangular,
)
from saturax.rules.rule import FINITE, ROUNDING, need, rule
from saturax.rules.solving import (
    swap,
)

LU = "LAPACK, getrf and getrs"
Dimensions = tuple[int, ...]


# Examples.


def square_example(rng: np.random.Generator) -> dict[str, Any]:
    """a and b of one square shape, and their matrix product."""
    batch = tuple(int(n) for n in rng.integers(1, 3, rng.integers(0, 2)))
    n, rank = int(rng.integers(1, 5)), len(batch)
    a = TensorType((*batch, n, n), str(rng.choice(["f32", "f64", "complex<f32>"])))
    dims = tuple(range(rank))
    product = DotDimensions(dims, dims, (rank + 1,), (rank,))
    eye = np.broadcast_to(np.eye(n), a.shape).astype(numpy_dtype(a.dtype))
    return {"a": a, "b": a, "d": product, "e": a.dtype, "q": swap(a.rank), "i": Literal(eye)}


def diagonal_example(rng: np.random.Generator) -> dict[str, Any]:
    """A constant diagonal a, and b with as many rows."""
    n, m = (int(i) for i in rng.integers(1, 5, 2))
    return {"a": Literal(np.diag(rng.normal(2.0, 1.0, n))), "b": TensorType((n, m), "f64")}


# What notions stand for.


@rule(lambda a, b, r: solve(a, b, r), numerics=ROUNDING, source=LU)
def solve_by_lu(a: Value, b: Value, r: Any) -> Any:
    """a⁻¹b = U⁻¹(L⁻¹(P·b)), where P·a = L·U"""
    need(Routine(*r).library and b.size > 0)
    return lu_solution(a, b, Routine(*r))


@rule(
    lambda a, q, b, r: solve(transpose(a, q), b, r),
    numerics=ROUNDING,
    source=LU,
    examples=square_example,
)
def solve_transposed_by_lu(a: Value, q: Dimensions, b: Value, r: Any) -> Any:
    """a⁻ᵀb = Pᵀ(L⁻ᵀ(U⁻ᵀb)), where P·a = L·U"""
    need(Routine(*r).library and q == swap(a.rank) and b.size > 0)
    return lu_transposed_solution(a, b, Routine(*r))


@rule(lambda a, r: log_abs_determinant(a, r), numerics=ROUNDING, source=LU)
def log_determinant_by_lu(a: Value, r: Any) -> Any:
    """log|det a| = Σ log|uᵢᵢ|, where P·a = L·U; -∞ if some uᵢᵢ = 0"""
    need(Routine(*r).library and a.size > 0)
    factors, _ = lu_factors(a, Routine(*r))
    return reduce_("add", unary("log", unary("abs", diagonal_of(factors))), (a.rank - 2,))


@rule(lambda a, r: cholesky(a, r), numerics=ROUNDING, source="LAPACK, potrf")
def cholesky_by_library(a: Value, r: Any) -> Any:
    """L with L·Lᴴ = a, by a call that leaves what is above the diagonal"""
    need(Routine(*r).library)
    return lower_part(cholesky_factor(a, Routine(*r)))


# Structure.


@rule(
    lambda a, b, r: solve(a, b, r),
    numerics=ROUNDING,
    source="a diagonal matrix is inverted element by element",
    uses_facts=True,
    examples=diagonal_example,
)
def solve_with_diagonal(a: Value, b: Value, r: Any) -> Any:
    """a⁻¹b = b / diagonal of a if a is diagonal"""
    need(is_diagonal(a))
    diagonal = reduce_("add", a, (a.rank - 2,))
    return divide(b, broadcast_in_dim(diagonal, b.shape, range(a.rank - 1)))


def triangular_example(rng: np.random.Generator) -> dict[str, Any]:
    """A constant triangular a, and b with as many rows."""
    n, m = (int(i) for i in rng.integers(2, 5, 2))
    a = (np.triu if rng.random() < 0.5 else np.tril)(rng.normal(size=(n, n)))
    return {"a": Literal(a + 3 * np.eye(n)), "b": TensorType((n, m), "f64")}


@rule(
    lambda a, b, r: solve(a, b, r),
    numerics=ROUNDING,
    source="substitution",
    uses_facts=True,
    examples=triangular_example,
)
def solve_with_triangular(a: Value, b: Value, r: Any) -> Any:
    """a⁻¹b by substitution if a is triangular, not diagonal"""
    is_lower = is_lower_triangular(a)
    need((is_lower or is_upper_triangular(a)) and not is_diagonal(a) and b.size > 0)
    return triangular_solve(a, b, Triangle(True, is_lower, False, "NO_TRANSPOSE"), r)


def _upper_example(rng: np.random.Generator) -> dict[str, Any]:
    """A constant upper triangular matrix."""
    n = int(rng.integers(2, 5))
    return {"a": Literal(np.triu(rng.normal(size=(n, n))) + 3 * np.eye(n))}


def _need_upper(a: Value) -> None:
    need(a.rank >= 2 and a.size > 0 and a.shape[-1] == a.shape[-2] and is_upper_triangular(a))


@rule(
    lambda a, r: get_result(lu(a, r), 0),
    numerics=ROUNDING,
    source=LU,
    uses_facts=True,
    examples=_upper_example,
)
def factors_of_upper_triangular(a: Value, r: Any) -> Any:
    """L and U, packed, are a if a is upper triangular: below each pivot all is 0"""
    _need_upper(a)
    return a


@rule(
    lambda a, r: get_result(lu(a, r), 1),
    numerics=ROUNDING,
    source=LU,
    uses_facts=True,
    examples=_upper_example,
)
def pivots_of_upper_triangular(a: Value, r: Any) -> Any:
    """LU exchanges no rows of an upper triangular matrix: the pivots are 1, 2, …"""
    _need_upper(a)
    pivots = TensorType(a.shape[:-1], "i32")
    return add(iota(a.rank - 2, pivots), full(1, pivots))


@rule(
    lambda a, r: cholesky(a, r),
    numerics=ROUNDING,
    source="√d·√d = d",
    uses_facts=True,
    examples=lambda rng: {"a": Literal(np.diag(rng.uniform(0.5, 3.0, rng.integers(1, 5))))},
)
def cholesky_of_diagonal(a: Value, r: Any) -> Any:
    """The Cholesky factor of a diagonal matrix has the square roots of its diagonal on its own"""
    need(is_diagonal(a) and not is_complex(a.dtype))
    roots = unary("sqrt", reduce_("add", a, (a.rank - 2,)))
    return diagonal_matrix(roots)


# Cancellation: only where a is invertible, and then all results are finite.


@rule(
    lambda a, x, d, p, e, r: solve(a, dot_general(a, x, d, p, e), r),
    numerics=FINITE,
    source="a⁻¹·a = 1",
    examples=lambda rng: _cancelled(rng),
)
def cancel_product_in_solve(a: Value, x: Value, d: Any, p: Any, e: str, r: Any) -> Any:
    """a⁻¹(a · x) = x for invertible a"""
    need(_is_matrix_product(DotDimensions(*d), a) and is_uniform(e, a, x) and x.rank == a.rank)
    return x


@rule(
    lambda a, x, d, p, e, s, r: solve(a, reshape(dot_general(a, x, d, p, e), s), r),
    numerics=FINITE,
    source="a⁻¹·a = 1",
    examples=lambda rng: _cancelled_vector(rng),
)
def cancel_vector_product_in_solve(
    a: Value, x: Value, d: Any, p: Any, e: str, s: Dimensions, r: Any
) -> Any:
    """a⁻¹(a · x) = x for invertible a and vectors x, as columns"""
    need(_is_matrix_product(DotDimensions(*d), a) and is_uniform(e, a, x))
    need(x.rank == a.rank - 1 and s == (*x.shape, 1))
    return reshape(x, s)


@rule(
    lambda a, b, d, p, e, r: dot_general(a, solve(a, b, r), d, p, e),
    numerics=FINITE,
    source="a·a⁻¹ = 1",
    examples=lambda rng: _cancelled(rng),
)
def cancel_solve_in_product(a: Value, b: Value, d: Any, p: Any, e: str, r: Any) -> Any:
    """a · (a⁻¹b) = b for invertible a"""
    need(_is_matrix_product(DotDimensions(*d), a) and is_uniform(e, a, b))
    return b


@rule(
    lambda a, r: solve(a, a, r),
    numerics=FINITE,
    source="a⁻¹·a = 1",
    examples=lambda rng: {"a": square_example(rng)["a"]},
)
def cancel_matrix_in_solve(a: Value, r: Any) -> Any:
    """a⁻¹a = 1 for invertible a"""
    return identity_matrices(a.tensor)


def _orthogonal(rng: np.random.Generator) -> dict[str, Any]:
    n, m = (int(i) for i in sorted(rng.integers(1, 5, 2)))
    a = TensorType((m, n), str(rng.choice(["f32", "f64"])))
    return {"a": a, "d": DotDimensions((), (), (0,), (0,)), "e": a.dtype}


@rule(
    lambda a, r, s, d, p, e: dot_general(
        householder_product(get_result(qr(a, r), 0), get_result(qr(a, r), 1), s),
        householder_product(get_result(qr(a, r), 0), get_result(qr(a, r), 1), s),
        d,
        p,
        e,
    ),
    numerics=FINITE,
    source="columns of Q are orthonormal",
    examples=_orthogonal,
)
def multiply_orthogonal_columns(a: Value, r: Any, s: Any, d: Any, p: Any, e: str) -> Any:
    """QᵀQ = 1 for the factor Q of a real matrix with no more columns than rows"""
    rank, batch = a.rank, tuple(range(a.rank - 2))
    need(not is_complex(a.dtype) and a.dtype == e and a.shape[-1] <= a.shape[-2])
    need(DotDimensions(*d) == DotDimensions(batch, batch, (rank - 2,), (rank - 2,)))
    return identity_matrices(a.tensor.with_shape((*a.shape[:-2], a.shape[-1], a.shape[-1])))


def _is_matrix_product(d: DotDimensions, a: Value) -> bool:
    batch = tuple(range(a.rank - 2))
    return d == DotDimensions(batch, batch, (a.rank - 1,), (a.rank - 2,))


def _cancelled(rng: np.random.Generator) -> dict[str, Any]:
    drawn = square_example(rng)
    n, a = int(rng.integers(1, 5)), drawn["a"]
    x = a.with_shape((*a.shape[:-1], n))
    return {"a": a, "d": drawn["d"], "e": a.dtype, "x": x, "b": x}


def _cancelled_vector(rng: np.random.Generator) -> dict[str, Any]:
    drawn = square_example(rng)
    a = drawn["a"]
    x = a.with_shape(a.shape[:-1])
    return {"a": a, "d": drawn["d"], "e": a.dtype, "x": x, "s": (*x.shape, 1)}


@rule(
    lambda a, i, r, b, s: solve(solve(a, i, r), b, s),
    numerics=FINITE,
    source="(a⁻¹)⁻¹ = a",
    uses_facts=True,
    examples=lambda rng: {n: x for n, x in square_example(rng).items() if n in "abi"},
)
def solve_with_inverse_as_product(a: Value, i: Value, r: Any, b: Value, s: Any) -> Any:
    """(a⁻¹)⁻¹b = a · b for invertible a"""
    need(is_identity(i))
    if is_identity(b):
        return a
    batch = tuple(range(a.rank - 2))
    d = DotDimensions(batch, batch, (a.rank - 1,), (a.rank - 2,))
    return dot_general(a, b, d, Precision(), a.dtype)
