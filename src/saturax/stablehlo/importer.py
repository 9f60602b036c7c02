"""StableHLO modules to programs: calls are inlined, known operations become the table's, and all
others are carried exactly as generic nodes. Debug locations are the only thing that is dropped."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from jax.extend.mlir import ir

from saturax.errors import DynamicShapeError, ImportFailure, TypeInferenceError
from saturax.graph.build import GraphBuilder
from saturax.graph.ir import Attributes, Graph, Node, Program
from saturax.graph.literal import Literal
from saturax.graph.operation import infer
from saturax.graph.ops import PURE, Generic, identity_value
from saturax.graph.ops.reduction import REDUCERS
from saturax.graph.types import OpaqueType, TensorType, TupleType, Type, numpy_dtype
from saturax.stablehlo.attributes import (
    BINARY,
    CHLO_BINARY,
    CHLO_UNARY,
    CODECS,
    COMPARE,
    REDUCE_PRECISION,
    Codec,
    Field,
    default_comparison,
)
from saturax.stablehlo.attributes import UNARY as STABLEHLO_UNARY
from saturax.stablehlo.files import read_module
from saturax.stablehlo.literals import read_literal, read_resources

_DIALECTS = frozenset({"stablehlo", "chlo", "sdy", "mpmd", "mhlo", "vhlo", "func"})
_PURE_DIALECTS = frozenset({"stablehlo", "chlo", "sdy"})
_EFFECTFUL = frozenset(
    f"stablehlo.{name}"
    for name in "send recv infeed outfeed rng all_gather all_reduce all_to_all reduce_scatter "
    "collective_broadcast collective_permute cross-replica-sum async_start async_done".split()
)
_DYNAMIC = frozenset(
    f"stablehlo.{name}"
    for name in "dynamic_broadcast_in_dim dynamic_conv dynamic_gather dynamic_iota dynamic_pad "
    "dynamic_reshape real_dynamic_slice set_dimension_size".split()
)
_UNARY = {f"stablehlo.{f}": f for f in STABLEHLO_UNARY} | {f"chlo.{f}": f"chlo.{f}" for f in CHLO_UNARY}
_BINARY = {f"stablehlo.{f}": f for f in BINARY} | {f"chlo.{f}": f"chlo.{f}" for f in CHLO_BINARY}
_SYMBOL = re.compile(r'@(?:"([^"]+)"|([\w$.-]+))')
_OWN_FUNCTION_ATTRIBUTES = frozenset({"sym_name", "function_type", "arg_attrs", "res_attrs"})
_DEFAULT_ACCURACY = "#stablehlo.result_accuracy<mode = #stablehlo.result_accuracy_mode<DEFAULT>>"


def import_module(source: ir.Module | str | bytes) -> Program:
    """The program of a StableHLO module.

    `source` is a module, StableHLO text, MLIR bytecode, a portable artifact, or a serialised
    `jax.export.Exported`. The entry is the function `main`, else the only public function.

    Raises:
        DynamicShapeError: a dimension is not known; fix the shapes and lower again.
        ImportFailure: the source cannot be parsed, or is not a StableHLO program.
    """
    return _Importer(read_module(source)).program()


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
        self.values: dict[ir.Value, int] = {}
        self.calls: dict[tuple[str, tuple[int, ...]], list[int]] = {}
        self._parent = parent
        self._captures = {} if captures is None else captures
        self._arguments = len(arguments)

    def node(self, value: ir.Value) -> int:
        """The node that an MLIR value was imported as."""
        index = self.values.get(value)
        if index is None:
            assert self._parent is not None, f"value defined nowhere: {value}"
            outside = self._parent.node(value)
            node = self._parent.builder.nodes[outside]
            if not _is_splat(node):
                place = self._arguments + self._captures.setdefault(outside, len(self._captures))
                node = Node("parameter", (place,), (), node.type)
            index = self.values[value] = self.append(node)
        return index

    def append(self, node: Node) -> int:
        """Add a node, or find the equal one."""
        return self.builder.append(node).index

    def type(self, index: int) -> Type:
        """The type of a node of this scope."""
        return self.builder.nodes[index].type

    def finish(self, outputs: Sequence[int], captured: Iterable[Type] = ()) -> Graph:
        """The graph that returns these nodes, with parameters for what all regions captured."""
        self.builder.inputs.extend(captured)
        return self.builder.finish([self._value(index) for index in outputs])

    def _value(self, index: int) -> Any:
        return self.builder.append(self.builder.nodes[index])


class _Importer:
    """State of one import; every MLIR type and attribute is decoded once."""

    def __init__(self, module: ir.Module) -> None:
        self._module = module
        self._functions: dict[str, ir.Operation] = {}
        self._others: list[ir.Operation] = []
        self._types: dict[ir.Type, Type] = {}
        self._decoded: dict[tuple[str, ir.Attribute], Any] = {}
        self._texts: dict[ir.Attribute, str] = {}
        self._inlining: list[str] = []
        self._sequence = 0
        self._referenced: dict[str, None] = {}
        for view in module.body.operations:
            operation = view.operation
            if operation.name == "func.func":
                self._functions[_symbol_name(operation)] = operation
            elif operation.name.partition(".")[0] in _DIALECTS:
                self._others.append(operation)
            else:
                raise _foreign(operation)

    def program(self) -> Program:
        """Import the entry function and what it refers to."""
        entry = self._entry()
        function = self._functions[entry]
        block = _only_block(function)
        types = [
            self._type(argument.type, f"argument {i} of {entry}")
            for i, argument in enumerate(block.arguments)
        ]
        scope = _Scope(types)
        self._inlining.append(entry)
        outputs = self._body(block, [p.index for p in scope.builder.parameters], scope)
        attributes = self._texts_of(function)
        return Program(
            graph=scope.finish(outputs),
            name=entry,
            module_name=_symbol_name(self._module.operation),
            module_attributes=tuple(
                pair for pair in self._texts_of(self._module.operation) if pair[0] != "sym_name"
            ),
            function_attributes=tuple(
                pair for pair in attributes if pair[0] not in _OWN_FUNCTION_ATTRIBUTES
            ),
            argument_attributes=self._dictionaries(function, "arg_attrs", len(types)),
            result_attributes=self._dictionaries(function, "res_attrs", len(outputs)),
            symbols=self._symbols(),
        )

    def _entry(self) -> str:
        if "main" in self._functions:
            return "main"
        public = [
            name
            for name, function in self._functions.items()
            if "sym_visibility" not in function.attributes
            or ir.StringAttr(function.attributes["sym_visibility"]).value == "public"
        ]
        if len(public) != 1:
            raise ImportFailure(
                "expected a function `main` or exactly one public function, found "
                f"{', '.join(public) or 'none'}; rename the entry function to `main`"
            )
        return public[0]

    def _body(self, block: ir.Block, arguments: Sequence[int], scope: _Scope) -> list[int]:
        """Import the operations of a block; return what its terminator returns."""
        for argument, index in zip(block.arguments, arguments, strict=True):
            scope.values[argument] = index
        result: list[int] = []
        for view in block.operations:
            operation = view.operation
            name = operation.name
            if name.endswith(".return"):
                result = [scope.node(value) for value in operation.operands]
            else:
                self._operation(operation, name, scope)
        return result

    def _operation(self, operation: ir.Operation, name: str, scope: _Scope) -> None:
        operands = tuple([scope.node(value) for value in operation.operands])
        results = operation.results
        if name == "func.call" and len(operation.attributes) == 1:
            for value, index in zip(results, self._call(operation, operands, scope), strict=True):
                scope.values[value] = index
            return
        if len(results) == 1:
            type = self._type(results[0].type, name)
            if name == "stablehlo.constant" and isinstance(type, TensorType):
                literal = read_literal(operation, type, lambda: self._resources)
                scope.values[results[0]] = scope.append(Node("constant", (literal,), (), type))
                return
            known = self._known(operation, name, operands, type, scope)
            if known is not None:
                scope.values[results[0]] = known
                return
        self._generic(operation, name, operands, scope)

    def _known(
        self, operation: ir.Operation, name: str, operands: tuple[int, ...], type: Type, scope: _Scope
    ) -> int | None:
        """The node for an operation of the table; None if it has something that a table has not."""
        if not isinstance(type, TensorType):
            return None
        if name in _UNARY or name in _BINARY:
            if len(operation.attributes) and not _has_default_accuracy(operation.attributes):
                return None
            op = "unary" if name in _UNARY else "binary"
            f = _UNARY[name] if op == "unary" else _BINARY[name]
            return _append(scope, op, (f,), operands, type)
        reader = _READERS.get(name)
        return reader(self, operation, operands, type, scope) if reader else None

    def fields(
        self, operation: ir.Operation, fields: Sequence[Field]
    ) -> list[Any] | None:
        """The values of an operation's attributes, None if there are others than `fields`."""
        attributes = operation.attributes
        values: list[Any] = []
        absent = 0
        for field in fields:
            attribute = attributes.get(field.name)
            if attribute is None:
                absent += 1
                values.append(None)
                continue
            key = (field.name, attribute)
            if key not in self._decoded:
                self._decoded[key] = field.decode(attribute)
            values.append(self._decoded[key])
        return values if len(attributes) == len(fields) - absent else None

    def _generic(
        self, operation: ir.Operation, name: str, operands: tuple[int, ...], scope: _Scope
    ) -> None:
        dialect = name.partition(".")[0]
        if dialect not in _DIALECTS:
            raise _foreign(operation)
        if name in _DYNAMIC:
            raise _dynamic(name, "its shape is computed at run time")
        attributes = self._texts_of(operation)
        captures: dict[int, int] = {}
        regions = self._regions(operation, scope, captures)
        effectful = (
            name in _EFFECTFUL
            or dialect not in _PURE_DIALECTS
            or ("has_side_effect", "true") in attributes
            or any(region.effects for region in regions)
            or self._refer_to_effects(attributes)
        )
        sequence = self._next() if effectful else PURE
        types = tuple(self._type(result.type, name) for result in operation.results)
        node = Node(
            name,
            (Generic(attributes, regions, len(captures), sequence),),
            (*operands, *captures),
            types[0] if len(types) == 1 else TupleType(types),
        )
        index = scope.append(node)
        if effectful:
            scope.builder.effects.append(index)
        if len(types) == 1:
            scope.values[operation.results[0]] = index
            return
        for i, result in enumerate(operation.results):
            scope.values[result] = scope.append(Node("get_result", (i,), (index,), types[i]))

    def _regions(
        self, operation: ir.Operation, scope: _Scope, captures: dict[int, int]
    ) -> tuple[Graph, ...]:
        if not len(operation.regions):
            return ()
        inner: list[tuple[_Scope, list[int]]] = []
        for region in operation.regions:
            block = _only_block(operation, region)
            types = [self._type(argument.type, operation.name) for argument in block.arguments]
            child = _Scope(types, scope, captures)
            parameters = [parameter.index for parameter in child.builder.parameters]
            inner.append((child, self._body(block, parameters, child)))
        captured = [scope.type(index) for index in captures]
        return tuple(child.finish(outputs, captured) for child, outputs in inner)

    def _call(
        self, operation: ir.Operation, operands: tuple[int, ...], scope: _Scope
    ) -> list[int]:
        """Inline a call; a pure function called twice with the same arguments is read once."""
        name: str = ir.FlatSymbolRefAttr(operation.attributes["callee"]).value
        if name in self._inlining:
            chain = " → ".join([*self._inlining, name])
            raise ImportFailure(f"expected no recursion, found {chain}; rewrite it as a loop")
        known = scope.calls.get((name, operands))
        if known is not None:
            return known
        function = self._functions.get(name)
        if function is None:
            raise ImportFailure(f"call of a function that the module does not define: @{name}")
        before = self._sequence
        self._inlining.append(name)
        results = self._body(_only_block(function), operands, scope)
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
            found = self._types[type] = _read_type(type, where)
        return found

    def _texts_of(self, operation: ir.Operation) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((name, self._text(value)) for name, value in operation.attributes.items()))

    def _text(self, attribute: ir.Attribute) -> str:
        text = self._texts.get(attribute)
        if text is None:
            text = self._texts[attribute] = str(attribute)
            if "@" in text:
                names = (quoted or plain for quoted, plain in _SYMBOL.findall(text))
                self._referenced.update(dict.fromkeys(names))
        return text

    def _dictionaries(
        self, function: ir.Operation, name: str, count: int
    ) -> tuple[tuple[tuple[str, str], ...], ...]:
        if name not in function.attributes:
            return ((),) * count
        dictionaries = map(ir.DictAttr, ir.ArrayAttr(function.attributes[name]))
        return tuple(
            tuple((each[i].name, self._text(each[i].attr)) for i in range(len(each)))
            for each in dictionaries
        )

    def _refer_to_effects(self, attributes: Iterable[tuple[str, str]]) -> bool:
        """Whether a function that the attributes name, directly or not, has effects."""
        names = [a or b for _, text in attributes for a, b in _SYMBOL.findall(text)]
        return any(self._has_effects(name, set()) for name in names if name in self._functions)

    def _has_effects(self, function: str, seen: set[str]) -> bool:
        seen.add(function)
        found = False

        def visit(operation: ir.Operation) -> ir.WalkResult:
            nonlocal found
            found = found or operation.name in _EFFECTFUL
            for _, value in operation.attributes.items() if operation.name != "stablehlo.constant" else ():
                if operation.name == "func.func":
                    continue
                for quoted, plain in _SYMBOL.findall(self._text(value)):
                    name = quoted or plain
                    if name in self._functions and name not in seen:
                        found = found or self._has_effects(name, seen)
            if operation.name == "stablehlo.custom_call":
                effect = operation.attributes.get("has_side_effect")
                found = found or (effect is not None and ir.BoolAttr(effect).value)
            return ir.WalkResult.INTERRUPT if found else ir.WalkResult.ADVANCE

        self._functions[function].walk(visit)
        return found

    def _symbols(self) -> tuple[str, ...]:
        """Text of everything that operations refer to by name, and of all non-functions."""
        texts = [operation.get_asm() for operation in self._others]
        pending = [name for name in self._referenced if name in self._functions]
        done: set[str] = set()
        while pending:
            name = pending.pop()
            if name in done:
                continue
            done.add(name)
            texts.append(self._functions[name].get_asm())
            names = (quoted or plain for quoted, plain in _SYMBOL.findall(texts[-1]))
            pending.extend(other for other in names if other in self._functions)
        return tuple(texts)

    @cached_property
    def _resources(self) -> Mapping[str, bytes]:
        return read_resources(self._module)


_Reader = Callable[[_Importer, ir.Operation, tuple[int, ...], TensorType, _Scope], "int | None"]


def _append(
    scope: _Scope, op: str, attributes: Attributes, operands: tuple[int, ...], type: TensorType
) -> int | None:
    """Add an operation of the table, if the table agrees with the module about its type."""
    try:
        if infer(op, attributes, [scope.type(index) for index in operands]) != type:
            return None
    except (TypeInferenceError, AttributeError, KeyError):
        return None
    return scope.append(Node(op, attributes, operands, type))
