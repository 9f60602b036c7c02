"""`saturax.jit` behaves as `jax.jit`: same results, arguments, transformations and errors."""

from __future__ import annotations

import copy
import functools
import pickle
import threading
import warnings

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from running import QUICK, assert_equal, matrix_chain, normal

import saturax
from saturax import Options, SaturaxWarning, pipeline, stablehlo
from saturax.jax_internals import hook_compilation
from saturax.jitted import Jitted
from saturax.racing import contest

_FUNCTION, _ARGUMENTS = matrix_chain(256)
_SHORT = Options(time_limit_s=0.5)
_jit = functools.partial(saturax.jit, options=_SHORT)


def _check(function, *arguments, tolerance=2e-5, **jit_options):
    """Compare with `jax.jit`, twice: the second call takes the compiled program."""
    fast = _jit(function, **jit_options)
    expected = jax.jit(function, **jit_options)(*arguments)
    for _ in range(2):
        found = fast(*arguments)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert a.aval == b.aval  # shape, dtype and weak type
        assert_equal(*(list(map(_data, jax.tree.leaves(r))) for r in (found, expected)), tolerance)
    return fast


def _data(leaf):
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def test_optimised_function_gives_the_same_result():
    fast = saturax.jit(_FUNCTION, options=QUICK)
    assert_equal([fast(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS)])
    assert fast.report.outcome == "optimized"
    assert len(fast.reports) == 1


def test_decorator_with_and_without_arguments():
    @saturax.jit(options=_SHORT)
    def twice(x):
        """Twice x."""
        return 2 * x

    assert (twice.__name__, twice.__doc__) == ("twice", "Twice x.")
    assert twice(3.0) == 6.0
    assert isinstance(saturax.jit(twice), Jitted)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        pytest.param(lambda: jnp.ones(3) * 2, (), id="no arguments"),
        pytest.param(lambda: (), (), id="nothing"),
        pytest.param(lambda x: None, (normal(2),), id="no results"),
        pytest.param(lambda x: x, (normal(2),), id="identity"),
        pytest.param(lambda x: (x, x * 2, x), (normal(2),), id="repeated results"),
        pytest.param(lambda x, y: x * 2, (normal(2), normal(3)), id="unused argument"),
        pytest.param(lambda x: x @ x.T, (np.zeros((0, 3), np.float32),), id="size 0"),
        pytest.param(lambda x: x @ x.T, (np.zeros((3, 0), np.float32),), id="empty sum"),
        pytest.param(lambda x: x * 2 + 1, (np.float32(3),), id="rank 0"),
        pytest.param(lambda x: x * 2 + 1, (3.0,), id="weak type"),
        pytest.param(lambda x: (x @ x) + 1, (np.arange(9).reshape(3, 3),), id="integers"),
        pytest.param(lambda x: ~x & True, (np.array([True, False]),), id="booleans"),
        pytest.param(lambda x: (x @ x) * 2, (normal(4, 4) + 1j * normal(4, 4),), id="complex"),
        pytest.param(jax.random.split, (jax.random.key(1),), id="keys"),
        pytest.param(
            lambda d: {"s": d["a"] + d["b"][0], "t": [d["a"]]},
            ({"a": normal(3), "b": (normal(3), None)},),
            id="trees",
        ),
        pytest.param(lambda x: jax.jit(jnp.sin)(x) + 1, (normal(3),), id="inner jit"),
        pytest.param(lambda x: jnp.linalg.cholesky(x @ x.T), (normal(4, 4),), id="library call"),
    ],
)
def test_same_as_jax_jit(function, arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SaturaxWarning)
        _check(function, *arguments)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision(dtype):
    a, b, x = (jnp.asarray(v, dtype) / 8 for v in (normal(32, 32), normal(32, 32), normal(32)))
    _check(lambda a, b, x: jnp.tanh((a @ b) @ x), a, b, x, tolerance=0.1)


def test_double_precision():
    with jax.enable_x64(True):
        arguments = [x.astype(np.float64) for x in _ARGUMENTS]
        fast = _check(_FUNCTION, *arguments, tolerance=1e-12)
        assert fast(*arguments).dtype == np.float64


def test_static_arguments():
    function = lambda x, n, mode: x * n if mode == "times" else x + n  # noqa: E731
    fast = _check(function, normal(3), 4, "times", static_argnums=(1, 2))
    assert_equal([fast(normal(3), 4, "plus")], [normal(3) + 4])
    assert len(fast.reports) == 2


