"""Operations of the table that StableHLO writes with a body: their bodies, in both directions.

On import, the body of a sort, a scatter or a reduction of two operands is compared with the bodies
that the table has a name for; all others stay generic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from jax.extend.mlir import ir

from saturax.errors import TypeInferenceError
from saturax.graph.build import GraphBuilder, Value, result_types
from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.operation import infer
from saturax.graph.ops import REALS_ORDER, SET, Order, default_order, identity_value
from saturax.graph.ops.reduction import REDUCERS
from saturax.graph.types import (
    TensorType,
    TupleType,
    Type,
    is_complex,
    is_float,
    is_integer,
    numpy_dtype,
)
from saturax.stablehlo.attributes import REGION_CODECS, default_comparison
from saturax.stablehlo.readers import Site, starts_at

MLIR_NAMES = {
    "sort": "stablehlo.sort",
    "sort_pair": "stablehlo.sort",
    "arg_reduce": "stablehlo.reduce",
    "scatter": "stablehlo.scatter",
    "top_k": "chlo.top_k",
}
"""Names in MLIR of the operations of the table with a body or several results."""

# ------------------------------------------------------------------ bodies


class _Body:
    """A body under construction, with scalars of the given types as arguments."""

    def __init__(self, dtypes: Sequence[str]) -> None:
        self.builder = GraphBuilder(tuple(TensorType((), t) for t in dtypes), exact=True)
        self.arguments = self.builder.parameters

    def constant(self, value: Any, dtype: str) -> Value:
        array: Any = np.asarray(value).astype(numpy_dtype(dtype))
        return self.builder.make("constant", (Literal(array),), ())

    def binary(self, f: Any, x: Value, y: Value) -> Value:
        return self.builder.make("binary", (f,), (x, y))

    def compare(self, direction: str, x: Value, y: Value, kind: str) -> Value:
        return self.binary(("compare", direction, kind), x, y)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        return self.builder.make("ternary", ("select",), (condition, x, y))


@cache
def comparator(order: Order, dtypes: tuple[str, ...]) -> Graph:
    """The comparator of a sort of operands of these types by the first one."""
    body = _Body([dtype for dtype in dtypes for _ in range(2)])
    x, y = body.arguments[:2]
    kind = order.kind
    if kind == REALS_ORDER:
        x, y = (_canonical(body, each) for each in (x, y))
        kind = "TOTALORDER"
    return body.builder.finish([body.compare(order.direction, x, y, kind)])


def _canonical(body: _Body, x: Value) -> Value:
    """0 for -0, and one NaN for all, as `jax.lax.sort` writes it."""
    zero = body.constant(0, x.dtype)
    is_zero = body.compare("EQ", x, zero, "FLOAT")
    unsigned = body.select(is_zero, zero, x)
    is_nan = body.compare("NE", x, x, "FLOAT")
    return body.select(is_nan, body.constant(np.nan, x.dtype), unsigned)


@cache
def arg_reducer(f: str, dtype: str, index: str) -> Graph:
    """The body of a reduction to an extremum and its index, as `jax.lax.argmax` writes it."""
    body = _Body((dtype, index, dtype, index))
    x, i, y, j = body.arguments
    kind = default_comparison(dtype)
    beyond = body.compare("GT" if f == "maximum" else "LT", x, y, kind)
    stays = body.binary("or", beyond, body.compare("NE", x, x, kind))
    equal = body.compare("EQ", x, y, kind)
    first = body.compare("LT", i, j, default_comparison(index))
    kept = body.binary("or", stays, body.binary("and", equal, first))
    return body.builder.finish([body.select(stays, x, y), body.select(kept, i, j)])


@cache
def combiner(f: str, dtype: str) -> Graph:
    """The body of a scatter."""
    body = _Body((dtype, dtype))
    old, new = body.arguments
    return body.builder.finish([new if f == SET else body.binary(f, old, new)])


def body_of(node: Node, operands: Sequence[Type]) -> Graph | None:
    """The body of an operation of the table; None if StableHLO writes it without one."""
    dtypes = tuple(operand.dtype for operand in operands if isinstance(operand, TensorType))
    f: Any = node.attributes[0]
    if node.op in ("sort", "sort_pair"):
        order: Any = node.attributes[1]
        return comparator(order, dtypes)
    if node.op == "arg_reduce":
        return arg_reducer(f, dtypes[0], str(node.attributes[2]))
    return combiner(f, dtypes[0]) if node.op == "scatter" else None


def extra_operands(node: Node, operands: Sequence[Type]) -> list[Node]:
    """Operands that StableHLO's operation takes after those of the table's, as leaves."""
    if node.op != "arg_reduce":
        return []
    (x,) = operands
    value, place = result_types(node.type)
    assert isinstance(x, TensorType)
    assert isinstance(value, TensorType)
    assert isinstance(place, TensorType)
    f, dimension, _ = node.attributes
    indices = x.with_dtype(place.dtype)
    starts: list[Any] = [
        identity_value(str(f), value.dtype),
        np.zeros((), numpy_dtype(place.dtype)),
    ]
    literals = [Literal(np.asarray(start)) for start in starts]
    return [
        Node("iota", (dimension, indices), (), indices),
        *(Node("constant", (literal,), (), literal.type) for literal in literals),
    ]


def _same(left: Graph, right: Graph) -> bool:
    """Whether two bodies compute the same, whatever the order of their operations."""
    if left == right:
        return True
    if left.inputs != right.inputs or len(left.nodes) != len(right.nodes) or left.effects:
        return False
    return _in_order(left) == _in_order(right)


def _in_order(graph: Graph) -> tuple[Any, ...]:
    """The outputs as trees of operations; bodies are small."""
    trees: list[Any] = []
    for op, attributes, operands, type in graph.nodes:
        trees.append((op, attributes, tuple(trees[i] for i in operands), type))
    return tuple(trees[i] for i in graph.outputs)


# ------------------------------------------------------------------ import

Reader = Callable[
    [Site, ir.Operation, tuple[Graph, ...], tuple[int, ...], Type], "tuple[str, Any, Any] | None"
]


def read_with_region(
    site: Site,
    operation: ir.Operation,
    regions: tuple[Graph, ...],
    operands: tuple[int, ...],
    type: Type,
) -> int | None:
    """Add the operation of the table that an operation with a body is; None if there is none."""
    reader = _READERS.get(operation.name)
    types = [site.node_at(index).type for index in operands]
    if reader is None or not all(isinstance(each, TensorType) for each in types):
        return None
    found = reader(site, operation, regions, operands, type)
    if found is None:
        return None
    op, attributes, used = found
    try:
        inferred = infer(op, attributes, [site.node_at(index).type for index in used])
    except TypeInferenceError:
        return None
    return site.append(Node(op, attributes, used, type)) if inferred == type else None


def _values(site: Site, operation: ir.Operation, op: str, type: Any) -> Any:
    codec = REGION_CODECS[op]
    values = site.fields(operation, codec.fields)
    return None if values is None else codec.pack(values, type)


def _read_sort(
    site: Site, operation: Any, regions: Any, operands: tuple[int, ...], type: Type
) -> tuple[str, Any, Any] | None:
    op = {1: "sort", 2: "sort_pair"}.get(len(operands))
    values = None if op is None else _values(site, operation, op, type)
    if op is None or values is None:
        return None
    types: list[Any] = [site.node_at(index).type for index in operands]
    dtypes = tuple(each.dtype for each in types)
    order = _order_of(regions[0], dtypes)
    if order is None:
        return None
    dimension, is_stable = values
    return op, (dimension % types[0].rank, order, is_stable), operands


def _order_of(region: Graph, dtypes: tuple[str, ...]) -> Order | None:
    """The order that a comparator decides by."""
    if is_complex(dtypes[0]):
        return None
    kinds = [default_order(dtypes[0]).kind]
    if is_float(dtypes[0]):
        kinds.append("TOTALORDER")
    for kind in kinds:
        for direction in ("LT", "GT"):
            order = Order(direction, kind)
            if _same(region, comparator(order, dtypes)):
                return order
    return None


def _read_arg_reduce(
    site: Site, operation: Any, regions: Any, operands: tuple[int, ...], type: Type
) -> tuple[str, Any, Any] | None:
    values = _values(site, operation, "arg_reduce", type)
    if values is None or len(operands) != 4 or len(values[0]) != 1:
        return None
    x, i, first, second = operands
    types: list[Any] = [site.node_at(index).type for index in (x, i)]
    dtype, index = (each.dtype for each in types)
    if site.node_at(i)[:2] != ("iota", (values[0][0], types[1])) or not is_integer(index):
        return None
    for f in ("maximum", "minimum"):
        start = None if is_complex(dtype) else identity_value(f, dtype)
        if start is None or not _same(regions[0], arg_reducer(f, dtype, index)):
            continue
        zero = Literal(np.zeros((), numpy_dtype(index)))
        if starts_at(site, first, Literal(np.asarray(start))) and starts_at(site, second, zero):
            return "arg_reduce", (f, values[0][0], index), (x,)
    return None


def _read_scatter(
    site: Site, operation: Any, regions: Any, operands: tuple[int, ...], type: Type
) -> tuple[str, Any, Any] | None:
    values = _values(site, operation, "scatter", type)
    if values is None or len(operands) != 3 or not isinstance(type, TensorType):
        return None
    for f in (SET, *REDUCERS):
        if _same_combiner(regions[0], f):
            return "scatter", (f, *values), operands
    return None


def _same_combiner(region: Graph, f: str) -> bool:
    """Whether a body is f, whatever the order of its operands."""
    if len(region.outputs) != 1 or len(region.inputs) != 2:
        return False
    root = region.nodes[region.outputs[0]]
    if f == SET:
        return root.op == "parameter" and root.attributes == (1,)
    inner = {region.nodes[index].attributes for index in root.operands}
    return (
        (root.op, root.attributes) == ("binary", (f,))
        and inner == {(0,), (1,)}
        and all(region.nodes[index].op == "parameter" for index in root.operands)
    )


def _read_top_k(
    site: Site, operation: Any, regions: Any, operands: tuple[int, ...], type: Type
) -> tuple[str, Any, Any] | None:
    values = _values(site, operation, "top_k", type)
    if values is None or not isinstance(type, TupleType):
        return None
    return "top_k", tuple(values), operands


_READERS: dict[str, Reader] = {
    "stablehlo.sort": _read_sort,
    "stablehlo.reduce": _read_arg_reduce,
    "stablehlo.scatter": _read_scatter,
    "chlo.top_k": _read_top_k,
}
