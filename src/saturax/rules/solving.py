"""What all kinds of solves share: products with their results, and how dimensions line up.

A solve is linear in its right side. It *mixes* one of the last two dimensions of it (rows if the
matrix stands on the left) and treats the other, its *columns*, one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import Precision, reshape, transpose
from saturax.rules.einsum import Einsum, Labels, along, contract, sizes
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to
from saturax.rules.rule import need

Solve = Callable[[Value], Any]
"""From a right side, with any number of columns, to the solution."""


def swapped(x: Value) -> Any:
    """xᵀ in the last two dimensions."""
    return transpose(x, swap(x.rank))


def swap(rank: int) -> tuple[int, ...]:
    """The permutation of the last two of so many dimensions."""
    return (*range(rank - 2), rank - 1, rank - 2)


def is_plain(p: Precision) -> bool:
    """Whether the operands of a product may be exchanged for others: they are treated alike."""
    return not p.algorithm and len(set(p.operands)) <= 1


def product_inside(
    solve: Solve, x: Value, other: Value, labels: Einsum, p: Precision, t: str, is_left: bool = True
) -> Any:
    """solve(x) · other as solve(x · other), where columns of x are contracted.

    `labels` are those of the contraction of x (standing for the solution) with `other`. The rule
    does not apply if the product has more columns than x.
    """
    mixed, column = labels.x[-2:] if is_left else labels.x[:-3:-1]
    batch = labels.x[:-2]
    need(column in labels.y and column not in labels.result)
    need(mixed not in labels.y and set(batch) <= set(labels.result))
    size = sizes(labels.x, x.shape) | sizes(labels.y, other.shape)
    rest = tuple(i for i in labels.result if i != mixed and i not in batch)
    count = prod(size[i] for i in rest)
    need(count <= size[column])
    order = (*batch, mixed, *rest) if is_left else (*batch, *rest, mixed)
    inner = contract(x, other, Einsum(labels.x, labels.y, order), p, t)
    matrix = (size[mixed], count) if is_left else (count, size[mixed])
    solution = solve(reshape(inner, (*[size[i] for i in batch], *matrix)))
    return transposed(reshape(solution, inner.shape), permutation_to(order, labels.result))


def product_outside(
    solve: Solve, x: Value, y: Value, labels: Einsum, p: Precision, t: str, is_left: bool = True
) -> Any:
    """solve(x · y) as solve(x) · y, where `labels` are those of x · y: the right side.

    The rule applies only if x has fewer columns than the product, and all that the solve mixes.
    """
    mixed, column = labels.result[-2:] if is_left else labels.result[:-3:-1]
    batch = labels.result[:-2]
    need(mixed in labels.x and mixed not in labels.y and column not in labels.x)
    need(all(i in labels.x for i in batch))
    size = sizes(labels.x, x.shape) | sizes(labels.y, y.shape)
    rest = tuple(i for i in labels.x if i != mixed and i not in batch)
    count = prod(size[i] for i in rest)
    need(count < size[column])
    order = (*batch, mixed, *rest) if is_left else (*batch, *rest, mixed)
    matrix = (size[mixed], count) if is_left else (count, size[mixed])
    inner = transposed(x, permutation_to(labels.x, order))
    solution = solve(reshape(inner, (*[size[i] for i in batch], *matrix)))
    outer = Einsum(order, labels.y, labels.result)
    return contract(reshape(solution, inner.shape), y, outer, p, t)


def product_across(
    solve: Solve,
    x: Value,
    other: Value,
    labels: Einsum,
    p: Precision,
    t: str,
    *,
    is_left: bool = True,
    at_any_size: bool = False,
) -> Any:
    """a⁻¹·x · other as x · (other · a⁻¹), where what a mixes is contracted.

    `solve` solves from the other side than the original; `is_left` says where that one stood. The
    rule applies only if that has fewer columns, unless `at_any_size`.
    """
    mixed, column = labels.x[-2:] if is_left else labels.x[:-3:-1]
    batch = labels.x[:-2]
    need(mixed in labels.y and mixed not in labels.result and set(batch) <= set(labels.y))
    size = sizes(labels.x, x.shape) | sizes(labels.y, other.shape)
    rest = tuple(i for i in labels.y if i != mixed and i not in batch)
    count = prod(size[i] for i in rest)
    need(at_any_size or count < size[column])
    order: Labels = (*batch, *rest, mixed) if is_left else (*batch, mixed, *rest)
    matrix = (count, size[mixed]) if is_left else (size[mixed], count)
    inner = transposed(other, permutation_to(labels.y, order))
    solution = solve(reshape(inner, (*[size[i] for i in batch], *matrix)))
    outer = Einsum(labels.x, order, labels.result)
    return contract(x, reshape(solution, inner.shape), outer, p, t)


def product_with_inverse(
    solve: Solve, across: Solve, x: Value, other: Value, labels: Einsum, is_left: bool = True
) -> Any:
    """a⁻¹·1 · other as a⁻¹·other, or as other·a⁻¹ where the rows of a⁻¹ are contracted.

    x is the identity, `across` solves from the other side.
    """
    mixed, column = labels.x[-2:] if is_left else labels.x[:-3:-1]
    batch = labels.x[:-2]
    if column not in labels.y:  # then the other dimension is contracted
        mixed, column, is_left, solve = column, mixed, not is_left, across
    need(column in labels.y and column not in labels.result and mixed not in labels.y)
    need(mixed in labels.result and set(batch) <= set(labels.result))
    own: Labels = tuple(mixed if label == column else label for label in labels.y)
    size = sizes(labels.x, x.shape) | sizes(own, other.shape)
    rest = tuple(label for label in own if label != mixed and label not in batch)
    order = (*batch, mixed, *rest) if is_left else (*batch, *rest, mixed)
    held = tuple(label for label in order if label in own)
    right = along(transposed(other, permutation_to(own, held)), held, order, size)
    count = prod(size[label] for label in rest)
    matrix = (size[mixed], count) if is_left else (count, size[mixed])
    solution = solve(reshape(right, (*[size[label] for label in batch], *matrix)))
    return transposed(reshape(solution, right.shape), permutation_to(order, labels.result))
