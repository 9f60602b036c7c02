"""ResNeXt-50 (32 groups) as TASO writes it: batch norms already folded, no classifier, NCHW."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .base import Arrays, Program, Workload, sized
from .resnet import conv, conv_kernel, max_pool, stage_stride
from .weights import Weights, images


@dataclass(frozen=True)
class ResNextConfig:
    """Blocks per stage, width of the first stage's grouped convolutions, groups, image size."""

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 128
    groups: int = 32
    size: int = 224


def block(parameters: Any, x: Any, stride: int, groups: int) -> Any:
    """1x1, grouped 3x3 and 1x1 convolutions, added to the (projected) input."""
    y = jax.nn.relu(conv(x, parameters["conv1"]))
    y = jax.nn.relu(conv(y, parameters["conv2"], stride, groups=groups))
    y = conv(y, parameters["conv3"])
    if "project" in parameters:
        x = jax.nn.relu(conv(x, parameters["project"], stride))
    return jax.nn.relu(x + y)


def make_block(
    weights: Weights, size_in: int, width: int, groups: int, projects: bool
) -> dict[str, Any]:
    """Weights of one block; the last convolution is damped so that residual sums stay bounded."""
    parameters = {
        "conv1": conv_kernel(weights, width, size_in, 1),
        "conv2": conv_kernel(weights, width, width // groups, 3),
        "conv3": conv_kernel(weights, 2 * width, width, 1) * np.float32(0.4),
    }
    if projects:
        parameters["project"] = conv_kernel(weights, 2 * width, size_in, 1) * np.float32(0.8)
    return parameters


def build(config: ResNextConfig, reduced: bool) -> Program:
    """The feature map (1, 16 * width, 7, 7) of an image (1, 3, 224, 224)."""
    weights = Weights()
    size_in = config.width // 2
    parameters: dict[str, Any] = {"stem": conv_kernel(weights, size_in, 3, 7), "stages": []}
    for stage, count in enumerate(config.blocks):
        width = config.width * 2**stage
        blocks = []
        for number in range(count):
            blocks.append(make_block(weights, size_in, width, config.groups, number == 0))
            size_in = 2 * width
        parameters["stages"].append(blocks)

    def forward(parameters: Any, x: Any) -> Any:
        x = max_pool(jax.nn.relu(conv(x, parameters["stem"], 2)), 3, 2, 1)
        for stage, blocks in enumerate(parameters["stages"]):
            for number, weights_of_block in enumerate(blocks):
                x = block(weights_of_block, x, stage_stride(stage, number), config.groups)
        return x

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        x = images(rng, 1, config.size, config.size)
        return (np.ascontiguousarray(x.transpose(0, 3, 1, 2)),)

    return Program(forward, parameters, draw_inputs, small=reduced)


WORKLOADS = (
    Workload(
        "resnext50",
        2,
        "ResNeXt-50, [3, 4, 6, 3], widths 128 to 1024, 32 groups, 1x3x224x224 NCHW f32",
        sized(build, ResNextConfig(), ResNextConfig((1, 2, 1, 1), 16, 4, 32)),
    ),
)
