"""Extraction: the cheapest program out of an e-graph, anytime, with a bound on what is left."""

from saturax.extract.anytime import Extraction, StageNote, extract
from saturax.extract.greedy import dag_greedy, tree_greedy
from saturax.extract.problem import (
    InfeasibleProblemError,
    InvalidSelectionError,
    Problem,
    Selection,
    dag_cost,
    is_valid,
    needed_classes,
    restrict,
    selected_us,
)
from saturax.extract.reduce import Reduced, reduce_problem
from saturax.extract.sharing import sharing_greedy

__all__ = [
    "Extraction",
    "InfeasibleProblemError",
    "InvalidSelectionError",
    "Problem",
    "Reduced",
    "Selection",
    "StageNote",
    "dag_cost",
    "dag_greedy",
    "extract",
    "is_valid",
    "needed_classes",
    "reduce_problem",
    "restrict",
    "selected_us",
    "sharing_greedy",
    "tree_greedy",
]
