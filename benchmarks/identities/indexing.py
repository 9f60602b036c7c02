"""Gather, scatter and dynamic slices whose indices are known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .row import Identity, N, integers, normal

X, Y, V = normal(N, N), normal(N, N), normal(N)
BIG = normal(4096, 64)

ROWS = (
    Identity("gather_all", lambda x: x[jnp.arange(N)], lambda x: x, (X,), True),
    Identity("gather_range", lambda x: x[jnp.arange(16, 48)], lambda x: x[16:48], (BIG,), True),
    Identity("gather_strided", lambda x: x[:, np.arange(0, 64, 4)], lambda x: x[:, ::4], (BIG,)),
    Identity("gather_reversed", lambda x: x[jnp.arange(N - 1, -1, -1)], lambda x: x[::-1], (X,)),
    Identity(
        "take_repeated",
        lambda x: jnp.take(x, np.zeros(64, int), 0),
        lambda x: jnp.broadcast_to(x[0], (64, N)),
        (X,),
    ),
    Identity(
        "gather_of_gather",
        lambda x, i, j: x[i][j],
        lambda x, i, j: x[i[j]],
        (BIG, integers(512, low=0, below=4096), integers(8, low=0, below=512)),
    ),
    Identity(
        "gather_of_function",
        lambda x, i: jnp.tanh(x)[i],
        lambda x, i: jnp.tanh(x[i]),
        (BIG, integers(8, low=0, below=4096)),
    ),
    Identity(
        "take_along_range",
        lambda x: jnp.take_along_axis(x, jnp.broadcast_to(jnp.arange(N), (N, N)), 1),
        lambda x: x,
        (X,),
    ),
    Identity(
        "diagonal_by_indices",
        lambda x: x[jnp.arange(N), jnp.arange(N)],
        lambda x: jnp.diagonal(x),
        (X,),
    ),
    Identity(
        "dynamic_slice_constant",
        lambda x: lax.dynamic_slice(x, (8, 16), (64, 32)),
        lambda x: x[8:72, 16:48],
        (BIG,),
        True,
    ),
    Identity(
        "dynamic_slice_whole",
        lambda x, i: lax.dynamic_slice(x, (i, i), (N, N)),
        lambda x, i: x,
        (X, integers(low=0, below=9)),
    ),
    Identity(
        "slice_of_update",
        lambda x, u, i: lax.dynamic_slice(lax.dynamic_update_slice(x, u, (i, 0)), (i, 0), (8, 64)),
        lambda x, u, i: u,
        (BIG, normal(8, 64), integers(low=0, below=4000)),
    ),
    Identity(
        "update_whole", lambda x, y: lax.dynamic_update_slice(x, y, (0, 0)), lambda x, y: y, (X, Y)
    ),
    Identity(
        "update_twice",
        lambda x, u, v, i: lax.dynamic_update_slice(
            lax.dynamic_update_slice(x, u, (i, 0)), v, (i, 0)
        ),
        lambda x, u, v, i: lax.dynamic_update_slice(x, v, (i, 0)),
        (BIG, normal(8, 64), normal(8, 64), integers(low=0, below=4000)),
    ),
    Identity(
        "update_with_own_slice",
        lambda x, i: lax.dynamic_update_slice(x, lax.dynamic_slice(x, (i, 0), (8, 64)), (i, 0)),
        lambda x, i: x,
        (BIG, integers(low=0, below=4000)),
    ),
    Identity("scatter_all", lambda x, y: x.at[jnp.arange(N)].set(y), lambda x, y: y, (X, Y), True),
    Identity(
        "scatter_range",
        lambda x, u: x.at[jnp.arange(8, 16)].set(u),
        lambda x, u: lax.dynamic_update_slice(x, u, (8, 0)),
        (BIG, normal(8, 64)),
    ),
    Identity(
        "scatter_add_all", lambda x, y: x.at[jnp.arange(N)].add(y), lambda x, y: x + y, (X, Y)
    ),
    Identity(
        "scatter_to_zeros",
        lambda y: jnp.zeros((N, N)).at[jnp.arange(N)].set(y) + 1,
        lambda y: y + 1,
        (Y,),
    ),
    Identity("set_slice", lambda x, y: x.at[:].set(y), lambda x, y: y, (X, Y)),
    Identity("set_then_get", lambda x, u: x.at[3].set(u)[3], lambda x, u: u, (BIG, normal(64))),
    Identity("get_elsewhere", lambda x, u: x.at[3].set(u)[5], lambda x, u: x[5], (BIG, normal(64))),
    Identity(
        "add_to_slice",
        lambda x, y: x.at[:, 8:16].add(y)[:, 8:16],
        lambda x, y: x[:, 8:16] + y,
        (X, normal(N, 8)),
    ),
    Identity(
        "vmapped_update",
        lambda x, u, i: jax.vmap(lambda a, b, j: lax.dynamic_update_slice(a, b, (j,)))(x, u, i),
        lambda x, u, i: x.at[jnp.arange(64)[:, None], i[:, None] + jnp.arange(4)].set(
            u, unique_indices=True, mode="promise_in_bounds"
        ),
        (normal(64, N), normal(64, 4), integers(64, low=0, below=N - 4)),
        True,
    ),
    Identity(
        "vmapped_update_same_place",
        lambda x, u, i: jax.vmap(lambda a, b: lax.dynamic_update_slice(a, b, (i,)))(x, u),
        lambda x, u, i: lax.dynamic_update_slice(x, u, (0, i)),
        (normal(64, N), normal(64, 4), integers(low=0, below=N - 4)),
    ),
    Identity("index_at_constant", lambda x: x[jnp.array(5)], lambda x: x[5], (BIG,)),
    Identity(
        "negative_index_at_run_time",
        lambda x, i: x[jnp.abs(i)],
        lambda x, i: lax.dynamic_index_in_dim(x, jnp.abs(i), 0, False),
        (BIG, integers(low=0, below=4096)),
    ),
    Identity(
        "segment_sum_of_range",
        lambda x: jax.ops.segment_sum(x, jnp.arange(N), N),
        lambda x: x,
        (X,),
    ),
    Identity("last_row_by_gather", lambda x: x[jnp.array([N - 1])], lambda x: x[N - 1 :], (X,)),
    Identity(
        "moving_sum_of_two",
        lambda v: jnp.convolve(v, jnp.ones(2), "valid"),
        lambda v: v[1:] + v[:-1],
        (V,),
    ),
    Identity(
        "take_then_take_elementwise", lambda x: jnp.exp(x)[:8], lambda x: jnp.exp(x[:8]), (X,)
    ),
    Identity(
        "segment_sum_of_scaled",
        lambda x, i: jax.ops.segment_sum(3 * x, i, 16),
        lambda x, i: 3 * jax.ops.segment_sum(x, i, 16),
        (BIG, integers(4096, low=0, below=16)),
    ),
    Identity(
        "take_along_count",
        lambda x: jnp.take_along_axis(x, jnp.arange(N)[:, None], 1)[:, 0],
        lambda x: jnp.diagonal(x),
        (X,),
    ),
    Identity(
        "row_after_normalisation",
        lambda x, i: (x / jnp.linalg.norm(x, axis=1, keepdims=True))[i],
        lambda x, i: x[i] / jnp.linalg.norm(x[i]),
        (BIG, integers(low=0, below=4096)),
    ),
    Identity(
        "window_after_masked_scale",
        lambda x, s, i: lax.dynamic_slice(jnp.where(x > 0, x * s, 0.0), (i, 0), (8, 64)),
        lambda x, s, i: (lambda w: jnp.where(w > 0, w * s, 0.0))(
            lax.dynamic_slice(x, (i, 0), (8, 64))
        ),
        (BIG, normal(64), integers(low=0, below=4096)),
    ),
    Identity(
        "column_of_transposed",
        lambda x, i: lax.dynamic_index_in_dim(jnp.exp(x).T, i, 1),
        lambda x, i: jnp.exp(lax.dynamic_index_in_dim(x, i, 0)).T,
        (BIG, integers(low=0, below=4096)),
    ),
    Identity(
        "own_rows_written",
        lambda x, i: x.at[i].set(x[i]),
        lambda x, i: x,
        (BIG, integers(16, low=0, below=4096)),
    ),
    Identity(
        "own_rows_as_bounds",
        lambda x, i: x.at[i].max(x[i]),
        lambda x, i: x,
        (BIG, integers(16, low=0, below=4096)),
    ),
    Identity(
        "permuted_and_back",
        lambda x, y: (lambda p: x[p][jnp.argsort(p)])(jnp.argsort(y)),
        lambda x, y: x,
        (X, V),
    ),
    Identity(
        "greatest_of_permuted",
        lambda x, y: jnp.max(x[jnp.argsort(y)], 0),
        lambda x, y: jnp.max(x, 0),
        (X, V),
    ),
    Identity(
        "segment_sum_of_own_rows",
        lambda x, i: jax.ops.segment_sum(x[i], i, N),
        lambda x, i: x * jax.ops.segment_sum(jnp.ones(i.shape), i, N)[:, None],
        (X, integers(4 * N, low=0, below=N)),
    ),
    Identity(
        "segment_sum_of_one_row",
        lambda b, i: jax.ops.segment_sum(jnp.broadcast_to(b, (4 * N, N)), i, N),
        lambda b, i: jax.ops.segment_sum(jnp.ones(4 * N), i, N)[:, None] * b,
        (V, integers(4 * N, low=0, below=N)),
    ),
    Identity(
        "first_rows_of_one_column",
        lambda x, i: x[:8, i],
        lambda x, i: lax.dynamic_slice(x, (0, i), (8, 1))[:, 0],
        (X, integers(low=0, below=N)),
    ),
)
