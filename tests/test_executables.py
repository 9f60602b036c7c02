"""Executables in the cache: loaded where all is as it was, compiled anew where anything differs."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import compiler
from jax.experimental.compilation_cache import compilation_cache
from running import assert_equal, matrix_chain, normal

import saturax
from saturax import Options
from saturax.cache import executables
from saturax.cache.executables import Ahead
from saturax.cache.store import ProgramCache
from saturax.freezing.constants import WithConstants
from saturax.jax_internals import fast_calls_after

_FUNCTION, _ARGUMENTS = matrix_chain(256)


def _jitted(folder, function=_FUNCTION, **settings):
    return saturax.jit(function, options=Options(time_limit_s=5.0, cache=folder), **settings)


@pytest.fixture
def compilations(monkeypatch):
    """The names of the modules that XLA compiles from now on."""
    names = []
    compile_and_load = compiler.backend_compile_and_load

    def noted(backend, module, *rest):
        names.append(str(module.operation.attributes["sym_name"]))
        return compile_and_load(backend, module, *rest)

    monkeypatch.setattr(compiler, "backend_compile_and_load", noted)
    return names


def _only_entry(folder):
    modules = ProgramCache(folder).modules()
    (name,) = modules.names()
    return modules, name, modules.get(name)


def test_what_was_compiled_before_is_loaded(tmp_path, compilations):
    before = compiler.compile_or_get_cached
    expected = _jitted(tmp_path)(*_ARGUMENTS)
    assert len(compilations) == 1
    again = _jitted(tmp_path)
    assert_equal([again(*_ARGUMENTS)], [expected])
    assert again.report.outcome == "optimized"
    assert len(compilations) == 1
    assert again.lower(*_ARGUMENTS).compile().memory_analysis() is not None
    assert compiler.compile_or_get_cached is before


def test_the_original_is_loaded_too(tmp_path, compilations):
    arguments = normal(64, 64), normal(64, 64)
    first, again = (_jitted(tmp_path, jnp.matmul) for _ in range(2))
    expected = first(*arguments)
    assert first.report.outcome == "original"
    assert_equal([again(*arguments)], [expected])
    assert len(compilations) == 1


@pytest.fixture
def cache_of_jax(tmp_path):
    """JAX's own compilation cache, in an empty folder."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path / "jax"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_what_jax_has_loaded_is_not_kept(tmp_path, compilations, cache_of_jax):
    """XLA leaves out the functions where it writes again what it has loaded."""
    x = normal(64, 64)
    expected = jax.jit(jnp.sin)(x)
    assert len(compilations) == 1
    for _ in range(3):
        jitted = _jitted(tmp_path / "saturax", jnp.sin)
        assert_equal([jitted(x)], [expected])
        assert jitted.report.outcome == "original"
    assert len(compilations) == 1


def test_other_options_of_xla_are_other_executables(tmp_path, compilations):
    _jitted(tmp_path)(*_ARGUMENTS)
    with jax.default_matmul_precision("float32"):  # another module
        _jitted(tmp_path)(*_ARGUMENTS)
    assert len(compilations) == 2
    _jitted(tmp_path, compiler_options={"xla_cpu_enable_fast_min_max": True})(*_ARGUMENTS)
    assert len(compilations) == 3


@pytest.mark.parametrize("spoilt", ["compiled", "compiled for", "devices"])
def test_what_does_not_fit_is_compiled_anew(tmp_path, compilations, spoilt):
    expected = _jitted(tmp_path)(*_ARGUMENTS)
    modules, name, entry = _only_entry(tmp_path)
    if spoilt == "compiled":
        entry = replace(entry, blobs={**entry.blobs, spoilt: b"none"})
    else:
        entry = replace(entry, document={**entry.document, spoilt: ["other"]})
    modules.put(name, entry)
    for _ in range(2):
        assert_equal([_jitted(tmp_path)(*_ARGUMENTS)], [expected])
    assert len(compilations) == 2  # what was compiled anew is kept


def test_a_wrong_guess_does_no_harm(tmp_path, monkeypatch):
    def scaled(x):
        return x * scale

    x = normal(8, 8)
    for scale in (2.0, 3.0, 2.0):
        assert_equal([_jitted(tmp_path, scaled)(x)], [x * scale])
    monkeypatch.setattr(Ahead, "of", lambda *_: 1 / 0)
    assert_equal([_jitted(tmp_path, scaled)(x)], [x * scale])


