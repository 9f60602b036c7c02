"""Random well-typed operations: type inference run backwards.

`complete` takes what is known of an operation (result type, operand types, attributes, any of them
partly) and draws the rest, biased towards small sizes and towards the coincidences that side
conditions of rules ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from saturax.errors import SaturaxError, TypeInferenceError
from saturax.graph.build import result_types
from saturax.graph.operation import infer
from saturax.graph.sampling import (
    contraction,
    cuts,
    elementwise,
    layout,
    linear_algebra,
    ordering,
    windows,
)
from saturax.graph.sampling.draw import Draw
from saturax.graph.sampling.elementwise import DTYPES, admits
from saturax.graph.sampling.goal import FREE, Goal, Proposal, fits
from saturax.graph.types import TensorType, Type

__all__ = ["DTYPES", "FREE", "Completion", "Draw", "admits", "complete", "fits"]

LARGEST = 20_000
"""Elements that a drawn tensor has at most."""

_ATTEMPTS = 6

_PROPOSERS: dict[str, Callable[[Goal], Proposal | None]] = {
    "constant": layout.constant,
    "iota": layout.iota,
    "unary": elementwise.unary,
    "binary": elementwise.binary,
    "ternary": elementwise.ternary,
    "transpose": layout.transpose,
    "reshape": layout.reshape,
    "broadcast_in_dim": layout.broadcast_in_dim,
    "reverse": layout.reverse,
    "slice": cuts.slice_,
    "pad": cuts.pad,
    "concatenate": layout.concatenate,
    "dynamic_slice": layout.dynamic_slice,
    "dynamic_update_slice": layout.dynamic_update_slice,
    "dot_general": contraction.dot_general,
    "blocked_dot": contraction.blocked_dot,
    "gather": contraction.gather,
    "scatter": ordering.scatter,
    "sort": ordering.sort,
    "sort_pair": ordering.sort_pair,
    "top_k": ordering.top_k,
    "arg_reduce": ordering.arg_reduce,
    "convolution": windows.convolution,
    "reduce": windows.reduce_,
    "reduce_window": windows.reduce_window,
    "fft": linear_algebra.fft,
    "triangular_solve": linear_algebra.triangular_solve,
    "cholesky_call": linear_algebra.square_call,
    "lu": linear_algebra.lu,
    "lu_permutation": linear_algebra.lu_permutation,
    "qr": linear_algebra.lu,
    "householder_product": linear_algebra.householder_product,
    "eigh": linear_algebra.eigh,
    "svd": linear_algebra.svd,
    "cholesky": linear_algebra.square,
    "solve": linear_algebra.solve,
    "log_abs_determinant": linear_algebra.log_abs_determinant,
    "determinant_sign": linear_algebra.determinant_sign,
}


class Completion(NamedTuple):
    """A well-typed operation."""

    attributes: tuple[Any, ...]
    operands: tuple[TensorType, ...]
    result: Type


def complete(
    draw: Draw,
    op: str,
    result: TensorType | None,
    operands: Sequence[TensorType | None],
    attributes: tuple[Any, ...],
    element: int = 0,
) -> Completion | None:
    """Draw what is free (types None, attributes or parts of them `FREE`) of an operation.

    For an operation with several results, `result` is the type wanted of number `element`.
    Returns None where nothing was found that fits; another call may be luckier. Raises
    `SaturaxError` for an operation that is not in the table.
    """
    proposer = _PROPOSERS.get(op)
    if proposer is None:
        raise SaturaxError(f"expected an operation of the table to draw at random, got {op}")
    goal = Goal(draw, result, list(operands), attributes, element)
    for _ in range(_ATTEMPTS):
        proposal = proposer(goal)
        found = None if proposal is None else _checked(op, goal, proposal)
        if found is not None:
            return found
    return None


def _checked(op: str, goal: Goal, proposal: Proposal) -> Completion | None:
    attributes, drawn = proposal
    if not fits(goal.attributes, attributes) or len(drawn) != len(goal.operands):
        return None
    operands = [given or new for given, new in zip(goal.operands, drawn, strict=True)]
    if any(n < 0 for type in operands for n in type.shape):
        return None
    try:
        result = infer(op, attributes, operands)
    except (TypeInferenceError, IndexError, KeyError):
        return None
    results = result_types(result)
    wanted = goal.result
    if wanted is not None and (goal.element >= len(results) or results[goal.element] != wanted):
        return None
    tensors = [type for type in results if isinstance(type, TensorType)]
    if len(tensors) != len(results) or not windows.is_small([*operands, *tensors], LARGEST):
        return None
    return Completion(attributes, tuple(operands), result)
