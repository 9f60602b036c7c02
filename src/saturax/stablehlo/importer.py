"""StableHLO modules to programs: calls are inlined, known operations become the table's, and all
others are carried exactly as generic nodes. Debug locations are the only thing that is dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from jax.extend.mlir import ir

from saturax.collector import no_garbage_collection
from saturax.errors import ImportFailure
from saturax.graph.build import GraphBuilder, Value
from saturax.graph.ir import Graph, Node, Program
from saturax.graph.ops import BARRIER, HELD, PURE, Generic
from saturax.graph.types import TensorType, TupleType, Type
from saturax.stablehlo.attributes import Field, terminator
from saturax.stablehlo.compensation import with_roundings_kept
from saturax.stablehlo.files import read_module
from saturax.stablehlo.held import is_held_call
from saturax.stablehlo.literals import read_literal, read_resources
from saturax.stablehlo.loops import LOOP, read_permutation
from saturax.stablehlo.mlir_types import dynamic_shape, read_type
from saturax.stablehlo.readers import READERS
from saturax.stablehlo.regions import read_with_region
from saturax.stablehlo.routines import CALL, read_call
from saturax.stablehlo.symbols import Symbols, expect_known_dialect, has_own_effect, symbol_name

_DYNAMIC = frozenset(
    f"stablehlo.{name}"
    for name in "dynamic_broadcast_in_dim dynamic_conv dynamic_gather dynamic_iota dynamic_pad "
    "dynamic_reshape real_dynamic_slice set_dimension_size".split()
)
_OWN_FUNCTION_ATTRIBUTES = frozenset({"sym_name", "function_type", "arg_attrs", "res_attrs"})

TextPairs = tuple[tuple[str, str], ...]


def import_module(source: ir.Module | str | bytes, *, recognize_loops: bool = True) -> Program:
    """The program of a StableHLO module.

    `source` is a module, StableHLO text, MLIR bytecode, a portable artifact, or a serialised
    `jax.export.Exported`. The entry is the function `main`, else the only public function.
    With `recognize_loops`, loops that are operations of the table become those.

    Raises:
        DynamicShapeError: a dimension is not known; fix the shapes and lower again.
        ImportFailure: the source cannot be parsed, or is not a StableHLO program.
    """
    module = read_module(source)
    # Of what is made all is kept, and collections that so many new objects set off go through all
    # of JAX's: 0.1 s for ResNet-50.
    with module.context, no_garbage_collection():
        return _Importer(module, recognize_loops).program()


class _Scope:
    """A graph under construction, for a function body or a region.

    Values of the enclosing scope become parameters after the region's `arguments` when they are
    first used; `captures` maps their nodes outside to their places, for all regions of one
    operation. Constants of one element are repeated inside instead, where rules see them.
    """

    def __init__(
        self,
        arguments: Sequence[Type],
        parent: _Scope | None = None,
        captures: dict[int, int] | None = None,
    ) -> None:
        self.builder = GraphBuilder(tuple(arguments), exact=True)
        self.values: dict[ir.Value[Any], int] = {}
        self.calls: dict[tuple[str, tuple[int, ...]], list[int]] = {}
        self._parent = parent
        self._captures = {} if captures is None else captures
        self._arguments = len(arguments)

    def node(self, value: ir.Value[Any]) -> int:
        """The node that an MLIR value was imported as."""
        index = self.values.get(value)
        if index is None:
            assert self._parent is not None, f"value defined nowhere: {value}"
            outside = self._parent.node(value)
            node = self._parent.builder.nodes[outside]
            if node.op != "constant" or not node.attributes[0].is_splat:  # type: ignore[attr-defined]
                place = self._arguments + self._captures.setdefault(outside, len(self._captures))
                node = Node("parameter", (place,), (), node.type)
            index = self.values[value] = self.append(node)
        return index

    def append(self, node: Node) -> int:
        """Add a node, or find the equal one."""
        return self.builder.append(node).index

    def finish(self, outputs: Sequence[int], captured: Iterable[Type] = ()) -> Graph:
        """The graph that returns these nodes, with parameters for what all regions captured."""
        builder = self.builder
        builder.inputs.extend(captured)
        found = builder.finish([Value(builder, i, builder.nodes[i].type) for i in outputs])
        return with_roundings_kept(found)


class _Site:
    """Where a reader finds attributes and adds nodes; every MLIR attribute is decoded once."""

    def __init__(self, scope: _Scope, decoded: dict[tuple[str, ir.Attribute], Any]) -> None:
        self._nodes = scope.builder.nodes
        self._decoded = decoded
        self.append = scope.append
        self.node_at = self._nodes.__getitem__

    def fields(self, operation: ir.Operation, fields: Sequence[Field]) -> list[Any] | None:
        """Values of the attributes, None for absent ones; None if the operation has others."""
        attributes = operation.attributes
        values: list[Any] = []
        present = 0
        for name, decode, _ in fields:
            attribute = attributes.get(name)
            if attribute is None:
                values.append(None)
                continue
            present += 1
            key = (name, attribute)
            if key not in self._decoded:
                self._decoded[key] = decode(attribute)
            values.append(self._decoded[key])
        return values if len(attributes) == present else None


class _Importer:
    """State of one import."""

    def __init__(self, module: ir.Module, recognize_loops: bool) -> None:
        self._module = module
        self._recognize_loops = recognize_loops
        self._symbols = Symbols(module)
        self._types: dict[ir.Type, Type] = {}
        self._decoded: dict[tuple[str, ir.Attribute], Any] = {}
        self._texts: dict[ir.Attribute, str] = {}
        self._inlining: list[str] = []
        self._sequence = 0

    def program(self) -> Program:
        """Import the entry function and what it refers to."""
        entry = self._symbols.entry()
        function = self._symbols.functions[entry]
        block = _only_block(function, function.regions[0])
        scope = _Scope(self._argument_types(block, f"@{entry}"))
        self._inlining.append(entry)
        outputs = self._body(block, _arguments(scope), scope, "func.return")
        module = self._module.operation
        return Program(
            graph=scope.finish(outputs),
            name=entry,
            module_name=symbol_name(module),
            module_attributes=self._pairs(module, without=frozenset({"sym_name"})),
            function_attributes=self._pairs(function, without=_OWN_FUNCTION_ATTRIBUTES),
            argument_attributes=self._dictionaries(function, "arg_attrs", len(block.arguments)),
            result_attributes=self._dictionaries(function, "res_attrs", len(outputs)),
            symbols=self._symbols.texts(),
        )

    def _body(
        self, block: ir.Block, arguments: Sequence[int], scope: _Scope, end: str
    ) -> list[int]:
        """Import the operations of a block; return what its terminator, an `end`, returns."""
        for argument, index in zip(block.arguments, arguments, strict=True):
            scope.values[argument] = index
        site = _Site(scope, self._decoded)
        for view in block.operations:
            operation = view.operation
            name = operation.name
            if name == end:
                return [scope.node(value) for value in operation.operands]
            self._operation(operation, name, scope, site)
        raise ImportFailure(f"expected a body that ends in {end}, but it ends in {name}")

    def _operation(self, operation: ir.Operation, name: str, scope: _Scope, site: _Site) -> None:
        operands = tuple([scope.node(value) for value in operation.operands])
        results = operation.results
        if name == "func.call" and len(operation.attributes) == 1:
            for value, called in zip(results, self._call(operation, operands, scope), strict=True):
                scope.values[value] = called
            return
        types = [self._type(result.type, name) for result in results]
        if is_held_call(operation):
            scope.values[results[0]] = scope.append(Node(BARRIER, (HELD,), operands, types[0]))
            return
        index: int | None = None
        if len(types) == 1 and isinstance(types[0], TensorType):
            if name == "stablehlo.constant":
                literal = read_literal(operation, types[0], lambda: self._resources)
                index = scope.append(Node("constant", (literal,), (), types[0]))
            elif name in READERS:
                index = READERS[name](site, operation, operands, types[0])
        if name == CALL and index is None:
            index = self._routine(operation, operands, types, scope)
        if index is None:
            index = self._generic(operation, operands, types, scope, site)
        if len(types) == 1:
            scope.values[results[0]] = index
            return
        for i, (result, type) in enumerate(zip(results, types, strict=True)):
            node = Node("get_result", (i,), (index,), type)
            if name == LOOP and self._recognize_loops:
                node = read_permutation(scope.builder.nodes, node) or node
            scope.values[result] = scope.append(node)

    def _routine(
        self, operation: ir.Operation, operands: tuple[int, ...], types: list[Type], scope: _Scope
    ) -> int | None:
        """A call of a library routine that the table knows."""
        type = types[0] if len(types) == 1 else TupleType(tuple(types))
        operand_types = tuple(scope.builder.nodes[index].type for index in operands)
        found = read_call(self._pairs(operation), operand_types, type)
        return None if found is None else scope.append(Node(*found, operands, type))

    def _generic(
        self,
        operation: ir.Operation,
        operands: tuple[int, ...],
        types: list[Type],
        scope: _Scope,
        site: _Site,
    ) -> int:
        name = operation.name
        expect_known_dialect(operation)
        if name in _DYNAMIC:
            raise dynamic_shape(name, "its shape is computed at run time")
        attributes = self._pairs(operation)
        captures: dict[int, int] = {}
        regions = self._regions(operation, scope, captures)
        effectful = (
            has_own_effect(operation)
            or name == "func.call"
            or any(region.effects for region in regions)
            or self._symbols.name_effects(text for _, text in attributes)
        )
        type = types[0] if len(types) == 1 else TupleType(tuple(types))
        if not effectful and not captures:
            known = read_with_region(site, operation, regions, operands, type)
            if known is not None:
                return known
        node = Node(
            name,
            (Generic(attributes, regions, len(captures), self._next() if effectful else PURE),),
            (*operands, *captures),
            type,
        )
        index = scope.append(node)
        if effectful:
            scope.builder.effects.append(index)
        return index

    def _regions(
        self, operation: ir.Operation, scope: _Scope, captures: dict[int, int]
    ) -> tuple[Graph, ...]:
        inner: list[tuple[_Scope, list[int]]] = []
        end = terminator(operation.name)
        for region in operation.regions:
            block = _only_block(operation, region)
            child = _Scope(self._argument_types(block, operation.name), scope, captures)
            inner.append((child, self._body(block, _arguments(child), child, end)))
        captured = [scope.builder.nodes[index].type for index in captures]
        return tuple(child.finish(outputs, captured) for child, outputs in inner)

    def _call(self, operation: ir.Operation, operands: tuple[int, ...], scope: _Scope) -> list[int]:
        """Inline a call; a pure function called twice with the same arguments is read once."""
        name: str = ir.FlatSymbolRefAttr(operation.attributes["callee"]).value
        if name in self._inlining:
            chain = " → ".join([*self._inlining, name])
            raise ImportFailure(f"expected no recursion, found {chain}; rewrite it as a loop")
        known = scope.calls.get((name, operands))
        if known is not None:
            return known
        function = self._symbols.functions[name]
        before = self._sequence
        self._inlining.append(name)
        block = _only_block(function, function.regions[0])
        results = self._body(block, operands, scope, "func.return")
        self._inlining.pop()
        if self._sequence == before:
            scope.calls[name, operands] = results
        return results

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    def _type(self, type: ir.Type, where: str) -> Type:
        found = self._types.get(type)
        if found is None:
            found = self._types[type] = read_type(type, where)
        return found

    def _argument_types(self, block: ir.Block, where: str) -> list[Type]:
        return [
            self._type(argument.type, f"{where}, argument {i}")
            for i, argument in enumerate(block.arguments)
        ]

    def _pairs(self, operation: ir.Operation, without: frozenset[str] = frozenset()) -> TextPairs:
        items = operation.attributes.items()
        return tuple(sorted((name, self._text(a)) for name, a in items if name not in without))

    def _text(self, attribute: ir.Attribute) -> str:
        text = self._texts.get(attribute)
        if text is None:
            text = self._texts[attribute] = str(attribute)
            if "@" in text:
                self._symbols.refer(text)
        return text

    def _dictionaries(self, function: ir.Operation, name: str, count: int) -> tuple[TextPairs, ...]:
        if name not in function.attributes:
            return ((),) * count
        dictionaries = map(ir.DictAttr, ir.ArrayAttr(function.attributes[name]))
        return tuple(
            tuple((each[i].name, self._text(each[i].attr)) for i in range(len(each)))
            for each in dictionaries
        )

    @cached_property
    def _resources(self) -> Mapping[str, bytes]:
        return read_resources(self._module)


def _arguments(scope: _Scope) -> list[int]:
    return [parameter.index for parameter in scope.builder.parameters]


def _only_block(operation: ir.Operation, region: ir.Region) -> ir.Block:
    blocks = list(region.blocks)
    if len(blocks) != 1:
        raise ImportFailure(
            f"expected one block in each region of {operation.name}, found {len(blocks)}; "
            "inline external functions and structure the control flow first"
        )
    return blocks[0]
