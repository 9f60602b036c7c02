"""The reference meaning of every operation of the table, in plain numpy.

`evaluate` runs a graph eagerly, with StableHLO's semantics: integers wrap around, division by zero
has a value, indices are clamped, narrow floats are rounded after each operation. Property tests
compare the sides of rules with it, and constants are folded with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from saturax.graph.ir import Graph, Node
from saturax.graph.reference import (
    contraction,
    fourier,
    functions,
    linear_algebra,
    movement,
    ordering,
    scatter,
)
from saturax.graph.reference.numbers import Array, UnsupportedError, storage
from saturax.graph.types import TensorType, TupleType

__all__ = ["UnsupportedError", "evaluate", "evaluate_nodes", "evaluate_operation", "storage"]

Meaning = Callable[[Any, list[Array], np.dtype], Array]
"""From attributes, operands and the result's numpy type to the result."""

_MEANINGS: dict[str, Meaning] = {
    "unary": functions.unary,
    "binary": functions.binary,
    "ternary": functions.ternary,
    "iota": movement.iota,
    "transpose": movement.transpose,
    "reshape": movement.reshape,
    "broadcast_in_dim": movement.broadcast_in_dim,
    "reverse": movement.reverse,
    "slice": movement.slice_,
    "pad": movement.pad,
    "concatenate": movement.concatenate,
    "dynamic_slice": movement.dynamic_slice,
    "dynamic_update_slice": movement.dynamic_update_slice,
    "gather": movement.gather,
    "scatter": scatter.scatter,
    "sort": ordering.sort,
    "dot_general": contraction.dot_general,
    "blocked_dot": contraction.dot_general,
    "convolution": contraction.convolution,
    "reduce": contraction.reduce_,
    "reduce_window": contraction.reduce_window,
    "fft": fourier.fft,
    "triangular_solve": linear_algebra.triangular_solve,
    "lu_permutation": linear_algebra.lu_permutation,
    "householder_product": linear_algebra.householder_product,
    "cholesky": linear_algebra.cholesky,
    "solve": linear_algebra.solve,
    "log_abs_determinant": linear_algebra.log_abs_determinant,
    "determinant_sign": linear_algebra.determinant_sign,
}

_MEANINGS_OF_SEVERAL: dict[str, Callable[[Any, list[Array], Any], tuple[Array, ...]]] = {
    "cholesky_call": linear_algebra.cholesky_call,
    "lu": linear_algebra.lu,
    "qr": linear_algebra.qr,
    "svd": linear_algebra.svd,
    "eigh": linear_algebra.eigh,
    "sort_pair": ordering.sort_pair,
    "top_k": ordering.top_k,
    "arg_reduce": ordering.arg_reduce,
}
"""The same for operations with several results: from numpy types to arrays."""


def evaluate(graph: Graph, inputs: Sequence[Array], *, reals: bool = False) -> list[Array]:
    """The outputs of `graph` for `inputs`, one array for each of the graph's inputs.

    With `reals`, every floating-point value is kept in float64 (complex128), whatever its declared
    type: the program as it would be over the reals, nearly. Raises `UnsupportedError` for
    operations that have no reference meaning (generic ones, or bit casts with `reals`).
    """
    values = evaluate_nodes(graph, inputs, reals=reals)
    return [values[output] for output in graph.outputs]


def evaluate_nodes(graph: Graph, inputs: Sequence[Array], *, reals: bool = False) -> list[Array]:
    """Like `evaluate`, but return the value of every node."""
    values: list[Array] = []
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            operands = [values[operand] for operand in node.operands]
            values.append(_evaluate_node(node, operands, inputs, reals))
    return values


def evaluate_operation(
    op: str, attributes: tuple[Any, ...], operands: Sequence[Array], type: TensorType
) -> Array:
    """The value of one operation of the table; `type` is its result's.

    Raises `UnsupportedError` for operations that have no reference meaning.
    """
    with np.errstate(all="ignore"):
        return _evaluate_node(Node(op, attributes, (), type), list(operands), (), False)


def _evaluate_node(
    node: Node, operands: list[Array], inputs: Sequence[Array], reals: bool
) -> Array:
    if node.op == "get_result":
        results: Any = operands[0]
        return np.asarray(results[node.attributes[0]])
    if isinstance(node.type, TupleType):
        several: Array = _evaluate_several(node, operands, reals)
        return several
    if not isinstance(node.type, TensorType):
        raise UnsupportedError(f"no reference meaning for {node.op}, which returns {node.type}")
    result = storage(node.type.dtype, reals)
    if node.op == "parameter":
        index: Any = node.attributes[0]
        return np.asarray(inputs[index]).astype(result, copy=False)
    if node.op == "constant":
        literal: Any = node.attributes[0]
        array: Array = literal.array
        return array.astype(result) if array.dtype != result else array
    meaning = _MEANINGS.get(node.op)
    if meaning is None:
        raise UnsupportedError(f"no reference meaning for {node.op}: rules cannot be tested on it")
    if reals:
        _refuse_bits(node, operands)
    return np.asarray(meaning(node.attributes, operands, result))


def _evaluate_several(node: Node, operands: list[Array], reals: bool) -> Any:
    """The results of an operation that has several."""
    meaning = _MEANINGS_OF_SEVERAL.get(node.op)
    if meaning is None:
        raise UnsupportedError(f"no reference meaning for {node.op}, which returns {node.type}")
    types: Any = node.type
    results = [storage(type.dtype, reals) for type in types.elements]
    return meaning(node.attributes, operands, results)


def _refuse_bits(node: Node, operands: list[Array]) -> None:
    """Bits of a float have no meaning over the reals; those of float64, which it stands for, do."""
    f = node.attributes[0] if node.op == "unary" else None
    if not isinstance(f, tuple) or f[0] not in ("bitcast_convert", "reduce_precision"):
        return
    type: Any = node.type
    is_double = f[1] in ("i64", "ui64", "f64") and operands[0].shape == type.shape
    if f[0] != "bitcast_convert" or not is_double:
        raise UnsupportedError(f"{f[0]} has no meaning over the reals")
