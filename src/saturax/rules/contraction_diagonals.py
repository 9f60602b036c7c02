"""`dot_general` with matrices of structure: diagonals, identities, zero padding; traces.

Letters as in `contraction`: dimension numbers d, precision p, result type t. The structure shows in
the program: a mask made by comparing two iotas, or a pad with zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    DotDimensions,
    Precision,
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
    select,
)
from saturax.graph.types import TensorType
from saturax.rules.arithmetic import accumulation_dtype, is_uniform
from saturax.rules.einsum import (
    Einsum,
    Labels,
    contract,
    einsum_of,
    is_swappable,
    sizes,
)
from saturax.rules.moves import cut, transposed
from saturax.rules.permutations import permutation_to
from saturax.rules.rule import FINITE, ROUNDING, need, rule
from saturax.rules.shapes import Shape

Dimensions = tuple[int, ...]


def _square_mask(rng: np.random.Generator) -> dict[str, Any]:
    """Bindings of a diagonal mask with zeros elsewhere."""
    size = int(rng.integers(1, 5))
    counts = TensorType((size, size), str(rng.choice(["i32", "i64"])))
    i = int(rng.integers(0, 2))
    zeros = splat(0, TensorType(counts.shape, "f32"))
    return {"i": i, "s": counts, "j": 1 - i, "u": counts, "k": "SIGNED", "c": zeros, "t": "f32"}


def _trace_example(rng: np.random.Generator) -> dict[str, Any]:
    mask = _square_mask(rng)
    (size, _), depth = mask["s"].shape, int(rng.integers(0, 4))
    x, y = TensorType((size, depth), "f32"), TensorType((size, depth), "f32")
    return mask | {"x": x, "y": y, "d": DotDimensions((), (), (1,), (1,)), "e": (0, 1)}


def _diagonal_example(rng: np.random.Generator) -> dict[str, Any]:
    mask = _square_mask(rng)
    shape = (int(rng.integers(1, 4)), mask["s"].shape[0], int(rng.integers(0, 4)))
    square = TensorType(mask["s"].shape, "f32")
    return mask | {"x": square, "y": TensorType(shape, "f32")}


def _left_diagonal_example(rng: np.random.Generator) -> dict[str, Any]:
    d = DotDimensions((), (), (int(rng.integers(0, 2)),), (1,))
    return _diagonal_example(rng) | {"d": d}


def _right_diagonal_example(rng: np.random.Generator) -> dict[str, Any]:
    d = DotDimensions((), (), (1,), (int(rng.integers(0, 2)),))
    return _diagonal_example(rng) | {"d": d}


def _broadcast_example(rng: np.random.Generator) -> dict[str, Any]:
    mask = _square_mask(rng)
    shape = mask["s"].shape
    drawn = {"v": TensorType(shape[:1], "f32"), "w": shape, "d": (int(rng.integers(0, 2)),)}
    return mask | drawn | {"e": (int(rng.integers(0, 2)),)}


@rule(
    lambda i, s, j, u, k, x, y, d, p, t, c, e: reduce_(
        "add",
        select(compare(iota(i, s), iota(j, u), "EQ", k), dot_general(x, y, d, p, t), constant(c)),
        e,
    ),
    numerics=ROUNDING,
    source="tr(XY) = Σᵢⱼ xᵢⱼ·yⱼᵢ",
    examples=_trace_example,
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
    need(
        (first in labels.x) != (first in labels.y) and (second in labels.x) != (second in labels.y)
    )
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
    examples=_left_diagonal_example,
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
    examples=_right_diagonal_example,
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


def _diagonal(i: int, s: TensorType, j: int, u: TensorType, k: str, x: Value, c: Literal) -> Any:
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
    return transposed(multiply(y, factor), permutation_to(renamed, result))


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
    return transposed(y, permutation_to(renamed, result))


@rule(
    lambda i, s, j, u, k, v, w, d, c, e: reduce_(
        "add",
        select(compare(iota(i, s), iota(j, u), "EQ", k), broadcast_in_dim(v, w, d), constant(c)),
        e,
    ),
    numerics=ROUNDING,
    source="the diagonal of diag(v)",
    examples=_broadcast_example,
)
def diagonal_of_broadcast(
    i: int, s: TensorType, j: int, u: TensorType, k: str, v: Value, w: Shape, d: Dimensions,
    c: Literal, e: Dimensions,
) -> Any:  # fmt: skip
    """Σᵢ diag(v)ᵢⱼ = v"""
    need(_is_diagonal_mask(i, s, j) and s.shape[0] == s.shape[1] and len(e) == 1)
    need(c.is_splat and c.value == 0 and v.shape == s.shape[:1])
    return v


# Zeros.


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
    return _dot_of_padded(x, c, (a, b, i), y, Einsum(labels.y, labels.x, labels.result), swapped, t)


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
    product = contract(x, cut(y, bounds), labels, p, t)
    none: tuple[int, int, int] = (0, 0, 0)
    edges = [per_label.get(label, none) for label in labels.result]
    zero = full(0, TensorType((), t))
    return pad(product, zero, *zip(*edges, strict=True)) if edges else product
