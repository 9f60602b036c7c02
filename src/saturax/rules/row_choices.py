"""Choices of whole rows, before what is computed along the rows: reductions and sorts.

`quantile` and `median` put NaN in place of every row that has a NaN in it, and then sort; masks of
padded sequences put a constant in place of whole rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    broadcast_in_dim,
    compare,
    constant,
    default_order,
    reduce_,
    reshape,
    select,
    sort,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.conditions import REALS
from saturax.rules.permutations import without
from saturax.rules.rule import BITWISE, need, rule

SELECT = "StableHLO spec, `select`"


def _is_one_along(p: Value, t: Any, e: Any, d: Any) -> bool:
    """Whether p, broadcast to the shape t, is the same along the dimensions d."""
    return all(t[j] == 1 or j not in d or p.shape[i] == 1 for i, j in enumerate(e))


def _chosen(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    """A constant where p, which is the same along the last dimensions, and rows of x."""
    shape = tuple(rng.integers(1, 4, int(rng.integers(1, 4))).tolist())
    first = int(rng.integers(0, len(shape)))
    x = TensorType(shape, str(rng.choice(dtypes or ("f32", "i32"))))
    value = rng.choice([0.0, 1.0, np.nan, -np.inf]) if x.dtype == "f32" else rng.integers(-3, 3)
    e = tuple(range(first))
    p = TensorType(shape[:first], "i1")
    return {"p": p, "t": shape, "e": e, "c": splat(value, x), "x": x}


def _sorted(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _chosen(rng)
    return drawn | {"d": len(drawn["t"]) - 1, "o": default_order(drawn["x"].dtype), "s": True}


def _reduced(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _chosen(rng)
    d = tuple(range(len(drawn["e"]), len(drawn["t"])))
    return drawn | {"f": str(rng.choice(["maximum", "minimum"])), "d": d}


@rule(
    lambda p, t, e, c, x, d, o, s: sort(select(broadcast_in_dim(p, t, e), constant(c), x), d, o, s),
    numerics=BITWISE,
    source=SELECT,
    examples=_sorted,
    special=("c",),
)
def sort_before_choice_of_rows(
    p: Value, t: Any, e: Any, c: Literal, x: Value, d: Any, o: Any, s: Any
) -> Value | None:
    """sort(c where bcast p, else x) = c where bcast p, else sort x, for rows chosen as a whole"""
    need(c.is_splat and _is_one_along(p, t, e, (d,)))
    return select(broadcast_in_dim(p, t, e), constant(c), sort(x, d, o, s))


@rule(
    lambda f, p, t, e, c, x, d: reduce_(f, select(broadcast_in_dim(p, t, e), constant(c), x), d),
    numerics=BITWISE,
    source=SELECT,
    examples=_reduced,
    special=("c",),
)
def reduce_before_choice_of_rows(
    f: Any, p: Value, t: Any, e: Any, c: Literal, x: Value, d: Any
) -> Value | None:
    """max(c where bcast p, else x) = c where bcast p, else max x, for rows chosen as a whole"""
    need(f in ("maximum", "minimum", "and", "or") and not is_complex(x.dtype))
    need(c.is_splat and x.size > 0 and _is_one_along(p, t, e, d))
    own = [i for i, j in enumerate(e) if j in d]
    kept = without(range(x.rank), d)
    places = [kept.index(j) for j in e if j not in d]
    reduced = reduce_(f, x, d)
    chosen = broadcast_in_dim(reshape(p, without(p.shape, own)), reduced.shape, places)
    return select(chosen, constant(Literal(c.data, reduced.shape)), reduced)


@rule(
    lambda f, x, k, d, c: select(
        reduce_("or", compare(x, x, "NE", k), d), constant(c), reduce_(f, x, d)
    ),
    numerics=BITWISE,
    source="IEEE 754-2019, maximum: NaN if an operand is",
    special=("c",),
    examples=lambda rng: _guarded(rng),
)
def drop_guard_of_reduction(f: Any, x: Value, k: Any, d: Any, c: Literal) -> Value | None:
    """NaN where any x is NaN, else max x = max x, which is NaN there; min, Σ and Π too; real"""
    need(f in ("maximum", "minimum", "add", "multiply") and x.dtype in REALS and k == "FLOAT")
    need(c.is_splat and bool(np.isnan(c.value)))
    return reduce_(f, x, d)


def _guarded(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _chosen(rng, "f32")
    d = tuple(range(len(drawn["e"]), len(drawn["t"])))
    result = drawn["x"].with_shape(without(drawn["t"], d))
    f = str(rng.choice(["maximum", "minimum"]))
    return {"f": f, "x": drawn["x"], "k": "FLOAT", "d": d, "c": splat(np.nan, result)}
