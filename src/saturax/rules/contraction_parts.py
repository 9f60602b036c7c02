"""Parts of a contraction: slices and gathers of it, contractions of concatenations.

Letters as in `contraction`: dimension numbers d, precision p, result type t.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    DotDimensions,
    GatherDimensions,
    Precision,
    add,
    concatenate,
    dot_general,
    dynamic_slice,
    full_like,
    gather,
    reverse,
    slice_,
    slice_dimension,
)
from saturax.graph.types import TensorType
from saturax.rules.contraction import SPEC
from saturax.rules.einsum import Einsum, Labels, contract, einsum_of, is_swappable, sizes, swapped
from saturax.rules.moves import count, cut
from saturax.rules.rule import ROUNDING, need, rule

Dimensions = tuple[int, ...]


@rule(
    lambda x, y, d, p, t, a, b, c: slice_(dot_general(x, y, d, p, t), a, b, c),
    numerics=ROUNDING,
    source=SPEC,
)
def slice_before_dot(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str,
    a: Dimensions, b: Dimensions, c: Dimensions,
) -> Any:  # fmt: skip
    """(x · y)[a:b:c] = x[a:b:c] · y[a:b:c] in the dimensions of either, if less than half"""
    labels = einsum_of(d, x.rank, y.rank)
    size = sizes(labels.x, x.shape) | sizes(labels.y, y.shape)
    # Two halves that are both needed (rotary embeddings) are one product.
    whole = prod(size[label] for label in labels.result)
    need(2 * prod(map(count, a, b, c)) < whole)
    bounds = dict(zip(labels.result, zip(a, b, c, strict=True), strict=True))

    def part(operand: Value, own: Labels) -> Any:
        whole = [(0, n, 1) for n in operand.shape]
        return cut(operand, (bounds.get(label, w) for label, w in zip(own, whole, strict=True)))

    return dot_general(part(x, labels.x), part(y, labels.y), d, p, t)


@rule(
    lambda x, y, i, z, d, p, t: dot_general(concatenate(x, y, i), z, d, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def split_dot_of_concatenated_left(
    x: Value, y: Value, i: int, z: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """[x, y] · z = x·z + y·z, in parts of z, along a contracted dimension, else [x·z, y·z]"""
    size = x.shape[i]
    if i in d.lhs_contract:
        need(_is_balanced(size, y.shape[i]))
        at = d.rhs_contract[d.lhs_contract.index(i)]
        first, second = _cut(z, at, size)
        return add(dot_general(x, first, d, p, t), dot_general(y, second, d, p, t))
    if i in d.lhs_batch:
        place = d.lhs_batch.index(i)
        first, second = _cut(z, d.rhs_batch[place], size)
    else:
        place = (d.lhs_batch + d.lhs_free(x.rank)).index(i)
        first = second = z
    return concatenate(dot_general(x, first, d, p, t), dot_general(y, second, d, p, t), place)


@rule(
    lambda z, x, y, i, d, p, t: dot_general(z, concatenate(x, y, i), d, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def split_dot_of_concatenated_right(
    z: Value, x: Value, y: Value, i: int, d: DotDimensions, p: Precision, t: str
) -> Any:
    """z · [x, y] = z·x + z·y, in parts of z, along a contracted dimension, else [z·x, z·y]"""
    size = x.shape[i]
    if i in d.rhs_contract:
        need(_is_balanced(size, y.shape[i]))
        first, second = _cut(z, d.lhs_contract[d.rhs_contract.index(i)], size)
        return add(dot_general(first, x, d, p, t), dot_general(second, y, d, p, t))
    if i in d.rhs_batch:
        place = d.rhs_batch.index(i)
        first, second = _cut(z, d.lhs_batch[place], size)
    else:
        place = z.rank - len(d.lhs_contract) + d.rhs_free(x.rank).index(i)
        first = second = z
    return concatenate(dot_general(first, x, d, p, t), dot_general(second, y, d, p, t), place)


def _is_balanced(first: int, second: int) -> bool:
    """Whether neither part is less than a third: long chains, as of im2col, stay whole."""
    return 3 * min(first, second) >= first + second > 0


def _cut(z: Value, dimension: int, size: int) -> tuple[Any, Any]:
    """z in two parts along a dimension, the first of `size`."""
    first = slice_dimension(z, dimension, 0, size)
    return first, slice_dimension(z, dimension, size, z.shape[dimension])


@rule(
    lambda x, y, z, d, p, t, i: concatenate(
        dot_general(x, z, d, p, t), dot_general(y, z, d, p, t), i
    ),
    numerics=ROUNDING,
    source=SPEC,
)
def merge_dots_of_one_right_operand(
    x: Value, y: Value, z: Value, d: DotDimensions, p: Precision, t: str, i: int
) -> Any:
    """[x·z, y·z] = [x, y] · z along a free dimension of x"""
    place = i - len(d.lhs_batch)
    free = d.lhs_free(x.rank)
    need(0 <= place < len(free) and x.dtype == y.dtype)
    return dot_general(concatenate(x, y, free[place]), z, d, p, t)


@rule(
    lambda x, y, z, d, p, t, i: concatenate(
        dot_general(z, x, d, p, t), dot_general(z, y, d, p, t), i
    ),
    numerics=ROUNDING,
    source=SPEC,
)
def merge_dots_of_one_left_operand(
    x: Value, y: Value, z: Value, d: DotDimensions, p: Precision, t: str, i: int
) -> Any:
    """[z·x, z·y] = z · [x, y] along a free dimension of x"""
    place = i - (z.rank - len(d.lhs_contract))
    free = d.rhs_free(x.rank)
    need(0 <= place < len(free) and x.dtype == y.dtype)
    return dot_general(z, concatenate(x, y, free[place]), d, p, t)


@rule(
    lambda x, e, y, u, d, p, t: dot_general(reverse(x, e), reverse(y, u), d, p, t),
    numerics=ROUNDING,
    source=SPEC,
)
def cancel_reversed_contraction(
    x: Value, e: Dimensions, y: Value, u: Dimensions, d: DotDimensions, p: Precision, t: str
) -> Any:
    """reverse(x) · reverse(y) = x · y along contracted dimensions that both reverse"""
    pairs = zip(d.lhs_contract, d.rhs_contract, strict=True)
    both = [(i, j) for i, j in pairs if i in e and j in u]
    need(both)
    left = reverse(x, _dropped(e, [i for i, _ in both]))
    right = reverse(y, _dropped(u, [j for _, j in both]))
    return dot_general(left, right, d, p, t)


def _rolled(rng: np.random.Generator) -> dict[str, Any]:
    """Two vectors, rolled alike."""
    n = int(rng.integers(2, 4))
    first, one = (int(rng.integers(1, n)),), (1,)
    parts = (first, (n,), one, (0,), first, one)
    drawn = {
        name: part
        for names in ("abceuv", "fghkom")
        for name, part in zip(names, parts, strict=True)
    }
    x = TensorType((n,), "f32")
    d = DotDimensions((), (), (0,), (0,))
    return drawn | {"x": x, "y": x, "i": 0, "j": 0, "d": d, "t": "f32"}


def _roll(x: Value, i: int, first: Sequence[Dimensions], second: Sequence[Dimensions]) -> int:
    """By how much [x[first], x[second]] rolls x back along dimension i; it must be a roll."""
    (a, b, c), (e, u, v) = first, second
    for k, n in enumerate(x.shape):
        need(c[k] == v[k] == 1 and e[k] == 0 and b[k] == n)
        need((a[k], u[k]) == (0, n) if k != i else 0 < a[k] == u[k])
    return a[i]


@rule(
    lambda x, a, b, c, e, u, v, i, y, f, g, h, k, o, m, j, d, p, t: dot_general(
        concatenate(slice_(x, a, b, c), slice_(x, e, u, v), i),
        concatenate(slice_(y, f, g, h), slice_(y, k, o, m), j),
        d,
        p,
        t,
    ),
    numerics=ROUNDING,
    source="a sum in any order",
    examples=_rolled,
)
def cancel_rolled_contraction(
    x: Value, a: Any, b: Any, c: Any, e: Any, u: Any, v: Any, i: int, y: Value, f: Any, g: Any,
    h: Any, k: Any, o: Any, m: Any, j: int, d: DotDimensions, p: Precision, t: str,
) -> Any:  # fmt: skip
    """[x[n:], x[:n]] · [y[n:], y[:n]] = x · y along a contracted dimension"""
    need((i, j) in zip(d.lhs_contract, d.rhs_contract, strict=True))
    need(_roll(x, i, (a, b, c), (e, u, v)) == _roll(y, j, (f, g, h), (k, o, m)))
    return dot_general(x, y, d, p, t)


def _dropped(items: Sequence[int], dropped: Sequence[int]) -> tuple[int, ...]:
    return tuple(item for item in items if item not in dropped)


# Parts at run-time indices.


@rule(
    lambda x, y, d, p, t, i, g, n, b: gather(dot_general(x, y, d, p, t), i, g, n, b),
    numerics=ROUNDING,
    source="rows of a product are products of rows",
)
def gather_before_dot(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str, i: Value, g: GatherDimensions,
    n: Dimensions, b: bool,
) -> Any:  # fmt: skip
    """(x · y)[i] = x[i] · y if i picks along free dimensions of x, x · y[i] if of y, and few"""
    labels = einsum_of(d, x.rank, y.rank)
    need(not g.operand_batching_dims and set(g.collapsed_slice_dims) <= set(g.start_index_map))
    picked_labels = [labels.result[k] for k in g.start_index_map]
    batch = i.size // max(i.shape[g.index_vector_dim], 1) if g.index_vector_dim < i.rank else i.size
    kept = prod(n[k] for k in g.start_index_map) * batch
    if all(label in labels.x and label not in labels.y for label in picked_labels):
        need(kept < prod(x.shape[labels.x.index(label)] for label in picked_labels))
        return _gathered(x, y, labels, (i, g, n, b), p, t)
    need(all(label in labels.y and label not in labels.x for label in picked_labels))
    need(kept < prod(y.shape[labels.y.index(label)] for label in picked_labels))
    need(is_swappable(p))
    flipped = Einsum(labels.y, labels.x, labels.result)
    return _gathered(y, x, flipped, (i, g, n, b), swapped(p), t)


def _gathered(
    x: Value,
    y: Value,
    labels: Einsum,
    reading: tuple[Value, GatherDimensions, Dimensions, bool],
    p: Precision,
    t: str,
) -> Any:
    """The contraction of gathered x with y, where `reading` gathers from the result."""
    i, g, n, is_sorted = reading
    batch_rank = i.rank - (g.index_vector_dim < i.rank)
    own_sizes = dict(zip(labels.result, n, strict=True))
    indexed = [labels.result[k] for k in g.start_index_map]
    collapsed = [labels.result[k] for k in g.collapsed_slice_dims]
    kept = tuple(label for label in labels.x if label not in collapsed)
    dimensions = GatherDimensions(
        tuple(range(batch_rank, batch_rank + len(kept))),
        tuple(sorted(labels.x.index(label) for label in collapsed)),
        (),
        (),
        tuple(labels.x.index(label) for label in indexed),
        g.index_vector_dim,
    )
    window = [
        own_sizes[label] if label in indexed else size
        for label, size in zip(labels.x, x.shape, strict=True)
    ]
    # What is not picked must be read whole.
    for k, label in enumerate(labels.result):
        source, own = (x, labels.x) if label in labels.x else (y, labels.y)
        need(label in indexed or n[k] == source.shape[own.index(label)])
    batch: list[Hashable] = [("index", k) for k in range(batch_rank)]
    offsets = iter(label for label in labels.result if label not in collapsed)
    rest = iter(batch)
    rank = batch_rank + len(labels.result) - len(collapsed)
    result = tuple(next(offsets) if k in g.offset_dims else next(rest) for k in range(rank))
    picked = gather(x, i, dimensions, window, is_sorted)
    return contract(picked, y, Einsum((*batch, *kept), labels.y, result), p, t)


@rule(
    lambda x, y, d, p, t, i, j, n: dynamic_slice(dot_general(x, y, d, p, t), (i, j), n),
    numerics=ROUNDING,
    source=SPEC,
)
def dynamic_slice_before_dot_2d(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str, i: Value, j: Value, n: Dimensions
) -> Any:
    """(x · y)[i, j] = x[i] · y[j]"""
    return _sliced_dynamically(x, y, d, p, t, (i, j), n)


@rule(
    lambda x, y, d, p, t, i, j, k, n: dynamic_slice(dot_general(x, y, d, p, t), (i, j, k), n),
    numerics=ROUNDING,
    source=SPEC,
)
def dynamic_slice_before_dot_3d(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str, i: Value, j: Value, k: Value,
    n: Dimensions,
) -> Any:  # fmt: skip
    """(x · y)[i, j, k] = x[i…] · y[j…]"""
    return _sliced_dynamically(x, y, d, p, t, (i, j, k), n)


def _sliced_dynamically(
    x: Value,
    y: Value,
    d: DotDimensions,
    p: Precision,
    t: str,
    indices: Sequence[Value],
    n: Dimensions,
) -> Any:
    """The contraction of the parts of x and y that a dynamic slice of the result needs."""
    labels = einsum_of(d, x.rank, y.rank)
    start = dict(zip(labels.result, indices, strict=True))
    kept = dict(zip(labels.result, n, strict=True))

    def part(operand: Value, own: Labels) -> Any:
        window = [kept.get(label, m) for label, m in zip(own, operand.shape, strict=True)]
        if tuple(window) == operand.shape:
            return operand
        zero = full_like(indices[0], 0)
        return dynamic_slice(operand, [start.get(label, zero) for label in own], window)

    left, right = part(x, labels.x), part(y, labels.y)
    need(left.shape != x.shape or right.shape != y.shape)
    return dot_general(left, right, d, p, t)
