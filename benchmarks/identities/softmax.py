"""Softmax, its logarithm, and the statistics of normalisation."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from .row import BY_PRODUCT, Identity, Input, N, booleans, integers, normal, positive, weights

X, V = normal(N, N), normal(N)
SCALE = SHIFT = MEAN = normal(64)


def _layer_norm(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    mean = jnp.mean(x, -1, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, -1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-5) * scale + shift


def _centred(x: jax.Array) -> jax.Array:
    return x - jnp.mean(x, -1, keepdims=True)


def _shifted(x: jax.Array) -> jax.Array:
    return x - jnp.max(x, -1, keepdims=True)


ROWS = (
    Identity(
        "log_of_softmax",
        lambda x: jnp.log(jax.nn.softmax(x)),
        lambda x: jax.nn.log_softmax(x),
        (X,),
        True,
    ),
    Identity(
        "softmax_by_hand",
        lambda x: jnp.exp(_shifted(x)) / jnp.sum(jnp.exp(_shifted(x)), -1, keepdims=True),
        lambda x: jax.nn.softmax(x),
        (X,),
        True,
    ),
    Identity(
        "softmax_by_log_softmax",
        lambda x: jnp.exp(jax.nn.log_softmax(x)),
        lambda x: jax.nn.softmax(x),
        (X,),
    ),
    Identity(
        "softmax_by_logsumexp",
        lambda x: jnp.exp(x - jax.scipy.special.logsumexp(x, -1, keepdims=True)),
        lambda x: jax.nn.softmax(x),
        (X,),
        note="exp(x - max) / sum needs one exponential an element",
    ),
    Identity(
        "softmax_of_shifted",
        lambda x, b: jax.nn.softmax(x + b[:, None]),
        lambda x, b: jax.nn.softmax(x),
        (X, V),
        numerics="finite",
    ),
    Identity(
        "softmax_of_centred",
        lambda x: jax.nn.softmax(_shifted(x)),
        lambda x: jax.nn.softmax(x),
        (X,),
        numerics="finite",
    ),
    Identity(
        "log_softmax_of_shifted",
        lambda x: jax.nn.log_softmax(x + 3.0),
        lambda x: jax.nn.log_softmax(x),
        (X,),
    ),
    Identity(
        "logsumexp_of_shifted",
        lambda x, b: jax.scipy.special.logsumexp(x + b[:, None], 1),
        lambda x, b: jax.scipy.special.logsumexp(x, 1) + b,
        (X, V),
        numerics="finite",
    ),
    Identity(
        "largest_probability",
        lambda x: jnp.max(jax.nn.softmax(x), -1),
        lambda x: 1 / jnp.sum(jnp.exp(_shifted(x)), -1),
        (X,),
        numerics="finite",
    ),
    Identity(
        "class_of_softmax",
        lambda x: jnp.argmax(jax.nn.softmax(x), -1),
        lambda x: jnp.argmax(x, -1),
        (X,),
        numerics="finite",
        note="probabilities beside an infinite logit are NaN; rounded ones may have new ties",
    ),
    Identity(
        "cross_entropy_one_hot",
        lambda x, y: -jnp.sum(jax.nn.one_hot(y, N) * jax.nn.log_softmax(x), -1),
        lambda x, y: -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], -1)[:, 0],
        (X, integers(N, low=0, below=N)),
    ),
    Identity(
        "cross_entropy_by_softmax",
        lambda x, p: -jnp.sum(p * jnp.log(jax.nn.softmax(x)), -1),
        lambda x, p: -jnp.sum(p * jax.nn.log_softmax(x), -1),
        (X, positive(N, N)),
    ),
    Identity(
        "log_probability_of_class",
        lambda x: jnp.log(jax.nn.softmax(x))[:, 0],
        lambda x: x[:, 0] - jax.scipy.special.logsumexp(x, -1),
        (X,),
    ),
    Identity(
        "scaled_scores",
        lambda q, k: jax.nn.softmax(q @ k.T / 8.0),
        lambda q, k: jax.nn.softmax((q / 8.0) @ k.T),
        (normal(N, 64), normal(N, 64)),
        note="the scale fits the smaller tensor",
    ),
    Identity(
        "weighted_average_normalised_late",
        lambda x, v: (jnp.exp(x) / jnp.sum(jnp.exp(x), -1, keepdims=True)) @ v,
        lambda x, v: (jnp.exp(x) @ v) / jnp.sum(jnp.exp(x), -1, keepdims=True),
        (X, normal(N, 8)),
    ),
    Identity(
        "mean_and_variance",
        lambda x: (jnp.mean(x, 1), jnp.mean((x - jnp.mean(x, 1, keepdims=True)) ** 2, 1)),
        lambda x: (jnp.mean(x, 1), jnp.mean(x * x, 1) - jnp.mean(x, 1) ** 2),
        (X,),
        True,
        numerics="approximate",
        note="one pass over the data cancels where the mean is large beside the deviation",
    ),
    Identity(
        "layer_norm_of_shifted",
        lambda x, b, s, t: _layer_norm(x + b[:, None], s, t),
        lambda x, b, s, t: _layer_norm(x, s, t),
        (X, V, V, V),
        numerics="finite",
    ),
    Identity(
        "centred_twice",
        lambda x: _centred(_centred(x)),
        lambda x: _centred(x),
        (X,),
        numerics="finite",
    ),
    Identity(
        "mean_of_centred",
        lambda x: x[:, 0] + jnp.mean(_centred(x), -1),
        lambda x: x[:, 0],
        (X,),
        numerics="finite",
    ),
    Identity(
        "sum_of_softmax",
        lambda x: jnp.sum(jax.nn.softmax(x), -1),
        lambda x: jnp.ones(N),
        (X,),
        numerics="approximate",
    ),
    Identity(
        "batch_norm",
        lambda x, m, v, g, b: (x - m) / jnp.sqrt(v + 1e-5) * g + b,
        lambda x, m, v, g, b: x * (g / jnp.sqrt(v + 1e-5)) + (b - m * (g / jnp.sqrt(v + 1e-5))),
        (normal(8, 16, 16, 64), MEAN, positive(64), SCALE, SHIFT),
    ),
    Identity(
        "normalised_by_root",
        lambda x: x / jnp.sqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6),
        lambda x: x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6),
        (X,),
    ),
    Identity(
        "unit_vectors",
        lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True),
        lambda x: x * jax.lax.rsqrt(jnp.sum(x * x, -1, keepdims=True)),
        (X,),
    ),
    Identity(
        "cosine_similarity",
        lambda x, y: (
            (x / jnp.linalg.norm(x, axis=1, keepdims=True))
            @ (y / jnp.linalg.norm(y, axis=1, keepdims=True)).T
        ),
        lambda x, y: (
            (x * jax.lax.rsqrt(jnp.sum(x * x, 1, keepdims=True)))
            @ (y * jax.lax.rsqrt(jnp.sum(y * y, 1, keepdims=True))).T
        ),
        (normal(8, N), weights(N, N)),
    ),
    Identity(
        "smoothed_cross_entropy",
        lambda x: -jnp.mean(jnp.sum((0.1 / N) * jnp.log(jax.nn.softmax(x)), -1)),
        lambda x: -(0.1 / N) * jnp.mean(jnp.sum(jax.nn.log_softmax(x), -1)),
        (X,),
    ),
    Identity(
        "softmax_with_temperature",
        lambda x: jax.nn.softmax((x / 2.0) / 4.0),
        lambda x: jax.nn.softmax(x * 0.125),
        (X,),
    ),
    Identity(
        "rms_norm_of_negated",
        lambda x: -x / jnp.sqrt(jnp.mean((-x) ** 2, -1, keepdims=True) + 1e-6),
        lambda x: -x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6),
        (X,),
    ),
    Identity(
        "masked_log_softmax_difference",
        lambda x: jax.nn.log_softmax(x)[:, :1] - jax.nn.log_softmax(x)[:, 1:2],
        lambda x: x[:, :1] - x[:, 1:2],
        (X,),
        numerics="finite",
    ),
    Identity(
        "sigmoid_by_softmax_of_two",
        lambda x: jax.nn.softmax(jnp.stack([x, jnp.zeros_like(x)], -1), -1)[..., 0],
        lambda x: jax.nn.sigmoid(x),
        (X,),
    ),
    Identity(
        "attention_by_hand",
        lambda q, k, v: (
            (
                jnp.exp(q @ k.T - jnp.max(q @ k.T, -1, keepdims=True))
                / jnp.sum(jnp.exp(q @ k.T - jnp.max(q @ k.T, -1, keepdims=True)), -1, keepdims=True)
            )
            @ v
        ),
        lambda q, k, v: jax.nn.softmax(q @ k.T) @ v,
        (normal(N, 16), normal(N, 16), normal(N, 16)),
    ),
    Identity(
        "log_odds_of_two_classes",
        lambda x: jax.nn.log_softmax(x)[:, 0] - jax.nn.log_softmax(x)[:, 1],
        lambda x: x[:, 0] - x[:, 1],
        (X,),
        numerics="finite",
    ),
    Identity(
        "odds_of_two_classes",
        lambda x: jax.nn.softmax(x)[:, 0] / jax.nn.softmax(x)[:, 1],
        lambda x: jnp.exp(x[:, 0] - x[:, 1]),
        (X,),
        numerics="approximate",
    ),
    Identity(
        "softmax_of_logarithms",
        lambda x: jax.nn.softmax(jnp.log(x)),
        lambda x: x / jnp.sum(x, -1, keepdims=True),
        (positive(N, N),),
        numerics="finite",
        note=BY_PRODUCT,
    ),
    Identity(
        "logsumexp_of_logarithms",
        lambda x: jax.scipy.special.logsumexp(jnp.log(x), -1),
        lambda x: jnp.log(jnp.sum(x, -1)),
        (positive(N, N),),
        numerics="finite",
        note=BY_PRODUCT,
    ),
    Identity(
        "sigmoid_of_log_odds",
        lambda x: jax.nn.sigmoid(jax.scipy.special.logit(x)),
        lambda x: x,
        (Input((N, N), "float32", lambda rng: rng.uniform(0.1, 0.9, (N, N))),),
        numerics="finite",
    ),
    Identity(
        "constant_weighted_by_softmax",
        lambda x, c: jnp.sum(jax.nn.softmax(x) * c[:, None], -1),
        lambda x, c: c,
        (X, V),
        numerics="finite",
    ),
    Identity(
        "sum_of_probabilities_by_logarithms",
        lambda x: jnp.sum(jnp.exp(jax.nn.log_softmax(x)), -1),
        lambda x: jnp.ones(N),
        (X,),
        numerics="finite",
    ),
    Identity(
        "masked_softmax_times_mask",
        lambda x, p: jax.nn.softmax(jnp.where(p, x, -jnp.inf), -1) * p,
        lambda x, p: jax.nn.softmax(jnp.where(p, x, -jnp.inf), -1),
        (X, booleans(N, N)),
    ),
    Identity(
        "log_of_mean_of_exponentials_shifted",
        lambda x: jax.nn.logsumexp(x + 2.0, 1) - jnp.log(N),
        lambda x: jax.nn.logsumexp(x, 1) + (2.0 - math.log(N)),
        (X,),
    ),
)
