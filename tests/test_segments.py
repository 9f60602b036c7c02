"""Optimising segments: on real values, once for equal ones, and put together again."""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from tests.running import assert_equal, program_of, run
from tests.test_partition import arguments, network

import saturax
from saturax.assembly.split import Split, split
from saturax.graph.ir import Program
from saturax.racing import selection
from saturax.report.model import CandidateReport, Report, StageReport
from saturax.run import Run
from saturax.search.partition import partition
from saturax.search.segments import optimize_segments, repetitive_partition

OPTIONS = saturax.Options(time_limit_s=10, cache=False)


@dataclass
class Result:
    program: Program
    report: Report
    split: Split | None = None
    is_interrupted: bool = False


class Recorder:
    """Takes the place of the optimiser: notes what it is asked, and returns an equal program."""

    def __init__(self, outcome="optimized", is_interrupted=False, seconds=0.0):
        self.seconds = seconds
        self.calls = []
        self.outcome = outcome
        self.is_interrupted = is_interrupted

    def __call__(self, program, options, examples, *, frozen):
        self.calls.append((program, options, examples, frozen))
        report = Report("segment", outcome=self.outcome, speedup=2.0, rules={"law": 3})
        report.stages.append(StageReport("confirm", self.seconds))
        parts = None
        if frozen is not None:
            weights = [i for i, n in enumerate(program.graph.nodes) if n.op == "dot_general"]
            parts = split(program, frozen, weights)
        main = program if parts is None else parts.main
        return Result(main, report, parts, self.is_interrupted)


def size_of(graph):
    return float(len(graph.nodes))


def evaluated(program, inputs):
    return lambda graph: run(Program(graph, symbols=program.symbols), inputs)


def test_equal_segments_are_optimised_once_and_on_real_values():
    inputs = arguments(8)
    program = program_of(network, *inputs)
    parts = partition(program.graph, 20, 60)
    recorder = Recorder()
    found = optimize_segments(
        program, parts, (), OPTIONS, recorder, evaluated(program, inputs), size_of
    )
    graphs = [call[0].graph for call in recorder.calls]
    assert len(set(graphs)) == len(graphs) < len(parts.segments)
    for inner, _, examples, frozen in recorder.calls:
        assert frozen is None
        assert all(np.std(x) > 0 for x in examples if x.size > 1)
        (segment, *_) = parts.distinct()[inner.graph]
        expected = evaluated(program, inputs)(
            program.graph.__class__(
                program.graph.inputs, program.graph.nodes, tuple(segment.outputs)
            )
        )
        assert_equal(run(inner, examples), expected, 1e-6)
    assert_equal(run(program.with_graph(found.graph), inputs), run(program, inputs), 0.0)
    count = sum(times for times, _ in found.gains)
    assert found.rules == Counter({"law": 3 * count})


def test_the_time_limit_is_shared_out():
    inputs = arguments(8)
    program = program_of(network, *inputs)
    parts = partition(program.graph, 20, 60)
    recorder = Recorder()
    optimize_segments(program, parts, (), OPTIONS, recorder, evaluated(program, inputs), size_of)
    assert 0 < sum(options.time_limit_s for _, options, _, _ in recorder.calls) <= 40
    assert max(options.time_limit_s for _, options, _, _ in recorder.calls) <= 10


@pytest.mark.parametrize("is_punctual", [False, True])
def test_segments_that_take_longer_leave_less_for_others(is_punctual):
    inputs = (*arguments(8), *(x[..., :8, :8] for x in arguments(8)))
    program = program_of(lambda x, v, y, w: (network(x, v), network(y, w)), *inputs)
    parts = partition(program.graph, 20, 60)
    recorder = Recorder(seconds=9.5)
    values = evaluated(program, inputs)
    optimize_segments(
        program, parts, (), OPTIONS, recorder, values, size_of, is_punctual=is_punctual
    )
    assert (len(recorder.calls) == 1) == is_punctual


def test_time_goes_where_the_program_spends_it():
    inputs = arguments(8)
    program = program_of(network, *inputs)
    parts = partition(program.graph, 20, 60)
    recorder = Recorder()
    dearest = max(parts.distinct(), key=size_of)
    predict_us = lambda graph: 1e4 if graph == dearest else 1.0  # noqa: E731
    optimize_segments(program, parts, (), OPTIONS, recorder, evaluated(program, inputs), predict_us)
    (only,) = recorder.calls
    assert only[0].graph == dearest
    assert only[1].time_limit_s == 10


def test_an_interruption_ends_with_the_segment_that_it_hit():
    inputs = arguments(8)
    program = program_of(network, *inputs)
    parts = partition(program.graph, 20, 60)
    recorder = Recorder(is_interrupted=True)
    found = optimize_segments(
        program, parts, (), OPTIONS, recorder, evaluated(program, inputs), size_of
    )
    assert len(recorder.calls) == len(found.gains) == 1


