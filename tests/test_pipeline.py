"""The whole pipeline: faster where it can be, equal always, and the original where it fails."""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
from itertools import chain, repeat

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from running import (
    FAMILIES,
    PREDICTED,
    QUICK,
    assert_equal,
    instance,
    matrix_chain,
    normal,
    program_of,
    run,
)

import saturax
from saturax import Options, pipeline, proposals
from saturax.cost.database import PriceDatabaseWarning
from saturax.errors import RuleError
from saturax.extract import solver
from saturax.graph.ops import dot_general
from saturax.mlir_modules import ModuleError
from saturax.racing import contest
from saturax.rules import rules_within
from saturax.rules.rule import BITWISE, rule
from saturax.search import growth, pricing, rounds, varied
from saturax.search.ranking import Ranking

_FUNCTION, _ARGUMENTS = matrix_chain(384)


@pytest.fixture(scope="module")
def optimized():
    """(A B) x, optimised with all stages, for which there is time."""
    return saturax.optimize(
        _FUNCTION, *_ARGUMENTS, options=dataclasses.replace(QUICK, time_limit_s=10)
    )


def test_matrix_chain_gets_faster_and_stays_equal(optimized):
    report = optimized.report
    assert report.outcome == "optimized"
    assert report.speedup > 1.5
    assert report.optimized_us < report.original_us
    assert_equal(run(optimized.program, _ARGUMENTS), [_FUNCTION(*_ARGUMENTS)])
    assert "order_contractions" in report.rules


@pytest.mark.parametrize(
    ("module", "limit", "value"), [(pricing, "_SHARE", 0.0), (rounds, "_PRICING_ROUNDS", 1)]
)
def test_what_there_was_no_time_to_measure_has_to_win_by_more(monkeypatch, module, limit, value):
    """With no time for measuring, or too few rounds, prices are predictions, and cautious ones."""
    seen = []
    reprice = rounds.Formulation.repriced

    def repriced(formulation, model):
        seen.append(model.caution)
        return reprice(formulation, model)

    monkeypatch.setattr(rounds.Formulation, "repriced", repriced)
    monkeypatch.setattr(module, limit, value)
    options = dataclasses.replace(QUICK, time_limit_s=2)
    function, arguments = matrix_chain(320)
    saturax.optimize(function, *arguments, options=options)
    assert max(seen, default=0) > 1


def test_one_row_is_asked_of_one_row_however_far_it_comes():
    """Further than the iterations reach that one saturation has."""
    weights = [normal(64, 64, seed=seed) for seed in range(24)]

    def first_row_of_the_last(x, weights):
        for w in weights:
            x = jnp.tanh(x @ w) + jnp.sin(x)
        return x[:1] * 2

    program = program_of(first_row_of_the_last, normal(512, 64), weights)
    options = dataclasses.replace(PREDICTED, effort="low")
    found = pipeline.optimize_program(program, options).program.graph
    rows = {node.type.shape[0] for node in found.nodes if node.op == "dot_general"}
    assert rows == {1}


def test_slices_do_not_take_padding_apart_because_a_loop_beside_them_is_unrolled():
    """What the proposals gain is not counted as a gain by slices that move alone."""

    def filtered(image, t):
        padded = jnp.pad(image.mean(-1), 2, mode="reflect")
        middle = padded[2:66, 2:66]
        parts = [padded[i : i + 64, j : j + 64] - middle for i in range(5) for j in range(5)]
        summed = sum(jnp.exp(-(part**2)) for part in parts)
        return jax.lax.fori_loop(0, 4, lambda i, z: z * t[i], summed)

    program = program_of(filtered, normal(64, 64, 3), normal(4, 64))
    found = pipeline.optimize_program(program, PREDICTED).program.graph
    loops, joined = (
        sum(node.op == op for node in found.nodes) for op in ("stablehlo.while", "concatenate")
    )
    assert (loops, joined) == (0, 4)


def test_gradients_of_each_example_where_one_class_is_picked():
    """The gradient of a pick is a batch of scatters into zeros, each in its own row."""

    def loss(w, x, y):
        return -jax.nn.log_softmax(x @ w)[y]

    slopes = jax.vmap(jax.grad(loss), (None, 0, 0))
    arguments = normal(6, 5), normal(9, 6), np.arange(9, dtype=np.int32) % 5
    result = saturax.optimize(slopes, *arguments, options=PREDICTED)
    assert result.report.outcome == "optimized"
    assert "failed" not in result.report.reason


def test_stages_appear_in_order(optimized):
    names = list(dict.fromkeys(stage.name for stage in optimized.report.stages))
    assert names[:4] == ["calibrate", "prepare", "saturate", "price"]
    assert names[-2:] == ["refine", "confirm"]


