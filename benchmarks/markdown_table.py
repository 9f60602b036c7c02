"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned to the left."""
    marks = [":--" if index < left else "--:" for index in range(len(header))]
    lines = (" | ".join(cells) for cells in (header, marks, *rows))
    return "\n".join(f"| {line} |" for line in lines)
