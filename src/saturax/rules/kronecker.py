"""Kronecker products: their solves and determinants are those of the factors.

Letters: x and y are the factors, whose product is the reshaped product of x, repeated for each
element of y, with y, repeated for each element of x; b is the right side, r the routine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    add,
    broadcast_in_dim,
    determinant_sign,
    full_like,
    log_abs_determinant,
    multiply,
    reshape,
    solve,
    transpose,
)
from saturax.graph.types import TensorType
from saturax.rules.rule import ROUNDING, need, rule

KRONECKER = "properties of Kronecker products"
Dimensions = tuple[int, ...]


def _sizes(x: Value, y: Value, w: Dimensions, d: Dimensions, f: Dimensions, s: Dimensions) -> Any:
    """Sizes of square x and y, in the order of the product; the rule does not apply to others."""
    need(x.rank == y.rank == 2 and x.size > 0 and y.size > 0)
    need(len(set(x.shape)) == len(set(y.shape)) == 1)
    n, m = x.shape[0], y.shape[0]
    need(tuple(d) == (0, 2) and tuple(f) == (1, 3))
    need(tuple(w) == (n, m, n, m) and tuple(s) == (n * m, n * m))
    return n, m


def _factors(rng: np.random.Generator) -> dict[str, Any]:
    n, m, k = (int(i) for i in rng.integers(1, 4, 3))
    dtype = str(rng.choice(["f32", "f64"]))
    x, y = TensorType((n, n), dtype), TensorType((m, m), dtype)
    product = {"w": (n, m, n, m), "d": (0, 2), "f": (1, 3), "s": (n * m, n * m)}
    return {"x": x, "y": y, "b": TensorType((n * m, k), dtype), **product}


def _alone(rng: np.random.Generator) -> dict[str, Any]:
    return {name: x for name, x in _factors(rng).items() if name != "b"}


@rule(
    lambda x, y, w, d, f, s, b, r: solve(
        reshape(multiply(broadcast_in_dim(x, w, d), broadcast_in_dim(y, w, f)), s), b, r
    ),
    numerics=ROUNDING,
    source=KRONECKER,
    examples=_factors,
)
def solve_with_kronecker_product(
    x: Value, y: Value, w: Any, d: Any, f: Any, s: Any, b: Value, r: Any
) -> Any:
    """(x ⊗ y)⁻¹b = x⁻¹·B·y⁻ᵀ, where B are the elements of b as a matrix, for each column"""
    n, m = _sizes(x, y, w, d, f, s)
    k = b.shape[-1]
    first = reshape(solve(x, reshape(b, (n, m * k)), r), (n, m, k))
    moved = reshape(transpose(first, (1, 0, 2)), (m, n * k))
    second = reshape(solve(y, moved, r), (m, n, k))
    return reshape(transpose(second, (1, 0, 2)), b.shape)


@rule(
    lambda x, y, w, d, f, s, r: log_abs_determinant(
        reshape(multiply(broadcast_in_dim(x, w, d), broadcast_in_dim(y, w, f)), s), r
    ),
    numerics=ROUNDING,
    source=KRONECKER,
    examples=_alone,
)
def determinant_of_kronecker_product(
    x: Value, y: Value, w: Any, d: Any, f: Any, s: Any, r: Any
) -> Any:
    """log|det(x ⊗ y)| = m·log|det x| + n·log|det y|, where n and m are the sizes of x and y"""
    n, m = _sizes(x, y, w, d, f, s)
    first, second = log_abs_determinant(x, r), log_abs_determinant(y, r)
    return add(multiply(first, full_like(first, m)), multiply(second, full_like(second, n)))


@rule(
    lambda x, y, w, d, f, s, r: determinant_sign(
        reshape(multiply(broadcast_in_dim(x, w, d), broadcast_in_dim(y, w, f)), s), r
    ),
    numerics=ROUNDING,
    source=KRONECKER,
    examples=_alone,
)
def determinant_sign_of_kronecker_product(
    x: Value, y: Value, w: Any, d: Any, f: Any, s: Any, r: Any
) -> Any:
    """sign det(x ⊗ y) = (sign det x)ᵐ·(sign det y)ⁿ, where n and m are the sizes of x and y"""
    n, m = _sizes(x, y, w, d, f, s)
    first, second = determinant_sign(x, r), determinant_sign(y, r)
    return multiply(_power(first, m), _power(second, n))


def _power(sign: Value, exponent: int) -> Any:
    """The power of 1, -1 or 0."""
    return sign if exponent % 2 else multiply(sign, sign)
