"""`saturax.freeze`: same results, computed from prepared values; refrozen, saved and loaded."""

from __future__ import annotations

import json
import logging
import resource
import signal
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from running import assert_equal, normal

import saturax
from saturax import FrozenError, Options, SaturaxWarning, pipeline, stablehlo
from saturax.freezing.preparation import compiled_by_jax
from saturax.freezing.program import FrozenProgram
from saturax.mlir_modules import parse_module

_ORIGINAL = Options(time_limit_s=0)
_QUICK = Options(time_limit_s=8.0)


def _weights(seed=0, n=256):
    names = ("q", "k", "v")
    return {name: normal(n, n, seed=seed + i) / 16 for i, name in enumerate(names)}


def _fold(weights, x):
    return ((x @ weights["q"]) @ weights["k"]) @ weights["v"]


def _data(result):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(result)]


@pytest.fixture(scope="module")
def folded():
    """Chosen by prediction: what comes out does not depend on how busy the machine is."""
    options = Options(time_limit_s=200.0, measure=False)
    function = saturax.freeze(_fold, _weights(), options=options)
    with pytest.warns(SaturaxWarning, match="chosen by prediction"):
        function(_x())
    return function


def _x(seed=9):
    return normal(256, 256, seed=seed)


def test_what_depends_on_weights_only_is_computed_once(folded):
    assert_equal(_data(folded(_x())), _data(_fold(_weights(), _x())))
    report = folded.report
    assert report.outcome == "optimized"
    assert report.frozen.computed["dot_general"] == 2
    assert report.frozen.bytes_before == 3 * 256 * 256 * 4
    assert report.frozen.bytes_after == 256 * 256 * 4
    assert "computed beforehand" in saturax.report.text.explain(report)
    json.loads(report.to_json())


def test_measured_programs_compute_the_same():
    fast = saturax.freeze(_fold, _weights(), options=_QUICK)
    assert_equal(_data(fast(_x())), _data(_fold(_weights(), _x())))
    assert_equal(_data(fast.refreeze(_weights(seed=9))(_x())), _data(_fold(_weights(seed=9), _x())))
    assert fast.report.frozen.form in ("arguments", "constants")


def test_refreeze_runs_no_search(folded, monkeypatch):
    folded(_x())
    monkeypatch.setattr(pipeline, "optimize_program", None)
    other = folded.refreeze(_weights(seed=50))
    assert_equal(_data(other(_x())), _data(_fold(_weights(seed=50), _x())))
    assert_equal(_data(folded(_x())), _data(_fold(_weights(), _x())))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (lambda: {**_weights(), "z": normal(2)}, r"frozen|structure"),
        (lambda: _weights(n=64), r"args\[0\]\['k'\] of shape \(256, 256\).*\(64, 64\)"),
        (lambda: {k: v.astype(np.float16) for k, v in _weights().items()}, "float16"),
        (lambda: list(_weights().values()), r"args\[0\]"),
    ],
)
def test_refreeze_says_what_does_not_fit(folded, values, text):
    with pytest.raises(FrozenError, match=text):
        folded.refreeze(values())


def test_saved_and_loaded(folded, tmp_path):
    folded(_x())
    path = tmp_path / "model.safetensors"
    folded.save(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    loaded = saturax.load_frozen(path)
    assert loaded.__name__ == "_fold"
    assert_equal(_data(loaded(_x())), _data(folded(_x())), 0)
    assert loaded.reports[0]["frozen"]["bytes_after"] == 256 * 256 * 4
    new = _weights(seed=70)
    assert_equal(_data(loaded.refreeze(new)(_x())), _data(_fold(new, _x())))
    assert_equal(_data(jax.jit(loaded)(_x())), _data(folded(_x())))
    with pytest.raises(FrozenError, match="saved for"):
        loaded(normal(3, 256))
    with pytest.raises(FrozenError, match=r"\['k'\]"):
        loaded.refreeze({"a": normal(2)})


def test_files_that_are_something_else(folded, tmp_path, monkeypatch):
    folded(_x())
    path = tmp_path / "model.safetensors"
    folded.save(path)
    whole = path.read_bytes()
    for content in (b"", b"pickle", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(FrozenError, match="freeze and save the function again"):
            saturax.load_frozen(path)
    path.write_bytes(whole.replace(b"saturax frozen 1", b"saturax frozen 9"))
    with pytest.raises(FrozenError, match="format 'saturax frozen 1'"):
        saturax.load_frozen(path)
    path.write_bytes(whole.replace(b'platform\\": \\"cpu', b'platform\\": \\"gpu'))
    with pytest.raises(FrozenError, match="was saved for gpu"):
        saturax.load_frozen(path)
    path.write_bytes(whole.replace(b" cores |", b" corez |"))
    with pytest.warns(SaturaxWarning, match="need not be the fastest"):
        saturax.load_frozen(path)
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])  # one bit of the weights
    with pytest.raises(FrozenError, match="checksum is wrong"):
        saturax.load_frozen(path)
    with pytest.raises(FileNotFoundError):
        saturax.load_frozen(tmp_path / "none")


