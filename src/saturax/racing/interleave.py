"""Interleaved timing of programs, and the ratio of their medians with its bootstrap interval.

All programs run once a round in random order, so that a drift of the machine hits all alike.
This shares no measuring with the stage `select`, whose verdict it is there to check.
"""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections.abc import Callable, Mapping

import numpy as np

from saturax.collector import no_garbage_collection

Call = Callable[[], object]
"""Runs a program and returns when its results are there."""

# Short programs run several times in a row: long against the clock and a switch of threads.
SHORTEST_SAMPLE_S = 0.01
MOST_CALLS = 2000
LEAST_ROUNDS, MOST_ROUNDS = 7, 60
_RESAMPLES = 2000
# Where the ratio of a pair matters: enough rounds for a bootstrap of medians (of 8 rounds of one
# program against itself it found 0.92, from 0.86 to 0.99), looked at after every so many.
PAIR_ROUNDS, _LOOK = 16, 8
NARROW = 1.04  # between the ends of a ratio's interval: ±2 %


def seconds_a_call(call: Call, calls: int) -> float:
    """Mean time of `calls` calls in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def interleave(
    calls: Mapping[str, Call],
    budget_s: float = 6.0,
    seed: int = 0,
    *,
    pair: tuple[str, str] | None = None,
    limit_s: float = 0.0,
) -> dict[str, np.ndarray]:
    """Times per call in seconds, by name, one for each round.

    Ends after `MOST_ROUNDS` rounds, or when `budget_s` is over and `LEAST_ROUNDS` are done. With a
    `pair` of names it then goes on, for `limit_s` in all, until the interval of their ratio is
    narrow. All programs make the same number of calls in a row.
    """
    random = np.random.default_rng(seed)
    names = list(calls)
    for call in calls.values():  # the first call compiles or touches cold memory
        call()
    slowest = max(seconds_a_call(call, 1) for call in calls.values())
    repeats = min(MOST_CALLS, max(1, math.ceil(SHORTEST_SAMPLE_S / slowest)))
    times: dict[str, list[float]] = {name: [] for name in names}
    started = time.perf_counter()
    gc.collect()
    with no_garbage_collection():
        for done in itertools.count():
            elapsed_s = time.perf_counter() - started
            is_over = done >= MOST_ROUNDS or (done >= LEAST_ROUNDS and elapsed_s > budget_s)
            if is_over and (
                pair is None
                or elapsed_s > limit_s
                or _is_settled(*(np.array(times[name]) for name in pair))
            ):
                break
            for index in random.permutation(len(names)).tolist():
                times[names[index]].append(seconds_a_call(calls[names[index]], repeats))
    return {name: np.array(values) for name, values in times.items()}


def _is_settled(slow: np.ndarray, fast: np.ndarray) -> bool:
    """Whether the ratio of two programs is known well; asked now and then only."""
    if len(slow) < PAIR_ROUNDS or len(slow) % _LOOK:
        return False
    _, (low, high) = ratio_of_medians(slow, fast)
    return high <= NARROW * low


def ratio_of_medians(
    slow: np.ndarray, fast: np.ndarray, confidence: float = 0.95, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """median(slow) / median(fast) and its percentile bootstrap interval over rounds.

    >>> ratio_of_medians(np.full(9, 2.0), np.full(9, 1.0))
    (2.0, (2.0, 2.0))
    """
    picks = np.random.default_rng(seed).integers(0, len(slow), (_RESAMPLES, len(slow)))
    ratios = np.median(slow[picks], axis=1) / np.median(fast[picks], axis=1)
    low, high = np.quantile(ratios, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(np.median(slow) / np.median(fast)), (float(low), float(high))
