"""The operation table: what saturax knows about each kind of operation.

An operation that is not in the table is *generic*: named by its full StableHLO name, carried
type-exactly, never matched by a rule that does not name it, and never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from saturax.errors import TypeInferenceError
from saturax.graph.types import TensorType, TupleType, Type

Infer = Callable[[Any, Sequence[Any]], Type]
Kind = Literal["leaf", "elementwise", "movement", "heavy", "generic", "notion"]


@dataclass(frozen=True)
class Operation:
    """One row of the table.

    `attributes` names the positional attributes. `infer(attributes, operand_types)` returns the
    result type or raises `TypeInferenceError`. `kind` says how XLA treats it: leaves cost nothing
    by themselves, elementwise and movement operations fuse, heavy ones are kernels of their own;
    a notion is never run, it only stands for operations that it equals.
    `flops(attributes, operand_types, result)` counts arithmetic; `is_no_op` tells whether the
    operation returns its first operand unchanged.
    """

    name: str
    attributes: tuple[str, ...]
    infer: Infer
    kind: Kind
    flops: Callable[[Any, Sequence[Any], Any], int]
    is_no_op: Callable[[Any, Sequence[Any]], bool]


TABLE: dict[str, Operation] = {}


def _no_flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    return 0


def _never(attributes: Any, operands: Sequence[Any]) -> bool:
    return False


def register(
    name: str,
    attributes: tuple[str, ...],
    infer: Infer,
    kind: Kind,
    flops: Callable[[Any, Sequence[Any], Any], int] = _no_flops,
    is_no_op: Callable[[Any, Sequence[Any]], bool] = _never,
) -> None:
    """Add an operation to the table."""
    TABLE[name] = Operation(name, attributes, infer, kind, flops, is_no_op)


def infer(op: str, attributes: tuple[Any, ...], operands: Sequence[Type]) -> Type:
    """The result type of an operation of the table.

    Raises `TypeInferenceError` if operands or attributes do not fit, `KeyError` if `op` is generic.
    """
    return TABLE[op].infer(attributes, operands)


def expect(condition: bool, op: str, message: str, *values: Any) -> None:
    """Raise `TypeInferenceError` naming `op` unless `condition` holds.

    `values` fill the message in: this is asked of every operation that a rule builds, and writing
    types out takes longer than inferring them.
    """
    if not condition:
        raise TypeInferenceError(f"{op}: {message.format(*values) if values else message}")


def _infer_get_result(attributes: Any, operands: Sequence[Any]) -> Type:
    (source,) = operands
    expect(isinstance(source, TupleType), "get_result", "expected several results, got {}", source)
    element: Type = source.elements[attributes[0]]
    return element


register("get_result", ("index",), _infer_get_result, "leaf")


def same_shape(op: str, operands: Sequence[Any]) -> tuple[int, ...]:
    """The shape that all operands share; raises `TypeInferenceError` otherwise."""
    for operand in operands:
        expect(isinstance(operand, TensorType), op, "expected a tensor, got {}", operand)
    shape: tuple[int, ...] = operands[0].shape
    if not all(operand.shape == shape for operand in operands):
        types = ", ".join(map(str, operands))
        raise TypeInferenceError(f"{op}: expected operands of one shape, got {types}")
    return shape
