"""Between programs of equal speed the one that does less work wins, and no other."""

from __future__ import annotations

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from saturax.jaxlib_compat import memory_analysis
from saturax.racing import contest as contest_module
from saturax.racing.contest import Contest
from saturax.racing.select import RaceEntry
from saturax.racing.work import Work, is_less, work_of
from saturax.stablehlo import import_module, widen

X = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
LEAN = Work(100.0, 10.0, 1000.0, 0.0, 0.0)


def imported(f):
    return import_module(jax.jit(f).lower(X).compiler_ir("stablehlo"))


@pytest.fixture
def contest():
    return Contest(imported(lambda x: jnp.tanh(x) * jnp.tanh(-x)), [X], True, False, 0)


def entered(contest, f):
    contest.enter("candidate", imported(f).graph, (), 1.0, Counter())
    return contest.candidates[-1]


def test_less_of_one_and_no_more_of_any():
    assert is_less(LEAN, Work(200.0, 10.0, 1000.0, 0.0, 0.0))
    assert is_less(LEAN, Work(100.0, 10.0, 1000.0, 1.0, 0.0))
    assert not is_less(LEAN, LEAN)
    assert not is_less(LEAN, Work(200.0, 9.0, 1000.0, 0.0, 0.0))
    assert not is_less(Work(100.0, 10.0, 1000.0, 0.0, 4096.0), Work(200.0, 10.0, 1000.0, 0.0, 0.0))
    # Scratch memory alone is no work.
    assert not is_less(LEAN, Work(100.0, 10.0, 1000.0, 0.0, 4096.0))
    assert not is_less(None, LEAN)


def test_work_is_xlas_count(contest):
    work = work_of(contest.original)
    assert work.transcendentals == 2 * X.size
    assert work.bytes_accessed == 2 * X.nbytes


def test_tie_goes_to_less_work(contest):
    lean = entered(contest, lambda x: -jnp.square(jnp.tanh(x)))
    assert contest.wins_tie(lean, RaceEntry(0, runs=40, ratio=0.99, interval=(0.96, 1.1)))


@pytest.mark.parametrize(
    ("ratio", "interval"),
    [(0.97, (0.96, 1.1)), (0.985, (0.98, 0.99)), (1.0, (0.9, 1.1)), (None, None)],
)
def test_slower_program_wins_no_tie(contest, ratio, interval):
    lean = entered(contest, lambda x: -jnp.square(jnp.tanh(x)))
    assert not contest.wins_tie(lean, RaceEntry(0, runs=40, ratio=ratio, interval=interval))


def test_few_pairs_are_no_tie(contest):
    """Of two calls of seconds one is the faster, whatever the programs."""
    lean = entered(contest, lambda x: -jnp.square(jnp.tanh(x)))
    assert not contest.wins_tie(lean, RaceEntry(0, runs=2, ratio=1.05, interval=(1.05, 1.05)))


def test_tie_that_costs_accuracy_keeps_the_original(contest):
    lean = entered(contest, lambda x: -jnp.square(jnp.tanh(x)))
    lean.report.largest_error = 0.9 * lean.report.allowed_error
    assert not contest.wins_tie(lean, RaceEntry(0, runs=40, ratio=1.0, interval=(0.96, 1.1)))


def test_tie_without_less_work_keeps_the_original(contest):
    same = entered(contest, lambda x: jnp.tanh(-x) * jnp.tanh(x))
    assert not contest.wins_tie(same, RaceEntry(0, runs=40, ratio=1.0, interval=(0.96, 1.1)))


def _reference_bytes(contest):
    """Temporary bytes of the reference of eight products with weights of their own."""
    weights = [np.ones((128, 128), np.float32)] * 8

    def layers(x, *weights):
        for w in weights:
            x = jnp.tanh(x @ w)
        return x

    program = import_module(
        jax.jit(layers).lower(np.ones((1, 128), np.float32), *weights).compiler_ir()
    )
    return memory_analysis(contest._compile_reference(widen(program))).temporary_bytes


def test_reference_does_not_widen_all_weights_at_once(contest):
    assert _reference_bytes(contest) < 4 * 128 * 128 * 8


def test_reference_needs_no_option_that_is_unknown(contest, monkeypatch):
    monkeypatch.setattr(contest_module, "_SPARINGLY", {"xla_no_such_option": "of any value"})
    assert _reference_bytes(contest) > 0
