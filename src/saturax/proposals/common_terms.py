"""Parts that several sums, or several products, have in common in whatever order.

    (a + b) + c,  (b + d) + c   =   a + s,  d + s   with s = b + c

A sum is a multiset of terms with signs, a product one of factors with exponents. The pair that
most of them contain becomes an item of its own, again and again (the greedy algorithm of Breuer,
"Generation of optimal code for expressions via factorization", 1969).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import combinations

from saturax.graph.build import building
from saturax.graph.types import TensorType
from saturax.proposals.contraction_order import ELEMENT, NEGLIGIBLE, given_cost
from saturax.proposals.equality import Equalities
from saturax.proposals.expressions import Arithmetic, Expression, signed
from saturax.proposals.polynomials import Factor, Term, polynomials, products

_MOST_PAIRS, _MOST_SHARED = 20_000, 256

Item = tuple[int, int]
"""The number of an item, and its sign or exponent: 1 or -1."""
Pair = tuple[int, int, int]
"""Two items' numbers, ascending, and the sign of the second where the first's is 1."""


def share_terms(equalities: Equalities) -> None:
    """Propose common parts for the sums, and for the products, of each tensor type.

    A root gets at most one alternative from each; it has no more operations than the root had.
    """
    graph = equalities.graph
    uses = graph.uses()
    sums: dict[TensorType, _Groups] = defaultdict(lambda: _Groups(is_sum=True))
    factors: dict[TensorType, _Groups] = defaultdict(lambda: _Groups(is_sum=False))
    for polynomial in polynomials(graph, uses):
        type: TensorType = graph.nodes[polynomial.root].type  # type: ignore[assignment]
        if len(polynomial.terms) > 1 and equalities.may_round(type.dtype):
            sums[type].add(polynomial.root, map(_signed_term, polynomial.terms))
    for root, term in products(graph, uses):
        type = graph.nodes[root].type  # type: ignore[assignment]
        if term.coefficient == 1 and equalities.may_round(type.dtype):
            factors[type].add(root, ((factor.node, factor.exponent) for factor in term.factors))
    least_gain = NEGLIGIBLE * given_cost(graph, range(len(graph.nodes))) / ELEMENT
    for type, groups in (*sums.items(), *factors.items()):
        groups.share(max(least_gain / type.size, 1))
        _propose(groups, Arithmetic(equalities, type, frozenset()))


def _signed_term(term: Term) -> tuple[Hashable, int]:
    sign, magnitude = signed(term.coefficient)
    return Term(magnitude, term.factors), sign


class _Groups:
    """Multisets of items; those that are pairs of others are in `pairs`."""

    def __init__(self, is_sum: bool) -> None:
        self.is_sum = is_sum
        self.number: dict[Hashable, int] = {}
        self.keys: list[Hashable] = []
        self.pairs: dict[int, Pair] = {}
        self.items: dict[int, list[Item]] = {}
        self.changed: dict[int, None] = {}

    def add(self, root: int, members: Iterable[tuple[Hashable, int]]) -> None:
        """A group, by the node that has its value."""
        self.items[root] = [(self._numbered(key), sign) for key, sign in members]

    def _numbered(self, key: Hashable) -> int:
        if key not in self.number:
            self.number[key] = len(self.keys)
            self.keys.append(key)
        return self.number[key]

    def share(self, least_gain: float) -> None:
        """Replace the most frequent pair by a new item, while that saves enough operations."""
        owners: dict[Pair, dict[int, None]] = defaultdict(dict)
        counts = Counter(n for items in self.items.values() for n in {n for n, _ in items})
        for root, items in self.items.items():
            common = [item for item in items if counts[item[0]] > 1]
            for pair in self._pairs(common) if len(owners) < _MOST_PAIRS else ():
                owners[pair][root] = None
        for _ in range(_MOST_SHARED):
            best = max(owners, key=lambda pair: len(owners[pair]), default=None)
            if best is None or len(owners[best]) - 1 < least_gain:
                return
            joined = self._numbered(("pair", best))
            self.pairs[joined] = best
            for root in owners.pop(best):
                self._replace(root, best, joined, owners)

    def _replace(
        self, root: int, pair: Pair, joined: int, owners: dict[Pair, dict[int, None]]
    ) -> None:
        """Put the joined item into one group, and keep the owners of pairs up to date."""
        items = self.items[root]
        found = _members(items, pair)
        if found is None:
            return
        rest = list(items)
        for item in found:
            rest.remove(item)
        still = set(self._pairs(rest))
        for gone in self._pairs(items):
            if gone not in still and gone in owners:
                owners[gone].pop(root, None)
        self.items[root] = [*rest, (joined, found[0][1])]
        self.changed[root] = None
        for new in self._pairs(self.items[root]):
            if joined in new[:2]:
                owners[new][root] = None

    def _pairs(self, items: Sequence[Item]) -> Iterator[Pair]:
        """All pairs of different items; of factors, those on one side of a quotient."""
        pairs = (_pair(a, b) for a, b in combinations(items, 2) if a[0] != b[0])
        return (pair for pair in pairs if self.is_sum or pair[2] > 0)


def _pair(a: Item, b: Item) -> Pair:
    """What two items are up to a common sign."""
    (m, sign), (n, other) = sorted((a, b))
    return m, n, sign * other


def _members(items: Sequence[Item], pair: Pair) -> tuple[Item, Item] | None:
    """The first items that are this pair."""
    m, n, sign = pair
    for first in items:
        if first[0] == m and (n, first[1] * sign) in items:
            return first, (n, first[1] * sign)
    return None


def _propose(groups: _Groups, arithmetic: Arithmetic) -> None:
    """Propose the groups that have changed."""

    def expression(number: int) -> Expression:
        """An item on its own."""
        if number in groups.pairs:
            m, n, sign = groups.pairs[number]
            return combined([(m, 1), (n, sign)])
        key = groups.keys[number]
        if isinstance(key, Term):
            return arithmetic.term(key)[1]
        return arithmetic.product([Factor(key, 1)])  # type: ignore[arg-type]

    def combined(items: Sequence[Item]) -> Expression:
        """The sum or product of items."""
        if groups.is_sum:
            return arithmetic.sum([(sign, expression(number)) for number, sign in items])
        return arithmetic.quotient(*([expression(n) for n, e in items if e == s] for s in (1, -1)))

    for root in groups.changed:
        with building(arithmetic.equalities.builder):
            arithmetic.equalities.equate(root, combined(groups.items[root]).build())
