"""The reference meaning of every operation agrees with XLA on random instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest

from saturax.graph.build import GraphBuilder, Value
from saturax.graph.ir import Graph, Program
from saturax.graph.operation import TABLE
from saturax.graph.ops.linear_algebra import LINEAR_ALGEBRA
from saturax.graph.reference import evaluate
from saturax.graph.sampling import DTYPES, FREE, Draw, admits, complete
from saturax.graph.sampling.elementwise import comparison_kinds
from saturax.graph.types import TensorType, TupleType, is_float, numpy_dtype
from saturax.jaxlib_compat import compile_module
from saturax.stablehlo import emit_module
from saturax.testing.inputs import Inputs, draw_inputs

INSTANCES = 30
LEVELS = (0, pytest.param(3, marks=pytest.mark.long))
"""How much LLVM does: a third of the time goes into making fast what runs once."""
SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 100.0, -1000.0)

OPERANDS = {
    "binary": 2,
    "ternary": 3,
    "pad": 2,
    "concatenate": 2,
    "dot_general": 2,
    "blocked_dot": 2,
    "convolution": 2,
    "gather": 2,
    "scatter": 3,
    "sort_pair": 2,
    "constant": 0,
    "iota": 0,
}
FUNCTIONS = {
    "unary": (
        "abs cbrt ceil chlo.acos chlo.acosh chlo.asin chlo.asinh chlo.atan chlo.atanh chlo.cosh "
        "chlo.digamma chlo.erf chlo.erf_inv chlo.erfc chlo.is_inf chlo.is_neg_inf chlo.is_pos_inf "
        "chlo.lgamma chlo.sinh chlo.square cosine count_leading_zeros exponential "
        "exponential_minus_one floor imag is_finite log log_plus_one logistic negate not popcnt "
        "real round_nearest_afz round_nearest_even rsqrt sign sine sqrt tan tanh"
    ).split(),
    "binary": (
        "add and atan2 complex divide maximum minimum multiply or power remainder shift_left "
        "shift_right_arithmetic shift_right_logical subtract xor"
    ).split(),
    "ternary": ["select", "clamp"],
}

# Tested below, and with well-conditioned matrices in test_linear_algebra.
ELSEWHERE = {"get_result", "unary", "binary", "ternary", "lu_permutation"} | LINEAR_ALGEBRA

# What XLA cannot compile, or computes badly: a complex power of 0 is NaN.
NOT_IN_XLA = {("chlo.erfc", "f8E4M3FN"), ("power", "complex<f32>")}


@dataclass
class Batch:
    """Many single-operation instances in one program, so that XLA compiles once."""

    builder: GraphBuilder
    outputs: list[Value]

    def add(self, op: str, attributes: tuple[Any, ...], types: tuple[TensorType, ...]) -> None:
        operands = tuple(self.builder.add_parameter(type) for type in types)
        made = self.builder.make(op, attributes, operands)
        several = made.type.elements if isinstance(made.type, TupleType) else None
        self.outputs += (
            [made]
            if several is None
            else [self.builder.make("get_result", (i,), (made,)) for i in range(len(several))]
        )

    def graph(self) -> Graph:
        return Graph(
            tuple(self.builder.inputs),
            tuple(self.builder.nodes),
            tuple(output.index for output in self.outputs),
        )


def batch() -> Batch:
    return Batch(GraphBuilder(exact=True), [])


def run_xla(graph: Graph, inputs: list[np.ndarray], level: int = 3) -> list[np.ndarray]:
    options = {"xla_backend_optimization_level": level}
    executable = compile_module(emit_module(Program(graph)), options=options)
    with jax.enable_x64(True):
        arrays = [jax.device_put(x, jax.devices("cpu")[0]) for x in inputs]
        return [np.asarray(x) for x in executable(arrays)]


def draw_operands(graph: Graph, draw: Draw, special: bool) -> list[np.ndarray]:
    """Ordinary numbers, if `special` with NaN, ±0 and ±∞; no subnormals, which XLA:CPU flushes."""
    inputs = []
    for type in graph.inputs:
        assert isinstance(type, TensorType)
        kind = draw.pick((Inputs.REALS, Inputs.INTEGERS, Inputs.POSITIVE))
        (x,) = draw_inputs((type,), kind, draw)
        x = np.array(x).astype(numpy_dtype(type.dtype))
        if special and is_float(type.dtype):
            at = draw.rng.random(x.shape) < 0.3
            x[at] = draw.rng.choice(SPECIAL, int(at.sum()))
        inputs.append(x)
    return inputs


def tolerance(dtype: np.dtype) -> float:
    """XLA's transcendental functions and sums may be off by some units in the last place."""
    name = str(dtype)
    if name.startswith("float8"):
        return 0.13
    return {"float16": 4e-3, "bfloat16": 2e-2, "float32": 3e-5, "complex64": 1e-4}.get(name, 1e-9)


