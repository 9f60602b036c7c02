"""The race never prefers a program that is not faster, and finds those that are."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from saturax.racing.evidence import (
    Pairs,
    chance,
    median_interval,
    sign_probability,
    signed_rank_probability,
)
from saturax.racing.select import RaceResult, race


class Machine:
    """Programs on a simulated machine: noisy, with outliers, drift and slow spells."""

    def __init__(self, seed: int, noise: float, *, restless: bool = False) -> None:
        self.now = 0.0
        self.random = np.random.default_rng(seed)
        self.noise, self.restless = noise, restless
        self.slow_calls = 0

    def clock(self) -> float:
        return self.now

    def program(self, seconds: float) -> Callable[[], object]:
        def run() -> None:
            factor = np.exp(self.noise * self.random.standard_normal())
            if self.random.random() < 0.05:
                factor *= 1 + self.random.exponential()
            if self.restless:
                factor *= 1 + 0.3 * np.sin(3 * self.now) ** 2
                if self.random.random() < 0.01:
                    self.slow_calls = 20
                if self.slow_calls:
                    self.slow_calls -= 1
                    factor *= 1.8
            self.now += seconds * factor

        return run


def simulate(
    gains: list[float], seed: int, noise: float, *, restless: bool = False, limit_s: float = 5.0
) -> RaceResult:
    """Race candidates that are faster than 2 ms by these gains."""
    machine = Machine(seed, noise, restless=restless)
    return race(
        machine.program(2e-3),
        [machine.program(2e-3 / (1 + gain)) for gain in gains],
        time_limit_s=limit_s,
        seed=seed,
        clock=machine.clock,
    )


@pytest.mark.parametrize("restless", [False, True])
@pytest.mark.parametrize("noise", [0.01, 0.1])
@pytest.mark.parametrize("count", [1, 8])
def test_equal_programs_keep_the_original(noise: float, restless: bool, count: int) -> None:
    races = 60 // count + 20
    wrong = sum(
        simulate([0.0] * count, seed, noise, restless=restless).winner is not None
        for seed in range(races)
    )
    # At most 1 % of races may go wrong; 2 of 80 or fewer have a probability of over 95 %.
    assert wrong <= 2


@pytest.mark.parametrize("restless", [False, True])
def test_gain_of_five_per_cent_is_found(restless: bool) -> None:
    found = sum(simulate([0.05], seed, 0.05, restless=restless).winner == 0 for seed in range(40))
    assert found >= 32


def test_gain_below_the_margin_is_not_taken() -> None:
    assert sum(simulate([0.01], seed, 0.02).winner is not None for seed in range(60)) <= 2


def test_fastest_of_many_wins() -> None:
    gains = [-0.3, 0.05, 0.0, 0.3, -0.05, -0.5, 0.02, 0.1, 0.0, 0.0, 0.15, -0.2]
    results = [simulate(gains, seed, 0.03) for seed in range(20)]
    assert sum(result.winner == 3 for result in results) >= 19
    result = results[0]
    assert [entry.index for entry in result.entries] == list(range(len(gains)))
    assert all(entry.time_us is not None and entry.interval is not None for entry in result.entries)
    assert all(bool(entry.reason) == (entry.index != 3) for entry in result.entries)
    slowest = result.entries[5]
    assert slowest.ratio == pytest.approx(0.5, rel=0.2)
    assert slowest.runs < result.entries[3].runs


def test_report_of_a_clear_win() -> None:
    result = simulate([1.0], 0, 0.02)
    (entry,) = result.entries
    assert result.winner == 0
    assert result.original_us == pytest.approx(2000, rel=0.1)
    assert entry.time_us == pytest.approx(1000, rel=0.1)
    assert entry.ratio == pytest.approx(2.0, rel=0.05)
    assert entry.interval is not None
    assert entry.interval[0] <= entry.ratio <= entry.interval[1]
    assert entry.reason == ""
    assert result.stop_reason == "a candidate was faster with confidence"
    assert result.pairs <= 96


def test_slower_candidate_is_given_up_early() -> None:
    result = simulate([-0.5], 0, 0.02)
    assert result.winner is None
    assert result.pairs <= 12
    assert result.entries[0].reason == "not faster by the margin with confidence"


def test_hopeless_candidate_is_not_raced() -> None:
    machine = Machine(0, 0.02)
    calls = 0
    run = machine.program(1.0)

    def counted() -> object:
        nonlocal calls
        calls += 1
        return run()

    result = race(machine.program(1e-5), [counted], time_limit_s=60, clock=machine.clock)
    assert result.winner is None
    assert "hopelessly more" in result.entries[0].reason
    assert calls == 3


def test_no_candidates() -> None:
    result = simulate([], 0, 0.02)
    assert result.winner is None
    assert result.entries == ()


def test_time_limit_keeps_the_original() -> None:
    result = simulate([0.5], 0, 0.02, limit_s=0.015)
    assert result.winner is None
    assert result.stop_reason == "time limit"
    assert "time limit reached after" in result.entries[0].reason
    assert result.elapsed_s < 0.025


def test_the_time_limit_brings_a_last_look() -> None:
    """Eleven pairs tell a gain of five per cent, though the next look is at 12."""
    result = simulate([0.05], 2, 0.02, limit_s=0.134)
    (entry,) = result.entries
    assert entry.runs == 11
    assert (result.winner, entry.reason) == (0, "")


@pytest.mark.parametrize(("gain", "winner", "pairs"), [(0.2, 0, 6), (-0.2, None, 5)])
def test_programs_whose_times_lie_apart_need_few_pairs(
    gain: float, winner: int | None, pairs: int
) -> None:
    machine = Machine(0, 0.01)
    programs = machine.program(0.1), machine.program(0.1 / (1 + gain))
    result = race(programs[0], [programs[1]], time_limit_s=60.0, clock=machine.clock)
    assert (result.winner, result.pairs) == (winner, pairs)


def test_few_calls_that_take_twice_as_long_do_not_hide_a_gain() -> None:
    """They have the highest ranks: three of them outweigh twenty-five pairs that agree."""
    gains = np.array([0.1] * 22 + [-1.0] * 3)
    assert signed_rank_probability(gains) > 1e-3 > sign_probability(gains)


def test_no_time_at_all() -> None:
    result = simulate([0.5, 0.5], 0, 0.02, limit_s=0.0)
    assert result.winner is None
    assert {entry.reason for entry in result.entries} == {"time limit reached before it was run"}


def failing_after(machine: Machine, calls: int, error: BaseException) -> Callable[[], object]:
    run = machine.program(1e-3)
    left = calls

    def call() -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise error
        return run()

    return call


@pytest.mark.parametrize("calls", [0, 3, 1000])
def test_failing_candidate_is_out(calls: int) -> None:
    machine = Machine(0, 0.02)
    result = race(
        machine.program(2e-3),
        [failing_after(machine, calls, ValueError("no memory")), machine.program(1.5e-3)],
        time_limit_s=5,
        clock=machine.clock,
    )
    # Long before 1000 calls the fast one has won.
    assert result.winner == (0 if calls == 1000 else 1)
    if calls < 1000:
        assert result.entries[0].reason == "it failed: ValueError: no memory"


def test_error_of_the_original_is_the_callers() -> None:
    machine = Machine(0, 0.02)
    original = failing_after(machine, 5, ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        race(original, [machine.program(1e-3)], time_limit_s=5, clock=machine.clock)


@pytest.mark.parametrize("calls", [0, 1, 6, 20])
def test_interruption_keeps_the_original(calls: int) -> None:
    machine = Machine(0, 0.1)
    result = race(
        machine.program(1e-3),
        [failing_after(machine, calls, KeyboardInterrupt()), machine.program(1e-3)],
        time_limit_s=5,
        clock=machine.clock,
    )
    assert result.winner is None
    assert result.stop_reason == "interrupted"


@pytest.mark.parametrize("seed", range(5))
def test_what_the_other_program_evicts_does_not_decide(seed: int) -> None:
    """Called over and over the candidate is 5 % slower; after the other program 10 % faster."""
    machine = Machine(seed, 0.01)
    last = ""

    def program(name: str, seconds: float, refill_s: float) -> Callable[[], object]:
        again, refill = machine.program(seconds), machine.program(refill_s)

        def call() -> None:
            nonlocal last
            if last != name:
                refill()
            last = name
            again()

        return call

    result = race(
        program("original", 2e-3, 1e-3),
        [program("candidate", 2.1e-3, 6e-4)],
        time_limit_s=5,
        seed=seed,
        clock=machine.clock,
    )
    assert result.winner is None
    assert result.entries[0].ratio == pytest.approx(1 / 1.05, rel=0.02)


def test_short_programs_run_several_times_in_a_row() -> None:
    machine = Machine(0, 0.5)
    calls = 0
    run = machine.program(1e-6)

    def counted() -> object:
        nonlocal calls
        calls += 1
        return run()

    result = race(machine.program(2e-6), [counted], time_limit_s=5, clock=machine.clock)
    assert result.winner == 0
    assert calls > 100 * result.pairs


@pytest.mark.parametrize("count", [3, 8, 25, 96])
@pytest.mark.parametrize("ties", [False, True])
def test_signed_rank_probability_against_scipy(count: int, ties: bool) -> None:
    random = np.random.default_rng(count)
    for _ in range(5):
        values = random.normal(0.2, 1, count)
        if ties:
            values = np.round(values * 3) / 3
            # scipy's exact method refuses ties; its normal approximation is close for many values.
            if count < 25:
                continue
            expected = stats.wilcoxon(values, alternative="greater", method="approx").pvalue
            assert signed_rank_probability(values) == pytest.approx(expected, abs=0.02)
        else:
            expected = stats.wilcoxon(values, alternative="greater", method="exact").pvalue
            accuracy = {"rel": 1e-9} if count <= 48 else {"abs": 2e-4, "rel": 0.02}
            assert signed_rank_probability(values) == pytest.approx(expected, **accuracy)


def test_signed_rank_probability_by_hand() -> None:
    assert signed_rank_probability(np.array([1.0, 2.0, 3.0])) == 1 / 8
    assert signed_rank_probability(np.array([-1.0, 2.0, 3.0])) == 2 / 8
    assert signed_rank_probability(np.array([1.0, 1.0])) == 1 / 4
    assert signed_rank_probability(np.array([0.0, 0.0])) == 1.0
    assert signed_rank_probability(np.array([-1.0, -2.0])) == 1.0


def test_median_interval_covers() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = median_interval(random.normal(1.0, 0.1, 40), random)
        covered += low <= 1.0 <= high
    assert covered >= 180


def test_chance_asks_what_more_pairs_may_show() -> None:
    """Of gains of 4 % in pairs that vary by a tenth, nothing is known after 17 pairs."""
    random = np.random.default_rng(0)
    varied = np.exp(0.1 * random.standard_normal(400))

    def seen(gain: float, count: int) -> Pairs:
        times = tuple((1 / (1 + gain) / varied[:count]).tolist())
        return Pairs((1.0,) * count, times)

    assert chance(seen(0.04, 17), 100) > 0.2
    assert chance(seen(0.04, 200), 72) > 0.9
    assert chance(seen(-0.04, 200), 72) < 0.01
    assert chance(seen(0.04, 200), 0) == chance(Pairs(), 100) == 1.0  # nothing to be told


def continued(gain: float, seed: int, noise: float, limits_s: tuple[float, ...]) -> bool:
    """Whether a candidate wins a race that is gone on with, as often as there are limits."""
    machine = Machine(seed, noise)
    programs = machine.program(0.1), machine.program(0.1 / (1 + gain))
    begun = None
    for number, limit_s in enumerate(limits_s, 1):
        result = race(
            programs[0],
            [programs[1]],
            time_limit_s=limit_s,
            seed=seed,
            clock=machine.clock,
            begun=begun,
            is_last=number == len(limits_s),
        )
        begun = result.entries[0].pairs
    return result.winner is not None


def test_a_race_goes_on_from_its_pairs() -> None:
    """A race of 8 s hardly tells a gain of 6 %, which the pairs of two together do."""
    assert sum(continued(0.06, seed, 0.07, (8.0,)) for seed in range(20)) <= 12
    assert sum(continued(0.06, seed, 0.07, (8.0, 8.0)) for seed in range(20)) >= 16


@pytest.mark.parametrize("gain", [0.0, 0.01])
def test_a_race_that_goes_on_prefers_nothing_that_is_not_faster(gain: float) -> None:
    assert sum(continued(gain, seed, 0.05, (6.0, 6.0)) for seed in range(100)) <= 3


def test_the_first_to_meet_the_original_has_most_of_the_error() -> None:
    machine = Machine(0, 0.01)
    programs = [machine.program(0.1 / (1 + gain)) for gain in (0.0, 0.0, 0.3)]
    result = race(programs[0], programs[1:], time_limit_s=60, clock=machine.clock)
    assert result.winner == 1
    assert [entry.pairs.share for entry in result.entries] == [1.0, 0.8]
    assert len(result.entries[0].pairs) == 0  # it has not come so far
