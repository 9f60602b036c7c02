"""Solves, Cholesky factors and determinants of programs are recognised; what they equal holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import pytest

from saturax.graph.build import prune
from saturax.graph.ir import Graph
from saturax.graph.reference import evaluate
from saturax.proposals import propose
from saturax.rules.rule import BITWISE, FINITE, ROUNDING
from saturax.stablehlo import import_module

N = 4
A = np.random.default_rng(0).normal(size=(N, N)) + 3 * np.eye(N)
B = np.random.default_rng(1).normal(size=(N, 3))
BATCH = np.stack([A, A + 1, A.T])


def slogdet(a: Any) -> Any:
    return jnp.linalg.slogdet(a)[1]


def ridge(x: Any, y: Any) -> Any:
    return jnp.linalg.solve(x.T @ x + 0.5 * jnp.eye(x.shape[1]), x.T @ y)


def outer_ridge(x: Any) -> Any:
    return slogdet(jnp.eye(x.shape[0]) + x @ x.T / 2)


def definite_solution(x: Any, y: Any) -> Any:
    return jsl.cho_solve(jsl.cho_factor(jnp.eye(x.shape[0]) + x @ x.T), y)


def lower_solution(x: Any, y: Any) -> Any:
    factor = jnp.linalg.cholesky(jnp.eye(x.shape[0]) + x @ x.T)
    half = jsl.solve_triangular(factor, y, lower=True)
    return jsl.solve_triangular(factor, half, lower=True, trans=1)


def definite_determinant(x: Any) -> Any:
    factor = jnp.linalg.cholesky(jnp.eye(x.shape[0]) + x @ x.T)
    return 2 * jnp.sum(jnp.log(jnp.diag(factor)))


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], set[str]]] = {
    "solve vector": (jnp.linalg.solve, (A, B[:, 0]), {"solve"}),
    "solve matrix": (jnp.linalg.solve, (A, B), {"solve"}),
    "inverse": (jnp.linalg.inv, (A,), {"solve"}),
    "batch of inverses": (jnp.linalg.inv, (BATCH,), {"solve"}),
    "vmapped over columns": (jax.vmap(jnp.linalg.solve, (None, 1)), (A, B), {"solve"}),
    "vmapped over both": (
        jax.vmap(jnp.linalg.solve, (0, None)), (BATCH, B), {"solve"},
    ),
    "lu_solve": (lambda a, b: jsl.lu_solve(jsl.lu_factor(a), b), (A, B), {"solve"}),
    "lu_solve transposed": (
        lambda a, b: jsl.lu_solve(jsl.lu_factor(a), b, trans=1), (A, B), {"solve"},
    ),
    "gradient": (
        jax.grad(lambda a, b: jnp.linalg.solve(a, b).sum(), 1), (A, B[:, 0]), {"solve"},
    ),
    "gradient of a batch": (
        jax.grad(lambda a, b: jnp.linalg.solve(a, b).sum(), 1), (BATCH, BATCH), {"solve"},
    ),
    "determinant": (slogdet, (A,), {"log_abs_determinant"}),
    "sign": (jnp.linalg.det, (-A,), {"log_abs_determinant", "determinant_sign"}),
    "signs": (jnp.linalg.slogdet, (BATCH,), {"log_abs_determinant", "determinant_sign"}),
    "determinants": (slogdet, (BATCH,), {"log_abs_determinant"}),
    "cholesky": (jnp.linalg.cholesky, (A @ A.T,), {"cholesky"}),
    "choleskys": (jnp.linalg.cholesky, (BATCH @ BATCH.swapaxes(1, 2),), {"cholesky"}),
    "ridge": (ridge, (A, B), {"solve", "cholesky_call"}),
    "solve by Cholesky": (definite_solution, (B, B[:4]), {"solve"}),
    "solve by its lower factor": (lower_solution, (B, B[:4]), {"solve"}),
    "determinant by Cholesky": (definite_determinant, (B,), {"log_abs_determinant"}),
    "ridge determinant": (outer_ridge, (B,), {"log_abs_determinant", "cholesky_call"}),
}  # fmt: skip


def imported(f: Callable[..., Any], arguments: tuple[Any, ...]) -> Graph:
    module: Any = jax.jit(f).lower(*arguments).compiler_ir("stablehlo")
    return import_module(module).graph


@pytest.mark.parametrize("name", PROGRAMS)
def test_notions_are_found_and_equal(name: str) -> None:
    f, arguments, expected = PROGRAMS[name]
    with jax.enable_x64(True):
        found = propose(imported(f, arguments))
    reasons = ("recognize_notions", "choose_branches")
    pairs = [(i, j) for i, j, reason in found.pairs if reason in reasons]
    assert expected <= {node.op for node in found.nodes}
    for i, j in pairs:
        both = prune(Graph(found.graph.inputs, tuple(found.nodes), (j,)))
        nodes = [
            node.op for node in prune(Graph(found.graph.inputs, tuple(found.nodes), (i,))).nodes
        ]
        if any("." in op for op in nodes):
            continue
        original = prune(Graph(found.graph.inputs, tuple(found.nodes), (i,)))
        (want,), (have,) = (evaluate(graph, arguments) for graph in (original, both))
        np.testing.assert_allclose(have, want, 1e-9, 1e-9)


def test_a_determinant_is_stated_with_its_check_for_zeros() -> None:
    found = propose(imported(slogdet, (A.astype(np.float32),)))
    pairs = [(found.nodes[i], found.nodes[j].op) for i, j, _ in found.pairs]
    assert "log_abs_determinant" in [op for node, op in pairs if node.attributes == ("select",)]


def test_nothing_is_found_where_rounding_is_not_admitted() -> None:
    graph = imported(jnp.linalg.inv, (A.astype(np.float32),))
    assert [r for _, _, r in propose(graph, ROUNDING).pairs if r == "recognize_notions"]
    assert not [r for _, _, r in propose(graph, BITWISE).pairs if r == "recognize_notions"]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: jnp.linalg.inv(x.T @ x - 0.5 * jnp.eye(3)),
        lambda x: jnp.linalg.inv(x.T @ x + 0.5),
        lambda x: jnp.linalg.inv(x.T @ (x + 1) + jnp.eye(3)),
        lambda x: jnp.linalg.inv(x[:3] @ x[:3] + jnp.eye(3)),
        lambda x: jnp.linalg.inv(x.T @ x + x[0, 0] * jnp.eye(3)),
        lambda x: jnp.linalg.inv(x.T @ x),
    ],
)
def test_what_is_not_positive_definite_is_not_taken_for_it(f: Callable[..., Any]) -> None:
    found = propose(imported(f, (B.astype(np.float32),)))
    assert "cholesky_call" not in {node.op for node in found.nodes}


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: jsl.cho_solve(jsl.cho_factor(x), y),
        lambda x, y: jsl.cho_solve((jsl.cho_factor(jnp.eye(N) + x @ x.T)[0], True), y),
        lambda x, y: (lambda f: jsl.solve_triangular(f, f, lower=True))(
            jnp.linalg.cholesky(jnp.eye(N) + x @ x.T)
        ),
    ],
)
def test_other_triangular_solves_are_no_solve_by_cholesky(f: Callable[..., Any]) -> None:
    found = propose(imported(f, (A, B)), FINITE)
    assert "solve" not in {node.op for node in found.nodes}


def test_a_factor_that_is_a_number_proves_gram_matrices_definite() -> None:
    def solution(x: Any, y: Any) -> Any:
        return jsl.cho_solve(jsl.cho_factor(x @ x.T), y)

    graph = imported(solution, (A, B))
    assert "solve" not in {node.op for node in propose(graph, ROUNDING).nodes}
    assert "solve" in {node.op for node in propose(graph, FINITE).nodes}


def test_other_permutations_are_no_solve() -> None:
    def reversed_rows(a: Any, b: Any) -> Any:
        factors, _ = jsl.lu_factor(a)
        half = jsl.solve_triangular(factors, b[::-1], lower=True, unit_diagonal=True)
        return jsl.solve_triangular(factors, half)

    def other_matrix(a: Any, b: Any) -> Any:
        factors, _ = jsl.lu_factor(a)
        return jsl.lu_solve((factors, jsl.lu_factor(a + 1)[1]), b)

    def unchecked(a: Any, b: Any) -> Any:
        factors, pivots = jsl.lu_factor(a)
        return jsl.lu_solve((factors + 1, pivots), b)

    for f in (reversed_rows, other_matrix, unchecked):
        found = propose(imported(f, (A.astype(np.float32), B.astype(np.float32))))
        assert "solve" not in {node.op for node in found.nodes}
