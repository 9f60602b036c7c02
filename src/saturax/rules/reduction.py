"""Reductions: merged, moved past operations on their operand, and taken apart.

Sums and products of floats are reordered here (rounding); the `_exactly` twin of a rule is for
extrema, Booleans and integers, where no order matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    concatenate,
    constant,
    convert,
    full_like,
    identity_value,
    multiply,
    negate,
    pad,
    reduce_,
    reshape,
    reverse,
    slice_dimension,
    subtract,
    transpose,
    unary,
)
from saturax.graph.types import is_complex, is_integer
from saturax.rules.arithmetic import accumulation_dtype
from saturax.rules.conditions import (
    INCREASING,
    INCREASING_WHERE_DEFINED,
    INTEGERS,
    REALS,
    exactly,
    for_integers,
    is_exact,
)
from saturax.rules.conversion import holds_every_value
from saturax.rules.facts import is_nonnegative, is_splat
from saturax.rules.permutations import permutation_to, without
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule
from saturax.rules.shapes import blocks

MONOID = "f is an associative and commutative operation with an identity"
RING = "ring axioms"
MONOTONE = "monotone functions preserve order"

Dimensions = tuple[int, ...]

# Coordinates, colours, neighbours in a plane: loops over so few are not vectorised. XLA:CPU
# takes 820 µs for the distances of 512 and 512 points in space, 103 µs where they are written out.
_FEW_ROWS = 9
_WRITTEN_OUT = ("add", "multiply", "maximum", "minimum", "and", "or")

DUAL = {"maximum": "minimum", "minimum": "maximum", "and": "or", "or": "and"}


def _is_exact(**arguments: Any) -> bool:
    return is_exact(arguments["f"], arguments["x"].dtype)


def _renumbered(dimensions: Sequence[int], dropped: Sequence[int]) -> Dimensions:
    """Where `dimensions` are once those in `dropped` are gone."""
    return tuple(i - sum(j < i for j in dropped) for i in dimensions)


def _count(x: Value, d: Sequence[int]) -> int:
    """Number of elements that a reduction along d combines."""
    return prod(x.shape[i] for i in d)


# ------------------------------------------------------------------ movement of the operand


@rule(lambda f, x, d, e: reduce_(f, reduce_(f, x, d), e), numerics=ROUNDING, source=MONOID)
def merge_reductions(f: Any, x: Value, d: Any, e: Any) -> Value | None:
    """Reducing along d, then along e, is reducing along both"""
    kept = [i for i in range(x.rank) if i not in d]
    return reduce_(f, x, sorted((*d, *(kept[i] for i in e))))


merge_reductions_exactly = exactly(merge_reductions, _is_exact)


@rule(lambda f, x, d: reduce_(f, x, d), numerics=ROUNDING, source=MONOID)
def drop_unit_reduction(f: Any, x: Value, d: Any) -> Value | None:
    """Reducing along a dimension of size 1 is dropping it"""
    units = [i for i in d if x.shape[i] == 1]
    need(units)
    rest = _renumbered([i for i in d if i not in units], units)
    return reduce_(f, reshape(x, without(x.shape, units)), rest)


drop_unit_reduction_exactly = exactly(drop_unit_reduction, _is_exact)


@rule(lambda f, x, p, d: reduce_(f, transpose(x, p), d), numerics=ROUNDING, source=MONOID)
def reduce_before_transpose(f: Any, x: Value, p: Any, d: Any) -> Value | None:
    """reduce(xᵖ) = (reduce x)ᑫ"""
    kept = [p[i] for i in range(x.rank) if i not in d]
    return transpose(reduce_(f, x, sorted(p[i] for i in d)), permutation_to(sorted(kept), kept))


reduce_before_transpose_exactly = exactly(reduce_before_transpose, _is_exact)


@rule(lambda f, x, s, d: reduce_(f, reshape(x, s), d), numerics=ROUNDING, source=MONOID)
def reduce_before_reshape(f: Any, x: Value, s: Any, d: Any) -> Value | None:
    """reduce(reshape x) = reshape(reduce x), every dimension of x reduced whole or not at all"""
    groups = blocks(x.shape, s)
    need(groups is not None)
    reduced: list[int] = []
    for source, target in groups or ():
        large = [i for i in target if s[i] != 1]
        if large and any(i in d for i in large):
            need(all(i in d for i in large))
            reduced.extend(source)
    return reshape(reduce_(f, x, reduced), without(s, d))


reduce_before_reshape_exactly = exactly(reduce_before_reshape, _is_exact)


@rule(
    lambda f, x, s, b, d: reduce_(f, broadcast_in_dim(x, s, b), d), numerics=ROUNDING, source=RING
)
def reduce_before_broadcast(f: Any, x: Value, s: Any, b: Any, d: Any) -> Value | None:
    """max(bcast x) = bcast(max x); Σ bcast(x) = n · bcast(Σx) for n copies; others alike"""
    own = [i for i, j in enumerate(b) if j in d]
    copies = prod(s[j] for j in d) // max(1, _count(x, own))
    need(prod(s) > 0)
    result = reduce_(f, x, own)
    places = [j for j in b if j not in d]
    result = broadcast_in_dim(result, without(s, d), _renumbered(places, d))
    if copies == 1 or f in DUAL:
        return result
    need(f == "add" and (x.dtype in REALS or x.dtype in INTEGERS))
    return multiply(result, full_like(result, copies))


reduce_before_broadcast_exactly = exactly(reduce_before_broadcast, _is_exact)


@rule(lambda f, x, e, d: reduce_(f, reverse(x, e), d), numerics=ROUNDING, source=MONOID)
def reduce_before_reverse(f: Any, x: Value, e: Any, d: Any) -> Value | None:
    """reduce(reverse x) = reverse(reduce x), along the dimensions that are left"""
    return reverse(reduce_(f, x, d), _renumbered([i for i in e if i not in d], d))


reduce_before_reverse_exactly = exactly(reduce_before_reverse, _is_exact)


@rule(lambda f, x, y, k, d: reduce_(f, concatenate(x, y, k), d), numerics=ROUNDING, source=MONOID)
def reduce_parts(f: Any, x: Value, y: Value, k: Any, d: Any) -> Value | None:
    """reduce [x, y] = f(reduce x, reduce y) along that dimension, else [reduce x, reduce y]"""
    first, second = reduce_(f, x, d), reduce_(f, y, d)
    if k in d:
        return binary(f, first, second)
    return concatenate(first, second, _renumbered([k], d)[0])


reduce_parts_exactly = exactly(reduce_parts, _is_exact)


@rule(
    lambda f, x, c, low, high, inside, d: reduce_(f, pad(x, constant(c), low, high, inside), d),
    numerics=ROUNDING,
    source=MONOID,
)
def reduce_before_pad(
    f: Any, x: Value, c: Literal, low: Any, high: Any, inside: Any, d: Any
) -> Value | None:
    """reduce(pad(x, e)) = pad(reduce x, e) for f's identity e"""
    neutral = identity_value(f, x.dtype)
    need(neutral is not None and is_splat(c, neutral) and min((*low, *high), default=0) >= 0)
    result = reduce_(f, x, d)
    return pad(result, constant(c), without(low, d), without(high, d), without(inside, d))


