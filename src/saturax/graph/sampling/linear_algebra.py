"""Completing factorisations, solves and Fourier transforms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from saturax.graph.ops.fourier import KINDS
from saturax.graph.ops.linear_algebra import Routine, Triangle
from saturax.graph.sampling.draw import Draw
from saturax.graph.sampling.goal import FREE, Goal, Proposal, is_fixed, part
from saturax.graph.types import TensorType, is_complex, is_float

ROUTINES = (Routine(), Routine("lapack", True), Routine("lapack"))
FLOATS = ("f32", "f32", "f64", "complex<f32>", "complex<f64>")
TRANSPOSES = ("NO_TRANSPOSE", "NO_TRANSPOSE", "TRANSPOSE", "ADJOINT")
COMPLEX = {"f32": "complex<f32>", "f64": "complex<f64>"}


def _dtype(goal: Goal) -> str:
    """A type that libraries compute in."""
    dtype = goal.dtype()
    known = goal.result is not None or any(operand is not None for operand in goal.operands)
    if known or dtype in FLOATS:
        return dtype
    return goal.draw.pick(FLOATS)


def _routine(draw: Draw, partial: Any, is_call: bool = False) -> Routine:
    if is_fixed(partial):
        return Routine(*partial)
    return draw.pick(ROUTINES[1:] if is_call else ROUTINES)


def _shape(goal: Goal, *known: tuple[int, ...] | None) -> tuple[int, ...]:
    """A known shape, or one of a batch of matrices."""
    given = next((shape for shape in known if shape is not None), None)
    return given if given is not None else goal.draw.shape(goal.draw.pick((2, 2, 2, 3, 3, 4)))


def triangular_solve(goal: Goal) -> Proposal | None:
    """Complete a `triangular_solve`."""
    (triangle, routine), draw = goal.attributes, goal.draw
    choices: Any = ((True, True, False), (True, False), (True, False, False), TRANSPOSES)
    fields = [part(triangle, i) for i in range(4)]
    drawn = [draw.pick(c) if f is FREE else f for f, c in zip(fields, choices, strict=True)]
    a, b = goal.operand_shape(0), goal.operand_shape(1) or goal.result_shape()
    if a is not None and len(a) < 2:
        return None
    if b is None and a is not None:
        b = (*a[:-2], a[-1], draw.size()) if drawn[0] else (*a[:-2], draw.size(), a[-1])
    b = _shape(goal, b)
    if len(b) < 2:
        return None
    n = b[-2 if drawn[0] else -1]
    dtype = _dtype(goal)
    types = [TensorType((*b[:-2], n, n), dtype), TensorType(b, dtype)]
    return (Triangle(*drawn), _routine(draw, routine)), types


def square(goal: Goal) -> Proposal | None:
    """Complete a notion about one square matrix, of the same type."""
    shape = _shape(goal, goal.operand_shape(), goal.result_shape())
    if len(shape) < 2:
        return None
    shape = (*shape[:-1], shape[-2])
    return (_routine(goal.draw, goal.attributes[0]),), [TensorType(shape, _dtype(goal))]


def determinant_sign(goal: Goal) -> Proposal | None:
    """Complete a `determinant_sign`, of real matrices."""
    dtype = _dtype(goal)
    if is_complex(dtype):
        dtype = dtype.removeprefix("complex<").removesuffix(">")
    return _determinant(goal, dtype)


def _determinant(goal: Goal, dtype: str) -> Proposal | None:
    batch = goal.result_shape()
    shape = None if batch is None else (*batch, goal.draw.size(), 0)
    shape = _shape(goal, goal.operand_shape(), shape)
    if len(shape) < 2:
        return None
    shape = (*shape[:-1], shape[-2])
    return (_routine(goal.draw, goal.attributes[0]),), [TensorType(shape, dtype)]


def log_abs_determinant(goal: Goal) -> Proposal | None:
    """Complete a `log_abs_determinant`."""
    dtype = _dtype(goal)
    if goal.operands[0] is None and dtype in COMPLEX and goal.draw.chance(0.2):
        dtype = COMPLEX[dtype]
    return _determinant(goal, dtype)


def solve(goal: Goal) -> Proposal | None:
    """Complete a `solve`."""
    a, b = goal.operand_shape(0), goal.operand_shape(1) or goal.result_shape()
    if b is None:
        b = None if a is None else (*a[:-1], goal.draw.size())
    b = _shape(goal, b)
    if len(b) < 2:
        return None
    dtype = _dtype(goal)
    types = [TensorType((*b[:-1], b[-2]), dtype), TensorType(b, dtype)]
    return (_routine(goal.draw, goal.attributes[0]),), types


def lu_permutation(goal: Goal) -> Proposal | None:
    """Complete an `lu_permutation`."""
    (size, routine), pivots, result = goal.attributes, goal.operand_shape(), goal.result_shape()
    shape = pivots if pivots is not None else result
    shape = shape if shape is not None else goal.draw.shape(goal.draw.integer(1, 3))
    if not shape:
        return None
    count = result[-1] if result is not None else shape[-1] + goal.draw.pick((0, 0, 1, 2))
    size = count if size is FREE else size
    shape = pivots if pivots is not None else (*shape[:-1], min(shape[-1], size))
    return (size, Routine(*routine) if is_fixed(routine) else Routine()), [TensorType(shape, "i32")]


def householder_product(goal: Goal) -> Proposal | None:
    """Complete a `householder_product`."""
    shape = _shape(goal, goal.operand_shape(), goal.result_shape())
    if len(shape) < 2:
        return None
    rows, columns = shape[-2:]
    if rows < columns and goal.operands[0] is None and goal.result is None:
        shape = (*shape[:-2], columns, rows)
    dtype = _dtype(goal)
    taus = goal.operands[1] or TensorType((*shape[:-2], min(shape[-2:])), dtype)
    routine = _routine(goal.draw, goal.attributes[0], is_call=True)
    return (routine,), [TensorType(shape, dtype), taus]


def fft(goal: Goal) -> Proposal | None:
    """Complete an `fft`."""
    (kind, length), draw = goal.attributes, goal.draw
    x, result = goal.operands[0], goal.result
    kind = draw.pick(_kinds(x, result)) if kind is FREE else kind
    given = result or x
    shape = given.shape if given is not None else draw.shape(draw.pick((1, 1, 2, 2, 3, 4)))
    if not shape or kind not in KINDS:
        return None
    if length is FREE:
        length = _length(draw, kind, shape, is_result=result is not None, is_free=given is None)
    count = len(length)
    if not 0 < count <= len(shape):
        return None
    real = _real(goal)
    points = (*shape[: len(shape) - count], *length)
    half = length[-1] // 2 + 1 if length[-1] else 0
    if kind == "IRFFT":
        return (kind, length), [TensorType((*points[:-1], half), COMPLEX[real])]
    return (kind, length), [TensorType(points, real if kind == "RFFT" else COMPLEX[real])]


def _kinds(x: TensorType | None, result: TensorType | None) -> tuple[str, ...]:
    if x is not None and not is_complex(x.dtype):
        return ("RFFT",)
    if result is not None and not is_complex(result.dtype):
        return ("IRFFT",)
    if x is not None and result is not None:
        return ("FFT", "IFFT")
    return ("FFT", "IFFT", "IRFFT") if x is not None else ("FFT", "IFFT", "RFFT")


def _length(
    draw: Draw, kind: str, shape: tuple[int, ...], is_result: bool, is_free: bool
) -> tuple[int, ...]:
    """Lengths of a transform of (or to) what has `shape`."""
    count = min(draw.pick((1, 1, 1, 2, 2, 3)), len(shape))
    length = list(shape[len(shape) - count :])
    is_half = not is_free and kind == ("RFFT" if is_result else "IRFFT")
    if is_half:
        length[-1] = max(2 * (length[-1] - 1) + draw.integer(0, 1), 1)
    return tuple(length)


def _real(goal: Goal) -> str:
    """The real type of the transform's numbers."""
    dtype = _dtype(goal)
    real = dtype.removeprefix("complex<").removesuffix(">")
    return real if is_float(real) and real in COMPLEX else "f32"


