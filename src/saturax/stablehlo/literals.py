"""Constants between MLIR's `stablehlo.constant` and `Literal`, exactly and without needless copies.

MLIR lends its memory to numpy for f16, f32, f64, bool and ordinary integers. Of other element types
it only prints the values: as raw hexadecimal above 100 elements, as decimal numbers below. Large
ones are found in the operation's bytecode, four times faster than by printing.
"""

from __future__ import annotations

import io
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
# From this size in bytes on, writing bytecode costs less than printing.
_LARGE = 1 << 16
_RESOURCE = re.compile(r"dense_resource<([^>]+)>")
_BLOB = re.compile(r'^ *"?([^\s":]+)"?: "0x([0-9A-Fa-f]*)"', re.MULTILINE)
_NUMBER = re.compile(r"true|false|[-+]?(?:0x[0-9A-Fa-f]+|[\d.]+(?:[eE][-+]?\d+)?)")


def read_literal(
    operation: ir.Operation, type: TensorType, resources: Callable[[], Mapping[str, bytes]]
) -> Literal:
    """The value of a `stablehlo.constant` of the given type.

    `resources` returns the module's resource blobs by name; it is called only when needed.
    """
    # The bindings cannot even hand out a complex attribute.
    attribute: Any = None if is_complex(type.dtype) else operation.attributes["value"]
    if isinstance(attribute, ir.DenseIntElementsAttr | ir.DenseFPElementsAttr):
        if type.dtype in _LENT:
            array = np.asarray(attribute)
            return _splat(array, type) if attribute.is_splat else Literal(array)
        found = _from_bytecode(operation, type) if _is_large(attribute, type) else None
        if found is not None:
            return found
    text = str(operation.get_asm())
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
    _, _, footer = str(module.operation.get_asm()).rpartition("{-#")
    return {name: bytes.fromhex(digits)[4:] for name, digits in _BLOB.findall(footer)}


def write_literal(literal: Literal, element_type: ir.Type) -> ir.Attribute:
    """The dense attribute of a literal, in the current context."""
    data: Any = np.asarray(literal.data, order="C")
    if literal.type.size == 0:
        data = np.empty(literal.type.shape, data.dtype)
    if data.dtype.kind == "V" or data.dtype.name in ml_dtypes.__dict__:
        data = data.view(np.dtype(f"u{data.dtype.itemsize}"))
    attribute: ir.Attribute = ir.DenseElementsAttr.get(
        data, type=element_type, shape=literal.type.shape
    )
    return attribute


def _is_large(attribute: Any, type: TensorType) -> bool:
    return type.bytes >= _LARGE and not attribute.is_splat


def _splat(array: np.ndarray[Any, Any], type: TensorType) -> Literal:
    return Literal(array.reshape(-1)[:1].reshape(()).copy(), type.shape)


def _from_bytecode(operation: ir.Operation, type: TensorType) -> Literal | None:
    """The value as it stands in the bytecode of a copy of the operation, or None.

    MLIR keeps equal attributes only once, so one made of the bytes that were found is the
    operation's own attribute if and only if they are the right ones.
    """
    dtype = numpy_dtype(type.dtype)
    size = type.size * dtype.itemsize
    with ir.Location.unknown(operation.context):
        module = ir.Module.create()
        operation.clone(ir.InsertionPoint(module.body))
        stream = io.BytesIO()
        module.operation.write_bytecode(stream)
        stored = stream.getbuffer()
        mark = _variable_length(size)
        start = bytes(stored[: max(len(stored) - size, 0)]).find(mark) + len(mark)
        if start < len(mark) or start + size > len(stored):
            return None
        raw = np.frombuffer(stored, np.uint8, size, start)
        literal = Literal(raw.view(dtype).reshape(type.shape))
        element = ir.RankedTensorType(operation.results[0].type).element_type
        same = write_literal(literal, element) == operation.attributes["value"]
    return literal if same else None


def _variable_length(value: int) -> bytes:
    """MLIR bytecode's encoding of an integer: the lowest set bit tells how many bytes there are."""
    count = next(n for n in range(1, 9) if value < 1 << 7 * n)
    return (value << count | 1 << (count - 1)).to_bytes(count, "little")


def _from_bytes(raw: bytes, type: TensorType) -> Literal:
    array = np.frombuffer(raw, numpy_dtype(type.dtype))
    return (
        Literal(array.reshape(()), type.shape)
        if array.size == 1
        else Literal(array.reshape(type.shape))
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
