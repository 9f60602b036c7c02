"""Determinants as notions: log|det| and the sign of det, of products, blocks and triangles.

Letters: a is the matrix, r the routine. a⁻¹ is `solve` of the identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    Routine,
    add,
    binary,
    broadcast_in_dim,
    determinant_sign,
    dot_general,
    full,
    full_like,
    get_result,
    householder_product,
    log_abs_determinant,
    multiply,
    qr,
    reduce_,
    reverse,
    solve,
    transpose,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.factors import determinant_sign_by_factors, diagonal_of
from saturax.rules.facts import (
    is_diagonal,
    is_identity,
    is_lower_triangular,
    is_permutation_matrix,
    is_upper_triangular,
    splat_of,
)
from saturax.rules.linear_algebra import (
    LU,
    diagonal_example,
    square_example,
    triangular_example,
)
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.solving import (
    swap,
)
from saturax.rules.structured_systems import block, block_example, block_size

DETERMINANT = "properties of determinants"
Dimensions = tuple[int, ...]


def _real_example(rng: np.random.Generator) -> dict[str, Any]:
    """Square matrices of real numbers, and what rules on them need."""
    drawn = square_example(rng)
    while is_complex(drawn["a"].dtype):
        drawn = square_example(rng)
    return drawn


@rule(lambda a, r: determinant_sign(a, r), numerics=ROUNDING, source=LU)
def determinant_sign_by_lu(a: Value, r: Any) -> Any:
    """sign det a = Π sign(uᵢᵢ), times -1 for each two rows that P exchanges, where P·a = L·U"""
    need(Routine(*r).library and a.size > 0)
    return determinant_sign_by_factors(a, Routine(*r))


# Transposes, scales, inverses.


@rule(
    lambda a, q, r: log_abs_determinant(transpose(a, q), r), numerics=ROUNDING, source=DETERMINANT
)
def determinant_of_transpose(a: Value, q: Dimensions, r: Any) -> Any:
    """|det aᵀ| = |det a|"""
    need(q == swap(a.rank))
    return log_abs_determinant(a, r)


@rule(lambda a, q, r: determinant_sign(transpose(a, q), r), numerics=ROUNDING, source=DETERMINANT)
def determinant_sign_of_transpose(a: Value, q: Dimensions, r: Any) -> Any:
    """sign det aᵀ = sign det a"""
    need(q == swap(a.rank))
    return determinant_sign(a, r)


@rule(
    lambda f, a, c, r: log_abs_determinant(binary(f, a, c), r),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
)
def determinant_of_scaled(f: str, a: Value, c: Value, r: Any) -> Any:
    """log|det(c·a)| = n·log|c| + log|det a|, minus for a/c, if all elements of c are one number"""
    value = splat_of(c)
    need(f in ("multiply", "divide") and value is not None)
    need(np.isfinite(value) and value != 0 and a.size > 0)
    shift = a.shape[-1] * float(np.log(np.abs(np.asarray(value, np.complex128))))
    rest = log_abs_determinant(a, r)
    return add(rest, full_like(rest, shift if f == "multiply" else -shift))


@rule(
    lambda a, s, t, r: log_abs_determinant(
        householder_product(get_result(qr(a, s), 0), get_result(qr(a, s), 1), t), r
    ),
    numerics=ROUNDING,
    source=DETERMINANT,
    examples=lambda rng: {"a": TensorType((3, 3), "f64")},
)
def determinant_of_orthogonal(a: Value, s: Any, t: Any, r: Any) -> Any:
    """log|det Q| = 0 for the factor Q of a real square matrix"""
    need(not is_complex(a.dtype) and a.shape[-1] == a.shape[-2])
    return full(0, a.tensor.with_shape(a.shape[:-2]))


@rule(
    lambda a, d, p, e, r: log_abs_determinant(dot_general(a, a, d, p, e), r),
    numerics=ROUNDING,
    source=DETERMINANT,
    examples=lambda rng: {
        "a": TensorType((3, 3), "f64"),
        "e": "f64",
        "d": DotDimensions((), (), (int(rng.integers(2)),), (int(rng.integers(2)),)),
    },
)
def determinant_of_square(a: Value, d: Any, p: Any, e: str, r: Any) -> Any:
    """log|det(a·a)| = 2 log|det a|, also of aᵀ·a and a·aᵀ, for square a"""
    d, batch = DotDimensions(*d), tuple(range(a.rank - 2))
    need(a.dtype == e and a.shape[-1] == a.shape[-2] and d.lhs_batch == d.rhs_batch == batch)
    need(len(d.lhs_contract) == 1 and a.size > 0)
    rest = log_abs_determinant(a, r)
    return multiply(rest, full_like(rest, 2))


@rule(
    lambda a, r: log_abs_determinant(a, r),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
    examples=lambda rng: {"a": Literal(np.eye(4)[rng.permutation(4)])},
)
def determinant_of_permutation(a: Value, r: Any) -> Any:
    """log|det a| = 0 for a permutation matrix a"""
    need(is_permutation_matrix(a) and not is_complex(a.dtype))
    return full(0, a.tensor.with_shape(a.shape[:-2]))


@rule(
    lambda f, a, c, r: determinant_sign(binary(f, a, c), r),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
)
def determinant_sign_of_scaled(f: str, a: Value, c: Value, r: Any) -> Any:
    """sign det(c·a) = sign(c)ⁿ·sign det a, also of a/c, if all elements of c are one number"""
    value = splat_of(c)
    need(f in ("multiply", "divide") and value is not None and np.isfinite(value) and value != 0)
    sign = determinant_sign(a, r)
    return unary("negate", sign) if value < 0 and a.shape[-1] % 2 else sign


@rule(lambda a, r: determinant_sign(unary("negate", a), r), numerics=ROUNDING, source=DETERMINANT)
def determinant_sign_of_negated(a: Value, r: Any) -> Any:
    """sign det(-a) = (-1)ⁿ·sign det a"""
    sign = determinant_sign(a, r)
    return unary("negate", sign) if a.shape[-1] % 2 else sign


@rule(
    lambda a, r: log_abs_determinant(unary("negate", a), r), numerics=ROUNDING, source=DETERMINANT
)
def determinant_of_negated(a: Value, r: Any) -> Any:
    """|det(-a)| = |det a|"""
    return log_abs_determinant(a, r)


def _scales(f: str, s: Value, w: Dimensions, d: Dimensions) -> Any:
    """The numbers by which rows or columns of matrices of shape w are scaled."""
    last = len(w) - 1
    need(f in ("multiply", "divide") and not {last, last - 1} <= set(d))
    need(0 not in w and not is_complex(s.dtype))
    return broadcast_in_dim(s, w[:-1], tuple(last - 1 if i == last else i for i in d))


@rule(
    lambda f, a, s, w, d, r: log_abs_determinant(binary(f, a, broadcast_in_dim(s, w, d)), r),
    numerics=ROUNDING,
    source=DETERMINANT,
    examples=lambda rng: _scaled_rows(rng),
)
def determinant_of_scaled_rows(
    f: str, a: Value, s: Value, w: Dimensions, d: Dimensions, r: Any
) -> Any:
    """log|det(diag(s)·a)| = Σ log|sᵢ| + log|det a|, for columns, too, and minus for a division"""
    scales = unary("log", unary("abs", _scales(f, s, w, d)))
    shift = reduce_("add", scales, (a.rank - 2,))
    return binary("add" if f == "multiply" else "subtract", log_abs_determinant(a, r), shift)


@rule(
    lambda f, a, s, w, d, r: determinant_sign(binary(f, a, broadcast_in_dim(s, w, d)), r),
    numerics=ROUNDING,
    source=DETERMINANT,
    examples=lambda rng: _scaled_rows(rng),
)
def determinant_sign_of_scaled_rows(
    f: str, a: Value, s: Value, w: Dimensions, d: Dimensions, r: Any
) -> Any:
    """sign det(diag(s)·a) = Π sign(sᵢ)·sign det a, for columns and divisions, too"""
    signs = unary("sign", _scales(f, s, w, d))
    return multiply(reduce_("multiply", signs, (a.rank - 2,)), determinant_sign(a, r))


def _scaled_rows(rng: np.random.Generator) -> dict[str, Any]:
    a = _real_example(rng)["a"]
    d = (*range(a.rank - 2), a.rank - 2 + int(rng.integers(0, 2)))
    f = str(rng.choice(["multiply", "divide"]))
    return {"f": f, "a": a, "s": a.with_shape(a.shape[:-1]), "w": a.shape, "d": d}


@rule(
    lambda a, i, r, s: log_abs_determinant(solve(a, i, r), s),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
    examples=lambda rng: {n: x for n, x in square_example(rng).items() if n in "ai"},
)
def determinant_of_inverse(a: Value, i: Value, r: Any, s: Any) -> Any:
    """log|det a⁻¹| = -log|det a|"""
    need(is_identity(i))
    return unary("negate", log_abs_determinant(a, s))


@rule(
    lambda a, i, r, s: determinant_sign(solve(a, i, r), s),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
    examples=lambda rng: {n: x for n, x in _real_example(rng).items() if n in "ai"},
)
def determinant_sign_of_inverse(a: Value, i: Value, r: Any, s: Any) -> Any:
    """sign det a⁻¹ = sign det a"""
    need(is_identity(i))
    return determinant_sign(a, s)


# Products.


def _need_square_factors(x: Value, y: Value, d: DotDimensions, e: str) -> None:
    """The rule applies to x·y, xᵀ·y, … of square matrices of one type only."""
    rank = x.rank
    batch = tuple(range(rank - 2))
    need(x.type == y.type and x.dtype == e and rank >= 2 and x.shape[-1] == x.shape[-2])
    need(d.lhs_batch == d.rhs_batch == batch and len(d.lhs_contract) == 1)


@rule(
    lambda x, y, d, p, e, r: log_abs_determinant(dot_general(x, y, d, p, e), r),
    numerics=ROUNDING,
    source=DETERMINANT,
    examples=lambda rng: _product(square_example(rng)),
)
def determinant_of_product(x: Value, y: Value, d: Any, p: Any, e: str, r: Any) -> Any:
    """log|det(x·y)| = log|det x| + log|det y| for square x and y"""
    _need_square_factors(x, y, DotDimensions(*d), e)
    return add(log_abs_determinant(x, r), log_abs_determinant(y, r))


@rule(
    lambda x, y, d, p, e, r: determinant_sign(dot_general(x, y, d, p, e), r),
    numerics=ROUNDING,
    source=DETERMINANT,
    examples=lambda rng: _product(_real_example(rng)),
)
def determinant_sign_of_product(x: Value, y: Value, d: Any, p: Any, e: str, r: Any) -> Any:
    """sign det(x·y) = sign det x · sign det y for square x and y"""
    _need_square_factors(x, y, DotDimensions(*d), e)
    return multiply(determinant_sign(x, r), determinant_sign(y, r))


def _product(drawn: dict[str, Any]) -> dict[str, Any]:
    return {"x": drawn["a"], "y": drawn["b"], "d": drawn["d"], "e": drawn["e"]}


# Structure.


def _triangular_example(rng: np.random.Generator) -> dict[str, Any]:
    draw = diagonal_example if rng.random() < 0.3 else triangular_example
    return {"a": draw(rng)["a"]}


def _triangular_diagonal(a: Value) -> Any:
    """The diagonal of a; the rule does not apply if a is not triangular."""
    need((is_lower_triangular(a) or is_upper_triangular(a)) and a.size > 0)
    return reduce_("add", a, (a.rank - 2,)) if is_diagonal(a) else diagonal_of(a)


@rule(
    lambda a, r: log_abs_determinant(a, r),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
    examples=_triangular_example,
)
def determinant_of_triangular(a: Value, r: Any) -> Any:
    """log|det a| = Σ log|aᵢᵢ| if a is triangular"""
    logarithms = unary("log", unary("abs", _triangular_diagonal(a)))
    return reduce_("add", logarithms, (a.rank - 2,))


@rule(
    lambda a, r: determinant_sign(a, r),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
    examples=_triangular_example,
)
def determinant_sign_of_triangular(a: Value, r: Any) -> Any:
    """sign det a = Π sign(aᵢᵢ) if a is triangular"""
    return reduce_("multiply", unary("sign", _triangular_diagonal(a)), (a.rank - 2,))


@rule(
    lambda a, r, s: multiply(
        determinant_sign(a, r), unary("exponential", log_abs_determinant(a, s))
    ),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
    examples=_triangular_example,
)
def product_of_triangular_diagonal(a: Value, r: Any, s: Any) -> Any:
    """det a = Π aᵢᵢ if a is triangular, where det a is written as its sign and its logarithm"""
    return reduce_("multiply", _triangular_diagonal(a), (a.rank - 2,))


def _blocks(a: Value) -> tuple[Any, Any]:
    """The two diagonal blocks of a; the rule does not apply if it has no zeros beside them."""
    need(not is_lower_triangular(a) and not is_upper_triangular(a))
    size, _, _ = block_size(a)
    parts = (0, size), (size, a.shape[-1])
    return block(a, parts[0], parts[0]), block(a, parts[1], parts[1])


@rule(
    lambda a, r: log_abs_determinant(a, r),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
    examples=lambda rng: {"a": block_example(rng)["a"]},
)
def determinant_of_blocks(a: Value, r: Any) -> Any:
    """log|det a| = log|det b| + log|det c| if a = [b, *; 0, c] or [b, 0; *, c]"""
    first, second = _blocks(a)
    return add(log_abs_determinant(first, r), log_abs_determinant(second, r))


@rule(
    lambda a, r: determinant_sign(a, r),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
    examples=lambda rng: {"a": block_example(rng)["a"]},
)
def determinant_sign_of_blocks(a: Value, r: Any) -> Any:
    """sign det a = sign det b · sign det c if a = [b, *; 0, c] or [b, 0; *, c]"""
    first, second = _blocks(a)
    return multiply(determinant_sign(first, r), determinant_sign(second, r))


# Rows in another order.


@rule(lambda a, d, r: log_abs_determinant(reverse(a, d), r), numerics=ROUNDING, source=DETERMINANT)
def determinant_of_reversed(a: Value, d: Dimensions, r: Any) -> Any:
    """|det a| is the same for rows or columns in reversed order"""
    need(set(d) <= {a.rank - 1, a.rank - 2})
    return log_abs_determinant(a, r)


@rule(lambda a, d, r: determinant_sign(reverse(a, d), r), numerics=ROUNDING, source=DETERMINANT)
def determinant_sign_of_reversed(a: Value, d: Dimensions, r: Any) -> Any:
    """Reversing n rows or columns exchanges ⌊n/2⌋ pairs, each of which turns the sign of det a"""
    need(set(d) <= {a.rank - 1, a.rank - 2})
    sign = determinant_sign(a, r)
    return unary("negate", sign) if len(d) * (a.shape[-1] // 2) % 2 else sign
