"""Contractions with a few columns that are one number, as of an intercept beside features.

Letters as in `contraction`: dimension numbers d, precision p, result type t.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    add,
    broadcast_in_dim,
    concatenate,
    constant,
    convert,
    dot_general,
    full_like,
    multiply,
    reduce_,
    slice_dimension,
)
from saturax.graph.types import TensorType, accumulation_dtype
from saturax.rules.arithmetic import is_uniform
from saturax.rules.einsum import einsum_of
from saturax.rules.rule import ROUNDING, need, rule

SUM = "a sum may be taken in parts"
_LEAST_COLUMNS = 4
"""So many times as many columns are not constant: what is added besides is little."""


def _with_ones(rng: np.random.Generator) -> dict[str, Any]:
    c = float(rng.choice([1.0, 1.0, 0.5, -2.0]))
    d = DotDimensions((), (), (1,), (0,))
    own = {"x": TensorType((3, 5), "f64"), "c": splat(c, TensorType((3, 1), "f64"))}
    return own | {"y": TensorType((6, 2), "f64"), "i": 1, "d": d, "t": "f64"}


def _turned(drawn: dict[str, Any]) -> dict[str, Any]:
    """The same with transposed operands in turn."""
    x, c, y = drawn["x"], drawn["c"], drawn["y"]
    types = {"x": x.with_shape(x.shape[::-1]), "y": y.with_shape(y.shape[::-1])}
    return drawn | types | {"c": splat(c.value, c.type.with_shape(c.type.shape[::-1])), "i": 0}


@rule(
    lambda x, c, y, i, d, p, t: dot_general(concatenate(x, constant(c), i), y, d, p, t),
    numerics=ROUNDING,
    source=SUM,
    examples=_with_ones,
)
def add_constant_columns_of_left_operand(
    x: Value, c: Literal, y: Value, i: int, d: Any, p: Any, t: str
) -> Any:
    """[x, c] · y = x · y[:n] + c·Σ y[n:] for a few columns that are one number: an intercept"""
    return _intercept(x, c, i, y, DotDimensions(*d), p, t, is_first=False, is_left=True)


@rule(
    lambda x, c, y, i, d, p, t: dot_general(concatenate(constant(c), x, i), y, d, p, t),
    numerics=ROUNDING,
    source=SUM,
    examples=_with_ones,
)
def add_first_constant_columns_of_left_operand(
    x: Value, c: Literal, y: Value, i: int, d: Any, p: Any, t: str
) -> Any:
    """[c, x] · y = c·Σ y[:n] + x · y[n:] for a few columns that are one number: an intercept"""
    return _intercept(x, c, i, y, DotDimensions(*d), p, t, is_first=True, is_left=True)


@rule(
    lambda x, c, y, i, d, p, t: dot_general(y, concatenate(x, constant(c), i), d, p, t),
    numerics=ROUNDING,
    source=SUM,
    examples=lambda rng: _turned(_with_ones(rng)),
)
def add_constant_rows_of_right_operand(
    x: Value, c: Literal, y: Value, i: int, d: Any, p: Any, t: str
) -> Any:
    """y · [x; c] = y[:, :n] · x + c·Σ y[:, n:] for a few rows that are one number"""
    return _intercept(x, c, i, y, DotDimensions(*d), p, t, is_first=False, is_left=False)


@rule(
    lambda x, c, y, i, d, p, t: dot_general(y, concatenate(constant(c), x, i), d, p, t),
    numerics=ROUNDING,
    source=SUM,
    examples=lambda rng: _turned(_with_ones(rng)),
)
def add_first_constant_rows_of_right_operand(
    x: Value, c: Literal, y: Value, i: int, d: Any, p: Any, t: str
) -> Any:
    """y · [c; x] = c·Σ y[:, :n] + y[:, n:] · x for a few rows that are one number"""
    return _intercept(x, c, i, y, DotDimensions(*d), p, t, is_first=True, is_left=False)


def _intercept(
    x: Value, c: Literal, i: int, y: Value, d: DotDimensions, p: Precision, t: str,
    is_first: bool, is_left: bool,
) -> Any:  # fmt: skip
    """The contraction of x with its part of y, and what the constant columns add to it.

    As in the contraction of both together, sums are rounded to narrow floats at the end only.
    """
    wide = accumulation_dtype(t)
    own, other = d.lhs_contract, d.rhs_contract
    if not is_left:
        own, other = other, own
    columns = c.type.shape[i]
    need(c.is_splat and own == (i,) and is_uniform(t, x, y) and x.size > 0)
    need(np.isfinite(complex(c.value)) and _LEAST_COLUMNS * columns <= x.shape[i])
    (axis,) = other
    n = y.shape[axis]
    cut = columns if is_first else n - columns
    before, after = slice_dimension(y, axis, 0, cut), slice_dimension(y, axis, cut, n)
    part, weights = (after, before) if is_first else (before, after)
    left, right = (x, part) if is_left else (part, x)
    product = dot_general(left, right, d, p, wide)
    labels = einsum_of(d, left.rank, right.rank)
    kept = [label for k, label in enumerate(labels.y if is_left else labels.x) if k != axis]
    total = reduce_("add", convert(weights, wide), (axis,))
    added = broadcast_in_dim(total, product.shape, [labels.result.index(label) for label in kept])
    return convert(add(product, multiply(added, full_like(added, c.value))), t)
