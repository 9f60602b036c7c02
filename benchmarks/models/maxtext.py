"""A decoder-only language model with one layer, as MaxText writes it: bf16 compute, f32 weights,
multi-query attention, gated feed-forward, Adam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, adam, cross_entropy, sized, with_adam_state
from .transformer import causal_mask
from .weights import Weights, tokens


@dataclass(frozen=True)
class MaxTextConfig:
    """One layer, one query and key-value head; batch and sequence cut to fit small machines."""

    vocabulary: int = 32000
    width: int = 512
    heads: int = 1
    head_size: int = 128
    hidden: int = 7168
    batch: int = 1
    length: int = 256


def rms_norm(scale: Any, x: Any) -> Any:
    """RMS norm computed in f32 and returned in x's dtype."""
    wide = x.astype(jnp.float32)
    mean_square = jnp.mean(jax.lax.square(wide), axis=-1, keepdims=True)
    normalised = (wide * jax.lax.rsqrt(mean_square + 1e-6)).astype(x.dtype)
    return normalised * scale.astype(x.dtype)


def rotary(x: Any) -> Any:
    """Rotary positions for x (batch, length, heads, size), halves rotated against each other."""
    half = x.shape[-1] // 2
    timescale = 10000.0 ** (jnp.arange(half, dtype=jnp.float32) / half)
    angle = (jnp.arange(x.shape[1], dtype=jnp.float32)[:, None] / timescale)[None, :, None, :]
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def attention(weights: Any, x: Any) -> Any:
    """Causal attention of x (batch, length, width); scores and softmax in f32."""
    dtype = x.dtype

    def project(name: str) -> Any:
        return jnp.einsum("btw,whd->bthd", x, weights[name].astype(dtype))

    size = weights["query"].shape[-1]
    query = rotary(project("query")) * jnp.asarray(1 / np.sqrt(size), dtype)
    key, value = rotary(project("key")), project("value")
    scores = jnp.einsum("bthd,bshd->bhts", query, key, preferred_element_type=jnp.float32)
    scores = jnp.where(causal_mask(x.shape[1]), scores, -0.7 * float(np.finfo(np.float32).max))
    probabilities = jax.nn.softmax(scores, axis=-1).astype(dtype)
    mixed = jnp.einsum("bhts,bshd->bthd", probabilities, value)
    return jnp.einsum("bthd,hdw->btw", mixed, weights["out"].astype(dtype))


def feed_forward(weights: Any, x: Any) -> Any:
    """silu(x gate) * (x up), projected down, in x's dtype."""
    gate = jax.nn.silu(x @ weights["gate"].astype(x.dtype))
    return (gate * (x @ weights["up"].astype(x.dtype))) @ weights["down"].astype(x.dtype)


def logits_of(weights: Any, ids: Any) -> Any:
    """Logits (batch, length, vocabulary) in bf16 of token `ids` (batch, length)."""
    x = weights["embedding"].astype(jnp.bfloat16)[ids]
    x = x + attention(weights, rms_norm(weights["norm1"], x))
    x = x + feed_forward(weights, rms_norm(weights["norm2"], x))
    return rms_norm(weights["norm"], x) @ weights["head"].astype(jnp.bfloat16)


def forward(parameters: Any, ids: Any) -> Any:
    """`logits_of` with the optimiser's parameters."""
    return logits_of(parameters["weights"], ids)


def loss(weights: Any, ids: Any, labels: Any) -> Any:
    """Mean cross entropy of the labels (batch, length), in f32."""
    return cross_entropy(logits_of(weights, ids), labels)


def build(config: MaxTextConfig, reduced: bool) -> Program:
    """One decoder layer with its embedding and head, and Adam's state."""
    draw = Weights()
    width, heads, size = config.width, config.heads, config.head_size
    scale = float(1 / np.sqrt(width))
    weights = {
        "embedding": draw.normal(config.vocabulary, width),
        "norm1": 1 + draw.normal(width, scale=0.1),
        "query": draw.normal(width, heads, size, scale=scale),
        "key": draw.normal(width, heads, size, scale=scale),
        "value": draw.normal(width, heads, size, scale=scale),
        "out": draw.normal(heads, size, width, scale=float(1 / np.sqrt(heads * size))),
        "norm2": 1 + draw.normal(width, scale=0.1),
        "gate": draw.kernel(width, config.hidden),
        "up": draw.kernel(width, config.hidden),
        "down": draw.kernel(config.hidden, width),
        "norm": 1 + draw.normal(width, scale=0.1),
        "head": draw.kernel(width, config.vocabulary),
    }

    def draw_ids(rng: np.random.Generator) -> Arrays:
        return (tokens(rng, config.vocabulary, config.batch, config.length),)

    parameters = with_adam_state(weights)
    return Program(forward, parameters, draw_ids, adam(loss), draw_ids, reduced)


WORKLOADS = (
    Workload(
        "maxtext",
        1,
        "one decoder layer, bf16 compute on f32 weights, width 512, 1 query/kv head of 128, "
        "feed-forward 7168 (gated), vocabulary 32000, batch 1, 256 tokens; Adam",
        sized(build, MaxTextConfig(), MaxTextConfig(64, 32, 1, 16, 96, 1, 16)),
    ),
)
