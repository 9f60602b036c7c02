"""Squared deviations and distances, expanded: one pass over the data, or a matrix product.

    Σ(x - y)² = Σx² - 2Σxy + Σy²

The sums on the right cancel where x and y are close beside their size, so that
direction is APPROXIMATE. Its results stay at least 0, as sums of squares are: a root of them is a
number.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    Precision,
    add,
    broadcast_in_dim,
    constant,
    divide,
    full_like,
    maximum,
    multiply,
    reduce_,
    subtract,
)
from saturax.graph.types import TensorType
from saturax.rules.arithmetic import accumulation_dtype
from saturax.rules.conditions import REALS, is_all
from saturax.rules.einsum import Einsum, along, contract
from saturax.rules.permutations import without
from saturax.rules.rule import APPROXIMATE, ROUNDING, need, rule

SOURCE = "Σ(x - y)² = Σx² - 2Σxy + Σy²"
HIGHEST = Precision(("HIGHEST", "HIGHEST"))
Dimensions = tuple[int, ...]


def _at_least_zero(x: Value) -> Any:
    return maximum(x, full_like(x, 0))


def _square(x: Any) -> Any:
    return multiply(x, x)


def _deviation_example(rng: np.random.Generator) -> dict[str, Any]:
    rank = int(rng.integers(1, 4))
    shape = tuple(int(n) for n in rng.integers(1, 5, rank))
    d = tuple(sorted(rng.permutation(rank)[: int(rng.integers(1, rank + 1))].tolist()))
    e = without(range(rank), d)
    y = TensorType(tuple(shape[k] for k in e), "f64")
    return {"x": TensorType(shape, "f64"), "y": y, "s": shape, "e": e, "d": d}


@rule(
    lambda x, y, s, e, d: reduce_("add", _square(subtract(x, broadcast_in_dim(y, s, e))), d),
    numerics=APPROXIMATE,
    source=SOURCE,
    examples=_deviation_example,
)
def expand_squared_deviation(x: Value, y: Value, s: Any, e: Any, d: Any) -> Value | None:
    """Σ(x - bcast y)² = max(Σx² - y·(2Σx - n·y), 0), n terms in each sum, y the same in all"""
    need(x.dtype in REALS and accumulation_dtype(x.dtype) == x.dtype and x.size > 0)
    need(tuple(e) == without(range(x.rank), d) and y.shape == tuple(s[k] for k in e))
    count = prod(x.shape[k] for k in d)
    need(count > 1)
    total = reduce_("add", x, d)
    inner = subtract(multiply(total, full_like(total, 2)), multiply(y, full_like(y, count)))
    return _at_least_zero(subtract(reduce_("add", _square(x), d), multiply(y, inner)))


def _mean(x: Any, d: Any, c: Any) -> Any:
    return divide(reduce_("add", x, d), constant(c))


def _moments_example(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _deviation_example(rng)
    x, y = drawn["x"], drawn.pop("y")
    return drawn | {"c": splat(x.size // max(y.size, 1), y)}


@rule(
    lambda x, s, e, d, c: add(
        _mean(_square(subtract(x, broadcast_in_dim(_mean(x, d, c), s, e))), d, c),
        _square(_mean(x, d, c)),
    ),
    numerics=ROUNDING,
    source="Var x + (E x)² = E x²",
    examples=_moments_example,
)
def variance_plus_squared_mean(x: Value, s: Any, e: Any, d: Any, c: Literal) -> Value | None:
    """E(x - E x)² + (E x)² = E x², real"""
    need(x.dtype in REALS and x.size > 0 and tuple(e) == without(range(x.rank), d))
    need(is_all(c, prod(x.shape[k] for k in d)))
    return _mean(_square(x), d, c)


def _kept_moments_example(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _moments_example(rng)
    d, shape = drawn["d"], drawn["s"]
    kept = tuple(1 if k in d else n for k, n in enumerate(shape))
    each = drawn["c"]
    drawn |= {"u": kept, "v": tuple(drawn["e"]), "b": splat(each.value, TensorType(kept, "f64"))}
    return drawn | {"e": tuple(range(len(shape)))}


@rule(
    lambda x, s, e, d, c, b, u, v: add(
        _mean(
            _square(
                subtract(
                    x,
                    broadcast_in_dim(
                        divide(broadcast_in_dim(reduce_("add", x, d), u, v), constant(b)), s, e
                    ),
                )
            ),
            d,
            c,
        ),
        _square(_mean(x, d, c)),
    ),
    numerics=ROUNDING,
    source="Var x + (E x)² = E x²",
    examples=_kept_moments_example,
)
def kept_variance_plus_squared_mean(
    x: Value, s: Any, e: Any, d: Any, c: Literal, b: Literal, u: Any, v: Any
) -> Value | None:
    """E(x - E x)² + (E x)² = E x², where the inner mean keeps its dimensions; real"""
    count = prod(x.shape[k] for k in d)
    need(x.dtype in REALS and x.size > 0 and is_all(c, count) and is_all(b, count))
    need(tuple(e) == tuple(range(x.rank)) and tuple(v) == without(range(x.rank), d))
    need(tuple(u) == tuple(1 if k in d else n for k, n in enumerate(x.shape)))
    return _mean(_square(x), d, c)


def _distance_example(rng: np.random.Generator) -> dict[str, Any]:
    shape = tuple(int(n) for n in rng.integers(2, 5, 3))
    shared, first, second = rng.permutation(3).tolist()
    b, e = tuple(sorted((first, shared))), tuple(sorted((second, shared)))
    x, y = (TensorType(tuple(shape[k] for k in own), "f64") for own in (b, e))
    d = tuple(sorted(rng.permutation(3)[: int(rng.integers(1, 4))].tolist()))
    return {"x": x, "b": b, "y": y, "e": e, "s": shape, "d": d}


@rule(
    lambda x, b, y, e, s, d: reduce_(
        "add", _square(subtract(broadcast_in_dim(x, s, b), broadcast_in_dim(y, s, e))), d
    ),
    numerics=APPROXIMATE,
    source=SOURCE,
    examples=_distance_example,
)
def expand_squared_distance(x: Value, b: Any, y: Value, e: Any, s: Any, d: Any) -> Value | None:
    """Σ(bcast x - bcast y)² = max(m·Σx² + n·Σy² - 2 x·y, 0), m terms without x and n without y"""
    need(x.dtype in REALS and accumulation_dtype(x.dtype) == x.dtype and 0 not in s)
    need(set(b) | set(e) == set(range(len(s))))
    need(x.shape == tuple(s[k] for k in b) and y.shape == tuple(s[k] for k in e))
    kept = without(range(len(s)), d)
    need(x.size < prod(s) and y.size < prod(s) and prod(s[k] for k in d) > 1)
    size: dict[Hashable, int] = dict(enumerate(s))
    shared = tuple(k for k in d if k in b and k in e)

    def summed(z: Value, own: Dimensions) -> tuple[Value, Dimensions]:
        """What only z has is summed over, with the dimensions that are left."""
        left = tuple(k for k in own if k in shared or k not in d)
        return reduce_("add", z, tuple(own.index(k) for k in own if k not in left)), left

    def squares(z: Value, own: Dimensions) -> Any:
        total = reduce_("add", _square(z), tuple(own.index(k) for k in d if k in own))
        others = full_like(total, prod(s[k] for k in d if k not in own))
        return along(multiply(total, others), tuple(k for k in own if k not in d), kept, size)

    (u, left_of_x), (v, left_of_y) = summed(x, tuple(b)), summed(y, tuple(e))
    product = contract(u, v, Einsum(left_of_x, left_of_y, kept), HIGHEST, x.dtype)

    both = add(squares(x, tuple(b)), squares(y, tuple(e)))
    return _at_least_zero(subtract(both, multiply(product, full_like(product, 2))))
