"""Stage `represent`: a graph becomes an e-graph that holds just this one program."""

from __future__ import annotations

from dataclasses import dataclass

from saturax.egraph import EGraph
from saturax.facts import FactAnalysis
from saturax.graph.ir import Graph
from saturax.graph.ops import is_commutative
from saturax.graph.ops.elementwise import outdone_by
from saturax.graph.ops.layout import is_injective
from saturax.numerics import BITWISE, Numerics
from saturax.proposals.equality import Equalities


@dataclass(frozen=True)
class Represented:
    """An e-graph and where the original program is in it.

    `enodes[i]` is the permanent e-node id (and a class id) of node i of `graph`.
    """

    egraph: EGraph
    graph: Graph
    enodes: tuple[int, ...]

    @property
    def roots(self) -> tuple[int, ...]:
        """Canonical class ids that a program must compute: effects, then outputs."""
        wanted = self.graph.effects + self.graph.outputs
        return tuple(self.egraph.find(self.enodes[index]) for index in wanted)

    def live_enodes(self) -> tuple[int, ...]:
        """The e-nodes that now stand for the original nodes (congruent ones were merged)."""
        egraph = self.egraph
        return tuple(
            egraph.add_node(
                node.op,
                node.attributes,
                tuple(self.enodes[operand] for operand in node.operands),
                node.type,
            )
            for node in self.graph.nodes
        )


def represent(
    graph: Graph,
    equalities: Equalities | None = None,
    frozen: frozenset[int] = frozenset(),
    numerics: Numerics = BITWISE,
) -> Represented:
    """Put every node of `graph` into a new e-graph, and what proposals say is equal.

    `frozen` are the numbers of the parameters whose values are fixed before the program runs;
    what is known of values is true in the sense of `numerics`.
    """
    inner = frozenset[int]() if equalities is None else equalities.inner
    analysis = FactAnalysis(frozen, numerics, inner)
    egraph = EGraph(analysis, is_commutative, is_injective, outdone_by, shows_circular=False)
    ids: list[int] = []
    for node in graph.nodes if equalities is None else equalities.nodes:
        children = tuple(ids[operand] for operand in node.operands)
        ids.append(egraph.add_node(node.op, node.attributes, children, node.type))
    for index, equal, reason in () if equalities is None else equalities.pairs:
        egraph.union(ids[index], ids[equal], reason)
    egraph.rebuild()
    return Represented(egraph, graph, tuple(ids[: len(graph.nodes)]))
