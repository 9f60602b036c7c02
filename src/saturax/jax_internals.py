"""The one place that touches JAX's own tracing, lowering and dispatch below its public functions.
Written against jax 0.10 and 0.11; when a release moves these few names, this file is what changes.
What is below JAX, in jaxlib, is in `jaxlib_compat.py`."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import core as jax_core
from jax._src import tree_util as jax_tree_util
from jax.extend.mlir import ir

from saturax.errors import OptionsError
from saturax.jaxlib_compat import asked_for

logger = logging.getLogger("saturax")

# JAX's own function through which every module reaches XLA, and how its parameters begin.
_COMPILE = "compile_or_get_cached"
_COMPILE_PARAMETERS = (
    "computation", "devices", "compile_options", "host_callbacks", "executable_devices",
)  # fmt: skip


@dataclass(frozen=True)
class Compilation:
    """What JAX asks XLA for: `options` are XLA's, `callbacks` the host's that the module calls."""

    module: ir.Module
    devices: Any
    options: Any
    callbacks: Sequence[Any]


class Provider(Protocol):
    """Knows executables that need not be compiled."""

    def find(self, asked: Compilation) -> Any:
        """The loaded executable; None where XLA is to compile as ever."""

    def keep(self, asked: Compilation, executable: Any) -> None:
        """Take note of what XLA has compiled in this process."""


# What is compiled instead of a module with these `compiler_options`, and who may have the
# executable of that.
Replacement = Callable[
    [ir.Module, tuple[jax.Device, ...], Mapping[str, Any]], tuple[ir.Module, Provider | None]
]


class _Hook:
    """Our place between JAX and XLA, which is there only while somebody uses it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._original: Any = None
        self._users = 0
        self._replacements: list[Replacement] = []
        self.of_thread = threading.local()

    def use(self, replacement: Replacement | None = None) -> Callable[[], None]:
        """Be there until the function that is returned has been called."""
        with self._lock:
            if self._users == 0:
                self._put_in_place()
            self._users += 1
            if replacement is not None:
                self._replacements.insert(0, replacement)
        is_used = True

        def undo() -> None:
            nonlocal is_used
            with self._lock:
                if not is_used:
                    return
                is_used = False
                self._users -= 1
                if replacement is not None:
                    self._replacements.remove(replacement)
                if self._users == 0:
                    self._leave()

        return undo

    def _put_in_place(self) -> None:
        from jax._src import compiler

        original = getattr(compiler, _COMPILE, None)
        names = () if original is None else tuple(inspect.signature(original).parameters)
        if original is None or names[1:6] != _COMPILE_PARAMETERS:
            raise OptionsError(
                f"jax {jax.__version__} cannot be hooked: expected a compile_or_get_cached(backend,"
                f" {', '.join(_COMPILE_PARAMETERS)}, …), found {names}; use saturax.jit instead"
            )

        @functools.wraps(original)
        def hooked(
            backend: Any,
            computation: ir.Module,
            devices: Any,
            options: Any,
            callbacks: Any,
            executable_devices: Any,
            *rest: Any,
            **named: Any,
        ) -> Any:
            def compiled(module: ir.Module) -> Any:
                fixed = backend, module, devices, options, callbacks, executable_devices
                return original(*fixed, *rest, **named)

            provider: Provider | None = None
            all_devices, asked_of_xla = tuple(np.asarray(devices).reshape(-1)), asked_for(options)
            for replacement in tuple(self._replacements):
                computation, provider = replacement(computation, all_devices, asked_of_xla)
            provider = provider or getattr(self.of_thread, "provider", None)
            if provider is None:
                return compiled(computation)
            asked = Compilation(computation, executable_devices, options, callbacks)
            return _provided(provider, asked, lambda: compiled(computation))

        self._original, self._hooked = original, hooked
        setattr(compiler, _COMPILE, hooked)

    def _leave(self) -> None:
        from jax._src import compiler

        if getattr(compiler, _COMPILE) is self._hooked:
            setattr(compiler, _COMPILE, self._original)


_hook = _Hook()


