"""Sorting, extrema by sorting, and cumulative operations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from .row import BY_COMPARISON, BY_KEYS, BY_PRODUCT, Identity, N, integers, normal, positive

X, V = normal(N, N), normal(N)


def _sum_by_loop(v: jax.Array) -> jax.Array:
    def step(total: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        total = total + x
        return total, total

    return lax.scan(step, jnp.float32(0), v)[1]


ROWS = (
    Identity(
        "least_by_sorting",
        lambda v: jnp.sort(v)[0],
        lambda v: jnp.min(v),
        (V,),
        True,
        numerics="finite",
        note="sorting puts NaN last, a minimum is NaN if any element is; of 256 numbers the least "
        "integer takes as long (31 µs, not 29), of 65,536 the minimum is chosen",
    ),
    Identity("greatest_by_sorting", lambda x: jnp.sort(x, 1)[:, -1], lambda x: jnp.max(x, 1), (X,)),
    Identity(
        "sorted_twice",
        lambda x: jnp.sort(jnp.sort(x, 1), 1),
        lambda x: jnp.sort(x, 1),
        (X,),
        note=BY_KEYS,
    ),
    Identity(
        "sum_of_sorted",
        lambda x: jnp.sum(jnp.sort(x, 1), 1),
        lambda x: jnp.sum(x, 1),
        (X,),
        note=BY_PRODUCT,
    ),
    Identity("max_of_sorted", lambda x: jnp.max(jnp.sort(x, 1), 1), lambda x: jnp.max(x, 1), (X,)),
    Identity(
        "sorted_reversed",
        lambda x: jnp.sort(x[:, ::-1], 1),
        lambda x: jnp.sort(x, 1),
        (X,),
        note=BY_KEYS,
    ),
    Identity(
        "top_one",
        lambda x: lax.top_k(x, 1)[0][:, 0],
        lambda x: jnp.max(x, 1),
        (X,),
        note=BY_COMPARISON,
    ),
    Identity("first_of_argsort", lambda v: jnp.argsort(v)[0], lambda v: jnp.argmin(v), (V,)),
    Identity(
        "sort_by_argsort", lambda v: v[jnp.argsort(v)], lambda v: jnp.sort(v), (V,), note=BY_KEYS
    ),
    Identity(
        "argmax_of_negated",
        lambda x: jnp.argmax(-x, 1),
        lambda x: jnp.argmin(x, 1),
        (X,),
        note=BY_COMPARISON,
    ),
    Identity(
        "argmax_of_scaled",
        lambda x: jnp.argmax(2.0 * x, 1),
        lambda x: jnp.argmax(x, 1),
        (X,),
        note=BY_COMPARISON,
    ),
    Identity(
        "argmax_of_exponential",
        lambda x: jnp.argmax(jnp.exp(x), 1),
        lambda x: jnp.argmax(x, 1),
        (X,),
        note="argmax of rounded values may see ties that the operands do not have",
    ),
    Identity("value_at_argmax", lambda v: v[jnp.argmax(v)], lambda v: jnp.max(v), (V,)),
    Identity(
        "cumsum_by_loop",
        _sum_by_loop,
        lambda v: jnp.cumsum(v),
        (V,),
        True,
        note="of 256 numbers the loop is as fast as XLA's cumulative sum: 15 µs, not 18",
    ),
    Identity(
        "last_of_cumsum",
        lambda x: jnp.cumsum(x, 1)[:, -1],
        lambda x: jnp.sum(x, 1),
        (X,),
        note=BY_PRODUCT,
    ),
    Identity(
        "cumsum_of_scaled",
        lambda x: jnp.cumsum(3.0 * x, 1),
        lambda x: 3.0 * jnp.cumsum(x, 1),
        (X,),
        note="the same work either way",
    ),
    Identity(
        "difference_of_cumsum",
        lambda x: jnp.diff(jnp.cumsum(x, 1), axis=1),
        lambda x: x[:, 1:],
        (X,),
        False,
        "finite",
    ),
    Identity(
        "cumsum_of_ones",
        lambda v: v + jnp.cumsum(jnp.ones(N)),
        lambda v: v + jnp.arange(1.0, N + 1),
        (V,),
    ),
    Identity("last_of_cummax", lambda x: lax.cummax(x, 1)[:, -1], lambda x: jnp.max(x, 1), (X,)),
    Identity(
        "reversed_cumsum",
        lambda x: jnp.cumsum(x[:, ::-1], 1)[:, ::-1],
        lambda x: lax.cumsum(x, 1, reverse=True),
        (X,),
    ),
    Identity(
        "largest_of_softmax",
        lambda x: lax.top_k(jax.nn.softmax(x), 4)[1],
        lambda x: lax.top_k(x, 4)[1],
        (normal(64, N),),
        numerics="finite",
    ),
    Identity(
        "top_of_top",
        lambda x: lax.top_k(lax.top_k(x, 8)[0], 3)[0],
        lambda x: lax.top_k(x, 3)[0],
        (X,),
    ),
    Identity(
        "top_of_sorted", lambda x: lax.top_k(jnp.sort(x), 4)[0], lambda x: lax.top_k(x, 4)[0], (X,)
    ),
    Identity(
        "greatest_of_top", lambda x: jnp.max(lax.top_k(x, 4)[0], 1), lambda x: jnp.max(x, 1), (X,)
    ),
    Identity(
        "sorted_halves_sorted",
        lambda x, y: jnp.sort(jnp.concatenate([jnp.sort(x, 1), jnp.sort(y, 1)], 1), 1),
        lambda x, y: jnp.sort(jnp.concatenate([x, y], 1), 1),
        (X, normal(N, N)),
        note=BY_KEYS,
    ),
    Identity(
        "greatest_by_one_hot_argmax",
        lambda x: jnp.sum(jax.nn.one_hot(jnp.argmax(x, 1), N) * x, 1),
        lambda x: jnp.max(x, 1),
        (X,),
    ),
    Identity(
        "last_of_cumsum_of_cumsum",
        lambda x: jnp.cumsum(jnp.cumsum(x))[-1],
        lambda x: jnp.arange(N, 0, -1, dtype=x.dtype) @ x,
        (V,),
    ),
    Identity(
        "sum_in_sorted_order_of_another",
        lambda x, k: jnp.sum(x[jnp.argsort(k)]),
        lambda x, k: jnp.sum(x),
        (V, V),
    ),
    Identity(
        "cumsum_of_differences_from_zero",
        lambda x: jnp.cumsum(jnp.diff(x, axis=1, prepend=0), 1),
        lambda x: x,
        (integers(N, N),),
    ),
    Identity(
        "cumsum_of_differences_from_first",
        lambda x: jnp.cumsum(jnp.diff(x, axis=1, prepend=x[:, :1]), 1),
        lambda x: x - x[:, :1],
        (integers(N, N),),
    ),
    Identity(
        "difference_of_cumsum_from_zero",
        lambda x: jnp.diff(jnp.cumsum(x, 1), axis=1, prepend=0),
        lambda x: x,
        (X,),
        numerics="finite",
    ),
    Identity(
        "sorted_downwards_by_indices",
        lambda x: jnp.take_along_axis(x, jnp.argsort(-x, 1), 1),
        lambda x: -jnp.sort(-x, 1),
        (X,),
        note=BY_KEYS,
    ),
    Identity(
        "median_of_sorted",
        lambda x: jnp.median(jnp.sort(x, 1), 1),
        lambda x: jnp.median(x, 1),
        (X,),
        note=BY_KEYS,
    ),
    Identity(
        "last_percentile",
        lambda x: jnp.percentile(x, 100, axis=1),
        lambda x: jnp.max(x, 1),
        (X,),
    ),
    Identity(
        "sum_of_all_by_top",
        lambda x: jnp.sum(lax.top_k(x, N)[0], 1),
        lambda x: jnp.sum(x, 1),
        (X,),
        note=BY_PRODUCT,
    ),
    Identity(
        "class_sampled_by_gumbel_noise",
        lambda x, g: jnp.argmax(jax.nn.log_softmax(x, 1) + g, 1),
        lambda x, g: jnp.argmax(x + g, 1),
        (X, X),
        numerics="finite",
        note=BY_COMPARISON,
    ),
    Identity(
        "order_of_sorted",
        lambda x: jnp.argsort(jnp.sort(x, 1), 1),
        lambda x: jnp.broadcast_to(jnp.arange(N, dtype=jnp.int32), (N, N)),
        (X,),
    ),
    Identity(
        "ranks_of_sorted",
        lambda x: jnp.argsort(jnp.argsort(jnp.sort(x, 1), 1), 1),
        lambda x: jnp.broadcast_to(jnp.arange(N, dtype=jnp.int32), (N, N)),
        (X,),
    ),
    Identity(
        "places_of_greatest_logarithms",
        lambda x: lax.top_k(jnp.log(x), 4)[1],
        lambda x: lax.top_k(x, 4)[1],
        (positive(N, N),),
        numerics="finite",
    ),
)
