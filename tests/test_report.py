"""Reports as JSON and as text."""

from __future__ import annotations

import json
import math

import pytest

from saturax.report.model import CandidateReport, Report, StageReport
from saturax.report.text import explain, summary


def _report(**changes):
    report = Report(
        "model",
        outcome="optimized",
        operations_before=10,
        operations_after=7,
        original_us=2500.0,
        optimized_us=1250.0,
        speedup=2.0,
        rules={"merge_transposes": 3, "associate_dot_right": 1},
        changes=[("dot_general", 2, 1)],
        stages=[
            StageReport("saturate", 0.5, {"nodes": 12, "share": 0.25}),
            StageReport("calibrate", 0.0, {"call_us": 6.5}),
        ],
        candidates=[
            CandidateReport(
                "best predicted", 1000.0, 7, verified=True, largest_error=1e-7, allowed_error=1e-6,
                original_error=2e-7, time_us=1250.0, ratio=2.0, interval=(1.9, 2.1),
                outcome="chosen",
            ),
            CandidateReport("varied 1", 1100.0, 8, outcome="failed", reason="XLA says no"),
        ],
        warnings=["interrupted"],
    )  # fmt: skip
    for name, value in changes.items():
        setattr(report, name, value)
    return report


def test_json_holds_everything():
    data = json.loads(_report().to_json())
    assert data["speedup"] == 2.0
    assert data["candidates"][0]["interval"] == [1.9, 2.1]
    assert data["stages"][0]["notes"] == {"nodes": 12, "share": 0.25}
    assert data["rules"] == {"merge_transposes": 3, "associate_dot_right": 1}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_json_has_no_numbers_that_json_lacks(value):
    text = _report(speedup=value, options={"time_limit_s": value}).to_json()
    data = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert data["speedup"] is None
    assert data["options"] == {"time_limit_s": None}


def test_json_of_numpy_scalars():
    import numpy as np

    notes = {"float": np.float64(0.5), "wide": np.float32(0.5), "count": np.int64(3)}
    report = _report(stages=[StageReport("price", 0.0, notes)])
    stored = json.loads(report.to_json())["stages"][0]["notes"]
    assert stored == {"float": 0.5, "wide": 0.5, "count": 3}


def test_summary():
    assert summary(_report()) == "model: optimized: 2.50 ms → 1.25 ms, 2.00× faster"
    kept = _report(outcome="original", reason="the time limit is 0")
    assert summary(kept) == "model: original program kept (the time limit is 0)"
    predicted = _report(original_us=None, optimized_us=None, speedup=None)
    assert summary(predicted) == "model: optimized"


@pytest.mark.parametrize(
    ("us", "text"), [(3.21, "3.2 µs"), (999.0, "999.0 µs"), (1500.0, "1.50 ms"), (2.5e6, "2.50 s")]
)
def test_units_fit_the_time(us, text):
    assert f": {text} →" in summary(_report(original_us=us))


def test_explanation_tells_all():
    text = explain(_report())
    for part in (
        "model: optimized",
        "checked: error 1.00e-07 against float64; original 2.00e-07, allowed 1.00e-06",
        "timed: 2.000× (95 % interval 1.900–2.100)",
        "operations: 10 → 7",
        "3 × merge_transposes",
        "failed: XLA says no",
        "2.00× in the last race, chosen",
        "without what any call takes (6.5 µs here)",
        "saturate        0.50 s  nodes 12, share 0.25",
        "warning: interrupted",
    ):
        assert part in text
    assert text.index("merge_transposes") < text.index("associate_dot_right")


def test_explanation_of_an_empty_report():
    assert "original program kept" in explain(Report("model", reason="the time limit is 0"))


def test_seconds_are_the_stages():
    stages = [StageReport("a", 1.0), StageReport("b", 0.5)]
    assert _report(stages=stages).seconds == 1.5
