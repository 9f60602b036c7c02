"""False rules on operations that move elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.ops import (
    GatherDimensions,
    add,
    binary,
    broadcast_in_dim,
    concatenate,
    constant,
    dynamic_slice,
    dynamic_update_slice,
    full,
    full_like,
    gather,
    iota,
    multiply,
    negate,
    pad,
    reshape,
    reverse,
    slice_,
    subtract,
    transpose,
)
from saturax.graph.types import TensorType
from saturax.rules import monotone, padding
from saturax.rules.rule import BITWISE, need

from .declare import false_rule

# ------------------------------------------------------------------ layout


@false_rule(lambda x, p, q: transpose(transpose(x, p), q), BITWISE, "types", "bits")
def compose_backwards(x, p, q):
    """(xᵖ)ᑫ = x^(q∘p)"""
    return transpose(x, tuple(q[i] for i in p))


@false_rule(lambda x, p, q: transpose(transpose(x, p), q), BITWISE, "bits", "integers")
def compose_backwards_where_it_fits(x, p, q):
    """(xᵖ)ᑫ = x^(q∘p) if all sizes are equal"""
    need(len(set(x.shape)) == 1)
    return transpose(x, tuple(q[i] for i in p))


@false_rule(lambda x, p: transpose(transpose(x, p), p), BITWISE, "bits", "integers")
def transpose_is_an_involution(x, p):
    """(xᵖ)ᵖ = x if the shape returns"""
    need(tuple(x.shape[p[i]] for i in p) == x.shape)
    return x


@false_rule(lambda x, p, s: reshape(transpose(x, p), s), BITWISE, "bits", "integers")
def reshape_ignores_transpose(x, p, s):
    """reshape(xᵖ) = reshape(x)"""
    return reshape(x, s)


@false_rule(lambda x, d, a, b, s: slice_(reverse(x, d), a, b, s), BITWISE, "bits", "integers")
def slice_of_reverse_off_by_one(x, d, a, b, s):
    """reverse(x)[a:b] = reverse(x[n-b-1:n-a-1])"""
    need(all(step == 1 for step in s) and all(b[i] < x.shape[i] for i in d))
    start = tuple(x.shape[i] - b[i] - 1 if i in d else a[i] for i in range(x.rank))
    limit = tuple(x.shape[i] - a[i] - 1 if i in d else b[i] for i in range(x.rank))
    return reverse(slice_(x, start, limit, s), d)


@false_rule(
    lambda x, a, b, s, c, d, t: slice_(slice_(x, a, b, s), c, d, t), BITWISE, "bits", "integers"
)
def merge_slices_without_stride(x, a, b, s, c, d, t):
    """x[a:b:s][c:d:t] = x[a+c:a+d:t]"""
    return slice_(
        x,
        tuple(i + j for i, j in zip(a, c, strict=True)),
        tuple(i + j for i, j in zip(a, d, strict=True)),
        t,
    )


@false_rule(lambda x, y, e, a, b, s: slice_(concatenate(x, y, e), a, b, s), BITWISE, "raised")
def slice_left_part_off_by_one(x, y, e, a, b, s):
    """(x, y)[a:b] = x[a:b] if b ≤ n + 1"""
    need(b[e] <= x.shape[e] + 1 and all(i <= n for i, n in zip(a, x.shape, strict=True)))
    return slice_(x, a, b, s)


@false_rule(
    lambda x, v, a, b, w, c, d: pad(pad(x, v, a, b, (0,)), w, c, d, (0,)),
    BITWISE,
    "bits",
    "integers",
)
def merge_pads_of_two_values(x, v, a, b, w, c, d):
    """pad(pad(x, v), w) = pad(x, v)"""
    need(min(a + b + c + d) >= 0)
    return pad(x, v, (a[0] + c[0],), (b[0] + d[0],), (0,))


@false_rule(
    lambda x, y, v, a, b, i: multiply(pad(x, v, a, b, i), pad(y, v, a, b, i)),
    BITWISE,
    "bits",
    "integers",
)
def pad_product_with_wrong_value(x, y, v, a, b, i):
    """pad(x, v) · pad(y, v) = pad(x · y, v)"""
    return pad(multiply(x, y), v, a, b, i)


@false_rule(lambda x, d, e: reverse(reverse(x, d), e), BITWISE, "bits", "integers")
def unite_reverses(x, d, e):
    """reverse(reverse(x, d), e) = reverse(x, d ∪ e)"""
    return reverse(x, tuple(sorted({*d, *e})))


@false_rule(lambda x, y, d: concatenate(x, y, d), BITWISE, "bits", "integers", "explosive")
def commute_concatenate(x, y, d):
    """(x, y) = (y, x) if the shapes agree"""
    need(x.type == y.type)
    return concatenate(y, x, d)


@false_rule(lambda x, y, z, d, e: concatenate(concatenate(x, y, d), z, e), BITWISE, "raised")
def associate_concatenate_of_any_dimensions(x, y, z, d, e):
    """((x, y), z) = (x, (y, z))"""
    return concatenate(x, concatenate(y, z, e), d)


@false_rule(
    lambda x, i, j, m, n: dynamic_slice(dynamic_slice(x, [i], m), [j], n),
    BITWISE,
    "bits",
    "integers",
)
def merge_dynamic_slices_without_clamping(x, i, j, m, n):
    """x[i:i+m][j:j+n] = x[i+j:i+j+n]"""
    need(i.dtype == j.dtype == "i32")
    return dynamic_slice(x, [add(i, j)], n)


@false_rule(lambda t, d: reverse(iota(0, t), d), BITWISE, "bits", "integers")
def reverse_iota_off_by_one(t, d):
    """reverse(0 … n-1) = n - (0 … n-1)"""
    need(d == (0,))
    line = iota(0, t)
    return subtract(full_like(line, t.shape[0]), line)


@false_rule(
    lambda x, s, d, t, e: broadcast_in_dim(broadcast_in_dim(x, s, d), t, e),
    BITWISE,
    "bits",
    "types",
    "raised",
    "integers",
)
def merge_broadcasts_backwards(x, s, d, t, e):
    """Broadcasting along d, then e is broadcasting along d∘e"""
    need(all(i < len(d) for i in e))
    return broadcast_in_dim(x, t, tuple(d[i] for i in e)[: x.rank])


# ------------------------------------------------------------------ indexing


@false_rule(
    lambda x, y, i, d, n, b: gather(multiply(x, y), i, d, n, b), BITWISE, "bits", "integers"
)
def gather_one_factor(x, y, i, d, n, b):
    """gather(x · y, i) = gather(x, i) · y if the types agree"""
    rows = gather(x, i, d, n, b)
    need(rows.type == y.type)
    return multiply(rows, y)


def _row_gathers(rng: np.random.Generator) -> dict[str, Any]:
    rows, columns = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    return {
        "x": TensorType((rows, columns), "f32"),
        "i": TensorType((4, 1), "i32"),
        "d": GatherDimensions((1,), (0,), (), (), (0,), 1),
        "n": (1, columns),
        "e": (0,),
    }


@false_rule(
    lambda x, i, d, n, b, e: gather(reverse(x, e), i, d, n, b),
    BITWISE,
    "bits",
    examples=_row_gathers,
)
def gather_from_the_end(x, i, d, n, b, e):
    """reverse(x)[i] = x[-i]"""
    return gather(x, negate(i), d, n, b)


@false_rule(
    lambda g, x, y, a, b, u, v, s, k: binary(
        g, monotone._rotated(x, a, b, u, v, s, k), monotone._rotated(y, a, b, u, v, s, k)
    ),
    BITWISE,
    "bits",
    "integers",
    examples=monotone.binary_before_rotation.examples,
)
def turn_one_operand_only(g, x, y, a, b, u, v, s, k):
    """f([x[i:], x[:i]], [y[i:], y[:i]]) = f([x[i:], x[:i]], y)"""
    need(x.shape == y.shape and set(s) == {1} and u[k] == 0 and v[k] == a[k] and b[k] == x.shape[k])
    return binary(g, monotone._rotated(x, a, b, u, v, s, k), y)


@false_rule(
    lambda x, i, j, p, n: dynamic_slice(transpose(x, p), (i, j), n), BITWISE, "bits", "integers"
)
def slice_dynamically_at_untransposed_indices(x, i, j, p, n):
    """xᵀ[i, j] = (x[i, j])ᵀ"""
    need(p == (1, 0) and n != x.shape[::-1])
    return transpose(dynamic_slice(x, (i, j), n[::-1]), p)


@false_rule(
    lambda x, v, a, b, c, d, e, f: slice_(pad(x, v, a, b, c), d, e, f),
    BITWISE,
    "bits",
    "types",
    "integers",
    examples=padding.move_by_slice_of_pad.examples,
)
def slice_of_pad_moves_back(x, v, a, b, c, d, e, f):
    """pad(x, v, k, 0)[:n] = pad(x, v, -k, k)"""
    need(not any(c) and set(f) <= {1} and any(a) and not any(b) and not any(d))
    return pad(x, v, [-n for n in a], a, c)


@false_rule(
    lambda x, u, i, a, b, c: dynamic_update_slice(x, add(slice_(x, a, b, c), u), [constant(i)]),
    BITWISE,
    "bits",
    "integers",
)
def update_of_another_window(x, u, i, a, b, c):
    """x, updated with x[a:b] + u at i = x + pad(u), wherever the window is"""
    need(set(c) == {1} and u.size > 0)
    high = [n - last for n, last in zip(x.shape, b, strict=True)]
    return add(x, pad(u, full(0, TensorType((), x.dtype)), a, high, (0,)))
