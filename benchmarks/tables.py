"""Fills the tables of the documents from the newest results, so that every figure has its command.

    python -m benchmarks.tables            # README.md: means; docs/measurements.md: every row
    python -m benchmarks.tables --check    # exit code 1 if they are out of date

A section reaches from `<!-- table:NAME -->`, where `NAME` is one of `TABLES`, to `<!-- /table -->`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .identity_tables import identities_table, identity_rows_table
from .markdown_table import markdown
from .results_files import TableError, origin, read_results
from .workload_tables import rows_table, workloads_table

_ROOT = Path(__file__).resolve().parent.parent
_PAGES = (_ROOT / "README.md", _ROOT / "docs" / "measurements.md")
_SECTION = re.compile(r"(<!-- table:(\w+) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)


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
