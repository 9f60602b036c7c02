"""Sorts, extrema and scatters of JAX are recognised, mean what JAX says, and are written again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from saturax.graph.reference import evaluate
from saturax.stablehlo import emit_module, import_module

SPECIAL = np.array(
    [[0.0, -0.0, np.nan, 1.0, -np.nan, -np.inf, np.inf, -1.0, -0.0, 1.0]], np.float32
).repeat(3, 0)
INTEGERS = np.array([[3, -2, 7, 7, 0], [1, 1, 1, 1, 1]], np.int32)
ROWS, PLACES = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([2, 0, 2], np.int32)

PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str]] = {
    "sort": (jnp.sort, (SPECIAL,), "sort"),
    "sort_first": (lambda x: jnp.sort(x, axis=0), (INTEGERS,), "sort"),
    "sort_unstable": (lambda x: jnp.sort(x, stable=False), (INTEGERS,), "sort"),
    "sort_bf16": (jnp.sort, (SPECIAL.astype(jnp.bfloat16),), "sort"),
    "sort_booleans": (jnp.sort, (SPECIAL > 0,), "sort"),
    "sort_unsigned": (jnp.sort, (INTEGERS.astype(np.uint32),), "sort"),
    "argsort": (jnp.argsort, (SPECIAL,), "sort_pair"),
    "argsort_descending": (
        lambda x: jnp.argsort(x, descending=True),
        (INTEGERS,),
        "sort_pair",
    ),
    "sort_key_value": (lambda x: lax.sort_key_val(x, 2 * x), (INTEGERS,), "sort_pair"),
    "top_k": (lambda x: lax.top_k(x, 3), (SPECIAL,), "top_k"),
    "top_k_integers": (lambda x: lax.top_k(x, 2), (INTEGERS,), "top_k"),
    "argmax": (lambda x: jnp.argmax(x, 1), (SPECIAL,), "arg_reduce"),
    "argmin": (lambda x: jnp.argmin(x, 0), (INTEGERS,), "arg_reduce"),
    "argmax_batched": (jax.vmap(jnp.argmax), (SPECIAL,), "arg_reduce"),
    "set": (lambda x, i: x.at[i].set(-1.0), (ROWS, PLACES), "scatter"),
    "add": (lambda x, i: x.at[i].add(1.0), (ROWS, PLACES), "scatter"),
    "add_out_of_bounds": (lambda x, i: x.at[i + 2].add(1.0), (ROWS, PLACES), "scatter"),
    "multiply": (lambda x, i: x.at[i].multiply(2.0), (ROWS, PLACES), "scatter"),
    "largest": (lambda x, i: x.at[i, i].max(9.0), (ROWS, PLACES), "scatter"),
    "segment_sum": (lambda x, i: jax.ops.segment_sum(x, i, 3), (ROWS[:3], PLACES), "scatter"),
    "batched_update": (
        jax.vmap(lambda x, i: lax.dynamic_update_slice(x, -x[:2], (i,))),
        (ROWS[:3], PLACES),
        "scatter",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_jax_operations_are_known(name: str) -> None:
    function, inputs, op = PROGRAMS[name]
    text = jax.jit(function).lower(*inputs).as_text()
    program = import_module(text)
    ops = [node.op for node in program.graph.nodes]
    assert op in ops
    assert not any(each.startswith("stablehlo.") for each in ops)
    again = import_module(str(emit_module(program)))
    assert again.graph == program.graph


@pytest.mark.parametrize("name", PROGRAMS)
def test_meaning_is_jax_s(name: str) -> None:
    function, inputs, _ = PROGRAMS[name]
    program = import_module(jax.jit(function).lower(*inputs).as_text())
    found = evaluate(program.graph, [np.asarray(x) for x in inputs])
    for mine, theirs in zip(found, jax.tree.leaves(jax.jit(function)(*inputs)), strict=True):
        wide = np.float64 if mine.dtype.kind not in "iub" else mine.dtype
        np.testing.assert_array_equal(mine.astype(wide), np.asarray(theirs).astype(wide))
        if mine.dtype == np.float32:
            number = ~np.isnan(mine)
            np.testing.assert_array_equal(np.signbit(mine)[number], np.signbit(theirs)[number])


def test_other_bodies_stay_generic() -> None:
    complex_sort = jax.jit(jnp.sort).lower(SPECIAL.astype(np.complex64)).as_text()
    two_keys = jax.jit(lambda x: lax.sort((x, x), num_keys=2)).lower(INTEGERS).as_text()
    applied = jax.jit(lambda x, i: x.at[i].apply(jnp.sin)).lower(ROWS, PLACES).as_text()
    for text, op in (
        (complex_sort, "stablehlo.sort"),
        (two_keys, "stablehlo.sort"),
        (applied, "stablehlo.scatter"),
    ):
        program = import_module(text)
        assert op in [node.op for node in program.graph.nodes]
        assert import_module(str(emit_module(program))).graph == program.graph


def test_a_body_may_be_written_in_another_order() -> None:
    text = """
      func.func public @main(%x: tensor<4xi32>, %i: tensor<2x1xi32>, %u: tensor<2xi32>)
          -> tensor<4xi32> {
        %0 = "stablehlo.scatter"(%x, %i, %u) <{scatter_dimension_numbers = #stablehlo.scatter<
            inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>
        }> ({
        ^bb0(%old: tensor<i32>, %new: tensor<i32>):
          %sum = stablehlo.add %new, %old : tensor<i32>
          stablehlo.return %sum : tensor<i32>
        }) : (tensor<4xi32>, tensor<2x1xi32>, tensor<2xi32>) -> tensor<4xi32>
        return %0 : tensor<4xi32>
      }"""
    nodes = import_module(text).graph.nodes
    assert [node.attributes[0] for node in nodes if node.op == "scatter"] == ["add"]
