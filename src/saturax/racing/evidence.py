"""What pairs of times tell of two programs: tests in sequence, laid down before the first pair.

The candidate has to be faster by more than a margin, by signed ranks or by signs alone, which
outliers do not sway; and, because real noise has heavy tails, by the bootstrap interval of the
median ratio too. The tests look at the data after fixed numbers of pairs, at a small part of the
allowed error each time, and once more at a larger part when no other look follows. A race that is
continued later, with the pairs that there are, is the same sequence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

ERROR_PROBABILITY, MARGIN = 0.01, 0.01
# Shares of the error of candidates that meet the original one after the other: the first one, the
# fastest in the rounds before, has most of it, since with long calls there is no time for another.
FINALISTS = (0.8, 0.1, 0.1)
# Numbers of pairs at which the tests look at the data, and the error probability of each look and
# of the last one as shares of the whole. Looks share most of their data: simulated without a
# margin, with normal times and with outliers (Student's t of 2 degrees), this prefers one of two
# equal programs in 0.4 to 0.9 % of races, whatever number of pairs is the last. With recorded pairs
# of GPT-2 (calls of 105 ms that vary by 12 %) a gain of 4 % is found in 44 % of races of 68 pairs,
# and in 62 % of 100; with equal shares for all looks and for both tests, in 31 and 51 %.
LOOKS = (5, 6, 7, 8, 12, 17, 24, 34, 48, 68, 96, 136, 192, 272)
_LOOK_SHARE, _LAST_SHARE = 0.11, 0.35
# What of a look's share signed ranks have; signs have the rest. Without outliers ranks tell sooner.
_RANKS_SHARE = 0.8
_LEAST_SIGNED = 8  # in fewer pairs signs prove nothing, but all times of one program may be shorter
_RESAMPLES = 1000
_EXACT_PAIRS = 48  # beyond, the normal approximation of the signed-rank test is close and cheap


@dataclass(frozen=True)
class Pairs:
    """Times of the original and of a candidate in the same rounds, in seconds.

    Their tests have a `share` of the probability of an error.
    """

    originals: tuple[float, ...] = ()
    candidates: tuple[float, ...] = ()
    share: float = 1.0

    def __len__(self) -> int:
        return len(self.originals)

    def ratios(self) -> np.ndarray:
        """Original over candidate, round by round."""
        ratios: np.ndarray = np.array(self.originals) / np.array(self.candidates)
        return ratios


NO_PAIRS = Pairs()


def least_pairs(error_probability: float = ERROR_PROBABILITY) -> int:
    """The pairs after which a candidate that won all of them is chosen.

    Sooner only one whose slowest call is faster than any of the original.

    >>> least_pairs()
    12
    """
    alpha = _RANKS_SHARE * _LOOK_SHARE * error_probability * FINALISTS[0]
    return next(pairs for pairs in LOOKS if 0.5**pairs < alpha)


def decide(
    pairs: Pairs,
    random: np.random.Generator,
    margin: float = MARGIN,
    error_probability: float = ERROR_PROBABILITY,
    *,
    is_last: bool = False,
) -> bool | None:
    """Whether the candidate is faster, at one look, the last or not; None while that is open."""
    alpha = (_LAST_SHARE if is_last else _LOOK_SHARE) * error_probability * pairs.share
    if len(pairs) < _LEAST_SIGNED:
        return _decide_apart(pairs, margin, alpha, error_probability)
    ratios = pairs.ratios()
    gains = np.log(ratios) - math.log1p(margin)
    by_ranks = signed_rank_probability(gains) < _RANKS_SHARE * alpha
    if by_ranks or sign_probability(gains) < (1 - _RANKS_SHARE) * alpha:
        return median_interval(ratios, random)[0] > 1 or None
    # The mirror image of the test: it is not faster by the margin, stop trying.
    return False if signed_rank_probability(-gains) < error_probability else None


def _decide_apart(
    pairs: Pairs, margin: float, alpha: float, error_probability: float
) -> bool | None:
    """Whether the candidate is faster in every round than the original in any, or slower.

    Of 2n times of equal programs, those of one are the shortest n once in 2n over n times.
    """
    originals, times = np.array(pairs.originals) / (1 + margin), np.array(pairs.candidates)
    probability = 1 / math.comb(2 * len(pairs), len(pairs))
    if times.max() < originals.min() and probability < alpha:
        return True
    is_slower = times.min() > originals.max() and probability < error_probability
    return False if is_slower else None


def chance(pairs: Pairs, more: int, margin: float = MARGIN) -> float:
    """How probable it is that so many more pairs decide for the candidate.

    The mean gain m of n pairs with deviation s has moved by s√(k/(n(n+k))) when k more have come,
    and has to be above the margin by what the last look demands of n+k. No opinion without pairs.

    >>> even = Pairs((1.0, 1.1) * 10, (1.1, 1.0) * 10)
    >>> chance(even, 40) < 0.01 < 0.99 < chance(Pairs((1.1, 1.2) * 10, (1.0, 0.9) * 10), 40)
    True
    """
    n, total = len(pairs), len(pairs) + more
    if n < _LEAST_SIGNED or more <= 0:
        return 1.0
    gains = np.log(pairs.ratios()) - math.log1p(margin)
    # Both from quantiles, which one call in ten that takes twice as long does not move.
    low, middle, high = np.quantile(gains, (0.25, 0.5, 0.75))
    normal = NormalDist()
    deviation = max(float(high - low) / (2 * normal.inv_cdf(0.75)), 1e-9)
    alpha = _RANKS_SHARE * _LAST_SHARE * ERROR_PROBABILITY * pairs.share
    needed = normal.inv_cdf(1 - alpha) * deviation / math.sqrt(total)
    return normal.cdf((float(middle) - needed) / (deviation * math.sqrt(more / (n * total))))


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
