"""Complex numbers: conjugates, moduli, parts of products and exponentials.

A conjugate is what JAX makes of it: `complex(re z, -im z)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    add,
    binary,
    constant,
    convert,
    dot_general,
    full_like,
    multiply,
    negate,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.arithmetic import is_uniform
from saturax.rules.conditions import REALS, is_all
from saturax.rules.rule import BITWISE, FINITE, ROUNDING, need, rule

PRODUCT = "(a + ib)(c + id) = ac - bd + i(ad + bc)"
CONJUGATE = "conjugation is an automorphism of ℂ"
EULER = "Euler's formula"


def _re(z: Any) -> Any:
    return unary("real", z)


def _im(z: Any) -> Any:
    return unary("imag", z)


def _conjugate(z: Any) -> Any:
    return binary("complex", _re(z), negate(_im(z)))


def _complex(rng: np.random.Generator) -> dict[str, Any]:
    type = TensorType((2, 3), str(rng.choice(["complex<f32>", "complex<f64>"])))
    return {"z": type, "w": type}


@rule(lambda z, w: _re(multiply(z, w)), numerics=ROUNDING, source=PRODUCT, examples=_complex)
def real_of_product(z: Value, w: Value) -> Value | None:
    """re(z · w) = re z · re w - im z · im w"""
    need(is_complex(z.dtype))
    return subtract(multiply(_re(z), _re(w)), multiply(_im(z), _im(w)))


@rule(lambda z, w: _im(multiply(z, w)), numerics=ROUNDING, source=PRODUCT, examples=_complex)
def imaginary_of_product(z: Value, w: Value) -> Value | None:
    """im(z · w) = re z · im w + im z · re w"""
    need(is_complex(z.dtype))
    return add(multiply(_re(z), _im(w)), multiply(_im(z), _re(w)))


@rule(lambda z, w: multiply(_conjugate(z), _conjugate(w)), numerics=ROUNDING, source=CONJUGATE)
def multiply_conjugates(z: Value, w: Value) -> Value | None:
    """z̅ · w̅ = conjugate of z · w"""
    need(is_complex(z.dtype))
    return _conjugate(multiply(z, w))


@rule(
    lambda z, w, d, p, t: dot_general(_conjugate(z), _conjugate(w), d, p, t),
    numerics=ROUNDING,
    source=CONJUGATE,
)
def multiply_conjugate_matrices(z: Value, w: Value, d: Any, p: Any, t: Any) -> Value | None:
    """z̅ · w̅ = conjugate of z · w, a contraction"""
    need(is_complex(z.dtype) and is_uniform(t, z, w))
    return _conjugate(dot_general(z, w, d, p, t))


@rule(lambda z, w: _conjugate(multiply(_conjugate(z), w)), numerics=ROUNDING, source=CONJUGATE)
def conjugate_of_product(z: Value, w: Value) -> Value | None:
    """conjugate of z̅ · w = z · w̅"""
    need(is_complex(z.dtype))
    return multiply(z, _conjugate(w))


@rule(lambda g, z, w: binary(g, _conjugate(z), _conjugate(w)), numerics=ROUNDING, source=CONJUGATE)
def add_conjugates(g: Any, z: Value, w: Value) -> Value | None:
    """z̅ ± w̅ = conjugate of z ± w"""
    need(is_complex(z.dtype) and g in ("add", "subtract"))
    return _conjugate(binary(g, z, w))


@rule(lambda z: multiply(z, _conjugate(z)), numerics=FINITE, source="zz̅ = |z|²")
def multiply_by_conjugate(z: Value) -> Value | None:
    """z · z̅ = (re z)² + (im z)²"""
    need(is_complex(z.dtype))
    real, imaginary = _re(z), _im(z)
    norm = add(multiply(real, real), multiply(imaginary, imaginary))
    return binary("complex", norm, full_like(norm, 0))


@rule(
    lambda x, y: unary("abs", binary("complex", x, negate(y))), numerics=BITWISE, source=CONJUGATE
)
def modulus_of_conjugate(x: Value, y: Value) -> Value | None:
    """|x - iy| = |x + iy|"""
    return unary("abs", binary("complex", x, y))


@rule(
    lambda x, y: unary("abs", binary("complex", negate(x), y)), numerics=BITWISE, source=CONJUGATE
)
def modulus_of_mirrored(x: Value, y: Value) -> Value | None:
    """|-x + iy| = |x + iy|"""
    return unary("abs", binary("complex", x, y))


@rule(lambda x, y: negate(binary("complex", x, y)), numerics=BITWISE, source="ℂ as ℝ²")
def negate_complex(x: Value, y: Value) -> Value | None:
    """-(x + iy) = -x - iy"""
    return binary("complex", negate(x), negate(y))


@rule(
    lambda g, x, y, u, v: binary(g, binary("complex", x, y), binary("complex", u, v)),
    numerics=BITWISE,
    source="ℂ as ℝ²",
)
def add_complex_parts(g: Any, x: Value, y: Value, u: Value, v: Value) -> Value | None:
    """(x + iy) ± (u + iv) = (x ± u) + i(y ± v)"""
    need(g in ("add", "subtract"))
    return binary("complex", binary(g, x, u), binary(g, y, v))


@rule(
    lambda z, w: unary("abs", multiply(z, w)),
    numerics=ROUNDING,
    source="|zw| = |z||w|",
    examples=_complex,
)
def modulus_of_product(z: Value, w: Value) -> Value | None:
    """|z · w| = |z| · |w|, complex"""
    need(is_complex(z.dtype))
    return multiply(unary("abs", z), unary("abs", w))


@rule(
    lambda z: unary("abs", unary("exponential", z)),
    numerics=ROUNDING,
    source=EULER,
    examples=_complex,
)
def modulus_of_exponential(z: Value) -> Value | None:
    """|exp z| = exp(re z), z complex"""
    need(is_complex(z.dtype))
    return unary("exponential", _re(z))


@rule(lambda z: _re(unary("exponential", z)), numerics=ROUNDING, source=EULER, examples=_complex)
def real_of_exponential(z: Value) -> Value | None:
    """re(exp z) = exp(re z) · cos(im z), z complex"""
    need(is_complex(z.dtype))
    return multiply(unary("exponential", _re(z)), unary("cosine", _im(z)))


@rule(lambda z: _im(unary("exponential", z)), numerics=ROUNDING, source=EULER, examples=_complex)
def imaginary_of_exponential(z: Value) -> Value | None:
    """im(exp z) = exp(re z) · sin(im z), z complex"""
    need(is_complex(z.dtype))
    return multiply(unary("exponential", _re(z)), unary("sine", _im(z)))


def _scaled(rng: np.random.Generator) -> dict[str, Any]:
    t = str(rng.choice(["complex<f32>", "complex<f64>"]))
    value = np.array(
        complex(*rng.integers(-3, 4, 2)), np.complex64 if "f32" in t else np.complex128
    )
    return {"t": t, "c": Literal(value, (2, 3)), "x": TensorType((2, 3), t[8:-1])}


@rule(
    lambda c, x, t: multiply(constant(c), convert(x, t)),
    numerics=FINITE,
    source=PRODUCT,
    examples=_scaled,
)
def scale_complex_constant(c: Literal, x: Value, t: Any) -> Value | None:
    """(a + ib) · x = ax + ibx for a splat constant and a real x"""
    need(c.is_splat and is_complex(t) and x.dtype in REALS and x.dtype == t[8:-1])
    real, imaginary = full_like(x, c.value.real), full_like(x, c.value.imag)
    return binary("complex", multiply(x, real), multiply(x, imaginary))


def _widened(rng: np.random.Generator) -> dict[str, Any]:
    found = _scaled(rng)
    return {"x": found["x"], "t": found["t"]}


@rule(lambda x, t: convert(x, t), numerics=BITWISE, source="ℂ as ℝ²", examples=_widened)
def real_as_complex(x: Value, t: Any) -> Value | None:
    """A real x converted to a complex number is x + 0i"""
    need(is_complex(t) and x.dtype in REALS and x.dtype == t[8:-1])
    return binary("complex", x, full_like(x, 0))


def _turned(rng: np.random.Generator) -> dict[str, Any]:
    found = _scaled(rng)
    c = found["c"]
    return {**found, "c": Literal(np.array(1j * c.value.imag, c.data.dtype), c.type.shape)}


@rule(
    lambda c, x, t: unary("exponential", multiply(constant(c), convert(x, t))),
    numerics=ROUNDING,
    source=EULER,
    examples=_turned,
)
def exponential_of_turn(c: Literal, x: Value, t: Any) -> Value | None:
    """exp(ib · x) = cos(bx) + i sin(bx) for a splat constant ib and a real x"""
    need(c.is_splat and is_complex(t) and x.dtype in REALS and x.dtype == t[8:-1])
    need(c.value.real == 0)
    angle = multiply(x, full_like(x, c.value.imag))
    return binary("complex", unary("cosine", angle), unary("sine", angle))


@rule(
    lambda c, y: unary("exponential", binary("complex", constant(c), y)),
    numerics=ROUNDING,
    source=EULER,
)
def exponential_of_imaginary(c: Literal, y: Value) -> Value | None:
    """exp(0 + iy) = cos y + i sin y"""
    need(is_all(c, 0.0))
    return binary("complex", unary("cosine", y), unary("sine", y))


@rule(
    lambda x, y: unary(
        "abs",
        binary("complex", multiply(x, unary("cosine", y)), multiply(x, unary("sine", y))),
    ),
    numerics=ROUNDING,
    source="cos² y + sin² y = 1",
)
def modulus_of_polar(x: Value, y: Value) -> Value | None:
    """|x cos y + i x sin y| = |x|"""
    return unary("abs", x)
