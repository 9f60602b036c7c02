"""Maximal trees of sums and products, read as polynomials of what they are made of.

    3·x·y - x/z + 2  =  {x y: 3, x z⁻¹: -1, (): 2}

Sums and products are thereby compared modulo associativity and commutativity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from saturax.graph.ir import Graph
from saturax.graph.types import TensorType, is_complex, is_float, is_integer
from saturax.proposals.masks import number_of, splat_of_node
from saturax.rules.arithmetic import is_finite, is_real

MOST_TERMS = 48
_MOST_MULTIPLIED_OUT = 16
_DEEPEST = 200
_SQUARE = "chlo.square"


class Factor(NamedTuple):
    """Node `node` to the power 1 or -1."""

    node: int
    exponent: int = 1


class Term(NamedTuple):
    """A coefficient times a product of factors (ascending; a square is listed twice)."""

    coefficient: complex
    factors: tuple[Factor, ...]


@dataclass(frozen=True)
class Polynomial:
    """Node `root` as a sum of terms, and the nodes of the tree (`interior`, root included)."""

    root: int
    terms: tuple[Term, ...]
    interior: frozenset[int]

    @property
    def is_small(self) -> bool:
        """Whether it has few enough terms and factors to be rewritten."""
        factors = max((len(term.factors) for term in self.terms), default=0)
        return max(factors, len(self.terms)) <= MOST_TERMS


def polynomials(graph: Graph, uses: Sequence[int]) -> list[Polynomial]:
    """The maximal trees of sums and of products in the graph, the last first.

    `uses[i]` is the number of uses of node i. Nodes with several uses are roots of their own, and
    factors of those that use them. Very large trees are left out.
    """
    absorbed: set[int] = set()
    found: list[Polynomial] = []
    for root in range(len(graph.nodes) - 1, -1, -1):
        if root not in absorbed and is_arithmetic(graph, root):
            polynomial = read_polynomial(graph, uses, root)
            absorbed |= polynomial.interior
            if polynomial.is_small:
                found.append(polynomial)
    return found


def read_polynomial(
    graph: Graph, uses: Sequence[int], root: int, *, is_through_shared: bool = False
) -> Polynomial:
    """The tree of sums and products at node `root`.

    With `is_through_shared`, products that are used elsewhere too are multiplied out.
    """
    reader = _Reader(graph, uses, is_through_shared)
    terms = reader.sum_of(root, 1, 0, is_root=True)
    return Polynomial(root, tuple(terms), frozenset(reader.interior))


def multiplied_out(graph: Graph, uses: Sequence[int], polynomial: Polynomial) -> Polynomial | None:
    """The polynomial without factors that are sums: (x + y)·z as x·z + y·z, over and over.

    None if it has no such factor, or would have too many terms. What is used nowhere else belongs
    to the interior.
    """
    interior = set(polynomial.interior)
    sums: dict[int, tuple[Term, ...]] = {}
    terms, found = list(polynomial.terms), False
    while (pair := _first_sum(graph, terms)) is not None:
        term, factor = pair
        if factor.node not in sums:
            inner = read_polynomial(graph, uses, factor.node, is_through_shared=True)
            sums[factor.node] = inner.terms
            count = sum(other.factors.count(factor) for other in terms)
            interior |= inner.interior if uses[factor.node] <= count else set()
        rest = list(term.factors)
        rest.remove(factor)
        terms.remove(term)
        terms += [
            Term(term.coefficient * part.coefficient, tuple(sorted([*rest, *part.factors])))
            for part in sums[factor.node]
        ]
        found = True
        if len(terms) > _MOST_MULTIPLIED_OUT:
            return None
    return Polynomial(polynomial.root, tuple(terms), frozenset(interior)) if found else None


def _first_sum(graph: Graph, terms: Sequence[Term]) -> tuple[Term, Factor] | None:
    """A term with a factor that is a sum, and the factor."""
    for term in terms:
        for factor in term.factors:
            node: Any = graph.nodes[factor.node]
            is_sum = node.op == "binary" and node.attributes[0] in ("add", "subtract")
            if is_sum and factor.exponent == 1 and is_arithmetic(graph, factor.node):
                return term, factor
    return None


def products(graph: Graph, uses: Sequence[int]) -> Iterator[tuple[int, Term]]:
    """The maximal trees of products and quotients, inside of sums or not, the last first."""
    absorbed: set[int] = set()
    for root in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[root]
        is_product = node.op == "binary" and node.attributes[0] in ("multiply", "divide")
        if root in absorbed or not is_product or not is_arithmetic(graph, root):
            continue
        reader = _Reader(graph, uses, False)
        coefficient, factors = reader.product_of(root, 1, 0, is_root=True)
        absorbed.update(reader.interior)
        if 1 < len(factors) <= MOST_TERMS:
            yield root, Term(coefficient, tuple(sorted(factors)))


def is_arithmetic(graph: Graph, index: int) -> bool:
    """Whether a node is a sum, product or quotient of numbers."""
    node: Any = graph.nodes[index]
    if not isinstance(node.type, TensorType) or node.op not in ("binary", "unary"):
        return False
    dtype = node.type.dtype
    if not (is_float(dtype) or is_complex(dtype) or is_integer(dtype)) or not node.type.size:
        return False
    if node.attributes[0] == "divide":
        return is_real(dtype)
    return node.attributes[0] in ("add", "subtract", "multiply", "negate", _SQUARE)


class _Reader:
    """Follows operands from the root of one tree."""

    def __init__(self, graph: Graph, uses: Sequence[int], is_through_shared: bool) -> None:
        self.graph = graph
        self.uses = uses
        self.is_through_shared = is_through_shared
        self.interior: list[int] = []

    def _may_enter(self, index: int, depth: int) -> bool:
        f: Any = self.graph.nodes[index].attributes[0] if self.graph.nodes[index].attributes else ""
        is_product = f in ("multiply", _SQUARE)
        is_own = self.uses[index] == 1 or (self.is_through_shared and is_product)
        return (
            is_own
            and depth < _DEEPEST
            and len(self.interior) < 4 * MOST_TERMS
            and is_arithmetic(self.graph, index)
        )

    def sum_of(self, index: int, sign: int, depth: int, *, is_root: bool = False) -> list[Term]:
        """The terms of node `index`, times a sign."""
        node: Any = self.graph.nodes[index]
        f = node.attributes[0] if is_root or self._may_enter(index, depth) else None
        if f in ("add", "subtract"):
            self.interior.append(index)
            left, right = node.operands
            second = sign if f == "add" else -sign
            return self.sum_of(left, sign, depth + 1) + self.sum_of(right, second, depth + 1)
        if f == "negate":
            self.interior.append(index)
            return self.sum_of(node.operands[0], -sign, depth + 1)
        coefficient, factors = self.product_of(index, 1, depth, is_root=is_root)
        return [Term(sign * coefficient, tuple(sorted(factors)))]

    def product_of(
        self, index: int, exponent: int, depth: int, *, is_root: bool = False
    ) -> tuple[complex, list[Factor]]:
        """Coefficient and factors of node `index`, or of its inverse."""
        node: Any = self.graph.nodes[index]
        literal = splat_of_node(self.graph, index)
        if literal is not None and is_finite(literal) and literal.value != 0:
            value = number_of(literal)
            return (value if exponent == 1 else 1 / value), []
        f = node.attributes[0] if is_root or self._may_enter(index, depth) else None
        if f == "negate":
            self.interior.append(index)
            coefficient, factors = self.product_of(node.operands[0], exponent, depth + 1)
            return -coefficient, factors
        if f == _SQUARE:
            self.interior.append(index)
            coefficient, factors = self.product_of(node.operands[0], exponent, depth + 1)
            return coefficient * coefficient, factors + factors
        if f not in ("multiply", "divide"):
            return 1, [Factor(index, exponent)]
        self.interior.append(index)
        second = exponent if f == "multiply" else -exponent
        c, left = self.product_of(node.operands[0], exponent, depth + 1)
        d, right = self.product_of(node.operands[1], second, depth + 1)
        return c * d, left + right
