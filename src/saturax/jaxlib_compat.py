"""The one place that touches jaxlib below JAX's public functions: compile a StableHLO module, run
it on arrays, and read what XLA made of it. Written against jax 0.10 and 0.11; when a jaxlib moves
these few names, this file is what changes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
from jax._src.sharding_impls import GSPMDSharding
from jax.extend import backend as jax_backend
from jax.extend import mlir as jax_mlir
from jax.extend.mlir import ir
from jax.extend.mlir.passmanager import PassManager
from jaxlib import xla_client

from saturax.errors import SaturaxError
from saturax.graph.types import TensorType

ModuleSource = str | bytes | ir.Module
"""StableHLO as text, as MLIR bytecode, as a portable artifact, or as a parsed module."""

_PORTABLE_ARTIFACT_MARK = b"StableHLO_v"
_BYTECODE_MAGIC = b"ML\xefR"
# How a function argument says that its buffer may be reused for a result.
DONATION_ATTRIBUTES = ("tf.aliasing_output", "jax.buffer_donor")
# How an argument or a result says how it lies on several devices.
_SHARDING_ATTRIBUTES = ("sdy.sharding", "mhlo.sharding")


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
    """Bytes that a compiled program needs while it runs, as XLA's buffer assignment plans them.

    `aliased_bytes` are both arguments and results: those of donated arguments. Constants are in the
    program itself.
    """

    argument_bytes: int
    output_bytes: int
    temporary_bytes: int
    aliased_bytes: int

    @property
    def peak_bytes(self) -> int:
        """All that is there at the same time.

        >>> MemoryUse(8, 4, 2, 4).peak_bytes
        10
        """
        return self.argument_bytes + self.output_bytes + self.temporary_bytes - self.aliased_bytes


@dataclass(frozen=True)
class Executable:
    """A compiled module on one device; call it with arrays in the order of `main`'s arguments."""

    loaded: Any
    device: jax.Device

    def __call__(self, arrays: Sequence[jax.Array]) -> list[jax.Array]:
        """Run on committed arrays of this device and return the results without waiting."""
        results: list[jax.Array] = self.loaded.execute(arrays)
        return results

    def put(self, arrays: Sequence[Any]) -> list[jax.Array]:
        """Inputs where this program takes them."""
        return [put_on_device(array, self.device) for array in arrays]

    def output_shardings(self) -> list[Any]:
        """How the outputs lie on the devices; empty for one device. Comparable with `==`."""
        return []


@dataclass(frozen=True)
class ShardedExecutable(Executable):
    """A module that was partitioned for several devices, of which `device` is the first.

    It takes and returns global arrays. `shapes` are those of its outputs.
    """

    devices: tuple[jax.Device, ...]
    shapes: tuple[tuple[int, ...], ...]

    def __call__(self, arrays: Sequence[jax.Array]) -> list[jax.Array]:
        """Run on arrays that `put` has sharded and return the results without waiting."""
        results = self.loaded.execute_sharded(list(arrays))
        parts = results.disassemble_into_single_device_arrays()
        rows = zip(self.shapes, self.output_shardings(), parts, strict=True)
        return [jax.make_array_from_single_device_arrays(*row) for row in rows]

    def put(self, arrays: Sequence[Any]) -> list[jax.Array]:
        """Global inputs, sharded as this program takes them."""
        shardings = self._shardings(self.loaded.get_parameter_shardings(), len(arrays))
        return [_placed(*each) for each in zip(arrays, shardings, strict=True)]

    def output_shardings(self) -> list[Any]:
        """How the outputs lie on the devices."""
        return self._shardings(self.loaded.get_output_shardings(), len(self.shapes))

    def _shardings(self, found: Sequence[Any] | None, count: int) -> list[Any]:
        devices = xla_client.DeviceList(self.devices)
        if not found:
            return [GSPMDSharding.get_replicated(devices)] * count
        # XLA joins the shardings of a tuple if they are all alike.
        shardings = [GSPMDSharding(devices, each) for each in found]
        return shardings * count if len(shardings) == 1 else shardings


def put_on_device(array: Any, device: jax.Device) -> jax.Array:
    """The array on the device with its own element type, 64 bits wide or not."""
    return _placed(array, jax.sharding.SingleDeviceSharding(device))