def test_static_argument_names_and_keywords():
    @_jit(static_argnames="axis")
    def function(x, *, axis=0, scale=1.0):
        return x.sum(axis) * scale

    assert_equal([function(normal(2, 3), axis=1, scale=2.0)], [normal(2, 3).sum(1) * 2])
    assert_equal([function(normal(2, 3))], [normal(2, 3).sum(0)])


def test_values_of_the_call_are_the_examples(monkeypatch):
    """Also beside static arguments and unused ones."""
    seen = []
    optimize_program = pipeline.optimize_program

    def spy(program, options, examples, on_progress, **rest):
        seen.append(examples)
        return optimize_program(program, options, examples, on_progress, **rest)

    monkeypatch.setattr(pipeline, "optimize_program", spy)
    fast = _jit(lambda n, x, unused, y: x * n + y, static_argnums=0)
    fast(2, normal(3), normal(5), normal(3, seed=1))
    ((x, y),) = seen
    assert_equal([x, y], [normal(3), normal(3, seed=1)])


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
def test_donation():
    fast = saturax.jit(lambda a, b: (a @ b) @ b, donate_argnums=0, options=_SHORT)
    a = jnp.asarray(normal(16, 16))
    expected = (a @ a) @ a
    given = jnp.array(a)
    assert_equal([fast(given, a)], [expected])
    assert given.is_deleted()
    assert not a.is_deleted()


def test_gradients():
    fast = _jit(_FUNCTION)
    loss = lambda f: lambda a, b, x: (f(a, b, x) ** 2).sum()  # noqa: E731
    found = jax.grad(loss(fast), (0, 1, 2))(*_ARGUMENTS)
    assert_equal(found, jax.grad(loss(_FUNCTION), (0, 1, 2))(*_ARGUMENTS), 1e-4)
    tangents = jax.jvp(fast, _ARGUMENTS, _ARGUMENTS)
    assert_equal(tangents, jax.jvp(_FUNCTION, _ARGUMENTS, _ARGUMENTS), 1e-4)


def test_gradient_inside():
    _check(jax.value_and_grad(lambda w, x: jnp.tanh(x @ w).sum()), normal(4, 4), normal(3, 4))


def test_vmap_and_scan():
    xs = normal(5, 256)
    fast = _jit(lambda a, x: (a @ a) @ x)
    a = _ARGUMENTS[0] / 16
    plain = lambda a, x: (a @ a) @ x  # noqa: E731
    in_axes = (None, 0)
    assert_equal([jax.vmap(fast, in_axes)(a, xs)], [jax.vmap(plain, in_axes)(a, xs)], 1e-4)
    step = lambda f: lambda carry, x: (f(a, carry) + x, carry)  # noqa: E731
    assert_equal(jax.lax.scan(step(fast), xs[0], xs), jax.lax.scan(step(plain), xs[0], xs), 1e-4)


def test_inside_other_jits():
    inner = _jit(_FUNCTION)
    assert_equal([jax.jit(inner)(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS)])
    outer = _jit(lambda *arguments: inner(*arguments) * 2)
    assert_equal([outer(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS) * 2])
    assert inner.reports == []
    assert len(outer.reports) == 1


def test_ahead_of_time():
    fast = _jit(_FUNCTION)
    compiled = fast.lower(*_ARGUMENTS).compile()
    assert_equal([compiled(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS)])
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in _ARGUMENTS]
    assert_equal([fast.lower(*shapes).compile()(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS)])
    assert fast.trace(*_ARGUMENTS).out_info.shape == (256,)
    assert fast.eval_shape(*_ARGUMENTS).shape == (256,)


def test_new_shapes_and_cleared_cache():
    fast = _jit(lambda x: x @ x)
    for n in (3, 4, 3):
        fast(normal(n, n))
    assert len(fast.reports) == 2
    fast.clear_cache()
    fast(normal(3, 3))
    assert len(fast.reports) == 3


def test_disabled_jit():
    with jax.disable_jit():
        fast = _jit(_FUNCTION)
        assert_equal([fast(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS)])
    assert fast.reports == []


class _Model:
    @saturax.jit(options=_SHORT, static_argnums=0)
    def double(self, x):
        return 2 * x

    def __call__(self, x):
        return 3 * x


def test_methods_callables_and_partials():
    assert_equal([_Model().double(normal(3))], [2 * normal(3)])
    assert_equal([_jit(_Model())(normal(3))], [3 * normal(3)])
    fast = _jit(functools.partial(jnp.add, normal(3)))
    assert_equal([fast(normal(3))], [2 * normal(3)])
    assert fast.report.program == "partial"


