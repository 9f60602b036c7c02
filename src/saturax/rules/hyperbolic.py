"""Hyperbolic functions, their inverses, and the exponentials that they are written with."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    add,
    compare,
    constant,
    divide,
    full_like,
    maximum,
    multiply,
    negate,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS, double_constants, folded, is_all, is_ordinary
from saturax.rules.rule import FINITE, ROUNDING, Examples, need, rule

DEFINITION = "tanh x = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)"
HYPERBOLIC = "hyperbolic Pythagoras, eˣ = cosh x + sinh x"
INVERSE = "inverse functions"

INVERSES = {
    "chlo.sinh": "chlo.asinh",
    "chlo.asinh": "chlo.sinh",
    "chlo.atanh": "tanh",
    "chlo.atan": "tan",
    "chlo.erf_inv": "chlo.erf",
    "exponential_minus_one": "log_plus_one",
}
"""Functions f and the g with g(f(x)) = x for every x in the domain of f."""

PARTIAL_INVERSES = {
    "tanh": "chlo.atanh",
    "log_plus_one": "exponential_minus_one",
    "chlo.asin": "sine",
    "chlo.acos": "cosine",
    "chlo.acosh": "chlo.cosh",
}
"""The same where both are computed without overflow or NaN: where f is defined."""


def _exp(x: Any) -> Any:
    return unary("exponential", x)


def _sinh(x: Any) -> Any:
    return unary("chlo.sinh", x)


def _cosh(x: Any) -> Any:
    return unary("chlo.cosh", x)


def _half(x: Value) -> Value:
    return multiply(x, full_like(x, 0.5))


@rule(lambda x: divide(_sinh(x), _cosh(x)), numerics=ROUNDING, source=DEFINITION)
def recognize_tanh(x: Value) -> Value | None:
    """sinh x / cosh x = tanh x, x real"""
    need(x.dtype in REALS)
    return unary("tanh", x)


@rule(lambda x: multiply(unary("tanh", x), _cosh(x)), numerics=ROUNDING, source=DEFINITION)
def multiply_tanh_by_cosh(x: Value) -> Value | None:
    """tanh x · cosh x = sinh x, x real"""
    need(x.dtype in REALS)
    return _sinh(x)


@rule(
    lambda x: divide(subtract(_exp(x), _exp(negate(x))), add(_exp(x), _exp(negate(x)))),
    numerics=ROUNDING,
    source=DEFINITION,
)
def recognize_tanh_of_exponentials(x: Value) -> Value | None:
    """(eˣ - e⁻ˣ) / (eˣ + e⁻ˣ) = tanh x, x real"""
    need(x.dtype in REALS)
    return unary("tanh", x)


@rule(
    lambda x, c, d: divide(add(_exp(x), constant(c)), add(_exp(x), constant(d))),
    numerics=ROUNDING,
    source=DEFINITION,
)
def recognize_tanh_of_half(x: Value, c: Literal, d: Literal) -> Value | None:
    """(eˣ - 1) / (eˣ + 1) = tanh(x / 2), x real"""
    need(x.dtype in REALS and is_all(c, -1.0) and is_all(d, 1.0))
    return unary("tanh", _half(x))


@rule(
    lambda x, c, d: divide(subtract(constant(c), _exp(x)), add(_exp(x), constant(d))),
    numerics=ROUNDING,
    source=DEFINITION,
)
def recognize_negative_tanh_of_half(x: Value, c: Literal, d: Literal) -> Value | None:
    """(1 - eˣ) / (eˣ + 1) = -tanh(x / 2), x real"""
    need(x.dtype in REALS and is_all(c, 1.0) and is_all(d, 1.0))
    return negate(unary("tanh", _half(x)))


@rule(
    lambda x, c, d: add(multiply(unary("logistic", x), constant(c)), constant(d)),
    numerics=ROUNDING,
    source="logistic x = ½ tanh(x/2) + ½",
)
def recognize_tanh_of_logistic(x: Value, c: Literal, d: Literal) -> Value | None:
    """2 logistic x - 1 = tanh(x / 2), x real"""
    need(x.dtype in REALS and is_all(c, 2.0) and is_all(d, -1.0))
    return unary("tanh", _half(x))


@rule(
    lambda x, c, d: subtract(constant(d), multiply(unary("logistic", x), constant(c))),
    numerics=ROUNDING,
    source="logistic x = ½ tanh(x/2) + ½",
)
def recognize_negative_tanh_of_logistic(x: Value, c: Literal, d: Literal) -> Value | None:
    """1 - 2 logistic x = -tanh(x / 2), x real"""
    need(x.dtype in REALS and is_all(c, 2.0) and is_all(d, 1.0))
    return negate(unary("tanh", _half(x)))


@rule(
    lambda x: subtract(multiply(_cosh(x), _cosh(x)), multiply(_sinh(x), _sinh(x))),
    numerics=FINITE,
    source=HYPERBOLIC,
)
def cosh_squared_minus_sinh_squared(x: Value) -> Value | None:
    """cosh²x - sinh²x = 1, x real"""
    need(x.dtype in REALS)
    return full_like(x, 1)


@rule(lambda x: add(_cosh(x), _sinh(x)), numerics=ROUNDING, source=HYPERBOLIC)
def cosh_plus_sinh(x: Value) -> Value | None:
    """cosh x + sinh x = eˣ, x real"""
    need(x.dtype in REALS)
    return _exp(x)


@rule(lambda x: subtract(_cosh(x), _sinh(x)), numerics=ROUNDING, source=HYPERBOLIC)
def cosh_minus_sinh(x: Value) -> Value | None:
    """cosh x - sinh x = e⁻ˣ, x real"""
    need(x.dtype in REALS)
    return _exp(negate(x))


@rule(lambda x: multiply(_sinh(x), _cosh(x)), numerics=ROUNDING, source=HYPERBOLIC)
def halve_double_sinh(x: Value) -> Value | None:
    """sinh x · cosh x = ½ sinh 2x, x real"""
    need(x.dtype in REALS)
    return _half(_sinh(multiply(x, full_like(x, 2))))


def _pair(table: dict[str, str]) -> Examples:
    """Examples of a function and its inverse."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        f = str(rng.choice(sorted(table)))
        return {"f": f, "g": table[f], "x": TensorType((2, 3), str(rng.choice(["f32", "f64"])))}

    return draw


