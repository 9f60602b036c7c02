"""Exact evaluation over the field ℤ/p, for equations between ring and field operations.

Real values become residues, complex ones pairs of residues (p ≡ 3 mod 4, so that i is not among
them); a fraction n/d is n·d⁻¹. Nothing is rounded, nothing overflows and no tolerance is needed:
two different polynomials of degree n agree on random residues with a chance of n/p. Integers and
Booleans of the program keep their own meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.reference import UnsupportedError, evaluate_operation
from saturax.graph.types import TensorType, is_complex, is_float

Array = np.ndarray[Any, Any]

PRIME = 2**31 - 1
"""A prime whose residues have products below 2⁶²."""

_HALF_BITS = 16
# Exponents up to which a power with a constant exponent is multiplied out.
_LARGEST_EXPONENT = 64


class UndefinedError(UnsupportedError):
    """A division by a residue of 0: other inputs are needed."""


class Residues:
    """A tensor over ℤ/p, or over ℤ/p[i] with an imaginary part."""

    __slots__ = ("imag", "real")

    def __init__(self, real: Array, imag: Array | None = None) -> None:
        self.real = real
        self.imag = imag

    @property
    def parts(self) -> list[Array]:
        """The real part, and the imaginary one of a complex tensor."""
        return [self.real] if self.imag is None else [self.real, self.imag]

    def map(self, f: Callable[[Array], Array]) -> Residues:
        """F of each part, reduced."""
        return Residues(*[np.asarray(f(part)) % PRIME for part in self.parts])

    def differs(self, other: Residues) -> Array:
        """Where two tensors of one shape have different elements."""
        pairs = zip(self.parts, other.parts, strict=True)
        return np.asarray(np.any([a != b for a, b in pairs], axis=0))


Tensor = Residues | Array


def is_field(type: Any) -> bool:
    """Whether values of a type become residues."""
    return isinstance(type, TensorType) and (is_float(type.dtype) or is_complex(type.dtype))


def draw_residues(type: TensorType, rng: np.random.Generator) -> Residues:
    """Random residues, among them some zeros and ones."""

    def part() -> Array:
        values = rng.integers(0, PRIME, type.shape)
        special = rng.random(type.shape) < 0.05
        return np.where(special, rng.integers(0, 2, type.shape), values)

    return Residues(part(), part() if is_complex(type.dtype) else None)


def evaluate_residues(graph: Graph, inputs: Sequence[Tensor]) -> Tensor:
    """The first output of `graph`.

    Raises `UnsupportedError` where an operation has no meaning over a field (orders, roundings,
    transcendental functions), and its subclass `UndefinedError` on a division by 0.
    """
    values: list[Tensor] = []
    for node in graph.nodes:
        values.append(_evaluate(node, [values[i] for i in node.operands], inputs))
    return values[graph.outputs[0]]


def _evaluate(node: Node, operands: list[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    if node.op == "parameter":
        index: Any = node.attributes[0]
        given: Tensor = inputs[index]
        return given
    if not is_field(node.type) and not any(isinstance(x, Residues) for x in operands):
        arrays = [x for x in operands if isinstance(x, np.ndarray)]
        assert isinstance(node.type, TensorType), f"expected a tensor, got {node.type}"
        return evaluate_operation(node.op, node.attributes, arrays, node.type)
    meaning = _MEANINGS.get(node.op)
    if meaning is None or not isinstance(node.type, TensorType):
        raise UnsupportedError(f"{node.op} has no meaning over a field")
    return meaning(node, operands)


# ------------------------------------------------------------------ constants


def _constant(node: Node, operands: list[Tensor]) -> Residues:
    literal: Any = node.attributes[0]
    return residues_of(literal)


def residues_of(literal: Literal) -> Residues:
    """A constant's residues. Raises `UnsupportedError` if an element is infinite or NaN."""
    values = literal.data.astype(np.complex128)
    if not np.isfinite(values).all():
        raise UnsupportedError("infinities and NaN have no meaning over a field")
    shape = literal.type.shape

    def part(numbers: Array) -> Array:
        flat = [_residue(x) for x in numbers.reshape(-1).tolist()]
        return np.broadcast_to(np.array(flat, np.int64).reshape(numbers.shape), shape)

    return Residues(
        part(values.real), part(values.imag) if is_complex(literal.type.dtype) else None
    )


