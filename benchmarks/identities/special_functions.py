"""Logistic, hyperbolic, trigonometric and error functions, and their inverses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax, nn
from jax.scipy.stats import norm

from .row import Identity, N, normal, positive

X, Y, P, Q = normal(N, N), normal(N, N), positive(N, N), positive(N, N)


def _mish(a: jax.Array, m: jax.Array) -> jax.Array:
    above = jnp.where(a > 0, 1 + 2 * m, m * (m + 2))
    return a * above / (above + jnp.where(a > 0, 2 * m * m, 2))


ROWS = (
    Identity("sigmoid_by_hand", lambda a: 1 / (1 + jnp.exp(-a)), lambda a: jax.nn.sigmoid(a), (X,)),
    Identity(
        "sigmoid_by_quotient",
        lambda a: jnp.exp(a) / (1 + jnp.exp(a)),
        lambda a: jax.nn.sigmoid(a),
        (X,),
    ),
    Identity(
        "swish_by_hand",
        lambda a: a / (1 + jnp.exp(-a)),
        lambda a: a * jax.nn.sigmoid(a),
        (X,),
    ),
    Identity(
        "complement_of_sigmoid",
        lambda a: 1 - jax.nn.sigmoid(a),
        lambda a: jax.nn.sigmoid(-a),
        (X,),
    ),
    Identity(
        "sigmoid_and_complement",
        lambda a: jax.nn.sigmoid(a) + jax.nn.sigmoid(-a) + a,
        lambda a: a + 1.0,
        (X,),
        numerics="finite",
    ),
    Identity(
        "sigmoid_derivative",
        lambda a: jax.nn.sigmoid(a) * jax.nn.sigmoid(-a),
        lambda a: jax.nn.sigmoid(a) * (1 - jax.nn.sigmoid(a)),
        (X,),
    ),
    Identity(
        "tanh_by_exponentials",
        lambda a: (jnp.exp(a) - jnp.exp(-a)) / (jnp.exp(a) + jnp.exp(-a)),
        lambda a: jnp.tanh(a),
        (X,),
    ),
    Identity(
        "tanh_by_double_exponential",
        lambda a: (jnp.exp(2 * a) - 1) / (jnp.exp(2 * a) + 1),
        lambda a: jnp.tanh(a),
        (X,),
    ),
    Identity(
        "tanh_by_sigmoid",
        lambda a: 2 * jax.nn.sigmoid(2 * a) - 1,
        lambda a: jnp.tanh(a),
        (X,),
    ),
    Identity(
        "cosh_by_exponentials",
        lambda a: (jnp.exp(a) + jnp.exp(-a)) / 2,
        lambda a: 0.5 * (jnp.exp(a) + 1 / jnp.exp(a)),
        (X,),
    ),
    Identity(
        "hyperbolic_pythagoras",
        lambda a: jnp.cosh(a) ** 2 - jnp.sinh(a) ** 2 + a,
        lambda a: 1.0 + a,
        (X,),
        numerics="finite",
    ),
    Identity("sinh_over_cosh", lambda a: jnp.sinh(a) / jnp.cosh(a), lambda a: jnp.tanh(a), (X,)),
    Identity(
        "odd_functions",
        lambda a: jnp.tanh(-a) + jnp.sin(-a),
        lambda a: -jnp.tanh(a) - jnp.sin(a),
        (X,),
    ),
    Identity(
        "even_functions_share",
        lambda a: jnp.cos(a) + jnp.cos(-a),
        lambda a: 2 * jnp.cos(a),
        (X,),
    ),
    Identity(
        "odd_functions_share",
        lambda a: jnp.tanh(a) * jnp.tanh(-a),
        lambda a: -jnp.square(jnp.tanh(a)),
        (X,),
    ),
    Identity(
        "pythagoras",
        lambda a: a * (jnp.sin(a) ** 2 + jnp.cos(a) ** 2),
        lambda a: a,
        (X,),
        numerics="finite",
    ),
    Identity("tangent_by_quotient", lambda a: jnp.sin(a) / jnp.cos(a), lambda a: jnp.tan(a), (X,)),
    Identity(
        "double_angle_sine",
        lambda a: 2 * jnp.sin(a) * jnp.cos(a),
        lambda a: jnp.sin(2 * a),
        (X,),
    ),
    Identity(
        "double_angle_cosine",
        lambda a: jnp.cos(a) ** 2 - jnp.sin(a) ** 2,
        lambda a: jnp.cos(2 * a),
        (X,),
    ),
    Identity(
        "sine_of_sum",
        lambda a, b: jnp.sin(a) * jnp.cos(b) + jnp.cos(a) * jnp.sin(b),
        lambda a, b: jnp.sin(a + b),
        (X, Y),
    ),
    Identity(
        "cosine_of_difference",
        lambda a, b: jnp.cos(a) * jnp.cos(b) + jnp.sin(a) * jnp.sin(b),
        lambda a, b: jnp.cos(a - b),
        (X, Y),
    ),
    Identity(
        "complement_of_sine_square",
        lambda a: 1 - jnp.sin(a) ** 2,
        lambda a: jnp.cos(a) ** 2,
        (X,),
    ),
    Identity(
        "complement_of_erf",
        lambda a: lax.erf(a) + lax.erfc(a) + a,
        lambda a: 1.0 + a,
        (X,),
        numerics="finite",
    ),
    Identity(
        "erf_of_negated",
        lambda a: lax.erf(a) * lax.erf(-a),
        lambda a: -jnp.square(lax.erf(a)),
        (X,),
    ),
    Identity(
        "angle_of_scaled",
        lambda a, b: jnp.arctan2(2.0 * a, 2.0 * b),
        lambda a, b: jnp.arctan2(a, b),
        (X, Y),
    ),
    Identity(
        "silu_gate",
        lambda a, b: a * (1 / (1 + jnp.exp(-a))) * b,
        lambda a, b: jax.nn.silu(a) * b,
        (X, Y),
    ),
    Identity(
        "gelu_complement",
        lambda a: 0.5 * a * (1 + lax.erf(a)) + 0.5 * a * (1 - lax.erf(a)),
        lambda a: a,
        (X,),
        numerics="finite",
    ),
    Identity(
        "tanh_of_sum_form",
        lambda a: (jnp.exp(2 * a) - 1) / (jnp.exp(2 * a) + 1),
        lambda a: jnp.tanh(a),
        (X,),
    ),
    Identity(
        "rotation_keeps_length",
        lambda a, b, t: (
            (a * jnp.cos(t) - b * jnp.sin(t)) ** 2 + (a * jnp.sin(t) + b * jnp.cos(t)) ** 2
        ),
        lambda a, b, t: a * a + b * b,
        (X, Y, X),
    ),
    Identity(
        "sign_flip_under_cosine", lambda a: jnp.cos(-a) + jnp.cos(a), lambda a: 2 * jnp.cos(a), (X,)
    ),
    Identity(
        "divide_by_square_of_secant",
        lambda x: 1 / (1 + jnp.tan(x) ** 2),
        lambda x: jnp.cos(x) ** 2,
        (normal(4096),),
    ),
    Identity(
        "cosine_of_arc_sine",
        lambda x: jnp.cos(jnp.arcsin(x / 4)),
        lambda x: jnp.sqrt((1 - x / 4) * (1 + x / 4)),
        (P,),
    ),
    Identity(
        "sine_of_arc_tangent",
        lambda x: jnp.sin(jnp.arctan(x)),
        lambda x: x * lax.rsqrt(1 + x * x),
        (X,),
    ),
    Identity(
        "cosine_of_angle",
        lambda y, x: jnp.cos(jnp.arctan2(y, x)),
        lambda y, x: jnp.where(x * x + y * y == 0, 1.0, x / jnp.sqrt(x * x + y * y)),
        (X, Y),
        numerics="approximate",
    ),
    Identity(
        "gradient_of_softplus",
        lambda x: jax.grad(lambda u: jnp.sum(jax.nn.softplus(u)))(x),
        lambda x: jax.nn.sigmoid(x),
        (normal(N, N),),
    ),
    Identity(
        "swish_of_both_signs",
        lambda x: jax.nn.silu(x) - jax.nn.silu(-x),
        lambda x: x,
        (X,),
        numerics="finite",
    ),
    Identity(
        "normal_distribution_function",
        lambda a: norm.cdf(a),
        lambda a: 0.5 * jax.scipy.special.erfc(-a * 0.7071067811865476),
        (X,),
    ),
    Identity(
        "distribution_function_of_both_signs",
        lambda a: norm.cdf(a) + norm.cdf(-a),
        jnp.ones_like,
        (X,),
        numerics="finite",
    ),
    Identity(
        "erfc_of_both_signs",
        lambda a: jax.scipy.special.erfc(a) + jax.scipy.special.erfc(-a),
        lambda a: jnp.full_like(a, 2),
        (X,),
        numerics="finite",
    ),
    Identity("sinh_of_arcsinh", lambda a: jnp.sinh(jnp.arcsinh(a)), lambda a: a, (X,)),
    Identity("cosh_plus_sinh", lambda a: jnp.cosh(a) + jnp.sinh(a), jnp.exp, (X,)),
    Identity(
        "sigmoid_of_logit_and_back",
        lambda a: jax.scipy.special.logit(nn.sigmoid(a)),
        lambda a: a,
        (X,),
    ),
    Identity(
        "tanh_of_softplus",
        lambda a: a * jnp.tanh(nn.softplus(a)),
        lambda a: _mish(a, jnp.exp(-jnp.abs(a))),
        (X,),
        note="the activation Mish",
    ),
    Identity(
        "difference_of_log_gamma",
        lambda p: lax.lgamma(p + 1) - lax.lgamma(p),
        lambda p: jnp.log(p),
        (P,),
        numerics="approximate",
        note="false at 0, -1, -2, …",
    ),
    Identity(
        "difference_of_digamma",
        lambda p: lax.digamma(p + 1) - lax.digamma(p),
        lambda p: 1 / p,
        (P,),
        numerics="approximate",
        note="false at 0, -1, -2, …",
    ),
    Identity(
        "exponential_of_log_sigmoid",
        lambda x: jnp.exp(nn.log_sigmoid(x)),
        nn.sigmoid,
        (X,),
    ),
)
