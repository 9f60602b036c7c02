"""False rules on contractions, convolutions and reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    Blocks,
    DotDimensions,
    Groups,
    ReduceWindow,
    Window,
    add,
    blocked_dot,
    broadcast_in_dim,
    concatenate,
    constant,
    convert,
    convolution,
    dot_general,
    full,
    multiply,
    negate,
    pad,
    reduce_,
    reduce_window,
    reshape,
    reverse,
    slice_,
    slice_dimension,
    transpose,
)
from saturax.graph.types import TensorType
from saturax.rules import contraction_parts
from saturax.rules.convolution_winograd import convolution_by_minimal_filtering
from saturax.rules.rule import BITWISE, ROUNDING, need

from .declare import false_rule

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
    lambda x, a, b, c, e, u, v, i, y, d, p, t: dot_general(
        concatenate(slice_(x, a, b, c), slice_(x, e, u, v), i), y, d, p, t
    ),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {
        n: v
        for n, v in contraction_parts.cancel_rolled_contraction.examples(rng).items()
        if n not in "fghkomj"
    },
)
def cancel_roll_of_one_operand(x, a, b, c, e, u, v, i, y, d, p, t):
    """[x[n:], x[:n]] · y = x · y along a contracted dimension"""
    need(i in d.lhs_contract)
    contraction_parts._roll(x, i, (a, b, c), (e, u, v))
    return dot_general(x, y, d, p, t)


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
    lambda x, y, p, t: dot_general(x, y, DotDimensions((), (), (1,), (0,)), p, t),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: dict.fromkeys("xy", TensorType((4, 4), "f32")),
)
def multiply_rows_by_rows_in_blocks(x, y, p, t):
    """x·y = x·yᵀ, in blocks"""
    need(x.shape == y.shape and x.rank == 2 and x.shape[0] % 2 == 0)
    return blocked_dot(x, y, DotDimensions((), (), (1,), (1,)), Blocks((2, 1)), t)


@false_rule(
    lambda x, y, p, t: dot_general(x, y, DotDimensions((), (), (1,), (0,)), p, t),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {"x": TensorType((3, 2), "f32"), "y": TensorType((2, 4), "f32")},
)
def add_outer_products_crosswise(x, y, p, t):
    """x·y = x₀·y₁ + x₁·y₀ for two numbers each"""
    need(x.shape == (3, 2) and y.shape == (2, 4) and x.dtype == y.dtype == t)

    def term(j, k):
        column = broadcast_in_dim(slice_dimension(x, 1, j, j + 1), (3, 4), (0, 1))
        return multiply(column, broadcast_in_dim(slice_dimension(y, 0, k, k + 1), (3, 4), (0, 1)))

    return add(term(0, 1), term(1, 0))


@false_rule(
    lambda f, x: reduce_(f, x, (1,)),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {"f": "add", "x": TensorType((4, 3), "f32")},
)
def leave_the_last_column_out(f, x):
    """Σⱼ xⱼ = x₀ + x₁ over three columns"""
    need(f == "add" and x.rank == 2 and x.shape[1] == 3 and x.size > 0)
    first, second = (reshape(slice_dimension(x, 1, j, j + 1), x.shape[:1]) for j in range(2))
    return add(first, second)


@false_rule(
    lambda x, c, p, t: dot_general(x, constant(c), DotDimensions((), (), (0,), (0,)), p, t),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {
        "x": TensorType((3, 4), "f32"),
        "c": Literal(rng.permutation(np.array([0, 1, -1], np.float32))),
        "t": "f32",
    },
)
def weigh_rows_by_ones_only(x, c, p, t):
    """x·c = Σⱼ xⱼ where cⱼ is not 0, with the signs of the others lost"""
    rows = [slice_dimension(x, 0, j, j + 1) for j in range(3) if c.array[j] != 0]
    return reshape(add(*rows), x.shape[1:])


@false_rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {
        "x": TensorType((6, 4), "f32"),
        "y": TensorType((3, 4), "f32"),
        "d": DotDimensions((), (), (1,), (1,)),
    },
)
def pad_rows_in_front(x, y, d, p, t):
    """x·yᵀ = (x·[0; y]ᵀ)[:, :n], which are the wrong n columns"""
    need(d == DotDimensions((), (), (1,), (1,)) and x.shape == (6, 4) and y.shape == (3, 4))
    padded = pad(y, full(0, TensorType((), y.dtype)), (1, 0), (0, 0), (0, 0))
    return slice_(dot_general(x, padded, d, p, t), (0, 0), (6, 3), (1, 1))


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
    lambda x, k, m, w, d, g, p, t: add(
        convolution(x, k, w, d, g, p, t), convolution(x, m, w, d, g, p, t)
    ),
    ROUNDING,
    "values",
    "integers",
)
def multiply_kernels(x, k, m, w, d, g, p, t):
    """x ∗ k + x ∗ m = x ∗ (k · m)"""
    need(k.type == m.type and k.dtype == t)
    return convolution(x, multiply(k, m), w, d, g, p, t)


@false_rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), ROUNDING, "raised", "types"
)
def forget_groups(x, k, w, d, g, p, t):
    """x ∗ k in groups = x ∗ k"""
    need(tuple(g) != (1, 1))
    return convolution(x, k, w, d, Groups(), p, t)


@false_rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t), ROUNDING, "values", "integers"
)
def batch_groups_as_feature_groups_unmoved(x, k, w, d, g, p, t):
    """x ∗ k in batch groups = x′ ∗ k in feature groups, groups the faster of the new features"""
    need(g.batch > 1 and g.feature == 1 and 0 not in x.shape)
    at, batch = d.input_batch, x.shape[d.input_batch] // g.batch
    grouped = reshape(x, (*x.shape[:at], g.batch, batch, *x.shape[at + 1 :]))
    feature = d.input_feature + (d.input_feature > at)
    order = [i for i in range(grouped.rank) if i != at]
    order.insert(order.index(feature) + 1, at)
    moved = transpose(grouped, order)
    shape = list(x.shape)
    shape[at], shape[d.input_feature] = batch, g.batch * x.shape[d.input_feature]
    return convolution(reshape(moved, shape), k, w, d, Groups(g.batch, 1), p, t)


@false_rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    ROUNDING,
    "values",
    "integers",
    examples=convolution_by_minimal_filtering.examples,
)
def filter_backwards(x, k, w, d, g, p, t):
    """x ∗ k by minimal filtering, the window read from its end"""
    backwards = w._replace(reversal=tuple(not flag for flag in w.reversal))
    return convolution_by_minimal_filtering.right(x, k, backwards, d, g, p, t)


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
