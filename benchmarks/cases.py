"""A workload in one of its modes: the function that is timed and the arguments it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .models import Program

MODES = ("arguments", "constants", "frozen", "train")
"""Inference with the weights as arguments, as constants, or frozen, and a training step."""


@dataclass(frozen=True)
class Case:
    """`function(*arguments_of(seed))`; what is compared is `view(outputs)`.

    Of inference, `open` are the function that takes the parameters before its arguments, and
    these parameters. With `is_frozen` saturax freezes them.
    """

    function: Callable[..., Any]
    arguments_of: Callable[[int], tuple[Any, ...]]
    view: Callable[[Any], Any] = lambda outputs: outputs
    open: tuple[Callable[..., Any], Any] | None = None
    is_frozen: bool = False


def case_of(program: Program, mode: str) -> Case | None:
    """The case of a program in a mode; None where a program has no training step.

    Of a training step the loss and the *changes* of the parameters are compared: new parameters
    nearly equal the old ones whatever the gradient is.

    Raises:
        ValueError: an unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"expected a mode of {', '.join(MODES)}, got {mode!r}")
    if mode == "train":
        return _training(program)
    parameters = jax.device_put(program.parameters)
    opened = program.function, parameters
    if mode == "arguments":
        return Case(
            program.function, lambda seed: (parameters, *_inputs(program, seed)), open=opened
        )
    # Not `Program.closed`: functions index weights by traced values, which NumPy's refuse.
    return Case(
        lambda *inputs: program.function(parameters, *inputs),
        lambda seed: _inputs(program, seed),
        open=opened,
        is_frozen=mode == "frozen",
    )


def _training(program: Program) -> Case | None:
    if program.train_step is None:
        return None
    parameters = jax.device_put(program.parameters)

    def arguments_of(seed: int) -> tuple[Any, ...]:
        targets = program.draw_targets(np.random.default_rng(seed + 1))
        return (parameters, *_inputs(program, seed), *jax.device_put(targets))

    def changes(outputs: Any) -> Any:
        loss, new = outputs
        return loss, jax.tree.map(lambda p, q: np.asarray(q) - p, program.parameters, new)

    return Case(program.train_step, arguments_of, changes)


def _inputs(program: Program, seed: int) -> tuple[Any, ...]:
    """Inputs on the device, in the types that JAX gives them."""
    return tuple(jax.device_put(program.inputs_of(seed)))