reduce_before_pad_exactly = exactly(reduce_before_pad, _is_exact)

# ------------------------------------------------------------------ linear functions


@rule(lambda f, x, y, d: reduce_(f, binary(f, x, y), d), numerics=ROUNDING, source=MONOID)
def split_reduction(f: Any, x: Value, y: Value, d: Any) -> Value | None:
    """reduce f(x, y) = f(reduce x, reduce y)"""
    return binary(f, reduce_(f, x, d), reduce_(f, y, d))


split_reduction_exactly = exactly(split_reduction, _is_exact)


@rule(lambda x, y, d: reduce_("add", subtract(x, y), d), numerics=BITWISE, source=RING)
def split_sum_of_integer_difference(x: Value, y: Value, d: Any) -> Value | None:
    """Σ(x - y) = Σx - Σy of integers"""
    need(is_integer(x.dtype))
    return subtract(reduce_("add", x, d), reduce_("add", y, d))


# Floats: two large sums may have a small difference, and nearly all digits of it may be lost, as
# with neighbours in a cumulative sum. So they are split only where one sum is then no sum at all.


def _is_repeated(y: Value, s: Any, b: Any, d: Any) -> bool:
    """Whether broadcasting y makes copies of it along a dimension in d."""
    own = {j: y.shape[i] for i, j in enumerate(b)}
    return any(s[j] > 1 and own.get(j, 1) == 1 for j in d)


