"""MLIR types to saturax types and back."""

from __future__ import annotations

from jax.extend.mlir import ir

from saturax.errors import DynamicShapeError
from saturax.graph.types import OpaqueType, TensorType, TupleType, Type, numpy_dtype


def read_type(type: ir.Type, where: str) -> Type:
    """The saturax type of an MLIR type; `where` names its place in errors.

    Raises:
        DynamicShapeError: a dimension is not known.
    """
    if isinstance(type, ir.RankedTensorType) and type.has_static_shape and type.encoding is None:
        element = str(type.element_type)
        if _is_known(element):
            return TensorType(tuple(type.shape), element)
    if isinstance(type, ir.UnrankedTensorType) or (
        isinstance(type, ir.RankedTensorType) and not type.has_static_shape
    ):
        raise dynamic_shape(where, f"its type is {type}")
    text = str(type)
    if isinstance(type, ir.TupleType) and "?" in text:
        raise dynamic_shape(where, f"its type is {text}")
    return OpaqueType(text)


def write_type(type: Type) -> ir.Type:
    """The MLIR type of one value, in the current context."""
    if isinstance(type, TensorType):
        return ir.RankedTensorType.get(list(type.shape), ir.Type.parse(type.dtype))
    assert not isinstance(type, TupleType), f"several results have no single type: {type}"
    return ir.Type.parse(type.text)


def dynamic_shape(where: str, what: str) -> DynamicShapeError:
    """The error for a shape that is not known."""
    return DynamicShapeError(
        f"{where}: expected shapes that are known at compile time, but {what}; "
        "lower the program for fixed shapes (no symbolic dimensions in jax.export), or refine "
        "them with jax.extend.mlir.refine_polymorphic_shapes"
    )


def _is_known(element: str) -> bool:
    try:
        numpy_dtype(element)
    except KeyError:
        return False
    return True
