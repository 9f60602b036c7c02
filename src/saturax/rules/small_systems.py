"""Batches of small matrices, factored and solved entry by entry instead of by a call for each.

The steps are those of the library: Cholesky's, and elimination with the largest pivot in each
column. An entry of all matrices is one tensor, so that a batch is as wide as the vectors of the
processor. Letters as in `linear_algebra`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    Triangle,
    add,
    binary,
    broadcast_in_dim,
    cholesky,
    compare,
    concatenate_all,
    divide,
    full_like,
    log_abs_determinant,
    multiply,
    reshape,
    select,
    slice_,
    slice_dimension,
    solve,
    subtract,
    triangular_solve,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.triangular import triangle_example

# XLA:CPU's calls take 0.08 µs a Cholesky factor of 3×3 and 0.28 µs an inverse; the entries of 4,096
# factors together take 66 µs instead of 333, 1,024 solutions of 4×4 systems 76 instead of 318 (of
# 16, 17 instead of 13: prices tell).
_LARGEST_FACTORED, _LARGEST_SOLVED, _MOST_COLUMNS, _LEAST_BATCH = 4, 4, 4, 16
_WIDE = ("f32", "f64")


def _batch(rng: np.random.Generator) -> tuple[Literal, TensorType]:
    """Well-conditioned symmetric matrices of one small size, and right sides."""
    n, m = int(rng.integers(1, _LARGEST_SOLVED + 1)), int(rng.integers(1, _MOST_COLUMNS + 1))
    batch = (16,) if rng.integers(2) else (2, 9)
    x = rng.normal(size=(*batch, n, n))
    return Literal(x @ np.swapaxes(x, -1, -2) + np.eye(n)), TensorType((*batch, n, m), "f64")


def _matrices(rng: np.random.Generator) -> dict[str, Any]:
    """A batch and right sides; every other batch has rows that have to change places."""
    a, b = _batch(rng)
    rows = a.array[..., ::-1, :] if rng.integers(2) else a.array
    return {"a": Literal(np.ascontiguousarray(rows)), "b": b}


@rule(
    lambda a, r: cholesky(a, r),
    numerics=ROUNDING,
    source="LAPACK, potf2",
    examples=lambda rng: {"a": _batch(rng)[0]},
)
def cholesky_of_small(a: Value, r: Any) -> Any:
    """lᵢⱼ = (aᵢⱼ - Σₖ lᵢₖlⱼₖ) / lⱼⱼ for 16 or more matrices of up to 4×4, NaN if one lⱼⱼ is none"""
    n = _small(a, _LARGEST_FACTORED)
    entries = _entries(a)
    zero = full_like(entries[0][0], 0)
    factor: list[list[Any]] = [[zero] * n for _ in range(n)]
    is_good: Any = None
    for j in range(n):
        for i in range(j, n):
            terms = [multiply(factor[i][k], factor[j][k]) for k in range(j)]
            rest = reduce(subtract, terms, entries[i][j])
            if i == j:
                positive = compare(rest, zero, "GT", "FLOAT")
                is_good = positive if is_good is None else binary("and", is_good, positive)
            factor[i][j] = unary("sqrt", rest) if i == j else divide(rest, factor[j][j])
    nothing = full_like(zero, np.nan)
    rows = [[select(is_good, x, nothing) if k <= i else zero for k, x in enumerate(row)]
            for i, row in enumerate(factor)]  # fmt: skip
    return _assembled(rows, a.rank)


@rule(
    lambda a, b, r: solve(a, b, r),
    numerics=ROUNDING,
    source="Gaussian elimination with partial pivoting",
    examples=_matrices,
)
def solve_small(a: Value, b: Value, r: Any) -> Any:
    """a⁻¹b by elimination, for 16 or more matrices of up to 4×4 and up to 4 right sides"""
    n = _small(a, _LARGEST_SOLVED)
    need(b.rank == a.rank and 0 < b.shape[-1] <= _MOST_COLUMNS and b.dtype == a.dtype)
    rows = _eliminated([x + y for x, y in zip(_entries(a), _entries(b), strict=True)])
    solution: list[list[Any]] = []
    for i in reversed(range(n)):
        known = range(i + 1, n)
        row = []
        for column in range(b.shape[-1]):
            terms = [multiply(rows[i][k], solution[n - 1 - k][column]) for k in known]
            row.append(divide(reduce(subtract, terms, rows[i][n + column]), rows[i][i]))
        solution.append(row)
    return _assembled(solution[::-1], b.rank)


@rule(
    lambda a, r: log_abs_determinant(a, r),
    numerics=ROUNDING,
    source="Gaussian elimination with partial pivoting",
    examples=lambda rng: {"a": _matrices(rng)["a"]},
)
def log_determinant_of_small(a: Value, r: Any) -> Any:
    """log|det a| = Σ log|uᵢᵢ| by elimination, for 16 or more matrices of up to 4×4"""
    n = _small(a, _LARGEST_SOLVED)
    rows = _eliminated(_entries(a))
    return reduce(add, [unary("log", unary("abs", rows[i][i])) for i in range(n)])


def _triangles(rng: np.random.Generator) -> dict[str, Any]:
    """Small triangular matrices with anything in the other triangle, and many right sides."""
    n, m = int(rng.integers(2, _LARGEST_SOLVED + 1)), int(rng.integers(4, 9))
    batch, t = (2, 3), triangle_example(rng)
    a = rng.normal(size=(*batch, n, n)) + 3 * np.eye(n)
    b = TensorType((*batch, n, m) if t.is_left else (*batch, m, n), "f64")
    return {"a": Literal(a), "b": b, "t": t}


@rule(
    lambda a, b, t, r: triangular_solve(a, b, t, r),
    numerics=ROUNDING,
    source="forward and backward substitution",
    examples=_triangles,
)
def triangular_solve_small(a: Value, b: Value, t: Any, r: Any) -> Any:
    """xᵢ = (bᵢ - Σₖ tᵢₖxₖ) / tᵢᵢ for triangles of up to 4×4 with 16 or more right sides in all"""
    t = Triangle(*t)
    n, last = a.shape[-1], b.rank - 1
    need(a.dtype in _WIDE and b.dtype == a.dtype and 1 < n <= _LARGEST_SOLVED)
    need(b.size >= _LEAST_BATCH * n)
    # The unknowns of one right side stand along `axis`.
    axis = last - 1 if t.is_left else last
    shape = tuple(size for d, size in enumerate(b.shape) if d != axis)
    entries = _entries(a)
    is_turned = (t.transpose == "NO_TRANSPOSE") != t.is_left

    def entry(i: int, j: int) -> Any:
        own = entries[j][i] if is_turned else entries[i][j]
        return broadcast_in_dim(own, shape, tuple(range(own.rank)))

    solution: dict[int, Any] = {}
    for i in range(n) if t.is_lower != is_turned else reversed(range(n)):
        row = reshape(slice_dimension(b, axis, i, i + 1), shape)
        rest = reduce(subtract, [multiply(entry(i, k), solution[k]) for k in solution], row)
        solution[i] = rest if t.is_unit else divide(rest, entry(i, i))
    single = tuple(1 if d == axis else size for d, size in enumerate(b.shape))
    return concatenate_all([reshape(solution[i], single) for i in range(n)], axis)


def _small(a: Value, largest: int) -> int:
    """The size of the matrices of a, which need to be small and many."""
    n = a.shape[-1]
    need(a.dtype in _WIDE and 1 < n <= largest and a.shape[-2] == n)
    need(prod(a.shape[:-2]) >= _LEAST_BATCH)
    return n


def _entries(x: Value) -> list[list[Any]]:
    """What stands in each row and column, for the whole batch."""
    batch = x.shape[:-2]

    def entry(i: int, j: int) -> Any:
        start = (*[0] * len(batch), i, j)
        part = slice_(x, start, (*batch, i + 1, j + 1), (1,) * x.rank)
        return reshape(part, batch)

    return [[entry(i, j) for j in range(x.shape[-1])] for i in range(x.shape[-2])]


def _assembled(rows: Sequence[Sequence[Any]], rank: int) -> Any:
    """The matrices that have these entries."""

    def row(entries: Sequence[Any]) -> Any:
        parts = [reshape(entry, (*entry.shape, 1, 1)) for entry in entries]
        return concatenate_all(parts, rank - 1)

    return concatenate_all([row(entries) for entries in rows], rank - 2)


def _eliminated(rows: list[list[Any]]) -> list[list[Any]]:
    """Rows with nothing below the diagonal; each pivot is the largest left in its column."""
    n = len(rows)
    for k in range(n):
        for i in range(k + 1, n):
            larger = compare(unary("abs", rows[i][k]), unary("abs", rows[k][k]), "GT", "FLOAT")
            pairs = list(zip(rows[i], rows[k], strict=True))
            rows[k] = [select(larger, x, y) for x, y in pairs]
            rows[i] = [select(larger, y, x) for x, y in pairs]
        zero = full_like(rows[k][k], 0)
        is_zero = compare(rows[k][k], zero, "EQ", "FLOAT")
        for i in range(k + 1, n):  # the library leaves a column of zeros as it is
            factor = select(is_zero, zero, divide(rows[i][k], rows[k][k]))
            pairs = list(zip(rows[i], rows[k], strict=True))
            rows[i] = [subtract(x, multiply(factor, y)) for x, y in pairs]
    return rows
