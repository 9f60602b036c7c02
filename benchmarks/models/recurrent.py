"""LSTM, GRU and vanilla recurrent networks by `lax.scan`, the input product inside the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sgd, sized
from .weights import Weights, normals


@dataclass(frozen=True)
class RecurrentConfig:
    """The kind of cell, steps, batch, and one width for inputs and states."""

    kind: str
    steps: int = 128
    batch: int = 1
    hidden: int = 256


def lstm_cell(parameters: Any, carry: Any, x: Any) -> Any:
    """Gates i, f, g, o of x W + h U + b; carry is (h, c), both (batch, hidden)."""
    h, c = carry
    gates = x @ parameters["W"] + h @ parameters["U"] + parameters["b"]
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = jax.nn.sigmoid(f + 1.0) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def gru_cell(parameters: Any, carry: Any, x: Any) -> Any:
    """Reset, update and candidate; the reset gate acts on h U, as in cuDNN."""
    (h,) = carry
    from_x = jnp.split(x @ parameters["W"] + parameters["b"], 3, axis=-1)
    from_h = jnp.split(h @ parameters["U"] + parameters["c"], 3, axis=-1)
    reset = jax.nn.sigmoid(from_x[0] + from_h[0])
    update = jax.nn.sigmoid(from_x[1] + from_h[1])
    candidate = jnp.tanh(from_x[2] + reset * from_h[2])
    h = (1 - update) * candidate + update * h
    return (h,), h


def vanilla_cell(parameters: Any, carry: Any, x: Any) -> Any:
    """tanh(W x_t + U h + b)."""
    (h,) = carry
    h = jnp.tanh(x @ parameters["W"] + h @ parameters["U"] + parameters["b"])
    return (h,), h


_CELLS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "lstm": (lstm_cell, 4, 2),
    "gru": (gru_cell, 3, 1),
    "rnn": (vanilla_cell, 1, 1),
}
"""Cell, gates, and arrays carried, by kind."""


def build(config: RecurrentConfig, reduced: bool) -> Program:
    """All states and a readout of the last, for a sequence (steps, batch, hidden)."""
    cell, gates, carried = _CELLS[config.kind]
    weights = Weights()
    size = config.hidden
    parameters = {
        "W": weights.kernel(size, gates * size),
        "U": weights.kernel(size, gates * size),
        "b": weights.normal(gates * size, scale=0.1),
        "readout": weights.kernel(size, size),
    }
    if config.kind == "gru":
        parameters["c"] = weights.normal(gates * size, scale=0.1)

    def forward(parameters: Any, sequence: Any) -> Any:
        start = (jnp.zeros((sequence.shape[1], size), sequence.dtype),) * carried
        carry, states = jax.lax.scan(lambda c, x: cell(parameters, c, x), start, sequence)
        return carry[0] @ parameters["readout"], states

    def loss(parameters: Any, sequence: Any, target: Any) -> Any:
        return jnp.mean(jnp.square(forward(parameters, sequence)[0] - target))

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (normals(rng, config.steps, config.batch, size),)

    def draw_targets(rng: np.random.Generator) -> Arrays:
        return (normals(rng, config.batch, size),)

    return Program(forward, parameters, draw_inputs, sgd(loss), draw_targets, reduced)


def _workload(kind: str, batch: int) -> Workload:
    full, small = RecurrentConfig(kind, batch=batch), RecurrentConfig(kind, 8, batch, 16)
    text = f"{kind} by lax.scan, 128 steps, batch {batch}, width 256, f32; SGD"
    return Workload(f"{kind}_batch{batch}", 3, text, sized(build, full, small))


WORKLOADS = tuple(_workload(kind, batch) for kind in _CELLS for batch in (1, 32))
