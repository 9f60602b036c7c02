"""saturax against plain `jax.jit` on the workloads: one process and one row each, as JSON.

    python -m benchmarks.run --names nasrnn resnet --modes arguments,train --time-limit 30 \\
        --output benchmarks/results/workloads.json

Every row is measured anew after optimising, interleaved, on fresh inputs; a ratio above 1 means
that saturax is faster. The file is written after every row; `--resume` goes on where it ended.
Exit code 1 when a row failed or its outputs are wrong or prove nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from saturax.options import NUMERICS, Options

from .cases import MODES
from .models import Workload, workloads
from .worker import PEERS, Task

HEADER = (
    f"{'workload':22}{'mode':11}{'ops':>6}{'XLA ms':>10}{'saturax':>10}{'ratio':>8}"
    f"{'95 % interval':>16}{'nodes':>8}{'prices':>8}{'seconds':>9}  outcome"
)
_UNFINISHED = ("failed",)


@dataclass
class Document:
    """The results so far: rows by (workload, mode), and what was left out with its reason."""

    path: Path
    provenance: dict[str, Any]
    rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    skipped: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, provenance: dict[str, Any], resume: bool) -> Document:
        """The document of a file; empty unless it is there and `resume`."""
        document = cls(path, provenance)
        if resume and path.exists():
            content = json.loads(path.read_text())
            document.rows = {key_of(row): row for row in content["rows"]}
            lasting = [row for row in content["skipped"] if "no mode" in row["skipped"]]
            document.skipped = {key_of(row): row for row in lasting}
        return document

    def has(self, task: Task) -> bool:
        """Whether a row of this task, with the same options, is there already."""
        if (task.workload, task.mode) in self.skipped:
            return True
        row = self.rows.get((task.workload, task.mode), {"outcome": "failed"})
        is_same = row.get("options") == task.options and row.get("is_reduced") == task.is_reduced
        return is_same and row["outcome"] not in _UNFINISHED

    def row(self, task: Task) -> dict[str, Any]:
        """The row of a task that is there."""
        key = task.workload, task.mode
        return self.skipped[key] if key in self.skipped else self.rows[key]

    def add(self, row: dict[str, Any]) -> None:
        """Enter a row and write the file."""
        row |= {"git_revision": self.provenance["git_revision"]}
        (self.skipped if "skipped" in row else self.rows)[key_of(row)] = row
        self.write()

    def write(self) -> None:
        """Write the file in one step: it is whole whenever the run ends."""
        content = {
            "provenance": self.provenance,
            "rows": list(self.rows.values()),
            "skipped": list(self.skipped.values()),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n")
        partial.replace(self.path)


def key_of(row: dict[str, Any]) -> tuple[str, str]:
    """What identifies a row: workload and mode."""
    return row["workload"], row["mode"]


def run_apart(description: dict[str, Any], limit_s: float) -> dict[str, Any]:
    """What `benchmarks.worker` answers in a process of its own.

    Raises:
        RuntimeError: it crashed, gave no answer or took longer than `limit_s`; the text has the
            end of what it said. Its own child processes end with it.
    """
    # The child finds the modules that this process finds, whatever its working directory.
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "JAX_TRACEBACK_FILTERING": "off",  # so that the last line is the error
    }
    with tempfile.TemporaryDirectory() as folder:
        output, log = Path(folder) / "row.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", "benchmarks.worker", json.dumps(description), str(output)]
        with log.open("w") as stream:
            process = subprocess.Popen(
                command, stdout=stream, stderr=stream, env=environment, start_new_session=True
            )
            with _ending(process):
                try:
                    code = process.wait(limit_s)
                except subprocess.TimeoutExpired:
                    raise RuntimeError(f"it took longer than {limit_s:.0f} s") from None
        if code or not output.exists():
            said = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
            ended = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
            raise RuntimeError(f"the process ended {ended}: {said[-600:]}")
        answer: dict[str, Any] = json.loads(output.read_text())
        return answer


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ends a process that leads a session, and those it started, when the block is left."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def row_of(task: Task, workload: Workload, limit_s: float) -> dict[str, Any]:
    """The row of a task; a crash is a row too, with outcome "failed"."""
    start = time.monotonic()
    row: dict[str, Any] = {
        "workload": task.workload,
        "set": workload.set,
        "mode": task.mode,
        "configuration": workload.configuration,
        "is_reduced": task.is_reduced,
        "options": task.options,
    }
    if workload.missing:
        return row | {"skipped": f"needs {', '.join(workload.missing)}: install the extra `bench`"}
    failed_peers = {}
    for peer in task.peers:
        try:
            run_apart({"do": "try peer", "task": asdict(task), "peer": peer}, limit_s)
        except RuntimeError as error:  # what a peer cannot do is a result, not our row's failure
            failed_peers[peer] = {"reason": str(error)}
    task = replace(task, peers=tuple(peer for peer in task.peers if peer not in failed_peers))
    try:
        row |= run_apart({"do": "row", "task": asdict(task)}, limit_s)
        row["peers"] = row.get("peers", {}) | failed_peers
    except RuntimeError as error:
        row |= {"outcome": "failed", "problem": str(error)}
    return row | {"row_seconds": time.monotonic() - start}


def line_of(row: dict[str, Any]) -> str:
    """The terminal's line for a row."""
    start = f"{row['workload']:22}{row['mode']:11}"
    if "skipped" in row:
        return f"{start}skipped: {row['skipped']}"
    if "ratio" not in row:
        return f"{start}{row['outcome']}: {row['problem']}"
    interval = "{:.3f}–{:.3f}".format(*row["interval"])
    peers = (
        f"{peer} {seen['ratio']:.3f}" if "ratio" in seen else f"{peer} failed"
        for peer, seen in row["peers"].items()
    )
    remarks = [row["outcome"], row["problem"] and f"PROBLEM: {row['problem']}", *peers]
    return (
        f"{start}{row['operations']:6d}{row['xla_ms']:10.3f}{row['saturax_ms']:10.3f}"
        f"{row['ratio']:8.3f}{interval:>16}{row['egraph_nodes']:8d}{row['kernels_measured']:8d}"
        f"{row['saturax_s']:9.1f}  {'; '.join(filter(None, remarks))}"
    )


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """One line on all rows."""
    ratios = [row["ratio"] for row in rows if "ratio" in row]
    if not ratios:
        return "no rows measured"
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return (
        f"{len(ratios)} rows: geometric mean {mean:.3f}, {sum(r > 1.02 for r in ratios)} above "
        f"1.02, {sum(r < 0.98 for r in ratios)} below 0.98, "
        f"{sum(bool(row.get('problem')) for row in rows)} with problems"
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    defaults = Options()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--names", nargs="*", help="names of workloads; default all")
    add("--sets", type=int, nargs="*", help="1, 2, 3; default all")
    add("--modes", default="arguments,train", help=f"of {','.join(MODES)} (default %(default)s)")
    add("--reduced", action="store_true", help="small sizes: a test of the benchmark only")
    add("--peers", nargs="*", default=[], choices=sorted(PEERS), help="time these as well")
    add("--budget", type=float, default=6.0, help="seconds of timing a row (default %(default)s)")
    add("--row-limit", type=float, default=1800.0, help="seconds a row may take in all")
    add("--output", type=Path, required=True, help="the JSON file")
    add("--resume", action="store_true", help="keep the rows of the file that are there already")
    options = parser.add_argument_group("saturax's options")
    options.add_argument("--time-limit", type=float, default=defaults.time_limit_s)
    options.add_argument("--numerics", choices=NUMERICS, default=defaults.numerics)
    options.add_argument("--candidates", type=int, default=defaults.candidates)
    options.add_argument("--node-limit", type=int, default=defaults.node_limit)
    options.add_argument("--seed", type=int, default=defaults.seed)
    options.add_argument("--database", type=Path, help="prices; default the user's cache")
    parsed = parser.parse_args(arguments)
    parsed.modes = parsed.modes.split(",")
    if unknown := set(parsed.modes) - set(MODES):
        parser.error(f"--modes: expected some of {','.join(MODES)}, got {','.join(unknown)}")
    return parsed


def saturax_options(parsed: argparse.Namespace) -> dict[str, Any]:
    """The fields of `saturax.Options` that the command line sets, as JSON."""
    return {
        "time_limit_s": parsed.time_limit,
        "numerics": parsed.numerics,
        "candidates": parsed.candidates,
        "node_limit": parsed.node_limit,
        "seed": parsed.seed,
        "database": str(parsed.database.resolve()) if parsed.database else None,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen rows and return the exit code."""
    parsed = parse(arguments)
    options = saturax_options(parsed)
    calibration = {"do": "calibrate", "database": options["database"]}
    known = run_apart(calibration, parsed.row_limit)
    # This process must not touch an accelerator: JAX would take most of its memory.
    command = shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])
    document = Document.open(
        parsed.output, known["provenance"] | {"command": command}, parsed.resume
    )
    print(f"device calibrated {known['measured_at']}\n{HEADER}", flush=True)
    rows: list[dict[str, Any]] = []
    try:
        for row in chosen_rows(parsed, options, document):
            print(line_of(row), flush=True)
            rows += [] if "skipped" in row else [row]
    except KeyboardInterrupt:
        print("interrupted; `--resume` goes on from here", file=sys.stderr)
        return 130
    document.write()
    print(summary(rows))
    return 1 if any(row.get("problem") for row in rows) else 0


def chosen_rows(
    parsed: argparse.Namespace, options: dict[str, Any], document: Document
) -> Iterator[dict[str, Any]]:
    """The rows of the command line, old or new, as they become known."""
    for workload in workloads(parsed.sets, parsed.names):
        for mode in parsed.modes:
            task = Task(
                workload.name, mode, options, parsed.reduced, parsed.budget, tuple(parsed.peers)
            )
            if document.has(task):
                yield document.row(task)
                continue
            row = row_of(task, workload, parsed.row_limit)
            document.add(row)
            yield row


if __name__ == "__main__":
    sys.exit(main())
