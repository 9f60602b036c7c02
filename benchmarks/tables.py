"""Fills the README's tables from the newest results, so that every figure has its command.

    python -m benchmarks.tables            # rewrite the marked sections of README.md
    python -m benchmarks.tables --check    # exit code 1 if they are out of date

A section reaches from `<!-- table:workloads -->` (or `stages`) to `<!-- /table -->`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .summary import mean_of, standing, standing_line

_ROOT = Path(__file__).resolve().parent.parent
_SECTION = re.compile(r"(<!-- table:(\w+) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)
MODE_NAMES = {
    "arguments": "inference",
    "constants": "inference, constant weights",
    "frozen": "inference, frozen weights",
    "train": "training",
}
_OWN_COLUMNS = ("xla", "xla_arguments", "saturax")
_SHOWN_VERSIONS = ("saturax", "jax", "jaxlib", "python")


class TableError(Exception):
    """The README or the results cannot be used; the text says what to do."""


def newest_rows(documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of full-size workloads, the newest of each device, workload, mode and batch.

    Every row gets `provenance` and `calibration`, its document's. Order: device, set, then first
    appearance.
    """
    newest: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    for document in documents:
        for row in document["rows"]:
            if row["is_reduced"]:
                continue
            device = device_of(document["provenance"])
            key = device, row["workload"], row["mode"], row.get("batch", 0)
            date = row.get("date", document["provenance"]["date"])
            if key not in newest or newest[key]["date"] <= date:
                newest[key] = row | {
                    "date": date,
                    "provenance": document["provenance"],
                    "calibration": document.get("calibration", {}),
                }
    return sorted(newest.values(), key=lambda row: (device_of(row["provenance"]), row["set"]))


def device_of(provenance: dict[str, Any]) -> str:
    """The device of a measurement in words."""
    accelerators = [kind for kind in provenance["devices"] if not kind.startswith("cpu")]
    return ", ".join([*accelerators, f"{provenance['cores']} cores of {provenance['cpu']}"])


def origin(provenances: Iterable[dict[str, Any]]) -> str:
    """Sentences that say when, where, with what versions and by what commands."""
    lines = []
    for known in {p["command"]: p for p in provenances}.values():
        versions = known["versions"]
        shown = ", ".join(f"{name} {versions[name]}" for name in _SHOWN_VERSIONS if versions[name])
        revision = f", revision {known['git_revision'][:12]}" if known["git_revision"] else ""
        lines.append(
            f"Measured {known['date'][:10]} on {device_of(known)} with {shown}{revision}, by "
            f"`{known['command']}`."
        )
    return "\n".join(lines)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned to the left."""
    marks = [":--" if index < left else "--:" for index in range(len(header))]
    lines = (" | ".join(cells) for cells in (header, marks, *rows))
    return "\n".join(f"| {line} |" for line in lines)


def workloads_table(documents: Sequence[dict[str, Any]]) -> str:
    """Speed of all workloads: XLA's time over saturax's."""
    rows = newest_rows(documents)
    if not rows:
        raise TableError("expected full-size rows in the results, found reduced ones only")
    groups = itertools.groupby(rows, key=lambda row: device_of(row["provenance"]))
    return "\n\n".join(_device_table(list(group)) for _, group in groups)


def _device_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of one device, with their origin before and their means after them."""
    others = others_of(rows)
    header = ("workload", "program", "XLA, ms", "saturax, ms", "speed-up", "95 % interval", *others)
    table = markdown(
        (*header, "e-nodes", "saturax, s"), (_workload_cells(row, others) for row in rows), left=2
    )
    text = [origin(row["provenance"] for row in rows), table, _overall(rows)]
    measured = [row for row in rows if "ratio" in row]
    text += [_means(measured, others)] if measured else []
    lines = [f"* {standing_line(name, standing(measured, name))}" for name in others]
    return "\n\n".join([*text, "\n".join(lines)] if lines else text)


