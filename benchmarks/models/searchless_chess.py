"""The 9 M searchless-chess model: a decoder over board tokens, gated feed-forward, final norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sized
from .transformer import dense, layer_norm
from .weights import Weights, tokens


@dataclass(frozen=True)
class ChessConfig:
    """Sizes of the 9 M action-value model; `buckets` is the number of return buckets."""

    vocabulary: int = 1968
    buckets: int = 128
    width: int = 256
    layers: int = 8
    heads: int = 8
    widening: int = 4
    batch: int = 33
    length: int = 79


def attention(parameters: Any, x: Any, heads: int) -> Any:
    """Attention of every token to every other, projections without bias."""
    batch, length, width = x.shape
    shape = (batch, length, heads, width // heads)
    query, key, value = ((x @ parameters[n]).reshape(shape) for n in ("query", "key", "value"))
    scores = jnp.einsum("bthd,bThd->bhtT", query, key)
    scores *= 1.0 / jnp.sqrt(width // heads)
    mixed = jnp.einsum("bhtT,bThd->bthd", jax.nn.softmax(scores), value)
    return mixed.reshape(batch, length, width) @ parameters["out"]


def block(parameters: Any, x: Any, heads: int) -> Any:
    """Normalise, attend, add; normalise, gate, add."""
    x += attention(parameters, layer_norm(parameters["norm1"], x), heads)
    n = layer_norm(parameters["norm2"], x)
    return x + (jax.nn.silu(n @ parameters["gate"]) * (n @ parameters["up"])) @ parameters["down"]


def make_layer(weights: Weights, config: ChessConfig) -> dict[str, Any]:
    """Random weights of one layer."""
    width, hidden = config.width, config.width * config.widening
    return {
        "norm1": weights.norm(width),
        **{name: weights.kernel(width, width) for name in ("query", "key", "value")},
        "out": weights.kernel(width, width, 0.3),
        "norm2": weights.norm(width),
        "gate": weights.kernel(width, hidden),
        "up": weights.kernel(width, hidden),
        "down": weights.kernel(hidden, width),
    }


def build(config: ChessConfig, reduced: bool) -> Program:
    """Log-probabilities (batch, length, buckets) of token numbers (batch, length)."""
    weights = Weights()
    parameters = {
        "embedding": weights.normal(config.vocabulary, config.width, scale=0.1),
        "position": weights.normal(config.length, config.width, scale=0.5),
        "layers": [make_layer(weights, config) for _ in range(config.layers)],
        "norm": weights.norm(config.width),
        "head": weights.dense(config.width, config.buckets),
    }

    def forward(parameters: Any, ids: Any) -> Any:
        begin = jnp.zeros((ids.shape[0], 1), ids.dtype)
        shifted = jnp.concatenate([begin, ids], axis=1)[:, :-1]
        x = parameters["embedding"][shifted] * jnp.sqrt(config.width)
        x = x + parameters["position"][jnp.arange(ids.shape[1])]
        for layer in parameters["layers"]:
            x = block(layer, x, config.heads)
        x = layer_norm(parameters["norm"], x)
        return jax.nn.log_softmax(dense(parameters["head"], x), axis=-1)

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (tokens(rng, config.vocabulary, config.batch, config.length),)

    return Program(forward, parameters, draw_inputs, small=reduced)


WORKLOADS = (
    Workload(
        "searchless_chess",
        1,
        "9 M decoder, tokens 33x79 int32, width 256, 8 layers, 8 heads, final norm, f32",
        sized(build, ChessConfig(), ChessConfig(32, 16, 32, 2, 4, 2, 3, 9)),
    ),
)
