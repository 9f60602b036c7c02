"""What notions stand for: factorisations and triangular solves, as JAX writes them."""

from __future__ import annotations

from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import (
    GatherDimensions,
    Routine,
    Triangle,
    add,
    broadcast_in_dim,
    cholesky_call,
    compare,
    convert,
    default_order,
    full,
    full_like,
    gather,
    get_result,
    iota,
    lu,
    lu_permutation,
    reduce_,
    reshape,
    select,
    sort_pair,
    subtract,
    triangular_solve,
    unary,
)
from saturax.graph.types import TensorType

LOWER, UPPER = Triangle(True, True, False), Triangle(True, False, False)
UNIT_LOWER = Triangle(True, True, True)


def triangular_routine(r: Routine) -> Routine:
    """Who solves triangular systems beside routines of r: JAX calls a library on CPUs only."""
    return r if r.library == "lapack" else Routine()


def _permutation_routine(r: Routine) -> Routine:
    return r if r.library == "cusolver" else Routine()


def _or_nan(x: Value, is_good: Value) -> Any:
    """x where `is_good` of its batch, else NaN."""
    mask = broadcast_in_dim(is_good, x.shape, range(x.rank - 2))
    return select(mask, x, full_like(x, float("nan")))


def lu_factors(a: Value, r: Routine) -> tuple[Any, Any]:
    """L and U of square a in one matrix, and the permutation of its rows."""
    factors = lu(a, r)
    info = get_result(factors, 2)
    is_good = compare(info, full_like(info, 0), "GE", "SIGNED")
    pivots = get_result(factors, 1)
    swaps = subtract(pivots, full_like(pivots, 1))
    permutation = lu_permutation(swaps, a.shape[-1], _permutation_routine(r))
    return _or_nan(get_result(factors, 0), is_good), permutation


def lu_solution(a: Value, b: Value, r: Routine) -> Any:
    """a⁻¹b by LU."""
    factors, permutation = lu_factors(a, r)
    own = triangular_routine(r)
    half = triangular_solve(factors, taken_rows(b, permutation), UNIT_LOWER, own)
    return triangular_solve(factors, half, UPPER, own)


def lu_transposed_solution(a: Value, b: Value, r: Routine) -> Any:
    """a⁻ᵀb by LU of a."""
    factors, permutation = lu_factors(a, r)
    own, turn = triangular_routine(r), "TRANSPOSE"
    half = triangular_solve(factors, b, UPPER._replace(transpose=turn), own)
    whole = triangular_solve(factors, half, UNIT_LOWER._replace(transpose=turn), own)
    last = permutation.rank - 1
    rows = iota(last, permutation.tensor)
    order = default_order(permutation.dtype)
    return taken_rows(whole, get_result(sort_pair(permutation, rows, last, order, True), 1))


def taken_rows(x: Value, rows: Value) -> Any:
    """The rows of each matrix of x whose numbers are in `rows`, for each of the batch."""
    batch = tuple(range(x.rank - 2))
    row = x.rank - 2
    d = GatherDimensions((x.rank - 1,), (row,), batch, batch, (row,), row + 1)
    sizes = (*[1] * (row + 1), x.shape[-1])
    return gather(x, reshape(rows, (*rows.shape, 1)), d, sizes)


def cholesky_factor(a: Value, r: Routine) -> Any:
    """The lower Cholesky factor of a, above whose diagonal anything may stand."""
    factors = cholesky_call(a, r)
    info = get_result(factors, 1)
    is_good = compare(info, full_like(info, 0), "EQ", "SIGNED")
    return _or_nan(get_result(factors, 0), is_good)


def determinant_sign_by_factors(a: Value, r: Routine) -> Any:
    """The sign of det a by LU: of the diagonal of U, turned by each exchange of rows."""
    factors = lu(a, r)
    pivots = get_result(factors, 1)
    rows = iota(a.rank - 2, pivots.tensor)
    stays = compare(pivots, add(rows, full_like(rows, 1)), "EQ", "SIGNED")
    signs = unary("sign", diagonal_of(get_result(factors, 0)))
    return reduce_("multiply", select(stays, signs, unary("negate", signs)), (a.rank - 2,))


def lower_part(x: Value) -> Any:
    """x with zeros above the diagonal."""
    counts = TensorType(x.shape, "i32")
    rows, columns = iota(x.rank - 2, counts), iota(x.rank - 1, counts)
    return select(compare(rows, columns, "GE", "SIGNED"), x, full(0, x.tensor))


def cholesky_solution(a: Value, b: Value, r: Routine) -> Any:
    """a⁻¹b for Hermitian positive definite a."""
    factor, own = cholesky_factor(a, r), triangular_routine(r)
    half = triangular_solve(factor, b, LOWER, own)
    return triangular_solve(factor, half, LOWER._replace(transpose="ADJOINT"), own)


def diagonal_of(x: Value) -> Any:
    """The diagonals of the square matrices of x."""
    counts = TensorType(x.shape, "i32")
    mask = compare(iota(x.rank - 2, counts), iota(x.rank - 1, counts), "EQ", "SIGNED")
    return reduce_("add", select(mask, x, full(0, x.tensor)), (x.rank - 1,))


def diagonal_matrix(x: Value) -> Any:
    """Matrices with the last dimension of x on their diagonals, and zeros elsewhere."""
    shape = (*x.shape, x.shape[-1])
    counts = TensorType(shape, "i32")
    mask = compare(iota(x.rank - 1, counts), iota(x.rank, counts), "EQ", "SIGNED")
    return select(
        mask, broadcast_in_dim(x, shape, range(x.rank)), full(0, x.tensor.with_shape(shape))
    )


def identity_matrices(type: TensorType) -> Any:
    """Square identity matrices of this type."""
    counts = type.with_dtype("i32")
    mask = compare(iota(type.rank - 2, counts), iota(type.rank - 1, counts), "EQ", "SIGNED")
    return convert(mask, type.dtype)
