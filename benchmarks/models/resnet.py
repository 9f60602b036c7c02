"""ResNet-50 in lax: bottleneck blocks [3, 4, 6, 3], batch norm in inference form, either layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, cross_entropy, sgd, sized
from .transformer import dense
from .weights import Array, Weights, images


@dataclass(frozen=True)
class ResNetConfig:
    """Blocks per stage, width of the stem, classes, image size, batch and data layout."""

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    classes: int = 1000
    size: int = 224
    batch: int = 1
    layout: str = "NCHW"
    trains: bool = False


FULL = ResNetConfig()
REDUCED = ResNetConfig(blocks=(1, 1, 2, 1), width=8, classes=10, size=32)


def conv(x: Any, kernel: Any, stride: int = 1, layout: str = "NCHW", groups: int = 1) -> Any:
    """Convolution with half padding; `kernel` is OIHW for NCHW and HWIO for NHWC."""
    kernel_layout = "OIHW" if layout == "NCHW" else "HWIO"
    side = kernel.shape[kernel_layout.index("H")]
    padding = [(side // 2, side // 2)] * 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=(layout, kernel_layout, layout),
        feature_group_count=groups,
    )


def batch_norm(parameters: Any, x: Any, layout: str = "NCHW") -> Any:
    """(x - mean) / sqrt(variance + 1e-5) * scale + shift, per channel."""
    shape = (1, -1, 1, 1) if layout == "NCHW" else (1, 1, 1, -1)
    scale, shift, mean, variance = (
        parameters[name].reshape(shape) for name in ("scale", "shift", "mean", "variance")
    )
    return (x - mean) / jnp.sqrt(variance + 1e-5) * scale + shift


def max_pool(x: Any, window: int, stride: int, pad: int, layout: str = "NCHW") -> Any:
    """Maximum over `window` x `window` of the two spatial axes."""
    spatial = [axis in "HW" for axis in layout]
    sizes = tuple(window if s else 1 for s in spatial)
    strides = tuple(stride if s else 1 for s in spatial)
    padding = tuple((pad, pad) if s else (0, 0) for s in spatial)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, sizes, strides, padding)


def bottleneck(parameters: Any, x: Any, stride: int, layout: str) -> Any:
    """1x1, 3x3 and 1x1 convolutions, each normalised, added to the (projected) input."""
    y = jax.nn.relu(batch_norm(parameters["bn1"], conv(x, parameters["conv1"], 1, layout), layout))
    y = conv(y, parameters["conv2"], stride, layout)
    y = jax.nn.relu(batch_norm(parameters["bn2"], y, layout))
    y = batch_norm(parameters["bn3"], conv(y, parameters["conv3"], 1, layout), layout)
    if "project" in parameters:
        x = conv(x, parameters["project"], stride, layout)
        x = batch_norm(parameters["bn_project"], x, layout)
    return jax.nn.relu(x + y)


def stage_stride(stage: int, block: int) -> int:
    """2 in the first block of every stage but the first, else 1."""
    return 2 if stage > 0 and block == 0 else 1


def conv_kernel(
    weights: Weights, size_out: int, size_in: int, side: int, layout: str = "NCHW"
) -> Array:
    """A He-scaled kernel, (out, in, side, side) for NCHW and (side, side, in, out) for NHWC."""
    scale = float(np.sqrt(2 / (size_in * side * side)))
    kernel = weights.normal(size_out, size_in, side, side, scale=scale)
    return kernel if layout == "NCHW" else np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))


def make_block(
    weights: Weights, size_in: int, width: int, projects: bool, layout: str
) -> dict[str, Any]:
    """Weights of one bottleneck; a small last scale keeps the residual sum near unit variance."""
    block: dict[str, Any] = {
        "conv1": conv_kernel(weights, width, size_in, 1, layout),
        "bn1": weights.batch_norm(width),
        "conv2": conv_kernel(weights, width, width, 3, layout),
        "bn2": weights.batch_norm(width),
        "conv3": conv_kernel(weights, 4 * width, width, 1, layout),
        "bn3": weights.batch_norm(4 * width, scale=0.4),
    }
    if projects:
        block["project"] = conv_kernel(weights, 4 * width, size_in, 1, layout)
        block["bn_project"] = weights.batch_norm(4 * width, scale=0.7)
    return block


def make_stages(weights: Weights, config: ResNetConfig) -> list[list[dict[str, Any]]]:
    """The weights of all stages, their widths doubling from `config.width`."""
    stages = []
    size_in = config.width
    for stage, count in enumerate(config.blocks):
        width = config.width * 2**stage
        blocks = []
        for number in range(count):
            blocks.append(make_block(weights, size_in, width, number == 0, config.layout))
            size_in = 4 * width
        stages.append(blocks)
    return stages


def run_stages(stages: Sequence[Any], x: Any, layout: str) -> Any:
    """Applies every bottleneck in order."""
    for stage, blocks in enumerate(stages):
        for number, block in enumerate(blocks):
            x = bottleneck(block, x, stage_stride(stage, number), layout)
    return x


def build(config: ResNetConfig, reduced: bool) -> Program:
    """Logits (batch, classes); training keeps the batch-norm statistics, as fine-tuning does."""
    weights, layout = Weights(), config.layout
    features = config.width * 2 ** (len(config.blocks) - 1) * 4
    parameters = {
        "stem": conv_kernel(weights, config.width, 3, 7, layout),
        "bn": weights.batch_norm(config.width),
        "stages": make_stages(weights, config),
        "head": weights.dense(features, config.classes),
    }
    spatial = (2, 3) if layout == "NCHW" else (1, 2)

    def forward(parameters: Any, x: Any) -> Any:
        x = conv(x, parameters["stem"], 2, layout)
        x = jax.nn.relu(batch_norm(parameters["bn"], x, layout))
        x = max_pool(x, 3, 2, 1, layout)
        x = run_stages(parameters["stages"], x, layout)
        return dense(parameters["head"], jnp.mean(x, axis=spatial))

    def loss(parameters: Any, x: Any, labels: Any) -> Any:
        return cross_entropy(forward(parameters, x), labels)

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        x = images(rng, config.batch, config.size, config.size)
        return (x if layout == "NHWC" else np.ascontiguousarray(x.transpose(0, 3, 1, 2)),)

    def draw_targets(rng: np.random.Generator) -> Arrays:
        return (rng.integers(0, config.classes, config.batch, dtype=np.int32),)

    train_step = sgd(loss) if config.trains else None
    return Program(forward, parameters, draw_inputs, train_step, draw_targets, reduced)


_TEXT = "ResNet-50, bottleneck [3, 4, 6, 3], batch norm in inference form, f32"

WORKLOADS = (
    Workload("resnet", 1, f"{_TEXT}, 1x3x224x224 NCHW", sized(build, FULL, REDUCED)),
    Workload(
        "resnet_nhwc",
        1,
        f"{_TEXT}, 1x224x224x3 NHWC",
        sized(build, replace(FULL, layout="NHWC"), replace(REDUCED, layout="NHWC")),
    ),
    Workload(
        "resnet_train",
        1,
        f"{_TEXT}, 4x3x64x64 NCHW; cross entropy, SGD",
        sized(
            build,
            replace(FULL, size=64, batch=4, trains=True),
            replace(REDUCED, batch=4, trains=True),
        ),
    ),
)
