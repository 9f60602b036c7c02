"""Systems a·x = b as notions: products, sums, scales, columns and batches move through them.

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
    Routine,
    binary,
    broadcast_in_dim,
    concatenate,
    dot_general,
    full,
    multiply,
    reshape,
    slice_,
    solve,
    transpose,
)
from saturax.graph.types import TensorType, numpy_dtype
from saturax.rules.arithmetic import is_uniform
from saturax.rules.einsum import Einsum, einsum_of
from saturax.rules.facts import is_identity, is_symmetric, splat_of
from saturax.rules.linear_algebra import square_example
from saturax.rules.permutations import invert
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.solving import (
    is_plain,
    product_across,
    product_inside,
    product_outside,
    product_with_inverse,
    swap,
    swapped,
)

LINEAR = "a solve is linear in its right side"
Dimensions = tuple[int, ...]


def _from_right(a: Value, b: Value, r: Routine) -> Any:
    """b·a⁻¹"""
    return swapped(solve(swapped(a), swapped(b), r))


# Examples.


def _product_example(rng: np.random.Generator) -> dict[str, Any]:
    batch = tuple(int(n) for n in rng.integers(1, 3, rng.integers(0, 2)))
    n, m, k = (int(i) for i in rng.integers(1, 5, 3))
    column = len(batch) + int(rng.integers(0, 2))
    other = len(batch) + int(rng.integers(0, 2))
    c_shape = [*batch, k, k]
    c_shape[other] = (*batch, n, m)[column]
    dims = tuple(range(len(batch)))
    dtype = str(rng.choice(["f32", "f64", "complex<f32>"]))
    return {
        "a": TensorType((*batch, n, n), dtype),
        "b": TensorType((*batch, n, m), dtype),
        "c": TensorType(tuple(c_shape), dtype),
        "d": DotDimensions(dims, dims, (column,), (other,)),
        "e": dtype,
        "r": Routine("lapack", True),
    }


def _reversed(draw: Any) -> Any:
    def drawn(rng: np.random.Generator) -> dict[str, Any]:
        found = draw(rng)
        d = found["d"]
        other = DotDimensions(d.rhs_batch, d.lhs_batch, d.rhs_contract, d.lhs_contract)
        return {**found, "d": other}

    return drawn


def _inverse_example(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _product_example(rng)
    a, c, d = drawn["a"], drawn["c"], drawn["d"]
    n = a.shape[-1]
    shape = tuple(n if i in d.rhs_contract else size for i, size in enumerate(c.shape))
    eye = np.broadcast_to(np.eye(n), a.shape).astype(numpy_dtype(a.dtype))
    return drawn | {"b": Literal(eye), "c": c.with_shape(shape)}


# Products with solutions.


@rule(
    lambda a, b, r, c, d, p, e: dot_general(solve(a, b, r), c, d, p, e),
    numerics=ROUNDING,
    source=LINEAR,
    examples=_product_example,
)
def multiply_before_solve(a: Value, b: Value, r: Any, c: Value, d: Any, p: Any, e: str) -> Any:
    """(a⁻¹b) · c = a⁻¹(b · c) if that has no more columns"""
    return _inside(a, b, r, c, einsum_of(DotDimensions(*d), b.rank, c.rank), p, e)


@rule(
    lambda a, b, r, c, d, p, e: dot_general(c, solve(a, b, r), d, p, e),
    numerics=ROUNDING,
    source=LINEAR,
    examples=_reversed(_product_example),
)
def multiply_before_solve_from_left(
    a: Value, b: Value, r: Any, c: Value, d: Any, p: Any, e: str
) -> Any:
    """c · (a⁻¹b) = a⁻¹(c · b) if columns of b are contracted, and there are no more of them then"""
    labels = einsum_of(DotDimensions(*d), c.rank, b.rank)
    return _inside(a, b, r, c, Einsum(labels.y, labels.x, labels.result), p, e)


def _inside(a: Value, b: Value, r: Any, c: Value, labels: Einsum, p: Any, e: str) -> Any:
    need(is_uniform(e, b, c) and is_plain(p))
    return product_inside(lambda x: solve(a, x, r), b, c, labels, p, e)


@rule(
    lambda a, b, r, c, d, p, e: dot_general(solve(a, b, r), c, d, p, e),
    numerics=ROUNDING,
    source="c·(a⁻¹·b) = (c·a⁻¹)·b",
    examples=_product_example,
)
def solve_other_factor(a: Value, b: Value, r: Any, c: Value, d: Any, p: Any, e: str) -> Any:
    """(a⁻¹b) · c = b · (c·a⁻¹) along rows of the solution, if c has fewer columns"""
    return _across(a, b, r, c, einsum_of(DotDimensions(*d), b.rank, c.rank), p, e)


@rule(
    lambda a, b, r, c, d, p, e: dot_general(c, solve(a, b, r), d, p, e),
    numerics=ROUNDING,
    source="c·(a⁻¹·b) = (c·a⁻¹)·b",
    examples=_reversed(_product_example),
)
def solve_other_factor_from_left(
    a: Value, b: Value, r: Any, c: Value, d: Any, p: Any, e: str
) -> Any:
    """c · (a⁻¹b) = (c·a⁻¹) · b along rows of the solution, if c has fewer columns"""
    labels = einsum_of(DotDimensions(*d), c.rank, b.rank)
    return _across(a, b, r, c, Einsum(labels.y, labels.x, labels.result), p, e)


def _across(a: Value, b: Value, r: Any, c: Value, labels: Einsum, p: Any, e: str) -> Any:
    need(is_uniform(e, b, c) and is_plain(p))
    return product_across(lambda x: _from_right(a, x, r), b, c, labels, p, e)


@rule(
    lambda a, b, r, c, d, p, e: dot_general(solve(a, b, r), c, d, p, e),
    numerics=ROUNDING,
    source="a⁻¹·c solves a·x = c",
    uses_facts=True,
    examples=_inverse_example,
)
def solve_with_inverse(a: Value, b: Value, r: Any, c: Value, d: Any, p: Any, e: str) -> Any:
    """(a⁻¹·1) · c = a⁻¹c, or c·a⁻¹ along the other dimension"""
    return _with_inverse(a, b, r, c, einsum_of(DotDimensions(*d), b.rank, c.rank), e)


@rule(
    lambda a, b, r, c, d, p, e: dot_general(c, solve(a, b, r), d, p, e),
    numerics=ROUNDING,
    source="c·a⁻¹ solves x·a = c",
    uses_facts=True,
    examples=_reversed(_inverse_example),
)
def solve_with_inverse_from_left(
    a: Value, b: Value, r: Any, c: Value, d: Any, p: Any, e: str
) -> Any:
    """c · (a⁻¹·1) = c·a⁻¹, or a⁻¹c along the other dimension"""
    labels = einsum_of(DotDimensions(*d), c.rank, b.rank)
    return _with_inverse(a, b, r, c, Einsum(labels.y, labels.x, labels.result), e)


def _with_inverse(a: Value, b: Value, r: Any, c: Value, labels: Einsum, e: str) -> Any:
    need(is_identity(b) and is_uniform(e, b, c))
    return product_with_inverse(
        lambda x: solve(a, x, r), lambda x: _from_right(a, x, r), b, c, labels
    )


@rule(
    lambda a, x, y, d, p, e, r: solve(a, dot_general(x, y, d, p, e), r),
    numerics=ROUNDING,
    source=LINEAR,
)
def multiply_after_solve(a: Value, x: Value, y: Value, d: Any, p: Any, e: str, r: Any) -> Any:
    """a⁻¹(x · y) = (a⁻¹x) · y if x has fewer columns"""
    need(is_uniform(e, x, y) and is_plain(p))
    labels = einsum_of(DotDimensions(*d), x.rank, y.rank)
    return product_outside(lambda z: solve(a, z, r), x, y, labels, p, e)


# Sums, scales, columns and batches.


@rule(
    lambda f, a, x, y, r: binary(f, solve(a, x, r), solve(a, y, r)),
    numerics=ROUNDING,
    source=LINEAR,
)
def add_before_solve(f: str, a: Value, x: Value, y: Value, r: Any) -> Any:
    """a⁻¹x ± a⁻¹y = a⁻¹(x ± y)"""
    need(f in ("add", "subtract"))
    return solve(a, binary(f, x, y), r)


@rule(
    lambda f, a, x, y, r, s: binary(f, reshape(solve(a, x, r), s), reshape(solve(a, y, r), s)),
    numerics=ROUNDING,
    source=LINEAR,
)
def add_before_solve_and_reshape(
    f: str, a: Value, x: Value, y: Value, r: Any, s: Dimensions
) -> Any:
    """reshape(a⁻¹x) ± reshape(a⁻¹y) = reshape(a⁻¹(x ± y))"""
    need(f in ("add", "subtract") and x.type == y.type)
    return reshape(solve(a, binary(f, x, y), r), s)


@rule(
    lambda a, v, s, d, r: solve(a, broadcast_in_dim(v, s, d), r),
    numerics=ROUNDING,
    source="a⁻¹(1·vᵀ) = (a⁻¹1)·vᵀ",
)
def solve_for_equal_rows(a: Value, v: Value, s: Dimensions, d: Dimensions, r: Any) -> Any:
    """a⁻¹b = (a⁻¹1)·b, element by element, if all rows of b are equal and there is more than one"""
    row = len(s) - 2
    need(row not in d and s[row] > 1 and s[row + 1] > 1)
    ones = full(1, TensorType((*s[:-1], 1), v.dtype))
    column = reshape(solve(a, ones, r), s[:-1])
    return multiply(broadcast_in_dim(column, s, range(row + 1)), broadcast_in_dim(v, s, d))


@rule(
    lambda f, a, b, c, r: solve(a, binary(f, b, c), r),
    numerics=ROUNDING,
    source=LINEAR,
    uses_facts=True,
)
def scale_after_solve(f: str, a: Value, b: Value, c: Value, r: Any) -> Any:
    """a⁻¹(c·b) = c·a⁻¹b and a⁻¹(b/c) = (a⁻¹b)/c if all elements of c are equal"""
    need(f in ("multiply", "divide") and splat_of(c) is not None)
    return binary(f, solve(a, b, r), c)


@rule(
    lambda f, a, c, b, r: solve(binary(f, a, c), b, r),
    numerics=ROUNDING,
    source="(c·a)⁻¹ = a⁻¹/c",
    uses_facts=True,
)
def scale_of_matrix_after_solve(f: str, a: Value, c: Value, b: Value, r: Any) -> Any:
    """(c·a)⁻¹b = (a⁻¹b)/c and (a/c)⁻¹b = c·a⁻¹b if all elements of c are one number, not 0"""
    value = splat_of(c)
    need(f in ("multiply", "divide") and value is not None and value != 0)
    inverse = "divide" if f == "multiply" else "multiply"
    return binary(inverse, solve(a, b, r), full(value, b.tensor))


@rule(
    lambda a, b, r, i, j, k: slice_(solve(a, b, r), i, j, k),
    numerics=ROUNDING,
    source="columns of a right side are solved one by one",
)
def solve_fewer_columns(
    a: Value, b: Value, r: Any, i: Dimensions, j: Dimensions, k: Dimensions
) -> Any:
    """(a⁻¹b)[:, s] = a⁻¹(b[:, s])"""
    row, whole = b.rank - 2, [(0, n, 1) for n in b.shape]
    bounds = list(zip(i, j, k, strict=True))
    need(bounds[:-1] == whole[:-1] and bounds[row + 1] != whole[row + 1])
    return solve(a, slice_(b, i, j, k), r)


@rule(
    lambda a, x, y, r, d: concatenate(solve(a, x, r), solve(a, y, r), d),
    numerics=ROUNDING,
    source="columns of a right side are solved one by one",
)
def solve_together(a: Value, x: Value, y: Value, r: Any, d: int) -> Any:
    """[a⁻¹x, a⁻¹y] = a⁻¹[x, y]"""
    need(d == x.rank - 1)
    return solve(a, concatenate(x, y, d), r)


@rule(
    lambda a, s, d, b, r: solve(broadcast_in_dim(a, s, d), b, r),
    numerics=ROUNDING,
    source="columns of a right side are solved one by one",
    examples=lambda rng: _repeated_matrix(rng),
)
def factor_repeated_matrix_once(a: Value, s: Dimensions, d: Dimensions, b: Value, r: Any) -> Any:
    """a⁻¹bᵢ for each i of a batch, with one a = a⁻¹[b₁, b₂, …]"""
    rank = len(s)
    need(d == (rank - 2, rank - 1) and a.shape == s[-2:] and rank > 2 and b.size > 0)
    order = (rank - 2, *range(rank - 2), rank - 1)
    moved, n = transpose(b, order), b.shape[-2]
    solution = solve(a, reshape(moved, (n, b.size // n)), r)
    return transpose(reshape(solution, moved.shape), invert(order))


def _repeated_matrix(rng: np.random.Generator) -> dict[str, Any]:
    n, m, batch = (int(i) for i in rng.integers(1, 5, 3))
    b = TensorType((batch, n, m), "f32")
    return {"a": TensorType((n, n), "f32"), "s": (batch, n, n), "d": (1, 2), "b": b}


@rule(
    lambda a, i, r, q: transpose(solve(a, i, r), q),
    numerics=ROUNDING,
    source="(a⁻¹)ᵀ = (aᵀ)⁻¹",
    uses_facts=True,
    examples=square_example,
)
def transpose_of_inverse(a: Value, i: Value, r: Any, q: Dimensions) -> Any:
    """(a⁻¹)ᵀ = (aᵀ)⁻¹, and a⁻¹ itself if a is symmetric"""
    need(is_identity(i) and q == swap(a.rank))
    return solve(a if is_symmetric(a) else swapped(a), i, r)
