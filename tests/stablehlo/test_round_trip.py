"""Import and emission together change no bit of any result, for all families of operations."""

import jax.export
import numpy as np
import pytest

from saturax.stablehlo import emit_module, import_module, to_text

from .compiled import lower, run
from .programs import EXAMPLES

# Host callbacks are registered by JAX's own compilation only.
_COMPILED = [name for name in EXAMPLES if name != "callbacks"]


@pytest.mark.parametrize("name", _COMPILED)
def test_results_are_bitwise_equal(name):
    example = EXAMPLES[name]
    module = lower(example)
    emitted = emit_module(import_module(module))
    expected, results = run(module, example.arguments), run(emitted, example.arguments)
    for a, b in zip(expected, results, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", EXAMPLES)
def test_second_import_gives_the_same_program(name):
    program = import_module(lower(EXAMPLES[name]))
    assert import_module(emit_module(program)) == program


@pytest.mark.parametrize("name", ["control_flow", "low_precision", "callbacks", "composites"])
def test_import_is_deterministic(name):
    module = lower(EXAMPLES[name])
    assert to_text(emit_module(import_module(module))) == to_text(
        emit_module(import_module(module))
    )


def test_most_operations_are_of_the_table():
    generic = {
        node.op
        for example in EXAMPLES.values()
        for node in import_module(lower(example)).graph.nodes
        if "." in node.op
    }
    assert generic <= {
        "chlo.top_k",
        "sdy.sharding_constraint",
        *(
            f"stablehlo.{name}"
            for name in (
                "bitcast_convert case composite custom_call fft optimization_barrier reduce "
                "reduce_window rng_bit_generator scatter select_and_scatter sort while"
            ).split()
        ),
    }


def test_callbacks_stay_once_each_and_in_order():
    module = lower(EXAMPLES["callbacks"])
    program = import_module(module)
    effects = [program.graph.nodes[index].attributes[0].sequence for index in program.graph.effects]
    assert effects == sorted(set(effects))
    assert len(effects) >= 3

    def calls(text):
        return [line.split("(")[0] for line in text.splitlines() if "custom_call" in line]

    assert len(calls(to_text(emit_module(program)))) == len(calls(to_text(module)))


def test_export_keeps_gradients_working():
    def f(x):
        return (x**3).sum()

    x = np.arange(4, dtype=np.float32)
    exported = jax.export.export(jax.jit(f))(x)
    from saturax.stablehlo import read, write

    stored = read(bytes(exported.serialize(vjp_order=1)))
    again = jax.export.deserialize(
        bytearray(write(emit_module(import_module(stored.module)), stored))
    )
    np.testing.assert_array_equal(jax.grad(again.call)(x), jax.grad(f)(x))
