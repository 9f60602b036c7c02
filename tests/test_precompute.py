"""Values that depend on constants only become constants."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from running import assert_equal, normal, program_of, run

from saturax.assembly.precompute import precompute
from saturax.graph.ir import Program


def _evaluate(graph, inputs):
    return run(Program(graph), inputs)


def _frozen(graph):
    """The nodes other than constants that depend on constants only."""
    free: set[int] = set()
    for index, node in enumerate(graph.nodes):
        if node.op == "parameter" or any(operand in free for operand in node.operands):
            free.add(index)
    return [i for i, node in enumerate(graph.nodes) if i not in free and node.operands]


_A, _B = jnp.asarray(normal(6, 5)), jnp.asarray(normal(5, 4))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x @ (_A @ _B),
        lambda x: (x @ (_A @ _B), _A @ _B, _A.T),
        lambda x: x * (jnp.arange(6) * 2.0) + 3,
        lambda x: x + jnp.ones((6,)).sum(),
        lambda x: jnp.concatenate([x, _A.T, _A.T * 2]),
    ],
)
def test_same_values_and_nothing_left_to_compute(function):
    x = normal(3, 6)
    program = program_of(function, x)
    frozen = _frozen(program.graph)
    assert frozen
    graph = precompute(program.graph, frozen, _evaluate)
    assert _frozen(graph) == []
    assert graph.size() < program.graph.size()
    assert_equal(run(program.with_graph(graph), [x]), run(program, [x]))


def test_large_constants_are_inputs_of_what_is_evaluated():
    program = program_of(lambda x: x @ (_A @ _B), normal(3, 6))
    seen = []

    def evaluate(graph, inputs):
        seen.append((graph, inputs))
        return _evaluate(graph, inputs)

    precompute(program.graph, _frozen(program.graph), evaluate)
    ((graph, inputs),) = seen
    assert [array.shape for array in inputs] == [t.shape for t in graph.inputs]
    assert all(node.op != "constant" for node in graph.nodes)
    np.testing.assert_array_equal(sorted(a.size for a in inputs), [20, 30])


def test_nothing_frozen_changes_nothing():
    graph = program_of(lambda x: x * 2, normal(3)).graph
    assert precompute(graph, [], _evaluate) is graph
