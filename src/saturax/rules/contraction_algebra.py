"""`dot_general` is associative and bilinear: products regroup, scales and sums move through it.

Letters as in `contraction`: dimension numbers d e, precision p, result type t.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import prod
from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    add,
    binary,
    broadcast_in_dim,
    concatenate,
    dot_general,
    multiply,
    reduce_,
    reshape,
    slice_,
)
from saturax.rules.arithmetic import accumulation_dtype, is_uniform
from saturax.rules.einsum import (
    Einsum,
    Labels,
    along,
    contract,
    dot_dimensions,
    einsum_of,
    is_swappable,
    natural_result,
    sizes,
)
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.shapes import Shape, picked

ASSOCIATIVE = "matrix products are associative"
BILINEAR = "matrix products are bilinear"
MAX_GROWTH = 2
"""A regrouped product may have an inner one this many times larger than all operands and the
result; what is larger is never the cheaper order, but multiplies the forms around it."""
LINEAR_FUNCTIONS = ("add", "subtract")

Dimensions = tuple[int, ...]


# Association.


def _regrouped(
    x: Value,
    y: Value,
    z: Value,
    labels: tuple[Labels, Labels, Labels, Labels],
    p: Precision,
    t: str,
) -> Any:
    """x · (y · z) of a triple product with these labels, the result's last."""
    need(is_uniform(t, x, y, z) and is_swappable(p) and len(set(p.operands)) <= 1)
    own_x, own_y, own_z, result = labels
    wanted = tuple(label for label in dict.fromkeys(own_y + own_z) if label in own_x + result)
    need(any(label in own_z and label not in wanted for label in own_y))
    size = sizes(own_x, x.shape) | sizes(own_y, y.shape) | sizes(own_z, z.shape)
    largest = max(x.size, y.size, z.size, prod(size[label] for label in result))
    need(prod(size[label] for label in wanted) <= MAX_GROWTH * largest)
    inner_labels = natural_result(own_y, own_z, wanted)
    inner = dot_general(y, z, dot_dimensions(own_y, own_z, inner_labels), p, t)
    return contract(x, inner, Einsum(own_x, inner_labels, result), p, t)


def _left_nested(
    x: Value, y: Value, z: Value, d: DotDimensions, e: DotDimensions
) -> tuple[Labels, Labels, Labels, Labels]:
    """Labels of x, y, z and the result of (x · y) · z."""
    inner = einsum_of(d, x.rank, y.rank)
    outer = einsum_of(e, len(inner.result), z.rank)
    name: dict[Hashable, Hashable] = dict(zip(outer.x, inner.result, strict=True))

    def renamed(own: Labels) -> Labels:
        return tuple(name.get(label, ("outer", label)) for label in own)

    return inner.x, inner.y, renamed(outer.y), renamed(outer.result)


def _right_nested(
    x: Value, y: Value, z: Value, d: DotDimensions, e: DotDimensions
) -> tuple[Labels, Labels, Labels, Labels]:
    """Labels of x, y, z and the result of z · (x · y)."""
    inner = einsum_of(d, x.rank, y.rank)
    outer = einsum_of(e, z.rank, len(inner.result))
    name: dict[Hashable, Hashable] = dict(zip(outer.y, inner.result, strict=True))

    def renamed(own: Labels) -> Labels:
        return tuple(name.get(label, ("outer", label)) for label in own)

    return inner.x, inner.y, renamed(outer.x), renamed(outer.result)


@rule(
    lambda x, y, z, d, e, p, t: dot_general(dot_general(x, y, d, p, t), z, e, p, t),
    numerics=ROUNDING,
    source=ASSOCIATIVE,
)
def associate_dot_right(
    x: Value, y: Value, z: Value, d: DotDimensions, e: DotDimensions, p: Precision, t: str
) -> Any:
    """(x · y) · z = x · (y · z) if y and z share a contracted dimension"""
    return _regrouped(x, y, z, _left_nested(x, y, z, d, e), p, t)


