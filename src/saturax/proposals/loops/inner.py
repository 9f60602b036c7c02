"""A loop inside of a loop, in all iterations of the outer one at once.

    for t < n: for s < m: cₜ ← f(cₜ)    =    for s < m: (c₀ … cₙ₋₁) ← (f(c₀) … f(cₙ₋₁))

The inner loop has to run equally often for all t: what its condition depends on must not vary. The
rounds of JAX's random bits (threefry) are such loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import PURE, Generic, generic_of
from saturax.graph.types import TupleType, Type
from saturax.proposals.loops.batched import Batched, byte_count, stacked

WHILE = "stablehlo.while"

Apply = Callable[[GraphBuilder, Node, Sequence[Batched], int], Batched]
"""Applies one operation in all iterations."""


def is_made_of(node: Node, can_apply: Callable[[Node], bool]) -> bool:
    """Whether a `while` has no effects and a body of operations that `can_apply` admits."""
    generic = generic_of(node)
    if generic is None or generic.sequence != PURE or any(r.effects for r in generic.regions):
        return False
    _, body = generic.regions
    return all(can_apply(each) for each in body.nodes if each.operands)


def deciding_operands(node: Node) -> frozenset[int]:
    """The places of a `while`'s operands on which it depends how often it runs."""
    condition, body = _regions(node)
    carries = len(body.outputs)
    found = _parameters_below(condition, condition.outputs)
    while True:
        carried = [body.outputs[place] for place in found if place < carries]
        more = _parameters_below(body, carried) - found
        if not more:
            return found
        found |= more


def runs_equally_often(node: Node, varies: Sequence[bool]) -> bool:
    """Whether a `while`, and each in it, runs equally often in all iterations of the outer loop.

    `varies`: which operands are not the same in each of these.
    """
    if any(varies[place] for place in deciding_operands(node)):
        return False
    return all(
        runs_equally_often(region.nodes[i], [varying[k] for k in region.nodes[i].operands])
        for region, varying in zip(_regions(node), _varying_nodes(node, varies), strict=True)
        for i in range(len(region.nodes))
        if region.nodes[i].op == WHILE
    )


def bytes_of_all(node: Node, varies: Sequence[bool]) -> int:
    """Bytes that a `while` needs for each iteration of the outer loop.

    Those of what it carries and of the largest value in its body, as far as these vary.
    """
    body, varying = _regions(node)[1], _varying_nodes(node, varies)[1]
    carries = range(len(body.outputs))
    found = _varying(body, varies, len(carries))
    carried = sum(byte_count(body.inputs[k]) for k in carries if found[k])
    computed = (
        bytes_of_all(each, [varying[k] for k in each.operands])
        if each.op == WHILE
        else byte_count(each.type)
        for each, is_varying in zip(body.nodes, varying, strict=True)
        if is_varying and each.op not in ("parameter", "get_result")
    )
    return carried + max(computed, default=0)


def _regions(node: Node) -> tuple[Graph, Graph]:
    """The condition and the body of a `while`."""
    generic = generic_of(node)
    assert generic is not None
    condition, body = generic.regions
    return condition, body


def _varying_nodes(node: Node, varies: Sequence[bool]) -> list[list[bool]]:
    """Which nodes of a `while`'s condition and of its body vary, in any of its own iterations."""
    condition, body = _regions(node)
    found = _varying(body, varies, len(body.outputs))
    return [_below(region, found) for region in (condition, body)]


def _parameters_below(region: Graph, nodes: Sequence[int]) -> frozenset[int]:
    """The numbers of the parameters that some nodes are made of."""
    seen, pending = set[int](), list(nodes)
    while pending:
        node = pending.pop()
        if node not in seen:
            seen.add(node)
            pending += region.nodes[node].operands
    leaves = [region.nodes[node] for node in seen if region.nodes[node].op == "parameter"]
    return frozenset(leaf.attributes[0] for leaf in leaves)  # type: ignore[misc]


def loop_of_all(
    apply: Apply, builder: GraphBuilder, node: Node, operands: Sequence[Batched], count: int
) -> Batched:
    """A `while` in `count` iterations as one; results that do not vary keep their types."""
    generic = generic_of(node)
    assert generic is not None
    assert not any(operands[place].varies for place in deciding_operands(node))
    condition, body = generic.regions
    carries = len(node.operands) - generic.captures
    varies = _varying(body, [operand.varies for operand in operands], carries)
    values = [
        stacked(operand, count) if is_varying else operand.value
        for operand, is_varying in zip(operands, varies, strict=True)
    ]
    regions = tuple(
        _of_all(apply, region, [value.type for value in values], varies, stacks, count)
        for region, stacks in ((condition, [False]), (body, varies[:carries]))
    )
    types = tuple(value.type for value in values[:carries])
    type: Type = TupleType(types) if isinstance(node.type, TupleType) else types[0]
    attributes: tuple[Generic] = (generic._replace(regions=regions),)
    return Batched(builder.generic(node.op, attributes, values, type), any(varies[:carries]))


def _varying(body: Graph, varies: Sequence[bool], carries: int) -> list[bool]:
    """Which parameters of a body vary, now or once it has run."""
    found = list(varies)
    while True:
        nodes = _below(body, found)
        after = [each or (k < carries and nodes[body.outputs[k]]) for k, each in enumerate(found)]
        if after == found:
            return found
        found = after


def _below(region: Graph, varies: Sequence[bool]) -> list[bool]:
    """Which nodes of a region vary where these of its parameters do."""
    nodes: list[bool] = []
    for node in region.nodes:
        is_leaf = node.op == "parameter"
        nodes.append(
            varies[node.attributes[0]]  # type: ignore[call-overload]
            if is_leaf
            else any(nodes[operand] for operand in node.operands)
        )
    return nodes


def _of_all(
    apply: Apply,
    region: Graph,
    types: Sequence[Type],
    varies: Sequence[bool],
    stacks: Sequence[bool],
    count: int,
) -> Graph:
    """A region for all iterations at once, its results stacked where `stacks` says so."""
    builder = GraphBuilder(tuple(types))
    with building(builder):
        items: list[Batched] = []
        for node in region.nodes:
            if node.op == "parameter":
                number: int = node.attributes[0]  # type: ignore[assignment]
                items.append(Batched(builder.parameters[number], varies[number]))
                continue
            items.append(apply(builder, node, [items[i] for i in node.operands], count))
        outputs: list[Value] = [
            stacked(items[output], count) if is_stacked else items[output].value
            for output, is_stacked in zip(region.outputs, stacks, strict=True)
        ]
        return builder.finish(outputs)
