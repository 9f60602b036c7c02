"""Words whose every bit is a sum modulo 2 of bits moved from other words: packing, masks, …

    ((x « 8) ∨ (y ∧ 255)) » 8   =   x ∧ (2²⁴ - 1)        rot(rot(x, 13), 19) = x

Shifts, masks, complements, conversions and sums without carries only move bits and flip them. A
word is read as an exclusive or of moved words under masks, in which equal parts cancel, and is
written again from what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from saturax.facts.ranges import range_of
from saturax.graph.build import Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import binary, convert, full
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.proposals.equality import Equalities
from saturax.proposals.masks import splat_of_node
from saturax.rules.conditions import INTEGERS

_MOST_PARTS = 12


class Moved(NamedTuple):
    """The word that node `source` is, moved to the left by `shift` bits."""

    source: int
    shift: int


@dataclass(frozen=True)
class Word:
    """An exclusive or of moved words, each under a mask, and of the constant `flips`.

    `interior` are the nodes that were read for it.
    """

    width: int
    parts: dict[Moved, int]
    flips: int
    interior: frozenset[int] = frozenset()

    @property
    def possible(self) -> int:
        """The bits that may be 1."""
        bits = self.flips
        for mask in self.parts.values():
            bits |= mask
        return bits

    def masked(self, mask: int) -> Word:
        """Only the bits of a mask."""
        parts = {moved: bits & mask for moved, bits in self.parts.items() if bits & mask}
        return Word(self.width, parts, self.flips & mask, self.interior)

    def shifted(self, by: int) -> Word:
        """Moved to the left by so many bits, or to the right if that is negative."""
        all_bits = _ones(self.width)

        def move(bits: int) -> int:
            return (bits << by if by >= 0 else bits >> -by) & all_bits

        parts = {
            Moved(moved.source, moved.shift + by): move(bits)
            for moved, bits in self.parts.items()
            if move(bits)
        }
        return Word(self.width, parts, move(self.flips), self.interior)

    def flipped(self, mask: int) -> Word:
        """With the bits of a mask complemented."""
        return Word(self.width, self.parts, self.flips ^ mask, self.interior)

    def resized(self, width: int) -> Word:
        """As a word of another width: without its high bits, or with zeros before them."""
        cut = self.masked(_ones(min(width, self.width)))
        return Word(width, cut.parts, cut.flips, cut.interior)

    def differs_in(self, other: Word) -> Word:
        """The exclusive or of two words."""
        parts = dict(self.parts)
        for moved, bits in other.parts.items():
            parts[moved] = parts.get(moved, 0) ^ bits
        kept = {moved: bits for moved, bits in parts.items() if bits}
        return Word(self.width, kept, self.flips ^ other.flips, self.interior | other.interior)

    def agrees(self, other: Word, mask: int) -> bool:
        """Whether two words are the same in the bits of a mask."""
        return self.masked(mask).differs_in(other.masked(mask)).possible == 0


def move_bits(equalities: Equalities) -> None:
    """State what words are that can be written with fewer operations than they were."""
    reader = _Reader(equalities)
    for index, word in enumerate(reader.words):
        if word is None or not word.interior:
            continue
        type: TensorType = equalities.graph.nodes[index].type  # type: ignore[assignment]
        writer = _Writer(equalities, reader, type)
        written = writer.cheapest(word)
        if written.cost < len(word.interior):
            with building(equalities.builder):
                equalities.equate(index, writer.build(written))


def _ones(width: int) -> int:
    return (1 << width) - 1


def _width(dtype: str) -> int:
    return 1 if dtype == "i1" else 8 * numpy_dtype(dtype).itemsize


# ------------------------------------------------------------------ reading


class _Reader:
    """The words of a graph's integer nodes, in the order of the nodes."""

    def __init__(self, equalities: Equalities) -> None:
        self.equalities = equalities
        self.graph: Graph = equalities.graph
        self.words: list[Word | None] = []
        for index, node in enumerate(self.graph.nodes):
            type = node.type
            is_word = isinstance(type, TensorType) and type.dtype in INTEGERS and type.size > 0
            self.words.append(self._word(index, node) if is_word else None)

    def _word(self, index: int, node: Node) -> Word:
        type: Any = node.type
        literal = splat_of_node(self.graph, index)
        if literal is not None:
            width = _width(type.dtype)
            return Word(width, {}, int(literal.value) & _ones(width))
        found = None
        if node.op == "binary":
            found = self._binary(node.attributes[0], *node.operands)
        elif node.op == "unary":
            found = self._unary(node.attributes[0], node.operands[0], type.dtype)
        if found is None or len(found.parts) > _MOST_PARTS:
            return self.leaf(index)
        return Word(found.width, found.parts, found.flips, found.interior | {index})

    def leaf(self, index: int) -> Word:
        """A node as a word of its own."""
        type: Any = self.graph.nodes[index].type
        bits = self.possible(index)
        return Word(_width(type.dtype), {Moved(index, 0): bits} if bits else {}, 0)

    def possible(self, index: int) -> int:
        """The bits of a node that may be 1, by what is known of its range."""
        type: Any = self.graph.nodes[index].type
        known = range_of(self.equalities.facts[index])
        if known is None or known.low < 0:
            return _ones(_width(type.dtype))
        return _ones(int(known.high).bit_length())

    def _unary(self, f: Any, operand: int, dtype: str) -> Word | None:
        source: Any = self.graph.nodes[operand].type
        width = _width(dtype)
        if f == "not":
            return self._read(operand).flipped(_ones(width))
        if not isinstance(f, tuple) or f[0] not in ("convert", "bitcast_convert"):
            return None
        if source.dtype == "i1":
            return Word(width, {Moved(operand, 0): 1}, 0)
        if source.dtype not in INTEGERS:
            return None
        word = self._read(operand)
        is_widened = width > word.width and not is_unsigned(source.dtype)
        return None if is_widened and _may_be_negative(word) else word.resized(width)

    def _read(self, index: int) -> Word:
        word = self.words[index]
        assert word is not None  # integers have one
        return word

    def _binary(self, f: Any, left: int, right: int) -> Word | None:
        x, y = self.words[left], self.words[right]
        if x is None or y is None:
            return None
        is_signed = not is_unsigned(self.graph.nodes[left].type.dtype)  # type: ignore[union-attr]
        if not y.parts and f in _BY_NUMBER:
            return _by_number(f, x, y.flips, is_signed)
        if not x.parts and f == "multiply":
            return _by_number(f, y, x.flips, is_signed)
        return _combined(f, x, y) if f in _COMBINED else None


