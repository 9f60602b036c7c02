"""Deadlines, Ctrl-C and failures in the middle of every stage: the best so far, and the reason."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from running import QUICK, assert_equal, matrix_chain, run

import saturax
from saturax import Options, OptionsError, pipeline
from saturax.racing import contest
from saturax.run import Run
from saturax.search.effort import EFFORTS

_FUNCTION, _ARGUMENTS = matrix_chain(384)
_STAGES = ["calibrate", "saturate", "price", "extract", "prepare", "select", "refine", "confirm"]
_LIMIT_S = 30.0
_OPTIONS = dataclasses.replace(QUICK, time_limit_s=_LIMIT_S)


class _Clock:
    """The machine's clock, which can be put forward; runs of programs are timed by another one."""

    def __init__(self):
        self.ahead_s = 0.0

    def monotonic(self):
        return time.monotonic() + self.ahead_s


@pytest.fixture
def clock(monkeypatch):
    clock = _Clock()
    monkeypatch.setattr("saturax.run.time", clock)
    return clock


@pytest.mark.parametrize("stage", _STAGES)
def test_a_deadline_within_a_stage_ends_with_a_program_and_a_reason(stage, clock):
    def be_late(name, detail):
        if name == stage and clock.ahead_s == 0:
            clock.ahead_s = 2 * _LIMIT_S

    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_OPTIONS, on_progress=be_late)
    assert clock.ahead_s > 0
    assert_equal(run(result.program, _ARGUMENTS), [_FUNCTION(*_ARGUMENTS)])
    report = result.report
    assert (report.outcome == "optimized") == (not report.reason)
    assert not [warning for warning in report.warnings if "error" in warning]
    # The first candidate is compiled, checked and timed in any case.
    assert report.candidates[0].verified
    assert report.candidates[0].ratio is not None


def test_a_time_limit_that_is_over_is_the_reason(clock, monkeypatch):
    monkeypatch.setattr(pipeline, "select_by_measuring", lambda *arguments: None)
    monkeypatch.setattr(Run, "core_share", 0.4)

    def be_late(name, detail):
        if name == "extract":
            clock.ahead_s = 2 * _LIMIT_S

    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_OPTIONS, on_progress=be_late)
    assert result.report.outcome == "original"
    reason = "the time limit of 30 s was over before any other program was tried"
    assert result.report.reason == f"{reason} (others were at work: it had 40% of a core)"


def test_compiling_the_original_takes_nothing_from_the_search(clock, monkeypatch):
    """However long XLA takes for the original and the reference, the search has its time."""
    compile_module = contest.compile_module

    def compile_slowly(*arguments, **options):
        clock.ahead_s += 2 * _LIMIT_S
        return compile_module(*arguments, **options)

    monkeypatch.setattr("saturax.racing.contest.time", clock)
    monkeypatch.setattr(contest, "compile_module", compile_slowly)
    report = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=_OPTIONS).report
    stops = [stage.notes["stopped by"] for stage in report.stages if stage.name == "saturate"]
    assert "time limit" not in stops
    assert report.candidates[0].verified


def test_progress_tells_what_is_left():
    told = []
    saturax.optimize(
        _FUNCTION,
        *_ARGUMENTS,
        options=Options(time_limit_s=40, measure=False, cache=False),
        on_progress=lambda stage, detail: told.append((stage, detail)),
    )
    assert ("saturate", "") in told
    assert any(s == "saturate" and d in ("at most 40 s left", "at most 39 s left") for s, d in told)


def test_more_effort_takes_more():
    low, medium, high = map(dataclasses.astuple, EFFORTS.values())
    assert all(a <= b <= c for a, b, c in zip(low, medium, high, strict=True))
    with pytest.raises(OptionsError, match="effort: expected one of low, medium, high, got 'most'"):
        Options(effort="most")


def test_seconds_of_xla_are_told_apart():
    result = saturax.optimize(_FUNCTION, *_ARGUMENTS, options=QUICK)
    report = result.report
    by_name = {stage.name: stage for stage in report.stages}
    assert by_name["saturate"].xla_seconds == 0
    assert 0 < by_name["prepare"].xla_seconds <= by_name["prepare"].seconds
    assert 0.5 * by_name["confirm"].seconds < by_name["confirm"].xla_seconds
    assert report.own_seconds == pytest.approx(report.seconds - report.xla_seconds)
    assert np.isfinite(report.own_seconds)
