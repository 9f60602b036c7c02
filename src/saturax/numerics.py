"""Numerics classes: how equal two programs are, strictest first."""

from __future__ import annotations

from enum import IntEnum


class Numerics(IntEnum):
    """How equal the two sides of a rule are."""

    BITWISE = 0
    """In every bit, for every input, NaN, ±0 and infinities included."""
    ROUNDING = 1
    """Over the reals; floating-point results may differ by rounding, overflow and underflow."""
    FINITE = 2
    """Only where inputs are finite, e.g. 0·x = 0."""
    APPROXIMATE = 3
    """Up to an error that is not rounding."""


BITWISE, ROUNDING, FINITE, APPROXIMATE = Numerics
