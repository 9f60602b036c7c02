"""Real parts of inverse transforms as transforms of half a spectrum.

    Re F⁻¹(X) = R⁻¹(half of H(X)),     H(X)ₖ = (Xₖ + conj X₋ₖ) / 2

R is the transform of real tensors, which keeps n/2 + 1 of n frequencies. Where X is made of spectra
of real tensors, the halves are all that is computed: of a product c·F(x) with a real x, H(c)·R(x).
(A derivative of real data has c = ik, whose middle frequency H leaves out, as Re does.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saturax.graph.build import Value, building
from saturax.graph.ir import Node
from saturax.graph.ops import (
    add,
    binary,
    broadcast_in_dim,
    concatenate,
    convert,
    fft,
    full_like,
    multiply,
    negate,
    reverse,
    slice_dimension,
    ternary,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.proposals.equality import Equalities
from saturax.proposals.masks import constant_value, is_zero

Lengths = tuple[int, ...]
# Of complex numbers: f(conj x, conj y) = conj f(x, y).
_CONJUGATED = ("add", "subtract", "multiply", "divide")
_WIDE = ("f32", "f64")


def halve_spectra(found: Equalities) -> None:
    """Propose transforms of half a spectrum where the real part of an inverse one is taken."""
    nodes = found.graph.nodes
    for index, node in enumerate(nodes):
        if node.op != "unary" or node.attributes[0] != "real":
            continue
        inverse = nodes[node.operands[0]]
        if inverse.op != "fft" or inverse.attributes[0] != "IFFT" or 0 in shape_of(inverse):
            continue
        lengths: Any = inverse.attributes[1]
        if not found.may_round(node.type.dtype) or lengths[-1] < 3:  # type: ignore[union-attr]
            continue
        with building(found.builder):
            half = Spectra(found, lengths).hermitian_part(inverse.operands[0])
            found.equate(index, fft(half, "IRFFT", lengths))


def shape_of(node: Node) -> tuple[int, ...]:
    """The shape of a node that is a tensor."""
    type: Any = node.type
    shape: tuple[int, ...] = type.shape
    return shape


class Spectra:
    """Halves of the values of a graph, whose last dimensions have these lengths."""

    def __init__(self, found: Equalities, lengths: Lengths) -> None:
        self.lengths = lengths
        self._found = found
        self._nodes = found.graph.nodes
        self._halves: dict[int, Value | None] = {}
        self._parts: dict[int, Value] = {}
        self._turns: dict[int, Value] = {}

    def hermitian_part(self, index: int) -> Value:
        """Half of H(X) of a node X."""
        if index not in self._parts:
            half = self.half(index)
            self._parts[index] = self._part(index) if half is None else half
        return self._parts[index]

    def half(self, index: int) -> Value | None:
        """Half of a node X with X₋ₖ = conj Xₖ; None of others."""
        if index not in self._halves:
            self._halves[index] = self._half(index)
        return self._halves[index]

    # -------------------------------------------------------------- the symmetric part of any value

    def _part(self, index: int) -> Value:
        node = self._nodes[index]
        f: Any = node.attributes[0] if node.attributes else None
        if node.op == "unary" and f == "negate":
            return negate(self.hermitian_part(node.operands[0]))  # type: ignore[no-any-return]
        if node.op == "unary" and f[0] == "convert" and is_complex(f[1]):
            return convert(self.hermitian_part(node.operands[0]), f[1])  # type: ignore[no-any-return]
        if node.op == "binary" and f in ("add", "subtract"):
            return binary(f, *map(self.hermitian_part, node.operands))  # type: ignore[no-any-return]
        if node.op == "binary" and f in ("multiply", "divide"):
            x, y = node.operands
            for factor, other in ((y, x), (x, y)):
                half = self.half(factor)
                if half is not None and (f == "multiply" or factor == y):
                    return binary(f, self.hermitian_part(other), half)  # type: ignore[no-any-return]
        total = add(self._cut(self._found.value(index)), self._turned(index))
        return multiply(total, full_like(total, 0.5))  # type: ignore[no-any-return]

    def _turned(self, index: int) -> Value:
        """Half of conj X₋ₖ of a node X: several products with one spectrum turn it round once."""
        if index not in self._turns:
            self._turns[index] = self._turned_anew(index)
        return self._turns[index]

    def _turned_anew(self, index: int) -> Value:
        half = self.half(index)
        if half is not None:
            return half
        node = self._nodes[index]
        f: Any = node.attributes[0] if node.attributes else None
        if node.op == "binary" and f in _CONJUGATED:
            return binary(f, *map(self._turned, node.operands))  # type: ignore[no-any-return]
        if node.op == "unary" and (f == "negate" or (f[0] == "convert" and is_complex(f[1]))):
            return unary(f, self._turned(node.operands[0]))  # type: ignore[no-any-return]
        turned = self._cut(mirror(self._found.value(index), self.lengths))
        return conjugate(turned) if is_complex(turned.dtype) else turned

    def _cut(self, x: Any) -> Value:
        half: Value = slice_dimension(x, x.rank - 1, 0, self.lengths[-1] // 2 + 1)
        return half

    # -------------------------------------------------------------- values that are symmetric

    def _half(self, index: int) -> Value | None:
        node = self._nodes[index]
        type = node.type
        count = len(self.lengths)
        if not isinstance(type, TensorType) or type.shape[type.rank - count :] != self.lengths:
            return None
        if node.op == "fft":
            return self._of_transform(node)
        found = self._of_elementwise(node) or self._of_broadcast(node)
        if found is not None:
            return found
        value = constant_value(self._nodes, index)
        if value is not None and np.array_equal(value, np.conj(_mirrored(value, count))):
            return self._cut(self._found.value(index))
        return None

    def _of_transform(self, node: Node) -> Value | None:
        kind, lengths = node.attributes
        x = self._nodes[node.operands[0]]
        if kind != "FFT" or lengths != self.lengths:
            return None
        real = real_source(self._found, x)
        if real is None or real.dtype not in _WIDE:
            return None
        half = fft(real, "RFFT", lengths)
        return half if half.dtype == node.type.dtype else None  # type: ignore[union-attr]

    def _of_elementwise(self, node: Node) -> Value | None:
        """A function of symmetric values: any of real ones, arithmetic of complex ones."""
        if node.op not in ("unary", "binary", "ternary"):
            return None
        f: Any = node.attributes[0]
        types: list[Any] = [node.type, *(self._nodes[i].type for i in node.operands)]
        if any(is_complex(type.dtype) for type in types):
            is_wide = isinstance(f, tuple) and f[0] == "convert" and not is_complex(types[1].dtype)
            if not (f in _CONJUGATED or f in ("negate", "select") or is_wide):
                return None
        halves = [self.half(i) for i in node.operands]
        if any(half is None for half in halves):
            return None
        build: Any = {"unary": unary, "binary": binary, "ternary": ternary}[node.op]
        result: Value = build(f, *halves)
        return result

    def _of_broadcast(self, node: Node) -> Value | None:
        """A real value, repeated along the transformed dimensions, or half of what is repeated."""
        if node.op != "broadcast_in_dim":
            return None
        shape, dimensions = shape_of(node), node.attributes[1]
        half = (*shape[:-1], shape[-1] // 2 + 1)
        first = len(shape) - len(self.lengths)
        source = self._nodes[node.operands[0]]
        varying = [d for d, n in zip(dimensions, shape_of(source), strict=True) if n > 1]  # type: ignore[call-overload]
        if all(d < first for d in varying):
            if is_complex(source.type.dtype):  # type: ignore[union-attr]
                return None
            return broadcast_in_dim(self._found.value(node.operands[0]), half, dimensions)  # type: ignore[no-any-return]
        inner = self.half(node.operands[0])
        last = tuple(range(first, len(shape)))
        if inner is None or tuple(dimensions)[-len(last) :] != last:  # type: ignore[arg-type]
            return None
        return broadcast_in_dim(inner, half, dimensions)  # type: ignore[no-any-return]


def real_source(found: Equalities, node: Node) -> Value | None:
    """The real tensor that a complex node is."""
    if node.op == "unary" and node.attributes[0][0] == "convert":  # type: ignore[index]
        real = found.value(node.operands[0])
        return None if is_complex(real.dtype) else real
    is_pair = node.op == "binary" and node.attributes[0] == "complex"
    if is_pair and is_zero(found.graph, node.operands[1]):
        return found.value(node.operands[0])
    return None


def conjugate(z: Any) -> Value:
    """The conjugate of complex z."""
    found: Value = binary("complex", unary("real", z), negate(unary("imag", z)))
    return found


def mirror(x: Value, lengths: Sequence[int]) -> Value:
    """x at index -i modulo n along each of the last dimensions."""
    for d in range(x.rank - len(lengths), x.rank):
        if x.shape[d] > 2:
            rest = reverse(slice_dimension(x, d, 1, x.shape[d]), (d,))
            x = concatenate(slice_dimension(x, d, 0, 1), rest, d)
    return x


def _mirrored(value: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    for axis in range(value.ndim - count, value.ndim):
        value = np.roll(np.flip(value, axis), 1, axis)
    return value