def _may_be_negative(word: Word) -> bool:
    return bool(word.possible >> (word.width - 1))


_COMBINED = frozenset({"and", "or", "xor", "add", "subtract"})
_BY_NUMBER = frozenset(
    {"shift_left", "shift_right_logical", "shift_right_arithmetic"}
    | {"multiply", "divide", "remainder"}
)


def _by_number(f: str, x: Word, number: int, is_signed: bool) -> Word | None:
    """A word moved by a number of bits, or multiplied or divided by a power of two."""
    if f.startswith("shift"):
        if number >= x.width or (f == "shift_right_arithmetic" and _may_be_negative(x)):
            return None
        return x.shifted(number if f == "shift_left" else -number)
    is_power = number > 0 and number & (number - 1) == 0
    if not is_power or (is_signed and number >> (x.width - 1)):
        return None
    if f == "multiply":
        return x.shifted(number.bit_length() - 1)
    if is_signed and _may_be_negative(x):
        return None
    return x.shifted(1 - number.bit_length()) if f == "divide" else x.masked(number - 1)


def _combined(f: str, x: Word, y: Word) -> Word | None:
    """A function of two words that, bit by bit, is an exclusive or."""
    interior = x.interior | y.interior
    if f == "xor":
        return x.differs_in(y)
    for word, mask in ((x, y), (y, x)):
        if not mask.parts and f in ("and", "or"):
            kept = word.masked(mask.flips if f == "and" else ~mask.flips)
            return kept if f == "and" else kept.flipped(mask.flips)
    common = x.possible & y.possible
    if f == "subtract":
        is_part = y.possible & ~common == 0 and x.agrees(y, common)
        return Word(x.width, *_fields(x.masked(~y.possible)), interior) if is_part else None
    if f == "add" and common:
        return None
    if not x.agrees(y, common):
        return None
    kept = x.masked(common) if f == "and" else x.differs_in(y.masked(~common))
    return Word(x.width, *_fields(kept), interior)


def _fields(word: Word) -> tuple[dict[Moved, int], int]:
    return word.parts, word.flips


# ------------------------------------------------------------------ writing


