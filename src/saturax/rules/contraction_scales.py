"""Scales and signs move through `dot_general`, onto whichever value is smallest.

Letters as in `contraction`: dimension numbers d, precision p, result type t. A product
with a constant of equal elements is a sum: scales stay out of its other operand.
"""

from __future__ import annotations

from math import prod
from typing import Any

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    binary,
    broadcast_in_dim,
    constant,
    dot_general,
    full,
    multiply,
    negate,
    reshape,
)
from saturax.rules.arithmetic import is_finite, is_real, is_uniform
from saturax.rules.einsum import (
    Labels,
    along,
    einsum_of,
    sizes,
)
from saturax.rules.facts import constant_of, is_frozen, splat_of
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.shapes import Shape

BILINEAR = "matrix products are bilinear"

Dimensions = tuple[int, ...]


def _varies(s: Value) -> bool:
    """Whether a scale is not one known number (those have rules of their own), and is a number."""
    c = constant_of(s)
    return c is None or (s.size > 1 and is_finite(c))


def _scaled_labels(s: Value, e: Dimensions, labels: Labels) -> Labels:
    """Labels of the dimensions along which a broadcast s varies."""
    return tuple(labels[i] for i, n in zip(e, s.shape, strict=True) if n != 1)


def _scale_along(s: Value, e: Dimensions, own: Labels, x: Value, labels: Labels) -> Any:
    """The broadcast scale s, whose dimension i has label own[e[i]], repeated to the type of x."""
    moved = _scaled_labels(s, e, own)
    squeezed = reshape(s, [n for n in s.shape if n != 1])
    return along(squeezed, moved, labels, sizes(labels, x.shape))


