"""The recurrences of log Γ and of its derivative, digamma.

Away from the poles at 0, -1, -2, …, where both sides of each difference are infinite.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import add, constant, divide, full_like, subtract, unary
from saturax.rules.conditions import REALS, is_all, where_proved
from saturax.rules.facts import is_positive
from saturax.rules.rule import APPROXIMATE, need, rule

RECURRENCE = "Γ(x + 1) = x · Γ(x)"


def _after_one(rng: np.random.Generator) -> dict[str, Any]:
    """Positive numbers, and ones."""
    x = Literal(rng.uniform(0.5, 9.0, (3, 2)))
    return {"x": x, "c": Literal(np.asarray(1.0), (3, 2))}


def _difference(f: str) -> Any:
    """f(x + c) - f(x)."""
    return lambda x, c: subtract(unary(f, add(x, constant(c))), unary(f, x))


@rule(_difference("chlo.lgamma"), numerics=APPROXIMATE, source=RECURRENCE, examples=_after_one)
def log_gamma_recurrence(x: Value, c: Literal) -> Value | None:
    """log Γ(x + 1) - log Γ(x) = log x, x > 0"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return unary("log", x)


log_gamma_recurrence_where_proved = where_proved(
    log_gamma_recurrence, lambda x, **_: is_positive(x), __name__, examples=_after_one
)


@rule(_difference("chlo.digamma"), numerics=APPROXIMATE, source=RECURRENCE, examples=_after_one)
def digamma_recurrence(x: Value, c: Literal) -> Value | None:
    """ψ(x + 1) - ψ(x) = 1 / x, x > 0"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return divide(full_like(x, 1), x)


digamma_recurrence_where_proved = where_proved(
    digamma_recurrence, lambda x, **_: is_positive(x), __name__, examples=_after_one
)
