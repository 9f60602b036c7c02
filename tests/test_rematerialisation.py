"""What `jax.checkpoint` computes again in the backward pass stays computed again."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from running import PREDICTED, normal

import saturax

W, X = normal(64, 64), normal(64)
BARRIER = "stablehlo.optimization_barrier"


def _layers(w, x):
    layer = jax.checkpoint(lambda x: jnp.tanh((w @ w) @ x))
    return jnp.sum(layer(layer(x)) ** 2)


def _scanned(w, x):
    layer = jax.checkpoint(lambda x, _: (jnp.tanh((w @ w) @ x), None))
    return jnp.sum(lax.scan(layer, x, None, length=9)[0] ** 2)


def _count(text, operation):
    return len(re.findall(re.escape(operation), text))


@pytest.mark.parametrize("loss", [_layers, _scanned])
def test_barriers_and_what_is_behind_them_stay(loss):
    function = jax.value_and_grad(loss)
    before = jax.jit(function).lower(W, X).as_text()
    result = saturax.optimize(function, W, X, options=PREDICTED)
    after = result.to_stablehlo()
    assert result.report.outcome == "optimized"
    assert _count(after, BARRIER) >= 1
    assert _count(after, "stablehlo.tanh") >= _count(before, "stablehlo.tanh")
