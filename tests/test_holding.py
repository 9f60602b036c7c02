"""Products whose result is transposed run as they were chosen: a barrier keeps the compiler off."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from running import assert_equal, normal, program_of, run

import saturax
from saturax import Options
from saturax.assembly.holding import hold_products
from saturax.graph.ir import node_regions
from saturax.graph.ops import BARRIER
from saturax.jaxlib_compat import compile_module
from saturax.stablehlo import emit_module

A, B = normal(48, 16), normal(16, 8)


def _count(graph):
    own = sum(node.op == BARRIER for node in graph.nodes)
    return own + sum(_count(region) for node in graph.nodes for region in node_regions(node))


def _held(function, *arguments):
    program = program_of(function, *arguments)
    held = program.with_graph(hold_products(program.graph))
    expected = jax.tree.leaves(jax.jit(function)(*arguments))
    assert_equal(run(held, arguments), expected)
    return _count(held.graph)


def test_a_transpose_that_alone_reads_a_product_is_kept():
    assert _held(lambda a, b: (a @ b).T, A, B) == 1


def test_what_the_compiler_does_not_undo_is_left_alone():
    assert _held(lambda a, b: a @ b + a.T[0, 0], A, B) == 0
    assert _held(lambda a, b: ((a @ b).T, jnp.sum(a @ b)), A, B) == 0
    assert _held(lambda a, b: jnp.tanh(a @ b).T, A, B) == 0
    batched = lambda a, b: jnp.einsum("nij,njk->nki", a, b)  # noqa: E731
    assert _held(batched, normal(3, 4, 5), normal(3, 5, 6)) == 0


def test_products_inside_loops_are_held_too():
    def function(a, x):
        return lax.fori_loop(0, 5, lambda i, x: jnp.tanh((x @ a).T), x)

    assert _held(function, normal(8, 8), normal(8, 8, seed=1)) == 1


def test_the_compiler_does_not_undo_what_is_held():
    """The product's result has the shape in which it was written."""
    program = program_of(lambda a, b: (a @ b).T * 2, A, B)
    held = program.with_graph(hold_products(program.graph))
    executables = [compile_module(emit_module(each)) for each in (program, held)]
    texts = [each.loaded.hlo_modules()[0].to_string() for each in executables]
    assert ["f32[48,8]{1,0} dot" in text for text in texts] == [False, True], texts


def test_frozen_weights_go_to_the_left_for_few_rows():
    """By prediction the orders are equal; what is compared is that all forms are correct."""
    w, v, x = normal(64, 256), normal(256, 64, seed=1), normal(8, 64)
    function = lambda w, v, x: x + jax.nn.gelu(x @ w) @ v  # noqa: E731
    fast = saturax.freeze(function, w, v, options=Options(time_limit_s=3, cache=False))
    assert_equal([fast(x)], [jax.jit(function)(w, v, x)])
