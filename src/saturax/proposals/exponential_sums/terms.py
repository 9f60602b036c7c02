"""log Σ exp z in a graph, and z as a sum of terms that each have some of the indices.

JAX subtracts the largest z before it takes exponentials, and adds it to the logarithm; what is
subtracted and what is added have to be one value, whatever it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from saturax.graph.ir import Graph, Node
from saturax.graph.types import TensorType
from saturax.proposals.masks import number_of, splat_of_node

Labels = tuple[int | None, ...]
"""For each dimension the dimension of z that it is; None where its size is 1."""

_MOVES = ("broadcast_in_dim", "reshape", "transpose")
_MOST_TERMS = 8


class Term(NamedTuple):
    """A node with the dimensions that it has, times a number, times (or divided by) scalars."""

    node: int
    labels: Labels
    scale: float = 1.0
    scalars: tuple[tuple[int, bool], ...] = ()

    @property
    def indices(self) -> frozenset[int]:
        """The dimensions of z on which the term depends."""
        return frozenset(label for label in self.labels if label is not None)


@dataclass(frozen=True)
class LogSum:
    """Node `root` is log Σ exp z over the dimensions `summed` of z, whose sizes are `shape`.

    `kept` says of each dimension of the root which dimension of z it is.
    """

    root: int
    shape: tuple[int, ...]
    summed: tuple[int, ...]
    kept: Labels
    terms: tuple[Term, ...]


def log_sum_at(graph: Graph, root: int) -> LogSum | None:
    """The log Σ exp z that a node is; None if it is none."""
    node = graph.nodes[root]
    if not isinstance(node.type, TensorType) or node.type.dtype not in ("f32", "f64"):
        return None
    own = _own_labels(node.type.shape)
    if _is(node, "binary", "add"):
        for logarithm, shift in (node.operands, node.operands[::-1]):
            found = _read(graph, root, follow(graph, logarithm, own), follow(graph, shift, own))
            if found is not None:
                return found
    return _read(graph, root, (root, own), None)


def follow(graph: Graph, index: int, labels: Labels) -> tuple[int, Labels]:
    """What a node is that only moves or repeats elements of another one, with its labels."""
    while graph.nodes[index].op in _MOVES:
        node = graph.nodes[index]
        (operand,) = node.operands
        sizes: tuple[int, ...] = graph.nodes[operand].type.shape  # type: ignore[union-attr]
        before = _before(node, labels, sizes)
        if before is None:
            break
        index, labels = operand, before
    return index, labels


def _before(node: Node, labels: Labels, sizes: tuple[int, ...]) -> Labels | None:
    """The labels of the operand of a movement, whose dimensions have these sizes."""
    if node.op == "transpose":
        permutation: Any = node.attributes[0]
        return tuple(labels[permutation.index(d)] for d in range(len(sizes)))
    if node.op == "broadcast_in_dim":
        dimensions: Any = node.attributes[1]
        return tuple(labels[d] if n > 1 else None for d, n in zip(dimensions, sizes, strict=True))
    long: tuple[int, ...] = node.type.shape  # type: ignore[union-attr]
    named = [(label, n) for label, n in zip(labels, long, strict=True) if n > 1]
    if [n for _, n in named] != [n for n in sizes if n > 1]:
        return None
    rest = iter(label for label, _ in named)
    return tuple(next(rest) if n > 1 else None for n in sizes)


def _own_labels(shape: Sequence[int]) -> Labels:
    return tuple(d if n > 1 else None for d, n in enumerate(shape))


def _is(node: Node, op: str, function: str) -> bool:
    return node.op == op and node.attributes[0] == function


def _read(
    graph: Graph,
    root: int,
    logarithm: tuple[int, Labels],
    shift: tuple[int, Labels] | None,
) -> LogSum | None:
    """`logarithm` + `shift`, which the root is, with the labels of the root's dimensions."""
    index, labels = logarithm
    if not _is(graph.nodes[index], "unary", "log"):
        return None
    index, labels = follow(graph, graph.nodes[index].operands[0], labels)
    if _is(graph.nodes[index], "unary", "abs"):
        index, labels = follow(graph, graph.nodes[index].operands[0], labels)
    total = graph.nodes[index]
    if not _is(total, "reduce", "add"):
        return None
    summed: Any = total.attributes[1]
    exponential = graph.nodes[total.operands[0]]
    if not _is(exponential, "unary", "exponential"):
        return None
    shape: tuple[int, ...] = exponential.type.shape  # type: ignore[union-attr]
    free = [d for d in range(len(shape)) if d not in summed]
    of_root = {label: d for label, d in zip(labels, free, strict=True) if label is not None}
    sizes: tuple[int, ...] = graph.nodes[root].type.shape  # type: ignore[union-attr]
    kept = tuple(of_root.get(d) if n > 1 else None for d, n in enumerate(sizes))
    if any(n > 1 and d is None for d, n in zip(kept, sizes, strict=True)):
        return None
    z = exponential.operands[0]
    node = graph.nodes[z]
    if shift is None and _is_shifted(graph, node, summed, shape):
        return None  # what has been subtracted is added somewhere
    if shift is not None:
        if not _is(node, "binary", "subtract"):
            return None
        z, less = node.operands
        core, places = follow(graph, less, _own_labels(shape))
        added = tuple(None if d is None else of_root.get(d) for d in shift[1])
        if (core, places) != (shift[0], added):
            return None
    terms = _terms(graph, z, _own_labels(shape))
    if terms is None:
        return None
    return LogSum(root, shape, tuple(d for d in summed if shape[d] > 1), kept, terms)


