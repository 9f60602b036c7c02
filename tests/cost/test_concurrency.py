"""Kernels of a program that do not wait for each other share the cores."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from saturax.cost.clusters import clusters_of
from saturax.cost.concurrency import Load, makespan_us
from saturax.graph.ir import Graph
from saturax.stablehlo import import_module

ONE_CORE, ALL_CORES = Load(10.0, 1.0), Load(10.0, 2.0)


def graph_of(function: Any) -> Graph:
    x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    module: Any = jax.jit(function).lower(x, x).compiler_ir("stablehlo")
    return import_module(module).graph


def apart(count: int) -> Graph:
    """So many products that do not wait for each other."""
    return graph_of(lambda x, y: [(x[:, : i + 1].T) @ y for i in range(count)])


def chain(count: int) -> Graph:
    def function(x: Any, y: Any) -> Any:
        for _ in range(count):
            x = (x @ y).reshape(32, 128).reshape(64, 64)
        return x

    return graph_of(function)


def time_us(graph: Graph, load: Load, cores: int = 2) -> float:
    clusters = clusters_of(graph)
    return makespan_us(graph, clusters, [load] * len(clusters), cores)


@pytest.mark.parametrize("load", [ONE_CORE, ALL_CORES])
def test_kernels_that_wait_for_each_other_add_up(load: Load) -> None:
    graph = chain(12)
    assert len(clusters_of(graph)) == 12
    assert time_us(graph, load) == pytest.approx(120.0)


def test_others_share_the_cores() -> None:
    graph = apart(12)
    count = len(clusters_of(graph))
    assert count >= 12
    assert time_us(graph, ONE_CORE) == pytest.approx(10.0 * -(-count // 2))
    assert time_us(graph, ALL_CORES) == pytest.approx(10.0 * count)
    assert time_us(graph, Load(10.0, 1.5)) == pytest.approx(7.5 * count, rel=0.1)
    assert time_us(graph, ONE_CORE, cores=1) == pytest.approx(10.0 * count)


def test_few_kernels_run_in_their_order() -> None:
    graph = apart(4)
    count = len(clusters_of(graph))
    assert count <= 8
    assert time_us(graph, ONE_CORE) == pytest.approx(10.0 * count)


def test_no_kernel_waits_for_more_cores_than_there_are() -> None:
    """The smallest kernels are measured as nothing, computed by hundreds of cores."""
    assert time_us(apart(12), Load(10.0, 700.0)) == time_us(apart(12), ALL_CORES)
