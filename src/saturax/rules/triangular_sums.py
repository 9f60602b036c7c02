"""Products with a triangle of ones: cumulative sums.

The triangle is what JAX makes of `tril(ones)`: two counts compared, converted to numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ops import (
    Cumulation,
    DotDimensions,
    Precision,
    compare,
    convert,
    dot_general,
    full,
    iota,
    pad,
)
from saturax.graph.types import TensorType
from saturax.rules.arithmetic import accumulation_dtype, is_uniform
from saturax.rules.conditions import INTEGERS, REALS
from saturax.rules.cumulative import cumulative
from saturax.rules.einsum import Einsum, einsum_of
from saturax.rules.facts import has_numbers, iota_of
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to
from saturax.rules.rule import ROUNDING, Examples, Rule, need, rule

SCAN = "definition of the cumulative sum"


class Triangle(NamedTuple):
    """A square matrix that is true where index `larger` ≥ index `smaller`, or > if `is_strict`."""

    larger: int
    smaller: int
    is_strict: bool


def _triangle(a: Value, b: Value, o: str) -> Triangle:
    """The triangle in which the counts a and b compare so; the rule does not apply to others."""
    first, second = iota_of(a), iota_of(b)
    need(first is not None and second is not None and a.rank == 2 and a.shape[0] == a.shape[1] > 1)
    assert first is not None
    assert second is not None
    strides = [i - j for i, j in zip(first.strides, second.strides, strict=True)]
    offset = first.offset - second.offset
    if o in ("LE", "LT"):
        strides, offset = [-s for s in strides], -offset
    offset -= o in ("GT", "LT")
    need(o in ("GE", "GT", "LE", "LT") and sorted(strides) == [-1, 1] and offset in (0, -1))
    return Triangle(strides.index(1), strides.index(-1), offset == -1)


def _sums(t: Triangle, x: Value, labels: Einsum) -> Any:
    """The product of the triangle, whose dimensions `labels.x` names, with x."""
    shared = [d for d in (0, 1) if labels.x[d] in labels.y]
    need(len(shared) == 1 and labels.x[shared[0]] not in labels.result)
    axis = labels.y.index(labels.x[shared[0]])
    is_reversed = shared[0] == t.larger
    found = cumulative("add", x, Cumulation(axis, is_reversed))
    if t.is_strict:
        shift = tuple(int(d == axis) for d in range(x.rank))
        back, none = tuple(-s for s in shift), (0,) * x.rank
        low, high = (back, shift) if is_reversed else (shift, back)
        found = pad(found, full(0, TensorType((), x.dtype)), low, high, none)
    own = tuple(labels.x[1 - shared[0]] if d == axis else k for d, k in enumerate(labels.y))
    return transposed(found, permutation_to(own, labels.result))


def _example(is_left: bool) -> Examples:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        n, m = int(rng.integers(2, 5)), int(rng.integers(1, 4))
        builder = GraphBuilder()
        counts = TensorType((n, n), "i32")
        rows = int(rng.integers(0, 2))
        with building(builder):
            a = builder.finish([iota(rows, counts)])
        builder = GraphBuilder()
        with building(builder):
            b = builder.finish([iota(1 - rows, counts)])
        own, place = (int(k) for k in rng.integers(0, 2, 2))
        w = TensorType((n, m) if place == 0 else (m, n), "f64")
        d = DotDimensions((), (), (own,), (place,))
        d = d if is_left else DotDimensions((), (), (place,), (own,))
        o = str(rng.choice(["GE", "GT", "LE", "LT"]))
        return {"a": a, "b": b, "o": o, "k": "SIGNED", "r": "f64", "w": w, "d": d, "t": "f64"}

    return draw


def _rule(*, is_left: bool) -> Rule:
    def left(a, b, o, k, r, w, d, p, t):
        triangle = convert(compare(a, b, o, k), r)
        return dot_general(*((triangle, w) if is_left else (w, triangle)), d, p, t)

    def right(
        a: Value, b: Value, o: Any, k: Any, r: Any, w: Value, d: Any, p: Precision, t: str
    ) -> Any:
        need(is_uniform(t, w) and r == t and accumulation_dtype(t) == t and w.size > 0)
        need(has_numbers(w))
        need(t in REALS or t in INTEGERS)
        triangle, d = _triangle(a, b, o), DotDimensions(*d)
        if is_left:
            return _sums(triangle, w, einsum_of(d, 2, w.rank))
        labels = einsum_of(d, w.rank, 2)
        return _sums(triangle, w, Einsum(labels.y, labels.x, labels.result))

    right.__name__ = f"dot_with_triangle_of_ones_{'left' if is_left else 'right'}"
    product = "T · x" if is_left else "x · T"
    right.__doc__ = f"{product} = cumsum(x), reversed or not, for a triangle T of ones"
    return rule(left, numerics=ROUNDING, source=SCAN, uses_facts=True, examples=_example(is_left))(
        right
    )


dot_with_triangle_of_ones_left = _rule(is_left=True)
dot_with_triangle_of_ones_right = _rule(is_left=False)
