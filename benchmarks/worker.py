"""One row of `benchmarks.run`: optimise one workload in one mode and time it against `jax.jit`.

    python -m benchmarks.worker TASK_JSON OUTPUT_FILE

`benchmarks.run` starts it as a process of its own, so that a crash costs one row.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.export
import numpy as np

import saturax
from saturax.cost.database import PriceDatabase
from saturax.cost.device import load_or_calibrate
from saturax.jaxlib_compat import compile_module
from saturax.stablehlo import emit_module, to_portable_artifact

from .cases import Case, case_of
from .check_models import LEAST_VARIATION, compare
from .models import workloads
from .provenance import provenance
from .timing import Call, interleave, ratio_of_medians

OPTIMISED_ON, MEASURED_ON, ALSO_RUN_ON = 0, 7, 8
"""Seeds of the inputs: saturax sees the first, the measurement takes fresh ones."""
ARGUMENTS = "xla with weights as arguments"
"""The second form in which XLA gets frozen weights."""

_FLOATS = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16",
    "c64": "complex64", "c128": "complex128",
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What a worker does. `options` are `saturax.Options`' fields; `database` a path or None."""

    workload: str
    mode: str
    options: dict[str, Any] = field(default_factory=dict)
    is_reduced: bool = False
    budget_s: float = 6.0
    peers: tuple[str, ...] = ()

    def saturax_options(self) -> saturax.Options:
        """The options as saturax takes them."""
        known = dict(self.options) | {"cache": False}
        if known.get("database") is not None:
            known["database"] = Path(known["database"])
        return saturax.Options(**known)


@dataclass
class StageClock:
    """Seconds that XLA compiled candidates, by the stage in which it did."""

    stage: str = ""
    compile_s: dict[str, float] = field(default_factory=dict)

    def on_progress(self, stage: str, detail: str) -> None:
        """What `saturax.optimize` calls when a stage begins (without a detail) and in it."""
        if not detail:
            self.stage = stage

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Times the compilations of saturax's contest within the block."""

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.monotonic()
            try:
                return compile_module(*arguments, **options)
            finally:
                spent = time.monotonic() - start
                self.compile_s[self.stage] = self.compile_s.get(self.stage, 0.0) + spent

        # Reports do not tell compilation apart, but the time limit does.
        with mock.patch("saturax.contest.compile_module", timed):
            yield


