"""Races of a contest: where calls are long, the last one goes on from the pairs there are."""

from __future__ import annotations

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from saturax.racing import contest as module
from saturax.racing.contest import Contest
from saturax.racing.evidence import Pairs
from saturax.racing.select import RaceEntry, RaceResult
from saturax.stablehlo import import_module

X = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
SEEN = Pairs((2.0,) * 20, (1.0,) * 20)


def imported(f):
    return import_module(jax.jit(f).lower(X).compiler_ir("stablehlo"))


@pytest.mark.parametrize(
    ("call_s", "pairs", "begun"),
    [
        (0.1, SEEN, SEEN),
        (0.001, SEEN, None),  # pairs are cheap
        (0.1, Pairs((2.0,) * 272, (1.0,) * 272), None),  # no more would follow
        (0.1, Pairs(), None),
    ],
)
def test_the_last_race_of_long_calls_goes_on(call_s, pairs, begun, monkeypatch):
    contest = Contest(imported(jnp.tanh), [X], True, False, 0)
    contest.enter("candidate", imported(lambda x: -jnp.tanh(-x)).graph, (), 1.0, Counter())
    contest.call_s = call_s
    begins = []

    def race(original, candidates, *, time_limit_s, begun, is_last):
        begins.append((begun, is_last))
        return RaceResult(None, 1.0, (RaceEntry(0, pairs=pairs),), 1, 1.0, "time limit")

    monkeypatch.setattr(module, "race", race)
    (candidate,) = contest.candidates
    contest.race([candidate], 1.0, is_last=False)
    contest.last_race(candidate, 1.0)
    contest.race([candidate], 1.0, against=candidate)  # two others
    assert begins == [(None, False), (begun, True), (None, True)]


def test_pairs_of_later_races_are_not_gone_on_with(monkeypatch):
    """Of many races one is lucky: the last race of its winner begins afresh."""
    contest = Contest(imported(jnp.tanh), [X], True, False, 0)
    for name, function in (("one", lambda x: -jnp.tanh(-x)), ("two", lambda x: jnp.tanh(x) + 0)):
        contest.enter(name, imported(function).graph, (), 1.0, Counter())
    contest.call_s = 0.1
    begins = []

    def race(original, candidates, *, time_limit_s, begun, is_last):
        begins.append(begun)
        return RaceResult(None, 1.0, (RaceEntry(0, pairs=SEEN),), 1, 1.0, "time limit")

    monkeypatch.setattr(module, "race", race)
    one, two = contest.candidates
    contest.race([one], 1.0, is_last=False)
    contest.race([two], 1.0, is_last=False)
    contest.last_race(two, 1.0)
    contest.last_race(one, 1.0)
    assert begins == [None, None, None, SEEN]
