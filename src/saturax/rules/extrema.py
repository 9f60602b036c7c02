"""Extrema with their places, and the k largest elements: from each other, and moved.

NaN is beyond everything (`top_k` takes a negative NaN for the least), and 0 = -0: rules that choose
among equal elements are exact on integers only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    GatherDimensions,
    arg_reduce,
    binary,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    default_order,
    dynamic_slice,
    full,
    gather,
    get_result,
    identity_value,
    iota,
    negate,
    reduce_,
    reshape,
    select,
    slice_,
    top_k,
    transpose,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import (
    INCREASING,
    INCREASING_WHERE_DEFINED,
    INTEGERS,
    REALS,
    for_integers,
)
from saturax.rules.conversion import holds_every_value
from saturax.rules.facts import is_nonnegative, is_positive
from saturax.rules.indices import holds_indices
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

TOP_K = "CHLO, `top_k`"
EXTREMUM = "definition of the extremum"
MONOTONE = "monotone functions preserve order"

STRICTLY_INCREASING = INCREASING - {"floor", "ceil"}
"""Functions of all reals under which different numbers stay different."""


def is_whole(x: Value) -> bool:
    """Whether x has integers of ordinary width, or Booleans."""
    return x.dtype in INTEGERS or x.dtype == "i1"


def _renumbered(dimension: int, dropped: int) -> int:
    """Where a dimension is once another one is gone."""
    return dimension - (dimension > dropped)


def kept_reduction(f: str, x: Value, d: int) -> Any:
    """x reduced along d, which stays as a dimension of size 1."""
    return reshape(reduce_(f, x, (d,)), (*x.shape[:d], 1, *x.shape[d + 1 :]))


def takes_along(dimensions: Any, sizes: Any, d: int, rank: int) -> bool:
    """Whether a gather at indices of the operand's shape, and one more, takes along d."""
    others = tuple(i for i in range(rank) if i != d)
    wanted = ((), (d,), others, others, (d,), rank)
    return tuple(dimensions) == wanted and set(sizes) <= {1}


# ------------------------------------------------------------------ top_k


@rule(lambda x, k: get_result(top_k(x, k), 0), numerics=FINITE, source=EXTREMUM)
def top_value(x: Value, k: Any) -> Value | None:
    """The values of top_k(x, 1) are max x; floats without NaN"""
    need(k == 1 and x.dtype != "i1" and identity_value("maximum", x.dtype) is not None)
    return kept_reduction("maximum", x, x.rank - 1)


top_value_exactly = for_integers(top_value)


@rule(lambda x, k: get_result(top_k(x, k), 1), numerics=FINITE, source=EXTREMUM)
def top_index(x: Value, k: Any) -> Value | None:
    """The indices of top_k(x, 1) are argmax x; floats without NaN"""
    need(k == 1 and x.dtype != "i1" and identity_value("maximum", x.dtype) is not None)
    need(x.shape[-1] > 0)
    place = get_result(arg_reduce("maximum", x, x.rank - 1, "i32"), 1)
    return reshape(place, (*x.shape[:-1], 1))


top_index_exactly = for_integers(top_index)


def _increasing(rng: np.random.Generator) -> dict[str, Any]:
    n = int(rng.integers(2, 6))
    x = TensorType((2, n), str(rng.choice(["f32", "f64"])))
    k, i = int(rng.integers(1, n + 1)), int(rng.integers(2))
    return {"g": str(rng.choice(sorted(STRICTLY_INCREASING))), "x": x, "k": k, "i": i}


@rule(
    lambda g, x, k, i: get_result(top_k(unary(g, x), k), i),
    numerics=FINITE,
    source=MONOTONE,
    examples=_increasing,
)
def top_k_before_increasing(g: Any, x: Value, k: Any, i: Any) -> Value | None:
    """top_k(g(x)) = g(top_k x) for strictly increasing g, and their indices agree; finite"""
    need(g in STRICTLY_INCREASING and x.dtype in REALS)
    found = get_result(top_k(x, k), i)
    return unary(g, found) if i == 0 else found


