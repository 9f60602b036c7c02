"""Loops that need not be loops, and work that does not belong into them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .row import Identity, N, normal, weights

A, V, XS = weights(N, N), normal(N), normal(32, N)


def _invariant_product(a: jax.Array, v: jax.Array) -> jax.Array:
    return lax.scan(lambda c, _: (c + jnp.tanh((a @ a) @ c), None), v, None, 16)[0]


def _hoisted_product(a: jax.Array, v: jax.Array) -> jax.Array:
    squared = a @ a
    return lax.scan(lambda c, _: (c + jnp.tanh(squared @ c), None), v, None, 16)[0]


def _recurrence(u: jax.Array, w: jax.Array, xs: jax.Array, h: jax.Array) -> jax.Array:
    return lax.scan(lambda c, x: (jnp.tanh(u @ x + w @ c), None), h, xs)[0]


def _recurrence_hoisted(u: jax.Array, w: jax.Array, xs: jax.Array, h: jax.Array) -> jax.Array:
    return lax.scan(lambda c, y: (jnp.tanh(y + w @ c), None), h, xs @ u.T)[0]


ROWS = (
    Identity(
        "repeated_addition",
        lambda z, c: lax.fori_loop(0, 16, lambda i, s: s + c, z),
        lambda z, c: z + 16 * c,
        (V, V),
        True,
    ),
    Identity(
        "repeated_scaling",
        lambda z: lax.fori_loop(0, 8, lambda i, s: 2.0 * s, z),
        lambda z: 256.0 * z,
        (V,),
    ),
    Identity(
        "invariant_product",
        _invariant_product,
        _hoisted_product,
        (A, V),
        True,
        note="two products with a vector in each step need an eighth of the flops of one product "
        "of matrices before the loop: 0.27 ms, not 0.56",
    ),
    Identity("recurrence_inputs", _recurrence, _recurrence_hoisted, (A, A, XS, V), True),
    Identity(
        "mapped_products",
        lambda a, xs: lax.map(lambda x: a @ x, xs),
        lambda a, xs: xs @ a.T,
        (A, XS),
    ),
    Identity(
        "mapped_function",
        lambda xs: lax.map(lambda x: jnp.exp(x) + 1, xs),
        lambda xs: jnp.exp(xs) + 1,
        (XS,),
    ),
    Identity(
        "scan_without_state",
        lambda xs: lax.scan(lambda c, x: (c, x * 2), 0.0, xs)[1],
        lambda xs: xs * 2,
        (XS,),
    ),
    Identity(
        "accumulated_sum",
        lambda xs: lax.scan(lambda c, x: (c + x, None), jnp.zeros(N), xs)[0],
        lambda xs: jnp.sum(xs, 0),
        (XS,),
    ),
    Identity(
        "accumulated_products",
        lambda a, xs: lax.scan(lambda c, x: (c + a @ x, None), jnp.zeros(N), xs)[0],
        lambda a, xs: a @ jnp.sum(xs, 0),
        (A, XS),
    ),
    Identity(
        "running_maximum",
        lambda xs: lax.scan(lambda c, x: (jnp.maximum(c, x), None), jnp.full(N, -jnp.inf), xs)[0],
        lambda xs: jnp.max(xs, 0),
        (XS,),
    ),
    Identity(
        "loop_of_nothing", lambda z: lax.fori_loop(0, 8, lambda i, s: s, z), lambda z: z, (V,)
    ),
    Identity(
        "loop_never_run",
        lambda z: lax.fori_loop(5, 5, lambda i, s: jnp.exp(s), z),
        lambda z: z,
        (V,),
    ),
    Identity(
        "loop_run_once",
        lambda z: lax.fori_loop(0, 1, lambda i, s: jnp.exp(s), z),
        lambda z: jnp.exp(z),
        (V,),
    ),
    Identity(
        "unused_state",
        lambda a, v: lax.fori_loop(0, 16, lambda i, s: (s[0] + v, a @ s[1]), (v, v))[0],
        lambda a, v: 17 * v,
        (A, V),
    ),
    Identity(
        "constant_branch",
        lambda v: lax.cond(jnp.array(True), lambda x: x + 1, lambda x: jnp.exp(x), v),
        lambda v: v + 1,
        (V,),
    ),
    Identity(
        "equal_branches",
        lambda p, v: lax.cond(p > 0, lambda x: 2 * x, lambda x: x + x, v),
        lambda p, v: 2 * v,
        (normal(), V),
    ),
    Identity(
        "fill_by_loop",
        lambda xs: lax.fori_loop(0, 32, lambda i, o: o.at[i].set(2 * xs[i]), jnp.zeros((32, N))),
        lambda xs: 2 * xs,
        (XS,),
    ),
    Identity(
        "invariant_output",
        lambda v: lax.scan(lambda c, _: (c, jnp.exp(v)), 0.0, None, 8)[1],
        lambda v: jnp.broadcast_to(jnp.exp(v), (8, N)),
        (V,),
    ),
    Identity(
        "moving_average",
        lambda xs: lax.scan(lambda c, x: (0.9 * c + 0.1 * x, None), jnp.zeros(N), xs)[0],
        lambda xs: (0.1 * 0.9 ** np.arange(31.0, -1, -1)).astype("float32") @ xs,
        (XS,),
        note="slower on two cores (41 µs, the loop 12): races keep the loop",
    ),
    Identity(
        "discounted_sums",
        lambda xs: lax.scan(lambda c, x: (x + 0.99 * c,) * 2, jnp.zeros(N), xs, reverse=True)[1],
        lambda xs: np.triu(0.99 ** np.subtract(*np.indices((32, 32))[::-1])).astype("float32") @ xs,
        (XS,),
        note="slower on two cores (82 µs, the loop 13): races keep the loop",
    ),
    Identity(
        "sum_of_the_last_two",
        lambda v: lax.fori_loop(0, 10, lambda i, c: (c[1], c[0] + c[1]), (v, v))[1],
        lambda v: 144 * v,
        (V,),
    ),
    Identity(
        "rows_scaled_in_place",
        lambda x, s: lax.fori_loop(0, N, lambda i, c: c.at[i].multiply(s[i]), x),
        lambda x, s: x * s[:, None],
        (normal(N, N), normal(N)),
    ),
    Identity(
        "own_rows_mapped",
        lambda x: lax.fori_loop(0, N, lambda i, c: c.at[i].set(jnp.tanh(c[i]) + 1), x),
        lambda x: jnp.tanh(x) + 1,
        (normal(N, N),),
    ),
    Identity(
        "product_by_repeated_matrix",
        lambda a, x: lax.fori_loop(0, 4, lambda _, m: m @ a, jnp.eye(N)) @ x,
        lambda a, x: a @ (a @ (a @ (a @ x))),
        (A, V),
    ),
    Identity(
        "relaxation_towards_constant",
        lambda x: lax.scan(lambda c, _: (0.5 * c + x, None), jnp.zeros(N), length=8)[0],
        lambda x: (2 - 2.0**-7) * x,
        (V,),
    ),
    Identity(
        "rows_reversed_in_place",
        lambda x: lax.fori_loop(0, 32, lambda i, o: o.at[31 - i].set(x[i]), jnp.zeros((32, N))),
        lambda x: x[::-1],
        (XS,),
    ),
)
