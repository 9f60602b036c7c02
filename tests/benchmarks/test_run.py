"""The benchmark's rows, its interleaved timing, and the README's tables made from its files."""

from __future__ import annotations

import itertools
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import pages, plots, tables
from benchmarks.accuracy import Judge, error_of, problem_of
from benchmarks.cases import case_of
from benchmarks.document import Document
from benchmarks.models import workloads
from benchmarks.rehearsal import lower_for_gpu
from benchmarks.run import estimate_s, head_of, parse, row_of, tasks_of
from benchmarks.study_model import StudyModel
from benchmarks.summary import line_of, standing, summary
from benchmarks.systems import BUILDERS
from benchmarks.worker import Task, compile_and_run, reference_of, run_task

from saturax.cost.device import default_calibration
from saturax.cost.kernel import Kernel
from saturax.graph.types import TensorType
from saturax.racing.interleave import LEAST_ROUNDS, PAIR_ROUNDS, interleave, ratio_of_medians

OPTIONS = {"time_limit_s": 1.0, "database": None}


def task(**changes):
    known = {"workload": "nasrnn", "mode": "arguments", "options": OPTIONS, "is_reduced": True}
    return Task(**(known | {"budget_s": 0.1} | changes))


def test_row_has_times_evidence_and_stages():
    row = run_task(task(systems=("no_rules",)))
    assert row["outcome"] in ("optimized", "original")
    assert row["problem"] == ""
    assert row["rounds"] >= LEAST_ROUNDS
    assert row["interval"][0] <= row["ratio"] <= row["interval"][1]
    assert row["outputs"]["variation"] > 0.1
    assert 0 < row["outputs"]["error"] <= row["outputs"]["allowed"] < 1e-5
    assert {"calibrate", "saturate", "price", "select"} <= set(row["stages"])
    assert row["compile_s"] > 0
    assert row["compile_s"] == pytest.approx(sum(s["compile_s"] for s in row["stages"].values()))
    assert row["operations"] > 100
    assert row["egraph_nodes"] > row["operations"]
    notes = {stage: notes for stage, _, notes in row["search"]}
    assert notes["saturate"]["stopped by"]
    assert notes["extract"]["stopped by"]
    assert set(row["systems"]) == {"xla", "saturax", "no_rules"}
    for entry in row["systems"].values():
        low, high = entry["ratio_interval"]
        assert low <= entry["ratio"] <= high
        assert entry["flops"] > 0
        assert entry["peak_bytes"] > 0
        assert entry["compile_s"] > 0.01
    assert row["systems"]["xla"]["ratio"] == 1
    assert row["systems"]["saturax"]["over_saturax"] == 1
    json.dumps(row)


def test_frozen_weights_are_compared_with_the_reference():
    row = run_task(task(mode="frozen"))
    forms = {name: row["systems"][name]["ms"] for name in ("xla", "xla_arguments")}
    assert row["xla_ms"] == forms[row["reference"]]
    assert row["systems"][row["reference"]]["ratio"] == 1
    assert row["frozen"]["bytes_before"] > 0


def test_variants_of_saturax_are_measured(monkeypatch):
    seen = []
    (workload,) = workloads(names=["kan2"])
    case = case_of(workload.build(reduced=True), "arguments")
    priced = StudyModel.kernel_us
    monkeypatch.setattr(StudyModel, "kernel_us", lambda *a: seen.append(a) or priced(*a))
    for name in ("greedy", "study", "no_rules", "xla_constants"):
        system = BUILDERS[name](case, task().saturax_options())
        assert compile_and_run(system, case)["compile_s"] > 0
        assert problem_of(Judge.of(case, BUILDERS["xla"](case, None)).evidence(system)) == ""
        assert bool(seen) == (name == "study")
        seen.clear()
        if name == "greedy":
            assert system.report.options["extraction"] == "greedy"
            assert "refine" not in {stage.name for stage in system.report.stages}
    assert BUILDERS["xla_arguments"](case, None) is None


