"""False rules on choices, bounds and guards."""

from __future__ import annotations

from saturax.graph.literal import splat
from saturax.graph.ops import (
    add,
    binary,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    full_like,
    get_result,
    maximum,
    minimum,
    multiply,
    negate,
    reduce_,
    select,
    top_k,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules import choice_pairs, clipping, counts, extrema, guards, known_masks
from saturax.rules.conditions import REALS, folded, is_all
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need

from .declare import false_rule


@false_rule(
    lambda f, g, x, a, c, d: binary(
        f, binary(g, binary(f, x, constant(c)), constant(a)), constant(d)
    ),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: (
        (drawn := choice_pairs.move_bound.examples(rng)) | {"f": "multiply", "d": drawn["c"]}
    ),
)
def move_bound_through_any_factor(f, g, x, a, c, d):
    """max(x·c, a)·d = max(x·c·d, a·d) for negative d, too"""
    need(f == "multiply" and g in ("maximum", "minimum") and x.dtype in REALS)
    need(a.is_splat and c.is_splat and d.is_splat)
    return binary(g, multiply(x, constant(folded(f, c, d))), constant(folded(f, a, d)))


def _under_mask(rng):
    drawn = known_masks._exponential_under_mask(rng)
    return {name: drawn[name] for name in "pxyc"} | {"z": splat(0.0, drawn["x"])}


@false_rule(
    lambda p, x, c, y, z: select(p, known_masks._masked_exponential(p, x, c, y), constant(z)),
    BITWISE,
    "bits",
    special=("c", "x", "y"),
    examples=_under_mask,
)
def drop_choice_of_exponential(p, x, c, y, z):
    """exp((x where p, else -∞) - y) where p, else 0, is that also for y = -∞: a row of masks"""
    need(is_all(c, float("-inf")) and is_all(z, 0.0) and x.dtype in REALS)
    return known_masks._masked_exponential(p, x, c, y)


@false_rule(
    lambda x, c, d, k, z, o, e, n: select(
        compare(unary("abs", x), constant(c), d, k),
        x,
        select(compare(x, constant(z), o, k), constant(e), constant(n)),
    ),
    BITWISE,
    "bits",
    examples=clipping.clip_by_choices.examples,
)
def clip_nan_by_choices(x, c, d, k, z, o, e, n):
    """x where |x| ≤ c, else ±c = clamp(-c, x, c), x NaN too"""
    return clipping.clip_by_choices.right(x=x, c=c, d=d, k=k, z=z, o=o, e=e, n=n)


@false_rule(
    lambda f, x, c, e, d, k: compare(binary(f, x, constant(c)), constant(e), d, k),
    BITWISE,
    "bits",
    "integers",
    examples=choice_pairs.compare_before_bound.examples,
)
def compare_before_equal_bound(f, x, c, e, d, k):
    """(max(x, c) ≥ c) = (x ≥ c)"""
    need(f == "maximum" and c.is_splat and e.is_splat and c.value <= e.value)
    return compare(x, constant(e), d, k)


@false_rule(
    lambda p, q, x, w, y, c: add(select(p, x, w), select(binary("and", p, q), y, constant(c))),
    ROUNDING,
    "values",
    "integers",
    examples=choice_pairs.join_exclusive_masks.examples,
)
def join_overlapping_masks(p, q, x, w, y, c):
    """(x where p, else w) + (y where p ∧ q, else 0) = x where p, else w + (y where q, else 0)"""
    need(is_all(c, 0.0))
    return select(p, x, add(w, select(q, y, constant(c))))


@false_rule(
    lambda x, y, c: add(maximum(x, constant(c)), multiply(y, minimum(x, constant(c)))),
    ROUNDING,
    "values",
    examples=choice_pairs.add_scaled_negative_part.examples,
)
def negative_part_as_maximum(x, y, c):
    """max(x, 0) + y · min(x, 0) = max(x, y · x), for y > 1 too"""
    need(x.dtype in REALS and is_all(c, 0.0))
    return maximum(x, multiply(x, y))


@false_rule(
    lambda x, c, d, k: compare(x, constant(c), d, k),
    BITWISE,
    "bits",
    examples=guards.compare_with_infinity.examples,
)
def compare_anything_with_infinity(x, c, d, k):
    """(x = ∞) = false, for infinite x too"""
    need(x.dtype in REALS and c.is_splat and c.value == float("inf") and d == "EQ")
    return full_like(compare(x, constant(c), d, k), False)


@false_rule(
    lambda x, c, z, k: guards.derivative(
        x, guards.log_sum(x, constant(z), unary("abs", x)), c, z, k
    ),
    ROUNDING,
    "values",
    special=("c",),
    examples=guards.derivative_of_softplus.examples,
)
def derivative_of_softplus_at_mirror(x, c, z, k):
    """exp(x - log(eˣ + 1)) = logistic(-x)"""
    need(x.dtype in REALS and is_all(z, 0.0) and c.value == float("inf"))
    return unary("logistic", unary("negate", x))


@false_rule(
    lambda p, t, d, c, o, k: compare(reduce_("add", convert(p, t), d), constant(c), o, k),
    BITWISE,
    "bits",
    "integers",
    examples=counts.ask_instead_of_counting.examples,
)
def any_by_count_of_all(p, t, d, c, o, k):
    """(Σ 1ₚ = n) = any p"""
    need(p.dtype == "i1" and p.size > 0 and not is_all(c, 0.0) and o == "EQ")
    return reduce_("or", p, d)


@false_rule(
    lambda g, x, y, r, e, k, i: get_result(top_k(binary(g, x, broadcast_in_dim(y, r, e)), k), i),
    FINITE,
    "values",
    "integers",
    examples=lambda rng: (
        (drawn := extrema.top_k_beside_repeated.examples(rng))
        | {"g": "multiply", "y": TensorType(drawn["r"][:1], drawn["x"].dtype)}
    ),
)
def top_k_beside_any_factor(g, x, y, r, e, k, i):
    """top_k(x · bcast y) = top_k(x) · bcast y for negative y, too"""
    need(g == "multiply" and x.dtype in REALS and x.rank - 1 not in e)
    found = get_result(top_k(x, k), i)
    return binary(g, found, broadcast_in_dim(y, (*r[:-1], k), e)) if i == 0 else found


@false_rule(
    lambda x, c, b, e, k: compare(
        select(compare(x, constant(c), "EQ", k), constant(b), x), constant(e), "EQ", k
    ),
    BITWISE,
    "bits",
    "integers",
    examples=guards.compare_replaced.examples,
)
def compare_replaced_by_anything(x, c, b, e, k):
    """((b where x = c, else x) = e) = (x = e), for b = e and c = e, too"""
    need(c.is_splat and e.is_splat and k != "TOTALORDER")
    return compare(x, constant(e), "EQ", k)


@false_rule(
    lambda f, p, x, c, d: reduce_(f, select(p, x, constant(c)), d),
    ROUNDING,
    "values",
    "integers",
    examples=known_masks.reduce_within_mask.examples,
)
def reduce_without_mask(f, p, x, c, d):
    """max(x where p, else -∞) = max x"""
    need(f in ("maximum", "minimum", "add", "multiply"))
    return reduce_(f, x, d)


@false_rule(
    lambda x, c, z: maximum(maximum(x, multiply(x, constant(c))), z),
    ROUNDING,
    "values",
)
def rectify_leaky_at_any_bound(x, c, z):
    """max(x, c · x, z) = max(x, z), for z < 0, too"""
    need(x.dtype in REALS and c.is_splat and 0 < float(c.value) < 1)
    return maximum(x, z)


@false_rule(
    lambda x, y, c, d, k: select(
        compare(x, constant(c), d, k),
        multiply(unary("abs", x), y),
        negate(multiply(unary("abs", x), y)),
    ),
    ROUNDING,
    "values",
    "integers",
)
def scaled_absolute_with_sign_of_any_comparison(x, y, c, d, k):
    """|x|·y where x > 0, else -|x|·y = x·y; for = too"""
    need(x.dtype in REALS and is_all(c, 0.0) and d in ("GT", "EQ") and k == "FLOAT")
    return multiply(x, y)
