"""Reshapes and broadcasts: they merge, change into one another, and move through elementwise work.

Elementwise work moves in front of broadcasts (fewer elements) and back.
"""

from __future__ import annotations

from math import prod
from typing import Any

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    concatenate,
    constant,
    full,
    reshape,
    ternary,
    unary,
)
from saturax.graph.ops.elementwise import COMMUTATIVE
from saturax.graph.types import TensorType
from saturax.rules.moves import transposed
from saturax.rules.permutations import moves_only_units
from saturax.rules.rule import BITWISE, need, rule
from saturax.rules.shapes import Shape, blocks, large_dimensions, picked, squeezed

SPEC = "StableHLO spec, `reshape`"
BROADCAST_SPEC = "StableHLO spec, `broadcast_in_dim`"

Dimensions = tuple[int, ...]


@rule(lambda x, s: reshape(x, s), numerics=BITWISE, source=SPEC)
def drop_identity_reshape(x: Value, s: Shape) -> Any:
    """reshape(x, s) = x if x has shape s"""
    need(x.shape == s)
    return x


@rule(lambda x, s, t: reshape(reshape(x, s), t), numerics=BITWISE, source=SPEC)
def merge_reshapes(x: Value, s: Shape, t: Shape) -> Any:
    """reshape(reshape(x, s), t) = reshape(x, t)"""
    return reshape(x, t)


@rule(lambda f, x, s: unary(f, reshape(x, s)), numerics=BITWISE, source=SPEC)
def pull_reshape_out_of_unary(f: Any, x: Value, s: Shape) -> Any:
    """f(reshape(x)) = reshape(f(x))"""
    return reshape(unary(f, x), s)


@rule(lambda f, x, s, c: binary(f, reshape(x, s), constant(c)), numerics=BITWISE, source=SPEC)
def pull_reshape_over_constant(f: Any, x: Value, s: Shape, c: Literal) -> Any:
    """f(reshape(x), c) = reshape(f(x, c)) if all elements of c are equal, sizes differ"""
    need(c.is_splat and squeezed(x.shape) != squeezed(s))
    return reshape(binary(f, x, full(c.value, TensorType(x.shape, c.type.dtype))), s)


@rule(lambda f, x, s, c: binary(f, constant(c), reshape(x, s)), numerics=BITWISE, source=SPEC)
def pull_reshape_over_constant_on_the_left(f: Any, x: Value, s: Shape, c: Literal) -> Any:
    """f(c, reshape(x)) = reshape(f(c, x)) if all elements of c are equal, sizes differ"""
    need(f not in COMMUTATIVE)
    need(c.is_splat and squeezed(x.shape) != squeezed(s))
    return reshape(binary(f, full(c.value, TensorType(x.shape, c.type.dtype)), x), s)


# Broadcasts and reshapes as one another.


@rule(lambda x, s, d: broadcast_in_dim(x, s, d), numerics=BITWISE, source=BROADCAST_SPEC)
def broadcast_as_reshape(x: Value, s: Shape, d: Dimensions) -> Any:
    """broadcast(x, s) = reshape(x, s) if it repeats and reorders nothing"""
    large = [place for place, n in zip(d, x.shape, strict=True) if n != 1]
    need(x.size == prod(s) and large == sorted(large) and x.size > 0)
    return reshape(x, s)


@rule(lambda x, s, d: broadcast_in_dim(x, s, d), numerics=BITWISE, source=BROADCAST_SPEC)
def drop_unit_dimensions_before_broadcast(x: Value, s: Shape, d: Dimensions) -> Any:
    """broadcast(x, s, d) = broadcast(reshape(x), s, d') without dimensions of size 1"""
    need(1 in x.shape)
    varying = large_dimensions(x.shape)
    return broadcast_in_dim(reshape(x, picked(x.shape, varying)), s, picked(d, varying))


@rule(lambda x, s, d: broadcast_in_dim(x, s, d), numerics=BITWISE, source=BROADCAST_SPEC)
def broadcast_out_of_order_as_transpose(x: Value, s: Shape, d: Dimensions) -> Any:
    """broadcast(x, s, d) = broadcast(xᵖ, s, d∘p) with d∘p ascending"""
    order = sorted(range(x.rank), key=d.__getitem__)
    need(not moves_only_units(x.shape, order))
    return broadcast_in_dim(transposed(x, order), s, picked(d, order))