def test_defect_runs_the_original_with_a_warning(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("a defect")

    monkeypatch.setattr(stablehlo, "import_module", fail)
    fast = _jit(_FUNCTION)
    with pytest.warns(SaturaxWarning, match=r"could not optimise <lambda>.*a defect"):
        assert_equal([fast(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS)])


def test_errors_of_the_function_are_its_own():
    def function(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):  # and no warning: ours are errors in tests
        _jit(function)(1.0)


def test_an_option_beside_the_options_says_where_it_belongs():
    with pytest.raises(TypeError, match=r"options=saturax.Options\(effort=...\)"):
        saturax.jit(jnp.sin, effort="low")


def test_wrong_options_raise_at_once():
    with pytest.raises(TypeError, match="no_such_option"):
        saturax.jit(_FUNCTION, no_such_option=1)


@pytest.mark.parametrize(("stage", "outcome"), [("saturate", "original"), ("refine", "optimized")])
def test_interruption_is_the_programs_and_later_calls_run_what_there_is(stage, outcome):
    searches = []

    def interrupt(name, detail):
        if name == stage:
            searches.append(name)
            raise KeyboardInterrupt

    # Where there is time for one race only, nothing is refined.
    unhurried = saturax.Options(time_limit_s=10.0)
    fast = saturax.jit(_FUNCTION, options=unhurried, on_progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        fast(*_ARGUMENTS)
    assert_equal([fast(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS)], 1e-4)
    assert len(searches) == 1
    assert [report.outcome for report in fast.reports] == [outcome]
    assert fast.report.warnings == ["interrupted: this is the best program found until then"]


def test_threads():
    fast = _jit(lambda x: (x @ x) @ x)
    results = {}

    def work(n):
        results[n] = fast(normal(n, n))

    threads = [threading.Thread(target=work, args=(n,)) for n in (3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in (3, 4, 5):
        assert_equal([results[n]], [normal(n, n) @ normal(n, n) @ normal(n, n)])


def test_exports_like_any_jitted_function():
    fast = saturax.jit(_FUNCTION, options=QUICK)
    exported = jax.export.export(jax.jit(lambda *a: fast(*a)))(*_ARGUMENTS)
    assert_equal([exported.call(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS)])


def test_a_call_compiles_the_optimised_program_once():
    """JAX finds the lowering that was optimised in its cache; if not, the original would run."""
    compiled = []

    def noted(module, devices, compiler_options):
        compiled.append(str(module))
        return module, None

    undo = hook_compilation(noted)
    try:
        fast = saturax.jit(_FUNCTION, options=QUICK)
        fast(*_ARGUMENTS)
        fast.lower(*_ARGUMENTS).compile()
        fast(*_ARGUMENTS)
    finally:
        undo()
    assert fast.report.outcome == "optimized"
    modules = [text for text in compiled if "stablehlo.dot_general" in text]
    assert len(modules) == 1
    assert "-> tensor<256x256xf32>" not in modules[0]  # the product of the two matrices


@_jit
def _doubled(x):
    """Twice x."""
    return 2 * x


def _tripled(x):
    return 3 * x


def test_pickled_by_name_or_as_what_it_was_made_of():
    assert pickle.loads(pickle.dumps(_doubled)) is _doubled
    fast = _jit(_tripled, donate_argnums=(0,))
    again = pickle.loads(pickle.dumps(fast))
    assert again is not fast
    assert again._options == _SHORT
    assert again.lower(jnp.ones(3)).args_info[0][0].donated
    assert float(again(jnp.ones(()))) == 3
    with pytest.raises(pickle.PicklingError, match="define the function at the top level"):
        pickle.dumps(_jit(lambda x: x))


def test_copies_are_the_function_itself():
    assert copy.copy(_doubled) is copy.deepcopy(_doubled) is _doubled
    assert (_doubled.__name__, _doubled.__doc__) == ("_doubled", "Twice x.")


def test_compiler_options_reach_the_race_and_the_cache(tmp_path, monkeypatch):
    seen, compile_module = [], contest.compile_module

    def compiled(module, **keywords):
        seen.append(keywords["options"])
        return compile_module(module, **keywords)

    monkeypatch.setattr(contest, "compile_module", compiled)
    flags = {"xla_cpu_enable_fast_min_max": True}
    options = Options(time_limit_s=1.0, cache=tmp_path)
    x = normal(64, 64)
    with_flags = saturax.jit(jnp.matmul, options=options, compiler_options=flags)
    with_flags(x, x)
    assert seen
    assert all(flags.items() <= each.items() for each in seen)
    seen.clear()
    saturax.jit(jnp.matmul, options=options)(x, x)
    assert seen  # not found in the cache, where flags are part of the key
    assert not any(flags.items() <= each.items() for each in seen)
