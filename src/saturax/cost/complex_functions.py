"""What functions of complex numbers take: the real functions that XLA:CPU makes of them.

Measured on 30,000 elements of complex64 (2 cores, AVX-512, jaxlib 0.10.2) beside those of f32:
177 µs for an exponential where exp, sin and cos take 185 together, 490 for a logarithm, 214 for a
sine, 127 for a square root, 80 for a quotient.
"""

from __future__ import annotations

from collections.abc import Mapping

REAL_PARTS: Mapping[str, tuple[str, ...]] = {
    "exponential": ("exponential", "sine", "cosine"),
    "exponential_minus_one": ("exponential_minus_one", "sine", "cosine"),
    "log": ("log", "atan2", "sqrt"),
    "log_plus_one": ("log_plus_one", "atan2", "sqrt"),
    "sine": ("sine", "cosine", "exponential", "exponential"),
    "cosine": ("sine", "cosine", "exponential", "exponential"),
    "tanh": ("sine", "cosine", "exponential_minus_one"),
    "power": ("log", "atan2", "sqrt", "exponential", "sine", "cosine"),
    "sqrt": ("exponential",) * 6,
    "rsqrt": ("log", "atan2", "sine", "cosine"),
    "divide": ("exponential",) * 4,
}
"""The functions of real numbers that take as long as one of complex numbers, by its name."""
