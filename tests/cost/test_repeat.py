"""Kernels several times in a module: as many as are priced, none left out by the compiler."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import solve_triangular

from saturax.cost.distance import REUSE_BYTES
from saturax.cost.kernel import Kernel, kernel_at
from saturax.cost.measure import random_array
from saturax.cost.repeat import most_times, repeated
from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Graph, Program
from saturax.graph.ops import matmul
from saturax.graph.types import TensorType
from saturax.jaxlib_compat import compile_module, default_device, put_on_device
from saturax.search.pricing import module_of
from saturax.stablehlo import emit_module, import_module

VECTOR, MATRIX = (512,), (512, 512)


def graph_of(function: Callable[..., jax.Array], *shapes: tuple[int, ...]) -> Graph:
    types = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    module = jax.jit(function).lower(*types).compiler_ir("stablehlo")
    return import_module(module).graph


def product(*shapes: tuple[int, ...]) -> Graph:
    return graph_of(lambda x, y: x @ y, *shapes)


@pytest.mark.parametrize(
    ("graph", "levels", "times"),
    [
        (product(VECTOR, MATRIX), (0, 2), 16),
        (product(VECTOR, MATRIX), (), 16),
        (product(VECTOR, (512, 4096)), (0, 2), 3),  # no more than 32 MB a call
        (product(VECTOR, (512, 32000)), (0, 3), 1),
        (product((32, 768), (768, 768)), (), 7),  # no more than 2²⁸ operations a call
        (product((128, 128), (128, 128)), (), 4),  # what would wait is a third of all
        (product((1024, 512), (512, 512)), (), 1),  # results of 2 MB would not stay near
        (graph_of(lambda a, b: solve_triangular(a, b), (64, 64), (64, 4)), (), 4),
        (graph_of(lambda x: x.T + 1, MATRIX), (0,), 1),  # fused, one element would be computed
        (graph_of(lambda x: x.sum(1), (64, 32)), (), 1),
        (graph_of(lambda x: x.sum(1), (512, 32)), (), 4),  # the library's
        (graph_of(lambda x, w: x @ jnp.exp(w), VECTOR, MATRIX), (), 1),  # the powers once
        (graph_of(lambda x, w: jnp.exp(x) @ w, VECTOR, MATRIX), (), 16),
        (graph_of(lambda x, y: jnp.einsum("i,j->ij", x, y), (64,), (32,)), (), 1),
        (graph_of(lambda: jnp.zeros(3)), (), 1),
        (product((0, 4), (4, 3)), (), 1),
        (product((3, 0), (0, 4)), (1, 1), 1),
    ],
)
def test_most_times(graph: Graph, levels: Sequence[int], times: int) -> None:
    assert most_times(graph, levels) == times


@pytest.mark.parametrize(
    ("levels", "origin", "kept"),
    [
        ((0, 2), (0, 1, 1, 1), [2]),
        ((), (0, 1), [2]),
        ((1, 1), (0, 1) * 3, [0, 1, 2]),  # no near input waits
    ],
)
def test_applications_to_different_inputs(
    levels: tuple[int, ...], origin: tuple[int, ...], kept: list[int]
) -> None:
    """Distant inputs are different; outputs are first elements of results."""
    several, found = repeated(product((3, 4), (4, 5)), levels, 3)
    assert found == origin
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(t.shape, np.float32) for t in several.inputs]  # type: ignore[union-attr]
    (output,) = compile_module(emit_module(Program(several)))(list(map(jnp.asarray, arrays)))
    lefts = [array for array, old in zip(arrays, origin, strict=True) if old == 0]
    rights = [array for array, old in zip(arrays, origin, strict=True) if old == 1]
    expected = [
        (lefts[min(i, len(lefts) - 1)] @ rights[min(i, len(rights) - 1)])[0, 0] for i in kept
    ]
    np.testing.assert_allclose(output, expected, rtol=1e-5)


def test_inputs_that_would_be_too_far_away_take_turns() -> None:
    graph = product(VECTOR, MATRIX)
    _, origin = repeated(graph, (0, 1), most_times(graph, (0, 1)))
    assert origin == (0, 1, 1, 1, 1)  # 4 MB of matrices, read four times each


@pytest.mark.parametrize("dtype", ["f64", "bf16", "i32", "complex<f32>"])
def test_waiting_leaves_numbers_as_they_are(dtype: str) -> None:
    builder = GraphBuilder([TensorType((8, 8), dtype)] * 2)
    with building(builder):
        graph = builder.finish([matmul(*builder.parameters)])
    several, _ = repeated(graph, (0, 1), 3)
    arrays = [
        put_on_device(random_array(type, seed=seed), default_device())
        for seed, type in enumerate(several.inputs)
        if isinstance(type, TensorType)
    ]
    (output,) = compile_module(emit_module(Program(several)))(arrays)
    wide = np.complex128 if dtype.startswith("complex") else np.float64
    left, *_, right = (np.asarray(array).astype(wide) for array in arrays)
    np.testing.assert_allclose(np.asarray(output).astype(wide), [(left @ right)[0, 0]], rtol=2e-2)


def test_the_compiler_keeps_every_application_and_their_order() -> None:
    graph = product(VECTOR, MATRIX)
    request = module_of(_with_levels(kernel_at(graph, graph.nodes[-1]), (0, 2)))
    assert request.times == 16
    assert request.reuse_bytes == dict.fromkeys(range(1, 17), REUSE_BYTES[2])
    text = compile_module(request.source).loaded.hlo_modules()[0].to_string()
    # Whole products, and not of the columns that the outputs need.
    products = [line for line in text.splitlines() if "f32[1,512]{1,0} dot(" in line]
    assert len(products) == 16
    # Only the first reads the vector as it came.
    vectors = {line.partition(" dot(")[2].partition(",")[0] for line in products}
    assert len(vectors) == 16


def test_values_of_repeated_inputs() -> None:
    graph = graph_of(lambda a, b: solve_triangular(a, b), (64, 64), (64, 64))
    (node,) = (node for node in graph.nodes if node.op == "triangular_solve")
    request = module_of(kernel_at(graph, node))
    assert request.times == 4
    assert request.positive_inputs == {0, 2, 3, 4}  # 1 is the right side, which all share


def _with_levels(kernel: Kernel, levels: tuple[int, ...]) -> Kernel:
    return Kernel(kernel.op, kernel.attributes, kernel.operands, kernel.type, levels)
