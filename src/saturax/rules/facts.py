"""What is known about every value of an e-class: the e-graph's analysis.

Facts only grow more precise; a side condition that asks for an unknown fact gets "no".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.types import Type


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about one value. `constant`: its value, if known. `is_frozen`: it depends on
    constants only, so it can be computed before the program runs.
    """

    constant: Literal | None = None
    is_frozen: bool = False


UNKNOWN = Facts()


class FactAnalysis:
    """Derives `Facts` for new e-nodes and joins them when classes merge."""

    def make(
        self, op: str, attributes: tuple[Any, ...], children: tuple[Facts, ...], type: Type
    ) -> Facts:
        """Facts of a node from the facts of its operands."""
        if op == "constant":
            return Facts(attributes[0], True)
        if op == "iota":
            return Facts(None, True)
        if op == "parameter" or not children or op.startswith("stablehlo."):
            return UNKNOWN
        return FROZEN if all(child.is_frozen for child in children) else UNKNOWN

    def join(self, a: Facts, b: Facts) -> Facts:
        """Facts of a class that two classes with facts a and b merge into."""
        if a == b:
            return a
        return Facts(a.constant or b.constant, a.is_frozen or b.is_frozen)

    def modify(self, egraph: Any, class_id: int) -> None:
        """No node follows from facts alone: folding is a rule."""


FROZEN = Facts(None, True)


def constant_of(x: Value) -> Literal | None:
    """The constant that x is known to be, or None. (Rules that call this set `uses_facts`.)"""
    facts: Facts | None = x.facts
    if facts is not None and facts.constant is not None:
        return facts.constant
    node = x.node
    literal = node.attributes[0] if node.op == "constant" else None
    return literal if isinstance(literal, Literal) else None


def splat_of(x: Value) -> Any:
    """The numpy scalar that every element of x is known to equal, or None."""
    literal = constant_of(x)
    return literal.value if literal is not None and literal.is_splat else None


def is_splat(literal: Literal, value: float) -> bool:
    """Whether every element of the constant equals `value` (by bits: 0.0 is not -0.0)."""
    if not literal.is_splat:
        return False
    wanted = np.asarray(value).astype(literal.data.dtype)
    return bool(literal.data.tobytes() == wanted.tobytes())
