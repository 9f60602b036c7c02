"""saturax, XLA and other optimisers side by side on the workloads, as JSON.

    python -m benchmarks.run --output benchmarks/results/workloads.json          # 35 minutes
    python -m benchmarks.run --sets 1 --modes frozen,train --output …            # 15 minutes
    python -m benchmarks.run --short --output …                                  # 10 minutes
    python -m benchmarks.run --full --output …                                   # some hours

One process and one row for each workload and mode; all systems of a row are timed interleaved, on
inputs that saturax has not seen, and their outputs are judged against float64. A ratio above 1
means faster than XLA. The file is written after every row; `--resume` goes on where it ended.
Exit code 1 when a row of saturax failed, is wrong or proves nothing.

Earlier harnesses timed functions of several outputs without waiting for all of them, used inputs
of zeros or weights that saturate every output, and compared absolute errors. Here all outputs are
waited for, weights are random and centred, outputs must vary with the inputs, and errors are
relative to an output's size and compared with those of plain XLA.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from saturax.options import NUMERICS, Options
from saturax.search.effort import EFFORTS

from .apart import run_apart
from .cases import MODES
from .document import Document
from .models import Workload, workloads
from .summary import HEADER, line_of, summary
from .systems import ALWAYS, BUILDERS, SEARCHES
from .worker import Task

SHORT = (
    "nasrnn", "bert_train", "llama_cache", "resnet_train", "kan1", "mobilenet_v2", "squeezenet",
    "lstm_batch1", "nbody", "image_filters", "vmap_attention", "mixture_of_experts",
)  # fmt: skip
"""Workloads of a short run: some of every kind, none slow to compile."""
# Seconds of a row: process, weights, compiling what is timed and the reference; and the shares of
# the time limit that a search takes, and XLA for its candidates (means of earlier runs).
_ROW_S, _SEARCH_SHARE, _COMPILATION_SHARE = 10.0, 0.8, 0.5
# A row that takes longer is ended: other optimisers may hang.
_LEAST_ROW_S, _ROW_LIMIT_SHARE, _TRY_S = 120.0, 10.0, 120.0


def row_of(task: Task, workload: Workload, limit_s: float) -> dict[str, Any]:
    """The row of a task; a crash is a row too, with outcome "failed".

    Where a system brings the process down, it is found and the rest is measured without it.
    """
    start = time.monotonic()
    row = head_of(task, workload)
    if workload.missing:
        return row | {"skipped": f"needs {', '.join(workload.missing)}: install the extra `bench`"}
    crashed: dict[str, dict[str, str]] = {}
    try:
        row |= run_apart({"do": "row", "task": asdict(task)}, limit_s)
    except RuntimeError as error:
        crashed = crashes(task, min(limit_s, _TRY_S))
        others = tuple(name for name in task.systems if name not in crashed)
        row |= {"outcome": "failed", "problem": str(error), "systems": {}}
        if crashed:
            try:
                alone = replace(task, systems=others)
                row |= run_apart({"do": "row", "task": asdict(alone)}, limit_s)
            except RuntimeError as again:
                row["problem"] = str(again)
    if "skipped" not in row:
        row["systems"] |= crashed
    return row | {"row_seconds": time.monotonic() - start}


def crashes(task: Task, limit_s: float) -> dict[str, dict[str, str]]:
    """Those of a task's additional systems that cannot even run alone, with the reason."""
    found = {}
    for name in task.systems:
        try:
            run_apart({"do": "try", "task": asdict(task), "system": name}, limit_s)
        except RuntimeError as error:
            found[name] = {"failed": str(error)}
    return found


def head_of(task: Task, workload: Workload) -> dict[str, Any]:
    """What is known of a row before it is measured."""
    return {
        "workload": task.workload,
        "set": workload.set,
        "mode": task.mode,
        "batch": task.batch,
        "configuration": workload.configuration,
        "is_reduced": task.is_reduced,
        "options": task.options,
        "wanted": sorted(task.systems),
    }


def estimate_s(tasks: Sequence[Task]) -> float:
    """About how long tasks take, from their limits."""
    total = 0.0
    for task in tasks:
        searches = 1 + sum(name in SEARCHES for name in task.systems)
        share = _SEARCH_SHARE + _COMPILATION_SHARE
        systems = 2 + len(task.systems)
        total += _ROW_S + searches * share * task.options["time_limit_s"]
        total += task.budget_s * systems / 2 + 2.0 * len(task.systems)
    return total


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    defaults = Options()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--names", nargs="*", help="names of workloads; default all")
    add("--sets", type=int, nargs="*", help="1, 2, 3; default all")
    add("--modes", help=f"of {','.join(MODES)} (default arguments)")
    optional = [name for name in BUILDERS if name not in ALWAYS]
    add("--systems", nargs="*", choices=optional, help="besides XLA and saturax; default enzyme")
    add("--batch", type=int, default=0, help="so many inputs at once, by vmap; inference only")
    add("--reduced", action="store_true", help="small sizes: a test of the benchmark only")
    add("--short", action="store_true", help="a dozen workloads in under ten minutes")
    add("--full", action="store_true", help="every mode and every system")
    add("--dry-run", action="store_true", help="measure nothing: trace and lower for a GPU")
    add("--budget", type=float, help="seconds of timing XLA and saturax in a row (default 3)")
    add("--row-limit", type=float, help="seconds a row may take in all; default by time limit")
    add("--output", type=Path, help="the JSON file")
    add("--resume", action="store_true", help="keep the rows of the file that are there already")
    options = parser.add_argument_group("saturax's options")
    options.add_argument("--time-limit", type=float, help="seconds of a search (default 12)")
    options.add_argument("--effort", choices=EFFORTS, default=defaults.effort)
    options.add_argument("--numerics", choices=NUMERICS, default=defaults.numerics)
    options.add_argument("--candidates", type=int, default=defaults.candidates)
    options.add_argument("--node-limit", type=int, default=defaults.node_limit)
    options.add_argument("--seed", type=int, default=defaults.seed)
    options.add_argument("--database", type=Path, help="prices; default the user's cache")
    parsed = parser.parse_args(arguments)
    _fill(parsed, optional)
    if unknown := set(parsed.modes) - set(MODES):
        parser.error(f"--modes: expected some of {','.join(MODES)}, got {','.join(unknown)}")
    if parsed.output is None and not parsed.dry_run:
        parser.error("--output: expected the JSON file to write, or --dry-run")
    return parsed


