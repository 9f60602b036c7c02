"""Verification: what is wrong is rejected, what is rounded differently is not."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from running import normal

from saturax.checking.accuracy import ALL_INPUTS, Expected, compare
from saturax.checking.inputs import nudged
from saturax.checking.samples import Sample, take_samples
from saturax.checking.verify import verify
from saturax.graph.types import TensorType

_MATRIX, _VECTOR = TensorType((12, 12), "f32"), TensorType((12,), "f32")


def _wide(run):
    """The same computation in float64."""

    def reference(inputs):
        floats = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs]
        return run(floats)

    return reference


def _samples(run, types, examples=None, special=False):
    return take_samples(run, _wide(run), types, examples, with_special_values=special)


def _original(inputs):
    a, b, x = inputs
    return [(a @ b) @ x + x, (a * 4).astype(np.int32) @ np.ones(12, np.int32)]


_TYPES = (_MATRIX, _MATRIX, _VECTOR)


def _integers(a):
    return (a * 4).astype(np.int32)


@pytest.mark.parametrize(
    "candidate",
    [
        lambda a, b, x: [a @ (b @ x) + x, _integers(a) @ np.ones(12, np.int32)],
        lambda a, b, x: [x + (x @ (b.T @ a.T)), _integers(a).sum(1, dtype=np.int32)],
        lambda a, b, x: [
            sum((a @ b)[:, k] * x[k] for k in reversed(range(12))) + x,
            _integers(a).sum(1, dtype=np.int32),
        ],
    ],
    ids=["other order", "transposed", "reversed sum"],
)
def test_equal_candidates_pass(candidate):
    verdict = verify(lambda inputs: candidate(*inputs), _samples(_original, _TYPES))
    assert verdict.passed, verdict.reason
    assert verdict.draws >= 3
    assert 0 <= verdict.worst.candidate <= verdict.worst.allowed


@pytest.mark.parametrize(
    ("candidate", "output"),
    [
        (lambda a, b, x: [(a @ b) @ x, _integers(a).sum(1, dtype=np.int32)], 0),
        (lambda a, b, x: [(b @ a) @ x + x, _integers(a).sum(1, dtype=np.int32)], 0),
        (lambda a, b, x: [(a @ b).T @ x + x, _integers(a).sum(1, dtype=np.int32)], 0),
        (lambda a, b, x: [-((a @ b) @ x + x), _integers(a).sum(1, dtype=np.int32)], 0),
        (lambda a, b, x: [np.abs((a @ b) @ x + x), _integers(a).sum(1, dtype=np.int32)], 0),
        (lambda a, b, x: [1.0001 * ((a @ b) @ x + x), _integers(a).sum(1, dtype=np.int32)], 0),
        (lambda a, b, x: [_bf16((a @ b) @ x + x), _integers(a).sum(1, dtype=np.int32)], 0),
        (lambda a, b, x: [(a @ b) @ x + x, _integers(a).sum(0, dtype=np.int32)], 1),
        (lambda a, b, x: [(a @ b) @ x + x, _off_by_one(_integers(a).sum(1, dtype=np.int32))], 1),
        (lambda a, b, x: [(a @ b) @ x + x, _integers(a).sum(1, dtype=np.int64)], 1),
        (lambda a, b, x: [((a @ b) @ x + x)[:, None], _integers(a).sum(1, dtype=np.int32)], 0),
        (lambda a, b, x: [(a @ b) @ x + x / 0, _integers(a).sum(1, dtype=np.int32)], 0),
    ],
    ids=[
        "dropped term", "swapped operands", "wrong axis", "wrong sign", "lost sign", "wrong factor",
        "less precision", "wrong integer axis", "one wrong integer", "wrong type", "wrong shape",
        "infinite",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_wrong_candidates_are_rejected(candidate, output):
    def run(inputs):
        found = candidate(*inputs)
        return [np.asarray(found[0], np.float32), found[1]]

    verdict = verify(run, _samples(_original, _TYPES))
    assert not verdict.passed
    assert verdict.reason.startswith(f"output {output} on ")
    assert verdict.worst.severity() > 1


def _in_steps(step):
    """The identity, rounded to multiples of a step."""
    return lambda inputs: [(np.round(inputs[0] / step) * step).astype(np.float32)]


def test_larger_mean_error_is_rejected_where_the_largest_is_within_its_limit():
    exact = lambda inputs: [inputs[0].astype(np.float64)]  # noqa: E731
    types = (TensorType((4096,), "f32"),)
    samples = take_samples(_in_steps(1e-4), exact, types, None, with_special_values=False)
    verdict = verify(_in_steps(2.05e-4), samples)
    assert not verdict.passed
    assert verdict.reason.startswith(f"output 0 on {ALL_INPUTS} inputs")
    *largest, mean = verdict.errors
    assert len(largest) == len(samples)
    assert all(entry.candidate <= entry.allowed for entry in largest)
    assert 2 * mean.original < mean.candidate < 2.1 * mean.original
    # As good, better, and a little worse.
    assert all(verify(_in_steps(step), samples).passed for step in (1e-4, 5e-5, 1.7e-4))


@pytest.mark.parametrize(("size", "passes"), [(1, True), (4096, False)])
def test_mean_error_of_few_numbers_is_luck(size, passes):
    reference = np.ones(size)
    original, found = ((reference + error).astype(np.float32) for error in (1e-5, 2.1e-5))
    samples = [Sample("normal", [np.zeros(1, np.float32)], [original], [reference])] * 3
    assert verify(lambda inputs: [found], samples).passed is passes


def _signs(order, digits=24):
    """What Adam's first step makes of gradients that are almost zero, summed in some order."""

    def run(inputs):
        kind, (x,) = inputs[0].dtype, inputs
        terms = x[:, order] if digits == 24 else np.round(x[:, order] * 2**digits) / 2**digits
        sums = np.add.accumulate(terms, axis=1, dtype=kind)[:, -1]
        return [sums / (np.abs(sums) + kind.type(1e-4))]

    return run


