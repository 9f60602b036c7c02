"""How far the outputs of a program are from a float64 reference."""

from __future__ import annotations

from dataclasses import dataclass
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
    rounding = rounding_of(original.dtype)
    allowed = ERROR_MULTIPLE * error_original + FREE_ROUNDINGS * rounding
    return error_original, _error(b, r, finite, scale), allowed


def _same_special(a: Array, b: Array, r: Array) -> bool:
    """Whether infinities and NaN that original and reference agree on are also the candidate's."""
    agreed_nan = np.isnan(a) & np.isnan(r)
    agreed_inf = np.isinf(a) & np.isinf(r)
    return bool(np.isnan(b[agreed_nan]).all() and (b[agreed_inf] == a[agreed_inf]).all())


def _error(values: Array, reference: Array, where: Array, scale: float) -> float:
    return float(np.max(np.abs(values[where] - reference[where]))) / scale


def rounding_of(dtype: np.dtype[Any]) -> float:
    """The relative rounding of an inexact element type; of a complex one, that of its parts."""
    kind = np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype
    return float(ml_dtypes.finfo(kind).eps)


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
