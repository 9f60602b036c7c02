"""`saturax.install`: optimise every program that JAX compiles, in code that is not changed.

JAX hands each module to XLA through one function; while installed, saturax stands before it. A
module that is large enough and allowed is optimised, and XLA compiles what comes out, so that grad,
vmap, donated buffers and libraries' own `jax.jit` work as ever. Whatever goes wrong, XLA gets the
module that JAX made.
"""

from __future__ import annotations

import atexit
import ctypes
import fnmatch
import io
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax

from saturax.cache.executables import beside
from saturax.cache.module_memory import ModuleMemory
from saturax.errors import OptionsError
from saturax.jax_internals import Provider, hook_compilation, is_provided
from saturax.mlir_modules import (
    ModuleError,
    located_nowhere,
    module_bytecode,
    module_name,
    parse_module,
)
from saturax.module_size import operations_at_most
from saturax.options import Options, checked, is_disabled
from saturax.report.model import Report, StageReport

if TYPE_CHECKING:
    from saturax.graph.ir import Program

logger = logging.getLogger("saturax")

MINIMUM_OPERATIONS = 40
"""Programs with fewer operations are left alone: JAX compiles hundreds of tiny ones by itself."""

PRIVATE = ("_*",)
"""Names of the programs that are denied by default: helpers of JAX's own, such as `_normal`."""

_LAMBDA, _LAMBDA_IN_XLA = "<lambda>", "_lambda"

Devices = tuple[jax.Device, ...]


@dataclass(frozen=True)
class Decision:
    """What became of one program that JAX compiled.

    `operations` is 0 where the program could not be represented. `report` is None where it was not
    optimised at all; `reason` then says why. While `is_pending`,
    the original runs and the optimiser works in the background.
    """

    program: str
    operations: int
    report: Report | None = None
    reason: str = ""
    is_pending: bool = False


@dataclass(frozen=True)
class _Place:
    """What tells a module from others, its bytes, devices and what XLA is told besides, and where
    the cache has it.
    """

    bytecode: bytes
    devices: Devices
    compiler_options: Mapping[str, Any]
    memory: ModuleMemory | None

    @property
    def key(self) -> tuple[bytes, str]:
        """What tells it from others in this process."""
        return self.bytecode, str(sorted(self.compiler_options.items()))


