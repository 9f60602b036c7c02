"""The float64 reference of a program: the same computation, rounded as little as this machine can.

Every real value becomes f64 and every complex one complex<f64>; integers and booleans stay. Casts
between float types disappear. What depends on the bits of a type (bitcasts, `reduce_precision`,
calls of foreign code) runs in its original precision, between conversions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from saturax.graph.build import prune
from saturax.graph.ir import Attributes, Graph, Node, Program
from saturax.graph.literal import Literal
from saturax.graph.ops import Generic, Precision, generic_of
from saturax.graph.types import TensorType, TupleType, Type, is_complex, is_float, numpy_dtype
from saturax.mlir_modules import DONATION_ATTRIBUTES

# Functions whose results are about the representation of a value, not about its value.
_OF_BITS = frozenset({"bitcast_convert", "reduce_precision", "chlo.next_after"})
_NARROW = frozenset(
    {f"stablehlo.{f}" for f in "bitcast_convert composite constant reduce_precision rng".split()}
    | {f"stablehlo.{f}" for f in "send recv infeed outfeed async_start async_done".split()}
    | {"func.call", "chlo.next_after"}
)
_WIDE_DIALECTS = ("stablehlo", "chlo", "sdy")
# Attributes that name an element type or ask for less than full precision.
_OF_PRECISION = frozenset({"algorithm", "precision_config", "result_accuracy"})
_WIDE_TARGETS = re.compile(
    "Sharding|SPMDFullToShardShape|SPMDShardToFullShape|annotate_device_placement|"
    r"LayoutConstraint|xla\.sdy\..*|mhlo\.topk|(cusolver|cublas|hipsolver|hipblas)_.*_ffi"
)
_LAPACK = re.compile(r"(lapack|blas)_([sc])(\w+_ffi)")
_DOUBLE = {"s": "d", "c": "z"}
# Larger constants are widened when the program runs, so that they are not kept twice.
_FOLDED_SIZE = 1024


def widen(program: Program) -> Program:
    """The float64 reference of a program.

    Inputs keep their types and are converted on entry; outputs are f64 where they were real and
    complex<f64> where they were complex. No argument is donated.
    """
    graph = program.graph
    builder = _Builder(graph.inputs)
    outputs = builder.copy(graph, entry=True)
    donors = tuple(
        tuple(pair for pair in pairs if pair[0] not in DONATION_ATTRIBUTES)
        for pairs in program.argument_attributes
    )
    return replace(program, graph=builder.finish(outputs), argument_attributes=donors)


@cache
def wide(type: Type) -> Type:
    """The type of a value in the widened program."""
    if isinstance(type, TupleType):
        return TupleType(tuple(map(wide, type.elements)))
    if not isinstance(type, TensorType):
        return type
    if is_complex(type.dtype):
        return type.with_dtype("complex<f64>")
    return type.with_dtype("f64") if is_float(type.dtype) else type


def _widen_region(graph: Graph) -> Graph:
    """A region all of whose inputs and outputs are wide."""
    builder = _Builder(tuple(map(wide, graph.inputs)))
    return builder.finish(builder.copy(graph, entry=False))


class _Builder:
    """The widened graph under construction."""

    def __init__(self, inputs: tuple[Type, ...]) -> None:
        self._inputs = inputs
        self._nodes: list[Node] = []
        self._index: dict[Node, int] = {}
        self._effects: list[int] = []

    def finish(self, outputs: Sequence[int]) -> Graph:
        """The graph with these outputs."""
        nodes, effects = tuple(self._nodes), tuple(self._effects)
        return prune(Graph(self._inputs, nodes, tuple(outputs), effects))

    def copy(self, graph: Graph, *, entry: bool) -> list[int]:
        """Add the nodes of a graph, widened; return its outputs."""
        new: list[int] = []
        effects = set(graph.effects)
        for index, node in enumerate(graph.nodes):
            operands = [new[i] for i in node.operands]
            if node.op == "parameter":
                new.append(self._parameter(node, entry))
            elif node.op == "get_result":
                new.append(self._get_result(node, operands[0]))
            elif _is_narrow(node):
                originals = [graph.nodes[i].type for i in node.operands]
                new.append(self._narrow(node, operands, originals))
            else:
                new.append(self._wide(node, operands))
            if index in effects:
                self._effects.append(self._operation(new[-1]))
        return [new[i] for i in graph.outputs]

    def _append(self, op: str, attributes: Attributes, operands: Sequence[int], type: Type) -> int:
        node = Node(op, attributes, tuple(operands), type)
        index = self._index.get(node)
        if index is None:
            index = self._index[node] = len(self._nodes)
            self._nodes.append(node)
        return index

    def _convert(self, index: int, type: Type) -> int:
        """A node with the elements of `type`, which has the node's shape."""
        if self._nodes[index].type == type or not isinstance(type, TensorType):
            return index
        return self._append("unary", (("convert", type.dtype),), (index,), type)

    def _parameter(self, node: Node, entry: bool) -> int:
        if not entry:
            return self._append(node.op, node.attributes, (), wide(node.type))
        return self._convert(self._append(node.op, node.attributes, (), node.type), wide(node.type))

    def _get_result(self, node: Node, source: int) -> int:
        type = self._nodes[source].type
        assert isinstance(type, TupleType)
        element = type.elements[node.attributes[0]]  # type: ignore[call-overload]
        selected = self._append(node.op, node.attributes, (source,), element)
        return self._convert(selected, wide(element))

    def _narrow(self, node: Node, operands: Sequence[int], originals: Sequence[Type]) -> int:
        """The operation in its original precision, between conversions."""
        inputs = map(self._convert, operands, originals)
        result = self._append(node.op, node.attributes, tuple(inputs), node.type)
        return self._convert(result, wide(node.type))

    def _operation(self, index: int) -> int:
        """The operation that a node converts the result of, or the node itself."""
        node = self._nodes[index]
        return index if generic_of(node) is not None else node.operands[0]

    def _wide(self, node: Node, operands: list[int]) -> int:
        type = wide(node.type)
        if node.op == "constant":
            return self._constant(node, type)
        if node.op == "unary" and node.attributes[0][0] == "convert":  # type: ignore[index]
            return self._convert(operands[0], type)
        attributes = _WIDE_ATTRIBUTES.get(node.op, _same)(node.attributes, type)
        if node.op in _CONTRACTIONS and isinstance(type, TensorType):
            operands = [self._with_dtype(index, type.dtype) for index in operands]
        generic = generic_of(node)
        if generic is not None:
            attributes = (_wide_generic(node.op, generic),)
        return self._append(node.op, attributes, operands, type)

    def _with_dtype(self, index: int, dtype: str) -> int:
        """An operand of a contraction; integers with a real result are converted first."""
        type = self._nodes[index].type
        if not isinstance(type, TensorType) or not (is_float(dtype) or is_complex(dtype)):
            return index
        return self._convert(index, type.with_dtype(dtype))

    def _constant(self, node: Node, type: Type) -> int:
        literal: Any = node.attributes[0]
        assert isinstance(type, TensorType)
        if literal.type == type or literal.data.size > _FOLDED_SIZE:
            return self._convert(self._append("constant", (literal,), (), literal.type), type)
        values = literal.data.astype(numpy_dtype(type.dtype))
        folded = Literal(values, type.shape) if literal.is_splat else Literal(values)
        return self._append("constant", (folded,), (), type)