def test_errors_that_are_luck_are_those_of_several_inputs():
    half = normal(3, 64).astype(np.float32)
    example = np.concatenate([half, *nudged([-half], 0)], axis=1)
    first, *orders = [np.random.default_rng(seed).permutation(128) for seed in (22, *range(12))]
    samples = _samples(_signs(first), (TensorType((3, 128), "f32"),), [example])
    alone = [replace(sample, programs=None) for sample in samples]
    by_luck = {n for n, order in enumerate(orders) if not verify(_signs(order), alone).passed}
    still = {n for n, order in enumerate(orders) if not verify(_signs(order), samples).passed}
    assert len(by_luck) >= 6
    assert still < by_luck
    assert len(still) <= len(by_luck) / 2
    coarse = verify(_signs(orders[0], digits=16), samples)
    assert not coarse.passed
    assert "given and nearby inputs" in coarse.reason


def test_nearby_inputs_differ_by_a_rounding():
    x = np.array([1, -2, 0, np.inf, 3], np.float32)
    near, counts, wide = nudged([x, np.arange(3), np.ones(2, np.complex128)], 0)
    assert (np.abs(near[[0, 1, 4]] / x[[0, 1, 4]] - 1) <= 2**-22).all()
    assert (near != x).sum() == 3
    assert (counts == np.arange(3)).all()
    assert (wide != 1).all()


def test_mean_error_is_of_all_inputs_and_finite_elements():
    def mean_square_error(found, reference):
        return Expected(reference, reference).mean_square_error(found)

    ones = np.ones(4)
    assert mean_square_error(np.float32([1, 1, 3, np.nan]), ones) == 4 / 3
    assert mean_square_error(np.float32([np.inf]), np.array([np.inf])) is None
    assert mean_square_error(np.complex64([1 + 1j]), np.array([1.0 + 0j])) == 1
    assert mean_square_error(np.zeros(2, np.float32), np.zeros(2)) == 0
    assert mean_square_error(np.float32([5, 3, np.nan]), np.array([np.inf, 2, 1])) == 1 / 4


