"""Programs written through vmap and einsum: attention by head, per-example gradients, chains."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, cross_entropy, sized
from .transformer import dense
from .weights import Weights, normals


@dataclass(frozen=True)
class AttentionConfig:
    """Tokens, width and heads."""

    tokens: int = 128
    width: int = 512
    heads: int = 8


def one_head(parameters: Any, x: Any) -> Any:
    """Attention of one head with its own (width, size) matrices on x (tokens, width)."""
    query, key, value = x @ parameters["query"], x @ parameters["key"], x @ parameters["value"]
    scores = query @ key.T / jnp.sqrt(query.shape[-1])
    return jax.nn.softmax(scores, axis=-1) @ value @ parameters["out"]


def build_attention(config: AttentionConfig, reduced: bool) -> Program:
    """The sum over heads of `one_head` under vmap."""
    weights = Weights()
    heads, width, size = config.heads, config.width, config.width // config.heads
    scale = float(1 / np.sqrt(width))
    parameters = {
        name: weights.normal(heads, width, size, scale=scale) for name in ("query", "key", "value")
    } | {"out": weights.normal(heads, size, width, scale=scale)}

    def forward(parameters: Any, x: Any) -> Any:
        return jnp.sum(jax.vmap(one_head, in_axes=(0, None))(parameters, x), axis=0)

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (normals(rng, config.tokens, width),)

    return Program(forward, parameters, draw_inputs, small=reduced)


@dataclass(frozen=True)
class GradientConfig:
    """Examples, and widths of the classifier."""

    batch: int = 32
    widths: tuple[int, ...] = (784, 256, 64, 10)
    clip: float = 1.0


def example_loss(parameters: Any, x: Any, label: Any) -> Any:
    """Cross entropy of a tanh network on one example x (size,)."""
    for layer in parameters[:-1]:
        x = jnp.tanh(dense(layer, x))
    return cross_entropy(dense(parameters[-1], x), label)


def build_gradient(config: GradientConfig, reduced: bool) -> Program:
    """The mean of clipped per-example gradients and their norms (batch,), as in DP-SGD."""
    weights = Weights()
    pairs = zip(config.widths[:-1], config.widths[1:], strict=True)
    parameters = [weights.dense(size_in, size_out) for size_in, size_out in pairs]
    gradients = jax.vmap(jax.grad(example_loss), in_axes=(None, 0, 0))

    def forward(parameters: Any, x: Any, labels: Any) -> Any:
        per_example = gradients(parameters, x, labels)
        squares = [
            jnp.sum(jnp.square(g), axis=tuple(range(1, g.ndim)))
            for g in jax.tree.leaves(per_example)
        ]
        norms = jnp.sqrt(jnp.sum(jnp.stack(squares), axis=0))
        factors = jnp.minimum(1.0, config.clip / norms)

        def clipped_mean(g: Any) -> Any:
            return jnp.mean(g * factors.reshape(-1, *[1] * (g.ndim - 1)), axis=0)

        return jax.tree.map(clipped_mean, per_example), norms

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        labels = rng.integers(0, config.widths[-1], config.batch, dtype=np.int32)
        return normals(rng, config.batch, config.widths[0]), labels

    return Program(forward, parameters, draw_inputs, small=reduced)


@dataclass(frozen=True)
class ChainConfig:
    """Sizes of the axes that the chains contract."""

    large: int = 256
    middle: int = 64
    small: int = 8


def chain(*matrices: Any) -> Any:
    """The product of matrices, from left to right."""
    return functools.reduce(lambda p, q: jnp.einsum("ij,jk->ik", p, q), matrices)


def chains(parameters: Any, x: Any, y: Any) -> Any:
    """Einsum chains of 4, 5 and 6 tensors, contracted from left to right as written."""
    a, b, c, thin, core = (parameters[name] for name in ("a", "b", "c", "thin", "core"))
    four = chain(a, b, c, x)
    five = chain(a, b, thin, core, y)
    six = chain(x.T, thin, core, thin.T, a, x)
    return four, five, six


def build_chains(config: ChainConfig, reduced: bool) -> Program:
    """Chains over matrices (large, large), a thin factor (large, small) and a small core."""
    weights = Weights()
    large, small = config.large, config.small
    parameters = {name: weights.kernel(large, large) for name in ("a", "b", "c")}
    parameters["thin"] = weights.kernel(large, small)
    parameters["core"] = weights.kernel(small, small)

    def forward(parameters: Any, x: Any, y: Any) -> Any:
        return chains(parameters, x, y)

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return normals(rng, large, small), normals(rng, small, config.middle)

    return Program(forward, parameters, draw_inputs, small=reduced)


WORKLOADS = (
    Workload(
        "vmap_attention",
        3,
        "attention by vmap over 8 heads with separate matrices, 128 tokens, width 512, f32",
        sized(build_attention, AttentionConfig(), AttentionConfig(6, 16, 2)),
    ),
    Workload(
        "per_example_gradient",
        3,
        "clipped mean of vmap(grad), batch 32, tanh network 784-256-64-10, f32",
        sized(build_gradient, GradientConfig(), GradientConfig(4, (12, 8, 6, 3))),
    ),
    Workload(
        "einsum_chains",
        3,
        "chains of 4, 5 and 6 tensors contracted left to right, 256, 64 and 8 wide, f32",
        sized(build_chains, ChainConfig(), ChainConfig(12, 6, 3)),
    ),
)
