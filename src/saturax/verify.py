"""Stage `verify`: does a candidate compute what the original computes, no less accurately?

Both run in their own precision on the same inputs, and are judged against a float64 reference,
output by output: the candidate's largest error on any inputs may not exceed twice the original's
and some roundings, nor its mean square error on all inputs a little less than that. The largest
error is partly luck and finds what is wrong in a few places; the mean finds what is less accurate.
Inputs on which the outputs are not finite or do not vary prove nothing and are replaced.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from saturax.errors import SaturaxError
from saturax.graph.types import TensorType
from saturax.inputs import DISTRIBUTIONS, Array, draw, too_large_to_vary

Run = Callable[[Sequence[Array]], list[Array]]

_ERROR_MULTIPLE = 2.0
# Drawn inputs on which the original is worse than this tell nothing about a candidate.
_LARGEST_ORIGINAL_ERROR, _TYPICAL_ROUNDINGS = 0.02, 16.0
# The least error that counts, in units of the output type's rounding: sums in another order
# differ by this much even where the original happens to be exact. Of 46 programs that benchmarks
# chose none is lost for these limits; with 16 roundings a convolutional network would be.
_FREE_ROUNDINGS = 32.0
# Mean errors differ by some per cent from draw to draw, and should not exceed twice the original's
# on any; without the luck of the largest, fewer roundings are free. Those of few numbers are luck,
# too: of normal errors of n numbers each, the mean of one set exceeds that of another as large by a
# factor of exp(1.64/√n) in about 5 % of all cases (one loss on three inputs: 2.6).
_MEAN_ERROR_MULTIPLE, _FREE_MEAN_ROUNDINGS, _LUCK = 1.8, 8.0, 1.64
ALL_INPUTS = "all"
"""What the entry of a mean error has as its distribution."""
# Small inputs have room for few special values at a time.
_SPECIAL_DRAWS = 4
_LEAST_SAMPLES = 2
# Away from the examples a program may run many times as long (particles that are thrown about
# have remainders of huge numbers): such a draw is given up where there is no time for it.
_SLOW = 4.0
_GAINS = (1.0, 0.3, 3.0, 0.05)


class EndlessError(SaturaxError):
    """A program may not end on some inputs, so that it was not run on them."""


@dataclass(frozen=True)
class OutputError:
    """Errors of one output on one set of inputs, relative to the largest reference magnitude; on
    `ALL_INPUTS` root mean squares, relative to that of the reference.
    """

    distribution: str
    output: int
    original: float
    candidate: float
    allowed: float

    def severity(self) -> float:
        """Error as a multiple of what is allowed."""
        if self.allowed > 0:
            return self.candidate / self.allowed
        return np.inf if self.candidate > 0 else 0.0


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate passed, why not, and the evidence: the largest error per output."""

    passed: bool
    reason: str
    errors: tuple[OutputError, ...]
    draws: int

    @property
    def worst(self) -> OutputError | None:
        """The comparison that came closest to its limit."""
        return max(self.errors, key=OutputError.severity, default=None)


@dataclass(frozen=True)
class Sample:
    """Inputs with what the original and the float64 reference make of them."""

    distribution: str
    inputs: list[Array]
    original: list[Array]
    reference: list[Array]

    @cached_property
    def mean_squares(self) -> list[float | None]:
        """The original's mean square error in each output, where that has a meaning."""
        pairs = zip(self.original, self.reference, strict=True)
        return [self._mean_square(*pair) for pair in pairs]

    def mean_squares_of(self, results: Sequence[Array]) -> list[float | None]:
        """A candidate's mean square error in each output, where the original's has a meaning."""
        rows = zip(results, self.reference, self.mean_squares, strict=True)
        return [None if own is None else self._mean_square(x, r) for x, r, own in rows]

    def _mean_square(self, found: Array, reference: Array) -> float | None:
        if self.distribution == "special" or not jnp.issubdtype(found.dtype, np.inexact):
            return None
        return mean_square_error(found, reference)


def take_samples(
    original: Run,
    reference: Run,
    types: Sequence[TensorType],
    examples: Sequence[Array | None] | None,
    *,
    with_special_values: bool,
    seed: int = 0,
    time_limit_s: float = math.inf,
) -> list[Sample]:
    """Inputs on which programs can be told apart, with the expected results.

    Distributions that give no evidence at any gain are left out; the list may be empty. Examples
    that prove nothing (they make NaN, say) are passed over for inputs drawn without them. Two
    samples are taken however long they take, others only within the time limit. Where there is no
    time for more than two, or inputs drawn more freely take many times as long as the examples,
    the second sample is close to the examples.
    """
    common = (original, reference, types)
    until = time.monotonic() + time_limit_s
    samples = _informative(*common, examples, with_special_values, seed, until)
    if not samples and examples is not None:
        samples = _informative(*common, None, with_special_values, seed, until)
    return samples


