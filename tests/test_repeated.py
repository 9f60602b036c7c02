"""What XLA:CPU would compute again and again is written once, where that is cheaper."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from running import assert_equal, normal, program_of, run

import saturax
from saturax import Options
from saturax.assembly.repeated import hold_repeated
from saturax.graph.ir import node_regions
from saturax.graph.ops import is_held
from saturax.jaxlib_compat import compile_module
from saturax.stablehlo import emit_module, import_module, to_portable_artifact

X = normal(128, 128)


def _smooth(u):
    z = jnp.pad(u, 1)
    around = z[2:, 1:-1] + z[:-2, 1:-1] + z[1:-1, 2:] + z[1:-1, :-2]
    return u + 0.1 * (around - 4 * u)


def _passes(u):
    for _ in range(6):
        u = _smooth(u)
    return u


def _slope(x):
    return (jnp.roll(x, -1, -1) - jnp.roll(x, 2, -1)) * jnp.roll(x, 1, -1) - x + 8


def _runge_kutta(x):
    first = _slope(x)
    second = _slope(x + 0.005 * first)
    third = _slope(x + 0.005 * second)
    return x + 0.01 / 6 * (first + 2 * second + 2 * third + _slope(x + 0.01 * third))


def _steps(x):
    return lax.scan(lambda x, _: (_runge_kutta(x), None), x, None, length=20)[0]


def _count(graph):
    own = sum(map(is_held, graph.nodes))
    return own + sum(_count(region) for node in graph.nodes for region in node_regions(node))


@pytest.mark.parametrize(("function", "x"), [(_passes, X), (_steps, X[:, :100])])
def test_stencils_after_stencils_are_written(function, x):
    program = program_of(function, x)
    held = hold_repeated(program.graph)
    written = program.with_graph(held.graph)
    assert held.count == _count(held.graph) > 2
    assert held.gain > 1.5
    (expected,), (found,) = run(program, (x,)), run(written, (x,))
    assert (found == expected).all()
    text = compile_module(emit_module(written)).loaded.hlo_modules()[0].to_string()
    assert text.count(" call(") == held.count


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 2 + jnp.roll(x * 2, 1, 0),  # as cheap to compute as to read
        _smooth,  # what is read is an input
        lambda x: jnp.tanh(x) @ jnp.tanh(x).T,  # written for the product
        lambda x: lax.fori_loop(0, 9, lambda _, x: _smooth(x), x),
        lambda x: _runge_kutta(x[:2, :9]),  # small
        _steps,  # rows of 128 are joined by copies, which read what is written
    ],
)
def test_what_is_cheap_to_compute_again_is_left_alone(function):
    program = program_of(function, X)
    held = hold_repeated(program.graph)
    assert held.graph is program.graph
    assert held.count == 0


def test_places_say_where_values_have_gone():
    graph = program_of(_passes, X).graph
    held = hold_repeated(graph)
    assert len(held.places) == len(graph.nodes)
    for node, place in zip(graph.nodes, held.places, strict=True):
        assert held.graph.nodes[place]._replace(operands=()) == node._replace(operands=())


def test_what_is_written_is_so_after_it_has_been_read_again():
    """As from the cache of optimised programs, and once more beside others of its name."""
    program = program_of(_steps, X[:, :100])
    written = program.with_graph(hold_repeated(program.graph).graph)
    again = import_module(to_portable_artifact(emit_module(written)))
    assert _count(again.graph) == _count(written.graph)
    assert not again.graph.effects
    assert import_module(emit_module(again)) == again


def test_programs_keep_functions_that_have_the_names_of_ours():
    text = """
    func.func public @main(%x: tensor<4xf32>) -> tensor<4xf32> {
      %0 = func.call @other(%x) {kept = true} : (tensor<4xf32>) -> tensor<4xf32>
      %1 = func.call @saturax_held_7(%0) {mhlo.frontend_attributes = {inlineable = "false"}}
        : (tensor<4xf32>) -> tensor<4xf32>
      return %1 : tensor<4xf32>
    }
    func.func private @other(%x: tensor<4xf32>) -> tensor<4xf32> {
      %0 = func.call @saturax_held_0(%x) {mhlo.frontend_attributes = {inlineable = "false"}}
        : (tensor<4xf32>) -> tensor<4xf32>
      return %0 : tensor<4xf32>
    }
    func.func private @saturax_held_0(%x: tensor<4xf32>) -> tensor<4xf32> {
      return %x : tensor<4xf32>
    }
    func.func private @saturax_held_7(%x: tensor<4xf32>) -> tensor<4xf32> {
      return %x : tensor<4xf32>
    }
    """
    program = import_module(text)
    assert _count(program.graph) == 1
    x = normal(4)
    assert (run(program, (x,))[0] == x).all()


def test_stages_of_a_method_are_chosen_written():
    x = normal(64, 40)
    fast = saturax.jit(_steps, options=Options(time_limit_s=10, cache=False))
    assert_equal([fast(x)], [jax.jit(_steps)(x)])
    names = [each.name for each in fast.report.candidates]
    assert {"best predicted, values written", "original, values written"} & {*names}
    assert fast.report.outcome == "optimized"
    assert "hold_repeated" in fast.report.rules


def _diffused(x):
    for _ in range(10):
        x = x + 0.1 * (jnp.roll(x, 1) + jnp.roll(x, -1) - 2 * x)
    return x


@pytest.mark.parametrize(("function", "shape"), [(_diffused, (4096,)), (_steps, (64, 100))])
def test_a_clear_gain_by_prediction_is_taken_unmeasured(function, shape):
    x = normal(*shape)
    options = Options(time_limit_s=10, cache=False, measure=False)
    found = saturax.optimize(function, x, options=options)
    assert_equal(run(found.program, (x,)), [jax.jit(function)(x)])
    report = found.report
    assert "hold_repeated" in report.rules
    assert report.predicted_original_us > 1.5 * report.predicted_optimized_us


def test_no_gain_by_prediction_is_left_alone():
    options = Options(time_limit_s=5, cache=False, measure=False)
    assert "hold_repeated" not in saturax.optimize(_smooth, X, options=options).report.rules
