"""A contraction over a concatenation, as the sum of the contractions of its parts.

    [x₁, …, xₙ]·[W₁; …; Wₙ]  =  Σ xᵢ·Wᵢ

A rule splits one concatenation in two, and only about the middle, since the concatenations that
other rules make are long. What the program itself concatenates (the features of both ends of an
edge and of the edge) has few parts, and each may be cheaper by itself.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from saturax.graph.build import building
from saturax.graph.ops import DotDimensions, add, dot_general, slice_dimension
from saturax.graph.types import TensorType
from saturax.proposals.equality import Equalities
from saturax.rules.arithmetic import accumulation_dtype

_MOST_PARTS = 8


def split_concatenations(equalities: Equalities) -> None:
    """Propose the sum over parts for each `dot_general` that contracts what is concatenated."""
    for index, node in enumerate(equalities.graph.nodes):
        if node.op != "dot_general" or not isinstance(node.type, TensorType):
            continue
        dtype = node.type.dtype
        if not equalities.may_round(dtype) or accumulation_dtype(dtype) != dtype:
            continue
        for side in (0, 1):
            with building(equalities.builder):
                _split(equalities, index, side)


def _split(equalities: Equalities, index: int, side: int) -> None:
    """Propose the sum of parts, if the operand on `side` is concatenated where it is contracted."""
    graph = equalities.graph
    node = graph.nodes[index]
    source = graph.nodes[node.operands[side]]
    if source.op != "concatenate":
        return
    along: Any = source.attributes[0]
    dimensions = DotDimensions(*node.attributes[0])  # type: ignore[misc]
    sides = (dimensions.lhs_contract, dimensions.rhs_contract)
    if along not in sides[side]:
        return
    across = sides[1 - side][sides[side].index(along)]
    other = equalities.value(node.operands[1 - side])
    terms, start = [], 0
    for part in _parts(equalities, node.operands[side], along):
        facing = slice_dimension(other, across, start, start + part.shape[along])
        start += part.shape[along]
        pair = (part, facing) if side == 0 else (facing, part)
        precision: Any = node.attributes[1]
        terms.append(dot_general(*pair, dimensions, precision, node.attributes[2]))
    if 2 < len(terms) <= _MOST_PARTS:
        equalities.equate(index, reduce(add, terms))


def _parts(equalities: Equalities, index: int, along: int) -> list[Any]:
    """What a tree of binary concatenations along one dimension joins, in order."""
    node = equalities.graph.nodes[index]
    if node.op != "concatenate" or node.attributes[0] != along:
        return [equalities.value(index)]
    return [part for operand in node.operands for part in _parts(equalities, operand, along)]
