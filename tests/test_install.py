"""`saturax.install` and `saturax run`: unchanged programs, optimised and with the same results."""

import json
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src import compiler

import saturax
from saturax import installation, stablehlo
from saturax.errors import OptionsError
from saturax.installation import install, uninstall
from saturax.mlir_modules import module_name, parse_module
from saturax.options import Options
from saturax.racing import contest

QUICK = Options(time_limit_s=4, candidates=2, cache=False)


@pytest.fixture(autouse=True)
def _clean():
    jax.clear_caches()
    yield
    uninstall()
    jax.clear_caches()


def chain(a, x):
    """Cheaper as a·(a·x): any search finds that, and the difference can be measured."""
    return jnp.tanh((a @ a @ a) @ x)


def matrix(n=256):
    return np.random.default_rng(0).standard_normal((n, n)).astype("f") / n**0.5


def vector(n=256):
    return np.random.default_rng(1).standard_normal(n).astype("f")


def _wait(installed):
    """Until nothing is optimised in the background any more."""
    for _ in range(600):
        if not any(decision.is_pending for decision in installed.decisions):
            return
        time.sleep(0.1)


def test_programs_are_optimised_and_results_stay():
    expected = jax.jit(chain)(matrix(), vector())
    jax.clear_caches()
    installed = install(options=QUICK, minimum_operations=3)
    np.testing.assert_allclose(jax.jit(chain)(matrix(), vector()), expected, rtol=2e-5, atol=2e-5)
    (decision,) = [d for d in installed.decisions if d.program == "jit_chain"]
    assert decision.report.outcome == "optimized"
    assert "jit_chain" in installed.summary()
    assert "times as fast" in installed.summary()


def test_gradients_and_batches_are_programs_like_any_other():
    def loss(a, x):
        return chain(a, x).sum()

    batch = np.stack([vector(), 2 * vector()])
    plain = jax.vmap(jax.grad(loss, argnums=1), (None, 0))
    expected = plain(matrix(), batch)
    jax.clear_caches()
    installed = install(options=QUICK, minimum_operations=3)
    found = jax.jit(plain)(matrix(), batch)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert len([d for d in installed.decisions if d.report is not None]) >= 1


def test_what_is_small_or_denied_is_left_alone():
    installed = install(options=QUICK, minimum_operations=100)
    jax.jit(chain)(matrix(8), vector(8))
    assert installed.decisions == []
    for name in ("chain", "jit_chain"):  # as Python has it, and as reports do
        installed = install(options=QUICK, minimum_operations=1, deny=[name])
        jax.clear_caches()
        jax.jit(chain)(matrix(8), vector(8))
        assert [d.program for d in installed.decisions if "chain" in d.program] == []
    installed = install(options=QUICK, minimum_operations=1, allow=["other*"])
    jax.clear_caches()
    jax.jit(chain)(matrix(8), vector(8))
    assert installed.decisions == []


def test_a_lambda_is_no_helper_of_jax():
    # Its module is called jit__lambda, as if it had an underscore before it.
    installed = install(options=QUICK, minimum_operations=3)
    jax.jit(lambda a, x: chain(a, x))(matrix(8), vector(8))
    assert [d.program for d in installed.decisions] == ["jit__lambda"]
    installed = install(options=QUICK, minimum_operations=3, deny=["<lambda>"])
    jax.clear_caches()
    jax.jit(lambda a, x: chain(a, x))(matrix(8), vector(8))
    assert installed.decisions == []


def test_programs_that_call_python_are_optimised_without_calling_it():
    seen = []

    def noisy(a, x):
        y = (a @ a) @ x
        jax.debug.callback(seen.append, y.sum())
        return y * 2

    installed = install(options=QUICK, minimum_operations=1)
    jax.jit(noisy)(matrix(), vector()).block_until_ready()
    jax.effects_barrier()
    assert len(seen) == 1
    (decision,) = [d for d in installed.decisions if d.program == "jit_noisy"]
    assert decision.report.outcome == "optimized"


def test_donated_buffers_are_still_donated():
    install(options=QUICK, minimum_operations=2)
    step = jax.jit(lambda state, a: (a @ a) @ state, donate_argnums=0)
    state = jnp.asarray(vector())
    step(state, matrix()).block_until_ready()
    assert state.is_deleted()


