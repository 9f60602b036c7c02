"""`saturax.jit`: `jax.jit` with an optimiser between tracing and XLA.

For arguments of new types JAX traces and lowers the function as ever, once; the StableHLO module
that it is about to compile is optimised, in its place. Static and donated arguments, shardings,
effects with the callbacks behind them, and the fast path of later calls are therefore JAX's own.
Under a transformation (grad, vmap, an outer jit, …) the original is traced, and what comes out is
what the outermost `saturax.jit` optimises.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import operator
import pickle
import sys
import threading
import time
import types
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax

from saturax.cache.executables import Ahead, compile_once
from saturax.cache.module_memory import ModuleMemory
from saturax.errors import SaturaxError
from saturax.jax_internals import clear_calls, devices_of, examples_of, fast_calls, is_tracing
from saturax.mlir_modules import ModuleError, located_nowhere, module_bytecode, replace_contents
from saturax.options import Options, is_disabled, with_rules
from saturax.report.model import Report, StageReport
from saturax.report.text import summary
from saturax.versions import versions

if TYPE_CHECKING:
    from saturax.run import OnProgress
    from saturax.user_rules import UserRule

logger = logging.getLogger("saturax")

# `jax.jit` has a `device`, too.
_OUR_OPTIONS = {field.name for field in dataclasses.fields(Options)} - {"device"}
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
        self._jit_options = jit_options
        self._compiler_options: dict[str, Any] = jit_options.get("compiler_options") or {}
        self._on_progress = on_progress
        # jax's own stubs lack methods of what jax.jit returns, hence Any.
        self.plain: Any = jax.jit(function, **jit_options)
        self._function = function
        self._name: str = getattr(function, "__name__", type(function).__name__)

        # A function of its own, so that JAX's caches keep its modules apart from those of `plain`.
        @functools.wraps(function)
        def optimized(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        self._optimized: Any = jax.jit(optimized, **jit_options)
        self._fast = fast_calls(self._optimized, self._serve)
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.RLock()

    # A call is a descriptor's work, so that no frame of Python stands before JAX's fast path.
    __call__ = property(operator.attrgetter("_fast"), doc="Call the optimised program.")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a decorated method: bound to its object, like any function."""
        return self if instance is None else types.MethodType(self, instance)

    def __copy__(self) -> Jitted:
        """Itself, as functions are their own copies."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Jitted:
        """Itself, as functions are their own copies."""
        return self

    def __reduce__(self) -> Any:
        """By name, as functions are pickled, or else as what it was made of.

        Programs stay behind: the process that loads it finds them in the cache.

        Raises:
            PicklingError: the function cannot be pickled.
        """
        if _is_found_by_name(self):
            return self.__qualname__  # type: ignore[attr-defined]  # of the function
        made_of = self._function, self._options, self._jit_options
        try:
            pickle.dumps(made_of)
        except Exception as error:
            raise pickle.PicklingError(
                f"cannot pickle {self!r}: {error}; define the function at the top level of a "
                "module, or send the function itself and call saturax.jit where it arrives"
            ) from error
        return _rejitted, made_of

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
        for function in (self._optimized, self.plain):
            function.clear_cache()
        clear_calls(self._fast)

    @property
    def report(self) -> Report | None:
        """The report of the program that was optimised last; None before the first call."""
        return self.reports[-1] if self.reports else None

    def _serve(self, serve: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Serve arguments of new types by the optimised function, or else by the plain one."""
        if is_tracing() or _CONFIG.jax_disable_jit or is_disabled():
            return serve(self.plain, *args, **kwargs)
        ahead = self._ahead(args, kwargs)
        try:
            lowered = self._optimized.lower(*args, **kwargs)  # raises the function's own faults
            module = lowered.compiler_ir("stablehlo")
            with self._lock:
                if module not in self._seen:
                    self._seen.add(module)
                    self._replace(lowered, module, ahead, args, kwargs)
        finally:
            if ahead is not None:
                ahead.wait()
        return serve(self._optimized, *args, **kwargs)

    def _ahead(self, args: Any, kwargs: dict[str, Any]) -> Ahead | None:
        """Begin to load what such a call needed in an earlier process."""
        try:
            about = self._options, self._compiler_options
            return Ahead.of(self._function, args, kwargs, *about)
        except Exception as error:  # then it is loaded when its turn comes
            logger.info("nothing is loaded ahead for %s: %s", self._name, error)
            return None

    def _replace(
        self,
        lowered: jax.stages.Lowered,
        module: Any,
        ahead: Ahead | None,
        args: Any,
        kwargs: dict[str, Any],
    ) -> None:
        """Optimise what JAX has lowered, in its place; whatever happens, the original can run."""
        original = module_bytecode(module)
        is_interrupted = False
        try:
            memory = self._memory(lowered, module, original)
            report = self._recall(module, memory, ahead)
            if report is None:
                report, is_interrupted = self._optimize(
                    lowered, module, original, memory, args, kwargs
                )
            if not is_interrupted:
                _compile(lowered, report, memory, ahead)
        except Exception as error:  # the promise: whatever happens, the original runs
            replace_contents(module, original)
            is_ours = isinstance(error, SaturaxError)
            self._decline(str(error) if is_ours else f"{type(error).__name__}: {error}")
            return
        except BaseException:  # Ctrl-C: the module is JAX's and must stay whole
            replace_contents(module, original)
            raise
        if is_interrupted:  # by whoever runs the program, and means all of it
            self.reports.append(report)
            logger.info(summary(report))
            raise KeyboardInterrupt
        self._record(report)

    def _memory(
        self, lowered: jax.stages.Lowered, module: Any, original: bytes
    ) -> ModuleMemory | None:
        """Where the cache has what became of the module; None if it is not kept."""
        if self._options.time_limit_s == 0:
            return None
        try:
            bytecode = located_nowhere(original, module.context)
        except ModuleError:  # then the program is found by what it computes
            return None
        devices = devices_of(lowered)
        return ModuleMemory.of(bytecode, self._options, devices, self._compiler_options)

    def _recall(
        self, module: Any, memory: ModuleMemory | None, ahead: Ahead | None
    ) -> Report | None:
        """Make of the module what became of the same one before, if that is known."""
        start = time.monotonic()
        found = None if memory is None else memory.find(ahead)
        if found is None:
            return None
        report, entry = found
        if (bytecode := entry.blobs.get("module")) is not None:
            replace_contents(module, bytecode)
        stages = [StageReport("recall", time.monotonic() - start)]
        return dataclasses.replace(report, program=self._name, stages=stages)

    def _optimize(
        self,
        lowered: jax.stages.Lowered,
        module: Any,
        original: bytes,
        memory: ModuleMemory | None,
        args: Any,
        kwargs: dict[str, Any],
    ) -> tuple[Report, bool]:
        """Make the optimised program of the module, if there is a better one.

        The report, and whether Ctrl-C ended the search.
        """
        # Importing the optimiser takes longer than a hit of the cache, which does without it.
        from saturax.pipeline import optimize_program
        from saturax.stablehlo import emit_module, import_module

        program = import_module(module)
        examples = examples_of(lowered, self._optimized, args, kwargs)
        result = optimize_program(
            dataclasses.replace(program, module_name=self._name),
            self._options,
            examples,
            self._on_progress,
            devices=devices_of(lowered),
            compiler_options=self._compiler_options,
            source=original,
        )
        bytecode = None
        if result.report.outcome == "optimized":
            named = dataclasses.replace(result.program, module_name=program.module_name)
            bytecode = module_bytecode(emit_module(named))
            replace_contents(module, bytecode)
        if memory is not None and result.is_remembered:
            memory.keep(result.report, {} if bytecode is None else {"module": bytecode})
        return result.report, result.is_interrupted

    def _record(self, report: Report) -> None:
        self.reports.append(report)
        logger.info(summary(report))
        for warning in report.warnings:
            self._warn(warning)

    def _decline(self, reason: str) -> None:
        """Report a program that is not optimised at all; each reason once."""
        if reason not in (report.reason for report in self.reports):
            self.reports.append(Report(self._name, reason=reason, versions=versions()))
            self._warn(f"could not optimise {self._name}, so it runs as under jax.jit: {reason}")

    def _warn(self, text: str) -> None:
        logger.info(text)
        warnings.warn(f"saturax: {text}", SaturaxWarning, stacklevel=depth_of_caller())