@dataclass
class Installation:
    """The optimiser between JAX and XLA, from `install` until `uninstall`.

    `decisions` lists the programs above the size threshold, in the order of their compilation;
    `left_alone` counts those below.
    """

    options: Options
    minimum_operations: int
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    background: bool
    decisions: list[Decision] = field(default_factory=list)
    left_alone: int = 0
    _remove_hook: Callable[[], None] = lambda: None
    # A program of ours that is being compiled must not be optimised in turn.
    _inside: threading.local = field(default_factory=threading.local)
    _jobs: queue.Queue[tuple[int, Program, _Place] | None] = field(default_factory=queue.Queue)
    _is_ending: bool = False
    # What the optimiser has made in the background, by the places of the modules.
    _ready: dict[tuple[bytes, str], bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Begin to see what JAX compiles."""
        self._remove_hook = hook_compilation(self._module_for_xla)
        if self.background:
            thread = threading.Thread(target=self._work, name="saturax", daemon=True)
            thread.start()
            atexit.register(self._end, thread)

    def _end(self, thread: threading.Thread) -> None:
        """Interrupt the optimiser and wait for it: the interpreter's end may find it inside XLA,
        which aborts the process.
        """
        self._is_ending = True
        self._jobs.put(None)  # wakes it where it waits
        if thread.ident is not None and thread.is_alive():
            number, error = ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(number, error)
        thread.join()

    def uninstall(self) -> None:
        """Leave JAX as it was. Programs that are compiled already stay as they are."""
        self._remove_hook()
        self._remove_hook = lambda: None

    def summary(self) -> str:
        """A table of the programs and what became of each, as text; empty if there were none."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title="saturax", title_justify="left")
        for heading in ("program", "operations", "outcome"):
            table.add_column(heading, overflow="fold")
        for decision in self.decisions:
            table.add_row(decision.program, str(decision.operations), _outcome(decision))
        console = Console(width=100, file=io.StringIO())
        if self.decisions:
            console.print(table)
        if self.left_alone:
            were = "program was" if self.left_alone == 1 else "programs were"
            console.print(
                f"saturax: {self.left_alone} {were} left alone, being of fewer than "
                f"{self.minimum_operations} operations"
            )
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return text

    def _module_for_xla(
        self, module: Any, devices: Devices, compiler_options: Mapping[str, Any]
    ) -> tuple[Any, Provider | None]:
        """What XLA is to compile instead of `module`, the optimised program or `module` itself, and
        who may have compiled it before.
        """
        # What `saturax.jit` compiles is chosen already.
        if getattr(self._inside, "busy", False) or is_provided():
            return module, None
        name = module_name(module)
        if not self._is_allowed(name):
            return module, None
        with self._guard():
            try:
                return self._replaced(module, name, devices, compiler_options)
            except Exception as error:  # the promise: whatever happens, the original runs
                self._noted(Decision(name, 0, reason=_internal(name, error)))
                return module, None

    def _replaced(
        self, module: Any, name: str, devices: Devices, compiler_options: Mapping[str, Any]
    ) -> tuple[Any, Provider | None]:
        if operations_at_most(module, self.minimum_operations) < self.minimum_operations:
            return self._leave_alone(module), None
        place = self._place(module, devices, compiler_options)
        chosen = self._recalled(place, module, name)
        if chosen is None:
            chosen = self._chosen(place, module, name)
        entry = None if place.memory is None else place.memory.entry()
        if place.memory is None or entry is None:
            return chosen, None
        return chosen, beside(chosen, place.memory, entry)

    def _place(self, module: Any, devices: Devices, compiler_options: Mapping[str, Any]) -> _Place:
        """Where this process and the cache have what became of a module."""
        bytecode = module_bytecode(module)
        memory = None
        if self.options.time_limit_s > 0:
            with suppress(ModuleError):  # then the program is found by what it computes
                bytecode = located_nowhere(bytecode, module.context)
                memory = ModuleMemory.of(bytecode, self.options, devices, compiler_options)
        return _Place(bytecode, devices, compiler_options, memory)

    def _recalled(self, place: _Place, module: Any, name: str) -> Any:
        """What became of the same module before; None if that is not known."""
        if (ready := self._ready.get(place.key)) is not None:
            return parse_module(ready)
        start, memory = time.monotonic(), place.memory
        found = None if memory is None else memory.find()
        if found is None:
            return None
        report, entry = found
        if report.operations_before < self.minimum_operations:
            return self._leave_alone(module)
        bytecode = entry.blobs.get("module")
        chosen = module if bytecode is None else parse_module(bytecode)
        stages = [StageReport("recall", time.monotonic() - start)]
        report = replace(report, program=name, stages=stages)
        self._noted(Decision(name, report.operations_before, report))
        return chosen

    def _chosen(self, place: _Place, module: Any, name: str) -> Any:
        """The module of the optimised program, or `module` itself."""
        # Importing the optimiser takes longer than a hit of the cache, which does without it.
        from saturax.stablehlo import import_module

        try:
            program = import_module(module_bytecode(module))
        except Exception as error:  # whatever cannot be represented runs as it is
            logger.info("%s runs as under jax.jit: %s", name, error)
            self._noted(Decision(name, 0, reason=str(error)))
            return module
        size = program.graph.size()
        if size < self.minimum_operations:
            return self._leave_alone(module)
        if self.background:
            index = self._noted(Decision(name, size, is_pending=True))
            self._jobs.put((index, program, place))
            return module
        try:
            report, bytecode, is_interrupted = self._optimize(program, name, place)
            chosen = module if bytecode is None else parse_module(bytecode)
        except Exception as error:  # the promise: whatever happens, the original runs
            self._noted(Decision(name, size, reason=_internal(name, error)))
            return module
        self._noted(Decision(name, size, report))
        if is_interrupted:  # by whoever runs the program, and means all of it
            self._ready[place.key] = place.bytecode if bytecode is None else bytecode
            raise KeyboardInterrupt
        return chosen

    def _leave_alone(self, module: Any) -> Any:
        with self._lock:
            self.left_alone += 1
        return module

    def _noted(self, decision: Decision) -> int:
        """Note a decision; its place in the list, whatever other threads note."""
        with self._lock:
            self.decisions.append(decision)
            return len(self.decisions) - 1

    def _optimize(
        self, program: Program, name: str, place: _Place
    ) -> tuple[Report, bytes | None, bool]:
        """The report, the module of the optimised program if there is a better one, and whether
        Ctrl-C ended the search.
        """
        from saturax.pipeline import optimize_program
        from saturax.stablehlo import emit_module

        named = replace(program, module_name=name)
        result = optimize_program(
            named,
            self.options,
            devices=place.devices,
            compiler_options=place.compiler_options,
            source=place.bytecode,
        )
        is_better = result.report.outcome == "optimized"
        bytecode = module_bytecode(emit_module(result.program)) if is_better else None
        if place.memory is not None and result.is_remembered:
            place.memory.keep(result.report, {} if bytecode is None else {"module": bytecode})
        return result.report, bytecode, result.is_interrupted

    def _is_allowed(self, name: str) -> bool:
        plain = name.removeprefix("jit_")
        if plain.rstrip("_") == _LAMBDA_IN_XLA:  # it is a caller's, not one of JAX's helpers
            plain = _LAMBDA

        def matches(patterns: Sequence[str]) -> bool:
            return any(fnmatch.fnmatchcase(n, p) for p in patterns for n in (name, plain))

        return (not self.allow or matches(self.allow)) and not matches(self.deny)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        self._inside.busy = True
        try:
            yield
        finally:
            self._inside.busy = False

    def _work(self) -> None:
        """Optimise what waits; when nothing waits any more, let JAX compile the results."""
        with suppress(KeyboardInterrupt):
            while (job := self._jobs.get()) is not None and not self._is_ending:
                self._work_on(*job)

    def _work_on(self, index: int, program: Program, place: _Place) -> None:
        decision = self.decisions[index]
        try:
            with self._guard():
                report, bytecode, _ = self._optimize(program, decision.program, place)
            if bytecode is not None:
                self._ready[place.key] = bytecode
            decision = replace(decision, report=report, is_pending=False)
        except Exception as error:  # those that wait behind it still get their turn
            reason = _internal(decision.program, error)
            decision = replace(decision, reason=reason, is_pending=False)
        self.decisions[index] = decision
        if self._jobs.empty() and self._ready:
            jax.clear_caches()


def _internal(name: str, error: Exception) -> str:
    logger.error("optimising %s failed", name, exc_info=error)
    return f"internal error, please report it: {error!r}"


def _outcome(decision: Decision) -> str:
    report = decision.report
    if decision.is_pending:
        return "original so far: the optimiser had not finished"
    if report is None:
        return f"original: {decision.reason}"
    if report.outcome != "optimized":
        return f"original: {report.reason}"
    speedup = f"{report.speedup:.2f} times as fast" if report.speedup else "optimised"
    return f"{speedup}; {sum(report.rules.values())} rewrites"


_installed: list[Installation] = []


def install(
    *,
    options: Options | None = None,
    minimum_operations: int = MINIMUM_OPERATIONS,
    allow: Sequence[str] = (),
    deny: Sequence[str] = PRIVATE,
    background: bool = False,
    show_summary: bool = False,
) -> Installation:
    """Optimise every program that JAX compiles from now on.

    `allow` and `deny` are patterns of program names as `fnmatch` takes them ("train_step",
    "loss*", "<lambda>"), with or without the `jit_` that reports have before them; no `allow` means
    all. With `background`, the original runs until the
    optimised program is ready; JAX's caches of compiled functions are then cleared once, so that
    the next call picks it up. With `show_summary`, a table is printed to standard error when the
    process ends.
    Installing again replaces the earlier installation.

    Raises:
        OptionsError: `minimum_operations` is negative, or this JAX has no place for the optimiser
            (use `saturax.jit` on the functions that matter).
    """
    if minimum_operations < 0:
        raise OptionsError(
            f"minimum_operations: expected an integer of at least 0, got {minimum_operations}"
        )
    uninstall()
    installation = Installation(
        checked(options),
        minimum_operations,
        tuple(allow),
        tuple(deny),
        background,
    )
    if not is_disabled():
        installation.start()
    _installed.append(installation)
    if show_summary:
        atexit.register(lambda: print(installation.summary(), file=sys.stderr))
    return installation


def uninstall() -> None:
    """Undo `install`; without one, nothing happens."""
    while _installed:
        _installed.pop().uninstall()
