"""Stage `saturate`: the e-graph that a round of search begins with, and how far it may grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from saturax.egraph import Limits, SaturationReport, StopReason, saturate
from saturax.graph.ir import Graph
from saturax.options import NUMERICS, Options
from saturax.proposals.equality import Equalities
from saturax.rules.rule import Numerics, Rule
from saturax.run import Run, unless_interrupted
from saturax.search.represent import Represented, represent

_SATURATION_SHARE = 0.1
# Short runs give saturation more of their time, up to so many seconds: it begins with compiling
# the patterns of all rules, which takes the better part of a second, once a process.
_SATURATION_LEAST_S, _SHARE_OF_SHORT_RUNS = 2.0, 0.3
# E-nodes that every program is entitled to.
_NODES = 3_000
# And those that each convolution is: by minimal filtering in two dimensions it is so many.
_NODES_PER_CONVOLUTION = 150
# Many steps, of folding and cancelling, are what small e-graphs may take: those of programs of so
# many operations, whose limit on nodes is what bounds them, and others while they have not grown.
_SMALL_PROGRAM, _SMALL_NODES, _ITERATIONS_IF_SMALL = 64, 1_500, 30


class Grown(NamedTuple):
    """A saturated e-graph, and how many of the passes of a search made it."""

    represented: Represented
    saturation: SaturationReport
    passes: int

    @property
    def is_cut_short(self) -> bool:
        """Whether it would have grown further with more time."""
        return self.saturation.stop_reason is StopReason.TIME_LIMIT


Kept = dict[tuple[Graph, bool], Grown]
"""E-graphs by the program that they began with, and whether slices alone were to move."""


def grow(
    run: Run,
    graph: Graph,
    equalities: Equalities,
    frozen: frozenset[int],
    folding: Sequence[Rule],
    passes: Sequence[Sequence[Rule]],
    narrowing: Sequence[Rule],
) -> Grown:
    """Saturate by the first of `passes` or, where slices have nowhere to go, by the second."""
    represented = represent(graph, equalities, frozen, numerics_of(run.options))
    limits = limits_of(run, graph)
    chain = replace(limits, iteration_limit=len(graph.nodes))
    unless_interrupted(saturate(represented.egraph, folding, chain))
    is_narrowing = passes[0] is narrowing
    growth = chain if is_narrowing else limits
    saturation = unless_interrupted(saturate(represented.egraph, passes[0], growth))
    if not is_narrowing or any(each.unions for each in saturation.rules.values()):
        return Grown(represented, saturation, 1)
    saturation = unless_interrupted(saturate(represented.egraph, passes[1], limits))
    return Grown(represented, saturation, 2)


def limits_of(run: Run, graph: Graph) -> Limits:
    """Limits of one saturation: a few iterations, a size in proportion to the program's."""
    is_small = len(graph.nodes) <= _SMALL_PROGRAM
    effort = run.options.limits
    convolutions = sum(node.op == "convolution" for node in graph.nodes)
    nodes = _NODES + effort.nodes_per_operation * len(graph.nodes)
    nodes += _NODES_PER_CONVOLUTION * convolutions
    least_s = min(_SATURATION_LEAST_S, run.share_s(_SHARE_OF_SHORT_RUNS))
    return Limits(
        time_limit_s=min(effort.saturation_s, max(least_s, run.share_s(_SATURATION_SHARE))),
        node_limit=min(run.options.node_limit, nodes),
        iteration_limit=effort.iterations,
        small_nodes=nodes if is_small else _SMALL_NODES,
        iteration_limit_if_small=_ITERATIONS_IF_SMALL,
    )


def numerics_of(options: Options) -> Numerics:
    """The least strict class of equalities that the options admit."""
    return Numerics(NUMERICS.index(options.numerics))