@rule(lambda x, s, d, t: reshape(broadcast_in_dim(x, s, d), t), numerics=BITWISE, source=SPEC)
def reshape_before_broadcast(x: Value, s: Shape, d: Dimensions, t: Shape) -> Any:
    """reshape(broadcast(x, s, d), t) = broadcast(reshape(x), t) if no repeated dimension merges"""
    pairs = blocks(s, t)
    varying = large_dimensions(x.shape)
    need(pairs is not None and list(picked(d, varying)) == sorted(picked(d, varying)))
    assert pairs is not None
    kept = set(picked(d, varying))
    dimensions: list[int] = []
    for block in pairs:
        varies = [i for i in block.source if i in kept]
        if varies:
            need(all(i in kept or s[i] == 1 for i in block.source))
            dimensions.extend(i for i in block.target if t[i] != 1)
    return broadcast_in_dim(reshape(x, picked(t, dimensions)), t, dimensions)


@rule(
    lambda x, s, d, t, e: broadcast_in_dim(broadcast_in_dim(x, s, d), t, e),
    numerics=BITWISE,
    source=BROADCAST_SPEC,
)
def merge_broadcasts(x: Value, s: Shape, d: Dimensions, t: Shape, e: Dimensions) -> Any:
    """broadcast(broadcast(x, s, d), t, e) = broadcast(x, t, e∘d)"""
    return broadcast_in_dim(x, t, picked(e, d))


# Elementwise operations before and after reshapes: with these as rules every tensor would get a
# second form, but where it has one, as coefficients have that were reshaped for a broadcast, the
# two are one.


@rule(
    lambda f, x, y, s: reshape(binary(f, x, y), s),
    numerics=BITWISE,
    source=SPEC,
    only_merges=True,
)
def merge_reshaped_binary(f: Any, x: Value, y: Value, s: Shape) -> Any:
    """reshape(f(x, y)) = f(reshape(x), reshape(y)), where both are there"""
    return binary(f, reshape(x, s), reshape(y, s))


@rule(
    lambda f, x, y, s: binary(f, reshape(x, s), reshape(y, s)),
    numerics=BITWISE,
    source=SPEC,
    only_merges=True,
)
def merge_binary_of_reshaped(f: Any, x: Value, y: Value, s: Shape) -> Any:
    """f(reshape(x), reshape(y)) = reshape(f(x, y)), where both are there"""
    need(x.shape == y.shape)
    return reshape(binary(f, x, y), s)


@rule(
    lambda f, x, c, s: reshape(binary(f, x, constant(c)), s),
    numerics=BITWISE,
    source=SPEC,
    only_merges=True,
)
def merge_reshaped_binary_with_constant(f: Any, x: Value, c: Literal, s: Shape) -> Any:
    """reshape(f(x, c)) = f(reshape(x), c) if all elements of c are equal, where both are there"""
    need(c.is_splat)
    return binary(f, reshape(x, s), full(c.value, TensorType(s, c.type.dtype)))


@rule(
    lambda f, c, x, s: reshape(binary(f, constant(c), x), s),
    numerics=BITWISE,
    source=SPEC,
    only_merges=True,
)
def merge_reshaped_binary_with_constant_on_the_left(f: Any, c: Literal, x: Value, s: Shape) -> Any:
    """reshape(f(c, x)) = f(c, reshape(x)) if all elements of c are equal, where both are there"""
    need(c.is_splat and f not in COMMUTATIVE)
    return binary(f, full(c.value, TensorType(s, c.type.dtype)), reshape(x, s))


# Broadcasts and elementwise operations.


def _repeats(x: Value, s: Shape) -> bool:
    """Whether a broadcast of x to s repeats elements: one that does not is a reshape, and work in
    front of it would only double the forms of every tensor with dimensions of size 1.
    """
    return x.size < prod(s)


@rule(lambda f, x, s, d: unary(f, broadcast_in_dim(x, s, d)), numerics=BITWISE,
      source=BROADCAST_SPEC)  # fmt: skip
