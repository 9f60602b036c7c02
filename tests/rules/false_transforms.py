"""False rules on transforms, kernels with zeros, logarithms, repeated order, bits and layouts."""

from __future__ import annotations

from saturax.graph.ops import (
    SET,
    binary,
    broadcast_in_dim,
    compare,
    concatenate,
    constant,
    convert,
    convolution,
    divide,
    dot_general,
    fft,
    full,
    gather,
    get_result,
    iota,
    negate,
    pad,
    reduce_,
    reshape,
    reverse,
    scatter,
    slice_,
    subtract,
    top_k,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules import (
    contraction_common,
    convolution_algebra,
    convolution_taps,
    convolution_toeplitz,
    counts,
    fourier_pairs,
    gathers,
    known_ranges,
    log_domain,
    monotone,
    ones,
    reselection,
    scatter_algebra,
)
from saturax.rules.facts import bounds_of
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need
from saturax.rules.windows import window_shape

from .declare import false_rule


@false_rule(
    lambda x, k, n: fft(fft(x, k, n), k, n),
    ROUNDING,
    "values",
    examples=fourier_pairs.transform_twice.examples,
)
def transform_twice_reverses_all(x, k, n):
    """F(F(x)) = n·reverse(x): but the first element stays"""
    need(k in fourier_pairs.COMPLEX and 0 not in n)
    dimensions = tuple(range(x.rank - len(n), x.rank))
    return fourier_pairs._scaled(reverse(x, dimensions), k, n)


@false_rule(
    lambda x, a, b, s, c, e, t, d, k, n: unary(
        "real", fft(concatenate(slice_(x, a, b, s), slice_(x, c, e, t), d), k, n)
    ),
    ROUNDING,
    "values",
    examples=fourier_pairs.modulus_of_transform_of_rolled.examples,
)
def real_part_of_transform_of_rolled(x, a, b, s, c, e, t, d, k, n):
    """re F([x[m:], x[:m]]) = re F(x): but a shift turns the phase"""
    need(k != "IRFFT" and d >= x.rank - len(n) and a[d] == e[d] and c[d] == 0)
    need(b[d] == x.shape[d])
    return unary("real", fft(x, k, n))


@false_rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    ROUNDING,
    "integers",
    "values",
    "types",
    uses_facts=True,
    examples=convolution_taps.drop_zero_taps.examples,
)
def drop_zero_taps_and_keep_the_padding(x, k, w, d, g, p, t):
    """x ∗ k = x ∗ k[a:b] with the same padding, if k is 0 outside [a:b] of the window"""
    bounds = {i: convolution_taps._support(k, i) for i in d.kernel_spatial}
    kernel = convolution_taps._cropped(k, bounds)
    need(kernel.shape != k.shape)
    extent = [
        (n - m) * spread
        for n, m, spread in zip(
            window_shape(k, d), window_shape(kernel, d), w.rhs_dilation, strict=True
        )
    ]
    # What the window no longer covers is cut off at the end, whichever end has the zeros.
    padding = tuple((a, b - n) for (a, b), n in zip(w.padding, extent, strict=True))
    return convolution(x, kernel, w._replace(padding=padding), d, g, p, t)


@false_rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    ROUNDING,
    "integers",
    "values",
)
def reverse_window_of_thin_convolution_alone(x, k, w, d, g, p, t):
    """x ∗ k with a reversed window = x ∗ k, if each output reads one feature"""
    need(k.shape[d.kernel_input_feature] == 1 and g.batch == 1 and not any(w.reversal))
    sizes = window_shape(k, d)
    need(max(sizes) > 1 and 0 not in x.shape)
    reversal = tuple(n > 1 for n in sizes)
    return convolution(x, k, w._replace(reversal=reversal), d, g, p, t)


