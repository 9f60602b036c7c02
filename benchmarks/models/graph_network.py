"""A message-passing graph network by gathers and `segment_sum`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sized
from .transformer import dense, layer_norm
from .weights import Weights, normals


@dataclass(frozen=True)
class GraphConfig:
    """Nodes, edges, features per node and edge, and rounds of messages."""

    nodes: int = 1000
    edges: int = 8000
    width: int = 64
    edge_width: int = 16
    rounds: int = 3


def message_round(parameters: Any, nodes: Any, edges: Any, senders: Any, receivers: Any) -> Any:
    """relu-MLP messages along edges, summed at their receivers, then a node update."""
    pairs = jnp.concatenate([nodes[senders], nodes[receivers], edges], axis=-1)
    messages = dense(parameters["message2"], jax.nn.relu(dense(parameters["message1"], pairs)))
    total = jax.ops.segment_sum(messages, receivers, num_segments=nodes.shape[0])
    updated = dense(parameters["update"], jnp.concatenate([nodes, total], axis=-1))
    return layer_norm(parameters["norm"], nodes + jax.nn.relu(updated))


def build(config: GraphConfig, reduced: bool) -> Program:
    """Node features (nodes, width) and the graph's readout (width,)."""
    weights = Weights()
    width = config.width
    parameters = [
        {
            "message1": weights.dense(2 * width + config.edge_width, width, 2.0),
            "message2": weights.dense(width, width),
            "update": weights.dense(2 * width, width),
            "norm": weights.norm(width),
        }
        for _ in range(config.rounds)
    ]

    def forward(parameters: Any, nodes: Any, edges: Any, senders: Any, receivers: Any) -> Any:
        for layer in parameters:
            nodes = message_round(layer, nodes, edges, senders, receivers)
        return nodes, jnp.mean(nodes, axis=0)

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        ends = rng.integers(0, config.nodes, (2, config.edges), dtype=np.int32)
        nodes = normals(rng, config.nodes, width)
        return nodes, normals(rng, config.edges, config.edge_width), ends[0], ends[1]

    return Program(forward, parameters, draw_inputs, small=reduced)


WORKLOADS = (
    Workload(
        "graph_network",
        3,
        "3 rounds of messages by segment_sum, 1000 nodes, 8000 edges, width 64, f32",
        sized(build, GraphConfig(), GraphConfig(20, 60, 8, 4, 2)),
    ),
)
