"""Pieces that the transformers share, written as JAX users write them: plain jnp on dicts."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .weights import Array, Weights


def dense(parameters: Any, x: Any) -> Any:
    """x (..., in) @ kernel (in, out) + bias (out,)."""
    return x @ parameters["kernel"] + parameters["bias"]


def layer_norm(parameters: Any, x: Any, epsilon: float = 1e-5) -> Any:
    """Normalises the last axis to zero mean and unit variance, then scales and shifts."""
    mean = jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.var(x, axis=-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + epsilon) * parameters["scale"] + parameters["bias"]


def rms_norm(scale: Any, x: Any, epsilon: float = 1e-5) -> Any:
    """x / sqrt(mean(x^2) + epsilon) * scale over the last axis."""
    mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(mean_square + epsilon) * scale


def split_heads(x: Any, heads: int) -> Any:
    """(batch, length, heads * size) -> (batch, heads, length, size)."""
    batch, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3)


def merge_heads(x: Any) -> Any:
    """(batch, heads, length, size) -> (batch, length, heads * size)."""
    batch, heads, length, size = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, heads * size)


def attend(query: Any, key: Any, value: Any, mask: Any = None) -> Any:
    """Softmax attention over (batch, heads, length, size); `mask` is True where allowed."""
    scores = query @ key.swapaxes(-1, -2) / np.float32(np.sqrt(query.shape[-1]))
    if mask is not None:
        scores = jnp.where(mask, scores, np.finfo(np.float32).min)
    return jax.nn.softmax(scores, axis=-1) @ value


def causal_mask(length: int) -> Array:
    """(length, length), True on and below the diagonal."""
    return np.tril(np.ones((length, length), bool))


def attention_weights(weights: Weights, width: int) -> dict[str, dict[str, Array]]:
    """Four dense layers of one width: query, key, value and the output projection."""
    return {name: weights.dense(width, width) for name in ("query", "key", "value", "out")}


def self_attention(parameters: Any, x: Any, heads: int, mask: Any = None) -> Any:
    """Multi-head self-attention of x (batch, length, width) with four dense layers."""
    query, key, value = (
        split_heads(dense(parameters[name], x), heads) for name in ("query", "key", "value")
    )
    return dense(parameters["out"], merge_heads(attend(query, key, value, mask)))
