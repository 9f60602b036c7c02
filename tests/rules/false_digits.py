"""False rules on rounded quotients, masks and shifts, signs and order; on windows and triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, building
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    ReduceWindow,
    Triangle,
    add,
    binary,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    convolution,
    default_order,
    divide,
    full_like,
    get_result,
    iota,
    multiply,
    negate,
    reduce_,
    reduce_window,
    select,
    sort,
    sort_pair,
    transpose,
    triangular_solve,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS, is_all
from saturax.rules.convolution_chains import mix_features_in_kernel
from saturax.rules.integer_division import floored_quotient_twice
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need

from .declare import false_rule


def _words(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), "i32")
    return {"x": type, "c": splat(int(rng.integers(1, 31)), type)} | {
        "m": splat(int(rng.integers(1, 9)), type)
    }


@false_rule(
    lambda x, c, m: binary("and", binary("shift_right_arithmetic", x, constant(c)), constant(m)),
    BITWISE,
    "bits",
    "integers",
    examples=_words,
)
def forget_mask_after_shift(x, c, m):
    """(x » k) ∧ m = x »ₗ k, whatever m is"""
    need(x.dtype == "i32" and c.is_splat and m.is_splat and 0 < c.value < 32)
    return binary("shift_right_logical", x, constant(c))


def _floored(x: Any, c: Any, z: Any, o: Any, k: Any) -> Any:
    quotient = divide(x, c)
    is_between = compare(binary("remainder", x, c), z, "LT", k)
    return select(is_between, binary("subtract", quotient, o), quotient)


@false_rule(
    lambda x, c, d, z, o, k: _floored(
        _floored(x, constant(c), constant(z), constant(o), k),
        constant(d), constant(z), constant(o), k,
    ),
    BITWISE,
    "bits",
    "integers",
    examples=floored_quotient_twice.examples,
)  # fmt: skip
def truncate_floored_quotient(x, c, d, z, o, k):
    """⌊⌊x / c⌋ / d⌋ = x / (c · d), rounded towards 0"""
    need(x.dtype == "i32" and is_all(z, 0) and is_all(o, 1) and c.is_splat and d.is_splat)
    need(c.value > 0 and d.value > 0)
    return divide(x, full_like(x, int(c.value) * int(d.value)))


@false_rule(
    lambda x, c: unary("floor", multiply(unary("floor", x), constant(c))),
    ROUNDING,
    "values",
    examples=lambda rng: {"c": Literal(np.asarray(2.0), (3, 2))},
)
def round_doubled_once(x, c):
    """⌊2⌊x⌋⌋ = ⌊2x⌋"""
    need(x.dtype in REALS and is_all(c, 2.0))
    return unary("floor", multiply(x, constant(c)))


@false_rule(
    lambda x, y, u, t: convert(binary("maximum", convert(x, u), convert(y, u)), t),
    BITWISE,
    "bits",
    "integers",
    examples=lambda rng: (
        {"u": "i32", "t": "i8", "x": TensorType((9,), "i16")} | {"y": TensorType((9,), "i16")}
    ),
)
def narrow_maximum(x, y, u, t):
    """t(max(u(x), u(y))) = max(t(x), t(y)) where t is narrower: the high bits decide"""
    need((x.dtype, y.dtype, u, t) == ("i16", "i16", "i32", "i8"))
    return binary("maximum", convert(x, t), convert(y, t))


@false_rule(lambda x, d: reduce_("multiply", negate(x), d), BITWISE, "bits", "integers")
def forget_signs_of_product(x, d):
    """Π(-x) = Πx, also of an odd number of elements"""
    return reduce_("multiply", x, d)


@false_rule(
    lambda x, y, d, o, p: get_result(sort_pair(sort(x, d, o, True), y, d, p, True), 1),
    BITWISE,
    "bits",
    "integers",
    examples=lambda rng: (
        {"x": TensorType((5,), "i32"), "y": TensorType((5,), "i32"), "d": 0}
        | {"o": default_order("i32"), "p": default_order("i32", "GT")}
    ),
)
def sort_along_sorted_the_other_way(x, y, d, o, p):
    """y, taken along by the sort of what is sorted in the reverse order, is y"""
    need(o[0] != p[0])
    return y


def _beside_channels(rng: np.random.Generator) -> dict[str, Any]:
    n, one = int(rng.integers(1, 4)), (1, 1)
    w = ReduceWindow((2, 1), (2, 1), one, one, ((0, 0), (0, 0)))
    x = TensorType((6, n), "f64")
    return {"x": x, "y": TensorType((n,), "f64"), "s": (6, n), "d": (1,), "w": w}


@false_rule(
    lambda x, y, s, d, w: reduce_window("add", add(x, broadcast_in_dim(y, s, d)), w),
    ROUNDING,
    "values",
    "integers",
    examples=_beside_channels,
)
def count_bias_of_window_once(x, y, s, d, w):
    """Sums of x + bcast(y) in windows of two = sums of x, + bcast(y)"""
    need(d == (1,) and ReduceWindow(*w).size == (2, 1))
    result = reduce_window("add", x, w)
    return add(result, broadcast_in_dim(y, result.shape, d))


@false_rule(
    lambda x, k, w, d, g, p, t, v, y, e, b: convolution(
        convolution(x, k, w, d, g, p, t), v, y, e, b, p, t
    ),
    ROUNDING,
    "values",
    "integers",
    "types",
    examples=mix_features_in_kernel.examples,
)
def mix_features_the_other_way(x, k, w, d, g, p, t, v, y, e, b):
    """(x ∗ k) ∗ v = x ∗ (k·vᵀ) for as many features after v as before"""
    need(v.shape[-1] == v.shape[-2] > 1 and v.rank == 3)
    return mix_features_in_kernel.right(x, k, w, d, g, p, t, transpose(v, (0, 2, 1)), y, e, b)


def _masked_triangle(rng: np.random.Generator) -> dict[str, Any]:
    n = int(rng.integers(2, 5))
    counts, builder = TensorType((n, n), "i32"), GraphBuilder()
    with building(builder):
        mask = builder.finish([compare(iota(0, counts), iota(1, counts), "EQ", "SIGNED")])
    a = Literal(rng.normal(size=(n, n)) + 3 * np.eye(n))
    b, t = TensorType((n, 2), "f64"), Triangle(True, True, False)
    return {"p": mask, "x": a, "y": splat(0, a.type), "b": b, "t": t}


@false_rule(
    lambda p, x, y, b, t, r: triangular_solve(select(p, x, y), b, t, r),
    FINITE,
    "values",
    examples=_masked_triangle,
)
def solve_without_narrow_mask(p, x, y, b, t, r):
    """T⁻¹b with T = the diagonal of x is that with x"""
    return triangular_solve(x, b, t, r)