def run_task(task: Task) -> dict[str, Any]:
    """The row of a task; `{"skipped": reason}` where the workload has no such mode."""
    (workload,) = workloads(names=[task.workload])
    row: dict[str, Any] = {
        "workload": workload.name,
        "set": workload.set,
        "mode": task.mode,
        "configuration": workload.configuration,
        "is_reduced": task.is_reduced,
        "options": task.options,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    with workload.context():
        case = case_of(workload.build(task.is_reduced), task.mode)
        if case is None:
            return row | {"skipped": f"{workload.name} has no mode {task.mode!r}"}
        optimised, figures = optimise(case, task.saturax_options())
        row |= figures
        row |= measure(case, optimised, task)
    row["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


def optimise(case: Case, options: saturax.Options) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The optimised function of the same signature, and what its report says."""
    arguments = case.arguments_of(OPTIMISED_ON)
    # All arguments are kept, so that they are also the examples on which saturax measures.
    jitted = jax.jit(case.function, keep_unused=True)
    clock = StageClock()
    start = time.monotonic()
    if case.frozen is not None:
        with clock.running():
            fast = saturax.freeze(*case.frozen, options=options, on_progress=clock.on_progress)
            jax.block_until_ready(fast(*arguments))
        figures = figures_of(fast.report, clock.compile_s)
        return fast, figures | {"total_s": time.monotonic() - start}
    with clock.running():
        result = saturax.optimize(
            jitted, *arguments, options=options, on_progress=clock.on_progress
        )
    total_s = time.monotonic() - start
    figures = figures_of(result.report, clock.compile_s) | {"total_s": total_s}
    if result.report.outcome != "optimized":
        # The same program, compiled once more: its ratio shows how well this measures.
        return jax.jit(lambda *args: case.function(*args)), figures
    exported = jax.export.export(jitted)(*arguments)
    module = to_portable_artifact(emit_module(result.program))
    replaced = dataclasses.replace(exported, mlir_module_serialized=module)
    return jax.jit(replaced.call), figures


def figures_of(report: saturax.Report, compile_s: dict[str, float]) -> dict[str, Any]:
    """The part of a row that a report knows."""
    stages: dict[str, dict[str, Any]] = {}
    for stage in report.stages:
        entry = stages.setdefault(
            stage.name, {"seconds": 0.0, "runs": 0, "compile_s": compile_s.get(stage.name, 0.0)}
        )
        entry["seconds"] += stage.seconds
        entry["runs"] += 1

    def notes(stage: str, name: str) -> list[Any]:
        return [s.notes[name] for s in report.stages if s.name == stage and name in s.notes]

    chosen = [c for c in report.candidates if c.outcome == "chosen"]
    return {
        "outcome": report.outcome,
        "reason": report.reason,
        "warnings": report.warnings,
        "operations": report.operations_before,
        "operations_after": report.operations_after,
        "saturax_claims": report.speedup,
        "predicted_xla_us": report.predicted_original_us,
        "predicted_saturax_us": report.predicted_optimized_us,
        "egraph_nodes": max(notes("saturate", "nodes"), default=0),
        "kernels_measured": sum(notes("price", "measured")),
        "kernels_known": sum(notes("price", "known")),
        "candidates": len(report.candidates),
        "rejected": [c.reason for c in report.candidates if c.outcome == "rejected"],
        "accuracy": [
            {
                "error": c.largest_error,
                "allowed": c.allowed_error,
                "original_error": c.original_error,
            }
            for c in chosen
        ],
        "rules": report.rules,
        "changes": report.changes,
        "stages": stages,
        "saturax_s": report.seconds,
        "compile_s": sum(compile_s.values()),
        "device": report.device,
        "frozen": None if report.frozen is None else dataclasses.asdict(report.frozen),
    }


def measure(case: Case, optimised: Callable[..., Any], task: Task) -> dict[str, Any]:
    """Times of `jax.jit` and of the optimised function, and how their outputs compare."""
    arguments = case.arguments_of(MEASURED_ON)
    functions: dict[str, Callable[..., Any]] = {"xla": jax.jit(case.function), "saturax": optimised}
    if case.frozen is not None:
        original, parameters = case.frozen
        jitted = jax.jit(original)
        functions[ARGUMENTS] = lambda *inputs: jitted(parameters, *inputs)
    for peer in task.peers:
        functions[peer] = PEERS[peer](case.function)
    allowed = coarsest_rounding(case) ** 0.5
    evidence = compare_outputs(case, functions["xla"], functions["saturax"], allowed)

    def call_of(function: Callable[..., Any]) -> Call:
        return lambda: jax.block_until_ready(function(*arguments))

    calls = {name: call_of(function) for name, function in functions.items()}
    times = interleave(calls, task.budget_s)
    xla_ms = {name: 1e3 * float(np.median(times[name])) for name in times if "xla" in name}
    xla = min(xla_ms, key=xla_ms.__getitem__)
    ratio, interval = ratio_of_medians(times[xla], times["saturax"])
    peers = {}
    for peer in task.peers:
        seen = compare_outputs(case, functions["xla"], functions[peer], allowed)
        against = ratio_of_medians(times[xla], times[peer])
        peers[peer] = {
            "ms": 1e3 * float(np.median(times[peer])),
            "ratio": against[0],
            "interval": against[1],
            "outputs": seen,
            "problem": problem_of(seen),
        }
    return {
        "xla_ms": xla_ms[xla],
        "xla_forms_ms": xla_ms,
        "saturax_ms": 1e3 * float(np.median(times["saturax"])),
        "ratio": ratio,
        "interval": interval,
        "rounds": len(times["xla"]),
        "outputs": evidence,
        "problem": problem_of(evidence),
        "peers": peers,
    }


def coarsest_rounding(case: Case) -> float:
    """The rounding of the coarsest floating-point type that the function computes in.

    Two orders of a long sum may differ by many roundings; the square root is a generous limit
    that a wrong program does not keep. The strict judge is saturax's own, against float64.
    """
    jaxpr = str(jax.make_jaxpr(case.function)(*case.arguments_of(MEASURED_ON)))
    names = [name for name in _FLOATS if re.search(rf"\b{name}\[", jaxpr)]
    types = [jax.numpy.dtype(_FLOATS[name]) for name in names]
    return max([float(jax.numpy.finfo(kind).eps) for kind in types], default=0.0)


def compare_outputs(
    case: Case,
    reference: Callable[..., Any],
    function: Callable[..., Any],
    allowed: float,
) -> dict[str, Any]:
    """How far a function is from the reference, and whether its outputs are evidence.

    `difference` is the largest over outputs and two sets of inputs, relative to the output's
    largest magnitude (for integers and booleans: the share of elements that differ).
    """
    views = []
    difference = 0.0
    for seed in (MEASURED_ON, ALSO_RUN_ON):
        arguments = case.arguments_of(seed)
        expected, outputs = reference(*arguments), function(*arguments)
        pairs = zip(jax.tree.leaves(expected), jax.tree.leaves(outputs), strict=True)
        differences = (relative_difference(np.asarray(a), np.asarray(b)) for a, b in pairs)
        difference = max([difference, *differences])
        views.append(case.view(outputs))
    return {"difference": difference, "allowed": allowed, **compare(*views)}


def relative_difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest distance relative to the largest magnitude; infinite where kinds of values differ."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return np.inf
    if not expected.size:
        return 0.0
    if not jax.numpy.issubdtype(expected.dtype, np.inexact):
        return float(np.mean(expected != found))
    wide = np.complex128 if np.iscomplexobj(expected) else np.float64
    a, b = expected.astype(wide), found.astype(wide)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return np.inf
    if not finite.any():
        return 0.0
    scale = float(np.abs(a[finite]).max()) or 1.0
    return float(np.abs(a - b)[finite].max()) / scale


def problem_of(evidence: dict[str, Any]) -> str:
    """Why a row proves nothing or is wrong; empty if all is well."""
    if not evidence["is_finite"]:
        return "outputs are not finite"
    if evidence["variation"] < LEAST_VARIATION:
        return f"outputs vary by {evidence['variation']:.1e} only"
    if evidence["difference"] > evidence["allowed"]:
        return f"outputs differ from XLA's by {evidence['difference']:.1e}"
    return ""


def enzyme(function: Callable[..., Any]) -> Callable[..., Any]:
    """Enzyme-JAX's whole greedy pipeline in front of XLA.

    Raises:
        ImportError: `enzyme-ad` is not installed.
    """
    from enzyme_ad.jax import (
        JaXPipeline,
        enzyme_jax_ir,
        full_optimization_pass_pipeline,
    )

    pipeline = JaXPipeline(full_optimization_pass_pipeline())
    optimised: Callable[..., Any] = jax.jit(enzyme_jax_ir(pipeline_options=pipeline)(function))
    return optimised


PEERS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {"enzyme": enzyme}
"""Other optimisers that can be timed in the same rounds: function → its jitted, optimised form."""


def try_peer(task: Task, peer: str) -> dict[str, Any]:
    """Compiles and runs a peer's form of a workload; its crash is then known beforehand."""
    (workload,) = workloads(names=[task.workload])
    with workload.context():
        case = case_of(workload.build(task.is_reduced), task.mode)
        if case is not None:
            outputs = PEERS[peer](case.function)(*case.arguments_of(MEASURED_ON))
            jax.block_until_ready(outputs)
    return {}


def calibrate(database: str | None) -> dict[str, Any]:
    """Measures the device once, unless that was done: the first row should not pay for it.

    Answers when that was, and the provenance of all that is measured here.
    """
    with contextlib.closing(PriceDatabase(database)) as prices:
        calibration = load_or_calibrate(prices)
    return {"measured_at": calibration.measured_at, "provenance": provenance()}


def main(arguments: list[str]) -> None:
    """Do what the first argument describes; write the answer to the file of the second."""
    description, output = arguments
    known = json.loads(description)
    answer = answer_to(known.pop("do"), known)
    Path(output).write_text(json.dumps(answer, default=str))


def answer_to(request: str, known: dict[str, Any]) -> dict[str, Any]:
    """The answer to one of the three requests that `benchmarks.run` makes."""
    if request == "calibrate":
        return calibrate(**known)
    if request == "try peer":
        return try_peer(Task(**known["task"]), known["peer"])
    return run_task(Task(**known["task"]))


if __name__ == "__main__":
    main(sys.argv[1:])
