"""One row of `benchmarks.run`: one workload in one mode, all systems timed side by side.

    python -m benchmarks.worker TASK_JSON OUTPUT_FILE

`benchmarks.run` starts it as a process of its own, so that a crash costs one row.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

import saturax
from saturax.cost.calibrate import load_or_calibrate
from saturax.cost.database import PriceDatabase
from saturax.racing.interleave import Call, interleave, ratio_of_medians

from . import optimiser
from .accuracy import SEEDS, Judge, problem_of
from .cases import Case, case_of
from .models import Workload, workloads
from .provenance import provenance
from .rehearsal import lower_for_gpu
from .systems import ALWAYS, BUILDERS, PEERS, REFERENCES, System

# Times the usual budget, for rows whose ratio is not known well by then.
_PATIENCE = 5.0


@dataclass(frozen=True)
class Task:
    """What a worker does. `options` are `saturax.Options`' fields; `database` a path or None.

    `systems` are measured besides those that always are; `batch` inputs at once, by vmap, if it is
    not 0. `budget_s` is the time for timing two systems; more of them get more.
    """

    workload: str
    mode: str
    options: dict[str, Any] = field(default_factory=dict)
    is_reduced: bool = False
    budget_s: float = 6.0
    systems: tuple[str, ...] = ()
    batch: int = 0

    def saturax_options(self) -> saturax.Options:
        """The options as saturax takes them."""
        known = dict(self.options) | {"cache": False}
        if known.get("database") is not None:
            known["database"] = Path(known["database"])
        return saturax.Options(**known)

    def case(self, workload: Workload) -> Case | None:
        """The case that is measured; None where the workload has no such mode."""
        if self.mode == "train" and workload.build(reduced=True).train_step is None:
            return None  # without building the whole program first
        program = workload.build(self.is_reduced)
        return case_of(program.batched(self.batch) if self.batch else program, self.mode)


def run_task(task: Task) -> dict[str, Any]:
    """The row of a task; `{"skipped": reason}` where the workload has no such mode."""
    (workload,) = workloads(names=[task.workload])
    row: dict[str, Any] = {"date": datetime.datetime.now(datetime.UTC).isoformat("T", "seconds")}
    with workload.context():
        case = task.case(workload)
        if case is None:
            return row | {"skipped": f"{workload.name} has no mode {task.mode!r}"}
        systems, compiled, failed = build(task, case)
        row |= figures_of(systems["saturax"])
        row |= measure(case, systems, compiled, task.budget_s)
        row["systems"] |= failed
    row["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row


Figures = dict[str, dict[str, Any]]
"""What is known of each system, by its name."""


def build(task: Task, case: Case) -> tuple[dict[str, System], Figures, Figures]:
    """The systems that are measured, what XLA says of them, and why others could not be had.

    Plain XLA comes first, since others compile the original too and share it with those after
    them, and then other people's optimisers: should they crash, little time is lost.
    """
    wanted = [name for name in BUILDERS if name in (*ALWAYS, *task.systems)]
    systems: dict[str, System] = {}
    compiled: Figures = {}
    failed: Figures = {}
    for name in sorted(wanted, key=lambda name: (name not in REFERENCES, name not in PEERS)):
        try:
            system = BUILDERS[name](case, task.saturax_options())
            if system is not None:
                compiled[name] = compile_and_run(system, case)
                systems[name] = system
        except Exception as error:
            if name in ALWAYS:
                raise
            failed[name] = {"failed": f"{type(error).__name__}: {error}"[:600]}
    return systems, compiled, failed


def compile_and_run(system: System, case: Case) -> dict[str, Any]:
    """Seconds of lowering and compiling a system, and XLA's counts of what it compiled."""
    arguments = case.arguments_of(SEEDS[0])
    start = time.monotonic()
    lowered = system.lower(*arguments)
    lowered_at = time.monotonic()
    compiled = lowered.compile()
    figures: dict[str, Any] = {
        "optimise_s": system.optimise_s,
        "lower_s": lowered_at - start,
        "compile_s": time.monotonic() - lowered_at,
    }
    with contextlib.suppress(Exception):  # not every back end counts
        counts: Any = compiled.cost_analysis()
        figures |= {
            "flops": counts.get("flops"),
            "transcendentals": counts.get("transcendentals"),
            "bytes_accessed": counts.get("bytes accessed"),
        }
        memory: Any = compiled.memory_analysis()
        figures |= {
            "temporary_bytes": memory.temp_size_in_bytes,
            "peak_bytes": memory.peak_memory_in_bytes,
        }
    jax.block_until_ready(system(*arguments))
    return figures


def figures_of(system: System) -> dict[str, Any]:
    """The part of a row that saturax's report knows."""
    report = system.report
    assert report is not None
    compile_s = system.candidates_compile_s
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
        "search": [[s.name, s.seconds, s.notes] for s in report.stages if s.notes],
        "first_choice": first_choice(report),
        "saturax_s": report.seconds,
        "compile_s": sum(compile_s.values()),
        "device": report.device,
        "frozen": None if report.frozen is None else dataclasses.asdict(report.frozen),
    }


