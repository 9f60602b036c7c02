"""Writes docs/workloads: a page for each family of workloads, from the newest results.

    python -m benchmarks.pages            # write the pages and their index
    python -m benchmarks.pages --check    # exit code 1 if they are out of date

A page says how fast a workload is, what was found, and what is left: the time that this device
needs at least for the bytes and flops that XLA counts in the result.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saturax.cost.device import Calibration

from .markdown_table import markdown
from .models import FAMILIES, Workload
from .results_files import MODE_NAMES, TableError, newest_rows, origin, others_of, read_results

_ROOT = Path(__file__).resolve().parent.parent
_MOST_CHANGES, _MOST_RULES = 8, 10
_NOTE = (
    "*Made by `python -m benchmarks.pages` from `benchmarks/results`; do not edit. The least time "
    "is what this device needs for the bytes and flops that XLA counts in the result, at its "
    "calibrated bandwidth and rate of matrix products; XLA counts the body of a loop once, and "
    "what a library does inside a call not at all.*"
)


def pages(documents: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The pages' texts by file name; families without results have none."""
    rows = newest_rows(documents)
    written: dict[str, str] = {}
    index = []
    for family, members in FAMILIES.items():
        names = {workload.name for workload in members}
        own = [row for row in rows if row["workload"] in names]
        if own:
            written[f"{family}.md"] = _page(family, members, own)
            best = max((row.get("ratio", 0.0) for row in own), default=0.0)
            index.append(f"* [{_title(family)}]({family}.md): {len(own)} rows, best {best:.2f}×")
    listed = "\n".join(index)
    written["README.md"] = f"# Workloads\n\n{_NOTE}\n\n{listed}\n"
    return written


def _title(family: str) -> str:
    return family.replace("_", " ")


def _page(family: str, members: Sequence[Workload], rows: Sequence[dict[str, Any]]) -> str:
    title = _title(family)
    parts = [f"# {title[0].upper()}{title[1:]}", _NOTE, origin(row["provenance"] for row in rows)]
    for workload in members:
        own = [row for row in rows if row["workload"] == workload.name]
        if own:
            parts += [f"## {workload.name}", f"Set {workload.set}: {workload.configuration}."]
            parts += [_times(own), *(_found(row) for row in own)]
    return "\n\n".join(parts) + "\n"


def _times(rows: Sequence[dict[str, Any]]) -> str:
    others = others_of(rows)
    header = (
        "program",
        "XLA, ms",
        "saturax, ms",
        "speed-up",
        "95 % interval",
        "least, ms",
        *others,
    )
    cells = []
    for row in rows:
        if "ratio" not in row:
            failed = (row["outcome"], *("–",) * (4 + len(others)))
            cells.append((MODE_NAMES[row["mode"]], *failed))
            continue
        seen = (row.get("systems", {}).get(name, {}).get("ratio") for name in others)
        low, high = row["interval"]
        least = least_ms(row)
        cells.append(
            (
                MODE_NAMES[row["mode"]],
                f"{row['xla_ms']:.3g}",
                f"{row['saturax_ms']:.3g}",
                f"{row['ratio']:.2f}×",
                f"{low:.2f}–{high:.2f}",
                "–" if least is None else f"{max(least.values()):.3g}",
                *("–" if ratio is None else f"{ratio:.2f}×" for ratio in seen),
            )
        )
    return markdown((*header, *others), cells)


def _found(row: dict[str, Any]) -> str:
    """What was found in one mode, and what is left."""
    mode = MODE_NAMES[row["mode"]].capitalize()
    if "ratio" not in row:
        return f"**{mode}.** {row['outcome']}: {row['problem']}"
    if row["outcome"] != "optimized":
        text = f"**{mode}.** The original was kept: {row['reason']}."
    else:
        changes = ", ".join(
            f"{op} {before} → {after}" for op, before, after in row["changes"][:_MOST_CHANGES]
        )
        ranked = sorted(row["rules"].items(), key=lambda item: (-item[1], item[0]))[:_MOST_RULES]
        rules = ", ".join(f"`{name}` {count} ×" for name, count in ranked)
        text = (
            f"**{mode}.** {row['operations']} operations became {row['operations_after']}: "
            f"{changes}. By {rules}."
        )
    return f"{text} {_left(row)}".strip()


def _left(row: dict[str, Any]) -> str:
    """How far the result is from what the device could do."""
    least = least_ms(row)
    if least is None or max(least.values()) <= 0:
        return ""
    bound = max(least, key=least.__getitem__)
    share = row["saturax_ms"] / least[bound]
    return (
        f"What is left: the {bound} alone need {least[bound]:.3g} ms; the result takes {share:.1f} "
        "times that."
    )


def least_ms(row: Mapping[str, Any]) -> dict[str, float] | None:
    """Milliseconds that the bytes and the flops of the result need at least; None if unknown."""
    entry = row.get("systems", {}).get("saturax", {})
    if not row.get("calibration") or entry.get("bytes_accessed") is None:
        return None
    known = {"rejected": ()} | row["calibration"]  # which older results do not name
    calibration = Calibration.from_json(json.dumps(known))
    moved, flops = entry["bytes_accessed"], entry["flops"]
    rate = calibration.dot_gflop_s["f32"]
    bandwidth = calibration.bandwidth_at(moved)
    return {"bytes": moved / bandwidth / 1e6, "flops": flops / rate / 1e6}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pages; 1 when they are out of date, 2 when they cannot be made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--folder", type=Path, default=_ROOT / "docs" / "workloads")
    parser.add_argument("--results", type=Path, default=_ROOT / "benchmarks" / "results")
    parsed = parser.parse_args(arguments)
    try:
        expected = pages(read_results(parsed.results, "workloads"))
    except TableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    there = {path.name: path.read_text() for path in parsed.folder.glob("*.md")}
    if parsed.check:
        if there != expected:
            print("out of date: run `python -m benchmarks.pages`", file=sys.stderr)
        return int(there != expected)
    parsed.folder.mkdir(parents=True, exist_ok=True)
    for name in there.keys() - expected.keys():
        (parsed.folder / name).unlink()
    for name, text in expected.items():
        (parsed.folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
