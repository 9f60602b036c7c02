"""How far the outputs of a program are from a float64 reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from saturax.checking.inputs import Array

ERROR_MULTIPLE = 2.0
"""How many times the original's error a candidate's may be."""
# The least error that counts, in units of the output type's rounding: sums in another order
# differ by this much even where the original happens to be exact. Of 46 programs that benchmarks
# chose none is lost for these limits; with 16 roundings a convolutional network would be.
FREE_ROUNDINGS = 32.0
ALL_INPUTS = "all"
"""What the entry of a mean error has as its distribution."""
_BLOCK = 1 << 15


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


class Expected:
    """What candidates are judged by: an output of the original, and its float64 reference.

    What does not depend on the candidate is computed once. Outputs may be as large as the logits of
    a language model: they become float64 block by block, in the cache.
    """

    def __init__(self, original: Array, reference: Array) -> None:
        self.original, self.reference = original, reference
        self._kind = np.dtype(np.complex128 if np.iscomplexobj(reference) else np.float64)

    def compare(self, found: Array) -> tuple[float, float, float]:
        """Error of the original, error of the candidate, allowed error; infinite on a mismatch.

        Errors of floats are relative to the largest magnitude of the reference. For integers and
        booleans the error is the share of elements that differ from the reference.
        """
        original = self.original
        if found.shape != original.shape or found.dtype != original.dtype:
            return 0.0, np.inf, 0.0
        if not jnp.issubdtype(original.dtype, np.inexact):
            return self._compare_exactly(found)
        where = self._finite
        lost = ~np.isfinite(found) if where is None else where & ~np.isfinite(found)
        if lost.any() or not (where is None or self._has_same_special(found)):
            return 0.0, np.inf, 0.0
        if not original.size or not (where is None or where.any()):
            return 0.0, 0.0, 1.0
        own = self._error
        allowed = ERROR_MULTIPLE * own + FREE_ROUNDINGS * rounding_of(original.dtype)
        return own, own if found is original else self._error_of(found), allowed

    def mean_square_error(self, found: Array) -> float | None:
        """Mean square of the difference, relative to that of the reference, where both are finite;
        None where nothing is.

        >>> Expected(np.zeros(2), np.array([1.0, 1.0])).mean_square_error(np.array([1.0, 2.0]))
        0.5
        """
        where, finite = self._finite_reference, np.isfinite(found)
        if not finite.all():
            where = finite if where is None else finite & where
        count = found.size if where is None else int(np.count_nonzero(where))
        if not count:
            return None
        is_usual = where is self._finite_reference
        scale = self._square if is_usual else self._square_of(self.reference, where)
        difference = sum(_square(a - r) for a, r in self._blocks(found, where))
        return difference / (scale or float(count))

    def _compare_exactly(self, found: Array) -> tuple[float, float, float]:
        share = 1.0 / max(found.size, 1)
        bad_original = share * float(np.sum(self.original != self.reference))
        bad_found = share * float(np.sum(found != self.reference))
        allowed = 2 * bad_original
        # Where the original itself is mostly off, only what it gives can be compared with.
        if allowed >= 1:
            return bad_original, share * float(np.sum(found != self.original)), 0.0
        return bad_original, bad_found, allowed

    def _has_same_special(self, found: Array) -> bool:
        """Whether infinities and NaN that original and reference agree on are also `found`'s."""
        a, r = self.original, self.reference
        agreed_nan = np.isnan(a) & np.isnan(r)
        agreed_inf = np.isinf(a) & np.isinf(r)
        return bool(np.isnan(found[agreed_nan]).all() and (found == a)[agreed_inf].all())

    @cached_property
    def _finite(self) -> Array | None:
        """Where original and reference are finite; None if that is everywhere."""
        where, own = self._finite_reference, np.isfinite(self.original)
        if own.all():
            return where
        return np.asarray(own if where is None else own & where)

    @cached_property
    def _finite_reference(self) -> Array | None:
        """Where the reference is finite; None if that is everywhere."""
        finite = np.isfinite(self.reference)
        return None if finite.all() else np.asarray(finite)

    @cached_property
    def _square(self) -> float:
        """The sum of the reference's squares, as far as they are finite."""
        return self._square_of(self.reference, self._finite_reference)

    def _square_of(self, values: Array, where: Array | None) -> float:
        return sum(_square(block) for block, _ in self._blocks(values, where))

    @cached_property
    def _scale(self) -> float:
        """The largest magnitude of the reference."""
        return max(_largest(r) for _, r in self._blocks(self.reference, self._finite)) or 1.0

    @cached_property
    def _error(self) -> float:
        """The original's."""
        return self._error_of(self.original)

    def _error_of(self, found: Array) -> float:
        """The largest error, where original and reference are finite."""
        blocks = self._blocks(found, self._finite)
        return max(_largest(a - r) for a, r in blocks) / self._scale

    def _blocks(self, values: Array, where: Array | None) -> Iterator[tuple[Array, Array]]:
        """Some values and the reference in blocks, as wide as the reference; without empty ones."""
        flat = [each.reshape(-1) for each in (values, self.reference)]
        chosen = None if where is None else where.reshape(-1)
        for start in range(0, values.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            a, r = (each[part] if chosen is None else each[part][chosen[part]] for each in flat)
            if a.size:
                yield a.astype(self._kind, copy=False), r.astype(self._kind, copy=False)


def _largest(values: Array) -> float:
    return float(np.max(np.abs(values)))


def _square(values: Array) -> float:
    return float(np.vdot(values, values).real)


def compare(found: Array, original: Array, reference: Array) -> tuple[float, float, float]:
    """`Expected.compare` of an output that is compared once."""
    return Expected(original, reference).compare(found)


def rounding_of(dtype: np.dtype[Any]) -> float:
    """The relative rounding of an inexact element type; of a complex one, that of its parts."""
    kind = np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype
    return float(ml_dtypes.finfo(kind).eps)
