"""`dot_general` as other operations, and other operations as `dot_general`.

Letters as in `contraction`: dimension numbers d, precision p, result type t.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import prod
from typing import Any

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    add,
    binary,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    dot_general,
    full,
    iota,
    multiply,
    pad,
    reduce_,
    reshape,
    select,
    slice_,
    subtract,
    transpose,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.arithmetic import accumulation_dtype, converts_exactly, is_uniform
from saturax.rules.contraction import SPEC
from saturax.rules.einsum import (
    Einsum,
    Labels,
    along,
    contract,
    einsum_of,
    is_swappable,
    sizes,
    sum_of_products,
)
from saturax.rules.permutations import permutation_to
from saturax.rules.rule import FINITE, ROUNDING, need, rule
from saturax.rules.shapes import Shape, picked

Dimensions = tuple[int, ...]

SMALL = 8
"""Sizes up to which a batched product is written as multiplications and sums: 4×4 gained 9.6×."""


def _multiplies_exactly(x: Value, y: Value, t: str) -> bool:
    """Whether elements of x and y can be multiplied in the type in which the dot accumulates."""
    wide = accumulation_dtype(t)
    return converts_exactly(x.dtype, wide) and converts_exactly(y.dtype, wide)


@rule(lambda x, y, d, p, t: dot_general(x, y, d, p, t), numerics=ROUNDING, source=SPEC)
def outer_product_as_multiply(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
    """x · y = broadcast(x)·broadcast(y) if no dimension larger than 1 is contracted"""
    need(all(x.shape[i] == 1 for i in d.lhs_contract) and _multiplies_exactly(x, y, t))
    labels = einsum_of(d, x.rank, y.rank)
    size = sizes(labels.x, x.shape) | sizes(labels.y, y.shape)
    wide = accumulation_dtype(t)

    def factor(operand: Value, own: Labels) -> Any:
        kept = [i for i, label in enumerate(own) if label in labels.result]
        dropped = reshape(convert(operand, wide), picked(operand.shape, kept))
        return along(dropped, tuple(own[i] for i in kept), labels.result, size)

    return convert(multiply(factor(x, labels.x), factor(y, labels.y)), t)


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source="XLA:CPU runs 4096 products of 4×4 matrices 9.6 times slower than this sum",
)
def small_dots_as_products(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
    """x · y = Σ x·y if its free dimensions, and the contracted one or no free one, are at most 8"""
    need(_multiplies_exactly(x, y, t))
    rows = prod(x.shape[i] for i in d.lhs_free(x.rank))
    columns = prod(y.shape[i] for i in d.rhs_free(y.rank))
    depth = prod(x.shape[i] for i in d.lhs_contract)
    need(0 < rows <= SMALL and 0 < columns <= SMALL and depth > 1)
    need(depth <= SMALL or rows * columns == 1)
    return sum_of_products(x, y, einsum_of(d, x.rank, y.rank), t)


@rule(
    lambda x, y, e: reduce_("add", multiply(x, y), e), numerics=ROUNDING, source=SPEC
)
def sum_of_products_as_dot(x: Value, y: Value, e: Dimensions) -> Any:
    """Σₑ x·y = x · y with e contracted and all else batched"""
    need(e and accumulation_dtype(x.dtype) == x.dtype)
    own = tuple(range(x.rank))
    result = tuple(i for i in own if i not in e)
    return contract(x, y, Einsum(own, own, result), Precision(), x.dtype)


@rule(
    lambda x, s, d, y, u, f, e: reduce_(
        "add", multiply(broadcast_in_dim(x, s, d), broadcast_in_dim(y, u, f)), e
    ),
    numerics=ROUNDING,
    source=SPEC,
)
def sum_of_broadcast_products_as_dot(
    x: Value, s: Shape, d: Dimensions, y: Value, u: Shape, f: Dimensions, e: Dimensions
) -> Any:
    """Σₑ broadcast(x)·broadcast(y) = x · y, with sums over what only one of them has"""
    need(e and accumulation_dtype(x.dtype) == x.dtype and 0 not in s)
    left, x_labels = _varying(x, d)
    right, y_labels = _varying(y, f)
    need(all(i in x_labels + y_labels for i in e))
    need(any(i in x_labels and i in y_labels for i in e))
    left, x_labels = _summed(left, x_labels, tuple(i for i in e if i not in y_labels))
    right, y_labels = _summed(right, y_labels, tuple(i for i in e if i not in x_labels))
    kept = tuple(i for i in range(len(s)) if i not in e)
    result = tuple(i for i in kept if i in x_labels + y_labels)
    product = contract(left, right, Einsum(x_labels, y_labels, result), Precision(), x.dtype)
    return along(product, result, kept, dict(enumerate(s)))


def _varying(x: Value, d: Dimensions) -> tuple[Any, Labels]:
    """x without dimensions of size 1, labelled by where d broadcasts the others."""
    varying = [i for i, n in enumerate(x.shape) if n != 1]
    return reshape(x, picked(x.shape, varying)), picked(d, varying)


def _summed(x: Value, labels: Labels, dropped: Labels) -> tuple[Any, Labels]:
    """x summed over the dimensions with `dropped` labels."""
    dimensions = tuple(i for i, label in enumerate(labels) if label in dropped)
    rest = tuple(label for label in labels if label not in dropped)
    return reduce_("add", x, dimensions), rest


@rule(
    lambda x, c, d, p, t: dot_general(x, constant(c), d, p, t), numerics=ROUNDING, source=SPEC
)
def dot_with_equal_elements_on_the_right(
    x: Value, c: Literal, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · c = c·Σx if all elements of c are equal"""
    labels = einsum_of(d, x.rank, len(c.type.shape))
    return _sum_times(x, labels.x, c, labels.y, labels.result, t)


