"""Maxima, clipping, choices and comparisons."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .row import Identity, N, booleans, normal

X, Y, Z = normal(N, N), normal(N, N), normal(N, N)
P, Q = booleans(N, N), booleans(N, N)

ROWS = (
    Identity(
        "choice_by_ones",
        lambda x, y: jnp.where(jnp.ones((N, N), bool), x, y),
        lambda x, y: x,
        (X, Y),
        True,
    ),
    Identity(
        "choice_by_zeros",
        lambda x, y: jnp.where(jnp.zeros((N, N)) > 0, x, y),
        lambda x, y: y,
        (X, Y),
        True,
    ),
    Identity(
        "choice_by_constant_comparison",
        lambda x, y: jnp.where(jnp.arange(N) < N, x, y),
        lambda x, y: x,
        (X, Y),
        True,
    ),
    Identity(
        "choice_by_impossible_index",
        lambda x: jnp.where(jnp.arange(N) < 0, x + N, x),
        lambda x: x,
        (X,),
    ),
    Identity(
        "masked_by_half_known",
        lambda x, p: jnp.where(p & (jnp.arange(N) >= 0), x, 0.0),
        lambda x, p: jnp.where(p, x, 0.0),
        (X, P),
    ),
    Identity("choice_of_same", lambda p, x: jnp.where(p, x, x), lambda p, x: x, (P, X)),
    Identity(
        "choice_by_negation",
        lambda p, x, y: jnp.where(~p, x, y),
        lambda p, x, y: jnp.where(p, y, x),
        (P, X, Y),
    ),
    Identity(
        "nested_choice",
        lambda p, x, y, z: jnp.where(p, jnp.where(p, x, y), z),
        lambda p, x, y, z: jnp.where(p, x, z),
        (P, X, Y, Z),
    ),
    Identity(
        "choice_of_products",
        lambda p, x, y, z: jnp.where(p, x * z, y * z),
        lambda p, x, y, z: jnp.where(p, x, y) * z,
        (P, X, Y, Z),
    ),
    Identity(
        "choice_of_tanh",
        lambda p, x, y: jnp.where(p, jnp.tanh(x), jnp.tanh(y)),
        lambda p, x, y: jnp.tanh(jnp.where(p, x, y)),
        (P, X, Y),
    ),
    Identity(
        "masked_products",
        lambda p, x, y: jnp.where(p, x, 0.0) + jnp.where(p, y, 0.0),
        lambda p, x, y: jnp.where(p, x + y, 0.0),
        (P, X, Y),
    ),
    Identity(
        "complementary_masks",
        lambda p, x, y: jnp.where(p, x, 0.0) + jnp.where(p, 0.0, y),
        lambda p, x, y: jnp.where(p, x, y),
        (P, X, Y),
    ),
    Identity(
        "masks_as_factors",
        lambda p, x, y: x * p + y * (1 - p),
        lambda p, x, y: jnp.where(p, x, y),
        (P, X, Y),
        False,
        "finite",
    ),
    Identity(
        "relu_by_choice",
        lambda x: jnp.where(x > 0, x, 0.0),
        lambda x: jnp.maximum(x, 0.0),
        (X,),
        False,
        "finite",
    ),
    Identity(
        "clamped_by_choices",
        lambda x: jnp.where(x < -1.0, -1.0, jnp.where(x > 1.0, 1.0, x)),
        lambda x: jnp.clip(x, -1.0, 1.0),
        (X,),
    ),
    Identity(
        "distance_by_choice",
        lambda x, y: jnp.where(x > y, x - y, y - x),
        lambda x, y: jnp.abs(x - y),
        (X, Y),
    ),
    Identity("relu_by_absolute", lambda x: (x + jnp.abs(x)) / 2, lambda x: jnp.maximum(x, 0), (X,)),
    Identity(
        "maximum_by_distance",
        lambda x, y: (x + y + jnp.abs(x - y)) / 2,
        lambda x, y: jnp.maximum(x, y),
        (X, Y),
    ),
    Identity(
        "maximum_by_choice",
        lambda x, y: jnp.where(x > y, x, y),
        lambda x, y: jnp.maximum(x, y),
        (X, Y),
        False,
        "finite",
    ),
    Identity("absolute_by_choice", lambda x: jnp.where(x < 0, -x, x), lambda x: jnp.abs(x), (X,)),
    Identity("absolute_by_maximum", lambda x: jnp.maximum(x, -x), lambda x: jnp.abs(x), (X,)),
    Identity(
        "absolute_by_relus", lambda x: jax.nn.relu(x) + jax.nn.relu(-x), lambda x: jnp.abs(x), (X,)
    ),
    Identity("identity_by_relus", lambda x: jax.nn.relu(x) - jax.nn.relu(-x), lambda x: x, (X,)),
    Identity(
        "leaky_relu_by_maximum",
        lambda x: jnp.where(x >= 0, x, 0.1 * x),
        lambda x: jnp.maximum(x, 0.1 * x),
        (X,),
        False,
        "finite",
    ),
    Identity(
        "relu_of_relu", lambda x: jax.nn.relu(jax.nn.relu(x)), lambda x: jnp.maximum(x, 0.0), (X,)
    ),
    Identity("relu_of_square", lambda x: jax.nn.relu(x * x), lambda x: x * x, (X,)),
    Identity("relu_of_exponential", lambda x: jax.nn.relu(jnp.exp(x)), lambda x: jnp.exp(x), (X,)),
    Identity(
        "clip_of_sigmoid",
        lambda x: jnp.clip(jax.nn.sigmoid(x), 0.0, 1.0),
        lambda x: jax.nn.sigmoid(x),
        (X,),
    ),
    Identity(
        "clip_of_clip",
        lambda x: jnp.clip(jnp.clip(x, -2, 2), -1, 1),
        lambda x: jnp.clip(x, -1, 1),
        (X,),
    ),
    Identity(
        "clip_beyond_tanh", lambda x: jnp.clip(jnp.tanh(x), -3, 3), lambda x: jnp.tanh(x), (X,)
    ),
    Identity("absolute_of_relu", lambda x: jnp.abs(jax.nn.relu(x)), lambda x: jax.nn.relu(x), (X,)),
    Identity(
        "maximum_of_sums",
        lambda x, y, z: jnp.maximum(x + z, y + z),
        lambda x, y, z: jnp.maximum(x, y) + z,
        (X, Y, Z),
    ),
    Identity(
        "maximum_of_exponentials",
        lambda x, y: jnp.maximum(jnp.exp(x), jnp.exp(y)),
        lambda x, y: jnp.exp(jnp.maximum(x, y)),
        (X, Y),
    ),
    Identity(
        "maximum_of_negated",
        lambda x, y: -jnp.maximum(-x, -y),
        lambda x, y: jnp.minimum(x, y),
        (X, Y),
    ),
    Identity(
        "maximum_plus_minimum",
        lambda x, y: jnp.maximum(x, y) + jnp.minimum(x, y),
        lambda x, y: x + y,
        (X, Y),
    ),
    Identity(
        "maximum_times_minimum",
        lambda x, y: jnp.maximum(x, y) * jnp.minimum(x, y),
        lambda x, y: x * y,
        (X, Y),
    ),
    Identity(
        "range_by_absolute",
        lambda x, y: jnp.maximum(x, y) - jnp.minimum(x, y),
        lambda x, y: jnp.abs(x - y),
        (X, Y),
        False,
        "finite",
    ),
    Identity(
        "absorbed_minimum",
        lambda x, y: jnp.maximum(x, jnp.minimum(x, y)),
        lambda x, y: x,
        (X, Y),
        False,
        "finite",
    ),
    Identity(
        "maximum_twice",
        lambda x, y: jnp.maximum(jnp.maximum(x, y), y),
        lambda x, y: jnp.maximum(x, y),
        (X, Y),
    ),
    Identity(
        "negated_comparison",
        lambda x, y, z: jnp.where(~(x != y), z, -z),
        lambda x, y, z: jnp.where(x == y, z, -z),
        (X, Y, Z),
    ),
    Identity("joined_comparisons", lambda x, y: (x < y) | (x == y), lambda x, y: x <= y, (X, Y)),
    Identity("both_comparisons", lambda x, y: (x <= y) & (x >= y), lambda x, y: x == y, (X, Y)),
    Identity("either_comparison", lambda x: (x > 1) | (x > 2), lambda x: x > 1, (X,)),
    Identity(
        "impossible_comparison", lambda x: (x * x < 0).astype(jnp.float32) + x, lambda x: x, (X,)
    ),
    Identity(
        "implied_finite", lambda x: jnp.isfinite(x) & ~jnp.isnan(x), lambda x: jnp.isfinite(x), (X,)
    ),
    Identity(
        "not_a_number_guard",
        lambda x: jnp.where(jnp.isnan(x), 0.0, x),
        lambda x: x,
        (X,),
        False,
        "finite",
    ),
    Identity(
        "finite_of_negated",
        lambda x: jnp.isfinite(-x) & jnp.isfinite(jnp.abs(x)),
        lambda x: jnp.isfinite(x),
        (X,),
    ),
    Identity("sign_of_sign", lambda x: jnp.sign(jnp.sign(x)), lambda x: jnp.sign(x), (X,)),
    Identity("sign_of_scaled", lambda x: jnp.sign(3.0 * x), lambda x: jnp.sign(x), (X,)),
    Identity(
        "sign_of_exponential",
        lambda x: x * jnp.sign(jnp.exp(x) + 1),
        lambda x: x,
        (X,),
        False,
        "finite",
    ),
    Identity(
        "comparison_of_exponentials",
        lambda x, y: jnp.exp(x) < jnp.exp(y),
        lambda x, y: x < y,
        (X, Y),
        False,
        "approximate",
    ),
    Identity("disjunction", lambda p, q: (p & q) | (p & ~q), lambda p, q: p, (P, Q)),
    Identity("de_morgan", lambda p, q: ~(~p | ~q), lambda p, q: p & q, (P, Q)),
    Identity("absorption", lambda p, q: p | (p & q), lambda p, q: p, (P, Q)),
    Identity("boolean_choice", lambda p, q: jnp.where(p, True, q), lambda p, q: p | q, (P, Q)),
    Identity("exclusive_or_by_hand", lambda p, q: (p & ~q) | (~p & q), lambda p, q: p ^ q, (P, Q)),
    Identity("equal_to_true", lambda p, q: (p == True) & (q != False), lambda p, q: p & q, (P, Q)),  # noqa: E712
    Identity(
        "relu_minus_negated_relu",
        lambda x: jax.nn.relu(x) - jax.nn.relu(-x),
        lambda x: x,
        (X,),
        numerics="finite",
    ),
    Identity(
        "nested_masks",
        lambda p, q, x: jnp.where(p, jnp.where(q, x, 0.0), 0.0),
        lambda p, q, x: jnp.where(p & q, x, 0.0),
        (P, Q, X),
    ),
    Identity(
        "mask_applied_twice",
        lambda p, x: jnp.where(p, x, 0.0) * p,
        lambda p, x: jnp.where(p, x, 0.0),
        (P, X),
    ),
    Identity(
        "relu_six_of_hard_sigmoid",
        lambda x: jnp.clip(jnp.clip(x / 6 + 0.5, 0.0, 1.0), -1.0, 2.0),
        lambda x: jnp.clip(x / 6 + 0.5, 0.0, 1.0),
        (X,),
    ),
    Identity(
        "sign_of_positive",
        lambda x: jnp.sign(x * x + 1.0),
        lambda x: jnp.ones_like(x),
        (X,),
        numerics="finite",
    ),
    Identity("mirrored_comparisons", lambda x, y: (x <= y) & (y <= x), lambda x, y: x == y, (X, Y)),
    Identity("choice_by_logic", lambda p, q: (p & q) | (~p & ~q), lambda p, q: ~(p ^ q), (P, Q)),
    Identity(
        "multiplexer",
        lambda p, q, r: (p & q) | (~p & r),
        lambda p, q, r: jnp.where(p, q, r),
        (P, Q, booleans(N, N)),
    ),
    Identity("equality_of_negations", lambda p, q: ~(~p ^ q), lambda p, q: p ^ q, (P, Q)),
    Identity("indicator_above_half", lambda p: p.astype(jnp.float32) > 0.5, lambda p: p, (P,)),
    Identity("floor_of_ceiling", lambda x: jnp.floor(jnp.ceil(x)), lambda x: jnp.ceil(x), (X,)),
    Identity(
        "blend_by_indicator",
        lambda p, x, y: (lambda m: m * x + (1 - m) * y)(p.astype(jnp.float32)),
        lambda p, x, y: jnp.where(p, x, y),
        (P, X, Y),
        numerics="finite",
    ),
    Identity(
        "exclusive_masks",
        lambda p, q, x, y, z: (
            jnp.where(p, x, 0) + jnp.where(~p & q, y, 0) + jnp.where(~p & ~q, z, 0)
        ),
        lambda p, q, x, y, z: jnp.where(p, x, jnp.where(q, y, z)),
        (P, Q, X, Y, Z),
    ),
    Identity(
        "swapped_choices",
        lambda x, y: jnp.where(x < y, x, y) + jnp.where(x < y, y, x),
        lambda x, y: x + y,
        (X, Y),
    ),
    Identity(
        "sign_by_choices",
        lambda x: jnp.where(x > 0, 1.0, jnp.where(x < 0, -1.0, 0.0)),
        lambda x: jnp.sign(x),
        (X,),
        numerics="finite",
    ),
    Identity(
        "hard_sigmoid_scaled_back",
        lambda x: jax.nn.hard_sigmoid(x) * 6.0 - 3.0,
        lambda x: jnp.clip(x, -3, 3),
        (X,),
    ),
    Identity(
        "parametric_rectifier",
        lambda x: jax.nn.relu(x) - 0.1 * jax.nn.relu(-x),
        lambda x: jnp.maximum(x, 0.1 * x),
        (X,),
    ),
    Identity(
        "guard_against_infinity",
        lambda x: jnp.where(jnp.isinf(x), 0.0, jnp.exp(x)),
        lambda x: jnp.exp(x),
        (X,),
        numerics="finite",
    ),
    Identity(
        "numbers_for_nan",
        lambda x: jnp.nan_to_num(x),
        lambda x: x,
        (X,),
        numerics="finite",
    ),
    Identity(
        "gradient_of_maximum",
        lambda x: jax.grad(lambda u: jnp.sum(jnp.maximum(u, 1.0)))(x),
        lambda x: jnp.where(x > 1, 1.0, jnp.where(x == 1, jnp.float32(0.5), 0.0)),
        (X,),
    ),
    Identity(
        "select_by_conditions",
        lambda p, q, x, y: jnp.select([p, q], [x, y], 0.0),
        lambda p, q, x, y: jnp.where(p, x, jnp.where(q, y, 0.0)),
        (P, Q, X, Y),
    ),
    Identity(
        "piecewise_function",
        lambda x: jnp.piecewise(x, [x < 0, x >= 0], [lambda t: -t, lambda t: t * t]),
        lambda x: jnp.where(x >= 0, x * x, jnp.where(x < 0, -x, 0.0)),
        (X,),
    ),
    Identity(
        "counted_with_its_negation",
        lambda p: jnp.sum(p, 1) + jnp.sum(~p, 1),
        lambda p: jnp.full(N, N),
        (booleans(N, N),),
    ),
    Identity(
        "root_above_zero",
        lambda x: jnp.where(jnp.sqrt(x * x + 1.0) > 0.0, x, 0.0),
        lambda x: x,
        (X,),
        numerics="finite",
    ),
    Identity(
        "clip_by_choice_of_sign",
        lambda x: jnp.where(jnp.abs(x) <= 1, x, jnp.sign(x)),
        lambda x: jnp.clip(x, -1, 1),
        (X,),
    ),
    Identity(
        "clip_by_sign",
        lambda x: jnp.sign(x) * jnp.minimum(jnp.abs(x), 2.0),
        lambda x: jnp.clip(x, -2, 2),
        (X,),
    ),
    Identity(
        "soft_threshold",
        lambda x: jnp.sign(x) * jnp.maximum(jnp.abs(x) - 0.25, 0),
        lambda x: x - jnp.clip(x, -0.25, 0.25),
        (X,),
    ),
)
