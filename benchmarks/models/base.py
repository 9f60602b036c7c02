"""What a workload is: a name, a stated configuration, and a builder of a runnable program.

A `Workload` costs nothing to list; `Workload.build` imports what it needs and returns a `Program`:
a pure function, its random weights (fixed seed), and a way to draw inputs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Arrays = tuple[Any, ...]
"""Positional arguments of a program: arrays, in order."""

Draw = Callable[[np.random.Generator], Arrays]
"""Draws arguments from a random generator; equal generators give equal arguments."""

Config = TypeVar("Config")


def _no_targets(_: np.random.Generator) -> Arrays:
    return ()


@dataclass(frozen=True)
class Program:
    """A function with its weights, inputs and (for those that train) a training step.

    Attributes:
        function: `function(parameters, *inputs) -> outputs`, inference with weights as arguments.
        parameters: pytree of arrays, random from a fixed seed, scaled so that outputs vary.
        draw_inputs: draws the inputs of `function`.
        train_step: `train_step(parameters, *inputs, *targets) -> (loss, new parameters)` or None.
        draw_targets: draws the arguments that only `train_step` takes, after the inputs.
        small: True for the reduced configuration that tests use.
    """

    function: Callable[..., Any]
    parameters: Any
    draw_inputs: Draw
    train_step: Callable[..., Any] | None = None
    draw_targets: Draw = _no_targets
    small: bool = False

    @cached_property
    def inputs(self) -> Arrays:
        """The inputs of seed 0."""
        return self.inputs_of(0)

    @cached_property
    def train_inputs(self) -> Arrays:
        """The arguments of `train_step` after the parameters: the inputs, then the targets."""
        return self.inputs + self.draw_targets(np.random.default_rng(1))

    def inputs_of(self, seed: int) -> Arrays:
        """Other inputs of the same types, drawn from `seed`."""
        return self.draw_inputs(np.random.default_rng(seed))

    def batched(self, count: int) -> Program:
        """The inference of `count` inputs at once, by vmap over the inputs alone."""

        def function(parameters: Any, *inputs: Any) -> Any:
            return jax.vmap(lambda *each: self.function(parameters, *each))(*inputs)

        def draw_inputs(rng: np.random.Generator) -> Arrays:
            drawn = [self.draw_inputs(rng) for _ in range(count)]
            return tuple(np.stack(each) for each in zip(*drawn, strict=True))

        return Program(function, self.parameters, draw_inputs, small=self.small)

    def closed(self) -> Callable[..., Any]:
        """`lambda *inputs: function(parameters, *inputs)`: the weights as constants."""
        return lambda *inputs: self.function(self.parameters, *inputs)


@dataclass(frozen=True)
class Workload:
    """A named workload with a stated configuration.

    Attributes:
        name: unique; what `workloads(names=...)` selects by.
        set: 1 the OOPSLA 2025 study's, 2 TENSAT's and TASO's, 3 what users write.
        configuration: sizes, dtypes and layout, in words.
        builder: `builder(reduced)` returns the program, small when `reduced`.
        requires: packages outside saturax's own dependencies, by import name.
        x64: whether 64-bit types must be enabled while building, tracing and running.
    """

    name: str
    set: int
    configuration: str
    builder: Callable[[bool], Program]
    requires: tuple[str, ...] = ()
    x64: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The required packages that are not installed here."""
        return tuple(p for p in self.requires if importlib.util.find_spec(p) is None)

    def context(self) -> AbstractContextManager[Any]:
        """Sets 64-bit types on or off; build, trace, compile and run inside it."""
        switch: AbstractContextManager[Any] = jax.enable_x64(self.x64)
        return switch

    def build(self, reduced: bool = False) -> Program:
        """Builds the program, with the same structure and small sizes when `reduced`.

        Raises:
            ModuleNotFoundError: a required package is missing; the text names the remedy.
        """
        if self.missing:
            names = ", ".join(self.missing)
            raise ModuleNotFoundError(
                f"workload {self.name!r} needs {names}, not installed here: "
                "install the benchmark extra, or leave this workload out."
            )
        with self.context():
            return self.builder(reduced)


def sized(
    build: Callable[[Config, bool], Program], full: Config, reduced: Config
) -> Callable[[bool], Program]:
    """A builder that passes the full or the reduced configuration (and which of both) on."""
    return lambda is_reduced: build(reduced if is_reduced else full, is_reduced)


def sgd(loss: Callable[..., Any], rate: float = 0.01) -> Callable[..., Any]:
    """The training step `(parameters, *data) -> (loss, parameters - rate * gradient)`."""

    def train_step(parameters: Any, *data: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(parameters, *data)
        return value, jax.tree.map(lambda p, g: p - rate * g, parameters, gradient)

    return train_step


def adam(
    loss: Callable[..., Any], rate: float = 1e-3, first: float = 0.9, second: float = 0.999
) -> Callable[..., Any]:
    """Adam's training step on parameters `{"weights", "mean", "square", "count"}`.

    `loss(weights, *data)` sees the weights alone; `with_adam_state` makes the parameters.
    """

    def train_step(parameters: Any, *data: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(parameters["weights"], *data)
        count = parameters["count"] + 1

        def moment(decay: float, old: Any, new: Any) -> Any:
            return jax.tree.map(lambda m, g: decay * m + (1 - decay) * g, old, new)

        mean = moment(first, parameters["mean"], gradient)
        square = moment(second, parameters["square"], jax.tree.map(jnp.square, gradient))
        mean_scale = 1 / (1 - first**count)
        square_scale = 1 / (1 - second**count)

        def update(weight: Any, m: Any, s: Any) -> Any:
            return weight - rate * (m * mean_scale) / (jnp.sqrt(s * square_scale) + 1e-8)

        weights = jax.tree.map(update, parameters["weights"], mean, square)
        return value, {"weights": weights, "mean": mean, "square": square, "count": count}

    return train_step


def with_adam_state(weights: Any) -> dict[str, Any]:
    """The parameters that `adam` updates, in the middle of training: non-zero moments."""
    rng = np.random.default_rng(2)

    def noise(w: Any) -> Any:
        return rng.standard_normal(np.shape(w), dtype=np.float32) * np.float32(1e-3)

    mean = jax.tree.map(noise, weights)
    square = jax.tree.map(lambda w: np.square(noise(w)) + np.float32(1e-6), weights)
    return {"weights": weights, "mean": mean, "square": square, "count": np.float32(100.0)}


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean negative log-likelihood of integer `labels` (...) under `logits` (..., classes)."""
    log_probability = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.mean(jnp.take_along_axis(log_probability, labels[..., None], axis=-1))
