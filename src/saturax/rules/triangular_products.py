"""Products with the results of triangular solves.

Letters: a is the matrix, b the right side, t the `Triangle`, r the routine, c the other factor,
d and p dimension numbers and precision of the product, e its element type.
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
    dot_general,
    reshape,
    triangular_solve,
)
from saturax.graph.types import TensorType, is_complex, numpy_dtype
from saturax.rules.arithmetic import is_uniform
from saturax.rules.einsum import Einsum, einsum_of
from saturax.rules.facts import is_identity
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.solving import (
    is_plain,
    product_across,
    product_inside,
    product_outside,
    product_with_inverse,
)
from saturax.rules.triangular import other_side, triangle_example

SOURCE = "a triangular solve is linear in its right side"


def _product_example(rng: np.random.Generator) -> dict[str, Any]:
    batch = tuple(int(n) for n in rng.integers(1, 3, rng.integers(0, 2)))
    n, m, k = (int(i) for i in rng.integers(1, 5, 3))
    t = triangle_example(rng)
    shape = (n, m) if t.is_left else (m, n)
    contracts = rng.random() < 0.5  # the columns of the solution, else its rows
    column = len(batch) + (1 if t.is_left == contracts else 0)
    other = len(batch) + int(rng.integers(0, 2))
    size = (*batch, *shape)[column]
    c_shape = [*batch, k, k]
    c_shape[other] = size
    dims = tuple(range(len(batch)))
    dtype = str(rng.choice(["f32", "f64", "complex<f32>"]))
    return {
        "a": TensorType((*batch, n, n), dtype),
        "b": TensorType((*batch, *shape), dtype),
        "c": TensorType(tuple(c_shape), dtype),
        "t": t,
        "flip": (DotDimensions(dims, dims, (column,), (other,)),),
        "e": dtype,
    }


def _solution_first(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _product_example(rng)
    (d,) = drawn.pop("flip")
    return drawn | {"d": d}


def _solution_last(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _product_example(rng)
    (d,) = drawn.pop("flip")
    return drawn | {"d": DotDimensions(d.rhs_batch, d.lhs_batch, d.rhs_contract, d.lhs_contract)}


# Products.


@rule(
    lambda a, b, t, r, c, d, p, e: dot_general(triangular_solve(a, b, t, r), c, d, p, e),
    numerics=ROUNDING,
    source=SOURCE,
    examples=_solution_first,
)
def multiply_before_triangular_solve(
    a: Value, b: Value, t: Any, r: Any, c: Value, d: Any, p: Any, e: str
) -> Any:
    """(T⁻¹b) · c = T⁻¹(b · c) if that has no more columns; b·T⁻¹ likewise"""
    need(is_uniform(e, b, c))
    return _inside(a, b, Triangle(*t), r, c, einsum_of(DotDimensions(*d), b.rank, c.rank), p, e)


@rule(
    lambda a, b, t, r, c, d, p, e: dot_general(c, triangular_solve(a, b, t, r), d, p, e),
    numerics=ROUNDING,
    source=SOURCE,
    examples=_solution_last,
)
def multiply_before_triangular_solve_from_left(
    a: Value, b: Value, t: Any, r: Any, c: Value, d: Any, p: Any, e: str
) -> Any:
    """c · (T⁻¹b) = T⁻¹(c · b) if columns of b are contracted, and there are no more of them then"""
    need(is_uniform(e, b, c))
    labels = einsum_of(DotDimensions(*d), c.rank, b.rank)
    labels = Einsum(labels.y, labels.x, labels.result)
    return _inside(a, b, Triangle(*t), r, c, labels, p, e)


def _inside(
    a: Value, b: Value, t: Triangle, r: Routine, c: Value, labels: Einsum, p: Precision, e: str
) -> Any:
    need(is_plain(Precision(*p)))
    return product_inside(
        lambda x: triangular_solve(a, x, t, r), b, c, labels, p, e, is_left=t.is_left
    )


@rule(
    lambda a, b, t, r, c, d, p, e: dot_general(triangular_solve(a, b, t, r), c, d, p, e),
    numerics=ROUNDING,
    source="c·(T⁻¹·b) = (c·T⁻¹)·b",
    examples=_solution_first,
)
def solve_for_other_factor(
    a: Value, b: Value, t: Any, r: Any, c: Value, d: Any, p: Any, e: str
) -> Any:
    """(T⁻¹b) · c = b · (c·T⁻¹) along what T mixes, if c has fewer columns; b·T⁻¹ likewise"""
    need(is_uniform(e, b, c))
    return _across(a, b, Triangle(*t), r, c, einsum_of(DotDimensions(*d), b.rank, c.rank), p, e)


@rule(
    lambda a, b, t, r, c, d, p, e: dot_general(c, triangular_solve(a, b, t, r), d, p, e),
    numerics=ROUNDING,
    source="c·(T⁻¹·b) = (c·T⁻¹)·b",
    examples=_solution_last,
)
def solve_for_other_factor_from_left(
    a: Value, b: Value, t: Any, r: Any, c: Value, d: Any, p: Any, e: str
) -> Any:
    """c · (T⁻¹b) = (c·T⁻¹) · b along what T mixes, if c has fewer columns; b·T⁻¹ likewise"""
    need(is_uniform(e, b, c))
    labels = einsum_of(DotDimensions(*d), c.rank, b.rank)
    labels = Einsum(labels.y, labels.x, labels.result)
    return _across(a, b, Triangle(*t), r, c, labels, p, e)


def _across(
    a: Value, b: Value, t: Triangle, r: Routine, c: Value, labels: Einsum, p: Precision, e: str
) -> Any:
    need(is_plain(Precision(*p)))
    return product_across(
        lambda x: triangular_solve(a, x, other_side(t), r), b, c, labels, p, e, is_left=t.is_left
    )


@rule(
    lambda a, x, y, d, p, e, t, r: triangular_solve(a, dot_general(x, y, d, p, e), t, r),
    numerics=ROUNDING,
    source=SOURCE,
)
def multiply_after_triangular_solve(
    a: Value, x: Value, y: Value, d: Any, p: Any, e: str, t: Any, r: Any
) -> Any:
    """T⁻¹(x · y) = (T⁻¹x) · y if x has fewer columns, and (x · y)·T⁻¹ = x · (y·T⁻¹)"""
    t = Triangle(*t)
    need(is_uniform(e, x, y) and is_plain(Precision(*p)))
    labels = einsum_of(DotDimensions(*d), x.rank, y.rank)
    if not t.is_left:
        x, y, labels = y, x, Einsum(labels.y, labels.x, labels.result)
    return product_outside(
        lambda z: triangular_solve(a, z, t, r), x, y, labels, p, e, is_left=t.is_left
    )


def _inverse_example(first: bool) -> Any:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        drawn = (_solution_first if first else _solution_last)(rng)
        a, c, d = drawn["a"], drawn["c"], drawn["d"]
        column = (d.lhs_contract if first else d.rhs_contract)[0]
        other = (d.rhs_contract if first else d.lhs_contract)[0]
        n = a.shape[-1]
        shape = tuple(n if i == other else size for i, size in enumerate(c.shape))
        assert column >= a.rank - 2
        eye = np.broadcast_to(np.eye(n), a.shape).astype(numpy_dtype(a.dtype))
        return drawn | {"b": Literal(eye), "c": c.with_shape(shape)}

    return draw


@rule(
    lambda a, b, t, r, c, d, p, e: dot_general(triangular_solve(a, b, t, r), c, d, p, e),
    numerics=ROUNDING,
    source="T⁻¹·c solves T·x = c",
    uses_facts=True,
    examples=_inverse_example(True),
)
def solve_with_inverse_of_triangle(
    a: Value, b: Value, t: Any, r: Any, c: Value, d: Any, p: Any, e: str
) -> Any:
    """(T⁻¹·1) · c = T⁻¹c, or c·T⁻¹ along the other dimension"""
    labels = einsum_of(DotDimensions(*d), b.rank, c.rank)
    return _with_inverse(a, b, Triangle(*t), r, c, labels, e)


@rule(
    lambda a, b, t, r, c, d, p, e: dot_general(c, triangular_solve(a, b, t, r), d, p, e),
    numerics=ROUNDING,
    source="c·T⁻¹ solves x·T = c",
    uses_facts=True,
    examples=_inverse_example(False),
)
def solve_with_inverse_of_triangle_from_left(
    a: Value, b: Value, t: Any, r: Any, c: Value, d: Any, p: Any, e: str
) -> Any:
    """c · (T⁻¹·1) = c·T⁻¹, or T⁻¹c along the other dimension"""
    labels = einsum_of(DotDimensions(*d), c.rank, b.rank)
    return _with_inverse(a, b, Triangle(*t), r, c, Einsum(labels.y, labels.x, labels.result), e)


def _with_inverse(
    a: Value, b: Value, t: Triangle, r: Routine, c: Value, labels: Einsum, e: str
) -> Any:
    need(is_identity(b) and is_uniform(e, b, c))
    return product_with_inverse(
        lambda x: triangular_solve(a, x, t, r),
        lambda x: triangular_solve(a, x, other_side(t), r),
        b,
        c,
        labels,
        t.is_left,
    )


# Quadratic forms: of x·(T·Tᵀ)⁻¹·x, half of the solution is enough.


def _half(a: Value, b: Value, t: Triangle, s: Triangle, r: Any, d: DotDimensions) -> Any:
    """T⁻¹b; the rule does not apply unless T⁻ᵀ(T⁻¹b) is contracted with b along what T mixes."""
    mixed = b.rank - 2 if t.is_left else b.rank - 1
    need(not is_complex(a.dtype) and t.transpose == "NO_TRANSPOSE" != s.transpose)
    need(s._replace(transpose="NO_TRANSPOSE") == t and mixed in d.lhs_contract)
    need(d.lhs_batch == d.rhs_batch and d.lhs_contract == d.rhs_contract)
    need(set(range(b.rank - 2)) <= {*d.lhs_batch, *d.lhs_contract})
    return triangular_solve(a, b, t, r)


@rule(
    lambda a, b, t, s, r, q, d, p, e: dot_general(
        triangular_solve(a, triangular_solve(a, b, t, r), s, q), b, d, p, e
    ),
    numerics=ROUNDING,
    source="x·(T·Tᵀ)⁻¹·x = |T⁻¹x|²",
    examples=lambda rng: _halves(rng),
)
def square_half_solution(
    a: Value, b: Value, t: Any, s: Any, r: Any, q: Any, d: Any, p: Any, e: str
) -> Any:
    """(T⁻ᵀh) · b = h · h, where h = T⁻¹b"""
    half = _half(a, b, Triangle(*t), Triangle(*s), r, DotDimensions(*d))
    return dot_general(half, half, d, p, e)


@rule(
    lambda a, b, t, s, r, q, d, p, e: dot_general(
        b, triangular_solve(a, triangular_solve(a, b, t, r), s, q), d, p, e
    ),
    numerics=ROUNDING,
    source="x·(T·Tᵀ)⁻¹·x = |T⁻¹x|²",
    examples=lambda rng: _halves(rng),
)
def square_half_solution_from_left(
    a: Value, b: Value, t: Any, s: Any, r: Any, q: Any, d: Any, p: Any, e: str
) -> Any:
    """b · (T⁻ᵀh) = h · h, where h = T⁻¹b"""
    half = _half(a, b, Triangle(*t), Triangle(*s), r, DotDimensions(*d))
    return dot_general(half, half, d, p, e)


def _half_column(a: Value, x: Value, c: Any, t: Triangle, s: Triangle, r: Any) -> Any:
    """T⁻¹x for a vector x as a column of shape c; the rule does not apply to other solutions."""
    need(x.rank == 1 and tuple(c) == (*x.shape, 1))
    return _half(a, reshape(x, c), t, s, r, DotDimensions((), (), (0,), (0,)))


@rule(
    lambda a, x, c, t, s, r, q, w, d, p, e: dot_general(
        reshape(triangular_solve(a, triangular_solve(a, reshape(x, c), t, r), s, q), w), x, d, p, e
    ),
    numerics=ROUNDING,
    source="x·(T·Tᵀ)⁻¹·x = |T⁻¹x|²",
    examples=lambda rng: _half_columns(rng),
)
def square_half_solution_of_vector(
    a: Value, x: Value, c: Any, t: Any, s: Any, r: Any, q: Any, w: Any, d: Any, p: Any, e: str
) -> Any:
    """(T⁻ᵀh) · x = h · h for vectors, where h = T⁻¹x"""
    half = reshape(_half_column(a, x, c, Triangle(*t), Triangle(*s), r), w)
    return dot_general(half, half, d, p, e)


@rule(
    lambda a, x, c, t, s, r, q, w, d, p, e: dot_general(
        x, reshape(triangular_solve(a, triangular_solve(a, reshape(x, c), t, r), s, q), w), d, p, e
    ),
    numerics=ROUNDING,
    source="x·(T·Tᵀ)⁻¹·x = |T⁻¹x|²",
    examples=lambda rng: _half_columns(rng),
)
def square_half_solution_of_vector_from_left(
    a: Value, x: Value, c: Any, t: Any, s: Any, r: Any, q: Any, w: Any, d: Any, p: Any, e: str
) -> Any:
    """x · (T⁻ᵀh) = h · h for vectors, where h = T⁻¹x"""
    half = reshape(_half_column(a, x, c, Triangle(*t), Triangle(*s), r), w)
    return dot_general(half, half, d, p, e)


def _half_columns(rng: np.random.Generator) -> dict[str, Any]:
    n, dtype = int(rng.integers(1, 5)), str(rng.choice(["f32", "f64"]))
    t = triangle_example(rng)._replace(transpose="NO_TRANSPOSE", is_left=True)
    return {
        "a": TensorType((n, n), dtype),
        "x": TensorType((n,), dtype),
        "c": (n, 1),
        "w": (n,),
        "t": t,
        "s": t._replace(transpose=str(rng.choice(["TRANSPOSE", "ADJOINT"]))),
        "d": DotDimensions((), (), (0,), (0,)),
        "e": dtype,
    }


def _halves(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _product_example(rng)
    t = drawn["t"]._replace(transpose="NO_TRANSPOSE")
    rank = len(drawn["b"].shape)
    mixed = rank - 2 if t.is_left else rank - 1
    batch, dtype = tuple(range(rank - 2)), str(rng.choice(["f32", "f64"]))
    contracted = (mixed,) if rng.random() < 0.5 else (rank - 2, rank - 1)
    return {
        "a": drawn["a"].with_dtype(dtype),
        "b": drawn["b"].with_dtype(dtype),
        "t": t,
        "s": t._replace(transpose=str(rng.choice(["TRANSPOSE", "ADJOINT"]))),
        "d": DotDimensions(batch, batch, contracted, contracted),
        "e": dtype,
    }
