"""Where saturax's files are."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_directory() -> Path:
    """Folder of saturax's caches: `SATURAX_CACHE_DIR`, else the platform's cache folder.

    That is `$XDG_CACHE_HOME/saturax` or `~/.cache/saturax`, `~/Library/Caches/saturax` on macOS,
    and `%LOCALAPPDATA%\\saturax\\Cache` on Windows. It need not exist.
    """
    if chosen := os.environ.get("SATURAX_CACHE_DIR"):
        return Path(chosen).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore relative paths.
    if os.path.isabs(xdg):
        return Path(xdg) / "saturax"
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches" / "saturax"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else _home() / "AppData" / "Local") / "saturax" / "Cache"
    return _home() / ".cache" / "saturax"


_told: set[Path] = set()


def obstacle(folder: Path) -> Path | None:
    """The file that stands where a folder or one of its parents should be, if there is one."""
    found = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    return None if found.is_dir() or not found.exists() else found


def is_told(file: Path) -> bool:
    """Whether the user was told of an obstacle before; it counts as told from now on."""
    before = file in _told
    _told.add(file)
    return before


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without an entry in the password database, as in some containers
        return Path("/nonexistent")
