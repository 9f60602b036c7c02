"""Sorting some values by others, and argsort: inverted, sorted, and gathered at."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    SET,
    GatherDimensions,
    ScatterDimensions,
    broadcast_in_dim,
    default_order,
    full,
    gather,
    get_result,
    iota,
    reshape,
    scatter,
    sort,
    sort_pair,
)
from saturax.graph.types import TensorType, is_integer
from saturax.rules.conditions import (
    INTEGERS,
)
from saturax.rules.extrema import takes_along
from saturax.rules.indices import holds_indices
from saturax.rules.ordering import SORT
from saturax.rules.rule import BITWISE, need, rule

# ------------------------------------------------------------------ sorting along


@rule(lambda x, y, d, o, s: get_result(sort_pair(x, y, d, o, s), 0), numerics=BITWISE, source=SORT)
def keys_of_sorted_pair(x: Value, y: Value, d: Any, o: Any, s: Any) -> Value | None:
    """The keys of a sort that takes other values along are sorted"""
    return sort(x, d, o, s)


@rule(lambda x, d, o, s: get_result(sort_pair(x, x, d, o, s), 1), numerics=BITWISE, source=SORT)
def sort_along_itself(x: Value, d: Any, o: Any, s: Any) -> Value | None:
    """x, taken along by the sort of x, is sorted"""
    return sort(x, d, o, s)


@rule(
    lambda x, y, t, e, d, o, s: get_result(sort_pair(x, broadcast_in_dim(y, t, e), d, o, s), 1),
    numerics=BITWISE,
    source=SORT,
)
def sort_repeated_along(x: Value, y: Value, t: Any, e: Any, d: Any, o: Any, s: Any) -> Value | None:
    """What is repeated along the sorted dimension stays as it is"""
    need(d not in e or (y.shape[e.index(d)] == 1))
    return broadcast_in_dim(y, t, e)


def _take_sorted(rng: np.random.Generator) -> dict[str, Any]:
    """Examples of `take_along_axis(y, argsort x)`."""
    rank = int(rng.integers(1, 4))
    shape = tuple(rng.integers(1, 5, rank).tolist())
    d = int(rng.integers(0, rank))
    others = tuple(i for i in range(rank) if i != d)
    type = TensorType(shape, str(rng.choice(["f32", "i32", "bf16"])))
    return {
        "x": type,
        "y": type.with_dtype("f32"),
        "t": type.with_dtype("i32"),
        "d": d,
        "e": d,
        "r": (*shape, 1),
        "g": GatherDimensions((), (d,), others, others, (d,), rank),
        "n": (1,) * rank,
    }


def _argsort(x: Any, e: Any, t: Any, d: Any, o: Any) -> Any:
    """The pattern of an argsort."""
    return get_result(sort_pair(x, iota(e, t), d, o, True), 1)


@rule(
    lambda x, e, t, d, o, p: sort(_argsort(x, e, t, d, o), d, p, True),
    numerics=BITWISE,
    source=SORT,
)
def sort_argsort(x: Value, e: Any, t: TensorType, d: Any, o: Any, p: Any) -> Value | None:
    """sort(argsort x) = iota: it is a permutation of the indices"""
    need(e == d and p == default_order(t.dtype) and is_integer(t.dtype))
    need(holds_indices(t.dtype, t.shape[d]))
    return iota(d, t)


@rule(
    lambda x, e, t, d, o, p: _argsort(_argsort(x, e, t, d, o), e, t, d, p),
    numerics=BITWISE,
    source="the argsort of a permutation is its inverse",
)
def argsort_argsort(x: Value, e: Any, t: TensorType, d: Any, o: Any, p: Any) -> Value | None:
    """argsort(argsort x) = ranks of x: the indices, written to the places that argsort names"""
    _need_permutation(e, d, t, p)
    places = reshape(get_result(sort_pair(x, iota(e, t), d, o, True), 1), (*t.shape, 1))
    others = tuple(i for i in range(t.rank) if i != d)
    dimensions = ScatterDimensions((), (d,), others, others, (d,), t.rank)
    return scatter(SET, full(0, t), places, iota(d, t), dimensions, False, True)


@rule(
    lambda x, e, t, d, o, p: _argsort(_argsort(_argsort(x, e, t, d, o), e, t, d, p), e, t, d, p),
    numerics=BITWISE,
    source="the argsort of a permutation is its inverse",
)
def argsort_three_times(x: Value, e: Any, t: TensorType, d: Any, o: Any, p: Any) -> Value | None:
    """argsort(argsort(argsort x)) = argsort x"""
    _need_permutation(e, d, t, p)
    return get_result(sort_pair(x, iota(e, t), d, o, True), 1)


def _need_permutation(e: Any, d: Any, t: TensorType, order: Any) -> None:
    """The argsort with indices iota(e, t) is a permutation, and `order` sorts it upwards."""
    need(t.size > 0)
    need(e == d and t.dtype in INTEGERS and order == default_order(t.dtype))
    need(holds_indices(t.dtype, t.shape[d]))


@rule(
    lambda y, x, e, t, d, o, r, g, n, b: gather(y, reshape(_argsort(x, e, t, d, o), r), g, n, b),
    numerics=BITWISE,
    source="definition of the argsort",
    examples=_take_sorted,
)
def gather_argsorted(
    y: Value, x: Value, e: Any, t: TensorType, d: Any, o: Any, r: Any, g: Any, n: Any, b: Any
) -> Value | None:
    """take_along_axis(y, argsort x) = y, taken along by the sort of x"""
    need(e == d and y.shape == t.shape and tuple(r) == (*t.shape, 1))
    need(takes_along(g, n, d, t.rank) and is_integer(t.dtype))
    need(holds_indices(t.dtype, t.shape[d]))
    return get_result(sort_pair(x, y, d, o, True), 1)
