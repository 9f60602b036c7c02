"""Optimised programs on disk: one checked file for each, shared by a user's processes.

A cache that cannot be read or written never stops a program from being optimised: what is damaged
or foreign is ignored with a `CacheWarning`. Files are written whole under another name and then
renamed, so that a process that is killed leaves at most a temporary file. Locks are the operating
system's: they end with the process that holds them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saturax.errors import SaturaxError
from saturax.folders import cache_directory, is_told, obstacle
from saturax.options import Options

FORMAT = b"saturax program 1\n"
_FOLDER, _ENDING = "programs", ".saturax"
# Beside the programs, in folders of their own with a share of the limit: what modules became, with
# their executables, and which modules calls have led to.
_MODULES, _MODULES_SHARE = "modules", 0.5
_CALLS, _CALLS_SHARE = "calls", 0.005
_NAME = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{32}")
_DIGEST_SIZE = 32
_DEFAULT_LIMIT_MB = 2048
_STALE_S = 3600.0  # a temporary file this old belongs to a process that was killed
_POLL_S = 0.05
# Caches of which this process has said already that they have no locks, or take no files.
_warned: set[tuple[Path, str]] = set()


class CacheWarning(UserWarning):
    """The cache of optimised programs, or an entry of it, cannot be used."""


class CacheImportError(SaturaxError):
    """A file to import is not an exported cache."""


class _UnreadableError(Exception):
    """An entry is damaged or foreign."""


@dataclass(frozen=True)
class Entry:
    """What is kept of a program: a JSON document and named bytes."""

    document: dict[str, Any]
    blobs: Mapping[str, bytes] = field(default_factory=dict)

    def to_bytes(self, name: str) -> bytes:
        """The content of the entry's file: format, digest, header, blobs."""
        header = json.dumps(
            {
                "name": name,
                "document": self.document,
                "blobs": [[key, len(blob)] for key, blob in self.blobs.items()],
            }
        ).encode()
        body = b"".join([len(header).to_bytes(8, "little"), header, *self.blobs.values()])
        return FORMAT + _digest(body) + body

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> Entry:
        """Read the content of an entry's file, which must be of the given name.

        Raises:
            _UnreadableError: it is damaged, of another version, or of another name.
        """
        if not content.startswith(FORMAT):
            raise _UnreadableError("it has another format")
        start = len(FORMAT) + _DIGEST_SIZE
        body = memoryview(content)[start:]
        if _digest(body) != content[len(FORMAT) : start]:
            raise _UnreadableError("its checksum is wrong")
        end = 8 + int.from_bytes(body[:8], "little")
        header = json.loads(bytes(body[8:end]))
        if header["name"] != name:
            raise _UnreadableError(f"it belongs to {header['name']}")
        blobs = {}
        for key, length in header["blobs"]:
            blobs[key], end = bytes(body[end : end + length]), end + length
        return cls(header["document"], blobs)


@dataclass(frozen=True)
class CacheInfo:
    """Where a cache is, how many programs it has, their bytes and the limit of these."""

    folder: str
    programs: int
    bytes: int
    limit_bytes: int