def test_frozen_functions_load_what_they_run(tmp_path, compilations):
    def function(weights, x):
        return (x @ weights[0]) @ weights[1]

    options = Options(time_limit_s=20.0, cache=tmp_path)
    first, again, other = (normal(256, 256, seed=i) for i in (1, 2, 3))
    x = normal(256, 256, seed=5)
    expected = saturax.freeze(function, (first, again), options=options)(x)
    assert compilations
    compilations.clear()
    frozen = saturax.freeze(function, (first, again), options=options)
    assert_equal([frozen(x)], [expected])
    assert frozen.report.cached
    assert compilations == []
    frozen = saturax.freeze(function, (other, again), options=options)
    assert_equal([frozen(x)], [function((other, again), x)])


@pytest.fixture
def with_constants(tmp_path, monkeypatch):
    """A program with constants, which an earlier process has kept; how later ones make theirs."""
    main = jax.export.export(jax.jit(lambda weights, args, kwargs: jnp.tanh(args[0] @ weights[0])))
    x = jax.ShapeDtypeStruct((8,), jnp.float32)
    exported = main([jax.ShapeDtypeStruct((8, 8), jnp.float32)], (x,), {})
    options = Options(cache=tmp_path)

    def made(weights):
        program = WithConstants(exported, [jnp.asarray(weights)])
        program.compile((normal(8),), {}, options)
        call = fast_calls_after(lambda x: jnp.tanh(x @ weights), lambda args, kwargs: (program, []))
        return program, call

    made(normal(8, 8))
    return made


def test_constants_are_loaded_without_writing_them(with_constants, monkeypatch, compilations):
    x, weights = normal(8, seed=1), normal(8, 8)
    with monkeypatch.context() as patch:
        patch.setattr("saturax.assembly.split.with_constants", lambda *_: 1 / 0)
        program, call = with_constants(weights)
        for _ in range(2):
            assert_equal([call(x)], [np.tanh(x @ weights)])
        assert compilations == []
    assert "custom_call" not in program.lower([], (x,), {}).as_text()
    other, _ = with_constants(2 * weights)  # values are in the key
    assert_equal([other([], (x,), {})], [np.tanh(x @ (2 * weights))])
    assert len(compilations) == 1


@pytest.mark.parametrize("change", ["caches", "settings", "options", "executable"])
def test_what_stands_for_constants_never_runs(with_constants, monkeypatch, change):
    x, weights = normal(8, seed=1), normal(8, 8)
    if change == "options":
        monkeypatch.setattr(executables, "_settings", lambda options: "others")
    if change == "executable":
        monkeypatch.setattr(executables, "load_executable", lambda *_: 1 / 0)
    _, call = with_constants(weights)
    if change == "settings":
        with jax.debug_nans(True):
            assert_equal([call(x)], [np.tanh(x @ weights)])
            with pytest.raises(FloatingPointError):
                call(x * np.nan)
    for _ in range(2):
        assert_equal([call(x)], [np.tanh(x @ weights)])
        if change == "caches":
            jax.clear_caches()


def test_a_provider_that_fails_leaves_compiling_to_xla(tmp_path, monkeypatch):
    monkeypatch.setattr(executables, "_settings", lambda options: 1 / 0)
    assert_equal([_jitted(tmp_path)(*_ARGUMENTS)], [_FUNCTION(*_ARGUMENTS)])


def test_programs_that_call_python_are_compiled_by_each_process(tmp_path):
    def function(x, name):
        jax.debug.callback(lambda value: seen.append((name, float(value))), x.sum())
        return x + 1

    x = jnp.ones(4)
    for name in ("first", "second"):
        seen = []
        _jitted(tmp_path, function, static_argnums=1)(x, name)
        jax.effects_barrier()
        assert seen == [(name, 4.0)]


def test_functions_that_fail_say_so_themselves(tmp_path):
    function = _jitted(tmp_path)
    with pytest.raises(TypeError, match="dot_general"):
        function(jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.ones(2))


def test_another_module_is_compiled_by_xla(tmp_path, monkeypatch):
    """What JAX compiles beside a module is not given that module's executable, nor kept as such."""
    _jitted(tmp_path)(*_ARGUMENTS)
    kept = _only_entry(tmp_path)
    compile_once, other = executables.compile_once, jax.jit(lambda x: x + 2)
    found = []

    def compile_with_another(lowered, memory, ahead):
        provided = executables.provided

        def with_another(provider):
            block = provided(provider)
            block.__enter__()
            found.append(other(jnp.ones(3)))
            block.__exit__(None, None, None)
            return provided(provider)

        monkeypatch.setattr(executables, "provided", with_another)
        compile_once(lowered, memory, ahead)

    monkeypatch.setattr("saturax.jitted.compile_once", compile_with_another)
    expected = _FUNCTION(*_ARGUMENTS)
    assert_equal([_jitted(tmp_path)(*_ARGUMENTS)], [expected])
    assert_equal(found, [jnp.full(3, 3.0)])
    assert _only_entry(tmp_path)[1:] == kept[1:]
