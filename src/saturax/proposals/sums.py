"""Sums of many terms with common factors.

    3x + 2x = 5x        A·B + A·C - A·D = A·(B + C - D)        2x³ + 3x² + 4x = x·(x·(2x + 3) + 4)

Sums and products are taken as polynomials, so that it does not matter in which order they were
written; a polynomial is factored greedily, the factor of most terms first, perfect squares before
that. Products of sums are multiplied out as well, since terms may cancel or add up to a square:

    (x + y)² + (x - y)² = 2(x² + y²)        x² - 2x·y + y² = (x - y)²
    (x·cos t - y·sin t)² + (x·sin t + y·cos t)² = x² + y²
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

from saturax.graph.build import building, make
from saturax.graph.ir import Node
from saturax.graph.ops import multiply
from saturax.graph.types import TensorType, is_integer
from saturax.proposals.contraction_order import ELEMENT, NEGLIGIBLE, given_cost
from saturax.proposals.equality import Equalities
from saturax.proposals.expressions import (
    QUOTIENT_COST,
    Arithmetic,
    Expression,
    Signed,
    contraction_cost,
    scalar,
    signed,
)
from saturax.proposals.polynomials import (
    Factor,
    Polynomial,
    Term,
    multiplied_out,
    polynomials,
    read_polynomial,
)
from saturax.proposals.squares import PerfectSquare, perfect_square, without_circles
from saturax.rules.conditions import is_ordinary


def factor_sums(equalities: Equalities) -> None:
    """Propose cheaper forms of the polynomials in the graph: at most three, no longer ones."""
    graph = equalities.graph
    uses = graph.uses()
    least_gain = NEGLIGIBLE * given_cost(graph, range(len(graph.nodes))) / ELEMENT
    for polynomial in polynomials(graph, uses):
        type: TensorType = graph.nodes[polynomial.root].type  # type: ignore[assignment]
        if not equalities.may_round(type.dtype):
            continue
        root = polynomial.root
        through = read_polynomial(graph, uses, root, is_through_shared=True)
        forms = dict.fromkeys((polynomial, through, multiplied_out(graph, uses, through)))
        for form in forms:
            if form is None or len(form.interior) < 2:
                continue
            counts = Counter(factor.node for term in form.terms for factor in term.factors)
            own = {index for index, count in counts.items() if uses[index] <= count}
            _propose(form, Arithmetic(equalities, type, own), least_gain / type.size)


def _propose(polynomial: Polynomial, arithmetic: Arithmetic, least_gain: float) -> None:
    """Propose the factored form of a polynomial, if it costs less."""
    equalities = arithmetic.equalities
    terms = _collected(equalities, polynomial.terms, arithmetic.type)
    if terms is None or not polynomial.is_small:
        return
    given = sum(map(_operation_cost, (equalities.graph.nodes[i] for i in polynomial.interior)))
    given += sum(map(arithmetic.own_cost, sorted(arithmetic.own)))
    factored = _Factoring(arithmetic).total(terms)
    if factored.cost < given and factored.cost <= given - least_gain:
        with building(equalities.builder):
            equalities.equate(polynomial.root, factored.build())


def _operation_cost(node: Node) -> float:
    return QUOTIENT_COST if node.attributes[0] == "divide" else 1.0


def _collected(
    equalities: Equalities, terms: Sequence[Term], type: TensorType
) -> list[Term] | None:
    """The terms with equal factors added up; None if that cannot be done.

    Terms that cancel are 0 only where they are finite. Coefficients must not over- or underflow.
    """
    total: dict[tuple[Factor, ...], complex] = {}
    for term in terms:
        total[term.factors] = total.get(term.factors, 0) + term.coefficient
    found = [Term(coefficient, factors) for factors, coefficient in total.items()]
    if all(equalities.cancels(factor.node) for term in found for factor in term.factors):
        rounded = without_circles(equalities.graph, found)
        if len(rounded) < len(found):
            return _collected(equalities, rounded, type)
    cancelled = [term for term in found if term.coefficient == 0]
    if cancelled:
        if not all(equalities.cancels(f.node) for term in cancelled for f in term.factors):
            return None
        found = [term for term in found if term.coefficient != 0] or [Term(0, ())]
    numbers = [scalar(signed(term.coefficient)[1], type) for term in found]
    is_exact = is_integer(type.dtype)
    fits = all(is_ordinary(n) and (n != 0 or found[0].coefficient == 0) for n in numbers)
    return found if is_exact or fits else None


class _Factoring:
    """Greedy factoring over the nodes of one graph."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self.arithmetic = arithmetic
        self.graph = arithmetic.equalities.graph

    def total(self, terms: Sequence[Term]) -> Expression:
        """The sum of the terms, factored."""
        factored = self.arithmetic.sum(self.parts(list(terms)))
        found = perfect_square(terms)
        if found is None:
            return factored
        rest = [term for term in terms if term not in found.terms]
        with_square = self.arithmetic.sum([self._square(found), *self.parts(rest)])
        return min(with_square, factored, key=lambda expression: expression.cost)

    def _square(self, found: PerfectSquare) -> Signed:
        """c·(x ± r·y)², the sign of c apart."""
        sign, magnitude = signed(found.coefficient)
        base = self.arithmetic.sum([self.arithmetic.term(term) for term in found.base])

        def build() -> Any:
            value = base.build()
            return multiply(value, value)

        return sign, self.arithmetic.scaled(Expression(1 + base.cost, build), magnitude)

    def parts(self, terms: list[Term]) -> list[Signed]:
        """Summands of a factored sum."""
        found: list[Signed] = []
        while group := self._with_common_operand(terms):
            side, members = group
            found.append((1, self._contraction(side, members)))
            terms = [term for term in terms if term not in members]
        while (
            factor := _most_common(f for term in terms for f in dict.fromkeys(term.factors))
        ) is not None:
            members = [term for term in terms if factor in term.factors]
            terms = [term for term in terms if factor not in term.factors]
            inner = self.total([_without(term, factor) for term in members])
            found.append((1, self.arithmetic.product([factor], inner)))
        magnitudes = (signed(term.coefficient)[1] for term in terms if term.factors)
        number = _most_common(m for m in magnitudes if m != 1)
        if number is not None:
            is_member = [bool(t.factors) and signed(t.coefficient)[1] == number for t in terms]
            members = [
                Term(signed(term.coefficient)[0], term.factors)
                for term, chosen in zip(terms, is_member, strict=True)
                if chosen
            ]
            terms = [term for term, chosen in zip(terms, is_member, strict=True) if not chosen]
            found.append((1, self.arithmetic.scaled(self.total(members), number)))
        return found + [self.arithmetic.term(term) for term in terms]

    def _with_common_operand(self, terms: Sequence[Term]) -> tuple[int, list[Term]] | None:
        """The most terms that are contractions alike but for one operand, and its side."""
        groups: dict[tuple[int, Hashable], list[Term]] = defaultdict(list)
        for term in terms:
            node = self._contraction_of(term)
            if node is None:
                continue
            for side in (0, 1):
                other = self.graph.nodes[node.operands[side]].type
                key = (node.op, node.attributes, node.operands[1 - side], other)
                groups[side, key].append(term)
        best = max(groups.items(), key=lambda item: len(item[1]), default=None)
        return None if best is None or len(best[1]) < 2 else (best[0][0], best[1])

    def _contraction_of(self, term: Term) -> Any:
        """The contraction that a term is a multiple of; None if it is something else."""
        if len(term.factors) != 1 or term.factors[0].exponent != 1:
            return None
        index = term.factors[0].node
        node: Any = self.graph.nodes[index]
        if node.op not in ("dot_general", "convolution") or index not in self.arithmetic.own:
            return None
        types: list[Any] = [self.graph.nodes[i].type for i in node.operands]
        return node if {type.dtype for type in types} == {node.type.dtype} else None

    def _contraction(self, side: int, terms: Sequence[Term]) -> Expression:
        """One contraction with the sum of the operands on `side`."""
        equalities = self.arithmetic.equalities
        first: Any = self._contraction_of(terms[0])
        type: Any = self.graph.nodes[first.operands[side]].type
        inner = Arithmetic(equalities, type, frozenset())
        operands = [self._contraction_of(term).operands[side] for term in terms]
        total = inner.sum(
            [
                inner.term(Term(term.coefficient, (Factor(operand),)))
                for term, operand in zip(terms, operands, strict=True)
            ]
        )
        shared = first.operands[1 - side]

        def build() -> Any:
            pair = [equalities.value(shared), total.build()]
            return make(first.op, *(pair[::-1] if side == 0 else pair), attributes=first.attributes)

        own = contraction_cost(self.graph, terms[0].factors[0].node) + total.cost * type.size
        return Expression(own / self.arithmetic.type.size, build)


def _most_common(items: Any) -> Any:
    """The item that occurs most often, if one occurs twice."""
    counted = Counter(items).most_common(1)
    return counted[0][0] if counted and counted[0][1] > 1 else None


def _without(term: Term, factor: Factor) -> Term:
    """A term divided by one of its factors."""
    position = term.factors.index(factor)
    return Term(term.coefficient, term.factors[:position] + term.factors[position + 1 :])
