"""Measured prices on disk: (device key, key text) → microseconds, shared by a user's processes.

A cache that cannot be read or written must never stop a program from being optimised: every such
failure is reported once as a `PriceDatabaseWarning`, and the prices then live in memory only.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from saturax.errors import SaturaxError

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 5.0
_KEYS_PER_QUERY = 500  # SQLite's oldest limit on bound variables is 999
_SCHEMA = """
CREATE TABLE IF NOT EXISTS price (
    device TEXT NOT NULL, key TEXT NOT NULL, time_us REAL NOT NULL, spread REAL NOT NULL,
    repetitions INTEGER NOT NULL, measured_at TEXT NOT NULL, PRIMARY KEY (device, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS document (
    device TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (device, name)
) WITHOUT ROWID;
"""


class PriceDatabaseWarning(UserWarning):
    """The price database on disk is unusable, so prices are kept in memory only."""


class PriceImportError(SaturaxError):
    """A file of exported prices does not have the expected form."""


@dataclass(frozen=True)
class Price:
    """A measured time: `time_us` microseconds, `spread` relative to it, from `repetitions` runs.

    `measured_at` is an ISO 8601 date; it is set when the price is stored if left empty.
    """

    time_us: float
    spread: float = 0.0
    repetitions: int = 1
    measured_at: str = ""


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


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without an entry in the password database, as in some containers
        return Path("/nonexistent")


class PriceDatabase:
    """Prices and small named documents by device, on disk and in memory.

    Args:
        path: file of the database; None means `prices.sqlite` in `cache_directory()`.

    Safe for several threads and several processes. No method but `import_json` raises: a database
    that cannot be used warns once and forgets what it learns when the process ends.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = cache_directory() / "prices.sqlite" if path is None else Path(path)
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        # What did not reach the disk: all that is learnt after a failure.
        self._prices: dict[tuple[str, str], Price] = {}
        self._documents: dict[tuple[str, str], str] = {}
        self.in_memory_only = False
        with self._lock:
            self._open()

    def get(self, device: str, key: str) -> Price | None:
        """The price of `key` on `device`, or None when it was never measured."""
        return self.get_many(device, [key]).get(key)

    def get_many(self, device: str, keys: Iterable[str]) -> dict[str, Price]:
        """The prices that are known among `keys`."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Price] = {}
        with self._guarded("read") as connection:
            if connection is not None:
                for start in range(0, len(wanted), _KEYS_PER_QUERY):
                    some = wanted[start : start + _KEYS_PER_QUERY]
                    rows = connection.execute(
                        "SELECT key, time_us, spread, repetitions, measured_at FROM price "
                        f"WHERE device = ? AND key IN ({','.join('?' * len(some))})",
                        (device, *some),
                    )
                    found.update((row[0], Price(*row[1:])) for row in rows)
        with self._lock:
            for key in wanted:
                if (device, key) in self._prices:
                    found[key] = self._prices[device, key]
        return found

    def put_many(self, device: str, prices: Mapping[str, Price]) -> None:
        """Store prices in one transaction; a key that is already there gets the new price."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [
            (device, key, price.time_us, price.spread, price.repetitions, price.measured_at or now)
            for key, price in prices.items()
        ]
        if not self._write("INSERT OR REPLACE INTO price VALUES (?, ?, ?, ?, ?, ?)", rows):
            with self._lock:
                self._prices.update(((row[0], row[1]), Price(*row[2:])) for row in rows)

    def get_document(self, device: str, name: str) -> str | None:
        """Text stored under `name` for `device`, such as its calibration, or None."""
        with self._lock:
            if (device, name) in self._documents:
                return self._documents[device, name]
        with self._guarded("read") as connection:
            if connection is not None:
                row = connection.execute(
                    "SELECT content FROM document WHERE device = ? AND name = ?", (device, name)
                ).fetchone()
                return None if row is None else str(row[0])
        return None

    def put_document(self, device: str, name: str, content: str) -> None:
        """Store text under `name` for `device`, replacing what was there."""
        row = (device, name, content)
        if not self._write("INSERT OR REPLACE INTO document VALUES (?, ?, ?)", [row]):
            with self._lock:
                self._documents[device, name] = content

    def export_json(self) -> str:
        """All prices and documents as JSON text that `import_json` reads back."""
        prices: dict[tuple[str, str], Price] = {}
        documents: dict[tuple[str, str], str] = {}
        with self._guarded("read") as connection:
            if connection is not None:
                for row in connection.execute("SELECT * FROM price"):
                    prices[row[0], row[1]] = Price(*row[2:])
                for device, name, content in connection.execute("SELECT * FROM document"):
                    documents[device, name] = content
        with self._lock:
            prices |= self._prices
            documents |= self._documents
        return json.dumps(
            {
                "format": "saturax prices",
                "version": SCHEMA_VERSION,
                "prices": [
                    {"device": device, "key": key, **asdict(price)}
                    for (device, key), price in sorted(prices.items())
                ],
                "documents": [
                    {"device": device, "name": name, "content": content}
                    for (device, name), content in sorted(documents.items())
                ],
            },
            indent=1,
        )

    def import_json(self, text: str) -> int:
        """Store the prices and documents of an exported text; return how many there were.

        Raises:
            PriceImportError: the text is not such an export; nothing is stored.
        """
        prices, documents = _parse_export(text)
        for device, some in prices.items():
            self.put_many(device, some)
        for device, name, content in documents:
            self.put_document(device, name, content)
        return sum(map(len, prices.values())) + len(documents)

    def close(self) -> None:
        """Close the file; the database then goes on in memory."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                with suppress(sqlite3.Error):
                    self._connection.close()
            self._connection = None

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(self.path)
        except (OSError, sqlite3.Error, _UnusableSchemaError) as error:
            self._go_on_in_memory("open", error)

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> bool:
        """Execute in one transaction; False when the rows did not reach the disk."""
        written = False
        with self._guarded("write") as connection:
            if connection is not None:
                with connection:  # commits, or rolls back on an error
                    connection.executemany(statement, rows)
                written = True
        return written

    @contextmanager
    def _guarded(self, action: str) -> Iterator[sqlite3.Connection | None]:
        with self._lock:
            if self._process != os.getpid():
                # SQLite connections must not be carried across a fork: reopen in the child.
                self._process, self._connection = os.getpid(), None
                if not self.in_memory_only:
                    self._open()
            try:
                yield self._connection
            except (OSError, sqlite3.Error) as error:
                self._go_on_in_memory(action, error)

    def _go_on_in_memory(self, action: str, error: Exception) -> None:
        self.close()
        if self.in_memory_only:
            return
        self.in_memory_only = True
        warnings.warn(
            f"could not {action} the price database {self.path} ({error}); prices measured in this "
            "process will be forgotten when it ends. Set SATURAX_CACHE_DIR to a writable folder, "
            "or delete the file if it is damaged.",
            PriceDatabaseWarning,
            stacklevel=4,
        )


class _UnusableSchemaError(Exception):
    """The file was written by a version of saturax with another schema."""


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise _UnusableSchemaError(
                f"its schema has version {version}, this saturax expects {SCHEMA_VERSION}"
            )
        if version == 0:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        # Losing the last prices in a power cut is harmless; waiting for the disk is not.
        connection.execute("PRAGMA synchronous=OFF")
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _parse_export(
    text: str,
) -> tuple[dict[str, dict[str, Price]], list[tuple[str, str, str]]]:
    try:
        data = json.loads(text)
        if (data["format"], data["version"]) != ("saturax prices", SCHEMA_VERSION):
            raise ValueError(f"format {data['format']!r}, version {data['version']!r}")
        prices: dict[str, dict[str, Price]] = {}
        for entry in data["prices"]:
            price = Price(
                time_us=float(entry["time_us"]),
                spread=float(entry["spread"]),
                repetitions=int(entry["repetitions"]),
                measured_at=str(entry["measured_at"]),
            )
            prices.setdefault(str(entry["device"]), {})[str(entry["key"])] = price
        documents = [
            (str(entry["device"]), str(entry["name"]), str(entry["content"]))
            for entry in data["documents"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise PriceImportError(
            f"expected prices exported by saturax (version {SCHEMA_VERSION}), but the text could "
            f"not be read: {type(error).__name__}: {error}; export them again"
        ) from error
    return prices, documents
