"""A selective state-space layer (as in Mamba) whose recurrence runs by `lax.scan`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sized
from .transformer import dense, rms_norm
from .weights import Weights, normals


@dataclass(frozen=True)
class StateSpaceConfig:
    """Sequence length, model width, state size per channel, rank of the step size, layers."""

    length: int = 256
    width: int = 128
    state: int = 16
    rank: int = 8
    layers: int = 2


def selective_scan(parameters: Any, x: Any) -> Any:
    """h_t = exp(d_t A) h_(t-1) + d_t B_t x_t; y_t = C_t h_t + D x_t, for x (length, width)."""
    decay = -jnp.exp(parameters["log_a"])

    def step(h: Any, x_t: Any) -> Any:
        delta = jax.nn.softplus(dense(parameters["delta"], x_t @ parameters["low_rank"]))
        b, c = x_t @ parameters["b"], x_t @ parameters["c"]
        h = jnp.exp(delta[:, None] * decay) * h + (delta * x_t)[:, None] * b[None, :]
        return h, h @ c + parameters["d"] * x_t

    start = jnp.zeros(parameters["log_a"].shape, x.dtype)
    return jax.lax.scan(step, start, x)[1]


def make_layer(weights: Weights, config: StateSpaceConfig) -> dict[str, Any]:
    """Random weights of one layer."""
    width, state = config.width, config.state
    return {
        "norm": 1 + weights.normal(width, scale=0.1),
        "up": weights.dense(width, 2 * width),
        "log_a": np.log(weights.uniform(width, state, low=0.5, high=4.0)),
        "low_rank": weights.kernel(width, config.rank),
        "delta": weights.dense(config.rank, width, gain=0.3),
        "b": weights.kernel(width, state),
        "c": weights.kernel(width, state),
        "d": weights.normal(width),
        "down": weights.dense(width, width),
    }


def build(config: StateSpaceConfig, reduced: bool) -> Program:
    """Gated residual layers on a sequence (length, width)."""
    weights = Weights()
    parameters = [make_layer(weights, config) for _ in range(config.layers)]

    def forward(parameters: Any, x: Any) -> Any:
        for layer in parameters:
            signal, gate = jnp.split(dense(layer["up"], rms_norm(layer["norm"], x)), 2, axis=-1)
            mixed = selective_scan(layer, jax.nn.silu(signal)) * jax.nn.silu(gate)
            x = x + dense(layer["down"], mixed)
        return x

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (normals(rng, config.length, config.width),)

    return Program(forward, parameters, draw_inputs, small=reduced)


WORKLOADS = (
    Workload(
        "state_space",
        3,
        "selective state space by lax.scan, 2 layers, 256 steps, width 128, state 16, f32",
        sized(build, StateSpaceConfig(), StateSpaceConfig(12, 16, 4, 4, 2)),
    ),
)
