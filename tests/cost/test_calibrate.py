"""A device is measured once, in as many turns as it takes, and the result is remembered."""

import dataclasses
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from saturax.cost import calibrate as module
from saturax.cost import device, probes
from saturax.cost.calibrate import calibrate, load_or_calibrate
from saturax.cost.database import PriceDatabase
from saturax.cost.device import (
    CALIBRATION_DOCUMENT,
    Calibration,
    calibration_table,
    default_calibration,
    identify,
)
from saturax.cost.plausible import _NOISE, without_impossible
from saturax.graph.types import TensorType
from saturax.jaxlib_compat import compile_module, default_device, put_on_device


@pytest.fixture
def database(tmp_path: Path) -> PriceDatabase:
    return PriceDatabase(tmp_path / "prices.sqlite")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps instead of all of them."""
    steps = ("call_overhead_us", "kernel_overhead_us")
    monkeypatch.setattr(module, "_STEPS", {name: module._STEPS[name] for name in steps})
    monkeypatch.setattr(device, "MEASURED", steps)


def test_no_time_gives_defaults(database: PriceDatabase) -> None:
    calibration = load_or_calibrate(database, time_limit_s=0)
    assert calibration.device_key == identify().key
    assert set(calibration.defaulted) == set(default_calibration().defaulted)
    assert "bandwidth_gb_s" in calibration.defaulted
    assert "not completely, measured" in calibration_table(calibration)
    # Nothing was stored: a later call with time measures.
    assert database.get_document(identify().key, CALIBRATION_DOCUMENT) is None


@pytest.mark.usefixtures("quick")
def test_measured_once_and_remembered(database: PriceDatabase) -> None:
    told: list[str] = []
    first = load_or_calibrate(database, progress=told.append)
    assert told == ["call_overhead_us", "kernel_overhead_us"]
    assert first.defaulted == ()
    assert first.measured_at
    assert first.call_overhead_us > 0
    assert load_or_calibrate(database, progress=told.append) == first
    assert len(told) == 2
    load_or_calibrate(database, refresh=True, progress=told.append)
    assert len(told) == 4


@pytest.mark.usefixtures("quick")
def test_damaged_calibration_is_measured_again(database: PriceDatabase) -> None:
    database.put_document(identify().key, CALIBRATION_DOCUMENT, '{"device_key": 1}')
    assert load_or_calibrate(database).defaulted == ()


@pytest.mark.usefixtures("quick")
def test_what_there_was_no_time_for_is_measured_later(
    database: PriceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = dict(module._STEPS)

    def cut(*_: object) -> float:
        raise module._TimeIsUpError(7.0)

    monkeypatch.setitem(module._STEPS, "kernel_overhead_us", cut)
    first = load_or_calibrate(database)
    assert first.defaulted == ("kernel_overhead_us",)
    monkeypatch.setattr(module, "_STEPS", steps)
    told: list[str] = []
    second = load_or_calibrate(database, progress=told.append)
    assert told == ["kernel_overhead_us"]
    assert second.defaulted == ()
    assert second.call_overhead_us == first.call_overhead_us
    assert second.kernel_overhead_us != 7.0


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_measured_is_not_tried_again(
    database: PriceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module._STEPS, "kernel_overhead_us", lambda *_: compile_module("none"))
    first = load_or_calibrate(database)
    assert first.failed == first.defaulted == ("kernel_overhead_us",)
    told: list[str] = []
    assert load_or_calibrate(database, progress=told.append) == first
    assert not told


def test_failing_probe_keeps_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> float:
        compile_module("not a module")
        return 0.0

    monkeypatch.setattr(module, "_STEPS", {"parallel_gain": fail})
    calibration = calibrate()
    assert "parallel_gain" in calibration.defaulted
    assert calibration.parallel_gain == default_calibration().parallel_gain


def test_time_limit_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> float:
        raise module._TimeIsUpError(7.0)

    monkeypatch.setattr(module, "_STEPS", {"parallel_gain": cut})
    calibration = calibrate()
    assert calibration.parallel_gain == 7.0
    assert "parallel_gain" in calibration.defaulted


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="one core"
)
@pytest.mark.parametrize("slow", [range(7), range(7, 14), range(20, 23)])
def test_parallel_gain_survives_a_slow_spell(slow: range, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two cores that are 1.8 times as fast as one, one is busy for some of the turns."""
    turns = itertools.count()

    def turn(*_: object) -> float:
        is_one = len(os.sched_getaffinity(0)) == 1 or next(turns) in slow
        return 1.8 if is_one else 1.0

    monkeypatch.setattr(probes.Bench, "turn", turn)
    bench = probes.Bench(default_device(), milliseconds=1.0)
    assert probes.parallel_gain(bench, "tanh") == pytest.approx(1.8)


