"""Functions of parts as parts of one function: every bit, in loops, and what is left alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import found_by
from jax import lax
from running import normal, program_of, run

from saturax.graph.build import prune
from saturax.graph.ir import Graph, Program
from saturax.proposals.whole import apply_to_whole
from saturax.rules.rule import BITWISE

X, Y, U = normal(3, 8), normal(3, 8, seed=1), normal(2, 8, seed=2)


def _joined(function, *arguments):
    """Check that both sides have the same bits; how many equalities there are, and their nodes."""
    graph = program_of(function, *arguments).graph
    found = found_by(apply_to_whole, graph, BITWISE)
    if found.pairs:
        lefts, rights, _ = zip(*found.pairs, strict=True)
        is_tuple = graph.nodes[lefts[0]].op == "stablehlo.while"
        outputs = [i for i, n in enumerate(graph.nodes) if n.op == "get_result"]
        sides = [lefts, rights]
        if is_tuple:  # what is read of the loop, read of the other one
            nodes = list(found.nodes)
            nodes += [graph.nodes[i]._replace(operands=(rights[0],)) for i in outputs]
            sides = [tuple(outputs), tuple(range(len(found.nodes), len(nodes)))]
        else:
            nodes = found.nodes
        graphs = [prune(Graph(graph.inputs, tuple(nodes), side)) for side in sides]
        inputs = [np.asarray(x) for x in jax.tree.leaves(arguments)]
        expected, values = (run(Program(each), inputs) for each in graphs)
        for left, right in zip(expected, values, strict=True):
            np.testing.assert_array_equal(left, right)
    return found


def _gates(x, y):
    a, b, c, d = jnp.split(x + y, 4, -1)
    return jnp.tanh(a), jax.nn.sigmoid(b + 1), jax.nn.sigmoid(c), jax.nn.sigmoid(d - 2)


def test_gates_with_different_shifts():
    found = _joined(_gates, X, Y)
    assert len(found.pairs) == 3
    new = [n.attributes[0] for n in found.nodes[len(found.graph.nodes) :] if n.op == "unary"]
    assert new == ["negate", "exponential"]


def test_gates_of_sums_of_parts():
    def function(x, y):
        parts = zip(jnp.split(x, 2, -1), jnp.split(y, 2, -1), strict=True)
        return [jnp.tanh(a * 2 + b) for a, b in parts]

    assert len(_joined(function, X, Y).pairs) == 2


def test_signed_zeros_and_infinities_survive():
    x = np.array([[-0.0, 0.0, -0.0, np.inf, -np.inf, np.nan, 1, -0.0]], np.float32)

    def function(x):
        a, b = jnp.split(x, 2, -1)
        return jnp.tanh(a), jnp.tanh(b + 1)

    assert len(_joined(function, x).pairs) == 2


def test_loops_are_proposed_whole():
    def function(x, u):
        def step(h, x):
            a, b, c, d = jnp.split(x + h @ u, 4, -1)
            h = jax.nn.sigmoid(a) * jnp.tanh(b) + jax.nn.sigmoid(c + 1) * jax.nn.sigmoid(d)
            return h, h

        return lax.scan(step, jnp.zeros(2), x)

    found = _joined(function, X, U)
    ((_, new, _),) = found.pairs
    body = found.nodes[new].attributes[0].regions[1]
    functions = [n.attributes[0] for n in body.nodes if n.op == "unary"]
    assert sorted(functions) == ["exponential", "negate", "tanh"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: (jnp.tanh(x[:, :3]), jnp.tanh(y[:, 3:])),
        lambda x, y: (jnp.tanh(x[:, :5]), jnp.tanh(x[:, 4:])),
        lambda x, y: (jnp.tanh(x[:, :1]), jnp.tanh(x[:, 1:2])),
        lambda x, y: (jnp.tanh(x[:, :4]), jnp.exp(x[:, 4:])),
        lambda x, y: (jnp.tanh(x[:, ::2]), jnp.tanh(x[:, 1::2])),
        lambda x, y: (jnp.tanh(x[:, :4] + y[:2, :4].sum()), jnp.tanh(x[:, 4:])),
        lambda x, y: (jnp.tanh(x[:, :4]), jnp.tanh(jnp.pad(y, ((0, 0), (0, 2)))[:, 4:8])),
    ],
    ids=["two values", "overlapping", "little", "two functions", "strided", "other", "extents"],
)
def test_what_is_left_alone(function):
    assert not _joined(function, X, Y).pairs