def others_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The systems besides plain XLA and saturax that any row has."""
    names = dict.fromkeys(name for row in rows for name in row.get("systems", {}))
    return [name for name in names if name not in _OWN_COLUMNS]


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


def stages_table(documents: Sequence[dict[str, Any]]) -> str:
    """Speed of saturax itself, from the newest run."""
    whole = [document for document in documents if not document["is_reduced"]]
    if not whole:
        raise TableError("expected a full-size run in the results, found reduced ones only")
    newest = max(whole, key=lambda document: str(document["provenance"]["date"]))
    cells = [
        (
            figure["name"],
            f"{figure['value']:.3g} {figure['unit']}",
            "–" if figure["target"] is None else f"{figure['target']:g} {figure['unit']}",
        )
        for figure in newest["figures"]
    ]
    table = markdown(("what", "measured", "at most"), cells)
    return f"{origin([newest['provenance']])}\n\n{table}"


_VERDICTS = {
    "ideal": "✓",
    "no slower": "≈",
    "missed": "–",
    "wrong": "**wrong**",
    "failed": "failed",
}


def identities_table(documents: Sequence[dict[str, Any]]) -> str:
    """Rows that each system brings to the ideal cost, the newest of each (device, row)."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for document in documents:
        for row in document["rows"]:
            key = device_of(document["provenance"]), row["name"]
            newest[key] = row | {"provenance": document["provenance"]}
    groups = itertools.groupby(newest.items(), key=lambda item: item[0][0])
    return "\n\n".join(_identities_of([row for _, row in group]) for _, group in groups)


def _identities_of(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of one device: how many are solved, then those of the list one by one."""
    known = [row for row in rows if "verdicts" in row]
    systems = list(dict.fromkeys(system for row in known for system in row["verdicts"]))
    counts = [
        (
            family,
            f"{len(members)}",
            *(f"{sum(row['verdicts'].get(s) == 'ideal' for row in members)}" for s in systems),
            f"{sum(row['verdicts']['saturax'] == 'no slower' for row in members)}",
        )
        for family, members in _by_family(known)
    ]
    header = ("family", "rows", *systems, "no slower")
    listed = [row for row in known if row["is_listed"]]
    cells = [
        (
            row["name"],
            *(_VERDICTS[row["verdicts"].get(s, "failed")] for s in systems),
            f"{row['saturax']['ratio']:.2f}×",
        )
        for row in listed
    ]
    text = [origin(row["provenance"] for row in rows), markdown(header, counts)]
    if listed:
        text.append(markdown(("row", *systems, "speed-up"), cells, left=1 + len(systems)))
    if failed := [row["name"] for row in rows if "verdicts" not in row]:
        text.append(f"Not measured: {', '.join(failed)}.")
    return "\n\n".join(text)


def _by_family(rows: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows by family, and all of them at the end."""
    families = dict.fromkeys(row["family"] for row in rows)
    groups = [(family, [row for row in rows if row["family"] == family]) for family in families]
    return [*groups, ("**all**", list(rows))]


TABLES: dict[str, Callable[[Sequence[dict[str, Any]]], str]] = {
    "workloads": workloads_table,
    "stages": stages_table,
    "identities": identities_table,
}
"""Name of a table (and beginning of its files' names) → its text from the files' contents."""


def read_results(folder: Path, table: str) -> list[dict[str, Any]]:
    """The contents of a table's files, oldest first.

    Raises:
        TableError: there is none.
    """
    paths = sorted(folder.glob(f"{table}*.json"))
    if not paths:
        command = {"workloads": "run"}.get(table, table)
        raise TableError(
            f"expected results in {folder.name}/{table}*.json, found none; "
            f"make them with `python -m benchmarks.{command} --output …`"
        )
    documents = [json.loads(path.read_text()) for path in paths]
    return sorted(documents, key=lambda document: str(document["provenance"]["date"]))


def filled(text: str, folder: Path) -> str:
    """A README's text with its tables made from the results in a folder.

    Raises:
        TableError: it has no marked section, or one without a table of that name or results.
    """
    if not _SECTION.search(text):
        raise TableError(
            "expected marked sections in the README, found none; write "
            "`<!-- table:workloads -->` and `<!-- /table -->`, each on a line of its own"
        )

    def section(match: re.Match[str]) -> str:
        start, name, _, end = match.groups()
        if name not in TABLES:
            raise TableError(f"expected a table of {', '.join(TABLES)}, got {name!r}")
        return f"{start}{TABLES[name](read_results(folder, name))}\n{end}"

    return _SECTION.sub(section, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the README; 1 when it is out of date, 2 when it cannot be made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--readme", type=Path, default=_ROOT / "README.md")
    parser.add_argument("--results", type=Path, default=_ROOT / "benchmarks" / "results")
    parsed = parser.parse_args(arguments)
    try:
        if not parsed.readme.exists():
            raise TableError(f"expected {parsed.readme.name}, but there is no such file")
        text = parsed.readme.read_text()
        expected = filled(text, parsed.results)
    except TableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not parsed.check:
        parsed.readme.write_text(expected)
        return 0
    if expected != text:
        print(
            f"{parsed.readme.name} is out of date: run `python -m benchmarks.tables`",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
