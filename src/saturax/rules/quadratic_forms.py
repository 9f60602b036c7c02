"""Quadratic forms of vectors: only the symmetric part of the matrix counts.

xᵀ·(a - aᵀ)·x = 0        xᵀ·(a + aᵀ)·x = 2·xᵀ·a·x
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    binary,
    dot_general,
    full,
    full_like,
    multiply,
    transpose,
)
from saturax.graph.types import TensorType
from saturax.rules.arithmetic import is_uniform
from saturax.rules.rule import FINITE, ROUNDING, Examples, Rule, need, rule

SOURCE = "xᵀ·a·x = xᵀ·aᵀ·x"
VECTORS = DotDimensions((), (), (0,), (0,))

Form = Callable[..., Any]


def _product_first(s: Any, x: Any, d: Any, e: Any, p: Any, q: Any, t: Any) -> Any:
    """(s·x)·x, or with sᵀ as the dimension numbers d say."""
    return dot_general(dot_general(s, x, d, p, t), x, e, q, t)


def _vector_first(s: Any, x: Any, d: Any, e: Any, p: Any, q: Any, t: Any) -> Any:
    """x·(s·x), or with sᵀ."""
    return dot_general(x, dot_general(s, x, d, p, t), e, q, t)


def _example(f: str) -> Examples:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        n, own = int(rng.integers(2, 5)), int(rng.integers(0, 2))
        dtype = str(rng.choice(["f32", "f64", "i32"]))
        d = DotDimensions((), (), (own,), (0,))
        a, x = TensorType((n, n), dtype), TensorType((n,), dtype)
        return {"f": f, "a": a, "x": x, "w": (1, 0), "d": d, "e": VECTORS, "t": dtype}

    return draw


def _need_form(a: Value, x: Value, w: Any, d: Any, e: Any, t: str) -> None:
    """A square matrix beside its transpose, between equal vectors."""
    d, e = DotDimensions(*d), DotDimensions(*e)
    need(a.rank == 2 and x.rank == 1 and tuple(w) == (1, 0) and is_uniform(t, a, x))
    need(not d.lhs_batch and len(d.lhs_contract) == 1 and e == VECTORS)


def _skew(form: Form, name: str) -> Rule:
    def right(
        f: Any, a: Value, w: Any, x: Value, d: Any, e: Any, p: Precision, q: Precision, t: str
    ) -> Value | None:
        """xᵀ·(a - aᵀ)·x = 0, x a vector"""
        need(f == "subtract")
        _need_form(a, x, w, d, e, t)
        return full(0, TensorType((), t))

    right.__name__ = name
    return rule(
        lambda f, a, w, x, d, e, p, q, t: form(binary(f, a, transpose(a, w)), x, d, e, p, q, t),
        numerics=FINITE,
        source=SOURCE,
        examples=_example("subtract"),
    )(right)


form_of_skew_part = _skew(_product_first, "form_of_skew_part")
form_of_skew_part_from_left = _skew(_vector_first, "form_of_skew_part_from_left")


def _symmetric(form: Form, name: str) -> Rule:
    def right(
        f: Any, a: Value, w: Any, x: Value, d: Any, e: Any, p: Precision, q: Precision, t: str
    ) -> Value | None:
        """xᵀ·(a + aᵀ)·x = 2·xᵀ·a·x, x a vector"""
        need(f == "add")
        _need_form(a, x, w, d, e, t)
        found = form(a, x, d, e, p, q, t)
        return multiply(found, full_like(found, 2))

    right.__name__ = name
    return rule(
        lambda f, a, w, x, d, e, p, q, t: form(binary(f, a, transpose(a, w)), x, d, e, p, q, t),
        numerics=ROUNDING,
        source=SOURCE,
        examples=_example("add"),
    )(right)


form_of_symmetric_part = _symmetric(_product_first, "form_of_symmetric_part")
form_of_symmetric_part_from_left = _symmetric(_vector_first, "form_of_symmetric_part_from_left")