def _informative(
    original: Run,
    reference: Run,
    types: Sequence[TensorType],
    examples: Sequence[Array | None] | None,
    with_special_values: bool,
    seed: int,
    until: float,
) -> list[Sample]:
    """`take_samples` with the examples, or without any."""
    samples: list[Sample] = []
    shared: dict[int, Array] = {}
    rounds = deque(_rounds(examples is not None, with_special_values, seed))
    close = [] if examples is None else [("close", seed)]
    began, given_s = time.monotonic(), math.inf
    while rounds and (len(samples) < _LEAST_SAMPLES or time.monotonic() <= until):
        distribution, draw_seed = rounds.popleft()
        for gain in _GAINS if examples is None else _GAINS[:1]:
            inputs = draw(distribution, types, examples, gain, draw_seed, shared)
            start = time.monotonic()
            try:
                found = original(inputs)
                original_s = time.monotonic() - start
                if original_s > _SLOW * given_s and start + original_s > until:
                    break
                sample = Sample(distribution, inputs, found, reference(inputs))
            except EndlessError:
                continue
            if _is_accepted(sample):
                samples.append(sample)
                if distribution == "given":
                    given_s = original_s
                else:
                    shared = shared or too_large_to_vary(inputs)
                break
        now = time.monotonic()
        if 0 < len(samples) < _LEAST_SAMPLES and now + (now - began) > until:
            rounds.extendleft(close)
            close = []
    return samples if _is_any_output_free(samples) else []


def _rounds(with_examples: bool, with_special_values: bool, seed: int) -> Iterator[tuple[str, int]]:
    """Distributions to draw from, with a seed each; without the one that is for lack of time."""
    for distribution in DISTRIBUTIONS:
        is_wanted = {
            "given": with_examples,
            "close": False,
            "perturbed": with_examples,
            "special": with_special_values,
        }.get(distribution, True)
        times = _SPECIAL_DRAWS if distribution == "special" else 1
        if is_wanted:
            yield from ((distribution, seed + more) for more in range(times))


def _is_accepted(sample: Sample) -> bool:
    """Whether candidates can be told from the original by a sample."""
    if sample.distribution == "special":
        return True
    return _is_evidence(sample) and (sample.distribution == "given" or _is_well_posed(sample))


def _is_well_posed(sample: Sample) -> bool:
    """Whether the original itself is right to a few digits (it is not on, say, singular inputs)."""
    pairs = zip(sample.original, sample.reference, strict=True)
    for original, reference in pairs:
        if original.size:
            error, _, allowed = compare(original, original, reference)
            # What is allowed beyond the error itself is the type's rounding.
            rounding = max(0.0, allowed - _ERROR_MULTIPLE * error) / _FREE_ROUNDINGS
            if error > _LARGEST_ORIGINAL_ERROR + _TYPICAL_ROUNDINGS * rounding:
                return False
    return True


def verify(candidate: Run, samples: Sequence[Sample]) -> Verdict:
    """Compare a candidate with the original on all samples; stops at the first failure."""
    errors: list[OutputError] = []
    mean_squares: list[list[float | None]] = []
    for sample in samples:
        results = candidate(sample.inputs)
        rows = zip(results, sample.original, sample.reference, strict=True)
        for output, (found, original, reference) in enumerate(rows):
            error = compare(found, original, reference)
            entry = OutputError(sample.distribution, output, *error)
            errors.append(entry)
            if not entry.candidate <= entry.allowed:
                return Verdict(False, _failure(entry), tuple(errors), len(samples))
        mean_squares.append(sample.mean_squares_of(results))
    if not samples:
        reason = "no inputs were found on which the outputs are finite and vary"
        return Verdict(False, reason, (), 0)
    for entry in _mean_errors(mean_squares, samples):
        errors.append(entry)
        if not entry.candidate <= entry.allowed:
            return Verdict(False, _failure(entry), tuple(errors), len(samples))
    return Verdict(True, "", tuple(errors), len(samples))


def _mean_errors(
    found: Sequence[Sequence[float | None]], samples: Sequence[Sample]
) -> Iterator[OutputError]:
    """Root mean square errors of the outputs on all samples together."""
    columns = zip(*found, strict=True), zip(*(s.mean_squares for s in samples), strict=True)
    for output, (mine, originals) in enumerate(zip(*columns, strict=True)):
        pairs = [(a, b) for a, b in zip(mine, originals, strict=True) if None not in (a, b)]
        if not pairs:
            continue
        candidate, original = np.sqrt(np.mean(np.array(pairs, float), axis=0)).tolist()
        first = samples[0].original[output]
        multiple = _MEAN_ERROR_MULTIPLE * math.exp(_LUCK / math.sqrt(first.size * len(pairs)))
        rounding = _rounding_of(first.dtype)
        allowed = max(multiple * original, _FREE_MEAN_ROUNDINGS * rounding)
        yield OutputError(ALL_INPUTS, output, original, candidate, allowed)


