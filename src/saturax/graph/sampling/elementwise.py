"""Completing elementwise operations: which element types each function admits."""

from __future__ import annotations

from typing import Any

from saturax.graph.ops.elementwise import function_name
from saturax.graph.sampling.draw import Draw
from saturax.graph.sampling.goal import FREE, Goal, Proposal, fits, is_fixed, part
from saturax.graph.types import TensorType, is_complex, is_float, is_integer, is_unsigned

DTYPES = ("f32", "f64", "bf16", "f16", "i32", "i8", "ui8", "i1", "complex<f32>", "f8E4M3FN")

_REAL = frozenset(
    "cbrt ceil floor round_nearest_afz round_nearest_even is_finite chlo.erf chlo.erf_inv "
    "chlo.erfc chlo.lgamma chlo.digamma chlo.is_inf chlo.is_pos_inf chlo.is_neg_inf atan2 "
    "chlo.next_after".split()
)
_REAL_OR_COMPLEX = frozenset(
    "cosine exponential exponential_minus_one log log_plus_one logistic rsqrt sine sqrt tan tanh "
    "chlo.acos chlo.acosh chlo.asin chlo.asinh chlo.atan chlo.atanh chlo.cosh chlo.sinh "
    "chlo.square".split()
)
_INTEGER = frozenset(
    "count_leading_zeros popcnt shift_left shift_right_arithmetic shift_right_logical".split()
)
_LOGICAL = frozenset({"and", "or", "xor", "not"})
_NUMBER = frozenset({"subtract", "divide", "negate", "power"})
_ORDERED = frozenset({"maximum", "minimum", "clamp"})

_UNARY_COMMON = ("negate", "abs", "exponential", "sqrt", "rsqrt", "tanh", "not", "sign", "floor")
_UNARY = _UNARY_COMMON * 3 + (
    *sorted((_REAL | _REAL_OR_COMPLEX) - {"atan2", "chlo.next_after"}),
    "count_leading_zeros",
    "popcnt",
    "real",
    "imag",
)
_BINARY_COMMON = ("add", "multiply", "subtract", "divide", "maximum", "minimum", "and", "or")
_BINARY = _BINARY_COMMON * 3 + (
    "xor",
    "power",
    "remainder",
    "atan2",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "complex",
)
_DIRECTIONS = ("EQ", "NE", "LT", "LE", "GT", "GE")


def admits(f: Any, dtype: str) -> bool:
    """Whether an elementwise function takes operands of an element type."""
    name = function_name(f)
    if name in ("complex", "reduce_precision"):
        return dtype in ("f32", "f64", *(("f16", "bf16") if name != "complex" else ()))
    if name in _REAL:
        return is_float(dtype)
    if name in _REAL_OR_COMPLEX:
        return is_float(dtype) or is_complex(dtype)
    if name in _INTEGER:
        return is_integer(dtype)
    if name in _LOGICAL:
        return is_integer(dtype) or dtype == "i1"
    if name in _ORDERED:
        return not is_complex(dtype)
    if name in _NUMBER:
        return dtype != "i1"
    if name == "remainder":
        return is_float(dtype) or is_integer(dtype)
    if name in ("abs", "sign"):
        return dtype != "i1" and not is_unsigned(dtype)
    if name in ("real", "imag", "chlo.conj"):
        return is_complex(dtype)
    return name != "compare" or _compares(f, dtype)


def _compares(f: Any, dtype: str) -> bool:
    if is_complex(dtype):
        return f[2] == "FLOAT" and f[1] in ("EQ", "NE")
    return f[2] in comparison_kinds(dtype)


def comparison_kinds(dtype: str) -> tuple[str, ...]:
    """The kinds of comparison that an element type has."""
    if is_float(dtype):
        return ("FLOAT", "FLOAT", "FLOAT", "TOTALORDER")
    if is_complex(dtype):
        return ("FLOAT",)
    return ("UNSIGNED",) if is_unsigned(dtype) or dtype == "i1" else ("SIGNED",)


def _shape(goal: Goal) -> tuple[int, ...]:
    for type in (goal.result, *goal.operands):
        if type is not None:
            return type.shape
    return goal.draw.shape()


