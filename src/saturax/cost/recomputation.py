"""What extraction pays for values that XLA computes several times.

In the extraction problem a value inside kernels is computed once, however many kernels use it. XLA
computes it in each of them, and again at every index that they ask it at: in six passes of a blur,
each of which reads the middle of its window in place and the rest from a padded copy, every pass
computed all those before it once more. Whether it does so depends on the whole program: like new
memory (`fresh_memory`), that is charged to choices that were made, and another choice follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from saturax.cost.clusters import times_computed
from saturax.cost.formulate import (
    CHANGE_OF_MODE,
    Extracted,
    Formulation,
    is_computed_inside,
    read_program,
    with_frozen_given,
)
from saturax.cost.merged import merged
from saturax.extract.problem import Selection

# Programs whose kernels would take long to find out.
_MOST_OPERATIONS = 4_000
# Less than so many times as often is nothing to charge: parts that overlap, and rounding.
_SLIGHTLY_MORE = 1.05


def charge_recomputation(formulation: Formulation, chosen: Selection) -> Formulation:
    """The same choice where what the `chosen` program computes several times costs as much.

    The same object comes back if nothing is computed more often than is charged already.
    """
    times = _times_of(formulation, chosen)
    more = {
        node: times[formulation.enodes[node]]
        for owner, node in chosen.items()
        if formulation.enodes[node] != CHANGE_OF_MODE
        and is_computed_inside(owner)
        and times.get(formulation.enodes[node], 1)
        > _SLIGHTLY_MORE * formulation.repeated.get(node, 1)
    }
    if not more:
        return formulation
    costs = list(formulation.problem.cost_us)
    for node, count in more.items():
        costs[node] *= count / formulation.repeated.get(node, 1)
    problem = formulation.problem.with_costs(costs)
    return replace(formulation, problem=problem, repeated={**formulation.repeated, **more})


def _times_of(formulation: Formulation, chosen: Selection) -> Mapping[int, float]:
    """`_times` of the program that a selection stands for, found out once whatever the prices."""
    known, nodes = formulation.times_computed, frozenset(chosen.values())
    if nodes not in known:
        known[nodes] = _times(read_program(formulation, chosen))
    return known[nodes]


def _times(extracted: Extracted) -> Mapping[int, float]:
    """How often the program computes its e-nodes; what is computed ahead of time is an input."""
    if len(extracted.graph.nodes) > _MOST_OPERATIONS:
        return {}
    times = times_computed(merged(with_frozen_given(extracted)))  # as memory is planned for it
    return dict(zip(extracted.enodes, times, strict=True))