def test_chosen_candidate_was_verified(optimized):
    (chosen,) = [c for c in optimized.report.candidates if c.outcome == "chosen"]
    assert chosen.verified
    assert chosen.largest_error <= chosen.allowed_error
    assert chosen.ratio > 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_random_programs_stay_equal(family, seed):
    function, arguments = instance(family, seed)
    result = saturax.optimize(function, *arguments, options=PREDICTED)
    assert not [w for w in result.report.warnings if "internal error" in w]
    assert "failed" not in result.report.reason
    expected = jax.tree.leaves(jax.jit(function)(*arguments))
    assert_equal(run(result.program, arguments), expected, 1e-4)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 60))
@pytest.mark.parametrize("family", FAMILIES)
def test_many_random_programs_stay_equal(family, seed):
    test_random_programs_stay_equal(family, seed)


def test_time_limit_of_zero_returns_the_original():
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=Options(time_limit_s=0))
    assert (result.report.outcome, result.report.reason) == ("original", "the time limit is 0")
    assert result.report.stages == []


def test_what_computes_nothing_is_not_searched():
    result = saturax.optimize(lambda x: (None, x, np.float32([1, 2])), normal(3))
    reason = "it computes nothing: its results are arguments and constants"
    assert (result.report.outcome, result.report.reason) == ("original", reason)
    assert result.report.stages == []


def test_effects_are_not_run_and_stay():
    seen = []

    def function(a, b, x):
        jax.debug.callback(seen.append, x)
        return _FUNCTION(a, b, x)

    result = saturax.optimize(function, *_ARGUMENTS, options=QUICK)
    jax.effects_barrier()
    assert seen == []
    assert result.report.outcome == "optimized"
    assert result.report.measured_on == "one device, with drawn values instead of 1 effect"
    assert result.to_stablehlo().count("callback") == 1


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_nan_in_examples_is_passed_over(share):
    vector = _ARGUMENTS[2].copy()
    vector[: int(share * len(vector))] = np.nan
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS[:2], vector, options=QUICK)
    assert result.report.outcome == "optimized"


def test_infinite_examples_do_no_harm():
    vector = np.full_like(_ARGUMENTS[2], np.inf)
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS[:2], vector, options=QUICK)
    assert result.report.outcome == "optimized"


def test_constant_outputs_are_no_evidence():
    result = saturax.optimize(
        lambda a, b: jnp.tanh(1e6 + (a @ b) @ a), normal(8, 8), normal(8, 8, seed=1), options=QUICK
    )
    assert result.report.outcome == "original"
    assert "vary" in result.report.reason


@pytest.mark.parametrize("stage", ["calibrate", "saturate", "price", "prepare", "select"])
def test_interruption_returns_the_original_and_says_so(stage):
    def interrupt(name, detail):
        if name == stage:
            raise KeyboardInterrupt

    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=QUICK, on_progress=interrupt)
    assert (result.report.outcome, result.report.reason) == ("original", "it was interrupted")
    assert any("interrupted" in warning for warning in result.report.warnings)
    assert_equal(run(result.program, _ARGUMENTS), [_FUNCTION(*_ARGUMENTS)])


def test_interruption_after_the_first_race_keeps_the_best():
    def interrupt(name, detail):
        if name == "refine":
            raise KeyboardInterrupt

    unhurried = saturax.Options(time_limit_s=10.0)  # else there is one race, and nothing is refined
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=unhurried, on_progress=interrupt)
    assert result.report.outcome == "optimized"
    assert any("interrupted" in warning for warning in result.report.warnings)


@pytest.mark.parametrize(
    ("module", "name"), [(growth, "saturate"), (varied, "extract"), (contest, "race")]
)
def test_ctrl_c_within_a_stage_ends_the_search(monkeypatch, module, name):
    """Stages end well when interrupted; nobody goes on with what they have, or races anew."""
    stage, calls = getattr(module, name), []

    def interrupted(*args, **kwargs):
        calls.append(name)
        return dataclasses.replace(stage(*args, **kwargs), stop_reason="interrupted")

    monkeypatch.setattr(module, name, interrupted)
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=QUICK)
    assert result.is_interrupted
    assert (len(calls), result.report.reason) == (1, "it was interrupted")


@pytest.mark.parametrize(
    ("module", "name", "error", "told"),
    [
        (growth, "saturate", RuleError("rule `bad` raised"), "rule `bad` raised"),
        (pricing, "formulate", RuntimeError("a defect"), "internal error, please report it"),
        (rounds, "propose", TypeError("a defect"), "internal error, please report it"),
        (varied, "extract", MemoryError("too much"), "internal error, please report it"),
    ],
)
def test_failing_stage_keeps_the_original_and_warns(monkeypatch, module, name, error, told):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(module, name, fail)
    monkeypatch.setattr(logging.getLogger("saturax"), "disabled", True)
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=QUICK)
    assert result.report.outcome == "original"
    assert result.report.reason
    assert any(told in warning for warning in result.report.warnings)


