"""Who needs what in a graph, for proposals that replace or join several nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from saturax.graph.ir import Graph
from saturax.proposals.tensor_network import MOVEMENT, is_contractive

LARGEST_GROUP = 256
"""Most members that a group of nodes joined into one has."""


def ancestors_among(graph: Graph, candidates: Iterable[int]) -> dict[int, int]:
    """For each candidate, the candidates that it depends on, as a bit set over their positions.

    Bit k stands for the k-th candidate in ascending order.
    """
    bit = {index: 1 << position for position, index in enumerate(sorted(candidates))}
    above: list[int] = []
    for node in graph.nodes:
        bits = 0
        for operand in node.operands:
            bits |= above[operand] | bit.get(operand, 0)
        above.append(bits)
    return {index: above[index] for index in bit}


def independent_groups(candidates: list[int], ancestors: dict[int, int]) -> Iterator[list[int]]:
    """Partition candidates, in program order, into groups without dependences inside.

    `ancestors` is what `ancestors_among` says of all candidates. Groups of one are left out.
    """
    bit = {index: 1 << position for position, index in enumerate(sorted(ancestors))}
    groups: list[tuple[int, list[int]]] = []
    for index in candidates:
        for position, (members, group) in enumerate(groups):
            if not ancestors[index] & members and len(group) < LARGEST_GROUP:
                group.append(index)
                groups[position] = (members | bit[index], group)
                break
        else:
            groups.append((bit[index], [index]))
    return (group for _, group in groups if len(group) > 1)


def used_once(graph: Graph) -> list[bool]:
    """Which nodes have a single use: nothing else needs them if that is rewritten."""
    return [count == 1 for count in graph.uses()]


def used_by_contractions(graph: Graph) -> list[bool]:
    """Which nodes are needed by contractions only, perhaps through linear operations.

    If all of those are rewritten, nobody needs the node, however many they are.
    """
    found = [True] * len(graph.nodes)
    for index in (*graph.outputs, *graph.effects):
        found[index] = False
    for index in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[index]
        f = node.attributes[0] if node.op in ("unary", "binary", "ternary") else ""
        is_product = f == "multiply" or node.op in MOVEMENT
        is_linear = is_product or f in ("add", "subtract", "negate", "select")
        if is_contractive(graph, node) and not is_product:
            continue
        if not is_linear or not found[index]:
            for operand in node.operands:
                found[operand] = False
    return found