@rule(
    lambda f, g, x: unary(g, unary(f, x)),
    numerics=ROUNDING,
    source=INVERSE,
    examples=_pair(INVERSES),
)
def apply_inverse(f: Any, g: Any, x: Value) -> Value | None:
    """g(f(x)) = x for sinh and asinh, tanh∘atanh, tan∘atan, erf∘erf⁻¹, log1p∘expm1; x real"""
    need(isinstance(f, str) and f in INVERSES and INVERSES[f] == g and x.dtype in REALS)
    return x


@rule(
    lambda f, g, x: unary(g, unary(f, x)),
    numerics=FINITE,
    source=INVERSE,
    examples=_pair(PARTIAL_INVERSES),
)
def apply_partial_inverse(f: Any, g: Any, x: Value) -> Value | None:
    """g(f(x)) = x where defined: atanh∘tanh, expm1∘log1p, sin∘asin, …; x real"""
    need(x.dtype in REALS and isinstance(f, str) and PARTIAL_INVERSES.get(f) == g)
    return x


@rule(
    lambda x: multiply(unary("cbrt", x), multiply(unary("cbrt", x), unary("cbrt", x))),
    numerics=ROUNDING,
    source=INVERSE,
)
def cube_of_cube_root(x: Value) -> Value | None:
    """(∛x)³ = x, x real"""
    need(x.dtype in REALS)
    return x


@rule(lambda x: unary("cbrt", multiply(x, multiply(x, x))), numerics=ROUNDING, source=INVERSE)
def cube_root_of_cube(x: Value) -> Value | None:
    """∛(x³) = x, x real"""
    need(x.dtype in REALS)
    return x


