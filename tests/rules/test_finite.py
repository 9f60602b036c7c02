"""The class FINITE leaves the e-graph consistent where a program writes down NaN or infinities."""

from __future__ import annotations

import numpy as np

from saturax.egraph import EGraph, Limits, saturate
from saturax.egraph.explain import explain
from saturax.facts import FactAnalysis
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.ops import is_commutative
from saturax.rules import rules_within
from saturax.rules.rule import FINITE, Numerics


def saturated(graph: Graph, numerics: Numerics = FINITE) -> EGraph:
    egraph = EGraph(FactAnalysis(assumes_finite=numerics >= FINITE), is_commutative)
    classes: list[int] = []
    for node in graph.nodes:
        operands = tuple(classes[i] for i in node.operands)
        classes.append(egraph.add(node.op, node.attributes, operands, node.type))
    limits = Limits(time_limit_s=3.0, node_limit=1500, iteration_limit=6)
    saturate(egraph, rules_within(numerics), limits)
    return egraph


def contradiction(egraph: EGraph) -> str | None:
    """Two constants that differ and are in one class, and by which rules they are; or None."""
    for owner in egraph.classes_of("constant"):
        nodes = egraph.nodes_of(owner, "constant")
        first = nodes[0].attributes[0]
        for other in nodes[1:]:
            if not _same(first, other.attributes[0]):
                steps = explain(egraph, nodes[0].id, other.id)
                reasons = ", ".join(f"{'  ' * s.depth}{s.reason}" for s in steps)
                return f"{first} = {other.attributes[0]} by {reasons}"
    return None


def _same(a: Literal, b: Literal) -> bool:
    """Whether two constants are equal up to rounding, the sign of zero and the kind of NaN."""
    if a.array.dtype.kind in "iub":
        return bool((a.array == b.array).all())
    x, y = a.array.astype(np.complex128), b.array.astype(np.complex128)
    return bool(np.allclose(x, y, rtol=1e-2, atol=1e-2, equal_nan=True))
