"""StableHLO modules in MLIR: read, written, and asked for what they take, return and call."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
from jax.extend import mlir as jax_mlir
from jax.extend.mlir import ir
from jax.extend.mlir.passmanager import PassManager

from saturax.errors import SaturaxError
from saturax.graph.types import TensorType

ModuleSource = str | bytes | ir.Module
"""StableHLO as text, as MLIR bytecode, as a portable artifact, or as a parsed module."""
_PORTABLE_ARTIFACT_MARK = b"StableHLO_v"
_BYTECODE_MAGIC = b"ML\xefR"
# How a function argument says that its buffer may be reused for a result.
DONATION_ATTRIBUTES = ("tf.aliasing_output", "jax.buffer_donor")


class ModuleError(SaturaxError):
    """A module that cannot be parsed, compiled or called in the way that was asked."""


@dataclass(frozen=True)
class Signature:
    """What the public function `main` of a module takes and returns.

    `donated` lists the arguments whose buffers a call would consume.
    """

    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    donated: tuple[int, ...]


def mlir_context() -> ir.Context:
    """A fresh MLIR context with every dialect that JAX emits.

    A trivial lowering is the one public way to a context that is registered completely. It is
    traced and counted like a user's, which JAX's own function is not.
    """
    try:
        from jax._src.interpreters.mlir import make_ir_context
    except ImportError:
        return _context_of_a_lowering()
    return make_ir_context()


def _context_of_a_lowering() -> ir.Context:
    module: Any = jax.jit(lambda: ()).lower().compiler_ir("stablehlo")
    context: ir.Context = module.context
    return context


def parse_module(source: ModuleSource) -> ir.Module:
    """Parse any spelling of a StableHLO module into a context of its own.

    Raises:
        ModuleError: the source is not a StableHLO module that this jaxlib can read.
    """
    if isinstance(source, ir.Module):
        return source
    context = mlir_context()
    try:
        return _parsed(source, context)
    except (ir.MLIRError, ValueError, RuntimeError) as error:
        raise ModuleError(
            "expected a StableHLO module as text, bytecode or portable artifact, but this jaxlib "
            f"could not read it: {first_lines(error)}"
        ) from error


def _parsed(source: str | bytes, context: ir.Context) -> ir.Module:
    if isinstance(source, bytes) and _is_portable_artifact(source):
        module: ir.Module = jax_mlir.deserialize_portable_artifact(source, context)
        return module
    with context:
        return ir.Module.parse(source)


def module_bytecode(module: ir.Module) -> bytes:
    """The module as MLIR bytecode, which `compile_module` and `parse_module` take back."""
    stream = io.BytesIO()
    module.operation.write_bytecode(stream)
    return stream.getvalue()


def located_nowhere(source: bytes, context: ir.Context) -> bytes:
    """Bytecode of a module, which is read in `context`, without lines and frames of Python.

    Raises:
        ModuleError: this jaxlib has no pass that strips them.
    """
    try:
        copy = _parsed(source, context)
        with context:
            PassManager.parse("builtin.module(strip-debuginfo)").run(copy.operation)
            return module_bytecode(copy)
    except (ir.MLIRError, ValueError, RuntimeError) as error:
        raise ModuleError(f"could not strip locations: {first_lines(error)}") from error


def replace_contents(module: ir.Module, source: bytes) -> None:
    """Give a module the contents of another, which is bytecode or a portable artifact."""
    bind_kernels(source)
    other = _parsed(source, module.context)
    with module.context:
        for view in list(module.body.operations):
            view.operation.erase()
        for view in list(other.body.operations):
            view.operation.detach_from_parent()
            module.body.append(view.operation)
        for name, attribute in other.operation.attributes.items():
            module.operation.attributes[name] = attribute


def module_signature(module: ir.Module) -> Signature:
    """Types of `main`'s arguments and results, and which arguments it consumes.

    Raises:
        ModuleError: there is no `main`, or it has tokens, tuples or dynamic dimensions.
    """
    function = main_function(module)
    signature = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    donated = tuple(
        index
        for index, attributes in enumerate(argument_attributes(function))
        if any(name in attributes for name in DONATION_ATTRIBUTES)
    )
    return Signature(
        tuple(_array_type(kind) for kind in signature.inputs),
        tuple(_array_type(kind) for kind in signature.results),
        donated,
    )


def without_donation(module: ir.Module) -> ModuleSource:
    """The module with no donated argument, so that it can run again on its inputs.

    That is the module itself where there is none: a copy of one that holds the weights of a model
    takes seconds.
    """
    given = argument_attributes(main_function(module))
    if not any(name in each for each in given for name in DONATION_ATTRIBUTES):
        return module
    with module.context:
        copy = ir.Module.parse(module_bytecode(module))
        function = main_function(copy)
        attributes = argument_attributes(function)
        if attributes:
            function.attributes["arg_attrs"] = ir.ArrayAttr.get(
                [
                    ir.DictAttr.get(
                        {
                            named.name: named.attr
                            for named in _named_attributes(each)
                            if named.name not in DONATION_ATTRIBUTES
                        }
                    )
                    for each in attributes
                ]
            )
        return module_bytecode(copy)


def bind_kernels(module: ModuleSource) -> None:
    """Let jaxlib bind the LAPACK kernels if a module calls any.

    It does so when JAX lowers the first such call; a program that comes from the cache or a file is
    never lowered here, and calling an unbound kernel crashes.
    """
    if isinstance(module, ir.Module):
        is_bound = any(map(calls_kernels, _custom_calls(module)))
    else:
        is_bound = calls_kernels(module.encode() if isinstance(module, str) else module)
    if is_bound:
        _initialize_lapack()


def _custom_calls(module: ir.Module) -> list[bytes]:
    """What the custom calls of a module call."""
    called: list[bytes] = []

    def look(operation: ir.Operation) -> ir.WalkResult:
        if operation.name == "stablehlo.custom_call":
            target = operation.attributes["call_target_name"]
            called.append(ir.StringAttr(target).value.encode())
        return ir.WalkResult.ADVANCE

    module.operation.walk(look)
    return called


def calls_kernels(module: bytes) -> bool:
    """Whether a module, or what was compiled of it, may call LAPACK kernels."""
    return b"lapack" in module or b"blas_" in module


@cache
def _initialize_lapack() -> None:
    from jaxlib import lapack

    initialize = getattr(getattr(lapack, "_lapack", None), "initialize", None)
    if initialize is not None:
        initialize()


def module_name(module: ir.Module) -> str:
    """The name that JAX gave a module, such as "jit_train_step"."""
    return ir.StringAttr(module.operation.attributes["sym_name"]).value


def _is_portable_artifact(source: bytes) -> bool:
    return source.startswith(_BYTECODE_MAGIC) and _PORTABLE_ARTIFACT_MARK in source[:32]


def main_function(module: ir.Module) -> ir.Operation:
    """The function with which a module begins to run."""
    for view in module.body.operations:
        operation = view.operation
        if operation.name != "func.func":
            continue
        if ir.StringAttr(operation.attributes["sym_name"]).value == "main":
            return operation
    raise ModuleError(
        "expected a module with a public function named `main`, found none; "
        "rename the entry function to `main`"
    )


def argument_attributes(function: ir.Operation, name: str = "arg_attrs") -> list[ir.DictAttr]:
    """Attributes of each argument of a function, or of each result ("res_attrs")."""
    if name not in function.attributes:
        return []
    return [ir.DictAttr(each) for each in ir.ArrayAttr(function.attributes[name])]


def _named_attributes(attributes: ir.DictAttr) -> list[ir.NamedAttribute]:
    return [attributes[index] for index in range(len(attributes))]


def _array_type(kind: ir.Type) -> TensorType:
    if not isinstance(kind, ir.RankedTensorType) or not kind.has_static_shape:
        raise ModuleError(
            f"expected arrays of a fixed shape at the boundary of `main`, found {kind}; "
            "refine dynamic shapes and remove tokens and tuples first"
        )
    return TensorType(tuple(kind.shape), str(kind.element_type))


def first_lines(error: BaseException, lines: int = 3) -> str:
    """What an error of MLIR or XLA says first: stack traces may follow."""
    return " ".join(str(error).strip().splitlines()[:lines])
