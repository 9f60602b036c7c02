"""Scores of predictions: what counts as right, what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.ranking.scores import score

ROUNDS = {"a": [1.0, 1.2, 1.0, 1.0], "b": [2.0, 2.4, 2.0, 2.0], "c": [1.05, 1.26, 1.05, 1.05]}
GROUPS = {"one": ["a", "b", "c"]}


def test_right_order_has_no_regret():
    found = score(ROUNDS, {"a": 10.0, "b": 30.0, "c": 20.0}, GROUPS)
    assert (found.right, found.pairs, found.near_ties) == (1.0, 2, 1)
    assert found.median_regret == found.worst_regret == 1.0


def test_wrong_order_costs_what_its_choice_takes():
    found = score(ROUNDS, {"a": 30.0, "b": 10.0, "c": 20.0}, GROUPS)
    assert found.right == 0.0
    assert found.worst_regret == pytest.approx(2.0)


def test_equal_predictions_are_not_right():
    assert score(ROUNDS, {"a": 1.0, "b": 1.0, "c": 0.5}, GROUPS).right == 0.5


def test_ratio_is_taken_round_by_round():
    """A slow spell that hits both programs does not turn a tie into a difference."""
    spell = np.array([1.0, 1.0, 3.0, 3.0])
    found = score({"a": spell, "b": 1.02 * spell}, {"a": 1.0, "b": 2.0}, {"one": ["a", "b"]})
    assert (found.pairs, found.near_ties) == (0, 1)
