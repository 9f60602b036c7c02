"""Figures that no device can have: a probe or a kernel was disturbed, or measured nothing.

A probe takes the difference of two times; where a disturbance hits one of them only, the difference
may be anything. What is impossible is replaced by the most that is possible, and said to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from saturax.cost.device import Calibration
from saturax.cost.distance import REUSE_BYTES, bytes_read
from saturax.cost.kernel import byte_size, kernel_at
from saturax.graph.ir import Graph
from saturax.graph.operation import TABLE
from saturax.graph.types import TensorType, is_float

# Registers hold twice as many numbers of half the size; units for those may be twice as fast again.
_HALF_SIZE_GAIN = 4.0
# What cannot be faster may be measured to be by so much.
_NOISE = 1.25
# Of bandwidths: in the smallest working sets, what a pass costs besides is a part of them.
_BANDWIDTH_NOISE = 2.0
# Kernels may be so many times as fast as a calibration says, which may have been disturbed itself.
_KERNEL_NOISE = 2.0
# They may change a part of an operand where it lies.
_IN_PLACE = ("dynamic_update_slice", "scatter")
# What leaves a product as it is written, and types whose products have one rate.
_AROUND_PRODUCTS, _ONE_RATE = ("parameter", "reshape", "transpose", "dot_general"), ("f32", "f64")


def without_impossible(calibration: Calibration) -> Calibration:
    """The calibration within what is possible; `rejected` tells which figures were not."""
    notes: list[str] = []
    rates = {dtype: dict(table) for dtype, table in calibration.elements_per_us.items()}
    for dtype, function, limit in _limits(rates):
        rate = rates[dtype][function]
        if rate > _NOISE * limit:
            rates[dtype][function] = round(limit, 2)
            notes.append(f"{function} of {dtype}: {rate:.0f} elements per µs, at most {limit:.0f}")
    bandwidths: list[tuple[int, float]] = []
    for size, rate in calibration.bandwidth_gb_s:
        limit = _BANDWIDTH_NOISE * max((known for _, known in bandwidths), default=rate)
        if rate > limit:
            notes.append(f"bandwidth of {size} bytes: {rate:.0f} GB/s, at most {limit:.0f}")
        bandwidths.append((size, min(rate, round(limit, 2))))
    return replace(
        calibration,
        elements_per_us=rates,
        bandwidth_gb_s=tuple(bandwidths),
        rejected=(*calibration.rejected, *notes),
    )


def _limits(rates: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, str, float]]:
    """The most that rates can be, given other rates; those come first that others depend on."""
    reference = rates["f32"]["arithmetic"]
    for dtype, table in rates.items():
        size = TensorType((), dtype).bytes
        if dtype != "f32" and is_float(dtype) and "arithmetic" in table:
            yield dtype, "arithmetic", reference * (_HALF_SIZE_GAIN if size < 4 else 1.0)
    for dtype, table in rates.items():
        # Alone in its kernel, a function reads and writes memory too. Integers multiply slowly.
        for function in table if is_float(dtype) else ():
            if function != "arithmetic":
                yield dtype, function, table.get("arithmetic", reference)


def least_us(graph: Graph, levels: Sequence[int], calibration: Calibration) -> float:
    """Less than a kernel can take: 0 where that is not known.

    It moves its bytes, its inputs from as far as `levels` say, and computes its products.
    """
    nodes = [node for node in graph.nodes if node.op not in ("parameter", "constant")]
    if any(node.op not in TABLE or node.op in _IN_PLACE for node in nodes):
        return 0.0

    def move_us(size: int, level: int) -> float:
        return size / (1e3 * calibration.bandwidth_at(max(size, REUSE_BYTES[level])))

    written = sum(byte_size(graph.nodes[index].type) for index in {*graph.outputs})
    time_us = move_us(written, 0)
    for index, size in bytes_read(graph).items():
        node = graph.nodes[index]
        number: Any = node.attributes[0]
        is_far = node.op == "parameter" and number < len(levels)
        time_us += move_us(size, levels[number] if is_far else 0)
    if all(node.op in _AROUND_PRODUCTS for node in graph.nodes):
        products = [node for node in nodes if node.op == "dot_general"]
        time_us = max(
            time_us,
            sum(
                kernel_at(graph, node).flops / (1e3 * calibration.dot_gflop_s[node.type.dtype])
                for node in products
                if isinstance(node.type, TensorType) and node.type.dtype in _ONE_RATE
            ),
        )
    return time_us / _KERNEL_NOISE
