"""Reductions: of linear and monotone functions, of other reductions, of parts."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .row import BY_PRODUCT, Identity, N, booleans, integers, normal, positive

X = Y = normal(N, N)
V, W, C = normal(N), normal(N), normal()

ROWS = (
    Identity(
        "sum_of_outer_product",
        lambda a, b: jnp.sum(jnp.outer(a, b)),
        lambda a, b: jnp.sum(a) * jnp.sum(b),
        (V, W),
        True,
    ),
    Identity(
        "sum_scaled",
        lambda x: jnp.sum(5 * x),
        lambda x: 5 * jnp.sum(x),
        (X,),
        True,
        note=BY_PRODUCT,
    ),
    Identity(
        "sum_with_broadcast",
        lambda x, b: jnp.sum(x + b),
        lambda x, b: jnp.sum(x) + N * jnp.sum(b),
        (X, V),
        True,
        note=BY_PRODUCT,
    ),
    Identity(
        "sum_of_sum",
        lambda x, y: jnp.sum(x + y),
        lambda x, y: jnp.sum(x + y),
        (X, Y),
        True,
        note="one pass over both: splitting it makes two kernels",
    ),
    Identity(
        "sum_negated", lambda x: jnp.sum(-x, 1), lambda x: -jnp.sum(x, 1), (X,), note=BY_PRODUCT
    ),
    Identity(
        "sum_scaled_at_run_time",
        lambda x, c: jnp.sum(c * x, 0),
        lambda x, c: c * jnp.sum(x, 0),
        (X, C),
        note=BY_PRODUCT,
    ),
    Identity(
        "sum_scaled_rows",
        lambda x, d: jnp.sum(x * d[:, None], 1),
        lambda x, d: jnp.sum(x, 1) * d,
        (X, V),
        note=BY_PRODUCT,
    ),
    Identity("sum_divided", lambda x, y: jnp.sum(x / y), lambda x, y: jnp.sum(x) / y, (X, C)),
    Identity(
        "max_of_exp", lambda x: jnp.max(jnp.exp(x)), lambda x: jnp.exp(jnp.max(x)), (X,), True
    ),
    Identity(
        "max_of_affine", lambda x: jnp.max(2 * x + 1), lambda x: 2 * jnp.max(x) + 1, (X,), True
    ),
    Identity("min_of_negated", lambda x: jnp.min(-x), lambda x: -jnp.max(x), (X,), True),
    Identity(
        "max_of_decreasing_affine",
        lambda x: jnp.max(3 - 2 * x, 1),
        lambda x: 3 - 2 * jnp.min(x, 1),
        (X,),
    ),
    Identity(
        "max_of_sigmoid",
        lambda x: jnp.max(jax.nn.sigmoid(x), 0),
        lambda x: jax.nn.sigmoid(jnp.max(x, 0)),
        (X,),
    ),
    Identity(
        "min_of_tanh", lambda x: jnp.min(jnp.tanh(x), 1), lambda x: jnp.tanh(jnp.min(x, 1)), (X,)
    ),
    Identity(
        "min_of_log",
        lambda x: jnp.min(jnp.log(x)),
        lambda x: jnp.log(jnp.min(x)),
        (positive(N, N),),
    ),
    Identity(
        "max_of_root",
        lambda x: jnp.max(jnp.sqrt(jnp.exp(x))),
        lambda x: jnp.exp(0.5 * jnp.max(x)),
        (X,),
    ),
    Identity(
        "max_of_square_root_of_absolute",
        lambda x: jnp.max(jnp.sqrt(jnp.abs(x))),
        lambda x: jnp.sqrt(jnp.max(jnp.abs(x))),
        (X,),
    ),
    Identity(
        "max_of_relu",
        lambda x: jnp.max(jax.nn.relu(x), 1),
        lambda x: jax.nn.relu(jnp.max(x, 1)),
        (X,),
    ),
    Identity(
        "max_of_clip",
        lambda x: jnp.max(jnp.clip(x, -1, 1), 1),
        lambda x: jnp.clip(jnp.max(x, 1), -1, 1),
        (X,),
    ),
    Identity("max_divided", lambda x: jnp.max(x / 3, 1), lambda x: jnp.max(x, 1) / 3, (X,)),
    Identity(
        "max_shifted_by_vector",
        lambda x, b: jnp.max(x + b[:, None], 1),
        lambda x, b: jnp.max(x, 1) + b,
        (X, V),
    ),
    Identity(
        "max_of_floor", lambda x: jnp.max(jnp.floor(x), 1), lambda x: jnp.floor(jnp.max(x, 1)), (X,)
    ),
    Identity(
        "max_of_converted",
        lambda i: jnp.max(i.astype(jnp.float32)),
        lambda i: jnp.max(i).astype(jnp.float32),
        (integers(N, N, dtype="int16"),),
    ),
    Identity(
        "max_of_cube",
        lambda x: jnp.max(x * x * x),
        lambda x: jnp.max(x) ** 3,
        (X,),
    ),
    Identity(
        "max_absolute_of_exp",
        lambda x: jnp.max(jnp.abs(jnp.exp(x)), 1),
        lambda x: jnp.exp(jnp.max(x, 1)),
        (X,),
    ),
    Identity(
        "max_of_reciprocal_exp",
        lambda x: jnp.max(1 / jnp.exp(x)),
        lambda x: jnp.exp(-jnp.min(x)),
        (X,),
    ),
    Identity(
        "product_of_exponentials",
        lambda x: jnp.prod(jnp.exp(x), 1),
        lambda x: jnp.exp(jnp.sum(x, 1)),
        (normal(N, 16),),
    ),
    Identity(
        "any_not",
        lambda p: jnp.any(~p, 1),
        lambda p: ~jnp.all(p, 1),
        (booleans(N, N),),
    ),
    Identity(
        "reduce_reshaped",
        lambda x: jnp.sum(jnp.sum(x, 1).reshape(16, 16), 1),
        lambda x: jnp.sum(x.reshape(16, 16 * N), 1),
        (X,),
        True,
        note=BY_PRODUCT,
    ),
    Identity(
        "sum_of_sums", lambda x: jnp.sum(jnp.sum(x, 0)), lambda x: jnp.sum(x), (X,), note=BY_PRODUCT
    ),
    Identity("max_of_maxima", lambda x: jnp.max(jnp.max(x, 1)), lambda x: jnp.max(x), (X,)),
    Identity(
        "sum_of_transposed",
        lambda x: jnp.sum(x.T, 1),
        lambda x: jnp.sum(x, 0),
        (X,),
        note=BY_PRODUCT,
    ),
    Identity(
        "sum_of_reversed",
        lambda x: jnp.sum(x[:, ::-1], 1),
        lambda x: jnp.sum(x, 1),
        (X,),
        note=BY_PRODUCT,
    ),
    Identity(
        "sum_of_rolled",
        lambda x: jnp.sum(jnp.roll(x, 3, 1), 1),
        lambda x: jnp.sum(x, 1),
        (X,),
        note=BY_PRODUCT,
    ),
    Identity(
        "sum_of_padded",
        lambda x: jnp.sum(jnp.pad(x, 8), 1)[8:-8],
        lambda x: jnp.sum(x, 1),
        (X,),
        note=BY_PRODUCT,
    ),
    Identity(
        "sum_of_tiled",
        lambda x: jnp.sum(jnp.tile(x, (1, 4)), 1),
        lambda x: 4 * jnp.sum(x, 1),
        (X,),
        note=BY_PRODUCT,
    ),
    Identity(
        "sum_of_concatenated",
        lambda x, y: jnp.sum(jnp.concatenate([x, y], 1), 1),
        lambda x, y: jnp.sum(x, 1) + jnp.sum(y, 1),
        (X, Y),
        note=BY_PRODUCT,
    ),
    Identity(
        "sum_of_broadcast",
        lambda v: jnp.sum(jnp.broadcast_to(v, (N, N)), 0),
        lambda v: N * v,
        (V,),
    ),
    Identity(
        "sum_of_stacked",
        lambda x, y: jnp.sum(jnp.stack([x, y]), 0),
        lambda x, y: x + y,
        (X, Y),
    ),
    Identity("sum_of_unit_dimension", lambda x: jnp.sum(x[:, None, :], 1), lambda x: x, (X,)),
    Identity(
        "sum_of_outer_sum",
        lambda a, b: jnp.sum(a[:, None] + b[None, :], 1),
        lambda a, b: N * a + jnp.sum(b),
        (V, W),
    ),
    Identity(
        "weighted_row_sum",
        lambda a, b: jnp.sum(a[:, None] * b[None, :], 0),
        lambda a, b: jnp.sum(a) * b,
        (V, W),
    ),
    Identity(
        "sum_of_squares_of_scaled",
        lambda x, c: jnp.sum((c * x) ** 2),
        lambda x, c: c * c * jnp.sum(x * x),
        (X, C),
    ),
    Identity(
        "count_by_float",
        lambda x: jnp.sum(jnp.where(x > 0, 1.0, 0.0)) / (N * N),
        lambda x: jnp.sum(jnp.where(x > 0, 1.0, 0.0)) * (1 / (N * N)),
        (X,),
    ),
    Identity(
        "gradient_of_sum",
        lambda x: jax.grad(lambda z: jnp.sum(3.0 * z))(x),
        lambda x: jnp.full((N, N), 3.0),
        (X,),
    ),
    Identity(
        "bias_gradient",
        lambda g: jnp.sum(g.reshape(16, 16, N), (0, 1)) / N,
        lambda g: jnp.sum(g, 0) * (1 / N),
        (X,),
        note=BY_PRODUCT,
    ),
    Identity(
        "integer_sum_scaled",
        lambda i: jnp.sum(6 * i, 1),
        lambda i: 6 * jnp.sum(i, 1),
        (integers(N, N),),
    ),
    Identity(
        "maximum_of_minimum",
        lambda x: jnp.max(jnp.minimum(x, 2.0), 0),
        lambda x: jnp.minimum(jnp.max(x, 0), 2.0),
        (X,),
    ),
    Identity(
        "pooled_twice",
        lambda x: jnp.sum(jnp.sum(x.reshape(N, 64, 4), -1).reshape(N, 16, 4), -1),
        lambda x: jnp.sum(x.reshape(N, 16, 16), -1),
        (X,),
    ),
    Identity(
        "greatest_of_roots",
        lambda x: jnp.max(jnp.sqrt(x), 1),
        lambda x: jnp.sqrt(jnp.max(x, 1)),
        (positive(N, N),),
        numerics="finite",
        note="a root of a negative number would be NaN in the given form only",
    ),
    Identity(
        "pooling_by_reshape",
        lambda x: jnp.mean(jnp.mean(x.reshape(8, 16, 2, 16, 2), 4), 2),
        lambda x: jnp.mean(x.reshape(8, 16, 2, 16, 2), (2, 4)),
        (normal(8, 32, 32),),
    ),
    Identity(
        "all_by_product",
        lambda p: jnp.prod(p.astype(jnp.int32), -1) == 1,
        lambda p: jnp.all(p, -1),
        (booleans(N, N),),
    ),
    Identity(
        "max_of_softplus",
        lambda x: jnp.max(jax.nn.softplus(x), -1),
        lambda x: jax.nn.softplus(jnp.max(x, -1)),
        (X,),
    ),
    Identity(
        "max_of_erf",
        lambda x: jnp.max(jax.scipy.special.erf(x), -1),
        lambda x: jax.scipy.special.erf(jnp.max(x, -1)),
        (X,),
    ),
    Identity(
        "sum_of_kronecker",
        lambda a, b: jnp.sum(jnp.kron(a, b)),
        lambda a, b: jnp.sum(a) * jnp.sum(b),
        (normal(16, 16), normal(16, 16)),
    ),
    Identity(
        "sum_of_squared_roll",
        lambda x: jnp.sum(jnp.roll(x, 3, 1) ** 2, 1),
        lambda x: jnp.sum(x**2, 1),
        (X,),
    ),
    Identity(
        "sum_of_differences",
        lambda x: jnp.sum(jnp.diff(x, axis=0), 0),
        lambda x: x[-1] - x[0],
        (X,),
        numerics="finite",
    ),
    Identity(
        "cumsum_of_differences",
        lambda x: jnp.cumsum(jnp.diff(x, axis=0), 0),
        lambda x: x[1:] - x[0],
        (X,),
        numerics="finite",
    ),
    Identity(
        "moving_sum_by_cumsum",
        lambda x: jnp.diff(jnp.cumsum(x)),
        lambda x: x[1:],
        (V,),
        numerics="finite",
    ),
    Identity(
        "any_by_count", lambda p: jnp.sum(p, 1) > 0, lambda p: jnp.any(p, 1), (booleans(N, N),)
    ),
    Identity(
        "greatest_within_mask",
        lambda x: jnp.max(jnp.where(jnp.arange(N) < 100, x, -jnp.inf), 1),
        lambda x: jnp.max(x[:, :100], 1),
        (X,),
    ),
    Identity(
        "product_of_negated",
        lambda x: jnp.prod(-x, 1),
        lambda x: jnp.prod(x, 1),
        (positive(N, N),),
    ),
    Identity(
        "sum_of_absolute_scaled",
        lambda x: jnp.sum(jnp.abs(-3 * x)),
        lambda x: 3 * jnp.sum(jnp.abs(x)),
        (normal(N, N),),
    ),
    Identity(
        "count_above_greatest",
        lambda x: jnp.sum(x > x.max(1, keepdims=True), 1),
        lambda x: jnp.zeros(N, jnp.int32),
        (X,),
    ),
)
