"""Programs are bound in memory, or chosen for it, and reports say how much they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

import saturax
from saturax.cost.device import default_calibration
from saturax.errors import OptionsError
from saturax.report.html import page
from saturax.report.text import explain

A = jnp.ones((512, 512)) / 512
X = jnp.ones((512, 2))
# Original: two matrices, a vector, their product of 1 MiB, the result; optimised: no such product.
_NEEDED = 4 * (2 * 512 * 512 + 2 * 512 * 2)


def product(a: Any, b: Any, x: Any) -> Any:
    return (a @ b) @ x


@pytest.fixture(autouse=True)
def _no_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the device can do does not matter here, and takes half a minute to measure."""
    monkeypatch.setattr(
        "saturax.search.device_prices.load_or_calibrate",
        lambda *args, **kwargs: default_calibration(),
    )


def optimize(tmp_path: Path, **options: Any) -> saturax.Report:
    chosen = saturax.Options(
        time_limit_s=2.0, cache=False, database=tmp_path / "prices.sqlite", **options
    )
    return saturax.optimize(product, A, A, X, options=chosen).report


@pytest.mark.parametrize("measure", [False, True])
def test_reports_say_how_much_memory_is_needed(tmp_path: Path, measure: bool) -> None:
    report = optimize(tmp_path, measure=measure)
    memory = report.memory
    assert report.outcome == "optimized"
    assert memory is not None
    assert memory.predicted_original is not None
    assert memory.predicted_optimized is not None
    assert memory.predicted_original - memory.predicted_optimized > 2**20 - 2**14
    if measure:
        assert memory.planned_original == pytest.approx(memory.predicted_original, rel=0.15)
        assert memory.planned_optimized == pytest.approx(memory.predicted_optimized, rel=0.15)
    assert "peak memory of the result: " in explain(report)
    assert "peak memory of the result: " in page(report)
    assert saturax.Report.from_json(report.to_json()).memory == memory


def test_a_program_within_the_limit_replaces_an_original_over_it(tmp_path: Path) -> None:
    report = optimize(tmp_path, memory_limit_bytes=_NEEDED + 2**18)
    assert report.outcome == "optimized"
    assert any("more than the limit" in warning for warning in report.warnings)


@pytest.mark.parametrize("measure", [False, True])
def test_nothing_over_the_limit_is_chosen(tmp_path: Path, measure: bool) -> None:
    report = optimize(tmp_path, memory_limit_bytes=2**16, measure=measure)
    assert report.outcome == "original"
    assert any("more than the limit" in warning for warning in report.warnings)
    if measure:
        assert {c.outcome for c in report.candidates} == {"rejected"}
        assert all("more than the limit" in c.reason for c in report.candidates)
    else:
        assert "too much memory" in report.reason


def test_memory_as_the_objective(tmp_path: Path) -> None:
    report = optimize(tmp_path, objective="memory")
    assert report.outcome == "optimized"
    assert report.memory is not None
    (chosen,) = (c for c in report.candidates if c.outcome == "chosen")
    assert chosen.planned_bytes == report.memory.planned_optimized
    assert chosen.planned_bytes == min(c.planned_bytes or 0 for c in report.candidates)


def test_options_are_checked() -> None:
    with pytest.raises(OptionsError, match="memory_limit_bytes: expected an integer of at least 1"):
        saturax.Options(memory_limit_bytes=0)
    with pytest.raises(OptionsError, match="objective: expected one of time, memory"):
        saturax.Options(objective="size")
