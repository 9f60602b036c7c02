"""Which values XLA never computes twice, whatever could take them in.

A value of several operands that is read in several places is computed again in each of them only
if all that lies between it and its readers fuses, too: else kernels would read its operands beside
it. Of jaxlib 0.10.2's `InstructionFusion::ComputeGloballyUnfusible`. In a step of a stencil by
`jnp.roll` rows are joined by copies, so that each step reads the one before it from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from saturax.cost.fusible import rank_of
from saturax.graph.ir import Node

_NEGLIGIBLE = ("broadcast_in_dim", "iota")


def never_duplicated(
    nodes: Sequence[Node],
    users: Sequence[Sequence[int]],
    is_constant: Sequence[bool],
    fuses: Callable[[int, int], bool],
) -> list[bool]:
    """Whether each value is written because not all paths to what reads it fuse.

    `fuses(i, user)` says whether node i could be computed by what computes its user.
    """
    found = [False] * len(nodes)
    above = _ancestors(nodes)
    for index in range(len(nodes) - 1, -1, -1):
        if is_constant[index] or not nodes[index].operands or len(users[index]) < 2:
            continue
        if reads_one_value(nodes, index) or not _reads_more_than_it_writes(nodes, index):
            continue
        stack, seen = list(users[index]), set(users[index])
        while stack and not found[index]:
            user = stack.pop()
            for operand in nodes[user].operands:
                if operand != index and not above[operand] >> index & 1:
                    continue
                if found[operand] or not fuses(operand, user):
                    found[index] = True
                    break
                if operand != index and operand not in seen:
                    seen.add(operand)
                    stack.append(operand)
    return found


def reads_one_value(nodes: Sequence[Node], index: int) -> bool:
    """Whether an operation reads one value of its rank at most, less repetitions.

    XLA's `InstructionFusion::EffectivelyAtMostUnary`.
    """
    node = nodes[index]
    large = [
        i
        for i in node.operands
        if nodes[i].op not in _NEGLIGIBLE
        and not _is_scalar_constant(nodes[i])
        and rank_of(nodes[i]) >= rank_of(node)
    ]
    return len(large) <= 1


def _is_scalar_constant(node: Node) -> bool:
    return node.op == "constant" and _size(node) == 1


def _reads_more_than_it_writes(nodes: Sequence[Node], index: int) -> bool:
    return sum(_size(nodes[i]) for i in dict.fromkeys(nodes[index].operands)) > _size(nodes[index])


def _ancestors(nodes: Sequence[Node]) -> list[int]:
    """Of each node those that it is computed from, as bits."""
    found: list[int] = []
    for node in nodes:
        above = 0
        for operand in node.operands:
            above |= found[operand] | 1 << operand
        found.append(above)
    return found


def _size(node: Node) -> int:
    return prod(getattr(node.type, "shape", ()))
