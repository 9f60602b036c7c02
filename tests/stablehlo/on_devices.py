"""Programs over several host devices and with host callbacks, passed through import and emission.

Run by test_devices.py in a process of its own, as the number of devices is fixed at JAX's start.
"""

import dataclasses
import sys
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import io_callback
from jax.sharding import NamedSharding, PartitionSpec

from saturax.stablehlo import emit_module, import_module, to_portable_artifact, widen

_X = np.arange(64, dtype=np.float32).reshape(8, 8) / 7


def _mesh():
    return jax.make_mesh((2, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)


def _through_saturax(function, *arguments):
    """The function with its module imported, emitted and put back into JAX's export."""
    exported = jax.export.export(function)(*arguments)
    program = import_module(exported.mlir_module_serialized)
    emit_module(widen(program))
    emitted = to_portable_artifact(emit_module(program))
    return dataclasses.replace(exported, mlir_module_serialized=emitted), program


def check_shardings() -> None:
    """Constraints on shardings stay, and the result is sharded as before."""
    mesh = _mesh()
    rows = NamedSharding(mesh, PartitionSpec("a", None))
    columns = NamedSharding(mesh, PartitionSpec(None, "b"))

    @partial(jax.jit, in_shardings=rows, out_shardings=columns)
    def f(x):
        y = lax.with_sharding_constraint(x @ x.T, NamedSharding(mesh, PartitionSpec("b", "a")))
        return jnp.tanh(y)

    exported, program = _through_saturax(f, _X)
    assert any(symbol.startswith("sdy.mesh") for symbol in program.symbols)
    assert "sdy.sharding" in dict(program.argument_attributes[0])
    assert any(node.op == "sdy.sharding_constraint" for node in program.graph.nodes)
    result = jax.jit(exported.call)(jax.device_put(_X, rows))
    np.testing.assert_array_equal(result, f(_X))
    assert result.sharding.is_equivalent_to(columns, 2)


def check_collectives() -> None:
    """Collectives inside `shard_map` stay in order, once each."""
    mesh = _mesh()

    @jax.jit
    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=PartitionSpec("a", "b"),
        out_specs=PartitionSpec("a", "b"),
    )
    def f(x):
        total = lax.psum(x, "a") + lax.ppermute(x, "b", [(0, 1), (1, 0)])
        gathered = lax.all_gather(x, "b", tiled=True, axis=1)
        swapped = lax.all_to_all(gathered, "a", 0, 0, tiled=True)
        return total + lax.psum_scatter(swapped, "b", scatter_dimension=1, tiled=True)

    exported, program = _through_saturax(f, _X)
    assert len(program.graph.effects) == 1
    (region,) = program.graph.nodes[program.graph.effects[0]].attributes[0].regions
    assert len(region.effects) == 5
    sharded = jax.device_put(_X, NamedSharding(mesh, PartitionSpec("a", "b")))
    np.testing.assert_array_equal(jax.jit(exported.call)(sharded), f(_X))


def check_callbacks() -> None:
    """Modules with callbacks are compiled by JAX itself, from what saturax emitted."""
    from jax._src import compiler

    seen: list[float] = []
    effects: list[int] = []
    original = compiler.backend_compile_and_load

    def through_saturax(backend, module, *rest, **options):
        program = import_module(module)
        effects.append(len(program.graph.effects))
        return original(backend, emit_module(program), *rest, **options)

    def note(x):
        seen.append(float(x))
        return np.float32(x + 1)

    @jax.jit
    def f(x):
        shape = jax.ShapeDtypeStruct((), np.float32)
        first = io_callback(note, shape, x, ordered=True)
        second = io_callback(note, shape, x, ordered=True)
        jax.debug.callback(note, first)

        def step(carry, _):
            return io_callback(note, shape, carry, ordered=True), None

        return lax.scan(step, first * second, None, 2)[0]

    compiler.backend_compile_and_load = through_saturax
    try:
        result = f(np.float32(1))
        jax.effects_barrier()
    finally:
        compiler.backend_compile_and_load = original
    assert float(result) == 6.0
    assert max(effects) == 4
    assert sorted(seen) == [1.0, 1.0, 2.0, 4.0, 5.0]


if __name__ == "__main__":
    globals()[sys.argv[1]]()
