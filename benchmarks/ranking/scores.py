"""How well predictions rank programs: pairs in the right order, regret, correlation, error."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import spearmanr

NEAR_TIE = 0.10
"""Pairs whose measured times differ by no more than this share are noise, and are left out."""


@dataclass(frozen=True)
class Scores:
    """Of one model: `pairs` and `near_ties` count pairs of equivalent programs."""

    right: float
    pairs: int
    near_ties: int
    median_regret: float
    worst_regret: float
    rank_correlation: float
    median_error: float

    def line(self) -> str:
        """The figures as text for a table."""
        return (
            f"{self.right:8.3f}{self.median_regret:9.3f}{self.worst_regret:9.2f}"
            f"{self.rank_correlation:10.3f}{self.median_error:9.1%}"
        )


def score(
    rounds: Mapping[str, Sequence[float]],
    predicted: Mapping[str, float],
    groups: Mapping[str, Sequence[str]],
) -> Scores:
    """Compare predicted with measured times; `groups` list the programs that compute the same.

    `rounds` are times of each program, round by round: those of a group were taken in turns, so
    that the ratio of two programs is the median of their ratios in each round. Regret is the
    largest ratio of the program that is predicted to be fastest.

    >>> score({"a": [1.0, 1.1], "b": [2.0, 2.2]}, {"a": 3.0, "b": 4.0}, {"one": ["a", "b"]}).right
    1.0
    """
    measured = {name: float(np.quantile(times, 0.25)) for name, times in rounds.items()}
    right = pairs = ties = 0
    regrets = []
    for names in groups.values():
        for a, b in combinations(names, 2):
            ratio = _ratio(rounds[a], rounds[b])
            if max(ratio, 1 / ratio) <= 1 + NEAR_TIE:
                ties += 1
                continue
            pairs += 1
            right += predicted[a] < predicted[b] if ratio < 1 else predicted[a] > predicted[b]
        chosen = min(names, key=lambda name: predicted[name])
        regrets.append(max(_ratio(rounds[chosen], rounds[name]) for name in names))
    names = [name for some in groups.values() for name in some]
    x, y = [predicted[n] for n in names], [measured[n] for n in names]
    errors = [abs(a / b - 1) for a, b in zip(x, y, strict=True)]
    correlation = float(spearmanr(x, y).statistic) if len(names) > 2 else float("nan")
    return Scores(
        right / max(pairs, 1),
        pairs,
        ties,
        statistics.median(regrets),
        max(regrets),
        correlation,
        float(np.median(errors)),
    )


def _ratio(times: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(x / y for x, y in zip(times, others, strict=True))
