"""False rules on solves, factorisations and Fourier transforms."""

from __future__ import annotations

import numpy as np

from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    Triangle,
    add,
    broadcast_in_dim,
    cholesky,
    concatenate,
    constant,
    convert,
    default_order,
    determinant_sign,
    divide,
    dot_general,
    eigh,
    fft,
    full_like,
    get_result,
    log_abs_determinant,
    multiply,
    reduce_,
    reverse,
    select,
    slice_,
    solve,
    sort,
    subtract,
    svd,
    transpose,
    triangular_solve,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules import eigenvalues, factors_multiplied, singular_values
from saturax.rules.diagonal_updates import (
    diagonal_numbers,
    diagonal_update,
    solution_in_factors,
)
from saturax.rules.factors import identity_matrices
from saturax.rules.facts import is_lower_triangular, is_permutation_matrix, splat_of
from saturax.rules.rule import ROUNDING, need
from saturax.rules.solving import swap
from saturax.rules.structured_systems import (
    block,
    block_example,
    block_size,
    matrix_product,
)

from .declare import false_rule


def _squares(rng):
    a = TensorType((3, 3), "f64")
    return {"a": a, "x": a, "y": a, "d": DotDimensions((), (), (1,), (0,)), "e": "f64"}


# ------------------------------------------------------------------ small systems


@false_rule(
    lambda a, b, r: solve(a, b, r),
    ROUNDING,
    "values",
    examples=lambda rng: {"a": TensorType((16, 2, 2), "f64"), "b": TensorType((16, 2, 1), "f64")},
)
def eliminate_without_the_right_side(a, b, r):
    """a⁻¹b by elimination of a alone, for matrices of 2×2"""
    need(a.shape == (16, 2, 2) and b.shape == (16, 2, 1) and a.dtype == b.dtype == "f64")

    def entry(x, i, j):
        return slice_(x, (0, i, j), (16, i + 1, j + 1), (1, 1, 1))

    factor = divide(entry(a, 1, 0), entry(a, 0, 0))
    last = divide(entry(b, 1, 0), subtract(entry(a, 1, 1), multiply(factor, entry(a, 0, 1))))
    first = divide(subtract(entry(b, 0, 0), multiply(entry(a, 0, 1), last)), entry(a, 0, 0))
    return concatenate(first, last, 1)


@false_rule(
    lambda a, b, t, r: triangular_solve(a, b, t, r),
    ROUNDING,
    "values",
    examples=lambda rng: {
        "a": Literal(rng.normal(size=(16, 2, 2)) + 3 * np.eye(2)),
        "b": TensorType((16, 2, 1), "f64"),
        "t": Triangle(True, bool(rng.integers(2)), False),
    },
)
def substitute_from_the_same_end(a, b, t, r):
    """T⁻¹b by forward substitution of 2×2 triangles, the upper ones, too"""
    need(a.shape == (16, 2, 2) and b.shape == (16, 2, 1) and a.dtype == b.dtype == "f64")
    need(t == (True, t[1], False, "NO_TRANSPOSE"))

    def entry(x, i, j):
        return slice_(x, (0, i, j), (16, i + 1, j + 1), (1, 1, 1))

    first = divide(entry(b, 0, 0), entry(a, 0, 0))
    last = subtract(entry(b, 1, 0), multiply(entry(a, 1, 0), first))
    return concatenate(first, divide(last, entry(a, 1, 1)), 1)


# ------------------------------------------------------------------ triangular solves


@false_rule(lambda a, q, b, t, r: triangular_solve(transpose(a, q), b, t, r), ROUNDING, "values")
def transpose_without_changing_triangle(a, q, b, t, r):
    """op(Aᵀ)⁻¹b = op'(A)⁻¹b with the same triangle"""
    need(q == swap(a.rank) and t[3] == "NO_TRANSPOSE")
    return triangular_solve(a, b, Triangle(*t)._replace(transpose="TRANSPOSE"), r)


@false_rule(
    lambda a, x, y, t, r: add(triangular_solve(x, a, t, r), triangular_solve(y, a, t, r)),
    ROUNDING,
    "values",
)
def solve_with_sum_of_matrices(a, x, y, t, r):
    """X⁻¹a + Y⁻¹a = (X + Y)⁻¹a"""
    return triangular_solve(add(x, y), a, t, r)


