"""Carries of short rows come with the rows' dimension first; other loops are left alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import found_by
from jax import lax
from running import assert_equal, normal, program_of, run

from saturax.graph.build import prune
from saturax.graph.ir import Graph, Program
from saturax.graph.types import TensorType
from saturax.proposals.loops import transpose_carries
from saturax.proposals.loops.reordered import _units, _without, inverse
from saturax.rules.rule import BITWISE

WHILE = "stablehlo.while"
ONES = np.ones((24, 4), int)
H, A, D = normal(24, 4), normal(6, 24, 4, seed=1), normal(6, 24, seed=2)
C, W, V = normal(6, 4, seed=3), normal(4, 4, seed=4), normal(24, seed=5)


def _state_space(h, d, c, rates):
    def step(h, inputs):
        d, c = inputs
        h = jnp.exp(-(d**2)[:, None] * rates) * h + d[:, None] * c[None]
        return h, h @ c

    return lax.scan(step, h, (d, c))


def _stacked(h, a):
    def step(h, a):
        h = 0.5 * h + a
        return h, jnp.tanh(h)

    return lax.scan(step, h, a)


def _particles(x, v):
    def step(state, _):
        x, v = state
        difference = x[:, None] - x[None]
        near = jnp.sum(difference**2, axis=-1) + 0.1
        v = v - 0.1 * jnp.sum(difference / near[..., None] ** 1.5, axis=1)
        return (x + 0.1 * v, v), v.mean(axis=0)

    return lax.scan(step, (x, v), None, length=4)


def _cells(x):
    def step(_, x):
        mean = x.mean(axis=-1)
        x = x - 0.1 * (x - mean[..., None])
        parts = [jnp.roll(x[..., i], i - 1, axis=i % 2) for i in range(x.shape[-1])]
        return jnp.stack(parts, axis=-1)

    return lax.fori_loop(0, 5, step, x)


def _products(h, w, v):
    def step(_, state):
        h, v = state
        h = 0.1 * jnp.tanh(h @ w) + 0.1 * w[0] + 0.1 * jnp.outer(v, jnp.ones(4))
        gram = jnp.einsum("ij,kj->ik", h, h)
        return h + 0.01 * gram @ h, 0.5 * v + 0.01 * h.sum(axis=1)

    return lax.fori_loop(0, 3, step, (h, v))


def _parts(h):
    def step(i, h):
        padded = jnp.pad(h, ((1, 1), (0, 0)))
        moved = padded[2:] - padded[:-2]
        row = lax.dynamic_slice(h, (i, 1), (1, 2))
        moved = lax.dynamic_update_slice(moved, row, (3, i))
        return jnp.where(moved > 0.2, 0.5 * moved, h[::-1])

    return lax.fori_loop(0, 4, step, h)


def _asked_for(h):
    def is_far(state):
        h, n = state
        return (jnp.max(jnp.abs(h[:, 1:])) > 0.1) & (n < 20)

    return lax.while_loop(is_far, lambda s: (s[0] * 0.7 - 0.01 * s[0][:, :1], s[1] + 1), (h, 0))


def _sorted_and_gathered(h, v):
    def step(_, h):
        order = jnp.argsort(h[:, 0] + v)
        return 0.5 * h + 0.1 * jnp.sort(h, axis=0)[order] + 0.1 * jnp.cumsum(h, axis=1)

    return lax.fori_loop(0, 3, step, h)


def _batches(h):
    def step(_, h):
        scores = jnp.einsum("bqd,bkd->bqk", h, h)
        return 0.5 * h + 0.1 * jnp.einsum("bqk,bkd->bqd", jax.nn.softmax(scores), h)

    return lax.fori_loop(0, 3, step, h)


LOOPS = {
    "state space": (_state_space, H, D, C, normal(24, 4, seed=9)),
    "stacked inputs and results": (_stacked, H, A),
    "particles": (_particles, normal(12, 3), normal(12, 3, seed=1)),
    "cells": (_cells, normal(6, 5, 4)),
    "products": (_products, H, W, V),
    "parts": (_parts, H),
    "a condition on the carry": (_asked_for, H),
    "what has no other order": (_sorted_and_gathered, H, V),
    "batches": (_batches, normal(3, 8, 4)),
}


def _proposed(function, *arguments):
    """What is proposed; both sides are run and agree."""
    equalities = found_by(transpose_carries, program_of(function, *arguments).graph)
    inputs = equalities.graph.inputs
    sides = zip(*((left, right) for left, right, _ in equalities.pairs), strict=True)
    expected, found = (
        run(Program(prune(Graph(inputs, tuple(equalities.nodes), side))), arguments)
        for side in sides
    )
    assert_equal(found, expected)
    return equalities


def _last_loop(equalities):
    return [node for node in equalities.nodes if node.op == WHILE][-1].attributes[0].regions[1]


@pytest.mark.parametrize("name", LOOPS)
def test_carries_are_transposed(name):
    function, *arguments = LOOPS[name]
    equalities = _proposed(function, *arguments)
    rows = arguments[0].shape[-1]
    carries = [t.shape for t in _last_loop(equalities).inputs if isinstance(t, TensorType)]
    assert any(len(shape) == arguments[0].ndim and shape[0] == rows for shape in carries)


@pytest.mark.parametrize("name", ["state space", "stacked inputs and results", "particles"])
def test_the_body_is_written_for_the_other_order(name):
    function, *arguments = LOOPS[name]
    nodes = _last_loop(_proposed(function, *arguments)).nodes
    large = [n for n in nodes if n.op == "transpose" and n.type.size > arguments[0].size]
    assert not large
    assert sum(node.op == "transpose" for node in nodes) <= 1


@pytest.mark.parametrize(
    ("reason", "function", "arguments"),
    [
        ("rows are long", lambda h: lax.fori_loop(0, 4, lambda _, h: 0.5 * h, h), (H.T,)),
        ("only written to", lambda h: lax.fori_loop(
            0, 4, lambda i, h: h.at[i].set(jnp.float32(i)), h), (H,)),
        ("does not change", lambda h: lax.fori_loop(
            0, 4, lambda i, s: s + jnp.sum(jnp.sin(s * h)), jnp.float32(0)), (H,)),
        ("integers", lambda h: lax.fori_loop(0, 4, lambda _, h: h + 3, h), (ONES,)),
        ("one step", lambda h: lax.scan(lambda h, _: (jnp.sin(h), None), h, None, length=1), (H,)),
    ],
)  # fmt: skip
def test_other_loops_are_left_alone(reason, function, arguments):
    graph = program_of(function, *arguments).graph
    assert not found_by(transpose_carries, graph).pairs, reason


def test_sums_in_another_order_are_not_the_same_in_every_bit():
    graph = program_of(_particles, normal(12, 3), normal(12, 3, seed=1)).graph
    assert not found_by(transpose_carries, graph, BITWISE).pairs


def test_a_transposed_loop_is_not_transposed_again():
    equalities = _proposed(_stacked, H, A)
    outputs = tuple(right for _, right, _ in equalities.pairs)
    graph = prune(Graph(equalities.graph.inputs, tuple(equalities.nodes), outputs))
    assert not found_by(transpose_carries, graph).pairs


def test_orders():
    assert inverse((2, 0, 1)) == (1, 2, 0)
    assert _without((3, 0, 2, 1), {0}) == (2, 1, 0)
    assert _units((1, 4, 1, 3, 1), (4, 3)) == {0, 2, 4}
    assert _units((1, 4), (4, 1)) is None
    assert _units((4, 2), (4,)) is None
