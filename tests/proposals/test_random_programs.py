"""Whatever a proposal says of random programs is true, and not much longer than the program."""

from __future__ import annotations

import numpy as np
import pytest
from equal_sides import (
    assert_sides_agree,
    found_by,
    random_arithmetic,
    random_inputs,
    random_program,
)

from saturax.proposals import PROPOSALS, batch
from saturax.rules.rule import BITWISE

OWN = (
    "order_contractions",
    "merge_contractions",
    "batch_contractions",
    "factor_sums",
    "share_terms",
)
DTYPES = ("f32", "f64", "i32", "complex<f32>")
GROWTH = 24


@pytest.fixture(autouse=True)
def _batches_of_two(monkeypatch):
    """Random programs are too short for the batches that pay."""
    monkeypatch.setattr(batch, "LEAST_MEMBERS", 2)


def _check(name: str, dtype: str, seeds: range) -> int:
    """Try one proposal on random programs; return how many equalities there were."""
    count = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        draw = random_program if seed % 2 else random_arithmetic
        graph = draw(rng, dtype, operations=int(rng.integers(3, 14)))
        equalities = found_by(PROPOSALS[name], graph)
        assert_sides_agree(equalities, random_inputs(rng, graph), 1e-7)
        assert len(equalities.nodes) - len(graph.nodes) <= GROWTH * len(graph.nodes)
        count += len(equalities.pairs)
    return count


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OWN)
def test_equalities_hold(name, dtype):
    seeds = 800 if name == "batch_contractions" else 60  # few programs have equal contractions
    assert _check(name, dtype, range(seeds)) > 0


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OWN)
def test_equalities_hold_in_the_long_run(name, dtype):
    assert _check(name, dtype, range(60, 2_000)) > 0


@pytest.mark.parametrize("name", OWN)
def test_nothing_rounds_where_every_bit_counts(name):
    for seed in range(30):
        graph = random_program(np.random.default_rng(seed), "f32")
        assert found_by(PROPOSALS[name], graph, BITWISE).pairs == []


def test_integers_are_exact_where_every_bit_counts():
    seeds = range(60)
    graphs = [random_program(np.random.default_rng(seed), "i32") for seed in seeds]
    found = [found_by(PROPOSALS["order_contractions"], graph, BITWISE) for graph in graphs]
    assert any(equalities.pairs for equalities in found)