def _is_shifted(graph: Graph, node: Node, summed: Sequence[int], shape: tuple[int, ...]) -> bool:
    if not _is(node, "binary", "subtract"):
        return False
    _, labels = follow(graph, node.operands[1], _own_labels(shape))
    return not set(summed) & set(labels)


def _terms(graph: Graph, index: int, labels: Labels) -> tuple[Term, ...] | None:
    """A node as a sum of terms; None if there are too many.

    What lacks an index already is a term as it is. (In Sinkhorn's algorithm it is the last
    logarithm, which has to stay one value.)
    """
    found: list[Term] = []
    every = Term(index, labels).indices
    todo = [Term(index, labels)]
    while todo:
        term = todo.pop()
        if len(found) + len(todo) > _MOST_TERMS:
            return None
        place, labels = follow(graph, term.node, term.labels)
        term = term._replace(node=place, labels=labels)
        node = graph.nodes[place]
        is_open = term.indices == every and node.op in ("unary", "binary")
        function = node.attributes[0] if is_open else ""
        if function in ("add", "subtract"):
            sign = -1.0 if function == "subtract" else 1.0
            todo += [
                term._replace(node=node.operands[1], scale=sign * term.scale),
                term._replace(node=node.operands[0]),
            ]
        elif function == "negate":
            todo.append(term._replace(node=node.operands[0], scale=-term.scale))
        else:
            scaled = _scaled(graph, term, node) if function in ("multiply", "divide") else None
            (found if scaled is None else todo).append(scaled or term)
    return tuple(found)


def _scaled(graph: Graph, term: Term, node: Node) -> Term | None:
    """A product with a scalar as another multiple of the other factor."""
    is_quotient = node.attributes[0] == "divide"
    pairs = (node.operands,) if is_quotient else (node.operands, node.operands[::-1])
    for other, scalar in pairs:
        literal = splat_of_node(graph, scalar)
        if literal is not None:
            number = float(number_of(literal).real)
            if number == 0 or abs(number) == float("inf") or number != number:
                return None
            scale = term.scale / number if is_quotient else term.scale * number
            return term._replace(node=other, scale=scale)
        place, labels = follow(graph, scalar, term.labels)
        if not any(label is not None for label in labels):
            return term._replace(node=other, scalars=(*term.scalars, (place, is_quotient)))
    return None