def _provided(provider: Provider, asked: Compilation, compile: Callable[[], Any]) -> Any:
    """An executable of a provider, or else of XLA: whatever the provider does."""
    try:
        executable = provider.find(asked)
    except Exception as error:
        logger.info("an executable was not looked for: %r", error)
        return compile()
    if executable is None:
        loaded = _LOADED.count()
        executable = compile()
        if _LOADED.count() > loaded:
            return executable
        try:
            provider.keep(asked, executable)
        except Exception as error:
            logger.info("an executable was not kept: %r", error)
    return executable


class _Loaded:
    """Counts what JAX takes from its own compilation cache.

    XLA's CPU compiler does not write again what it has loaded: the functions are left out, which
    shows only when what was read of that is run. So such executables must not be kept.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._lock, self._is_listening = threading.Lock(), False

    def _note(self, event: str, **about: Any) -> None:
        if event == _LOADED_EVENT:
            self._of_thread.count = getattr(self._of_thread, "count", 0) + 1

    def count(self) -> int:
        """How many this thread has loaded since it was first asked."""
        with self._lock:
            if not self._is_listening:
                jax.monitoring.register_event_listener(self._note)
                self._is_listening = True
        return getattr(self._of_thread, "count", 0)


_LOADED_EVENT = "/jax/compilation_cache/cache_hits"
_LOADED = _Loaded()


def hook_compilation(replacement: Replacement) -> Callable[[], None]:
    """Let `replacement(module, devices, compiler_options)` choose what XLA compiles for each module
    of JAX, and a provider that is asked for it first.

    Returns the function that undoes it. There is no public place for this.

    Raises:
        OptionsError: this JAX has moved the function through which modules reach XLA.
    """
    return _hook.use(replacement)


@contextmanager
def provided(provider: Provider) -> Iterator[None]:
    """A block in which `provider` is asked, in this thread, for what XLA would compile.

    It is not asked where this JAX has moved the function that modules reach XLA through.
    """
    try:
        undo = _hook.use()
    except OptionsError:
        yield
        return
    before = getattr(_hook.of_thread, "provider", None)
    _hook.of_thread.provider = provider
    try:
        yield
    finally:
        _hook.of_thread.provider = before
        undo()


def is_provided() -> bool:
    """Whether this thread is in a block of `provided`: what it compiles is saturax's own."""
    return getattr(_hook.of_thread, "provider", None) is not None


def fast_calls(jitted: Any, on_miss: Callable[..., Any]) -> Callable[..., Any]:
    """Calls of a `jax.jit` function that leave new argument types to `on_miss`.

    Where the types were seen before, JAX's compiled fast path runs and no Python. Otherwise, and
    always inside a transformation, `on_miss(serve, *args, **kwargs)` has to return
    `serve(chosen, *args, **kwargs)`, where `chosen` is what `jax.jit` made of this function or of
    another; it is taken for these types from then on. A JAX without the private names that this
    needs asks `on_miss` at every call, which is slower and else the same.
    """
    try:
        return _compiled_calls(
            jitted,
            functools.partial(on_miss, lambda chosen, *args, **kw: chosen._cache_miss(*args, **kw)),
        )
    except (ImportError, AttributeError, TypeError):
        return functools.partial(on_miss, lambda chosen, *args, **kw: chosen(*args, **kw))


