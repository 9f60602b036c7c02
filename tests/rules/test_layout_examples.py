"""Programs that rules on layout, slices and padding prove equal, and some that they must not."""

from __future__ import annotations

from typing import Any

from saturax.graph.literal import splat
from saturax.graph.ops import (
    add,
    broadcast_in_dim,
    concatenate,
    constant,
    full,
    multiply,
    negate,
    pad,
    reduce_,
    reduce_window,
    reshape,
    reverse,
    select,
    slice_,
    slice_dimension,
    transpose,
    unary,
)
from saturax.graph.ops.reduction import ReduceWindow
from saturax.graph.types import TensorType
from saturax.rules.rule import BITWISE

from .proofs import proves, tensor


def zero() -> Any:
    return full(0, TensorType((), "f32"))


def swap(x: Any) -> Any:
    return transpose(x, (1, 0))


def exponential(x: Any) -> Any:
    return unary("exponential", x)


def test_transposes_cancel_around_elementwise_work() -> None:
    assert proves(
        lambda x, y: swap(add(exponential(swap(x)), y)),
        lambda x, y: add(exponential(x), swap(y)),
        tensor(4, 6), tensor(6, 4), numerics=BITWISE,
    )  # fmt: skip


def test_transposes_cancel_around_a_bias() -> None:
    assert proves(
        lambda x, b: swap(add(swap(x), broadcast_in_dim(b, (6, 4), (1,)))),
        lambda x, b: add(x, broadcast_in_dim(b, (4, 6), (0,))),
        tensor(4, 6), tensor(4), numerics=BITWISE,
    )  # fmt: skip


def test_transposes_cancel_through_select_pad_slice_and_concatenate() -> None:
    def start(p: Any, x: Any, y: Any) -> Any:
        chosen = swap(select(swap(p), swap(x), swap(y)))
        padded = swap(pad(swap(chosen), zero(), (1, 0), (0, 2), (0, 0)))
        return swap(slice_(swap(concatenate(padded, padded, 0)), (0, 0), (2, 5), (1, 1)))

    def goal(p: Any, x: Any, y: Any) -> Any:
        padded = pad(select(p, x, y), zero(), (0, 1), (2, 0), (0, 0))
        return slice_(concatenate(padded, padded, 0), (0, 0), (5, 2), (1, 1))

    assert proves(start, goal, tensor(4, 6, dtype="i1"), tensor(4, 6), tensor(4, 6))


def test_pooling_in_another_layout() -> None:
    def window(*size: int) -> ReduceWindow:
        ones = (1,) * 4
        return ReduceWindow(size, size, ones, ones, ((0, 0),) * 4)

    assert proves(
        lambda x: transpose(
            reduce_window("maximum", transpose(x, (0, 3, 1, 2)), window(1, 1, 2, 2)), (0, 2, 3, 1)
        ),
        lambda x: reduce_window("maximum", x, window(1, 2, 2, 1)),
        tensor(2, 8, 8, 3),
    )


def test_transpose_of_unit_dimensions_is_a_reshape() -> None:
    assert proves(
        lambda x: transpose(x, (0, 3, 1, 2)),
        lambda x: reshape(x, (1, 1, 4, 6)),
        tensor(1, 4, 6, 1), numerics=BITWISE,
    )  # fmt: skip


def test_reshapes_cancel() -> None:
    assert proves(
        lambda x: reshape(exponential(reshape(x, (24,))), (4, 6)),
        exponential,
        tensor(4, 6), numerics=BITWISE,
    )  # fmt: skip


def test_flat_transpose_is_not_a_reshape() -> None:
    assert not proves(swap, lambda x: reshape(x, (6, 4)), tensor(4, 6))


def test_transpose_moves_before_a_reshape_that_splits() -> None:
    assert proves(
        lambda x: transpose(reshape(x, (4, 2, 3)), (1, 2, 0)),
        lambda x: reshape(swap(x), (2, 3, 4)),
        tensor(4, 6), numerics=BITWISE,
    )  # fmt: skip


