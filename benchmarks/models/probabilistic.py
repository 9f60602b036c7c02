"""Statistics: Gaussian-process likelihood, Kalman filters under vmap, a normalising flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Arrays, Program, Workload, sgd, sized
from .transformer import dense
from .weights import Weights, normals


@dataclass(frozen=True)
class ProcessConfig:
    """Observations and their dimension."""

    points: int = 512
    size: int = 8


def squared_distances(x: Any, y: Any) -> Any:
    """|x_i - y_j|^2 for x (n, d) and y (m, d), by differences."""
    return jnp.sum(jnp.square(x[:, None, :] - y[None, :, :]), axis=-1)


def log_likelihood(parameters: Any, x: Any, y: Any) -> Any:
    """Log marginal likelihood of y (n,) at x (n, d) under an RBF kernel with noise.

    Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", algorithm 2.1.
    """
    scaled = x / jnp.exp(parameters["log_length"])
    kernel = jnp.exp(2 * parameters["log_amplitude"] - 0.5 * squared_distances(scaled, scaled))
    noise = jnp.exp(2 * parameters["log_noise"])
    factor = jnp.linalg.cholesky(kernel + noise * jnp.eye(x.shape[0]))
    whitened = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
    log_determinant = 2 * jnp.sum(jnp.log(jnp.diag(factor)))
    return -0.5 * (whitened @ whitened + log_determinant + y.shape[0] * jnp.log(2 * jnp.pi))


def build_process(config: ProcessConfig, reduced: bool) -> Program:
    """The likelihood; training ascends it per observation in the logarithmic parameters."""
    weights = Weights()
    parameters = {
        "log_length": 0.5 + weights.normal(config.size, scale=0.1),
        "log_amplitude": weights.normal(scale=0.1),
        "log_noise": np.float32(-1.5) + weights.normal(scale=0.1),
    }

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        return -log_likelihood(parameters, x, y) / x.shape[0]

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        x = normals(rng, config.points, config.size)
        wave = np.sin(x @ normals(rng, config.size))
        return x, wave + normals(rng, config.points, scale=0.3)

    return Program(log_likelihood, parameters, draw_inputs, sgd(loss), small=reduced)


@dataclass(frozen=True)
class KalmanConfig:
    """Tracks filtered at once, time steps, state and observation sizes."""

    tracks: int = 64
    steps: int = 50
    state: int = 6
    observed: int = 3


def kalman_filter(parameters: Any, mean: Any, observations: Any) -> Any:
    """Filtered means (steps, state) and the log-likelihood of one track (steps, observed)."""
    transition, emission = parameters["transition"], parameters["emission"]
    size = transition.shape[0]

    def step(carry: Any, observation: Any) -> Any:
        mean, covariance = carry
        mean = transition @ mean
        covariance = transition @ covariance @ transition.T + parameters["process_noise"]
        residual = observation - emission @ mean
        innovation = emission @ covariance @ emission.T + parameters["observation_noise"]
        gain = jnp.linalg.solve(innovation, emission @ covariance).T
        mean = mean + gain @ residual
        covariance = (jnp.eye(size) - gain @ emission) @ covariance
        surprise = residual @ jnp.linalg.inv(innovation) @ residual
        log_likelihood = -0.5 * (surprise + jnp.linalg.slogdet(2 * jnp.pi * innovation)[1])
        return (mean, covariance), (mean, log_likelihood)

    start = (mean, jnp.eye(size))
    _, (means, log_likelihoods) = jax.lax.scan(step, start, observations)
    return means, jnp.sum(log_likelihoods)


def build_kalman(config: KalmanConfig, reduced: bool) -> Program:
    """`kalman_filter` under vmap over tracks, one model for all."""
    weights = Weights()
    size, observed = config.state, config.observed
    spread = weights.normal(observed, observed, scale=0.2)
    drift = weights.normal(size, size, scale=0.1)
    parameters = {
        "transition": (0.9 * np.eye(size, dtype=np.float32) + drift),
        "emission": weights.normal(observed, size),
        "process_noise": np.diag(weights.uniform(size, low=0.05, high=0.2)),
        "observation_noise": spread @ spread.T + 0.5 * np.eye(observed, dtype=np.float32),
    }

    def forward(parameters: Any, means: Any, observations: Any) -> Any:
        return jax.vmap(kalman_filter, (None, 0, 0))(parameters, means, observations)

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        observations = normals(rng, config.tracks, config.steps, observed)
        return normals(rng, config.tracks, size), observations

    return Program(forward, parameters, draw_inputs, small=reduced)


@dataclass(frozen=True)
class FlowConfig:
    """Batch, dimension, layers, and hidden width of the coupling networks."""

    batch: int = 128
    size: int = 64
    layers: int = 8
    hidden: int = 128


def flow_log_density(parameters: Any, x: Any) -> Any:
    """Log density (batch,) of x (batch, size): linear maps with log-determinants, couplings.

    Source: Kingma and Dhariwal, "Glow", with a dense matrix for the 1x1 convolution.
    """
    total = jnp.zeros(x.shape[0], x.dtype)
    for layer in parameters:
        x = (x + layer["shift"]) * jnp.exp(layer["log_scale"])
        total = total + jnp.sum(layer["log_scale"])
        x = x @ layer["mix"]
        total = total + jnp.linalg.slogdet(layer["mix"])[1]
        fixed, moved = jnp.split(x, 2, axis=-1)
        hidden = jax.nn.relu(dense(layer["coupling1"], fixed))
        log_scale, shift = jnp.split(dense(layer["coupling2"], hidden), 2, axis=-1)
        log_scale = jnp.tanh(log_scale)
        x = jnp.concatenate([fixed, moved * jnp.exp(log_scale) + shift], axis=-1)
        total = total + jnp.sum(log_scale, axis=-1)
    normal = -0.5 * jnp.sum(jnp.square(x) + jnp.log(2 * jnp.pi), axis=-1)
    return normal + total


def build_flow(config: FlowConfig, reduced: bool) -> Program:
    """The density and its training by maximum likelihood."""
    weights = Weights()
    size, half = config.size, config.size // 2
    parameters = [
        {
            "shift": weights.normal(size, scale=0.1),
            "log_scale": weights.normal(size, scale=0.1),
            "mix": np.linalg.qr(weights.normal(size, size))[0]
            + weights.normal(size, size, scale=0.02),
            "coupling1": weights.dense(half, config.hidden, 2.0),
            "coupling2": weights.dense(config.hidden, size, 0.05),
        }
        for _ in range(config.layers)
    ]

    def loss(parameters: Any, x: Any) -> Any:
        return -jnp.mean(flow_log_density(parameters, x)) / size

    def draw_inputs(rng: np.random.Generator) -> Arrays:
        return (normals(rng, config.batch, size),)

    return Program(flow_log_density, parameters, draw_inputs, sgd(loss), small=reduced)


WORKLOADS = (
    Workload(
        "gaussian_process",
        3,
        "log marginal likelihood by Cholesky, 512 points of dimension 8, RBF kernel, f32; SGD",
        sized(build_process, ProcessConfig(), ProcessConfig(24, 3)),
    ),
    Workload(
        "kalman",
        3,
        "Kalman filter by scan under vmap, 64 tracks, 50 steps, state 6, observed 3, f32",
        sized(build_kalman, KalmanConfig(), KalmanConfig(3, 5, 4, 2)),
    ),
    Workload(
        "normalising_flow",
        3,
        "8 layers of linear map with slogdet and affine coupling, batch 128, size 64, f32; SGD",
        sized(build_flow, FlowConfig(), FlowConfig(4, 8, 2, 8)),
    ),
)
