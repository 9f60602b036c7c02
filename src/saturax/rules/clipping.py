"""Values clipped at ±c, written with signs: derivatives of losses as Huber's, shrinkage.

c is a splat above 0. What lies beyond it on either side becomes ±c; NaN stays NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    compare,
    constant,
    full_like,
    maximum,
    minimum,
    multiply,
    select,
    subtract,
    ternary,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS, is_all, where_proved
from saturax.rules.facts import never_nan
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

SIGN = "x = |x| · sign x"


def _abs(x: Any) -> Any:
    return unary("abs", x)


def _sign(x: Any) -> Any:
    return unary("sign", x)


def _clipped(x: Value, c: Literal) -> Any:
    """x between -c and c; the rule does not apply unless c is a splat above 0 and x is real."""
    need(x.dtype in REALS and c.is_splat and bool(c.value > 0))
    return ternary("clamp", full_like(x, -c.value), x, full_like(x, c.value))


def _bound(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    return {"x": type, "c": splat(float(rng.choice([0.5, 1.0, 3.0])), type), "k": "FLOAT"}


def _choice(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _bound(rng)
    return drawn | {"d": str(rng.choice(["LT", "LE"])), "e": drawn["c"]}


@rule(
    lambda x, c, d, k, e: select(
        compare(_abs(x), constant(c), d, k), x, multiply(_sign(x), constant(e))
    ),
    numerics=BITWISE,
    source=SIGN,
    examples=_choice,
)
def clip_by_choice_of_sign(x: Value, c: Literal, d: Any, k: Any, e: Literal) -> Value | None:
    """x where |x| ≤ c, else c · sign x = clamp(-c, x, c); < alike"""
    need(d in ("LT", "LE") and k == "FLOAT" and c.is_splat and e.is_splat)
    need(bool(c.value == e.value))
    return _clipped(x, c)


@rule(
    lambda x, c, d, k: select(compare(_abs(x), constant(c), d, k), x, _sign(x)),
    numerics=BITWISE,
    source=SIGN,
    examples=lambda rng: {
        n: v if n != "c" else splat(1.0, v.type) for n, v in _choice(rng).items() if n != "e"
    },
)
def clip_by_choice_of_unit_sign(x: Value, c: Literal, d: Any, k: Any) -> Value | None:
    """x where |x| ≤ 1, else sign x = clamp(-1, x, 1); < alike"""
    need(d in ("LT", "LE") and k == "FLOAT" and is_all(c, 1.0))
    return _clipped(x, c)


def _choices(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _choice(rng)
    c, x = drawn["c"], drawn["x"]
    zero, negative = splat(0.0, x), splat(-c.value, x)
    return drawn | {"z": zero, "n": negative, "o": str(rng.choice(["GT", "GE"]))}


@rule(
    lambda x, c, d, k, z, o, e, n: select(
        compare(_abs(x), constant(c), d, k),
        x,
        select(compare(x, constant(z), o, k), constant(e), constant(n)),
    ),
    numerics=FINITE,
    source=SIGN,
    uses_facts=True,
    examples=_choices,
)
def clip_by_choices(
    x: Value, c: Literal, d: Any, k: Any, z: Literal, o: Any, e: Literal, n: Literal
) -> Value | None:
    """x where |x| ≤ c, else c where x ≥ 0, else -c = clamp(-c, x, c), x not NaN; < and > alike"""
    need(d in ("LT", "LE") and o in ("GT", "GE") and k == "FLOAT" and is_all(z, 0.0))
    need(c.is_splat and e.is_splat and n.is_splat and x.dtype in REALS)
    need(bool(c.value == e.value) and bool(c.value == -n.value))
    return _clipped(x, c)


def _choices_of_numbers(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _choices(rng)
    return drawn | {"x": Literal(rng.normal(size=(2, 3)).astype(drawn["c"].data.dtype))}


clip_by_choices_where_proved = where_proved(
    clip_by_choices, lambda x, **_: never_nan(x), __name__, examples=_choices_of_numbers
)


@rule(
    lambda x, c: multiply(_sign(x), minimum(_abs(x), constant(c))),
    numerics=BITWISE,
    source=SIGN,
    examples=lambda rng: {n: v for n, v in _bound(rng).items() if n != "k"},
)
def clip_by_sign(x: Value, c: Literal) -> Value | None:
    """sign x · min(|x|, c) = clamp(-c, x, c)"""
    return _clipped(x, c)


@rule(
    lambda x, c, z: multiply(_sign(x), maximum(subtract(_abs(x), constant(c)), constant(z))),
    numerics=ROUNDING,
    source="what is left of x beyond ±c",
    examples=lambda rng: (drawn := _bound(rng)) | {"z": splat(0.0, drawn["x"])},
)
def shrink_by_sign(x: Value, c: Literal, z: Literal) -> Value | None:
    """sign x · max(|x| - c, 0) = x - clamp(-c, x, c)"""
    need(x.dtype in REALS and is_all(z, 0.0) and c.is_splat and bool(np.isfinite(c.value)))
    return subtract(x, _clipped(x, c))
