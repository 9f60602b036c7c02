"""Measured prices on disk: (device key, key text) → microseconds, shared by a user's processes.

A cache that cannot be read or written must never stop a program from being optimised: every such
failure is reported once as a `PriceDatabaseWarning`, and the prices then live in memory only.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from saturax.folders import cache_directory, is_told, obstacle

SCHEMA_VERSION = 5
"""2: prices say where they come from, and all are lower quartiles (`saturax.cost.timing`); those of
version 1 were medians in part. 3: kernels are measured several times in a module, where they were
measured one a call. 4: one after the other (`saturax.cost.repeat`), and more often. 5: with the
cores that were at work. Prices of earlier versions are dropped."""
_BUSY_TIMEOUT_S = 5.0
_KEYS_PER_QUERY = 500  # SQLite's oldest limit on bound variables is 999
_SCHEMA = """
CREATE TABLE IF NOT EXISTS price (
    device TEXT NOT NULL, key TEXT NOT NULL, time_us REAL NOT NULL, spread REAL NOT NULL,
    repetitions INTEGER NOT NULL, measured_at TEXT NOT NULL, source TEXT NOT NULL,
    cores REAL NOT NULL,
    PRIMARY KEY (device, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS document (
    device TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (device, name)
) WITHOUT ROWID;
"""
_COLUMNS = "device, key, time_us, spread, repetitions, measured_at, source, cores"
_VALUES = "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_TAKE_LATER = (
    "UPDATE SET time_us = excluded.time_us, spread = excluded.spread, source = excluded.source, "
    "repetitions = excluded.repetitions, measured_at = excluded.measured_at, "
    "cores = excluded.cores "
    "WHERE excluded.measured_at > price.measured_at"
)


class PriceDatabaseWarning(UserWarning):
    """The price database on disk is unusable, so prices are kept in memory only."""


@dataclass(frozen=True)
class Price:
    """A measured time: `time_us` microseconds, `spread` relative to it, from `repetitions` runs.

    `measured_at` is an ISO 8601 date; it is set when the price is stored if left empty. `source`
    says where an imported price comes from; it is empty for one measured here. `cores` were at work
    on average.
    """

    time_us: float
    spread: float = 0.0
    repetitions: int = 1
    measured_at: str = ""
    source: str = ""
    cores: float = 1.0


_Everything = tuple[dict[tuple[str, str], Price], dict[tuple[str, str], str]]
_in_memory: dict[Path, _Everything] = {}


class PriceDatabase:
    """Prices and small named documents by device, on disk and in memory.

    Args:
        path: file of the database; None means `prices.sqlite` in `cache_directory()`.

    Safe for several threads and several processes. No method raises: a database that
    cannot be used warns once and forgets what it learns when the process ends.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = cache_directory() / "prices.sqlite" if path is None else Path(path)
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        # What did not reach the disk, of all databases of this path: all that is learnt after a
        # failure, so that this process calibrates its device once.
        self._prices, self._documents = _in_memory.setdefault(self.path, ({}, {}))
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
                        f"SELECT {_COLUMNS.removeprefix('device, ')} FROM price "
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
        dated = [
            (key, price if price.measured_at else replace(price, measured_at=now))
            for key, price in prices.items()
        ]
        rows = [(device, key, *astuple(price)) for key, price in dated]
        if not self._write(f"INSERT OR REPLACE INTO price ({_COLUMNS}) {_VALUES}", rows):
            with self._lock:
                self._prices.update(((device, key), price) for key, price in dated)

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

    def everything(self) -> _Everything:
        """All prices by (device, key), and all documents by (device, name)."""
        prices: dict[tuple[str, str], Price] = {}
        documents: dict[tuple[str, str], str] = {}
        with self._guarded("read") as connection:
            if connection is not None:
                prices, documents = _everything_of(connection)
        with self._lock:
            return prices | self._prices, documents | self._documents

    def merge(
        self,
        prices: Mapping[tuple[str, str], Price],
        documents: Mapping[tuple[str, str], str],
        *,
        only_new: bool = False,
    ) -> int:
        """Take over prices measured later than those that are here, and documents that are not.

        With `only_new`, prices of keys that are here already are left out. All of it is one
        transaction; return how many rows were written.
        """
        rows = [(*place, *astuple(price)) for place, price in prices.items()]
        later = "NOTHING" if only_new else _TAKE_LATER
        statements = (
            (f"INSERT INTO price ({_COLUMNS}) {_VALUES} ON CONFLICT DO {later}", rows),
            (
                "INSERT OR IGNORE INTO document VALUES (?, ?, ?)",
                [(*place, content) for place, content in documents.items()],
            ),
        )
        with self._guarded("write") as connection:
            if connection is not None:
                before = connection.total_changes
                with connection:
                    for statement, some in statements:
                        connection.executemany(statement, some)
                return connection.total_changes - before
        return 0

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
            if not (self._prices or self._documents):
                prices, documents = _read_only(self.path)
                self._prices.update(prices)
                self._documents.update(documents)

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
        file = obstacle(self.path.parent)
        if file is not None and is_told(file):
            return
        warnings.warn(
            f"could not {action} the price database {self.path} ({error}); prices measured in this "
            "process will be forgotten when it ends. Set SATURAX_CACHE_DIR to a writable folder, "
            "or delete the file if it is damaged.",
            PriceDatabaseWarning,
            stacklevel=4,
        )


class _UnusableSchemaError(Exception):
    """The file was written by a version of saturax with another schema."""


def _everything_of(connection: sqlite3.Connection) -> _Everything:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM price")
    prices = {(row[0], row[1]): Price(*row[2:]) for row in rows}
    rows = connection.execute("SELECT * FROM document")
    return prices, {(device, name): content for device, name, content in rows}


def _read_only(path: Path) -> _Everything:
    """What a file holds that cannot be opened for writing, as in an image; nothing if that fails.

    SQLite reads a file in WAL mode without its shared memory only if nobody changes it.
    """
    try:
        name = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(name, uri=True)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            return _everything_of(connection) if version == SCHEMA_VERSION else ({}, {})
    except (OSError, ValueError, sqlite3.Error):
        return {}, {}


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables of this schema, unless another process just did."""
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if 0 < version < SCHEMA_VERSION:
            connection.execute("DROP TABLE IF EXISTS price")
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise _UnusableSchemaError(
                f"its schema has version {version}, this saturax expects {SCHEMA_VERSION}"
            )
        if version < SCHEMA_VERSION:
            connection.execute("PRAGMA journal_mode=WAL")
            _create(connection)
        # Losing the last prices in a power cut is harmless; waiting for the disk is not.
        connection.execute("PRAGMA synchronous=OFF")
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection
