"""Clusters are the kernels that XLA:CPU makes, and their prices add up to that of the program."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from saturax.cost.clusters import clusters_of
from saturax.cost.concurrency import Load
from saturax.cost.device import default_calibration
from saturax.cost.model import PriceModel
from saturax.cost.program import kernels_of_program, program_us, unmeasured
from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Graph, Program
from saturax.graph.ops import (
    Blocks,
    DotDimensions,
    blocked_dot,
    convert,
    matmul,
    reshape,
    slice_,
)
from saturax.graph.types import TensorType
from saturax.jaxlib_compat import compile_module, default_device, optimized_hlo
from saturax.search.pricing import module_of_cluster
from saturax.stablehlo import emit_module, import_module, to_bytecode
from saturax.stablehlo.blocked_dot import blocked_dot_as_reduction

_ROW = np.linspace(0, 1, 256, dtype=np.float32) ** 2
D, W, V = (64, 256), (256, 512), (512, 256)


def _convolution(x: Any, k: Any) -> Any:
    order = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, k, (1, 1), "VALID", dimension_numbers=order)


def _softmax(x: Any) -> Any:
    powers = jnp.exp(x - x.max(-1, keepdims=True))
    return powers * (1 / powers.sum(-1, keepdims=True))


def _long_sum(x: Any, steps: int) -> Any:
    for _ in range(steps):
        x = jnp.maximum(x * x, x)
    return x.sum(1)


def _attention(q: Any, k: Any, v: Any, mask: Any = None, left: bool = False) -> Any:
    batch = ((0, 1), (0, 1))
    scores = jax.lax.dot_general(q, k, (((3,), (3,)), batch)) * 0.2
    weights = _softmax(scores if mask is None else jnp.where(mask > 0, scores, -1e9))
    if left:
        return jax.lax.dot_general(v, weights, (((2 if v.shape[2] == 79 else 3,), (3,)), batch))
    return jax.lax.dot_general(weights, v, (((3,), (2,)), batch))


def _step(x: Any, rank: int = 2) -> Any:
    """Diffusion on a torus."""
    around = sum(jnp.roll(x, shift, axis) for axis in range(rank) for shift in (1, -1))
    return x + 0.1 * (around - 2 * rank * x)


def _padded_step(x: Any) -> Any:
    z = jnp.pad(x, 1)
    around = z[2:, 1:-1] + z[:-2, 1:-1] + z[1:-1, 2:] + z[1:-1, :-2]
    return x + 0.1 * (around - 4 * x)


_HEADS, _TURNED = (8, 32, 79, 32), (8, 32, 32, 79)

CASES: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "product": (lambda x, w: x @ w, (D, W)),
    "bias after a product": (lambda x, w, b: jax.nn.relu(x @ w + b), (D, W, (512,))),
    "arithmetic before a product": (lambda x, w: jnp.tanh(x) @ w, (D, W)),
    "reduction takes a product in": (lambda x, w, b: (x @ w + b).sum(0), (D, W, (512,))),
    "reduction takes two in": (lambda x, w, v: (jnp.abs(x @ w) @ v).sum(0), (D, W, V)),
    "product used twice": (lambda x, w: ((x @ w).sum(0), x @ w), (D, W)),
    "two products": (lambda x, w, v: (x @ w) @ v, (D, W, V)),
    "reduction of exponentials": (lambda x: jnp.exp(x).sum(1), (D,)),
    "a reduction of much arithmetic": (lambda x: _long_sum(x, 32), (D,)),
    "a reduction of too much": (lambda x: _long_sum(x, 64), (D,)),
    "comparison is not the library's": (lambda x, y: jnp.where(x > 0, x, y).max(1), (D, D)),
    "cheap, used twice": (lambda x, y: (jnp.sort(x * y + y), jnp.sort(jnp.abs(x * y))), (D, D)),
    "expensive, used twice": (
        lambda x, y: (jnp.sort(-jnp.exp(x)), jnp.sort(jnp.exp(x) * y)),
        (D, D),
    ),
    "expensive, then broadcast": (lambda x, y: y * jnp.exp(x)[:, None], ((64,), D)),
    "cheap, then broadcast": (lambda x, y: y * (x + x * x)[:, None], ((64,), D)),
    "transpose in a loop": (lambda x, y: jnp.tanh(x.T) + y, (D, (256, 64))),
    "transpose before a product": (lambda x, w: x.T @ w, ((256, 64), W)),
    "arithmetic and transpose before one": (lambda x, w: jnp.tanh(x).T @ w, ((256, 64), W)),
    "a loop writes what a product wants": (
        lambda x, w: jnp.exp(x).reshape(10, 40, 100).transpose(2, 1, 0).reshape(100, 400) @ w,
        ((10, 4000), (400, 40)),
    ),
    "one that is used twice does not": (
        lambda x, w: (
            (y := jnp.exp(x)).reshape(10, 40, 100).transpose(2, 1, 0).reshape(100, 400) @ w,
            jnp.sort(y),
        ),
        ((10, 4000), (400, 40)),
    ),
    "batches in the middle": (
        lambda x, w: jnp.exp(x).transpose(1, 0, 2) @ w,
        ((32, 4, 128), (4, 128, 32)),
    ),
    "concatenation": (lambda x, y: jnp.tanh(jnp.concatenate([jnp.exp(x), y * 2], 1)), (D, D)),
    "of short rows": (
        lambda x, y: jnp.tanh(jnp.concatenate([jnp.exp(x), y * 2], 1)),
        ((64, 60), (64, 60)),
    ),
    "of columns": (lambda x, y: jnp.tanh(jnp.concatenate([jnp.exp(x), y * 2], 0)), (D, D)),
    "of many": (lambda *xs: jnp.tanh(jnp.concatenate([*map(jnp.exp, xs)], 0)), (D,) * 9),
    "of columns, used twice": (
        lambda x, y: (jnp.exp(z := jnp.concatenate([x, y], 0)) + 1, jnp.sin(z) * 2),
        (D, D),
    ),
    "padding, used twice": (
        lambda x: (jnp.exp(z := jnp.pad(x, 1)) + 1, jnp.sin(z) * 2),
        (D,),
    ),
    "padding, read in two places": (
        lambda x: (y := jnp.pad(x, 1))[1:, ::2] * 2 - y[:-1, 1::2],
        (D,),
    ),
    "read in sixteen places": (
        lambda x: sum((jnp.sin(x)[i, ::16] for i in range(16)), jnp.float32(0)),
        ((16, 4096),),
    ),
    "read in fifteen places": (
        lambda x: sum((jnp.sin(x)[i, ::16] for i in range(15)), jnp.float32(0)),
        ((16, 4096),),
    ),
    "expensive, read in two places": (
        lambda x: (y := jnp.exp(x))[1:, ::2] * 2 - y[:-1, 1::2],
        (D,),
    ),
    "expensive, used twice in a loop": (lambda x: (y := jnp.exp(x)) * (1 + y), (D,)),
    "no function that is cheap to the compiler": (
        lambda x, y: (jnp.sort(-jnp.cos(x)), jnp.sort(jnp.cos(x) * y)),
        (D, D),
    ),
    "a loop in another shape before a product": (
        lambda x, w: jnp.exp(x).reshape(64, 256) @ w,
        ((256, 64), W),
    ),
    "of three": (lambda x, y: jnp.concatenate([x, jnp.exp(y), y], 1), (D, D)),
    "of three, two of them used elsewhere": (
        lambda x, y: (z := jnp.concatenate([x, y], 1), jnp.concatenate([z, y], 1)),
        (D, D),
    ),
    "slices of one array": (lambda x: jnp.tanh(x[:, :64] * x[:, 64:128]), (D,)),
    "slice before a product": (lambda x, w: x[:, :128] @ w, (D, (128, 64))),
    "a small reduction is a loop": (lambda x: 2 * jnp.tanh(x).sum(1), ((64, 32),)),
    "a small reduction, then broadcast": (lambda x: x - x.max(1, keepdims=True), ((64, 32),)),
    "a small one takes no product in": (lambda x, w: (x @ w).sum(1), ((64, 32), (32, 32))),
    "zeros around a convolution's operand": (
        lambda x, k: _convolution(jnp.pad(jnp.tanh(x), ((0, 0), (1, 1), (1, 1), (0, 0))), k),
        ((1, 16, 16, 8), (3, 3, 8, 32)),
    ),
    "other numbers around it": (
        lambda x, k: _convolution(
            jnp.pad(jnp.tanh(x), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0), k
        ),
        ((1, 16, 16, 8), (3, 3, 8, 32)),
    ),
    "arithmetic after a reduction": (lambda x: jnp.tanh(x.sum(1)) * 2, ((4096, 4),)),
    "of fewer results": (lambda x: jnp.tanh(x.sum(1)), ((2048, 4),)),
    "a reduction of reductions": (lambda x, y: (x.max(2) * y.sum(2)).sum(1), ((128, 64, 16),) * 2),
    "a product after a reduction": (
        lambda x, w: (x * x.sum(1, keepdims=True)) @ w,
        (D, (256, 128)),
    ),
    "a product around one": (
        lambda x, w: (y := x @ w) * y.sum(1, keepdims=True),
        (D, W),
    ),
    "its result is used twice": (lambda x: (x.sum(1), jnp.exp(x.sum(1))), ((8192, 8),)),
    "an operand of what follows is used twice": (
        lambda x, y: (x.sum(1) * jnp.exp(y), jnp.exp(y) + 1),
        ((8192, 8), (8192,)),
    ),
    "a slice of sums": (lambda x: jnp.exp(x.sum(1)[:4096]), ((8192, 8),)),
    "softmax": (_softmax, ((8192, 64),)),
    "softmax of few rows": (_softmax, (D,)),
    "attention": (_attention, (_HEADS,) * 3),
    "attention, values on the left": (
        lambda q, k, v: _attention(q, k, v, left=True),
        (_HEADS, _HEADS, _TURNED),
    ),
    "attention, values by columns": (
        lambda q, k, v: _attention(q, k, v, left=True),
        (_HEADS,) * 3,
    ),
    "attention under a mask": (_attention, (_HEADS, _HEADS, _HEADS, (79, 79))),
    "pooling before a reduction": (
        lambda x: jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
        ).sum((1, 2)),
        ((1, 32, 32, 64),),
    ),
    "product without contraction": (
        lambda x, y: jnp.einsum("bi,bj->bij", x, y) + 1,
        ((8, 64), (8, 32)),
    ),
    "one window scattered": (
        lambda x, y: jnp.exp(x @ x.T).at[2:34, 2:34].add(jnp.tanh(y)),
        (D, (32, 32)),
    ),
    "a row of numbers, repeated": (lambda x: jnp.exp(x * _ROW), (D,)),
    "steps of a stencil, rows joined by copies": (lambda x: _step(_step(_step(x))), ((64, 128),)),
    "steps of a stencil, rows joined in place": (lambda x: _step(_step(_step(x))), ((64, 96),)),
    "steps of a stencil along one dimension": (
        lambda x: _step(_step(x, 1), 1),
        ((4096,),),
    ),
    "steps with padding": (lambda x: _padded_step(_padded_step(_padded_step(x))), ((64, 64),)),
    "a product between a value and its reader": (
        lambda x, y, w: (z := x * y + x) - (z @ w),
        (D, D, (256, 256)),
    ),
    "two outputs of one value": (lambda x, y: (x * y, jnp.exp(x * y)), (D, D)),
}


def _sum_and_maximum(x: Any, y: Any) -> Any:
    zero, least = np.float32(0), np.float32(-np.inf)
    combined = lambda a, b: (a[0] + b[0], jnp.maximum(a[1], b[1]))  # noqa: E731
    return jax.lax.reduce((x * y, jnp.exp(x)), (zero, least), combined, (1,))


# Of several results each.
SEVERAL: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "two reductions at once": (_sum_and_maximum, (D, D)),
}

_NO_KERNEL = re.compile(r" (parameter|constant|bitcast|tuple|get-tuple-element)\(")


def graph_of(function: Callable[..., Any], shapes: tuple[tuple[int, ...], ...]) -> Graph:
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    module: Any = jax.jit(function).lower(*arguments).compiler_ir("stablehlo")
    return import_module(module).graph


def compile_graph(graph: Graph) -> Any:
    return compile_module(to_bytecode(emit_module(Program(graph))))


@pytest.mark.skipif(default_device().platform != "cpu", reason="these are XLA:CPU's kernels")
@pytest.mark.parametrize("name", CASES | SEVERAL)
def test_clusters_are_the_kernels_that_the_compiler_makes(name: str) -> None:
    graph = graph_of(*(CASES | SEVERAL)[name])
    hlo = optimized_hlo(compile_graph(graph))
    entry = hlo[hlo.index("\nENTRY") :].splitlines()
    kernels = [line for line in entry if " = " in line and not _NO_KERNEL.search(line)]
    assert len(clusters_of(graph)) == len(kernels), "\n".join(kernels)


READ_TWICE: dict[str, tuple[Callable[..., Any], bool]] = {
    "scaled": (lambda x, row: 2 * x + 1, True),
    "scaled by a row": (lambda x, row: x * row, True),
    "squared": (lambda x, row: jnp.square(x - row), True),
    "of two values": (lambda x, row: (x + 1) * (x - row), False),
    "expensive": (lambda x, row: jnp.exp(x), False),
}


@pytest.mark.skipif(default_device().platform != "cpu", reason="these are XLA:CPU's kernels")
@pytest.mark.parametrize("name", READ_TWICE)
def test_what_reads_one_value_is_computed_again_in_a_loop(name: str) -> None:
    """Also where a product reads it, too, so that it is written: the loop reads what it reads."""
    make, is_again = READ_TWICE[name]

    def both(x: Any, row: Any, w: Any, z: Any) -> Any:
        value = make(x, row)
        return value @ w, value * z

    graph = graph_of(both, (D, (256,), W, D))
    hlo = optimized_hlo(compile_graph(graph))
    loops = re.findall(r" fusion\((.*)\), kind=kLoop", hlo)
    assert any("fusion" in read or "wrapped" in read for read in loops) is not is_again
    (loop,) = (cluster for cluster in clusters_of(graph) if cluster.root == graph.outputs[1])
    assert all(graph.nodes[i].op == "parameter" for i in loop.inputs) is is_again


@pytest.mark.parametrize("name", CASES)
def test_clusters_compute_the_program(name: str) -> None:
    """Run one after the other, the clusters give what the whole program gives."""
    graph = graph_of(*CASES[name])
    generator = np.random.default_rng(0)
    inputs = [
        jax.device_put(generator.standard_normal(t.shape, np.float32))  # type: ignore[union-attr]
        for t in graph.inputs
    ]
    values = {
        i: inputs[n.attributes[0]]  # type: ignore[call-overload]
        for i, n in enumerate(graph.nodes)
        if n.op == "parameter"
    }
    values |= {
        i: jax.device_put(n.attributes[0].array)  # type: ignore[union-attr]
        for i, n in enumerate(graph.nodes)
        if n.op == "constant"
    }
    for cluster in clusters_of(graph):
        (values[cluster.root],) = compile_graph(cluster.graph)([values[i] for i in cluster.inputs])
    for output, expected in zip(graph.outputs, compile_graph(graph)(inputs), strict=True):
        if output in values:
            found = np.asarray(values[output])
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def _product_in_blocks(matrix: TensorType, prepare: Callable[[Any], Any]) -> Graph:
    """A matrix out of what is given, times a vector, in four blocks."""
    builder = GraphBuilder((matrix, TensorType((256,), "f32")), exact=True)
    with building(builder):
        stack, x = builder.parameters
        d = DotDimensions((), (), (1,), (0,))
        return builder.finish([blocked_dot(prepare(stack), x, d, Blocks((4,)), "f32")])


@pytest.mark.skipif(default_device().platform != "cpu", reason="these are XLA:CPU's kernels")
@pytest.mark.parametrize("taken", ["slice", "conversion"])
def test_a_product_in_blocks_takes_in_what_is_before_it(taken: str) -> None:
    """It is one loop, of whose results a copy is made; nothing of the matrix is copied."""
    if taken == "slice":
        stack = TensorType((3, 64, 256), "f32")
        graph = _product_in_blocks(
            stack, lambda w: reshape(slice_(w, (1, 0, 0), (2, 64, 256), (1, 1, 1)), (64, 256))
        )
    else:
        graph = _product_in_blocks(TensorType((64, 256), "i8"), lambda w: convert(w, "f32"))
    (cluster,) = clusters_of(graph)
    assert len(cluster.inputs) == 2
    hlo = optimized_hlo(compile_graph(graph))
    entry = hlo[hlo.index("\nENTRY") :].splitlines()
    kernels = [line for line in entry if " = " in line and not _NO_KERNEL.search(line)]
    assert len(kernels) == 2, "\n".join(kernels)
    assert ", ".join(["f32[16,8]{1,0}"] * 4) in kernels[0]


def test_a_product_in_blocks_is_as_accurate_as_the_library() -> None:
    """Its sums of 256 terms are computed in parts: one after the other, errors were 2.4 times."""
    graph = _product_in_blocks(TensorType((64, 256), "f32"), lambda w: w)
    builder = GraphBuilder(graph.inputs)
    with building(builder):
        library = builder.finish([matmul(*builder.parameters)])
    random = np.random.default_rng(0)
    inputs = [random.standard_normal(shape).astype(np.float32) for shape in ((64, 256), (256,))]
    exact = inputs[0].astype(np.float64) @ inputs[1]

    def error(program: Graph) -> float:
        (found,) = compile_graph(program)([jnp.asarray(array) for array in inputs])
        return float(np.linalg.norm(np.asarray(found) - exact))

    assert error(graph) < 1.5 * error(library)


@pytest.mark.parametrize("length", [1, 31, 37, 96, 100])
def test_sums_in_parts_are_whole(length: int) -> None:
    """Also of lengths that divide into an odd number of parts, or into none."""
    type = TensorType((length, 8, 2), "i32")
    d = DotDimensions((), (), (0, 2), (0, 1))
    shape = TensorType((length, 2), "i32")
    graph = blocked_dot_as_reduction((d, Blocks((4,)), "i32"), (type, shape))
    x, y = (np.random.default_rng(length).integers(-9, 9, t.shape, np.int32) for t in (type, shape))
    (found,) = compile_graph(graph)([jnp.asarray(x), jnp.asarray(y)])
    np.testing.assert_array_equal(np.asarray(found), np.einsum("amb,ab->m", x, y))


def test_a_weight_is_cold_if_much_is_read_in_between() -> None:
    shapes = ((1, 512), (512, 512), (512, 512), (512, 512))
    graph = graph_of(lambda x, a, b, c: jnp.tanh(jnp.tanh(x @ a) @ b) @ c, shapes)
    levels = {level for kernel in kernels_of_program(graph) for level in kernel.levels}
    assert levels == {0, 1}  # 3 MiB of weights; the vectors between them stay near
    small = graph_of(lambda x, a: jnp.tanh(x @ a), ((1, 64), (64, 64)))
    assert {level for k in kernels_of_program(small) for level in k.levels} == {0}


def test_a_measured_kernel_counts_instead_of_its_prediction() -> None:
    model = PriceModel(default_calibration())
    graph = graph_of(*CASES["bias after a product"])
    predicted = program_us(graph, model, {})
    kernels = unmeasured([graph], model, {})
    measured = {kernel.key: Load(1e6) for kernel in kernels}
    assert 0 < predicted < 1e6
    assert program_us(graph, model, measured) == 1e6 * len(kernels)
    assert unmeasured([graph], model, measured) == []


def test_a_kernel_is_measured_with_its_companion() -> None:
    kernel, *_ = kernels_of_program(graph_of(*CASES["product"]))
    request = module_of_cluster(kernel)
    assert compile_module(request.source) is not None
    assert not request.reuse_bytes


def test_a_kernel_that_factors_gets_a_matrix_that_it_can_factor() -> None:
    """A Cholesky factorisation of any other matrix ends early: 270 µs instead of 610."""
    graph = graph_of(lambda x: jax.lax.linalg.cholesky(x, symmetrize_input=False), ((64, 64),))
    requests = [module_of_cluster(kernel) for kernel in kernels_of_program(graph)]
    assert any(request.positive_inputs == {0} for request in requests)
