"""Random weights and inputs from a fixed seed: centred, scaled to keep unit variance, no zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Weights:
    """Draws the weights of one network, float32, in the order in which they are asked for."""

    def __init__(self, seed: int = 0) -> None:
        """Starts from `seed`."""
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> Array:
        """Centred normal values with standard deviation `scale`."""
        return self.rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    def uniform(self, *shape: int, low: float, high: float) -> Array:
        """Uniform values in [low, high)."""
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def kernel(self, size_in: int, size_out: int, gain: float = 1.0) -> Array:
        """A matrix (in, out) with standard deviation sqrt(gain / in); gain 2 before a relu."""
        return self.normal(size_in, size_out, scale=float(np.sqrt(gain / size_in)))

    def dense(self, size_in: int, size_out: int, gain: float = 1.0) -> dict[str, Array]:
        """A dense layer: "kernel" (in, out) and a small non-zero "bias" (out,)."""
        bias = self.normal(size_out, scale=0.05)
        return {"kernel": self.kernel(size_in, size_out, gain), "bias": bias}

    def norm(self, size: int) -> dict[str, Array]:
        """A layer norm: "scale" near one and "bias" near zero, both (size,)."""
        return {"scale": 1 + self.normal(size, scale=0.1), "bias": self.normal(size, scale=0.1)}

    def batch_norm(self, size: int, scale: float = 1.0) -> dict[str, Array]:
        """A batch norm in inference form: "scale", "shift", "mean", "variance", all (size,)."""
        return {
            "scale": scale * (1 + self.normal(size, scale=0.1)),
            "shift": self.normal(size, scale=0.1),
            "mean": self.normal(size, scale=0.1),
            "variance": self.uniform(size, low=0.5, high=1.5),
        }


def images(
    rng: np.random.Generator, batch: int, height: int, width: int, channels: int = 3
) -> Array:
    """Random images (batch, height, width, channels) with structure at every scale.

    White noise alone would give every image nearly the same pooled features, so each image also
    has its own mean, contrast and coarse pattern.
    """
    total = rng.normal(0.0, 0.5, (batch, 1, 1, channels))
    for cells in (2, 5, 14):
        coarse = rng.normal(0.0, 0.5, (batch, cells, cells, channels))
        rows = np.arange(height) * cells // height
        columns = np.arange(width) * cells // width
        total = total + coarse[:, rows][:, :, columns]
    total = total + rng.normal(0.0, 0.3, (batch, height, width, channels))
    contrast = rng.uniform(0.7, 1.4, (batch, 1, 1, 1))
    return np.asarray(contrast * total, dtype=np.float32)


def normals(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Array:
    """Centred float32 normal values with standard deviation `scale`."""
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)


def tokens(rng: np.random.Generator, vocabulary: int, *shape: int) -> Array:
    """Uniform int32 token numbers in [0, vocabulary)."""
    return rng.integers(0, vocabulary, shape, dtype=np.int32)
