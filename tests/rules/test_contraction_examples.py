"""Programs that rules on dots and convolutions prove equal, and programs that they must not."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from saturax.egraph import Limits, saturate
from saturax.graph.build import GraphBuilder, building
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    Blocks,
    ConvDimensions,
    DotDimensions,
    GatherDimensions,
    Groups,
    Precision,
    Window,
    add,
    binary,
    broadcast_in_dim,
    compare,
    concatenate,
    concatenate_all,
    constant,
    convert,
    convolution,
    dot_general,
    full,
    full_like,
    gather,
    iota,
    matmul,
    multiply,
    negate,
    pad,
    reduce_,
    reshape,
    select,
    slice_,
    slice_dimension,
    subtract,
    transpose,
)
from saturax.graph.reference import evaluate
from saturax.graph.types import TensorType, numpy_dtype
from saturax.rules import all_rules
from saturax.rules.rule import FINITE
from saturax.rules.sums_as_products import LONGEST_PRODUCT, sum_as_dot
from saturax.rules.windows import channels_first, channels_last
from saturax.search.represent import represent

from .proofs import proves, tensor

A, B, C = tensor(16, 12), tensor(12, 10), tensor(10, 14)


def dot(x: Any, y: Any, batch: int = 0, contract: tuple[int, int] = (1, 0)) -> Any:
    leading = tuple(range(batch))
    d = DotDimensions(leading, leading, (contract[0],), (contract[1],))
    return dot_general(x, y, d, Precision(), "f32")


def columns(v: Any, x: Any) -> Any:
    return broadcast_in_dim(v, x.shape, (1,))


def rows(v: Any, x: Any) -> Any:
    return broadcast_in_dim(v, x.shape, (0,))


# Association, and what does not follow from it.


def test_association_of_four() -> None:
    assert proves(
        lambda a, b, c, x: matmul(matmul(matmul(a, b), c), x),
        lambda a, b, c, x: matmul(a, matmul(b, matmul(c, x))),
        A, B, C, tensor(14, 4),
    )  # fmt: skip


def test_association_in_batches() -> None:
    assert proves(
        lambda a, b, c: dot(dot(a, b, 1, (2, 1)), c, 1, (2, 1)),
        lambda a, b, c: dot(a, dot(b, c, 1, (2, 1)), 1, (2, 1)),
        tensor(3, 4, 5), tensor(3, 5, 6), tensor(3, 6, 4),
    )  # fmt: skip


def test_dots_do_not_commute() -> None:
    square = tensor(6, 6)
    assert not proves(matmul, lambda a, b: matmul(b, a), square, square)


def test_a_difference_of_precision_stops_association() -> None:
    high = Precision(("HIGHEST", "HIGHEST"))
    assert not proves(
        lambda a, b, c: matmul(matmul(a, b, high), c),
        lambda a, b, c: matmul(a, matmul(b, c)),
        A, B, C,
    )  # fmt: skip


def test_narrow_integers_are_not_added_before_a_wide_dot() -> None:
    x, y = tensor(4, 6, dtype="i8"), tensor(6, 4, dtype="i8")

    def wide(a: Any, b: Any) -> Any:
        return matmul(a, b, dtype="i32")

    assert not proves(
        lambda a, b, c: add(wide(a, b), wide(a, c)), lambda a, b, c: wide(a, add(b, c)), x, y, y
    )


# Bilinearity.


def test_factor_a_sum() -> None:
    assert proves(
        lambda a, b, c: subtract(matmul(a, b), matmul(a, c)),
        lambda a, b, c: matmul(a, subtract(b, c)),
        A, B, B,
    )  # fmt: skip


def test_scale_of_rows_and_columns() -> None:
    assert proves(
        lambda a, b, r, c: matmul(multiply(a, rows(r, a)), multiply(b, columns(c, b))),
        lambda a, b, r, c: multiply(
            multiply(matmul(a, b), broadcast_in_dim(r, (16, 10), (0,))),
            broadcast_in_dim(c, (16, 10), (1,)),
        ),
        A, B, tensor(16), tensor(10),
    )  # fmt: skip


def test_scale_of_what_is_contracted_changes_sides() -> None:
    assert proves(
        lambda a, b, d: matmul(multiply(a, columns(d, a)), b),
        lambda a, b, d: matmul(a, multiply(b, rows(d, b))),
        A, B, tensor(12),
    )  # fmt: skip


def test_scale_of_what_is_contracted_cannot_leave() -> None:
    square = tensor(6, 6)
    assert not proves(
        lambda a, b, d: matmul(multiply(a, columns(d, a)), b),
        lambda a, b, d: multiply(matmul(a, b), columns(d, a)),
        square, square, tensor(6),
    )  # fmt: skip


def test_constant_and_sign_leave_the_large_operand() -> None:
    assert proves(
        lambda a, b: matmul(multiply(negate(a), constant(splat(3, a.tensor))), b),
        lambda a, b: negate(multiply(matmul(a, b), constant(splat(3, tensor(16, 2))))),
        A, tensor(12, 2),
    )  # fmt: skip


def test_sum_of_a_product() -> None:
    assert proves(
        lambda a, b: reduce_("add", matmul(a, b), (0, 1)),
        lambda a, b: dot(reduce_("add", a, (0,)), reduce_("add", b, (1,)), 0, (0, 0)),
        A, B,
    )  # fmt: skip


def test_product_of_broadcast_batches() -> None:
    assert proves(
        lambda a, b: dot(
            broadcast_in_dim(a, (5, 16, 12), (1, 2)),
            broadcast_in_dim(b, (5, 12, 10), (1, 2)),
            1,
            (2, 1),
        ),
        lambda a, b: broadcast_in_dim(matmul(a, b), (5, 16, 10), (1, 2)),
        A, B,
    )  # fmt: skip


def test_product_with_ones() -> None:
    assert proves(
        lambda a: matmul(constant(splat(1, tensor(9, 16))), a),
        lambda a: broadcast_in_dim(reduce_("add", a, (0,)), (9, 12), (1,)),
        A,
    )


def test_product_with_few_numbers() -> None:
    numbers = Literal(np.array([0, 1, 0, -1, 2, 0], np.float32))
    x = tensor(6, 5, 7)

    def weighted(x: Any) -> Any:
        row = [reshape(slice_dimension(x, 0, j, j + 1), (5, 7)) for j in range(6)]
        return add(subtract(row[1], row[3]), multiply(row[4], full(2, tensor(5, 7))))

    d = DotDimensions((), (), (0,), (0,))
    for swapped in (False, True):
        assert proves(
            lambda x, swapped=swapped: dot_general(
                *((constant(numbers), x) if swapped else (x, constant(numbers))),
                d, Precision(), "f32",
            ),
            weighted,
            x,
        )  # fmt: skip


def test_zeros_among_few_numbers_stay_where_they_meet_a_written_infinity() -> None:
    numbers = Literal(np.array([0, 1, 0, 2], np.float32))
    d = DotDimensions((), (), (0,), (0,))

    def written_out(x: Any) -> Any:
        row = [reshape(slice_dimension(x, 0, j, j + 1), (16,)) for j in (1, 3)]
        return add(row[0], multiply(row[1], full(2, tensor(16))))

    def infinite_below_zero(x: Any) -> Any:
        return select(compare(x, full_like(x, 0), "GT", "FLOAT"), x, full_like(x, -np.inf))

    def product(x: Any) -> Any:
        return dot_general(x, constant(numbers), d, Precision(), "f32")

    assert proves(product, written_out, tensor(4, 16))
    assert not proves(
        lambda x: product(infinite_below_zero(x)),
        lambda x: written_out(infinite_below_zero(x)),
        tensor(4, 16),
    )


def test_lengths_are_summed_coordinate_by_coordinate() -> None:
    def squared(x: Any) -> Any:
        return multiply(x, x)

    def parts(x: Any) -> Any:
        a, b, c = (squared(reshape(slice_dimension(x, 1, k, k + 1), (20,))) for k in range(3))
        return add(add(a, b), c)

    assert proves(lambda x: reduce_("add", squared(x), (1,)), parts, tensor(20, 3))


def test_points_are_turned_coordinate_by_coordinate() -> None:
    def turned(x: Any, r: Any) -> Any:
        terms = [
            multiply(
                broadcast_in_dim(slice_dimension(x, 1, j, j + 1), (512, 3), (0, 1)),
                broadcast_in_dim(slice_dimension(r, 0, j, j + 1), (512, 3), (0, 1)),
            )
            for j in range(3)
        ]
        return add(add(terms[0], terms[1]), terms[2])

    assert proves(matmul, turned, tensor(512, 3), tensor(3, 3))


# Dimension numbers.


def test_transposes_become_dimension_numbers() -> None:
    assert proves(
        lambda a, b: transpose(matmul(transpose(b, (1, 0)), transpose(a, (1, 0))), (1, 0)),
        matmul,
        A, B,
    )  # fmt: skip


def test_attention_heads_need_no_transposes() -> None:
    def heads(x: Any) -> Any:
        return transpose(x, (0, 2, 1, 3))

    d = DotDimensions((0, 1), (0, 1), (3,), (3,))
    direct = DotDimensions((0, 2), (0, 2), (3,), (3,))
    shape = tensor(2, 9, 4, 8)
    assert proves(
        lambda q, k: dot_general(heads(q), heads(k), d, Precision(), "f32"),
        lambda q, k: dot_general(q, k, direct, Precision(), "f32"),
        shape, shape,
    )  # fmt: skip


def test_leading_dimensions_are_flattened() -> None:
    assert proves(
        lambda x, w: dot(x, w, 0, (2, 0)),
        lambda x, w: reshape(matmul(reshape(x, (20, 12)), w), (4, 5, 10)),
        tensor(4, 5, 12), B,
    )  # fmt: skip


def test_unit_batch_is_dropped() -> None:
    assert proves(
        lambda x, y: dot(x, y, 1, (2, 1)),
        lambda x, y: reshape(matmul(reshape(x, (16, 12)), reshape(y, (12, 10))), (1, 16, 10)),
        tensor(1, 16, 12), tensor(1, 12, 10),
    )  # fmt: skip


def test_matrix_times_vector_in_the_other_orientation() -> None:
    assert proves(matmul, lambda a, v: dot(v, a, 0, (0, 1)), A, tensor(12))


def test_outer_product() -> None:
    assert proves(
        lambda x, y: multiply(
            broadcast_in_dim(x, (7, 9), (0,)), broadcast_in_dim(y, (7, 9), (1,))
        ),
        lambda x, y: dot(reshape(x, (7, 1)), reshape(y, (1, 9))),
        tensor(7), tensor(9),
    )  # fmt: skip


def test_sum_of_broadcast_products() -> None:
    shape = (16, 12, 10)
    assert proves(
        lambda a, b: reduce_(
            "add",
            multiply(broadcast_in_dim(a, shape, (0, 1)), broadcast_in_dim(b, shape, (1, 2))),
            (1,),
        ),
        matmul,
        A, B,
    )  # fmt: skip


# Parts and structure.


def test_row_of_a_product() -> None:
    assert proves(
        lambda a, b: slice_dimension(matmul(a, b), 0, 3, 4),
        lambda a, b: matmul(slice_dimension(a, 0, 3, 4), b),
        A, B,
    )  # fmt: skip


def test_concatenated_weights() -> None:
    assert proves(
        lambda x, a, b: concatenate(matmul(x, a), matmul(x, b), 1),
        lambda x, a, b: matmul(x, concatenate(a, b, 1)),
        A, B, B,
    )  # fmt: skip


def test_concatenated_operands_are_a_sum() -> None:
    assert proves(
        lambda x, y, a: matmul(concatenate(x, y, 1), a),
        lambda x, y, a: add(
            matmul(x, slice_dimension(a, 0, 0, 6)), matmul(y, slice_dimension(a, 0, 6, 12))
        ),
        tensor(16, 6), tensor(16, 6), B,
    )  # fmt: skip


def block_diagonal(a: Any, b: Any) -> Any:
    zero = full(0, TensorType((), "f32"))
    upper = pad(a, zero, (0, 0), (0, 5), (0, 0))
    return concatenate(upper, pad(b, zero, (0, 4), (0, 0), (0, 0)), 0)


def test_zero_blocks_are_left_out_unless_they_meet_a_written_infinity() -> None:
    def infinite_below_zero(v: Any) -> Any:
        return select(compare(v, full_like(v, 0), "LT", "FLOAT"), full_like(v, float("-inf")), v)

    def goal(a: Any, b: Any, v: Any) -> Any:
        first, second = slice_dimension(v, 0, 0, 4), slice_dimension(v, 0, 4, 9)
        return concatenate(matmul(a, first), matmul(b, second), 0)

    types = tensor(4, 4), tensor(5, 5), tensor(9, 3)
    only = ("known_structure", "contraction_diagonals", "slicing", "padding")
    assert proves(lambda a, b, v: matmul(block_diagonal(a, b), v), goal, *types, only=only)
    assert not proves(
        lambda a, b, v: matmul(block_diagonal(a, b), infinite_below_zero(v)),
        lambda a, b, v: goal(a, b, infinite_below_zero(v)),
        *types,
        only=only,
    )


def diagonal_mask(n: int) -> Any:
    kind = TensorType((n, n), "i32")
    return compare(iota(0, kind), iota(1, kind), "EQ", "SIGNED")


def test_trace_of_a_product() -> None:
    zeros = splat(0, tensor(16, 16))
    assert proves(
        lambda a, b: reduce_(
            "add", select(diagonal_mask(16), matmul(a, b), constant(zeros)), (0, 1)
        ),
        lambda a, b: reduce_("add", multiply(a, transpose(b, (1, 0))), (0, 1)),
        A, tensor(12, 16),
    )  # fmt: skip


def test_diagonal_matrix_scales_rows() -> None:
    def start(v: Any, a: Any) -> Any:
        square = broadcast_in_dim(v, (16, 16), (1,))
        return matmul(select(diagonal_mask(16), square, constant(splat(0, tensor(16, 16)))), a)

    assert proves(start, lambda v, a: multiply(a, rows(v, a)), tensor(16), A, numerics=FINITE)


# Convolutions.

PLAIN = Window((1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), (False, False))
SAME = PLAIN._replace(padding=((1, 1), (1, 1)))
NHWC, NCHW = channels_last(2), channels_first(2)
IMAGE, KERNEL = tensor(2, 8, 8, 6), tensor(3, 3, 6, 5)
BINOMIAL = np.array([1, 2, 1], "f4") / 4


def conv(x: Any, k: Any, w: Window = SAME, d: ConvDimensions = NHWC, groups: int = 1) -> Any:
    return convolution(x, k, w, d, Groups(groups, 1), Precision(), "f32")


def test_pointwise_convolution_is_a_dot() -> None:
    assert proves(
        lambda x, k: conv(x, k, PLAIN),
        lambda x, k: dot(x, reshape(k, (6, 5)), 0, (3, 0)),
        IMAGE, tensor(1, 1, 6, 5),
    )  # fmt: skip


def test_pointwise_convolution_in_channels_first_is_a_dot() -> None:
    assert proves(
        lambda x, k: conv(x, k, PLAIN, NCHW),
        lambda x, k: transpose(dot(x, reshape(k, (5, 6)), 0, (1, 1)), (0, 3, 1, 2)),
        tensor(2, 6, 8, 8), tensor(5, 6, 1, 1),
    )  # fmt: skip


def test_depthwise_convolution_is_no_dot() -> None:
    assert not proves(
        lambda x, k: conv(x, k, PLAIN, groups=6),
        lambda x, k: dot(x, broadcast_in_dim(reshape(k, (6,)), (6, 6), (1,)), 0, (3, 0)),
        IMAGE, tensor(1, 1, 1, 6),
    )  # fmt: skip


def test_depthwise_convolution_is_a_sum_of_products() -> None:
    def goal(x: Any, k: Any) -> Any:
        def term(i: int) -> Any:
            tap = reshape(slice_dimension(k, 0, i, i + 1), (6,))
            shifted = slice_dimension(x, 1, i, i + 7)
            return multiply(shifted, broadcast_in_dim(tap, (2, 7, 8, 6), (3,)))

        return add(term(0), term(1))

    assert proves(lambda x, k: conv(x, k, PLAIN, groups=6), goal, IMAGE, tensor(2, 1, 1, 6))


def _gradient_of_kernel(groups: int) -> Any:
    """A convolution in batch groups, as JAX differentiates one in feature groups by its kernel."""
    # Of input and output's gradient, both NHWC, batch and features change their roles.
    d = ConvDimensions(3, 0, (1, 2), 0, 3, (1, 2), 2, 3, (0, 1))
    window = Window((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), (False, False))
    return lambda x, k: convolution(x, k, window, d, Groups(1, groups), Precision(), "f32")


def test_gradient_of_a_grouped_kernel_is_a_grouped_convolution() -> None:
    def goal(x: Any, k: Any) -> Any:
        split = transpose(reshape(x, (2, 5, 5, 3, 4)), (4, 1, 2, 3, 0))
        d = ConvDimensions(0, 3, (1, 2), 0, 3, (1, 2), 2, 3, (0, 1))
        window = Window((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), (False, False))
        seen = reshape(split, (4, 5, 5, 6))
        return convolution(seen, k, window, d, Groups(3, 1), Precision(), "f32")

    given = _gradient_of_kernel(3)
    image = tensor(2, 5, 5, 12)
    assert proves(given, goal, image, image)


def test_gradient_of_a_depthwise_kernel_is_a_sum_at_each_place() -> None:
    def goal(x: Any, k: Any) -> Any:
        padded = pad(x, full(0, TensorType((), "f32")), (0, 1, 1, 0), (0, 1, 1, 0), (0,) * 4)
        sums = []
        for i, j in product(range(3), repeat=2):
            seen = slice_(padded, (0, i, j, 0), (2, i + 2, j + 5, 6), (1,) * 4)
            sums.append(reshape(reduce_("add", multiply(seen, k), (0, 1, 2)), (1, 6, 1, 1)))
        return reshape(concatenate_all(sums, 0), (3, 3, 1, 6))

    given = _gradient_of_kernel(6)
    image = tensor(2, 2, 5, 6)
    assert proves(given, goal, image, image)


def test_kernel_of_rank_one_is_two_thin_ones() -> None:
    def goal(x: Any) -> Any:
        # The first has the taps of the largest column, the second their ratios to the largest.
        down = conv(x, constant(Literal(BINOMIAL[:, None, None, None] / 2)), PLAIN)
        return conv(down, constant(Literal(BINOMIAL[None, :, None, None] * 2)), PLAIN)

    def blurred(x: Any, taps: Any) -> Any:
        return conv(x, constant(Literal(taps[:, :, None, None])), PLAIN)

    image, square = tensor(1, 8, 8, 1), np.outer(BINOMIAL, BINOMIAL)
    assert proves(lambda x: blurred(x, square), goal, image, only=("convolution_separable",))
    dented = square + np.float32(1e-3) * np.eye(3, dtype="f4")
    assert not proves(lambda x: blurred(x, dented), goal, image, only=("convolution_separable",))


def test_folded_batch_norm() -> None:
    assert proves(
        lambda x, k, s: multiply(conv(x, k), broadcast_in_dim(s, (2, 8, 8, 5), (3,))),
        lambda x, k, s: conv(x, multiply(k, broadcast_in_dim(s, (3, 3, 6, 5), (3,)))),
        IMAGE, KERNEL, tensor(5),
    )  # fmt: skip


def test_sum_of_convolutions() -> None:
    assert proves(
        lambda x, a, b: add(conv(x, a), conv(x, b)),
        lambda x, a, b: conv(x, add(a, b)),
        IMAGE, KERNEL, KERNEL,
    )  # fmt: skip


def test_parallel_3x3_and_1x1_convolutions_are_one() -> None:
    amounts = (1, 1, 0, 0)
    assert proves(
        lambda x, a, b: add(conv(x, a), conv(x, b, PLAIN)),
        lambda x, a, b: conv(
            x, add(a, pad(b, full(0, TensorType((), "f32")), amounts, amounts, (0,) * 4))
        ),
        IMAGE, KERNEL, tensor(1, 1, 6, 5),
    )  # fmt: skip


def test_explicit_padding_is_absorbed() -> None:
    amounts = (0, 1, 1, 0)
    assert proves(
        lambda x, k: conv(
            pad(x, full(0, TensorType((), "f32")), amounts, amounts, (0,) * 4), k, PLAIN
        ),
        conv,
        IMAGE, KERNEL,
    )  # fmt: skip


def test_padding_with_ones_is_not_absorbed() -> None:
    amounts = (0, 1, 1, 0)
    assert not proves(
        lambda x, k: conv(
            pad(x, full(1, TensorType((), "f32")), amounts, amounts, (0,) * 4), k, PLAIN
        ),
        conv,
        IMAGE, KERNEL,
    )  # fmt: skip


def test_transposes_between_convolutions_cancel() -> None:
    to_last, to_first = (0, 2, 3, 1), (0, 3, 1, 2)
    assert proves(
        lambda x, k: transpose(conv(transpose(x, to_first), k, SAME, NCHW), to_last),
        lambda x, k: conv(x, transpose(k, (2, 3, 1, 0))),
        IMAGE, tensor(5, 6, 3, 3),
    )  # fmt: skip


def test_whole_window_is_a_dense_layer() -> None:
    d = DotDimensions((), (), (1, 2, 3), (0, 1, 2))
    assert proves(
        lambda x, k: conv(x, k, PLAIN),
        lambda x, k: reshape(dot_general(x, k, d, Precision(), "f32"), (2, 1, 1, 5)),
        tensor(2, 3, 3, 6), KERNEL,
    )  # fmt: skip


def test_repeated_rows_are_multiplied_once() -> None:
    def repeated(x: Any) -> Any:
        return reshape(broadcast_in_dim(x, (4, *x.shape), (1, 2)), (4 * x.shape[0], x.shape[1]))

    assert proves(
        lambda a, b: matmul(repeated(a), b),
        lambda a, b: repeated(matmul(a, b)),
        A, B,
    )  # fmt: skip


def _has_large_operand_on_the_left(frozen: frozenset[int], y: TensorType, contracted: int) -> bool:
    """Whether the rule finds (y′ · x)ᵀ for x · y."""
    x = tensor(2, 8)
    builder = GraphBuilder((x, y), exact=True)
    with building(builder):
        left, right = builder.parameters
        dimensions = DotDimensions((), (), (1,), (contracted,))
        product = dot_general(left, right, dimensions, Precision(), "f32")
    represented = represent(builder.finish([product]), frozen=frozen)
    (put,) = (rule for rule in all_rules() if rule.name == "put_large_operand_on_the_left")
    saturate(represented.egraph, [put], Limits(time_limit_s=5.0))
    root = represented.roots[0]
    return any(node.op == "transpose" for node in represented.egraph.nodes(root))


def test_large_operand_goes_to_the_left_where_its_rows_can_be_read() -> None:
    frozen, nothing = frozenset({1}), frozenset[int]()
    assert _has_large_operand_on_the_left(frozen, tensor(8, 16), 0)
    assert not _has_large_operand_on_the_left(nothing, tensor(8, 16), 0)
    assert _has_large_operand_on_the_left(nothing, tensor(16, 8), 1)
    assert not _has_large_operand_on_the_left(frozen, tensor(8, 3), 0)  # it is not large


def _rows_multiplied(x: TensorType, y: TensorType) -> set[int]:
    """Numbers of rows of the right operand with which x · yᵀ may be computed."""
    builder = GraphBuilder((x, y), exact=True)
    with building(builder):
        product = dot(*builder.parameters, contract=(1, 1))
    represented = represent(builder.finish([product]))
    (rule,) = (rule for rule in all_rules() if rule.name == "pad_rows_beside_large_operand")
    saturate(represented.egraph, [rule], Limits(time_limit_s=5.0))
    egraph = represented.egraph
    products = (
        node for c in egraph.classes() for node in egraph.nodes(c) if node.op == "dot_general"
    )
    return {egraph.type_of(node.children[1]).shape[0] for node in products}


def test_few_rows_beside_a_large_matrix_are_padded_to_a_power_of_two() -> None:
    matrix = tensor(1024, 64)
    assert _rows_multiplied(matrix, tensor(12, 64)) == {12, 16}
    assert _rows_multiplied(matrix, tensor(17, 64)) == {17, 32}
    assert _rows_multiplied(matrix, tensor(5, 64)) == {5, 8}
    for rows in (1, 3, 16, 65):
        assert _rows_multiplied(matrix, tensor(rows, 64)) == {rows}
    assert _rows_multiplied(tensor(128, 64), tensor(12, 64)) == {12}  # small
    assert _rows_multiplied(tensor(16, 2048), tensor(12, 2048)) == {12}  # as large as the other


def _blocks_of(x: TensorType, y: TensorType, d: DotDimensions) -> Blocks | None:
    """The blocks in which a product may be computed, if any."""
    builder = GraphBuilder((x, y), exact=True)
    with building(builder):
        product = dot_general(*builder.parameters, d, Precision(), "f32")
    represented = represent(builder.finish([product]))
    (cut,) = (rule for rule in all_rules() if rule.name == "few_rows_in_blocks")
    saturate(represented.egraph, [cut], Limits(time_limit_s=5.0))
    nodes = represented.egraph.nodes(represented.roots[0])
    found = [node.attributes[1] for node in nodes if node.op == "blocked_dot"]
    return found[0] if found else None


def test_products_with_few_rows_have_a_form_in_blocks() -> None:
    by_row, by_column = (DotDimensions((), (), (1,), (i,)) for i in (0, 1))
    vector, matrix = tensor(256), tensor(96, 256)
    assert _blocks_of(matrix, vector, by_row) == Blocks((8,))
    assert _blocks_of(tensor(3, 256), matrix, by_column) == Blocks((3, 2))
    # Accumulators are neighbours in memory where the matrix is not contracted along its rows.
    assert _blocks_of(tensor(256, 96), vector, DotDimensions((), (), (0,), (0,))) == Blocks(
        (4,), is_interleaved=True
    )
    heads = DotDimensions((1,), (0,), (2,), (1,))
    assert _blocks_of(tensor(64, 6, 48), tensor(6, 48), heads) == Blocks((6, 1))


def test_other_products_have_none() -> None:
    by_row, by_column = (DotDimensions((), (), (1,), (i,)) for i in (0, 1))
    assert _blocks_of(tensor(8, 256), tensor(96, 256), by_column) is None  # many rows
    assert _blocks_of(tensor(96, 16), tensor(16), by_row) is None  # small
    assert _blocks_of(tensor(97, 256), tensor(256), by_row) is None  # no blocks of one size
    assert _blocks_of(tensor(1, 256), tensor(96, 256), by_column) is None  # not flattened


def _eye(n: int) -> Any:
    count = TensorType((n, n), "i32")
    return convert(compare(iota(0, count), iota(1, count), "EQ", "SIGNED"), "f32")


def _diagonal(v: Any) -> Any:
    count = TensorType((v.size, v.size), "i32")
    mask = compare(iota(0, count), iota(1, count), "EQ", "SIGNED")
    return select(mask, rows(v, mask), full(0, TensorType(count.shape, "f32")))


def test_diagonal_matrices_multiply_element_by_element() -> None:
    v = tensor(80)  # too many for the constant mask to be folded
    assert proves(
        lambda v, w: matmul(_diagonal(v), _diagonal(w)),
        lambda v, w: _diagonal(multiply(v, w)),
        v,
        v,
    )


def test_rows_of_an_identity_matrix_take_rows() -> None:
    assert proves(
        lambda x: matmul(slice_(_eye(80), (1, 0), (80, 80), (3, 1)), x),
        lambda x: slice_(x, (1, 0), (80, 4), (3, 1)),
        tensor(80, 4),
    )


def test_a_batch_of_one_hot_rows_reads_a_batch_of_matrices() -> None:
    d = DotDimensions((0,), (0,), (2,), (1,))
    inside = GatherDimensions((2,), (1,), (0,), (0,), (1,), 2)

    def one_hot(i: Any) -> Any:
        spread = broadcast_in_dim(i, (3, 5, 8), (0, 1))
        return convert(compare(spread, iota(2, spread.tensor), "EQ", "SIGNED"), "f32")

    def masked(i: Any, w: Any) -> Any:
        rows_of = gather(w, i, inside, (1, 1, 4))
        within = [compare(i, full_like(i, n), o, "SIGNED") for n, o in ((0, "GE"), (7, "LE"))]
        mask = broadcast_in_dim(binary("and", *within), rows_of.shape, (0, 1))
        return select(mask, rows_of, full_like(rows_of, 0))

    assert proves(
        lambda i, w: dot_general(one_hot(i), w, d, Precision(), "f32"),
        masked,
        TensorType((3, 5), "i32"), tensor(3, 8, 4),
    )  # fmt: skip


def test_columns_of_an_identity_matrix_do_not_take_rows() -> None:
    assert not proves(
        lambda x: matmul(slice_(_eye(8), (0, 0), (8, 8), (1, 2)), x),
        lambda x: slice_(concatenate(x, x, 0), (0, 0), (8, 3), (1, 1)),
        tensor(4, 3),
    )


def test_a_turned_identity_matrix_turns_rows() -> None:
    def turned(x: Any) -> Any:
        return concatenate(slice_dimension(x, 0, 79, 80), slice_dimension(x, 0, 0, 79), 0)

    assert proves(lambda x: matmul(turned(_eye(80)), x), turned, tensor(80, 4))


def test_the_square_of_what_is_turned_has_the_same_sum() -> None:
    def turned(x: Any) -> Any:
        return concatenate(slice_dimension(x, 1, 3, 9), slice_dimension(x, 1, 0, 3), 1)

    assert proves(
        lambda x: reduce_("add", multiply(turned(x), turned(x)), (1,)),
        lambda x: reduce_("add", multiply(x, x), (1,)),
        tensor(4, 9),
    )


def test_long_sums_are_added_in_parts() -> None:
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((2, 40_000), (1,)),
        ((4, 224, 224, 3), (1, 2, 3)),
        ((8192, 16, 5), (0, 1)),
    ]
    for shape, d in shapes:
        builder = GraphBuilder((TensorType(shape, "f32"),))
        with building(builder):
            value = sum_as_dot.right(builder.parameters[0], d)
        assert value is not None
        types = [n.type for n in builder.nodes]
        for node in builder.nodes:
            if node.op == "dot_general":
                ones = types[node.operands[1]]
                assert isinstance(ones, TensorType)
                assert 1 < ones.size <= LONGEST_PRODUCT
        assert value.shape == tuple(n for i, n in enumerate(shape) if i not in d)


def rolled(x: Any, axis: int, n: int) -> Any:
    last = slice_dimension(x, axis, n, x.shape[axis])
    return concatenate(last, slice_dimension(x, axis, 0, n), axis)


def test_contraction_of_operands_that_are_rolled_alike() -> None:
    assert proves(lambda x, y: dot(rolled(x, 1, 5), rolled(y, 0, 5)), dot, A, B)
    assert not proves(lambda x, y: dot(rolled(x, 1, 5), rolled(y, 0, 4)), dot, A, B)
    # Along free dimensions what is rolled stays so.
    assert not proves(lambda x, y: dot(rolled(x, 0, 5), rolled(y, 1, 5)), dot, A, B)


@pytest.mark.parametrize("dtype", ["bf16", "f16", "f32"])
@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("is_left", [False, True])
def test_constant_columns_are_added_before_a_sum_is_rounded(
    dtype: str, is_first: bool, is_left: bool
) -> None:
    """1025 - 1024 = 1, and bf16 has no 1025."""
    n, c = 1024, 64
    place = "columns_of_left" if is_left else "rows_of_right"
    name = f"add_{'first_' if is_first else ''}constant_{place}_operand"
    rule = next(rule for rule in all_rules() if rule.name == name)
    types = [tensor(1, n, dtype=dtype), tensor(n + c, 1, dtype=dtype)]
    if not is_left:
        types = [type.with_shape(type.shape[::-1]) for type in types]
    i = int(is_left)
    d = DotDimensions((), (), (1,), (0,))
    constants = splat(1, types[0].with_shape((1, c) if is_left else (c, 1)))
    builder = GraphBuilder(tuple(types))
    with building(builder):
        x, y = builder.parameters
        attributes = {"c": constants, "i": i, "d": d, "p": Precision(), "t": dtype}
        found = rule.apply(attributes, {"x": x, "y": y})
        assert found is not None
        graph = builder.finish([found])
    values = np.ones(n), np.full(c, -16.0)
    values[0][0] = 2
    weights = np.concatenate(values[::-1] if is_first else values)
    kind = numpy_dtype(dtype)
    arrays = [np.ones(types[0].shape, kind), weights.reshape(types[1].shape).astype(kind)]
    (result,) = evaluate(graph, arrays)
    assert result.dtype == kind
    assert result.item() == 1