def test_in_the_background_the_original_runs_until_the_result_is_there():
    installed = install(options=QUICK, minimum_operations=3, background=True)
    f = jax.jit(chain)
    first = f(matrix(), vector())
    for _ in range(600):
        if not any(d.is_pending for d in installed.decisions):
            break
        jax.block_until_ready(f(matrix(), vector()))
        time.sleep(0.1)
    (decision,) = [d for d in installed.decisions if d.program == "jit_chain"]
    assert decision.report.outcome == "optimized"
    np.testing.assert_allclose(f(matrix(), vector()), first, rtol=2e-5, atol=2e-5)
    text = f.lower(matrix(), vector()).compile().as_text()
    assert "256,256]{1,0} dot(" not in text  # the product of matrices is gone


@pytest.mark.parametrize("background", [False, True])
def test_the_next_process_neither_imports_nor_compiles(tmp_path, monkeypatch, background):
    options = replace(QUICK, cache=tmp_path)
    expected = chain(matrix(), vector())
    jax.clear_caches()
    install(options=options, minimum_operations=3)
    jax.jit(chain)(matrix(), vector())
    jax.jit(jnp.matmul)(matrix(), matrix())  # kept as it is
    jax.clear_caches()
    compiled = []
    compile_and_load = compiler.backend_compile_and_load

    def noted(backend, module, *rest):
        compiled.append(module_name(module))
        return compile_and_load(backend, module, *rest)

    monkeypatch.setattr(compiler, "backend_compile_and_load", noted)
    monkeypatch.setattr(stablehlo, "import_module", lambda source: 1 / 0)
    installed = install(options=options, minimum_operations=3, background=background)
    found = jax.jit(chain)(matrix(), vector())
    jax.jit(jnp.matmul)(matrix(), matrix())
    uninstall()
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    reports = {each.program: each.report for each in installed.decisions}
    assert reports["jit_chain"].outcome == "optimized"
    assert reports["jit_chain"].cached
    assert "jit_chain" not in compiled
    assert "jit_matmul" not in compiled


def test_an_executable_is_for_its_own_options_of_xla(tmp_path):
    options = replace(QUICK, cache=tmp_path)
    arguments = matrix(), vector()
    install(options=options, minimum_operations=3)
    texts = []
    for settings in ({}, {"xla_backend_optimization_level": 0}, {}):
        jax.clear_caches()
        f = jax.jit(chain, compiler_options=settings)
        texts.append(f.lower(*arguments).compile().as_text())
        np.testing.assert_allclose(f(*arguments), chain(*arguments), rtol=2e-5, atol=2e-5)
    assert texts[0] == texts[2]


@pytest.mark.parametrize("background", [False, True])
def test_compiler_options_reach_the_race_and_the_cache(background, tmp_path, monkeypatch):
    seen, compile_module = [], contest.compile_module

    def compiled(module, **keywords):
        seen.append(dict(keywords["options"]))
        return compile_module(module, **keywords)

    monkeypatch.setattr(contest, "compile_module", compiled)
    options = replace(QUICK, cache=tmp_path)
    installed = install(options=options, minimum_operations=3, background=background)
    named = {"xla_cpu_enable_fast_min_max": True}
    for settings in (named, {"optimization_level": 1}, {}):
        seen.clear()
        jax.jit(chain, compiler_options=settings)(matrix(), vector())
        _wait(installed)
        assert seen  # not found in the cache, where they are part of the key
        # Of what is run to be compared with.
        others = {"xla_backend_optimization_level", "xla_cpu_scheduler_type"}
        assert all({k: v for k, v in each.items() if k not in others} == settings for each in seen)
    seen.clear()
    jax.clear_caches()
    compiled_later = jax.jit(chain).lower(matrix(), vector()).compile(compiler_options=named)
    _wait(installed)
    assert not seen  # it is the first of them
    expected = chain(matrix(), vector())
    np.testing.assert_allclose(compiled_later(matrix(), vector()), expected, rtol=2e-5, atol=2e-5)