_LOADING = """
import sys, numpy as np, saturax
loaded = saturax.load_frozen(sys.argv[1])
print(np.asarray(loaded.refreeze(2 * np.eye(3, dtype=np.float32))(np.ones(3, np.float32))))
print([name for name in sys.modules if name.startswith("saturax.pipeline")])
"""


def test_a_loaded_file_needs_neither_the_optimiser_nor_what_was_lowered_before(tmp_path):
    """Its calls of LAPACK, in the prologue and in the main program, are bound."""

    def whitened(matrix, x):
        factor = jnp.linalg.cholesky(matrix)
        return jnp.linalg.cholesky(jnp.diag(x) + factor @ factor.T).sum()

    fast = saturax.freeze(whitened, np.eye(3, dtype=np.float32), options=_ORIGINAL)
    fast(np.ones(3, np.float32))
    fast.save(tmp_path / "x")
    done = subprocess.run(
        [sys.executable, "-c", _LOADING, tmp_path / "x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) == pytest.approx(3 * 3**0.5, rel=1e-5)
    assert done.stdout.split()[1] == "[]"


def test_prologues_are_in_the_compilation_cache_of_jax(tmp_path):
    text = (
        "func.func public @main(%0: tensor<2xf32>) -> tensor<2xf32> { return %0 : tensor<2xf32> }"
    )
    artifact = stablehlo.to_portable_artifact(parse_module(text))
    kept = {"jax_compilation_cache_dir": str(tmp_path)}
    kept |= {"jax_persistent_cache_min_compile_time_secs": 0.0}
    before = {name: getattr(jax.config, name) for name in kept}
    try:
        for name, value in kept.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        (found,) = compiled_by_jax(artifact)([jnp.ones(2)])
        assert_equal([found], [np.ones(2, np.float32)])
        assert list(tmp_path.glob("*prologue*-cache"))
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def test_a_file_that_cannot_be_written_leaves_nothing(folded, tmp_path):
    folded(_x())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        with pytest.raises(FrozenError, match="room on the disk"):
            folded.save(tmp_path / "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_save_yet(tmp_path):
    with pytest.raises(FrozenError, match="there is none yet"):
        saturax.freeze(_fold, _weights(), options=_ORIGINAL).save(tmp_path / "x")


def test_all_element_types_are_saved(tmp_path):
    kinds = (jnp.bfloat16, jnp.float16, jnp.int8, jnp.uint32, jnp.bool_, jnp.complex64)
    values = [jnp.asarray(3 * normal(4, 4)).astype(kind) for kind in kinds]
    values += [jnp.asarray(normal(4)).astype(jnp.float8_e4m3fn), jnp.float32(2), normal(0, 4)]

    def function(frozen, x):
        return [jnp.concatenate([value.reshape(-1), value.reshape(-1)]) for value in frozen], x

    fast = saturax.freeze(function, values, options=_ORIGINAL)
    expected = fast(1.0)
    fast.save(tmp_path / "x")
    found = saturax.load_frozen(tmp_path / "x")(1.0)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


def test_positional_named_and_keyword_only_arguments():
    def function(a, b, /, c, d=2.0, *rest, e, **more):
        return a + 2 * b + 3 * c + 4 * d + sum(rest) + 5 * e + sum(more.values())

    arrays = [jnp.float32(x) for x in (1, 2, 3, 4, 5, 6)]
    a, b, c, d, e, f = arrays
    expected = function(a, b, c, d, e=e, f=f)
    assert saturax.freeze(function, a, options=_ORIGINAL)(b, c, d, e=e, f=f) == expected
    assert saturax.freeze(function, c=c, e=e, options=_ORIGINAL)(a, b, d=d, f=f) == expected
    assert saturax.freeze(function, a, b, d=d, f=f, options=_ORIGINAL)(c, e=e) == expected
    frozen = saturax.freeze(function, a, c=c, e=e, options=_ORIGINAL)
    assert frozen(b, d, f=f) == expected
    assert frozen.refreeze(b, c=c, e=e)(b, d, f=f) == expected + 1
    with pytest.raises(TypeError):
        frozen(b, c=c)


def test_leaves_that_are_not_arrays_are_static():
    def function(settings, x):
        return settings["act"](x) if settings["on"] else x.reshape(settings["shape"])

    x = normal(6)
    frozen = saturax.freeze(
        function, {"act": jnp.tanh, "on": True, "shape": None}, options=_ORIGINAL
    )
    assert_equal(_data(frozen(x)), [np.tanh(x)])
    with pytest.raises(FrozenError, match="not arrays"):
        frozen.refreeze({"act": jnp.sin, "on": True, "shape": None})
    other = saturax.freeze(function, {"act": None, "on": False, "shape": (2, 3)}, options=_ORIGINAL)
    assert other(x).shape == (2, 3)


def test_functions_that_hold_arrays_themselves():
    equinox = pytest.importorskip("equinox")
    model = equinox.nn.MLP(4, 3, 8, 2, key=jax.random.key(0))
    fast = saturax.freeze(model, options=_ORIGINAL)
    assert_equal([fast(normal(4))], [model(normal(4))])
    other = equinox.nn.MLP(4, 3, 8, 2, key=jax.random.key(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_equal([fast.refreeze(other)(normal(4))], [other(normal(4))])
    partial = jax.tree_util.Partial(_fold, _weights())
    assert_equal([saturax.freeze(partial, options=_ORIGINAL)(_x())], [_fold(_weights(), _x())])


def test_flax_module():
    linen = pytest.importorskip("flax.linen")
    model = linen.Dense(5)
    variables = model.init(jax.random.key(0), normal(2, 3))
    fast = saturax.freeze(model.apply, variables, options=_ORIGINAL)
    assert_equal([fast(normal(2, 3))], [model.apply(variables, normal(2, 3))])


def test_closed_over_constants_are_frozen_too():
    table = jnp.asarray(normal(256, 512))
    fast = saturax.freeze(lambda x: x @ table, options=_ORIGINAL)
    assert_equal([fast(_x())], [_x() @ np.asarray(table)])
    assert fast.report.frozen.bytes_before == table.nbytes


@pytest.mark.parametrize("form", ["arguments", "constants"])
def test_original_that_is_kept_is_the_module_that_jax_made(tmp_path, monkeypatch, form):
    monkeypatch.setattr("saturax.racing.frozen_contest._is_gain", lambda entry: form == "constants")
    monkeypatch.setattr("saturax.racing.selection.confirm", lambda *arguments: None)
    table = jnp.asarray(normal(256, 256, seed=5))

    @jax.jit
    def named_part(x):
        return jnp.tanh(x) + table

    def apply(weights, x):
        return named_part(x @ weights)

    def closed(x):
        return apply(weights, x)

    weights, other = jnp.asarray(normal(256, 256)), normal(256, 256, seed=3)
    x = normal(256, 256, seed=4)
    fast = saturax.freeze(apply, weights, options=_QUICK)
    assert_equal([fast(x)], [apply(weights, x)])
    assert fast.report.outcome == "original"
    assert fast.report.frozen.form == form
    by_jax = jax.jit(closed).lower(x) if form == "constants" else jax.jit(apply).lower(weights, x)
    assert _body(fast.lower(x)) == _body(by_jax)
    assert_equal([fast.refreeze(other)(x)], [apply(other, x)])
    fast.save(tmp_path / "model.safetensors")
    loaded = saturax.load_frozen(tmp_path / "model.safetensors")
    assert_equal([loaded(x)], [apply(weights, x)])
    assert_equal([loaded.refreeze(other)(x)], [apply(other, x)])


@pytest.mark.parametrize("form", ["arguments", "constants"])
def test_later_calls_run_no_python(monkeypatch, form):
    monkeypatch.setattr("saturax.racing.frozen_contest._is_gain", lambda entry: form == "constants")
    asked = []
    held = FrozenProgram.held
    monkeypatch.setattr(FrozenProgram, "held", lambda self: (asked.append(1), held(self))[1])
    weights, others = _weights(), {name: 2 * value for name, value in _weights().items()}
    fast = saturax.freeze(_fold, weights, options=_QUICK)
    assert_equal([fast(_x())], [_fold(weights, _x())])
    other = fast.refreeze(others)
    assert_equal([other(_x())], [_fold(others, _x())])
    count = len(asked)
    for _ in range(2):
        assert_equal([fast(_x()), other(_x())], [_fold(weights, _x()), _fold(others, _x())])
    assert len(asked) == count
    jax.clear_caches()
    assert_equal([fast(_x())], [_fold(weights, _x())])


def _body(lowered):
    """The operations of a lowered function, without its names."""
    return lowered.as_text().partition("func.func public @main")[2].partition("{\n")[2]


def test_transformations_see_the_original():
    fast = saturax.freeze(_fold, _weights(), options=_ORIGINAL)
    expected = jax.grad(lambda x: _fold(_weights(), x).sum())(_x())
    assert_equal([jax.grad(lambda x: fast(x).sum())(_x())], [expected])
    assert_equal([jax.vmap(fast)(_x()[:, None])[:, 0]], [_fold(_weights(), _x())])
    assert_equal([jax.jit(fast)(_x())], [_fold(_weights(), _x())])
    with jax.disable_jit():
        assert_equal([fast(_x())], [_fold(_weights(), _x())])


def test_keys_weak_types_and_result_trees():
    def function(key, x):
        return {"noise": jax.random.normal(key, (3,)) * x, "key": key}, (2 * x, None)

    fast = saturax.freeze(function, jax.random.key(4), options=_ORIGINAL)
    for x in (2.0, np.float32(3), jnp.ones(3), 1):
        found, expected = fast(x), jax.jit(function)(jax.random.key(4), x)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert a.aval == b.aval
    assert len(fast.reports) == 4


def test_errors_of_the_function_are_its_own():
    def function(w, x):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        saturax.freeze(function, normal(2), options=_ORIGINAL)(normal(2))
    with pytest.raises(TypeError, match=r"dot_general|matmul"):
        saturax.freeze(_fold, _weights(), options=_ORIGINAL)(normal(3, 5))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: saturax.freeze(3), "expected a function"),
        (lambda: saturax.freeze(lambda x: x, 1, 2), "too many"),
        (lambda: saturax.freeze(lambda x: x, y=2), "'y'"),
        (lambda: saturax.freeze(min, key=1), "by position|keyword|key"),
        (lambda: jax.jit(lambda w: saturax.freeze(_fold, w))(_weights()), "being traced"),
    ],
)
def test_arguments_that_cannot_be_frozen(make, text):
    with pytest.raises(FrozenError, match=text):
        make()


def test_programs_with_effects_run_unoptimised():
    def function(w, x):
        jax.debug.print("{}", x[0])
        return w * x

    fast = saturax.freeze(function, normal(3), options=_QUICK)
    with pytest.warns(SaturaxWarning, match="could not optimise function"):
        found = fast(normal(3))
    assert_equal([found], [normal(3) ** 2])
    assert fast.report is None
    with pytest.raises(FrozenError, match="runs unoptimised"):
        fast.save("x")


def test_memory_growth_is_bounded():
    def function(w, x):
        return x @ (w[:, :, None] * w[:, None, :]).reshape(64, 64 * 64)

    w, x = normal(64, 64), normal(512, 64)
    for growth, limit in ((1.0, 1 << 20), (1000.0, 1 << 24)):
        options = Options(time_limit_s=3.0, frozen_growth=growth)
        fast = saturax.freeze(function, w, options=options)
        assert_equal([fast(x)], [function(w, x)])
        assert fast.report.frozen.bytes_after <= limit


def test_disabled(monkeypatch, caplog):
    monkeypatch.setenv("SATURAX_DISABLE", "1")
    monkeypatch.setattr(saturax.options, "_reported", set())
    with caplog.at_level(logging.WARNING, "saturax"):
        fast = saturax.freeze(_fold, _weights())
        jitted = saturax.jit(_fold)
        for _ in range(2):
            assert_equal([fast(_x())], [_fold(_weights(), _x())])
            assert_equal([jitted(_weights(), _x())], [_fold(_weights(), _x())])
    assert [record.message for record in caplog.records] == [
        "SATURAX_DISABLE is set: functions run as under jax.jit"
    ]
    assert fast.report is None
    assert jitted.report is None
    assert saturax.optimize(_fold, _weights(), _x()).report.reason == "SATURAX_DISABLE is set"


def test_what_is_remembered_compiles_to_the_same_module(tmp_path, monkeypatch):
    """So that JAX's compilation cache has it for the next process, with constants, too."""
    monkeypatch.setattr("saturax.racing.frozen_contest._is_gain", lambda entry: True)

    def scaled(weights, x):
        y = jnp.maximum(_fold(weights, x) + weights["b"], 0.1)
        return jnp.tanh(y * weights["c"]) - weights["d"]

    weights = _weights() | {name: normal(256, seed=i) for i, name in enumerate("bcd")}
    options = Options(time_limit_s=6.0, cache=tmp_path)
    texts = []
    for _ in range(2):
        function = saturax.freeze(scaled, weights, options=options)
        texts.append(function.lower(_x()).as_text())
    assert function.report.cached
    assert function.report.frozen.form == "constants"
    assert texts[0] == texts[1]
