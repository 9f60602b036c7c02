"""Tables of `benchmarks.run`: the means of each device, and every row."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from .markdown_table import markdown
from .results_files import MODE_NAMES, TableError, device_of, newest_rows, origin, others_of
from .summary import mean_of, standing, standing_line


def workloads_table(documents: Sequence[dict[str, Any]]) -> str:
    """Speed of all workloads, XLA's time over saturax's: the means of each device."""
    return "\n\n".join(_device_means(rows) for rows in _by_device(documents))


def rows_table(documents: Sequence[dict[str, Any]]) -> str:
    """Every workload of every device, under a heading of its own, by set and name."""
    return "\n\n".join(_device_rows(rows) for rows in _by_device(documents))


def _by_device(documents: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The newest rows of each device; the device with most rows comes first."""
    rows = newest_rows(documents)
    if not rows:
        raise TableError("expected full-size rows in the results, found reduced ones only")
    groups = itertools.groupby(rows, key=lambda row: device_of(row["provenance"]))
    return sorted((list(group) for _, group in groups), key=len, reverse=True)


def _device_means(rows: Sequence[dict[str, Any]]) -> str:
    """One device: origin, means by set and mode, and who is ahead."""
    others = others_of(rows)
    text = [_span(rows)]
    measured = [row for row in rows if "ratio" in row]
    text += [_means(measured, others)] if measured else []
    lines = [_overall(rows), *(standing_line(name, standing(measured, name)) for name in others)]
    return "\n\n".join([*text, "\n".join(f"* {line}" for line in lines)])


def _device_rows(rows: Sequence[dict[str, Any]]) -> str:
    """One device: origin and a line for each row."""
    others = others_of(rows)
    header = ("workload", "program", "XLA, ms", "saturax, ms", "speed-up", "95 % interval", *others)
    ordered = sorted(rows, key=lambda row: (row["set"], row["workload"], row["mode"]))
    table = markdown(
        ("set", *header, "e-nodes", "saturax, s"),
        ((f"{row['set']}", *_workload_cells(row, others)) for row in ordered),
        left=3,
    )
    device = device_of(rows[0]["provenance"])
    return f"### {device}\n\n{_span(rows)}\n\n{table}"


def _workload_cells(row: dict[str, Any], others: Sequence[str]) -> tuple[str, ...]:
    batch = f", batch {row['batch']}" if row.get("batch") else ""
    start = (row["workload"], MODE_NAMES[row["mode"]] + batch)
    if "ratio" not in row:
        return (*start, *("–",) * 2, row["outcome"], *("–",) * (3 + len(others)))
    low, high = row["interval"]
    is_kept = row["outcome"] != "optimized"
    speed_up = f"{row['ratio']:.2f}×" + (" (original kept)" if is_kept else "")
    if row["problem"]:
        speed_up += f" (**{row['problem']}**)"
    return (
        *start,
        f"{row['xla_ms']:.3g}" if row["xla_ms"] < 100 else f"{row['xla_ms']:.0f}",
        f"{row['saturax_ms']:.3g}" if row["saturax_ms"] < 100 else f"{row['saturax_ms']:.0f}",
        speed_up,
        f"{low:.2f}–{high:.2f}",
        *(_other_cell(row.get("systems", {}).get(name)) for name in others),
        f"{row['egraph_nodes']}",
        f"{row['saturax_s']:.0f}",
    )


def _other_cell(entry: dict[str, Any] | None) -> str:
    """Another system's speed-up over XLA."""
    if entry is None:
        return ""
    if "ratio" not in entry:
        return "failed"
    return f"{entry['ratio']:.2f}×" + (" (inaccurate)" if entry["problem"] else "")


def _means(rows: Sequence[dict[str, Any]], others: Sequence[str]) -> str:
    """Geometric means by set and mode, over the rows that a system was measured in."""
    cells = []
    for number, mode in sorted({(row["set"], row["mode"]) for row in rows}):
        members = [row for row in rows if (row["set"], row["mode"]) == (number, mode)]
        ratios = [row["ratio"] for row in members]
        theirs = [
            [row["systems"][name]["ratio"] for row in members if _has(row, name)] for name in others
        ]
        cells.append(
            (
                f"{number}",
                MODE_NAMES[mode],
                f"{len(members)}",
                f"{mean_of(ratios):.2f}×",
                f"{min(ratios):.2f}× – {max(ratios):.2f}×",
                *(f"{mean_of(each):.2f}×" if each else "–" for each in theirs),
            )
        )
    return markdown(("set", "program", "rows", "saturax", "least – best", *others), cells, left=2)


def _has(row: dict[str, Any], name: str) -> bool:
    return "ratio" in row.get("systems", {}).get(name, {})


def _overall(rows: Sequence[dict[str, Any]]) -> str:
    """Counts and the mean of all rows that were measured."""
    ratios = [row["ratio"] for row in rows if "ratio" in row]
    if not ratios:
        return "No row was measured."
    kept = sum(row["outcome"] == "original" for row in rows)
    text = (
        f"Geometric mean of {len(ratios)} programs: {mean_of(ratios):.2f}×; "
        f"{sum(ratio > 1.02 for ratio in ratios)} faster than 1.02×, "
        f"{sum(ratio < 0.98 for ratio in ratios)} slower than 0.98×, "
        f"{len(rows) - len(ratios)} failed."
    )
    if kept:
        text += (
            f" In {kept} the original was kept: their speed-up is that of a program over itself, "
            "and shows how well this measures."
        )
    return text


def _span(rows: Sequence[dict[str, Any]]) -> str:
    """When the rows of a device were measured, and the origin of the last ones."""
    days = sorted(str(row["date"])[:10] for row in rows)
    revisions = {row["git_revision"][:12] for row in rows if row.get("git_revision")}
    when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    where = "one revision" if len(revisions) == 1 else f"{len(revisions)} revisions"
    said = f"{len(rows)} rows of {when}, made at {where}"
    last = origin(row["provenance"] for row in rows)
    return f"{said}.\n{last.replace('Measured', 'The newest were measured', 1)}"