@rule(
    lambda c, y, d, p, t: dot_general(constant(c), y, d, p, t), numerics=ROUNDING, source=SPEC
)
def dot_with_equal_elements_on_the_left(
    c: Literal, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """c · y = c·Σy if all elements of c are equal"""
    labels = einsum_of(d, len(c.type.shape), y.rank)
    return _sum_times(y, labels.y, c, labels.x, labels.result, t)


def _sum_times(
    x: Value, own: Labels, c: Literal, other: Labels, result: Labels, t: str
) -> Any:
    wide = accumulation_dtype(t)
    need(c.is_splat and converts_exactly(x.dtype, wide) and converts_exactly(c.type.dtype, wide))
    total, left = _summed(convert(x, wide), own, tuple(i for i in own if i not in result))
    size = sizes(own, x.shape) | sizes(other, c.type.shape)
    scaled = multiply(total, full(c.value, total.tensor))
    return convert(along(scaled, left, result, size), t)


# Diagonals.


@rule(
    lambda i, s, j, u, k, x, y, d, p, t, c, e: reduce_(
        "add",
        select(
            compare(iota(i, s), iota(j, u), "EQ", k), dot_general(x, y, d, p, t), constant(c)
        ),
        e,
    ),
    numerics=ROUNDING,
    source="tr(XY) = Σᵢⱼ xᵢⱼ·yⱼᵢ",
)
def trace_of_dot(
    i: int, s: TensorType, j: int, u: TensorType, k: str, x: Value, y: Value, d: DotDimensions,
    p: Precision, t: str, c: Literal, e: Dimensions,
) -> Any:  # fmt: skip
    """Σᵢ (x · y)ᵢᵢ = x · y with both dimensions i contracted, if one is of x and the other of y"""
    need(i != j and i in e and j in e and s.shape[i] == s.shape[j])
    need(c.is_splat and c.value == 0 and accumulation_dtype(t) == t)
    labels = einsum_of(d, x.rank, y.rank)
    first, second = labels.result[i], labels.result[j]
    need((first in labels.x) != (first in labels.y) and (second in labels.x) != (second in labels.y))
    need((first in labels.x) != (second in labels.x))
    need(all(labels.result[m] in labels.x and labels.result[m] in labels.y
             for m in e if m not in (i, j)))  # fmt: skip

    def renamed(own: Labels) -> Labels:
        return tuple(first if label == second else label for label in own)

    result = tuple(label for m, label in enumerate(labels.result) if m not in e)
    return contract(x, y, Einsum(renamed(labels.x), renamed(labels.y), result), p, t)


def _is_diagonal_mask(i: int, s: TensorType, j: int) -> bool:
    return s.rank == 2 and i != j


@rule(
    lambda i, s, j, u, k, x, c, y, d, p, t: dot_general(
        select(compare(iota(i, s), iota(j, u), "EQ", k), x, constant(c)), y, d, p, t
    ),
    numerics=FINITE,
    source="diag(v)·Y scales the rows of Y",
)
def dot_with_diagonal_on_the_left(
    i: int, s: TensorType, j: int, u: TensorType, k: str, x: Value, c: Literal, y: Value,
    d: DotDimensions, p: Precision, t: str,
) -> Any:  # fmt: skip
    """diag(x) · y = v·y, where v is the diagonal of x"""
    need(_is_diagonal_mask(i, s, j) and x.shape[0] == x.shape[1])
    need(c.is_splat and c.value == 0 and is_uniform(t, x, y))
    labels = einsum_of(d, 2, y.rank)
    return _scaled_rows(_diagonal(i, s, j, u, k, x, c), labels.x, y, labels.y, labels.result)


@rule(
    lambda i, s, j, u, k, x, c, y, d, p, t: dot_general(
        y, select(compare(iota(i, s), iota(j, u), "EQ", k), x, constant(c)), d, p, t
    ),
    numerics=FINITE,
    source="Y·diag(v) scales the columns of Y",
)
def dot_with_diagonal_on_the_right(
    i: int, s: TensorType, j: int, u: TensorType, k: str, x: Value, c: Literal, y: Value,
    d: DotDimensions, p: Precision, t: str,
) -> Any:  # fmt: skip
    """y · diag(x) = y·v, where v is the diagonal of x"""
    need(_is_diagonal_mask(i, s, j) and x.shape[0] == x.shape[1])
    need(c.is_splat and c.value == 0 and is_uniform(t, x, y))
    labels = einsum_of(d, y.rank, 2)
    return _scaled_rows(_diagonal(i, s, j, u, k, x, c), labels.y, y, labels.x, labels.result)


def _diagonal(
    i: int, s: TensorType, j: int, u: TensorType, k: str, x: Value, c: Literal
) -> Any:
    """The diagonal of a square x, as the sum of its rows with all else masked."""
    masked = select(compare(iota(i, s), iota(j, u), "EQ", k), x, constant(c))
    return reduce_("add", masked, (0,))


def _scaled_rows(v: Value, own: Labels, y: Value, y_labels: Labels, result: Labels) -> Any:
    """The contraction of a diagonal matrix, whose diagonal is v, with y."""
    shared = [label for label in own if label in y_labels]
    need(len(shared) == 1 and shared[0] not in result)
    (other,) = (label for label in own if label != shared[0])
    renamed: Labels = tuple(other if label == shared[0] else label for label in y_labels)
    factor = broadcast_in_dim(v, y.shape, (renamed.index(other),))
    return transpose(multiply(y, factor), permutation_to(renamed, result))


@rule(
    lambda i, s, j, u, k, r, y, d, p, t: dot_general(
        convert(compare(iota(i, s), iota(j, u), "EQ", k), r), y, d, p, t
    ),
    numerics=FINITE,
    source="I·Y = Y",
)
def dot_with_identity_on_the_left(
    i: int, s: TensorType, j: int, u: TensorType, k: str, r: str, y: Value, d: DotDimensions,
    p: Precision, t: str,
) -> Any:  # fmt: skip
    """1 · y = y, transposed as the dimension numbers say"""
    need(_is_diagonal_mask(i, s, j) and s.shape[0] == s.shape[1] and y.dtype == t)
    labels = einsum_of(d, 2, y.rank)
    return _renamed(labels.x, y, labels.y, labels.result)


@rule(
    lambda i, s, j, u, k, r, y, d, p, t: dot_general(
        y, convert(compare(iota(i, s), iota(j, u), "EQ", k), r), d, p, t
    ),
    numerics=FINITE,
    source="Y·I = Y",
)
def dot_with_identity_on_the_right(
    i: int, s: TensorType, j: int, u: TensorType, k: str, r: str, y: Value, d: DotDimensions,
    p: Precision, t: str,
) -> Any:  # fmt: skip
    """y · 1 = y, transposed as the dimension numbers say"""
    need(_is_diagonal_mask(i, s, j) and s.shape[0] == s.shape[1] and y.dtype == t)
    labels = einsum_of(d, y.rank, 2)
    return _renamed(labels.y, y, labels.x, labels.result)


def _renamed(own: Labels, y: Value, y_labels: Labels, result: Labels) -> Any:
    """The contraction of an identity matrix with y."""
    shared = [label for label in own if label in y_labels]
    need(len(shared) == 1 and shared[0] not in result)
    (other,) = (label for label in own if label != shared[0])
    renamed: Labels = tuple(other if label == shared[0] else label for label in y_labels)
    return transpose(y, permutation_to(renamed, result))


@rule(
    lambda i, s, j, u, k, v, w, d, c, e: reduce_(
        "add",
        select(compare(iota(i, s), iota(j, u), "EQ", k), broadcast_in_dim(v, w, d), constant(c)),
        e,
    ),
    numerics=ROUNDING,
    source="the diagonal of diag(v)",
)
def diagonal_of_broadcast(
    i: int, s: TensorType, j: int, u: TensorType, k: str, v: Value, w: Shape, d: Dimensions,
    c: Literal, e: Dimensions,
) -> Any:  # fmt: skip
    """Σᵢ diag(v)ᵢⱼ = v"""
    need(_is_diagonal_mask(i, s, j) and s.shape[0] == s.shape[1] and len(e) == 1)
    need(c.is_splat and c.value == 0 and v.shape == s.shape[:1])
    return v


# Zeros, and complex numbers.


@rule(
    lambda x, c, a, b, i, y, d, p, t: dot_general(pad(x, constant(c), a, b, i), y, d, p, t),
    numerics=FINITE,
    source="0·y = 0",
)
def dot_of_zero_padded_left(
    x: Value, c: Literal, a: Dimensions, b: Dimensions, i: Dimensions, y: Value,
    d: DotDimensions, p: Precision, t: str,
) -> Any:  # fmt: skip
    """pad(x, 0) · y = pad(x · y', 0), where y' lacks what meets padding in the contraction"""
    rank = len(a)
    return _dot_of_padded(x, c, (a, b, i), y, einsum_of(d, rank, y.rank), p, t)


@rule(
    lambda y, x, c, a, b, i, d, p, t: dot_general(y, pad(x, constant(c), a, b, i), d, p, t),
    numerics=FINITE,
    source="0·y = 0",
)
def dot_of_zero_padded_right(
    y: Value, x: Value, c: Literal, a: Dimensions, b: Dimensions, i: Dimensions,
    d: DotDimensions, p: Precision, t: str,
) -> Any:  # fmt: skip
    """y · pad(x, 0) = pad(y' · x, 0), where y' lacks what meets padding in the contraction"""
    need(is_swappable(p))
    labels = einsum_of(d, y.rank, len(a))
    swapped = Precision(p.operands[::-1], p.algorithm)
    return _dot_of_padded(
        x, c, (a, b, i), y, Einsum(labels.y, labels.x, labels.result), swapped, t
    )


def _dot_of_padded(
    x: Value,
    c: Literal,
    amounts: tuple[Dimensions, Dimensions, Dimensions],
    y: Value,
    labels: Einsum,
    p: Precision,
    t: str,
) -> Any:
    need(c.value == 0 and 0 not in x.shape and all(n >= 0 for n in amounts[0] + amounts[1]))
    per_label = dict(zip(labels.x, zip(*amounts, strict=True), strict=True))
    size = sizes(labels.x, x.shape)
    bounds: list[tuple[int, int, int]] = []
    for label, n in zip(labels.y, y.shape, strict=True):
        low, _, inner = per_label.get(label, (0, 0, 0))
        extent = (size[label] - 1) * (inner + 1) + 1 if label in size else n
        bounds.append((low, low + extent, inner + 1))
    need(any(label in labels.x for label in labels.y))
    product = contract(x, slice_(y, *zip(*bounds, strict=True)), labels, p, t)
    none: tuple[int, int, int] = (0, 0, 0)
    edges = [per_label.get(label, none) for label in labels.result]
    zero = full(0, TensorType((), t))
    return pad(product, zero, *zip(*edges, strict=True)) if edges else product


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source="Gauss: a product of complex numbers takes three real ones",
)
def complex_dot_as_three_real_dots(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """(a+bi) · (c+ei) = (k - b·(c+e)) + (k + a·(e-c))i with k = (a+b)·c"""
    need(is_complex(t) and is_uniform(t, x, y))
    real = t[8:-1]
    a, b, c, e = unary("real", x), unary("imag", x), unary("real", y), unary("imag", y)
    first = dot_general(add(a, b), c, d, p, real)
    second = dot_general(a, subtract(e, c), d, p, real)
    third = dot_general(b, add(c, e), d, p, real)
    return binary("complex", subtract(first, third), add(first, second))
