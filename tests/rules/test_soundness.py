"""Programs on which rules were once wrong: the search by prediction must keep their results."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from running import normal, program_of

import saturax
from saturax.egraph import EGraph, Limits, saturate
from saturax.facts import FactAnalysis
from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Graph
from saturax.graph.ops import (
    add,
    broadcast_in_dim,
    compare,
    concatenate,
    full,
    iota,
    is_commutative,
    reduce_,
    select,
    subtract,
    unary,
)
from saturax.graph.reference import evaluate
from saturax.graph.types import TensorType
from saturax.numerics import BITWISE, FINITE, ROUNDING
from saturax.proposals.equality import Equalities
from saturax.proposals.whole import apply_to_whole
from saturax.rules import rules_within

PREDICTED = saturax.Options(measure=False, cache=False)
_IS_SPECIAL = np.arange(64) == 63


def _infinite_at_the_end(p, v):
    """The infinity is written in the program, so that no rule may take it for a number."""
    return jnp.where(p, v, jnp.inf)


PROGRAMS = {
    "many equal indices in bfloat16": (
        lambda i: jnp.sum((i[:, None] == jnp.arange(50)).astype(jnp.bfloat16), 0),
        [np.zeros(3000, np.int32)],
    ),
    "triangle beside an infinity": (
        lambda p, v: jnp.tril(jnp.ones((64, 64))) @ _infinite_at_the_end(p, v),
        [~_IS_SPECIAL, np.ones(64, np.float32)],
    ),
    "one-hot sum beside an infinity": (
        lambda i, p, v: jnp.sum(
            _infinite_at_the_end(p, v) * jax.nn.one_hot(i, 64, dtype=jnp.float32), -1
        ),
        [np.int32(0), ~_IS_SPECIAL, np.ones(64, np.float32)],
    ),
    "zeros beside a logarithm of 0": (
        lambda x: jnp.zeros((3, 8)) @ (jnp.log(jnp.arange(8.0))[:, None] * x),
        [np.ones((8, 4), np.float32)],
    ),
    "remainder of large quotients": (
        jax.lax.rem,
        [np.array([1e10, 3e12, 1e20, 7e9], "f4"), np.array([3, 7, 3.3, 1.1], "f4")],
    ),
    "powers in bfloat16": (
        lambda x: jnp.power(jnp.bfloat16(10), x),
        [jnp.asarray([30.0, -25.5, 12.25, 37.0], jnp.bfloat16)],
    ),
    "features concatenated in bfloat16": (
        lambda *parts: jnp.concatenate(parts[:3], 1) @ parts[3],
        [jnp.asarray(normal(8, n), jnp.bfloat16) for n in (2, 3, 4)]
        + [jnp.asarray(normal(9, 8), jnp.bfloat16)],
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_results_stay(name):
    function, arguments = PROGRAMS[name]
    expected = np.asarray(jax.jit(function)(*arguments)).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", saturax.SaturaxWarning)  # nothing is measured or checked
        found = np.asarray(saturax.jit(function, options=PREDICTED)(*arguments)).astype(np.float64)
    np.testing.assert_allclose(found, expected, rtol=2e-2, atol=1e-2)


def _saturated(build, inputs, numerics):
    """The e-graph of a program, saturated, and the class of its output."""
    builder = GraphBuilder(inputs)
    with building(builder):
        value = build(*builder.parameters)
    egraph = EGraph(FactAnalysis(numerics=numerics), is_commutative)
    ids = []
    for node in builder.nodes:
        children = tuple(ids[k] for k in node.operands)
        ids.append(egraph.add_node(node.op, node.attributes, children, node.type))
    saturate(egraph, rules_within(numerics), Limits(5.0, 5_000))
    return egraph, ids[value.index]


@pytest.mark.parametrize("is_joined", [False, True])
def test_difference_of_equal_infinities_is_not_0(is_joined):
    def build():
        if is_joined:
            zero, one = full(0, TensorType((1,), "f32")), full(1, TensorType((1,), "f32"))
            count = concatenate(zero, one, 0)
        else:
            count = iota(0, TensorType((2,), "f32"))
        return subtract(unary("log", count), unary("log", count))

    egraph, output = _saturated(build, (), FINITE)
    found = egraph.data(output).constant
    assert found is None or np.isnan(found.array[0])


def test_numbers_that_go_back_and_forth_are_no_count():
    t = TensorType((4, 4, 4), "i32")

    def build(i, w):
        counted = add(subtract(iota(0, t), iota(1, t)), iota(2, t))
        hot = compare(broadcast_in_dim(i, t.shape, (1,)), counted, "EQ", "SIGNED")
        return reduce_("add", select(hot, w, full(0, t)), (0,))

    egraph, output = _saturated(build, (TensorType((4,), "i32"), t), ROUNDING)
    assert not egraph.nodes_of(output, "gather")


def test_adding_positive_zero_to_parts_is_kept():
    def function(x):
        return jnp.tanh(x[:4] + 0.0), jnp.tanh(x[4:] + 0.0)

    x = np.full(8, -0.0, np.float32)
    graph = program_of(function, x).graph
    equalities = Equalities(graph, BITWISE)
    apply_to_whole(equalities)
    both = tuple(index for pair in equalities.pairs for index in pair[:2])
    values = evaluate(Graph(graph.inputs, tuple(equalities.nodes), both), [x])
    for left, right in zip(values[::2], values[1::2], strict=True):
        np.testing.assert_array_equal(np.signbit(left), np.signbit(right))
