"""Training loops of flax, equinox and optax: 100 steps as under `jax.jit`.

Rounding errors grow along a trajectory whatever computes it. What is asked of the optimised loop is
what is asked of any optimised program: to be no further from the same loop in float64 than a small
multiple of what `jax.jit` is.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from running import normal

import saturax
from saturax import Options

optax = pytest.importorskip("optax")

_OPTIONS = Options(time_limit_s=10.0, candidates=3, cache=False)
_STEPS, _ALLOWED_MULTIPLE = 100, 4.0
_X, _Y = normal(32, 8), np.tanh(normal(32, 8).sum(1, keepdims=True)) / 2


def _linen():
    """A flax.linen module with normalisation, under Adam with a schedule."""
    nn = pytest.importorskip("flax.linen")

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.LayerNorm()(nn.gelu(nn.Dense(16)(x)))
            return nn.Dense(1)(nn.Dense(16)(x))

    model = Model()
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, _STEPS))
    weights = model.init(jax.random.key(0), _X)

    def step(state, x, y):
        weights, memory = state
        loss = lambda w: jnp.mean((model.apply(w, x) - y) ** 2)  # noqa: E731
        value, slopes = jax.value_and_grad(loss)(weights)
        updates, memory = optimizer.update(slopes, memory, weights)
        return (optax.apply_updates(weights, updates), memory), value

    return step, (weights, optimizer.init(weights))


def _nnx():
    """A flax.nnx module as a functional state, under momentum with clipped gradients."""
    nnx = pytest.importorskip("flax.nnx")

    class Model(nnx.Module):
        def __init__(self, keys):
            self.first = nnx.Linear(8, 16, rngs=keys)
            self.last = nnx.Linear(16, 1, rngs=keys)

        def __call__(self, x):
            return self.last(jnp.tanh(self.first(x)))

    definition, state = nnx.split(Model(nnx.Rngs(0)))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.05, momentum=0.9))

    def step(state, x, y):
        weights, memory = state
        loss = lambda w: jnp.mean((nnx.merge(definition, w)(x) - y) ** 2)  # noqa: E731
        value, slopes = jax.value_and_grad(loss)(weights)
        updates, memory = optimizer.update(slopes, memory, weights)
        return (optax.apply_updates(weights, updates), memory), value

    return step, (state, optimizer.init(state))


def _equinox():
    """An equinox module whose arrays are the state, under AdamW."""
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.MLP(8, 1, 16, 2, key=jax.random.key(0))
    arrays, static = eqx.partition(model, eqx.is_array)
    optimizer = optax.adamw(1e-2)

    def step(state, x, y):
        arrays, memory = state

        def loss(arrays):
            return jnp.mean((jax.vmap(eqx.combine(arrays, static))(x) - y) ** 2)

        value, slopes = jax.value_and_grad(loss)(arrays)
        updates, memory = optimizer.update(slopes, memory, arrays)
        return (optax.apply_updates(arrays, updates), memory), value

    return step, (arrays, optimizer.init(arrays))


def _trained(step, state, dtype=None):
    """The losses of all steps and the last state, on data and weights of a float type."""
    x, y = _X, _Y
    if dtype is not None:
        state, x, y = jax.tree.map(
            lambda v: v.astype(dtype) if jnp.issubdtype(v.dtype, jnp.floating) else v,
            (state, jnp.asarray(x), jnp.asarray(y)),
        )
    losses = []
    for _ in range(_STEPS):
        state, loss = step(state, x, y)
        losses.append(loss)
    return [np.asarray(v) for v in (jnp.stack(losses), *jax.tree.leaves(state))]


def _errors(found, reference):
    """Largest error of each array as a share of its largest reference magnitude."""
    pairs = zip(found, reference, strict=True)
    return [np.max(np.abs(a - b)) / (np.max(np.abs(b)) or 1.0) for a, b in pairs]


@pytest.mark.long
@pytest.mark.filterwarnings("error::saturax.SaturaxWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("training", [_linen, _nnx, _equinox])
def test_a_hundred_steps_as_under_jax_jit(training):
    step, state = training()
    fast = saturax.jit(step, options=_OPTIONS)
    found = _trained(fast, state)
    plain = _trained(jax.jit(step), state)
    with jax.enable_x64(True):
        reference = _trained(jax.jit(step), state, np.float64)
    assert len(fast.reports) == 1
    assert fast.report.candidates, saturax.report.text.explain(fast.report)
    assert found[0][-1] < found[0][0] / 2  # it learns
    for ours, theirs in zip(_errors(found, reference), _errors(plain, reference), strict=True):
        assert ours <= _ALLOWED_MULTIPLE * theirs + _STEPS * np.finfo(np.float32).eps
