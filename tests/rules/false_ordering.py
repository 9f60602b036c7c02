"""False rules on order, cumulative operations, gathers and scatters."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.literal import Literal
from saturax.graph.ops import (
    SET,
    GatherDimensions,
    ScatterDimensions,
    add,
    arg_reduce,
    binary,
    broadcast_in_dim,
    concatenate_all,
    constant,
    convert,
    default_order,
    divide,
    full_like,
    gather,
    get_result,
    iota,
    multiply,
    negate,
    pad,
    reduce_,
    reduce_window,
    reshape,
    reverse,
    scatter,
    select,
    slice_,
    slice_dimension,
    sort,
    sort_pair,
    subtract,
    top_k,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules import extrema, gather_along
from saturax.rules.cumulative import EXAMPLES, cumulation
from saturax.rules.extrema import kept_reduction
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need
from saturax.rules.shifted_differences import padded_examples

from .declare import false_rule

# ------------------------------------------------------------------ order


@false_rule(
    lambda x, d, o, s, a, b, c: slice_(sort(x, d, o, s), a, b, c), ROUNDING, "values", "integers"
)
def first_of_sorted_is_the_greatest(x, d, o, s, a, b, c):
    """sort(x)[0] = max x"""
    need(x.rank == 1 and o[0] == "LT" and a == (0,) and b == (1,) and x.size > 1)
    need(x.dtype == "f32")
    return kept_reduction("maximum", x, d)


@false_rule(lambda x, d, o, s, a, b, c: slice_(sort(x, d, o, s), a, b, c), BITWISE, "bits")
def first_of_sorted_despite_nan(x, d, o, s, a, b, c):
    """sort(x)[0] = min x in every bit: not if an element is NaN"""
    need(x.rank == 1 and o[0] == "LT" and a == (0,) and b == (1,) and x.dtype == "f32")
    return kept_reduction("minimum", x, d)


@false_rule(lambda x, e, d, o, s: sort(reverse(x, e), d, o, s), BITWISE, "bits", "integers")
def sort_forgets_other_dimensions(x, e, d, o, s):
    """sort(reverse x) = sort x, also where other dimensions are reversed"""
    return sort(x, d, o, s)


@false_rule(lambda f, x, d, o, s: sort(unary(f, x), d, o, s), ROUNDING, "values", "integers")
def sort_before_any_function(f, x, d, o, s):
    """sort(-x) = -sort(x)"""
    need(f == "negate" and x.dtype == "f32")
    return unary(f, sort(x, d, o, s))


@false_rule(
    lambda x, y, d, o, s: get_result(sort_pair(x, y, d, o, s), 1),
    BITWISE,
    "bits",
    "integers",
    "types",
)
def values_sort_themselves(x, y, d, o, s):
    """What is taken along by a sort is sorted"""
    need(not y.dtype.startswith("complex"))
    return sort(y, d, default_order(y.dtype), s)


@false_rule(
    lambda x, e, t, d, o, p: get_result(
        sort_pair(get_result(sort_pair(x, iota(e, t), d, o, True), 1), iota(e, t), d, p, True), 1
    ),
    BITWISE,
    "bits",
    "integers",
)
def argsort_is_an_involution(x, e, t, d, o, p):
    """argsort(argsort x) = argsort x"""
    need(e == d and t.dtype == "i32" and t.shape[d] > 2)
    return get_result(sort_pair(x, iota(e, t), d, o, True), 1)


@false_rule(lambda x, k: get_result(top_k(x, k), 0), BITWISE, "bits", "integers")
def top_value_is_the_first(x, k):
    """top_k(x, 1) = x[: 1]"""
    need(k == 1 and x.rank == 1)
    return slice_(x, (0,), (1,), (1,))


@false_rule(
    lambda f, x, d, t: get_result(arg_reduce(f, unary("abs", x), d, t), 1),
    ROUNDING,
    "values",
    "integers",
)
def argmax_of_magnitude(f, x, d, t):
    """argmax |x| = argmax x"""
    need(x.dtype == "f32" and x.shape[d] > 1)
    return get_result(arg_reduce(f, x, d, t), 1)


# ------------------------------------------------------------------ cumulative


@false_rule(
    lambda x, w: reduce_window("add", reduce_window("add", x, w), w),
    ROUNDING,
    "values",
    "integers",
    examples=EXAMPLES,
)
def cumsum_is_idempotent(x, w):
    """cumsum(cumsum x) = cumsum x"""
    cumulation(x.shape, w)
    return reduce_window("add", x, w)


@false_rule(
    lambda f, x, w, d: reduce_(f, reduce_window(f, x, w), d),
    ROUNDING,
    "values",
    "integers",
    examples=EXAMPLES,
)
def sum_of_cumsum_is_sum(f, x, w, d):
    """Σ cumsum(x) = Σx, as for extrema"""
    need(f == "add" and cumulation(x.shape, w).axis in d)
    return reduce_(f, x, d)


@false_rule(
    lambda f, x, w, a, b, s: slice_(reduce_window(f, x, w), a, b, s),
    ROUNDING,
    "values",
    "integers",
    "bits",
    examples=EXAMPLES,
)
def first_of_cumsum_is_the_sum(f, x, w, a, b, s):
    """cumsum(x)[0] = Σx"""
    c = cumulation(x.shape, w)
    need(x.rank == 1 and f == "add" and not c.is_reversed and (a, b) == ((0,), (1,)))
    return reshape(reduce_(f, x, (0,)), (1,))


@false_rule(
    lambda x, d, o, s: sort(x, d, o, s),
    BITWISE,
    "bits",
    "integers",
    examples=lambda rng: {"x": TensorType((4, 3), "i32"), "d": 1, "o": default_order("i32")},
)
def sort_three_by_two_comparisons(x, d, o, s):
    """sort x = x with its outer two and then its first two columns in order"""
    need(x.shape == (4, 3) and d == 1 and o == default_order("i32") and x.dtype == "i32")
    rows = [slice_dimension(x, 1, j, j + 1) for j in range(3)]
    for low, high in ((0, 2), (0, 1)):
        a, b = rows[low], rows[high]
        rows[low], rows[high] = binary("minimum", a, b), binary("maximum", a, b)
    return concatenate_all(rows, 1)


@false_rule(
    lambda x, k: get_result(top_k(x, k), 1),
    BITWISE,
    "bits",
    "integers",
    examples=lambda rng: {"x": TensorType((4, 3), "f32"), "k": 3},
)
def top_places_from_the_least_up(x, k):
    """The indices of top_k(x, n) = argsort x"""
    need(x.shape == (4, 3) and k == 3 and x.dtype == "f32")
    return get_result(sort_pair(x, iota(1, TensorType(x.shape, "i32")), 1, default_order("f32")), 1)


# ------------------------------------------------------------------ gathers and scatters


def _rows(rng):
    n, rows = 4, int(rng.integers(2, 4))
    places = rng.integers(0, n, rows).astype(np.int32)
    return {
        "f": SET if rng.random() < 0.5 else "add",
        "x": TensorType((n, 2), "f32"),
        "u": TensorType((rows, 2), "f32"),
        "c": Literal(places[:, None]),
        "d": ScatterDimensions((1,), (0,), (), (), (0,), 1),
    }


@false_rule(
    lambda f, x, c, u, d, b, q: scatter(f, x, constant(c), u, d, b, q),
    ROUNDING,
    "values",
    "integers",
    examples=_rows,
)
def scatter_leaves_what_it_writes_over(f, x, c, u, d, b, q):
    """x, written at some places, is x"""
    need(x.shape == (4, 2) and u.size > 0)
    return x


@false_rule(
    lambda f, x, i, u, v, d, b, q: scatter(f, scatter(f, x, i, u, d, b, q), i, v, d, b, q),
    BITWISE,
    "bits",
    "integers",
)
def last_scatter_wins(f, x, i, u, v, d, b, q):
    """x + u at i, + v at i = x + v at i"""
    need(u.type == v.type and f != SET and u.size > 0)
    return scatter(f, x, i, v, d, b, q)


@false_rule(
    lambda y, f, x, i, u, d, b, q: subtract(y, scatter(f, x, i, u, d, b, q)),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {**_rows(rng), "y": TensorType((4, 2), "f32"), "f": "add"},
)
def subtract_adds_to_what_is_summed_into(y, f, x, i, u, d, b, q):
    """y - (x + u at i) = (y - x) + u at i, with u's sign lost"""
    need(f == "add" and y.shape == (4, 2) and u.size > 0)
    return scatter(f, subtract(y, x), i, u, d, b, q)