@rule(
    lambda g, x, k, i: get_result(top_k(unary(g, x), k), i),
    numerics=FINITE,
    source=MONOTONE,
    examples=lambda rng: {
        "g": str(rng.choice(sorted(INCREASING_WHERE_DEFINED))),
        "x": Literal(rng.uniform(0.1, 9.0, (3, 4))),
        "k": int(rng.integers(1, 5)),
        "i": int(rng.integers(2)),
    },
)
def top_k_before_increasing_where_defined(g: Any, x: Value, k: Any, i: Any) -> Value | None:
    """top_k(g(x)) = g(top_k x) for g = √, log, log1p, where g(x) is defined; indices agree"""
    need(g in INCREASING_WHERE_DEFINED and x.dtype in REALS)
    found = get_result(top_k(x, k), i)
    return unary(g, found) if i == 0 else found


def _with_rows(rng: np.random.Generator) -> dict[str, Any]:
    """A number for each row, positive for products."""
    drawn = _increasing(rng)
    x: TensorType = drawn["x"]
    builder = GraphBuilder((TensorType(x.shape[:1], x.dtype),))
    with building(builder):
        y = builder.finish([unary("exponential", builder.parameters[0])])
    g = str(rng.choice(["add", "subtract", "multiply", "divide"]))
    return {**drawn, "g": g, "y": y, "r": x.shape, "e": (0,)}


@rule(
    lambda g, x, y, r, e, k, i: get_result(top_k(binary(g, x, broadcast_in_dim(y, r, e)), k), i),
    numerics=FINITE,
    source=MONOTONE,
    uses_facts=True,
    examples=_with_rows,
)
def top_k_beside_repeated(
    g: Any, x: Value, y: Value, r: Any, e: Any, k: Any, i: Any
) -> Value | None:
    """top_k(x ± bcast y) = top_k(x) ± bcast y, y repeated along rows; · and / by y > 0; finite"""
    last = x.rank - 1
    need(x.dtype in REALS and (last not in e or y.shape[e.index(last)] == 1))
    is_scale = (g == "multiply" and is_positive(y)) or (g == "divide" and is_nonnegative(y))
    need(g in ("add", "subtract") or is_scale)
    found = get_result(top_k(x, k), i)
    return binary(g, found, broadcast_in_dim(y, (*r[:-1], k), e)) if i == 0 else found


@rule(
    lambda i, x, k, a, b, c: slice_(get_result(top_k(x, k), i), a, b, c),
    numerics=BITWISE,
    source=TOP_K,
)
def fewer_of_top_k(i: Any, x: Value, k: Any, a: Any, b: Any, c: Any) -> Value | None:
    """The first j of the k largest are the j largest"""
    need(b[-1] < k and b[-1] > 0)
    fewer = get_result(top_k(x, b[-1]), i)
    return slice_(fewer, a, b, c)


# ------------------------------------------------------------------ extrema and their places


@rule(lambda f, x, d, t: get_result(arg_reduce(f, x, d, t), 0), numerics=ROUNDING, source=EXTREMUM)
def value_of_arg_reduce(f: Any, x: Value, d: Any, t: Any) -> Value | None:
    """The value where x is greatest is max x"""
    return reduce_(f, x, (d,))


value_of_arg_reduce_exactly = for_integers(value_of_arg_reduce)


@rule(lambda f, x, d, t: get_result(arg_reduce(f, x, d, t), 1), numerics=BITWISE, source=EXTREMUM)
def arg_reduce_by_comparison(f: Any, x: Value, d: Any, t: Any) -> Value | None:
    """argmax x = the least index where x = max x, of integers

    Floats would not do: x and max x may come to be computed in ways that round differently, and
    then no element is equal to the largest.
    """
    need(x.shape[d] > 1 and holds_indices(t, x.shape[d]) and is_whole(x))
    extremum = reduce_(f, x, (d,))
    others = tuple(i for i in range(x.rank) if i != d)
    spread = broadcast_in_dim(extremum, x.shape, others)
    found = compare(x, spread, "EQ", default_order(x.dtype).kind)
    places = TensorType(x.shape, t)
    largest = full(identity_value("minimum", t), places)
    return reduce_("minimum", select(found, iota(d, places), largest), (d,))


@rule(
    lambda f, g, x, d, t: get_result(arg_reduce(f, unary(g, x), d, t), 1),
    numerics=ROUNDING,
    source=MONOTONE,
)
def argmax_before_increasing(f: Any, g: Any, x: Value, d: Any, t: Any) -> Value | None:
    """argmax g(x) = argmax x for strictly increasing g; real"""
    need(g in STRICTLY_INCREASING and x.dtype in REALS)
    return get_result(arg_reduce(f, x, d, t), 1)


