"""Choosing among whole programs: who takes part, and how long the last race takes."""

from __future__ import annotations

from collections import Counter, namedtuple
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from saturax import Options
from saturax.racing import selection
from saturax.racing.durations import last_race_s
from saturax.report.model import CandidateReport, Report
from saturax.run import Run
from saturax.search import rounds


@pytest.mark.parametrize(
    ("time_us", "ratio", "left_s", "limit_s", "seconds"),
    [
        (None, None, 60.0, 60.0, 60.0),  # no race has had any of it
        (100.0, 1.5, 1.0, 60.0, 4.0),
        (100_000.0, 1.5, 1.0, 60.0, 8.5),
        (100_000.0, 1.5, 15.0, 60.0, 15.0),
        (100_000.0, 1.5, 0.0, 20.0, 6.0),
        (400_000.0, 1.2, 0.0, 60.0, 18.0),
        (900_000.0, 1.2, 0.0, 60.0, 14 * 1.98),  # the first 12 pairs that can decide, and 2 before
        (900_000.0, 1.2, 0.0, 30.0, 15.0),
        (900_000.0, 1.2, 0.0, 2.0, 4.0),
    ],
)
def test_the_last_race_of_long_programs_is_longer(time_us, ratio, left_s, limit_s, seconds):
    candidate = CandidateReport("best", 1.0, 1, time_us=time_us, ratio=ratio)
    contest = SimpleNamespace(call_s=1e-4)
    assert last_race_s(contest, candidate, left_s, limit_s) == pytest.approx(seconds)


class _Entering:
    """Stands for the measured search: notes who is entered, which takes a second each."""

    champion = None
    is_last_race_all = is_open = is_inexact = False
    contest = SimpleNamespace(has_long_calls=False)
    held = staticmethod(lambda *_: None)  # nothing is worth writing

    def __init__(self, state):
        self.state = state
        self.entries = []

    def remaining_s(self):
        return self.state.remaining_s

    def enter(self, name, *_, **__):
        self.entries.append(name)
        self.state.remaining_s -= 1.0

    enter_program = enter
    whole = staticmethod(lambda program: program)

    def race(self):
        self.entries.append("raced")


def test_what_else_the_search_found_takes_part(monkeypatch):
    names = ["best predicted", "varied 1", "varied 2", "raced"]
    assert _entered(monkeypatch, 4.1) == names


def test_kin_of_what_is_not_accurate_enough_takes_no_part(monkeypatch):
    monkeypatch.setattr(_Entering, "is_inexact", True)
    assert _entered(monkeypatch, 4.1) == ["best predicted", "raced"]


@pytest.mark.parametrize(("remaining_s", "count"), [(0.0, 1), (1.4, 1), (1.9, 2)])
def test_the_first_choices_of_both_predictions_take_part(remaining_s, count, monkeypatch):
    """If there is time for them and the race, whose second half-second the first one leaves."""
    names = ["best predicted", "varied 1"][:count]
    assert _entered(monkeypatch, remaining_s) == [*names, "raced"]


@pytest.mark.parametrize(("time_us", "is_scarce"), [(1.05, True), (1.2, True), (1.2, False)])
def test_scarce_time_is_for_what_is_predicted_to_be_nearly_as_fast(time_us, is_scarce, monkeypatch):
    times = {"best": 1.0, "varied": time_us}
    monkeypatch.setattr(selection, "without_frozen", lambda program: program)
    monkeypatch.setattr(selection, "is_scarce", lambda *_: is_scarce)
    measured = SimpleNamespace(
        contest=None, price=times.get, remaining_s=lambda: 1.0, extracted=lambda name: name
    )
    assert selection._is_hopeless(measured, "varied", "best") == (is_scarce and time_us > 1.1)


def test_an_open_race_of_long_calls_goes_on_before_anything_else(monkeypatch):
    confirmed = []
    monkeypatch.setattr(selection, "confirm", lambda *given: confirmed.append(given[-1]))
    monkeypatch.setattr(_Entering, "is_open", True)
    monkeypatch.setattr(_Entering, "champion", _Raced("the best"))
    names = _entered(monkeypatch, 4.1)
    assert names[-1] == "raced"
    assert confirmed == ["the best"]


