"""What is known of sums: contractions, convolutions and reductions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from saturax.facts.bands import band_of, fitting_band, flipped, product_band
from saturax.facts.elementwise import is_absorbed
from saturax.facts.model import (
    NOTHING,
    SYMMETRIC,
    UNIT,
    Band,
    Facts,
    Known,
    Range,
    tensor_type,
)
from saturax.facts.ranges import (
    INF,
    REALS,
    binary_range,
    limits,
    range_of,
    rounded,
    square,
    wrapped,
)
from saturax.graph.ops.contraction import ConvDimensions, DotDimensions
from saturax.graph.ops.linear_algebra import Triangle
from saturax.graph.ops.reduction import ReduceWindow
from saturax.graph.types import TensorType


def sum_range(term: Range, least: int, most: int, dtype: str) -> Range | None:
    """The range of a sum of `least` to `most` terms of `dtype`."""
    low = min(_times(least, term.low), _times(most, term.low))
    high = max(_times(least, term.high), _times(most, term.high))
    if dtype not in REALS:
        return wrapped(low, high, dtype)
    # Partial sums are at most as large, and each addition rounds.
    magnitude = max(abs(_times(most, term.low)), abs(_times(most, term.high)))
    nan = term.may_be_nan or (term.low == -INF and term.high == INF)
    if magnitude == INF:
        if term.low >= 0 or term.high <= 0:
            return Range(0.0, INF, nan) if term.low >= 0 else Range(-INF, 0.0, nan)
        return Range(-INF, INF, True)
    found = rounded(low, high, nan, dtype, magnitude, max(most, 1))
    if found.low < 0 <= low or found.high > 0 >= high:
        found = found._replace(
            low=max(found.low, 0.0) if low >= 0 else found.low,
            high=min(found.high, 0.0) if high <= 0 else found.high,
        )
    return found


def _times(count: int, value: Any) -> Any:
    return 0 if count == 0 or value == 0 else count * value


def _product_range(x: Facts, y: Facts, dtype: str, is_same: bool) -> Range | None:
    """The range of products of elements, if they are of the result's type."""
    left, right = range_of(x), range_of(y)
    if left is None or right is None or {tensor_type(x).dtype, tensor_type(y).dtype} != {dtype}:
        return None
    return square(left, dtype) if is_same else binary_range("multiply", left, right, dtype)


def dot_general(
    attributes: Any,
    children: Sequence[Facts],
    type: TensorType,
    is_same: bool = False,
    zeros_absorb: bool = False,
) -> Known:
    """What is known of a contraction."""
    d, (x, y) = DotDimensions(*attributes[0]), children
    mirrors = is_same and d.lhs_batch == d.rhs_batch and d.lhs_contract == d.rhs_contract
    if x.known is NOTHING and y.known is NOTHING and not mirrors:
        return NOTHING
    # Of a Gram matrix only the diagonal has squares; of a dot of a vector with itself, all.
    squares = mirrors and type.rank == len(d.lhs_batch)
    term = _product_range(x, y, type.dtype, squares)
    count = prod(tensor_type(x).shape[i] for i in d.lhs_contract)
    found = sum_range(term, count, count, type.dtype) if term is not None else None
    free = type.rank - len(d.lhs_batch)
    matrix = SYMMETRIC if mirrors and free == 2 else 0
    if is_absorbed(x, True) and is_absorbed(y, True):
        units, band = _product_structure(d, x, y)
        matrix |= units
    else:
        band = None
    found = None if found == limits(type.dtype) else found
    return Known(found, matrix, band=fitting_band(band, type.shape))


def _product_structure(d: DotDimensions, x: Facts, y: Facts) -> tuple[int, Band | None]:
    """Bits and band of banded times banded, of matrices in the last two dimensions."""
    ranks = tensor_type(x).rank, tensor_type(y).rank
    batch = tuple(range(len(d.lhs_batch)))
    plain = d.lhs_batch == d.rhs_batch == batch and ranks == (len(batch) + 2,) * 2
    if not plain or len(d.lhs_contract) != 1:
        return 0, None
    left = flipped(band_of(x)) if d.lhs_contract[0] == len(batch) else band_of(x)
    right = band_of(y) if d.rhs_contract[0] == len(batch) else flipped(band_of(y))
    assert left is not None
    assert right is not None
    triangular = max(left.high, right.high) <= 0 or min(left.low, right.low) >= 0
    units = x.known.matrix & y.known.matrix & UNIT if triangular else 0
    return units, product_band(left, right)


def triangular_solve(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of op(A)⁻¹·B or B·op(A)⁻¹: the inverse is triangular as op(A) is."""
    triangle, (a, b) = Triangle(*attributes[0]), children
    # An element 0 on the diagonal would make 0 / 0 of what lies outside the band.
    has_inverse = triangle.is_unit or bool(a.known.matrix & UNIT)
    if not (has_inverse and is_absorbed(a, True) and is_absorbed(b, True)) or type.rank < 2:
        return NOTHING
    n = tensor_type(a).shape[-1]
    lower = triangle.is_lower == (triangle.transpose == "NO_TRANSPOSE")
    inverse = Band(1 - n, 0) if lower else Band(0, n - 1)
    return Known(band=fitting_band(product_band(inverse, band_of(b)), type.shape))


def convolution(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a convolution: sums of up to as many products as the window has."""
    d, (x, kernel) = ConvDimensions(*attributes[1]), children
    if x.known.range is None and kernel.known.range is None:
        return NOTHING
    term = _product_range(x, kernel, type.dtype, False)
    shape = tensor_type(kernel).shape
    most = prod(shape[i] for i in (d.kernel_input_feature, *d.kernel_spatial))
    found = sum_range(term, 0, most, type.dtype) if term is not None else None
    return NOTHING if found is None or found == limits(type.dtype) else Known(found)


def reduce_(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a reduced value."""
    (f, dimensions), (x,) = attributes, children
    count = prod(tensor_type(x).shape[i] for i in dimensions)
    return _reduced(f, x, count, count, type)


def reduce_window(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of reduced windows, which padding may leave fewer elements."""
    f, window = attributes
    return _reduced(f, children[0], 0, prod(ReduceWindow(*window).size), type)


def _reduced(f: str, x: Facts, least: int, most: int, type: TensorType) -> Known:
    own = x.known.range
    if own is None:
        return NOTHING
    if f == "add":
        return Known(sum_range(own, least, most, type.dtype))
    if f == "multiply":
        inside = own.low >= 0 and own.high <= 1
        if inside or (own.low >= 0 and type.dtype in REALS):
            # ∞ · 0 is NaN; a product of nothing is 1.
            return Known(Range(0, 1 if inside else INF, own.may_be_nan or not inside))
        return NOTHING
    # Of no elements, the identity of f is the result.
    is_extremum = f in ("maximum", "minimum") or type.dtype == "i1"
    return Known(own) if least > 0 and is_extremum else NOTHING
