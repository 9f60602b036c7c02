"""What XLA made of a module, kept beside it: the next process loads it instead of compiling.

An executable is loaded only where all is equal that it was compiled for: besides the key of its
entry (the module, the kind of device, versions, flags) the options that JAX gives to XLA, the
device itself and the processor's instruction sets. JAX's own compilation cache is off by default;
where it is on, it has these executables too, and those that come from it are left to it.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jax

from saturax.cache.circumstances import circumstances, is_kept, key_digest, known_versions
from saturax.cache.module_memory import ModuleMemory
from saturax.cache.store import Entry, ProgramCache, folder_of
from saturax.jax_internals import Compilation, Provider, provided
from saturax.jaxlib_compat import load_executable
from saturax.mlir_modules import (
    ModuleError,
    bind_kernels,
    calls_kernels,
    located_nowhere,
    module_bytecode,
)
from saturax.options import Options

logger = logging.getLogger("saturax")

# An executable may take this share of the place for all of them: constants are part of it.
_LARGEST_SHARE = 0.25
_EXECUTABLE, _COMPILED_FOR, _DEVICES = "compiled", "compiled for", "devices"
_KERNELS = "kernels"  # whether it may call those that jaxlib binds
# In the keys of executables that are kept by their own modules, or by what these are made of, not
# beside what a module became.
_AS_IT_IS, _MADE_OF = -1, -2


def compile_once(
    lowered: jax.stages.Lowered, memory: ModuleMemory, ahead: Ahead | None = None
) -> None:
    """Let JAX have the executable of what it has lowered: loaded, if the cache has it.

    Otherwise XLA compiles, and the executable is kept with the entry that `memory` has of the
    module. Calls take what JAX keeps of this.
    """
    entry = memory.entry(ahead)
    if entry is None:
        lowered.compile()
        return
    loaded = None if ahead is None else ahead.loaded(memory)
    with provided(_Beside(lowered.compiler_ir("stablehlo"), memory, entry, loaded)):
        lowered.compile()


def beside(module: Any, memory: ModuleMemory, entry: Entry) -> Provider:
    """Who has the executable of `module`, or keeps it, beside what `memory` has of it already."""
    return _Beside(module, memory, entry, None)


class Known:
    """The executable of a module that need not be written to find it: by a digest of all that the
    module is made of.
    """

    def __init__(self, memory: ModuleMemory) -> None:
        self._memory = memory

    @classmethod
    def of(cls, digest: bytes, options: Options) -> Known | None:
        """That of a program for the default device; None if it is not to be kept."""
        if options.time_limit_s == 0:
            return None
        memory = ModuleMemory.of(digest, options, frozen=_MADE_OF)
        return None if memory is None else cls(memory)

    def compile(self, lowered: jax.stages.Lowered) -> None:
        """Let JAX compile what it has lowered, which is the module, and keep the executable."""
        with provided(beside(lowered.compiler_ir("stablehlo"), self._memory, Entry({}))):
            lowered.compile()

    def lend(self, lowered: jax.stages.Lowered) -> bool:
        """Give the executable to what JAX has lowered, whatever that is but for its types; False
        if it is not known. The module itself has to be one that XLA refuses to compile.
        """
        entry = self._memory.entry()
        if entry is None:
            return False
        lender = _Lender(entry)
        try:
            with provided(lender):
                lowered.compile()
        except Exception as error:  # by XLA, as nothing was lent
            logger.info("an executable was not loaded: %s", error)
        return lender.has_lent


class _Lender:
    """The executable of an entry, for the one module that is compiled meanwhile."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.has_lent = False

    def find(self, asked: Compilation) -> Any:
        found = _found(self._entry, asked)
        self.has_lent = found is not None
        return found

    def keep(self, asked: Compilation, executable: Any) -> None:
        """Nothing is kept: the module is another one."""


@contextmanager
def kept_executables(options: Options) -> Iterator[None]:
    """A block in which what this thread compiles is loaded from the cache, or kept there."""
    if options.time_limit_s == 0 or not is_kept(options):
        yield
        return
    with provided(_ByModule(options)):
        yield


class _Beside:
    """The executable beside what is kept of a module already; `loaded` may be it.

    Whatever else JAX compiles meanwhile in this thread is left to XLA.
    """

    def __init__(self, module: Any, memory: ModuleMemory, entry: Entry, loaded: Any) -> None:
        self._module, self._memory = module, memory
        self._entry, self._loaded = entry, loaded

    def find(self, asked: Compilation) -> Any:
        if asked.module != self._module:
            return None
        if self._loaded is not None and _fits(self._entry, asked):
            return self._loaded
        return _found(self._entry, asked)

    def keep(self, asked: Compilation, executable: Any) -> None:
        if asked.module == self._module:
            _keep(self._memory, self._entry, asked, executable)


