"""`dot_general` of operands that are padded with zeros, and of diagonal ones; traces of products.

Letters as in `contraction`: dimension numbers d, precision p, result type t. The structure shows in
the program: a mask made by comparing two iotas, or a pad with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    dot_general,
    full,
    iota,
    multiply,
    pad,
    reduce_,
    select,
    slice_,
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
from saturax.rules.facts import has_numbers, is_diagonal, is_identity
from saturax.rules.moves import Bounds, cut, transposed
from saturax.rules.permutations import permutation_to
from saturax.rules.rule import ROUNDING, Examples, need, rule

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


# Zeros.


@rule(
    lambda x, c, a, b, i, y, d, p, t: dot_general(pad(x, constant(c), a, b, i), y, d, p, t),
    numerics=ROUNDING,
    source="0·y = 0",
    uses_facts=True,
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
    numerics=ROUNDING,
    source="0·y = 0",
    uses_facts=True,
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
    need(c.value == 0 and has_numbers(y) and 0 not in x.shape)
    need(all(n >= 0 for n in amounts[0] + amounts[1]))
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


# Diagonal matrices.


def _two_diagonals(rng: np.random.Generator) -> dict[str, Any]:
    n = int(rng.integers(2, 6))
    batch = (int(rng.integers(1, 4)),) if rng.random() < 0.5 else ()
    diagonals = rng.integers(-3, 4, (2, *batch, n, 1))
    x, y = (Literal((v * np.eye(n)).astype(np.float64)) for v in diagonals)
    batched = tuple(range(len(batch)))
    contracted = ((len(batched) + int(k),) for k in rng.integers(0, 2, 2))
    return {"x": x, "y": y, "d": DotDimensions(batched, batched, *contracted), "t": "f64"}


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source="diag(v)·diag(w) = diag(v·w)",
    uses_facts=True,
    examples=_two_diagonals,
)
def dot_of_diagonals(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
    """diag(v) · diag(w) = diag(v · w), square, also in batches"""
    need(x.rank == y.rank >= 2 and len(d.lhs_contract) == 1 and is_uniform(t, x, y))
    last = x.rank - 1
    need(d.lhs_batch == d.rhs_batch == tuple(range(last - 1)))
    need(all(value.shape[last] == value.shape[last - 1] > 1 for value in (x, y)))
    need(all(is_diagonal(value) and not is_identity(value) for value in (x, y)))
    need(has_numbers(x) and has_numbers(y))
    diagonal = multiply(reduce_("add", x, (last,)), reduce_("add", y, (last,)))
    count = TensorType(x.shape[last - 1 :], "i32")
    mask = compare(iota(0, count), iota(1, count), "EQ", "SIGNED")
    mask = broadcast_in_dim(mask, x.shape, (last - 1, last))
    spread = broadcast_in_dim(diagonal, x.shape, tuple(range(last)))
    return select(mask, spread, full(0, spread.tensor))


def _part_of_diagonal(is_left: bool) -> Examples:
    """Examples of some rows or columns of a diagonal matrix, times another matrix."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        n, free, place = int(rng.integers(3, 7)), int(rng.integers(0, 2)), int(rng.integers(0, 2))
        low, step = int(rng.integers(0, 3)), int(rng.integers(1, 3))
        bounds = {"a": [0, 0], "b": [n, n], "c": [1, 1]}
        bounds["a"][free], bounds["c"][free] = low, step
        own, other = (1 - free,), (place,)
        d = DotDimensions((), (), *((own, other) if is_left else (other, own)))
        values = {"x": Literal(np.diag(rng.integers(1, 4, n)).astype(np.float64)), "t": "f64"}
        values["y"] = TensorType((n, 2) if place == 0 else (2, n), "f64")
        return values | {"d": d} | {name: tuple(bound) for name, bound in bounds.items()}

    return draw


def _cut_after(
    x: Value, bounds: Sequence[Bounds], y: Value, labels: Einsum, product: Callable[[], Value]
) -> Any:
    """The rows and columns of a product with y that a cut of its diagonal operand x leaves."""
    need(x.rank == 2 and is_diagonal(x) and y.dtype == x.dtype)
    cuts = dict(zip(labels.x, bounds, strict=True))
    # Only the dimension that comes out again may be cut.
    contracted = [label for label in labels.x if label not in labels.result]
    need(len(contracted) == 1 and contracted[0] in labels.y)
    (inner,) = contracted
    (free,) = (label for label in labels.x if label != inner)
    need(free not in labels.y and cuts[inner] == (0, x.shape[labels.x.index(inner)], 1))
    if is_identity(x):  # y itself, or y = 1·y would be associated without end
        need(has_numbers(y))
        renamed = tuple(free if label == inner else label for label in labels.y)
        whole = transposed(y, permutation_to(renamed, labels.result))
    else:
        whole = product()
    sizes_ = zip(labels.result, whole.shape, strict=True)
    return cut(whole, [cuts.get(label, (0, n, 1)) for label, n in sizes_])


@rule(
    lambda x, a, b, c, y, d, p, t: dot_general(slice_(x, a, b, c), y, d, p, t),
    numerics=ROUNDING,
    source="rows of a product are products of rows",
    uses_facts=True,
    examples=_part_of_diagonal(True),
)
def slice_after_diagonal_left(
    x: Value, a: Dimensions, b: Dimensions, c: Dimensions, y: Value, d: DotDimensions,
    p: Precision, t: str,
) -> Any:  # fmt: skip
    """x[s] · y = (x · y)[s] for a diagonal x"""
    labels = einsum_of(DotDimensions(*d), x.rank, y.rank)
    need(is_uniform(t, x, y))
    bounds = list(zip(a, b, c, strict=True))
    return _cut_after(x, bounds, y, labels, lambda: dot_general(x, y, d, p, t))


@rule(
    lambda x, a, b, c, y, d, p, t: dot_general(y, slice_(x, a, b, c), d, p, t),
    numerics=ROUNDING,
    source="rows of a product are products of rows",
    uses_facts=True,
    examples=_part_of_diagonal(False),
)
def slice_after_diagonal_right(
    x: Value, a: Dimensions, b: Dimensions, c: Dimensions, y: Value, d: DotDimensions,
    p: Precision, t: str,
) -> Any:  # fmt: skip
    """y · x[s] = (y · x)[s] for a diagonal x"""
    labels = einsum_of(DotDimensions(*d), y.rank, x.rank)
    labels = Einsum(labels.y, labels.x, labels.result)
    need(is_uniform(t, x, y))
    bounds = list(zip(a, b, c, strict=True))
    return _cut_after(x, bounds, y, labels, lambda: dot_general(y, x, d, p, t))