def test_what_depends_on_frozen_inputs_is_marked():
    x, weights = arguments(8)
    program = program_of(lambda w, x: network(x, w @ w), weights, x)
    parts = partition(program.graph, 20, 60)
    recorder = Recorder()
    found = optimize_segments(
        program, parts, (0,), OPTIONS, recorder, evaluated(program, (weights, x)), size_of
    )
    assert any(frozen for _, _, _, frozen in recorder.calls)
    whole = program.with_graph(found.graph)
    assert_equal(run(whole, (weights, x)), run(program, (weights, x)), 1e-6)
    assert all(whole.graph.nodes[i].operands for i in found.ahead)


def test_nothing_faster_is_nothing():
    inputs = arguments(8)
    program = program_of(network, *inputs)
    parts = partition(program.graph, 20, 60)
    recorder = Recorder("original")
    evaluate = evaluated(program, inputs)
    assert optimize_segments(program, parts, (), OPTIONS, recorder, evaluate, size_of) is None


def test_small_graphs_and_graphs_without_repetition_stay_whole():
    assert repetitive_partition(program_of(network, *arguments(3)).graph) is None
    assert repetitive_partition(program_of(network, *arguments(24)).graph) is not None


def test_a_large_repetitive_program_is_optimised_in_segments(monkeypatch):
    from saturax import pipeline

    monkeypatch.setattr(pipeline, "_LARGEST_WHOLE", 600)
    inputs = arguments(24)
    options = saturax.Options(time_limit_s=8, candidates=2)
    result = saturax.optimize(network, *inputs, options=options)
    stages = {stage.name: stage.notes for stage in result.report.stages}
    assert "saturate" not in stages
    assert stages["segments"]["distinct"] < stages["segments"]["segments"]
    program = program_of(network, *inputs)
    assert_equal(run(result.program, inputs), run(program, inputs), 1e-4)


def two_networks():
    """A program of two kinds of segments, and its inputs."""
    x, weights = arguments(8)

    def function(x, w):
        y = network(x, w)
        for matrix in w[:, 0]:
            y = jnp.cos(y @ matrix) * jnp.sin(y) + jnp.exp(-y * y)
        return y

    return program_of(function, x, weights), (x, weights)


def test_where_time_is_short_few_segments_are_optimised():
    program, inputs = two_networks()
    parts = partition(program.graph, 20, 60)
    assert len(parts.distinct()) > 1
    recorder, options = Recorder(), dataclasses.replace(OPTIONS, time_limit_s=1.5)
    optimize_segments(program, parts, (), options, recorder, evaluated(program, inputs), size_of)
    assert len(recorder.calls) == 1


class Inexact(Recorder):
    """What comes first is the least accurate."""

    def __call__(self, program, options, examples, *, frozen):
        result = super().__call__(program, options, examples, frozen=frozen)
        chosen = CandidateReport("best", 1.0, 1, outcome="chosen", original_error=1e-7)
        chosen.largest_error = 1e-3 / len(self.calls) ** 4
        result.report.candidates.append(chosen)
        return result


def assembled_inexactly():
    program, inputs = two_networks()
    parts = partition(program.graph, 20, 60)
    recorder = Inexact()
    found = optimize_segments(
        program, parts, (), OPTIONS, recorder, evaluated(program, inputs), size_of
    )
    return found, recorder, parts


def test_the_least_accurate_segments_are_left_out_first():
    found, recorder, parts = assembled_inexactly()
    fewer = found.fewer()
    assert len(fewer.gains) == 2 * len(found.gains) // 3 < len(found.gains)
    last = recorder.calls[-1][0].graph
    assert fewer.gains[0][0] == len(parts.distinct()[last])
    while fewer is not None:
        least, fewer = fewer, fewer.fewer()
    assert len(least.gains) == 1


@pytest.mark.parametrize("is_accurate", [True, False])
def test_where_the_whole_is_inaccurate_fewer_segments_are_replaced(monkeypatch, is_accurate):
    found, _, _ = assembled_inexactly()
    entered, confirmed = [], []

    def enter(name, graph, ahead, predicted_us, rules):
        entered.append(name)
        if is_accurate or len(entered) > 1:
            contest.candidates.append(name)
        return CandidateReport(name, predicted_us, 1, outcome="rejected")

    contest = SimpleNamespace(enter=enter, candidates=[])
    monkeypatch.setattr(selection, "confirm", lambda *each: confirmed.append(each[-1]))
    state = Run(OPTIONS, Report("program"), lambda stage, detail: None)
    selection.select_assembled(state, None, contest, found)
    assert len(entered) == (1 if is_accurate else 2)
    assert confirmed == [entered[-1]]