@rule(
    lambda f, x, d, t: get_result(arg_reduce(f, negate(x), d, t), 1),
    numerics=BITWISE,
    source=MONOTONE,
)
def argmax_before_negate(f: Any, x: Value, d: Any, t: Any) -> Value | None:
    """argmax(-x) = argmin x, real"""
    need(x.dtype in REALS)
    return get_result(arg_reduce("minimum" if f == "maximum" else "maximum", x, d, t), 1)


@rule(
    lambda f, g, x, c, d, t: get_result(arg_reduce(f, binary(g, x, constant(c)), d, t), 1),
    numerics=ROUNDING,
    source=MONOTONE,
)
def argmax_before_affine(f: Any, g: Any, x: Value, c: Literal, d: Any, t: Any) -> Value | None:
    """argmax(x · c) = argmax x for a splat c > 0, argmin x for c < 0; argmax(x ± c) = argmax x"""
    need(g in ("add", "subtract", "multiply", "divide") and x.dtype in REALS and c.is_splat)
    value = float(c.value)
    need(np.isfinite(value) and (g in ("add", "subtract") or value != 0))
    if g in ("multiply", "divide") and value < 0:
        f = "minimum" if f == "maximum" else "maximum"
    return get_result(arg_reduce(f, x, d, t), 1)


def _repeated_inside(rng: np.random.Generator) -> dict[str, Any]:
    shape = tuple(rng.integers(1, 5, int(rng.integers(1, 4))).tolist())
    d = int(rng.integers(0, len(shape)))
    e = tuple(k for k in range(len(shape)) if k != d)
    x = TensorType(shape, "f64")
    y = x.with_shape(tuple(shape[k] for k in e))
    g, h = (str(rng.choice(["add", "subtract"])) for _ in range(2))
    f = str(rng.choice(["maximum", "minimum"]))
    return {"f": f, "g": g, "h": h, "x": x, "y": y, "z": x, "r": shape, "e": e, "d": d, "t": "i32"}


@rule(
    lambda f, g, x, y, r, e, d, t: get_result(
        arg_reduce(f, binary(g, x, broadcast_in_dim(y, r, e)), d, t), 1
    ),
    numerics=FINITE,
    source=MONOTONE,
)
def argmax_beside_repeated(
    f: Any, g: Any, x: Value, y: Value, r: Any, e: Any, d: Any, t: Any
) -> Value | None:
    """argmax(x ± bcast(y)) = argmax x where y is repeated along the dimension; finite"""
    need(g in ("add", "subtract") and x.dtype in REALS)
    need(d not in e or y.shape[e.index(d)] == 1)
    return get_result(arg_reduce(f, x, d, t), 1)


@rule(
    lambda f, g, h, x, y, z, r, e, d, t: get_result(
        arg_reduce(f, binary(h, binary(g, x, broadcast_in_dim(y, r, e)), z), d, t), 1
    ),
    numerics=FINITE,
    source=MONOTONE,
    examples=_repeated_inside,
)
def argmax_of_sum_beside_repeated(
    f: Any, g: Any, h: Any, x: Value, y: Value, z: Value, r: Any, e: Any, d: Any, t: Any
) -> Value | None:
    """argmax((x ± bcast y) ± z) = argmax(x ± z), y repeated along it; finite: Gumbel's maximum"""
    need(g in ("add", "subtract") and h in ("add", "subtract") and x.dtype in REALS)
    need(d not in e or y.shape[e.index(d)] == 1)
    return get_result(arg_reduce(f, binary(h, x, z), d, t), 1)


@rule(
    lambda f, x, k, r, e, d, t: get_result(
        arg_reduce(
            f,
            binary(
                "divide",
                unary("exponential", x),
                broadcast_in_dim(reduce_("add", unary("exponential", x), k), r, e),
            ),
            d,
            t,
        ),
        1,
    ),
    numerics=FINITE,
    source=MONOTONE,
)
def argmax_of_softmax(f: Any, x: Value, k: Any, r: Any, e: Any, d: Any, t: Any) -> Value | None:
    """argmax(exp(x) / Σ exp(x)) = argmax x along the summed dimension; finite"""
    kept = tuple(i for i in range(x.rank) if i not in k)
    need(d in k and x.dtype in REALS and tuple(e) == kept)
    return get_result(arg_reduce(f, x, d, t), 1)


