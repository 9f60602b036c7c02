"""The benchmark's rows, its interleaved timing, and the README's tables made from its files."""

from __future__ import annotations

import json
import time

import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import tables
from benchmarks.cases import case_of
from benchmarks.models import workloads
from benchmarks.run import Document, line_of, row_of, summary
from benchmarks.timing import LEAST_ROUNDS, interleave, ratio_of_medians
from benchmarks.worker import Task, coarsest_rounding, problem_of, relative_difference, run_task

OPTIONS = {"time_limit_s": 1.0, "database": None}


def task(**changes):
    known = {"workload": "nasrnn", "mode": "arguments", "options": OPTIONS, "is_reduced": True}
    return Task(**(known | {"budget_s": 0.1} | changes))


def test_row_has_times_evidence_and_stages():
    row = run_task(task())
    assert row["outcome"] in ("optimized", "original")
    assert row["problem"] == ""
    assert row["rounds"] >= LEAST_ROUNDS
    assert row["interval"][0] <= row["ratio"] <= row["interval"][1]
    assert row["outputs"]["variation"] > 0.1
    assert 0 <= row["outputs"]["difference"] < row["outputs"]["allowed"]
    assert {"calibrate", "saturate", "price", "select"} <= set(row["stages"])
    assert row["compile_s"] > 0
    assert row["compile_s"] == pytest.approx(sum(s["compile_s"] for s in row["stages"].values()))
    assert row["operations"] > 100
    assert row["egraph_nodes"] > row["operations"]
    json.dumps(row)


def test_original_is_measured_against_itself():
    options = OPTIONS | {"time_limit_s": 0.0}
    row = run_task(task(options=options))
    assert row["outcome"] == "original"
    assert "time limit" in row["reason"]
    assert row["outputs"]["difference"] == 0
    assert 0.2 < row["ratio"] < 5


def test_crash_costs_one_row_and_resume_keeps_the_others(tmp_path):
    (workload,) = workloads(names=["nasrnn"])
    broken = task(options={"no such option": 1})
    row = row_of(broken, workload, 60)
    assert row["outcome"] == "failed"
    assert "no such option" in row["problem"]
    path = tmp_path / "rows.json"
    document = Document(path, PROVENANCE)
    document.add(row)
    document.add(row | {"mode": "train", "outcome": "original", "problem": ""})
    again = Document.open(path, PROVENANCE, resume=True)
    assert again.rows["nasrnn", "train"]["git_revision"] == PROVENANCE["git_revision"]
    assert not again.has(broken)
    assert again.has(task(options={"no such option": 1}, mode="train"))
    assert not again.has(task(mode="train"))
    assert Document.open(path, PROVENANCE, resume=False).rows == {}
    assert "failed" in line_of(row)


def test_row_over_its_limit_is_ended():
    (workload,) = workloads(names=["nasrnn"])
    start = time.monotonic()
    assert "longer than" in row_of(task(), workload, 0.1)["problem"]
    assert time.monotonic() - start < 5


def test_mode_without_training_step_is_skipped():
    assert "no mode" in run_task(task(workload="resnet", mode="train"))["skipped"]


def test_training_is_judged_by_the_changes_of_the_parameters():
    (workload,) = workloads(names=["nasrnn"])
    case = case_of(workload.build(reduced=True), "train")
    arguments = case.arguments_of(3)
    loss, changes = case.view((jnp.float32(1), arguments[0]))
    assert loss == 1
    assert not np.any(changes["w1"][0])
    other = case.arguments_of(4)
    assert not np.array_equal(arguments[1], other[1])
    assert not np.array_equal(arguments[2], other[2])
    assert coarsest_rounding(case) == np.finfo(np.float32).eps


def test_interleaving_finds_the_ratio():
    calls = {name: lambda s=s: time.sleep(s) for name, s in (("slow", 0.004), ("fast", 0.002))}
    times = interleave(calls, budget_s=0.1)
    ratio, (low, high) = ratio_of_medians(times["slow"], times["fast"])
    assert low <= ratio <= high
    assert 1.5 < ratio < 2.5


def test_differences_of_outputs():
    ones = np.ones(4, np.float32)
    assert relative_difference(ones, ones) == 0
    assert relative_difference(2 * ones, ones) == 0.5
    assert relative_difference(ones, ones * np.nan) == np.inf
    assert relative_difference(ones, ones.astype(np.float64)) == np.inf
    assert relative_difference(np.arange(4), np.array([0, 1, 2, 5])) == 0.25
    seen = {"is_finite": True, "variation": 1.0, "difference": 0.5, "allowed": 0.1}
    assert "differ" in problem_of(seen)
    assert "finite" in problem_of(seen | {"is_finite": False})
    assert "vary" in problem_of(seen | {"variation": 0.0})
    assert problem_of(seen | {"difference": 0.0}) == ""


