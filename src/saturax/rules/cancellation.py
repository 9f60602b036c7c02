"""Sums and differences whose terms cancel.

Of variables only where they are finite (∞ - ∞ is NaN); of finite constants always, up to rounding;
of integers in every bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import add, broadcast_in_dim, constant, multiply, negate, reshape, subtract
from saturax.rules.conditions import (
    REALS,
    double_constants,
    for_integers,
    is_all,
    is_small,
    where_proved,
)
from saturax.rules.facts import is_finite
from saturax.rules.rule import FINITE, ROUNDING, need, rule

RING = "ring axioms"


@rule(lambda x, y, z: subtract(add(x, z), add(y, z)), numerics=FINITE, source=RING)
def cancel_common_addend(x: Value, y: Value, z: Value) -> Value | None:
    """(x + z) - (y + z) = x - y"""
    return subtract(x, y)


cancel_common_addend_exactly = for_integers(cancel_common_addend)


@rule(lambda x, y, z: subtract(subtract(x, z), subtract(y, z)), numerics=FINITE, source=RING)
def cancel_common_subtrahend(x: Value, y: Value, z: Value) -> Value | None:
    """(x - z) - (y - z) = x - y"""
    return subtract(x, y)


cancel_common_subtrahend_exactly = for_integers(cancel_common_subtrahend)


@rule(
    lambda x, y, z, s: subtract(reshape(subtract(x, z), s), reshape(subtract(y, z), s)),
    numerics=FINITE,
    source=RING,
)
def cancel_common_subtrahend_of_reshaped(x: Value, y: Value, z: Value, s: Any) -> Value | None:
    """reshape(x - z) - reshape(y - z) = reshape(x - y)"""
    return reshape(subtract(x, y), s)


cancel_common_subtrahend_of_reshaped_exactly = for_integers(cancel_common_subtrahend_of_reshaped)


@rule(lambda x, y, z: subtract(subtract(z, x), subtract(z, y)), numerics=FINITE, source=RING)
def cancel_common_minuend(x: Value, y: Value, z: Value) -> Value | None:
    """(z - x) - (z - y) = y - x"""
    return subtract(y, x)


cancel_common_minuend_exactly = for_integers(cancel_common_minuend)


@rule(lambda x, y, z: add(subtract(x, z), subtract(z, y)), numerics=FINITE, source=RING)
def cancel_between_differences(x: Value, y: Value, z: Value) -> Value | None:
    """(x - z) + (z - y) = x - y"""
    return subtract(x, y)


cancel_between_differences_exactly = for_integers(cancel_between_differences)


@rule(lambda x, y, z: add(add(x, z), subtract(y, z)), numerics=FINITE, source=RING)
def cancel_between_sum_and_difference(x: Value, y: Value, z: Value) -> Value | None:
    """(x + z) + (y - z) = x + y"""
    return add(x, y)


cancel_between_sum_and_difference_exactly = for_integers(cancel_between_sum_and_difference)


@rule(lambda x, y: subtract(x, add(x, y)), numerics=FINITE, source=RING)
def subtract_sum_from_addend(x: Value, y: Value) -> Value | None:
    """x - (x + y) = -y"""
    return negate(y)


subtract_sum_from_addend_exactly = for_integers(subtract_sum_from_addend)


@rule(lambda x, y: subtract(subtract(x, y), x), numerics=FINITE, source=RING)
def subtract_minuend(x: Value, y: Value) -> Value | None:
    """(x - y) - x = -y"""
    return negate(y)


subtract_minuend_exactly = for_integers(subtract_minuend)


@rule(
    lambda x, y, c: subtract(add(x, constant(c)), add(y, constant(c))),
    numerics=ROUNDING,
    source=RING,
)
def cancel_common_constant(x: Value, y: Value, c: Literal) -> Value | None:
    """(x + c) - (y + c) = x - y for a finite constant c"""
    need(is_small(c) and c.type.dtype in REALS and bool(np.all(np.isfinite(c.data))))
    return subtract(x, y)


@rule(
    lambda x, y, z, s, d: subtract(
        add(x, broadcast_in_dim(z, s, d)), broadcast_in_dim(add(y, z), s, d)
    ),
    numerics=FINITE,
    source=RING,
)
def cancel_common_broadcast(x: Value, y: Value, z: Value, s: Any, d: Any) -> Value | None:
    """(x + bcast z) - bcast(y + z) = x - bcast y"""
    return subtract(x, broadcast_in_dim(y, s, d))


@rule(
    lambda x, y, z, s, d: subtract(
        subtract(x, broadcast_in_dim(z, s, d)), broadcast_in_dim(subtract(y, z), s, d)
    ),
    numerics=FINITE,
    source=RING,
)
def cancel_common_broadcast_subtrahend(
    x: Value, y: Value, z: Value, s: Any, d: Any
) -> Value | None:
    """(x - bcast z) - bcast(y - z) = x - bcast y"""
    return subtract(x, broadcast_in_dim(y, s, d))


@rule(
    lambda x, y, c, e, s, d: subtract(
        add(x, constant(c)), broadcast_in_dim(add(y, constant(e)), s, d)
    ),
    numerics=ROUNDING,
    source=RING,
)
def cancel_common_splat(x: Value, y: Value, c: Literal, e: Literal, s: Any, d: Any) -> Value | None:
    """(x + c) - bcast(y + c) = x - bcast y for a finite splat c"""
    need(c.is_splat and e.is_splat and c.type.dtype in REALS)
    need(bool(np.isfinite(c.value)) and c.value == e.value)
    return subtract(x, broadcast_in_dim(y, s, d))


@rule(
    lambda x, y, z, c: add(multiply(subtract(constant(c), z), x), multiply(z, y)),
    numerics=ROUNDING,
    source=RING,
)
def interpolate(x: Value, y: Value, z: Value, c: Literal) -> Value | None:
    """(1 - z) · x + z · y = x + z · (y - x), real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return add(x, multiply(z, subtract(y, x)))


@rule(
    lambda x, z, c: add(multiply(subtract(constant(c), z), x), multiply(z, x)),
    numerics=FINITE,
    source=RING,
)
def mix_with_itself(x: Value, z: Value, c: Literal) -> Value | None:
    """(1 - z) · x + z · x = x, real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return x


mix_with_itself_where_proved = where_proved(
    mix_with_itself,
    lambda x, z, **_: is_finite(x) and is_finite(z),
    __name__,
    examples=double_constants("x", "z"),
)
