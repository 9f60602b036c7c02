"""How much memory a compiled program needs: predicted, and as the compiler plans it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saturax.cost.kernel import byte_size
from saturax.cost.memory import aliased_bytes, memory_of
from saturax.graph.ir import Graph, Program
from saturax.jaxlib_compat import Executable, memory_analysis


@dataclass(frozen=True)
class Footprint:
    """Peak bytes of a program and its constants; None where nobody tells.

    `planned_bytes` come from the compiler; nothing is predicted for several devices.
    """

    predicted_bytes: int | None
    planned_bytes: int | None

    @property
    def known_bytes(self) -> int | None:
        """The compiler's number, else the predicted one."""
        return self.predicted_bytes if self.planned_bytes is None else self.planned_bytes

    def exceeds(self, limit_bytes: int | None) -> bool:
        """Whether it is known to be over a limit."""
        known = self.known_bytes
        return limit_bytes is not None and known is not None and known > limit_bytes

    def is_less_than(self, other: Footprint, factor: float = 1.0) -> bool:
        """Whether it is known to be less than `factor` times another."""
        mine, theirs = self.known_bytes, other.known_bytes
        return mine is not None and theirs is not None and mine < factor * theirs


def predict(program: Program) -> Footprint:
    """The footprint of a program that is not compiled."""
    if program.partitions > 1:
        return Footprint(None, None)
    return Footprint(memory_of(program).peak_bytes + constant_bytes(program.graph), None)


def measure(program: Program, executable: Executable, constants: int = 0) -> Footprint:
    """The footprint of a program that was compiled without donation.

    `constants` are bytes of arguments of `program` that were compiled into it as constants.
    """
    try:
        plan = memory_analysis(executable).peak_bytes
    except Exception:  # not every back end has this analysis, and each fails in its own way
        return predict(program)
    plan += constants + constant_bytes(program.graph) - aliased_bytes(program)
    return Footprint(predict(program).predicted_bytes, plan)


def constant_bytes(graph: Graph) -> int:
    """Bytes of the constants of a graph and its regions; repeated numbers are none."""
    total = sum(constant_bytes(region) for _, region in graph.regions())
    for node in graph.nodes:
        literal: Any = node.attributes[0] if node.op == "constant" else None
        if literal is not None and not literal.is_splat:
            total += byte_size(node.type)
    return total
