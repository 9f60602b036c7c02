"""Draws the newest results: speed-up over XLA of every workload and system, a file for each mode.

    python -m benchmarks.plots            # docs/workloads/speedup_arguments.svg and so on

Needs matplotlib (the extra `bench`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .results_files import MODE_NAMES, device_of, newest_rows, others_of, read_results

_ROOT = Path(__file__).resolve().parent.parent
_COLOURS = ("#2a8f5b", "#d9822b", "#4a6fa5", "#8e5ea2", "#777777", "#b3382c")


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """One line for each row, with a point and an interval for each system; log scale."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "saturax"  # the same data give the same file
    from matplotlib import pyplot

    rows = sorted(rows, key=lambda row: (-row["set"], row["ratio"]))
    names = ["saturax", *others_of(rows)]
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.24 * len(rows)))
    for number, name in enumerate(names):
        colour = _COLOURS[number % len(_COLOURS)]
        for line, row in enumerate(rows):
            seen = entry_of(row, name)
            if seen is None:
                continue
            ratio, (low, high) = seen
            axes.plot([low, high], [line, line], color=colour, linewidth=1.5, alpha=0.6)
            label = name if line == next_line(rows, name) else None
            axes.plot([ratio], [line], "o", color=colour, markersize=4, label=label)
    axes.axvline(1.0, color="#333333", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [row["workload"] for row in rows], fontsize=8)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="x", which="both", linewidth=0.3)
    axes.set_xlabel("XLA's time over the system's (logarithmic; right is faster)")
    axes.set_title(f"{MODE_NAMES[rows[0]['mode']]}, {device_of(rows[0]['provenance'])}", fontsize=9)
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def entry_of(row: dict[str, Any], name: str) -> tuple[float, Sequence[float]] | None:
    """A system's speed-up over XLA and its interval."""
    if name == "saturax":
        return row["ratio"], row["interval"]
    entry = row.get("systems", {}).get(name, {})
    return (entry["ratio"], entry["ratio_interval"]) if "ratio" in entry else None


def next_line(rows: Sequence[dict[str, Any]], name: str) -> int:
    """The first line on which a system appears: it carries the legend's label."""
    return next(line for line, row in enumerate(rows) if entry_of(row, name) is not None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a file for each mode."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=_ROOT / "docs" / "workloads")
    parser.add_argument("--results", type=Path, default=_ROOT / "benchmarks" / "results")
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    parsed = parser.parse_args(arguments)
    rows = [row for row in newest_rows(read_results(parsed.results, "workloads")) if "ratio" in row]
    parsed.folder.mkdir(parents=True, exist_ok=True)
    for mode in dict.fromkeys(row["mode"] for row in rows):
        members = [row for row in rows if row["mode"] == mode]
        for number, device in enumerate(dict.fromkeys(device_of(r["provenance"]) for r in members)):
            chosen = [row for row in members if device_of(row["provenance"]) == device]
            suffix = f"_{number}" if number else ""
            draw(chosen, parsed.folder / f"speedup_{mode}{suffix}.{parsed.format}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
