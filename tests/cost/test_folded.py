"""Transposes fold into products as XLA folds them, and the program stays the same."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from saturax.cost.folded import folded
from saturax.graph.build import prune
from saturax.graph.ir import Graph, Program
from saturax.graph.reference import evaluate
from saturax.stablehlo import emit_module, import_module


def _graph(function: Any, *shapes: tuple[int, ...]) -> Graph:
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    module: Any = jax.jit(function).lower(*arguments).compiler_ir("stablehlo")
    return import_module(module).graph


def _convolve(x: Any, k: Any) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    x, k = x.transpose(0, 2, 3, 1), k.transpose(2, 3, 1, 0)
    return jax.lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=numbers)


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x, y: x.T @ y, ((5, 3), (5, 4))),
        (lambda x, y: x @ y.T, ((3, 5), (4, 5))),
        (lambda x, y: (x @ y).T, ((3, 5), (5, 4))),
        (lambda x, y: (x.T @ y.T).T.T, ((5, 3), (4, 5))),
        (lambda x, y: (x @ y).swapaxes(1, 2), ((2, 3, 5), (2, 5, 4))),
        (lambda x, y: x.transpose(2, 0, 1) @ y, ((3, 5, 2), (2, 5, 4))),
        (_convolve, ((1, 2, 5, 6), (3, 2, 3, 3))),
    ],
)
def test_transposes_next_to_products_are_gone(function: Any, shapes: Any) -> None:
    graph = _graph(function, *shapes)
    assert any(node.op == "transpose" for node in graph.nodes)
    found = prune(folded(graph))
    assert not any(node.op == "transpose" for node in found.nodes)
    emit_module(Program(found))  # verified: types agree
    generator = np.random.default_rng(0)
    inputs = [generator.standard_normal(shape).astype(np.float32) for shape in shapes]
    for mine, theirs in zip(evaluate(found, inputs), evaluate(graph, inputs), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


def test_a_transpose_that_others_read_or_that_reorders_free_dimensions_stays() -> None:
    both = _graph(lambda x, y: ((x @ y), (x @ y).T), (3, 5), (5, 4))
    rows = _graph(lambda x, y: jnp.tensordot(x.transpose(1, 0, 2), y, 1), (2, 3, 5), (5, 4))
    for graph in (both, rows):
        assert any(node.op == "transpose" for node in prune(folded(graph)).nodes)
    plain = _graph(lambda x, y: x @ y, (3, 5), (5, 4))
    assert folded(plain) is plain