@rule(
    lambda x, y, s, b, d: reduce_("add", subtract(x, broadcast_in_dim(y, s, b)), d),
    numerics=ROUNDING,
    source=RING,
)
def sum_less_repeated(x: Value, y: Value, s: Any, b: Any, d: Any) -> Value | None:
    """Σ(x - bcast y) = Σx - Σ bcast y where y is repeated along d"""
    need(_is_repeated(y, s, b, d))
    return subtract(reduce_("add", x, d), reduce_("add", broadcast_in_dim(y, s, b), d))


@rule(
    lambda x, y, s, b, d: reduce_("add", subtract(broadcast_in_dim(y, s, b), x), d),
    numerics=ROUNDING,
    source=RING,
)
def repeated_less_sum(x: Value, y: Value, s: Any, b: Any, d: Any) -> Value | None:
    """Σ(bcast y - x) = Σ bcast y - Σx where y is repeated along d"""
    need(_is_repeated(y, s, b, d))
    return subtract(reduce_("add", broadcast_in_dim(y, s, b), d), reduce_("add", x, d))


@rule(lambda x, d: reduce_("add", negate(x), d), numerics=ROUNDING, source=RING)
def sum_before_negate(x: Value, d: Any) -> Value | None:
    """Σ(-x) = -Σx"""
    return negate(reduce_("add", x, d))


sum_before_negate_exactly = for_integers(sum_before_negate)

_DISTRIBUTIVE = {
    ("add", "multiply"): "all",
    ("add", "divide"): "real",
    ("maximum", "add"): "real",
    ("maximum", "subtract"): "real",
    ("minimum", "add"): "real",
    ("minimum", "subtract"): "real",
    ("maximum", "minimum"): "all",
    ("minimum", "maximum"): "all",
    ("and", "or"): "all",
    ("or", "and"): "all",
}
"""Pairs (f, g) with f(g(x, y), g(z, y)) = g(f(x, z), y), and the types for which this holds."""


def _need_distributive(f: Any, g: Any, dtype: str, y: Value | None = None) -> None:
    if f in ("maximum", "minimum") and g in ("multiply", "divide"):
        need(dtype in REALS and y is not None and is_nonnegative(y))
        return
    types = _DISTRIBUTIVE.get((f, g) if isinstance(g, str) else ("", ""))
    need(types is not None and (dtype in REALS or dtype == "i1" or dtype in INTEGERS))
    need(types == "all" or dtype in REALS)


def _is_exactly_distributive(f: Any, g: Any, x: Value, **_: Any) -> bool:
    return (
        is_exact(f, x.dtype)
        and (f, g) in _DISTRIBUTIVE
        and (x.dtype not in REALS or DUAL.get(f) == g)
    )


@rule(
    lambda f, g, x, y, s, b, d: reduce_(f, binary(g, x, broadcast_in_dim(y, s, b)), d),
    numerics=ROUNDING,
    source="distributivity",
    uses_facts=True,
)
def reduce_beside_broadcast(
    f: Any, g: Any, x: Value, y: Value, s: Any, b: Any, d: Any
) -> Value | None:
    """Σ x·bcast(y) = Σ(Σx · y), the inner sum along what y is repeated; max and +, … alike"""
    _need_distributive(f, g, x.dtype, y)
    repeated = [i for i in d if s[i] > 1 and (i not in b or y.shape[b.index(i)] == 1)]
    need(repeated and prod(s) > 0)
    inner = reduce_(f, x, repeated)
    own = [i for i, j in enumerate(b) if j in repeated]
    places = _renumbered([j for j in b if j not in repeated], repeated)
    other = broadcast_in_dim(reshape(y, without(y.shape, own)), inner.shape, places)
    rest = _renumbered([i for i in d if i not in repeated], repeated)
    return reduce_(f, binary(g, inner, other), rest)


reduce_beside_broadcast_exactly = exactly(reduce_beside_broadcast, _is_exactly_distributive)


@rule(
    lambda f, g, x, c, d: reduce_(f, binary(g, x, constant(c)), d),
    numerics=ROUNDING,
    source="distributivity",
)
def reduce_beside_splat(f: Any, g: Any, x: Value, c: Literal, d: Any) -> Value | None:
    """Σ x·c = Σx · c for a splat c; max(x + c) = max x + c, … alike"""
    _need_distributive(f, g, x.dtype)
    need(c.is_splat and x.size > 0)
    result = reduce_(f, x, d)
    return binary(g, result, constant(Literal(c.data, result.shape)))


reduce_beside_splat_exactly = exactly(reduce_beside_splat, _is_exactly_distributive)