@rule(
    lambda x, s, u, e, y, d, p, t: dot_general(multiply(x, broadcast_in_dim(s, u, e)), y, d, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
    uses_facts=True,
)
def move_scale_off_left_operand(
    x: Value, s: Value, u: Shape, e: Dimensions, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """(s·x) · y = s · (x · y) if s varies with dimensions that are left only"""
    need(_varies(s) and is_uniform(t, x, y))
    labels = einsum_of(d, x.rank, y.rank)
    need(all(label in labels.result for label in _scaled_labels(s, e, labels.x)))
    product = dot_general(x, y, d, p, t)
    return multiply(product, _scale_along(s, e, labels.x, product, labels.result))


@rule(
    lambda x, y, s, u, e, d, p, t: dot_general(x, multiply(y, broadcast_in_dim(s, u, e)), d, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
    uses_facts=True,
)
def move_scale_off_right_operand(
    x: Value, y: Value, s: Value, u: Shape, e: Dimensions, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · (s·y) = s · (x · y) if s varies with dimensions that are left only"""
    need(_varies(s) and is_uniform(t, x, y))
    labels = einsum_of(d, x.rank, y.rank)
    need(all(label in labels.result for label in _scaled_labels(s, e, labels.y)))
    product = dot_general(x, y, d, p, t)
    return multiply(product, _scale_along(s, e, labels.y, product, labels.result))


@rule(
    lambda x, y, d, p, t, s, u, e: multiply(dot_general(x, y, d, p, t), broadcast_in_dim(s, u, e)),
    numerics=ROUNDING,
    source=BILINEAR,
    uses_facts=True,
)
def move_scale_onto_left_operand(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str, s: Value, u: Shape, e: Dimensions
) -> Any:
    """s · (x · y) = (s·x) · y if s varies with dimensions of x only, x small or frozen"""
    need(_varies(s) and is_uniform(t, x, y) and _is_worth_scaling(x, x, y, d))
    labels = einsum_of(d, x.rank, y.rank)
    need(all(label in labels.x for label in _scaled_labels(s, e, labels.result)))
    return dot_general(multiply(x, _scale_along(s, e, labels.result, x, labels.x)), y, d, p, t)


@rule(
    lambda x, y, d, p, t, s, u, e: multiply(dot_general(x, y, d, p, t), broadcast_in_dim(s, u, e)),
    numerics=ROUNDING,
    source=BILINEAR,
    uses_facts=True,
)
def move_scale_onto_right_operand(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str, s: Value, u: Shape, e: Dimensions
) -> Any:
    """s · (x · y) = x · (s·y) if s varies with dimensions of y only, y small or frozen"""
    need(_varies(s) and is_uniform(t, x, y) and _is_worth_scaling(y, x, y, d))
    labels = einsum_of(d, x.rank, y.rank)
    need(all(label in labels.y for label in _scaled_labels(s, e, labels.result)))
    return dot_general(x, multiply(y, _scale_along(s, e, labels.result, y, labels.y)), d, p, t)


@rule(
    lambda x, s, u, e, y, d, p, t: dot_general(multiply(x, broadcast_in_dim(s, u, e)), y, d, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
    uses_facts=True,
)
def move_scale_to_right_operand(
    x: Value, s: Value, u: Shape, e: Dimensions, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """(x·s) · y = x · (s·y) if s varies with dimensions that x and y share only"""
    need(_varies(s) and is_uniform(t, x, y))
    labels = einsum_of(d, x.rank, y.rank)
    need(all(label in labels.y for label in _scaled_labels(s, e, labels.x)))
    return dot_general(x, multiply(y, _scale_along(s, e, labels.x, y, labels.y)), d, p, t)


@rule(
    lambda x, y, s, u, e, d, p, t: dot_general(x, multiply(y, broadcast_in_dim(s, u, e)), d, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
    uses_facts=True,
)
def move_scale_to_left_operand(
    x: Value, y: Value, s: Value, u: Shape, e: Dimensions, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · (s·y) = (x·s) · y if s varies with dimensions that x and y share only"""
    need(_varies(s) and is_uniform(t, x, y))
    labels = einsum_of(d, x.rank, y.rank)
    need(all(label in labels.x for label in _scaled_labels(s, e, labels.y)))
    return dot_general(multiply(x, _scale_along(s, e, labels.y, x, labels.x)), y, d, p, t)


def _is_worth_scaling(operand: Value, x: Value, y: Value, d: DotDimensions) -> bool:
    """Whether scaling `operand` of x · y costs less than scaling the product."""
    labels = einsum_of(d, x.rank, y.rank)
    size = sizes(labels.x, x.shape) | sizes(labels.y, y.shape)
    return is_frozen(operand) or operand.size < prod(size[label] for label in labels.result)


def _is_scaling(f: Any, c: Literal, t: str) -> bool:
    """Whether f(_, c) multiplies by one number."""
    divides = f == "divide" and is_real(t)
    return c.is_splat and is_finite(c) and (f == "multiply" or (divides and c.value != 0))


@rule(
    lambda f, x, c, y, d, p, t: dot_general(binary(f, x, constant(c)), y, d, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
    uses_facts=True,
)
def move_constant_off_left_operand(
    f: Any, x: Value, c: Literal, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """(x·c) · y = (x · y)·c, and the same for division, if all elements of c are equal"""
    need(splat_of(x) is None and splat_of(y) is None)
    need(_is_scaling(f, c, t) and is_uniform(t, x, y))
    product = dot_general(x, y, d, p, t)
    return binary(f, product, full(c.value, product.tensor))


@rule(
    lambda f, x, y, c, d, p, t: dot_general(x, binary(f, y, constant(c)), d, p, t),
    numerics=ROUNDING,
    source=BILINEAR,
    uses_facts=True,
)
def move_constant_off_right_operand(
    f: Any, x: Value, y: Value, c: Literal, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · (y·c) = (x · y)·c, and the same for division, if all elements of c are equal"""
    need(splat_of(x) is None and splat_of(y) is None)
    need(_is_scaling(f, c, t) and is_uniform(t, x, y))
    product = dot_general(x, y, d, p, t)
    return binary(f, product, full(c.value, product.tensor))


@rule(
    lambda f, x, y, d, p, t, c: binary(f, dot_general(x, y, d, p, t), constant(c)),
    numerics=ROUNDING,
    source=BILINEAR,
    uses_facts=True,
)
def move_constant_onto_left_operand(
    f: Any, x: Value, y: Value, d: DotDimensions, p: Precision, t: str, c: Literal
) -> Any:
    """(x · y)·c = (x·c) · y, also for division, if elements of c are equal, x small or frozen"""
    need(splat_of(y) is None)
    need(_is_scaling(f, c, t) and is_uniform(t, x, y) and _is_worth_scaling(x, x, y, d))
    return dot_general(binary(f, x, full(c.value, x.tensor)), y, d, p, t)


@rule(
    lambda f, x, y, d, p, t, c: binary(f, dot_general(x, y, d, p, t), constant(c)),
    numerics=ROUNDING,
    source=BILINEAR,
    uses_facts=True,
)
def move_constant_onto_right_operand(
    f: Any, x: Value, y: Value, d: DotDimensions, p: Precision, t: str, c: Literal
) -> Any:
    """(x · y)·c = x · (y·c), also for division, if elements of c are equal, y small or frozen"""
    need(splat_of(x) is None)
    need(_is_scaling(f, c, t) and is_uniform(t, x, y) and _is_worth_scaling(y, x, y, d))
    return dot_general(x, binary(f, y, full(c.value, y.tensor)), d, p, t)


@rule(lambda x, y, d, p, t: dot_general(negate(x), y, d, p, t), numerics=ROUNDING, source=BILINEAR)
def move_negation_off_left_operand(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """(-x) · y = -(x · y)"""
    need(is_uniform(t, x, y))
    return negate(dot_general(x, y, d, p, t))


@rule(lambda x, y, d, p, t: dot_general(x, negate(y), d, p, t), numerics=ROUNDING, source=BILINEAR)
def move_negation_off_right_operand(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · (-y) = -(x · y)"""
    need(is_uniform(t, x, y))
    return negate(dot_general(x, y, d, p, t))


@rule(lambda x, y, d, p, t: negate(dot_general(x, y, d, p, t)), numerics=ROUNDING, source=BILINEAR)
def move_negation_onto_smaller_operand(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """-(x · y) = (-x) · y or x · (-y), whichever negates fewer elements"""
    need(is_uniform(t, x, y))
    if x.size < y.size:
        return dot_general(negate(x), y, d, p, t)
    return dot_general(x, negate(y), d, p, t)
