"""Arithmetic under construction: its cost is known before any operation is added to the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.ops import add, constant, divide, multiply, negate, subtract, unary
from saturax.graph.types import TensorType, is_integer, numpy_dtype
from saturax.proposals.contraction_order import ELEMENT, given_cost
from saturax.proposals.equality import Equalities
from saturax.proposals.polynomials import Factor, Term

TRANSCENDENTAL_COST, QUOTIENT_COST = 20.0, 4.0
"""An exponential and a division, in additions."""


@dataclass(frozen=True)
class Expression:
    """A tensor that `build` adds to the graph, for `cost` elementwise operations an element."""

    cost: float
    build: Callable[[], Value]


Signed = tuple[int, Expression]


class Arithmetic:
    """Makes expressions over the nodes of a graph, of one tensor type.

    `own` are the nodes that nothing else needs: they are paid for, and may be replaced.
    """

    def __init__(self, equalities: Equalities, type: TensorType, own: Set[int]) -> None:
        self.equalities = equalities
        self.type = type
        self.own = own

    def node(self, index: int) -> Expression:
        """A node of the graph."""
        return Expression(self.own_cost(index), lambda: self.equalities.value(index))

    def own_cost(self, index: int) -> float:
        """What goes away together with the only use of an exponential or contraction."""
        if index not in self.own:
            return 0.0
        if self._exponent_of(index) is not None:
            return TRANSCENDENTAL_COST
        return contraction_cost(self.equalities.graph, index) / self.type.size

    def number(self, value: complex) -> Expression:
        """A constant with equal elements."""
        return Expression(0.0, lambda: constant(Literal(scalar(value, self.type), self.type.shape)))

    def sum(self, parts: Sequence[Signed]) -> Expression:
        """The sum of expressions with signs."""
        ordered = sorted(parts, key=lambda part: -part[0])

        def build() -> Value:
            values = [(sign, part.build()) for sign, part in ordered]
            total = values[0][1] if values[0][0] > 0 else negate(values[0][1])
            for sign, value in values[1:]:
                total = add(total, value) if sign > 0 else subtract(total, value)
            return total

        operations = len(parts) - 1 + (ordered[0][0] < 0)
        return Expression(operations + sum(part.cost for _, part in parts), build)

    def scaled(self, part: Expression, value: complex) -> Expression:
        """An expression times a number."""
        if value == 1:
            return part
        number = self.number(value)
        return Expression(1 + part.cost, lambda: multiply(part.build(), number.build()))

    def term(self, term: Term) -> Signed:
        """A term as it is, its sign apart."""
        sign, magnitude = signed(term.coefficient)
        if not term.factors:
            return sign, self.number(magnitude)
        return sign, self.scaled(self.product(term.factors), magnitude)

    def product(self, factors: Iterable[Factor], first: Expression | None = None) -> Expression:
        """The product of factors (and of another expression): exp's merged, one division."""
        exponents: list[tuple[int, int]] = []
        counts: Counter[Factor] = Counter(factors)
        for factor in list(counts):
            argument = self._exponent_of(factor.node)
            if argument is not None:
                exponents += [(factor.exponent, argument)] * counts[factor]
        if len(exponents) > 1:
            counts = Counter({f: n for f, n in counts.items() if self._exponent_of(f.node) is None})
        above = [] if first is None else [first]
        above += [self._power(f, n) for f, n in counts.items() if f.exponent > 0]
        below = [self._power(f, n) for f, n in counts.items() if f.exponent < 0]
        if len(exponents) > 1:
            above.append(self._exponential(exponents))
        return self.quotient(above, below)

    def quotient(self, above: Sequence[Expression], below: Sequence[Expression]) -> Expression:
        """The product of some expressions divided by the product of others."""
        numerator = self._all(above) if above else self.number(1)
        if not below:
            return numerator
        denominator = self._all(below)
        cost = QUOTIENT_COST + numerator.cost + denominator.cost
        return Expression(cost, lambda: divide(numerator.build(), denominator.build()))

    def _exponent_of(self, index: int) -> int | None:
        """x if the node is exp x."""
        node: Any = self.equalities.graph.nodes[index]
        is_exponential = node.op == "unary" and node.attributes[0] == "exponential"
        return node.operands[0] if is_exponential else None

    def _exponential(self, exponents: list[tuple[int, int]]) -> Expression:
        """The exponential of a sum of nodes with signs."""
        total = self.sum([(sign, self.node(index)) for sign, index in exponents])
        cost = TRANSCENDENTAL_COST + total.cost
        return Expression(cost, lambda: unary("exponential", total.build()))

    def _power(self, factor: Factor, count: int) -> Expression:
        """A factor to a power, by repeated squaring."""
        base = self.node(factor.node)
        operations = count.bit_length() - 1 + count.bit_count() - 1

        def build() -> Value:
            square, rest = base.build(), count
            result: Value | None = None
            while True:
                if rest & 1:
                    result = square if result is None else multiply(result, square)
                rest >>= 1
                if not rest:
                    assert result is not None
                    return result
                square = multiply(square, square)

        return Expression(operations + base.cost, build)

    def _all(self, parts: Sequence[Expression]) -> Expression:
        """The product of expressions."""

        def build() -> Value:
            result = parts[0].build()
            for part in parts[1:]:
                result = multiply(result, part.build())
            return result

        return Expression(len(parts) - 1 + sum(part.cost for part in parts), build)


def contraction_cost(graph: Graph, index: int) -> float:
    """What a contraction or convolution costs, in elementwise operations; 0 for other nodes."""
    is_heavy = graph.nodes[index].op in ("dot_general", "convolution")
    return given_cost(graph, [index]) / ELEMENT if is_heavy else 0.0


def signed(value: complex) -> tuple[int, complex]:
    """Sign and magnitude of a real number; a complex one has no sign."""
    if isinstance(value, complex) and value.imag:
        return 1, value
    return (-1, -value) if value.real < 0 else (1, value)


def scalar(value: complex, type: TensorType) -> np.ndarray[Any, Any]:
    """A number as an array of rank 0 of the type's elements; integers wrap around."""
    kind = numpy_dtype(type.dtype)
    if is_integer(type.dtype):
        bits = 8 * kind.itemsize
        return np.asarray(int(value.real) % (1 << bits), np.uint64).astype(kind)
    with np.errstate(over="ignore"):
        return np.asarray(value).astype(kind)
