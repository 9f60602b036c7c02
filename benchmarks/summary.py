"""What rows of `benchmarks.run` say together: lines for the terminal, means, and who is ahead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

HEADER = (
    f"{'workload':22}{'mode':11}{'ops':>6}{'XLA ms':>10}{'saturax':>10}{'ratio':>8}"
    f"{'95 % interval':>16}{'nodes':>8}{'seconds':>9}  outcome"
)
# Ratios that differ by less are ties; the interval must exclude 1 as well.
TIE = 0.02

_HIDDEN = ("xla", "xla_arguments", "saturax")


def line_of(row: dict[str, Any]) -> str:
    """The terminal's line for a row; other systems show their speed-up over XLA."""
    start = f"{row['workload']:22}{row['mode']:11}"
    if "skipped" in row:
        return f"{start}skipped: {row['skipped']}"
    if "ratio" not in row:
        return f"{start}{row['outcome']}: {row['problem']}"
    interval = "{:.3f}–{:.3f}".format(*row["interval"])
    others = (
        f"{name} {seen['ratio']:.3f}" if "ratio" in seen else f"{name} failed"
        for name, seen in row["systems"].items()
        if name not in _HIDDEN
    )
    remarks = [row["outcome"], row["problem"] and f"PROBLEM: {row['problem']}", *others]
    return (
        f"{start}{row['operations']:6d}{row['xla_ms']:10.3f}{row['saturax_ms']:10.3f}"
        f"{row['ratio']:8.3f}{interval:>16}{row['egraph_nodes']:8d}{row['saturax_s']:9.1f}  "
        f"{'; '.join(filter(None, remarks))}"
    )


def mean_of(ratios: Iterable[float]) -> float:
    """The geometric mean; NaN of none."""
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan


def standing(rows: Sequence[dict[str, Any]], system: str) -> dict[str, Any]:
    """How saturax compares with another system: rows it is ahead of it and behind it, the mean.

    Counted where the ratio is more than `TIE` from 1 and its 95 % interval excludes 1.
    """
    seen = [
        (row["workload"], row["mode"], *_over_saturax(row["systems"][system]))
        for row in rows
        if "ms" in row.get("systems", {}).get(system, {})
    ]
    ahead = [s for s in seen if s[2] > 1 + TIE and s[3][0] > 1]
    behind = [s for s in seen if s[2] < 1 - TIE and s[3][1] < 1]
    return {
        "rows": len(seen),
        "mean": mean_of(s[2] for s in seen),
        "ahead": len(ahead),
        "behind": [f"{name} ({mode}) {ratio:.2f}" for name, mode, ratio, _ in behind],
    }


def _over_saturax(entry: dict[str, Any]) -> tuple[float, Sequence[float]]:
    return entry["over_saturax"], entry["over_saturax_interval"]


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """A few lines on all rows: means by set and mode, and saturax against each other system."""
    measured = [row for row in rows if "ratio" in row]
    if not measured:
        return "no rows measured"
    lines = [_group_line("all", rows)]
    groups = sorted({(row["set"], row["mode"]) for row in measured})
    if len(groups) > 1:
        for number, mode in groups:
            members = [row for row in rows if (row["set"], row["mode"]) == (number, mode)]
            lines.append(_group_line(f"set {number}, {mode}", members))
    others = dict.fromkeys(name for row in measured for name in row["systems"])
    for name in (name for name in others if name not in _HIDDEN):
        lines.append(standing_line(name, standing(measured, name)))
    return "\n".join(lines)


def standing_line(name: str, found: dict[str, Any]) -> str:
    """`standing` in words."""
    share = found["ahead"] / found["rows"] if found["rows"] else 0.0
    behind = ", ".join(found["behind"]) or "none"
    return (
        f"against {name}: {found['rows']} rows, geometric mean {found['mean']:.3f}, ahead on "
        f"{found['ahead']} ({share:.0%}), behind on {behind}"
    )


def _group_line(name: str, rows: Sequence[dict[str, Any]]) -> str:
    ratios = [row["ratio"] for row in rows if "ratio" in row]
    return (
        f"{name}: {len(ratios)} rows: geometric mean {mean_of(ratios):.3f}, best "
        f"{max(ratios, default=math.nan):.2f}, {sum(r > 1.02 for r in ratios)} above 1.02, "
        f"{sum(r < 0.98 for r in ratios)} below 0.98, "
        f"{sum(bool(row.get('problem')) for row in rows)} with problems"
    )