def test_a_failing_rule_costs_only_itself(monkeypatch):
    @rule(lambda x, y, d, p, t: dot_general(x, y, d, p, t), numerics=BITWISE, source="a mistake")
    def fails(x, y, d, p, t):
        """It raises."""
        raise TypeError("a defect")

    monkeypatch.setattr(pipeline, "rules_within", lambda numerics: (*rules_within(numerics), fails))
    monkeypatch.setattr(logging.getLogger("saturax"), "disabled", True)
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=QUICK)
    assert result.report.outcome == "optimized"
    [warning] = result.report.warnings
    assert warning.startswith("rule fails: its right side raised TypeError")


def test_a_failing_proposal_costs_only_itself(monkeypatch):
    def fail(equalities):
        raise TypeError("a defect")

    monkeypatch.setitem(proposals.PROPOSALS, "factor_sums", fail)
    monkeypatch.setattr(logging.getLogger("saturax"), "disabled", True)
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=QUICK)
    assert result.report.outcome == "optimized"
    [warning] = result.report.warnings
    assert warning.startswith("internal error in factor_sums, please report it: TypeError")


def _fail_after(monkeypatch, count, error):
    """Let compilations fail after the first `count`: the original's and the reference's."""
    compile_module, calls = contest.compile_module, []

    def compile_or_fail(module, **options):
        calls.append(module)
        if len(calls) > count:
            raise error
        return compile_module(module, **options)

    monkeypatch.setattr(contest, "compile_module", compile_or_fail)


@pytest.mark.parametrize(
    "error", [ModuleError("XLA says no"), RuntimeError("crash"), jax.errors.JaxRuntimeError("oom")]
)
def test_candidates_that_do_not_compile_are_reported(monkeypatch, error):
    _fail_after(monkeypatch, 2, error)
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=QUICK)
    assert result.report.outcome == "original"
    assert result.report.candidates
    assert {c.outcome for c in result.report.candidates} == {"failed"}
    assert str(error) in result.report.candidates[0].reason


def test_original_that_does_not_compile_is_reported(monkeypatch):
    _fail_after(monkeypatch, 0, ModuleError("XLA says no"))
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=QUICK)
    assert result.report.outcome == "original"
    assert "XLA says no" in result.report.reason


def test_wrong_candidate_is_rejected(monkeypatch):
    """A planted defect: constants computed ahead of time come out wrong."""
    constant = jnp.asarray(normal(64, 64))
    monkeypatch.setattr(
        contest, "precompute", lambda graph, frozen, evaluate: _with_outputs_negated(graph)
    )
    result = saturax.optimize(
        lambda a, x: (a @ constant) @ x, normal(64, 64, seed=2), normal(64), options=QUICK
    )
    assert result.report.outcome == "original"
    assert {c.outcome for c in result.report.candidates} == {"rejected"}


@pytest.mark.parametrize("numerics", ["rounding", "bitwise"])
def test_exact_rules_are_asked_where_roundings_are_rejected(monkeypatch, numerics):
    """A planted judge: nothing passes but what exact rules alone have made."""
    judge = contest._judge

    def judge_strictly(report, verdict):
        judge(report, verdict)
        if report.name != "by exact rules alone":
            report.verified, report.outcome = False, "rejected"

    def draws(a, x, keys):
        def step(c, key):
            return jnp.sin(c) + jax.random.uniform(key, (64,)), c

        return jax.lax.scan(step, (a @ a) @ x, keys)

    monkeypatch.setattr(contest, "_judge", judge_strictly)
    keys = jax.random.split(jax.random.PRNGKey(0), 16)
    options = Options(numerics=numerics, time_limit_s=120.0, candidates=1)
    report = saturax.optimize(draws, normal(64, 64), normal(64), keys, options=options).report
    found = [c for c in report.candidates if c.name == "by exact rules alone"]
    assert len(found) == (numerics == "rounding")
    assert not any("order_contractions" in each.rules for each in found)


def _with_outputs_negated(graph):
    from saturax.graph.ir import Graph, Node

    nodes, outputs = list(graph.nodes), []
    for index in graph.outputs:
        nodes.append(Node("unary", ("negate",), (index,), graph.nodes[index].type))
        outputs.append(len(nodes) - 1)
    return Graph(graph.inputs, tuple(nodes), tuple(outputs), graph.effects)


