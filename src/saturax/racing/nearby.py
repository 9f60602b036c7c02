"""Selections close to a given one that leave something out."""

from __future__ import annotations

import math
from collections.abc import Container, Hashable, Mapping

from saturax.cost.formulate import CHANGE_OF_MODE, Formulation
from saturax.extract import Selection, dag_greedy

LOYALTY = 0.7
"""What a selection uses is made so much cheaper, so that one that is close to it changes little."""


def exactly(
    formulation: Formulation, base: Selection, exact: Mapping[int, int], banned: Container[Hashable]
) -> Selection | None:
    """The cheapest selection close to a given one that takes the e-nodes `exact`, by e-class.

    It has none of the kernels that are banned; None where there is no such selection.
    """
    find = formulation.represented.egraph.find
    signatures = formulation.problem.signatures or ()
    others = {
        node
        for node, enode in enumerate(formulation.enodes)
        if signatures[node] in banned
        or (enode != CHANGE_OF_MODE and exact.get(find(enode), enode) != enode)
    }
    return avoiding(formulation, base, others)


def avoiding(formulation: Formulation, base: Selection, nodes: Container[int]) -> Selection | None:
    """The cheapest selection close to a given one without some nodes of the problem."""
    problem = formulation.problem
    loyal = set(base.values())
    costs = [
        math.inf if node in nodes else us * (LOYALTY if node in loyal else 1.0)
        for node, us in enumerate(problem.cost_us)
    ]
    try:
        return dag_greedy(problem.with_costs(costs))
    except ValueError:
        return None
