"""One operation in all iterations of a loop: batching of every operation of the table.

`apply_to_all(node, operands, n)` gives the n results of an operation, stacked along dimension 0,
from its operands in n iterations; operands that are the same in every iteration are not repeated
where the operation can do without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from saturax.graph.build import GraphBuilder, Value, make
from saturax.graph.ir import Node
from saturax.graph.operation import TABLE
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    ReduceWindow,
    broadcast_in_dim,
    dot_general,
    dynamic_slice,
    dynamic_update_slice,
    full,
    pad,
    select,
)
from saturax.graph.ops.linear_algebra import LINEAR_ALGEBRA
from saturax.graph.reference import UnsupportedError, evaluate_operation
from saturax.graph.types import TensorType, TupleType, Type, is_float, numpy_dtype
from saturax.proposals.loops import contractions, inner, windows
from saturax.proposals.loops.batched import (
    Batched,
    constant_of,
    known,
    move_to_front,
    stacked,
)

# Tables of indices and predicates up to this size are computed here and now.
_LARGEST_TABLE = 1 << 16

Operands = Sequence[Batched]


def can_apply(node: Node) -> bool:
    """Whether an operation can be applied to all iterations at once."""
    if node.op == "convolution":
        return contractions.can_apply_convolution(node)
    if node.op == inner.WHILE:
        return inner.is_made_of(node, can_apply)
    return node.op in _BATCHING or node.op in _GENERIC


def is_same_in_every_bit(node: Node) -> bool:
    """Whether all iterations at once give the bits of one after the other.

    Elementwise work and moves do; sums and products of floats may be regrouped.
    """
    if node.op in ("dot_general", "convolution", "reduce", "reduce_window", "scatter"):
        return isinstance(node.type, TensorType) and not (
            is_float(node.type.dtype) or node.type.dtype.startswith("complex")
        )
    if node.op == inner.WHILE:
        return inner.is_made_of(node, is_same_in_every_bit)
    return node.op in _BATCHING


def apply_to_all(builder: GraphBuilder, node: Node, operands: Operands, count: int) -> Batched:
    """An operation applied in each of `count` iterations; `builder` must be the current one.

    Raises `AssertionError` for an operation that `can_apply` does not admit, if operands vary, and
    for a loop that may run more often in one iteration than in another.
    """
    if not any(operand.varies for operand in operands):
        indices = tuple(operand.value.index for operand in operands)
        value = builder.append(Node(node.op, node.attributes, indices, node.type))
        return Batched(_folded(value), False)
    assert can_apply(node), f"{node.op} cannot be applied to all iterations at once"
    if node.op == inner.WHILE:
        return inner.loop_of_all(apply_to_all, builder, node, operands, count)
    result = _BATCHING.get(node.op, _leading_batch)(node, operands, count)
    if isinstance(result, Batched):
        return result._replace(value=_folded(result.value))
    return Batched(_folded(result), True)


def _own_shape(node: Node) -> tuple[int, ...]:
    assert isinstance(node.type, TensorType)
    return node.type.shape


def _folded(value: Value) -> Value:
    """A small integer or Boolean operation on constants as a constant."""
    type, node = value.type, value.node
    if not isinstance(type, TensorType) or node.op == "constant" or not node.operands:
        return value
    if type.dtype.startswith(("f", "bf", "complex")) or type.size > _LARGEST_TABLE:
        return value
    arrays = [known(Value(value.builder, i, value.builder.nodes[i].type)) for i in node.operands]
    if any(array is None for array in arrays) or node.op not in TABLE:
        return value
    try:
        return constant_of(evaluate_operation(node.op, node.attributes, arrays, type))  # type: ignore[arg-type]
    except UnsupportedError:
        return value


def _shifted(dimensions: Sequence[int]) -> tuple[int, ...]:
    return tuple(d + 1 for d in dimensions)


def _elementwise(node: Node, operands: Operands, count: int) -> Value:
    values = [stacked(operand, count) for operand in operands]
    result: Value = make(node.op, *values, attributes=node.attributes)
    return result


def _transpose(node: Node, operands: Operands, count: int) -> Value:
    (permutation,) = node.attributes
    result: Value = make(
        "transpose",
        operands[0].value,
        attributes=((0, *_shifted(permutation)),),  # type: ignore[arg-type]
    )
    return result


def _reshape(node: Node, operands: Operands, count: int) -> Value:
    result: Value = make("reshape", operands[0].value, attributes=((count, *_own_shape(node)),))
    return result


def _broadcast(node: Node, operands: Operands, count: int) -> Value:
    shape, dimensions = node.attributes
    result: Value = broadcast_in_dim(
        operands[0].value,
        (count, *shape),  # type: ignore[misc]
        (0, *_shifted(dimensions)),  # type: ignore[arg-type]
    )
    return result


def _along_shifted_dimensions(node: Node, operands: Operands, count: int) -> Value:
    """`reverse`: its dimensions are its only attribute."""
    (dimensions,) = node.attributes
    result: Value = make(node.op, operands[0].value, attributes=(_shifted(dimensions),))  # type: ignore[arg-type]
    return result


def _reduce(node: Node, operands: Operands, count: int) -> Value:
    f, dimensions = node.attributes
    result: Value = make("reduce", operands[0].value, attributes=(f, _shifted(dimensions)))  # type: ignore[arg-type]
    return result


def _reduce_window(node: Node, operands: Operands, count: int) -> Value:
    f, fields = node.attributes
    w = ReduceWindow(*fields)  # type: ignore[misc]
    window = ReduceWindow(
        (1, *w.size),
        (1, *w.strides),
        (1, *w.base_dilation),
        (1, *w.window_dilation),
        ((0, 0), *w.padding),
    )
    result: Value = make("reduce_window", operands[0].value, attributes=(f, window))
    return result


def _slice(node: Node, operands: Operands, count: int) -> Value:
    start, limit, stride = node.attributes
    attributes = ((0, *start), (count, *limit), (1, *stride))  # type: ignore[misc]
    result: Value = make("slice", operands[0].value, attributes=attributes)
    return result


def _pad(node: Node, operands: Operands, count: int) -> Value:
    low, high, interior = ((0, *amounts) for amounts in node.attributes)  # type: ignore[misc]
    x, value = stacked(operands[0], count), operands[1]
    if not value.varies:
        result: Value = pad(x, value.value, low, high, interior)
        return result
    scalar = TensorType((), x.dtype)
    padded = pad(x, full(0, scalar), low, high, interior)
    inside, outside = full(True, TensorType(x.shape, "i1")), full(False, TensorType((), "i1"))
    is_inside = pad(inside, outside, low, high, interior)
    result = select(is_inside, padded, broadcast_in_dim(value.value, padded.shape, (0,)))
    return result


def _concatenate(node: Node, operands: Operands, count: int) -> Value:
    (dimension,) = node.attributes
    values = [stacked(operand, count) for operand in operands]
    result: Value = make("concatenate", *values, attributes=(dimension + 1,))  # type: ignore[operator]
    return result


def _dynamic_slice(node: Node, operands: Operands, count: int) -> Value | Batched:
    (sizes,) = node.attributes
    x, *indices = operands
    if any(index.varies for index in indices):
        return windows.read_windows(x, indices, sizes, count)  # type: ignore[arg-type]
    starts = [_zero(indices), *(index.value for index in indices)]
    result: Value = dynamic_slice(x.value, starts, (count, *sizes))  # type: ignore[misc]
    return result


def _dynamic_update_slice(node: Node, operands: Operands, count: int) -> Value:
    x, update, *indices = operands
    if any(index.varies for index in indices):
        return windows.write_windows_apart(x, update, indices, count)
    starts = [_zero(indices), *(index.value for index in indices)]
    result: Value = dynamic_update_slice(stacked(x, count), stacked(update, count), starts)
    return result


def _zero(indices: Sequence[Batched]) -> Value:
    dtype = indices[0].value.dtype if indices else "i32"
    return constant_of(np.zeros((), numpy_dtype(dtype)))


def _dot_general(node: Node, operands: Operands, count: int) -> Value:
    dimensions, precision, dtype = node.attributes
    d, p = DotDimensions(*dimensions), Precision(*precision)  # type: ignore[misc]
    x, y = operands
    left = DotDimensions(*map(_shifted, d))
    if x.varies and y.varies:
        both = DotDimensions(
            (0, *left.lhs_batch), (0, *left.rhs_batch), left.lhs_contract, left.rhs_contract
        )
        result: Value = dot_general(x.value, y.value, both, p, dtype)
        return result
    if x.varies:
        one = DotDimensions(left.lhs_batch, d.rhs_batch, left.lhs_contract, d.rhs_contract)
        return move_to_front(dot_general(x.value, y.value, one, p, dtype), len(d.lhs_batch))
    if not d.rhs_free(y.value.rank - 1):  # swapped, the iterations come first without a transpose
        swapped = DotDimensions(left.rhs_batch, d.lhs_batch, left.rhs_contract, d.lhs_contract)
        turned = Precision(tuple(reversed(p.operands)), p.algorithm)
        result = dot_general(y.value, x.value, swapped, turned, dtype)
        return move_to_front(result, len(d.lhs_batch))
    one = DotDimensions(d.lhs_batch, left.rhs_batch, d.lhs_contract, left.rhs_contract)
    position = len(d.lhs_batch) + len(d.lhs_free(x.value.rank))
    return move_to_front(dot_general(x.value, y.value, one, p, dtype), position)


def _along_one_dimension(node: Node, operands: Operands, count: int) -> Value:
    """Sorts: the dimension is their first attribute."""
    dimension, *rest = node.attributes
    values = [stacked(operand, count) for operand in operands]
    result: Value = make(node.op, *values, attributes=(dimension + 1, *rest))  # type: ignore[operator]
    return result


def _arg_reduce(node: Node, operands: Operands, count: int) -> Value:
    f, dimension, *rest = node.attributes
    values = [stacked(operand, count) for operand in operands]
    result: Value = make(node.op, *values, attributes=(f, dimension + 1, *rest))  # type: ignore[operator]
    return result


def _unchanged_attributes(node: Node, operands: Operands, count: int) -> Value:
    values = [stacked(operand, count) for operand in operands]
    result: Value = make(node.op, *values, attributes=node.attributes)
    return result


def _get_result(node: Node, operands: Operands, count: int) -> Batched:
    """One of several results: of a loop, some may be the same in every iteration."""
    value: Value = make(node.op, operands[0].value, attributes=node.attributes)
    return Batched(value, value.type != node.type)


def _leading_batch(node: Node, operands: Operands, count: int) -> Value:
    """Generic operations that work on the last dimensions, whatever comes before them."""
    values = [stacked(operand, count) for operand in operands]
    type = _batched_type(node.type, count)
    return values[0].builder.generic(node.op, node.attributes, values, type)


def _batched_type(type: Type, count: int) -> Type:
    if isinstance(type, TupleType):
        return TupleType(tuple(_batched_type(element, count) for element in type.elements))
    assert isinstance(type, TensorType)
    return type.with_shape((count, *type.shape))


# They work on the last dimensions, and their types are inferred from their operands'.
_LAST_DIMENSIONS = ("fft", "top_k", *sorted(LINEAR_ALGEBRA))
_GENERIC = frozenset(
    {"stablehlo.cholesky", "stablehlo.triangular_solve", "stablehlo.fft", "chlo.top_k"}
)

_BATCHING: dict[str, Callable[[Node, Operands, int], Value | Batched]] = {
    "unary": _elementwise,
    "binary": _elementwise,
    "ternary": _elementwise,
    "transpose": _transpose,
    "reshape": _reshape,
    "broadcast_in_dim": _broadcast,
    "reverse": _along_shifted_dimensions,
    "slice": _slice,
    "pad": _pad,
    "concatenate": _concatenate,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "dot_general": _dot_general,
    "convolution": contractions.convolution_of_all,
    "reduce": _reduce,
    "reduce_window": _reduce_window,
    "gather": windows.gather_of_all,
    "scatter": windows.scatter_of_all,
    "sort": _along_one_dimension,
    "sort_pair": _along_one_dimension,
    "arg_reduce": _arg_reduce,
    **dict.fromkeys(_LAST_DIMENSIONS, _unchanged_attributes),
    "get_result": _get_result,
    "constant": _unchanged_attributes,
    "iota": _unchanged_attributes,
}