@false_rule(
    lambda x, i, d, n, b, j: gather(gather(x, i, d, n, b), j, d, n, b),
    BITWISE,
    "bits",
    "integers",
    "types",
)
def gathers_commute(x, i, d, n, b, j):
    """x[i][j] = x[j][i]"""
    need(GatherDimensions(*d).operand_batching_dims == () and i.type == j.type)
    return gather(gather(x, j, d, n, b), i, d, n, b)


@false_rule(
    lambda f, x, y, i, d, n, b: gather(binary(f, x, y), i, d, n, b), BITWISE, "bits", "integers"
)
def gather_one_operand_only(f, x, y, i, d, n, b):
    """f(x, y)[i] = f(x[i], x[i])"""
    need(f in ("add", "subtract") and x.size > 1)
    read = gather(x, i, d, n, b)
    return binary(f, read, read)


# ------------------------------------------------------------------ rows read or added up


@false_rule(
    lambda f, x, y, i, j, d, n, b: binary(f, gather(x, i, d, n, b), gather(y, j, d, n, b)),
    BITWISE,
    "bits",
    "integers",
)
def gathers_share_their_indices(f, x, y, i, j, d, n, b):
    """f(x[i], y[j]) = f(x, y)[i]"""
    need(i.type == j.type and x.type == y.type and x.size > 1)
    return gather(binary(f, x, y), i, d, n, b)


