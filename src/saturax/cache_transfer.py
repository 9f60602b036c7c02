"""Programs and prices in one file, so that a team optimises once."""

from __future__ import annotations

import os
import zipfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saturax.cache import CacheImportError, ProgramCache
from saturax.cost.database import PriceDatabase

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
                archive.writestr(_PRICES, database.export_json())
            for name, content in cache.export_entries():
                archive.writestr(_PROGRAMS + name, content)
                count += 1
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return {"exported_programs": count}


def import_cache(path: Path, cache: ProgramCache) -> dict[str, int]:
    """Take over the programs and prices of an exported file; return how many.

    Programs are found again only where device, options and rules are those they were made with.

    Raises:
        CacheImportError: it is no such file; what came before the fault is kept.
        OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            with closing(PriceDatabase()) as database:
                prices = database.import_json(archive.read(_PRICES).decode())
            names = [name for name in archive.namelist() if name.startswith(_PROGRAMS)]
            for name in names:
                cache.import_entry(name.removeprefix(_PROGRAMS), archive.read(name))
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise CacheImportError(
            f"expected a file written by `saturax cache export`, but {path} is none: {error}"
        ) from error
    return {"imported_programs": len(names), "imported_prices": prices}


def manage(action: str, file: Path | None = None) -> dict[str, Any]:
    """What `saturax cache` does: info, clear, export to a file or import from one."""
    cache = ProgramCache()
    if action == "export" and file is not None:
        return dict(export_cache(file, cache))
    if action == "import" and file is not None:
        return dict(import_cache(file, cache))
    if action == "clear":
        return {"removed programs": cache.clear()}
    return asdict(cache.info())
