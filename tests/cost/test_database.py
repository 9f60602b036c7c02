"""The price database keeps what it is told, between processes, and survives every broken disk."""

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from saturax.cost import database
from saturax.cost.database import (
    Price,
    PriceDatabase,
    PriceDatabaseWarning,
    cache_directory,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deeper" / "prices.sqlite"


def usable_in_memory(prices: PriceDatabase) -> bool:
    prices.put_many("cpu", {"dot": Price(2.0)})
    prices.put_document("cpu", "calibration", "{}")
    found = prices.get("cpu", "dot")
    exported, documents = prices.everything()
    return (
        prices.in_memory_only
        and found is not None
        and found.time_us == 2.0
        and prices.get_document("cpu", "calibration") == "{}"
        and len(exported) == len(documents) == 1
    )


def test_prices_outlive_the_object(path: Path) -> None:
    PriceDatabase(path).put_many("cpu", {"dot": Price(1.5, 0.1, 7), "sort": Price(3.0)})
    again = PriceDatabase(path)
    price = again.get("cpu", "dot")
    assert price is not None
    assert (price.time_us, price.spread, price.repetitions) == (1.5, 0.1, 7)
    assert price.measured_at.startswith("20")
    assert again.get("gpu", "dot") is None
    assert set(again.get_many("cpu", ["dot", "sort", "dot", "missing"])) == {"dot", "sort"}
    assert not again.in_memory_only


def test_new_price_replaces_the_old(path: Path) -> None:
    prices = PriceDatabase(path)
    prices.put_many("cpu", {"dot": Price(1.0)})
    prices.put_many("cpu", {"dot": Price(2.0, measured_at="2020-01-01")})
    assert prices.get("cpu", "dot") == Price(2.0, measured_at="2020-01-01")


def test_more_keys_than_sqlite_binds(path: Path) -> None:
    prices = PriceDatabase(path)
    many = {f"key {index}": Price(float(index)) for index in range(2500)}
    prices.put_many("cpu", many)
    assert {key: price.time_us for key, price in prices.get_many("cpu", many).items()} == {
        key: price.time_us for key, price in many.items()
    }


def test_folder_cannot_be_made(tmp_path: Path) -> None:
    obstacle = tmp_path / "file"
    obstacle.write_text("a regular file where a folder should be")
    with pytest.warns(PriceDatabaseWarning, match="SATURAX_CACHE_DIR"):
        prices = PriceDatabase(obstacle / "prices.sqlite")
    assert usable_in_memory(prices)


@pytest.mark.parametrize("content", [b"not a database, but long enough " * 200, b"SQLite format 3"])
def test_corrupt_file(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.warns(PriceDatabaseWarning, match="delete the file if it is damaged"):
        prices = PriceDatabase(path)
    assert usable_in_memory(prices)
    assert path.read_bytes() == content


def test_damage_after_opening_warns_once(path: Path) -> None:
    prices = PriceDatabase(path)
    prices.put_many("cpu", {"other": Price(1.0)})
    prices.close()
    for file in path.parent.iterdir():
        if file != path:
            file.unlink()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 12288)
    reopened = PriceDatabase(path)
    with pytest.warns(PriceDatabaseWarning, match="delete the file if it is damaged"):
        reopened.put_many("cpu", {"dot": Price(1.0)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert usable_in_memory(reopened)


def test_file_of_another_schema(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.warns(PriceDatabaseWarning, match="version 99, this saturax expects 5"):
        prices = PriceDatabase(path)
    assert usable_in_memory(prices)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_prices_of_earlier_schemas_are_measured_again(path: Path, version: int) -> None:
    """They were of calls, or of kernels side by side; calibrations stay."""
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE price (device TEXT, key TEXT, time_us REAL, spread REAL, "
            "repetitions INTEGER, measured_at TEXT, PRIMARY KEY (device, key)) WITHOUT ROWID;"
            "CREATE TABLE document (device TEXT, name TEXT, content TEXT, "
            "PRIMARY KEY (device, name)) WITHOUT ROWID;"
            "INSERT INTO price VALUES ('cpu', 'dot', 1, 0, 1, '2020-01-01');"
            "INSERT INTO document VALUES ('cpu', 'calibration', '{}'); "
            f"PRAGMA user_version={version};"
        )
    connection.close()
    prices = PriceDatabase(path)
    assert not prices.in_memory_only
    assert prices.get("cpu", "dot") is None
    assert prices.get_document("cpu", "calibration") == "{}"
    prices.put_many("cpu", {"dot": Price(2.0)})
    assert PriceDatabase(path).get("cpu", "dot") is not None


def test_locked_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_S", 0.05)
    prices = PriceDatabase(path)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.warns(PriceDatabaseWarning, match="locked"):
        prices.put_many("cpu", {"dot": Price(2.0)})
    blocker.rollback()
    blocker.close()
    assert usable_in_memory(prices)


class FullDisk:
    """A connection whose writes fail as on a full or read-only disk."""

    def __init__(self, connection: sqlite3.Connection, error: Exception) -> None:
        self.connection, self.error = connection, error

    def __enter__(self) -> sqlite3.Connection:
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.connection.rollback()

    def __getattr__(self, name: str) -> object:
        return getattr(self.connection, name)

    def executemany(self, *_: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("attempt to write a readonly database"),
        OSError("No space left on device"),
    ],
    ids=str,
)
def test_write_fails(path: Path, error: Exception) -> None:
    prices = PriceDatabase(path)
    prices._connection = FullDisk(prices._connection, error)  # type: ignore[assignment,arg-type]
    with pytest.warns(PriceDatabaseWarning, match=str(error)):
        prices.put_many("cpu", {"dot": Price(2.0)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert usable_in_memory(prices)


WRITER = """
import sys
from saturax.cost.database import Price, PriceDatabase
prices = PriceDatabase(sys.argv[1])
for index in range(40):
    prices.put_many("cpu", {f"{sys.argv[2]} {index}": Price(float(index)), "shared": Price(1.0)})
assert not prices.in_memory_only
"""


def test_several_processes_write_at_once(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", WRITER, str(path), str(number)])
        for number in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    keys = [f"{number} {index}" for number in range(3) for index in range(40)]
    assert len(PriceDatabase(path).get_many("cpu", keys)) == 120


def test_several_threads(path: Path) -> None:
    prices = PriceDatabase(path)

    def write(number: int) -> None:
        for index in range(20):
            prices.put_many("cpu", {f"{number} {index}": Price(1.0)})
            assert prices.get("cpu", f"{number} {index}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(prices.everything()[0]) == 80


def _child(prices: PriceDatabase) -> None:
    prices.put_many("cpu", {"child": Price(1.0)})


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_use_after_fork(path: Path) -> None:
    prices = PriceDatabase(path)
    child = multiprocessing.get_context("fork").Process(target=_child, args=(prices,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert prices.get("cpu", "child") is not None


def test_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SATURAX_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory() == tmp_path / ".cache" / "saturax"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "saturax"
    monkeypatch.setenv("SATURAX_CACHE_DIR", str(tmp_path / "chosen"))
    assert cache_directory() == tmp_path / "chosen"
    assert PriceDatabase().path == tmp_path / "chosen" / "prices.sqlite"


def test_file_that_cannot_be_written_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = PriceDatabase(path)
    prices.put_many("cpu", {"dot": Price(2.0)})
    prices.put_document("cpu", "calibration", "{}")
    prices.close()
    error = sqlite3.OperationalError("unable to open database file")
    monkeypatch.setattr(database, "_connect", lambda path: (_ for _ in ()).throw(error))
    with pytest.warns(PriceDatabaseWarning, match="unable to open"):
        first = PriceDatabase(path)
    assert first.get("cpu", "dot").time_us == 2.0  # type: ignore[union-attr]
    first.put_many("cpu", {"add": Price(3.0)})
    first.close()
    with pytest.warns(PriceDatabaseWarning, match="unable to open"):
        second = PriceDatabase(path)  # of the next program that is optimised
    assert second.get("cpu", "add").time_us == 3.0  # type: ignore[union-attr]
    assert second.get_document("cpu", "calibration") == "{}"
