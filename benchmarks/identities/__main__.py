"""Identities under XLA, a peer and saturax, side by side: counts, times and a verdict for each.

    python -m benchmarks.identities --output benchmarks/results/identities.json
    python -m benchmarks.identities --families products reductions --peers enzyme

A row is *ideal* under a system when its compiled program needs no more than the ideal's flops,
transcendentals and bytes (10 % aside), no other library calls, and is accurate. It is *no
slower* when the system runs something else that was measured to take no longer than the ideal.
With `--by-prediction` saturax measures nothing, and only counts decide: a quick look.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import FAMILIES, identities
from .row import Identity
from .worker import PEERS

TOLERANCE = 0.10
COUNTS = ("flops", "transcendentals", "bytes")
_SLACK = {"flops": 64.0, "transcendentals": 8.0, "bytes": 1024.0}
"""What a few scalars cost: relative tolerance means nothing beside an ideal of 0 or 1."""

_NOT_SLOWER = 1.02
"""A time up to this multiple of another is not slower: what the timing can tell."""


def is_ideal(cost: Mapping[str, Any], ideal: Mapping[str, Any]) -> bool:
    """Whether a program needs no more than the ideal one: counts and library calls."""
    counts = all(cost[c] <= (1 + TOLERANCE) * ideal[c] + _SLACK[c] for c in COUNTS)
    return counts and not Counter(cost["calls"]) - Counter(ideal["calls"])


def verdict(record: Mapping[str, Any], system: str) -> str:
    """ "ideal", "no slower", "missed", "wrong" or "failed" for a system's form of a row."""
    measured = record.get(system, {})
    if "cost" not in measured:
        return "failed"
    if not measured["is_accurate"]:
        return "wrong"
    if is_ideal(measured["cost"], record["ideal"]["cost"]):
        return "ideal"
    if not record.get("is_predicted") and measured["us"] <= _NOT_SLOWER * record["ideal"]["us"]:
        return "no slower"
    return "missed"


def measure(
    rows: Sequence[Identity], system: str, options: Mapping[str, Any], row_limit_s: float
) -> dict[str, dict[str, Any]]:
    """Records by name, measured in child processes; what crashes or hangs has a `problem`."""
    records: dict[str, dict[str, Any]] = {}
    names = [row.name for row in rows]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryDirectory() as folder:
        output, log = Path(folder) / "records.jsonl", Path(folder) / "log.txt"
        while missing := [name for name in names if name not in records]:
            output.write_text("")
            module = [sys.executable, "-m", "benchmarks.identities.worker", system]
            command = [*module, json.dumps(options), str(output), *missing]
            with log.open("w") as stream:
                process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
                problem = _watch(process, output, row_limit_s, system, len(missing))
            lines = output.read_text().splitlines()
            records |= {r["name"]: r for r in map(json.loads, lines)}
            left = [name for name in missing if name not in records]
            if left:
                said = " | ".join(log.read_text(errors="replace").strip().splitlines()[-2:])
                records[left[0]] = {"name": left[0], "problem": f"{problem}: {said[-400:]}"}
    return records


def _watch(
    process: subprocess.Popen[bytes], output: Path, row_limit_s: float, system: str, count: int
) -> str:
    """Wait for a child; end it when a row takes too long. Why it ended, in words."""
    seen, since = 0, time.monotonic()
    try:
        while process.poll() is None:
            time.sleep(0.2)
            done = output.read_bytes().count(b"\n")
            if done != seen:
                seen, since = done, time.monotonic()
                print(f"\r{system}: {done} of {count} rows", end="", file=sys.stderr)
            if time.monotonic() - since > row_limit_s:
                return f"it took longer than {row_limit_s:.0f} s"
    finally:
        print("\r\033[K", end="", file=sys.stderr)
        process.kill()
        process.wait()
    return f"the process ended with code {process.returncode}"


