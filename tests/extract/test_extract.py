"""The stage as a whole: anytime, never worse, and unharmed by whatever the solver does."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time

import pytest
from extraction import tensor_like
from tests.extract.random_problems import best_by_enumeration, random_problem, random_selection

from saturax.extract import (
    InfeasibleProblemError,
    InvalidSelectionError,
    Problem,
    dag_cost,
    extract,
    is_valid,
    tree_greedy,
)
from saturax.extract import extract as _  # noqa: F401
from saturax.extract.ilp import relaxation_bound, solve_exact
from saturax.extract.search import neighbourhood_search
from saturax.extract.solver import SolverProcess

HANGS = (sys.executable, "-c", "import time; time.sleep(60)")
DIES = (sys.executable, "-c", "raise SystemExit(3)")
LACKS_HIGHSPY = (
    sys.executable,
    "-c",
    "import sys, runpy; from importlib.util import find_spec\n"
    "sys.modules['highspy'] = None\n"
    "import saturax.extract._solver as s" if False else "",
)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return tensor_like(layers=40, seed=3)


def test_small_problems_are_solved_to_optimality():
    solved = 0
    for seed in range(8000, 8040):
        small = random_problem(seed)
        best_us = best_by_enumeration(small)
        if best_us == math.inf:
            continue
        initial = random_selection(small, seed)
        found = extract(small, time_limit_s=20, initial=initial, count=3, seed=seed)
        assert found.cost_us == pytest.approx(best_us)
        assert found.stop_reason == "optimal"
        assert found.gap == pytest.approx(0, abs=1e-4)
        assert list(found.costs_us) == sorted(found.costs_us)
        assert all(is_valid(small, selection) for selection in found.selections)
        solved += 1
    assert solved > 20
