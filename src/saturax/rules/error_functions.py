"""The error function and its complement: mirrored, and chosen between as distributions do.

The distribution function of the normal distribution is ½ erfc(-x / √2). JAX computes it as 1 + erf
close to 0 and by erfc of the absolute value elsewhere, which is one erfc in every branch.
"""

from __future__ import annotations

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import add, constant, full_like, negate, subtract, unary
from saturax.rules.conditions import REALS, is_all
from saturax.rules.rule import FINITE, ROUNDING, need, rule

COMPLEMENT = "erfc x = 1 - erf x"


@rule(
    lambda x, c: subtract(constant(c), unary("chlo.erf", x)),
    numerics=ROUNDING,
    source=COMPLEMENT,
)
def recognize_complementary_error(x: Value, c: Literal) -> Value | None:
    """1 - erf x = erfc x"""
    need(is_all(c, 1.0))
    return unary("chlo.erfc", x)


@rule(lambda x: unary("chlo.erfc", x), numerics=ROUNDING, source=COMPLEMENT)
def expand_complementary_error(x: Value) -> Value | None:
    """erfc x = 1 - erf x"""
    return subtract(full_like(x, 1), unary("chlo.erf", x))


@rule(
    lambda x: add(unary("chlo.erf", x), unary("chlo.erfc", x)),
    numerics=FINITE,
    source=COMPLEMENT,
)
def error_plus_complement(x: Value) -> Value | None:
    """erf x + erfc x = 1, x real"""
    need(x.dtype in REALS)
    return full_like(x, 1)


@rule(lambda x, c: add(unary("chlo.erf", x), constant(c)), numerics=ROUNDING, source=COMPLEMENT)
def recognize_mirrored_complement(x: Value, c: Literal) -> Value | None:
    """erf x + 1 = erfc(-x), x real"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return unary("chlo.erfc", negate(x))


@rule(
    lambda x, c: subtract(constant(c), unary("chlo.erfc", x)),
    numerics=ROUNDING,
    source=COMPLEMENT,
)
def mirror_complementary_error(x: Value, c: Literal) -> Value | None:
    """2 - erfc x = erfc(-x), x real"""
    need(x.dtype in REALS and is_all(c, 2.0))
    return unary("chlo.erfc", negate(x))
