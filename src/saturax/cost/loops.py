"""How often loops run, and which of them can be run to be timed on any inputs."""

from __future__ import annotations

from typing import Any

from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.ops import Generic, generic_of, usual_region
from saturax.graph.ops.elementwise import function_name

WHILE = "stablehlo.while"


def counter_of(generic: Generic) -> tuple[int, int] | None:
    """The carry of a `while` that counts up, and the constant it is compared with.

    None if the loop's condition is not that plain.
    """
    condition, body = generic.regions
    output = condition.nodes[condition.outputs[0]]
    if output.op != "binary" or function_name(output.attributes[0]) != "compare":
        return None
    if output.attributes[0][1] not in ("LT", "LE"):  # type: ignore[index]
        return None
    counter, limit = (condition.nodes[operand] for operand in output.operands)
    number: Any = counter.attributes[0] if counter.op == "parameter" else None
    if number is None or number >= len(body.outputs):
        return None
    literal = limit.attributes[0] if limit.op == "constant" else None
    if not isinstance(literal, Literal) or not literal.is_splat:
        return None
    step = body.nodes[body.outputs[number]]
    if step.op != "binary" or step.attributes[0] != "add":
        return None
    ones = [body.nodes[i] for i in step.operands]
    is_counting = any(node == counter for node in ones) and any(
        node.op == "constant" and node.attributes[0].value == 1 for node in ones
    )
    return (number, int(literal.value)) if is_counting else None


def trip_count(generic: Generic) -> int:
    """How often a `while` runs whose counter begins with 0, as those of JAX's loops do.

    1 for a loop whose condition is not a comparison of a counter with a constant.
    """
    found = counter_of(generic)
    return 1 if found is None else max(1, found[1])


def ends(generic: Generic) -> bool:
    """Whether a `while` ends on any inputs whose counters are small, and calls no foreign code.

    Nor may it have a branch that takes one way but for rare inputs: any inputs may be such.
    """
    return counter_of(generic) is not None and all(map(_is_bounded, generic.regions))


def _is_bounded(graph: Graph) -> bool:
    for node in graph.nodes:
        generic = generic_of(node)
        if generic is None:
            continue
        if node.op == "stablehlo.custom_call" or any("@" in text for _, text in generic.attributes):
            return False
        if node.op == WHILE and not ends(generic):
            return False
        if usual_region(generic) is not None:
            return False
        if not all(map(_is_bounded, generic.regions)):
            return False
    return not graph.effects
