"""Reductions that start elsewhere than at the identity of their function."""

from __future__ import annotations

import numpy as np
import pytest
from equal_sides import found_by
from running import PREDICTED, assert_equal, normal, run

import saturax
from saturax.graph.build import prune
from saturax.graph.ir import Graph, Program
from saturax.proposals.reductions import start_at_identity
from saturax.rules.rule import BITWISE
from saturax.stablehlo import import_module

X = normal(3, 4, 5)


def _program(f, start, dimensions="0, 2", shape="4", element="f32", body="%a, %b"):
    scalar, result = f"tensor<{element}>", f"tensor<{shape}x{element}>"
    return f"""
func.func @main(%x: tensor<3x4x5x{element}>) -> {result} {{
  %c = stablehlo.constant dense<{start}> : {scalar}
  %0 = "stablehlo.reduce"(%x, %c) <{{dimensions = array<i64: {dimensions}>}}> ({{
  ^bb0(%a: {scalar}, %b: {scalar}):
    %1 = stablehlo.{f} {body} : {scalar}
    stablehlo.return %1 : {scalar}
  }}) : (tensor<3x4x5x{element}>, {scalar}) -> {result}
  return %0 : {result}
}}"""


def _pairs(text, **options):
    found = found_by(start_at_identity, import_module(text).graph, **options)
    return found, found.pairs


@pytest.mark.parametrize(
    ("text", "x"),
    [
        (_program("add", "-0.0"), X),
        (_program("add", "2.5", "1", "3x5"), X),
        (_program("add", "2.5", body="%b, %a"), X),
        (_program("multiply", "-3.0"), X),
        (_program("maximum", "0.5", "2, 1", "3"), X),
        (_program("minimum", "0.5"), X),
        (_program("add", "7", element="i32"), (100 * X).astype(np.int32)),
    ],
)
def test_both_sides_agree(text, x):
    found, pairs = _pairs(text)
    ((index, other, _),) = pairs
    graph = found.graph
    sides = [prune(Graph(graph.inputs, tuple(found.nodes), (i,))) for i in (index, other)]
    assert any(node.op == "reduce" for node in sides[1].nodes)
    assert not any(node.op == "stablehlo.reduce" for node in sides[1].nodes)
    expected, values = (run(Program(side), [x]) for side in sides)
    assert_equal(values, expected)


def test_signs_of_zeros_and_rounding_are_kept_where_bits_are_promised():
    assert not _pairs(_program("add", "-0.0"), numerics=BITWISE)[1]
    assert _pairs(_program("add", "7", element="i32"), numerics=BITWISE)[1]


@pytest.mark.parametrize(
    "text",
    [_program("subtract", "1.0"), _program("add", "1.0", body="%a, %a"), _program("add", "0.0")],
)
def test_other_functions_are_left_alone(text):
    assert not _pairs(text)[1]


def test_sums_from_negative_zero_are_optimised_as_other_sums_are():
    result = saturax.optimize_module(_program("add", "-0.0"), options=PREDICTED)
    assert [n.op for n in result.program.graph.nodes] == ["parameter", "reduce"]
