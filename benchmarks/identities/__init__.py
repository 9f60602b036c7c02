"""Small programs with a known cheaper form: what users write, beside what it should cost.

Each module here is a family of rows; `python -m benchmarks.identities` measures them. A row counts
as solved when the optimised program needs no more flops, transcendentals and bytes than the ideal.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from .row import Identity

FAMILIES = (
    "products",
    "factored_products",
    "structured",
    "reductions",
    "statistics",
    "softmax",
    "transcendental",
    "special_functions",
    "arithmetic",
    "selection",
    "conditions",
    "integers",
    "layout",
    "indexing",
    "sorting",
    "convolutions",
    "linear_algebra",
    "decompositions",
    "fourier",
    "loops",
    "gradients",
)
"""The modules of this package that hold rows, in the order of the tables."""


def identities(
    names: Sequence[str] | None = None, families: Sequence[str] | None = None
) -> list[Identity]:
    """All rows, or those of some names or families.

    Raises:
        ValueError: a name or family that does not exist.
    """
    rows = [
        row
        for family in FAMILIES
        for row in importlib.import_module(f".{family}", __name__).ROWS
        if families is None or family in families
    ]
    for wanted, known, what in (
        (names, {row.name for row in rows}, "row"),
        (families, set(FAMILIES), "family"),
    ):
        if unknown := sorted(set(wanted or ()) - known):
            raise ValueError(f"expected names of a {what}, got {', '.join(unknown)}")
    return [row for row in rows if names is None or row.name in names]