def test_study_model_gives_movement_away():
    model, x = StudyModel(default_calibration()), TensorType((256, 256), "f32")
    moves = Kernel("transpose", ((1, 0),), (x,), x)
    assert model.kernel_us(moves) == 0
    assert model.read_us(x) == model.write_us(x) == 0
    assert model.inline_us(Kernel("unary", ("tanh",), (x,), x)) > 1


def test_program_is_lowered_for_a_gpu_without_one():
    (workload,) = workloads(names=["nasrnn"])
    program = workload.build(reduced=True)
    for mode in ("arguments", "frozen", "train"):
        assert lower_for_gpu(case_of(program, mode))["operations"] > 100


def test_batched_program_is_the_same_for_each_input():
    (workload,) = workloads(names=["nasrnn"])
    program = workload.build(reduced=True)
    batched = program.batched(3)
    (sequences,) = batched.inputs
    assert sequences.shape == (3, *program.inputs[0].shape)
    expected = program.function(program.parameters, sequences[1])
    found = jax.jit(batched.function)(program.parameters, sequences)
    np.testing.assert_allclose(found[1], expected, rtol=1e-4, atol=1e-5)


def test_system_that_crashes_costs_only_itself(monkeypatch):
    def run_apart(request, limit_s):
        names = request["task"]["systems"]
        if request["do"] == "try":
            names = [request["system"]]
        if "enzyme" in names:
            raise RuntimeError("the process ended by SIGSEGV")
        return {"outcome": "optimized", "problem": "", "systems": {name: {} for name in names}}

    monkeypatch.setattr("benchmarks.run.run_apart", run_apart)
    (workload,) = workloads(names=["nasrnn"])
    row = row_of(task(systems=("enzyme", "greedy")), workload, 60)
    assert row["outcome"] == "optimized"
    assert row["systems"] == {
        "greedy": {},
        "enzyme": {"failed": "the process ended by SIGSEGV"},
    }


def test_kinds_of_runs_fit_their_time():
    def minutes(*arguments):
        return estimate_s([t for t, _ in tasks_of(parse([*arguments, "--output", "x"]))]) / 60

    assert minutes("--short") < 10
    assert 15 < minutes() < 36
    assert minutes("--sets", "1", "--modes", "frozen") < 15
    assert minutes("--full") > 100
    parsed = parse(["--full", "--output", "x", "--time-limit", "5"])
    assert parsed.modes == ["arguments", "frozen", "train"]
    assert {"enzyme", "greedy", "study", "no_rules"} <= set(parsed.systems)
    assert parsed.time_limit == 5


def test_original_is_measured_against_itself():
    options = OPTIONS | {"time_limit_s": 0.0}
    row = run_task(task(options=options))
    assert row["outcome"] == "original"
    assert "time limit" in row["reason"]
    assert row["outputs"]["error"] == row["outputs"]["xla_error"]
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
    again = Document.open(path, PROVENANCE, {}, resume=True)
    assert again.rows["nasrnn", "train", 0]["git_revision"] == PROVENANCE["git_revision"]

    def found(**changes):
        return again.find(head_of(task(**changes), workload))

    assert found(options={"no such option": 1}) is None
    assert found(options={"no such option": 1}, mode="train")
    assert found(options={"no such option": 1}, mode="train", systems=("enzyme",)) is None
    assert found(mode="train") is None
    assert Document.open(path, PROVENANCE, {}, resume=False).rows == {}
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


def test_interleaving_finds_the_ratio():
    calls = {name: lambda s=s: time.sleep(s) for name, s in (("slow", 0.04), ("fast", 0.02))}
    times = interleave(calls, budget_s=0.6)
    ratio, (low, high) = ratio_of_medians(times["slow"], times["fast"])
    assert low <= ratio <= high
    assert 1.5 < ratio < 2.5


