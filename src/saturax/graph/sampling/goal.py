"""What is known of an operation that is to be completed, and what is free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saturax.graph.sampling.draw import Draw
from saturax.graph.types import TensorType


class Free:
    """The type of `FREE`, which stands for an unknown attribute or a part of one."""

    def __repr__(self) -> str:
        return "FREE"


FREE = Free()

Proposal = tuple[tuple[Any, ...], list[TensorType]]
"""Attributes and operand types."""


def fits(partial: Any, value: Any) -> bool:
    """Whether a value agrees with a partly free one."""
    if partial is FREE:
        return True
    if isinstance(partial, tuple):
        return (
            isinstance(value, tuple)
            and len(value) == len(partial)
            and all(map(fits, partial, value))
        )
    return bool(partial == value)


def is_fixed(partial: Any) -> bool:
    """Whether no part of an attribute is free."""
    if isinstance(partial, tuple):
        return all(map(is_fixed, partial))
    return partial is not FREE


def part(partial: Any, index: int) -> Any:
    """A part of a partly free tuple: FREE if the tuple is."""
    return FREE if partial is FREE else partial[index]


def known(partial: Any, index: int) -> int | None:
    """A number in a partly free tuple, or None."""
    value = part(partial, index)
    return None if value is FREE else int(value)


@dataclass
class Goal:
    """Types are None and attributes FREE where they are to be drawn.

    For an operation with several results, `result` is the type of number `element`.
    """

    draw: Draw
    result: TensorType | None
    operands: list[TensorType | None]
    attributes: tuple[Any, ...]
    element: int = 0

    def dtype(self, *operands: int) -> str:
        """The element type of the result or of an operand (those named, or any), if known."""
        if self.result is not None:
            return self.result.dtype
        for i in operands or range(len(self.operands)):
            operand = self.operands[i]
            if operand is not None:
                return operand.dtype
        return self.draw.dtype

    def operand_shape(self, index: int = 0) -> tuple[int, ...] | None:
        """The shape of an operand, if known."""
        operand = self.operands[index]
        return None if operand is None else operand.shape

    def result_shape(self) -> tuple[int, ...] | None:
        """The shape of the result, if known."""
        return None if self.result is None else self.result.shape
