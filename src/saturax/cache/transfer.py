"""Programs and prices in one file, so that a team optimises once."""

from __future__ import annotations

import os
import zipfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saturax.cache.store import CacheImportError, ProgramCache
from saturax.cost.database import PriceDatabase
from saturax.cost.device import identify
from saturax.cost.price_exchange import export_prices, import_prices
from saturax.versions import versions

_PRICES, _PROGRAMS = "prices.json", "programs/"


def export_cache(path: Path, cache: ProgramCache) -> dict[str, int]:
    """Write all programs and prices to a file; return how many programs there were.

    Raises:
        OSError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    count = 0
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with closing(PriceDatabase()) as database:
                archive.writestr(_PRICES, export_prices(database, versions()))
            for name, content in cache.export_entries():
                archive.writestr(_PROGRAMS + name, content)
                count += 1
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return {"exported_programs": count}


def import_cache(path: Path, cache: ProgramCache, foreign: str = "refuse") -> dict[str, Any]:
    """Take over the programs and prices of an exported file; return how many.

    Programs are found again only where device, options and rules are those they were made with.
    `foreign` says what becomes of prices of other devices (`price_exchange.FOREIGN`).

    Raises:
        CacheImportError: it is no such file; what came before the fault is kept.
        OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            with closing(PriceDatabase()) as database:
                prices = import_prices(
                    database,
                    archive.read(_PRICES).decode(),
                    identify().key,
                    foreign=foreign,
                    source=path.name,
                )
            names = [name for name in archive.namelist() if name.startswith(_PROGRAMS)]
            for name in names:
                cache.import_entry(name.removeprefix(_PROGRAMS), archive.read(name))
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise CacheImportError(
            f"expected a file written by `saturax cache export`, but {path} is none: {error}"
        ) from error
    return {
        "imported_programs": len(names),
        "imported_prices": prices.taken,
        "known_prices": prices.known,
        "refused_prices": dict(prices.refused),
    }


def price_counts() -> dict[str, dict[str, int]]:
    """How many prices there are by device, and how many of them were imported."""
    with closing(PriceDatabase()) as database:
        prices, _ = database.everything()
    counts: dict[str, dict[str, int]] = {}
    for (device, _), price in prices.items():
        row = counts.setdefault(device, {"measured": 0, "imported": 0})
        row["imported" if price.source else "measured"] += 1
    return counts


def manage(action: str, file: Path | None = None, foreign: str = "refuse") -> dict[str, Any]:
    """What `saturax cache` does: info, clear, export to a file or import from one."""
    cache = ProgramCache()
    if action == "export" and file is not None:
        return dict(export_cache(file, cache))
    if action == "import" and file is not None:
        return import_cache(file, cache, foreign)
    if action == "clear":
        return {"removed programs": cache.clear()}
    return asdict(cache.info()) | {"prices": price_counts()}