def records_of(
    rows: Sequence[Identity], peers: Sequence[str], options: Mapping[str, Any], row_limit_s: float
) -> list[dict[str, Any]]:
    """One record a row with all systems' figures and verdicts."""
    found = measure(rows, "saturax", options, row_limit_s)
    others = {
        peer: measure(rows, peer, {"budget_s": options["budget_s"]}, row_limit_s) for peer in peers
    }
    records = []
    for row in rows:
        record = found[row.name] | {
            "family": row.family,
            "is_listed": row.is_listed,
            "numerics": row.numerics,
            "note": row.note,
            "is_predicted": not options.get("measure", True),
        }
        for peer, theirs in others.items():
            record[peer] = theirs[row.name].get(peer, theirs[row.name])
        if "problem" not in record:
            systems = ("xla", *peers, "saturax")
            record["verdicts"] = {system: verdict(record, system) for system in systems}
        records.append(record)
    return records


def line_of(record: Mapping[str, Any], systems: Sequence[str]) -> str:
    """The terminal's line for a row: verdicts, counts relative to the ideal, times."""
    start = f"{record['family']:15}{record['name']:34}"
    if "problem" in record:
        return f"{start}failed: {record['problem']}"
    cells = []
    for system in (*systems, "ideal"):
        measured = record[system]
        if "cost" not in measured:
            cells.append(f"{'failed':>34}")
            continue
        counts = "/".join(_short(measured["cost"][c]) for c in COUNTS)
        cells.append(f"{counts:>21} {measured['us']:8.1f}µs")
    verdicts = ", ".join(f"{s} {record['verdicts'][s]}" for s in systems)
    return f"{start}{' '.join(cells)}  {verdicts}"


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def summary(records: Sequence[Mapping[str, Any]], systems: Sequence[str]) -> str:
    """How many rows each system brings to the ideal, those of the list and all."""
    lines = []
    for name, chosen in (
        ("listed", [r for r in records if r["is_listed"]]),
        ("all", records),
    ):
        counts = {
            system: Counter(r["verdicts"][system] for r in chosen if "verdicts" in r)
            for system in systems
        }
        texts = (
            f"{system} {count['ideal']} ideal"
            + (f" + {count['no slower']} no slower" if system == "saturax" else "")
            for system, count in counts.items()
        )
        lines.append(f"{name}: {len(chosen)} rows: {', '.join(texts)}")
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--names", nargs="*", help="rows; default all")
    add("--families", nargs="*", help=f"of {', '.join(FAMILIES)}; default all")
    add("--listed", action="store_true", help="only the rows that the project began with")
    add("--peers", nargs="*", default=[], choices=sorted(PEERS), help="measure these as well")
    add("--time-limit", type=float, default=15.0, help="saturax's seconds a row")
    add("--budget", type=float, default=1.0, help="seconds of timing a row")
    add("--by-prediction", action="store_true", help="let saturax choose unmeasured; counts only")
    add("--row-limit", type=float, default=180.0, help="seconds a row may take in all")
    add("--database", type=Path, help="prices; default the user's cache")
    add("--output", type=Path, help="a JSON file for the records")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the rows, print the table; exit code 1 when saturax missed or failed one."""
    parsed = parse(arguments)
    try:
        rows = identities(parsed.names, parsed.families)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = [row for row in rows if row.is_listed or not parsed.listed]
    options = {
        "time_limit_s": parsed.time_limit,
        "budget_s": 0.0 if parsed.by_prediction else parsed.budget,
        "measure": not parsed.by_prediction,
        "database": str(parsed.database.resolve()) if parsed.database else None,
    }
    systems = ("xla", *parsed.peers, "saturax")
    records = records_of(rows, parsed.peers, options, parsed.row_limit)
    for record in records:
        print(line_of(record, systems))
    print(summary(records, systems))
    if parsed.output:
        from ..provenance import provenance

        command = shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])
        content = {
            "provenance": provenance() | {"command": command},
            "options": options,
            "rows": records,
        }
        parsed.output.parent.mkdir(parents=True, exist_ok=True)
        parsed.output.write_text(json.dumps(content, indent=1) + "\n")
    good = ("ideal", "no slower")
    return int(any(r.get("verdicts", {}).get("saturax") not in good for r in records))


if __name__ == "__main__":
    sys.exit(main())
