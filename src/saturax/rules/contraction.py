"""`dot_general` in other dimension numbers: operand order, transposes, reshapes, slices.

In every rule d are the dimension numbers, p the precision and t the element type of the result;
x · y is the contraction. Dimensions are followed by label (`saturax.rules.einsum`).
"""

from __future__ import annotations

from collections.abc import Hashable
from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    broadcast_in_dim,
    dot_general,
    full,
    pad,
    reshape,
    slice_,
    transpose,
)
from saturax.graph.types import TensorType, is_float
from saturax.rules.einsum import (
    Einsum,
    Labels,
    contract,
    dot_dimensions,
    einsum_of,
    is_natural,
    is_swappable,
    sizes,
    swapped,
)
from saturax.rules.facts import is_frozen
from saturax.rules.moves import transposed
from saturax.rules.permutations import (
    Permutation,
    invert,
    permutation_to,
)
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.shapes import Shape, blocks, picked

SPEC = "StableHLO spec, `dot_general`"

Dimensions = tuple[int, ...]


@rule(lambda x, y, d, p, t: dot_general(x, y, d, p, t), numerics=ROUNDING, source=SPEC)
def swap_dot_operands(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
    """x · y = y · x if one of them, and only one, has no free dimensions; flattened first"""
    need(is_swappable(p) and 1 not in x.shape + y.shape)
    need(bool(d.lhs_free(x.rank)) != bool(d.rhs_free(y.rank)))
    flipped = DotDimensions(d.rhs_batch, d.lhs_batch, d.rhs_contract, d.lhs_contract)
    return dot_general(y, x, flipped, swapped(p), t)


@rule(lambda x, y, d, p, t: dot_general(x, y, d, p, t), numerics=ROUNDING, source=SPEC)
def order_contracted_dimensions(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
    """x · y does not depend on the order in which contracted dimensions are listed"""
    pairs = sorted(zip(d.lhs_contract, d.rhs_contract, strict=True))
    lhs, rhs = tuple(i for i, _ in pairs), tuple(j for _, j in pairs)
    need(lhs != d.lhs_contract)
    return dot_general(x, y, d._replace(lhs_contract=lhs, rhs_contract=rhs), p, t)


# Transposes.


@rule(
    lambda x, q, y, d, p, t: dot_general(transpose(x, q), y, d, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_transpose_of_left_operand(
    x: Value, q: Permutation, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """xᑫ · y = x · y with other dimension numbers, if q keeps the order of free dimensions"""
    labels = einsum_of(d, x.rank, y.rank)
    new = labels._replace(x=_before(labels.x, q))
    need(is_natural(new, p))
    return contract(x, y, new, p, t)


@rule(
    lambda x, y, q, d, p, t: dot_general(x, transpose(y, q), d, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_transpose_of_right_operand(
    x: Value, y: Value, q: Permutation, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · yᑫ = x · y with other dimension numbers, if q keeps the order of free dimensions"""
    labels = einsum_of(d, x.rank, y.rank)
    new = labels._replace(y=_before(labels.y, q))
    need(is_natural(new, p))
    return contract(x, y, new, p, t)


def _before(labels: Labels, q: Permutation) -> Labels:
    """Labels of what has `labels` once it is transposed by q."""
    return tuple(labels[i] for i in invert(q))


@rule(
    lambda x, y, d, p, t, q: transpose(dot_general(x, y, d, p, t), q),
    numerics=ROUNDING,
    source=SPEC,
)
def push_transpose_into_dot(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str, q: Permutation
) -> Any:
    """(x · y)ᑫ = xʳ · yˢ, or with operands swapped, if q keeps what is x's together"""
    labels = einsum_of(d, x.rank, y.rank)
    result = tuple(labels.result[i] for i in q)
    new = Einsum(_freed(labels.x, labels.y, result), _freed(labels.y, labels.x, result), result)
    need(is_natural(new, p))
    left = transposed(x, permutation_to(labels.x, new.x))
    right = transposed(y, permutation_to(labels.y, new.y))
    return contract(left, right, new, p, t)


def _freed(labels: Labels, other: Labels, result: Labels) -> Labels:
    """`labels` with those that `other` lacks in the order that they have in the result."""
    free = iter(label for label in result if label in labels and label not in other)
    return tuple(label if label in other else next(free) for label in labels)


# Libraries pack the right operand of a product for every call and read the left one as it lies:
# with the weight on the left, rows of 768 in memory, XLA:CPU took 0.54 to 0.87 of the time for 32
# rows of the other operand, 0.74 to 0.96 for 12, and 0.78 to 0.89 for 128.
_MUCH_LARGER = 2


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source="measured with XLA:CPU",
    uses_facts=True,
)
def put_large_operand_on_the_left(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · y = (yʳ · x)ᑫ, yʳ contracted over its last dimensions: y is so already, or frozen"""
    need(is_swappable(p) and y.size >= _MUCH_LARGER * x.size)
    labels = einsum_of(d, x.rank, y.rank)
    shared = [label for label in labels.x if label in labels.y]
    batch = tuple(label for label in shared if label in labels.result)
    contracted = tuple(label for label in shared if label not in labels.result)
    x_free, y_free = (
        tuple(label for label in own if label not in shared) for own in (labels.x, labels.y)
    )
    need(bool(contracted) and prod(x.shape[labels.x.index(label)] for label in x_free) > 1)
    rows = batch + y_free + contracted
    need(rows == labels.y or (is_frozen(y) and not is_frozen(x)))
    left = transposed(y, permutation_to(labels.y, rows))
    order = batch + y_free + x_free
    product = dot_general(left, x, dot_dimensions(rows, labels.x, order), swapped(p), t)
    return transposed(product, permutation_to(order, labels.result))


# Beside a large matrix on the left XLA:CPU takes as long for 9 to 15 rows as for 16, or longer. All
# of 20 matrices of 768 × 1536, in ms: 6.5 to 7.0 for 5 to 7 rows and 5.2 for 8, 7.9 to 9.7 for 9 to
# 15 and 6.7 for 16, 14.0 to 14.8 for 25 to 31 and 9.6 for 32, 20.3 for 56 and 19.0 for 64.
_LEAST_PADDED_ROWS, _MOST_PADDED_ROWS, _LEAST_MATRIX = 8, 64, 1 << 14
_ROW_BY_ROW = DotDimensions((), (), (1,), (1,))


def _few_rows(rng: np.random.Generator) -> dict[str, Any]:
    """Random operands with 5 to 15 rows beside a large matrix."""
    rows, dtype = int(rng.integers(5, 16)), str(rng.choice(["f32", "f64", "bf16"]))
    x, y = (TensorType(shape, dtype) for shape in ((256, 64), (rows, 64)))
    return {"x": x, "y": y, "d": _ROW_BY_ROW, "p": Precision(), "t": dtype}


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source="measured with XLA:CPU",
    examples=_few_rows,
)
def pad_rows_beside_large_operand(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · yᵀ = (x · [y; 0]ᵀ)[:, :n] for n rows y beside a large x, padded to a power of two"""
    need(x.rank == y.rank == 2 and d == _ROW_BY_ROW and is_float(t))
    need(x.size >= max(_MUCH_LARGER * y.size, _LEAST_MATRIX) and y.shape[0] > 0)
    rows, columns = y.shape[0], x.shape[0]
    whole = 1 << (rows - 1).bit_length()
    need(_LEAST_PADDED_ROWS <= whole <= _MOST_PADDED_ROWS and whole != rows)
    zero = full(0, TensorType((), y.dtype))
    padded = pad(y, zero, (0, 0), (whole - rows, 0), (0, 0))
    return slice_(dot_general(x, padded, d, p, t), (0, 0), (columns, rows), (1, 1))


# Dimensions of size 1, and reshapes.


@rule(lambda x, y, d, p, t: dot_general(x, y, d, p, t), numerics=ROUNDING, source=SPEC)
def flatten_dot(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
    """x · y = reshape(reshape(x) · reshape(y)), dimensions of size 1 dropped, neighbours merged"""
    labels = einsum_of(d, x.rank, y.rank)
    old = sizes(labels.x, x.shape) | sizes(labels.y, y.shape)
    need(0 not in old.values())
    large = Einsum(*(tuple(label for label in own if old[label] != 1) for own in labels))
    runs = _joint_runs(large)
    need(any(label in large.x and label in large.y for label in large.x))
    need(len(runs) < len(old))
    size = {run[0]: prod(old[label] for label in run) for run in runs}
    x_labels, y_labels, result = (tuple(label for label in own if label in size) for own in large)
    left = reshape(x, [size[label] for label in x_labels])
    right = reshape(y, [size[label] for label in y_labels])
    product = contract(left, right, Einsum(x_labels, y_labels, result), p, t)
    return reshape(product, [old[label] for label in labels.result])


def _joint_runs(labels: Einsum) -> list[list[Hashable]]:
    """Labels in groups whose members are neighbours, in that order, wherever one of them occurs."""

    def joined(a: Hashable, b: Hashable) -> bool:
        for own in labels:
            if (a in own) != (b in own) or (a in own and own.index(b) != own.index(a) + 1):
                return False
        return True

    runs: list[list[Hashable]] = []
    for label in dict.fromkeys(labels.x + labels.y):
        if runs and joined(runs[-1][-1], label):
            runs[-1].append(label)
        else:
            runs.append([label])
    return runs


@rule(
    lambda x, q, s, y, d, p, t: dot_general(reshape(transpose(x, q), s), y, d, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_reshaped_transpose_of_left_operand(
    x: Value, q: Permutation, s: Shape, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """reshape(xᑫ) · y = reshape(x · reshape(y)) if s merges dimensions of xᑫ"""
    return _without_reshape(x, q, s, y, einsum_of(d, len(s), y.rank), p, t)


@rule(
    lambda x, y, q, s, d, p, t: dot_general(x, reshape(transpose(y, q), s), d, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_reshaped_transpose_of_right_operand(
    x: Value, y: Value, q: Permutation, s: Shape, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · reshape(yᑫ) = reshape(reshape(x) · y) if s merges dimensions of yᑫ"""
    need(is_swappable(p))
    labels = einsum_of(d, x.rank, len(s))
    flipped = Einsum(labels.y, labels.x, labels.result)
    return _without_reshape(y, q, s, x, flipped, swapped(p), t)


@rule(
    lambda x, u, e, s, y, d, p, t: dot_general(reshape(broadcast_in_dim(x, u, e), s), y, d, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_reshaped_broadcast_of_left_operand(
    x: Value, u: Shape, e: Dimensions, s: Shape, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """reshape(broadcast(x)) · y = reshape(broadcast(x) · reshape(y)) if s merges dimensions"""
    repeated = broadcast_in_dim(x, u, e)
    order = tuple(range(len(u)))
    return _without_reshape(repeated, order, s, y, einsum_of(d, len(s), y.rank), p, t)


@rule(
    lambda x, y, u, e, s, d, p, t: dot_general(x, reshape(broadcast_in_dim(y, u, e), s), d, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def absorb_reshaped_broadcast_of_right_operand(
    x: Value, y: Value, u: Shape, e: Dimensions, s: Shape, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · reshape(broadcast(y)) = reshape(reshape(x) · broadcast(y)) if s merges dimensions"""
    need(is_swappable(p))
    labels = einsum_of(d, x.rank, len(s))
    flipped = Einsum(labels.y, labels.x, labels.result)
    order = tuple(range(len(u)))
    return _without_reshape(broadcast_in_dim(y, u, e), order, s, x, flipped, swapped(p), t)


def _without_reshape(
    x: Value, q: Permutation, s: Shape, y: Value, labels: Einsum, p: Precision, t: str
) -> Any:
    """The contraction of reshape(xᑫ, s) and y by one of x and a reshaped y."""
    large = [i for i in q if x.shape[i] != 1]
    pairs = blocks(picked(x.shape, large), s)
    need(pairs is not None)
    assert pairs is not None
    size = sizes(labels.x, s) | sizes(labels.y, y.shape)
    finer: dict[Hashable, Labels] = {}
    need(any(len(block.source) > 1 for block in pairs))
    for block in pairs:
        own = tuple(large[i] for i in block.source)
        old = tuple(labels.x[i] for i in block.target)
        # Dimensions that the reshape splits must be free, and together in the result.
        need(len(old) == 1 or not any(label in labels.y for label in old))
        need(len(old) == 1 or _is_within(old, labels.result))
        parts = tuple(("part", i) for i in own)
        finer |= {label: parts if label == old[0] else () for label in old}
        size |= dict(zip(parts, picked(x.shape, own), strict=True))
    y_labels, result = (
        tuple(new for label in own for new in finer.get(label, (label,)))
        for own in (labels.y, labels.result)
    )
    x_labels = tuple(("part", i) for i in sorted(large))
    need(any(label in y_labels and label not in result for label in x_labels))
    left = reshape(x, [size[label] for label in x_labels])
    right = reshape(y, [size[label] for label in y_labels])
    product = contract(left, right, Einsum(x_labels, y_labels, result), p, t)
    return reshape(product, [size[label] for label in labels.result])


def _is_within(part: Labels, whole: Labels) -> bool:
    """Whether the labels of `part` are neighbours in `whole`, in their order."""
    place = whole.index(part[0]) if part and part[0] in whole else len(whole)
    return whole[place : place + len(part)] == part
