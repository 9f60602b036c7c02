"""Sums of moved copies, along one dimension before another."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import operations_of, proposed
from running import normal

from saturax.proposals.moved_sums import sum_along_dimensions

X, Y = normal(8, 9), normal(8, 9, seed=1)
Z = normal(6, 7, 8)
WHOLE = (9 * X).astype(np.int32)
BLUR = np.outer([1.0, 4.0, 6.0, 4.0, 1.0], [0.1, 0.2, 0.4, 0.2, 0.1]).astype(np.float32)
AROUND = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]


def _rolled(x, places):
    return sum((jnp.roll(x, place, range(len(place))) for place in places[1:]),
               jnp.roll(x, places[0], range(len(places[0]))))  # fmt: skip


def _sliced(x, weights, stride=1):
    n, m = (size - w + 1 for size, w in zip(x.shape, weights.shape, strict=True))
    total = None
    for i, j in np.ndindex(weights.shape):
        term = weights[i, j] * x[i : i + n : stride, j : j + m : stride]
        total = term if total is None else total + term
    return total


def _padded(x, places):
    n, m = x.shape
    padded = jnp.pad(x, 1)
    total = None
    for i, j in places:
        term = padded[1 + i : 1 + i + n, 1 + j : 1 + j + m]
        total = term if total is None else total + term
    return total


def _separately_padded(x):
    total = None
    for i, j in AROUND:
        rows = ((i + 1, 1 - i), (j + 1, 1 - j))
        total = jnp.pad(x, rows) if total is None else total + jnp.pad(x, rows)
    return total


@pytest.mark.parametrize(
    ("function", "arguments", "counts"),
    [
        (lambda x: _rolled(x, AROUND), (X,), {"add": 4}),
        (lambda x: _rolled(x, AROUND), (WHOLE,), {"add": 4}),
        (lambda x: _rolled(x, AROUND) - x, (X,), {"add": 4}),  # x cancels, or is subtracted
        (lambda x: _rolled(x, [p for p in AROUND if any(p)]), (WHOLE,), {"add": 4}),
        (lambda x: _sliced(x, np.ones((3, 3), np.float32)), (X,), {"add": 4}),
        (lambda x: _sliced(x, np.ones((4, 4), np.float32), 2), (X,), {"add": 6}),
        (lambda x: _padded(x, AROUND), (X,), {"add": 4}),
        (_separately_padded, (X,), {"add": 4}),
        (lambda x: _sliced(x, BLUR), (X,), {"add": 8, "multiply": 8}),
        (lambda x: _sliced(x, np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)[:, ::2]),
         (X,), {"add": 2, "subtract": 1, "multiply": 1}),
        (lambda x: _rolled(x, [(i, j, k) for i, j in AROUND for k in (-1, 0, 1)]), (Z,),
         {"add": 6}),
        (lambda x, y: y + _padded(x, AROUND), (X, Y), {"add": 5}),
        (lambda x, y: y * x + _padded(x, AROUND), (X, Y), {"add": 5, "multiply": 1}),
        # a biharmonic operator: thirteen points, in rows of one, three and five
        (lambda x: _rolled(x, [(i, j) for i in range(-2, 3) for j in range(-2, 3)
                               if abs(i) + abs(j) < 3]), (X,), {"add": 8}),
    ],
)  # fmt: skip
def test_taken_along_one_dimension_first(function, arguments, counts):
    found = operations_of(proposed(sum_along_dimensions, function, *arguments))
    assert {name: found[name] for name in counts} == counts


@pytest.mark.parametrize(
    "function",
    [
        lambda x: _padded(x, [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]),  # as many either way
        lambda x: _rolled(x, [(0, 0), (1, 1), (2, 2), (3, 3)]),  # a diagonal
        lambda x: _rolled(x, [(k,) for k in range(6)]),  # along one dimension only
        lambda x: jnp.sin(_rolled(x, AROUND[:3])) + x,
        # padded with ones: what is added up outside is not that
        lambda x: sum((jnp.pad(x, ((i, 2 - i), (j, 2 - j)), constant_values=1.0)
                       for i in range(3) for j in range(3)), jnp.zeros((10, 11))),
    ],
)  # fmt: skip
def test_nothing_to_take_first(function):
    assert proposed(sum_along_dimensions, function, X).pairs == []


def test_weights_that_are_nearly_products_stay():
    weights = BLUR.copy()
    weights[0, 0] *= np.float32(1 + 1e-5)
    found = operations_of(proposed(sum_along_dimensions, lambda x: _sliced(x, weights), X))
    assert found["add"] > 8


def test_rounded_weights_of_a_blur_are_products():
    taps = np.exp(-(np.arange(-2, 3, dtype=np.float32) ** 2) / 3)
    weights = np.outer(taps / taps.sum(), taps / taps.sum())
    found = operations_of(proposed(sum_along_dimensions, lambda x: _sliced(x, weights), X))
    assert found["add"] == 8


def test_only_what_is_seen_is_summed():
    found = proposed(sum_along_dimensions, lambda x: _sliced(x[:3, :5], np.ones((3, 3), "f4")), X)
    sizes = {n.type.size for n in found.nodes[len(found.graph.nodes) :] if n.op == "binary"}
    assert max(sizes) <= 15


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", [np.float32, np.int32, np.complex64])
def test_random_moves(seed, kind):
    rng = np.random.default_rng(seed)
    arguments = [(9 * x).astype(kind) for x in (X, Y)]
    weights = rng.choice([-2, -1, 1, 1, 1, 2], (5, 4))

    def move(x, axis, by):
        moves = [
            lambda x: jnp.roll(x, by, axis),
            lambda x: jnp.pad(x, [(by, 4 - by) if d == axis else (0, 0) for d in (0, 1)])[:8, :9],
            lambda x: jax.lax.slice_in_dim(
                jax.lax.pad(x, x.dtype.type(0), [(3, 9, int(d == axis)) for d in (0, 1)]),
                by, by + 8 + axis, axis=axis)[:8, :9],
        ]  # fmt: skip
        return moves[(seed + axis) % 3](x)

    def function(x, y):
        total = x * y
        for i, j in np.ndindex(weights.shape):
            moved = move(move((x, y)[seed % 2 * (i % 2)], 0, i), 1, j)
            total = total + weights[i, j].astype(kind) * moved
        return total

    proposed(sum_along_dimensions, function, *arguments)
