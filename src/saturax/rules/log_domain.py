"""Weights in the log domain: exponentials, softmax, logsumexp and logistic of logarithms."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ops import (
    add,
    broadcast_in_dim,
    compare,
    divide,
    full_like,
    reduce_,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS
from saturax.rules.permutations import without
from saturax.rules.rule import FINITE, ROUNDING, need, rule

EXPONENTIAL = "exp is a homomorphism from (ℝ, +) to (ℝ⁺, ·)"
Dimensions = tuple[int, ...]


def _exp(x: Any) -> Any:
    return unary("exponential", x)


def _log(x: Any) -> Any:
    return unary("log", x)


@rule(lambda x, y: _exp(subtract(_log(x), y)), numerics=ROUNDING, source=EXPONENTIAL)
def exponential_of_log_minus(x: Value, y: Value) -> Value | None:
    """exp(log x - y) = x / exp y where x ≥ 0, else NaN; real"""
    need(x.dtype in REALS)
    is_defined = compare(x, full_like(x, 0), "GE")
    return select(is_defined, divide(x, _exp(y)), full_like(x, np.nan))


@rule(
    lambda x, y: unary("logistic", _log(divide(x, y))),
    numerics=FINITE,
    source="logistic x = eˣ / (eˣ + 1)",
)
def logistic_of_log_ratio_where_defined(x: Value, y: Value) -> Value | None:
    """logistic(log(x / y)) = x / (x + y), where the logarithm is defined"""
    need(x.dtype in REALS)
    return divide(x, add(x, y))


def _shifted(x: Any, m: Any, s: Any, e: Any) -> Any:
    return _exp(subtract(_log(x), broadcast_in_dim(m, s, e)))


def _weights(rng: np.random.Generator) -> dict[str, Any]:
    """Positive numbers, what is subtracted from their logarithms, and where they are added up."""
    shape = tuple(int(n) for n in rng.integers(2, 5, int(rng.integers(1, 4))))
    d = tuple(i for i in range(len(shape)) if i == 0 or rng.random() < 0.4)
    e = without(range(len(shape)), d)
    builder = GraphBuilder((TensorType(shape, "f64"),))
    with building(builder):
        x = builder.finish([_exp(builder.parameters[0])])
    m = TensorType(tuple(shape[i] for i in e), "f64")
    return {"x": x, "m": m, "s": shape, "e": e, "d": d, "t": shape, "g": e}


def _need_rows(x: Value, e: Dimensions, d: Dimensions, t: Dimensions, g: Dimensions) -> None:
    """Go on if sums along d are repeated along d, and so is what is broadcast along e."""
    need(x.dtype in REALS and x.size > 0 and not set(e) & set(d))
    need(tuple(g) == without(range(x.rank), d) and tuple(t) == x.shape)


@rule(
    lambda x, m, s, e, d, t, g: divide(
        _shifted(x, m, s, e), broadcast_in_dim(reduce_("add", _shifted(x, m, s, e), d), t, g)
    ),
    numerics=FINITE,
    source=EXPONENTIAL,
    examples=_weights,
)
def softmax_of_logarithms(
    x: Value, m: Value, s: Any, e: Dimensions, d: Dimensions, t: Dimensions, g: Dimensions
) -> Value | None:
    """softmax(log x) = x / bcast(Σ x), where log x is defined"""
    _need_rows(x, e, d, t, g)
    return divide(x, broadcast_in_dim(reduce_("add", x, d), t, g))


@rule(
    lambda x, m, s, e, d: add(_log(reduce_("add", _shifted(x, m, s, e), d)), m),
    numerics=FINITE,
    source=EXPONENTIAL,
    examples=lambda rng: {k: v for k, v in _weights(rng).items() if k not in ("t", "g")},
)
def logsumexp_of_logarithms(
    x: Value, m: Value, s: Any, e: Dimensions, d: Dimensions
) -> Value | None:
    """log Σ exp(log x - bcast m) + m = log Σ x, where log x is defined"""
    _need_rows(x, e, d, x.shape, without(range(x.rank), d))
    need(e == without(range(x.rank), d))
    return _log(reduce_("add", x, d))


# ------------------------------------------------------------------ sums of exponentials


def normaliser(x: Any, s: Any, b: Any, d: Any) -> Any:
    """Σ exp(x - max x) along d."""
    return reduce_("add", _exp(subtract(x, broadcast_in_dim(reduce_("maximum", x, d), s, b))), d)


def _rows(rng: np.random.Generator) -> dict[str, Any]:
    shape = tuple(int(n) for n in rng.integers(1, 4, int(rng.integers(1, 4))))
    axis = int(rng.integers(0, len(shape)))
    kept = tuple(i for i in range(len(shape)) if i != axis)
    return {"x": TensorType(shape, "f64"), "s": shape, "b": kept, "d": (axis,)}


@rule(
    lambda x, s, b, d: divide(normaliser(x, s, b, d), normaliser(x, s, b, d)),
    numerics=FINITE,
    source="the greatest term is 1",
    examples=_rows,
)
def normaliser_by_itself(x: Value, s: Any, b: Any, d: Any) -> Value | None:
    """t / t = 1 for t = Σ exp(x - max x), which is at least 1; real"""
    need(x.dtype in REALS and x.size > 0)
    need(tuple(s) == x.shape and tuple(b) == tuple(i for i in range(x.rank) if i not in d))
    return full_like(reduce_("add", x, d), 1)
