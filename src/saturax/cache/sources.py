"""The version of the rules: a digest of the sources that decide what is found.

Reading three hundred files takes a process longer than all else that a hit of the cache needs. What
their digest was is therefore noted on disk, beside what the file system tells of each file (size,
times, inode): while none of that changes, the note holds.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from saturax.folders import cache_directory

# Packages whose sources decide what is found, besides the modules beside them.
_PACKAGES = (
    *("rules", "proposals", "facts", "egraph", "graph", "cost", "extract", "stablehlo"),
    *("search", "assembly", "checking", "racing", "freezing"),
)
_NOTE = "sources"
_DIGEST = re.compile(r"[0-9a-f]{32}")
_NOTE_BYTES = 65  # two digests and the space between them


@cache
def rules_version() -> str:
    """A digest of the sources that decide what is found; users' own rules are options."""
    folder = Path(__file__).parents[1]
    files = sorted(_files(folder))
    stamp = _stamp_of(files)
    if (noted := _noted(stamp)) is not None:
        return noted
    digest = _digest_of(folder, files)
    if _stamp_of(files) == stamp:  # nobody wrote meanwhile
        _note(stamp, digest)
    return digest


def _files(folder: Path) -> Iterator[str]:
    """The sources; `os.scandir`, as `Path.rglob` takes five times as long."""
    pending = [str(folder / package) for package in _PACKAGES]
    yield from (each.path for each in os.scandir(folder) if each.name.endswith(".py"))
    while pending:
        for each in os.scandir(pending.pop()):
            if each.name.endswith(".py"):
                yield each.path
            elif each.is_dir() and each.name != "__pycache__":
                pending.append(each.path)


def _stamp_of(files: list[str]) -> str:
    """What changes when a file is written or replaced, even by one as long and as old."""
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        s = os.stat(file)
        digest.update(f"{file}|{s.st_size}|{s.st_mtime_ns}|{s.st_ctime_ns}|{s.st_ino}\n".encode())
    return digest.hexdigest()


def _digest_of(folder: Path, files: list[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for file in map(Path, files):
        digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def _noted(stamp: str) -> str | None:
    """The digest that was noted for sources of this stamp."""
    try:
        text = (cache_directory() / _NOTE).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    known, _, digest = text.partition(" ")
    is_whole = len(text) == _NOTE_BYTES and _DIGEST.fullmatch(digest)
    return digest if known == stamp and is_whole else None


def _note(stamp: str, digest: str) -> None:
    """Note a digest, whole or not at all; without a place for it, sources are read each time."""
    path = cache_directory() / _NOTE
    partial = path.with_name(f".{_NOTE}.{os.getpid()}.partial")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(f"{stamp} {digest}", encoding="ascii")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
