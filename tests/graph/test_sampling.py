"""Operations are drawn well-typed, whatever is known of them, and with the coincidences wanted."""

from __future__ import annotations

import numpy as np
import pytest

from saturax.errors import SaturaxError
from saturax.graph.build import result_types
from saturax.graph.operation import TABLE, infer
from saturax.graph.reference import evaluate_operation
from saturax.graph.sampling import DTYPES, FREE, Completion, Draw, complete, fits
from saturax.graph.types import TensorType, numpy_dtype
from saturax.testing.inputs import Inputs, draw_inputs

ARITY = {
    "constant": 0,
    "iota": 0,
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
    "triangular_solve": 2,
    "solve": 2,
    "householder_product": 2,
    "dynamic_slice": 3,
    "dynamic_update_slice": 4,
}
OPERATIONS = sorted(set(TABLE) - {"get_result"})


def draw_from(op: str) -> Draw:
    return Draw(np.random.default_rng([*op.encode()]))


def drawn(draw: Draw, op: str, count: int) -> list[Completion]:
    """Completions of an operation of which nothing is known."""
    found = []
    for _ in range(count):
        draw.dtype = draw.pick(DTYPES)
        free = (FREE,) * len(TABLE[op].attributes)
        completion = complete(draw, op, None, [None] * ARITY.get(op, 1), free)
        if completion is not None:
            found.append(completion)
    assert len(found) >= 0.7 * count
    return found


@pytest.mark.parametrize("op", OPERATIONS)
def test_drawn_operations_are_typed_and_can_be_evaluated(op: str) -> None:
    draw = draw_from(op)
    for attributes, operands, result in drawn(draw, op, 150):
        assert infer(op, attributes, operands) == result
        inputs = draw_inputs(operands, Inputs.ADVERSARIAL, draw)
        value = evaluate_operation(op, attributes, inputs, result)
        values = value if isinstance(value, tuple) else (value,)
        for each, type in zip(values, result_types(result), strict=True):
            assert each.shape == type.shape
            assert each.dtype == numpy_dtype(type.dtype)


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("known", ["result", "operands", "both", "attributes"])
def test_what_is_known_is_kept(op: str, known: str) -> None:
    draw = draw_from(op)
    free = (FREE,) * len(TABLE[op].attributes)
    tried = drawn(draw, op, 60)
    succeeded = 0
    for attributes, operands, result in tried:
        again = complete(
            draw,
            op,
            result_types(result)[0] if known in ("result", "both", "attributes") else None,
            operands if known in ("operands", "both") else [None] * len(operands),
            attributes if known == "attributes" else free,
        )
        if again is None:
            continue
        succeeded += 1
        assert known == "operands" or result_types(again.result)[0] == result_types(result)[0]
        assert known in ("result", "attributes") or again.operands == operands
        assert known != "attributes" or fits(attributes, again.attributes)
    assert succeeded >= 0.4 * len(tried)


def test_coincidences_are_frequent() -> None:
    slices = drawn(draw_from("slice"), "slice", 300)
    idle = sum(
        any(a == 0 and b == n for a, b, n in zip(*c.attributes[:2], c.operands[0].shape))  # noqa: B905
        for c in slices
    )
    assert idle > 100
    convolutions = drawn(draw_from("convolution"), "convolution", 300)
    assert sum(c.attributes[2].feature > 1 for c in convolutions) > 30
    assert sum(c.attributes[2].batch > 1 for c in convolutions) > 10
    assert sum(set(c.attributes[0].strides) <= {1} for c in convolutions) > 100
    assert sum(any(map(any, c.attributes[0].padding)) for c in convolutions) > 100
    shapes = [c.operands[0].shape for c in drawn(draw_from("transpose"), "transpose", 300)]
    assert sum(0 in shape for shape in shapes) > 10
    assert sum(1 in shape for shape in shapes) > 100
    assert {len(shape) for shape in shapes} >= {1, 2, 3, 4, 5}


def test_parts_of_attributes_can_be_known() -> None:
    draw = draw_from("parts")
    matrix = TensorType((2, 3), "f32")
    for _ in range(20):
        found = complete(draw, "unary", None, [matrix], (("convert", FREE),))
        assert found is not None
        assert found.attributes[0][0] == "convert"
        found = complete(draw, "pad", None, [matrix, None], ((0, FREE), (FREE, 2), (0, 0)))
        assert found is None or (found.attributes[0][0], found.attributes[1][1]) == (0, 2)


def test_impossible_operations_are_refused() -> None:
    draw = draw_from("impossible")
    matrix, vector = TensorType((2, 3), "f32"), TensorType((3,), "f32")
    assert complete(draw, "transpose", matrix, [vector], (FREE,)) is None
    assert complete(draw, "binary", None, [matrix, vector], ("add",)) is None
    assert complete(draw, "unary", None, [matrix.with_dtype("i32")], ("exponential",)) is None
    with pytest.raises(SaturaxError, match="operation of the table"):
        complete(draw, "stablehlo.sort", None, [vector], ())
