"""Kernels that nobody has measured cost what they compute, as often as they compute it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from saturax.assembly.repeated import hold_repeated
from saturax.cost.device import default_calibration
from saturax.cost.formulate import formulate
from saturax.cost.model import PriceModel
from saturax.cost.program import kernels_of_program, predict_us, program_us
from saturax.extract import selected_us
from saturax.graph.ir import Graph, node_regions
from saturax.search.represent import represent
from saturax.stablehlo import import_module

MODEL = PriceModel(default_calibration())


def graph_of(function: Callable[..., Any], *shape: int) -> Graph:
    module: Any = jax.jit(function).lower(jax.ShapeDtypeStruct(shape, jnp.float32))
    return import_module(module.compiler_ir("stablehlo")).graph


def _diffused(x: Any, steps: int) -> Any:
    for _ in range(steps):
        x = x + 0.1 * (jnp.roll(x, 1) + jnp.roll(x, -1) - 2 * x)
    return x


def _blurred(x: Any, steps: int) -> Any:
    shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    for _ in range(steps):
        x = sum(0.1 * jnp.roll(x, shift, (0, 1)) for shift in shifts)
    return x


@pytest.mark.parametrize(
    ("function", "shape", "gain"),
    [  # measured: 80, 3.3, 15 and 1.0 (2 cores, AMD EPYC 26/2, jaxlib 0.10.2)
        (lambda x: _diffused(x, 30), (4096,), 20),
        (lambda x: _diffused(x, 10), (4096,), 3),
        (lambda x: _blurred(x, 6), (128, 128), 5),
        (lambda x: _blurred(x, 1), (128, 128), 1),
    ],
)
def test_values_that_are_written_are_predicted_to_gain(function, shape, gain):
    graph = graph_of(function, *shape)
    held = hold_repeated(graph).graph
    found = program_us(graph, MODEL, {}) / program_us(held, MODEL, {})
    assert found == pytest.approx(1) if gain == 1 else gain < found < 10 * gain


def test_a_step_costs_as_much_in_a_loop():
    def loop(x: Any) -> Any:
        return jax.lax.fori_loop(0, 50, lambda _, x: _diffused(x, 2), x)

    once, often = (graph_of(each, 4096) for each in (lambda x: _diffused(x, 2), loop))
    ratio = program_us(often, MODEL, {}) / program_us(once, MODEL, {})
    assert ratio == pytest.approx(50, rel=0.3)


def _only_kernel_us(function: Callable[..., Any], *shape: int) -> float:
    (kernel,) = kernels_of_program(graph_of(function, *shape))
    return predict_us(kernel, MODEL)


def _chain(x: Any, length: int) -> Any:
    for _ in range(length):
        x = x * x + 0.1
    return x


def test_too_much_in_branches_is_done_one_by_one():
    """Measured: 2.4 ns an element for 30 steps, 30 for 60; without a roll 3.3 for 50."""
    few, many, plain = (
        _only_kernel_us(each, 65536)
        for each in (
            lambda x: jnp.roll(_chain(x, 30), 1),
            lambda x: jnp.roll(_chain(x, 60), 1),
            lambda x: _chain(x, 60),
        )
    )
    assert many > 8 * few
    assert many > 5 * plain


def test_zeros_around_rows_are_asked_for():
    """Measured: 0.6 ns an element more in rows of 256, nothing around the rows (65,536 floats)."""
    rows, around = (
        _only_kernel_us(lambda x, pads=pads: jnp.pad(_chain(x, 1), pads), 256, 256)
        for pads in (((0, 0), (1, 1)), ((1, 1), (0, 0)))
    )
    assert rows > 2 * around


def test_a_disturbed_bandwidth_is_no_slower_than_that_of_more_memory():
    calibration = default_calibration()
    slow = tuple(
        (size, 40.0 if size == 1 << 20 else rate) for size, rate in calibration.bandwidth_gb_s
    )
    disturbed = type(calibration)("cpu", bandwidth_gb_s=slow)
    assert disturbed.bandwidth_at(1 << 20) == calibration.bandwidth_at(1 << 24)


def test_a_part_is_written_where_it_is():
    """In a loop, rows of a table are written one by one."""

    def filled(rows: int) -> Callable[[Any], Any]:
        def step(i: Any, both: Any) -> Any:
            table, x = both
            return jax.lax.dynamic_update_slice(table, x[:1] + i, (i, 0)), x

        return lambda x: jax.lax.fori_loop(0, 100, step, (jnp.zeros((rows, 64)), x))

    times_us = []
    for rows in (128, 65536):
        graph = graph_of(filled(rows), 8, 64)
        (whole,) = (node for node in graph.nodes if node.op == "stablehlo.while")
        times_us.append(max(program_us(region, MODEL, {}) for region in node_regions(whole)))
    assert times_us[1] == pytest.approx(times_us[0], rel=0.1)


@pytest.mark.parametrize("exponent", [-1.0, 0.5, 2.0, 3.0])
def test_powers_that_the_compiler_has_other_functions_for_cost_what_those_do(exponent):
    def power_us(exponent: float) -> tuple[float, float]:
        def function(x: Any) -> Any:
            return jax.lax.pow(x, jnp.full_like(x, exponent))

        graph = graph_of(function, 256, 256)
        formulation = formulate(represent(graph), MODEL)
        of_search = selected_us(formulation.problem, formulation.original())
        return _only_kernel_us(function, 256, 256), of_search

    roots, others = power_us(exponent), power_us(2.5)
    assert all(other > 2 * root for root, other in zip(roots, others, strict=True))
    assert roots[0] < 3 * _only_kernel_us(lambda x: x * x, 256, 256)
