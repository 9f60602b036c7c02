"""Tests never touch the user's caches: prices go to a folder of the test session.

Its database holds the default calibration, so that no test spends time on measuring the device.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from saturax.cost.database import PriceDatabase
from saturax.cost.device import CALIBRATION_DOCUMENT, default_calibration, identify

_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    # Of runs in the background, shells let SIGINT be ignored: tests of Ctrl-C could not send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="saturax-tests-"))
    config.stash[_FOLDER] = folder
    os.environ["SATURAX_CACHE_DIR"] = str(folder)
    os.environ["SATURAX_CACHE"] = "0"  # every test optimises for itself
    calibration = dataclasses.replace(default_calibration(), defaulted=())
    database = PriceDatabase()
    database.put_document(identify().key, CALIBRATION_DOCUMENT, calibration.to_json())
    database.close()


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)
