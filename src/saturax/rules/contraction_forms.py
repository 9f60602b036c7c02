"""`dot_general` as other operations, and other operations as `dot_general`.

Letters as in `contraction`: dimension numbers d, precision p, result type t.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    Blocks,
    DotDimensions,
    Precision,
    add,
    binary,
    blocked_dot,
    broadcast_in_dim,
    constant,
    convert,
    dot_general,
    full,
    multiply,
    reduce_,
    reshape,
    slice_dimension,
    subtract,
    unary,
)
from saturax.graph.types import TensorType, is_complex
from saturax.rules.arithmetic import accumulation_dtype, converts_exactly, is_finite, is_uniform
from saturax.rules.contraction import SPEC
from saturax.rules.einsum import (
    Einsum,
    Labels,
    along,
    contract,
    einsum_of,
    sizes,
    sum_of_products,
)
from saturax.rules.facts import has_numbers
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.shapes import Shape, picked

Dimensions = tuple[int, ...]

SMALL = 8
"""Sizes up to which a batched product is written as multiplications and sums: 4×4 gained 9.6×."""


def _multiplies_exactly(x: Value, y: Value, t: str) -> bool:
    """Whether elements of x and y can be multiplied in the type in which the dot accumulates."""
    wide = accumulation_dtype(t)
    return converts_exactly(x.dtype, wide) and converts_exactly(y.dtype, wide)


@rule(lambda x, y, d, p, t: dot_general(x, y, d, p, t), numerics=ROUNDING, source=SPEC)
def outer_product_as_multiply(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
    """x · y = broadcast(x)·broadcast(y) if no dimension larger than 1 is contracted"""
    need(all(x.shape[i] == 1 for i in d.lhs_contract) and _multiplies_exactly(x, y, t))
    labels = einsum_of(d, x.rank, y.rank)
    size = sizes(labels.x, x.shape) | sizes(labels.y, y.shape)
    wide = accumulation_dtype(t)

    def factor(operand: Value, own: Labels) -> Any:
        kept = [i for i, label in enumerate(own) if label in labels.result]
        dropped = reshape(convert(operand, wide), picked(operand.shape, kept))
        return along(dropped, tuple(own[i] for i in kept), labels.result, size)

    return convert(multiply(factor(x, labels.x), factor(y, labels.y)), t)


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source="XLA:CPU runs 4096 products of 4×4 matrices 9.6 times slower than this sum",
)
def small_dots_as_products(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
    """x · y = Σ x·y if its free dimensions, and the contracted one or no free one, are at most 8"""
    need(_multiplies_exactly(x, y, t) and prod(x.shape[i] for i in d.lhs_batch) > 1)
    rows = prod(x.shape[i] for i in d.lhs_free(x.rank))
    columns = prod(y.shape[i] for i in d.rhs_free(y.rank))
    depth = prod(x.shape[i] for i in d.lhs_contract)
    need(0 < rows <= SMALL and 0 < columns <= SMALL and depth > 1)
    need(depth <= SMALL or rows * columns == 1)
    return sum_of_products(x, y, einsum_of(d, x.rank, y.rank), t)


# Its operands are not copied first where they are slices, converted or scaled: XLA:CPU took 0.4 to
# 0.6 of the time for matrices of 288 × 768 out of a stack of weights, and 0.2 for 1024 × 1024.
# Accumulators along what is contiguous in memory are loaded together; eight at a time are slower.
MOST_ROWS = 4
_LEAST_MATRIX = 1 << 14
_ACCUMULATORS, _ACCUMULATORS_SIDE_BY_SIDE, _LEAST_ACCUMULATORS = 8, 4, 4


def _few_rows(rng: np.random.Generator) -> dict[str, Any]:
    """Random operands of such a size, in any order."""
    rows, is_batched = int(rng.integers(1, MOST_ROWS + 1)), bool(rng.integers(2))
    shapes = {"n": 32 if is_batched else 128, "k": 128, "m": rows, "b": 4}
    matrix, other = ["n", "k", *"b" * is_batched], ["k", *"m" * (rows > 1), *"b" * is_batched]
    rng.shuffle(matrix)
    rng.shuffle(other)
    x, y = (matrix, other) if rows == 1 or rng.integers(2) else (other, matrix)
    batch, contract = ([own.index(n) for n in "b" * is_batched] for own in (x, y)), "k"
    left, right = (tuple(places) for places in batch)
    d = DotDimensions(left, right, (x.index(contract),), (y.index(contract),))
    dtype = str(rng.choice(["f32", "f64", "bf16", "i32"]))
    types = (TensorType(tuple(shapes[n] for n in own), dtype) for own in (x, y))
    return dict(zip("xy", types, strict=True)) | {"d": d, "p": Precision(), "t": dtype}


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source="measured with XLA:CPU",
    examples=_few_rows,
)
def few_rows_in_blocks(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
    """x · y in blocks, if one of them is large and each of its elements is used at most 4 times"""
    need(not p.algorithm and _multiplies_exactly(x, y, t) and 1 not in x.shape + y.shape)
    labels = einsum_of(d, x.rank, y.rank)
    size = sizes(labels.x, x.shape) | sizes(labels.y, y.shape)
    matrix, own = (x, labels.x) if x.size >= y.size else (y, labels.y)
    rows = prod(size[label] for label in labels.result if label not in own)
    need(matrix.size >= _LEAST_MATRIX and rows <= MOST_ROWS and (rows > 1 or matrix is x))
    kept = [label for label in own if label in labels.result]
    need(kept and len(kept) < len(own))
    is_interleaved = own[-1] in kept
    most = (_ACCUMULATORS_SIDE_BY_SIDE if is_interleaved else _ACCUMULATORS) // rows
    count = max(n for n in range(1, most + 1) if size[kept[-1]] % n == 0)
    need(rows * count >= _LEAST_ACCUMULATORS)
    parts = dict.fromkeys(kept, 1) | {kept[-1]: count}
    counts = tuple(parts.get(label, size[label]) for label in labels.result)
    return blocked_dot(x, y, d, Blocks(counts, is_interleaved), t)


@rule(lambda x, y, e: reduce_("add", multiply(x, y), e), numerics=ROUNDING, source=SPEC)
def sum_of_products_as_dot(x: Value, y: Value, e: Dimensions) -> Any:
    """Σ x·y = x · y over all dimensions"""
    need(x.rank == len(e) > 0 and accumulation_dtype(x.dtype) == x.dtype)
    d = DotDimensions((), (), tuple(range(x.rank)), tuple(range(x.rank)))
    return dot_general(x, y, d, Precision(), x.dtype)


@rule(
    lambda x, y, u, f, e: reduce_("add", multiply(x, broadcast_in_dim(y, u, f)), e),
    numerics=ROUNDING,
    source=SPEC,
)
def sum_of_scaled_as_dot(x: Value, y: Value, u: Shape, f: Dimensions, e: Dimensions) -> Any:
    """Σₑ x·broadcast(y) = x · y, with x summed along what only it has, if e holds all of y's"""
    need(accumulation_dtype(x.dtype) == x.dtype and 0 not in u)
    right, y_labels = _varying(y, f)
    need(y_labels and all(i in e for i in y_labels))
    own = tuple(range(x.rank))
    left, x_labels = _summed(x, own, tuple(i for i in e if i not in y_labels))
    result = tuple(i for i in own if i not in e)
    return contract(left, right, Einsum(x_labels, y_labels, result), Precision(), x.dtype)


