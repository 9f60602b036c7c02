"""Independent contractions that share an operand, as one contraction.

    xᵢ·W for i = 1 … n  =  slices of  concat(x₁, …, xₙ)·W

reads W once instead of n times: time steps of an unrolled recurrence, or several projections of
one input. Members of a group must not depend on one another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator

from saturax.graph.build import Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import (
    DotDimensions,
    concatenate_all,
    dot_general,
    reshape,
    slice_dimension,
)
from saturax.proposals.equality import Equalities

_LARGEST_GROUP = 256


def merge_contractions(equalities: Equalities) -> None:
    """Propose one `dot_general` for each group of them that shares its left or right operand."""
    graph = equalities.graph
    dots = [i for i, node in enumerate(graph.nodes) if node.op == "dot_general"]
    ancestors = _ancestors_among(graph, dots)
    for side in (0, 1):
        families: dict[Hashable, list[int]] = defaultdict(list)
        for index in dots:
            families[_family(graph, index, side)].append(index)
        for family in families.values():
            for group in independent_groups(family, ancestors):
                with building(equalities.builder):
                    _merge(equalities, group, side)


def independent_groups(candidates: list[int], ancestors: dict[int, int]) -> Iterator[list[int]]:
    """Partition candidates, in program order, into groups without dependences inside.

    `ancestors[i]` is the bit set of the nodes that node i depends on.
    """
    groups: list[tuple[int, list[int]]] = []
    for index in candidates:
        for position, (members, group) in enumerate(groups):
            if not ancestors[index] & members and len(group) < _LARGEST_GROUP:
                group.append(index)
                groups[position] = (members | 1 << index, group)
                break
        else:
            groups.append((1 << index, [index]))
    return (group for _, group in groups if len(group) > 1)


def _ancestors_among(graph: Graph, candidates: list[int]) -> dict[int, int]:
    """For each candidate, the candidates that it depends on, as a bit set over node indices."""
    wanted = set(candidates)
    above: list[int] = []
    for node in graph.nodes:
        bits = 0
        for operand in node.operands:
            bits |= above[operand] | ((1 << operand) if operand in wanted else 0)
        above.append(bits)
    return {index: above[index] for index in candidates}


def _family(graph: Graph, index: int, side: int) -> Hashable:
    """What contractions must have in common: the shared operand and the shape of the other."""
    node = graph.nodes[index]
    varying = graph.nodes[node.operands[1 - side]].type
    rank = len(varying.shape)  # type: ignore[union-attr]
    along = _free(node, 1 - side, rank)[:1]
    shape = tuple(n for d, n in enumerate(varying.shape) if d not in along)  # type: ignore[union-attr]
    return (node.operands[side], shape, along, node.attributes)


def _free(node: Node, side: int, rank: int) -> tuple[int, ...]:
    """The free dimensions of the left (0) or right (1) operand of a `dot_general`."""
    dimensions = DotDimensions(*node.attributes[0])  # type: ignore[misc]
    return dimensions.rhs_free(rank) if side else dimensions.lhs_free(rank)


def _merge(equalities: Equalities, group: list[int], side: int) -> None:
    """Propose one contraction for `group`, whose members share the operand on `side`."""
    nodes = [equalities.graph.nodes[index] for index in group]
    first = nodes[0]
    varying = [equalities.value(node.operands[1 - side]) for node in nodes]
    if len({value.index for value in varying}) < len(varying):
        return
    shared = equalities.value(first.operands[side])
    dimensions = DotDimensions(*first.attributes[0])  # type: ignore[misc]
    free = _free(first, 1 - side, varying[0].rank)
    has_free = bool(free)
    if not has_free:
        varying = [reshape(value, (1, *value.shape)) for value in varying]
        dimensions = _shifted(dimensions, 1 - side)
    along = free[0] if has_free else 0
    sizes = [value.shape[along] for value in varying]
    joined = concatenate_all(varying, along)
    operands = (shared, joined) if side == 0 else (joined, shared)
    merged: Value = dot_general(
        operands[0], operands[1], dimensions, first.attributes[1], first.attributes[2]
    )
    batch = len(dimensions.lhs_batch)
    position = batch if side == 1 else batch + len(dimensions.lhs_free(shared.rank))
    start = 0
    for index, size in zip(group, sizes, strict=True):
        part = slice_dimension(merged, position, start, start + size)
        start += size
        shape = equalities.value(index).shape
        equalities.equate(index, part if has_free else reshape(part, shape))


def _shifted(dimensions: DotDimensions, side: int) -> DotDimensions:
    """Dimension numbers after a new leading dimension on one side."""
    fields = dimensions._asdict()
    for name in ("rhs_batch", "rhs_contract") if side else ("lhs_batch", "lhs_contract"):
        fields[name] = tuple(d + 1 for d in fields[name])
    return DotDimensions(**fields)
