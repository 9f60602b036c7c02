"""Effects happen once a call, in order, with the values they would have had; never while saturax
checks and times."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback
from running import assert_equal, matrix_chain, normal, program_of, run

import saturax
import saturax.report.text
from saturax import Options, SaturaxWarning
from saturax.checking.isolate import isolate, outside_calls
from saturax.graph.types import TensorType

_OPTIONS = Options(time_limit_s=4.0, candidates=3, cache=False)
_CHAIN, _CHAIN_ARGUMENTS = matrix_chain(256)
_SCALAR = jax.ShapeDtypeStruct((), np.float32)


class _Log:
    """What callbacks were called with, in order."""

    def __init__(self):
        self.seen: list[tuple[str, float]] = []

    def note(self, name):
        return lambda x: self.seen.append((name, float(x)))

    def answer(self, name):
        def respond(x):
            self.note(name)(x)
            return np.float32(2 * x)

        return respond

    def taken(self, *names):
        """What was seen since the last time, of these callbacks."""
        jax.effects_barrier()
        found = [entry for entry in self.seen if not names or entry[0] in names]
        self.seen.clear()
        return found


def _observed(log):
    """A chain of products whose norm is seen by every kind of callback."""

    def function(a, b, x):
        y = _CHAIN(a, b, x)
        total = jnp.abs(y).mean()
        jax.debug.print("total {}", total)
        jax.debug.callback(log.note("debug"), total)
        io_callback(log.note("unordered"), None, total)
        io_callback(log.note("first"), None, total, ordered=True)
        doubled = jax.pure_callback(log.answer("pure"), _SCALAR, total)
        halved = io_callback(log.answer("second"), _SCALAR, doubled, ordered=True) / 4
        return y * halved, _CHAIN(b, a, y)

    return function


@pytest.mark.filterwarnings("error::saturax.SaturaxWarning")
def test_each_effect_happens_once_a_call(capsys):
    log, plain_log = _Log(), _Log()
    fast = saturax.jit(_observed(log), options=_OPTIONS)
    plain = jax.jit(_observed(plain_log))
    for scale in (1, 2, 3):
        arguments = [scale * a for a in _CHAIN_ARGUMENTS]
        assert_equal(fast(*arguments), plain(*arguments), 1e-4)
        found, expected = log.taken(), plain_log.taken()
        assert sorted(n for n, _ in found) == sorted(n for n, _ in expected)
        by_name, expected_by_name = dict(found), dict(expected)
        for name, value in expected_by_name.items():
            np.testing.assert_allclose(by_name[name], value, rtol=1e-4)
        ordered = [n for n, _ in found if n in ("first", "second")]
        assert ordered == ["first", "second"]
    assert capsys.readouterr().out.count("total") == 6
    assert len(fast.reports) == 1
    assert fast.report.outcome == "optimized"
    assert "6 effects" in fast.report.measured_on
    assert "order_contractions" in fast.report.rules


def test_optimising_calls_nothing():
    log = _Log()
    fast = saturax.jit(_observed(log), options=_OPTIONS)
    compiled = fast.lower(*_CHAIN_ARGUMENTS).compile()
    assert log.taken() == []
    assert fast.report.outcome == "optimized"
    compiled(*_CHAIN_ARGUMENTS)
    assert len(log.taken()) == 5


def test_what_an_effect_is_given_is_checked(monkeypatch):
    """A program that is right but for the operand of a callback is rejected."""
    from saturax.racing import contest

    def function(a, x):
        jax.debug.callback(lambda v: None, (a @ a).sum() + 1)
        return (a @ a) @ x

    program = program_of(function, normal(8, 8), normal(8))
    entered = contest.Contest(program, None, True, False, 0)
    wrong = program_of(
        lambda a, x: (jax.debug.callback(lambda v: None, (a @ a).sum() + 2), (a @ a) @ x)[1],
        normal(8, 8),
        normal(8),
    )
    report = entered.enter("wrong", wrong.graph, (), None, {})
    assert report.outcome == "rejected"
    assert "output 1" in report.reason


def test_isolated_programs_have_the_boundaries_of_effects():
    def function(x):
        io_callback(lambda v: None, None, x, ordered=True)
        doubled = jax.pure_callback(lambda v: v * 2, jax.ShapeDtypeStruct((3,), np.float32), x)
        return doubled + 1

    program = program_of(function, normal(3))
    assert len(outside_calls(program.graph)) == 2
    isolated = isolate(program)
    vector = TensorType((3,), "f32")
    assert isolated.graph.inputs == (vector, vector)  # x, and what the second call returns
    assert isolated.graph.output_types == (vector, vector, vector)  # the result, x and x
    assert isolated.graph.effects == ()
    assert len(isolated.argument_attributes) == 2
    plain = program_of(lambda x: x * 2, normal(3))
    assert isolate(plain) is plain


def test_callbacks_that_fail_raise_for_the_user():
    def fail(x):
        raise ValueError("mine")

    fast = saturax.jit(
        lambda x: jax.pure_callback(fail, jax.ShapeDtypeStruct((3,), np.float32), x) * 2,
        options=_OPTIONS,
    )
    with pytest.raises(Exception, match="mine"):
        jax.block_until_ready(fast(normal(3)))


def test_without_jit_effects_happen_at_once():
    log = _Log()
    with jax.disable_jit():
        fast = saturax.jit(_observed(log), options=_OPTIONS)
        fast(*_CHAIN_ARGUMENTS)
    assert len(log.taken()) == 5
    assert fast.reports == []


@pytest.mark.filterwarnings("error::saturax.SaturaxWarning")
def test_effects_under_transformations():
    log, plain_log = _Log(), _Log()

    def seen(log):
        def function(x):
            jax.debug.callback(log.note("x"), x.sum())
            return jnp.sin(x).sum()

        return function

    for transform in (jax.grad, jax.vmap, jax.value_and_grad):
        x = normal(2, 3) if transform is jax.vmap else normal(3)
        found = saturax.jit(transform(seen(log)), options=_OPTIONS)(x)
        assert_equal(
            jax.tree.leaves(found), jax.tree.leaves(jax.jit(transform(seen(plain_log)))(x))
        )
        ours, theirs = sorted(log.taken()), sorted(plain_log.taken())
        assert len(ours) == len(theirs) > 0
        np.testing.assert_allclose([v for _, v in ours], [v for _, v in theirs], rtol=1e-5)


def test_optimised_by_prediction():
    log = _Log()
    options = Options(time_limit_s=4.0, measure=False)
    fast = saturax.jit(_observed(log), options=options)
    with pytest.warns(SaturaxWarning, match="chosen by prediction"):
        fast(*_CHAIN_ARGUMENTS)
    assert len(log.taken()) == 5
    assert fast.report.outcome == "optimized"
    assert fast.report.measured_on == ""


def test_a_program_from_the_cache_calls_the_callbacks_of_today(tmp_path, monkeypatch):
    monkeypatch.delenv("SATURAX_CACHE")
    options = Options(time_limit_s=4.0, candidates=3, cache=tmp_path)
    for is_cached in (False, True):
        log = _Log()
        fast = saturax.jit(_observed(log), options=options)
        fast(*_CHAIN_ARGUMENTS)
        assert len(log.taken()) == 5
        assert fast.report.outcome == "optimized"
        assert bool(fast.report.cached) is is_cached


def _looped(log):
    """Callbacks in a scan, in a branch within it, and ordered ones in a loop."""

    def function(a, b, x):
        def body(carry, step):
            carry = _CHAIN(a, b, carry) / 256
            jax.debug.callback(log.note("scan"), carry.sum() + step)
            shift = io_callback(log.answer("ordered"), _SCALAR, step, ordered=True)
            jax.lax.cond(
                step > 1,
                lambda v: jax.debug.callback(log.note("branch"), v),
                lambda v: None,
                carry[0],
            )
            return carry + shift * jnp.float32(1e-3), carry.max()

        return jax.lax.scan(body, x, jnp.arange(4, dtype=jnp.float32))

    return function


@pytest.mark.filterwarnings("error::saturax.SaturaxWarning")
def test_loops_and_branches_with_effects_are_optimised():
    log, plain_log = _Log(), _Log()
    fast = saturax.jit(_looped(log), options=Options(time_limit_s=20, candidates=3, cache=False))
    fast.lower(*_CHAIN_ARGUMENTS)
    assert log.taken() == []
    found = fast(*_CHAIN_ARGUMENTS)
    assert_equal(found, jax.jit(_looped(plain_log))(*_CHAIN_ARGUMENTS), 1e-4)
    ours, theirs = log.taken(), plain_log.taken()
    assert [n for n, _ in ours if n == "ordered"] == ["ordered"] * 4
    for name in ("scan", "ordered", "branch"):
        values, expected = ([v for n, v in seen if n == name] for seen in (ours, theirs))
        np.testing.assert_allclose(sorted(values), sorted(expected), rtol=1e-3)
    assert fast.report.outcome == "optimized", saturax.report.text.explain(fast.report)
    assert "optimize_region" in fast.report.rules


def test_an_isolated_loop_tells_what_its_effects_were_given_last():
    def function(x):
        def body(i, v):
            jax.debug.callback(lambda v: None, v)
            return v + 1

        return jax.lax.fori_loop(0, 5, body, x)

    isolated = isolate(program_of(function, normal(3)))
    assert isolated.graph.effects == ()
    result, given = run(isolated, [normal(3)])
    assert_equal([result, given], [normal(3) + 5, normal(3) + 4])


def test_a_loop_that_an_effect_stops_is_one_effect():
    def function(x):
        def go_on(v):
            return jax.pure_callback(lambda v: v.sum() < 9, jax.ShapeDtypeStruct((), bool), v)

        return jax.lax.while_loop(go_on, lambda v: v + 1, x)

    graph = isolate(program_of(function, normal(3))).graph
    assert all(node.op == "parameter" for node in graph.nodes)


def test_branches_beside_effects_are_optimised_without_running_them():
    """Which branch is taken would be asked of a program whose callbacks must not run."""
    seen = []

    def record(x):
        seen.append(x)
        return x.sum().astype(np.float32)

    def function(x, v):
        def ask():
            shape = jax.ShapeDtypeStruct((), np.float32)
            return io_callback(record, shape, v, ordered=True)

        return (x @ x) @ v + jax.lax.cond(v[3] > 10, ask, lambda: v.sum())

    x, v = normal(64, 64), normal(64, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = saturax.jit(function, options=_OPTIONS)
        result = fast(x, v)
    assert not seen
    assert_equal([result], [(x @ x) @ v + v.sum()], 1e-3)
    assert "internal error" not in str(fast.report.warnings)
