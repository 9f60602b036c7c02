"""Sorting: parts of what is sorted, sorting what is sorted, moved, mapped, taken along.

`Order` says how a sort compares: in the order of reals, NaN comes last when ascending, and 0 = -0,
so that rules which choose among equal elements are exact on integers only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    REALS_ORDER,
    binary,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    default_order,
    full_like,
    get_result,
    iota,
    negate,
    reduce_,
    reshape,
    reverse,
    select,
    slice_,
    slice_dimension,
    sort,
    sort_pair,
    top_k,
    transpose,
    unary,
)
from saturax.graph.reference import evaluate_operation
from saturax.graph.types import TensorType, is_float
from saturax.rules.conditions import (
    FOLD_LIMIT,
    INCREASING,
    INTEGERS,
    REALS,
    double_constants,
    exactly,
    for_integers,
    is_exact,
    where_proved,
)
from saturax.rules.conversion import holds_every_value
from saturax.rules.extrema import EXTREMUM, MONOTONE, TOP_K, is_whole, kept_reduction
from saturax.rules.facts import never_nan
from saturax.rules.indices import holds_indices
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule
from saturax.rules.shapes import blocks

SORT = "StableHLO spec, `sort`"


def _long_sorted(rng: np.random.Generator) -> dict[str, Any]:
    """Integers, sorted along the last dimension, of which a few at an end are kept."""
    rank, dtype = int(rng.integers(1, 4)), str(rng.choice(["i32", "ui8", "i64"]))
    shape = (*rng.integers(1, 4, rank - 1).tolist(), int(rng.integers(4, 9)))
    k = int(rng.integers(2, shape[-1] // 2 + 1))
    start, limit = [0] * rank, list(shape)
    if rng.random() < 0.5:
        start[-1] = shape[-1] - k
    else:
        limit[-1] = k
    cut = {"a": tuple(start), "b": tuple(limit), "c": (1,) * rank}
    return {"x": TensorType(shape, dtype), "d": rank - 1, "o": default_order(dtype), **cut}


def _is_real(x: Value, order: Any) -> bool:
    return x.dtype in REALS and order[1] == REALS_ORDER


# ------------------------------------------------------------------ parts of a sorted tensor


def _place(order: Any, n: int, d: int, a: Any, b: Any) -> str:
    """Which extremum a slice of one element along d of n sorted ones is."""
    need(b[d] - a[d] == 1 and a[d] in (0, n - 1))
    is_least = (a[d] == 0) == (order[0] == "LT")
    return "minimum" if is_least else "maximum"


def _beside(x: Value, d: int, a: Any, b: Any, c: Any) -> Any:
    """The slice (a, b, c) of x along all dimensions but d."""
    start, limit, stride = list(a), list(b), list(c)
    start[d], limit[d], stride[d] = 0, x.shape[d], 1
    return slice_(x, start, limit, stride)


@rule(
    lambda x, d, o, s, a, b, c: slice_(sort(x, d, o, s), a, b, c),
    numerics=ROUNDING,
    source=EXTREMUM,
)
def last_of_sorted(x: Value, d: Any, o: Any, s: Any, a: Any, b: Any, c: Any) -> Value | None:
    """sort(x)[-1] = max x (NaN is sorted last); of integers, sort(x)[0] = min x, too"""
    f = _place(o, x.shape[d], d, a, b)
    need((f == "maximum" and _is_real(x, o)) or is_whole(x))
    return kept_reduction(f, _beside(x, d, a, b, c), d)


last_of_sorted_exactly = for_integers(last_of_sorted)


@rule(
    lambda x, d, o, s, a, b, c: slice_(sort(x, d, o, s), a, b, c), numerics=FINITE, source=EXTREMUM
)
def first_of_sorted_numbers(
    x: Value, d: Any, o: Any, s: Any, a: Any, b: Any, c: Any
) -> Value | None:
    """sort(x)[0] = min x, for floats without NaN"""
    f = _place(o, x.shape[d], d, a, b)
    need(f == "minimum" and _is_real(x, o))
    return kept_reduction(f, _beside(x, d, a, b, c), d)


first_of_sorted_numbers_where_proved = where_proved(
    first_of_sorted_numbers,
    lambda x, **_: never_nan(x),
    __name__,
    examples=double_constants("x"),
)


@rule(
    lambda x, d, o, s, a, b, c: slice_(sort(x, d, o, s), a, b, c),
    numerics=ROUNDING,
    source=EXTREMUM,
)
def first_of_sorted(x: Value, d: Any, o: Any, s: Any, a: Any, b: Any, c: Any) -> Value | None:
    """sort(x)[0] = the least number in x, or NaN if all are; floats"""
    need(_place(o, x.shape[d], d, a, b) == "minimum" and _is_real(x, o))
    part = _beside(x, d, a, b, c)
    is_nan = compare(part, part, "NE", "FLOAT")
    least = kept_reduction("minimum", select(is_nan, full_like(part, np.inf), part), d)
    return select(kept_reduction("and", is_nan, d), full_like(least, np.nan), least)


@rule(
    lambda x, d, o, s, a, b, c: slice_(sort(x, d, o, s), a, b, c), numerics=ROUNDING, source=TOP_K
)
def end_of_sorted(x: Value, d: Any, o: Any, s: Any, a: Any, b: Any, c: Any) -> Value | None:
    """The last k of n sorted numbers are the k largest, for 2 ≤ k ≤ n/2 and the last dimension"""
    n = x.shape[d]
    need(d == x.rank - 1 and o[0] == "LT" and c[d] == 1 and a[d] < n)
    k = n - a[d]
    need(2 <= k <= n // 2 and b[d] > a[d] and (_is_real(x, o) or x.dtype in INTEGERS))
    part = _beside(x, d, a, b, c)
    values = reverse(get_result(top_k(_with_positive_nan(part), k), 0), (d,))
    return slice_dimension(values, d, 0, b[d] - a[d])


end_of_sorted_exactly = replace(for_integers(end_of_sorted), examples=_long_sorted)


def _with_positive_nan(x: Value) -> Any:
    """x with NaN of positive sign, which are the largest elements in total order."""
    if not is_float(x.dtype):
        return x
    return select(compare(x, x, "NE", "FLOAT"), full_like(x, np.nan), x)


@rule(
    lambda x, d, o, s, a, b, c: slice_(sort(x, d, o, s), a, b, c), numerics=ROUNDING, source=TOP_K
)
def start_of_sorted(x: Value, d: Any, o: Any, s: Any, a: Any, b: Any, c: Any) -> Value | None:
    """The first k of n sorted numbers are the k largest of -x, for 2 ≤ k ≤ n/2, -NaN < -∞"""
    n = x.shape[d]
    k = b[d]
    need(d == x.rank - 1 and o[0] == "LT" and c[d] == 1 and 2 <= k <= n // 2 and a[d] < k)
    need(_is_real(x, o) or x.dtype in INTEGERS)
    part = _beside(x, d, a, b, c)
    if is_float(x.dtype):
        lowest = negate(full_like(part, np.nan))
        flipped = select(compare(part, part, "NE", "FLOAT"), lowest, negate(part))
        values = negate(get_result(top_k(flipped, k), 0))
    else:
        values = unary("not", get_result(top_k(unary("not", part), k), 0))
    return slice_dimension(values, d, a[d], k)


start_of_sorted_exactly = replace(for_integers(start_of_sorted), examples=_long_sorted)

# ------------------------------------------------------------------ the operand of a sort


@rule(lambda x, d, o, p, s: sort(sort(x, d, o, s), d, p, s), numerics=BITWISE, source=SORT)
def sort_sorted(x: Value, d: Any, o: Any, p: Any, s: Any) -> Value | None:
    """sort(sort x) = sort x, also where the inner one sorts the other way; stable"""
    need(s and o[1] == p[1])
    return sort(x, d, p, s)


@rule(lambda x, e, d, o, s: sort(reverse(x, e), d, o, s), numerics=ROUNDING, source=SORT)
def sort_reversed(x: Value, e: Any, d: Any, o: Any, s: Any) -> Value | None:
    """sort(reverse x) = reverse(sort x) along the other dimensions: order does not matter"""
    return reverse(sort(x, d, o, s), tuple(i for i in e if i != d))


sort_reversed_exactly = for_integers(sort_reversed)


@rule(lambda x, p, d, o, s: sort(transpose(x, p), d, o, s), numerics=BITWISE, source=SORT)
def sort_before_transpose(x: Value, p: Any, d: Any, o: Any, s: Any) -> Value | None:
    """sort(xᵖ) = (sort x)ᵖ"""
    return transpose(sort(x, p[d], o, s), p)


@rule(lambda x, t, d, o, s: sort(reshape(x, t), d, o, s), numerics=BITWISE, source=SORT)
def sort_before_reshape(x: Value, t: Any, d: Any, o: Any, s: Any) -> Value | None:
    """sort(reshape x) = reshape(sort x), where the sorted dimension stays one"""
    need(t[d] > 1)
    for source, target in blocks(x.shape, t) or ():
        if d in target:
            own = [i for i in source if x.shape[i] != 1]
            need(len(own) == 1 and x.shape[own[0]] == t[d])
            return reshape(sort(x, own[0], o, s), t)
    return None


@rule(
    lambda x, t, e, d, o, s: sort(broadcast_in_dim(x, t, e), d, o, s), numerics=BITWISE, source=SORT
)
def sort_before_broadcast(x: Value, t: Any, e: Any, d: Any, o: Any, s: Any) -> Value | None:
    """sort(bcast x) = bcast(sort x), or bcast x if x is repeated along the sorted dimension"""
    if d in e and x.shape[e.index(d)] == t[d]:
        return broadcast_in_dim(sort(x, e.index(d), o, s), t, e)
    return broadcast_in_dim(x, t, e)


@rule(lambda f, x, d, o, s: sort(unary(f, x), d, o, s), numerics=ROUNDING, source=MONOTONE)
def sort_before_increasing(f: Any, x: Value, d: Any, o: Any, s: Any) -> Value | None:
    """sort(f(x)) = f(sort x) for increasing f, real"""
    need(f in INCREASING and _is_real(x, o))
    return unary(f, sort(x, d, o, s))


@rule(lambda x, t, d, o, s: sort(convert(x, t), d, o, s), numerics=BITWISE, source=MONOTONE)
def sort_before_convert(x: Value, t: Any, d: Any, o: Any, s: Any) -> Value | None:
    """sort(t(x)) = t(sort x) where type t holds every value"""
    need(holds_every_value(x.dtype, t) and not x.dtype.startswith("complex"))
    need(o == default_order(t, o[0]))
    return convert(sort(x, d, default_order(x.dtype, o[0]), s), t)


@rule(
    lambda f, x, c, d, o, s: sort(binary(f, x, constant(c)), d, o, s),
    numerics=ROUNDING,
    source=MONOTONE,
)
def sort_before_affine(f: Any, x: Value, c: Literal, d: Any, o: Any, s: Any) -> Value | None:
    """sort(x · c) = sort(x) · c for a splat c > 0, sort(x ± c) = sort(x) ± c; real"""
    need(f in ("add", "subtract", "multiply", "divide") and _is_real(x, o) and c.is_splat)
    need(np.isfinite(float(c.value)) and (f in ("add", "subtract") or float(c.value) > 0))
    return binary(f, sort(x, d, o, s), constant(c))


@rule(lambda x, d, o, s: negate(sort(negate(x), d, o, s)), numerics=FINITE, source=MONOTONE)
def negated_sort(x: Value, d: Any, o: Any, s: Any) -> Value | None:
    """-sort(-x) = reverse(sort x), for floats without NaN"""
    need(_is_real(x, o))
    return reverse(sort(x, d, o, s), (d,))


@rule(
    lambda g, x, d, o: get_result(sort_pair(unary(g, x), x, d, o, True), 1),
    numerics=BITWISE,
    source="-(-x) = ¬(¬x) = x",
)
def sort_along_by_own_key(g: Any, x: Value, d: Any, o: Any) -> Value | None:
    """x, taken along by the sort of -x = -sort(-x), and so with ¬x; stable"""
    need(g in ("negate", "not") and (_is_real(x, o) if x.dtype in REALS else x.dtype in INTEGERS))
    return unary(g, sort(unary(g, x), d, o, True))


@rule(lambda c, d, o, s: sort(constant(c), d, o, s), numerics=BITWISE, source=SORT)
def fold_sort(c: Literal, d: Any, o: Any, s: Any) -> Value | None:
    """The sort of a constant is a constant"""
    need(c.is_splat or c.type.size <= FOLD_LIMIT)
    need(s or not is_float(c.type.dtype))
    if c.is_splat:
        return constant(c)
    return constant(Literal(evaluate_operation("sort", (d, o, s), [c.array], c.type)))


@rule(lambda e, t, d, o, s: sort(iota(e, t), d, o, s), numerics=BITWISE, source=SORT)
def sort_iota(e: Any, t: TensorType, d: Any, o: Any, s: Any) -> Value | None:
    """sort(iota) = iota, or its reverse"""
    need(holds_indices(t.dtype, t.shape[e]) and s)
    same = iota(e, t)
    return reverse(same, (d,)) if e == d and o[0] == "GT" else same


@rule(lambda f, x, d, o, s, e: reduce_(f, sort(x, d, o, s), e), numerics=ROUNDING, source=SORT)
def reduce_sorted(f: Any, x: Value, d: Any, o: Any, s: Any, e: Any) -> Value | None:
    """Σ sort(x) = Σx along the sorted dimension; other reductions too"""
    need(d in e)
    return reduce_(f, x, e)


reduce_sorted_exactly = exactly(reduce_sorted, lambda f, x, **_: is_exact(f, x.dtype))


def _all_of_top_k(rng: np.random.Generator) -> dict[str, Any]:
    shape = tuple(rng.integers(1, 5, int(rng.integers(1, 4))).tolist())
    d = tuple(i for i in range(len(shape)) if i == len(shape) - 1 or rng.random() < 0.4)
    f = str(rng.choice(["add", "maximum", "minimum", "multiply"]))
    x = TensorType(shape, str(rng.choice(["f32", "f64", "i32", "ui8"])))
    return {"f": f, "x": x, "k": shape[-1], "d": d}


@rule(
    lambda f, x, k, d: reduce_(f, get_result(top_k(x, k), 0), d),
    numerics=ROUNDING,
    source=TOP_K,
    examples=_all_of_top_k,
)
def reduce_all_of_top_k(f: Any, x: Value, k: Any, d: Any) -> Value | None:
    """Σ of the n greatest of n elements = Σx; other reductions too"""
    need(k == x.shape[-1] and x.rank - 1 in d)
    return reduce_(f, x, d)


reduce_all_of_top_k_exactly = exactly(
    reduce_all_of_top_k, lambda f, x, **_: is_exact(f, x.dtype), examples=_all_of_top_k
)


@rule(
    lambda f, g, x, d, o, s, e: reduce_(f, binary(g, sort(x, d, o, s), sort(x, d, o, s)), e),
    numerics=ROUNDING,
    source=SORT,
)
def reduce_function_of_sorted(
    f: Any, g: Any, x: Value, d: Any, o: Any, s: Any, e: Any
) -> Value | None:
    """Σ g(sort x, sort x) = Σ g(x, x) along the sorted dimension, as of squares; others too"""
    need(d in e)
    return reduce_(f, binary(g, x, x), e)


@rule(
    lambda f, g, x, d, o, s, e: reduce_(f, unary(g, sort(x, d, o, s)), e),
    numerics=ROUNDING,
    source=SORT,
)
def reduce_unary_of_sorted(
    f: Any, g: Any, x: Value, d: Any, o: Any, s: Any, e: Any
) -> Value | None:
    """Σ g(sort x) = Σ g(x) along the sorted dimension; other reductions too"""
    need(d in e)
    return reduce_(f, unary(g, x), e)


@rule(
    lambda f, x, y, d, o, s, e: reduce_(f, get_result(sort_pair(x, y, d, o, s), 1), e),
    numerics=ROUNDING,
    source=SORT,
)
def reduce_permuted(f: Any, x: Value, y: Value, d: Any, o: Any, s: Any, e: Any) -> Value | None:
    """Σ (y sorted by x) = Σy along the sorted dimension; other reductions too"""
    need(d in e)
    return reduce_(f, y, e)


reduce_permuted_exactly = exactly(reduce_permuted, lambda f, y, **_: is_exact(f, y.dtype))
