"""What a `blocked_dot` is in StableHLO: one reduction with several results, put together.

XLA:CPU makes one loop of such a reduction and takes its producers in (conversions, slices,
arithmetic), while a product reads operands from memory only, and sums with one result are its
library's, which takes less in. The sums that the loop has under way do not wait for each other, as
the terms of a single one do: that is what the blocks are for. Each sum is one term after the other;
in a few parts, added at the end, it is as accurate as the library's sums in the lanes of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    Blocks,
    DotDimensions,
    Generic,
    add,
    broadcast_in_dim,
    concatenate_all,
    constant,
    convert,
    get_result,
    multiply,
    reduce_,
    reshape,
    slice_,
)
from saturax.graph.types import TensorType, TupleType, accumulation_dtype, numpy_dtype

# Sums of 288 to 768 terms have 2.5 times the error of XLA:CPU's own products, 1 to 1.1 times in 8
# parts, which take at most 6 % longer (4 accumulators for two parts each take 50 % longer).
_MOST_PARTS, _LEAST_TERMS = 8, 32


def blocked_dot_as_reduction(attributes: Any, operands: Sequence[TensorType]) -> Graph:
    """The program that computes a `blocked_dot` of operands of these types."""
    dimensions, blocks, dtype = attributes
    d, blocks = DotDimensions(*dimensions), Blocks(*blocks)
    wide = max((dtype, *(x.dtype for x in operands)), key=_size_of_sums)
    builder = GraphBuilder(tuple(operands))
    with building(builder):
        x, y = builder.parameters
        if not d.lhs_contract:
            x, y = (reshape(operand, (*operand.shape, 1)) for operand in (x, y))
            d = d._replace(lhs_contract=(x.rank - 1,), rhs_contract=(y.rank - 1,))
        terms = _terms(d, (x, y), accumulation_dtype(wide))
        sums = _sums(builder, list(_cut(terms, blocks)), len(blocks.counts) + 1)
        return builder.finish([convert(_joined([*map(_added, sums)], blocks), dtype)])


def _parts_of(length: int) -> int:
    """In how many parts a sum of so many terms is computed."""
    fitting = (n for n in range(2, _MOST_PARTS + 1) if length % n == 0)
    return max((n for n in fitting if length // n >= _LEAST_TERMS), default=1)


def _size_of_sums(dtype: str) -> int:
    return numpy_dtype(accumulation_dtype(dtype)).itemsize


def _terms(d: DotDimensions, operands: tuple[Value, Value], wide: str) -> Value:
    """What is summed: products with the result's dimensions first, then the parts of the first
    contracted one, then those contracted.
    """
    x, y = operands
    x_free, y_free = d.lhs_free(x.rank), d.rhs_free(y.rank)
    shape = [x.shape[i] for i in d.lhs_batch + x_free] + [y.shape[i] for i in y_free]
    first, middle, last = len(d.lhs_batch), len(d.lhs_batch) + len(x_free), len(shape)
    length, *others = (x.shape[i] for i in d.lhs_contract)
    parts = _parts_of(length)
    shape += [parts, length // parts, *others]
    batch, contracted = range(first), range(last, len(shape))
    x, x_order = _in_parts(x, d.lhs_batch + x_free + d.lhs_contract, d.lhs_contract[0], parts)
    y, y_order = _in_parts(y, d.rhs_batch + y_free + d.rhs_contract, d.rhs_contract[0], parts)
    left = _placed(convert(x, wide), x_order, (*range(middle), *contracted), shape)
    right = _placed(convert(y, wide), y_order, (*batch, *range(middle, last), *contracted), shape)
    terms: Value = multiply(left, right)
    return terms


def _in_parts(
    x: Value, order: Sequence[int], dimension: int, parts: int
) -> tuple[Value, list[int]]:
    """x with a dimension cut in parts, which are a dimension before it, and so in the order."""
    before, after = x.shape[:dimension], x.shape[dimension + 1 :]
    cut: Value = reshape(x, (*before, parts, x.shape[dimension] // parts, *after))
    places = [(i, i + 1) if i == dimension else (i + (i > dimension),) for i in order]
    return cut, [i for group in places for i in group]


def _placed(x: Value, order: Sequence[int], places: Sequence[int], shape: Sequence[int]) -> Any:
    """x repeated into a shape, its dimensions in this order being those at `places`."""
    place_of = dict(zip(order, places, strict=True))
    return broadcast_in_dim(x, shape, [place_of[i] for i in range(x.rank)])


def _cut(terms: Value, blocks: Blocks) -> Iterator[Value]:
    """The terms of each block of the result, the last dimension's blocks following each other."""
    rest = terms.rank - len(blocks.counts)
    counts = (*blocks.counts, *(1,) * rest)
    sizes = [n // count for n, count in zip(terms.shape, counts, strict=True)]
    for place in product(*map(range, counts)):
        if blocks.is_interleaved:
            yield slice_(terms, place, terms.shape, counts)
        else:
            starts = [i * size for i, size in zip(place, sizes, strict=True)]
            ends = [start + size for start, size in zip(starts, sizes, strict=True)]
            yield slice_(terms, starts, ends, (1,) * terms.rank)


def _sums(builder: GraphBuilder, parts: Sequence[Value], kept: int) -> list[Value]:
    """Each part summed over all but its first dimensions, in one loop for all of them."""
    dimensions = range(kept, parts[0].rank)
    if len(parts) == 1:
        return [reduce_("add", parts[0], tuple(dimensions))]
    type = TensorType(parts[0].shape[:kept], parts[0].dtype)
    zero = constant(Literal(np.zeros((), numpy_dtype(type.dtype))))
    text = ", ".join(map(str, dimensions))
    named = ("dimensions", f"array<i64: {text}>" if text else "array<i64>")
    generic = Generic((named,), (_additions(type.dtype, len(parts)),))
    operands = [*parts, *(zero for _ in parts)]
    sums = builder.generic(
        "stablehlo.reduce", (generic,), operands, TupleType((type,) * len(parts))
    )
    return [get_result(sums, i) for i in range(len(parts))]


@cache
def _additions(dtype: str, count: int) -> Graph:
    """The body of the reduction: to each sum its own term is added."""
    builder = GraphBuilder((TensorType((), dtype),) * (2 * count), exact=True)
    sums, terms = builder.parameters[:count], builder.parameters[count:]
    with building(builder):
        return builder.finish([add(x, y) for x, y in zip(sums, terms, strict=True)])


def _added(sums: Value) -> Value:
    """The sums of the parts, along the last dimension, added in pairs."""
    *kept, count = sums.shape
    starts = [0] * len(kept)
    terms: list[Value] = [
        reshape(slice_(sums, (*starts, i), (*kept, i + 1), (1,) * sums.rank), kept)
        for i in range(count)
    ]
    while len(terms) > 1:
        odd = terms[len(terms) // 2 * 2 :]
        terms = [add(x, y) for x, y in zip(terms[::2], terms[1::2], strict=False)] + odd
    (total,) = terms
    return total


def _joined(parts: Sequence[Value], blocks: Blocks) -> Value:
    """The result, of its blocks: dimension after dimension, the last one first."""
    for dimension in reversed(range(len(blocks.counts))):
        count = blocks.counts[dimension]
        groups = [parts[i : i + count] for i in range(0, len(parts), count)]
        join = _interleaved if blocks.is_interleaved else concatenate_all
        parts = [join(group, dimension) for group in groups]
    (result,) = parts
    return result


def _interleaved(parts: Sequence[Value], dimension: int) -> Value:
    """Element i of each part in turn along a dimension, then element i + 1 of each."""
    shape = parts[0].shape
    columns = [reshape(x, (*shape[: dimension + 1], 1, *shape[dimension + 1 :])) for x in parts]
    merged = (*shape[:dimension], shape[dimension] * len(parts), *shape[dimension + 1 :])
    result: Value = reshape(concatenate_all(columns, dimension + 1), merged)
    return result
