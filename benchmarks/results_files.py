"""The files of results: read, the newest rows of each, and where they come from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MODE_NAMES = {
    "arguments": "inference",
    "constants": "inference, constant weights",
    "frozen": "inference, frozen weights",
    "train": "training",
}
_SHOWN_VERSIONS = ("saturax", "jax", "jaxlib", "python")
_OWN_COLUMNS = ("xla", "xla_arguments", "saturax")


class TableError(Exception):
    """A document or the results cannot be used; the text says what to do."""


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


def others_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The systems besides plain XLA and saturax that any row has."""
    names = dict.fromkeys(name for row in rows for name in row.get("systems", {}))
    return [name for name in names if name not in _OWN_COLUMNS]


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
