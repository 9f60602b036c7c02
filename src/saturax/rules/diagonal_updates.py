"""A positive diagonal plus a product u·v of low rank: solves and determinants of the small size.

Letters: s are the numbers of the diagonal D, repeated along the dimensions that are not in h, to
shape w; m is the mask of the diagonal, z zero, i the identity; u and v are the factors of the
product, d and p its dimension numbers and precision, e its element type; b is the right side, r the
routine. D has to be known to be positive: a zero in it would be divided by.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    add,
    broadcast_in_dim,
    constant,
    convert,
    determinant_sign,
    divide,
    dot_general,
    log_abs_determinant,
    multiply,
    reduce_,
    select,
    solve,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_float
from saturax.rules.facts import is_identity, is_positive
from saturax.rules.low_rank import LEMMA, WOODBURY, Update, update_example, update_of
from saturax.rules.rule import ROUNDING, Examples, need, rule

Dimensions = tuple[int, ...]


def diagonal_numbers(s: Value, w: Dimensions, h: Dimensions) -> Any:
    """The diagonal, for the whole batch; the rule does not apply unless it is positive."""
    last = len(w) - 1
    need(last >= 1 and is_float(s.dtype) and is_positive(s))
    need(not {last, last - 1} <= set(h))
    return broadcast_in_dim(s, w[:-1], tuple(last - 1 if k == last else k for k in h))


def _of_mask(m: Value, s: Value, w: Dimensions, h: Dimensions, z: Literal) -> Any:
    """The diagonal of select(m, s, z), which has all of s on it and zeros beside it."""
    need(z.is_splat and z.value == 0 and is_identity(convert(m, s.dtype)))
    return diagonal_numbers(s, w, h)


def _of_identity(i: Value, s: Value, w: Dimensions, h: Dimensions) -> Any:
    """The diagonal of i · s."""
    need(is_identity(i))
    return diagonal_numbers(s, w, h)


def _rows_over(x: Value, t: Value, row: int) -> Any:
    """x with each row divided by a number of t; `row` is the dimension of x along the rows."""
    batch = tuple(range(x.rank - 2))
    return divide(x, broadcast_in_dim(t, x.shape, (*batch, row)))


def _scaled(t: Value, u: Value, v: Value, d: Any, p: Any, e: str) -> Update:
    """The update of 1 by D⁻¹u·v."""
    need(u.rank == t.rank + 1 and t.dtype == e)
    update = update_of(t.shape[-1], u, v, d, p, e)
    return update._replace(u=_rows_over(u, t, update.u_labels.index("i")))


def _log_determinant(t: Value, u: Value, v: Value, d: Any, p: Any, e: str, r: Any) -> Any:
    inner = log_abs_determinant(_scaled(t, u, v, d, p, e).inner(), r)
    return add(reduce_("add", unary("log", t), (t.rank - 1,)), inner)


def solution_in_factors(
    t: Value, u: Value, v: Value, d: Any, p: Any, e: str, b: Value, r: Any
) -> Any:
    """D⁻¹b - D⁻¹u·(1 + v·D⁻¹·u)⁻¹(v·D⁻¹b), where t are the numbers of D."""
    update, first = _scaled(t, u, v, d, p, e), _rows_over(b, t, b.rank - 2)
    return subtract(first, update.u_times(solve(update.inner(), update.v_times(first), r)))


def _positive(shape: tuple[int, ...]) -> Graph:
    """exp(x) / 4 + 1: numbers that are known to be positive."""
    builder = GraphBuilder((TensorType(shape, "f64"),))
    with building(builder):
        x = unary("exponential", builder.parameters[0])
        quarter, one = (constant(Literal(np.full(shape, c))) for c in (0.25, 1.0))
        return builder.finish([add(multiply(x, quarter), one)])


def diagonal_update(rng: np.random.Generator) -> dict[str, Any]:
    """A positive diagonal, written in both ways, and what `update_example` draws."""
    drawn = update_example(rng)
    eye = drawn["i"]
    w = eye.type.shape
    last = len(w) - 1
    row = [(), (last,), (last - 1,)][int(rng.integers(0, 3))]
    h = (*(k for k in range(last - 1) if rng.random() < 0.7), *row)
    return drawn | {
        "m": Literal(eye.array != 0),
        "z": Literal(np.zeros(w)),
        "s": _positive(tuple(w[k] for k in h)),
        "w": w,
        "h": h,
    }


def _of(names: str) -> Examples:
    """Examples of some of the letters."""
    return lambda rng: {name: x for name, x in diagonal_update(rng).items() if name in names}


def _masked(m: Any, s: Any, w: Any, h: Any, z: Any) -> Any:
    """The pattern of a diagonal matrix by a mask, as `jnp.diag` writes it."""
    return select(m, broadcast_in_dim(s, w, h), constant(z))


@rule(
    lambda m, s, w, h, z, u, v, d, p, e, r: log_abs_determinant(
        add(_masked(m, s, w, h, z), dot_general(u, v, d, p, e)), r
    ),
    numerics=ROUNDING,
    source=LEMMA,
    uses_facts=True,
    examples=_of("mswhzuvde"),
)
def determinant_of_updated_diagonal(
    m: Value, s: Value, w: Any, h: Any, z: Literal, u: Value, v: Value, d: Any, p: Any, e: str,
    r: Any,
) -> Any:  # fmt: skip
    """log|det(D + u·v)| = Σ log D + log|det(1 + v·D⁻¹·u)| for D > 0, if that is smaller"""
    return _log_determinant(_of_mask(m, s, w, h, z), u, v, d, p, e, r)


@rule(
    lambda i, s, w, h, u, v, d, p, e, r: log_abs_determinant(
        add(multiply(i, broadcast_in_dim(s, w, h)), dot_general(u, v, d, p, e)), r
    ),
    numerics=ROUNDING,
    source=LEMMA,
    uses_facts=True,
    examples=_of("iswhuvde"),
)
def determinant_of_updated_multiple(
    i: Value, s: Value, w: Any, h: Any, u: Value, v: Value, d: Any, p: Any, e: str, r: Any
) -> Any:
    """log|det(s·1 + u·v)| = Σ log s + log|det(1 + v·u/s)| for s > 0, if that is smaller"""
    return _log_determinant(_of_identity(i, s, w, h), u, v, d, p, e, r)


@rule(
    lambda m, s, w, h, z, u, v, d, p, e, r: determinant_sign(
        add(_masked(m, s, w, h, z), dot_general(u, v, d, p, e)), r
    ),
    numerics=ROUNDING,
    source=LEMMA,
    uses_facts=True,
    examples=_of("mswhzuvde"),
)
def determinant_sign_of_updated_diagonal(
    m: Value, s: Value, w: Any, h: Any, z: Literal, u: Value, v: Value, d: Any, p: Any, e: str,
    r: Any,
) -> Any:  # fmt: skip
    """sign det(D + u·v) = sign det(1 + v·D⁻¹·u) for D > 0, if that is smaller"""
    return determinant_sign(_scaled(_of_mask(m, s, w, h, z), u, v, d, p, e).inner(), r)


@rule(
    lambda i, s, w, h, u, v, d, p, e, r: determinant_sign(
        add(multiply(i, broadcast_in_dim(s, w, h)), dot_general(u, v, d, p, e)), r
    ),
    numerics=ROUNDING,
    source=LEMMA,
    uses_facts=True,
    examples=_of("iswhuvde"),
)
def determinant_sign_of_updated_multiple(
    i: Value, s: Value, w: Any, h: Any, u: Value, v: Value, d: Any, p: Any, e: str, r: Any
) -> Any:
    """sign det(s·1 + u·v) = sign det(1 + v·u/s) for s > 0, if that is smaller"""
    return determinant_sign(_scaled(_of_identity(i, s, w, h), u, v, d, p, e).inner(), r)


@rule(
    lambda m, s, w, h, z, u, v, d, p, e, b, r: solve(
        add(_masked(m, s, w, h, z), dot_general(u, v, d, p, e)), b, r
    ),
    numerics=ROUNDING,
    source=WOODBURY,
    uses_facts=True,
    examples=_of("mswhzuvdeb"),
)
def solve_updated_diagonal(
    m: Value, s: Value, w: Any, h: Any, z: Literal, u: Value, v: Value, d: Any, p: Any, e: str,
    b: Value, r: Any,
) -> Any:  # fmt: skip
    """(D + u·v)⁻¹b = D⁻¹b - D⁻¹u·(1 + v·D⁻¹·u)⁻¹(v·D⁻¹b) for D > 0, if v·u is smaller"""
    return solution_in_factors(_of_mask(m, s, w, h, z), u, v, d, p, e, b, r)


@rule(
    lambda i, s, w, h, u, v, d, p, e, b, r: solve(
        add(multiply(i, broadcast_in_dim(s, w, h)), dot_general(u, v, d, p, e)), b, r
    ),
    numerics=ROUNDING,
    source=WOODBURY,
    uses_facts=True,
    examples=_of("iswhuvdeb"),
)
def solve_updated_multiple(
    i: Value, s: Value, w: Any, h: Any, u: Value, v: Value, d: Any, p: Any, e: str, b: Value, r: Any
) -> Any:
    """(s·1 + u·v)⁻¹b = (b - u·(1 + v·u/s)⁻¹(v·b)/s)/s for s > 0, if v·u is smaller"""
    return solution_in_factors(_of_identity(i, s, w, h), u, v, d, p, e, b, r)
