"""Products with known matrices of few diagonals equal the sums of shifted operands they become."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import assert_sides_agree, found_by
from running import normal, program_of

from saturax.proposals.banded_products import bands_of, use_bands
from saturax.rules.rule import BITWISE

N = 32
LAPLACE = (np.eye(N, k=1) + np.eye(N, k=-1) - 2 * np.eye(N)).astype(np.float32)
PERIODIC = LAPLACE + np.eye(N, k=N - 1, dtype=np.float32) + np.eye(N, k=1 - N, dtype=np.float32)
PAIRS = np.kron(np.eye(N // 2), np.full((1, 2), 0.5)).astype(np.float32)
STEEP = (np.diag(np.arange(1.0, N)[::-1], 1) + np.eye(N)).astype(np.float32)


def resized(size, method):
    return lambda x: jax.image.resize(x, (2, size, 3), method)


@pytest.mark.parametrize(
    ("matrix", "count", "terms"),
    [
        (LAPLACE, 1, 3), (PERIODIC, 1, 5), (PAIRS, 1, 2), (PAIRS.T, 2, 2), (STEEP, 1, 2),
        (np.kron(np.eye(N), np.ones((3, 1))), 3, 3),
    ],
    ids=["Laplace", "periodic", "means of pairs", "repeated", "varying", "three times"],
)  # fmt: skip
def test_phases_and_terms(matrix, count, terms):
    bands = bands_of(matrix)
    assert (len(bands.phases), bands.terms) == (count, terms)


@pytest.mark.parametrize(
    "matrix", [normal(N, N), np.zeros((N, N)), np.tri(N), np.full((N, N), np.nan)]
)
def test_matrices_without_few_diagonals(matrix):
    assert bands_of(np.asarray(matrix)) is None


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: LAPLACE @ x, (N, 5)),
        (lambda x: x @ LAPLACE + PERIODIC @ x, (N, N)),
        (lambda x: jnp.einsum("ij,ajb->bia", PAIRS, x), (3, N, 2)),
        (lambda x: jnp.einsum("ji,ajb->aib", PAIRS, x), (3, N // 2, 2)),
        (lambda x: jnp.einsum("ajb,ij->abi", x, STEEP), (3, N, 2)),
        (lambda x: STEEP.T @ x, (N,)),
        (resized(48, "bilinear"), (2, N, 3)),
        (resized(2 * N, "bilinear"), (2, N, 3)),
        (resized(N // 2, "linear"), (2, N, 3)),
        (resized(2 * N, "cubic"), (2, N, 3)),
    ],
)
def test_shifted_sums_equal_products(function, shape):
    x = normal(*shape)
    equalities = found_by(use_bands, program_of(function, x).graph)
    assert equalities.pairs
    assert_sides_agree(equalities, [x], 1e-6)  # weights are those that f32 gives


def test_only_what_may_round_is_written_as_a_sum():
    graph = program_of(lambda x: LAPLACE @ x, normal(N, 4)).graph
    assert not found_by(use_bands, graph, BITWISE).pairs
    infinite = program_of(lambda x: (LAPLACE + np.float32(np.inf)) @ x, normal(N, 4)).graph
    assert not found_by(use_bands, infinite).pairs


def test_zeros_beside_infinities_are_not_left_out():
    """0 · -∞ is NaN: a product has it where the sum of its few terms has none."""

    def masked(x):
        return LAPLACE @ jnp.where(x > 0, x, -jnp.inf)

    assert not found_by(use_bands, program_of(masked, normal(N, 4)).graph).pairs
