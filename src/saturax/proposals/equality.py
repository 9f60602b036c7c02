"""What a proposal returns: the graph, extended by new nodes, and which nodes are equal."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from saturax.facts import Facts, facts_of_nodes
from saturax.graph.build import GraphBuilder, Value
from saturax.graph.ir import Graph, Node
from saturax.graph.types import TensorType, is_complex, is_float, is_integer
from saturax.numerics import FINITE, ROUNDING, Numerics


class Equalities:
    """A graph being extended: new nodes go into `builder`; `equate` says what they are equal to.

    The nodes of `graph` keep their indices, so `value(i)` is node i as an operand. `numerics` is
    the least strict class of equalities that the user admits. `failures` says which proposals
    ended with an error of ours; what they stated before holds. `promising` are new loops that do
    less than those they stand for: their bodies are worth a search, too. Of the inputs `inner`,
    which the program has computed, nothing is assumed.
    """

    def __init__(
        self, graph: Graph, numerics: Numerics = ROUNDING, inner: frozenset[int] = frozenset()
    ) -> None:
        self.graph = graph
        self.inner = inner
        self.numerics = numerics
        self.builder = GraphBuilder(exact=False)
        self.builder.inputs.extend(graph.inputs)
        for node in graph.nodes:
            self.builder.append(node)
        self.pairs: list[tuple[int, int, str]] = []
        self.failures: list[str] = []
        self.promising: list[int] = []
        self.reason = ""

    @property
    def nodes(self) -> list[Node]:
        """The original nodes, then the new ones."""
        return self.builder.nodes

    def may_round(self, dtype: str) -> bool:
        """Whether what is equal over the reals may be proposed for elements of `dtype`."""
        is_exact = not is_float(dtype) and not is_complex(dtype)
        return is_exact or self.numerics >= ROUNDING

    @cached_property
    def facts(self) -> list[Facts]:
        """What is known of each node of the graph."""
        return facts_of_nodes(self.graph.nodes, self.numerics, self.inner)

    def cancels(self, index: int) -> bool:
        """Whether node x of the graph may be left out of x - x: that is 0, and not NaN."""
        type: TensorType = self.graph.nodes[index].type  # type: ignore[assignment]
        if is_integer(type.dtype):
            return True
        return self.numerics >= FINITE and self.facts[index].assumed_finite

    def value(self, index: int) -> Value:
        """Node `index` as an operand of new nodes."""
        return Value(self.builder, index, self.builder.nodes[index].type)

    def equate(self, index: int, value: Value) -> None:
        """State that node `index` of the graph equals the new `value`."""
        if self.builder.nodes[index].type != value.type:
            raise TypeError(
                f"proposal {self.reason}: node {index} has type {self.builder.nodes[index].type}, "
                f"what is proposed for it has {value.type}"
            )
        if value.index != index:
            self.pairs.append((index, value.index, self.reason))

    def keep_apart(self, owners: Sequence[int]) -> None:
        """Drop what is made of inputs of several parts of a program; each has one of `owners`.

        Products of different layers, say, can not be batched, since one waits for the other.
        """
        made_of: list[frozenset[int]] = []
        places: dict[int, int] = {}
        nodes, self.builder = self.nodes, GraphBuilder(exact=False)
        self.builder.inputs.extend(self.graph.inputs)
        for index, node in enumerate(nodes):
            own = [owners[_number(node)]] if node.op == "parameter" else []
            made_of.append(frozenset(own).union(*(made_of[i] for i in node.operands)))
            if index < len(self.graph.nodes) or len(made_of[index]) <= 1:
                operands = tuple([places[i] for i in node.operands])
                places[index] = self.builder.append(node._replace(operands=operands)).index
        kept = [pair for pair in self.pairs if pair[0] in places and pair[1] in places]
        self.pairs = [(places[i], places[j], reason) for i, j, reason in kept]
        self.promising = [places[index] for index in self.promising if index in places]

    def adopt(self, other: Equalities) -> list[int]:
        """Add the nodes and equalities found for a program with the same inputs.

        Returns where each of its nodes is here.
        """
        places: list[int] = []
        for node in other.nodes:
            operands = tuple(places[operand] for operand in node.operands)
            places.append(self.builder.append(node._replace(operands=operands)).index)
        self.pairs += [(places[i], places[j], reason) for i, j, reason in other.pairs]
        self.failures += other.failures
        self.promising += [places[index] for index in other.promising]
        return places


def _number(parameter: Node) -> int:
    number: Any = parameter.attributes[0]
    return int(number)
