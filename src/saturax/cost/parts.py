"""What a slice reads of its operand: lines of memory, in which it may want one element each."""

from __future__ import annotations

from saturax.cost.kernel import Kernel
from saturax.graph.types import TensorType

_LINE_BYTES = 64


def bytes_of_part(kernel: Kernel) -> int:
    """Bytes of the lines that a `slice` or `dynamic_slice` reads, if its runs begin with one.

    A run are elements that lie next to each other; of a column of a matrix each is one by itself.
    """
    operand, type = kernel.operands[0], kernel.type
    assert isinstance(operand, TensorType)
    assert isinstance(type, TensorType)
    strides = kernel.attributes[2] if kernel.op == "slice" else (1,) * type.rank
    run = pitch = TensorType((), type.dtype).bytes
    for whole, part, stride in reversed([*zip(operand.shape, type.shape, strides, strict=True)]):
        if stride > 1 and part > 1:
            pitch *= stride
            break
        run, pitch = part * pitch, whole * pitch
        if part < whole:
            break
    runs = type.bytes // max(run, 1)
    lines = -(-run // _LINE_BYTES) * _LINE_BYTES
    return runs * max(run, min(lines, pitch)) if runs > 1 else type.bytes