def _same(attributes: Attributes, type: Type) -> Attributes:
    return attributes


def _with_result_dtype(attributes: Attributes, type: Any) -> Attributes:
    """For contractions: full precision, the algorithm of the result's type."""
    if not is_float(type.dtype) and not is_complex(type.dtype):
        return attributes
    return (*attributes[:-2], Precision(), type.dtype)


def _with_result_dtype_last(attributes: Attributes, type: Any) -> Attributes:
    return (*attributes[:-1], type.dtype)


_CONTRACTIONS = ("dot_general", "blocked_dot", "convolution")
_WIDE_ATTRIBUTES: dict[str, Callable[[Attributes, Any], Attributes]] = {
    "dot_general": _with_result_dtype,
    "blocked_dot": _with_result_dtype_last,
    "convolution": _with_result_dtype,
    "iota": lambda attributes, type: (attributes[0], type),
}


def _is_narrow(node: Node) -> bool:
    """Whether an operation must run in its original precision."""
    generic = generic_of(node)
    if generic is None:
        f: Any = node.attributes[0] if node.attributes else ""
        return node.op in ("unary", "binary") and (f if isinstance(f, str) else f[0]) in _OF_BITS
    if node.op == "stablehlo.custom_call":
        target = _target(generic)
        return not (_WIDE_TARGETS.fullmatch(target) or _LAPACK.fullmatch(target))
    return node.op in _NARROW or not node.op.startswith(_WIDE_DIALECTS)


def _target(generic: Generic) -> str:
    return dict(generic.attributes).get("call_target_name", "").strip('"')


def _wide_generic(op: str, generic: Generic) -> Generic:
    attributes = generic.attributes
    if op == "stablehlo.custom_call":
        attributes = tuple(map(_wide_target, attributes))
    kept = tuple(pair for pair in attributes if pair[0] not in _OF_PRECISION)
    regions = tuple(map(_widen_region, generic.regions))
    return generic._replace(attributes=kept, regions=regions)


def _wide_target(pair: tuple[str, str]) -> tuple[str, str]:
    """LAPACK routines say their precision in their names: s and d, c and z."""
    name, text = pair
    found = _LAPACK.fullmatch(text.strip('"')) if name == "call_target_name" else None
    if found is None:
        return pair
    library, precision, routine = found.groups()
    return name, f'"{library}_{_DOUBLE[precision]}{routine}"'
