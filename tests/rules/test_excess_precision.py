"""Which roundings the rules leave out, and which they keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from saturax.graph.ops import (
    ConvDimensions,
    Groups,
    Precision,
    Window,
    add,
    convert,
    convolution,
    matmul,
    reduce_,
    reshape,
    slice_,
    transpose,
    unary,
)
from saturax.rules.rule import BITWISE, ROUNDING

from .proofs import proves, tensor

X, W = tensor(4, 6), tensor(6, 3)
IMAGE, KERNEL = tensor(1, 8, 2), tensor(3, 2, 4)
NEEDED = ("excess_precision", "conversion", "layout", "reshaping", "slicing")


def narrow(x: Any, dtype: str = "bf16") -> Any:
    return convert(x, dtype)


def wide(x: Any) -> Any:
    return convert(x, "f32")


def convolved(x: Any, k: Any, dtype: str) -> Any:
    dimensions = ConvDimensions(0, 2, (1,), 1, 2, (0,), 0, 2, (1,))
    window = Window((1,), ((1, 1),), (1,), (1,), (False,))
    return convolution(x, k, window, dimensions, Groups(1, 1), Precision(), dtype)


Program = Callable[..., Any]

LEFT_OUT: dict[str, tuple[Any, ...]] = {
    "operands and result of a product": (
        lambda x, w: wide(matmul(narrow(x), narrow(w))),
        lambda x, w: matmul(x, w),
        X,
        W,
    ),
    "of a product in f16": (
        lambda x, w: wide(matmul(narrow(x, "f16"), narrow(w, "f16"))),
        lambda x, w: matmul(x, w),
        X,
        W,
    ),
    "operands only, accumulated in f32": (
        lambda x, w: matmul(narrow(x), narrow(w), Precision(), "f32"),
        lambda x, w: matmul(x, w),
        X,
        W,
    ),
    "across a transpose, a reshape and a slice": (
        lambda x, w: wide(
            matmul(
                narrow(x),
                slice_(transpose(reshape(narrow(w), (3, 6)), (1, 0)), (0, 1), (6, 3), (1, 1)),
            )
        ),
        lambda x, w: matmul(
            x, slice_(transpose(reshape(w, (3, 6)), (1, 0)), (0, 1), (6, 3), (1, 1))
        ),
        X,
        W,
    ),
    "of a chain": (
        lambda x, w: wide(
            unary("tanh", add(matmul(narrow(x), narrow(w)), matmul(narrow(x), narrow(w))))
        ),
        lambda x, w: unary("tanh", add(matmul(x, w), matmul(x, w))),
        X,
        W,
    ),
    "of a convolution": (
        lambda x, k: wide(convolved(narrow(x), narrow(k), "bf16")),
        lambda x, k: convolved(x, k, "f32"),
        IMAGE,
        KERNEL,
    ),
    "of a sum": (
        lambda x: wide(reduce_("add", narrow(x), (0,))),
        lambda x: reduce_("add", x, (0,)),
        X,
    ),
}
"""Programs of f32 values with roundings to 16 bits inside, and the same without any."""

KEPT: dict[str, tuple[Any, ...]] = {
    "by reduce_precision": (
        lambda x: unary(("reduce_precision", 8, 7), x),
        lambda x: x,
    ),
    "by reduce_precision between conversions": (
        lambda x: wide(unary(("reduce_precision", 5, 2), narrow(x))),
        lambda x: x,
    ),
    "to integers": (lambda x: wide(convert(x, "i8")), lambda x: x),
    "to floats of 8 bits": (lambda x: wide(convert(x, "f8E4M3FN")), lambda x: x),
    "to floats of 8 bits before a product": (
        lambda x: matmul(convert(x, "f8E5M2"), convert(x, "f8E5M2"), Precision(), "f32"),
        lambda x: matmul(x, x),
    ),
    "of the named algorithm": (
        lambda x: matmul(narrow(x), narrow(x), Precision((), "dot_bf16_bf16_f32"), "f32"),
        lambda x: matmul(x, x),
    ),
}
"""What rounds on purpose, and the same without the rounding."""


@pytest.mark.parametrize("case", LEFT_OUT)
def test_rounding_is_left_out(case: str) -> None:
    start, goal, *types = LEFT_OUT[case]
    assert proves(start, goal, *types, only=NEEDED)


@pytest.mark.parametrize("case", LEFT_OUT)
def test_bitwise_keeps_every_rounding(case: str) -> None:
    start, goal, *types = LEFT_OUT[case]
    assert not proves(start, goal, *types, only=NEEDED, numerics=BITWISE)


@pytest.mark.parametrize("case", KEPT)
def test_rounding_is_kept(case: str) -> None:
    start, goal = KEPT[case]
    assert not proves(start, goal, tensor(4, 4), only=NEEDED, numerics=ROUNDING)
