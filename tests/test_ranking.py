"""Candidates are put in the order of the prices of the kernels that the compiler makes of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import saturax
from saturax.cost.database import Price, PriceDatabase
from saturax.cost.device import DeviceIdentity, default_calibration, identify
from saturax.cost.formulate import Extracted, without_frozen
from saturax.cost.model import PriceModel
from saturax.cost.program import kernels_of_program
from saturax.graph.ir import Graph
from saturax.jaxlib_compat import default_device
from saturax.run import Run
from saturax.search.pricing import Pricing
from saturax.search.ranking import Ranking, without_common
from saturax.stablehlo import import_module

ON_CPU = pytest.mark.skipif(default_device().platform != "cpu", reason="a model of XLA:CPU")


def graph_of(function: Any, size: int = 64) -> Graph:
    x = jax.ShapeDtypeStruct((size, size), jnp.float32)
    module: Any = jax.jit(function).lower(x, x).compiler_ir("stablehlo")
    return import_module(module).graph


def ranking(path: Any) -> Ranking:
    options = saturax.Options(time_limit_s=0.0, cache=False)
    run = Run(options, saturax.Report("test"), lambda stage, detail: None)
    database = PriceDatabase(path / "prices.sqlite")
    return Ranking(Pricing(run, identify(), database, PriceModel(default_calibration())))


@ON_CPU
def test_recorded_prices_of_kernels_decide(tmp_path: Any) -> None:
    one, two = graph_of(lambda x, y: jnp.tanh(x @ y)), graph_of(lambda x, y: jnp.exp(x @ x) @ y)
    for cheap, dear in ((one, two), (two, one)):
        rank = ranking(tmp_path)
        prices = {k.key: Price(1e3) for k in kernels_of_program(dear)}
        prices |= {k.key: Price(1.0) for k in kernels_of_program(cheap)}
        rank.pricing.database.put_many(rank.pricing.device.key, prices)
        assert [(dear, cheap)[i] for i in rank.order([dear, cheap])] == [cheap, dear]


@ON_CPU
def test_large_temporary_values_are_new_memory_in_each_run(tmp_path: Any) -> None:
    one = graph_of(lambda x, y: x @ y, size=3072)
    two = graph_of(lambda x, y: jnp.tanh(y @ x) @ y, size=3072)
    rank = ranking(tmp_path)
    prices = {k.key: Price(1.0) for k in kernels_of_program(two)}
    prices |= {k.key: Price(100.0) for k in kernels_of_program(one)}
    rank.pricing.database.put_many(rank.pricing.device.key, prices)
    assert rank.order([two, one]) == [1, 0]


@ON_CPU
def test_kernels_that_keep_one_core_busy_run_side_by_side(tmp_path: Any) -> None:
    """By their sums, what is ready at once (12 products of sums) would be slower than a chain."""

    def chain(x: Any, y: Any) -> Any:
        for _ in range(16):
            x = x @ y
        return x

    one = graph_of(chain)
    many = graph_of(lambda x, y: [x @ (y + float(i)) for i in range(12)])
    rank = ranking(tmp_path)
    device = rank.pricing.device
    assert isinstance(device, DeviceIdentity)
    rank.pricing.device = replace(device, cores=2, threads=2)
    prices = {k.key: Price(100.0) for graph in (one, many) for k in kernels_of_program(graph)}
    rank.pricing.database.put_many(rank.pricing.device.key, prices)
    assert rank.order([one, many]) == [1, 0]
    rank = ranking(tmp_path)
    rank.pricing.device = replace(device, cores=1, threads=1)
    rank.pricing.database.put_many(rank.pricing.device.key, prices)
    assert rank.order([one, many]) == [0, 1]


@ON_CPU
def test_equal_programs_stay_in_order(tmp_path: Any) -> None:
    graph = graph_of(lambda x, y: x + y)
    assert ranking(tmp_path).order([graph, graph, graph]) == [0, 1, 2]


def test_kernels_that_all_programs_run_tell_nothing() -> None:
    one, two = (
        kernels_of_program(graph_of(f))
        for f in (
            lambda x, y: jnp.tanh(x @ y) @ y,
            lambda x, y: jnp.exp(x @ y) @ y + jnp.exp(y @ y),
        )
    )
    own, other = without_common([one, two])
    assert [k.graph.nodes[-1].attributes[0] for k in own] == ["tanh"]
    shared = Counter(k.key for k in one) & Counter(k.key for k in two)
    left = Counter(k.key for k in two) - shared
    assert Counter(k.key for k in other) == left
    assert sum(shared.values()) == len(one) - 1
    assert without_common([one, one]) == [[], []]


def test_what_is_computed_ahead_of_time_costs_nothing() -> None:
    graph = graph_of(lambda x, y: jnp.tanh(x) @ y)
    (tanh,) = (i for i, node in enumerate(graph.nodes) if node.attributes[:1] == ("tanh",))
    rest = without_frozen(Extracted(graph, (), (tanh,)))
    assert len(kernels_of_program(graph)) == 2
    assert len(kernels_of_program(rest)) == 1
    assert len(rest.inputs) == 3


@ON_CPU
def test_a_program_is_read_as_far_as_there_is_time(tmp_path: Any) -> None:
    program = graph_of(lambda x, y: jnp.tanh(x @ y) @ x)
    rank = ranking(tmp_path)
    assert not rank.read(program, until=0.0)
    assert rank.read(program)
    # Nothing is left to find out: not even a clock that has run down matters.
    known = {kernel.key: Price(1.0) for kernel in kernels_of_program(program)}
    rank.pricing.database.put_many(rank.pricing.device.key, known)
    assert rank.read(program, until=0.0)
