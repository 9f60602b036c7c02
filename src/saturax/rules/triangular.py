"""Triangular solves: products, slices and scales move through them; structure makes them cheaper.

Letters: a is the matrix, b the right side, t the `Triangle` (which side, which triangle, …), r the
routine, d and p dimension numbers and precision of a product, e its element type.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.facts.bands import EMPTY, band_of, common, contains_band
from saturax.facts.model import Band
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    DotDimensions,
    Triangle,
    binary,
    broadcast_in_dim,
    compare,
    concatenate,
    divide,
    dot_general,
    full,
    iota,
    reduce_,
    reshape,
    select,
    slice_,
    transpose,
    triangular_solve,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.arithmetic import is_uniform
from saturax.rules.factors import identity_matrices
from saturax.rules.facts import (
    facts_of,
    is_diagonal,
    is_lower_triangular,
    is_upper_triangular,
    splat_of,
)
from saturax.rules.permutations import invert
from saturax.rules.rule import FINITE, ROUNDING, need, rule
from saturax.rules.solving import (
    swap,
    swapped,
)

SOURCE = "a triangular solve is linear in its right side"
Dimensions = tuple[int, ...]


def turned(t: Triangle, dtype: str) -> Triangle:
    """How op(a)ᵀ reads a; the rule does not apply if that would be conj(a)."""
    names = {"NO_TRANSPOSE": "TRANSPOSE", "TRANSPOSE": "NO_TRANSPOSE"}
    if not is_complex(dtype):
        names["ADJOINT"] = "NO_TRANSPOSE"
    need(t.transpose in names)
    return t._replace(transpose=names[t.transpose])


def other_side(t: Triangle) -> Triangle:
    """The same matrix on the other side of the unknown."""
    return t._replace(is_left=not t.is_left)


# Examples: side conditions that random instances seldom meet.


def triangle_example(rng: np.random.Generator) -> Triangle:
    """Any `Triangle`."""
    transposes = ("NO_TRANSPOSE", "TRANSPOSE", "ADJOINT")
    left, lower, unit = (bool(rng.integers(0, 2)) for _ in range(3))
    return Triangle(left, lower, unit, str(rng.choice(transposes)))


@rule(
    lambda a, b, t, r: triangular_solve(a, b, t, r),
    numerics=ROUNDING,
    source="a diagonal matrix is inverted element by element",
    uses_facts=True,
    examples=lambda rng: _diagonal_matrix(rng),
)
def divide_by_diagonal(a: Value, b: Value, t: Any, r: Any) -> Any:
    """T⁻¹b = b / diagonal of T if T is diagonal, b itself if T counts as having ones there"""
    t = Triangle(*t)
    need(is_diagonal(a) and (t.transpose != "ADJOINT" or not is_complex(a.dtype)))
    if t.is_unit:
        return b
    rank = b.rank
    diagonal = reduce_("add", a, (rank - 2,))
    mixed = rank - 2 if t.is_left else rank - 1
    return divide(b, broadcast_in_dim(diagonal, b.shape, (*range(rank - 2), mixed)))


@rule(
    lambda a, x, d, p, e, t, r: triangular_solve(a, dot_general(a, x, d, p, e), t, r),
    numerics=FINITE,
    source="T⁻¹·T = 1",
    uses_facts=True,
    examples=lambda rng: _triangle_product(rng),
)
def cancel_product_in_triangular_solve(
    a: Value, x: Value, d: Any, p: Any, e: str, t: Any, r: Any
) -> Any:
    """T⁻¹(T · x) = x for an invertible triangular T"""
    t, rank = Triangle(*t), a.rank
    batch = tuple(range(rank - 2))
    need(t.is_left and not t.is_unit and t.transpose == "NO_TRANSPOSE" and is_uniform(e, a, x))
    need(is_lower_triangular(a) if t.is_lower else is_upper_triangular(a))
    need(DotDimensions(*d) == DotDimensions(batch, batch, (rank - 1,), (rank - 2,)))
    return x


def _triangle_product(rng: np.random.Generator) -> dict[str, Any]:
    n, m = (int(i) for i in rng.integers(1, 5, 2))
    is_lower = bool(rng.integers(0, 2))
    a = (np.tril if is_lower else np.triu)(rng.normal(size=(n, n))) + 3 * np.eye(n)
    t = Triangle(True, is_lower, False, "NO_TRANSPOSE")
    d = DotDimensions((), (), (1,), (0,))
    return {"a": Literal(a), "x": TensorType((n, m), "f64"), "d": d, "e": "f64", "t": t}


@rule(
    lambda a, t, r: triangular_solve(a, a, t, r),
    numerics=FINITE,
    source="T⁻¹·T = 1",
    uses_facts=True,
    examples=lambda rng: {k: v for k, v in _triangle_product(rng).items() if k in ("a", "t")},
)
def cancel_triangle(a: Value, t: Any, r: Any) -> Any:
    """T⁻¹·T = T·T⁻¹ = 1 for an invertible triangular T"""
    t = Triangle(*t)
    need(not t.is_unit and t.transpose == "NO_TRANSPOSE" and a.size > 0)
    need(is_lower_triangular(a) if t.is_lower else is_upper_triangular(a))
    return identity_matrices(a.tensor)


def _masked_triangle(rng: np.random.Generator) -> dict[str, Any]:
    """A matrix under a mask of the triangle that is solved with, or of what is beside it."""
    n, m = (int(i) for i in rng.integers(1, 5, 2))
    t, counts = triangle_example(rng)._replace(is_unit=False), TensorType((n, n), "i32")
    is_kept = rng.random() < 0.5
    kept, beside = ("GE", "LT") if t.is_lower else ("LE", "GT")
    builder = GraphBuilder()
    with building(builder):
        order = kept if is_kept else beside
        mask = builder.finish([compare(iota(0, counts), iota(1, counts), order, "SIGNED")])
    a = Literal(rng.normal(size=(n, n)) + 3 * np.eye(n))
    x, y = (a, splat(0, a.type)) if is_kept else (splat(0, a.type), a)
    b = TensorType((n, m) if t.is_left else (m, n), "f64")
    return {"p": mask, "x": x, "y": y, "b": b, "t": t}


@rule(
    lambda p, x, y, b, t, r: triangular_solve(select(p, x, y), b, t, r),
    numerics=ROUNDING,
    source="a triangular solve reads one triangle",
    uses_facts=True,
    examples=_masked_triangle,
)
def solve_without_mask(p: Value, x: Value, y: Value, b: Value, t: Any, r: Any) -> Any:
    """T⁻¹b with T = tril(x) or triu(x) is that with x: only the triangle itself is read"""
    known, n = facts_of(p).known, x.shape[-1]
    need(p.shape == x.shape and n > 0)
    read = Band(1 - n, 0) if Triangle(*t).is_lower else Band(0, n - 1)
    if known.full is not None and contains_band(known.full, read):
        return triangular_solve(x, b, t, r)
    need(common(band_of(facts_of(p)), read) == EMPTY)
    return triangular_solve(y, b, t, r)


def _diagonal_matrix(rng: np.random.Generator) -> dict[str, Any]:
    n, m = (int(i) for i in rng.integers(1, 5, 2))
    t = triangle_example(rng)
    a = Literal(np.diag(rng.normal(2.0, 1.0, n)))
    return {"a": a, "t": t, "b": TensorType((n, m) if t.is_left else (m, n), "f64")}


# Sums, scales and parts of the right side.


@rule(
    lambda f, a, x, y, t, r: binary(f, triangular_solve(a, x, t, r), triangular_solve(a, y, t, r)),
    numerics=ROUNDING,
    source=SOURCE,
)
def solve_sum_once(f: str, a: Value, x: Value, y: Value, t: Any, r: Any) -> Any:
    """T⁻¹x ± T⁻¹y = T⁻¹(x ± y)"""
    need(f in ("add", "subtract") and x.type == y.type)
    return triangular_solve(a, binary(f, x, y), t, r)


@rule(
    lambda a, b, t, r: triangular_solve(a, unary("negate", b), t, r),
    numerics=ROUNDING,
    source=SOURCE,
)
def negate_after_triangular_solve(a: Value, b: Value, t: Any, r: Any) -> Any:
    """T⁻¹(-b) = -(T⁻¹b)"""
    return unary("negate", triangular_solve(a, b, t, r))


@rule(
    lambda f, a, b, c, t, r: triangular_solve(a, binary(f, b, c), t, r),
    numerics=ROUNDING,
    source=SOURCE,
    uses_facts=True,
)
def scale_after_triangular_solve(f: str, a: Value, b: Value, c: Value, t: Any, r: Any) -> Any:
    """T⁻¹(c·b) = c·T⁻¹b and T⁻¹(b/c) = (T⁻¹b)/c if all elements of c are equal"""
    need(f in ("multiply", "divide") and splat_of(c) is not None)
    return binary(f, triangular_solve(a, b, t, r), c)


@rule(
    lambda f, a, b, s, w, d, t, r: triangular_solve(
        a, binary(f, b, broadcast_in_dim(s, w, d)), t, r
    ),
    numerics=ROUNDING,
    source=SOURCE,
)
def scale_columns_after_triangular_solve(
    f: str, a: Value, b: Value, s: Value, w: Dimensions, d: Dimensions, t: Any, r: Any
) -> Any:
    """T⁻¹(s·b) = s·T⁻¹b if s is the same along what T mixes, and the same for division"""
    mixed = b.rank - 2 if Triangle(*t).is_left else b.rank - 1
    need(f in ("multiply", "divide"))
    need(all(size == 1 for i, size in zip(d, s.shape, strict=True) if i == mixed))
    return binary(f, triangular_solve(a, b, t, r), broadcast_in_dim(s, w, d))


@rule(
    lambda f, a, c, b, t, r: triangular_solve(binary(f, a, c), b, t, r),
    numerics=ROUNDING,
    source="(c·T)⁻¹ = T⁻¹/c",
    uses_facts=True,
)
def scale_of_triangle_after_solve(f: str, a: Value, c: Value, b: Value, t: Any, r: Any) -> Any:
    """(c·T)⁻¹b = (T⁻¹b)/c and (T/c)⁻¹b = c·T⁻¹b if all elements of c are one real number, not 0"""
    t, value = Triangle(*t), splat_of(c)
    need(f in ("multiply", "divide") and value is not None and value != 0 and not t.is_unit)
    need(complex(value).imag == 0)
    inverse = "divide" if f == "multiply" else "multiply"
    return binary(inverse, triangular_solve(a, b, t, r), full(value, b.tensor))


@rule(
    lambda a, b, t, r, i, j, k: slice_(triangular_solve(a, b, t, r), i, j, k),
    numerics=ROUNDING,
    source="columns of a right side are solved one by one",
)
def solve_slice_of_columns(
    a: Value, b: Value, t: Any, r: Any, i: Dimensions, j: Dimensions, k: Dimensions
) -> Any:
    """(T⁻¹b)[s] = (T'⁻¹b')[s'], where b' has the columns and batches that s keeps"""
    mixed = b.rank - 2 if Triangle(*t).is_left else b.rank - 1
    whole = (0, b.shape[mixed], 1)
    inner = [whole if m == mixed else bounds for m, bounds in enumerate(zip(i, j, k, strict=True))]
    need(inner != [(0, n, 1) for n in b.shape])
    matrix = [*inner[:-2], (0, a.shape[-2], 1), (0, a.shape[-1], 1)]
    part = triangular_solve(_cut(a, matrix), _cut(b, inner), t, r)
    outer = [(0, n, 1) for n in part.shape]
    outer[mixed] = (i[mixed], j[mixed], k[mixed])
    return _cut(part, outer)


def _cut(x: Value, bounds: list[tuple[int, int, int]]) -> Any:
    if bounds == [(0, n, 1) for n in x.shape]:
        return x
    return slice_(x, *zip(*bounds, strict=True))


@rule(
    lambda a, x, y, t, r, d: concatenate(
        triangular_solve(a, x, t, r), triangular_solve(a, y, t, r), d
    ),
    numerics=ROUNDING,
    source="columns of a right side are solved one by one",
)
def solve_columns_together(a: Value, x: Value, y: Value, t: Any, r: Any, d: int) -> Any:
    """[T⁻¹x, T⁻¹y] = T⁻¹[x, y]"""
    need(d == (x.rank - 1 if Triangle(*t).is_left else x.rank - 2))
    return triangular_solve(a, concatenate(x, y, d), t, r)


@rule(
    lambda a, s, d, b, t, r: triangular_solve(broadcast_in_dim(a, s, d), b, t, r),
    numerics=ROUNDING,
    source="columns of a right side are solved one by one",
    examples=lambda rng: _repeated_matrix(rng),
)
def solve_batch_as_columns(a: Value, s: Dimensions, d: Dimensions, b: Value, t: Any, r: Any) -> Any:
    """T⁻¹bᵢ for each i of a batch, with one T = T⁻¹[b₁, b₂, …]"""
    t, rank = Triangle(*t), len(s)
    need(d == (rank - 2, rank - 1) and a.rank == 2 and rank > 2 and b.size > 0)
    need(a.shape == s[-2:])
    mixed, column = (rank - 2, rank - 1) if t.is_left else (rank - 1, rank - 2)
    order = (mixed, *range(rank - 2), column) if t.is_left else (*range(rank - 2), column, mixed)
    moved = transpose(b, order)
    n = b.shape[mixed]
    flat = (n, b.size // n) if t.is_left else (b.size // n, n)
    solution = triangular_solve(a, reshape(moved, flat), t, r)
    return transpose(reshape(solution, moved.shape), invert(order))


def _repeated_matrix(rng: np.random.Generator) -> dict[str, Any]:
    n, m, batch = (int(i) for i in rng.integers(1, 5, 3))
    t = triangle_example(rng)
    a = TensorType((n, n), "f32")
    shape = (batch, n, m) if t.is_left else (batch, m, n)
    return {"a": a, "s": (batch, n, n), "d": (1, 2), "t": t, "b": TensorType(shape, "f32")}


# Transposes.


@rule(
    lambda a, q, b, t, r: triangular_solve(transpose(a, q), b, t, r),
    numerics=ROUNDING,
    source="the transpose of a lower triangle is an upper one",
)
def solve_with_transposed_triangle(a: Value, q: Dimensions, b: Value, t: Any, r: Any) -> Any:
    """op(Aᵀ)⁻¹b with the lower triangle of Aᵀ = op'(A)⁻¹b with the upper triangle of A"""
    t = Triangle(*t)
    need(q == swap(a.rank))
    return triangular_solve(a, b, turned(t, a.dtype)._replace(is_lower=not t.is_lower), r)


@rule(
    lambda a, b, t, r, q: transpose(triangular_solve(a, b, t, r), q),
    numerics=ROUNDING,
    source="(T⁻¹b)ᵀ = bᵀ·T⁻ᵀ",
)
def transpose_before_triangular_solve(a: Value, b: Value, t: Any, r: Any, q: Dimensions) -> Any:
    """(T⁻¹b)ᵀ = bᵀ·T⁻ᵀ and (b·T⁻¹)ᵀ = T⁻ᵀ·bᵀ"""
    need(q == swap(b.rank))
    return triangular_solve(a, swapped(b), other_side(turned(Triangle(*t), a.dtype)), r)
