"""What saturax itself takes for every workload, with no prices known (cold) and all of them (warm).

    python -m benchmarks.search_time --output benchmarks/results/search_time.json

Each run is a process of its own. Counted is everything but the seconds in which XLA compiles or
runs programs. The study needed 5 to 60 s for most of its models, and 30 minutes for `maxtext`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from saturax.search.effort import EFFORTS

from .apart import run_apart
from .models import workloads
from .provenance import command_line
from .written import write_results

TARGETS_S = {"cold": 20.0, "warm": 2.0}
_LARGEST = 4_000
"""Programs of more operations have no target."""


def rows_of(name: str, mode: str, parsed: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The cold and the warm run of a workload in a mode."""
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "prices.sqlite")
        run_apart({"do": "fresh database", "path": database}, parsed.row_limit)
        description = {
            "do": "optimise workload",
            "workload": name,
            "mode": mode,
            "is_reduced": parsed.reduced,
            "time_limit_s": parsed.time_limit,
            "effort": parsed.effort,
            "database": database,
        }
        for prices in TARGETS_S:
            row = {"workload": name, "mode": mode, "prices": prices}
            try:
                row |= run_apart(dict(description), parsed.row_limit)
            except RuntimeError as error:
                row |= {"failed": str(error)}
            yield row
            if "own_s" not in row:
                return


def is_missed(row: dict[str, Any]) -> bool:
    """Whether a run failed or took longer than it should."""
    if "own_s" not in row:
        return "failed" in row
    return bool(row["operations"] < _LARGEST and row["own_s"] > TARGETS_S[row["prices"]])


def line_of(row: dict[str, Any]) -> str:
    """The terminal's line for a run."""
    start = f"{row['workload']:22}{row['mode']:11}{row['prices']:6}"
    if "own_s" not in row:
        return start + (row.get("skipped") or f"failed: {row['failed']}")
    slowest = sorted(row["own_s_by_stage"].items(), key=lambda item: -item[1])[:4]
    parts = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in slowest)
    mark = "  MISSED" if is_missed(row) else ""
    return (
        f"{start}{row['operations']:6d}{row['own_s']:9.2f}{row['total_s']:9.2f}"
        f"{row['kernels_measured']:9d}{row['peak_mb']:9.0f}  {parts}{mark}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all rows, print and write them; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--names", nargs="*", help="names of workloads; default all")
    add("--sets", type=int, nargs="*", help="1, 2, 3; default all")
    add("--modes", nargs="*", default=["arguments", "train"])
    add("--time-limit", type=float, default=60.0, help="saturax's (default %(default)s)")
    add("--effort", choices=list(EFFORTS), default="medium")
    add("--row-limit", type=float, default=900.0, help="seconds a run may take in all")
    add("--reduced", action="store_true", help="small sizes: a test of the benchmark only")
    add("--output", type=Path, help="the JSON file")
    parsed = parser.parse_args(arguments)
    known = run_apart({"do": "calibrate", "database": None}, parsed.row_limit)
    provenance = known["provenance"] | {"command": command_line()}  # not the worker's
    head = f"{'workload':22}{'mode':11}{'':6}{'ops':>6}{'own s':>9}{'all s':>9}"
    print(head + f"{'measured':>9}{'MB':>9}")
    rows: list[dict[str, Any]] = []
    for workload in workloads(parsed.sets, parsed.names):
        for mode in parsed.modes:
            for row in rows_of(workload.name, mode, parsed):
                rows.append(row)
                print(line_of(row), flush=True)
                write_results(parsed.output, provenance, rows)
    missed = sum(map(is_missed, rows))
    timed = sum("own_s" in row for row in rows)
    limits = ", ".join(f"{prices} {seconds:g} s" for prices, seconds in TARGETS_S.items())
    print(f"{timed} runs; {missed} missed their target ({limits}; below {_LARGEST} operations)")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
