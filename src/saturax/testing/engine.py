"""Does the e-graph find a rule's equation, and does it stop?"""

from __future__ import annotations

from saturax.egraph import EGraph, Limits, saturate
from saturax.facts import FactAnalysis
from saturax.graph.ir import Graph
from saturax.graph.ops.elementwise import is_commutative
from saturax.testing.instances import Instance

ITERATIONS = 5
LARGEST_GROWTH = 64
"""E-nodes by which a left side may grow in `ITERATIONS` of its rule, besides two right sides."""


def check_engine(instance: Instance) -> tuple[str, str] | None:
    """Saturate the left side with the rule alone: what failed, and why; or None."""
    rule = instance.rule
    egraph = EGraph(FactAnalysis(numerics=rule.numerics), is_commutative)
    root = _add(egraph, instance.left)
    if rule.only_merges:
        _add(egraph, instance.right)
    start = egraph.node_count
    limits = Limits(time_limit_s=5.0, node_limit=2000, iteration_limit=ITERATIONS)
    saturate(egraph, [rule], limits)
    grown = egraph.node_count
    allowed = start + LARGEST_GROWTH + 2 * len(instance.right.nodes)
    if grown > allowed and not rule.expansive:
        return (
            "explosive",
            f"{start} e-nodes grow to {grown} in {ITERATIONS} iterations of this rule alone "
            f"(more than {allowed}). Direct it, or declare it `expansive`.",
        )
    goal = _add(egraph, instance.right)
    egraph.rebuild()
    if egraph.find(root) != egraph.find(goal):
        return "engine", "the e-graph, saturated with this rule alone, does not equate the sides"
    return None


def _add(egraph: EGraph, graph: Graph) -> int:
    classes: list[int] = []
    for node in graph.nodes:
        operands = tuple(classes[operand] for operand in node.operands)
        classes.append(egraph.add(node.op, node.attributes, operands, node.type))
    return classes[graph.outputs[0]]
