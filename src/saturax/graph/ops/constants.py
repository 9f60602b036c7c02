"""Leaves: parameters, constants and iota."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saturax.graph.build import make
from saturax.graph.literal import Literal, splat
from saturax.graph.operation import expect, register
from saturax.graph.types import TensorType, Type


def _infer_constant(attributes: Any, operands: Sequence[Any]) -> Type:
    literal: Literal = attributes[0]
    return literal.type


def _infer_iota(attributes: Any, operands: Sequence[Any]) -> Type:
    dimension, type = attributes
    expect(0 <= dimension < len(type.shape), "iota", "dimension {} not in {}", dimension, type)
    result: Type = type
    return result


register("constant", ("literal",), _infer_constant, "leaf")
register("iota", ("dimension", "type"), _infer_iota, "leaf")


def constant(literal: Any) -> Any:
    """A constant tensor; `literal` is a `Literal`."""
    return make("constant", attributes=(literal,))


def full(value: Any, type: TensorType) -> Any:
    """A constant of `type` with every element equal to `value`."""
    return constant(splat(value, type))


def full_like(x: Any, value: Any) -> Any:
    """A constant of the type of `x` with every element equal to `value`."""
    return full(value, x.tensor)


def iota(dimension: Any, type: Any) -> Any:
    """A tensor of `type` whose elements are their own index along `dimension`."""
    return make("iota", attributes=(dimension, type))
