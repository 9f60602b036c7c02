"""Small independent contractions of one shape, without a common operand, as one batch.

    Aᵢ·Bᵢ for i = 1 … n  =  parts of  stack(A₁, …, Aₙ) · stack(B₁, …, Bₙ)

Launching many small kernels costs more than one, and than the copies; few or large ones would only
be copied. Depthwise convolutions become one with more features.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

from saturax.graph.build import Value, building
from saturax.graph.ops import (
    ConvDimensions,
    DotDimensions,
    Groups,
    concatenate_all,
    convolution,
    dot_general,
    reshape,
    slice_dimension,
)
from saturax.proposals.equality import Equalities
from saturax.proposals.usage import ancestors_among, independent_groups

LARGEST_MEMBER_BYTES = 1 << 18
"""Bytes of operands and result up to which a contraction takes part: moving 256 KiB takes about as
long as launching a few kernels."""
LEAST_MEMBERS = 8
"""Smallest group: two concatenations and as many slices as members are no gain for fewer (six heads
of a decoder doubled the e-graph for nothing)."""


def batch_contractions(equalities: Equalities) -> None:
    """Propose one batched contraction for each group of small ones; a node is in one group."""
    graph = equalities.graph
    found: dict[Hashable, list[int]] = defaultdict(list)
    for index, node in enumerate(graph.nodes):
        if node.op not in ("dot_general", "convolution"):
            continue
        types: list[Any] = [*(graph.nodes[operand].type for operand in node.operands), node.type]
        is_small = 0 < sum(type.bytes for type in types) <= LARGEST_MEMBER_BYTES
        is_suitable = node.op == "dot_general" or _is_depthwise(node, types[1])
        if is_small and is_suitable and types[2].size and equalities.may_round(types[2].dtype):
            found[node.op, node.attributes, types[0], types[1]].append(index)
    families = [family for family in found.values() if len(family) >= LEAST_MEMBERS]
    ancestors = ancestors_among(graph, [index for family in families for index in family])
    for family in families:
        for group in independent_groups(family, ancestors):
            if len(group) < LEAST_MEMBERS:
                continue
            # What shares an operand is merged without copying that.
            if all(len({graph.nodes[i].operands[side] for i in group}) > 1 for side in (0, 1)):
                with building(equalities.builder):
                    _batch(equalities, group)


def _is_depthwise(node: Any, kernel: Any) -> bool:
    """Whether each output feature of a convolution depends on one input feature only."""
    at = ConvDimensions(*node.attributes[1]).kernel_input_feature
    return Groups(*node.attributes[2]).batch == 1 and kernel.shape[at] == 1


def _batch(equalities: Equalities, group: Sequence[int]) -> None:
    """Propose the batch of one group."""
    nodes: list[Any] = [equalities.graph.nodes[index] for index in group]
    left, right = ([equalities.value(node.operands[side]) for node in nodes] for side in (0, 1))
    attributes = nodes[0].attributes
    if nodes[0].op == "dot_general":
        shifted = DotDimensions(*(tuple(d + 1 for d in field) for field in attributes[0]))
        batch, rhs_batch = (0, *shifted.lhs_batch), (0, *shifted.rhs_batch)
        batched = shifted._replace(lhs_batch=batch, rhs_batch=rhs_batch)
        joined, axis = dot_general(_stacked(left), _stacked(right), batched, *attributes[1:]), 0
    else:
        window, dimensions, groups, *rest = attributes
        d = ConvDimensions(*dimensions)
        together = (
            concatenate_all(left, d.input_feature),
            concatenate_all(right, d.kernel_output_feature),
        )
        many = Groups(Groups(*groups).feature * len(group), 1)
        joined, axis = convolution(*together, window, dimensions, many, *rest), d.output_feature
    size = joined.shape[axis] // len(group)
    for position, index in enumerate(group):
        part = slice_dimension(joined, axis, position * size, (position + 1) * size)
        equalities.equate(index, reshape(part, equalities.value(index).shape))


def _stacked(values: Sequence[Value]) -> Value:
    """Values of one shape along a new first dimension."""
    result: Value = concatenate_all([reshape(x, (1, *x.shape)) for x in values], 0)
    return result
