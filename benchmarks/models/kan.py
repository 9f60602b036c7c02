"""Kolmogorov-Arnold networks as a column-major front end exports them.

Such a front end keeps arrays in row-major memory with their axes reversed, and wraps every
operation in transposes to its own axis order and back, so that about two thirds of the exported
operations are transposes. The functions here do the same; the network itself is radial basis
functions on a grid, a linear map of them, and (for kan1) a swish base branch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sized
from .weights import Weights, normals


@dataclass(frozen=True)
class KanConfig:
    """Layer widths, grid points per input, whether there is a base branch, and the batch."""

    widths: tuple[int, ...] = (1, 40, 40, 1)
    grid: int = 10
    has_base: bool = True
    batch: int = 100


def reverse(x: Any) -> Any:
    """All axes in reverse order."""
    return jnp.transpose(x)


def column_major(function: Callable[..., Any], *operands: Any) -> Any:
    """`function` applied in column-major axis order to operands stored with axes reversed."""
    return reverse(function(*(reverse(x) if jnp.ndim(x) > 1 else x for x in operands)))


def reshape(x: Any, *shape: int) -> Any:
    """Column-major reshape to `shape`, given and stored as column-major sizes reversed."""
    return column_major(lambda y: y.reshape(shape, order="F"), x)


def layer_sizes(config: KanConfig) -> list[tuple[int, int]]:
    """(inputs, outputs) of every layer."""
    return list(zip(config.widths[:-1], config.widths[1:], strict=True))


def parameter_count(config: KanConfig) -> int:
    """Length of the flat parameter vector."""
    per_input = config.grid + (1 if config.has_base else 0)
    return sum(size_in * size_out * per_input for size_in, size_out in layer_sizes(config))


def take(flat: Any, start: int, rows: int, columns: int) -> Any:
    """A column-major (rows, columns) matrix out of the flat vector, stored (columns, rows)."""
    part = jax.lax.slice(flat, (start,), (start + rows * columns,))
    return reverse(part.reshape((rows, columns), order="F"))


def basis(x: Any, grid: Any, width: float) -> Any:
    """Radial basis functions: x stored (batch, in) gives (batch, in * grid)."""
    batch, size = x.shape
    row = reshape(x, 1, size * batch)
    grown = column_major(lambda y: jnp.broadcast_to(y, (grid.shape[0], size * batch)), row)
    points = reverse(jnp.broadcast_to(grid[:, None], (grid.shape[0], size * batch)))
    distance = column_major(jnp.subtract, grown, points)
    widths = reverse(jnp.full((grid.shape[0], size * batch), width, jnp.float32))
    scaled = column_major(jnp.divide, distance, widths)
    squared = column_major(jnp.multiply, scaled, scaled)
    bell = column_major(jnp.exp, column_major(jnp.negative, squared))
    return reshape(bell, grid.shape[0] * size, batch)


def layer(flat: Any, start: int, x: Any, sizes: tuple[int, int], config: KanConfig) -> Any:
    """One layer on x stored (batch, in): C basis(tanh x) + W swish(x), stored (batch, out)."""
    size_in, size_out = sizes
    grid = np.linspace(-1.0, 1.0, config.grid, dtype=np.float32)
    normal = column_major(jnp.tanh, x)
    bells = basis(normal, grid, 2.0 / (config.grid - 1))
    splines = take(flat, start, size_out, config.grid * size_in)
    y = column_major(jnp.matmul, splines, bells)
    if config.has_base:
        offset = start + size_out * config.grid * size_in
        gate = column_major(jax.lax.logistic, x)
        swish = column_major(jnp.multiply, x, gate)
        base = column_major(jnp.matmul, take(flat, offset, size_out, size_in), swish)
        y = column_major(jnp.add, y, base)
    return y


def build(config: KanConfig, reduced: bool) -> Program:
    """The network on x (batch, 1) with one flat parameter vector."""
    weights = Weights()
    parts = []
    for size_in, size_out in layer_sizes(config):
        # About three bells overlap at a point, so a basis column has a squared sum near 2.
        scale = float(1 / np.sqrt(2 * size_in))
        parts.append(weights.normal(size_in * size_out * config.grid, scale=scale))
        if config.has_base:
            parts.append(weights.normal(size_in * size_out, scale=float(1 / np.sqrt(size_in))))

    def forward(flat: Any, x: Any) -> Any:
        start = 0
        for sizes in layer_sizes(config):
            x = layer(flat, start, x, sizes, config)
            per_input = config.grid + (1 if config.has_base else 0)
            start += sizes[0] * sizes[1] * per_input
        return x

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (normals(rng, config.batch, config.widths[0]),)

    return Program(forward, np.concatenate(parts), draw_inputs, small=reduced)


def _workload(name: str, has_base: bool) -> Workload:
    full = KanConfig(has_base=has_base)
    text = f"widths 1-40-40-1, grid 10, batch 100x1, flat vector of {parameter_count(full)} f32"
    return Workload(name, 1, text, sized(build, full, KanConfig((1, 6, 6, 1), 5, has_base, 16)))


WORKLOADS = (_workload("kan1", True), _workload("kan2", False))
