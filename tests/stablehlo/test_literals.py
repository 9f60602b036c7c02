"""Constants of every element type pass through MLIR bit by bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.mlir import ir

from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Program
from saturax.graph.literal import Literal
from saturax.graph.ops import constant
from saturax.graph.types import TensorType, numpy_dtype
from saturax.stablehlo import emit_module, import_module
from saturax.stablehlo.literals import read_literal, write_literal

_PACKED = {"i1": 1, "i2": 2, "ui2": 2, "i4": 4, "ui4": 4, "f4E2M1FN": 4}
_DTYPES = (
    "i1 i2 i4 i8 i16 i32 i64 ui2 ui4 ui8 ui16 ui32 ui64 f16 bf16 f32 f64 complex<f32> complex<f64> "
    "f4E2M1FN f8E3M4 f8E4M3 f8E4M3FN f8E4M3FNUZ f8E4M3B11FNUZ f8E5M2 f8E5M2FNUZ f8E8M0FNU"
).split()
# Rank 0, nothing, one element, printed in decimals, printed in hexadecimal, read from bytecode.
_SHAPES = [(), (0,), (2, 0, 3), (1, 1), (2, 3), (11, 13), (300, 1000)]


def _random_bits(dtype, shape, seed):
    """An array with all bit patterns of an element type, so also NaNs and both zeros."""
    random, storage = np.random.default_rng(seed), numpy_dtype(dtype)
    if dtype in _PACKED:
        values = random.integers(0, 1 << _PACKED[dtype], size=shape, dtype=np.uint8)
        if dtype.startswith("i") and dtype != "i1":
            values = values - (1 << _PACKED[dtype] - 1)
            return values.astype(np.int8).astype(storage)
        return values.view(storage) if dtype == "f4E2M1FN" else values.astype(storage)
    count = int(np.prod(shape)) * storage.itemsize
    return np.frombuffer(random.bytes(count), storage).reshape(shape)


def _passed_through(literal):
    builder = GraphBuilder(exact=True)
    with building(builder):
        graph = builder.finish([constant(literal)])
    (node,) = import_module(emit_module(Program(graph))).graph.nodes
    return node.attributes[0]


@pytest.mark.parametrize("dtype", _DTYPES)
def test_all_shapes(dtype):
    for seed, shape in enumerate(_SHAPES):
        literal = Literal(_random_bits(dtype, shape, seed))
        assert _passed_through(literal) == literal, shape


@pytest.mark.parametrize("dtype", _DTYPES)
def test_splats(dtype):
    value = _random_bits(dtype, (), 5)
    for shape in ((), (3,), (200, 300)):
        found = _passed_through(Literal(value, shape))
        assert found == Literal(value, shape)
        assert found.is_splat


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(_DTYPES), st.lists(st.integers(0, 4), max_size=3), st.integers(0, 2**32 - 1))
def test_random_bits(dtype, shape, seed):
    literal = Literal(_random_bits(dtype, tuple(shape), seed))
    assert _passed_through(literal) == literal


def test_large_weights_are_not_copied():
    array = np.random.default_rng(0).normal(size=(500, 500)).astype(np.float32)
    literal = _passed_through(Literal(array))
    assert not literal.data.flags.owndata
    assert not literal.data.flags.writeable


def test_attribute_that_is_no_dense_constant():
    from saturax.errors import ImportFailure
    from saturax.mlir_modules import mlir_context

    with mlir_context(), ir.Location.unknown():
        element = ir.Type.parse("complex<f32>")
        attribute = write_literal(Literal(np.zeros(2, np.complex64)), element)
        operation = ir.Operation.create(
            "stablehlo.constant", [ir.RankedTensorType.get([2], element)], [], {"value": attribute}
        )
        type = TensorType((2,), "complex<f32>")
        assert read_literal(operation, type, dict) == Literal(np.zeros(2, np.complex64))
        other = ir.Operation.create("stablehlo.create_token", [ir.Type.parse("!stablehlo.token")])
        with pytest.raises(ImportFailure, match="expected a dense constant"):
            read_literal(other, type, dict)
