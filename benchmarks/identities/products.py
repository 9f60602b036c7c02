"""Products of matrices: association, factoring, and parts or sums of a product."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from .row import BY_PRODUCT, Identity, N, integers, normal, weights

ORDER = np.random.default_rng(0).permutation(N)
A = B = C = weights(N, N)
X, V, TALL = normal(N, 4), normal(N), normal(N, 8)

ROWS = (
    Identity(
        "associate_vector",
        lambda a, b, x: (a @ b) @ x,
        lambda a, b, x: a @ (b @ x),
        (A, B, V),
        True,
    ),
    Identity(
        "associate_chain",
        lambda a, b, c, x: a @ b @ c @ x,
        lambda a, b, c, x: a @ (b @ (c @ x)),
        (A, B, C, X),
        True,
    ),
    Identity(
        "low_rank",
        lambda x, u, v: x @ (u @ v),
        lambda x, u, v: (x @ u) @ v,
        (A, weights(N, 4), normal(4, N)),
        True,
    ),
    Identity(
        "low_rank_adapter",
        lambda x, w, u, v: x @ (w + u @ v),
        lambda x, w, u, v: x @ w + (x @ u) @ v,
        (normal(8, N), A, weights(N, 4), normal(4, N)),
    ),
    Identity(
        "einsum_chain",
        lambda a, b, c, x: jnp.einsum("ij,jk,kl,l->i", a, b, c, x, optimize=False),
        lambda a, b, c, x: a @ (b @ (c @ x)),
        (A, B, C, V),
        True,
    ),
    Identity(
        "einsum_batched_chain",
        lambda a, b, x: jnp.einsum("bij,bjk->bik", a, b) @ x[:, :, None],
        lambda a, b, x: a @ (b @ x[:, :, None]),
        (normal(8, 64, 64), normal(8, 64, 64), normal(8, 64)),
    ),
    Identity(
        "associate_left_vector",
        lambda x, a, b, c: x @ (a @ (b @ c)),
        lambda x, a, b, c: ((x @ a) @ b) @ c,
        (V, A, B, C),
    ),
    Identity(
        "associate_transposed",
        lambda a, b, x: (a @ b).T @ x,
        lambda a, b, x: b.T @ (a.T @ x),
        (A, B, V),
    ),
    Identity(
        "quadratic_form",
        lambda x, a, y: jnp.sum(jnp.outer(x, y) * a),
        lambda x, a, y: x @ (a @ y),
        (V, A, V),
    ),
    Identity("row_of_product", lambda a, b: (a @ b)[0], lambda a, b: a[0] @ b, (A, B), True),
    Identity(
        "columns_of_product",
        lambda a, b: (a @ b)[:, 8:16],
        lambda a, b: a @ b[:, 8:16],
        (A, B),
    ),
    Identity("element_of_product", lambda a, b: (a @ b)[3, 5], lambda a, b: a[3] @ b[:, 5], (A, B)),
    Identity(
        "diagonal_of_product",
        lambda a, b: jnp.diagonal(a @ b),
        lambda a, b: jnp.sum(a * b.T, 1),
        (A, B),
    ),
    Identity(
        "last_token",
        lambda h, w: (h @ w)[:, -1],
        lambda h, w: h[:, -1] @ w,
        (normal(4, 32, 64), weights(64, 512)),
    ),
    Identity(
        "gather_after_product",
        lambda e, w, i: (e @ w)[i],
        lambda e, w, i: e[i] @ w,
        (normal(4096, N), A, integers(8, low=0, below=4096)),
        True,
    ),
    Identity(
        "trace_of_product",
        lambda a, b: jnp.trace(a @ b),
        lambda a, b: jnp.sum(a * b.T),
        (A, B),
        True,
    ),
    Identity(
        "trace_of_gram",
        lambda a, b: jnp.trace(a.T @ b),
        lambda a, b: jnp.sum(a * b),
        (A, B),
    ),
    Identity(
        "sum_of_product",
        lambda a, b: jnp.sum(a @ b),
        lambda a, b: jnp.sum(a, 0) @ jnp.sum(b, 1),
        (A, B),
        True,
        note=BY_PRODUCT,
    ),
    Identity(
        "column_sums_of_product",
        lambda a, b: jnp.sum(a @ b, 0),
        lambda a, b: jnp.sum(a, 0) @ b,
        (A, B),
        note=BY_PRODUCT,
    ),
    Identity(
        "mean_of_product",
        lambda a, b: jnp.mean(a @ b, 1),
        lambda a, b: a @ jnp.mean(b, 1),
        (A, B),
        note=BY_PRODUCT,
    ),
    Identity(
        "scale_before_product",
        lambda a, b, c: (c * a) @ b,
        lambda a, b, c: c * (a @ b),
        (A, TALL, normal()),
        True,
    ),
    Identity(
        "divide_before_product",
        lambda a, b: (a / 7.0) @ b,
        lambda a, b: (a @ b) * (1 / 7.0),
        (A, TALL),
    ),
    Identity("negated_factor", lambda a, b: (-a) @ b, lambda a, b: -(a @ b), (A, TALL)),
    Identity(
        "scaled_columns",
        lambda a, d, x: (a * d[None, :]) @ x,
        lambda a, d, x: a @ (d * x),
        (A, V, V),
    ),
    Identity(
        "scaled_rows",
        lambda a, d, b: (d[:, None] * a) @ b,
        lambda a, d, b: d[:, None] * (a @ b),
        (A, V, TALL),
    ),
    Identity(
        "multiply_and_sum",
        lambda a, b: jnp.sum(a[:, :, None] * b[None], 1),
        lambda a, b: a @ b,
        (A, B),
        True,
    ),
    Identity(
        "multiply_and_sum_batched",
        lambda a, b: jnp.sum(a[:, :, :, None] * b[:, None, :, :], 2),
        lambda a, b: a @ b,
        (normal(8, 64, 64), normal(8, 64, 64)),
    ),
    Identity(
        "multiply_and_sum_vector",
        lambda a, x: jnp.sum(a * x[None, :], 1),
        lambda a, x: a @ x,
        (A, V),
    ),
    Identity(
        "broadcast_batches",
        lambda a, b: jnp.matmul(
            jnp.broadcast_to(a, (8, 128, 128)), jnp.broadcast_to(b, (8, 128, 128))
        ),
        lambda a, b: jnp.broadcast_to(a @ b, (8, 128, 128)),
        (weights(128, 128), weights(128, 128)),
        True,
    ),
    Identity(
        "broadcast_one_batch",
        lambda x, w: jnp.matmul(x, jnp.broadcast_to(w, (16, 64, 64))),
        lambda x, w: x @ w,
        (normal(16, 8, 64), weights(64, 64)),
    ),
    Identity(
        "tiled_factor",
        lambda a, b: jnp.tile(a, (4, 1)) @ b,
        lambda a, b: jnp.tile(a @ b, (4, 1)),
        (weights(64, N), B),
    ),
    Identity(
        "vmapped_same_matrix",
        lambda xs, a, b: jax.vmap(lambda x: (a @ b) @ x)(xs),
        lambda xs, a, b: (xs @ b.T) @ a.T,
        (normal(8, N), A, B),
    ),
    Identity(
        "shared_left_operand",
        lambda x, q, k, v: (x @ q, x @ k, x @ v),
        lambda x, q, k, v: (x @ q, x @ k, x @ v),
        (normal(128, N), A, B, C),
        True,
        note="three products as one need a concatenation of the weights: only where it is faster",
    ),
    Identity(
        "transposes_between_products",
        lambda a, b, c: (b.T @ a.T).T @ c,
        lambda a, b, c: (a @ b) @ c,
        (A, B, C),
        True,
    ),
    Identity(
        "transpose_of_transposed_product", lambda a, b: (b.T @ a.T).T, lambda a, b: a @ b, (A, B)
    ),
    Identity(
        "triangular_product",
        lambda a, b: jnp.tril(jnp.tril(a) @ jnp.tril(b)),
        lambda a, b: jnp.tril(a) @ jnp.tril(b),
        (A, B),
        True,
        note="no kernel for half of a triangular product; without the outer mask it is 2 % faster",
    ),
    Identity(
        "outer_product_times_vector",
        lambda a, b, x: jnp.outer(a, b) @ x,
        lambda a, b, x: a * (b @ x),
        (V, V, V),
    ),
    Identity(
        "outer_product_times_matrix",
        lambda a, b, m: jnp.outer(a, b) @ m,
        lambda a, b, m: jnp.outer(a, b @ m),
        (V, V, A),
    ),
    Identity(
        "repeated_product",
        lambda a, b: a @ b + 2.0 * (a @ b),
        lambda a, b: 3.0 * (a @ b),
        (A, B),
    ),
    Identity(
        "power_by_products",
        lambda a: a @ a @ a @ a @ a @ a @ a @ a,
        lambda a: jnp.linalg.matrix_power(a, 8),
        (A,),
    ),
    Identity(
        "bilinear_form_of_batch",
        lambda x, w, y: jnp.einsum("bi,ij,bj->b", x, w, y, optimize=False),
        lambda x, w, y: jnp.sum((x @ w) * y, 1),
        (normal(32, N), A, normal(32, N)),
    ),
    Identity(
        "trace_of_three",
        lambda a, b, c: jnp.trace(a @ b @ c),
        lambda a, b, c: jnp.sum((a @ b) * c.T),
        (A, B, C),
    ),
    Identity(
        "chain_of_outer_products",
        lambda u, v, w, z: jnp.outer(u, v) @ jnp.outer(w, z),
        lambda u, v, w, z: jnp.outer(u * (v @ w), z),
        (V, V, V, V),
    ),
    Identity(
        "associate_integers",
        lambda a, b, x: (a @ b) @ x,
        lambda a, b, x: a @ (b @ x),
        (integers(N, N), integers(N, N), integers(N)),
    ),
    Identity(
        "matrix_product_of_conjugates",
        lambda a, b: jnp.conj(jnp.conj(a) @ jnp.conj(b)),
        lambda a, b: a @ b,
        (normal(64, 64, dtype="complex64"), normal(64, 64, dtype="complex64")),
    ),
    Identity(
        "pairwise_distances",
        lambda x, y: jnp.sum((x[:, None] - y[None]) ** 2, -1),
        lambda x, y: jnp.sum(x * x, 1)[:, None] + jnp.sum(y * y, 1) - 2 * x @ y.T,
        (normal(N, 64), normal(N, 64)),
        numerics="approximate",
        note="the sums cancel where points are close beside their size",
    ),
    Identity(
        "value_projection_after_mixing",
        lambda p, x, w: jnp.einsum("ts,sd,de->te", p, x, w, optimize=False),
        lambda p, x, w: p @ (x @ w),
        (normal(N, 16), normal(16, N), weights(N, 8)),
    ),
    Identity(
        "mean_of_projected_tokens",
        lambda x, w: jnp.mean(jnp.einsum("btd,de->bte", x, w), 1),
        lambda x, w: jnp.mean(x, 1) @ w,
        (normal(4, 64, N), A),
    ),
    Identity(
        "vectorised_sylvester",
        lambda a, b, x: jnp.kron(jnp.eye(16), a) @ x + jnp.kron(b, jnp.eye(16)) @ x,
        lambda a, b, x: (x.reshape(16, 16) @ a.T + b @ x.reshape(16, 16)).reshape(-1),
        (normal(16, 16), normal(16, 16), V),
    ),
    Identity(
        "projection_onto_span",
        lambda q, x: (q @ q.T) @ x,
        lambda q, x: q @ (q.T @ x),
        (normal(N, 8), V),
    ),
    Identity(
        "double_projection",
        lambda q, x: x - (q @ q.T) @ x,
        lambda q, x: x - q @ (q.T @ x),
        (normal(N, 8), V),
    ),
    Identity(
        "energy_of_low_rank",
        lambda u, v: jnp.sum((u @ v) ** 2),
        lambda u, v: jnp.sum((u.T @ u) * (v @ v.T)),
        (normal(N, 8), normal(8, N)),
    ),
    Identity(
        "frobenius_inner_product",
        lambda a, b: jnp.trace(a.T @ b),
        lambda a, b: jnp.sum(a * b),
        (A, B),
    ),
    Identity(
        "hadamard_with_outer",
        lambda a, u, v, x: (a * jnp.outer(u, v)) @ x,
        lambda a, u, v, x: u * (a @ (v * x)),
        (A, V, V, V),
    ),
    Identity(
        "linear_attention",
        lambda q, k, v: (q @ k.T) @ v,
        lambda q, k, v: q @ (k.T @ v),
        (normal(512, 16), normal(512, 16), normal(512, 16)),
    ),
    Identity(
        "scores_scaled_on_both_sides",
        lambda q, k: (q / 2.0) @ (k / 4.0).T,
        lambda q, k: (q / 8.0) @ k.T,
        (normal(N, 64), normal(N, 64)),
    ),
    Identity(
        "squeezed_and_excited",
        lambda x, s, w: (x * s) @ w,
        lambda x, s, w: x @ (s[:, None] * w),
        (normal(4096, 64), normal(64), weights(64, 8)),
    ),
    Identity(
        "centred_on_both_sides",
        lambda k: (lambda h: h @ k @ h)(jnp.eye(N) - jnp.ones((N, N)) / N),
        lambda k: k - jnp.mean(k, 0) - jnp.mean(k, 1, keepdims=True) + jnp.mean(k),
        (A,),
    ),
    Identity(
        "window_of_rows_of_product",
        lambda a, b, i: (a @ b)[i, :8],
        lambda a, b, i: a[i] @ b[:, :8],
        (A, B, integers(8, low=0, below=N)),
    ),
    Identity(
        "columns_and_vector_in_one_order",
        lambda a, x: a[:, ORDER] @ x[ORDER],
        lambda a, x: a @ x,
        (A, V),
    ),
    Identity(
        "columns_and_vector_in_sorted_order",
        lambda a, x, k: (lambda p: a[:, p] @ x[p])(jnp.argsort(k)),
        lambda a, x, k: a @ x,
        (A, V, normal(N)),
    ),
    Identity(
        "rolled_columns_and_rolled_vector",
        lambda a, x: jnp.roll(a, 3, 1) @ jnp.roll(x, 3),
        lambda a, x: a @ x,
        (A, V),
    ),
    Identity(
        "intercept_column",
        lambda x, w, b: jnp.concatenate([x, jnp.ones((N, 1))], 1) @ jnp.concatenate([w, b[None]]),
        lambda x, w, b: x @ w + b,
        (A, B, V),
    ),
)
