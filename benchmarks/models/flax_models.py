"""Vision networks as flax users write them: ViT-small, MLP-Mixer and a U-Net, NHWC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .base import Arrays, Program, Workload, sized
from .weights import Array, Weights, images


@dataclass(frozen=True)
class FlaxConfig:
    """Which network, its sizes (fields of that network), and the image size."""

    network: str
    size: int
    sizes: dict[str, Any] = field(default_factory=dict)


def make_vit(**sizes: Any) -> Any:
    """A vision transformer with a class token, pre-norm."""
    import jax.numpy as jnp
    from flax import linen as nn

    class Encoder(nn.Module):
        heads: int

        @nn.compact
        def __call__(self, x: Any) -> Any:
            width = x.shape[-1]
            y = nn.LayerNorm()(x)
            x = x + nn.MultiHeadDotProductAttention(num_heads=self.heads)(y, y)
            y = nn.gelu(nn.Dense(4 * width)(nn.LayerNorm()(x)))
            return x + nn.Dense(width)(y)

    class VisionTransformer(nn.Module):
        patch: int
        width: int
        layers: int
        heads: int
        classes: int

        @nn.compact
        def __call__(self, x: Any) -> Any:
            patch = (self.patch, self.patch)
            x = nn.Conv(self.width, patch, strides=patch, padding="VALID")(x)
            x = x.reshape(x.shape[0], -1, self.width)
            start = self.param("class_token", nn.initializers.zeros, (1, 1, self.width))
            x = jnp.concatenate([jnp.tile(start, (x.shape[0], 1, 1)), x], axis=1)
            position = nn.initializers.normal(0.02)
            x = x + self.param("position", position, (1, x.shape[1], self.width))
            for _ in range(self.layers):
                x = Encoder(self.heads)(x)
            return nn.Dense(self.classes)(nn.LayerNorm()(x)[:, 0])

    return VisionTransformer(**sizes)


def make_mixer(**sizes: Any) -> Any:
    """An MLP-Mixer: dense layers over tokens (between transposes) and over channels."""
    import jax.numpy as jnp
    from flax import linen as nn

    class Mlp(nn.Module):
        hidden: int

        @nn.compact
        def __call__(self, x: Any) -> Any:
            return nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(self.hidden)(x)))

    class Mixer(nn.Module):
        patch: int
        width: int
        layers: int
        token_hidden: int
        channel_hidden: int
        classes: int

        @nn.compact
        def __call__(self, x: Any) -> Any:
            patch = (self.patch, self.patch)
            x = nn.Conv(self.width, patch, strides=patch)(x)
            x = x.reshape(x.shape[0], -1, self.width)
            for _ in range(self.layers):
                y = jnp.swapaxes(nn.LayerNorm()(x), 1, 2)
                x = x + jnp.swapaxes(Mlp(self.token_hidden)(y), 1, 2)
                x = x + Mlp(self.channel_hidden)(nn.LayerNorm()(x))
            return nn.Dense(self.classes)(jnp.mean(nn.LayerNorm()(x), axis=1))

    return Mixer(**sizes)


def make_unet(**sizes: Any) -> Any:
    """A U-Net: two normalised convolutions a level, max pools down, transposed convolutions up."""
    import jax.numpy as jnp
    from flax import linen as nn

    class Double(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x: Any) -> Any:
            for _ in range(2):
                x = nn.Conv(self.width, (3, 3), use_bias=False)(x)
                x = nn.relu(nn.BatchNorm(use_running_average=True)(x))
            return x

    class UNet(nn.Module):
        widths: tuple[int, ...]
        classes: int

        @nn.compact
        def __call__(self, x: Any) -> Any:
            skips = []
            for width in self.widths[:-1]:
                x = Double(width)(x)
                skips.append(x)
                x = nn.max_pool(x, (2, 2), (2, 2))  # type: ignore[no-untyped-call]
            x = Double(self.widths[-1])(x)
            for width, skip in zip(reversed(self.widths[:-1]), reversed(skips), strict=True):
                x = nn.ConvTranspose(width, (2, 2), strides=(2, 2))(x)
                x = Double(width)(jnp.concatenate([skip, x], axis=-1))
            return nn.Conv(self.classes, (1, 1))(x)

    return UNet(**sizes)


_NETWORKS: dict[str, Callable[..., Any]] = {
    "vit": make_vit,
    "mixer": make_mixer,
    "unet": make_unet,
}


def random_value(weights: Weights, name: str, shape: tuple[int, ...]) -> Array:
    """A plausible non-zero value for the flax variable `name`."""
    if name == "kernel":
        # The kernels of attention (width, heads, size) sum over their first axis, its output
        # projection (heads, size, width) and convolutions over all but the last.
        is_projection = len(shape) == 3 and shape[0] > shape[1]
        fan_in = shape[0] if is_projection else int(np.prod(shape[:-1]))
        gain = 2.0 if len(shape) == 4 else 1.0
        return weights.normal(*shape, scale=float(np.sqrt(gain / fan_in)))
    if name in ("scale", "var"):
        return weights.uniform(*shape, low=0.7, high=1.3)
    return weights.normal(*shape, scale=0.1)


def build(config: FlaxConfig, reduced: bool) -> Program:
    """`apply` of the network; all collections of variables are parameters."""
    import jax

    network = _NETWORKS[config.network](**config.sizes)
    example = images(np.random.default_rng(0), 1, config.size, config.size)
    shapes = jax.eval_shape(network.init, jax.random.key(0), example)
    weights = Weights()
    parameters = jax.tree_util.tree_map_with_path(
        lambda path, leaf: random_value(weights, path[-1].key, leaf.shape), shapes
    )

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (images(rng, 1, config.size, config.size),)

    return Program(network.apply, parameters, draw_inputs, small=reduced)


_VIT = {"patch": 16, "width": 384, "layers": 12, "heads": 6, "classes": 1000}
_MIXER = {
    "patch": 16,
    "width": 512,
    "layers": 8,
    "token_hidden": 256,
    "channel_hidden": 2048,
    "classes": 1000,
}

WORKLOADS = (
    Workload(
        "vit_small",
        3,
        "ViT-small/16 in flax, 12 layers, width 384, 6 heads, 1x224x224x3 f32",
        sized(
            build,
            FlaxConfig("vit", 224, _VIT),
            FlaxConfig("vit", 16, _VIT | {"patch": 4, "width": 32, "layers": 2, "heads": 4}),
        ),
        requires=("flax",),
    ),
    Workload(
        "mlp_mixer",
        3,
        "MLP-Mixer S/16 in flax, 8 layers, width 512, hidden 256 and 2048, 1x224x224x3 f32",
        sized(
            build,
            FlaxConfig("mixer", 224, _MIXER),
            FlaxConfig("mixer", 16, dict(zip(_MIXER, (4, 24, 2, 12, 48, 10), strict=True))),
        ),
        requires=("flax",),
    ),
    Workload(
        "unet",
        3,
        "U-Net in flax, widths 32 to 256, batch norm in inference form, 1x128x128x3 f32",
        sized(
            build,
            FlaxConfig("unet", 128, {"widths": (32, 64, 128, 256), "classes": 2}),
            FlaxConfig("unet", 16, {"widths": (4, 8, 12), "classes": 2}),
        ),
        requires=("flax",),
    ),
)
