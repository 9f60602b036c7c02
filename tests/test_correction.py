"""Prices of disturbed seconds do not stay: they are measured twice, or when a race contradicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from running import matrix_chain

import saturax
from saturax.cost.database import Price, PriceDatabase
from saturax.cost.device import (
    CALIBRATION_DOCUMENT,
    Calibration,
    default_calibration,
    identify,
)
from saturax.cost.kernel import Kernel
from saturax.cost.measure import Measurement
from saturax.cost.model import PriceModel
from saturax.graph.build import GraphBuilder
from saturax.graph.ops import DotDimensions, Precision
from saturax.graph.types import TensorType
from saturax.racing import correction
from saturax.search import pricing as module
from saturax.search.pricing import Pricing

MATRIX, VECTOR = TensorType((512, 512), "f32"), TensorType((512,), "f32")
ATTRIBUTES = (DotDimensions((), (), (1,), (0,)), Precision((), ""), "f32")
PRODUCT = Kernel("dot_general", ATTRIBUTES, (MATRIX, VECTOR), VECTOR)


@pytest.fixture
def pricing(tmp_path: Path) -> Pricing:
    run: Any = SimpleNamespace(tell=lambda *_: None, count_running=lambda _: None)
    database = PriceDatabase(tmp_path / "prices.sqlite")
    return Pricing(run, identify(), database, PriceModel(Calibration("cpu | a test")))


def _measuring(monkeypatch: pytest.MonkeyPatch, *times_us: float, spread: float = 0.0) -> list[int]:
    """Measurements that give these times one after the other; the list tells how many are left."""
    left = list(times_us)

    def measure(modules: Any, **_: Any) -> list[Measurement]:
        return [Measurement(left.pop(0), spread, 10, 0.1) for _ in modules]

    monkeypatch.setattr(module, "measure_modules", measure)
    return left  # type: ignore[return-value]


def test_a_program_alone_is_known_and_takes_new_prices(pricing: Pricing) -> None:
    builder = GraphBuilder((MATRIX, VECTOR))
    product = builder.make("dot_general", ATTRIBUTES, tuple(builder.parameters))
    graph = builder.finish([product])
    assert pricing.predict_us(graph) != pytest.approx(57.0, rel=0.01)
    represented = pricing.alone(graph).represented
    for kernel in pricing.alone(graph).kernels.values():
        pricing.model.learn(kernel, 57.0)
    assert pricing.predict_us(graph) == pytest.approx(57.0, rel=0.01)
    assert pricing.alone(graph).represented is represented


def test_what_cannot_be_told_from_the_call_is_not_free(
    pricing: Pricing, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted_us = pricing.model.predict_us(PRODUCT)
    _measuring(monkeypatch, 0.0)
    assert [price.time_us for price in pricing._times([PRODUCT], 1.0).values()] == [predicted_us]


@pytest.mark.parametrize(
    ("stored_us", "seen_us", "kept_us"),
    [
        (57.0, (24.0, 25.0), 25.0),  # the price was wrong
        (24.0, (60.0, 24.5), 24.0),  # the second measurement was
        (24.0, (26.0,), 24.0),  # nothing was
    ],
)
def test_of_three_measurements_the_middle_is_kept(
    pricing: Pricing,
    monkeypatch: pytest.MonkeyPatch,
    stored_us: float,
    seen_us: tuple[float, ...],
    kept_us: float,
) -> None:
    pricing.database.put_many(pricing.device.key, {PRODUCT.key: Price(stored_us)})
    assert pricing.recall([PRODUCT]) == 1
    left = _measuring(monkeypatch, *seen_us)
    assert pricing.measure_again([PRODUCT], 1.0) == (kept_us != stored_us)
    assert not left
    assert pricing.model.measured[PRODUCT.key] == kept_us
    price = pricing.database.get(pricing.device.key, PRODUCT.key)
    assert price is not None
    assert price.time_us == kept_us


@pytest.mark.parametrize(
    ("times_us", "spread"), [((500.0, 12.0), 0.0), ((13.0, 12.0), 0.5), ((12.0,), 0.1)]
)
def test_doubtful_times_are_measured_at_two_moments(
    pricing: Pricing, monkeypatch: pytest.MonkeyPatch, times_us: tuple[float, ...], spread: float
) -> None:
    left = _measuring(monkeypatch, *times_us, spread=spread)
    assert pricing._measure([PRODUCT], 1.0) == 1
    assert not left
    assert pricing.model.measured[PRODUCT.key] == 12.0


def test_a_price_that_a_race_contradicts_is_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, arguments = matrix_chain(512)
    path = tmp_path / "prices.sqlite"
    database, device = PriceDatabase(path), identify().key
    known = replace(default_calibration(), defaulted=())
    database.put_document(device, CALIBRATION_DOCUMENT, known.to_json())
    options = saturax.Options(database=path, time_limit_s=20.0, cache=False)
    saturax.optimize(function, *arguments, options=options)
    wrong = {
        key: replace(price, time_us=3 * price.time_us)
        for (_, key), price in database.everything()[0].items()
        if key.startswith("dot_general") and "->512xf32" in key
    }
    assert wrong
    database.put_many(device, wrong)
    # On a busy machine, how far a race is from the prediction says little: here all contradict.
    monkeypatch.setattr(correction, "_CONTRADICTION", 1.0)
    true = {key: Price(price.time_us / 3) for key, price in wrong.items()}

    def times(self: Pricing, kernels: Any, time_limit_s: float) -> dict[str, Price]:
        return {each.key: true.get(each.key, Price(1000.0)) for each in kernels}

    monkeypatch.setattr(Pricing, "_times", times)
    report = saturax.optimize(function, *arguments, options=options).report
    (stage,) = [stage for stage in report.stages if stage.name == "select"]
    assert stage.notes["corrected prices"] > 0
    found = database.get_many(device, list(wrong))
    assert any(found[key].time_us < 0.7 * wrong[key].time_us for key in wrong)


def test_races_that_agree_with_the_prices_ask_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    selection = {0: 0}
    entry = SimpleNamespace(
        selection=selection, candidate=SimpleNamespace(report=SimpleNamespace(ratio=2.0))
    )
    measured: Any = SimpleNamespace(entries=[entry], formulation=None)
    monkeypatch.setattr(correction, "_kernels_us", lambda *_: {"cheap": 40.0})
    monkeypatch.setattr(correction, "_total_us", lambda *_: 40.0)
    ours = {"dear": 80.0}
    assert correction._suspects(measured, ours, 90.0, 5.0) == []
    entry.candidate.report.ratio = 0.9
    assert correction._suspects(measured, ours, 90.0, 5.0) == ["dear", "cheap"]
