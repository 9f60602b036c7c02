"""In the library's kernels each operation goes over its operands, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from saturax.cost.clusters import library_passes_us
from saturax.cost.device import default_calibration
from saturax.cost.formulate import formulate
from saturax.cost.model import PriceModel
from saturax.cost.program import program_us
from saturax.cost.recomputation import charge_recomputation
from saturax.extract import selected_us
from saturax.graph.ir import Graph
from saturax.search.represent import represent
from saturax.stablehlo import import_module

MODEL = PriceModel(default_calibration())


def _graph(function: Callable[..., Any], *shape: int) -> Graph:
    module: Any = jax.jit(function).lower(jax.ShapeDtypeStruct(shape, jnp.float32))
    return import_module(module.compiler_ir("stablehlo")).graph


def _us(function: Callable[..., Any], *shape: int) -> float:
    return program_us(_graph(function, *shape), MODEL, {})


def _charged_us(function: Callable[..., Any], *shape: int) -> float:
    formulation = formulate(represent(_graph(function, *shape)), MODEL)
    original = formulation.original()
    charged = charge_recomputation(formulation, original, MODEL)
    assert charge_recomputation(charged, original, MODEL) is charged
    return selected_us(charged.problem, original)


def _forces(points: Any) -> Any:
    """Of points in rows, one for each dimension."""
    apart = points[:, None] - points[None]
    squares = (apart**2).sum(-1, keepdims=True)
    return (apart / (squares + 0.1)).sum(1)


def _forces_by_columns(points: Any) -> Any:
    """The same where the points lie along the rows."""
    apart = points[:, :, None] - points[:, None, :]
    return (apart / ((apart**2).sum(0) + 0.1)).sum(1)


@pytest.mark.parametrize("price", [_us, _charged_us])
def test_short_rows_with_a_repeated_operand_cost_far_more_than_their_elements(price: Any) -> None:
    """Measured: 1,000 to 1,600 µs in rows of 3, and 120 by columns (256 points)."""
    assert price(_forces, 256, 3) > 4 * price(_forces_by_columns, 3, 256)


def _chain(x: Any) -> Any:
    for _ in range(10):
        x = x * x + 0.5
    return x


def test_arithmetic_before_a_sum_takes_longer_than_in_a_loop() -> None:
    """Measured: 2.1 ns an element of 1,024 × 1,024 and 0.5."""
    assert _us(lambda x: _chain(x).sum(-1), 512, 64) > 1.5 * _us(_chain, 512, 64)


def test_what_no_reduction_follows_is_no_pass() -> None:
    assert not library_passes_us(_graph(_chain, 512, 64))


def test_sums_of_short_rows_cost_what_rows_do() -> None:
    """Measured: 5 ns a row of 3 elements."""
    assert _us(lambda x: x.sum(-1), 32768, 3) > 4 * _us(lambda x: x.sum(-1), 32, 3072)
