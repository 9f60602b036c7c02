"""Products with a factor in common, and sums, differences and polynomials of products."""

from __future__ import annotations

import jax.numpy as jnp

from .row import Identity, N, normal, weights

A = B = C = weights(N, N)
X, V, TALL = normal(N, 4), normal(N), normal(N, 8)

ROWS = (
    Identity(
        "common_left_factor",
        lambda a, b, c: a @ b + a @ c,
        lambda a, b, c: a @ (b + c),
        (A, B, C),
        True,
    ),
    Identity(
        "common_right_factor",
        lambda a, b, c: b @ a - c @ a,
        lambda a, b, c: (b - c) @ a,
        (A, B, C),
    ),
    Identity(
        "common_factor_of_three",
        lambda a, b, c, d: a @ b + a @ c + a @ d,
        lambda a, b, c, d: a @ (b + c + d),
        (A, B, C, A),
    ),
    Identity(
        "common_factor_after_activation",
        lambda x, v, w: jnp.tanh(x @ v + x @ w),
        lambda x, v, w: jnp.tanh(x @ (v + w)),
        (A, B, C),
    ),
    Identity(
        "symmetric_product",
        lambda a: (a @ a.T).T,
        lambda a: a @ a.T,
        (A,),
        True,
        note="no kernel for half of a symmetric product: its transpose goes",
    ),
    Identity(
        "symmetrised_gram",
        lambda a: (a @ a.T + (a @ a.T).T) / 2,
        lambda a: a @ a.T,
        (A,),
    ),
    Identity(
        "identity_plus_rank_one",
        lambda u, v, x: (jnp.eye(N) + jnp.outer(u, v)) @ x,
        lambda u, v, x: x + u * (v @ x),
        (V, V, V),
    ),
    Identity(
        "householder",
        lambda v, a: (jnp.eye(N) - 2.0 * jnp.outer(v, v)) @ a,
        lambda v, a: a - jnp.outer(v, 2.0 * (v @ a)),
        (weights(N), A),
    ),
    Identity(
        "residual_product",
        lambda x, w: x + x @ w,
        lambda x, w: x + x @ w,
        (normal(8, N), A),
        note="already ideal: x (1 + w) would add a matrix",
    ),
    Identity(
        "common_factor_float64",
        lambda a, b, c: a @ b + c @ b,
        lambda a, b, c: (a + c) @ b,
        tuple(normal(N, N, dtype="float64") for _ in range(3)),
    ),
    Identity(
        "difference_of_squares_of_products",
        lambda a, b, x: (a @ x + b @ x) + (a @ x - b @ x),
        lambda a, b, x: 2 * (a @ x),
        (A, B, normal(N, 64)),
    ),
    Identity(
        "deflation",
        lambda a, u, x: (a - jnp.outer(u, u) @ a) @ x,
        lambda a, u, x: a @ x - u * (u @ (a @ x)),
        (A, V, V),
    ),
    Identity(
        "polynomial_of_matrix",
        lambda a, x: (a @ a @ a) @ x + (a @ a) @ x + a @ x,
        lambda a, x: a @ (a @ (a @ x + x) + x),
        (A, V),
    ),
    Identity(
        "common_left_factor_of_transposed",
        lambda a, b, c: a @ b + a @ c.T,
        lambda a, b, c: a @ (b + c.T),
        (A, B, C),
    ),
    Identity(
        "common_right_factor_of_transposed",
        lambda a, b, c: b @ a - c.T @ a,
        lambda a, b, c: (b - c.T) @ a,
        (A, B, C),
    ),
    Identity(
        "quadratic_form_of_skew_part",
        lambda a, x: x @ (a - a.T) @ x,
        lambda a, x: jnp.zeros(()),
        (A, V),
        numerics="finite",
    ),
    Identity(
        "quadratic_form_of_symmetric_part",
        lambda a, x: x @ (a + a.T) @ x,
        lambda a, x: 2 * (x @ (a @ x)),
        (A, V),
    ),
)
