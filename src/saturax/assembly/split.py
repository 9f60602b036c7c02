"""Stage `split`: what depends on frozen inputs alone becomes a program of its own.

A program f(frozen, x) is cut into a *prologue*, which computes values from the frozen inputs and
from large constants once, and a *main* program, which takes these values as its first arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from saturax.assembly.holding import hold_products
from saturax.checking.inputs import Array
from saturax.graph.build import prune
from saturax.graph.ir import Graph, Node, Program
from saturax.graph.literal import Literal
from saturax.graph.types import TensorType, Type

# Smaller constants stay in the main program: XLA folds them (indices, masks of a few rows).
_LEAST_LIFTED_BYTES = 1 << 16


@dataclass(frozen=True)
class Split:
    """A program in two parts.

    The *pool* is: the values of the frozen inputs, in their order; then `literals`; then the
    outputs of `prologue`, which takes the frozen inputs and the literals. `main` takes the values
    `sources` of the pool, then the inputs that are not frozen. `constants` says that the prepared
    values are to be compiled into the main program.
    """

    prologue: Program
    main: Program
    literals: tuple[Literal, ...]
    sources: tuple[int, ...]
    frozen: tuple[int, ...]
    constants: bool = False

    @property
    def prepared_types(self) -> tuple[TensorType, ...]:
        """Types of the values that the main program takes from the pool."""
        return _tensors(self.main.graph.inputs[: len(self.sources)])

    @property
    def bytes_after(self) -> int:
        """Bytes of the prepared values."""
        return sum(type.bytes for type in self.prepared_types)

    def held(self) -> Split:
        """The parts, products of the main program held."""
        return replace(self, main=self.main.with_graph(hold_products(self.main.graph)))

    def pool(
        self, frozen: Sequence[Any], literals: Sequence[Any], computed: Sequence[Any]
    ) -> list[Any]:
        """The prepared values, from the values of the three parts of the pool."""
        everything = [*frozen, *literals, *computed]
        return [everything[source] for source in self.sources]


def split(
    program: Program,
    frozen: Sequence[int],
    ahead: Sequence[int] = (),
    largest_bytes: float = float("inf"),
) -> Split:
    """Cut `program` so that the nodes `ahead` are computed from the inputs `frozen` beforehand.

    Nodes of `ahead` that depend on anything else stay in the main program, and so do those whose
    values would take the prepared values over `largest_bytes`.
    """
    cut = _Cut(program.graph, tuple(frozen))
    chosen = cut.within(cut.admissible(ahead), largest_bytes)
    frontier = cut.frontier(chosen)
    literals = cut.literals([i for i in frontier if i in chosen], frontier)
    outputs = [i for i in frontier if i in chosen]
    first_literal = len(cut.frozen)
    first_output = first_literal + len(literals)
    sources = []
    for index in frontier:
        node = cut.graph.nodes[index]
        if index in chosen:
            sources.append(first_output + outputs.index(index))
        elif node.op == "parameter":
            sources.append(cut.frozen.index(_number(node)))
        else:
            sources.append(first_literal + literals.index(node.attributes[0]))
    prologue = Program(cut.prologue(outputs, literals), symbols=program.symbols)
    return Split(prologue, cut.main(program, frontier), literals, tuple(sources), tuple(cut.frozen))


def with_constants(main: Program, prepared: Sequence[Array]) -> Program:
    """The main program of a split with the prepared values, its first inputs, as constants."""
    graph, count = main.graph, len(prepared)
    nodes = []
    for node in graph.nodes:
        if node.op == "parameter":
            number = _number(node)
            if number < count:
                node = Node("constant", (Literal(prepared[number]),), (), node.type)
            else:
                node = node._replace(attributes=(number - count,))
        nodes.append(node)
    inner = Graph(graph.inputs[count:], tuple(nodes), graph.outputs, graph.effects)
    return _with_inputs(main, inner, main.argument_attributes[count:])


def bytes_before(program: Program, frozen: Sequence[int]) -> int:
    """Bytes of the frozen inputs and of the large constants of a program."""
    inputs = sum(type.bytes for type in _tensors([program.graph.inputs[i] for i in frozen]))
    literals = {literal for node in program.graph.nodes if (literal := _large_literal(node))}
    return inputs + sum(literal.type.bytes for literal in literals)


class _Cut:
    """Ways to cut one graph."""

    def __init__(self, graph: Graph, frozen: tuple[int, ...]) -> None:
        self.graph = graph
        self.frozen = list(frozen)
        self._is_fixed = fixed_nodes(graph, set(frozen))

    def admissible(self, ahead: Sequence[int]) -> set[int]:
        """The nodes of `ahead` that can be computed beforehand."""
        nodes = self.graph.nodes
        return {
            i
            for i in ahead
            if self._is_fixed[i] and nodes[i].operands and isinstance(nodes[i].type, TensorType)
        }

    def within(self, ahead: set[int], largest_bytes: float) -> set[int]:
        """The nodes of `ahead` without those that take the prepared values over a size."""
        total = self._bytes(ahead)
        if total <= largest_bytes:
            return ahead
        for index in sorted(ahead, key=lambda i: (-_bytes(self.graph.nodes[i].type), i)):
            without = self._bytes(ahead - {index})
            if without < total:
                ahead, total = ahead - {index}, without
            if total <= largest_bytes:
                return ahead
        return ahead if total <= largest_bytes else set()

    def frontier(self, ahead: set[int]) -> list[int]:
        """The nodes whose values the main program takes as arguments, in order."""
        found = {
            index
            for index in self._walk([*self.graph.effects, *self.graph.outputs], ahead)
            if self._is_leaf(index, ahead)
        }
        return sorted(found)

    def literals(self, outputs: list[int], frontier: list[int]) -> tuple[Literal, ...]:
        """The large constants that the prologue reads or the main program takes."""
        nodes = self.graph.nodes
        read = [*self._walk(outputs, set()), *frontier]
        found = (_large_literal(nodes[index]) for index in sorted(set(read)))
        return tuple(dict.fromkeys(literal for literal in found if literal is not None))

    def prologue(self, outputs: list[int], literals: tuple[Literal, ...]) -> Graph:
        """The graph that computes `outputs` from the frozen inputs and the literals."""
        count = len(self.frozen)
        nodes: list[Node] = []
        for node in self.graph.nodes:
            literal = _large_literal(node)
            if literal in literals and literal is not None:
                node = Node("parameter", (count + literals.index(literal),), (), node.type)
            elif node.op == "parameter" and _number(node) in self.frozen:
                node = node._replace(attributes=(self.frozen.index(_number(node)),))
            nodes.append(node)
        inputs = [self.graph.inputs[number] for number in self.frozen]
        types = (*inputs, *(literal.type for literal in literals))
        return prune(Graph(types, tuple(nodes), tuple(outputs)))

    def main(self, program: Program, frontier: list[int]) -> Program:
        """The program that takes the frontier's values, then the inputs that are not frozen."""
        graph = self.graph
        others = [i for i in range(len(graph.inputs)) if i not in set(self.frozen)]
        number = {old: len(frontier) + new for new, old in enumerate(others)}
        place = {index: new for new, index in enumerate(frontier)}
        nodes = [
            Node("parameter", (place[index],), (), node.type)
            if index in place
            else node._replace(attributes=(number[_number(node)],))
            if node.op == "parameter" and _number(node) in number
            else node
            for index, node in enumerate(graph.nodes)
        ]
        types = (*(graph.nodes[i].type for i in frontier), *(graph.inputs[i] for i in others))
        inner = prune(Graph(types, tuple(nodes), graph.outputs, graph.effects))
        attributes = program.argument_attributes
        if attributes:
            attributes = (*((),) * len(frontier), *(attributes[i] for i in others))
        return _with_inputs(program, inner, attributes)

    def _bytes(self, ahead: set[int]) -> int:
        return sum(_bytes(self.graph.nodes[index].type) for index in self.frontier(ahead))

    def _is_leaf(self, index: int, ahead: set[int]) -> bool:
        node = self.graph.nodes[index]
        if node.op == "parameter":
            return _number(node) in self.frozen
        return index in ahead or _large_literal(node) is not None

    def _walk(self, roots: Sequence[int], ahead: set[int]) -> Iterator[int]:
        """Nodes that `roots` need, not going below the nodes `ahead`."""
        seen = set(roots)
        stack = list(seen)
        while stack:
            index = stack.pop()
            yield index
            if index in ahead:
                continue
            for operand in self.graph.nodes[index].operands:
                if operand not in seen:
                    seen.add(operand)
                    stack.append(operand)


