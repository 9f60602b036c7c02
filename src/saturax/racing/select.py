"""Choose between an original program and candidates by timing them: never slower, and sure of it.

Programs run in rounds, each once in random order, so that a drift of the machine hits all alike.
A program has the caches to itself while it is timed, as one has that is called over and over: what
the others left there is made up for by a call that does not count.
Many candidates are first thinned out on these rounds; the best one then meets the original in
fresh pairs, on which tests in sequence decide (`evidence.py`). Fresh, because the fastest of many
is partly the luckiest. Ties keep the original.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from saturax.racing.evidence import (
    ERROR_PROBABILITY,
    FINALISTS,
    LOOKS,
    MARGIN,
    NO_PAIRS,
    Pairs,
    chance,
    decide,
    median_interval,
)

Call = Callable[[], object]
"""Runs a program on its inputs and returns when its results are there."""

OUT_OF_TIME = "time limit reached"
"""How the reasons begin of candidates whose race was not decided in time."""
WARM_UPS = 2  # calls of each program before the first that counts
_FIRST_ROUNDS = 4
_CLEARLY_SLOWER = 0.8  # a candidate this slow (speed relative to the original) is dropped at once
_HOPELESS = 20.0  # times the original's time: not worth another call
_THINNING_SHARE = 0.5  # of the time limit
_SHORTEST_RUN_S = 5e-4  # of the original: shorter ones run several times in a row
_MOST_CALLS = 1000
# Programs whose calls are shorter are called once before they are timed, and then at least so many
# times. NasRNN reads 17 MB of weights in 2.6 ms: timed in turns call by call, each program fetches
# into the last cache what the other has driven out, and one that was 5 % slower on its own looked
# 9 % faster. What longer calls fetch is a small part of them.
LONG_CALL_S, _LEAST_CALLS = 0.01, 2
_SHORTEST_CONFIRMATION_S = 0.25  # a state of the machine that favours one program may last 0.1 s
# What so probably loses, given all pairs of a race, needs no other.
_NO_CHANCE = 0.02


def calls_in_a_row(call_s: float) -> tuple[int, int]:
    """Calls of every program in a round, by the seconds that one takes: not timed, and timed.

    All programs make the same number, so that what the first ones cost is no gain of any.

    >>> calls_in_a_row(1e-4), calls_in_a_row(3e-3), calls_in_a_row(0.02)
    ((1, 5), (1, 2), (0, 1))
    """
    if call_s > LONG_CALL_S:
        return 0, 1
    calls = math.ceil(_SHORTEST_RUN_S / max(call_s, 1e-9))
    return 1, min(_MOST_CALLS, max(_LEAST_CALLS, calls))


@dataclass(frozen=True)
class RaceEntry:
    """What was measured of one candidate.

    `time_us` is its median time, `original_us` the median of the original in the same rounds,
    `ratio` the median of original over candidate in each round (above 1 is faster), `interval` a
    95 % bootstrap interval of that median, `runs` the number of rounds. `time_us` is None when it
    never ran to the end; `reason` says why it did not win (empty for the winner). `pairs` are those
    that tests have looked at: none if it did not come so far.
    """

    index: int
    time_us: float | None = None
    original_us: float | None = None
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    runs: int = 0
    reason: str = ""
    pairs: Pairs = NO_PAIRS


@dataclass(frozen=True)
class RaceResult:
    """The outcome: `winner` is the index of the chosen candidate, None for the original.

    `leader` is the index of the candidate whose pairs time has ended, None if it ended none.
    `entries` are in the order of the candidates. `stop_reason` says in a few words why the race
    ended. `original_us` is the original's median over all rounds, None if it never ran.
    """

    winner: int | None
    original_us: float | None
    entries: tuple[RaceEntry, ...]
    pairs: int
    elapsed_s: float
    stop_reason: str
    leader: int | None = None


@dataclass
class _Runner:
    """A program in the race and its times per call, in seconds, in the current stage."""

    call: Call
    times: list[float] = field(default_factory=list)

    def run(self, clock: Callable[[], float], calls: int, warm_ups: int = 0) -> float:
        """Seconds of each of some calls in a row, after others that do not count."""
        for _ in range(warm_ups):
            self.call()
        started = clock()
        for _ in range(calls):
            self.call()
        return (clock() - started) / calls


def race(
    original: Call,
    candidates: Sequence[Call],
    *,
    time_limit_s: float,
    margin: float = MARGIN,
    error_probability: float = ERROR_PROBABILITY,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    begun: Pairs | None = None,
    is_last: bool = True,
) -> RaceResult:
    """Time candidates against the original and choose.

    A candidate wins only if it is faster by more than `margin` (0.01: one per cent), with at most
    `error_probability` of being wrong. A candidate that raises is out, with its reason. An
    exception of the original is the caller's. On `KeyboardInterrupt` the race ends and the
    original stays, unless a candidate had been confirmed. `clock` returns seconds.

    `time_limit_s` is checked before each round; a round with the original and one candidate can
    overrun it. A race of one candidate goes on from the pairs that an earlier one has `begun`; no
    other goes on from those of a race that `is_last`.
    """
    contest = _Race(original, candidates, margin, error_probability, seed, clock)
    contest.begun, contest.is_last = begun, is_last
    contest.deadline = contest.started + time_limit_s
    try:
        contest.run(time_limit_s)
    except KeyboardInterrupt:
        contest.stop_reason = "interrupted"
    return contest.result()


class _Race:
    def __init__(
        self,
        original: Call,
        candidates: Sequence[Call],
        margin: float,
        error_probability: float,
        seed: int,
        clock: Callable[[], float],
    ) -> None:
        self.clock = clock
        self.started = clock()
        self.deadline = math.inf
        self.margin = margin
        self.error_probability = error_probability
        self.random = np.random.default_rng(seed)
        self.original = _Runner(original)
        self.original_s = 0.0
        self.calls, self.warm_ups = 1, 0
        self.runners = [_Runner(call) for call in candidates]
        self.entries = [RaceEntry(index) for index in range(len(candidates))]
        self.all_original_times: list[float] = []
        self.begun: Pairs | None = None
        self.is_last = True
        self.winner: int | None = None
        self.leader: int | None = None
        self.pairs = 0
        self.stop_reason = "no candidate was faster"

    def run(self, time_limit_s: float) -> None:
        """Warm up, thin out, then confirm the best of those that are left."""
        self._warm_up_original()
        alive = [index for index in range(len(self.runners)) if self._warm_up_candidate(index)]
        alive = self._thin_out(alive, self.started + _THINNING_SHARE * time_limit_s)
        finalists = alive[: len(FINALISTS)]
        shares = FINALISTS if len(finalists) > 1 else (1.0,)
        for place, index in enumerate(finalists):
            if self._confirm(index, shares[place]):
                self.winner = index
                self.stop_reason = "a candidate was faster with confidence"
                for other in finalists[place + 1 :]:
                    self._reject(other, "another candidate won the race")
                return
            if self.clock() >= self.deadline:
                for other in finalists[place + 1 :]:
                    self._reject(other, f"{OUT_OF_TIME} before it met the original")
                self.leader, self.stop_reason = index, "time limit"
                return

    def result(self) -> RaceResult:
        """All that is known when the race has ended."""
        times = self.all_original_times
        return RaceResult(
            winner=self.winner,
            original_us=1e6 * statistics.median(times) if times else None,
            entries=tuple(self.entries),
            pairs=self.pairs,
            elapsed_s=self.clock() - self.started,
            stop_reason=self.stop_reason,
            leader=self.leader,
        )

    def _warm_up(self, runner: _Runner) -> float:
        """Seconds of a call that is not the first."""
        for _ in range(WARM_UPS - 1):
            runner.run(self.clock, 1)
        return runner.run(self.clock, 1)

    def _warm_up_original(self) -> None:
        self.original_s = self._warm_up(self.original)
        self.warm_ups, self.calls = calls_in_a_row(self.original_s)

    def _warm_up_candidate(self, index: int) -> bool:
        if self.clock() >= self.deadline:
            self._reject(index, f"{OUT_OF_TIME} before it was run")
            return False
        try:
            seconds = self._warm_up(self.runners[index])
            if seconds > _HOPELESS * self.original_s:  # or it was interrupted: once more
                seconds = min(seconds, self.runners[index].run(self.clock, 1))
        except Exception as error:
            self._reject(index, f"it failed: {type(error).__name__}: {error}")
            return False
        if seconds > _HOPELESS * self.original_s:
            self._reject(index, f"a call took {1e6 * seconds:.0f} µs, hopelessly more")
            return False
        return True

    def _round(self, indices: Sequence[int]) -> list[int]:
        """Run the original and some candidates once, in random order; those that did not fail."""
        order = self.random.permutation([-1, *indices])
        times: dict[int, float] = {}
        for index in order.tolist():
            if index < 0:
                times[index] = self.original.run(self.clock, self.calls, self.warm_ups)
                continue
            try:
                times[index] = self.runners[index].run(self.clock, self.calls, self.warm_ups)
            except Exception as error:
                self._reject(index, f"it failed: {type(error).__name__}: {error}")
        self.original.times.append(times[-1])
        self.all_original_times.append(times[-1])
        for index in indices:
            if index in times:
                self.runners[index].times.append(times[index])
        return [index for index in indices if index in times]

    def _restart(self, indices: Sequence[int]) -> None:
        for runner in (self.original, *(self.runners[index] for index in indices)):
            runner.times = []

    def _ratios(self, index: int) -> np.ndarray:
        """Original over candidate, round by round."""
        ratios: np.ndarray = np.array(self.original.times) / np.array(self.runners[index].times)
        return ratios

    def _thin_out(self, alive: list[int], until: float) -> list[int]:
        """Successive halving on ever more rounds; the rest in order of merit, best first."""
        rounds = _FIRST_ROUNDS
        self._restart(alive)
        while len(alive) > 1:
            for _ in range(rounds):
                alive = self._round(alive)
                if self.clock() >= until:
                    break
            if not alive:
                break
            merits = {index: float(np.median(self._ratios(index))) for index in alive}
            self._note(alive)
            ranked = sorted(alive, key=lambda index: -merits[index])
            keep = [index for index in ranked if merits[index] > _CLEARLY_SLOWER]
            keep = keep[: max(len(FINALISTS), math.ceil(len(alive) / 2))]
            for index in ranked:
                if index not in keep:
                    self._reject(index, "others were faster in the first rounds")
            was_final, alive = len(alive) <= len(FINALISTS), keep
            if was_final or self.clock() >= until:
                break
            rounds *= 2
        return alive

    def _confirm(self, index: int, share: float) -> bool:
        """Fresh pairs of a finalist and the original, until the tests have decided."""
        self._restart([index])
        if self.begun is not None:
            self.original.times = list(self.begun.originals)
            self.runners[index].times = list(self.begun.candidates)
            share = self.begun.share
        began = self.clock()
        shortest_s = min(_SHORTEST_CONFIRMATION_S, (self.deadline - began) / 4)
        verdict, reason = False, "not faster by the margin with confidence"
        while (count := len(self.original.times)) < LOOKS[-1]:
            if self.clock() >= self.deadline:
                reason = self._why_open(self._pairs_of(index, share))
                # The last look comes early: no other follows.
                enough = self.is_last and count >= LOOKS[0]
                verdict = enough and self._decide(index, share, is_last=True) is True
                break
            if not self._round([index]):
                return False
            self.pairs += 1
            if (count := count + 1) not in LOOKS:
                continue
            is_end = count == LOOKS[-1]
            lasted = self.clock() - began >= shortest_s or is_end
            decision = self._decide(index, share, is_last=self.is_last and is_end)
            if decision is False or (decision and lasted):
                verdict = decision
                break
        self._note([index])
        self._reject(index, "" if verdict else reason)
        pairs = self._pairs_of(index, share)
        self.entries[index] = replace(self.entries[index], pairs=pairs)
        return verdict

    def _why_open(self, pairs: Pairs) -> str:
        """Why a race that time has ended has no winner."""
        if chance(pairs, LOOKS[-1] - len(pairs), self.margin) < _NO_CHANCE:
            return f"after {len(pairs)} pairs it is most likely not faster by the margin"
        return f"{OUT_OF_TIME} after {len(pairs)} pairs"

    def _pairs_of(self, index: int, share: float) -> Pairs:
        return Pairs(tuple(self.original.times), tuple(self.runners[index].times), share)

    def _decide(self, index: int, share: float, *, is_last: bool) -> bool | None:
        pairs = self._pairs_of(index, share)
        return decide(pairs, self.random, self.margin, self.error_probability, is_last=is_last)

    def _note(self, indices: Sequence[int]) -> None:
        """Enter the current times into the entries."""
        if not self.original.times:
            return
        original_us = 1e6 * statistics.median(self.original.times)
        for index in indices:
            ratios = self._ratios(index)
            self.entries[index] = replace(
                self.entries[index],
                time_us=1e6 * statistics.median(self.runners[index].times),
                original_us=original_us,
                ratio=float(np.median(ratios)),
                interval=median_interval(ratios, self.random),
                runs=len(ratios),
            )

    def _reject(self, index: int, reason: str) -> None:
        self.entries[index] = replace(self.entries[index], reason=reason)
