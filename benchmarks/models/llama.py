"""Decoding one token with a small Llama: RMSNorm, SwiGLU, rotary positions, key-value cache.

Two writings: the study's, whose cache has static length 1 and grows by concatenation, with
matrices applied to vectors and heads in a Python loop; and the usual one, which updates a cache
of 256 entries at a run-time position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sized
from .transformer import rms_norm
from .weights import Array, Weights, normals, tokens


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes of the 15 M parameter model; `cache` is the number of cached positions."""

    width: int = 288
    hidden: int = 768
    layers: int = 6
    heads: int = 6
    vocabulary: int = 32000
    cache: int = 1


FULL = LlamaConfig()
REDUCED = LlamaConfig(width=24, hidden=48, layers=2, heads=3, vocabulary=64)


def make_weights(config: LlamaConfig) -> dict[str, Array]:
    """Weights stacked over layers, matrices as (out, in)."""
    weights = Weights()
    layers, width, hidden = config.layers, config.width, config.hidden

    def stack(size_out: int, size_in: int) -> Array:
        return weights.normal(layers, size_out, size_in, scale=float(1 / np.sqrt(size_in)))

    return {
        "embedding": weights.normal(config.vocabulary, width),
        "attention_norm": 1 + weights.normal(layers, width, scale=0.1),
        "wq": stack(width, width),
        "wk": stack(width, width),
        "wv": stack(width, width),
        "wo": stack(width, width),
        "feed_forward_norm": 1 + weights.normal(layers, width, scale=0.1),
        "w1": stack(hidden, width),
        "w2": stack(width, hidden),
        "w3": stack(hidden, width),
        "norm": 1 + weights.normal(width, scale=0.1),
        "head": weights.normal(config.vocabulary, width, scale=float(1 / np.sqrt(width))),
    }


def rotations(width: int, head_size: int, position: int) -> Any:
    """The 2x2 rotation of every pair of features at a static position: (width / 2, 2, 2)."""
    blocks = []
    for i in range(0, width, 2):
        angle = position / jnp.power(10000.0, (i % head_size) / head_size)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        blocks.append(jnp.array([[cos, -sin], [sin, cos]]))
    return jnp.array(blocks)


def rotate(rotation: Any, x: Any) -> Any:
    """Turns each pair of the features x (width,)."""
    return jnp.einsum("ijk,ik->ij", rotation, x.reshape(-1, 2)).reshape(-1)


def feed_forward(parameters: Any, layer: int, x: Any) -> Any:
    """x + w2 (silu(w1 n) * (w3 n)) with n the normalised x (width,)."""
    n = rms_norm(parameters["feed_forward_norm"][layer], x)
    gate = jax.nn.silu(parameters["w1"][layer] @ n)
    return x + parameters["w2"][layer] @ (gate * (parameters["w3"][layer] @ n))


def attend_by_head(query: Any, keys: Any, values: Any, heads: int) -> Any:
    """Attention of one query (width,) over keys and values (length, width), head after head."""
    size = query.shape[0] // heads
    mixed = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = jnp.einsum("ij,j->i", keys[:, part], query[part]) / jnp.sqrt(size)
        mixed.append(jnp.einsum("ij,i->j", values[:, part], jax.nn.softmax(scores)))
    return jnp.concatenate(mixed)


def build_static(config: LlamaConfig, reduced: bool) -> Program:
    """The study's writing: the cache's length is the position."""

    def forward(parameters: Any, token: Any, key_cache: Any, value_cache: Any) -> Any:
        rotation = rotations(config.width, config.width // config.heads, key_cache.shape[1])
        x = parameters["embedding"][token]
        all_keys, all_values = [], []
        for layer in range(config.layers):
            n = rms_norm(parameters["attention_norm"][layer], x)
            query = rotate(rotation, parameters["wq"][layer] @ n)
            key = rotate(rotation, parameters["wk"][layer] @ n)
            value = parameters["wv"][layer] @ n
            keys = jnp.append(key_cache[layer], key[None], axis=0)
            values = jnp.append(value_cache[layer], value[None], axis=0)
            mixed = attend_by_head(query, keys, values, config.heads)
            x = feed_forward(parameters, layer, x + parameters["wo"][layer] @ mixed)
            all_keys.append(keys)
            all_values.append(values)
        logits = parameters["head"] @ rms_norm(parameters["norm"], x)
        return logits, jnp.stack(all_keys), jnp.stack(all_values)

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        shape = (config.layers, config.cache, config.width)
        return tokens(rng, config.vocabulary), normals(rng, *shape), normals(rng, *shape)

    return Program(forward, make_weights(config), draw_inputs, small=reduced)


def rope(x: Any, position: Any) -> Any:
    """Rotary embedding of x (heads, size) at a run-time position, pairs interleaved."""
    size = x.shape[-1]
    angle = position / 10000.0 ** (jnp.arange(0, size, 2) / size)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    even, odd = x[:, 0::2], x[:, 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


def build_dynamic(config: LlamaConfig, reduced: bool) -> Program:
    """The usual writing: dynamic_update_slice into a fixed cache, masked attention."""
    heads, size = config.heads, config.width // config.heads

    def forward(parameters: Any, token: Any, position: Any, keys: Any, values: Any) -> Any:
        allowed = jnp.arange(config.cache) <= position
        x = parameters["embedding"][token]
        for layer in range(config.layers):
            n = rms_norm(parameters["attention_norm"][layer], x)
            query = rope((parameters["wq"][layer] @ n).reshape(heads, size), position)
            key = rope((parameters["wk"][layer] @ n).reshape(heads, size), position)
            value = (parameters["wv"][layer] @ n).reshape(heads, size)
            keys = keys.at[layer, position].set(key)
            values = values.at[layer, position].set(value)
            scores = jnp.einsum("hd,thd->ht", query, keys[layer]) / jnp.sqrt(size)
            scores = jnp.where(allowed, scores, np.finfo(np.float32).min)
            mixed = jnp.einsum("ht,thd->hd", jax.nn.softmax(scores), values[layer])
            x = feed_forward(parameters, layer, x + parameters["wo"][layer] @ mixed.reshape(-1))
        return parameters["head"] @ rms_norm(parameters["norm"], x), keys, values

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        shape = (config.layers, config.cache, heads, size)
        position = np.int32(config.cache // 2)
        token = tokens(rng, config.vocabulary)
        return token, position, normals(rng, *shape), normals(rng, *shape)

    return Program(forward, make_weights(config), draw_inputs, small=reduced)


_SIZES = "width 288, hidden 768, 6 layers, 6 heads, vocabulary 32000, f32, one token"
_CACHED = LlamaConfig(cache=256)
_CACHED_REDUCED = LlamaConfig(24, 48, 2, 3, 64, cache=16)

WORKLOADS = (
    Workload("llama", 1, f"{_SIZES}, cache of length 1", sized(build_static, FULL, REDUCED)),
    Workload(
        "llama_cache",
        1,
        f"{_SIZES}, cache of 256 updated at a run-time position (128)",
        sized(build_dynamic, _CACHED, _CACHED_REDUCED),
    ),
)