def fixed_nodes(graph: Graph, frozen: Collection[int]) -> list[bool]:
    """For each node, whether its value depends on frozen inputs and constants only."""
    effects = set(graph.effects)
    found: list[bool] = []
    for index, node in enumerate(graph.nodes):
        if node.op == "parameter":
            found.append(_number(node) in frozen)
        else:
            is_leaf = node.op in ("constant", "iota")
            fixed = index not in effects and all(found[operand] for operand in node.operands)
            found.append(is_leaf or (fixed and bool(node.operands)))
    return found


def _large_literal(node: Node) -> Literal | None:
    literal = node.attributes[0] if node.op == "constant" else None
    if not isinstance(literal, Literal) or literal.is_splat:
        return None
    return literal if literal.type.bytes >= _LEAST_LIFTED_BYTES else None


def _number(node: Node) -> int:
    number = node.attributes[0]
    assert isinstance(number, int)
    return number


def _bytes(type: Type) -> int:
    return type.bytes if isinstance(type, TensorType) else 0


def _tensors(types: Sequence[Type]) -> tuple[TensorType, ...]:
    return tuple(type for type in types if isinstance(type, TensorType))


def _with_inputs(
    program: Program, graph: Graph, attributes: tuple[tuple[tuple[str, str], ...], ...]
) -> Program:
    """The same surroundings around a graph of other inputs."""
    return replace(program, graph=graph, argument_attributes=attributes)
