"""Emission of graphs that no import made."""

import pytest

from saturax.errors import SaturaxError
from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Graph, Node, Program
from saturax.graph.ops import Generic, concatenate
from saturax.graph.types import TensorType
from saturax.stablehlo import emit_module, to_bytecode, to_portable_artifact, to_text
from saturax.stablehlo.emitter import schedule

_TYPE = TensorType((4,), "f32")


def _call(sequence, operand):
    attributes = (("call_target_name", '"c"'), ("has_side_effect", "true"))
    return Node(
        "stablehlo.custom_call", (Generic(attributes, sequence=sequence),), (operand,), _TYPE
    )


def test_effects_come_in_their_order():
    nodes = (Node("parameter", (0,), (), _TYPE), _call(1, 0), Node("unary", ("tanh",), (0,), _TYPE))
    graph = Graph((_TYPE,), (*nodes, _call(0, 2)), (1,), effects=(3, 1))
    order = list(schedule(graph))
    assert sorted(order) == [0, 1, 2, 3]
    assert order.index(3) < order.index(1)
    emit_module(Program(graph))


def test_effects_against_their_operands():
    graph = Graph(
        (_TYPE,),
        (Node("parameter", (0,), (), _TYPE), _call(0, 0), _call(1, 1)),
        (2,),
        effects=(2, 1),
    )
    with pytest.raises(SaturaxError, match="program order"):
        schedule(graph)


def test_unneeded_nodes_are_left_out():
    graph = Graph(
        (_TYPE,),
        (Node("parameter", (0,), (), _TYPE), Node("unary", ("tanh",), (0,), _TYPE)),
        (0,),
    )
    assert "tanh" not in to_text(emit_module(Program(graph)))


def test_right_leaning_concatenations_are_joined():
    builder = GraphBuilder((_TYPE, _TYPE))
    with building(builder):
        x, y = builder.parameters
        graph = builder.finish([concatenate(x, concatenate(y, concatenate(x, y, 0), 0), 0)])
    text = to_text(emit_module(Program(graph)))
    assert "concatenate %arg0, %arg1, %arg0, %arg1" in text


def test_invalid_program_is_rejected_with_mlirs_words():
    graph = Graph(
        (_TYPE,),
        (
            Node("parameter", (0,), (), _TYPE),
            Node("transpose", ((1, 0),), (0,), TensorType((4, 4), "f32")),
        ),
        (1,),
    )
    with pytest.raises(SaturaxError, match="permutation"):
        emit_module(Program(graph))


def test_version_that_lacks_a_type():
    type = TensorType((4,), "f4E2M1FN")
    module = emit_module(Program(Graph((type,), (Node("parameter", (0,), (), type),), (0,))))
    assert to_bytecode(module).startswith(b"ML\xefR")
    assert b"StableHLO_v1.10.0" in to_portable_artifact(module, "1.10.0")
    with pytest.raises(SaturaxError, match=r"StableHLO 1\.0\.0 can express"):
        to_portable_artifact(module, "1.0.0")
