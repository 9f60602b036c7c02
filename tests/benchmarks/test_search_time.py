"""The benchmarks of saturax's own time and of its growth: rows, targets and exit codes."""

from __future__ import annotations

import json

import pytest
from benchmarks import scaling, search_time
from benchmarks.optimiser import cost_of, fresh_database
from tests.running import matrix_chain


def test_the_second_run_has_its_prices(tmp_path):
    function, arguments = matrix_chain(256)
    database = tmp_path / "prices.sqlite"
    fresh_database(str(database))
    cold, warm = (cost_of(function, arguments, 20, "low", database) for _ in range(2))
    assert cold["kernels_measured"] > 0
    assert warm["kernels_measured"] == 0
    for row in (cold, warm):
        assert 0 < row["own_s"] < row["total_s"]
        assert sum(row["own_s_by_stage"].values()) == pytest.approx(row["own_s"])
        assert row["operations"] >= 2


def answers(figures):
    """Takes the place of `run_apart`: answers to its requests."""

    def run_apart(description, limit_s):
        if description["do"] == "calibrate":
            return {"provenance": {}}
        return {} if description["do"] == "fresh database" else dict(next(figures))

    return run_apart


ROW = {
    "operations": 100, "own_s": 1.0, "total_s": 3.0, "cpu_s": 2.0, "peak_mb": 500.0,
    "before_mb": 300.0, "kernels_measured": 7, "own_s_by_stage": {"price": 1.0}, "parts": None,
}  # fmt: skip


@pytest.mark.parametrize(("warm_s", "code"), [(1.9, 0), (2.1, 1)])
def test_a_slow_search_is_told(warm_s, code, monkeypatch, tmp_path, capsys):
    rows = iter([ROW | {"own_s": 19.0}, ROW | {"own_s": warm_s}])
    monkeypatch.setattr(search_time, "run_apart", answers(rows))
    output = tmp_path / "rows.json"
    arguments = ["--names", "kan2", "--modes", "arguments", "--output", str(output)]
    assert search_time.main(arguments) == code
    assert [row["prices"] for row in json.loads(output.read_text())["rows"]] == ["cold", "warm"]
    assert ("MISSED" in capsys.readouterr().out) == bool(code)


@pytest.mark.parametrize(
    ("own_s", "peak_mb", "code"), [(1.4, 900.0, 0), (1.6, 900.0, 1), (1.0, 1100.0, 1)]
)
def test_growth_is_told(own_s, peak_mb, code, monkeypatch, capsys):
    rows = iter([ROW, ROW | {"own_s": own_s, "peak_mb": peak_mb}])
    monkeypatch.setattr(scaling, "run_apart", answers(rows))
    assert scaling.main(["--layers", "12", "96"]) == code
    assert f"growth of own time {own_s:.2f}×" in capsys.readouterr().out
