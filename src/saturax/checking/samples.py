"""Inputs on which programs can be told apart, with what the original and a reference make of them.

Inputs on which the outputs are not finite or do not vary prove nothing and are replaced.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np

from saturax.checking.accuracy import ERROR_MULTIPLE, FREE_ROUNDINGS, Expected
from saturax.checking.inputs import DISTRIBUTIONS, Array, draw, nudged, too_large_to_vary
from saturax.errors import SaturaxError
from saturax.graph.types import TensorType, is_integer

Run = Callable[[Sequence[Array]], list[Array]]

# Drawn inputs on which the original is worse than this tell nothing about a candidate.
_LARGEST_ORIGINAL_ERROR, _TYPICAL_ROUNDINGS = 0.02, 16.0
# Small inputs have room for few special values at a time.
_SPECIAL_DRAWS = 4
_LEAST_SAMPLES = 2
# Away from the examples a program may run many times as long (particles that are thrown about
# have remainders of huge numbers): such a draw is given up where there is no time for it, if it
# took more than what interrupts any program.
_SLOW, _SLOW_S = 4.0, 0.1
_GAINS = (1.0, 0.3, 3.0, 0.05)
# So many inputs near those of a sample, as time and memory (of one sample's) allow; fewer tell
# nothing.
_MOST_NEARBY, _LEAST_NEARBY = 16, 4
_NEARBY_S, _NEARBY_BYTES = 4.0, 128 << 20


class EndlessError(SaturaxError):
    """A program may not end on some inputs, so that it was not run on them."""


@dataclass(frozen=True)
class Sample:
    """Inputs with what the original and the float64 reference make of them.

    `programs` are these two, to be asked about inputs nearby, and `seconds` what both took;
    `original_s` of them the original.
    """

    distribution: str
    inputs: list[Array]
    original: list[Array]
    reference: list[Array]
    programs: tuple[Run, Run] | None = None
    seconds: float = 0.0
    original_s: float = math.inf

    @cached_property
    def nearby(self) -> list[Sample]:
        """Samples on inputs that differ from these by a rounding; none where that costs much."""
        if self.programs is None or self.distribution == "special":
            return []
        arrays = (*self.inputs, *self.original, *self.reference)
        bytes_each = sum(array.nbytes for array in arrays) or 1
        count = min(_NEARBY_S / max(self.seconds, 1e-6), _NEARBY_BYTES / bytes_each, _MOST_NEARBY)
        if count < _LEAST_NEARBY:
            return []
        original, reference = self.programs
        found = []
        for seed in range(int(count)):
            inputs = nudged(self.inputs, seed)
            try:
                near = Sample(self.distribution, inputs, original(inputs), reference(inputs))
            except EndlessError:
                continue
            if _is_accepted(near):
                found.append(near)
        return found if len(found) >= _LEAST_NEARBY else []

    @cached_property
    def expected(self) -> list[Expected]:
        """What outputs are judged by."""
        return list(map(Expected, self.original, self.reference))

    @cached_property
    def mean_squares(self) -> list[float | None]:
        """The original's mean square error in each output, where that has a meaning."""
        return list(map(self._mean_square, self.original, self.expected))

    def mean_squares_of(self, results: Sequence[Array]) -> list[float | None]:
        """A candidate's mean square error in each output, where the original's has a meaning."""
        rows = zip(results, self.expected, self.mean_squares, strict=True)
        return [None if own is None else self._mean_square(x, r) for x, r, own in rows]

    def _mean_square(self, found: Array, expected: Expected) -> float | None:
        if self.distribution == "special" or not jnp.issubdtype(found.dtype, np.inexact):
            return None
        return expected.mean_square_error(found)


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
        chosen: Sample | None = None
        for gain, keeps_integers in _attempts(distribution, types, examples):
            inputs = draw(distribution, types, examples, gain, draw_seed, shared, keeps_integers)
            start = time.monotonic()
            try:
                found = original(inputs)
                original_s = time.monotonic() - start
                is_slow = original_s > max(_SLOW * given_s, _SLOW_S)
                if is_slow and start + original_s > until:
                    break
                expected = reference(inputs)
                seconds = time.monotonic() - start
                programs = (original, reference)
                sample = Sample(
                    distribution, inputs, found, expected, programs, seconds, original_s
                )
            except EndlessError:
                continue
            if not _is_accepted(sample):
                continue
            if distribution == "given":
                given_s = original_s
            else:
                shared = shared or too_large_to_vary(inputs)
            loses_numbers = _loses_numbers(sample, samples)
            if chosen is None or not loses_numbers:
                chosen = sample
            if not loses_numbers:
                break
        if chosen is not None:
            samples.append(chosen)
        now = time.monotonic()
        if 0 < len(samples) < _LEAST_SAMPLES and now + (now - began) > until:
            rounds.extendleft(close)
            close = []
    return samples if _is_any_output_free(samples) else []


def _attempts(
    distribution: str, types: Sequence[TensorType], examples: Sequence[Array | None] | None
) -> Iterator[tuple[float, bool]]:
    """Gains to draw with until a draw is evidence, and whether integers stay the examples' own."""
    if examples is None:
        yield from ((gain, False) for gain in _GAINS)
        return
    yield 1.0, False
    if distribution not in ("given", "special") and any(is_integer(t.dtype) for t in types):
        yield 1.0, True


def _loses_numbers(sample: Sample, others: Sequence[Sample]) -> bool:
    """Whether a drawn sample has NaN or infinities for outputs, where the examples have none.

    Shuffled integers may mean nothing: of the corners of a mesh's triangles they make triangles
    without an area.
    """
    if sample.distribution == "special" or not others or others[0].distribution != "given":
        return False
    return _is_finite(others[0]) and not _is_finite(sample)


def _is_finite(sample: Sample) -> bool:
    return all(
        bool(np.isfinite(output).all())
        for output in sample.original
        if jnp.issubdtype(output.dtype, np.inexact)
    )


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
    for original, expected in zip(sample.original, sample.expected, strict=True):
        if original.size:
            error, _, allowed = expected.compare(original)
            # What is allowed beyond the error itself is the type's rounding.
            rounding = max(0.0, allowed - ERROR_MULTIPLE * error) / FREE_ROUNDINGS
            if error > _LARGEST_ORIGINAL_ERROR + _TYPICAL_ROUNDINGS * rounding:
                return False
    return True


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
        if np.mean(np.isfinite(reference) & np.isfinite(original)) < 0.5:
            return False
        varies |= original.size == 1 or bool((reference != reference.reshape(-1)[0]).any())
    return varies or all(not o.size for o in sample.original)
