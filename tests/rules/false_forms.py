"""False rules on signs, error functions, quadratic forms, counts of rows, and known factors."""

from __future__ import annotations

from saturax.graph.literal import splat
from saturax.graph.ops import (
    DotDimensions,
    ScatterDimensions,
    add,
    binary,
    broadcast_in_dim,
    compare,
    constant,
    divide,
    dot_general,
    eigh,
    fft,
    full,
    full_like,
    gather,
    get_result,
    maximum,
    minimum,
    multiply,
    negate,
    reduce_,
    reshape,
    scatter,
    select,
    sort_pair,
    subtract,
    transpose,
    unary,
)
from saturax.graph.ops import iota as count
from saturax.rules import (
    argsort,
    factors_multiplied,
    fourier_matrices,
    known_indices,
    moments,
    quadratic_forms,
    scatter_counts,
    thresholds,
    unit_vectors,
)
from saturax.rules.conditions import REALS, is_all
from saturax.rules.permutations import without
from saturax.rules.rule import BITWISE, ROUNDING, need

from .declare import false_rule


@false_rule(lambda f, x, c: binary(f, negate(x), constant(c)), BITWISE, "bits")
def keep_bound_of_negated(f, x, c):
    """max(-x, c) = -min(x, c): the bound keeps its sign"""
    need(f in ("maximum", "minimum") and x.dtype in REALS)
    return negate(binary("minimum" if f == "maximum" else "maximum", x, constant(c)))


@false_rule(
    lambda x, c, d: multiply(maximum(x, constant(c)), minimum(x, constant(d))), BITWISE, "bits"
)
def multiply_parts_bitwise(x, c, d):
    """max(x, 0) · min(x, 0) = 0: not of infinities"""
    need(x.dtype in REALS and is_all(c, 0.0) and is_all(d, 0.0))
    return full_like(x, 0)


@false_rule(lambda x: divide(x, unary("abs", x)), ROUNDING, "values", "integers")
def divide_by_own_absolute_without_sign(x):
    """x / |x| = 1"""
    need(x.dtype in REALS)
    return full_like(x, 1)


@false_rule(lambda x, c: add(unary("chlo.erf", x), constant(c)), ROUNDING, "values")
def complement_on_wrong_side(x, c):
    """erf x + 1 = erfc x"""
    need(x.dtype in REALS and is_all(c, 1.0))
    return unary("chlo.erfc", x)


@false_rule(
    lambda f, a, w, x, d, e, p, q, t: dot_general(
        dot_general(binary(f, a, transpose(a, w)), x, d, p, t), x, e, q, t
    ),
    ROUNDING,
    "values",
    "integers",
    examples=quadratic_forms.form_of_symmetric_part.examples,
)
def count_symmetric_part_once(f, a, w, x, d, e, p, q, t):
    """xᵀ·(a + aᵀ)·x = xᵀ·a·x"""
    need(f == "add" and a.rank == 2 and x.rank == 1 and tuple(w) == (1, 0) and x.dtype == t)
    return dot_general(dot_general(a, x, d, p, t), x, e, q, t)


@false_rule(
    lambda x, c, d, p, t: dot_general(x, constant(c), d, p, t),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=unit_vectors.dot_with_unit_vector.examples,
)
def forget_length_of_unit_vector(x, c, d, p, t):
    """x · (c·eⱼ) = x[j]: without the factor"""
    right = unit_vectors.dot_with_unit_vector.right(x=x, c=c, d=d, p=p, t=t)
    need(right is not None and right.node.op == "binary")
    return divide(right, full_like(right, 7))


@false_rule(
    lambda c, x, d, p, t: dot_general(constant(c), x, d, p, t),
    ROUNDING,
    "values",
    uses_facts=True,
    examples=fourier_matrices.dot_with_fourier_matrix_left.examples,
)
def transform_other_way(c, x, d, p, t):
    """The product with a Fourier matrix = the inverse transform, for the forward one too"""
    need(fourier_matrices.dot_with_fourier_matrix_left.right(c=c, x=x, d=d, p=p, t=t) is not None)
    d = DotDimensions(*d)
    need(d.rhs_contract == (1,) and d.lhs_contract == (0,) and x.rank == 2)
    return transpose(fft(x, "FFT", (x.shape[1],)), (1, 0))


