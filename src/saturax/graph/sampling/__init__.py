"""Random well-typed operations: type inference run backwards.

`complete` takes what is known of an operation (result type, operand types, attributes, any of them
partly) and draws the rest, biased towards small sizes and towards the coincidences that side
conditions of rules ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from saturax.errors import SaturaxError, TypeInferenceError
from saturax.graph.operation import infer
from saturax.graph.sampling import contraction, cuts, elementwise, layout, windows
from saturax.graph.sampling.draw import Draw
from saturax.graph.sampling.elementwise import DTYPES, admits
from saturax.graph.sampling.goal import FREE, Goal, Proposal, fits
from saturax.graph.types import TensorType

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
    "gather": contraction.gather,
    "convolution": windows.convolution,
    "reduce": windows.reduce_,
    "reduce_window": windows.reduce_window,
}


class Completion(NamedTuple):
    """A well-typed operation."""

    attributes: tuple[Any, ...]
    operands: tuple[TensorType, ...]
    result: TensorType


def complete(
    draw: Draw,
    op: str,
    result: TensorType | None,
    operands: Sequence[TensorType | None],
    attributes: tuple[Any, ...],
) -> Completion | None:
    """Draw what is free (types None, attributes or parts of them `FREE`) of an operation.

    Returns None where nothing was found that fits; another call may be luckier. Raises
    `SaturaxError` for an operation that is not in the table.
    """
    proposer = _PROPOSERS.get(op)
    if proposer is None:
        raise SaturaxError(f"expected an operation of the table to draw at random, got {op}")
    goal = Goal(draw, result, list(operands), attributes)
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
    if not isinstance(result, TensorType) or (goal.result is not None and result != goal.result):
        return None
    if not windows.is_small([*operands, result], LARGEST):
        return None
    return Completion(attributes, tuple(operands), result)
