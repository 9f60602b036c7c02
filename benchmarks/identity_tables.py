"""Tables of `benchmarks.identities`: how many rows of each family are solved, and by whom."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from .markdown_table import markdown
from .results_files import device_of, origin

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