@false_rule(
    lambda a, c, b, t, r: triangular_solve(multiply(a, c), b, t, r),
    ROUNDING,
    "values",
    uses_facts=True,
)
def scale_triangle_of_ones(a, c, b, t, r):
    """(c·T)⁻¹b = (T⁻¹b)/c, also where the diagonal counts as ones"""
    need(splat_of(c) is not None and splat_of(c) not in (0, 1))
    inverse = full_like(b, 1 / complex(splat_of(c)).real)
    return multiply(triangular_solve(a, b, t, r), inverse)


@false_rule(
    lambda a, b, t, r, i, j, k: slice_(triangular_solve(a, b, t, r), i, j, k), ROUNDING, "values"
)
def solve_slice_of_rows(a, b, t, r, i, j, k):
    """(T⁻¹b)[s] = T'⁻¹(b[s]) for rows, too"""
    need(a.rank == 2 and t[0] and i[1] == 0 and (j[1], k[1]) == (b.shape[1], 1) and k[0] == 1)
    need((i[0], j[0]) != (0, b.shape[0]) and j[0] - i[0] >= 1)
    rows = slice_(a, (i[0], i[0]), (j[0], j[0]), (1, 1))
    return triangular_solve(rows, slice_(b, i, j, k), t, r)


# ------------------------------------------------------------------ notions


@false_rule(
    lambda a, x, y, d, e, r: solve(dot_general(x, y, d, ((), ""), e), a, r),
    ROUNDING,
    "values",
    examples=_squares,
)
def inverse_of_product_in_order(a, x, y, d, e, r):
    """(x·y)⁻¹a = x⁻¹(y⁻¹a)"""
    need(tuple(d) == ((), (), (1,), (0,)) and x.type == y.type and x.rank == 2)
    return solve(x, solve(y, a, r), r)


@false_rule(lambda a, b, r, q: transpose(solve(a, b, r), q), ROUNDING, "values", "types")
def transpose_of_solution(a, b, r, q):
    """(a⁻¹b)ᵀ = a⁻ᵀbᵀ"""
    need(q == swap(a.rank) and b.shape == a.shape)
    return solve(transpose(a, q), transpose(b, q), r)


@false_rule(
    lambda a, c, r: log_abs_determinant(multiply(a, c), r), ROUNDING, "values", uses_facts=True
)
def scale_determinant_once(a, c, r):
    """log|det(c·a)| = log|c| + log|det a|"""
    value = splat_of(c)
    need(value is not None and np.isfinite(value) and abs(value) > 1.5)
    rest = log_abs_determinant(a, r)
    return add(rest, full_like(rest, float(np.log(abs(value)))))


@false_rule(
    lambda a, c, r: determinant_sign(multiply(a, c), r), ROUNDING, "values", uses_facts=True
)
def scale_without_turning_sign(a, c, r):
    """sign det(c·a) = sign det a, also for negative c and odd sizes"""
    value = splat_of(c)
    need(value is not None and np.isfinite(value) and value < 0)
    return determinant_sign(a, r)


@false_rule(
    lambda a, d, r: determinant_sign(reverse(a, d), r),
    ROUNDING,
    "values",
    examples=lambda rng: {"a": TensorType((3, 3), "f64"), "d": (0,)},
)
def reverse_rows_without_turning_sign(a, d, r):
    """sign det a with the order of its rows reversed = sign det a"""
    need(a.rank == 2 and a.size > 1 and d == (0,))
    return determinant_sign(a, r)


@false_rule(
    lambda a, s, w, d, b, r: solve(multiply(a, broadcast_in_dim(s, w, d)), b, r),
    ROUNDING,
    "values",
    examples=lambda rng: {
        "a": TensorType((3, 3), "f64"),
        "s": TensorType((3,), "f64"),
        "w": (3, 3),
        "d": (1,),
        "b": TensorType((3, 2), "f64"),
    },
)
def scale_right_side_by_columns(a, s, w, d, b, r):
    """(a·diag(s))⁻¹b = a⁻¹(b/s)"""
    need(w == (3, 3) and d == (1,) and s.shape == (3,))
    return solve(a, divide(b, broadcast_in_dim(s, b.shape, (0,))), r)


