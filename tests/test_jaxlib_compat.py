"""The adapter to jaxlib reads every spelling of a module, compiles it and runs it."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from saturax.graph.types import TensorType
from saturax.jaxlib_compat import (
    compile_module,
    cost_analysis,
    default_device,
    memory_analysis,
    optimized_hlo,
)
from saturax.mlir_modules import (
    ModuleError,
    ModuleSource,
    module_bytecode,
    module_signature,
    parse_module,
    without_donation,
)

X = np.arange(6, dtype=np.float32).reshape(2, 3)
Y = np.ones((3, 2), np.float32)


def function(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x @ y, y + 1


def spellings() -> dict[str, ModuleSource]:
    jitted = jax.jit(function, donate_argnums=(1,))
    text = jitted.lower(X, Y).as_text()
    module = parse_module(text)
    return {
        "text": text,
        "bytecode": module_bytecode(module),
        "module": module,
        "portable artifact": jax.export.export(jitted)(X, Y).mlir_module_serialized,
    }


@pytest.mark.parametrize("name", ["text", "bytecode", "module", "portable artifact"])
def test_every_spelling(name: str) -> None:
    source = spellings()[name]
    module = parse_module(source)
    signature = module_signature(module)
    assert signature.inputs == (TensorType((2, 3), "f32"), TensorType((3, 2), "f32"))
    assert signature.outputs == (TensorType((2, 2), "f32"), TensorType((3, 2), "f32"))
    assert signature.donated == (1,)
    executable = compile_module(source)
    product, total = executable([jnp.asarray(X), jnp.asarray(Y)])
    np.testing.assert_array_equal(product, X @ Y)
    np.testing.assert_array_equal(total, Y + 1)


def test_without_donation_runs_again() -> None:
    undonated = without_donation(parse_module(spellings()["text"]))
    assert module_signature(parse_module(undonated)).donated == ()
    executable = compile_module(undonated)
    arguments = [jnp.asarray(X), jnp.asarray(Y)]
    for _ in range(3):
        np.testing.assert_array_equal(executable(arguments)[1], Y + 1)
    assert not arguments[1].is_deleted()


def test_without_donation_is_the_module_where_nothing_is_donated() -> None:
    module = parse_module(
        "func.func public @main(%0: tensor<2xf32>) -> tensor<2xf32> { return %0 : tensor<2xf32> }"
    )
    assert without_donation(module) is module


def test_without_donation_keeps_other_attributes() -> None:
    text = """func.func public @main(
        %0: tensor<2xf32> {tf.aliasing_output = 0 : i32, jax.note = "kept"}, %1: tensor<2xf32>
      ) -> tensor<2xf32> { return %0 : tensor<2xf32> }"""
    after = str(parse_module(without_donation(parse_module(text))))
    assert 'jax.note = "kept"' in after
    assert "aliasing" not in after


def test_what_xla_made_of_it() -> None:
    executable = compile_module(spellings()["text"])
    assert "HloModule" in optimized_hlo(executable)
    assert cost_analysis(executable)["flops"] >= 24
    memory = memory_analysis(executable)
    assert memory.argument_bytes == X.nbytes + Y.nbytes
    assert memory.output_bytes >= 16 + Y.nbytes
    assert executable.device == default_device()


def test_compile_options_reach_xla() -> None:
    compile_module(spellings()["text"], options={"xla_cpu_enable_fast_math": False})
    with pytest.raises(ModuleError, match="no_such_option"):
        compile_module(spellings()["text"], options={"xla_no_such_option": True})


@pytest.mark.parametrize("source", ["module {", b"ML\xefR damaged", b"", "func.func @main("])
def test_not_a_module(source: ModuleSource) -> None:
    with pytest.raises(ModuleError, match="expected a StableHLO module"):
        module_signature(parse_module(source or "("))
    with pytest.raises(ModuleError, match="XLA could not compile"):
        compile_module(source or "(")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("func.func @other() { return }", "named `main`"),
        ("func.func @main(%0: tensor<?xf32>) { return }", "fixed shape"),
        ("func.func @main(%0: !stablehlo.token) { return }", "tokens"),
    ],
)
def test_signature_that_cannot_be_measured(text: str, message: str) -> None:
    with pytest.raises(ModuleError, match=message):
        module_signature(parse_module(text))


def test_default_device_follows_the_configuration() -> None:
    device = jax.local_devices(backend="cpu")[0]
    with jax.default_device(device):
        assert default_device() is device


def test_lapack_kernels_of_a_file_run_in_a_fresh_process(tmp_path):
    text = jax.jit(jnp.linalg.inv).lower(jnp.eye(3)).as_text()
    path = tmp_path / "inverse.mlir"
    path.write_text(text)
    script = (
        "import sys, jax, numpy as np\n"
        "from saturax.jaxlib_compat import compile_module\n"
        "run = compile_module(open(sys.argv[1]).read())\n"
        "x = jax.device_put(np.diag([1, 2, 4]).astype(np.float32))\n"
        "print(np.diag(np.asarray(run([x])[0])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[1.", "0.5", "0.25]"]