def _fill(parsed: argparse.Namespace, optional: Sequence[str]) -> None:
    """Set what the command line leaves to the kind of run."""

    def default(name: str, value: Any) -> None:
        if getattr(parsed, name) is None:
            setattr(parsed, name, value)

    if parsed.short:
        default("names", SHORT)
    default("modes", "arguments,frozen,train" if parsed.full else "arguments")
    default("systems", optional if parsed.full else ["enzyme"])
    default("time_limit", 8.0 if parsed.short else 60.0 if parsed.full else 12.0)
    default("budget", 2.0 if parsed.short else 6.0 if parsed.full else 3.0)
    searches = 1 + sum(name in SEARCHES for name in parsed.systems)
    default("row_limit", _LEAST_ROW_S + _ROW_LIMIT_SHARE * searches * parsed.time_limit)
    parsed.modes = parsed.modes.split(",")


def saturax_options(parsed: argparse.Namespace) -> dict[str, Any]:
    """The fields of `saturax.Options` that the command line sets, as JSON."""
    return {
        "time_limit_s": parsed.time_limit,
        "effort": parsed.effort,
        "numerics": parsed.numerics,
        "candidates": parsed.candidates,
        "node_limit": parsed.node_limit,
        "seed": parsed.seed,
        "database": str(parsed.database.resolve()) if parsed.database else None,
    }


def tasks_of(parsed: argparse.Namespace) -> list[tuple[Task, Workload]]:
    """The rows of the command line."""
    return [
        (
            Task(
                workload.name,
                mode,
                saturax_options(parsed),
                parsed.reduced,
                parsed.budget,
                tuple(parsed.systems),
                parsed.batch,
            ),
            workload,
        )
        for workload in workloads(parsed.sets, parsed.names)
        for mode in parsed.modes
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen rows and return the exit code."""
    parsed = parse(arguments)
    tasks = tasks_of(parsed)
    print(f"{len(tasks)} rows, about {estimate_s([t for t, _ in tasks]) / 60:.0f} minutes")
    if parsed.dry_run:
        return rehearse([task for task, _ in tasks], parsed.row_limit)
    known = run_apart({"do": "calibrate", "database": None}, parsed.row_limit)
    # This process must not touch an accelerator: JAX would take most of its memory.
    command = shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])
    provenance = known["provenance"] | {"command": command}
    document = Document.open(parsed.output, provenance, known["calibration"], parsed.resume)
    print(f"device calibrated {known['calibration']['measured_at']}\n{HEADER}", flush=True)
    rows: list[dict[str, Any]] = []
    start = time.monotonic()
    try:
        for row in measured_rows(tasks, document, parsed.row_limit):
            print(line_of(row), flush=True)
            rows += [] if "skipped" in row else [row]
    except KeyboardInterrupt:
        print("interrupted; `--resume` goes on from here", file=sys.stderr)
        return 130
    document.write()
    print(f"{summary(rows)}\n{(time.monotonic() - start) / 60:.1f} minutes")
    return 1 if any(row.get("problem") for row in rows) else 0


def rehearse(tasks: Sequence[Task], limit_s: float) -> int:
    """Rehearse the rows for a GPU; the exit code is 1 if one failed."""
    failures = 0
    for task in tasks:
        start = f"{task.workload:22}{task.mode:11}"
        try:
            seen = run_apart({"do": "rehearse", "task": asdict(task)}, limit_s)
        except RuntimeError as error:
            failures += 1
            print(f"{start}failed: {error}", flush=True)
            continue
        text = seen.get("skipped") or "{operations} operations, {seconds:.1f} s".format(**seen)
        print(f"{start}{text}", flush=True)
    print(f"{len(tasks)} rows rehearsed, {failures} failed")
    return 1 if failures else 0


def measured_rows(
    tasks: Sequence[tuple[Task, Workload]], document: Document, limit_s: float
) -> Iterator[dict[str, Any]]:
    """The rows of the tasks, old or new, as they become known."""
    for task, workload in tasks:
        row = document.find(head_of(task, workload))
        if row is None:
            row = row_of(task, workload, limit_s)
            document.add(row)
        yield row


if __name__ == "__main__":
    sys.exit(main())