@rule(
    lambda x, y, z, d, e, p, t: dot_general(dot_general(x, y, d, p, t), z, e, p, t),
    numerics=ROUNDING,
    source=ASSOCIATIVE,
)
def associate_dot_right_across(
    x: Value, y: Value, z: Value, d: DotDimensions, e: DotDimensions, p: Precision, t: str
) -> Any:
    """(x · y) · z = y · (x · z) if x and z share a contracted dimension"""
    own_x, own_y, own_z, result = _left_nested(x, y, z, d, e)
    return _regrouped(y, x, z, (own_y, own_x, own_z, result), p, t)


@rule(
    lambda x, y, z, d, e, p, t: dot_general(z, dot_general(x, y, d, p, t), e, p, t),
    numerics=ROUNDING,
    source=ASSOCIATIVE,
)
def associate_dot_left(
    x: Value, y: Value, z: Value, d: DotDimensions, e: DotDimensions, p: Precision, t: str
) -> Any:
    """z · (x · y) = (z · x) · y if z and x share a contracted dimension"""
    own_x, own_y, own_z, result = _right_nested(x, y, z, d, e)
    return _regrouped(y, z, x, (own_y, own_z, own_x, result), p, t)


@rule(
    lambda x, y, z, d, e, p, t: dot_general(z, dot_general(x, y, d, p, t), e, p, t),
    numerics=ROUNDING,
    source=ASSOCIATIVE,
)
def associate_dot_left_across(
    x: Value, y: Value, z: Value, d: DotDimensions, e: DotDimensions, p: Precision, t: str
) -> Any:
    """z · (x · y) = (z · y) · x if z and y share a contracted dimension"""
    own_x, own_y, own_z, result = _right_nested(x, y, z, d, e)
    return _regrouped(x, z, y, (own_x, own_z, own_y, result), p, t)


# Sums of products.


