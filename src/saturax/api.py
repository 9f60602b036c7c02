"""`saturax.optimize` for functions and modules, without running the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from saturax.checking.inputs import Array, check_examples
from saturax.jax_internals import devices_of, examples_of
from saturax.jitted import Jitted
from saturax.options import Options, with_rules
from saturax.pipeline import Optimized, optimize_program
from saturax.run import OnProgress
from saturax.stablehlo import import_module
from saturax.user_rules import UserRule


def _quiet(stage: str, detail: str) -> None:
    """Show no progress."""


def optimize(
    function: Callable[..., Any],
    *args: Any,
    options: Options | None = None,
    rules: Sequence[UserRule] = (),
    on_progress: OnProgress = _quiet,
    **kwargs: Any,
) -> Optimized:
    """Optimise a JAX function for arguments like these; return the program and its `Report`.

    The result is to be looked at or handed on: its `report` says what was done, `to_stablehlo()`
    gives the program as text. To call the optimised function, use `saturax.jit`. Ctrl-C ends the
    search, and the best program confirmed by then is the result (`is_interrupted` says so).
    Arguments may be arrays, whose values then serve as inputs for checking and timing, or
    `jax.ShapeDtypeStruct`s. Static arguments are what `jax.jit` of the function says they are.
    `rules` are rules of your own (`saturax.rule`).
    """
    if isinstance(function, Jitted):
        function = function.plain
    # Unused arguments stay, so that the program's inputs are the arguments, one by one.
    jitted: Any = function if hasattr(function, "lower") else jax.jit(function, keep_unused=True)
    lowered = jitted.lower(*args, **kwargs)
    module = lowered.compiler_ir("stablehlo")
    program = import_module(module)
    name = getattr(function, "__name__", "function")
    examples = examples_of(lowered, jitted, args, kwargs)
    program = dataclasses.replace(program, module_name=name)
    devices = devices_of(lowered)
    return optimize_program(
        program, with_rules(options, rules), examples, on_progress, devices=devices, source=module
    )


def optimize_module(
    source: Any,
    *,
    options: Options | None = None,
    rules: Sequence[UserRule] = (),
    examples: Sequence[Array] | None = None,
    on_progress: OnProgress = _quiet,
) -> Optimized:
    """Optimise a StableHLO module: MLIR module, text, bytecode or portable artifact.

    `examples` are inputs, in the order of the module's, that it will really see; `rules` are rules
    of your own (`saturax.rule`).

    Raises:
        ImportFailure: the source cannot be represented.
        OptionsError: the examples do not fit the module's inputs.
    """
    program = import_module(source)
    if examples is not None:
        examples = check_examples(examples, program.graph.inputs)  # type: ignore[arg-type]
    return optimize_program(
        program, with_rules(options, rules), examples, on_progress, source=source
    )
