"""Sums and products modulo associativity and commutativity: factored, and with parts in common."""

from __future__ import annotations

from collections import Counter
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import assert_sides_agree, found_by, operations_of, proposed
from running import normal, program_of

from saturax.proposals.common_terms import share_terms
from saturax.proposals.sums import factor_sums
from saturax.rules.rule import FINITE

N = 6
A, B, C, D = (normal(N, N, seed=seed) for seed in range(4))


def _convolved(x, k):
    return jax.lax.conv_general_dilated(x, k, (1, 1), "SAME")


def _images(*shape):
    return [normal(*shape, seed=seed) for seed in range(4)]


@pytest.mark.parametrize(
    ("function", "arguments", "counts"),
    [
        (lambda x: 3 * x + jnp.sin(x) + 2 * x, (A,), {"multiply": 1, "add": 1}),
        (lambda x, y: (x + 1) + (y + 2), (A, B), {"add": 2}),
        (lambda x, y, z, w: x * y + w + x * z, (A, B, C, D), {"multiply": 1, "add": 2}),
        (lambda x, y, z: x * y - x * z - x, (A, B, C), {"multiply": 1, "subtract": 2}),
        (lambda x, y, z: x / z + y + B / z, (A, C, D + 9), {"divide": 1, "add": 2}),
        (lambda x, y, z: 2 * x + 2 * y - 2 * z, (A, B, C), {"multiply": 1}),
        (lambda x: x * x * x * 2 + x * x * 3 + x * 4 + 1, (A,), {"multiply": 3, "add": 3}),
        (lambda x: x * x * x * x * x * x, (A,), {"multiply": 3}),
        (lambda x, y: x**2 - 2 * x * y + y**2, (A, B), {"multiply": 1, "subtract": 1}),
        (lambda x: x * x + 1 + 2 * x, (A,), {"multiply": 1, "add": 1}),
        (lambda x, y: 12 * x * y + 4 * x * x + y * y * 9, (A, B), {"multiply": 3, "add": 1}),
        (lambda x, y: (x - y) ** 2 + 4 * x * y, (A, B), {"multiply": 1, "add": 1}),
        (lambda x, y, z: jnp.exp(x) * z * jnp.exp(y), (A, B, C), {"exponential": 1}),
        (lambda x, y, z: jnp.exp(x) * z / jnp.exp(y), (A, B, C), {"exponential": 1, "subtract": 1}),
        (lambda x, y, z, w: x / y / z / w, (A, B + 9, C + 9, D + 9), {"divide": 1, "multiply": 2}),
        (lambda a, b, c, d: a @ b + a @ c - a @ d, (A, B, C, D), {"dot_general": 1}),
        (lambda a, b, c, d: b @ a + d + c @ a, (A, B, C, D), {"dot_general": 1, "add": 2}),
        (lambda a, b, c: 2 * (a @ b) - 3 * (a @ c), (A, B, C), {"dot_general": 1}),
        (
            lambda x, k, m, n: _convolved(x, k) + _convolved(x, m) + _convolved(x, n),
            (*_images(1, 3, 5, 5)[:1], *_images(4, 3, 3, 3)[:3]),
            {"convolution": 1, "add": 2},
        ),
        (
            lambda k, x, y, z: _convolved(x, k) - _convolved(y, k) + _convolved(z, k),
            (*_images(4, 3, 3, 3)[:1], *_images(1, 3, 5, 5)[:3]),
            {"convolution": 1},
        ),
        (
            lambda a, b, c: reduce(jnp.add, [jnp.einsum("bij,bjk->bik", a, x) for x in (b, c, b)]),
            tuple(_images(2, 3, 3)[:3]),
            {"dot_general": 1},
        ),
    ],
)
def test_factored(function, arguments, counts):
    found = operations_of(proposed(factor_sums, function, *arguments))
    assert {name: found[name] for name in counts} == counts


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x * y + x,  # as many operations either way
        lambda x, y: (x * y + 1) * y,
        lambda x, y: x - x + y,  # 0 only where x is finite
        lambda x, y: x / x + y,
        lambda x, y: jnp.sin(x + y) * y,
        lambda x, y: (x + y) ** 2 - (x - y) ** 2,  # x² - x² is 0 only where x is finite
        lambda x, y: x * x - y * y,
    ],
)
def test_nothing_to_factor(function):
    assert proposed(factor_sums, function, A, B).pairs == []


def test_terms_that_cancel():
    function = lambda x, y: 2 * x + y - x - x - y  # noqa: E731
    graph = program_of(function, A, B).graph
    assert found_by(factor_sums, graph, FINITE).pairs
    whole = [(9 * z).astype(np.int32) for z in (A, B)]
    found = proposed(factor_sums, function, *whole)
    assert sum(operations_of(found).values()) == 1


