"""Values that the compiler shall write: how a module says so, and how that is read again.

XLA inlines calls, and removes barriers, before it fuses. What it leaves as they are are calls with
the attribute `inlineable = "false"`, across which no kernel reaches. A function that returns its
operand takes no time. Where the attribute means nothing, the call is inlined and nothing is lost.
"""

from __future__ import annotations

from jax.extend.mlir import ir

from saturax.graph.ops import HELD

HELD_PREFIX = "saturax_held_"
"""How the names of the functions begin."""


def held_function(name: str, type: str) -> str:
    """The function that returns its operand, as MLIR text."""
    return f"func.func private @{name}(%value: {type}) -> {type} {{ return %value : {type} }}"


def is_held_call(operation: ir.Operation) -> bool:
    """Whether an operation is a call of such a function."""
    if operation.name != "func.call" or HELD.attributes[0][0] not in operation.attributes:
        return False
    return ir.FlatSymbolRefAttr(operation.attributes["callee"]).value.startswith(HELD_PREFIX)
