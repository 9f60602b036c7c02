"""Simulation: N-body forces by vmap(grad), finite differences, fixed points, image filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sized
from .weights import Weights, images, normals


@dataclass(frozen=True)
class BodiesConfig:
    """Bodies and leapfrog steps."""

    bodies: int = 256
    steps: int = 4
    time_step: float = 0.01


def potential_at(position: Any, positions: Any, masses: Any) -> Any:
    """Softened gravitational potential of all bodies at one position (3,)."""
    distance = jnp.sqrt(jnp.sum(jnp.square(positions - position), axis=-1) + 1e-2)
    return -jnp.sum(masses / distance)


def build_bodies(config: BodiesConfig, reduced: bool) -> Program:
    """Leapfrog steps of positions and velocities (bodies, 3); the masses are parameters."""
    masses = Weights().uniform(config.bodies, low=0.5, high=1.5) / np.float32(config.bodies)
    field = jax.vmap(jax.grad(potential_at), in_axes=(0, None, None))

    def forward(masses: Any, positions: Any, velocities: Any) -> Any:
        def step(_: Any, state: Any) -> Any:
            x, v = state
            v = v - 0.5 * config.time_step * field(x, x, masses)
            x = x + config.time_step * v
            return x, v - 0.5 * config.time_step * field(x, x, masses)

        return jax.lax.fori_loop(0, config.steps, step, (positions, velocities))

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return normals(rng, config.bodies, 3), normals(rng, config.bodies, 3, scale=0.5)

    return Program(forward, masses, draw_inputs, small=reduced)


@dataclass(frozen=True)
class GridConfig:
    """Side of the square grid and unrolled time steps."""

    side: int = 256
    steps: int = 4


def advect(field: Any, velocity: Any, rate: Any) -> Any:
    """Periodic central differences and a Laplacian, written with rolls."""
    dx = (jnp.roll(field, -1, 0) - jnp.roll(field, 1, 0)) / 2
    dy = (jnp.roll(field, -1, 1) - jnp.roll(field, 1, 1)) / 2
    laplacian = (
        jnp.roll(field, 1, 0)
        + jnp.roll(field, -1, 0)
        + jnp.roll(field, 1, 1)
        + jnp.roll(field, -1, 1)
        - 4 * field
    )
    return field - 0.1 * (velocity[0] * dx + velocity[1] * dy) + rate * laplacian


def diffuse(field: Any, conductivity: Any) -> Any:
    """Diffusion with varying conductivity in the interior, written with slices and `.at`."""
    centre = field[1:-1, 1:-1]
    east = conductivity[1:-1, 1:-1] * (field[1:-1, 2:] - centre)
    west = conductivity[1:-1, :-2] * (centre - field[1:-1, :-2])
    south = conductivity[1:-1, 1:-1] * (field[2:, 1:-1] - centre)
    north = conductivity[:-2, 1:-1] * (centre - field[:-2, 1:-1])
    change = east - west + south - north
    return field.at[1:-1, 1:-1].add(0.1 * change)


def build_grid(config: GridConfig, reduced: bool) -> Program:
    """A field (side, side) after alternating steps of advection and diffusion."""
    weights = Weights()
    side = config.side
    parameters = {
        "conductivity": weights.uniform(side, side, low=0.5, high=1.5),
        "rate": weights.uniform(low=0.05, high=0.1),
    }

    def forward(parameters: Any, field: Any, velocity: Any) -> Any:
        for _ in range(config.steps):
            field = advect(field, velocity, parameters["rate"])
            field = diffuse(field, parameters["conductivity"])
        return field

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return images(rng, 1, side, side, 1)[0, :, :, 0], normals(rng, 2, side, side)

    return Program(forward, parameters, draw_inputs, small=reduced)


@dataclass(frozen=True)
class ImplicitConfig:
    """Batch, width of the fixed point, most iterations."""

    batch: int = 16
    width: int = 256
    iterations: int = 40


def build_implicit(config: ImplicitConfig, reduced: bool) -> Program:
    """z = tanh(z W + x U + b) by iteration until the change is small, then a readout."""
    weights = Weights()
    width = config.width
    parameters = {
        "W": weights.kernel(width, width, 0.15),
        "U": weights.kernel(width, width),
        "b": weights.normal(width, scale=0.1),
        "readout": weights.kernel(width, width),
    }

    def forward(parameters: Any, x: Any) -> Any:
        def update(z: Any) -> Any:
            return jnp.tanh(z @ parameters["W"] + x @ parameters["U"] + parameters["b"])

        def is_moving(state: Any) -> Any:
            z, previous, count = state
            return (jnp.max(jnp.abs(z - previous)) > 1e-5) & (count < config.iterations)

        def step(state: Any) -> Any:
            z, _, count = state
            return update(z), z, count + 1

        z, _, count = jax.lax.while_loop(is_moving, step, (update(x), x, 0))
        return z @ parameters["readout"], count

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (normals(rng, config.batch, width),)

    return Program(forward, parameters, draw_inputs, small=reduced)


@dataclass(frozen=True)
class FilterConfig:
    """Image side, and passes of the blur."""

    side: int = 256
    passes: int = 3


def filter_rows(x: Any, taps: Any) -> Any:
    """One 1-D filter (taps,) along the last axis of x (rows, width), as an NCW convolution."""
    out = jax.lax.conv_general_dilated(
        x[:, None, :],
        taps[None, None, :],
        window_strides=(1,),
        padding="SAME",
        dimension_numbers=("NCW", "OIW", "NCW"),
    )
    return out[:, 0, :]


def build_filter(config: FilterConfig, reduced: bool) -> Program:
    """Sharpened image and edge strength (side, side, 3), channel after channel."""
    weights = Weights()
    blur = weights.uniform(5, low=0.5, high=1.5)
    parameters = {
        "blur": blur / np.sum(blur),
        "edge": np.array([-1.0, 0.1, 1.0], np.float32),
        "amount": np.float32(0.7),
    }

    def one_channel(parameters: Any, channel: Any) -> Any:
        def blur_once(_: Any, x: Any) -> Any:
            return filter_rows(filter_rows(x, parameters["blur"]).T, parameters["blur"]).T

        blurred = jax.lax.fori_loop(0, config.passes, blur_once, channel)
        sharp = channel + parameters["amount"] * (channel - blurred)
        across = filter_rows(sharp, parameters["edge"])
        down = filter_rows(sharp.T, parameters["edge"]).T
        return jnp.clip(sharp, -2.0, 2.0), jnp.sqrt(across**2 + down**2 + 1e-6)

    def forward(parameters: Any, image: Any) -> Any:
        results = [one_channel(parameters, image[..., channel]) for channel in range(3)]
        return tuple(jnp.stack(parts, axis=-1) for parts in zip(*results, strict=True))

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (images(rng, 1, config.side, config.side)[0],)

    return Program(forward, parameters, draw_inputs, small=reduced)


WORKLOADS = (
    Workload(
        "nbody",
        3,
        "gravity by vmap(grad) of a potential, 256 bodies, 4 leapfrog steps, f32",
        sized(build_bodies, BodiesConfig(), BodiesConfig(12, 2)),
    ),
    Workload(
        "finite_differences",
        3,
        "advection by rolls and diffusion by slices, 256x256, 4 unrolled steps, f32",
        sized(build_grid, GridConfig(), GridConfig(12, 2)),
    ),
    Workload(
        "implicit_layer",
        3,
        "fixed point by while_loop, batch 16, width 256, at most 40 iterations, f32",
        sized(build_implicit, ImplicitConfig(), ImplicitConfig(3, 16, 20)),
    ),
    Workload(
        "image_filters",
        3,
        "blur (3 passes in a loop), sharpen, edges by NCW convolutions, 256x256x3, f32",
        sized(build_filter, FilterConfig(), FilterConfig(16, 2)),
    ),
)
