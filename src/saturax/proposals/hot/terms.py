"""Nodes of a graph as sums of terms that are 0 but at one computed place a line.

    T[t, e, c] = Σ_k v_k[t] · [e = i_k[t]] · [c = j_k[t]]

Such tensors begin with one-hot rows (an index compared with 0, 1, 2, …) and grow by products with
others and with dense factors, which are read where the one is. A mixture of experts dispatches its
tokens by them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from saturax.graph.ir import Node
from saturax.graph.ops import binary, compare, convert, full, full_like, reshape, select, unary
from saturax.graph.types import TensorType, is_unsigned
from saturax.proposals.equality import Equalities
from saturax.proposals.hot.factors import Factor, combined, read
from saturax.proposals.masks import is_zero
from saturax.rules.conditions import INTEGERS

# Terms of one tensor: each is read or written on its own.
_MOST_TERMS = 4
_KEEPS_ZERO = ("negate", "abs", "sign", "real", "imag")
_PRODUCTS = ("multiply", "and")


class Term(NamedTuple):
    """A value at one place along each hot dimension, the place being an index; 0 elsewhere.

    Neither the value nor the indices vary along hot dimensions.
    """

    value: Factor
    places: dict[Any, Factor]


class Terms:
    """The nodes of a graph as sums of terms, where they are."""

    def __init__(self, found: Equalities) -> None:
        self._found = found
        self._nodes = found.graph.nodes
        self._known: dict[int, list[Term] | None] = {}

    def of(self, index: int) -> list[Term] | None:
        """The terms of a node, all with the same hot dimensions; None if it has none."""
        if index not in self._known:
            self._known[index] = None  # of what depends on itself, nothing is said
            terms = self._terms(index)
            is_short = terms is not None and len(terms) <= _MOST_TERMS
            self._known[index] = terms if is_short else None
        return self._known[index]

    def factor(self, index: int) -> Factor:
        """A node without the dimensions along which it repeats what it is a broadcast of."""
        node, type = self._nodes[index], self._type(index)
        if node.op == "broadcast_in_dim":
            inner = self.factor(node.operands[0])
            return _kept(inner, type.shape, node.attributes[1])
        if node.op == "unary":
            inner = self.factor(node.operands[0])
            if len(inner.labels) < type.rank:
                return Factor(unary(node.attributes[0], inner.value), inner.labels)
        literal: Any = node.attributes[0] if node.op == "constant" else None
        if literal is not None and literal.is_splat:
            return Factor(full(literal.value, TensorType((), type.dtype)), ())
        if node.op == "reshape":
            inner = self.factor(node.operands[0])
            places = _unit_moves(self._type(node.operands[0]).shape, type.shape)
            if places is not None:
                return _kept(inner, type.shape, places)
        return Factor(self._found.value(index), tuple(range(type.rank)))

    def _type(self, index: int) -> TensorType:
        type: TensorType = self._nodes[index].type  # type: ignore[assignment]
        return type

    def _terms(self, index: int) -> list[Term] | None:
        node = self._nodes[index]
        if not isinstance(node.type, TensorType) or 0 in node.type.shape:
            return None
        if node.op == "binary":
            return self._of_binary(node)
        if node.op == "unary":
            f: Any = node.attributes[0]
            if f in _KEEPS_ZERO or (isinstance(f, tuple) and f[0] == "convert"):
                return self._of_each(node.operands[0], f)
        if node.op == "ternary" and node.attributes[0] == "select":
            return self._of_choice(node)
        return self._moved(node)

    def _moved(self, node: Node) -> list[Term] | None:
        """The terms of a broadcast, a transpose, or a reshape that moves dimensions of size 1."""
        places: Any = None
        if node.op == "broadcast_in_dim":
            places = node.attributes[1]
        elif node.op == "reshape":
            places = _unit_moves(self._type(node.operands[0]).shape, node.type.shape)  # type: ignore[union-attr]
        elif node.op == "transpose":
            permutation: Any = node.attributes[0]
            places = tuple(permutation.index(d) for d in range(len(permutation)))
        terms = None if places is None else self.of(node.operands[0])
        if terms is None:
            return None
        shape: tuple[int, ...] = node.type.shape  # type: ignore[union-attr]
        source = self._type(node.operands[0]).shape
        if any(places[d] is None or source[d] != shape[places[d]] for d in terms[0].places):
            return None
        return [
            Term(
                _kept(term.value, shape, places),
                {places[d]: _kept(i, shape, places) for d, i in term.places.items()},
            )
            for term in terms
        ]

    # -------------------------------------------------------------- elementwise functions

    def _of_each(self, index: int, f: Any) -> list[Term] | None:
        """A function that maps 0 to 0 and sums to sums, of each term."""
        terms = self.of(index)
        if terms is None or (len(terms) > 1 and not _is_linear(f, self._type(index).dtype)):
            return None
        return [Term(Factor(unary(f, t.value.value), t.value.labels), t.places) for t in terms]

    def _of_binary(self, node: Node) -> list[Term] | None:
        f: Any = node.attributes[0]
        x, y = node.operands
        if isinstance(f, tuple):
            hot = self._one_hot(node) if f[1] == "EQ" else None
            return hot if hot is not None else self._of_comparison(node)
        if f in ("add", "or"):
            left, right = self.of(x), self.of(y)
            if left is None or right is None or left[0].places.keys() != right[0].places.keys():
                return None
            # Of flags, two terms may be at one place, where a sum would count 2.
            return left + right if f == "add" else None
        if f == "divide" and self._found.facts[y].assumed_finite:
            left = self.of(x)
            return left and [self._scaled(f, term, y) for term in left]
        if f in _PRODUCTS:
            return self._product(x, y)
        return None

    def _product(self, x: int, y: int) -> list[Term] | None:
        left, right = self.of(x), self.of(y)
        if left is not None and right is not None:
            pairs = [_both(a, b) for a in left for b in right]
            known = [pair for pair in pairs if pair is not None]
            return known if len(known) == len(pairs) else None
        for terms, other in ((left, y), (right, x)):
            if terms is not None and self._found.facts[other].assumed_finite:
                return [self._scaled("multiply", term, other) for term in terms]
        return None

    def _scaled(self, f: str, term: Term, other: int) -> Term:
        """A term times (or by) a dense node, read where the term is not 0."""
        factor = read(self.factor(other), term.places)
        f = "and" if f == "multiply" and factor.value.dtype == "i1" else f
        return Term(combined(f, term.value, factor), term.places)

    def _of_choice(self, node: Node) -> list[Term] | None:
        """x where a sparse flag is set, else 0."""
        flag, x, other = node.operands
        if not is_zero(self._found.graph, other):
            return None
        terms = self.of(flag)
        if terms is None or len(terms) > 1 or not self._found.facts[x].assumed_finite:
            return None
        if self._type(flag).shape != self._type(x).shape:
            return None
        chosen = read(self.factor(x), terms[0].places)
        return [Term(_where(terms[0].value, chosen), terms[0].places)]

    def _of_comparison(self, node: Node) -> list[Term] | None:
        """Where a sparse tensor is more, less, or other than 0."""
        f: Any = node.attributes[0]
        x, zero = node.operands
        if f[1] not in ("GT", "LT", "NE") or not is_zero(self._found.graph, zero):
            return None
        terms = self.of(x)
        if terms is None:
            return None
        # What several terms add to one place is seen there by the first of them alone.
        result = []
        for k, term in enumerate(terms):
            value, first = term.value, None
            for j, other in enumerate(terms):
                if j == k:
                    continue
                same = _same_place(term, other)
                if j > k:
                    value = combined("add", value, _where(same, other.value))
                else:
                    apart = Factor(unary("not", same.value), same.labels)
                    first = apart if first is None else combined("and", first, apart)
            flag = Factor(compare(value.value, full_like(value.value, 0), *f[1:]), value.labels)
            result.append(
                Term(flag if first is None else combined("and", flag, first), term.places)
            )
        return result

    def _one_hot(self, node: Node) -> list[Term] | None:
        """An index compared with 0, 1, 2, … along a dimension along which it does not vary."""
        for counted, index in (node.operands, node.operands[::-1]):
            affine, type = self._affine(counted), self._type(counted)
            if affine is None or affine.offset or type.dtype not in INTEGERS:
                continue
            hot = [d for d, stride in enumerate(affine.strides) if stride]
            factor = self.factor(index)
            if len(hot) != 1 or affine.strides[hot[0]] != 1 or hot[0] in factor.labels:
                continue
            inside = self._inside(index, factor, type.shape[hot[0]])
            return [Term(inside, {hot[0]: factor})]
        return None

    def _affine(self, index: int) -> Any:
        return self._found.facts[index].known.affine

    def _inside(self, index: int, factor: Factor, size: int) -> Factor:
        """Whether an index counts one of `size` places."""
        value, known = factor.value, self._found.facts[index].known.range
        if known is not None and known.low >= 0 and known.high < size:
            return Factor(full(True, TensorType((), "i1")), ())
        kind = "UNSIGNED" if is_unsigned(value.dtype) else "SIGNED"
        low = compare(value, full_like(value, 0), "GE", kind)
        high = compare(value, full_like(value, size - 1), "LE", kind)
        return Factor(binary("and", low, high), factor.labels)


# ------------------------------------------------------------------ terms


def _both(x: Term, y: Term) -> Term | None:
    """The product of two terms; None where each varies along what the other is hot along."""
    if _varies(x, y.places):
        x, y = y, x
    if _varies(x, y.places):
        return None
    # y may vary along what x is hot along: it is read where x is not 0.
    places = {d: read(i, x.places) for d, i in y.places.items()}
    value = combined(
        "and" if x.value.value.dtype == "i1" else "multiply", x.value, read(y.value, x.places)
    )
    for d in places.keys() & x.places.keys():
        same = _equal(x.places[d], places[d])
        value = combined("and", value, same) if value.value.dtype == "i1" else _where(same, value)
    return Term(value, places | x.places)


def _varies(term: Term, dimensions: Any) -> bool:
    """Whether the value or an index of a term varies along one of the dimensions."""
    own = {d for factor in (term.value, *term.places.values()) for d in factor.labels}
    return bool(own & set(dimensions))


def _same_place(x: Term, y: Term) -> Factor:
    """Whether two terms with the same hot dimensions are at one place."""
    flags = [_equal(i, y.places[d]) for d, i in x.places.items()]
    result = flags[0]
    for flag in flags[1:]:
        result = combined("and", result, flag)
    return result


def _equal(i: Factor, j: Factor) -> Factor:
    wide = [Factor(convert(k.value, "i32"), k.labels) for k in (i, j)]
    return combined(("compare", "EQ", "SIGNED"), *wide)


def _where(flag: Factor, x: Factor) -> Factor:
    """x where a flag is set, else 0."""
    sizes = flag.sizes | x.sizes
    labels = tuple(sorted(sizes))
    value = x.over(labels, sizes)
    return Factor(select(flag.over(labels, sizes), value, full_like(value, 0)), labels)


def _is_linear(f: Any, dtype: str) -> bool:
    """Whether f(x + y) = f(x) + f(y); of flags, an odd number of which would be a sum, nothing."""
    is_wide = isinstance(f, tuple) and f[0] == "convert" and f[1] in ("f32", "f64")
    return f == "negate" or (is_wide and dtype in ("i1", "f32", "bf16", "f16"))


# ------------------------------------------------------------------ moving dimensions


def _kept(factor: Factor, shape: tuple[int, ...], places: Any) -> Factor:
    """A factor whose dimension d becomes `places[d]` of a tensor of this shape.

    Dimensions that are repeated there, or are nowhere, have size 1 here and go.
    """
    at = [places[label] for label in factor.labels]
    sizes = factor.value.shape
    stays = [p is not None and shape[p] == n for p, n in zip(at, sizes, strict=True)]
    value = reshape(factor.value, tuple(n for n, s in zip(sizes, stays, strict=True) if s))
    return Factor(value, tuple(p for p, s in zip(at, stays, strict=True) if s))


def _unit_moves(source: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int | None, ...] | None:
    """Where a reshape that only adds or drops dimensions of size 1 brings each dimension."""
    large = [d for d, n in enumerate(shape) if n != 1]
    if [n for n in source if n != 1] != [shape[d] for d in large]:
        return None
    order = iter(large)
    return tuple(None if n == 1 else next(order) for n in source)
