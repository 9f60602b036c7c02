"""Sums over one-hot rows: what an index picks out of a tensor, and what it counts or adds up.

A row is one-hot where an index i is compared with 0, 1, 2, …: [i = 0, 1, 2, …]. Outside of the
bounds it has no 1. Each rule comes in both orders of that comparison. (`known_hot` has products
with one-hot rows that read rows of the other factor.)
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
    ScatterDimensions,
    binary,
    broadcast_in_dim,
    compare,
    convert,
    dot_general,
    full,
    full_like,
    gather,
    identity_value,
    iota,
    multiply,
    reduce_,
    scatter,
    select,
)
from saturax.graph.types import TensorType, is_unsigned
from saturax.rules.arithmetic import COUNTED_EXACTLY, accumulation_dtype, is_uniform
from saturax.rules.conditions import INTEGERS, REALS, exactly, is_exact
from saturax.rules.einsum import Einsum, einsum_of
from saturax.rules.facts import bounds_of, has_numbers, iota_of, splat_of
from saturax.rules.indices import holds_indices
from saturax.rules.known_hot import hot_rows_example
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to, without
from saturax.rules.rule import ROUNDING, Rule, need, rule

ONE_HOT = "a one-hot row has a single term"
HISTOGRAM = "a sum over one-hot rows adds to what each of them names"

Dimensions = Sequence[int]


def is_hot(x: Any, i: Any, s: Any, e: Any, k: Any, *, is_index_first: bool) -> Any:
    """Where the numbers x are the broadcast index i."""
    index = broadcast_in_dim(i, s, e)
    return compare(index, x, "EQ", k) if is_index_first else compare(x, index, "EQ", k)


def axis_of(x: Value, i: Value, s: Dimensions, e: Dimensions) -> int:
    """The dimension along which x counts 0, 1, 2, …, if i is the same along it."""
    counted = iota_of(x)
    need(counted is not None and counted.offset == 0)
    assert counted is not None
    need(sorted(counted.strides) == [0] * (len(counted.strides) - 1) + [1])
    axis = counted.strides.index(1)
    need(axis not in e and i.dtype in INTEGERS)
    need(list(e) == sorted(e) and i.shape == tuple(s[d] for d in e))
    return axis


def _picked(f: Any, w: Value, i: Value, e: Dimensions, axis: int) -> Any:
    """The element of w along the axis that i names; the identity of f where that is none."""
    rest = [d for d in range(w.rank) if d != axis]
    offsets = tuple(rest.index(d) for d in rest if d not in e)
    batch = tuple(range(i.rank))
    d = GatherDimensions(offsets, (axis,), tuple(e), batch, (axis,), i.rank)
    sizes = [1 if k == axis or k in e else n for k, n in enumerate(w.shape)]
    found = gather(w, i, d, sizes)
    low, high = bounds_of(i)
    if low >= 0 and high < w.shape[axis]:
        return found
    kind = "UNSIGNED" if is_unsigned(i.dtype) else "SIGNED"
    last = full(w.shape[axis] - 1, i.tensor)
    inside = binary("and", compare(i, full_like(i, 0), "GE", kind), compare(i, last, "LE", kind))
    mask = broadcast_in_dim(inside, found.shape, [rest.index(k) for k in e])
    return select(mask, found, full_like(found, identity_value(f, w.dtype)))


def _reduced(f: Any, w: Value, i: Value, e: Dimensions, axis: int, d: Dimensions) -> Any:
    """What i picks out of w along the axis, reduced by f along what else d has."""
    need(axis in d and holds_indices(i.dtype, w.shape[axis]))
    return reduce_(f, _picked(f, w, i, e, axis), [k - (k > axis) for k in d if k != axis])


# ------------------------------------------------------------------ examples


def hot_example(rng: np.random.Generator) -> dict[str, Any]:
    """An index of one or two dimensions, compared with an iota along another one."""
    rank = int(rng.integers(1, 4))
    shape = tuple(int(n) for n in rng.integers(1, 4, rank))
    axis = int(rng.integers(0, rank))
    shape = tuple(4 if d == axis else n for d, n in enumerate(shape))
    e = tuple(d for d in range(rank) if d != axis and rng.random() < 0.8)
    builder = GraphBuilder()
    with building(builder):
        counted = builder.finish([iota(axis, TensorType(shape, "i32"))])
    i = TensorType(tuple(shape[d] for d in e), "i32")
    return {"x": counted, "i": i, "s": shape, "e": e, "k": "SIGNED", "axis": axis}


def _pick_example(rng: np.random.Generator) -> dict[str, Any]:
    drawn = hot_example(rng)
    axis, shape = drawn.pop("axis"), drawn["s"]
    f = str(rng.choice(["add", "maximum", "minimum"]))
    dtype = str(rng.choice(["f32", "f64", "i32"]))
    neutral = Literal(np.asarray(identity_value(f, dtype)), shape)
    d = tuple(k for k in range(len(shape)) if k == axis or rng.random() < 0.2)
    return drawn | {"f": f, "w": TensorType(shape, dtype), "c": neutral, "d": d}


def _exact_pick_example(rng: np.random.Generator) -> dict[str, Any]:
    while True:
        drawn = _pick_example(rng)
        if is_exact(drawn["f"], drawn["w"].dtype):
            return drawn


def _product_example(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _pick_example(rng)
    dtype = str(rng.choice(["f32", "f64", "i32"]))
    w = TensorType(drawn["s"], dtype)
    return {name: drawn[name] for name in "xisekd"} | {"w": w, "r": dtype}


def _count_example(rng: np.random.Generator) -> dict[str, Any]:
    drawn = hot_example(rng)
    axis, shape = drawn.pop("axis"), drawn["s"]
    e = tuple(d for d in range(len(shape)) if d != axis)
    i = TensorType(tuple(shape[d] for d in e), "i32")
    return drawn | {"e": e, "i": i, "d": e, "r": str(rng.choice(["f32", "i32"]))}


# ------------------------------------------------------------------ what an index picks


def _pick_rule(*, is_index_first: bool) -> Rule:
    def left(f, x, i, s, e, k, w, c, d):
        return reduce_(f, select(is_hot(x, i, s, e, k, is_index_first=is_index_first), w, c), d)

    def right(
        f: Any, x: Value, i: Value, s: Any, e: Any, k: Any, w: Value, c: Value, d: Any
    ) -> Any:
        value = splat_of(c)
        need(f in ("add", "maximum", "minimum") and (w.dtype in REALS or w.dtype in INTEGERS))
        need(value is not None and value == identity_value(f, w.dtype))
        return _reduced(f, w, i, e, axis_of(x, i, s, e), d)

    right.__name__ = "reduce_picked" + ("" if is_index_first else "_turned")
    right.__doc__ = (
        "Σⱼ (wⱼ where i = j, else 0) = wᵢ, and 0 where i is out of bounds; max, min alike"
    )
    return rule(left, numerics=ROUNDING, source=ONE_HOT, uses_facts=True, examples=_pick_example)(
        right
    )


def is_exact_pick(f: Any, w: Value, **_: Any) -> bool:
    """Whether reductions of w by f are exact in any order."""
    return is_exact(f, w.dtype)


reduce_picked = _pick_rule(is_index_first=True)
reduce_picked_turned = _pick_rule(is_index_first=False)
reduce_picked_exactly = exactly(reduce_picked, is_exact_pick, _exact_pick_example)
reduce_picked_turned_exactly = exactly(reduce_picked_turned, is_exact_pick, _exact_pick_example)


def _product_rule(*, is_index_first: bool) -> Rule:
    def left(x, i, s, e, k, r, w, d):
        hot = is_hot(x, i, s, e, k, is_index_first=is_index_first)
        return reduce_("add", multiply(w, convert(hot, r)), d)

    def right(x: Value, i: Value, s: Any, e: Any, k: Any, r: Any, w: Value, d: Any) -> Any:
        need((w.dtype in REALS or w.dtype in INTEGERS) and has_numbers(w))
        return _reduced("add", w, i, e, axis_of(x, i, s, e), d)

    right.__name__ = "sum_times_one_hot" + ("" if is_index_first else "_turned")
    right.__doc__ = "Σⱼ wⱼ · one_hot(i)ⱼ = wᵢ, and 0 where i is out of bounds"
    return rule(
        left, numerics=ROUNDING, source=ONE_HOT, uses_facts=True, examples=_product_example
    )(right)


sum_times_one_hot = _product_rule(is_index_first=True)
sum_times_one_hot_turned = _product_rule(is_index_first=False)


# ------------------------------------------------------------------ what an index adds up


def added(n: int, i: Value, w: Value, f: Any = "add") -> Any:
    """Σ w over those that have an index: zeros of n rows, plus rows of w where i names them.

    The first dimensions of w are those of i, the others a row's. Other f likewise.
    """
    row = TensorType((n, *w.shape[i.rank :]), w.dtype)
    windows = tuple(range(i.rank, w.rank))
    d = ScatterDimensions(windows, (0,), (), (), (0,), i.rank)
    return scatter(f, full(identity_value(f, w.dtype), row), i, w, d)


def _count_rule(*, is_index_first: bool) -> Rule:
    def left(x, i, s, e, k, r, d):
        return reduce_("add", convert(is_hot(x, i, s, e, k, is_index_first=is_index_first), r), d)

    def right(x: Value, i: Value, s: Any, e: Any, k: Any, r: Any, d: Any) -> Any:
        axis = axis_of(x, i, s, e)
        need(tuple(d) == tuple(e) == without(range(len(s)), (axis,)) and i.size > 1)
        need(holds_indices(i.dtype, s[axis]))
        need(r in INTEGERS or i.size <= COUNTED_EXACTLY.get(r, 0))
        return added(s[axis], i, full(1, TensorType(i.shape, r)))

    right.__name__ = "count_indices" + ("" if is_index_first else "_turned")
    right.__doc__ = "Σ one_hot(i) over all i = how often i is 0, 1, 2, …: zeros, + 1 at i"
    return rule(
        left, numerics=ROUNDING, source=HISTOGRAM, uses_facts=True, examples=_count_example
    )(right)


count_indices = _count_rule(is_index_first=True)
count_indices_turned = _count_rule(is_index_first=False)


def _rowsadded(x: Value, i: Value, s: Any, e: Any, w: Value, labels: Einsum, t: str) -> Any:
    """The product of the one-hot matrix, whose dimensions `labels.x` names, with w."""
    axis = axis_of(x, i, s, e)
    need(sorted((*e, axis)) == list(range(len(s))) and labels.x[axis] not in labels.y)
    need(is_uniform(t, w) and accumulation_dtype(t) == t and i.size > 1 and has_numbers(w))
    need(holds_indices(i.dtype, s[axis]))
    own = [labels.x[k] for k in e]
    need(all(label in labels.y and label not in labels.result for label in own))
    order = (*own, *(label for label in labels.y if label not in own))
    found = added(s[axis], i, transposed(w, permutation_to(labels.y, order)))
    return transposed(found, permutation_to((labels.x[axis], *order[len(own) :]), labels.result))


def _scatter_rule(*, is_left: bool, is_index_first: bool) -> Rule:
    def left(x, i, s, e, k, r, w, d, p, t):
        hot = convert(is_hot(x, i, s, e, k, is_index_first=is_index_first), r)
        return dot_general(*((hot, w) if is_left else (w, hot)), d, p, t)

    def right(
        x: Value, i: Value, s: Any, e: Any, k: Any, r: Any, w: Value, d: Any, p: Precision, t: str
    ) -> Any:
        d = DotDimensions(*d)
        if is_left:
            return _rowsadded(x, i, s, e, w, einsum_of(d, len(s), w.rank), t)
        labels = einsum_of(d, w.rank, len(s))
        return _rowsadded(x, i, s, e, w, Einsum(labels.y, labels.x, labels.result), t)

    side = "left" if is_left else "right"
    right.__name__ = f"add_rows_by_one_hot_{side}" + ("" if is_index_first else "_turned")
    product = "one_hot(i)ᵀ · w" if is_left else "wᵀ · one_hot(i)"
    right.__doc__ = f"{product} = zeros, + the rows of w at i (a segment sum)"
    return rule(
        left,
        numerics=ROUNDING,
        source=HISTOGRAM,
        uses_facts=True,
        examples=hot_rows_example(is_left, sums_rows=True),
    )(right)


add_rows_by_one_hot_left = _scatter_rule(is_left=True, is_index_first=True)
add_rows_by_one_hot_left_turned = _scatter_rule(is_left=True, is_index_first=False)
add_rows_by_one_hot_right = _scatter_rule(is_left=False, is_index_first=True)
add_rows_by_one_hot_right_turned = _scatter_rule(is_left=False, is_index_first=False)
