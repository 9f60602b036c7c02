"""False rules on sums that pick, count or accumulate, and on what is factored out of sums."""

from __future__ import annotations

from saturax.graph.ops import (
    Cumulation,
    DotDimensions,
    ReduceWindow,
    add,
    binary,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    dot_general,
    fft,
    full_like,
    get_result,
    householder_product,
    multiply,
    qr,
    reduce_,
    reduce_window,
    reshape,
    select,
    slice_,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules import (
    affine,
    counts,
    interleaving,
    means,
    moments,
    picks,
    segments,
    telescoping,
    triangular_sums,
)
from saturax.rules.conditions import REALS, folded
from saturax.rules.cumulative import cumulative
from saturax.rules.einsum import einsum_of
from saturax.rules.factors import identity_matrices
from saturax.rules.facts import splat_of
from saturax.rules.indices import holds_indices
from saturax.rules.rule import APPROXIMATE, BITWISE, FINITE, ROUNDING, need

from .declare import false_rule


@false_rule(
    lambda x, i, s, e, k, r, w, d: reduce_(
        "add", multiply(w, convert(compare(broadcast_in_dim(i, s, e), x, "EQ", k), r)), d
    ),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=picks.sum_times_one_hot.examples,
)
def pick_without_bounds(x, i, s, e, k, r, w, d):
    """Σⱼ wⱼ · one_hot(i)ⱼ = wᵢ: wrong where i is out of bounds, since a gather clamps"""
    axis = picks.axis_of(x, i, s, e)
    need(axis in d and holds_indices(i.dtype, w.shape[axis]))
    found = picks._picked("add", w, i, e, axis)
    inner = found.node.operands[1] if found.node.op == "ternary" else found.index
    picked = type(found)(found.builder, inner, found.type)
    return reduce_("add", picked, [j - (j > axis) for j in d if j != axis])


@false_rule(
    lambda f, x, i, s, e, k, w, c, d: reduce_(
        f, select(compare(broadcast_in_dim(i, s, e), x, "EQ", k), w, c), d
    ),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=lambda rng: picks.reduce_picked.examples(rng) | {"f": "maximum"},
)
def pick_from_nonzero_background(f, x, i, s, e, k, w, c, d):
    """maxⱼ (wⱼ where i = j, else c) = wᵢ whatever c is"""
    need(f == "maximum" and w.dtype in REALS and splat_of(c) is not None)
    axis = picks.axis_of(x, i, s, e)
    need(tuple(d) == (axis,) and holds_indices(i.dtype, w.shape[axis]))
    return picks._picked("maximum", w, i, e, axis)


@false_rule(
    lambda f, x, i, s, e, k, w, u, g, c, d: reduce_(
        f,
        select(compare(broadcast_in_dim(i, s, e), x, "EQ", k), broadcast_in_dim(w, u, g), c),
        d,
    ),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=lambda rng: segments.reduce_segments.examples(rng) | {"f": "maximum"},
)
def segments_of_nonzero_background(f, x, i, s, e, k, w, u, g, c, d):
    """maxₖ (wₖ where iₖ = j, else c) for all j = -∞, and the greatest wₖ at iₖ, whatever c is"""
    need(f == "maximum" and w.dtype in REALS and splat_of(c) is not None)
    return segments._segments(f, x, i, s, e, s, tuple(range(len(s))), w, g, d)


@false_rule(
    lambda a, b, o, k, r, w, d, p, t: dot_general(convert(compare(a, b, o, k), r), w, d, p, t),
    ROUNDING,
    "values",
    uses_facts=True,
    examples=triangular_sums.dot_with_triangle_of_ones_left.examples,
)
def accumulate_the_other_way(a, b, o, k, r, w, d, p, t):
    """T · x = cumsum(x), always from the first on"""
    need(r == t == w.dtype and t in REALS)
    triangle = triangular_sums._triangle(a, b, o)
    labels = einsum_of(DotDimensions(*d), 2, w.rank)
    (shared,) = (i for i in (0, 1) if labels.x[i] in labels.y)
    need(not triangle.is_strict and labels.y.index(labels.x[shared]) == 0 and w.rank == 2)
    return cumulative("add", w, Cumulation(0, False))


@false_rule(
    lambda g, x, y, c, e, s, d: binary(
        g, multiply(x, constant(c)), broadcast_in_dim(multiply(y, constant(e)), s, d)
    ),
    ROUNDING,
    "values",
    examples=affine.factor_splat.examples,
)
def factor_splat_by_product(g, x, y, c, e, s, d):
    """x · c ± bcast(y · e) = (x ± bcast(y · (e · c))) · c"""
    need(g in ("add", "subtract") and x.dtype in REALS and c.is_splat and e.is_splat)
    need(4 * y.size <= x.size)
    other = folded("multiply", e, type(e)(c.data, e.type.shape))
    return multiply(binary(g, x, broadcast_in_dim(multiply(y, constant(other)), s, d)), constant(c))


@false_rule(
    lambda z, w, d, p, t: dot_general(
        binary("complex", unary("real", z), unary("negate", unary("imag", z))), w, d, p, t
    ),
    ROUNDING,
    "values",
)
def conjugate_one_factor(z, w, d, p, t):
    """z̅ · w = conjugate of z · w"""
    need(is_complex(z.dtype) and z.dtype == w.dtype == t)
    product = dot_general(z, w, d, p, t)
    negated = unary("negate", unary("imag", product))
    return binary("complex", unary("real", product), negated)


@false_rule(
    lambda a, r, s, d, p, e: dot_general(
        householder_product(get_result(qr(a, r), 0), get_result(qr(a, r), 1), s),
        householder_product(get_result(qr(a, r), 0), get_result(qr(a, r), 1), s),
        d,
        p,
        e,
    ),
    FINITE,
    "values",
    examples=lambda rng: {
        "a": TensorType((4, int(rng.integers(1, 4))), "f64"),
        "d": DotDimensions((), (), (1,), (1,)),
        "e": "f64",
    },
)
def orthonormal_rows(a, r, s, d, p, e):
    """Q·Qᵀ = 1: wrong where Q has more rows than columns"""
    need(a.rank == 2 and not is_complex(a.dtype) and a.dtype == e)
    need(DotDimensions(*d) == DotDimensions((), (), (1,), (1,)))
    return identity_matrices(a.tensor.with_shape((a.shape[0], a.shape[0])))


@false_rule(
    lambda x, y, s, e, d: reduce_(
        "add",
        multiply(subtract(x, broadcast_in_dim(y, s, e)), subtract(x, broadcast_in_dim(y, s, e))),
        d,
    ),
    APPROXIMATE,
    "values",
    examples=moments.expand_squared_deviation.examples,
)
def forget_number_of_terms(x, y, s, e, d):
    """Σ(x - y)² = Σx² - y·(2Σx - y)"""
    need(x.dtype in REALS and tuple(e) == tuple(k for k in range(x.rank) if k not in d))
    need(x.size > 0 and y.shape == tuple(s[k] for k in e))
    total = reduce_("add", x, d)
    inner = subtract(multiply(total, full_like(total, 2)), y)
    return subtract(reduce_("add", multiply(x, x), d), multiply(y, inner))


@false_rule(
    lambda f, x, w, v: reduce_window(f, reduce_window(f, x, w), v),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: {
        "f": "add",
        "x": TensorType((int(rng.integers(6, 9)),), "f64"),
        "w": ReduceWindow((3,), (1,), (1,), (1,), ((0, 0),)),
        "v": ReduceWindow((2,), (1,), (1,), (1,), ((0, 0),)),
    },
)
def merge_overlapping_windows(f, x, w, v):
    """A sum over windows that overlap is the sum over their union"""
    inner, outer = ReduceWindow(*w), ReduceWindow(*v)
    need(x.rank == 1 and f == "add" and inner.size == (3,) and outer.size == (2,))
    return reduce_window(f, x, inner._replace(size=(4,)))


@false_rule(
    lambda x, a, b, c: slice_(x, a, b, c),
    BITWISE,
    "bits",
    "integers",
    examples=interleaving.strided_slice_as_column.examples,
)
def strided_slice_as_row(x, a, b, c):
    """x[i::k] = reshape(x, (k, n/k))[i]"""
    need(x.rank == 2 and a[0] == 0 and c[0] == 1 and b[0] == x.shape[0] and c[1] > 1)
    n, stride = x.shape[1], c[1]
    need(n % stride == 0 and a[1] < stride and b[1] == n)
    rows = reshape(x, (x.shape[0], stride, n // stride))
    found = slice_(rows, (0, a[1], 0), (x.shape[0], a[1] + 1, n // stride), (1, 1, 1))
    return reshape(found, (x.shape[0], n // stride))


@false_rule(
    lambda x, k, n: fft(x, k, n),
    ROUNDING,
    "values",
    examples=lambda rng: {"x": TensorType((3,), "complex<f64>"), "k": "FFT", "n": (3,)},
)
def inverse_is_conjugate_transform(x, k, n):
    """F(x) = n·F⁻¹(x): wrong, the inputs would have to be conjugated"""
    need(k == "FFT" and n == (3,))
    result = fft(x, "IFFT", n)
    return multiply(result, full_like(result, 3))


@false_rule(
    lambda x, a, b, s, c, e, t, d: reduce_(
        "add", subtract(slice_(x, a, b, s), slice_(x, c, e, t)), d
    ),
    FINITE,
    "values",
    "integers",
    examples=telescoping.sum_of_differences.examples,
)
def swap_ends_of_differences(x, a, b, s, c, e, t, d):
    """Σ(x[k:] - x[:-k]) = Σ x[:k] - Σ x[-k:]"""
    right = telescoping.sum_of_differences.right(x=x, a=c, b=e, s=t, c=a, e=b, t=s, d=d)
    need(right is not None)
    return right


@false_rule(
    lambda x, y, s, e, o, k, r, d: reduce_(
        "add", convert(compare(x, broadcast_in_dim(y, s, e), o, k), r), d
    ),
    BITWISE,
    "integers",
    uses_facts=True,
    examples=counts.count_below.examples,
)
def count_below_and_at(x, y, s, e, o, k, r, d):
    """Σ (0, 1, …, n - 1 < y) = Σ (0, 1, …, n - 1 ≤ y)"""
    need(o == "LT")
    return counts.count_below.right(x=x, y=y, s=s, e=e, o="LE", k=k, r=r, d=d)


@false_rule(
    lambda f, g, x, c, d, e: binary(f, reduce_("add", binary(g, x, constant(c)), d), constant(e)),
    ROUNDING,
    "values",
    "integers",
    examples=means.mean_of_shifted.examples,
)
def shift_of_sum_counts_once(f, g, x, c, d, e):
    """Σ(x ± c) / n = (Σx ± c) / n"""
    need(f in ("divide", "multiply") and g in ("add", "subtract") and c.is_splat and x.size > 0)
    total = reduce_("add", x, d)
    return binary(f, binary(g, total, full_like(total, c.value)), constant(e))


@false_rule(
    lambda x, y: add(unary("popcnt", binary("or", x, y)), unary("popcnt", binary("xor", x, y))),
    BITWISE,
    "integers",
)
def union_and_difference_count_both(x, y):
    """popcnt(x ∨ y) + popcnt(x ⊕ y) = popcnt x + popcnt y"""
    need(x.dtype in ("i32", "ui8"))
    return add(unary("popcnt", x), unary("popcnt", y))