@rule(
    lambda x, s, d, y, u, f, e: reduce_(
        "add", multiply(broadcast_in_dim(x, s, d), broadcast_in_dim(y, u, f)), e
    ),
    numerics=ROUNDING,
    source=SPEC,
)
def sum_of_broadcast_products_as_dot(
    x: Value, s: Shape, d: Dimensions, y: Value, u: Shape, f: Dimensions, e: Dimensions
) -> Any:
    """Σₑ broadcast(x)·broadcast(y) = x · y, with sums over what only one of them has"""
    need(e and accumulation_dtype(x.dtype) == x.dtype and 0 not in s)
    left, x_labels = _varying(x, d)
    right, y_labels = _varying(y, f)
    need(all(i in x_labels + y_labels for i in e))
    need(any(i in x_labels and i in y_labels for i in e))
    left, x_labels = _summed(left, x_labels, tuple(i for i in e if i not in y_labels))
    right, y_labels = _summed(right, y_labels, tuple(i for i in e if i not in x_labels))
    kept = tuple(i for i in range(len(s)) if i not in e)
    result = tuple(i for i in kept if i in x_labels + y_labels)
    product = contract(left, right, Einsum(x_labels, y_labels, result), Precision(), x.dtype)
    return along(product, result, kept, dict(enumerate(s)))