@false_rule(
    lambda a, r: log_abs_determinant(a, r),
    ROUNDING,
    "values",
    uses_facts=True,
    examples=lambda rng: {"a": block_example(rng)["a"]},
)
def determinant_of_opposite_blocks(a, r):
    """log|det a| = log|det b| + log|det c| for blocks of the sizes of c and b, exchanged"""
    size, n = block_size(a)[0], a.shape[-1]
    need(2 * size != n)
    parts = (0, n - size), (n - size, n)
    first, second = (log_abs_determinant(block(a, part, part), r) for part in parts)
    return add(first, second)


@false_rule(
    lambda a, c, r: cholesky(multiply(a, c), r),
    ROUNDING,
    "values",
    uses_facts=True,
    examples=lambda rng: {
        "a": Literal(np.diag(rng.uniform(0.5, 3.0, 3)) + 0.1),
        "c": Literal(np.asarray(4.0), (3, 3)),
    },
)
def scale_cholesky_factor_fully(a, c, r):
    """chol(c·a) = c·chol(a)"""
    return multiply(cholesky(a, r), c)


# ------------------------------------------------------------------ Fourier transforms


@false_rule(lambda x, n: fft(fft(x, "FFT", n), "FFT", n), ROUNDING, "values")
def cancel_two_transforms(x, n):
    """F(F(x)) = x"""
    need(0 not in n)
    return x


@false_rule(lambda x, n: fft(fft(x, "IRFFT", n), "RFFT", n), ROUNDING, "values")
def cancel_real_transform_of_inverse(x, n):
    """R(R⁻¹(x)) = x, whatever the imaginary parts of the first and the middle frequency are"""
    return x


@false_rule(lambda x, y, k, n: multiply(fft(x, k, n), fft(y, k, n)), ROUNDING, "values")
def transform_product_once(x, y, k, n):
    """F(x)·F(y) = F(x·y)"""
    return fft(multiply(x, y), k, n)


@false_rule(
    lambda x, y, k, n, d: concatenate(fft(x, k, n), fft(y, k, n), d), ROUNDING, "values", "raised"
)
def transform_concatenation_of_points(x, y, k, n, d):
    """[F(x), F(y)] = F([x, y]) along a transformed dimension"""
    need(k == "FFT" and d >= x.rank - len(n) and x.type == y.type)
    length = tuple(2 * m if x.rank - len(n) + i == d else m for i, m in enumerate(n))
    return fft(concatenate(x, y, d), k, length)


