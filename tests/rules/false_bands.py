"""False rules about banded matrices: off by one diagonal, the wrong side, an overlap for all."""

from __future__ import annotations

import numpy as np

from saturax.facts.bands import EMPTY, band_of, common, contains_band
from saturax.facts.model import Band
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    DotDimensions,
    add,
    broadcast_in_dim,
    dot_general,
    full,
    multiply,
    pad,
    reduce_,
    reshape,
    select,
    slice_,
    subtract,
)
from saturax.graph.types import TensorType
from saturax.rules import contraction_diagonals, known_masks
from saturax.rules.einsum import einsum_of
from saturax.rules.facts import (
    facts_of,
    has_numbers,
    is_identity,
    is_lower_triangular,
    is_zero,
    zero_blocks_of,
)
from saturax.rules.rule import BITWISE, ROUNDING, need

from .declare import false_rule


def _masked(rng):
    """A banded matrix under the mask of a triangle."""
    n, k, upto = int(rng.integers(3, 6)), int(rng.integers(-1, 2)), int(rng.integers(-1, 2))
    matrix = np.tril(rng.normal(size=(n, n)) + 3, upto)
    return {
        "p": Literal(np.tri(n, n, k, dtype=np.bool_)),
        "x": Literal(matrix),
        "y": Literal(np.zeros((n, n))),
    }


def _turned(rng):
    n = int(rng.integers(3, 6))
    return {
        "p": Literal(np.tri(n, n, 0, dtype=np.bool_)),
        "x": Literal(np.zeros((n, n))),
        "y": Literal(np.tril(rng.normal(size=(n, n)) + 3)),
    }


def _band_mask(kinds, examples):
    return false_rule(
        lambda p, x, y: select(p, x, y), ROUNDING, *kinds, uses_facts=True, examples=examples
    )


@_band_mask(("values", "integers"), _masked)
def drop_mask_one_diagonal_short(p, x, y):
    """x where p, else 0 = x for banded x, if p is true on all its diagonals but one"""
    full_ = facts_of(p).known.full
    need(is_zero(y) and full_ is not None)
    need(contains_band(Band(full_.low, full_.high + 1), band_of(facts_of(x))))
    return x


@_band_mask(("values", "integers"), _masked)
def drop_mask_that_meets_band(p, x, y):
    """x where p, else 0 = x for banded x, if p is true on one of its diagonals"""
    full_ = facts_of(p).known.full
    need(is_zero(y) and full_ is not None)
    need(common(full_, band_of(facts_of(x))) != EMPTY)
    return x


@_band_mask(("values", "integers"), _turned)
def drop_mask_on_the_wrong_side(p, x, y):
    """0 where p, else y = y for lower triangular y and a lower triangular mask"""
    need(is_zero(x) and is_lower_triangular(y) and is_lower_triangular(p))
    return y


def _false_product(examples):
    return false_rule(
        lambda x, y, d, p, t: dot_general(x, y, d, p, t),
        ROUNDING,
        "values",
        "integers",
        uses_facts=True,
        examples=examples,
    )


def _triangles(rng):
    n = int(rng.integers(2, 5))
    return {
        "x": Literal(np.tril(rng.normal(size=(n, n)) + 3)),
        "y": Literal(np.tril(rng.normal(size=(n, n)) + 3)),
        "d": DotDimensions((), (), (1,), (0,)),
        "t": "f64",
    }


@_false_product(_triangles)
def product_of_triangles_of_diagonals(x, y, d, p, t):
    """x · y = diag(x) · diag(y) for lower triangular x and y"""
    need(einsum_of(d, x.rank, y.rank).x[1:] == (1,) and x.rank == y.rank == 2)
    need(is_lower_triangular(x) and is_lower_triangular(y) and x.shape == y.shape and t == "f64")
    return multiply(x, y)


def _blocks(rng):
    n = int(rng.integers(2, 5))
    x = rng.normal(size=(n, n)) + 3
    x[:, : int(rng.integers(1, n))] = 0
    return {**_triangles(rng), "x": Literal(x), "y": Literal(rng.normal(size=(n, n)))}


@_false_product(_blocks)
def product_with_some_zeros_is_zero(x, y, d, p, t):
    """x · y = 0 if x has a block of zeros"""
    need(x.rank == y.rank == 2 and zero_blocks_of(x) and not is_zero(x) and has_numbers(y))
    return full(0, dot_general(x, y, d, p, t).type)


@false_rule(
    lambda x, e: reduce_("add", x, e),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=lambda rng: {"x": _triangles(rng)["x"], "e": (int(rng.integers(0, 2)),)},
)
def sum_of_triangle_is_diagonal(x, e):
    """Σⱼ xᵢⱼ = xᵢ₀ for lower triangular x"""
    need(x.rank == 2 and is_lower_triangular(x) and len(e) == 1 and x.shape[0] == x.shape[1])
    n = x.shape[0]
    first = x.builder.make("slice", ((0, 0), (n, 1), (1, 1)), (x,))
    return x.builder.make("reshape", ((n,),), (first,))


