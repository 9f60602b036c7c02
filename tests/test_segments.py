"""Optimising segments: on real values, once for equal ones, and put together again."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from tests.running import assert_equal, program_of, run
from tests.test_partition import arguments, network

import saturax
from saturax.graph.ir import Program
from saturax.partition import partition
from saturax.report.model import Report
from saturax.segments import optimize_segments, repetitive_partition
from saturax.split import Split, split

OPTIONS = saturax.Options(time_limit_s=10, cache=False)


@dataclass
class Result:
    program: Program
    report: Report
    split: Split | None = None


class Recorder:
    """Takes the place of the optimiser: notes what it is asked, and returns an equal program."""

    def __init__(self, outcome="optimized"):
        self.calls = []
        self.outcome = outcome

    def __call__(self, program, options, examples, *, frozen):
        self.calls.append((program, options, examples, frozen))
        report = Report("segment", outcome=self.outcome, speedup=2.0, rules={"law": 3})
        parts = None
        if frozen is not None:
            weights = [i for i, n in enumerate(program.graph.nodes) if n.op == "dot_general"]
            parts = split(program, frozen, weights)
        return Result(program if parts is None else parts.main, report, parts)


def evaluated(program, inputs):
    return lambda graph: run(Program(graph, symbols=program.symbols), inputs)


def test_equal_segments_are_optimised_once_and_on_real_values():
    inputs = arguments(8)
    program = program_of(network, *inputs)
    parts = partition(program.graph, 20, 60)
    recorder = Recorder()
    found = optimize_segments(program, parts, (), OPTIONS, recorder, evaluated(program, inputs))
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
    optimize_segments(program, parts, (), OPTIONS, recorder, evaluated(program, inputs))
    assert 0 < sum(options.time_limit_s for _, options, _, _ in recorder.calls) <= 40
    assert max(options.time_limit_s for _, options, _, _ in recorder.calls) <= 10


def test_what_depends_on_frozen_inputs_is_marked():
    x, weights = arguments(8)
    program = program_of(lambda w, x: network(x, w @ w), weights, x)
    parts = partition(program.graph, 20, 60)
    recorder = Recorder()
    found = optimize_segments(
        program, parts, (0,), OPTIONS, recorder, evaluated(program, (weights, x))
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
    assert optimize_segments(program, parts, (), OPTIONS, recorder, evaluate) is None


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
