"""What extraction pays for values that XLA computes several times, or in the library's kernels.

In the extraction problem a value inside kernels is computed once, however many kernels use it. XLA
computes it in each of them, and again at every index that they ask it at: in six passes of a blur,
each of which reads the middle of its window in place and the rest from a padded copy, every pass
computed all those before it once more. Whether it does so depends on the whole program: like new
memory (`fresh_memory`), that is charged to choices that were made, and another choice follows.

So it is with operations beside a reduction, which the library goes through one by one (`library`).
"""

from __future__ import annotations

from dataclasses import replace

from saturax.cost.clusters import library_passes_us, times_computed
from saturax.cost.formulate import (
    CHANGE_OF_MODE,
    Extracted,
    Formulation,
    Slowness,
    is_computed_inside,
    read_program,
    with_frozen_given,
)
from saturax.cost.merged import merged
from saturax.cost.model import PriceModel
from saturax.extract.problem import Selection

# Programs whose kernels would take long to find out.
_MOST_OPERATIONS = 4_000
# Less than so many times as often is nothing to charge: parts that overlap, and rounding.
_SLIGHTLY_MORE = 1.05


def charge_recomputation(
    formulation: Formulation, chosen: Selection, model: PriceModel
) -> Formulation:
    """The same choice where what the `chosen` program computes several times costs as much.

    The same object comes back if nothing is computed more often than is charged already.
    """
    slowness = _slowness_of(formulation, chosen)
    more: dict[int, float] = {}
    for owner, node in chosen.items():
        enode = formulation.enodes[node]
        if enode == CHANGE_OF_MODE or not is_computed_inside(owner):
            continue
        factor = slowness.times.get(enode, 1.0)
        if (passes_us := slowness.passes_us.get(enode, 0.0)) > 0:
            egraph = formulation.represented.egraph
            size = egraph.type_of(enode).size
            price_us = formulation.prices_us[node] / formulation.times[node]
            factor *= 1 + model.on_all_cores_us(passes_us, size) / price_us
        if factor > _SLIGHTLY_MORE * formulation.repeated.get(node, 1):
            more[node] = factor
    if not more:
        return formulation
    costs = list(formulation.problem.cost_us)
    for node, count in more.items():
        costs[node] *= count / formulation.repeated.get(node, 1)
    problem = formulation.problem.with_costs(costs)
    return replace(formulation, problem=problem, repeated={**formulation.repeated, **more})


def _slowness_of(formulation: Formulation, chosen: Selection) -> Slowness:
    """That of the program that a selection stands for, found out once whatever the prices."""
    known, nodes = formulation.slowness, frozenset(chosen.values())
    if nodes not in known:
        known[nodes] = _slowness(read_program(formulation, chosen))
    return known[nodes]


def _slowness(extracted: Extracted) -> Slowness:
    """How slow the e-nodes of a program are; what is computed ahead of time is an input."""
    if len(extracted.graph.nodes) > _MOST_OPERATIONS:
        return Slowness({}, {})
    graph = merged(with_frozen_given(extracted))  # as memory is planned for it
    times = dict(zip(extracted.enodes, times_computed(graph), strict=True))
    passes_us = {extracted.enodes[i]: more for i, more in library_passes_us(graph).items()}
    return Slowness(times, passes_us)
