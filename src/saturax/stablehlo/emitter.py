"""Programs to StableHLO modules, verified by MLIR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from jax.extend.mlir import ir

from saturax.errors import SaturaxError
from saturax.graph.build import prune, result_types
from saturax.graph.ir import Graph, Node, Program
from saturax.graph.literal import Literal
from saturax.graph.ops import HELD, Generic, identity_value, is_held
from saturax.graph.types import TensorType, TupleType, Type
from saturax.mlir_modules import mlir_context
from saturax.stablehlo.attributes import (
    CODECS,
    COMPARE,
    REDUCE_PRECISION,
    REGION_CODECS,
    Field,
    terminator,
)
from saturax.stablehlo.blocked_dot import blocked_dot_as_reduction
from saturax.stablehlo.held import HELD_PREFIX, held_function
from saturax.stablehlo.literals import write_literal
from saturax.stablehlo.loops import permutation_loop
from saturax.stablehlo.mlir_types import write_type
from saturax.stablehlo.regions import MLIR_NAMES, body_of, extra_operands
from saturax.stablehlo.routines import CALL, FORMS, write_call

Attributes = dict[str, ir.Attribute]
Values: TypeAlias = "Sequence[ir.Value[Any]]"


def emit_module(program: Program) -> ir.Module:
    """The StableHLO module of a program, in a context of its own.

    Raises:
        SaturaxError: MLIR rejects the module; the message holds MLIR's own.
    """
    with mlir_context(), ir.Location.unknown():
        try:
            module = _Emitter().module(program)
            module.operation.verify()
        except (ir.MLIRError, ValueError) as error:
            raise SaturaxError(
                f"expected a valid StableHLO module from program {program.module_name!r}, but MLIR "
                f"says: {error}; this is a bug in saturax or in a rule, please report it"
            ) from error
        return module


class _Emitter:
    """State of one emission: types and attributes of the current context are made once."""

    def __init__(self) -> None:
        self._types: dict[Type, ir.Type] = {}
        self._texts: dict[str, ir.Attribute] = {}
        self._literals: dict[Literal, ir.Attribute] = {}
        self._encoded: dict[Any, tuple[str, Attributes]] = {}
        self._location = ir.Location.unknown()
        self._held: dict[Type, str] = {}  # names of functions, by the type of what they return
        self._symbols = 0

    def module(self, program: Program) -> ir.Module:
        """A module with the program's function first and its symbols after it."""
        module = ir.Module.parse("\n".join(program.symbols))
        self._symbols = sum(text.count(HELD_PREFIX) for text in program.symbols)
        attributes = module.operation.attributes
        if program.module_name:
            attributes["sym_name"] = ir.StringAttr.get(program.module_name)
        for name, text in program.module_attributes:
            attributes[name] = self._text(text)
        graph = prune(program.graph)
        function = ir.Operation.create(
            "func.func",
            attributes=self._function_attributes(program),
            regions=1,
            ip=ir.InsertionPoint.at_block_begin(module.body),
        )
        block = function.regions[0].blocks.append(*map(self._type, graph.inputs))
        self._body(graph, block, list(block.arguments), "func.return")
        for type, name in self._held.items():
            module.body.append(ir.Operation.parse(held_function(name, str(self._type(type)))))
        return module

    def _function_attributes(self, program: Program) -> Attributes:
        graph = program.graph
        inputs, outputs = map(self._type, graph.inputs), map(self._type, graph.output_types)
        attributes = {
            "sym_name": ir.StringAttr.get(program.name),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get(list(inputs), list(outputs))),
        }
        for name, dictionaries in (
            ("arg_attrs", program.argument_attributes),
            ("res_attrs", program.result_attributes),
        ):
            if any(dictionaries):
                attributes[name] = ir.ArrayAttr.get(
                    [ir.DictAttr.get(self._attributes(pairs)) for pairs in dictionaries]
                )
        return attributes | self._attributes(program.function_attributes)

    def _body(self, graph: Graph, block: ir.Block, arguments: Values, end: str) -> None:
        """Emit a graph into a block; `arguments` are the values of all inputs."""
        point = ir.InsertionPoint(block)
        self._create(end, (), self._values(graph, arguments, point), {}, point)

    def _values(self, graph: Graph, arguments: Values, point: ir.InsertionPoint) -> Values:
        """Emit a graph's operations; return its outputs."""
        nodes = graph.nodes
        values: list[Values] = [()] * len(nodes)
        joined = graph.joined_concatenations()
        for index in schedule(graph):
            op, attributes, operands, _ = node = nodes[index]
            if op == "parameter":
                values[index] = (arguments[attributes[0]],)  # type: ignore[call-overload]
            elif op == "get_result":
                values[index] = (values[operands[0]][attributes[0]],)  # type: ignore[call-overload]
            elif index in joined:
                continue
            elif op == "concatenate":
                inputs = [values[i][0] for i in _flattened(nodes, joined, index)]
                values[index] = self._known(node, inputs, point)
            else:
                inputs = [values[i][0] for i in operands]
                generic = attributes[0] if attributes else None
                if is_held(node):
                    values[index] = self._call_held(node, inputs, point)
                elif isinstance(generic, Generic):
                    values[index] = self._generic(node, generic, inputs, point)
                elif op in ("reduce", "reduce_window"):
                    values[index] = self._reduction(node, inputs, point)
                elif op == "blocked_dot":
                    types: Any = [nodes[i].type for i in operands]
                    written = blocked_dot_as_reduction(attributes, types)
                    values[index] = self._values(written, inputs, point)
                elif op in MLIR_NAMES:
                    values[index] = self._with_body(graph, node, inputs, point)
                elif op in FORMS:
                    types = tuple(nodes[i].type for i in operands)
                    values[index] = self._routine(node, types, inputs, point)
                else:
                    values[index] = self._known(node, inputs, point)
        return [values[index][0] for index in graph.outputs]

    def _create(
        self,
        name: str,
        types: Sequence[Type],
        operands: Values,
        attributes: Attributes,
        point: ir.InsertionPoint,
        regions: int = 0,
    ) -> ir.Operation:
        results = [self._type(type) for type in types]
        return ir.Operation.create(
            name, results, operands, attributes, None, regions, self._location, point
        )

    def _known(self, node: Node, operands: Values, point: Any) -> Values:
        """An operation of the table without a region."""
        if node.op == "constant":
            name, attributes = "stablehlo.constant", {"value": self._literal(node.attributes[0])}
        else:
            key = (node.op, node.attributes)
            found = self._encoded.get(key)
            if found is None:
                found = self._encoded[key] = _encode(node)
            name, attributes = found
        return self._create(name, (node.type,), operands, attributes, point).results

    def _reduction(self, node: Node, operands: Values, point: ir.InsertionPoint) -> Values:
        """A reduction with its initial value and its body."""
        f: Any = node.attributes[0]
        assert isinstance(node.type, TensorType)
        scalar = TensorType((), node.type.dtype)
        initial = Literal(np.asarray(identity_value(f, node.type.dtype)))
        attribute = {"value": self._literal(initial)}
        start = self._create("stablehlo.constant", (scalar,), (), attribute, point).results[0]
        name, attributes = _encode(node)
        operation = self._create(name, (node.type,), [*operands, start], attributes, point, 1)
        block = operation.regions[0].blocks.append(self._type(scalar), self._type(scalar))
        inner = ir.InsertionPoint(block)
        body = self._create(f"stablehlo.{f}", (scalar,), list(block.arguments), {}, inner)
        self._create("stablehlo.return", (), list(body.results), {}, inner)
        return operation.results

    def _with_body(self, graph: Graph, node: Node, operands: Values, point: Any) -> Values:
        """An operation whose body the table names, or with several results."""
        codec = REGION_CODECS[node.op]
        attributes = _encode_fields(codec.fields, codec.unpack(node.attributes))
        types = [graph.nodes[i].type for i in node.operands]
        extra = [self._known(leaf, (), point)[0] for leaf in extra_operands(node, types)]
        body = body_of(node, types)
        name, results = MLIR_NAMES[node.op], result_types(node.type)
        inputs = [*operands, *extra]
        operation = self._create(name, results, inputs, attributes, point, int(body is not None))
        if body is not None:
            block = operation.regions[0].blocks.append(*map(self._type, body.inputs))
            self._body(body, block, list(block.arguments), "stablehlo.return")
        return operation.results

    def _routine(self, node: Node, types: Any, operands: Values, point: Any) -> Values:
        """An operation of linear algebra: StableHLO's own, JAX's loop, or a call of a library."""
        routine: Any = node.attributes[-1]
        if routine.library:
            attributes = self._attributes(write_call(node.op, node.attributes, types, node.type))
            return self._create(CALL, result_types(node.type), operands, attributes, point).results
        if node.op == "lu_permutation":
            size: Any = node.attributes[0]
            return self._values(permutation_loop(types[0], size), operands, point)
        return self._known(node, operands, point)

    def _generic(
        self,
        node: Node,
        generic: Generic,
        operands: Values,
        point: ir.InsertionPoint,
    ) -> Values:
        types = node.type.elements if isinstance(node.type, TupleType) else (node.type,)
        count = len(operands) - generic.captures
        attributes = self._attributes(generic.attributes)
        regions = len(generic.regions)
        operation = self._create(node.op, types, operands[:count], attributes, point, regions)
        captured = operands[count:]
        for region, graph in zip(operation.regions, generic.regions, strict=True):
            own = graph.inputs[: len(graph.inputs) - generic.captures]
            block = region.blocks.append(*map(self._type, own))
            self._body(prune(graph), block, [*block.arguments, *captured], terminator(node.op))
        return operation.results

    def _call_held(self, node: Node, operands: Values, point: ir.InsertionPoint) -> Values:
        """A call of a function that returns its operand, which the compiler must not inline."""
        if node.type not in self._held:
            self._held[node.type] = f"{HELD_PREFIX}{len(self._held) + self._symbols}"
        callee = {"callee": ir.FlatSymbolRefAttr.get(self._held[node.type])}
        attributes = callee | self._attributes(HELD.attributes)
        return self._create("func.call", (node.type,), operands, attributes, point).results

    def _type(self, type: Type) -> ir.Type:
        found = self._types.get(type)
        if found is None:
            found = self._types[type] = write_type(type)
        return found

    def _text(self, text: str) -> ir.Attribute:
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = ir.Attribute.parse(text)
        return found

    def _attributes(self, pairs: Sequence[tuple[str, str]]) -> Attributes:
        return {name: self._text(text) for name, text in pairs}

    def _literal(self, literal: Any) -> ir.Attribute:
        found = self._literals.get(literal)
        if found is None:
            element = self._type(TensorType((), literal.type.dtype))
            found = write_literal(literal, ir.RankedTensorType(element).element_type)
            self._literals[literal] = found
        return found