def first_choice(report: saturax.Report) -> float | None:
    """Measured speed-up of the program that was predicted to be the best, if it was raced."""
    ratios = [c.ratio for c in report.candidates if c.name == "best predicted"]
    return ratios[0] if ratios else None


def measure(
    case: Case, systems: Mapping[str, System], known: Figures, budget_s: float
) -> dict[str, Any]:
    """Times of all systems, side by side, and how right their outputs are.

    `ratio` is the reference's time over a system's, `over_saturax` the system's over saturax's.
    """
    arguments = case.arguments_of(SEEDS[0])
    judge = Judge.of(case, systems["xla"])
    evidence = {name: judge.evidence(system) for name, system in systems.items()}

    def call_of(system: System) -> Call:
        return lambda: jax.block_until_ready(system(*arguments))

    calls = {name: call_of(system) for name, system in systems.items()}
    reference = reference_of(calls, budget_s)
    share = len(calls) / 2
    pair = (reference, "saturax")
    times = interleave(calls, budget_s * share, pair=pair, limit_s=_PATIENCE * budget_s * share)
    ms = {name: 1e3 * float(np.median(samples)) for name, samples in times.items()}
    entries: Figures = {}
    for name, system in systems.items():
        entries[name] = {"ms": ms[name], **known[name]}
        for key, pair in (("ratio", (reference, name)), ("over_saturax", (name, "saturax"))):
            slow, fast = (times[each] for each in pair)
            ratio, interval = ratio_of_medians(slow, fast)
            entries[name] |= {key: ratio, f"{key}_interval": interval}
        entries[name] |= {"outputs": evidence[name], "problem": problem_of(evidence[name])}
        if system.report is not None:
            entries[name] |= {
                "outcome": system.report.outcome,
                "first_choice": first_choice(system.report),
                "predicted_us": system.report.predicted_optimized_us,
            }
    mine = entries["saturax"]
    return {
        "reference": reference,
        "xla_ms": ms[reference],
        "saturax_ms": ms["saturax"],
        "ratio": mine["ratio"],
        "interval": mine["ratio_interval"],
        "rounds": len(times["xla"]),
        "outputs": mine["outputs"],
        "problem": mine["problem"],
        "systems": entries,
    }


def reference_of(calls: Mapping[str, Call], budget_s: float) -> str:
    """The faster form of the case under plain XLA, by times that are used for nothing else.

    The faster of two by the times that are then compared would partly be the luckier.
    """
    forms = [name for name in REFERENCES if name in calls]
    if len(forms) == 1:
        return forms[0]
    times = interleave({name: calls[name] for name in forms}, budget_s)
    return min(forms, key=lambda name: float(np.median(times[name])))


def try_system(task: Task, system: str) -> dict[str, Any]:
    """Builds and runs one system alone: which of them crashed is then known."""
    (workload,) = workloads(names=[task.workload])
    with workload.context():
        case = task.case(workload)
        built = None if case is None else BUILDERS[system](case, task.saturax_options())
        if case is not None and built is not None:
            compile_and_run(built, case)
    return {}


def rehearse(task: Task) -> dict[str, Any]:
    """What becomes of a task's program on the way to a GPU."""
    (workload,) = workloads(names=[task.workload])
    with workload.context():
        case = task.case(workload)
        if case is None:
            return {"skipped": f"{workload.name} has no mode {task.mode!r}"}
        return lower_for_gpu(case)


def calibrate(database: str | None) -> dict[str, Any]:
    """Measures the device once, unless that was done: the first row should not pay for it.

    Answers with the calibration and the provenance of all that is measured here.
    """
    with contextlib.closing(PriceDatabase(database)) as prices:
        calibration = load_or_calibrate(prices)
    return {"calibration": dataclasses.asdict(calibration), "provenance": provenance()}


def task_of(known: Mapping[str, Any]) -> Task:
    """A task as JSON has it."""
    return Task(**{**known, "systems": tuple(known.get("systems", ()))})


def answer_to(request: str, known: dict[str, Any]) -> dict[str, Any]:
    """The answer to one of the requests that the benchmarks make."""
    if request == "ablate":
        from .ablations import ablate  # which builds on this module

        return ablate(task_of(known["task"]), known["groups"])
    requests: dict[str, Callable[[], dict[str, Any]]] = {
        "calibrate": lambda: calibrate(known["database"]),
        "try": lambda: try_system(task_of(known["task"]), known["system"]),
        "rehearse": lambda: rehearse(task_of(known["task"])),
        "row": lambda: run_task(task_of(known["task"])),
        "optimise workload": lambda: optimiser.optimise_workload(**known),
        "optimise transformer": lambda: optimiser.optimise_transformer(**known),
        "fresh database": lambda: optimiser.fresh_database(**known),
    }
    return requests[request]()


def main(arguments: list[str]) -> None:
    """Do what the first argument describes; write the answer to the file of the second."""
    description, output = arguments
    known = json.loads(description)
    answer = answer_to(known.pop("do"), known)
    Path(output).write_text(json.dumps(answer, default=str))


if __name__ == "__main__":
    main(sys.argv[1:])
