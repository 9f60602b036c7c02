"""How saturax's time and memory grow with the depth of a transformer.

    python -m benchmarks.scaling --output benchmarks/results/scaling.json

Each depth is a process of its own, with a database of prices of its own. A deep transformer has no
more to optimise than a shallow one: its layers are equal. Exit code 1 when time grows by more than
1.5× from the first depth to the last, or memory exceeds 1 GB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saturax.search.effort import EFFORTS

from .apart import run_apart
from .written import write_results

GROWTH, MEMORY_MB = 1.5, 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Optimise all depths, print and write what they took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--layers", type=int, nargs="*", default=[12, 24, 48, 96])
    add("--time-limit", type=float, default=60.0, help="saturax's (default %(default)s)")
    add("--effort", choices=list(EFFORTS), default="medium")
    add("--row-limit", type=float, default=900.0, help="seconds a depth may take in all")
    add("--output", type=Path, help="the JSON file")
    parsed = parser.parse_args(arguments)
    known = run_apart({"do": "calibrate", "database": None}, parsed.row_limit)
    rows: list[dict[str, Any]] = []
    print(f"{'layers':>6}{'ops':>7}{'own s':>8}{'CPU s':>8}{'all s':>8}{'MB':>7}{'MB before':>11}")
    for layers in parsed.layers:
        with tempfile.TemporaryDirectory() as folder:
            database = str(Path(folder) / "prices.sqlite")
            run_apart({"do": "fresh database", "path": database}, parsed.row_limit)
            description = {
                "do": "optimise transformer",
                "layers": layers,
                "time_limit_s": parsed.time_limit,
                "effort": parsed.effort,
                "database": database,
            }
            row = {"layers": layers} | run_apart(description, parsed.row_limit)
        rows.append(row)
        print(
            f"{layers:6d}{row['operations']:7d}{row['own_s']:8.2f}{row['cpu_s']:8.1f}"
            f"{row['total_s']:8.1f}{row['peak_mb']:7.0f}{row['before_mb']:11.0f}",
            flush=True,
        )
        write_results(parsed.output, known["provenance"], rows)
    growth = {key: rows[-1][key] / rows[0][key] for key in ("own_s", "total_s")}
    memory_mb = max(row["peak_mb"] for row in rows)
    print(
        f"growth of own time {growth['own_s']:.2f}×, of all time {growth['total_s']:.2f}× "
        f"(at most {GROWTH}×); memory {memory_mb:.0f} MB (at most {MEMORY_MB})"
    )
    return 1 if max(growth.values()) > GROWTH or memory_mb > MEMORY_MB else 0


if __name__ == "__main__":
    sys.exit(main())
