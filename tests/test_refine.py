"""Programs varied kernel by kernel: what is unfit is sought, what is fit is timed."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from running import normal, program_of

from saturax.checking.blame import Blame
from saturax.cost.device import Calibration
from saturax.cost.formulate import Extracted, formulate, read_program
from saturax.cost.model import PriceModel
from saturax.egraph import Limits, saturate
from saturax.extract import dag_greedy
from saturax.options import Options
from saturax.pipeline import active_rules
from saturax.proposals import propose
from saturax.racing import refine
from saturax.racing.refine import MeasuredSearch
from saturax.racing.select import RaceEntry, RaceResult
from saturax.report.model import CandidateReport
from saturax.search.represent import represent


class Judge:
    """A contest in which programs with certain operations are unfit, and races never end."""

    def __init__(self, unfit):
        self.unfit, self.candidates, self.ratio = unfit, [], 2.0
        self.call_s, self.limits_s = 1e-3, []

    def enter(self, name, graph, frozen, predicted_us, rules):
        report = CandidateReport(name, predicted_us, graph.size(), dict(rules))
        report.verified = not self.unfit(graph)
        if report.verified:
            self.candidates.append(SimpleNamespace(report=report, graph=graph))
        return report

    has_long_calls = False

    def seconds_of(self, pairs):
        return pairs * 2 * self.call_s

    def chance(self, candidate, time_limit_s):
        return 1.0

    def race(self, candidates, limit_s, against=None, is_last=True):
        self.limits_s.append(limit_s)
        entries = tuple(RaceEntry(i, 1.0, 2.0, self.ratio) for i in range(len(candidates)))
        return RaceResult(None, 2.0, entries, 8, limit_s, "time limit")

    def does_less(self, candidate, other):
        return False


def _search(unfit, remaining_s=60.0):
    a, b, x = normal(64, 32), normal(32, 96, seed=1), normal(96)
    graph = program_of(lambda a, b, x: (a @ b) @ x, a, b, x).graph
    represented = represent(graph, propose(graph))
    saturate(represented.egraph, active_rules(Options()), Limits())
    formulation = formulate(represented, PriceModel(Calibration("test")))
    signatures = formulation.problem.signatures
    usual = frozenset(signatures[node] for node in formulation.original().values())
    return MeasuredSearch(
        formulation,
        Judge(unfit),
        Counter(),
        usual,
        [],
        lambda: remaining_s,
        9,
        lambda detail: None,
        Extracted(graph, tuple(range(len(graph.nodes))), ()),
    )


def test_an_unfit_best_program_is_varied_until_one_is_fit():
    """Two products with a vector are unfit: what replaces them is the product of matrices."""

    def unfit(graph):
        return all(node.type.shape != (64, 96) for node in graph.nodes if node.op == "dot_general")

    search = _search(unfit)
    assert search.enter("best predicted", dag_greedy(search.formulation.problem)) is None
    search.race()
    assert search.champion is None
    assert search.refine() >= 1
    assert search.contest.candidates
    assert search.champion.candidate in search.contest.candidates


def test_bold_changes_alone_are_tried_first_where_nothing_is_fit():
    search = _search(lambda graph: not search.rejected)  # the first program is unfit
    best = dag_greedy(search.formulation.problem)
    assert search.enter("best predicted", best) is None
    assert search._change_less() == 1
    assert [report.name for report in search.reports][1:] == ["variation 1: bold changes alone"]
    signatures = search.formulation.problem.signatures
    kept = search._reluctantly(best, 1e9)
    assert {signatures[node] for node in kept.values()} <= search.usual
    assert not {signatures[node] for node in best.values()} <= search.usual


def test_inexact_steps_are_taken_back_where_nothing_is_fit(monkeypatch):
    """Said to be inexact: what the best prediction computes and the original does not."""

    def blamed(original, candidate, class_of, evaluate, evaluate_wide):
        exact = {class_of(enode): enode for enode in original.enodes}
        return Blame(frozenset(candidate.enodes) - frozenset(original.enodes), exact)

    monkeypatch.setattr(refine, "blame", blamed)
    search = _search(lambda graph: not search.rejected)
    search.contest.evaluate_on_samples = None  # nobody asks
    best = dag_greedy(search.formulation.problem)
    assert search.enter("best predicted", best) is None
    assert search._take_back_inexact_steps() == 1
    assert [report.name for report in search.reports][1:] == [
        "variation 1: inexact steps taken back"
    ]
    original = read_program(search.formulation, search.formulation.original())
    assert search.contest.candidates[0].graph == original.graph
    assert search.champion is not None


def test_what_cannot_be_blamed_is_no_failure():
    search = _search(lambda graph: True)  # a judge without samples
    search.enter("best predicted", dag_greedy(search.formulation.problem))
    assert search._take_back_inexact_steps() == 0


def _exact(search):
    """The outcome of an exact search, by which the original is best."""
    formulation = search.formulation
    return SimpleNamespace(
        formulation=formulation, best=formulation.original(), rules=Counter(), best_us=1.0
    )


def test_exact_rules_are_asked_where_nothing_is_accurate_enough():
    search = _search(lambda graph: not search.rejected)
    search.search_exactly = lambda: _exact(search)
    search.enter("best predicted", dag_greedy(search.formulation.problem))
    assert search._keep_every_bit() == 1
    assert [report.name for report in search.reports][1:] == ["by exact rules alone"]
    assert search.champion.candidate.report is search.reports[1]


@pytest.mark.parametrize(("is_original", "tried"), [(False, 0), (True, 1)])
def test_exact_rules_are_not_asked_where_a_program_is_fit(is_original, tried):
    """Unless that is the original, with values written."""
    search = _search(lambda graph: False)
    search.search_exactly = lambda: _exact(search)
    search.enter("best predicted", dag_greedy(search.formulation.problem))
    search.reports.append(CandidateReport("unfit", 1.0, 1, {}, verified=False))
    search.entries[0].is_original = is_original
    assert search._keep_every_bit() == tried


def test_several_inexact_programs_are_enough():
    search = _search(lambda graph: True)
    reports = [CandidateReport("unfit", 1.0, 1, {}, verified=False) for _ in range(3)]
    search.reports += reports[:2]
    assert not search.is_inexact
    search.reports += reports[2:]
    assert search.is_inexact


def test_what_fails_for_other_reasons_is_not_searched_for_exactly():
    search = _search(lambda graph: True)
    search.search_exactly = lambda: _exact(search)
    search.enter("best predicted", dag_greedy(search.formulation.problem))
    search.reports[0].verified = None  # it did not compile
    assert search._keep_every_bit() == 0


def test_no_program_is_varied_after_the_time():
    search = _search(lambda graph: True, remaining_s=0.5)
    search.enter("best predicted", dag_greedy(search.formulation.problem))
    assert search.refine() == 0
    assert len(search.reports) == 1


@pytest.mark.parametrize(("ratio", "is_champion"), [(2.0, True), (0.5, False)])
def test_a_first_fit_variation_leads_though_its_race_ran_out_of_time(ratio, is_champion):
    search = _search(lambda graph: False)
    entry = search.enter("variation", dag_greedy(search.formulation.problem))
    search.contest.ratio = ratio
    assert search._beats_champion(entry) is is_champion
    assert entry.candidate.report.ratio == ratio


def test_who_has_run_most_pairs_leads():
    """And not who was luckier in fewer rounds."""
    search = _search(lambda graph: False)
    search.enter("best predicted", dag_greedy(search.formulation.problem))
    search.enter("original", search.formulation.original())
    entries = tuple(RaceEntry(i, 1.0, 2.0, ratio) for i, ratio in enumerate((1.05, 1.07)))
    result = RaceResult(None, 2.0, entries, 44, 9.0, "time limit", leader=0)
    search.contest.race = lambda *_, **__: result
    search.race()
    assert search.champion is search.entries[0]


@pytest.mark.parametrize(("chance", "is_champion"), [(0.2, True), (0.01, False)])
def test_what_has_no_chance_runs_no_last_race(chance, is_champion):
    search = _search(lambda graph: False)
    search.enter("best predicted", dag_greedy(search.formulation.problem))
    search.contest.chance = lambda candidate, limit_s: chance
    search.race()
    assert (search.champion is not None) is is_champion


@pytest.mark.parametrize(
    ("remaining_s", "has_long_calls", "is_open"),
    [(30.0, True, True), (30.0, False, False), (60.0, True, False)],
)
def test_an_undecided_champion_has_the_time_of_200_pairs(remaining_s, has_long_calls, is_open):
    search = _search(lambda graph: False, remaining_s)
    search.enter("best predicted", dag_greedy(search.formulation.problem))
    assert not search.is_open
    search.contest.call_s, search.contest.has_long_calls = 0.1, has_long_calls
    search.race()
    assert search.is_open is is_open
    search.is_decided = True
    assert not search.is_open


@pytest.mark.parametrize(("call_s", "limit_s"), [(1e-3, 1.0), (0.5, 6.0)])
def test_slow_programs_are_timed_even_if_no_time_is_left(call_s, limit_s):
    search = _search(lambda graph: False, remaining_s=0.0)
    search.contest.call_s = call_s
    search.enter("best predicted", dag_greedy(search.formulation.problem))
    search.race()
    assert search.contest.limits_s == [limit_s]


def test_variations_are_tried_only_if_their_race_can_be_decided():
    search = _search(lambda graph: False, remaining_s=10.0)
    search.enter("best predicted", dag_greedy(search.formulation.problem))
    search.race()
    search.contest.call_s = 0.5  # 14 rounds of two programs
    assert search.refine() == 0
    search.contest.call_s = 0.1
    assert search.refine() >= 1
    assert search.contest.limits_s[-1] == pytest.approx(2.8)
