"""One sampling step of a diffusion model: two passes of a U-Net (guidance), then the update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sized
from .resnet import conv, conv_kernel
from .transformer import attend, dense
from .weights import Array, Weights, normals


@dataclass(frozen=True)
class DiffusionConfig:
    """Image size, channels per level, size of the time and condition embedding."""

    size: int = 32
    widths: tuple[int, ...] = (64, 128)
    embedding: int = 128
    guidance: float = 3.0


def group_norm(parameters: Any, x: Any, groups: int = 4) -> Any:
    """Normalises x (batch, height, width, channels) over space within each group of channels."""
    grouped = x.reshape(x.shape[0], -1, groups, x.shape[-1] // groups)
    mean = jnp.mean(grouped, axis=(1, 3), keepdims=True)
    variance = jnp.var(grouped, axis=(1, 3), keepdims=True)
    y = ((grouped - mean) * jax.lax.rsqrt(variance + 1e-5)).reshape(x.shape)
    return y * parameters["scale"] + parameters["bias"]


def residual(parameters: Any, x: Any, embedding: Any) -> Any:
    """Two normalised convolutions with the embedding added between, plus a 1x1 shortcut."""
    y = conv(jax.nn.silu(group_norm(parameters["norm1"], x)), parameters["conv1"], layout="NHWC")
    y = y + dense(parameters["time"], jax.nn.silu(embedding))[:, None, None, :]
    y = conv(jax.nn.silu(group_norm(parameters["norm2"], y)), parameters["conv2"], layout="NHWC")
    return conv(x, parameters["shortcut"], layout="NHWC") + y


def self_attention(parameters: Any, x: Any) -> Any:
    """Single-head attention over pixels, added to x."""
    batch, height, width, channels = x.shape
    flat = group_norm(parameters["norm"], x).reshape(batch, height * width, channels)
    query, key, value = (dense(parameters[name], flat) for name in ("query", "key", "value"))
    mixed = dense(parameters["out"], attend(query, key, value))
    return x + mixed.reshape(x.shape)


def time_embedding(time: Any, size: int) -> Any:
    """Sines and cosines of `time` (batch,) at geometric frequencies: (batch, size)."""
    frequency = jnp.exp(-jnp.log(10000.0) * jnp.arange(size // 2) / (size // 2))
    angle = time[:, None] * frequency[None, :]
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


def predict_noise(parameters: Any, x: Any, time: Any, condition: Any) -> Any:
    """The network's noise estimate for x (batch, size, size, 3) given a condition vector."""
    embedding = time_embedding(time, parameters["condition"]["kernel"].shape[0])
    embedding = dense(parameters["time"], embedding) + dense(parameters["condition"], condition)
    x = conv(x, parameters["stem"], layout="NHWC")
    skips = []
    for block in parameters["down"]:
        x = residual(block, x, embedding)
        skips.append(x)
        shape = (x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2, x.shape[3])
        x = jnp.mean(x.reshape(shape), axis=(2, 4))
    x = self_attention(parameters["attention"], residual(parameters["middle"], x, embedding))
    for block, skip in zip(parameters["up"], reversed(skips), strict=True):
        x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = residual(block, jnp.concatenate([x, skip], axis=-1), embedding)
    return conv(jax.nn.silu(group_norm(parameters["norm"], x)), parameters["out"], layout="NHWC")


def ddim_step(parameters: Any, x: Any, time: Any, condition: Any, guidance: float) -> Any:
    """The denoised image and the next sample, with classifier-free guidance and 20 steps' stride.

    Source: Song et al., "Denoising Diffusion Implicit Models", equation 12 with sigma = 0.
    """
    unconditional = predict_noise(parameters, x, time, jnp.zeros_like(condition))
    conditional = predict_noise(parameters, x, time, condition)
    noise = unconditional + guidance * (conditional - unconditional)
    beta = jnp.linspace(1e-4, 0.02, 1000)
    alpha_bar = jnp.cumprod(1 - beta)
    now, following = alpha_bar[time], alpha_bar[jnp.maximum(time - 20, 0)]
    now, following = now[:, None, None, None], following[:, None, None, None]
    image = (x - jnp.sqrt(1 - now) * noise) / jnp.sqrt(now)
    return image, jnp.sqrt(following) * image + jnp.sqrt(1 - following) * noise


def make_residual(weights: Weights, size_in: int, size_out: int, embedding: int) -> dict[str, Any]:
    """Random weights of `residual`."""
    return {
        "norm1": weights.norm(size_in),
        "conv1": conv_kernel(weights, size_out, size_in, 3, "NHWC"),
        "time": weights.dense(embedding, size_out),
        "norm2": weights.norm(size_out),
        "conv2": conv_kernel(weights, size_out, size_out, 3, "NHWC"),
        "shortcut": conv_kernel(weights, size_out, size_in, 1, "NHWC"),
    }


def make_weights(config: DiffusionConfig) -> dict[str, Any]:
    """Random weights of the whole network."""
    weights = Weights()
    embedding, widths = config.embedding, config.widths
    ins = (widths[0], *widths[:-1])
    down = [make_residual(weights, i, o, embedding) for i, o in zip(ins, widths, strict=True)]
    up, size_in = [], widths[-1]
    for width in reversed(widths):
        up.append(make_residual(weights, size_in + width, width, embedding))
        size_in = width
    names = ("query", "key", "value", "out")
    attention: dict[str, dict[str, Array]] = {
        n: weights.dense(widths[-1], widths[-1]) for n in names
    }
    attention["norm"] = weights.norm(widths[-1])
    return {
        "time": weights.dense(embedding, embedding),
        "condition": weights.dense(embedding, embedding),
        "stem": conv_kernel(weights, widths[0], 3, 3, "NHWC"),
        "down": down,
        "middle": make_residual(weights, widths[-1], widths[-1], embedding),
        "attention": attention,
        "up": up,
        "norm": weights.norm(widths[0]),
        "out": conv_kernel(weights, 3, widths[0], 3, "NHWC"),
    }


def build(config: DiffusionConfig, reduced: bool) -> Program:
    """`ddim_step` on one noisy image, an int32 time and a condition vector."""

    def forward(parameters: Any, x: Any, time: Any, condition: Any) -> Any:
        return ddim_step(parameters, x, time, condition, config.guidance)

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        x = normals(rng, 1, config.size, config.size, 3)
        time = rng.integers(300, 700, 1, dtype=np.int32)
        return x, time, normals(rng, 1, config.embedding)

    return Program(forward, make_weights(config), draw_inputs, small=reduced)


WORKLOADS = (
    Workload(
        "diffusion_step",
        3,
        "one DDIM step with guidance (two U-Net passes), 1x32x32x3, widths 64 and 128, f32",
        sized(build, DiffusionConfig(), DiffusionConfig(8, (8, 16), 16)),
    ),
)
