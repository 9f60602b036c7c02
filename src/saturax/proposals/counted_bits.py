"""Words that count the bits of another: the ways to write a population count by hand.

    y = x - ((x » 1) ∧ 0x5555…),  y = (y ∧ 0x3333…) + ((y » 2) ∧ 0x3333…),  …  =  popcnt(x)

Shifts, masks and sums of such words are linear in the bits bᵢ of x: Σ cᵢ·bᵢ modulo 2ʷ. Read by the
digits of the cᵢ that is Σ 2ᵒ·nₒ, where nₒ counts the set bits among those whose cᵢ has digit o.
While no count can grow into the next one's place, masks keep or drop whole counts, and shifts move
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saturax.facts.ranges import range_of
from saturax.graph.build import Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import binary, convert, full, unary
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.proposals.equality import Equalities
from saturax.proposals.masks import splat_of_node
from saturax.rules.conditions import INTEGERS

_LEAST_BITS = 3
"""Bits from which one count is cheaper than their sum, whatever the sum looks like."""


@dataclass(frozen=True)
class Count:
    """Σ cᵢ·bᵢ modulo 2^width, of the bits bᵢ of node `source`.

    `interior` are the nodes that were read for it.
    """

    source: int
    coefficients: tuple[int, ...]
    width: int
    interior: frozenset[int] = frozenset()

    @property
    def places(self) -> dict[int, frozenset[int]]:
        """The bits of the source that are counted at each place: Σₒ 2ᵒ · (how many are 1)."""
        return {
            place: counted
            for place in range(self.width)
            if (counted := frozenset(i for i, c in enumerate(self.coefficients) if c >> place & 1))
        }

    def fields(self) -> dict[int, tuple[int, frozenset[int]]] | None:
        """The bits in which each count lies, and what it counts, by place; None if they overlap."""
        found, used = {}, 0
        for place, counted in self.places.items():
            field = _ones(len(counted).bit_length()) << place
            if field & used or field >> self.width:
                return None
            used |= field
            found[place] = (field, counted)
        return found

    def of_places(self, places: dict[int, frozenset[int]], width: int) -> Count:
        """The word of some width with these counts."""
        coefficients = [0] * len(self.coefficients)
        for place, counted in places.items():
            for bit in counted:
                coefficients[bit] += 1 << place
        return Count(self.source, tuple(c & _ones(width) for c in coefficients), width)

    def scaled(self, factor: int) -> Count:
        """The word times a number."""
        scaled = tuple(c * factor & _ones(self.width) for c in self.coefficients)
        return Count(self.source, scaled, self.width)

    def plus(self, other: Count) -> Count | None:
        """The sum of two words that count bits of the same one."""
        if self.source != other.source or self.width != other.width:
            return None
        pairs = zip(self.coefficients, other.coefficients, strict=True)
        return Count(self.source, tuple(a + b & _ones(self.width) for a, b in pairs), self.width)

    def masked(self, mask: int) -> Count | None:
        """The word and a mask, which has all of a count's bits or none."""
        fields = self.fields()
        if fields is None or any(field & mask not in (0, field) for field, _ in fields.values()):
            return None
        kept = {place: counted for place, (field, counted) in fields.items() if field & mask}
        return self.of_places(kept, self.width)

    def shifted_right(self, by: int, is_arithmetic: bool) -> Count | None:
        """The word moved to the right, by less than its width; no count may be cut in two."""
        fields = self.fields()
        if fields is None:
            return None
        places: dict[int, frozenset[int]] = {}
        for place, (field, counted) in fields.items():
            if place < by and field >> by:
                return None
            if place >= by:
                places[place - by] = counted
            if is_arithmetic and field >> (self.width - 1):
                if len(counted) > 1:
                    return None
                places |= dict.fromkeys(range(self.width - by, self.width), counted)
        return self.of_places(places, self.width)

    def converted(self, width: int, is_signed: bool) -> Count | None:
        """The word as one of another width."""
        if width <= self.width:
            cut = tuple(c & _ones(width) for c in self.coefficients)
            return Count(self.source, cut, width)
        fields = self.fields()
        if fields is None:
            return None
        if is_signed and any(field >> (self.width - 1) for field, _ in fields.values()):
            return None
        return self.of_places({place: counted for place, (_, counted) in fields.items()}, width)