def mean_square_error(found: Array, reference: Array) -> float | None:
    """Mean square of the difference, relative to that of the reference, where both are finite;
    None where nothing is.

    >>> mean_square_error(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    0.5
    """
    kind = np.complex128 if np.iscomplexobj(reference) else np.float64
    a, r = (np.asarray(x).astype(kind, copy=False) for x in (found, reference))
    finite = np.isfinite(a) & np.isfinite(r)
    if not finite.any():
        return None
    if not finite.all():
        a, r = a[finite], r[finite]
    scale = float(np.vdot(r, r).real) or float(r.size)
    difference = (a - r).reshape(-1)
    return float(np.vdot(difference, difference).real) / scale


def _failure(entry: OutputError) -> str:
    return (
        f"output {entry.output} on {entry.distribution} inputs has error {entry.candidate:.3g}; "
        f"allowed is {entry.allowed:.3g} (the original's is {entry.original:.3g})"
    )


def compare(found: Array, original: Array, reference: Array) -> tuple[float, float, float]:
    """Error of the original, error of the candidate, allowed error; infinite on a mismatch.

    Errors of floats are relative to the largest magnitude of the reference. For integers and
    booleans the error is the share of elements that differ from the reference.
    """
    if found.shape != original.shape or found.dtype != original.dtype:
        return 0.0, np.inf, 0.0
    if not jnp.issubdtype(original.dtype, np.inexact):
        share = 1.0 / max(original.size, 1)
        bad_original = share * float(np.sum(original != reference))
        bad_found = share * float(np.sum(found != reference))
        allowed = 2 * bad_original
        # Where the original itself is mostly off, only what it gives can be compared with.
        if allowed >= 1:
            return bad_original, share * float(np.sum(found != original)), 0.0
        return bad_original, bad_found, allowed
    kind = np.complex128 if np.iscomplexobj(reference) else np.float64
    a, b, r = (np.asarray(x).astype(kind) for x in (original, found, reference))
    finite = np.isfinite(a) & np.isfinite(r)
    lost = finite & ~np.isfinite(b)
    if lost.any() or not _same_special(a, b, r):
        return 0.0, np.inf, 0.0
    if not finite.any():
        return 0.0, 0.0, 1.0
    scale = float(np.max(np.abs(r[finite]))) or 1.0
    error_original = _error(a, r, finite, scale)
    rounding = _rounding_of(original.dtype)
    allowed = _ERROR_MULTIPLE * error_original + _FREE_ROUNDINGS * rounding
    return error_original, _error(b, r, finite, scale), allowed


def _same_special(a: Array, b: Array, r: Array) -> bool:
    """Whether infinities and NaN that original and reference agree on are also the candidate's."""
    agreed_nan = np.isnan(a) & np.isnan(r)
    agreed_inf = np.isinf(a) & np.isinf(r)
    return bool(np.isnan(b[agreed_nan]).all() and (b[agreed_inf] == a[agreed_inf]).all())


def _error(values: Array, reference: Array, where: Array, scale: float) -> float:
    return float(np.max(np.abs(values[where] - reference[where]))) / scale


def _rounding_of(dtype: np.dtype[Any]) -> float:
    kind = np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype
    return float(ml_dtypes.finfo(kind).eps)


def _is_any_output_free(samples: Sequence[Sample]) -> bool:
    """Whether some output is more than one constant value on all inputs, or all are empty."""
    outputs = zip(*(s.original for s in samples if s.distribution != "special"), strict=True)
    filled = [arrays for arrays in outputs if arrays[0].size]
    firsts = [arrays[0].reshape(-1)[:1] for arrays in filled]
    varies = [
        any(bool((array != first).any()) for array in arrays)
        for arrays, first in zip(filled, firsts, strict=True)
    ]
    return any(varies) or (bool(samples) and not any(o.size for o in samples[0].original))


def _is_evidence(sample: Sample) -> bool:
    """Whether every float output is mostly finite and at least one output varies."""
    varies = False
    for original, reference in zip(sample.original, sample.reference, strict=True):
        if not original.size:
            continue
        wide = np.asarray(reference).astype(np.complex128)
        if np.mean(np.isfinite(wide) & np.isfinite(original.astype(np.complex128))) < 0.5:
            return False
        varies |= original.size == 1 or bool((wide != wide.reshape(-1)[0]).any())
    return varies or all(not o.size for o in sample.original)
