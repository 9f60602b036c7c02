"""Kernels several times in a module: as many as are priced, none left out by the compiler."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import solve_triangular

from saturax.cost.distance import REUSE_BYTES
from saturax.cost.kernel import Kernel, kernel_at
from saturax.cost.repeat import most_times, repeated
from saturax.graph.ir import Graph, Program
from saturax.jaxlib_compat import compile_module
from saturax.pricing import module_of
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
        (product(VECTOR, MATRIX), (0, 2), 4),
        (product(VECTOR, MATRIX), (), 4),
        (product(VECTOR, (512, 4096)), (0, 2), 2),  # 16 MB hold two of 8 MB
        (product(VECTOR, (512, 32000)), (0, 3), 1),
        (product((1024, 512), (512, 512)), (), 1),  # results of 2 MB would not stay near
        (graph_of(lambda x: x.T + 1, MATRIX), (0,), 1),  # fused, one element would be computed
        (graph_of(lambda: jnp.zeros(3)), (), 1),
    ],
)
def test_most_times(graph: Graph, levels: Sequence[int], times: int) -> None:
    assert most_times(graph, levels) == times


@pytest.mark.parametrize(
    ("levels", "origin"), [((0, 2), (0, 1, 1, 1)), ((), (0, 1, 0, 0)), ((1, 1), (0, 1) * 3)]
)
def test_applications_to_different_inputs(levels: tuple[int, ...], origin: tuple[int, ...]) -> None:
    """Distant inputs, or the smallest, are different; outputs are first elements of results."""
    several, found = repeated(product((3, 4), (4, 5)), levels, 3)
    assert found == origin
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(t.shape, np.float32) for t in several.inputs]  # type: ignore[union-attr]
    (output,) = compile_module(emit_module(Program(several)))(list(map(jnp.asarray, arrays)))
    lefts = [array for array, old in zip(arrays, origin, strict=True) if old == 0]
    rights = [array for array, old in zip(arrays, origin, strict=True) if old == 1]
    expected = [
        (lefts[min(i, len(lefts) - 1)] @ rights[min(i, len(rights) - 1)])[0, 0] for i in range(3)
    ]
    np.testing.assert_allclose(output, expected, rtol=1e-5)


def test_the_compiler_keeps_every_application() -> None:
    graph = product(VECTOR, MATRIX)
    request = module_of(_with_levels(kernel_at(graph, graph.nodes[-1]), (0, 2)))
    assert request.times == 4
    assert request.reuse_bytes == dict.fromkeys((1, 2, 3, 4), REUSE_BYTES[2])
    text = compile_module(request.source).loaded.hlo_modules()[0].to_string()
    # Whole products, and not of the columns that the outputs need.
    assert text.count("f32[1,512]{1,0} dot(") == 4


def test_values_of_repeated_inputs() -> None:
    graph = graph_of(lambda a, b: solve_triangular(a, b), (64, 64), (64, 64))
    (node,) = (node for node in graph.nodes if node.op == "triangular_solve")
    request = module_of(kernel_at(graph, node))
    assert request.times == 4
    assert request.positive_inputs == {0, 2, 3, 4}  # 1 is the right side, which all share


def _with_levels(kernel: Kernel, levels: tuple[int, ...]) -> Kernel:
    return Kernel(kernel.op, kernel.attributes, kernel.operands, kernel.type, levels)
