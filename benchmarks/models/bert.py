"""BERT: the encoder of bert-base (post-norm, exact gelu) and TASO's eight attention blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, cross_entropy, sgd, sized
from .transformer import attention_weights, dense, layer_norm, self_attention
from .weights import Weights, normals, tokens


@dataclass(frozen=True)
class BertConfig:
    """The sizes of bert-base-uncased, with batch and sequence length."""

    vocabulary: int = 30522
    positions: int = 512
    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    batch: int = 1
    length: int = 12
    trains: bool = False


FULL = BertConfig()
REDUCED = BertConfig(vocabulary=64, positions=16, width=32, layers=2, heads=4, hidden=64, length=8)


def block(parameters: Any, x: Any, mask: Any, heads: int) -> Any:
    """One encoder layer: attention and a feed-forward network, each added and then normalised."""
    attention = self_attention(parameters["attention"], x, heads, mask)
    x = layer_norm(parameters["attention_norm"], x + attention, 1e-12)
    hidden = jax.nn.gelu(dense(parameters["up"], x), approximate=False)
    return layer_norm(parameters["output_norm"], x + dense(parameters["down"], hidden), 1e-12)


def encode(parameters: Any, ids: Any, mask: Any, heads: int) -> Any:
    """Hidden states (batch, length, width) of token `ids` (batch, length)."""
    embedding = parameters["embedding"]
    x = embedding["word"][ids] + embedding["position"][: ids.shape[1]] + embedding["segment"][0]
    x = layer_norm(embedding["norm"], x, 1e-12)
    for layer in parameters["layers"]:
        x = block(layer, x, mask[:, None, None, :] > 0, heads)
    return x


def make_weights(config: BertConfig) -> dict[str, Any]:
    """Random weights of the whole encoder, its pooler included."""
    weights = Weights()
    width = config.width
    return {
        "embedding": {
            "word": weights.normal(config.vocabulary, width),
            "position": weights.normal(config.positions, width, scale=0.3),
            "segment": weights.normal(2, width, scale=0.3),
            "norm": weights.norm(width),
        },
        "layers": [
            {
                "attention": attention_weights(weights, width),
                "attention_norm": weights.norm(width),
                "up": weights.dense(width, config.hidden),
                "down": weights.dense(config.hidden, width),
                "output_norm": weights.norm(width),
            }
            for _ in range(config.layers)
        ],
        "pooler": weights.dense(width, width, gain=0.3),
    }


def build(config: BertConfig, reduced: bool) -> Program:
    """The encoder with its pooler; the training step is masked-language modelling, tied head."""

    def forward(parameters: Any, ids: Any, mask: Any) -> Any:
        x = encode(parameters, ids, mask, config.heads)
        return x, jnp.tanh(dense(parameters["pooler"], x[:, 0]))

    def loss(parameters: Any, ids: Any, mask: Any, labels: Any) -> Any:
        x = encode(parameters, ids, mask, config.heads)
        logits = x @ parameters["embedding"]["word"].T / np.float32(np.sqrt(config.width))
        return cross_entropy(logits, labels)

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        mask = np.ones((config.batch, config.length), np.int32)
        mask[:, config.length - 2 :] = 0
        return tokens(rng, config.vocabulary, config.batch, config.length), mask

    def draw_targets(rng: np.random.Generator) -> Arrays:
        return (tokens(rng, config.vocabulary, config.batch, config.length),)

    train_step = sgd(loss) if config.trains else None
    return Program(forward, make_weights(config), draw_inputs, train_step, draw_targets, reduced)


@dataclass(frozen=True)
class TasoConfig:
    """TASO's and TENSAT's BERT: attention blocks only, one sequence, no batch axis."""

    length: int = 64
    width: int = 1024
    layers: int = 8
    heads: int = 16


def taso_block(parameters: Any, x: Any, heads: int) -> Any:
    """Attention of x (length, width) with unbiased projections, added and normalised."""
    length, width = x.shape

    def project(name: str) -> Any:
        return (x @ parameters[name]).reshape(length, heads, width // heads).transpose(1, 0, 2)

    query, key, value = project("query"), project("key"), project("value")
    scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(width // heads))
    mixed = (jax.nn.softmax(scores) @ value).transpose(1, 0, 2).reshape(length, width)
    return layer_norm(parameters["norm"], x + mixed @ parameters["out"])


def build_taso(config: TasoConfig, reduced: bool) -> Program:
    """TASO's graph drops softmax, residual and norm; with them the values stay finite."""
    weights = Weights()
    names = ("query", "key", "value", "out")
    layers = [
        {name: weights.kernel(config.width, config.width) for name in names}
        | {"norm": weights.norm(config.width)}
        for _ in range(config.layers)
    ]

    def forward(parameters: Any, x: Any) -> Any:
        for layer in parameters:
            x = taso_block(layer, x, config.heads)
        return x

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (normals(rng, config.length, config.width),)

    return Program(forward, layers, draw_inputs, small=reduced)


_BASE = "bert-base, 12 layers, width 768, 12 heads, hidden 3072, f32, batch 1"
_TRAIN = replace(FULL, layers=2, length=128, trains=True)
_TASO = "8 attention blocks, sequence 64, width 1024, 16 heads, f32, with softmax and layer norm"

WORKLOADS = (
    Workload("bert", 1, f"{_BASE}, 12 tokens", sized(build, FULL, REDUCED)),
    Workload(
        "bert_128", 1, f"{_BASE}, 128 tokens", sized(build, replace(FULL, length=128), REDUCED)
    ),
    Workload(
        "bert_train",
        1,
        "bert-base cut to 2 layers, batch 1, 128 tokens, f32; masked-language loss, SGD",
        sized(build, _TRAIN, replace(REDUCED, trains=True)),
    ),
    Workload("bert_taso", 2, _TASO, sized(build_taso, TasoConfig(), TasoConfig(8, 32, 2, 4))),
)
