"""Cutting graphs: the parts make up the whole, and repeated layers become equal parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.running import assert_equal, program_of, run

from saturax.graph.ir import Program
from saturax.search.partition import Replacement, partition


def layer(x, w):
    a = x - x.mean(-1, keepdims=True)
    a = a / jnp.sqrt((a * a).mean(-1, keepdims=True) + 1e-5)
    q, k, v = a @ w[0], a @ w[1], a @ w[2]
    return x + jax.nn.softmax(q @ k.T) @ v + jnp.tanh(a @ w[0]) @ w[1]


def network(x, weights):
    for w in weights:
        x = layer(x, w)
    return x


def arguments(layers):
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((6, 16)).astype("f"),
        rng.standard_normal((layers, 3, 16, 16)).astype("f") / 4,
    )


def loss(x, weights):
    return (network(x, weights) ** 2).sum()


FUNCTIONS = {
    "forward": lambda layers: (network, arguments(layers)),
    "gradient": lambda layers: (jax.grad(loss, argnums=1), arguments(layers)),
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_the_parts_make_up_the_whole(kind):
    function, inputs = FUNCTIONS[kind](8)
    program = program_of(function, *inputs)
    found = partition(program.graph, 20, 60)
    assert len(found.segments) > 4
    again = program.with_graph(found.assemble({}).graph)
    assert_equal(run(again, inputs), run(program, inputs), 0.0)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_every_operation_is_in_one_segment(kind):
    function, inputs = FUNCTIONS[kind](5)
    graph = program_of(function, *inputs).graph
    nodes = [i for s in partition(graph, 20, 60).segments for i in s.nodes]
    assert len(set(nodes)) == len(nodes)
    left_out = set(range(len(graph.nodes))) - set(nodes)
    kinds = {graph.nodes[i].op for i in left_out}
    assert kinds <= {"parameter", "constant", "iota", "slice", "reshape", "broadcast_in_dim"}


def test_repeated_layers_are_one_problem():
    function, inputs = FUNCTIONS["forward"](24)
    many = partition(program_of(function, *inputs).graph, 20, 60).distinct()
    function, inputs = FUNCTIONS["forward"](8)
    few = partition(program_of(function, *inputs).graph, 20, 60).distinct()
    assert max(map(len, many.values())) >= 20
    assert sum(len(g.nodes) for g in many) <= 1.2 * sum(len(g.nodes) for g in few)


def test_replacements_stand_in_for_every_equal_segment():
    function, inputs = FUNCTIONS["forward"](8)
    program = program_of(function, *inputs)
    found = partition(program.graph, 20, 60)
    graph, segments = max(found.distinct().items(), key=lambda item: len(item[1]))
    other = partition(graph, 20, 60).assemble({}).graph
    replaced = found.assemble({graph: Replacement(other, other.outputs[:1])})
    assert len(segments) > 4
    assert len(replaced.marked) == len(segments)
    assert_equal(run(program.with_graph(replaced.graph), inputs), run(program, inputs), 0.0)


def test_a_small_graph_is_one_segment():
    function, inputs = FUNCTIONS["forward"](1)
    graph = program_of(function, *inputs).graph
    (segment,) = partition(graph).segments
    assert segment.graph.output_types == graph.output_types


def test_large_constants_are_inputs_so_that_layers_are_alike():
    x, weights = arguments(8)
    program: Program = program_of(lambda x: network(x, list(weights)), x)
    found = partition(program.graph, 20, 60)
    assert max(map(len, found.distinct().values())) >= 4
    assert_equal(run(program.with_graph(found.assemble({}).graph), [x]), run(program, [x]), 0.0)


def test_a_layer_beside_something_else_is_cut_like_the_others():
    """As the first layer of LLaMA is, which comes after the tables of its positions."""

    def function(x, weights):
        for step in range(20):
            x = jnp.sin(x + step) * jnp.cos(x - step)
        return network(x, weights)

    x, weights = arguments(8)
    graph = program_of(function, x, weights).graph
    layers = max(map(len, partition(graph, 20, 60).distinct().values()))
    assert layers >= 7