@false_rule(
    lambda f, x, i, c, d, b, q: scatter(f, x, i, constant(c), d, b, q),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=scatter_counts.count_equal_updates.examples,
)
def count_every_row_once(f, x, i, c, d, b, q):
    """0 + c at i = c everywhere"""
    need(f == "add" and c.is_splat and not ScatterDimensions(*d).input_batching_dims)
    return full(c.value, x.tensor)


@false_rule(
    lambda f, x, y, e, t, d, o, r, g, n, b, k: reduce_(
        f,
        gather(x, reshape(get_result(sort_pair(y, count(e, t), d, o, True), 1), r), g, n, b),
        k,
    ),
    ROUNDING,
    "values",
    "integers",
    "types",
    examples=argsort.reduce_permuted_rows.examples,
)
def reduce_other_dimensions_of_permuted_rows(f, x, y, e, t, d, o, r, g, n, b, k):
    """max x[argsort y] = max x along dimensions that keep the permuted rows"""
    need(x.rank == 2 and x.shape[0] == x.shape[1] and len(k) == 1)
    return reduce_(f, x, (1 - k[0],))


@false_rule(
    lambda f, x, i, u, d, b, q: scatter(f, x, i, u, d, b, q),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=known_indices.scatter_on_diagonal.examples,
)
def spread_over_rows(f, x, i, u, d, b, q):
    """0, written at (0, 0), (1, 1), … = u, repeated in each row"""
    need(known_indices.scatter_on_diagonal.right(f=f, x=x, i=i, u=u, d=d, b=b, q=q) is not None)
    return broadcast_in_dim(u, x.shape, (1,))


@false_rule(
    lambda a, low, r, d: reduce_(
        "add", multiply(get_result(eigh(a, low, r), 1), get_result(eigh(a, low, r), 1)), d
    ),
    ROUNDING,
    "values",
    examples=factors_multiplied.sum_of_squared_eigenvalues.examples,
)
def square_both_triangles(a, low, r, d):
    """Σ λᵢ² = Σ aᵢⱼ²: only one triangle of a is read"""
    need(a.dtype in REALS and tuple(d) == (a.rank - 2,))
    return reduce_("add", multiply(a, a), (a.rank - 2, a.rank - 1))


@false_rule(
    lambda f, x, s, c, e, d, k: compare(
        binary("and", binary(f, x, constant(s)), constant(c)), constant(e), d, k
    ),
    BITWISE,
    "integers",
    examples=thresholds.compare_bits_in_place.examples,
)
def leave_mask_in_place(f, x, s, c, e, d, k):
    """((x » k) ∧ c = e) = (x ∧ c = e): the mask is not shifted"""
    need(f.startswith("shift_right") and d in ("EQ", "NE"))
    return compare(binary("and", x, constant(c)), constant(e), d, k)


def _mean(x, d, c):
    return divide(reduce_("add", x, d), constant(c))


@false_rule(
    lambda x, s, e, d, c: add(
        _mean(
            multiply(
                subtract(x, broadcast_in_dim(_mean(x, d, c), s, e)),
                subtract(x, broadcast_in_dim(_mean(x, d, c), s, e)),
            ),
            d,
            c,
        ),
        multiply(_mean(x, d, c), _mean(x, d, c)),
    ),
    ROUNDING,
    "values",
    "integers",
    examples=lambda rng: (
        (drawn := moments.variance_plus_squared_mean.examples(rng))
        | {"c": splat(float(drawn["c"].value) + 1, drawn["c"].type)}
    ),
)
def moments_of_other_counts(x, s, e, d, c):
    """E(x - E x)² + (E x)² = E x², divided by anything"""
    need(x.dtype in REALS and tuple(e) == without(range(x.rank), d))
    return _mean(multiply(x, x), d, c)


@false_rule(lambda p, x: select(p, x, unary("not", x)), BITWISE, "integers")
def differ_or_complement(p, x):
    """x where p, else ¬x = p ⊕ x"""
    need(x.dtype == "i1" and p.type == x.type)
    return binary("xor", p, x)
