"""Shared by the example tests: does the engine prove that two programs are equal?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from saturax.egraph import EGraph, Limits, saturate
from saturax.facts import FactAnalysis
from saturax.graph.build import GraphBuilder, building
from saturax.graph.ops import is_commutative
from saturax.graph.types import TensorType
from saturax.rules import rules_within
from saturax.rules.rule import ROUNDING, Numerics

Program = Callable[..., Any]


def tensor(*shape: int, dtype: str = "f32") -> TensorType:
    """A tensor type, float by default."""
    return TensorType(shape, dtype)


class _ProvedError(Exception):
    """The two programs are equal: no need to grow the e-graph further."""


def proves(
    start: Program,
    goal: Program,
    *types: TensorType,
    numerics: Numerics = ROUNDING,
    only: tuple[str, ...] = (),
) -> bool:
    """Whether rules of `numerics` (and of the families `only`, if any) equate two programs."""
    builder = GraphBuilder(types, exact=True)
    with building(builder):
        ends = [program(*builder.parameters) for program in (start, goal)]
    egraph = EGraph(FactAnalysis(numerics=numerics), is_commutative)
    classes: list[int] = []
    for node in builder.nodes:
        operands = tuple(classes[operand] for operand in node.operands)
        classes.append(egraph.add(node.op, node.attributes, operands, node.type))

    def stop_once_equal(*_: object) -> None:
        first, second = (egraph.find(classes[end.index]) for end in ends)
        if first == second:
            raise _ProvedError

    rules = [rule for rule in rules_within(numerics) if not only or rule.family in only]
    limits = Limits(time_limit_s=20.0, node_limit=20_000)
    try:
        saturate(egraph, rules, limits, on_iteration=stop_once_equal)
        stop_once_equal()
    except _ProvedError:
        return True
    return False
