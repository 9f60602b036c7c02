"""Reversals and padding: they merge, cancel, and move through elementwise work."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    binary,
    broadcast_in_dim,
    concatenate,
    constant,
    full,
    pad,
    reverse,
    slice_,
    ternary,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.rule import BITWISE, need, rule
from saturax.rules.shapes import Shape, symmetric_difference

SPEC = "StableHLO spec, `pad`"
REVERSE_SPEC = "StableHLO spec, `reverse`"

Dimensions = tuple[int, ...]


# Reversals.


@rule(lambda x, d: reverse(x, d), numerics=BITWISE, source=REVERSE_SPEC)
def drop_reverse_of_units(x: Value, d: Dimensions) -> Any:
    """reverse(x, d) does not depend on dimensions of size 1 in d"""
    kept = tuple(i for i in d if x.shape[i] > 1)
    need(len(kept) < len(d))
    return reverse(x, kept)


@rule(lambda x, d, e: reverse(reverse(x, d), e), numerics=BITWISE, source=REVERSE_SPEC)
def merge_reverses(x: Value, d: Dimensions, e: Dimensions) -> Any:
    """reverse(reverse(x, d), e) = reverse(x, d Δ e)"""
    return reverse(x, symmetric_difference(d, e))


@rule(lambda f, x, d: reverse(unary(f, x), d), numerics=BITWISE, source=REVERSE_SPEC)
def push_reverse_through_unary(f: Any, x: Value, d: Dimensions) -> Any:
    """reverse(f(x)) = f(reverse(x))"""
    return unary(f, reverse(x, d))


@rule(lambda f, x, d: unary(f, reverse(x, d)), numerics=BITWISE, source=REVERSE_SPEC)
def pull_reverse_out_of_unary(f: Any, x: Value, d: Dimensions) -> Any:
    """f(reverse(x)) = reverse(f(x))"""
    return reverse(unary(f, x), d)


@rule(lambda f, x, y, d: reverse(binary(f, x, y), d), numerics=BITWISE, source=REVERSE_SPEC)
def push_reverse_through_binary(f: Any, x: Value, y: Value, d: Dimensions) -> Any:
    """reverse(f(x, y)) = f(reverse(x), reverse(y))"""
    return binary(f, reverse(x, d), reverse(y, d))


@rule(
    lambda f, x, y, d: binary(f, reverse(x, d), reverse(y, d)),
    numerics=BITWISE,
    source=REVERSE_SPEC,
)
def pull_reverse_out_of_binary(f: Any, x: Value, y: Value, d: Dimensions) -> Any:
    """f(reverse(x), reverse(y)) = reverse(f(x, y))"""
    return reverse(binary(f, x, y), d)


@rule(lambda f, x, y, z, d: reverse(ternary(f, x, y, z), d), numerics=BITWISE, source=REVERSE_SPEC)
def push_reverse_through_ternary(f: str, x: Value, y: Value, z: Value, d: Dimensions) -> Any:
    """reverse(f(x, y, z)) = f(reverse(x), reverse(y), reverse(z))"""
    return ternary(f, reverse(x, d), reverse(y, d), reverse(z, d))


@rule(lambda x, s, e, d: reverse(broadcast_in_dim(x, s, e), d), numerics=BITWISE,
      source=REVERSE_SPEC)  # fmt: skip
def reverse_before_broadcast(x: Value, s: Shape, e: Dimensions, d: Dimensions) -> Any:
    """reverse(broadcast(x)) = broadcast(reverse(x)), and x where only repeated dimensions turn"""
    own = [i for i, place in enumerate(e) if place in d and x.shape[i] > 1]
    return broadcast_in_dim(reverse(x, own), s, e)


@rule(lambda x, y, i, d: reverse(concatenate(x, y, i), d), numerics=BITWISE, source=REVERSE_SPEC)
def push_reverse_through_concatenate(x: Value, y: Value, i: int, d: Dimensions) -> Any:
    """reverse([x, y]) = [reverse(y), reverse(x)] along i if i is reversed, else in their order"""
    first, second = (y, x) if i in d else (x, y)
    return concatenate(reverse(first, d), reverse(second, d), i)


@rule(lambda x, v, a, b, c, d: reverse(pad(x, v, a, b, c), d), numerics=BITWISE,
      source=REVERSE_SPEC)  # fmt: skip
def push_reverse_through_pad(
    x: Value, v: Value, a: Dimensions, b: Dimensions, c: Dimensions, d: Dimensions
) -> Any:
    """reverse(pad(x, a, b)) = pad(reverse(x), b, a) along what is reversed"""
    low = [b[i] if i in d else n for i, n in enumerate(a)]
    high = [a[i] if i in d else n for i, n in enumerate(b)]
    return pad(reverse(x, d), v, low, high, c)


# Padding.


@rule(lambda x, v, a, b, c: pad(x, v, a, b, c), numerics=BITWISE, source=SPEC)
def drop_empty_pad(x: Value, v: Value, a: Dimensions, b: Dimensions, c: Dimensions) -> Any:
    """pad(x, v, 0, 0, c) = x if no dimension that c spreads has two elements"""
    need(not any(a + b) and all(n <= 1 or not inner for n, inner in zip(x.shape, c, strict=True)))
    return x


@rule(
    lambda x, v, a, b, c, d, e, f: pad(pad(x, v, a, b, c), v, d, e, f),
    numerics=BITWISE,
    source=SPEC,
)
def merge_pads(
    x: Value, v: Value, a: Dimensions, b: Dimensions, c: Dimensions,
    d: Dimensions, e: Dimensions, f: Dimensions,
) -> Any:  # fmt: skip
    """pad(pad(x, v, a, b, c), v, d, e, f) = pad(x, v, a·(f+1)+d, b·(f+1)+e, (c+1)·(f+1)-1)"""
    low, high, interior = [], [], []
    for n, inner_amounts, outer_amounts in zip(
        x.shape, zip(a, b, c, strict=True), zip(d, e, f, strict=True), strict=True
    ):
        below, above, between = inner_amounts
        spread = outer_amounts[2] + 1
        need(n > 0 and below + above + (n - 1) * (between + 1) + 1 > 0)
        # What the inner one crops must not come back.
        need(below >= 0 or outer_amounts[0] <= 0)
        need(above >= 0 or outer_amounts[1] <= 0)
        low.append(below * spread + outer_amounts[0])
        high.append(above * spread + outer_amounts[1])
        interior.append((between + 1) * spread - 1)
    return pad(x, v, low, high, interior)


@rule(lambda x, v, a, b, c: pad(x, v, a, b, c), numerics=BITWISE, source=SPEC)
def crop_before_pad(x: Value, v: Value, a: Dimensions, b: Dimensions, c: Dimensions) -> Any:
    """pad(x, v, a, b) = pad(x[-a:n+b], v, max(a, 0), max(b, 0)) where elements are not spread"""
    start = [max(-n, 0) for n in a]
    limit = [size + min(n, 0) for size, n in zip(x.shape, b, strict=True)]
    need(any(start) or any(n < 0 for n in b))
    for i, inner in enumerate(c):
        need((a[i] >= 0 and b[i] >= 0) or not inner)
        need(start[i] <= limit[i] and start[i] <= x.shape[i])
    cropped = slice_(x, start, limit, [1] * x.rank)
    return pad(cropped, v, [max(n, 0) for n in a], [max(n, 0) for n in b], c)


def _moved(x: Value, v: Value, below: Dimensions, above: Dimensions) -> Any:
    """x, moved along one dimension: cropped at one end by as much as is padded at the other."""
    moved = [i for i, n in enumerate(below) if n]
    need(len(moved) == 1 and all(-m == n for m, n in zip(below, above, strict=True)))
    need(abs(below[moved[0]]) < x.shape[moved[0]])
    return pad(x, v, below, above, (0,) * x.rank)


def _padded_at_one_end(rng: np.random.Generator) -> dict[str, Any]:
    """A tensor, and what crops it at the other end than where it is padded."""
    shape = tuple(rng.integers(2, 5, int(rng.integers(1, 4))).tolist())
    axis, none = int(rng.integers(0, len(shape))), [0] * len(shape)
    k, at = int(rng.integers(1, shape[axis])), bool(rng.random() < 0.5)
    low, high, start = list(none), list(none), list(none)
    (low if at else high)[axis] = k
    start[axis] = 0 if at else k
    x = TensorType(shape, str(rng.choice(["f32", "i32"])))
    padding = {"a": tuple(low), "b": tuple(high), "c": tuple(none), "d": tuple(start)}
    return {"x": x, "v": x.with_shape(()), "f": (1,) * len(shape), **padding}


def _sliced(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _padded_at_one_end(rng)
    return drawn | {"e": tuple(n + m for n, m in zip(drawn["d"], drawn["x"].shape, strict=True))}


def _cropped(rng: np.random.Generator) -> dict[str, Any]:
    """Now and then one more is cropped, and padded again, which is no movement."""
    drawn = _padded_at_one_end(rng)
    shape, again = drawn["x"].shape, int(rng.random() < 0.3)
    limit = [n - m for n, m in zip(shape, drawn["a"], strict=True)]
    below = [again * (n > 0) for n in drawn["d"]]
    above = [again * (k < n) for k, n in zip(limit, shape, strict=True)]
    ends = {"a": below, "b": above, "d": below, "e": [-n for n in above]}
    drawn["e"] = limit
    return drawn | {
        name: tuple(n + m for n, m in zip(drawn[name], more, strict=True))
        for name, more in ends.items()
    }


@rule(
    lambda x, v, a, b, c, d, e, f: slice_(pad(x, v, a, b, c), d, e, f),
    numerics=BITWISE,
    source=SPEC,
    examples=_sliced,
)
def move_by_slice_of_pad(
    x: Value, v: Value, a: Dimensions, b: Dimensions, c: Dimensions,
    d: Dimensions, e: Dimensions, f: Dimensions,
) -> Any:  # fmt: skip
    """pad(x, v, k, 0)[:n] = pad(x, v, k, -k): x of n elements, moved by k; the other way too"""
    need(not any(c) and set(f) <= {1})
    below = tuple(n - m for n, m in zip(a, d, strict=True))
    above = tuple(n - m - k for n, m, k in zip(e, x.shape, a, strict=True))
    return _moved(x, v, below, above)


@rule(
    lambda x, v, d, e, f, a, b, c: pad(slice_(x, d, e, f), v, a, b, c),
    numerics=BITWISE,
    source=SPEC,
    examples=_cropped,
)
def move_by_pad_of_slice(
    x: Value, v: Value, d: Dimensions, e: Dimensions, f: Dimensions,
    a: Dimensions, b: Dimensions, c: Dimensions,
) -> Any:  # fmt: skip
    """pad(x[:n-k], v, k, 0) = pad(x, v, k, -k): x of n elements, moved by k; the other way too"""
    need(not any(c) and set(f) <= {1} and min((*a, *b), default=0) >= 0)
    # What is padded where it was cropped is not there again.
    need(not any(n and m for n, m in zip(a, d, strict=True)))
    need(not any(n and size > k for n, size, k in zip(b, x.shape, e, strict=True)))
    below = tuple(n - m for n, m in zip(a, d, strict=True))
    above = tuple(n - (m - k) for n, m, k in zip(b, x.shape, e, strict=True))
    return _moved(x, v, below, above)


@rule(lambda f, x, v, a, b, c: unary(f, pad(x, v, a, b, c)), numerics=BITWISE, source=SPEC)
def unary_before_pad(
    f: Any, x: Value, v: Value, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """f(pad(x, v)) = pad(f(x), f(v))"""
    return pad(unary(f, x), unary(f, v), a, b, c)


@rule(
    lambda f, x, y, v, w, a, b, c: binary(f, pad(x, v, a, b, c), pad(y, w, a, b, c)),
    numerics=BITWISE,
    source=SPEC,
)
def binary_before_pad(
    f: Any, x: Value, y: Value, v: Value, w: Value, a: Dimensions, b: Dimensions, c: Dimensions
) -> Any:
    """f(pad(x, v), pad(y, w)) = pad(f(x, y), f(v, w))"""
    need(x.shape == y.shape)
    return pad(binary(f, x, y), binary(f, v, w), a, b, c)


@rule(
    lambda f, x, v, a, b, c, k: binary(f, pad(x, v, a, b, c), constant(k)),
    numerics=BITWISE,
    source=SPEC,
)
def binary_with_constant_before_pad(
    f: Any, x: Value, v: Value, a: Dimensions, b: Dimensions, c: Dimensions, k: Literal
) -> Any:
    """f(pad(x, v), k) = pad(f(x, k), f(v, k)) if all elements of k are equal"""
    need(k.is_splat)
    inside = full(k.value, TensorType(x.shape, k.type.dtype))
    outside = full(k.value, TensorType((), k.type.dtype))
    return pad(binary(f, x, inside), binary(f, v, outside), a, b, c)
