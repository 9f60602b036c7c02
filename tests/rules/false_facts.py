"""False rules on what is known of operands."""

from __future__ import annotations

import numpy as np

from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    GatherDimensions,
    add,
    binary,
    compare,
    concatenate,
    constant,
    dot_general,
    full,
    full_like,
    gather,
    maximum,
    multiply,
    power,
    select,
    slice_,
    transpose,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules import integral_floats, known_indices, known_structure, own_rows
from saturax.rules.conditions import REALS
from saturax.rules.einsum import einsum_of
from saturax.rules.facts import (
    bounds_of,
    iota_of,
    is_diagonal,
    is_finite,
    is_identity,
    is_integral,
    is_lower_triangular,
    is_nonnegative,
    is_permutation_matrix,
    is_symmetric,
    is_zero,
    never_nan,
)
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need

from .declare import false_rule


@false_rule(lambda x: unary("abs", x), BITWISE, "bits", uses_facts=True)
def drop_absolute_of_zeros(x):
    """|x| = x where x ≥ 0: not of -0 in every bit"""
    need(x.dtype in REALS and is_nonnegative(x))
    return x


@false_rule(lambda x, y: maximum(x, y), BITWISE, "bits", uses_facts=True)
def drop_lesser_that_may_be_nan(x, y):
    """max(x, y) = x where x ≥ y: y may be NaN"""
    need(x.dtype in REALS and bounds_of(x)[0] >= bounds_of(y)[1] and not never_nan(y))
    return x


@false_rule(lambda x, y: multiply(x, y), BITWISE, "bits", uses_facts=True)
def multiply_by_known_zero(x, y):
    """x · 0 = 0: x may be infinite"""
    need(is_zero(y) and not is_finite(x))
    return full_like(x, 0)


@false_rule(lambda x, y: compare(x, y, "LT", "FLOAT"), BITWISE, "bits", uses_facts=True)
def decide_touching_ranges(x, y):
    """x < y where no x is greater than any y: they may be equal"""
    need(x.dtype in REALS and never_nan(x) and never_nan(y))
    need(bounds_of(x)[1] <= bounds_of(y)[0])
    return full(True, TensorType(x.shape, "i1"))


@false_rule(lambda x, y: binary("remainder", x, y), BITWISE, "integers", uses_facts=True)
def drop_remainder_of_negative(x, y):
    """x mod y = x where x < y: x may be less than -y"""
    need(x.dtype in ("i8", "i32", "i64") and bounds_of(y)[0] > bounds_of(x)[1])
    return x


@false_rule(lambda x, y, z: power(power(x, y), z), ROUNDING, "values", "integers", uses_facts=True)
def power_of_power_as_product(x, y, z):
    """(xʸ)ᶻ = x^(y+z) where x ≥ 0"""
    need(x.dtype in REALS and is_nonnegative(x) and is_finite(y) and is_finite(z))
    return power(x, add(y, z))


@false_rule(
    lambda x, i, j, e, d, n, b: gather(x, concatenate(i, j, e), d, n, b),
    BITWISE,
    "bits",
    "integers",
    uses_facts=True,
    examples=own_rows.gather_in_own_rows.examples,
)
def read_diagonal_for_own_rows(x, i, j, e, d, n, b):
    """x[k, jₖ] for all k = x[jₖ, jₖ]: the first index counts, it is not the second"""
    right = own_rows.gather_in_own_rows.right(x=x, i=i, j=j, e=e, d=d, n=n, b=b)
    need(right is not None and i.size > 1)
    return gather(x, concatenate(j, j, e), d, n, b)


@false_rule(
    lambda x, i, d, n, b: gather(x, i, d, n, b),
    BITWISE,
    "bits",
    "integers",
    "types",
    uses_facts=True,
    examples=known_indices._line_example,
)
def gather_at_counting_forwards(x, i, d, n, b):
    """x[first + step·k] = x[first], x[first + |step|], …: the step may be negative"""
    d, counted = GatherDimensions(*d), iota_of(i)
    need(counted is not None and i.rank == 1 and i.shape[0] > 1 and len(d.start_index_map) == 1)
    (k,) = d.start_index_map
    last = counted.offset + counted.strides[0] * (i.shape[0] - 1)
    need(counted.strides[0] != 0 and min(counted.offset, last) >= 0)
    need(max(counted.offset, last) < x.shape[k] and k == 0 and d.collapsed_slice_dims == (0,))
    low, high = min(counted.offset, last), max(counted.offset, last) + 1
    need(n == (1, *x.shape[1:]) and d.offset_dims == tuple(range(1, x.rank)))
    rest = x.shape[1:]
    step = (abs(counted.strides[0]), *(1 for _ in rest))
    return slice_(x, (low, *(0 for _ in rest)), (high, *rest), step)


@false_rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    FINITE,
    "values",
    "integers",
    uses_facts=True,
    examples=known_structure._example(lambda rng, n: np.diag(rng.integers(-3, 4, n))),
)
def dot_with_diagonal_as_identity(x, y, d, p, t):
    """diag(v) · y = y"""
    need(is_diagonal(x) and not is_identity(x) and x.shape[0] == x.shape[1])
    need(einsum_of(d, x.rank, y.rank).x[1:] == (1,) and x.rank == y.rank == 2)
    need(d.lhs_contract == (1,) and d.rhs_contract == (0,) and y.dtype == t)
    return y


@false_rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    FINITE,
    "values",
    "integers",
    uses_facts=True,
    examples=known_structure._example(known_structure._choice),
)
def dot_with_permutation_as_identity(x, y, d, p, t):
    """P · y = y for permutation matrices P"""
    need(x.rank == y.rank == 2 and is_permutation_matrix(x))
    need(d.lhs_contract == (1,) and d.rhs_contract == (0,) and y.dtype == t)
    return y


@false_rule(lambda x, p: transpose(x, p), ROUNDING, "values", "integers", uses_facts=True)
def transpose_triangular(x, p):
    """xᵀ = x for triangular x"""
    need(x.rank == 2 and p == (1, 0) and is_lower_triangular(x) and x.shape[0] == x.shape[1])
    need(not is_symmetric(x))
    return x


def _masks(rng):
    """A triangular matrix under any mask."""
    n = int(rng.integers(2, 5))
    mask = Literal(rng.random((n, n)) < 0.5)
    return {
        "p": mask,
        "x": Literal(np.tril(rng.normal(size=(n, n)))),
        "y": Literal(np.zeros((n, n))),
    }


@false_rule(
    lambda p, x, y: select(p, x, y),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=_masks,
)
def drop_any_mask(p, x, y):
    """x where p, else 0 = x for triangular x"""
    need(is_zero(y) and is_lower_triangular(x))
    return x


def _halved(rng):
    drawn = integral_floats._with_one(rng)
    return drawn | {"c": splat(2, drawn["c"].type)}


@false_rule(
    lambda x, c: binary("remainder", x, constant(c)),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=lambda rng: _halved(rng),
)
def integers_are_even(x, c):
    """x rem c = 0 of floats x that are integers"""
    need(is_integral(x) and c.is_splat)
    return full_like(x, 0)