def _compile(
    lowered: jax.stages.Lowered, report: Report, memory: ModuleMemory | None, ahead: Ahead | None
) -> None:
    """Compile what is to run; JAX keeps what this makes for the calls."""
    if memory is not None:
        compile_once(lowered, memory, ahead)
    elif report.outcome == "optimized":
        lowered.compile()
    if ahead is not None and memory is not None:
        ahead.note(memory)


def _is_found_by_name(jitted: Jitted) -> bool:
    """Whether its function's name leads to it, as when it was decorated."""
    found: Any = sys.modules.get(getattr(jitted, "__module__", ""))
    for name in getattr(jitted, "__qualname__", "<locals>").split("."):
        found = getattr(found, name, None)
    return found is jitted


def _rejitted(
    function: Callable[..., Any], options: Options, jit_options: dict[str, Any]
) -> Jitted:
    """What was pickled, without the programs and the display of progress."""
    return Jitted(function, options, jit_options, _show_nothing)


def _show_nothing(stage: str, detail: str) -> None:
    """Show no progress."""


def _lower(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function.lower(*args, **kwargs)


def _trace(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function.trace(*args, **kwargs)


def depth_of_caller() -> int:
    """How many frames up, seen from who asks, the code stands that called into saturax or JAX."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in ("saturax", "jax", "jaxlib", "contextlib", "functools"):
            break
        frame, depth = frame.f_back, depth + 1
    return depth


def jit(
    function: Callable[..., Any] | None = None,
    *,
    options: Options | None = None,
    rules: Sequence[UserRule] = (),
    on_progress: OnProgress = _show_nothing,
    **jit_options: Any,
) -> Any:
    """Compile a function as `jax.jit` does, after optimising it for this device.

    `jit_options` are `jax.jit`'s own keyword arguments (`static_argnums`, `donate_argnums`, …);
    `options` are saturax's; `rules` are rules of your own (`saturax.rule`). Usable as a decorator,
    with or without arguments. Where a program cannot be optimised, it runs as under `jax.jit`, and
    a `SaturaxWarning` says why. Ctrl-C during a search raises `KeyboardInterrupt`, as anywhere in
    the program; later calls run what had been found by then.

    Raises:
        TypeError: an option of saturax's that is not in `options`.

    >>> import jax.numpy as jnp
    >>> f = jit(lambda a, x: (a @ a) @ x, options=Options(time_limit_s=0))
    >>> f(jnp.eye(3), jnp.ones(3)).shape
    (3,)
    """
    for name in jit_options:
        if name in _OUR_OPTIONS:
            raise TypeError(f"{name} goes into options: options=saturax.Options({name}=...)")
    settings = with_rules(options, rules)
    if function is None:
        return lambda f: Jitted(f, settings, jit_options, on_progress)
    return Jitted(function, settings, jit_options, on_progress)
