"""What a `blocked_dot` is in StableHLO: one reduction with several results, put together.

XLA:CPU makes one loop of such a reduction and takes its producers in (conversions, slices,
arithmetic), while a product reads operands from memory only, and sums with one result are its
library's, which takes less in. The sums that the loop has under way do not wait for each other, as
the terms of a single one do: that is what the blocks are for.
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


def blocked_dot_as_reduction(attributes: Any, operands: Sequence[TensorType]) -> Graph:
    """The program that computes a `blocked_dot` of operands of these types."""
    dimensions, blocks, dtype = attributes
    blocks = Blocks(*blocks)
    wide = max((dtype, *(x.dtype for x in operands)), key=_size_of_sums)
    builder = GraphBuilder(tuple(operands))
    with building(builder):
        terms = _terms(DotDimensions(*dimensions), builder.parameters, accumulation_dtype(wide))
        parts = _sums(builder, list(_cut(terms, blocks)), len(blocks.counts))
        return builder.finish([convert(_joined(parts, blocks), dtype)])


def _size_of_sums(dtype: str) -> int:
    return numpy_dtype(accumulation_dtype(dtype)).itemsize


def _terms(d: DotDimensions, operands: Sequence[Value], wide: str) -> Value:
    """What is summed: products with the result's dimensions first, then those contracted."""
    x, y = operands
    x_free, y_free = d.lhs_free(x.rank), d.rhs_free(y.rank)
    shape = [x.shape[i] for i in d.lhs_batch + x_free]
    shape += [y.shape[i] for i in y_free] + [x.shape[i] for i in d.lhs_contract]
    first, last = len(d.lhs_batch), len(shape) - len(d.lhs_contract)
    batch, contracted = range(first), range(last, len(shape))
    middle = first + len(x_free)
    x_order, y_order = d.lhs_batch + x_free + d.lhs_contract, d.rhs_batch + y_free + d.rhs_contract
    left = _placed(convert(x, wide), x_order, (*range(middle), *contracted), shape)
    right = _placed(convert(y, wide), y_order, (*batch, *range(middle, last), *contracted), shape)
    terms: Value = multiply(left, right)
    return terms


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