@rule(
    lambda f, x, y, z, d, p, t: binary(f, dot_general(x, y, d, p, t), dot_general(x, z, d, p, t)),
    numerics=ROUNDING,
    source=BILINEAR,
)
def factor_left_operand(
    f: str, x: Value, y: Value, z: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x·y ± x·z = x · (y ± z)"""
    need(f in LINEAR_FUNCTIONS and is_uniform(t, x, y, z) and y.shape == z.shape)
    return dot_general(x, binary(f, y, z), d, p, t)


@rule(
    lambda f, x, y, z, d, p, t: binary(f, dot_general(x, z, d, p, t), dot_general(y, z, d, p, t)),
    numerics=ROUNDING,
    source=BILINEAR,
)
def factor_right_operand(
    f: str, x: Value, y: Value, z: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x·z ± y·z = (x ± y) · z"""
    need(f in LINEAR_FUNCTIONS and is_uniform(t, x, y, z) and x.shape == y.shape)
    return dot_general(binary(f, x, y), z, d, p, t)


@rule(
    lambda x, y, z, a, b, c, i, j, k, d, p, t: add(
        dot_general(slice_(x, a, b, c), y, d, p, t), dot_general(slice_(x, i, j, k), z, d, p, t)
    ),
    numerics=ROUNDING,
    source=BILINEAR,
)
def merge_dots_of_adjoining_slices(
    x: Value, y: Value, z: Value, a: Dimensions, b: Dimensions, c: Dimensions,
    i: Dimensions, j: Dimensions, k: Dimensions, d: DotDimensions, p: Precision, t: str,
) -> Any:  # fmt: skip
    """x[:n]·y + x[n:]·z = x · [y, z] along a contracted dimension that y and z divide"""
    differing = [m for m in range(x.rank) if (a[m], b[m]) != (i[m], j[m])]
    need(len(differing) == 1 and set(c + k) <= {1} and y.dtype == z.dtype)
    (m,) = differing
    need(b[m] == i[m] and m in d.lhs_contract and a[m] < b[m] and i[m] < j[m])
    at = d.rhs_contract[d.lhs_contract.index(m)]
    whole = slice_(x, a, (*b[:m], j[m], *b[m + 1 :]), c)
    return dot_general(whole, concatenate(y, z, at), d, p, t)


# Sums over dimensions, and broadcasts.


@rule(
    lambda x, y, d, p, t, e: reduce_("add", dot_general(x, y, d, p, t), e),
    numerics=ROUNDING,
    source=BILINEAR,
)
def sum_before_dot(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str, e: Dimensions
) -> Any:
    """Σ(x · y) = Σx · Σy over free dimensions; a summed batch dimension becomes a contracted one"""
    need(is_uniform(t, x, y) and accumulation_dtype(t) == t and e)
    labels = einsum_of(d, x.rank, y.rank)
    summed = {labels.result[i] for i in e}

    def collapsed(operand: Value, own: Labels, other: Labels) -> tuple[Any, Labels]:
        free = [i for i, label in enumerate(own) if label in summed and label not in other]
        return reduce_("add", operand, tuple(free)), tuple(
            label for i, label in enumerate(own) if i not in free
        )

    left, x_labels = collapsed(x, labels.x, labels.y)
    right, y_labels = collapsed(y, labels.y, labels.x)
    result = tuple(label for label in labels.result if label not in summed)
    return contract(left, right, Einsum(x_labels, y_labels, result), p, t)


@rule(
    lambda x, u, e, y, d, p, t: dot_general(broadcast_in_dim(x, u, e), y, d, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
)
def broadcast_after_dot_from_left(
    x: Value, u: Shape, e: Dimensions, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """broadcast(x) · y = broadcast(x · y), with y summed along repeated contracted dimensions"""
    labels = einsum_of(d, len(u), y.rank)
    return _broadcast_after(x, u, e, y, labels, p, t)


@rule(
    lambda y, x, u, e, d, p, t: dot_general(y, broadcast_in_dim(x, u, e), d, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
)
def broadcast_after_dot_from_right(
    y: Value, x: Value, u: Shape, e: Dimensions, d: DotDimensions, p: Precision, t: str
) -> Any:
    """y · broadcast(x) = broadcast(y · x), with y summed along repeated contracted dimensions"""
    need(is_swappable(p))
    labels = einsum_of(d, y.rank, len(u))
    swapped = Precision(p.operands[::-1], p.algorithm)
    return _broadcast_after(x, u, e, y, Einsum(labels.y, labels.x, labels.result), swapped, t)


def _broadcast_after(
    x: Value, u: Shape, e: Dimensions, y: Value, labels: Einsum, p: Precision, t: str
) -> Any:
    need(is_uniform(t, x, y) and accumulation_dtype(t) == t)
    varying = [i for i, n in enumerate(x.shape) if n != 1]
    x_labels = tuple(labels.x[e[i]] for i in varying)
    repeated = [label for i, label in enumerate(labels.x) if label not in x_labels and u[i] > 1]
    need(repeated and 0 not in u + y.shape)
    small = reshape(x, picked(x.shape, varying))
    # Along contracted dimensions x is constant (also where their size is 1): the sum is y's.
    summed = [
        i
        for i, label in enumerate(labels.y)
        if label in labels.x and label not in x_labels + labels.result
    ]
    total = reduce_("add", y, tuple(summed))
    y_labels = tuple(label for i, label in enumerate(labels.y) if i not in summed)
    result = tuple(label for label in labels.result if label in x_labels + y_labels)
    size = sizes(labels.x, u) | sizes(labels.y, y.shape)
    if any(label in y_labels and label not in result for label in x_labels):
        product = contract(small, total, Einsum(x_labels, y_labels, result), p, t)
        return along(product, result, labels.result, size)
    return multiply(
        along(small, x_labels, labels.result, size), along(total, y_labels, labels.result, size)
    )