def _varying(x: Value, d: Dimensions) -> tuple[Any, Labels]:
    """x without dimensions of size 1, labelled by where d broadcasts the others."""
    varying = [i for i, n in enumerate(x.shape) if n != 1]
    return reshape(x, picked(x.shape, varying)), picked(d, varying)


def _summed(x: Value, labels: Labels, dropped: Labels) -> tuple[Any, Labels]:
    """x summed over the dimensions with `dropped` labels."""
    dimensions = tuple(i for i, label in enumerate(labels) if label in dropped)
    rest = tuple(label for label in labels if label not in dropped)
    return reduce_("add", x, dimensions), rest


@rule(lambda x, c, d, p, t: dot_general(x, constant(c), d, p, t), numerics=ROUNDING, source=SPEC)
def dot_with_equal_elements_on_the_right(
    x: Value, c: Literal, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · c = c·Σx if all elements of c are equal"""
    labels = einsum_of(d, x.rank, len(c.type.shape))
    return _sum_times(x, labels.x, c, labels.y, labels.result, t)


@rule(lambda c, y, d, p, t: dot_general(constant(c), y, d, p, t), numerics=ROUNDING, source=SPEC)
def dot_with_equal_elements_on_the_left(
    c: Literal, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """c · y = c·Σy if all elements of c are equal"""
    labels = einsum_of(d, len(c.type.shape), y.rank)
    return _sum_times(y, labels.y, c, labels.x, labels.result, t)


def _sum_times(x: Value, own: Labels, c: Literal, other: Labels, result: Labels, t: str) -> Any:
    wide = accumulation_dtype(t)
    need(c.is_splat and converts_exactly(x.dtype, wide) and converts_exactly(c.type.dtype, wide))
    # NaN times an empty sum is not an empty sum.
    need(is_finite(c))
    total, left = _summed(convert(x, wide), own, tuple(i for i in own if i not in result))
    size = sizes(own, x.shape) | sizes(other, c.type.shape)
    scaled = multiply(total, full(c.value, total.tensor))
    return convert(along(scaled, left, result, size), t)


# Quadrature weights, stencils and moments: as one product they are a kernel, and what they weigh is
# written first; as a sum they are part of the kernel that uses them.
_MOST_COEFFICIENTS = 16


@rule(
    lambda x, c, d, p, t: dot_general(x, constant(c), d, p, t),
    numerics=ROUNDING,
    source="definition of the product",
    uses_facts=True,
)
def dot_with_few_numbers_on_the_right(
    x: Value, c: Literal, d: DotDimensions, p: Precision, t: str
) -> Any:
    """x · c = Σⱼ cⱼ·xⱼ for at most 16 numbers, where cⱼ is not 0"""
    labels = einsum_of(d, x.rank, len(c.type.shape))
    return _weighted(x, labels.x, c, labels.y, labels.result, t)


@rule(
    lambda c, y, d, p, t: dot_general(constant(c), y, d, p, t),
    numerics=ROUNDING,
    source="definition of the product",
    uses_facts=True,
)
def dot_with_few_numbers_on_the_left(
    c: Literal, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """c · y = Σⱼ cⱼ·yⱼ for at most 16 numbers, where cⱼ is not 0"""
    labels = einsum_of(d, len(c.type.shape), y.rank)
    return _weighted(y, labels.y, c, labels.x, labels.result, t)


def _weighted(x: Value, own: Labels, c: Literal, other: Labels, result: Labels, t: str) -> Any:
    """The sum of x at each place along the one dimension that c weighs, times what c has there."""
    wide = accumulation_dtype(t)
    size = sizes(own, x.shape) | sizes(other, c.type.shape)
    weighed = [label for label in own if label not in result and size[label] > 1]
    need(len(weighed) == 1 and c.type.size == size[weighed[0]] <= _MOST_COEFFICIENTS)
    need(x.size > c.type.size)
    # 0 times NaN or infinity is not 0.
    need(c.array.all() or has_numbers(x))
    need(converts_exactly(x.dtype, wide) and converts_exactly(c.type.dtype, wide) and is_finite(c))
    need(not is_complex(wide) and not c.is_splat)
    along_it, kept = own.index(weighed[0]), tuple(label for label in own if label in result)
    total = None
    for place, number in enumerate(c.array.reshape(-1).tolist()):
        if number == 0:
            continue
        row = slice_dimension(x, along_it, place, place + 1)
        row = convert(reshape(row, tuple(size[label] for label in kept)), wide)
        term = row if number == 1 else multiply(row, full(number, row.tensor))
        total = term if total is None else add(total, term)
    return None if total is None else convert(along(total, kept, result, size), t)


# Points in space, colours, the experts of a token: XLA:CPU hands such products to a library, with
# copies where they are batched, and what follows reads the result from memory.
_SHORT = 4
_LEAST_RESULT = 1 << 10


def _short_sums(rng: np.random.Generator) -> dict[str, Any]:
    """Operands that share 2 to 4 numbers, with and without a batch, in any order."""
    names = ["k", "m", *"b" * int(rng.integers(2))]
    sizes_ = {"k": int(rng.integers(2, _SHORT + 1)), "m": 8, "n": 128, "b": 4}
    left, right = list(names), ["k", "n", *names[2:]]
    rng.shuffle(left)
    rng.shuffle(right)
    before, after = (tuple(own.index(b) for b in names[2:]) for own in (left, right))
    d = DotDimensions(before, after, (left.index("k"),), (right.index("k"),))
    dtype = str(rng.choice(["f32", "f64", "bf16", "i32"]))
    x, y = (TensorType(tuple(sizes_[name] for name in own), dtype) for own in (left, right))
    return {"x": x, "y": y, "d": d, "p": Precision(), "t": dtype}


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source="definition of the product",
    examples=_short_sums,
)
def short_dot_as_sum(x: Value, y: Value, d: DotDimensions, p: Precision, t: str) -> Any:
    """x · y = x₀·y₀ + x₁·y₁ + … if 2 to 4 numbers are contracted and there are 1024 results"""
    need(len(d.lhs_contract) == 1 and 2 <= x.shape[d.lhs_contract[0]] <= _SHORT)
    labels = einsum_of(d, x.rank, y.rank)
    size = sizes(labels.x, x.shape) | sizes(labels.y, y.shape)
    need(prod(size[label] for label in labels.result) >= _LEAST_RESULT)
    need(not p.algorithm and _multiplies_exactly(x, y, t) and not is_complex(t))
    wide = accumulation_dtype(t)

    def row(operand: Value, own: Labels, at: int, place: int) -> Any:
        kept = tuple(label for label in own if label in labels.result)
        part = reshape(slice_dimension(operand, at, place, place + 1), [size[k] for k in kept])
        return along(convert(part, wide), kept, labels.result, size)

    total = None
    for place in range(x.shape[d.lhs_contract[0]]):
        left = row(x, labels.x, d.lhs_contract[0], place)
        term = multiply(left, row(y, labels.y, d.rhs_contract[0], place))
        total = term if total is None else add(total, term)
    return convert(total, t)


@rule(
    lambda x, y, d, p, t: dot_general(x, y, d, p, t),
    numerics=ROUNDING,
    source="Gauss: a product of complex numbers takes three real ones",
)
def complex_dot_as_three_real_dots(
    x: Value, y: Value, d: DotDimensions, p: Precision, t: str
) -> Any:
    """(a+bi) · (c+ei) = (k - b·(c+e)) + (k + a·(e-c))i with k = (a+b)·c"""
    need(is_complex(t) and is_uniform(t, x, y))
    real = t[8:-1]
    a, b, c, e = unary("real", x), unary("imag", x), unary("real", y), unary("imag", y)
    first = dot_general(add(a, b), c, d, p, real)
    second = dot_general(a, subtract(e, c), d, p, real)
    third = dot_general(b, add(c, e), d, p, real)
    return binary("complex", subtract(first, third), add(first, second))
