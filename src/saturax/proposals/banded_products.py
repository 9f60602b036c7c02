"""Products with known matrices of few diagonals, as sums of shifted operands.

    y[s·i + p] = Σ_o w_o[i] · x[t·i + o]        for each phase p < s

Interpolation (`jax.image.resize` is a product with a dense matrix for each axis), differences and
moving averages that are written as matrices have a few such terms an element, not a whole row.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import Value, building
from saturax.graph.ir import Node
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    add,
    broadcast_in_dim,
    concatenate_all,
    constant,
    full,
    multiply,
    pad,
    reshape,
    slice_dimension,
)
from saturax.graph.types import TensorType
from saturax.proposals.equality import Equalities
from saturax.proposals.masks import constant_value
from saturax.rules.moves import transposed

Array = np.ndarray[Any, Any]

# A diagonal costs a few operations an element, a product one for each of the row, but fast ones.
_MOST_DIAGONALS, _LEAST_ROW, _MOST_PHASES = 5, 16, 4
_WIDE = ("f32", "f64")


class Bands(NamedTuple):
    """`phases` of a matrix: each has its diagonals, weights by the offset of what they weigh.

    Row s·i + p of a matrix with s phases weighs elements `step`·i + offset of the operand.
    """

    step: int
    phases: tuple[dict[int, Array], ...]

    @property
    def terms(self) -> int:
        """The terms of a row of each phase together."""
        return sum(map(len, self.phases))


def use_bands(equalities: Equalities) -> None:
    """Propose sums of shifted operands for products with known matrices of few diagonals."""
    graph = equalities.graph
    for index, node in enumerate(graph.nodes):
        if node.op != "dot_general" or not equalities.may_round(node.type.dtype):  # type: ignore[union-attr]
            continue
        for side in (0, 1):
            matrix = _matrix(equalities, node, side)
            if matrix is not None and (bands := bands_of(matrix)) is not None:
                with building(equalities.builder):
                    operand = equalities.value(node.operands[1 - side])
                    equalities.equate(index, _result(operand, bands, matrix, node, side))


def _matrix(equalities: Equalities, node: Node, side: int) -> Array | None:
    """The known matrix that an operand is, rows by what they give; None if there is none."""
    d, precision, dtype = node.attributes
    types: list[Any] = [equalities.graph.nodes[operand].type for operand in node.operands]
    d = DotDimensions(*d)  # type: ignore[misc]
    contract = (d.lhs_contract, d.rhs_contract)[side]
    is_plain = types[side].rank == 2 and len(contract) == 1 and not d.lhs_batch
    is_wide = dtype in _WIDE and all(type.dtype == dtype for type in types)
    if not is_plain or not is_wide or Precision(*precision).algorithm:  # type: ignore[misc]
        return None
    if types[side].shape[contract[0]] < _LEAST_ROW or 0 in types[1 - side].shape:
        return None
    if not equalities.facts[node.operands[1 - side]].assumed_finite:
        return None  # 0 times NaN or infinity is not 0, and the zeros are left out
    value = constant_value(equalities.graph.nodes, node.operands[side])
    return None if value is None else np.moveaxis(value, contract[0], 1)


def bands_of(matrix: Array) -> Bands | None:
    """The phases and steps in which a matrix has fewest diagonals; None if it has too many.

    >>> bands_of(np.eye(16, k=1, dtype=np.float32) - np.eye(16, dtype=np.float32)).terms
    2
    """
    is_sparse = np.count_nonzero(matrix) <= _MOST_DIAGONALS * len(matrix)
    if not is_sparse or not np.isfinite(matrix).all():
        return None
    found = [bands for count, step in product(range(1, _MOST_PHASES + 1), repeat=2)
             if (bands := _split(matrix, count, step)) is not None]  # fmt: skip
    # Phases have to be interleaved in the end, which costs about as much as another term.
    return min(found, key=lambda bands: bands.terms / len(bands.phases) + len(bands.phases),
               default=None)  # fmt: skip


def _split(matrix: Array, count: int, step: int) -> Bands | None:
    if matrix.shape[0] % count or not matrix.shape[0]:
        return None
    phases = []
    for phase in range(count):
        rows = matrix[phase::count]
        own, columns = np.nonzero(rows)
        offsets = columns - step * own
        diagonals = np.unique(offsets)
        if not 0 < len(diagonals) <= _MOST_DIAGONALS:
            return None
        weights = {int(o): np.zeros(len(rows), matrix.dtype) for o in diagonals}
        for row, column, offset in zip(own, columns, offsets, strict=True):
            weights[int(offset)][row] = rows[row, column]
        phases.append(weights)
    return Bands(step, tuple(phases))


def _result(x: Value, bands: Bands, matrix: Array, node: Node, side: int) -> Any:
    """The product, its dimensions in the order of the node."""
    d = DotDimensions(*node.attributes[0])  # type: ignore[misc]
    (place,) = (d.rhs_contract, d.lhs_contract)[side]
    parts = [_phase(x, place, bands.step, weights) for weights in bands.phases]
    rows = matrix.shape[0]
    if len(parts) > 1:
        shape = parts[0].shape
        split = (*shape[: place + 1], 1, *shape[place + 1 :])
        joined = concatenate_all([reshape(part, split) for part in parts], place + 1)
        whole = reshape(joined, (*shape[:place], rows, *shape[place + 1 :]))
    else:
        whole = parts[0]
    others = [i for i in range(x.rank) if i != place]
    return transposed(whole, [place, *others] if side == 0 else [*others, place])


def _phase(x: Value, place: int, step: int, weights: dict[int, Array]) -> Any:
    """Σ_o w_o[i] · x[step·i + o] along a dimension of x, which is 0 outside."""
    terms = [_term(x, place, step, offset, each) for offset, each in sorted(weights.items())]
    total = terms[0]
    for term in terms[1:]:
        total = add(total, term)
    return total


def _term(x: Value, place: int, step: int, offset: int, weights: Array) -> Any:
    size, count = x.shape[place], len(weights)
    limit = offset + step * (count - 1) + 1
    low, high = max(0, -offset), max(0, limit - size)
    amounts = [[n if i == place else 0 for i in range(x.rank)] for n in (low, high, 0)]
    padded = pad(x, full(0, TensorType((), x.dtype)), *amounts) if low or high else x
    shifted = slice_dimension(padded, place, low + offset, low + limit, step)
    inside = [0 <= offset + step * i < size for i in range(count)]
    seen = weights[inside]
    if (seen == seen[0]).all():
        return shifted if seen[0] == 1 else multiply(shifted, full(seen[0], shifted.tensor))
    factors = broadcast_in_dim(constant(Literal(weights)), shifted.shape, (place,))
    return multiply(shifted, factors)
