"""Where to cut a graph of dependences in two such that the least crosses: a minimum cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

# Capacities are 32-bit integers in scipy; all weights together stay below this, scaled.
_LARGEST_TOTAL = 1 << 28
_ENDLESS = 1 << 30


def cheapest_cut(
    nodes: Iterable[int],
    depends: Sequence[Sequence[int]],
    weights: Mapping[int, int],
    first: Iterable[int],
    last: Iterable[int],
    *,
    prefers_first: bool,
) -> frozenset[int]:
    """The nodes on the first side of the cheapest cut.

    A node is on the first side only if all that it depends on is. The cost of a cut is the sum of
    the weights of the nodes on its first side that the other side needs. `first` and `last` must
    be on the two sides. Of equally cheap cuts the one with most nodes on the first side is taken
    if it `prefers_first`, else the one with fewest.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    number = {node: position for position, node in enumerate(nodes)}
    count = len(number)
    source, sink = 2 * count, 2 * count + 1
    scale = max(1, -(-sum(weights[node] for node in number) // _LARGEST_TOTAL))
    capacity: dict[tuple[int, int], int] = {}
    for node, i in number.items():
        capacity[2 * i, 2 * i + 1] = max(1, -(-weights[node] // scale))
        for j in (number[operand] for operand in depends[node] if operand in number):
            capacity[2 * j + 1, 2 * i] = _ENDLESS  # the value of j is needed by i
            capacity[2 * i, 2 * j] = _ENDLESS  # what i needs is on its side
    for node in first:
        capacity[source, 2 * number[node]] = _ENDLESS
    for node in last:
        capacity[2 * number[node], sink] = _ENDLESS
    if not capacity:
        return frozenset()
    rows, columns = zip(*capacity, strict=True)
    shape = (2 * count + 2, 2 * count + 2)
    matrix = csr_array(
        (np.asarray(list(capacity.values()), np.int32), (rows, columns)), shape=shape
    )
    residual = matrix - maximum_flow(matrix.tocsr(), source, sink).flow
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    if prefers_first:
        reached = breadth_first_order(residual.T.tocsr(), sink, return_predecessors=False)
        behind = set(reached.tolist())
        return frozenset(node for node, i in number.items() if 2 * i not in behind)
    reached = breadth_first_order(residual.tocsr(), source, return_predecessors=False)
    before = set(reached.tolist())
    return frozenset(node for node, i in number.items() if 2 * i in before)