def _function(goal: Goal, candidates: tuple[Any, ...], dtype: str) -> Any:
    """The function wanted, or one of the candidates that takes elements of `dtype`."""
    (partial,) = goal.attributes
    if is_fixed(partial):
        return partial if admits(partial, dtype) else None
    for _ in range(10):
        f = goal.draw.pick(candidates)
        if fits(partial, f) and admits(f, dtype):
            return f
    return None


def _name(partial: Any) -> str | None:
    """The name of a partly free function, if that is known."""
    name = partial if isinstance(partial, str) else part(partial, 0)
    return None if name is FREE else str(name)


def _operand_dtype(draw: Draw, f: Any) -> str:
    """The usual element type, or another one if a fully known function does not take that."""
    if not is_fixed(f) or admits(f, draw.dtype):
        return draw.dtype
    return draw.pick([dtype for dtype in DTYPES if admits(f, dtype)] or DTYPES)


def _converted_dtype(draw: Draw) -> str:
    """The other element type of a conversion: any, but often the usual one or one of its kind."""
    if draw.chance(0.3):
        return draw.dtype
    if draw.chance(0.2):
        return "i1"
    if draw.chance(0.5):
        return draw.pick([d for d in DTYPES if _kind(d) == _kind(draw.dtype)])
    return draw.pick(DTYPES)


def _kind(dtype: str) -> str:
    if is_float(dtype):
        return "float"
    return "complex" if is_complex(dtype) else "integer"


_REDUCED = ((5, 10), (8, 7), (8, 23), (4, 3), (5, 2))
"""Exponent and mantissa bits of the formats that values are commonly reduced to."""


def unary(goal: Goal) -> Proposal | None:
    """Complete a `unary`."""
    (operand,), (f,) = goal.operands, goal.attributes
    draw = goal.draw
    name = _name(f)
    if name is None and draw.chance(0.1):
        name = draw.pick(("convert", "convert", "reduce_precision"))
    if operand is not None:
        dtype = operand.dtype
    elif name in ("convert", "bitcast_convert"):
        dtype = _converted_dtype(draw)
    elif goal.result is None or (goal.result.dtype == "i1" and name not in _LOGICAL):
        dtype = _operand_dtype(draw, f)
    else:
        target = goal.result.dtype
        dtype = f"complex<{target}>" if name in ("real", "imag") else target
    if name in ("convert", "bitcast_convert"):
        target = goal.result.dtype if goal.result is not None else _converted_dtype(draw)
        candidates: tuple[Any, ...] = ((name, target),)
    elif name == "reduce_precision":
        candidates = (("reduce_precision", *draw.pick(_REDUCED)),)
    else:
        candidates = _UNARY
    chosen = _function(goal, candidates, dtype)
    return None if chosen is None else ((chosen,), [TensorType(_shape(goal), dtype)])


def binary(goal: Goal) -> Proposal | None:
    """Complete a `binary`."""
    (f,) = goal.attributes
    draw = goal.draw
    first = next((operand for operand in goal.operands if operand is not None), None)
    name = _name(f)
    if name is None and (draw.chance(0.1) or (goal.result is not None and draw.chance(0.5))):
        name = "compare" if goal.result is None or goal.result.dtype == "i1" else None
    if first is not None:
        dtype = first.dtype
    elif goal.result is None or (goal.result.dtype == "i1" and name == "compare"):
        dtype = _operand_dtype(draw, ("compare", "EQ", part(f, 2)) if name == "compare" else f)
    else:
        dtype = goal.result.dtype[8:-1] if name == "complex" else goal.result.dtype
    candidates: tuple[Any, ...] = _BINARY
    if name == "compare":
        candidates = (("compare", draw.pick(_DIRECTIONS), draw.pick(comparison_kinds(dtype))),)
    chosen = _function(goal, candidates, dtype)
    return None if chosen is None else ((chosen,), [TensorType(_shape(goal), dtype)] * 2)


def ternary(goal: Goal) -> Proposal | None:
    """Complete a `ternary`."""
    chosen = _function(goal, ("select", "select", "clamp"), goal.dtype(1, 2))
    if chosen is None:
        return None
    type = TensorType(_shape(goal), goal.dtype(1, 2))
    return (chosen,), [type.with_dtype("i1") if chosen == "select" else type, type, type]