def test_missing_solver_does_not_matter(monkeypatch, tmp_path):
    """`import highspy` fails in the solver's process."""
    (tmp_path / "highspy.py").write_text("raise ImportError('no highspy here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=QUICK)
    assert result.report.outcome == "optimized"


def test_solver_that_cannot_be_started_does_not_matter(monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("no processes left")

    monkeypatch.setattr(solver.subprocess, "Popen", fail)
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=QUICK)
    assert result.report.outcome == "optimized"


def test_corrupt_cache_is_reported_and_does_not_stop(tmp_path):
    damaged = tmp_path / "prices.sqlite"
    damaged.write_bytes(b"this is no database" * 100)
    options = dataclasses.replace(PREDICTED, database=damaged)
    with pytest.warns(PriceDatabaseWarning, match="SATURAX_CACHE_DIR"):
        result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=options)
    assert result.report.outcome == "optimized"


def test_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").touch()
    options = dataclasses.replace(PREDICTED, database=tmp_path / "file" / "prices.sqlite")
    with pytest.warns(PriceDatabaseWarning, match="could not open"):
        result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=options)
    assert result.report.outcome == "optimized"


def test_prices_are_remembered(tmp_path):
    database = tmp_path / "prices.sqlite"
    options = dataclasses.replace(QUICK, time_limit_s=20, cache=False, database=database)
    from saturax.cost import device
    from saturax.cost.database import PriceDatabase

    database = PriceDatabase(options.database)
    known = dataclasses.replace(device.default_calibration(), defaulted=())
    database.put_document(device.identify().key, device.CALIBRATION_DOCUMENT, known.to_json())
    database.close()
    for known_prices in (False, True):
        report = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=options).report
        notes = next(stage.notes for stage in report.stages if stage.name == "price")
        assert (notes["known"] > 0) == known_prices
    (count,) = sqlite3.connect(options.database).execute("SELECT count(*) FROM price").fetchone()
    assert count >= 2


def test_limits_are_kept():
    function, arguments = instance("recurrence", 1)
    report = saturax.optimize(function, *arguments, options=Options(time_limit_s=1)).report
    assert report.seconds < 6  # compilations are not counted


def test_same_seed_gives_the_same_prediction():
    first, second = (
        saturax.optimize(_FUNCTION, *_ARGUMENTS, options=PREDICTED).program for _ in range(2)
    )
    assert first == second


def test_program_is_what_it_was_where_nothing_helps():
    program = program_of(lambda x: x, np.ones(3, np.float32))
    assert pipeline.optimize_program(program, QUICK).program == program


def test_greedy_extraction_misses_what_pays_only_together(tmp_path):
    """Eight vectors by one matrix: merging them into one product pays only for all of them."""
    # Prices of its own: those that other tests measured depend on what ran beside them.
    options = dataclasses.replace(PREDICTED, database=tmp_path / "prices.sqlite")

    def function(a, *xs):
        return [a @ x for x in xs]

    arguments = [normal(256, 256)] + [normal(256, seed=seed) for seed in range(8)]
    predicted = {
        extraction: saturax.optimize(
            function, *arguments, options=dataclasses.replace(options, extraction=extraction)
        ).report.predicted_optimized_us
        for extraction in ("global", "greedy")
    }
    assert predicted["global"] < predicted["greedy"]


def test_what_is_slower_as_a_whole_is_not_taken_by_prediction(monkeypatch):
    def function(x, y):
        return x @ y + x @ (2 * y)

    arguments = normal(64, 64), normal(64, 64)
    assert saturax.optimize(function, *arguments, options=PREDICTED).report.outcome == "optimized"
    prices_us = chain([1.0], repeat(2.0))  # of the original, and of all others
    monkeypatch.setattr(Ranking, "price_us", lambda *_: next(prices_us))
    report = saturax.optimize(function, *arguments, options=PREDICTED).report
    assert report.outcome == "original"
    assert (report.predicted_original_us, report.predicted_optimized_us) == (1.0, 2.0)


def test_rules_that_only_drop_operations_are_named():
    def function(x):
        return jnp.tanh(x.astype(jnp.bfloat16).astype(jnp.float32))

    result = saturax.optimize(function, normal(64, 64), options=PREDICTED)
    assert "keep_excess_precision" in result.report.rules


def test_rules_within_loops_are_named():
    def function(a, x):
        return jax.lax.fori_loop(0, 99, lambda _, y: jnp.tanh(y + (y @ y @ y) @ x), a)

    result = saturax.optimize(function, normal(128, 128), normal(128), options=PREDICTED)
    assert result.report.rules["order_contractions (in a body)"] == 1
    assert result.report.rules["optimize_region"] == 1


def test_a_result_is_short_as_text_and_says_what_to_call():
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=PREDICTED)
    assert len(repr(result)) < 200
    assert "optimized" in repr(result)
    with pytest.raises(TypeError, match=r"use saturax\.jit\(function\)"):
        result(*_ARGUMENTS)
