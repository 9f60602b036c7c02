"""Order that was looked for already: the largest of the largest, of what is sorted, sorted parts.

Equal elements, and 0 beside -0, may change places: exact on integers, and where no order changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    concatenate,
    default_order,
    get_result,
    iota,
    reduce_,
    slice_dimension,
    sort,
    top_k,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import INTEGERS, exactly, for_integers
from saturax.rules.extrema import EXTREMUM, TOP_K
from saturax.rules.ordering import SORT
from saturax.rules.rule import BITWISE, ROUNDING, need, rule


def _largest(rng: np.random.Generator) -> dict[str, Any]:
    """The m largest of the k largest."""
    n = int(rng.integers(1, 7))
    k = int(rng.integers(1, n + 1))
    x = TensorType((2, n), str(rng.choice(["f32", "i32", "ui8"])))
    return {"x": x, "k": k, "m": int(rng.integers(1, k + 1))}


@rule(
    lambda x, k, m: get_result(top_k(get_result(top_k(x, k), 0), m), 0),
    numerics=BITWISE,
    source=TOP_K,
    examples=_largest,
)
def values_of_top_of_top(x: Value, k: Any, m: Any) -> Value | None:
    """The m largest of the k largest are the first m of them"""
    found = get_result(top_k(x, k), 0)
    return slice_dimension(found, x.rank - 1, 0, m)


@rule(
    lambda x, k, m: get_result(top_k(get_result(top_k(x, k), 0), m), 1),
    numerics=BITWISE,
    source=TOP_K,
    examples=_largest,
)
def places_of_top_of_top(x: Value, k: Any, m: Any) -> Value | None:
    """The m largest of the k largest are in places 0, 1, …, m - 1"""
    return iota(x.rank - 1, TensorType((*x.shape[:-1], m), "i32"))


@rule(
    lambda f, x, k, d: reduce_(f, get_result(top_k(x, k), 0), d),
    numerics=ROUNDING,
    source=EXTREMUM,
    examples=lambda rng: {
        "f": "maximum",
        "d": (1,),
        "k": int(rng.integers(1, 4)),
        "x": TensorType((2, 4), str(rng.choice(["f32", "i32"]))),
    },
)
def greatest_of_top(f: Any, x: Value, k: Any, d: Any) -> Value | None:
    """The greatest of the k largest is max x"""
    need(f == "maximum" and x.rank - 1 in d and k > 0 and x.dtype != "i1")
    return reduce_(f, x, d)


greatest_of_top_exactly = for_integers(greatest_of_top)


@rule(
    lambda x, d, o, s, k: get_result(top_k(sort(x, d, o, s), k), 0),
    numerics=ROUNDING,
    source=TOP_K,
    examples=lambda rng: _sorted_last(rng, "f32", "i32"),
)
def top_of_sorted(x: Value, d: Any, o: Any, s: Any, k: Any) -> Value | None:
    """The k largest of sort x are those of x"""
    need(d == x.rank - 1)
    return get_result(top_k(x, k), 0)


top_of_sorted_exactly = exactly(
    top_of_sorted,
    lambda x, **_: x.dtype in INTEGERS,
    lambda rng: _sorted_last(rng, "i32", "ui8"),
)


def _sorted_last(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    n, dtype = int(rng.integers(1, 6)), str(rng.choice(dtypes))
    x, k = TensorType((2, n), dtype), int(rng.integers(1, n + 1))
    return {"x": x, "d": 1, "o": default_order(dtype, str(rng.choice(["LT", "GT"]))), "k": k}


def _joined(rng: np.random.Generator, *dtypes: str) -> dict[str, Any]:
    """A sorted part and another one, joined along the sorted dimension."""
    dtype, d = str(rng.choice(dtypes or ("f32", "i32"))), int(rng.integers(2))
    shapes = [list(map(int, rng.integers(1, 5, 2))) for _ in range(2)]
    shapes[1][1 - d] = shapes[0][1 - d]
    x, y = (TensorType(tuple(shape), dtype) for shape in shapes)
    order = {"o": default_order(dtype), "v": default_order(dtype, str(rng.choice(["LT", "GT"])))}
    return {"x": x, "y": y, "d": d, **order}


def _on_integers(**arguments: Any) -> bool:
    return arguments["x"].dtype in INTEGERS


@rule(
    lambda x, y, d, o, s, v, t: sort(concatenate(sort(x, d, v, t), y, d), d, o, s),
    numerics=ROUNDING,
    source=SORT,
    examples=_joined,
)
def sort_first_part_once(
    x: Value, y: Value, d: Any, o: Any, s: Any, v: Any, t: Any
) -> Value | None:
    """sort [sort x, y] = sort [x, y]"""
    return sort(concatenate(x, y, d), d, o, s)


sort_first_part_once_exactly = exactly(
    sort_first_part_once, _on_integers, lambda rng: _joined(rng, "i32", "ui8")
)


@rule(
    lambda x, y, d, o, s, v, t: sort(concatenate(x, sort(y, d, v, t), d), d, o, s),
    numerics=ROUNDING,
    source=SORT,
    examples=_joined,
)
def sort_second_part_once(
    x: Value, y: Value, d: Any, o: Any, s: Any, v: Any, t: Any
) -> Value | None:
    """sort [x, sort y] = sort [x, y]"""
    return sort(concatenate(x, y, d), d, o, s)


sort_second_part_once_exactly = exactly(
    sort_second_part_once, _on_integers, lambda rng: _joined(rng, "i32", "ui8")
)
