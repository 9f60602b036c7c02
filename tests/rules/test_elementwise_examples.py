"""What rules for elementwise work, reductions and indices prove together, and what they must not.

Each case is a start and a goal of the same inputs. Rules are tested one by one in `test_rules.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from saturax.graph.build import GraphBuilder, building
from saturax.graph.literal import Literal, splat
from saturax.graph.ops import (
    GatherDimensions,
    add,
    binary,
    broadcast_in_dim,
    compare,
    constant,
    convert,
    divide,
    dynamic_slice,
    dynamic_update_slice,
    full,
    full_like,
    gather,
    iota,
    maximum,
    minimum,
    multiply,
    negate,
    power,
    reduce_,
    reverse,
    select,
    slice_,
    subtract,
    unary,
)
from saturax.graph.types import TensorType
from saturax.rules.rule import BITWISE, FINITE, ROUNDING
from saturax.rules.shifted_masks import join_masked_bits

from .proofs import proves, tensor

F = TensorType((4, 6), "f32")
I = TensorType((6,), "i32")  # noqa: E741
P = TensorType((4, 6), "i1")
H = TensorType((4, 6), "bf16")
C = "complex<f32>"
ROWS = GatherDimensions((1,), (0,), (), (), (0,), 1)

Build = Callable[..., Any]


def exp(x: Any) -> Any:
    return unary("exponential", x)


def scalar(x: Any, value: float) -> Any:
    """A constant as JAX emits it: a rank-0 constant, broadcast."""
    return broadcast_in_dim(full(value, TensorType((), x.dtype)), x.shape, ())


def mean_shift(x: Any) -> Any:
    """x - max(x) over the last dimension."""
    return subtract(x, broadcast_in_dim(reduce_("maximum", x, (1,)), x.shape, (0,)))


def softmax(x: Any) -> Any:
    e = exp(mean_shift(x))
    return divide(e, broadcast_in_dim(reduce_("add", e, (1,)), x.shape, (0,)))


def log_softmax(x: Any) -> Any:
    shifted = mean_shift(x)
    total = unary("log", reduce_("add", exp(shifted), (1,)))
    return subtract(shifted, broadcast_in_dim(total, x.shape, (0,)))


def take(x: Any, indices: Any) -> Any:
    """x[indices] as JAX emits it, with negative indices counted from the end."""
    wrapped = add(indices, scalar(indices, x.shape[0]))
    chosen = select(compare(indices, scalar(indices, 0), "LT", "SIGNED"), wrapped, indices)
    column = broadcast_in_dim(chosen, (*indices.shape, 1), (0,))
    return gather(x, column, ROWS, (1, x.shape[1]), False)


def modulo(x: Any, n: int) -> Any:
    """x % n as JAX emits it, with the sign of n."""
    zero = scalar(x, 0)
    r = binary("remainder", x, scalar(x, n))
    differs = compare(
        compare(r, zero, "LT", "SIGNED"),
        compare(scalar(x, n), zero, "LT", "SIGNED"),
        "NE",
        "UNSIGNED",
    )
    mixed = binary("and", differs, compare(r, zero, "NE", "SIGNED"))
    return select(mixed, add(r, scalar(x, n)), r)


PROVABLE: dict[str, tuple[Any, ...]] = {
    "a phase, as JAX turns by one": (
        lambda x: exp(multiply(scalar(convert(x, C), 1j), convert(x, C))),
        lambda x: binary("complex", unary("cosine", x), unary("sine", x)),
        F,
    ),
    "log of softmax is log_softmax": (lambda x: unary("log", softmax(x)), log_softmax, F),
    "product of exponentials": (
        lambda x, y: multiply(exp(x), exp(y)),
        lambda x, y: exp(add(x, y)),
        F,
        F,
    ),
    "logistic by hand": (
        lambda x: divide(scalar(x, 1), add(scalar(x, 1), exp(negate(x)))),
        lambda x: unary("logistic", x),
        F,
    ),
    "cube": (
        lambda x: power(x, scalar(x, 3)),
        lambda x: multiply(multiply(x, x), x),
        F,
    ),
    "rectified": (
        lambda x: select(compare(x, scalar(x, 0), "LT"), scalar(x, 0), x),
        lambda x: maximum(x, scalar(x, 0)),
        F,
    ),
    "clipped to where it is": (
        lambda x: minimum(maximum(unary("logistic", x), scalar(x, 0)), scalar(x, 1)),
        lambda x: unary("logistic", x),
        F,
    ),
    "multiples of a modulus": (
        lambda x: modulo(add(modulo(x, 16), scalar(x, 32)), 16),
        lambda x: binary("and", x, scalar(x, 15)),
        I,
    ),
    "separable Gaussian": (
        lambda x, y: exp(
            multiply(
                add(broadcast_in_dim(x, (16, 8), (0,)), broadcast_in_dim(y, (16, 8), (1,))),
                full(-0.5, TensorType((16, 8), "f32")),
            )
        ),
        lambda x, y: multiply(
            broadcast_in_dim(exp(multiply(x, full_like(x, -0.5))), (16, 8), (0,)),
            broadcast_in_dim(exp(multiply(y, full_like(y, -0.5))), (16, 8), (1,)),
        ),
        TensorType((16,), "f32"),
        TensorType((8,), "f32"),
    ),
    "multiples under a mask": (
        lambda x, y: modulo(add(multiply(x, scalar(x, 32)), y), 16),
        lambda x, y: binary("and", y, scalar(x, 15)),
        I,
        I,
    ),
    "negated outer sum": (
        lambda x, y: negate(
            add(broadcast_in_dim(x, (16, 8), (0,)), broadcast_in_dim(y, (16, 8), (1,)))
        ),
        lambda x, y: add(
            broadcast_in_dim(negate(x), (16, 8), (0,)), broadcast_in_dim(negate(y), (16, 8), (1,))
        ),
        TensorType((16,), "f32"),
        TensorType((8,), "f32"),
    ),
    "constants meet": (
        lambda x: subtract(add(multiply(scalar(x, 2), add(x, scalar(x, 3))), x), scalar(x, 6)),
        lambda x: multiply(x, full_like(x, 3)),
        F,
    ),
    "narrow chain in f32": (
        lambda x: exp(negate(x)),
        lambda x: convert(exp(negate(convert(x, "f32"))), "bf16"),
        H,
    ),
    "maximum of an affine function": (
        lambda x: reduce_("maximum", add(multiply(x, scalar(x, 2)), scalar(x, 1)), (0, 1)),
        lambda x: add(
            multiply(reduce_("maximum", x, (0, 1)), full(2, TensorType((), "f32"))),
            full(1, TensorType((), "f32")),
        ),
        F,
    ),
    "maximum of exponentials": (
        lambda x: reduce_("maximum", exp(x), (1,)),
        lambda x: exp(reduce_("maximum", x, (1,))),
        F,
    ),
    "sum of an outer product": (
        lambda x, y: reduce_(
            "add",
            multiply(broadcast_in_dim(x, (4, 6), (0,)), broadcast_in_dim(y, (4, 6), (1,))),
            (0, 1),
        ),
        lambda x, y: multiply(reduce_("add", x, (0,)), reduce_("add", y, (0,))),
        TensorType((4,), "f32"),
        TensorType((6,), "f32"),
    ),
    "de Morgan in masks": (
        lambda p, q, x, y: select(unary("not", binary("and", p, q)), x, y),
        lambda p, q, x, y: select(binary("or", unary("not", p), unary("not", q)), x, y),
        P,
        P,
        F,
        F,
    ),
    "select on an index that is never negative": (
        lambda x: take(x, iota(0, TensorType((4,), "i32"))),
        lambda x: x,
        F,
    ),
    "backwards by indices": (
        lambda x: take(x, constant(Literal(np.array([3, 2, 1, 0], np.int32)))),
        lambda x: reverse(x, (0,)),
        F,
    ),
    "modulo a power of two": (
        lambda x: modulo(x, 8),
        lambda x: binary("and", x, full_like(x, 7)),
        I,
    ),
    "update, then read": (
        lambda x, u, i: dynamic_slice(dynamic_update_slice(x, u, [i]), [i], (2,)),
        lambda x, u, i: u,
        I,
        TensorType((2,), "i32"),
        TensorType((), "i32"),
    ),
    "dynamic slice past the end is clamped": (
        lambda x: dynamic_slice(x, [full(9, TensorType((), "i32"))], (2,)),
        lambda x: slice_(x, (4,), (6,), (1,)),
        I,
    ),
}

NOT_PROVABLE: dict[str, tuple[Any, ...]] = {
    "a choice gets rid of NaN": (
        lambda x: select(compare(x, scalar(x, 0), "GT"), x, scalar(x, 0)),
        lambda x: maximum(x, scalar(x, 0)),
        ROUNDING,
        F,
    ),
    "NaN and ∞ times zero": (
        lambda x: multiply(x, scalar(x, 0)),
        lambda x: full_like(x, 0),
        ROUNDING,
        F,
    ),
    "x + 0.0 turns -0.0 into 0.0": (
        lambda x: add(x, scalar(x, 0)),
        lambda x: x,
        BITWISE,
        F,
    ),
    "the square of a root of negative numbers": (
        lambda x: multiply(unary("sqrt", x), unary("sqrt", x)),
        lambda x: x,
        ROUNDING,
        F,
    ),
    "a quotient of zeros": (
        lambda x: divide(x, x),
        lambda x: full_like(x, 1),
        FINITE,
        F,
    ),
    "log of a product of negative numbers": (
        lambda x, y: unary("log", multiply(x, y)),
        lambda x, y: add(unary("log", x), unary("log", y)),
        FINITE,
        F,
        F,
    ),
    "not less is at least, of NaN": (
        lambda x, y: unary("not", compare(x, y, "LT")),
        lambda x, y: compare(x, y, "GE"),
        ROUNDING,
        F,
        F,
    ),
    "the greatest negated integer (least of all is its own negative)": (
        lambda x: reduce_("maximum", negate(x), (0,)),
        lambda x: negate(reduce_("minimum", x, (0,))),
        FINITE,
        I,
    ),
    "the lesser bound wins": (
        lambda x: maximum(minimum(x, scalar(x, 1)), scalar(x, 2)),
        lambda x: minimum(maximum(x, scalar(x, 2)), scalar(x, 1)),
        FINITE,
        F,
    ),
    "rounding to bf16 and back, in every bit": (
        lambda x: convert(convert(x, "bf16"), "f32"),
        lambda x: x,
        BITWISE,
        F,
    ),
    "sums in another order, in every bit": (
        lambda x: reduce_("add", reduce_("add", x, (0,)), (0,)),
        lambda x: reduce_("add", x, (0, 1)),
        BITWISE,
        F,
    ),
}


@pytest.mark.parametrize("case", PROVABLE)
def test_provable(case: str) -> None:
    start, goal, *types = PROVABLE[case]
    assert proves(start, goal, *types)


@pytest.mark.parametrize("case", NOT_PROVABLE)
def test_not_provable(case: str) -> None:
    start, goal, numerics, *types = NOT_PROVABLE[case]
    assert not proves(start, goal, *types, numerics=numerics)


def test_masks_of_many_elements_are_not_joined() -> None:
    """They are computed with as Python's integers, one after the other."""
    for n, is_joined in ((8, True), (1 << 20, False)):
        builder = GraphBuilder((tensor(n, dtype="i32"),))
        with building(builder):
            masks = constant(splat(3, tensor(n, 2, dtype="i32")))
            operands = {"x": builder.parameters[0], "c": masks}
            found = join_masked_bits.apply({"f": "or", "s": (n, 2), "m": (0,), "d": (1,)}, operands)
        assert (found is not None) == is_joined
