"""Independent contractions that share an operand, as one contraction.

    xᵢ·W for i = 1 … n  =  slices of  concat(x₁, …, xₙ)·W

reads W once instead of n times: time steps of an unrolled recurrence, or several projections of
one input. Members of a group must not depend on one another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from typing import Any

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
from saturax.proposals.usage import ancestors_among, independent_groups
from saturax.rules.einsum import is_swappable, swapped


def merge_contractions(equalities: Equalities) -> None:
    """Propose one `dot_general` for each group of them that shares its left or right operand."""
    graph = equalities.graph
    nodes: list[Any] = list(graph.nodes)
    dots = [
        index
        for index, node in enumerate(nodes)
        if node.op == "dot_general" and equalities.may_round(node.type.dtype)
    ]
    ancestors = ancestors_among(graph, dots)
    for side in (0, 1):
        families: dict[Hashable, list[int]] = defaultdict(list)
        for index in dots:
            families[_family(graph, index, side)].append(index)
        for family in families.values():
            for group in independent_groups(family, ancestors):
                with building(equalities.builder):
                    _merge(equalities, group, side)


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
    precision: Any = first.attributes[1]
    left, right = operands
    merged: Value = dot_general(left, right, dimensions, precision, first.attributes[2])
    batch = len(dimensions.lhs_batch)
    position = batch if side == 1 else batch + len(dimensions.lhs_free(shared.rank))
    _equate_parts(equalities, group, sizes, merged, position, has_free)
    if not has_free and is_swappable(precision):
        # Vectors have no order: as rows of a matrix on the other side they may run far faster.
        flipped = DotDimensions(
            dimensions.rhs_batch,
            dimensions.lhs_batch,
            dimensions.rhs_contract,
            dimensions.lhs_contract,
        )
        merged = dot_general(right, left, flipped, swapped(precision), first.attributes[2])
        position = batch + len(dimensions.rhs_free(shared.rank)) if side == 1 else batch
        _equate_parts(equalities, group, sizes, merged, position, has_free)


def _equate_parts(
    equalities: Equalities,
    group: list[int],
    sizes: list[int],
    merged: Value,
    position: int,
    has_free: bool,
) -> None:
    """The members of a group are slices of the merged contraction along a dimension."""
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
