"""Prices go from one database to another with their origin, and only to the device they are of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from saturax.cost.database import Price, PriceDatabase
from saturax.cost.price_exchange import PriceImportError, export_prices, import_prices

EARLY, LATE = "2020-01-01", "2021-01-01"


@pytest.fixture
def database(tmp_path: Path) -> PriceDatabase:
    return PriceDatabase(tmp_path / "prices.sqlite")


@pytest.fixture
def exported(tmp_path: Path) -> str:
    other = PriceDatabase(tmp_path / "other.sqlite")
    other.put_many(
        "cpu", {"dot": Price(2.0, measured_at=LATE), "sort": Price(3.0, 0.5, 7, LATE, cores=1.5)}
    )
    other.put_many("gpu", {"dot": Price(1.0, measured_at=LATE)})
    other.put_document("cpu", "calibration", "theirs")
    other.put_document("gpu", "calibration", "theirs")
    return export_prices(other, {"jaxlib": "1"})


def test_prices_of_this_device_are_taken_with_their_origin(
    database: PriceDatabase, exported: str
) -> None:
    done = import_prices(database, exported, "cpu", source="team.zip")
    assert (done.taken, done.known, done.refused) == (3, 0, {"gpu": 2})
    assert database.get("cpu", "sort") == Price(3.0, 0.5, 7, LATE, "team.zip", 1.5)
    assert database.get("gpu", "dot") is None
    assert database.get_document("cpu", "calibration") == "theirs"
    again = import_prices(database, exported, "cpu", source="again.zip")
    assert (again.taken, again.known) == (0, 3)


def test_the_later_price_stays(database: PriceDatabase, exported: str) -> None:
    database.put_many("cpu", {"dot": Price(9.0, measured_at="2022-01-01")})
    database.put_many("cpu", {"sort": Price(9.0, measured_at=EARLY)})
    database.put_document("cpu", "calibration", "ours")
    import_prices(database, exported, "cpu")
    found = database.get_many("cpu", ["dot", "sort"])
    assert {key: price.time_us for key, price in found.items()} == {"dot": 9.0, "sort": 3.0}
    assert database.get_document("cpu", "calibration") == "ours"


def test_prices_of_other_devices_are_kept_or_adopted(
    database: PriceDatabase, exported: str
) -> None:
    database.put_many("tpu", {"sort": Price(9.0, measured_at=EARLY)})
    assert import_prices(database, exported, "tpu", foreign="keep").refused == {}
    assert database.get("gpu", "dot") is not None
    assert database.get("tpu", "dot") is None
    import_prices(database, exported, "tpu", foreign="adopt", source="team.zip")
    adopted = database.get("tpu", "dot")
    assert adopted is not None
    assert adopted.source.startswith("team.zip, measured on ")
    assert database.get("tpu", "sort") == Price(9.0, measured_at=EARLY)
    assert database.get_document("tpu", "calibration") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "saturax prices", "version": 99}'])
def test_import_of_something_else(database: PriceDatabase, text: str) -> None:
    with pytest.raises(PriceImportError, match="expected prices exported by saturax"):
        import_prices(database, text, "cpu")


def test_export_says_where_it_comes_from(exported: str) -> None:
    data = json.loads(exported)
    assert data["versions"] == {"jaxlib": "1"}
    assert data["exported_at"].startswith("20")


_MERGER = """
import sys
from pathlib import Path
from saturax.cost.database import PriceDatabase
from saturax.cost.price_exchange import import_prices
database = PriceDatabase(sys.argv[1])
for _ in range(20):
    import_prices(database, Path(sys.argv[2]).read_text(), "cpu", source=sys.argv[3])
assert not database.in_memory_only
"""


def test_several_processes_import_at_once(
    database: PriceDatabase, exported: str, tmp_path: Path
) -> None:
    file = tmp_path / "export.json"
    file.write_text(exported)
    command = [sys.executable, "-W", "error", "-c", _MERGER, str(database.path), str(file)]
    processes = [subprocess.Popen([*command, str(number)]) for number in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(database.everything()[0]) == 2
