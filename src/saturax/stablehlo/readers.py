"""Operations of the table as they stand in StableHLO: one reader an MLIR operation.

A reader returns the index of the node that it added, or None if the operation carries something
that the table has no place for; the importer then keeps it as a generic node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Protocol

import numpy as np
from jax.extend.mlir import ir

from saturax.errors import TypeInferenceError
from saturax.graph.ir import Attributes, Node
from saturax.graph.literal import Literal
from saturax.graph.operation import infer
from saturax.graph.ops import DotDimensions, Precision, identity_value
from saturax.graph.ops.reduction import REDUCERS
from saturax.graph.types import TensorType
from saturax.stablehlo.attributes import (
    BINARY,
    CHLO_BINARY,
    CHLO_UNARY,
    CODECS,
    COMPARE,
    PRECISIONS,
    REDUCE_PRECISION,
    RESULT_ACCURACY,
    SET_DIMENSION_SIZE,
    UNARY,
    Field,
    default_comparison,
)


class Site(Protocol):
    """Where an operation is imported to."""

    def fields(self, operation: ir.Operation, fields: Sequence[Field]) -> list[Any] | None:
        """Values of the attributes, None for absent ones; None if the operation has others."""

    def append(self, node: Node) -> int:
        """Add a node and return its index."""

    def node_at(self, index: int) -> Node:
        """The node at an index."""


Reader = Callable[[Site, ir.Operation, tuple[int, ...], TensorType], "int | None"]


def _add(
    site: Site, op: str, attributes: Attributes, operands: tuple[int, ...], type: TensorType
) -> int | None:
    """Add an operation of the table if the table agrees with the module about its type."""
    types = [site.node_at(index).type for index in operands]
    if not all(isinstance(each, TensorType) for each in types):
        return None
    try:
        if infer(op, attributes, types) != type:
            return None
    except TypeInferenceError:
        return None
    return site.append(Node(op, attributes, operands, type))


def _read_elementwise(
    op: str, f: str, site: Site, operation: ir.Operation, operands: Any, type: TensorType
) -> int | None:
    if len(operation.attributes) and site.fields(operation, RESULT_ACCURACY) not in ([None], [""]):
        return None
    return _add(site, op, (f,), operands, type)


def _read_cast(
    f: str, site: Site, operation: ir.Operation, operands: Any, type: TensorType
) -> int | None:
    if len(operation.attributes):
        return None
    return _add(site, "unary", ((f, type.dtype),), operands, type)


def _read_reduce_precision(
    site: Site, operation: ir.Operation, operands: Any, type: TensorType
) -> int | None:
    values = site.fields(operation, REDUCE_PRECISION)
    if values is None:
        return None
    return _add(site, "unary", (("reduce_precision", *values),), operands, type)


def _read_compare(
    site: Site, operation: ir.Operation, operands: Any, type: TensorType
) -> int | None:
    values = site.fields(operation, COMPARE)
    source = site.node_at(operands[0]).type
    if values is None or not isinstance(source, TensorType):
        return None
    direction, kind = values
    f = ("compare", direction, kind or default_comparison(source.dtype))
    return _add(site, "binary", (f,), operands, type)


def _read_ternary(
    f: str, site: Site, operation: ir.Operation, operands: Any, type: TensorType
) -> int | None:
    if len(operation.attributes):
        return None
    spread = tuple(_broadcast(site, index, type.shape) for index in operands)
    return _add(site, "ternary", (f,), spread, type)


def _broadcast(site: Site, index: int, shape: tuple[int, ...]) -> int:
    """A rank-0 node repeated to a shape; any other node is returned as it is."""
    type = site.node_at(index).type
    if not isinstance(type, TensorType) or type.shape or not shape:
        return index
    return site.append(
        Node("broadcast_in_dim", (shape, ()), (index,), TensorType(shape, type.dtype))
    )


def _read_coded(
    op: str, site: Site, operation: ir.Operation, operands: Any, type: TensorType
) -> int | None:
    codec = CODECS[op]
    values = site.fields(operation, codec.fields)
    if values is None:
        return None
    return _add(site, op, codec.pack(values, type), operands, type)


def _read_concatenate(
    site: Site, operation: ir.Operation, operands: Any, type: TensorType
) -> int | None:
    values = site.fields(operation, CODECS["concatenate"].fields)
    if values is None:
        return None
    (d,) = values
    result: int = operands[0]
    for operand in operands[1:]:
        left, right = site.node_at(result).type, site.node_at(operand).type
        if not isinstance(left, TensorType) or not isinstance(right, TensorType):
            return None
        size = left.shape[d] + right.shape[d]
        joined = left.with_shape((*left.shape[:d], size, *left.shape[d + 1 :]))
        result = site.append(Node("concatenate", (d,), (result, operand), joined))
    return result if site.node_at(result).type == type else None


def _read_dot(site: Site, operation: ir.Operation, operands: Any, type: TensorType) -> int | None:
    """The older `dot`: the last dimension of the left operand with the first of the right one."""
    values = site.fields(operation, PRECISIONS)
    left = site.node_at(operands[0]).type
    if values is None or not isinstance(left, TensorType) or left.rank == 0:
        return None
    dimensions = DotDimensions((), (), (left.rank - 1,), (0,))
    attributes = (dimensions, Precision(values[0] or ()), type.dtype)
    return _add(site, "dot_general", attributes, operands, type)


def _read_set_dimension_size(
    site: Site, operation: ir.Operation, operands: Any, type: TensorType
) -> int | None:
    """A dimension set to the size that it has, as TensorFlow writes after `top_k`: no change."""
    index: int = operands[0]
    values = site.fields(operation, SET_DIMENSION_SIZE)
    if values is None or site.node_at(index).type != type:
        return None
    size = np.asarray(type.shape[values[0]], np.int32)
    return index if starts_at(site, operands[1], Literal(size)) else None


def _read_reduction(
    op: str, site: Site, operation: ir.Operation, operands: Any, type: TensorType
) -> int | None:
    f = _reducer(operation)
    if f is None or len(operands) != 2 or not _starts_at_identity(site, f, operands[1], type.dtype):
        return None
    codec = CODECS[op]
    values = site.fields(operation, codec.fields)
    if values is None:
        return None
    return _add(site, op, (f, *codec.pack(values, type)), operands[:1], type)


def _reducer(operation: ir.Operation) -> str | None:
    """The name of the function that a reduction's body is, if it is one operation."""
    block = operation.regions[0].blocks[0]
    body = [view.operation for view in block.operations]
    arguments = list(block.arguments)
    if len(body) != 2 or len(arguments) != 2 or len(body[0].attributes):
        return None
    f: str = body[0].name.removeprefix("stablehlo.")
    operands = list(body[0].operands)
    if f not in REDUCERS or operands not in (arguments, arguments[::-1]):
        return None
    return f if list(body[1].operands) == list(body[0].results) else None


