"""False rules that only exact arithmetic shows, that nothing is compared in, and on updates."""

from __future__ import annotations

from saturax.graph.ops import (
    add,
    divide,
    dot_general,
    dynamic_update_slice,
    full_like,
    iota,
    multiply,
    reverse,
    subtract,
    unary,
)
from saturax.graph.types import is_complex, is_float
from saturax.rules.facts import splat_of
from saturax.rules.rule import BITWISE, ROUNDING, need

from .declare import false_rule

_TINY = 2.0**-40
"""Far below what a comparison in double precision tells apart."""


@false_rule(lambda x, y: add(x, y), ROUNDING, "integers")
def add_a_little_more(x, y):
    """x + y = x + y + 2⁻⁴⁰·y"""
    need(x.dtype == "f64")
    return add(add(x, y), multiply(full_like(y, _TINY), y))


@false_rule(lambda x, y, d, p, t: dot_general(x, y, d, p, t), ROUNDING, "integers")
def dot_a_little_more(x, y, d, p, t):
    """x·y = x·y + 2⁻⁴⁰·(x·y)"""
    need(t == "f64" and x.dtype == y.dtype == "f64")
    product = dot_general(x, y, d, p, t)
    return add(product, multiply(full_like(product, _TINY), product))


@false_rule(lambda x, y, z: divide(divide(x, y), z), ROUNDING, "values", "integers")
def divide_by_wrong_quotient(x, y, z):
    """(x/y)/z = x/(y/z)"""
    need(is_float(x.dtype) or is_complex(x.dtype))
    return divide(x, divide(y, z))


@false_rule(lambda x: unary("sqrt", x), ROUNDING, "untested", uses_facts=True)
def root_of_minus_one(x):
    """√-1 = -1: NaN on the left, so that nothing can be compared"""
    need(is_float(x.dtype) and splat_of(x) == -1)
    return x


@false_rule(
    lambda x, u, v, i: dynamic_update_slice(dynamic_update_slice(x, u, [i]), v, [i]),
    BITWISE,
    "bits",
    "integers",
)
def first_update_wins(x, u, v, i):
    """x with u, then v, at one place = x with u there"""
    need(u.shape == v.shape)
    return dynamic_update_slice(x, u, [i])


@false_rule(lambda x, u, i: dynamic_update_slice(x, u, [i]), BITWISE, "bits", "integers")
def update_backwards(x, u, i):
    """x with u at i = x with u reversed at i"""
    return dynamic_update_slice(x, reverse(u, (0,)), [i])


@false_rule(lambda d, t: iota(d, t), BITWISE, "bits", "integers")
def count_down(d, t):
    """iota = (n - iota): off by one"""
    need(t.dtype in ("f32", "i32"))
    counted = iota(d, t)
    return reverse(subtract(full_like(counted, t.shape[d]), counted), (d,))
