"""The identity plus a product u·v of low rank: its solves and determinants are those of 1 + v·u.

Letters: i is the identity, c a number, u and v the factors of the product, d and p its dimension
numbers and precision, e its element type; b is the right side, r the routine.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    add,
    broadcast_in_dim,
    determinant_sign,
    divide,
    dot_general,
    full_like,
    log_abs_determinant,
    multiply,
    reduce_,
    reshape,
    solve,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.arithmetic import is_uniform
from saturax.rules.einsum import Einsum, contract
from saturax.rules.factors import identity_matrices
from saturax.rules.facts import is_identity, splat_of
from saturax.rules.rule import ROUNDING, Examples, need, rule
from saturax.rules.solving import is_plain

LEMMA = "matrix determinant lemma"
WOODBURY = "Woodbury's identity"


class Update(NamedTuple):
    """The product u·v with labels: i and j of the large matrix, k of the small one, and a batch."""

    u: Value
    v: Value
    u_labels: tuple[Any, ...]
    v_labels: tuple[Any, ...]
    batch: tuple[Any, ...]
    precision: Precision

    def inner(self) -> Any:
        """1 + v·u, of the size that u and v share."""
        v = tuple("k'" if label == "k" else label for label in self.v_labels)
        u = tuple("j" if label == "i" else label for label in self.u_labels)
        labels = Einsum(v, u, (*self.batch, "k'", "k"))
        product = contract(self.v, self.u, labels, self.precision, self.u.dtype)
        return add(identity_matrices(product.tensor), product)

    def v_times(self, x: Value) -> Any:
        """v·x"""
        labels = Einsum(self.v_labels, (*self.batch, "j", "c"), (*self.batch, "k", "c"))
        return contract(self.v, x, labels, self.precision, x.dtype)

    def u_times(self, x: Value) -> Any:
        """u·x"""
        labels = Einsum(self.u_labels, (*self.batch, "k", "c"), (*self.batch, "i", "c"))
        return contract(self.u, x, labels, self.precision, x.dtype)


def update_of(n: int, u: Value, v: Value, d: Any, p: Any, e: str) -> Update:
    """The product u·v of n×n; the rule does not apply unless v·u is smaller."""
    d, p, rank = DotDimensions(*d), Precision(*p), u.rank
    batch = tuple(range(rank - 2))
    need(is_plain(p) and is_uniform(e, u, v) and v.rank == rank)
    need(d.lhs_batch == d.rhs_batch == batch and len(d.lhs_contract) == 1)
    need(0 < u.shape[d.lhs_contract[0]] < n)
    u_labels = (*batch, *("ki" if d.lhs_contract[0] == rank - 2 else "ik"))
    v_labels = (*batch, *("kj" if d.rhs_contract[0] == rank - 2 else "jk"))
    return Update(u, v, u_labels, v_labels, batch, p)


def _update(i: Value, u: Value, v: Value, d: Any, p: Any, e: str) -> Update:
    """The update of identity i; the rule does not apply unless v·u is smaller than u·v."""
    need(is_identity(i) and u.rank == i.rank)
    return update_of(i.shape[-1], u, v, d, p, e)


def _scaled_update(
    i: Value, c: Value, u: Value, v: Value, d: Any, p: Any, e: str
) -> tuple[Update, Any]:
    """c and the update by u·v/c of identity i, if all elements of c are one number, not 0."""
    value = splat_of(c)
    need(value is not None and np.isfinite(value) and value != 0 and not is_complex(e))
    return _update(i, divide(u, full_like(u, value)), v, d, p, e), value


def update_example(rng: np.random.Generator) -> dict[str, Any]:
    """An identity, a number, and factors of a product of rank 1; perhaps batches of them."""
    batch = tuple(int(n) for n in rng.integers(1, 3, rng.integers(0, 2)))
    n, k, m = int(rng.integers(2, 5)), 1, int(rng.integers(1, 4))
    dims = tuple(range(len(batch)))
    left, right = (int(x) for x in rng.integers(0, 2, 2))
    eye = np.ascontiguousarray(np.broadcast_to(np.eye(n), (*batch, n, n)))
    return {
        "i": Literal(eye),
        "c": Literal(np.full(eye.shape, rng.choice([-0.5, 2.0, 4.0]))),
        "u": TensorType((*batch, *((k, n) if left == 0 else (n, k))), "f64"),
        "v": TensorType((*batch, *((k, n) if right == 0 else (n, k))), "f64"),
        "d": DotDimensions(dims, dims, (len(batch) + left,), (len(batch) + right,)),
        "e": "f64",
        "b": TensorType((*batch, n, m), "f64"),
    }


def _of(names: str) -> Examples:
    """Examples of some of the letters."""
    return lambda rng: {name: x for name, x in update_example(rng).items() if name in names}


# Determinants.


@rule(
    lambda i, u, v, d, p, e, r: log_abs_determinant(add(i, dot_general(u, v, d, p, e)), r),
    numerics=ROUNDING,
    source=LEMMA,
    uses_facts=True,
    examples=_of("iuvde"),
)
def determinant_of_low_rank_update(
    i: Value, u: Value, v: Value, d: Any, p: Any, e: str, r: Any
) -> Any:
    """log|det(1 + u·v)| = log|det(1 + v·u)| if that is smaller"""
    return log_abs_determinant(_update(i, u, v, d, p, e).inner(), r)


@rule(
    lambda i, c, u, v, d, p, e, r: log_abs_determinant(
        add(multiply(i, c), dot_general(u, v, d, p, e)), r
    ),
    numerics=ROUNDING,
    source=LEMMA,
    uses_facts=True,
    examples=_of("icuvde"),
)
def determinant_of_scaled_low_rank_update(
    i: Value, c: Value, u: Value, v: Value, d: Any, p: Any, e: str, r: Any
) -> Any:
    """log|det(c·1 + u·v)| = n·log|c| + log|det(1 + v·u/c)| if that is smaller"""
    update, value = _scaled_update(i, c, u, v, d, p, e)
    rest = log_abs_determinant(update.inner(), r)
    return add(rest, full_like(rest, i.shape[-1] * float(np.log(np.abs(value)))))


@rule(
    lambda i, u, v, d, p, e, r: determinant_sign(add(i, dot_general(u, v, d, p, e)), r),
    numerics=ROUNDING,
    source=LEMMA,
    uses_facts=True,
    examples=_of("iuvde"),
)
def determinant_sign_of_low_rank_update(
    i: Value, u: Value, v: Value, d: Any, p: Any, e: str, r: Any
) -> Any:
    """sign det(1 + u·v) = sign det(1 + v·u) if that is smaller"""
    return determinant_sign(_update(i, u, v, d, p, e).inner(), r)


def _rank_one(i: Value, u: Value, s: Any, v: Value, t: Any) -> Any:
    """1 + vᵀu for vectors u, repeated along columns, and v, repeated along rows."""
    rank = i.rank
    batch = tuple(range(rank - 2))
    need(is_identity(i) and i.shape[-1] > 1 and u.type == v.type)
    need(tuple(s) == (*batch, rank - 2) and tuple(t) == (*batch, rank - 1))
    need(u.shape == i.shape[:-1])
    total = reduce_("add", multiply(u, v), (rank - 2,))
    return add(full_like(total, 1), total)


def _vectors(rng: np.random.Generator) -> dict[str, Any]:
    drawn = update_example(rng)
    i = drawn["i"]
    batch = tuple(range(i.data.ndim - 2))
    vector = TensorType(i.data.shape[:-1], "f64")
    dimensions = {"s": (*batch, len(batch)), "t": (*batch, len(batch) + 1)}
    return {"i": i, "u": vector, "v": vector, "w": i.data.shape, **dimensions}


def _vectors_and_right_side(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _vectors(rng)
    return {**drawn, "b": TensorType((*drawn["w"][:-1], int(rng.integers(1, 4))), "f64")}


@rule(
    lambda i, u, s, v, t, w, r: log_abs_determinant(
        add(i, multiply(broadcast_in_dim(u, w, s), broadcast_in_dim(v, w, t))), r
    ),
    numerics=ROUNDING,
    source=LEMMA,
    uses_facts=True,
    examples=_vectors,
)
def determinant_of_rank_one_update(
    i: Value, u: Value, s: Any, v: Value, t: Any, w: Any, r: Any
) -> Any:
    """log|det(1 + u·vᵀ)| = log|1 + vᵀu| for vectors"""
    return unary("log", unary("abs", _rank_one(i, u, s, v, t)))


@rule(
    lambda i, u, s, v, t, w, r: determinant_sign(
        add(i, multiply(broadcast_in_dim(u, w, s), broadcast_in_dim(v, w, t))), r
    ),
    numerics=ROUNDING,
    source=LEMMA,
    uses_facts=True,
    examples=_vectors,
)
def determinant_sign_of_rank_one_update(
    i: Value, u: Value, s: Any, v: Value, t: Any, w: Any, r: Any
) -> Any:
    """sign det(1 + u·vᵀ) = sign(1 + vᵀu) for vectors"""
    return unary("sign", _rank_one(i, u, s, v, t))


# Solves.


@rule(
    lambda i, u, v, d, p, e, b, r: solve(add(i, dot_general(u, v, d, p, e)), b, r),
    numerics=ROUNDING,
    source=WOODBURY,
    uses_facts=True,
    examples=_of("iuvdeb"),
)
def solve_low_rank_update(
    i: Value, u: Value, v: Value, d: Any, p: Any, e: str, b: Value, r: Any
) -> Any:
    """(1 + u·v)⁻¹b = b - u·(1 + v·u)⁻¹(v·b) if v·u is smaller"""
    update = _update(i, u, v, d, p, e)
    return subtract(b, update.u_times(solve(update.inner(), update.v_times(b), r)))


@rule(
    lambda i, c, u, v, d, p, e, b, r: solve(add(multiply(i, c), dot_general(u, v, d, p, e)), b, r),
    numerics=ROUNDING,
    source=WOODBURY,
    uses_facts=True,
    examples=_of("icuvdeb"),
)
def solve_scaled_low_rank_update(
    i: Value, c: Value, u: Value, v: Value, d: Any, p: Any, e: str, b: Value, r: Any
) -> Any:
    """(c·1 + u·v)⁻¹b = (b - u·(1 + v·u/c)⁻¹(v·b)/c)/c if v·u is smaller"""
    update, value = _scaled_update(i, c, u, v, d, p, e)
    inner = subtract(b, update.u_times(solve(update.inner(), update.v_times(b), r)))
    return divide(inner, full_like(b, value))


@rule(
    lambda i, u, v, d, p, e, b, r, g, q: dot_general(
        v, solve(add(i, dot_general(u, v, d, p, e)), b, r), g, q, e
    ),
    numerics=ROUNDING,
    source="v·(1 + u·v) = (1 + v·u)·v",
    uses_facts=True,
    examples=lambda rng: _pushed(rng),
)
def push_factor_through_solve(
    i: Value, u: Value, v: Value, d: Any, p: Any, e: str, b: Value, r: Any, g: Any, q: Any
) -> Any:
    """v·(1 + u·v)⁻¹b = (1 + v·u)⁻¹(v·b) if v·u is smaller"""
    update, g = _update(i, u, v, d, p, e), DotDimensions(*g)
    batch, rank = tuple(range(i.rank - 2)), i.rank
    need(g.lhs_batch == g.rhs_batch == batch and is_plain(Precision(*q)))
    need(g.lhs_contract == (update.v_labels.index("j"),) and g.rhs_contract == (rank - 2,))
    return solve(update.inner(), update.v_times(b), r)


@rule(
    lambda i, u, v, d, p, e, b, r, w, g, q: dot_general(
        v, reshape(solve(add(i, dot_general(u, v, d, p, e)), b, r), w), g, q, e
    ),
    numerics=ROUNDING,
    source="v·(1 + u·v) = (1 + v·u)·v",
    uses_facts=True,
    examples=lambda rng: _pushed_vector(rng),
)
def push_factor_through_solve_of_vector(
    i: Value, u: Value, v: Value, d: Any, p: Any, e: str, b: Value, r: Any, w: Any, g: Any, q: Any
) -> Any:
    """v·(1 + u·v)⁻¹b = (1 + v·u)⁻¹(v·b) for vectors b, if v·u is smaller"""
    update, g = _update(i, u, v, d, p, e), DotDimensions(*g)
    need(i.rank == 2 and b.shape[-1] == 1 and tuple(w) == b.shape[:1])
    need(
        g == DotDimensions((), (), (update.v_labels.index("j"),), (0,)) and is_plain(Precision(*q))
    )
    solution = solve(update.inner(), update.v_times(b), r)
    return reshape(solution, solution.shape[:1])


def _pushed_vector(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _pushed(rng)
    while drawn["d"].lhs_batch:
        drawn = _pushed(rng)
    n, (contracted,) = drawn["b"].shape[0], drawn["g"].lhs_contract
    g = DotDimensions((), (), (contracted,), (0,))
    return {**drawn, "b": TensorType((n, 1), "f64"), "w": (n,), "g": g}


def _pushed(rng: np.random.Generator) -> dict[str, Any]:
    drawn = update_example(rng)
    d = drawn["d"]
    (contracted,) = d.rhs_contract
    rank = len(d.rhs_batch) + 2
    (other,) = {rank - 1, rank - 2} - {contracted}
    return {**drawn, "g": DotDimensions(d.rhs_batch, d.rhs_batch, (other,), (rank - 2,))}


@rule(
    lambda i, u, s, v, t, w, b, r: solve(
        add(i, multiply(broadcast_in_dim(u, w, s), broadcast_in_dim(v, w, t))), b, r
    ),
    numerics=ROUNDING,
    source="Sherman and Morrison",
    uses_facts=True,
    examples=_vectors_and_right_side,
)
def solve_rank_one_update(
    i: Value, u: Value, s: Any, v: Value, t: Any, w: Any, b: Value, r: Any
) -> Any:
    """(1 + u·vᵀ)⁻¹b = b - u·(vᵀb)/(1 + vᵀu) for vectors u and v"""
    rank, batch = i.rank, tuple(range(i.rank - 2))
    number = _rank_one(i, u, s, v, t)
    d = DotDimensions(batch, batch, (rank - 2,), (rank - 2,))
    product = dot_general(v, b, d, Precision(), b.dtype)
    row = divide(product, broadcast_in_dim(number, product.shape, batch))
    columns = broadcast_in_dim(u, b.shape, (*batch, rank - 2))
    return subtract(b, multiply(columns, broadcast_in_dim(row, b.shape, (*batch, rank - 1))))