class ProgramCache:
    """Entries by name in a folder; a name is two digests, of the program and of the versions.

    Args:
        folder: where the entries are; None means `programs` in `cache_directory()`.
        limit_bytes: entries used longest ago are removed beyond it; None means
            `SATURAX_CACHE_LIMIT_MB` megabytes, by default 2048.

    Safe for several threads and processes. Nothing here raises, whatever the disk holds.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        self.folder = cache_directory() / _FOLDER if folder is None else Path(folder)
        self.limit_bytes = _limit_of_environment() if limit_bytes is None else limit_bytes

    def get(self, name: str) -> Entry | None:
        """The entry of a name; None where there is none that can be read."""
        path = self._path(name)
        try:
            entry = Entry.from_bytes(path.read_bytes(), name)
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            self._warn_once("files", f"no programs in {self.folder} ({error})")
            return None
        except (OSError, ValueError, KeyError, TypeError, _UnreadableError) as error:
            _warn(f"ignoring {path}, which is damaged or not saturax's: {error}")
            return None
        with suppress(OSError):  # it was used just now
            os.utime(path)
        return entry

    def put(self, name: str, entry: Entry) -> bool:
        """Keep an entry, instead of one of the same name; whether that was possible."""
        return self._put_bytes(name, entry.to_bytes(name))

    def names(self, start: str = "") -> list[str]:
        """The names that begin with `start`, last used first."""
        return [path.stem for path, _ in self._files() if path.name.startswith(start)]

    def info(self) -> CacheInfo:
        """Where the cache is and how much it holds."""
        sizes = [status.st_size for _, status in self._files()]
        return CacheInfo(str(self.folder), len(sizes), sum(sizes), self.limit_bytes)

    def modules(self) -> ProgramCache:
        """Beside the programs: what modules became, by their bytes, with a limit of its own."""
        return ProgramCache(self.folder / _MODULES, int(_MODULES_SHARE * self.limit_bytes))

    def calls(self) -> ProgramCache:
        """Beside the programs: which modules calls have led to, by functions and types."""
        return ProgramCache(self.folder / _CALLS, int(_CALLS_SHARE * self.limit_bytes))

    def clear(self) -> int:
        """Remove all entries; return how many there were."""
        for beside in (self.modules(), self.calls()):
            if beside.folder.is_dir():
                beside.clear()
        files = self._files()
        for path, _ in files:
            with suppress(OSError):
                path.unlink()
        return len(files)

    def export_entries(self) -> Iterator[tuple[str, bytes]]:
        """Names and contents of all entries that can be read."""
        for path, _ in self._files():
            try:
                content = path.read_bytes()
                Entry.from_bytes(content, path.stem)
            except (OSError, ValueError, KeyError, TypeError, _UnreadableError):
                continue
            yield path.stem, content

    def import_entry(self, name: str, content: bytes) -> None:
        """Keep an exported entry.

        Raises:
            CacheImportError: it is none.
        """
        try:
            if not _NAME.fullmatch(name):
                raise _UnreadableError("it is no name of an entry")
            Entry.from_bytes(content, name)
        except (ValueError, KeyError, TypeError, _UnreadableError) as error:
            raise CacheImportError(
                f"expected entries that saturax exported, but {name!r} is none: {error}; "
                "export the cache again, with the same version of saturax"
            ) from error
        self._put_bytes(name, content)

    @contextmanager
    def lock(self, name: str, wait_s: float) -> Iterator[bool]:
        """Hold the lock of a name; False where that was impossible within `wait_s`."""
        path = self._path(name).with_suffix(".lock")
        try:
            file = _lock_file(path, wait_s)
        except OSError as error:  # a file system without locks, or not ours: work twice at worst
            self._warn_once(
                "locks",
                f"no locks in {self.folder} ({error}); processes may do the same work twice",
            )
            file = None
        try:
            yield file is not None
        finally:
            if file is not None:
                with suppress(OSError):  # before the lock ends: whoever waits looks again
                    path.unlink()
                os.close(file)

    def _warn_once(self, about: str, text: str) -> None:
        """One warning is enough for a cache that has no locks or files, and the folders in it."""
        is_beside = self.folder.name in (_MODULES, _CALLS)
        folder = self.folder.parent if is_beside else self.folder
        if (file := obstacle(folder)) is not None:
            if not is_told(file):
                text = f"expected the folder of the cache, found a file {file}; nothing is "
                text += "remembered: set SATURAX_CACHE_DIR to a folder that can be written"
                _warn(text, depth=1)
        elif (folder, about) not in _warned:
            _warned.add((folder, about))
            _warn(text, depth=1)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_ENDING}"

    def _put_bytes(self, name: str, content: bytes) -> bool:
        if len(content) > self.limit_bytes:
            return False
        partial = self.folder / f".{name}.{os.getpid()}.{os.urandom(4).hex()}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(self._path(name))
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            self._warn_once(
                "files",
                f"could not keep a program in {self.folder} ({error}); it will be optimised anew",
            )
            return False
        self._evict()
        return True

    def _evict(self) -> None:
        """Remove the entries used longest ago beyond the limit, and what killed processes left."""
        files = self._files()
        total = sum(status.st_size for _, status in files)
        for path, status in reversed(files):
            if total <= self.limit_bytes:
                break
            with suppress(OSError):
                path.unlink()
                total -= status.st_size
        for path in self.folder.glob(".*.partial"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """The entries, last used first."""
        found = []
        with suppress(OSError):
            for path in self.folder.iterdir():
                if path.suffix == _ENDING and _NAME.fullmatch(path.stem):
                    with suppress(OSError):  # another process may remove it meanwhile
                        found.append((path, path.stat()))
        return sorted(found, key=lambda each: (-each[1].st_mtime_ns, each[0]))


def folder_of(options: Options) -> Path | None:
    """The folder of programs that the options name; None for the usual one."""
    return options.cache if isinstance(options.cache, Path) else None


def _digest(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_SIZE).digest()


def _limit_of_environment() -> int:
    text = os.environ.get("SATURAX_CACHE_LIMIT_MB", "")
    try:
        return int(float(text or _DEFAULT_LIMIT_MB) * 1e6)
    except ValueError:
        _warn(f"SATURAX_CACHE_LIMIT_MB: expected a number, got {text!r}; {_DEFAULT_LIMIT_MB} it is")
        return int(_DEFAULT_LIMIT_MB * 1e6)


def _warn(text: str, depth: int = 0) -> None:
    warnings.warn(f"saturax: {text}", CacheWarning, stacklevel=4 + depth)


def _lock_file(path: Path, wait_s: float) -> int | None:
    """The descriptor of a locked file; None when another process held it all the time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if _try_lock(file) and _is_same_file(file, path):
            return file
        os.close(file)
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL_S)


def _is_same_file(file: int, path: Path) -> bool:
    """Whether the locked file is still the one of that name; its last holder removed it if not."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _try_lock(file: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
