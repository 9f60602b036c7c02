"""Means, variances, norms, ranges and distances."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .row import BY_PRODUCT, Identity, N, booleans, integers, normal

X = Y = normal(N, N)
V, W, C = normal(N), normal(N), normal()


def _standardised(x: jax.Array) -> jax.Array:
    return (x - jnp.mean(x)) / jnp.std(x)


def _scores(x: jax.Array) -> jax.Array:
    return (x - jnp.mean(x, 1, keepdims=True)) / jnp.std(x, 1, keepdims=True)


ROWS = (
    Identity(
        "mean_of_affine",
        lambda x: jnp.mean(3 * x + 2),
        lambda x: 3 * jnp.mean(x) + 2,
        (X,),
    ),
    Identity(
        "mean_of_means",
        lambda x: jnp.mean(jnp.mean(x, 1)),
        lambda x: jnp.mean(x),
        (X,),
        note=BY_PRODUCT,
    ),
    Identity("variance_shifted", lambda x: jnp.var(x + 3.0), lambda x: jnp.var(x), (X,)),
    Identity("variance_scaled", lambda x: jnp.var(2.0 * x), lambda x: 4.0 * jnp.var(x), (X,)),
    Identity(
        "norm_scaled",
        lambda x: jnp.sqrt(jnp.sum((3.0 * x) ** 2, 1)),
        lambda x: 3.0 * jnp.sqrt(jnp.sum(x**2, 1)),
        (X,),
    ),
    Identity(
        "sum_and_mean",
        lambda x: (jnp.sum(x, 1), jnp.mean(x, 1)),
        lambda x: (jnp.sum(x, 1), jnp.sum(x, 1) / N),
        (X,),
    ),
    Identity(
        "variance_of_scaled_rows",
        lambda x, s: jnp.var(x * s[:, None], 1),
        lambda x, s: s * s * jnp.var(x, 1),
        (X, V),
    ),
    Identity(
        "mean_of_difference",
        lambda x, y: jnp.mean(x, 0) - jnp.mean(y, 0),
        lambda x, y: jnp.mean(x - y, 0),
        (normal(8, 64), normal(8, 64)),
    ),
    Identity(
        "root_mean_square_of_scaled",
        lambda x: jnp.sqrt(jnp.mean((2.0 * x) ** 2, -1)),
        lambda x: 2.0 * jnp.sqrt(jnp.mean(x * x, -1)),
        (X,),
    ),
    Identity(
        "range_of_affine",
        lambda x: jnp.max(2 * x + 1, -1) - jnp.min(2 * x + 1, -1),
        lambda x: 2 * (jnp.max(x, -1) - jnp.min(x, -1)),
        (X,),
    ),
    Identity(
        "length_of_mask",
        lambda n: jnp.sum(jnp.arange(N) < n[:, None], 1),
        lambda n: jnp.clip(n, 0, N),
        (integers(64, low=0, below=N),),
    ),
    Identity(
        "all_squared_differences",
        lambda v: jnp.sum((v[:, None] - v[None, :]) ** 2),
        lambda v: jnp.maximum(2 * N * jnp.sum(v * v) - 2 * jnp.sum(v) ** 2, 0),
        (V,),
        numerics="approximate",
    ),
    Identity(
        "squared_differences_of_each",
        lambda v, w: jnp.sum((v[:, None] - w[None, :]) ** 2, 1),
        lambda v, w: jnp.maximum(N * v * v - 2 * v * jnp.sum(w) + jnp.sum(w * w), 0),
        (V, V),
        numerics="approximate",
    ),
    Identity(
        "greatest_distance_on_a_line",
        lambda v: jnp.max(jnp.abs(v[:, None] - v[None])),
        lambda v: jnp.max(v) - jnp.min(v),
        (normal(N),),
        numerics="finite",
    ),
    Identity(
        "mean_over_patches",
        lambda x: jnp.mean(
            x.reshape(4, 14, 16, 14, 16, 3).transpose(0, 1, 3, 2, 4, 5).reshape(4, 196, 768), (1, 2)
        ),
        lambda x: jnp.mean(x, (1, 2, 3)),
        (normal(4, 224, 224, 3),),
        note=BY_PRODUCT,
    ),
    Identity(
        "variance_plus_squared_mean",
        lambda x: jnp.var(x, 1) + jnp.mean(x, 1) ** 2,
        lambda x: jnp.mean(x * x, 1),
        (X,),
    ),
    Identity("deviation_squared", lambda x: jnp.std(x, 1) ** 2, lambda x: jnp.var(x, 1), (X,)),
    Identity(
        "covariance_scaled",
        lambda x: jnp.cov(2 * x, rowvar=False),
        lambda x: 4 * jnp.cov(x, rowvar=False),
        (X,),
    ),
    Identity(
        "masked_sum_and_rest",
        lambda p, x: jnp.sum(jnp.where(p, x, 0), 1) + jnp.sum(jnp.where(p, 0, x), 1),
        lambda p, x: jnp.sum(x, 1),
        (booleans(N, N), X),
        note=BY_PRODUCT,
    ),
    Identity(
        "standardised_twice",
        lambda x: _standardised(_standardised(x)),
        lambda x: _standardised(x),
        (V,),
        numerics="finite",
    ),
    Identity(
        "deviation_of_affine_rows",
        lambda x: jnp.std(3 * x + 2, 1),
        lambda x: 3 * jnp.std(x, 1),
        (X,),
    ),
    Identity(
        "standard_scores_of_affine",
        lambda x: _scores(2 * x + 1),
        _scores,
        (X,),
    ),
    Identity(
        "variance_less_vector",
        lambda x, y: jnp.var(x - y, 0),
        lambda x, y: jnp.var(x, 0),
        (X, V),
        numerics="finite",
    ),
)
