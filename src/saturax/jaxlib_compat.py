"""The one place that touches jaxlib below JAX's public functions: compile a StableHLO module, run
it on arrays, and read what XLA made of it. Written against jax 0.10 and 0.11; when a jaxlib moves
these few names, this file is what changes."""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
from jax._src import core as jax_core
from jax._src import tree_util as jax_tree_util
from jax.extend import backend as jax_backend
from jax.extend import mlir as jax_mlir
from jax.extend.mlir import ir
from jaxlib import xla_client

from saturax.errors import OptionsError, SaturaxError
from saturax.graph.types import TensorType

ModuleSource = str | bytes | ir.Module
"""StableHLO as text, as MLIR bytecode, as a portable artifact, or as a parsed module."""

_PORTABLE_ARTIFACT_MARK = b"StableHLO_v"
_BYTECODE_MAGIC = b"ML\xefR"
# JAX's own function through which every module reaches XLA, and how its parameters begin.
_COMPILE = "compile_or_get_cached"
_COMPILE_PARAMETERS = ("computation", "devices", "compile_options", "host_callbacks")
# How a function argument says that its buffer may be reused for a result.
_DONATION_ATTRIBUTES = ("tf.aliasing_output", "jax.buffer_donor")


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


@dataclass(frozen=True)
class MemoryUse:
    """Bytes that a compiled program needs while it runs, as XLA's buffer assignment plans them."""

    argument_bytes: int
    output_bytes: int
    temporary_bytes: int
    aliased_bytes: int


@dataclass(frozen=True)
class Executable:
    """A compiled module on one device; call it with arrays in the order of `main`'s arguments."""

    loaded: Any
    device: jax.Device

    def __call__(self, arrays: Sequence[jax.Array]) -> list[jax.Array]:
        """Run on committed arrays of this device and return the results without waiting."""
        results: list[jax.Array] = self.loaded.execute(arrays)
        return results


def mlir_context() -> ir.Context:
    """A fresh MLIR context with every dialect that JAX emits.

    A trivial lowering is the one public way to a context that is registered completely.
    """
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
        if isinstance(source, bytes) and _is_portable_artifact(source):
            module: ir.Module = jax_mlir.deserialize_portable_artifact(source, context)
            return module
        with context:
            return ir.Module.parse(source)
    except (ir.MLIRError, ValueError, RuntimeError) as error:
        raise ModuleError(
            "expected a StableHLO module as text, bytecode or portable artifact, but this jaxlib "
            f"could not read it: {_first_lines(error)}"
        ) from error


def module_bytecode(module: ir.Module) -> bytes:
    """The module as MLIR bytecode, which `compile_module` and `parse_module` take back."""
    stream = io.BytesIO()
    module.operation.write_bytecode(stream)
    return stream.getvalue()


def module_signature(module: ir.Module) -> Signature:
    """Types of `main`'s arguments and results, and which arguments it consumes.

    Raises:
        ModuleError: there is no `main`, or it has tokens, tuples or dynamic dimensions.
    """
    function = _main_function(module)
    signature = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    donated = tuple(
        index
        for index, attributes in enumerate(_argument_attributes(function))
        if any(name in attributes for name in _DONATION_ATTRIBUTES)
    )
    return Signature(
        tuple(_array_type(kind) for kind in signature.inputs),
        tuple(_array_type(kind) for kind in signature.results),
        donated,
    )


def without_donation(module: ir.Module) -> bytes:
    """Bytecode of the module with no donated argument, so that it can run again on its inputs."""
    with module.context:
        copy = ir.Module.parse(module_bytecode(module))
        function = _main_function(copy)
        attributes = _argument_attributes(function)
        if attributes:
            function.attributes["arg_attrs"] = ir.ArrayAttr.get(
                [
                    ir.DictAttr.get(
                        {
                            named.name: named.attr
                            for named in _named_attributes(each)
                            if named.name not in _DONATION_ATTRIBUTES
                        }
                    )
                    for each in attributes
                ]
            )
        return module_bytecode(copy)


def compile_module(
    source: ModuleSource,
    device: jax.Device | None = None,
    *,
    options: Mapping[str, str | bool | int | float] | None = None,
) -> Executable:
    """Compile a StableHLO module for one device, as `jax.jit` would.

    `options` are XLA debug options by name, as `jax.jit(..., compiler_options=...)` takes them.

    Raises:
        ModuleError: XLA refused the module; the message begins with XLA's own words.
    """
    device = default_device() if device is None else device
    _initialize_lapack()
    try:
        loaded = device.client.compile_and_load(
            source,
            xla_client.DeviceList((device,)),
            jax_backend.get_compile_options(
                num_replicas=1,
                num_partitions=1,
                device_assignment=np.array([[device.id]]),
                env_options_overrides=dict(options) if options else None,  # type: ignore[arg-type]
                backend=device.client,
            ),
        )
    except (jax.errors.JaxRuntimeError, ir.MLIRError, ValueError, RuntimeError) as error:
        raise ModuleError(f"XLA could not compile the module: {_first_lines(error)}") from error
    return Executable(loaded, device)


def optimized_hlo(executable: Executable) -> str:
    """HLO text of the program after XLA's passes: what really runs, with its fusions."""
    return "\n".join(module.to_string() for module in executable.loaded.hlo_modules())


def cost_analysis(executable: Executable) -> dict[str, float]:
    """XLA's own counts for the compiled program, such as `flops` and `bytes accessed`."""
    counts = executable.loaded.cost_analysis()
    merged = counts[0] if isinstance(counts, list) else counts
    return {str(name): float(value) for name, value in merged.items()}


