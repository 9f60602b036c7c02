"""Products whose operand has structure: diagonal, identity, ones, blocks, Kronecker, one-hot."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg

from .row import BY_PRODUCT, Identity, N, booleans, integers, normal, weights

A = B = weights(N, N)
V, HALF = normal(N), weights(128, 128)

ROWS = (
    Identity(
        "diagonal_times_matrix",
        lambda d, a: jnp.diag(d) @ a,
        lambda d, a: d[:, None] * a,
        (V, A),
        True,
    ),
    Identity(
        "matrix_times_diagonal",
        lambda a, d: a @ jnp.diag(d),
        lambda a, d: a * d,
        (A, V),
    ),
    Identity("diagonal_times_vector", lambda d, x: jnp.diag(d) @ x, lambda d, x: d * x, (V, V)),
    Identity(
        "diagonal_between",
        lambda a, d, x: a @ jnp.diag(d) @ x,
        lambda a, d, x: a @ (d * x),
        (A, V, V),
    ),
    Identity(
        "diagonal_by_mask",
        lambda d, a: (jnp.eye(N) * d) @ a,
        lambda d, a: d[:, None] * a,
        (V, A),
    ),
    Identity("identity_times_matrix", lambda a: jnp.eye(N) @ a, lambda a: a, (A,), True),
    Identity("matrix_times_identity", lambda a: a @ jnp.identity(N), lambda a: a, (A,)),
    Identity("scaled_identity", lambda a: (3.0 * jnp.eye(N)) @ a, lambda a: 3.0 * a, (A,)),
    Identity(
        "shifted_matrix_times_vector",
        lambda a, x: (a + 0.5 * jnp.eye(N)) @ x,
        lambda a, x: a @ x + 0.5 * x,
        (A, V),
    ),
    Identity(
        "ones_times_matrix",
        lambda a: jnp.ones((N, N)) @ a,
        lambda a: jnp.broadcast_to(jnp.sum(a, 0), (N, N)),
        (A,),
        True,
        note=BY_PRODUCT,
    ),
    Identity(
        "matrix_times_ones",
        lambda a: a @ jnp.ones(N),
        lambda a: jnp.sum(a, 1),
        (A,),
        note=BY_PRODUCT,
    ),
    Identity(
        "matrix_times_constant",
        lambda a: a @ jnp.full((N, 8), 0.25),
        lambda a: jnp.broadcast_to(0.25 * jnp.sum(a, 1)[:, None], (N, 8)),
        (A,),
        note=BY_PRODUCT,
    ),
    Identity(
        "zeros_times_matrix",
        lambda a: jnp.zeros((N, N)) @ a,
        lambda a: jnp.zeros((N, N)),
        (A,),
        numerics="finite",
    ),
    Identity(
        "centering_matrix",
        lambda a: (jnp.eye(N) - jnp.ones((N, N)) / N) @ a,
        lambda a: a - jnp.mean(a, 0),
        (A,),
    ),
    Identity(
        "block_diagonal",
        lambda a, b, x: jax.scipy.linalg.block_diag(a, b) @ x,
        lambda a, b, x: jnp.concatenate([a @ x[:128], b @ x[128:]]),
        (HALF, HALF, V),
        True,
    ),
    Identity(
        "block_diagonal_of_four",
        lambda a, b, c, d, x: jax.scipy.linalg.block_diag(a, b, c, d) @ x,
        lambda a, b, c, d, x: jnp.concatenate(
            [a @ x[:64], b @ x[64:128], c @ x[128:192], d @ x[192:]]
        ),
        (*(weights(64, 64),) * 4, normal(N, 16)),
    ),
    Identity(
        "concatenated_zeros",
        lambda a, x: jnp.concatenate([a, jnp.zeros((N, N))], 1) @ x,
        lambda a, x: a @ x[:N],
        (A, normal(2 * N, 8)),
        True,
    ),
    Identity(
        "padded_factor",
        lambda a, x: a @ jnp.pad(x, ((0, N - 16), (0, 0))),
        lambda a, x: a[:, :16] @ x,
        (A, normal(16, N)),
    ),
    Identity(
        "block_triangular",
        lambda a, b, c, x: jnp.block([[a, jnp.zeros((128, 128))], [b, c]]) @ x,
        lambda a, b, c, x: jnp.concatenate([a @ x[:128], b @ x[:128] + c @ x[128:]]),
        (HALF, HALF, HALF, normal(N, 8)),
    ),
    Identity(
        "kronecker_times_vector",
        lambda a, b, x: jnp.kron(a, b) @ x,
        lambda a, b, x: (a @ x.reshape(16, 16) @ b.T).reshape(N),
        (weights(16, 16), weights(16, 16), V),
    ),
    Identity(
        "kronecker_identity",
        lambda a, x: jnp.kron(jnp.eye(16), a) @ x,
        lambda a, x: (x.reshape(16, 16) @ a.T).reshape(N),
        (weights(16, 16), V),
    ),
    Identity(
        "one_hot_times_matrix",
        lambda i, w: jax.nn.one_hot(i, 4096) @ w,
        lambda i, w: w.at[i].get(mode="fill", fill_value=0),
        (integers(32, low=0, below=4096), normal(4096, N)),
        note="an index out of range gives a row of zeros",
    ),
    Identity(
        "one_hot_by_comparison",
        lambda i, w: (i[:, None] == jnp.arange(1024)).astype(jnp.float32) @ w,
        lambda i, w: w.at[i].get(mode="fill", fill_value=0),
        (integers(32, low=0, below=1024), normal(1024, N)),
        note="an index out of range gives a row of zeros",
    ),
    Identity(
        "permutation_matrix",
        lambda p, a: jnp.eye(N)[p] @ a,
        lambda p, a: a[p],
        (integers(N, low=0, below=N), A),
    ),
    Identity("reversal_matrix", lambda a: jnp.eye(N)[::-1] @ a, lambda a: a[::-1], (A,)),
    Identity("diagonal_of_diagonal", lambda d: jnp.diag(jnp.diag(d)), lambda d: d, (V,)),
    Identity("trace_of_diagonal", lambda d: jnp.trace(jnp.diag(d)), lambda d: jnp.sum(d), (V,)),
    Identity(
        "trace_of_sum",
        lambda a, b: jnp.trace(a + b),
        lambda a, b: jnp.sum(jnp.diagonal(a) + jnp.diagonal(b)),
        (A, B),
    ),
    Identity(
        "diagonal_of_sum",
        lambda a, b: jnp.diagonal(jnp.exp(a) * b),
        lambda a, b: jnp.exp(jnp.diagonal(a)) * jnp.diagonal(b),
        (A, B),
    ),
    Identity(
        "two_diagonals",
        lambda d, e: jnp.diag(d) @ jnp.diag(e),
        lambda d, e: jnp.diag(d * e),
        (V, V),
    ),
    Identity(
        "cumulative_sum_matrix",
        lambda x: jnp.tril(jnp.ones((N, N))) @ x,
        lambda x: jnp.tril(jnp.ones((N, N))) @ x,
        (V,),
        note="a cumulative sum is slower here than the product with a triangle of ones",
    ),
    Identity(
        "kronecker_times_kronecker",
        lambda a, b, c, d: jnp.kron(a, b) @ jnp.kron(c, d),
        lambda a, b, c, d: jnp.kron(a @ c, b @ d),
        tuple(normal(16, 16) for _ in range(4)),
    ),
    Identity(
        "triangle_of_ones",
        lambda x: jnp.tril(jnp.ones((N, N))) @ x,
        lambda x: jnp.cumsum(x),
        (V,),
    ),
    Identity(
        "shift_matrix",
        lambda a: jnp.eye(N, k=1) @ a,
        lambda a: jnp.concatenate([a[1:], jnp.zeros((1, N))]),
        (A,),
    ),
    Identity(
        "histogram_by_one_hot",
        lambda i: jnp.sum(jax.nn.one_hot(i, 64), 0),
        lambda i: jnp.zeros(64).at[i].add(1.0),
        (integers(4096, low=0, below=64),),
    ),
    Identity(
        "segment_sum_by_one_hot",
        lambda i, x: jax.nn.one_hot(i, 64).T @ x,
        lambda i, x: jnp.zeros((64, 64)).at[i].add(x),
        (integers(1024, low=0, below=64), normal(1024, 64)),
    ),
    Identity(
        "picked_by_mask",
        lambda x, i: jnp.sum(jnp.where(jnp.arange(N) == i[:, None], x, 0.0), -1),
        lambda x, i: jnp.take_along_axis(x, i[:, None], 1, mode="clip")[:, 0],
        (normal(64, N), integers(64, low=0, below=N)),
    ),
    Identity(
        "trace_of_difference",
        lambda a, b: jnp.trace(a) - jnp.trace(b),
        lambda a, b: jnp.sum(jnp.diagonal(a)) - jnp.sum(jnp.diagonal(b)),
        (A, B),
    ),
    Identity(
        "trace_of_scaled",
        lambda a: jnp.trace(3.0 * a),
        lambda a: 3.0 * jnp.sum(jnp.diagonal(a)),
        (A,),
    ),
    Identity("trace_of_one", lambda a: jnp.trace(a), lambda a: jnp.sum(jnp.diagonal(a)), (A,)),
    Identity(
        "shift_down_matrix",
        lambda x: jnp.eye(N, k=-1) @ x,
        lambda x: jnp.concatenate([jnp.zeros((1, N)), x[:-1]]),
        (normal(N, N),),
    ),
    Identity(
        "shift_right_matrix",
        lambda x: x @ jnp.eye(N, k=1),
        lambda x: jnp.concatenate([jnp.zeros((N, 1)), x[:, :-1]], 1),
        (normal(N, N),),
    ),
    Identity(
        "difference_matrix",
        lambda x: (jnp.eye(N) - jnp.eye(N, k=-1)) @ x,
        lambda x: x - jnp.concatenate([jnp.zeros((1, N)), x[:-1]]),
        (normal(N, N),),
    ),
    Identity(
        "second_difference_matrix",
        lambda x: (jnp.eye(N, k=1) - 2 * jnp.eye(N) + jnp.eye(N, k=-1)) @ x,
        lambda x: jnp.pad(x[1:], ((0, 1), (0, 0))) - 2 * x + jnp.pad(x[:-1], ((1, 0), (0, 0))),
        (normal(N, N),),
    ),
    Identity(
        "circular_shift_matrix",
        lambda x: jnp.roll(jnp.eye(N), 1, 0) @ x,
        lambda x: jnp.roll(x, 1, 0),
        (normal(N, N),),
    ),
    Identity(
        "ridge_times_vector",
        lambda a, x: (a @ a.T + 0.1 * jnp.eye(N)) @ x,
        lambda a, x: a @ (a.T @ x) + 0.1 * x,
        (A, V),
    ),
    Identity(
        "embedding_of_tokens",
        lambda i, w: jnp.einsum("btv,vd->btd", jax.nn.one_hot(i, 1000), w),
        lambda i, w: w.at[i].get(mode="fill", fill_value=0),
        (integers(4, 16, low=0, below=1000), normal(1000, 64)),
    ),
    Identity(
        "averaging_matrix",
        lambda x: jnp.full((N, N), 1 / N) @ x,
        lambda x: jnp.broadcast_to(jnp.mean(x, 0), (N, 8)),
        (normal(N, 8),),
    ),
    Identity(
        "tied_blocks",
        lambda a, x: jax.scipy.linalg.block_diag(a, a) @ x,
        lambda a, x: (x.reshape(2, 128) @ a.T).reshape(-1),
        (HALF, V),
    ),
    Identity(
        "suffix_sums_by_triangle",
        lambda x: jnp.triu(jnp.ones((N, N))) @ x,
        lambda x: jnp.cumsum(x[::-1])[::-1],
        (V,),
    ),
    Identity("select_even_rows", lambda x: jnp.eye(N)[::2] @ x, lambda x: x[::2], (normal(N, 64),)),
    Identity(
        "confusion_counts",
        lambda i: jnp.sum(i[:, None] == jnp.arange(64), 0),
        lambda i: jnp.zeros(64, jnp.int32).at[i].add(1),
        (integers(4096, low=0, below=64),),
    ),
    Identity(
        "batch_of_two_diagonals",
        lambda d, e: jax.vmap(lambda v, w: jnp.diag(v) @ jnp.diag(w))(d, e),
        lambda d, e: jax.vmap(jnp.diag)(d * e),
        (normal(8, 64), normal(8, 64)),
    ),
    Identity(
        "batch_of_shifts",
        lambda a: jax.vmap(lambda x: jnp.eye(64, k=1) @ x)(a),
        lambda a: jnp.pad(a[:, 1:], ((0, 0), (0, 1), (0, 0))),
        (normal(8, 64, 64),),
    ),
    Identity(
        "batch_of_one_hot_rows",
        lambda i, w: jax.vmap(lambda k, m: jax.nn.one_hot(k, 64) @ m)(i, w),
        lambda i, w: jax.vmap(lambda k, m: jnp.where((k >= 0) & (k < 64), m[k].T, 0.0).T)(i, w),
        (integers(8, 16, low=0, below=64), normal(8, 64, 64)),
        note="a row that no class is in is 0, which a gather alone does not give",
    ),
    Identity(
        "khatri_rao_gram",
        lambda a, b: (lambda k: k.T @ k)((a[:, None, :] * b[None, :, :]).reshape(-1, 16)),
        lambda a, b: (a.T @ a) * (b.T @ b),
        (normal(32, 16), normal(32, 16)),
    ),
    Identity(
        "projector_times_vector",
        lambda u, x: (jnp.eye(N) - jnp.outer(u, u)) @ x,
        lambda u, x: x - u * (u @ x),
        (V, V),
    ),
    Identity(
        "quadratic_form_of_diagonal_and_outer",
        lambda d, u, x: x @ ((jnp.diag(d) + jnp.outer(u, u)) @ x),
        lambda d, u, x: jnp.sum(d * x * x) + (u @ x) ** 2,
        (V, V, V),
    ),
    Identity(
        "class_of_one_hot",
        lambda i: jnp.argmax(jax.nn.one_hot(i, N), -1),
        lambda i: jnp.where((i >= 0) & (i < N), i, 0),
        (integers(N, low=0, below=N),),
        note="an index out of bounds has a row of zeros, whose argmax is 0",
    ),
    Identity(
        "greatest_of_one_hot",
        lambda i: jnp.max(jax.nn.one_hot(i, N), -1),
        lambda i: ((i >= 0) & (i < N)).astype(jnp.float32),
        (integers(N, low=0, below=N),),
    ),
    Identity("column_by_unit_vector", lambda a: a @ jnp.eye(N)[:, 7], lambda a: a[:, 7], (A,)),
    Identity(
        "element_by_unit_vectors",
        lambda a: jnp.eye(N)[3] @ a @ jnp.eye(N)[:, 7],
        lambda a: a[3, 7],
        (A,),
    ),
    Identity(
        "column_sums_after_centering",
        lambda a: a[0] + jnp.sum((jnp.eye(N) - 1 / N) @ a, 0),
        lambda a: a[0],
        (A,),
        numerics="finite",
    ),
    Identity(
        "repeated_blocks_times_vector",
        lambda a, x: jnp.hstack([a, a]) @ jnp.concatenate([x, x]),
        lambda a, x: 2 * (a @ x),
        (A, V),
    ),
    Identity(
        "greatest_of_each_label",
        lambda x, i: jnp.max(jnp.where(i[:, None] == jnp.arange(64), x[:, None], -jnp.inf), 0),
        lambda x, i: jnp.full(64, -jnp.inf).at[i].max(x),
        (normal(4096), integers(4096, low=0, below=64)),
    ),
    Identity(
        "greatest_rows_of_each_label",
        lambda x, i: jnp.max(
            jnp.where((i[:, None] == jnp.arange(16))[..., None], x[:, None], -jnp.inf), 0
        ),
        lambda x, i: jnp.full((16, 8), -jnp.inf).at[i].max(x),
        (normal(1024, 8), integers(1024, low=0, below=16)),
    ),
    Identity(
        "any_of_each_label",
        lambda p, i: jnp.any((i[:, None] == jnp.arange(64)) & p[:, None], 0),
        lambda p, i: jnp.zeros(64, bool).at[i].max(p),
        (booleans(4096), integers(4096, low=0, below=64)),
    ),
    Identity(
        "agreement_of_one_hot_classes",
        lambda i, j: jnp.sum(
            jax.nn.one_hot(jnp.clip(i, 0, 63), 64) * jax.nn.one_hot(jnp.clip(j, 0, 63), 64), -1
        ),
        lambda i, j: (jnp.clip(i, 0, 63) == jnp.clip(j, 0, 63)).astype(jnp.float32),
        (integers(16 * N, low=-5, below=70), integers(16 * N, low=-5, below=70)),
    ),
    Identity(
        "matrix_without_its_diagonal",
        lambda x: x - jnp.diag(jnp.diag(x)),
        lambda x: jnp.where(jnp.eye(N, dtype=bool), 0, x),
        (normal(N, N),),
        numerics="finite",
    ),
)
