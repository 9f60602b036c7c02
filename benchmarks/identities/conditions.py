"""Conditions that imply or exclude each other, are counted as numbers, or bound several values."""

from __future__ import annotations

import jax.numpy as jnp
from jax import nn

from .row import Identity, N, booleans, normal

X, Y, Z = normal(N, N), normal(N, N), normal(N, N)
P, Q = booleans(N, N), booleans(N, N)

ROWS = (
    Identity(
        "implied_condition",
        lambda x, y, z: jnp.where(x > 2, y, jnp.where(x > 3, z, x)),
        lambda x, y, z: jnp.where(x > 2, y, x),
        (X, Y, Z),
    ),
    Identity(
        "excluded_condition",
        lambda x, y, z: jnp.where(x > 3, jnp.where(x < 2, y, z), y),
        lambda x, y, z: jnp.where(x > 3, z, y),
        (X, Y, Z),
    ),
    Identity(
        "weaker_condition_inside",
        lambda p, q, x, y, z: jnp.where(p, jnp.where(p | q, x, y), z),
        lambda p, q, x, y, z: jnp.where(p, x, z),
        (P, Q, X, Y, Z),
    ),
    Identity(
        "chosen_inside_function",
        lambda p, x, y: jnp.where(p, jnp.exp(jnp.where(p, x, y)) + 1, y),
        lambda p, x, y: jnp.where(p, jnp.exp(x) + 1, y),
        (P, X, Y),
    ),
    Identity(
        "choice_by_two_parities",
        lambda p, q, x, y: jnp.where(p, jnp.where(q, x, y), jnp.where(q, y, x)),
        lambda p, q, x, y: jnp.where(p ^ q, y, x),
        (P, Q, X, Y),
    ),
    Identity(
        "both_counted",
        lambda p, q: (p.astype(jnp.int32) + q.astype(jnp.int32)) == 2,
        lambda p, q: p & q,
        (P, Q),
    ),
    Identity(
        "either_by_distance",
        lambda p, q: jnp.abs(p.astype(jnp.float32) - q.astype(jnp.float32)) > 0.5,
        lambda p, q: p ^ q,
        (P, Q),
    ),
    Identity(
        "band_by_two_bounds",
        lambda x: (x < 2) & (x > -2),
        lambda x: jnp.abs(x) < 2,
        (X,),
    ),
    Identity(
        "both_below_bound",
        lambda x, y: (x < 3) & (y < 3),
        lambda x, y: jnp.maximum(x, y) < 3,
        (X, Y),
    ),
    Identity(
        "square_of_either_sign",
        lambda p, x: jnp.where(p, x, -x) ** 2,
        lambda p, x: x * x,
        (P, X),
    ),
    Identity(
        "choice_of_equals",
        lambda x, y: jnp.where(x == y, x, y),
        lambda x, y: y,
        (X, Y),
    ),
    Identity("zero_where_zero", lambda x: jnp.where(x == 0, 0.0, x), lambda x: x, (X,)),
    Identity(
        "not_finite",
        lambda x: jnp.isnan(x) | jnp.isinf(x),
        lambda x: ~jnp.isfinite(x),
        (X,),
    ),
    Identity(
        "either_infinity",
        lambda x: jnp.isposinf(x) | jnp.isneginf(x),
        jnp.isinf,
        (X,),
    ),
    Identity("halves_compared", lambda x, y: x / 2 > y / 2, lambda x, y: x > y, (X, Y)),
    Identity(
        "not_below_own_maximum",
        lambda x, y: jnp.maximum(x, y) >= x,
        lambda x, y: jnp.ones(x.shape, bool),
        (X, Y),
        numerics="finite",
    ),
    Identity(
        "implied_both_ways",
        lambda p, q: (~p | q) & (~q | p),
        lambda p, q: p == q,
        (booleans(N, N), booleans(N, N)),
    ),
    Identity(
        "maximum_of_overlapping_maxima",
        lambda x, y, z: jnp.maximum(jnp.maximum(x, y), jnp.maximum(x, z)),
        lambda x, y, z: jnp.maximum(jnp.maximum(x, y), z),
        (X, Y, Z),
    ),
    Identity("clip_of_negated", lambda x: -jnp.clip(-x, -2, 1), lambda x: jnp.clip(x, -1, 2), (X,)),
    Identity(
        "product_of_parts",
        lambda x: nn.relu(x) * nn.relu(-x),
        jnp.zeros_like,
        (X,),
        numerics="finite",
    ),
    Identity(
        "squares_of_parts", lambda x: nn.relu(x) ** 2 + nn.relu(-x) ** 2, lambda x: x * x, (X,)
    ),
    Identity(
        "quotient_of_absolutes",
        lambda x, y: jnp.abs(x) / jnp.abs(y),
        lambda x, y: jnp.abs(x / y),
        (X, Y),
    ),
    Identity(
        "numbers_for_nan_twice",
        lambda x: jnp.nan_to_num(jnp.nan_to_num(x)),
        lambda x: jnp.nan_to_num(x),
        (X,),
    ),
    Identity(
        "leaky_rectifier_rectified",
        lambda x: nn.relu(nn.leaky_relu(x)),
        lambda x: nn.relu(x),
        (X,),
    ),
)
