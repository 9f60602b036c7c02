"""Factorisations, solves and transforms: imported exactly, and meaning what LAPACK computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
import pytest
from jax.export import export

from saturax.graph.ir import Graph, Program
from saturax.graph.ops.linear_algebra import Routine
from saturax.graph.reference import evaluate
from saturax.stablehlo import emit_module, import_module, widen
from saturax.stablehlo.routines import FORMS, read_call, write_call

DTYPES = ("float32", "float64", "complex128", "complex64")
SHAPES = ((4, 4), (1, 1), (3, 5, 5), (2, 1, 3, 3))


def positive(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Hermitian matrices with eigenvalues of about the size of the matrix and more."""
    x = drawn(shape, dtype, seed)
    return x @ np.conj(np.swapaxes(x, -1, -2)) + shape[-1] * np.eye(shape[-1], dtype=dtype)


def drawn(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if "complex" in dtype else x).astype(dtype)


def right_side(a: np.ndarray) -> np.ndarray:
    return drawn((*a.shape[:-1], 2), a.dtype.name, 1)


def lu(a: Any) -> Any:
    return jax.lax.linalg.lu(a)


def triangular(**options: bool) -> Callable[[Any, Any], Any]:
    def solved(a: Any, b: Any) -> Any:
        b = b if options["left_side"] else jnp.swapaxes(b, -1, -2)
        return jax.lax.linalg.triangular_solve(a, b, **options)

    return solved


def eigenvalues(a: Any) -> Any:
    values, vectors = jnp.linalg.eigh(a)
    return values, (vectors * values[..., None, :]) @ jnp.conj(jnp.swapaxes(vectors, -1, -2))


def multiplied_svd(a: Any) -> Any:
    left, values, right = jnp.linalg.svd(a, full_matrices=False)
    return values, (left * values[..., None, :]) @ right


FUNCTIONS: dict[str, tuple[Callable[..., Any], set[str]]] = {
    "lu": (lu, {"lu", "lu_permutation"}),
    "inverse": (jnp.linalg.inv, {"lu", "lu_permutation", "triangular_solve"}),
    "cholesky": (jnp.linalg.cholesky, {"cholesky_call"}),
    "qr": (lambda a: tuple(jnp.linalg.qr(a)), {"qr", "householder_product"}),
    "eigh": (eigenvalues, {"eigh"}),
    "svd": (multiplied_svd, {"svd"}),
    "singular_values": (lambda a: jnp.linalg.svd(a, compute_uv=False), {"svd"}),
    "solve": (lambda a: jnp.linalg.solve(a, a @ a + 1), {"lu", "lu_permutation"}),
}
for left in (True, False):
    for lower in (True, False):
        for transpose, conjugate in ((False, False), (True, False), (True, True)):
            name = f"triangular {left} {lower} {transpose} {conjugate}"
            options = {"left_side": left, "lower": lower, "unit_diagonal": left != lower}
            options |= {"transpose_a": transpose, "conjugate_a": conjugate}
            FUNCTIONS[name] = triangular(**options), {"triangular_solve"}


def arguments(name: str, a: np.ndarray) -> tuple[np.ndarray, ...]:
    return (a, right_side(a)) if name.startswith("triangular") else (a,)


def imported(f: Callable[..., Any], *arrays: Any, platform: str = "cpu") -> Program:
    exported = export(jax.jit(f), platforms=[platform])(*arrays)
    return import_module(exported.mlir_module_serialized)


def operations(graph: Graph) -> set[str]:
    return {node.op for node in graph.nodes}


