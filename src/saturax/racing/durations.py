"""How long races take, and what time is for where calls take a tenth of a second."""

from __future__ import annotations

from saturax.racing.contest import Contest
from saturax.racing.evidence import least_pairs
from saturax.racing.select import WARM_UPS, calls_in_a_row
from saturax.report.model import CandidateReport

# A race takes so many seconds a program, and as many as so many rounds take: in fewer, one that is
# warmed up is hardly told from others.
SHORTEST_RACE_S, LONGEST_RACE_S, _LEAST_ROUNDS = 0.5, 4.0, WARM_UPS + 4
# In so many pairs most races tell a gain of 4 %, if calls vary by a tenth. Time is scarce if it is
# no more than twice what they take.
TELLING_PAIRS, _SCARCE = 100, 2.0
# The last race takes so many seconds, or as many as so many pairs of long programs take, within a
# share of the time limit: eight pairs tell nothing on a noisy machine. The fewest pairs that can
# decide it may take a larger share.
_LAST_RACE_S, LAST_PAIRS, _LAST_SHARE, _DECIDING_SHARE = 4.0, 34, 0.3, 0.5


def shortest_race_s(contest: Contest, entries: int) -> float:
    """Seconds that the first race of so many entries takes at least."""
    round_s = sum(calls_in_a_row(contest.call_s)) * contest.call_s
    return max(SHORTEST_RACE_S, _LEAST_ROUNDS * round_s) * (1 + entries)


def deciding_s(contest: Contest, pairs: int = least_pairs()) -> float:
    """Seconds in which a race of two programs can have a winner, or has had so many pairs."""
    return 2 * WARM_UPS * contest.call_s + contest.seconds_of(pairs)


def is_scarce(contest: Contest, remaining_s: float) -> bool:
    """Whether calls are so long that all the time there is may go into one race."""
    return contest.has_long_calls and remaining_s < _SCARCE * deciding_s(contest, TELLING_PAIRS)


def last_race_s(
    contest: Contest, report: CandidateReport, remaining_s: float, time_limit_s: float
) -> float:
    """Seconds for the last race of a candidate: what is left, and some even if time is over.

    As many as its pairs need, by what earlier races say of them.
    """
    pair_s = 2 * contest.call_s
    if report.time_us is not None and report.ratio is not None:
        pair_s = report.time_us * (1 + report.ratio) / 1e6
    longest_s = max(
        _LAST_RACE_S,
        _LAST_SHARE * time_limit_s,
        min((WARM_UPS + least_pairs()) * pair_s, _DECIDING_SHARE * time_limit_s),
    )
    return max(remaining_s, min(max(_LAST_RACE_S, LAST_PAIRS * pair_s), longest_s))