def square_call(goal: Goal) -> Proposal | None:
    """Complete a `cholesky_call`."""
    goal = _about_matrix(goal)
    routine = _routine(goal.draw, goal.attributes[0], is_call=True)
    return square(replace(goal, attributes=(routine,)))


def lu(goal: Goal) -> Proposal | None:
    """Complete an `lu` or `qr`, for any shape of matrix."""
    goal = _about_matrix(goal)
    shape = _shape(goal, goal.operand_shape(), goal.result_shape())
    if len(shape) < 2:
        return None
    routine = _routine(goal.draw, goal.attributes[0], is_call=True)
    return (routine,), [TensorType(shape, _dtype(goal))]


def eigh(goal: Goal) -> Proposal | None:
    """Complete an `eigh`."""
    is_lower, routine = goal.attributes
    routine = _routine(goal.draw, routine, is_call=True)
    inner = square(replace(_about_matrix(goal), attributes=(routine,)))
    if inner is None:
        return None
    (routine,), types = inner
    return (goal.draw.chance(0.5) if is_lower is FREE else is_lower, routine), types


def svd(goal: Goal) -> Proposal | None:
    """Complete an `svd`, for any shape of matrix."""
    job, routine = goal.attributes
    inner = lu(replace(goal, attributes=(routine,)))
    if inner is None:
        return None
    (routine,), types = inner
    return (goal.draw.pick(("S", "A", "N")) if job is FREE else job, routine), types


def _about_matrix(goal: Goal) -> Goal:
    """The goal without a known result that is not the matrix of factors."""
    return goal if goal.element == 0 else replace(goal, result=None)
