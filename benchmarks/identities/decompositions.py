"""Eigenvalues, singular values, orthogonal and Cholesky factors of matrices of a known form."""

from __future__ import annotations

import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from .row import Identity, definite, normal, regular, weights

ORDER = np.random.default_rng(0).permutation(64)

ROWS = (
    Identity(
        "eigenvalues_of_diagonal",
        lambda d: jnp.linalg.eigvalsh(jnp.diag(d)),
        lambda d: jnp.sort(d),
        (normal(64),),
        numerics="finite",
    ),
    Identity(
        "eigenvalues_of_shifted",
        lambda a: jnp.linalg.eigvalsh(a + 3.0 * jnp.eye(64)) - 3.0,
        lambda a: jnp.linalg.eigvalsh(a),
        (definite(64),),
        numerics="finite",
    ),
    Identity(
        "singular_values_of_diagonal",
        lambda d: jnp.linalg.svd(jnp.diag(d), compute_uv=False),
        lambda d: jnp.sort(jnp.abs(d))[::-1],
        (normal(64),),
        numerics="finite",
    ),
    Identity(
        "condition_of_scaled",
        lambda a: jnp.linalg.norm(3.0 * a, 2) / jnp.linalg.norm(3.0 * a, -2),
        lambda a: (lambda s: s[0] / s[-1])(jnp.linalg.svd(a, compute_uv=False)),
        (regular(64),),
        numerics="finite",
    ),
    Identity(
        "inverse_of_permutation_times_matrix",
        lambda x: jnp.linalg.inv(jnp.eye(64)[ORDER]) @ x,
        lambda x: x[np.argsort(ORDER)],
        (normal(64, 4),),
    ),
    Identity(
        "determinant_of_orthogonal_factor",
        lambda a: jnp.linalg.slogdet(jnp.linalg.qr(a)[0])[1],
        lambda a: jnp.float32(0),
        (regular(64),),
        numerics="finite",
    ),
    Identity(
        "solve_low_rank_update_by_cholesky",
        lambda u, b: jsl.cho_solve(jsl.cho_factor(jnp.eye(128) + u @ u.T), b),
        lambda u, b: b - u @ jnp.linalg.solve(jnp.eye(4) + u.T @ u, u.T @ b),
        (weights(128, 4), normal(128)),
        note="Woodbury's identity",
    ),
    Identity(
        "determinant_of_low_rank_update_by_cholesky",
        lambda u: 2 * jnp.sum(jnp.log(jnp.diag(jnp.linalg.cholesky(jnp.eye(128) + u @ u.T)))),
        lambda u: jnp.linalg.slogdet(jnp.eye(4) + u.T @ u)[1],
        (weights(128, 4),),
        note="matrix determinant lemma",
    ),
    Identity(
        "solve_gram_matrix_of_product_by_cholesky",
        lambda a, b: (lambda k: jsl.cho_solve(jsl.cho_factor(k), k @ b))(a @ a.T),
        lambda a, b: b,
        (regular(64), normal(64, 4)),
        numerics="finite",
    ),
    Identity(
        "orthogonal_factor_transposed_times_matrix",
        lambda a: jnp.linalg.qr(a)[0].T @ a,
        lambda a: jnp.linalg.qr(a)[1],
        (normal(256, 32),),
    ),
    Identity(
        "log_determinant_of_gram_by_cholesky",
        lambda a: 2 * jnp.sum(jnp.log(jnp.diag(jnp.linalg.cholesky(a @ a.T)))),
        lambda a: 2 * jnp.linalg.slogdet(a)[1],
        (regular(64),),
        numerics="finite",
    ),
)
