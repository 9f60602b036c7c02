"""Side conditions and small terms that several rule families share.

All predicates are total, and "no" when they cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.operation import infer
from saturax.graph.reference import UnsupportedError, evaluate_operation
from saturax.graph.types import is_complex, is_integer
from saturax.rules.facts import constant_of
from saturax.rules.rule import BITWISE, ROUNDING, Examples, Numerics, Rule, need

FOLD_LIMIT = 4096
"""Most elements of a constant with distinct elements that a rule creates: 16 KiB of f32 are quick
to make and small in the program; larger ones belong to freezing, which computes them once."""

REALS = frozenset({"f16", "bf16", "f32", "f64"})
"""The real types of ordinary arithmetic: signed zeros, infinities and NaN, as IEEE 754 has them
(of the 8-bit types some lack them)."""

INTEGERS = frozenset({"i8", "i16", "i32", "i64", "ui8", "ui16", "ui32", "ui64"})
"""The integer types that wrap around at a width numpy has."""

INCREASING = frozenset(
    {"exponential", "exponential_minus_one", "logistic", "tanh", "cbrt", "floor", "ceil"}
    | {"chlo.erf", "chlo.sinh", "chlo.asinh", "chlo.atan"}
)
"""Functions that are defined and never decrease on all of [-∞, ∞]."""

INCREASING_WHERE_DEFINED = frozenset({"sqrt", "log", "log_plus_one"})
"""Functions that increase from some number on and are NaN below it."""


def is_exact(f: Any, dtype: str) -> bool:
    """Whether f is associative in every bit on `dtype`: lattice operations, and all integers."""
    lattice = f in ("maximum", "minimum") and not is_complex(dtype)
    return lattice or is_integer(dtype) or dtype == "i1"


def exactly(
    general: Rule, condition: Callable[..., bool], examples: Examples | None = None
) -> Rule:
    """The BITWISE rule that `general` is where `condition` holds of the rule's arguments.

    For equations that rounding breaks on floats only, so that a user who wants every bit keeps
    them on integers.
    """

    def right(**arguments: Any) -> Value | None:
        need(condition(**arguments))
        return general.right(**arguments)

    return replace(
        general,
        name=f"{general.name}_exactly",
        right=right,
        numerics=BITWISE,
        equation=f"{general.equation} (exact here)",
        examples=examples,
    )


def where_proved(
    general: Rule,
    condition: Callable[..., bool],
    module: str,
    numerics: Numerics = ROUNDING,
    examples: Examples | None = None,
) -> Rule:
    """The rule that `general` is where facts prove `condition` of its arguments.

    For equations that need finite, positive or other special operands, and are of a weaker class
    in general. `module` is the name of the module that the twin is declared in.
    """

    def right(**arguments: Any) -> Value | None:
        need(condition(**arguments))
        return general.right(**arguments)

    return replace(
        general,
        name=f"{general.name}_where_proved",
        right=right,
        numerics=numerics,
        equation=f"{general.equation} (where facts prove that)",
        family=module.rpartition(".")[2],
        asks_facts=True,
        examples=examples,
    )


def for_integers(general: Rule) -> Rule:
    """The BITWISE rule that `general` is on integers."""

    def all_integers(**arguments: Any) -> bool:
        tensors = [a for a in arguments.values() if isinstance(a, Value | Literal)]
        return all(is_integer(tensor.type.dtype) for tensor in tensors)  # type: ignore[union-attr]

    return exactly(general, all_integers)


def is_all(c: Any, value: float) -> bool:
    """Whether c is a constant, not complex, whose every element equals `value` (0.0 = -0.0)."""
    if not isinstance(c, Literal) or not c.is_splat or c.type.dtype.startswith("complex"):
        return False
    return bool(c.value == value)


def is_ordinary(array: Any) -> bool:
    """Whether all elements are finite, and none is subnormal (which XLA:CPU flushes to zero)."""
    values = np.asarray(array)
    if not jnp.issubdtype(values.dtype, np.inexact):  # NumPy has no kind for integers of 4 bits
        return True
    magnitudes = np.abs(values)
    if not np.all(np.isfinite(magnitudes)):
        return False
    return bool(np.all((magnitudes == 0) | (magnitudes >= ml_dtypes.finfo(magnitudes.dtype).tiny)))


def double_constants(*names: str) -> Examples:
    """Examples for tests of a rule that rounds what it computes from constants of these names.

    They are float64: rounding to a narrower type would look like a wrong value.
    """

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        shape = tuple(rng.integers(1, 4, rng.integers(0, 4)).tolist())
        splats = rng.random() < 0.5
        return {
            name: Literal(rng.normal(2.0, 1.0, () if splats else shape), shape) for name in names
        }

    return draw


def need_variable(*values: Value) -> None:
    """Go on only where none of the values is known to be constant.

    Constants are folded; algebra on them finds nothing more, and from 0 = 0·c = 0·d it would derive
    0·(c + d), 0·(c·d), … without end. (Rules that call this set `uses_facts`.)
    """
    need(all(constant_of(value) is None for value in values))


def is_small(*literals: Literal) -> bool:
    """Whether rules may compute with the elements: splats, or few elements."""
    return all(c.is_splat or c.type.size <= FOLD_LIMIT for c in literals)


@lru_cache(maxsize=512)
def folded(f: Any, *literals: Literal) -> Literal:
    """The constant f(c, d, …), for an elementwise f; computed in the result's own type.

    The rule does not apply if there are too many elements, or f has no reference meaning.
    """
    need(is_small(*literals))
    all_splats = all(c.is_splat for c in literals)
    shape = literals[0].type.shape
    op = ("unary", "binary", "ternary")[len(literals) - 1]
    arrays = [c.data if all_splats else c.array for c in literals]
    result: Any = infer(op, (f,), [c.type for c in literals])
    try:
        stored = result.with_shape(()) if all_splats else result
        values = evaluate_operation(op, (f,), arrays, stored)
    except UnsupportedError:
        need(False)
    return Literal(values, shape if all_splats else None)
