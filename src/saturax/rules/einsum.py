"""`dot_general` seen as an einsum: dimensions have labels, so that any order can be asked for."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from saturax.graph.build import Value
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    broadcast_in_dim,
    convert,
    dot_general,
    multiply,
    reduce_,
)
from saturax.rules.arithmetic import accumulation_dtype
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to

Labels = tuple[Hashable, ...]


class Einsum(NamedTuple):
    """Labels of the dimensions of both operands and of the result of a contraction."""

    x: Labels
    y: Labels
    result: Labels


def einsum_of(d: DotDimensions, x_rank: int, y_rank: int) -> Einsum:
    """The labels of a `dot_general`: x's dimensions are numbered, y's free ones after them."""
    y_labels = list(range(x_rank, x_rank + y_rank))
    shared = zip(d.lhs_batch + d.lhs_contract, d.rhs_batch + d.rhs_contract, strict=True)
    for left, right in shared:
        y_labels[right] = left
    y_free = tuple(y_labels[i] for i in d.rhs_free(y_rank))
    return Einsum(tuple(range(x_rank)), tuple(y_labels), d.lhs_batch + d.lhs_free(x_rank) + y_free)


def dot_dimensions(x: Labels, y: Labels, result: Labels) -> DotDimensions:
    """Dimension numbers that contract what x and y share and the result lacks."""
    batch = [label for label in result if label in x and label in y]
    contracted = [label for label in x if label in y and label not in result]
    return DotDimensions(
        tuple(x.index(label) for label in batch),
        tuple(y.index(label) for label in batch),
        tuple(x.index(label) for label in contracted),
        tuple(y.index(label) for label in contracted),
    )


def natural_result(x: Labels, y: Labels, result: Labels) -> Labels:
    """The order of dimensions in which `dot_general` itself returns the labels of `result`."""
    batch = tuple(label for label in result if label in x and label in y)
    x_free = tuple(label for label in x if label not in y)
    return batch + x_free + tuple(label for label in y if label not in x)


def swapped(precision: Precision) -> Precision:
    """The precision of a contraction whose operands change places."""
    return Precision(precision.operands[::-1], precision.algorithm)


def is_swappable(precision: Precision) -> bool:
    """Whether the operands may change places: a dot algorithm can treat them differently."""
    return not precision.algorithm


def is_natural(labels: Einsum, precision: Precision) -> bool:
    """Whether a `dot_general` in one of its operand orders returns this result as it is."""
    if natural_result(labels.x, labels.y, labels.result) == labels.result:
        return True
    other = natural_result(labels.y, labels.x, labels.result)
    return other == labels.result and is_swappable(precision)


def contract(x: Value, y: Value, labels: Einsum, precision: Precision, dtype: str) -> Any:
    """The contraction with these labels, in the operand order that leaves nothing to transpose.

    Labels of one operand only must be in the result: a `dot_general` cannot sum over them.
    """
    order = natural_result(labels.x, labels.y, labels.result)
    other = natural_result(labels.y, labels.x, labels.result)
    if order != labels.result and other == labels.result and is_swappable(precision):
        d = dot_dimensions(labels.y, labels.x, labels.result)
        return dot_general(y, x, d, swapped(precision), dtype)
    d = dot_dimensions(labels.x, labels.y, labels.result)
    result = dot_general(x, y, d, precision, dtype)
    return transposed(result, permutation_to(order, labels.result))


def sizes(labels: Sequence[Hashable], shape: Sequence[int]) -> dict[Hashable, int]:
    """The size of each labelled dimension."""
    return dict(zip(labels, shape, strict=True))


def along(x: Value, labels: Labels, result: Labels, size: dict[Hashable, int]) -> Any:
    """x, whose dimensions have `labels`, repeated into the dimensions labelled `result`."""
    shape = [size[label] for label in result]
    return broadcast_in_dim(x, shape, [result.index(label) for label in labels])


def sum_of_products(x: Value, y: Value, labels: Einsum, dtype: str) -> Any:
    """The contraction with these labels as multiplications followed by a sum."""
    wide = accumulation_dtype(dtype)
    size = sizes(labels.x, x.shape) | sizes(labels.y, y.shape)
    contracted = tuple(label for label in labels.x if label not in labels.result)
    order = labels.result + contracted
    factors = (
        along(convert(z, wide), own, order, size) for z, own in ((x, labels.x), (y, labels.y))
    )
    dimensions = range(len(labels.result), len(order))
    return convert(reduce_("add", multiply(*factors), tuple(dimensions)), dtype)