def test_errors_are_those_of_all_blocks():
    """Outputs larger than a block are compared throughout, whatever is not finite in them."""
    reference = np.linspace(1, 2, 100_000).reshape(2, -1)
    original = reference.astype(np.float32)
    reference[0, 7], original[0, 7] = np.inf, np.inf
    for place in ((0, 0), (0, 40_000), (1, -1)):
        found = original.copy()
        found[place] += 0.5
        own, error, allowed = compare(found, original, reference)
        assert own < allowed < error == pytest.approx(0.25)
        mean = Expected(original, reference).mean_square_error(found)
        assert mean == pytest.approx(0.25 / np.sum(np.square(reference[np.isfinite(reference)])))
        found[place] = np.nan
        assert compare(found, original, reference)[1] == np.inf


def _bf16(x):
    return x.astype(ml_dtypes.bfloat16).astype(np.float32)


def _off_by_one(x):
    x[3] += 1
    return x


def test_wrong_on_positive_values_only_is_found():
    verdict = verify(
        lambda inputs: [np.maximum(inputs[0], 0)],
        _samples(lambda inputs: [inputs[0] * 1], (_VECTOR,)),
    )
    assert not verdict.passed


def _nan_to_zero(inputs):
    return [np.nan_to_num(inputs[0] * np.float32(2), nan=0.0, posinf=np.inf, neginf=-np.inf)]


@pytest.mark.parametrize(
    "candidate",
    [
        _nan_to_zero,
        lambda inputs: [np.clip(inputs[0] * np.float32(2), -1e30, 1e30)],
        lambda inputs: [np.where(np.isinf(inputs[0]), np.inf, inputs[0] * 2).astype(np.float32)],
    ],
    ids=["NaN lost", "infinity lost", "sign of infinity lost"],
)
def test_lost_special_values_are_found_where_promised(candidate):
    samples = _samples(lambda inputs: [inputs[0] * np.float32(2)], (_MATRIX,), special=True)
    assert samples[-1].distribution == "special"
    assert np.isnan(samples[-1].original[0]).any()
    assert not verify(candidate, samples).passed


def test_special_values_are_no_evidence_alone():
    constant = lambda inputs: [np.where(np.isnan(inputs[0]), inputs[0], 1)]  # noqa: E731
    assert _samples(constant, (_MATRIX,), special=True) == []


@pytest.mark.parametrize(
    "constant",
    [
        lambda inputs: [np.ones(3, np.float32)],
        lambda inputs: [np.tanh(np.float32(1e6) + 0 * inputs[0])],
        lambda inputs: [np.tanh(1e6 + inputs[0].sum()).astype(np.float32)],
        lambda inputs: [np.full(3, np.nan, np.float32) * inputs[0][0, 0]],
    ],
    ids=["constant", "saturated", "saturated scalar", "NaN"],
)
def test_constant_outputs_are_no_evidence(constant):
    samples = _samples(constant, (_MATRIX,))
    assert samples == []
    verdict = verify(constant, samples)
    assert not verdict.passed
    assert "vary" in verdict.reason


def test_scalar_that_varies_between_inputs_is_evidence():
    total = lambda inputs: [np.asarray(inputs[0].sum(), np.float32)]  # noqa: E731
    samples = _samples(total, (_MATRIX,))
    assert len(samples) >= 2
    assert not verify(lambda inputs: [np.float32(1) * samples[0].original[0]], samples).passed


def test_empty_outputs_are_equal():
    empty = lambda inputs: [np.zeros((0, 3), np.float32)]  # noqa: E731
    assert verify(empty, _samples(empty, (_MATRIX,))).passed


def test_examples_come_first_and_bad_ones_are_passed_over():
    run = lambda inputs: [inputs[0] @ inputs[0]]  # noqa: E731
    samples = _samples(run, (_MATRIX,), [normal(12, 12)])
    np.testing.assert_array_equal(samples[0].inputs[0], normal(12, 12))
    assert samples[0].distribution == "given"
    samples = _samples(run, (_MATRIX,), [np.full((12, 12), np.nan, np.float32)])
    assert samples
    assert all(np.isfinite(s.inputs[0]).all() for s in samples)