@rule(
    lambda x, d: reduce_("multiply", unary("exponential", x), d),
    numerics=ROUNDING,
    source="exp is a homomorphism from (ℝ, +) to (ℝ⁺, ·)",
)
def product_of_exponentials(x: Value, d: Any) -> Value | None:
    """Π exp x = exp Σx"""
    return unary("exponential", reduce_("add", x, d))


@rule(lambda f, x, d: reduce_(f, x, d), numerics=ROUNDING, source=MONOID)
def reduce_few_rows(f: Any, x: Value, d: Any) -> Value | None:
    """reduce x = f(f(x₀, x₁), x₂) … over one dimension of 2 to 9 rows"""
    need(f in _WRITTEN_OUT and len(d) == 1 and 2 <= x.shape[d[0]] <= _FEW_ROWS)
    need(accumulation_dtype(x.dtype) == x.dtype)
    shape = without(x.shape, d)
    rows = [reshape(slice_dimension(x, d[0], j, j + 1), shape) for j in range(x.shape[d[0]])]
    return reduce(lambda total, row: binary(f, total, row), rows)


reduce_few_rows_exactly = exactly(reduce_few_rows, _is_exact)


# ------------------------------------------------------------------ monotone functions


@rule(lambda f, g, x, d: reduce_(f, unary(g, x), d), numerics=ROUNDING, source=MONOTONE)
def reduce_before_increasing(f: Any, g: Any, x: Value, d: Any) -> Value | None:
    """max g(x) = g(max x) for increasing g; the minimum too; real, of at least one element"""
    partial = g in INCREASING_WHERE_DEFINED and f == "minimum"
    need(f in ("maximum", "minimum") and (g in INCREASING or partial))
    need(x.dtype in REALS and _count(x, d) > 0)
    return unary(g, reduce_(f, x, d))


@rule(
    lambda f, g, x, d: reduce_(f, unary(g, x), d),
    numerics=FINITE,
    source=MONOTONE,
    examples=lambda rng: {
        "f": str(rng.choice(["maximum", "minimum"])),
        "g": str(rng.choice(sorted(INCREASING_WHERE_DEFINED))),
        "x": Literal(rng.uniform(0.1, 9.0, (3, 2))),
        "d": (int(rng.integers(0, 2)),),
    },
)
def reduce_before_increasing_where_defined(f: Any, g: Any, x: Value, d: Any) -> Value | None:
    """max g(x) = g(max x) for g = √, log, log1p, where all of g(x) is defined; the minimum too"""
    need(f in ("maximum", "minimum") and g in INCREASING_WHERE_DEFINED)
    need(x.dtype in REALS and _count(x, d) > 0)
    return unary(g, reduce_(f, x, d))


@rule(lambda f, x, d: reduce_(f, negate(x), d), numerics=BITWISE, source=MONOTONE)
def reduce_before_negate(f: Any, x: Value, d: Any) -> Value | None:
    """max(-x) = -min x and min(-x) = -max x, real"""
    need(f in ("maximum", "minimum") and x.dtype in REALS)
    return negate(reduce_(DUAL[f], x, d))


@rule(
    lambda f, x, c, d: reduce_(f, multiply(x, constant(c)), d), numerics=ROUNDING, source=MONOTONE
)
def reduce_before_scale(f: Any, x: Value, c: Literal, d: Any) -> Value | None:
    """max(x · c) = max x · c for a splat c > 0, min x · c for c < 0; the minimum too; real"""
    need(f in ("maximum", "minimum") and x.dtype in REALS and c.is_splat)
    need(0 < abs(float(c.value)) < float("inf"))
    result = reduce_(f if c.value > 0 else DUAL[f], x, d)
    return multiply(result, constant(Literal(c.data, result.shape)))


@rule(lambda f, x, t, d: reduce_(f, convert(x, t), d), numerics=BITWISE, source=MONOTONE)
def reduce_before_convert(f: Any, x: Value, t: Any, d: Any) -> Value | None:
    """max t(x) = t(max x) where type t holds every value; the minimum too; not of nothing"""
    need(f in ("maximum", "minimum") and holds_every_value(x.dtype, t) and _count(x, d) > 0)
    need(not is_complex(t))
    return convert(reduce_(f, x, d), t)


@rule(lambda f, x, d: reduce_(f, unary("not", x), d), numerics=BITWISE, source="De Morgan")
def reduce_before_complement(f: Any, x: Value, d: Any) -> Value | None:
    """⋀ ¬x = ¬⋁ x and ⋁ ¬x = ¬⋀ x"""
    need(f in ("and", "or"))
    return unary("not", reduce_(DUAL[f], x, d))