def test_races_time_the_module_of_jax_itself(monkeypatch):
    """XLA orders the same operations differently where they are written anew."""
    seen, init = [], contest.Contest.__post_init__

    def begun(self):
        seen.append(self.source)
        init(self)

    monkeypatch.setattr(contest.Contest, "__post_init__", begun)
    install(options=QUICK, minimum_operations=3)
    jax.jit(chain)(matrix(), vector())
    assert [module_name(parse_module(source)) for source in seen] == ["jit_chain"]


def test_whatever_fails_the_original_runs(monkeypatch):
    monkeypatch.setattr(installation, "operations_at_most", lambda module, limit: 1 / 0)
    monkeypatch.setattr(installation.logger, "disabled", True)
    installed = install(options=QUICK, minimum_operations=3)
    expected = chain(matrix(), vector())
    np.testing.assert_allclose(jax.jit(chain)(matrix(), vector()), expected, rtol=2e-5, atol=2e-5)
    assert "ZeroDivisionError" in {d.program: d.reason for d in installed.decisions}["jit_chain"]


def test_uninstall_leaves_jax_as_it_was():
    from jax._src import compiler

    before = compiler.compile_or_get_cached
    install(options=QUICK)
    assert compiler.compile_or_get_cached is not before
    uninstall()
    assert compiler.compile_or_get_cached is before


def test_an_unknown_jax_is_refused(monkeypatch):
    from jax._src import compiler

    monkeypatch.setattr(compiler, "compile_or_get_cached", lambda backend: None)
    with pytest.raises(OptionsError, match="cannot be hooked"):
        install()


def test_options_are_checked():
    with pytest.raises(OptionsError, match="minimum_operations"):
        install(minimum_operations=-1)


def test_public_names():
    assert saturax.install is install
    assert saturax.uninstall is uninstall


def _run(tmp_path, script, *arguments, before=()):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(script))
    command = [sys.executable, "-m", "saturax", "run", "--time-limit", "4", "--json"]
    return subprocess.run(
        [*command, "--minimum-operations", "3", *before, str(path), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_run_gives_a_script_its_arguments_and_passes_its_exit_code_on(tmp_path):
    done = _run(
        tmp_path,
        """
        import sys
        import jax, jax.numpy as jnp
        print(sys.argv[1:], __name__)
        print(float(jax.jit(lambda a, x: ((a @ a) @ x).sum())(jnp.eye(300), jnp.ones(300))))
        sys.exit(7)
        """,
        "--flag",
        "value",
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout.splitlines() == ["['--flag', 'value'] __main__", "300.0"]
    decisions = json.loads(done.stderr[done.stderr.index("[") :])
    assert [d["program"] for d in decisions] == ["jit__lambda"] or decisions


def test_a_script_that_ends_before_the_optimiser_keeps_its_exit_code(tmp_path):
    script = """
        import sys, time
        import jax, jax.numpy as jnp
        f = jax.jit(lambda a, x: jnp.tanh(a @ (a @ x)).sum() + jnp.sin(a).sum())
        f(jnp.ones((2000, 2000)), jnp.ones(2000))
        time.sleep(3)  # it runs and compiles programs by now
        sys.exit(7)
        """
    done = _run(tmp_path, script, before=["--background", "--time-limit", "60"])
    assert done.returncode == 7, done.stderr


def test_run_imports_no_optimiser_before_there_is_something_to_optimise(tmp_path):
    done = _run(tmp_path, "import sys; print('saturax.pipeline' in sys.modules)")
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_run_says_which_file_is_missing(tmp_path):
    command = [sys.executable, "-m", "saturax", "run", str(tmp_path / "none.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "found no file" in done.stderr


def test_interruption_is_the_programs_and_later_calls_do_not_search(monkeypatch):
    from saturax import pipeline

    searches = []

    def interrupted(*args):
        searches.append(args)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "_optimize", interrupted)
    installed = install(options=QUICK, minimum_operations=3)
    function = jax.jit(chain)
    with pytest.raises(KeyboardInterrupt):
        function(matrix(), vector())
    np.testing.assert_allclose(
        function(matrix(), vector()), chain(matrix(), vector()), rtol=2e-5, atol=2e-5
    )
    assert len([1 for run, *_ in searches if "chain" in run.report.program]) == 1
    assert installed.decisions[0].report.reason == "it was interrupted"
