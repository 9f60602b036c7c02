"""The model of `saturax demo`: MobileNet-v2 (Sandler et al. 2018) for one image, in plain JAX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# (expansion, channels, repetitions, stride) of each stage: table 2 of the paper.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_CLASSES = 1000


def _blocks(scale: float) -> Iterator[tuple[int, int, int, int]]:
    """Input channels, expanded channels, output channels and stride of every block."""
    channels = int(32 * scale)
    for expansion, width, repetitions, stride in _STAGES:
        for repetition in range(repetitions):
            out = int(width * scale)
            yield channels, channels * expansion, out, stride if repetition == 0 else 1
            channels = out


def parameters(seed: int = 0, scale: float = 1.0) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Random weights with batch-norm statistics, as a list of layers; `scale` sets the width."""
    generator = np.random.default_rng(seed)

    def layer(window: int, inputs: int, outputs: int) -> dict[str, np.ndarray[Any, Any]]:
        spread = np.sqrt(2.0 / (window * window * inputs))
        normal = generator.standard_normal((window, window, inputs, outputs))
        return {
            "kernel": (spread * normal).astype(np.float32),
            "scale": generator.uniform(0.8, 1.2, outputs).astype(np.float32),
            "shift": (0.1 * generator.standard_normal(outputs)).astype(np.float32),
            "mean": (0.1 * generator.standard_normal(outputs)).astype(np.float32),
            "variance": generator.uniform(0.8, 1.2, outputs).astype(np.float32),
        }

    layers = [layer(3, 3, int(32 * scale))]
    for inputs, hidden, outputs, _ in _blocks(scale):
        layers += [layer(1, inputs, hidden), layer(3, 1, hidden), layer(1, hidden, outputs)]
    last = int(320 * scale)
    return [*layers, layer(1, last, int(1280 * scale)), layer(1, int(1280 * scale), _CLASSES)]


def _convolve(x: jax.Array, layer: Any, stride: int = 1, groups: int = 1) -> jax.Array:
    """A convolution without bias and its batch-norm in inference form."""
    y = jax.lax.conv_general_dilated(
        x,
        layer["kernel"],
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    normal = (y - layer["mean"]) / jnp.sqrt(layer["variance"] + 1e-3)
    return jnp.asarray(normal * layer["scale"] + layer["shift"])


def mobilenet_v2(layers: Any, image: jax.Array, scale: float = 1.0) -> jax.Array:
    """Class probabilities (n, 1000) of images (n, height, width, 3), float32."""
    rest = iter(layers)
    x = jax.nn.relu6(_convolve(image, next(rest), 2))
    for inputs, hidden, outputs, stride in _blocks(scale):
        y = jax.nn.relu6(_convolve(x, next(rest))) if hidden != inputs else (next(rest), x)[1]
        y = jax.nn.relu6(_convolve(y, next(rest), stride, hidden))
        y = _convolve(y, next(rest))
        x = x + y if stride == 1 and inputs == outputs else y
    x = jax.nn.relu6(_convolve(x, next(rest)))
    x = x.mean((1, 2))
    return jax.nn.softmax(x @ next(rest)["kernel"][0, 0])


def image(seed: int = 1, size: int = 224) -> np.ndarray[Any, Any]:
    """A random image (1, size, size, 3) with values in [-1, 1]."""
    generator = np.random.default_rng(seed)
    return generator.uniform(-1, 1, (1, size, size, 3)).astype(np.float32)
