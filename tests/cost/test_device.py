"""A device is identified by all that prices depend on; rates and bandwidths are looked up."""

import dataclasses

import pytest

from saturax.cost.device import Calibration, default_calibration, identify
from saturax.graph.ops.elementwise import TRANSCENDENTAL


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
