"""Generic operations: everything that the table does not know, carried exactly.

A generic node's `op` is the full name ("stablehlo.sort") and its attributes are one `Generic`.
"""

from __future__ import annotations

from typing import NamedTuple

from saturax.graph.ir import Graph, Node

PURE = -1

BARRIER = "stablehlo.optimization_barrier"
"""Hands on its operands; the compiler does not look through it."""


class Generic(NamedTuple):
    """Attributes of a generic node.

    `attributes` are (name, MLIR text) pairs, sorted by name. The inputs of each of the `regions`
    are its block arguments followed by the captured values, which are the node's last `captures`
    operands. `sequence` is the operation's place in program order if it has side effects (so that
    two equal ones stay two), else `PURE`.
    """

    attributes: tuple[tuple[str, str], ...] = ()
    regions: tuple[Graph, ...] = ()
    captures: int = 0
    sequence: int = PURE


def generic_of(node: Node) -> Generic | None:
    """The `Generic` attributes of a node, or None if it is an operation of the table."""
    return (
        node.attributes[0] if node.attributes and isinstance(node.attributes[0], Generic) else None
    )


USUALLY_FIRST = ("mhlo.frontend_attributes", '{saturax_usual = "0"}')
"""An attribute of a branch that takes its first region, but for rare inputs; XLA ignores it."""


def usual_region(generic: Generic) -> int | None:
    """The number of the region that a branch takes but for rare inputs, where somebody has said."""
    return 0 if USUALLY_FIRST in generic.attributes else None


HELD = Generic((("mhlo.frontend_attributes", '{inlineable = "false"}'),))
"""Attributes of a barrier that also stands after fusion: the compiler writes what it hands on."""


def is_held(node: Node) -> bool:
    """Whether a node is a value that the compiler shall write instead of computing it again."""
    return node.op == BARRIER and node.attributes == (HELD,)
