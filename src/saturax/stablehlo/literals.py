"""Constants between MLIR's `stablehlo.constant` and `Literal`, exactly and without needless copies.

MLIR lends its memory to numpy for f16, f32, f64, bool and ordinary integers. Other element types
can only be printed: as raw hexadecimal above 100 elements, as decimal numbers below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
from jax.extend.mlir import ir

from saturax.errors import ImportFailure
from saturax.graph.literal import Literal
from saturax.graph.types import TensorType, is_complex, numpy_dtype

_LENT = frozenset("i1 i8 i16 i32 i64 ui8 ui16 ui32 ui64 f16 f32 f64".split())
_RESOURCE = re.compile(r"dense_resource<([^>]+)>")
_BLOB = re.compile(r'^ *"?([^\s":]+)"?: "0x([0-9A-Fa-f]*)"', re.MULTILINE)
_NUMBER = re.compile(r"true|false|[-+]?(?:0x[0-9A-Fa-f]+|[\d.]+(?:[eE][-+]?\d+)?)")


def read_literal(
    operation: ir.Operation, type: TensorType, resources: Callable[[], Mapping[str, bytes]]
) -> Literal:
    """The value of a `stablehlo.constant` of the given type.

    `resources` returns the module's resource blobs by name; it is called only when needed.
    """
    if type.dtype in _LENT:
        attribute: Any = operation.attributes["value"]
        if isinstance(attribute, ir.DenseIntElementsAttr | ir.DenseFPElementsAttr):
            array = np.asarray(attribute)
            return _splat(array, type) if attribute.is_splat else Literal(array)
    text = operation.get_asm()
    resource = _RESOURCE.search(text)
    if resource:
        return _from_bytes(resources()[resource[1]], type)
    start, end = text.find("dense<"), text.rfind("> : ")
    if start < 0:
        raise ImportFailure(
            f"expected a dense constant of type {type}, got: {text[:200]}; "
            "rewrite the constant as `dense<…>`"
        )
    body = text[start + len("dense<") : end]
    if body.startswith('"0x'):
        return _from_bytes(bytes.fromhex(body[3:-1]), type)
    return _from_decimal(body, type)


def read_resources(module: ir.Module) -> dict[str, bytes]:
    """The resource blobs of a module by name; each begins with its alignment in four bytes."""
    _, _, footer = module.operation.get_asm().rpartition("{-#")
    return {name: bytes.fromhex(digits)[4:] for name, digits in _BLOB.findall(footer)}


def write_literal(literal: Literal, element_type: ir.Type) -> ir.Attribute:
    """The dense attribute of a literal, in the current context."""
    data = np.asarray(literal.data, order="C")
    if literal.type.size == 0:
        data = np.empty(literal.type.shape, data.dtype)
    if data.dtype.kind == "V" or data.dtype.name in ml_dtypes.__dict__:
        data = data.view(np.dtype(f"u{data.dtype.itemsize}"))
    return ir.DenseElementsAttr.get(data, type=element_type, shape=literal.type.shape)


def _splat(array: np.ndarray[Any, Any], type: TensorType) -> Literal:
    return Literal(array.reshape(-1)[:1].reshape(()).copy(), type.shape)


def _from_bytes(raw: bytes, type: TensorType) -> Literal:
    array = np.frombuffer(raw, numpy_dtype(type.dtype))
    return Literal(array.reshape(()), type.shape) if array.size == 1 else Literal(
        array.reshape(type.shape)
    )


def _from_decimal(body: str, type: TensorType) -> Literal:
    dtype = numpy_dtype(type.dtype)
    part = np.dtype(dtype.type(0).real.dtype) if is_complex(type.dtype) else dtype
    numbers = [_number(token, part) for token in _NUMBER.findall(body)]
    array = np.array(numbers, part).view(dtype)
    if array.size == 1 and not body.startswith("["):
        return Literal(array.reshape(()), type.shape)
    return Literal(array.reshape(type.shape))


def _number(token: str, dtype: np.dtype[Any]) -> Any:
    """One printed number; floats that decimals cannot express are printed as their bits."""
    if token in ("true", "false"):
        return token == "true"
    if token.startswith("0x"):
        raw = int(token, 16).to_bytes(dtype.itemsize, "little")
        return np.frombuffer(raw, dtype)[0]
    return dtype.type(float(token) if "." in token else int(token))