@false_rule(
    lambda x, k, c, low, high, interior, w, d, g, p, t: convolution(
        x, pad(k, constant(c), low, high, interior), w, d, g, p, t
    ),
    ROUNDING,
    "types",
    "integers",
    "values",
    examples=convolution_taps.absorb_spread_of_kernel.examples,
)
def spread_of_kernel_spreads_the_input(x, k, c, low, high, interior, w, d, g, p, t):
    """x ∗ k with n zeros between the taps = x, dilated, ∗ k"""
    need(c.value == 0 and not any(low) and not any(high))
    spread = [n * (interior[i] + 1) for n, i in zip(w.lhs_dilation, d.kernel_spatial, strict=True)]
    return convolution(x, k, w._replace(lhs_dilation=tuple(spread)), d, g, p, t)


@false_rule(
    lambda x, m, s, e, d, t, g: divide(
        log_domain._shifted(x, m, s, e),
        broadcast_in_dim(reduce_("add", log_domain._shifted(x, m, s, e), d), t, g),
    ),
    FINITE,
    "values",
    examples=log_domain.softmax_of_logarithms.examples,
)
def softmax_of_logarithms_as_softmax(x, m, s, e, d, t, g):
    """softmax(log x) = softmax(x)"""
    need(x.dtype == "f64" and tuple(t) == x.shape)
    whole = unary("exponential", x)
    return divide(whole, broadcast_in_dim(reduce_("add", whole, d), t, g))


@false_rule(
    lambda x, k, m: get_result(top_k(get_result(top_k(x, k), 0), m), 1),
    BITWISE,
    "integers",
    "bits",
    examples=reselection.places_of_top_of_top.examples,
)
def places_of_top_of_top_in_the_whole(x, k, m):
    """The places of the m largest of the k largest are those in x"""
    return get_result(top_k(x, m), 1)


@false_rule(
    lambda f, x, k, d: reduce_(f, get_result(top_k(x, k), 0), d),
    ROUNDING,
    "integers",
    "values",
    examples=lambda rng: (reselection.greatest_of_top.examples(rng)) | {"f": "minimum"},
)
def least_of_top(f, x, k, d):
    """The least of the k largest is min x"""
    need(f == "minimum" and x.rank - 1 in d and k > 0)
    return reduce_(f, x, d)


@false_rule(
    lambda f, x, i, g, n, s, d, b, q: scatter(f, x, i, gather(x, i, g, n, s), d, b, q),
    BITWISE,
    "bits",
    "integers",
    examples=lambda rng: scatter_algebra.scatter_own_values.examples(rng) | {"f": "add"},
)
def add_own_values(f, x, i, g, n, s, d, b, q):
    """x + x[i] at i = x"""
    need(f != SET and tuple(g) == tuple(d))
    return x


@false_rule(
    lambda p, t, d: reduce_("add", convert(unary("not", p), t), d),
    BITWISE,
    "integers",
    "bits",
    examples=counts.count_of_negated.examples,
)
def count_of_negated_in_the_whole(p, t, d):
    """Σ 1₋ₚ = size of p - Σ 1ₚ: but it is counted along d only"""
    need(p.dtype == "i1" and t in ("i32", "i64") and p.size > 0)
    found = reduce_("add", convert(p, t), d)
    whole = TensorType((*found.shape, p.size + 1), t)
    return subtract(reduce_("maximum", iota(found.rank, whole), (found.rank,)), found)


@false_rule(
    lambda f, x, c, e: unary(
        "popcnt",
        binary(
            f,
            binary("shift_left", x, constant(c)),
            binary("shift_right_logical", x, constant(e)),
        ),
    ),
    BITWISE,
    "integers",
    "bits",
    examples=lambda rng: ones._rotated(rng) | {"e": ones._rotated(rng)["e"]},
)
def ones_of_word_moved_both_ways(f, x, c, e):
    """popcnt((x « k) ∨ (x » l)) = popcnt x for any k and l"""
    need(c.is_splat and e.is_splat and c.type.dtype == e.type.dtype)
    return unary("popcnt", x)


