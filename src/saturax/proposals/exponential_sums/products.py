"""log Σ exp of sums over different indices, as the logarithm of a product of exponentials.

    log Σⱼ exp(aᵢⱼ + bⱼₖ)  =  log Σⱼ exp(aᵢⱼ - Mᵢ)·exp(bⱼₖ - Nₖ)  +  Mᵢ + Nₖ
    with M, N the largest aᵢⱼ and bⱼₖ

as in the forward algorithm of a hidden Markov model or a conditional random field, and in
Sinkhorn's algorithm, in the log domain: i·j + j·k exponentials instead of i·j·k, and a product of
matrices.

Where the largest terms of a sum are far below Mᵢ + Nₖ (forbidden transitions), they underflow. If
any of the sums is not so far above what does that all its terms could be lost and change it by no
more than a rounding, or if one is NaN, a branch computes all of them as they were given.

In a loop, exponentials of what does not change are taken before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.ops import (
    USUALLY_FIRST,
    DotDimensions,
    Generic,
    Precision,
    add,
    broadcast_in_dim,
    compare,
    divide,
    dot_general,
    full_like,
    multiply,
    reduce_,
    reshape,
    select,
    subtract,
    transpose,
    unary,
)
from saturax.graph.types import Type
from saturax.proposals.equality import Equalities
from saturax.proposals.exponential_sums.terms import LogSum, Term, log_sum_at
from saturax.proposals.loops.emit import emit_while
from saturax.proposals.loops.structure import Loop, loops_of
from saturax.proposals.straighten import IF

_FEWEST_ELEMENTS = 1 << 10  # of all indices: fewer are done in the time of a kernel or two
# By type: products below the least number that is not subnormal are lost; the unit roundoff.
_LOST, _ROUNDING = {"f32": 2.0**-126, "f64": 2.0**-1022}, {"f32": 2.0**-24, "f64": 2.0**-53}

ValueOf = Callable[[int], Value]


class Part(NamedTuple):
    """exp(Σ terms - largest) with the dimensions `labels`, and the largest without `summed`."""

    labels: tuple[int, ...]
    exponential: Value
    largest: Value


def multiply_exponentials(found: Equalities) -> None:
    """Propose products of exponentials for sums of them, in the graph and in its loops."""
    graph = found.graph
    for index in range(len(graph.nodes)):
        sum_ = log_sum_at(graph, index)
        if sum_ is None or not found.may_round(graph.nodes[index].type.dtype):  # type: ignore[union-attr]
            continue
        groups = _by_indices(sum_)
        if groups is not None:
            with building(found.builder):
                parts = [_part(sum_, group, found.value) for group in groups]
                found.equate(index, _guarded(graph, sum_, parts, found.value))
    for loop in loops_of(graph):
        _in_loop(found, loop)


def _by_indices(sum_: LogSum) -> tuple[list[Term], list[Term]] | None:
    """The terms in two groups, neither of which has all indices; None if there are none such."""
    terms = [term for term in sum_.terms if term.indices & set(sum_.summed)]
    if len(terms) < 2:
        return None
    largest = max(terms, key=lambda term: prod(sum_.shape[d] for d in term.indices))
    first = [term for term in terms if term.indices <= largest.indices]
    second = [term for term in terms if not term.indices <= largest.indices]
    return (first, second) if _is_worthwhile(sum_, first, second, ()) else None


def _is_worthwhile(
    sum_: LogSum, first: Sequence[Term], second: Sequence[Term], may_have_all: Sequence[Term]
) -> bool:
    indices = [_indices(group) for group in (first, second)]
    every = frozenset(d for d, n in enumerate(sum_.shape) if n > 1)
    return (
        bool(first and second and sum_.summed)
        and prod(sum_.shape) >= _FEWEST_ELEMENTS
        and all(set(sum_.summed) <= each for each in indices)
        and all(
            each != every or group is may_have_all
            for each, group in zip(indices, (first, second), strict=True)
        )
    )


def _indices(terms: Sequence[Term]) -> frozenset[int]:
    return frozenset(d for term in terms for d in term.indices)


def _part(sum_: LogSum, terms: Sequence[Term], value_of: ValueOf) -> Part:
    labels = tuple(sorted(_indices(terms)))
    shape = tuple(sum_.shape[d] for d in labels)
    total = _total(terms, labels, shape, value_of)
    summed = tuple(i for i, d in enumerate(labels) if d in sum_.summed)
    rest = tuple(i for i in range(len(labels)) if i not in summed)
    top = reduce_("maximum", total, summed)
    largest = select(unary("is_finite", top), top, full_like(top, 0))
    shifted = subtract(total, broadcast_in_dim(largest, shape, rest))
    return Part(labels, unary("exponential", shifted), largest)


def _total(
    terms: Sequence[Term], labels: tuple[int, ...], shape: tuple[int, ...], value_of: ValueOf
) -> Any:
    total: Any = None
    for term in terms:
        value = _scaled(term, value_of)
        own = tuple(d for d in term.labels if d is not None)
        order = sorted(range(len(own)), key=own.__getitem__)
        value = reshape(value, tuple(n for n in value.shape if n > 1))
        value = transpose(value, tuple(order)) if order != list(range(len(own))) else value
        places = tuple(labels.index(d) for d in sorted(own))
        value = value if value.shape == shape else broadcast_in_dim(value, shape, places)
        total = value if total is None else add(total, value)
    return total


def _scaled(term: Term, value_of: ValueOf) -> Any:
    value: Any = value_of(term.node)
    if term.scale != 1:
        value = multiply(value, full_like(value, term.scale))
    for node, is_divisor in term.scalars:
        scalar = broadcast_in_dim(reshape(value_of(node), ()), value.shape, ())
        value = divide(value, scalar) if is_divisor else multiply(value, scalar)
    return value


def _guarded(graph: Graph, sum_: LogSum, parts: Sequence[Part], value_of: ValueOf) -> Value:
    """The logarithm of the product of two parts, unless that has lost too much."""
    left, right = parts
    summed = sum_.summed
    batch = [d for d in left.labels if d in right.labels and d not in summed]
    dimensions = DotDimensions(
        *(tuple(part.labels.index(d) for d in batch) for part in parts),
        *(tuple(part.labels.index(d) for d in summed) for part in parts),
    )
    dtype = left.exponential.dtype
    product = dot_general(left.exponential, right.exponential, dimensions, Precision(), dtype)
    free = [[d for d in part.labels if d not in batch and d not in summed] for part in parts]
    labels = (*batch, *free[0], *free[1])
    result: Any = unary("log", product)
    for part in parts:
        own = [d for d in part.labels if d not in summed]
        places = tuple(labels.index(d) for d in own)
        order = tuple(sorted(range(len(own)), key=places.__getitem__))
        largest = (
            transpose(part.largest, order) if order != tuple(range(len(own))) else part.largest
        )
        result = add(result, broadcast_in_dim(largest, product.shape, sorted(places)))
    root: Any = graph.nodes[sum_.root].type
    order = tuple(sorted(range(len(labels)), key=lambda i: sum_.kept.index(labels[i])))
    result = transpose(result, order) if order != tuple(range(len(labels))) else result
    places = tuple(sorted(sum_.kept.index(d) for d in labels))
    result = result if result.shape == root.shape else broadcast_in_dim(result, root.shape, places)
    others = [term for term in sum_.terms if not term.indices & set(summed)]
    if others:
        of_root = [
            term._replace(
                labels=tuple(None if d is None else sum_.kept.index(d) for d in term.labels)
            )
            for term in others
        ]
        everywhere = tuple(range(len(root.shape)))
        result = add(result, _total(of_root, everywhere, root.shape, value_of))
    least = prod(sum_.shape[d] for d in summed) * _LOST[dtype] / _ROUNDING[dtype]
    enough = compare(product, full_like(product, least), "GE")
    is_safe = reduce_("and", enough, tuple(range(product.rank)))
    return _branch(graph, sum_, is_safe, result, value_of)


def _branch(graph: Graph, sum_: LogSum, is_safe: Value, result: Value, value_of: ValueOf) -> Value:
    """The result if it is safe, else node `root` as the graph computes it from the terms."""
    cone, outside = _cone(graph, sum_)
    captured = [result, *(value_of(index) for index in outside)]
    types: tuple[Type, ...] = tuple(value.type for value in captured)
    usual = GraphBuilder(types, exact=True)
    again = GraphBuilder(types, exact=True)
    values = dict(zip(outside, again.parameters[1:], strict=True))
    for index in cone:
        node = graph.nodes[index]
        operands = tuple(values[operand].index for operand in node.operands)
        values[index] = again.append(node._replace(operands=operands))
    regions = usual.finish([usual.parameters[0]]), again.finish([values[sum_.root]])
    generic = Generic((USUALLY_FIRST,), regions, len(captured))
    builder = result.builder
    return builder.generic(IF, (generic,), [is_safe, *captured], result.type)


def _cone(graph: Graph, sum_: LogSum) -> tuple[list[int], list[int]]:
    """The nodes between the terms and the root, constants included, and what they use besides."""
    leaves = {term.node for term in sum_.terms}
    leaves |= {node for term in sum_.terms for node, _ in term.scalars}
    above: set[int] = set()
    for index in range(min(leaves), sum_.root + 1):
        operands = graph.nodes[index].operands
        if index not in leaves and any(o in above or o in leaves for o in operands):
            above.add(index)
    cone: set[int] = {sum_.root}
    outside: set[int] = set()
    for index in range(sum_.root, -1, -1):
        if index not in cone:
            continue
        for operand in graph.nodes[index].operands:
            is_inside = operand in above or graph.nodes[operand].op == "constant"
            (cone if is_inside else outside).add(operand)
    return sorted(cone), sorted(outside)


def _in_loop(found: Equalities, loop: Loop) -> None:
    """Propose the loop with the exponentials of all that is fixed taken before it."""
    body = loop.body
    is_fixed = _fixed(loop)
    sums: dict[int, tuple[LogSum, list[Term], list[Term]]] = {}
    for index in range(len(body.nodes)):
        sum_ = log_sum_at(body, index)
        if sum_ is None or not found.may_round(body.nodes[index].type.dtype):  # type: ignore[union-attr]
            continue
        terms = [term for term in sum_.terms if term.indices & set(sum_.summed)]
        fixed = [
            term
            for term in terms
            if is_fixed[term.node] and all(is_fixed[node] for node, _ in term.scalars)
        ]
        varying = [term for term in terms if term not in fixed]
        if _is_worthwhile(sum_, fixed, varying, fixed):
            sums[index] = sum_, fixed, varying
    if sums:
        _rewrite(found, loop, sums)


def _fixed(loop: Loop) -> list[bool]:
    """Which nodes of the body have one value in all iterations."""
    found: list[bool] = []
    for index, node in enumerate(loop.body.nodes):
        if node.op == "parameter":
            found.append(loop.parameter(index) in loop.invariant)
        else:
            found.append(all(found[operand] for operand in node.operands))
    return found


def _rewrite(
    found: Equalities,
    loop: Loop,
    sums: Mapping[int, tuple[LogSum, list[Term], list[Term]]],
) -> None:
    outside = [found.value(place) for place in (*loop.initial, *loop.captured)]
    copies: dict[int, Value] = {}

    def before(index: int) -> Value:
        """A fixed node of the body, in the graph around the loop."""
        if index not in copies:
            node = loop.body.nodes[index]
            if node.op == "parameter":
                copies[index] = outside[node.attributes[0]]  # type: ignore[call-overload]
            else:
                operands = tuple(before(operand).index for operand in node.operands)
                copies[index] = found.builder.append(node._replace(operands=operands))
        return copies[index]

    with building(found.builder):
        parts = {k: _part(sum_, fixed, before) for k, (sum_, fixed, _) in sums.items()}
    extra = [value for part in parts.values() for value in (part.exponential, part.largest)]
    inputs = (*loop.body.inputs, *(value.type for value in extra))
    builder = GraphBuilder(inputs, exact=True)
    new: list[Value] = []
    with building(builder):
        own = iter(builder.parameters[len(loop.body.inputs) :])
        inside = {k: Part(part.labels, next(own), next(own)) for k, part in parts.items()}
        for index, node in enumerate(loop.body.nodes):
            if index in sums:
                sum_, _, varying = sums[index]
                pair = inside[index], _part(sum_, varying, new.__getitem__)
                new.append(_guarded(loop.body, sum_, pair, new.__getitem__))
                continue
            operands = tuple(new[operand].index for operand in node.operands)
            new.append(builder.append(node._replace(operands=operands)))
        body = builder.finish([new[output] for output in loop.body.outputs])
    condition = Graph(inputs, loop.condition.nodes, loop.condition.outputs)
    with building(found.builder):
        starts = outside[: loop.carries]
        captured = [*outside[loop.carries :], *extra]
        ends = emit_while(found.builder, condition, body, starts, captured)
    for carry, places in loop.results.items():
        for place in places:
            found.equate(place, ends[carry])
