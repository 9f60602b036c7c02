"""Matrices of a known structure under masks, reductions and transposes; tensors under masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.facts.bands import EMPTY, band_of, common, contains_band
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    add,
    binary,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    divide,
    full,
    identity_value,
    iota,
    multiply,
    reduce_,
    reshape,
    select,
    slice_,
    subtract,
    transpose,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS, exactly, is_all, is_exact, where_proved
from saturax.rules.facts import (
    facts_of,
    is_diagonal,
    is_finite,
    is_frozen,
    is_identity,
    is_splat,
    is_symmetric,
    is_zero,
    zero_blocks_of,
)
from saturax.rules.moves import cut
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule


@rule(
    lambda x, p: transpose(x, p),
    numerics=ROUNDING,
    source="definition of symmetric",
    uses_facts=True,
)
def drop_transpose_of_symmetric(x: Value, p: Any) -> Value | None:
    """xᵀ = x for symmetric matrices x, also in batches"""
    rank = x.rank
    need(rank >= 2 and list(p) == [*range(rank - 2), rank - 1, rank - 2] and is_symmetric(x))
    return x


def _covers(p: Value, x: Value) -> bool:
    """Whether p is true wherever x may be other than 0."""
    full = facts_of(p).known.full
    return p.shape == x.shape and full is not None and contains_band(full, band_of(facts_of(x)))


def _misses(p: Value, x: Value) -> bool:
    """Whether p is false wherever x may be other than 0."""
    if p.shape != x.shape or x.rank < 2:
        return False
    return common(band_of(facts_of(p)), band_of(facts_of(x))) == EMPTY


def _masked_example(rng: np.random.Generator) -> dict[str, Any]:
    """A triangular constant under a mask."""
    n, m = (int(i) for i in rng.integers(1, 6, 2))
    counts, shift = TensorType((n, m), "i32"), int(rng.integers(0, 2))
    builder = GraphBuilder()
    is_lower = rng.random() < 0.5
    with building(builder):
        rows = add(iota(0, counts), full(shift if is_lower else -shift, counts))
        mask = builder.finish(
            [compare(rows, iota(1, counts), "GE" if is_lower else "LE", "SIGNED")]
        )
    matrix = (np.tril if is_lower else np.triu)(rng.normal(size=(n, m)))
    return {"p": mask, "x": Literal(matrix), "y": Literal(np.zeros((n, m)))}


@rule(
    lambda p, x, y: select(p, x, y),
    numerics=ROUNDING,
    source="definition of triangular",
    uses_facts=True,
    examples=_masked_example,
)
def drop_triangular_mask(p: Value, x: Value, y: Value) -> Value | None:
    """x where p, else 0 = x for banded x, if p is true on its diagonals"""
    need(is_zero(y) and _covers(p, x))
    return x


def _missed_example(rng: np.random.Generator) -> dict[str, Any]:
    """A triangular constant under a mask of zeros."""
    drawn = _masked_example(rng)
    mask, x = drawn["p"], drawn["x"]
    builder = GraphBuilder(exact=True)
    with building(builder):
        (value,) = builder.inline(mask, [])
        other = builder.finish([unary("not", value)])
    return {"p": other, "x": drawn["y"], "y": x}


@rule(
    lambda p, x, y: select(p, x, y),
    numerics=ROUNDING,
    source="definition of triangular",
    uses_facts=True,
    examples=_missed_example,
)
def drop_mask_beside_band(p: Value, x: Value, y: Value) -> Value | None:
    """0 where p, else y = y for banded y, if p is false on its diagonals"""
    need(is_zero(x) and _misses(p, y))
    return y


def _two_masks(rng: np.random.Generator) -> dict[str, Any]:
    first, second = _masked_example(rng), _masked_example(rng)
    shape = first["y"].type.shape
    type = TensorType(shape, "f64")
    zeros = Literal(np.zeros(shape))
    numbers = {name: Literal(rng.normal(size=shape)) for name in ("x", "w")}
    other = second["p"] if second["y"].type.shape == shape else first["p"]
    return {"p": first["p"], "q": other, "y": zeros, "z": zeros, **numbers, "v": type}


@rule(
    lambda p, x, y, q, w, z: multiply(select(p, x, y), select(q, w, z)),
    numerics=FINITE,
    source="0 · x = 0",
    uses_facts=True,
    examples=_two_masks,
)
def multiply_masked(p: Value, x: Value, y: Value, q: Value, w: Value, z: Value) -> Value | None:
    """(x where p, else 0)·(w where q, else 0) = x·w where p ∧ q, else 0, for known masks"""
    need(is_zero(y) and is_zero(z) and p.shape == q.shape == x.shape)
    need(is_frozen(p) and is_frozen(q))
    return select(binary("and", p, q), multiply(x, w), y)


multiply_masked_of_finite = where_proved(
    multiply_masked,
    lambda p, x, y, q, w, z: is_finite(x) and is_finite(w),
    __name__,
    examples=_two_masks,
)


def _diagonal_example(rng: np.random.Generator) -> dict[str, Any]:
    """A vector on the diagonal of matrices, which are summed along rows or columns."""
    n, batch = int(rng.integers(1, 5)), tuple(map(int, rng.integers(1, 3, rng.integers(0, 2))))
    shape = (*batch, n, n)
    builder = GraphBuilder()
    with building(builder):
        counts = TensorType(shape, "i32")
        rows, columns = iota(len(shape) - 2, counts), iota(len(shape) - 1, counts)
        mask = builder.finish([compare(rows, columns, "EQ", "SIGNED")])
    places = [*range(len(batch)), len(batch) + int(rng.integers(0, 2))]
    d = tuple(place for place in places if rng.random() < 0.8)
    v = TensorType(tuple(shape[place] for place in d), "f32")
    e = (len(batch) + int(rng.integers(0, 2)),)
    return {"p": mask, "v": v, "w": shape, "d": d, "z": splat(0, TensorType(shape, "f32")), "e": e}


@rule(
    lambda p, v, w, d, z, e: reduce_("add", select(p, broadcast_in_dim(v, w, d), z), e),
    numerics=ROUNDING,
    source="the diagonal of diag(v)",
    uses_facts=True,
    examples=_diagonal_example,
)
def diagonal_of_broadcast(p: Value, v: Value, w: Any, d: Any, z: Value, e: Any) -> Value | None:
    """Σᵢ diag(v)ᵢⱼ = v, also in batches"""
    last = {len(w) - 1, len(w) - 2}
    need(is_identity(p) and is_zero(z) and len(e) == 1 and set(e) <= last and not last <= set(d))
    return broadcast_in_dim(v, w[:-1], [min(place, len(w) - 2) for place in d])


def _whole_diagonal_example(rng: np.random.Generator) -> dict[str, Any]:
    """Matrices of which all but the diagonal is masked, and what they are summed along."""
    drawn = _diagonal_example(rng)
    shape: tuple[int, ...] = drawn["w"]
    places = [place for place in range(len(shape)) if rng.random() < 0.7]
    x = TensorType(shape, str(rng.choice(["f32", "f64", "i32"])))
    z = splat(0, TensorType(shape, x.dtype))
    return {"p": drawn["p"], "x": x, "z": z, "e": tuple(places) or drawn["e"]}


@rule(
    lambda p, x, z, e: reduce_("add", select(p, x, z), e),
    numerics=ROUNDING,
    source="definition of the trace",
    uses_facts=True,
    examples=_whole_diagonal_example,
)
def sum_of_diagonal(p: Value, x: Value, z: Value, e: Any) -> Value | None:
    """Σᵢⱼ δᵢⱼ·xᵢⱼ = Σᵢ xᵢᵢ, every (n + 1)-th element; also in batches, and Σⱼ δᵢⱼ·xᵢⱼ = xᵢᵢ"""
    need(x.rank >= 2)
    n, batch = x.shape[-1], x.shape[:-2]
    last = {x.rank - 1, x.rank - 2}
    need(is_identity(p) and is_zero(z) and last & set(e) and n > 1 and x.size > 0)
    flat = reshape(x, (*batch, n * n))
    diagonal = cut(flat, [*((0, size, 1) for size in batch), (0, n * n, n + 1)])
    summed = {d for d in e if d not in last} | ({x.rank - 2} if last <= set(e) else set())
    return reduce_("add", diagonal, sorted(summed)) if summed else diagonal


# ------------------------------------------------------------------ reductions under a mask


def _own_diagonal(rng: np.random.Generator) -> dict[str, Any]:
    """A mask of the diagonal, and matrices whose own diagonal is spread along rows or columns."""
    n, batch = int(rng.integers(1, 5)), tuple(rng.integers(1, 3, int(rng.integers(0, 3))).tolist())
    shape, flat = (*batch, n, n), (*batch, n * n)
    type = TensorType(shape, str(rng.choice(["f32", "i32"])))
    builder = GraphBuilder(())
    with building(builder):
        counted = type.with_dtype("i32")
        rows, columns = iota(len(batch), counted), iota(len(batch) + 1, counted)
        mask = builder.finish([compare(rows, columns, "EQ")])
    place = len(batch) + int(rng.integers(0, 2))
    ones, none = (1,) * len(batch), (0,) * (len(batch) + 1)
    cut = {"s": flat, "a": none, "b": flat, "c": (*ones, n + 1)}
    spread = {"t": shape, "e": (*range(len(batch)), place)}
    return {"p": mask, "x": type, "y": type, **cut, **spread}


@rule(
    lambda p, x, s, a, b, c, t, e, y: select(
        p, broadcast_in_dim(slice_(reshape(x, s), a, b, c), t, e), y
    ),
    numerics=BITWISE,
    source="definition of the diagonal",
    uses_facts=True,
    examples=_own_diagonal,
)
def spread_own_diagonal(
    p: Value, x: Value, s: Any, a: Any, b: Any, c: Any, t: Any, e: Any, y: Value
) -> Value | None:
    """xᵢᵢ where p, else y = x where p, else y, for masks p of the diagonal; also in batches"""
    rank = x.rank
    need(rank >= 2 and p.rank == rank and x.shape[-1] == x.shape[-2] and x.size > 0)
    n, flat = x.shape[-1], (*x.shape[:-2], x.shape[-1] ** 2)
    need(tuple(s) == flat and not any(a) and tuple(b[:-1]) == flat[:-1] and b[-1] > n * n - n - 1)
    need(set(c[:-1]) <= {1} and c[-1] == n + 1)
    need(tuple(t) == x.shape and tuple(e[:-1]) == tuple(range(rank - 2)) and e[-1] >= rank - 2)
    need(is_diagonal(p))
    return select(p, x, y)


def _interval_mask(rng: np.random.Generator) -> dict[str, Any]:
    """A mask of the first or the last elements along a dimension, and a reduction along it."""
    shape = tuple(int(n) for n in rng.integers(1, 5, int(rng.integers(1, 4))))
    axis = int(rng.integers(0, len(shape)))
    shape = tuple(6 if d == axis else n for d, n in enumerate(shape))
    counts = TensorType(shape, "i32")
    builder = GraphBuilder()
    with building(builder):
        bound = full(int(rng.integers(1, 5)), counts)
        direction = str(rng.choice(["LT", "GE"]))
        mask = builder.finish([compare(iota(axis, counts), bound, direction, "SIGNED")])
    f = str(rng.choice(["add", "maximum", "minimum", "multiply"]))
    x = TensorType(shape, str(rng.choice(["f64", "i32"])))
    d = tuple(i for i in range(len(shape)) if i == axis or rng.random() < 0.5)
    neutral = identity_value(f, x.dtype)
    assert neutral is not None
    return {"f": f, "p": mask, "x": x, "c": splat(neutral, x), "d": d}


def _kept(p: Value, along: int) -> tuple[int, int]:
    """Between what indices along a dimension a mask may be true."""
    low, high = 0, p.shape[along]
    whole = [
        (begin[along], end[along])
        for begin, end in zero_blocks_of(p)
        if all(i == along or (begin[i] == 0 and end[i] == size) for i, size in enumerate(p.shape))
    ]
    for _ in whole:
        low = max([low, *(end for begin, end in whole if begin <= low)])
        high = min([high, *(begin for begin, end in whole if end >= high)])
    return low, high


def _is_exact(f: Any, x: Value, **_: Any) -> bool:
    return is_exact(f, x.dtype)


@rule(
    lambda f, p, x, c, d: reduce_(f, select(p, x, constant(c)), d),
    numerics=ROUNDING,
    source="f has an identity",
    uses_facts=True,
    examples=_interval_mask,
)
def reduce_within_mask(f: Any, p: Value, x: Value, c: Literal, d: Any) -> Value | None:
    """max(x where i < k, else -∞) = max x[:k], and the like for other bounds and Σ, Π, min, …"""
    neutral = identity_value(f, x.dtype)
    need(neutral is not None and is_splat(c, neutral) and p.shape == x.shape)
    bounds = [_kept(p, i) if i in d else (0, size) for i, size in enumerate(x.shape)]
    need(all(low < high for low, high in bounds))
    inside = [(low, high, 1) for low, high in bounds]
    need(any(high - low < size for (low, high), size in zip(bounds, x.shape, strict=True)))
    seen = cut(x, inside)
    return reduce_(f, select(cut(p, inside), seen, constant(Literal(c.data, seen.shape))), d)


reduce_within_mask_exactly = exactly(reduce_within_mask, _is_exact, examples=_interval_mask)


# ------------------------------------------------------------------ exponentials of -∞


def _exponential_under_mask(rng: np.random.Generator) -> dict[str, Any]:
    x = TensorType((2, 3), str(rng.choice(["f32", "f64"])))
    return {"p": x.with_dtype("i1"), "x": x, "y": x, "c": splat(-np.inf, x), "r": x.dtype}


def _masked_exponential(p: Any, x: Any, c: Any, y: Any) -> Any:
    """exp(x - y) where p, and else 0, or NaN where y is -∞ or NaN."""
    return unary("exponential", subtract(select(p, x, constant(c)), y))


@rule(
    lambda p, x, c, y, r: multiply(_masked_exponential(p, x, c, y), convert(p, r)),
    numerics=BITWISE,
    source="IEEE 754: 0 · 0 = 0, NaN · 0 = NaN",
    special=("c", "x", "y"),
    examples=_exponential_under_mask,
)
def drop_mask_of_exponential(p: Value, x: Value, c: Literal, y: Value, r: Any) -> Value | None:
    """exp((x where p, else -∞) - y) · 1ₚ = exp((x where p, else -∞) - y)"""
    need(x.dtype == r and r in REALS and p.dtype == "i1" and is_all(c, -np.inf))
    return _masked_exponential(p, x, c, y)


@rule(
    lambda p, x, c, y, z, r: multiply(divide(_masked_exponential(p, x, c, y), z), convert(p, r)),
    numerics=BITWISE,
    source="IEEE 754: ±0 · 0 = ±0, NaN · 0 = NaN",
    special=("c", "x", "y", "z"),
    examples=lambda rng: (drawn := _exponential_under_mask(rng)) | {"z": drawn["x"]},
)
def drop_mask_of_softmax(
    p: Value, x: Value, c: Literal, y: Value, z: Value, r: Any
) -> Value | None:
    """(exp((x where p, else -∞) - y) / z) · 1ₚ = exp((x where p, else -∞) - y) / z"""
    need(x.dtype == r and r in REALS and p.dtype == "i1" and is_all(c, -np.inf))
    return divide(_masked_exponential(p, x, c, y), z)
