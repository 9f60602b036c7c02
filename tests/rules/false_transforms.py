"""False rules on Fourier transforms, kernels with zeros, logarithms, and order looked for twice."""

from __future__ import annotations

from saturax.graph.ops import (
    SET,
    broadcast_in_dim,
    concatenate,
    constant,
    convert,
    convolution,
    divide,
    fft,
    gather,
    get_result,
    iota,
    pad,
    reduce_,
    reverse,
    scatter,
    slice_,
    subtract,
    top_k,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules import (
    convolution_taps,
    counts,
    fourier_pairs,
    log_domain,
    reselection,
    scatter_algebra,
)
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