@rule(
    lambda x: add(unary("logistic", x), unary("logistic", negate(x))),
    numerics=FINITE,
    source="logistic(-x) = 1 - logistic x",
)
def logistic_plus_mirror(x: Value) -> Value | None:
    """logistic x + logistic(-x) = 1, x real"""
    need(x.dtype in REALS)
    return full_like(x, 1)


@rule(
    lambda x: divide(unary("logistic", x), unary("logistic", negate(x))),
    numerics=ROUNDING,
    source="logistic x = eˣ logistic(-x)",
)
def logistic_over_mirror(x: Value) -> Value | None:
    """logistic x / logistic(-x) = eˣ, x real"""
    need(x.dtype in REALS)
    return _exp(x)


@rule(
    lambda x, y, c: subtract(
        multiply(subtract(constant(c), y), unary("logistic", x)),
        multiply(y, unary("logistic", negate(x))),
    ),
    numerics=ROUNDING,
    source="logistic x + logistic(-x) = 1",
)
def mix_logistic_with_mirror(x: Value, y: Value, c: Literal) -> Value | None:
    """(1 - y) · logistic x - y · logistic(-x) = logistic x - y, as in gradients; real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return subtract(unary("logistic", x), y)


@rule(
    lambda x, y, c: subtract(
        multiply(y, unary("logistic", negate(x))),
        multiply(subtract(constant(c), y), unary("logistic", x)),
    ),
    numerics=ROUNDING,
    source="logistic x + logistic(-x) = 1",
)
def mix_mirror_with_logistic(x: Value, y: Value, c: Literal) -> Value | None:
    """y · logistic(-x) - (1 - y) · logistic x = y - logistic x, real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return subtract(y, unary("logistic", x))


def _scaled(rng: np.random.Generator) -> dict[str, Any]:
    f, g = rng.permutation(["chlo.sinh", "chlo.cosh"]).tolist()
    return {**double_constants("c")(rng), "f": f, "g": g}


@rule(
    lambda f, g, x, c: multiply(multiply(unary(f, x), constant(c)), unary(g, x)),
    numerics=ROUNDING,
    source="sinh 2x = 2 sinh x cosh x",
    examples=_scaled,
)
def halve_scaled_double_hyperbolic_sine(f: Any, g: Any, x: Value, c: Literal) -> Value | None:
    """(c · sinh x) · cosh x = c/2 · sinh 2x, the factor on either of them; x real"""
    need({f, g} == {"chlo.sinh", "chlo.cosh"} and x.dtype in REALS)
    half = folded("multiply", c, Literal(c.data.dtype.type(0.5), c.type.shape))
    need(is_ordinary(half.data))
    return multiply(_sinh(add(x, x)), constant(half))


# ------------------------------------------------------------------ tanh of softplus


@rule(
    lambda x, c: unary(
        "tanh",
        add(
            maximum(x, constant(c)),
            unary("log_plus_one", _exp(negate(unary("abs", x)))),
        ),
    ),
    numerics=ROUNDING,
    source="Misra, Mish: a self regularized non-monotonic activation function (2019)",
)
def tanh_of_softplus(x: Value, c: Literal) -> Value | None:
    """tanh(log(1 + eˣ)) = n / (n + 2) for n = eˣ · (eˣ + 2), by e^-|x| without overflow; real"""
    need(x.dtype in REALS and is_all(c, 0.0))
    # With m = e^-|x|, both n and n + 2 are divided by e²ˣ where x > 0. (XLA makes m · m another
    # exponential.)
    m, two = _exp(negate(unary("abs", x))), full_like(x, 2)
    double = multiply(m, two)
    is_positive = compare(x, full_like(x, 0), "GT", "FLOAT")
    above = select(is_positive, add(double, full_like(x, 1)), multiply(m, add(m, two)))
    return divide(above, add(above, select(is_positive, multiply(double, m), two)))
