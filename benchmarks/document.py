"""The file of results: rows by workload, mode and batch, written after every row."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_UNFINISHED = ("failed",)
Key = tuple[str, str, int]


@dataclass
class Document:
    """The results so far, and what was left out with its reason."""

    path: Path
    provenance: dict[str, Any]
    calibration: dict[str, Any] = field(default_factory=dict)
    rows: dict[Key, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[Key, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(
        cls, path: Path, provenance: dict[str, Any], calibration: dict[str, Any], resume: bool
    ) -> Document:
        """The document of a file; empty unless it is there and `resume`."""
        document = cls(path, provenance, calibration)
        if resume and path.exists():
            content = json.loads(path.read_text())
            document.rows = {key_of(row): row for row in content["rows"]}
            lasting = [row for row in content["skipped"] if "no mode" in row["skipped"]]
            document.skipped = {key_of(row): row for row in lasting}
        return document

    def find(self, head: dict[str, Any]) -> dict[str, Any] | None:
        """The row that is there already and was measured in the same way; `head` describes it."""
        key = key_of(head)
        if key in self.skipped:
            return self.skipped[key]
        row = self.rows.get(key)
        if row is None or row["outcome"] in _UNFINISHED:
            return None
        known = ("options", "is_reduced", "wanted")
        return row if all(row.get(name) == head[name] for name in known) else None

    def add(self, row: dict[str, Any]) -> None:
        """Enter a row and write the file."""
        row |= {"git_revision": self.provenance["git_revision"]}
        (self.skipped if "skipped" in row else self.rows)[key_of(row)] = row
        self.write()

    def write(self) -> None:
        """Write the file in one step, one line a row: it is whole whenever the run ends."""
        parts = [
            f'"provenance": {json.dumps(self.provenance)}',
            f'"calibration": {json.dumps(self.calibration)}',
            f'"rows": {_lines(self.rows)}',
            f'"skipped": {_lines(self.skipped)}',
        ]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text("{" + ",\n".join(parts) + "}\n")
        partial.replace(self.path)


def _lines(rows: dict[Key, dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(json.dumps(row) for row in rows.values()) + "\n]"


def key_of(row: dict[str, Any]) -> Key:
    """What identifies a row."""
    return row["workload"], row["mode"], row.get("batch", 0)
