"""Independent triangular solves with one matrix, as one solve.

    T⁻¹bᵢ for i = 1 … n  =  columns of  T⁻¹·[b₁, …, bₙ]

reads T once, and is a product of matrices instead of vectors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from typing import Any

from saturax.graph.build import building
from saturax.graph.ops import Triangle, concatenate_all, slice_dimension, triangular_solve
from saturax.proposals.equality import Equalities
from saturax.proposals.usage import ancestors_among, independent_groups


def merge_solves(equalities: Equalities) -> None:
    """Propose one `triangular_solve` for each group of them that shares its matrix."""
    graph = equalities.graph
    families: dict[Hashable, list[int]] = defaultdict(list)
    for index, node in enumerate(graph.nodes):
        if node.op == "triangular_solve" and equalities.may_round(node.type.dtype):  # type: ignore[union-attr]
            families[node.operands[0], node.attributes].append(index)
    ancestors = ancestors_among(graph, [i for family in families.values() for i in family])
    for family in families.values():
        for group in independent_groups(family, ancestors):
            with building(equalities.builder):
                _merge(equalities, group)


def _merge(equalities: Equalities, group: list[int]) -> None:
    nodes = [equalities.graph.nodes[index] for index in group]
    triangle: Any = nodes[0].attributes[0]
    rights = [equalities.value(node.operands[1]) for node in nodes]
    column = rights[0].rank - (1 if Triangle(*triangle).is_left else 2)
    matrix, routine = equalities.value(nodes[0].operands[0]), nodes[0].attributes[1]
    merged = triangular_solve(matrix, concatenate_all(rights, column), triangle, routine)
    start = 0
    for index, right in zip(group, rights, strict=True):
        limit = start + right.shape[column]
        equalities.equate(index, slice_dimension(merged, column, start, limit))
        start = limit
