"""Sums that look for their own rounding errors keep them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from running import program_of

import saturax

A, B = np.random.default_rng(0).standard_normal((2, 64), np.float32) * [[1000], [1]]
A, B = A.astype(np.float32), B.astype(np.float32)


def _two_sum(a, b):
    s = a + b
    z = s - a
    return s, (a - (s - z)) + (b - z)


def _fast_two_sum(a, b):
    s = a + b
    return s, b - (s - a)


def _split(a):
    c = 4097 * a
    high = c - (c - a)
    return high, a - high


def _narrowed(a):
    high = a.astype(jnp.bfloat16).astype(jnp.float32)
    return high, a - high


def _kahan(a):
    def step(carry, x):
        total, lost = carry
        y = x - lost
        t = total + y
        return (t, (t - total) - y), None

    return lax.scan(step, (jnp.float32(0), jnp.float32(0)), a)[0]


CASES = {
    "two sum": (_two_sum, A, B),
    "fast two sum": (_fast_two_sum, A, B),
    "split": (_split, A),
    "narrowed": (_narrowed, A),
    "Kahan's sum": (_kahan, A),
}


@pytest.mark.filterwarnings("ignore:.*chosen by prediction")
@pytest.mark.parametrize("name", CASES)
def test_rounding_errors_are_kept(name):
    """In every bit, even where candidates are chosen by prediction and not compared."""
    function, *arguments = CASES[name]
    options = saturax.Options(time_limit_s=2, measure=False, verify=False, cache=False)
    found = saturax.jit(function, options=options)(*arguments)
    expected = jax.jit(function)(*arguments)
    assert np.any(expected[1] != 0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_no_compensation_has_its_rules():
    def function(a, b):
        return (
            (a + b) - a,
            a + (b - a),
            2 * a + b - a - a,
            a - b + b.astype(jnp.bfloat16).astype(jnp.float32),
        )

    nodes = program_of(function, A, B).graph.nodes
    assert not [node.op for node in nodes if node.op.startswith("stablehlo.")]
