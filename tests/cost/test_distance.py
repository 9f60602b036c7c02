"""How far operands are when they are read: what else a program reads, run after run."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import pytest
from running import normal, program_of

from saturax.cost.device import Calibration
from saturax.cost.distance import REUSE_BYTES, held_bytes, level_of
from saturax.cost.formulate import formulate
from saturax.cost.kernel import kernel_at
from saturax.cost.model import PriceModel
from saturax.cost.program import kernels_of_program, predict_us
from saturax.search.pricing import module_of
from saturax.search.represent import represent

_MB = 1 << 20


def test_levels_grow_with_the_distance():
    assert [level_of(n * _MB, _MB) for n in (0, 1, 2, 8, 9, 32, 33)] == [0, 0, 1, 1, 2, 2, 3]
    assert level_of(33 * _MB, 1000) == 0


def test_what_a_program_holds_counts_once_and_windows_by_their_size():
    table, weight = normal(2048, 512), normal(512, 512)
    rows = program_of(lambda t, w, i: t[i] @ w @ w, table, weight, jnp.arange(4))
    assert _MB < held_bytes(rows.graph) < 1.1 * _MB
    whole = program_of(lambda t, w: t @ w @ w @ w, table, weight)
    assert held_bytes(whole.graph) == 5 * _MB


def _dots(function, *arguments, frozen=()):
    represented = represent(program_of(function, *arguments).graph, frozen=frozenset(frozen))
    kernels = formulate(represented, PriceModel(Calibration("test"))).kernels.values()
    return [kernel for kernel in kernels if kernel.op == "dot_general"]


def test_weights_of_a_large_program_are_distant_and_activations_are_not():
    x, weights = normal(64, 512), [normal(512, 512, seed=i) for i in range(3)]

    def layers(x, w):
        return ((x @ w[0]) @ w[1].reshape(512, 512)) @ w[2].reshape(4, 128, 512).reshape(512, 512)

    levels = {kernel.levels for kernel in _dots(layers, x, weights)}
    assert levels == {(1, 1), (0, 1)}  # x is an input, too
    (alone,) = _dots(lambda x, w: x @ w, x, weights[0])
    assert not any(alone.levels)
    assert "@" not in alone.key


def test_what_is_computed_of_frozen_inputs_is_distant():
    x, a, b = normal(64, 512), normal(512, 1024), normal(512, 1024)

    def function(x, a, b):
        return jnp.tanh(x) @ (a * b)

    (dot,) = _dots(function, x, a, b)
    assert dot.levels == (0, 0)
    (frozen,) = _dots(function, x, a, b, frozen=(1, 2))
    assert frozen.levels == (0, 1)
    assert frozen.key == dot.key + "@01"
    assert module_of(frozen, once=True).reuse_bytes == {1: REUSE_BYTES[1]}
    assert module_of(dot, once=True).reuse_bytes == {}


def test_slices_of_stacked_weights_are_distant_when_their_copies_are_read():
    """All copies are made first."""
    stack, x = normal(6, 512, 512), normal(512)

    def layers(stack, x):
        for layer in range(6):
            x = jnp.tanh(stack[layer] @ x)
        return x

    assert {kernel.levels for kernel in _dots(layers, stack, x)} == {(1, 0)}
    graph = program_of(layers, stack, x).graph
    products = [k for k in kernels_of_program(graph) if _has_dot(k.graph)]
    assert 0 not in {max(kernel.levels) for kernel in products}


def _has_dot(graph):
    return any(node.op == "dot_general" for node in graph.nodes)


def test_what_a_kernel_reads_beside_a_value_makes_it_no_more_distant():
    """The weights are large; what the kernel before has just written is read with them."""
    weights, x = [normal(3000, 3000, seed=i) for i in range(2)], normal(64, 3000)
    graph = program_of(lambda w, x: (x @ w[0].T) @ w[1].T, weights, x).graph
    second = kernels_of_program(graph)[-1]
    near = [level for level, type in zip(second.levels, second.graph.inputs, strict=True)
            if type.shape == (64, 3000)]  # fmt: skip
    assert near == [0]
    assert max(second.levels) > 0


def test_kernels_of_a_program_are_predicted_by_products_at_their_distance():
    """As they were measured for the search, with what the compiler folds into them."""
    weights, x = [normal(2000, 2000, seed=i) for i in range(3)], normal(32, 2000)

    def layers(w, x):
        return ((x @ w[0].T) @ w[1].T) @ w[2].T

    model = PriceModel(Calibration("test"))
    folded = program_of(lambda w, x: jnp.einsum("ij,kj->ik", x, w), weights[0], x).graph
    (dot,) = (kernel_at(folded, node) for node in folded.nodes if node.op == "dot_general")
    for kernel in kernels_of_program(program_of(layers, weights, x).graph):
        far = max(kernel.levels)
        assert far > 0
        model.learn(replace(dot, levels=(0, far)), 5_000.0)
        model.learn(replace(dot, levels=(far, far)), 5_000.0)
        assert predict_us(kernel, model) == pytest.approx(5_000.0, rel=0.01)
