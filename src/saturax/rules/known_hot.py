"""Products with one-hot rows: compared with 0, 1, 2, …, or rows of an identity matrix.

`one_hot(i, n) · w` reads rows of w. Where an index is out of bounds, its row is all 0; a gather of
rows of an identity matrix clamps instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    GatherDimensions,
    Precision,
    arg_reduce,
    binary,
    broadcast_in_dim,
    compare,
    convert,
    dot_general,
    full,
    full_like,
    gather,
    get_result,
    iota,
    reduce_,
    reverse,
    select,
)
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.rules.conditions import INTEGERS
from saturax.rules.einsum import Einsum, einsum_of
from saturax.rules.facts import bounds_of, has_numbers, iota_of, is_diagonal, is_identity
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to
from saturax.rules.rule import BITWISE, ROUNDING, Examples, Rule, need, rule

SOURCE = "a one-hot row chooses a row"
HOT = "a one-hot row has its 1 where it counts to its index"
Sizes = Sequence[int]


def hot_rows_example(
    is_left: bool, *, sums_rows: bool = False, is_batched: bool = False
) -> Examples:
    """Examples of one-hot rows on the left or the right of a matrix, or of a batch of them.

    The product is over what a row counts, or, with `sums_rows`, over the (two or more) rows.
    """

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        count, n, m = (int(k) for k in rng.integers(2 if sums_rows else 1, 5, 3))
        axis, place = int(rng.integers(0, 2)), int(rng.integers(0, 2))
        batch = (int(rng.integers(1, 4)),) if is_batched else ()
        first, batched = len(batch), tuple(range(len(batch)))
        shape = batch + ((n, count) if axis == 0 else (count, n))
        builder = GraphBuilder()
        with building(builder):
            counted = builder.finish([iota(first + axis, TensorType(shape, "i32"))])
        summed, size = (1 - axis, count) if sums_rows else (axis, n)
        w = TensorType(batch + ((size, m) if place == 0 else (m, size)), "f64")
        pair = ((first + summed,), (first + place,))
        d = DotDimensions(batched, batched, *(pair if is_left else pair[::-1]))
        dense = {"x": counted, "i": TensorType((*batch, count), "i32"), "w": w}
        places = {"s": shape, "e": (*batched, first + 1 - axis), "d": d}
        return dense | places | {"r": "f64", "t": "f64", "k": "SIGNED"}

    return draw


def _rows(x: Value, i: Value, s: Sizes, e: Sizes, w: Value, labels: Einsum, t: str) -> Any:
    """The product of w with the one-hot matrix x = bcast i, whose dimensions `labels.x` names."""
    counted = iota_of(x)
    shared = [label for label in labels.x if label in labels.y]
    contracted = [label for label in shared if label not in labels.result]
    need(counted is not None and len(contracted) == 1)
    assert counted is not None
    axis, place = labels.x.index(contracted[0]), labels.y.index(contracted[0])
    units = tuple(int(d == axis) for d in range(len(s)))
    need(s[axis] > 1 and counted.strides == units and counted.offset == 0)
    need(i.dtype in INTEGERS and sorted((*e, axis)) == list(range(len(s))))
    need(i.shape == tuple(s[d] for d in e) and w.dtype == t and has_numbers(w))
    rows_of = [labels.x[k] for k in e]
    # A batch of indices reads a batch of matrices, each its own.
    batch = tuple(k for k, label in enumerate(labels.y) if label in rows_of)
    places = tuple(rows_of.index(labels.y[k]) for k in batch)
    offsets = tuple(range(i.rank, i.rank + w.rank - 1 - len(batch)))
    d = GatherDimensions(offsets, (place,), batch, places, (place,), i.rank)
    sizes = tuple(1 if k in (place, *batch) else n for k, n in enumerate(w.shape))
    rows = gather(w, i, d, sizes)
    low, high = bounds_of(i)
    if low < 0 or high >= s[axis]:
        kind = "UNSIGNED" if is_unsigned(i.dtype) else "SIGNED"
        inside = binary(
            "and",
            compare(i, full_like(i, 0), "GE", kind),
            compare(i, full(s[axis] - 1, i.tensor), "LE", kind),
        )
        mask = broadcast_in_dim(inside, rows.shape, tuple(range(i.rank)))
        rows = select(mask, rows, full_like(rows, 0))
    own = (*rows_of, *(label for label in labels.y if label not in (contracted[0], *rows_of)))
    return transposed(rows, permutation_to(own, labels.result))


def _rule(is_left: bool, is_index_first: bool) -> Rule:
    """The rule for one-hot rows on the left or the right of a product."""

    def hot(x: Any, i: Any, s: Any, e: Any, k: Any, r: Any) -> Any:
        pair = (broadcast_in_dim(i, s, e), x) if is_index_first else (x, broadcast_in_dim(i, s, e))
        return convert(compare(*pair, "EQ", k), r)

    def left(x, i, s, e, k, r, w, d, p, t):
        pair = (hot(x, i, s, e, k, r), w) if is_left else (w, hot(x, i, s, e, k, r))
        return dot_general(*pair, d, p, t)

    def right(
        x: Value, i: Value, s: Any, e: Any, k: Any, r: Any, w: Value, d: DotDimensions,
        p: Precision, t: str,
    ) -> Any:  # fmt: skip
        d = DotDimensions(*d)
        if is_left:
            return _rows(x, i, s, e, w, einsum_of(d, len(s), w.rank), t)
        labels = einsum_of(d, w.rank, len(s))
        return _rows(x, i, s, e, w, Einsum(labels.y, labels.x, labels.result), t)

    side = "left" if is_left else "right"
    right.__name__ = f"dot_with_one_hot_{side}" + ("" if is_index_first else "_turned")
    product = "one_hot(i) · w" if is_left else "w · one_hot(i)"
    right.__doc__ = f"{product} = the rows of w at i, 0 where i is out of bounds"
    return rule(
        left,
        numerics=ROUNDING,
        source=SOURCE,
        uses_facts=True,
        examples=lambda rng: hot_rows_example(is_left, is_batched=bool(rng.random() < 0.3))(rng),
    )(right)


dot_with_one_hot_left = _rule(True, True)
dot_with_one_hot_left_turned = _rule(True, False)
dot_with_one_hot_right = _rule(False, True)
dot_with_one_hot_right_turned = _rule(False, False)


# ------------------------------------------------------------------ rows of an identity matrix


def _identity_example(is_left: bool) -> Examples:
    """Examples of rows or columns of an identity matrix, times a matrix."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        drawn = hot_rows_example(is_left)(rng)
        w, d = drawn["w"], drawn["d"]
        n = w.shape[(d.rhs_contract if is_left else d.lhs_contract)[0]]
        axis = int(rng.integers(0, 2))
        # Offsets are the other dimension of the identity, before or after that of the indices.
        offset = int(rng.integers(0, 2))
        g = GatherDimensions((offset,), (axis,), (), (), (axis,), 1)
        contracted = ((offset,), d.rhs_contract) if is_left else (d.lhs_contract, (offset,))
        sizes = (1, n) if axis == 0 else (n, 1)
        indices = TensorType((int(rng.integers(1, 5)), 1), "i32")
        found = {"x": Literal(np.eye(n)), "i": indices, "w": w, "g": g, "n": sizes, "b": False}
        return found | {"d": DotDimensions((), (), *contracted), "t": "f64"}

    return draw


