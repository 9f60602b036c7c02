"""x[0, i₀], x[1, i₁], …, one index in each row, as a batch of rows that are read at an index each.

`x[jnp.arange(n), i]` reads so; its derivative and `x.at[jnp.arange(n), i].set(u)` write so. As
batches they are what `jnp.take_along_axis` makes, of which other rules know more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ops import (
    SET,
    GatherDimensions,
    ScatterDimensions,
    broadcast_in_dim,
    concatenate,
    gather,
    iota,
    scatter,
)
from saturax.graph.types import TensorType
from saturax.rules.facts import iota_of
from saturax.rules.rule import BITWISE, Rule, need, rule

SOURCE = "StableHLO spec, `gather` and `scatter`: batching dimensions"


def _example(*, is_first: bool, is_scatter: bool) -> Any:
    """One place in each row of a matrix, or of a matrix of rows."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        n, m, depth = (int(k) for k in rng.integers(2, 5, 3))
        builder = GraphBuilder()
        with building(builder):
            counted = iota(0, TensorType((n,), "i32"))
            counts = builder.finish([broadcast_in_dim(counted, (n, 1), (0,))])
        x = TensorType((n, m, depth), str(rng.choice(["f32", "i32"])))
        map = (0, 1) if is_first else (1, 0)
        d = ((1,), (0, 1), (), (), map, 1)
        drawn = {"x": x, "i": counts, "j": TensorType((n, 1), "i32"), "e": 1}
        if is_scatter:
            f = str(rng.choice(["add", "maximum", SET]))
            updates = TensorType((n, depth), x.dtype)
            return drawn | {"f": f, "u": updates, "d": ScatterDimensions(*d)}
        return drawn | {"n": (1, 1, depth), "d": GatherDimensions(*d)}

    return draw


def _batched(x: Value, i: Value, j: Value, e: Any, d: Any, *, is_first: bool) -> Any:
    """The dimension numbers with row k of i at row k of x as a batch; i is a component of [i, j].

    The rule does not apply unless i counts the rows of the one dimension of x that it indexes.
    """
    counted = iota_of(i)
    need(e == d[-1] and i.shape[e] == 1 and j.shape[e] > 0 and counted is not None)
    assert counted is not None
    need(counted.offset == 0 and sorted(counted.strides) == [0] * (i.rank - 1) + [1])
    along = counted.strides.index(1)
    axis = d[4][0 if is_first else -1]
    need(along != e and axis in d[1] and i.shape[along] == x.shape[axis] and along not in d[3])
    pairs = sorted([*zip(d[2], d[3], strict=True), (axis, along)])
    dropped = tuple(k for k in d[1] if k != axis)
    own, theirs = zip(*pairs, strict=True)
    return type(d)(d[0], dropped, own, theirs, d[4][1:] if is_first else d[4][:-1], e)


def _gather_rule(*, is_first: bool) -> Rule:
    def left(x, i, j, e, d, n, b):
        return gather(x, concatenate(*((i, j) if is_first else (j, i)), e), d, n, b)

    def right(x: Value, i: Value, j: Value, e: Any, d: Any, n: Any, b: Any) -> Any:
        return gather(x, j, _batched(x, i, j, e, GatherDimensions(*d), is_first=is_first), n, False)

    right.__name__ = "gather_in_own_rows" + ("" if is_first else "_turned")
    right.__doc__ = "x[k, jₖ] for all k = a batch of rows of x, row k read at jₖ"
    examples = _example(is_first=is_first, is_scatter=False)
    return rule(left, numerics=BITWISE, source=SOURCE, uses_facts=True, examples=examples)(right)


gather_in_own_rows = _gather_rule(is_first=True)
gather_in_own_rows_turned = _gather_rule(is_first=False)


def _scatter_rule(*, is_first: bool) -> Rule:
    def left(f, x, i, j, e, u, d, b, q):
        return scatter(f, x, concatenate(*((i, j) if is_first else (j, i)), e), u, d, b, q)

    def right(
        f: Any, x: Value, i: Value, j: Value, e: Any, u: Value, d: Any, b: Any, q: Any
    ) -> Any:
        batched = _batched(x, i, j, e, ScatterDimensions(*d), is_first=is_first)
        return scatter(f, x, j, u, batched, False, q)

    right.__name__ = "scatter_in_own_rows" + ("" if is_first else "_turned")
    right.__doc__ = "x, written at (k, jₖ) for all k = a batch of rows of x, row k written at jₖ"
    examples = _example(is_first=is_first, is_scatter=True)
    return rule(left, numerics=BITWISE, source=SOURCE, uses_facts=True, examples=examples)(right)


scatter_in_own_rows = _scatter_rule(is_first=True)
scatter_in_own_rows_turned = _scatter_rule(is_first=False)
