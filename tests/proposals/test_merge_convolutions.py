"""Convolutions of one input, of one kernel, and of neither, as one convolution."""

from __future__ import annotations

from functools import reduce

import jax
import numpy as np
import pytest
from equal_sides import proposed
from running import normal

from saturax.proposals.batch import batch_contractions
from saturax.proposals.merge_convolutions import merge_convolutions


def _convolve(x, k, window=1, **options):
    spatial = x.ndim - 2
    names = {1: ("NHC", "HIO", "NHC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}
    options.setdefault("padding", "SAME")
    options.setdefault("dimension_numbers", names[spatial])
    return jax.lax.conv_general_dilated(x, k, (window,) * spatial, **options)


x, y = normal(2, 7, 6, 4), normal(3, 7, 6, 4, seed=1)


@pytest.mark.parametrize(
    ("kernels", "options"),
    [
        ([(3, 3, 4, 5), (3, 3, 4, 2), (3, 3, 4, 1)], {}),
        ([(3, 3, 4, 5), (3, 3, 4, 2)], {"window": 2}),
        ([(3, 3, 1, 4), (3, 3, 1, 8)], {"feature_group_count": 4}),
        ([(3, 2, 2, 6), (3, 2, 2, 2)], {"feature_group_count": 2, "rhs_dilation": (2, 1)}),
        ([(3, 3, 4, 5), (3, 3, 4, 2)], {"lhs_dilation": (2, 3), "padding": [(1, 0), (2, 1)]}),
    ],
)
def test_one_input(kernels, options):
    arguments = [normal(*shape, seed=i) for i, shape in enumerate(kernels)]
    function = lambda x, *ks: [_convolve(x, k, **options) for k in ks]  # noqa: E731
    assert len(proposed(merge_convolutions, function, x, *arguments).pairs) == len(kernels)


@pytest.mark.parametrize("shape", [(2, 9, 3), (2, 5, 5, 3), (1, 4, 5, 4, 3)])
def test_any_number_of_dimensions(shape):
    kernels = [normal(*(3,) * (len(shape) - 2), 3, n, seed=n) for n in (2, 4)]
    function = lambda x, *ks: [_convolve(x, k) for k in ks]  # noqa: E731
    assert len(proposed(merge_convolutions, function, normal(*shape), *kernels).pairs) == 2


def test_one_input_in_another_layout():
    kernels = [normal(n, 4, 3, 3, seed=n) for n in (2, 5)]
    image = normal(2, 4, 7, 6)
    function = lambda x, *ks: [  # noqa: E731
        jax.lax.conv_general_dilated(x, k, (1, 1), "SAME") for k in ks
    ]
    assert len(proposed(merge_convolutions, function, image, *kernels).pairs) == 2


@pytest.mark.parametrize(
    ("kernels", "options", "count"),
    [
        ([(3, 3, 4, 5), (1, 3, 4, 5)], {}, 2),
        ([(3, 3, 4, 8), (1, 1, 4, 1)], {}, 2),
        ([(3, 3, 4, 5), (3, 1, 4, 2)], {"rhs_dilation": (2, 2)}, 2),
        ([(3, 3, 4, 2), (1, 1, 4, 8)], {}, 0),  # twice the work and more
        ([(5, 5, 1, 4), (3, 3, 1, 4)], {"feature_group_count": 4}, 2),
    ],
)
def test_nested_windows(kernels, options, count):
    arguments = [normal(*shape, seed=i) for i, shape in enumerate(kernels)]
    function = lambda x, *ks: [_convolve(x, k, **options) for k in ks]  # noqa: E731
    assert len(proposed(merge_convolutions, function, x, *arguments).pairs) == count


def test_windows_that_are_not_nested():
    kernels = [normal(3, 3, 4, 5), normal(2, 2, 4, 5)]
    paddings = [[(2, 0), (1, 1)], [(0, 1), (0, 1)]]
    function = lambda x, *ks: [  # noqa: E731
        _convolve(x, k, padding=p) for k, p in zip(ks, paddings, strict=True)
    ]
    found = proposed(merge_convolutions, function, x, *kernels)
    assert len(found.pairs) in (0, 2)  # either way what is said is true


def test_one_kernel():
    function = lambda k, x, y: (_convolve(x, k, 2), _convolve(y, k, 2))  # noqa: E731
    assert len(proposed(merge_convolutions, function, normal(3, 3, 4, 5), x, y).pairs) == 2
    grouped = lambda k, x, y: [  # noqa: E731
        _convolve(z, k, feature_group_count=4) for z in (x, y)
    ]
    assert len(proposed(merge_convolutions, grouped, normal(3, 3, 1, 4), x, y).pairs) == 2


def test_one_may_not_need_another():
    function = lambda k, x: _convolve(_convolve(x, k), k)  # noqa: E731
    assert proposed(merge_convolutions, function, normal(3, 3, 4, 4), x).pairs == []


def _each(function):
    return lambda xs, ys: [function(a, b) for a, b in zip(xs, ys, strict=True)]


@pytest.mark.parametrize(
    ("function", "left", "right"),
    [
        (lambda a, b: a @ b, (3, 4), (4, 5)),
        (lambda a, b: a @ b, (4,), (4,)),
        (lambda a, b: a @ b, (2, 3, 4), (2, 4, 5)),
        (lambda a, b: jax.numpy.einsum("abc,cbd->bad", a, b), (3, 2, 4), (4, 2, 5)),
        (lambda a, b: _convolve(a, b, feature_group_count=3), (2, 5, 5, 3), (3, 3, 1, 6)),
    ],
)
def test_batches(function, left, right):
    xs = [normal(*left, seed=i) for i in range(9)]
    ys = [normal(*right, seed=i + 9) for i in range(9)]
    assert len(proposed(batch_contractions, _each(function), xs, ys, leaves=True).pairs) == 9


def test_what_is_not_batched():
    def count(function, xs, ys):
        return len(proposed(batch_contractions, function, xs, ys, leaves=True).pairs)

    matmul = _each(lambda a, b: a @ b)
    large, small = ([normal(n, n, seed=i) for i in range(9)] for n in (200, 4))
    assert count(matmul, large, large[::-1]) == 0
    assert count(matmul, small[:5], small[4:]) == 0
    assert count(lambda xs, ys: [xs[0] @ b for b in ys], small, small) == 0
    assert count(lambda xs, ys: reduce(jax.numpy.matmul, xs + ys), small, small) == 0
    assert count(_each(_convolve), [x] * 9, [normal(3, 3, 4, 2, seed=i) for i in range(9)]) == 0
    whole = [(9 * z).astype(np.int8) for z in small]
    assert count(matmul, whole, whole[::-1]) == 9
