"""GPT-2 small: pre-norm decoder, tanh gelu, one query-key-value projection, tied head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, cross_entropy, sgd, sized
from .transformer import attend, causal_mask, dense, layer_norm, merge_heads, split_heads
from .weights import Weights, tokens


@dataclass(frozen=True)
class Gpt2Config:
    """The sizes of gpt2 (124 M parameters), with batch and sequence length."""

    vocabulary: int = 50257
    positions: int = 1024
    width: int = 768
    layers: int = 12
    heads: int = 12
    batch: int = 1
    length: int = 32
    trains: bool = False


FULL = Gpt2Config()
REDUCED = Gpt2Config(vocabulary=64, positions=16, width=32, layers=2, heads=4, length=8)


def block(parameters: Any, x: Any, heads: int) -> Any:
    """One decoder layer on x (batch, length, width)."""
    qkv = dense(parameters["qkv"], layer_norm(parameters["norm1"], x))
    query, key, value = (split_heads(part, heads) for part in jnp.split(qkv, 3, axis=-1))
    mixed = attend(query, key, value, causal_mask(x.shape[1]))
    x = x + dense(parameters["out"], merge_heads(mixed))
    hidden = jax.nn.gelu(dense(parameters["up"], layer_norm(parameters["norm2"], x)))
    return x + dense(parameters["down"], hidden)


def make_weights(config: Gpt2Config) -> dict[str, Any]:
    """Random weights; residual projections are damped by the depth, as GPT-2 does."""
    weights = Weights()
    width, damping = config.width, 1 / (2 * config.layers)
    return {
        "word": weights.normal(config.vocabulary, width, scale=0.5),
        "position": weights.normal(config.positions, width, scale=0.2),
        "layers": [
            {
                "norm1": weights.norm(width),
                "qkv": weights.dense(width, 3 * width),
                "out": weights.dense(width, width, damping),
                "norm2": weights.norm(width),
                "up": weights.dense(width, 4 * width, 2.0),
                "down": weights.dense(4 * width, width, damping),
            }
            for _ in range(config.layers)
        ],
        "norm": weights.norm(width),
    }


def build(config: Gpt2Config, reduced: bool) -> Program:
    """Logits of every position; the training step predicts the next token."""

    def forward(parameters: Any, ids: Any) -> Any:
        x = parameters["word"][ids] + parameters["position"][: ids.shape[1]]
        for layer in parameters["layers"]:
            x = block(layer, x, config.heads)
        return layer_norm(parameters["norm"], x) @ parameters["word"].T

    def loss(parameters: Any, ids: Any) -> Any:
        return cross_entropy(forward(parameters, ids)[:, :-1], ids[:, 1:])

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (tokens(rng, config.vocabulary, config.batch, config.length),)

    train_step = sgd(loss) if config.trains else None
    return Program(forward, make_weights(config), draw_inputs, train_step, small=reduced)


WORKLOADS = (
    Workload(
        "gpt2",
        1,
        "gpt2 small, 12 layers, width 768, 12 heads, vocabulary 50257, batch 1, 32 tokens, f32",
        sized(build, FULL, REDUCED),
    ),
    Workload(
        "gpt2_train",
        1,
        "gpt2 small cut to 2 layers, batch 1, 32 tokens, f32; next-token loss, SGD",
        sized(build, replace(FULL, layers=2, trains=True), replace(REDUCED, trains=True)),
    ),
)
