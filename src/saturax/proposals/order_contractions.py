"""Other orders for trees of contractions.

    (A·B)·x = A·(B·x),   Σ A·B = (Σ rows of A)·(Σ columns of B),   x·(W + A·B) = x·W + (x·A)·B

Each tree of contractions is read as one tensor network, and its cheapest orders are proposed where
they cost less than the given one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import islice, product
from math import prod
from typing import Any

from saturax.graph.build import building
from saturax.graph.ir import Graph
from saturax.graph.ops import add
from saturax.proposals.contraction_build import build_network
from saturax.proposals.contraction_order import ELEMENT, NEGLIGIBLE, given_cost, orders
from saturax.proposals.equality import Equalities
from saturax.proposals.tensor_network import (
    MOVEMENT,
    Network,
    Reading,
    is_contractive,
    network_of,
)
from saturax.proposals.usage import used_by_contractions, used_once

Choices = tuple[tuple[int, int], ...]
"""For each time that a sum is a factor, the summand that stands for it, and its sign."""

_LEAST_GAIN = 0.98
_MOST_ORDERS, _MOST_SUMMANDS = 2, 8


def order_contractions(equalities: Equalities) -> None:
    """Propose cheaper orders for the trees of contractions in the graph.

    At most two for a root, three times (with shared nodes as factors, without them, and with
    sums distributed), each with a few nodes for a factor.
    """
    graph = equalities.graph
    once, by_contractions = used_once(graph), used_by_contractions(graph)
    proposer = _Proposer(equalities, by_contractions)
    absorbed: set[int] = set()
    for root in range(len(graph.nodes) - 1, -1, -1):
        if root in absorbed:
            continue
        plain = network_of(Reading(graph, once), root)
        if plain is None or not equalities.may_round(plain.dtype):
            continue
        absorbed |= {index for index in plain.interior if once[index]}
        networks = [plain]
        if any(by_contractions[f.node] and not once[f.node] for f in plain.factors):
            through = network_of(Reading(graph, by_contractions), root)
            is_other = through is not None and through.interior != plain.interior
            networks += [through] if through is not None and is_other else []
        for network in networks:
            proposer.reorder(network)
            proposer.distribute(network)


class _Proposer:
    """Proposes what is cheaper for networks of one graph."""

    def __init__(self, equalities: Equalities, is_open: Sequence[bool]) -> None:
        self.equalities = equalities
        self.graph = equalities.graph
        self.is_open = is_open
        self.least_gain = NEGLIGIBLE * given_cost(self.graph, range(len(self.graph.nodes)))

    def limit(self, nodes: Iterable[int]) -> float:
        """What an alternative to these nodes may cost."""
        given = given_cost(self.graph, nodes)
        return min(_LEAST_GAIN * given, given - self.least_gain)

    def reorder(self, network: Network) -> None:
        """Propose the cheapest orders of a network, where they are cheaper than the given one."""
        limit = self.limit(network.interior)
        cheaper = (order for order in orders(network) if order.cost < limit)
        for order in islice(cheaper, _MOST_ORDERS):
            with building(self.equalities.builder):
                value = build_network(self.equalities, network, order)
            if value is not None:
                self.equalities.equate(network.root, value)

    def distribute(self, network: Network) -> None:
        """Propose the sum of networks that a network with sums among its factors is.

        One sum is distributed, wherever it is a factor, and all of them.
        """
        sums: dict[int, list[Choices]] = {}
        for factor, count in Counter(factor.node for factor in network.factors).items():
            summands = _summands(self.graph, factor) if self.is_open[factor] else []
            if any(_is_promising(self.graph, index) for index, _ in summands):
                sums[factor] = list(product(summands, repeat=count))
        for distributed in _alone_and_together(sums):
            if 1 < prod(map(len, distributed.values())) <= _MOST_SUMMANDS:
                self._distribute(network, distributed)

    def _distribute(self, network: Network, sums: Mapping[int, Sequence[Choices]]) -> None:
        """Propose the sum of networks in which each sum is one of its summands."""
        choices = (dict(zip(sums, chosen, strict=True)) for chosen in product(*sums.values()))
        readings = [Reading(self.graph, self.is_open, chosen) for chosen in choices]
        found = [network_of(reading, network.root) for reading in readings]
        parts = [part for part in found if part is not None]
        if len(parts) < len(found):
            return
        best = [orders(part)[0] for part in parts]
        size = prod(network.sizes[label] for label in network.output)
        cost = sum(order.cost for order in best) + ELEMENT * (len(best) - 1) * size
        if cost >= self.limit(network.interior.union(*(part.interior for part in parts))):
            return
        with building(self.equalities.builder):
            pairs = zip(parts, best, strict=True)
            values = [build_network(self.equalities, part, order) for part, order in pairs]
            terms = [value for value in values if value is not None]
            if len(terms) == len(values):
                self.equalities.equate(network.root, reduce(add, terms))


def _alone_and_together(sums: dict[int, list[Choices]]) -> list[dict[int, list[Choices]]]:
    alone = [{factor: choices} for factor, choices in sums.items()]
    return [*alone, sums] if len(alone) > 1 else alone


def _summands(graph: Graph, index: int) -> list[tuple[int, int]]:
    """What node `index` is the sum of, with signs; empty if it is no sum, or a long one."""
    nodes = graph.nodes
    found: list[tuple[int, int]] = []
    pending = [(index, 1)]
    while pending and len(found) <= _MOST_SUMMANDS:
        current, sign = pending.pop()
        node = nodes[current]
        f = node.attributes[0] if node.op == "binary" else None
        if f in ("add", "subtract"):
            left, right = node.operands
            pending += [(right, sign if f == "add" else -sign), (left, sign)]
        else:
            found.append((current, sign))
    return found if 1 < len(found) <= _MOST_SUMMANDS else []


def _is_promising(graph: Graph, index: int) -> bool:
    """Whether a summand has structure that a network can use: a contraction or a diagonal."""
    node: Any = graph.nodes[index]
    while node.op in MOVEMENT:
        node = graph.nodes[node.operands[0]]
    if node.op == "unary" and node.attributes[0] == "negate":
        return True
    is_mask = node.op == "ternary" or (node.op == "unary" and node.attributes[0][0] == "convert")
    return is_mask or is_contractive(graph, node)
