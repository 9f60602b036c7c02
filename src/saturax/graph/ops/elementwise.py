"""Elementwise operations: three generic ones by arity, the function being their attribute.

A function is a StableHLO name ("exponential"), a CHLO name ("chlo.erf"), or a tuple of a name and
what it needs: ("convert", dtype), ("compare", direction, kind), ("reduce_precision", e, m).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saturax.graph.build import make
from saturax.graph.operation import expect, register, same_shape
from saturax.graph.types import TensorType, Type, numpy_dtype

COMMUTATIVE = frozenset({"add", "multiply", "maximum", "minimum", "and", "or", "xor"})
"""Binary functions with f(x, y) = f(y, x) in every bit (NaN payloads aside)."""

ASSOCIATIVE = COMMUTATIVE
"""Binary functions with f(f(x, y), z) = f(x, f(y, z)) over the reals."""

TRANSCENDENTAL = frozenset(
    "exponential exponential_minus_one log log_plus_one logistic tanh tan sine cosine power atan2 "
    "cbrt chlo.erf chlo.erf_inv chlo.erfc chlo.lgamma chlo.digamma chlo.sinh chlo.cosh chlo.asin "
    "chlo.acos chlo.atan chlo.asinh chlo.acosh chlo.atanh".split()
)
"""Functions that cost many times more than an addition."""

_UNARY_BOOLEAN = {"is_finite", "chlo.is_inf", "chlo.is_pos_inf", "chlo.is_neg_inf"}


def function_name(f: Any) -> str:
    """The name of an elementwise function without what it carries."""
    return f if isinstance(f, str) else f[0]


def is_commutative(op: str, attributes: tuple[Any, ...]) -> bool:
    """Whether swapping the two operands changes nothing."""
    return op == "binary" and attributes[0] in COMMUTATIVE


def outdone_by(op: str, attributes: tuple[Any, ...]) -> frozenset[str]:
    """The operations that are pointless where such an e-node is: arithmetic, beside its result.

    From 0 = 1 - 1 = 0·c rules would derive ever new sums and products of constants. And a known
    value has one constant: each way to it rounds otherwise, and so would each pair of what they
    come to (a schedule of noise got 9,000 constants for one vector).
    """
    if op != "constant":
        return frozenset()
    return _BESIDE_NUMBER if attributes[0].is_splat else _BESIDE_CONSTANT


_BESIDE_CONSTANT = frozenset({"constant"})
_BESIDE_NUMBER = frozenset({"constant", "unary", "binary", "ternary"})


def _infer_unary(attributes: Any, operands: Sequence[Any]) -> Type:
    (f,), (x,) = attributes, operands
    expect(isinstance(x, TensorType), "unary", "expected a tensor, got {}", x)
    name = function_name(f)
    if name == "convert":
        return TensorType(x.shape, f[1])
    if name == "bitcast_convert":
        same = numpy_dtype(f[1]).itemsize == numpy_dtype(x.dtype).itemsize
        expect(same, "bitcast_convert", f"expected elements of one width, got {x} to {f[1]}")
        return TensorType(x.shape, f[1])
    if name in _UNARY_BOOLEAN:
        return TensorType(x.shape, "i1")
    if name in ("real", "imag", "abs") and x.dtype.startswith("complex"):
        return TensorType(x.shape, x.dtype[8:-1])
    return TensorType(x.shape, x.dtype)


def _infer_binary(attributes: Any, operands: Sequence[Any]) -> Type:
    (f,), (x, y) = attributes, operands
    name = function_name(f)
    shape = same_shape(name, operands)
    expect(x.dtype == y.dtype, name, "expected operands of one type, got {} and {}", x, y)
    if name == "compare":
        return TensorType(shape, "i1")
    if name == "complex":
        return TensorType(shape, f"complex<{x.dtype}>")
    return TensorType(shape, x.dtype)


def _infer_ternary(attributes: Any, operands: Sequence[Any]) -> Type:
    (f,), (x, y, z) = attributes, operands
    shape = same_shape(f, operands)
    if f == "select":
        expect(x.dtype == "i1" and y.dtype == z.dtype, f, "got {}, {}, {}", x, y, z)
        return TensorType(shape, y.dtype)
    same = x.dtype == y.dtype == z.dtype
    expect(same, f, "expected operands of one type, got {}, {}, {}", x, y, z)
    return TensorType(shape, y.dtype)


def _flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    size: int = result.size
    return size


def _is_same_convert(attributes: Any, operands: Sequence[Any]) -> bool:
    f = attributes[0]
    name = function_name(f)
    return name in ("convert", "bitcast_convert") and bool(operands[0].dtype == f[1])


register("unary", ("f",), _infer_unary, "elementwise", _flops, _is_same_convert)
register("binary", ("f",), _infer_binary, "elementwise", _flops)
register("ternary", ("f",), _infer_ternary, "elementwise", _flops)


def unary(f: Any, x: Any) -> Any:
    """f(x), element by element."""
    return make("unary", x, attributes=(f,))


def binary(f: Any, x: Any, y: Any) -> Any:
    """f(x, y), element by element; the operands have one shape."""
    return make("binary", x, y, attributes=(f,))


def ternary(f: Any, x: Any, y: Any, z: Any) -> Any:
    """f(x, y, z), element by element: "select" or "clamp" (minimum, x, maximum)."""
    return make("ternary", x, y, z, attributes=(f,))


def convert(x: Any, dtype: Any) -> Any:
    """X with elements of `dtype`; no operation if they are already."""
    return make("unary", x, attributes=(("convert", dtype),))


def compare(x: Any, y: Any, direction: Any, kind: Any = "FLOAT") -> Any:
    """Elementwise comparison; `direction` is EQ, NE, LT, LE, GT or GE; see StableHLO for `kind`."""
    return make("binary", x, y, attributes=(("compare", direction, kind),))


def add(x: Any, y: Any) -> Any:
    """x + y."""
    return binary("add", x, y)


def subtract(x: Any, y: Any) -> Any:
    """x - y."""
    return binary("subtract", x, y)


def multiply(x: Any, y: Any) -> Any:
    """x · y."""
    return binary("multiply", x, y)


def divide(x: Any, y: Any) -> Any:
    """x / y."""
    return binary("divide", x, y)


def maximum(x: Any, y: Any) -> Any:
    """max(x, y)."""
    return binary("maximum", x, y)


def minimum(x: Any, y: Any) -> Any:
    """min(x, y)."""
    return binary("minimum", x, y)


def power(x: Any, y: Any) -> Any:
    """xʸ."""
    return binary("power", x, y)


def negate(x: Any) -> Any:
    """-x."""
    return unary("negate", x)


def select(p: Any, x: Any, y: Any) -> Any:
    """X where p, else y; all of one shape."""
    return ternary("select", p, x, y)