def test_split_dimensions_cannot_be_transposed_first() -> None:
    assert not proves(
        lambda x: transpose(reshape(x, (4, 2, 3)), (0, 2, 1)),
        lambda x: reshape(x, (4, 3, 2)),
        tensor(4, 6),
    )


def test_elementwise_work_comes_before_broadcasts() -> None:
    assert proves(
        lambda x, c: multiply(
            broadcast_in_dim(exponential(x), (8, 5), (1,)), broadcast_in_dim(c, (8, 5), ())
        ),
        lambda x, c: broadcast_in_dim(
            multiply(exponential(x), broadcast_in_dim(c, (5,), ())), (8, 5), (1,)
        ),
        tensor(5), tensor(), numerics=BITWISE,
    )  # fmt: skip


def test_reversals_cancel() -> None:
    assert proves(
        lambda x: reverse(exponential(reverse(x, (0, 1))), (1, 0)),
        exponential,
        tensor(4, 6), numerics=BITWISE,
    )  # fmt: skip


def test_reverse_of_a_broadcast_dimension_does_nothing() -> None:
    assert proves(
        lambda x: reverse(broadcast_in_dim(x, (7, 5), (1,)), (0,)),
        lambda x: broadcast_in_dim(x, (7, 5), (1,)),
        tensor(5), numerics=BITWISE,
    )  # fmt: skip


def test_one_reversal_does_not_vanish() -> None:
    assert not proves(lambda x: reverse(x, (0,)), lambda x: x, tensor(4, 6))


def roll(x: Any, amount: int) -> Any:
    size = x.shape[0]
    tail = slice_dimension(x, 0, size - amount, size)
    return concatenate(tail, slice_dimension(x, 0, 0, size - amount), 0)


def test_roll_back_and_forth() -> None:
    assert proves(lambda x: roll(roll(x, 3), 7), lambda x: x, tensor(10, 4), numerics=BITWISE)


def test_roll_back_and_forth_by_different_amounts() -> None:
    assert not proves(lambda x: roll(roll(x, 3), 6), lambda x: x, tensor(10, 4))


def test_concatenate_then_slice() -> None:
    assert proves(
        lambda x, y: slice_dimension(concatenate(x, y, 0), 0, 3, 8),
        lambda x, y: y,
        tensor(3, 4), tensor(5, 4), numerics=BITWISE,
    )  # fmt: skip


def test_pad_then_crop() -> None:
    assert proves(
        lambda x: slice_(pad(x, zero(), (2, 1), (0, 3), (0, 0)), (2, 1), (6, 7), (1, 1)),
        lambda x: x,
        tensor(4, 6), numerics=BITWISE,
    )  # fmt: skip


def test_crop_then_pad_loses_elements() -> None:
    assert not proves(
        lambda x: pad(pad(x, zero(), (-1, 0), (0, 0), (0, 0)), zero(), (1, 0), (0, 0), (0, 0)),
        lambda x: x,
        tensor(4, 6),
    )


def test_slice_comes_before_a_chain() -> None:
    assert proves(
        lambda x, y: slice_dimension(swap(negate(multiply(x, y))), 1, 0, 1),
        lambda x, y: swap(
            negate(multiply(slice_dimension(x, 0, 0, 1), slice_dimension(y, 0, 0, 1)))
        ),
        tensor(8, 5), tensor(8, 5), numerics=BITWISE,
    )  # fmt: skip


def test_concatenated_zeros_are_padding() -> None:
    assert proves(
        lambda x: concatenate(constant(splat(0, tensor(2, 6))), x, 0),
        lambda x: pad(x, zero(), (2, 0), (0, 0), (0, 0)),
        tensor(4, 6), numerics=BITWISE,
    )  # fmt: skip


def test_reduction_of_a_transpose() -> None:
    assert proves(
        lambda x: reduce_("maximum", transpose(x, (2, 0, 1)), (0,)),
        lambda x: reduce_("maximum", x, (2,)),
        tensor(3, 4, 5),
    )