def test_integers_stay_the_examples_own_where_others_mean_nothing():
    """Lengths between distinct points: shuffled ends of lines meet, and 0/0 is no number."""
    ends, points = np.array([[0, 1], [1, 2], [2, 3], [3, 0]], np.int32), normal(4, 3)

    def directions(inputs):
        points, ends = inputs
        with np.errstate(invalid="ignore"):
            lines = points[ends[:, 1]] - points[ends[:, 0]]
            return [lines / np.sqrt((lines * lines).sum(1, keepdims=True))]

    def run(inputs):
        return [directions(inputs)[0].astype(inputs[0].dtype)]

    types = TensorType((4, 3), "f32"), TensorType((4, 2), "i32")
    samples = [
        sample
        for seed in range(4)
        for sample in take_samples(
            run, _wide(run), types, [points, ends], with_special_values=False, seed=seed
        )
    ]
    assert all(np.isfinite(sample.original[0]).all() for sample in samples)
    drawn = [s for s in samples if s.distribution != "given"]
    assert any(np.array_equal(s.inputs[1], ends) for s in drawn)
    assert any(not np.array_equal(s.inputs[1], ends) for s in drawn)


def test_no_time_still_takes_two_samples():
    run = lambda inputs: [inputs[0] @ inputs[0]]  # noqa: E731
    arguments = (run, _wide(run), (_MATRIX,), [normal(12, 12)])
    samples = take_samples(*arguments, with_special_values=False, time_limit_s=0)
    assert [s.distribution for s in samples] == ["given", "close"]
    assert len(take_samples(*arguments, with_special_values=False)) > 2


def _slow_away_from(example, clock, slow_s):
    """A program that takes a second of a clock's time close to an example, and longer elsewhere."""

    def run(inputs):
        is_close = np.allclose(inputs[0], example, rtol=0.01)
        clock.append(clock[-1] + (1.0 if is_close else slow_s))
        return [inputs[0] @ inputs[0]]

    return run


@pytest.mark.parametrize(
    ("slow_s", "limit_s", "expected"),
    [
        (50.0, 3.0, ["given", "close"]),  # nothing else is even tried
        (50.0, 10.0, ["given", "close"]),  # what is drawn is given up
        (2.0, 9.0, ["given", "perturbed", "normal"]),
    ],
)
def test_inputs_that_make_a_program_slow_are_given_up(monkeypatch, slow_s, limit_s, expected):
    example, clock = normal(12, 12), [0.0]
    monkeypatch.setattr("saturax.checking.samples.time.monotonic", lambda: clock[-1])
    run = _slow_away_from(example, clock, slow_s)
    samples = take_samples(
        *(run, _wide(run), (_MATRIX,), [example]), with_special_values=False, time_limit_s=limit_s
    )
    assert [s.distribution for s in samples] == expected
    assert clock[-1] <= 4 + slow_s + 8


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float8_e4m3fn", "complex64"])
def test_error_is_in_units_of_the_type(dtype):
    exact = np.linspace(0.5, 1, 9) * (1 + 1j if dtype == "complex64" else 1)
    original = np.asarray(jnp.asarray(exact, dtype))
    _, same, allowed = compare(original, original, exact)
    assert same <= allowed
    _, wrong, allowed = compare(original[::-1], original, exact)
    assert wrong > allowed or dtype == "float8_e4m3fn"


@pytest.mark.parametrize("dtype", ["int4", "uint4", "int8", "uint64", "bool"])
def test_integers_of_any_width_are_exact(dtype):
    values = np.asarray([0, 1, 1, 0]).astype(jnp.dtype(dtype))
    assert compare(values, values, values) == (0, 0, 0)
    assert compare(values[::-1], values, values)[1] == 0
    assert compare(np.roll(values, 1), values, values)[1] == 0.5


def test_allowed_is_twice_the_error_of_the_original_and_32_roundings():
    reference = np.ones(4)
    original = np.float32([1, 1, 1, 1.001])
    error = float(original[3]) - 1.0
    found = compare(original, original, reference)
    rounding = float(np.finfo(np.float32).eps)
    assert found == pytest.approx((error, error, 2 * error + 32 * rounding))
