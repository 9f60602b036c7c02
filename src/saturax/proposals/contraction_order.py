"""Orders in which to contract a tensor network, and what each costs.

The search is opt_einsum's: dynamic programming over subsets of the factors, greedy for large
networks. Prices are flops (dearer outside of matrix products) and the bytes of results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import opt_einsum

from saturax.graph.ir import Graph
from saturax.graph.operation import TABLE
from saturax.graph.types import TensorType
from saturax.proposals.tensor_network import Network
from saturax.rules.einsum import natural_result

Labels = tuple[int, ...]
Path = tuple[tuple[int, ...], ...]

BYTE = 8.0
"""Flops of a matrix product in the time that a byte takes: 16 flops a byte is a balanced machine,
and half of the traffic stays in a cache."""
ELEMENT = 8.0
"""Flops of a matrix product in the time of an elementwise operation inside a fusion."""
NEGLIGIBLE = 1e-4
"""Share of a program's cost below which a gain is not worth the nodes that it takes."""
_MOST_BY_DYNAMIC_PROGRAMMING, _MOST_IN_A_CHAIN, _MOST_WITH_OUTER_PRODUCTS = 9, 16, 6
_OBJECTIVES = ("flops", "combo", "size")


class Step(NamedTuple):
    """One pairwise product: tensors by number (factors first, then results), and what is left."""

    left: int
    right: int
    labels: Labels


class Order(NamedTuple):
    """How to compute a network: labels of its factors once summed alone, then products of two.

    `scalars` are the numbers of factors without labels, which take no part in the steps.
    """

    factors: tuple[Labels, ...]
    scalars: tuple[int, ...]
    steps: tuple[Step, ...]
    cost: float


def orders(network: Network) -> list[Order]:
    """The best order and near ones by other objectives, cheapest first, without repetition."""
    counts = Counter(label for factor in network.factors for label in set(factor.labels))
    output = set(network.output)
    summed = tuple(
        tuple(x for x in dict.fromkeys(factor.labels) if counts[x] > 1 or x in output)
        for factor in network.factors
    )
    tensors = [number for number, labels in enumerate(summed) if labels]
    scalars = tuple(number for number, labels in enumerate(summed) if not labels)
    found = {
        _steps(network, summed, tensors, path)
        for path in _paths([summed[number] for number in tensors], network)
    }
    all_orders = [
        Order(summed, scalars, steps, _cost(network, summed, steps)) for steps in sorted(found)
    ]
    return sorted(all_orders, key=lambda order: order.cost)


def given_cost(graph: Graph, nodes: Iterable[int]) -> float:
    """What nodes of the graph cost, on the scale of `orders`."""
    total = 0.0
    for index in nodes:
        node: Any = graph.nodes[index]
        types: list[Any] = [graph.nodes[operand].type for operand in node.operands]
        if node.op in ("dot_general", "convolution"):
            total += TABLE[node.op].flops(node.attributes, types, node.type)
            total += 2 * BYTE * node.type.bytes
        elif node.op == "reduce":
            total += ELEMENT * types[0].size
        elif node.op in ("unary", "binary", "ternary"):
            total += ELEMENT * node.type.size
    return total


def _paths(tensors: Sequence[Labels], network: Network) -> set[Path]:
    """Contraction paths, in opt_einsum's notation, of the remaining tensors."""
    if len(tensors) < 2:
        return {()}
    number: dict[int, int] = {}
    for labels in tensors:
        for label in labels:
            number.setdefault(label, len(number))
    return _searched(
        tuple(frozenset(number[label] for label in labels) for labels in tensors),
        frozenset(number[label] for label in network.output if label in number),
        tuple(network.sizes[label] for label in number),
    )


@lru_cache(maxsize=4096)
def _searched(
    inputs: tuple[frozenset[int], ...], output: frozenset[int], sizes: tuple[int, ...]
) -> set[Path]:
    """Paths that are best by one of the objectives. Equal layers of a program are searched once."""
    size = dict(enumerate(sizes))
    uses = Counter(label for labels in (*inputs, output) for label in labels)
    is_chain = all(count <= 2 for count in uses.values())
    most = _MOST_IN_A_CHAIN if is_chain else _MOST_BY_DYNAMIC_PROGRAMMING
    if len(inputs) == 2:
        return {((0, 1),)}
    if len(inputs) > most:
        return {tuple(opt_einsum.paths.greedy(list(inputs), output, size))}
    with_outer = len(inputs) <= _MOST_WITH_OUTER_PRODUCTS
    return {
        tuple(
            opt_einsum.DynamicProgramming(objective, search_outer=with_outer)(
                list(inputs), output, size
            )
        )
        for objective in _OBJECTIVES
    }


def _steps(
    network: Network, factors: tuple[Labels, ...], tensors: Sequence[int], path: Path
) -> tuple[Step, ...]:
    """The pairwise products that a path stands for."""
    labels = dict(enumerate(factors))
    open_tensors = list(tensors)
    # How many open tensors have a label, and one more if the result has it.
    uses = Counter(label for number in tensors for label in set(labels[number]))
    uses.update(set(network.output))
    steps: list[Step] = []
    for positions in path:
        chosen = [open_tensors[position] for position in positions]
        for position in sorted(positions, reverse=True):
            del open_tensors[position]
        if len(chosen) == 2:
            left, right = chosen
            for number in chosen:
                uses.subtract(set(labels[number]))
            kept = [x for x in dict.fromkeys(labels[left] + labels[right]) if uses[x]]
            natural: Sequence[Any] = natural_result(labels[left], labels[right], tuple(kept))
            result: Labels = tuple(label for label in natural if uses[label])
            uses.update(set(result))
            chosen = [len(factors) + len(steps)]
            labels[chosen[0]] = result
            steps.append(Step(left, right, result))
        open_tensors += chosen
    return tuple(steps)


def _cost(network: Network, factors: tuple[Labels, ...], steps: tuple[Step, ...]) -> float:
    """Flops and bytes of an order, in flops of a matrix product."""

    def size(labels: Iterable[int]) -> int:
        return prod(network.sizes[label] for label in labels)

    itemsize = TensorType((), network.dtype).bytes
    own = zip(network.factors, factors, strict=True)
    total = sum(ELEMENT * size(f.labels) for f, labels in own if f.labels != labels)
    known = list(factors)
    for step in steps:
        left, right = known[step.left], known[step.right]
        every = size({*left, *right})
        if every == size(step.labels):
            total += ELEMENT * every
        elif set(left) == set(right):
            total += 2 * ELEMENT * every
        else:
            total += 2 * every + 2 * BYTE * itemsize * size(step.labels)
        known.append(step.labels)
    if network.scale != 1 or len(known) - len(steps) > len(factors):
        # A sum of nothing but a constant has no factors.
        total += ELEMENT * min(map(size, known), default=1)
    return total
