"""The float64 reference of a program is what numpy computes in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from saturax.stablehlo import emit_module, import_module, to_text, widen

from .compiled import lower, run
from .programs import EXAMPLES, Example

_random = np.random.default_rng(2)
_X = _random.normal(size=(5, 6)).astype(np.float32)
_Y = _random.normal(size=(6, 5)).astype(np.float32)
_SQUARE = _random.normal(size=(4, 4)).astype(np.float32)
_I = np.array([3, 1, 1])


def _softmax(x, e=np.exp):
    z = e(x - x.max(1, keepdims=True))
    return z / z.sum(1, keepdims=True)


def _scan(w):
    return lax.scan(lambda c, _: (jnp.tanh(c @ w), c.sum()), w, None, 5)


def _scan_numpy(w):
    c, sums = w, []
    for _ in range(5):
        sums.append(c.sum())
        c = np.tanh(c @ w)
    return c, np.stack(sums)


# Function in JAX, in numpy, arguments.
_CASES = {
    "matmul": (lambda x, y: x @ y, lambda x, y: x @ y, (_X, _Y)),
    "softmax": (lambda x: _softmax(x, jnp.exp), _softmax, (_X,)),
    "casts": (lambda x: x.astype(jnp.bfloat16).astype(np.float32) / 3, lambda x: x / 3, (_X,)),
    "to_integers": (lambda x: (x * 3).astype(np.int32), lambda x: (x * 3).astype(int), (_X,)),
    "from_integers": (lambda i: i / 7, lambda i: i / 7, (_I,)),
    "bfloat16": (
        lambda x: (x.astype(jnp.bfloat16) @ x.T.astype(jnp.bfloat16)).sum(0),
        lambda x: (x @ x.T).sum(0),
        (_X,),
    ),
    "sort": (lambda x: jnp.sort(x / 3, 1), lambda x: np.sort(x / 3, 1), (_X,)),
    "argmax": (lambda x: jnp.argmax(x, 1), lambda x: np.argmax(x, 1), (_X,)),
    "cumsum": (lambda x: jnp.cumsum(x, 1), lambda x: np.cumsum(x, 1), (_X,)),
    "variance": (lambda x: x.var(0), lambda x: x.var(0), (_X,)),
    "gather": (lambda x: x[_I] ** 2, lambda x: x[_I] ** 2, (_X,)),
    "scan": (_scan, _scan_numpy, (_SQUARE,)),
    "loop": (
        lambda x: lax.while_loop(lambda c: c.sum() < 100, lambda c: c * c + 1, x),
        lambda x: next(c for c in _iterate(x) if c.sum() >= 100),
        (_SQUARE,),
    ),
    "branches": (
        lambda x: lax.cond(x[0, 0] > 9, lambda: x, lambda: x / 3),
        lambda x: x / 3,
        (_X,),
    ),
    "scatter": (
        lambda x: jnp.zeros((5, 6)).at[_I].add(x[:3] / 3),
        lambda x: _scattered(x),
        (_X,),
    ),
    "solve": (jnp.linalg.solve, np.linalg.solve, (_SQUARE, _SQUARE.T)),
    "singular_values": (
        lambda x: jnp.linalg.svd(x, compute_uv=False),
        lambda x: np.linalg.svd(x, compute_uv=False),
        (_SQUARE,),
    ),
    "fft": (jnp.fft.fft, np.fft.fft, (_X,)),
    "complex_solve": (
        lambda x: jnp.linalg.inv(x + 2j * x.T),
        lambda x: np.linalg.inv(x + 2j * x.T),
        (_SQUARE,),
    ),
    "convolution": (
        lambda x: lax.conv(x[None, None], x[None, None, :2, :2], (1, 1), "VALID")[0, 0],
        lambda x: sum(x[i : 4 + i, j : 5 + j] * x[i, j] for i in range(2) for j in range(2)),
        (_X,),
    ),
}


def _iterate(x):
    while True:
        yield x
        x = x * x + 1


def _scattered(x):
    result = np.zeros((5, 6))
    np.add.at(result, _I, x[:3] / 3)
    return result


@pytest.mark.parametrize("name", _CASES)
def test_equals_numpy_in_float64(name):
    function, reference, arguments = _CASES[name]
    program = import_module(lower(Example(function, arguments)))
    results = run(emit_module(widen(program)), arguments)
    wide = [x.astype(np.float64) if x.dtype == np.float32 else x for x in arguments]
    expected = jax.tree.leaves(reference(*wide))
    for a, b in zip(results, expected, strict=True):
        if a.dtype.kind in "fc":
            assert a.dtype in (np.float64, np.complex128)
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "callbacks"])
def test_every_program_has_a_reference_close_to_it(name):
    example = EXAMPLES[name]
    module = lower(example)
    results = run(module, example.arguments)
    references = run(emit_module(widen(import_module(module))), example.arguments)
    # The angle of a number on the branch cut depends on its last bit.
    tolerance = {"low_precision": 0.1, "fourier": 10}.get(name, 1e-4)
    for a, b in zip(results, references, strict=True):
        assert a.shape == b.shape
        if b.dtype in (np.float64, np.complex128):
            wide = a.astype(b.dtype)
            np.testing.assert_allclose(wide, b, rtol=tolerance, atol=tolerance)
        else:
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes()


def test_precision_that_was_asked_for_is_kept():
    def f(x):
        return lax.reduce_precision(x, 8, 7), lax.bitcast_convert_type(x, np.int32)

    program = import_module(lower(Example(f, (_X,))))
    rounded, bits = run(emit_module(widen(program)), (_X,))
    np.testing.assert_array_equal(rounded, lax.reduce_precision(_X, 8, 7))
    np.testing.assert_array_equal(bits, _X.view(np.int32))


def test_nothing_is_donated_and_effects_stay():
    donated = import_module(lower(EXAMPLES["donation"]))
    assert "tf.aliasing_output" not in to_text(emit_module(widen(donated)))
    callbacks = import_module(lower(EXAMPLES["callbacks"]))
    wide = widen(callbacks)
    assert len(wide.graph.effects) == len(callbacks.graph.effects)
    emit_module(wide)