@pytest.mark.parametrize(
    ("function", "counts"),
    [
        (lambda x, y: ((x + y) ** 2 - (x - y) ** 2) / 4, {"multiply": 1}),
        (lambda x, y: (x + y) ** 2 + (x - y) ** 2, {"multiply": 3, "add": 1}),
        (lambda x, y: (x + y) * (x - y) + y * y, {"multiply": 1}),
        (lambda x, y: (x - 1) ** 2 - (x + 1) ** 2 + y, {"multiply": 1, "subtract": 1}),
    ],
)
def test_products_of_sums_whose_terms_cancel(function, counts):
    found = found_by(factor_sums, program_of(function, A, B).graph, FINITE)
    operations = operations_of(found)
    assert {name: operations[name] for name in counts} == counts
    assert_sides_agree(found, [A, B])


@pytest.mark.parametrize(
    ("function", "multiplications"),
    [
        (lambda x, y: (y * jnp.sin(x)) ** 2 + (y * jnp.cos(x)) ** 2, 1),
        (lambda x, y: 3 * jnp.sin(x) ** 2 + y + 3 * jnp.cos(x) ** 2, 0),
        (lambda x, y: y * jnp.cosh(x) ** 2 - y * jnp.sinh(x) ** 2, 0),
        (
            lambda x, y: (
                (x * jnp.cos(y) - y * jnp.sin(y)) ** 2 + (x * jnp.sin(y) + y * jnp.cos(y)) ** 2
            ),
            2,
        ),
    ],
)
def test_sines_and_cosines_on_a_circle(function, multiplications):
    found = found_by(factor_sums, program_of(function, A, B).graph, FINITE)
    operations = operations_of(found)
    assert operations["multiply"] == multiplications
    assert not {"sine", "cosine", "chlo.sinh", "chlo.cosh"} & set(operations)
    assert_sides_agree(found, [A, B])


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: jnp.sin(x) ** 2 + jnp.cos(y) ** 2,
        lambda x, y: y * jnp.sin(x) ** 2 - y * jnp.cos(x) ** 2,
        lambda x, y: x * jnp.sin(x) ** 2 + y * jnp.cos(x) ** 2,
        lambda x, y: jnp.cosh(x) ** 2 + jnp.sinh(x) ** 2,
    ],
)
def test_what_is_no_circle_keeps_its_functions(function):
    found = found_by(factor_sums, program_of(function, A, B).graph, FINITE)
    assert_sides_agree(found, [A, B])
    assert not found.pairs or len(set(operations_of(found)) & {"sine", "cosine"}) == 2


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x * x + 4 * x * y + 4 * y * y,
        lambda x, y: x * x - x * y + y * y + 3 * x * y,
        lambda x, y: 9 * x * x + 6 * x + 1 - y,
    ],
)
def test_squares_of_integers(function):
    arguments = [(3e8 * z).astype(np.int32) for z in (A, B)]
    found = proposed(factor_sums, function, *arguments)
    assert operations_of(found)["multiply"] <= 2
    assert_sides_agree(found, arguments)


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.complex64])
def test_other_numbers(kind):
    arguments = [(9 * abs(z)).astype(kind) for z in (A, B, C)]
    assert proposed(factor_sums, lambda x, y, z: x * y + 5 * z - x * z, *arguments).pairs


def test_constants_that_overflow():
    function = lambda x, y: x * np.float16(6e4) + y + x * np.float16(6e4)  # noqa: E731
    arguments = [z.astype(np.float16) for z in (A, B)]
    found = found_by(factor_sums, program_of(function, *arguments).graph)
    assert not any("inf" in str(node.attributes) for node in found.nodes)


def test_parts_in_common():
    def function(a, b, c, d):
        return (a + b) + c, (b + c) + d, jnp.sin(c + (d + b))

    found = proposed(share_terms, function, A, B, C, D)
    new = found.nodes[len(found.graph.nodes) :]
    shared = Counter(operand for node in new for operand in node.operands)
    assert len(found.pairs) == 3
    assert len(new) + len({index for _, index, _ in found.pairs} - set(range(len(new)))) <= 6
    assert max(shared.values()) > 1


@pytest.mark.parametrize(
    ("function", "pairs"),
    [
        (lambda a, b, c, d: ((a - b) + c, (b - a) + d), 2),  # up to the sign
        (lambda a, b, c, d: ((a * b) * c, (c * b) * d, c / (a * d)), 2),
        (lambda a, b, c, d: (a / (b * c), d / (c * b)), 1),
        (lambda a, b, c, d: (a / b / c, d / c / b), 2),
        (lambda a, b, c, d: (a + b, c + d), 0),
        (lambda a, b, c, d: (a * b + c, a / b + d), 0),
        (lambda a, b, c, d: (2 * a + b + c, b + d + 2 * a), 2),
        (lambda a, b, c, d: ((a + b) + c, jnp.sum((c + a) + b)), 2),
    ],
)
def test_what_is_shared(function, pairs):
    assert len(proposed(share_terms, function, A, B + 9, C + 9, D).pairs) == pairs


@pytest.mark.parametrize("dtype", [jnp.int4, jnp.uint4, jnp.int8, jnp.bfloat16, jnp.float8_e4m3fn])
def test_terms_of_narrow_types_are_collected(dtype):
    x = jnp.ones((4, 4), dtype)
    assert proposed(factor_sums, lambda x, y, z: x * y + x * z, x, x, x).pairs
