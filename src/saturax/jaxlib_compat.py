"""What XLA makes of StableHLO modules: compile them, run them, and read what became of them.

Written against jax 0.10 and 0.11, as far as it lies below JAX's public functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax._src.sharding_impls import GSPMDSharding
from jax.extend import backend as jax_backend
from jax.extend.mlir import ir
from jaxlib import xla_client

from saturax.mlir_modules import (
    ModuleError,
    ModuleSource,
    argument_attributes,
    bind_kernels,
    first_lines,
    main_function,
    module_signature,
    parse_module,
)

# How an argument or a result says how it lies on several devices.
_SHARDING_ATTRIBUTES = ("sdy.sharding", "mhlo.sharding")


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
        raise ModuleError(f"XLA could not compile the module: {first_lines(error)}") from error
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
    function = main_function(module)
    signature = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    options = compile_options.executable_build_options
    options.allow_spmd_sharding_propagation_to_parameters = _are_open(
        argument_attributes(function, "arg_attrs"), len(signature.inputs)
    )
    options.allow_spmd_sharding_propagation_to_output = _are_open(
        argument_attributes(function, "res_attrs"), len(signature.results)
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


def default_device() -> jax.Device:
    """The device on which `jax.jit` would run an uncommitted computation."""
    chosen: Any = getattr(jax.config, "jax_default_device", None)
    if isinstance(chosen, str):
        return jax.local_devices(backend=chosen)[0]
    return jax.local_devices()[0] if chosen is None else chosen
