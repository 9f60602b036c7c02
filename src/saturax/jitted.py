"""`saturax.jit`: `jax.jit` with an optimiser between tracing and XLA.

The function is wrapped in one `jax.jit`. While JAX traces it for new argument types, the original
is exported to StableHLO, optimised, and called through `jax.export`, so that calls after the first
take JAX's own fast path. Under a transformation (grad, vmap, an outer jit, …) the original is
traced, and what comes out is what the outermost `saturax.jit` optimises.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
import types
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from saturax.errors import SaturaxError
from saturax.inputs import Array
from saturax.jaxlib_compat import is_tracing
from saturax.options import Options
from saturax.pipeline import Optimized, optimize_program
from saturax.report.model import Report
from saturax.report.text import summary
from saturax.run import OnProgress
from saturax.stablehlo import emit_module, import_module, to_portable_artifact

logger = logging.getLogger("saturax")

_CONFIG: Any = jax.config  # its stubs do not know its flags


class SaturaxWarning(UserWarning):
    """A program runs unoptimised, or was optimised with a reservation."""


class Jitted:
    """A function that is optimised and compiled once per combination of argument types.

    It has the methods of `jax.jit`'s result (`lower`, `trace`, `eval_shape`, `clear_cache`), which
    speak of the optimised program. `reports` holds one `Report` for every program so far, `plain`
    is what `jax.jit` itself makes of the function.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        options: Options,
        jit_options: dict[str, Any],
        on_progress: OnProgress,
    ) -> None:
        functools.update_wrapper(self, function)
        self.reports: list[Report] = []
        self._options = options
        self._on_progress = on_progress
        # jax's own stubs lack methods of what jax.jit returns, hence Any.
        self.plain: Any = jax.jit(function, **jit_options)
        without_donation = {k: v for k, v in jit_options.items() if not k.startswith("donate")}
        self._exportable = jax.jit(function, **without_donation)
        self._function = function
        self._name: str = getattr(function, "__name__", type(function).__name__)
        # Concrete arguments of the call in progress; calls of other threads have their own.
        self._call = _Call()

        @functools.wraps(function)
        def optimized(*args: Any, **kwargs: Any) -> Any:
            return self._trace_optimized(args, kwargs)

        self._optimized: Any = jax.jit(optimized, **jit_options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the optimised program."""
        if is_tracing() or _CONFIG.jax_disable_jit:
            return self.plain(*args, **kwargs)
        self._call.arguments = (args, kwargs)
        try:
            return self._optimized(*args, **kwargs)
        finally:
            self._call.arguments = None

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a decorated method: bound to its object, like any function."""
        return self if instance is None else types.MethodType(self, instance)

    def lower(self, *args: Any, **kwargs: Any) -> jax.stages.Lowered:
        """Lower the optimised program for these arguments, as `jax.jit(f).lower` does."""
        self._call.arguments = (args, kwargs)
        try:
            lowered: jax.stages.Lowered = self._optimized.lower(*args, **kwargs)
            return lowered
        finally:
            self._call.arguments = None

    def trace(self, *args: Any, **kwargs: Any) -> jax.stages.Traced:
        """Trace the optimised program for these arguments, as `jax.jit(f).trace` does."""
        traced: jax.stages.Traced = self._optimized.trace(*args, **kwargs)
        return traced

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Shapes and dtypes of the results; nothing is optimised."""
        return self.plain.eval_shape(*args, **kwargs)

    def clear_cache(self) -> None:
        """Forget all compiled programs."""
        self._optimized.clear_cache()
        self.plain.clear_cache()

    @property
    def report(self) -> Report | None:
        """The report of the program that was optimised last; None before the first call."""
        return self.reports[-1] if self.reports else None

    def _trace_optimized(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What JAX traces: the optimised program where there is one, else the function itself."""
        try:
            with jax.ensure_compile_time_eval():
                exported = self._optimize(args, kwargs)
        except Exception as error:  # the promise: whatever happens, the original runs
            result = self._function(*args, **kwargs)  # raises what is the function's own fault
            self._warn(f"could not optimise {self._name}, so it runs as under jax.jit: {error}")
            return result
        if exported is None:
            return self._function(*args, **kwargs)
        dynamic = [x for x in jax.tree.leaves((args, kwargs)) if isinstance(x, jax.core.Tracer)]
        arguments = jax.tree.unflatten(exported.in_tree, dynamic)
        return exported.call(*arguments[0], **arguments[1])

    def _optimize(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> jax.export.Exported | None:
        """Export, optimise and re-pack the program; None if the original is to run."""
        abstract = jax.tree.map(_abstract, (args, kwargs))
        exported = jax.export.export(self._exportable)(*abstract[0], **abstract[1])
        if exported.nr_devices > 1 or exported.ordered_effects or exported.unordered_effects:
            raise SaturaxError("programs with effects or on several devices run unoptimised")
        program = import_module(exported.mlir_module_serialized)
        program = dataclasses.replace(program, module_name=self._name)
        examples = self._examples((args, kwargs), exported)
        result = optimize_program(program, self._options, examples, self._on_progress)
        self._record(result)
        if result.report.outcome != "optimized":
            return None
        serialized = to_portable_artifact(emit_module(result.program))
        return dataclasses.replace(exported, mlir_module_serialized=serialized)

    def _examples(self, traced: Any, exported: jax.export.Exported) -> list[Array] | None:
        """The arguments of the call that caused the tracing, as the module takes them."""
        if self._call.arguments is None:
            return None
        pairs = zip(jax.tree.leaves(traced), jax.tree.leaves(self._call.arguments), strict=False)
        leaves = [given for leaf, given in pairs if isinstance(leaf, jax.core.Tracer)]
        if len(leaves) != len(exported.in_avals) or not all(map(_is_concrete, leaves)):
            return None
        return [
            _as_array(leaves[index], exported.in_avals[index])
            for index in exported.module_kept_var_idx
        ]

    def _record(self, result: Optimized) -> None:
        self.reports.append(result.report)
        logger.info(summary(result.report))
        for warning in result.report.warnings:
            self._warn(warning)

    def _warn(self, text: str) -> None:
        logger.info(text)
        warnings.warn(f"saturax: {text}", SaturaxWarning, stacklevel=3)


def _abstract(leaf: Any) -> Any:
    """An argument without its value where JAX traces it; static arguments stay."""
    if not isinstance(leaf, jax.core.Tracer):
        return leaf
    weak_type = getattr(leaf.aval, "weak_type", False)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=weak_type)


class _Call(threading.local):
    """What a thread is calling a `Jitted` with; None while it is not."""

    arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None


def _as_array(leaf: Any, aval: Any) -> Array:
    """An argument as the module takes it: PRNG keys by their data."""
    if jnp.issubdtype(aval.dtype, jax.dtypes.extended):
        return np.asarray(jax.random.key_data(leaf))
    return np.asarray(leaf).astype(aval.dtype)


def _is_concrete(leaf: Any) -> bool:
    return not isinstance(leaf, jax.ShapeDtypeStruct | jax.core.Tracer)


def jit(
    function: Callable[..., Any] | None = None,
    *,
    options: Options | None = None,
    on_progress: OnProgress = lambda stage, detail: None,
    **jit_options: Any,
) -> Any:
    """Compile a function as `jax.jit` does, after optimising it for this device.

    `jit_options` are `jax.jit`'s own keyword arguments (`static_argnums`, `donate_argnums`, …);
    `options` are saturax's. Usable as a decorator, with or without arguments. Where a program
    cannot be optimised, it runs as under `jax.jit`, and a `SaturaxWarning` says why.

    >>> import jax.numpy as jnp
    >>> f = jit(lambda a, x: (a @ a) @ x, options=Options(time_limit_s=0))
    >>> f(jnp.eye(3), jnp.ones(3)).shape
    (3,)
    """
    settings = Options() if options is None else options
    if function is None:
        return lambda f: Jitted(f, settings, jit_options, on_progress)
    return Jitted(function, settings, jit_options, on_progress)