class _Piece(NamedTuple):
    """The exclusive or of some nodes of one type, moved, and then masked (or not: None)."""

    sources: tuple[int, ...]
    shift: int
    mask: int | None
    bits: int


class _Written(NamedTuple):
    """Pieces, then a constant by an exclusive or, then one by a disjunction."""

    cost: int
    pieces: tuple[_Piece, ...]
    flips: int
    ones: int


class _Writer:
    """Writes words of one type."""

    def __init__(self, equalities: Equalities, reader: _Reader, type: TensorType) -> None:
        self.equalities = equalities
        self.reader = reader
        self.type = type
        self.width = _width(type.dtype)

    def cheapest(self, word: Word) -> _Written:
        """The better of two ways: ones that nothing else sets may be written over what is there."""
        used = 0
        for mask in word.parts.values():
            used |= mask
        ways = [self._written(word, word.flips, 0)]
        if word.flips & ~used and used:
            ways.append(self._written(word, word.flips & used, word.flips & ~used))
        return min(ways, key=lambda way: way.cost)

    def _written(self, word: Word, flips: int, ones: int) -> _Written:
        groups: dict[tuple[str, int, int], list[int]] = {}
        for moved, mask in word.parts.items():
            key = (self._dtype(moved.source), moved.shift, mask)
            groups.setdefault(key, []).append(moved.source)
        pieces = []
        cost = (flips != 0) + (ones != 0) + max(len(groups) - 1, 0)
        if not groups:
            return _Written(0, (), flips | ones, 0)
        sums: set[tuple[int, ...]] = set()
        for (dtype, shift, mask), sources in groups.items():
            there = self._present(dtype, sources, shift)
            needs_mask = there & ~ones != mask
            pieces.append(_Piece(tuple(sources), shift, mask if needs_mask else None, mask))
            cost += needs_mask + (shift != 0) + (dtype != self.type.dtype)
            if tuple(sources) not in sums:
                cost += len(sources) - 1
            sums.add(tuple(sources))
        return _Written(cost, tuple(pieces), flips, ones)

    def _dtype(self, index: int) -> str:
        type: Any = self.equalities.graph.nodes[index].type
        return type.dtype  # type: ignore[no-any-return]

    def _present(self, dtype: str, sources: Sequence[int], shift: int) -> int:
        """The bits that may be 1 once nodes have been moved, without a mask."""
        bits = 0
        for source in sources:
            bits |= 1 if dtype == "i1" else self.reader.possible(source)
        if dtype in INTEGERS and not is_unsigned(dtype) and bits >> (_width(dtype) - 1):
            bits |= _ones(self.width) & ~_ones(_width(dtype))  # it is widened with its sign
        if shift >= 0:
            return bits << shift & _ones(self.width)
        return bits >> -shift & _ones(self.width)

    # -------------------------------------------------------------- adding words to the graph

    def build(self, written: _Written) -> Value:
        """Add a word to the graph."""
        if not written.pieces:
            return self._constant(written.flips)
        result, bits = None, 0
        for piece in written.pieces:
            value = self._piece(piece)
            if result is None:
                result = value
            else:
                result = binary("xor" if bits & piece.bits else "or", result, value)
            bits |= piece.bits
        assert result is not None
        if written.flips:
            result = binary("xor", result, self._constant(written.flips))
        return binary("or", result, self._constant(written.ones)) if written.ones else result

    def _piece(self, piece: _Piece) -> Value:
        values = [self.equalities.value(source) for source in piece.sources]
        value = values[0]
        for other in values[1:]:
            value = binary("xor", value, other)
        if piece.shift < 0 and _width(value.dtype) > self.width:
            value = convert(self._shifted(value, piece.shift), self.type.dtype)
        else:
            value = self._shifted(convert(value, self.type.dtype), piece.shift)
        if piece.mask is None:
            return value
        return binary("and", value, self._constant(piece.mask))  # type: ignore[no-any-return]

    def _shifted(self, value: Value, by: int) -> Value:
        if by == 0:
            return value
        f = "shift_left" if by > 0 else "shift_right_logical"
        return binary(f, value, full(abs(by), value.tensor))  # type: ignore[no-any-return]

    def _constant(self, bits: int) -> Value:
        kind = numpy_dtype(self.type.dtype)
        number = bits - (1 << self.width) if kind.kind == "i" and bits >> (self.width - 1) else bits
        return full(number, self.type)  # type: ignore[no-any-return]