def _starts_at_identity(site: Site, f: str, index: int, dtype: str) -> bool:
    """Whether a node is the constant from which the table's reductions start, bit for bit.

    -0.0 for "add" is not: the sum of no elements, or of -0.0, would change its sign.
    """
    identity = _identity(f, dtype)
    return identity is not None and starts_at(site, index, identity)


def starts_at(site: Site, index: int, value: Literal) -> bool:
    """Whether a node is a constant of rank 0, bit for bit."""
    node = site.node_at(index)
    while node.op == "broadcast_in_dim" and node.attributes[0] == ():
        node = site.node_at(node.operands[0])
    return node.op == "constant" and node.attributes[0] == value


@cache
def _identity(f: str, dtype: str) -> Literal | None:
    value = identity_value(f, dtype)
    return None if value is None else Literal(np.asarray(value))


READERS: dict[str, Reader] = {
    **{f"stablehlo.{f}": partial(_read_elementwise, "unary", f) for f in UNARY},
    **{f"stablehlo.{f}": partial(_read_elementwise, "binary", f) for f in BINARY},
    **{f"chlo.{f}": partial(_read_elementwise, "unary", f"chlo.{f}") for f in CHLO_UNARY},
    **{f"chlo.{f}": partial(_read_elementwise, "binary", f"chlo.{f}") for f in CHLO_BINARY},
    **{f"stablehlo.{op}": partial(_read_coded, op) for op in CODECS},
    **{f"stablehlo.{f}": partial(_read_ternary, f) for f in ("select", "clamp")},
    **{f"stablehlo.{f}": partial(_read_cast, f) for f in ("convert", "bitcast_convert")},
    **{f"stablehlo.{op}": partial(_read_reduction, op) for op in ("reduce", "reduce_window")},
    "stablehlo.compare": _read_compare,
    "stablehlo.concatenate": _read_concatenate,
    "stablehlo.dot": _read_dot,
    "stablehlo.reduce_precision": _read_reduce_precision,
    "stablehlo.set_dimension_size": _read_set_dimension_size,
}
"""Readers by MLIR operation."""