def count_bits(equalities: Equalities) -> None:
    """State which words are a multiple of how many bits of another are set."""
    for index, count in enumerate(_Reader(equalities).counts):
        if count is None or not count.interior:
            continue
        factors = {c for c in count.coefficients if c}
        mask = sum(1 << i for i, c in enumerate(count.coefficients) if c)
        if len(factors) == 1 and mask.bit_count() >= _LEAST_BITS:
            with building(equalities.builder):
                equalities.equate(index, _counted(equalities, index, count, mask, factors.pop()))


def _counted(equalities: Equalities, index: int, count: Count, mask: int, factor: int) -> Value:
    """factor · popcnt(source ∧ mask), of the type of node `index`."""
    type: Any = equalities.graph.nodes[index].type
    source = equalities.value(count.source)
    width = len(count.coefficients)
    if mask != _ones(width):
        source = binary("and", source, full(_number(mask, source.dtype), source.tensor))
    result: Value = convert(unary("popcnt", source), type.dtype)
    if factor == 1:
        return result
    return binary("multiply", result, full(_number(factor, type.dtype), type))  # type: ignore[no-any-return]


def _number(bits: int, dtype: str) -> int:
    """The number of an integer type that these bits are."""
    width = _width(dtype)
    return bits - (1 << width) if not is_unsigned(dtype) and bits >> (width - 1) else bits


def _ones(width: int) -> int:
    return (1 << width) - 1


def _width(dtype: str) -> int:
    return 8 * numpy_dtype(dtype).itemsize


class _Reader:
    """The words of a graph's integer nodes, in the order of the nodes."""

    def __init__(self, equalities: Equalities) -> None:
        self.equalities = equalities
        self.graph: Graph = equalities.graph
        self.counts: list[Count | None] = []
        self.constants: list[int | None] = []
        for index, node in enumerate(self.graph.nodes):
            type = node.type
            is_word = isinstance(type, TensorType) and type.dtype in INTEGERS and type.size > 0
            self.constants.append(self._constant(index) if is_word else None)
            self.counts.append(self._count(index, node) if is_word else None)

    def _constant(self, index: int) -> int | None:
        literal = splat_of_node(self.graph, index)
        if literal is not None:
            return int(literal.value)
        known = range_of(self.equalities.facts[index])
        return int(known.low) if known is not None and known.low == known.high else None

    def _count(self, index: int, node: Node) -> Count | None:
        if self.constants[index] is not None:
            return None
        found = None
        if node.op == "binary":
            found = self._binary(str(node.attributes[0]), *node.operands)
        elif node.op == "unary":
            found = self._unary(node.attributes[0], node.operands[0], node.type.dtype)  # type: ignore[union-attr]
        if found is None or not any(found.coefficients):
            width = _width(node.type.dtype)  # type: ignore[union-attr]
            return Count(index, tuple(1 << i for i in range(width)), width)
        interior = {index}
        for operand in node.operands:
            count = self.counts[operand]
            interior |= set() if count is None else count.interior
        return Count(found.source, found.coefficients, found.width, frozenset(interior))

    def _unary(self, f: Any, operand: int, dtype: str) -> Count | None:
        count = self.counts[operand]
        if count is None or not isinstance(f, tuple) or f[0] != "convert":
            return None
        source: Any = self.graph.nodes[operand].type
        return count.converted(_width(dtype), not is_unsigned(source.dtype))

    def _binary(self, f: str, left: int, right: int) -> Count | None:
        x, y = self.counts[left], self.counts[right]
        if x is not None and y is not None:
            other = y.scaled(-1) if f == "subtract" else y
            return x.plus(other) if f in ("add", "subtract") else None
        number = self.constants[right]
        if x is None:
            x, number = y, self.constants[left]
            if f not in ("and", "multiply", "add"):
                return None
        return None if x is None or number is None else _by_number(f, x, number)


def _by_number(f: str, x: Count, number: int) -> Count | None:
    """A word masked, moved or multiplied by a number."""
    if f == "and":
        return x.masked(number & _ones(x.width))
    if f == "multiply":
        return x.scaled(number)
    if f in ("add", "subtract"):
        return x if number == 0 else None
    if not f.startswith("shift") or not 0 <= number < x.width:
        return None
    if f == "shift_left":
        return x.scaled(1 << number)
    return x.shifted_right(number, is_arithmetic=f == "shift_right_arithmetic")
