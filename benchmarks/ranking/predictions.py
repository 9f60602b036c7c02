"""What the model and the baselines say that a program takes, in microseconds.

A baseline takes the same measured prices as the model, where it needs any: what differs is how they
are put together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from saturax.cost.concurrency import Load
from saturax.cost.database import PriceDatabase
from saturax.cost.device import CALIBRATION_DOCUMENT, Calibration
from saturax.cost.formulate import formulate
from saturax.cost.fresh_memory import fresh_bytes
from saturax.cost.kernel import Kernel, kernel_at
from saturax.cost.model import PriceModel
from saturax.cost.program import ClusterKernel, kernels_of_program, program_us
from saturax.extract import dag_cost
from saturax.graph.ir import Graph
from saturax.graph.operation import TABLE
from saturax.search.represent import represent
from saturax.stablehlo import import_module

from .variants import load

_FREE_IN_THE_STUDY = frozenset({"slice", "reshape", "transpose", "concatenate"})
COMPANION_KEY = "companion"
# What the study's model takes off an operation that fuses with the one before it.
_FUSION_BONUS = 0.5


@dataclass
class Device:
    """A device with a number of threads: its calibration and its measured prices."""

    model: PriceModel
    calibration: Calibration
    clusters: Mapping[str, Load]
    cores: int

    def isolated_us(self, kernel: Kernel) -> float:
        """The time of an operation by itself."""
        return self.model.kernel_us(kernel)


def device_of(folder: Path, threads: str) -> Device:
    """The device as `worker --step price` left it."""
    database = PriceDatabase(folder / "prices.sqlite")
    key = (folder / f"device-{threads}.txt").read_text()
    text = database.get_document(key, CALIBRATION_DOCUMENT)
    calibration = Calibration.from_json(text or "")
    model = PriceModel(calibration)
    kernels = {kernel.key: kernel for kernel in wanted_kernels(folder)}
    for name, price in database.get_many(key, kernels).items():
        model.learn(kernels[name], price.time_us)
    names = [COMPANION_KEY, *(kernel.key for kernel in wanted_clusters(folder))]
    prices = database.get_many(key, names).items()
    # What could not be told from a call is predicted.
    clusters = {name: Load(price.time_us, price.cores) for name, price in prices if price.time_us}
    cores = 1 if threads == "one" else len(os.sched_getaffinity(0))
    return Device(model, calibration, clusters, cores)


@cache
def graph_of(path: Path) -> Graph:
    """A stored variant."""
    return import_module(path.read_bytes()).graph


def wanted_kernels(folder: Path) -> Iterator[Kernel]:
    """Every operation of every variant that can run by itself."""
    for variant in load(folder):
        for _, kernel in kernels_of(graph_of(variant.path(folder))):
            if kernel.is_measurable or kernel.op in TABLE:
                yield kernel


def wanted_clusters(folder: Path) -> Iterator[ClusterKernel]:
    """Every kernel of every variant as XLA forms them, if it can run by itself."""
    for variant in load(folder):
        for kernel in kernels_of_program(graph_of(variant.path(folder))):
            if kernel.is_measurable:
                yield kernel


def kernels_of(graph: Graph) -> Iterator[tuple[int, Kernel]]:
    """The operations of a graph that are more than another view of their operand."""
    for index, node in enumerate(graph.nodes):
        if not node.operands or node.op == "get_result":
            continue
        kernel = kernel_at(graph, node)
        if not kernel.is_bitcast:
            yield index, kernel


def program_prediction_us(graph: Graph, device: Device, _: Mapping[str, Any]) -> float:
    """saturax's model of whole programs."""
    call_us = device.clusters[COMPANION_KEY].time_us
    new_memory_us = device.model.fresh_us(fresh_bytes(graph))
    kernels_us = program_us(graph, device.model, device.clusters, device.cores)
    return call_us + new_memory_us + kernels_us


def search_prediction_us(graph: Graph, device: Device, _: Mapping[str, Any]) -> float:
    """The sum that saturax's search minimises."""
    formulation = formulate(represent(graph), device.model)
    return dag_cost(formulation.problem, formulation.original())


def isolated_us(graph: Graph, device: Device, _: Mapping[str, Any]) -> float:
    """The sum of what the operations take by themselves."""
    return sum(device.isolated_us(kernel) for _, kernel in kernels_of(graph))


def study_us(graph: Graph, device: Device, _: Mapping[str, Any]) -> float:
    """The study's: isolated operations, movement of data free, fused operations at a discount."""
    uses, total = graph.uses(), 0.0
    for index, kernel in kernels_of(graph):
        if kernel.op in _FREE_IN_THE_STUDY:
            continue
        producers = [i for i in graph.nodes[index].operands if uses[i] == 1]
        fuses = _is_elementwise(kernel.op) and any(
            _is_elementwise(graph.nodes[i].op) for i in producers
        )
        total += device.isolated_us(kernel) * (_FUSION_BONUS if fuses else 1.0)
    return total


def roofline_us(_: Graph, device: Device, measured: Mapping[str, Any]) -> float:
    """XLA's own counts for the compiled program, at the rates of the calibration."""
    counts = measured["analysis"]
    moved = max(counts.get("bytes accessed", 0.0), 1.0)
    move = moved / (1e3 * device.calibration.bandwidth_at(moved))
    compute = counts.get("flops", 0.0) / (1e3 * device.calibration.dot_gflop_s["f32"])
    compute += counts.get("transcendentals", 0.0) / device.calibration.rate("exponential", "f32")
    return max(move, compute)


def profiled_us(_: Graph, __: Device, measured: Mapping[str, Any]) -> float:
    """The sum of the kernels' times in the compiled program: not a prediction but a ceiling."""
    return float(measured["profiled_us"])


def measured_again_us(_: Graph, __: Device, measured: Mapping[str, Any]) -> float:
    """The time at another time: what the measurement itself can tell apart."""
    return float(np.quantile(measured["again_us"], 0.25))


def _is_elementwise(op: str) -> bool:
    return op in TABLE and TABLE[op].kind == "elementwise"


MODELS: Mapping[str, Callable[[Graph, Device, Mapping[str, Any]], float]] = {
    "saturax": program_prediction_us,
    "saturax, during the search": search_prediction_us,
    "isolated operations": isolated_us,
    "the study's model": study_us,
    "cost_analysis roofline": roofline_us,
    "profiled in the program": profiled_us,
    "measured again": measured_again_us,
}
