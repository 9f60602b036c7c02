"""Which steps of a program lose accuracy: where its values stray from the original's.

Two programs from one e-graph have values in common, one for each e-class that both compute. Both
run with all of these as results, and beside them the original in float64. Where the candidate's
value is less accurate than the original's although all it was made of is as accurate, a step in
between is to blame; what follows from that value is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from saturax.checking.accuracy import compare, rounding_of
from saturax.checking.inputs import Array
from saturax.cost.formulate import Extracted
from saturax.graph.build import prune
from saturax.graph.ir import Graph
from saturax.graph.types import TensorType, Type, is_complex, is_float

Evaluate = Callable[[Graph], list[list[Array]]]
"""Runs a graph on several inputs of the program."""

# Values in common that take more than this together are not all looked at: on two inputs, in three
# programs, one of them in float64, they take eight times as much.
_MOST_BYTES = 1 << 28
# Times the original's error, and roundings, from which a value counts as less accurate. Lower than
# what the check allows in the end: errors of several steps add up.
_ERROR_MULTIPLE, _FREE_ROUNDINGS = 1.5, 4.0


@dataclass(frozen=True)
class Blame:
    """E-nodes of the candidate behind its loss of accuracy, and the original's for such values.

    `exact` are the latter by e-class.
    """

    inexact: frozenset[int] = frozenset()
    exact: Mapping[int, int] = field(default_factory=dict)


def blame(
    original: Extracted,
    candidate: Extracted,
    class_of: Callable[[int], int],
    evaluate: Evaluate,
    evaluate_wide: Evaluate,
) -> Blame:
    """Find where the candidate first becomes less accurate than the original.

    `class_of` tells the e-class of an e-node; the programs run in their own precision and, the
    original, in float64. Values inside of loops are not looked at.
    """
    of_original, of_candidate = (_by_class(program, class_of) for program in (original, candidate))
    common = _smallest(original.graph, of_original, of_original.keys() & of_candidate)
    if not common:
        return Blame()
    mine, theirs = ([places[c] for c in common] for places in (of_candidate, of_original))
    runs = zip(
        evaluate(_with_results(candidate.graph, mine)),
        evaluate(_with_results(original.graph, theirs)),
        evaluate_wide(_with_results(original.graph, theirs)),
        strict=True,
    )
    worse = {
        class_id
        for run in runs
        for class_id, *row in zip(common, *run, strict=True)
        if _is_less_accurate(*row)
    }
    is_worse = {node: class_id in worse for class_id, node in zip(common, mine, strict=True)}
    first = _first_ones(candidate.graph, is_worse)
    ends = set(common) - worse
    steps = _down_to(candidate, first, ends, class_of)
    exact = [of_original[class_of(candidate.enodes[node])] for node in first]
    return Blame(
        frozenset(candidate.enodes[node] for node in steps),
        {
            class_of(original.enodes[node]): original.enodes[node]
            for node in _down_to(original, exact, ends, class_of)
        },
    )


def _by_class(program: Extracted, class_of: Callable[[int], int]) -> dict[int, int]:
    """The first node for each e-class of real or complex tensors that a program computes.

    Of equal layers the first: the others have its errors, too. What has no e-node is left out.
    """
    found: dict[int, int] = {}
    for index, (node, enode) in enumerate(zip(program.graph.nodes, program.enodes, strict=True)):
        if (
            enode >= 0
            and node.operands
            and isinstance(node.type, TensorType)
            and node.type.size
            and (is_float(node.type.dtype) or is_complex(node.type.dtype))
        ):
            found.setdefault(class_of(enode), index)
    return found


def _smallest(graph: Graph, places: dict[int, int], classes: set[int]) -> list[int]:
    """As many e-classes as fit in memory together, the smallest first, in the graph's order."""
    sizes = {class_id: _bytes(graph.nodes[places[class_id]].type) for class_id in classes}
    chosen, left = [], _MOST_BYTES
    for class_id in sorted(classes, key=lambda c: (sizes[c], places[c])):
        left -= sizes[class_id]
        if left < 0:
            break
        chosen.append(class_id)
    return sorted(chosen, key=places.__getitem__)


def _bytes(type: Type) -> int:
    return type.bytes if isinstance(type, TensorType) else 0


def _with_results(graph: Graph, nodes: Sequence[int]) -> Graph:
    return prune(Graph(graph.inputs, graph.nodes, tuple(nodes)))


def _is_less_accurate(found: Array, original: Array, reference: Array) -> bool:
    if not jnp.issubdtype(original.dtype, np.inexact):
        return False
    own, error, _ = compare(found, original, reference)
    return error > _ERROR_MULTIPLE * own + _FREE_ROUNDINGS * rounding_of(original.dtype)


def _first_ones(graph: Graph, is_worse: dict[int, bool]) -> list[int]:
    """Inexact values that are made of exact ones alone, as far as values were compared."""
    strays: list[bool] = []
    first: list[int] = []
    for index, node in enumerate(graph.nodes):
        from_inexact = any(strays[operand] for operand in node.operands)
        worse = is_worse.get(index)
        if worse and not from_inexact:
            first.append(index)
        strays.append(from_inexact if worse is None else worse)
    return first


def _down_to(
    program: Extracted, nodes: Sequence[int], ends: set[int], class_of: Callable[[int], int]
) -> list[int]:
    """Some nodes and what they are made of, down to the e-classes `ends`, these left out."""
    reached: dict[int, None] = {}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node in reached:
            continue
        reached[node] = None
        waiting += [
            operand
            for operand in program.graph.nodes[node].operands
            if class_of(program.enodes[operand]) not in ends
        ]
    return list(reached)