def _residue(x: float) -> int:
    fraction = Fraction(x)
    return fraction.numerator * pow(fraction.denominator, -1, PRIME) % PRIME


def _iota(node: Node, operands: list[Tensor]) -> Residues:
    dimension, type = node.attributes
    assert isinstance(type, TensorType), f"expected a tensor type, got {type}"
    integers = type.with_dtype("i64")
    real = evaluate_operation("iota", (dimension, integers), [], integers)
    return Residues(real, np.zeros_like(real) if is_complex(type.dtype) else None)


# ------------------------------------------------------------------ arithmetic


def _times(x: Residues, y: Residues, product: Callable[[Array, Array], Array]) -> Residues:
    """A product that is linear in both operands, complex where they are."""
    if x.imag is None or y.imag is None:
        return Residues(product(x.real, y.real))
    real = product(x.real, y.real) - product(x.imag, y.imag)
    imag = product(x.real, y.imag) + product(x.imag, y.real)
    return Residues(real % PRIME, imag % PRIME)


def _multiply(x: Residues, y: Residues) -> Residues:
    return _times(x, y, lambda a, b: a * b % PRIME)


def _inverse(x: Array) -> Array:
    """x⁻¹ = xᵖ⁻² in every element."""
    if not np.all(x):
        raise UndefinedError("division by a residue of 0")
    result, base, exponent = np.ones_like(x), x, PRIME - 2
    while exponent:
        if exponent & 1:
            result = result * base % PRIME
        base, exponent = base * base % PRIME, exponent >> 1
    return result


def _reciprocal(x: Residues) -> Residues:
    if x.imag is None:
        return Residues(_inverse(x.real))
    norm = _inverse((x.real * x.real % PRIME + x.imag * x.imag % PRIME) % PRIME)
    return Residues(x.real * norm % PRIME, -x.imag * norm % PRIME)