def shapes_and_types() -> list[Any]:
    """All pairs; by default, each type runs with every other shape."""
    return [
        pytest.param(shape, dtype, marks=[pytest.mark.long] if (i + j) % 2 else [])
        for i, shape in enumerate(SHAPES)
        for j, dtype in enumerate(DTYPES)
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("shape", "dtype"), shapes_and_types())
def test_reference_agrees_with_lapack(name: str, shape: tuple[int, ...], dtype: str) -> None:
    f, expected = FUNCTIONS[name]
    with jax.enable_x64(True):
        inputs = arguments(name, positive(shape, dtype))
        program = imported(f, *inputs)
        assert expected <= operations(program.graph)
        results = jax.tree.leaves(jax.jit(f)(*inputs))
        close = 1e-3 if dtype in ("float32", "complex64") else 1e-9
        for found, want in zip(evaluate(program.graph, inputs), results, strict=True):
            assert (found.dtype, found.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(found, want, close, close)


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_round_trip_is_exact(name: str, platform: str) -> None:
    f, expected = FUNCTIONS[name]
    if platform == "cuda" and "svd" in expected:
        pytest.skip("cuSOLVER's singular values stay calls")
    for shape in SHAPES:
        inputs = arguments(name, positive(shape, "float32"))
        program = imported(f, *inputs, platform=platform)
        calls = {node.op for node in program.graph.nodes if node.op.endswith("custom_call")}
        assert not calls
        assert expected <= operations(program.graph)
        assert import_module(emit_module(program)) == program


def test_vmap_and_gradients_are_of_the_table() -> None:
    def loss(a: Any, b: Any) -> Any:
        return jnp.sum(jax.vmap(jnp.linalg.solve, (None, 1))(a, b) ** 2)

    a = positive((4, 4), "float32")
    program = imported(jax.grad(loss), a, right_side(a))
    assert operations(program.graph) >= {"lu", "triangular_solve"}
    assert not [op for op in operations(program.graph) if op.endswith(("custom_call", "while"))]


def test_failures_are_those_of_lapack() -> None:
    singular = np.array([[1, 2], [2, 4]], np.float32)
    indefinite = np.array([[1, 2], [2, 1]], np.float32)
    for f, a in ((jnp.linalg.inv, singular), (jnp.linalg.cholesky, indefinite)):
        (found,) = evaluate(imported(f, a).graph, [a])
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(f(a)))


def test_reference_of_calls_is_double() -> None:
    a = positive((4, 4), "float32")
    graph = widen(imported(jnp.linalg.inv, a)).graph
    (call,) = [node for node in graph.nodes if node.op == "lu"]
    assert str(call.type).startswith("(4x4xf64")


def test_other_attributes_stay_generic() -> None:
    a = positive((4, 4), "float32")
    graph = imported(jnp.linalg.inv, a).graph
    (node,) = [node for node in graph.nodes if node.op == "lu"]
    operands: Any = tuple(graph.nodes[i].type for i in node.operands)
    texts = write_call(node.op, node.attributes, operands, node.type)
    assert read_call(texts, operands, node.type) == (node.op, node.attributes)
    for index, (name, text) in enumerate(texts):
        changed = (*texts[:index], (name, text.replace("4", "5").replace("0", "1")))
        if changed[index] != texts[index]:
            assert read_call((*changed, *texts[index + 1 :]), operands, node.type) is None
    assert read_call((*texts, ("x", "1")), operands, node.type) is None
    assert read_call((), operands, node.type) is None


def test_calls_without_sharding() -> None:
    a: Any = (imported(jnp.linalg.inv, positive((4, 4), "float32")).graph.inputs[0],)
    texts = write_call("triangular_solve", ((True, True, True, "TRANSPOSE"), Routine("lapack")),
                       (*a, *a), a[0])  # fmt: skip
    assert read_call(texts, (*a, *a), a[0]) is not None
    assert len(FORMS) >= 7


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 4, 5])
def test_transforms_agree_with_numpy(count: int, n: int) -> None:
    axes = tuple(range(-count, 0))
    x = drawn((2, 3, 4, n), "float32")
    pairs = (
        (lambda x: jnp.fft.fftn(x, axes=axes), lambda x: np.fft.fftn(x, axes=axes)),
        (lambda x: jnp.fft.ifftn(x, axes=axes), lambda x: np.fft.ifftn(x, axes=axes)),
        (lambda x: jnp.fft.rfftn(x, axes=axes), lambda x: np.fft.rfftn(x, axes=axes)),
        (
            lambda x: jnp.fft.irfftn(x, axes=axes, s=(*x.shape[4 - count : 3], 2 * n - 1)),
            lambda x: np.fft.irfftn(x, axes=axes, s=(*x.shape[4 - count : 3], 2 * n - 1)),
        ),
    )
    for ours, numpys in pairs:
        program = imported(ours, x)
        assert import_module(emit_module(program)) == program
        (found,) = evaluate(program.graph, [x])
        np.testing.assert_allclose(found, numpys(x), 1e-4, 1e-4)
        np.testing.assert_allclose(found, ours(x), 1e-4, 1e-4)
