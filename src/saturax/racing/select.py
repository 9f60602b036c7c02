"""Choose between an original program and candidates by timing them: never slower, and sure of it.

Programs run in rounds, each once in random order, so that a drift of the machine hits all alike.
A program has the caches to itself while it is timed, as one has that is called over and over: what
the others left there is made up for by a call that does not count.
Many candidates are first thinned out on these rounds; the best one then meets the original in
fresh pairs, judged by sequential tests of signed ranks and of signs and, because real noise has
heavy tails, by the bootstrap interval of the median ratio too. Fresh, because the fastest of many
is partly the luckiest. Ties keep the original.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

Call = Callable[[], object]
"""Runs a program on its inputs and returns when its results are there."""

# Numbers of pairs at which the test looks at the data, and the error probability of each look as a
# share of the whole. Looks share most of their data, so it need not be 1/14: simulated without a
# margin, looks at 0.15 of 1 % prefer one of two equal programs in 0.7 % of races.
_LOOKS = (5, 6, 7, 8, 12, 17, 24, 34, 48, 68, 96, 136, 192, 272)
_LEAST_SIGNED = 8  # in fewer pairs signs prove nothing, but all times of one program may be shorter
_TESTS = 2  # by signed ranks, and by signs alone, which outliers do not sway
_ALPHA_SHARE, _ERROR_PROBABILITY = 0.15, 0.01
_FINALISTS = 3
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
_LONG_CALL_S, _LEAST_CALLS = 0.01, 2
_RESAMPLES = 1000
_SHORTEST_CONFIRMATION_S = 0.25  # a state of the machine that favours one program may last 0.1 s
_EXACT_PAIRS = 48  # beyond, the normal approximation of the signed-rank test is close and cheap


def least_pairs(error_probability: float = _ERROR_PROBABILITY) -> int:
    """The pairs after which a candidate that won all of them is chosen.

    Sooner only one whose slowest call is faster than any of the original.

    >>> least_pairs()
    12
    """
    alpha = _ALPHA_SHARE * error_probability / _FINALISTS
    return next(pairs for pairs in _LOOKS if _TESTS * 0.5**pairs < alpha)


def calls_in_a_row(call_s: float) -> tuple[int, int]:
    """Calls of every program in a round, by the seconds that one takes: not timed, and timed.

    All programs make the same number, so that what the first ones cost is no gain of any.

    >>> calls_in_a_row(1e-4), calls_in_a_row(3e-3), calls_in_a_row(0.02)
    ((1, 5), (1, 2), (0, 1))
    """
    if call_s > _LONG_CALL_S:
        return 0, 1
    calls = math.ceil(_SHORTEST_RUN_S / max(call_s, 1e-9))
    return 1, min(_MOST_CALLS, max(_LEAST_CALLS, calls))


@dataclass(frozen=True)
class RaceEntry:
    """What was measured of one candidate.

    `time_us` is its median time, `original_us` the median of the original in the same rounds,
    `ratio` the median of original over candidate in each round (above 1 is faster), `interval` a
    95 % bootstrap interval of that median, `runs` the number of rounds. `time_us` is None when it
    never ran to the end; `reason` says why it did not win (empty for the winner).
    """

    index: int
    time_us: float | None = None
    original_us: float | None = None
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    runs: int = 0
    reason: str = ""


@dataclass(frozen=True)
class RaceResult:
    """The outcome: `winner` is the index of the chosen candidate, None for the original.

    `entries` are in the order of the candidates. `stop_reason` says in a few words why the race
    ended. `original_us` is the original's median over all rounds, None if it never ran.
    """

    winner: int | None
    original_us: float | None
    entries: tuple[RaceEntry, ...]
    pairs: int
    elapsed_s: float
    stop_reason: str


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
    margin: float = 0.01,
    error_probability: float = _ERROR_PROBABILITY,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> RaceResult:
    """Time candidates against the original and choose.

    A candidate wins only if it is faster by more than `margin` (0.01: one per cent), with at most
    `error_probability` of being wrong. A candidate that raises is out, with its reason. An
    exception of the original is the caller's. On `KeyboardInterrupt` the race ends and the
    original stays, unless a candidate had been confirmed. `clock` returns seconds.

    `time_limit_s` is checked before each round; a round with the original and one candidate can
    overrun it.
    """
    contest = _Race(original, candidates, margin, error_probability, seed, clock)
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
        self.winner: int | None = None
        self.pairs = 0
        self.stop_reason = "no candidate was faster"

    def run(self, time_limit_s: float) -> None:
        """Warm up, thin out, then confirm the best of those that are left."""
        self._warm_up_original()
        alive = [index for index in range(len(self.runners)) if self._warm_up_candidate(index)]
        alive = self._thin_out(alive, self.started + _THINNING_SHARE * time_limit_s)
        finalists = alive[:_FINALISTS]
        for place, index in enumerate(finalists):
            if self._confirm(index, len(finalists)):
                self.winner = index
                self.stop_reason = "a candidate was faster with confidence"
                for other in finalists[place + 1 :]:
                    self._reject(other, "another candidate won the race")
                return
            if self.clock() >= self.deadline:
                for other in finalists[place + 1 :]:
                    self._reject(other, f"{OUT_OF_TIME} before it met the original")
                self.stop_reason = "time limit"
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
        """Successive halving on fresh rounds; the rest in order of merit, best first."""
        rounds = _FIRST_ROUNDS
        while len(alive) > 1:
            self._restart(alive)
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
            keep = keep[: max(_FINALISTS, math.ceil(len(alive) / 2))]
            for index in ranked:
                if index not in keep:
                    self._reject(index, "others were faster in the first rounds")
            was_final, alive = len(alive) <= _FINALISTS, keep
            if was_final or self.clock() >= until:
                break
            rounds *= 2
        return alive

    def _confirm(self, index: int, finalists: int) -> bool:
        """Fresh pairs of a finalist and the original, until the test has decided."""
        self._restart([index])
        alpha = _ALPHA_SHARE * self.error_probability / finalists
        began = self.clock()
        shortest_s = min(_SHORTEST_CONFIRMATION_S, (self.deadline - began) / 4)
        verdict, reason = False, "not faster by the margin with confidence"
        while len(self.original.times) < _LOOKS[-1]:
            if self.clock() >= self.deadline:
                reason = f"{OUT_OF_TIME} after {len(self.original.times)} pairs"
                # The last look comes early: no other follows.
                enough = len(self.original.times) >= _LOOKS[0]
                verdict = enough and self._decide(index, alpha) is True
                break
            if not self._round([index]):
                return False
            self.pairs += 1
            if len(self.original.times) not in _LOOKS:
                continue
            lasted = self.clock() - began >= shortest_s or len(self.original.times) == _LOOKS[-1]
            decision = self._decide(index, alpha)
            if decision is False or (decision and lasted):
                verdict = decision
                break
        self._note([index])
        self._reject(index, "" if verdict else reason)
        return verdict

    def _decide(self, index: int, alpha: float) -> bool | None:
        """Whether the candidate is faster; None while that is open."""
        ratios = self._ratios(index)
        if len(ratios) < _LEAST_SIGNED:
            return self._decide_apart(index, alpha)
        gains = np.log(ratios) - math.log1p(self.margin)
        likeliest = min(signed_rank_probability(gains), sign_probability(gains))
        if _TESTS * likeliest < alpha:
            return median_interval(ratios, self.random)[0] > 1 or None
        # The mirror image of the test: it is not faster by the margin, stop trying.
        return False if signed_rank_probability(-gains) < self.error_probability else None

    def _decide_apart(self, index: int, alpha: float) -> bool | None:
        """Whether the candidate is faster in every round than the original in any, or slower.

        Of 2n times of equal programs, those of one are the shortest n once in 2n over n times.
        """
        originals = np.array(self.original.times) / (1 + self.margin)
        times = np.array(self.runners[index].times)
        probability = 1 / math.comb(2 * len(times), len(times))
        if times.max() < originals.min() and probability < alpha:
            return True
        is_slower = times.min() > originals.max() and probability < self.error_probability
        return False if is_slower else None

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


def signed_rank_probability(values: np.ndarray) -> float:
    """One-sided p-value of Wilcoxon's signed-rank test that `values` lie above 0.

    Given the sizes of the values, each sign is a fair coin under the null hypothesis, so the sum W
    of positive ranks r has the generating function Π (1 + xʳ)/2, mean Σr/2 and variance Σr²/4. The
    answer is exact, also with ties, for up to 48 values; beyond, W is taken as normal.
    """
    values = np.asarray(values, dtype=float)
    values = values[values != 0]
    if values.size == 0:
        return 1.0
    sizes = np.abs(values)
    # Twice the mean rank of each value: an integer, also among ties.
    doubled = (sizes[:, None] > sizes).sum(1) + (sizes[:, None] >= sizes).sum(1) + 1
    observed = int(doubled[values > 0].sum())
    if values.size > _EXACT_PAIRS:
        deviation = math.sqrt(float((doubled**2).sum()) / 4)
        # Continuity: doubled ranks without ties move in steps of 2.
        return 0.5 * math.erfc((observed - 1 - doubled.sum() / 2) / (deviation * math.sqrt(2)))
    distribution = np.zeros(int(doubled.sum()) + 1)
    distribution[0] = 1.0
    for rank in doubled.tolist():
        shifted = np.zeros_like(distribution)
        shifted[rank:] = distribution[: distribution.size - rank]
        distribution = (distribution + shifted) / 2
    return float(distribution[observed:].sum())


def sign_probability(values: np.ndarray) -> float:
    """One-sided p-value of the sign test that `values` lie above 0.

    Where a call in ten takes twice as long, those few have the highest ranks of all.

    >>> sign_probability(np.array([1.0, 2.0, -9.0, 1.0]))
    0.3125
    """
    count, above = int((values != 0).sum()), int((values > 0).sum())
    return float(sum(math.comb(count, k) for k in range(above, count + 1)) * 0.5**count)


def median_interval(
    values: np.ndarray, random: np.random.Generator, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the median."""
    picks = random.integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.quantile(
        np.median(values[picks], axis=1), ((1 - confidence) / 2, (1 + confidence) / 2)
    )
    return float(low), float(high)