def _shifting(rng):
    n = int(rng.integers(3, 6))
    k = int(rng.choice([-1, 1]))
    own = int(rng.integers(0, 2))
    return {
        "x": Literal(np.eye(n, k=k)),
        "y": TensorType((n, 2), "f64"),
        "d": DotDimensions((), (), (own,), (0,)),
        "t": "f64",
    }


@_false_product(_shifting)
def dot_with_shifted_diagonal_of_columns(x, y, d, p, t):
    """S · y = y shifted by k for S with ones at j - i = k, even if rows are contracted"""
    band = band_of(facts_of(x))
    need(x.rank == 2 and band.low == band.high and abs(band.low) == 1 and x.shape == x.shape[::-1])
    need(y.rank == 2 and d[2] in ((0,), (1,)) and d[3] == (0,) and d[0] == () and x.dtype == t)
    need(y.dtype == t and facts_of(x).known.full == band)
    low, high = (band.low, -band.low)
    zero = full(0, TensorType((), t))
    return pad(y, zero, (-low, 0), (-high, 0), (0, 0))


def _diagonal_mask(rng):
    n = int(rng.integers(2, 5))
    x = TensorType((n, n), "f64")
    return {"p": Literal(np.eye(n, dtype=np.bool_)), "x": x, "z": splat(0, x), "e": (0, 1)}


@false_rule(
    lambda p, x, z, e: reduce_("add", select(p, x, z), e),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=_diagonal_mask,
)
def sum_of_every_nth(p, x, z, e):
    """Σᵢⱼ δᵢⱼ·xᵢⱼ as the sum of every n-th element"""
    need(is_identity(p) and is_zero(z) and x.rank == 2 and e == (0, 1) and x.shape[0] > 1)
    flat = reshape(x, (x.size,))
    return reduce_("add", slice_(flat, (0,), (x.size,), (x.shape[0],)), (0,))


def _two_diagonals(rng):
    n = int(rng.integers(5, 8))
    return {
        "x": Literal(np.eye(n, k=1)),
        "y": Literal(np.eye(n)),
        "z": TensorType((n, 2), "f64"),
        "d": DotDimensions((), (), (1,), (0,)),
        "t": "f64",
    }


@false_rule(
    lambda x, y, z, d, p, t: dot_general(subtract(x, y), z, d, p, t),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=_two_diagonals,
)
def dot_with_sum_for_difference(x, y, z, d, p, t):
    """(S - T) · z = S · z + T · z for matrices with one diagonal"""
    bands = [band_of(facts_of(value)) for value in (x, y)]
    need(x.rank == 2 and x.type == y.type and all(band.low == band.high for band in bands))
    need(x.dtype == t and min(x.shape) > 4)
    return add(dot_general(x, z, d, p, t), dot_general(y, z, d, p, t))


@false_rule(
    lambda x, a, b, c, y, d, p, t: dot_general(slice_(x, a, b, c), y, d, p, t),
    ROUNDING,
    "types",
    "values",
    "integers",
    uses_facts=True,
    examples=contraction_diagonals.slice_after_diagonal_left.examples,
)
def slice_rows_of_the_other_operand(x, a, b, c, y, d, p, t):
    """x[s] · y = y[s] for every diagonal x"""
    need(x.rank == y.rank == 2 and d.lhs_contract == (1,) and d.rhs_contract == (0,))
    need(a[1] == 0 and b[1] == x.shape[1] and c[1] == 1)
    need(contains_band(Band(0, 0), band_of(facts_of(x))) and x.shape[0] == y.shape[0])
    return slice_(y, (a[0], 0), (b[0], y.shape[1]), (c[0], 1))


@false_rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    ROUNDING,
    "values",
    "integers",
    uses_facts=True,
    examples=contraction_diagonals.dot_of_diagonals.examples,
)
def add_diagonals_instead(x, y, d, p, t):
    """diag(v) · diag(w) = diag(v) + diag(w)"""
    need(x.rank == y.rank == 2 and x.shape == y.shape and x.dtype == y.dtype == t)
    need(all(contains_band(Band(0, 0), band_of(facts_of(value))) for value in (x, y)))
    need(len(d.lhs_contract) == 1 and not is_zero(x))
    return add(x, y)


@false_rule(
    lambda p, x, s, a, b, c, t, e, y: select(
        p, broadcast_in_dim(slice_(reshape(x, s), a, b, c), t, e), y
    ),
    BITWISE,
    "bits",
    "integers",
    examples=known_masks.spread_own_diagonal.examples,
)
def diagonal_is_every_nth_element(p, x, s, a, b, c, t, e, y):
    """xᵢᵢ where p, else y = xᵢᵢ everywhere"""
    need(x.rank == 2 and c[-1] == x.shape[-1] + 1 and tuple(t) == x.shape)
    return broadcast_in_dim(slice_(reshape(x, s), a, b, c), t, e)
