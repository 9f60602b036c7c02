"""Remainders by quotients in double precision: the same numbers as exact subtraction gives."""

from __future__ import annotations

import numpy as np
import pytest

from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Graph
from saturax.graph.reference import evaluate
from saturax.graph.types import TensorType
from saturax.rules.remainders import remainder_in_double_precision

COUNT = 2000
Pair = tuple[np.ndarray, np.ndarray]


def right_side(count: int) -> Graph:
    """The rule's right side on operands of `count` elements."""
    type = TensorType((count,), "f32")
    builder = GraphBuilder((type, type))
    with building(builder):
        result = remainder_in_double_precision.right(*builder.parameters)
    assert result is not None
    return builder.finish([result])


def remainder(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        (result,) = evaluate(right_side(x.size), [x, y])
    return result


def beside_multiples(bits: int, side: float) -> Pair:
    """Multiples of random divisors by up to 2^bits, rounded, and their neighbours on a side."""
    rng = np.random.default_rng(bits)
    decades = 10.0 ** rng.integers(-8, 8, COUNT)
    y = (rng.standard_normal(COUNT) * decades).astype(np.float32)
    multiple = rng.integers(1, 2**bits, COUNT, endpoint=True) * y.astype(np.float64)
    x = multiple.astype(np.float32)
    return (x if side == 0 else np.nextafter(x, np.float32(side))), y


@pytest.mark.parametrize("side", [0.0, np.inf, -np.inf])
@pytest.mark.parametrize("bits", [0, 1, 2, 10, 24, 27])
def test_every_bit_beside_multiples(bits: int, side: float) -> None:
    x, y = beside_multiples(bits, side)
    found, expected = remainder(x, y), np.fmod(x, y)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def test_zeros_infinities_and_nan() -> None:
    values = np.array([0.0, -0.0, 1.0, -2.5, 3e6, np.inf, -np.inf, np.nan], np.float32)
    x, y = (grid.reshape(-1) for grid in np.meshgrid(values, values))
    with np.errstate(invalid="ignore"):
        expected = np.fmod(x, y)
    np.testing.assert_array_equal(remainder(x, y), expected)


def test_large_quotients_stay_within_the_divisor() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2**32, (2, COUNT), np.uint32).view(np.float32)
    is_finite = np.isfinite(x) & np.isfinite(y) & (y != 0)
    found = remainder(x[is_finite], y[is_finite])
    assert (np.abs(found) < np.abs(y[is_finite])).all()