def memory_analysis(executable: Executable) -> MemoryUse:
    """Bytes of arguments, results and temporaries of the compiled program."""
    stats = executable.loaded.get_compiled_memory_stats()
    return MemoryUse(
        argument_bytes=int(stats.argument_size_in_bytes),
        output_bytes=int(stats.output_size_in_bytes),
        temporary_bytes=int(stats.temp_size_in_bytes),
        aliased_bytes=int(stats.alias_size_in_bytes),
    )


@cache
def _initialize_lapack() -> None:
    """Let jaxlib bind its LAPACK kernels, which it does when JAX lowers the first such call.

    A program that comes from a file is never lowered here, and calling an unbound kernel crashes.
    """
    from jaxlib import lapack

    initialize = getattr(getattr(lapack, "_lapack", None), "initialize", None)
    if initialize is not None:
        initialize()


def hook_compilation(replacement: Callable[[ir.Module, bool], Any]) -> Callable[[], None]:
    """Let `replacement(module, has_callbacks)` choose what XLA compiles for each module of JAX.

    Returns the function that undoes it. There is no public place for this.

    Raises:
        OptionsError: this JAX has moved the function through which modules reach XLA.
    """
    from jax._src import compiler

    original = getattr(compiler, _COMPILE, None)
    names = () if original is None else tuple(inspect.signature(original).parameters)
    if original is None or names[1:5] != _COMPILE_PARAMETERS:
        raise OptionsError(
            f"jax {jax.__version__} cannot be hooked: expected a compile_or_get_cached(backend, "
            f"{', '.join(_COMPILE_PARAMETERS)}, …), found {names}; use saturax.jit instead"
        )

    @functools.wraps(original)
    def hooked(
        backend: Any,
        computation: ir.Module,
        devices: Any,
        options: Any,
        callbacks: Any,
        *rest: Any,
        **named: Any,
    ) -> Any:
        module = replacement(computation, bool(callbacks))
        return original(backend, module, devices, options, callbacks, *rest, **named)

    setattr(compiler, _COMPILE, hooked)

    def undo() -> None:
        if getattr(compiler, _COMPILE) is hooked:
            setattr(compiler, _COMPILE, original)

    return undo


def fast_calls(jitted: Any, on_miss: Callable[..., Any]) -> Callable[..., Any]:
    """Calls of a `jax.jit` function that leave new argument types to `on_miss`.

    Where the types were seen before, JAX's compiled fast path runs and no Python. Otherwise, and
    always inside a transformation, `on_miss(serve, *args, **kwargs)` has to return
    `serve(chosen, *args, **kwargs)`, where `chosen` is what `jax.jit` made of this function or of
    another; it is taken for these types from then on. A JAX without the private names that this
    needs asks `on_miss` at every call, which is slower and else the same.
    """
    try:
        from jax._src import pjit
        from jax._src.interpreters import pxla
        from jax._src.lib import _jax  # type: ignore[attr-defined]

        # JAX's own cache, so that jax.clear_caches empties it; the key keeps our entries apart.
        fast: Callable[..., Any] = _jax.pjit(
            getattr(jitted, "__name__", "function"),
            jitted._fun,
            functools.partial(on_miss, lambda chosen, *args, **kw: chosen._cache_miss(*args, **kw)),
            jitted._jit_info.static_argnums,
            jitted._jit_info.static_argnames,
            "saturax",
            jax_tree_util.dispatch_registry,
            pxla.cc_shard_arg,
            pjit._get_cpp_global_cache(True),
        )
        return fast
    except (ImportError, AttributeError, TypeError):
        return functools.partial(on_miss, lambda chosen, *args, **kw: chosen(*args, **kw))


def clear_calls(calls: Callable[..., Any]) -> None:
    """Let a callable of `fast_calls` forget the types that it has seen."""
    getattr(calls, "_clear_cache", lambda: None)()


def module_name(module: ir.Module) -> str:
    """The name that JAX gave a module, such as "jit_train_step"."""
    return ir.StringAttr(module.operation.attributes["sym_name"]).value


_trace_state_clean: Callable[[], bool] = getattr(jax_core, "trace_state_clean", lambda: False)


def is_tracing() -> bool:
    """Whether JAX is inside a transformation (jit, grad, vmap, …) in this thread.

    There is no public way to ask; a JAX without this one counts as tracing, which is always safe.
    """
    return not _trace_state_clean()


def default_device() -> jax.Device:
    """The device on which `jax.jit` would run an uncommitted computation."""
    chosen: Any = getattr(jax.config, "jax_default_device", None)
    if isinstance(chosen, str):
        return jax.local_devices(backend=chosen)[0]
    return jax.local_devices()[0] if chosen is None else chosen


def _is_portable_artifact(source: bytes) -> bool:
    return source.startswith(_BYTECODE_MAGIC) and _PORTABLE_ARTIFACT_MARK in source[:32]


def _main_function(module: ir.Module) -> ir.Operation:
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


def _argument_attributes(function: ir.Operation) -> list[ir.DictAttr]:
    if "arg_attrs" not in function.attributes:
        return []
    return [ir.DictAttr(each) for each in ir.ArrayAttr(function.attributes["arg_attrs"])]


def _named_attributes(attributes: ir.DictAttr) -> list[ir.NamedAttribute]:
    return [attributes[index] for index in range(len(attributes))]


def _array_type(kind: ir.Type) -> TensorType:
    if not isinstance(kind, ir.RankedTensorType) or not kind.has_static_shape:
        raise ModuleError(
            f"expected arrays of a fixed shape at the boundary of `main`, found {kind}; "
            "refine dynamic shapes and remove tokens and tuples first"
        )
    return TensorType(tuple(kind.shape), str(kind.element_type))


def _first_lines(error: BaseException, lines: int = 3) -> str:
    return " ".join(str(error).strip().splitlines()[:lines])