def assert_agrees(graph: Graph, draw: Draw, level: int, special: bool = True) -> None:
    inputs = draw_operands(graph, draw, special)
    expected = evaluate(graph, inputs)
    got = run_xla(graph, inputs, level)
    for index, (output, want, have) in enumerate(zip(graph.outputs, expected, got, strict=True)):
        node = graph.nodes[output]
        if node.op == "get_result":
            node = graph.nodes[node.operands[0]]
        operands = [inputs[graph.nodes[i].attributes[0]] for i in node.operands]
        text = f"{node.op}{node.attributes} of {operands} : {node.type}, output {index}"
        assert (want.shape, want.dtype) == (have.shape, have.dtype), text
        if want.dtype.kind in "iub" or "int" in str(want.dtype):
            np.testing.assert_array_equal(want, have, err_msg=text)
            continue
        wide = np.complex128 if want.dtype.kind == "c" else np.float64
        want, have = want.astype(wide), have.astype(wide)
        scale = max(np.max(np.abs(x), initial=1, where=np.isfinite(x)) for x in (want, have))
        close = tolerance(evaluate(graph, inputs)[index].dtype)
        np.testing.assert_allclose(want, have, close, close * min(scale, 10), err_msg=text)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("op", sorted(set(TABLE) - ELSEWHERE))
def test_operation_agrees_with_xla(op: str, level: int) -> None:
    draw = Draw(np.random.default_rng([*op.encode()]))
    instances = batch()
    while len(instances.outputs) < INSTANCES:
        draw.dtype = draw.pick(DTYPES)
        count = OPERANDS.get(op, 1)
        if op in ("dynamic_slice", "dynamic_update_slice"):
            count = draw.integer(1, 4) + (op == "dynamic_update_slice")
        free = (FREE,) * len(TABLE[op].attributes)
        completion = complete(draw, op, None, [None] * count, free)
        if completion is not None:
            instances.add(op, completion.attributes, completion.operands)
    # XLA may or may not multiply a NaN of the kernel by the zeros of the padding.
    assert_agrees(instances.graph(), draw, level, special=op not in ("convolution", "fft"))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_agree_with_xla(dtype: str, level: int) -> None:
    draw = Draw(np.random.default_rng([*dtype.encode()]))
    instances = batch()
    x = TensorType((6, 8), dtype)
    for op, functions in FUNCTIONS.items():
        for f in functions:
            if admits(f, dtype) and (f, dtype) not in NOT_IN_XLA:
                first = x.with_dtype("i1") if f == "select" else x
                instances.add(op, (f,), (first, *[x] * (OPERANDS.get(op, 1) - 1)))
    for target in DTYPES:
        if target != dtype:
            instances.add("unary", (("convert", target),), (x,))
    for kind in set(comparison_kinds(dtype)):
        for direction in ("EQ", "NE", "LT", "LE", "GT", "GE"):
            if admits(("compare", direction, kind), dtype):
                instances.add("binary", (("compare", direction, kind),), (x, x))
    if dtype in ("f16", "bf16", "f32", "f64"):
        for exponent, mantissa in ((5, 10), (8, 7), (4, 3), (5, 2), (8, 23)):
            instances.add("unary", (("reduce_precision", exponent, mantissa),), (x,))
    assert_agrees(instances.graph(), draw, level)


def test_zeros_are_signed_as_in_xla() -> None:
    special = np.array([-0.0, 0.0, np.nan, np.inf, -np.inf, 1.0, -1.0])
    first, second = np.repeat(special, 7), np.tile(special, 7)
    instances = batch()
    inputs = []
    exact = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "remainder", "negate")
    for dtype in ("f32", "f64", "bf16", "f16"):
        x, y = (array.astype(numpy_dtype(dtype)) for array in (first, second))
        type = TensorType((49,), dtype)
        for f in (*exact, "abs", "sign", "floor", "ceil", "round_nearest_afz", "sqrt", "clamp"):
            op = next(op for op, functions in FUNCTIONS.items() if f in functions)
            operands = [x, y, x][: OPERANDS.get(op, 1)]
            instances.add(op, (f,), (type,) * len(operands))
            inputs += operands
        for f in ("add", "multiply", "maximum", "minimum"):
            instances.add("reduce", (f, (0,)), (type.with_shape((2, 49)),))
            inputs.append(np.stack([x, y]))
    graph = instances.graph()
    for output, want, have in zip(
        graph.outputs, evaluate(graph, inputs), run_xla(graph, inputs), strict=True
    ):
        wide, other = want.astype(np.float64), have.astype(np.float64)
        number = ~np.isnan(wide)
        np.testing.assert_array_equal(wide, other, err_msg=str(graph.nodes[output]))
        np.testing.assert_array_equal(np.signbit(wide)[number], np.signbit(other)[number])
