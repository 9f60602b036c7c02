"""Stage `verify`: does a candidate compute what the original computes, no less accurately?

Both run in their own precision on the same inputs, and are judged against a float64 reference,
output by output: the candidate's largest error on any inputs may not exceed twice the original's
and some roundings, nor its mean square error on all inputs a little less than that. The largest
error is partly luck and finds what is wrong in a few places; the mean finds what is less accurate.

Where an output depends so much on roundings that even its error is luck (what Adam makes of a
gradient near zero is its sign), both errors are those on several inputs that differ by a rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from saturax.checking.accuracy import ALL_INPUTS, OutputError, rounding_of
from saturax.checking.inputs import Array
from saturax.checking.samples import Run, Sample

# Mean errors differ by some per cent from draw to draw, and should not exceed twice the original's
# on any; without the luck of the largest, fewer roundings are free. Those of few numbers are luck,
# too: of normal errors of n numbers each, the mean of one set exceeds that of another as large by a
# factor of exp(1.64/√n) in about 5 % of all cases (one loss on three inputs: 2.6).
_MEAN_ERROR_MULTIPLE, _FREE_MEAN_ROUNDINGS, _LUCK = 1.8, 8.0, 1.64
# Errors so many times as large as allowed are no luck.
_LARGEST_LUCK = 16.0


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


def verify(candidate: Run, samples: Sequence[Sample]) -> Verdict:
    """Compare a candidate with the original on all samples; stops at the first failure."""
    errors: list[OutputError] = []
    mean_squares: list[list[float | None]] = []
    for sample in samples:
        results = candidate(sample.inputs)
        entries = _errors(results, sample)
        if not all(map(_is_allowed, entries)):
            entries = _on_nearby_inputs(candidate, sample, entries)
        errors += entries
        failed = [entry for entry in entries if not _is_allowed(entry)]
        if failed:
            return Verdict(False, _failure(failed[0]), tuple(errors), len(samples))
        mean_squares.append(sample.mean_squares_of(results))
    if not samples:
        reason = "no inputs were found on which the outputs are finite and vary"
        return Verdict(False, reason, (), 0)
    entries = list(_mean_errors(mean_squares, samples))
    if not all(map(_is_allowed, entries)) and _may_be_luck(entries):
        entries = list(_mean_errors(*_with_nearby(candidate, mean_squares, samples)))
    errors += entries
    failed = [entry for entry in entries if not _is_allowed(entry)]
    reason = _failure(failed[0]) if failed else ""
    return Verdict(not failed, reason, tuple(errors), len(samples))


def _errors(results: Sequence[Array], sample: Sample) -> list[OutputError]:
    """The largest error of each output on one sample."""
    rows = zip(results, sample.expected, strict=True)
    return [
        OutputError(sample.distribution, output, *expected.compare(found))
        for output, (found, expected) in enumerate(rows)
    ]


def _is_allowed(entry: OutputError) -> bool:
    return entry.candidate <= entry.allowed  # not if it is NaN


def _may_be_luck(entries: Sequence[OutputError]) -> bool:
    return all(entry.severity() <= _LARGEST_LUCK for entry in entries)


def _on_nearby_inputs(
    candidate: Run, sample: Sample, entries: Sequence[OutputError]
) -> list[OutputError]:
    """The largest errors on the inputs of a sample and those nearby, of both programs."""
    if not _may_be_luck(entries) or not sample.nearby:
        return list(entries)
    rows = [entries]
    rows += [_errors(candidate(near.inputs), near) for near in sample.nearby]
    return [
        replace(
            column[0],
            distribution=f"{sample.distribution} and nearby",
            original=max(entry.original for entry in column),
            candidate=max(entry.candidate for entry in column),
            allowed=max(entry.allowed for entry in column),
        )
        for column in zip(*rows, strict=True)
    ]


def _with_nearby(
    candidate: Run, mean_squares: Sequence[list[float | None]], samples: Sequence[Sample]
) -> tuple[list[list[float | None]], list[Sample]]:
    """A candidate's mean square errors on samples and on what is near them, and all of these."""
    near = [each for sample in samples for each in sample.nearby]
    more = [each.mean_squares_of(candidate(each.inputs)) for each in near]
    return [*mean_squares, *more], [*samples, *near]


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
        rounding = rounding_of(first.dtype)
        allowed = max(multiple * original, _FREE_MEAN_ROUNDINGS * rounding)
        yield OutputError(ALL_INPUTS, output, original, candidate, allowed)


def _failure(entry: OutputError) -> str:
    return (
        f"output {entry.output} on {entry.distribution} inputs has error {entry.candidate:.3g}; "
        f"allowed is {entry.allowed:.3g} (the original's is {entry.original:.3g})"
    )
