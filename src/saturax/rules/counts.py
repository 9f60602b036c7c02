"""Counts: how many are below a bound; whether there is one at all, or whether it is all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    add,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    full_like,
    iota,
    reduce_,
    subtract,
    ternary,
    unary,
)
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.rules.arithmetic import COUNTED_EXACTLY
from saturax.rules.conditions import INTEGERS, REALS, is_all
from saturax.rules.facts import iota_of
from saturax.rules.permutations import without
from saturax.rules.rule import BITWISE, Rule, need, rule

TURNED = {"LT": "GT", "LE": "GE", "GT": "LT", "GE": "LE"}


def _counted_from(x: Value, axis: int) -> int:
    """The t of x = t, t + 1, t + 2, … along the axis, the same along the others."""
    counts = iota_of(x)
    need(counts is not None)
    assert counts is not None
    need(all(stride == (d == axis) for d, stride in enumerate(counts.strides)))
    return int(counts.offset)


def _below(y: Value, t: int, n: int, o: str) -> Any:
    """How many of t, t + 1, …, t + n - 1 are less than y, or as `o` says."""
    low = t - (o in ("LE", "GT"))  # ≤ y: one less is < y
    limits = np.iinfo(numpy_dtype(y.dtype))
    need(limits.min <= low and low + n <= limits.max and n <= limits.max)
    bounded = ternary("clamp", full_like(y, low), y, full_like(y, low + n))
    if o in ("LT", "LE"):
        return subtract(bounded, full_like(y, low))
    return subtract(full_like(y, low + n), bounded)


def _example(rng: np.random.Generator) -> dict[str, Any]:
    """Counts along one dimension of s, and bounds that are repeated along it."""
    rank, dtype = int(rng.integers(1, 4)), str(rng.choice(["i32", "ui8", "i64"]))
    s, axis = tuple(rng.integers(2, 5, rank).tolist()), int(rng.integers(rank))
    e = tuple(d for d in range(rank) if d != axis and rng.random() < 0.6)
    builder = GraphBuilder()
    with building(builder):
        counts = iota(axis, TensorType(s, dtype))
        x: Graph = builder.finish([add(counts, full_like(counts, int(rng.integers(0, 3))))])
    d = tuple(i for i in range(rank) if i == axis or rng.random() < 0.3)
    y = TensorType(tuple(s[i] for i in e), dtype)
    r = str(rng.choice(["i32", "f32", "i8"]))
    o, k = str(rng.choice(list(TURNED))), "UNSIGNED" if is_unsigned(dtype) else "SIGNED"
    return {"x": x, "y": y, "s": s, "e": e, "d": d, "r": r, "o": o, "k": k}


def _rule(*, is_bound_first: bool) -> Rule:
    def left(x, y, s, e, o, k, r, d):
        bound = broadcast_in_dim(y, s, e)
        compared = compare(bound, x, o, k) if is_bound_first else compare(x, bound, o, k)
        return reduce_("add", convert(compared, r), d)

    def right(x: Value, y: Value, s: Any, e: Any, o: str, k: Any, r: Any, d: Any) -> Any:
        need(y.dtype in INTEGERS and o in TURNED and x.size > 0)
        need(r in INTEGERS or math.prod(s[i] for i in d) <= COUNTED_EXACTLY.get(r, 0))
        axis = next((i for i in d if i not in e and s[i] > 1), None)
        need(axis is not None)
        assert axis is not None
        t = _counted_from(x, axis)
        found = convert(_below(y, t, s[axis], TURNED[o] if is_bound_first else o), r)
        places = [i - (i > axis) for i in e]
        whole = broadcast_in_dim(found, without(s, (axis,)), places)
        rest = [i - (i > axis) for i in d if i != axis]
        return reduce_("add", whole, rest) if rest else whole

    right.__name__ = "count_below" + ("_turned" if is_bound_first else "")
    right.__doc__ = "Σ (t, t + 1, …, t + n - 1 < y) = clamp(t, y, t + n) - t; ≤, > and ≥ alike"
    return rule(left, numerics=BITWISE, source="counting", uses_facts=True, examples=_example)(
        right
    )


count_below = _rule(is_bound_first=False)
count_below_turned = _rule(is_bound_first=True)


def _count_example(rng: np.random.Generator) -> dict[str, Any]:
    """A number of true elements, compared with 0 or with the number of all."""
    s, t = (3, 4), str(rng.choice(["i32", "ui8", "f32"]))
    d = ((0,), (1,), (0, 1))[rng.integers(3)]
    rest = TensorType(without(s, d), t)
    count = math.prod(s[i] for i in d)
    c, o = ((0, "GT"), (0, "NE"), (0, "EQ"), (0, "LE"), (count, "EQ"), (count, "LT"))[
        rng.integers(6)
    ]
    k = "FLOAT" if t == "f32" else "UNSIGNED" if t == "ui8" else "SIGNED"
    return {"p": TensorType(s, "i1"), "t": t, "d": d, "c": splat(c, rest), "o": o, "k": k}


@rule(
    lambda p, t, d, c, o, k: compare(reduce_("add", convert(p, t), d), constant(c), o, k),
    numerics=BITWISE,
    source="counting",
    examples=_count_example,
)
def ask_instead_of_counting(p: Value, t: Any, d: Any, c: Literal, o: Any, k: Any) -> Value | None:
    """(Σ 1ₚ > 0) = any p, (Σ 1ₚ = 0) = ¬ any p, (Σ 1ₚ = n) = all p, (Σ 1ₚ < n) = ¬ all p"""
    count = math.prod(p.shape[i] for i in d)
    need(p.dtype == "i1" and count > 0 and k != "TOTALORDER")
    need(t in REALS or (t in INTEGERS and count <= np.iinfo(numpy_dtype(t)).max))
    if is_all(c, 0.0):
        need(o in ("GT", "NE", "EQ", "LE"))
        found = reduce_("or", p, d)
        return found if o in ("GT", "NE") else unary("not", found)
    need(is_all(c, count) and o in ("EQ", "GE", "LT", "NE"))
    need(t in INTEGERS or count <= COUNTED_EXACTLY.get(t, 0))
    found = reduce_("and", p, d)
    return found if o in ("EQ", "GE") else unary("not", found)


def _negated_example(rng: np.random.Generator) -> dict[str, Any]:
    """Booleans, and the dimensions along which they are counted."""
    s = tuple(rng.integers(1, 5, int(rng.integers(1, 4))).tolist())
    d = tuple(i for i in range(len(s)) if rng.random() < 0.6)
    t = str(rng.choice(["i32", "ui8", "f32", "i64"]))
    return {"p": TensorType(s, "i1"), "t": t, "d": d}


@rule(
    lambda p, t, d: reduce_("add", convert(unary("not", p), t), d),
    numerics=BITWISE,
    source="counting",
    examples=_negated_example,
)
def count_of_negated(p: Value, t: Any, d: Any) -> Value | None:
    """Σ 1₋ₚ = n - Σ 1ₚ, where type t counts to n exactly"""
    count = math.prod(p.shape[i] for i in d)
    need(p.dtype == "i1" and count > 0)
    need(t in INTEGERS or count <= COUNTED_EXACTLY.get(t, 0))
    found = reduce_("add", convert(p, t), d)
    need(t not in INTEGERS or count <= np.iinfo(numpy_dtype(t)).max)
    return subtract(full_like(found, count), found)