class Clock:
    """A time that only programs let pass; each call takes one of the given times, in turn."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def taking(self, *seconds):
        each = itertools.cycle(seconds)

        def call():
            self.now += next(each)

        return call


@pytest.mark.parametrize(
    ("seconds", "limit_s", "rounds"),
    [
        ((1.0, 1.01), 1000.0, PAIR_ROUNDS),  # known well as soon as there are enough rounds
        ((0.5, 2.0), 100.0, None),  # as long as it may, and no longer
        ((0.5, 2.0), 0.0, LEAST_ROUNDS),
    ],
)
def test_interleaving_goes_on_until_the_ratio_is_known(monkeypatch, seconds, limit_s, rounds):
    clock = Clock()
    monkeypatch.setattr("saturax.racing.interleave.time", clock)
    calls = {"slow": clock.taking(*seconds), "fast": clock.taking(1.0)}
    times = interleave(calls, budget_s=1.0, pair=("slow", "fast"), limit_s=limit_s)
    if rounds is None:
        assert limit_s < sum(map(sum, times.values())) < limit_s + 4
    else:
        assert len(times["slow"]) == rounds


def test_reference_is_chosen_by_times_of_its_own(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("saturax.racing.interleave.time", clock)
    calls = {"xla": clock.taking(1.2), "xla_arguments": clock.taking(1.0), "saturax": None}
    assert reference_of(calls, 1.0) == "xla_arguments"
    assert reference_of({"xla": None, "saturax": None}, 1.0) == "xla"


def test_errors_of_outputs():
    ones = np.ones(4, np.float32)
    assert error_of(ones, ones.astype(np.float64)) == 0
    assert error_of(2 * ones, ones) == 1
    assert error_of(ones * np.nan, ones) == np.inf
    assert error_of(ones[:2], ones) == np.inf
    assert error_of(np.array([0, 1, 2, 5]), np.arange(4)) == 0.25
    seen = {"is_finite": True, "variation": 1.0, "error": 0.5, "allowed": 0.1}
    assert "against float64" in problem_of(seen)
    assert "against float64" in problem_of(seen | {"error": np.nan})
    assert "finite" in problem_of(seen | {"is_finite": False})
    assert "vary" in problem_of(seen | {"variation": 0.0})
    assert problem_of(seen | {"error": 0.0}) == ""


def test_judge_sees_a_wrong_and_an_inaccurate_function():
    (workload,) = workloads(names=["nasrnn"])
    case = case_of(workload.build(reduced=True), "arguments")
    judge = Judge.of(case, case.function)

    def problem(change):
        return problem_of(judge.evidence(lambda *args: change(case.function(*args))))

    assert problem(lambda y: y) == ""
    assert "error" in problem(lambda y: y * 1.00001)
    assert "error" in problem(lambda y: y.astype(jnp.bfloat16).astype(jnp.float32))
    assert "error" in problem(lambda y: y.astype(jnp.bfloat16))
    assert "vary" in problem(jnp.zeros_like)


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
        "systems": {},
    }
    return known | changes


ENZYME = {
    "ms": 1.25,
    "ratio": 1.6,
    "over_saturax": 1.25,
    "over_saturax_interval": [1.2, 1.3],
    "problem": "",
}


def write_results(folder):
    first = [row(1.5), row(1.0, mode="train", outcome="original"), row(9.0, is_reduced=True)]
    failed = {"workload": "bert", "set": 1, "mode": "train", "is_reduced": False}
    second = [
        row(2.0, date="2026-02-02T00:00:00+00:00", systems={"enzyme": ENZYME}),
        failed | {"outcome": "failed"},
    ]
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
    return tables.main(["--pages", str(readme), "--results", str(readme.parent), *arguments])


def test_tables_are_filled_once_and_checked(readme, capsys):
    assert run_tables(readme, "--check") == 1
    assert "out of date" in capsys.readouterr().err
    assert run_tables(readme) == 0
    assert run_tables(readme, "--check") == 0
    text = readme.read_text()
    assert text.startswith("Before\n")
    assert text.endswith("after\n")
    assert "| 1 | nasrnn | inference | 2 | 1 | 2.00× | 1.90–2.10 | 1.60× | 1234 | 12 |" in text
    assert "| 1 | inference | 1 | 2.00× | 2.00× – 2.00× | 1.60× |" in text
    assert (
        "* against enzyme: 1 rows, geometric mean 1.250, ahead on 1 (100%), behind on none" in text
    )
    assert "1.00× (original kept)" in text
    assert "1.50×" not in text
    assert "9.00×" not in text
    assert "measured 2026-01-02 on 2 cores of A processor with saturax 0.1.0, jax 0.10.2" in text
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
    assert summary(rows).startswith(
        "all: 2 rows: geometric mean 1.000, best 2.00, 1 above 1.02, 1 below 0.98, 2 with problems"
    )
    assert summary([]) == "no rows measured"


def test_standing_counts_what_is_certain():
    def against(ratio, low, high):
        entry = {"ms": 1.0, "ratio": 1.0, "over_saturax": ratio}
        return row(1.5) | {"systems": {"greedy": entry | {"over_saturax_interval": [low, high]}}}

    rows = [against(1.5, 1.4, 1.6), against(1.5, 0.9, 2.0), against(0.9, 0.8, 0.95)]
    rows += [against(0.99, 0.98, 0.995), row(1.0), row(1.0) | {"systems": {"greedy": {}}}]
    found = standing(rows, "greedy")
    assert (found["rows"], found["ahead"]) == (4, 1)
    assert found["behind"] == ["nasrnn (arguments) 0.90"]
    assert "against greedy: 4 rows" in summary(rows)
    assert "ahead on 1 (25%), behind on nasrnn (arguments) 0.90" in summary(rows)


CALIBRATION = {"dot_gflop_s": {"f32": 100.0}, "bandwidth_gb_s": [[1, 10.0], [1 << 30, 10.0]]}


def write_measured_row(folder):
    """A row with all that pages and plots show: 1 MB and 1 Gflop in 20 ms."""
    calibration = json.loads(default_calibration().to_json()) | CALIBRATION
    result = {"bytes_accessed": 1e6, "flops": 1e9, "ratio": 1.5, "over_saturax": 1.0}
    measured = row(1.5, xla_ms=30.0, saturax_ms=20.0) | {
        "systems": {"saturax": result, "enzyme": ENZYME | {"ratio_interval": [1.5, 1.7]}},
        "operations": 10,
        "operations_after": 8,
        "changes": [["dot_general", 3, 1]],
        "rules": {"merge_contractions": 2},
    }
    failed = row(1.0, workload="nasrnn_batch1", outcome="failed", problem="it crashed")
    del failed["ratio"]
    content = {
        "provenance": PROVENANCE,
        "calibration": calibration,
        "rows": [measured, failed],
        "skipped": [],
    }
    (folder / "workloads.json").write_text(json.dumps(content))


def test_pages_say_what_was_found_and_what_is_left(tmp_path, capsys):
    write_measured_row(tmp_path)
    arguments = ["--folder", str(tmp_path / "pages"), "--results", str(tmp_path)]
    assert pages.main([*arguments, "--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert pages.main(arguments) == 0
    text = (tmp_path / "pages" / "nasrnn.md").read_text()
    assert "| inference | 30 | 20 | 1.50× | 1.40–1.60 | 10 | 1.60× |" in text
    assert "10 operations became 8: dot_general 3 → 1. By `merge_contractions` 2 ×." in text
    assert "the flops alone need 10 ms; the result takes 2.0 times that" in text
    assert "failed: it crashed" in text
    index = (tmp_path / "pages" / "README.md").read_text()
    assert "[nasrnn](nasrnn.md): 2 rows, best 1.50×" in index
    assert pages.main([*arguments, "--check"]) == 0
    (tmp_path / "pages" / "old.md").write_text("")
    assert pages.main(arguments) == 0
    assert not (tmp_path / "pages" / "old.md").exists()


def test_plots_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    write_measured_row(tmp_path)
    arguments = ["--folder", str(tmp_path), "--results", str(tmp_path)]
    assert plots.main(arguments) == 0
    first = (tmp_path / "speedup_arguments.svg").read_text()
    assert first.count("<path") > 10
    assert plots.main(arguments) == 0
    assert (tmp_path / "speedup_arguments.svg").read_text() == first
