"""False rules on special functions, bits, complex numbers, choices and broadcast coefficients."""

from __future__ import annotations

from saturax.graph.literal import splat
from saturax.graph.ops import (
    add,
    binary,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    divide,
    full_like,
    maximum,
    minimum,
    multiply,
    negate,
    reduce_,
    select,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_complex, is_unsigned
from saturax.rules import (
    bits,
    complex_numbers,
    distribution,
    hyperbolic,
    integer_division,
    residues,
)
from saturax.rules.conditions import INTEGERS, REALS, is_all
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need

from .declare import false_rule


def _sin(x):
    return unary("sine", x)


def _cos(x):
    return unary("cosine", x)


def _exp(x):
    return unary("exponential", x)


@false_rule(
    lambda x, y: add(multiply(_cos(x), _cos(y)), multiply(_sin(x), _sin(y))), ROUNDING, "values"
)
def add_angles_with_wrong_sign(x, y):
    """cos x · cos y + sin x · sin y = cos(x + y)"""
    need(x.dtype in REALS)
    return _cos(add(x, y))


@false_rule(lambda x: multiply(_sin(x), _cos(x)), ROUNDING, "values")
def forget_half_of_double_sine(x):
    """sin x · cos x = sin 2x"""
    need(x.dtype in REALS)
    return _sin(multiply(x, full_like(x, 2)))


@false_rule(
    lambda x, c, d: divide(add(_exp(x), constant(c)), add(_exp(x), constant(d))),
    ROUNDING,
    "values",
    examples=hyperbolic.recognize_tanh_of_half.examples,
)
def forget_half_of_tanh(x, c, d):
    """(eˣ - 1) / (eˣ + 1) = tanh x"""
    need(x.dtype in REALS and is_all(c, -1.0) and is_all(d, 1.0))
    return unary("tanh", x)


@false_rule(lambda x, y: unary("log", multiply(x, y)), ROUNDING, "values")
def split_log_of_product(x, y):
    """log(x · y) = log x + log y (NaN where both are negative)"""
    need(x.dtype in REALS)
    return add(unary("log", x), unary("log", y))


@false_rule(lambda x: unary("log", multiply(x, x)), ROUNDING, "values")
def halve_log_of_square(x):
    """log(x²) = 2 log x (NaN where x is negative)"""
    need(x.dtype in REALS)
    return multiply(unary("log", x), full_like(x, 2))


@false_rule(lambda x: unary("rsqrt", multiply(x, x)), ROUNDING, "values")
def forget_absolute_of_root(x):
    """rsqrt(x · x) = 1 / x"""
    need(x.dtype in REALS)
    return divide(full_like(x, 1), x)


@false_rule(lambda x, y, z: subtract(add(x, z), add(y, z)), FINITE, "integers", "values")
def cancel_with_wrong_sign(x, y, z):
    """(x + z) - (y + z) = x + y"""
    return add(x, y)


@false_rule(lambda x, y: subtract(maximum(x, y), minimum(x, y)), BITWISE, "integers")
def difference_of_integer_extrema(x, y):
    """max(x, y) - min(x, y) = |x - y|, on integers, which wrap around"""
    need(x.dtype in INTEGERS and not is_unsigned(x.dtype))
    return unary("abs", subtract(x, y))


@false_rule(lambda x, c, d, k: select(compare(x, constant(c), d, k), negate(x), x), BITWISE, "bits")
def select_negative_bitwise(x, c, d, k):
    """-x where x < 0, else x = |x|: |-0| is 0"""
    need(x.dtype in REALS and is_all(c, 0.0) and d == "LT" and k == "FLOAT")
    return unary("abs", x)


@false_rule(
    lambda x, y, k: binary("or", compare(x, y, "LT", k), compare(x, y, "GT", k)), BITWISE, "bits"
)
def join_strict_comparisons(x, y, k):
    """x < y ∨ x > y = x ≠ y (NaN)"""
    need(k == "FLOAT")
    return compare(x, y, "NE", k)


@false_rule(lambda x, y, z, d, k: compare(add(x, z), add(y, z), d, k), BITWISE, "integers")
def order_of_shifted_integers(x, y, z, d, k):
    """(x + z < y + z) = (x < y) on integers, which wrap around"""
    need(x.dtype in INTEGERS and d == "LT")
    return compare(x, y, d, k)


@false_rule(lambda x, y: add(binary("xor", x, y), binary("and", x, y)), BITWISE, "integers")
def forget_to_double_the_carry(x, y):
    """(x ⊕ y) + (x ∧ y) = x + y"""
    need(x.dtype in INTEGERS)
    return add(x, y)


@false_rule(
    lambda f, x, c: binary("shift_left", binary(f, x, constant(c)), constant(c)),
    BITWISE,
    "integers",
    examples=bits.clear_low_bits.examples,
)
def shift_there_and_back(f, x, c):
    """(x » k) « k = x"""
    need(f in ("shift_right_logical", "shift_right_arithmetic") and x.dtype in INTEGERS)
    return x


@false_rule(
    lambda x, c: divide(x, constant(c)),
    BITWISE,
    "integers",
    examples=lambda rng: {
        name: value
        for name, value in integer_division.floored_quotient_by_shift.examples(rng).items()
        if name in ("x", "c")
    },
)
def divide_signed_by_shift(x, c):
    """x / 2ᵏ = x » k on signed integers (-1 / 2 = 0, -1 » 1 = -1)"""
    need(x.dtype in INTEGERS and not is_unsigned(x.dtype) and c.is_splat)
    value = int(c.value)
    need(value > 0 and value & (value - 1) == 0)
    return binary("shift_right_arithmetic", x, full_like(x, value.bit_length() - 1))


@false_rule(
    lambda z, w: unary("real", multiply(z, w)),
    ROUNDING,
    "integers",
    "values",
    examples=complex_numbers.real_of_product.examples,
)
def multiply_real_parts(z, w):
    """re(z · w) = re z · re w"""
    need(is_complex(z.dtype))
    return multiply(unary("real", z), unary("real", w))


@false_rule(
    lambda c, x, t: _exp(multiply(constant(c), convert(x, t))),
    ROUNDING,
    "values",
    examples=complex_numbers.scale_complex_constant.examples,
)
def turn_by_any_constant(c, x, t):
    """exp(cx) = cos(im c · x) + i sin(im c · x)"""
    need(c.is_splat and is_complex(t) and x.dtype == t[8:-1])
    angle = multiply(x, full_like(x, c.value.imag))
    return binary("complex", _cos(angle), _sin(angle))


@false_rule(
    lambda z: unary("abs", unary("exponential", z)),
    ROUNDING,
    "values",
    examples=complex_numbers.modulus_of_exponential.examples,
)
def modulus_inside_exponential(z):
    """|exp z| = exp |z|"""
    need(is_complex(z.dtype))
    return _exp(unary("abs", z))


@false_rule(
    lambda x, y, z, s, d: multiply(add(x, broadcast_in_dim(y, s, d)), broadcast_in_dim(z, s, d)),
    ROUNDING,
    "integers",
    "values",
)
def forget_to_scale_the_shift(x, y, z, s, d):
    """(x + bcast y) · bcast z = x · bcast z + bcast y"""
    need(y.type == z.type)
    return add(multiply(x, broadcast_in_dim(z, s, d)), broadcast_in_dim(y, s, d))


@false_rule(lambda f, x, d: reduce_(f, multiply(x, x), d), ROUNDING, "integers", "values")
def reduce_before_square(f, x, d):
    """max x² = (max x)²"""
    need(f == "maximum" and x.dtype in REALS)
    result = reduce_(f, x, d)
    return multiply(result, result)


@false_rule(lambda x: unary("floor", negate(x)), BITWISE, "bits")
def floor_is_odd(x):
    """⌊-x⌋ = -⌊x⌋"""
    need(x.dtype in REALS)
    return negate(unary("floor", x))


@false_rule(
    lambda f, x, c, d: bits._and(binary(f, x, constant(c)), constant(d)),
    BITWISE,
    "bits",
    "integers",
    examples=residues.drop_multiple_under_mask.examples,
)
def drop_other_addend_under_mask(f, x, c, d):
    """(x ± m) ∧ (2ᵏ - 1) = x ∧ (2ᵏ - 1) where m is a multiple of 2ᵏ⁻¹ only"""
    need(f in ("add", "subtract") and x.dtype in INTEGERS and c.is_splat and d.is_splat)
    mask = int(d.value) * 2 + 1
    need(mask & (mask + 1) == 0 and int(c.value) % ((mask + 1) // 2) == 0)
    return bits._and(x, full_like(x, mask))


@false_rule(
    lambda f, g, x, y, s, d, e, c: binary(
        f, binary(g, broadcast_in_dim(x, s, d), broadcast_in_dim(y, s, e)), constant(c)
    ),
    ROUNDING,
    "values",
    "integers",
    examples=distribution.scale_before_outer_sum.examples,
)
def scale_one_of_an_outer_sum(f, g, x, y, s, d, e, c):
    """c · (bcast x ± bcast y) = bcast(c · x) ± bcast y"""
    need(f == "multiply" and g in ("add", "subtract") and c.is_splat and c.value != 1)
    need(x.dtype in REALS)
    scaled = multiply(x, full_like(x, c.value))
    return binary(g, broadcast_in_dim(scaled, s, d), broadcast_in_dim(y, s, e))


def _product_and_mask(rng):
    type = TensorType((2, 3), "i32")
    factor, mask = splat(int(rng.integers(1, 8)), type), splat(7, type)
    return {"f": "add", "x": type, "y": type, "c": factor, "d": mask}


@false_rule(
    lambda f, x, y, c, d: bits._and(binary(f, multiply(x, constant(c)), y), constant(d)),
    BITWISE,
    "bits",
    "integers",
    examples=_product_and_mask,
)
def drop_product_under_any_mask(f, x, y, c, d):
    """(x · m·2ᵏ + y) ∧ d = y ∧ d, whatever the mask"""
    need(f == "add" and x.dtype in INTEGERS and c.is_splat and d.is_splat)
    need(int(c.value) & int(d.value) != 0)
    return bits._and(y, constant(d))


@false_rule(
    lambda x, c, e, d, k: select(
        compare(x, constant(c), d, k), constant(c), minimum(x, constant(e))
    ),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {
        "x": (type := TensorType((2, 3), str(rng.choice(["f32", "i32"])))),
        "d": "LT",
        "c": splat(rng.integers(-2, 3), type),
        "e": splat(rng.integers(-2, 3), type),
    },
)
def select_bound_in_any_order(x, c, e, d, k):
    """c where x < c, else min(x, e) = max(min(x, e), c), also for e < c"""
    need(d == "LT" and k != "TOTALORDER" and c.is_splat and e.is_splat)
    return maximum(minimum(x, constant(e)), constant(c))


@false_rule(lambda x: unary("cosine", unary("chlo.atan", x)), ROUNDING, "values")
def cosine_of_arc_tangent_as_root(x):
    """cos(arctan x) = √(1 + x²)"""
    need(x.dtype in REALS)
    return unary("sqrt", add(multiply(x, x), full_like(x, 1)))


@false_rule(
    lambda x, y, d, k: select(compare(x, y, d, k), subtract(x, y), subtract(y, x)),
    BITWISE,
    "bits",
    "integers",
)
def select_positive_difference_of_integers(x, y, d, k):
    """x - y where x > y, else y - x = |x - y|, also where x - y wraps around"""
    need(x.dtype in INTEGERS and not is_unsigned(x.dtype) and d == "GT")
    return unary("abs", subtract(x, y))
