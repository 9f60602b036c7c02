"""What one optimisation costs: seconds by stage, those of XLA apart, and memory."""

from __future__ import annotations

import contextlib
import resource
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

import saturax
from saturax.cost.calibrate import load_or_calibrate
from saturax.cost.database import PriceDatabase
from saturax.cost.device import CALIBRATION_DOCUMENT

from .cases import case_of
from .models import gpt2, workloads

_SMALL = gpt2.Gpt2Config(vocabulary=1000, positions=64, width=128, heads=4)
"""The transformer whose depth varies: wide enough that its layers take longer than their calls."""


def fresh_database(path: str) -> dict[str, Any]:
    """Make a database of prices that has nothing but the calibration of this device."""
    with contextlib.closing(PriceDatabase()) as known:
        calibration = load_or_calibrate(known)
    with contextlib.closing(PriceDatabase(Path(path))) as new:
        new.put_document(calibration.device_key, CALIBRATION_DOCUMENT, calibration.to_json())
    return {}


def optimise_workload(
    workload: str, mode: str, is_reduced: bool, time_limit_s: float, effort: str, database: str
) -> dict[str, Any]:
    """The cost of optimising a workload in a mode; `{"skipped": reason}` where it has none."""
    (found,) = workloads(names=[workload])
    if found.missing:
        return {"skipped": f"needs {', '.join(found.missing)}"}
    with found.context():
        if mode == "train" and found.build(reduced=True).train_step is None:
            return {"skipped": f"{workload} has no mode {mode!r}"}
        case = case_of(found.build(is_reduced), mode)
        assert case is not None
        return cost_of(case.function, case.arguments_of(0), time_limit_s, effort, Path(database))


def optimise_transformer(
    layers: int, time_limit_s: float, effort: str, database: str
) -> dict[str, Any]:
    """The cost of optimising a GPT-2 of small width and so many layers."""
    program = gpt2.build(replace(_SMALL, layers=layers), True)
    arguments = (jax.device_put(program.parameters), *jax.device_put(program.inputs))
    return cost_of(program.function, arguments, time_limit_s, effort, Path(database))


def cost_of(
    function: Any, arguments: tuple[Any, ...], time_limit_s: float, effort: str, database: Path
) -> dict[str, Any]:
    """Seconds, memory and outcome of optimising a function for its arguments.

    `own_s` is everything but the seconds in which XLA compiled or ran programs: tracing and
    importing as well. `peak_mb` is the process's peak, `before_mb` that before saturax began.
    """
    jitted = jax.jit(function, keep_unused=True)
    options = saturax.Options(
        time_limit_s=time_limit_s, effort=effort, database=database, cache=False
    )
    before_mb = _peak_mb()
    start, cpu_start = time.perf_counter(), time.process_time()
    report = saturax.optimize(jitted, *arguments, options=options).report
    total_s = time.perf_counter() - start
    own: dict[str, float] = defaultdict(float)
    for stage in report.stages:
        own[stage.name] += stage.seconds - stage.xla_seconds
    own["other"] = total_s - report.seconds
    measured = [stage.notes.get("measured", 0) for stage in report.stages if stage.name == "price"]
    parts = [stage.notes for stage in report.stages if "parts" in stage.notes]
    return {
        "operations": report.operations_before,
        "total_s": total_s,
        "own_s": total_s - report.xla_seconds,
        "cpu_s": time.process_time() - cpu_start,
        "own_s_by_stage": dict(own),
        "kernels_measured": sum(measured),
        "parts": parts[0] if parts else None,
        "outcome": report.outcome,
        "speedup": report.speedup,
        "reason": report.reason,
        "before_mb": before_mb,
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