def _power(node: Node, x: Residues, y: Residues) -> Residues:
    """xⁿ for a small integer n, the same everywhere."""
    exponents = np.unique(y.real)
    small = [int(n) if n <= PRIME // 2 else int(n) - PRIME for n in exponents]
    if (
        len(small) != 1
        or abs(small[0]) > _LARGEST_EXPONENT
        or (y.imag is not None and y.imag.any())
    ):
        raise UnsupportedError("a power has no meaning over a field unless its exponent is small")
    result = (
        x.map(np.ones_like)
        if x.imag is None
        else Residues(np.ones_like(x.real), np.zeros_like(x.real))
    )
    for _ in range(abs(small[0])):
        result = _multiply(result, x)
    return result if small[0] >= 0 else _reciprocal(result)


_UNARY: dict[str, Callable[[Residues], Residues]] = {
    "negate": lambda x: x.map(np.negative),
    "chlo.square": lambda x: _multiply(x, x),
    "real": lambda x: Residues(x.real),
    "imag": lambda x: Residues(x.parts[-1]),
    "chlo.conj": lambda x: Residues(x.real, -x.parts[-1] % PRIME),
}


def _unary(node: Node, operands: list[Tensor]) -> Tensor:
    (f,), (x,) = node.attributes, operands
    if isinstance(f, tuple) and f[0] == "convert" and is_field(node.type):
        assert isinstance(node.type, TensorType)
        return _converted(x, is_complex(node.type.dtype))
    if not isinstance(x, Residues) or not isinstance(f, str) or f not in _UNARY:
        raise UnsupportedError(f"{f} has no meaning over a field")
    return _UNARY[f](x)


def _converted(x: Tensor, to_complex: bool) -> Residues:
    if isinstance(x, np.ndarray):
        # Python's integers, so that unsigned 64-bit numbers keep their value.
        x = Residues(np.asarray(x.astype(object) % PRIME).astype(np.int64))
    if to_complex:
        return Residues(x.real, np.zeros_like(x.real) if x.imag is None else x.imag)
    return Residues(x.real)


def _binary(node: Node, operands: list[Tensor]) -> Residues:
    (f,), (x, y) = node.attributes, operands
    assert isinstance(x, Residues)
    assert isinstance(y, Residues)
    if f in ("add", "subtract"):
        sign = 1 if f == "add" else -1
        pairs = zip(x.parts, y.parts, strict=True)
        return Residues(*[(a + sign * b) % PRIME for a, b in pairs])
    if f == "multiply":
        return _multiply(x, y)
    if f == "divide":
        return _multiply(x, _reciprocal(y))
    if f == "power":
        return _power(node, x, y)
    if f == "complex":
        return Residues(x.real, y.real)
    raise UnsupportedError(f"{f} has no meaning over a field")


def _ternary(node: Node, operands: list[Tensor]) -> Residues:
    (f,), (p, x, y) = node.attributes, operands
    if f != "select" or not isinstance(x, Residues) or not isinstance(y, Residues):
        raise UnsupportedError(f"{f} has no meaning over a field")
    pairs = zip(x.parts, y.parts, strict=True)
    return Residues(*[np.where(np.asarray(p), a, b) for a, b in pairs])


# ------------------------------------------------------------------ sums and movement


def _by_parts(node: Node, operands: list[Tensor]) -> Residues:
    """An additive operation: on each part of the operands, with the integers' meaning."""
    first = next(x for x in operands if isinstance(x, Residues))
    result = [
        _integers(node, [x.parts[i] if isinstance(x, Residues) else x for x in operands])
        for i in range(len(first.parts))
    ]
    return Residues(*[part % PRIME for part in result])


def _integers(node: Node, operands: list[Array]) -> Array:
    """The operation on 64-bit integers."""
    assert isinstance(node.type, TensorType)
    return evaluate_operation(node.op, node.attributes, operands, node.type.with_dtype("i64"))


def _sum(node: Node, operands: list[Tensor]) -> Residues:
    if node.attributes[0] != "add":
        raise UnsupportedError(f"reduction by {node.attributes[0]} has no meaning over a field")
    return _by_parts(node, operands)


def _scatter(node: Node, operands: list[Tensor]) -> Residues:
    if node.attributes[0] not in ("add", "set"):
        raise UnsupportedError(f"scatter by {node.attributes[0]} has no meaning over a field")
    return _by_parts(node, operands)


def _reduce(node: Node, operands: list[Tensor]) -> Residues:
    f, dimensions = node.attributes
    (x,) = operands
    if f != "multiply" or not isinstance(x, Residues):
        return _sum(node, operands)
    assert isinstance(dimensions, tuple)
    # Along one dimension after the other, the last one first.
    for dimension in sorted(dimensions, reverse=True):
        x = _product_along(x, dimension)
    return x


def _product_along(x: Residues, dimension: int) -> Residues:
    shape = x.real.shape[:dimension] + x.real.shape[dimension + 1 :]
    product = Residues(
        np.ones(shape, np.int64), None if x.imag is None else np.zeros(shape, np.int64)
    )
    for i in range(x.real.shape[dimension]):
        product = _multiply(product, Residues(*[part.take(i, dimension) for part in x.parts]))
    return product


def _contraction(node: Node, operands: list[Tensor]) -> Residues:
    """A dot or convolution: its left operand in two halves, so that sums stay below 2⁶³."""
    x, y = operands
    if not isinstance(x, Residues) or not isinstance(y, Residues):
        x, y = (_converted(operand, False) for operand in operands)

    def product(a: Array, b: Array) -> Array:
        high = _integers(node, [a >> _HALF_BITS, b]) % PRIME
        low = _integers(node, [a & ((1 << _HALF_BITS) - 1), b])
        return (high * (1 << _HALF_BITS) + low) % PRIME

    return _times(x, y, product)


Meaning = Callable[[Node, list[Tensor]], Tensor]
_ADDITIVE: Meaning = _by_parts
_MEANINGS: dict[str, Meaning] = {
    "constant": _constant,
    "iota": _iota,
    "unary": _unary,
    "binary": _binary,
    "ternary": _ternary,
    "reduce": _reduce,
    "reduce_window": _sum,
    "scatter": _scatter,
    "dot_general": _contraction,
    "blocked_dot": _contraction,
    "convolution": _contraction,
} | dict.fromkeys(
    "transpose reshape broadcast_in_dim reverse slice pad concatenate dynamic_slice "
    "dynamic_update_slice gather".split(),
    _ADDITIVE,
)
