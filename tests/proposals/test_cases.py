"""Choices and indicators, worked out case by case."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import found_by
from running import program_of

from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Graph
from saturax.graph.ops import binary, compare, convert, full, select, unary
from saturax.graph.reference import evaluate
from saturax.graph.types import TensorType
from saturax.proposals.cases import work_out_cases
from saturax.rules.rule import BITWISE, FINITE, ROUNDING

SPECIAL = [0.0, -0.0, 1.0, 2.0, 3.0, 2.5, -1.0, np.inf, -np.inf, np.nan, 1e-30, 1e30]
RELATIONS = ("EQ", "NE", "LT", "LE", "GT", "GE")


def _pairs(rng, values):
    x, y = np.meshgrid(values, values)
    return [x.ravel(), y.ravel(), rng.random(x.size) < 0.5, rng.random(x.size) < 0.5]


def _random_choices(rng, dtype, size):
    """Nested choices, masks and indicators of two numbers and two Booleans."""
    numbers, truths = TensorType((size,), dtype), TensorType((size,), "i1")
    kind = "FLOAT" if dtype.startswith("f") else "SIGNED"
    builder = GraphBuilder((numbers, numbers, truths, truths))
    values, conditions = list(builder.parameters[:2]), list(builder.parameters[2:])

    def one_of(pool):
        return pool[int(rng.integers(max(0, len(pool) - 5), len(pool)))]

    with building(builder):
        values += [full(int(n), numbers) for n in rng.integers(-1, 4, 3)]
        for _ in range(10):
            x, y, p, q = one_of(values), one_of(values), one_of(conditions), one_of(conditions)
            match int(rng.integers(6)):
                case 0 | 1:
                    values.append(select(p, x, y))
                case 2:
                    conditions.append(compare(x, y, str(rng.choice(RELATIONS)), kind))
                case 3:
                    f = str(rng.choice(["and", "or", "xor"]))
                    conditions.append(binary(f, p, q) if rng.random() < 0.7 else unary("not", p))
                case 4:
                    values.append(convert(p, dtype))
                case _:
                    values.append(binary(str(rng.choice(["add", "multiply", "maximum"])), x, y))
    return builder.finish([values[-1], conditions[-1], one_of(values)])


def _check(found, inputs, equal):
    for index, other, _ in found.pairs:
        graph = Graph(found.graph.inputs, tuple(found.nodes), (index, other))
        with np.errstate(all="ignore"):
            left, right = evaluate(graph, inputs)
        assert equal(left, right), f"{graph}\n{left}\n{right}"


def _same_bits(left, right):
    numbers = np.isnan(left) == np.isnan(right) if left.dtype.kind == "f" else True
    kept = ~np.isnan(left) if left.dtype.kind == "f" else np.ones(left.shape, bool)
    return np.all(numbers) and left[kept].tobytes() == right[kept].tobytes()


def _same_numbers(left, right):
    return np.array_equal(left, right, equal_nan=left.dtype.kind == "f")


@pytest.mark.parametrize("dtype", ["f32", "f64", "i32", "i8"])
@pytest.mark.parametrize("numerics", [BITWISE, ROUNDING, FINITE], ids=lambda n: n.name)
def test_both_sides_agree(dtype, numerics):
    count = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        is_float = dtype.startswith("f")
        values = np.array(SPECIAL if is_float else range(-3, 6))
        if numerics is FINITE and is_float:
            values = values[np.isfinite(values)]
        kind = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i8": np.int8}[dtype]
        inputs = _pairs(rng, values.astype(kind))
        graph = _random_choices(rng, dtype, inputs[0].size)
        found = found_by(work_out_cases, graph, numerics)
        _check(found, inputs, _same_bits if numerics is BITWISE else _same_numbers)
        count += len(found.pairs)
    assert count > 50


X, Y = np.ones((4, 5), np.float32), np.zeros((4, 5), np.float32)
P, Q = X > 0, Y > 0


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda x, y: jnp.where(x > 2, y, jnp.where(x > 3, y + 1, x)), (X, Y)),
        (lambda p, q, x, y: jnp.where(p, jnp.where(p | q, x, y), y), (P, Q, X, Y)),
        (lambda p, q: (p.astype(int) + q.astype(int)) == 2, (P, Q)),
        (lambda x: jnp.where(x == 0, 0.0, x), (X,)),
    ],
    ids=["implied", "weaker", "counted", "equal"],
)
def test_one_case_less(function, arguments):
    assert found_by(work_out_cases, program_of(function, *arguments).graph).pairs


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda x, y: jnp.where(x > 3, y, jnp.where(x > 2, y + 1, x)), (X, Y)),
        (lambda p, q, x, y: jnp.where(p, jnp.where(q, x, y), y * 2), (P, Q, X, Y)),
        (lambda x, y: jnp.where(x > 0, x, jnp.where(x <= 0, y, x + y)), (X, Y)),
    ],
    ids=["possible", "independent", "nan"],
)
def test_no_case_is_lost(function, arguments):
    assert not found_by(work_out_cases, program_of(function, *arguments).graph).pairs