@pytest.mark.parametrize("function", ["arithmetic", "tanh"])
def test_rate_of_a_function(function: str) -> None:
    bench = probes.Bench(default_device(), milliseconds=1.0)
    assert probes.elementwise_rate(bench, function, "f32", pin=True) > 0


@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16"])
def test_chains_stay_in_their_domain(dtype: str) -> None:
    type_ = TensorType((64,), dtype)
    for function in probes.FLOAT_FUNCTIONS:
        program = compile_module(probes._repeated(function, type_, 1))
        inputs = [np.array(3000, np.int32), *probes._chain_inputs(type_)]
        results = program([put_on_device(array, default_device()) for array in inputs])
        values = np.asarray(results[0]).astype(np.float64)
        assert np.all(np.isfinite(values)), function
        assert np.all(np.abs(values[values != 0]) > 1e-30), function


def test_integer_chains_never_divide_by_zero() -> None:
    type_ = TensorType((64,), "i32")
    program = compile_module(probes._repeated("divide", type_, 1))
    for passes in range(4):
        inputs = [np.array(passes, np.int32), *probes._chain_inputs(type_)]
        results = program([put_on_device(array, default_device()) for array in inputs])
        assert np.all(np.asarray(results[0]) > 0)


@pytest.mark.long
def test_full_calibration_within_its_limit() -> None:
    calibration = calibrate(time_limit_s=30)
    assert calibration.defaulted == ()
    assert calibration.seconds < 35
    assert calibration.bandwidth_at(1 << 18) > calibration.bandwidth_at(1 << 27)
    assert calibration.rate("power", "f32") < calibration.rate("arithmetic", "f32")


def test_impossible_figures_are_not_believed() -> None:
    known = default_calibration()
    rates = {dtype: dict(table) for dtype, table in known.elements_per_us.items()}
    rates["f16"]["arithmetic"] = 5 * _NOISE * rates["f32"]["arithmetic"]
    rates["f32"]["tanh"] = 2 * rates["f32"]["arithmetic"]
    bandwidth = ((1 << 20, 100.0), (1 << 24, 400.0))
    wrong = dataclasses.replace(known, elements_per_us=rates, bandwidth_gb_s=bandwidth)
    mended = without_impossible(wrong)
    assert mended.elements_per_us["f16"]["arithmetic"] == 4 * rates["f32"]["arithmetic"]
    assert mended.elements_per_us["f32"]["tanh"] == rates["f32"]["arithmetic"]
    assert mended.bandwidth_gb_s == ((1 << 20, 100.0), (1 << 24, 200.0))
    assert [note.partition(":")[0] for note in mended.rejected] == [
        "arithmetic of f16",
        "tanh of f32",
        "bandwidth of 16777216 bytes",
    ]
    assert "arithmetic of f16" in calibration_table(mended)
    assert Calibration.from_json(mended.to_json()).rejected == mended.rejected
    assert without_impossible(known).rejected == ()


def test_wide_numbers_are_not_split_over_cores() -> None:
    """A loop over more than 256 KiB of results is, by XLA:CPU, and then shares the one core."""
    bench = probes.Bench(default_device())
    assert bench.type_of("f64").bytes == bench.type_of("f32").bytes < 1 << 18
    assert bench.type_of("f16").size == bench.type_of("f32").size
