"""Sorts by keys that are in order already: a stable sort leaves everything in its place.

So the argsort of what is sorted is an iota, and a median of what is sorted needs no second sort.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import default_order, get_result, iota, reverse, sort, sort_pair
from saturax.graph.types import TensorType
from saturax.rules.indices import holds_indices
from saturax.rules.rule import BITWISE, need, rule

STABLE = "a stable sort keeps the order of equal elements"


def _drawn(rng: np.random.Generator, keys: str) -> dict[str, Any]:
    shape = tuple(int(n) for n in rng.integers(1, 5, int(rng.integers(1, 4))))
    order = default_order(keys, str(rng.choice(["LT", "GT"])))
    y = TensorType(shape, str(rng.choice(["i32", "f32"])))
    return {"y": y, "d": int(rng.integers(0, len(shape))), "o": order, "s": True}


def _sorted_twice(rng: np.random.Generator) -> dict[str, Any]:
    dtype = str(rng.choice(["f32", "i32", "ui8"]))
    drawn = _drawn(rng, dtype)
    return drawn | {"x": drawn["y"].with_dtype(dtype)}


def _sorted_by_place(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _drawn(rng, "i32")
    del drawn["s"]
    e = drawn["d"] if rng.random() < 0.5 else int(rng.integers(0, drawn["y"].rank))
    return drawn | {"t": drawn["y"].with_dtype("i32"), "e": e}


@rule(
    lambda x, y, d, o, s: get_result(sort_pair(sort(x, d, o, s), y, d, o, True), 1),
    numerics=BITWISE,
    source=STABLE,
    examples=_sorted_twice,
)
def sort_along_sorted(x: Value, y: Value, d: Any, o: Any, s: Any) -> Value | None:
    """y, taken along by the sort of what is sorted in that order, is y"""
    return y


@rule(
    lambda y, e, t, d, o: get_result(sort_pair(iota(e, t), y, d, o, True), 1),
    numerics=BITWISE,
    source=STABLE,
    examples=_sorted_by_place,
)
def sort_along_iota(y: Value, e: Any, t: TensorType, d: Any, o: Any) -> Value | None:
    """y, taken along by the sort of an iota, is y, or its reverse"""
    need(holds_indices(t.dtype, t.shape[e]))
    return reverse(y, (d,)) if e == d and o[0] == "GT" else y
