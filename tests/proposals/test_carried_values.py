"""What a step computes last and the next one first is carried; the rest of a loop is left alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from running import assert_equal, normal, program_of, run

from saturax.graph.build import prune
from saturax.graph.ir import Graph, Program
from saturax.proposals.equality import Equalities
from saturax.proposals.loops import carry_values
from saturax.rules.rule import BITWISE

WHILE = "stablehlo.while"
X, V, W = 0.3 * normal(5, 16), normal(5, 16, seed=1), 0.2 * normal(16, 16, seed=2)


def _force(x, w):
    return jnp.tanh(x @ w) @ w.T


def _leapfrog(x, v, w):
    def step(state, _):
        x, v = state
        v = v - 0.05 * _force(x, w)
        x = x + 0.1 * v
        return (x, v - 0.05 * _force(x, w)), jnp.sum(v)

    return lax.scan(step, (x, v), None, length=7)


def _verlet_by_gradient(x, v, w):
    force = jax.grad(lambda x: jnp.sum(jnp.cosh(x @ w)))

    def step(_, state):
        x, v = state
        before = force(x)
        moved = x + 0.1 * v - 0.005 * before
        return moved, v - 0.05 * (before + force(moved))

    return lax.fori_loop(0, 6, step, (x, v))


def _residual_asked_for_twice(x, v, w):
    def residual(x):
        return v - x @ w

    def is_far(state):
        x, count = state
        return (jnp.sum(residual(x) ** 2) > 1e-6) & (count < 30)

    return lax.while_loop(
        is_far, lambda state: (state[0] + residual(state[0]), state[1] + 1), (x, 0)
    )


def _change_asked_for_after_the_step(x, v, w):
    def is_far(state):
        x, _, count = state
        return (jnp.max(jnp.abs(x @ w)) > 1e-3) & (count < 30)

    def step(state):
        x, _, count = state
        x = 0.5 * jnp.tanh(x) + 0 * v
        return x, jnp.max(jnp.abs(x @ w)), count + 1

    return lax.while_loop(is_far, step, (x, 1.0, 0))


REPEATED = {
    function.__name__.strip("_"): function
    for function in (
        _leapfrog,
        _verlet_by_gradient,
        _residual_asked_for_twice,
        _change_asked_for_after_the_step,
    )
}


def _proposed(function, *arguments):
    """The graph with what is proposed, at least the class that keeps every bit."""
    equalities = Equalities(program_of(function, *arguments).graph, BITWISE)
    carry_values(equalities)
    return equalities


def _products(nodes):
    """How many products the condition and the body of the last loop compute."""
    loop = [node for node in nodes if node.op == WHILE][-1]
    return sum(
        node.op == "dot_general" for region in loop.attributes[0].regions for node in region.nodes
    )


@pytest.mark.parametrize("name", REPEATED)
def test_what_is_computed_twice_is_carried(name):
    equalities = _proposed(REPEATED[name], X, V, W)
    graph = equalities.graph
    sides = zip(*((left, right) for left, right, _ in equalities.pairs), strict=True)
    expected, found = (
        run(Program(prune(Graph(graph.inputs, tuple(equalities.nodes), side))), [X, V, W])
        for side in sides
    )
    assert_equal(found, expected)
    assert _products(equalities.nodes) < _products(graph.nodes)


def _force_of_another_place(x, v, w):
    def step(_, state):
        x, v = state
        v = v - 0.05 * _force(x, w)
        return x + 0.1 * v, v - 0.05 * _force(x + 0.05 * v, w)

    return lax.fori_loop(0, 6, step, (x, v))


def _force_of_the_place_before(x, v, w):
    def step(_, state):
        x, v = state
        return x + 0.1 * v, v - 0.05 * _force(x, w)

    return lax.fori_loop(0, 6, step, (x, v))


def _force_that_changes(x, v, w):
    def step(t, state):
        x, v = state
        v = v - 0.05 * _force(x, w) * t
        x = x + 0.1 * v
        return x, v - 0.05 * _force(x * t, w)

    return lax.fori_loop(0, 6, step, (x, v))


@pytest.mark.parametrize(
    "function", [_force_of_another_place, _force_of_the_place_before, _force_that_changes]
)
def test_what_differs_from_step_to_step_is_not(function):
    assert not _proposed(function, X, V, W).pairs


def test_a_loop_that_does_not_run_leaves_what_it_began_with():
    def none(x, v, w, n):
        return lax.fori_loop(0, n, lambda _, s: _step(s, w), (x, v))

    def _step(state, w):
        x, v = state
        v = v - 0.05 * _force(x, w)
        x = x + 0.1 * v
        return x, v - 0.05 * _force(x, w)

    for n in (0, 3):
        equalities = _proposed(none, X, V, W, np.int32(n))
        left, right, _ = equalities.pairs[0]
        graph = Graph(equalities.graph.inputs, tuple(equalities.nodes), (left, right))
        expected, found = run(Program(prune(graph)), [X, V, W, np.int32(n)])
        assert_equal([found], [expected])


def test_an_inner_loop_that_might_not_end_is_not_begun_where_no_step_asks_for_it():
    def halved(x):
        return lax.while_loop(lambda y: jnp.sum(y) > 1, lambda y: y / 2, x)

    def function(x, n):
        def step(_, x):
            return x + 0.1 * halved(x)

        return lax.fori_loop(0, n, lambda t, s: (step(t, s[0]), halved(step(t, s[0]))), (x, x))

    assert not _proposed(function, X, np.int32(3)).pairs
    known = _proposed(lambda x: function(x, 3), X)
    assert known.pairs