class _ByModule:
    """Executables by the bytes of their modules."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def find(self, asked: Compilation) -> Any:
        memory = self._memory(asked)
        entry = None if memory is None else memory.entry()
        return None if entry is None else _found(entry, asked)

    def keep(self, asked: Compilation, executable: Any) -> None:
        if (memory := self._memory(asked)) is not None:
            _keep(memory, Entry({}), asked, executable)

    def _memory(self, asked: Compilation) -> ModuleMemory | None:
        try:
            bytecode = located_nowhere(module_bytecode(asked.module), asked.module.context)
        except ModuleError:
            return None
        devices = list(asked.devices)
        return ModuleMemory.of(bytecode, self._options, devices, frozen=_AS_IT_IS)


def _found(entry: Entry, asked: Compilation) -> Any:
    """The executable of an entry, if it is for what is asked."""
    if not _fits(entry, asked):
        return None
    try:
        return _load(entry, next(iter(asked.devices)))
    except Exception as error:  # of another build of jaxlib, say: XLA compiles again
        logger.info("an executable was not loaded: %s", error)
        return None


def _fits(entry: Entry, asked: Compilation) -> bool:
    document = entry.document
    known = document.get(_COMPILED_FOR), document.get(_DEVICES)
    return _is_simple(asked) and known == (_settings(asked.options), _names(asked.devices))


def _is_simple(asked: Compilation) -> bool:
    """Whether it is for one device, and calls nothing that belongs to this process."""
    return not asked.callbacks and len(list(asked.devices)) == 1


def _keep(memory: ModuleMemory, entry: Entry, asked: Compilation, executable: Any) -> None:
    """Add an executable to an entry; no harm is done if that is impossible."""
    if not _is_simple(asked):
        return
    try:
        serialized: bytes = executable.serialize()
    except Exception as error:  # not every platform can
        logger.info("an executable was not kept: %s", error)
        return
    if len(serialized) <= _LARGEST_SHARE * memory.cache.limit_bytes:
        about: dict[str, Any] = {
            _COMPILED_FOR: _settings(asked.options),
            _DEVICES: _names(asked.devices),
        }
        about[_KERNELS] = calls_kernels(serialized)
        blobs = {**entry.blobs, _EXECUTABLE: serialized}
        memory.put(Entry({**entry.document, **about}, blobs))


class Ahead:
    """Reads and loads what a call needed in an earlier process, while JAX traces it in this one.

    What a call will need is guessed from the function's name and the arguments' types. A wrong
    guess costs nothing but the work of a thread: what is used is the entry of the module that
    JAX has lowered, or none.
    """

    def __init__(self, programs: ProgramCache, name: str) -> None:
        self._calls, self._name = programs.calls(), name
        call = self._calls.get(name)
        self._guess = "" if call is None else str(call.document.get("module"))
        # Read here: in a thread beside one that traces, each step would have to wait for its turn.
        self._entry = programs.modules().get(self._guess) if self._guess else None
        self._loaded: Any = None
        self._thread: threading.Thread | None = None

    @classmethod
    def of(
        cls, function: Any, args: Any, kwargs: Any, options: Options, compiler_options: Any
    ) -> Ahead | None:
        """Begin for a call of `function`; None if programs are not kept."""
        if options.time_limit_s == 0 or not is_kept(options):
            return None
        around = circumstances(options, (), compiler_options)
        identity = [*_about(function), str(_types(args, kwargs)), *around]
        name = f"{key_digest(identity)}.{known_versions()}"
        ahead = cls(ProgramCache(folder_of(options)), name)
        ahead.begin()
        return ahead

    def begin(self) -> None:
        """Load the executable of what was guessed, in a thread of its own."""
        entry = self._entry
        if entry is None:
            return
        for device in jax.local_devices():
            if entry.document.get(_DEVICES) == _names([device]):
                self._thread = threading.Thread(
                    target=self._load, args=[entry, device], name="saturax load", daemon=True
                )
                self._thread.start()

    def _load(self, entry: Entry, device: jax.Device) -> None:
        try:
            self._loaded = _load(entry, device)
        except Exception as error:  # then it is tried when its turn comes
            logger.info("nothing was loaded ahead: %s", error)

    def wait(self) -> None:
        """Wait until the thread has ended."""
        if self._thread is not None:
            self._thread.join()

    def entry(self, name: str) -> Entry | None:
        """The entry of this name, if it was the one that was guessed."""
        return self._entry if self._guess == name else None

    def loaded(self, memory: ModuleMemory) -> Any:
        """The executable of the entry that `memory` is the place of, if it was loaded."""
        if self._guess != memory.name:
            return None
        self.wait()
        return self._loaded

    def note(self, memory: ModuleMemory) -> None:
        """Remember for later processes which module the call has led to."""
        if self._guess != memory.name:
            self._calls.put(self._name, Entry({"module": memory.name}))


def _load(entry: Entry, device: jax.Device) -> Any:
    serialized = entry.blobs[_EXECUTABLE]
    if entry.document.get(_KERNELS, True):
        bind_kernels(serialized)
    return load_executable(serialized, device)


def _about(function: Any) -> list[str]:
    """What tells a function from others, in any process."""
    code = getattr(function, "__code__", None)
    body = "" if code is None else hashlib.blake2b(code.co_code, digest_size=16).hexdigest()
    named = function if hasattr(function, "__qualname__") else type(function)
    return [str(named.__module__), str(named.__qualname__), body]


def _types(args: Any, kwargs: Any) -> list[Any]:
    return [
        (each.shape, str(each.dtype)) if hasattr(each, "dtype") else type(each).__name__
        for each in jax.tree.leaves((args, kwargs))
    ]


def _settings(options: Any) -> str:
    """A digest of what XLA is told besides the module, and of the processor's instruction sets."""
    told = copy.deepcopy(options)
    # It depends on the size of the module, and XLA's log alone depends on it.
    told.executable_build_options.debug_options.xla_detailed_logging = False
    return hashlib.blake2b(told.SerializeAsString() + _instruction_sets()).hexdigest()[:32]


def _names(devices: Iterable[jax.Device]) -> list[str]:
    return [f"{device.platform} {device.id}" for device in devices]


@cache
def _instruction_sets() -> bytes:
    """All that this processor says it can do: code made for one may not run on its like."""
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            lines = file.read(1 << 14).split(b"\n\n")[0].splitlines()
    except OSError:
        return b""
    return b"".join(line for line in lines if line.startswith((b"flags", b"Features")))
