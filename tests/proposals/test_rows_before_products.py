"""Products of what is gathered and added up row by row, as rows of a smaller product."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import found_by, proposed
from running import PREDICTED, assert_equal, normal, program_of, run

import saturax
from saturax.proposals.rows_before_products import multiply_before_rows
from saturax.rules.rule import BITWISE

N, E = 10, 30
RANDOM = np.random.default_rng(0)
S, T = (RANDOM.integers(-2, N + 2, E).astype(np.int32) for _ in range(2))
X, W, NARROW = normal(N, 8), normal(8, 3), normal(8, 1)


def _gathered(x, w, s):
    return x[s] @ w


def _summed(x, w, s, t):
    return jax.ops.segment_sum(x[s], t, N) @ w


def _normalised(x, w, s, t):
    """A graph convolution with loops at all nodes."""
    degree = jax.ops.segment_sum(jnp.ones(E), t, N) + 1
    scale = 1 / jnp.sqrt(degree)
    messages = x[s] * (scale[s] * scale[t])[:, None]
    return (jax.ops.segment_sum(messages, t, N) + (scale**2)[:, None] * x) @ w


def _two(x, w, s, t):
    """Differences along edges of two matrices, times a number."""
    return (2.5 * (x[s] - jnp.tanh(x)[t]) + -x[t]) @ w


CASES = {
    "gathered": (_gathered, 1, (X, W, S)),
    "summed": (_summed, 1, (X, W, S, T)),
    "one_column": (_summed, 1, (X, NARROW, S, T)),
    "normalised": (_normalised, 1, (X, W, S, T)),
    "two": (_two, 1, (X, W, S, T)),
    "wide": (_summed, 0, (X, normal(8, 12), S, T)),
    "nothing_gathered": (lambda x, w: (x + x) @ w, 0, (X, W)),
    "largest": (lambda x, w, t: jax.ops.segment_max(x, t, N) @ w, 0, (normal(E, 8), W, T)),
    "scaled_columns": (lambda x, w, s, c: (x[s] * c) @ w, 0, (X, W, S, normal(8))),
    "columns_gathered": (lambda x, w, s: x[:, s] @ w, 0, (X, normal(E, 3), S)),
}


@pytest.mark.parametrize("name", CASES)
def test_both_sides_agree(name):
    function, count, arguments = CASES[name]
    assert len(proposed(multiply_before_rows, function, *arguments).pairs) == count


def test_infinite_weights_and_every_bit():
    infinite = lambda x, s, t: _summed(x, jnp.where(x[:8, :3] > 0, jnp.inf, 1), s, t)  # noqa: E731
    assert not found_by(multiply_before_rows, program_of(infinite, X, S, T).graph).pairs
    graph = program_of(_summed, X, W, S, T).graph
    assert not found_by(multiply_before_rows, graph, BITWISE).pairs


def test_a_graph_convolution_gathers_few_columns():
    nodes, edges = 600, 3000
    s, t = (RANDOM.integers(0, nodes, edges).astype(np.int32) for _ in range(2))
    arguments = normal(nodes, 128), normal(128, 8), s, t

    def convolution(x, w, s, t):
        return jax.ops.segment_sum(x[s], t, nodes) @ w

    result = saturax.optimize(convolution, *arguments, options=PREDICTED)
    assert f"tensor<{edges}x128xf32>" not in result.to_stablehlo()
    assert_equal(run(result.program, arguments), [np.asarray(jax.jit(convolution)(*arguments))])