@false_rule(
    lambda x, t, n, a, b, c: slice_(fft(convert(x, t), "FFT", n), a, b, c), ROUNDING, "values"
)
def half_of_real_at_the_wrong_end(x, t, n, a, b, c):
    """F(x)[a:b:c] = R(x)[0:b-a:c] for real x"""
    need(x.dtype in ("f32", "f64") and len(n) == 1 and b[-1] - a[-1] <= n[0] // 2 + 1)
    half = fft(x, "RFFT", n)
    need(half.dtype == t)
    return slice_(half, (*a[:-1], 0), (*b[:-1], b[-1] - a[-1]), c)


@false_rule(
    lambda x, n: reduce_(
        "add",
        multiply(unary("abs", fft(x, "FFT", n)), unary("abs", fft(x, "FFT", n))),
        (0,),
    ),
    ROUNDING,
    "values",
    examples=lambda rng: {"x": TensorType((int(rng.integers(2, 6)),), "complex<f64>")},
)
def energy_without_factor(x, n):
    """Σ|F(x)|² = Σ|x|²"""
    need(x.rank == 1 and len(n) == 1)
    size = unary("abs", x)
    return reduce_("add", multiply(size, size), (0,))


@false_rule(
    lambda a, low, r, u, v, d, p, e: dot_general(
        multiply(
            get_result(eigh(a, low, r), 0),
            broadcast_in_dim(get_result(eigh(a, low, r), 1), u, v),
        ),
        get_result(eigh(a, low, r), 0),
        d,
        p,
        e,
    ),
    ROUNDING,
    "values",
    examples=factors_multiplied._symmetric,
)
def multiply_eigenvectors_to_what_is_not_read(a, low, r, u, v, d, p, e):
    """V·Λ·Vᵀ = a: but only one triangle of a is read"""
    need(a.rank == 2 and a.dtype == e and v == (1,) and d.lhs_contract == d.rhs_contract == (1,))
    return a


@false_rule(
    lambda a, j, r, d, p, e: dot_general(
        get_result(svd(a, j, r), 2), get_result(svd(a, j, r), 3), d, p, e
    ),
    ROUNDING,
    "values",
    examples=lambda rng: {
        name: value
        for name, value in singular_values.multiply_singular_factors.examples(rng).items()
        if name not in ("u", "v")
    },
)
def multiply_singular_vectors_alone(a, j, r, d, p, e):
    """U·Vᵀ = a"""
    need(a.dtype == e and j == "S" and DotDimensions(*d) == DotDimensions((), (), (1,), (0,)))
    return a


@false_rule(
    lambda a, j, r, d: reduce_("add", get_result(svd(a, j, r), 1), d),
    ROUNDING,
    "values",
    examples=singular_values.sum_of_squared_singular_values.examples,
)
def sum_of_singular_values_as_trace(a, j, r, d):
    """Σ σᵢ = √Σ aᵢⱼ²"""
    need(tuple(d) == (a.rank - 2,) and a.rank == 2)
    return unary("sqrt", reduce_("add", multiply(a, a), (0, 1)))


@false_rule(
    lambda a, low, r, d: reduce_("multiply", get_result(eigh(a, low, r), 1), d),
    ROUNDING,
    "values",
    examples=factors_multiplied.product_of_eigenvalues.examples,
)
def product_of_eigenvalues_of_the_whole(a, low, r, d):
    """Π λᵢ = det a, though one triangle of a is read only"""
    need(tuple(d) == (a.rank - 2,) and a.rank == 2 and a.size > 0)
    return multiply(determinant_sign(a, r), unary("exponential", log_abs_determinant(a, r)))


# ------------------------------------------------------------------ values that are known


@false_rule(
    lambda a, low, r: get_result(eigh(a, low, r), 1),
    ROUNDING,
    "values",
    uses_facts=True,
    examples=lambda rng: {
        "a": Literal(np.tril(rng.normal(size=(3, 3)))),
        "low": True,
        "r": eigenvalues.LAPACK,
    },
)
def eigenvalues_of_triangle(a, low, r):
    """λ(a) = the diagonal of a triangular a, of which only one triangle is read"""
    need(is_lower_triangular(a))
    diagonal = reduce_("add", multiply(a, identity_matrices(a.tensor)), (0,))
    return sort(diagonal, 0, default_order(a.dtype))


@false_rule(
    lambda a, c, low, r: get_result(eigh(multiply(a, c), low, r), 1),
    ROUNDING,
    "values",
    uses_facts=True,
    examples=eigenvalues.eigenvalues_of_scaled.examples,
)
def eigenvalues_of_scaled_in_one_order(a, c, low, r):
    """λ(c·a) = c·λ(a), also for negative c"""
    value = splat_of(c)
    need(value is not None and a.size > 0)
    found = get_result(eigh(a, low, r), 1)
    return multiply(found, full_like(found, value))


@false_rule(
    lambda a, b, r: solve(a, b, r),
    ROUNDING,
    "values",
    uses_facts=True,
    examples=lambda rng: {
        "a": Literal(np.eye(4)[[1, 2, 3, 0]]),
        "b": TensorType((4, 2), "f64"),
    },
)
def solve_with_permutation_unturned(a, b, r):
    """a⁻¹b = a·b for a permutation matrix a"""
    need(is_permutation_matrix(a) and b.size > 0)
    return matrix_product(a, b)


def _partly_diagonal(rng):
    drawn = diagonal_update(rng)
    mask = drawn["m"].array.copy()
    mask[..., -1, -1] = False
    return {name: x for name, x in drawn.items() if name in "mswhzuvdeb"} | {"m": Literal(mask)}


@false_rule(
    lambda m, s, w, h, z, u, v, d, p, e, b, r: solve(
        add(select(m, broadcast_in_dim(s, w, h), constant(z)), dot_general(u, v, d, p, e)), b, r
    ),
    ROUNDING,
    "values",
    uses_facts=True,
    examples=_partly_diagonal,
)
def solve_any_updated_diagonal(m, s, w, h, z, u, v, d, p, e, b, r):
    """(D + u·v)⁻¹b = D⁻¹b - D⁻¹u·(1 + v·D⁻¹·u)⁻¹(v·D⁻¹b), also where the mask leaves out a place"""
    return solution_in_factors(diagonal_numbers(s, w, h), u, v, d, p, e, b, r)
