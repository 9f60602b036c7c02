"""Sparse and low-rank layers: a mixture of experts with one-hot dispatch, and LoRA layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sgd, sized
from .transformer import attend, merge_heads, rms_norm, split_heads
from .weights import Array, Weights, normals


@dataclass(frozen=True)
class ExpertsConfig:
    """Tokens, width, experts with their capacity and hidden width."""

    tokens: int = 256
    width: int = 256
    experts: int = 8
    capacity: int = 48
    hidden: int = 1024


def route(gate: Any, x: Any, capacity: int) -> tuple[Any, Any]:
    """Top-1 dispatch and combine tensors (tokens, experts, capacity).

    Source: Fedus et al., "Switch Transformers", with the position in an expert's buffer by a
    cumulative sum; tokens beyond the capacity are dropped.
    """
    probabilities = jax.nn.softmax(x @ gate, axis=-1)
    mask = jax.nn.one_hot(jnp.argmax(probabilities, axis=-1), gate.shape[1], dtype=x.dtype)
    position = (jnp.cumsum(mask, axis=0) - 1) * mask
    mask = mask * (position < capacity)
    slot = jax.nn.one_hot(jnp.sum(position, axis=-1).astype(jnp.int32), capacity, dtype=x.dtype)
    dispatch = mask[:, :, None] * slot[:, None, :]
    weight = jnp.sum(probabilities * mask, axis=-1)
    return dispatch, dispatch * weight[:, None, None]


def build_experts(config: ExpertsConfig, reduced: bool) -> Program:
    """x (tokens, width) plus the outputs of the experts chosen for each token."""
    weights = Weights()
    width, hidden, experts = config.width, config.hidden, config.experts
    parameters = {
        "gate": weights.kernel(width, experts, 4.0),
        "up": weights.normal(experts, width, hidden, scale=float(np.sqrt(2 / width))),
        "down": weights.normal(experts, hidden, width, scale=float(1 / np.sqrt(hidden))),
    }

    def forward(parameters: Any, x: Any) -> Any:
        dispatch, combine = route(parameters["gate"], x, config.capacity)
        packed = jnp.einsum("tec,tw->ecw", dispatch, x)
        hidden_states = jax.nn.relu(jnp.einsum("ecw,ewh->ech", packed, parameters["up"]))
        results = jnp.einsum("ech,ehw->ecw", hidden_states, parameters["down"])
        return x + jnp.einsum("tec,ecw->tw", combine, results)

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (normals(rng, config.tokens, width),)

    return Program(forward, parameters, draw_inputs, small=reduced)


@dataclass(frozen=True)
class LoraConfig:
    """Tokens, width, heads, layers, and the rank of the adapters."""

    tokens: int = 16
    width: int = 768
    heads: int = 12
    layers: int = 2
    rank: int = 8


def lora(parameters: Any, x: Any) -> Any:
    """x @ (W + A @ B): the adapted matrix is formed in full."""
    return x @ (parameters["W"] + parameters["A"] @ parameters["B"])


def make_lora(weights: Weights, size_in: int, size_out: int, rank: int) -> dict[str, Array]:
    """A frozen-size matrix and a trained adapter of the given rank."""
    return {
        "W": weights.kernel(size_in, size_out),
        "A": weights.kernel(size_in, rank),
        "B": weights.kernel(rank, size_out, 0.1),
    }


def make_lora_layer(weights: Weights, width: int, rank: int) -> dict[str, Any]:
    """Random weights of one transformer layer whose six matrices are adapted."""
    layer: dict[str, Any] = {
        name: make_lora(weights, width, width, rank) for name in ("query", "key", "value", "out")
    }
    layer["up"] = make_lora(weights, width, 4 * width, rank)
    layer["down"] = make_lora(weights, 4 * width, width, rank)
    layer["norm1"] = 1 + weights.normal(width, scale=0.1)
    layer["norm2"] = 1 + weights.normal(width, scale=0.1)
    return layer


def build_lora(config: LoraConfig, reduced: bool) -> Program:
    """Transformer layers on x (1, tokens, width); training updates every matrix."""
    weights = Weights()
    parameters = [make_lora_layer(weights, config.width, config.rank) for _ in range(config.layers)]

    def forward(parameters: Any, x: Any) -> Any:
        for layer in parameters:
            n = rms_norm(layer["norm1"], x)
            query, key, value = (
                split_heads(lora(layer[name], n), config.heads)
                for name in ("query", "key", "value")
            )
            x = x + lora(layer["out"], merge_heads(attend(query, key, value)))
            n = rms_norm(layer["norm2"], x)
            x = x + lora(layer["down"], jax.nn.gelu(lora(layer["up"], n)))
        return x

    def loss(parameters: Any, x: Any, target: Any) -> Any:
        return jnp.mean(jnp.square(forward(parameters, x) - target))

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (normals(rng, 1, config.tokens, config.width),)

    return Program(forward, parameters, draw_inputs, sgd(loss), draw_inputs, reduced)


WORKLOADS = (
    Workload(
        "mixture_of_experts",
        3,
        "top-1 one-hot dispatch, 256 tokens, width 256, 8 experts of hidden 1024, f32",
        sized(build_experts, ExpertsConfig(), ExpertsConfig(16, 8, 4, 6, 16)),
    ),
    Workload(
        "lora",
        3,
        "2 transformer layers of x @ (W + A @ B), 16 tokens, width 768, rank 8, f32; SGD",
        sized(build_lora, LoraConfig(), LoraConfig(4, 16, 2, 1, 2)),
    ),
)