def unary_before_broadcast(f: Any, x: Value, s: Shape, d: Dimensions) -> Any:
    """f(broadcast(x)) = broadcast(f(x)) if elements are repeated"""
    need(_repeats(x, s))
    return broadcast_in_dim(unary(f, x), s, d)


@rule(
    lambda f, x, y, s, d, e: binary(f, broadcast_in_dim(x, s, d), broadcast_in_dim(y, s, e)),
    numerics=BITWISE,
    source=BROADCAST_SPEC,
)
def binary_before_broadcast(
    f: Any, x: Value, y: Value, s: Shape, d: Dimensions, e: Dimensions
) -> Any:
    """f(broadcast(x), broadcast(y)) = broadcast(f(x', y')) if one is repeated along all that both
    are, the other having its dimensions
    """
    need(_repeats(x, s) and _repeats(y, s))
    x_places = {place for place, n in zip(d, x.shape, strict=True) if n != 1}
    y_places = {place for place, n in zip(e, y.shape, strict=True) if n != 1}
    if y_places <= x_places and set(e) <= set(d):
        y = broadcast_in_dim(y, x.shape, [d.index(place) for place in e])
        return broadcast_in_dim(binary(f, x, y), s, d)
    need(x_places <= y_places and set(d) <= set(e))
    x = broadcast_in_dim(x, y.shape, [e.index(place) for place in d])
    return broadcast_in_dim(binary(f, x, y), s, e)


@rule(
    lambda f, x, s, d, c: binary(f, broadcast_in_dim(x, s, d), constant(c)),
    numerics=BITWISE,
    source=BROADCAST_SPEC,
)
def binary_with_constant_before_broadcast(
    f: Any, x: Value, s: Shape, d: Dimensions, c: Literal
) -> Any:
    """f(broadcast(x), c) = broadcast(f(x, c)) if c's elements are equal, x's repeated"""
    need(c.is_splat and _repeats(x, s))
    small = full(c.value, TensorType(x.shape, c.type.dtype))
    return broadcast_in_dim(binary(f, x, small), s, d)


@rule(
    lambda f, x, s, d, c: binary(f, constant(c), broadcast_in_dim(x, s, d)),
    numerics=BITWISE,
    source=BROADCAST_SPEC,
)
def constant_with_binary_before_broadcast(
    f: Any, x: Value, s: Shape, d: Dimensions, c: Literal
) -> Any:
    """f(c, broadcast(x)) = broadcast(f(c, x)) if c's elements are equal, x's repeated"""
    need(f not in COMMUTATIVE)
    need(c.is_splat and _repeats(x, s))
    small = full(c.value, TensorType(x.shape, c.type.dtype))
    return broadcast_in_dim(binary(f, small, x), s, d)


@rule(
    lambda f, x, y, z, s, d: ternary(
        f, broadcast_in_dim(x, s, d), broadcast_in_dim(y, s, d), broadcast_in_dim(z, s, d)
    ),
    numerics=BITWISE,
    source=BROADCAST_SPEC,
)
def ternary_before_broadcast(f: str, x: Value, y: Value, z: Value, s: Shape, d: Dimensions) -> Any:
    """f(broadcast(x), broadcast(y), broadcast(z)) = broadcast(f(x, y, z)) if all have one shape"""
    need(x.shape == y.shape == z.shape and _repeats(x, s))
    return broadcast_in_dim(ternary(f, x, y, z), s, d)


@rule(
    lambda x, y, s, d, i: concatenate(broadcast_in_dim(x, s, d), broadcast_in_dim(y, s, d), i),
    numerics=BITWISE,
    source=BROADCAST_SPEC,
)
def concatenate_before_broadcast(x: Value, y: Value, s: Shape, d: Dimensions, i: int) -> Any:
    """[broadcast(x), broadcast(y)] = broadcast([x, y]) along a dimension of x and y"""
    need(x.shape == y.shape and i in d and x.shape[d.index(i)] == s[i])
    whole = (*s[:i], 2 * s[i], *s[i + 1 :])
    return broadcast_in_dim(concatenate(x, y, d.index(i)), whole, d)