def test_what_a_second_search_found_takes_part(monkeypatch):
    monkeypatch.setattr(selection, "best_of", lambda *_: (SimpleNamespace(graph=None), Counter()))
    other = SimpleNamespace(formulation=None, best={}, rules=Counter(), best_us=2.0)
    names = _entered(monkeypatch, 6.0, other=other)
    assert names[:3] == ["best predicted", "of the second search", "varied 1"]


@pytest.mark.parametrize(("greedy_us", "takes_part"), [(1.05, True), (1.2, False), (None, False)])
def test_what_greedy_extraction_chooses_takes_part_if_it_is_nearly_as_good(
    greedy_us, takes_part, monkeypatch
):
    entered = []
    prices = {"best": 1.0, "greedy": greedy_us}
    monkeypatch.setattr(selection, "tree_greedy", lambda problem: "greedy")
    monkeypatch.setattr(selection, "read_program", lambda formulation, name: name)
    monkeypatch.setattr(selection, "without_frozen", lambda program: program)
    monkeypatch.setattr(selection, "rules_of", lambda *_: Counter())
    measured = SimpleNamespace(
        formulation=None,
        price=prices.get,
        enter_program=lambda *given, **_: entered.append(given),
        whole=lambda program: program,
        extracted=lambda name: name,
    )
    found = SimpleNamespace(first=(SimpleNamespace(problem=None), "best"))
    selection._enter_greedy(measured, found, "best")
    assert entered == [("by greedy extraction", "greedy", greedy_us)] * takes_part


@pytest.mark.parametrize(("remaining_s", "searches"), [(5.0, 2), (4.0, 1)])
def test_a_small_program_is_searched_twice(remaining_s, searches, monkeypatch):
    """Also where measuring took all the time for searching, which the second one needs no more."""
    seen = []

    def searched(*given):
        *_, is_greedy, _ = given
        seen.append(is_greedy)
        return SimpleNamespace(best_us=1.0)

    monkeypatch.setattr(rounds, "_search", searched)
    monkeypatch.setattr(rounds, "replace", lambda found, **_: found)
    options = SimpleNamespace(extraction="full")
    run = SimpleNamespace(options=options, remaining_s=remaining_s, budget_s=10.0, is_late=True)
    rounds.search(run, SimpleNamespace(graph=SimpleNamespace(nodes=())), (), None)
    assert seen == [False, True][:searches]


def test_where_time_is_enough_for_one_race_that_is_the_last_one(monkeypatch):
    confirmed = []
    monkeypatch.setattr(selection, "confirm", lambda *given: confirmed.append(given[-1]))
    monkeypatch.setattr(
        _Entering, "enter", lambda self, name, *_: self.entries.append(_Raced(name))
    )
    (entry,) = _entered(monkeypatch, 0.0, is_last_race_all=True)
    assert confirmed == [entry.candidate] == ["best predicted"]


_Raced = namedtuple("_Raced", "candidate")


def test_seconds_kept_for_the_races_are_not_shared_out():
    run = Run(Options(time_limit_s=20.0), Report("program"), lambda stage, detail: None)
    run.share_out(5.0)
    assert run.remaining_s == pytest.approx(15.0, abs=0.1) == run.budget_s
    run.release()
    assert run.remaining_s == pytest.approx(20.0, abs=0.1)


def _entered(monkeypatch, remaining_s, other=None, is_last_race_all=False):
    """The names of those that are entered in so many seconds, a second each, and races."""
    state = SimpleNamespace(
        remaining_s=remaining_s,
        is_interrupted=False,
        options=SimpleNamespace(
            extraction="greedy", objective="time", limits=SimpleNamespace(variations=0)
        ),
        report=SimpleNamespace(candidates=[]),
        stage=lambda name: nullcontext({}),
        release=lambda: None,
    )
    search = _Entering(state)
    search.is_last_race_all = is_last_race_all
    monkeypatch.setattr(selection, "MeasuredSearch", lambda *_: search)
    monkeypatch.setattr(selection, "shortest_race_s", lambda *_: 0.5)
    monkeypatch.setattr(selection, "deciding_s", lambda *_: 0.5)
    monkeypatch.setattr(selection, "_prefer_memory", lambda *_: None)
    monkeypatch.setattr(selection, "_enter_greedy", lambda *_: None)
    found = SimpleNamespace(
        formulation=None, rules=None, usual=None, first=None, rounds=[(None, 0.0)], other=other
    )
    extraction = SimpleNamespace(selections=[{}, {}, {}])
    selection.select_by_measuring(state, None, None, found, extraction)
    return search.entries
