"""SqueezeNet 1.0 in lax, NCHW: fire modules, max pools between, 1x1 convolution as classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sized
from .resnet import conv, conv_kernel, max_pool
from .weights import Weights, images


@dataclass(frozen=True)
class SqueezeNetConfig:
    """Stem channels, (squeeze, expand) widths of the fire modules, pools after which, classes."""

    stem: int = 96
    fires: tuple[tuple[int, int], ...] = (
        (16, 64),
        (16, 64),
        (32, 128),
        (32, 128),
        (48, 192),
        (48, 192),
        (64, 256),
        (64, 256),
    )
    pools_after: tuple[int, ...] = (2, 6)
    classes: int = 1000
    size: int = 224


def make_conv(weights: Weights, size_out: int, size_in: int, side: int) -> dict[str, Any]:
    """A convolution with a bias."""
    bias = weights.normal(size_out, scale=0.05)
    return {"kernel": conv_kernel(weights, size_out, size_in, side), "bias": bias}


def conv_relu(parameters: Any, x: Any, stride: int = 1) -> Any:
    """relu(conv(x) + bias)."""
    return jax.nn.relu(conv(x, parameters["kernel"], stride) + parameters["bias"][:, None, None])


def fire(parameters: Any, x: Any) -> Any:
    """Squeeze to few channels, then expand by 1x1 and 3x3 kernels side by side."""
    x = conv_relu(parameters["squeeze"], x)
    expanded = conv_relu(parameters["expand1"], x), conv_relu(parameters["expand3"], x)
    return jnp.concatenate(expanded, axis=1)


def build(config: SqueezeNetConfig, reduced: bool) -> Program:
    """Class probabilities (1, classes) of an image (1, 3, size, size)."""
    weights = Weights()
    size_in = config.stem
    fires = []
    for squeeze, expand in config.fires:
        modules = {
            "squeeze": make_conv(weights, squeeze, size_in, 1),
            "expand1": make_conv(weights, expand, squeeze, 1),
            "expand3": make_conv(weights, expand, squeeze, 3),
        }
        fires.append(modules)
        size_in = 2 * expand
    parameters = {
        "stem": make_conv(weights, config.stem, 3, 7),
        "fires": fires,
        "head": make_conv(weights, config.classes, size_in, 1),
    }

    def forward(parameters: Any, x: Any) -> Any:
        x = max_pool(conv_relu(parameters["stem"], x, 2), 3, 2, 0)
        for number, fire_parameters in enumerate(parameters["fires"]):
            x = fire(fire_parameters, x)
            if number in config.pools_after:
                x = max_pool(x, 3, 2, 0)
        x = conv_relu(parameters["head"], x)
        return jax.nn.softmax(jnp.mean(x, axis=(2, 3)))

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        x = images(rng, 1, config.size, config.size)
        return (np.ascontiguousarray(x.transpose(0, 3, 1, 2)),)

    return Program(forward, parameters, draw_inputs, small=reduced)


WORKLOADS = (
    Workload(
        "squeezenet",
        2,
        "SqueezeNet 1.0, 8 fire modules, 1x3x224x224 NCHW f32",
        sized(
            build,
            SqueezeNetConfig(),
            SqueezeNetConfig(12, ((4, 8), (4, 8), (6, 12), (6, 12)), (1,), 10, 48),
        ),
    ),
)
