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
import operator
import sys
import threading
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from saturax.errors import SaturaxError
from saturax.inputs import Array
from saturax.jaxlib_compat import clear_calls, fast_calls, is_tracing
from saturax.options import Options, is_disabled, with_rules
from saturax.pipeline import Optimized, optimize_program
from saturax.report.model import Report
from saturax.report.text import summary
from saturax.run import OnProgress
from saturax.stablehlo import emit_module, import_module, to_portable_artifact
from saturax.user_rules import UserRule
from saturax.versions import versions

logger = logging.getLogger("saturax")

_CONFIG: Any = jax.config  # its stubs do not know its flags


_EFFECTS = "it has effects, such as calls back into Python, which must not be repeated to time it"
_SEVERAL_DEVICES = "it runs on several devices, where saturax does not measure yet"


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
        self._exportable: Any = jax.jit(function, **without_donation)
        self._function = function
        self._name: str = getattr(function, "__name__", type(function).__name__)
        # Concrete arguments of the call in progress; calls of other threads have their own.
        self._call = _Call()

        @functools.wraps(function)
        def optimized(*args: Any, **kwargs: Any) -> Any:
            return self._trace_optimized(args, kwargs)

        self._optimized: Any = jax.jit(optimized, **jit_options)
        self._fast = fast_calls(self._optimized, self._serve)

    # A call is a descriptor's work, so that no frame of Python stands before JAX's fast path.
    __call__ = property(operator.attrgetter("_fast"), doc="Call the optimised program.")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a decorated method: bound to its object, like any function."""
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<saturax.jit of {self._function!r}>"

    def lower(self, *args: Any, **kwargs: Any) -> jax.stages.Lowered:
        """Lower the optimised program for these arguments, as `jax.jit(f).lower` does."""
        lowered: jax.stages.Lowered = self._serve(_lower, *args, **kwargs)
        return lowered

    def trace(self, *args: Any, **kwargs: Any) -> jax.stages.Traced:
        """Trace the optimised program for these arguments, as `jax.jit(f).trace` does."""
        traced: jax.stages.Traced = self._serve(_trace, *args, **kwargs)
        return traced

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Shapes and dtypes of the results; nothing is optimised."""
        return self.plain.eval_shape(*args, **kwargs)

    def clear_cache(self) -> None:
        """Forget all compiled programs."""
        for function in (self._optimized, self.plain, self._exportable):
            function.clear_cache()
        clear_calls(self._fast)

    @property
    def report(self) -> Report | None:
        """The report of the program that was optimised last; None before the first call."""
        return self.reports[-1] if self.reports else None

    def _serve(self, serve: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Serve arguments of new types by the optimised function, or else by the plain one."""
        if is_tracing() or _CONFIG.jax_disable_jit:
            return serve(self.plain, *args, **kwargs)
        if _device_count((args, kwargs)) > 1:
            self._decline(_SEVERAL_DEVICES)
            return serve(self.plain, *args, **kwargs)
        self._call.arguments = (args, kwargs)
        try:
            return serve(self._optimized, *args, **kwargs)
        finally:
            self._call.arguments = None

    def _trace_optimized(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What JAX traces: the optimised program where there is one, else the function itself."""
        if is_disabled() or _CONFIG.jax_disable_jit:
            return self._function(*args, **kwargs)
        exported, reason = None, ""
        try:
            with jax.ensure_compile_time_eval():
                exported = self._optimize(args, kwargs)
        except SaturaxError as error:
            reason = str(error)
        except Exception as error:  # the promise: whatever happens, the original runs
            reason = f"{type(error).__name__}: {error}"
        if exported is None:
            result = self._function(*args, **kwargs)  # raises what is the function's own fault
            if reason:
                self._decline(reason)
            return result
        dynamic = [x for x in jax.tree.leaves((args, kwargs)) if isinstance(x, jax.core.Tracer)]
        arguments = jax.tree.unflatten(exported.in_tree, dynamic)
        return exported.call(*arguments[0], **arguments[1])

    def _optimize(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> jax.export.Exported | None:
        """Export, optimise and re-pack the program; None if the original is to run."""
        abstract = jax.tree.map(_abstract, (args, kwargs))
        try:
            exported = jax.export.export(self._exportable)(*abstract[0], **abstract[1])
        except NotImplementedError as error:
            if "callback" not in str(error):
                raise
            raise SaturaxError(_EFFECTS) from error  # what JAX cannot export
        if exported.nr_devices > 1:
            raise SaturaxError(_SEVERAL_DEVICES)
        if exported.ordered_effects or exported.unordered_effects:
            raise SaturaxError(_EFFECTS)
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

    def _decline(self, reason: str) -> None:
        """Report a program that is not optimised at all; each reason once."""
        if reason not in (report.reason for report in self.reports):
            self.reports.append(Report(self._name, reason=reason, versions=versions()))
            self._warn(f"could not optimise {self._name}, so it runs as under jax.jit: {reason}")

    def _warn(self, text: str) -> None:
        logger.info(text)
        warnings.warn(f"saturax: {text}", SaturaxWarning, stacklevel=_depth_of_caller())


def _lower(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function.lower(*args, **kwargs)


def _trace(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function.trace(*args, **kwargs)


def _depth_of_caller() -> int:
    """How many frames up, seen from who asks, the code stands that called into saturax or JAX."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in ("saturax", "jax", "jaxlib", "contextlib", "functools"):
            break
        frame, depth = frame.f_back, depth + 1
    return depth


def _device_count(arguments: Any) -> int:
    """On how many devices the arguments lie that lie on most."""
    shardings = (getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(arguments))
    return max(
        (len(s.device_set) for s in shardings if isinstance(s, jax.sharding.Sharding)), default=1
    )


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
    rules: Sequence[UserRule] = (),
    on_progress: OnProgress = lambda stage, detail: None,
    **jit_options: Any,
) -> Any:
    """Compile a function as `jax.jit` does, after optimising it for this device.

    `jit_options` are `jax.jit`'s own keyword arguments (`static_argnums`, `donate_argnums`, …);
    `options` are saturax's; `rules` are rules of your own (`saturax.rule`). Usable as a decorator,
    with or without arguments. Where a program cannot be optimised, it runs as under `jax.jit`, and
    a `SaturaxWarning` says why.

    >>> import jax.numpy as jnp
    >>> f = jit(lambda a, x: (a @ a) @ x, options=Options(time_limit_s=0))
    >>> f(jnp.eye(3), jnp.ones(3)).shape
    (3,)
    """
    settings = with_rules(options, rules)
    if function is None:
        return lambda f: Jitted(f, settings, jit_options, on_progress)
    return Jitted(function, settings, jit_options, on_progress)