PROVENANCE = {
    "date": "2026-01-02T03:04:05+00:00",
    "command": "python -m benchmarks.run --output benchmarks/results/workloads.json",
    "versions": {"saturax": "0.1.0", "jax": "0.10.2", "jaxlib": "0.10.2", "python": "3.11.0"},
    "devices": ["cpu: cpu"],
    "cpu": "A processor",
    "cores": 2,
    "git_revision": "0123456789abcdef",
}


def row(ratio, **changes):
    known = {
        "workload": "nasrnn",
        "set": 1,
        "mode": "arguments",
        "is_reduced": False,
        "date": "2026-01-02T03:04:05+00:00",
        "xla_ms": 2.0,
        "saturax_ms": 2.0 / ratio,
        "ratio": ratio,
        "interval": [ratio - 0.1, ratio + 0.1],
        "outcome": "optimized",
        "problem": "",
        "egraph_nodes": 1234,
        "saturax_s": 12.3,
    }
    return known | changes


def write_results(folder):
    first = [row(1.5), row(1.0, mode="train", outcome="original"), row(9.0, is_reduced=True)]
    failed = {"workload": "bert", "set": 1, "mode": "train", "is_reduced": False}
    second = [row(2.0, date="2026-02-02T00:00:00+00:00"), failed | {"outcome": "failed"}]
    for name, rows in (("workloads_1", second), ("workloads_2", first)):
        document = {"provenance": PROVENANCE | {"command": f"python {name}"}, "rows": rows}
        (folder / f"{name}.json").write_text(json.dumps(document))
    figure = {"name": "import", "value": 10.25, "unit": "µs", "target": 20, "detail": ""}
    document = {"provenance": PROVENANCE, "is_reduced": False, "figures": [figure]}
    (folder / "stages.json").write_text(json.dumps(document))
    identity = {
        "name": "trace_of_product",
        "family": "products",
        "is_listed": True,
        "verdicts": {"xla": "missed", "saturax": "ideal"},
        "saturax": {"ratio": 6.25},
    }
    crashed = {"name": "crashed", "family": "loops", "is_listed": False, "problem": "no"}
    document = {"provenance": PROVENANCE, "rows": [identity, crashed]}
    (folder / "identities.json").write_text(json.dumps(document))


@pytest.fixture
def readme(tmp_path):
    write_results(tmp_path)
    path = tmp_path / "README.md"
    sections = (f"<!-- table:{name} -->\n<!-- /table -->\n" for name in tables.TABLES)
    path.write_text("Before\n" + "between\n".join(sections) + "after\n")
    return path


def run_tables(readme, *arguments):
    return tables.main(["--readme", str(readme), "--results", str(readme.parent), *arguments])


def test_tables_are_filled_once_and_checked(readme, capsys):
    assert run_tables(readme, "--check") == 1
    assert "out of date" in capsys.readouterr().err
    assert run_tables(readme) == 0
    assert run_tables(readme, "--check") == 0
    text = readme.read_text()
    assert text.startswith("Before\n")
    assert text.endswith("after\n")
    assert "| nasrnn | inference | 2 | 1 | 2.00× | 1.90–2.10 | 1234 | 12 |" in text
    assert "1.00× (original kept)" in text
    assert "1.50×" not in text
    assert "9.00×" not in text
    assert "Measured 2026-01-02 on 2 cores of A processor with saturax 0.1.0, jax 0.10.2" in text
    assert "by `python workloads_1`" in text
    assert "Geometric mean of 2 programs: 1.41×" in text
    assert "1 failed" in text
    assert "| import | 10.2 µs | 20 µs |" in text
    assert "| products | 1 | 0 | 1 | 0 |" in text
    assert "| trace_of_product | – | ✓ | 6.25× |" in text
    assert "Not measured: crashed." in text
    assert run_tables(readme) == 0
    assert readme.read_text() == text


def test_tables_say_what_is_missing(readme, capsys):
    (readme.parent / "stages.json").unlink()
    assert run_tables(readme) == 2
    assert "python -m benchmarks.stages" in capsys.readouterr().err
    readme.write_text("no sections\n")
    assert run_tables(readme) == 2
    assert "<!-- table:workloads -->" in capsys.readouterr().err
    readme.unlink()
    assert run_tables(readme) == 2
    assert "no such file" in capsys.readouterr().err


def test_summary_counts_rows():
    rows = [row(2.0), row(0.5, problem="outputs differ"), {"outcome": "failed", "problem": "x"}]
    assert summary(rows).startswith("2 rows: geometric mean 1.000, 1 above 1.02, 1 below 0.98, 2")
    assert summary([]) == "no rows measured"
