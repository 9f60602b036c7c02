"""Derivatives as `jax.grad` writes them, beside what one would write by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jax import grad, nn
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

from .row import Identity, N, definite, integers, normal, positive

X, Y, P = normal(N, N), normal(N, N), positive(N, N)
A, V, W = normal(N, N), normal(N), normal(N)
INDEX = integers(4 * N, low=0, below=N)


def _mean_cross_entropy(x, y):
    return jnp.mean(-y * nn.log_sigmoid(x) - (1 - y) * nn.log_sigmoid(-x))


def _sum_of_cosines(v):
    return jnp.sum(jnp.cos(v))


def _huber(x):
    return jnp.where(jnp.abs(x) <= 1, 0.5 * x * x, jnp.abs(x) - 0.5)


_EXAMPLES, _CLASSES = 64, normal(64, N)
_LABELS = integers(64, low=0, below=N)


def _cross_entropy(x, y):
    return -jnp.mean(jnp.sum(nn.one_hot(y, N) * nn.log_softmax(x), -1))


def _cross_entropy_of_taken(x, y):
    return -jnp.mean(jnp.take_along_axis(nn.log_softmax(x), y[:, None], 1))


def _cross_entropy_of_indexed(x, y):
    return -jnp.mean(nn.log_softmax(x)[jnp.arange(_EXAMPLES), y])


def _cross_entropy_gradient(x, y):
    """(softmax x - onehot y) / n, the 1 of y taken away in place."""
    e = jnp.exp(x - jnp.max(x, -1, keepdims=True))
    scaled = e * (1 / _EXAMPLES / jnp.sum(e, -1, keepdims=True))
    return scaled.at[jnp.arange(_EXAMPLES), y].add(-1 / _EXAMPLES)


def _cross_entropy_and_gradient(x, y):
    greatest = jnp.max(x, -1)
    sums = jnp.sum(jnp.exp(x - greatest[:, None]), -1)
    own = x[jnp.arange(_EXAMPLES), y]
    return jnp.mean(jnp.log(sums) + greatest - own), _cross_entropy_gradient(x, y)


ROWS = (
    Identity("gradient_of_squares", grad(lambda x: jnp.sum(x * x)), lambda x: 2 * x, (X,)),
    Identity(
        "gradient_of_squared_error",
        grad(lambda x, y: jnp.mean((x - y) ** 2)),
        lambda x, y: (x - y) * (2 / N**2),
        (X, Y),
    ),
    Identity(
        "gradient_of_binary_cross_entropy",
        grad(lambda x, y: jnp.sum(-y * nn.log_sigmoid(x) - (1 - y) * nn.log_sigmoid(-x))),
        lambda x, y: nn.sigmoid(x) - y,
        (X, P),
    ),
    Identity(
        "gradient_of_mean_binary_cross_entropy",
        grad(_mean_cross_entropy),
        lambda x, y: (nn.sigmoid(x) - y) / N**2,
        (X, P),
    ),
    Identity(
        "gradient_of_log_of_sum",
        grad(lambda x: jnp.sum(jnp.log(jnp.sum(jnp.exp(x), 1)))),
        lambda x: (lambda e: e / jnp.sum(e, 1, keepdims=True))(jnp.exp(x)),
        (X,),
    ),
    Identity(
        "gradient_of_log_of_sigmoid",
        grad(lambda x: jnp.sum(jnp.log(nn.sigmoid(x)))),
        lambda x: nn.sigmoid(-x),
        (X,),
    ),
    Identity(
        "gradient_of_quadratic_form",
        grad(lambda x, a: x @ a @ x),
        lambda x, a: a @ x + x @ a,
        (V, A),
    ),
    Identity(
        "gradient_of_least_squares",
        grad(lambda x, a, b: 0.5 * jnp.sum((a @ x - b) ** 2)),
        lambda x, a, b: (a @ x - b) @ a,
        (V, A, W),
    ),
    Identity(
        "gradient_of_trace_of_product",
        grad(lambda x, a: jnp.trace(a @ x)),
        lambda x, a: a.T,
        (X, A),
    ),
    Identity(
        "gradient_of_variance",
        grad(lambda x: jnp.sum(jnp.var(x, 1))),
        lambda x: (x - jnp.mean(x, 1, keepdims=True)) * (2 / N),
        (X,),
    ),
    Identity(
        "gradient_of_relu",
        grad(lambda x: jnp.sum(nn.relu(x))),
        lambda x: (x > 0).astype(jnp.float32),
        (X,),
    ),
    Identity(
        "gradient_of_normal_density",
        grad(lambda x: jnp.sum(norm.logpdf(x, 1.0, 2.0))),
        lambda x: (1 - x) * 0.25,
        (X,),
    ),
    Identity(
        "gradient_of_gathered_rows",
        grad(lambda x, i: jnp.sum(x[i])),
        lambda x, i: jnp.broadcast_to(jnp.zeros(N).at[i].add(1.0)[:, None], (N, N)),
        (X, INDEX),
        note="how often each row is read",
    ),
    Identity(
        "gradient_of_sum_of_sorted",
        grad(lambda x: jnp.sum(jnp.sort(x))),
        jnp.ones_like,
        (normal(16 * N),),
    ),
    Identity(
        "gradient_of_log_determinant",
        grad(lambda a: jnp.linalg.slogdet(a)[1]),
        lambda a: jnp.linalg.inv(a).T,
        (definite(N),),
    ),
    Identity(
        "gradient_of_log_determinant_by_cholesky",
        grad(lambda a: 2 * jnp.sum(jnp.log(jnp.diag(jnp.linalg.cholesky(a))))),
        lambda a: jsl.cho_solve((jnp.linalg.cholesky(a), True), jnp.eye(N)),
        (definite(N),),
    ),
    Identity(
        "gradient_of_loss_of_scores",
        grad(lambda x, y: jnp.sum(logsumexp(x, 1) - jnp.sum(x * y, 1))),
        lambda x, y: nn.softmax(x) - y,
        (X, P),
    ),
    Identity(
        "derivative_of_logarithm_of_cosh",
        jax.vmap(grad(lambda x: jnp.log(jnp.cosh(x)))),
        jnp.tanh,
        (normal(N * N),),
    ),
    Identity(
        "second_derivative_of_exponential",
        jax.vmap(grad(grad(lambda x: jnp.exp(2 * x)))),
        lambda x: 4 * jnp.exp(2 * x),
        (normal(N * N),),
    ),
    Identity(
        "jacobian_of_linear_map",
        lambda x, a: jax.jacfwd(lambda v: a @ v)(x),
        lambda x, a: a,
        (V, A),
    ),
    Identity(
        "jacobian_of_elementwise_function",
        lambda x: jax.jacrev(jnp.tanh)(x),
        lambda x: jnp.diag(1 - jnp.tanh(x) ** 2),
        (V,),
    ),
    Identity(
        "hessian_of_quadratic_form",
        lambda x, a: jax.hessian(lambda v: v @ a @ v)(x),
        lambda x, a: a + a.T,
        (V, A),
    ),
    Identity(
        "diagonal_of_hessian_of_sum",
        lambda x: jnp.diag(jax.hessian(_sum_of_cosines)(x)),
        lambda x: -jnp.cos(x),
        (V,),
    ),
    Identity(
        "product_with_hessian_of_quadratic_form",
        lambda x, a, v: jax.jvp(grad(lambda u: 0.5 * u @ a @ u), (x,), (v,))[1],
        lambda x, a, v: 0.5 * (a @ v + v @ a),
        (V, A, W),
    ),
    Identity(
        "product_with_hessian_of_sum",
        lambda x, v: jax.hessian(lambda x: jnp.sum(jnp.exp(x)))(x) @ v,
        lambda x, v: jnp.exp(x) * v,
        (V, W),
    ),
    Identity(
        "gradient_of_squared_absolute_values",
        grad(lambda x: jnp.sum(jnp.abs(x) ** 2)),
        lambda x: 2 * x,
        (X,),
    ),
    Identity(
        "trace_of_hessian_of_sum",
        lambda x: jnp.trace(jax.hessian(_sum_of_cosines)(x)),
        lambda x: -jnp.sum(jnp.cos(x)),
        (V,),
        numerics="finite",
    ),
    Identity(
        "log_determinant_of_jacobian_of_elementwise_function",
        lambda x: jnp.linalg.slogdet(jax.jacfwd(jnp.tanh)(x))[1],
        lambda x: jnp.sum(jnp.log(jnp.abs(1 - jnp.tanh(x) ** 2))),
        (normal(64),),
        numerics="finite",
    ),
    Identity(
        "gradient_of_cross_entropy_of_labels",
        grad(_cross_entropy),
        _cross_entropy_gradient,
        (_CLASSES, _LABELS),
    ),
    Identity(
        "gradient_of_cross_entropy_of_taken",
        grad(_cross_entropy_of_taken),
        _cross_entropy_gradient,
        (_CLASSES, _LABELS),
    ),
    Identity(
        "gradient_of_cross_entropy_of_indexed",
        grad(_cross_entropy_of_indexed),
        _cross_entropy_gradient,
        (_CLASSES, _LABELS),
    ),
    Identity(
        "cross_entropy_of_taken_and_gradient",
        jax.value_and_grad(_cross_entropy_of_taken),
        _cross_entropy_and_gradient,
        (_CLASSES, _LABELS),
    ),
    Identity(
        "gradient_of_huber_loss",
        grad(lambda x, y: jnp.sum(_huber(x - y))),
        lambda x, y: jnp.clip(x - y, -1, 1),
        (X, Y),
        numerics="finite",
    ),
)