@false_rule(
    lambda x, i, c, k, d, n, b: gather(x, concatenate(i, constant(c), k), d, n, b),
    BITWISE,
    "integers",
    "bits",
    "raised",
    examples=gathers._beside_constants,
)
def slice_first_columns_before_gather(x, i, c, k, d, n, b):
    """x[i, a:b] = x[:, : b - a][i]"""
    need(k == d.index_vector_dim and x.rank == 2)
    part = slice_(x, (0, 0), (x.shape[0], n[1]), (1, 1))
    return gather(part, i, d._replace(start_index_map=(0,)), n, b)


@false_rule(
    lambda f, x, y, z, d, e, p, t: binary(
        f, dot_general(x, y, d, p, t), dot_general(x, z, e, p, t)
    ),
    ROUNDING,
    "integers",
    "values",
    "types",
    examples=contraction_common._transposed,
)
def factor_without_transposing(f, x, y, z, d, e, p, t):
    """x·y ± x·zᵀ = x · (y ± z)"""
    need(f in ("add", "subtract") and x.dtype == y.dtype == z.dtype == t and y.shape == z.shape)
    need(d != e and x.rank == y.rank == 2)
    return dot_general(x, binary(f, y, z), d, p, t)


@false_rule(
    lambda x, y, s, d, e, r: reduce_(
        "maximum",
        unary("abs", subtract(broadcast_in_dim(x, s, d), broadcast_in_dim(y, s, e))),
        r,
    ),
    FINITE,
    "integers",
    "values",
    examples=monotone._two_lines,
)
def greatest_distance_one_way(x, y, s, d, e, r):
    """max |xᵢ - yⱼ| = max x - min y"""
    need(not set(d) & set(e) and tuple(r) == tuple(range(len(s))) and 0 not in s)
    high = reduce_("maximum", x, range(x.rank))
    return subtract(high, reduce_("minimum", y, range(y.rank)))


@false_rule(lambda x, y: binary("atan2", x, negate(y)), ROUNDING, "values")
def angle_of_other_mirror(x, y):
    """atan2(x, -y) = -atan2(x, y)"""
    need(x.dtype in ("f32", "f64"))
    return negate(binary("atan2", x, y))


@false_rule(
    lambda x, k, w, d, g, p, t, e: reduce_("add", convolution(x, k, w, d, g, p, t), e),
    ROUNDING,
    "integers",
    "values",
    "types",
    "raised",
    examples=convolution_algebra._summed_outputs,
)
def sum_input_features_in_kernel(x, k, w, d, g, p, t, e):
    """Σ (x ∗ k) over output features = Σ x ∗ (Σ k over input features)"""
    need(k.shape[0] == w.padding[0][0] + 1 and k.shape[1] == k.shape[2] and d.output_feature in e)
    kernel = reduce_("add", k, (d.kernel_input_feature,))
    turned = reshape(kernel, (*kernel.shape, 1))
    return reduce_("add", convolution(x, turned, w, d, g, p, t), e)


@false_rule(
    lambda x, y, d, k: compare(x, y, d, k),
    FINITE,
    "bits",
    "values",
    "integers",
    uses_facts=True,
    examples=known_ranges._computed,
)
def compare_numbers_by_lower_bounds(x, y, d, k):
    """(x ≥ y) = true if x may not be less than the least y"""
    need(x.dtype in ("f32", "f64") and k == "FLOAT" and d == "LT" and x.size > 0)
    need(bounds_of(x)[0] >= bounds_of(y)[0])
    return full(True, x.tensor.with_dtype("i1"))


@false_rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=convolution_toeplitz.windows_by_identity_kernel.examples,
)
def windows_from_the_other_end(x, k, w, d, g, p, t):
    """x ∗ 1 = the matrix of x[i + j], its columns in reverse"""
    windows = convolution_toeplitz.windows_by_identity_kernel.right(x, k, w, d, g, p, t)
    return reverse(windows, (d.output_feature,))
