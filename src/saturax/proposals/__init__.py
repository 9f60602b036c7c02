"""Equalities that need a view of the whole graph: each proposal is an algorithm that states them.

A proposal only says what is equal; whether to use it is extraction's choice.
"""

from __future__ import annotations

from collections.abc import Callable

from saturax.graph.ir import Graph
from saturax.proposals.equality import Equalities
from saturax.proposals.merge import merge_contractions

PROPOSALS: dict[str, Callable[[Equalities], None]] = {"merge_contractions": merge_contractions}
"""By the name under which reports list them."""


def propose(graph: Graph) -> Equalities:
    """Everything that the proposals have to say about `graph`."""
    found = Equalities(graph)
    for name, proposal in PROPOSALS.items():
        found.reason = name
        proposal(found)
    return found
