"""log Σ exp of sums over different indices, as the logarithm of a product of exponentials."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import found_by
from jax import lax
from jax.nn import logsumexp
from running import PREDICTED, assert_equal, normal, program_of, run

import saturax
from saturax.graph.build import prune
from saturax.graph.ir import Graph, Program
from saturax.proposals.exponential_sums import multiply_exponentials
from saturax.rules.rule import BITWISE

A, B, G = normal(12, 16), normal(16, 20), normal(16)
FORBIDDEN = np.where(normal(16, 20, seed=1) < 1.5, np.float32(-1e4), B)
ONE_WAY = np.where(np.arange(16)[:, None] == 3, B, np.float32(-1e4))


def _product(a, b):
    return logsumexp(a[:, :, None] + b[None], 1)


def _by_hand(a, b):
    z = a[:, :, None] + b[None]
    m = jnp.max(z, 1, keepdims=True)
    return jnp.squeeze(m, 1) + jnp.log(jnp.sum(jnp.exp(z - m), 1))


def _unshifted(a, b):
    return jnp.log(jnp.sum(jnp.exp(a[:, :, None] + b[None]), 1))


def _scaled(a, b, t):
    return logsumexp((a.T[:, None, :] / 2 - b[:, :, None]) * t, axis=0)


def _with_emissions(a, b, e):
    return logsumexp(a[:, :, None] + b[None] + e[:, None, :], 1, keepdims=True)


def _batched(a, b, g):
    return jax.vmap(lambda a: logsumexp(a[:, :, None] + b[None] + g[:, None], 1))(
        jnp.stack([a, 2 * a])
    )


def _forward(a, b, e):
    def step(alpha, emission):
        return logsumexp(alpha[:, None] + b, 0) + emission, None

    return jax.vmap(lambda a, e: lax.scan(step, a, e)[0])(a, e)


def _sinkhorn(x, y):
    cost = x[:, None] ** 2 + y[None] ** 2 - x[:, None] * y[None]

    def step(_, g):
        f = -logsumexp((g[None] - cost) / 0.5, axis=1) / 2
        return -logsumexp((f[:, None] - cost) / 0.5, axis=0) / 2

    return lax.fori_loop(0, 5, step, y)


CASES = {
    "product": (_product, 1, (A, B)),
    "by_hand": (_by_hand, 1, (A, B)),
    "unshifted": (_unshifted, 1, (A, B)),
    "forbidden": (_product, 1, (A, FORBIDDEN)),
    "one_way": (_product, 1, (-1e3 * np.eye(12, 16, 3, dtype=np.float32), ONE_WAY)),
    "far_apart": (
        _product,
        1,
        (np.linspace(-1e3, 1e3, 192, dtype=np.float32).reshape(12, 16), 1e3 * B),
    ),
    "infinite": (_product, 1, (np.where(A > 1, -np.inf, A), np.where(B > 0, np.inf, B))),
    "never": (_product, 1, (A, np.full_like(B, -np.inf))),
    "nan": (_product, 1, (np.where(A > 1, np.nan, A), B)),
    "scaled": (_scaled, 1, (A, B, np.float32(3))),
    "emissions": (_with_emissions, 1, (A, B, normal(12, 20))),
    "batched": (_batched, 1, (A, B, G)),
    "forward": (_forward, 1, (A, normal(16, 16), normal(12, 3, 16))),
    "sinkhorn": (_sinkhorn, 1, (normal(40), normal(32))),
    "one_tensor": (lambda z: logsumexp(z, 1), 0, (normal(40, 40),)),
    "nothing_less": (lambda c, g: logsumexp(c + g[None], 1), 0, (normal(40, 40), normal(40))),
    "small": (_product, 0, (normal(2, 3), normal(3, 4))),
    "other_shift": (
        lambda a, b, m: jnp.log(jnp.sum(jnp.exp(a[:, :, None] + b - m[:, None]), 1)) + 2 * m,
        0,
        (A, B, normal(12, 20)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_both_sides_agree(name):
    function, count, arguments = CASES[name]
    graph = program_of(function, *arguments).graph
    equalities = found_by(multiply_exponentials, graph)
    results = {left for left, _, _ in equalities.pairs} & {*graph.outputs, *range(len(graph.nodes))}
    assert (len(results) > 0) == count
    for left, right, _ in equalities.pairs:
        both = prune(Graph(graph.inputs, tuple(equalities.nodes), (left, right)))
        expected, found = run(Program(both), [np.asarray(x) for x in arguments])
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(found), finite)
        np.testing.assert_array_equal(found[~finite], expected[~finite])
        assert_equal([found[finite]], [expected[finite]])


def test_nothing_rounds_in_every_bit():
    graph = program_of(_product, A, B).graph
    assert not found_by(multiply_exponentials, graph, BITWISE).pairs


@pytest.mark.parametrize("name", ["forward", "sinkhorn"])
def test_loops_multiply(name):
    function, _, _ = CASES[name]
    sizes = {"forward": (normal(64, 48), normal(48, 48), normal(64, 20, 48))}
    arguments = sizes.get(name, (normal(300), normal(300, seed=1)))
    result = saturax.optimize(function, *arguments, options=PREDICTED)
    assert "dot_general" in result.to_stablehlo()
    inputs = [np.asarray(x) for x in arguments]
    assert_equal(run(result.program, inputs), [np.asarray(jax.jit(function)(*arguments))])