def _placed(array: Any, sharding: Any) -> jax.Array:
    """The array where a sharding says, without the events by which JAX's transfers are counted:
    this is none that a user asked for.
    """
    if isinstance(array, jax.Array):
        is_there = array.committed and array.sharding.is_equivalent_to(sharding, array.ndim)
        return array if is_there else jax.device_put(array, sharding)
    array = np.asarray(array)
    places = sharding.addressable_devices_indices_map(array.shape)
    placed: jax.Array = xla_client.batched_device_put(
        jax.core.ShapedArray(array.shape, array.dtype),
        sharding,
        [np.asarray(array[index]) for index in places.values()],
        list(places),
        True,
        enable_x64=True,
    )
    return placed


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
            f"could not read it: {_first_lines(error)}"
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
        raise ModuleError(f"could not strip locations: {_first_lines(error)}") from error


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
    function = _main_function(module)
    signature = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    donated = tuple(
        index
        for index, attributes in enumerate(_argument_attributes(function))
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
    given = _argument_attributes(_main_function(module))
    if not any(name in each for each in given for name in DONATION_ATTRIBUTES):
        return module
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
                            if named.name not in DONATION_ATTRIBUTES
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
    devices: Sequence[jax.Device] = (),
    options: Mapping[str, str | bool | int | float] | None = None,
) -> Executable:
    """Compile a StableHLO module as `jax.jit` would, for one device or partitioned for `devices`.

    `options` are XLA debug options by name, as `jax.jit(..., compiler_options=...)` takes them.

    Raises:
        ModuleError: XLA refused the module; the message begins with XLA's own words.
    """
    chosen = tuple(devices) or (default_device() if device is None else device,)
    bind_kernels(source)
    client = chosen[0].client
    compile_options = jax_backend.get_compile_options(
        num_replicas=1,
        num_partitions=len(chosen),
        device_assignment=np.array([[each.id for each in chosen]]),
        env_options_overrides=dict(options) if options else None,  # type: ignore[arg-type]
        backend=client,
    )
    shapes: tuple[tuple[int, ...], ...] = ()
    if len(chosen) > 1:
        module = parse_module(source)
        shapes = tuple(type.shape for type in module_signature(module).outputs)
        _propagate_shardings(compile_options, module)
    try:
        loaded = client.compile_and_load(source, xla_client.DeviceList(chosen), compile_options)
    except (jax.errors.JaxRuntimeError, ir.MLIRError, ValueError, RuntimeError) as error:
        raise ModuleError(f"XLA could not compile the module: {_first_lines(error)}") from error
    if len(chosen) == 1:
        return Executable(loaded, chosen[0])
    return ShardedExecutable(loaded, chosen[0], chosen, shapes)


# Those of the compiler's options that JAX does not hand on by name.
_OF_THE_BUILD = (
    "exec_time_optimization_effort",
    "memory_fitting_effort",
    "optimization_level",
    "memory_fitting_level",
)


def asked_for(compile_options: Any) -> dict[str, Any]:
    """The `compiler_options` that `compile_module` takes to compile as JAX is about to.

    They are what the program sets; what JAX's configuration sets, `compile_module` sees as well.
    """
    build = compile_options.executable_build_options
    usual = jax_backend.get_compile_options(1, 1).executable_build_options
    options = dict(compile_options.env_option_overrides)
    for name in _OF_THE_BUILD:
        if getattr(build, name) != getattr(usual, name):
            options[name] = getattr(build, name)
    return options


def _propagate_shardings(compile_options: Any, module: ir.Module) -> None:
    """Let XLA choose the shardings that the module leaves open, as `jax.jit` does."""
    function = _main_function(module)
    signature = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    options = compile_options.executable_build_options
    options.allow_spmd_sharding_propagation_to_parameters = _are_open(
        _argument_attributes(function, "arg_attrs"), len(signature.inputs)
    )
    options.allow_spmd_sharding_propagation_to_output = _are_open(
        _argument_attributes(function, "res_attrs"), len(signature.results)
    )


def _are_open(attributes: Sequence[ir.DictAttr], count: int) -> list[bool]:
    """Which of `count` arguments or results have no sharding, or one that leaves axes open."""
    if not attributes:
        return [True] * count
    texts = [
        next((str(each[name]) for name in _SHARDING_ATTRIBUTES if name in each), None)
        for each in attributes
    ]
    return [text is None or "?" in text for text in texts]


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


def load_executable(serialized: bytes, device: jax.Device) -> Any:
    """What XLA compiled for one device before, with the options that it was compiled with."""
    return device.client.deserialize_executable(serialized, xla_client.DeviceList((device,)), None)


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


def _argument_attributes(function: ir.Operation, name: str = "arg_attrs") -> list[ir.DictAttr]:
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


def _first_lines(error: BaseException, lines: int = 3) -> str:
    return " ".join(str(error).strip().splitlines()[:lines])
