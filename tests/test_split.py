"""A program cut at its frozen inputs computes the same, in two parts."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from running import assert_equal, normal, program_of, run

from saturax.assembly.split import bytes_before, split, with_constants
from saturax.jaxlib_compat import compile_module
from saturax.racing.frozen_contest import prepared_values
from saturax.stablehlo import emit_module

_BIG = jnp.asarray(normal(128, 256, seed=3))  # 128 KiB: lifted
_SMALL = jnp.asarray(normal(4, seed=4))


def _frozen_nodes(graph, frozen):
    """The nodes other than leaves that depend on frozen inputs and constants only."""
    fixed: set[int] = set()
    for index, node in enumerate(graph.nodes):
        if node.op == "parameter":
            is_fixed = node.attributes[0] in frozen
        else:
            is_fixed = all(operand in fixed for operand in node.operands)
        if is_fixed:
            fixed.add(index)
    return [i for i in fixed if graph.nodes[i].operands]


def _run_split(parts, inputs):
    prologue = compile_module(emit_module(parts.prologue)) if parts.prologue.graph.outputs else None
    frozen = [jnp.asarray(inputs[i]) for i in parts.frozen]
    literals = [jnp.asarray(literal.array) for literal in parts.literals]
    prepared = prepared_values(parts, prologue, frozen, literals)
    others = [x for i, x in enumerate(inputs) if i not in parts.frozen]
    results = run(parts.main, [*prepared, *others])
    assert_equal(
        run(with_constants(parts.main, [np.asarray(x) for x in prepared]), others), results
    )
    return results


@pytest.mark.parametrize(
    ("function", "frozen"),
    [
        (lambda w, x: x @ (w @ w).T, (0,)),
        (lambda x, w: (x @ w, w + 1, w), (1,)),
        (lambda w, x: x @ (w @ _BIG[:, :128].astype(w.dtype))[:, :4] + _SMALL, (0,)),
        (lambda w, x: x.sum() + w[0, 0], (0,)),
        (lambda w, x: x * 2, (0,)),
        (lambda w, x: x @ w, ()),
        (lambda w, x: jnp.linalg.cholesky(w @ w.T + 128 * jnp.eye(128)) @ x.T, (0,)),
    ],
)
def test_two_parts_equal_the_whole(function, frozen):
    inputs = [normal(128, 128), normal(3, 128, seed=1)]
    if frozen == (1,):
        inputs.reverse()
    program = program_of(function, *inputs)
    expected = run(program, inputs)
    ahead = _frozen_nodes(program.graph, frozen)
    for nodes in (ahead, ahead[: len(ahead) // 2], ()):
        parts = split(program, frozen, nodes)
        assert_equal(_run_split(parts, inputs), expected)
        assert set(parts.frozen) == set(frozen)


def test_nodes_that_need_other_inputs_stay():
    program = program_of(lambda w, x: (x + w) * 2, normal(8), normal(8))
    parts = split(program, [0], range(len(program.graph.nodes)))
    assert parts.prologue.graph.size() < parts.main.graph.size()
    assert_equal(_run_split(parts, [normal(8), normal(8)]), run(program, [normal(8), normal(8)]))


def test_large_constants_become_arguments_and_small_ones_stay():
    program = program_of(lambda x: x @ _BIG + _SMALL.sum() * _SMALL[0], normal(2, 128))
    parts = split(program, [])
    assert [literal.type.shape for literal in parts.literals] == [(128, 256)]
    assert bytes_before(program, []) == 128 * 256 * 4 == parts.bytes_after
    assert_equal(_run_split(parts, [normal(2, 128)]), run(program, [normal(2, 128)]))


def test_growth_is_bounded():
    def function(w, x):
        return x * jnp.broadcast_to(w[:, None], (256, 256))

    inputs = [normal(256), normal(256, 256)]
    program = program_of(function, *inputs)
    ahead = _frozen_nodes(program.graph, [0])
    assert split(program, [0], ahead).bytes_after == 256 * 256 * 4
    bounded = split(program, [0], ahead, 2 * 256 * 4)
    assert bounded.bytes_after <= 2 * 256 * 4
    assert_equal(_run_split(bounded, inputs), run(program, inputs))
