"""`saturax.optimize` and `optimize_module`: arguments, examples and bad input."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from running import PREDICTED, QUICK, assert_equal, matrix_chain, normal, run

import saturax
from saturax import DynamicShapeError, ImportFailure, OptionsError
from saturax.stablehlo import to_bytecode, to_portable_artifact, to_text

_FUNCTION, _ARGUMENTS = matrix_chain(128)


def _module():
    return jax.jit(_FUNCTION).lower(*_ARGUMENTS).compiler_ir("stablehlo")


@pytest.mark.parametrize("form", [lambda m: m, to_text, to_bytecode, to_portable_artifact])
def test_module_of_any_form(form):
    result = saturax.optimize_module(form(_module()), options=PREDICTED)
    assert result.report.outcome == "optimized"
    assert_equal(run(result.program, _ARGUMENTS), [_FUNCTION(*_ARGUMENTS)])


def test_shapes_in_place_of_arguments():
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in _ARGUMENTS]
    result = saturax.optimize(_FUNCTION, *shapes, options=PREDICTED)
    assert result.report.outcome == "optimized"


@pytest.mark.parametrize("wrap", [jax.jit, saturax.jit])
def test_jitted_function(wrap):
    result = saturax.optimize(wrap(_FUNCTION), *_ARGUMENTS, options=PREDICTED)
    assert result.report.outcome == "optimized"


def test_keyword_arguments_and_trees():
    def function(weights, *, x):
        return (weights["a"] @ weights["b"]) @ x

    weights = {"a": _ARGUMENTS[0], "b": _ARGUMENTS[1]}
    result = saturax.optimize(function, weights, x=_ARGUMENTS[2], options=QUICK)
    assert result.report.program == "function"
    assert_equal(run(result.program, _ARGUMENTS), [_FUNCTION(*_ARGUMENTS)])


def test_unused_arguments_stay_inputs():
    result = saturax.optimize(lambda x, unused: x * 2, *_ARGUMENTS[:2], options=PREDICTED)
    assert len(result.program.graph.inputs) == 2


def test_random_keys_are_arguments():
    result = saturax.optimize(
        lambda key, x: x + jax.random.normal(key, x.shape),
        jax.random.key(0),
        normal(8),
        options=QUICK,
    )
    assert not result.report.warnings


def test_numpy_doubles_are_taken_as_jax_takes_them():
    doubles = [x.astype(np.float64) for x in _ARGUMENTS]
    result = saturax.optimize(_FUNCTION, *doubles, options=QUICK)
    assert not result.report.warnings
    assert {t.dtype for t in result.program.graph.inputs} == {"f32"}


def test_wide_numbers_are_examples():
    def chosen(indices, x):
        return (x @ x)[indices]

    indices = np.arange(3, dtype=np.int64)
    result = saturax.optimize(chosen, indices, np.eye(8, dtype=np.float64), options=QUICK)
    assert result.report.candidates  # those of a search that broke off are none


def test_static_arguments_and_examples():
    power = jax.jit(lambda x, times, unused: x**times, static_argnums=1)
    twos = np.full((4,), 2.0, np.float32)
    result = saturax.optimize(power, twos, 3, np.ones(2), options=QUICK)
    assert len(result.program.graph.inputs) == 1
    assert_equal(run(result.program, [twos]), [twos**3])


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (_ARGUMENTS[:2], "expected one array for each of the program's 3 inputs, got 2"),
        ([1j * x for x in _ARGUMENTS], "expected f32 for input 0, got complex64"),
        (_ARGUMENTS[::-1], r"expected shape \(128, 128\) for input 0, got \(128,\)"),
    ],
)
def test_examples_that_do_not_fit(examples, message):
    with pytest.raises(OptionsError, match=message):
        saturax.optimize_module(_module(), examples=examples, options=PREDICTED)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("this is no MLIR", "expected a StableHLO module"),
        ("", "expected"),
        (b"\xff\xfe\x00 bytes", "none of them"),
        (b"ML\xefR damaged", "expected a StableHLO module"),
        ("module {}", "main"),
        ("module { func.func public @a() { return } func.func public @b() { return } }", "main"),
        (
            "func.func public @main(%a: f32) -> f32 "
            "{ %b = arith.addf %a, %a : f32 return %b : f32 }",
            "expected",
        ),
    ],
)
def test_unusable_modules(source, message):
    with pytest.raises(ImportFailure, match=message):
        saturax.optimize_module(source, options=PREDICTED)


def test_dynamic_shapes():
    source = """func.func public @main(%a: tensor<?xf32>) -> tensor<?xf32> {
      %b = stablehlo.add %a, %a : tensor<?xf32> return %b : tensor<?xf32> }"""
    with pytest.raises(DynamicShapeError):
        saturax.optimize_module(source, options=PREDICTED)
