"""A device is identified by all that prices depend on, measured once, and remembered."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from saturax.cost import device as module
from saturax.cost import probes
from saturax.cost.database import PriceDatabase
from saturax.cost.device import (
    Calibration,
    calibrate,
    calibration_table,
    default_calibration,
    identify,
    load_or_calibrate,
)
from saturax.graph.ops.elementwise import TRANSCENDENTAL
from saturax.graph.types import TensorType
from saturax.jaxlib_compat import compile_module, default_device


@pytest.fixture
def database(tmp_path: Path) -> PriceDatabase:
    return PriceDatabase(tmp_path / "prices.sqlite")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps instead of all of them."""
    steps = ("call_overhead_us", "kernel_overhead_us")
    monkeypatch.setattr(module, "_STEPS", {name: module._STEPS[name] for name in steps})
    monkeypatch.setattr(module, "_MEASURED_FIELDS", steps)


def test_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    identity = identify()
    assert identity.cores >= 1
    assert identity.kind
    assert identity.key == identify().key
    assert "\n" not in identity.key


def test_flags_that_change_the_code_change_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_b=2 --xla_dump_to=/tmp/x --xla_a=1")
    first = identify()
    assert first.flags == ("--xla_a=1", "--xla_b=2")
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1   --xla_b=2")
    assert identify().key == first.key
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
    assert identify().key != first.key


def test_thread_count_follows_nproc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPROC", "7")
    assert identify().threads == 7
    monkeypatch.setenv("NPROC", "")
    assert identify().threads == identify().cores


def test_no_time_gives_defaults(database: PriceDatabase) -> None:
    calibration = load_or_calibrate(database, time_limit_s=0)
    assert calibration.device_key == identify().key
    assert set(calibration.defaulted) == set(default_calibration().defaulted)
    assert "bandwidth_gb_s" in calibration.defaulted
    assert "not completely, measured" in calibration_table(calibration)
    # Nothing was stored: a later call with time measures.
    assert database.get_document(identify().key, module.CALIBRATION_DOCUMENT) is None


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
    database.put_document(identify().key, module.CALIBRATION_DOCUMENT, '{"device_key": 1}')
    assert load_or_calibrate(database).defaulted == ()


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


def test_json_round_trip() -> None:
    calibration = dataclasses.replace(default_calibration(), measured_at="2020-01-01", seconds=1.5)
    assert Calibration.from_json(calibration.to_json()) == calibration


@pytest.mark.parametrize("text", ["", "null", "{}", "[1]"])
def test_json_of_something_else(text: str) -> None:
    with pytest.raises(ValueError, match="expected a calibration"):
        Calibration.from_json(text)


def test_bandwidth_between_and_beyond_the_measured_sizes() -> None:
    calibration = Calibration("key", bandwidth_gb_s=((1024, 100.0), (4096, 50.0)))
    assert calibration.bandwidth_at(1) == calibration.bandwidth_at(1024) == 100
    assert calibration.bandwidth_at(2048) == pytest.approx(75)
    assert calibration.bandwidth_at(4096) == calibration.bandwidth_at(1 << 40) == 50


def test_rates_of_functions_and_types() -> None:
    rates = {
        "f32": {"arithmetic": 100.0, "add": 10.0, "sine": 1.0},
        "f64": {"arithmetic": 50.0, "add": 5.0},
    }
    calibration = Calibration("key", elements_per_us=rates)
    assert calibration.rate("sine", "f32") == 1
    assert calibration.rate("sine", "f64") == pytest.approx(0.5)
    assert calibration.rate("select", "f64") == 50
    assert calibration.rate("add", "i8") == 10


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_functions_of_complex_numbers_take_what_their_parts_take(dtype) -> None:
    rate = Calibration("key").rate
    turned = 1 / rate("sine", dtype) + 1 / rate("cosine", dtype) - 2 / rate("add", dtype)
    exponential = 1 / rate("exponential", f"complex<{dtype}>")
    assert turned < exponential < 2 * turned
    assert 1 / rate("log", f"complex<{dtype}>") > 1 / rate("atan2", dtype)
    assert rate("add", f"complex<{dtype}>") == rate("add", "f32")


def test_functions_that_are_not_calibrated_cost_several_exponentials() -> None:
    calibration = Calibration("key")
    assert calibration.rate("sinh", "f32") < calibration.rate("cosh", "f32")
    assert calibration.rate("cosh", "f32") < calibration.rate("tanh", "f32") / 2
    uncalibrated = {f.removeprefix("chlo.") for f in TRANSCENDENTAL}
    for dtype in ("f32", "f64", "bf16"):
        cheap = calibration.rate("arithmetic", dtype)
        assert all(calibration.rate(f, dtype) < cheap for f in uncalibrated), dtype


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
        results = program([probes.put_on_device(array, default_device()) for array in inputs])
        values = np.asarray(results[0]).astype(np.float64)
        assert np.all(np.isfinite(values)), function
        assert np.all(np.abs(values[values != 0]) > 1e-30), function


def test_integer_chains_never_divide_by_zero() -> None:
    type_ = TensorType((64,), "i32")
    program = compile_module(probes._repeated("divide", type_, 1))
    for passes in range(4):
        inputs = [np.array(passes, np.int32), *probes._chain_inputs(type_)]
        results = program([probes.put_on_device(array, default_device()) for array in inputs])
        assert np.all(np.asarray(results[0]) > 0)


@pytest.mark.long
def test_full_calibration_within_its_limit() -> None:
    calibration = calibrate(time_limit_s=30)
    assert calibration.defaulted == ()
    assert calibration.seconds < 35
    assert calibration.bandwidth_at(1 << 18) > calibration.bandwidth_at(1 << 27)
    assert calibration.rate("power", "f32") < calibration.rate("arithmetic", "f32")