@false_rule(
    lambda x, i, u, g, b, q: scatter("add", x, i, negate(u), g, b, q),
    BITWISE,
    "integers",
    "bits",
    examples=lambda rng: _rows_added(rng),
)
def negated_with_what_is_added_to(x, i, u, g, b, q):
    """x + Σ -u at i = -(x + Σ u at i)"""
    return negate(scatter("add", x, i, u, g, b, q))


@false_rule(
    lambda x, i, u, v, g, b, q: scatter("add", x, i, multiply(u, v), g, b, q),
    ROUNDING,
    "integers",
    "values",
    examples=lambda rng: (drawn := _rows_added(rng)) | {"v": drawn["u"]},
)
def product_of_sums_at_places(x, i, u, v, g, b, q):
    """x + Σ u·v at i = x + (Σ u at i)·(Σ v at i)"""
    zeros = full_like(x, 0)
    first, second = (scatter("add", zeros, i, w, g, b, q) for w in (u, v))
    return add(x, multiply(first, second))


def _rows_added(rng: np.random.Generator) -> dict[str, Any]:
    """A matrix, and more rows to add to it than it has."""
    rows, width = (int(n) for n in rng.integers(1, 4, 2))
    count = rows + int(rng.integers(1, 4))
    dtype = str(rng.choice(["f32", "i32"]))
    return {
        "x": TensorType((rows, width), dtype),
        "i": TensorType((count, 1), "i32"),
        "u": TensorType((count, width), dtype),
        "g": ScatterDimensions((1,), (0,), (), (), (0,), 1),
    }


@false_rule(lambda x, y: binary("remainder", x, y), ROUNDING, "values")
def floored_remainder_is_truncated(x, y):
    """x rem y = x - y·⌊x / y⌋, with the sign of y"""
    need(x.dtype in ("f32", "f64"))
    return subtract(x, multiply(y, unary("floor", divide(x, y))))


@false_rule(
    lambda x, k, a, b, c, w: reduce_window("add", subtract(x, pad(x, constant(k), a, b, c)), w),
    FINITE,
    "values",
    "integers",
    examples=padded_examples,
)
def differences_add_up_from_either_end(x, k, a, b, c, w):
    """cumsum(x - [x[1:], 0]) = x, as for what comes before"""
    cumulation(x.shape, w)
    return x


@false_rule(
    lambda g, x, d, o: get_result(sort_pair(unary(g, x), x, d, o, True), 1), BITWISE, "bits"
)
def sorted_along_negated_is_sorted(g, x, d, o):
    """x, taken along by the sort of -x = sort x"""
    need(g == "negate" and x.dtype == "f32")
    return sort(x, d, o, True)


@false_rule(
    lambda f, x, k, d: reduce_(f, get_result(top_k(x, k), 0), d),
    ROUNDING,
    "values",
    "integers",
)
def some_of_the_greatest_are_all(f, x, k, d):
    """Σ of the k greatest = Σx"""
    need(f == "add" and x.rank - 1 in d)
    return reduce_(f, x, d)


@false_rule(
    lambda p, t, e, c, x, d, o, s: sort(select(broadcast_in_dim(p, t, e), constant(c), x), d, o, s),
    BITWISE,
    "bits",
    "integers",
)
def sort_before_any_choice(p, t, e, c, x, d, o, s):
    """sort(c where bcast p, else x) = c where bcast p, else sort x, also where p varies"""
    need(c.is_splat)
    return select(broadcast_in_dim(p, t, e), constant(c), sort(x, d, o, s))


@false_rule(
    lambda e, t, i, d, n, b: gather(iota(e, t), i, d, n, b),
    BITWISE,
    "bits",
    "integers",
    "raised",
    examples=gather_along.gather_along_iota.examples,
)
def taken_from_iota_without_bounds(e, t, i, d, n, b):
    """take_along_axis(iota, i) = i, also out of bounds"""
    need(t.rank == 2 and e == 1 and d[4] == (1,) and t.shape[0] == i.shape[0])
    return convert(reshape(i, i.shape[:2]), t.dtype)


@false_rule(
    lambda f, g, h, x, y, z, r, e, d, t: get_result(
        arg_reduce(f, binary(h, binary(g, x, broadcast_in_dim(y, r, e)), z), d, t), 1
    ),
    FINITE,
    "values",
    "integers",
    examples=extrema.argmax_of_sum_beside_repeated.examples,
)
def argmax_of_first_addend(f, g, h, x, y, z, r, e, d, t):
    """argmax((x ± bcast y) ± z) = argmax x"""
    need(h in ("add", "subtract"))
    return get_result(arg_reduce(f, x, d, t), 1)
