"""Eigenvalues and singular values that are known without a decomposition, or up to one.

Letters as in `linear_algebra`: a is the matrix, r the routine, j the job, i an identity matrix, c
a number; `low` says which triangle of a is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    Routine,
    add,
    default_order,
    eigh,
    full,
    full_like,
    get_result,
    multiply,
    reduce_,
    reshape,
    reverse,
    slice_dimension,
    sort,
    svd,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.conditions import REALS
from saturax.rules.facts import is_diagonal, is_identity, splat_of
from saturax.rules.rule import ROUNDING, need, rule

LAPACK = Routine("lapack", True)
DIAGONAL = "the eigenvalues of a diagonal matrix stand on its diagonal"


def _diagonal(a: Value) -> Value:
    """What stands on the diagonal, of diagonal matrices."""
    need(a.dtype in REALS and a.size > 0 and a.shape[-1] == a.shape[-2] and is_diagonal(a))
    return reduce_("add", a, (a.rank - 2,))


def _diagonal_matrix(rng: np.random.Generator) -> Literal:
    return Literal(np.diag(rng.normal(size=int(rng.integers(1, 6)))))


@rule(
    lambda a, low, r: get_result(eigh(a, low, r), 1),
    numerics=ROUNDING,
    source=DIAGONAL,
    uses_facts=True,
    examples=lambda rng: {"a": _diagonal_matrix(rng), "low": True, "r": LAPACK},
)
def eigenvalues_of_diagonal(a: Value, low: Any, r: Any) -> Value | None:
    """λ(a) = the diagonal of a, sorted, if a is diagonal and real"""
    return sort(_diagonal(a), a.rank - 2, default_order(a.dtype))


@rule(
    lambda a, j, r: get_result(svd(a, j, r), 1),
    numerics=ROUNDING,
    source=DIAGONAL,
    uses_facts=True,
    examples=lambda rng: {"a": _diagonal_matrix(rng), "j": "N", "r": LAPACK},
)
def singular_values_of_diagonal(a: Value, j: Any, r: Any) -> Value | None:
    """σ(a) = |diagonal of a|, sorted from the largest down, if a is diagonal and real"""
    size, d = unary("abs", _diagonal(a)), a.rank - 2
    return reverse(sort(size, d, default_order(a.dtype)), (d,))


# In order, the greatest or the least of them first.


def _end_of(values: Value, d: Any, is_last: bool) -> Any:
    """The first or the last of values in order, the only dimension that is reduced."""
    last = values.rank - 1
    need(tuple(d) == (last,) and values.size > 0)
    n = values.shape[last]
    begin = n - 1 if is_last else 0
    return reshape(slice_dimension(values, last, begin, begin + 1), values.shape[:-1])


def _any_matrix(rng: np.random.Generator) -> dict[str, Any]:
    n = int(rng.integers(1, 5))
    f = str(rng.choice(["maximum", "minimum"]))
    return {"a": TensorType((n, n), "f64"), "r": LAPACK, "f": f, "d": (0,)}


@rule(
    lambda f, a, low, r, d: reduce_(f, get_result(eigh(a, low, r), 1), d),
    numerics=ROUNDING,
    source="LAPACK, syevd: eigenvalues in ascending order",
    examples=lambda rng: {"low": True, **_any_matrix(rng)},
)
def extreme_of_eigenvalues(f: Any, a: Value, low: Any, r: Any, d: Any) -> Value | None:
    """max λ(a) = the last eigenvalue, min λ(a) = the first one"""
    need(f in ("maximum", "minimum"))
    return _end_of(get_result(eigh(a, low, r), 1), d, f == "maximum")


@rule(
    lambda f, a, j, r, d: reduce_(f, get_result(svd(a, j, r), 1), d),
    numerics=ROUNDING,
    source="LAPACK, gesdd: singular values in descending order",
    examples=lambda rng: {"j": "N", **_any_matrix(rng)},
)
def extreme_of_singular_values(f: Any, a: Value, j: Any, r: Any, d: Any) -> Value | None:
    """max σ(a) = the first singular value, min σ(a) = the last one"""
    need(f in ("maximum", "minimum"))
    return _end_of(get_result(svd(a, j, r), 1), d, f == "minimum")


# A number on every element, or on the diagonal.


def _number(a: Value, c: Value) -> Any:
    """The finite number that all elements of c are, beside a real a that is not diagonal."""
    value = splat_of(c)
    need(not is_diagonal(a))  # there it is known, and each scale would give it one form more
    need(a.dtype in REALS and a.size > 0 and value is not None and np.isfinite(value))
    return value


def _with_number(rng: np.random.Generator, low: float) -> dict[str, Any]:
    n = int(rng.integers(1, 5))
    a, c = TensorType((n, n), "f64"), float(rng.choice([low, 0.5, 4.0]))
    return {"a": a, "c": Literal(np.full((n, n), c)), "low": bool(rng.integers(2)), "r": LAPACK}


@rule(
    lambda a, c, low, r: get_result(eigh(multiply(a, c), low, r), 1),
    numerics=ROUNDING,
    source="(c·a)v = c·(av)",
    uses_facts=True,
    examples=lambda rng: _with_number(rng, -2.0),
)
def eigenvalues_of_scaled(a: Value, c: Value, low: Any, r: Any) -> Value | None:
    """λ(c·a) = c·λ(a), in the opposite order if c is negative; real, c all one number"""
    value = _number(a, c)
    found = get_result(eigh(a, low, r), 1)
    scaled = multiply(found, full_like(found, value))
    return scaled if value >= 0 else reverse(scaled, (scaled.rank - 1,))


@rule(
    lambda a, c, j, r: get_result(svd(multiply(a, c), j, r), 1),
    numerics=ROUNDING,
    source="singular values are lengths",
    uses_facts=True,
    examples=lambda rng: {
        "j": "N",
        **{k: v for k, v in _with_number(rng, -2.0).items() if k != "low"},
    },
)
def singular_values_of_scaled(a: Value, c: Value, j: Any, r: Any) -> Value | None:
    """σ(c·a) = |c|·σ(a); real, c all one number"""
    value = abs(_number(a, c))
    found = get_result(svd(a, j, r), 1)
    return multiply(found, full_like(found, value))


@rule(
    lambda a, i, low, r: get_result(eigh(add(a, i), low, r), 1),
    numerics=ROUNDING,
    source="(a + 1)v = av + v",
    uses_facts=True,
    examples=lambda rng: _shifted(rng, ("a", "i", "low", "r")),
)
def eigenvalues_of_sum_with_identity(a: Value, i: Value, low: Any, r: Any) -> Value | None:
    """λ(a + 1) = λ(a) + 1, real"""
    need(a.dtype in REALS and a.size > 0 and is_identity(i))
    found = get_result(eigh(a, low, r), 1)
    return add(found, full(1, found.tensor))


@rule(
    lambda a, i, c, low, r: get_result(eigh(add(a, multiply(i, c)), low, r), 1),
    numerics=ROUNDING,
    source="(a + c·1)v = av + c·v",
    uses_facts=True,
    examples=lambda rng: _shifted(rng, ("a", "i", "c", "low", "r")),
)
def eigenvalues_of_shifted(a: Value, i: Value, c: Value, low: Any, r: Any) -> Value | None:
    """λ(a + c·1) = λ(a) + c, real, c all one number"""
    need(is_identity(i))
    value = _number(a, c)
    found = get_result(eigh(a, low, r), 1)
    return add(found, full_like(found, value))


def _shifted(rng: np.random.Generator, names: tuple[str, ...]) -> dict[str, Any]:
    drawn = _with_number(rng, -2.0)
    drawn["i"] = Literal(np.eye(drawn["a"].shape[0]))
    return {name: drawn[name] for name in names}
