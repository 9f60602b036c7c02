"""Equalities that need a view of the whole graph: each proposal is an algorithm that states them.

A proposal only says what is equal; whether to use it is extraction's choice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from saturax.graph.ir import Graph
from saturax.proposals.banded_products import use_bands
from saturax.proposals.batch import batch_contractions
from saturax.proposals.bits import move_bits
from saturax.proposals.cases import work_out_cases
from saturax.proposals.common_terms import share_terms
from saturax.proposals.counted_bits import count_bits
from saturax.proposals.equality import Equalities
from saturax.proposals.exponential_sums import multiply_exponentials
from saturax.proposals.hot import read_hot_places
from saturax.proposals.linear_maps import see_through_linear_maps
from saturax.proposals.loops import (
    carry_values,
    distribute_loops,
    expose_exponentials,
    fuse_loops,
    resolve_branches,
    transpose_carries,
    unroll_loops,
    walk_cumulations,
)
from saturax.proposals.merge import merge_contractions
from saturax.proposals.merge_convolutions import merge_convolutions
from saturax.proposals.merge_solves import merge_solves
from saturax.proposals.moved_sums import sum_along_dimensions
from saturax.proposals.notions import recognize_notions
from saturax.proposals.order_contractions import order_contractions
from saturax.proposals.positions import ask_conditions
from saturax.proposals.reductions import start_at_identity
from saturax.proposals.rows_before_products import multiply_before_rows
from saturax.proposals.spectra import halve_spectra
from saturax.proposals.split_concatenations import split_concatenations
from saturax.proposals.straighten import without_known_branches
from saturax.proposals.sums import factor_sums
from saturax.proposals.transforms import use_transforms
from saturax.proposals.whole import apply_to_whole
from saturax.rules.rule import ROUNDING, Numerics

logger = logging.getLogger("saturax")

PROPOSALS: dict[str, Callable[[Equalities], None]] = {
    "start_at_identity": start_at_identity,
    "recognize_notions": recognize_notions,
    "ask_conditions": ask_conditions,
    "work_out_cases": work_out_cases,
    "move_bits": move_bits,
    "count_bits": count_bits,
    "merge_solves": merge_solves,
    "use_bands": use_bands,
    "use_transforms": use_transforms,
    "see_through_linear_maps": see_through_linear_maps,
    "read_hot_places": read_hot_places,
    "halve_spectra": halve_spectra,
    "multiply_before_rows": multiply_before_rows,
    "order_contractions": order_contractions,
    "split_concatenations": split_concatenations,
    "merge_contractions": merge_contractions,
    "merge_convolutions": merge_convolutions,
    "batch_contractions": batch_contractions,
    "factor_sums": factor_sums,
    "share_terms": share_terms,
    "sum_along_dimensions": sum_along_dimensions,
    "apply_to_whole": apply_to_whole,
    "carry_values": carry_values,
    "distribute_loops": distribute_loops,
    "fuse_loops": fuse_loops,
    "transpose_carries": transpose_carries,
    "expose_exponentials": expose_exponentials,
    "unroll_loops": unroll_loops,
    "resolve_branches": resolve_branches,
    "walk_cumulations": walk_cumulations,
    "multiply_exponentials": multiply_exponentials,
}
"""By the name under which reports list them."""


def propose(
    graph: Graph, numerics: Numerics = ROUNDING, inner: frozenset[int] = frozenset()
) -> Equalities:
    """Everything that the proposals have to say about `graph`, up to a class of equalities.

    Of the inputs `inner` nothing is assumed.
    """
    found = Equalities(graph, numerics, inner)
    straight = without_known_branches(graph)
    if straight is not None:
        found.reason = "choose_branches"
        places = found.adopt(propose(straight.graph, numerics, inner))
        for index in straight.chosen:
            found.equate(index, found.value(places[straight.places[index]]))
        return found
    for name, proposal in PROPOSALS.items():
        found.reason = name
        try:
            proposal(found)
        except Exception as error:  # costs the user no more than what this one would have found
            logger.exception("proposal %s failed", name)
            found.failures.append(f"internal error in {name}, please report it: {error!r}")
    return found