def schedule(graph: Graph) -> Sequence[int]:
    """An order of the nodes in which operands come first and effects come in their order.

    Raises:
        SaturaxError: an effect needs the result of a later one.
    """
    effects = graph.effects
    if list(effects) == sorted(effects):
        return range(len(graph.nodes))
    done: dict[int, None] = {}
    for target in (*effects, *range(len(graph.nodes))):
        if target in done:
            continue
        needed = _needed(graph, target, done)
        if any(index in effects and index != target for index in needed):
            raise SaturaxError(
                f"expected effects in an order that their operands allow, got {effects}; "
                "list the effects of a graph in program order"
            )
        done.update(dict.fromkeys(needed))
    return list(done)


def _needed(graph: Graph, target: int, done: dict[int, None]) -> list[int]:
    """The nodes that `target` needs, itself included and `done` excluded, operands first."""
    found = {target}
    for index in range(target, -1, -1):
        if index in found:
            found.update(i for i in graph.nodes[index].operands if i not in done)
    return sorted(found)


def _flattened(nodes: Sequence[Node], joined: frozenset[int], index: int) -> list[int]:
    """The operands of a concatenation after those of the ones that it takes the place of."""
    found: list[int] = []
    pending = [index]
    while pending:
        current = pending.pop()
        if current == index or current in joined:
            pending.extend(reversed(nodes[current].operands))
        else:
            found.append(current)
    return found


def _encode(node: Node) -> tuple[str, Attributes]:
    """The MLIR name and attributes of an operation of the table."""
    if node.op in ("unary", "binary", "ternary"):
        return _encode_elementwise(node.attributes[0])
    codec = CODECS[node.op]
    return f"stablehlo.{node.op}", _encode_fields(codec.fields, codec.unpack(node.attributes))


def _encode_elementwise(f: Any) -> tuple[str, Attributes]:
    name, *values = (f,) if isinstance(f, str) else f
    full_name = name if name.startswith("chlo.") else f"stablehlo.{name}"
    if name == "compare":
        return full_name, _encode_fields(COMPARE, values)
    if name == "reduce_precision":
        return full_name, _encode_fields(REDUCE_PRECISION, values)
    return full_name, {}


def _encode_fields(fields: Sequence[Field], values: Sequence[Any]) -> Attributes:
    encoded = {field.name: field.encode(value) for field, value in zip(fields, values, strict=True)}
    return {name: attribute for name, attribute in encoded.items() if attribute is not None}
