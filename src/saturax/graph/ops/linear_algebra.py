"""Matrix factorisations and solves, over batches: the last two dimensions are the matrix.

What programs run are calls of LAPACK or cuSOLVER, or StableHLO's own operations; who computes an
operation is its `Routine`. *Notions* say what a few such calls compute together: `solve` is a
factorisation, a permutation and two triangular solves. Rules reason about notions; none is ever
run, since it is equal to the calls that it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from saturax.graph.build import make
from saturax.graph.operation import expect, register
from saturax.graph.types import TensorType, TupleType, Type, is_complex, is_float


class Routine(NamedTuple):
    """Who computes an operation.

    `library` is "lapack" or "cusolver", or empty for StableHLO's own operation. `is_sharded` tells
    whether a call says how it may be distributed (as JAX's calls do, for Shardy).
    """

    library: str = ""
    is_sharded: bool = False


class Triangle(NamedTuple):
    """How a `triangular_solve` reads its matrix: StableHLO's attributes of that operation.

    `transpose` is "NO_TRANSPOSE", "TRANSPOSE" or "ADJOINT". Only the `is_lower` (or upper) triangle
    is read, and not its diagonal if that `is_unit`.
    """

    is_left: bool
    is_lower: bool
    is_unit: bool
    transpose: str = "NO_TRANSPOSE"


_LIBRARY_TYPES = frozenset({"f32", "f64", "complex<f32>", "complex<f64>"})


def _matrix(op: str, x: Any, is_square: bool = False) -> TensorType:
    """The type of a batch of matrices of floats; raises `TypeInferenceError` otherwise.

    Libraries know four types; StableHLO's own triangular solve takes all floats.
    """
    fits = isinstance(x, TensorType) and x.rank >= 2
    fits = fits and not (is_square and x.shape[-1] != x.shape[-2])
    if op == "triangular_solve":
        fits = fits and (is_float(x.dtype) or is_complex(x.dtype))
    else:
        fits = fits and x.dtype in _LIBRARY_TYPES
    expect(fits, op, f"expected a {'square ' if is_square else ''}matrix of floats, got {x}")
    matrix: TensorType = x
    return matrix


def _real(dtype: str) -> str:
    return dtype.removeprefix("complex<").removesuffix(">")


def _infer_triangular_solve(attributes: Any, operands: Sequence[Any]) -> Type:
    (triangle, _), (a, b) = attributes, operands
    a, b = _matrix("triangular_solve", a, is_square=True), _matrix("triangular_solve", b)
    size = b.shape[-2 if Triangle(*triangle).is_left else -1]
    fits = a.dtype == b.dtype and a.shape[:-2] == b.shape[:-2] and a.shape[-1] == size
    expect(fits, "triangular_solve", "matrix {} and right side {} with {}", a, b, triangle)
    return b


def _infer_cholesky(attributes: Any, operands: Sequence[Any]) -> Type:
    return _matrix("cholesky", operands[0], is_square=True)


def _infer_cholesky_call(attributes: Any, operands: Sequence[Any]) -> Type:
    x = _matrix("cholesky_call", operands[0], is_square=True)
    return TupleType((x, TensorType(x.shape[:-2], "i32")))


def _infer_lu(attributes: Any, operands: Sequence[Any]) -> Type:
    x = _matrix("lu", operands[0])
    pivots = TensorType((*x.shape[:-2], min(x.shape[-2:])), "i32")
    return TupleType((x, pivots, TensorType(x.shape[:-2], "i32")))


def _infer_lu_permutation(attributes: Any, operands: Sequence[Any]) -> Type:
    (size, _), (pivots,) = attributes, operands
    fits = pivots.dtype == "i32" and pivots.rank > 0 and pivots.shape[-1] <= size
    expect(fits, "lu_permutation", "pivots {} for {} rows", pivots, size)
    return TensorType((*pivots.shape[:-1], size), "i32")


def _infer_qr(attributes: Any, operands: Sequence[Any]) -> Type:
    x = _matrix("qr", operands[0])
    return TupleType((x, x.with_shape((*x.shape[:-2], min(x.shape[-2:])))))


def _infer_householder_product(attributes: Any, operands: Sequence[Any]) -> Type:
    x, taus = operands
    x = _matrix("householder_product", x)
    fits = taus.dtype == x.dtype and taus.shape[:-1] == x.shape[:-2]
    fits = fits and taus.shape[-1] <= x.shape[-1] <= x.shape[-2]
    expect(fits, "householder_product", "reflectors {} with factors {}", x, taus)
    return x


def _infer_eigh(attributes: Any, operands: Sequence[Any]) -> Type:
    x = _matrix("eigh", operands[0], is_square=True)
    values = TensorType(x.shape[:-1], _real(x.dtype))
    return TupleType((x, values, TensorType(x.shape[:-2], "i32")))


def _infer_svd(attributes: Any, operands: Sequence[Any]) -> Type:
    job, x = attributes[0], _matrix("svd", operands[0])
    expect(job in ("S", "A", "N"), "svd", "a job S, A or N, got {}", job)
    *batch, rows, columns = x.shape
    count = min(rows, columns)
    left, right = (count, count) if job == "S" else (rows, columns)
    return TupleType(
        (
            x,
            TensorType((*batch, count), _real(x.dtype)),
            x.with_shape((*batch, rows, left)),
            x.with_shape((*batch, right, columns)),
            TensorType(tuple(batch), "i32"),
        )
    )


def _infer_solve(attributes: Any, operands: Sequence[Any]) -> Type:
    a, b = operands
    a, b = _matrix("solve", a, is_square=True), _matrix("solve", b)
    fits = a.dtype == b.dtype and a.shape[:-1] == b.shape[:-1]
    expect(fits, "solve", "matrix {} and right side {}", a, b)
    return b


def _infer_log_determinant(attributes: Any, operands: Sequence[Any]) -> Type:
    x = _matrix("log_abs_determinant", operands[0], is_square=True)
    return TensorType(x.shape[:-2], _real(x.dtype))


def _infer_determinant_sign(attributes: Any, operands: Sequence[Any]) -> Type:
    x = _matrix("determinant_sign", operands[0], is_square=True)
    expect(is_float(x.dtype), "determinant_sign", f"expected a matrix of real numbers, got {x}")
    return TensorType(x.shape[:-2], x.dtype)


def _solve_flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    return int(result.size) * int(operands[0].shape[-1])


def _factor_flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    """About those of LU; the least of all factorisations is half of it, the greatest tenfold."""
    return int(operands[0].size) * int(min(operands[0].shape[-2:])) * 2 // 3


register(
    "triangular_solve", ("triangle", "routine"), _infer_triangular_solve, "heavy", _solve_flops
)
register("cholesky_call", ("routine",), _infer_cholesky_call, "heavy", _factor_flops)
register("lu", ("routine",), _infer_lu, "heavy", _factor_flops)
register("lu_permutation", ("size", "routine"), _infer_lu_permutation, "heavy")
register("qr", ("routine",), _infer_qr, "heavy", _factor_flops)
register("householder_product", ("routine",), _infer_householder_product, "heavy", _factor_flops)
register("eigh", ("is_lower", "routine"), _infer_eigh, "heavy", _factor_flops)
register("svd", ("job", "routine"), _infer_svd, "heavy", _factor_flops)
register("cholesky", ("routine",), _infer_cholesky, "notion")
register("solve", ("routine",), _infer_solve, "notion")
register("log_abs_determinant", ("routine",), _infer_log_determinant, "notion")
register("determinant_sign", ("routine",), _infer_determinant_sign, "notion")

LINEAR_ALGEBRA = frozenset(
    {"triangular_solve", "cholesky_call", "lu", "qr", "householder_product", "eigh", "svd"}
    | {"cholesky", "solve", "log_abs_determinant", "determinant_sign"}
)
"""The operations of this family that compute with floats."""


def triangular_solve(a: Any, b: Any, triangle: Any, routine: Any) -> Any:
    """X with op(a)·X = b, or X·op(a) = b; `triangle` says which, and how a is read."""
    return make("triangular_solve", a, b, attributes=(triangle, routine))


def cholesky_call(x: Any, routine: Any) -> Any:
    """LAPACK's potrf for the lower triangle of x: the factor, and 0 or where it failed (i32).

    The strict upper triangle of the first result is that of x.
    """
    return make("cholesky_call", x, attributes=(routine,))


def lu(x: Any, routine: Any) -> Any:
    """LAPACK's getrf: L and U in one matrix, the row swaps (i32, from 1), and info (i32)."""
    return make("lu", x, attributes=(routine,))


def lu_permutation(pivots: Any, size: Any, routine: Any) -> Any:
    """The permutation of `size` rows that swaps (from 0) make: x[permutation] is x swapped.

    Without a library, it is the loop that JAX makes for it.
    """
    return make("lu_permutation", pivots, attributes=(size, routine))


def qr(x: Any, routine: Any) -> Any:
    """LAPACK's geqrf: R over the reflectors of Q in one matrix, and their factors."""
    return make("qr", x, attributes=(routine,))


def householder_product(x: Any, taus: Any, routine: Any) -> Any:
    """LAPACK's orgqr: the first columns of Q from what `qr` returns."""
    return make("householder_product", x, taus, attributes=(routine,))


def eigh(x: Any, is_lower: Any, routine: Any) -> Any:
    """LAPACK's syevd: eigenvectors, ascending eigenvalues and info, reading one triangle of x."""
    return make("eigh", x, attributes=(is_lower, routine))


def svd(x: Any, job: Any, routine: Any) -> Any:
    """LAPACK's gesdd: nothing of use, descending singular values, U, Vᴴ and info.

    With the job "S", U has as many columns and Vᴴ as many rows as there are singular values; with
    "A" both are square; with "N" they are not computed.
    """
    return make("svd", x, attributes=(job, routine))


def cholesky(x: Any, routine: Any) -> Any:
    """The notion of L with L·Lᴴ = x, zero above the diagonal; NaN if x is not positive definite.

    Only the lower triangle of x is read.
    """
    return make("cholesky", x, attributes=(routine,))


def solve(a: Any, b: Any, routine: Any) -> Any:
    """The notion of X with a·X = b, computed by LU with row swaps."""
    return make("solve", a, b, attributes=(routine,))


def log_abs_determinant(x: Any, routine: Any) -> Any:
    """The notion of log|det x|, computed by LU with row swaps; -∞ if x is singular."""
    return make("log_abs_determinant", x, attributes=(routine,))


def determinant_sign(x: Any, routine: Any) -> Any:
    """The notion of the sign of det x for real x: 1, -1, or 0 if x is singular."""
    return make("determinant_sign", x, attributes=(routine,))
