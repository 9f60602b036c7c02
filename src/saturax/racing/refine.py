"""Stage `select`: whole programs are timed, and the best is varied kernel by kernel.

Predictions rank most programs rightly but miss what only the compiled whole shows (a fusion that a
neighbour breaks, a cache that no longer holds the weights). So the program that won the first race
is varied: each kernel that it does not share with the original is forbidden in turn, the rest is
extracted anew around it, and the variation is kept if it is measured to be faster.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Container, Hashable, Sequence
from dataclasses import dataclass, field

from saturax.assembly.repeated import Held, with_values_written
from saturax.checking.blame import Blame, blame
from saturax.cost.formulate import Extracted, Formulation, read_program, without_frozen
from saturax.extract import Selection, dag_cost, dag_greedy
from saturax.graph.ir import Graph
from saturax.racing.contest import Candidate, Contest
from saturax.racing.durations import (
    LAST_PAIRS,
    LONGEST_RACE_S,
    SHORTEST_RACE_S,
    deciding_s,
    is_scarce,
    shortest_race_s,
)
from saturax.racing.nearby import LOYALTY, avoiding, exactly
from saturax.report.model import CandidateReport
from saturax.search.rounds import Found, rules_of

logger = logging.getLogger("saturax")

Price = Callable[[Graph], float | None]
"""What a program takes as a whole, in microseconds; None where that is not known."""

Whole = Callable[[Extracted], Extracted]
"""The program that one found by a search stands for."""

# A kernel below this share of the predicted time is not worth a compilation.
_WORTHWHILE_SHARE = 0.01
# What the original does not run has to be so many times as fast to be taken, where the best
# prediction is unfit: a few bold changes often hold most of the gain, and fewer roundings.
_RELUCTANCE = (1.5, 4.0)
# Of programs that are not accurate enough, what so many others share is looked at next.
_INEXACT_ALIKE = 3
# Rounds of taking inexact steps back.
_MOST_TAKEN_BACK = 4
# Programs whose times differ by less than this share are equally fast.
_TIE = 0.02
# What leads, but is less likely to win its last race, does not run it.
_LEAST_CHANCE = 0.05
# Programs are tried with values written if they compute so many times as much without.
_LEAST_GAIN = 1.03


@dataclass
class Entry:
    """A candidate in the contest and the selection that it came from, if it can be varied."""

    candidate: Candidate
    selection: Selection | None
    is_original: bool = False
    """Whether it is the original, with values written: nothing that the search has found."""


@dataclass
class MeasuredSearch:
    """Enters extracted programs into a contest and keeps the fastest that was measured.

    `base_rules` lead from the original to the program that `formulation` begins with, `usual` are
    the signatures of the kernels that the original runs, `first` is the first round of a search in
    several: its formulation and best selection, `original` the program before it. `price` says what
    programs take as wholes, where that is known, and what is read off selections stands for its
    `whole`; `search_exactly()` searches once more, by rules that keep every bit. `remaining_s()`
    tells the seconds left, compilations not counted; after `patience` variations in a row that were
    no better, the rest is not worth the wait. The `champion` has won a race if that `is_decided`.
    """

    formulation: Formulation
    contest: Contest
    base_rules: Counter[str]
    usual: frozenset[Hashable]
    reports: list[CandidateReport]
    remaining_s: Callable[[], float]
    patience: int
    on_progress: Callable[[str], None]
    original: Extracted
    first: tuple[Formulation, Selection] | None = None
    price: Price = lambda graph: None
    whole: Whole = lambda extracted: extracted
    search_exactly: Callable[[], Found | None] = lambda: None
    champion: Entry | None = None
    is_decided: bool = False
    entries: list[Entry] = field(default_factory=list)
    rejected: list[Selection] = field(default_factory=list)

    def enter(self, name: str, selection: Selection) -> Entry | None:
        """Compile and check the program of a selection; None if it is not fit to race."""
        extracted = read_program(self.formulation, selection)
        predicted_us = dag_cost(self.formulation.problem, selection)
        rules = self.base_rules + rules_of(self.formulation, extracted)
        return self.enter_program(name, self.whole(extracted), predicted_us, selection, rules)

    def enter_program(
        self,
        name: str,
        extracted: Extracted,
        predicted_us: float | None,
        selection: Selection | None = None,
        rules: Counter[str] | None = None,
    ) -> Entry | None:
        """Compile and check a program; without its selection it cannot be varied later.

        `rules` made it of the original, where they are not those of the search.
        """
        if self.remaining_s() <= 0 and self.entries:  # one is always tried
            return None
        self.on_progress(f"compiling and checking: {name}")
        rules = Counter(self.base_rules if rules is None else rules)
        before = len(self.contest.candidates)
        whole_us = self.price(without_frozen(extracted))
        predicted_us = predicted_us if whole_us is None else whole_us
        report = self.contest.enter(name, extracted.graph, extracted.frozen, predicted_us, rules)
        if report is None:
            return None
        self.reports.append(report)
        if len(self.contest.candidates) == before:
            if selection is not None:
                self.rejected.append(selection)
            return None
        entry = Entry(self.contest.candidates[-1], selection)
        self.entries.append(entry)
        return entry

    def held(self, selection: Selection | None = None) -> tuple[Extracted, Held] | None:
        """The program of a selection, or the original, with what it computes repeatedly written.

        None if there is nothing to be written, or if kernels are made in another way.
        """
        if self.contest.original.device.platform != "cpu" or len(self.contest.devices) > 1:
            return None
        found = with_values_written(self.extracted(selection), self.price)
        return None if found is None or found[1].gain < _LEAST_GAIN else found

    def enter_held(
        self, name: str, written: Extracted, count: int, selection: Selection | None = None
    ) -> Entry | None:
        """Compile and check such a program, in which so many values are held."""
        rules = Counter[str]()
        if selection is not None:
            extracted = read_program(self.formulation, selection)
            rules = self.base_rules + rules_of(self.formulation, extracted)
        rules["hold_repeated"] = count
        entry = self.enter_program(f"{name}, values written", written, None, rules=rules)
        if entry is not None:
            entry.is_original = selection is None
        return entry

    def extracted(self, selection: Selection | None) -> Extracted:
        """The program that a selection stands for; without one, the original."""
        if selection is None:
            return self.whole(self.original)
        return self.whole(read_program(self.formulation, selection))

    @property
    def is_unfit(self) -> bool:
        """Whether no program that the search has found is fit to race."""
        return all(entry.is_original for entry in self.entries)

    @property
    def is_inexact(self) -> bool:
        """Whether nothing is fit, and several programs were not accurate enough."""
        inexact = sum(report.verified is False for report in self.reports)
        return self.is_unfit and inexact >= _INEXACT_ALIKE

    def race(self) -> None:
        """Time all entries against the original; the fastest becomes the champion."""
        if self.entries:
            self.on_progress(f"timing {len(self.entries)} programs against the original")
            self._race_original(self.entries)

    @property
    def is_last_race_all(self) -> bool:
        """Whether there is one program, and no time to race it before the last race."""
        least_s = shortest_race_s(self.contest, 1) + deciding_s(self.contest)
        return len(self.entries) == 1 and self.remaining_s() < least_s

    @property
    def is_open(self) -> bool:
        """Whether the champion has yet to win, and needs the time that is left for it."""
        is_open = self.champion is not None and not self.is_decided
        return is_open and is_scarce(self.contest, self.remaining_s())

    def challenge_selection(self, name: str, selection: Selection) -> None:
        """Enter the program of one more selection and race it against the best so far."""
        entry = self.enter(name, selection)
        if entry is not None and self._beats_champion(entry):
            self.champion = entry

    def _race_original(self, entries: Sequence[Entry]) -> None:
        limit_s = min(0.5 * self.remaining_s(), LONGEST_RACE_S * (1 + len(entries)))
        limit_s = max(limit_s, shortest_race_s(self.contest, len(entries)))
        result = self.contest.race([entry.candidate for entry in entries], limit_s, is_last=False)
        for entry, timed in zip(entries, result.entries, strict=True):
            report = entry.candidate.report
            report.time_us, report.ratio = timed.time_us, timed.ratio
            report.interval = timed.interval
            report.outcome, report.reason = "slower", timed.reason
        ratios = [timed.ratio or 0.0 for timed in result.entries]
        # A race that ran out of time has no winner; its leader still gets a confirmation.
        leader = max(range(len(ratios)), key=ratios.__getitem__)
        if result.leader is not None and ratios[result.leader] > 1:
            leader = result.leader  # the best of few rounds is but luckier
        if result.winner is not None:
            leader = result.winner
        if not self.contest.has_long_calls:  # their pairs would be thrown away
            leader = self._least_work(entries, leader, ratios)
        if result.winner is not None or self._may_win(entries[leader].candidate, ratios[leader]):
            self.champion, self.is_decided = entries[leader], result.winner == leader

    def _may_win(self, candidate: Candidate, ratio: float) -> bool:
        """Whether a candidate that leads, but has not won, may do so in the last race."""
        if self.contest.does_less(candidate, None):
            return ratio > 1 - _TIE
        limit_s = max(self.remaining_s(), LONGEST_RACE_S, self.contest.seconds_of(LAST_PAIRS))
        return ratio > 1 and self.contest.chance(candidate, limit_s) >= _LEAST_CHANCE

    def _least_work(self, entries: Sequence[Entry], leader: int, ratios: Sequence[float]) -> int:
        """Of the entries as fast as the leader, one that does less work than it, if there is."""
        for index, entry in enumerate(entries):
            is_as_fast = ratios[index] > (1 - _TIE) * ratios[leader]
            if is_as_fast and self.contest.does_less(entry.candidate, entries[leader].candidate):
                leader = index
        return leader

    def refine(self) -> int:
        """Vary the champion while time is left; return how many variations were tried.

        Where no program was fit to race, what makes the best prediction unfit is sought: steps that
        lose accuracy are taken back, then small changes are left out, then all that rounds, then
        kernels are forbidden one after the other, until a program is fit.
        """
        tried = self._take_back_inexact_steps()
        tried += self._change_less()
        tried += self._keep_every_bit()
        failures = 0
        base = self._to_vary()
        banned: set[Hashable] = set()
        suspects = [] if base is None else self._suspects(base)
        while base is not None and suspects and failures < self.patience and self.has_time():
            if self.is_open:  # the last race decides about it
                break
            suspect = suspects.pop(0)
            variation = self._without(base, banned | {suspect})
            if variation is None:
                continue
            tried += 1
            failures += 1
            kernel = str(suspect).partition("(")[0]
            entry = self.enter(f"variation {tried}: one {kernel} less", variation)
            if entry is not None and self._beats_champion(entry):
                self.champion, base, failures = entry, variation, 0
                banned.add(suspect)
            elif self.is_unfit:
                base = variation
                banned.add(suspect)
                suspects = [each for each in self._suspects(base) if each not in banned]
        return tried

    def _take_back_inexact_steps(self) -> int:
        """Where no program was fit, enter the best prediction with its inexact steps undone.

        They are sought in the first round of the search, which begins with the original, then in
        the last. What follows from inexact values shows its own errors once they are exact: in a
        few passes. Returns how many programs were entered.
        """
        rounds = [] if self.first is None else [self.first]
        if (last := self._to_vary()) is not None:
            rounds.append((self.formulation, last))
        tried = 0
        for formulation, base in rounds:
            exact: dict[int, int] = {}
            banned: set[Hashable] = set()
            selection: Selection | None = base
            for _ in range(_MOST_TAKEN_BACK):
                if selection is None or not (self.is_unfit and self.has_time()):
                    break
                blamed = self._blame(formulation, selection)
                if not blamed.exact.items() - exact.items():
                    break
                exact |= blamed.exact
                banned |= self._kernels_of(blamed.inexact, formulation, selection)
                selection = exactly(formulation, base, exact, banned)
                if selection is not None:
                    tried += 1
                    name = f"variation {tried}: inexact steps taken back"
                    self._enter_exact(name, formulation, selection)
        if tried:
            self.race()
        return tried

    def _enter_exact(self, name: str, formulation: Formulation, selection: Selection) -> None:
        if formulation is self.formulation:
            self.enter(name, selection)
            return
        extracted = read_program(formulation, selection)
        predicted_us = dag_cost(formulation.problem, selection)
        rules = rules_of(formulation, extracted)
        self.enter_program(name, self.whole(extracted), predicted_us, rules=rules)

    def _blame(self, formulation: Formulation, selection: Selection) -> Blame:
        self.on_progress("looking for steps that lose accuracy")
        contest, find = self.contest, formulation.represented.egraph.find
        try:
            return blame(
                self.whole(read_program(formulation, formulation.original())),
                self.whole(read_program(formulation, selection)),
                lambda enode: enode if enode < 0 else find(enode),
                contest.evaluate_on_samples,
                lambda graph: contest.evaluate_on_samples(graph, is_wide=True),
            )
        except Exception as error:  # whatever a compiler may raise: other variations are left
            logger.info("steps that lose accuracy are not known: %s", error)
            return Blame()

    def _kernels_of(
        self, enodes: Container[int], formulation: Formulation, selection: Selection
    ) -> set[Hashable]:
        """Kernels behind e-nodes of a selection that the original does not run.

        What loses accuracy in one layer does so in the next, where that shows only once the first
        is exact.
        """
        signatures = formulation.problem.signatures or ()
        names = {
            signatures[node] for node in selection.values() if formulation.enodes[node] in enodes
        }
        return (names & formulation.kernels.keys()) - self.usual

    def _change_less(self) -> int:
        """Where no program was fit, enter some that differ less from the original; return how many.

        Until one of them is fit.
        """
        base, tried = self._to_vary(), 0
        while base is not None and self.is_unfit and tried < len(_RELUCTANCE):
            if not self.has_time():
                break
            variation = self._reluctantly(base, _RELUCTANCE[tried])
            tried += 1
            self.enter(f"variation {tried}: bold changes alone", variation)
        if tried:
            self.race()
        return tried

    def _keep_every_bit(self) -> int:
        """Where nothing accurate enough was found, enter what exact rules alone lead to.

        Where a program decides by what it has computed, as a resampling of particles does, another
        rounding is another result. Work that leaves a loop as it was rounds as before.
        Returns how many programs were entered.
        """
        if not self.is_unfit or all(report.verified is not False for report in self.reports):
            return 0
        if not self.has_time() or (found := self.search_exactly()) is None:
            return 0
        extracted = read_program(found.formulation, found.best)
        rules = found.rules + rules_of(found.formulation, extracted)
        program = self.whole(extracted)
        self.enter_program("by exact rules alone", program, found.best_us, rules=rules)
        self.race()
        return 1

    def has_time(self) -> bool:
        """Whether there is time for another program and its race."""
        return self.remaining_s() > max(2 * SHORTEST_RACE_S, deciding_s(self.contest))

    def _to_vary(self) -> Selection | None:
        """The selection to vary: the champion's, else the best prediction's, fit or not."""
        ranked = [e.selection for e in (self.champion, *self.entries) if e is not None]
        return next((s for s in [*ranked, *self.rejected] if s), None)

    def _beats_champion(self, entry: Entry) -> bool:
        if self.champion is None:
            self._race_original([entry])
            return self.champion is entry
        limit_s = min(max(SHORTEST_RACE_S, 0.1 * self.remaining_s()), LONGEST_RACE_S)
        limit_s = max(limit_s, deciding_s(self.contest))
        result = self.contest.race([entry.candidate], limit_s, against=self.champion.candidate)
        report, seen = entry.candidate.report, result.entries[0]
        report.outcome, report.reason = "slower", seen.reason and "than the best so far"
        return result.winner is not None

    def _suspects(self, selection: Selection) -> list[Hashable]:
        """Kernels of a selection that the original does not run, most expensive first.

        Cheap ones count only while no program was fit to race: what makes one unfit may cost next
        to nothing.
        """
        problem = self.formulation.problem
        signatures = problem.signatures or ()
        total = dag_cost(problem, selection)
        cost: Counter[Hashable] = Counter()
        for node in selection.values():
            if signatures[node] not in self.usual and "(" in str(signatures[node]):
                cost[signatures[node]] += problem.cost_us[node]  # type: ignore[assignment]
        least_us = 0.0 if self.is_unfit else _WORTHWHILE_SHARE * total
        return [s for s, us in cost.most_common() if us >= least_us]

    def _reluctantly(self, base: Selection, reluctance: float) -> Selection:
        """A selection close to a given one that keeps to what the original runs where it can."""
        problem = self.formulation.problem
        factors = [reluctance] * len(problem.cost_us)
        for node in base.values():
            factors[node] *= LOYALTY
        rows = zip(problem.signatures or (), problem.cost_us, factors, strict=True)
        costs = [us * (1.0 if name in self.usual else factor) for name, us, factor in rows]
        return dag_greedy(problem.with_costs(costs))

    def _without(self, selection: Selection, banned: set[Hashable]) -> Selection | None:
        """The cheapest selection close to a given one that has none of the banned kernels."""
        signatures = self.formulation.problem.signatures or ()
        nodes = {node for node, name in enumerate(signatures) if name in banned}
        return avoiding(self.formulation, selection, nodes)