@rule(
    lambda f, x, t, d, u: get_result(arg_reduce(f, convert(x, t), d, u), 1),
    numerics=BITWISE,
    source=MONOTONE,
)
def argmax_before_convert(f: Any, x: Value, t: Any, d: Any, u: Any) -> Value | None:
    """argmax t(x) = argmax x where type t holds every value"""
    need(holds_every_value(x.dtype, t) and identity_value(f, x.dtype) is not None)
    return get_result(arg_reduce(f, x, d, u), 1)


@rule(
    lambda f, x, p, d, t: get_result(arg_reduce(f, transpose(x, p), d, t), 1),
    numerics=BITWISE,
    source=EXTREMUM,
)
def argmax_before_transpose(f: Any, x: Value, p: Any, d: Any, t: Any) -> Value | None:
    """argmax(xᵖ) = (argmax x)ᑫ"""
    place = get_result(arg_reduce(f, x, p[d], t), 1)
    kept = [_renumbered(p[i], p[d]) for i in range(x.rank) if i != d]
    return transpose(place, kept)


def _take_at_extremum(rng: np.random.Generator) -> dict[str, Any]:
    """Examples of `take_along_axis(x, argmax x)`."""
    rank = int(rng.integers(1, 4))
    shape = tuple(rng.integers(1, 5, rank).tolist())
    d = int(rng.integers(0, rank))
    others = tuple(i for i in range(rank) if i != d)
    return {
        "x": TensorType(shape, str(rng.choice(["f32", "i32", "ui8"]))),
        "f": str(rng.choice(["maximum", "minimum"])),
        "d": d,
        "t": "i32",
        "r": (*shape[:d], 1, *shape[d + 1 :], 1),
        "g": GatherDimensions((), (d,), others, others, (d,), rank),
        "n": (1,) * rank,
    }


@rule(
    lambda f, x, d, t, r, g, n, b: gather(
        x, reshape(get_result(arg_reduce(f, x, d, t), 1), r), g, n, b
    ),
    numerics=ROUNDING,
    source=EXTREMUM,
    examples=_take_at_extremum,
)
def gather_at_argmax(
    f: Any, x: Value, d: Any, t: Any, r: Any, g: Any, n: Any, b: Any
) -> Value | None:
    """take_along_axis(x, argmax x) = max x"""
    need(x.shape[d] > 0 and holds_indices(t, x.shape[d]))
    need(tuple(r) == (*x.shape[:d], 1, *x.shape[d + 1 :], 1))
    need(takes_along(g, n, d, x.rank))
    return kept_reduction(f, x, d)


def _pick_at_extremum(rng: np.random.Generator) -> dict[str, Any]:
    """Examples of what argmax x, without a dimension of size 1, picks out of x."""
    drawn = _take_at_extremum(rng)
    others = tuple(i for i in range(drawn["x"].rank) if i != drawn["d"])
    batch, place = tuple(range(len(others))), (drawn["d"],)
    del drawn["r"]
    return drawn | {"g": GatherDimensions((), place, others, batch, place, len(others))}


@rule(
    lambda f, x, d, t, g, n, b: gather(x, get_result(arg_reduce(f, x, d, t), 1), g, n, b),
    numerics=ROUNDING,
    source=EXTREMUM,
    examples=_pick_at_extremum,
)
def pick_at_argmax(f: Any, x: Value, d: Any, t: Any, g: Any, n: Any, b: Any) -> Value | None:
    """Σ one_hot(argmax x)·x = max x, where that sum is written as what argmax x picks out of x"""
    others = tuple(i for i in range(x.rank) if i != d)
    need(x.shape[d] > 0 and holds_indices(t, x.shape[d]) and set(n) <= {1})
    need(tuple(g) == ((), (d,), others, tuple(range(len(others))), (d,), len(others)))
    return reduce_(f, x, (d,))


@rule(
    lambda f, x, t, n: dynamic_slice(x, [get_result(arg_reduce(f, x, 0, t), 1)], n),
    numerics=ROUNDING,
    source=EXTREMUM,
)
def slice_at_argmax(f: Any, x: Value, t: Any, n: Any) -> Value | None:
    """x[argmax x] = max x, of a vector"""
    need(x.rank == 1 and tuple(n) == (1,) and holds_indices(t, x.shape[0]))
    return kept_reduction(f, x, 0)


slice_at_argmax_exactly = for_integers(slice_at_argmax)
gather_at_argmax_exactly = replace(for_integers(gather_at_argmax), examples=_take_at_extremum)
