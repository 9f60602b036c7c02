"""Inverses, solutions, determinants, factorisations that can be shared."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl

from .row import Identity, N, definite, normal, regular, weights

A, SPD, B, V, D = regular(N), definite(N), normal(N, 8), normal(N), normal(N)


def _multiplied(u: jax.Array, s: jax.Array, v: jax.Array) -> jax.Array:
    return (u * s) @ v


def _variances(d: jax.Array) -> jax.Array:
    return jnp.exp(d) + 1e-3


def _solved_in_factors(d: jax.Array, u: jax.Array, b: jax.Array) -> jax.Array:
    w = u / d[:, None]
    inner: jax.Array = jnp.eye(u.shape[1]) + u.T @ w
    return b / d - w @ jnp.linalg.solve(inner, w.T @ b)


ROWS = (
    Identity(
        "inverse_times_vector",
        lambda a, b: jnp.linalg.inv(a) @ b,
        lambda a, b: jnp.linalg.solve(a, b),
        (A, V),
        True,
    ),
    Identity(
        "inverse_times_matrix",
        lambda a, b: jnp.linalg.inv(a) @ b,
        lambda a, b: jnp.linalg.solve(a, b),
        (A, B),
    ),
    Identity(
        "vector_times_inverse",
        lambda a, b: b @ jnp.linalg.inv(a),
        lambda a, b: jnp.linalg.solve(a.T, b),
        (A, V),
    ),
    Identity(
        "transposed_inverse_times_vector",
        lambda a, b: jnp.linalg.inv(a).T @ b,
        lambda a, b: jnp.linalg.solve(a.T, b),
        (A, V),
    ),
    Identity(
        "batched_inverse_times_vector",
        lambda a, b: (jnp.linalg.inv(a) @ b[..., None])[..., 0],
        lambda a, b: jnp.linalg.solve(a, b[..., None])[..., 0],
        (normal(16, 32, 32), normal(16, 32)),
    ),
    Identity(
        "inverse_of_inverse",
        lambda a: jnp.linalg.inv(jnp.linalg.inv(a)),
        lambda a: a,
        (A,),
        numerics="finite",
    ),
    Identity(
        "shared_factorisation",
        lambda a, b, c: (jnp.linalg.solve(a, b), jnp.linalg.solve(a, c)),
        lambda a, b, c: (jnp.linalg.solve(a, b), jsl.lu_solve(jsl.lu_factor(a), c)),
        (A, V, B),
        True,
        note="one factorisation for both",
    ),
    Identity(
        "solution_and_determinant",
        lambda a, b: (jnp.linalg.solve(a, b), jnp.linalg.slogdet(a)[1]),
        lambda a, b: (jsl.lu_solve(jsl.lu_factor(a), b), jnp.linalg.slogdet(a)[1]),
        (A, V),
        True,
        note="one factorisation for both",
    ),
    Identity(
        "quadratic_form_of_inverse",
        lambda a, b: b @ jnp.linalg.inv(a) @ b,
        lambda a, b: b @ jnp.linalg.solve(a, b),
        (SPD, V),
    ),
    Identity(
        "solution_of_product",
        lambda a, x: jnp.linalg.solve(a, a @ x),
        lambda a, x: x,
        (A, V),
        numerics="finite",
    ),
    Identity(
        "determinant_of_diagonal",
        lambda d: jnp.linalg.det(jnp.diag(d)),
        lambda d: jnp.prod(d),
        (normal(32),),
    ),
    Identity(
        "inverse_of_diagonal_times_vector",
        lambda d, b: jnp.linalg.inv(jnp.diag(d)) @ b,
        lambda d, b: b / d,
        (D, V),
    ),
    Identity(
        "solve_diagonal", lambda d, b: jnp.linalg.solve(jnp.diag(d), b), lambda d, b: b / d, (D, V)
    ),
    Identity(
        "determinant_of_transposed",
        lambda a: jnp.linalg.det(a) + jnp.linalg.det(a.T),
        lambda a: 2 * jnp.linalg.det(a),
        (regular(32),),
    ),
    Identity(
        "cholesky_of_gram",
        lambda a, b: jsl.cho_solve(jsl.cho_factor(a), b) + jsl.cho_solve(jsl.cho_factor(a), 2 * b),
        lambda a, b: 3 * jsl.cho_solve(jsl.cho_factor(a), b),
        (SPD, V),
    ),
    Identity(
        "triangular_inverse_times_vector",
        lambda a, b: jsl.solve_triangular(jnp.tril(a), jnp.eye(N), lower=True) @ b,
        lambda a, b: jsl.solve_triangular(jnp.tril(a), b, lower=True),
        (SPD, V),
    ),
    Identity(
        "log_determinant",
        lambda a: jnp.log(jnp.abs(jnp.linalg.det(a))),
        lambda a: jnp.linalg.slogdet(a)[1],
        (regular(32),),
    ),
    Identity(
        "trace_of_solution",
        lambda a, b: jnp.linalg.inv(a) @ b @ b.T @ b,
        lambda a, b: jnp.linalg.solve(a, b) @ (b.T @ b),
        (A, B),
    ),
    Identity(
        "least_squares_gram",
        lambda x, y: jnp.linalg.inv(x.T @ x) @ (x.T @ y),
        lambda x, y: jnp.linalg.solve(x.T @ x, x.T @ y),
        (normal(512, 32), normal(512)),
    ),
    Identity(
        "trace_of_cancelled_inverse",
        lambda a: jnp.trace(jnp.linalg.inv(a) @ a),
        lambda a: jnp.float32(N),
        (A,),
        numerics="finite",
    ),
    Identity(
        "orthogonal_factor_and_back",
        lambda a, x: (lambda q: q.T @ (q @ x))(jnp.linalg.qr(a)[0]),
        lambda a, x: x,
        (A, V),
        numerics="finite",
    ),
    Identity(
        "determinant_of_scaled_identity",
        lambda d: jnp.linalg.slogdet(jnp.diag(d))[1],
        lambda d: jnp.sum(jnp.log(jnp.abs(d))),
        (normal(32),),
    ),
    Identity(
        "solution_of_vector_product",
        lambda a, b: jnp.linalg.solve(a, a @ b),
        lambda a, b: b,
        (A, B),
        numerics="finite",
    ),
    Identity(
        "quadratic_form_of_solution",
        lambda a, x: x @ jnp.linalg.solve(a, a @ x),
        lambda a, x: x @ x,
        (A, V),
        numerics="finite",
    ),
    Identity(
        "two_inverses_of_product",
        lambda a, b, v: jnp.linalg.inv(a) @ (jnp.linalg.inv(b) @ v),
        lambda a, b, v: jnp.linalg.solve(a, jnp.linalg.solve(b, v)),
        (A, A, V),
    ),
    Identity(
        "cholesky_of_scaled",
        lambda a: jnp.linalg.cholesky(4.0 * a),
        lambda a: 2.0 * jnp.linalg.cholesky(a),
        (definite(64),),
    ),
    Identity(
        "inverse_of_scaled_times_vector",
        lambda a, b: jnp.linalg.inv(2.0 * a) @ b,
        lambda a, b: 0.5 * jnp.linalg.solve(a, b),
        (regular(64), normal(64)),
    ),
    Identity(
        "determinant_of_triangle",
        lambda a: jnp.linalg.det(jnp.tril(a)),
        lambda a: jnp.prod(jnp.diag(a)),
        (regular(32),),
    ),
    Identity(
        "determinant_of_blocks",
        lambda a, b: jnp.linalg.slogdet(jsl.block_diag(a, b))[1],
        lambda a, b: jnp.linalg.slogdet(a)[1] + jnp.linalg.slogdet(b)[1],
        (regular(32), regular(32)),
    ),
    Identity(
        "determinant_of_low_rank_update",
        lambda u: jnp.linalg.slogdet(jnp.eye(128) + u @ u.T)[1],
        lambda u: jnp.linalg.slogdet(jnp.eye(4) + u.T @ u)[1],
        (weights(128, 4),),
        note="matrix determinant lemma",
    ),
    Identity(
        "solve_low_rank_update",
        lambda u, b: jnp.linalg.solve(jnp.eye(128) + u @ u.T, b),
        lambda u, b: b - u @ jnp.linalg.solve(jnp.eye(4) + u.T @ u, u.T @ b),
        (weights(128, 4), normal(128)),
        note="Woodbury's identity",
    ),
    Identity(
        "solve_rank_one_update",
        lambda u, v, b: jnp.linalg.solve(jnp.eye(64) + jnp.outer(u, v), b),
        lambda u, v, b: b - u * (v @ b) / (1 + v @ u),
        (weights(64), weights(64), normal(64)),
        note="Sherman and Morrison",
    ),
    Identity(
        "ridge_in_dual_form",
        lambda x, y: x.T @ jnp.linalg.solve(x @ x.T + jnp.eye(N), y),
        lambda x, y: jnp.linalg.solve(x.T @ x + jnp.eye(8), x.T @ y),
        (normal(N, 8), V),
    ),
    Identity(
        "solve_with_blocks",
        lambda a, b, x: jnp.linalg.solve(jsl.block_diag(a, b), x),
        lambda a, b, x: jnp.concatenate([jnp.linalg.solve(a, x[:32]), jnp.linalg.solve(b, x[32:])]),
        (regular(32), regular(32), normal(64)),
    ),
    Identity(
        "solve_with_kronecker_product",
        lambda a, b, x: jnp.linalg.solve(jnp.kron(a, b), x),
        lambda a, b, x: jnp.linalg.solve(b, jnp.linalg.solve(a, x.reshape(8, 8)).T).T.ravel(),
        (regular(8), regular(8), normal(64)),
    ),
    Identity(
        "solve_with_product_of_triangles",
        lambda a, b: jnp.linalg.solve(jnp.tril(a) @ jnp.tril(a).T, b),
        lambda a, b: jsl.solve_triangular(
            jnp.tril(a), jsl.solve_triangular(jnp.tril(a), b, lower=True), lower=True, trans=1
        ),
        (regular(64), normal(64)),
    ),
    Identity(
        "inverse_of_orthogonal_factor",
        lambda a, b: jnp.linalg.inv(jnp.linalg.qr(a)[0]) @ b,
        lambda a, b: jnp.linalg.qr(a)[0].T @ b,
        (regular(64), normal(64)),
    ),
    Identity(
        "quadratic_form_by_cholesky",
        lambda a, x: jsl.cho_solve(jsl.cho_factor(a), x) @ x,
        lambda a, x: jnp.sum(jsl.solve_triangular(jnp.linalg.cholesky(a), x, lower=True) ** 2),
        (definite(64), normal(64)),
    ),
    Identity(
        "orthogonal_times_triangle",
        lambda a: (lambda q, r: q @ r)(*jnp.linalg.qr(a)),
        lambda a: a,
        (regular(N),),
    ),
    Identity(
        "eigenvectors_multiplied_back",
        lambda a: (lambda w, v: (v * w) @ v.T)(*jnp.linalg.eigh(a)),
        lambda a: (a + a.T) / 2,
        (definite(N),),
        numerics="finite",
    ),
    Identity(
        "cholesky_factor_squared",
        lambda a: (lambda low: low @ low.T)(jnp.linalg.cholesky(a)),
        lambda a: (a + a.T) / 2,
        (definite(N),),
        numerics="finite",
    ),
    Identity(
        "cholesky_of_blocks",
        lambda a, b: jnp.linalg.cholesky(jsl.block_diag(a, b)),
        lambda a, b: jsl.block_diag(jnp.linalg.cholesky(a), jnp.linalg.cholesky(b)),
        (definite(N // 2), definite(N // 2)),
    ),
    Identity(
        "sum_of_eigenvalues",
        lambda a: jnp.sum(jnp.linalg.eigvalsh(a + a.T)),
        lambda a: 2 * jnp.trace(a),
        (A,),
        numerics="finite",
    ),
    Identity(
        "solution_of_product_with_factor",
        lambda a, x: (lambda factor: jsl.solve_triangular(factor, factor @ x, lower=True))(
            jnp.linalg.cholesky(a)
        ),
        lambda a, x: x,
        (SPD, B),
        numerics="finite",
    ),
    Identity(
        "normal_equations_of_square_matrix",
        lambda a, x: jnp.linalg.inv(a.T @ a) @ (a.T @ x),
        lambda a, x: jnp.linalg.solve(a, x),
        (A, V),
        numerics="finite",
    ),
    Identity(
        "determinant_of_identity_and_outer_product",
        lambda u, v: jnp.linalg.det(jnp.eye(8) + jnp.outer(u, v)),
        lambda u, v: 1 + u @ v,
        (normal(8), normal(8)),
    ),
    Identity(
        "length_after_orthogonal_factor",
        lambda a, x: jnp.linalg.norm(jnp.linalg.qr(a)[0] @ x),
        lambda a, x: jnp.linalg.norm(x),
        (A, V),
        numerics="finite",
    ),
    Identity(
        "solution_multiplied_back",
        lambda a, b: a @ jnp.linalg.solve(a, b),
        lambda a, b: b,
        (A, B),
        numerics="finite",
    ),
    Identity(
        "singular_factors_multiplied_back",
        lambda a: _multiplied(*jnp.linalg.svd(a, full_matrices=False)),
        lambda a: a,
        (A,),
        numerics="finite",
    ),
    Identity(
        "sum_of_squared_singular_values",
        lambda a: jnp.sum(jnp.linalg.svd(a, compute_uv=False) ** 2),
        lambda a: jnp.sum(a * a),
        (A,),
        numerics="finite",
    ),
    Identity(
        "triangular_factor_squared",
        lambda a: jnp.linalg.qr(a, mode="r").T @ jnp.linalg.qr(a, mode="r"),
        lambda a: a.T @ a,
        (A,),
    ),
    Identity(
        "solve_updated_diagonal",
        lambda d, u, b: jnp.linalg.solve(jnp.diag(_variances(d)) + u @ u.T, b),
        lambda d, u, b: _solved_in_factors(_variances(d), u, b),
        (V, normal(N, 4), V),
    ),
    Identity(
        "determinant_of_updated_diagonal",
        lambda d, u: jnp.linalg.slogdet(jnp.diag(_variances(d)) + u @ u.T)[1],
        lambda d, u: (
            jnp.sum(jnp.log(_variances(d)))
            + jnp.linalg.slogdet(jnp.eye(4) + u.T @ (u / _variances(d)[:, None]))[1]
        ),
        (V, normal(N, 4)),
    ),
    Identity(
        "solve_with_masked_triangle",
        lambda a, b: jsl.solve_triangular(jnp.tril(a), b, lower=True),
        lambda a, b: jsl.solve_triangular(a, b, lower=True),
        (regular(N), normal(N)),
    ),
)
