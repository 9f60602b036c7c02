"""The class FINITE leaves the e-graph consistent where a program writes down NaN or infinities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rules.test_facts import Programs

from saturax.egraph import EGraph, Limits, saturate
from saturax.facts import FactAnalysis, Facts
from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.ops import is_commutative
from saturax.rules import rules_within
from saturax.rules.rule import FINITE, Numerics


class Contradiction(AssertionError):
    pass


def _same(a: Literal, b: Literal) -> bool:
    """Whether two constants are equal up to rounding, the sign of zero and the kind of NaN."""
    wide = np.complex128
    x, y = a.array.astype(wide), b.array.astype(wide)
    if a.data.dtype.kind in "iub":
        return bool((a.array == b.array).all())
    return bool(np.allclose(x, y, rtol=1e-2, atol=1e-2, equal_nan=True))


class Watching(FactAnalysis):
    """Fails where two classes with different constants merge."""

    def join(self, a: Facts, b: Facts) -> Facts:
        if a.constant is not None and b.constant is not None and not _same(a.constant, b.constant):
            raise Contradiction(f"{a.constant} = {b.constant}")
        return super().join(a, b)


def saturated(graph: Graph, numerics: Numerics = FINITE) -> EGraph:
    egraph = EGraph(Watching(assumes_finite=numerics >= FINITE), is_commutative)
    classes: list[int] = []
    for node in graph.nodes:
        operands = tuple(classes[i] for i in node.operands)
        classes.append(egraph.add(node.op, node.attributes, operands, node.type))
    limits = Limits(time_limit_s=3.0, node_limit=1500, iteration_limit=6)
    saturate(egraph, rules_within(numerics), limits)
    return egraph
