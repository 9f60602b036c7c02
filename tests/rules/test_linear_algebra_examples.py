"""Examples of what the rules on solves and transforms prove together, and of what they must not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saturax.graph.build import GraphBuilder, building
from saturax.graph.ops import (
    Routine,
    Triangle,
    add,
    broadcast_in_dim,
    concatenate,
    convert,
    determinant_sign,
    divide,
    fft,
    full_like,
    iota,
    log_abs_determinant,
    matmul,
    multiply,
    reduce_,
    reshape,
    select,
    slice_,
    solve,
    transpose,
    triangular_solve,
    unary,
)
from saturax.graph.ops.elementwise import compare
from saturax.graph.reference import evaluate
from saturax.graph.types import TensorType
from saturax.rules.factors import diagonal_of
from saturax.rules.rule import FINITE, ROUNDING
from saturax.rules.small_systems import (
    cholesky_of_small,
    log_determinant_of_small,
    solve_small,
    triangular_solve_small,
)

from .proofs import Program, proves, tensor

LAPACK = Routine("lapack", True)
LOWER = Triangle(True, True, False)
N = 4
MATRIX, COLUMN = tensor(N, N), tensor(N, 1)
FAMILIES = ("systems", "linear_algebra", "determinants", "triangular", "triangular_products")
MOVES = ("layout", "reshaping", "contraction", "constants", "fourier", "fourier_real", "conversion")


def identity() -> Any:
    counts = TensorType((N, N), "i32")
    return convert(compare(iota(0, counts), iota(1, counts), "EQ", "SIGNED"), "f32")


def inverse(a: Any) -> Any:
    return solve(a, identity(), LAPACK)


def solved(a: Any, b: Any) -> Any:
    return solve(a, b, LAPACK)


def lower(a: Any, b: Any) -> Any:
    return triangular_solve(a, b, LOWER, LAPACK)


def swapped(a: Any) -> Any:
    return transpose(a, (1, 0))


def upper(a: Any) -> Any:
    counts = TensorType((N, N), "i32")
    mask = compare(iota(0, counts), iota(1, counts), "LE", "SIGNED")
    return select(mask, a, full_like(a, 0))


def determinant(a: Any) -> Any:
    size = unary("exponential", log_abs_determinant(a, LAPACK))
    return multiply(determinant_sign(a, LAPACK), size)


def product_of_diagonal(a: Any) -> Any:
    return reduce_("multiply", diagonal_of(a), (0,))


TRUE: dict[str, tuple[Program, Program, tuple[TensorType, ...]]] = {
    "inverse times column": (
        lambda a, b: matmul(inverse(a), b), solved, (MATRIX, COLUMN),
    ),
    "inverse times product": (
        lambda a, b, c: matmul(matmul(inverse(a), b), c),
        lambda a, b, c: solved(a, matmul(b, c)),
        (MATRIX, MATRIX, COLUMN),
    ),
    "row times inverse": (
        lambda a, b: matmul(swapped(b), inverse(a)),
        lambda a, b: swapped(solved(swapped(a), b)),
        (MATRIX, COLUMN),
    ),
    "transposed inverse": (
        lambda a, b: matmul(swapped(inverse(a)), b),
        lambda a, b: solved(swapped(a), b),
        (MATRIX, COLUMN),
    ),
    "two solves": (
        lambda a, b, c: add(solved(a, b), solved(a, c)),
        lambda a, b, c: solved(a, add(b, c)),
        (MATRIX, COLUMN, COLUMN),
    ),
    "column of inverse": (
        lambda a: slice_(inverse(a), (0, 1), (N, 2), (1, 1)),
        lambda a: solved(a, slice_(identity(), (0, 1), (N, 2), (1, 1))),
        (MATRIX,),
    ),
    "doubled matrix": (
        lambda a, b: solved(multiply(a, full_like(a, 2.0)), b),
        lambda a, b: divide(solved(a, b), full_like(b, 2.0)),
        (MATRIX, COLUMN),
    ),
    "batch with one matrix": (
        lambda a, b: solved(broadcast_in_dim(a, (2, N, N), (1, 2)), b),
        lambda a, b: transpose(
            reshape(solved(a, reshape(transpose(b, (1, 0, 2)), (N, 6))), (N, 2, 3)), (1, 0, 2)
        ),
        (MATRIX, tensor(2, N, 3)),
    ),
    "triangular inverse": (
        lambda a, b: matmul(lower(a, identity()), b), lower, (MATRIX, COLUMN),
    ),
    "triangular solves together": (
        lambda a, b, c: concatenate(lower(a, b), lower(a, c), 1),
        lambda a, b, c: lower(a, concatenate(b, c, 1)),
        (MATRIX, COLUMN, COLUMN),
    ),
    "determinant of inverse": (
        lambda a: log_abs_determinant(inverse(swapped(a)), LAPACK),
        lambda a: unary("negate", log_abs_determinant(a, LAPACK)),
        (MATRIX,),
    ),
    "determinant of triangular product": (
        lambda a, b: determinant(matmul(upper(a), upper(b))),
        lambda a, b: product_of_diagonal(matmul(upper(a), upper(b))),
        (MATRIX, MATRIX),
    ),
    "transform and back": (
        lambda x: fft(multiply(fft(x, "FFT", (8,)), full_like(x, 3.0)), "IFFT", (8,)),
        lambda x: multiply(x, full_like(x, 3.0)),
        (tensor(8, dtype="complex<f32>"),),
    ),
    "half of real": (
        lambda x: slice_(fft(convert(x, "complex<f32>"), "FFT", (8,)), (0,), (5,), (1,)),
        lambda x: fft(x, "RFFT", (8,)),
        (tensor(8),),
    ),
    "convolution of reals": (
        lambda x, y: unary(
            "real",
            fft(
                multiply(*(fft(convert(z, "complex<f32>"), "FFT", (8,)) for z in (x, y))),
                "IFFT",
                (8,),
            ),
        ),
        lambda x, y: fft(
            multiply(fft(x, "RFFT", (8,)), fft(y, "RFFT", (8,))), "IRFFT", (8,)
        ),
        (tensor(8), tensor(8)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUE)
def test_proved(name: str) -> None:
    start, goal, types = TRUE[name]
    assert proves(start, goal, *types, only=FAMILIES + MOVES)


def test_what_needs_an_inverse_to_exist_is_not_proved_by_default() -> None:
    programs: tuple[tuple[Program, Program], ...] = (
        (lambda a, b: solved(a, matmul(a, b)), lambda a, b: b),
        (lambda a, b: matmul(a, solved(a, b)), lambda a, b: b),
        (lambda a, b: matmul(inverse(inverse(a)), b), lambda a, b: matmul(a, b)),
    )
    for start, goal in programs:
        assert not proves(start, goal, MATRIX, COLUMN, only=FAMILIES + MOVES)
        assert proves(start, goal, MATRIX, COLUMN, numerics=FINITE, only=FAMILIES + MOVES)


@pytest.mark.parametrize(
    ("start", "goal"),
    [
        (lambda a, b: matmul(inverse(a), b), lambda a, b: solved(swapped(a), b)),
        (lambda a, b: matmul(inverse(a), b), lambda a, b: matmul(a, b)),
        (lambda a, b: solved(matmul(a, a), b), lambda a, b: solved(a, b)),
        (lambda a, b: solved(add(a, a), b), lambda a, b: add(solved(a, b), solved(a, b))),
    ],
)
def test_not_proved(start: Program, goal: Program) -> None:
    assert not proves(start, goal, MATRIX, COLUMN, only=FAMILIES + MOVES)


def _small(rule: Any, *arrays: np.ndarray, **attributes: Any) -> np.ndarray:
    """What a rule on small matrices makes of these."""
    types = tuple(TensorType(array.shape, "f64") for array in arrays)
    builder = GraphBuilder(types, exact=True)
    with building(builder):
        result = rule.apply(
            {"r": LAPACK, **attributes}, dict(zip("ab", builder.parameters, strict=False))
        )
    return evaluate(builder.finish([result]), list(arrays))[0]


@pytest.mark.parametrize("n", [3, 4])
def test_small_systems_whose_rows_change_places(n: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 9, n, n)), rng.normal(size=(2, 9, n, 2))
    a[0, :, 0, 0], a[1, :, :2, 0] = 1e-30, 0
    np.testing.assert_allclose(_small(solve_small, a, b), np.linalg.solve(a, b), rtol=1e-9)
    wanted = np.linalg.slogdet(a)[1]
    np.testing.assert_allclose(_small(log_determinant_of_small, a), wanted, atol=1e-9)


def test_small_matrices_that_are_singular() -> None:
    """The library finds no solution of the singular ones, and its determinant is 0."""
    a, b = np.random.default_rng(0).normal(size=(16, 3, 3)), np.ones((16, 3, 1))
    a[0], a[1, :, 1], a[2, 2] = 0, 0, 0
    is_singular = np.arange(16) < 3
    found = _small(solve_small, a, b)
    np.testing.assert_array_equal(np.isfinite(found).all((1, 2)), ~is_singular)
    np.testing.assert_array_equal(_small(log_determinant_of_small, a) == -np.inf, is_singular)


@pytest.mark.parametrize("is_left", [False, True])
@pytest.mark.parametrize("is_lower", [False, True])
@pytest.mark.parametrize("transpose", ["NO_TRANSPOSE", "TRANSPOSE", "ADJOINT"])
def test_small_triangles(is_left: bool, is_lower: bool, transpose: str) -> None:
    rng = np.random.default_rng(0)
    for n in (2, 3, 4):
        a = rng.normal(size=(5, n, n)) + 3 * np.eye(n)
        b = rng.normal(size=(5, n, 7) if is_left else (5, 7, n))
        for is_unit in (False, True):
            read = np.tril(a) if is_lower else np.triu(a)
            if is_unit:
                read = read * (1 - np.eye(n)) + np.eye(n)
            read = read if transpose == "NO_TRANSPOSE" else np.swapaxes(read, 1, 2)
            wanted = np.linalg.inv(read) @ b if is_left else b @ np.linalg.inv(read)
            t = Triangle(is_left, is_lower, is_unit, transpose)
            np.testing.assert_allclose(_small(triangular_solve_small, a, b, t=t), wanted, atol=1e-9)


@pytest.mark.parametrize("place", range(4))
def test_small_matrices_without_a_cholesky_factor(place: int) -> None:
    x = np.random.default_rng(0).normal(size=(16, 4, 4))
    a = x @ np.swapaxes(x, 1, 2) + np.eye(4)
    wanted = np.linalg.cholesky(a)
    a[3, place, place], wanted[3] = -1, np.where(np.tri(4), np.nan, 0)
    np.testing.assert_allclose(_small(cholesky_of_small, a), wanted, atol=1e-12)


@pytest.mark.parametrize("kind", ["FFT", "IFFT"])
def test_a_constant_signal_has_no_other_frequencies_where_it_is_finite(kind: str) -> None:
    """A program may ask of them whether x has a NaN or an infinity."""
    x = TensorType((3,), "complex<f32>")

    def start(x: Any) -> Any:
        return slice_(fft(broadcast_in_dim(x, (3, 8), (0,)), kind, (8,)), (0, 1), (3, 8), (1, 1))

    def goal(x: Any) -> Any:
        return full_like(start(x), 0)

    families = ("fourier", "layout", "slicing", "padding", "constants")
    assert proves(start, goal, x, numerics=FINITE, only=families)
    assert not proves(start, goal, x, numerics=ROUNDING, only=families)
