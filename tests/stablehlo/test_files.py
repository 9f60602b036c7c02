"""Programs are read from every form that StableHLO is stored in, and written back to it."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from saturax.errors import ImportFailure
from saturax.jaxlib_compat import compile_module
from saturax.stablehlo import (
    Form,
    emit_module,
    import_module,
    read,
    to_bytecode,
    to_portable_artifact,
    to_text,
    write,
)


def _function(x, w):
    return jnp.tanh(x @ w).sum(0), jnp.sort(x)


_ARGUMENTS = (np.ones((3, 4), np.float32), np.full((4, 2), 0.25, np.float32))


def _stored(form):
    module = jax.jit(_function).lower(*_ARGUMENTS).compiler_ir("stablehlo")
    match form:
        case Form.TEXT:
            return to_text(module)
        case Form.BYTECODE:
            return to_bytecode(module)
        case Form.PORTABLE_ARTIFACT:
            return to_portable_artifact(module)
    return bytes(jax.export.export(jax.jit(_function))(*_ARGUMENTS).serialize())


@pytest.mark.parametrize("form", Form)
def test_form_is_recognised_and_kept(form):
    source = _stored(form)
    stored = read(source)
    assert stored.form is form
    program = import_module(source)
    written = write(emit_module(program), stored)
    assert isinstance(written, type(source))
    assert read(written).form is form
    assert import_module(written) == program


def test_text_may_come_as_bytes():
    assert read(_stored(Form.TEXT).encode()).form is Form.TEXT


def test_all_forms_hold_the_same_program():
    graphs = [import_module(_stored(form)).graph for form in Form]
    assert all(graph == graphs[0] for graph in graphs)


def test_portable_artifact_keeps_its_version():
    module = read(_stored(Form.TEXT)).module
    stored = read(to_portable_artifact(module, "1.9.0"))
    assert stored.version == "1.9.0"
    assert read(write(stored.module, stored)).version == "1.9.0"


def test_exported_program_still_runs():
    stored = read(_stored(Form.JAX_EXPORT))
    exported = jax.export.deserialize(
        bytearray(write(emit_module(import_module(stored.module)), stored))
    )
    for a, b in zip(exported.call(*_ARGUMENTS), jax.jit(_function)(*_ARGUMENTS), strict=True):
        np.testing.assert_array_equal(a, b)


def test_resources_are_read():
    text = """
    func.func @main() -> (tensor<2xf32>, tensor<3xbf16>) {
      %a = stablehlo.constant dense_resource<a> : tensor<2xf32>
      %b = stablehlo.constant dense_resource<b> : tensor<3xbf16>
      return %a, %b : tensor<2xf32>, tensor<3xbf16>
    }
    {-# dialect_resources: { builtin: {
      a: "0x04000000AB00803F00004040",
      b: "0x04000000803F00400000"
    } } #-}
    """
    a, b = (node.attributes[0].array for node in import_module(text).graph.nodes)
    assert a.view(np.uint32).tolist() == [0x3F8000AB, 0x40400000]
    assert b.astype(np.float32).tolist() == [1.0, 2.0, 0.0]
    assert len(compile_module(emit_module(import_module(text)))([])) == 2


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("module {", "MLIR says"),
        ("", "main"),
        (b"\x00\xffgarbage", "none of them"),
        (b"ML\xefR broken", "MLIR says"),
        (b"ML\xefR\rStableHLO_v1.9.0\x00broken", "MLIR says"),
    ],
)
def test_unreadable_sources(source, message):
    with pytest.raises(ImportFailure, match=message):
        import_module(source)
