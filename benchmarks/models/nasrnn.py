"""The NAS recurrent cell of TASO, TENSAT and the OOPSLA 2025 study, unrolled over five steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.nn import relu, sigmoid

from .base import Arrays, Program, Workload, sgd, sized
from .weights import Weights, normals


@dataclass(frozen=True)
class NasRnnConfig:
    """Width, unrolled steps, and the batch shape: () gives rank-1 states."""

    hidden: int = 512
    steps: int = 5
    batch: tuple[int, ...] = ()


def cell(weights: Any, state: Any, x: Any) -> Any:
    """One step: eight pairs x@W1 + h@W2, combined in three levels by relu, sigmoid and tanh."""
    pairs = [x @ w1 + state @ w2 for w1, w2 in zip(weights["w1"], weights["w2"], strict=True)]
    first = (
        relu(pairs[0]) + sigmoid(pairs[3]),
        sigmoid(pairs[1]) + jnp.tanh(pairs[2]),
        sigmoid(pairs[4]) * jnp.tanh(pairs[5]),
        sigmoid(pairs[6]) * relu(pairs[7]),
    )
    second = (
        sigmoid(first[1]) + jnp.tanh(first[2]),
        jnp.tanh(first[0]) * jnp.tanh(first[3]),
    )
    return jnp.tanh(jnp.tanh(second[0]) * jnp.tanh(second[1]))


def forward(parameters: Any, sequence: Any) -> Any:
    """The last state (*batch, hidden) of the cell over `sequence` (steps, *batch, hidden)."""
    state = parameters["state"]
    for step in range(sequence.shape[0]):
        state = cell(parameters, state, sequence[step])
    return state


def loss(parameters: Any, sequence: Any, target: Any) -> Any:
    """Mean squared distance of the last state from `target`."""
    return jnp.mean(jnp.square(forward(parameters, sequence) - target))


def build(config: NasRnnConfig, reduced: bool) -> Program:
    """Weights are centred with standard deviation 1/sqrt(hidden): uniform ones saturate."""
    weights = Weights()
    size = config.hidden
    parameters = {
        "w1": [weights.kernel(size, size) for _ in range(8)],
        "w2": [weights.kernel(size, size) for _ in range(8)],
        "state": weights.normal(*config.batch, size),
    }

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (normals(rng, config.steps, *config.batch, size),)

    def draw_targets(rng: np.random.Generator) -> Arrays:
        return (normals(rng, *config.batch, size, scale=0.3),)

    return Program(forward, parameters, draw_inputs, sgd(loss), draw_targets, reduced)


def _workload(name: str, number: int, batch: tuple[int, ...]) -> Workload:
    shape = (*batch, 512)
    full, small = NasRnnConfig(batch=batch), NasRnnConfig(hidden=32, batch=batch)
    text = f"NAS cell, hidden 512, 5 unrolled steps, states {shape}, 16 weights 512x512 f32"
    return Workload(name, number, text, sized(build, full, small))


WORKLOADS = (
    _workload("nasrnn", 1, ()),
    _workload("nasrnn_batch1", 2, (1,)),
    _workload("nasrnn_batch32", 1, (32,)),
)
