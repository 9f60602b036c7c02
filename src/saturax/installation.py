"""`saturax.install`: optimise every program that JAX compiles, in code that is not changed.

JAX hands each module to XLA through one function; while installed, saturax stands before it. A
module that is large enough and allowed is optimised, and XLA compiles what comes out, so that grad,
vmap, donated buffers and libraries' own `jax.jit` work as ever. Whatever goes wrong, XLA gets the
module that JAX made.
"""

from __future__ import annotations

import atexit
import fnmatch
import io
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import jax

from saturax.errors import OptionsError
from saturax.graph.ir import Program
from saturax.jax_internals import hook_compilation
from saturax.jaxlib_compat import module_bytecode, module_name, parse_module
from saturax.options import Options, checked, is_disabled
from saturax.pipeline import Optimized, optimize_program
from saturax.report.model import Report
from saturax.stablehlo import emit_module, import_module

logger = logging.getLogger("saturax")

MINIMUM_OPERATIONS = 40
"""Programs with fewer operations are left alone: JAX compiles hundreds of tiny ones by itself."""

PRIVATE = ("_*",)
"""Names of the programs that are denied by default: helpers of JAX's own, such as `_normal`."""

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
    _jobs: queue.Queue[tuple[int, Program, Devices]] = field(default_factory=queue.Queue)
    _ready: dict[Program, bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Begin to see what JAX compiles."""
        self._remove_hook = hook_compilation(self._module_for_xla)
        if self.background:
            threading.Thread(target=self._work, name="saturax", daemon=True).start()

    def uninstall(self) -> None:
        """Leave JAX as it was. Programs that are compiled already stay as they are."""
        self._remove_hook()
        self._remove_hook = lambda: None

    def summary(self) -> str:
        """A table of the programs and what became of each, as text."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title="saturax", title_justify="left")
        for heading in ("program", "operations", "outcome"):
            table.add_column(heading, overflow="fold")
        for decision in self.decisions:
            table.add_row(decision.program, str(decision.operations), _outcome(decision))
        console = Console(width=100, file=io.StringIO())
        console.print(table)
        if self.left_alone:
            console.print(
                f"{self.left_alone} programs of fewer than {self.minimum_operations} operations "
                "were left alone"
            )
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return text

    def _module_for_xla(self, module: Any, devices: Devices) -> Any:
        """What XLA is to compile instead of `module`: the optimised program, or `module` itself."""
        if getattr(self._inside, "busy", False):
            return module
        name = module_name(module)
        if not self._is_allowed(name):
            return module
        with self._guard():
            try:
                program = import_module(module_bytecode(module))
            except Exception as error:  # whatever cannot be represented runs as it is
                logger.info("%s runs as under jax.jit: %s", name, error)
                self._noted(Decision(name, 0, reason=str(error)))
                return module
            ready = self._ready.get(program)
            if ready is not None:
                return parse_module(ready)
            size = program.graph.size()
            if size < self.minimum_operations:
                with self._lock:
                    self.left_alone += 1
                return module
            if self.background:
                index = self._noted(Decision(name, size, is_pending=True))
                self._jobs.put((index, program, devices))
                return module
            try:
                result = self._optimize(program, name, devices)
                optimized = _emitted(result, module)
            except Exception as error:  # the promise: whatever happens, the original runs
                self._noted(Decision(name, size, reason=_internal(name, error)))
                return module
            self._noted(Decision(name, size, result.report))
            return optimized

    def _noted(self, decision: Decision) -> int:
        """Note a decision; its place in the list, whatever other threads note."""
        with self._lock:
            self.decisions.append(decision)
            return len(self.decisions) - 1

    def _optimize(self, program: Program, name: str, devices: Devices) -> Optimized:
        named = replace(program, module_name=name)
        return optimize_program(named, self.options, devices=devices)

    def _is_allowed(self, name: str) -> bool:
        def matches(patterns: Sequence[str]) -> bool:
            plain = name.removeprefix("jit_")
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
        while True:
            index, program, devices = self._jobs.get()
            decision = self.decisions[index]
            try:
                with self._guard():
                    result = self._optimize(program, decision.program, devices)
                    if result.report.outcome == "optimized":
                        self._ready[program] = module_bytecode(emit_module(result.program))
                decision = replace(decision, report=result.report, is_pending=False)
            except Exception as error:  # those that wait behind it still get their turn
                reason = _internal(decision.program, error)
                decision = replace(decision, reason=reason, is_pending=False)
            self.decisions[index] = decision
            if self._jobs.empty() and self._ready:
                jax.clear_caches()


def _internal(name: str, error: Exception) -> str:
    logger.error("optimising %s failed", name, exc_info=error)
    return f"internal error, please report it: {error!r}"


def _emitted(result: Optimized, module: Any) -> Any:
    return emit_module(result.program) if result.report.outcome == "optimized" else module


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
    "loss*"); no `allow` means all. With `background`, the original runs until the optimised program
    is ready; JAX's caches of compiled functions are then cleared once, so that the next call picks
    it up. With `show_summary`, a table is printed to standard error when the process ends.
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