def _chosen(
    x: Value, i: Value, g: GatherDimensions, n: Sizes, w: Value, labels: Einsum, t: str
) -> Any:
    """The product of w with rows of the identity matrix x, which `labels.x` names."""
    need(is_identity(x) and x.rank == 2 and w.dtype == t and has_numbers(w))
    need(not g.operand_batching_dims)
    need(len(g.collapsed_slice_dims) == 1 and g.collapsed_slice_dims == g.start_index_map)
    (axis,) = g.collapsed_slice_dims
    need(n[1 - axis] == x.shape[0] and n[axis] == 1)
    contracted = labels.x[g.offset_dims[0]]
    need(contracted in labels.y and contracted not in labels.result)
    rest = tuple(label for label in labels.x if label != contracted)
    need(not any(label in labels.y for label in rest))
    place, rank = labels.y.index(contracted), len(rest)
    offsets = tuple(range(rank, rank + w.rank - 1))
    d = GatherDimensions(offsets, (place,), (), (), (place,), g.index_vector_dim)
    rows = gather(w, i, d, tuple(1 if k == place else m for k, m in enumerate(w.shape)))
    own = (*rest, *(label for label in labels.y if label != contracted))
    return transposed(rows, permutation_to(own, labels.result))


@rule(
    lambda x, i, g, n, b, w, d, p, t: dot_general(gather(x, i, g, n, b), w, d, p, t),
    numerics=ROUNDING,
    source=SOURCE,
    uses_facts=True,
    examples=_identity_example(True),
)
def dot_with_rows_of_identity_left(
    x: Value, i: Value, g: Any, n: Sizes, b: bool, w: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """1[i] · w = w[i]"""
    g = GatherDimensions(*g)
    rank = i.rank - (g.index_vector_dim < i.rank) + len(g.offset_dims)
    return _chosen(x, i, g, n, w, einsum_of(DotDimensions(*d), rank, w.rank), t)


@rule(
    lambda x, i, g, n, b, w, d, p, t: dot_general(w, gather(x, i, g, n, b), d, p, t),
    numerics=ROUNDING,
    source=SOURCE,
    uses_facts=True,
    examples=_identity_example(False),
)
def dot_with_rows_of_identity_right(
    x: Value, i: Value, g: Any, n: Sizes, b: bool, w: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """w · 1[i] = w[i]"""
    g = GatherDimensions(*g)
    rank = i.rank - (g.index_vector_dim < i.rank) + len(g.offset_dims)
    labels = einsum_of(DotDimensions(*d), w.rank, rank)
    return _chosen(x, i, g, n, w, Einsum(labels.y, labels.x, labels.result), t)


def _reversed_example(is_left: bool) -> Examples:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        place = int(rng.integers(0, 2))
        d = DotDimensions((), (), *(((place,), (0,)) if is_left else ((0,), (place,))))
        matrix, e = Literal(np.eye(3)), (int(rng.integers(0, 2)),)
        return {"x": matrix, "e": e, "y": TensorType((3, 2), "f64"), "d": d, "t": "f64"}

    return draw


def _moved(e: Sizes, labels: Einsum) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Dimensions of y and of the result that are reversed instead of dimensions e of x."""
    names = [labels.x[k] for k in e]
    own = tuple(labels.y.index(name) for name in names if name in labels.y)
    return own, tuple(labels.result.index(name) for name in names if name in labels.result)


@rule(
    lambda x, e, y, d, p, t: dot_general(reverse(x, e), y, d, p, t),
    numerics=ROUNDING,
    source="rows of a product are products of rows",
    uses_facts=True,
    examples=_reversed_example(True),
)
def reverse_after_diagonal_left(
    x: Value, e: Any, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """reverse(x) · y = reverse(x · y), or x · reverse(y) for contracted dimensions; x diagonal"""
    need(is_diagonal(x))
    own, places = _moved(e, einsum_of(DotDimensions(*d), x.rank, y.rank))
    return reverse(dot_general(x, reverse(y, own), d, p, t), places)


@rule(
    lambda x, e, y, d, p, t: dot_general(y, reverse(x, e), d, p, t),
    numerics=ROUNDING,
    source="rows of a product are products of rows",
    uses_facts=True,
    examples=_reversed_example(False),
)
def reverse_after_diagonal_right(
    x: Value, e: Any, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """y · reverse(x) = reverse(y · x), or reverse(y) · x for contracted dimensions; x diagonal"""
    need(is_diagonal(x))
    labels = einsum_of(DotDimensions(*d), y.rank, x.rank)
    own, places = _moved(e, Einsum(labels.y, labels.x, labels.result))
    return reverse(dot_general(reverse(y, own), x, d, p, t), places)


# ------------------------------------------------------------------ where the one is


def _compared_example(rng: np.random.Generator) -> dict[str, Any]:
    """Indices of one type compared with 0, 1, 2, … along dimension d."""
    shape = tuple(int(n) for n in rng.integers(1, 6, int(rng.integers(1, 4))))
    d, dtype = int(rng.integers(len(shape))), str(rng.choice(["i8", "i32", "ui8"]))
    builder = GraphBuilder()
    with building(builder):
        counted = builder.finish([iota(d, TensorType(shape, dtype))])
    others = tuple(k for k in range(len(shape)) if k != d)
    i = TensorType(tuple(shape[k] for k in others), dtype)
    kind = "UNSIGNED" if is_unsigned(dtype) else "SIGNED"
    return {"x": counted, "i": i, "s": shape, "e": others, "d": d, "t": "i32", "k": kind}


def _is_counted(i: Value, x: Value, e: Sizes, d: int) -> Value:
    """Whether i, the same along dimension d, is one of 0, 1, 2, … that x counts there."""
    strides = tuple(int(k == d and n > 1) for k, n in enumerate(x.shape))
    need(i.dtype in INTEGERS and iota_of(x) == (0, strides))
    need(tuple(e) == tuple(k for k in range(x.rank) if k != d))
    need(
        i.shape == tuple(x.shape[k] for k in e) and x.shape[d] <= np.iinfo(numpy_dtype(i.dtype)).max
    )
    kind = "UNSIGNED" if is_unsigned(i.dtype) else "SIGNED"
    above = compare(i, full_like(i, 0), "GE", kind)
    return binary("and", above, compare(i, full_like(i, x.shape[d]), "LT", kind))


@rule(
    lambda i, s, e, x, k, d, t: get_result(
        arg_reduce("maximum", compare(broadcast_in_dim(i, s, e), x, "EQ", k), d, t), 1
    ),
    numerics=BITWISE,
    source=HOT,
    uses_facts=True,
    examples=_compared_example,
)
def index_of_hot_row(i: Value, s: Any, e: Any, x: Value, k: Any, d: Any, t: Any) -> Value | None:
    """argmax of one_hot(i, n) = i where 0 ≤ i < n, else 0"""
    need(x.shape[d] > 0)
    return convert(select(_is_counted(i, x, e, d), i, full_like(i, 0)), t)


@rule(
    lambda f, i, s, e, x, k, d: reduce_(f, compare(broadcast_in_dim(i, s, e), x, "EQ", k), d),
    numerics=BITWISE,
    source=HOT,
    uses_facts=True,
    examples=lambda rng: (
        (drawn := _compared_example(rng))
        | {"d": (drawn["d"],), "f": str(rng.choice(["or", "maximum"]))}
    ),
)
def any_of_hot_row(f: Any, i: Value, s: Any, e: Any, x: Value, k: Any, d: Any) -> Value | None:
    """Whether a row of one_hot(i, n) has its 1: 0 ≤ i < n"""
    need(f in ("or", "maximum") and len(d) == 1)
    return _is_counted(i, x, e, d[0])
