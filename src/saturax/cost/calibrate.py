"""Measuring what a device can do, once: the calibration is stored beside the prices.

`python -m saturax.cost.calibrate` measures and prints the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import jax

from saturax.collector import no_garbage_collection
from saturax.cost import probes
from saturax.cost.database import PriceDatabase
from saturax.cost.device import (
    CALIBRATION_DOCUMENT,
    Calibration,
    calibration_table,
    default_calibration,
    identify,
)
from saturax.cost.plausible import without_impossible
from saturax.cost.timing import time_empty_call
from saturax.jaxlib_compat import default_device
from saturax.mlir_modules import ModuleError

_WORKING_SETS = tuple(1 << power for power in (14, 16, 18, 19, 20, 22, 24, 26, 27))
_OTHER_FUNCTIONS = ("arithmetic", "add", "divide", "sqrt", "exponential", "log", "tanh")
_DOT_SIDES = {"f32": 512, "f64": 512, "bf16": 512, "f16": 512, "i32": 256, "i8": 256}


def calibrate(
    device: jax.Device | None = None,
    *,
    known: Calibration | None = None,
    time_limit_s: float = 30.0,
    progress: Callable[[str], None] = lambda step: None,
) -> Calibration:
    """Measure what is not `known` of a device; what there is no time for keeps its default.

    `progress` is told the name of each attribute before it is measured. A probe that fails (an
    element type that the device lacks, for one) leaves the default too.
    """
    device = default_device() if device is None else device
    started = time.perf_counter()
    calibration = default_calibration(device) if known is None else known
    bench = probes.Bench(device)
    with no_garbage_collection():
        for name in _missing(calibration):
            if time.perf_counter() - started >= time_limit_s:
                break
            step = _STEPS[name]
            progress(name)
            changes: dict[str, Any] = {}
            try:
                changes[name] = step(bench, calibration, started + time_limit_s)
                changes["defaulted"] = tuple(x for x in calibration.defaulted if x != name)
            except _TimeIsUpError as error:
                changes[name] = error.partial
            except (ModuleError, jax.errors.JaxRuntimeError, MemoryError):
                changes["failed"] = (*calibration.failed, name)
            calibration = replace(calibration, **changes)
    return replace(
        without_impossible(calibration),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(calibration.seconds + time.perf_counter() - started, 3),
    )


def load_or_calibrate(
    database: PriceDatabase | None = None,
    device: jax.Device | None = None,
    *,
    time_limit_s: float = 30.0,
    refresh: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> Calibration:
    """The stored calibration of this device; what is missing of it is measured, and stored.

    On a slow or busy machine that may take several calls of `time_limit_s` each. With 0 nothing
    is measured: an unknown device gets the defaults. `refresh` measures everything again.
    """
    device = default_device() if device is None else device
    database = PriceDatabase() if database is None else database
    key = identify(device).key
    stored = None if refresh else database.get_document(key, CALIBRATION_DOCUMENT)
    known = None if stored is None else _read(stored)
    if known is not None and (not _missing(known) or time_limit_s <= 0):
        return known
    calibration = calibrate(device, known=known, time_limit_s=time_limit_s, progress=progress)
    if time_limit_s > 0:
        database.put_document(key, CALIBRATION_DOCUMENT, calibration.to_json())
    return calibration


def _missing(calibration: Calibration) -> list[str]:
    """The attributes that are still to be measured, in the order to do it."""
    wanted = set(calibration.defaulted) - set(calibration.failed)
    return [name for name in _STEPS if name in wanted]


def _read(stored: str) -> Calibration | None:
    """A stored calibration; None where it is damaged, or of another version: measure again."""
    try:
        return Calibration.from_json(stored)
    except ValueError:
        return None


class _TimeIsUpError(Exception):
    """The time limit was reached in the middle of a step; `partial` is mostly defaults."""

    def __init__(self, partial: object) -> None:
        super().__init__()
        self.partial = partial


_Step = Callable[[probes.Bench, Calibration, float], object]


def _bandwidth(bench: probes.Bench, _: Calibration, __: float) -> tuple[tuple[int, float], ...]:
    return tuple((size, round(probes.bandwidth(bench, size), 2)) for size in _WORKING_SETS)


def _elements_per_us(
    bench: probes.Bench, known: Calibration, deadline: float
) -> Mapping[str, Mapping[str, float]]:
    rates = {dtype: dict(table) for dtype, table in known.elements_per_us.items()}
    pin = bench.device.platform == "cpu"
    functions = {
        "f32": probes.FLOAT_FUNCTIONS,
        "i32": probes.INTEGER_FUNCTIONS,
        **dict.fromkeys(("bf16", "f64", "f16"), _OTHER_FUNCTIONS),
    }
    for dtype, names in functions.items():
        for name in names:
            if time.perf_counter() >= deadline:
                raise _TimeIsUpError(rates)
            rates[dtype][name] = round(probes.elementwise_rate(bench, name, dtype, pin=pin), 2)
    return rates


def _dot_gflop_s(bench: probes.Bench, _: Calibration, __: float) -> Mapping[str, float]:
    factor = 1 if bench.device.platform == "cpu" else 8
    return {
        dtype: round(probes.dot_rate(bench, dtype, factor * side), 2)
        for dtype, side in _DOT_SIDES.items()
    }


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 3)


# In the order of their worth, because the time limit cuts the tail.
_STEPS: Mapping[str, _Step] = {
    "call_overhead_us": lambda bench, _, __: _us(time_empty_call(bench.device, 0.02).seconds),
    "kernel_overhead_us": lambda bench, _, __: _us(probes.kernel_seconds(bench)),
    "library_kernel_overhead_us": lambda bench, _, __: _us(probes.library_kernel_seconds(bench)),
    "bandwidth_gb_s": _bandwidth,
    "dot_gflop_s": _dot_gflop_s,
    "elements_per_us": _elements_per_us,
    "parallel_gain": lambda bench, _, __: round(probes.parallel_gain(bench, "tanh"), 3),
    "parallel_start_us": lambda bench, known, _: _us(
        probes.parallel_start_seconds(bench, known.call_overhead_us / 1e6)
    ),
    "fresh_memory_us_per_mb": lambda bench, known, _: round(
        probes.fresh_memory_seconds_per_byte(
            bench, known.bandwidth_at(1 << 28), known.call_overhead_us / 1e6
        )
        * 1e12,
        2,
    ),
}


if __name__ == "__main__":
    print(calibration_table(calibrate()))
