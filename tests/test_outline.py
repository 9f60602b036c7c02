"""Outlines: of a program's equal parts one is searched, and stands for all of them."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from tests.running import assert_equal, program_of, run
from tests.test_partition import arguments, layer, network

import saturax
from saturax.cost.calibrate import load_or_calibrate
from saturax.cost.database import PriceDatabase
from saturax.cost.formulate import Extracted, formulate
from saturax.cost.model import PriceModel
from saturax.cost.repetition import ITSELF, Repetition
from saturax.extract import selected_us
from saturax.numerics import FINITE
from saturax.proposals import propose
from saturax.search import outline
from saturax.search.outline import OUTSIDE, outline_of
from saturax.search.represent import represent

LAYERS = 24
OPTIONS = saturax.Options(time_limit_s=20, candidates=2, cache=False, measure=False)


def recurrence(steps):
    """A recurrent network, unrolled: each step multiplies by the same weights."""

    def function(x, w, u):
        h = jnp.zeros(x.shape[1:], x.dtype)
        for step in range(steps):
            gates = jnp.tanh(x[step] @ u + h @ w)
            h = gates * jnp.exp(-h * h) + jnp.cos(gates) / (1 + jnp.abs(h)) - jnp.sin(h) * h
            h = h - h.mean(-1, keepdims=True) / jnp.sqrt((h * h).mean(-1, keepdims=True) + 1e-5)
        return h

    rng = np.random.default_rng(0)
    shapes = (steps, 4, 16), (16, 16), (16, 16)
    return program_of(function, *(rng.standard_normal(s).astype("f") for s in shapes))


def itself(graph):
    """A graph as something that a search has found; node i comes of e-node i."""
    return Extracted(graph, tuple(range(len(graph.nodes))), ())


def test_equal_parts_are_searched_once():
    program = program_of(network, *arguments(LAYERS))
    found = outline_of(program.graph, ())
    distinct = found.parts.distinct()
    assert len(distinct) < len(found.parts.segments)
    assert sum(len(inner.nodes) for inner in distinct) >= len(found.graph.nodes)
    assert max(found.repetition.times) == max(map(len, distinct.values())) > 5
    assert len(found.repetition.times) == len(found.graph.outputs)
    assert len(found.repetition.owners) == len(found.graph.inputs)
    assert set(found.repetition.owners) == set(range(len(distinct)))


def test_small_graphs_and_graphs_without_repetition_are_their_own_outlines():
    graph = program_of(network, *arguments(3)).graph
    found = outline_of(graph, (1,))
    assert found.graph is graph
    assert found.frozen == {1}
    assert found.repetition == ITSELF
    assert found.whole(itself(graph)).graph is graph


def test_steps_of_one_recurrence_are_searched_together_unless_there_are_too_many(monkeypatch):
    """Their products with the same weights may become one."""
    graph = recurrence(40).graph
    assert outline_of(graph, ()).parts is None
    monkeypatch.setattr(outline, "_LARGEST_WHOLE", len(graph.nodes) - 1)
    assert outline_of(graph, ()).parts is not None


def test_what_stands_for_the_program_computes_the_same():
    inputs = arguments(LAYERS)
    program = program_of(network, *inputs)
    found = outline_of(program.graph, ())
    whole = found.whole(itself(found.graph))
    assert found.whole(itself(found.graph)) is whole
    assert whole.graph.inputs == program.graph.inputs
    assert_equal(run(program.with_graph(whole.graph), inputs), run(program, inputs), 0.0)
    assert len(whole.enodes) == len(whole.graph.nodes)
    for node, enode in zip(whole.graph.nodes, whole.enodes, strict=True):
        if enode != OUTSIDE:
            assert found.graph.nodes[enode].op == node.op
    products = [i for i, node in enumerate(whole.graph.nodes) if node.op == "dot_general"]
    assert all(whole.enodes[i] != OUTSIDE for i in products)


def two_networks(x, weights):
    """A program of two kinds of layers."""
    x = network(x, weights)
    for matrix in weights[:, 0]:
        x = jnp.cos(x @ matrix) * jnp.sin(x) + jnp.exp(-x * x)
    return x


def test_a_part_that_takes_what_is_of_another_stays_as_it_was():
    inputs = arguments(LAYERS)
    program = program_of(two_networks, *inputs)
    found = outline_of(program.graph, ())
    one = found.repetition.owners.index(0)
    other = found.repetition.owners.index(1)
    nodes = [
        node._replace(attributes=(other,))
        if node.op == "parameter" and node.attributes[0] == one
        else node
        for node in found.graph.nodes
    ]
    mixed = itself(replace(found.graph, nodes=tuple(nodes)))
    whole = found.whole(mixed)
    assert_equal(run(program.with_graph(whole.graph), inputs), run(program, inputs), 0.0)


def test_what_depends_on_frozen_inputs_is_computed_ahead_in_every_part():
    x, weights = arguments(LAYERS)

    def squared(weights, x):
        for w in weights:
            x = layer(x, (w[0] @ w[1], w[1] @ w[2], w[2] @ w[0]))
        return x

    program = program_of(squared, weights, x)
    found = outline_of(program.graph, (0,))
    assert found.frozen
    given = {
        index
        for index, node in enumerate(found.graph.nodes)
        if node.op == "parameter" and node.attributes[0] in found.frozen
    }
    ahead = [
        index
        for index, node in enumerate(found.graph.nodes)
        if node.operands and given.issuperset(node.operands)
    ]
    assert ahead
    whole = found.whole(replace(itself(found.graph), frozen=tuple(ahead)))
    assert len(whole.frozen) > len(ahead)
    assert all(whole.graph.nodes[i].operands for i in whole.frozen)


def test_masks_of_infinities_are_not_assumed_to_be_finite_in_parts():
    """Inputs of a program are; its large constants, and values that it computes, need not be."""
    mask = np.where(np.tril(np.ones((32, 32))) > 0, 0, -np.inf).astype("f")

    def masked(x, weights):
        for w in weights:
            x = layer(jnp.where(jnp.isinf(mask), 0.0, jnp.tanh(x) + x), w)
        return x

    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(s).astype("f") / 32 for s in ((32, 32), (LAYERS, 3, 32, 32))]
    found = outline_of(program_of(masked, *inputs).graph, (), FINITE)
    assert found.parts is not None
    assert 0 < len(found.repetition.inner) < len(found.graph.inputs)
    options = replace(OPTIONS, numerics="finite")
    result = saturax.optimize(masked, *inputs, options=options)
    assert_equal(run(result.program, inputs), [masked(*inputs)], 1e-3)


def test_nothing_is_proposed_that_mixes_parts():
    """Products with one matrix are one where none waits for another."""
    matrix = np.random.default_rng(0).standard_normal((16, 16)).astype("f")
    graph = program_of(lambda x, y: (x @ matrix, y @ matrix), *[np.zeros((8, 16), "f")] * 2).graph
    equalities = propose(graph)
    assert equalities.pairs
    equalities.keep_apart((0, 1))
    assert not equalities.pairs
    assert equalities.nodes[: len(graph.nodes)] == list(graph.nodes)
    assert len(equalities.nodes) == len(graph.nodes)
    equalities = propose(graph)
    pairs = list(equalities.pairs)
    equalities.keep_apart((0, 0))
    assert equalities.pairs == pairs


def test_prices_count_as_often_as_the_program_has_the_part():
    model = PriceModel(load_or_calibrate(PriceDatabase(None)))
    graph = program_of(lambda x, y: (jnp.tanh(x), jnp.exp(y)), *[np.ones((64, 64), "f")] * 2).graph
    represented = represent(graph)
    plain = formulate(represented, model)
    repeated = formulate(represented, model, repetition=Repetition((1, 7), (0, 1)))
    once, often = (selected_us(each.problem, each.original()) for each in (plain, repeated))
    tanh_us, exp_us = (
        selected_us(each.problem, each.original())
        for each in (
            formulate(represent(replace(graph, outputs=(output,))), model)
            for output in graph.outputs
        )
    )
    assert once == pytest.approx(tanh_us + exp_us)
    assert often == pytest.approx(tanh_us + 7 * exp_us)
    again = repeated.repriced(model)
    assert selected_us(again.problem, again.original()) == pytest.approx(often)


def wasteful(x, weights):
    """Layers with logarithms of exponentials."""
    for w in weights:
        x = layer(jnp.log(jnp.exp(0.1 * x)), w)
    return x


def test_a_repetitive_program_is_optimised_by_its_outline():
    rng = np.random.default_rng(0)
    shapes = (256, 64), (LAYERS, 3, 64, 64)
    # Of larger weights two roundings are two results.
    inputs = [rng.standard_normal(shape).astype("f") / 64 for shape in shapes]
    result = saturax.optimize(wasteful, *inputs, options=OPTIONS)
    stages = {stage.name: stage.notes for stage in result.report.stages}
    assert stages["outline"]["distinct"] < stages["outline"]["parts"]
    assert result.report.outcome == "optimized"
    logarithms = [n for n in result.program.graph.nodes if n.attributes[:1] == ("log",)]
    assert not logarithms
    assert_equal(run(result.program, inputs), [wasteful(*inputs)], 1e-4)


def test_a_repetitive_program_is_raced_as_a_whole():
    inputs = arguments(LAYERS)
    options = replace(OPTIONS, measure=True, time_limit_s=15)
    result = saturax.optimize(network, *inputs, options=options)
    assert not [w for w in result.report.warnings if "internal" in w]
    (best, *_) = result.report.candidates
    assert best.name.startswith("best predicted")
    assert best.verified
    assert best.time_us
    assert_equal(run(result.program, inputs), [network(*inputs)], 1e-4)
