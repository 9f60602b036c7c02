"""Products with tensors that are 0 but at a few computed places, as reads and writes there.

    Σ_ec T[t, e, c] · y[e, c, d] = Σ_k v_k[t] · y[i_k[t], j_k[t], d]        (reads)
    Σ_t T[t, e, c] · x[t, d] = zeros, + v_k[t] · x[t, d] at (i_k[t], j_k[t])    (writes)

A mixture of experts hands out its tokens by the second and collects results by the first, as
products with a tensor of tokens × experts × places. What is left out are zeros times numbers.
"""

from __future__ import annotations

from typing import Any

from saturax.graph.build import Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import DotDimensions, Precision, full
from saturax.graph.types import TensorType, is_float
from saturax.proposals.equality import Equalities
from saturax.proposals.hot.factors import Factor, added, combined, read
from saturax.proposals.hot.terms import Term, Terms
from saturax.rules.einsum import Einsum, einsum_of


def read_hot_places(found: Equalities) -> None:
    """Propose reads and writes at computed places for products with what is 0 elsewhere."""
    graph = found.graph
    terms = Terms(found)
    for index, node in enumerate(graph.nodes):
        if node.op != "dot_general" or not _is_plain(found, node):
            continue
        d = DotDimensions(*node.attributes[0])  # type: ignore[misc]
        ranks = [graph.nodes[i].type.rank for i in node.operands]  # type: ignore[union-attr]
        labels = einsum_of(d, *ranks)
        for side in (0, 1):
            own, other = node.operands[side], node.operands[1 - side]
            if not found.facts[other].assumed_finite:
                continue
            with building(found.builder):
                hot = terms.of(own)
                if hot is None or _is_row(graph, own):
                    continue
                turned = labels if side == 0 else Einsum(labels.y, labels.x, labels.result)
                result = _product(hot, found.value(other), turned, node.type)  # type: ignore[arg-type]
                if result is not None:
                    found.equate(index, result)


def _is_plain(found: Equalities, node: Node) -> bool:
    """Whether a product is one of floats of one type, in its default algorithm."""
    precision, dtype = Precision(*node.attributes[1]), node.attributes[2]  # type: ignore[misc]
    types: list[Any] = [found.graph.nodes[i].type for i in (*node.operands,)]
    same = all(type.dtype == dtype for type in types)
    return same and is_float(dtype) and found.may_round(dtype) and not precision.algorithm  # type: ignore[arg-type]


def _is_row(graph: Graph, index: int) -> bool:
    """Whether a tensor is plain one-hot rows, which rules know."""
    node = graph.nodes[index]
    if node.op != "unary" or node.attributes[0][0] != "convert":  # type: ignore[index]
        return False
    flags = graph.nodes[node.operands[0]]
    return flags.op == "binary" and flags.attributes[0][:2] == ("compare", "EQ")  # type: ignore[index]


def _product(hot: list[Term], y: Value, labels: Einsum, type: TensorType) -> Value | None:
    """The product of a tensor with these terms (labelled `labels.x`) with y."""
    named = [_named(term, labels.x) for term in hot]
    places = named[0].places.keys()
    contracted = {label for label in labels.x if label in labels.y and label not in labels.result}
    other = Factor(y, labels.y)
    sizes = dict(zip(labels.result, type.shape, strict=True))
    if contracted == places:
        parts = [combined("multiply", t.value, read(other, t.places)) for t in named]
        total = parts[0]
        for part in parts[1:]:
            total = combined("add", total, part)
        return total.over(labels.result, sizes)
    if contracted & places or places & set(labels.y):
        return None
    free = set(labels.x) - contracted - places - set(labels.y)
    if free:
        return None
    total = Factor(full(0, type), labels.result)
    for term in named:
        rows = combined("multiply", term.value, other)
        total = added(total, rows, term.places)
    return total.value


def _named(term: Term, labels: tuple[Any, ...]) -> Term:
    """A term whose dimensions are called by the labels of a product; values as its numbers."""
    names = dict(enumerate(labels))
    return Term(
        term.value.renamed(names), {names[d]: i.renamed(names) for d, i in term.places.items()}
    )
