"""Determinants as notions: of transposes, scaled, inverse and triangular matrices.

Letters: a is the matrix, r the routine. a⁻¹ is `solve` of the identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ops import (
    add,
    binary,
    full_like,
    log_abs_determinant,
    reduce_,
    solve,
    transpose,
    unary,
)
from saturax.rules.factors import diagonal_of
from saturax.rules.facts import (
    is_diagonal,
    is_identity,
    is_lower_triangular,
    is_upper_triangular,
    splat_of,
)
from saturax.rules.linear_algebra import diagonal_example, square_example, triangular_example
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.solving import (
    swap,
)

DETERMINANT = "properties of determinants"
Dimensions = tuple[int, ...]


@rule(
    lambda a, q, r: log_abs_determinant(transpose(a, q), r), numerics=ROUNDING, source=DETERMINANT
)
def determinant_of_transpose(a: Value, q: Dimensions, r: Any) -> Any:
    """|det aᵀ| = |det a|"""
    need(q == swap(a.rank))
    return log_abs_determinant(a, r)


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


def _triangular_example(rng: np.random.Generator) -> dict[str, Any]:
    draw = diagonal_example if rng.random() < 0.3 else triangular_example
    return {"a": draw(rng)["a"]}


@rule(
    lambda a, r: log_abs_determinant(a, r),
    numerics=ROUNDING,
    source=DETERMINANT,
    uses_facts=True,
    examples=_triangular_example,
)
def determinant_of_triangular(a: Value, r: Any) -> Any:
    """log|det a| = Σ log|aᵢᵢ| if a is triangular"""
    need((is_lower_triangular(a) or is_upper_triangular(a)) and a.size > 0)
    diagonal = reduce_("add", a, (a.rank - 2,)) if is_diagonal(a) else diagonal_of(a)
    return reduce_("add", unary("log", unary("abs", diagonal)), (a.rank - 2,))
