"""Operations as XLA:CPU's fusion sees them, one by one: which are loops, and which are known ahead.

How they make kernels together is in `clusters`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from saturax.cost.kernel import EXPENSIVE
from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.operation import TABLE
from saturax.graph.ops.elementwise import function_name

_MOVEMENT = frozenset(
    {"broadcast_in_dim", "reshape", "transpose", "slice", "pad", "reverse", "dynamic_slice"}
    | {"dynamic_update_slice", "gather", "iota"}
)
# Rows of so many elements are joined by copying them, and so are more arrays than this.
_LONG_ROW, MOST_JOINED = 128, 8
# XLA computes these again where it would write others, although they take as long.
_CHEAP_TO_XLA = frozenset({"sine", "cosine"})
# Known numbers that are not all the same are in no kernel if they are more.
_FEW_BYTES = 1 << 12


def follows(
    nodes: Sequence[Node], is_wanted: Callable[[Literal], bool], repeats: bool = True
) -> list[bool]:
    """Which nodes follow from constants alone, all of which are wanted.

    Without `repeats`, nothing that is repeated along a new dimension does.
    """
    found: list[bool] = []
    for node in nodes:
        literal: Any = node.attributes[0] if node.op == "constant" else None
        inherits = bool(node.operands) and all(found[i] for i in node.operands)
        inherits &= repeats or node.op != "broadcast_in_dim"
        found.append(inherits if literal is None else is_wanted(literal))
    return found


def is_small(literal: Literal) -> bool:
    """Whether a constant is part of the kernels that read it."""
    return literal.is_splat or literal.data.nbytes <= _FEW_BYTES


def is_zero(nodes: Sequence[Node], index: int) -> bool:
    """Whether a value is a constant 0, converted or repeated or not."""
    node = nodes[index]
    if node.op == "constant":
        literal: Any = node.attributes[0]
        return bool(literal.is_splat and literal.value == 0)
    is_same = node.op == "unary" and function_name(node.attributes[0]) == "convert"
    return (is_same or node.op == "broadcast_in_dim") and is_zero(nodes, node.operands[0])


def is_loop(graph: Graph, node: Node) -> bool:
    """Whether an operation computes or moves element by element."""
    if node.op == "scatter":  # one window at one index is an update, which fuses like a slice
        indices: Any = graph.nodes[node.operands[1]].type
        vector: Any = node.attributes[1]
        vectors = [n for d, n in enumerate(indices.shape) if d != vector.index_vector_dim]
        return all(n == 1 for n in vectors)
    if node.op == "dot_general":
        operand: Any = graph.nodes[node.operands[0]].type
        dimensions: Any = node.attributes[0]
        return all(operand.shape[d] == 1 for d in dimensions.lhs_contract)
    if node.op == "concatenate":
        shape: tuple[int, ...] = node.type.shape  # type: ignore[union-attr]
        is_in_rows = len(shape) > 1 and node.attributes[0] == len(shape) - 1
        joins_few = len(node.operands) <= MOST_JOINED
        return joins_few and not (is_in_rows and shape[-1] >= _LONG_ROW)
    return node.op in _MOVEMENT or (node.op in TABLE and TABLE[node.op].kind == "elementwise")


def rank_of(node: Node) -> int:
    """Dimensions of more than one element."""
    return sum(n != 1 for n in getattr(node.type, "shape", ()))


def is_expensive(node: Node) -> bool:
    """Whether XLA would rather write a result than compute it several times."""
    is_elementwise = node.op in ("unary", "binary", "ternary")
    return node.op == "reduce" or (
        is_elementwise and function_name(node.attributes[0]) in EXPENSIVE - _CHEAP_TO_XLA
    )
