"""Conditions that imply or exclude each other, are counted as numbers, or bound several values."""

from __future__ import annotations

import jax.numpy as jnp

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
)
