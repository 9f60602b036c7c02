"""Exponentials, logarithms, powers, roots, trigonometric and hyperbolic functions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.stats import norm

from .row import Identity, N, normal, positive

X, Y, P, Q = normal(N, N), normal(N, N), positive(N, N), positive(N, N)

ROWS = (
    Identity(
        "product_of_exponentials_of_two",
        lambda a, b: jnp.exp(a) * jnp.exp(b),
        lambda a, b: jnp.exp(a + b),
        (X, Y),
        True,
    ),
    Identity(
        "product_of_three_exponentials",
        lambda a, b, c: jnp.exp(a) * jnp.exp(b) * jnp.exp(c),
        lambda a, b, c: jnp.exp(a + b + c),
        (X, Y, X),
    ),
    Identity(
        "quotient_of_exponentials",
        lambda a, b: jnp.exp(a) / jnp.exp(b),
        lambda a, b: jnp.exp(a - b),
        (X, Y),
    ),
    Identity("reciprocal_of_exponential", lambda a: 1 / jnp.exp(a), lambda a: jnp.exp(-a), (X,)),
    Identity(
        "square_of_exponential", lambda a: jnp.exp(a) ** 2, lambda a: jnp.exp(a) * jnp.exp(a), (X,)
    ),
    Identity(
        "exponential_inverse_pair",
        lambda a: jnp.exp(a) * jnp.exp(-a) * a,
        lambda a: a,
        (X,),
        numerics="finite",
    ),
    Identity("log_of_exponential", lambda a: jnp.log(jnp.exp(a)), lambda a: a, (X,)),
    Identity(
        "exponential_of_log",
        lambda a: jnp.exp(jnp.log(a)),
        lambda a: a,
        (P,),
        numerics="finite",
    ),
    Identity(
        "log_of_product_of_exponentials",
        lambda a, b: jnp.log(jnp.exp(a) * jnp.exp(b)),
        lambda a, b: a + b,
        (X, Y),
    ),
    Identity("log_of_root", lambda a: jnp.log(jnp.sqrt(a)), lambda a: 0.5 * jnp.log(a), (P,)),
    Identity(
        "log_of_sigmoid",
        lambda a: jnp.log(jax.nn.sigmoid(a)),
        lambda a: -jnp.log1p(jnp.exp(-a)),
        (X,),
    ),
    Identity(
        "sigmoid_of_log",
        lambda a: jax.nn.sigmoid(jnp.log(a)),
        lambda a: a / (1 + a),
        (P,),
        numerics="finite",
    ),
    Identity(
        "exponential_of_half_log",
        lambda a: jnp.exp(0.5 * jnp.log(a)),
        lambda a: jnp.sqrt(a),
        (P,),
        numerics="finite",
    ),
    Identity("log_of_power", lambda a: jnp.log(a**3), lambda a: 3 * jnp.log(a), (P,)),
    Identity(
        "divided_by_root", lambda a, b: a / jnp.sqrt(b), lambda a, b: a * lax.rsqrt(b), (X, P), True
    ),
    Identity("reciprocal_root", lambda a: 1 / jnp.sqrt(a), lambda a: lax.rsqrt(a), (P,)),
    Identity(
        "square_of_root",
        lambda a: jnp.sqrt(a) * jnp.sqrt(a),
        lambda a: a,
        (P,),
        True,
        numerics="finite",
    ),
    Identity(
        "square_of_root_of_square",
        lambda a: jnp.sqrt(a * a) * jnp.sqrt(a * a),
        lambda a: a * a,
        (X,),
    ),
    Identity("root_of_square", lambda a: jnp.sqrt(a**2), lambda a: jnp.abs(a), (X,)),
    Identity(
        "root_of_exponential", lambda a: jnp.sqrt(jnp.exp(a)), lambda a: jnp.exp(a * 0.5), (X,)
    ),
    Identity(
        "square_of_reciprocal_root",
        lambda a: lax.rsqrt(a) * lax.rsqrt(a),
        lambda a: 1 / a,
        (P,),
        numerics="finite",
    ),
    Identity(
        "number_over_own_root",
        lambda a: a / jnp.sqrt(a),
        lambda a: jnp.sqrt(a),
        (P,),
        numerics="approximate",
    ),
    Identity(
        "product_of_roots",
        lambda a, b: jnp.sqrt(a * a + 1) * jnp.sqrt(b * b + 1),
        lambda a, b: jnp.sqrt((a * a + 1) * (b * b + 1)),
        (X, Y),
    ),
    Identity("power_two", lambda a: a**2.0, lambda a: a * a, (X,), True),
    Identity("power_three", lambda a: a**3.0, lambda a: a * a * a, (X,), True),
    Identity("power_four", lambda a: jnp.power(a, 4.0), lambda a: (a * a) * (a * a), (X,)),
    Identity("power_half", lambda a: jnp.power(a, 0.5), lambda a: jnp.sqrt(a), (P,)),
    Identity("power_three_halves", lambda a: a**1.5, lambda a: a * jnp.sqrt(a), (P,)),
    Identity("power_minus_one", lambda a: jnp.power(a, -1.0), lambda a: 1 / a, (P,)),
    Identity("power_minus_two", lambda a: jnp.power(a, -2.0), lambda a: 1 / (a * a), (P,)),
    Identity("power_minus_half", lambda a: jnp.power(a, -0.5), lambda a: lax.rsqrt(a), (P,)),
    Identity(
        "power_of_array_of_twos",
        lambda a: jnp.power(a, jnp.full((N, N), 2.0)),
        lambda a: a * a,
        (X,),
    ),
    Identity(
        "power_of_exponential",
        lambda a, b: jnp.power(jnp.exp(a), b),
        lambda a, b: jnp.exp(a * b),
        (X, Y),
    ),
    Identity("power_of_one", lambda a: jnp.power(1.0, a) * a, lambda a: a, (X,)),
    Identity(
        "power_of_two_base",
        lambda a: jnp.power(2.0, a),
        lambda a: jnp.exp2(a),
        (X,),
    ),
    Identity("square_times_cube", lambda a: a**2 * a**3, lambda a: (a * a) * (a * a) * a, (X,)),
    Identity("cube_over_square", lambda a: a**3 / a**2, lambda a: a, (P,), numerics="approximate"),
    Identity(
        "softplus_difference",
        lambda a: jax.nn.softplus(a) - jax.nn.softplus(-a),
        lambda a: a,
        (X,),
        numerics="finite",
    ),
    Identity("log1p_of_expm1", lambda a: jnp.log1p(jnp.expm1(a)), lambda a: a, (X,)),
    Identity(
        "expm1_of_log1p", lambda a: jnp.expm1(jnp.log1p(a)), lambda a: a, (P,), numerics="finite"
    ),
    Identity(
        "logaddexp_by_hand",
        lambda a, b: jnp.log(jnp.exp(a) + jnp.exp(b)),
        lambda a, b: jnp.maximum(a, b) + jnp.log1p(jnp.exp(-jnp.abs(a - b))),
        (X, Y),
    ),
    Identity(
        "sum_of_logs",
        lambda a, b: jnp.log(jnp.exp(a) + 1) + jnp.log(jnp.exp(b) + 1),
        lambda a, b: jnp.log((jnp.exp(a) + 1) * (jnp.exp(b) + 1)),
        (X, Y),
    ),
    Identity(
        "choose_before_exponential",
        lambda p, a, b: jnp.where(p > 0, jnp.exp(a), jnp.exp(b)),
        lambda p, a, b: jnp.exp(jnp.where(p > 0, a, b)),
        (X, X, Y),
    ),
    Identity(
        "exponential_of_broadcast",
        lambda v: jnp.exp(jnp.broadcast_to(v[:, None], (N, N))),
        lambda v: jnp.broadcast_to(jnp.exp(v)[:, None], (N, N)),
        (normal(N),),
    ),
    Identity(
        "exponential_of_outer_sum",
        lambda a, b: jnp.exp(a[:, None] + b[None, :]),
        lambda a, b: jnp.exp(a)[:, None] * jnp.exp(b)[None, :],
        (normal(N), normal(N)),
    ),
    Identity(
        "gaussian_product",
        lambda x, y: jnp.exp(-0.5 * x**2) * jnp.exp(-0.5 * y**2),
        lambda x, y: jnp.exp(-0.5 * (x**2 + y**2)),
        (X, Y),
    ),
    Identity(
        "log_density",
        lambda x, m: jnp.log(jnp.exp(-0.5 * (x - m) ** 2) / jnp.sqrt(2 * jnp.pi)),
        lambda x, m: -0.5 * (x - m) ** 2 - 0.9189385332046727,
        (X, X),
    ),
    Identity(
        "log_likelihood_ratio",
        lambda x: norm.logpdf(x, 1.0, 1.0) - norm.logpdf(x, -1.0, 1.0),
        lambda x: 2 * x,
        (X,),
        numerics="finite",
    ),
    Identity(
        "power_of_constant",
        lambda a: jnp.power(3.0, a),
        lambda a: jnp.exp(a * jnp.log(3.0)),
        (X,),
    ),
    Identity(
        "exponential_of_negative_log",
        lambda a: jnp.exp(-jnp.log(a)),
        lambda a: 1 / a,
        (P,),
        numerics="finite",
    ),
    Identity(
        "softplus_of_negated",
        lambda a: jax.nn.softplus(a) - jax.nn.softplus(-a),
        lambda a: a,
        (X,),
        numerics="finite",
    ),
    Identity("power_of_power", lambda a: (a**2) ** 3, lambda a: (a * a * a) * (a * a * a), (X,)),
    Identity("log_base_two_of_power", lambda a: jnp.log2(jnp.exp2(a)), lambda a: a, (X,)),
    Identity(
        "separable_gaussian",
        lambda a, b: jnp.exp(-(a[:, None] ** 2 + b[None, :] ** 2)),
        lambda a, b: jnp.exp(-(a**2))[:, None] * jnp.exp(-(b**2))[None, :],
        (normal(N), normal(N)),
    ),
    Identity(
        "difference_of_logarithms",
        lambda x, y: jnp.log(x) - jnp.log(y),
        lambda x, y: jnp.log(x / y),
        (positive(N, N), positive(N, N)),
        numerics="approximate",
    ),
    Identity(
        "quotient_of_roots",
        lambda x, y: jnp.sqrt(x) / jnp.sqrt(y),
        lambda x, y: jnp.sqrt(x / y),
        (positive(N, N), positive(N, N)),
        numerics="approximate",
    ),
    Identity(
        "exponential_of_log1p",
        lambda a: jnp.exp(jnp.log1p(a)),
        lambda a: 1 + a,
        (P,),
        numerics="finite",
    ),
    Identity("log1p_of_decrement", lambda a: jnp.log1p(a - 1), jnp.log, (P,)),
    Identity("power_of_ten_and_back", lambda a: jnp.log10(10.0**a), lambda a: a, (X,)),
    Identity(
        "root_of_quotient_of_squares",
        lambda a, b: jnp.sqrt(a * a / (b * b)),
        lambda a, b: jnp.abs(a / b),
        (X, Y),
    ),
    Identity("cube_of_cube_root", lambda a: jnp.cbrt(a) ** 3, lambda a: a, (X,)),
)
