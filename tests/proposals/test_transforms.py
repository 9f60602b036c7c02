"""Products with computed Fourier matrices equal the transforms they become."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import assert_sides_agree, found_by
from running import normal, program_of

from saturax.proposals.transforms import use_transforms
from saturax.rules.rule import BITWISE

N = 32


def matrix(sign=-1, scale=1.0, n=N):
    counts = jnp.arange(n, dtype=jnp.float32)
    return jnp.exp(sign * 2j * jnp.pi * counts[:, None] * counts[None] / n) * scale


def signal(*shape):
    return (normal(*shape) + 1j * normal(*shape)[::-1]).astype(np.complex64)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: matrix() @ x, (N,)),
        (lambda x: matrix(1, 1 / N) @ x, (N, 3)),
        (lambda x: x @ matrix(1, 0.5), (3, N)),
        (lambda x: jnp.einsum("ij,ajb->bia", matrix(), x), (2, N, 3)),
        (lambda x: jnp.einsum("ajb,ji->iab", x, matrix(-1, 2j)), (2, N, 3)),
    ],
)
def test_transforms_equal_products(function, shape):
    x = signal(*shape)
    equalities = found_by(use_transforms, program_of(function, x).graph)
    assert len(equalities.pairs) == 1
    assert_sides_agree(equalities, [x], 1e-5)  # angles that are not reduced, and π, are f32's


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (matrix() + 0.01) @ x,
        lambda x: matrix()[:, ::-1] @ x,
        lambda x: matrix(n=2 * N)[:N, :N] @ x,
        lambda x: jnp.real(matrix()).astype(jnp.complex64) @ x,
        lambda x: (matrix() * x[0]) @ x,
    ],
)
def test_other_matrices_are_left_alone(function):
    assert not found_by(use_transforms, program_of(function, signal(N)).graph).pairs


def test_a_transform_rounds():
    graph = program_of(lambda x: matrix() @ x, signal(N)).graph
    assert not found_by(use_transforms, graph, BITWISE).pairs
