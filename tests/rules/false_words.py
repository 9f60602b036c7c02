"""False rules on packed bits, exact comparisons, intercepts, and what is positive."""

from __future__ import annotations

from saturax.graph.ops import (
    add,
    binary,
    broadcast_in_dim,
    compare,
    concatenate,
    constant,
    convert,
    divide,
    dot_general,
    fft,
    full,
    get_result,
    householder_product,
    log_abs_determinant,
    maximum,
    multiply,
    negate,
    qr,
    reduce_,
    select,
    slice_dimension,
    subtract,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules import (
    bounded_integers,
    comparisons,
    contraction_constants,
    determinants,
    factors_multiplied,
    fourier,
    known_masks,
    logarithms,
    set_counts,
    shifted_masks,
    signs,
)
from saturax.rules.conditions import INTEGERS, REALS, is_all
from saturax.rules.facts import constant_of, is_frozen, is_zero
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need

from .declare import false_rule


@false_rule(
    lambda f, x, y, m: binary("shift_left", binary("and", binary(f, x, y), m), y),
    BITWISE,
    "bits",
    "integers",
    examples=shifted_masks.move_masked_bits_back.examples,
)
def keep_mask_of_bits_moved_back(f, x, y, m):
    """((x » k) ∧ m) « k = x ∧ m"""
    need(f == "shift_right_logical" and x.dtype in INTEGERS and constant_of(y) is not None)
    return binary("and", x, m)


@false_rule(
    lambda f, x, s, m, c, d: reduce_(f, binary("and", broadcast_in_dim(x, s, m), c), d),
    BITWISE,
    "bits",
    "integers",
    uses_facts=True,
    examples=lambda rng: shifted_masks.join_masked_bits.examples(rng) | {"f": "add"},
)
def forget_masks_of_joined_bits(f, x, s, m, c, d):
    """Σ (x ∧ mₖ) = x for any masks that have no bit in common"""
    need(f == "add" and x.dtype in INTEGERS and constant_of(c) is not None and d == (1,))
    need(tuple(m) == (0,) and x.shape == (s[0],))
    return x


@false_rule(
    lambda f, g, x, y, d, s, m, c: binary(
        "and",
        binary(g, broadcast_in_dim(reduce_(f, binary("shift_left", x, y), d), s, m), y),
        constant(c),
    ),
    BITWISE,
    "bits",
    "integers",
    examples=lambda rng: {
        name: value if name != "x" else TensorType(value.type.shape, value.type.dtype)
        for name, value in shifted_masks.unpack_packed_bits.examples(rng).items()
    },
)
def unpack_packed_numbers(f, g, x, y, d, s, m, c):
    """((Σ xₖ « k) » k) ∧ 1 = xₖ for any numbers xₖ"""
    need(x.dtype in INTEGERS and tuple(s) == x.shape and d == (1,) and tuple(m) == (0,))
    return x


@false_rule(
    lambda x, y, s, d, k: compare(convert(x, s), convert(y, s), d, k),
    BITWISE,
    "bits",
    "integers",
    examples=lambda rng: (
        bounded_integers.compare_converted.examples(rng)
        | dict.fromkeys("xy", TensorType((9, 9), "i32"))
        | {"s": "i8"}
    ),
)
def compare_narrowed(x, y, s, d, k):
    """(s(x) < s(y)) = (x < y) for a narrower type s"""
    need((x.dtype, y.dtype, s) == ("i32", "i32", "i8") and d in ("LT", "EQ"))
    return compare(x, y, d, "SIGNED")


@false_rule(
    lambda f, x, r, s, m, d, k: compare(x, broadcast_in_dim(reduce_(f, x, r), s, m), d, k),
    BITWISE,
    "bits",
    "integers",
    examples=lambda rng: comparisons.compare_with_greatest.examples(rng) | {"d": "GE"},
)
def nothing_reaches_its_greatest(f, x, r, s, m, d, k):
    """(x ≥ max x) = false"""
    need(f == "maximum" and d == "GE" and k != "TOTALORDER" and x.rank == 2 and tuple(s) == x.shape)
    need(tuple(m) == tuple(i for i in range(x.rank) if i not in r))
    return full(False, TensorType(x.shape, "i1"))


@false_rule(
    lambda x, c, y, i, d, p, t: dot_general(concatenate(x, constant(c), i), y, d, p, t),
    ROUNDING,
    "values",
    "integers",
    examples=contraction_constants.add_constant_columns_of_left_operand.examples,
)
def forget_the_intercept(x, c, y, i, d, p, t):
    """[x, c] · y = x · y[:n]"""
    need(i in d[2] and x.rank == y.rank == 2 and d[3] == (0,) and x.dtype == y.dtype == t == "f64")
    return dot_general(x, slice_dimension(y, 0, 0, x.shape[i]), d, p, t)


@false_rule(
    lambda x, s, m, k, n: fft(broadcast_in_dim(x, s, m), k, n),
    ROUNDING,
    "values",
    examples=lambda rng: fourier.transform_of_repeated.examples(rng) | {"k": "FFT"},
)
def transform_of_repeated_is_repeated(x, s, m, k, n):
    """F(bcast x) = bcast x"""
    need(k == "FFT" and len(n) == 1 and n[0] > 1 and len(s) - 1 not in m and x.size > 0)
    return broadcast_in_dim(x, s, m)


@false_rule(
    lambda a, d, p, e, r: log_abs_determinant(dot_general(a, a, d, p, e), r),
    ROUNDING,
    "values",
    examples=determinants.determinant_of_square.examples,
)
def determinant_of_square_is_the_same(a, d, p, e, r):
    """log|det(a·a)| = log|det a|"""
    need(a.rank == 2 and a.dtype == e and a.shape[0] == a.shape[1] and a.size > 0)
    need(len(d[2]) == 1)
    return log_abs_determinant(a, r)


@false_rule(
    lambda x, y, c: binary(
        "xor",
        binary("and", unary("popcnt", x), constant(c)),
        binary("and", unary("popcnt", y), constant(c)),
    ),
    BITWISE,
    "bits",
    "integers",
    examples=set_counts.add_parities.examples,
)
def parity_of_union(x, y, c):
    """(popcnt x ∧ 1) ⊕ (popcnt y ∧ 1) = popcnt(x ∨ y) ∧ 1"""
    need(x.dtype in INTEGERS and is_all(c, 1))
    return binary("and", unary("popcnt", binary("or", x, y)), constant(c))


@false_rule(
    lambda x, d: maximum(reduce_("maximum", x, d), negate(reduce_("minimum", x, d))),
    ROUNDING,
    "values",
)
def greatest_without_sign(x, d):
    """max(max x, -min x) = |max x|"""
    need(x.dtype in REALS)
    return unary("abs", reduce_("maximum", x, d))


@false_rule(
    lambda x, t, z, k: subtract(
        convert(compare(x, constant(z), "GT", k), t), convert(compare(x, constant(z), "LT", k), t)
    ),
    ROUNDING,
    "values",
    examples=signs.difference_of_indicators.examples,
)
def difference_of_indicators_of_any(x, t, z, k):
    """1 where x > 0 less 1 where x < 0 = -sign x"""
    need(x.dtype in REALS and t == x.dtype and is_all(z, 0.0) and k != "TOTALORDER")
    return negate(unary("sign", x))


@false_rule(
    lambda x, c: unary(
        "exponential",
        add(
            maximum(x, constant(c)),
            unary("log_plus_one", unary("exponential", negate(unary("abs", x)))),
        ),
    ),
    ROUNDING,
    "values",
    examples=logarithms.exponential_of_softplus.examples,
)
def exponential_of_softplus_as_exponential(x, c):
    """exp(max(x, 0) + log1p(exp(-|x|))) = eˣ"""
    need(x.dtype in REALS and is_all(c, 0.0))
    return unary("exponential", x)


@false_rule(
    lambda p, x, y, q, w, z: multiply(select(p, x, y), select(q, w, z)),
    ROUNDING,
    "values",
    uses_facts=True,
    examples=known_masks.multiply_masked.examples,
)
def multiply_masked_by_either(p, x, y, q, w, z):
    """(x where p, else 0)·(w where q, else 0) = x·w where p ∨ q, else 0"""
    need(is_zero(y) and is_zero(z) and p.shape == q.shape == x.shape)
    need(is_frozen(p) and is_frozen(q))
    return select(binary("or", p, q), multiply(x, w), y)


@false_rule(
    lambda a, r, s, d, p, e: dot_general(
        householder_product(get_result(qr(a, r), 0), get_result(qr(a, r), 1), s), a, d, p, e
    ),
    ROUNDING,
    "values",
    examples=factors_multiplied.project_on_orthogonal_factor.examples,
)
def triangle_with_reflections(a, r, s, d, p, e):
    """Qᵀa = R with the vectors of reflections below its diagonal"""
    need(a.rank == 2 and a.dtype == e == "f64" and a.shape[0] >= a.shape[1] > 1)
    need((d[2], d[3]) == ((0,), (0,)))
    return slice_dimension(get_result(qr(a, r), 0), 0, 0, a.shape[1])


@false_rule(lambda x, y: divide(x, multiply(x, y)), FINITE, "values")
def divide_by_any_multiple(x, y):
    """x / (x · y) = 1 / y, whatever x is"""
    need(x.dtype in REALS)
    return divide(full(2, y.type), y)
