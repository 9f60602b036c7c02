"""What a module's symbols are, which of them operations refer to, and which have effects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from jax.extend.mlir import ir

from saturax.errors import ImportFailure

DIALECTS = frozenset({"stablehlo", "chlo", "sdy", "mpmd", "mhlo", "vhlo", "func"})
"""Dialects of which operations may be part of a program."""

_PURE_DIALECTS = frozenset({"stablehlo", "chlo", "sdy"})
_EFFECTFUL = frozenset(
    f"stablehlo.{name}"
    for name in "send recv infeed outfeed rng all_gather all_reduce all_to_all reduce_scatter "
    "collective_broadcast collective_permute cross-replica-sum async_start async_done".split()
)
# Calls back into Python, also those that the user promised to be pure: they are run by JAX alone.
_CALLBACK = "_python_"
_SYMBOL = re.compile(r'@(?:"([^"]+)"|([\w$.-]+))')


class Symbols:
    """The functions and other symbols of a module."""

    def __init__(self, module: ir.Module) -> None:
        self.functions: dict[str, ir.Operation] = {}
        self._others: list[ir.Operation] = []
        self._referenced: dict[str, None] = {}
        for view in module.body.operations:
            operation = view.operation
            expect_known_dialect(operation)
            if operation.name == "func.func":
                self.functions[symbol_name(operation)] = operation
            else:
                self._others.append(operation)

    def entry(self) -> str:
        """The name of the program's function.

        Raises:
            ImportFailure: there is no `main` and not exactly one public function.
        """
        if "main" in self.functions:
            return "main"
        public = [name for name, function in self.functions.items() if _is_public(function)]
        if len(public) != 1:
            raise ImportFailure(
                "expected a function `main` or exactly one public function, found "
                f"{', '.join(public) or 'none'}; rename the entry function to `main`"
            )
        return public[0]

    def refer(self, text: str) -> None:
        """Note that a kept attribute refers to the symbols that its text names."""
        self._referenced.update(dict.fromkeys(_names(text)))

    def texts(self) -> tuple[str, ...]:
        """MLIR text of all functions that are referred to, and of everything else."""
        found = [str(operation.get_asm()) for operation in self._others]
        pending = list(self._referenced)
        done: set[str] = set()
        while pending:
            name = pending.pop()
            if name in self.functions and name not in done:
                done.add(name)
                found.append(str(self.functions[name].get_asm()))
                pending.extend(_names(found[-1]))
        return tuple(found)

    def name_effects(self, texts: Iterable[str]) -> bool:
        """Whether a function that one of the attributes' texts names has effects."""
        names = {name for text in texts if "@" in text for name in _names(text)}
        return any(self._has_effects(name, set()) for name in names)

    def _has_effects(self, name: str, seen: set[str]) -> bool:
        if name not in self.functions or name in seen:
            return False
        seen.add(name)
        return any(
            has_own_effect(operation)
            or any(
                self._has_effects(callee, seen)
                for attribute in _symbol_attributes(operation)
                for callee in _names(str(attribute))
            )
            for operation in _operations(self.functions[name])
        )


def has_own_effect(operation: ir.Operation) -> bool:
    """Whether an operation must be executed once each time, its regions apart."""
    name = operation.name
    if name == "stablehlo.custom_call":
        effect = operation.attributes.get("has_side_effect")
        is_marked = effect is not None and ir.BoolAttr(effect).value
        return is_marked or _CALLBACK in str(operation.attributes["call_target_name"])
    return name in _EFFECTFUL or name.partition(".")[0] not in (*_PURE_DIALECTS, "func")


def symbol_name(operation: ir.Operation) -> str:
    """The `sym_name` of an operation, empty if it has none."""
    attribute = operation.attributes.get("sym_name")
    return "" if attribute is None else str(ir.StringAttr(attribute).value)


def expect_known_dialect(operation: ir.Operation) -> None:
    """Raise `ImportFailure` for an operation of a dialect that is no part of StableHLO programs."""
    if operation.name.partition(".")[0] not in DIALECTS:
        raise ImportFailure(
            f"expected operations of StableHLO, CHLO, Shardy or func, got {operation.name}; "
            "legalise the module to StableHLO first"
        )


def _is_public(function: ir.Operation) -> bool:
    visibility = function.attributes.get("sym_visibility")
    return visibility is None or bool(ir.StringAttr(visibility).value == "public")


def _names(text: str) -> Iterator[str]:
    return (quoted or plain for quoted, plain in _SYMBOL.findall(text))


def _operations(function: ir.Operation) -> list[ir.Operation]:
    found: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        found.append(operation)
        return ir.WalkResult.ADVANCE

    function.walk(visit)
    return [operation for operation in found if operation.name != "func.func"]


def _symbol_attributes(operation: ir.Operation) -> list[ir.Attribute]:
    if operation.name == "stablehlo.constant":
        return []
    return [
        value
        for _, value in operation.attributes.items()
        if isinstance(value, ir.FlatSymbolRefAttr | ir.SymbolRefAttr | ir.ArrayAttr)
    ]
