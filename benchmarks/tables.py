"""Fills the tables of the documents from the newest results, so that every figure has its command.

    python -m benchmarks.tables            # README.md: means; docs/measurements.md: every row
    python -m benchmarks.tables --check    # exit code 1 if they are out of date

A section reaches from `<!-- table:NAME -->`, where `NAME` is one of `TABLES`, to `<!-- /table -->`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .summary import mean_of, standing, standing_line

_ROOT = Path(__file__).resolve().parent.parent
_PAGES = (_ROOT / "README.md", _ROOT / "docs" / "measurements.md")
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
    """A document or the results cannot be used; the text says what to do."""


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


def _span(rows: Sequence[dict[str, Any]]) -> str:
    """When the rows of a device were measured, and the origin of the last ones."""
    days = sorted(str(row["date"])[:10] for row in rows)
    revisions = {row["git_revision"][:12] for row in rows if row.get("git_revision")}
    said = f"{len(rows)} rows of {days[0]} to {days[-1]}, made at {len(revisions)} revisions"
    last = origin(row["provenance"] for row in rows)
    return f"{said}.\n{last.replace('Measured', 'The newest were measured', 1)}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned to the left."""
    marks = [":--" if index < left else "--:" for index in range(len(header))]
    lines = (" | ".join(cells) for cells in (header, marks, *rows))
    return "\n".join(f"| {line} |" for line in lines)


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
    """How many rows of each family each system brings to the ideal cost, for each device."""
    return "\n\n".join(_identity_counts(rows) for rows in _identities_by_device(documents))


def identity_rows_table(documents: Sequence[dict[str, Any]]) -> str:
    """What each system makes of each row of the list, for each device."""
    return "\n\n".join(_identity_rows(rows) for rows in _identities_by_device(documents))


def _identities_by_device(documents: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The newest measurement of each row, by device."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for document in documents:
        for row in document["rows"]:
            key = device_of(document["provenance"]), row["name"]
            newest[key] = row | {"provenance": document["provenance"]}
    groups = itertools.groupby(newest.items(), key=lambda item: item[0][0])
    return [[row for _, row in group] for _, group in groups]


def _identity_counts(rows: Sequence[dict[str, Any]]) -> str:
    """One device: origin, and how many rows of each family are solved."""
    known = [row for row in rows if "verdicts" in row]
    systems = _systems(known)
    counts = [
        (
            family,
            f"{len(members)}",
            *(f"{sum(row['verdicts'].get(s) == 'ideal' for row in members)}" for s in systems),
            f"{sum(row['verdicts']['saturax'] == 'no slower' for row in members)}",
        )
        for family, members in _by_family(known)
    ]
    table = markdown(("family", "rows", *systems, "no slower"), counts)
    return f"{origin(row['provenance'] for row in rows)}\n\n{table}"


def _identity_rows(rows: Sequence[dict[str, Any]]) -> str:
    """One device: origin, the listed rows one by one, and what could not be measured."""
    known = [row for row in rows if "verdicts" in row]
    cells = [
        (
            row["name"],
            *(_VERDICTS[row["verdicts"].get(s, "failed")] for s in _systems(known)),
            f"{row['saturax']['ratio']:.2f}×",
        )
        for row in known
        if row["is_listed"]
    ]
    header = ("row", *_systems(known), "speed-up")
    table = markdown(header, cells, left=len(header) - 1)
    text = [origin(row["provenance"] for row in rows), table]
    if failed := [row["name"] for row in rows if "verdicts" not in row]:
        text.append(f"Not measured: {', '.join(failed)}.")
    return "\n\n".join(text)


def _systems(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(system for row in rows for system in row["verdicts"]))


def _by_family(rows: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows by family, and all of them at the end."""
    families = dict.fromkeys(row["family"] for row in rows)
    groups = [(family, [row for row in rows if row["family"] == family]) for family in families]
    return [*groups, ("**all**", list(rows))]


@dataclass(frozen=True)
class Table:
    """What fills a section: results whose files' names begin with `files`, and their text."""

    files: str
    text: Callable[[Sequence[dict[str, Any]]], str]


TABLES = {
    "workloads": Table("workloads", workloads_table),
    "workload_rows": Table("workloads", rows_table),
    "stages": Table("stages", stages_table),
    "identities": Table("identities", identities_table),
    "identity_rows": Table("identities", identity_rows_table),
}
"""The tables by the names of their sections."""


def read_results(folder: Path, files: str) -> list[dict[str, Any]]:
    """The contents of the files whose names begin with `files`, oldest first.

    Raises:
        TableError: there is none.
    """
    paths = sorted(folder.glob(f"{files}*.json"))
    if not paths:
        command = {"workloads": "run"}.get(files, files)
        raise TableError(
            f"expected results in {folder.name}/{files}*.json, found none; "
            f"make them with `python -m benchmarks.{command} --output …`"
        )
    documents = [json.loads(path.read_text()) for path in paths]
    return sorted(documents, key=lambda document: str(document["provenance"]["date"]))


def filled(text: str, folder: Path) -> str:
    """A document's text with its tables made from the results in a folder.

    Raises:
        TableError: it has no marked section, or one without a table of that name or results.
    """
    if not _SECTION.search(text):
        raise TableError(
            "expected marked sections, found none; write "
            "`<!-- table:workloads -->` and `<!-- /table -->`, each on a line of its own"
        )

    def section(match: re.Match[str]) -> str:
        start, name, _, end = match.groups()
        if name not in TABLES:
            raise TableError(f"expected a table of {', '.join(TABLES)}, got {name!r}")
        table = TABLES[name]
        return f"{start}{table.text(read_results(folder, table.files))}\n{end}"

    return _SECTION.sub(section, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the documents; 1 when one is out of date, 2 when one cannot be made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--pages", type=Path, nargs="*", default=_PAGES)
    parser.add_argument("--results", type=Path, default=_ROOT / "benchmarks" / "results")
    parsed = parser.parse_args(arguments)
    try:
        stale = [path for path in parsed.pages if _is_stale(path, parsed.results, parsed.check)]
    except TableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in stale if parsed.check else ():
        print(f"{path.name} is out of date: run `python -m benchmarks.tables`", file=sys.stderr)
    return 1 if stale and parsed.check else 0


def _is_stale(path: Path, results: Path, is_check: bool) -> bool:
    """Whether a document's tables are not those of the results; unless checked, they are then."""
    if not path.exists():
        raise TableError(f"expected {path.name}, but there is no such file")
    text = path.read_text()
    expected = filled(text, results)
    if not is_check:
        path.write_text(expected)
    return expected != text


if __name__ == "__main__":
    sys.exit(main())
