"""Deliberately false rules, one for each family and kind of mistake: the harness must catch all.

`FALSE_RULES` maps each rule to the kinds of failure that may be reported first.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np

from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    DotDimensions,
    GatherDimensions,
    Groups,
    Precision,
    ReduceWindow,
    Window,
    add,
    binary,
    broadcast_in_dim,
    compare,
    concatenate,
    constant,
    convert,
    convolution,
    divide,
    dot_general,
    dynamic_slice,
    full_like,
    gather,
    iota,
    maximum,
    minimum,
    multiply,
    negate,
    pad,
    power,
    reduce_,
    reduce_window,
    reshape,
    reverse,
    select,
    slice_,
    subtract,
    transpose,
    unary,
)
from saturax.graph.types import TensorType, is_float, is_integer
from saturax.rules.facts import is_splat, splat_of
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, Numerics, Rule, need, rule

FALSE_RULES: dict[str, tuple[Rule, tuple[str, ...]]] = {}


def false_rule(left: Any, numerics: Numerics, *kinds: str, **fields: Any) -> Any:
    """Declare a false rule and the kinds of failure that it must be caught by."""

    def declare(right: Any) -> Rule:
        declared: Rule = rule(left, numerics=numerics, source="nowhere", **fields)(right)
        FALSE_RULES[declared.name] = declared, kinds
        return declared

    return declare


# ------------------------------------------------------------------ layout


@false_rule(lambda x, p, q: transpose(transpose(x, p), q), BITWISE, "types", "bits")
def compose_backwards(x, p, q):
    """(xᵖ)ᑫ = x^(q∘p)"""
    return transpose(x, tuple(q[i] for i in p))


@false_rule(lambda x, p, q: transpose(transpose(x, p), q), BITWISE, "bits", "integers")
def compose_backwards_where_it_fits(x, p, q):
    """(xᵖ)ᑫ = x^(q∘p) if all sizes are equal"""
    need(len(set(x.shape)) == 1)
    return transpose(x, tuple(q[i] for i in p))


@false_rule(lambda x, p: transpose(transpose(x, p), p), BITWISE, "bits", "integers")
def transpose_is_an_involution(x, p):
    """(xᵖ)ᵖ = x if the shape returns"""
    need(tuple(x.shape[p[i]] for i in p) == x.shape)
    return x


@false_rule(lambda x, p, s: reshape(transpose(x, p), s), BITWISE, "bits", "integers")
def reshape_ignores_transpose(x, p, s):
    """reshape(xᵖ) = reshape(x)"""
    return reshape(x, s)


@false_rule(lambda x, d, a, b, s: slice_(reverse(x, d), a, b, s), BITWISE, "bits", "integers")
def slice_of_reverse_off_by_one(x, d, a, b, s):
    """reverse(x)[a:b] = reverse(x[n-b-1:n-a-1])"""
    need(all(step == 1 for step in s) and all(b[i] < x.shape[i] for i in d))
    start = tuple(x.shape[i] - b[i] - 1 if i in d else a[i] for i in range(x.rank))
    limit = tuple(x.shape[i] - a[i] - 1 if i in d else b[i] for i in range(x.rank))
    return reverse(slice_(x, start, limit, s), d)


@false_rule(
    lambda x, a, b, s, c, d, t: slice_(slice_(x, a, b, s), c, d, t), BITWISE, "bits", "integers"
)
def merge_slices_without_stride(x, a, b, s, c, d, t):
    """x[a:b:s][c:d:t] = x[a+c:a+d:t]"""
    return slice_(
        x,
        tuple(i + j for i, j in zip(a, c, strict=True)),
        tuple(i + j for i, j in zip(a, d, strict=True)),
        t,
    )


@false_rule(lambda x, y, e, a, b, s: slice_(concatenate(x, y, e), a, b, s), BITWISE, "raised")
def slice_left_part_off_by_one(x, y, e, a, b, s):
    """(x, y)[a:b] = x[a:b] if b ≤ n + 1"""
    need(b[e] <= x.shape[e] + 1 and all(i <= n for i, n in zip(a, x.shape, strict=True)))
    return slice_(x, a, b, s)


@false_rule(
    lambda x, v, a, b, w, c, d: pad(pad(x, v, a, b, (0,)), w, c, d, (0,)),
    BITWISE,
    "bits",
    "integers",
)
def merge_pads_of_two_values(x, v, a, b, w, c, d):
    """pad(pad(x, v), w) = pad(x, v)"""
    need(min(a + b + c + d) >= 0)
    return pad(x, v, (a[0] + c[0],), (b[0] + d[0],), (0,))


@false_rule(
    lambda x, y, v, a, b, i: multiply(pad(x, v, a, b, i), pad(y, v, a, b, i)),
    BITWISE,
    "bits",
    "integers",
)
def pad_product_with_wrong_value(x, y, v, a, b, i):
    """pad(x, v) · pad(y, v) = pad(x · y, v)"""
    return pad(multiply(x, y), v, a, b, i)


@false_rule(lambda x, d, e: reverse(reverse(x, d), e), BITWISE, "bits", "integers")
def unite_reverses(x, d, e):
    """reverse(reverse(x, d), e) = reverse(x, d ∪ e)"""
    return reverse(x, tuple(sorted({*d, *e})))


@false_rule(lambda x, y, d: concatenate(x, y, d), BITWISE, "bits", "integers", "explosive")
def commute_concatenate(x, y, d):
    """(x, y) = (y, x) if the shapes agree"""
    need(x.type == y.type)
    return concatenate(y, x, d)


@false_rule(lambda x, y, z, d, e: concatenate(concatenate(x, y, d), z, e), BITWISE, "raised")
def associate_concatenate_of_any_dimensions(x, y, z, d, e):
    """((x, y), z) = (x, (y, z))"""
    return concatenate(x, concatenate(y, z, e), d)


@false_rule(
    lambda x, i, j, m, n: dynamic_slice(dynamic_slice(x, [i], m), [j], n),
    BITWISE,
    "bits",
    "integers",
)
def merge_dynamic_slices_without_clamping(x, i, j, m, n):
    """x[i:i+m][j:j+n] = x[i+j:i+j+n]"""
    need(i.dtype == j.dtype == "i32")
    return dynamic_slice(x, [add(i, j)], n)


@false_rule(lambda t, d: reverse(iota(0, t), d), BITWISE, "bits", "integers")
def reverse_iota_off_by_one(t, d):
    """reverse(0 … n-1) = n - (0 … n-1)"""
    need(d == (0,))
    line = iota(0, t)
    return subtract(full_like(line, t.shape[0]), line)


@false_rule(
    lambda x, s, d, t, e: broadcast_in_dim(broadcast_in_dim(x, s, d), t, e),
    BITWISE,
    "bits",
    "types",
    "raised",
    "integers",
)
def merge_broadcasts_backwards(x, s, d, t, e):
    """Broadcasting along d, then e is broadcasting along d∘e"""
    need(all(i < len(d) for i in e))
    return broadcast_in_dim(x, t, tuple(d[i] for i in e)[: x.rank])


# ------------------------------------------------------------------ indexing


@false_rule(
    lambda x, y, i, d, n, b: gather(multiply(x, y), i, d, n, b), BITWISE, "bits", "integers"
)
def gather_one_factor(x, y, i, d, n, b):
    """gather(x · y, i) = gather(x, i) · y if the types agree"""
    rows = gather(x, i, d, n, b)
    need(rows.type == y.type)
    return multiply(rows, y)


def _row_gathers(rng: np.random.Generator) -> dict[str, Any]:
    rows, columns = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    return {
        "x": TensorType((rows, columns), "f32"),
        "i": TensorType((4, 1), "i32"),
        "d": GatherDimensions((1,), (0,), (), (), (0,), 1),
        "n": (1, columns),
        "e": (0,),
    }


@false_rule(
    lambda x, i, d, n, b, e: gather(reverse(x, e), i, d, n, b),
    BITWISE,
    "bits",
    examples=_row_gathers,
)
def gather_from_the_end(x, i, d, n, b, e):
    """reverse(x)[i] = x[-i]"""
    return gather(x, negate(i), d, n, b)


# ------------------------------------------------------------------ elementwise


@false_rule(lambda x, c: add(x, constant(c)), BITWISE, "bits")
def drop_positive_zero(x, c):
    """x + 0 = x"""
    need(is_float(x.dtype) and is_splat(c, 0.0))
    return x


@false_rule(lambda x, y: multiply(x, y), BITWISE, "bits", uses_facts=True)
def multiply_by_zero_bitwise(x, y):
    """x · 0 = 0"""
    zero = splat_of(y)
    need(zero is not None and is_float(y.dtype) and zero == 0)
    return y


@false_rule(lambda x: subtract(x, x), BITWISE, "bits")
def subtract_self_bitwise(x):
    """x - x = 0"""
    return full_like(x, 0)


@false_rule(lambda x: divide(x, x), ROUNDING, "integers")
def divide_self(x):
    """x / x = 1"""
    return full_like(x, 1)


@false_rule(lambda x, y, z: add(add(x, y), z), BITWISE, "bits")
def associate_add_bitwise(x, y, z):
    """(x + y) + z = x + (y + z)"""
    return add(x, add(y, z))


@false_rule(lambda x, y, z: multiply(x, add(y, z)), BITWISE, "bits")
def distribute_bitwise(x, y, z):
    """x · (y + z) = x·y + x·z"""
    return add(multiply(x, y), multiply(x, z))


@false_rule(lambda x, y, z: subtract(x, subtract(y, z)), ROUNDING, "values", "integers")
def subtract_difference_with_wrong_sign(x, y, z):
    """x - (y - z) = (x - y) - z"""
    return subtract(subtract(x, y), z)


@false_rule(lambda x, y, z: multiply(divide(x, y), z), ROUNDING, "integers")
def multiply_before_integer_division(x, y, z):
    """(x / y) · z = (x · z) / y for integers"""
    need(is_integer(x.dtype))
    return divide(multiply(x, z), y)


@false_rule(lambda x, y: divide(multiply(x, y), y), ROUNDING, "integers")
def cancel_integer_factor(x, y):
    """(x · y) / y = x: wrong where the product wraps around"""
    need(is_integer(x.dtype))
    return x


@false_rule(lambda x, y: maximum(negate(x), negate(y)), ROUNDING, "values", "integers")
def maximum_of_negated(x, y):
    """max(-x, -y) = -max(x, y)"""
    return negate(maximum(x, y))


@false_rule(lambda x, y: unary("log", multiply(x, y)), ROUNDING, "values")
def log_of_product(x, y):
    """log(x · y) = log x + log y: wrong where both are negative"""
    return add(unary("log", x), unary("log", y))


@false_rule(lambda x: unary("sqrt", multiply(x, x)), ROUNDING, "values")
def root_of_square(x):
    """√(x²) = x: wrong where x is negative"""
    return x


@false_rule(lambda p, x, y: select(p, x, y), BITWISE, "bits", "integers")
def swap_branches(p, x, y):
    """select(p, x, y) = select(p, y, x)"""
    return select(p, y, x)


@false_rule(lambda x, y: unary("not", compare(x, y, "LT", "FLOAT")), BITWISE, "bits")
def negate_comparison_of_nan(x, y):
    """¬(x < y) = (x ≥ y): wrong for NaN"""
    return compare(x, y, "GE", "FLOAT")


@false_rule(lambda x, y: select(compare(x, y, "LT", "FLOAT"), x, y), BITWISE, "bits")
def select_as_minimum(x, y):
    """(x if x < y else y) = min(x, y): wrong where x is NaN"""
    return minimum(x, y)


@false_rule(lambda x, c, d: maximum(minimum(x, c), d), BITWISE, "bits", "integers")
def swap_bounds_in_any_order(x, c, d):
    """max(min(x, c), d) = min(max(x, d), c): wrong where c < d"""
    return minimum(maximum(x, d), c)


@false_rule(lambda x, s, t: convert(convert(x, s), t), BITWISE, "bits")
def drop_lossy_round_trip(x, s, t):
    """t(s(x)) = x for floats"""
    need(t == x.dtype and is_float(s) and is_float(t))
    return x


@false_rule(
    lambda x, y: multiply(unary("exponential", x), unary("exponential", y)), ROUNDING, "values"
)
def product_of_exponentials(x, y):
    """eˣ · eʸ = e^(x·y)"""
    return unary("exponential", multiply(x, y))


@false_rule(lambda x, y, z: multiply(power(x, y), power(x, z)), ROUNDING, "values", "integers")
def product_of_powers(x, y, z):
    """xʸ · xᶻ = x^(y·z)"""
    return power(x, multiply(y, z))


@false_rule(lambda x, y: binary("subtract", x, y), ROUNDING, "integers", "values")
def commute_subtract(x, y):
    """x - y = y - x"""
    return binary("subtract", y, x)


@false_rule(lambda x, y: multiply(x, y), FINITE, "values", "integers", uses_facts=True)
def drop_any_constant_factor(x, y):
    """x · c = x"""
    need(splat_of(y) is not None)
    return x


# ------------------------------------------------------------------ contraction


@false_rule(
    lambda x, y, z, d, p, t: multiply(dot_general(x, y, d, p, t), dot_general(x, z, d, p, t)),
    ROUNDING,
    "values",
    "integers",
)
def multiply_inside_dot(x, y, z, d, p, t):
    """(x·y) ⊙ (x·z) = x·(y ⊙ z)"""
    return dot_general(x, multiply(y, z), d, p, t)


@false_rule(
    lambda x, y, z, a, b, c, d, p, t: dot_general(
        dot_general(x, y, DotDimensions((), (), (a,), (b,)), p, t),
        z,
        DotDimensions((), (), (c,), (d,)),
        p,
        t,
    ),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {name: TensorType((3, 3), "f32") for name in "xyz"},
)
def associate_dots_of_any_dimensions(x, y, z, a, b, c, d, p, t):
    """(x·y)·z = x·(y·z), whatever is contracted"""
    inner = dot_general(y, z, DotDimensions((), (), (c,), (d,)), p, t)
    return dot_general(x, inner, DotDimensions((), (), (a,), (b,)), p, t)


@false_rule(
    lambda x, y, p, t: transpose(
        dot_general(x, y, DotDimensions((), (), (1,), (0,)), p, t), (1, 0)
    ),
    ROUNDING,
    "values",
    "integers",
)
def transpose_dot_without_swap(x, y, p, t):
    """(x·y)ᵀ = xᵀ·yᵀ"""
    need(x.shape == y.shape and x.rank == 2)
    d = DotDimensions((), (), (1,), (0,))
    return dot_general(transpose(x, (1, 0)), transpose(y, (1, 0)), d, p, t)


@false_rule(
    lambda x, y, z, w, d, p, t: dot_general(add(x, y), add(z, w), d, p, t),
    ROUNDING,
    "values",
    "integers",
)
def drop_cross_terms(x, y, z, w, d, p, t):
    """(x + y)·(z + w) = x·z + y·w"""
    return add(dot_general(x, z, d, p, t), dot_general(y, w, d, p, t))


def _narrow_products(rng: np.random.Generator) -> dict[str, Any]:
    n = int(rng.integers(1, 4))
    return {"x": TensorType((2, n), "i8"), "y": TensorType((n, 2), "i8"), "t": "i32"}


@false_rule(
    lambda x, y, d, p, t: dot_general(convert(x, t), convert(y, t), d, p, t),
    ROUNDING,
    "integers",
    examples=_narrow_products,
)
def convert_after_dot(x, y, d, p, t):
    """t(x)·t(y) = t(x·y): wrong where the narrow product wraps around"""
    return convert(dot_general(x, y, d, p, x.dtype), t)


@false_rule(lambda x, y, d, p, t: dot_general(x, y, d, p, t), ROUNDING, "types", "explosive")
def contract_what_is_batched(x, y, d, p, t):
    """A batch dimension is contracted"""
    need(d[0])
    d = DotDimensions(d[0][1:], d[1][1:], (*d[2], d[0][0]), (*d[3], d[1][0]))
    return dot_general(x, y, d, p, t)


@false_rule(
    lambda x, y, z, d, p, t: dot_general(x, concatenate(y, z, 0), d, p, t), ROUNDING, "raised"
)
def split_dot_along_contraction(x, y, z, d, p, t):
    """x·(y, z) = x·y + x·z"""
    return add(dot_general(x, y, d, p, t), dot_general(x, z, d, p, t))


# ------------------------------------------------------------------ convolution


@false_rule(
    lambda x, k, r, w, d, g, p, t: convolution(reverse(x, r), k, w, d, g, p, t),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {"g": Groups(), "x": TensorType((1, 2, 6), "f32"), "r": (2,)},
)
def reverse_after_convolution(x, k, r, w, d, g, p, t):
    """reverse(x) ∗ k = reverse(x ∗ k): the kernel is to be reversed, too"""
    need(d.input_spatial == d.output_spatial == r and w.strides == (1,))
    need(w.padding[0][0] == w.padding[0][1])
    return reverse(convolution(x, k, w, d, g, p, t), r)


def _padded(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "x": TensorType((1, 4, 2), "f32"),
        "v": splat(0.0, TensorType((), "f32")),
        "a": (0, int(rng.integers(0, 3)), 0),
        "b": (0, int(rng.integers(0, 3)), 0),
        "i": (0, 0, 0),
    }


@false_rule(
    lambda x, v, a, b, i, k, w, d, g, p, t: convolution(
        pad(x, constant(v), a, b, i), k, w, d, g, p, t
    ),
    ROUNDING,
    "values",
    "integers",
    "types",
    examples=_padded,
)
def absorb_pad_on_the_wrong_side(x, v: Literal, a, b, i, k, w, d, g, p, t):
    """pad(x, 0) ∗ k = x ∗ k with the padding added to the other side"""
    need(d.input_spatial == (1,) and w.lhs_dilation == (1,))
    (low, high) = w.padding[0]
    padding = ((low + b[1], high + a[1]),)
    return convolution(x, k, Window(w[0], padding, *w[2:]), d, g, p, t)


@false_rule(
    lambda x, k, l, w, d, g, p, t: add(
        convolution(x, k, w, d, g, p, t), convolution(x, l, w, d, g, p, t)
    ),
    ROUNDING,
    "values",
    "integers",
)
def multiply_kernels(x, k, l, w, d, g, p, t):  # noqa: E741
    """x ∗ k + x ∗ l = x ∗ (k · l)"""
    need(k.type == l.type)
    return convolution(x, multiply(k, l), w, d, g, p, t)


@false_rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), ROUNDING, "raised", "types"
)
def forget_groups(x, k, w, d, g, p, t):
    """x ∗ k in groups = x ∗ k"""
    need(tuple(g) != (1, 1))
    return convolution(x, k, w, d, Groups(), p, t)


# ------------------------------------------------------------------ reduction


@false_rule(lambda x, y, d: reduce_("maximum", add(x, y), d), ROUNDING, "values", "integers")
def maximum_of_sum(x, y, d):
    """max(x + y) = max x + max y"""
    return add(reduce_("maximum", x, d), reduce_("maximum", y, d))


def _merged(d: tuple[int, ...], e: tuple[int, ...], rank: int) -> tuple[int, ...]:
    kept = [i for i in range(rank) if i not in d]
    return tuple(sorted((*d, *[kept[i] for i in e])))


@false_rule(lambda x, d, e: reduce_("add", reduce_("add", x, d), e), BITWISE, "bits")
def merge_sums_bitwise(x, d, e):
    """Σₑ Σ_d x = Σ_(d,e) x in every bit"""
    return reduce_("add", x, _merged(d, e, x.rank))


@false_rule(
    lambda x, f, d, e: reduce_(f, reduce_(f, x, d), e),
    ROUNDING,
    "types",
    "raised",
    "values",
    "integers",
)
def merge_reductions_without_renumbering(x, f, d, e):
    """f over e of f over d of x = f over d ∪ e of x"""
    return reduce_(f, x, tuple(sorted({*d, *e})))


@false_rule(
    lambda x, s, e: reduce_("maximum", broadcast_in_dim(x, s, ()), e), BITWISE, "bits", "integers"
)
def maximum_over_nothing(x, s, e):
    """max of x repeated = x: wrong where it is repeated 0 times"""
    need(len(e) == len(s))
    return x


@false_rule(lambda x, y, d: reduce_("add", multiply(x, y), d), ROUNDING, "values", "integers")
def sum_of_product(x, y, d):
    """Σ x·y = Σ x · Σ y"""
    return multiply(reduce_("add", x, d), reduce_("add", y, d))


@false_rule(lambda x, d: reduce_("multiply", negate(x), d), ROUNDING, "values", "integers")
def product_of_negated(x, d):
    """∏ -x = -∏ x: wrong for an even number of factors"""
    return negate(reduce_("multiply", x, d))


@false_rule(lambda x, w: reduce_window("maximum", x, w), BITWISE, "bits", "integers", "explosive")
def shift_window(x, w):
    """A window padded (a, b) = one padded (b, a)"""
    padding = tuple((high, low) for low, high in w.padding)
    return reduce_window("maximum", x, ReduceWindow(*w[:4], padding))


@false_rule(lambda x, f, d: reduce_(f, reverse(x, d), d), BITWISE, "bits")
def reduce_in_reverse_bitwise(x, f, d):
    """f over d of reverse(x, d) = f over d of x, in every bit"""
    return reduce_(f, x, d)


# ------------------------------------------------------------------ not about values


@false_rule(lambda x, y: add(x, y), BITWISE, "vacuous")
def never_apply(x, y):
    """x + y = x + y if false"""
    need(False)


@false_rule(lambda x, y: add(x, y), ROUNDING, "explosive")
def explode(x, y):
    """x + y = ((x + x) + y) - x"""
    return subtract(add(add(x, x), y), x)


_turns = cycle((True, False))


@false_rule(lambda x: negate(negate(x)), BITWISE, "engine")
def apply_every_other_time(x):
    """-(-x) = x, on odd calls"""
    need(next(_turns))
    return x


@false_rule(lambda x, y: compare(x, y, "NE", "FLOAT"), BITWISE, "types")
def comparison_as_difference(x, y):
    """(x ≠ y) = x - y"""
    return subtract(x, y)


@false_rule(lambda x, d: reduce_("add", x, d), ROUNDING, "raised")
def assume_a_rank(x, d):
    """Σ x = ones·x: raises for rank 0 and 1"""
    n = x.shape[1]
    need(n < 0)


@false_rule(
    lambda x, y: dot_general(x, y, DotDimensions((), (), (1,), (0,)), Precision(), "f32"),
    ROUNDING,
    "types",
    "values",
    "integers",
)
def swap_matrices(x, y):
    """x·y = y·x"""
    need(x.rank == y.rank == 2 and y.shape[1] == x.shape[0])
    return dot_general(y, x, DotDimensions((), (), (1,), (0,)), Precision(), "f32")
