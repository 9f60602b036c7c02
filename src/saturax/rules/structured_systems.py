"""Systems whose matrix is a product, scaled, reordered, orthogonal or in blocks.

Letters: a is the matrix, b the right side, r the routine, d and p dimension numbers and precision
of a product, e its element type. a⁻¹b is `solve`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.facts.model import contains
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    binary,
    broadcast_in_dim,
    cholesky,
    concatenate,
    concatenate_all,
    constant,
    dot_general,
    full,
    get_result,
    householder_product,
    qr,
    reverse,
    slice_dimension,
    solve,
    subtract,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.arithmetic import is_uniform
from saturax.rules.facts import (
    is_diagonal,
    is_lower_triangular,
    is_permutation_matrix,
    is_upper_triangular,
    zero_blocks_of,
)
from saturax.rules.linear_algebra import square_example
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.solving import is_plain, swapped

Dimensions = tuple[int, ...]
ROWS = "rows of a system may be scaled and exchanged, and unknowns, too"


def matrix_product(x: Value, y: Value) -> Any:
    """x·y, for each of the batch."""
    batch = tuple(range(x.rank - 2))
    d = DotDimensions(batch, batch, (x.rank - 1,), (x.rank - 2,))
    return dot_general(x, y, d, Precision(), x.dtype)


# Products.


@rule(
    lambda x, y, d, p, e, b, r: solve(dot_general(x, y, d, p, e), b, r),
    numerics=ROUNDING,
    source="(x·y)⁻¹ = y⁻¹·x⁻¹",
    examples=lambda rng: _factors(rng),
)
def solve_with_product(x: Value, y: Value, d: Any, p: Any, e: str, b: Value, r: Any) -> Any:
    """(x·y)⁻¹b = y⁻¹(x⁻¹b) for square x and y"""
    d, rank = DotDimensions(*d), x.rank
    batch = tuple(range(rank - 2))
    need(x.type == y.type and is_uniform(e, x, y) and x.shape[-1] == x.shape[-2])
    need(is_plain(Precision(*p)) and d.lhs_batch == d.rhs_batch == batch)
    need(len(d.lhs_contract) == 1 and x.size > 0)
    first = x if d.lhs_contract[0] == rank - 1 else swapped(x)
    second = y if d.rhs_contract[0] == rank - 2 else swapped(y)
    return solve(second, solve(first, b, r), r)


def _factors(rng: np.random.Generator) -> dict[str, Any]:
    drawn = square_example(rng)
    a, rank = drawn["a"], drawn["a"].rank
    batch = tuple(range(rank - 2))
    left, right = (rank - 2 + int(i) for i in rng.integers(0, 2, 2))
    d = DotDimensions(batch, batch, (left,), (right,))
    return {"x": a, "y": a, "d": d, "e": a.dtype, "b": a.with_shape((*a.shape[:-1], 2))}


@rule(
    lambda x, s, t, b, r: solve(
        householder_product(get_result(qr(x, s), 0), get_result(qr(x, s), 1), t), b, r
    ),
    numerics=ROUNDING,
    source="the inverse of an orthogonal matrix is its transpose",
    examples=lambda rng: {"x": TensorType((3, 3), "f64"), "b": TensorType((3, 2), "f64")},
)
def solve_with_orthogonal(x: Value, s: Any, t: Any, b: Value, r: Any) -> Any:
    """Q⁻¹b = Qᵀb for the factor Q of a real square matrix"""
    need(not is_complex(x.dtype) and x.shape[-1] == x.shape[-2])
    factors = qr(x, s)
    q = householder_product(get_result(factors, 0), get_result(factors, 1), t)
    return matrix_product(swapped(q), b)


@rule(
    lambda a, b, r: solve(a, b, r),
    numerics=ROUNDING,
    source="the inverse of a permutation is its transpose",
    uses_facts=True,
    examples=lambda rng: {
        "a": Literal(np.eye(4)[rng.permutation(4)]),
        "b": TensorType((4, int(rng.integers(1, 4))), "f64"),
    },
)
def solve_with_permutation(a: Value, b: Value, r: Any) -> Any:
    """a⁻¹b = aᵀb for a permutation matrix a"""
    need(is_permutation_matrix(a) and not is_diagonal(a) and b.size > 0)
    return matrix_product(swapped(a), b)


# Scaled and reordered rows and columns.


@rule(
    lambda f, a, s, w, d, b, r: solve(binary(f, a, broadcast_in_dim(s, w, d)), b, r),
    numerics=ROUNDING,
    source=ROWS,
    examples=lambda rng: _scaled(rng),
)
def solve_with_scaled_rows(
    f: str, a: Value, s: Value, w: Dimensions, d: Dimensions, b: Value, r: Any
) -> Any:
    """(diag(s)·a)⁻¹b = a⁻¹(b/s) and (a·diag(s))⁻¹b = (a⁻¹b)/s; b·s for matrices divided by s"""
    row, column = len(w) - 2, len(w) - 1
    need(f in ("multiply", "divide") and not {row, column} <= set(d) and 0 not in b.shape)
    inverse = "divide" if f == "multiply" else "multiply"
    scales = broadcast_in_dim(s, b.shape, tuple(row if i == column else i for i in d))
    if column in d:
        return binary(inverse, solve(a, b, r), scales)
    return solve(a, binary(inverse, b, scales), r)


def _scaled(rng: np.random.Generator) -> dict[str, Any]:
    drawn = square_example(rng)
    a = drawn["a"]
    d = (*range(a.rank - 2), a.rank - 2 + int(rng.integers(0, 2)))
    f = str(rng.choice(["multiply", "divide"]))
    b = a.with_shape((*a.shape[:-1], int(rng.integers(1, 4))))
    return {"f": f, "a": a, "s": a.with_shape(a.shape[:-1]), "w": a.shape, "d": d, "b": b}


@rule(
    lambda a, d, b, r: solve(reverse(a, d), b, r),
    numerics=ROUNDING,
    source=ROWS,
    examples=lambda rng: _reversed(rng),
)
def solve_with_reversed(a: Value, d: Dimensions, b: Value, r: Any) -> Any:
    """a⁻¹b with the rows of a reversed = a⁻¹ of reversed b; with columns, reversed a⁻¹b"""
    row, column = a.rank - 2, a.rank - 1
    need(set(d) <= {row, column})
    solution = solve(a, reverse(b, (row,)) if row in d else b, r)
    return reverse(solution, (row,)) if column in d else solution


def _reversed(rng: np.random.Generator) -> dict[str, Any]:
    a = square_example(rng)["a"]
    d = ((a.rank - 2,), (a.rank - 1,), (a.rank - 2, a.rank - 1))[int(rng.integers(0, 3))]
    return {"a": a, "d": d, "b": a.with_shape((*a.shape[:-1], int(rng.integers(1, 4))))}


# Blocks.


def block_size(a: Value) -> tuple[int, bool, bool]:
    """The size of the first of two diagonal blocks, and whether the lower left block beside them
    is 0, and the upper right one; the rule does not apply if neither is known to be.
    """
    sizes = [size for size in _block_sizes(a) if 0 < size < a.shape[-1]]
    need(sizes)
    n, size = a.shape[-1], sizes[0]
    lower = _is_zero_block(a, (size, n), (0, size))
    return size, lower, _is_zero_block(a, (0, size), (size, n))


def _block_sizes(a: Value) -> list[int]:
    n, batch, sizes = a.shape[-1], a.shape[:-2], list[int]()
    for begin, end in zero_blocks_of(a):
        (*first, top, left), (*last, bottom, right) = begin, end
        if any(first) or tuple(last) != batch:
            continue
        if (bottom, left) == (n, 0) and top <= right:
            sizes += top, right
        elif (top, right) == (0, n) and left <= bottom:
            sizes += left, bottom
    return sizes


def _is_zero_block(a: Value, rows: tuple[int, int], columns: tuple[int, int]) -> bool:
    """Whether one known block of zeros holds these rows and columns of all matrices."""
    begin = (*[0] * (a.rank - 2), rows[0], columns[0])
    end = (*a.shape[:-2], rows[1], columns[1])
    return any(contains(box, (begin, end)) for box in zero_blocks_of(a))


def block(a: Value, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """Rows and columns of each matrix of a."""
    return slice_dimension(slice_dimension(a, a.rank - 2, *rows), a.rank - 1, *columns)


@rule(
    lambda a, b, r: solve(a, b, r),
    numerics=ROUNDING,
    source="substitution",
    uses_facts=True,
    examples=lambda rng: block_example(rng),
)
def solve_in_blocks(a: Value, b: Value, r: Any) -> Any:
    """[e, 0; g, h]⁻¹[b₁; b₂] = [x; h⁻¹(b₂ - g·x)] with x = e⁻¹b₁, and with the other block 0"""
    need(not is_lower_triangular(a) and not is_upper_triangular(a) and b.size > 0)
    size, lower, upper = block_size(a)
    parts = (0, size), (size, a.shape[-1])
    sides = [slice_dimension(b, b.rank - 2, *part) for part in parts]
    first, second = (0, 1) if upper else (1, 0)
    solutions: list[Any] = [None, None]
    solutions[first] = solve(block(a, parts[first], parts[first]), sides[first], r)
    if not (lower and upper):
        beside = matrix_product(block(a, parts[second], parts[first]), solutions[first])
        sides[second] = subtract(sides[second], beside)
    solutions[second] = solve(block(a, parts[second], parts[second]), sides[second], r)
    return concatenate_all(solutions, b.rank - 2)


@rule(
    lambda a, r: cholesky(a, r),
    numerics=ROUNDING,
    source="the factor of a block diagonal matrix",
    uses_facts=True,
    examples=lambda rng: {"a": _definite_blocks(rng)},
)
def cholesky_in_blocks(a: Value, r: Any) -> Any:
    """The Cholesky factor of [e, 0; 0, h] has the factors of e and h on its own diagonal"""
    need(not is_diagonal(a))
    size, lower, upper = block_size(a)
    need(lower and upper)
    parts = (0, size), (size, a.shape[-1])
    first, second = (cholesky(block(a, part, part), r) for part in parts)
    zeros = full(0, first.tensor.with_shape((*a.shape[:-2], size, a.shape[-1] - size)))
    top = concatenate(first, zeros, a.rank - 1)
    bottom = concatenate(swapped(zeros), second, a.rank - 1)
    return concatenate(top, bottom, a.rank - 2)


def _definite_blocks(rng: np.random.Generator) -> Graph:
    """A block diagonal matrix of two that are positive definite."""
    n, m = (int(k) for k in rng.integers(2, 4, 2))
    builder = GraphBuilder()
    with building(builder):
        first, second = (constant(Literal(_definite(rng, k))) for k in (n, m))
        top = concatenate(first, full(0, TensorType((n, m), "f64")), 1)
        bottom = concatenate(full(0, TensorType((m, n), "f64")), second, 1)
        return builder.finish([concatenate(top, bottom, 0)])


def _definite(rng: np.random.Generator, n: int) -> np.ndarray:
    x = rng.normal(size=(n, n))
    return x @ x.T + np.eye(n)


def block_example(rng: np.random.Generator) -> dict[str, Any]:
    """Block triangular or block diagonal a, computed from a dense one, and b with as many rows."""
    batch = tuple(int(n) for n in rng.integers(1, 3, rng.integers(0, 2)))
    n, m = (int(i) for i in rng.integers(2, 4, 2))
    type = TensorType((*batch, n + m, n + m), "f64")
    builder = GraphBuilder((type,), exact=True)
    (x,) = builder.parameters
    zeroed = int(rng.integers(0, 3))
    with building(builder):
        corners = [[block(x, rows, columns) for columns in _parts(n, m)] for rows in _parts(n, m)]
        if zeroed != 0:
            corners[1][0] = full(0, corners[1][0].tensor)
        if zeroed != 1:
            corners[0][1] = full(0, corners[0][1].tensor)
        rows = [concatenate_all(row, len(batch) + 1) for row in corners]
        a: Graph = builder.finish([concatenate_all(rows, len(batch))])
    return {"a": a, "b": TensorType((*batch, n + m, int(rng.integers(1, 4))), "f64")}


def _parts(n: int, m: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (0, n), (n, n + m)
