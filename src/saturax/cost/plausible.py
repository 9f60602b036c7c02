"""Figures of a calibration that no device can have: a probe was disturbed, or measured nothing.

A probe takes the difference of two times; where a disturbance hits one of them only, the difference
may be anything. What is impossible is replaced by the most that is possible, and said to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from saturax.cost.device import Calibration
from saturax.graph.types import TensorType, is_float

# Registers hold twice as many numbers of half the size; units for those may be twice as fast again.
_HALF_SIZE_GAIN = 4.0
# What cannot be faster may be measured to be by so much.
_NOISE = 1.25
# Of bandwidths: in the smallest working sets, what a pass costs besides is a part of them.
_BANDWIDTH_NOISE = 2.0


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
