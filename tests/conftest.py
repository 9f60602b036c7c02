"""Tests never touch the user's caches: prices go to folders of the test session, one for each file.

Their databases start with the default calibration: no test spends time on measuring the device, and
none meets prices that another file measured while the machine was busy.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from saturax.cost.database import PriceDatabase
from saturax.cost.device import CALIBRATION_DOCUMENT, default_calibration, identify

_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    # Of runs in the background, shells let SIGINT be ignored: tests of Ctrl-C could not send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_FOLDER] = Path(tempfile.mkdtemp(prefix="saturax-tests-"))
    os.environ["SATURAX_CACHE"] = "0"  # every test optimises for itself
    _start_prices(config)


@pytest.fixture(autouse=True)
def _no_defect_is_hidden(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Errors of ours are logged where they cost the user little; tests fail by them."""
    yield
    defects = [record for record in caplog.get_records("call") if record.exc_info]
    assert not [record for record in defects if record.name == "saturax"]


@pytest.fixture(autouse=True, scope="module")
def _prices_of_this_file(request: pytest.FixtureRequest) -> None:
    _start_prices(request.config)


def _start_prices(config: pytest.Config) -> None:
    folder = tempfile.mkdtemp(dir=config.stash[_FOLDER])
    os.environ["SATURAX_CACHE_DIR"] = folder
    calibration = dataclasses.replace(default_calibration(), defaulted=())
    database = PriceDatabase()
    database.put_document(identify().key, CALIBRATION_DOCUMENT, calibration.to_json())
    database.close()


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)
