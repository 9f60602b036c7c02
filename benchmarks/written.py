"""Result files: provenance and rows as JSON, whole whenever the run ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_results(
    path: Path | None, provenance: dict[str, Any], rows: Sequence[dict[str, Any]]
) -> None:
    """Write the rows so far in one step; nothing without a path."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"provenance": provenance, "rows": list(rows)}, indent=1) + "\n")
    partial.replace(path)
