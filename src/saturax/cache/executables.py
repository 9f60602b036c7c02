"""What XLA made of a module, kept beside it: the next process loads it instead of compiling.

An executable is loaded only where all is equal that it was compiled for: besides the key of its
entry (the module, the kind of device, versions, flags) the options that JAX gives to XLA, the
device itself and the processor's instruction sets. JAX's own compilation cache is off by default;
where it is on, it has these executables too.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from functools import cache
from pathlib import Path
from typing import Any

import jax

from saturax.cache.circumstances import circumstances, is_kept, key_digest, known_versions
from saturax.cache.module_memory import ModuleMemory
from saturax.cache.store import Entry, ProgramCache, folder_of
from saturax.jax_internals import Compilation, provided
from saturax.jaxlib_compat import bind_kernels, load_executable
from saturax.options import Options

logger = logging.getLogger("saturax")

# Larger executables have large constants in them, and reading those takes its time, too.
_LARGEST_BYTES = 64_000_000
_EXECUTABLE, _COMPILED_FOR, _DEVICES = "executable", "compiled for", "devices"


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
    provider = _Provider(entry, None if ahead is None else ahead.loaded(memory))
    with provided(provider):
        compiled = lowered.compile()
    if not provider.is_to_be_kept:
        return
    try:
        executable: Any = compiled.runtime_executable()
        serialized: bytes = executable.serialize()
    except Exception as error:  # not every platform can
        logger.info("an executable was not kept: %s", error)
        return
    if len(serialized) <= _LARGEST_BYTES:
        document = {**entry.document, _COMPILED_FOR: provider.settings, _DEVICES: provider.devices}
        blobs = {**entry.blobs, _EXECUTABLE: serialized}
        memory.put(Entry(document, blobs))


class _Provider:
    """Gives JAX the executable of an entry; notes what it would compile for."""

    def __init__(self, entry: Entry, loaded: Any) -> None:
        self.entry = entry
        self.loaded = loaded
        self.settings = ""
        self.devices: list[str] = []
        self.is_to_be_kept = False

    def __call__(self, asked: Compilation) -> Any:
        devices = list(asked.devices)
        if asked.callbacks or len(devices) > 1:
            return None
        self.settings = _settings(asked.options)
        self.devices = [_name(device) for device in devices]
        document = self.entry.document
        known = document.get(_COMPILED_FOR), document.get(_DEVICES)
        if known == (self.settings, self.devices):
            if self.loaded is not None:
                return self.loaded
            try:
                return _load(self.entry, devices[0])
            except Exception as error:  # of another build of jaxlib, say: XLA compiles again
                logger.info("an executable was not loaded: %s", error)
        self.is_to_be_kept = True
        return None


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
            if entry.document.get(_DEVICES) == [_name(device)]:
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
    bind_kernels(entry.blobs.get("module", b"lapack"))
    return load_executable(entry.blobs[_EXECUTABLE], device)


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
    return hashlib.blake2b(options.SerializeAsString() + _instruction_sets()).hexdigest()[:32]


def _name(device: jax.Device) -> str:
    return f"{device.platform} {device.id}"


@cache
def _instruction_sets() -> bytes:
    """All that this processor says it can do: code made for one may not run on its like."""
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            lines = file.read(1 << 14).split(b"\n\n")[0].splitlines()
    except OSError:
        return b""
    return b"".join(line for line in lines if line.startswith((b"flags", b"Features")))
