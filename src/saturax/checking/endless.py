"""Loops that may not end on inputs that nobody chose: asked before a program is run on them.

How often a `while` runs may depend on values, and drawn inputs are not those it was written for;
XLA cannot be stopped once it runs. So each such loop gets a copy that counts its steps and ends
after `MOST_STEPS`; a program made of these tells whether any of them had to. Branches and loops
with such a loop inside return its flag, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from saturax.cost.kernel import BRANCHES
from saturax.cost.loops import WHILE, counter_of
from saturax.graph.build import GraphBuilder, Value, building, result_types
from saturax.graph.ir import Graph, Node, Program
from saturax.graph.ops import Generic, add, binary, compare, full, generic_of
from saturax.graph.types import TensorType, TupleType

MOST_STEPS = 10_000
"""Steps after which a loop counts as one that does not end."""

_COUNTER, _FLAG = TensorType((), "i32"), TensorType((), "i1")


def counting(program: Program) -> Program | None:
    """The program of the same inputs whose only result says that a loop did not end.

    None where all loops are sure to.
    """
    graph = program.graph
    if not any(_may_be_endless(node) for node in graph.nodes):
        return None
    builder = GraphBuilder(graph.inputs, exact=True)
    _, flag = _copy(builder, graph, builder.parameters)
    assert flag is not None
    return replace(program, graph=builder.finish([flag]), result_attributes=())


def _may_be_endless(node: Node) -> bool:
    generic = generic_of(node)
    if generic is None or not (node.op == WHILE or node.op in BRANCHES):
        return False
    if node.op == WHILE and counter_of(generic) is None:
        return True
    return any(_may_be_endless(inner) for region in generic.regions for inner in region.nodes)


def _copy(
    builder: GraphBuilder, graph: Graph, arguments: Sequence[Value]
) -> tuple[list[Value], Value | None]:
    """Outputs of a graph, and whether one of its loops did not end (None: all are sure to)."""
    values: list[Value] = []
    flag: Value | None = None
    for node in graph.nodes:
        if node.op == "parameter":
            number: Any = node.attributes[0]
            values.append(arguments[number])
            continue
        operands = [values[operand] for operand in node.operands]
        if _may_be_endless(node):
            told = _counted if node.op == WHILE else _branched
            result, did_not_end = told(builder, node, operands)
            flag = did_not_end if flag is None else _either(builder, flag, did_not_end)
            values.append(result)
            continue
        indices = tuple(operand.index for operand in operands)
        values.append(builder.append(node._replace(operands=indices)))
        if values[-1].index in graph.effects:
            builder.effects.append(values[-1].index)
    return [values[output] for output in graph.outputs], flag


def _counted(builder: GraphBuilder, node: Node, operands: list[Value]) -> tuple[Value, Value]:
    """A loop that counts its steps: what it returns, and whether it had to be stopped."""
    generic = generic_of(node)
    assert generic is not None
    own = len(operands) - generic.captures
    types = [operand.type for operand in operands]
    inputs = (*types[:own], _COUNTER, _FLAG, *types[own:])
    condition, body = (
        part(inputs, own, region)
        for part, region in zip((_condition, _body), generic.regions, strict=True)
    )
    with building(builder):
        start = [full(0, _COUNTER), full(False, _FLAG)]
    carried = [*operands[:own], *start, *operands[own:]]
    kept = result_types(node.type)
    counted = Generic(generic.attributes, (condition, body), generic.captures, generic.sequence)
    type = TupleType((*kept, _COUNTER, _FLAG))
    loop = builder.append(Node(WHILE, (counted,), tuple(v.index for v in carried), type))
    result = partial(_result, builder, loop)
    with building(builder):
        is_over = compare(result(own), full(MOST_STEPS, _COUNTER), "GE", "SIGNED")
    whole = loop if isinstance(node.type, TupleType) else result(0)
    return whole, _either(builder, is_over, result(own + 1))


def _branched(builder: GraphBuilder, node: Node, operands: list[Value]) -> tuple[Value, Value]:
    """Branches of which each tells whether a loop inside did not end: results, and that flag."""
    generic = generic_of(node)
    assert generic is not None
    kept = result_types(node.type)
    branches = tuple(map(_branch, generic.regions))
    flagged = Generic(generic.attributes, branches, generic.captures, generic.sequence)
    type = TupleType((*kept, _FLAG))
    whole = builder.append(Node(node.op, (flagged,), tuple(v.index for v in operands), type))
    result = whole if isinstance(node.type, TupleType) else _result(builder, whole, 0)
    return result, _result(builder, whole, len(kept))


def _branch(region: Graph) -> Graph:
    builder = GraphBuilder(region.inputs, exact=True)
    outputs, flag = _copy(builder, region, builder.parameters)
    with building(builder):
        return builder.finish([*outputs, full(False, _FLAG) if flag is None else flag])


def _condition(inputs: tuple[Any, ...], own: int, region: Graph) -> Graph:
    """The condition, and that there are steps left."""
    builder = GraphBuilder(inputs, exact=True)
    parameters = builder.parameters
    (goes_on,), _ = _copy(builder, region, [*parameters[:own], *parameters[own + 2 :]])
    with building(builder):
        is_left = compare(parameters[own], full(MOST_STEPS, _COUNTER), "LT", "SIGNED")
        return builder.finish([binary("and", goes_on, is_left)])


def _body(inputs: tuple[Any, ...], own: int, region: Graph) -> Graph:
    """One step, counted, and whether a loop inside did not end."""
    builder = GraphBuilder(inputs, exact=True)
    parameters = builder.parameters
    outputs, inner = _copy(builder, region, [*parameters[:own], *parameters[own + 2 :]])
    with building(builder):
        steps = add(parameters[own], full(1, _COUNTER))
    flag = parameters[own + 1]
    return builder.finish(
        [*outputs, steps, flag if inner is None else _either(builder, flag, inner)]
    )


def _result(builder: GraphBuilder, loop: Value, number: int) -> Value:
    assert isinstance(loop.type, TupleType)
    return builder.append(Node("get_result", (number,), (loop.index,), loop.type.elements[number]))


def _either(builder: GraphBuilder, a: Value, b: Value) -> Value:
    with building(builder):
        value: Value = binary("or", a, b)
        return value