def fast_calls_after(
    function: Callable[..., Any], choose: Callable[[Any, Any], tuple[Any, Sequence[Any]] | None]
) -> Callable[..., Any]:
    """Calls that run a `jax.jit` function of (values, args, kwargs), with values that are held.

    For new argument types, and always inside a transformation, `choose(args, kwargs)` returns that
    function and the values, or None where `function(*args, **kwargs)` is to be called. Later calls
    take JAX's compiled fast path, to which the values are constants that it passes as arguments.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        chosen = choose(args, kwargs)
        return function(*args, **kwargs) if chosen is None else chosen[0](chosen[1], args, kwargs)

    def miss(*args: Any, **kwargs: Any) -> Any:
        chosen = choose(args, kwargs)
        if chosen is None:
            return function(*args, **kwargs), None, False
        jitted, held = chosen
        if any(jnp.issubdtype(value.dtype, jax.dtypes.extended) for value in held):
            return jitted(held, args, kwargs), None, False
        results, data, is_stale = jitted._cache_miss(held, args, kwargs)
        if data is not None:
            data = data._replace(const_args=[*data.const_args, *held])
        return results, data, is_stale

    try:
        return _compiled_calls(jax.jit(lambda *args, **kwargs: function(*args, **kwargs)), miss)
    except (ImportError, AttributeError, TypeError):
        return call


def _compiled_calls(jitted: Any, miss: Callable[..., Any]) -> Callable[..., Any]:
    """JAX's compiled dispatch with another way to serve argument types that it has not seen."""
    from jax._src import pjit
    from jax._src.interpreters import pxla
    from jax._src.lib import _jax  # type: ignore[attr-defined]

    # JAX's own cache, so that jax.clear_caches empties it; the key keeps our entries apart.
    fast: Callable[..., Any] = _jax.pjit(
        getattr(jitted, "__name__", "function"),
        jitted._fun,
        miss,
        jitted._jit_info.static_argnums,
        jitted._jit_info.static_argnames,
        "saturax",
        jax_tree_util.dispatch_registry,
        pxla.cc_shard_arg,
        pjit._get_cpp_global_cache(True),
    )
    # What JAX runs step by step where it is to look for NaN and finds one in a result.
    fast._fun = jitted._fun  # type: ignore[attr-defined]
    return fast


def clear_calls(calls: Callable[..., Any]) -> None:
    """Let a callable of `fast_calls` forget the types that it has seen."""
    getattr(calls, "_clear_cache", lambda: None)()


_trace_state_clean: Callable[[], bool] = getattr(jax_core, "trace_state_clean", lambda: False)


def is_tracing() -> bool:
    """Whether JAX is inside a transformation (jit, grad, vmap, …) in this thread.

    There is no public way to ask; a JAX without this one counts as tracing, which is always safe.
    """
    return not _trace_state_clean()


def examples_of(
    lowered: jax.stages.Lowered, jitted: Any, args: Any, kwargs: Any
) -> list[Any] | None:
    """`arguments_of`, or None: some are abstract, or other processes have parts of them."""
    try:
        return arguments_of(lowered, jitted, args, kwargs)
    except Exception:  # whatever becomes of JAX's internals, examples can be done without
        return None


def arguments_of(lowered: jax.stages.Lowered, jitted: Any, args: Any, kwargs: Any) -> list[Any]:
    """The values of `jitted(*args, **kwargs)` in the order in which its lowered module takes them.

    Static and unused arguments are left out, and constants that JAX passes as arguments come first.

    Raises:
        ValueError: they are not known, or are not what was lowered.
    """
    lowering, info = getattr(lowered, "_lowering", None), getattr(jitted, "_jit_info", None)
    kept = getattr(lowering, "compile_args", {}).get("kept_var_idx")
    if info is None or kept is None:
        raise ValueError("this JAX does not tell which arguments its module takes")
    static = {number % max(1, len(args)) for number in info.static_argnums}
    dynamic = [value for number, value in enumerate(args) if number not in static]
    named = {name: kwargs[name] for name in kwargs if name not in info.static_argnames}
    expected: Any = lowered.in_tree
    leaves, structure = jax.tree.flatten((tuple(dynamic), named))
    if structure != expected:
        raise ValueError(f"expected arguments of structure {expected}, got {structure}")
    constants = [np.asarray(value) for value in getattr(lowering, "const_args", ())]
    infos = jax.tree.leaves(lowered.args_info)
    return [*constants, *(_data(leaves[i], infos[i].dtype) for i in sorted(kept))]


def _data(value: Any, dtype: Any) -> Any:
    """An argument as the module takes it: PRNG keys by their data."""
    if isinstance(value, jax.ShapeDtypeStruct):
        raise ValueError("an argument has no value")
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return np.asarray(jax.random.key_data(value))
    return np.asarray(value).astype(dtype, copy=False)


def devices_of(lowered: jax.stages.Lowered) -> tuple[jax.Device, ...]:
    """The devices that a program was lowered for, in the order of its partitions; () if unknown."""
    devices = getattr(getattr(lowered, "_lowering", None), "_device_list", None)
    return () if devices is None else tuple(devices)
