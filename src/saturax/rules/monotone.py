"""Extrema before decreasing functions and odd powers; reductions of rolled operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    concatenate,
    constant,
    multiply,
    reduce_,
    slice_,
    subtract,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS, exactly, is_exact, need_variable
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

MONOTONE = "monotone functions preserve order"
DUAL = {"maximum": "minimum", "minimum": "maximum"}


@rule(
    lambda f, x, c, d: reduce_(f, subtract(constant(c), x), d), numerics=ROUNDING, source=MONOTONE
)
def reduce_before_minuend(f: Any, x: Value, c: Literal, d: Any) -> Value | None:
    """max(c - x) = c - min x for a finite splat c; the minimum too; real, of some elements"""
    need(f in DUAL and x.dtype in REALS and c.is_splat and bool(np.isfinite(c.value)))
    need(x.size > 0)
    result = reduce_(DUAL[f], x, d)
    return subtract(constant(Literal(c.data, result.shape)), result)


@rule(
    lambda f, x, d: reduce_(f, multiply(x, multiply(x, x)), d), numerics=ROUNDING, source=MONOTONE
)
def reduce_before_cube(f: Any, x: Value, d: Any) -> Value | None:
    """max x³ = (max x)³; the minimum too; real"""
    need(f in DUAL and x.dtype in REALS)
    result = reduce_(f, x, d)
    return multiply(result, multiply(result, result))


def _rolled(rng: np.random.Generator) -> dict[str, Any]:
    n, m = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    at = int(rng.integers(1, n))
    return {
        "x": TensorType((n, m), "f32"),
        "a": (at, 0),
        "b": (n, m),
        "u": (0, 0),
        "v": (at, m),
        "s": (1, 1),
        "k": 0,
        "d": (0,),
    }


def _need_rotation(x: Value, first: Any, second: Any, s: Any, k: int) -> None:
    """Go on if x[first] and then x[second] are all of x, turned along dimension k."""
    (a, b), (u, v) = first, second
    need(not any(u) and all(step == 1 for step in s))
    need(all(a[i] == 0 and b[i] == v[i] == x.shape[i] for i in range(x.rank) if i != k))
    need(v[k] == a[k] and b[k] == x.shape[k])


@rule(
    lambda f, x, a, b, u, v, s, k, d: reduce_(
        f, concatenate(slice_(x, a, b, s), slice_(x, u, v, s), k), d
    ),
    numerics=ROUNDING,
    source="reductions commute",
    examples=_rolled,
)
def reduce_rolled(
    f: Any, x: Value, a: Any, b: Any, u: Any, v: Any, s: Any, k: Any, d: Any
) -> Value | None:
    """reduce [x[i:], x[:i]] = reduce x along that dimension"""
    need(k in d)
    _need_rotation(x, (a, b), (u, v), s, k)
    return reduce_(f, x, d)


reduce_rolled_exactly = exactly(
    reduce_rolled,
    lambda f, x, **_: is_exact(f, x.dtype),
    examples=lambda rng: {**_rolled(rng), "f": "maximum"},
)


def _rotated(x: Any, a: Any, b: Any, u: Any, v: Any, s: Any, k: Any) -> Any:
    return concatenate(slice_(x, a, b, s), slice_(x, u, v, s), k)


@rule(
    lambda g, x, a, b, u, v, s, k: unary(g, _rotated(x, a, b, u, v, s, k)),
    numerics=BITWISE,
    source="elementwise work moves through a permutation",
    uses_facts=True,
    examples=_rolled,
    decided_by="u",
)
def unary_before_rotation(
    g: Any, x: Value, a: Any, b: Any, u: Any, v: Any, s: Any, k: Any
) -> Value | None:
    """f([x[i:], x[:i]]) = [f(x)[i:], f(x)[:i]]"""
    _need_rotation(x, (a, b), (u, v), s, k)
    need_variable(x)
    return _rotated(unary(g, x), a, b, u, v, s, k)


@rule(
    lambda g, x, y, a, b, u, v, s, k: binary(
        g, _rotated(x, a, b, u, v, s, k), _rotated(y, a, b, u, v, s, k)
    ),
    numerics=BITWISE,
    source="elementwise work moves through a permutation",
    uses_facts=True,
    examples=lambda rng: (lambda drawn: drawn | {"y": drawn["x"]})(_rolled(rng)),
    decided_by="u",
)
def binary_before_rotation(
    g: Any, x: Value, y: Value, a: Any, b: Any, u: Any, v: Any, s: Any, k: Any
) -> Value | None:
    """f([x[i:], x[:i]], [y[i:], y[:i]]) = [f(x, y)[i:], f(x, y)[:i]]"""
    _need_rotation(x, (a, b), (u, v), s, k)
    need(x.shape == y.shape)
    need_variable(x, y)
    return _rotated(binary(g, x, y), a, b, u, v, s, k)


def _two_lines(rng: np.random.Generator) -> dict[str, Any]:
    n, m = (int(k) for k in rng.integers(1, 5, 2))
    type = str(rng.choice(["f32", "f64"]))
    x, y = TensorType((n,), type), TensorType((m,), type)
    return {"x": x, "y": y, "s": (n, m), "d": (0,), "e": (1,), "r": (0, 1)}


@rule(
    lambda x, y, s, d, e, r: reduce_(
        "maximum",
        unary("abs", subtract(broadcast_in_dim(x, s, d), broadcast_in_dim(y, s, e))),
        r,
    ),
    numerics=FINITE,
    source=MONOTONE,
    examples=_two_lines,
)
def greatest_distance(x: Value, y: Value, s: Any, d: Any, e: Any, r: Any) -> Value | None:
    """max |xᵢ - yⱼ| over all i and j = max(max x - min y, max y - min x), real"""
    need(x.dtype in REALS and not set(d) & set(e) and 0 not in s)
    need(set(d) | set(e) <= set(r) and tuple(r) == tuple(range(len(s))))

    def greatest(u: Value, v: Value) -> Any:
        high = reduce_("maximum", u, range(u.rank))
        return subtract(high, reduce_("minimum", v, range(v.rank)))

    return binary("maximum", greatest(x, y), greatest(y, x))
