"""Inputs for comparisons: of the right types, near the examples, never trivial."""

from __future__ import annotations

import numpy as np
import pytest

from saturax.checking.inputs import DISTRIBUTIONS, check_examples, draw, too_large_to_vary
from saturax.errors import OptionsError
from saturax.graph.types import TensorType, numpy_dtype

_DTYPES = ("f32", "f64", "f16", "bf16", "f8E4M3FN", "i32", "ui8", "i4", "i1", "complex<f32>")
_SHAPES = ((), (0,), (5,), (40, 30))


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("with_examples", [False, True])
def test_types_are_right(dtype, distribution, with_examples):
    types = [TensorType(shape, dtype) for shape in _SHAPES]
    examples = [np.ones(t.shape, numpy_dtype(dtype)) for t in types] if with_examples else None
    for example in examples or ():
        example.flags.writeable = False  # as JAX's arrays are
    for array, type in zip(draw(distribution, types, examples, 1.0, 0), types, strict=True):
        assert (array.shape, array.dtype) == (type.shape, numpy_dtype(dtype))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_examples_near_the_largest_numbers_raise_no_warning(distribution):
    (type,) = types = [TensorType((64,), "f32")]
    example = np.float32([3e38, -3e38, np.inf, np.nan] * 16)
    assert draw(distribution, types, [example], 1.0, 0)[0].shape == type.shape


def test_draws_are_reproducible_and_differ():
    types = [TensorType((9, 9), "f32")]
    first = [draw(name, types, None, 1.0, 3)[0] for name in DISTRIBUTIONS]
    again = [draw(name, types, None, 1.0, 3)[0] for name in DISTRIBUTIONS]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len({a.tobytes() for a in first}) == len(first)
    assert not (first[0] == draw("given", types, None, 1.0, 4)[0]).any()


def test_distributions_are_what_they_are_called():
    (type,) = types = [TensorType((200, 100), "f32")]
    drawn = {name: draw(name, types, None, 1.0, 0)[0] for name in DISTRIBUTIONS}
    assert drawn["normal"].min() < 0 < drawn["normal"].max()
    assert (drawn["non-negative"] >= 0).all()
    assert (drawn["non-negative"] == 0).any()
    magnitudes = np.abs(drawn["wide"])
    assert magnitudes.max() / magnitudes.min() > 1e4
    assert np.isnan(drawn["special"]).any()
    assert np.isinf(drawn["special"]).any()
    assert np.isfinite(drawn["special"]).mean() > 0.9
    assert type.shape == drawn["special"].shape


def test_complex_numbers_have_imaginary_parts():
    (array,) = draw("normal", [TensorType((50,), "complex<f32>")], None, 1.0, 0)
    assert (array.imag != 0).all()
    assert (array.imag != array.real).all()


def test_matrices_keep_the_scale_of_what_they_multiply():
    (matrix,) = draw("normal", [TensorType((400, 300), "f32")], None, 1.0, 0)
    assert 0.5 < np.std(np.ones(400) @ matrix) < 2


def test_examples_are_given_back_and_varied_gently():
    example = np.abs(np.random.default_rng(0).standard_normal((30, 20))) + 0.1
    types = [TensorType((30, 20), "f32")]
    drawn = {name: draw(name, types, [example], 1.0, 0)[0] for name in DISTRIBUTIONS}
    np.testing.assert_array_equal(drawn["given"], example.astype(np.float32))
    assert np.median(np.abs(drawn["perturbed"] / example - 1)) < 0.15
    assert 0 < np.max(np.abs(drawn["close"] / example - 1)) < 0.01
    assert sorted(drawn["normal"].ravel()) == sorted(example.astype(np.float32).ravel())
    ratio = drawn["wide"] / example
    assert 0.3 < ratio.min() < ratio.max() < 3.1
    assert (drawn["non-negative"] > 0).all()  # as variances are: never 0


def test_close_inputs_keep_integers_and_booleans():
    types = [TensorType((20,), "i32"), TensorType((20,), "i1")]
    examples = [np.arange(20, dtype=np.int32), np.arange(20) < 10]
    for drawn, example in zip(draw("close", types, examples, 1.0, 0), examples, strict=True):
        np.testing.assert_array_equal(drawn, example)


def test_blocks_of_a_large_example_are_redrawn_in_different_orders():
    size = (1 << 21) + 12345
    example = np.arange(size, dtype=np.float32)
    (drawn,) = draw("normal", [TensorType((size,), "f32")], [example], 1.0, 0)
    assert drawn.min() >= 0
    assert drawn.max() < size
    assert abs(np.corrcoef(drawn[: 1 << 20], drawn[1 << 20 : 1 << 21])[0, 1]) < 0.01
    assert len(np.unique(drawn)) > 0.55 * size


def test_many_elements_are_drawn_from_those_of_the_example():
    example = np.random.default_rng(0).standard_normal((400, 300)).astype(np.float32)
    (drawn,) = draw("normal", [TensorType((400, 300), "f32")], [example], 1.0, 0)
    assert set(drawn.ravel()) <= set(example.ravel())
    assert (drawn != example).mean() > 0.99
    assert np.std(drawn) == pytest.approx(np.std(example), rel=0.02)


def test_jax_takes_what_was_drawn_without_copying_it():
    types = [TensorType(shape, "f32") for shape in ((400, 300), (7, 5))]
    examples = [np.ones(type.shape, np.float32) for type in types]
    for name in DISTRIBUTIONS[1:]:
        for given in (examples, None):
            for array in draw(name, types, given, 1.0, 0):
                assert array.ctypes.data % 64 == 0


def test_what_is_too_large_to_vary_is_taken_over():
    small, large = np.zeros(10, np.float32), np.zeros((1 << 20, 6), np.float32)
    kept = too_large_to_vary([large, small, large + 1, large + 2])
    assert list(kept) == [2, 3]
    assert list(too_large_to_vary([large, large])) == [1]
    assert not too_large_to_vary([np.zeros((1 << 20, 9), np.float32)])  # something has to vary
    types = [TensorType(x.shape, "f32") for x in (large, small, large, large)]
    drawn = draw("normal", types, None, 1.0, 0, kept)
    assert drawn[2] is kept[2]
    assert drawn[3] is kept[3]
    assert drawn[0].any()
    assert drawn[1].any()


def test_integers_stay_those_of_the_examples():
    example = np.array([7, 8, 900], np.int32)
    for name in DISTRIBUTIONS:
        (array,) = draw(name, [TensorType((3,), "i32")], [example], 1.0, 0)
        assert sorted(array) == [7, 8, 900]


def test_integers_without_examples_are_small_enough_for_indices():
    (array,) = draw("normal", [TensorType((100,), "i32")], None, 1.0, 0)
    assert array.min() == 0
    assert array.max() == 7


def test_examples_are_checked():
    types = [TensorType((2,), "f32")]
    assert check_examples([[1.0, 2.0]], types)[0].shape == (2,)
    with pytest.raises(OptionsError, match="expected one array for each of the program's 1 inputs"):
        check_examples([], types)
    with pytest.raises(OptionsError, match=r"expected shape \(2,\) for input 0, got \(3,\)"):
        check_examples([np.ones(3)], types)
