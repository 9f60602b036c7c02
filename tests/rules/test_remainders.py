"""Remainders by quotients or by a few subtractions: the same numbers as the library gives."""

from __future__ import annotations

import numpy as np
import pytest

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.ops import binary, convert, full, maximum, minimum, unary
from saturax.graph.reference import evaluate
from saturax.graph.types import TensorType
from saturax.rules.facts import bounds_of, never_nan
from saturax.rules.remainders import remainder_in_double_precision, remainder_of_few_multiples

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


def bounded(x: Value, most: float) -> Value:
    return minimum(maximum(x, full(-most, x.type)), full(most, x.type))


def by_few_multiples(divisor: float, most: float) -> Graph | None:
    """The rule's right side for numbers up to `most`; None where it does not apply."""
    type = TensorType((COUNT,), "f32")
    builder = GraphBuilder((type,))
    with building(builder):
        x = bounded(builder.parameters[0], most)
        result = remainder_of_few_multiples.apply({}, {"x": x, "y": full(divisor, type)})
    return None if result is None else builder.finish([result])


@pytest.mark.parametrize("divisor", [55.128, -55.128, 0.1, 1e-30, 3e38])
@pytest.mark.parametrize("multiples", [1.5, 2.0, 3.5, 7.9])
def test_every_bit_within_few_multiples(divisor: float, multiples: float) -> None:
    y = np.float32(divisor)
    most = float(np.float32(min(multiples * abs(float(y)), float(np.finfo("f4").max))))
    graph = by_few_multiples(float(y), most)
    assert graph is not None
    rng = np.random.default_rng(0)
    x = (rng.uniform(-1, 1, COUNT) * most).astype(np.float32)
    few = np.float32(most) / np.abs(y) // 1 * y * np.array([1, -1], np.float32)
    x[:6] = [0.0, -0.0, y, -y, *few]
    x[6:10] = [np.nextafter(y, 0), np.nan, 1e-40, -1e-40]
    (found,) = evaluate(graph, [x])
    expected = np.fmod(x, y)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found[~np.isnan(x)]), np.signbit(x[~np.isnan(x)]))


@pytest.mark.parametrize(("divisor", "most"), [(1.0, 8.0), (0.0, 1.0), (1.0, np.inf), (1e-36, 0.0)])
def test_many_multiples_and_denormal_differences_are_left_alone(
    divisor: float, most: float
) -> None:
    assert by_few_multiples(divisor, most) is None


def test_remainders_of_floats_are_bounded() -> None:
    type = TensorType((4,), "f32")
    builder = GraphBuilder((type, TensorType((4,), "i8")))
    with building(builder):
        divisor = full(2.5, type)
        x, n = builder.parameters[0], convert(builder.parameters[1], "f32")
        of_all, of_numbers = binary("remainder", x, divisor), binary("remainder", n, divisor)
        assert bounds_of(of_all) == pytest.approx((-2.5, 2.5), rel=1e-3)
        assert bounds_of(of_all)[0] <= -2.5
        assert not never_nan(of_all)
        assert never_nan(of_numbers)
        assert bounds_of(binary("remainder", unary("abs", n), divisor))[0] == 0
        assert not never_nan(binary("remainder", n, n))
